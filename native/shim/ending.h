/* Hears from the serial console why a guest ends: the kernel's last words, found as they stream by. */
#ifndef SHIM_ENDING_H
#define SHIM_ENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum word { WORD_NONE, WORD_REBOOT, WORD_POWEROFF, WORD_HALT, WORD_PANIC, WORD_COUNT };

enum { ENDING_CARRY = 47, ENDING_CHUNK = 16384 };

struct ending {
    uint64_t total;                                /* bytes heard since the start */
    uint64_t said[WORD_COUNT];                     /* where each word was said last, plus one; 0: never */
    enum { HALT_NOT, HALT_LINE, HALT_SILENCE } halt; /* the line that says so is running, or was the last one */
    size_t halt_line_bytes;
    size_t carried;
    char window[ENDING_CARRY + ENDING_CHUNK];
};

void ending_reset(struct ending *ending);

/* Hears `length` bytes more. */
void ending_hear(struct ending *ending, const char *bytes, size_t length);

/* The guest's last word, or WORD_NONE when what it said since makes it an old one. */
enum word ending_word(const struct ending *ending);

/* The last line was that of a halt or a power off, and not a sign has followed it. */
bool ending_is_halted(const struct ending *ending);

#endif
