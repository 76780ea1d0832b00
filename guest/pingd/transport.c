/* Opens virtio-serial ports, vsocks and unix sockets, and refuses callers that are not the host. */
#include "transport.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef AF_VSOCK
#define AF_VSOCK 40
#endif
#ifndef AF_NETLINK
#define AF_NETLINK 16
#endif
enum { CID_ANY = -1, CID_HOST = 2, NETLINK_UEVENTS = 15, UEVENTS_OF_THE_KERNEL = 1 };

/* As in linux/vm_sockets.h and linux/netlink.h, which musl does not bring. */
struct vsock_address {
  sa_family_t family;
  uint16_t reserved;
  uint32_t port;
  uint32_t cid;
  uint8_t zero[4];
};
struct netlink_address {
  sa_family_t family;
  uint16_t pad;
  uint32_t pid;
  uint32_t groups;
};
_Static_assert(sizeof(struct vsock_address) == sizeof(struct sockaddr), "the kernel's sockaddr_vm is 16 bytes");
_Static_assert(sizeof(struct netlink_address) == 12, "the kernel's sockaddr_nl is 12 bytes");

static const char port_name[] = "banger.channel.0\n";
static const char ports_directory[] = "/sys/class/virtio-ports";

static bool port_is_ours(const char *device) {
  char path[128], name[sizeof port_name];
  int length = snprintf(path, sizeof path, "%s/%s/name", ports_directory, device);
  if (length < 0 || (size_t)length >= sizeof path) return false;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t count = read(fd, name, sizeof name);
  close(fd);
  return count == (ssize_t)sizeof port_name - 1 && memcmp(name, port_name, sizeof port_name - 1) == 0;
}

bool transport_find_port(char *path, size_t capacity) {
  DIR *directory = opendir(ports_directory);
  if (directory == NULL) return false;
  bool found = false;
  for (struct dirent *entry; !found && (entry = readdir(directory)) != NULL;) {
    if (entry->d_name[0] == '.' || !port_is_ours(entry->d_name)) continue;
    int length = snprintf(path, capacity, "/dev/%s", entry->d_name);
    found = length > 0 && (size_t)length < capacity;
  }
  closedir(directory);
  return found;
}

int transport_open_port(const char *path) { return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY); }

static int stream_socket(int family) { return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

static int listen_at(int fd, const void *address, socklen_t length) {
  if (fd < 0) return -1;
  if (bind(fd, address, length) == 0 && listen(fd, 8) == 0) return fd;
  int reason = errno;
  close(fd);
  errno = reason;
  return -1;
}

int transport_listen_vsock(void) {
  struct vsock_address here = {.family = AF_VSOCK, .port = VSOCK_PORT, .cid = (uint32_t)CID_ANY};
  return listen_at(stream_socket(AF_VSOCK), &here, sizeof here);
}

bool unix_address(const char *path, void *at, size_t capacity) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (capacity < sizeof address || strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return false;
  }
  memcpy(address.sun_path, path, strlen(path) + 1);
  memcpy(at, &address, sizeof address);
  return true;
}

int transport_listen_unix(const char *path) {
  struct sockaddr_un address;
  if (!unix_address(path, &address, sizeof address)) return -1;
  unlink(path);
  mode_t mask = umask(0177); /* from its first moment nobody else may connect */
  int fd = listen_at(stream_socket(AF_UNIX), &address, sizeof address);
  umask(mask);
  return fd;
}

/* On vsock, other processes of the guest can call too (loopback); they are not the host. */
static bool caller_is_host(int fd) {
  struct sockaddr_storage peer;
  socklen_t length = sizeof peer;
  memset(&peer, 0, sizeof peer);
  if (getpeername(fd, (struct sockaddr *)&peer, &length) != 0) return false;
  if (peer.ss_family != AF_VSOCK) return true;
  struct vsock_address address;
  memcpy(&address, &peer, sizeof address);
  return address.cid == CID_HOST;
}

int transport_accept(int listener) {
  int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return errno == ECONNABORTED || errno == EINTR ? TRANSPORT_REFUSED : -1;
  if (caller_is_host(fd)) return fd;
  close(fd);
  return TRANSPORT_REFUSED;
}

static int connect_to(int fd, const void *address, socklen_t length) {
  if (fd < 0 || connect(fd, address, length) == 0 || errno == EINPROGRESS) return fd;
  close(fd);
  return -1;
}

int transport_announce(const char *unix_at) {
  if (unix_at == NULL) {
    struct vsock_address there = {.family = AF_VSOCK, .port = VSOCK_ANNOUNCE_PORT, .cid = CID_HOST};
    return connect_to(stream_socket(AF_VSOCK), &there, sizeof there);
  }
  struct sockaddr_un address;
  if (!unix_address(unix_at, &address, sizeof address)) return -1;
  return connect_to(stream_socket(AF_UNIX), &address, sizeof address);
}

int transport_hotplug(void) {
  struct netlink_address here = {.family = AF_NETLINK, .groups = UEVENTS_OF_THE_KERNEL};
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_UEVENTS);
  if (fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof here) == 0) return fd;
  close(fd);
  return -1;
}

bool transport_hotplug_happened(int fd) {
  bool happened = false;
  for (;;) {
    char text[2048];
    struct netlink_address from = {0};
    socklen_t length = sizeof from;
    ssize_t count = recvfrom(fd, text, sizeof text, 0, (struct sockaddr *)&from, &length);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == ENOBUFS) { /* some were lost: one of them may have been ours */
      happened = true;
      continue;
    }
    if (count <= 0) return happened;
    if (from.pid != 0) continue; /* only the kernel's word counts */
    if (memmem(text, (size_t)count, "virtio-ports", 12) != NULL || memmem(text, (size_t)count, "vsock", 5) != NULL) happened = true;
  }
}
