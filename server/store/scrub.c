/* scrub.c: looking over records and rows in quiet moments, a slice at a time, round after round.
 *
 *     records   slot by slot: a clean record is its row, byte for byte, check and all. What the slots sum up to at the
 *               table's end is the table's digest, so a record that is not written back yet is looked after as well:
 *               changes to slots that were gone over go into the sum with the commit that makes them (digest_add)
 *     rows      history, journal and the consumer's table, key by key: the check fits
 *
 * A difference is a flipped bit, of memory or disk, or a mistake of ours. Whichever it is, this instance must not go
 * on: it would write what it believes. The store is unsound from then on. */
#include <assert.h>
#include <string.h>

#include "server/store/digest.h"
#include "server/store/disk.h"

/* --- records ---------------------------------------------------------------------------------- */
static void
differs(struct store *store, const struct table *table, uint64_t key, const char *what)
{
    store_is_unsound(store, "%s: table %s, key %llu: %s; start again, and run usherd check", store->disk->file,
                     table->kind->name, (unsigned long long)key, what);
}

static void
compare_row(struct store *store, MDB_txn *txn, const struct table *table, uint32_t slot)
{
    unsigned number = table->kind->number;
    uint64_t numeric = table_key(table, slot);
    MDB_val key = {sizeof numeric, &numeric}, value;
    int error = lmdb_get(txn, store->disk->dbi[number], &key, &value);
    size_t size;

    if (error == MDB_NOTFOUND)
        differs(store, table, numeric, "the record in memory has no row on the disk");
    else if (error != 0)
        disk_fail(store, error, table->kind->name);
    else if (!disk_value_good(number, &key, &value, &size))
        differs(store, table, numeric, "the row on the disk is damaged: its check does not fit");
    else if (size != table->kind->record_size || memcmp(value.mv_data, table_record(table, slot), size) != 0)
        differs(store, table, numeric, "the record in memory is not what was written to the disk");
}

static bool
is_clean(const struct table *table, uint32_t slot)
{
    return (*table_flags(table, slot) & (TABLE_PRESENT | TABLE_DIRTY)) == TABLE_PRESENT;
}

static bool
is_in_trouble(const struct store *store)
{
    return store->unsound[0] != '\0' || store->trouble->status != STORE_OK;
}

/* Go on in this table; returns how many slots were looked at. */
static uint32_t
scrub_records(struct store *store, MDB_txn *txn, struct table *table, uint32_t most)
{
    uint32_t count = 0;

    while (count < most && table->scrub_slot < table->slot_count) {
        if (txn != NULL && is_clean(table, table->scrub_slot))
            compare_row(store, txn, table, table->scrub_slot);
        if (is_in_trouble(store))
            return count;
        table->scrub_digest += digest_of_slot(table, table->scrub_slot++);
        count++;
    }
    if (table->scrub_slot < table->slot_count)
        return count;
    if (table->scrub_digest != table->digest)
        store_is_unsound(store, "table %s: its records in memory have changed without a commit; start again",
                         table->kind->name);
    table->scrub_slot = 0;
    table->scrub_digest = 0;
    store->scrub.table++;
    return count;
}

/* --- rows ------------------------------------------------------------------------------------- */
/* The first row after the last one that was looked at. */
static int
find_next_row(const struct scrub *scrub, MDB_cursor *cursor, MDB_val *key, MDB_val *value)
{
    int error;

    if (scrub->key_size == 0)
        return lmdb_cursor_get(cursor, key, value, MDB_FIRST);
    *key = (MDB_val){scrub->key_size, (void *)(uintptr_t)scrub->key};
    error = lmdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
    if (error == 0 && key->mv_size == scrub->key_size && memcmp(key->mv_data, scrub->key, key->mv_size) == 0)
        error = lmdb_cursor_get(cursor, key, value, MDB_NEXT);
    return error;
}

static void
check_row(struct store *store, const MDB_val *key, const MDB_val *value)
{
    struct scrub *scrub = &store->scrub;
    uint64_t number = 0;
    size_t size;

    if (key->mv_size == sizeof number)
        memcpy(&number, key->mv_data, sizeof number);
    if (key->mv_size > sizeof scrub->key || !disk_value_good(scrub->table, key, value, &size)) {
        store_is_unsound(store, "%s: table %s, key %llu: the check does not fit; stop every usherd, run usherd check",
                         store->disk->file, disk_table_name(scrub->table), (unsigned long long)number);
        return;
    }
    scrub->key_size = key->mv_size;
    memcpy(scrub->key, key->mv_data, key->mv_size);
}

static uint32_t
scrub_rows(struct store *store, MDB_txn *txn, uint32_t most)
{
    struct scrub *scrub = &store->scrub;
    MDB_cursor *cursor;
    MDB_val key, value;
    uint32_t count = 0;
    int error = lmdb_cursor_open(txn, store->disk->dbi[scrub->table], &cursor);

    if (error == 0) {
        error = find_next_row(scrub, cursor, &key, &value);
        while (error == 0 && count < most) {
            check_row(store, &key, &value);
            if (is_in_trouble(store))
                break;
            count++;
            error = lmdb_cursor_get(cursor, &key, &value, MDB_NEXT);
        }
        mdb_cursor_close(cursor);
    }
    if (error == MDB_NOTFOUND) {
        scrub->table++;
        scrub->key_size = 0;
    } else if (error != 0) {
        disk_fail(store, error, disk_table_name(scrub->table));
    }
    return count;
}

/* --- a slice ---------------------------------------------------------------------------------- */
static void
scrub_slice(struct store *store, MDB_txn *txn, uint32_t most)
{
    struct scrub *scrub = &store->scrub;

    while (most > 0 && scrub->table < DISK_TABLES && !is_in_trouble(store)) {
        if (scrub->table > 0 && scrub->table < STORE_RECORD_TABLES)
            most -= scrub_records(store, txn, &store->tables[scrub->table], most);
        else if (txn != NULL && disk_table_name(scrub->table) != NULL)
            most -= scrub_rows(store, txn, most);
        else
            scrub->table++;
    }
}

bool
store_scrub(struct store *store, uint32_t most)
{
    MDB_txn *txn = NULL;

    assert(!store->batch.open);
    store_no_fault(store);
    if (store->disk != NULL) {
        txn = disk_read_begin(store);
        if (txn == NULL)
            return false;
    }
    /* In one picture: what other instances have written back is followed before it is compared. */
    if (txn == NULL || disk_follow(store, txn))
        scrub_slice(store, txn, most);
    if (txn != NULL)
        disk_read_end(store, txn);
    if (store->scrub.table < DISK_TABLES)
        return false;
    store->scrub.table = 0;
    return !is_in_trouble(store);
}

void
store_flip_bit(struct store *store, enum store_table number, uint64_t key, uint32_t bit)
{
    struct table *table = &store->tables[number];
    uint32_t slot = table_find(table, key);

    assert(slot != TABLE_NO_SLOT);
    assert(bit / 8 < table->kind->record_size);
    table_record(table, slot)[bit / 8] ^= (uint8_t)(1u << bit % 8);
}
