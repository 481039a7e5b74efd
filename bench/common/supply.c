/* supply.c: see supply.h.
 *
 * Seats are numbered over all dates, k = seat * dates + date, so that neighbours in number are of different dates, and
 * given out by a cursor that passes over those that are taken. Users who reserve take turns: nobody gets a second hold
 * while somebody has none. Holds wait in the order in which they were made until they are released or paid.
 *
 * Who pays has used its token up and stands outside until a stock admits it again; other holds of it are over as well,
 * which its `life` tells: a hold of an earlier life is dropped when its turn comes, its seat free again. */
#include "supply.h"

#include <assert.h>
#include <stdlib.h>

#define HOLDS_EACH_MOST 16u   /* of a user: the policy's upper end */
#define MIX_HOLDS       2000u /* that lie ready when a mix begins */
#define AMOUNT          100   /* of a charge */

struct person {
    uint32_t life;
    uint8_t holds;
    bool admitted;
};

struct held {
    uint64_t reservation;
    uint64_t seat;
    uint32_t user, life;
};

struct supply {
    struct target_sizes sizes;
    struct dice dice;
    struct person *person;
    uint32_t *outside; /* users that have paid, to be admitted again */
    uint32_t outside_count;
    uint64_t *taken; /* a bit for each seat */
    uint64_t seat_count, free_count, seat_cursor;
    uint32_t user_cursor, user_passed, holds_level;
    struct held *held; /* a ring */
    size_t held_room, held_first, held_count;
    uint64_t promised; /* holds that are being made for a stock */
    uint32_t line_next;
    uint32_t drawn_user, drawn_waiter; /* one ahead, and fetched */
};

const struct job_share job_share_mix = {.weight = {
#define BENCH_MIX(JOB, share) [JOB_##JOB] = (share),
#include "bench/common/mix.def"
                                        }};

struct job_share
job_share_of(enum job job)
{
    struct job_share shares = {.weight = {0}};

    shares.weight[job] = 1;
    return shares;
}

static uint64_t
total_of(const struct job_share *shares)
{
    uint64_t total = 0;

    for (unsigned job = 0; job < JOB_COUNT; job++)
        total += shares->weight[job];
    return total;
}

/* Give out the one that was drawn, and draw the next. */
static uint32_t
draw_user(struct supply *supply)
{
    uint32_t user = supply->drawn_user;

    supply->drawn_user = (uint32_t)dice_below(&supply->dice, supply->sizes.users);
    __builtin_prefetch(&supply->person[supply->drawn_user]);
    return user;
}

static uint32_t
draw_waiter(struct supply *supply)
{
    uint32_t waiter = supply->drawn_waiter;

    supply->drawn_waiter = supply->sizes.waiting > 0 ? (uint32_t)dice_below(&supply->dice, supply->sizes.waiting) : 0;
    return waiter;
}

uint32_t
supply_foresee(const struct supply *supply, enum job job)
{
    if (job == JOB_RANK)
        return supply->drawn_waiter;
    if (job == JOB_RESERVE)
        return supply->user_cursor;
    if ((job == JOB_RELEASE || job == JOB_PAY) && supply->held_count > 0)
        return supply->held[supply->held_first].user;
    return supply->drawn_user;
}

static void *
allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (memory == NULL)
        abort();
    return memory;
}

struct supply *
supply_make(const struct target_sizes *sizes, uint64_t seed)
{
    struct supply *supply = allocate(1, sizeof *supply);

    supply->sizes = *sizes;
    dice_seed(&supply->dice, seed);
    supply->person = allocate(sizes->users, sizeof *supply->person);
    supply->outside = allocate(sizes->users, sizeof *supply->outside);
    for (uint32_t user = 0; user < sizes->users; user++)
        supply->person[user].admitted = true;
    supply->seat_count = supply->free_count = (uint64_t)sizes->dates * sizes->seats;
    supply->taken = allocate(supply->seat_count / 64 + 1, sizeof *supply->taken);
    supply->held_room = 1024;
    supply->held = allocate(supply->held_room, sizeof *supply->held);
    supply->line_next = sizes->waiting;
    draw_user(supply);
    draw_waiter(supply);
    return supply;
}

void
supply_free(struct supply *supply)
{
    if (supply == NULL)
        return;
    free(supply->person);
    free(supply->outside);
    free(supply->taken);
    free(supply->held);
    free(supply);
}

/* --- seats and holds ---------------------------------------------------------------------------------- */
static bool
is_taken(const struct supply *supply, uint64_t seat)
{
    return (supply->taken[seat / 64] >> seat % 64 & 1) != 0;
}

static void
set_taken(struct supply *supply, uint64_t seat, bool taken)
{
    if (is_taken(supply, seat) == taken)
        return;
    supply->taken[seat / 64] ^= UINT64_C(1) << seat % 64;
    supply->free_count += taken ? UINT64_C(-1) : 1;
}

static uint64_t
seat_of(const struct supply *supply, const struct task *task)
{
    return (uint64_t)task->seat * supply->sizes.dates + task->date;
}

static bool
take_seat(struct supply *supply, struct task *task)
{
    uint64_t seat = supply->seat_cursor;

    if (supply->free_count == 0)
        return false;
    while (is_taken(supply, seat))
        seat = (seat + 1) % supply->seat_count;
    set_taken(supply, seat, true);
    supply->seat_cursor = (seat + 1) % supply->seat_count;
    task->date = (uint32_t)(seat % supply->sizes.dates);
    task->seat = (uint32_t)(seat / supply->sizes.dates);
    return true;
}

static void
push_hold(struct supply *supply, struct held held)
{
    if (supply->held_count == supply->held_room) {
        struct held *larger = allocate(supply->held_room * 2, sizeof *larger);
        for (size_t i = 0; i < supply->held_count; i++)
            larger[i] = supply->held[(supply->held_first + i) % supply->held_room];
        free(supply->held);
        supply->held = larger;
        supply->held_first = 0;
        supply->held_room *= 2;
    }
    supply->held[(supply->held_first + supply->held_count++) % supply->held_room] = held;
}

/* The oldest hold that is still one. */
static bool
pop_hold(struct supply *supply, struct held *held)
{
    while (supply->held_count > 0) {
        *held = supply->held[supply->held_first];
        supply->held_first = (supply->held_first + 1) % supply->held_room;
        supply->held_count--;
        if (held->life == supply->person[held->user].life)
            return true;
        set_taken(supply, held->seat, false);
    }
    return false;
}

/* --- people ------------------------------------------------------------------------------------------- */
/* Whoever's turn it is to hold another seat. */
static bool
take_holder(struct supply *supply, uint32_t *user)
{
    while (supply->holds_level < HOLDS_EACH_MOST) {
        struct person *person = &supply->person[supply->user_cursor];

        *user = supply->user_cursor;
        supply->user_cursor = (supply->user_cursor + 1) % supply->sizes.users;
        supply->user_passed++;
        if (person->admitted && person->holds <= supply->holds_level) {
            person->holds++;
            supply->user_passed = 0;
            return true;
        }
        if (supply->user_passed >= supply->sizes.users) {
            supply->user_passed = 0;
            supply->holds_level++;
        }
    }
    return false;
}

/* Somebody has less to hold than before. */
static void
less_held(struct supply *supply, uint8_t holds)
{
    if (holds < supply->holds_level)
        supply->holds_level = holds;
    supply->user_passed = 0;
}

static bool
take_admitted(struct supply *supply, uint32_t *user)
{
    uint32_t first = draw_user(supply);

    for (uint32_t i = 0; i < supply->sizes.users; i++) {
        *user = (first + i) % supply->sizes.users;
        if (supply->person[*user].admitted)
            return true;
    }
    return false;
}

/* --- a task of each job ------------------------------------------------------------------------------- */
static bool
take_reserve(struct supply *supply, struct task *task)
{
    if (!take_holder(supply, &task->user))
        return false;
    if (take_seat(supply, task))
        return true;
    less_held(supply, --supply->person[task->user].holds);
    return false;
}

static bool
take_held(struct supply *supply, struct task *task)
{
    struct held held;

    if (!pop_hold(supply, &held))
        return false;
    task->user = held.user;
    task->date = (uint32_t)(held.seat % supply->sizes.dates);
    task->seat = (uint32_t)(held.seat / supply->sizes.dates);
    task->reservation = held.reservation;
    if (task->job == JOB_PAY) {
        supply->person[held.user].admitted = false;
        supply->person[held.user].life++;
    }
    return true;
}

bool
supply_take(struct supply *supply, enum job job, struct task *task)
{
    *task = (struct task){.job = job};
    switch (job) {
    case JOB_JOIN:
        task->line = true;
        task->user = supply->line_next++;
        return true;
    case JOB_RANK:
        task->line = true;
        if (supply->sizes.waiting == 0)
            return false;
        task->user = draw_waiter(supply);
        return true;
    case JOB_RESERVE:
        return take_reserve(supply, task);
    case JOB_RELEASE:
    case JOB_PAY:
        return take_held(supply, task);
    case JOB_CHARGE:
    case JOB_DATES:
    case JOB_SEATS:
    case JOB_BALANCE:
        task->amount = AMOUNT;
        task->date = (uint32_t)dice_below(&supply->dice, supply->sizes.dates);
        return take_admitted(supply, &task->user);
    case JOB_COUNT:
        break;
    }
    return false;
}

bool
supply_take_any(struct supply *supply, const struct job_share *shares, struct task *task)
{
    uint64_t lot = dice_below(&supply->dice, total_of(shares));
    unsigned job = 0;

    while (lot >= shares->weight[job])
        lot -= shares->weight[job++];
    for (unsigned i = 0; i < JOB_COUNT; i++, job = (job + 1) % JOB_COUNT)
        if (shares->weight[job] > 0 && supply_take(supply, (enum job)job, task))
            return true;
    return false;
}

/* --- answers ------------------------------------------------------------------------------------------ */
static void
hold_is_over(struct supply *supply, const struct task *task)
{
    struct person *person = &supply->person[task->user];

    set_taken(supply, seat_of(supply, task), false);
    if (person->holds > 0)
        less_held(supply, --person->holds);
}

void
supply_answered(struct supply *supply, const struct task *task, const struct outcome *outcome)
{
    struct person *person = task->line ? NULL : &supply->person[task->user];
    bool done = outcome->kind == OUTCOME_DONE;

    if (task->job == JOB_RESERVE) {
        supply->promised -= supply->promised > 0;
        if (done)
            push_hold(supply, (struct held){outcome->value, seat_of(supply, task), task->user, person->life});
        else if (person->holds > 0)
            less_held(supply, --person->holds); /* the seat is not tried again */
    } else if (task->job == JOB_RELEASE && done) {
        hold_is_over(supply, task);
    } else if (task->job == JOB_PAY) {
        person->holds = 0; /* paid, or given up with the token */
        supply->outside[supply->outside_count++] = task->user;
    } else if (task->job == JOB_JOIN && !task->line && done) {
        person->admitted = true;
        less_held(supply, person->holds);
    }
}

/* --- stocking ----------------------------------------------------------------------------------------- */
/* How many holds must lie ready, and how many more must find room. */
static void
wishes(const struct supply *supply, const struct job_share *shares, uint64_t count, uint64_t *holds, uint64_t *room)
{
    double each = (double)count / (double)total_of(shares);
    uint64_t made = (uint64_t)(shares->weight[JOB_RESERVE] * each);
    uint64_t spent = (uint64_t)((shares->weight[JOB_RELEASE] + shares->weight[JOB_PAY]) * each);

    *room = made;
    *holds = spent > made ? spent - made : 0;
    if (spent > 0 && made > 0)
        *holds += MIX_HOLDS;
    if (shares->weight[JOB_PAY] > 0 && *holds > supply->sizes.users)
        *holds = supply->sizes.users; /* each can pay once */
}

static uint64_t
hold_room(const struct supply *supply)
{
    uint64_t most = (uint64_t)supply->sizes.users * HOLDS_EACH_MOST;
    uint64_t used = supply->held_count + supply->promised;

    return used >= most ? 0 : most - used < supply->free_count ? most - used : supply->free_count;
}

/* What the next step is. */
static enum job
stock_step(const struct supply *supply, const struct job_share *shares, uint64_t count)
{
    bool sells = shares->weight[JOB_RESERVE] + shares->weight[JOB_RELEASE] + shares->weight[JOB_PAY] > 0;
    /* Who pays gives up what else it holds: whatever was measured before must not be in a payment's figure. */
    bool one_each = shares->weight[JOB_PAY] > 0 && shares->weight[JOB_RESERVE] == 0;
    uint64_t holds, room;

    wishes(supply, shares, count, &holds, &room);
    if (supply->outside_count > 0 && (sells || supply->outside_count > supply->sizes.users / 2))
        return JOB_JOIN;
    if (supply->held_count + supply->promised < holds)
        return JOB_RESERVE;
    if ((one_each || room > hold_room(supply)) && supply->held_count > holds)
        return JOB_RELEASE;
    return JOB_COUNT;
}

bool
supply_stock(struct supply *supply, const struct job_share *shares, uint64_t count, enum job only, struct task *task)
{
    enum job step = stock_step(supply, shares, count);

    if (step == JOB_COUNT || (only != JOB_COUNT && step != only))
        return false;
    if (step == JOB_JOIN) {
        *task = (struct task){.job = JOB_JOIN, .user = supply->outside[--supply->outside_count]};
        return true;
    }
    if (!supply_take(supply, step, task))
        return false;
    supply->promised += step == JOB_RESERVE;
    return true;
}

uint64_t
supply_room(const struct supply *supply, const struct job_share *shares)
{
    uint64_t total = total_of(shares), holds = hold_room(supply) + supply->held_count;
    uint64_t payers = holds < supply->sizes.users ? holds : supply->sizes.users, most = UINT64_MAX;
    const struct {
        enum job job;
        uint64_t room;
    } bounds[] = {{JOB_RESERVE, holds}, {JOB_RELEASE, holds}, {JOB_PAY, payers}};

    for (unsigned i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        uint32_t weight = shares->weight[bounds[i].job];
        if (weight > 0 && bounds[i].room / weight * total < most)
            most = bounds[i].room / weight * total;
    }
    return most;
}
