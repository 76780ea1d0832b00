/* A log of bounded size: PATH and PATH.1, each at most half of what it may take, 0600; where wanted, with the times of its bytes beside it. */
#ifndef SHIM_BOUNDLOG_H
#define SHIM_BOUNDLOG_H

#include <stddef.h>
#include <stdint.h>

struct boundlog {
    const char *path;
    uint64_t half;
    uint64_t size;
    int fd;
    /* PATH.times: lines `unix-ms offset`, each saying that what follows the offset was written from then on; -1: not kept. */
    int times_fd;
    uint64_t noted_ms, noted_size;
};

/* Opens for appending: 0, or -1 with errno. */
int boundlog_open(struct boundlog *log, const char *path, uint64_t max);

/* From now on keeps times too; they are lost with the log they belong to, and without them the log is as good as before. */
void boundlog_keep_times(struct boundlog *log);

/* Moves what the log holds to `previous` and `previous`.1, replacing what is there, and goes on with an empty one. */
void boundlog_set_aside(struct boundlog *log, const char *previous);

/* Writes what the disk takes. A full or broken disk loses log, never the guest's time. */
void boundlog_write(struct boundlog *log, const char *bytes, size_t length);

#endif
