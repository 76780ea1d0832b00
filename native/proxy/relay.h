/* Connections: what a client sends goes to the target and back, each way until its end, a bounded number at once. */
#ifndef BANGER_PROXY_RELAY_H
#define BANGER_PROXY_RELAY_H

#include "command.h"

#include <stdbool.h>
#include <stdint.h>

struct relay_limits {
    unsigned connections;  /* at once */
    int64_t connect_ms;    /* for the target to accept */
    int64_t idle_ms;       /* without a byte either way */
    int64_t half_idle_ms;  /* the same, when one side has ended */
};

/* False when there is no memory for so many. */
bool relay_init(const struct relay_limits *limits);
bool relay_has_room(void);
unsigned relay_count(unsigned listener); /* listener 0: all */
/* Takes the client's descriptor; it is closed when the target cannot be reached. */
void relay_begin(int client, const struct endpoint *target, unsigned listener);
/* Resets them, so that nobody takes a part for the whole. */
void relay_drop(unsigned listener); /* listener 0: all */
/* Ends what has been idle too long. */
void relay_sweep(void);

#endif
