/* histogram.c: see histogram.h. */
#include "histogram.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define CELL_BITS 7 /* 2^7 cells a doubling */

_Static_assert(HISTOGRAM_CELLS_EACH == 1u << CELL_BITS, "the cells of a doubling");

const double histogram_said[HISTOGRAM_SAID_COUNT] = {50, 90, 95, 99, 99.9, 99.99};
const char *const histogram_said_name[HISTOGRAM_SAID_COUNT] = {"p50", "p90", "p95", "p99", "p99.9", "p99.99"};

/* --- cells -------------------------------------------------------------------------------------------- */
static unsigned
cell_of(uint64_t value)
{
    unsigned shift;

    if (value < HISTOGRAM_CELLS_EACH)
        return (unsigned)value;
    if (value > HISTOGRAM_VALUE_MOST)
        value = HISTOGRAM_VALUE_MOST;
    shift = 63u - (unsigned)__builtin_clzll(value) - CELL_BITS;
    return shift * HISTOGRAM_CELLS_EACH + (unsigned)(value >> shift);
}

/* The greatest value that a cell counts. */
static uint64_t
cell_end(unsigned cell)
{
    unsigned shift;

    if (cell < HISTOGRAM_CELLS_EACH)
        return cell;
    shift = cell / HISTOGRAM_CELLS_EACH - 1;
    return ((uint64_t)(cell - shift * HISTOGRAM_CELLS_EACH + 1) << shift) - 1;
}

void
histogram_clear(struct histogram *histogram)
{
    memset(histogram, 0, sizeof *histogram);
    histogram->least = UINT64_MAX;
}

void
histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->cell[cell_of(value)]++;
    histogram->count++;
    histogram->sum += value;
    if (value < histogram->least)
        histogram->least = value;
    if (value > histogram->most)
        histogram->most = value;
}

void
histogram_merge(struct histogram *histogram, const struct histogram *other)
{
    for (unsigned cell = 0; cell < HISTOGRAM_CELLS; cell++)
        histogram->cell[cell] += other->cell[cell];
    histogram->count += other->count;
    histogram->sum += other->sum;
    if (other->least < histogram->least)
        histogram->least = other->least;
    if (other->most > histogram->most)
        histogram->most = other->most;
}

/* --- what it says ------------------------------------------------------------------------------------- */
/* How many samples lie at or below a percentile. */
static uint64_t
rank_of(const struct histogram *histogram, double percent)
{
    /* A hair less, so that 99.9 % of 1,000 is 999 and not, by the binary fraction, 1,000. */
    double rank = ceil((double)histogram->count * percent / 100 - 1e-6);

    if (rank < 1)
        return 1;
    return rank > (double)histogram->count ? histogram->count : (uint64_t)rank;
}

uint64_t
histogram_percentile(const struct histogram *histogram, double percent)
{
    uint64_t rank = rank_of(histogram, percent), passed = 0;

    for (unsigned cell = 0; cell < HISTOGRAM_CELLS && histogram->count > 0; cell++) {
        passed += histogram->cell[cell];
        if (passed >= rank)
            return cell + 1 < HISTOGRAM_CELLS && cell_end(cell) < histogram->most ? cell_end(cell) : histogram->most;
    }
    return 0;
}

bool
histogram_may_say(const struct histogram *histogram, double percent)
{
    return histogram->count > 0 && histogram->count - rank_of(histogram, percent) >= HISTOGRAM_ABOVE_LEAST;
}

double
histogram_mean(const struct histogram *histogram)
{
    return histogram->count == 0 ? 0 : (double)histogram->sum / (double)histogram->count;
}

/* --- .hgrm -------------------------------------------------------------------------------------------- */
static double
deviation(const struct histogram *histogram)
{
    double mean = histogram_mean(histogram), squares = 0;

    for (unsigned cell = 0; cell < HISTOGRAM_CELLS; cell++) {
        double off = (double)cell_end(cell) - mean;
        squares += (double)histogram->cell[cell] * off * off;
    }
    return histogram->count == 0 ? 0 : sqrt(squares / (double)histogram->count);
}

/* Steps get half as long each time the distance to 100 % halves: five of them to a half. */
bool
histogram_write_hgrm(const struct histogram *histogram, FILE *file, double unit_ns)
{
    double step = 10, percent = 0;

    fprintf(file, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    while (histogram->count > 0) {
        uint64_t rank = rank_of(histogram, percent);
        bool is_last = rank == histogram->count;

        fprintf(file, "%12.3f %2.12f %10" PRIu64, (double)histogram_percentile(histogram, percent) / unit_ns,
                is_last ? 1.0 : percent / 100, rank);
        if (is_last)
            fputc('\n', file);
        else
            fprintf(file, " %14.2f\n", 100 / (100 - percent));
        if (is_last)
            break;
        if (100 - percent <= step * 5)
            step /= 2;
        percent += step;
    }
    fprintf(file, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", histogram_mean(histogram) / unit_ns,
            deviation(histogram) / unit_ns);
    fprintf(file, "#[Max     = %12.3f, Total count    = %12" PRIu64 "]\n", (double)histogram->most / unit_ns,
            histogram->count);
    fprintf(file, "#[Buckets = %12u, SubBuckets     = %12u]\n", HISTOGRAM_CELLS / HISTOGRAM_CELLS_EACH,
            HISTOGRAM_CELLS_EACH);
    return ferror(file) == 0;
}
