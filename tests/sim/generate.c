/* generate.c: time, batches and repeats; see generate.h. */
#include <stdio.h>

#include "tests/sim/generate_inside.h"

#define HOUR_MS    3600000.0
#define DAY_MS     UINT64_C(86400000)
#define WAKES_MOST 40u

/* --- dice (splitmix64) ---------------------------------------------------------------------------------- */
static uint64_t
next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t
draw(struct generator *generator, uint64_t below)
{
    return below == 0 ? 0 : next_random(&generator->random) % below;
}

bool
chance(struct generator *generator, unsigned in_thousand)
{
    return draw(generator, 1000) < in_thousand;
}

uint64_t
draw_wide(struct generator *generator, uint64_t least, uint64_t most)
{
    uint64_t span = most - least + 1;
    unsigned bits = 0;

    while (bits < 63 && span >> bits > 1)
        bits++;
    uint64_t below = UINT64_C(1) << draw(generator, bits + 1);
    return least + draw(generator, below < span ? below : span);
}

void
act_one_of(struct generator *generator, const struct weighted *table, size_t count)
{
    unsigned all = 0;

    for (size_t i = 0; i < count; i++)
        all += table[i].weight;
    uint64_t number = draw(generator, all);
    for (size_t i = 0; i < count; i++) {
        if (number < table[i].weight) {
            table[i].act(generator);
            return;
        }
        number -= table[i].weight;
    }
}

/* --- profiles ------------------------------------------------------------------------------------------- */
struct profile
profile_of(uint64_t seed, uint64_t commands, uint32_t users, double hours)
{
    /* Small houses are looked into after every batch, crowds now and then. */
    static const struct profile kinds[] = {
        {.users = 12,
         .hours = 3,
         .audit_every = 1,
         .queues = 2,
         .concerts = 2,
         .dates = 2,
         .seats = 12,
         .batch_most = 4},
        {.users = 100,
         .hours = 6,
         .audit_every = 2,
         .queues = 3,
         .concerts = 3,
         .dates = 2,
         .seats = 40,
         .batch_most = 16},
        {.users = 800,
         .hours = 12,
         .audit_every = 16,
         .queues = 4,
         .concerts = 4,
         .dates = 3,
         .seats = 150,
         .batch_most = 64},
        {.users = 5000,
         .hours = 8,
         .audit_every = 64,
         .queues = 5,
         .concerts = 6,
         .dates = 4,
         .seats = 600,
         .batch_most = 256},
        {.users = 200,
         .hours = 8,
         .audit_every = 8,
         .queues = 3,
         .concerts = 3,
         .dates = 2,
         .seats = 60,
         .batch_most = 32,
         .on_disk = true},
    };
    struct profile profile = kinds[seed % (sizeof kinds / sizeof *kinds)];

    profile.seed = seed;
    profile.commands = commands;
    if (users != 0)
        profile.users = users;
    if (hours > 0)
        profile.hours = hours;
    return profile;
}

/* --- the tape ------------------------------------------------------------------------------------------- */
struct step
fresh_step(struct generator *generator)
{
    return (struct step){
        .at_ms = generator->at_ms, .batch = generator->batch, .kind = STEP_ASK, .id = ++generator->last_id};
}

void
say_with(struct generator *generator, struct step *step, uint16_t opcode, const void *body,
         const struct reference *reservation, uint16_t count, const struct reference *payment)
{
    if (!step_ask(generator->tape, step, opcode, body, reservation, count, payment) ||
        !tape_add(generator->tape, step)) {
        generator->full = true;
        return;
    }
    if (usher_message_of(opcode)->kind == USHER_MESSAGE_COMMAND)
        generator->past[generator->past_count++ % PAST_MOST] = generator->tape->step_count - 1;
}

void
say(struct generator *generator, struct step *step, uint16_t opcode, const void *body)
{
    say_with(generator, step, opcode, body, NULL, 0, NULL);
}

/* Under this step's id comes what the same asker asked under another one. */
static void
use_id_for_another(struct generator *generator, struct step *step, uint32_t kept)
{
    for (uint32_t back = 0; back < kept; back++) {
        const struct step *other =
            &generator->tape->steps[generator->past[(generator->past_count - 1 - back) % PAST_MOST]];
        if (other->actor == step->actor && other->person == step->person && other->user == step->user &&
            other->id != step->id) {
            uint32_t id = step->id;
            *step = *other;
            step->id = id;
            return;
        }
    }
}

/* A reply was lost and the client asks again; or the network brings a command twice, perhaps much later; or a broken
 * client uses an id for something else. */
static void
repeat(struct generator *generator)
{
    uint32_t kept = generator->past_count < PAST_MOST ? generator->past_count : PAST_MOST;

    if (kept == 0)
        return;
    uint64_t back = chance(generator, 500) ? draw(generator, kept < 8 ? kept : 8) : draw(generator, kept);
    struct step step = generator->tape->steps[generator->past[(generator->past_count - 1 - back) % PAST_MOST]];
    if (chance(generator, 150))
        use_id_for_another(generator, &step, kept);
    step.at_ms = generator->at_ms;
    step.batch = generator->batch;
    if (step.token != TOKEN_NONE && step.token != TOKEN_ODD && chance(generator, 200))
        step.token = TOKEN_LATEST; /* a retry may carry a newer token */
    if (!tape_add(generator->tape, &step))
        generator->full = true;
}

/* --- batches -------------------------------------------------------------------------------------------- */
bool
play_new(struct generator *generator)
{
    static uint32_t numbers[WORLD_STEPS_MOST];
    uint32_t from = generator->played, count = generator->tape->step_count - from;

    generator->played = generator->tape->step_count;

    if (count == 0)
        return true;
    if (count > WORLD_STEPS_MOST)
        count = WORLD_STEPS_MOST;
    for (uint32_t i = 0; i < count; i++)
        numbers[i] = from + i;
    return world_play(generator->world, numbers, count);
}

static bool
play_single(struct generator *generator, enum step_kind kind, uint64_t at_ms, uint32_t amount)
{
    struct step step = {.kind = (uint8_t)kind, .at_ms = at_ms, .batch = ++generator->batch, .amount = amount};

    if (!tape_add(generator->tape, &step))
        generator->full = true;
    return play_new(generator);
}

static bool
play_commands(struct generator *generator)
{
    static const struct weighted turns[] = {
        {780, person_commands}, {70, desk_commands}, {45, admin_commands}, {105, repeat}};
    uint32_t from = generator->tape->step_count;
    uint64_t size = chance(generator, 400) ? 1 : 1 + draw_wide(generator, 0, generator->profile->batch_most - 1);

    generator->batch++;
    while (generator->tape->step_count - from < size && !generator->full) {
        uint32_t before = generator->tape->step_count;
        act_one_of(generator, turns, sizeof turns / sizeof *turns);
        if (generator->tape->step_count == before)
            size--; /* nothing came to mind */
    }
    return play_new(generator);
}

static bool
play_query(struct generator *generator)
{
    static const struct weighted turns[] = {{850, person_asks}, {150, admin_asks}};
    generator->batch++;
    act_one_of(generator, turns, sizeof turns / sizeof *turns);
    return play_new(generator);
}

/* --- aiming at deadlines: where < and <= differ --------------------------------------------------------- */
static uint32_t
person_of_user(struct generator *generator, uint32_t user)
{
    for (uint32_t person = 1; person <= generator->profile->users; person++)
        if (user_of_person(generator, person) == user)
            return person;
    return 0;
}

static uint64_t
end_of_a_hold(struct generator *generator)
{
    struct model *model = generator->model;

    if (model->live.count == 0)
        return 0;
    uint64_t id = model->live.at[draw(generator, model->live.count)];
    const struct m_hold *hold = &model->hold.at[id];
    generator->focus_date = &model->date.at[hold->date];
    generator->focus_seat = hold->seat_no;
    generator->focus_hold = id;
    return m_moment(m_queue_of(model, generator->focus_date), hold->due);
}

static uint64_t
end_of_a_place(struct generator *generator)
{
    struct m_queue *queue = &generator->model->queue.at[draw(generator, generator->model->queue.count)];
    uint64_t recent = queue->place.count < 64 ? queue->place.count : 64;

    if (recent == 0)
        return 0;
    const struct m_place *place = &queue->place.at[queue->place.count - 1 - draw(generator, recent)];
    if (place->state == FORGOTTEN)
        return 0;
    generator->focus_person = person_of_user(generator, place->user);
    const uint64_t moments[] = {m_moment(queue, place->due), m_moment(queue, m_place_due(place)), place->ends_ms,
                                m_moment(queue, place->since + queue->policy[QUEUE_active_total_ms])};
    return moments[draw(generator, sizeof moments / sizeof *moments)];
}

/* A date's window, its show, or the end of refunds for one who has paid. */
/* The end of refunds of a payment, of the latest one for which it comes within a minute. */
static uint64_t
end_of_refunds(struct generator *generator)
{
    struct model *model = generator->model;

    for (size_t i = model->payment.count - 1; i > 0 && i + 400 > model->payment.count; i--) {
        const struct m_payment *payment = &model->payment.at[i];
        const struct m_date *date = &model->date.at[model->hold.at[payment->reservation[0]].date];
        uint64_t moment = date->refund_until_ms < date->starts_ms ? date->starts_ms - date->refund_until_ms : 0;
        if (moment <= generator->at_ms || moment - generator->at_ms > 60000 || payment->refunded[0] ||
            chance(generator, 300))
            continue;
        generator->focus_person = person_of_user(generator, payment->user);
        generator->focus_refund = true;
        generator->focus_date = date;
        return moment;
    }
    return 0;
}

static uint64_t
moment_of_a_date(struct generator *generator)
{
    struct model *model = generator->model;
    const struct m_date *date = some_date(generator);
    uint64_t moments[4], count = 0;

    if (model->payment.count > 1 && chance(generator, 600)) {
        uint64_t moment = end_of_refunds(generator);
        if (moment != 0)
            return moment;
    }
    if (date == NULL)
        return 0;
    generator->focus_date = date;
    generator->focus_seat = 1 + (uint32_t)draw(generator, date->seat_count);
    const uint64_t all[] = {date->starts_ms, date->opens_ms, date->closes_ms};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] > generator->at_ms)
            moments[count++] = all[i];
    return count == 0 ? 0 : moments[draw(generator, count)];
}

static uint64_t
moment_of_a_queue(struct generator *generator)
{
    const struct m_queue *queue = &generator->model->queue.at[draw(generator, generator->model->queue.count)];

    if (chance(generator, 300))
        return queue->policy[QUEUE_opens_at_ms];
    return queue->interval_ms + queue->policy[QUEUE_admit_interval_ms];
}

static void
aim(struct generator *generator, uint64_t horizon_ms)
{
    static const struct {
        unsigned weight;
        uint64_t (*moment)(struct generator *generator);
    } targets[] = {{50, end_of_a_hold}, {25, end_of_a_place}, {20, moment_of_a_date}, {5, moment_of_a_queue}};
    uint64_t number = draw(generator, 100);
    size_t i = 0;

    while (number >= targets[i].weight)
        number -= targets[i++].weight;
    uint64_t moment = targets[i].moment(generator) + draw(generator, 3) - 1;
    if (moment > generator->at_ms && moment - generator->at_ms < horizon_ms)
        generator->at_ms = moment;
}

/* --- time ----------------------------------------------------------------------------------------------- */
static void
let_time_pass(struct generator *generator, double mean_ms)
{
    uint64_t mean = mean_ms < 1 ? 1 : (uint64_t)mean_ms;

    generator->focus_person = 0;
    generator->focus_date = NULL;
    generator->focus_hold = 0;
    generator->focus_refund = false;
    if (chance(generator, 450))
        generator->at_ms += chance(generator, 400) ? 0 : draw(generator, 20);
    else if (chance(generator, 300))
        aim(generator, mean * 30);
    else
        generator->at_ms += draw(generator, mean * 4);
    if (chance(generator, 3))
        generator->at_ms += draw(generator, mean * 200); /* a leap */
    if (generator->profile->hours >= 12 && chance(generator, 1) && chance(generator, 200))
        generator->at_ms += draw(generator, 3 * DAY_MS);
    if (chance(generator, 2)) /* set back: the stamps stand still until it has caught up */
        generator->at_ms -= draw(generator, 2000);
    if (generator->at_ms <= SIM_BASE_MS)
        generator->at_ms = SIM_BASE_MS + 1;
}

/* The server wakes at each moment when something is due, mostly. */
static bool
wake_until_now(struct generator *generator)
{
    bool sleeps = chance(generator, 250);

    for (uint32_t i = 0; i < WAKES_MOST && !sleeps && !generator->full; i++) {
        uint64_t due = model_next_due_ms(generator->model, world_now_ms(generator->world));
        if (due > generator->at_ms)
            return true;
        if (due < world_now_ms(generator->world))
            due = world_now_ms(generator->world);
        if (!play_single(generator, STEP_WAKE, due, 0))
            return false;
    }
    return true;
}

/* It goes down at the very moment when something ends, perhaps before all of that is swept up. */
static bool
wake_at_an_end(struct generator *generator)
{
    uint64_t due = model_next_due_ms(generator->model, world_now_ms(generator->world));

    if (due <= generator->at_ms || due - generator->at_ms > 600000)
        return true;
    generator->at_ms = due;
    return play_single(generator, STEP_WAKE, due, 0);
}

static bool
trouble(struct generator *generator)
{
    unsigned restarts = generator->profile->on_disk ? 12 : 4;

    if (chance(generator, restarts)) {
        bool drop = generator->profile->on_disk && chance(generator, 500);
        if (chance(generator, 300) && !wake_at_an_end(generator))
            return false;
        if (chance(generator, 300)) /* it is down for a while */
            generator->at_ms += draw_wide(generator, 1, 200000);
        if (!play_single(generator, drop ? STEP_DROP : STEP_RESTART, generator->at_ms, 0))
            return false;
    }
    if (chance(generator, 60) &&
        !play_single(generator, STEP_CONSUME, generator->at_ms, (uint32_t)draw_wide(generator, 1, 1000)))
        return false;
    return !generator->profile->on_disk || !chance(generator, 80) ||
           play_single(generator, STEP_IDLE, generator->at_ms, 1 + (uint32_t)draw(generator, 4));
}

bool
generate(struct world *world, const struct profile *profile)
{
    struct generator generator = {.world = world,
                                  .tape = world->tape,
                                  .model = world->model,
                                  .profile = profile,
                                  .random = profile->seed * UINT64_C(0x2545f4914f6cdd1d) + 1,
                                  .at_ms = SIM_BASE_MS + 1};
    double length_ms = profile->hours * HOUR_MS, mean_ms = length_ms * 4 / (double)profile->commands;

    if (!house_begins(&generator))
        return false;
    while (world->tape->counts.commands < profile->commands && !generator.full) {
        /* On the whole the clock keeps to the profile's hours: ahead of them, it dawdles. */
        double due_ms = length_ms * (double)world->tape->counts.commands / (double)profile->commands;
        bool is_ahead = (double)(generator.at_ms - SIM_BASE_MS) > due_ms;
        let_time_pass(&generator, is_ahead ? mean_ms / 10 : mean_ms);
        if (!wake_until_now(&generator) || !trouble(&generator))
            return false;
        if (chance(&generator, 550) ? !play_query(&generator) : !play_commands(&generator))
            return false;
    }
    return world_end(world);
}
