/* Writes what is sent, below the destination and nowhere else: each directory on the way is opened without following links. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copy.h"
#include "frame.h"
#include "wire.h"

static struct {
  int base;       /* the directory in which everything is put */
  char top[256];  /* the name that the first component becomes; empty: its own */
  bool must_be_directory, is_other, is_settled;
} destination = {.base = -1};

static struct {
  int fd, parent;
  uint32_t mode;
  uint64_t time, size;
  char path[COPY_PATH_MAX], name[256], part[40];
} file = {.fd = -1, .parent = -1};

static void fail_entry(const char *path, const char *why) {
  char text[COPY_PATH_MAX + 128];
  int length = snprintf(text, sizeof text, "%s: %s", path, why);
  wire_send(COPY_FAILED, text, (size_t)length);
}

static void copy_text(char *to, size_t capacity, const uint8_t *from, size_t length) {
  if (length >= capacity) wire_end("a path that is too long");
  memcpy(to, from, length);
  to[length] = 0;
  if (strlen(to) != length) wire_end("a path with a NUL");
}

/* Relative, and of real names only. */
static void check_path(const char *path) {
  while (*path != 0) {
    size_t length = strcspn(path, "/");
    if (length == 0 || length > 255 || (length <= 2 && strspn(path, ".") >= length)) wire_end("a path that leads elsewhere");
    path += length;
    if (*path == '/' && *++path == 0) wire_end("a path that leads elsewhere");
  }
}

/* The directory that holds the last component, to be closed by the caller; -1 with errno. */
static int open_parent(const char *path, char *last) {
  int fd = fcntl(destination.base, F_DUPFD_CLOEXEC, 3);
  bool is_first = true;
  for (;;) {
    size_t length = strcspn(path, "/");
    memcpy(last, path, length);
    last[length] = 0;
    if (is_first && destination.top[0] != 0) memcpy(last, destination.top, sizeof destination.top);
    is_first = false;
    if (path[length] == 0 || fd < 0) return fd;
    int next = openat(fd, last, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    close(fd);
    fd = next;
    path += length + 1;
  }
}

/* The rules of scp: into a directory that there is, else under the name that was given. */
static void find_destination(const char *wanted, bool is_many) {
  struct stat there;
  char parent[COPY_PATH_MAX];
  if (*wanted == 0) wanted = ".";
  size_t end = strlen(wanted);
  bool exists = stat(wanted, &there) == 0;
  if (exists && S_ISDIR(there.st_mode)) {
    destination.base = open(wanted, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (destination.base < 0) wire_end(strerror(errno));
    return;
  }
  destination.must_be_directory = end > 0 && wanted[end - 1] == '/';
  destination.is_other = exists;
  if (is_many || (exists && destination.must_be_directory)) wire_end("the destination is not a directory");
  if (exists && !S_ISREG(there.st_mode)) wire_end("the destination is neither a file nor a directory");
  while (end > 0 && wanted[end - 1] == '/') end--;
  size_t start = end;
  while (start > 0 && wanted[start - 1] != '/') start--;
  if (end - start > 255 || start >= sizeof parent) wire_end("the destination's name is too long");
  memcpy(destination.top, wanted + start, end - start);
  memcpy(parent, wanted, start);
  if (start == 0) parent[start++] = '.';
  parent[start] = 0;
  destination.base = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (destination.base < 0) wire_end("the destination's directory does not exist");
}

/* Said of the first thing that comes: only now it is known whether it fits what is there. */
static void settle(const char *path, bool is_directory) {
  if (destination.is_settled) return;
  destination.is_settled = true;
  if (is_directory && destination.is_other) wire_end("the destination is a file, and what is copied is a directory");
  if (!is_directory && destination.must_be_directory) wire_end("the destination does not exist");
  if (*path != 0 || destination.top[0] == 0) return;
  if (mkdirat(destination.base, destination.top, 0777) != 0 && errno != EEXIST) wire_end(strerror(errno));
  destination.base = openat(destination.base, destination.top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (destination.base < 0) wire_end(strerror(errno));
  destination.top[0] = 0;
}

static void make_directory(const char *path) {
  char name[256];
  struct stat there;
  check_path(path);
  settle(path, true);
  if (*path == 0) return;
  int parent = open_parent(path, name);
  if (parent < 0 || (mkdirat(parent, name, 0700) != 0 &&
                     (errno != EEXIST || fstatat(parent, name, &there, AT_SYMLINK_NOFOLLOW) != 0 || (!S_ISDIR(there.st_mode) && (errno = ENOTDIR)))))
    fail_entry(path, strerror(errno));
  if (parent >= 0) close(parent);
}

static void set_times(int fd, uint64_t time) {
  struct timespec both[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = (time_t)((int64_t)time / 1000000000), .tv_nsec = (long)((int64_t)time % 1000000000)}};
  if (both[1].tv_nsec < 0) both[1].tv_sec--, both[1].tv_nsec += 1000000000;
  if (futimens(fd, both) != 0) return; /* the content is what was asked for */
}

static void finish_directory(const char *path, uint32_t mode, uint64_t time) {
  char name[256];
  check_path(path);
  if (*path == 0) return; /* a directory that was there keeps what it is */
  int parent = open_parent(path, name), fd = -1;
  if (parent >= 0) fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd >= 0) {
    set_times(fd, time);
    if (fchmod(fd, mode & 0777) != 0) fail_entry(path, strerror(errno));
    close(fd);
  }
  if (parent >= 0) close(parent);
}

/* Of one file of one size and time: what was left of another is never gone on with. */
static void name_part(void) {
  uint64_t hash = 14695981039346656037u;
  uint8_t numbers[16];
  put_u64(numbers, file.time);
  put_u64(numbers + 8, file.size);
  for (size_t i = 0; i < sizeof numbers; i++) hash = (hash ^ numbers[i]) * 1099511628211u;
  for (const char *at = file.name; *at != 0; at++) hash = (hash ^ (uint8_t)*at) * 1099511628211u;
  snprintf(file.part, sizeof file.part, ".banger-part-%016llx", (unsigned long long)hash);
}

static void answer_resume(uint64_t offset) {
  uint8_t bytes[8];
  put_u64(bytes, offset);
  if (file.size >= COPY_RESUME_MIN) wire_send(COPY_RESUME, bytes, sizeof bytes);
}

static void close_file(void) {
  if (file.fd >= 0) close(file.fd);
  if (file.parent >= 0) close(file.parent);
  file.fd = file.parent = -1;
}

static void give_up_file(const char *why) {
  fail_entry(file.path, why);
  close_file();
}

static void begin_file(const uint8_t *bytes, uint32_t length) {
  struct stat there, part;
  if (length < 20 || file.parent >= 0) wire_end("a file where none belongs");
  file.mode = get_u32(bytes);
  file.time = get_u64(bytes + 4);
  file.size = get_u64(bytes + 12);
  copy_text(file.path, sizeof file.path, bytes + 20, length - 20);
  check_path(file.path);
  if (file.path[0] == 0 || file.size > INT64_MAX) wire_end("a file without a name, or of no size");
  settle(file.path, false);
  file.parent = open_parent(file.path, file.name);
  uint64_t offset = file.size; /* nothing is to be sent of what cannot be written */
  if (file.parent < 0) {
    give_up_file(strerror(errno));
  } else if (fstatat(file.parent, file.name, &there, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(there.st_mode) && !S_ISLNK(there.st_mode)) {
    give_up_file("something that is no file is there");
  } else {
    bool resumes = file.size >= COPY_RESUME_MIN;
    name_part();
    file.fd = openat(file.parent, file.part, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | (resumes ? 0 : O_TRUNC), 0600);
    if (file.fd < 0 || fstat(file.fd, &part) != 0 || !S_ISREG(part.st_mode)) give_up_file(strerror(errno));
    else offset = (uint64_t)part.st_size <= file.size ? (uint64_t)part.st_size : 0;
  }
  answer_resume(offset);
}

static void take_block(const uint8_t *bytes, uint32_t length) {
  if (length < 8) wire_end("a block without an offset");
  uint64_t offset = get_u64(bytes);
  if (file.fd < 0) return;
  if (offset > file.size || length - 8 > file.size - offset) wire_end("a block beyond its file");
  for (uint32_t at = 8; at < length;) {
    ssize_t count = pwrite(file.fd, bytes + at, length - at, (off_t)(offset + at - 8));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      give_up_file(strerror(errno));
      return;
    }
    at += (uint32_t)count;
  }
}

static void end_file(const uint8_t *why, uint32_t length) {
  char text[256];
  if (file.fd < 0) return;
  if (length > 0) {
    copy_text(text, sizeof text, why, length < 255 ? length : 255);
    give_up_file(text);
    return;
  }
  set_times(file.fd, file.time);
  if (ftruncate(file.fd, (off_t)file.size) != 0 || fchmod(file.fd, file.mode & 0777) != 0) {
    give_up_file(strerror(errno));
    return;
  }
  set_times(file.fd, file.time);
  if (renameat(file.parent, file.part, file.parent, file.name) != 0) give_up_file(strerror(errno));
  close_file();
}

static void make_link(const uint8_t *bytes, uint32_t length) {
  char path[COPY_PATH_MAX], target[COPY_PATH_MAX], name[256];
  uint32_t path_length = length < 2 ? length : (uint32_t)(bytes[0] | bytes[1] << 8);
  if (length < 2 || path_length > length - 2) wire_end("a link without a path");
  copy_text(path, sizeof path, bytes + 2, path_length);
  copy_text(target, sizeof target, bytes + 2 + path_length, length - 2 - path_length);
  check_path(path);
  if (*path == 0) wire_end("a link without a path");
  settle(path, false);
  int parent = open_parent(path, name);
  if (parent < 0 || (symlinkat(target, parent, name) != 0 && (errno != EEXIST || unlinkat(parent, name, 0) != 0 || symlinkat(target, parent, name) != 0)))
    fail_entry(path, strerror(errno));
  if (parent >= 0) close(parent);
}

static void take(const struct message *message) {
  char path[COPY_PATH_MAX];
  const uint8_t *bytes = message->bytes;
  if (message->tag == COPY_DIRECTORY || message->tag == COPY_DIRECTORY_END) {
    if (message->length < 12) wire_end("a directory without a head");
    copy_text(path, sizeof path, bytes + 12, message->length - 12);
    if (message->tag == COPY_DIRECTORY) make_directory(path);
    else finish_directory(path, get_u32(bytes), get_u64(bytes + 4));
  } else if (message->tag == COPY_FILE) {
    begin_file(bytes, message->length);
  } else if (message->tag == COPY_LINK) {
    make_link(bytes, message->length);
  } else if (message->tag == COPY_BLOCK) {
    take_block(bytes, message->length);
  } else if (message->tag == COPY_FILE_END) {
    end_file(bytes, message->length);
  }
}

void copy_receive_work(const uint8_t *fields, size_t length) {
  copy_begin(fields, length);
  const char *wanted = field_value(fields, length, "path"), *many = field_value(fields, length, "many");
  if (wanted == NULL) wire_end("no path");
  find_destination(wanted, many != NULL && *many == '1');
  struct message message;
  while (wire_wait(&message)) {
    if (message.tag == COPY_ALL) {
      wire_send(COPY_DONE, NULL, 0);
      wire_end(NULL);
    }
    take(&message);
  }
  wire_end("the sender went away");
}
