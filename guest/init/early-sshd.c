/*
 * Answers port 22 before systemd is there, and hands over without a moment in which a connection is refused: one listening socket is
 * made here, stays open through the exec of systemd, which finds it to be ssh.socket's and passes it to ssh.service. Until that runs, a
 * process of ours accepts on the same socket and starts `sshd -i` for each connection; those sessions live on when it ends.
 * All of it is a matter of this boot (/run): on the disk ssh.service is enabled and ssh.socket is not, as Debian installs them.
 */
#define _GNU_SOURCE
#include "banger-init.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SSH_PORT 22
/* About what sshd itself allows before authentication (MaxStartups); more wait in the backlog, and the memory of a small guest is safe. */
#define SESSIONS_MAX 12
#define FIRST_SESSIONS 4
#define SSHD "/usr/sbin/sshd"
#define SELF "/usr/lib/banger/init"
#define PID_FILE "/run/banger/early-sshd.pid"
#define DROP_IN_DIRECTORY "/run/systemd/system/ssh.service.d"
#define WANTS_DIRECTORY "/run/systemd/system/sockets.target.wants"

static const struct owner worldReadable = {0644, 0, 0};

/* An own port, address or option is honoured by sshd only when it makes its sockets itself. */
static bool choosesItsSockets(const char *path) {
  static const char *const words[] = {"Port", "ListenAddress", "AddressFamily", "SSHD_OPTS"};
  char *bytes;
  size_t length;
  bool chooses = false;
  if (!readWhole(path, &bytes, &length)) return false;
  char *rest = bytes;
  for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
    line += strspn(line, " \t");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
      size_t word = strlen(words[i]);
      if (strncasecmp(line, words[i], word) != 0 || strchr(" \t=", line[word]) == NULL) continue;
      /* Debian's /etc/default/ssh says SSHD_OPTS= and nothing. */
      chooses = chooses || line[word + strspn(line + word, " \t=\"'")] != 0;
    }
  }
  free(bytes);
  return chooses;
}

static bool anyChoosesItsSockets(void) {
  if (choosesItsSockets("/etc/ssh/sshd_config") || choosesItsSockets("/etc/default/ssh")) return true;
  DIR *directory = opendir("/etc/ssh/sshd_config.d");
  if (directory == NULL) return false;
  bool chooses = false;
  for (struct dirent *entry = readdir(directory); entry != NULL && !chooses; entry = readdir(directory)) {
    char path[300];
    snprintf(path, sizeof path, "/etc/ssh/sshd_config.d/%s", entry->d_name);
    chooses = choosesItsSockets(path);
  }
  closedir(directory);
  return chooses;
}

static bool exists(const char *path) {
  struct stat info;
  return lstat(path, &info) == 0;
}

/* Whoever disabled, masked or reconfigured ssh, or chose ssh.socket, gets what they chose. */
static bool isWanted(void) {
  return exists(SSHD) && exists("/usr/lib/systemd/system/ssh.socket") && exists("/etc/ssh/ssh_host_ed25519_key") &&
         exists("/etc/systemd/system/multi-user.target.wants/ssh.service") && !exists("/etc/systemd/system/ssh.service") &&
         !exists("/etc/systemd/system/ssh.socket") && !exists("/etc/systemd/system/ssh.socket.d") &&
         !exists("/etc/ssh/sshd_not_to_be_run") && !anyChoosesItsSockets();
}

/* What ListenStream=22 means to systemd: IPv6 that takes IPv4 too, plain IPv4 where there is no IPv6. */
static int listenOnSsh(void) {
  struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(SSH_PORT)};
  struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(SSH_PORT)};
  int on = 1;
  int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
  bool six = fd >= 0;
  if (!six) fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (fd < 0) {
    say(errno, "socket for ssh");
    return -1;
  }
  const struct sockaddr *address = six ? (const struct sockaddr *)&any6 : (const struct sockaddr *)&any4;
  socklen_t length = six ? sizeof any6 : sizeof any4;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 || bind(fd, address, length) != 0 || listen(fd, SOMAXCONN) != 0) {
    say(errno, "listen on port 22");
    close(fd);
    return -1;
  }
  return fd;
}

/* The units of this boot: systemd adopts the socket only for a unit that it loads while starting, and our process ends when sshd runs. */
static bool writeUnits(void) {
  static const char dropIn[] =
      "# Written by " SELF " on every boot: sshd has taken over the socket, so the early process may go.\n"
      "[Service]\nExecStartPost=-" SELF " --end-early-sshd\n"
      "# On SIGHUP sshd closes what systemd gave it and cannot bind the port again. A restart refuses nobody and ends no session either.\n"
      "ExecReload=\nExecReload=/usr/sbin/sshd -t\nExecReload=/usr/bin/systemctl --no-block restart ssh.service\n";
  struct owner directory = {0755, 0, 0};
  if (!makeDirectories(DROP_IN_DIRECTORY, directory) || !makeDirectories(WANTS_DIRECTORY, directory)) return false;
  if (!writeWhole(DROP_IN_DIRECTORY "/banger-early.conf", dropIn, sizeof dropIn - 1, worldReadable)) return false;
  if (symlink("/usr/lib/systemd/system/ssh.socket", WANTS_DIRECTORY "/ssh.socket") != 0 && errno != EEXIST) {
    say(errno, WANTS_DIRECTORY);
    return false;
  }
  return true;
}

static volatile sig_atomic_t isOver;

static void onSignal(int number) {
  if (number == SIGTERM) isOver = 1;
}

/*
 * The kernel shares the processor between sessions (sched(7), autogroup), and each service that systemd starts is one: without a word from
 * us the first login gets what a boot of thirty services leaves it. The shell or command starts a session of its own and is ordinary again.
 * Nine parts in ten, and for a few only: whoever hammers on the port must not starve the boot.
 */
static void goFirst(void) {
  int fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  ssize_t ignored = write(fd, "-10", 3);
  (void)ignored;
  close(fd);
}

/* Runs `sshd -i` on one connection, as inetd would (sshd(8)). */
static void becomeSshd(int connection, const sigset_t *mask, bool first) {
  static char *const args[] = {"sshd", "-i", NULL};
  static char *const environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", NULL};
  sigprocmask(SIG_SETMASK, mask, NULL);
  setsid();
  if (first) goFirst();
  int flags = fcntl(connection, F_GETFL);
  if (flags >= 0) fcntl(connection, F_SETFL, flags & ~O_NONBLOCK);
  if (dup2(connection, 0) == 0 && dup2(connection, 1) == 1) execve(SSHD, args, environment);
  _exit(127);
}

static void acceptOne(int listener, const sigset_t *mask, int *sessions) {
  static int served;
  int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  if (connection < 0) return;
  pid_t pid = fork();
  if (pid == 0) becomeSshd(connection, mask, served < FIRST_SESSIONS);
  if (pid > 0) {
    (*sessions)++;
    served++;
  }
  close(connection);
}

static void serveEarly(int listener) {
  struct sigaction action = {.sa_handler = onSignal};
  sigset_t blocked, open;
  int sessions = 0;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  sigaddset(&blocked, SIGCHLD);
  /* Blocked but while waiting, so that no signal falls between the check and the wait. */
  sigprocmask(SIG_BLOCK, &blocked, &open);
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGCHLD, &action, NULL);
  while (!isOver) {
    struct pollfd ready = {.fd = sessions < SESSIONS_MAX ? listener : -1, .events = POLLIN};
    if (ppoll(&ready, 1, NULL, &open) > 0 && !isOver) acceptOne(listener, &open, &sessions);
    while (sessions > 0 && waitpid(-1, NULL, WNOHANG) > 0) sessions--;
  }
  _exit(0);
}

static bool startServer(int listener) {
  pid_t pid = fork();
  if (pid < 0) {
    say(errno, "fork");
    return false;
  }
  if (pid == 0) {
    setsid();
    prctl(PR_SET_NAME, "banger-sshd");
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; null >= 0 && fd < 3; fd++) dup2(null, fd);
    fcntl(listener, F_SETFD, FD_CLOEXEC);
    serveEarly(listener);
  }
  char text[16];
  snprintf(text, sizeof text, "%d\n", pid);
  return writeWhole(PID_FILE, text, strlen(text), worldReadable);
}

bool startEarlySshd(void) {
  if (!isWanted()) return false;
  makeDirectories("/run/sshd", (struct owner){0755, 0, 0});
  makeDirectories("/run/banger", (struct owner){0755, 0, 0});
  if (!writeUnits()) return false;
  int listener = listenOnSsh();
  return listener >= 0 && startServer(listener);
}

/* Told by ssh.service. A pid alone proves nothing: it must still run this very program. */
int endEarlySshd(void) {
  char *text, link[64], target[64];
  size_t length;
  if (!readWhole(PID_FILE, &text, &length)) return 0;
  int pid = atoi(text);
  free(text);
  snprintf(link, sizeof link, "/proc/%d/exe", pid);
  ssize_t got = readlink(link, target, sizeof target - 1);
  if (pid > 1 && got == (ssize_t)strlen(SELF) && memcmp(target, SELF, (size_t)got) == 0) kill(pid, SIGTERM);
  unlink(PID_FILE);
  return 0;
}
