/* Tells what listens on TCP in the guest, and again whenever that changes. Reads /proc once a second, and only while somebody watches: the kernel tells of sockets that close, but of none that begin to listen. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "frame.h"
#include "lines.h"
#include "report.h"
#include "watch-guest.h"
#include "wire.h"

enum { LISTENERS_MAX = 256, INTERVAL_MS = 1000, LISTENING = 0x0a };

struct listener {
  int family;
  uint16_t port;
  uint8_t address[16];
  unsigned long uid, inode, pid;
  char name[32];
};

static struct listener found[LISTENERS_MAX], told[LISTENERS_MAX];
static size_t found_count, told_count;

static unsigned long take_hex(const char **text) {
  unsigned long value = 0;
  for (;; (*text)++) {
    char c = **text;
    if (c >= '0' && c <= '9') value = value << 4 | (unsigned long)(c - '0');
    else if (c >= 'A' && c <= 'F') value = value << 4 | (unsigned long)(c - 'A' + 10);
    else return value;
  }
}

static unsigned long take_hex_word(const char **text) {
  char word[9] = "";
  strncpy(word, *text, 8);
  const char *at = word;
  *text += strlen(word);
  return take_hex(&at);
}

/* proc_net_tcp: `sl: address:port remote:port state tx:rx timer:when retransmits uid timeout inode`; addresses are words in the order of this machine. */
static bool take_socket(char *line, void *state) {
  int family = *(int *)state;
  const char *at = strchr(line, ':');
  if (found_count == LISTENERS_MAX || at == NULL || at[1] != ' ') return found_count < LISTENERS_MAX;
  struct listener one = {.family = family};
  at += 2;
  for (int i = 0; i < (family == AF_INET ? 1 : 4); i++) {
    uint32_t word = (uint32_t)take_hex_word(&at);
    memcpy(one.address + 4 * i, &word, 4);
  }
  if (*at++ != ':') return true;
  one.port = (uint16_t)take_hex(&at);
  const char *state_at = nth_word(at, 1);
  if (take_hex(&state_at) != LISTENING) return true;
  const char *uid = nth_word(at, 5), *inode = nth_word(at, 7);
  one.uid = take_number(&uid);
  one.inode = take_number(&inode);
  found[found_count++] = one;
  return true;
}

struct owner {
  const char *pid;
};

static bool take_descriptor(const char *name, void *state) {
  const struct owner *owner = state;
  char path[64], target[64];
  snprintf(path, sizeof path, "/proc/%.16s/fd/%.16s", owner->pid, name);
  ssize_t length = readlink(path, target, sizeof target - 1);
  if (length < 9) return true;
  target[length] = 0;
  if (strncmp(target, "socket:[", 8) != 0) return true;
  const char *at = target + 8, *pid = owner->pid;
  unsigned long inode = take_number(&at), number = take_number(&pid);
  for (size_t i = 0; i < found_count; i++)
    if (found[i].inode == inode && found[i].pid == 0) {
      found[i].pid = number;
      read_process_name(number, found[i].name, sizeof found[i].name);
    }
  return true;
}

static bool take_process(const char *name, void *state) {
  (void)state;
  char path[32];
  struct owner owner = {.pid = name};
  if (*name < '0' || *name > '9') return true;
  snprintf(path, sizeof path, "/proc/%.16s/fd", name);
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return true;
  each_entry(fd, take_descriptor, &owner);
  close(fd);
  return true;
}

static void look(void) {
  int four = AF_INET, six = AF_INET6;
  found_count = 0;
  each_line("/proc/net/tcp", take_socket, &four);
  each_line("/proc/net/tcp6", take_socket, &six);
}

static bool is_as_told(void) {
  if (found_count != told_count) return false;
  for (size_t i = 0; i < found_count; i++)
    if (found[i].inode != told[i].inode || found[i].port != told[i].port || memcmp(found[i].address, told[i].address, 16) != 0) return false;
  return true;
}

static void tell(void) {
  char address[INET6_ADDRSTRLEN];
  memcpy(told, found, sizeof told);
  told_count = found_count;
  int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (proc >= 0) {
    each_entry(proc, take_process, NULL);
    close(proc);
  }
  for (size_t i = 0; i < found_count; i++) {
    const struct listener *one = &found[i];
    struct report report = {0};
    if (inet_ntop(one->family, one->address, address, sizeof address) == NULL) continue;
    report_text(&report, "protocol", one->family == AF_INET ? "tcp" : "tcp6");
    report_text(&report, "address", address);
    report_number(&report, "port", one->port);
    report_number(&report, "uid", one->uid);
    if (one->pid != 0) report_number(&report, "pid", one->pid), report_text(&report, "name", one->name);
    report_send(&report, LISTEN_PORT);
  }
  wire_send(LISTEN_ALL, NULL, 0);
}

void listen_work(const uint8_t *fields, size_t length) {
  const char *once = field_value(fields, length, "once");
  bool first = true;
  do {
    look();
    if (first || !is_as_told()) tell();
    first = false;
    if (once != NULL) break;
    struct pollfd both[2] = {{.fd = 0, .events = POLLIN}, {.fd = 1}};
    poll(both, 2, INTERVAL_MS);
    if (both[1].revents & POLLERR) _exit(0);
    struct message ignored;
    if (both[0].revents && !wire_read()) break;
    while (wire_next(&ignored)) continue;
  } while (true);
  wire_end(NULL);
}
