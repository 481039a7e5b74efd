/* disk.c: the truth in LMDB: values, batches and reads.
 *
 *     meta        the store's row (position, cut, running pass), the history consumer's cursor
 *     journal     position -> stamp, commands, after-images        journal.c
 *     one table for each row of records.def and history.def, by 64-bit key
 *     history     user_no, event_no, index (big-endian) -> history_record, the consumer's own
 *
 * Every value ends in a check of its table, key and bytes. One batch is one write transaction, begun by disk_begin (so
 * the write lock orders the instances) and filled by disk_commit. An error before mdb_txn_commit means that nothing was
 * done. After it the outcome is unknown: the environment is closed, opened anew, and the meta row tells. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <xxhash.h>

#include "server/store/digest.h"
#include "server/store/disk.h"
#include "server/store/journal.h"

#define CUT_WITH_COMMIT 64u
#define CUT_WHEN_IDLE   1024u
#define ROOM_LEAST      (16u << 20) /* less free room than this is a full disk when a write fell short */

/* --- values ----------------------------------------------------------------------------------- */
static const char *const table_names[DISK_TABLES] = {
#define STORE_TABLE(number, NAME, name, key_field, text) [number] = #name,
#include "server/store/records.def"
#define STORE_HISTORY(number, NAME, name, text) [number] = #name,
#include "server/store/history.def"
    [DISK_META] = "meta",
    [DISK_JOURNAL] = "journal",
    [DISK_HISTORY] = "history",
};

const char *
disk_table_name(unsigned table)
{
    return table_names[table];
}

uint64_t
disk_check(unsigned table, const MDB_val *key, const void *bytes, size_t size)
{
    uint64_t number;

    if (key->mv_size != sizeof number)
        return XXH3_64bits_withSeed(bytes, size, store_mix(table + XXH3_64bits(key->mv_data, key->mv_size)));
    memcpy(&number, key->mv_data, sizeof number);
    return digest_check(table, number, bytes, size);
}

int
disk_put(struct disk *disk, MDB_txn *txn, unsigned table, MDB_val *key, const void *bytes, size_t size, unsigned flags)
{
    MDB_val value = {.mv_size = size + DISK_CHECK_SIZE};
    uint64_t check = disk_check(table, key, bytes, size);
    int error = lmdb_put(txn, disk->dbi[table], key, &value, flags | MDB_RESERVE);

    if (error != 0)
        return error;
    memcpy(value.mv_data, bytes, size);
    memcpy((uint8_t *)value.mv_data + size, &check, sizeof check);
    return 0;
}

int
disk_put_number(struct disk *disk, MDB_txn *txn, unsigned table, uint64_t number, const void *bytes, size_t size,
                unsigned flags)
{
    MDB_val key = {sizeof number, &number};

    return disk_put(disk, txn, table, &key, bytes, size, flags);
}

int
disk_del_number(struct disk *disk, MDB_txn *txn, unsigned table, uint64_t number)
{
    MDB_val key = {sizeof number, &number};

    return lmdb_del(txn, disk->dbi[table], &key);
}

uint64_t
disk_check_of(const MDB_val *value)
{
    uint64_t check = 0;

    if (value->mv_size >= sizeof check)
        memcpy(&check, (const uint8_t *)value->mv_data + value->mv_size - sizeof check, sizeof check);
    return check;
}

bool
disk_value_good(unsigned table, const MDB_val *key, const MDB_val *value, size_t *size)
{
    if (value->mv_size < DISK_CHECK_SIZE)
        return false;
    *size = value->mv_size - DISK_CHECK_SIZE;
    return disk_check_of(value) == disk_check(table, key, value->mv_data, *size);
}

int
disk_get(const struct disk *disk, MDB_txn *txn, unsigned table, uint64_t number, void *out, size_t size)
{
    MDB_val key = {sizeof number, &number}, value;
    size_t found;
    int error = lmdb_get(txn, disk->dbi[table], &key, &value);

    if (error != 0)
        return error;
    if (!disk_value_good(table, &key, &value, &found) || found != size)
        return MDB_CORRUPTED;
    memcpy(out, value.mv_data, size);
    return 0;
}

/* --- faults ----------------------------------------------------------------------------------- */
enum store_status
disk_status_of(int error)
{
    static const struct {
        int error;
        enum store_status status;
    } rows[] = {
        {ENOSPC, STORE_NO_ROOM},        {EDQUOT, STORE_NO_ROOM},
        {EFBIG, STORE_NO_ROOM},         {MDB_MAP_FULL, STORE_NO_ROOM},
        {EACCES, STORE_NO_ACCESS},      {EPERM, STORE_NO_ACCESS},
        {EROFS, STORE_NO_ACCESS},       {ENOTDIR, STORE_NO_ACCESS},
        {ENOENT, STORE_NO_ACCESS},      {EISDIR, STORE_NOT_ONE},
        {MDB_INVALID, STORE_NOT_ONE},   {MDB_VERSION_MISMATCH, STORE_NOT_ONE},
        {MDB_CORRUPTED, STORE_DAMAGED}, {MDB_PAGE_NOTFOUND, STORE_DAMAGED},
    };

    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++)
        if (rows[row].error == error)
            return rows[row].status;
    return STORE_FAULT;
}

/* LMDB reports a write that the disk took only in part as EIO. That is a full disk if it looks like one. */
static bool
looks_full(const struct disk *disk)
{
    struct statvfs system;
    struct stat file;
    struct rlimit limit;

    if (statvfs(disk->file, &system) == 0 && (uint64_t)system.f_bavail * system.f_frsize < ROOM_LEAST)
        return true;
    return stat(disk->file, &file) == 0 && getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
           (rlim_t)file.st_size + ROOM_LEAST > limit.rlim_cur;
}

void
disk_fail(const struct store *store, int error, const char *what)
{
    enum store_status status = STORE_FAULT;

    if (disk_status_of(error) == STORE_NO_ROOM || (error == EIO && looks_full(store->disk)))
        status = STORE_NO_ROOM;
    store_fail(store, status, "%s: %s: %s", store->disk->file, what, mdb_strerror(error));
}

/* --- transactions ----------------------------------------------------------------------------- */
/* Nobody else is at this environment, or we are only allowed to read it. */
static bool
needs_no_lock(const struct disk *disk)
{
    return (disk->open_flags & (MDB_NOLOCK | MDB_RDONLY)) != 0;
}

static int
take_write_lock(struct disk *disk)
{
    return needs_no_lock(disk) ? 0 : write_lock_take(&disk->write_lock, disk->env);
}

static void
give_write_lock(struct disk *disk)
{
    if (!needs_no_lock(disk))
        write_lock_give(&disk->write_lock, disk->env);
}

int
disk_write_begin(struct disk *disk, MDB_txn **txn)
{
    int error = take_write_lock(disk);

    if (error != 0)
        return error;
    error = lmdb_txn_begin(disk->env, 0, txn);
    if (error != 0)
        give_write_lock(disk);
    return error;
}

int
disk_write_commit(struct disk *disk, MDB_txn *txn)
{
    int error = lmdb_txn_commit(txn);

    give_write_lock(disk);
    return error;
}

void
disk_write_abort(struct disk *disk, MDB_txn *txn)
{
    mdb_txn_abort(txn);
    give_write_lock(disk);
}

int
disk_read_new(struct disk *disk, MDB_txn **txn)
{
    int error = take_write_lock(disk);

    if (error != 0)
        return error;
    error = lmdb_txn_begin(disk->env, MDB_RDONLY, txn);
    give_write_lock(disk);
    return error;
}

/* A process that was killed while it read keeps its pages from being used again until somebody notices. */
static int
check_readers(struct disk *disk)
{
    bool ours = disk->write != NULL; /* we hold the lock already */
    int dead, error = ours ? 0 : take_write_lock(disk);

    if (error != 0)
        return error;
    error = mdb_reader_check(disk->env, &dead);
    if (!ours)
        give_write_lock(disk);
    return error;
}

void
disk_clear_readers(struct disk *disk)
{
    if (disk->env != NULL)
        (void)check_readers(disk); /* it will be tried again */
}

/* --- the environment -------------------------------------------------------------------------- */
int
disk_env_open(struct disk *disk)
{
    int error = mdb_env_create(&disk->env);

    if (error != 0) {
        disk->env = NULL;
        return error;
    }
    error = mdb_env_set_maxdbs(disk->env, DISK_TABLES);
    if (error == 0)
        error = mdb_env_set_mapsize(disk->env, disk->map_bytes);
    if (error == 0)
        error = lmdb_env_open(disk->env, disk->file, disk->open_flags, 0600);
    if (error == 0)
        error = check_readers(disk);
    if (error != 0)
        disk_env_close(disk);
    return error;
}

void
disk_env_close(struct disk *disk)
{
    if (disk->read != NULL)
        mdb_txn_abort(disk->read);
    disk->read = NULL;
    if (disk->env != NULL)
        mdb_env_close(disk->env);
    disk->env = NULL;
    disk->seen = 0;
}

int
disk_tables_open(struct disk *disk, MDB_txn *txn, unsigned flags)
{
    for (unsigned table = 0; table < DISK_TABLES; table++) {
        int error;

        if (table_names[table] == NULL)
            continue;
        error = lmdb_dbi_open(txn, table_names[table], flags | (table == DISK_HISTORY ? 0 : MDB_INTEGERKEY),
                              &disk->dbi[table]);
        if (error != 0)
            return error;
    }
    return 0;
}

void
disk_close(struct disk *disk)
{
    if (disk == NULL)
        return;
    if (disk->write != NULL)
        disk_write_abort(disk, disk->write);
    disk_env_close(disk);
    write_lock_close(&disk->write_lock);
    pthread_rwlock_destroy(&disk->env_lock);
    sweep_close(&disk->sweep);
    free(disk->journal_value.data);
    free(disk);
}

/* Close the environment and open it again, so that LMDB's picture is the disk's. */
static int
env_open_anew(struct disk *disk)
{
    struct disk_meta meta;
    MDB_txn *txn;
    int error;

    pthread_rwlock_wrlock(&disk->env_lock);
    disk_env_close(disk);
    error = disk_env_open(disk);
    if (error == 0) {
        error = disk_read_new(disk, &txn);
        if (error == 0) {
            error = disk_tables_open(disk, txn, 0);
            if (error == 0)
                error = disk_get(disk, txn, DISK_META, DISK_META_STORE, &meta, sizeof meta);
            if (error == 0)
                error = lmdb_txn_commit(txn); /* keeps the table handles */
            else
                mdb_txn_abort(txn);
        }
        if (error != 0)
            disk_env_close(disk);
    }
    disk->env_broken = error != 0;
    pthread_rwlock_unlock(&disk->env_lock);
    return error;
}

/* --- a batch ---------------------------------------------------------------------------------- */
bool
disk_begin(struct store *store)
{
    struct disk *disk = store->disk;
    int error = disk->env_broken ? env_open_anew(disk) : 0;

    assert(disk->write == NULL);
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

void
disk_abort(struct store *store)
{
    if (store->disk->write != NULL)
        disk_write_abort(store->disk, store->disk->write);
    store->disk->write = NULL;
}

/* A row of this very batch was never put. */
static int
drop_history_row(struct store *store, unsigned index, uint64_t number)
{
    struct disk *disk = store->disk;
    MDB_val key = {sizeof number, &number}, value;
    int error = lmdb_get(disk->write, disk->dbi[HISTORY_FIRST + index], &key, &value);

    if (error != 0)
        return error == MDB_NOTFOUND ? 0 : error;
    store->history->digest_change -= disk_check_of(&value);
    return disk_del_number(disk, disk->write, HISTORY_FIRST + index, number);
}

static int
write_history_table(struct store *store, unsigned index)
{
    struct disk *disk = store->disk;
    const struct history_table *table = &store->history->table[index];
    bool dropped;

    for (size_t at = 0; at < table->appended_count; at++) {
        const struct history_row *row = history_see(store->history, index, table->appended[at], &dropped);
        int error;

        if (row == NULL)
            continue;
        error = disk_put_number(disk, disk->write, HISTORY_FIRST + index, row->key, row->bytes, row->size,
                                index == HISTORY_INDEX_ENDED ? MDB_NOOVERWRITE : MDB_APPEND);
        if (error != 0)
            return error;
        store->history->digest_change += digest_check(HISTORY_FIRST + index, row->key, row->bytes, row->size);
    }
    for (size_t at = 0; at < table->dropped_count; at++) {
        int error = drop_history_row(store, index, table->dropped[at].key);

        if (error != 0)
            return error;
    }
    return 0;
}

static int
write_batch(struct store *store, struct disk_meta *meta, struct sweep_slice *slice)
{
    struct disk *disk = store->disk;
    uint64_t changed = 0, bytes = disk->journal_value.size + DISK_CHECK_SIZE;
    int error = disk_put_number(disk, disk->write, DISK_JOURNAL, meta->position, disk->journal_value.data,
                                disk->journal_value.size, MDB_APPEND);

    store->history->digest_change = 0;
    for (unsigned index = 0; error == 0 && index < HISTORY_TABLES; index++)
        error = write_history_table(store, index);
    if (error == 0)
        error = disk_digest_write(store, disk->write, meta->position);
    for (size_t at = 0; at < store->batch.touched_count; at++)
        changed += store->batch.touched[at].changed;
    if (error == 0)
        error = sweep_write(store, disk->write, meta, sweep_pace(&disk->sweep, changed, bytes), CUT_WITH_COMMIT, slice);
    if (error == 0)
        error = disk_put_number(disk, disk->write, DISK_META, DISK_META_STORE, meta, sizeof *meta, 0);
    return error;
}

/* Is the write of this meta row there? Others may have committed after it, so a batch is looked for in the journal
 * (MDB_NOTFOUND when nobody can tell any more); one that only wrote back may as well count as lost. */
static int
see_batch(const struct disk *disk, MDB_txn *txn, const struct disk_meta *now, const struct disk_meta *meta, bool *there)
{
    uint64_t number = meta->position;
    MDB_val key = {sizeof number, &number}, value;
    size_t size;
    int error;

    *there = now->writer == meta->writer && now->writes == meta->writes;
    if (*there || now->position < number || number == disk->meta.position)
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
see_and_confirm(struct disk *disk, const struct disk_meta *meta, bool *there)
{
    struct disk_meta now;
    MDB_txn *txn;
    int error = disk_write_begin(disk, &txn);

    if (error != 0)
        return error;
    error = disk_get(disk, txn, DISK_META, DISK_META_STORE, &now, sizeof now);
    if (error == 0)
        error = see_batch(disk, txn, &now, meta, there);
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
    if (env_open_anew(disk) != 0)
        return STORE_LOST;
    if (see_and_confirm(disk, meta, &there) != 0) {
        disk->env_broken = true;
        return STORE_LOST;
    }
    if (!there)
        return STORE_UNDONE;
    disk->meta = *meta; /* what came after it will be followed */
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

enum store_outcome
disk_commit(struct store *store, const uint8_t *commands, size_t commands_size)
{
    struct disk *disk = store->disk;
    struct disk_meta meta = disk->meta;
    struct sweep_slice slice;
    enum store_outcome outcome;
    int error;

    journal_encode(store, commands, commands_size, &disk->journal_value);
    if (sweep_begin_pass(&disk->sweep, meta.position, false))
        disk_clear_readers(disk);
    meta.position++;
    meta.writer = disk->writer;
    meta.writes++;
    error = write_batch(store, &meta, &slice);
    if (error != 0) {
        disk_abort(store);
        disk_fail(store, error, "the batch can't be written");
        return STORE_UNDONE;
    }
    outcome = commit_write(store, &meta);
    if (outcome != STORE_DONE)
        return outcome;
    disk->sweep.bytes_since += disk->journal_value.size + DISK_CHECK_SIZE;
    mark_changes(store);
    sweep_done(store, &slice);
    return STORE_DONE;
}

/* Rows and pages of the journal. */
static MDB_stat
journal_stat(const struct store *store)
{
    MDB_stat stat = {0};
    MDB_txn *txn = disk_read_begin(store);

    if (txn == NULL)
        return stat;
    if (mdb_stat(txn, store->disk->dbi[DISK_JOURNAL], &stat) != 0)
        stat = (MDB_stat){0};
    disk_read_end(store, txn);
    return stat;
}

static int
write_idle(struct store *store, struct disk_meta *meta, struct sweep_slice *slice)
{
    struct disk *disk = store->disk;
    int error;

    if (sweep_begin_pass(&disk->sweep, disk->meta.position, true))
        disk_clear_readers(disk);
    *meta = disk->meta;
    meta->writer = disk->writer;
    meta->writes++;
    if (sweep_is_clean(&disk->sweep))
        meta->cut = meta->position; /* the last batches changed no record */
    error = sweep_write(store, disk->write, meta, disk->sweep.slice_records, CUT_WHEN_IDLE, slice);
    if (error != 0)
        return error;
    return disk_put_number(disk, disk->write, DISK_META, DISK_META_STORE, meta, sizeof *meta, 0);
}

bool
disk_idle(struct store *store)
{
    struct disk *disk = store->disk;
    struct disk_meta meta;
    struct sweep_slice slice;
    int error;

    store_no_fault(store);
    if (sweep_is_clean(&disk->sweep) && journal_stat(store).ms_entries == 0)
        return false;
    if (!disk_begin(store))
        return false;
    if (sweep_is_clean(&disk->sweep) && disk->meta.cut == disk->meta.position && journal_stat(store).ms_entries == 0) {
        disk_abort(store); /* another instance has done it */
        return false;
    }
    error = write_idle(store, &meta, &slice);
    if (error != 0) {
        disk_abort(store);
        disk_fail(store, error, "records can't be written back");
        return false;
    }
    if (commit_write(store, &meta) != STORE_DONE)
        return false;
    sweep_done(store, &slice);
    return !sweep_is_clean(&disk->sweep) || journal_stat(store).ms_entries > 0;
}

/* --- reads ------------------------------------------------------------------------------------ */
MDB_txn *
disk_read_begin(const struct store *store)
{
    struct disk *disk = store->disk;
    int error;

    if (disk->write != NULL)
        return disk->write;
    if (disk->pinned)
        return disk->read;
    error = disk->env_broken ? env_open_anew(disk) : 0;
    if (error == 0 && disk->read != NULL) {
        error = lmdb_txn_renew(disk->read);
    } else if (error == 0) {
        error = disk_read_new(disk, &disk->read);
        if (error != 0)
            disk->read = NULL;
    }
    if (error == 0)
        return disk->read;
    disk_fail(store, error, "can't begin to read");
    return NULL;
}

void
disk_read_end(const struct store *store, MDB_txn *txn)
{
    if (txn != store->disk->write && !store->disk->pinned)
        mdb_txn_reset(txn);
}

bool
disk_read_row(const struct store *store, unsigned index, uint64_t number, void *out)
{
    MDB_txn *txn = disk_read_begin(store);
    MDB_val key = {sizeof number, &number}, value;
    size_t size;
    bool good = false;
    int error;

    if (txn == NULL)
        return false;
    error = lmdb_get(txn, store->disk->dbi[HISTORY_FIRST + index], &key, &value);
    if (error == 0) {
        good = disk_value_good(HISTORY_FIRST + index, &key, &value, &size) &&
               history_fill(index, value.mv_data, size, out);
        if (!good)
            error = MDB_CORRUPTED;
    }
    disk_read_end(store, txn);
    if (error != 0 && error != MDB_NOTFOUND)
        disk_fail(store, error, history_kinds[index].name);
    return good;
}

void
disk_figures(const struct store *store, struct store_figures *figures)
{
    const struct disk *disk = store->disk;
    MDB_envinfo info;
    MDB_stat stat;

    stat = journal_stat(store);
    figures->journal_count = stat.ms_entries;
    figures->journal_bytes = (stat.ms_leaf_pages + stat.ms_overflow_pages) * (uint64_t)stat.ms_psize;
    figures->dirty_count = sweep_dirty_count(&disk->sweep);
    if (disk->env == NULL || mdb_env_info(disk->env, &info) != 0 || mdb_env_stat(disk->env, &stat) != 0)
        return;
    figures->store_bytes = (info.me_last_pgno + 1) * (uint64_t)stat.ms_psize;
}
