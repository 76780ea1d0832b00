/* Starts the VMM so that it cannot outlive the shim, and reaps it without ever signalling a stranger. */
#define _GNU_SOURCE
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

uint64_t process_start_ticks(pid_t pid)
{
    char path[32], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0) return 0;
    text[length] = '\0';
    /* The name in field 2 may hold blanks and brackets: count from the last bracket, which ends it. */
    char *at = strrchr(text, ')');
    if (at == NULL) return 0;
    at++;
    for (int field = 3; field < 22 && at != NULL; field++) at = strchr(at + 1, ' ');
    return at == NULL ? 0 : strtoull(at, NULL, 10);
}

static void reset_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < 32; number++) {
        if (number != SIGKILL && number != SIGSTOP) signal(number, SIG_DFL);
    }
    sigprocmask(SIG_SETMASK, &none, NULL);
}

_Noreturn static void become(char *const argv[], char *const env[], const int ends[3], int report, pid_t shim)
{
    reset_signals();
    if (setpgid(0, 0) != 0) goto failed;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) goto failed;
    /* Had the shim died before the prctl, no signal would ever come. */
    if (getppid() != shim) _exit(126);
    for (int i = 0; i < 3; i++) {
        if (dup2(ends[i], i) < 0) goto failed;
    }
    /* Everything else is close-on-exec. */
    execve(argv[0], argv, env);
failed:;
    int error = errno;
    ssize_t ignored = write(report, &error, sizeof error);
    (void)ignored;
    _exit(127);
}

static void close_pair(int pair[2])
{
    for (int i = 0; i < 2; i++) {
        if (pair[i] >= 0) close(pair[i]);
    }
}

static int nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int child_start(struct child *child, char *const argv[], char *const env[])
{
    int pipes[4][2] = {{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}}; /* in, out, err, report of a failed exec */
    int error = 0;
    pid_t shim = getpid();

    for (int i = 0; i < 4; i++) {
        if (pipe2(pipes[i], O_CLOEXEC) != 0) goto failed;
    }
    if (nonblocking(pipes[0][1]) != 0 || nonblocking(pipes[1][0]) != 0 || nonblocking(pipes[2][0]) != 0) goto failed;

    pid_t pid = fork();
    if (pid < 0) goto failed;
    if (pid == 0) {
        int ends[3] = {pipes[0][0], pipes[1][1], pipes[2][1]};
        become(argv, env, ends, pipes[3][1], shim);
    }
    close(pipes[0][0]);
    close(pipes[1][1]);
    close(pipes[2][1]);
    close(pipes[3][1]);
    /* The end of this pipe is closed by the exec: nothing to read means that the new program runs. */
    ssize_t got;
    do got = read(pipes[3][0], &error, sizeof error);
    while (got < 0 && errno == EINTR);
    close(pipes[3][0]);
    child->in = pipes[0][1];
    child->out = pipes[1][0];
    child->err = pipes[2][0];
    if (got == (ssize_t)sizeof error) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {}
        child_close(child);
        errno = error;
        return -1;
    }
    child->pid = pid;
    child->start_ticks = process_start_ticks(pid);
    child->vmm_pid = child->pid;
    child->vmm_start_ticks = child->start_ticks;
    return 0;

failed:
    error = errno;
    for (int i = 0; i < 4; i++) close_pair(pipes[i]);
    errno = error;
    return -1;
}

static bool has_ended(pid_t pid)
{
    siginfo_t info;
    info.si_pid = 0;
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0;
}

static bool read_vmm(struct child *child, const char *path)
{
    char text[64];
    int pid, end = 0;
    unsigned long long ticks;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return false;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0) return false;
    text[length] = '\0';
    if (sscanf(text, "%d %llu\n%n", &pid, &ticks, &end) != 2 || end != length || pid <= 1) return false;
    if (process_start_ticks(pid) != ticks) return false;
    child->vmm_pid = pid;
    child->vmm_start_ticks = ticks;
    return true;
}

bool child_await_vmm(struct child *child, const char *path, int timeout_ms)
{
    const struct timespec moment = {.tv_nsec = 5 * 1000 * 1000};
    for (int waited = 0; waited < timeout_ms; waited += 5) {
        if (read_vmm(child, path)) return true;
        if (has_ended(child->pid)) return false;
        nanosleep(&moment, NULL);
    }
    return false;
}

bool child_reap(struct child *child, int *wait_status)
{
    siginfo_t info;
    info.si_pid = 0;
    if (child->pid == 0) return false;
    if (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return false;
    /* While it is not reaped its number is nobody else's, so neither is that of its group. */
    kill(-child->pid, SIGKILL);
    while (waitpid(child->pid, wait_status, 0) < 0) {
        if (errno != EINTR) return false;
    }
    child->pid = 0;
    return true;
}

void child_let_go(struct child *child)
{
    if (child->in >= 0) close(child->in);
    child->in = -1;
}

void child_close(struct child *child)
{
    int *fds[3] = {&child->in, &child->out, &child->err};
    for (int i = 0; i < 3; i++) {
        if (*fds[i] >= 0) close(*fds[i]);
        *fds[i] = -1;
    }
}
