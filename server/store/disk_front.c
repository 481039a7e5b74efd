/* disk_front.c: the journal's front between a batch and LMDB.
 *
 *     a batch, alone on the directory     one record in store.journal (front.c), one wait for the disk
 *     a half of it has filled, or a
 *     quiet moment                        what waits in the half -> journal table and history rows, with a slice of
 * older changes, in one transaction of LMDB beside the batches (disk_carry.c) no room there, or it can't be written the
 * same of all that waits, together with the batch another instance comes              it carries over what waits when
 * it opens; from then on each batch is a transaction of LMDB, which is what instances follow a start after a kill
 * carries over what waits before anything is read
 *
 * A commit of LMDB waits for the disk twice, and writes some 20 pages for 50 commands; the front waits once, for what
 * the batch itself has to say. In LMDB all is as if each batch had been committed to it by itself, a little later: who
 * reads it (the history consumer, backup, check) knows nothing of the front.
 *
 *     payload    struct batch_kept | value of the journal | row, row ... (kept.h)
 *
 * A record names the digests of all records and history before and after it. One that does not go on from where LMDB
 * stands is not applied: it belongs to another store, or to another life of this one. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "server/store/digest.h"
#include "server/store/disk.h"
#include "server/store/disk_front.h"
#include "server/store/disk_rows.h"

struct batch_kept {
    uint64_t records_before, history_before;
    uint64_t records, history;
    uint64_t value_size;
};

/* What the meta table says of the file. */
struct front_row {
    uint64_t salt;
};

static void
front_path(const struct disk *disk, char path[sizeof disk->file + 8])
{
    size_t length = strlen(disk->file) - strlen(DISK_STORE_FILE);

    snprintf(path, sizeof disk->file + 8, "%.*s%s", (int)length, disk->file, DISK_FRONT_FILE);
}

/* --- a batch ---------------------------------------------------------------------------------- */
bool
disk_front_is_ours(const struct disk *disk)
{
    return disk->front.file >= 0 && write_lock_is_alone(&disk->write_lock);
}

/* What the rows that the batch drops take from the history's digest, as far as LMDB alone has them. */
static int
take_dropped(struct store *store)
{
    struct disk *disk = store->disk;
    MDB_txn *txn = NULL;
    int error = 0;

    for (unsigned index = 0; index < HISTORY_TABLES; index++) {
        const struct history_table *table = &store->history->table[index];

        for (size_t at = 0; error == 0 && at < table->dropped_count; at++) {
            uint64_t number = table->dropped[at].key;
            MDB_val key = {sizeof number, &number}, value;

            if (table->dropped[at].row != HISTORY_NO_ROW)
                continue;
            if (txn == NULL && (txn = disk_read_begin(store)) == NULL)
                return EIO; /* its fault is kept already */
            error = lmdb_get(txn, disk->dbi[HISTORY_FIRST + index], &key, &value);
            if (error == 0)
                store->history->digest_change -= disk_check_of(&value);
            error = error == MDB_NOTFOUND ? 0 : error;
        }
    }
    if (txn != NULL)
        disk_read_end(store, txn);
    return error;
}

/* What came and went in this batch is put and taken out again. */
static uint8_t *
keep_rows(const struct history *history, uint8_t *out)
{
    size_t size = history->bytes.size - history->batch;

    if (size > 0)
        memcpy(out, history->bytes.data + history->batch, size);
    out += size;
    for (unsigned index = 0; index < HISTORY_TABLES; index++)
        for (size_t at = 0; at < history->table[index].dropped_count; at++) {
            const struct kept kept = {HISTORY_FIRST + index, KEPT_GOES, history->table[index].dropped[at].key};

            memcpy(out, &kept, sizeof kept);
            out += sizeof kept;
        }
    return out;
}

/* How large the open batch's record is. */
static size_t
size_of_batch(const struct store *store)
{
    const struct history *history = store->history;
    size_t size = sizeof(struct batch_kept) + store->disk->journal_value.size + history->bytes.size - history->batch;

    for (unsigned index = 0; index < HISTORY_TABLES; index++)
        size += history->table[index].dropped_count * sizeof(struct kept);
    return size;
}

static uint8_t *
keep_batch(const struct store *store, uint8_t *out)
{
    const struct bytes *value = &store->disk->journal_value;
    const struct history *history = store->history;
    const struct batch_kept kept = {
        .records_before = store_digest(store),
        .history_before = history->digest,
        .records = digest_with_batch(store),
        .history = history->digest + history->digest_change,
        .value_size = value->size,
    };

    memcpy(out, &kept, sizeof kept);
    memcpy(out + sizeof kept, value->data, value->size);
    return keep_rows(history, out + sizeof kept + value->size);
}

void
disk_front_turn(struct store *store)
{
    front_turn(&store->disk->front);
    history_turn(store->history);
}

/* In this half of the front, or at the beginning of the other one. */
static uint8_t *
room_for(struct store *store, size_t size)
{
    struct front *front = &store->disk->front;
    uint8_t *room = front_room(front, size);

    if (room != NULL || front->file < 0 || front->half[!front->writing].count > 0 ||
        front->half[front->writing].count == 0)
        return room;
    disk_front_turn(store);
    return front_room(front, size);
}

enum disk_front_outcome
disk_front_prepare(struct store *store)
{
    struct disk *disk = store->disk;
    size_t size = size_of_batch(store);
    uint8_t *room = room_for(store, size);
    int error;

    if (room == NULL)
        return DISK_FRONT_REFUSED;
    digest_of_history(store);
    error = take_dropped(store);
    if (error != 0) {
        disk_fail(store, error, "what the batch drops can't be read");
        return DISK_FRONT_FAULT;
    }
    const uint8_t *end = keep_batch(store, room);
    assert(end == room + size);
    disk->appending = (struct disk_appending){.position = store->position + 1, .size = size};
    return DISK_FRONT_DONE;
}

void
disk_front_write(void *argument)
{
    struct disk *disk = argument;
    struct disk_appending *appending = &disk->appending;

    appending->error = front_append(&disk->front, STORE_SCHEMA, appending->position, appending->size, &appending->lost);
}

enum disk_front_outcome
disk_front_written(struct store *store)
{
    const struct disk_appending *appending = &store->disk->appending;

    if (appending->error == 0)
        return DISK_FRONT_DONE;
    return appending->lost ? DISK_FRONT_UNKNOWN : DISK_FRONT_REFUSED;
}

/* --- carrying over ---------------------------------------------------------------------------- */
/* One record. MDB_BAD_VALSIZE: it does not go on from where LMDB stands. */
static int
carry_batch(struct disk_rows *rows, const struct front_head *head, struct disk_digest *digest)
{
    struct reading reading = {front_payload(head), head->size, true};
    struct batch_kept kept;
    int error;

    if (head->position <= digest->position)
        return 0;
    if (head->size < sizeof kept)
        return MDB_CORRUPTED;
    memcpy(&kept, reading.data, sizeof kept);
    reading.data += sizeof kept;
    reading.left -= sizeof kept;
    if (kept.value_size > reading.left)
        return MDB_CORRUPTED;
    if (head->position != digest->position + 1 || kept.records_before != digest->records ||
        kept.history_before != digest->history)
        return MDB_BAD_VALSIZE;
    error =
        disk_put_number(rows->disk, rows->txn, DISK_JOURNAL, head->position, reading.data, kept.value_size, MDB_APPEND);
    reading.data += kept.value_size;
    reading.left -= kept.value_size;
    if (error == 0)
        error = disk_rows_put_kept(rows, reading.data, reading.left);
    *digest = (struct disk_digest){head->position, kept.records, kept.history};
    return error;
}

/* Where LMDB stands. A store of before there were digests has no such row: it is believed to stand where we do. */
static int
read_digest(const struct disk *disk, MDB_txn *txn, struct front_walk walk, struct disk_digest *digest)
{
    int error = disk_get(disk, txn, DISK_META, DISK_META_DIGEST, digest, sizeof *digest);
    const struct front_head *head;
    struct batch_kept kept;

    if (error != MDB_NOTFOUND)
        return error;
    while ((head = front_next(&disk->front, &walk)) != NULL && head->position <= disk->meta.position)
        continue;
    if (head == NULL || head->size < sizeof kept)
        return MDB_CORRUPTED;
    memcpy(&kept, front_payload(head), sizeof kept);
    *digest = (struct disk_digest){disk->meta.position, kept.records_before, kept.history_before};
    return 0;
}

static int
carry(struct disk *disk, MDB_txn *txn, struct front_walk walk)
{
    struct disk_rows rows = {disk, txn, {NULL}};
    const struct front_head *head;
    struct disk_digest digest;
    int error = read_digest(disk, txn, walk, &digest);

    while (error == 0 && (head = front_next(&disk->front, &walk)) != NULL)
        error = carry_batch(&rows, head, &digest);
    disk_rows_close(&rows);
    if (error == 0)
        error = disk_put_number(disk, txn, DISK_META, DISK_META_DIGEST, &digest, sizeof digest, 0);
    return error;
}

int
disk_front_carry(struct disk *disk, MDB_txn *txn)
{
    return front_count(&disk->front) == 0 ? 0 : carry(disk, txn, front_walk_all(&disk->front));
}

int
disk_front_carry_half(struct disk *disk, MDB_txn *txn, unsigned half)
{
    return disk->front.half[half].count == 0 ? 0 : carry(disk, txn, front_walk_half(&disk->front, half));
}

void
disk_front_half_carried(struct store *store, unsigned half)
{
    history_carried(store->history, false);
    front_clear_half(&store->disk->front, half);
    store->disk->waiting_changes[half] = 0;
}

void
disk_front_carried(struct store *store)
{
    struct disk *disk = store->disk;

    history_carried(store->history, true);
    front_clear(&disk->front);
    disk->waiting_changes[0] = disk->waiting_changes[1] = 0;
}

/* --- opening ---------------------------------------------------------------------------------- */
/* The file that belongs to this store, if there is one, with what waits in it. */
static int
open_file(struct disk *disk, MDB_txn *txn)
{
    char path[sizeof disk->file + 8];
    struct front_row row;
    int error = disk_get(disk, txn, DISK_META, DISK_META_FRONT, &row, sizeof row);

    if (error != 0)
        return error == MDB_NOTFOUND ? 0 : error;
    front_path(disk, path);
    error = front_open(&disk->front, path, row.salt);
    if (error != 0)
        return error == ENOENT ? 0 : error;
    error = front_read(&disk->front, disk->meta.position);
    return error == EBADMSG ? MDB_CORRUPTED : error;
}

/* The records that a process left are LMDB's from here on. */
static int
carry_left(struct disk *disk, MDB_txn *txn)
{
    struct disk_digest digest;
    int error = disk_front_carry(disk, txn);

    if (error == 0)
        error = disk_get(disk, txn, DISK_META, DISK_META_DIGEST, &digest, sizeof digest);
    if (error != 0)
        return error;
    disk->meta.position = digest.position;
    disk->meta.writer = disk->writer;
    disk->meta.writes++;
    return disk_put_number(disk, txn, DISK_META, DISK_META_STORE, &disk->meta, sizeof disk->meta, 0);
}

/* A store without its file gets one. Where it can't have one, batches go to LMDB, as they do beside other instances. */
static int
make_file(struct disk *disk, MDB_txn *txn)
{
    char path[sizeof disk->file + 8];
    struct front_row row;

    if (disk->front.file >= 0 || disk->front_bytes == 0)
        return 0;
    front_path(disk, path);
    randombytes_buf(&row.salt, sizeof row.salt);
    if (front_make(&disk->front, path, disk->front_bytes, row.salt) != 0)
        return 0;
    return disk_put_number(disk, txn, DISK_META, DISK_META_FRONT, &row, sizeof row, 0);
}

int
disk_front_open(struct disk *disk, MDB_txn *txn, const char **why)
{
    int error = open_file(disk, txn);

    *why = NULL;
    if (error == MDB_CORRUPTED)
        *why = "a batch in the middle of it is damaged; restore the last backup";
    if (error == 0 && front_count(&disk->front) > 0) {
        error = carry_left(disk, txn);
        if (error == MDB_BAD_VALSIZE)
            *why = "it does not go on from where the store beside it ends, so the two do not belong together; put the "
                   "one back that was beside the store, or move this one away if the store was restored";
        else if (error == MDB_CORRUPTED)
            *why = "a batch in it is none; restore the last backup";
    }
    if (error == 0)
        error = make_file(disk, txn);
    if (error == 0 && disk->front_bytes == 0)
        front_close(&disk->front);
    return error;
}

bool
disk_front_waits(const struct disk *disk, MDB_txn *txn)
{
    struct disk looking = *disk;
    bool waits;

    looking.front.file = -1;
    waits = open_file(&looking, txn) != 0 || front_count(&looking.front) > 0;
    front_close(&looking.front);
    return waits;
}

bool
disk_front_is_anothers(const struct disk *disk)
{
    char path[sizeof disk->file + 8];

    front_path(disk, path);
    return front_is_used(path);
}
