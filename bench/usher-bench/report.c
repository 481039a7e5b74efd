/* report.c: the report for people (a table), for programs (JSON, CSV) and for plotters (.hgrm). */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bench/common/environment.h"
#include "bench/usher-bench/bench.h"

static const char *
text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text != NULL ? text : "";
}

static double
number_of(const json_t *object, const char *name)
{
    return json_number_value(json_object_get(object, name));
}

double
report_percentile(const json_t *latency, const char *name)
{
    const json_t *value = json_object_get(latency, name);

    return value == NULL ? -1 : json_number_value(value);
}

FILE *
bench_out(const struct bench *bench)
{
    return bench->options.json != NULL && strcmp(bench->options.json, "-") == 0 ? stderr : stdout;
}

/* --- the table ---------------------------------------------------------------------------------------- */
void
report_heading(FILE *out)
{
    fprintf(out, "\n%-16s %6s %4s %9s %22s %9s %9s %9s %9s  %s\n", "scenario", "conns", "pipe", "offered/s",
            "answers/s (range)", "p50 us", "p99 us", "p99.9 us", "max us", "refused, faults");
}

static void
print_percentile(const json_t *latency, const char *name, FILE *out)
{
    double value = report_percentile(latency, name);

    if (value < 0)
        fprintf(out, " %9s", "-");
    else
        fprintf(out, " %9.0f", value);
}

/* Refusals by kind, apart from faults. */
static void
print_others(const json_t *measurement, FILE *out)
{
    const json_t *runs = json_object_get(measurement, "runs");
    json_t *sums = json_object();
    double faults = 0, refused = 0;
    const char *name, *between = ": ";
    json_t *value;

    for (size_t i = 0; i < json_array_size(runs); i++) {
        json_t *run = json_array_get(runs, i);
        faults += number_of(run, "faults");
        refused += number_of(run, "refused");
        json_object_foreach (json_object_get(run, "reasons"), name, value)
            json_object_set_new(sums, name,
                                json_integer(json_integer_value(json_object_get(sums, name)) + json_integer_value(value)));
    }
    fprintf(out, "  %.0f, %.0f", refused, faults);
    json_object_foreach (sums, name, value) {
        fprintf(out, "%s%s %" JSON_INTEGER_FORMAT, between, name, json_integer_value(value));
        between = ", ";
    }
    json_decref(sums);
}

void
report_line(const json_t *measurement, FILE *out)
{
    const json_t *rate = json_object_get(measurement, "per_second");
    const json_t *latency = json_object_get(measurement, "all_runs_us");
    const json_t *runs = json_object_get(measurement, "runs");
    char name[40], offered[16] = "closed", answers[48];

    snprintf(name, sizeof name, "%s%s%s", text_of(measurement, "scenario"), *text_of(measurement, "step") != 0 ? " " : "",
             text_of(measurement, "step"));
    if (strcmp(text_of(measurement, "loop"), "open") == 0)
        snprintf(offered, sizeof offered, "%.0f", number_of(measurement, "offered"));
    snprintf(answers, sizeof answers, json_array_size(runs) > 1 ? "%.0f (%.0f-%.0f)" : "%.0f",
             number_of(rate, "median"), number_of(rate, "least"), number_of(rate, "most"));
    fprintf(out, "%-16s %6.0f %4.0f %9s %22s", name, number_of(measurement, "connections"),
            number_of(measurement, "pipeline"), offered, answers);
    print_percentile(latency, "p50", out);
    print_percentile(latency, "p99", out);
    print_percentile(latency, "p99.9", out);
    print_percentile(latency, "most", out);
    print_others(measurement, out);
    if (json_is_true(json_object_get(measurement, "void")))
        fputs("  VOID: the generator fell behind", out);
    for (size_t i = 0; i < json_array_size(runs); i++)
        if (json_is_true(json_object_get(json_array_get(runs, i), "ran_out"))) {
            fputs("  (ran out of seats or users)", out);
            break;
        }
    fputc('\n', out);
    fflush(out);
}

/* --- CSV ---------------------------------------------------------------------------------------------- */
static void
write_csv_run(FILE *file, const json_t *measurement, size_t at, const json_t *run)
{
    const json_t *intended = json_object_get(run, "intended_us"), *sent = json_object_get(run, "sent_us");
    const json_t *latency = intended != NULL ? intended : sent;

    fprintf(file, "%s,%s,%s,%.0f,%.0f,%.0f,%zu,%.6f,%.0f,%.0f,%.0f,%.0f,%.1f", text_of(measurement, "scenario"),
            text_of(measurement, "step"), text_of(measurement, "loop"), number_of(measurement, "connections"),
            number_of(measurement, "pipeline"), number_of(measurement, "offered"), at + 1, number_of(run, "seconds"),
            number_of(run, "answered"), number_of(run, "done"), number_of(run, "refused"), number_of(run, "faults"),
            number_of(run, "per_second"));
    for (unsigned i = 0; i < HISTOGRAM_SAID_COUNT; i++) {
        double value = report_percentile(latency, histogram_said_name[i]);
        if (value < 0)
            fputc(',', file);
        else
            fprintf(file, ",%.1f", value);
    }
    fprintf(file, ",%.1f,%d\n", number_of(latency, "most"), (int)json_is_true(json_object_get(run, "void")));
}

static bool
write_csv(struct bench *bench)
{
    const json_t *measurements = json_object_get(bench->report, "measurements");
    FILE *file = fopen(bench->options.csv, "we");

    if (file == NULL) {
        snprintf(bench->why, sizeof bench->why, "%s: %s", bench->options.csv, strerror(errno));
        return false;
    }
    fputs("scenario,step,loop,connections,pipeline,offered,run,seconds,answered,done,refused,faults,per_second", file);
    for (unsigned i = 0; i < HISTOGRAM_SAID_COUNT; i++)
        fprintf(file, ",%s_us", histogram_said_name[i]);
    fputs(",most_us,void\n", file);
    for (size_t i = 0; i < json_array_size(measurements); i++) {
        const json_t *measurement = json_array_get(measurements, i), *runs = json_object_get(measurement, "runs");
        for (size_t run = 0; run < json_array_size(runs); run++)
            write_csv_run(file, measurement, run, json_array_get(runs, run));
    }
    return fclose(file) == 0;
}

/* --- .hgrm -------------------------------------------------------------------------------------------- */
/* Each measurement kept two histograms, from the intended start and from the sending, in its order. */
static bool
write_hgrm(struct bench *bench, size_t at, const json_t *measurement)
{
    static const char *const names[] = {"intended", "sent"};

    for (unsigned i = 0; i < 2; i++) {
        const struct histogram *histogram = bench->kept[2 * at + i];
        char path[512];
        FILE *file;
        bool written;

        if (histogram->count == 0)
            continue;
        snprintf(path, sizeof path, "%s/%02zu-%s%s%s-%.0fx%.0f.%s.hgrm", bench->options.hgrm, at + 1,
                 text_of(measurement, "scenario"), *text_of(measurement, "step") != 0 ? "-" : "",
                 text_of(measurement, "step"), number_of(measurement, "connections"),
                 number_of(measurement, "pipeline"), names[i]);
        file = fopen(path, "we");
        written = file != NULL && histogram_write_hgrm(histogram, file, 1000);
        if ((file != NULL && fclose(file) != 0) || !written) {
            snprintf(bench->why, sizeof bench->why, "%s: %s", path, strerror(errno));
            return false;
        }
    }
    return true;
}

bool
report_write(struct bench *bench)
{
    const json_t *measurements = json_object_get(bench->report, "measurements");

    if (bench->options.csv != NULL && !write_csv(bench))
        return false;
    for (size_t i = 0; bench->options.hgrm != NULL && i < json_array_size(measurements); i++)
        if (!write_hgrm(bench, i, json_array_get(measurements, i)))
            return false;
    return bench->options.json == NULL ||
           environment_write_json(bench->report, bench->options.json, bench->why, sizeof bench->why);
}
