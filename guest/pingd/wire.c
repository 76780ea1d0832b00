/* The process's end of the pipes to the helper, with a bounded buffer each way. Credit goes back as soon as bytes are here: how much of a bulk may wait is for its kind to say. */
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "frame.h"
#include "relay.h"

enum { OUT_MAX = 2 * (WIRE_MAX + 64) + 4096, IN_MAX = WIRE_MAX + WIRE_HEADER, CREDIT_STEP = 65536 };

static uint8_t out[OUT_MAX], in[IN_MAX];
static size_t out_start, out_end, in_start, in_end;
static uint32_t owed;
static bool in_ended;

void (*wire_abandoned)(void);

static void give_up(void) {
  if (wire_abandoned != NULL) wire_abandoned();
  _exit(1);
}

static void put_raw(const void *bytes, size_t length) {
  if (OUT_MAX - out_end < length) {
    memmove(out, out + out_start, out_end - out_start);
    out_end -= out_start;
    out_start = 0;
  }
  if (OUT_MAX - out_end < length) give_up(); /* a kind that does not wait for wire_flush */
  if (length > 0) memcpy(out + out_end, bytes, length);
  out_end += length;
}

static void put_word(uint32_t kind, size_t value) {
  uint8_t word[4];
  put_u32(word, kind << 24 | (uint32_t)value);
  put_raw(word, sizeof word);
}

void wire_put(uint8_t tag, const void *bytes, size_t length) {
  uint8_t header[WIRE_HEADER] = {tag};
  put_u32(header + 1, (uint32_t)length);
  put_word(RELAY_DATA, WIRE_HEADER + length);
  put_raw(header, sizeof header);
  put_raw(bytes, length);
}

static void make_non_blocking(void) {
  static bool done;
  if (done) return;
  done = true;
  fcntl(0, F_SETFL, O_RDONLY | O_NONBLOCK);
  fcntl(1, F_SETFL, O_WRONLY | O_NONBLOCK);
}

bool wire_flush(void) {
  make_non_blocking();
  while (out_start < out_end) {
    ssize_t count = write(1, out + out_start, out_end - out_start);
    if (count > 0) out_start += (size_t)count;
    else if (count < 0 && errno == EAGAIN) return false;
    else if (count < 0 && errno != EINTR) give_up();
  }
  out_start = out_end = 0;
  return true;
}

static void flush_all(void) {
  while (!wire_flush()) {
    struct pollfd room = {.fd = 1, .events = POLLOUT};
    poll(&room, 1, -1);
  }
}

void wire_send(uint8_t tag, const void *bytes, size_t length) {
  wire_put(tag, bytes, length);
  flush_all();
}

bool wire_read(void) {
  make_non_blocking();
  if (in_start > 0) {
    memmove(in, in + in_start, in_end - in_start);
    in_end -= in_start;
    in_start = 0;
  }
  while (!in_ended && in_end < IN_MAX) {
    ssize_t count = read(0, in + in_end, IN_MAX - in_end);
    if (count == 0) in_ended = true;
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    in_end += (size_t)count;
    owed += (uint32_t)count;
  }
  if (owed >= CREDIT_STEP && out_start == out_end) {
    put_word(RELAY_CREDIT, owed);
    owed = 0;
    wire_flush();
  }
  return !in_ended;
}

bool wire_next(struct message *message) {
  if (in_end - in_start < WIRE_HEADER) return false;
  uint32_t length = get_u32(in + in_start + 1);
  if (length > WIRE_MAX) wire_end("a message beyond all measure");
  if (in_end - in_start - WIRE_HEADER < length) return false;
  *message = (struct message){.tag = in[in_start], .length = length, .bytes = in + in_start + WIRE_HEADER};
  in_start += WIRE_HEADER + length;
  return true;
}

bool wire_wait(struct message *message) {
  for (;;) {
    if (wire_next(message)) return true;
    if (!wire_read()) return wire_next(message);
    if (wire_next(message)) return true;
    flush_all();
    struct pollfd both[2] = {{.fd = 0, .events = POLLIN}, {.fd = 1}};
    poll(both, 2, -1);
    if (both[1].revents & POLLERR) give_up();
  }
}

void wire_end(const char *error) {
  size_t length = error == NULL ? 0 : strlen(error);
  if (length > RELAY_ERROR_MAX) length = RELAY_ERROR_MAX;
  flush_all();
  put_word(RELAY_END, length);
  put_raw(error, length);
  flush_all();
  if (error != NULL && wire_abandoned != NULL) wire_abandoned();
  _exit(0);
}
