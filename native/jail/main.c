/* banger-jail INSTANCE VM [again]: runs the jailer for one VM that banger-root has prepared, and ends the VMM when its stdin ends. */
#define _GNU_SOURCE
#include "jail.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct jail jail = {.sockets_fd = -1, .log_fd = -1};

void give_up(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("banger-jail: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static bool is_word(const char *text, size_t length, const char *letters)
{
    return strlen(text) == length && strspn(text, letters) == length;
}

/* Who asked: sudo's word, else root itself. */
static uid_t find_caller(void)
{
    const char *text = getenv("SUDO_UID");
    if (text == NULL) return 0;
    char *end;
    unsigned long uid = strtoul(text, &end, 10);
    if (end == text || *end != '\0' || uid > 0x7fffffffUL) give_up("SUDO_UID is no uid");
    return (uid_t)uid;
}

static int catch_signals(void)
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    if (sigprocmask(SIG_SETMASK, &mask, NULL) != 0) give_up("sigprocmask: %s", strerror(errno));
    int fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) give_up("signalfd: %s", strerror(errno));
    return fd;
}

_Noreturn static void become_jailer(bool again)
{
    char uid[16], group[80];
    const char *argv[32 + 2 * ARGS_MAX] = {
        jail.jailer, "--id", jail.id, "--exec-file", jail.exec, "--uid", uid, "--gid", uid, "--chroot-base-dir", BASE_DIR,
    };
    size_t count = 11;
    char *const env[] = {NULL};
    sigset_t none;
    snprintf(uid, sizeof uid, "%u", (unsigned)jail.uid);
    if (jail.cgroup != NULL) {
        snprintf(group, sizeof group, "%s", jail.cgroup);
        const char *const limits[] = {"--cgroup-version", "2", "--parent-cgroup", group, "--cgroup", "pids.max=128"};
        memcpy(argv + count, limits, sizeof limits);
        count += sizeof limits / sizeof *limits;
    }
    argv[count++] = "--";
    for (size_t i = 0; i < jail.arg_count; i++) argv[count++] = jail.args[i];
    for (size_t i = 0; again && i < jail.again_count; i++) argv[count++] = jail.again_args[i];
    argv[count] = NULL;
    /* Its sockets can be reached by the caller from the first moment; who else could is kept out by the directory. */
    umask(0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    execve(jail.jailer, (char *const *)argv, env);
    give_up("%s: %s", jail.jailer, strerror(errno));
}

static uint64_t start_ticks_of(pid_t pid)
{
    char path[32], line[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, line, sizeof line - 1);
    if (fd >= 0) close(fd);
    if (length <= 0) return 0;
    line[length] = '\0';
    char *at = strrchr(line, ')');
    if (at == NULL) return 0;
    at++;
    for (int field = 3; field < 22 && at != NULL; field++) at = strchr(at + 1, ' ');
    return at == NULL ? 0 : strtoull(at, NULL, 10);
}

/* The jailer becomes the VMM without a new process: this is the pid of both. Written as the caller, into the caller's directory. */
static void tell_pid(pid_t pid)
{
    char part[4200], line[64];
    snprintf(part, sizeof part, "%s.new", jail.pid_file);
    int length = snprintf(line, sizeof line, "%d %llu\n", (int)pid, (unsigned long long)start_ticks_of(pid));
    if (seteuid(jail.caller) != 0) give_up("seteuid: %s", strerror(errno));
    unlink(part);
    int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool told = fd >= 0 && write(fd, line, (size_t)length) == length && close(fd) == 0 && rename(part, jail.pid_file) == 0;
    int error = errno;
    if (seteuid(0) != 0) give_up("seteuid: %s", strerror(errno));
    if (told) return;
    kill(pid, SIGKILL);
    give_up("%s: %s", jail.pid_file, strerror(error));
}

static void forward_log(void)
{
    char chunk[4096];
    ssize_t got;
    while ((got = read(jail.log_fd, chunk, sizeof chunk)) > 0) {
        ssize_t ignored = write(2, chunk, (size_t)got);
        (void)ignored;
    }
}

/* Passes on what it is told until the VMM has ended; answers how. */
static int keep(pid_t pid, int signals, int watch)
{
    /* Nothing is read from stdin, which is the guest's console: that it ended is all there is to know. */
    struct pollfd polls[4] = {
        {.fd = 0, .events = 0}, {.fd = signals, .events = POLLIN}, {.fd = watch, .events = POLLIN}, {.fd = jail.log_fd, .events = POLLIN}};
    for (;;) {
        int status;
        struct signalfd_siginfo info;
        if (poll(polls, 4, -1) < 0 && errno != EINTR) give_up("poll: %s", strerror(errno));
        if (polls[0].revents & (POLLHUP | POLLERR | POLLNVAL)) {
            polls[0].fd = -1;
            kill(pid, SIGKILL);
        }
        if (polls[2].revents != 0) sockets_settle(&jail, watch);
        if (polls[3].revents != 0) forward_log();
        while (read(signals, &info, sizeof info) == (ssize_t)sizeof info) {
            if (info.ssi_signo != SIGCHLD) kill(pid, (int)info.ssi_signo);
        }
        /* Not reaped before this line, so the pid above was nobody else's. */
        if (waitpid(pid, &status, WNOHANG) == pid) return status;
    }
}

static void leave_cgroup(void)
{
    char path[256];
    if (jail.cgroup == NULL) return;
    snprintf(path, sizeof path, "/sys/fs/cgroup/%s/%s", jail.cgroup, jail.id);
    rmdir(path);
    snprintf(path, sizeof path, "/sys/fs/cgroup/%s", jail.cgroup);
    rmdir(path);
}

int main(int argc, char **argv)
{
    bool again = argc == 4 && strcmp(argv[3], "again") == 0;
    if (!(argc == 3 || again) || !is_word(argv[1], 5, "abcdefghijklmnopqrstuvwxyz0123456789") ||
        !is_word(argv[2], 12, "0123456789abcdef")) {
        give_up("usage: banger-jail INSTANCE VM [again]");
    }
    if (geteuid() != 0) give_up("only root can make a jail");
    /* Where no sudo stands between, the shim's death would take this process and leave the VMM: the end of stdin takes both. */
    prctl(PR_SET_PDEATHSIG, 0);
    int signals = catch_signals();
    plan_read(&jail, argv[1], argv[2], find_caller());
    /* Directories of the jail are its user's to walk through, whatever the caller's habits are. */
    umask(022);
    namespace_leave();
    files_open(&jail);
    root_make(&jail);
    int watch = sockets_watch(&jail);
    pid_t pid = fork();
    if (pid < 0) give_up("fork: %s", strerror(errno));
    if (pid == 0) become_jailer(again);
    tell_pid(pid);
    int status = keep(pid, signals, watch);
    forward_log();
    leave_cgroup();
    if (WIFSIGNALED(status)) {
        sigset_t none;
        sigemptyset(&none);
        signal(WTERMSIG(status), SIG_DFL);
        sigprocmask(SIG_SETMASK, &none, NULL);
        raise(WTERMSIG(status));
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
