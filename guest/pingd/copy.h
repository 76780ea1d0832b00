/* The kinds `copy.send` and `copy.receive`: trees of files, the same messages whoever sends them (docs/guest.md §2). */
#ifndef BANGER_COPY_H
#define BANGER_COPY_H

#include "relay.h"

enum {
  /* From the sender. Numbers are little-endian; times are nanoseconds since the epoch; a path ends its message. */
  COPY_DIRECTORY = 33,     /* u32 mode, i64 time, path */
  COPY_FILE = 34,          /* u32 mode, i64 time, u64 size, path */
  COPY_LINK = 35,          /* u16 length of the path, path, target */
  COPY_BLOCK = 36,         /* u64 offset, bytes */
  COPY_FILE_END = 37,      /* empty, or why the file is no good */
  COPY_SKIPPED = 38,       /* text: what is not sent, and why */
  COPY_ALL = 39,           /* empty */
  COPY_DIRECTORY_END = 40, /* as COPY_DIRECTORY */
  /* From the receiver. */
  COPY_RESUME = 49, /* u64: where to go on in a file of COPY_RESUME_MIN or more */
  COPY_FAILED = 50, /* text: what could not be written, and why */
  COPY_DONE = 51,   /* empty, after COPY_ALL */

  COPY_RESUME_MIN = 1024 * 1024,
  COPY_PATH_MAX = 4096,
  COPY_BLOCK_MAX = 65528,
};

relay_work copy_send_work;
relay_work copy_receive_work;

/* Becomes the user of the fields and goes home, or ends the stream. */
void copy_begin(const uint8_t *fields, size_t length);

uint64_t get_u64(const uint8_t *at);

#endif
