/* Reads and replaces files below the root: bounded, atomically by rename, never through a symbolic link at the last component. */
#define _GNU_SOURCE
#include "banger-init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_DEPTH_MAX 8

static bool own(int fd, const char *path, struct owner owner) {
  /* In the test mode nobody is root and the files stay the caller's. */
  if (geteuid() == 0 && fchown(fd, owner.uid, owner.gid) != 0) {
    say(errno, "chown %s", path);
    return false;
  }
  if (fchmod(fd, owner.mode) != 0) {
    say(errno, "chmod %s", path);
    return false;
  }
  return true;
}

bool readWhole(const char *path, char **bytes, size_t *length) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  struct stat info;
  *bytes = NULL;
  *length = 0;
  if (fd < 0) return false;
  if (fstat(fd, &info) != 0) goto fail;
  if (!S_ISREG(info.st_mode) || info.st_size > (off_t)FILE_MAX) {
    /* Never what an earlier call left: whoever reads "missing" there writes a new file over this one. */
    errno = S_ISREG(info.st_mode) ? EFBIG : EINVAL;
    goto fail;
  }
  *bytes = malloc((size_t)info.st_size + 1);
  if (*bytes == NULL) goto fail;
  while (*length < (size_t)info.st_size) {
    ssize_t n = read(fd, *bytes + *length, (size_t)info.st_size - *length);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) goto fail;
    if (n == 0) break;
    *length += (size_t)n;
  }
  (*bytes)[*length] = 0;
  close(fd);
  return true;
fail:;
  int error = errno;
  free(*bytes);
  *bytes = NULL;
  close(fd);
  errno = error;
  return false;
}

static bool writeAll(int fd, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t n = write(fd, bytes, length);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes += n;
    length -= (size_t)n;
  }
  return true;
}

bool writeWhole(const char *path, const char *bytes, size_t length, struct owner owner) {
  char next[512];
  if ((size_t)snprintf(next, sizeof next, "%s.banger-new", path) >= sizeof next) return false;
  if (unlink(next) != 0 && errno != ENOENT) say(errno, "unlink %s", next);
  int fd = open(next, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    say(errno, "create %s", next);
    return false;
  }
  bool written = writeAll(fd, bytes, length);
  int error = errno;
  if (!written) say(error, "write %s", path);
  written = written && own(fd, path, owner);
  close(fd);
  if (written && rename(next, path) != 0) {
    say(errno, "rename %s", next);
    written = false;
  }
  if (!written) unlink(next);
  return written;
}

bool makeDirectories(const char *path, struct owner owner) {
  char part[256];
  if (strlen(path) >= sizeof part) return false;
  for (const char *slash = path; slash != NULL;) {
    slash = strchr(slash + 1, '/');
    size_t length = slash != NULL ? (size_t)(slash - path) : strlen(path);
    memcpy(part, path, length);
    part[length] = 0;
    if (mkdir(part, 0755) != 0) {
      if (errno == EEXIST) continue;
      say(errno, "mkdir %s", part);
      return false;
    }
    /* Only the last one belongs to its user; those above are root's. */
    if (slash == NULL) {
      int fd = open(part, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
      bool owned = fd >= 0 && own(fd, part, owner);
      if (fd >= 0) close(fd);
      return owned;
    }
  }
  return true;
}

static bool isLineOf(const char *line, size_t length, const char *key, char delimiter) {
  size_t wanted = strlen(key);
  return length > wanted && memcmp(line, key, wanted) == 0 && line[wanted] == delimiter;
}

bool replaceLine(const char *path, const char *key, char delimiter, const char *line, struct owner owner) {
  char *old;
  size_t oldLength;
  if (!readWhole(path, &old, &oldLength)) {
    if (errno != ENOENT) {
      say(errno, "read %s", path);
      return false;
    }
    old = NULL;
    oldLength = 0;
  }
  size_t lineLength = strlen(line);
  char *fresh = malloc(oldLength + lineLength + 3);
  if (fresh == NULL) {
    free(old);
    return false;
  }
  size_t used = 0;
  bool replaced = false;
  for (size_t at = 0; at < oldLength;) {
    char *end = memchr(old + at, '\n', oldLength - at);
    size_t length = end != NULL ? (size_t)(end - (old + at)) : oldLength - at;
    bool ours = isLineOf(old + at, length, key, delimiter);
    if (!ours || !replaced) {
      const char *source = ours ? line : old + at;
      size_t size = ours ? lineLength : length;
      memcpy(fresh + used, source, size);
      used += size;
      fresh[used++] = '\n';
    }
    replaced = replaced || ours;
    at += length + 1;
  }
  if (!replaced) {
    memcpy(fresh + used, line, lineLength);
    used += lineLength;
    fresh[used++] = '\n';
  }
  bool same = used == oldLength && memcmp(old, fresh, used) == 0;
  bool written = same || writeWhole(path, fresh, used, owner);
  free(old);
  free(fresh);
  return written;
}

bool readField(const char *path, const char *key, int field, char *into, size_t room) {
  char *bytes;
  size_t length;
  if (!readWhole(path, &bytes, &length)) return false;
  bool found = false;
  for (size_t at = 0; at < length && !found;) {
    char *end = memchr(bytes + at, '\n', length - at);
    size_t lineLength = end != NULL ? (size_t)(end - (bytes + at)) : length - at;
    if (isLineOf(bytes + at, lineLength, key, ':')) {
      char *value = bytes + at;
      value[lineLength] = 0;
      for (int i = 0; i < field && value != NULL; i++) {
        value = strchr(value, ':');
        if (value != NULL) value++;
      }
      if (value != NULL) {
        size_t size = strcspn(value, ":");
        found = size < room;
        if (found) {
          memcpy(into, value, size);
          into[size] = 0;
        }
      }
      break;
    }
    at += lineLength + 1;
  }
  free(bytes);
  return found;
}

static bool copyEntry(const char *from, const char *to, uid_t uid, gid_t gid, int depth) {
  struct stat info;
  if (lstat(from, &info) != 0) return false;
  if (S_ISDIR(info.st_mode)) return copyTree(from, to, uid, gid, depth + 1);
  if (!S_ISREG(info.st_mode)) return true;
  char *bytes;
  size_t length;
  if (!readWhole(from, &bytes, &length)) return false;
  bool written = writeWhole(to, bytes, length, (struct owner){info.st_mode & 0777, uid, gid});
  free(bytes);
  return written;
}

/* For /etc/skel: regular files and directories. */
bool copyTree(const char *from, const char *to, uid_t uid, gid_t gid, int depth) {
  if (depth > COPY_DEPTH_MAX) return false;
  if (depth > 0 && !makeDirectories(to, (struct owner){0755, uid, gid})) return false;
  DIR *directory = opendir(from);
  if (directory == NULL) return errno == ENOENT;
  bool copied = true;
  for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
    char source[512], target[512];
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if ((size_t)snprintf(source, sizeof source, "%s/%s", from, entry->d_name) >= sizeof source) continue;
    if ((size_t)snprintf(target, sizeof target, "%s/%s", to, entry->d_name) >= sizeof target) continue;
    copied = copyEntry(source, target, uid, gid, depth) && copied;
  }
  closedir(directory);
  return copied;
}
