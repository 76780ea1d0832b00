/* An open table of answers: a query has a few places where it may be, and takes the one whose answer is out of date, or else another's. */
#include "memory.h"

#include <stdbool.h>
#include <string.h>

enum { PLACES = 4096, REACH = 8 };

static struct answer places[PLACES];

/* After FNV-1a, eight octets at a time where there are so many: it only has to spread, since every find compares the whole key. */
static uint64_t hash_of(const uint8_t *key, size_t length)
{
    const uint64_t prime = 0x100000001b3u;
    uint64_t hash = 0xcbf29ce484222325u ^ length;
    for (; length >= 8; key += 8, length -= 8) {
        uint64_t word;
        memcpy(&word, key, sizeof word);
        hash = (hash ^ word) * prime;
        hash ^= hash >> 29;
    }
    for (; length > 0; key++, length--) hash = (hash ^ *key) * prime;
    return hash ^ hash >> 32;
}

static bool is_of(const struct answer *place, uint64_t hash, const uint8_t *key, size_t length)
{
    return place->hash == hash && place->key_length == length && memcmp(place->key, key, length) == 0;
}

const struct answer *memory_find(const uint8_t *key, size_t length, uint32_t generation)
{
    if (length == 0 || length > KEY_MAX) return NULL;
    uint64_t hash = hash_of(key, length);
    for (size_t i = 0; i < REACH; i++) {
        const struct answer *place = &places[(hash + i) % PLACES];
        if (is_of(place, hash, key, length)) return place->generation == generation ? place : NULL;
    }
    return NULL;
}

void memory_keep(const uint8_t *key, size_t key_length, const uint8_t *octets, size_t length, uint32_t generation)
{
    if (key_length == 0 || key_length > KEY_MAX || length < 12 || length > ANSWER_MAX) return;
    uint64_t hash = hash_of(key, key_length);
    struct answer *chosen = NULL;
    for (size_t i = 0; i < REACH; i++) {
        struct answer *place = &places[(hash + i) % PLACES];
        if (is_of(place, hash, key, key_length)) {
            chosen = place;
            break;
        }
        bool is_free = place->key_length == 0 || place->generation != generation;
        if (is_free && chosen == NULL) chosen = place;
    }
    if (chosen == NULL) chosen = &places[(hash + hash / PLACES % REACH) % PLACES];
    chosen->hash = hash;
    chosen->generation = generation;
    chosen->key_length = (uint16_t)key_length;
    chosen->length = (uint16_t)length;
    memcpy(chosen->key, key, key_length);
    memcpy(chosen->octets, octets, length);
}
