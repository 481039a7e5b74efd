/* store.h: records in memory, truth in LMDB and a file before it (DESIGN section 4). The only code that knows LMDB.
 *
 * Any number of processes may have one directory open, each with a store of its own: LMDB's write lock orders their
 * batches, and each puts the others' on its own records (store_begin, store_follow). One process opens it only once.
 *
 * One thread owns a store. All changes happen between store_begin and store_commit or store_undo: one batch, one write
 * to the disk. Records are copied in and out; a borrowed pointer (store_see_...) is good until the next put or
 * remove in its table.
 *
 * Trouble with disk, map or memory is a fault: the store keeps the first one, reads find nothing from then on, and
 * store_commit undoes the batch. So the core's handlers carry no error codes. */
#ifndef STORE_H
#define STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/store/records.h"

struct store;
struct stages; /* server/stages/stages.h */

/* --- opening ------------------------------------------------------------------------------------------- */
struct store_options {
    const char *directory;   /* holds store.mdb, store.mdb-lock and store.journal; made (0700) when absent */
    uint64_t map_bytes;      /* address space for LMDB; 0 for the default (256 GiB) */
    uint32_t slice_records;  /* written back with a commit: at most these or twice what it changed; 0 for the default */
    uint64_t journal_bytes;  /* the journal is kept below about twice this; 0 for the default (16 MiB) */
    uint32_t front_bytes;    /* of store.journal, when it is made: the newest batches; 0 for the default (4 MiB) */
    bool no_front;           /* every batch is a transaction of LMDB, as it is beside other instances */
    bool unsafe_no_sync;     /* for tests alone: nothing is forced to the disk, a power cut may lose or break all */
};

enum store_status {
    STORE_OK,
    STORE_NOT_ONE,       /* the directory holds something else, or the store's file is not one of ours; usherd's own
                            files (usherd.lock, *.key, *.key.new) are there before the store and are nothing else */
    STORE_NEWER,         /* written by a newer schema */
    STORE_NO_ACCESS,     /* permissions, read-only, or not a directory */
    STORE_NO_ROOM,       /* the disk or the map is full */
    STORE_NETWORK,       /* a network file system, where LMDB's locks and map do not hold */
    STORE_DAMAGED,       /* a value's check does not fit: says table and key */
    STORE_FAULT          /* anything else that the system reports */
};

/* Open or make a store. On STORE_OK *store is set; else it is NULL and why gets one line that says what was wrong,
 * where, and what to do. A fresh store has a house record with the default policies and queue 0, "default". */
enum store_status store_open(const struct store_options *options, struct store **store, char *why, size_t why_size);
/* The same records and history in memory alone, for scenes and simulation. NULL without memory. */
struct store *store_open_memory(void);
/* From now on a store in memory alone forgets history with its batch, as the memory of one on LMDB does: for measuring. */
void store_forget_history(struct store *store);
void store_close(struct store *store); /* NULL is welcome */

/* What a fresh house and a new queue begin with: default policies, no number, name or id. */
void store_default_house(struct house_record *house);
void store_default_queue(struct queue_record *queue);

/* --- a batch ------------------------------------------------------------------------------------------- */
/* Begin a batch: takes the write lock and, holding it, follows what other instances have committed. Returns false on
 * a fault (store_fault tells). */
bool store_begin(struct store *store);

/* Outside of a batch: put what other instances have committed on our records, so that queries see it. Two reads of
 * memory when there is nothing new. No borrowed pointer survives it. False on a fault: the records may be older than
 * what others have acknowledged; the next call tries again. */
bool store_follow(struct store *store);
/* Forget readers that were killed: their pages would never be used again. */
void store_clear_readers(struct store *store);

enum store_outcome {
    STORE_DONE,   /* on the disk */
    STORE_UNDONE, /* nothing of it happened, in memory or on the disk; store_fault tells why; the store goes on */
    STORE_LOST,   /* the outcome could not be found out or memory can't be trusted: the process must stop */
    STORE_ON_ITS_WAY /* of store_commit_start alone: store_commit_end tells */
};
/* Make the batch durable: the journal gets {position, stamp, commands, after-images}, the history its rows; and, when
 * it is LMDB's turn, the tables a slice of older changes. commands are kept as they are. The position is the last one + 1. */
enum store_outcome store_commit(struct store *store, const uint8_t *commands, size_t commands_size);
/* The same in two steps, so that the owner can do something else while the disk works. Between them memory is ahead of the
 * disk: no record may be read for anybody, nothing may be changed. store_commit_start may do all of it, and says so by any
 * other outcome than STORE_ON_ITS_WAY: then there is no second step. */
enum store_outcome store_commit_start(struct store *store, const uint8_t *commands, size_t commands_size);
/* Is the batch's way to the disk over? True as well when none is on its way. */
bool store_commit_is_over(struct store *store);
/* Readable when it is, until somebody asked. -1 when the store has no such descriptor: it commits in one step. */
int store_commit_descriptor(const struct store *store);
/* Wait for it, and bring memory to what came of it: never STORE_ON_ITS_WAY. */
enum store_outcome store_commit_end(struct store *store);
/* Take the batch back: records, indexes, counters and dirty marks are as before store_begin. */
void store_undo(struct store *store);

/* The last committed position; the first batch of a store is 1. */
uint64_t store_position(const struct store *store);
/* The first fault since the last store_begin, as STORE_NO_ROOM or STORE_FAULT and text; STORE_OK and "" if none. */
enum store_status store_fault(const struct store *store, const char **why);

/* NULL; or what showed that memory and disk, or two instances, differ: no batch is taken any more, and the process must
 * stop loudly. */
const char *store_unsound(const struct store *store);

/* Forget it: what follows, a query outside of a batch, has faults of its own. */
void store_no_fault(const struct store *store);

/* Write back a slice in a transaction of its own when nothing else is to do. False when there is nothing left. */
bool store_idle(struct store *store);

/* From now on threads of the store's own may do what holds up its owner: waiting for the disk after store_commit_start,
 * carrying over into LMDB what waits before it. Without them, or where the system gives none, the owner does it all. */
void store_work_aside(struct store *store);
/* store_idle, which then is only begun: true until it was called in vain. Outside of a batch, or while one is on its way,
 * store_look_aside takes in what they have done; so does whatever begins a batch or follows. */
bool store_idle_aside(struct store *store);
void store_look_aside(struct store *store);
/* Wait for it and take it in: until then the owner has the write lock, for which the history consumer may be waiting. Who
 * stops does this before it waits for that one. */
void store_wait_aside(struct store *store);
/* Readable when something was carried over, until somebody looked; -1 for never. */
int store_aside_descriptor(const struct store *store);

/* Has LMDB every batch, so that who reads it (the history consumer) sees them all? The newest may wait beside it, in
 * store.journal; the next quiet moment brings them over. */
bool store_is_settled(const struct store *store);
/* The last event that who reads LMDB is sure to see. */
uint64_t store_settled_event_no(const struct store *store);

/* --- records: for each row of records.def ---------------------------------------------------------------
 *   const struct user_record *store_see_user(store, user_no)     borrowed, NULL if there is none
 *   bool store_get_user(store, user_no, &record)                 copied
 *   void store_put_user(store, &record)                          by the record's own key; new or changed
 *   void store_remove_user(store, user_no)                       it must be there
 * A put keeps the before-image, marks the record dirty and brings every index up to date at once.
 *
 *   struct house_record *store_change_house(store)               the record itself, for changing: it is there for certain
 *   struct queue_record *store_change_queue(store, queue_no)     the same; not its id
 * These two are changed by every command, are large, and no index is made of what changes in them: they need neither get
 * nor put. */
#define STORE_TABLE(number, NAME, name, key_field, text)                                       \
    const struct name##_record *store_see_##name(const struct store *store, uint64_t key);     \
    bool store_get_##name(const struct store *store, uint64_t key, struct name##_record *out); \
    void store_put_##name(struct store *store, const struct name##_record *record);            \
    void store_remove_##name(struct store *store, uint64_t key);
#include "server/store/records.def"
struct house_record *store_change_house(struct store *store);
struct queue_record *store_change_queue(struct store *store, uint64_t queue_no);

enum store_table {
#define STORE_TABLE(number, NAME, name, key_field, text) STORE_TABLE_##NAME = (number),
#include "server/store/records.def"
#define STORE_HISTORY(number, NAME, name, text) STORE_TABLE_##NAME = (number),
#include "server/store/history.def"
    STORE_TABLE_END
};

/* Records in the table now; and how many reads (see, get) the table has had, for tests that count them (C4). */
uint64_t store_record_count(const struct store *store, enum store_table table);
uint64_t store_read_count(const struct store *store, enum store_table table);
/* How often store_begin and store_follow have changed records of it for another instance: for who keeps something that
 * depends on them. */
uint64_t store_followed_count(const struct store *store, enum store_table table);
/* Walk a table in no order; for audits. The visitor returns false to stop. */
void store_each(const struct store *store, enum store_table table,
                bool (*visit)(void *context, const void *record), void *context);
/* A digest over every record, independent of order and of how the store was opened: kept up to date with each commit,
 * so it is as of the last one; and the same worked out from every record as it stands in memory now. */
uint64_t store_digest(const struct store *store);
uint64_t store_digest_recount(const struct store *store);
/* The same over every row of history, kept up to date as the rows are written. */
uint64_t store_history_digest(const struct store *store);

/* Look over up to `most` records and rows, going on where the last call stopped: a record in memory must be its row on
 * the disk, the records what the commits made of them, and every row must fit its check. True when a round over
 * everything has ended with this call. A difference makes the store unsound. */
bool store_scrub(struct store *store, uint32_t most);
/* For tests: flip a bit of a record in memory, as failing memory does. */
void store_flip_bit(struct store *store, enum store_table table, uint64_t key, uint32_t bit);

/* --- questions, answered by indexes in memory ------------------------------------------------------------ */
uint64_t store_find_user(const struct store *store, const usher_uuid *uuid);         /* user_no or 0 */
uint64_t store_find_queue(const struct store *store, uint32_t queue_id);             /* queue_no or 0 */
uint64_t store_find_concert(const struct store *store, uint32_t concert_id);         /* concert_no or 0 */
uint64_t store_find_plan(const struct store *store, uint32_t plan_id);               /* plan_no or 0 */
uint64_t store_find_date(const struct store *store, uint32_t concert_id, uint32_t date_id); /* date_no or 0 */
uint64_t store_find_client(const struct store *store, const usher_key *client_key);  /* client_no or 0 */
uint64_t store_find_code(const struct store *store, const usher_key *code_hash);     /* client_no or 0 */
/* The next in ascending id after this one, 0 if it was the last. Ids begin at 1, but a queue's at 0: first_queue. */
uint64_t store_first_queue(const struct store *store);
uint64_t store_next_queue(const struct store *store, uint32_t after_queue_id);
uint64_t store_next_concert(const struct store *store, uint32_t after_concert_id);
uint64_t store_next_date(const struct store *store, uint32_t concert_id, uint32_t after_date_id);

/* The line: WAITING tickets of a queue in order of position. Rank is exact and O(log n). */
uint64_t store_first_waiting(const struct store *store, uint64_t queue_no);                   /* position or 0 */
uint64_t store_rank(const struct store *store, uint64_t queue_no, uint64_t position);         /* waiters before it + 1 */
uint64_t store_waiting_count(const struct store *store, uint64_t queue_no);
uint64_t store_active_count(const struct store *store, uint64_t queue_no);

/* The next due moment of a queue: the least, by sale time, then table, then key, over holds (end_due) and tickets
 * (ticket_due()). False if there is none. */
struct store_due {
    uint64_t due;           /* sale time */
    enum store_table table; /* STORE_TABLE_HOLD or STORE_TABLE_TICKET */
    uint64_t key;
};
bool store_next_due(const struct store *store, uint64_t queue_no, struct store_due *due);

/* Seats by bit counts, kept as blocks change. */
struct store_counts {
    uint64_t seats, held, sold, blocked; /* blocked: neither held nor sold at the same time */
    uint64_t withheld;                   /* held and blocked: will be blocked, not free, when the hold ends unpaid */
};
/* A seat that is neither sold nor blocked; a held one may come back. */
static inline bool
store_has_unsold(const struct store_counts *counts)
{
    return counts->seats > counts->sold + counts->blocked + counts->withheld;
}
struct store_counts store_date_counts(const struct store *store, uint64_t date_no);
struct store_counts store_queue_counts(const struct store *store, uint64_t queue_no); /* all dates behind the queue */
struct store_counts store_house_counts(const struct store *store);
/* Until when a seat behind the queue can be sold: the latest end of a sale (closes_at_ms, else starts_at_ms) of its dates
 * that have a seat neither sold nor blocked; 0 if none has. O(log dates), whatever is over. */
uint64_t store_unsold_until_ms(const struct store *store, uint64_t queue_no);
/* The sum of all users' balances, kept as they change. */
int64_t store_balance_sum(const struct store *store);

/* --- history: for each row of history.def -----------------------------------------------------------------
 *   void store_append_entry(store, &row)                    the key is its first field; variable ends by their counts
 *   bool store_read_entry(store, entry_no, &row)            rows of this batch included
 * Only answers and events are ever dropped. */
#define STORE_HISTORY(number, NAME, name, text)                                        \
    void store_append_##name(struct store *store, const struct name##_row *row);       \
    bool store_read_##name(const struct store *store, uint64_t key, struct name##_row *out);
#include "server/store/history.def"
void store_drop_event(struct store *store, uint64_t event_no);
void store_drop_answer(struct store *store, const struct answer_row *row);

/* The answer under this scope and id, by an index in memory (16 bytes a slot, at most 3/4 full: 21 to 43 bytes an
 * answer); false if none is remembered. */
bool store_find_answer(const struct store *store, uint64_t scope, const usher_id *request_id, struct answer_row *out);
uint64_t store_answer_count(const struct store *store);

/* --- the history consumer (B2): another thread than the store's owner may call these, one at a time ---------
 * They use read and write transactions of their own. (In memory alone there is no other thread: the owner calls them.)
 * store_consumer_step reads up to `most` events after the
 * consumer's cursor and writes their history rows together with the new cursor. */
enum store_step {
    STORE_STEP_DONE,    /* some were taken in */
    STORE_STEP_NOTHING, /* it is up to date */
    STORE_STEP_FAILED   /* nothing changed; try again later */
};
enum store_step store_consumer_step(struct store *store, uint32_t most);
/* Make the next n steps fail before their commit, for tests and fault scripts. */
void store_consumer_fail(struct store *store, uint32_t steps);

/* The owner's reads of what the consumer wrote. */
uint64_t store_consumer_cursor(const struct store *store); /* the last event taken in */
/* Up to most rows of a user after event_no (exclusive), oldest first. Rows of one event are never split: it returns
 * fewer, or with room for less than 16 rows possibly none. *more says whether any follow. */
size_t store_consumer_rows(const struct store *store, uint64_t user_no, uint64_t after_event_no,
                           struct history_record *rows, size_t most, bool *more);

/* --- ways: what will be looked at soon comes into the processor's cache --------------------------------------
 * The way to a record leads over places in memory, each of which says where the next is. Who takes the ways of many
 * requests in turns, a step each, waits for all of them at once. Nothing changes but the cache, nothing counts as a
 * read, and a way to what does not exist ends early. No change of the store in between. */
struct store_way {
    uint64_t key; /* of the record; while it is to be found, the hash under which it is */
    uint8_t table;
    uint8_t step;
    bool hashed;
    bool head;          /* of the record its first 64 bytes will do */
    const void *record; /* where the way has led to, NULL if nowhere; maybe a removed one */
};
struct store_way store_way_to(enum store_table table, uint64_t key);
struct store_way store_way_to_user(const struct store *store, const usher_uuid *uuid);
struct store_way store_way_to_date(const struct store *store, uint32_t concert_id, uint32_t date_id);
/* Take the next step; false when it was the last. */
bool store_way_on(const struct store *store, struct store_way *way);
/* The only step to where an answer is found. */
void store_fetch_answer(const struct store *store, uint64_t scope, const usher_id *request_id);

/* --- figures ------------------------------------------------------------------------------------------- */
struct store_figures {
    uint64_t journal_count; /* batches in the journal */
    uint64_t journal_bytes;
    uint64_t store_bytes;  /* pages in use */
    uint64_t memory_bytes; /* records and indexes */
    uint64_t dirty_count;  /* records not written back yet */
};
struct store_figures store_figures(const struct store *store);

/* What is kept in memory, row by row: the tables of records.def and the indexes. Returns how many rows there are. */
#define STORE_MEMORY_MOST 32
struct store_memory {
    char name[24];
    uint64_t count, bytes;
};
size_t store_memory(const struct store *store, struct store_memory rows[STORE_MEMORY_MOST]);

/* Where the time of a batch goes is measured there from now on; NULL for nowhere. */
void store_measure(struct store *store, struct stages *stages);

#endif
