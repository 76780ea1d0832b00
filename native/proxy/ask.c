/* Binds where it is run, which is the host; the proxy that gets the socket may live in a namespace. */
#define _GNU_SOURCE
#include "ask.h"
#include "command.h"
#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { EXIT_NOBODY = 3, EXIT_SYSTEM = 4, BACKLOG = 128, ANSWER_S = 5 };

/* Codes of the answers that have a meaning to whoever asked. */
static const char *code_of(int error)
{
    switch (error) {
    case EADDRINUSE: return "taken";
    case EACCES: return "privileged";
    case EADDRNOTAVAIL: return "unavailable";
    default: return "failed";
    }
}

static int listen_at(const struct endpoint *here)
{
    int on = 1;
    int fd = socket(here->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        (here->address.ss_family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0) &&
        bind(fd, (const struct sockaddr *)&here->address, here->length) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int ask(const char *path)
{
    static char reply[REPLY_BYTES_MAX];
    char line[COMMAND_BYTES_MAX];
    struct timeval patience = {.tv_sec = ANSWER_S};
    int fd = control_connect(path);
    if (fd < 0) {
        fprintf(stderr, "banger-proxy: %s: %s\n", path, strerror(errno));
        return EXIT_NOBODY;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    while (fgets(line, sizeof line, stdin) != NULL) {
        struct command command;
        int handed = -1;
        size_t length = strlen(line);
        if (length > 0 && line[length - 1] == '\n') line[--length] = 0;
        if (command_parse(&command, line, length) && command.verb == VERB_OPEN) {
            handed = listen_at(&command.here);
            if (handed < 0) {
                printf("error %s %s\n.\n", code_of(errno), strerror(errno));
                continue;
            }
        }
        long got = control_ask(fd, line, length, handed, reply, sizeof reply);
        if (handed >= 0) close(handed);
        if (got < 0) {
            fprintf(stderr, "banger-proxy: it does not answer: %s\n", strerror(errno));
            return EXIT_NOBODY;
        }
        fwrite(reply, 1, (size_t)got, stdout);
        fputs(reply[got - 1] == '\n' ? ".\n" : "\n.\n", stdout);
    }
    return fflush(stdout) == 0 ? 0 : EXIT_SYSTEM;
}
