/*
 * What is said between banger-dns-front and bangerd. Numbers are little-endian but for ports and addresses, which are as on the wire.
 *
 * stdout  once       i32 errno (0: bound), u32 port
 *         a query    u16 length, u16 port, u8 address[4], query
 * stdin   an answer  u16 length of the answer, u16 of its query (0: not to be remembered), u16 port, u16 unused, u8 address[4], u32 generation, answer, query
 * a file  the board, in memory of both: bangerd steps the generation on when its zone changes, and nothing remembered from before is said again
 */
#ifndef BANGER_DNS_DAEMON_H
#define BANGER_DNS_DAEMON_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* So small that it is written whole or not at all, with its eight octets before it, to a pipe (pipe(7), PIPE_BUF) and to a Unix socket alike. */
enum { QUERY_MAX = 4096 - 8 };

struct board {
    uint32_t generation, unused;
    uint64_t dropped;
    uint64_t answered[16]; /* from memory, by RCODE */
};

bool daemon_greet(int failure, uint16_t port);
/* False when bangerd has no room for it: it has much to do, and clients ask again. */
bool daemon_ask(const struct sockaddr_in *asker, const uint8_t *query, size_t length);
/* Takes what bangerd answered; false when it is gone, or talks nonsense. */
bool daemon_read(void);

/* The other half, in main.c: sends an answer that has come. */
void daemon_answered(const struct sockaddr_in *asker, const uint8_t *octets, size_t length);

#endif
