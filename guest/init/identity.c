/* Writes what the guest document says about identity; each part fails alone, and the revision is stored only when all are on the disk. */
#define _GNU_SOURCE
#include "banger-init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define REVISION_PATH "var/lib/banger/revision"
#define CA_BUNDLE "etc/ssl/certs/ca-certificates.crt"
#define CA_DIRECTORY "usr/local/share/ca-certificates/banger"

static const struct owner worldReadable = {0644, 0, 0};
static const struct owner rootOnly = {0600, 0, 0};

static bool writeMember(const struct document *document, const char *name, const char *path, struct owner owner) {
  const struct member *member = findMember(document, name);
  return member == NULL || writeWhole(path, member->data, member->size, owner);
}

static bool writeHostname(const struct document *document) {
  char name[NAME_MAX_LENGTH + 1], full[256], line[400];
  if (findMember(document, "hostname") == NULL) return true;
  if (!memberLine(document, "hostname", name, sizeof name) || !isHostName(name)) {
    say(0, "the document's hostname is none");
    return false;
  }
  if (!memberLine(document, "fqdn", full, sizeof full) || !isHostName(full)) full[0] = 0;
  snprintf(line, sizeof line, "%s\n", name);
  bool written = writeWhole("etc/hostname", line, strlen(line), worldReadable);
  struct stat info;
  if (stat("etc/hosts", &info) != 0) {
    const char *hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";
    written = writeWhole("etc/hosts", hosts, strlen(hosts), worldReadable) && written;
  }
  snprintf(line, sizeof line, "127.0.1.1\t%s%s%s", full, full[0] != 0 ? " " : "", name);
  return replaceLine("etc/hosts", "127.0.1.1", '\t', line, worldReadable) && written;
}

static bool writeMachineId(const struct document *document) {
  char id[40];
  if (findMember(document, "machine-id") == NULL) return true;
  if (!memberLine(document, "machine-id", id, sizeof id) || strlen(id) != 32 || strspn(id, "0123456789abcdef") != 32) {
    say(0, "the document's machine-id is none");
    return false;
  }
  strcat(id, "\n");
  return writeWhole("etc/machine-id", id, 33, (struct owner){0444, 0, 0});
}

/* Keys that people added themselves stay; missing ones are put in front. */
static bool writeAuthorizedKeys(const struct document *document, const struct account *account) {
  const struct member *keys = findMember(document, "authorized_keys");
  char directory[160], path[200];
  if (keys == NULL) return true;
  snprintf(directory, sizeof directory, "%s/.ssh", account->home + 1);
  snprintf(path, sizeof path, "%s/authorized_keys", directory);
  if (!makeDirectories(directory, (struct owner){0700, account->uid, account->gid})) return false;
  char *old;
  size_t oldLength;
  if (!readWhole(path, &old, &oldLength)) oldLength = 0;
  char *merged = malloc(keys->size + oldLength + 2);
  bool written = false;
  if (merged != NULL) {
    memcpy(merged, keys->data, keys->size);
    size_t used = keys->size;
    if (used > 0 && merged[used - 1] != '\n') merged[used++] = '\n';
    size_t ours = used;
    for (size_t at = 0; at < oldLength;) {
      char *end = memchr(old + at, '\n', oldLength - at);
      size_t length = end != NULL ? (size_t)(end - (old + at)) : oldLength - at;
      if (length > 0 && memmem(merged, ours, old + at, length) == NULL) {
        memcpy(merged + used, old + at, length);
        used += length;
        merged[used++] = '\n';
      }
      at += length + 1;
    }
    written = writeWhole(path, merged, used, (struct owner){0600, account->uid, account->gid});
  }
  free(merged);
  free(old);
  return written;
}

static bool writeUser(const struct document *document) {
  char line[400];
  struct account account;
  if (findMember(document, "user") == NULL) return true;
  if (!memberLine(document, "user", line, sizeof line) || !parseAccount(line, &account)) {
    say(0, "the document's user is none");
    return false;
  }
  bool made = ensureAccount(&account);
  return writeAuthorizedKeys(document, &account) && made;
}

static bool writeHostKeys(const struct document *document) {
  bool written = writeMember(document, "ssh/ssh_host_ed25519_key", "etc/ssh/ssh_host_ed25519_key", rootOnly);
  return writeMember(document, "ssh/ssh_host_ed25519_key.pub", "etc/ssh/ssh_host_ed25519_key.pub", worldReadable) && written;
}

static bool writeTimezone(const struct document *document) {
  char zone[100], target[160], line[128];
  struct stat info;
  if (!memberLine(document, "timezone", zone, sizeof zone)) return true;
  snprintf(line, sizeof line, "/%s", zone);
  /* "+" occurs in zones such as Etc/GMT+5 and is fine in a file name. */
  for (char *c = line; *c != 0; c++)
    if (*c == '+') *c = '-';
  snprintf(target, sizeof target, "/usr/share/zoneinfo/%s", zone);
  if (!isPlainPath(line) || stat(target + 1, &info) != 0 || !S_ISREG(info.st_mode)) {
    say(0, "the document's time zone is not known here");
    return true;
  }
  unlink("etc/localtime.banger-new");
  if (symlink(target, "etc/localtime.banger-new") != 0 || rename("etc/localtime.banger-new", "etc/localtime") != 0) {
    say(errno, "etc/localtime");
    return false;
  }
  snprintf(line, sizeof line, "%s\n", zone);
  return writeWhole("etc/timezone", line, strlen(line), worldReadable);
}

/* Compiled locales are directories or entries of one archive, where "UTF-8" is spelled "utf8" (localedef(1)). */
static bool isLocaleHere(const char *name) {
  char path[160], folded[64];
  struct stat info;
  if (strcmp(name, "C") == 0 || strcmp(name, "POSIX") == 0 || strcasecmp(name, "C.UTF-8") == 0) return true;
  const char *dot = strchr(name, '.');
  size_t base = dot != NULL ? (size_t)(dot - name) : strlen(name);
  bool utf8 = dot != NULL && (strcasecmp(dot, ".UTF-8") == 0 || strcasecmp(dot, ".utf8") == 0);
  if (base >= sizeof folded - 6) return false;
  snprintf(folded, sizeof folded, "%.*s%s", (int)base, name, utf8 ? ".utf8" : "");
  snprintf(path, sizeof path, "usr/lib/locale/%s", folded);
  if (stat(path, &info) == 0) return true;
  int fd = open("usr/lib/locale/locale-archive", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  /* The names are in the archive's first part; a bounded look is enough and cheap. */
  char *head = malloc(FILE_MAX);
  ssize_t length = head != NULL ? read(fd, head, FILE_MAX) : -1;
  bool here = length > 0 && memmem(head, (size_t)length, folded, strlen(folded) + 1) != NULL;
  free(head);
  close(fd);
  return here;
}

static bool writeLocale(const struct document *document) {
  char name[48], line[64];
  if (!memberLine(document, "locale", name, sizeof name)) return true;
  size_t plain = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@-");
  if (plain != strlen(name) || name[0] == '.' || !isLocaleHere(name)) strcpy(name, "C.UTF-8");
  snprintf(line, sizeof line, "LANG=%s\n", name);
  bool written = makeDirectories("etc/default", (struct owner){0755, 0, 0});
  written = writeWhole("etc/default/locale", line, strlen(line), worldReadable) && written;
  return writeWhole("etc/locale.conf", line, strlen(line), worldReadable) && written;
}

static bool isProxyName(const char *name) {
  static const char *const names[] = {"http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcasecmp(name, names[i]) == 0) return true;
  return false;
}

/* pam_env and apt read these files: a value with a quote, a backslash or a dollar could mean something else to them. */
static bool isProxyValue(const char *value) {
  return strlen(value) < 400 && value[strcspn(value, "\"'\\$`;{}# \t\r")] == 0;
}

static bool writeProxyLine(const char *name, const char *value, char *apt, size_t room) {
  char line[512];
  size_t used = strlen(apt);
  snprintf(line, sizeof line, "%s=%s", name, value);
  bool http = strcmp(name, "http_proxy") == 0, https = strcmp(name, "https_proxy") == 0;
  if ((http || https) && value[0] != 0) snprintf(apt + used, room - used, "Acquire::%s::Proxy \"%s\";\n", http ? "http" : "https", value);
  return replaceLine("etc/environment", name, '=', line, worldReadable);
}

static bool writeProxy(const struct document *document) {
  const struct member *proxy = findMember(document, "proxy");
  char apt[1024] = "";
  bool written = true;
  if (proxy == NULL) return true;
  char *copy = strndup(proxy->data, proxy->size < 8192 ? proxy->size : 8192);
  if (copy == NULL) return false;
  char *rest = copy;
  for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
    char *value = strchr(line, '=');
    if (value == NULL) continue;
    *value++ = 0;
    if (isProxyName(line) && isProxyValue(value)) written = writeProxyLine(line, value, apt, sizeof apt) && written;
  }
  free(copy);
  struct stat info;
  if (stat("etc/apt/apt.conf.d", &info) != 0) return written;
  if (apt[0] == 0) {
    unlink("etc/apt/apt.conf.d/90banger-proxy");
    return written;
  }
  return writeWhole("etc/apt/apt.conf.d/90banger-proxy", apt, strlen(apt), worldReadable) && written;
}

/* In the bundle at once, so that the first command over TLS works; update-ca-certificates, which takes seconds, runs later by a unit. */
static bool addToBundle(const struct member *certificate) {
  char *bundle;
  size_t length;
  if (!readWhole(CA_BUNDLE, &bundle, &length)) return true;
  bool written = true;
  if (certificate->size > 0 && memmem(bundle, length, certificate->data, certificate->size) == NULL) {
    char *longer = realloc(bundle, length + certificate->size + 2);
    if (longer == NULL) {
      free(bundle);
      return false;
    }
    bundle = longer;
    if (length > 0 && bundle[length - 1] != '\n') bundle[length++] = '\n';
    memcpy(bundle + length, certificate->data, certificate->size);
    length += certificate->size;
    if (bundle[length - 1] != '\n') bundle[length++] = '\n';
    written = writeWhole(CA_BUNDLE, bundle, length, worldReadable);
  }
  free(bundle);
  return written;
}

static bool writeCertificates(const struct document *document) {
  bool written = true, any = false;
  for (size_t i = 0; i < document->count; i++) {
    const struct member *member = &document->members[i];
    const char *name = member->name + 3;
    size_t length = strlen(member->name);
    if (strncmp(member->name, "ca/", 3) != 0 || strchr(name, '/') != NULL || length < 8 || strcmp(member->name + length - 4, ".crt") != 0) continue;
    char path[200];
    snprintf(path, sizeof path, CA_DIRECTORY "/%s", name);
    any = true;
    written = makeDirectories(CA_DIRECTORY, (struct owner){0755, 0, 0}) && written;
    written = writeWhole(path, member->data, member->size, worldReadable) && written;
    written = addToBundle(member) && written;
  }
  return any ? writeWhole("var/lib/banger/certificates-pending", "", 0, worldReadable) && written : written;
}

/* Once in the life of a disk, whatever later revisions say. */
static bool writeFirstBoot(const struct document *document) {
  struct stat info;
  if (stat("var/lib/banger/first-boot.done", &info) == 0) return true;
  return writeMember(document, "first-boot", "var/lib/banger/first-boot", (struct owner){0700, 0, 0});
}

/* A persistent timer that has never run would run in the first minutes of every new machine. */
static void touchTimerStamps(void) {
  DIR *directory = opendir("var/lib/systemd/timers");
  if (directory == NULL) return;
  for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory))
    if (strncmp(entry->d_name, "stamp-", 6) == 0) utimensat(dirfd(directory), entry->d_name, NULL, AT_SYMLINK_NOFOLLOW);
  closedir(directory);
}

bool isIdentityCurrent(const struct document *document) {
  const struct member *revision = findMember(document, "revision");
  char *stored;
  size_t length;
  if (revision == NULL || !readWhole(REVISION_PATH, &stored, &length)) return false;
  bool same = length == revision->size && memcmp(stored, revision->data, length) == 0;
  free(stored);
  return same;
}

bool writeIdentity(const struct document *document) {
  struct stat info;
  bool first = stat(REVISION_PATH, &info) != 0;
  bool written = makeDirectories("var/lib/banger", (struct owner){0755, 0, 0});
  written = writeHostname(document) && written;
  written = writeMachineId(document) && written;
  written = writeUser(document) && written;
  written = writeHostKeys(document) && written;
  written = writeMember(document, "resolv.conf", "etc/resolv.conf", worldReadable) && written;
  written = writeTimezone(document) && written;
  written = writeLocale(document) && written;
  written = writeProxy(document) && written;
  written = writeCertificates(document) && written;
  written = writeFirstBoot(document) && written;
  if (first) touchTimerStamps();
  return written;
}

void storeRevision(const struct document *document) {
  const struct member *revision = findMember(document, "revision");
  if (revision == NULL) return;
  int root = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  /* After a crash either the old revision is there and everything is written again, or all of it is. */
  if (root < 0 || syncfs(root) != 0) {
    say(errno, "sync of the root file system");
  } else if (writeWhole(REVISION_PATH, revision->data, revision->size, worldReadable)) {
    if (syncfs(root) != 0) say(errno, "sync of the revision");
  }
  if (root >= 0) close(root);
}
