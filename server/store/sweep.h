/* sweep.h: writing changed records back to their tables, pass by pass, in key order; and cutting the journal. */
#ifndef STORE_SWEEP_H
#define STORE_SWEEP_H

#include "server/store/kept.h"
#include "server/store/internal.h"

struct sweep_list {
    uint64_t *keys;
    size_t count, room;
};
struct sweep {
    uint32_t slice_records; /* written back at most with a commit that changes less than half as many */
    uint64_t journal_bytes; /* of journal in which a pass begins and ends */
    /* A key counts in a list while its record has the list's flag; what has lost it is passed over. */
    struct sweep_list gathering[STORE_RECORD_TABLES]; /* changed since the pass began */
    struct sweep_list pass[STORE_RECORD_TABLES];      /* of the running pass, sorted */
    uint8_t pass_flag;                                /* TABLE_EVEN or TABLE_ODD; the other one is gathering's */
    uint64_t gathered_count, pass_count, written_count;
    bool running;
    bool published; /* the running pass is in the meta row, so others carry it on as well */
    bool unsorted;  /* the running pass has keys that are not in their order yet */
    uint64_t pass_start; /* the position at which it began */
    unsigned table; /* where the pass stands */
    size_t at;
    uint64_t bytes_since; /* journal bytes since the last pass began */
    uint64_t bytes_then;  /* the same when the running pass began, in case that it comes to nothing */
};

/* A slice that is being written in a transaction; it counts once the transaction is on the disk. */
struct sweep_slice {
    unsigned table; /* where the pass will stand */
    size_t at;
    uint64_t count;
};

struct disk;
struct disk_meta;
typedef struct MDB_txn MDB_txn;

/* A record differs from its row. in_pass: it belongs to the pass that another process began. */
void sweep_mark(struct sweep *sweep, struct table *table, uint32_t slot, bool in_pass);
/* Begin a pass over what has gathered up to this position, if there is enough or `now`; tells whether one began. */
bool sweep_begin_pass(struct sweep *sweep, uint64_t position, bool now);
/* Go on with the pass that began there, after marking; 0 for none. */
void sweep_resume(struct sweep *sweep, uint64_t pass_start);

/* Others have written: bring the marks up to what the meta row says of their passes. Marks are of changes up to this
 * position; those of later changes come after it, then sweep_settle. */
void sweep_follow(struct sweep *sweep, struct table *tables, const struct disk_meta *meta, uint64_t position);
void sweep_settle(struct sweep *sweep);
/* The meta row says that the running pass has written this record of a change at this position. */
bool sweep_has_written(const struct disk_meta *meta, uint64_t position, const struct table *table, uint32_t slot);

/* How many records a commit should write back that changed `changed` and appended `bytes` to the journal. */
uint64_t sweep_pace(const struct sweep *sweep, uint64_t changed, uint64_t bytes);
/* Collect up to `most` records, as they are now, for disk_rows_put_all; brings meta up to date. A record that changes from
 * here on gathers for the next pass. What is collected and comes to nothing is collected again. */
void sweep_collect(struct store *store, struct disk_meta *meta, uint64_t most, struct bytes *rows,
                   struct sweep_slice *slice);
/* Delete up to `most` journal rows that meta's cut has passed. LMDB's error. */
int sweep_cut(struct disk *disk, MDB_txn *txn, const struct disk_meta *meta, uint64_t most);
/* The slice is not on the disk. */
void sweep_undone(struct store *store, const struct sweep_slice *slice);
/* The slice is on the disk. */
void sweep_done(struct store *store, const struct sweep_slice *slice);
/* Is there nothing to write back? */
bool sweep_is_clean(const struct sweep *sweep);
void sweep_close(struct sweep *sweep);
uint64_t sweep_dirty_count(const struct sweep *sweep);

#endif
