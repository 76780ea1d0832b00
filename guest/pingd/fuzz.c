/* Drives the parser and the session with random and mutated input, under sanitizers: fuzz ROUNDS SEED. Ends with abort() at the first broken promise. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "echo.h"
#include "session.h"

enum { INPUT_MAX = 400000 };

/* The kinds that start processes have no place here. */
const struct kind kinds[] = {{.name = "echo", .open = echo_open, .data = stream_send, .credit = echo_credit, .eof = echo_eof}};
const size_t kinds_count = 1;

static struct session whole, pieces;
static struct parser checker;
static uint8_t input[INPUT_MAX];
static size_t input_length;
static uint64_t state;
static unsigned long shutdowns, synchronised, frames_out;

#define PROMISE(holds) \
  do { \
    if (!(holds)) { \
      fprintf(stderr, "broken: %s (line %d)\n", #holds, __LINE__); \
      abort(); \
    } \
  } while (0)

static uint32_t any(uint32_t below) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)((state >> 16) % below);
}

static const char *pretend_to_shut_down(bool reboot) {
  shutdowns++;
  return reboot && any(2) == 0 ? "not today" : NULL;
}

static void add(const void *bytes, size_t count) {
  if (count > INPUT_MAX - input_length) count = INPUT_MAX - input_length;
  if (count > 0) memcpy(input + input_length, bytes, count);
  input_length += count;
}

static void add_sync(void) {
  uint8_t nonce[SYNC_NONCE];
  for (size_t i = 0; i < sizeof nonce; i++) nonce[i] = (uint8_t)any(256);
  add(sync_magic, sizeof sync_magic);
  add(nonce, sizeof nonce);
}

static void add_frame(uint8_t type, uint16_t stream, const void *payload, uint32_t length) {
  uint8_t header[FRAME_HEADER];
  put_header(header, length, stream, type);
  add(header, sizeof header);
  add(payload, length);
}

static void add_sensible_frame(void) {
  static const char fields[] = "how=poweroff\0kind=echo\0how=reboot\0protocol=1\0why=halt\0=\0A=\0";
  static uint8_t bulk[FRAME_PAYLOAD_MAX];
  uint16_t stream = (uint16_t)(1 + any(any(8) == 0 ? 80 : 6));
  uint8_t credit[4];
  switch (any(60)) {
    case 0: add_frame((uint8_t)any(256), any(2) == 0 ? 0 : stream, fields, any(sizeof fields)); return;
    case 1: case 2: case 3: case 4: add_frame(FRAME_PING, 0, "12345678", any(40) == 0 ? any(9) : 8); return;
    case 5: case 6: add_frame(FRAME_SHUTDOWN, 0, fields, 13); return;
    case 7: add_frame(FRAME_OPEN, stream, fields + 13, 10); return;
    case 8: case 9: case 10: case 11: case 12: case 13:
      put_u32(credit, any(30) == 0 ? any(UINT32_MAX) : any(65536));
      add_frame(FRAME_CREDIT, stream, credit, 4);
      return;
    case 14: add_frame(FRAME_EOF, stream, NULL, 0); return;
    case 15: add_frame(FRAME_CLOSE, stream, fields, any(2) * 13); return;
    case 16: add_frame((uint8_t)(128 + any(128)), stream, bulk, any(2000)); return;
    default: add_frame(FRAME_DATA, stream, bulk, any(12) == 0 ? FRAME_PAYLOAD_MAX : any(512)); return;
  }
}

static void make_input(void) {
  input_length = 0;
  uint32_t items = 1 + any(60);
  if (any(8) != 0) add_sync(), add_frame(FRAME_HELLO, 0, "protocol=1", 11);
  for (uint16_t stream = 1; stream < 6; stream++) add_frame(FRAME_OPEN, stream, "kind=echo", 10);
  for (uint32_t i = 0; i < items; i++) {
    uint32_t choice = any(80);
    if (choice == 0) {
      for (uint32_t n = any(64); n > 0; n--) add(&(uint8_t){(uint8_t)any(256)}, 1);
    } else if (choice == 1) {
      add_sync();
      if (any(4) != 0) add_frame(FRAME_HELLO, 0, "protocol=1", 11);
    } else {
      add_sensible_frame();
    }
  }
  if (any(4) == 0)
    for (uint32_t n = any(10); n > 0 && input_length > 0; n--) input[any((uint32_t)input_length)] ^= (uint8_t)(1 << any(8));
}

static void check_output(const uint8_t *bytes, size_t count) {
  for (size_t at = 0; at < count;) {
    enum parse_event event;
    struct frame frame;
    at += parser_feed(&checker, bytes + at, count - at, &event, &frame);
    PROMISE(event != PARSE_LOST);
    synchronised += event == PARSE_SYNC;
    frames_out += event == PARSE_FRAME;
  }
}

/* Takes output of at most `limit` bytes. */
static void drain(struct session *session, size_t limit, bool check) {
  const uint8_t *bytes;
  for (size_t count; limit > 0 && (count = session_output(session, &bytes)) > 0; limit -= count) {
    if (count > limit) count = limit;
    if (check) check_output(bytes, count);
    session_sent(session, count);
  }
}

static void check_session(const struct session *session) {
  for (size_t i = 0; i < STREAMS_MAX; i++) {
    const struct stream *stream = &session->streams[i];
    PROMISE(stream->send_credit <= CREDIT_MAX);
    PROMISE(stream->id == 0 || stream->kind != NULL || stream->closed);
    for (size_t j = 0; j < i; j++) PROMISE(stream->id == 0 || session->streams[j].id != stream->id);
  }
}

static void feed_all(struct session *session, size_t piece_max, bool check) {
  for (size_t at = 0; at < input_length;) {
    size_t count = 1 + any((uint32_t)piece_max);
    if (count > input_length - at) count = input_length - at;
    size_t used = session_feed(session, input + at, count);
    PROMISE(used <= count);
    at += used;
    PROMISE(session->start <= session->end && session->end <= QUEUE_MAX);
    if (check || used == 0) {
      drain(session, SIZE_MAX, check);
      PROMISE(used > 0 || !check); /* an empty queue always takes more */
    } else {
      drain(session, any(100000), false);
    }
  }
}

/* How the bytes were cut must not matter. */
static void compare(void) {
  PROMISE(whole.synchronised == pieces.synchronised && whole.greeted == pieces.greeted);
  PROMISE(whole.parser.state == pieces.parser.state && whole.parser.have == pieces.parser.have);
  for (size_t i = 0; i < STREAMS_MAX; i++) {
    const struct stream *a = &whole.streams[i], *b = &pieces.streams[i];
    PROMISE(a->id == b->id && a->closed == b->closed && a->host_ended == b->host_ended && a->we_ended == b->we_ended);
    PROMISE(a->send_credit == b->send_credit && a->receive_credit == b->receive_credit);
  }
}

static void begin(struct session *session) {
  session->sshd = "none";
  session->ending = NULL;
  session->shut_down = pretend_to_shut_down;
  session_reset(session);
}

int main(int count, char **values) {
  unsigned long rounds = count > 1 ? strtoul(values[1], NULL, 10) : 1000;
  state = count > 2 ? strtoull(values[2], NULL, 10) * 2654435769u + 1 : 1;
  for (unsigned long round = 0; round < rounds; round++) {
    begin(&whole);
    begin(&pieces);
    parser_hunt(&checker);
    make_input();
    if (any(8) == 0) session_ending(&whole, "reboot"), session_ending(&pieces, "reboot");
    feed_all(&whole, 70000, true);
    feed_all(&pieces, any(16) == 0 ? 1 : 5000, false);
    check_session(&whole);
    compare();
  }
  printf("%lu rounds, %lu synchronised, %lu frames out, %lu shutdowns\n", rounds, synchronised, frames_out, shutdowns);
  /* A run that never got through the door has shown nothing. */
  return synchronised > rounds / 4 && frames_out > rounds ? 0 : 1;
}
