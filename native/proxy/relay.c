/* Moves bytes inside the kernel, splice(2) by way of a pipe that a direction has only while bytes are under way. */
#define _GNU_SOURCE
#include "relay.h"
#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { CHUNK = 65536, TURNS = 16, POOL_MAX = 32, KEEP_IDLE_S = 60, KEEP_INTERVAL_S = 15, KEEP_COUNT = 4 };

struct side {
    struct source source;
    struct connection *connection;
};

struct direction {
    struct side *from, *to;
    int pipe[2];
    size_t pending; /* bytes in the pipe */
    bool has_ended; /* the sender has closed its side */
    bool is_shut;   /* and the receiver was told */
};

struct connection {
    bool is_used, is_connecting;
    unsigned listener;
    int64_t begun_ms, moved_ms;
    struct side client, target;
    struct direction up, down;
};

static struct relay_limits limits;
static struct connection *connections;
static unsigned used;
static int pool[POOL_MAX][2];
static size_t pooled;

bool relay_init(const struct relay_limits *wanted)
{
    limits = *wanted;
    connections = calloc(limits.connections, sizeof *connections);
    return connections != NULL;
}

bool relay_has_room(void)
{
    return used < limits.connections;
}

unsigned relay_count(unsigned listener)
{
    unsigned count = 0;
    if (listener == 0) return used;
    for (unsigned i = 0; i < limits.connections; i++)
        if (connections[i].is_used && connections[i].listener == listener) count++;
    return count;
}

static bool take_pipe(struct direction *direction)
{
    if (direction->pipe[0] >= 0) return true;
    if (pooled > 0) {
        memcpy(direction->pipe, pool[--pooled], sizeof direction->pipe);
        return true;
    }
    return pipe2(direction->pipe, O_NONBLOCK | O_CLOEXEC) == 0;
}

/* A pipe that holds bytes is never given to another connection. */
static void leave_pipe(struct direction *direction)
{
    if (direction->pipe[0] < 0) return;
    if (direction->pending == 0 && pooled < POOL_MAX) {
        memcpy(pool[pooled++], direction->pipe, sizeof direction->pipe);
    } else {
        close(direction->pipe[0]);
        close(direction->pipe[1]);
    }
    direction->pipe[0] = direction->pipe[1] = -1;
    direction->pending = 0;
}

static void close_side(struct side *side, bool is_reset)
{
    struct linger now = {.l_onoff = 1};
    if (side->source.fd < 0) return;
    loop_forget(&side->source);
    if (is_reset) setsockopt(side->source.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(side->source.fd);
    side->source.fd = -1;
}

static void end(struct connection *connection, bool is_reset)
{
    close_side(&connection->client, is_reset);
    close_side(&connection->target, is_reset);
    leave_pipe(&connection->up);
    leave_pipe(&connection->down);
    connection->is_used = false;
    used--;
}

/* Moves what can be moved now; false when the connection is broken. */
static bool pump(struct direction *direction, int64_t *moved_ms)
{
    for (int turn = 0; turn < TURNS; turn++) {
        bool has_moved = false;
        if (!direction->has_ended && direction->pending == 0) {
            if (!take_pipe(direction)) return false;
            ssize_t taken = splice(direction->from->source.fd, NULL, direction->pipe[1], NULL, CHUNK, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
            if (taken > 0) direction->pending = (size_t)taken;
            else if (taken == 0) direction->has_ended = true;
            else if (errno != EAGAIN && errno != EINTR) return false;
        }
        if (direction->pending > 0) {
            ssize_t given = splice(direction->pipe[0], NULL, direction->to->source.fd, NULL, direction->pending, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
            if (given > 0) {
                direction->pending -= (size_t)given;
                has_moved = true;
                *moved_ms = now_ms();
            } else if (given < 0 && errno != EAGAIN && errno != EINTR) {
                return false;
            }
        }
        if (!has_moved) break;
    }
    if (direction->pending == 0) leave_pipe(direction);
    if (direction->has_ended && direction->pending == 0 && !direction->is_shut) {
        direction->is_shut = true;
        *moved_ms = now_ms();
        /* A receiver that is gone already has heard. */
        shutdown(direction->to->source.fd, SHUT_WR);
    }
    return true;
}

static bool has_hung_up(const struct side *side)
{
    return !side->source.is_added && side->source.events == EPOLLHUP;
}

/* A side that has both ended and been told so can only hang up, again and again: it is not asked any more. */
static bool ask(struct side *side, const struct direction *out, const struct direction *in)
{
    uint32_t wanted = 0;
    if (out->is_shut && in->is_shut) {
        loop_forget(&side->source);
        return true;
    }
    if (!out->has_ended && out->pending == 0) wanted |= EPOLLIN;
    /* After a hang-up nothing new comes, and it is not asked: what is left is read whenever this side takes some. */
    if (in->pending > 0 || (has_hung_up(in->from) && !in->has_ended)) wanted |= EPOLLOUT;
    if (has_hung_up(side)) return true;
    return loop_ask(&side->source, wanted);
}

static void advance(struct connection *connection)
{
    struct direction *up = &connection->up, *down = &connection->down;
    if (!pump(up, &connection->moved_ms) || !pump(down, &connection->moved_ms)) {
        end(connection, true);
        return;
    }
    if (up->is_shut && down->is_shut) {
        end(connection, false);
        return;
    }
    if (!ask(&connection->client, up, down) || !ask(&connection->target, down, up)) end(connection, true);
}

static bool has_connected(struct connection *connection)
{
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(connection->target.source.fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error != 0) return false;
    connection->is_connecting = false;
    connection->moved_ms = now_ms();
    return true;
}

static void side_happened(struct source *source, uint32_t events)
{
    struct side *side = (struct side *)source; /* its first member */
    struct connection *connection = side->connection;
    if (connection->is_connecting) {
        if (side == &connection->client || !has_connected(connection)) {
            end(connection, true);
            return;
        }
    } else if (events & EPOLLERR) {
        end(connection, true);
        return;
    }
    if (events & EPOLLHUP) {
        loop_forget(source);
        source->events = EPOLLHUP;
    }
    advance(connection);
}

static void prepare(int fd)
{
    int on = 1, idle = KEEP_IDLE_S, interval = KEEP_INTERVAL_S, count = KEEP_COUNT;
    /* Best effort: they change nothing of what is carried. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

static struct connection *find_free(void)
{
    for (unsigned i = 0; i < limits.connections; i++)
        if (!connections[i].is_used) return &connections[i];
    return NULL;
}

void relay_begin(int client, const struct endpoint *target, unsigned listener)
{
    struct connection *connection = find_free();
    int fd = socket(target->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection == NULL || fd < 0) {
        if (fd >= 0) close(fd);
        close(client);
        return;
    }
    memset(connection, 0, sizeof *connection);
    connection->is_used = connection->is_connecting = true;
    connection->listener = listener;
    connection->begun_ms = connection->moved_ms = now_ms();
    connection->client = (struct side){.source = {.happened = side_happened, .fd = client}, .connection = connection};
    connection->target = (struct side){.source = {.happened = side_happened, .fd = fd}, .connection = connection};
    connection->up = (struct direction){.from = &connection->client, .to = &connection->target, .pipe = {-1, -1}};
    connection->down = (struct direction){.from = &connection->target, .to = &connection->client, .pipe = {-1, -1}};
    used++;
    prepare(client);
    prepare(fd);
    bool is_under_way = connect(fd, (const struct sockaddr *)&target->address, target->length) == 0 || errno == EINPROGRESS;
    /* Of the client only errors are asked until there is somebody to send to. */
    if (!is_under_way || !loop_ask(&connection->target.source, EPOLLOUT) || !loop_ask(&connection->client.source, 0)) end(connection, true);
}

void relay_drop(unsigned listener)
{
    for (unsigned i = 0; i < limits.connections; i++)
        if (connections[i].is_used && (listener == 0 || connections[i].listener == listener)) end(&connections[i], true);
}

void relay_sweep(void)
{
    int64_t now = now_ms();
    for (unsigned i = 0; i < limits.connections; i++) {
        struct connection *one = &connections[i];
        if (!one->is_used) continue;
        bool is_half = one->up.has_ended || one->down.has_ended;
        int64_t patience = one->is_connecting ? limits.connect_ms : is_half ? limits.half_idle_ms : limits.idle_ms;
        if (now - one->moved_ms > patience) end(one, true);
    }
}
