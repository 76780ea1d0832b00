/* Where the host is: a virtio-serial port, a vsock or a unix socket, and the bytes that go to and fro. */
#ifndef BANGER_LINK_H
#define BANGER_LINK_H

#include "session.h"

struct link_options {
  const char *port;     /* a port's device, instead of looking for its name */
  const char *unix_at;  /* listen here and nowhere else */
  const char *announce; /* a unix socket in place of the host's vsock port */
};

bool link_open(const struct link_options *options, struct session *session);

/* Sends what the session has queued, reads what the host has sent, until both would wait. */
void link_pump(void);

/* Whether everything that the session said has been handed to the kernel, or nobody is there to hear it. */
bool link_is_flushed(void);

#endif
