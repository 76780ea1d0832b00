/*
 * /usr/lib/banger/init, PID 1 before systemd: reads the guest document (docs/guest.md §1), makes this disk that machine, brings up the
 * network, the guest helper and an early sshd, and becomes systemd. It starts no process that it need not, and no failure stops the boot.
 */
#define _GNU_SOURCE
#include "banger-init.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DOCUMENT_DISK "/dev/vdb"
#define SYSTEMD "/usr/lib/systemd/systemd"
#define HELPER "/usr/lib/banger/banger-vsock-pingd"
#define READ_STEP (256u << 10)

/* Whether the archive's end, two zero blocks, is within these bytes: what follows on the disk need not be read. */
static bool hasEnd(const char *bytes, size_t length) {
  static const char zeros[1024];
  for (size_t at = 0; at + sizeof zeros <= length; at += 512)
    if (bytes[at] == 0 && memcmp(bytes + at, zeros, sizeof zeros) == 0) return true;
  return false;
}

static char *readDocument(const char *path, size_t *length) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  *length = 0;
  if (fd < 0) {
    say(errno, "%s", path);
    return NULL;
  }
  char *bytes = NULL;
  for (size_t room = READ_STEP; room <= DOCUMENT_MAX; room += READ_STEP) {
    char *more = realloc(bytes, room);
    if (more == NULL) break;
    bytes = more;
    while (*length < room) {
      ssize_t n = read(fd, bytes + *length, room - *length);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) say(errno, "%s", path);
      if (n <= 0) goto done;
      *length += (size_t)n;
    }
    if (hasEnd(bytes, *length)) break;
  }
done:
  close(fd);
  return bytes;
}

static bool loadDocument(const char *path, struct document *document) {
  size_t length;
  char *bytes = readDocument(path, &length);
  if (bytes == NULL) return false;
  const char *why = parseDocument(bytes, length, document);
  if (why == NULL) return true;
  say(0, "the guest document is ignored: %s", why);
  free(bytes);
  return false;
}

/* Syncing a new disk takes a while: a child does it beside the boot; systemd reaps it. */
static void storeRevisionLater(const struct document *document) {
  pid_t pid = fork();
  if (pid < 0) say(errno, "fork");
  if (pid != 0) return;
  storeRevision(document);
  _exit(0);
}

static void setHostname(void) {
  char *name;
  size_t length;
  if (!readWhole("etc/hostname", &name, &length)) return;
  length = strcspn(name, "\n");
  if (length > 0 && length <= NAME_MAX_LENGTH && sethostname(name, length) != 0) say(errno, "hostname");
  free(name);
}

static void startHelper(bool earlySshd) {
  struct stat info;
  if (stat(HELPER, &info) != 0) return;
  pid_t pid = fork();
  if (pid < 0) say(errno, "fork");
  if (pid == 0) {
    /* The one descriptor that is meant to stay open is for systemd. */
    for (int fd = 3; fd < 16; fd++) close(fd);
    execl(HELPER, "banger-vsock-pingd", "--early", "--sshd", earlySshd ? "early" : "none", (char *)NULL);
    say(errno, HELPER);
    _exit(127);
  }
  /* It goes to the background itself. */
  if (pid > 0) waitpid(pid, NULL, 0);
}

static void becomeSystemd(char **argv) {
  argv[0] = SYSTEMD;
  execv(SYSTEMD, argv);
  say(errno, SYSTEMD);
  argv[0] = "/bin/sh";
  execl("/bin/sh", "sh", (char *)NULL);
  _exit(1);
}

static int boot(char **argv) {
  struct document document;
  umask(0);
  mountKernelFileSystems();
  umask(022);
  if (chdir("/") != 0) say(errno, "/");
  bringUpLoopback();
  if (loadDocument(DOCUMENT_DISK, &document)) {
    bringUpNetwork(&document);
    if (!isIdentityCurrent(&document) && writeIdentity(&document)) storeRevisionLater(&document);
  }
  setHostname();
  startHelper(startEarlySshd());
  becomeSystemd(argv);
  return 1;
}

/* For tests: what a boot would write, into a directory. */
static int writeInto(const char *root, const char *path) {
  struct document document;
  if (!loadDocument(path, &document)) return 1;
  umask(022);
  if (chdir(root) != 0) {
    say(errno, "%s", root);
    return 1;
  }
  if (isIdentityCurrent(&document)) return 0;
  if (!writeIdentity(&document)) return 3;
  storeRevision(&document);
  return 0;
}

int main(int argc, char **argv) {
  if (getpid() == 1) return boot(argv);
  if (argc == 2 && strcmp(argv[1], "--grow") == 0) return growRoot();
  if (argc == 2 && strcmp(argv[1], "--end-early-sshd") == 0) return endEarlySshd();
  if (argc == 5 && strcmp(argv[1], "--root") == 0 && strcmp(argv[3], "--document") == 0) return writeInto(argv[2], argv[4]);
  say(0, "usage: init --grow | --end-early-sshd | --root DIR --document FILE");
  return 2;
}
