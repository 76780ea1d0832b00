/* The helper's only waiting place: edge-triggered descriptors and a few one-shot timers. */
#ifndef BANGER_LOOP_H
#define BANGER_LOOP_H

#include <stdbool.h>
#include <stdint.h>

/* A descriptor and what to do when anything about it has changed. Zeroed memory with fd -1 is an idle watch. */
struct watch {
  int fd;
  void (*changed)(struct watch *watch);
};

/* Fires once, `after_ms` from the last timer_set. */
struct timer {
  void (*fire)(void);
  int64_t at_ms; /* 0: not set */
  struct timer *next;
  bool listed;
};

bool loop_open(void);
bool watch_add(struct watch *watch, int fd);
void watch_close(struct watch *watch);
void timer_set(struct timer *timer, int64_t after_ms);
void timer_clear(struct timer *timer);

/* Calls `changed` of this watch again before sleeping: it gave way to others with work left. */
void watch_again(struct watch *watch);

void loop_run(void);

/* One line to the kernel log (early) or to standard error. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern int say_fd;

#endif
