/* One epoll for everything: each descriptor belongs to a source, whose function is called with what happened. */
#ifndef BANGER_PROXY_LOOP_H
#define BANGER_PROXY_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct source {
    void (*happened)(struct source *source, uint32_t events);
    int fd;
    uint32_t events; /* asked for now */
    bool is_added;
};

bool loop_init(void);
/* Asks for these events (level-triggered); 0 keeps errors and hang-ups. */
bool loop_ask(struct source *source, uint32_t events);
void loop_forget(struct source *source);
/* Waits at most so long (-1: for ever) and calls. */
void loop_turn(int timeout_ms);

int64_t now_ms(void);

#endif
