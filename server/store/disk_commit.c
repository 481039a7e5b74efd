/* disk_commit.c: a batch on its way to the disk: to the journal's front or into LMDB; and the store's quiet moments.
 *
 *     begin     the write lock; alone on the directory no more than that, else a transaction of LMDB
 *     commit    a record at the front (disk_front.c), by the runner if the owner has something else to do;
 *               or a transaction of LMDB: what waits in the front, the batch, a slice of the sweep, the meta row
 *     idle      such a transaction without a batch
 *
 * An error before mdb_txn_commit means that nothing was done. After it the outcome is unknown: the environment is
 * closed, opened anew, and the meta row tells. */
#include <assert.h>
#include <string.h>

#include "server/store/disk.h"
#include "server/store/disk_carry.h"
#include "server/store/disk_front.h"
#include "server/store/disk_rows.h"
#include "server/store/journal.h"

#define CUT_WITH_COMMIT 64u
#define CUT_WHEN_IDLE   1024u
/* Where batches are waited for one by one, this much in the front goes to LMDB with the next one. Beside them it would
 * take the disk twice as long, and a batch that comes in between would wait for both. */
#define CARRY_WITH_COMMIT (256u << 10)

/* --- beginning -------------------------------------------------------------------------------- */
/* A transaction of LMDB. */
static bool
begin_in_lmdb(struct store *store)
{
    struct disk *disk = store->disk;

    disk_carry_wait(store);
    assert(disk->write == NULL && disk->holds == 0);
    int error = disk->env_broken ? disk_env_open_anew(disk) : 0;
    if (error == 0)
        error = disk_write_begin(disk, &disk->write);
    if (error != 0) {
        disk->write = NULL;
        disk_fail(store, error, "can't begin to write");
        return false;
    }
    stages_lap(store->stages, USHER_STAGE_LOCK);
    if (disk_follow(store, disk->write)) {
        disk->seen = mdb_txn_id(disk->write) - 1; /* what it stands on */
        stages_lap(store->stages, USHER_STAGE_FOLLOW);
        return true;
    }
    disk_abort(store);
    return false;
}

/* Does LMDB's last transaction show to readers? One whose process was killed between its meta page and the number that
 * readers go by is there, and is seen only after the next writer has found LMDB's own lock without its owner. */
static bool
sees_the_last(const struct disk *disk)
{
    MDB_envinfo info;

    return mdb_env_info(disk->env, &info) == 0 && info.me_last_txnid == disk->seen;
}

/* The lock alone. False when the batch has to go to LMDB, or on a fault. */
static bool
begin_in_front(struct store *store)
{
    struct disk *disk = store->disk;

    disk_carry_look(store);
    if (disk->env_broken || disk->front.file < 0 || disk_hold(disk) != 0)
        return false;
    disk->fronting = disk_front_is_ours(disk);
    stages_lap(store->stages, USHER_STAGE_LOCK);
    if (disk->fronting && !disk->carrying->on)
        disk->fronting = disk_follow_now(store) && sees_the_last(disk);
    stages_lap(store->stages, USHER_STAGE_FOLLOW);
    if (!disk->fronting)
        disk_release(disk);
    return disk->fronting;
}

bool
disk_begin(struct store *store)
{
    if (begin_in_front(store))
        return true;
    return store->trouble->status == STORE_OK && begin_in_lmdb(store);
}

void
disk_abort(struct store *store)
{
    struct disk *disk = store->disk;

    if (disk->write != NULL)
        disk_write_abort(disk, disk->write);
    else if (disk->fronting)
        disk_release(disk);
    disk->write = NULL;
    disk->fronting = false;
}

static int
write_history_table(struct store *store, unsigned index, struct disk_rows *rows)
{
    struct history *history = store->history;
    const struct history_table *table = &history->table[index];
    uint64_t check;

    for (size_t at = table->batch; at < table->count; at++) {
        const struct history_row *row = &table->rows[at];
        int error;

        if (row->gone)
            continue;
        error = disk_rows_put(rows, HISTORY_FIRST + index, row->key, history_row_bytes(history, row), row->size,
                              index == HISTORY_INDEX_ENDED ? MDB_NOOVERWRITE : MDB_APPEND, &check);
        if (error != 0)
            return error;
        history->digest_change += check;
    }
    for (size_t at = 0; at < table->dropped_count; at++) {
        /* One of this very batch was never put. */
        int error = disk_rows_take(rows, HISTORY_FIRST + index, table->dropped[at].key, &check);

        if (error != 0)
            return error;
        history->digest_change -= check;
    }
    return 0;
}

static int
write_history(struct store *store)
{
    struct disk_rows rows = {store->disk, store->disk->write, {NULL}};
    int error = 0;

    store->history->digest_change = 0;
    for (unsigned index = 0; error == 0 && index < HISTORY_TABLES; index++)
        error = write_history_table(store, index, &rows);
    disk_rows_close(&rows);
    return error;
}

/* How many records the open batch changed. */
static uint64_t
count_changes(const struct store *store)
{
    uint64_t changed = 0;

    for (size_t at = 0; at < store->batch.touched_count; at++)
        changed += store->batch.touched[at].changed;
    return changed;
}

/* The last of a transaction: a slice of older changes, and the meta row. */
static int
write_slice(struct store *store, struct disk_meta *meta, uint64_t most, uint64_t cuts, struct sweep_slice *slice)
{
    struct disk *disk = store->disk;
    struct bytes *rows = &disk->carrying->rows;
    int error;

    sweep_collect(store, meta, most, rows, slice);
    error = disk_rows_put_all(disk, disk->write, rows->data, rows->size);
    if (error == 0)
        error = sweep_cut(disk, disk->write, meta, cuts);
    if (error == 0)
        error = disk_put_number(disk, disk->write, DISK_META, DISK_META_STORE, meta, sizeof *meta, 0);
    return error;
}

static int
write_batch(struct store *store, struct disk_meta *meta, struct sweep_slice *slice)
{
    struct disk *disk = store->disk;
    uint64_t changed = count_changes(store) + disk->waiting_changes[0] + disk->waiting_changes[1];
    uint64_t bytes = disk->journal_value.size + DISK_CHECK_SIZE;
    uint64_t cuts = CUT_WITH_COMMIT + 2 * (uint64_t)front_count(&disk->front);
    int error = disk_front_carry(disk, disk->write);

    if (error == 0)
        error = disk_put_number(disk, disk->write, DISK_JOURNAL, meta->position, disk->journal_value.data,
                                disk->journal_value.size, MDB_APPEND);
    if (error == 0)
        error = write_history(store);
    if (error == 0)
        error = disk_digest_write(store, disk->write, meta->position);
    return error != 0 ? error : write_slice(store, meta, sweep_pace(&disk->sweep, changed, bytes), cuts, slice);
}

/* Is the write of this meta row there? Others may have committed after it, so a batch is looked for in the journal
 * (MDB_NOTFOUND when nobody can tell any more); one that only wrote back may as well count as lost. */
static int
see_batch(const struct store *store, MDB_txn *txn, const struct disk_meta *now, const struct disk_meta *meta,
          bool *there)
{
    const struct disk *disk = store->disk;
    uint64_t number = meta->position;
    MDB_val key = {sizeof number, &number}, value;
    size_t size;
    int error;

    *there = now->writer == meta->writer && now->writes == meta->writes;
    if (*there || now->position < number || number == store->position)
        return 0;
    error = lmdb_get(txn, disk->dbi[DISK_JOURNAL], &key, &value);
    if (error != 0)
        return error;
    if (!disk_value_good(DISK_JOURNAL, &key, &value, &size))
        return MDB_CORRUPTED;
    *there = size == disk->journal_value.size && memcmp(value.mv_data, disk->journal_value.data, size) == 0;
    return 0;
}

/* See whether the batch is there, and if it is, write the meta row again: what was found after a failed commit is on
 * the disk for sure once that is. */
static int
see_and_confirm(const struct store *store, const struct disk_meta *meta, bool *there)
{
    struct disk *disk = store->disk;
    struct disk_meta now;
    MDB_txn *txn;
    int error = disk_write_begin(disk, &txn);

    if (error != 0)
        return error;
    error = disk_get(disk, txn, DISK_META, DISK_META_STORE, &now, sizeof now);
    if (error == 0)
        error = see_batch(store, txn, &now, meta, there);
    if (error == 0 && *there) {
        now.writer = disk->writer;
        now.writes++;
        error = disk_put_number(disk, txn, DISK_META, DISK_META_STORE, &now, sizeof now, 0);
    }
    if (error != 0 || !*there) {
        disk_write_abort(disk, txn);
        return error;
    }
    return disk_write_commit(disk, txn);
}

/* A commit failed: find out whether it is there. */
static enum store_outcome
find_outcome(struct store *store, const struct disk_meta *meta)
{
    struct disk *disk = store->disk;
    bool there = false;

    disk->env_broken = true;
    if (disk_env_open_anew(disk) != 0)
        return STORE_LOST;
    if (see_and_confirm(store, meta, &there) != 0) {
        disk->env_broken = true;
        return STORE_LOST;
    }
    if (!there)
        return STORE_UNDONE;
    disk->meta = *meta; /* what came after it will be followed */
    disk_front_carried(store);
    disk->batch_waits = false;
    store_no_fault(store);
    return STORE_DONE;
}

/* Commit the write transaction that ends in this meta row. */
static enum store_outcome
commit_write(struct store *store, const struct disk_meta *meta)
{
    struct disk *disk = store->disk;
    uint64_t number = mdb_txn_id(disk->write);

    stages_lap(store->stages, USHER_STAGE_WRITE);
    int error = disk_write_commit(disk, disk->write);
    stages_lap(store->stages, USHER_STAGE_SYNC);

    disk->write = NULL;
    if (error != 0) {
        disk_fail(store, error, "the commit failed");
        return find_outcome(store, meta);
    }
    disk->meta = *meta;
    disk->seen = number;
    disk_front_carried(store);
    disk->batch_waits = false;
    return STORE_DONE;
}

static void
mark_changes(struct store *store)
{
    for (size_t at = 0; at < store->batch.touched_count; at++) {
        const struct batch_touch *touched = &store->batch.touched[at];

        if (touched->changed)
            sweep_mark(&store->disk->sweep, &store->tables[touched->table], touched->slot, false);
    }
}

/* The batch is on the disk, in LMDB or before it. */
static void
note_batch(struct store *store)
{
    store->disk->sweep.bytes_since += store->disk->journal_value.size + DISK_CHECK_SIZE;
    mark_changes(store);
}

static enum store_outcome
commit_in_lmdb(struct store *store)
{
    struct disk *disk = store->disk;
    struct disk_meta meta = disk->meta;
    struct sweep_slice slice = {0};
    enum store_outcome outcome;
    int error;

    if (sweep_begin_pass(&disk->sweep, store->position, false))
        disk_clear_readers(disk);
    meta.position = store->position + 1;
    meta.writer = disk->writer;
    meta.writes++;
    error = write_batch(store, &meta, &slice);
    if (error != 0) {
        disk_abort(store);
        sweep_undone(store, &slice);
        disk_fail(store, error, "the batch can't be written");
        return STORE_UNDONE;
    }
    outcome = commit_write(store, &meta);
    if (outcome != STORE_DONE) {
        sweep_undone(store, &slice);
        return outcome;
    }
    note_batch(store);
    sweep_done(store, &slice);
    return STORE_DONE;
}

/* The open batch was to go to the front, which does not take it: it takes what waits there along into LMDB. */
static enum store_outcome
commit_with_front(struct store *store)
{
    struct disk *disk = store->disk;
    int error;

    disk->fronting = false;
    disk_carry_wait(store);
    assert(disk->holds == 1);
    if (disk->env_broken) {
        disk_release(disk);
        disk_fail(store, disk->carrying->error, "what waits before the batch could not be committed");
        return STORE_UNDONE;
    }
    disk->holds = 0; /* it is the transaction's from here on */
    error = disk_write_begin_locked(disk, &disk->write);
    if (error == 0)
        return commit_in_lmdb(store);
    disk->write = NULL;
    disk_fail(store, error, "can't begin to write");
    return STORE_UNDONE;
}

/* The front has the batch, or LMDB has to take it. */
static enum store_outcome
end_in_front(struct store *store, enum disk_front_outcome front)
{
    enum store_outcome outcome;

    if (front == DISK_FRONT_DONE) {
        store->disk->batch_waits = true;
        store->disk->waiting_changes[store->disk->front.writing] += count_changes(store);
        note_batch(store);
        return STORE_DONE;
    }
    if (front == DISK_FRONT_FAULT) {
        disk_abort(store); /* which gives up the lock: there is no transaction */
        return STORE_UNDONE;
    }
    outcome = commit_with_front(store);
    return outcome == STORE_UNDONE && front == DISK_FRONT_UNKNOWN ? STORE_LOST : outcome;
}

void
disk_batch_over(struct store *store)
{
    if (!store->disk->fronting)
        return;
    if (store->disk->batch_aside)
        disk_carry_consider(store);
    disk_abort(store);
}

enum store_outcome
disk_commit_end(struct store *store)
{
    if (store->disk->runner != NULL)
        runner_wait(store->disk->runner);
    stages_lap(store->stages, USHER_STAGE_SYNC);
    return end_in_front(store, disk_front_written(store));
}

/* Is the open batch to take along what waits before it? */
static bool
is_carriers_turn(const struct disk *disk)
{
    return !disk->batch_aside && !disk->carrying->on && front_bytes(&disk->front) >= CARRY_WITH_COMMIT;
}

enum store_outcome
disk_commit(struct store *store, const uint8_t *commands, size_t commands_size, bool waits)
{
    struct disk *disk = store->disk;
    enum disk_front_outcome front;

    journal_encode(store, commands, commands_size, &disk->journal_value);
    if (!disk->fronting)
        return commit_in_lmdb(store);
    disk->batch_aside = !waits && disk->runner != NULL;
    front = is_carriers_turn(disk) ? DISK_FRONT_REFUSED : disk_front_prepare(store);
    if (front != DISK_FRONT_DONE)
        return end_in_front(store, front);
    stages_lap(store->stages, USHER_STAGE_WRITE);
    if (disk->batch_aside && runner_start(disk->runner, disk_front_write, disk))
        return STORE_ON_ITS_WAY;
    disk_front_write(disk);
    return disk_commit_end(store);
}

static int
write_idle(struct store *store, struct disk_meta *meta, struct sweep_slice *slice)
{
    struct disk *disk = store->disk;
    int error;

    *slice = (struct sweep_slice){0};
    if (sweep_begin_pass(&disk->sweep, store->position, true))
        disk_clear_readers(disk);
    *meta = disk->meta;
    meta->position = store->position;
    meta->writer = disk->writer;
    meta->writes++;
    if (sweep_is_clean(&disk->sweep))
        meta->cut = meta->position; /* the last batches changed no record */
    error = disk_front_carry(disk, disk->write);
    return error != 0 ? error : write_slice(store, meta, disk->sweep.slice_records, CUT_WHEN_IDLE, slice);
}

/* Is everything in its table, and nothing left of the journal? */
static bool
is_tidy(const struct store *store)
{
    const struct disk *disk = store->disk;

    return front_count(&disk->front) == 0 && sweep_is_clean(&disk->sweep) && disk_journal_stat(store).ms_entries == 0;
}

/* The same beside the owner's work. False when that can't be. */
static bool
idle_aside(struct store *store)
{
    bool started;

    if (store->disk->carrying->runner == NULL || !begin_in_front(store))
        return false;
    started = disk_carry_start(store, true);
    disk_abort(store);
    return started;
}

static bool
idle_here(struct store *store)
{
    struct disk *disk = store->disk;
    struct disk_meta meta;
    struct sweep_slice slice;
    int error;

    if (!begin_in_lmdb(store))
        return false;
    if (is_tidy(store) && disk->meta.cut == disk->meta.position) {
        disk_abort(store); /* another instance has done it */
        return false;
    }
    error = write_idle(store, &meta, &slice);
    if (error != 0) {
        disk_abort(store);
        sweep_undone(store, &slice);
        disk_fail(store, error, "records can't be written back");
        return false;
    }
    if (commit_write(store, &meta) != STORE_DONE) {
        sweep_undone(store, &slice);
        return false;
    }
    sweep_done(store, &slice);
    return !is_tidy(store);
}

bool
disk_idle(struct store *store, bool aside)
{
    store_no_fault(store);
    disk_carry_look(store);
    if (aside && store->disk->carrying->on)
        return true;
    if (!store->disk->carrying->on && is_tidy(store))
        return false;
    return (aside && idle_aside(store)) || idle_here(store);
}
