/* The wire format of the guest channel (docs/guest.md §2): headers, fields and the parser that finds them in a byte stream. Does no I/O. */
#ifndef BANGER_FRAME_H
#define BANGER_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  FRAME_HEADER = 8,
  FRAME_PAYLOAD_MAX = 65536,
  FRAME_MAX = FRAME_HEADER + FRAME_PAYLOAD_MAX,
  SYNC_MAGIC = 8,
  SYNC_NONCE = 16,
  SYNC_SIZE = SYNC_MAGIC + SYNC_NONCE,
};

enum frame_type {
  FRAME_HELLO = 1,
  FRAME_READY = 2,
  FRAME_PING = 3,
  FRAME_PONG = 4,
  FRAME_SHUTDOWN = 5,
  FRAME_SHUTDOWN_ACK = 6,
  FRAME_ENDING = 7,
  FRAME_OPEN = 16,
  FRAME_DATA = 17,
  FRAME_CREDIT = 18,
  FRAME_EOF = 19,
  FRAME_CLOSE = 20,
  /* Types from here on are skipped by a receiver that does not know them. */
  FRAME_OPTIONAL = 128,
};

extern const uint8_t sync_magic[SYNC_MAGIC];

struct frame {
  uint32_t length;
  uint16_t stream;
  uint8_t type;
  const uint8_t *payload; /* valid until the parser is fed again */
};

enum parse_event {
  PARSE_MORE,  /* everything was consumed and nothing is complete */
  PARSE_SYNC,  /* a SYNC; its nonce is in parser.nonce */
  PARSE_FRAME, /* a frame of a known type, in *frame */
  PARSE_LOST,  /* a header that is no frame: the parser hunts for SYNC from here on */
};

enum parse_state { HUNT, NONCE, HEADER, BODY, SKIP };

struct parser {
  enum parse_state state;
  uint32_t have; /* bytes of the current item that have been seen */
  struct frame head;
  uint8_t header[FRAME_HEADER];
  uint8_t nonce[SYNC_NONCE];
  uint8_t payload[FRAME_PAYLOAD_MAX];
};

/* Forgets what was read and looks for the next SYNC. */
void parser_hunt(struct parser *parser);

/* Reads until one event or the end of the bytes; returns how many bytes were consumed. */
size_t parser_feed(struct parser *parser, const uint8_t *bytes, size_t count, enum parse_event *event, struct frame *frame);

void put_u16(uint8_t *at, uint16_t value);
void put_u32(uint8_t *at, uint32_t value);
void put_u64(uint8_t *at, uint64_t value);
uint32_t get_u32(const uint8_t *at);
void put_header(uint8_t *at, uint32_t length, uint16_t stream, uint8_t type);

/* Whether a payload is nothing but well-formed fields. */
bool fields_are_valid(const uint8_t *payload, size_t length);

/* The NUL-terminated value of a key in valid fields, or NULL. */
const char *field_value(const uint8_t *payload, size_t length, const char *key);

/* Appends "key=value" and a NUL at *length; leaves the buffer alone when it does not fit. */
bool put_field(uint8_t *buffer, size_t capacity, size_t *length, const char *key, const char *value);

#endif
