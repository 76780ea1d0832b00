/* How the guest is asked to go down. */
#ifndef BANGER_SHUTDOWN_H
#define BANGER_SHUTDOWN_H

#include <stdbool.h>
#include <sys/types.h>

struct shutdown_options {
  const char *systemctl; /* run as `systemctl poweroff` or `systemctl reboot` */
  pid_t init;            /* who gets the signal when that fails; 0 for nobody */
};

bool shutdown_open(const struct shutdown_options *options);

/* Returns NULL once it has begun, or why it cannot. Never waits. */
const char *shut_down(bool reboot);

#endif
