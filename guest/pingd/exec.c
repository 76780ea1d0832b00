/* Runs one command and carries its streams. Ends when the command does, like docker and unlike sshd: what it left running in the background does not hold the stream open. */
#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lines.h"
#include "session-kill.h"
#include "user.h"
#include "wire.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

enum { ARGUMENTS_MAX = 4096, LOGIN_NAME_MAX_BYTES = 160, CHUNK = 32768, HANGUP_WAIT_MS = 500, EXIT_NOT_RUN = 126, EXIT_NOT_FOUND = 127 };

static struct {
  pid_t pid;
  int ended; /* readable once it has */
  bool has_ended, is_terminal;
  int input, output, errors;
} command = {.input = -1, .output = -1, .errors = -1};

static uint8_t ring[EXEC_INPUT_WINDOW];
static size_t ring_start, ring_used;
static bool input_ends;

static const uint8_t *fields;
static size_t fields_length;

static const char *field(const char *key) { return field_value(fields, fields_length, key); }

static int number_of(const char *key, int otherwise) {
  const char *text = field(key);
  return text == NULL ? otherwise : (int)take_number(&text);
}

static void close_fd(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

/* The host is not there any more: nobody would ever end what it began. */
static void end_command(void) {
  close_fd(&command.input);
  close_fd(&command.output);
  close_fd(&command.errors);
  if (command.pid > 0) kill_session(command.pid);
}

/* All that is said before the command runs goes through this pipe, and so does that nothing was said. */
static _Noreturn void fail_start(int report, int code, const char *what, const char *why) {
  char text[400];
  int length = snprintf(text, sizeof text, "%cbanger exec: %s: %s\r\n", code, what, why);
  if (length >= (int)sizeof text) length = sizeof text - 1;
  if (write(report, text, (size_t)length) < 0) _exit(code + 1);
  _exit(code);
}

static void take_arguments(char **arguments, char *login_name, const struct user *user) {
  char key[16];
  int count = 0;
  for (; count < ARGUMENTS_MAX - 1; count++) {
    snprintf(key, sizeof key, "arg.%d", count);
    const char *value = field(key);
    if (value == NULL) break;
    arguments[count] = (char *)(uintptr_t)value;
  }
  if (count == 0) {
    const char *base = strrchr(user->shell, '/');
    snprintf(login_name, LOGIN_NAME_MAX_BYTES, "-%s", base == NULL ? user->shell : base + 1);
    arguments[count++] = login_name;
  }
  arguments[count] = NULL;
}

static void take_environment(void) {
  char key[16], name[256];
  for (int i = 0; i < ARGUMENTS_MAX; i++) {
    snprintf(key, sizeof key, "env.%d", i);
    const char *value = field(key), *equals = value == NULL ? NULL : strchr(value, '=');
    if (value == NULL) return;
    if (equals == NULL || equals == value || (size_t)(equals - value) >= sizeof name) continue;
    memcpy(name, value, (size_t)(equals - value));
    name[equals - value] = 0;
    environment_set(name, equals + 1);
  }
}

static _Noreturn void become_command(const struct user *user, int report) {
  static char *arguments[ARGUMENTS_MAX];
  char login_name[LOGIN_NAME_MAX_BYTES];
  const char *workdir = field("workdir"), *term = field("term");
  signal(SIGPIPE, SIG_DFL);
  user_environment(user);
  if (command.is_terminal) environment_set("TERM", term == NULL ? "xterm" : term);
  take_environment();
  take_arguments(arguments, login_name, user);
  const char *refused = user_become(user);
  if (refused != NULL) fail_start(report, EXIT_NOT_RUN, user->name, refused);
  if (workdir != NULL) {
    /* Relative to the home, as a login would have it. */
    if ((*workdir != '/' && chdir(user->home) != 0) || chdir(workdir) != 0) fail_start(report, EXIT_NOT_RUN, workdir, strerror(errno));
  } else if (chdir(user->home) != 0 && chdir("/") != 0) {
    fail_start(report, EXIT_NOT_RUN, "/", strerror(errno));
  }
  execvp(arguments[0] == login_name ? user->shell : arguments[0], arguments);
  fail_start(report, errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN, arguments[0], strerror(errno));
}

static bool open_pipes(int theirs[3]) {
  int in[2], out[2], err[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) return false;
  theirs[0] = in[0], theirs[1] = out[1], theirs[2] = err[1];
  command.input = in[1], command.output = out[0], command.errors = err[0];
  return true;
}

static struct winsize size_of(int rows, int columns) {
  return (struct winsize){.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
}

static bool open_terminal(int theirs[3], const struct user *user) {
  struct winsize size = size_of(number_of("rows", 24), number_of("cols", 80));
  int master, slave;
  if (openpty(&master, &slave, NULL, NULL, &size) != 0) return false;
  if (geteuid() == 0 && fchown(slave, user->uid, (gid_t)-1) != 0) return false;
  fcntl(master, F_SETFD, FD_CLOEXEC);
  theirs[0] = theirs[1] = theirs[2] = slave;
  command.input = master;
  command.output = fcntl(master, F_DUPFD_CLOEXEC, 3);
  return command.output >= 0;
}

/* Returns NULL, or why nothing was started. What the command itself cannot do is said on its standard error. */
static const char *start(void) {
  struct user user;
  int theirs[3], report[2];
  if (!user_find(field("user"), &user)) return "there is no such user in the guest";
  const char *tty = field("tty");
  command.is_terminal = tty != NULL && *tty == '1';
  if (pipe2(report, O_CLOEXEC) != 0 || !(command.is_terminal ? open_terminal(theirs, &user) : open_pipes(theirs))) return strerror(errno);
  command.pid = fork();
  if (command.pid < 0) return strerror(errno);
  if (command.pid == 0) {
    setsid();
    if (command.is_terminal) ioctl(theirs[0], TIOCSCTTY, 0);
    for (int fd = 0; fd < 3; fd++) dup2(theirs[fd], fd);
    if (theirs[0] > 2) close(theirs[0]);
    become_command(&user, report[1]);
  }
  close(report[1]);
  close(theirs[0]);
  if (!command.is_terminal) close(theirs[1]), close(theirs[2]);
  /* From here on it has a session of its own, and signals reach it. */
  char said[400];
  ssize_t length = read(report[0], said, sizeof said);
  if (length > 1) wire_put(EXEC_STDERR, said + 1, (size_t)length - 1);
  close(report[0]);
  command.ended = (int)syscall(SYS_pidfd_open, command.pid, 0);
  if (command.ended < 0) return "this kernel is older than 5.3";
  int descriptors[] = {command.input, command.output, command.errors};
  for (int i = 0; i < 3; i++)
    if (descriptors[i] >= 0) fcntl(descriptors[i], F_SETFL, O_NONBLOCK | (command.is_terminal ? O_RDWR : i == 0 ? O_WRONLY : O_RDONLY));
  return NULL;
}

static void send_signal(int signal_number) {
  if (command.has_ended || signal_number < 1 || signal_number > 64) return;
  pid_t group = command.is_terminal ? tcgetpgrp(command.output) : command.pid;
  kill(-(group > 1 ? group : command.pid), signal_number);
}

static void take_message(const struct message *message) {
  const uint8_t *bytes = message->bytes;
  if (message->tag == EXEC_STDIN) {
    if (message->length > sizeof ring - ring_used) wire_end("more input than was asked for");
    size_t at = (ring_start + ring_used) % sizeof ring, first = sizeof ring - at;
    if (first > message->length) first = message->length;
    memcpy(ring + at, bytes, first);
    memcpy(ring, bytes + first, message->length - first);
    ring_used += message->length;
  } else if (message->tag == EXEC_STDIN_END) {
    input_ends = true;
  } else if (message->tag == EXEC_RESIZE && message->length == 4 && command.is_terminal) {
    struct winsize size = size_of(bytes[0] | bytes[1] << 8, bytes[2] | bytes[3] << 8);
    ioctl(command.output, TIOCSWINSZ, &size);
  } else if (message->tag == EXEC_SIGNAL && message->length == 1) {
    send_signal(bytes[0]);
  }
}

static void take_input(size_t count) {
  uint8_t taken[4];
  ring_start = (ring_start + count) % sizeof ring;
  ring_used -= count;
  put_u32(taken, (uint32_t)count);
  wire_put(EXEC_TAKEN, taken, sizeof taken);
}

static void feed_command(void) {
  if (ring_used > 0) {
    size_t first = sizeof ring - ring_start;
    if (first > ring_used) first = ring_used;
    ssize_t count = command.input < 0 ? (ssize_t)first : write(command.input, ring + ring_start, first);
    if (count > 0) take_input((size_t)count);
    else if (count < 0 && errno != EAGAIN && errno != EINTR) {
      close_fd(&command.input); /* it reads no more: the rest is for nobody */
      take_input(ring_used);
    }
  }
  if (ring_used > 0 || !input_ends) return;
  /* A terminal has no end; this is what one types for it. */
  if (command.is_terminal && command.input >= 0 && write(command.input, "\004", 1) < 0 && errno == EAGAIN) return;
  close_fd(&command.input);
}

/* False when there is nothing to read just now. */
static bool read_output(int *fd, uint8_t tag) {
  static uint8_t chunk[CHUNK];
  ssize_t count = read(*fd, chunk, sizeof chunk);
  if (count > 0) wire_put(tag, chunk, (size_t)count);
  else if (count == 0 || (errno != EAGAIN && errno != EINTR)) close_fd(fd);
  return count > 0;
}

static _Noreturn void tell_end(int status) {
  uint8_t number = (uint8_t)(WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
  wire_send(WIFSIGNALED(status) ? EXEC_KILLED : EXEC_EXIT, &number, 1);
  wire_end(NULL);
}

static _Noreturn void carry(void) {
  int status = 0;
  bool host_ends = false;
  for (;;) {
    struct message message;
    bool is_clear = wire_flush();
    struct pollfd all[6] = {
        {.fd = host_ends ? -1 : 0, .events = POLLIN},
        {.fd = 1, .events = is_clear ? 0 : POLLOUT},
        {.fd = is_clear && (ring_used > 0 || input_ends) ? command.input : -1, .events = POLLOUT},
        {.fd = is_clear ? command.output : -1, .events = POLLIN},
        {.fd = is_clear ? command.errors : -1, .events = POLLIN},
        {.fd = command.has_ended ? -1 : command.ended, .events = POLLIN},
    };
    bool is_silent = command.output < 0 && command.errors < 0;
    int ready = poll(all, 6, command.has_ended && is_clear ? (command.is_terminal && !is_silent ? HANGUP_WAIT_MS : 0) : -1);
    if (ready < 0 && errno != EINTR) wire_end(strerror(errno));
    if (all[1].revents & POLLERR) {
      end_command();
      _exit(1);
    }
    if (ready < 0) continue;
    if (all[0].revents && !wire_read()) host_ends = input_ends = true;
    while (wire_next(&message)) take_message(&message);
    if (all[2].revents || (is_clear && command.input < 0 && ring_used > 0)) feed_command();
    bool said = false;
    if (all[3].revents) said = read_output(&command.output, EXEC_STDOUT);
    if (all[4].revents) said = read_output(&command.errors, EXEC_STDERR) || said;
    if (all[5].revents && waitpid(command.pid, &status, WNOHANG) == command.pid) command.has_ended = true;
    else if (command.has_ended && is_clear && !said && ready == 0) tell_end(status);
  }
}

void exec_work(const uint8_t *given, size_t length) {
  fields = given;
  fields_length = length;
  signal(SIGPIPE, SIG_IGN);
  wire_abandoned = end_command;
  const char *refusal = start();
  if (refusal != NULL) wire_end(refusal);
  carry();
}
