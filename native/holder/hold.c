/* The holder itself: keeps the namespaces and the way out while a daemon or a VM needs them, and hands them to whoever of its user asks. */
#define _GNU_SOURCE
#include "holder.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* From linux/netlink.h and linux/rtnetlink.h, which musl does not bring. */
enum { NETLINK_ROUTE = 0, RTMGRP_IPV4_IFADDR = 0x10, RTMGRP_IPV4_ROUTE = 0x40 };
struct sockaddr_nl {
  sa_family_t nl_family;
  unsigned short nl_pad;
  unsigned nl_pid;
  unsigned nl_groups;
};

enum { MAX_CLIENTS = 64, MAX_LEASES = 512, LINE_BYTES = 128, GRACE_MS = 3000, CLIENT_TIMEOUT_MS = 5000 };

struct client {
  int fd;
  bool is_attached; /* a daemon: it is told what changes, and the namespaces live while it stays */
  long long since_ms;
  char line[LINE_BYTES];
  size_t length;
};

struct lease {
  int pidfd;
  pid_t pid;
};

struct holder {
  struct namespaces namespaces;
  struct way_out way;
  struct client clients[MAX_CLIENTS];
  int client_count;
  struct lease leases[MAX_LEASES];
  int lease_count;
  pid_t keeper;
  long long idle_since_ms;
};

long long now_ms(void) {
  struct timespec now;
  if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) die("clock");
  return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void close_client(struct holder *holder, int at) {
  close(holder->clients[at].fd);
  holder->clients[at] = holder->clients[--holder->client_count];
}

static void tell_attached(struct holder *holder, const char *text) {
  /* One that does not read is not waited for: it asks again when it comes back. */
  for (int at = 0; at < holder->client_count; at++)
    if (holder->clients[at].is_attached) (void)send(holder->clients[at].fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void say_state(struct holder *holder, int fd) {
  char text[160];
  int length = snprintf(text, sizeof text, "state holder=%d inside=%d pasta=%d leases=%d\n", (int)getpid(),
                        (int)holder->keeper, (int)holder->way.guard, holder->lease_count);
  if (length > 0) (void)send(fd, text, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static bool add_lease(struct holder *holder, pid_t pid) {
  for (int at = 0; at < holder->lease_count; at++)
    if (holder->leases[at].pid == pid) return true;
  if (holder->lease_count == MAX_LEASES) return false;
  int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
  if (pidfd < 0) return false;
  holder->leases[holder->lease_count++] = (struct lease){pidfd, pid};
  return true;
}

/* Answers whether the client stays. */
static bool do_line(struct holder *holder, struct client *client) {
  const char *line = client->line;
  if (strcmp(line, "attach") == 0) {
    client->is_attached = true;
    say_state(holder, client->fd);
    return true;
  }
  if (strcmp(line, "state") == 0) {
    say_state(holder, client->fd);
    return true;
  }
  if (strncmp(line, "watch ", 6) == 0) {
    char *end;
    long pid = strtol(line + 6, &end, 10);
    if (*end == 0 && pid > 0 && pid <= 4194304) (void)add_lease(holder, (pid_t)pid);
    return true;
  }
  bool is_lease = strcmp(line, "lease") == 0;
  if (!is_lease && strcmp(line, "namespaces") != 0) return false;
  struct ucred peer;
  socklen_t length = sizeof peer;
  if (getsockopt(client->fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 || peer.uid != geteuid()) return false;
  if (is_lease && !add_lease(holder, peer.pid)) return false;
  (void)send_fds(client->fd, "n", 1, holder->namespaces.fds, NS_COUNT);
  return false;
}

static bool read_client(struct holder *holder, struct client *client) {
  ssize_t got = recv(client->fd, client->line + client->length, LINE_BYTES - 1 - client->length, 0);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return false;
  client->length += (size_t)got;
  for (;;) {
    char *end = memchr(client->line, '\n', client->length);
    if (!end) return client->length < LINE_BYTES - 1;
    *end = 0;
    if (!do_line(holder, client)) return false;
    size_t used = (size_t)(end - client->line) + 1;
    client->length -= used;
    memmove(client->line, client->line + used, client->length);
  }
}

static void accept_client(struct holder *holder, int listener) {
  int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  if (holder->client_count == MAX_CLIENTS) {
    close(fd);
    return;
  }
  holder->clients[holder->client_count++] = (struct client){.fd = fd, .since_ms = now_ms()};
}

static int follow_addresses(void) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE};
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0) die("the host's addresses cannot be followed");
  return fd;
}

static void drain(int fd) {
  char bytes[8192];
  while (recv(fd, bytes, sizeof bytes, 0) > 0) {}
}

static void reap(struct holder *holder) {
  for (;;) {
    pid_t child = waitpid(-1, NULL, WNOHANG);
    if (child <= 0) return;
    if (child == holder->keeper) die_plain("the process that keeps the namespaces was ended");
    if (way_out_ended(&holder->way, child)) tell_attached(holder, "way-out down\n");
  }
}

static void restart_way_out(struct holder *holder) {
  if (holder->way.retry_ms == 0 || now_ms() < holder->way.retry_ms) return;
  start_way_out(&holder->way);
  tell_attached(holder, "way-out up\n");
}

static int next_timeout(const struct holder *holder) {
  long long now = now_ms();
  long long next = now + 60000;
  if (holder->way.retry_ms > 0 && holder->way.retry_ms < next) next = holder->way.retry_ms;
  if (holder->idle_since_ms > 0 && holder->idle_since_ms + GRACE_MS < next) next = holder->idle_since_ms + GRACE_MS;
  for (int at = 0; at < holder->client_count; at++) {
    long long limit = holder->clients[at].since_ms + CLIENT_TIMEOUT_MS;
    if (!holder->clients[at].is_attached && limit < next) next = limit;
  }
  return next > now ? (int)(next - now) : 0;
}

/* Whether nobody has needed us for so long that nobody will. */
static bool is_over(struct holder *holder) {
  bool is_needed = holder->lease_count > 0;
  for (int at = 0; at < holder->client_count; at++) is_needed = is_needed || holder->clients[at].is_attached;
  if (is_needed) holder->idle_since_ms = 0;
  else if (holder->idle_since_ms == 0) holder->idle_since_ms = now_ms();
  return !is_needed && now_ms() - holder->idle_since_ms >= GRACE_MS;
}

/* Answers whether we were told to end. */
static bool take_turn(struct holder *holder, int listener, int signals, int addresses) {
  struct pollfd awaited[3 + MAX_CLIENTS + MAX_LEASES];
  nfds_t count = 0;
  int clients = holder->client_count;
  int leases = holder->lease_count;
  awaited[count++] = (struct pollfd){.fd = listener, .events = POLLIN};
  awaited[count++] = (struct pollfd){.fd = signals, .events = POLLIN};
  awaited[count++] = (struct pollfd){.fd = addresses, .events = POLLIN};
  for (int at = 0; at < clients; at++) awaited[count++] = (struct pollfd){.fd = holder->clients[at].fd, .events = POLLIN};
  for (int at = 0; at < leases; at++) awaited[count++] = (struct pollfd){.fd = holder->leases[at].pidfd, .events = POLLIN};
  if (poll(awaited, count, next_timeout(holder)) < 0 && errno != EINTR) die("poll");
  const struct pollfd *of_clients = awaited + 3;
  const struct pollfd *of_leases = of_clients + clients;
  /* From the last to the first: the last one takes the place of one that goes. */
  for (int at = leases - 1; at >= 0; at--)
    if (of_leases[at].revents) {
      close(holder->leases[at].pidfd);
      holder->leases[at] = holder->leases[--holder->lease_count];
    }
  long long now = now_ms();
  for (int at = clients - 1; at >= 0; at--) {
    struct client *client = &holder->clients[at];
    bool is_late = !client->is_attached && now - client->since_ms >= CLIENT_TIMEOUT_MS;
    if (of_clients[at].revents ? !read_client(holder, client) : is_late) close_client(holder, at);
  }
  if (awaited[0].revents) accept_client(holder, listener);
  if (awaited[2].revents) {
    drain(addresses);
    tell_attached(holder, "addresses\n");
  }
  if (!awaited[1].revents) return false;
  struct signalfd_siginfo told;
  bool is_told = false;
  while (read(signals, &told, sizeof told) == (ssize_t)sizeof told) is_told = is_told || told.ssi_signo != SIGCHLD;
  reap(holder);
  return is_told;
}

static int follow_signals(void) {
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGTERM);
  sigaddset(&wanted, SIGINT);
  sigaddset(&wanted, SIGCHLD);
  if (sigprocmask(SIG_BLOCK, &wanted, NULL) != 0) die("sigprocmask");
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  int fd = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) die("signalfd");
  return fd;
}

static void take_lock(const char *socket) {
  char path[256];
  int length = snprintf(path, sizeof path, "%s.lock", socket);
  if (length < 0 || (size_t)length >= sizeof path) die_plain("the socket's path is too long");
  int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) die(path);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) die_plain("another holder has these namespaces");
}

int hold(const struct hold_options *options) {
  static struct holder holder;
  (void)setsid();
  take_lock(options->socket);
  int signals = follow_signals();
  int addresses = follow_addresses();
  holder.keeper = make_namespaces(options->adopt, &holder.namespaces);
  holder.way = (struct way_out){.pasta = options->pasta, .log = options->log, .inside = holder.keeper,
                                .user_namespace = holder.namespaces.fds[NS_USER]};
  start_way_out(&holder.way);
  if (options->adopt > 0) (void)add_lease(&holder, options->adopt);
  int listener = listen_at(options->socket);
  if (listener < 0) die(options->socket);
  /* Whoever started us waits for this, and nobody reads what we might say later. */
  if (write(1, "ready\n", 6) != 6) die("stdout");
  be_silent();
  if (chdir("/") != 0) die("/");
  while (!is_over(&holder)) {
    if (take_turn(&holder, listener, signals, addresses)) break;
    restart_way_out(&holder);
  }
  unlink(options->socket);
  end_way_out(&holder.way);
  kill(holder.keeper, SIGKILL);
  while (waitpid(holder.keeper, NULL, 0) < 0 && errno == EINTR) {}
  return 0;
}
