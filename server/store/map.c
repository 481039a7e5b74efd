/* map.c: linear probing; a removal closes the gap behind it, so there are no tombstones and no slow decay. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/map.h"
#include "server/store/memory.h"

#define MAP_SLOTS_LEAST 16u

uint64_t
map_next(const struct map *map, struct map_search *search)
{
    if (map->slots == NULL)
        return 0;
    for (;;) {
        const struct map_slot *slot = &map->slots[(search->hash + search->step) & map->mask];

        if (slot->value == 0)
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

static void
map_place(struct map *map, uint64_t hash, uint64_t value)
{
    uint64_t at = hash & map->mask;

    while (map->slots[at].value != 0)
        at = (at + 1) & map->mask;
    map->slots[at] = (struct map_slot){hash, value};
}

static void
map_resize(struct map *map, uint64_t slots)
{
    struct map old = *map;

    map->slots = store_allocate(slots, sizeof *map->slots);
    map->mask = slots - 1;
    for (uint64_t at = 0; old.slots != NULL && at <= old.mask; at++)
        if (old.slots[at].value != 0)
            map_place(map, old.slots[at].hash, old.slots[at].value);
    free(old.slots);
}

void
map_add(struct map *map, uint64_t hash, uint64_t value)
{
    assert(value != 0);
    if (map->slots == NULL)
        map_resize(map, MAP_SLOTS_LEAST);
    else if ((map->count + 1) * 4 > (map->mask + 1) * 3)
        map_resize(map, (map->mask + 1) * 2);
    map_place(map, hash, value);
    map->count++;
}

/* Move later entries of the run into the gap, as far as their home allows. */
static void
map_close_gap(struct map *map, uint64_t gap)
{
    uint64_t at = gap;

    for (;;) {
        at = (at + 1) & map->mask;
        if (map->slots[at].value == 0)
            break;
        if (((at - map->slots[at].hash) & map->mask) >= ((at - gap) & map->mask)) {
            map->slots[gap] = map->slots[at];
            gap = at;
        }
    }
    map->slots[gap].value = 0;
}

void
map_remove(struct map *map, uint64_t hash, uint64_t value)
{
    uint64_t at = hash & map->mask;

    assert(map->count > 0);
    while (map->slots[at].hash != hash || map->slots[at].value != value) {
        assert(map->slots[at].value != 0);
        at = (at + 1) & map->mask;
    }
    map_close_gap(map, at);
    map->count--;
}

void
map_clear(struct map *map)
{
    if (map->count != 0)
        memset(map->slots, 0, (map->mask + 1) * sizeof *map->slots);
    map->count = 0;
}

void
map_free(struct map *map)
{
    free(map->slots);
    *map = (struct map){0};
}

uint64_t
map_bytes(const struct map *map)
{
    return map->slots == NULL ? 0 : (map->mask + 1) * sizeof *map->slots;
}
