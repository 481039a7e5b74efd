/* dump_load.c: making a store from the lines of a dump (dump.c says what they are).
 *
 * The rows go into a file of their own beside the store's place, without a sync; once all have been read and found good
 * the file is synced and gets the store's name. So a killed load leaves no half store. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "server/store/disk.h"
#include "server/store/dump.h"
#include "server/store/dump_lines.h"
#include "server/store/snapshot.h"

#define ROWS_OF_A_COMMIT 20000u
#define CONSUMER_KEY     18u

struct loading {
    FILE *in;
    const char *directory;
    struct dump_figures *figures;
    char *why;
    size_t why_size;
    enum store_status status; /* the first that went wrong */
    char *line;
    size_t line_room;
    uint64_t line_no;
    struct disk *disk;
    MDB_txn *txn;
    struct bytes row;
    uint32_t schema;
    uint64_t consumer;
    unsigned table;
    uint64_t rows_left; /* of this table */
    bool seen[DISK_TABLES];
    bool draft; /* the file is ours, and not the store's yet */
    uint64_t uncommitted;
};

/* Each returns false, so that a step can end with it. */
__attribute__((format(printf, 2, 3))) static bool
mistake(struct loading *loading, const char *format, ...)
{
    va_list arguments;
    int length = snprintf(loading->why, loading->why_size, "line %" PRIu64 ": ", loading->line_no);

    va_start(arguments, format);
    vsnprintf(loading->why + length, loading->why_size - (size_t)length, format, arguments);
    va_end(arguments);
    loading->status = STORE_NOT_ONE;
    return false;
}

static bool
failed(struct loading *loading, const char *path, int error)
{
    snprintf(loading->why, loading->why_size, "%s: %s", path, mdb_strerror(error));
    loading->status = disk_status_of(error);
    return false;
}

/* --- lines ------------------------------------------------------------------------------------ */
static bool
next_line(struct loading *loading)
{
    ssize_t length = getline(&loading->line, &loading->line_room, loading->in);

    loading->line_no++;
    if (length < 0)
        return ferror(loading->in) ? failed(loading, "the dump", errno)
                                   : mistake(loading, "the dump ends before its end line");
    if (loading->line[length - 1] != '\n')
        return mistake(loading, "the line is cut short");
    loading->line[length - 1] = '\0';
    if (strlen(loading->line) + 1 != (size_t)length)
        return mistake(loading, "there is a zero byte in it");
    return true;
}

/* A number without sign or leading zero, up to a space, a dot or the end. */
static bool
take_number(char **text, uint64_t *number)
{
    char *end;

    if (**text < '0' || **text > '9' || (**text == '0' && (*text)[1] >= '0' && (*text)[1] <= '9'))
        return false;
    errno = 0;
    *number = strtoull(*text, &end, 10);
    *text = end;
    return errno == 0 && (*end == ' ' || *end == '.' || *end == '\0');
}

/* "name number" and nothing else. */
static bool
head_line(struct loading *loading, const char *name, uint64_t *number)
{
    size_t length = strlen(name);
    char *text = loading->line + length + 1;

    if (!next_line(loading))
        return false;
    if (strncmp(loading->line, name, length) != 0 || loading->line[length] != ' ' || !take_number(&text, number) ||
        *text != '\0')
        return mistake(loading, "it should say: %s NUMBER", name);
    return true;
}

static int
digit(char letter)
{
    if (letter >= '0' && letter <= '9')
        return letter - '0';
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* Pairs of hex digits up to a space or the end. */
static bool
take_hex(char **text, struct bytes *bytes)
{
    bytes->size = 0;
    while (**text != ' ' && **text != '\0') {
        int high = digit((*text)[0]), low = high < 0 ? -1 : digit((*text)[1]);
        uint8_t byte = (uint8_t)(high << 4 | low);

        if (low < 0)
            return false;
        bytes_add(bytes, &byte, 1);
        *text += 2;
    }
    return true;
}

/* --- a row ------------------------------------------------------------------------------------ */
/* The consumer's key: three numbers, big-endian in 8, 8 and 2 bytes. */
static bool
take_consumer_key(char **text, uint8_t key[CONSUMER_KEY])
{
    static const unsigned sizes[] = {8, 8, 2};
    size_t at = 0;

    for (unsigned part = 0; part < 3; part++) {
        uint64_t number;

        if (part > 0 && *(*text)++ != '.')
            return false;
        if (!take_number(text, &number) || (sizes[part] == 2 && number > UINT16_MAX))
            return false;
        for (unsigned byte = sizes[part]; byte-- > 0;)
            key[at++] = (uint8_t)(number >> (8 * byte));
    }
    return true;
}

static bool
read_row(struct loading *loading, struct store_row *row, uint8_t key[CONSUMER_KEY])
{
    char *text = loading->line, *check_text;
    MDB_val key_value;

    *row = (struct store_row){.table = loading->table, .key = key, .key_size = sizeof row->number};
    if (loading->table == DISK_HISTORY) {
        row->key_size = CONSUMER_KEY;
        if (!take_consumer_key(&text, key))
            return mistake(loading, "its key should be three numbers");
    } else if (take_number(&text, &row->number)) {
        memcpy(key, &row->number, sizeof row->number);
    } else {
        return mistake(loading, "its key should be a number");
    }
    if (*text++ != ' ' || !take_hex(&text, &loading->row) || *text++ != ' ')
        return mistake(loading, "the row's bytes should be pairs of hex digits");
    row->bytes = loading->row.data;
    row->size = loading->row.size;
    key_value = (MDB_val){row->key_size, key};
    char expected[20];
    snprintf(expected, sizeof expected, "%016" PRIx64, disk_check(row->table, &key_value, row->bytes, row->size));
    check_text = text;
    if (strcmp(check_text, expected) != 0)
        return mistake(loading, "the check does not fit: the line was changed");
    if (loading->schema == STORE_SCHEMA && store_row_problem(row) != NULL)
        return mistake(loading, "%s", store_row_problem(row));
    return true;
}

static bool
commit_some(struct loading *loading, bool go_on)
{
    int error = disk_write_commit(loading->disk, loading->txn);

    loading->txn = NULL;
    loading->uncommitted = 0;
    if (error == 0 && go_on)
        error = disk_write_begin(loading->disk, &loading->txn);
    return error == 0 || failed(loading, loading->disk->file, error);
}

static bool
load_row(struct loading *loading)
{
    uint8_t key_bytes[CONSUMER_KEY] = {0};
    struct store_row row;
    MDB_val key = {0, key_bytes};
    int error;

    if (!read_row(loading, &row, key_bytes))
        return false;
    key.mv_size = row.key_size;
    error = disk_put(loading->disk, loading->txn, row.table, &key, row.bytes, row.size, MDB_APPEND);
    if (error == MDB_KEYEXIST)
        return mistake(loading, "keys should ascend");
    if (error != 0)
        return failed(loading, loading->disk->file, error);
    loading->rows_left--;
    loading->figures->rows++;
    return ++loading->uncommitted < ROWS_OF_A_COMMIT || commit_some(loading, true);
}

/* --- tables ----------------------------------------------------------------------------------- */
static bool
begin_table(struct loading *loading)
{
    char *text = strrchr(loading->line, ' ') + 1;
    size_t length = (size_t)(text - loading->line) - strlen("table ") - 1;
    const char *name = loading->line + strlen("table ");

    if (text <= name || !take_number(&text, &loading->rows_left) || *text != '\0')
        return mistake(loading, "it should say: table NAME ROWS");
    for (unsigned table = 1; table < DISK_TABLES; table++) {
        const char *known = disk_table_name(table);

        if (known == NULL || table == DISK_JOURNAL || strlen(known) != length || strncmp(known, name, length) != 0)
            continue;
        if (loading->seen[table])
            return mistake(loading, "the table came before");
        loading->seen[table] = true;
        loading->table = table;
        return true;
    }
    return mistake(loading, "there is no such table");
}

/* Every table that there is now, but for those that a dump of an older schema can't have. */
static bool
check_tables(struct loading *loading)
{
    for (unsigned table = 1; loading->schema == STORE_SCHEMA && table < DISK_TABLES; table++)
        if (disk_table_name(table) != NULL && table != DISK_JOURNAL && !loading->seen[table])
            return mistake(loading, "table %s is missing", disk_table_name(table));
    return true;
}

static bool
load_tables(struct loading *loading)
{
    for (;;) {
        if (!next_line(loading))
            return false;
        if (loading->rows_left > 0) {
            if (!load_row(loading))
                return false;
        } else if (strncmp(loading->line, "table ", 6) == 0) {
            if (!begin_table(loading))
                return false;
        } else {
            char *text = loading->line + 4;
            uint64_t rows;

            if (strncmp(loading->line, "end ", 4) != 0 || !take_number(&text, &rows) || *text != '\0')
                return mistake(loading, "it should begin a table, or be the end line");
            if (rows != loading->figures->rows)
                return mistake(loading, "it counts %" PRIu64 " rows, there were %" PRIu64, rows,
                               loading->figures->rows);
            if (getc(loading->in) != EOF)
                return mistake(loading, "something follows the end line");
            return check_tables(loading);
        }
    }
}

static bool
load_head(struct loading *loading)
{
    uint64_t schema;

    if (!next_line(loading))
        return false;
    if (strcmp(loading->line, DUMP_HEAD) != 0)
        return mistake(loading, "this is not a dump that this usherd reads: it should say " DUMP_HEAD);
    if (!head_line(loading, "schema", &schema))
        return false;
    if (schema > STORE_SCHEMA || schema == 0) {
        mistake(loading, "it was written by schema %" PRIu64 "; this usherd knows up to %u: use the newer one", schema,
                STORE_SCHEMA);
        loading->status = STORE_NEWER;
        return false;
    }
    loading->schema = (uint32_t)schema;
    return head_line(loading, "position", &loading->figures->position) &&
           head_line(loading, "consumer", &loading->consumer);
}

static bool
write_meta(struct loading *loading)
{
    struct disk *disk = loading->disk;
    struct disk_meta meta = {.schema = loading->schema,
                             .position = loading->figures->position,
                             .cut = loading->figures->position,
                             .writes = 1};
    int error;

    memcpy(meta.magic, DISK_MAGIC, sizeof meta.magic);
    randombytes_buf(&meta.writer, sizeof meta.writer);
    error = disk_put_number(disk, loading->txn, DISK_META, DISK_META_STORE, &meta, sizeof meta, 0);
    if (error == 0 && loading->consumer > 0)
        error = disk_put_number(disk, loading->txn, DISK_META, DISK_META_CONSUMER, &loading->consumer,
                                sizeof loading->consumer, 0);
    return error == 0 || failed(loading, disk->file, error);
}

/* --- the file --------------------------------------------------------------------------------- */
static bool
open_file(struct loading *loading)
{
    struct disk *disk = loading->disk;
    struct stat status;
    int error;

    snprintf(disk->file, sizeof disk->file, "%s/store.mdb", loading->directory);
    if (stat(disk->file, &status) == 0) {
        snprintf(loading->why, loading->why_size, "%s is there already; name another directory", disk->file);
        loading->status = STORE_NO_ACCESS;
        return false;
    }
    snprintf(disk->file, sizeof disk->file, "%s/usherd.load", loading->directory);
    loading->draft = true;
    if (unlink(disk->file) != 0 && errno != ENOENT)
        return failed(loading, disk->file, errno);
    disk->map_bytes = UINT64_C(256) << 30;
    disk->open_flags = MDB_NOSUBDIR | MDB_NOTLS | MDB_NOLOCK | MDB_NOSYNC;
    error = disk_env_open(disk);
    if (error == 0)
        error = disk_write_begin(disk, &loading->txn);
    if (error == 0)
        error = disk_tables_open(disk, loading->txn, MDB_CREATE);
    return error == 0 || failed(loading, disk->file, error);
}

/* All is read and good: make it durable, and only then the store. */
static bool
give_name(struct loading *loading)
{
    struct disk *disk = loading->disk;
    char name[sizeof disk->file];
    int folder, error;

    if (!commit_some(loading, false))
        return false;
    error = mdb_env_sync(disk->env, 1);
    disk_env_close(disk);
    if (error != 0)
        return failed(loading, disk->file, error);
    snprintf(name, sizeof name, "%s/store.mdb", loading->directory);
    if (renameat2(AT_FDCWD, disk->file, AT_FDCWD, name, RENAME_NOREPLACE) != 0)
        return failed(loading, name, errno);
    loading->draft = false;
    folder = open(loading->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    error = folder < 0 || fsync(folder) != 0 ? errno : 0;
    if (folder >= 0)
        close(folder);
    return error == 0 || failed(loading, loading->directory, error);
}

enum store_status
store_load_dump(FILE *in, const char *directory, struct dump_figures *figures, char *why, size_t why_size)
{
    struct loading loading = {
        .in = in, .directory = directory, .figures = figures, .why = why, .why_size = why_size, .status = STORE_OK};

    *figures = (struct dump_figures){0};
    if (strlen(directory) + sizeof "/usherd.load" > sizeof loading.disk->file) {
        snprintf(why, why_size, "the path of the data directory is too long; name a shorter one");
        return STORE_NO_ACCESS;
    }
    loading.disk = store_allocate(1, sizeof *loading.disk);
    pthread_rwlock_init(&loading.disk->env_lock, NULL);
    write_lock_open(&loading.disk->write_lock);
    if (!open_file(&loading) || !load_head(&loading) || !load_tables(&loading) || !write_meta(&loading) ||
        !give_name(&loading)) {
        if (loading.txn != NULL)
            disk_write_abort(loading.disk, loading.txn);
        loading.txn = NULL;
        disk_env_close(loading.disk);
        if (loading.draft)
            unlink(loading.disk->file);
    }
    disk_close(loading.disk);
    free(loading.line);
    free(loading.row.data);
    return loading.status;
}
