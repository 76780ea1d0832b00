/* The status file: what a daemon that was not there reads about a VMM's life and end. */
#ifndef SHIM_STATUS_H
#define SHIM_STATUS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct status {
    const char *id;
    const char *boot_id;
    pid_t shim_pid;
    uint64_t shim_start_ticks;
    pid_t pid;
    uint64_t start_ticks;
    unsigned starts;
    int64_t started_at_ms;
    const char *cause; /* NULL while it runs */
    int code;          /* -1: none */
    int signal;        /* 0: none */
    int64_t ended_at_ms;
};

/* Replaces the file at once or not at all; an end is also brought to the disk. 0, or -1 with errno. */
int status_write(const char *path, const struct status *status);

#endif
