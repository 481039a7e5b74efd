/* drive.c: see drive.h.
 *
 * A slot is one place in flight and belongs to one connection for good. In a closed loop the answer in a slot brings its
 * next task; in an open loop free slots stand in a ring, so that connections take turns, and a moment of the schedule
 * that finds none waits for one. */
#define _GNU_SOURCE 1
#include "drive.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "bench/common/clock.h"

#define STALLED_NS        (30 * NS_OF_S) /* without an answer, while some are due */
#define STOCK_CONNECTIONS 8u
#define STOCK_DEPTH       128u
#define CLOSED_RATE_MOST  300000.0 /* answers a second that a stock has to last for when nobody says how many */

struct slot {
    uint64_t intended_ns, sent_ns;
    struct task task;
    uint32_t connection;
};

struct drive {
    const struct target_kind *kind;
    void *target;
    struct supply *supply;
    uint32_t connections, depth; /* as connected; 0: not yet */
    struct slot *slot;
    uint32_t *ring; /* open loop: free slots */
    uint32_t slot_count, ring_first, ring_count;

    /* The run. */
    const struct drive_plan *plan;
    struct drive_figures *figures; /* NULL: a stock is being made */
    uint64_t stock_tasks; /* what the stock is for */
    struct task stock_task; /* the first of a step of the stock */
    bool stock_begins;
    uint64_t stock_done;
    uint32_t stock_reason; /* the last that went wrong */
    uint64_t in_flight, most, begin_ns, end_ns, last_ns, heard_ns;
    uint64_t freed_ns;    /* since when there has been a free slot */
    struct schedule schedule;
    uint64_t next_ns;
    bool used_up;
};

/* --- asking ------------------------------------------------------------------------------------------- */
static bool
next_task(struct drive *drive, struct task *task)
{
    if (drive->stock_begins) {
        *task = drive->stock_task;
        drive->stock_begins = false;
        return true;
    }
    if (drive->figures == NULL)
        return supply_stock(drive->supply, &drive->plan->shares, drive->stock_tasks, drive->stock_task.job, task);
    return supply_take_any(drive->supply, &drive->plan->shares, task);
}

/* False when there is nothing more to ask. */
static bool
ask(struct drive *drive, uint32_t at, uint64_t intended_ns, uint64_t now_ns)
{
    struct slot *slot = &drive->slot[at];
    struct task task;

    if (drive->used_up || !next_task(drive, &task)) {
        drive->used_up = true;
        return false;
    }
    slot->task = task;
    slot->sent_ns = now_ns;
    slot->intended_ns = intended_ns;
    if (!drive->kind->submit(drive->target, slot->connection, &slot->task, at)) {
        /* It may take no more than was agreed on, and no more was asked of it. */
        drive->used_up = true;
        return false;
    }
    if (drive->kind->expect != NULL)
        drive->kind->expect(drive->target, slot->task.line, supply_foresee(drive->supply, slot->task.job));
    drive->in_flight++;
    if (drive->figures != NULL)
        drive->figures->asked++;
    return true;
}

static bool
may_ask(const struct drive *drive, uint64_t now_ns)
{
    return !drive->used_up && now_ns < drive->end_ns &&
           (drive->figures == NULL || drive->figures->asked < drive->most);
}

static void
count_answer(struct drive *drive, const struct slot *slot, const struct outcome *outcome, uint64_t now_ns)
{
    struct drive_figures *figures = drive->figures;

    figures->answered++;
    figures->done += outcome->kind == OUTCOME_DONE;
    figures->refused += outcome->kind == OUTCOME_REFUSED;
    figures->faults += outcome->kind == OUTCOME_FAULT;
    if (outcome->kind != OUTCOME_DONE)
        figures->reason[outcome->reason % OUTCOME_REASONS]++;
    histogram_add(&figures->sent, now_ns - slot->sent_ns);
    if (drive->plan->rate > 0)
        histogram_add(&figures->intended, now_ns - slot->intended_ns);
}

static void
take_answer(void *context, const struct outcome *outcome)
{
    struct drive *drive = context;
    uint32_t at = (uint32_t)outcome->tag;
    uint64_t now_ns = clock_now_ns();

    assert(at < drive->slot_count);
    drive->in_flight--;
    drive->last_ns = drive->heard_ns = now_ns;
    supply_answered(drive->supply, &drive->slot[at].task, outcome);
    if (drive->figures != NULL)
        count_answer(drive, &drive->slot[at], outcome, now_ns);
    else if (outcome->kind == OUTCOME_DONE)
        drive->stock_done++;
    else
        drive->stock_reason = outcome->reason;
    if (drive->figures != NULL && drive->plan->rate == 0 && may_ask(drive, now_ns) && ask(drive, at, now_ns, now_ns))
        return;
    if (drive->ring_count == 0)
        drive->freed_ns = now_ns;
    drive->ring[(drive->ring_first + drive->ring_count++) % drive->slot_count] = at;
}

static uint32_t
pop_slot(struct drive *drive)
{
    uint32_t at = drive->ring[drive->ring_first];

    drive->ring_first = (drive->ring_first + 1) % drive->slot_count;
    drive->ring_count--;
    return at;
}

static void
ask_by_schedule(struct drive *drive, uint64_t now_ns)
{
    while (drive->next_ns <= now_ns && drive->ring_count > 0 && may_ask(drive, drive->next_ns)) {
        uint64_t could_ns = drive->next_ns > drive->freed_ns ? drive->next_ns : drive->freed_ns;

        if (!ask(drive, pop_slot(drive), drive->next_ns, now_ns))
            return;
        histogram_add(&drive->figures->lag, now_ns > could_ns ? now_ns - could_ns : 0);
        drive->next_ns = drive->begin_ns + schedule_next_ns(&drive->schedule);
    }
}

/* Fill every free slot, as a closed loop begins. */
static void
ask_all(struct drive *drive, uint64_t now_ns)
{
    while (drive->ring_count > 0 && may_ask(drive, now_ns))
        if (!ask(drive, pop_slot(drive), now_ns, now_ns))
            return;
}

/* --- the loop ----------------------------------------------------------------------------------------- */
static uint64_t
wait_of(const struct drive *drive, uint64_t now_ns)
{
    uint64_t wait_ns = NS_OF_S / 5;

    if (drive->figures != NULL && drive->plan->rate > 0 && drive->ring_count > 0 && may_ask(drive, drive->next_ns))
        wait_ns = drive->next_ns > now_ns ? drive->next_ns - now_ns : 0;
    return wait_ns < NS_OF_S / 5 ? wait_ns : NS_OF_S / 5;
}

static void
tell_progress(struct drive *drive, uint64_t now_ns, uint64_t *told_ns)
{
    if (drive->figures == NULL || drive->plan->progress == NULL || now_ns - *told_ns < NS_OF_S)
        return;
    *told_ns = now_ns;
    drive->plan->progress(drive->plan->context, (double)(now_ns - drive->begin_ns) / 1e9, drive->figures->answered);
}

static bool
loop(struct drive *drive, char *why, size_t why_size)
{
    uint64_t now_ns = clock_now_ns(), told_ns = now_ns;

    drive->heard_ns = now_ns;
    for (;;) {
        bool scheduled = drive->figures != NULL && drive->plan->rate > 0;

        if (scheduled)
            ask_by_schedule(drive, now_ns);
        else
            ask_all(drive, now_ns);
        if (drive->in_flight == 0 && !may_ask(drive, scheduled ? drive->next_ns : now_ns))
            return true;
        if (!drive->kind->process(drive->target, wait_of(drive, now_ns), why, why_size))
            return false;
        now_ns = clock_now_ns();
        if (drive->in_flight == 0)
            drive->heard_ns = now_ns;
        if (now_ns - drive->heard_ns > STALLED_NS) {
            snprintf(why, why_size, "%s: no answer for 30 s while %llu are due", drive->kind->name,
                     (unsigned long long)drive->in_flight);
            return false;
        }
        tell_progress(drive, now_ns, &told_ns);
    }
}

/* --- a run -------------------------------------------------------------------------------------------- */
static void
free_all_slots(struct drive *drive)
{
    drive->ring_first = 0;
    drive->ring_count = drive->slot_count;
    for (uint32_t at = 0; at < drive->slot_count; at++)
        drive->ring[at] = at;
}

static bool
connect_as(struct drive *drive, uint32_t connections, uint32_t depth, char *why, size_t why_size)
{
    if (drive->connections == connections && drive->depth == depth)
        return true;
    drive->connections = 0;
    if (!drive->kind->connect(drive->target, connections, depth, why, why_size))
        return false;
    drive->connections = connections;
    drive->depth = depth;
    free(drive->slot);
    free(drive->ring);
    drive->slot_count = connections * depth;
    drive->slot = calloc(drive->slot_count, sizeof *drive->slot);
    drive->ring = calloc(drive->slot_count, sizeof *drive->ring);
    if (drive->slot == NULL || drive->ring == NULL)
        abort();
    for (uint32_t at = 0; at < drive->slot_count; at++)
        drive->slot[at].connection = at % connections;
    return true;
}

/* A stock is made of steps that need the one before as a whole: people come in, then they hold. */
static bool
make_stock(struct drive *drive, const struct drive_plan *plan, uint64_t tasks, char *why, size_t why_size)
{
    drive->plan = plan;
    drive->figures = NULL;
    drive->stock_tasks = tasks;
    drive->end_ns = UINT64_MAX;
    while (supply_stock(drive->supply, &plan->shares, tasks, JOB_COUNT, &drive->stock_task)) {
        drive->stock_begins = true;
        drive->used_up = false;
        drive->stock_done = 0;
        if (!connect_as(drive, STOCK_CONNECTIONS, STOCK_DEPTH, why, why_size))
            return false;
        free_all_slots(drive);
        if (!loop(drive, why, why_size))
            return false;
        if (drive->stock_done == 0) {
            snprintf(why, why_size, "%s: %s, which has to go ahead of the run, is refused: %s", drive->kind->name,
                     job_rows[drive->stock_task.job].name, drive->kind->reason(drive->stock_reason));
            return false;
        }
    }
    return true;
}

static double
cpu_s(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void
begin(struct drive *drive, const struct drive_plan *plan, struct drive_figures *figures)
{
    memset(figures, 0, sizeof *figures);
    histogram_clear(&figures->intended);
    histogram_clear(&figures->sent);
    histogram_clear(&figures->lag);
    drive->plan = plan;
    drive->figures = figures;
    drive->used_up = false;
    drive->in_flight = 0;
    drive->most = plan->tasks != 0 ? plan->tasks : UINT64_MAX;
    free_all_slots(drive);
    figures->generator_cpu_s = cpu_s();
    drive->begin_ns = drive->last_ns = drive->freed_ns = clock_now_ns();
    drive->end_ns = plan->time_ms != 0 ? drive->begin_ns + plan->time_ms * UINT64_C(1000000) : UINT64_MAX;
    if (plan->rate > 0) {
        schedule_begin(&drive->schedule, plan->schedule, plan->rate, plan->seed);
        drive->next_ns = drive->begin_ns + schedule_next_ns(&drive->schedule);
    }
}

bool
drive_stock(struct drive *drive, const struct drive_plan *plan, char *why, size_t why_size)
{
    double rate = plan->rate > 0 ? plan->rate * 1.05 : CLOSED_RATE_MOST;
    uint64_t tasks = plan->tasks, room = supply_room(drive->supply, &plan->shares);

    if (tasks == 0)
        tasks = (uint64_t)(rate * (double)plan->time_ms / 1000) + 1000;
    return make_stock(drive, plan, tasks < room ? tasks : room, why, why_size) &&
           connect_as(drive, plan->connections, plan->depth, why, why_size);
}

bool
drive_run(struct drive *drive, const struct drive_plan *plan, struct drive_figures *figures, char *why,
          size_t why_size)
{
    if (!drive_stock(drive, plan, why, why_size))
        return false;
    begin(drive, plan, figures);
    if (!loop(drive, why, why_size))
        return false;
    figures->seconds = (double)(drive->last_ns - drive->begin_ns) / 1e9;
    figures->per_second = figures->seconds > 0 ? (double)figures->answered / figures->seconds : 0;
    figures->generator_cpu_s = cpu_s() - figures->generator_cpu_s;
    figures->ran_out = drive->used_up;
    return true;
}

bool
drive_is_void(const struct drive_plan *plan, const struct drive_figures *figures, char *why, size_t why_size)
{
    /* With few tasks the 99th percentile is a single accident; then the 90th decides. */
    double percent = histogram_may_say(&figures->lag, 99) ? 99 : 90;
    uint64_t lag_ns = histogram_percentile(&figures->lag, percent);

    if (plan->rate == 0 || figures->asked == 0 || lag_ns <= DRIVE_LAG_NS_MOST)
        return false;
    snprintf(why, why_size,
             "the generator fell behind: it came %.1f ms late to one task in %s (at most %.1f ms is allowed); offer "
             "less, or give it a processor of its own",
             (double)lag_ns / 1e6, percent > 90 ? "a hundred" : "ten", (double)DRIVE_LAG_NS_MOST / 1e6);
    return true;
}

/* --- opening and closing ------------------------------------------------------------------------------ */
struct drive *
drive_open(const struct target_kind *kind, const void *where, const struct target_sizes *sizes, uint64_t seed,
           double *prepare_s, char *why, size_t why_size)
{
    struct drive *drive = calloc(1, sizeof *drive);
    uint64_t begin_ns = clock_now_ns();

    if (drive == NULL)
        abort();
    prctl(PR_SET_TIMERSLACK, 1UL); /* by itself the kernel is up to 50 us late */
    drive->kind = kind;
    drive->supply = supply_make(sizes, seed);
    drive->target = kind->open(where, sizes, take_answer, drive, why, why_size);
    if (drive->target == NULL || !kind->prepare(drive->target, why, why_size)) {
        drive_close(drive);
        return NULL;
    }
    if (prepare_s != NULL)
        *prepare_s = (double)(clock_now_ns() - begin_ns) / 1e9;
    return drive;
}

void
drive_close(struct drive *drive)
{
    if (drive == NULL)
        return;
    if (drive->target != NULL)
        drive->kind->close(drive->target);
    supply_free(drive->supply);
    free(drive->slot);
    free(drive->ring);
    free(drive);
}

void *
drive_target(struct drive *drive)
{
    return drive->target;
}
