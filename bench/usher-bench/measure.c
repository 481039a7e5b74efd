/* measure.c: one job, or a mix, asked again and again; and what came of it as a measurement of the report. */
#include <stdlib.h>
#include <string.h>

#include "bench/usher-bench/bench.h"

#define RATE_USUAL   5000.0 /* of an open loop: what any machine takes, so that the tail is seen and not the limit */
#define DEPTH_OPEN   128u
#define DEPTH_CLOSED 1u

struct job_share
shares_named(const char *name)
{
    enum job job = JOB_COUNT;

    return job_named(name, &job) ? job_share_of(job) : job_share_mix;
}

struct drive_plan
plan_of(const struct options *options, const char *scenario, uint32_t connections, uint32_t depth)
{
    struct drive_plan plan = {.shares = shares_named(scenario),
                              .tasks = options->tasks,
                              .time_ms = options->seconds * 1000,
                              .connections = connections,
                              .depth = depth,
                              .schedule = options->fixed ? SCHEDULE_FIXED : SCHEDULE_POISSON,
                              .seed = options->seed};

    if (!options->closed)
        plan.rate = options->rate != 0 ? (double)options->rate : RATE_USUAL;
    return plan;
}

/* --- as JSON ------------------------------------------------------------------------------------------ */
static json_t *
latency_json(const struct histogram *histogram)
{
    json_t *latency = json_pack("{s:I, s:f, s:f, s:f}", "count", (json_int_t)histogram->count, "least",
                                histogram->count == 0 ? 0.0 : (double)histogram->least / 1000, "mean",
                                histogram_mean(histogram) / 1000, "most", (double)histogram->most / 1000);

    for (unsigned i = 0; i < HISTOGRAM_SAID_COUNT; i++)
        if (histogram_may_say(histogram, histogram_said[i]))
            json_object_set_new(latency, histogram_said_name[i],
                                json_real((double)histogram_percentile(histogram, histogram_said[i]) / 1000));
    return latency;
}

static json_t *
reasons_json(const struct target_kind *kind, const uint64_t reason[OUTCOME_REASONS])
{
    json_t *reasons = json_object();

    for (uint32_t i = 0; i < OUTCOME_REASONS; i++)
        if (reason[i] > 0)
            json_object_set_new(reasons, kind->reason(i), json_integer((json_int_t)reason[i]));
    return reasons;
}

static json_t *
spread_json(const struct spread *spread)
{
    return json_pack("{s:f, s:f, s:f}", "median", spread_median(spread), "least", spread_least(spread), "most",
                     spread_most(spread));
}

/* --- a measurement ------------------------------------------------------------------------------------ */
static struct histogram *
keep_histogram(struct bench *bench)
{
    struct histogram *histogram = malloc(sizeof *histogram);

    if (bench->kept_count == bench->kept_room) {
        bench->kept_room = bench->kept_room == 0 ? 64 : bench->kept_room * 2;
        bench->kept = realloc(bench->kept, bench->kept_room * sizeof(struct histogram *));
    }
    if (histogram == NULL || bench->kept == NULL)
        abort();
    histogram_clear(histogram);
    bench->kept[bench->kept_count++] = histogram;
    return histogram;
}

void
measured_begin(struct measured *measured, const char *scenario, const char *step, const struct drive_plan *plan,
               const struct sitting *sitting)
{
    *measured = (struct measured){.scenario = scenario,
                                  .step = step,
                                  .plan = *plan,
                                  .sizes = sitting->sizes,
                                  .kind = &target_usher,
                                  .runs = json_array(),
                                  .intended = keep_histogram(sitting->bench),
                                  .sent = keep_histogram(sitting->bench),
                                  .prepare_s = sitting->prepare_s};
}

void
measured_add(struct measured *measured, struct bench *bench, const struct drive_figures *figures, double server_cpu_s,
             uint64_t memory_bytes)
{
    bool open = measured->plan.rate > 0;
    const struct histogram *latency = open ? &figures->intended : &figures->sent;
    char why[200];
    bool is_void = drive_is_void(&measured->plan, figures, why, sizeof why);
    json_t *run = json_pack("{s:f, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:I, s:b, s:b, s:o, s:o}", "seconds",
                            figures->seconds, "asked", (json_int_t)figures->asked, "answered",
                            (json_int_t)figures->answered, "done", (json_int_t)figures->done, "refused",
                            (json_int_t)figures->refused, "faults", (json_int_t)figures->faults, "per_second",
                            figures->per_second, "generator_cpu_s", figures->generator_cpu_s, "server_cpu_s",
                            server_cpu_s, "server_memory_bytes", (json_int_t)memory_bytes, "ran_out",
                            (int)figures->ran_out, "void", (int)is_void, "reasons",
                            reasons_json(measured->kind, figures->reason), "sent_us", latency_json(&figures->sent));

    if (open) {
        json_object_set_new(run, "intended_us", latency_json(&figures->intended));
        json_object_set_new(run, "lag_us", latency_json(&figures->lag));
        histogram_merge(measured->intended, &figures->intended);
    }
    histogram_merge(measured->sent, &figures->sent);
    json_array_append_new(measured->runs, run);
    spread_add(&measured->per_second, figures->per_second);
    spread_add(&measured->p50_us, (double)histogram_percentile(latency, 50) / 1000);
    spread_add(&measured->p99_us, (double)histogram_percentile(latency, 99) / 1000);
    if (is_void) {
        measured->is_void = bench->fell_behind = true;
        snprintf(bench->why, sizeof bench->why, "%s: %s", measured->scenario, why);
    }
}

void
measured_end(struct measured *measured, struct bench *bench)
{
    bool open = measured->plan.rate > 0;
    const struct target_sizes *sizes = &measured->sizes;
    json_t *measurement =
        json_pack("{s:s, s:s, s:i, s:i, s:f, s:b}", "scenario", measured->scenario, "loop", open ? "open" : "closed",
                  "connections", (int)measured->plan.connections, "pipeline", (int)measured->plan.depth, "offered",
                  measured->plan.rate, "void", (int)measured->is_void);
    const struct histogram *latency = open ? measured->intended : measured->sent;

    if (measured->step != NULL)
        json_object_set_new(measurement, "step", json_string(measured->step));
    if (open)
        json_object_set_new(measurement, "arrivals",
                            json_string(measured->plan.schedule == SCHEDULE_FIXED ? "fixed" : "poisson"));
    json_object_set_new(measurement, "house",
                        json_pack("{s:i, s:i, s:i, s:i, s:f}", "users", (int)sizes->users, "waiting",
                                  (int)sizes->waiting, "dates", (int)sizes->dates, "seats", (int)sizes->seats,
                                  "prepare_s", measured->prepare_s));
    json_object_set_new(measurement, "per_second", spread_json(&measured->per_second));
    if (histogram_may_say(latency, 50))
        json_object_set_new(measurement, "p50_us", spread_json(&measured->p50_us));
    if (histogram_may_say(latency, 99))
        json_object_set_new(measurement, "p99_us", spread_json(&measured->p99_us));
    json_object_set_new(measurement, "all_runs_us", latency_json(latency));
    json_object_set_new(measurement, "runs", measured->runs);
    json_array_append_new(json_object_get(bench->report, "measurements"), measurement);
    progress_end();
    report_line(measurement, bench_out(bench));
}

/* A house in which every seat is sold has no figures to give. */
static bool
asked_something(struct bench *bench, const char *scenario, const struct drive_figures *figures)
{
    if (figures->answered > 0)
        return true;
    snprintf(bench->why, sizeof bench->why, "%s: nothing is left that could be asked: more --dates, --seats or --users",
             scenario);
    return false;
}

/* --- measuring ---------------------------------------------------------------------------------------- */
bool
measure(struct sitting *sitting, const char *scenario, const struct drive_plan *asked)
{
    struct bench *bench = sitting->bench;
    struct drive_figures *figures = calloc(1, sizeof *figures);
    struct drive_plan plan = *asked;
    struct measured measured;
    bool good = true;

    if (figures == NULL)
        abort();
    plan.progress = progress_tell;
    plan.context = bench;
    measured_begin(&measured, scenario, NULL, &plan, sitting);
    if (bench->options.warmup > 0) {
        struct drive_plan warm = plan;
        warm.time_ms = bench->options.warmup * 1000;
        warm.seed += 1000003;
        good = drive_run(sitting->drive, &warm, figures, bench->why, sizeof bench->why);
    }
    for (uint64_t run = 0; good && run < bench->options.repeat; run++) {
        double cpu_s;
        /* The stock is made ahead, so that the server's time is that of the run alone. */
        plan.seed = asked->seed + run;
        good = drive_stock(sitting->drive, &plan, bench->why, sizeof bench->why);
        cpu_s = house_cpu_s(&sitting->house);
        good = good && drive_run(sitting->drive, &plan, figures, bench->why, sizeof bench->why) &&
               asked_something(bench, scenario, figures);
        if (good)
            measured_add(&measured, bench, figures, house_cpu_s(&sitting->house) - cpu_s,
                         house_memory_bytes(&sitting->house));
    }
    if (good)
        measured_end(&measured, bench);
    else
        json_decref(measured.runs);
    free(figures);
    return good;
}

/* Depths that the options ask for; by itself one, as the loop wants it. */
static struct numbers
depths_of(const struct options *options)
{
    struct numbers depths = options->pipeline;

    if (depths.count == 0)
        depths = (struct numbers){.value = {options->closed ? DEPTH_CLOSED : DEPTH_OPEN}, .count = 1};
    return depths;
}

static uint32_t
most_of(const struct numbers *numbers)
{
    uint32_t most = 0;

    for (size_t i = 0; i < numbers->count; i++)
        if (numbers->value[i] > most)
            most = numbers->value[i];
    return most;
}

bool
play_job(struct bench *bench, const char *const *scenario, size_t count)
{
    const struct options *options = &bench->options;
    struct numbers depths = depths_of(options);
    struct target_sizes sizes = sizes_of(options);
    struct sitting sitting;
    bool good = true;

    if (!sitting_open(&sitting, bench, &sizes, most_of(&options->connections), true))
        return false;
    fprintf(stderr, "prepared in %.1f s: %u users, %u in line, %u dates of %u seats\n", sitting.prepare_s, sizes.users,
            sizes.waiting, sizes.dates, sizes.seats);
    report_heading(bench_out(bench));
    for (size_t at = 0; at < options->connections.count; at++)
        for (size_t depth = 0; depth < depths.count; depth++)
            for (size_t i = 0; good && i < count; i++) {
                struct drive_plan plan =
                    plan_of(options, scenario[i], options->connections.value[at], depths.value[depth]);
                good = measure(&sitting, scenario[i], &plan);
            }
    return sitting_close(&sitting) && good;
}
