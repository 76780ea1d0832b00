/* Parses requests strictly: single blanks, numeric addresses, ports from 1 to 65535, nothing after. */
#include "command.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum { WORDS_MAX = 5 };

static const struct {
    const char *name;
    enum verb verb;
    size_t words;
} verbs[] = {
    {"hello", VERB_HELLO, 1}, {"list", VERB_LIST, 1}, {"open", VERB_OPEN, 5},
    {"close", VERB_CLOSE, 3}, {"drop", VERB_DROP, 3}, {"quit", VERB_QUIT, 1},
};

static bool take_port(const char *text, in_port_t *port)
{
    unsigned value = 0;
    size_t length = strlen(text);
    if (length == 0 || length > 5) return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9') return false;
        value = value * 10 + (unsigned)(*text - '0');
    }
    if (value == 0 || value > 65535) return false;
    *port = htons((in_port_t)value);
    return true;
}

static bool take_endpoint(struct endpoint *endpoint, const char *address, const char *port)
{
    memset(endpoint, 0, sizeof *endpoint);
    struct sockaddr_in *four = (struct sockaddr_in *)&endpoint->address;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&endpoint->address;
    if (inet_pton(AF_INET, address, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        endpoint->length = sizeof *four;
        return take_port(port, &four->sin_port);
    }
    memset(endpoint, 0, sizeof *endpoint);
    if (inet_pton(AF_INET6, address, &six->sin6_addr) != 1) return false;
    six->sin6_family = AF_INET6;
    endpoint->length = sizeof *six;
    return take_port(port, &six->sin6_port);
}

bool command_parse(struct command *command, const char *text, size_t length)
{
    char copy[COMMAND_BYTES_MAX];
    char *words[WORDS_MAX];
    size_t count = 0;
    if (length > 0 && text[length - 1] == '\n') length--;
    if (length == 0 || length >= sizeof copy || memchr(text, 0, length) != NULL) return false;
    memcpy(copy, text, length);
    copy[length] = 0;
    memset(command, 0, sizeof *command);
    for (char *at = copy; at != NULL;) {
        if (count == WORDS_MAX) return false;
        words[count++] = at;
        char *blank = strchr(at, ' ');
        if (blank != NULL) *blank++ = 0;
        at = blank;
    }
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(verbs[i].name, words[0]) != 0) continue;
        if (verbs[i].words != count) return false;
        command->verb = verbs[i].verb;
        if (count >= 3 && !take_endpoint(&command->here, words[1], words[2])) return false;
        return count < 5 || take_endpoint(&command->there, words[3], words[4]);
    }
    return false;
}

bool endpoint_same(const struct endpoint *one, const struct endpoint *other)
{
    if (one->address.ss_family != other->address.ss_family) return false;
    if (one->address.ss_family == AF_INET) {
        const struct sockaddr_in *a = (const struct sockaddr_in *)&one->address;
        const struct sockaddr_in *b = (const struct sockaddr_in *)&other->address;
        return a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
    }
    const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)&one->address;
    const struct sockaddr_in6 *b = (const struct sockaddr_in6 *)&other->address;
    return a->sin6_port == b->sin6_port && memcmp(&a->sin6_addr, &b->sin6_addr, sizeof a->sin6_addr) == 0;
}

void endpoint_spell(const struct endpoint *endpoint, char *text, size_t size)
{
    char address[ADDRESS_TEXT_MAX] = "?";
    if (endpoint->address.ss_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)&endpoint->address;
        inet_ntop(AF_INET, &four->sin_addr, address, sizeof address);
        snprintf(text, size, "%s %u", address, (unsigned)ntohs(four->sin_port));
    } else {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&endpoint->address;
        inet_ntop(AF_INET6, &six->sin6_addr, address, sizeof address);
        snprintf(text, size, "%s %u", address, (unsigned)ntohs(six->sin6_port));
    }
}
