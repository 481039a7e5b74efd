/* disk_digest.c: the digests of records and history in the meta table, written with every batch.
 *
 * The row belongs to the meta row's position. It lies in a row of its own, so stores that were made before there was
 * one are as good as others: their first batch counts the history once and writes it. */
#include <inttypes.h>

#include "server/store/digest.h"
#include "server/store/disk.h"

/* The sum of the checks that stand behind a table's values. */
static int
add_checks(const struct disk *disk, MDB_txn *txn, unsigned table, uint64_t *sum)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    int error = lmdb_cursor_open(txn, disk->dbi[table], &cursor);

    if (error != 0)
        return error;
    while ((error = lmdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
        *sum += disk_check_of(&value);
    mdb_cursor_close(cursor);
    return error == MDB_NOTFOUND ? 0 : error;
}

int
disk_digest_recount_history(const struct disk *disk, MDB_txn *txn, uint64_t *sum)
{
    int error = 0;

    *sum = 0;
    for (unsigned index = 0; error == 0 && index < HISTORY_TABLES; index++)
        error = add_checks(disk, txn, HISTORY_FIRST + index, sum);
    return error;
}

int
disk_digest_follow(struct store *store, MDB_txn *txn)
{
    struct disk *disk = store->disk;
    struct disk_digest row;
    int error = disk_get(disk, txn, DISK_META, DISK_META_DIGEST, &row, sizeof row);

    if (error == MDB_NOTFOUND)
        return store->history->digest != 0 ? 0 : disk_digest_recount_history(disk, txn, &store->history->digest);
    if (error != 0)
        return error;
    store->history->digest = row.history;
    if (row.position != store->position || row.records != store_digest(store))
        store_is_unsound(store,
                         "%s: the records of this instance at position %" PRIu64 " have the digest %016" PRIx64
                         ", but who wrote position %" PRIu64 " had %016" PRIx64
                         "; memory, disk or program is at fault: start again, and run usherd check",
                         disk->file, store->position, store_digest(store), row.position, row.records);
    return 0;
}

int
disk_digest_write(struct store *store, MDB_txn *txn, uint64_t position)
{
    const struct disk_digest row = {.position = position,
                                    .records = digest_with_batch(store),
                                    .history = store->history->digest + store->history->digest_change};

    return disk_put_number(store->disk, txn, DISK_META, DISK_META_DIGEST, &row, sizeof row, 0);
}

int
disk_digest_forget(struct disk *disk, MDB_txn *txn)
{
    int error = disk_del_number(disk, txn, DISK_META, DISK_META_DIGEST);

    return error == MDB_NOTFOUND ? 0 : error;
}
