/* banger-tsc: prints how fast this host's time stamp counter runs, in kHz, for guests that cannot measure it themselves. */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/timex.h>
#include <time.h>
#include <x86intrin.h>

enum {
    INTERVAL_MS = 100,
    /* Two intervals that differ by more show a counter that changes its rate, or stops. */
    DIFFERENCE_PPM_MAX = 50,
    /* Of many pairs of readings the tightest is kept: an interruption between the two cannot be told from time. */
    TRIES = 64,
    EXIT_UNSTABLE = 3,
};

struct reading {
    uint64_t ticks;
    int64_t ns;
    uint64_t width; /* ticks between the two readings of the counter around the clock's */
};

static bool read_clock(int64_t *ns)
{
    struct timespec now;

    if (clock_gettime(CLOCK_MONOTONIC_RAW, &now) != 0)
        return false;
    *ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    return true;
}

/* The fence keeps the counter from being read before the clock was (Intel SDM 2B, RDTSC). */
static uint64_t read_ticks(void)
{
    _mm_lfence();
    return __rdtsc();
}

static bool read_both(struct reading *best)
{
    best->width = UINT64_MAX;
    for (int i = 0; i < TRIES; i++) {
        int64_t ns;
        uint64_t before = read_ticks();

        if (!read_clock(&ns))
            return false;
        uint64_t after = read_ticks();
        if (after - before < best->width)
            *best = (struct reading){ .ticks = before + (after - before) / 2, .ns = ns, .width = after - before };
    }
    return true;
}

/* What time keeping has learned about the raw clock's error: true seconds in a raw second. */
static double correction(void)
{
    struct timex state = { .modes = 0 };
    const double usual_tick_us = 10000.0;

    if (adjtimex(&state) < 0)
        return 1.0;
    /* freq is in parts per million with 16 binary places (adjtimex(2)). */
    return (double)state.tick / usual_tick_us + (double)state.freq / 65536.0 / 1e6;
}

/* Ticks in a raw second, or 0. */
static double rate(const struct reading *start, const struct reading *end)
{
    if (end->ticks <= start->ticks || end->ns <= start->ns)
        return 0;
    return (double)(end->ticks - start->ticks) * 1e9 / (double)(end->ns - start->ns);
}

int main(void)
{
    struct reading at[3];
    const struct timespec interval = { .tv_nsec = INTERVAL_MS * 1000000L };

    for (int i = 0; i < 3; i++) {
        if ((i > 0 && nanosleep(&interval, NULL) != 0) || !read_both(&at[i])) {
            perror("banger-tsc");
            return 1;
        }
    }
    double first = rate(&at[0], &at[1]), second = rate(&at[1], &at[2]);
    double difference = first > second ? first - second : second - first;
    if (first <= 0 || second <= 0 || difference / first * 1e6 > DIFFERENCE_PPM_MAX) {
        fputs("the time stamp counter of this processor changes its rate\n", stderr);
        return EXIT_UNSTABLE;
    }
    if (printf("%.0f\n", rate(&at[0], &at[2]) / correction() / 1000.0) < 0 || fflush(stdout) != 0)
        return 1;
    return 0;
}
