/* Makes or adapts the one user of the guest document: passwd, shadow, group, gshadow, subordinate ids, sudo, home. */
#define _GNU_SOURCE
#include "banger-init.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SUBID_FIRST 100000ul
#define SUBID_COUNT 65536ul

static const struct owner worldReadable = {0644, 0, 0};
static const struct owner sudoersFile = {0440, 0, 0};

/* Debian's group shadow (42 in base-passwd, fixed) reads these. */
static const struct owner shadowFile = {0640, 0, 42};

/* Whether a line of a colon file has this number as its third field. */
static bool isIdTaken(const char *path, unsigned id) {
  char *bytes;
  size_t length;
  bool taken = false;
  if (!readWhole(path, &bytes, &length)) return false;
  char *rest = bytes;
  for (char *line = strsep(&rest, "\n"); line != NULL && !taken; line = strsep(&rest, "\n")) {
    char *field = strchr(line, ':');
    if (field != NULL) field = strchr(field + 1, ':');
    if (field == NULL || field[1] < '0' || field[1] > '9') continue;
    char *end;
    taken = strtoul(field + 1, &end, 10) == id && (*end == ':' || *end == 0);
  }
  free(bytes);
  return taken;
}

static bool ensureGroup(const struct account *account) {
  char line[256], members[160];
  /* A group with this number may already be there under Debian's name ("users" is 100): it serves. */
  if (isIdTaken("etc/group", account->gid)) return true;
  if (!readField("etc/group", account->name, 3, members, sizeof members)) members[0] = 0;
  snprintf(line, sizeof line, "%s:x:%u:%s", account->name, account->gid, members);
  if (!replaceLine("etc/group", account->name, ':', line, worldReadable)) return false;
  snprintf(line, sizeof line, "%s:*::%s", account->name, members);
  return replaceLine("etc/gshadow", account->name, ':', line, shadowFile);
}

static bool joinGroup(const char *group, const char *name) {
  char gid[16], members[512], line[700];
  if (!readField("etc/group", group, 2, gid, sizeof gid) || !readField("etc/group", group, 3, members, sizeof members)) return true;
  char copy[512];
  strcpy(copy, members);
  char *rest = copy;
  for (char *word = strsep(&rest, ","); word != NULL; word = strsep(&rest, ","))
    if (strcmp(word, name) == 0) return true;
  const char *comma = members[0] != 0 ? "," : "";
  snprintf(line, sizeof line, "%s:x:%s:%s%s%s", group, gid, members, comma, name);
  if (!replaceLine("etc/group", group, ':', line, worldReadable)) return false;
  if (!readField("etc/gshadow", group, 3, members, sizeof members)) return true;
  snprintf(line, sizeof line, "%s:*::%s%s%s", group, members, members[0] != 0 ? "," : "", name);
  return replaceLine("etc/gshadow", group, ':', line, shadowFile);
}

static bool ensurePasswd(const struct account *account) {
  char line[512], gecos[128], kept[256];
  struct stat info;
  if (!readField("etc/passwd", account->name, 4, gecos, sizeof gecos)) gecos[0] = 0;
  /* The host's shell may not be installed here, and a login with a missing shell is refused. */
  const char *shell = stat(account->shell + 1, &info) == 0 ? account->shell : "/bin/bash";
  snprintf(line, sizeof line, "%s:x:%u:%u:%s:%s:%s", account->name, account->uid, account->gid, gecos, account->home, shell);
  if (!replaceLine("etc/passwd", account->name, ':', line, worldReadable)) return false;
  if (readField("etc/shadow", account->name, 1, kept, sizeof kept)) return true;
  /* "*": no password fits, and yet the account is not locked. No date of a last change: nothing expires. */
  snprintf(line, sizeof line, "%s:*::0:99999:7:::", account->name);
  return replaceLine("etc/shadow", account->name, ':', line, shadowFile);
}

/* Rootless containers need a range; the first behind all others. */
static bool ensureSubordinateIds(const char *path, const char *name) {
  char *bytes, line[128];
  size_t length;
  unsigned long next = SUBID_FIRST;
  if (readWhole(path, &bytes, &length)) {
    char *rest = bytes;
    bool present = false;
    for (char *entry = strsep(&rest, "\n"); entry != NULL; entry = strsep(&rest, "\n")) {
      char *start = strchr(entry, ':');
      char *count = start != NULL ? strchr(start + 1, ':') : NULL;
      if (count == NULL) continue;
      present = present || (strncmp(entry, name, (size_t)(start - entry)) == 0 && name[start - entry] == 0);
      unsigned long end = strtoul(start + 1, NULL, 10) + strtoul(count + 1, NULL, 10);
      if (end > next && end < 0xf0000000ul) next = end;
    }
    free(bytes);
    if (present) return true;
  }
  snprintf(line, sizeof line, "%s:%lu:%lu", name, next, SUBID_COUNT);
  return replaceLine(path, name, ':', line, worldReadable);
}

static bool ensureHome(const struct account *account) {
  struct stat info;
  const char *home = account->home + 1;
  if (lstat(home, &info) == 0) return S_ISDIR(info.st_mode);
  return makeDirectories(home, (struct owner){0700, account->uid, account->gid}) &&
         copyTree("etc/skel", home, account->uid, account->gid, 0);
}

static bool ensureSudo(const struct account *account) {
  char line[128];
  if (!makeDirectories("etc/sudoers.d", (struct owner){0750, 0, 0})) return false;
  snprintf(line, sizeof line, "%s ALL=(ALL:ALL) NOPASSWD: ALL\n", account->name);
  return writeWhole("etc/sudoers.d/90-banger", line, strlen(line), sudoersFile);
}

bool ensureAccount(const struct account *account) {
  if (account->uid == 0) return ensureHome(account);
  bool made = ensureGroup(account);
  made = ensurePasswd(account) && made;
  made = joinGroup("sudo", account->name) && made;
  made = ensureSubordinateIds("etc/subuid", account->name) && made;
  made = ensureSubordinateIds("etc/subgid", account->name) && made;
  made = ensureSudo(account) && made;
  return ensureHome(account) && made;
}
