/* Moves bytes between the one session and the one connection that is in use; the newest connection wins. */
#include "link.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "loop.h"
#include "relay.h"
#include "transport.h"

/* Reads and writes for one turn; then others get theirs. */
enum { TURNS = 64 };

static struct session *session;
static struct link_options options;
static void pump(struct watch *watch);
static void take_caller(struct watch *watch);
static void look_for_port(struct watch *watch);
static void retry_port(void);
static void finish_announcement(struct watch *watch);

static struct watch host = {.fd = -1, .changed = pump};
static struct watch listener = {.fd = -1, .changed = take_caller};
static struct watch hotplug = {.fd = -1, .changed = look_for_port};
static struct watch announcement = {.fd = -1, .changed = finish_announcement};
static struct timer port_timer = {.fire = retry_port};

static bool host_is_port;
static bool write_waits, read_waits;
static uint8_t chunk[32768];
static size_t chunk_at, chunk_end;

static void take_host(int fd, bool is_port) {
  watch_close(&host);
  session_reset(session);
  chunk_at = chunk_end = 0;
  host_is_port = is_port;
  if (is_port) session_break_old(session);
  if (!watch_add(&host, fd)) {
    say("cannot watch the connection: %s", strerror(errno));
    close(fd);
  }
  /* The first edge comes by itself when the descriptor is added. */
}

/* The host has hung up. A port stays open for the next one; a socket is of no more use. */
static void lose_host(void) {
  session_reset(session);
  chunk_at = chunk_end = 0;
  if (host_is_port) return;
  watch_close(&host);
}

static bool would_wait(void) { return errno == EAGAIN; }

static bool was_interrupted(void) { return errno == EINTR; }

static bool drop_broken(const char *what) {
  say("%s: %s", what, strerror(errno));
  lose_host();
  if (host_is_port) {
    watch_close(&host);
    timer_set(&port_timer, 1000);
  }
  return false;
}

static bool write_some(void) {
  const uint8_t *bytes;
  size_t count = session_output(session, &bytes);
  if (count == 0 || write_waits) return false;
  ssize_t sent = write(host.fd, bytes, count);
  if (sent > 0) {
    session_sent(session, (size_t)sent);
    return true;
  }
  if (sent == 0 || would_wait()) {
    write_waits = true;
    return false;
  }
  if (was_interrupted()) return true;
  if (!host_is_port) {
    lose_host();
    return false;
  }
  return drop_broken("write to the port");
}

static bool read_some(void) {
  if (chunk_at < chunk_end) {
    size_t used = session_feed(session, chunk + chunk_at, chunk_end - chunk_at);
    chunk_at += used;
    return used > 0;
  }
  if (read_waits) return false;
  ssize_t count = read(host.fd, chunk, sizeof chunk);
  if (count > 0) {
    chunk_at = 0;
    chunk_end = (size_t)count;
    return true;
  }
  if (count == 0) {
    read_waits = true;
    lose_host();
    return false;
  }
  if (would_wait()) {
    read_waits = true;
    return false;
  }
  if (was_interrupted()) return true;
  if (!host_is_port) {
    lose_host();
    return false;
  }
  return drop_broken("read from the port");
}

static void pump(struct watch *watch) {
  (void)watch;
  write_waits = read_waits = false;
  link_pump();
}

void link_pump(void) {
  for (int turn = 0; turn < TURNS; turn++) {
    bool moved = host.fd >= 0 && write_some();
    moved = (host.fd >= 0 && read_some()) || moved;
    moved = relay_pump(session) || moved;
    if (!moved) {
      control_flushed();
      return;
    }
  }
  watch_again(&host);
}

bool link_is_flushed(void) {
  const uint8_t *bytes;
  return host.fd < 0 || !session->synchronised || session_output(session, &bytes) == 0;
}

static void take_caller(struct watch *watch) {
  for (;;) {
    int fd = transport_accept(watch->fd);
    if (fd == -1) return;
    if (fd == TRANSPORT_REFUSED) continue;
    take_host(fd, false);
  }
}

/* Tells a host that listens for it that the guest is there, rather than leaving it to try. */
static void announce(void) {
  watch_close(&announcement);
  int fd = transport_announce(options.announce);
  if (fd >= 0 && !watch_add(&announcement, fd)) close(fd);
}

static void finish_announcement(struct watch *watch) {
  uint8_t bytes[512];
  memcpy(bytes, sync_magic, SYNC_MAGIC);
  memset(bytes + SYNC_MAGIC, 0, SYNC_NONCE);
  size_t length = SYNC_SIZE + render_ready(session, bytes + SYNC_SIZE, sizeof bytes - SYNC_SIZE);
  /* A refused connection is a host that does not listen: nothing is lost. */
  if (write(watch->fd, bytes, length) < 0 && (would_wait() || errno == ENOTCONN)) return;
  watch_close(watch);
}

static bool find_port(void) {
  char path[64];
  const char *device = options.port;
  if (device == NULL) device = transport_find_port(path, sizeof path) ? path : NULL;
  if (device == NULL) return false;
  int fd = transport_open_port(device);
  if (fd < 0) {
    if (errno != ENOENT && errno != ENODEV) say("%s: %s", device, strerror(errno));
    timer_set(&port_timer, 1000);
    return false;
  }
  timer_clear(&port_timer);
  take_host(fd, true);
  return true;
}

static void listen_on_vsock(void) {
  if (listener.fd >= 0 || options.port != NULL) return;
  int fd = transport_listen_vsock();
  if (fd < 0) return;
  if (!watch_add(&listener, fd)) {
    close(fd);
    return;
  }
  announce();
}

/* A port may appear later than we do: the driver learns of it from the host by messages. */
static void look(void) {
  if (host.fd >= 0 && host_is_port) return;
  if (find_port()) watch_close(&listener);
  else listen_on_vsock();
}

static void look_for_port(struct watch *watch) {
  if (transport_hotplug_happened(watch->fd)) look();
}

static void retry_port(void) { look(); }

static bool listen_on_unix(void) {
  int fd = transport_listen_unix(options.unix_at);
  if (fd < 0 || !watch_add(&listener, fd)) {
    say("%s: %s", options.unix_at, strerror(errno));
    return false;
  }
  if (options.announce != NULL) announce();
  return true;
}

bool link_open(const struct link_options *wanted, struct session *used) {
  session = used;
  options = *wanted;
  session_reset(session);
  if (options.unix_at != NULL) return listen_on_unix();
  int fd = transport_hotplug();
  if (fd >= 0 && !watch_add(&hotplug, fd)) close(fd);
  look();
  /* Without the kernel's word on new devices there is only looking again. */
  if (hotplug.fd < 0 && host.fd < 0) timer_set(&port_timer, 1000);
  return true;
}
