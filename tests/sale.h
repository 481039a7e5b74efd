/* sale.h: a small sale through commit.h, for tests that break things under it: a hall of 2,500 seats, and buyers who go
 * step by step from joining the queue to a refund.
 *
 * Everything a buyer asks follows from its number and from its earlier answers, request ids too, and the time of a
 * batch follows from its position. So the same buyers in the same batches make the same records, however often a batch
 * was undone and tried again in between: a retry is the same request under the same id.
 *
 * Nothing here fails a test by itself, so that children and load programs may use it: look at what it returns. */
#ifndef TESTS_SALE_H
#define TESTS_SALE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/commit/commit.h"
#include "server/store/store.h"

#define SALE_NOON        1750000000000u
#define SALE_PRICE       700
#define SALE_SEATS       2u    /* a buyer's */
#define SALE_BUYERS_MOST 1250u /* one for every two seats */

struct sale {
    struct store *store;
    struct core *core;
    struct commit *commit;
};

/* Open store, core and commit; false and one line in why if not. NULL for a store in memory alone. */
bool sale_open(struct sale *sale, const struct store_options *options, char *why, size_t why_size);
void sale_close(struct sale *sale);

/* Run what was gathered, at the moment that belongs to the next position. */
enum store_outcome sale_run(struct sale *sale);
/* The same, but what a thread of the store's takes to the disk is not waited for before sale_run_end. */
enum store_outcome sale_run_start(struct sale *sale);
enum store_outcome sale_run_end(struct sale *sale);

/* Gather the batch that makes the hall, the concert, the date and a queue that admits everybody at once. */
bool sale_add_house(struct sale *sale);
/* Are all of its answers OK? */
bool sale_took_house(const struct sale *sale);

enum sale_step { SALE_JOIN, SALE_RESERVE, SALE_CHARGE, SALE_PAY, SALE_REFUND, SALE_STEPS };

struct sale_buyer {
    uint32_t number; /* counted from 1 */
    unsigned step;   /* the next one; SALE_STEPS when all is done */
    uint64_t position;
    uint64_t reservation[SALE_SEATS];
    uint64_t payment_id;
};

usher_id sale_request_id(uint32_t number, unsigned step);
usher_uuid sale_user(uint32_t number);

/* Gather the buyer's next step. False when the batch is full or memory ended. */
bool sale_add(struct sale *sale, const struct sale_buyer *buyer);
/* Read the answer to it, the index-th of the batch. Goes one step on and returns true if it is OK. */
bool sale_take(const struct sale *sale, struct sale_buyer *buyer, uint32_t index);

#endif
