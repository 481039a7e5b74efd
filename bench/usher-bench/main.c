/* main.c: usher-bench from its command line to its verdict. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/common/environment.h"
#include "bench/usher-bench/bench.h"

static const struct scenario {
    const char *name;
    bool (*play)(struct bench *bench, const char *const *scenario, size_t count);
    const char *text;
} scenarios[] = {
#define BENCH_SCENARIO(name, play, text) {name, play_##play, text},
#include "bench/usher-bench/scenarios.def"
};
#define SCENARIO_COUNT (sizeof scenarios / sizeof *scenarios)

static const struct {
    int code;
    const char *text;
} exits[] = {
#define BENCH_EXIT(code, NAME, text) {code, text},
#include "bench/usher-bench/exits.def"
};

/* --- help --------------------------------------------------------------------------------------------- */
static void
print_help(void)
{
    printf("usher-bench: how fast is Usher here, and is it right?\n\n"
           "usage: usher-bench [OPTIONS] [SCENARIO ...] [-- OPTIONS OF USHERD]\n\n"
           "It starts a usherd of its own on a new data folder, asks, measures, and then checks that nothing was\n"
           "oversold, lost, doubled or served out of turn.\n\n"
           "scenarios (by itself the first)\n");
    for (size_t i = 0; i < SCENARIO_COUNT; i++)
        printf("  %-12s %s\n", scenarios[i].name, scenarios[i].text);
    options_print(stdout);
    printf("\nexit codes\n");
    for (size_t i = 0; i < sizeof exits / sizeof *exits; i++)
        printf("  %d  %s\n", exits[i].code, exits[i].text);
}

static const struct scenario *
scenario_named(const char *name)
{
    for (size_t i = 0; i < SCENARIO_COUNT; i++)
        if (strcmp(scenarios[i].name, name) == 0)
            return &scenarios[i];
    return NULL;
}

/* --- before anything is measured ---------------------------------------------------------------------- */
static bool
refuse(struct bench *bench, const char *why)
{
    snprintf(bench->why, sizeof bench->why, "%s", why);
    return false;
}

/* What can't be right although each option by itself can. */
static bool
options_fit(struct bench *bench)
{
    const struct options *options = &bench->options;

    for (size_t i = 0; i < options->scenario_count; i++)
        if (scenario_named(options->scenario[i]) == NULL) {
            snprintf(bench->why, sizeof bench->why, "there is no scenario \"%s\"; --help lists them",
                     options->scenario[i]);
            return false;
        }
    if ((options->server != NULL) != (options->key != NULL))
        return refuse(bench, "--server and --key belong together: an admin's key of that server");
    if (options->server != NULL && options->server_argument_count > 0)
        return refuse(bench, "options of usherd are for a server that is started here, not for --server");
    if (options->find_capacity && options->closed)
        return refuse(bench, "--find-capacity offers rates: it is an open loop; leave --closed out");
    if (options->find_capacity && options->scenario_count > 1)
        return refuse(bench, "--find-capacity takes one scenario");
    if (options->find_capacity && options->scenario_count == 1 &&
        scenario_named(options->scenario[0])->play != play_job)
        return refuse(bench, "--find-capacity takes a single job, or mix");
    if (options->closed && (options->rate != 0 || options->fixed))
        return refuse(bench, "--rate and --fixed are of an open loop: leave --closed out");
    return true;
}

/* Where reports go must be writable before an hour of measuring, not after it. */
static bool
can_write(struct bench *bench, const char *path, bool folder)
{
    bool good = true;

    if (path == NULL || strcmp(path, "-") == 0)
        return true;
    if (folder) {
        mkdir(path, 0777);
        good = access(path, W_OK | X_OK) == 0;
    } else {
        FILE *file = fopen(path, "ae");
        good = file != NULL;
        if (file != NULL)
            fclose(file);
    }
    if (!good)
        snprintf(bench->why, sizeof bench->why, "%s can't be written", path);
    return good;
}

static bool
begin(struct bench *bench)
{
    const struct options *options = &bench->options;
    const char *folder = options->folder != NULL ? options->folder : house_folder_usual();

    if (!options_fit(bench) || !can_write(bench, options->json, false) || !can_write(bench, options->csv, false) ||
        !can_write(bench, options->hgrm, true) || !can_write(bench, options->plot, true))
        return false;
    if (options->plot != NULL && system("command -v gnuplot >/dev/null 2>&1") != 0)
        return refuse(bench, "--plot needs gnuplot: apt-get install gnuplot-nox, or ./usher bench --plot DIR, which does");
    if (options->baseline != NULL && access(options->baseline, R_OK) != 0) {
        snprintf(bench->why, sizeof bench->why, "the baseline %s can't be read", options->baseline);
        return false;
    }
    bench->report = json_pack("{s:s, s:o, s:[], s:[]}", "format", "usher-bench-report-1", "environment",
                              environment_read(options->server == NULL ? folder : NULL), "measurements",
                              "checks");
    return true;
}

/* --- playing ------------------------------------------------------------------------------------------ */
/* Scenarios that are played alike and follow one another share a house. */
static bool
play_all(struct bench *bench)
{
    static const char *const usual[] = {"rush"};
    const char *const *names = bench->options.scenario_count > 0 ? bench->options.scenario : usual;
    size_t count = bench->options.scenario_count > 0 ? bench->options.scenario_count : 1;

    if (bench->options.find_capacity)
        return find_capacity(bench, bench->options.scenario_count > 0 ? names[0] : "mix");
    for (size_t at = 0, same; at < count; at += same) {
        for (same = 1; at + same < count; same++)
            if (scenario_named(names[at + same])->play != scenario_named(names[at])->play)
                break;
        if (!scenario_named(names[at])->play(bench, names + at, same))
            return false;
    }
    return true;
}

static enum bench_exit
verdict(const struct bench *bench)
{
    if (bench->wrong)
        return BENCH_WRONG;
    if (bench->fell_behind)
        return BENCH_VOID;
    return bench->worse ? BENCH_WORSE : BENCH_GOOD;
}

static enum bench_exit
run(struct bench *bench)
{
    FILE *out = bench_out(bench);
    enum bench_exit exit_code;

    if (!begin(bench))
        return BENCH_USAGE;
    environment_print(json_object_get(bench->report, "environment"), out);
    if (!play_all(bench))
        return bench->wrong ? BENCH_WRONG : BENCH_TROUBLE;
    if (bench->options.baseline != NULL && !baseline_compare(bench))
        return BENCH_USAGE;
    exit_code = verdict(bench);
    json_object_set_new(bench->report, "exit_code", json_integer(exit_code));
    if (!report_write(bench) || (bench->options.plot != NULL && !plot_all(bench)))
        return BENCH_TROUBLE;
    return exit_code;
}

int
main(int argc, char **argv)
{
    static struct bench bench;
    enum bench_exit exit_code = BENCH_USAGE;

    if (options_read(&bench.options, argc - 1, argv + 1, bench.why, sizeof bench.why)) {
        if (bench.options.help || bench.options.version) {
            if (bench.options.help)
                print_help();
            else
                printf("usher-bench %s\n", USHER_BENCH_VERSION);
            return fflush(stdout) == 0 ? BENCH_GOOD : BENCH_TROUBLE;
        }
        exit_code = run(&bench);
    }
    progress_end();
    if (bench.why[0] != 0 && exit_code != BENCH_GOOD)
        fprintf(stderr, "usher-bench: %s\n", bench.why);
    json_decref(bench.report);
    for (size_t i = 0; i < bench.kept_count; i++)
        free(bench.kept[i]);
    free(bench.kept);
    return (int)exit_code;
}
