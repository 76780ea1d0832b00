/* Streams whose work is done by a process of its own, so that it may wait, allocate and crash without the helper's taking part. */
#ifndef BANGER_RELAY_H
#define BANGER_RELAY_H

#include "session.h"

/* Runs in the new process and never returns; see wire.h for how it speaks. The fields are those of OPEN. */
typedef void relay_work(const uint8_t *fields, size_t length);

enum {
  /* What the process writes is a row of these: four bytes, the kind above 24 bits of length or value, and then the bytes. */
  RELAY_DATA = 1,
  RELAY_CREDIT = 2, /* the host may send so many bytes more */
  RELAY_END = 3,    /* all is done; the bytes are the error, if any */
  RELAY_ERROR_MAX = 200,
};

/* Returns NULL, or why the process cannot be started. */
const char *relay_open(struct stream *stream, relay_work *work, const uint8_t *fields, size_t length);
void relay_data(struct session *session, struct stream *stream, const uint8_t *bytes, uint32_t count);
void relay_credit(struct session *session, struct stream *stream, uint32_t bytes);
void relay_eof(struct session *session, struct stream *stream);
void relay_forget(struct stream *stream);

/* Moves one piece from each process that has something to say to the session's queue; true when anything moved. */
bool relay_pump(struct session *session);

#endif
