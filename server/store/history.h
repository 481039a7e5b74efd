/* history.h: rows that are only appended (and some dropped): those of the present batch, those that LMDB does not have
 * yet and, in a store in memory alone, all of them. Also the index of remembered answers. */
#ifndef STORE_HISTORY_H
#define STORE_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
    size_t size;
    bool gone; /* dropped again by the batch that appended it */
    uint8_t bytes[];
};

struct history_dropped {
    uint64_t key;
    uint64_t scope;          /* of an answer */
    usher_id request_id;     /* the same */
    struct history_row *row; /* NULL when it is on the disk alone */
};

struct history_keys {
    uint64_t *keys;
    size_t count, room;
};

struct history_table {
    struct map rows;    /* store_mix(key) -> struct history_row * */
    struct history_row **appended; /* by this batch, in their order; those that are gone as well */
    size_t appended_count, appended_room;
    struct history_dropped *dropped; /* in this batch */
    size_t dropped_count, dropped_room;
    struct map dropped_keys; /* store_mix(key) -> 1 */
    /* Of batches that are on the disk but not in LMDB yet (disk_front.c): rows that are read from memory until they
     * are, and keys that stay in dropped_keys. */
    struct history_keys waiting, gone;
};

struct history {
    bool keep; /* rows stay in memory after their batch */
    struct history_table table[HISTORY_TABLES];
    struct map answers; /* hash of scope and id -> answer_no */
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
/* The row if it is in memory; *dropped says that this batch has taken it out. */
const struct history_row *history_see(const struct history *history, unsigned index, uint64_t key, bool *dropped);
/* Fill a row's struct from stored bytes; false when the bytes can't be one. */
bool history_fill(unsigned index, const void *bytes, size_t size, void *row);

void history_undo(struct history *history); /* take the batch's rows back */
/* The batch is over: forget it, or, when LMDB has it not yet, let its rows wait until history_carried. */
void history_done(struct history *history, bool waits);
void history_carried(struct history *history);

/* The index of answers learns of one that is on the disk, and of one that has gone if it had it. */
void history_learn_answer(struct history *history, const struct answer_row *answer);
void history_forget_answer(struct history *history, uint64_t answer_no, uint64_t scope, const usher_id *request_id);
/* The hash under which an answer is found. */
uint64_t history_answer_hash(const struct history *history, uint64_t scope, const usher_id *request_id);

#endif
