/* schedule.c: see schedule.h. */
#include "schedule.h"

#include <assert.h>
#include <math.h>

void
schedule_begin(struct schedule *schedule, enum schedule_kind kind, double rate, uint64_t seed)
{
    assert(rate > 0);
    schedule->kind = kind;
    schedule->gap_ns = 1e9 / rate;
    schedule->at_ns = 0;
    dice_seed(&schedule->dice, seed);
}

uint64_t
schedule_next_ns(struct schedule *schedule)
{
    double gap_ns = schedule->gap_ns;

    if (schedule->kind == SCHEDULE_POISSON)
        gap_ns *= -log(1 - dice_unit(&schedule->dice));
    schedule->at_ns += gap_ns;
    return (uint64_t)schedule->at_ns;
}
