/* Holds the lock that makes this the guest's only helper, and takes `--ending` on a socket that root alone can reach. */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "link.h"
#include "loop.h"
#include "transport.h"

enum { ANSWER_TIMEOUT_MS = 1000 };

static struct session *session;
static void take_peer(struct watch *watch);
static void read_word(struct watch *watch);
static struct watch listener = {.fd = -1, .changed = take_peer};
static struct watch peer = {.fd = -1, .changed = read_word};
static bool answer_is_due;

static bool path_in(const char *directory, const char *name, char *path, size_t capacity) {
  int length = snprintf(path, capacity, "%s/%s", directory, name);
  return length > 0 && (size_t)length < capacity;
}

const char *ending_named(const char *name) {
  static const char *const names[] = {"poweroff", "reboot", "halt", "kexec"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (strcmp(names[i], name) == 0) return names[i];
  return NULL;
}

bool control_become_only(const char *run_directory, bool wait) {
  char path[108];
  if (!path_in(run_directory, "pingd.lock", path, sizeof path)) return true;
  if (mkdir(run_directory, 0755) != 0 && errno != EEXIST) say("%s: %s", run_directory, strerror(errno));
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    say("%s: %s", path, strerror(errno));
    return true; /* a guest that cannot keep a lock still deserves its channel */
  }
  /* The kernel lets go of it when this process ends, however it ends; the descriptor is kept on purpose. */
  while (flock(fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    close(fd);
    return errno != EWOULDBLOCK;
  }
  return true;
}

void control_open(const char *run_directory, struct session *used) {
  char path[108];
  session = used;
  if (!path_in(run_directory, "pingd.sock", path, sizeof path)) return;
  int fd = transport_listen_unix(path);
  if (fd < 0 || !watch_add(&listener, fd)) say("%s: %s", path, strerror(errno));
}

static void take_peer(struct watch *watch) {
  for (;;) {
    int fd = transport_accept(watch->fd);
    if (fd == -1) return;
    if (fd == TRANSPORT_REFUSED) continue;
    struct ucred who;
    socklen_t length = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) != 0 || who.uid != geteuid()) {
      close(fd);
      continue;
    }
    watch_close(&peer);
    answer_is_due = false;
    if (!watch_add(&peer, fd)) close(fd);
  }
}

/* The word is shorter than any socket's buffer and was written at once, so it comes whole. */
static void read_word(struct watch *watch) {
  char word[32];
  if (answer_is_due) return;
  ssize_t count = read(watch->fd, word, sizeof word - 1);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  word[count < 0 ? 0 : count] = 0;
  const char *why = strncmp(word, "ending ", 7) == 0 ? ending_named(word + 7) : NULL;
  if (why == NULL) {
    watch_close(watch);
    return;
  }
  session_ending(session, why);
  answer_is_due = true;
  link_pump();
}

void control_flushed(void) {
  if (!answer_is_due || !link_is_flushed()) return;
  answer_is_due = false;
  if (write(peer.fd, "ok", 2) < 0) say("answer to --ending: %s", strerror(errno));
  watch_close(&peer);
}

int control_tell_ending(const char *run_directory, const char *why) {
  char path[108], word[32];
  struct sockaddr_un address;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || !path_in(run_directory, "pingd.sock", path, sizeof path) || !unix_address(path, &address, sizeof address) ||
      connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
    say("no helper at %s/pingd.sock: %s", run_directory, strerror(errno));
    return 1;
  }
  int length = snprintf(word, sizeof word, "ending %s", why);
  struct pollfd answer = {.fd = fd, .events = POLLIN};
  /* The host may not be listening at all: a guest never waits long for it in order to end. */
  if (write(fd, word, (size_t)length) == length && poll(&answer, 1, ANSWER_TIMEOUT_MS) == 1 && read(fd, word, 2) == 2) return 0;
  say("the helper did not confirm");
  return 1;
}
