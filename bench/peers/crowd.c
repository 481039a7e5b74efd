/* crowd.c: see crowd.h. The tasks are put straight to the target, for here all of them want the same. */
#include "bench/peers/crowd.h"

#include <stdio.h>
#include <stdlib.h>

#include "bench/common/clock.h"
#include "bench/common/spread.h"

#define TURNS      15u
#define PATIENCE_S 30u
#define POINTS     10

struct party {
    const struct target_kind *kind;
    void *target;
    uint32_t asked, done, refused, faults;
    uint64_t value; /* of the last that was done */
    uint32_t seats; /* that were wanted so far */
};

static void
take(void *context, const struct outcome *outcome)
{
    struct party *party = context;

    party->done += outcome->kind == OUTCOME_DONE;
    party->refused += outcome->kind == OUTCOME_REFUSED;
    party->faults += outcome->kind == OUTCOME_FAULT;
    if (outcome->kind == OUTCOME_DONE)
        party->value = outcome->value;
}

/* The party of a system, which is prepared once and stays between the rounds. NULL, and why, when it can't be had. */
static struct party *
party_of(struct system *system, char *why)
{
    struct party *party = system->party;

    if (party != NULL)
        return party;
    party = calloc(1, sizeof *party);
    if (party == NULL)
        return NULL;
    system->party = party;
    party->kind = system->row->target;
    party->target = party->kind->open(system->row->where(system), &system->options->sizes, take, party, why, WHY_SIZE);
    if (party->target == NULL || !party->kind->prepare(party->target, why, WHY_SIZE) ||
        !party->kind->connect(party->target, CROWD_USERS, 1, why, WHY_SIZE))
        return NULL;
    return party;
}

void
crowd_leave(struct system *system)
{
    struct party *party = system->party;

    if (party != NULL && party->target != NULL)
        party->kind->close(party->target);
    free(party);
    system->party = NULL;
}

/* One task on each of the first `count` connections at once; how long until all are answered. */
static bool
ask(struct party *party, const struct task *tasks, uint32_t count, uint64_t *took_ns, char *why)
{
    uint64_t begin_ns = clock_now_ns();

    party->done = party->refused = party->faults = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!party->kind->submit(party->target, i, &tasks[i], i)) {
            snprintf(why, WHY_SIZE, "a task is not taken");
            return false;
        }
    }
    while (party->done + party->refused + party->faults < count) {
        if (!party->kind->process(party->target, NS_OF_S / 10, why, WHY_SIZE))
            return false;
        if (clock_now_ns() - begin_ns > PATIENCE_S * NS_OF_S) {
            snprintf(why, WHY_SIZE, "no answer for %u s", PATIENCE_S);
            return false;
        }
    }
    *took_ns = clock_now_ns() - begin_ns;
    return true;
}

bool
crowd_wants_one_seat(struct system *system, const struct experiments_plan *plan, double *value, char *why)
{
    struct party *party = party_of(system, why);
    struct spread took = {.count = 0};
    struct task tasks[CROWD_USERS];
    bool knows_seats = (system->row->uses & SYSTEM_KNOWS) != 0;

    (void)plan;
    for (uint32_t turn = 0; party != NULL && turn < TURNS; turn++) {
        uint32_t seat = party->seats++;
        uint64_t took_ns;
        for (uint32_t i = 0; i < CROWD_USERS; i++)
            tasks[i] = (struct task){
                .job = JOB_RESERVE, .user = i, .date = seat % CROWD_DATES, .seat = seat / CROWD_DATES};
        if (!ask(party, tasks, CROWD_USERS, &took_ns, why))
            return false;
        if (party->faults > 0 || (knows_seats && party->done != 1)) {
            snprintf(why, WHY_SIZE, "%u of %u got the seat, %u got no answer", party->done, CROWD_USERS, party->faults);
            return false;
        }
        spread_add(&took, (double)took_ns / 1e6);
    }
    *value = spread_median(&took);
    return party != NULL;
}

bool
crowd_charges_one_user(struct system *system, const struct experiments_plan *plan, double *value, char *why)
{
    struct party *party = party_of(system, why);
    struct spread took = {.count = 0};
    struct task tasks[CROWD_USERS];
    const struct task look = {.job = JOB_BALANCE};
    bool knows_points = (system->row->uses & SYSTEM_KNOWS) != 0;

    (void)plan;
    for (uint32_t i = 0; i < CROWD_USERS; i++)
        tasks[i] = (struct task){.job = JOB_CHARGE, .amount = POINTS};
    for (uint32_t turn = 0; party != NULL && turn < TURNS; turn++) {
        uint64_t took_ns, looked_ns, before;
        if (!ask(party, &look, 1, &looked_ns, why))
            return false;
        before = party->value;
        if (!ask(party, tasks, CROWD_USERS, &took_ns, why))
            return false;
        uint32_t charged = party->done;
        if (!ask(party, &look, 1, &looked_ns, why))
            return false;
        if (charged != CROWD_USERS || (knows_points && party->value != before + CROWD_USERS * POINTS)) {
            snprintf(why, WHY_SIZE, "%u of %u charges were made, and the balance grew by %llu", charged, CROWD_USERS,
                     (unsigned long long)(party->value - before));
            return false;
        }
        spread_add(&took, (double)took_ns / 1e6);
    }
    *value = spread_median(&took);
    return party != NULL;
}
