/* Clients are served in turn from fixed buffers; one that does not read its answer is dropped. */
#define _GNU_SOURCE
#include "control.h"
#include "command.h"
#include "listeners.h"
#include "loop.h"
#include "relay.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { CLIENTS_MAX = 16, BACKLOG = 16 };

struct client {
    struct source source;
    bool is_used;
};

static struct client clients[CLIENTS_MAX];
static struct source entry = {.fd = -1};
static struct stat entry_stat;
static char entry_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
static const char *own_id;
static bool is_over;

static void drop(struct client *client)
{
    loop_forget(&client->source);
    close(client->source.fd);
    client->is_used = false;
}

static unsigned long long own_start(void)
{
    char text[1024];
    unsigned long long start = 0;
    FILE *file = fopen("/proc/self/stat", "re");
    if (file == NULL) return 0;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = 0;
    /* The name in brackets may hold anything: fields are counted from its end (proc(5), field 22). */
    const char *at = strrchr(text, ')');
    for (int field = 2; at != NULL && field < 22; field++) at = strchr(at + 1, ' ');
    if (at != NULL) sscanf(at, "%llu", &start);
    return start;
}

static size_t answer(const char *text, size_t length, int handed, char *reply, size_t size)
{
    struct command command;
    const char *why = NULL;
    bool is_command = command_parse(&command, text, length);
    if (handed >= 0 && (!is_command || command.verb != VERB_OPEN)) close(handed);
    if (!is_command) return (size_t)snprintf(reply, size, "error that is no request");
    switch (command.verb) {
    case VERB_HELLO:
        return (size_t)snprintf(reply, size, "ok %s %ld %llu %zu %u", own_id, (long)getpid(), own_start(), listener_count(), relay_count(0));
    case VERB_LIST:
        memcpy(reply, "ok\n", 3);
        return 3 + listener_spell(reply + 3, size - 3);
    case VERB_OPEN:
        why = listener_add(handed, &command.here, &command.there);
        break;
    case VERB_CLOSE:
    case VERB_DROP:
        if (!listener_remove(&command.here, command.verb == VERB_DROP)) why = "it is not open";
        break;
    case VERB_QUIT:
        is_over = true;
        break;
    }
    return (size_t)(why == NULL ? snprintf(reply, size, "ok") : snprintf(reply, size, "error %s", why));
}

static void client_happened(struct source *source, uint32_t events)
{
    static char reply[REPLY_BYTES_MAX];
    struct client *client = (struct client *)source; /* its first member */
    char text[COMMAND_BYTES_MAX];
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(4 * sizeof(int))];
    } control;
    struct iovec part = {.iov_base = text, .iov_len = sizeof text};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    int handed = -1;
    (void)events;
    ssize_t length = recvmsg(source->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
    for (struct cmsghdr *at = length > 0 ? CMSG_FIRSTHDR(&message) : NULL; at != NULL; at = CMSG_NXTHDR(&message, at)) {
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS) continue;
        size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(at) + i * sizeof fd, sizeof fd);
            if (handed < 0) handed = fd;
            else close(fd);
        }
    }
    if (length <= 0) {
        drop(client);
        return;
    }
    size_t size = answer(text, (size_t)length, handed, reply, sizeof reply);
    if (send(source->fd, reply, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) drop(client);
}

static void take_client(struct source *source, uint32_t events)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    (void)events;
    int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.uid == geteuid()) {
        for (size_t i = 0; i < CLIENTS_MAX; i++) {
            if (clients[i].is_used) continue;
            clients[i] = (struct client){.source = {.happened = client_happened, .fd = fd}, .is_used = true};
            if (!loop_ask(&clients[i].source, EPOLLIN)) drop(&clients[i]);
            return;
        }
    }
    close(fd);
}

static bool address_of(const char *path, struct sockaddr_un *address)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address->sun_path) return false;
    memcpy(address->sun_path, path, strlen(path));
    return true;
}

int control_connect(const char *path)
{
    struct sockaddr_un address;
    if (!address_of(path, &address)) return -1;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    if (fd >= 0) close(fd);
    return -1;
}

long control_ask(int fd, const char *text, size_t length, int handed, char *reply, size_t size)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = (void *)text, .iov_len = length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (handed >= 0) {
        message.msg_control = control.room;
        message.msg_controllen = sizeof control.room;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof handed);
        memcpy(CMSG_DATA(header), &handed, sizeof handed);
    }
    if (sendmsg(fd, &message, MSG_NOSIGNAL) < 0) return -1;
    ssize_t got = recv(fd, reply, size, 0);
    return got > 0 ? (long)got : -1;
}

const char *control_listen(const char *path, const char *id)
{
    struct sockaddr_un address;
    if (!address_of(path, &address)) return "the path of the control socket is too long";
    int live = control_connect(path);
    if (live >= 0) {
        close(live);
        return "another one answers there";
    }
    if (unlink(path) != 0 && errno != ENOENT) return strerror(errno);
    entry.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (entry.fd < 0 || bind(entry.fd, (struct sockaddr *)&address, sizeof address) != 0) return strerror(errno);
    if (stat(path, &entry_stat) != 0 || listen(entry.fd, BACKLOG) != 0) return strerror(errno);
    entry.happened = take_client;
    own_id = id;
    memcpy(entry_path, address.sun_path, sizeof entry_path);
    return loop_ask(&entry, EPOLLIN) ? NULL : "the control socket cannot be watched";
}

bool control_is_over(void)
{
    return is_over;
}

void control_close(void)
{
    struct stat now;
    if (stat(entry_path, &now) == 0 && now.st_ino == entry_stat.st_ino && now.st_dev == entry_stat.st_dev) unlink(entry_path);
}
