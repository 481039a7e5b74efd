/* digest.c: see digest.h. */
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "server/store/digest.h"

uint64_t
digest_check(unsigned table, uint64_t key, const void *bytes, size_t size)
{
    return XXH3_64bits_withSeed(bytes, size, store_mix(table + store_mix(key)));
}

uint64_t
digest_of_slot(const struct table *table, uint32_t slot)
{
    const uint8_t *record = table_record(table, slot);
    uint64_t key;

    if ((*table_flags(table, slot) & TABLE_PRESENT) == 0)
        return 0;
    memcpy(&key, record, sizeof key);
    return digest_check(table->kind->number, key, record, table->kind->record_size);
}

/* --- a batch ---------------------------------------------------------------------------------- */
static void
look_at_touch(const struct store *store, struct batch_touch *touched)
{
    const struct table *table = &store->tables[touched->table];
    const uint8_t *before = touched->had ? store->batch.images + touched->image : NULL;
    bool present = (*table_flags(table, touched->slot) & TABLE_PRESENT) != 0;

    touched->changed = before == NULL || !present ? present != touched->had
                                                  : memcmp(before, table_record(table, touched->slot),
                                                           table->kind->record_size) != 0;
    touched->digest_change = touched->changed ? digest_of_slot(table, touched->slot) : 0;
    if (touched->changed && before != NULL)
        touched->digest_change -=
            digest_check(touched->table, table_key(table, touched->slot), before, table->kind->record_size);
}

void
digest_of_batch(struct store *store)
{
    for (size_t at = 0; at < store->batch.touched_count; at++)
        look_at_touch(store, &store->batch.touched[at]);
}

uint64_t
digest_with_batch(const struct store *store)
{
    uint64_t digest = store_digest(store);

    for (size_t at = 0; at < store->batch.touched_count; at++)
        digest += store->batch.touched[at].digest_change;
    return digest;
}

void
digest_settle(struct store *store)
{
    for (size_t at = 0; at < store->batch.touched_count; at++) {
        const struct batch_touch *touched = &store->batch.touched[at];

        digest_add(&store->tables[touched->table], touched->slot, touched->digest_change);
    }
    store->history->digest += store->history->digest_change;
    store->history->digest_change = 0;
}

static uint64_t
check_of_row(const struct history *history, unsigned number, const struct history_row *row)
{
    return digest_check(number, row->key, history_row_bytes(history, row), row->size);
}

/* A row that came and went in this batch counts neither way. */
static uint64_t
change_of_history(const struct history *history, unsigned index)
{
    const struct history_table *table = &history->table[index];
    unsigned number = HISTORY_FIRST + index;
    uint64_t change = 0;

    for (size_t at = table->batch; at < table->count; at++)
        if (!table->rows[at].gone)
            change += check_of_row(history, number, &table->rows[at]);
    for (size_t at = 0; at < table->dropped_count; at++)
        if (table->dropped[at].row < table->batch) /* not HISTORY_NO_ROW either */
            change -= check_of_row(history, number, &table->rows[table->dropped[at].row]);
    return change;
}

void
digest_of_history(struct store *store)
{
    store->history->digest_change = 0;
    for (unsigned index = 0; index < HISTORY_TABLES; index++)
        store->history->digest_change += change_of_history(store->history, index);
}

/* --- all of it -------------------------------------------------------------------------------- */
uint64_t
store_digest(const struct store *store)
{
    uint64_t digest = 0;

    for (unsigned number = 1; number < STORE_RECORD_TABLES; number++)
        digest += store->tables[number].digest;
    return digest;
}

uint64_t
store_history_digest(const struct store *store)
{
    return store->history->digest;
}

uint64_t
store_digest_recount(const struct store *store)
{
    uint64_t digest = 0;

    for (unsigned number = 1; number < STORE_RECORD_TABLES; number++)
        for (uint32_t slot = 0; slot < store->tables[number].slot_count; slot++)
            digest += digest_of_slot(&store->tables[number], slot);
    return digest;
}
