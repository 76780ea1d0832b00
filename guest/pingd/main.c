/* banger-vsock-pingd: the guest's end of the guest channel (docs/guest.md §2). Reads its arguments and puts the parts together. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "link.h"
#include "loop.h"
#include "shutdown.h"

#ifndef BANGER_VERSION
#define BANGER_VERSION "0.0.0"
#endif

enum { EXIT_USAGE = 2, EXIT_ALREADY = 3 };

struct arguments {
  struct link_options link;
  struct shutdown_options shutdown;
  const char *run_directory, *sshd, *ending;
  bool early, stand_by;
};

static const char usage[] =
    "usage: banger-vsock-pingd [--early | --stand-by] [--port DEVICE | --unix PATH [--announce PATH]]\n"
    "                          [--sshd early|none] [--run-dir DIR] [--systemctl PATH] [--init-pid PID]\n"
    "       banger-vsock-pingd --ending poweroff|reboot|halt|kexec [--run-dir DIR]\n"
    "       banger-vsock-pingd --version\n"
    "\n"
    "  --early     go to the background at once, log to the kernel, and be spared by systemd until the very end\n"
    "  --stand-by  wait until the helper that runs now has gone, then take its place\n"
    "  --ending    tell the running helper, and so the host, that the guest goes down\n";

static struct session session;

static int complain(void) {
  return write(2, usage, sizeof usage - 1) < 0 ? EXIT_FAILURE : EXIT_USAGE;
}

static bool read_option(struct arguments *arguments, int option) {
  switch (option) {
    case 'p': arguments->link.port = optarg; return true;
    case 'u': arguments->link.unix_at = optarg; return true;
    case 'a': arguments->link.announce = optarg; return true;
    case 'r': arguments->run_directory = optarg; return true;
    case 'c': arguments->shutdown.systemctl = optarg; return true;
    case 'i': arguments->shutdown.init = (pid_t)atoi(optarg); return true;
    case 'E': arguments->early = true; return true;
    case 'S': arguments->stand_by = true; return true;
    case 's':
      arguments->sshd = strcmp(optarg, "early") == 0 ? "early" : "none";
      return strcmp(optarg, arguments->sshd) == 0;
    case 'e':
      arguments->ending = ending_named(optarg);
      return arguments->ending != NULL;
    default: return false;
  }
}

static bool read_arguments(int count, char **values, struct arguments *arguments) {
  static const struct option known[] = {
      {"port", required_argument, NULL, 'p'},    {"unix", required_argument, NULL, 'u'},
      {"announce", required_argument, NULL, 'a'}, {"run-dir", required_argument, NULL, 'r'},
      {"systemctl", required_argument, NULL, 'c'}, {"init-pid", required_argument, NULL, 'i'},
      {"early", no_argument, NULL, 'E'},          {"stand-by", no_argument, NULL, 'S'},
      {"sshd", required_argument, NULL, 's'},     {"ending", required_argument, NULL, 'e'},
      {NULL, 0, NULL, 0},
  };
  opterr = 0;
  for (int option; (option = getopt_long(count, values, "", known, NULL)) != -1;)
    if (!read_option(arguments, option)) return false;
  return optind == count && !(arguments->early && arguments->stand_by);
}

/* The early helper outlives the init that started it, and no terminal may take it down. */
static bool go_to_background(void) {
  pid_t pid = fork();
  if (pid < 0) return false;
  if (pid > 0) _exit(EXIT_SUCCESS);
  setsid();
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; null >= 0 && fd < 3; fd++) dup2(null, fd);
  int log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
  if (log >= 0) say_fd = log;
  return true;
}

/* The last thing that should be killed when memory is short: it is how the host finds out. */
static void resist_oom(void) {
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (write(fd, "-900", 4) < 0 && errno != EACCES) say("oom_score_adj: %s", strerror(errno));
  close(fd);
}

static int serve(const struct arguments *arguments, char *name) {
  /* systemd spares processes so marked in its last round of signals (see its ROOT_STORAGE_DAEMONS). */
  if (arguments->early || arguments->stand_by) {
    name[0] = '@';
    resist_oom();
  }
  if (chdir("/") != 0) say("/: %s", strerror(errno));
  if (!control_become_only(arguments->run_directory, arguments->stand_by)) {
    say("another one is running");
    return EXIT_ALREADY;
  }
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  session.sshd = arguments->sshd;
  session.shut_down = shut_down;
  if (!loop_open() || !shutdown_open(&arguments->shutdown)) {
    say("cannot start: %s", strerror(errno));
    return EXIT_FAILURE;
  }
  control_open(arguments->run_directory, &session);
  if (!link_open(&arguments->link, &session)) return EXIT_FAILURE;
  loop_run();
  return EXIT_FAILURE;
}

int main(int count, char **values) {
  struct arguments arguments = {
      .shutdown = {.systemctl = "/usr/bin/systemctl", .init = 1},
      .run_directory = "/run/banger",
      .sshd = "none",
  };
  if (count == 2 && strcmp(values[1], "--version") == 0)
    return write(1, BANGER_VERSION "\n", sizeof BANGER_VERSION) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
  if (!read_arguments(count, values, &arguments)) return complain();
  if (arguments.ending != NULL) return control_tell_ending(arguments.run_directory, arguments.ending);
  if (arguments.early && !go_to_background()) return EXIT_FAILURE;
  return serve(&arguments, values[0]);
}
