/* Finds the processes of a session in /proc: a process group would miss the jobs of a shell. */
#include "session-kill.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lines.h"

enum { PATIENCE_MS = 2000, STEP_MS = 20, KILL_ROUNDS = 50 };

struct round {
  pid_t leader;
  int signal_number, found;
};

/* proc_pid_stat(5): pid (comm) state ppid pgrp session; the name may hold anything. A zombie counts as gone. */
static bool is_of_session(pid_t pid, pid_t leader) {
  char path[32], text[512];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  if (read_text(path, text, sizeof text) <= 0) return false;
  const char *rest = strrchr(text, ')');
  if (rest == NULL || strlen(rest) < 4 || rest[2] == 'Z') return false;
  rest += 3;
  take_number(&rest);
  take_number(&rest);
  return take_number(&rest) == (unsigned long)leader;
}

static bool signal_one(const char *name, void *state) {
  struct round *round = state;
  pid_t pid = (pid_t)take_number(&name);
  if (pid <= 1 || !is_of_session(pid, round->leader)) return true;
  round->found++;
  kill(pid, round->signal_number);
  return true;
}

static int signal_all(pid_t leader, int signal_number) {
  struct round round = {.leader = leader, .signal_number = signal_number};
  int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (proc < 0) return kill(-leader, signal_number) == 0;
  each_entry(proc, signal_one, &round);
  close(proc);
  return round.found;
}

static void pause_a_step(void) { nanosleep(&(struct timespec){.tv_nsec = STEP_MS * 1000000L}, NULL); }

void kill_session(pid_t leader) {
  signal_all(leader, SIGHUP);
  signal_all(leader, SIGCONT); /* a stopped one hears nothing */
  for (int waited = 0; waited < PATIENCE_MS; waited += STEP_MS) {
    waitpid(leader, NULL, WNOHANG);
    if (signal_all(leader, 0) == 0) return;
    pause_a_step();
  }
  /* One that forks meanwhile is met in the next round. */
  for (int round = 0; round < KILL_ROUNDS && signal_all(leader, SIGKILL) > 0; round++) pause_a_step();
  waitpid(leader, NULL, WNOHANG);
}
