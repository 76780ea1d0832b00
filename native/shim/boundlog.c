/* Keeps a log within its size by moving it aside when it is half full. */
#define _GNU_SOURCE
#include "boundlog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* An index entry is about 25 bytes: one per second at most, and no more of them than there is log. */
#define TIMES_EVERY_MS 1000
#define TIMES_EVERY_BYTES 64
#define TIMES_AT_LEAST_MS 60000

static int open_file(struct boundlog *log)
{
    struct stat stat;
    /* O_NONBLOCK: whatever lies at that path, opening it must not wait. */
    log->fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
    if (log->fd < 0) return -1;
    if (fstat(log->fd, &stat) != 0 || !S_ISREG(stat.st_mode) || fchmod(log->fd, 0600) != 0) {
        int error = S_ISREG(stat.st_mode) ? errno : EINVAL;
        close(log->fd);
        log->fd = -1;
        errno = error;
        return -1;
    }
    log->size = (uint64_t)stat.st_size;
    return 0;
}

/* Paths of a plan are at most 4000 bytes long. */
static void times_of(char out[4096], const char *path, const char *half)
{
    snprintf(out, 4096, "%s%s.times", path, half);
}

static void open_times(struct boundlog *log)
{
    char times[4096];
    times_of(times, log->path, "");
    log->times_fd = open(times, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    log->noted_ms = 0;
}

void boundlog_keep_times(struct boundlog *log)
{
    open_times(log);
}

/* The times go where their log goes; older ones that belong to nothing any more are removed. */
static void move_times(struct boundlog *log, const char *half, const char *to, const char *to_half)
{
    char from_path[4096], to_path[4096];
    if (log->times_fd < 0) return;
    times_of(from_path, log->path, half);
    times_of(to_path, to, to_half);
    if (rename(from_path, to_path) != 0) unlink(to_path);
}

static void reopen_times(struct boundlog *log)
{
    if (log->times_fd < 0) return;
    close(log->times_fd);
    open_times(log);
}

static void note_time(struct boundlog *log)
{
    struct timespec now;
    char line[64];
    if (log->times_fd < 0 || clock_gettime(CLOCK_REALTIME, &now) != 0) return;
    uint64_t ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    uint64_t passed = ms - log->noted_ms;
    uint64_t grown = log->size - log->noted_size;
    /* A clock that was set back makes `passed` huge: then a new entry is right, too. */
    if (log->noted_ms != 0 && passed < TIMES_AT_LEAST_MS && (passed < TIMES_EVERY_MS || grown < TIMES_EVERY_BYTES)) return;
    int length = snprintf(line, sizeof line, "%llu %llu\n", (unsigned long long)ms, (unsigned long long)log->size);
    if (write(log->times_fd, line, (size_t)length) != length) return;
    log->noted_ms = ms;
    log->noted_size = log->size;
}

int boundlog_open(struct boundlog *log, const char *path, uint64_t max)
{
    log->path = path;
    log->half = max / 2;
    log->size = 0;
    log->times_fd = -1;
    return open_file(log);
}

static void older_of(char out[4096], const char *path)
{
    snprintf(out, 4096, "%s.1", path);
}

static void rotate(struct boundlog *log)
{
    char older[4096];
    older_of(older, log->path);
    if (rename(log->path, older) != 0) {
        /* Someone took the file or the directory away: bounded matters more than kept. */
        if (ftruncate(log->fd, 0) == 0) log->size = 0;
        return;
    }
    close(log->fd);
    open_file(log);
    move_times(log, "", log->path, ".1");
    reopen_times(log);
}

void boundlog_set_aside(struct boundlog *log, const char *previous)
{
    char older[4096], older_previous[4096];
    if (log->fd < 0 || log->size == 0) return;
    older_of(older, log->path);
    older_of(older_previous, previous);
    /* Without an older half of its own, it must not be joined to that of the one before it. */
    if (rename(older, older_previous) != 0 && unlink(older_previous) != 0 && errno != ENOENT) return;
    if (rename(log->path, previous) != 0) return;
    move_times(log, ".1", previous, ".1");
    move_times(log, "", previous, "");
    close(log->fd);
    open_file(log);
    reopen_times(log);
}

void boundlog_write(struct boundlog *log, const char *bytes, size_t length)
{
    while (length > 0) {
        if (log->fd < 0 && open_file(log) != 0) return;
        if (log->size >= log->half) rotate(log);
        if (log->fd < 0 || log->size >= log->half) return;
        note_time(log);
        uint64_t room = log->half - log->size;
        ssize_t written = write(log->fd, bytes, length < room ? length : (size_t)room);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return;
        log->size += (uint64_t)written;
        bytes += written;
        length -= (size_t)written;
    }
}
