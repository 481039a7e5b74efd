/* rush.c: an on-sale: so many buyers come within seconds, over some gateways' connections, to buy from too few seats.
 *
 * The loop keeps arrivals by their schedule and buyers by the moment at which they act next (a heap). In the middle all
 * connections are cut at once, and everybody comes back: the reconnect storm. */
#include "rush.h"

#include <stdlib.h>
#include <string.h>

#include "bench/common/clock.h"

#define IN_FLIGHT     1024u
#define COME_WITHIN_S 4.0 /* all buyers, unless --rate says otherwise */
#define STALLED_NS    (60 * NS_OF_S)
#define DATES_USUAL   60u

/* --- moments ------------------------------------------------------------------------------------------ */
static void
heap_put(struct rush *rush, uint32_t at, struct buyer *buyer)
{
    rush->heap[at] = buyer;
    buyer->heap_at = at;
}

static void
heap_settle(struct rush *rush, uint32_t at)
{
    struct buyer *buyer = rush->heap[at];

    while (at > 0 && rush->heap[(at - 1) / 2]->due_ns > buyer->due_ns) {
        heap_put(rush, at, rush->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (uint32_t child; (child = 2 * at + 1) < rush->heap_count; at = child) {
        if (child + 1 < rush->heap_count && rush->heap[child + 1]->due_ns < rush->heap[child]->due_ns)
            child++;
        if (rush->heap[child]->due_ns >= buyer->due_ns)
            break;
        heap_put(rush, at, rush->heap[child]);
    }
    heap_put(rush, at, buyer);
}

void
rush_unschedule(struct rush *rush, struct buyer *buyer)
{
    uint32_t at = buyer->heap_at;

    if (at == NOWHERE)
        return;
    buyer->heap_at = NOWHERE;
    if (at == --rush->heap_count)
        return;
    rush->heap[at] = rush->heap[rush->heap_count];
    heap_settle(rush, at);
}

void
rush_schedule(struct rush *rush, struct buyer *buyer, enum step step, uint64_t due_ns)
{
    rush_unschedule(rush, buyer);
    buyer->step = step;
    buyer->due_ns = due_ns;
    rush->heap[rush->heap_count] = buyer;
    heap_settle(rush, rush->heap_count++);
}

/* --- connections -------------------------------------------------------------------------------------- */
static bool
open_lane(struct rush *rush, struct lane *lane)
{
    struct house *house = &rush->sitting.house;
    usher_async_options options = {.common.server = house->address,
                                   .common.secret = &house->gateway_key,
                                   .common.timeout_ms = 30000,
                                   .in_flight_max = IN_FLIGHT,
                                   .waiting_max = rush->buyer_count,
                                   .subscriptions_max = rush->buyer_count,
                                   .group = rush->group};

    if (usher_async_open(&options, &lane->async) == USHER_STATUS_ANSWERED)
        return true;
    snprintf(rush->trouble, sizeof rush->trouble, "%s", usher_async_error(lane->async));
    return false;
}

/* Everybody's connection is gone in the same moment, and everybody comes back. */
static void
storm(struct rush *rush)
{
    rush->storm_ns = UINT64_MAX;
    rush->storming = true;
    for (uint32_t i = 0; i < rush->lane_count; i++) {
        usher_async_close(rush->lane[i].async);
        rush->lane[i].async = NULL;
    }
    rush->storming = false;
    for (uint32_t i = 0; i < rush->lane_count && rush->trouble[0] == 0; i++)
        open_lane(rush, &rush->lane[i]);
}

/* --- the loop ----------------------------------------------------------------------------------------- */
static void
act(struct rush *rush)
{
    while (rush->arrived < rush->buyer_count && rush->next_arrival_ns <= rush->now_ns) {
        buyer_arrives(rush, &rush->buyer[rush->arrived], rush->arrived, rush->next_arrival_ns);
        rush->arrived++;
        rush->next_arrival_ns = rush->begin_ns + schedule_next_ns(&rush->schedule);
    }
    if (rush->now_ns >= rush->storm_ns)
        storm(rush);
    while (rush->heap_count > 0 && rush->heap[0]->due_ns <= rush->now_ns && rush->trouble[0] == 0) {
        struct buyer *buyer = rush->heap[0];
        rush_unschedule(rush, buyer);
        buyer_acts(buyer);
    }
}

static uint64_t
wait_of(const struct rush *rush)
{
    uint64_t next_ns = rush->now_ns + NS_OF_S / 10;

    if (rush->arrived < rush->buyer_count && rush->next_arrival_ns < next_ns)
        next_ns = rush->next_arrival_ns;
    if (rush->heap_count > 0 && rush->heap[0]->due_ns < next_ns)
        next_ns = rush->heap[0]->due_ns;
    if (rush->storm_ns < next_ns)
        next_ns = rush->storm_ns;
    return next_ns > rush->now_ns ? next_ns - rush->now_ns : 0;
}

static void
move(struct rush *rush)
{
    rush->now_ns = clock_now_ns();
    usher_group_wait(rush->group, wait_of(rush));
    rush->now_ns = clock_now_ns();
}

static bool
loop(struct rush *rush)
{
    struct bench *bench = rush->sitting.bench;
    uint64_t told_ns = rush->begin_ns, moved_ns = rush->begin_ns;
    uint32_t gone = 0;

    while (rush->gone < rush->buyer_count && rush->trouble[0] == 0) {
        act(rush);
        move(rush);
        if (rush->now_ns - told_ns >= NS_OF_S) {
            told_ns = rush->now_ns;
            progress_tell(bench, (double)(rush->now_ns - rush->begin_ns) / 1e9, rush->gone);
        }
        if (rush->gone != gone)
            moved_ns = rush->now_ns;
        gone = rush->gone;
        if (rush->now_ns - moved_ns > STALLED_NS)
            snprintf(rush->trouble, sizeof rush->trouble, "nobody got further for a minute: %u of %u buyers are done",
                     rush->gone, rush->buyer_count);
    }
    progress_end();
    if (rush->trouble[0] == 0)
        return true;
    bench->wrong = bench->wrong || strncmp(rush->trouble, "WRONG", 5) == 0;
    snprintf(bench->why, sizeof bench->why, "%s", rush->trouble);
    return false;
}

/* --- the house ---------------------------------------------------------------------------------------- */
/* Of the queue in front of the sale, in the order in which they fit one another. */
static bool
set_policies(struct rush *rush)
{
    const struct {
        bool of_queue;
        const char *name;
        uint64_t value;
    } rows[] = {{false, "poll_ms_max", 2000},
                {false, "poll_ms_min", 100},
                {false, "seats_per_user", 4},
                {true, "admit_interval_ms", 200},
                {true, "admit_batch", rush->options->admit},
                {true, "waiting_lease_ms", 20000},
                {true, "claim_ms", 30000}};
    struct bench *bench = rush->sitting.bench;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!house_set_policy(&rush->sitting.house, rows[i].of_queue, USHER_TARGET_OPEN, rows[i].name, rows[i].value,
                              bench->why, sizeof bench->why))
            return false;
    return true;
}

static bool
take_room(struct rush *rush, struct bench *bench)
{
    const struct options *options = &bench->options;

    rush->buyer_count = (uint32_t)options->buyers;
    rush->lane_count = options->connections.value[0];
    rush->lane = calloc(rush->lane_count, sizeof *rush->lane);
    rush->buyer = calloc(rush->buyer_count, sizeof *rush->buyer);
    rush->heap = calloc(rush->buyer_count, sizeof(struct buyer *));
    rush->figures = calloc(STEP_COUNT, sizeof *rush->figures);
    if (rush->lane == NULL || rush->buyer == NULL || rush->heap == NULL || rush->figures == NULL)
        abort();
    if (usher_group_open(NULL, &rush->group) != USHER_STATUS_ANSWERED) {
        snprintf(bench->why, sizeof bench->why, "there are no descriptors for a group of handles: raise ulimit -n");
        return false;
    }
    for (unsigned step = 0; step < STEP_COUNT; step++) {
        histogram_clear(&rush->figures[step].intended);
        histogram_clear(&rush->figures[step].sent);
        histogram_clear(&rush->figures[step].lag);
    }
    dice_seed(&rush->dice, options->seed);
    for (uint32_t i = 0; i < rush->lane_count; i++)
        if (!open_lane(rush, &rush->lane[i]))
            return false;
    return true;
}

static void
give_room(struct rush *rush)
{
    rush->storming = true; /* what the handles still call back for changes nothing */
    for (uint32_t i = 0; rush->lane != NULL && i < rush->lane_count; i++)
        usher_async_close(rush->lane[i].async);
    usher_group_close(rush->group);
    for (uint32_t i = 0; i < rush->arrived; i++)
        free(rush->buyer[i].token);
    free(rush->lane);
    free(rush->buyer);
    free(rush->heap);
    free(rush->figures);
}

/* --- what came of it ---------------------------------------------------------------------------------- */
static const char *const fate_names[FATE_COUNT] = {
    [FATE_UNDECIDED] = "undecided", [FATE_BOUGHT] = "bought",   [FATE_TURNED_AWAY] = "turned_away",
    [FATE_WENT] = "left",           [FATE_NOTHING] = "nothing", [FATE_LAPSED] = "lapsed",
    [FATE_LOST] = "lost"};

/* The generator is one for all steps; a rare step alone could not say how late it was. */
static void
share_lag(struct rush *rush)
{
    struct histogram all;

    histogram_clear(&all);
    for (unsigned step = 0; step < STEP_COUNT; step++)
        histogram_merge(&all, &rush->figures[step].lag);
    for (unsigned step = 0; step < STEP_COUNT; step++)
        rush->figures[step].lag = all;
}

static void
report(struct rush *rush, double rate, double seconds)
{
    struct bench *bench = rush->sitting.bench;
    FILE *out = bench_out(bench);
    struct drive_plan plan = {.rate = rate,
                              .connections = rush->lane_count,
                              .depth = IN_FLIGHT,
                              .schedule = bench->options.fixed ? SCHEDULE_FIXED : SCHEDULE_POISSON};
    json_t *fates = json_object();

    report_heading(out);
    share_lag(rush);
    for (unsigned step = 0; step < STEP_COUNT; step++) {
        struct drive_figures *figures = &rush->figures[step];
        struct measured measured;
        if (figures->asked == 0)
            continue;
        figures->seconds = seconds;
        figures->per_second = (double)figures->answered / seconds;
        measured_begin(&measured, "rush", step_names[step], &plan, &rush->sitting);
        measured_add(&measured, bench, figures, house_cpu_s(&rush->sitting.house),
                     house_memory_bytes(&rush->sitting.house));
        measured_end(&measured, bench);
    }
    for (unsigned fate = FATE_BOUGHT; fate < FATE_COUNT; fate++)
        json_object_set_new(fates, fate_names[fate], json_integer((json_int_t)rush->fate[fate]));
    fprintf(out,
            "\n%u buyers in %.1f s: %llu bought %llu seats, %llu turned away, %llu left, %llu found nothing, %llu lapsed, "
            "%llu lost; %llu commands repeated, %llu sent again after the storm\n",
            rush->buyer_count, seconds, (unsigned long long)rush->fate[FATE_BOUGHT],
            (unsigned long long)rush->seats_bought, (unsigned long long)rush->fate[FATE_TURNED_AWAY],
            (unsigned long long)rush->fate[FATE_WENT], (unsigned long long)rush->fate[FATE_NOTHING],
            (unsigned long long)rush->fate[FATE_LAPSED], (unsigned long long)rush->fate[FATE_LOST],
            (unsigned long long)rush->repeated, (unsigned long long)rush->resent);
    json_object_set_new(bench->report, "rush",
                        json_pack("{s:i, s:f, s:I, s:I, s:I, s:I, s:o}", "buyers", (int)rush->buyer_count, "seconds",
                                  seconds, "seats_bought", (json_int_t)rush->seats_bought, "admitted",
                                  (json_int_t)rush->admitted, "repeated", (json_int_t)rush->repeated, "sent_again",
                                  (json_int_t)rush->resent, "fates", fates));
}

static bool
play(struct rush *rush, struct bench *bench)
{
    const struct options *options = &bench->options;
    double rate = options->rate != 0 ? (double)options->rate : (double)options->buyers / COME_WITHIN_S;
    double seconds;

    schedule_begin(&rush->schedule, options->fixed ? SCHEDULE_FIXED : SCHEDULE_POISSON, rate, options->seed);
    rush->begin_ns = rush->now_ns = clock_now_ns();
    rush->next_arrival_ns = rush->begin_ns + schedule_next_ns(&rush->schedule);
    rush->storm_ns = UINT64_MAX;
    if (!options->no_storm)
        rush->storm_ns = rush->begin_ns + (uint64_t)((double)options->buyers / rate * 0.6e9);
    if (!loop(rush))
        return false;
    seconds = (double)(rush->now_ns - rush->begin_ns) / 1e9;
    report(rush, rate, seconds);
    return true;
}

bool
play_rush(struct bench *bench, const char *const *scenario, size_t count)
{
    struct rush *rush = calloc(1, sizeof *rush);
    struct target_sizes sizes = sizes_of(&bench->options);
    bool good;

    (void)scenario;
    (void)count;
    if (rush == NULL)
        abort();
    rush->options = &bench->options;
    if (bench->options.dates == 0)
        sizes.dates = DATES_USUAL;
    sizes.users = sizes.waiting = 0;
    good = sitting_open(&rush->sitting, bench, &sizes, bench->options.connections.value[0] * 2, false);
    if (good) {
        good = target_usher_furnish(&rush->sitting.house, &sizes, bench->why, sizeof bench->why) &&
               set_policies(rush) && take_room(rush, bench) && play(rush, bench);
        if (rush->trouble[0] != 0 && bench->why[0] == 0)
            snprintf(bench->why, sizeof bench->why, "%s", rush->trouble);
        give_room(rush);
        good = sitting_close(&rush->sitting) && good;
    }
    free(rush);
    return good;
}
