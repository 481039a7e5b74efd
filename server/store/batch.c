/* batch.c: changes of records within a batch, and taking them back.
 *
 *     first touch   before-image -> batch.images, TOUCHED
 *     each change   indexes are told (before, after), then the record is overwritten
 *     undo          backwards: indexes are told (now, before), the image is put back
 *
 * A removed record keeps its slot until the batch is over, and on LMDB until the sweep has deleted its row. */
#include <assert.h>
#include <string.h>

#include "server/store/internal.h"
#include "server/store/memory.h"

static void
touch_first(struct store *store, const struct table_kind *kind, const struct table_near *place)
{
    struct batch *batch = &store->batch;
    bool had = (*place->flags & TABLE_PRESENT) != 0;

    *place->flags |= TABLE_TOUCHED;
    batch->touched = store_grow(batch->touched, &batch->touched_room, batch->touched_count + 1, sizeof *batch->touched);
    batch->touched[batch->touched_count++] =
        (struct batch_touch){.slot = place->slot, .table = kind->number, .had = had, .image = batch->image_bytes};
    if (had) {
        batch->images = store_grow(batch->images, &batch->image_room, batch->image_bytes + kind->record_size, 1);
        memcpy(batch->images + batch->image_bytes, place->record, kind->record_size);
        batch->image_bytes += kind->record_size;
    }
}

static void
touch(struct store *store, const struct table_kind *kind, const struct table_near *place)
{
    if ((*place->flags & TABLE_TOUCHED) == 0)
        touch_first(store, kind, place);
}

/* One for each table, so that the compiler knows how large its records are. */
static inline __attribute__((always_inline)) void
put_record(struct store *store, unsigned number, const void *record, size_t size)
{
    struct table *table = &store->tables[number];
    const struct table_near *place;
    uint8_t *flags, *now;
    uint64_t key;

    assert(store->batch.open);
    memcpy(&key, record, sizeof key);
    place = table_place(table, key);
    if (place == NULL)
        place = table_take(table, key);
    touch(store, table->kind, place);
    flags = place->flags;
    now = place->record;
    indexes_change(store->indexes, number, (*flags & TABLE_PRESENT) != 0 ? now : NULL, record);
    memmove(now, record, size);
    table->count += (*flags & TABLE_PRESENT) == 0;
    *flags |= TABLE_PRESENT;
}

/* A record that is there, for changing what no index is made of. */
static inline void *
change_record(struct store *store, unsigned number, uint64_t key)
{
    const struct table_near *place = table_place(&store->tables[number], key);

    assert(store->batch.open);
    assert(place != NULL && (*place->flags & TABLE_PRESENT) != 0);
    touch(store, &table_kinds[number], place);
    return place->record;
}

static void
remove_record(struct store *store, unsigned number, uint64_t key)
{
    struct table *table = &store->tables[number];
    const struct table_near *place = table_place(table, key);
    uint8_t *flags;

    assert(store->batch.open);
    assert(place != NULL);
    assert((*place->flags & TABLE_PRESENT) != 0);
    touch(store, table->kind, place);
    flags = place->flags;
    indexes_change(store->indexes, number, place->record, NULL);
    *flags &= (uint8_t)~TABLE_PRESENT;
    table->count--;
}

static void
take_back(struct store *store, const struct batch_touch *touched)
{
    struct table *table = &store->tables[touched->table];
    uint8_t *flags = table_flags(table, touched->slot);
    void *record = table_record(table, touched->slot);
    const void *now = (*flags & TABLE_PRESENT) != 0 ? record : NULL;
    const void *before = touched->had ? store->batch.images + touched->image : NULL;

    if (now != NULL || before != NULL)
        indexes_change(store->indexes, touched->table, now, before);
    if (before != NULL)
        memcpy(record, before, table->kind->record_size);
    table->count += (before != NULL) - (uint64_t)(now != NULL);
    *flags = (uint8_t)((*flags & ~TABLE_PRESENT) | (before != NULL ? TABLE_PRESENT : 0));
}

void
store_batch_over(struct store *store)
{
    struct batch *batch = &store->batch;

    for (size_t at = 0; at < batch->touched_count; at++) {
        struct table *table = &store->tables[batch->touched[at].table];
        uint8_t *flags = table_flags(table, batch->touched[at].slot);

        *flags &= (uint8_t)~TABLE_TOUCHED;
        if ((*flags & (TABLE_PRESENT | TABLE_DIRTY)) == 0)
            table_give_back(table, batch->touched[at].slot);
    }
    batch->touched_count = 0;
    batch->image_bytes = 0;
    batch->open = false;
}

void
store_batch_undo(struct store *store)
{
    for (size_t at = store->batch.touched_count; at-- > 0;)
        take_back(store, &store->batch.touched[at]);
    history_undo(store->history);
    store_batch_over(store);
}

/* --- the typed faces -------------------------------------------------------------------------- */
/* A user's dates, the seats of a date with a note and tickets with a link are scattered, and a usual date has one
 * block; all other keys count up. */
#define IS_DENSE(number)                                                                                               \
    ((number) != STORE_TABLE_OWNED && (number) != STORE_TABLE_NOTE && (number) != STORE_TABLE_BLOCK &&                 \
     (number) != STORE_TABLE_LINK)

const struct table_kind table_kinds[STORE_RECORD_TABLES] = {
#define STORE_TABLE(number, NAME, name, key_field, text)                                                               \
    [number] = {#name, sizeof(struct name##_record), (number), IS_DENSE(number)},
#include "server/store/records.def"
};

#define STORE_TABLE(number, NAME, name, key_field, text)                                                               \
    _Static_assert(offsetof(struct name##_record, key_field) == 0, "a record begins with its key");                    \
    _Static_assert(sizeof(struct name##_record) % 8 == 0, "changes are found in words of eight bytes");                \
    const struct name##_record *store_see_##name(const struct store *store, uint64_t key)                              \
    {                                                                                                                  \
        store->tables[number].reads++;                                                                                 \
        return table_see(&store->tables[number], key);                                                                 \
    }                                                                                                                  \
    bool store_get_##name(const struct store *store, uint64_t key, struct name##_record *out)                          \
    {                                                                                                                  \
        const struct name##_record *record = store_see_##name(store, key);                                             \
                                                                                                                       \
        if (record != NULL)                                                                                            \
            *out = *record;                                                                                            \
        return record != NULL;                                                                                         \
    }                                                                                                                  \
    void store_put_##name(struct store *store, const struct name##_record *record)                                     \
    {                                                                                                                  \
        put_record(store, (number), record, sizeof *record);                                                           \
    }                                                                                                                  \
    void store_remove_##name(struct store *store, uint64_t key)                                                        \
    {                                                                                                                  \
        remove_record(store, (number), key);                                                                           \
    }
#include "server/store/records.def"

struct house_record *
store_change_house(struct store *store)
{
    return change_record(store, STORE_TABLE_HOUSE, 0);
}

struct queue_record *
store_change_queue(struct store *store, uint64_t queue_no)
{
    return change_record(store, STORE_TABLE_QUEUE, queue_no);
}
