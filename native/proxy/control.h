/* The control socket: packets of the same user, each with at most one descriptor, each answered with one packet. */
#ifndef BANGER_PROXY_CONTROL_H
#define BANGER_PROXY_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

enum { REPLY_BYTES_MAX = 65536 };

/* Listens at `path`; a socket that nobody answers on is replaced, a live one never. NULL, or why not. */
const char *control_listen(const char *path, const char *id);
/* Somebody has said that it shall end. */
bool control_is_over(void);
/* Takes the socket's name away, if it is still ours. */
void control_close(void);

/* As a client: a connection to the socket at `path`, or -1. */
int control_connect(const char *path);
/* Sends a request, with a descriptor unless it is -1, and reads the answer; its length, or -1. */
long control_ask(int fd, const char *text, size_t length, int handed, char *reply, size_t size);

#endif
