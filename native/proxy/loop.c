/* A source that is forgotten during a turn is not called any more in it. */
#define _GNU_SOURCE
#include "loop.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_MAX = 128 };

static int epoll = -1;
static struct epoll_event events[EVENTS_MAX];
static int event_count;

bool loop_init(void)
{
    epoll = epoll_create1(EPOLL_CLOEXEC);
    return epoll >= 0;
}

bool loop_ask(struct source *source, uint32_t wanted)
{
    if (source->is_added && source->events == wanted) return true;
    struct epoll_event event = {.events = wanted, .data.ptr = source};
    if (epoll_ctl(epoll, source->is_added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, source->fd, &event) != 0) return false;
    source->is_added = true;
    source->events = wanted;
    return true;
}

void loop_forget(struct source *source)
{
    if (!source->is_added) return;
    epoll_ctl(epoll, EPOLL_CTL_DEL, source->fd, NULL);
    source->is_added = false;
    for (int i = 0; i < event_count; i++)
        if (events[i].data.ptr == source) events[i].data.ptr = NULL;
}

void loop_turn(int timeout_ms)
{
    event_count = epoll_wait(epoll, events, EVENTS_MAX, timeout_ms);
    if (event_count < 0) {
        event_count = 0;
        if (errno != EINTR) _exit(4);
    }
    for (int i = 0; i < event_count; i++) {
        struct source *source = events[i].data.ptr;
        if (source != NULL) source->happened(source, events[i].events);
    }
    event_count = 0;
}

int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
