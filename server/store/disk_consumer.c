/* disk_consumer.c: the history consumer on LMDB (B2). It runs in a thread of its own beside the store's owner: it reads
 * what is committed, never records in memory, and writes its rows and its cursor in one transaction of its own. So it
 * can stop, fail or be killed anywhere: the cursor tells exactly what has been taken in.
 *
 *     history: user_no u64, event_no u64, index u16, all big-endian -> history_record, check
 *     meta:    DISK_META_CONSUMER -> cursor u64, check */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/consumer.h"
#include "server/store/disk.h"

#define HISTORY_KEY_SIZE 18u

static void
history_key(uint8_t key[HISTORY_KEY_SIZE], uint64_t user_no, uint64_t event_no, uint16_t index)
{
    for (unsigned byte = 0; byte < 8; byte++) {
        key[byte] = (uint8_t)(user_no >> (56 - 8 * byte));
        key[8 + byte] = (uint8_t)(event_no >> (56 - 8 * byte));
    }
    key[16] = (uint8_t)(index >> 8);
    key[17] = (uint8_t)index;
}

static int
read_cursor(const struct disk *disk, MDB_txn *txn, uint64_t *cursor)
{
    int error = disk_get(disk, txn, DISK_META, DISK_META_CONSUMER, cursor, sizeof *cursor);

    if (error == MDB_NOTFOUND)
        *cursor = 0;
    return error == MDB_NOTFOUND ? 0 : error;
}

/* A row of the history tables; MDB_CORRUPTED when it is not what it should be. */
static int
read_row(const struct disk *disk, MDB_txn *txn, unsigned index, uint64_t number, void *out)
{
    MDB_val key = {sizeof number, &number}, value;
    size_t size;
    int error = lmdb_get(txn, disk->dbi[HISTORY_FIRST + index], &key, &value);

    if (error != 0)
        return error;
    return disk_value_good(HISTORY_FIRST + index, &key, &value, &size) && history_fill(index, value.mv_data, size, out)
               ? 0
               : MDB_CORRUPTED;
}

/* --- a step ----------------------------------------------------------------------------------- */
struct intake {
    uint64_t before, cursor; /* what has been taken in, and what will have been */
    struct bytes rows;       /* struct history_record, one after another */
};

static int
take_event(const struct disk *disk, MDB_txn *txn, struct intake *intake, const struct event_row *event)
{
    struct history_record rows[PAYMENT_SEATS_MOST];
    struct payment_row payment;
    struct refund_row refund;
    size_t count = 0;
    int error = 0;

    if (event->kind == USHER_EVENT_PAID) {
        error = read_row(disk, txn, HISTORY_INDEX_PAYMENT, event->payment_id, &payment);
        if (error == 0)
            count = consumer_rows_of_payment(event, &payment, rows);
    } else if (event->kind == USHER_EVENT_REFUNDED) {
        error = read_row(disk, txn, HISTORY_INDEX_REFUND, event->refund_id, &refund);
        if (error == 0)
            count = consumer_rows_of_refund(event, &refund, rows);
    }
    if (error != 0)
        return error;
    bytes_add(&intake->rows, rows, count * sizeof *rows);
    intake->cursor = event->event_no;
    return 0;
}

/* Read up to `most` events after the cursor in a short transaction, so that nobody waits for it. */
static int
read_events(struct disk *disk, uint32_t most, struct intake *intake)
{
    struct event_row event;
    MDB_cursor *cursor = NULL;
    MDB_txn *txn;
    uint64_t number;
    MDB_val key = {sizeof number, &number}, value;
    size_t size;
    int error = disk_read_new(disk, &txn);

    if (error != 0)
        return error;
    error = read_cursor(disk, txn, &intake->before);
    intake->cursor = intake->before;
    number = intake->before + 1;
    if (error == 0)
        error = lmdb_cursor_open(txn, disk->dbi[STORE_TABLE_EVENT], &cursor);
    for (uint32_t count = 0; error == 0 && count < most; count++) {
        error = lmdb_cursor_get(cursor, &key, &value, count == 0 ? MDB_SET_RANGE : MDB_NEXT);
        if (error != 0)
            break;
        if (!disk_value_good(STORE_TABLE_EVENT, &key, &value, &size) ||
            !history_fill(HISTORY_INDEX_EVENT, value.mv_data, size, &event) || event.event_no != intake->cursor + 1)
            error = MDB_CORRUPTED; /* a gap as well: what has not been taken in is never dropped (X5) */
        else
            error = take_event(disk, txn, intake, &event);
    }
    if (cursor != NULL)
        mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    return error == MDB_NOTFOUND ? 0 : error;
}

/* MDB_KEYEXIST: they are written already. */
static int
write_rows(struct disk *disk, MDB_txn *txn, const struct intake *intake)
{
    uint64_t cursor;
    int error = read_cursor(disk, txn, &cursor);

    if (error == 0 && cursor != intake->before)
        return MDB_KEYEXIST;
    for (size_t at = 0; error == 0 && at < intake->rows.size; at += sizeof(struct history_record)) {
        uint8_t bytes[HISTORY_KEY_SIZE];
        MDB_val key = {sizeof bytes, bytes};
        struct history_record row;

        memcpy(&row, intake->rows.data + at, sizeof row);
        history_key(bytes, row.user_no, row.event_no, row.index);
        error = disk_put(disk, txn, DISK_HISTORY, &key, &row, sizeof row, 0);
    }
    if (error == 0)
        error = disk_put_number(disk, txn, DISK_META, DISK_META_CONSUMER, &intake->cursor, sizeof intake->cursor, 0);
    return error;
}

/* One failure of those that a test has ordered. */
static bool
ordered_to_fail(struct store *store)
{
    unsigned left = store->consumer_failures;

    while (left > 0)
        if (atomic_compare_exchange_weak(&store->consumer_failures, &left, left - 1))
            return true;
    return false;
}

static enum store_step
write_intake(struct store *store, const struct intake *intake)
{
    struct disk *disk = store->disk;
    MDB_txn *txn;
    int error;

    if (disk_write_begin(disk, &txn) != 0)
        return STORE_STEP_FAILED;
    error = write_rows(disk, txn, intake);
    if (error != 0 || ordered_to_fail(store)) {
        disk_write_abort(disk, txn);
        /* Another instance's consumer has taken them in meanwhile: done as well. */
        return error == MDB_KEYEXIST ? STORE_STEP_DONE : STORE_STEP_FAILED;
    }
    if (disk_write_commit(disk, txn) != 0) {
        disk->env_broken = true; /* maybe it is there; the cursor will tell */
        return STORE_STEP_FAILED;
    }
    return STORE_STEP_DONE;
}

enum store_step
disk_consumer_step(struct store *store, uint32_t most)
{
    struct disk *disk = store->disk;
    struct intake intake = {0};
    enum store_step step = STORE_STEP_FAILED;

    pthread_rwlock_rdlock(&disk->env_lock);
    if (disk->env != NULL && !disk->env_broken && read_events(disk, most, &intake) == 0)
        step = intake.cursor == intake.before ? STORE_STEP_NOTHING : write_intake(store, &intake);
    pthread_rwlock_unlock(&disk->env_lock);
    free(intake.rows.data);
    return step;
}

/* --- the owner's reads ------------------------------------------------------------------------ */
uint64_t
disk_consumer_cursor(const struct store *store)
{
    MDB_txn *txn = disk_read_begin(store);
    uint64_t cursor = 0;
    int error;

    if (txn == NULL)
        return 0;
    error = read_cursor(store->disk, txn, &cursor);
    disk_read_end(store, txn);
    if (error != 0)
        disk_fail(store, error, "the history consumer's cursor");
    return cursor;
}

/* Read the row that the cursor stands on, if it is this user's; MDB_NOTFOUND if not. */
static int
history_row(MDB_cursor *cursor, uint64_t user_no, MDB_val *key, MDB_cursor_op operation, struct history_record *row)
{
    uint8_t prefix[HISTORY_KEY_SIZE];
    MDB_val value;
    size_t size;
    int error = lmdb_cursor_get(cursor, key, &value, operation);

    if (error != 0)
        return error;
    history_key(prefix, user_no, 0, 0);
    if (key->mv_size != HISTORY_KEY_SIZE || memcmp(key->mv_data, prefix, 8) != 0)
        return MDB_NOTFOUND;
    if (!disk_value_good(DISK_HISTORY, key, &value, &size) || size != sizeof *row)
        return MDB_CORRUPTED;
    memcpy(row, value.mv_data, sizeof *row);
    return 0;
}

size_t
disk_consumer_rows(const struct store *store, uint64_t user_no, uint64_t after_event_no, struct history_record *rows,
                   size_t most, bool *more)
{
    struct history_record row;
    uint8_t bytes[HISTORY_KEY_SIZE];
    MDB_val key = {sizeof bytes, bytes};
    MDB_cursor *cursor;
    MDB_txn *txn;
    size_t count = 0;
    int error;

    *more = false;
    txn = after_event_no == UINT64_MAX ? NULL : disk_read_begin(store);
    if (txn == NULL)
        return 0;
    history_key(bytes, user_no, after_event_no + 1, 0);
    error = lmdb_cursor_open(txn, store->disk->dbi[DISK_HISTORY], &cursor);
    if (error == 0) {
        error = history_row(cursor, user_no, &key, MDB_SET_RANGE, &row);
        for (; error == 0 && count < most; error = history_row(cursor, user_no, &key, MDB_NEXT, &row))
            rows[count++] = row;
        mdb_cursor_close(cursor);
    }
    disk_read_end(store, txn);
    if (error != 0 && error != MDB_NOTFOUND) {
        disk_fail(store, error, "a user's history");
        return 0;
    }
    *more = error == 0;
    return *more ? consumer_whole_events(rows, count, &row) : count;
}
