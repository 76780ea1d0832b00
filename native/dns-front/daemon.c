/* The frames between banger-dns-front and bangerd. */
#define _GNU_SOURCE
#include "daemon.h"
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { ASK_HEADER = 8, ANSWER_HEADER = 16, INBOX = 1 << 18 };

static uint8_t inbox[INBOX];
static size_t held;

bool daemon_greet(int failure, uint16_t port)
{
    uint8_t frame[8];
    int32_t number = failure;
    uint32_t wide = port;
    memcpy(frame, &number, 4);
    memcpy(frame + 4, &wide, 4);
    if (write(1, frame, sizeof frame) != sizeof frame) return false;
    return fcntl(0, F_SETFL, O_NONBLOCK) == 0 && fcntl(1, F_SETFL, O_NONBLOCK) == 0;
}

bool daemon_ask(const struct sockaddr_in *asker, const uint8_t *query, size_t length)
{
    uint8_t frame[ASK_HEADER + QUERY_MAX];
    uint16_t short_length = (uint16_t)length;
    if (length > QUERY_MAX) return false;
    memcpy(frame, &short_length, 2);
    memcpy(frame + 2, &asker->sin_port, 2);
    memcpy(frame + 4, &asker->sin_addr, 4);
    memcpy(frame + ASK_HEADER, query, length);
    return write(1, frame, ASK_HEADER + length) == (ssize_t)(ASK_HEADER + length);
}

/* The octets that the first frame takes; 0 when it is not all there. */
static size_t take_frame(const uint8_t *frame, size_t there)
{
    uint16_t length, query_length;
    uint32_t generation;
    struct sockaddr_in asker = {.sin_family = AF_INET};
    if (there < ANSWER_HEADER) return 0;
    memcpy(&length, frame, 2);
    memcpy(&query_length, frame + 2, 2);
    size_t whole = ANSWER_HEADER + (size_t)length + query_length;
    if (there < whole) return 0;
    memcpy(&asker.sin_port, frame + 4, 2);
    memcpy(&asker.sin_addr, frame + 8, 4);
    memcpy(&generation, frame + 12, 4);
    const uint8_t *octets = frame + ANSWER_HEADER;
    if (query_length > 2) memory_keep(octets + length + 2, query_length - 2u, octets, length, generation);
    daemon_answered(&asker, octets, length);
    return whole;
}

bool daemon_read(void)
{
    ssize_t more = read(0, inbox + held, sizeof inbox - held);
    if (more == 0 || (more < 0 && errno != EAGAIN && errno != EINTR)) return false;
    if (more > 0) held += (size_t)more;
    size_t used = 0;
    for (size_t took; (took = take_frame(inbox + used, held - used)) > 0;) used += took;
    memmove(inbox, inbox + used, held - used);
    held -= used;
    return true;
}
