/* Makes the jail's root directory: a tmpfs that only this process and its children see, with the VM's files bound into it. */
#define _GNU_SOURCE
#include "jail.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static void become_effectively(uid_t uid)
{
    if (seteuid(uid) != 0) give_up("seteuid %u: %s", (unsigned)uid, strerror(errno));
}

void files_open(struct jail *jail)
{
    struct stat stat;
    /* Root follows no path for a user: what this user could not open, nobody opens here. */
    become_effectively(jail->caller);
    jail->sockets_fd = open(jail->sockets, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (jail->sockets_fd < 0 || fstat(jail->sockets_fd, &stat) != 0 || stat.st_uid != jail->caller) {
        give_up("%s: not a directory of this user's", jail->sockets);
    }
    for (size_t i = 0; i < jail->file_count; i++) {
        struct jailed_file *file = &jail->files[i];
        file->fd = open(file->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (file->fd < 0) give_up("%s: %s", file->path, strerror(errno));
        if (fstat(file->fd, &stat) != 0 || !S_ISREG(stat.st_mode) || stat.st_uid != jail->caller) {
            give_up("%s: not a file of this user's", file->path);
        }
    }
    become_effectively(0);
}

static void make_dir(const char *path)
{
    if (mkdir(path, 0755) != 0 && errno != EEXIST) give_up("mkdir %s: %s", path, strerror(errno));
}

static void bind_fd(int fd, const char *target, unsigned long flags)
{
    char source[32];
    snprintf(source, sizeof source, "/proc/self/fd/%d", fd);
    if (mount(source, target, NULL, MS_BIND, NULL) != 0) give_up("bind %s: %s", target, strerror(errno));
    flags |= MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if (mount(NULL, target, NULL, flags, NULL) != 0) give_up("bind %s: %s", target, strerror(errno));
}

static void bind_files(struct jail *jail)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/f", jail->root);
    make_dir(path);
    for (size_t i = 0; i < jail->file_count; i++) {
        const struct jailed_file *file = &jail->files[i];
        snprintf(path, sizeof path, "%s/f/%s", jail->root, file->name);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0) give_up("%s: %s", path, strerror(errno));
        close(fd);
        bind_fd(file->fd, path, file->writable ? 0 : MS_RDONLY);
        close(file->fd);
    }
    snprintf(path, sizeof path, "%s/s", jail->root);
    make_dir(path);
    bind_fd(jail->sockets_fd, path, 0);
}

/* There is no /dev/stderr inside: the VMM's log comes through a pipe with a name. */
static void make_log(struct jail *jail)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/log", jail->root);
    if (mkfifo(path, 0600) != 0 || chown(path, jail->uid, jail->uid) != 0) give_up("%s: %s", path, strerror(errno));
    /* Open for both, so that it never ends while nobody writes. */
    jail->log_fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (jail->log_fd < 0) give_up("%s: %s", path, strerror(errno));
}

void namespace_leave(void)
{
    if (unshare(CLONE_NEWNS) != 0) give_up("a mount namespace: %s", strerror(errno));
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) give_up("a mount namespace: %s", strerror(errno));
}

void root_make(struct jail *jail)
{
    const char *name = strrchr(jail->exec, '/') + 1;
    char *at;
    if (mount("banger-jail", BASE_DIR, "tmpfs", MS_NOSUID, "mode=0755,size=64m") != 0) {
        give_up("%s: %s", BASE_DIR, strerror(errno));
    }
    /* Where the jailer looks for it. */
    snprintf(jail->root, sizeof jail->root, BASE_DIR "/%s/%s/root", name, jail->id);
    for (at = jail->root + sizeof BASE_DIR; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        make_dir(jail->root);
        *at = '/';
    }
    make_dir(jail->root);
    bind_files(jail);
    make_log(jail);
}
