/* journal.h: a batch as a value of the journal: its stamp, its commands and the after-images of its changes. */
#ifndef STORE_JOURNAL_H
#define STORE_JOURNAL_H

#include "server/store/bytes.h"
#include "server/store/internal.h"

/* Write the open batch to bytes, and mark in each touch whether it changed anything. */
void journal_encode(struct store *store, const uint8_t *commands, size_t commands_size, struct bytes *bytes);

/* Told of each change of a value, in order. The record's place is the table's; present is false for a removal. */
typedef void journal_visitor(void *context, struct table *table, uint32_t slot);

/* Put a value's after-images on top of the tables, which is idempotent; indexes are not told. False when the bytes are
 * not such a value. */
bool journal_apply(struct table *tables, const uint8_t *value, size_t size, journal_visitor *visit, void *context);

#endif
