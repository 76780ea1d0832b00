/* Encodes and parses the frames of the guest channel; every length is checked before anything is copied. */
#include "frame.h"

#include <string.h>

const uint8_t sync_magic[SYNC_MAGIC] = {'B', 'A', 'N', 'G', 'E', 'R', 'G', 'C'};

void put_u16(uint8_t *at, uint16_t value) {
  at[0] = (uint8_t)value;
  at[1] = (uint8_t)(value >> 8);
}

void put_u32(uint8_t *at, uint32_t value) {
  put_u16(at, (uint16_t)value);
  put_u16(at + 2, (uint16_t)(value >> 16));
}

void put_u64(uint8_t *at, uint64_t value) {
  put_u32(at, (uint32_t)value);
  put_u32(at + 4, (uint32_t)(value >> 32));
}

uint32_t get_u32(const uint8_t *at) {
  return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

void put_header(uint8_t *at, uint32_t length, uint16_t stream, uint8_t type) {
  put_u32(at, length);
  put_u16(at + 4, stream);
  at[6] = type;
  at[7] = 0;
}

void parser_hunt(struct parser *parser) {
  parser->state = HUNT;
  parser->have = 0;
}

static bool type_is_known(uint8_t type) {
  return (type >= FRAME_HELLO && type <= FRAME_ENDING) || (type >= FRAME_OPEN && type <= FRAME_CLOSE);
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Looks for the magic; no byte but the first of it is a 'B', so a mismatch never needs to go back. */
static size_t hunt(struct parser *parser, const uint8_t *bytes, size_t count) {
  size_t used = 0;
  while (used < count && parser->have < SYNC_MAGIC) {
    if (parser->have == 0) {
      const uint8_t *found = memchr(bytes + used, sync_magic[0], count - used);
      if (found == NULL) return count;
      used = (size_t)(found - bytes) + 1;
      parser->have = 1;
    } else if (bytes[used] == sync_magic[parser->have]) {
      parser->have++;
      used++;
    } else {
      parser->have = 0; /* the byte is looked at again: it may be a new beginning */
    }
  }
  if (parser->have == SYNC_MAGIC) {
    parser->state = NONCE;
    parser->have = 0;
  }
  return used;
}

/* Copies what the current item still wants; returns how much that was. */
static size_t gather(struct parser *parser, uint8_t *into, size_t want, const uint8_t *bytes, size_t count) {
  size_t take = least(want - parser->have, count);
  if (into != NULL) memcpy(into + parser->have, bytes, take);
  parser->have += (uint32_t)take;
  return take;
}

/* Decides what eight bytes at a frame boundary are. */
static enum parse_event enter_frame(struct parser *parser) {
  const uint8_t *header = parser->header;
  parser->have = 0;
  if (memcmp(header, sync_magic, SYNC_MAGIC) == 0) {
    parser->state = NONCE;
    return PARSE_MORE;
  }
  parser->head.length = get_u32(header);
  parser->head.stream = (uint16_t)(header[4] | header[5] << 8);
  parser->head.type = header[6];
  bool skipped = header[6] >= FRAME_OPTIONAL;
  if (parser->head.length > FRAME_PAYLOAD_MAX || (!skipped && (!type_is_known(header[6]) || header[7] != 0))) {
    parser_hunt(parser);
    hunt(parser, header, FRAME_HEADER); /* a SYNC may have begun inside these bytes */
    return PARSE_LOST;
  }
  parser->state = skipped ? SKIP : BODY;
  return PARSE_MORE;
}

size_t parser_feed(struct parser *parser, const uint8_t *bytes, size_t count, enum parse_event *event, struct frame *frame) {
  size_t used = 0;
  *event = PARSE_MORE;
  for (;;) {
    switch (parser->state) {
      case HUNT:
        used += hunt(parser, bytes + used, count - used);
        if (parser->state == HUNT) return used;
        break;
      case NONCE:
        used += gather(parser, parser->nonce, SYNC_NONCE, bytes + used, count - used);
        if (parser->have < SYNC_NONCE) return used;
        parser->state = HEADER;
        parser->have = 0;
        *event = PARSE_SYNC;
        return used;
      case HEADER:
        used += gather(parser, parser->header, FRAME_HEADER, bytes + used, count - used);
        if (parser->have < FRAME_HEADER) return used;
        *event = enter_frame(parser);
        if (*event == PARSE_LOST) return used;
        break;
      case BODY:
      case SKIP: {
        bool wanted = parser->state == BODY;
        used += gather(parser, wanted ? parser->payload : NULL, parser->head.length, bytes + used, count - used);
        if (parser->have < parser->head.length) return used;
        parser->state = HEADER;
        parser->have = 0;
        if (!wanted) break;
        *frame = parser->head;
        frame->payload = parser->payload;
        *event = PARSE_FRAME;
        return used;
      }
    }
  }
}

static bool is_key_byte(uint8_t byte) {
  return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '_' || byte == '.';
}

bool fields_are_valid(const uint8_t *payload, size_t length) {
  size_t at = 0;
  while (at < length) {
    size_t key = at;
    while (at < length && is_key_byte(payload[at])) at++;
    if (at == key || at == length || payload[at] != '=') return false;
    const uint8_t *end = memchr(payload + at, 0, length - at);
    if (end == NULL) return false;
    at = (size_t)(end - payload) + 1;
  }
  return true;
}

const char *field_value(const uint8_t *payload, size_t length, const char *key) {
  size_t wanted = strlen(key);
  for (size_t at = 0; at < length; at += strlen((const char *)payload + at) + 1) {
    if (length - at > wanted && memcmp(payload + at, key, wanted) == 0 && payload[at + wanted] == '=')
      return (const char *)payload + at + wanted + 1;
  }
  return NULL;
}

bool put_field(uint8_t *buffer, size_t capacity, size_t *length, const char *key, const char *value) {
  size_t key_length = strlen(key), value_length = strlen(value);
  if (capacity - *length < key_length + value_length + 2) return false;
  uint8_t *at = buffer + *length;
  memcpy(at, key, key_length);
  at[key_length] = '=';
  memcpy(at + key_length + 1, value, value_length + 1);
  *length += key_length + value_length + 2;
  return true;
}
