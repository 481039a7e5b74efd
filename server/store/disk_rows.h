/* disk_rows.h: many rows into LMDB in one transaction. Each table has a cursor that stays where the last row went, so
 * that rows in the order of their keys don't look for their page from the root each. */
#ifndef STORE_DISK_ROWS_H
#define STORE_DISK_ROWS_H

#include "server/store/disk.h"

struct disk_rows { /* begins as {disk, txn} */
    struct disk *disk;
    MDB_txn *txn;
    MDB_cursor *cursor[DISK_TABLES]; /* NULL until the table is used */
};

/* Put a value with its check, which is told as well. Returns LMDB's error, like the others. */
int disk_rows_put(struct disk_rows *rows, unsigned table, uint64_t key, const void *bytes, size_t size, unsigned flags,
                  uint64_t *check);
/* Take a row out and tell its check. One that is not there is no error, and its check 0. */
int disk_rows_take(struct disk_rows *rows, unsigned table, uint64_t key, uint64_t *check);
/* Put and take out a run of kept rows (kept.h). MDB_CORRUPTED when it is none. */
int disk_rows_put_kept(struct disk_rows *rows, const uint8_t *data, size_t size);
/* Before the transaction ends, also after an error. */
void disk_rows_close(struct disk_rows *rows);

/* The same for a run alone, from the first to the last of these steps. */
int disk_rows_put_all(struct disk *disk, MDB_txn *txn, const uint8_t *data, size_t size);

#endif
