/* Finds the kernel's words in the console, across chunks, wherever in a line a prompt may have left the cursor. */
#define _GNU_SOURCE
#include "ending.h"

#include <string.h>

static const char PREFIX[] = "reboot: ";
static const char PANIC[] = "Kernel panic - not syncing";

/* What follows "reboot: ", kernel/reboot.c and arch/x86/kernel/reboot.c. The third is a power off that the machine cannot do. */
static const struct { const char *text; enum word word; } WORDS[] = {
    {"Restarting system", WORD_REBOOT},
    {"machine restart", WORD_REBOOT},
    {"Power off not available", WORD_POWEROFF},
    {"Power down", WORD_POWEROFF},
    {"System halted", WORD_HALT},
};

/* An oops prints some KiB after its first line; after the others the kernel has almost nothing left to say. */
enum { PANIC_REACH = 65536, WORD_REACH = 1024, HALT_LINE_MAX = 256 };

_Static_assert(sizeof PREFIX - 1 + sizeof "Power off not available" - 1 <= ENDING_CARRY + 1, "a word must fit the carry");
_Static_assert(sizeof PANIC - 1 <= ENDING_CARRY + 1, "a word must fit the carry");

void ending_reset(struct ending *ending)
{
    ending->total = 0;
    memset(ending->said, 0, sizeof ending->said);
    ending->halt = HALT_NOT;
    ending->halt_line_bytes = 0;
    ending->carried = 0;
}

/* Steps through what comes after the line of a halt: a guest that prints one more sign is alive. */
static void hear_after_halt(struct ending *ending, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length && ending->halt != HALT_NOT; i++) {
        if (ending->halt == HALT_LINE) {
            if (bytes[i] == '\n') ending->halt = HALT_SILENCE;
            else if (++ending->halt_line_bytes > HALT_LINE_MAX) ending->halt = HALT_NOT;
        } else if ((unsigned char)bytes[i] > ' ') {
            ending->halt = HALT_NOT;
        }
    }
}

static enum word word_at(const char *at, size_t left, size_t *length)
{
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++) {
        size_t size = strlen(WORDS[i].text);
        if (left >= size && memcmp(at, WORDS[i].text, size) == 0) {
            *length = size;
            return WORDS[i].word;
        }
    }
    return WORD_NONE;
}

static void hear_chunk(struct ending *ending, const char *bytes, size_t length)
{
    char *window = ending->window;
    uint64_t base = ending->total - ending->carried;
    memcpy(window + ending->carried, bytes, length);
    const char *end = window + ending->carried + length;
    const char *fresh = window + ending->carried;
    const char *at = window;

    while ((at = memmem(at, (size_t)(end - at), PREFIX, sizeof PREFIX - 1)) != NULL) {
        size_t size = 0;
        at += sizeof PREFIX - 1;
        enum word word = word_at(at, (size_t)(end - at), &size);
        uint64_t where = base + (uint64_t)(at - window) + 1;
        /* What lies in the carry may be found a second time: it is no news. */
        if (word == WORD_NONE || where <= ending->said[word]) continue;
        ending->said[word] = where;
        if (word == WORD_HALT || word == WORD_POWEROFF) {
            ending->halt = HALT_LINE;
            ending->halt_line_bytes = 0;
            fresh = at + size;
            /* Until the next word, or the end, everything belongs to what follows this one. */
            const char *next = memmem(fresh, (size_t)(end - fresh), PREFIX, sizeof PREFIX - 1);
            hear_after_halt(ending, fresh, (size_t)((next != NULL ? next : end) - fresh));
            fresh = next != NULL ? next : end;
        } else {
            ending->halt = HALT_NOT;
        }
    }
    if (fresh < end) hear_after_halt(ending, fresh, (size_t)(end - fresh));

    at = window;
    while ((at = memmem(at, (size_t)(end - at), PANIC, sizeof PANIC - 1)) != NULL) {
        ending->said[WORD_PANIC] = base + (uint64_t)(at - window) + 1;
        at += sizeof PANIC - 1;
    }

    size_t held = (size_t)(end - window);
    size_t keep = held < ENDING_CARRY ? held : ENDING_CARRY;
    memmove(window, end - keep, keep);
    ending->carried = keep;
    ending->total += length;
}

void ending_hear(struct ending *ending, const char *bytes, size_t length)
{
    while (length > 0) {
        size_t part = length < ENDING_CHUNK ? length : ENDING_CHUNK;
        hear_chunk(ending, bytes, part);
        bytes += part;
        length -= part;
    }
}

enum word ending_word(const struct ending *ending)
{
    uint64_t panic = ending->said[WORD_PANIC];
    if (panic > 0 && ending->total - panic < PANIC_REACH) return WORD_PANIC;
    enum word last = WORD_NONE;
    for (enum word word = WORD_REBOOT; word < WORD_PANIC; word++) {
        if (ending->said[word] > ending->said[last]) last = word;
    }
    return last != WORD_NONE && ending->total - ending->said[last] < WORD_REACH ? last : WORD_NONE;
}

bool ending_is_halted(const struct ending *ending)
{
    return ending->halt != HALT_NOT;
}
