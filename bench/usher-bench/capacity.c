/* capacity.c: the highest rate of arrivals whose 99th percentile, from the intended start, stays under a bound.
 *
 * Rates are doubled until one is too much, then the gap is halved. A rate is too much when the bound is broken, when
 * fewer were answered than offered, or when the generator fell behind: that is told, for then it is the generator's
 * limit and the server's lies above it. */
#include <stdlib.h>
#include <string.h>

#include "bench/usher-bench/bench.h"

#define RATE_FIRST   2000.0
#define RATE_MOST    4000000.0
#define HALVINGS     5
#define ANSWERED     0.98 /* of what was offered */
#define DEPTH        128u

struct search {
    struct sitting sitting;
    const char *scenario;
    struct drive_figures figures;
    double best, best_p99_us;
    bool generator; /* the first rate that was too much was so for the generator */
    json_t *steps;
};

/* Whether a rate holds. False in *good: it could not be asked. */
static bool
holds(struct search *search, double rate, bool *good)
{
    struct bench *bench = search->sitting.bench;
    const struct options *options = &bench->options;
    struct drive_plan plan = plan_of(options, search->scenario, options->connections.value[0], DEPTH);
    struct drive_figures *figures = &search->figures;
    char why[200];
    double p99_us;
    bool behind, held;

    plan.rate = rate;
    plan.progress = progress_tell;
    plan.context = bench;
    *good = drive_run(search->sitting.drive, &plan, figures, bench->why, sizeof bench->why);
    if (!*good)
        return false;
    p99_us = (double)histogram_percentile(&figures->intended, 99) / 1000;
    behind = drive_is_void(&plan, figures, why, sizeof why);
    held = p99_us <= (double)options->p99_us && figures->per_second >= rate * ANSWERED && !behind &&
           figures->faults == 0 && !figures->ran_out;
    progress_end();
    fprintf(stderr, "  %9.0f/s offered: %9.0f/s answered, p99 %.0f us: %s\n", rate, figures->per_second, p99_us,
            held ? "holds" : behind ? "the generator fell behind" : "too much");
    json_array_append_new(search->steps, json_pack("{s:f, s:f, s:f, s:b, s:b}", "offered", rate, "per_second",
                                                   figures->per_second, "p99_us", p99_us, "holds", (int)held,
                                                   "generator_fell_behind", (int)behind));
    if (held && rate > search->best) {
        search->best = rate;
        search->best_p99_us = p99_us;
    }
    if (!held)
        search->generator = behind;
    return held;
}

static bool
look(struct search *search)
{
    double low = 0, high = RATE_FIRST;
    bool good = true;

    while (high <= RATE_MOST && holds(search, high, &good)) {
        low = high;
        high *= 2;
    }
    for (unsigned i = 0; good && i < HALVINGS && low > 0; i++) {
        double middle = (low + high) / 2;
        if (holds(search, middle, &good))
            low = middle;
        else
            high = middle;
    }
    return good;
}

static void
tell(const struct search *search)
{
    struct bench *bench = search->sitting.bench;
    const struct options *options = &bench->options;
    FILE *out = bench_out(bench);

    if (search->best > 0)
        fprintf(out,
                "\nUsher answers %.0f %s tasks a second over %u connections with the 99th percentile at %.1f ms, under the "
                "bound of %.1f ms%s.\n",
                search->best, search->scenario, options->connections.value[0], search->best_p99_us / 1000,
                (double)options->p99_us / 1000,
                search->generator ? "; beyond that it was the generator that fell behind" : "");
    else
        fprintf(out, "\nEven %.0f %s tasks a second break the bound of %.1f ms here.\n", RATE_FIRST, search->scenario,
                (double)options->p99_us / 1000);
    json_object_set_new(bench->report, "capacity",
                        json_pack("{s:s, s:f, s:I, s:f, s:i, s:b, s:O}", "scenario", search->scenario, "per_second",
                                  search->best, "p99_us_most", (json_int_t)options->p99_us, "p99_us",
                                  search->best_p99_us, "connections", (int)options->connections.value[0],
                                  "limited_by_generator", (int)search->generator, "steps", search->steps));
}

bool
find_capacity(struct bench *bench, const char *scenario)
{
    struct search *search = calloc(1, sizeof *search);
    struct target_sizes sizes = sizes_of(&bench->options);
    bool good;

    if (search == NULL)
        abort();
    search->scenario = scenario;
    search->steps = json_array();
    good = sitting_open(&search->sitting, bench, &sizes, bench->options.connections.value[0], true);
    if (good) {
        good = look(search);
        good = sitting_close(&search->sitting) && good;
    }
    if (good)
        tell(search);
    json_decref(search->steps);
    free(search);
    return good;
}
