/* snapshot.c: reading a store's file row by row, and copying it. See snapshot.h; opening one is in disk_open.c. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/store/consumer.h"
#include "server/store/disk.h"
#include "server/store/folder.h"
#include "server/store/history.h"
#include "server/store/snapshot.h"

_Static_assert((int)STORE_DISK_META == (int)DISK_META, "one number for each table");
_Static_assert((int)STORE_DISK_JOURNAL == (int)DISK_JOURNAL, "one number for each table");
_Static_assert((int)STORE_DISK_HISTORY == (int)DISK_HISTORY, "one number for each table");
_Static_assert((int)STORE_DISK_TABLES == (int)DISK_TABLES, "one number for each table");

const char *
store_table_name(unsigned table)
{
    return disk_table_name(table);
}

bool
store_snapshot_meta(const struct store *store, struct store_meta *meta)
{
    const struct disk_meta *kept = &store->disk->meta;

    *meta = (struct store_meta){
        .schema = kept->schema, .position = kept->position, .cut = kept->cut, .pass_start = kept->pass_start};
    meta->consumer_cursor = disk_consumer_cursor(store);
    return store->trouble->status == STORE_OK;
}

bool
store_snapshot_history_digest(const struct store *store, uint64_t *digest)
{
    MDB_txn *txn = disk_read_begin(store);

    if (txn == NULL)
        return false;
    int error = disk_digest_recount_history(store->disk, txn, digest);
    disk_read_end(store, txn);
    return error == 0;
}

/* --- walking ---------------------------------------------------------------------------------- */
#define CONSUMER_KEY_SIZE 18u

static uint64_t
big_endian(const uint8_t *bytes, size_t size)
{
    uint64_t number = 0;

    for (size_t at = 0; at < size; at++)
        number = number << 8 | bytes[at];
    return number;
}

const char *
store_row_key(const struct store_row *row, char text[64])
{
    if (row->table == DISK_HISTORY && row->key_size == CONSUMER_KEY_SIZE)
        snprintf(text, 64, "%" PRIu64 ".%" PRIu64 ".%" PRIu64, big_endian(row->key, 8), big_endian(row->key + 8, 8),
                 big_endian(row->key + 16, 2));
    else
        snprintf(text, 64, "%" PRIu64, row->number);
    return text;
}

static const char *
form_of_history(const struct store_row *row)
{
    union {
#define STORE_HISTORY(number, NAME, name, text) struct name##_row name;
#include "server/store/history.def"
        uint64_t key;
    } filled;

    if (!history_fill(row->table - HISTORY_FIRST, row->bytes, row->size, &filled))
        return "its length is not what it says of itself";
    return filled.key == row->number ? NULL : "it is the row of another key";
}

static const char *
form_of_consumer(const struct store_row *row)
{
    struct history_record record;

    if (row->key_size != CONSUMER_KEY_SIZE)
        return "its key has a wrong length";
    if (row->size != sizeof record)
        return "its length is wrong";
    memcpy(&record, row->bytes, sizeof record);
    return record.user_no == big_endian(row->key, 8) && record.event_no == big_endian(row->key + 8, 8) &&
                   record.index == big_endian(row->key + 16, 2)
               ? NULL
               : "it is the row of another key";
}

static const char *
form_of_meta(const struct store_row *row)
{
    if (row->number == DISK_META_STORE)
        return row->size == sizeof(struct disk_meta) ? NULL : "its length is wrong";
    if (row->number == DISK_META_CONSUMER)
        return row->size == sizeof(uint64_t) ? NULL : "its length is wrong";
    if (row->number == DISK_META_DIGEST)
        return row->size == sizeof(struct disk_digest) ? NULL : "its length is wrong";
    if (row->number == DISK_META_FRONT)
        return row->size == sizeof(uint64_t) ? NULL : "its length is wrong";
    return "there is no such row";
}

/* What a row should look like, by itself alone. */
static const char *
form_of(const struct store_row *row)
{
    uint64_t key;

    if (row->table == DISK_HISTORY)
        return form_of_consumer(row);
    if (row->key_size != sizeof key)
        return "its key has a wrong length";
    if (row->table == DISK_META)
        return form_of_meta(row);
    if (row->table == DISK_JOURNAL)
        return NULL;
    if (row->table >= HISTORY_FIRST)
        return form_of_history(row);
    if (row->size != table_kinds[row->table].record_size)
        return "its length is wrong";
    memcpy(&key, row->bytes, sizeof key);
    return key == row->number ? NULL : "it is the record of another key";
}

const char *
store_row_problem(const struct store_row *row)
{
    return form_of(row);
}

/* Keys ascend; anything else is a broken tree. */
static bool
ascends(unsigned table, const MDB_val *last, const MDB_val *key)
{
    uint64_t one, other;

    if (last->mv_size == 0)
        return true;
    if (table == DISK_HISTORY || last->mv_size != sizeof one || key->mv_size != sizeof other)
        return memcmp(last->mv_data, key->mv_data, last->mv_size < key->mv_size ? last->mv_size : key->mv_size) < 0;
    memcpy(&one, last->mv_data, sizeof one);
    memcpy(&other, key->mv_data, sizeof other);
    return one < other;
}

static struct store_row
row_of(unsigned table, const MDB_val *last, const MDB_val *key, const MDB_val *value)
{
    struct store_row row = {.table = table, .key = key->mv_data, .key_size = key->mv_size};
    bool good;

    if (key->mv_size == sizeof row.number)
        memcpy(&row.number, key->mv_data, sizeof row.number);
    if (value->mv_size < DISK_CHECK_SIZE) {
        row.problem = "it is too short to have a check";
        return row;
    }
    good = disk_value_good(table, key, value, &row.size);
    row.bytes = value->mv_data;
    row.problem = !good                        ? "the check does not fit"
                  : !ascends(table, last, key) ? "its key is out of order"
                                               : form_of(&row);
    return row;
}

const char *
store_walk(const struct store *store, unsigned table, bool (*visit)(void *context, const struct store_row *row),
           void *context)
{
    uint8_t last_bytes[512];
    MDB_val key, value, last = {0, last_bytes};
    MDB_cursor *cursor;
    MDB_txn *txn = disk_read_begin(store);
    int error = txn == NULL ? EIO : lmdb_cursor_open(txn, store->disk->dbi[table], &cursor);

    if (error != 0)
        return mdb_strerror(error);
    while ((error = lmdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        struct store_row row = row_of(table, &last, &key, &value);

        if (!visit(context, &row))
            break;
        last.mv_size = key.mv_size < sizeof last_bytes ? key.mv_size : sizeof last_bytes;
        memcpy(last_bytes, key.mv_data, last.mv_size);
    }
    mdb_cursor_close(cursor);
    disk_read_end(store, txn);
    return error == 0 || error == MDB_NOTFOUND ? NULL : mdb_strerror(error);
}

bool
store_journal_commands(const uint8_t *value, size_t size, uint64_t *stamp_ms, const uint8_t **commands,
                       size_t *commands_size)
{
    struct reading reading = {value, size, true};
    uint64_t length;

    *stamp_ms = reading_number(&reading);
    length = reading_number(&reading);
    *commands = reading.data;
    *commands_size = length;
    return reading.good && length <= reading.left;
}

struct history_record
store_consumer_row(const struct event_row *event, const struct payment_row *payment, const struct refund_row *refund,
                   uint32_t index)
{
    struct history_record rows[PAYMENT_SEATS_MOST] = {0};

    if (refund != NULL)
        consumer_rows_of_refund(event, refund, rows);
    else
        consumer_rows_of_payment(event, payment, rows);
    return rows[index];
}

/* --- a copy ----------------------------------------------------------------------------------- */
struct copying {
    const char *file;
    char draft[PATH_MAX];
    char *why;
    size_t why_size;
};

static enum store_status
copy_failed(const struct copying *copying, const char *path, int error)
{
    static const char *const advice[] = {
        [STORE_NO_ACCESS] = "; name a place that this user can write to",
        [STORE_NO_ROOM] = "; make room there",
        [STORE_DAMAGED] = "; usherd check tells where the store is damaged",
    };
    enum store_status status = disk_status_of(error);
    const char *what = status < sizeof advice / sizeof *advice ? advice[status] : NULL;

    snprintf(copying->why, copying->why_size, "%s: %s%s", path, mdb_strerror(error), what != NULL ? what : "");
    return status;
}

/* Pages that a crash of the system leaked make LMDB refuse to compact; such a store is copied as it lies. */
static int
copy_pages(const struct store *store, int descriptor)
{
    int error = mdb_env_copyfd2(store->disk->env, descriptor, MDB_CP_COMPACT);

    if (error == MDB_INCOMPATIBLE) {
        if (ftruncate(descriptor, 0) != 0 || lseek(descriptor, 0, SEEK_SET) != 0)
            return errno;
        error = mdb_env_copyfd2(store->disk->env, descriptor, 0);
    }
    return error != 0 ? error : fsync(descriptor) != 0 ? errno : 0;
}

/* Over no other file; where the file system can't promise that (EINVAL), the look before the copy has to do. */
static int
give_name(const struct copying *copying)
{
    if (renameat2(AT_FDCWD, copying->draft, AT_FDCWD, copying->file, RENAME_NOREPLACE) == 0)
        return 0;
    return errno == EINVAL && rename(copying->draft, copying->file) == 0 ? 0 : errno;
}

static enum store_status
write_draft(const struct store *store, const struct copying *copying)
{
    int descriptor = open(copying->draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int error;

    if (descriptor < 0 && errno == EEXIST) {
        snprintf(copying->why, copying->why_size,
                 "%s is there already: another backup is being made, or one was killed; remove it then",
                 copying->draft);
        return STORE_NO_ACCESS;
    }
    if (descriptor < 0)
        return copy_failed(copying, copying->draft, errno);
    error = copy_pages(store, descriptor);
    if (close(descriptor) != 0 && error == 0)
        error = errno;
    if (error == 0)
        error = give_name(copying);
    if (error == 0)
        error = folder_sync_name(copying->file);
    else
        unlink(copying->draft);
    return error != 0 ? copy_failed(copying, copying->file, error) : STORE_OK;
}

enum store_status
store_backup(const struct store *store, const char *file, char *why, size_t why_size)
{
    struct copying copying = {.file = file, .why = why, .why_size = why_size};

    if (strlen(file) + sizeof ".new" > sizeof copying.draft)
        return copy_failed(&copying, file, ENAMETOOLONG);
    if (access(file, F_OK) == 0) {
        snprintf(why, why_size, "%s is there already; name a new file", file);
        return STORE_NO_ACCESS;
    }
    snprintf(copying.draft, sizeof copying.draft, "%s.new", file);
    return write_draft(store, &copying);
}
