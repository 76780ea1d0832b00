/* Whole answers by the octets of their queries, each good for one generation of the zone. Bounded, and never an error: what does not fit is forgotten. */
#ifndef BANGER_DNS_MEMORY_H
#define BANGER_DNS_MEMORY_H

#include <stddef.h>
#include <stdint.h>

enum {
    KEY_MAX = 128,    /* a client's query without its id: names with EDNS are 40 to 80 octets */
    ANSWER_MAX = 512, /* without EDNS no more may be sent anyway (RFC 1035, 4.2.1) */
};

struct answer {
    uint64_t hash;
    uint32_t generation;
    uint16_t key_length; /* 0: nothing here */
    uint16_t length;
    uint8_t key[KEY_MAX];
    uint8_t octets[ANSWER_MAX]; /* its first two, the id, are the asker's */
};

/* Null when this query is not known in this generation. `key` is the query from its third octet on. */
const struct answer *memory_find(const uint8_t *key, size_t length, uint32_t generation);
void memory_keep(const uint8_t *key, size_t key_length, const uint8_t *octets, size_t length, uint32_t generation);

#endif
