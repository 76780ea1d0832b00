/* Keeps the sockets of a jail in the right hands: what the VMM binds belongs to the caller alone, what it calls is open to it. */
#define _GNU_SOURCE
#include "jail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

static void change_mode(int fd, mode_t mode)
{
    char path[32];
    /* fchmod(2) takes no descriptor that is only a place; this leads to it and nowhere else. */
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (chmod(path, mode) != 0) dprintf(2, "banger-jail: chmod of a socket: %s\n", strerror(errno));
}

static void settle(const struct jail *jail, const char *name)
{
    struct stat stat;
    int fd = openat(jail->sockets_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return;
    if (fstat(fd, &stat) == 0 && S_ISSOCK(stat.st_mode)) {
        if (stat.st_uid == jail->uid) {
            if (fchownat(fd, "", jail->caller, (gid_t)-1, AT_EMPTY_PATH) == 0) change_mode(fd, 0600);
        } else if (stat.st_uid == jail->caller && strncmp(name, "vsock_", 6) == 0 && (stat.st_mode & 07777) != 0660) {
            /* The directory gives it the jail's group. */
            if (fchownat(fd, "", (uid_t)-1, jail->uid, AT_EMPTY_PATH) == 0) change_mode(fd, 0660);
        }
    }
    close(fd);
}

static void settle_all(const struct jail *jail)
{
    int fd = openat(jail->sockets_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) return;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) settle(jail, entry->d_name);
    closedir(dir);
}

int sockets_watch(const struct jail *jail)
{
    char path[32];
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    snprintf(path, sizeof path, "/proc/self/fd/%d", jail->sockets_fd);
    if (watch < 0 || inotify_add_watch(watch, path, IN_CREATE | IN_ATTRIB | IN_MOVED_TO) < 0) {
        give_up("watching %s: %s", jail->sockets, strerror(errno));
    }
    settle_all(jail);
    return watch;
}

void sockets_settle(const struct jail *jail, int watch)
{
    char events[4096];
    /* Whatever happened, a look at everything there is right: there are three names at most. */
    while (read(watch, events, sizeof events) > 0) {}
    settle_all(jail);
}
