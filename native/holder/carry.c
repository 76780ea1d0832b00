/* Carries stdin to a connection inside and what comes back to stdout, until the other side has ended. */
#define _GNU_SOURCE
#include "holder.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

/* Others, which say that nothing was carried yet, are 1 and 75. */
enum { CHUNK = 65536, BROKEN = 3 };

static bool write_all(int to, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t written = write(to, bytes, length);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes += written;
    length -= (size_t)written;
  }
  return true;
}

/* Answers whether the sender came to its end. */
static bool copy(int from, int to) {
  static char bytes[CHUNK];
  for (;;) {
    ssize_t got = read(from, bytes, sizeof bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) return true;
    if (got < 0 || !write_all(to, bytes, (size_t)got)) return false;
  }
}

int carry(int connection) {
  signal(SIGPIPE, SIG_IGN);
  pid_t parent = getpid();
  /* A process for each direction: neither ever waits for the other. */
  pid_t sender = fork();
  if (sender < 0) die("fork");
  if (sender == 0) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) _exit(1);
    (void)copy(0, connection);
    (void)shutdown(connection, SHUT_WR);
    _exit(0);
  }
  bool has_ended = copy(connection, 1);
  kill(sender, SIGKILL);
  return has_ended ? 0 : BROKEN;
}
