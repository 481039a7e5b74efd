/* spread.h: what several runs of one measurement come to: their median and their range. */
#ifndef BENCH_SPREAD_H
#define BENCH_SPREAD_H

#include <stddef.h>

#define SPREAD_MOST 64 /* runs */

struct spread {
    double value[SPREAD_MOST]; /* in the order in which they came */
    size_t count;
};

/* Past SPREAD_MOST it is an assertion. */
void spread_add(struct spread *spread, double value);

/* Of an even count the mean of the middle two. 0 when there is none. */
double spread_median(const struct spread *spread);
double spread_least(const struct spread *spread);
double spread_most(const struct spread *spread);

#endif
