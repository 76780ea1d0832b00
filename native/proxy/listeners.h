/* The sockets that were handed over, each with where its connections are led. */
#ifndef BANGER_PROXY_LISTENERS_H
#define BANGER_PROXY_LISTENERS_H

#include "command.h"

#include <stdbool.h>
#include <stddef.h>

enum { LISTENERS_MAX = 512 };

/* Takes a listening socket; NULL when that went well, otherwise why not (the descriptor is closed then). */
const char *listener_add(int fd, const struct endpoint *here, const struct endpoint *there);
/* False when there is none. Its connections live on unless `drops`. */
bool listener_remove(const struct endpoint *here, bool drops);
size_t listener_count(void);
/* "ADDRESS PORT TARGET PORT CONNECTIONS\n" for each; what does not fit is left out. */
size_t listener_spell(char *text, size_t size);
/* Goes on to accept after a pause, when there is room again. */
void listener_resume(void);
bool listener_is_paused(void);

#endif
