/* The plan of one VMM's life: what banger-shim is told to run, where it logs and when it starts again. */
#ifndef SHIM_PLAN_H
#define SHIM_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PLAN_BYTES_MAX = 65536,
    PLAN_ARGS_MAX = 256,
    PLAN_ENV_MAX = 32,
    PLAN_REMOVE_MAX = 8,
    PLAN_ID_MAX = 64,
    SOCKET_PATH_MAX = 107,
    PLAN_RESTARTS_MAX = 60,
};

struct plan {
    const char *id;
    const char *dir;
    const char *control;
    const char *lock;
    const char *console;
    const char *console_previous; /* NULL: the console of all starts is one log */
    const char *vmm_log;
    const char *status;
    const char *vmm_pid; /* NULL: the VMM is the child itself */
    uint64_t console_max;
    uint64_t vmm_log_max;
    bool restart_on_reboot;
    bool end_on_halt;
    unsigned restart_max;
    const char *remove[PLAN_REMOVE_MAX];
    size_t removes;
    /* All three end with a NULL, as execve wants them. */
    char *argv[PLAN_ARGS_MAX + 1];
    size_t args;
    char *restart_argv[PLAN_ARGS_MAX + 1];
    size_t restart_args;
    char *env[PLAN_ENV_MAX + 1];
    size_t envs;
};

/* Reads `text` (kept by the plan: its strings point into it), or says in one line why it cannot: 0 or -1. */
int plan_parse(struct plan *plan, char *text, size_t length, char *why, size_t why_size);

#endif
