/* The one child of a shim: the VMM, its three pipes, its proof of identity and its end. */
#ifndef SHIM_CHILD_H
#define SHIM_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct child {
    pid_t pid;            /* 0: none */
    uint64_t start_ticks; /* field 22 of /proc/PID/stat */
    pid_t vmm_pid;        /* the child's, or that of the VMM which the child leads */
    uint64_t vmm_start_ticks;
    int in;               /* the writing end of its standard input, -1: closed */
    int out;              /* its serial console */
    int err;
};

/* Starts it and returns when the new program runs: 0, or -1 with errno. */
int child_start(struct child *child, char *const argv[], char *const env[]);

/*
 * The child is a program that stays between us and a VMM of another user: waits until it has written "PID START" to `path`, and
 * believes that only of a process that is there. False when the child ended or the time was over before.
 */
bool child_await_vmm(struct child *child, const char *path, int timeout_ms);

/* Has it ended? Then what is left of its process group is killed and it is reaped; its pipes stay open to be drained. */
bool child_reap(struct child *child, int *wait_status);

/* Ends its standard input, which is the wish that it ends what it leads. */
void child_let_go(struct child *child);

void child_close(struct child *child);

/* Start time of any process in clock ticks since boot, 0 when it cannot be read. */
uint64_t process_start_ticks(pid_t pid);

#endif
