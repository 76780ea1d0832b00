/* Tells once what somebody would leave behind: memory and load, who is logged in (as logind knows it), and what has been running for a while that is nobody's service. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "frame.h"
#include "lines.h"
#include "report.h"
#include "user.h"
#include "watch-guest.h"
#include "wire.h"

enum { PROCESSES_MAX = 64, TICKS_A_SECOND = 100, OLD_AFTER_S = 10 };

static unsigned long uptime_s, old_after_s = OLD_AFTER_S, told;

static bool take_memory(char *line, void *state) {
  static const struct {
    const char *name, *key;
  } wanted[] = {{"MemTotal:", "memory_kib"}, {"MemAvailable:", "memory_available_kib"}, {"SwapTotal:", "swap_kib"}, {"SwapFree:", "swap_free_kib"}};
  for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
    const char *value = line + strlen(wanted[i].name);
    if (strncmp(line, wanted[i].name, strlen(wanted[i].name)) == 0) report_number(state, wanted[i].key, take_number(&value));
  }
  return true;
}

static void tell_system(void) {
  struct report report = {0};
  struct statvfs disk;
  char load[128];
  each_line("/proc/meminfo", take_memory, &report);
  if (read_text("/proc/loadavg", load, sizeof load) > 0) {
    static const char *const keys[] = {"load_1", "load_5", "load_15"};
    char *at = load;
    for (int i = 0; i < 3; i++) report_text(&report, keys[i], next_field(&at, ' '));
  }
  if (statvfs("/", &disk) == 0) {
    report_number(&report, "disk_kib", disk.f_blocks * (disk.f_frsize / 1024));
    report_number(&report, "disk_free_kib", disk.f_bavail * (disk.f_frsize / 1024));
  }
  report_number(&report, "uptime_s", uptime_s);
  report_send(&report, STATUS_SYSTEM);
}

struct session_file {
  struct report report;
  bool is_somebody;
};

static bool take_session_line(char *line, void *state) {
  static const char *const wanted[] = {"UID",  "uid",  "USER", "user", "TTY",   "tty",   "REMOTE_HOST", "remote",      "SERVICE",
                                       "service", "STATE", "state", "LEADER", "leader", "REALTIME", "since_us", "CLASS", "class"};
  struct session_file *file = state;
  const char *key = next_field(&line, '=');
  for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i += 2)
    if (strcmp(key, wanted[i]) == 0) report_text(&file->report, wanted[i + 1], line);
  if (strcmp(key, "CLASS") == 0 && strcmp(line, "user") == 0) file->is_somebody = true;
  return true;
}

static bool take_session(const char *name, void *state) {
  (void)state;
  char path[128];
  struct session_file file = {0};
  if (strchr(name, '.') != NULL) return true; /* its pipe, `ID.ref` */
  snprintf(path, sizeof path, "/run/systemd/sessions/%.64s", name);
  report_text(&file.report, "id", name);
  each_line(path, take_session_line, &file);
  if (file.is_somebody) report_send(&file.report, STATUS_SESSION);
  return true;
}

/* What systemd runs for the guest itself is in system.slice; logins are in user.slice, and what the host started by `exec` in neither. */
static bool is_service(const char *pid) {
  char path[40], text[512];
  snprintf(path, sizeof path, "/proc/%.16s/cgroup", pid);
  return read_text(path, text, sizeof text) <= 0 || strstr(text, "/system.slice/") != NULL;
}

static bool is_plumbing(const char *name) {
  static const char *const names[] = {"systemd", "(sd-pam)", "sshd", "login", "agetty", "dbus-daemon", "banger-stream", "banger-vsock-pi"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (strncmp(name, names[i], strlen(names[i])) == 0) return true;
  return false;
}

static bool take_process(const char *pid, void *state) {
  (void)state;
  char path[40], text[1024], name[32], user[64], line[256];
  struct report report = {0};
  const char *number = pid, *rest;
  unsigned long id = take_number(&number);
  if (id <= 1) return true;
  snprintf(path, sizeof path, "/proc/%.16s/stat", pid);
  if (read_text(path, text, sizeof text) <= 0 || (rest = strrchr(text, ')')) == NULL) return true;
  const char *parent = nth_word(rest, 2), *terminal = nth_word(rest, 5), *user_time = nth_word(rest, 12), *system_time = nth_word(rest, 13), *start = nth_word(rest, 20);
  unsigned long started_s = take_number(&start) / TICKS_A_SECOND, age_s = uptime_s > started_s ? uptime_s - started_s : 0;
  if (take_number(&parent) == 2 || age_s < old_after_s || rest[2] == 'Z') return true;
  read_process_name(id, name, sizeof name);
  if (is_plumbing(name) || is_service(pid)) return true;
  snprintf(path, sizeof path, "/proc/%.16s/cmdline", pid);
  long length = read_text(path, line, sizeof line);
  if (length <= 0) return true; /* a thread of the kernel */
  for (long i = 0; i < length - 1; i++)
    if (line[i] == 0) line[i] = ' ';
  struct stat owner;
  snprintf(path, sizeof path, "/proc/%.16s", pid);
  user[0] = 0;
  if (stat(path, &owner) == 0) user_name(owner.st_uid, user, sizeof user);
  report_number(&report, "pid", id);
  report_text(&report, "user", user);
  report_text(&report, "name", name);
  report_text(&report, "command", line);
  report_number(&report, "age_s", age_s);
  report_number(&report, "cpu_s", (take_number(&user_time) + take_number(&system_time)) / TICKS_A_SECOND);
  report_number(&report, "terminal", take_number(&terminal));
  report_send(&report, STATUS_PROCESS);
  return ++told < PROCESSES_MAX;
}

static void each_in(const char *path, bool (*take)(const char *name, void *state)) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  each_entry(fd, take, NULL);
  close(fd);
}

void status_work(const uint8_t *fields, size_t length) {
  struct sysinfo info;
  const char *age = field_value(fields, length, "min_age_s");
  if (age != NULL) old_after_s = take_number(&age);
  uptime_s = sysinfo(&info) == 0 ? (unsigned long)info.uptime : 0;
  tell_system();
  each_in("/run/systemd/sessions", take_session);
  each_in("/proc", take_process);
  wire_end(NULL);
}
