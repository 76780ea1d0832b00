/* What is done inside the namespaces for others: running a program, connecting and binding sockets, which then belong to whoever is given them. */
#define _GNU_SOURCE
#include "holder.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* 75: a temporary failure (sysexits.h): there is no holder, which its caller can mend. */
enum { NOBODY = 1, NO_HOLDER = 75, ANSWER_TIMEOUT_MS = 5000 };

/* Asks the holder, by one line, for the namespaces, and enters them. */
static bool go_inside(const char *socket, const char *request) {
  int fd = connect_to(socket);
  if (fd < 0) return false;
  char answer;
  struct namespaces given;
  struct pollfd awaited = {.fd = fd, .events = POLLIN};
  size_t length = strlen(request);
  bool is_given = send(fd, request, length, MSG_NOSIGNAL) == (ssize_t)length && poll(&awaited, 1, ANSWER_TIMEOUT_MS) == 1 &&
                  receive_fds(fd, &answer, 1, given.fds, NS_COUNT) == 1 && given.fds[NS_COUNT - 1] >= 0;
  close(fd);
  if (!is_given) {
    errno = ECONNRESET;
    return false;
  }
  return enter_namespaces(&given);
}

static void need_inside(const char *socket, const char *request) {
  if (go_inside(socket, request)) return;
  fprintf(stderr, "banger-holder: %s: %s\n", socket, strerror(errno));
  exit(NO_HOLDER);
}

/* A VMM has no business with links and rules: what it runs as in the namespace has no right there, and gets none by executing. */
static void drop_rights(void) {
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++)
    if (prctl(PR_CAPBSET_DROP, capability) != 0) die("a right could not be dropped");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) die("no_new_privs");
}

int enter(const struct enter_options *options) {
  need_inside(options->socket, options->is_leased ? "lease\n" : "namespaces\n");
  if (options->is_leased) drop_rights();
  if (chdir("/") != 0) die("/");
  char *path = options->argv[0];
  if (options->argv0) options->argv[0] = (char *)options->argv0;
  execv(path, options->argv);
  die(path);
}

static bool read_number(const char *text, long limit, long *value) {
  char *end;
  errno = 0;
  *value = strtol(text, &end, 10);
  return errno == 0 && end != text && *end == 0 && *value >= 0 && *value <= limit;
}

static struct sockaddr_in read_address(const char *address, const char *port) {
  struct sockaddr_in read = {.sin_family = AF_INET};
  long number;
  if (inet_pton(AF_INET, address, &read.sin_addr) != 1) die_plain("not an IPv4 address");
  if (!read_number(port, 65535, &number)) die_plain("not a port");
  read.sin_port = htons((unsigned short)number);
  return read;
}

/* One try; false with errno. The socket is left blocking, as ssh and others expect it. */
static bool connect_once(const struct sockaddr_in *to, long long until, int *connected) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) die("socket");
  int failed = 0;
  if (connect(fd, (const struct sockaddr *)to, sizeof *to) != 0) {
    failed = errno;
    if (failed == EINPROGRESS) {
      struct pollfd awaited = {.fd = fd, .events = POLLOUT};
      long long left = until - now_ms();
      int ready = poll(&awaited, 1, left > 0 ? (int)left : 0);
      socklen_t length = sizeof failed;
      if (ready <= 0) failed = ETIMEDOUT;
      else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &length) != 0) failed = errno;
    }
  }
  if (failed) {
    close(fd);
    errno = failed;
    return false;
  }
  *connected = fd;
  return true;
}

/* Answers -1 when nobody answered in time, which was said. */
static int connect_in_time(const char *socket, const char *address, const char *port, const char *timeout_ms) {
  struct sockaddr_in there = read_address(address, port);
  long timeout;
  if (!read_number(timeout_ms, 24 * 60 * 60 * 1000, &timeout)) die_plain("not a time in ms");
  need_inside(socket, "namespaces\n");
  long long until = now_ms() + timeout;
  int fd = -1;
  while (!connect_once(&there, until, &fd)) {
    int why = errno;
    if (now_ms() >= until) {
      fprintf(stderr, "banger-holder: %s:%s: %s\n", address, port, strerror(why));
      return -1;
    }
    struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    nanosleep(&pause, NULL);
  }
  return fd;
}

int connect_inside(const char *socket, const char *address, const char *port, const char *timeout_ms, int to) {
  int fd = connect_in_time(socket, address, port, timeout_ms);
  if (fd < 0) return NOBODY;
  /* Nobody to hand it to: whether it could be made was the question. */
  if (to < 0) return 0;
  if (!send_fds(to, "c", 1, &fd, 1)) die("the connection could not be handed over");
  return 0;
}

int carry_inside(const char *socket, const char *address, const char *port, const char *timeout_ms) {
  int fd = connect_in_time(socket, address, port, timeout_ms);
  if (fd < 0) return NOBODY;
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0) die("fcntl");
  drop_rights();
  if (!drop_all_rights()) die("a right could not be dropped");
  return carry(fd);
}

int bind_inside(const char *control, const char *address, const char *port, int to) {
  struct sockaddr_in here = read_address(address, port);
  need_inside(control, "namespaces\n");
  /* UDP and TCP on one port; the kernel chooses it when it is 0, and the other may be taken then. */
  for (int tries = 0; tries < 8; tries++) {
    int fds[2] = {socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
                  socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (fds[0] < 0 || fds[1] < 0) die("socket");
    int on = 1;
    if (setsockopt(fds[1], SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) die("SO_REUSEADDR");
    struct sockaddr_in bound = here;
    socklen_t length = sizeof bound;
    if (bind(fds[0], (struct sockaddr *)&bound, sizeof bound) != 0 ||
        getsockname(fds[0], (struct sockaddr *)&bound, &length) != 0)
      die("bind");
    if (bind(fds[1], (struct sockaddr *)&bound, sizeof bound) == 0 && listen(fds[1], 128) == 0) {
      unsigned char said[2] = {(unsigned char)(ntohs(bound.sin_port) >> 8), (unsigned char)ntohs(bound.sin_port)};
      if (!send_fds(to, said, sizeof said, fds, 2)) die("the sockets could not be handed over");
      return 0;
    }
    if (here.sin_port != 0) die("bind");
    close(fds[0]);
    close(fds[1]);
  }
  die_plain("no port is free for both UDP and TCP");
}
