/* history.h: rows that are only appended (and some dropped): those of the present batch, those that LMDB does not have
 * yet and, in a store in memory alone, all of them. Also the index of remembered answers. */
#ifndef STORE_HISTORY_H
#define STORE_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/store/kept.h"
#include "server/store/map.h"
#include "server/store/store.h"

#define HISTORY_FIRST 32u /* the first number of history.def */
enum {
#define STORE_HISTORY(number, NAME, name, text) HISTORY_INDEX_##NAME,
#include "server/store/history.def"
    HISTORY_TABLES
};

struct history_kind {
    const char *name;
    uint8_t number;
    size_t row_size;               /* of the struct */
    size_t (*size)(const void *);  /* of what is stored of it */
    size_t size_least;             /* of any stored row */
};
extern const struct history_kind history_kinds[HISTORY_TABLES]; /* by number - HISTORY_FIRST */

struct history_row {
    uint64_t key;
    size_t at; /* of its bytes, counted from the first byte ever */
    uint32_t size;
    bool gone; /* dropped since */
};

#define HISTORY_NO_ROW SIZE_MAX
struct history_dropped {
    uint64_t key;
    uint64_t scope;      /* of an answer */
    usher_id request_id; /* the same */
    size_t row;          /* its place in rows; HISTORY_NO_ROW when it is on the disk alone */
};

struct history_table {
    struct history_row *rows; /* in the order in which they came; those that are gone as well */
    size_t count, room;
    size_t first;                    /* how many have been forgotten before them */
    size_t batch;                    /* the open batch's begin here */
    struct history_dropped *dropped; /* in this batch */
    size_t dropped_count, dropped_room;
    struct map dropped_keys; /* store_mix(key) -> 1 */
    /* Of batches that are on the disk but not in LMDB yet: these stay in dropped_keys. */
    uint64_t *gone;
    size_t gone_count, gone_room;
    size_t turned, gone_turned; /* rows and gone of before the last history_turn */
};

#define HISTORY_ASKED 64u
struct history {
    bool keep; /* rows stay in memory after their batch */
    struct history_table table[HISTORY_TABLES];
    struct bytes bytes; /* of all tables' rows, kept.h */
    size_t batch;       /* the open batch's begin here */
    struct map ended;   /* keys of ended reservations do not count up: store_mix(key) -> place in rows, */
                        /* counted from the first row ever, and 1 */
    size_t ended_known; /* the rows before this one are in it */
    size_t bytes_first; /* how many bytes have been forgotten before them */
    size_t turned;      /* bytes of before the last history_turn */
    struct map answers; /* hash of scope and id -> answer_no */
    struct history_asked {
        uint64_t scope;
        usher_id request_id;
        uint64_t hash;
    } asked[HISTORY_ASKED]; /* lately: a batch fetches for an id, looks for it, and nearly always remembers it next */
    uint64_t last_answer_no; /* the last committed one that the index has heard of */
    uint8_t secret[16];
    uint64_t digest;        /* the sum of all rows' checks as of the last commit; digest.h */
    uint64_t digest_change; /* what the open batch makes of it; worked out as it is committed */
};

struct history *history_open(bool keep);
void history_close(struct history *history);
uint64_t history_bytes(const struct history *history);

void history_append(struct history *history, unsigned index, const void *row);
/* answer: the row when it is one, else NULL. */
void history_drop(struct history *history, unsigned index, uint64_t key, const struct answer_row *answer);
/* The row's bytes if they are in memory, good until the next change; *dropped says that it has been taken out. */
const uint8_t *history_see(struct history *history, unsigned index, uint64_t key, size_t *size, bool *dropped);
static inline const uint8_t *
history_row_bytes(const struct history *history, const struct history_row *row)
{
    return history->bytes.data + (row->at - history->bytes_first);
}
/* Fill a row's struct from stored bytes; false when the bytes can't be one. */
bool history_fill(unsigned index, const void *bytes, size_t size, void *row);

void history_undo(struct history *history); /* take the batch's rows back */
/* The batch is over: forget it and those that wait, or, when LMDB has it not yet, let it wait as well. */
void history_done(struct history *history, bool waits);
/* What waits now will be carried over before all that comes. Once only, until it is. */
void history_turn(struct history *history);
/* LMDB has what had waited at the last history_turn, or all that waits. What the open batch says stays. */
void history_carried(struct history *history, bool all);

/* The index of answers learns of one that is on the disk, and of one that has gone if it had it. */
void history_learn_answer(struct history *history, const struct answer_row *answer);
void history_forget_answer(struct history *history, uint64_t answer_no, uint64_t scope, const usher_id *request_id);
/* The hash under which an answer is found. */
uint64_t history_answer_hash(struct history *history, uint64_t scope, const usher_id *request_id);

#endif
