/* The way out of the namespace: pasta, started closed, ended with us however we end, and started again when it dies by itself. */
#define _GNU_SOURCE
#include "holder.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIRST_DELAY_MS = 100, LONGEST_DELAY_MS = 10000, STEADY_MS = 5000 };

static _Noreturn void run_pasta(const struct way_out *way) {
  int log = open(way->log, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (log < 0) _exit(126);
  be_silent();
  if (dup2(log, 1) < 0 || dup2(log, 2) < 0) _exit(126);
  char pid[16];
  snprintf(pid, sizeof pid, "%d", (int)way->inside);
  /*
   * Its defaults are open: ports of the namespace on all of the host's addresses, the two loopbacks spliced, the gateway's address
   * led to the host's loopback. All of that is off.
   */
  const char *const plain[] = {way->pasta, "--foreground", "--config-net", "--mtu", "65520", "--ns-ifname", "outside",
                               "--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none",
                               "--no-map-gw", "--runas", "0:0", pid, NULL};
  const char *argv[32];
  size_t count = 0;
  for (size_t at = 0; plain[at]; at++) {
    /* Root's pasta would become nobody, who may not enter root's namespace; nobody else may name a user. */
    if (strcmp(plain[at], "--runas") == 0 && geteuid() != 0) {
      at++;
      continue;
    }
    argv[count++] = plain[at];
  }
  argv[count] = NULL;
  char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
  execve(way->pasta, (char *const *)argv, environment);
  fprintf(stderr, "%s: %s\n", way->pasta, strerror(errno));
  _exit(127);
}

/*
 * pasta cannot be told to end with us: the kernel forgets a parent-death signal when it changes its credentials, which it does. So a
 * process of ours stands between, which is told, and ends its child.
 */
static _Noreturn void guard(const struct way_out *way, int report, pid_t parent) {
  sigset_t awaited;
  sigemptyset(&awaited);
  sigaddset(&awaited, SIGTERM);
  sigaddset(&awaited, SIGCHLD);
  if (sigprocmask(SIG_SETMASK, &awaited, NULL) != 0) _exit(1);
  if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent) _exit(1);
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
  if (write(report, &pasta, sizeof pasta) != (ssize_t)sizeof pasta) kill(pasta, SIGKILL);
  close(report);
  be_silent();
  for (;;) {
    int signal_number;
    if (sigwait(&awaited, &signal_number) != 0) continue;
    if (signal_number == SIGTERM) kill(pasta, SIGKILL);
    int status;
    pid_t ended = waitpid(pasta, &status, signal_number == SIGTERM ? 0 : WNOHANG);
    if (ended == pasta) _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
  }
}

void start_way_out(struct way_out *way) {
  way->retry_ms = 0;
  if (!way->pasta) return;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) die("pipe");
  pid_t parent = getpid();
  way->guard = fork();
  if (way->guard < 0) die("fork");
  if (way->guard == 0) {
    close(ends[0]);
    guard(way, ends[1], parent);
  }
  close(ends[1]);
  ssize_t got;
  do got = read(ends[0], &way->pasta_pid, sizeof way->pasta_pid);
  while (got < 0 && errno == EINTR);
  close(ends[0]);
  if (got != (ssize_t)sizeof way->pasta_pid) way->pasta_pid = 0;
  way->started_ms = now_ms();
}

bool way_out_ended(struct way_out *way, pid_t child) {
  if (child == 0 || (child != way->guard && child != way->pasta_pid)) return false;
  if (child == way->pasta_pid) {
    /* Ours only when its guard was ended before it. */
    way->pasta_pid = 0;
    return true;
  }
  way->guard = 0;
  /* A guard that was ended left pasta to us, who adopt orphans: its pid cannot be another's before we have waited for it. */
  if (way->pasta_pid > 0 && waitpid(way->pasta_pid, NULL, WNOHANG) == 0) {
    kill(way->pasta_pid, SIGKILL);
    while (waitpid(way->pasta_pid, NULL, 0) < 0 && errno == EINTR) {}
  }
  way->pasta_pid = 0;
  long long now = now_ms();
  bool was_steady = now - way->started_ms >= STEADY_MS;
  way->delay_ms = was_steady || way->delay_ms == 0 ? FIRST_DELAY_MS : way->delay_ms * 2;
  if (way->delay_ms > LONGEST_DELAY_MS) way->delay_ms = LONGEST_DELAY_MS;
  way->retry_ms = now + way->delay_ms;
  return true;
}

void end_way_out(struct way_out *way) {
  if (way->guard <= 0) return;
  kill(way->guard, SIGTERM);
  while (waitpid(way->guard, NULL, 0) < 0 && errno == EINTR) {}
  way->guard = 0;
}
