/* report.h: what was measured, as a table with ratios and as JSON. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "bench/common/drive.h"
#include "bench/common/spread.h"
#include "bench/peers/systems.h"

#define SYSTEMS_MOST 8

enum shape {
#define PEERS_SHAPE(NAME, name, connections, depth) SHAPE_##NAME,
#include "bench/peers/shapes.def"
    REPORT_SHAPE_COUNT
};

struct report_shape {
    const char *name;
    uint32_t connections, depth;
};
extern const struct report_shape report_shapes[REPORT_SHAPE_COUNT];

struct report_job {
    const char *name, *text;
    struct job_share shares;
    uint64_t tasks_most;
    double least_redis[REPORT_SHAPE_COUNT], least_postgres[REPORT_SHAPE_COUNT]; /* ratios; 0: none is asked for */
};
#define REPORT_JOBS_MOST 16
extern struct report_job report_jobs[REPORT_JOBS_MOST];
extern size_t report_job_count;

/* Fill in the jobs; before anything else. */
void report_know_jobs(void);
bool report_is_job(const char *name, size_t size);
bool report_is_shape(const char *name, size_t size);

/* One measurement. */
struct report_sample {
    const struct drive_figures *figures;
    double server_cpu_s;
    const char *(*reason_name)(uint32_t reason);
};

/* All of one job, one shape and one system. */
struct report_cell {
    struct spread per_second, p50_us, p99_us;
    double generator_share, server_share; /* the highest of the rounds: processor seconds a second */
    uint64_t answered, refused, faults;
};

struct report {
    const struct system *system[SYSTEMS_MOST];
    size_t system_count;
    struct report_cell cell[REPORT_JOBS_MOST][REPORT_SHAPE_COUNT][SYSTEMS_MOST];
    uint64_t faults;
    unsigned missed, met; /* ratios that were asked for */
};

void report_add(struct report *report, size_t job, enum shape shape, size_t system, const struct report_sample *sample);

/* The table's head, and a row of it as soon as it is complete. */
void report_begin(const struct report *report);
void report_show_row(struct report *report, size_t job, enum shape shape);
/* What the marks of the table mean, and how many ratios were met. */
void report_end(const struct report *report);

/* All of it; the caller's own. */
json_t *report_json(const struct report *report);

#endif
