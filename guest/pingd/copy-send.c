/* Sends a file or a tree: what is data, never a hole, and nothing through a symbolic link but the one that was named. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copy.h"
#include "frame.h"
#include "lines.h"
#include "user.h"
#include "wire.h"

enum { DEPTH_MAX = 128 };

static uint8_t message[WIRE_MAX];
static char path[COPY_PATH_MAX];
static size_t path_length;
static int depth;

void copy_begin(const uint8_t *fields, size_t length) {
  struct user user;
  if (!user_find(field_value(fields, length, "user"), &user)) wire_end("there is no such user in the guest");
  const char *refused = user_become(&user);
  if (refused != NULL) wire_end(refused);
  if (chdir(user.home) != 0 && chdir("/") != 0) wire_end(strerror(errno));
}

uint64_t get_u64(const uint8_t *at) { return get_u32(at) | (uint64_t)get_u32(at + 4) << 32; }

static void skip(const char *why) {
  int length = snprintf((char *)message, sizeof message, "%.*s: %s", (int)path_length, path, why);
  wire_send(COPY_SKIPPED, message, (size_t)length);
}

static size_t put_head(const struct stat *entry) {
  put_u32(message, entry->st_mode & 07777);
  put_u64(message + 4, (uint64_t)(entry->st_mtim.tv_sec * 1000000000LL + entry->st_mtim.tv_nsec));
  return 12;
}

static void send_with_path(uint8_t tag, size_t length) {
  memcpy(message + length, path, path_length);
  wire_send(tag, message, length + path_length);
}

/* Where the next data begins, and where it ends; file systems without holes are all data. */
static bool find_data(int fd, off_t from, off_t size, off_t *start, off_t *end) {
  *start = lseek(fd, from, SEEK_DATA);
  if (*start < 0 && errno == ENXIO) return false;
  if (*start < 0) *start = from;
  *end = lseek(fd, *start, SEEK_HOLE);
  if (*end < 0 || *end > size) *end = size;
  return *start < size;
}

static const char *send_blocks(int fd, off_t from, off_t size) {
  off_t start, end;
  while (find_data(fd, from, size, &start, &end)) {
    while (start < end) {
      size_t want = end - start < COPY_BLOCK_MAX ? (size_t)(end - start) : COPY_BLOCK_MAX;
      ssize_t count = pread(fd, message + 8, want, start);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return strerror(errno);
      if (count == 0) return "it became shorter while it was read";
      put_u64(message, (uint64_t)start);
      wire_send(COPY_BLOCK, message, 8 + (size_t)count);
      start += count;
    }
    from = end;
  }
  return NULL;
}

static off_t ask_resume(off_t size) {
  struct message answer;
  while (wire_wait(&answer))
    if (answer.tag == COPY_RESUME && answer.length == 8 && get_u64(answer.bytes) <= (uint64_t)size) return (off_t)get_u64(answer.bytes);
  wire_end("the receiver went away");
}

static void send_file(int fd, const struct stat *entry) {
  size_t length = put_head(entry);
  put_u64(message + length, (uint64_t)entry->st_size);
  send_with_path(COPY_FILE, length + 8);
  off_t from = entry->st_size >= COPY_RESUME_MIN ? ask_resume(entry->st_size) : 0;
  const char *problem = send_blocks(fd, from, entry->st_size);
  wire_send(COPY_FILE_END, problem, problem == NULL ? 0 : strlen(problem));
}

static void send_link(int parent, const char *name) {
  char target[COPY_PATH_MAX];
  ssize_t length = readlinkat(parent, name, target, sizeof target);
  if (length < 0) {
    skip(strerror(errno));
    return;
  }
  put_u16(message, (uint16_t)path_length);
  memcpy(message + 2, path, path_length);
  memcpy(message + 2 + path_length, target, (size_t)length);
  wire_send(COPY_LINK, message, 2 + path_length + (size_t)length);
}

static void send_entry(int parent, const char *name, int nofollow);

static bool send_child(const char *name, void *state) {
  size_t before = path_length, length = strlen(name);
  if (before + length + 2 > sizeof path) {
    skip("a path below it is too long");
    return true;
  }
  if (before > 0) path[path_length++] = '/';
  memcpy(path + path_length, name, length);
  path_length += length;
  send_entry(*(int *)state, name, O_NOFOLLOW);
  path_length = before;
  return true;
}

static void send_directory(int fd, const struct stat *entry) {
  send_with_path(COPY_DIRECTORY, put_head(entry));
  if (++depth > DEPTH_MAX) skip("directories nested too deeply");
  else if (!each_entry(fd, send_child, &fd)) skip(strerror(errno));
  depth--;
  send_with_path(COPY_DIRECTORY_END, put_head(entry));
}

static void send_entry(int parent, const char *name, int nofollow) {
  struct stat entry;
  if (fstatat(parent, name, &entry, nofollow ? AT_SYMLINK_NOFOLLOW : 0) != 0) {
    skip(strerror(errno));
    return;
  }
  if (S_ISLNK(entry.st_mode)) {
    send_link(parent, name);
    return;
  }
  if (!S_ISREG(entry.st_mode) && !S_ISDIR(entry.st_mode)) {
    skip("neither file nor directory nor link");
    return;
  }
  int fd = openat(parent, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | nofollow);
  /* What was opened is what counts: the name may mean something else by now. */
  if (fd < 0 || fstat(fd, &entry) != 0) skip(strerror(errno));
  else if (S_ISDIR(entry.st_mode)) send_directory(fd, &entry);
  else if (S_ISREG(entry.st_mode)) send_file(fd, &entry);
  if (fd >= 0) close(fd);
}

/* The last component names it at the other end, unless there is none: then only what is inside is sent. */
static void take_name(const char *wanted) {
  size_t end = strlen(wanted);
  while (end > 0 && wanted[end - 1] == '/') end--;
  size_t start = end;
  while (start > 0 && wanted[start - 1] != '/') start--;
  size_t length = end - start;
  bool is_nameless = length == 0 || (length <= 2 && strspn(wanted + start, ".") >= length);
  path_length = is_nameless ? 0 : length;
  memcpy(path, wanted + start, path_length);
}

void copy_send_work(const uint8_t *fields, size_t length) {
  copy_begin(fields, length);
  const char *wanted = field_value(fields, length, "path");
  if (wanted == NULL || strlen(wanted) >= sizeof path) wire_end("no path, or one that is too long");
  if (*wanted == 0) wanted = ".";
  struct stat entry;
  if (stat(wanted, &entry) != 0) wire_end(strerror(errno));
  take_name(wanted);
  send_entry(AT_FDCWD, wanted, 0);
  wire_send(COPY_ALL, NULL, 0);
  struct message answer;
  while (wire_wait(&answer) && answer.tag != COPY_DONE) continue;
  wire_end(NULL);
}
