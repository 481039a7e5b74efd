/* table.c: records in chunks that never move, found by their key.
 *
 *     sparse  map: key -> slot
 *     dense   map: key / 1024 -> page of 1,024 slots: 4 bytes a key instead of some 30, the map so small that it stays in
 *             the cache, and neighbours share cache lines
 *     chunks: |record|record|...|  |record|...      flags: one byte a slot
 *
 * What a batch, a sweep or an index makes of a slot is not known here. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/memory.h"
#include "server/store/table.h"

#define TABLE_CHUNK_BYTES 262144u
#define PAGE_KEYS         1024u


struct table_page {
    uint32_t count;
    uint32_t *slot; /* of each key, and 1; 0: none */
};
#define PAGE_BYTES (PAGE_KEYS * sizeof(uint32_t))

void
table_open(struct table *table, const struct table_kind *kind)
{
    *table = (struct table){.kind = kind, .near = store_allocate(1, sizeof(struct table_near))};
    while ((kind->record_size << (table->chunk_shift + 1)) <= TABLE_CHUNK_BYTES)
        table->chunk_shift++;
}

static size_t
chunk_bytes(const struct table *table)
{
    return table->kind->record_size << table->chunk_shift;
}

static void
free_page(void *context, uint64_t page)
{
    struct table_page *given = (struct table_page *)(uintptr_t)page;

    (void)context;
    store_free_large(given->slot, PAGE_BYTES);
    free(given);
}

void
table_close(struct table *table)
{
    uint32_t chunks = (table->slot_count + (1u << table->chunk_shift) - 1) >> table->chunk_shift;

    for (uint32_t chunk = 0; chunk < chunks; chunk++) {
        store_free_large(table->chunks[chunk], chunk_bytes(table));
        store_free_large(table->flags[chunk], (size_t)1 << table->chunk_shift);
    }
    free(table->chunks);
    free(table->flags);
    free(table->free_slots);
    free(table->near);
    if (table->kind->dense)
        map_each(&table->map, free_page, NULL);
    map_free(&table->map);
}

uint64_t
table_bytes(const struct table *table)
{
    uint64_t chunks = (table->slot_count + (1u << table->chunk_shift) - 1) >> table->chunk_shift;

    return (chunks << table->chunk_shift) * (table->kind->record_size + 1) + map_bytes(&table->map) +
           table->page_count * (sizeof(struct table_page) + PAGE_BYTES) + table->free_room * sizeof *table->free_slots;
}

uint64_t
table_key(const struct table *table, uint32_t slot)
{
    uint64_t key;

    memcpy(&key, table_record(table, slot), sizeof key);
    return key;
}

/* --- from key to slot ------------------------------------------------------------------------- */
static struct table_page *
page_of(const struct table *table, uint64_t key)
{
    struct table_near *near = table->near;
    uint64_t number = key / PAGE_KEYS;

    if (near->page == NULL || near->page_number != number) {
        near->page = (struct table_page *)(uintptr_t)map_get(&table->map, store_mix(number));
        near->page_number = number;
    }
    return near->page;
}

static const struct table_near *
look_at(const struct table *table, uint64_t key, uint32_t slot)
{
    struct table_near *near = table->near;

    near->key = key;
    near->slot = slot;
    near->record = table_record(table, slot);
    near->flags = table_flags(table, slot);
    return near;
}

const struct table_near *
table_search(const struct table *table, uint64_t key)
{
    uint64_t value;

    if (table->kind->dense) {
        const struct table_page *page = page_of(table, key);

        value = page == NULL ? 0 : page->slot[key % PAGE_KEYS];
    } else {
        value = map_get(&table->map, store_mix(key));
    }
    return value == 0 ? NULL : look_at(table, key, (uint32_t)(value - 1));
}

static void
remember_slot(struct table *table, uint64_t key, uint32_t slot)
{
    struct table_page *page;

    if (!table->kind->dense) {
        map_add(&table->map, store_mix(key), (uint64_t)slot + 1);
        return;
    }
    page = page_of(table, key);
    if (page == NULL) {
        page = store_allocate(1, sizeof *page);
        page->slot = store_allocate_large(PAGE_BYTES);
        map_add(&table->map, store_mix(key / PAGE_KEYS), (uint64_t)(uintptr_t)page);
        table->page_count++;
    }
    assert(page->slot[key % PAGE_KEYS] == 0);
    page->slot[key % PAGE_KEYS] = slot + 1;
    page->count++;
}

static void
forget_slot(struct table *table, uint64_t key, uint32_t slot)
{
    struct table_page *page;

    if (table->near->key == key)
        table->near->record = NULL;
    if (!table->kind->dense) {
        map_remove(&table->map, store_mix(key), (uint64_t)slot + 1);
        return;
    }
    page = page_of(table, key);
    assert(page->slot[key % PAGE_KEYS] == slot + 1);
    page->slot[key % PAGE_KEYS] = 0;
    if (--page->count > 0)
        return;
    map_remove(&table->map, store_mix(key / PAGE_KEYS), (uint64_t)(uintptr_t)page);
    table->near->page = NULL;
    free_page(NULL, (uint64_t)(uintptr_t)page);
    table->page_count--;
}

/* --- slots -------------------------------------------------------------------------------------- */
const struct table_near *
table_take(struct table *table, uint64_t key)
{
    const struct table_near *place;
    uint32_t slot;

    if (table->free_count > 0) {
        slot = table->free_slots[--table->free_count];
    } else {
        size_t chunk = table->slot_count >> table->chunk_shift;

        assert(table->slot_count < TABLE_NO_SLOT);
        slot = table->slot_count;
        if ((slot & ((1u << table->chunk_shift) - 1)) == 0) {
            table->chunks = store_grow(table->chunks, &table->chunks_room, chunk + 1, sizeof *table->chunks);
            table->flags = store_grow(table->flags, &table->flags_room, chunk + 1, sizeof *table->flags);
            table->chunks[chunk] = store_allocate_large(chunk_bytes(table));
            table->flags[chunk] = store_allocate_large((size_t)1 << table->chunk_shift);
        }
        table->slot_count++;
    }
    remember_slot(table, key, slot);
    place = look_at(table, key, slot);
    memset(place->record, 0, table->kind->record_size);
    memcpy(place->record, &key, sizeof key);
    *place->flags = 0;
    return place;
}

void
table_give_back(struct table *table, uint32_t slot)
{
    assert((*table_flags(table, slot) & TABLE_PRESENT) == 0);
    forget_slot(table, table_key(table, slot), slot);
    *table_flags(table, slot) = 0;
    table->free_slots =
        store_grow(table->free_slots, &table->free_room, table->free_count + 1, sizeof *table->free_slots);
    table->free_slots[table->free_count++] = slot;
}

static const void *
fetch_record(const struct table *table, uint64_t value, size_t most)
{
    size_t size = table->kind->record_size < most ? table->kind->record_size : most;
    const uint8_t *record;

    if (value == 0)
        return NULL;
    record = table_record(table, (uint32_t)(value - 1));
    __builtin_prefetch(table_flags(table, (uint32_t)(value - 1)), 1);
    for (size_t at = 0; at < size; at += STORE_LINE)
        __builtin_prefetch(record + at, 1);
    __builtin_prefetch(record + size - 1, 1); /* it may lie across one more */
    return record;
}

const void *
table_fetch(const struct table *table, uint64_t key, unsigned step, size_t most)
{
    const struct table_page *page;

    if (!table->kind->dense) {
        if (step > 0)
            return fetch_record(table, map_get(&table->map, store_mix(key)), most);
        map_fetch(&table->map, store_mix(key));
        return NULL;
    }
    page = (const struct table_page *)(uintptr_t)map_get(&table->map, store_mix(key / PAGE_KEYS));
    if (page == NULL)
        return NULL;
    if (step > 0)
        return fetch_record(table, page->slot[key % PAGE_KEYS], most);
    __builtin_prefetch(&page->slot[key % PAGE_KEYS], 1);
    return NULL;
}
