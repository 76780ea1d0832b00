/* Waits for descriptors and timers. Edge-triggered, because a virtio-serial port without a host is always "ready" and would spin otherwise. */
#include "loop.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

int say_fd = 2;
static int epoll_fd = -1;
static struct timer *timers;
static struct watch *again;

void say(const char *format, ...) {
  char line[256];
  va_list values;
  int used = snprintf(line, sizeof line, "%sbanger-vsock-pingd: ", say_fd == 2 ? "" : "<5>");
  va_start(values, format);
  int more = vsnprintf(line + used, sizeof line - (size_t)used - 1, format, values);
  va_end(values);
  if (more < 0) return;
  size_t length = strlen(line);
  line[length++] = '\n';
  /* Nobody is left to tell when even this fails. */
  if (write(say_fd, line, length) < 0) return;
}

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool loop_open(void) {
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  return epoll_fd >= 0;
}

bool watch_add(struct watch *watch, int fd) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = watch};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) return false;
  watch->fd = fd;
  return true;
}

void watch_close(struct watch *watch) {
  if (watch->fd < 0) return;
  if (again == watch) again = NULL;
  /* A process that was just forked may hold a duplicate for a moment, so closing alone is not enough. */
  epoll_ctl(epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
  close(watch->fd);
  watch->fd = -1;
}

void watch_again(struct watch *watch) { again = watch; }

void timer_set(struct timer *timer, int64_t after_ms) {
  timer->at_ms = now_ms() + after_ms;
  if (timer->listed) return;
  timer->listed = true;
  timer->next = timers;
  timers = timer;
}

void timer_clear(struct timer *timer) { timer->at_ms = 0; }

/* Milliseconds until the next timer, firing those that are due; -1 when none is set. */
static int run_timers(void) {
  int64_t now = now_ms(), nearest = -1;
  for (struct timer *timer = timers; timer != NULL; timer = timer->next) {
    if (timer->at_ms != 0 && timer->at_ms <= now) {
      timer->at_ms = 0;
      timer->fire();
    }
    if (timer->at_ms == 0) continue;
    int64_t left = timer->at_ms > now ? timer->at_ms - now : 0;
    if (nearest < 0 || left < nearest) nearest = left;
  }
  return nearest > 60000 ? 60000 : (int)nearest;
}

void loop_run(void) {
  for (;;) {
    int wait_ms = run_timers();
    /* One event at a time: a handler may close what a second event in the batch would be about. */
    struct epoll_event event;
    int count = epoll_wait(epoll_fd, &event, 1, again != NULL ? 0 : wait_ms);
    if (count < 0 && errno != EINTR) {
      say("epoll_wait: %s", strerror(errno));
      return;
    }
    struct watch *unfinished = again;
    again = NULL;
    struct watch *changed = count == 1 ? event.data.ptr : NULL;
    if (changed != NULL && changed->fd >= 0) changed->changed(changed);
    if (unfinished != NULL && unfinished != changed && unfinished->fd >= 0) unfinished->changed(unfinished);
  }
}
