/* disk.c: the truth in LMDB: values, transactions and reads.
 *
 *     meta        the store's row (position, cut, running pass), the history consumer's cursor
 *     journal     position -> stamp, commands, after-images        journal.c
 *     one table for each row of records.def and history.def, by 64-bit key
 *     history     user_no, event_no, index (big-endian) -> history_record, the consumer's own
 *
 * Every value ends in a check of its table, key and bytes. Transactions that write are made under the write lock, which
 * orders the instances. How a batch comes here is in disk_commit.c. */
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

#define ROOM_LEAST (16u << 20) /* less free room than this is a full disk when a write fell short */

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
    disk_fill_value(&value, bytes, size, check);
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
    bool fell_short = error == EIO && looks_full(store->disk);
    enum store_status status = fell_short || disk_status_of(error) == STORE_NO_ROOM ? STORE_NO_ROOM : STORE_FAULT;

    store_fail(store, status, "%s: %s: %s", store->disk->file, what,
               fell_short ? "the disk is full, or the file at its size limit" : mdb_strerror(error));
}

/* --- transactions ----------------------------------------------------------------------------- */
/* Nobody else is at this environment, or we are only allowed to read it. */
static bool
needs_no_lock(const struct disk *disk)
{
    return (disk->open_flags & (MDB_NOLOCK | MDB_RDONLY)) != 0;
}

int
disk_take_write_lock(struct disk *disk)
{
    return needs_no_lock(disk) ? 0 : write_lock_take(&disk->write_lock, disk->env);
}

void
disk_give_write_lock(struct disk *disk)
{
    if (!needs_no_lock(disk))
        write_lock_give(&disk->write_lock, disk->env);
}

int
disk_hold(struct disk *disk)
{
    int error = disk->holds == 0 ? disk_take_write_lock(disk) : 0;

    disk->holds += error == 0;
    return error;
}

void
disk_release(struct disk *disk)
{
    assert(disk->holds > 0);
    if (--disk->holds == 0)
        disk_give_write_lock(disk);
}

int
disk_write_begin_locked(struct disk *disk, MDB_txn **txn)
{
    int error = lmdb_txn_begin(disk->env, 0, txn);

    if (error != 0)
        disk_give_write_lock(disk);
    return error;
}

int
disk_write_begin(struct disk *disk, MDB_txn **txn)
{
    int error = disk_take_write_lock(disk);

    return error != 0 ? error : disk_write_begin_locked(disk, txn);
}

int
disk_write_commit(struct disk *disk, MDB_txn *txn)
{
    int error = lmdb_txn_commit(txn);

    disk_give_write_lock(disk);
    return error;
}

void
disk_write_abort(struct disk *disk, MDB_txn *txn)
{
    mdb_txn_abort(txn);
    disk_give_write_lock(disk);
}

int
disk_read_new(struct disk *disk, MDB_txn **txn)
{
    int error = disk_take_write_lock(disk);

    if (error != 0)
        return error;
    error = lmdb_txn_begin(disk->env, MDB_RDONLY, txn);
    disk_give_write_lock(disk);
    return error;
}

/* A process that was killed while it read keeps its pages from being used again until somebody notices. */
static int
check_readers(struct disk *disk)
{
    bool ours = disk->write != NULL || disk->holds > 0; /* we hold the lock already */
    int dead, error = ours ? 0 : disk_take_write_lock(disk);

    if (error != 0)
        return error;
    error = mdb_reader_check(disk->env, &dead);
    if (!ours)
        disk_give_write_lock(disk);
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
disk_work_aside(struct disk *disk)
{
    if (disk->front.file < 0 || disk->runner != NULL)
        return;
    /* Without them the owner does it all itself. */
    disk->runner = runner_open();
    disk->carrying->runner = runner_open();
}

void
disk_close(struct disk *disk)
{
    if (disk == NULL)
        return;
    if (disk->write != NULL)
        disk_write_abort(disk, disk->write);
    runner_close(disk->runner);
    if (disk->carrying != NULL) {
        runner_close(disk->carrying->runner);
        free(disk->carrying->rows.data);
        free(disk->carrying);
    }
    disk_env_close(disk);
    front_close(&disk->front);
    write_lock_close(&disk->write_lock);
    pthread_rwlock_destroy(&disk->env_lock);
    sweep_close(&disk->sweep);
    free(disk->journal_value.data);
    free(disk);
}

int
disk_env_open_anew(struct disk *disk)
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
    error = disk->env_broken ? disk_env_open_anew(disk) : 0;
    if (error == 0 && disk->read != NULL) {
        error = lmdb_txn_renew(disk->read);
    } else if (error == 0) {
        error = disk->holds > 0 ? lmdb_txn_begin(disk->env, MDB_RDONLY, &disk->read) : disk_read_new(disk, &disk->read);
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

MDB_stat
disk_journal_stat(const struct store *store)
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

void
disk_figures(const struct store *store, struct store_figures *figures)
{
    const struct disk *disk = store->disk;
    MDB_envinfo info;
    MDB_stat stat;

    stat = disk_journal_stat(store);
    figures->journal_count = stat.ms_entries + front_count(&disk->front);
    figures->journal_bytes = (stat.ms_leaf_pages + stat.ms_overflow_pages) * (uint64_t)stat.ms_psize;
    figures->journal_bytes += front_bytes(&disk->front);
    figures->dirty_count = sweep_dirty_count(&disk->sweep);
    if (disk->env == NULL || mdb_env_info(disk->env, &info) != 0 || mdb_env_stat(disk->env, &stat) != 0)
        return;
    figures->store_bytes = (info.me_last_pgno + 1) * (uint64_t)stat.ms_psize;
}
