/* Mounts what systemd would mount itself in the same way: each saves it a process, and early sessions find their terminals and /tmp. */
#define _GNU_SOURCE
#include "banger-init.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
  const char *source, *target, *type;
  unsigned long flags;
  const char *options;
  bool optional;
};

/* Options as in systemd 257 (mount-setup.c and the units sys-*.mount, dev-*.mount, tmp.mount) and Debian's run-lock.mount; tty is group 5. */
static const struct place places[] = {
    {"proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, false},
    {"sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, false},
    {"devtmpfs", "/dev", "devtmpfs", MS_NOSUID | MS_STRICTATIME, "mode=0755,size=4m", false},
    {"devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=0620,gid=5", false},
    {"tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_STRICTATIME, "mode=01777", false},
    {"tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV | MS_STRICTATIME, "mode=0755,size=20%,nr_inodes=800k", false},
    {"tmpfs", "/run/lock", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=5242880", false},
    {"tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_STRICTATIME, "mode=1777,size=50%,nr_inodes=1m", true},
    {"mqueue", "/dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, true},
    {"hugetlbfs", "/dev/hugepages", "hugetlbfs", MS_NOSUID | MS_NODEV, "pagesize=2M", true},
    {"debugfs", "/sys/kernel/debug", "debugfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, true},
    {"tracefs", "/sys/kernel/tracing", "tracefs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, true},
};

/* A unit that was masked or deleted is somebody's decision: then /tmp is on the disk. */
static bool isTmpWanted(void) {
  struct stat info;
  char target[64];
  ssize_t length = readlink("/etc/systemd/system/tmp.mount", target, sizeof target - 1);
  if (length > 0) return false;
  return stat("/usr/lib/systemd/system/local-fs.target.wants/tmp.mount", &info) == 0 && stat("/etc/systemd/system/tmp.mount", &info) != 0;
}

void mountKernelFileSystems(void) {
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    const struct place *place = &places[i];
    if (strcmp(place->target, "/tmp") == 0 && !isTmpWanted()) continue;
    if (!place->optional && mkdir(place->target, 0755) != 0 && errno != EEXIST && errno != EROFS) say(errno, "mkdir %s", place->target);
    if (place->optional && strncmp(place->target, "/dev/", 5) == 0) mkdir(place->target, 0755);
    if (mount(place->source, place->target, place->type, place->flags, place->options) != 0 && errno != EBUSY && !place->optional)
      say(errno, "mount %s", place->target);
  }
}
