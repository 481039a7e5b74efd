/* disk_carry.c: carrying over into LMDB beside the batches, by a thread of its own.
 *
 *     owner    batch, batch, batch -> half A | batch, batch -> half B          | batch -> half A
 *     thread                                 | A and a slice -> LMDB, committed |
 *
 * When enough stands in a half, the owner turns to the other one and collects a slice of the sweep: memory is then
 * where the half ends, and so are the copies of its records. The thread puts half, slice and meta row into one
 * transaction. The owner takes in what came of it at one of its next steps: history's rows of the half leave memory,
 * the slice's marks go, the half is empty.
 *
 * The write lock is held from the beginning to that step, so nobody else has written in between, and LMDB is what the
 * owner's meta row says or what the thread has made of it. Until then the owner's reads find rows of the half in
 * memory.
 *
 * What fails before the commit has not happened: the half is carried again after the next batch, or with one that finds
 * no room (disk_commit.c). After a commit of unknown outcome the environment is opened anew for the next batch, whose
 * transaction stands on what is there: if that is ours, it is recognised (disk_carry_was_this), and only the
 * transaction after it empties the half, for nothing less says that it will still be there after a power cut. */
#include "server/store/disk_carry.h"

#include <assert.h>

#include "server/store/disk_front.h"
#include "server/store/disk_rows.h"

/* A half is carried when this part of it has filled: while that lasts, the other one takes more. */
#define FULL_SHARE  4u
#define CUT_AT_ONCE 1024u /* journal rows that go with it, and twice as many as it brings */

/* On the thread: touches what it is given, a half of the front that nobody writes to, and LMDB. */
static void
carry(void *argument)
{
    struct disk_carrying *carrying = argument;
    struct disk *disk = carrying->disk;
    const struct disk_meta *meta = &carrying->meta;
    uint64_t cuts = CUT_AT_ONCE + 2 * (uint64_t)disk->front.half[carrying->half].count;
    MDB_txn *txn;

    carrying->error = lmdb_txn_begin(disk->env, 0, &txn);
    if (carrying->error != 0)
        return;
    int error = disk_front_carry_half(disk, txn, carrying->half);
    if (error == 0)
        error = disk_rows_put_all(disk, txn, carrying->rows.data, carrying->rows.size);
    if (error == 0)
        error = sweep_cut(disk, txn, meta, cuts);
    if (error == 0)
        error = disk_put_number(disk, txn, DISK_META, DISK_META_STORE, meta, sizeof *meta, 0);
    carrying->number = mdb_txn_id(txn);
    if (error != 0) {
        mdb_txn_abort(txn);
    } else {
        error = lmdb_txn_commit(txn);
        carrying->unknown = error != 0;
    }
    carrying->error = error;
}

/* The half that is carried next; *slice: memory is where it ends, so records may go along. */
static unsigned
choose_half(struct store *store, bool *slice)
{
    struct front *front = &store->disk->front;

    *slice = front->half[!front->writing].count == 0;
    if (*slice && front->half[front->writing].count > 0)
        disk_front_turn(store);
    return !front->writing;
}

static uint64_t
last_position(const struct store *store, unsigned half)
{
    struct front_walk walk = front_walk_half(&store->disk->front, half);
    const struct front_head *head;
    uint64_t position = store->disk->meta.position;

    while ((head = front_next(&store->disk->front, &walk)) != NULL)
        position = head->position;
    return position;
}

static void
collect(struct store *store, struct disk_carrying *carrying, bool slice, bool quiet)
{
    struct disk *disk = store->disk;
    const struct front_half *half = &disk->front.half[carrying->half];
    uint64_t most = 0;

    carrying->meta = disk->meta;
    carrying->meta.position = slice ? store->position : last_position(store, carrying->half);
    carrying->meta.writer = disk->writer;
    carrying->meta.writes++;
    carrying->rows.size = 0;
    carrying->event_no = slice ? store_see_house(store, 0)->last_event_no : 0;
    carrying->slice = (struct sweep_slice){.table = disk->sweep.table, .at = disk->sweep.at};
    if (!slice)
        return;
    if (sweep_begin_pass(&disk->sweep, store->position, quiet))
        disk_clear_readers(disk);
    if (quiet && sweep_is_clean(&disk->sweep))
        carrying->meta.cut = carrying->meta.position; /* the last batches changed no record */
    most = quiet ? disk->sweep.slice_records
                 : sweep_pace(&disk->sweep, disk->waiting_changes[carrying->half], half->end - half->begin);
    sweep_collect(store, &carrying->meta, most, &carrying->rows, &carrying->slice);
}

bool
disk_carry_start(struct store *store, bool quiet)
{
    struct disk *disk = store->disk;
    struct disk_carrying *carrying = disk->carrying;
    bool slice;

    assert(!carrying->on);
    if (disk->env_broken || carrying->runner == NULL || disk_hold(disk) != 0)
        return false;
    carrying->disk = disk;
    carrying->half = choose_half(store, &slice);
    carrying->unknown = carrying->doubtful = false;
    collect(store, carrying, slice, quiet);
    if (!runner_start(carrying->runner, carry, carrying)) {
        sweep_undone(store, &carrying->slice);
        disk_release(disk);
        return false;
    }
    carrying->on = true;
    return true;
}

void
disk_carry_consider(struct store *store)
{
    const struct disk *disk = store->disk;
    const struct front_half *half = &disk->front.half[disk->front.writing];
    const struct front_half *other = &disk->front.half[!disk->front.writing];
    size_t enough = (half->limit - half->begin) / FULL_SHARE;

    if (disk->carrying->on || (half->end - half->begin < enough && other->end - other->begin < enough))
        return;
    (void)disk_carry_start(store, false);
}

/* --- what came of it ---------------------------------------------------------------------------- */
static void
take_in(struct store *store)
{
    struct disk *disk = store->disk;
    struct disk_carrying *carrying = disk->carrying;

    carrying->on = false;
    if (carrying->error == 0) {
        disk->meta = carrying->meta;
        disk->seen = carrying->number;
        if (carrying->event_no != 0)
            disk->settled_event_no = carrying->event_no;
        disk_front_half_carried(store, carrying->half);
        sweep_done(store, &carrying->slice);
    } else {
        sweep_undone(store, &carrying->slice);
        carrying->doubtful = carrying->unknown;
        disk->env_broken = disk->env_broken || carrying->unknown;
    }
    disk_release(disk);
}

bool
disk_carry_was_this(struct disk_carrying *carrying, const struct disk_meta *meta)
{
    bool was = carrying->doubtful && meta->writer == carrying->meta.writer && meta->writes == carrying->meta.writes;

    carrying->doubtful = false;
    return was;
}

void
disk_carry_look(struct store *store)
{
    struct disk_carrying *carrying = store->disk->carrying;

    if (carrying->on && runner_is_done(carrying->runner))
        take_in(store);
}

void
disk_carry_wait(struct store *store)
{
    struct disk_carrying *carrying = store->disk->carrying;

    if (!carrying->on)
        return;
    runner_wait(carrying->runner);
    take_in(store);
}
