/* Keeps a log within its size by moving it aside when it is half full. */
#define _GNU_SOURCE
#include "boundlog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

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

int boundlog_open(struct boundlog *log, const char *path, uint64_t max)
{
    log->path = path;
    log->half = max / 2;
    log->size = 0;
    return open_file(log);
}

/* Paths of a plan are at most 4000 bytes long. */
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
    close(log->fd);
    open_file(log);
}

void boundlog_write(struct boundlog *log, const char *bytes, size_t length)
{
    while (length > 0) {
        if (log->fd < 0 && open_file(log) != 0) return;
        if (log->size >= log->half) rotate(log);
        if (log->fd < 0 || log->size >= log->half) return;
        uint64_t room = log->half - log->size;
        ssize_t written = write(log->fd, bytes, length < room ? length : (size_t)room);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return;
        log->size += (uint64_t)written;
        bytes += written;
        length -= (size_t)written;
    }
}
