/* indexes.h: everything that is derived from records and kept in memory beside them.
 *
 * An index is a sum over the records: each change of a record is told as (before, after), NULL for none, and taking it
 * back is the same with the two exchanged. So indexes need no undo of their own, don't depend on the order in which
 * records are loaded, and are the same on every instance. */
#ifndef STORE_INDEXES_H
#define STORE_INDEXES_H

#include "server/store/due.h"
#include "server/store/line.h"
#include "server/store/map.h"
#include "server/store/ordered.h"
#include "server/store/store.h"
#include "server/store/table.h"

struct queue_index {
    struct line waiting;
    struct due due; /* for those who wait see lease.h */
    uint64_t active_count;
    struct store_counts counts;
    struct due unsold; /* its dates that have a seat to sell, the one whose sale ends last on top: see unsold_entry() */
};
struct date_index {
    uint64_t queue_no; /* of the date's record; 0 while there is none */
    uint64_t ends_ms;  /* when its sale ends */
    struct store_counts counts;
};

struct indexes {
    const struct table *tables; /* by number; not ours */
    uint8_t secret[16];         /* of the hashes of what clients choose, so that nobody can make them collide */
    int64_t balance_sum; /* over all users */
    struct map users, queues, concerts, plans, dates, client_keys, client_codes;
    struct ordered queues_by_id, concerts_by_id, dates_by_id;
    struct queue_index **queue; /* by queue_no; NULL for numbers not seen */
    size_t queue_count, queue_room;
    struct date_index *date; /* by date_no */
    size_t date_count, date_room;
    struct store_counts house;
};

struct indexes *indexes_open(const struct table *tables);
void indexes_close(struct indexes *indexes);
uint64_t indexes_bytes(const struct indexes *indexes);

/* A record of this table changes from before to after; neither is kept. */
void indexes_change(struct indexes *indexes, unsigned table, const void *before, const void *after);
/* Put every record of the tables in, once, after opening. */
void indexes_build(struct indexes *indexes);

/* The latest moment at which the sale of a date ends that has a seat neither sold nor blocked, of all behind the queue;
 * 0 if there is none. */
uint64_t indexes_unsold_until_ms(const struct indexes *indexes, uint64_t queue_no);
/* The position of a ticket's key. */
uint64_t indexes_position(uint64_t key);
/* Fetch what is counted of a date into the processor's cache, without waiting. */
void indexes_fetch_date(const struct indexes *indexes, uint64_t date_no);
/* The hash of bytes that clients choose. */
uint64_t indexes_hash(const struct indexes *indexes, const void *bytes, size_t size);

#endif
