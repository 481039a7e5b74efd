/* main.c: usher-peers: Usher and what a team would otherwise put together, in one run on one machine.
 *
 *     usher-peers [--only usher,redis,...] [--jobs join,...] [--shapes 50x1,...] [--rounds N] [--seconds S] [--quick]
 *                 [--json FILE] [--folder DIR]
 *
 * Every system is started privately, durable, with the same data; every job is asked of all of them over the same number
 * of connections with the same number in flight by this one thread, round about, so that what the machine does
 * meanwhile hits all alike. The table shows medians and the ratios to what Usher has to reach (plan.def). Afterwards
 * each system's books are checked: who cheats is no peer. */
#define _GNU_SOURCE 1
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench/common/clock.h"
#include "bench/common/environment.h"
#include "bench/peers/experiments.h"
#include "bench/peers/report.h"
#include "bench/peers/systems.h"

#define CONNECTIONS_MOST 500u
#define ROUNDS_MOST      15u
#define ARGUMENTS_MOST   16
#define WARM_MS          150u
#define REST_MS          400u
#define DESCRIPTORS      65536u

struct run {
    struct systems_options systems_options;
    const char *only, *jobs, *shapes, *experiments, *json;
    bool with_table, with_experiments, quick;
    json_t *table, *experiment_rows;
    const char *usherd_arguments[ARGUMENTS_MOST + 1];
    unsigned usherd_argument_count;
    unsigned rounds, measured_ms;
    struct system system[SYSTEMS_MOST];
    size_t system_count;
    struct report report;
    json_t *environment;
};

static void
misused(const char *what, const char *which)
{
    fprintf(stderr, "usher-peers: %s '%s'; usher-peers --help lists what there is\n", what, which);
    exit(2);
}

/* --- options ------------------------------------------------------------------------------------------- */
static const char usage[] =
    "usher-peers: Usher beside Redis, PostgreSQL, MariaDB and an echo that does nothing, in one run\n"
    "\n"
    "  --only LIST       systems: usher, redis, postgres, echo, and for the crowd's experiments the two\n"
    "                    ways of MariaDB, optimistic and pessimistic; all of them by default\n"
    "  --jobs LIST       join, rank, seats, reserve, charge, balance, pay, mix\n"
    "  --shapes LIST     50x1 (connections x tasks in flight on each), 500x1, 50x16\n"
    "  --experiments L   instead of the table, or with --jobs beside it: seat, charges, lone, offered, many-rank,\n"
    "                    many-reserve, idle, crash, or all\n"
    "  --rounds N        how often each is measured, in turns; the median counts (5)\n"
    "  --seconds S       how long each measurement takes (1)\n"
    "  --quick           a first look: one round of 0.3 s, 50,000 waiting, 10,000 dates\n"
    "  --waiting N       people in line (1,000,000)\n"
    "  --dates N         dates of 50 seats (100,000)\n"
    "  --users N         admitted users (100,000)\n"
    "  --usherd PATH     the server to measure (that of this build)\n"
    "  --usherd-option O one more option of usherd; may be repeated\n"
    "  --folder DIR      where the servers keep their data while they run ($TMPDIR, else /var/tmp)\n"
    "  --json FILE       write everything there as well\n";

static const char *
value_of(int count, char **arguments, int *at)
{
    if (*at + 1 >= count)
        misused("a value is missing after", arguments[*at]);
    return arguments[++*at];
}

static uint32_t
number_of(const char *text, uint32_t least, uint32_t most)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    if (*text == '\0' || *end != '\0' || number < least || number > most)
        misused("no number that can be right here:", text);
    return (uint32_t)number;
}

static void
be_quick(struct run *run)
{
    run->quick = true;
    run->rounds = 1;
    run->measured_ms = 300;
    run->systems_options.sizes.waiting = 50000;
    run->systems_options.sizes.dates = 10000;
    run->systems_options.sizes.users = 20000;
}

static void
take_seconds(struct run *run, const char *text)
{
    char *end;
    double seconds = strtod(text, &end);

    if (*end != '\0' || !(seconds >= 0.05) || !(seconds <= 600))
        misused("no time in seconds:", text);
    run->measured_ms = (unsigned)(seconds * 1000);
}

static void
take_options(struct run *run, int count, char **arguments)
{
    struct target_sizes *sizes = &run->systems_options.sizes;

    for (int i = 1; i < count; i++) {
        const char *option = arguments[i];
        if (strcmp(option, "--help") == 0) {
            fputs(usage, stdout);
            exit(0);
        } else if (strcmp(option, "--quick") == 0) {
            be_quick(run);
        } else if (strcmp(option, "--only") == 0) {
            run->only = value_of(count, arguments, &i);
        } else if (strcmp(option, "--jobs") == 0) {
            run->jobs = value_of(count, arguments, &i);
        } else if (strcmp(option, "--experiments") == 0) {
            run->experiments = value_of(count, arguments, &i);
            run->with_experiments = true;
        } else if (strcmp(option, "--shapes") == 0) {
            run->shapes = value_of(count, arguments, &i);
        } else if (strcmp(option, "--json") == 0) {
            run->json = value_of(count, arguments, &i);
        } else if (strcmp(option, "--folder") == 0) {
            run->systems_options.folder = value_of(count, arguments, &i);
        } else if (strcmp(option, "--usherd") == 0) {
            run->systems_options.usherd = value_of(count, arguments, &i);
        } else if (strcmp(option, "--seconds") == 0) {
            take_seconds(run, value_of(count, arguments, &i));
        } else if (strcmp(option, "--rounds") == 0) {
            run->rounds = number_of(value_of(count, arguments, &i), 1, ROUNDS_MOST);
        } else if (strcmp(option, "--waiting") == 0) {
            sizes->waiting = number_of(value_of(count, arguments, &i), 1, 10000000);
        } else if (strcmp(option, "--dates") == 0) {
            sizes->dates = number_of(value_of(count, arguments, &i), 1, 100000);
        } else if (strcmp(option, "--users") == 0) {
            sizes->users = number_of(value_of(count, arguments, &i), 1, 1000000);
        } else if (strcmp(option, "--usherd-option") == 0) {
            if (run->usherd_argument_count == ARGUMENTS_MOST)
                misused("too many options of usherd, at", arguments[i + 1]);
            run->usherd_arguments[run->usherd_argument_count++] = value_of(count, arguments, &i);
        } else {
            misused("there is no option", option);
        }
    }
}

/* Whether a name is in a list with commas; NULL lists all. */
static bool
is_chosen(const char *list, const char *name)
{
    size_t size = strlen(name);

    for (const char *at = list; at != NULL && *at != '\0'; at += strcspn(at, ",")) {
        at += *at == ',';
        if (strcspn(at, ",") == size && memcmp(at, name, size) == 0)
            return true;
    }
    return list == NULL;
}

/* A name in a list that means nothing is a mistake that must not pass for a short run. */
static void
check_list(const char *list, bool (*is_known)(const char *name, size_t size))
{
    for (const char *at = list; at != NULL && *at != '\0'; at += strcspn(at, ",")) {
        at += *at == ',';
        if (!is_known(at, strcspn(at, ",")))
            misused("nothing here is called", at);
    }
}

static bool
is_system(const char *name, size_t size)
{
    return system_named(name, size) != NULL;
}

static bool
is_experiment(const char *name, size_t size)
{
    return experiments_know(name, size) || (size == 3 && memcmp(name, "all", 3) == 0);
}

/* --- measuring ----------------------------------------------------------------------------------------- */
static void
give_up(const struct system *system, const char *why)
{
    fprintf(stderr, "usher-peers: %s: %s\n", system->row->name, why);
    exit(1); /* systems_end() follows */
}

static struct drive_figures figures; /* too large for the stack */

/* What needs other tasks before it is stocked for as many as the time will do, going by the warm-up. */
static uint64_t
tasks_for(const struct report_job *job, double per_second, unsigned ms)
{
    uint64_t expected = (uint64_t)(per_second * ms / 1000 * 1.5) + 1000;

    return expected < job->tasks_most ? expected : job->tasks_most;
}

/* Systems leave work for later, Usher and PostgreSQL among them: what the warm-up, the stock and the system before have left
 * is no part of the next figure. */
static void
rest(void)
{
    const struct timespec pause = {.tv_nsec = REST_MS * 1000000l};

    nanosleep(&pause, NULL);
}

static void
measure(struct run *run, size_t at, size_t job_no, enum shape shape)
{
    const struct report_job *job = &report_jobs[job_no];
    struct system *system = &run->system[at];
    const struct report_shape *form = &report_shapes[shape];
    struct drive_plan plan = {.shares = job->shares,
                              .time_ms = WARM_MS,
                              .tasks = job->tasks_most / 20,
                              .connections = form->connections,
                              .depth = form->depth,
                              .seed = run->systems_options.seed};
    char why[WHY_SIZE] = "";

    if (!drive_run(system->drive, &plan, &figures, why, sizeof why))
        give_up(system, why);
    plan.time_ms = run->measured_ms;
    plan.tasks = tasks_for(job, figures.per_second, run->measured_ms);
    if (!drive_stock(system->drive, &plan, why, sizeof why))
        give_up(system, why);
    rest();
    struct process_use before = system_use(system);
    if (!drive_run(system->drive, &plan, &figures, why, sizeof why))
        give_up(system, why);
    struct process_use after = system_use(system);
    const struct report_sample sample = {.figures = &figures,
                                         .server_cpu_s = after.cpu_seconds - before.cpu_seconds,
                                         .reason_name = system->row->target->reason};
    report_add(&run->report, job_no, shape, at, &sample);
}

static void
measure_all(struct run *run)
{
    for (size_t job = 0; job < report_job_count; job++) {
        if (!is_chosen(run->jobs, report_jobs[job].name))
            continue;
        for (unsigned shape = 0; shape < REPORT_SHAPE_COUNT; shape++) {
            if (!is_chosen(run->shapes, report_shapes[shape].name))
                continue;
            for (unsigned round = 0; round < run->rounds; round++) {
                for (size_t at = 0; at < run->system_count; at++)
                    measure(run, at, job, (enum shape)shape);
            }
            report_show_row(&run->report, job, (enum shape)shape);
        }
    }
}

/* --- the whole ----------------------------------------------------------------------------------------- */
static void
open_all(struct run *run)
{
    for (size_t i = 0; i < system_count; i++) {
        struct system *system = &run->system[run->system_count];
        uint64_t begin_ns = clock_now_ns();
        char why[WHY_SIZE] = "";
        if (!is_chosen(run->only, system_rows[i].name) || (system_rows[i].uses & SYSTEM_JOBS) == 0)
            continue;
        if (!system_open(system, &system_rows[i], &run->systems_options, why))
            give_up(system, why);
        fprintf(stderr, "%s is ready after %.1f s\n", system->row->title,
                (double)(clock_now_ns() - begin_ns) / 1e9);
        run->report.system[run->system_count++] = system;
    }
    run->report.system_count = run->system_count;
}

/* True when every system's books agree. */
static bool
close_all(struct run *run)
{
    bool sound = true;

    for (size_t i = 0; i < run->system_count; i++) {
        struct system *system = &run->system[i];
        char told[WHY_SIZE] = "", why[WHY_SIZE] = "";
        if (system->row->audit != NULL && !system->row->audit(system, told, why)) {
            fprintf(stderr, "usher-peers: %s: %s\n", system->row->name, why);
            sound = false;
        } else if (told[0] != '\0') {
            printf("%s: books agree: %s\n", system->row->title, told);
        }
        system_close(system);
    }
    return sound;
}

static bool
write_json(struct run *run)
{
    json_t *whole;
    char why[WHY_SIZE] = "";

    if (run->json == NULL)
        return true;
    whole = run->table != NULL ? run->table : json_pack("{s:s}", "what", "usher bench --peers");
    run->table = NULL;
    if (run->experiment_rows != NULL)
        json_object_set(whole, "experiments", run->experiment_rows);
    json_object_set_new(whole, "environment", json_incref(run->environment));
    bool written = environment_write_json(whole, run->json, why, sizeof why);
    if (!written)
        fprintf(stderr, "usher-peers: %s\n", why);
    json_decref(whole);
    return written;
}

/* The table of jobs; true when nothing went wrong and all books agree. */
static bool
measure_table(struct run *run)
{
    open_all(run);
    report_begin(&run->report);
    measure_all(run);
    report_end(&run->report);
    run->table = report_json(&run->report);
    return close_all(run) && run->report.faults == 0;
}

static bool
measure_experiments(struct run *run)
{
    const struct experiments_plan plan = {
        .options = &run->systems_options,
        .is_wanted = is_chosen,
        .only = run->only,
        .list = run->experiments != NULL && strcmp(run->experiments, "all") != 0 ? run->experiments : NULL,
        .rounds = run->rounds,
        .quick = run->quick};
    char why[WHY_SIZE] = "";

    run->experiment_rows = json_array();
    if (experiments_run(&plan, run->experiment_rows, why))
        return true;
    fprintf(stderr, "usher-peers: %s\n", why);
    return false;
}

static void
raise_limits(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    if (limit.rlim_max < DESCRIPTORS && geteuid() == 0)
        limit.rlim_max = DESCRIPTORS; /* ten thousand connections want it; root may */
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int
main(int count, char **arguments)
{
    static struct run run;

    report_know_jobs();
    run.rounds = 5;
    run.measured_ms = 1000;
    run.systems_options = (struct systems_options){
        .usherd = USHERD_PATH,
        .echo = ECHO_PATH,
        .scripts = PEERS_SCRIPTS,
        .connections_most = CONNECTIONS_MOST + 64,
        .usherd_arguments = run.usherd_arguments,
        .seed = 1,
        .sizes = {.users = 100000, .waiting = 1000000, .dates = 100000, .seats = 50, .hold_ms = 86400000, .price = 100},
    };
    take_options(&run, count, arguments);
    check_list(run.only, is_system);
    check_list(run.jobs, report_is_job);
    check_list(run.shapes, report_is_shape);
    check_list(run.experiments, is_experiment);
    raise_limits();
    process_clean_up_at_signals(systems_end);
    atexit(systems_end);
    run.with_table = run.jobs != NULL || !run.with_experiments;
    run.with_experiments = run.with_experiments || run.jobs == NULL;
    run.environment = environment_read(run.systems_options.folder != NULL ? run.systems_options.folder : "/var/tmp");
    environment_print(run.environment, stdout);
    bool sound = !run.with_table || measure_table(&run);
    sound = (!run.with_experiments || measure_experiments(&run)) && sound;
    return write_json(&run) && sound ? 0 : 1;
}
