/* many.h: asks a house one kind of request many times, over a few handles with many in flight: for preparations and for
 * what is looked up afterwards, where only the end counts. */
#ifndef BENCH_MANY_H
#define BENCH_MANY_H

#include "bench/common/house.h"

struct many {
    const struct house *house;
    const usher_secret *secret; /* who asks */
    uint16_t opcode;
    size_t count;
    /* Fill in the at-th request, which is all zeros. */
    void (*make)(void *context, size_t at, void *request);
    /* Take its answer; NULL: it must be OK. False ends it all: `why` is the completion's error then. */
    bool (*take)(void *context, size_t at, const usher_completion *completion);
    void *context;
};

/* False, and why, when one could not be asked or was not as it must be. */
bool many_ask(const struct many *many, char *why, size_t why_size);

#endif
