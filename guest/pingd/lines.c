/* Reads lines, fields, numbers and directory entries in buffers on the stack. */
#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096, ENTRIES_BYTES = 2048 };

void each_line(const char *path, bool (*take)(char *line, void *state), void *state) {
  char text[LINE_MAX_BYTES];
  size_t used = 0;
  bool skips = false, goes_on = true;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  while (goes_on) {
    ssize_t count = read(fd, text + used, sizeof text - 1 - used);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 || (count == 0 && used == 0)) break;
    used += (size_t)count;
    if (count == 0) text[used++] = '\n'; /* the last line may have none */
    char *line = text, *newline;
    while (goes_on && (newline = memchr(line, '\n', used - (size_t)(line - text))) != NULL) {
      *newline = 0;
      if (!skips) goes_on = take(line, state);
      skips = false;
      line = newline + 1;
    }
    used -= (size_t)(line - text);
    memmove(text, line, used);
    if (used == sizeof text - 1) skips = true, used = 0;
  }
  close(fd);
}

char *next_field(char **text, char separator) {
  char *field = *text, *end = strchr(field, separator);
  *text = end == NULL ? field + strlen(field) : end + 1;
  if (end != NULL) *end = 0;
  return field;
}

long read_text(const char *path, char *text, size_t capacity) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t count = read(fd, text, capacity - 1);
  close(fd);
  text[count < 0 ? 0 : count] = 0;
  return count;
}

/* struct linux_dirent64, getdents64(2) */
struct entry {
  uint64_t inode;
  int64_t offset;
  uint16_t length;
  uint8_t type;
  char name[];
};

bool each_entry(int directory, bool (*take)(const char *name, void *state), void *state) {
  _Alignas(struct entry) char entries[ENTRIES_BYTES];
  for (;;) {
    long count = syscall(SYS_getdents64, directory, entries, sizeof entries);
    if (count <= 0) return count == 0;
    for (long at = 0; at < count;) {
      const struct entry *entry = (const struct entry *)(const void *)(entries + at);
      at += entry->length;
      if (strcmp(entry->name, ".") != 0 && strcmp(entry->name, "..") != 0 && !take(entry->name, state)) return false;
    }
  }
}

unsigned long take_number(const char **text) {
  unsigned long value = 0;
  while (**text == ' ') (*text)++;
  for (; **text >= '0' && **text <= '9'; (*text)++) value = value * 10 + (unsigned long)(**text - '0');
  return value;
}
