/* Asks systemd to end the guest: by systemctl, else by signal, again and again while systemd is not up yet. */
#include "shutdown.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop.h"

/* systemd counts from glibc's SIGRTMIN, which is not musl's. */
enum { SIGNAL_POWEROFF = 34 + 4, SIGNAL_REBOOT = 34 + 5, RETRY_MS = 500, PATIENCE_MS = 5000, ATTEMPTS_MAX = 60 };

static struct shutdown_options options;
static bool to_reboot;
static pid_t child;
static int attempts;

static void try_again(void);
static void reap(struct watch *watch);
static struct watch children = {.fd = -1, .changed = reap};
static struct timer retry = {.fire = try_again};

/* Anything but systemd would take these signals for its death. */
static bool init_is_systemd(void) {
  char path[64], name[16] = "";
  snprintf(path, sizeof path, "/proc/%d/comm", (int)options.init);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t count = read(fd, name, sizeof name - 1);
  close(fd);
  return count > 0 && strcmp(name, "systemd\n") == 0;
}

static bool signal_init(void) {
  if (options.init <= 0 || !init_is_systemd()) return false;
  return kill(options.init, to_reboot ? SIGNAL_REBOOT : SIGNAL_POWEROFF) == 0;
}

static void become_systemctl(void) {
  static char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
  char *const arguments[] = {"systemctl", to_reboot ? "reboot" : "poweroff", NULL};
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  signal(SIGHUP, SIG_DFL);
  int null = open("/dev/null", O_RDWR);
  for (int fd = 0; null >= 0 && fd < 3; fd++) dup2(null, fd);
  int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (score >= 0 && write(score, "0", 1) < 0) null = -1; /* only the helper itself is worth sparing */
  execve(options.systemctl, arguments, environment);
  _exit(127);
}

static bool run_systemctl(void) {
  attempts++;
  child = fork();
  if (child == 0) become_systemctl();
  if (child > 0) return true;
  child = 0;
  return false;
}

const char *shut_down(bool reboot) {
  to_reboot = reboot;
  attempts = 0;
  if (child > 0) return NULL;
  /* systemctl can hang on a bus that is itself in trouble; the signal needs none. */
  timer_set(&retry, PATIENCE_MS);
  if (run_systemctl() || signal_init()) return NULL;
  timer_clear(&retry);
  return "cannot start systemctl";
}

static void try_again(void) {
  if (child > 0) {
    signal_init();
    return;
  }
  if (attempts >= ATTEMPTS_MAX) {
    say("the guest does not go down: systemctl fails and PID %d takes no signal", (int)options.init);
    return;
  }
  timer_set(&retry, PATIENCE_MS);
  run_systemctl();
}

static void reap(struct watch *watch) {
  struct signalfd_siginfo drained;
  while (read(watch->fd, &drained, sizeof drained) > 0) continue;
  for (;;) {
    int status;
    pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return;
    if (pid != child) continue;
    child = 0;
    timer_clear(&retry);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
    /* Early in the boot neither works yet: PID 1 is still the first-stage init. So keep at it. */
    signal_init();
    timer_set(&retry, RETRY_MS);
  }
}

bool shutdown_open(const struct shutdown_options *wanted) {
  sigset_t wait_for;
  options = *wanted;
  sigemptyset(&wait_for);
  sigaddset(&wait_for, SIGCHLD);
  if (sigprocmask(SIG_BLOCK, &wait_for, NULL) != 0) return false;
  int fd = signalfd(-1, &wait_for, SFD_NONBLOCK | SFD_CLOEXEC);
  return fd >= 0 && watch_add(&children, fd);
}
