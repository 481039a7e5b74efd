/* spread.c: see spread.h. */
#include "spread.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void
spread_add(struct spread *spread, double value)
{
    assert(spread->count < SPREAD_MOST);
    spread->value[spread->count++] = value;
}

static int
compare(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;

    return (a > b) - (a < b);
}

/* The at-th of them, in ascending order. */
static double
ordered(const struct spread *spread, size_t at)
{
    double value[SPREAD_MOST];

    memcpy(value, spread->value, spread->count * sizeof *value);
    qsort(value, spread->count, sizeof *value, compare);
    return value[at];
}

double
spread_median(const struct spread *spread)
{
    if (spread->count == 0)
        return 0;
    return (ordered(spread, (spread->count - 1) / 2) + ordered(spread, spread->count / 2)) / 2;
}

double
spread_least(const struct spread *spread)
{
    return spread->count == 0 ? 0 : ordered(spread, 0);
}

double
spread_most(const struct spread *spread)
{
    return spread->count == 0 ? 0 : ordered(spread, spread->count - 1);
}
