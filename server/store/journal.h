/* journal.h: a batch as a value of the journal: its stamp, its commands and the after-images of its changes. */
#ifndef STORE_JOURNAL_H
#define STORE_JOURNAL_H

#include "server/store/bytes.h"
#include "server/store/internal.h"

/* Write the open batch to bytes, after digest_of_batch, which tells what it changed. */
void journal_encode(const struct store *store, const uint8_t *commands, size_t commands_size, struct bytes *bytes);

/* Told of a change of a value, in order. The record's place is the table's; it is not PRESENT after a removal. */
typedef void journal_visitor(void *context, struct table *table, uint32_t slot);

/* Whoever follows: each may be NULL. */
struct journal_listener {
    journal_visitor *before; /* the record is still what it was */
    journal_visitor *after;
    void (*dropped)(void *context, uint64_t answer_no, uint64_t scope, const usher_id *request_id);
    void *context;
};

/* Put a value's after-images on top of the tables, which is idempotent; indexes are not told. False when the bytes are
 * not such a value. */
bool journal_apply(struct table *tables, const uint8_t *value, size_t size, journal_visitor *visit, void *context);
/* The same, and the listener hears it all. */
bool journal_follow(struct table *tables, const uint8_t *value, size_t size, const struct journal_listener *listener);

#endif
