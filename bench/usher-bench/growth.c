/* growth.c: what size costs: the free seats and a hold with 1 to 100,000 dates, a rank and a join with 1,000 to 1,000,000
 * in line. Each size has a house of its own. What the largest costs beside the smallest is told at the end. */
#include <string.h>

#include "bench/usher-bench/bench.h"

static const uint32_t date_counts[] = {1, 10, 100, 1000, 10000, 100000};
static const uint32_t waiting_counts[] = {1000, 10000, 100000, 1000000};
static const char *const date_jobs[] = {"seats", "reserve"};
static const char *const waiting_jobs[] = {"rank", "join"};

/* A house of these sizes, asked these jobs. */
static bool
grow_to(struct bench *bench, uint32_t dates, uint32_t waiting, const char *const *job, size_t job_count)
{
    const struct options *options = &bench->options;
    struct target_sizes sizes = sizes_of(options);
    struct sitting sitting;
    bool good = true;

    sizes.dates = dates;
    sizes.waiting = waiting;
    if (!sitting_open(&sitting, bench, &sizes, options->connections.value[0], true))
        return false;
    fprintf(stderr, "%u dates, %u in line: prepared in %.1f s\n", dates, waiting, sitting.prepare_s);
    for (size_t i = 0; good && i < job_count; i++) {
        struct drive_plan plan = plan_of(options, job[i], options->connections.value[0],
                                         options->pipeline.count > 0 ? options->pipeline.value[0] : 1);
        plan.rate = 0; /* what one costs shows when nothing else is waited for */
        good = measure(&sitting, job[i], &plan);
    }
    return sitting_close(&sitting) && good;
}

/* The time of one answer, in the first and the last measurement of a job in which a size grew. */
static void
tell_ratio(const struct bench *bench, const char *job, const char *size)
{
    const json_t *measurements = json_object_get(bench->report, "measurements");
    double first = 0, last = 0, from = 0, to = 0;

    for (size_t i = 0; i < json_array_size(measurements); i++) {
        const json_t *measurement = json_array_get(measurements, i);
        double rate = json_number_value(json_object_get(json_object_get(measurement, "per_second"), "median"));
        if (strcmp(json_string_value(json_object_get(measurement, "scenario")), job) != 0)
            continue;
        last = rate;
        to = json_number_value(json_object_get(json_object_get(measurement, "house"), size));
        if (first > 0)
            continue;
        first = last;
        from = to;
    }
    if (last > 0)
        fprintf(bench_out(bench), "%s: with %.0f %s it costs %.2f times what it costs with %.0f\n", job, to, size, first / last, from);
}

bool
play_growth(struct bench *bench, const char *const *scenario, size_t count)
{
    bool good = true;

    (void)scenario;
    (void)count;
    report_heading(bench_out(bench));
    for (size_t i = 0; good && i < sizeof date_counts / sizeof *date_counts; i++)
        good = grow_to(bench, date_counts[i], 1000, date_jobs, sizeof date_jobs / sizeof *date_jobs);
    for (size_t i = 0; good && i < sizeof waiting_counts / sizeof *waiting_counts; i++)
        good = grow_to(bench, 1000, waiting_counts[i], waiting_jobs, sizeof waiting_jobs / sizeof *waiting_jobs);
    for (size_t i = 0; good && i < 2; i++) {
        tell_ratio(bench, date_jobs[i], "dates");
        tell_ratio(bench, waiting_jobs[i], "waiting");
    }
    return good;
}
