/* internal.h: what the files of server/store share; nobody else includes it. */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

#include <stdatomic.h>

#include "server/stages/stages.h"
#include "server/store/history.h"
#include "server/store/indexes.h"
#include "server/store/store.h"
#include "server/store/table.h"

#define STORE_RECORD_TABLES (STORE_TABLE_LINK + 1) /* numbers of records.def count from 1 */
extern const struct table_kind table_kinds[STORE_RECORD_TABLES];

/* The first touch of a record in a batch. */
struct batch_touch {
    uint32_t slot;
    uint8_t table;
    bool had;     /* there was a record, and this is it: */
    bool changed; /* the after-image differs; known once the batch's digest is */
    size_t image; /* where in batch.images */
    uint64_t digest_change;
};
struct batch {
    bool open;
    bool on_its_way; /* to the disk: memory is ahead of it */
    struct batch_touch *touched;
    size_t touched_count, touched_room;
    uint8_t *images;
    size_t image_bytes, image_room;
};

struct store_trouble {
    enum store_status status; /* the first since the batch began */
    char text[512];
};

struct disk;     /* LMDB; disk.h */
struct consumer; /* the history consumer in memory alone; consumer.c */

/* Where the scrub is: at a table, and among rows after a key; among records the table knows. */
struct scrub {
    unsigned table;
    uint8_t key[32];
    size_t key_size;
};

struct store {
    struct table *tables; /* by number */
    struct indexes *indexes;
    struct history *history;
    struct store_trouble *trouble;
    struct disk *disk;         /* NULL in memory alone */
    struct consumer *consumer; /* in memory alone, else NULL */
    struct batch batch;
    uint64_t position;
    struct scrub scrub;
    char unsound[512];             /* what showed that records can't be trusted; empty if nothing did */
    uint64_t followed[STORE_RECORD_TABLES]; /* changes that came from other instances */
    atomic_uint consumer_failures; /* steps that are still to fail */
    struct stages *stages;         /* where time goes; may be NULL */
};

/* Keep the first fault. */
__attribute__((format(printf, 3, 4))) void store_fail(const struct store *store, enum store_status status,
                                                      const char *format, ...);

/* Memory and disk, or two instances, differ: the store takes no batch any more. */
__attribute__((format(printf, 2, 3))) void store_is_unsound(struct store *store, const char *format, ...);

/* A store without a record; the disk is the caller's to set. */
struct store *store_new(bool keep_history);
/* The records of a fresh store. */
void store_fill_fresh(struct store *store);
/* Forget the batch's before-images; slots without record or duty are given back. */
void store_batch_over(struct store *store);
/* Take every change of the batch back in memory. */
void store_batch_undo(struct store *store);

#endif
