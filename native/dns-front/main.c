/* banger-dns-front: answers DNS queries by UDP that bangerd has answered before, and passes it the others. It ends with bangerd, whose end of its stdin it watches. */
#define _GNU_SOURCE
#include "daemon.h"
#include "memory.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    EXIT_USAGE = 2,
    EXIT_SYSTEM = 4,
    BATCH = 64,
    ROUNDS = 16, /* of batches, before bangerd's answers are looked for again */
    RECEIVE_BYTES = 1 << 20,
    HEADER_BYTES = 12, /* RFC 1035, 4.1.1 */
};

static const char usage[] = "usage: banger-dns-front ADDRESS PORT BOARD   (bangerd's frames on stdin and stdout: native/dns-front/daemon.h)\n";

static struct board *board;
static int udp = -1;

static uint8_t queries[BATCH][QUERY_MAX], answers[BATCH][ANSWER_MAX];
static struct sockaddr_in askers[BATCH];
static struct iovec in_parts[BATCH], out_parts[BATCH];
static struct mmsghdr in[BATCH], out[BATCH];

/* Once, since most batches are small. */
static void lay_out(void)
{
    for (size_t i = 0; i < BATCH; i++) {
        in_parts[i] = (struct iovec){.iov_base = queries[i], .iov_len = QUERY_MAX};
        in[i].msg_hdr = (struct msghdr){.msg_name = &askers[i], .msg_namelen = sizeof askers[i], .msg_iov = &in_parts[i], .msg_iovlen = 1};
        out_parts[i].iov_base = answers[i];
        out[i].msg_hdr = (struct msghdr){.msg_namelen = sizeof askers[i], .msg_iov = &out_parts[i], .msg_iovlen = 1};
    }
}

static void count(uint64_t *counter, uint64_t more)
{
    __atomic_fetch_add(counter, more, __ATOMIC_RELAXED);
}

/*
 * sendmmsg(2) and recvmmsg(2) themselves, of which musl makes a sendmsg(2) for each message, and a walk over all of them first, on 64 bits: the kernel has two
 * lengths of struct msghdr wider than POSIX does. The paddings beside them are members of musl's struct, and zero in ours, so that both see the same numbers.
 */
static int send_many(struct mmsghdr *messages, unsigned length)
{
    return (int)syscall(SYS_sendmmsg, udp, messages, length, MSG_DONTWAIT);
}

static int receive_many(struct mmsghdr *messages, unsigned length)
{
    return (int)syscall(SYS_recvmmsg, udp, messages, length, MSG_DONTWAIT, NULL);
}

/* An ICMP error that some client left behind comes out of the next send, in place of sending: so it goes on as long as every other call gets somewhere. */
static void send_all(struct mmsghdr *messages, unsigned length)
{
    unsigned sent = 0;
    for (int futile = 0; sent < length && futile < 3;) {
        int done = send_many(messages + sent, length - sent);
        futile = done > 0 ? 0 : futile + 1;
        if (done > 0) sent += (unsigned)done;
    }
    /* UDP clients ask again, and waiting for room would delay the others. */
    count(&board->dropped, length - sent);
}

void daemon_answered(const struct sockaddr_in *asker, const uint8_t *octets, size_t length)
{
    struct iovec part = {.iov_base = (void *)octets, .iov_len = length};
    struct mmsghdr message = {.msg_hdr = {.msg_name = (void *)asker, .msg_namelen = sizeof *asker, .msg_iov = &part, .msg_iovlen = 1}};
    send_all(&message, 1);
}

/* Whether there may be more to read. */
static bool answer_batch(void)
{
    int received = receive_many(in, BATCH);
    /* An ICMP error is read like a message, once; then comes what is there. */
    if (received < 0) return errno != EAGAIN && errno != EWOULDBLOCK;
    uint32_t generation = __atomic_load_n(&board->generation, __ATOMIC_ACQUIRE);
    unsigned ready = 0;
    for (int i = 0; i < received; i++) {
        size_t length = in[i].msg_len;
        if (askers[i].sin_port == 0) continue; /* nobody's */
        const struct answer *known = length > HEADER_BYTES ? memory_find(queries[i] + 2, length - 2, generation) : NULL;
        if (known == NULL) {
            bool is_whole = (in[i].msg_hdr.msg_flags & MSG_TRUNC) == 0;
            if (!is_whole || !daemon_ask(&askers[i], queries[i], length)) count(&board->dropped, 1);
            continue;
        }
        memcpy(answers[ready], known->octets, known->length);
        memcpy(answers[ready], queries[i], 2);
        out_parts[ready].iov_len = known->length;
        out[ready].msg_hdr.msg_name = &askers[i];
        ready++;
        count(&board->answered[known->octets[3] & 15], 1);
    }
    send_all(out, ready);
    return received > 0;
}

static bool open_board(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    struct stat stat;
    if (fd < 0 || fstat(fd, &stat) != 0 || stat.st_size < (off_t)sizeof *board) return false;
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return board != MAP_FAILED;
}

/* 0, or the errno that says why not. */
static int bind_socket(struct sockaddr_in *here)
{
    int room = RECEIVE_BYTES;
    socklen_t length = sizeof *here;
    udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (udp < 0) return errno;
    setsockopt(udp, SOL_SOCKET, SO_RCVBUF, &room, sizeof room); /* as much of it as the host gives */
    if (bind(udp, (struct sockaddr *)here, sizeof *here) != 0) return errno;
    return getsockname(udp, (struct sockaddr *)here, &length) == 0 ? 0 : errno;
}

int main(int argc, char **argv)
{
    struct sockaddr_in here = {.sin_family = AF_INET};
    char *end;
    unsigned long port = argc == 4 ? strtoul(argv[2], &end, 10) : 65536;
    if (port > 65535 || *argv[2] < '0' || *argv[2] > '9' || *end != 0 || inet_pton(AF_INET, argv[1], &here.sin_addr) != 1) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    here.sin_port = htons((uint16_t)port);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !open_board(argv[3])) {
        perror("banger-dns-front");
        return EXIT_SYSTEM;
    }
    int failure = bind_socket(&here);
    if (!daemon_greet(failure, ntohs(here.sin_port)) || failure != 0) return failure == 0 ? EXIT_SYSTEM : 0;
    lay_out();
    struct pollfd waits[] = {{.fd = udp, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
    for (;;) {
        if (poll(waits, 2, -1) < 0) {
            if (errno != EINTR) return EXIT_SYSTEM;
            continue;
        }
        if (waits[1].revents != 0 && !daemon_read()) return 0;
        if (waits[0].revents == 0) continue;
        for (int round = 0; round < ROUNDS && answer_batch(); round++) {}
    }
}
