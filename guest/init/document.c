/* Decides whether the bytes of /dev/vdb are a guest document, and what its single-line members may hold; trusts nothing in it. */
#define _GNU_SOURCE
#include "banger-init.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK 512u

static bool isZeroBlock(const char *block) {
  for (size_t i = 0; i < BLOCK; i++)
    if (block[i] != 0) return false;
  return true;
}

/* ustar numbers are octal digits, ended by a space or NUL (POSIX.1-2017, pax, ustar interchange format). */
static bool parseOctal(const char *field, size_t width, unsigned long long *value) {
  size_t i = 0;
  unsigned long long total = 0;
  while (i < width && field[i] == ' ') i++;
  size_t first = i;
  for (; i < width && field[i] >= '0' && field[i] <= '7'; i++) {
    if (total >> 40) return false;
    total = total * 8 + (unsigned long long)(field[i] - '0');
  }
  if (i == first || (i < width && field[i] != 0 && field[i] != ' ')) return false;
  *value = total;
  return true;
}

static bool isChecksumRight(const char *header) {
  unsigned long long wanted;
  unsigned long sum = 0;
  if (!parseOctal(header + 148, 8, &wanted)) return false;
  for (size_t i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? ' ' : (unsigned char)header[i];
  return sum == wanted;
}

/* Relative, of letters, digits and "._-", no empty part and none that begins with a dot. */
static bool isMemberName(const char *name) {
  bool atStart = true;
  for (; *name != 0; name++) {
    bool plain = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') || (*name >= '0' && *name <= '9') ||
                 *name == '_' || *name == '-';
    if (*name == '/') {
      if (atStart) return false;
      atStart = true;
      continue;
    }
    if (!plain && (*name != '.' || atStart)) return false;
    atStart = false;
  }
  return !atStart;
}

static const char *addMember(struct document *document, const char *header, const char *data, size_t size) {
  char name[MEMBER_NAME_MAX];
  memcpy(name, header, 100);
  name[100] = 0;
  /* A prefix, or a name that is none of ours, belongs to a newer daemon. */
  if (header[345] != 0 || !isMemberName(name)) return NULL;
  if (header[156] != '0' && header[156] != 0) return "a member is no regular file";
  if (findMember(document, name) != NULL) return "a member comes twice";
  if (document->count == MEMBERS_MAX) return "too many members";
  struct member *member = &document->members[document->count++];
  memcpy(member->name, name, sizeof name);
  member->data = data;
  member->size = size;
  return NULL;
}

const char *parseDocument(const char *bytes, size_t length, struct document *document) {
  memset(document, 0, sizeof *document);
  for (size_t at = 0; length - at >= BLOCK && !isZeroBlock(bytes + at);) {
    unsigned long long size;
    const char *header = bytes + at;
    if (memcmp(header + 257, "ustar", 5) != 0) return "no ustar archive";
    if (!isChecksumRight(header)) return "wrong checksum";
    if (!parseOctal(header + 124, 12, &size)) return "a size is no number";
    at += BLOCK;
    if (size > length - at) return "truncated";
    const char *why = addMember(document, header, bytes + at, (size_t)size);
    if (why != NULL) return why;
    size_t padded = ((size_t)size + BLOCK - 1) / BLOCK * BLOCK;
    if (padded > length - at) break;
    at += padded;
  }
  char version[8];
  if (!memberLine(document, "version", version, sizeof version)) return "no version";
  if (strcmp(version, "1") != 0) return "a version other than 1";
  return NULL;
}

const struct member *findMember(const struct document *document, const char *name) {
  for (size_t i = 0; i < document->count; i++)
    if (strcmp(document->members[i].name, name) == 0) return &document->members[i];
  return NULL;
}

bool memberLine(const struct document *document, const char *name, char *into, size_t room) {
  const struct member *member = findMember(document, name);
  if (member == NULL) return false;
  const char *end = memchr(member->data, '\n', member->size);
  size_t length = end != NULL ? (size_t)(end - member->data) : member->size;
  if (length == 0 || length >= room) return false;
  for (size_t i = 0; i < length; i++)
    if (member->data[i] < ' ' || member->data[i] > '~') return false;
  memcpy(into, member->data, length);
  into[length] = 0;
  return true;
}

/* RFC 1123, section 2.1, dots included. */
bool isHostName(const char *text) {
  size_t label = 0;
  size_t length = strlen(text);
  if (length == 0 || length > 253) return false;
  for (size_t i = 0; i <= length; i++) {
    char c = text[i];
    if (c == '.' || c == 0) {
      if (label == 0 || label > 63 || text[i - 1] == '-') return false;
      label = 0;
      continue;
    }
    bool alphanumeric = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!alphanumeric && (c != '-' || label == 0)) return false;
    label++;
  }
  return true;
}

bool isAccountName(const char *text) {
  size_t length = strlen(text);
  if (length == 0 || length > 32) return false;
  for (size_t i = 0; i < length; i++) {
    char c = text[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    bool later = (c >= '0' && c <= '9') || c == '-' || c == '.';
    if (!letter && (i == 0 || !later)) return false;
  }
  return true;
}

/* Absolute, printable, and nothing in it that climbs or that a colon file or a shell would read otherwise. */
bool isPlainPath(const char *text) {
  return text[0] == '/' && text[1] != 0 && isMemberName(text + 1);
}

static bool parseId(const char *text, unsigned *id) {
  char *end;
  if (text[0] < '0' || text[0] > '9') return false;
  unsigned long long value = strtoull(text, &end, 10);
  /* 65534 is nobody, 65535 and the highest mean "none" in old and new interfaces. */
  if (*end != 0 || value > 0xfffffffeull - 1 || value == 65534 || value == 65535) return false;
  *id = (unsigned)value;
  return true;
}

bool parseAccount(const char *line, struct account *account) {
  char copy[400];
  char *fields[5];
  char *rest = copy;
  if (strlen(line) >= sizeof copy) return false;
  strcpy(copy, line);
  for (int i = 0; i < 5; i++) {
    fields[i] = strsep(&rest, ":");
    if (fields[i] == NULL) return false;
  }
  memset(account, 0, sizeof *account);
  if (rest != NULL || !isAccountName(fields[0]) || !parseId(fields[1], &account->uid) || !parseId(fields[2], &account->gid)) return false;
  if (!isPlainPath(fields[3]) || !isPlainPath(fields[4])) return false;
  if (strlen(fields[3]) >= sizeof account->home || strlen(fields[4]) >= sizeof account->shell) return false;
  /* Only root is 0, and root is only 0: anything else would lock root out or make a second one. */
  if ((account->uid == 0) != (strcmp(fields[0], "root") == 0)) return false;
  strcpy(account->name, fields[0]);
  strcpy(account->home, fields[3]);
  strcpy(account->shell, fields[4]);
  return true;
}
