/* The whole user space of a conformance guest: says that it is up and obeys one-word lines typed at its console. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <time.h>
#include <unistd.h>

static void tell_time(void)
{
    struct timespec now;

    if (clock_gettime(CLOCK_REALTIME, &now) == 0)
        printf("time %lld.%09ld\n", (long long)now.tv_sec, now.tv_nsec);
}

int main(void)
{
    char line[64];

    setvbuf(stdout, NULL, _IONBF, 0);
    puts("banger-test: up");
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        if (strcmp(line, "poweroff") == 0)
            reboot(RB_POWER_OFF);
        else if (strcmp(line, "reboot") == 0)
            reboot(RB_AUTOBOOT);
        else if (strcmp(line, "halt") == 0)
            reboot(RB_HALT_SYSTEM);
        else if (strcmp(line, "panic") == 0)
            return 1; /* The kernel panics when its init ends. */
        else if (strcmp(line, "time") == 0)
            tell_time();
    }
    for (;;)
        pause();
}
