/* Decides what the helper answers to each frame of the host. Memory is fixed: the queue takes one answer before the next frame is read. */
#include "session.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef BANGER_VERSION
#define BANGER_VERSION "0.0.0"
#endif

static uint8_t zero_bytes[16384];

static size_t queue_room(const struct session *session) { return QUEUE_MAX - (session->end - session->start); }

static uint8_t *queue_reserve(struct session *session, size_t count) {
  if (queue_room(session) < count) return NULL;
  if (QUEUE_MAX - session->end < count) {
    memmove(session->queue, session->queue + session->start, session->end - session->start);
    session->end -= session->start;
    session->start = 0;
  }
  uint8_t *at = session->queue + session->end;
  session->end += count;
  return at;
}

static bool send_frame(struct session *session, uint8_t type, uint16_t stream, const void *payload, size_t length) {
  uint8_t *at = queue_reserve(session, FRAME_HEADER + length);
  if (at == NULL) return false;
  put_header(at, (uint32_t)length, stream, type);
  if (length > 0) memcpy(at + FRAME_HEADER, payload, length);
  return true;
}

static void send_field(struct session *session, uint8_t type, uint16_t stream, const char *key, const char *value) {
  uint8_t payload[256];
  size_t length = 0;
  put_field(payload, sizeof payload, &length, key, value);
  send_frame(session, type, stream, payload, length);
}

static uint64_t clock_ns(clockid_t clock) {
  struct timespec now;
  if (clock_gettime(clock, &now) != 0) return 0;
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void read_boot_id(char *text, size_t capacity) {
  int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  ssize_t count = fd < 0 ? 0 : read(fd, text, capacity - 1);
  if (fd >= 0) close(fd);
  text[count < 0 ? 0 : count] = 0;
  text[strcspn(text, "\n")] = 0;
}

size_t render_ready(const struct session *session, uint8_t *buffer, size_t capacity) {
  char boot_id[64], uptime[24];
  size_t length = FRAME_HEADER;
  if (capacity < FRAME_HEADER) return 0;
  read_boot_id(boot_id, sizeof boot_id);
  snprintf(uptime, sizeof uptime, "%" PRIu64, clock_ns(CLOCK_BOOTTIME));
  put_field(buffer, capacity, &length, "boot_id", boot_id);
  put_field(buffer, capacity, &length, "uptime_ns", uptime);
  put_field(buffer, capacity, &length, "sshd", session->sshd);
  put_header(buffer, (uint32_t)(length - FRAME_HEADER), 0, FRAME_READY);
  return length;
}

static void send_hello(struct session *session) {
  uint8_t payload[512];
  char abilities[256];
  size_t length = 0;
  int used = snprintf(abilities, sizeof abilities, "ping,shutdown");
  for (size_t i = 0; i < kinds_count && used > 0 && (size_t)used < sizeof abilities; i++)
    used += snprintf(abilities + used, sizeof abilities - (size_t)used, ",%s", kinds[i].name);
  put_field(payload, sizeof payload, &length, "protocol", "1");
  put_field(payload, sizeof payload, &length, "version", BANGER_VERSION);
  put_field(payload, sizeof payload, &length, "abilities", abilities);
  send_frame(session, FRAME_HELLO, 0, payload, length);
}

static void send_ready(struct session *session) {
  uint8_t frame[256];
  size_t length = render_ready(session, frame, sizeof frame);
  uint8_t *at = queue_reserve(session, length);
  if (at != NULL) memcpy(at, frame, length);
}

static void queue_ending(struct session *session) {
  if (session->ending == NULL || session->ending_queued || !session->synchronised) return;
  if (queue_room(session) < 64) return; /* session_sent comes back to it */
  send_field(session, FRAME_ENDING, 0, "why", session->ending);
  session->ending_queued = true;
}

static void forget_stream(struct stream *stream) {
  if (stream->id != 0 && stream->kind != NULL && stream->kind->forget != NULL) stream->kind->forget(stream);
  memset(stream, 0, sizeof *stream);
}

static void forget_all(struct session *session) {
  for (size_t i = 0; i < STREAMS_MAX; i++) forget_stream(&session->streams[i]);
  session->start = session->end = 0;
  session->zeros = 0;
  session->synchronised = session->greeted = session->ending_queued = false;
}

void session_reset(struct session *session) {
  forget_all(session);
  parser_hunt(&session->parser);
}

void session_break_old(struct session *session) { session->zeros = FRAME_MAX; }

static void synchronise(struct session *session) {
  /* Whatever was queued is for a host that has gone; this one drops all before the answer. */
  forget_all(session);
  session->synchronised = true;
  uint8_t *at = queue_reserve(session, SYNC_SIZE);
  memcpy(at, sync_magic, SYNC_MAGIC);
  memcpy(at + SYNC_MAGIC, session->parser.nonce, SYNC_NONCE);
  send_hello(session);
  send_ready(session);
  queue_ending(session);
}

static struct stream *find_stream(struct session *session, uint16_t id) {
  for (size_t i = 0; i < STREAMS_MAX; i++)
    if (session->streams[i].id == id) return &session->streams[i];
  return NULL;
}

void stream_send(struct session *session, struct stream *stream, const uint8_t *bytes, uint32_t count) {
  if (stream->closed || stream->we_ended || count > stream->send_credit) return;
  if (send_frame(session, FRAME_DATA, stream->id, bytes, count)) stream->send_credit -= count;
}

void stream_grant(struct session *session, struct stream *stream, uint32_t bytes) {
  uint8_t payload[4];
  put_u32(payload, bytes);
  if (!stream->closed && send_frame(session, FRAME_CREDIT, stream->id, payload, sizeof payload)) stream->receive_credit += bytes;
}

void stream_end(struct session *session, struct stream *stream) {
  if (stream->closed || stream->we_ended) return;
  stream->we_ended = true;
  send_frame(session, FRAME_EOF, stream->id, NULL, 0);
}

void stream_close(struct session *session, struct stream *stream, const char *error) {
  if (stream->closed) return;
  stream->closed = true;
  if (error != NULL) send_field(session, FRAME_CLOSE, stream->id, "error", error);
  else send_frame(session, FRAME_CLOSE, stream->id, NULL, 0);
}

size_t stream_room(const struct session *session) {
  size_t room = queue_room(session), kept = ANSWER_MAX + FRAME_HEADER;
  return room > kept ? room - kept : 0;
}

static const struct kind *find_kind(const char *name) {
  for (size_t i = 0; name != NULL && i < kinds_count; i++)
    if (strcmp(kinds[i].name, name) == 0) return &kinds[i];
  return NULL;
}

static bool open_stream(struct session *session, const struct frame *frame) {
  if (frame->stream == 0 || !fields_are_valid(frame->payload, frame->length)) return false;
  if (find_stream(session, frame->stream) != NULL) return false;
  struct stream *stream = find_stream(session, 0);
  if (stream == NULL) {
    send_field(session, FRAME_CLOSE, frame->stream, "error", "too many streams");
    return true;
  }
  const struct kind *kind = find_kind(field_value(frame->payload, frame->length, "kind"));
  *stream = (struct stream){.id = frame->stream, .kind = kind, .send_credit = STREAM_CREDIT, .receive_credit = STREAM_CREDIT};
  const char *refusal = kind == NULL ? "unknown kind" : kind->open(session, stream, frame->payload, frame->length);
  if (refusal != NULL) stream_close(session, stream, refusal);
  return true;
}

static bool take_data(struct session *session, struct stream *stream, const struct frame *frame) {
  if (stream->host_ended || frame->length > stream->receive_credit) return false;
  stream->receive_credit -= frame->length;
  if (!stream->closed && stream->kind->data != NULL) stream->kind->data(session, stream, frame->payload, frame->length);
  return true;
}

static bool take_credit(struct session *session, struct stream *stream, const struct frame *frame) {
  if (frame->length != 4) return false;
  uint32_t bytes = get_u32(frame->payload);
  if (bytes > (uint32_t)CREDIT_MAX - stream->send_credit) return false;
  stream->send_credit += bytes;
  if (!stream->closed && stream->kind->credit != NULL) stream->kind->credit(session, stream, bytes);
  return true;
}

static bool take_eof(struct session *session, struct stream *stream, const struct frame *frame) {
  if (frame->length != 0 || stream->host_ended) return false;
  stream->host_ended = true;
  if (!stream->closed && stream->kind->eof != NULL) stream->kind->eof(session, stream);
  return true;
}

static bool handle_stream(struct session *session, const struct frame *frame) {
  if (frame->stream == 0) return false;
  struct stream *stream = find_stream(session, frame->stream);
  if (stream == NULL) return true; /* on its way when we refused it */
  switch (frame->type) {
    case FRAME_DATA:
      return take_data(session, stream, frame);
    case FRAME_CREDIT:
      return take_credit(session, stream, frame);
    case FRAME_EOF:
      return take_eof(session, stream, frame);
    default:
      if (!fields_are_valid(frame->payload, frame->length)) return false;
      stream_close(session, stream, NULL);
      forget_stream(stream);
      return true;
  }
}

static bool answer_ping(struct session *session, const struct frame *frame) {
  uint8_t payload[24];
  if (frame->length != 8) return false;
  memcpy(payload, frame->payload, 8);
  put_u64(payload + 8, clock_ns(CLOCK_REALTIME));
  put_u64(payload + 16, clock_ns(CLOCK_BOOTTIME));
  return send_frame(session, FRAME_PONG, 0, payload, sizeof payload);
}

static bool answer_shutdown(struct session *session, const struct frame *frame) {
  if (!fields_are_valid(frame->payload, frame->length)) return false;
  const char *how = field_value(frame->payload, frame->length, "how");
  const char *error = "unknown how";
  if (how != NULL && (strcmp(how, "poweroff") == 0 || strcmp(how, "reboot") == 0)) error = session->shut_down(how[0] == 'r');
  if (error == NULL) send_field(session, FRAME_SHUTDOWN_ACK, 0, "ok", "1");
  else send_field(session, FRAME_SHUTDOWN_ACK, 0, "error", error);
  return true;
}

/* False: the host has broken the protocol. */
static bool handle_frame(struct session *session, const struct frame *frame) {
  if (frame->type == FRAME_HELLO) {
    bool first = !session->greeted;
    session->greeted = true;
    return first && frame->stream == 0 && fields_are_valid(frame->payload, frame->length);
  }
  if (!session->greeted) return false;
  if (frame->type == FRAME_OPEN) return open_stream(session, frame);
  if (frame->type > FRAME_OPEN) return handle_stream(session, frame);
  if (frame->stream != 0) return false;
  if (frame->type == FRAME_PING) return answer_ping(session, frame);
  if (frame->type == FRAME_SHUTDOWN) return answer_shutdown(session, frame);
  return false;
}

size_t session_feed(struct session *session, const uint8_t *bytes, size_t count) {
  size_t used = 0;
  while (used < count && queue_room(session) >= ANSWER_MAX) {
    enum parse_event event;
    struct frame frame;
    used += parser_feed(&session->parser, bytes + used, count - used, &event, &frame);
    if (event == PARSE_SYNC) synchronise(session);
    else if (event == PARSE_LOST) forget_all(session); /* the parser hunts already, perhaps inside a SYNC */
    else if (event == PARSE_FRAME && !handle_frame(session, &frame)) session_reset(session);
  }
  return used;
}

size_t session_output(struct session *session, const uint8_t **bytes) {
  if (session->zeros > 0) {
    *bytes = zero_bytes;
    return session->zeros < sizeof zero_bytes ? session->zeros : sizeof zero_bytes;
  }
  *bytes = session->queue + session->start;
  return session->end - session->start;
}

void session_sent(struct session *session, size_t count) {
  if (session->zeros > 0) {
    session->zeros -= (uint32_t)count;
    return;
  }
  session->start += count;
  if (session->start == session->end) session->start = session->end = 0;
  queue_ending(session);
}

void session_ending(struct session *session, const char *why) {
  session->ending = why;
  queue_ending(session);
}
