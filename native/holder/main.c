/* banger-holder: keeps the namespaces of an instance without root, and runs, connects and binds inside them. See docs/without-root.md. */
#include "holder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: banger-holder hold SOCKET --log FILE [--pasta PATH] [--adopt PID]\n"
    "       banger-holder enter SOCKET [--lease] [--argv0 NAME] -- PROGRAM [ARGUMENT]...\n"
    "       banger-holder connect SOCKET ADDRESS PORT TIMEOUT_MS [FD]\n"
    "       banger-holder carry SOCKET ADDRESS PORT TIMEOUT_MS\n"
    "       banger-holder bind SOCKET ADDRESS PORT FD\n"
    "       banger-holder probe\n";

_Noreturn void die(const char *what) {
  fprintf(stderr, "banger-holder: %s: %s\n", what, strerror(errno));
  exit(1);
}

_Noreturn void die_plain(const char *what) {
  fprintf(stderr, "banger-holder: %s\n", what);
  exit(1);
}

void be_silent(void) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0) _exit(1);
  if (null > 2) close(null);
}

static _Noreturn void refuse(void) {
  fputs(usage, stderr);
  exit(2);
}

static long read_number(const char *text) {
  char *end;
  errno = 0;
  long value = strtol(text, &end, 10);
  if (errno != 0 || end == text || *end != 0 || value < 0 || value > 4194304) refuse();
  return value;
}

static int run_hold(int argc, char **argv) {
  struct hold_options options = {.socket = argv[2]};
  for (int at = 3; at < argc; at += 2) {
    if (at + 1 >= argc) refuse();
    if (strcmp(argv[at], "--log") == 0) options.log = argv[at + 1];
    else if (strcmp(argv[at], "--pasta") == 0) options.pasta = argv[at + 1];
    else if (strcmp(argv[at], "--adopt") == 0) options.adopt = (pid_t)read_number(argv[at + 1]);
    else refuse();
  }
  if (!options.log) refuse();
  return hold(&options);
}

static int run_enter(int argc, char **argv) {
  struct enter_options options = {.socket = argv[2]};
  int at = 3;
  for (; at < argc && strcmp(argv[at], "--") != 0; at++) {
    if (strcmp(argv[at], "--lease") == 0) options.is_leased = true;
    else if (strcmp(argv[at], "--argv0") == 0 && at + 1 < argc) options.argv0 = argv[++at];
    else refuse();
  }
  if (at + 1 >= argc) refuse();
  options.argv = argv + at + 1;
  return enter(&options);
}

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "";
  if (strcmp(mode, "probe") == 0 && argc == 2) return probe_namespaces();
  if (argc < 3) refuse();
  if (strcmp(mode, "hold") == 0) return run_hold(argc, argv);
  if (strcmp(mode, "enter") == 0) return run_enter(argc, argv);
  /* By default to stdout, where ssh waits for it (ssh_config(5), ProxyUseFdpass); `-`: to nobody. */
  if (strcmp(mode, "connect") == 0 && (argc == 6 || argc == 7)) {
    int to = argc == 6 ? 1 : strcmp(argv[6], "-") == 0 ? -1 : (int)read_number(argv[6]);
    return connect_inside(argv[2], argv[3], argv[4], argv[5], to);
  }
  if (strcmp(mode, "carry") == 0 && argc == 6) return carry_inside(argv[2], argv[3], argv[4], argv[5]);
  if (strcmp(mode, "bind") == 0 && argc == 6) return bind_inside(argv[2], argv[3], argv[4], (int)read_number(argv[5]));
  refuse();
}
