/* The kinds of stream that this helper knows: one table, one entry each. */
#include "session.h"

/* What an echo may receive is always what it may send, so that it needs no memory of its own. */
static const char *echo_open(struct session *session, struct stream *stream, const uint8_t *fields, size_t length) {
  (void)session, (void)stream, (void)fields, (void)length;
  return NULL;
}

static void echo_credit(struct session *session, struct stream *stream, uint32_t bytes) {
  if (!stream->host_ended) stream_grant(session, stream, bytes);
}

static void echo_eof(struct session *session, struct stream *stream) {
  stream_end(session, stream);
  stream_close(session, stream, NULL);
}

const struct kind kinds[] = {
    {.name = "echo", .open = echo_open, .data = stream_send, .credit = echo_credit, .eof = echo_eof},
};
const size_t kinds_count = sizeof kinds / sizeof kinds[0];
