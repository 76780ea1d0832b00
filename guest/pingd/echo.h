/* The kind that every helper has. */
#ifndef BANGER_ECHO_H
#define BANGER_ECHO_H

#include "session.h"

const char *echo_open(struct session *session, struct stream *stream, const uint8_t *fields, size_t length);
void echo_credit(struct session *session, struct stream *stream, uint32_t bytes);
void echo_eof(struct session *session, struct stream *stream);

#endif
