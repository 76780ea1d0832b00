/* banger-shim PLANFILE: parent of one VMM; keeps its console, starts it again after a guest's reboot, records its end. */
#define _GNU_SOURCE
#include "boundlog.h"
#include "child.h"
#include "clients.h"
#include "ending.h"
#include "plan.h"
#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    EXIT_PLAN = 2,
    EXIT_RUNNING = 3,
    EXIT_SYSTEM = 4,
    TERM_PATIENCE_MS = 5000,
    HALT_SILENCE_MS = 300,  /* after the line of a halt, before the VMM is ended */
    HALT_PATIENCE_MS = 2000,
    FAREWELL_MS = 1000,     /* for clients to take the last lines */
    RESTART_WINDOW_MS = 60000,
    DRAIN_READS = 64,
    LEAD_PATIENCE_MS = 8000, /* for the program in between to start the VMM */
};

static char plan_text[PLAN_BYTES_MAX + 1];
static struct plan plan;
static struct ending ending;
static struct boundlog console_log, vmm_log;
static struct child child = {.in = -1, .out = -1, .err = -1};
static struct status status;
static char boot_id[37];
static char home_item[512];
static int listener = -1;
static int signals = -1;
static int lock = -1;

static bool may_restart;
static bool is_terminating;   /* the shim itself was told to end */
static bool was_asked_to_end; /* a client sent it a signal that ends */
static bool is_halting;
static bool is_over;
static int64_t halt_at;  /* monotonic ms, 0: not set */
static int64_t kill_at;
static int64_t restarts[PLAN_RESTARTS_MAX];
static size_t restart_count;

static int64_t clock_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t now_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

__attribute__((noreturn, format(printf, 2, 3))) static void stop_early(int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("banger-shim: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(code);
}

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (length < 0) return;
    if ((size_t)length >= sizeof line) length = (int)sizeof line - 1;
    boundlog_write(&vmm_log, "banger-shim: ", 13);
    boundlog_write(&vmm_log, line, (size_t)length);
    boundlog_write(&vmm_log, "\n", 1);
}

/* ---- before the child -------------------------------------------------------------------------------------------- */

static void leave_the_parent(void)
{
    sigset_t mask;
    if (chdir("/") != 0) stop_early(EXIT_SYSTEM, "chdir /: %s", strerror(errno));
    umask(077);
    /* Fails when it already leads a session, which is as good. */
    if (setsid() < 0 && errno != EPERM) stop_early(EXIT_SYSTEM, "setsid: %s", strerror(errno));
    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) exit(EXIT_SYSTEM);
    }
    if (syscall(SYS_close_range, 3U, ~0U, 0U) != 0) {
        for (int fd = 3; fd < 1024; fd++) close(fd);
    }
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* an inherited "ignore" would reap the child behind our back */
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    if (sigprocmask(SIG_SETMASK, &mask, NULL) != 0) stop_early(EXIT_SYSTEM, "sigprocmask: %s", strerror(errno));
    signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0) stop_early(EXIT_SYSTEM, "signalfd: %s", strerror(errno));
}

static void read_plan(const char *path)
{
    char why[128];
    size_t length = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) stop_early(EXIT_PLAN, "cannot open the plan: %s", strerror(errno));
    while (length < sizeof plan_text) {
        ssize_t got = read(fd, plan_text + length, sizeof plan_text - length);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) stop_early(EXIT_PLAN, "cannot read the plan: %s", strerror(errno));
        if (got == 0) break;
        length += (size_t)got;
    }
    close(fd);
    if (length > PLAN_BYTES_MAX) stop_early(EXIT_PLAN, "the plan is longer than %d bytes", PLAN_BYTES_MAX);
    if (plan_parse(&plan, plan_text, length, why, sizeof why) != 0) stop_early(EXIT_PLAN, "%s", why);
}

static void check_dir(void)
{
    struct stat stat;
    if (lstat(plan.dir, &stat) != 0) stop_early(EXIT_PLAN, "dir: %s", strerror(errno));
    if (!S_ISDIR(stat.st_mode) || stat.st_uid != geteuid() || (stat.st_mode & 077) != 0) {
        stop_early(EXIT_PLAN, "dir: not a private directory of this user");
    }
}

static void take_lock(void)
{
    /* Kept open for life: the lock ends with the process, however that ends. */
    lock = open(plan.lock, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600);
    if (lock < 0) stop_early(EXIT_SYSTEM, "lock: %s", strerror(errno));
    if (flock(lock, LOCK_EX | LOCK_NB) == 0) return;
    if (errno == EWOULDBLOCK) stop_early(EXIT_RUNNING, "already running");
    stop_early(EXIT_SYSTEM, "lock: %s", strerror(errno));
}

static bool has_name(const char *item, const char *name)
{
    size_t length = strlen(name);
    return strncmp(item, name, length) == 0 && item[length] == '=';
}

static void add_default_env(const char *name, char *item)
{
    for (size_t i = 0; i < plan.envs; i++) {
        if (has_name(plan.env[i], name)) return;
    }
    if (plan.envs < PLAN_ENV_MAX) plan.env[plan.envs++] = item;
    plan.env[plan.envs] = NULL;
}

static void complete_env(void)
{
    static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    static char lang[] = "LANG=C.UTF-8";
    const char *home = getenv("HOME");
    snprintf(home_item, sizeof home_item, "HOME=%s", home != NULL ? home : "/");
    add_default_env("PATH", path);
    add_default_env("HOME", home_item);
    add_default_env("LANG", lang);
}

static void read_boot_id(void)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, boot_id, 36) != 36) stop_early(EXIT_SYSTEM, "cannot read the boot id");
    close(fd);
}

static int unix_address(struct sockaddr_un *address, const char *path)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address->sun_path) return -1;
    strcpy(address->sun_path, path);
    return 0;
}

/* Bound, not listening yet: it refuses until the VMM was really executed. */
static void bind_control(void)
{
    struct sockaddr_un address;
    struct stat stat;
    if (unix_address(&address, plan.control) != 0) stop_early(EXIT_PLAN, "control: path too long");
    /* Whoever holds the lock is the only shim: a socket that lies here is nobody's. */
    if (lstat(plan.control, &stat) == 0 && S_ISSOCK(stat.st_mode)) unlink(plan.control);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener < 0) stop_early(EXIT_SYSTEM, "socket: %s", strerror(errno));
    mode_t before = umask(0177);
    int bound = bind(listener, (struct sockaddr *)&address, sizeof address);
    umask(before);
    if (bound != 0) stop_early(EXIT_SYSTEM, "control: %s", strerror(errno));
}

/* A socket that a VMM left behind would keep the next one from binding; one that answers is not ours to take. */
static int remove_stale(void)
{
    for (size_t i = 0; i < plan.removes; i++) {
        struct sockaddr_un address;
        struct stat stat;
        if (lstat(plan.remove[i], &stat) != 0) {
            if (errno == ENOENT) continue;
            return -1;
        }
        if (!S_ISSOCK(stat.st_mode) || unix_address(&address, plan.remove[i]) != 0) {
            errno = ENOTSOCK;
            return -1;
        }
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0) return -1;
        int connected = connect(fd, (struct sockaddr *)&address, sizeof address);
        int error = connected == 0 ? 0 : errno;
        close(fd);
        if (error != ECONNREFUSED) {
            errno = error == ENOENT ? 0 : EADDRINUSE;
            if (errno != 0) return -1;
            continue;
        }
        if (unlink(plan.remove[i]) != 0 && errno != ENOENT) return -1;
    }
    return 0;
}

/* ---- the child's life -------------------------------------------------------------------------------------------- */

static void write_status(void)
{
    if (status_write(plan.status, &status) != 0) note("cannot write the status: %s", strerror(errno));
}

static void tell_started(struct client *only)
{
    char line[128];
    snprintf(line, sizeof line, "started pid=%d start=%" PRIu64 " n=%u", (int)status.pid, status.start_ticks,
             status.starts);
    if (only != NULL) client_say(only, "%s\n", line);
    else clients_tell_watchers(line);
}

static void tell_end(const char *event)
{
    char line[128], code[16] = "-", number[16] = "-";
    if (status.code >= 0) snprintf(code, sizeof code, "%d", status.code);
    if (status.signal > 0) snprintf(number, sizeof number, "%d", status.signal);
    snprintf(line, sizeof line, "%s cause=%s code=%s signal=%s", event, status.cause, code, number);
    clients_tell_watchers(line);
}

/* 0, or -1 with errno. */
static int start(char *const argv[])
{
    ending_reset(&ending);
    is_halting = was_asked_to_end = false;
    halt_at = kill_at = 0;
    if (plan.console_previous != NULL) boundlog_set_aside(&console_log, plan.console_previous);
    if (plan.vmm_pid != NULL && unlink(plan.vmm_pid) != 0 && errno != ENOENT) return -1;
    if (remove_stale() != 0 || child_start(&child, argv, plan.env) != 0) return -1;
    /* Without its word the VMM cannot be proved, so it is not left to run; the end is told as any other. */
    if (plan.vmm_pid != NULL && !child_await_vmm(&child, plan.vmm_pid, LEAD_PATIENCE_MS)) child_let_go(&child);
    status.pid = child.vmm_pid;
    status.start_ticks = child.vmm_start_ticks;
    status.starts++;
    status.started_at_ms = clock_ms(CLOCK_REALTIME);
    status.cause = NULL;
    status.code = -1;
    status.signal = 0;
    write_status();
    return 0;
}

/* A VMM of another user's cannot be signalled from here; the program in between ends it when its stdin ends. 0, or -1 with errno. */
static int signal_vmm(int number, bool ends)
{
    if (child.pid <= 0) return 0;
    if (plan.vmm_pid == NULL) return kill(child.pid, number);
    if (ends) {
        child_let_go(&child);
        return 0;
    }
    errno = EPERM;
    return -1;
}

static void signal_child(int number)
{
    signal_vmm(number, number != SIGCONT);
}

static void begin_terminating(void)
{
    if (is_terminating) return;
    is_terminating = true;
    signal_child(SIGTERM);
    /* A stopped process acts on no SIGTERM. */
    signal_child(SIGCONT);
    kill_at = now_ms() + TERM_PATIENCE_MS;
}

static void hear_console(const char *bytes, size_t length)
{
    boundlog_write(&console_log, bytes, length);
    ending_hear(&ending, bytes, length);
    clients_console(bytes, length);
    if (!plan.end_on_halt || is_halting) return;
    if (!ending_is_halted(&ending)) halt_at = 0;
    else if (halt_at == 0) halt_at = now_ms() + HALT_SILENCE_MS;
}

/* One chunk of one pipe; false when there is none left for now. */
static bool drain(int *fd, bool is_console)
{
    static char chunk[ENDING_CHUNK];
    if (*fd < 0) return false;
    ssize_t got = read(*fd, chunk, sizeof chunk);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (got <= 0) {
        close(*fd);
        *fd = -1;
        return false;
    }
    if (is_console) hear_console(chunk, (size_t)got);
    else boundlog_write(&vmm_log, chunk, (size_t)got);
    return true;
}

static void feed_child(void)
{
    size_t length;
    const char *bytes = clients_input(&length);
    if (length == 0) return;
    if (child.in < 0) {
        clients_input_taken(length);
        return;
    }
    ssize_t written = write(child.in, bytes, length);
    if (written > 0) clients_input_taken((size_t)written);
    else if (errno != EAGAIN && errno != EINTR) clients_input_taken(length); /* it closed its input */
}

static bool is_crash(int number)
{
    switch (number) {
    case SIGSEGV: case SIGBUS: case SIGILL: case SIGFPE: case SIGABRT: case SIGSYS: case SIGTRAP: case SIGXCPU: case SIGXFSZ:
        return true;
    default:
        return false;
    }
}

static const char *cause_of(int wait_status)
{
    enum word word = ending_word(&ending);
    if (is_terminating) return "killed";
    if (word == WORD_PANIC) return "panic";
    if (word == WORD_POWEROFF) return "poweroff";
    if (word == WORD_HALT) return "halt";
    /* A guest that was about to reboot when somebody ended its VMM did not reboot. */
    if (word == WORD_REBOOT && !WIFSIGNALED(wait_status)) return "reboot";
    if (WIFSIGNALED(wait_status)) return is_crash(WTERMSIG(wait_status)) ? "crashed" : "killed";
    return was_asked_to_end ? "killed" : "unknown";
}

/* May it be started once more? Notes the time if so. */
static bool take_restart(void)
{
    int64_t now = now_ms();
    size_t kept = 0;
    for (size_t i = 0; i < restart_count; i++) {
        if (now - restarts[i] < RESTART_WINDOW_MS) restarts[kept++] = restarts[i];
    }
    restart_count = kept;
    if (restart_count >= plan.restart_max) return false;
    restarts[restart_count++] = now;
    return true;
}

static void end(const char *cause)
{
    status.cause = cause;
    status.ended_at_ms = clock_ms(CLOCK_REALTIME);
    write_status();
    is_over = true;
}

static void on_child_end(int wait_status)
{
    for (int i = 0; i < DRAIN_READS && drain(&child.out, true); i++) {}
    for (int i = 0; i < DRAIN_READS && drain(&child.err, false); i++) {}
    child_close(&child);
    size_t typed;
    clients_input(&typed);
    clients_input_taken(typed); /* meant for the guest that is gone */
    status.code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;
    status.signal = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
    status.cause = cause_of(wait_status);
    bool again = strcmp(status.cause, "reboot") == 0 && plan.restart_on_reboot && may_restart && !was_asked_to_end &&
                 status.code == 0;
    if (again && !take_restart()) {
        end("reboot_loop");
    } else if (!again) {
        end(status.cause);
    }
    if (is_over) return; /* its end is told with the farewell */
    tell_end("ended");
    if (start(plan.restart_args > 0 ? plan.restart_argv : plan.argv) == 0) {
        tell_started(NULL);
        return;
    }
    note("cannot start it again: %s", strerror(errno));
    status.code = 127;
    end("unknown");
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static const struct { const char *name; int number; bool ends; } SIGNALS[] = {
    {"TERM", SIGTERM, true},  {"KILL", SIGKILL, true},  {"INT", SIGINT, true},    {"QUIT", SIGQUIT, true},
    {"HUP", SIGHUP, true},    {"USR1", SIGUSR1, false}, {"USR2", SIGUSR2, false}, {"STOP", SIGSTOP, false},
    {"CONT", SIGCONT, false},
};

static void on_signal_request(struct client *client, const char *name)
{
    for (size_t i = 0; i < sizeof SIGNALS / sizeof SIGNALS[0]; i++) {
        if (strcmp(name, SIGNALS[i].name) != 0) continue;
        if (SIGNALS[i].ends) was_asked_to_end = true;
        if (signal_vmm(SIGNALS[i].number, SIGNALS[i].ends) != 0) client_say(client, "error %s\n", strerror(errno));
        else client_say(client, "ok\n");
        return;
    }
    client_say(client, "error unknown signal\n");
}

static bool read_tail(const char *text, uint64_t *tail)
{
    size_t length = strlen(text);
    if (length == 0 || length > 9 || strspn(text, "0123456789") != length) return false;
    *tail = strtoull(text, NULL, 10);
    return true;
}

static void on_attach_request(struct client *client, const char *option)
{
    uint64_t tail = 0;
    if (*option != '\0' && (strncmp(option, " tail=", 6) != 0 || !read_tail(option + 6, &tail))) {
        client_say(client, "error bad tail\n");
    } else if (client_attach(client, tail)) {
        client_say(client, "ok\n");
    } else {
        client_say(client, "error busy\n");
    }
}

static void on_request(struct client *client, const char *line)
{
    if (child.pid == 0) {
        client_say(client, "error ended\n");
    } else if (strcmp(line, "hello") == 0) {
        client_say(client,
                   "banger-shim 1 id=%s shim_pid=%d shim_start=%" PRIu64 " pid=%d start=%" PRIu64 " boot=%s starts=%u\n",
                   plan.id, (int)status.shim_pid, status.shim_start_ticks, (int)child.vmm_pid, child.vmm_start_ticks, boot_id,
                   status.starts);
    } else if (strncmp(line, "signal ", 7) == 0) {
        on_signal_request(client, line + 7);
    } else if (strcmp(line, "no-restart") == 0) {
        may_restart = false;
        client_say(client, "ok\n");
    } else if (strcmp(line, "watch") == 0) {
        if (client_watch(client)) tell_started(client);
        else client_say(client, "error busy\n");
    } else if (strncmp(line, "attach", 6) == 0) {
        on_attach_request(client, line + 6);
    } else {
        client_say(client, "error unknown request\n");
    }
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

static void read_signals(void)
{
    struct signalfd_siginfo info;
    while (read(signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo != SIGCHLD) begin_terminating();
    }
}

static void keep_deadlines(void)
{
    int64_t now = now_ms();
    if (halt_at != 0 && now >= halt_at) {
        halt_at = 0;
        is_halting = true;
        signal_child(SIGTERM);
        kill_at = now + HALT_PATIENCE_MS;
    }
    if (kill_at != 0 && now >= kill_at) {
        kill_at = 0;
        signal_child(SIGKILL);
    }
}

static int patience(void)
{
    int64_t next = halt_at;
    if (kill_at != 0 && (next == 0 || kill_at < next)) next = kill_at;
    if (next == 0) return -1;
    int64_t left = next - now_ms();
    return left < 0 ? 0 : (int)left;
}

static void turn(void)
{
    enum { SIGNALS_AT, LISTENER_AT, OUT_AT, ERR_AT, IN_AT, FIXED };
    struct pollfd fds[FIXED + CLIENTS_MAX];
    size_t typed;
    clients_input(&typed);
    fds[SIGNALS_AT] = (struct pollfd){.fd = signals, .events = POLLIN};
    fds[LISTENER_AT] = (struct pollfd){.fd = listener, .events = POLLIN};
    fds[OUT_AT] = (struct pollfd){.fd = child.out, .events = POLLIN};
    fds[ERR_AT] = (struct pollfd){.fd = child.err, .events = POLLIN};
    /* Asked for only when there is something to write: a closed reader would wake us for ever. */
    fds[IN_AT] = (struct pollfd){.fd = typed > 0 ? child.in : -1, .events = POLLOUT};
    size_t count = clients_poll(fds + FIXED);
    if (poll(fds, FIXED + count, patience()) < 0) return;

    /* Clients first: their descriptors are still those that were waited for. */
    clients_serve(fds + FIXED, count, now_ms());
    if (fds[OUT_AT].revents != 0) drain(&child.out, true);
    if (fds[ERR_AT].revents != 0) drain(&child.err, false);
    feed_child();
    if (fds[LISTENER_AT].revents != 0) clients_accept(listener, now_ms());
    if (fds[SIGNALS_AT].revents != 0) read_signals();
    keep_deadlines();
    int wait_status;
    if (child_reap(&child, &wait_status)) on_child_end(wait_status);
}

static void say_farewell(void)
{
    int64_t until = now_ms() + FAREWELL_MS;
    unlink(plan.control);
    close(listener);
    /* Who hears of the end may start the VM again at once: nothing here touches its files any more. */
    flock(lock, LOCK_UN);
    tell_end("ended");
    tell_end("exit");
    while (clients_have_output() && now_ms() < until) {
        struct pollfd fds[CLIENTS_MAX];
        size_t count = clients_poll(fds);
        if (poll(fds, count, (int)(until - now_ms()) + 1) > 0) clients_serve(fds, count, now_ms());
    }
    clients_close_all();
}

static void let_go_of_stderr(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0) return;
    for (int fd = 0; fd < 3; fd++) dup2(null, fd);
    close(null);
}

int main(int argc, char **argv)
{
    if (argc != 2) stop_early(EXIT_PLAN, "usage: banger-shim PLANFILE");
    read_plan(argv[1]);
    leave_the_parent();
    check_dir();
    take_lock();
    complete_env();
    read_boot_id();
    if (boundlog_open(&console_log, plan.console, plan.console_max) != 0) {
        stop_early(EXIT_SYSTEM, "console: %s", strerror(errno));
    }
    boundlog_keep_times(&console_log);
    if (boundlog_open(&vmm_log, plan.vmm_log, plan.vmm_log_max) != 0) {
        stop_early(EXIT_SYSTEM, "vmm_log: %s", strerror(errno));
    }
    /* The name by which ps and the OOM killer's message tell whose it is. */
    prctl(PR_SET_NAME, "banger-shim");
    clients_init(on_request);
    bind_control();
    may_restart = true;
    status = (struct status){.id = plan.id, .boot_id = boot_id, .shim_pid = getpid(), .code = -1};
    status.shim_start_ticks = process_start_ticks(status.shim_pid);
    if (start(plan.argv) != 0) {
        int error = errno;
        status.code = 127;
        end("unknown");
        unlink(plan.control);
        stop_early(EXIT_SYSTEM, "cannot start %s: %s", plan.argv[0], strerror(error));
    }
    if (listen(listener, 128) != 0) stop_early(EXIT_SYSTEM, "control: %s", strerror(errno));
    let_go_of_stderr();
    while (!is_over) turn();
    say_farewell();
    return 0;
}
