/* Accepts while there is room; when there is none, or no descriptor left, clients wait in the kernel's queue. */
#define _GNU_SOURCE
#include "listeners.h"
#include "loop.h"
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPTS = 32 };

struct listener {
    struct source source;
    unsigned id; /* 0: free */
    struct endpoint here, there;
};

static struct listener listeners[LISTENERS_MAX];
static unsigned last_id;
static bool is_paused;

static void pause_all(void)
{
    is_paused = true;
    for (size_t i = 0; i < LISTENERS_MAX; i++)
        if (listeners[i].id != 0) loop_ask(&listeners[i].source, 0);
}

static void accept_some(struct source *source, uint32_t events)
{
    struct listener *listener = (struct listener *)source; /* its first member */
    (void)events;
    for (int i = 0; i < ACCEPTS; i++) {
        if (!relay_has_room()) {
            pause_all();
            return;
        }
        int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            relay_begin(fd, &listener->there, listener->id);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) pause_all();
        /* Anything else was that client's own end (accept(2)). */
        return;
    }
}

static struct listener *find(const struct endpoint *here)
{
    for (size_t i = 0; i < LISTENERS_MAX; i++)
        if (listeners[i].id != 0 && endpoint_same(&listeners[i].here, here)) return &listeners[i];
    return NULL;
}

static const char *refuse(int fd, const char *why)
{
    if (fd >= 0) close(fd);
    return why;
}

const char *listener_add(int fd, const struct endpoint *here, const struct endpoint *there)
{
    int listens = 0, flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);
    socklen_t length = sizeof listens;
    if (fd < 0) return "no socket came with it";
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) != 0 || !listens) return refuse(fd, "that socket does not listen");
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return refuse(fd, "that socket cannot be used");
    if (find(here) != NULL) return refuse(fd, "it is open already");
    for (size_t i = 0; i < LISTENERS_MAX; i++) {
        struct listener *one = &listeners[i];
        if (one->id != 0) continue;
        *one = (struct listener){.source = {.happened = accept_some, .fd = fd}, .here = *here, .there = *there};
        if (!loop_ask(&one->source, is_paused ? 0 : EPOLLIN)) return refuse(fd, "that socket cannot be watched");
        one->id = ++last_id;
        return NULL;
    }
    return refuse(fd, "there are too many");
}

bool listener_remove(const struct endpoint *here, bool drops)
{
    struct listener *one = find(here);
    if (one == NULL) return false;
    loop_forget(&one->source);
    close(one->source.fd);
    if (drops) relay_drop(one->id);
    one->id = 0;
    return true;
}

size_t listener_count(void)
{
    size_t count = 0;
    for (size_t i = 0; i < LISTENERS_MAX; i++) count += listeners[i].id != 0;
    return count;
}

size_t listener_spell(char *text, size_t size)
{
    size_t used = 0;
    char here[ADDRESS_TEXT_MAX + 8], there[ADDRESS_TEXT_MAX + 8];
    for (size_t i = 0; i < LISTENERS_MAX; i++) {
        const struct listener *one = &listeners[i];
        if (one->id == 0) continue;
        endpoint_spell(&one->here, here, sizeof here);
        endpoint_spell(&one->there, there, sizeof there);
        int length = snprintf(text + used, size - used, "%s %s %u\n", here, there, relay_count(one->id));
        if (length < 0 || (size_t)length >= size - used) break;
        used += (size_t)length;
    }
    return used;
}

bool listener_is_paused(void)
{
    return is_paused;
}

void listener_resume(void)
{
    if (!is_paused || !relay_has_room()) return;
    is_paused = false;
    for (size_t i = 0; i < LISTENERS_MAX; i++)
        if (listeners[i].id != 0) loop_ask(&listeners[i].source, EPOLLIN);
}
