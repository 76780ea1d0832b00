/* Feeds mutated requests to the proxy's parser: SEED ROUNDS, plain and bounded, for sanitizers. */
#include "../../native/proxy/command.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state;

static uint32_t next_random(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 11) % below);
}

static const char *const GOOD[] = {
    "hello", "list", "quit", "open 127.0.0.1 8080 10.0.0.2 80", "open ::1 1 fe80::1 65535", "close 127.0.0.1 8080", "drop ::ffff:127.0.0.1 1",
};

static void check(const char *text, size_t length)
{
    struct command command;
    char spelt[ADDRESS_TEXT_MAX + 8];
    /* A block of exactly that size, so that one byte too far is seen. */
    char *copy = malloc(length > 0 ? length : 1);
    if (copy == NULL) abort();
    memcpy(copy, text, length);
    if (command_parse(&command, copy, length) && command.verb == VERB_OPEN) {
        struct command again;
        char line[2 * sizeof spelt + 8];
        endpoint_spell(&command.here, spelt, sizeof spelt);
        int used = snprintf(line, sizeof line, "open %s ", spelt);
        endpoint_spell(&command.there, spelt, sizeof spelt);
        used += snprintf(line + used, sizeof line - (size_t)used, "%s", spelt);
        /* What was understood is spelt so that it means the same. */
        if (!command_parse(&again, line, (size_t)used) || !endpoint_same(&again.here, &command.here) || !endpoint_same(&again.there, &command.there)) abort();
    }
    free(copy);
}

int main(int count, char **words)
{
    if (count != 3) return 2;
    state = strtoull(words[1], NULL, 10) * 2654435761u + 1;
    for (long round = strtol(words[2], NULL, 10); round > 0; round--) {
        char text[2 * COMMAND_BYTES_MAX];
        const char *good = GOOD[next_random(sizeof GOOD / sizeof *GOOD)];
        size_t length = strlen(good);
        memcpy(text, good, length);
        for (uint32_t i = next_random(6); i > 0; i--) {
            size_t at = next_random((uint32_t)length + 1);
            switch (next_random(4)) {
            case 0:
                if (at < length) text[at] = (char)next_random(256);
                break;
            case 1:
                length = at;
                break;
            case 2:
                memmove(text + at + 1, text + at, length - at);
                text[at] = " .:0129\0\n"[next_random(9)];
                length++;
                break;
            default:
                if (2 * length < sizeof text) memcpy(text + length, text, length), length *= 2;
                break;
            }
            if (length >= sizeof text - 8) length = sizeof text / 2;
        }
        check(text, length);
    }
    return 0;
}
