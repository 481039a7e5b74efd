/* histogram.h: a log-linear histogram of times in nanoseconds.
 *
 * Values below 128 have a cell each; above, every doubling is cut into 128 cells, so a value is known to better than
 * 0.8 %. Minimum, maximum, count and sum are exact. What lies beyond HISTOGRAM_VALUE_MOST (18 minutes) is counted in the
 * last cell.
 *
 * No percentile is said without ten samples above it: histogram_may_say() is the rule, and every output keeps to it. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define HISTOGRAM_CELLS_EACH  128u /* of a doubling */
#define HISTOGRAM_VALUE_MOST  ((UINT64_C(1) << 40) - 1)
#define HISTOGRAM_CELLS       (HISTOGRAM_CELLS_EACH * 34u)
#define HISTOGRAM_ABOVE_LEAST 10u /* samples above a percentile that is said */

struct histogram {
    uint64_t count, sum, least, most;
    uint64_t cell[HISTOGRAM_CELLS];
};

void histogram_clear(struct histogram *histogram);
void histogram_add(struct histogram *histogram, uint64_t value);

/* Add everything that is in another one. */
void histogram_merge(struct histogram *histogram, const struct histogram *other);

/* The value at or below which `percent` of the samples lie: the upper end of its cell, never above the maximum. 0 when
 * it is empty. */
uint64_t histogram_percentile(const struct histogram *histogram, double percent);

/* Whether at least HISTOGRAM_ABOVE_LEAST samples lie above this percentile. */
bool histogram_may_say(const struct histogram *histogram, double percent);

double histogram_mean(const struct histogram *histogram);

/* The percentiles that outputs name, lowest first. */
#define HISTOGRAM_SAID_COUNT 6
extern const double histogram_said[HISTOGRAM_SAID_COUNT];         /* 50 .. 99.99 */
extern const char *const histogram_said_name[HISTOGRAM_SAID_COUNT]; /* "p50" .. "p99.99" */

/* The percentile distribution as HdrHistogram's plotters read it, values in units of `unit_ns`. False when the file
 * could not be written. */
bool histogram_write_hgrm(const struct histogram *histogram, FILE *file, double unit_ns);

#endif
