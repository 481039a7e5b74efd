/* commit.h: batches: gather commands, order them, make them durable, hand out the answers (DESIGN sections 2 and 4).
 *
 * A batch is a self-contained value, {stamp, origin, commands}, that can be encoded, decoded and applied again to the
 * same effect; its position in the order is given by the store's single-writer transaction. Who orders the batches is
 * hidden here, so that a replicated log can take the place of LMDB's lock. */
#ifndef COMMIT_H
#define COMMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "server/core/core.h"

#define COMMIT_COMMANDS_MOST 4096u

struct commit;

/* store and core stay the caller's. NULL without memory. */
struct commit *commit_open(struct store *store, struct core *core);
void commit_close(struct commit *commit);

/* Batches name who made them: the instance's number, 1 unless it is said. Before the first command. */
void commit_name_origin(struct commit *commit, uint32_t origin);

/* Add a command to the batch that is being gathered. body is the decoded request; its token and, where the asker's user
 * is known, its user field are brought to one form, so that a retry has the same fingerprint whatever token it carries.
 * tag is the caller's and comes back with the answer. False when the batch is full (BUSY). */
bool commit_add(struct commit *commit, const usher_message *message, const struct core_asker *asker, const void *body,
                uint64_t tag);
/* Commands gathered so far. */
uint32_t commit_count(const struct commit *commit);

/* Stamp the batch, tick, apply every command in order, make it durable. Without commands and with nothing due it does
 * nothing. On STORE_UNDONE every answer is STORAGE_FAULT or STORAGE_FULL. After it, answers can be read until the next
 * commit_add. STORE_LOST: the process must stop without answering. */
enum store_outcome commit_run(struct commit *commit, uint64_t now_ms);
/* The same in two steps: the store's (store_commit_start) as it may be STORE_ON_ITS_WAY. Until commit_run_end nothing may
 * be added, and no record be shown to anybody. */
enum store_outcome commit_run_start(struct commit *commit, uint64_t now_ms);
enum store_outcome commit_run_end(struct commit *commit);

/* Be told of every batch that commit_run has made durable, before anybody is answered; the bytes are commit_batch's. */
typedef void commit_watcher(void *context, uint64_t position, const uint8_t *batch, size_t size);
void commit_watch(struct commit *commit, commit_watcher *watcher, void *context);

/* Nobody was alive since this moment, which is the store's last stamp at the latest: the next commit_run records it
 * before anything else, even if it has nothing else to do (X2). */
void commit_resume(struct commit *commit, uint64_t down_since_ms);

struct commit_answer {
    uint64_t tag;
    uint16_t opcode;
    uint16_t result;
    bool replayed;
    const uint8_t *body; /* encoded; token and receipt fields without proof */
    size_t body_size;
};
/* The answer of the i-th command of the batch that was run last. */
struct commit_answer commit_answer(const struct commit *commit, uint32_t index);

/* The stamp of the last batch that was run or, if later, of the store. */
uint64_t commit_stamp_ms(const struct commit *commit);

/* --- a batch as a value -------------------------------------------------------------------------------- */
/* Apply an encoded batch, as the journal keeps it, to this commit's store: for replay and followers. position must be
 * the store's last + 1; an older one is left alone (idempotent). False when the bytes are not a batch. */
bool commit_replay(struct commit *commit, uint64_t position, const uint8_t *batch, size_t size);
/* The encoded batch that commit_run made last, for recording; good until the next commit_add. */
const uint8_t *commit_batch(const struct commit *commit, size_t *size);

#endif
