/* experiments.c: see experiments.h. A row is one figure of every system; systems take turns, the median counts. */
#include "bench/peers/experiments.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/common/spread.h"
#include "bench/peers/crowd.h"

#define SYSTEMS_MOST 10
#define MANY         10000u
#define DESCRIPTORS  1u   /* of an asynchronous handle of the SDK in a group */
#define SPARE        200u /* descriptors for everything else */
#define OFFERED      20000.0

enum kind {
    OF_CROWD,
    OF_DRIVE,
    OF_CRASH
};

struct experiment {
    const char *name, *text, *unit;
    enum kind kind;
    unsigned use; /* what a system must be good for */
    /* Of a system that is prepared. */
    bool (*measure)(struct system *system, const struct experiments_plan *plan, double *value, char *why);
    double redis_most, redis_least; /* Usher / Redis: what is asked for; 0: nothing */
    double most;                    /* of Usher itself; 0: nothing */
    bool once;                      /* a second round would find what the first has left */
};

static struct drive_figures figures;

/* Ten thousand connections, or as many as one process may have here: of every system as many as of Usher. */
static uint32_t
many(void)
{
    struct rlimit limit;
    uint32_t room = MANY;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < MANY * DESCRIPTORS + SPARE)
        room = (uint32_t)((limit.rlim_cur - SPARE) / DESCRIPTORS / 100 * 100);
    return room;
}

/* --- with a drive -------------------------------------------------------------------------------------- */
static bool
drive_one(struct system *system, struct drive_plan *plan, char *why)
{
    plan->seed = system->options->seed;
    if (!drive_run(system->drive, plan, &figures, why, WHY_SIZE))
        return false;
    if (figures.faults == 0)
        return true;
    snprintf(why, WHY_SIZE, "%llu of %llu tasks had no answer", (unsigned long long)figures.faults,
             (unsigned long long)figures.answered);
    return false;
}

/* A lone writer: what one durable write takes. */
static bool
measure_lone(struct system *system, const struct experiments_plan *plan, double *value, char *why)
{
    struct drive_plan run = {
        .shares = job_share_of(JOB_CHARGE), .connections = 1, .depth = 1, .time_ms = plan->quick ? 300 : 1000};

    if (!drive_one(system, &run, why))
        return false;
    *value = (double)histogram_percentile(&figures.sent, 50) / 1000;
    return true;
}

/* 20,000 writes a second, whatever is unanswered: the slow tail from the moment at which each was meant to leave. */
static bool
measure_offered(struct system *system, const struct experiments_plan *plan, double *value, char *why)
{
    struct drive_plan run = {.shares = job_share_of(JOB_CHARGE), .connections = 50, .depth = 16, .rate = OFFERED,
                             .schedule = SCHEDULE_POISSON, .time_ms = plan->quick ? 1000 : 3000};

    if (!drive_one(system, &run, why))
        return false;
    *value = (double)histogram_percentile(&figures.intended, 99) / 1000;
    if (drive_is_void(&run, &figures, why, WHY_SIZE)) {
        fprintf(stderr, "%s: %s\n", system->row->name, why);
        *value = 0; /* no figure */
    }
    return true;
}

/* Back to one connection, for the descriptors are wanted by the next system. */
static bool
let_go(struct system *system, char *why)
{
    struct drive_plan run = {.shares = job_share_of(JOB_BALANCE), .connections = 1, .depth = 1, .tasks = 1};

    return drive_one(system, &run, why);
}

static bool
measure_many(struct system *system, enum job job, const struct experiments_plan *plan, double *value, char *why)
{
    struct drive_plan run = {
        .shares = job_share_of(job), .connections = many(), .depth = 1, .time_ms = plan->quick ? 1000 : 2000};

    if (!drive_one(system, &run, why))
        return false;
    *value = (double)figures.done / figures.seconds;
    for (uint32_t i = 0; i < OUTCOME_REASONS; i++) {
        if (figures.reason[i] > 0)
            fprintf(stderr, "%s: %llu of %llu tasks: %s\n", system->row->name, (unsigned long long)figures.reason[i],
                    (unsigned long long)figures.answered, system->row->target->reason(i));
    }
    return let_go(system, why);
}

static bool
measure_many_rank(struct system *system, const struct experiments_plan *plan, double *value, char *why)
{
    return measure_many(system, JOB_RANK, plan, value, why);
}

static bool
measure_many_reserve(struct system *system, const struct experiments_plan *plan, double *value, char *why)
{
    return measure_many(system, JOB_RESERVE, plan, value, why);
}

/* What a server's own memory grows by with each connection that is open and has been used: before any other experiment
 * has made it take memory for connections that are gone. */
static bool
measure_idle(struct system *system, const struct experiments_plan *plan, double *value, char *why)
{
    struct drive_plan run = {
        .shares = job_share_of(JOB_BALANCE), .connections = many(), .depth = 1, .tasks = many()};

    (void)plan;
    if (!let_go(system, why))
        return false;
    uint64_t before = system_use(system).private_bytes;
    if (!drive_one(system, &run, why))
        return false;
    uint64_t after = system_use(system).private_bytes;
    *value = after > before ? (double)(after - before) / many() : 0;
    return let_go(system, why);
}

/* --- after a crash ------------------------------------------------------------------------------------- */
static bool
measure_crash(struct system *system, const struct experiments_plan *plan, double *value, char *why)
{
    struct drive_plan run = {.shares = job_share_of(JOB_RESERVE), .connections = 50, .depth = 16,
                             .tasks = system->options->sizes.users};
    uint64_t back_ns;

    (void)plan;
    if (!drive_one(system, &run, why) || !system_crash(system, &back_ns, why))
        return false;
    *value = (double)back_ns / 1e9;
    return true;
}

/* --- the list ------------------------------------------------------------------------------------------ */
static const struct experiment experiments[] = {
    {"seat", "100 users for one seat, all answered", "ms", OF_CROWD, SYSTEM_CROWD, crowd_wants_one_seat, 0.6, 0, 0, false},
    {"charges", "100 charges of one user, all answered", "ms", OF_CROWD, SYSTEM_CROWD, crowd_charges_one_user, 0.7, 0, 0, false},
    {"idle", "memory of an open connection", "bytes", OF_DRIVE, SYSTEM_MANY, measure_idle, 0, 0, 2048, true},
    {"lone", "one connection, one charge in flight: p50", "us", OF_DRIVE, SYSTEM_JOBS, measure_lone, 0, 0, 0, false},
    {"offered", "20,000 charges/s offered: p99", "us", OF_DRIVE, SYSTEM_JOBS, measure_offered, 1.0, 0, 0, false},
    {"many-rank", "many connections: rank", "/s", OF_DRIVE, SYSTEM_MANY, measure_many_rank, 0, 1.3, 0, false},
    {"many-reserve", "many connections: reserve", "/s", OF_DRIVE, SYSTEM_MANY, measure_many_reserve, 0, 1.3, 0, false},
    {"crash", "answering after SIGKILL", "s", OF_CRASH, SYSTEM_CRASHES, measure_crash, 0, 0, 1.5, true},
};
#define EXPERIMENT_COUNT (sizeof experiments / sizeof experiments[0])

bool
experiments_know(const char *name, size_t size)
{
    for (size_t i = 0; i < EXPERIMENT_COUNT; i++) {
        if (strlen(experiments[i].name) == size && memcmp(experiments[i].name, name, size) == 0)
            return true;
    }
    return false;
}

static const char *
verdict_of(const struct experiment *experiment, double usher, double redis)
{
    if (usher == 0 || (redis == 0 && experiment->most == 0))
        return "";
    if (experiment->most > 0)
        return usher <= experiment->most ? "reached" : "missed";
    if (experiment->redis_most > 0)
        return usher / redis <= experiment->redis_most ? "reached" : "missed";
    if (experiment->redis_least > 0)
        return usher / redis >= experiment->redis_least ? "reached" : "missed";
    return "";
}

static void
tell(const struct experiment *experiment, struct system *const *system, const struct spread *spread, size_t count,
     json_t *rows)
{
    double usher = 0, redis = 0;

    printf("%-46s", experiment->text);
    for (size_t i = 0; i < count; i++) {
        double median = spread_median(&spread[i]);
        if (spread[i].count == 0)
            continue;
        printf("  %s %.*f", system[i]->row->name, median < 100 ? 2 : 0, median);
        if (strcmp(system[i]->row->name, "usher") == 0)
            usher = median;
        if (strcmp(system[i]->row->name, "redis") == 0)
            redis = median;
        json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:f, s:f, s:f}", "experiment", experiment->name,
                                              "system", system[i]->row->name, "unit", experiment->unit, "median", median,
                                              "least", spread_least(&spread[i]), "most", spread_most(&spread[i])));
    }
    printf("  %s", experiment->unit);
    if (usher > 0 && redis > 0)
        printf("  usher/redis %.2f", usher / redis);
    if (experiment->redis_most > 0)
        printf(" (at most %.2g)", experiment->redis_most);
    if (experiment->redis_least > 0)
        printf(" (at least %.2g)", experiment->redis_least);
    if (experiment->most > 0)
        printf(" (at most %g %s)", experiment->most, experiment->unit);
    printf(" %s\n", verdict_of(experiment, usher, redis));
    fflush(stdout);
}

/* --- running ------------------------------------------------------------------------------------------- */
struct group {
    struct system system[SYSTEMS_MOST];
    struct system *order[SYSTEMS_MOST];
    size_t count;
};

static bool
open_group(struct group *group, const struct experiments_plan *plan, const struct systems_options *options, enum kind kind,
           char *why)
{
    group->count = 0;
    for (size_t i = 0; i < system_count; i++) {
        const struct system_row *row = &system_rows[i];
        struct system *system = &group->system[group->count];
        unsigned use = kind == OF_CROWD ? SYSTEM_CROWD : kind == OF_DRIVE ? SYSTEM_JOBS : SYSTEM_CRASHES;
        if (!plan->is_wanted(plan->only, row->name) || (row->uses & use) == 0)
            continue;
        if (!(kind == OF_CROWD ? system_start(system, row, options, why) : system_open(system, row, options, why)))
            return false;
        group->order[group->count++] = system;
    }
    return true;
}

static void
close_group(struct group *group)
{
    for (size_t i = 0; i < group->count; i++)
        system_close(&group->system[i]);
    group->count = 0;
}

static bool
run_one(const struct experiment *experiment, struct group *group, const struct experiments_plan *plan, json_t *rows,
        char *why)
{
    static struct spread spread[SYSTEMS_MOST];
    unsigned rounds = experiment->once ? 1 : plan->rounds;

    memset(spread, 0, sizeof spread);
    for (unsigned round = 0; round < rounds; round++) {
        for (size_t i = 0; i < group->count; i++) {
            double value = 0;
            if ((group->order[i]->row->uses & experiment->use) == 0)
                continue;
            char detail[WHY_SIZE / 2] = "";
            if (!experiment->measure(group->order[i], plan, &value, why)) {
                snprintf(detail, sizeof detail, "%.200s", why);
                snprintf(why, WHY_SIZE, "%s: %s: %s", experiment->name, group->order[i]->row->name, detail);
                return false;
            }
            if (value > 0)
                spread_add(&spread[i], value);
        }
    }
    tell(experiment, group->order, spread, group->count, rows);
    return true;
}

static bool
run_kind(const struct experiments_plan *plan, const struct systems_options *options, enum kind kind, json_t *rows, char *why)
{
    static struct group group;
    bool good = true, opened = false;

    for (size_t i = 0; i < EXPERIMENT_COUNT && good; i++) {
        if (experiments[i].kind != kind || !plan->is_wanted(plan->list, experiments[i].name))
            continue;
        if (!opened)
            good = open_group(&group, plan, options, kind, why);
        opened = true;
        good = good && run_one(&experiments[i], &group, plan, rows, why);
    }
    close_group(&group);
    return good;
}

bool
experiments_run(const struct experiments_plan *plan, json_t *rows, char *why)
{
    struct systems_options crowd = *plan->options, drive = *plan->options, crash = *plan->options;

    crowd.sizes.users = crowd.sizes.waiting = CROWD_USERS;
    crowd.sizes.dates = CROWD_DATES;
    crowd.connections_most = CROWD_USERS + 64;
    drive.sizes.waiting = 100000;
    drive.sizes.users = 20000;
    drive.sizes.dates = 10000;
    drive.connections_most = many() + 64;
    crash.sizes.waiting = plan->quick ? 100000 : 1000000;
    crash.sizes.users = plan->quick ? 30000 : 300000; /* and as many holds */
    if (many() < MANY)
        fprintf(stderr, "many connections are %u here: this process may have no more descriptors\n", many());
    return run_kind(plan, &crowd, OF_CROWD, rows, why) && run_kind(plan, &drive, OF_DRIVE, rows, why) &&
           run_kind(plan, &crash, OF_CRASH, rows, why);
}
