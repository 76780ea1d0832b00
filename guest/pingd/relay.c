/* The helper's side of streams with a process of their own: bytes to and fro, never more than credit and the queue allow. */
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "link.h"
#include "loop.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* A pipe keeps at least half of its size in data, however small the pieces are: twice the credit always takes all of it. */
enum { PIPE_SIZE = 2 * STREAM_CREDIT, PIECE_MAX = 32768 };

struct relay {
  struct watch from; /* first, so that a watch is its relay */
  struct stream *stream;
  int to;
  bool readable;
  uint8_t header[4];
  uint32_t header_have;
  uint32_t left; /* of the bytes after the header */
  bool is_end;
  uint32_t error_have;
  char error[RELAY_ERROR_MAX + 1];
};

static struct relay relays[STREAMS_MAX];
static bool prepared;
static size_t turn;

static void became_readable(struct watch *watch) {
  ((struct relay *)watch)->readable = true;
  link_pump();
}

static struct relay *find_free(void) {
  for (size_t i = 0; i < STREAMS_MAX; i++) {
    if (!prepared) relays[i] = (struct relay){.from = {.fd = -1, .changed = became_readable}, .to = -1};
  }
  prepared = true;
  for (size_t i = 0; i < STREAMS_MAX; i++)
    if (relays[i].stream == NULL) return &relays[i];
  return NULL;
}

static void close_fd(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static void release(struct relay *relay) {
  watch_close(&relay->from);
  close_fd(&relay->to);
  relay->stream->state = NULL;
  relay->stream = NULL;
}

/* A process like any other: the helper's own privileges with the kernel and its signals are not handed on. */
static void become_plain(int in, int out) {
  int null = open("/dev/null", O_RDWR);
  if (in < 3) in = fcntl(in, F_DUPFD, 3);
  if (out < 3) out = fcntl(out, F_DUPFD, 3);
  if (null < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(null, 2) < 0) _exit(1);
  /* Another stream's pipe kept open here would hide its end from both sides. */
  if (syscall(SYS_close_range, 3u, ~0u, 0u) != 0)
    for (int fd = 3; fd < 1024; fd++) close(fd);
  int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (score >= 0) {
    if (write(score, "0", 1) < 0) score = -1; /* it dies a little later then, no more */
    else close(score);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGHUP, SIG_DFL);
  umask(022);
  prctl(PR_SET_NAME, "banger-stream");
  say_fd = 2;
}

const char *relay_open(struct stream *stream, relay_work *work, const uint8_t *fields, size_t length) {
  struct relay *relay = find_free();
  int in[2], out[2];
  if (relay == NULL) return "too many streams";
  if (pipe2(in, O_CLOEXEC) != 0) return "no more descriptors";
  if (pipe2(out, O_CLOEXEC) != 0) {
    close(in[0]), close(in[1]);
    return "no more descriptors";
  }
  fcntl(out[1], F_SETPIPE_SZ, PIPE_SIZE / 4); /* only for speed */
  if (fcntl(in[1], F_SETPIPE_SZ, PIPE_SIZE) < PIPE_SIZE) {
    close(in[0]), close(in[1]), close(out[0]), close(out[1]);
    return "no room in pipes"; /* only of whoever is not root: the kernel bounds what all pipes of a user hold */
  }
  pid_t pid = fork();
  if (pid == 0) {
    become_plain(in[0], out[1]);
    work(fields, length);
    _exit(1);
  }
  close(in[0]);
  close(out[1]);
  if (pid > 0 && fcntl(in[1], F_SETFL, O_NONBLOCK) == 0 && fcntl(out[0], F_SETFL, O_NONBLOCK) == 0 && watch_add(&relay->from, out[0])) {
    relay->stream = stream;
    relay->to = in[1];
    relay->readable = false;
    relay->header_have = relay->left = relay->error_have = 0;
    relay->is_end = false;
    stream->state = relay;
    return NULL;
  }
  close(in[1]); /* a process that was started sees both ends closed, and ends */
  close(out[0]);
  return "no memory for another process";
}

static void finish(struct session *session, struct relay *relay, const char *error) {
  struct stream *stream = relay->stream;
  release(relay);
  stream_end(session, stream);
  stream_close(session, stream, error);
}

void relay_data(struct session *session, struct stream *stream, const uint8_t *bytes, uint32_t count) {
  struct relay *relay = stream->state;
  if (relay == NULL || relay->to < 0 || count == 0) return;
  ssize_t written = write(relay->to, bytes, count);
  /* One that has gone says so by its end; what is not taken otherwise is memory that the kernel does not have. */
  if (written < 0 && errno == EPIPE) close_fd(&relay->to);
  else if (written != (ssize_t)count) finish(session, relay, "no memory for what it was sent");
}

void relay_credit(struct session *session, struct stream *stream, uint32_t bytes) {
  (void)session, (void)stream, (void)bytes; /* the pump comes round to it */
}

void relay_eof(struct session *session, struct stream *stream) {
  (void)session;
  struct relay *relay = stream->state;
  if (relay != NULL) close_fd(&relay->to);
}

void relay_forget(struct stream *stream) {
  if (stream->state != NULL) release(stream->state);
}

/* Returns false when there is nothing to read now; a process that has ended early ends its stream. */
static bool read_into(struct session *session, struct relay *relay, void *at, size_t want, size_t *got) {
  ssize_t count = read(relay->from.fd, at, want);
  *got = count > 0 ? (size_t)count : 0;
  if (count > 0) return true;
  if (count < 0 && errno == EINTR) return false;
  if (count < 0 && errno == EAGAIN) relay->readable = false;
  else finish(session, relay, "the process that served it ended");
  return false;
}

static bool take_header(struct session *session, struct relay *relay) {
  size_t got;
  if (!read_into(session, relay, relay->header + relay->header_have, 4 - relay->header_have, &got)) return false;
  relay->header_have += (uint32_t)got;
  if (relay->header_have < 4) return true;
  relay->header_have = 0;
  uint32_t word = get_u32(relay->header), value = word & 0xffffff;
  relay->is_end = word >> 24 == RELAY_END;
  if (word >> 24 == RELAY_DATA) relay->left = value;
  else if (word >> 24 == RELAY_CREDIT) stream_grant(session, relay->stream, value);
  else if (relay->is_end && value <= RELAY_ERROR_MAX) relay->left = value;
  else finish(session, relay, "the process that served it failed");
  if (relay->stream != NULL && relay->is_end && relay->left == 0) finish(session, relay, NULL);
  return true;
}

static bool take_error(struct session *session, struct relay *relay) {
  size_t got;
  if (!read_into(session, relay, relay->error + relay->error_have, relay->left, &got)) return false;
  relay->error_have += (uint32_t)got;
  relay->left -= (uint32_t)got;
  relay->error[relay->error_have] = 0;
  /* Names of files may be in it, and need not be UTF-8. */
  for (char *at = relay->error; *at != 0; at++)
    if (*at < ' ' || *at > '~') *at = '?';
  if (relay->left == 0) finish(session, relay, relay->error);
  return true;
}

static bool move_piece(struct session *session, struct relay *relay) {
  if (relay->stream == NULL || !relay->readable) return false;
  /* Credit and the last words must fit as well, and what the host asks must not wait for bulk. */
  size_t room = stream_room(session);
  if (room < 512) return false;
  if (relay->left == 0) return take_header(session, relay);
  if (relay->is_end) return take_error(session, relay);
  size_t count = relay->left, got;
  if (count > room) count = room;
  if (count > PIECE_MAX) count = PIECE_MAX;
  if (count > relay->stream->send_credit) count = relay->stream->send_credit;
  if (count == 0) return false;
  static uint8_t piece[PIECE_MAX];
  if (!read_into(session, relay, piece, count, &got)) return false;
  relay->left -= (uint32_t)got;
  stream_send(session, relay->stream, piece, (uint32_t)got);
  return true;
}

bool relay_pump(struct session *session) {
  bool moved = false;
  turn++;
  for (size_t i = 0; i < STREAMS_MAX; i++) moved = move_piece(session, &relays[(turn + i) % STREAMS_MAX]) || moved;
  return moved;
}
