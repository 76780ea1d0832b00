/* One synchronised conversation with the host: greetings, pings, streams and the bounded queue of what is still to be sent. Does no I/O. */
#ifndef BANGER_SESSION_H
#define BANGER_SESSION_H

#include "frame.h"

enum {
  STREAMS_MAX = 64,
  STREAM_CREDIT = 256 * 1024,
  /* More than this outstanding serves nobody and would only invite overflow. */
  CREDIT_MAX = 1 << 30,
  /* What one frame of the host may make us say: an echo of the largest frame, or the greetings. */
  ANSWER_MAX = FRAME_MAX + 1024,
  QUEUE_MAX = ANSWER_MAX + FRAME_MAX,
};

struct session;
struct stream;

/* What a kind of stream does. A later kind is one more entry in kinds.c. Every function but open may be NULL. */
struct kind {
  const char *name;
  /* Returns NULL, or why the stream is refused. */
  const char *(*open)(struct session *session, struct stream *stream, const uint8_t *fields, size_t length);
  /* Bytes of the host; never more than it was credited. */
  void (*data)(struct session *session, struct stream *stream, const uint8_t *bytes, uint32_t count);
  /* The host takes more; stream->send_credit has already grown. */
  void (*credit)(struct session *session, struct stream *stream, uint32_t bytes);
  /* The host sends nothing more. */
  void (*eof)(struct session *session, struct stream *stream);
  /* The stream is over, by CLOSE or because the connection is: lets go of what it holds. Sends nothing. */
  void (*forget)(struct stream *stream);
};

extern const struct kind kinds[];
extern const size_t kinds_count;

struct stream {
  uint16_t id; /* 0: the slot is free */
  bool closed; /* we have sent CLOSE and wait for the host's */
  bool host_ended, we_ended;
  const struct kind *kind;
  uint32_t send_credit;    /* bytes that we may still send */
  uint32_t receive_credit; /* bytes that the host may still send */
  void *state;             /* the kind's own */
};

struct session {
  struct parser parser;
  bool synchronised;
  bool greeted;        /* the host's HELLO has come */
  const char *sshd;    /* what READY says about it */
  const char *ending;  /* why the guest goes down, once that is known */
  bool ending_queued;
  uint32_t zeros; /* still to be sent before the queue */
  size_t start, end;
  struct stream streams[STREAMS_MAX];
  /* Returns NULL when the guest begins to go down, or why it does not. */
  const char *(*shut_down)(bool reboot);
  uint8_t queue[QUEUE_MAX];
};

/* A new connection, or one whose host has gone: forgets everything but what is true of the guest. */
void session_reset(struct session *session);

/* Makes a host that still believes itself synchronised with an earlier helper see that it is not. */
void session_break_old(struct session *session);

/* Handles bytes of the host; stops early, having consumed less, while the queue has no room for an answer. */
size_t session_feed(struct session *session, const uint8_t *bytes, size_t count);

/* What is to be sent next; 0 when there is nothing. */
size_t session_output(struct session *session, const uint8_t **bytes);
void session_sent(struct session *session, size_t count);

/* Tells the host, now or as soon as one synchronises, that the guest goes down. `why` must stay valid. */
void session_ending(struct session *session, const char *why);

/* The READY frame as it would be sent now; returns its length. */
size_t render_ready(const struct session *session, uint8_t *buffer, size_t capacity);

/* For kinds. */
void stream_send(struct session *session, struct stream *stream, const uint8_t *bytes, uint32_t count);
void stream_grant(struct session *session, struct stream *stream, uint32_t bytes);
void stream_end(struct session *session, struct stream *stream);
void stream_close(struct session *session, struct stream *stream, const char *error);

/* How many bytes of data, beyond an answer to the host, the queue takes now. */
size_t stream_room(const struct session *session);

#endif
