/* One jail: what root has written down about it, and the steps from there to a VMM that runs in it. */
#ifndef JAIL_H
#define JAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum {
    PLAN_BYTES_MAX = 32768,
    FILES_MAX = 8,
    ARGS_MAX = 32,
};

/* The directory of root's that says which jails there may be, and the one that each covers with a root of its own. */
#define PLANS_DIR "/run/banger/jails"
#define BASE_DIR "/run/banger/jail"

struct jailed_file {
    const char *name;
    const char *path;
    bool writable;
    int fd;
};

struct jail {
    const char *id;
    const char *jailer;
    const char *exec;
    const char *sockets;
    const char *pid_file;
    const char *cgroup; /* NULL: this host has no unified hierarchy */
    uid_t caller;
    uid_t uid;
    struct jailed_file files[FILES_MAX];
    size_t file_count;
    const char *args[ARGS_MAX + 1];
    size_t arg_count;
    const char *again_args[ARGS_MAX + 1];
    size_t again_count;
    int sockets_fd;
    int log_fd;
    char root[512];
};

__attribute__((noreturn, format(printf, 1, 2))) void give_up(const char *format, ...);

/* Reads what root wrote down for this VM, and gives up when it is another user's. */
void plan_read(struct jail *jail, const char *instance, const char *id, uid_t caller);

/* From here on what is mounted is seen by this process and its children alone, and vanishes with the last of them. */
void namespace_leave(void);

/* Everything of the caller's that goes into the jail, opened with the caller's own rights; only what was opened in a namespace can be bound in it. */
void files_open(struct jail *jail);

/* The root directory, with those files in it. */
void root_make(struct jail *jail);

/* Sockets that the VMM makes are given to the caller; one that the caller makes for the VMM is opened to it. */
int sockets_watch(const struct jail *jail);
void sockets_settle(const struct jail *jail, int watch);

#endif
