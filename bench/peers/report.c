/* report.c: see report.h. */
#include "bench/peers/report.h"

#include <stdio.h>
#include <string.h>

#define ECHO_LEAST      0.75 /* of the echo, for reads at 50x1 and writes at 50x1 and 500x1 */
#define GENERATOR_LIMIT 0.95 /* processor seconds a second from which the generator may have been what was measured */

const struct report_shape report_shapes[REPORT_SHAPE_COUNT] = {
#define PEERS_SHAPE(NAME, name, connections, depth) {name, connections, depth},
#include "bench/peers/shapes.def"
};

struct report_job report_jobs[REPORT_JOBS_MOST];
size_t report_job_count;

static void
know(const struct report_job *job)
{
    report_jobs[report_job_count++] = *job;
}

void
report_know_jobs(void)
{
#define PEERS_JOB(name, share, fifty, many, pipeline, postgres_fifty, postgres_pipeline, most, text)             \
    know(&(struct report_job){name, text, share, most, {fifty, many, pipeline}, {postgres_fifty, 0, postgres_pipeline}});
#include "bench/peers/plan.def"
}

bool
report_is_job(const char *name, size_t size)
{
    for (size_t i = 0; i < report_job_count; i++) {
        if (strlen(report_jobs[i].name) == size && memcmp(report_jobs[i].name, name, size) == 0)
            return true;
    }
    return false;
}

bool
report_is_shape(const char *name, size_t size)
{
    for (size_t i = 0; i < REPORT_SHAPE_COUNT; i++) {
        if (strlen(report_shapes[i].name) == size && memcmp(report_shapes[i].name, name, size) == 0)
            return true;
    }
    return false;
}

/* --- gathering ----------------------------------------------------------------------------------------- */
/* What went wrong is said at once and counted; a measurement with faults is none. */
static void
tell_trouble(const struct report *report, size_t job, size_t system, const struct report_sample *sample)
{
    const struct drive_figures *figures = sample->figures;

    for (uint32_t i = 0; i < OUTCOME_REASONS && figures->refused + figures->faults > 0; i++) {
        if (figures->reason[i] > 0)
            fprintf(stderr, "%s: %s: %llu of %llu tasks: %s\n", report->system[system]->row->name,
                    report_jobs[job].name, (unsigned long long)figures->reason[i],
                    (unsigned long long)figures->answered, sample->reason_name(i));
    }
}

void
report_add(struct report *report, size_t job, enum shape shape, size_t system, const struct report_sample *sample)
{
    struct report_cell *cell = &report->cell[job][shape][system];
    const struct drive_figures *figures = sample->figures;
    double generator = figures->generator_cpu_s / figures->seconds, server = sample->server_cpu_s / figures->seconds;

    spread_add(&cell->per_second, (double)figures->done / figures->seconds);
    spread_add(&cell->p50_us, (double)histogram_percentile(&figures->sent, 50) / 1000);
    spread_add(&cell->p99_us, (double)histogram_percentile(&figures->sent, 99) / 1000);
    cell->generator_share = generator > cell->generator_share ? generator : cell->generator_share;
    cell->server_share = server > cell->server_share ? server : cell->server_share;
    cell->answered += figures->answered;
    cell->refused += figures->refused;
    cell->faults += figures->faults;
    report->faults += figures->faults;
    tell_trouble(report, job, system, sample);
}

/* --- the table ----------------------------------------------------------------------------------------- */
static size_t
index_of(const struct report *report, const char *name)
{
    for (size_t i = 0; i < report->system_count; i++) {
        if (strcmp(report->system[i]->row->name, name) == 0)
            return i;
    }
    return SYSTEMS_MOST;
}

static bool
is_read(size_t job)
{
    for (unsigned i = 0; i < JOB_COUNT; i++) {
        if (report_jobs[job].shares.weight[i] > 0 && job_rows[i].writes)
            return false;
    }
    return true;
}

/* The least ratio of Usher to this system; 0 when none is asked for. */
static double
least_of(const struct report *report, size_t job, enum shape shape, size_t system)
{
    const char *name = report->system[system]->row->name;

    if (strcmp(name, "redis") == 0)
        return report_jobs[job].least_redis[shape];
    if (strcmp(name, "postgres") == 0)
        return report_jobs[job].least_postgres[shape];
    if (strcmp(name, "echo") == 0 && strcmp(report_jobs[job].name, "mix") != 0 &&
        (shape == SHAPE_FIFTY || (shape == SHAPE_MANY && !is_read(job))))
        return ECHO_LEAST;
    return 0;
}

void
report_begin(const struct report *report)
{
    size_t usher = index_of(report, "usher");

    printf("%-8s %-6s", "job", "shape");
    for (size_t i = 0; i < report->system_count; i++)
        printf(" %10s", report->system[i]->row->name);
    for (size_t i = 0; i < report->system_count && usher != SYSTEMS_MOST; i++) {
        if (i != usher)
            printf(" %15s", report->system[i]->row->name);
    }
    printf("  p50 us  p99 us  generator  server\n");
    fflush(stdout);
}

static void
show_ratio(struct report *report, size_t job, enum shape shape, size_t usher, size_t other)
{
    double theirs = spread_median(&report->cell[job][shape][other].per_second);
    double ours = spread_median(&report->cell[job][shape][usher].per_second);
    double least = least_of(report, job, shape, other);
    double ratio = theirs > 0 ? ours / theirs : 0;

    if (least == 0) {
        printf(" %5.2f          ", ratio);
        return;
    }
    printf(" %5.2f %c %-5.3g  ", ratio, ratio >= least ? '>' : '<', least);
    if (ratio >= least)
        report->met++;
    else
        report->missed++;
}

void
report_show_row(struct report *report, size_t job, enum shape shape)
{
    size_t usher = index_of(report, "usher"), first = usher != SYSTEMS_MOST ? usher : 0;
    const struct report_cell *cell = report->cell[job][shape];

    printf("%-8s %-6s", report_jobs[job].name, report_shapes[shape].name);
    for (size_t i = 0; i < report->system_count; i++)
        printf(" %9.0f%c", spread_median(&cell[i].per_second), cell[i].generator_share >= GENERATOR_LIMIT ? '*' : ' ');
    for (size_t i = 0; i < report->system_count && usher != SYSTEMS_MOST; i++) {
        if (i != usher)
            show_ratio(report, job, shape, usher, i);
    }
    printf(" %7.0f %7.0f", spread_median(&cell[first].p50_us), spread_median(&cell[first].p99_us));
    for (size_t i = 0; i < report->system_count; i++)
        printf("%s%.0f", i == 0 ? "   " : "/", cell[i].generator_share * 100);
    for (size_t i = 0; i < report->system_count; i++)
        printf("%s%.0f", i == 0 ? "  " : "/", cell[i].server_share * 100);
    printf("\n");
    fflush(stdout);
}

void
report_end(const struct report *report)
{
    printf("tasks done a second, the median of the rounds; then Usher's ratio to each, '>' or '<' what it has to reach;\n"
           "Usher's latency; processor time of the generator and of each server in %% of one core.\n"
           "* the generator had less than 5 %% of its core left: that figure may be its own.\n");
    if (report->met + report->missed > 0)
        printf("%u of %u ratios are reached\n", report->met, report->met + report->missed);
}

/* --- JSON ---------------------------------------------------------------------------------------------- */
static json_t *
spread_json(const struct spread *spread)
{
    return json_pack("{s:f, s:f, s:f, s:I}", "median", spread_median(spread), "least", spread_least(spread), "most",
                     spread_most(spread), "rounds", (json_int_t)spread->count);
}

static json_t *
cell_json(const struct report *report, size_t job, enum shape shape, size_t system)
{
    const struct report_cell *cell = &report->cell[job][shape][system];
    size_t usher = index_of(report, "usher");
    json_t *row = json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:f, s:f, s:I, s:I}", "job", report_jobs[job].name, "shape",
                            report_shapes[shape].name, "system", report->system[system]->row->name, "per_second",
                            spread_json(&cell->per_second), "p50_us", spread_json(&cell->p50_us), "p99_us",
                            spread_json(&cell->p99_us), "generator_share", cell->generator_share, "server_share",
                            cell->server_share, "refused", (json_int_t)cell->refused, "faults",
                            (json_int_t)cell->faults);

    if (row != NULL && usher != SYSTEMS_MOST && usher != system) {
        double theirs = spread_median(&cell->per_second);
        double ours = spread_median(&report->cell[job][shape][usher].per_second);
        double least = least_of(report, job, shape, system);
        json_object_set_new(row, "usher_ratio", json_real(theirs > 0 ? ours / theirs : 0));
        if (least > 0)
            json_object_set_new(row, "at_least", json_real(least));
    }
    return row;
}

json_t *
report_json(const struct report *report)
{
    json_t *rows = json_array(), *systems = json_object();

    for (size_t i = 0; i < report->system_count; i++)
        json_object_set(systems, report->system[i]->row->name, report->system[i]->about);
    for (size_t job = 0; job < report_job_count; job++) {
        for (unsigned shape = 0; shape < REPORT_SHAPE_COUNT; shape++) {
            for (size_t system = 0; system < report->system_count; system++) {
                if (report->cell[job][shape][system].per_second.count > 0)
                    json_array_append_new(rows, cell_json(report, job, (enum shape)shape, system));
            }
        }
    }
    return json_pack("{s:s, s:o, s:o}", "what", "usher bench --peers", "systems", systems, "rows", rows);
}
