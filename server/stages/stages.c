/* stages.c: see stages.h. */
#include "server/stages/stages.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STEP_BITS   4u /* 16 steps for each power of two */
#define STEPS       (1u << STEP_BITS)
#define BUCKETS     ((STAGES_BITS - STEP_BITS + 1u) * STEPS)
#define ABOVE_LEAST 10u /* a percentile is worth saying with as many values above it */

struct histogram {
    uint64_t count, sum, most;
    uint64_t bucket[BUCKETS];
};

struct stages {
    struct histogram histogram[STAGES_COUNT];
    uint64_t turn[STAGES_COUNT]; /* what the turn has summed up */
    bool seen[STAGES_COUNT];     /* whether it went through this stage at all */
    bool begun;
    uint64_t began_ns, last_ns;
};

struct stages *
stages_open(void)
{
    return calloc(1, sizeof(struct stages));
}

void
stages_close(struct stages *stages)
{
    free(stages);
}

void
stages_clear(struct stages *stages)
{
    memset(stages->histogram, 0, sizeof stages->histogram);
}

/* --- a turn ------------------------------------------------------------------------------------------- */
static uint64_t
clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void
stages_begin(struct stages *stages)
{
    if (stages == NULL || stages->begun)
        return;
    uint64_t now_ns = clock_ns();

    if (stages->last_ns != 0)
        stages_record(stages, USHER_STAGE_IDLE, now_ns - stages->last_ns);
    stages->begun = true;
    stages->began_ns = stages->last_ns = now_ns;
}

void
stages_lap(struct stages *stages, enum usher_stage stage)
{
    if (stages == NULL || !stages->begun)
        return;
    uint64_t now_ns = clock_ns();

    stages->turn[stage] += now_ns - stages->last_ns;
    stages->seen[stage] = true;
    stages->last_ns = now_ns;
}

void
stages_count(struct stages *stages, enum usher_stage stage, uint64_t count)
{
    if (stages == NULL || !stages->begun || count == 0)
        return;
    stages->turn[stage] += count;
    stages->seen[stage] = true;
}

void
stages_end(struct stages *stages)
{
    if (stages == NULL || !stages->begun)
        return;
    stages_lap(stages, USHER_STAGE_REST);
    stages->turn[USHER_STAGE_TURN] = stages->last_ns - stages->began_ns;
    stages->seen[USHER_STAGE_TURN] = true;
    for (unsigned stage = 0; stage < STAGES_COUNT; stage++)
        if (stages->seen[stage])
            stages_record(stages, (enum usher_stage)stage, stages->turn[stage]);
    memset(stages->turn, 0, sizeof stages->turn);
    memset(stages->seen, 0, sizeof stages->seen);
    stages->begun = false;
}

/* --- histograms --------------------------------------------------------------------------------------- */
static unsigned
bucket_of(uint64_t value)
{
    if (value < STEPS)
        return (unsigned)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - STEP_BITS;

    return (shift + 1) * STEPS + (unsigned)(value >> shift & (STEPS - 1));
}

/* The largest value of a bucket. */
static uint64_t
bucket_end(unsigned bucket)
{
    if (bucket < STEPS)
        return bucket;
    unsigned shift = bucket / STEPS - 1;

    return ((uint64_t)(STEPS + bucket % STEPS + 1) << shift) - 1;
}

void
stages_record(struct stages *stages, enum usher_stage stage, uint64_t value)
{
    struct histogram *histogram = &stages->histogram[stage];

    value = value < STAGES_MOST ? value : STAGES_MOST;
    histogram->count++;
    histogram->sum += value;
    histogram->most = value > histogram->most ? value : histogram->most;
    histogram->bucket[bucket_of(value)]++;
}

/* The value that so many thousandths of all do not exceed. */
static uint64_t
percentile(const struct histogram *histogram, uint64_t thousandths)
{
    uint64_t wanted = (histogram->count * thousandths + 999) / 1000, passed = 0;

    if (histogram->count - wanted < ABOVE_LEAST)
        return 0;
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
        passed += histogram->bucket[bucket];
        if (passed >= wanted)
            return bucket_end(bucket) < histogram->most ? bucket_end(bucket) : histogram->most;
    }
    return histogram->most;
}

struct stage_figures
stages_figures(const struct stages *stages, enum usher_stage stage)
{
    const struct histogram *histogram = &stages->histogram[stage];

    return (struct stage_figures){.count = histogram->count,
                                  .sum = histogram->sum,
                                  .most = histogram->most,
                                  .p50 = percentile(histogram, 500),
                                  .p99 = percentile(histogram, 990),
                                  .p999 = percentile(histogram, 999)};
}
