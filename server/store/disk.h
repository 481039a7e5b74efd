/* disk.h: the store's truth in LMDB. See disk.c for how it lies there, disk_commit.c for how it comes there. */
#ifndef STORE_DISK_H
#define STORE_DISK_H

#include <pthread.h>
#include <stdatomic.h>

#include "server/store/bytes.h"
#include "server/store/front.h"
#include "server/store/internal.h"
#include "server/store/lmdb_call.h"
#include "server/store/runner.h"
#include "server/store/sweep.h"
#include "server/store/write_lock.h"

/* --- for store.c ------------------------------------------------------------------------------ */
void disk_close(struct disk *disk); /* NULL is welcome */
bool disk_begin(struct store *store);
bool disk_follow_now(struct store *store);
void disk_clear_readers(struct disk *disk);
void disk_abort(struct store *store);
/* waits: with the outcome; else it may be STORE_ON_ITS_WAY, which disk_commit_end waits for. */
enum store_outcome disk_commit(struct store *store, const uint8_t *commands, size_t commands_size, bool waits);
enum store_outcome disk_commit_end(struct store *store);
/* The batch is over: carry over what has filled, and give up the lock. */
void disk_batch_over(struct store *store);
bool disk_idle(struct store *store, bool aside);
void disk_work_aside(struct disk *disk);
bool disk_read_row(const struct store *store, unsigned index, uint64_t key, void *out);
void disk_figures(const struct store *store, struct store_figures *figures);
enum store_step disk_consumer_step(struct store *store, uint32_t most);
uint64_t disk_consumer_cursor(const struct store *store);
size_t disk_consumer_rows(const struct store *store, uint64_t user_no, uint64_t after_event_no,
                          struct history_record *rows, size_t most, bool *more);

/* --- for the files behind it ------------------------------------------------------------------ */
/* Tables in LMDB: those of the row files by their number, and three more. */
enum disk_table {
    DISK_META = 0,
    DISK_JOURNAL = 62,
    DISK_HISTORY = 63, /* the history consumer's */
    DISK_TABLES = 64
};

/* Rows of the meta table. */
enum disk_meta_row { DISK_META_STORE = 1, DISK_META_CONSUMER = 2, DISK_META_DIGEST = 3, DISK_META_FRONT = 4 };

#define DISK_STORE_FILE "store.mdb"
#define DISK_FRONT_FILE "store.journal"

#define DISK_MAGIC "usherst\n"
struct disk_meta {
    char magic[8];
    uint32_t schema;
    uint32_t sweep_table; /* the running pass has written everything up to this table and key */
    uint64_t sweep_key;
    uint64_t position;   /* of the last batch */
    uint64_t cut;        /* the tables have all changes up to this batch */
    uint64_t pass_start; /* the running pass will have brought all changes up to this batch; 0 when none runs */
    uint64_t writer;     /* a number that the last writing instance drew when it opened, and */
    uint64_t writes;     /* a count of writes: together they tell whether a commit of unknown outcome is there */
};

struct disk_digest {
    uint64_t position;         /* the meta row's */
    uint64_t records, history; /* digest.h */
};

/* What is carried over beside the batches: disk_carry.c. */
struct disk_carrying {
    struct runner *runner; /* NULL: nothing is */
    bool on;               /* until it was taken in; what follows is the thread's meanwhile */
    struct disk *disk;
    unsigned half; /* of the front */
    struct disk_meta meta;
    struct bytes rows; /* the slice's records, kept.h */
    struct sweep_slice slice;
    uint64_t event_no; /* LMDB will have the events up to this one; 0: as many as before */
    int error;
    bool unknown;    /* it may be there although the commit failed */
    bool doubtful;   /* the same, until somebody has looked */
    uint64_t number; /* of LMDB's transaction */
};

struct disk {
    char file[4096];
    uint64_t map_bytes;
    unsigned open_flags;
    MDB_env *env; /* NULL while it could not be opened again */
    MDB_dbi dbi[DISK_TABLES];
    MDB_txn *write; /* the open batch's */
    MDB_txn *read;  /* the owner's, reset between reads; NULL before the first */
    bool pinned;    /* a snapshot: read is never reset */
    /* The consumer's thread holds it shared while it uses env; opening anew takes it alone. */
    pthread_rwlock_t env_lock;
    struct write_lock write_lock;
    atomic_bool env_broken;   /* a commit failed: the environment must be opened anew */
    struct disk_meta meta;    /* LMDB's, when memory agreed with it; what waits in the front comes after it */
    struct front front;       /* the newest batches, which LMDB does not have yet */
    size_t front_bytes;       /* of its file; 0 for none */
    struct runner *runner;    /* writes there while the owner does something else; NULL where there is no front */
    struct disk_appending {
        uint64_t position;
        size_t size;
        int error;
        bool lost;
    } appending;              /* the record that is being written; the runner's meanwhile, like front */
    bool fronting;            /* the open batch goes to the front: the write lock is held, without a transaction */
    uint64_t waiting_changes[2]; /* of records, by what waits in the front's halves */
    bool batch_aside;         /* the last batch was not waited for: there is a load under which carrying over is worth a thread */
    bool batch_waits;         /* the last batch is in the front; else in LMDB */
    struct disk_carrying *carrying;
    unsigned holds;           /* how often the owner holds the write lock: for its batch, and while it is carried over */
    uint64_t settled_event_no; /* LMDB has the events up to this one at least */
    uint64_t seen;            /* LMDB's number of the last transaction that was followed */
    bool behind;              /* memory can't be brought up but by opening anew */
    struct sweep sweep;
    struct bytes journal_value; /* the open batch's */
    uint64_t writer;
    struct map_coming *answers; /* while the store is opened: on their way into the index */
};

/* follow.c: bring memory to what this transaction shows. False on a fault. */
bool disk_follow(struct store *store, MDB_txn *txn);

/* The name of a table in LMDB, or NULL when there is none of this number. */
const char *disk_table_name(unsigned table);

/* Values carry a check of table, key and bytes at their end. */
#define DISK_CHECK_SIZE sizeof(uint64_t)
uint64_t disk_check(unsigned table, const MDB_val *key, const void *bytes, size_t size);
/* Into the room that LMDB has reserved. */
static inline void
disk_fill_value(const MDB_val *value, const void *bytes, size_t size, uint64_t check)
{
    memcpy(value->mv_data, bytes, size);
    memcpy((uint8_t *)value->mv_data + size, &check, sizeof check);
}
/* Put a value with its check. Returns LMDB's error. Many of them: disk_rows.h. */
int disk_put(struct disk *disk, MDB_txn *txn, unsigned table, MDB_val *key, const void *bytes, size_t size,
             unsigned flags);
int disk_put_number(struct disk *disk, MDB_txn *txn, unsigned table, uint64_t key, const void *bytes, size_t size,
                    unsigned flags);
int disk_del_number(struct disk *disk, MDB_txn *txn, unsigned table, uint64_t key);
/* The check at a value's end, as it stands there. */
uint64_t disk_check_of(const MDB_val *value);
/* Is the value's check right? Then *size is what stands before it. */
bool disk_value_good(unsigned table, const MDB_val *key, const MDB_val *value, size_t *size);
/* Read a value of exactly this size. MDB_NOTFOUND when there is none, MDB_CORRUPTED when its check or size is wrong. */
int disk_get(const struct disk *disk, MDB_txn *txn, unsigned table, uint64_t key, void *out, size_t size);

/* Record a fault by LMDB's or the system's error. */
enum store_status disk_status_of(int error);
void disk_fail(const struct store *store, int error, const char *what);

/* A transaction to read in: the batch's, or the owner's own. NULL on a fault. Always followed by disk_read_end. */
MDB_txn *disk_read_begin(const struct store *store);
void disk_read_end(const struct store *store, MDB_txn *txn);

/* Rows and pages of LMDB's part of the journal. */
MDB_stat disk_journal_stat(const struct store *store);

/* --- digests: disk_digest.c; they return LMDB's error ------------------------------------------- */
/* The store stands at the position that this transaction shows: take the history's digest over, and compare the
 * records' with the writer's. A difference makes the store unsound. */
int disk_digest_follow(struct store *store, MDB_txn *txn);
/* Write the digests as they are with the open batch, which gets this position. */
int disk_digest_write(struct store *store, MDB_txn *txn, uint64_t position);
/* Rows are changed past the digests: the next batch writes them anew. */
int disk_digest_forget(struct disk *disk, MDB_txn *txn);
int disk_digest_recount_history(const struct disk *disk, MDB_txn *txn, uint64_t *sum);

/* Open the environment and, in the given transaction, its tables. Return LMDB's error. */
int disk_env_open(struct disk *disk);
void disk_env_close(struct disk *disk);
/* Close the environment and open it again, so that LMDB's picture is the disk's. */
int disk_env_open_anew(struct disk *disk);
int disk_tables_open(struct disk *disk, MDB_txn *txn, unsigned flags);

/* The write lock; nothing where nobody else can be. Returns the system's error. */
int disk_take_write_lock(struct disk *disk);
void disk_give_write_lock(struct disk *disk);
/* The owner's way to it, which may lead there twice. */
int disk_hold(struct disk *disk);
void disk_release(struct disk *disk);
/* A transaction to write in, under the write lock that is held already; it is given up when this fails. */
int disk_write_begin_locked(struct disk *disk, MDB_txn **txn);
/* A transaction to write in, under the write lock. Ends by one of the two below. Returns LMDB's error. */
int disk_write_begin(struct disk *disk, MDB_txn **txn);
int disk_write_commit(struct disk *disk, MDB_txn *txn); /* the transaction is gone whatever the outcome */
void disk_write_abort(struct disk *disk, MDB_txn *txn);
/* A new transaction to read in. It needs a place in LMDB's table of readers, which is shared. */
int disk_read_new(struct disk *disk, MDB_txn **txn);

#endif
