/* banger-proxy: relays TCP from sockets it is handed to guests; outlives who started it, and ends with the process it is bound to. */
#define _GNU_SOURCE
#include "ask.h"
#include "control.h"
#include "listeners.h"
#include "loop.h"
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    EXIT_USAGE = 2,
    EXIT_NOBODY = 3,
    EXIT_SYSTEM = 4,
    CONNECTIONS = 1024,
    DESCRIPTORS_EACH = 6, /* two sockets, and a pipe each way */
    DESCRIPTORS_OWN = 64 + LISTENERS_MAX,
    CONNECT_S = 10,
    IDLE_S = 24 * 3600,
    HALF_IDLE_S = 3600,
    SWEEP_MS = 1000,
    NUMBER_MAX = 1000000,
};

static const char usage[] =
    "usage: banger-proxy --serve CONTROL ID [--until PID START] [--connections N] [--idle S] [--half-idle S]\n"
    "       banger-proxy --ask CONTROL <REQUESTS\n";

static bool is_bound_gone;

static void bound_happened(struct source *source, uint32_t events)
{
    (void)source;
    (void)events;
    is_bound_gone = true;
}

static struct source bound = {.happened = bound_happened, .fd = -1};

static unsigned long long start_of(unsigned long long pid)
{
    char path[64], text[1024];
    unsigned long long start = 0;
    snprintf(path, sizeof path, "/proc/%llu/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) return 0;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = 0;
    const char *at = strrchr(text, ')');
    for (int field = 2; at != NULL && field < 22; field++) at = strchr(at + 1, ' ');
    if (at != NULL) sscanf(at, "%llu", &start);
    return start;
}

/* The descriptor comes before the look at the start time: what it refers to cannot change any more. */
static bool bind_to(unsigned long long pid, unsigned long long start)
{
    bound.fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    return bound.fd >= 0 && start_of(pid) == start;
}

static bool take_number(const char *text, unsigned long long max, unsigned long long *number)
{
    char *end;
    if (text == NULL || *text < '0' || *text > '9') return false;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno == 0 && *end == 0 && *number > 0 && *number <= max;
}

static int stop(int code, const char *why)
{
    fprintf(stderr, "banger-proxy: %s\n", why);
    return code;
}

static unsigned fit_connections(unsigned wanted)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) return 32;
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0) getrlimit(RLIMIT_NOFILE, &files);
    rlim_t room = files.rlim_cur > DESCRIPTORS_OWN ? (files.rlim_cur - DESCRIPTORS_OWN) / DESCRIPTORS_EACH : 1;
    return room < wanted ? (unsigned)(room > 0 ? room : 1) : wanted;
}

static bool leave_the_parent(void)
{
    pid_t child = fork();
    if (child < 0) return false;
    if (child > 0) _exit(0);
    setsid();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || chdir("/") != 0) return false;
    for (int fd = 0; fd < 3; fd++)
        if (dup2(null, fd) < 0) return false;
    if (null > 2) close(null);
    return true;
}

static int serve(int count, char **words)
{
    struct relay_limits limits = {.connections = CONNECTIONS, .connect_ms = CONNECT_S * 1000, .idle_ms = IDLE_S * 1000, .half_idle_ms = HALF_IDLE_S * 1000};
    unsigned long long number, pid = 0, start = 0;
    if (count < 2) return fputs(usage, stderr), EXIT_USAGE;
    for (int i = 2; i < count; i++) {
        const char *value = i + 1 < count ? words[i + 1] : NULL;
        if (strcmp(words[i], "--until") == 0 && i + 2 < count && take_number(value, 1ull << 31, &pid) && take_number(words[i + 2], ~0ull, &start)) i += 2;
        else if (strcmp(words[i], "--connections") == 0 && take_number(value, CONNECTIONS, &number)) limits.connections = (unsigned)number, i++;
        else if (strcmp(words[i], "--idle") == 0 && take_number(value, NUMBER_MAX, &number)) limits.idle_ms = (int64_t)number * 1000, i++;
        else if (strcmp(words[i], "--half-idle") == 0 && take_number(value, NUMBER_MAX, &number)) limits.half_idle_ms = (int64_t)number * 1000, i++;
        else return fputs(usage, stderr), EXIT_USAGE;
    }
    umask(077);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    limits.connections = fit_connections(limits.connections);
    if (syscall(SYS_close_range, 3U, ~0U, 0U) != 0)
        for (int fd = 3; fd < 1024; fd++) close(fd);
    if (pid != 0 && !bind_to(pid, start)) return stop(EXIT_NOBODY, "the process it is bound to is gone");
    if (!loop_init() || !relay_init(&limits)) return stop(EXIT_SYSTEM, strerror(errno));
    const char *why = control_listen(words[0], words[1]);
    if (why != NULL) return stop(EXIT_SYSTEM, why);
    if (bound.fd >= 0 && !loop_ask(&bound, EPOLLIN)) return stop(EXIT_SYSTEM, strerror(errno));
    if (!leave_the_parent()) return stop(EXIT_SYSTEM, strerror(errno));
    int64_t swept = now_ms();
    while (!control_is_over() && !is_bound_gone) {
        bool is_busy = relay_count(0) > 0 || listener_is_paused();
        loop_turn(is_busy ? SWEEP_MS : -1);
        if (!is_busy || now_ms() - swept < SWEEP_MS) {
            if (relay_has_room() && relay_count(0) == 0) listener_resume();
            continue;
        }
        swept = now_ms();
        relay_sweep();
        listener_resume();
    }
    relay_drop(0);
    control_close();
    return 0;
}

int main(int count, char **words)
{
    if (count >= 4 && strcmp(words[1], "--serve") == 0) return serve(count - 2, words + 2);
    if (count == 3 && strcmp(words[1], "--ask") == 0) return ask(words[2]);
    fputs(usage, stderr);
    return EXIT_USAGE;
}
