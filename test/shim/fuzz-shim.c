/* Feeds mutated plans and random consoles to the shim's parsers: SEED ROUNDS, plain and bounded, for sanitizers. */
#include "../../native/shim/ending.h"
#include "../../native/shim/plan.h"

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

static const char GOOD[] =
    "version=1\0id=vm_1\0dir=/run/x\0control=/run/x/c\0lock=/run/x/l\0console=/a/c\0console_previous=/a/p\0" "console_max=65536\0vmm_log=/a/v\0"
    "vmm_log_max=4096\0status=/a/s\0restart_on_reboot=1\0restart_max=5\0end_on_halt=0\0remove=/run/x/api\0"
    "arg=/bin/vmm\0arg=-x\0arg=\0restart_arg=/bin/vmm\0env=A=b";

static const char *const PIECES[] = {
    "version=1", "id=", "id=a/b", "dir=/run/x/..", "dir=/", "control=/run/xy", "control=relative", "arg=", "arg=/x",
    "restart_arg=x", "env==", "env=1=2", "env=A", "remove=/run/x", "remove=/run/x/./y", "console_max=0",
    "console_max=99999999999999999999", "restart_max=61", "restart_max=-1", "lock=/a//b", "=", "", "arg", "\xff\xfe=\x1b[31m",
};

static void check_plan(const char *text, size_t length)
{
    static struct plan plan;
    char why[64];
    /* A block of exactly that size, so that one byte too far is seen. */
    char *copy = malloc(length > 0 ? length : 1);
    if (copy == NULL) abort();
    memcpy(copy, text, length);
    memset(why, 'x', sizeof why);
    if (plan_parse(&plan, copy, length, why, sizeof why) == 0) {
        if (plan.args == 0 || plan.argv[plan.args] != NULL || plan.argv[0][0] != '/') abort();
        if (strlen(plan.control) > SOCKET_PATH_MAX || strchr(plan.id, '/') != NULL) abort();
        if (plan.restart_argv[plan.restart_args] != NULL || plan.env[plan.envs] != NULL) abort();
    } else {
        if (memchr(why, '\0', sizeof why) == NULL) abort();
        for (const char *at = why; *at != '\0'; at++) {
            if (*at < ' ' || *at > '~') abort();
        }
    }
    free(copy);
}

static void fuzz_plan(void)
{
    static char text[8192];
    size_t length = sizeof GOOD;
    memcpy(text, GOOD, length);
    for (uint32_t edits = next_random(4); edits > 0; edits--) {
        uint32_t kind = next_random(5);
        if (kind == 0) {
            text[next_random((uint32_t)length)] = (char)next_random(256);
        } else if (kind == 1) {
            length = next_random((uint32_t)length + 1);
            if (length == 0) break;
        } else if (kind == 2) {
            const char *piece = PIECES[next_random(sizeof PIECES / sizeof PIECES[0])];
            memcpy(text + length, piece, strlen(piece) + 1);
            length += strlen(piece) + 1;
        } else if (kind == 3) {
            size_t many = next_random(300);
            for (size_t i = 0; i < many && length + 8 < sizeof text; i++) {
                memcpy(text + length, "arg=a", 6);
                length += 6;
            }
        } else {
            /* Cuts out a stretch. */
            size_t from = next_random((uint32_t)length), size = next_random((uint32_t)(length - from) + 1);
            memmove(text + from, text + from + size, length - from - size);
            length -= size;
            if (length == 0) break;
        }
    }
    check_plan(text, length);
}

static const char *const WORDS[] = {
    "reboot: ", "Restarting system", "Power down", "System halted", "Power off not available", "machine restart",
    "Kernel panic - not syncing", "Kernel panic - not", "reboot: reboot: ", "\n", "\r\n", " ", "x", "re", "K", "\0",
};

static void fuzz_ending(void)
{
    static char text[4096];
    static struct ending whole, parts;
    size_t length = 0;
    for (uint32_t words = next_random(40); words > 0; words--) {
        const char *word = WORDS[next_random(sizeof WORDS / sizeof WORDS[0])];
        size_t size = *word == '\0' ? 1 : strlen(word);
        memcpy(text + length, word, size);
        length += size;
    }
    if (next_random(8) == 0) {
        memset(text + length, 'y', 1500);
        length += 1500;
    }
    ending_reset(&whole);
    ending_hear(&whole, text, length);
    ending_reset(&parts);
    for (size_t at = 0; at < length;) {
        size_t part = 1 + next_random(30);
        if (part > length - at) part = length - at;
        ending_hear(&parts, text + at, part);
        at += part;
    }
    /* How the console was cut into chunks must not matter. */
    if (ending_word(&whole) != ending_word(&parts) || ending_is_halted(&whole) != ending_is_halted(&parts)) {
        fwrite(text, 1, length, stderr);
        abort();
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) return 2;
    state = strtoull(argv[1], NULL, 10) | 1;
    check_plan(GOOD, sizeof GOOD);
    for (unsigned long rounds = strtoul(argv[2], NULL, 10); rounds > 0; rounds--) {
        fuzz_plan();
        fuzz_ending();
    }
    puts("done");
    return 0;
}
