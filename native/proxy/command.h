/* The words of the control socket: one packet is one request, `VERB [ADDRESS PORT [TARGET PORT]]`. */
#ifndef BANGER_PROXY_COMMAND_H
#define BANGER_PROXY_COMMAND_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

enum { COMMAND_BYTES_MAX = 256, ADDRESS_TEXT_MAX = INET6_ADDRSTRLEN };

enum verb { VERB_HELLO, VERB_LIST, VERB_OPEN, VERB_CLOSE, VERB_DROP, VERB_QUIT };

struct endpoint {
    struct sockaddr_storage address;
    socklen_t length;
};

struct command {
    enum verb verb;
    struct endpoint here, there; /* what is listened on, and where connections are led */
};

/* False when it is no command; `text` need not end with a NUL. */
bool command_parse(struct command *command, const char *text, size_t length);

bool endpoint_same(const struct endpoint *one, const struct endpoint *other);

/* "ADDRESS PORT"; `text` has room for ADDRESS_TEXT_MAX + 8 bytes. */
void endpoint_spell(const struct endpoint *endpoint, char *text, size_t size);

#endif
