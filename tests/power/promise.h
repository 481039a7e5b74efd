/* promise.h: what a store holds, in a few numbers: marked by load.c when a batch was acknowledged, compared by check.c
 * with what is found after a power cut. */
#ifndef TESTS_POWER_PROMISE_H
#define TESTS_POWER_PROMISE_H

#include "server/store/store.h"

struct promise {
    uint64_t position;
    uint64_t digest;  /* over all records */
    uint64_t history; /* a digest over its rows */
    uint64_t answer_count;
    uint64_t consumer_cursor;
};

static inline struct promise
promise_of(const struct store *store)
{
    return (struct promise){.position = store_position(store),
                            .digest = store_digest_recount(store),
                            .history = store_history_digest(store),
                            .answer_count = store_answer_count(store),
                            .consumer_cursor = store_consumer_cursor(store)};
}

#endif
