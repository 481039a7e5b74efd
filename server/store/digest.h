/* digest.h: one number over all records, one over all history, kept up to date batch by batch.
 *
 * A row's check is a hash of its table, key and bytes; it stands behind the row in LMDB as well. A digest is the sum of
 * checks, modulo 2^64: independent of order and of how the store was opened, and a change costs the changed rows
 * alone. Whoever commits writes both digests beside the position (DISK_META_DIGEST), so every instance that opens the
 * store or follows its journal compares its own picture with the writer's. */
#ifndef STORE_DIGEST_H
#define STORE_DIGEST_H

#include "server/store/internal.h"

/* The check of a row under a number. */
uint64_t digest_check(unsigned table, uint64_t key, const void *bytes, size_t size);
/* What a slot adds to its table's digest: its record's check, or 0 while there is none. */
uint64_t digest_of_slot(const struct table *table, uint32_t slot);

/* A slot's share has changed by this much. What the scrub of this table has gone over already changes with it. */
static inline void
digest_add(struct table *table, uint32_t slot, uint64_t change)
{
    table->digest += change;
    if (slot < table->scrub_slot)
        table->scrub_digest += change;
}

/* The history's share of the open batch, in memory alone; on LMDB the writing of the rows tells. */
void digest_of_history(struct store *store);
/* Work out, from the before-images, which records the open batch has changed, and by how much the digests. */
void digest_of_batch(struct store *store);
/* The batch is committed: take its changes in. */
void digest_settle(struct store *store);
/* The records' digest as it will be with the open batch, after digest_of_batch. */
uint64_t digest_with_batch(const struct store *store);

#endif
