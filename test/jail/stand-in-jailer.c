/* A jailer for hosts without Firecracker's: the part of its behaviour that banger-jail counts on, and no isolation beyond that. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

static void fail(const char *what)
{
    fprintf(stderr, "stand-in jailer: %s: %s\n", what, strerror(errno));
    exit(1);
}

static const char *option(char **argv, const char *name)
{
    for (; argv[0] != NULL && strcmp(argv[0], "--") != 0; argv++) {
        if (strcmp(argv[0], name) == 0 && argv[1] != NULL) return argv[1];
    }
    fprintf(stderr, "stand-in jailer: %s is missing\n", name);
    exit(1);
}

int main(int argc, char **argv)
{
    char root[512], path[1024];
    const char *args[64] = {NULL};
    struct stat stat;
    const char *exec = option(argv, "--exec-file"), *id = option(argv, "--id");
    const char *name = strrchr(exec, '/') + 1;
    uid_t uid = (uid_t)atoi(option(argv, "--uid"));
    gid_t gid = (gid_t)atoi(option(argv, "--gid"));
    snprintf(root, sizeof root, "%s/%s/%s/root", option(argv, "--chroot-base-dir"), name, id);
    snprintf(path, sizeof path, "%s/%s", root, name);
    int from = open(exec, O_RDONLY | O_CLOEXEC), to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    if (from < 0 || to < 0 || fstat(from, &stat) != 0) fail(path);
    if (sendfile(to, from, NULL, (size_t)stat.st_size) != stat.st_size || fchmod(to, 0755) != 0) fail(path);
    close(to);
    /* A second time in the same root would fail here, as the jailer's mknod does. */
    snprintf(path, sizeof path, "%s/dev", root);
    if (mkdir(path, 0700) != 0) fail(path);
    if (chown(root, uid, gid) != 0 || chmod(root, 0700) != 0) fail(root);
    if (chroot(root) != 0 || chdir("/") != 0) fail("chroot");
    if (setgroups(0, NULL) != 0 || setgid(gid) != 0 || setuid(uid) != 0) fail("setuid");
    snprintf(path, sizeof path, "/%s", name);
    size_t count = 0;
    args[count++] = path;
    args[count++] = "--id";
    args[count++] = id;
    int at = 1;
    while (at < argc && strcmp(argv[at], "--") != 0) at++;
    for (at++; at < argc && count < 62; at++) args[count++] = argv[at];
    execv(path, (char *const *)args);
    fail(path);
}
