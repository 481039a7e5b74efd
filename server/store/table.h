/* table.h: one table of fixed-size records in memory, keyed by the 64-bit number that each record begins with. */
#ifndef STORE_TABLE_H
#define STORE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/store/map.h"

enum table_flag {
    TABLE_PRESENT = 1, /* there is such a record; without it the slot only remembers a removal */
    TABLE_TOUCHED = 2, /* changed in the present batch: its before-image is kept */
    TABLE_EVEN = 4,    /* the row on the disk may be older: the key is in one of the sweep's two lists, or in both; */
    TABLE_ODD = 8,     /* which of the two is which changes with each pass */
    TABLE_DIRTY = TABLE_EVEN | TABLE_ODD
};

struct table_kind {
    const char *name;
    size_t record_size;
    uint8_t number;
    bool dense; /* keys come in runs, so slots are found by pages of neighbouring keys */
};

/* Where a table has looked last: a command looks at the same few records again and again. */
struct table_page;
struct table_near {
    uint64_t key; /* of this slot */
    uint8_t *record; /* NULL for none */
    uint8_t *flags;
    uint32_t slot;
    uint64_t page_number; /* of a dense table */
    struct table_page *page; /* NULL for none */
};
struct table {
    const struct table_kind *kind;
    /* Sparse: store_mix(key) -> slot + 1. Dense: store_mix(key / keys of a page) -> struct table_page *. */
    struct map map;
    uint64_t page_count;
    struct table_near *near;
    uint8_t **chunks;
    uint8_t **flags; /* for each chunk, for each slot */
    size_t chunks_room, flags_room;
    unsigned chunk_shift; /* slots a chunk, as a power of two */
    uint32_t slot_count;
    uint32_t *free_slots;
    size_t free_count, free_room;
    uint64_t count; /* records present */
    uint64_t reads;
    uint64_t digest;       /* the sum of the records' checks as of the last commit; digest.h */
    uint32_t scrub_slot;   /* the scrub has gone over the slots before this one, */
    uint64_t scrub_digest; /* and this is what it summed up there */
};

#define TABLE_NO_SLOT UINT32_MAX

void table_open(struct table *table, const struct table_kind *kind);
void table_close(struct table *table);
uint64_t table_bytes(const struct table *table);

/* A record's place never moves while it has its slot. NULL if the key has none; else good until the next search. */
const struct table_near *table_search(const struct table *table, uint64_t key);
static inline const struct table_near *
table_place(const struct table *table, uint64_t key)
{
    const struct table_near *near = table->near;

    return near->key == key && near->record != NULL ? near : table_search(table, key);
}
static inline uint32_t
table_find(const struct table *table, uint64_t key)
{
    const struct table_near *place = table_place(table, key);

    return place == NULL ? TABLE_NO_SLOT : place->slot;
}
/* A new slot; not PRESENT, the key set, the rest zero. */
const struct table_near *table_take(struct table *table, uint64_t key);
void table_give_back(struct table *table, uint32_t slot);

static inline uint8_t *
table_record(const struct table *table, uint32_t slot)
{
    uint32_t within = slot & ((1u << table->chunk_shift) - 1);

    return table->chunks[slot >> table->chunk_shift] + (size_t)within * table->kind->record_size;
}

static inline uint8_t *
table_flags(const struct table *table, uint32_t slot)
{
    return &table->flags[slot >> table->chunk_shift][slot & ((1u << table->chunk_shift) - 1)];
}

uint64_t table_key(const struct table *table, uint32_t slot);

/* The record if there is one, else NULL. */
static inline const void *
table_see(const struct table *table, uint64_t key)
{
    const struct table_near *place = table_place(table, key);

    return place == NULL || (*place->flags & TABLE_PRESENT) == 0 ? NULL : place->record;
}

/* Fetch the way to a record into the processor's cache, a step of TABLE_STEPS a call and without waiting: the second looks
 * at what the first has fetched. Of the record so many bytes come, at most TABLE_FETCH_MOST. Returns it in the step that
 * fetches it, else NULL. */
#define TABLE_STEPS      2u
#define TABLE_FETCH_MOST 640u
const void *table_fetch(const struct table *table, uint64_t key, unsigned step, size_t most);

#endif
