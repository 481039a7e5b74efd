/* disk_open.c: opening a data directory: is it one, may we, is it ours; then the tables into memory and the journal's
 * changes on top. Each refusal is one line that says what is wrong, where, and what to do. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "server/store/digest.h"
#include "server/store/disk.h"
#include "server/store/disk_front.h"
#include "server/store/disk_open.h"
#include "server/store/journal.h"
#include "server/store/migrate.h"
#include "server/store/snapshot.h"
#include "server/store/unmade.h"

#define MAP_BYTES_USUAL     (UINT64_C(256) << 30)
#define SLICE_RECORDS_USUAL 1024u
#define JOURNAL_BYTES_USUAL (UINT64_C(16) << 20)
#define FRONT_BYTES_USUAL   (UINT32_C(4) << 20) /* docs/architecture.md says what others cost */

/* --- the file --------------------------------------------------------------------------------- */
/* A file that was cut short would end in SIGBUS on the first read of what is missing. Zeroes in its place are seen as
 * damage. (It may lack its last pages rightly: LMDB does not write pages that a transaction took and dropped.) Done
 * under LMDB's write lock, so that nobody lengthens it at the same time. */
static int
mend_length(const struct disk *disk)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct stat file;
    int descriptor, error;
    off_t length;

    error = mdb_env_info(disk->env, &info);
    if (error == 0)
        error = mdb_env_stat(disk->env, &stat);
    if (error == 0)
        error = mdb_env_get_fd(disk->env, &descriptor);
    if (error != 0)
        return error;
    length = (off_t)(info.me_last_pgno + 1) * (off_t)stat.ms_psize;
    if (fstat(descriptor, &file) != 0)
        return errno;
    return file.st_size < length && ftruncate(descriptor, length) != 0 ? errno : 0;
}

/* Is this environment ours? Reads the meta row; *fresh says that there is nothing in it at all. */
static enum store_status
check_meta(const struct opening *opening, MDB_txn *txn, bool *fresh)
{
    struct disk *disk = opening->store->disk;
    uint64_t number = DISK_META_STORE;
    MDB_val key = {sizeof number, &number}, value;
    struct disk_meta head;
    MDB_stat stat;
    int error = mdb_env_stat(disk->env, &stat);

    if (error != 0)
        return disk_refuse_error(opening, disk->file, error);
    *fresh = stat.ms_entries == 0;
    if (*fresh)
        return STORE_OK;
    error = lmdb_dbi_open(txn, disk_table_name(DISK_META), MDB_INTEGERKEY, &disk->dbi[DISK_META]);
    if (error == 0)
        error = lmdb_get(txn, disk->dbi[DISK_META], &key, &value);
    if (error == MDB_NOTFOUND || error == MDB_INCOMPATIBLE)
        return disk_refuse_error(opening, disk->file, MDB_INVALID);
    if (error != 0)
        return disk_refuse_error(opening, disk->file, error);
    if (value.mv_size < offsetof(struct disk_meta, sweep_table) ||
        memcmp(value.mv_data, DISK_MAGIC, sizeof head.magic) != 0)
        return disk_refuse_error(opening, disk->file, MDB_INVALID);
    memcpy(&head, value.mv_data, offsetof(struct disk_meta, sweep_table));
    if (head.schema > STORE_SCHEMA)
        return disk_refuse(
            opening, STORE_NEWER,
            "%s: was written by a newer usherd (schema %u; this one knows up to %u); use the newer program", disk->file,
            head.schema, STORE_SCHEMA);
    error = disk_get(disk, txn, DISK_META, DISK_META_STORE, &disk->meta, sizeof disk->meta);
    if (error != 0)
        return disk_refuse(opening, STORE_DAMAGED,
                           "%s: table meta, key %d: the check does not fit; restore the last backup", disk->file,
                           DISK_META_STORE);
    return STORE_OK;
}

/* The first records of a new store, in the transaction that makes it. */
static int
write_fresh(struct store *store, MDB_txn *txn)
{
    struct disk *disk = store->disk;
    int error = disk_tables_open(disk, txn, MDB_CREATE);

    disk->meta = (struct disk_meta){.schema = STORE_SCHEMA, .writer = disk->writer};
    memcpy(disk->meta.magic, DISK_MAGIC, sizeof disk->meta.magic);
    store_fill_fresh(store);
    for (size_t at = 0; error == 0 && at < store->batch.touched_count; at++) {
        const struct batch_touch *touched = &store->batch.touched[at];
        const struct table *table = &store->tables[touched->table];

        error = disk_put_number(disk, txn, touched->table, table_key(table, touched->slot),
                                table_record(table, touched->slot), table->kind->record_size, 0);
    }
    digest_of_batch(store);
    if (error == 0)
        error = disk_digest_write(store, txn, 0);
    digest_settle(store);
    store_batch_over(store);
    if (error == 0)
        error = disk_put_number(disk, txn, DISK_META, DISK_META_STORE, &disk->meta, sizeof disk->meta, 0);
    return error;
}

static enum store_status
refuse_damaged(const struct opening *opening, unsigned table, uint64_t key)
{
    return disk_refuse(opening, STORE_DAMAGED,
                       "%s: table %s, key %llu: the check does not fit; restore the last backup",
                       opening->store->disk->file, disk_table_name(table), (unsigned long long)key);
}

/* Bring a store of an older schema up to ours. */
static enum store_status
migrate(const struct opening *opening)
{
    struct disk *disk = opening->store->disk;
    struct migrate_place place;
    size_t count;
    const struct migration *migrations = disk_migrations(&count);
    int error = disk_migrate(disk, migrations, count, STORE_SCHEMA, &place);

    if (error == MDB_VERSION_MISMATCH)
        return disk_refuse(opening, STORE_NOT_ONE, "%s: says that it was written by schema %u, which never was",
                           disk->file, disk->meta.schema);
    if (error == MDB_CORRUPTED)
        return refuse_damaged(opening, place.table, place.key);
    return error != 0 ? disk_refuse_error(opening, disk->file, error) : STORE_OK;
}

/* The journal's front: what an earlier process left in it comes into LMDB before anything is read. */
static enum store_status
open_front(const struct opening *opening, MDB_txn *txn, bool fresh)
{
    struct disk *disk = opening->store->disk;
    const char *why;
    int error;

    if (fresh && disk_front_is_anothers(disk))
        return disk_refuse(opening, STORE_NOT_ONE,
                           "%s: the directory holds the " DISK_FRONT_FILE " of a store and no " DISK_STORE_FILE
                           "; put the " DISK_STORE_FILE " back that was beside it, or name an empty or a new directory",
                           opening->options->directory);
    error = disk_front_open(disk, txn, &why);
    if (why != NULL)
        return disk_refuse(opening, STORE_DAMAGED, "%s/" DISK_FRONT_FILE ": %s", opening->options->directory, why);
    return error != 0 ? disk_refuse_error(opening, disk->file, error) : STORE_OK;
}

/* In the transaction that looks at the file: what is ours to make or to mend. */
static enum store_status
prepare(const struct opening *opening, MDB_txn *txn, bool *fresh)
{
    struct disk *disk = opening->store->disk;
    int error = mend_length(disk);
    enum store_status status =
        error != 0 ? disk_refuse_error(opening, disk->file, error) : check_meta(opening, txn, fresh);

    if (status != STORE_OK)
        return status;
    error = *fresh ? write_fresh(opening->store, txn) : disk_tables_open(disk, txn, MDB_CREATE);
    return error != 0 ? disk_refuse_error(opening, disk->file, error) : open_front(opening, txn, *fresh);
}

static enum store_status
open_file(const struct opening *opening, bool *fresh)
{
    struct disk *disk = opening->store->disk;
    enum store_status status;
    MDB_txn *txn;
    int error = disk_env_open_first(disk, opening->options->directory);

    if (error == 0)
        error = write_lock_be_present(&disk->write_lock, disk->file);
    if (error == 0)
        error = disk_write_begin(disk, &txn);
    if (error != 0)
        return disk_refuse_error(opening, disk->file, error);
    status = prepare(opening, txn, fresh);
    if (status != STORE_OK) {
        disk_write_abort(disk, txn);
        return status;
    }
    error = disk_write_commit(disk, txn);
    if (error != 0)
        return disk_refuse_error(opening, disk->file, error);
    front_clear(&disk->front); /* LMDB has it all */
    return migrate(opening);
}

/* --- loading ---------------------------------------------------------------------------------- */
/* Walk a table; each good value goes to `take`, which returns false when it can't be what it should be. */
static enum store_status
load_table(const struct opening *opening, MDB_txn *txn, unsigned table,
           bool (*take)(struct store *store, unsigned table, uint64_t key, const void *bytes, size_t size))
{
    MDB_cursor *cursor;
    MDB_val key, value;
    uint64_t number = 0;
    size_t size;
    int error = lmdb_cursor_open(txn, opening->store->disk->dbi[table], &cursor);

    if (error != 0)
        return disk_refuse_error(opening, opening->store->disk->file, error);
    while ((error = lmdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        if (key.mv_size == sizeof number)
            memcpy(&number, key.mv_data, sizeof number);
        if (key.mv_size != sizeof number || !disk_value_good(table, &key, &value, &size) ||
            !take(opening->store, table, number, value.mv_data, size)) {
            mdb_cursor_close(cursor);
            return refuse_damaged(opening, table, number);
        }
    }
    mdb_cursor_close(cursor);
    if (error == MDB_NOTFOUND)
        return STORE_OK;
    return error == MDB_CORRUPTED || error == MDB_PAGE_NOTFOUND
               ? refuse_damaged(opening, table, number)
               : disk_refuse_error(opening, opening->store->disk->file, error);
}

static bool
take_record(struct store *store, unsigned number, uint64_t key, const void *bytes, size_t size)
{
    struct table *table = &store->tables[number];
    uint64_t check;
    uint32_t slot;

    if (size != table->kind->record_size || memcmp(bytes, &key, sizeof key) != 0)
        return false;
    slot = table_take(table, key)->slot;
    memcpy(table_record(table, slot), bytes, size);
    *table_flags(table, slot) = TABLE_PRESENT;
    memcpy(&check, (const uint8_t *)bytes + size, sizeof check); /* it was looked at */
    digest_add(table, slot, check);
    table->count++;
    return true;
}

struct loading {
    struct store *store;
    uint64_t position;
};

/* A change of the journal stands in memory now. It is in its table already if the running pass has gone by. */
static void
mark_loaded(void *context, struct table *table, uint32_t slot)
{
    const struct loading *loading = context;
    struct disk *disk = loading->store->disk;
    const struct disk_meta *meta = &disk->meta;
    bool in_pass = loading->position <= meta->pass_start;
    unsigned number = table->kind->number;

    if (in_pass &&
        (number < meta->sweep_table || (number == meta->sweep_table && table_key(table, slot) <= meta->sweep_key))) {
        if ((*table_flags(table, slot) & (TABLE_PRESENT | TABLE_DIRTY)) == 0)
            table_give_back(table, slot);
        return;
    }
    sweep_mark(&disk->sweep, table, slot, in_pass);
}

static bool
take_batch(struct store *store, unsigned number, uint64_t position, const void *bytes, size_t size)
{
    struct loading loading = {store, position};
    struct disk *disk = store->disk;

    assert(number == DISK_JOURNAL);
    if (position <= disk->meta.cut)
        return true;
    if (position > disk->meta.pass_start)
        disk->sweep.bytes_since += size;
    return journal_apply(store->tables, bytes, size, mark_loaded, &loading);
}

static bool
take_answer(struct store *store, unsigned number, uint64_t answer_no, const void *bytes, size_t size)
{
    struct answer_row answer; /* its head alone: to clear the body's room would cost more than all the rest */

    assert(number == STORE_TABLE_ANSWER);
    if (size < offsetof(struct answer_row, body))
        return false;
    memcpy(&answer, bytes, offsetof(struct answer_row, body));
    if (answer.answer_no != answer_no || answer.body_size > ANSWER_BODY_MOST ||
        size != offsetof(struct answer_row, body) + answer.body_size)
        return false;
    map_add_soon(store->disk->answers, history_answer_hash(store->history, answer.scope, &answer.request_id),
                 answer_no);
    if (answer_no > store->history->last_answer_no)
        store->history->last_answer_no = answer_no;
    return true;
}

/* The index of answers is built beside the records, by a thread of its own: it is as much work as all of them. */
struct beside {
    struct opening opening; /* its own, with a line of its own for what goes wrong */
    MDB_txn *txn;
    pthread_t thread;
    enum store_status status;
    char why[512];
};

static void *
load_answers(void *argument)
{
    struct beside *beside = argument;
    struct store *store = beside->opening.store;
    struct map_coming answers = {.map = &store->history->answers};
    MDB_stat stat;

    if (mdb_stat(beside->txn, store->disk->dbi[STORE_TABLE_ANSWER], &stat) == 0)
        map_reserve(&store->history->answers, stat.ms_entries);
    store->disk->answers = &answers;
    beside->status = load_table(&beside->opening, beside->txn, STORE_TABLE_ANSWER, take_answer);
    map_add_rest(&answers);
    store->disk->answers = NULL;
    return NULL;
}

/* Begin it. When another instance has written between the two transactions, the answers wait for their turn. */
static enum store_status
begin_beside(struct beside *beside, const struct opening *opening, MDB_txn *txn)
{
    const struct disk *disk = opening->store->disk;
    int error;

    *beside = (struct beside){.opening = *opening};
    beside->opening.why = beside->why;
    beside->opening.why_size = sizeof beside->why;
    if (disk->pinned) /* a snapshot's tables are known to its own transaction alone */
        return STORE_OK;
    error = lmdb_txn_begin(disk->env, MDB_RDONLY, &beside->txn);
    if (error != 0)
        return disk_refuse_error(opening, disk->file, error);
    if (mdb_txn_id(beside->txn) == mdb_txn_id(txn) && pthread_create(&beside->thread, NULL, load_answers, beside) == 0)
        return STORE_OK;
    mdb_txn_abort(beside->txn);
    beside->txn = NULL;
    return STORE_OK;
}

static enum store_status
end_beside(struct beside *beside, MDB_txn *txn)
{
    if (beside->txn == NULL) {
        beside->txn = txn;
        (void)load_answers(beside);
    } else {
        pthread_join(beside->thread, NULL);
        mdb_txn_abort(beside->txn);
    }
    return beside->status;
}

static enum store_status
load_records(const struct opening *opening, MDB_txn *txn)
{
    enum store_status status = STORE_OK;

    for (unsigned number = 1; status == STORE_OK && number < STORE_RECORD_TABLES; number++)
        status = load_table(opening, txn, number, take_record);
    if (status == STORE_OK)
        status = load_table(opening, txn, DISK_JOURNAL, take_batch);
    return status;
}

/* All tables, as one transaction sees them, and the indexes. What the records say goes before what the answers say. */
static enum store_status
load_tables(const struct opening *opening, MDB_txn *txn)
{
    struct beside beside;
    enum store_status status = begin_beside(&beside, opening, txn), answers;

    if (status != STORE_OK)
        return status;
    status = load_records(opening, txn);
    if (status == STORE_OK)
        indexes_build(opening->store->indexes);
    if (status != STORE_OK && beside.txn == NULL)
        return status;
    answers = end_beside(&beside, txn);
    if (status != STORE_OK || answers == STORE_OK)
        return status;
    snprintf(opening->why, opening->why_size, "%s", beside.why);
    return answers;
}

static enum store_status
compare_digest(const struct opening *opening, MDB_txn *txn)
{
    struct store *store = opening->store;
    int error = disk_digest_follow(store, txn);

    if (error != 0)
        return disk_refuse_error(opening, store->disk->file, error);
    return store->unsound[0] == '\0' ? STORE_OK : disk_refuse(opening, STORE_DAMAGED, "%s", store->unsound);
}

static enum store_status
load_from(const struct opening *opening, MDB_txn *txn)
{
    struct store *store = opening->store;
    enum store_status status = STORE_OK;
    int error;

    error = disk_get(store->disk, txn, DISK_META, DISK_META_STORE, &store->disk->meta, sizeof store->disk->meta);
    if (error != 0)
        status = disk_refuse_error(opening, store->disk->file, error);
    if (status == STORE_OK)
        status = load_tables(opening, txn);
    store->position = store->disk->meta.position;
    if (status == STORE_OK)
        status = compare_digest(opening, txn);
    sweep_resume(&store->disk->sweep, store->disk->meta.pass_start);
    return status;
}

static enum store_status
load(const struct opening *opening)
{
    MDB_txn *txn = disk_read_begin(opening->store);
    enum store_status status;

    if (txn == NULL)
        return disk_refuse(opening, STORE_FAULT, "%s", opening->store->trouble->text);
    opening->store->disk->seen = mdb_txn_id(txn);
    status = load_from(opening, txn);
    disk_read_end(opening->store, txn);
    return status;
}

static void
swap_records(struct store *one, struct store *other)
{
    struct table *tables = one->tables;
    struct indexes *indexes = one->indexes;
    struct history *history = one->history;

    one->tables = other->tables;
    one->indexes = other->indexes;
    one->history = other->history;
    other->tables = tables;
    other->indexes = indexes;
    other->history = history;
}

enum store_status
disk_load_anew(struct store *store, MDB_txn *txn, char *why, size_t why_size)
{
    const struct store_options none = {.directory = ""};
    struct opening opening = {&none, store_new(false), why, why_size};
    struct disk *disk = store->disk;
    struct sweep sweep = {.slice_records = disk->sweep.slice_records,
                          .journal_bytes = disk->sweep.journal_bytes,
                          .pass_flag = TABLE_EVEN};
    const struct sweep old_sweep = disk->sweep;
    const struct disk_meta old_meta = disk->meta;
    enum store_status status;

    if (opening.store == NULL)
        return disk_refuse(&opening, STORE_FAULT, "libsodium gives no random numbers");
    disk->sweep = sweep;
    opening.store->disk = disk;
    status = load_from(&opening, txn);
    sweep = disk->sweep;
    if (status == STORE_OK) {
        swap_records(store, opening.store);
        store->position = opening.store->position;
        sweep = old_sweep;
    } else {
        disk->sweep = old_sweep;
        disk->meta = old_meta;
    }
    sweep_close(&sweep); /* of what goes */
    opening.store->disk = NULL;
    store_close(opening.store);
    return status;
}

/* --- all of it -------------------------------------------------------------------------------- */
static struct disk *
disk_new(const struct store_options *options)
{
    struct disk *disk = store_allocate(1, sizeof *disk);

    snprintf(disk->file, sizeof disk->file, "%s/" DISK_STORE_FILE, options->directory);
    disk->map_bytes = options->map_bytes != 0 ? options->map_bytes : MAP_BYTES_USUAL;
    disk->open_flags = MDB_NOSUBDIR | MDB_NOTLS | (options->unsafe_no_sync ? MDB_NOSYNC : 0);
    disk->sweep.slice_records = options->slice_records != 0 ? options->slice_records : SLICE_RECORDS_USUAL;
    disk->sweep.journal_bytes = options->journal_bytes != 0 ? options->journal_bytes : JOURNAL_BYTES_USUAL;
    disk->sweep.pass_flag = TABLE_EVEN;
    disk->front.file = -1;
    disk->carrying = store_allocate(1, sizeof *disk->carrying);
    if (!options->unsafe_no_sync && !options->no_front)
        disk->front_bytes = options->front_bytes != 0 ? options->front_bytes : FRONT_BYTES_USUAL;
    pthread_rwlock_init(&disk->env_lock, NULL);
    write_lock_open(&disk->write_lock);
    randombytes_buf(&disk->writer, sizeof disk->writer);
    return disk;
}

enum store_status
store_open(const struct store_options *options, struct store **store, char *why, size_t why_size)
{
    struct opening opening = {options, NULL, why, why_size};
    enum store_status status;
    bool fresh = false;

    *store = NULL;
    if (why_size > 0)
        why[0] = '\0';
    if (strlen(options->directory) + sizeof "/" DISK_STORE_FILE "-lock" > sizeof((struct disk *)0)->file)
        return disk_refuse(&opening, STORE_NO_ACCESS, "the path of the data directory is too long; name a shorter one");
    status = disk_check_directory(&opening);
    if (status != STORE_OK)
        return status;
    opening.store = store_new(false);
    if (opening.store == NULL)
        return disk_refuse(&opening, STORE_FAULT, "libsodium can't be started; the system gives no random numbers");
    opening.store->disk = disk_new(options);
    status = open_file(&opening, &fresh);
    if (status == STORE_OK && !fresh)
        status = load(&opening);
    if (status != STORE_OK) {
        store_close(opening.store);
        return status;
    }
    *store = opening.store;
    return STORE_OK;
}

/* --- a snapshot ------------------------------------------------------------------------------- */
/* The store's file within a directory, or the path itself; LMDB's locks are left out for a file that lies alone. */
static enum store_status
find_snapshot_file(const struct opening *opening, struct disk *disk)
{
    const char *path = opening->options->directory;
    char lock[sizeof disk->file + 8];
    struct stat status;

    if (stat(path, &status) != 0)
        return disk_refuse_error(opening, path, errno);
    if (!S_ISDIR(status.st_mode))
        snprintf(disk->file, sizeof disk->file, "%s", path);
    if (stat(disk->file, &status) != 0)
        return disk_refuse_error(opening, disk->file, errno);
    snprintf(lock, sizeof lock, "%s-lock", disk->file);
    disk->open_flags = MDB_NOSUBDIR | MDB_NOTLS | MDB_RDONLY;
    if (strcmp(path, disk->file) == 0 && stat(lock, &status) != 0)
        disk->open_flags |= MDB_NOLOCK;
    disk->map_bytes = 0; /* as large as the store's own */
    return STORE_OK;
}

static enum store_status
open_snapshot_file(const struct opening *opening)
{
    struct disk *disk = opening->store->disk;
    bool fresh;
    int error = disk_env_open(disk);
    enum store_status status;

    if (error == 0)
        error = disk_read_new(disk, &disk->read);
    if (error != 0) {
        disk->read = NULL;
        return disk_refuse_error(opening, disk->file, error);
    }
    disk->pinned = true;
    status = check_meta(opening, disk->read, &fresh);
    if (status != STORE_OK)
        return status;
    if (fresh)
        return disk_refuse_error(opening, disk->file, MDB_INVALID);
    if (disk->meta.schema < STORE_SCHEMA)
        return disk_refuse(
            opening, STORE_NOT_ONE,
            "%s: was written by an older usherd (schema %u; this one reads %u); start usherd on it once, "
            "which brings it up",
            disk->file, disk->meta.schema, STORE_SCHEMA);
    error = disk_tables_open(disk, disk->read, 0);
    opening->store->position = disk->meta.position;
    return error != 0 ? disk_refuse_error(opening, disk->file, error) : STORE_OK;
}

/* Open what is on the disk; *waits says that a server, or one that was killed, has more in the journal's front. */
static enum store_status
open_snapshot(const struct opening *opening, bool *waits)
{
    struct disk *disk = opening->store->disk;
    enum store_status status = find_snapshot_file(opening, disk);

    if (status == STORE_OK)
        status = open_snapshot_file(opening);
    if (status == STORE_OK)
        *waits = (disk->open_flags & MDB_NOLOCK) == 0 && disk_front_waits(disk, disk->read);
    return status;
}

/* Carry it over, as a start does. */
static enum store_status
carry_over(const struct opening *opening)
{
    bool fresh = false;

    opening->store->disk->front_bytes = 0; /* it is not going to write */
    return open_file(opening, &fresh);
}

enum store_status
store_open_snapshot(const char *path, struct store **store, char *why, size_t why_size)
{
    const struct store_options options = {.directory = path};
    struct opening opening = {&options, NULL, why, why_size};
    enum store_status (*const steps[])(const struct opening *opening) = {NULL, carry_over, NULL};
    enum store_status status = STORE_OK;
    bool waits = true;

    *store = NULL;
    if (strlen(path) + sizeof "/" DISK_STORE_FILE "-lock" > sizeof((struct disk *)0)->file)
        return disk_refuse(&opening, STORE_NO_ACCESS, "the path is too long; name a shorter one");
    for (size_t step = 0; status == STORE_OK && waits && step < sizeof steps / sizeof *steps; step++) {
        store_close(opening.store);
        opening.store = store_new(false);
        if (opening.store == NULL)
            return disk_refuse(&opening, STORE_FAULT, "libsodium can't be started; the system gives no random numbers");
        opening.store->disk = disk_new(&options);
        status = steps[step] != NULL ? steps[step](&opening) : open_snapshot(&opening, &waits);
    }
    if (status == STORE_OK)
        *store = opening.store;
    else
        store_close(opening.store);
    return status;
}

enum store_status
store_load_snapshot(struct store *store, char *why, size_t why_size)
{
    const struct store_options options = {0};
    struct opening opening = {&options, store, why, why_size};

    assert(store->disk->pinned);
    return load(&opening);
}
