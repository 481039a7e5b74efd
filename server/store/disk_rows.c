/* disk_rows.c: see disk_rows.h.
 *
 * Only these cursors may change their tables while they are open: one at the end of a table believes that it is there
 * still. */
#include "server/store/digest.h"
#include "server/store/disk_rows.h"

static int
cursor_of(struct disk_rows *rows, unsigned table, MDB_cursor **cursor)
{
    int error =
        rows->cursor[table] != NULL ? 0 : lmdb_cursor_open(rows->txn, rows->disk->dbi[table], &rows->cursor[table]);

    *cursor = rows->cursor[table];
    return error;
}

int
disk_rows_put(struct disk_rows *rows, unsigned table, uint64_t number, const void *bytes, size_t size, unsigned flags,
              uint64_t *check)
{
    MDB_val key = {sizeof number, &number}, value = {.mv_size = size + DISK_CHECK_SIZE};
    MDB_cursor *cursor;
    int error = cursor_of(rows, table, &cursor);

    if (error == 0)
        error = lmdb_cursor_put(cursor, &key, &value, flags | MDB_RESERVE);
    if (error != 0)
        return error;
    *check = digest_check(table, number, bytes, size);
    disk_fill_value(&value, bytes, size, *check);
    return 0;
}

int
disk_rows_take(struct disk_rows *rows, unsigned table, uint64_t number, uint64_t *check)
{
    MDB_val key = {sizeof number, &number}, value;
    MDB_cursor *cursor;
    int error = cursor_of(rows, table, &cursor);

    *check = 0;
    if (error == 0)
        error = lmdb_cursor_get(cursor, &key, &value, MDB_SET);
    if (error != 0)
        return error == MDB_NOTFOUND ? 0 : error;
    *check = disk_check_of(&value);
    return lmdb_cursor_del(cursor);
}

/* Rows of history count up, but for the ends of reservations; records stand anywhere. */
static unsigned
flags_of(unsigned table)
{
    if (table < HISTORY_FIRST)
        return 0;
    return table == STORE_TABLE_ENDED ? MDB_NOOVERWRITE : MDB_APPEND;
}

int
disk_rows_put_kept(struct disk_rows *rows, const uint8_t *data, size_t size)
{
    int error = 0;

    while (error == 0 && size > 0) {
        struct kept kept;
        uint64_t check;

        if (size < sizeof kept)
            return MDB_CORRUPTED;
        memcpy(&kept, data, sizeof kept);
        data += sizeof kept;
        size -= sizeof kept;
        bool known =
            kept.table > 0 && kept.table < HISTORY_FIRST + HISTORY_TABLES && disk_table_name(kept.table) != NULL;
        size_t bytes = kept.size == KEPT_GOES ? 0 : kept.size;
        if (!known || bytes > size)
            return MDB_CORRUPTED;
        error = kept.size == KEPT_GOES
                    ? disk_rows_take(rows, kept.table, kept.key, &check)
                    : disk_rows_put(rows, kept.table, kept.key, data, bytes, flags_of(kept.table), &check);
        data += bytes;
        size -= bytes;
    }
    return error;
}

int
disk_rows_put_all(struct disk *disk, MDB_txn *txn, const uint8_t *data, size_t size)
{
    struct disk_rows rows = {disk, txn, {NULL}};
    int error = disk_rows_put_kept(&rows, data, size);

    disk_rows_close(&rows);
    return error;
}

void
disk_rows_close(struct disk_rows *rows)
{
    for (unsigned table = 0; table < DISK_TABLES; table++) {
        if (rows->cursor[table] != NULL)
            mdb_cursor_close(rows->cursor[table]);
        rows->cursor[table] = NULL;
    }
}
