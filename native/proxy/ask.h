/* The other mode: speaks with a running proxy, and makes the sockets that it is handed. */
#ifndef BANGER_PROXY_ASK_H
#define BANGER_PROXY_ASK_H

/* Requests are lines of stdin, answers go to stdout, each ended by a line with a dot. The exit code. */
int ask(const char *path);

#endif
