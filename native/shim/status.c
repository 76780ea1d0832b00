/* Writes the status file as one line of JSON; every string in it was checked by the plan or made here. */
#define _GNU_SOURCE
#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void or_null(char *text, size_t size, int64_t value, bool is_known)
{
    if (is_known) snprintf(text, size, "%" PRId64, value);
    else snprintf(text, size, "null");
}

static int write_all(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t written = write(fd, bytes, length);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return -1;
        bytes += written;
        length -= (size_t)written;
    }
    return 0;
}

int status_write(const char *path, const struct status *status)
{
    char text[1024], next[4096], code[24], signal[24], ended[24], cause[32];
    bool is_ended = status->cause != NULL;
    or_null(code, sizeof code, status->code, is_ended && status->code >= 0);
    or_null(signal, sizeof signal, status->signal, is_ended && status->signal > 0);
    or_null(ended, sizeof ended, status->ended_at_ms, is_ended);
    if (is_ended) snprintf(cause, sizeof cause, "\"%s\"", status->cause);
    else snprintf(cause, sizeof cause, "null");

    int length = snprintf(text, sizeof text,
                          "{\"version\":1,\"id\":\"%s\",\"shimPid\":%d,\"shimStartTicks\":%" PRIu64 ",\"pid\":%d,"
                          "\"startTicks\":%" PRIu64 ",\"bootId\":\"%s\",\"starts\":%u,\"state\":\"%s\",\"cause\":%s,"
                          "\"code\":%s,\"signal\":%s,\"startedAtMs\":%" PRId64 ",\"endedAtMs\":%s}\n",
                          status->id, (int)status->shim_pid, status->shim_start_ticks, (int)status->pid,
                          status->start_ticks, status->boot_id, status->starts, is_ended ? "ended" : "running", cause,
                          code, signal, status->started_at_ms, ended);
    int next_length = snprintf(next, sizeof next, "%s.next", path);
    if (length < 0 || (size_t)length >= sizeof text || next_length < 0 || (size_t)next_length >= sizeof next) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (unlink(next) != 0 && errno != ENOENT) return -1;
    int fd = open(next, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return -1;
    /* A "running" that is lost with the power is worth nothing: its boot is over. So only an end waits for the disk. */
    int failed = write_all(fd, text, (size_t)length) != 0 || (is_ended && fsync(fd) != 0);
    if (close(fd) != 0) failed = 1;
    if (failed || rename(next, path) != 0) {
        int error = errno;
        unlink(next);
        errno = error;
        return -1;
    }
    return 0;
}
