/* Those who talk to the shim: requests in lines, event streams, and raw consoles that share one ring of output. */
#ifndef SHIM_CLIENTS_H
#define SHIM_CLIENTS_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CLIENTS_MAX = 16,
    STREAMS_MAX = 12,      /* watching or attached: so that a request always finds a place */
    LINE_MAX_BYTES = 256,
    REPLY_MAX = 4096,
    RING_BYTES = 65536,    /* how far behind an attached client may fall, and what a tail can show */
    INPUT_MAX = 4096,
    EVICT_AFTER_MS = 2000,
};

/* What a request asks of the shim; answers are written with client_say. */
struct client;
typedef void client_request(struct client *client, const char *line);

void clients_init(client_request *on_request);

/* Fills `fds` (room for CLIENTS_MAX) with what to wait for. */
size_t clients_poll(struct pollfd *fds);
void clients_serve(const struct pollfd *fds, size_t count, int64_t now_ms);
void clients_accept(int listener, int64_t now_ms);

/* printf to one client; a stream that has no room for it is dropped. */
void client_say(struct client *client, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool client_watch(struct client *client);
bool client_attach(struct client *client, uint64_t tail);

void clients_tell_watchers(const char *line);
void clients_console(const char *bytes, size_t length);
void clients_flush(void);
bool clients_have_output(void);
void clients_close_all(void);

/* What attached clients typed, for the guest: whoever takes it says how much went. */
const char *clients_input(size_t *length);
void clients_input_taken(size_t length);

#endif
