/* disk_rows.c: see disk_rows.h.
 *
 * Only these cursors may change their tables while they are open: one at the end of a table believes that it is there
 * still. */
#include "server/store/digest.h"
#include "server/store/disk_rows.h"

static int
cursor_of(struct disk_rows *rows, unsigned table, MDB_cursor **cursor)
{
    int error = rows->cursor[table] != NULL ? 0
                                            : lmdb_cursor_open(rows->txn, rows->disk->dbi[table], &rows->cursor[table]);

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

void
disk_rows_close(struct disk_rows *rows)
{
    for (unsigned table = 0; table < DISK_TABLES; table++) {
        if (rows->cursor[table] != NULL)
            mdb_cursor_close(rows->cursor[table]);
        rows->cursor[table] = NULL;
    }
}
