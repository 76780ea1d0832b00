/* Reads the plan of a jail: NUL-ended key=value items that banger-root has checked and written. */
#define _GNU_SOURCE
#include "jail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char text[PLAN_BYTES_MAX + 1];

static size_t read_file(const char *path)
{
    struct stat stat;
    size_t length = 0;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) give_up("%s: %s", path, errno == ENOENT ? "this jail was not prepared" : strerror(errno));
    if (fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode) || stat.st_uid != 0 || (stat.st_mode & 022) != 0) {
        give_up("%s: not a file of root's", path);
    }
    while (length < sizeof text) {
        ssize_t got = read(fd, text + length, sizeof text - length);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) give_up("%s: %s", path, strerror(errno));
        if (got == 0) break;
        length += (size_t)got;
    }
    close(fd);
    if (length == 0 || length > PLAN_BYTES_MAX || text[length - 1] != '\0') give_up("%s: broken", path);
    return length;
}

static uid_t read_uid(const char *value)
{
    char *end;
    errno = 0;
    unsigned long uid = strtoul(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || uid > 0x7fffffffUL) give_up("a bad uid: %s", value);
    return (uid_t)uid;
}

static void add_file(struct jail *jail, char *value)
{
    /* rw:NAME:PATH or ro:NAME:PATH */
    char *name = strchr(value, ':');
    char *path = name == NULL ? NULL : strchr(name + 1, ':');
    if (path == NULL || jail->file_count == FILES_MAX) give_up("a bad file: %s", value);
    *name++ = *path++ = '\0';
    if (strchr(name, '/') != NULL || path[0] != '/') give_up("a bad file: %s", name);
    jail->files[jail->file_count++] =
        (struct jailed_file){.name = name, .path = path, .writable = strcmp(value, "rw") == 0, .fd = -1};
}

static void add_arg(const char **list, size_t *count, const char *value)
{
    if (*count == ARGS_MAX) give_up("too many arguments");
    list[(*count)++] = value;
    list[*count] = NULL;
}

static void take(struct jail *jail, const char *key, char *value)
{
    if (strcmp(key, "caller") == 0) jail->caller = read_uid(value);
    else if (strcmp(key, "uid") == 0) jail->uid = read_uid(value);
    else if (strcmp(key, "jailer") == 0) jail->jailer = value;
    else if (strcmp(key, "exec") == 0) jail->exec = value;
    else if (strcmp(key, "sockets") == 0) jail->sockets = value;
    else if (strcmp(key, "pid_file") == 0) jail->pid_file = value;
    else if (strcmp(key, "cgroup") == 0) jail->cgroup = value;
    else if (strcmp(key, "file") == 0) add_file(jail, value);
    else if (strcmp(key, "arg") == 0) add_arg(jail->args, &jail->arg_count, value);
    else if (strcmp(key, "again_arg") == 0) add_arg(jail->again_args, &jail->again_count, value);
    else give_up("unknown key: %s", key);
}

void plan_read(struct jail *jail, const char *instance, const char *id, uid_t caller)
{
    char path[128];
    snprintf(path, sizeof path, PLANS_DIR "/%s-%s", instance, id);
    size_t length = read_file(path);
    jail->id = id;
    for (char *item = text; item < text + length;) {
        char *next = item + strlen(item) + 1;
        char *equals = strchr(item, '=');
        if (equals == NULL) give_up("%s: an item without =", path);
        *equals = '\0';
        take(jail, item, equals + 1);
        item = next;
    }
    if (jail->jailer == NULL || jail->exec == NULL || jail->sockets == NULL || jail->pid_file == NULL) {
        give_up("%s: incomplete", path);
    }
    /* Zero would be root in a chroot, which is no jail. */
    if (jail->uid == 0) give_up("%s: a jail has a user of its own", path);
    if (jail->caller != caller) give_up("this jail is another user's");
}
