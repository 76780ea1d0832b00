/* The kind `exec`: a command of the host's, its input, its output, its signals and its end. */
#ifndef BANGER_EXEC_H
#define BANGER_EXEC_H

#include "relay.h"

enum {
  EXEC_STDIN = 1,      /* bytes for its standard input */
  EXEC_STDIN_END = 2,  /* nothing more comes */
  EXEC_RESIZE = 3,     /* u16 rows, u16 columns */
  EXEC_SIGNAL = 4,     /* u8: to its process group, or to the terminal's foreground */
  EXEC_STDOUT = 17,
  EXEC_STDERR = 18,
  EXEC_TAKEN = 19,     /* u32: so much of its input has gone to it since the last time */
  EXEC_EXIT = 20,      /* u8 */
  EXEC_KILLED = 21,    /* u8: the signal */
  /* So much input may be under way that EXEC_TAKEN has not told of; all else always gets through. */
  EXEC_INPUT_WINDOW = 128 * 1024,
};

relay_work exec_work;

#endif
