/* Unix sockets: listening where only we may connect, and messages that carry descriptors (unix(7), SCM_RIGHTS). */
#define _GNU_SOURCE
#include "holder.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { MAX_FDS = 4 };

bool send_fds(int socket, const void *bytes, size_t length, const int *fds, int count) {
  if (count < 0 || count > MAX_FDS) {
    errno = EINVAL;
    return false;
  }
  struct iovec part = {.iov_base = (void *)bytes, .iov_len = length};
  union {
    char bytes[CMSG_SPACE(sizeof(int) * MAX_FDS)];
    struct cmsghdr aligned;
  } control;
  memset(&control, 0, sizeof control);
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (count > 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
    memcpy(CMSG_DATA(header), fds, sizeof(int) * (size_t)count);
  }
  ssize_t sent;
  do sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent == (ssize_t)length;
}

ssize_t receive_fds(int socket, void *bytes, size_t length, int *fds, int limit) {
  struct iovec part = {.iov_base = bytes, .iov_len = length};
  union {
    char bytes[CMSG_SPACE(sizeof(int) * MAX_FDS)];
    struct cmsghdr aligned;
  } control;
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  for (int at = 0; at < limit; at++) fds[at] = -1;
  ssize_t received;
  do received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (received < 0 && errno == EINTR);
  if (received < 0) return received;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    int count = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    for (int at = 0; at < count; at++) {
      int fd;
      memcpy(&fd, CMSG_DATA(header) + (size_t)at * sizeof(int), sizeof fd);
      if (at < limit) fds[at] = fd;
      else close(fd);
    }
  }
  return received;
}

static bool fill_address(struct sockaddr_un *address, const char *path) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  size_t length = strlen(path);
  if (length >= sizeof address->sun_path) {
    errno = ENAMETOOLONG;
    return false;
  }
  memcpy(address->sun_path, path, length + 1);
  return true;
}

int listen_at(const char *path) {
  struct sockaddr_un address;
  if (!fill_address(&address, path)) return -1;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  /* The lock beside it is ours, so whoever left this one is gone. */
  if (unlink(path) != 0 && errno != ENOENT) return -1;
  mode_t before = umask(0177);
  int failed = bind(fd, (struct sockaddr *)&address, sizeof address);
  umask(before);
  if (failed || listen(fd, 64) != 0) return -1;
  return fd;
}

int connect_to(const char *path) {
  struct sockaddr_un address;
  if (!fill_address(&address, path)) return -1;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
    int why = errno;
    close(fd);
    errno = why;
    return -1;
  }
  return fd;
}
