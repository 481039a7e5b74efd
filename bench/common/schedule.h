/* schedule.h: the moments at which an open loop intends to ask, whatever became of what it asked before.
 *
 * Poisson arrivals are those of many people who know nothing of one another; fixed ones are a metronome. Moments are
 * nanoseconds from the beginning and depend on rate and seed alone, so that a run repeats. */
#ifndef BENCH_SCHEDULE_H
#define BENCH_SCHEDULE_H

#include "dice.h"

enum schedule_kind {
    SCHEDULE_POISSON,
    SCHEDULE_FIXED
};

struct schedule {
    enum schedule_kind kind;
    double gap_ns; /* between two, on average */
    double at_ns;
    struct dice dice;
};

/* rate: arrivals a second, above 0. */
void schedule_begin(struct schedule *schedule, enum schedule_kind kind, double rate, uint64_t seed);

/* The next moment; never before the one that was given last. */
uint64_t schedule_next_ns(struct schedule *schedule);

#endif
