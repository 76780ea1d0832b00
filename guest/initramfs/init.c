/* The initramfs's /init: loads the modules it was packed with, mounts the root and the modules disk, and hands over to init=. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define CMDLINE_MAX 4096
#define LIST_MAX 4096
#define ARGS_MAX 32
#define DEVICE_WAIT_MS 5000
#define VIRTIO_DEVICES_MAX 32

struct boot {
  char root[128];
  char type[32];
  char flags[256];
  char init[128];
  bool readOnly;
};

static void say(const char *format, ...) {
  char line[512];
  va_list args;
  va_start(args, format);
  int length = vsnprintf(line, sizeof line - 1, format, args);
  va_end(args);
  if (length < 0) return;
  if ((size_t)length > sizeof line - 2) length = sizeof line - 2;
  line[length++] = '\n';
  ssize_t ignored = write(2, "banger-initramfs: ", 18);
  ignored = write(2, line, (size_t)length);
  (void)ignored;
}

static ssize_t readFile(const char *path, char *into, size_t room) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  size_t have = 0;
  while (have < room - 1) {
    ssize_t n = read(fd, into + have, room - 1 - have);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    have += (size_t)n;
  }
  into[have] = 0;
  close(fd);
  return (ssize_t)have;
}

/* The kernel panics when PID 1 returns; panic=1 reboot=k then ends the VM, which is what a host can see. */
static void giveUp(const char *what) {
  say("%s: %s", what, strerror(errno));
  _exit(1);
}

static void mountOrComplain(const char *source, const char *target, const char *type, unsigned long flags) {
  if (mount(source, target, type, flags, NULL) != 0 && errno != EBUSY) say("mount %s: %s", target, strerror(errno));
}

static void loadModule(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    say("%s: %s", path, strerror(errno));
    return;
  }
  if (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST) say("load %s: %s", path, strerror(errno));
  close(fd);
  /* Loaded once: its pages go back to the guest. */
  unlink(path);
}

static bool hasVirtioDevice(unsigned long wanted) {
  for (int i = 0; i < VIRTIO_DEVICES_MAX; i++) {
    char path[64], id[32];
    snprintf(path, sizeof path, "/sys/bus/virtio/devices/virtio%d/device", i);
    if (readFile(path, id, sizeof id) < 0) return false;
    if (strtoul(id, NULL, 0) == wanted) return true;
  }
  return false;
}

/* A line is a path, or a virtio device id (virtio 1.2, section 5) and a path that is only wanted where such a device exists. */
static void loadModules(void) {
  char list[LIST_MAX];
  if (readFile("/modules.list", list, sizeof list) < 0) return;
  char *rest = NULL;
  for (char *line = strtok_r(list, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
    char *path = line;
    if (*line == '/' || hasVirtioDevice(strtoul(line, &path, 10))) loadModule(path + strspn(path, " "));
  }
}

static void copyField(char *into, size_t room, const char *value) {
  snprintf(into, room, "%s", value);
}

static void parseCommandLine(struct boot *boot) {
  char line[CMDLINE_MAX];
  if (readFile("/proc/cmdline", line, sizeof line) < 0) giveUp("/proc/cmdline");
  char *rest = NULL;
  for (char *word = strtok_r(line, " \n", &rest); word != NULL; word = strtok_r(NULL, " \n", &rest)) {
    if (strncmp(word, "root=", 5) == 0) copyField(boot->root, sizeof boot->root, word + 5);
    else if (strncmp(word, "rootfstype=", 11) == 0) copyField(boot->type, sizeof boot->type, word + 11);
    else if (strncmp(word, "rootflags=", 10) == 0) copyField(boot->flags, sizeof boot->flags, word + 10);
    else if (strncmp(word, "init=", 5) == 0) copyField(boot->init, sizeof boot->init, word + 5);
    else if (strcmp(word, "ro") == 0) boot->readOnly = true;
    else if (strcmp(word, "rw") == 0) boot->readOnly = false;
    /* What follows -- is for init, which reads /proc/cmdline itself. */
    else if (strcmp(word, "--") == 0) break;
  }
}

static bool appears(const char *device, int waitMs) {
  struct stat info;
  for (int waited = 0; stat(device, &info) != 0; waited += 5) {
    if (waited >= waitMs) return false;
    struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
    nanosleep(&pause, NULL);
  }
  return true;
}

static void mountRoot(const struct boot *boot) {
  unsigned long flags = boot->readOnly ? MS_RDONLY : 0;
  if (!appears(boot->root, DEVICE_WAIT_MS)) giveUp(boot->root);
  if (mount(boot->root, "/newroot", boot->type, flags, boot->flags) != 0) giveUp("mount of the root file system");
}

/* The squashfs of modules is the third disk; a kernel that needs none has no such disk. */
static void mountModules(void) {
  struct stat info;
  struct utsname name;
  if (stat("/dev/vdc", &info) != 0 || uname(&name) != 0) return;
  char path[256];
  snprintf(path, sizeof path, "/newroot/usr/lib/modules");
  if (mkdir(path, 0755) != 0 && errno != EEXIST) say("%s: %s", path, strerror(errno));
  snprintf(path, sizeof path, "/newroot/usr/lib/modules/%s", name.release);
  if (mkdir(path, 0755) != 0 && errno != EEXIST) say("%s: %s", path, strerror(errno));
  mountOrComplain("/dev/vdc", path, "squashfs", MS_RDONLY | MS_NODEV | MS_NOSUID);
}

static void moveMount(const char *from, const char *to) {
  if (mount(from, to, NULL, MS_MOVE, NULL) != 0) say("move %s: %s", from, strerror(errno));
}

static void switchRoot(void) {
  unlink("/modules.list");
  unlink("/init");
  moveMount("/dev", "/newroot/dev");
  moveMount("/proc", "/newroot/proc");
  moveMount("/sys", "/newroot/sys");
  if (chdir("/newroot") != 0) giveUp("chdir");
  if (mount("/newroot", "/", NULL, MS_MOVE, NULL) != 0) giveUp("move of the root");
  if (chroot(".") != 0 || chdir("/") != 0) giveUp("chroot");
}

int main(int argc, char **argv) {
  struct boot boot = {.root = "/dev/vda", .type = "ext4", .init = "/sbin/init"};
  if (getpid() != 1) return 1;
  umask(022);
  mountOrComplain("dev", "/dev", "devtmpfs", MS_NOSUID);
  mountOrComplain("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC);
  mountOrComplain("sys", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC);
  parseCommandLine(&boot);
  loadModules();
  mountRoot(&boot);
  mountModules();
  switchRoot();

  char *args[ARGS_MAX] = {boot.init};
  for (int i = 1; i < argc && i < ARGS_MAX - 1; i++) args[i] = argv[i];
  execv(boot.init, args);
  say("%s: %s; trying /sbin/init", boot.init, strerror(errno));
  args[0] = "/sbin/init";
  execv(args[0], args);
  giveUp("/sbin/init");
}
