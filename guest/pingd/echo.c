/* The kind `echo`: gives back what it is sent, for tests and for measuring. */
#include "echo.h"

/* What an echo may receive is always what it may send, so that it needs no memory of its own. */
const char *echo_open(struct session *session, struct stream *stream, const uint8_t *fields, size_t length) {
  (void)session, (void)stream, (void)fields, (void)length;
  return NULL;
}

void echo_credit(struct session *session, struct stream *stream, uint32_t bytes) {
  if (!stream->host_ended) stream_grant(session, stream, bytes);
}

void echo_eof(struct session *session, struct stream *stream) {
  stream_end(session, stream);
  stream_close(session, stream, NULL);
}
