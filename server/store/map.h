/* map.h: the one hash table of the store: 64-bit hashes to 64-bit values.
 *
 * A hash may have several values; who stores hashes of longer things checks each candidate. store_mix is a bijection,
 * so a map of mixed 64-bit keys is exact. 16 bytes a slot, at most 3/4 of them in use: 21 to 43 bytes an entry.
 * However large it is, no single call does more than a little work: see map.c. */
#ifndef STORE_MAP_H
#define STORE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map_entry;
struct map {
    struct map_entry *directory; /* 2^depth, by the hash's highest bits; NULL before the first entry */
    unsigned depth;
    uint64_t count;
    uint64_t bytes;
};

static inline uint64_t
store_mix(uint64_t key)
{
    key ^= key >> 32;
    key *= 0xd6e8feb86659fd93u;
    key ^= key >> 32;
    key *= 0xd6e8feb86659fd93u;
    key ^= key >> 32;
    return key;
}

/* Make an empty map ready for so many entries, so that none is moved as they come. It grows beyond them as ever. */
void map_reserve(struct map *map, uint64_t count);

/* Fetch the place of this hash into the processor's cache, without waiting. */
void map_fetch(const struct map *map, uint64_t hash);

/* Adding very many: each waits a few others' time while its cache line comes, instead of everybody waiting for it. */
#define MAP_COMING 16u
struct map_coming {
    struct map *map;
    struct {
        uint64_t hash, value;
    } entry[MAP_COMING];
    uint64_t count; /* ever taken in */
};
void map_add_soon(struct map_coming *coming, uint64_t hash, uint64_t value);
void map_add_rest(struct map_coming *coming); /* none is waiting any more */

/* The values of a hash, one by one: start with {hash}; 0 when there are no more. No change in between. */
struct map_search {
    uint64_t hash;
    uint64_t step;
};
uint64_t map_next(const struct map *map, struct map_search *search);

/* The first value of a hash, or 0. */
uint64_t map_get(const struct map *map, uint64_t hash);
void map_add(struct map *map, uint64_t hash, uint64_t value); /* value is not 0 */
/* Take this very pair out; it must be there. */
void map_remove(struct map *map, uint64_t hash, uint64_t value);
/* Every value, in no order. */
void map_each(const struct map *map, void (*visit)(void *context, uint64_t value), void *context);
void map_free(struct map *map);
uint64_t map_bytes(const struct map *map);

#endif
