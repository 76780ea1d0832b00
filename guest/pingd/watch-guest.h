/* The kinds `listen` and `status`: what goes on in the guest, for whoever asks. */
#ifndef BANGER_WATCH_GUEST_H
#define BANGER_WATCH_GUEST_H

#include "relay.h"

enum {
  LISTEN_PORT = 17, /* fields: one listening socket */
  LISTEN_ALL = 18,  /* that is all of them; the next ones replace them */
  STATUS_SYSTEM = 17,
  STATUS_SESSION = 18,
  STATUS_PROCESS = 19,
};

relay_work listen_work;
relay_work status_work;

#endif
