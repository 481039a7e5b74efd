/* map.c: extendible hashing over small open-addressing tables.
 *
 *     segments: [00] [01] [10] [11]      by the highest `depth` bits of the hash
 *                 \   /     |    |
 *               segment  segment segment     each up to 4,096 slots, linear probing by the low bits
 *
 * A full segment is split in two, and only when the directory is too short for that its pointers are doubled. So a map
 * of ten million entries grows by moving a few thousand at a time, and nobody waits while all are moved. A removal
 * closes the gap behind it: no tombstones, no slow decay. Entries stand in the order of their homes, so a search ends
 * where its own would have to be: finding that there is none, which is what a new request id asks, takes 3 slots of a
 * full segment and not 9.
 *
 * Who looks waits for memory once: the directory says where a segment's slots are and how many, so that nothing else of
 * it is read, and no slot lies across two cache lines. */
#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/map.h"
#include "server/store/memory.h"

#define SLOTS_LEAST  16u
#define SLOTS_SPLIT  4096u
#define RESERVE_EACH                                                                                                   \
    2560u                /* entries a segment: with the unevenness of hashes still below the 3,072 at which it splits */
#define ENTRIES_EACH 64u /* of the directory at least, or so many hashes agree that a segment had better grow */

struct map_slot {
    uint64_t hash;
    uint64_t value; /* 0: empty */
};
struct map_segment {
    unsigned depth; /* the highest bits that all its hashes share */
    uint32_t count;
    uint64_t mask; /* slots - 1 */
    struct map_slot *slots;
};
struct map_entry {
    uintptr_t place; /* of the slots; in the lowest bits, which that leaves free, their number as a power of two */
    struct map_segment *segment;
};

static struct map_entry
entry_of(struct map_segment *segment)
{
    return (struct map_entry){(uintptr_t)segment->slots | (unsigned)__builtin_ctzll(segment->mask + 1), segment};
}

static struct map_slot *
slots_at(uintptr_t place)
{
    return (struct map_slot *)(place & ~(uintptr_t)(STORE_LINE - 1));
}

static uint64_t
mask_at(uintptr_t place)
{
    return (UINT64_C(1) << (place & (STORE_LINE - 1))) - 1;
}

static uint64_t
slots_bytes(const struct map_segment *segment)
{
    return (segment->mask + 1) * sizeof *segment->slots;
}

static uint64_t
directory_at(const struct map *map, uint64_t hash)
{
    return map->depth == 0 ? 0 : hash >> (64 - map->depth);
}

static struct map_segment *
segment_new(struct map *map, uint64_t slots, unsigned depth)
{
    struct map_segment *segment = store_allocate(1, sizeof *segment);

    *segment = (struct map_segment){.depth = depth, .mask = slots - 1};
    segment->slots = store_allocate_large(slots_bytes(segment));
    map->bytes += sizeof *segment + slots_bytes(segment);
    return segment;
}

static void
segment_free(struct map *map, struct map_segment *segment)
{
    map->bytes -= sizeof *segment + slots_bytes(segment);
    store_free_large(segment->slots, slots_bytes(segment));
    free(segment);
}

/* How far a hash is from its home when it stands there. */
static uint64_t
distance(uint64_t mask, uint64_t at, uint64_t hash)
{
    return (at - hash) & mask;
}

/* Behind all that have come as far from their homes; the others of the run move on by one. */
static void
segment_place(struct map_segment *segment, struct map_slot slot)
{
    uint64_t mask = segment->mask, at = slot.hash & mask;

    while (segment->slots[at].value != 0 && distance(mask, at, segment->slots[at].hash) >= distance(mask, at, slot.hash))
        at = (at + 1) & mask;
    for (; slot.value != 0; at = (at + 1) & mask) {
        struct map_slot moved = segment->slots[at];

        segment->slots[at] = slot;
        slot = moved;
    }
    segment->count++;
}

/* --- looking ---------------------------------------------------------------------------------- */
uint64_t
map_next(const struct map *map, struct map_search *search)
{
    uintptr_t place;

    if (map->directory == NULL)
        return 0;
    place = map->directory[directory_at(map, search->hash)].place;
    for (;;) {
        const struct map_slot *slot = &slots_at(place)[(search->hash + search->step) & mask_at(place)];

        if (slot->value == 0 || distance(mask_at(place), search->hash + search->step, slot->hash) < search->step)
            return 0;
        search->step++;
        if (slot->hash == search->hash)
            return slot->value;
    }
}

uint64_t
map_get(const struct map *map, uint64_t hash)
{
    struct map_search search = {.hash = hash};

    return map_next(map, &search);
}

/* Segments stand in the directory several times in a row, as many as their missing bits allow. */
static uint64_t
directory_run(const struct map *map, const struct map_segment *segment)
{
    return UINT64_C(1) << (map->depth - segment->depth);
}

void
map_each(const struct map *map, void (*visit)(void *context, uint64_t value), void *context)
{
    for (uint64_t at = 0; map->directory != NULL && at < UINT64_C(1) << map->depth;) {
        const struct map_segment *segment = map->directory[at].segment;

        for (uint64_t slot = 0; slot <= segment->mask; slot++)
            if (segment->slots[slot].value != 0)
                visit(context, segment->slots[slot].value);
        at += directory_run(map, segment);
    }
}

/* --- growing ---------------------------------------------------------------------------------- */
/* Put a segment in the place of another in the directory's run that begins there. */
static void
directory_set(struct map *map, uint64_t from, uint64_t count, struct map_segment *segment)
{
    for (uint64_t at = from; at < from + count; at++)
        map->directory[at] = entry_of(segment);
}

static void
directory_double(struct map *map)
{
    uint64_t entries = UINT64_C(1) << map->depth;
    struct map_entry *doubled = store_allocate(entries * 2, sizeof *doubled);

    for (uint64_t at = 0; at < entries; at++)
        doubled[at * 2] = doubled[at * 2 + 1] = map->directory[at];
    free(map->directory);
    map->directory = doubled;
    map->depth++;
    map->bytes += entries * sizeof *doubled;
}

static void
segment_grow(struct map *map, struct map_segment *old, uint64_t from)
{
    struct map_segment *segment = segment_new(map, (old->mask + 1) * 4, old->depth);

    for (uint64_t at = 0; at <= old->mask; at++)
        if (old->slots[at].value != 0)
            segment_place(segment, old->slots[at]);
    directory_set(map, from, directory_run(map, old), segment);
    segment_free(map, old);
}

static void
segment_split(struct map *map, struct map_segment *old, uint64_t from)
{
    struct map_segment *halves[2];
    uint64_t run = directory_run(map, old) / 2;

    for (unsigned half = 0; half < 2; half++) {
        halves[half] = segment_new(map, old->mask + 1, old->depth + 1);
        directory_set(map, from + half * run, run, halves[half]);
    }
    for (uint64_t at = 0; at <= old->mask; at++)
        if (old->slots[at].value != 0)
            segment_place(halves[old->slots[at].hash >> (63 - old->depth) & 1], old->slots[at]);
    segment_free(map, old);
}

/* Would splitting help? It needs a bit of the directory that tells the halves apart. */
static bool
segment_may_split(const struct map *map, const struct map_segment *segment)
{
    if (segment->mask + 1 < SLOTS_SPLIT)
        return false;
    return segment->depth < map->depth || map->count >> map->depth >= ENTRIES_EACH;
}

/* The segment of this hash, with room for one more. */
static struct map_segment *
segment_with_room(struct map *map, uint64_t hash)
{
    for (;;) {
        struct map_segment *segment = map->directory[directory_at(map, hash)].segment;
        bool split = segment_may_split(map, segment);
        uint64_t from;

        if ((segment->count + UINT64_C(1)) * 4 <= (segment->mask + 1) * 3)
            return segment;
        if (split && segment->depth == map->depth)
            directory_double(map);
        from = directory_at(map, hash) & ~(directory_run(map, segment) - 1);
        if (split)
            segment_split(map, segment, from);
        else
            segment_grow(map, segment, from);
    }
}

void
map_add(struct map *map, uint64_t hash, uint64_t value)
{
    assert(value != 0);
    if (map->directory == NULL) {
        map->directory = store_allocate(1, sizeof *map->directory);
        map->bytes = sizeof *map->directory;
        map->directory[0] = entry_of(segment_new(map, SLOTS_LEAST, 0));
    }
    segment_place(segment_with_room(map, hash), (struct map_slot){hash, value});
    map->count++;
}

void
map_reserve(struct map *map, uint64_t count)
{
    unsigned depth = 0;

    if (map->directory != NULL || count <= RESERVE_EACH)
        return;
    while (count >> depth > RESERVE_EACH)
        depth++;
    map->depth = depth;
    map->directory = store_allocate((size_t)1 << depth, sizeof *map->directory);
    map->bytes = sizeof *map->directory << depth;
    for (uint64_t at = 0; at < UINT64_C(1) << depth; at++)
        map->directory[at] = entry_of(segment_new(map, SLOTS_SPLIT, depth));
}

void
map_fetch(const struct map *map, uint64_t hash)
{
    if (map->directory != NULL) {
        uintptr_t place = map->directory[directory_at(map, hash)].place;

        __builtin_prefetch(&slots_at(place)[hash & mask_at(place)], 1);
    }
}

void
map_add_soon(struct map_coming *coming, uint64_t hash, uint64_t value)
{
    unsigned at = coming->count++ % MAP_COMING;

    map_fetch(coming->map, hash);
    if (coming->count > MAP_COMING)
        map_add(coming->map, coming->entry[at].hash, coming->entry[at].value);
    coming->entry[at].hash = hash;
    coming->entry[at].value = value;
}

void
map_add_rest(struct map_coming *coming)
{
    uint64_t waiting = coming->count < MAP_COMING ? coming->count : MAP_COMING;

    for (uint64_t at = 0; at < waiting; at++)
        map_add(coming->map, coming->entry[at].hash, coming->entry[at].value);
    coming->count = 0;
}

/* --- removing --------------------------------------------------------------------------------- */
/* Later entries of the run move back by one, up to the first that is at home. */
static void
segment_close_gap(struct map_segment *segment, uint64_t gap)
{
    uint64_t mask = segment->mask;

    for (;;) {
        const struct map_slot *next = &segment->slots[(gap + 1) & mask];

        if (next->value == 0 || distance(mask, gap + 1, next->hash) == 0)
            break;
        segment->slots[gap] = *next;
        gap = (gap + 1) & mask;
    }
    segment->slots[gap].value = 0;
}

void
map_remove(struct map *map, uint64_t hash, uint64_t value)
{
    struct map_segment *segment;
    uint64_t at;

    assert(map->count > 0);
    segment = map->directory[directory_at(map, hash)].segment;
    at = hash & segment->mask;
    while (segment->slots[at].hash != hash || segment->slots[at].value != value) {
        assert(segment->slots[at].value != 0);
        at = (at + 1) & segment->mask;
    }
    segment_close_gap(segment, at);
    segment->count--;
    map->count--;
}

void
map_free(struct map *map)
{
    for (uint64_t at = 0; map->directory != NULL && at < UINT64_C(1) << map->depth;) {
        struct map_segment *segment = map->directory[at].segment;

        at += directory_run(map, segment);
        segment_free(map, segment);
    }
    free(map->directory);
    *map = (struct map){0};
}

uint64_t
map_bytes(const struct map *map)
{
    return map->bytes;
}
