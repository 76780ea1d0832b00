/* Serves every client without ever waiting for one: fixed buffers, one ring of console output with a cursor for each. */
#define _GNU_SOURCE
#include "clients.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum mode { MODE_FREE, MODE_REQUESTS, MODE_WATCH, MODE_ATTACH };

struct client {
    enum mode mode;
    int fd;
    bool input_ended;
    int64_t heard_ms;
    uint64_t cursor; /* next byte of the console it is sent */
    size_t line_bytes;
    size_t reply_bytes;
    char line[LINE_MAX_BYTES];
    char reply[REPLY_MAX];
};

static struct client clients[CLIENTS_MAX];
static client_request *request;
static char ring[RING_BYTES];
static uint64_t ring_head; /* bytes ever put in */
static char input[INPUT_MAX];
static size_t input_bytes;

void clients_init(client_request *on_request)
{
    request = on_request;
}

static void drop(struct client *client)
{
    close(client->fd);
    client->mode = MODE_FREE;
}

static bool has_output(const struct client *client)
{
    return client->reply_bytes > 0 || (client->mode == MODE_ATTACH && client->cursor < ring_head);
}

/* A request is read only when its answer is sure to find room; console input only when the guest takes it. */
static bool may_read(const struct client *client)
{
    if (client->input_ended) return false;
    if (client->mode == MODE_ATTACH) return input_bytes < INPUT_MAX;
    return client->reply_bytes + 2 * LINE_MAX_BYTES <= REPLY_MAX;
}

/* Sends what the socket takes; false when the client is gone. */
static bool send_output(struct client *client)
{
    while (client->reply_bytes > 0) {
        ssize_t sent = send(client->fd, client->reply, client->reply_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) return errno == EAGAIN || errno == EINTR;
        client->reply_bytes -= (size_t)sent;
        memmove(client->reply, client->reply + sent, client->reply_bytes);
    }
    if (client->mode != MODE_ATTACH) return true;
    while (client->cursor < ring_head) {
        if (ring_head - client->cursor > RING_BYTES) return false;
        size_t from = client->cursor % RING_BYTES;
        size_t part = (size_t)(ring_head - client->cursor);
        if (part > RING_BYTES - from) part = RING_BYTES - from;
        ssize_t sent = send(client->fd, ring + from, part, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) return errno == EAGAIN || errno == EINTR;
        client->cursor += (uint64_t)sent;
    }
    return true;
}

void client_say(struct client *client, const char *format, ...)
{
    va_list arguments;
    size_t room = REPLY_MAX - client->reply_bytes;
    va_start(arguments, format);
    int length = vsnprintf(client->reply + client->reply_bytes, room, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= room) {
        drop(client);
        return;
    }
    client->reply_bytes += (size_t)length;
}

static size_t count_streams(void)
{
    size_t count = 0;
    for (size_t i = 0; i < CLIENTS_MAX; i++) count += clients[i].mode == MODE_WATCH || clients[i].mode == MODE_ATTACH;
    return count;
}

bool client_watch(struct client *client)
{
    if (count_streams() >= STREAMS_MAX) return false;
    client->mode = MODE_WATCH;
    return true;
}

bool client_attach(struct client *client, uint64_t tail)
{
    if (count_streams() >= STREAMS_MAX) return false;
    if (tail > RING_BYTES) tail = RING_BYTES;
    client->mode = MODE_ATTACH;
    client->cursor = ring_head > tail ? ring_head - tail : 0;
    return true;
}

static void take_input(const char *bytes, size_t length)
{
    memcpy(input + input_bytes, bytes, length);
    input_bytes += length;
}

const char *clients_input(size_t *length)
{
    *length = input_bytes;
    return input;
}

void clients_input_taken(size_t length)
{
    input_bytes -= length;
    memmove(input, input + length, input_bytes);
}

/* Runs the whole lines that there is room to answer; false when the client must go. */
static bool run_lines(struct client *client)
{
    char *end;
    while (client->mode == MODE_REQUESTS && client->reply_bytes + 2 * LINE_MAX_BYTES <= REPLY_MAX &&
           (end = memchr(client->line, '\n', client->line_bytes)) != NULL) {
        size_t used = (size_t)(end - client->line) + 1;
        *end = '\0';
        if (strlen(client->line) + 1 != used) return false;
        request(client, client->line);
        if (client->mode == MODE_FREE) return true;
        client->line_bytes -= used;
        memmove(client->line, client->line + used, client->line_bytes);
    }
    if (client->mode == MODE_ATTACH && client->line_bytes > 0) {
        /* Typed right behind the request. */
        size_t room = INPUT_MAX - input_bytes;
        take_input(client->line, client->line_bytes < room ? client->line_bytes : room);
        client->line_bytes = 0;
    }
    /* A watcher has nothing more to say. */
    if (client->mode == MODE_WATCH) client->line_bytes = 0;
    return client->line_bytes < LINE_MAX_BYTES || client->reply_bytes > 0;
}

static bool receive(struct client *client, int64_t now_ms)
{
    char *into = client->mode == MODE_ATTACH ? input + input_bytes : client->line + client->line_bytes;
    size_t room = client->mode == MODE_ATTACH ? INPUT_MAX - input_bytes : LINE_MAX_BYTES - client->line_bytes;
    if (room == 0) return true;
    ssize_t got = recv(client->fd, into, room, MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) {
        client->input_ended = true;
        return true;
    }
    client->heard_ms = now_ms;
    if (client->mode == MODE_ATTACH) input_bytes += (size_t)got;
    else client->line_bytes += (size_t)got;
    return true;
}

static void serve(struct client *client, short events, int64_t now_ms)
{
    bool kept = true;
    /* A hang-up with nothing that can be read now: poll would report it for ever. */
    if ((events & (POLLHUP | POLLERR)) && (!(events & POLLIN) || !may_read(client))) kept = false;
    if (kept && (events & POLLIN) && may_read(client)) kept = receive(client, now_ms);
    bool more = kept;
    while (more) {
        kept = run_lines(client);
        if (client->mode == MODE_FREE) return;
        if (kept) kept = send_output(client);
        more = kept && client->mode == MODE_REQUESTS && client->reply_bytes == 0 &&
               memchr(client->line, '\n', client->line_bytes) != NULL;
    }
    if (kept && client->input_ended && client->mode == MODE_REQUESTS && client->reply_bytes == 0) kept = false;
    if (!kept) drop(client);
}

size_t clients_poll(struct pollfd *fds)
{
    size_t count = 0;
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        if (clients[i].mode == MODE_FREE) continue;
        fds[count].fd = clients[i].fd;
        fds[count].events = (short)((may_read(&clients[i]) ? POLLIN : 0) | (has_output(&clients[i]) ? POLLOUT : 0));
        fds[count++].revents = 0;
    }
    return count;
}

void clients_serve(const struct pollfd *fds, size_t count, int64_t now_ms)
{
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        for (size_t j = 0; j < count; j++) {
            if (clients[i].mode != MODE_FREE && clients[i].fd == fds[j].fd && fds[j].revents != 0) {
                serve(&clients[i], fds[j].revents, now_ms);
            }
        }
    }
}

static struct client *place_for(int64_t now_ms)
{
    struct client *oldest = NULL;
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        if (clients[i].mode == MODE_FREE) return &clients[i];
        if (clients[i].mode != MODE_REQUESTS) continue;
        if (oldest == NULL || clients[i].heard_ms < oldest->heard_ms) oldest = &clients[i];
    }
    if (oldest == NULL || now_ms - oldest->heard_ms < EVICT_AFTER_MS) return NULL;
    drop(oldest);
    return oldest;
}

static void admit(int fd, int64_t now_ms)
{
    struct client *client = place_for(now_ms);
    if (client == NULL) {
        static const char busy[] = "error busy\n";
        ssize_t ignored = send(fd, busy, sizeof busy - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)ignored;
        close(fd);
        return;
    }
    client->mode = MODE_REQUESTS;
    client->fd = fd;
    client->input_ended = false;
    client->heard_ms = now_ms;
    client->line_bytes = 0;
    client->reply_bytes = 0;
}

void clients_accept(int listener, int64_t now_ms)
{
    for (int i = 0; i < CLIENTS_MAX; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) return;
        admit(fd, now_ms);
    }
}

void clients_tell_watchers(const char *line)
{
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        if (clients[i].mode == MODE_WATCH) client_say(&clients[i], "%s\n", line);
    }
    clients_flush();
}

void clients_console(const char *bytes, size_t length)
{
    /* In parts, each sent at once, so that only a client that does not read falls behind. */
    while (length > 0) {
        size_t to = ring_head % RING_BYTES;
        size_t part = length < RING_BYTES / 4 ? length : RING_BYTES / 4;
        if (part > RING_BYTES - to) part = RING_BYTES - to;
        memcpy(ring + to, bytes, part);
        ring_head += part;
        bytes += part;
        length -= part;
        clients_flush();
    }
}

void clients_flush(void)
{
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        if (clients[i].mode != MODE_FREE && !send_output(&clients[i])) drop(&clients[i]);
    }
}

bool clients_have_output(void)
{
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        if (clients[i].mode != MODE_FREE && has_output(&clients[i])) return true;
    }
    return false;
}

void clients_close_all(void)
{
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        if (clients[i].mode != MODE_FREE) drop(&clients[i]);
    }
}
