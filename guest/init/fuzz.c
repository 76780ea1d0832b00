/* Mutates guest documents from a fixed seed and gives each to the parser and the field checks: fuzz ROUNDS SEED FILE. Built under sanitizers by the tests. */
#define _GNU_SOURCE
#include "banger-init.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t state;

/* xorshift64: the same seed finds the same input again. */
static uint32_t next(uint32_t below) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)(state >> 32) % below;
}

static void fixChecksum(char *header) {
  char text[16];
  unsigned sum = 0;
  memset(header + 148, ' ', 8);
  for (int i = 0; i < 512; i++) sum += (unsigned char)header[i];
  snprintf(text, sizeof text, "%06o", sum);
  memcpy(header + 148, text, 6);
  header[154] = 0;
}

static size_t mutate(char *bytes, size_t length) {
  for (uint32_t n = next(6); n > 0 && length > 0; n--) bytes[next((uint32_t)length)] = (char)next(256);
  /* Most mutations only break a checksum: mend every header that is still where it was, so that what is behind it is reached too. */
  for (size_t at = 0; at + 512 <= length; at += 512)
    if (memcmp(bytes + at + 257, "ustar", 5) == 0 && next(4) != 0) fixChecksum(bytes + at);
  return next(3) == 0 ? next((uint32_t)length + 1) : length;
}

static void look(const struct document *document) {
  static const char *const names[] = {"hostname", "fqdn", "user", "machine-id", "timezone", "locale"};
  char line[400];
  struct account account;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (!memberLine(document, names[i], line, sizeof line)) continue;
    int plain = isHostName(line) + isAccountName(line) + isPlainPath(line) + parseAccount(line, &account);
    if (plain > 0 && strlen(line) >= sizeof line) abort();
  }
  for (size_t i = 0; i < document->count; i++)
    if (strstr(document->members[i].name, "..") == document->members[i].name || document->members[i].name[0] == '/') abort();
}

int main(int argc, char **argv) {
  static char original[1 << 16];
  if (argc != 4) return 2;
  state = strtoull(argv[2], NULL, 10) | 1;
  int fd = open(argv[3], O_RDONLY);
  ssize_t length = fd < 0 ? -1 : read(fd, original, sizeof original);
  if (length <= 0) return 2;
  unsigned long accepted = 0;
  for (long round = atol(argv[1]); round > 0; round--) {
    /* An allocation of exactly the size, so that the sanitizer sees a read one byte too far. */
    char *copy = malloc((size_t)length);
    if (copy == NULL) return 2;
    memcpy(copy, original, (size_t)length);
    size_t used = mutate(copy, (size_t)length);
    char *exact = realloc(copy, used > 0 ? used : 1);
    struct document document;
    if (exact == NULL) return 2;
    if (parseDocument(exact, used, &document) == NULL) accepted++;
    look(&document);
    free(exact);
  }
  printf("%lu accepted\n", accepted);
  return 0;
}
