/* Messages of the first-stage init: one write per line, to the console when it is PID 1. */
#define _GNU_SOURCE
#include "banger-init.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void say(int error, const char *format, ...) {
  char line[512] = "banger-init: ";
  size_t used = strlen(line);
  va_list args;
  va_start(args, format);
  int length = vsnprintf(line + used, sizeof line - used - 1, format, args);
  va_end(args);
  if (length < 0) return;
  used = strlen(line);
  if (error != 0) snprintf(line + used, sizeof line - used - 1, ": %s", strerror(error));
  used = strlen(line);
  line[used++] = '\n';
  while (write(2, line, used) < 0 && errno == EINTR) {}
}
