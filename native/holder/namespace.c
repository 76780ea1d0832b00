/* The user, network and mount namespaces: made without privilege, or taken over from a process that is in them, and kept by a process that waits. */
#define _GNU_SOURCE
#include "holder.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const int types[NS_COUNT] = {CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWNS};
static const char *const names[NS_COUNT] = {"user", "net", "mnt"};

/* How far the one that makes them got; what is said of a failure depends on it. */
enum stage { DONE, UNSHARE, MAP, LINK, ADOPT };
struct outcome {
  int stage;
  int error;
};

static bool write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t written = write(fd, text, strlen(text));
  int why = errno;
  close(fd);
  errno = why;
  return written == (ssize_t)strlen(text);
}

static bool map_to_root(uid_t uid, gid_t gid) {
  char line[64];
  /* Without it the kernel lets nobody without privilege map a group (user_namespaces(7)). */
  if (!write_file("/proc/self/setgroups", "deny") && errno != ENOENT) return false;
  snprintf(line, sizeof line, "0 %u 1\n", (unsigned)uid);
  if (!write_file("/proc/self/uid_map", line)) return false;
  snprintf(line, sizeof line, "0 %u 1\n", (unsigned)gid);
  return write_file("/proc/self/gid_map", line);
}

static bool raise_loopback(void) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  struct ifreq request;
  memset(&request, 0, sizeof request);
  strcpy(request.ifr_name, "lo");
  bool is_up = false;
  if (ioctl(fd, SIOCGIFFLAGS, &request) == 0) {
    request.ifr_flags |= IFF_UP;
    is_up = ioctl(fd, SIOCSIFFLAGS, &request) == 0;
  }
  int why = errno;
  close(fd);
  errno = why;
  return is_up;
}

bool open_namespaces(pid_t pid, struct namespaces *found) {
  for (int at = 0; at < NS_COUNT; at++) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, names[at]);
    found->fds[at] = open(path, O_RDONLY | O_CLOEXEC);
    if (found->fds[at] < 0) return false;
  }
  return true;
}

bool enter_namespaces(const struct namespaces *from) {
  for (int at = 0; at < NS_COUNT; at++)
    if (setns(from->fds[at], types[at]) != 0) return false;
  return true;
}

static struct outcome make(pid_t adopt) {
  uid_t uid = geteuid();
  gid_t gid = getegid();
  if (adopt > 0) {
    struct namespaces theirs;
    if (!open_namespaces(adopt, &theirs) || !enter_namespaces(&theirs)) return (struct outcome){ADOPT, errno};
    return (struct outcome){DONE, 0};
  }
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) != 0) return (struct outcome){UNSHARE, errno};
  /* Where AppArmor gives the namespace but no right in it, this is what fails (Ubuntu 24.04). */
  if (!map_to_root(uid, gid)) return (struct outcome){MAP, errno};
  if (!raise_loopback()) return (struct outcome){LINK, errno};
  return (struct outcome){DONE, 0};
}

/* pasta has few rights when it looks for the namespaces, and may look into no process that has more (ptrace(2)); this one needs none. */
bool drop_all_rights(void) {
  struct {
    unsigned version;
    int pid;
  } header = {0x20080522, 0}; /* _LINUX_CAPABILITY_VERSION_3 of linux/capability.h, which musl does not bring */
  struct {
    unsigned effective, permitted, inheritable;
  } none[2] = {{0}};
  return syscall(SYS_capset, &header, none) == 0;
}

static _Noreturn void keep(int report, pid_t adopt, pid_t parent) {
  struct outcome outcome = make(adopt);
  if (outcome.stage == DONE && !drop_all_rights()) _exit(1);
  /* After the change of namespaces, which clears it (prctl(2)). */
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) _exit(1);
  if (prctl(PR_SET_NAME, "banger-inside") != 0) _exit(1);
  if (write(report, &outcome, sizeof outcome) != (ssize_t)sizeof outcome || outcome.stage != DONE) _exit(1);
  close(report);
  be_silent();
  if (chdir("/") != 0) _exit(1);
  for (;;) pause();
}

static const char *describe(enum stage stage) {
  switch (stage) {
    case UNSHARE: return "no user namespace can be made";
    case MAP: return "a user namespace can be made, but nothing may be done in it";
    case LINK: return "a network namespace can be made, but not used";
    default: return "the namespaces of a running VM cannot be entered";
  }
}

static struct outcome start_keeper(pid_t adopt, pid_t *keeper) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) die("pipe");
  pid_t parent = getpid();
  *keeper = fork();
  if (*keeper < 0) die("fork");
  if (*keeper == 0) {
    close(ends[0]);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGTERM, SIG_DFL);
    keep(ends[1], adopt, parent);
  }
  close(ends[1]);
  struct outcome outcome;
  ssize_t got;
  do got = read(ends[0], &outcome, sizeof outcome);
  while (got < 0 && errno == EINTR);
  close(ends[0]);
  if (got != (ssize_t)sizeof outcome) die_plain("the process that keeps the namespaces ended");
  return outcome;
}

pid_t make_namespaces(pid_t adopt, struct namespaces *found) {
  pid_t keeper;
  struct outcome outcome = start_keeper(adopt, &keeper);
  if (outcome.stage != DONE) {
    errno = outcome.error;
    die(describe(outcome.stage));
  }
  if (!open_namespaces(keeper, found)) die("the namespaces cannot be opened");
  return keeper;
}

int probe_namespaces(void) {
  pid_t keeper;
  struct outcome outcome = start_keeper(0, &keeper);
  if (outcome.stage == DONE) {
    kill(keeper, SIGKILL);
    puts("ok");
  } else {
    static const char *const words[] = {"ok", "unshare", "map", "link", "adopt"};
    printf("%s %s: %s\n", words[outcome.stage], describe(outcome.stage), strerror(outcome.error));
  }
  while (waitpid(keeper, NULL, 0) < 0 && errno == EINTR) {}
  return outcome.stage == DONE ? 0 : 1;
}
