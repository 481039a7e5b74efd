/* experiment.c: the three experiments of the requirements, beside the figures that stand there.
 *
 *     C4   the free seats of one date among 100,000 dates (there: of 100,000 seats each, in a relational database)
 *     P3   100 charges of one user at the same moment: all succeed, the balance is exact
 *     R3   100 users who want one seat at the same moment: exactly one gets it, all others are refused at once
 *
 * The time of the last two is that from the first sending to the last answer, each over a connection of its own. */
#include <stdlib.h>
#include <string.h>

#include "bench/common/clock.h"
#include "bench/usher-bench/bench.h"

#define DATES   100000u
#define CROWD   100u /* who ask at the same moment */
#define ROUNDS  50u
#define QUERIES 5000u

struct experiment {
    const char *number, *text, *there; /* there: the figures in the requirements */
    bool (*round)(struct bench *bench, void *target, unsigned round, uint64_t *took_ns);
    unsigned rounds;
    uint32_t connections;
};

/* The answers of a round. */
static struct {
    uint64_t answered, done;
    uint64_t value_most;
} heard;

static void
hear(void *context, const struct outcome *outcome)
{
    (void)context;
    heard.answered++;
    heard.done += outcome->kind == OUTCOME_DONE;
    if (outcome->kind == OUTCOME_DONE && outcome->value > heard.value_most)
        heard.value_most = outcome->value;
}

/* Send a task over each of so many connections, wait for all answers. */
static bool
ask_all(struct bench *bench, void *target, const struct task *task, uint32_t count, uint64_t *took_ns)
{
    uint64_t begin_ns = clock_now_ns();

    memset(&heard, 0, sizeof heard);
    for (uint32_t i = 0; i < count; i++)
        if (!target_usher.submit(target, i, &task[i], i)) {
            snprintf(bench->why, sizeof bench->why, "a task was not taken");
            return false;
        }
    while (heard.answered < count)
        if (!target_usher.process(target, NS_OF_S, bench->why, sizeof bench->why))
            return false;
    *took_ns = clock_now_ns() - begin_ns;
    return true;
}

static bool
round_seats(struct bench *bench, void *target, unsigned round, uint64_t *took_ns)
{
    struct task task = {.job = JOB_SEATS,
                        .user = round % CROWD,
                        .date = (uint32_t)(dice_scramble(round + bench->options.seed) % DATES)};

    return ask_all(bench, target, &task, 1, took_ns);
}

static bool
wrong(struct bench *bench, const char *number, const char *text, uint64_t count)
{
    bench->wrong = true;
    snprintf(bench->why, sizeof bench->why, "%s: %s: %llu", number, text, (unsigned long long)count);
    return false;
}

static bool
round_charges(struct bench *bench, void *target, unsigned round, uint64_t *took_ns)
{
    struct task task[CROWD], balance = {.job = JOB_BALANCE, .user = 0};
    uint64_t before, unused;

    (void)round;
    for (uint32_t i = 0; i < CROWD; i++)
        task[i] = (struct task){.job = JOB_CHARGE, .user = 0, .amount = 7};
    if (!ask_all(bench, target, &balance, 1, &unused))
        return false;
    before = heard.value_most;
    if (!ask_all(bench, target, task, CROWD, took_ns))
        return false;
    if (heard.done != CROWD)
        return wrong(bench, "P3", "of 100 charges at once succeeded", heard.done);
    if (!ask_all(bench, target, &balance, 1, &unused))
        return false;
    return heard.value_most == before + CROWD * 7 || wrong(bench, "P3", "points were lost or doubled", heard.value_most);
}

static bool
round_one_seat(struct bench *bench, void *target, unsigned round, uint64_t *took_ns)
{
    struct task task[CROWD];

    for (uint32_t i = 0; i < CROWD; i++)
        task[i] = (struct task){.job = JOB_RESERVE, .user = i, .date = round, .seat = round % 50};
    if (!ask_all(bench, target, task, CROWD, took_ns))
        return false;
    return heard.done == 1 || wrong(bench, "R3", "of 100 who asked for one seat got it", heard.done);
}

static const struct experiment experiments[] = {
    {"C4", "free seats of one date among 100,000 dates", "294.6 ms without an index, 237.2 ms with two", round_seats,
     QUERIES, 1},
    {"P3", "100 charges of one user at once, all answered", "280 ms optimistic, 558 ms pessimistic", round_charges,
     ROUNDS, CROWD},
    {"R3", "100 users for one seat at once, all answered", "119 ms optimistic, 272 ms pessimistic", round_one_seat,
     ROUNDS, CROWD},
};

/* --- rounds ------------------------------------------------------------------------------------------- */
static bool
play(struct bench *bench, void *target, const struct experiment *experiment, json_t *report)
{
    struct histogram *histogram = calloc(1, sizeof *histogram);
    bool good = target_usher.connect(target, experiment->connections, 1, bench->why, sizeof bench->why);
    double p50_ms;

    if (histogram == NULL)
        abort();
    histogram_clear(histogram);
    for (unsigned round = 0; good && round < experiment->rounds; round++) {
        uint64_t took_ns = 0;
        good = experiment->round(bench, target, round, &took_ns);
        histogram_add(histogram, took_ns);
    }
    p50_ms = (double)histogram_percentile(histogram, 50) / 1e6;
    if (good) {
        fprintf(bench_out(bench), "%s  %-46s %8.3f ms (%.3f to %.3f, median of %u)\n    the requirements: %s\n", experiment->number,
               experiment->text, p50_ms, (double)histogram->least / 1e6, (double)histogram->most / 1e6,
               experiment->rounds, experiment->there);
        json_array_append_new(report, json_pack("{s:s, s:s, s:f, s:f, s:f, s:i, s:s}", "number", experiment->number,
                                                "text", experiment->text, "median_ms", p50_ms, "least_ms",
                                                (double)histogram->least / 1e6, "most_ms",
                                                (double)histogram->most / 1e6, "rounds", (int)experiment->rounds,
                                                "requirements", experiment->there));
    }
    free(histogram);
    return good;
}

bool
play_three(struct bench *bench, const char *const *scenario, size_t count)
{
    struct target_sizes sizes = {.users = CROWD, .dates = DATES, .seats = 50, .hold_ms = 80000000, .price = 700};
    json_t *report = json_array();
    struct sitting sitting;
    uint64_t begin_ns = clock_now_ns();
    void *target;
    bool good;

    (void)scenario;
    (void)count;
    json_object_set_new(bench->report, "experiments", report);
    if (!sitting_open(&sitting, bench, &sizes, 3 * CROWD, false)) /* each experiment connects anew */
        return false;
    target = target_usher.open(&sitting.house, &sizes, hear, NULL, bench->why, sizeof bench->why);
    good = target_usher.prepare(target, bench->why, sizeof bench->why);
    fprintf(stderr, "prepared in %.1f s: %u dates of %u seats\n", (double)(clock_now_ns() - begin_ns) / 1e9, DATES,
            sizes.seats);
    for (size_t i = 0; good && i < sizeof experiments / sizeof *experiments; i++)
        good = play(bench, target, &experiments[i], report);
    target_usher.close(target);
    return sitting_close(&sitting) && good;
}
