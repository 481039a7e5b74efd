/* dump.c: writing a store as lines.
 *
 *     usher-dump 1
 *     schema 5
 *     position 4711
 *     consumer 1234                 the last event that the history consumer took in
 *     table user 2                  a table of records.def or history.def, or the consumer's, and how many rows follow
 *     1 0100.. 9f3c..               the key, the row's bytes and its check, both in hex
 *     2 0200.. 11d0..
 *     ...
 *     end 9                         all rows
 *
 * Rows ascend by key. The check is the one that the row has on the disk, so it covers table, key and bytes from the
 * store that wrote the row to the one that loads it. The journal is not dumped: records are as it has left them. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/disk.h"
#include "server/store/dump.h"
#include "server/store/dump_lines.h"
#include "server/store/snapshot.h"

struct dumping {
    FILE *out;
    struct dump_figures *figures;
    uint64_t rows; /* of this table */
    char problem[128];
};

static void
write_hex(FILE *out, const uint8_t *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t at = 0; at < size; at++) {
        putc(digits[bytes[at] >> 4], out);
        putc(digits[bytes[at] & 15], out);
    }
}

static void
write_row(struct dumping *dumping, const struct store_row *row)
{
    MDB_val key = {row->key_size, (void *)(uintptr_t)row->key};
    char text[64];

    fprintf(dumping->out, "%s ", store_row_key(row, text));
    write_hex(dumping->out, row->bytes, row->size);
    fprintf(dumping->out, " %016" PRIx64 "\n", disk_check(row->table, &key, row->bytes, row->size));
    dumping->rows++;
}

/* --- records, from memory --------------------------------------------------------------------- */
static int
compare_keys(const void *one, const void *other)
{
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;

    return (a > b) - (a < b);
}

static void
write_records(struct dumping *dumping, const struct table *table)
{
    uint64_t *keys = store_allocate(table->count + 1, sizeof *keys), count = 0;

    for (uint32_t slot = 0; slot < table->slot_count; slot++)
        if ((*table_flags(table, slot) & TABLE_PRESENT) != 0)
            keys[count++] = table_key(table, slot);
    if (count > 0)
        qsort(keys, count, sizeof *keys, compare_keys);
    fprintf(dumping->out, "table %s %" PRIu64 "\n", table->kind->name, count);
    for (uint64_t at = 0; at < count; at++)
        write_row(dumping, &(struct store_row){.table = table->kind->number,
                                               .number = keys[at],
                                               .key = (const uint8_t *)&keys[at],
                                               .key_size = sizeof keys[at],
                                               .bytes = table_see(table, keys[at]),
                                               .size = table->kind->record_size});
    free(keys);
}

/* --- history, from the disk ------------------------------------------------------------------- */
static bool
visit_row(void *context, const struct store_row *row)
{
    struct dumping *dumping = context;
    char key[64];

    if (row->problem != NULL) {
        snprintf(dumping->problem, sizeof dumping->problem, "table %s, key %s: %s", store_table_name(row->table),
                 store_row_key(row, key), row->problem);
        return false;
    }
    write_row(dumping, row);
    return true;
}

static bool
write_rows(struct dumping *dumping, const struct store *store, unsigned table)
{
    MDB_stat stat = {0};
    const char *trouble;

    if (mdb_stat(store->disk->read, store->disk->dbi[table], &stat) != 0)
        return false;
    dumping->rows = 0;
    fprintf(dumping->out, "table %s %zu\n", store_table_name(table), stat.ms_entries);
    trouble = store_walk(store, table, visit_row, dumping);
    if (trouble != NULL)
        snprintf(dumping->problem, sizeof dumping->problem, "table %s: %s", store_table_name(table), trouble);
    else if (dumping->problem[0] == '\0' && dumping->rows != stat.ms_entries)
        snprintf(dumping->problem, sizeof dumping->problem, "table %s: rows are missing", store_table_name(table));
    dumping->figures->rows += dumping->rows;
    return dumping->problem[0] == '\0';
}

enum store_status
store_dump(const struct store *store, FILE *out, struct dump_figures *figures, char *why, size_t why_size)
{
    struct dumping dumping = {.out = out, .figures = figures};
    struct store_meta meta;

    *figures = (struct dump_figures){.position = store->position};
    if (!store_snapshot_meta(store, &meta)) {
        snprintf(why, why_size, "%s", store->trouble->text);
        return STORE_DAMAGED;
    }
    fprintf(out, DUMP_HEAD "\nschema %u\nposition %" PRIu64 "\nconsumer %" PRIu64 "\n", meta.schema, meta.position,
            meta.consumer_cursor);
    for (unsigned number = 1; number < STORE_RECORD_TABLES; number++) {
        dumping.rows = 0;
        write_records(&dumping, &store->tables[number]);
        figures->rows += dumping.rows;
    }
    for (unsigned index = 0; index < HISTORY_TABLES; index++)
        if (!write_rows(&dumping, store, HISTORY_FIRST + index))
            break;
    if (dumping.problem[0] == '\0')
        write_rows(&dumping, store, DISK_HISTORY);
    fprintf(out, "end %" PRIu64 "\n", figures->rows);
    if (dumping.problem[0] != '\0') {
        snprintf(why, why_size, "%s: %s; restore the last backup", store->disk->file, dumping.problem);
        return STORE_DAMAGED;
    }
    if (fflush(out) != 0 || ferror(out)) {
        snprintf(why, why_size, "the lines can't be written: %s", strerror(errno));
        return disk_status_of(errno);
    }
    return STORE_OK;
}
