/* bench.h: what the parts of usher-bench share: the run as a whole, and the measurements that come of it.
 *
 *     main.c        the command line; which scenarios; checks; verdict
 *     measure.c     one job, again and again, and what came of it
 *     rush.c        buyers, buyer.c: what one of them does
 *     experiment.c, growth.c, capacity.c, recovery.c
 *     report.c      the report as JSON, a table, CSV, .hgrm; baseline.c: against an earlier one; plot.c */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "bench/check/check.h"
#include "bench/common/drive.h"
#include "bench/common/spread.h"
#include "bench/usher-bench/options.h"

enum bench_exit {
#define BENCH_EXIT(code, NAME, text) BENCH_##NAME = (code),
#include "bench/usher-bench/exits.def"
};

struct bench {
    struct options options;
    json_t *report; /* grows as it goes */
    bool wrong, fell_behind, worse;
    char why[512]; /* of what went wrong last */
    struct histogram **kept; /* two of each measurement, all runs together; report.c writes them out */
    size_t kept_count, kept_room;
};

/* One house, from its start to its check. */
struct sitting {
    struct bench *bench;
    struct house house;
    struct house_options house_options;
    struct target_sizes sizes;
    struct claims claims;
    struct drive *drive; /* NULL: the scenario asks in its own way */
    double prepare_s;
};

/* Start a house of these sizes (or visit the one that --server names, once), with room for so many connections, and write
 * down what it acknowledges. with_drive: prepare it for tasks as well. False: bench->why. */
bool sitting_open(struct sitting *sitting, struct bench *bench, const struct target_sizes *sizes, uint32_t connections,
                  bool with_drive);
/* Check the house (unless nothing could be asked), add the checks to the report, end it. False: bench->why. */
bool sitting_close(struct sitting *sitting);

/* What the options ask for. */
struct target_sizes sizes_of(const struct options *options);

/* --- measure.c --- */
/* A measurement: what was asked how, and its runs. */
struct measured {
    const char *scenario, *step; /* step: of a rush; else NULL */
    struct drive_plan plan;
    struct target_sizes sizes;
    const struct target_kind *kind; /* whose reasons refusals have */
    json_t *runs;
    struct spread per_second, p50_us, p99_us;
    struct histogram *intended, *sent; /* all runs */
    double prepare_s;
    bool is_void;
};
void measured_begin(struct measured *measured, const char *scenario, const char *step, const struct drive_plan *plan,
                    const struct sitting *sitting);
/* Add a run. server_cpu_s, memory: of the server meanwhile, 0 when not known. */
void measured_add(struct measured *measured, struct bench *bench, const struct drive_figures *figures,
                  double server_cpu_s, uint64_t memory_bytes);
/* Put it into the report and print its line of the table. */
void measured_end(struct measured *measured, struct bench *bench);

/* Which jobs a scenario's name means. */
struct job_share shares_named(const char *name);
/* Warm up, run as often as was asked for, report. False: bench->why. */
bool measure(struct sitting *sitting, const char *scenario, const struct drive_plan *plan);
/* The plan that the options ask for, for one number of connections and one depth. */
struct drive_plan plan_of(const struct options *options, const char *scenario, uint32_t connections, uint32_t depth);

/* --- scenarios --- */
bool play_job(struct bench *bench, const char *const *scenario, size_t count);
bool play_rush(struct bench *bench, const char *const *scenario, size_t count);
bool play_three(struct bench *bench, const char *const *scenario, size_t count);
bool play_growth(struct bench *bench, const char *const *scenario, size_t count);
bool play_recovery(struct bench *bench, const char *const *scenario, size_t count);
bool find_capacity(struct bench *bench, const char *scenario);

/* --- report.c --- */
/* Where the table goes: the standard output, or the standard error when the JSON goes there. */
FILE *bench_out(const struct bench *bench);
void report_heading(FILE *out);
void report_line(const json_t *measurement, FILE *out);
bool report_write(struct bench *bench);
/* A percentile in the report's object, or -1 when it was not said. */
double report_percentile(const json_t *latency, const char *name);

/* --- baseline.c, plot.c --- */
bool baseline_compare(struct bench *bench);
bool plot_all(struct bench *bench);

/* One line a second, on a terminal alone. */
void progress_tell(void *bench, double seconds, uint64_t answered);
void progress_end(void);

#endif
