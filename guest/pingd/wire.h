/* How the process of a stream speaks: messages of a tag, a length and bytes, in both directions (docs/guest.md §2). Descriptor 0 comes from the helper, 1 goes to it. */
#ifndef BANGER_WIRE_H
#define BANGER_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WIRE_HEADER = 5, WIRE_MAX = 65536 };

struct message {
  uint8_t tag;
  uint32_t length;
  const uint8_t *bytes; /* valid until the next call of wire_next */
};

/* Queues a message; at most two of the largest fit while nothing leaves. */
void wire_put(uint8_t tag, const void *bytes, size_t length);

/* Writes what the helper takes now; true when nothing waits any more. */
bool wire_flush(void);

/* Like wire_put, and waits until it has left. */
void wire_send(uint8_t tag, const void *bytes, size_t length);

/* Reads what has come, without waiting; false once the host has ended its direction. */
bool wire_read(void);

/* The next whole message of what was read. */
bool wire_next(struct message *message);

/* Waits for the next message; false once there can be none. */
bool wire_wait(struct message *message);

/* Called before the process ends in any other way than well. */
extern void (*wire_abandoned)(void);

/* Waits until all has left, says that the stream is over, with an error or NULL, and ends the process. */
_Noreturn void wire_end(const char *error);

#endif
