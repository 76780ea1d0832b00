/* The way out of the namespace: pasta, started closed, ended with us however we end, and started again when it dies by itself. */
#define _GNU_SOURCE
#include "holder.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIRST_DELAY_MS = 100, LONGEST_DELAY_MS = 10000, STEADY_MS = 5000 };

static _Noreturn void run_pasta(const struct way_out *way) {
  int log = open(way->log, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (log < 0) _exit(126);
  be_silent();
  if (dup2(log, 1) < 0 || dup2(log, 2) < 0) _exit(126);
  char network[32];
  snprintf(network, sizeof network, "/proc/%d/ns/net", (int)way->inside);
  /*
   * Its defaults are open: ports of the namespace on all of the host's addresses, the two loopbacks spliced, the gateway's address
   * led to the host's loopback. All of that is off.
   */
  const char *const argv[] = {way->pasta, "--foreground", "--config-net", "--mtu", "65520", "--ns-ifname", "outside",
                              "--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none",
                              "--no-map-gw", "--netns-only", "--no-netns-quit", "--netns", network, NULL};
  char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
  execve(way->pasta, (char *const *)argv, environment);
  fprintf(stderr, "%s: %s\n", way->pasta, strerror(errno));
  _exit(127);
}

/*
 * pasta cannot be told to end with us: the kernel forgets a parent-death signal when a process changes its credentials, which it does.
 * So the first process of a process namespace stands between. It is told, and with it, whoever ends it, the kernel ends the others there.
 */
static _Noreturn void guard(const struct way_out *way, int report) {
  const pid_t nobody = 0;
  sigset_t awaited;
  sigemptyset(&awaited);
  sigaddset(&awaited, SIGCHLD);
  if (sigprocmask(SIG_SETMASK, &awaited, NULL) != 0) _exit(1);
  signal(SIGPIPE, SIG_IGN);
  /* Nobody reads when the holder had ended before this, and our parent is of another namespace, where it has no number for us. */
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || write(report, &nobody, sizeof nobody) != (ssize_t)sizeof nobody) _exit(1);
  close(report);
  if (prctl(PR_SET_NAME, "banger-way-out") != 0) _exit(1);
  pid_t pasta = fork();
  if (pasta < 0) _exit(1);
  if (pasta == 0) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* Ignored signals outlast an exec, and some versions of pasta take one that is ignored already for a failure. */
    signal(SIGPIPE, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    run_pasta(way);
  }
  be_silent();
  for (;;) {
    int signal_number, status;
    if (sigwait(&awaited, &signal_number) != 0) continue;
    for (pid_t ended; (ended = waitpid(-1, &status, WNOHANG)) > 0;)
      if (ended == pasta) _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
  }
}

/* Enters the user namespace, which gives the right to a process namespace, and leaves the guard to the holder as its own child. */
static _Noreturn void beget_guard(const struct way_out *way, int report) {
  if (setns(way->user_namespace, CLONE_NEWUSER) != 0 || unshare(CLONE_NEWPID) != 0) _exit(1);
  pid_t child = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
  if (child == 0) guard(way, report);
  _exit(child > 0 && write(report, &child, sizeof child) == (ssize_t)sizeof child ? 0 : 1);
}

static void expect_retry(struct way_out *way) {
  long long now = now_ms();
  bool was_steady = now - way->started_ms >= STEADY_MS;
  way->delay_ms = was_steady || way->delay_ms == 0 ? FIRST_DELAY_MS : way->delay_ms * 2;
  if (way->delay_ms > LONGEST_DELAY_MS) way->delay_ms = LONGEST_DELAY_MS;
  way->retry_ms = now + way->delay_ms;
}

void start_way_out(struct way_out *way) {
  way->retry_ms = 0;
  if (!way->pasta) return;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) die("pipe");
  pid_t helper = fork();
  if (helper < 0) die("fork");
  if (helper == 0) {
    close(ends[0]);
    beget_guard(way, ends[1]);
  }
  close(ends[1]);
  /* Its number, from the one that made it, and its own word that it will end with us, in either order. */
  way->guard = 0;
  for (int at = 0; at < 2; at++) {
    pid_t told;
    ssize_t got;
    do got = read(ends[0], &told, sizeof told);
    while (got < 0 && errno == EINTR);
    if (got == (ssize_t)sizeof told && told > 0) way->guard = told;
  }
  close(ends[0]);
  while (waitpid(helper, NULL, 0) < 0 && errno == EINTR) {}
  way->started_ms = now_ms();
  if (way->guard == 0) expect_retry(way);
}

bool way_out_ended(struct way_out *way, pid_t child) {
  if (child == 0 || child != way->guard) return false;
  way->guard = 0;
  expect_retry(way);
  return true;
}

void end_way_out(struct way_out *way) {
  if (way->guard <= 0) return;
  kill(way->guard, SIGKILL);
  while (waitpid(way->guard, NULL, 0) < 0 && errno == EINTR) {}
  way->guard = 0;
}
