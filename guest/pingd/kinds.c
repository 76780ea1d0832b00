/* The kinds of stream that this helper knows: one table, one entry each. */
#include "copy.h"
#include "echo.h"
#include "exec.h"
#include "relay.h"
#include "session.h"
#include "watch-guest.h"

#define RELAYED(kind_name, open_function) \
  {.name = kind_name, .open = open_function, .data = relay_data, .credit = relay_credit, .eof = relay_eof, .forget = relay_forget}

#define OPEN_RELAY(function, work) \
  static const char *function(struct session *session, struct stream *stream, const uint8_t *fields, size_t length) { \
    (void)session; \
    return relay_open(stream, work, fields, length); \
  }

OPEN_RELAY(open_exec, exec_work)
OPEN_RELAY(open_send, copy_send_work)
OPEN_RELAY(open_receive, copy_receive_work)
OPEN_RELAY(open_listen, listen_work)
OPEN_RELAY(open_status, status_work)

const struct kind kinds[] = {
    {.name = "echo", .open = echo_open, .data = stream_send, .credit = echo_credit, .eof = echo_eof},
    RELAYED("exec", open_exec),
    RELAYED("copy.send", open_send),
    RELAYED("copy.receive", open_receive),
    RELAYED("listen", open_listen),
    RELAYED("status", open_status),
};
const size_t kinds_count = sizeof kinds / sizeof kinds[0];
