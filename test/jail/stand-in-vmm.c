/* What a jailed VMM does that its surroundings notice: binds a socket, logs, prints a console, tries files, and waits. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char *option(char **argv, const char *name)
{
    for (; argv[0] != NULL; argv++) {
        if (strcmp(argv[0], name) == 0) return argv[1];
    }
    return NULL;
}

static void try_file(const char *path, int flags)
{
    int fd = open(path, flags);
    printf("%s %s\n", path, fd < 0 ? strerror(errno) : "opened");
    if (fd >= 0) close(fd);
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char line[64];
    (void)argc;
    setvbuf(stdout, NULL, _IONBF, 0);
    int log = open(option(argv, "--log-path"), O_WRONLY);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    strncpy(address.sun_path, option(argv, "--api-sock"), sizeof address.sun_path - 1);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 4) != 0) {
        printf("bind: %s\n", strerror(errno));
        return 152;
    }
    dprintf(log, "a line of its log\n");
    printf("uid %u gid %u config %s\n", getuid(), getgid(), option(argv, "--config-file") == NULL ? "none" : "given");
    try_file("/f/root", O_RDWR);
    try_file("/f/document", O_RDONLY);
    try_file("/f/document", O_RDWR);
    try_file("/f/kernel", O_RDONLY);
    try_file("/f/kernel", O_RDWR);
    try_file("/etc/passwd", O_RDONLY);
    puts("up");
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (strcmp(line, "reboot\n") == 0) {
            printf("reboot: Restarting system\r\n");
            return 0;
        }
        if (strcmp(line, "abort\n") == 0) abort();
    }
    for (;;) pause();
}
