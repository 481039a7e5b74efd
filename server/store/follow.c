/* follow.c: putting on our own records what other instances have committed (DESIGN section 4, X4).
 *
 *     the meta row differs from the one that memory agrees with:
 *       answers     the index learns of those that were appended; of those that were dropped, from the journal
 *       marks       the sweep's, by where the shared pass stands
 *       journal     row by row from our position on: after-images, and every index is told of each
 *     our next row has been cut already: everything is read anew from tables and journal, beside what there is, and
 *     takes its place
 *
 * It is done within one transaction, so the end is one picture: the batch's, under LMDB's write lock, or a query's own.
 * A fault in between leaves memory at some position on the way, whole, and the next call goes on from there. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/disk.h"
#include "server/store/disk_carry.h"
#include "server/store/disk_front.h"
#include "server/store/disk_open.h"
#include "server/store/journal.h"

/* --- answers ---------------------------------------------------------------------------------- */
/* A dropped answer's row is gone, so answers may be ahead of the records but never behind them. */
static int
follow_answers(struct store *store, MDB_txn *txn)
{
    uint64_t number = store->history->last_answer_no + 1;
    MDB_val key = {sizeof number, &number}, value;
    struct answer_row answer;
    MDB_cursor *cursor;
    size_t size;
    int error = lmdb_cursor_open(txn, store->disk->dbi[STORE_TABLE_ANSWER], &cursor);

    if (error != 0)
        return error;
    for (error = lmdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE); error == 0;
         error = lmdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
        if (!disk_value_good(STORE_TABLE_ANSWER, &key, &value, &size) ||
            !history_fill(HISTORY_INDEX_ANSWER, value.mv_data, size, &answer)) {
            error = MDB_CORRUPTED;
            break;
        }
        history_learn_answer(store->history, &answer);
    }
    mdb_cursor_close(cursor);
    return error == MDB_NOTFOUND ? 0 : error;
}

/* --- the journal ------------------------------------------------------------------------------ */
#define RECORD_SIZE_MOST 4096u
#define STORE_TABLE(number, NAME, name, key_field, text)                                                               \
    _Static_assert(sizeof(struct name##_record) <= RECORD_SIZE_MOST, "there is room for any record");
#include "server/store/records.def"

struct following {
    struct store *store;
    const struct disk_meta *meta;
    uint64_t position; /* of the row */
    bool had;          /* there was a record, and this is it: */
    uint64_t before[RECORD_SIZE_MOST / 8];
};

static void
before_change(void *context, struct table *table, uint32_t slot)
{
    struct following *following = context;

    following->had = (*table_flags(table, slot) & TABLE_PRESENT) != 0;
    if (following->had)
        memcpy(following->before, table_record(table, slot), table->kind->record_size);
}

static void
after_change(void *context, struct table *table, uint32_t slot)
{
    struct following *following = context;
    struct store *store = following->store;
    bool present = (*table_flags(table, slot) & TABLE_PRESENT) != 0;

    if (following->had || present)
        indexes_change(store->indexes, table->kind->number, following->had ? following->before : NULL,
                       present ? table_record(table, slot) : NULL);
    store->followed[table->kind->number]++;
    if (!sweep_has_written(following->meta, following->position, table, slot))
        sweep_mark(&store->disk->sweep, table, slot, following->position <= following->meta->pass_start);
    else if ((*table_flags(table, slot) & (TABLE_PRESENT | TABLE_DIRTY)) == 0)
        table_give_back(table, slot);
}

static void
answer_dropped(void *context, uint64_t answer_no, uint64_t scope, const usher_id *request_id)
{
    const struct following *following = context;

    history_forget_answer(following->store->history, answer_no, scope, request_id);
}

/* One row. A value whose check is right and that still can't be read leaves a record half changed. */
static int
follow_row(struct store *store, const struct disk_meta *meta, const MDB_val *key, const MDB_val *value)
{
    struct following following = {.store = store, .meta = meta};
    const struct journal_listener listener = {before_change, after_change, answer_dropped, &following};
    struct disk *disk = store->disk;
    size_t size;

    if (key->mv_size != sizeof following.position)
        return MDB_CORRUPTED;
    memcpy(&following.position, key->mv_data, sizeof following.position);
    if (following.position != store->position + 1 || !disk_value_good(DISK_JOURNAL, key, value, &size))
        return MDB_CORRUPTED;
    if (!journal_follow(store->tables, value->mv_data, size, &listener)) {
        disk->behind = true;
        return MDB_CORRUPTED;
    }
    if (following.position > meta->pass_start)
        disk->sweep.bytes_since += value->mv_size;
    store->position = following.position;
    return 0;
}

/* Every row after our position. MDB_NOTFOUND: the first of them has been cut. */
static int
follow_rows(struct store *store, MDB_txn *txn, const struct disk_meta *meta)
{
    uint64_t number = store->position + 1;
    MDB_val key = {sizeof number, &number}, value;
    MDB_cursor *cursor;
    int error;

    if (store->position == meta->position)
        return 0;
    error = lmdb_cursor_open(txn, store->disk->dbi[DISK_JOURNAL], &cursor);
    if (error != 0)
        return error;
    error = lmdb_cursor_get(cursor, &key, &value, MDB_SET);
    while (error == 0) {
        error = follow_row(store, meta, &key, &value);
        if (error != 0 || store->position == meta->position)
            break;
        error = lmdb_cursor_get(cursor, &key, &value, MDB_NEXT);
        if (error == MDB_NOTFOUND)
            error = MDB_CORRUPTED;
    }
    mdb_cursor_close(cursor);
    return error;
}

static bool
is_cut(const struct store *store, MDB_txn *txn, const struct disk_meta *meta)
{
    uint64_t number = store->position + 1;
    MDB_val key = {sizeof number, &number}, value;

    return store->position < meta->cut && lmdb_get(txn, store->disk->dbi[DISK_JOURNAL], &key, &value) == MDB_NOTFOUND;
}

/* --- all of it -------------------------------------------------------------------------------- */
static bool
open_anew(struct store *store, MDB_txn *txn)
{
    char why[512];
    enum store_status status = disk_load_anew(store, txn, why, sizeof why);

    if (status != STORE_OK) {
        store_fail(store, status, "%s", why);
        return false;
    }
    store->disk->behind = false;
    for (unsigned number = 1; number < STORE_RECORD_TABLES; number++)
        store->followed[number]++;
    return true;
}

/* Memory stands where the transaction does: does it have the same picture as who wrote that? */
static bool
compare_digest(struct store *store, MDB_txn *txn)
{
    int error =
        front_count(&store->disk->front) > 0 ? 0 : disk_digest_follow(store, txn); /* LMDB is behind what waits */

    if (error != 0)
        disk_fail(store, error, "can't read the digest");
    else if (store->unsound[0] != '\0')
        store_fail(store, STORE_FAULT, "%s", store->unsound);
    else
        return true;
    return false;
}

bool
disk_follow(struct store *store, MDB_txn *txn)
{
    struct disk *disk = store->disk;
    struct disk_meta meta;
    int error;

    if (disk->carrying->on)
        return true; /* we hold the lock: nobody else has written, and we know more than LMDB */
    error = disk_get(disk, txn, DISK_META, DISK_META_STORE, &meta, sizeof meta);

    if (error != 0) {
        disk_fail(store, error, "can't read the meta row");
        return false;
    }
    if (meta.schema != STORE_SCHEMA) {
        store_is_unsound(store,
                         "%s: another usherd has brought it to schema %u, this one knows %u; use the newer program",
                         disk->file, meta.schema, STORE_SCHEMA);
        store_fail(store, STORE_FAULT, "%s", store->unsound);
        return false;
    }
    if (disk_carry_was_this(disk->carrying, &meta))
        disk->meta = meta;
    if (meta.writer == disk->meta.writer && meta.writes == disk->meta.writes && !disk->behind)
        return compare_digest(store, txn);
    if (meta.position < store->position) {
        store_fail(store, STORE_FAULT, "%s: another file has taken its place: it ends at position %llu, not %llu",
                   disk->file, (unsigned long long)meta.position, (unsigned long long)store->position);
        return false;
    }
    disk_front_carried(store); /* whoever wrote has done it for us */
    if (disk->behind || is_cut(store, txn, &meta))
        return open_anew(store, txn);
    error = follow_answers(store, txn);
    if (error == 0) {
        sweep_follow(&disk->sweep, store->tables, &meta, store->position);
        error = follow_rows(store, txn, &meta);
        sweep_settle(&disk->sweep);
    }
    if (error != 0) {
        disk_fail(store, error, "can't follow the journal");
        return false;
    }
    disk->meta = meta;
    return compare_digest(store, txn);
}

bool
disk_follow_now(struct store *store)
{
    struct disk *disk = store->disk;
    MDB_envinfo info;
    MDB_txn *txn;
    uint64_t seen;
    bool followed;

    disk_carry_look(store);
    if (disk->carrying->on)
        return true; /* as below */
    /* The environment tells of a commit a moment before readers see it, so what counts as seen is what a
     * transaction has seen. */
    if (disk->env != NULL && !disk->env_broken && !disk->behind && mdb_env_info(disk->env, &info) == 0 &&
        info.me_last_txnid == disk->seen)
        return true;
    store_no_fault(store);
    txn = disk_read_begin(store);
    if (txn == NULL)
        return false;
    seen = mdb_txn_id(txn);
    followed = disk_follow(store, txn);
    disk_read_end(store, txn);
    if (followed)
        disk->seen = seen;
    return followed;
}
