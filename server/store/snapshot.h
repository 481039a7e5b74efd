/* snapshot.h: a store's file as it stands at one moment, for backup, check, dump and load.
 *
 * A snapshot is one read transaction over the whole file, held from opening to closing, so everything that is read from
 * it belongs to one position. A usherd may go on writing meanwhile: it waits for nothing, but the pages that the
 * snapshot sees are not used again until it is closed, so the file may grow. */
#ifndef STORE_SNAPSHOT_H
#define STORE_SNAPSHOT_H

#include <stddef.h>

#include "server/store/store.h"

/* Open a data directory, or a store's file alone (a backup), for reading. Nothing is made, mended or migrated: a store
 * of an older schema is refused. Records are not in memory yet; store_close closes it.
 * A lone file without a lock table beside it is read without locks, so that a backup may lie anywhere. */
enum store_status store_open_snapshot(const char *path, struct store **store, char *why, size_t why_size);

/* Put the tables into memory and the journal on top, as opening does; then records, indexes, history and questions are
 * answered as of any store. Once. */
enum store_status store_load_snapshot(struct store *store, char *why, size_t why_size);

/* The digest over history as the rows on the disk make it; store_history_digest tells what the last commit left. False
 * when they can't all be read. */
bool store_snapshot_history_digest(const struct store *store, uint64_t *digest);

/* --- as it lies on the disk ------------------------------------------------------------------------------ */
struct store_meta {
    uint32_t schema;
    uint64_t position, cut, pass_start;
    uint64_t consumer_cursor;
};
/* False when the consumer's cursor can't be read. */
bool store_snapshot_meta(const struct store *store, struct store_meta *meta);

/* Tables beside those of the row files. */
enum { STORE_DISK_META = 0, STORE_DISK_JOURNAL = 62, STORE_DISK_HISTORY = 63, STORE_DISK_TABLES = 64 };
/* The name of a table on the disk; NULL when there is none of this number. */
const char *store_table_name(unsigned table);

/* A row of a table as it lies there. */
struct store_row {
    unsigned table;
    uint64_t number; /* the key, where it is a number */
    const uint8_t *key;
    size_t key_size;
    const uint8_t *bytes; /* the value without its check; NULL when it is too short to have one */
    size_t size;
    const char *problem; /* NULL, or what is wrong: its check, its order, its form */
};
/* The row's key as people write it: a number, or the three numbers of a consumer's row. Returns text. */
const char *store_row_key(const struct store_row *row, char text[64]);

/* What is wrong with the row's form and its key, whatever its check; NULL for nothing. */
const char *store_row_problem(const struct store_row *row);

/* Show each row in the order of keys, good or not, until the visitor returns false. Returns NULL, or what LMDB says of
 * a table that it can't walk to its end. */
const char *store_walk(const struct store *store, unsigned table,
                       bool (*visit)(void *context, const struct store_row *row), void *context);

/* --- a journal's value ------------------------------------------------------------------------------------ */
/* The batch's commands within it, as commit gave them. False when the bytes are no such value. */
bool store_journal_commands(const uint8_t *value, size_t size, uint64_t *stamp_ms, const uint8_t **commands,
                            size_t *commands_size);

/* --- what the consumer should have written ---------------------------------------------------------------- */
/* The row that this seat of a payment (of a refund, if there is one) gives under this event. */
struct history_record store_consumer_row(const struct event_row *event, const struct payment_row *payment,
                                         const struct refund_row *refund, uint32_t index);

/* --- a copy ----------------------------------------------------------------------------------------------- */
/* Copy the store, compact, to a new file (0600), whole or not at all. A usherd may go on selling; what it acknowledged
 * before the call is in the copy. */
enum store_status store_backup(const struct store *store, const char *file, char *why, size_t why_size);

#endif
