/* baseline.c: this report against an earlier one: a verdict for each measurement that both have.
 *
 * Worse is a rate below, or a 99th percentile above, that of the baseline by more than the tolerance, and outside of the
 * range that its runs had; better is the same the other way round. */
#include <string.h>

#include "bench/usher-bench/bench.h"

static bool
is_same(const json_t *one, const json_t *other)
{
    static const char *const keys[] = {"scenario", "step", "loop", "connections", "pipeline", "offered", "house"};

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_t *a = json_object_get(one, keys[i]), *b = json_object_get(other, keys[i]);
        if (strcmp(keys[i], "house") == 0) {
            /* How long its preparation took is no part of what a house is. */
            a = json_copy(a);
            b = json_copy(b);
            json_object_del(a, "prepare_s");
            json_object_del(b, "prepare_s");
        } else {
            json_incref(a);
            json_incref(b);
        }
        bool equal = (a == NULL && b == NULL) || json_equal(a, b);
        json_decref(a);
        json_decref(b);
        if (!equal)
            return false;
    }
    return true;
}

static const json_t *
find(const json_t *report, const json_t *wanted)
{
    const json_t *measurements = json_object_get(report, "measurements");

    for (size_t i = 0; i < json_array_size(measurements); i++)
        if (is_same(json_array_get(measurements, i), wanted))
            return json_array_get(measurements, i);
    return NULL;
}

/* -1 worse, 0 the same, 1 better; *change in per cent. more: more is better. */
static int
judge(const json_t *now, const json_t *before, bool more, double tolerance, double *change)
{
    double is = json_number_value(json_object_get(now, "median"));
    double was = json_number_value(json_object_get(before, "median"));
    double least = json_number_value(json_object_get(before, "least"));
    double most = json_number_value(json_object_get(before, "most"));

    *change = was > 0 ? (is - was) / was * 100 : 0;
    if (now == NULL || before == NULL || was <= 0)
        return 0;
    if (is < least && *change < -tolerance)
        return more ? -1 : 1;
    if (is > most && *change > tolerance)
        return more ? 1 : -1;
    return 0;
}

static void
compare(struct bench *bench, const json_t *now, const json_t *before, json_t *verdicts)
{
    static const char *const words[] = {"worse", "the same", "better"};
    double rate_change, p99_change, tolerance = (double)bench->options.tolerance;
    int rate = judge(json_object_get(now, "per_second"), json_object_get(before, "per_second"), true, tolerance,
                     &rate_change);
    int p99 = judge(json_object_get(now, "p99_us"), json_object_get(before, "p99_us"), false, tolerance, &p99_change);
    int both = rate < 0 || p99 < 0 ? -1 : rate > 0 || p99 > 0;
    const char *scenario = json_string_value(json_object_get(now, "scenario"));
    const char *step = json_string_value(json_object_get(now, "step"));

    fprintf(stderr, "%s%s%s: %s: rate %+.1f %%, p99 %+.1f %%\n", scenario, step != NULL ? " " : "",
            step != NULL ? step : "", words[both + 1], rate_change, p99_change);
    json_array_append_new(verdicts, json_pack("{s:s, s:s*, s:s, s:f, s:f}", "scenario", scenario, "step", step,
                                              "verdict", words[both + 1], "per_second_percent", rate_change,
                                              "p99_percent", p99_change));
    if (both >= 0)
        return;
    bench->worse = true;
    snprintf(bench->why, sizeof bench->why, "worse than the baseline: see above");
}

bool
baseline_compare(struct bench *bench)
{
    const json_t *measurements = json_object_get(bench->report, "measurements");
    const char *format;
    json_error_t error;
    json_t *baseline = json_load_file(bench->options.baseline, 0, &error), *verdicts = json_array();
    size_t compared = 0;

    format = json_string_value(json_object_get(baseline, "format"));
    if (format == NULL || strcmp(format, "usher-bench-report-1") != 0) {
        snprintf(bench->why, sizeof bench->why, "%s is no report of usher-bench%s%s", bench->options.baseline,
                 baseline == NULL ? ": " : "", baseline == NULL ? error.text : "");
        json_decref(baseline);
        json_decref(verdicts);
        return false;
    }
    for (size_t i = 0; i < json_array_size(measurements); i++) {
        const json_t *now = json_array_get(measurements, i), *before = find(baseline, now);
        if (before != NULL)
            compare(bench, now, before, verdicts);
        compared += before != NULL;
    }
    json_decref(baseline);
    json_object_set_new(bench->report, "baseline", verdicts);
    if (compared == 0)
        snprintf(bench->why, sizeof bench->why, "the baseline %s has nothing that was measured now: use the same options",
                 bench->options.baseline);
    return compared > 0;
}
