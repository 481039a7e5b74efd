/* generate_house.c: what the organiser does: the catalogue, policies under load, modes, blocks, clients; and what is
 * read of the house. */
#include <stdio.h>

#include "tests/sim/generate_inside.h"

#define DAY_MS UINT64_C(86400000)

static const uint32_t queue_ids[] = {0, 2, 7, 1000, 4000000000u};

static struct step
admin_step(struct generator *generator)
{
    struct step step = fresh_step(generator);

    step.actor = ACTOR_ADMIN;
    return step;
}

const struct m_date *
some_date(struct generator *generator)
{
    struct model *model = generator->model;

    return model->date.count == 0 ? NULL : &model->date.at[draw(generator, model->date.count)];
}

/* --- the catalogue -------------------------------------------------------------------------------------- */
static void
put_queue(struct generator *generator, uint32_t queue_id)
{
    struct step step = admin_step(generator);
    usher_put_queue_request body = {.queue_id = queue_id};

    if (!chance(generator, 20))
        snprintf(body.name, sizeof body.name, "queue %u", (unsigned)draw(generator, 100));
    say(generator, &step, USHER_OPCODE_PUT_QUEUE, &body);
}

static void
put_plan(struct generator *generator, uint32_t plan_id, uint32_t seats)
{
    struct step step = admin_step(generator);
    usher_put_plan_request body = {.plan_id = plan_id, .section_count = (uint16_t)(1 + draw(generator, 3))};

    for (uint16_t i = 0; i < body.section_count; i++) {
        uint32_t own = seats / body.section_count, length = 1 + (uint32_t)draw(generator, own < 20 ? own + 1 : 20);
        usher_section *section = &body.section[i];
        snprintf(section->name, sizeof section->name, "S%u", i + 1u);
        section->first_row = 1;
        section->seats_per_row = (uint16_t)length;
        section->row_count = (uint16_t)(own / length == 0 ? 1 : own / length);
        section->grade = (uint8_t)draw(generator, 3);
    }
    if (chance(generator, 30))
        body.section[0].grade = (uint8_t)(3 + draw(generator, 6)); /* no price, or no grade */
    if (chance(generator, 10)) {                                   /* no row, or too many seats */
        body.section[0].row_count = chance(generator, 500) ? 0 : 65000;
        body.section[0].seats_per_row++;
    }
    say(generator, &step, USHER_OPCODE_PUT_PLAN, &body);
}

static void
put_concert(struct generator *generator, uint32_t concert_id)
{
    struct step step = admin_step(generator);
    const struct m_concert *there = m_concert_find(generator->model, concert_id);
    const struct m_queue *queue = &generator->model->queue.at[draw(generator, generator->model->queue.count)];
    usher_put_concert_request body = {.concert_id = concert_id, .queue_id = queue->id, .venue = "Hall"};

    if (there != NULL && chance(generator, 800))
        body.queue_id = generator->model->queue.at[there->queue].id;
    snprintf(body.title, sizeof body.title, "Concert %u", (unsigned)draw(generator, 1000));
    if (chance(generator, 10))
        body.title[0] = '\0';
    say(generator, &step, USHER_OPCODE_PUT_CONCERT, &body);
}

static void
put_date(struct generator *generator, uint32_t concert_id, uint32_t date_id, uint32_t plan_id)
{
    struct step step = admin_step(generator);
    uint64_t length = (uint64_t)(generator->profile->hours * 3600000.0), soon = length / 64 + 2;
    usher_put_date_request body = {.concert_id = concert_id, .date_id = date_id, .plan_id = plan_id, .price_count = 3};

    body.starts_at_ms = generator->at_ms + (chance(generator, 150) ? draw(generator, length) : length + DAY_MS);
    if (chance(generator, 250))
        body.opens_at_ms = generator->at_ms + draw_wide(generator, 1, soon);
    if (chance(generator, 80))
        body.closes_at_ms = generator->at_ms + draw_wide(generator, 1, length + 1);
    body.refund_until_ms = chance(generator, 500) ? draw_wide(generator, 0, length + 2 * DAY_MS) : DAY_MS / 2;
    if (chance(generator, 250)) /* refunds end while people who have paid are still there */
        body.refund_until_ms =
            body.starts_at_ms - generator->at_ms - draw(generator, body.starts_at_ms - generator->at_ms);
    if (chance(generator, 20))
        body.refund_until_ms = UINT64_MAX - draw(generator, 2);
    for (uint16_t i = 0; i < body.price_count; i++)
        body.price[i] = chance(generator, 50) ? 0 : 100 * (1 + draw(generator, 50));
    if (chance(generator, 10))
        body.price_count = (uint16_t)draw(generator, 3);
    if (chance(generator, 5))
        body.price[0] = (uint64_t)USHER_POINTS_MAX + draw(generator, 2);
    say(generator, &step, USHER_OPCODE_PUT_DATE, &body);
}

static void
change_catalogue(struct generator *generator)
{
    struct model *model = generator->model;
    const struct m_date *date = some_date(generator);

    if (date == NULL || chance(generator, 60)) {
        put_queue(generator, queue_ids[draw(generator, generator->profile->queues)]);
    } else if (chance(generator, 150)) {
        put_concert(generator, 1 + (uint32_t)draw(generator, generator->profile->concerts + 1));
    } else if (chance(generator, 300)) {
        uint32_t now = model->plan.at[date->plan].seat_count,
                 other = 1 + (uint32_t)draw(generator, generator->profile->seats * 2);
        put_plan(generator, model->plan.at[date->plan].id, chance(generator, 600) ? now : other);
    } else {
        uint32_t plan_id = chance(generator, 950) ? model->plan.at[date->plan].id : 1 + (uint32_t)draw(generator, 4);
        bool fresh = chance(generator, 150) && model->date.count < 40;
        put_date(generator, model->concert.at[date->concert].id, fresh ? date->id + 10 : date->id, plan_id);
    }
}

/* --- policies ------------------------------------------------------------------------------------------- */
/* Between which values a policy makes an eventful house; others are in range but dull. */
static const struct {
    const char *name;
    bool of_queue;
    uint64_t least, most;
} lively[] = {
    {"poll_ms_min", false, 10, 100},        {"poll_ms_max", false, 100, 800},
    {"hold_ms", false, 1000, 300000},       {"hold_grace_ms", false, 0, 60000},
    {"seats_per_request", false, 1, 16},    {"seats_per_user", false, 1, 30},
    {"holds_per_user", false, 1, 16},       {"charge_max", false, 1000, USHER_POINTS_MAX},
    {"request_id_days", false, 1, 3},       {"tick_max", false, 1, 1000},
    {"token_ms_max", false, 60000, DAY_MS}, {"ended_keep_ms", false, 1000, 3600000},
    {"restart_grace_ms", false, 0, 120000}, {"event_days", false, 1, 3},
    {"event_bytes_max", false, 4096, 200000}, {"admit_batch", true, 1, 60},
    {"admit_interval_ms", true, 50, 30000}, {"active_max", true, 0, 60},
    {"claim_ms", true, 0, 120000},          {"waiting_lease_ms", true, 2100, 600000},
    {"active_ms", true, 2000, 600000},      {"active_total_ms", true, 2000, 1800000},
};

static void
set_policy(struct generator *generator, size_t which, uint32_t queue_id)
{
    struct step step = admin_step(generator);
    usher_set_policy_request body = {.of_queue = lively[which].of_queue,
                                     .queue_id = lively[which].of_queue ? queue_id : 0,
                                     .value = draw_wide(generator, lively[which].least, lively[which].most)};

    /* A lease or a limit of a few units makes a house where little happens. */
    if (chance(generator, 600))
        body.value = lively[which].least + draw(generator, lively[which].most - lively[which].least + 1);
    if (strcmp(lively[which].name, "tick_max") == 0 && chance(generator, 500))
        body.value = 1 + draw(generator, 3); /* much is over and not swept up */
    snprintf(body.name, sizeof body.name, "%s", lively[which].name);
    say(generator, &step, USHER_OPCODE_SET_POLICY, &body);
}

static void
set_odd_policy(struct generator *generator)
{
    struct step step = admin_step(generator);
    bool of_queue = chance(generator, 500);
    const struct model_policy *policy = of_queue ? &model_queue_policies[draw(generator, QUEUE_POLICIES)]
                                                 : &model_house_policies[draw(generator, HOUSE_POLICIES)];
    uint64_t values[] = {0, policy->least - 1, policy->most + 1, UINT64_MAX};
    usher_set_policy_request body = {.of_queue = of_queue, .value = values[draw(generator, 4)]};

    body.queue_id = of_queue && chance(generator, 300) ? 55 : 0;
    snprintf(body.name, sizeof body.name, "%s", chance(generator, 100) ? "no_such_policy" : policy->name);
    if (policy->least <= body.value && body.value <= policy->most)
        body.value = policy->usual;
    say(generator, &step, USHER_OPCODE_SET_POLICY, &body);
}

static void
change_policy(struct generator *generator)
{
    const struct m_queue *queue = &generator->model->queue.at[draw(generator, generator->model->queue.count)];

    if (chance(generator, 100)) {
        set_odd_policy(generator);
        return;
    }
    if (chance(generator, 60)) { /* the door opens later, or opened a moment ago */
        struct step step = admin_step(generator);
        usher_set_policy_request body = {.of_queue = 1, .queue_id = queue->id, .name = "opens_at_ms"};
        body.value = chance(generator, 300) ? 0 : generator->at_ms + draw(generator, 60000) - 20000;
        say(generator, &step, USHER_OPCODE_SET_POLICY, &body);
        return;
    }
    set_policy(generator, draw(generator, sizeof lively / sizeof *lively), queue->id);
}

/* --- modes, blocks, clients ----------------------------------------------------------------------------- */
static void
change_mode(struct generator *generator)
{
    struct step step = admin_step(generator);
    const struct m_queue *queue = &generator->model->queue.at[draw(generator, generator->model->queue.count)];
    usher_set_mode_request body = {.queue_id = queue->id, .mode = (uint8_t)draw(generator, 3)};

    for (size_t i = 0; i < generator->model->queue.count; i++) /* nothing stays shut for long */
        if (generator->model->queue.at[i].mode != USHER_QUEUE_OPEN && chance(generator, 850))
            body = (usher_set_mode_request){.queue_id = generator->model->queue.at[i].id, .mode = USHER_QUEUE_OPEN};
    if (chance(generator, 10))
        body.queue_id = 55;
    say(generator, &step, USHER_OPCODE_SET_MODE, &body);
}

static uint16_t
seats_of(struct generator *generator, const struct m_date *date, uint32_t *seat)
{
    uint16_t count = (uint16_t)draw_wide(generator, chance(generator, 20) ? 0 : 1, chance(generator, 50) ? 64 : 5);
    uint32_t first = 1 + (uint32_t)draw(generator, date->seat_count);

    if (generator->focus_date == date && chance(generator, 500))
        first = generator->focus_seat;
    for (uint16_t i = 0; i < count; i++)
        seat[i] = first + i;
    if (count > 1 && chance(generator, 30))
        seat[1] = seat[0];
    return count;
}

static void
change_block(struct generator *generator)
{
    struct step step = admin_step(generator);
    const struct m_date *date = generator->focus_date != NULL ? generator->focus_date : some_date(generator);
    usher_block_request block = {
        .force = chance(generator, 300), .channel = (uint16_t)draw(generator, 3), .reason = "sim"};
    usher_unblock_request unblock = {0};

    if (date == NULL)
        return;
    block.concert_id = unblock.concert_id = generator->model->concert.at[date->concert].id;
    block.date_id = unblock.date_id = date->id;
    if (chance(generator, 10))
        block.date_id = unblock.date_id = 98;
    if (chance(generator, 450)) {
        block.seat_count = seats_of(generator, date, block.seat);
        say(generator, &step, USHER_OPCODE_BLOCK, &block);
        return;
    }
    unblock.seat_count = seats_of(generator, date, unblock.seat);
    for (uint32_t i = 0, tries = 0; i < unblock.seat_count && tries < 40;
         tries++) { /* those that are blocked, mostly */
        uint32_t seat_no = 1 + (uint32_t)draw(generator, date->seat_count);
        if (date->seat.at[seat_no - 1].blocked && !chance(generator, 100)) {
            bool twice = false;
            for (uint32_t k = 0; k < unblock.seat_count; k++)
                twice |= unblock.seat[k] == seat_no;
            if (!twice)
                unblock.seat[i++] = seat_no;
        }
    }
    say(generator, &step, USHER_OPCODE_UNBLOCK, &unblock);
}

static void
change_client(struct generator *generator)
{
    struct step step = admin_step(generator);
    uint32_t clients = (uint32_t)generator->model->client.count;

    if (chance(generator, 350)) {
        usher_invite_request body = {.role = (uint8_t)draw(generator, 5), .channel = (uint16_t)draw(generator, 3)};
        step.code = chance(generator, 900) ? ++generator->last_code : 1;
        snprintf(body.name, sizeof body.name, "%s", chance(generator, 950) ? "client" : "");
        say(generator, &step, USHER_OPCODE_INVITE, &body);
    } else if (chance(generator, 700)) {
        step.actor = ACTOR_NOBODY;
        step.code = 1 + (uint32_t)draw(generator, generator->last_code + 1);
        step.key = chance(generator, 900) ? step.code : 1;
        say(generator, &step, USHER_OPCODE_ENROL, &(usher_enrol_request){0});
    } else {
        usher_revoke_request body = {.client_id = (uint32_t)draw(generator, clients + 1)};
        say(generator, &step, USHER_OPCODE_REVOKE, &body);
    }
}

/* --- consumers of events (X5) --------------------------------------------------------------------------- */
static const char *
some_consumer(struct generator *generator)
{
    static const char *const names[] = {"ledger", "mailer", "audit", "door", ""};

    return names[draw(generator, chance(generator, 20) ? 5 : 4)];
}

static void
put_or_remove_consumer(struct generator *generator, struct step *step)
{
    const struct model *model = generator->model;
    usher_put_consumer_request put = {.after_event_no = draw(generator, 2) == 0 ? 0 : UINT64_MAX};
    usher_remove_consumer_request removal = {0};

    if (chance(generator, 300))
        put.after_event_no = draw(generator, model->event.count + 3);
    snprintf(put.consumer, sizeof put.consumer, "%s", some_consumer(generator));
    memcpy(removal.consumer, put.consumer, sizeof removal.consumer);
    if (chance(generator, 250))
        say(generator, step, USHER_OPCODE_REMOVE_CONSUMER, &removal);
    else
        say(generator, step, USHER_OPCODE_PUT_CONSUMER, &put);
}

/* Consumers come and go, acknowledge a little or all, twice, or too much. */
static void
change_consumer(struct generator *generator)
{
    struct step step = admin_step(generator);
    const struct model *model = generator->model;
    usher_acknowledge_request body = {.event_no = draw(generator, model->event.count + 2)};

    if (chance(generator, 400))
        step.actor = ACTOR_GATE;
    if (chance(generator, 300)) {
        put_or_remove_consumer(generator, &step);
        return;
    }
    if (chance(generator, 300)) {
        say(generator, &step, USHER_OPCODE_HISTORY_TAKEN, &(usher_history_taken_request){model->consumed});
        return;
    }
    if (chance(generator, 500))
        body.event_no = model->event.count;
    snprintf(body.consumer, sizeof body.consumer, "%s", some_consumer(generator));
    say(generator, &step, USHER_OPCODE_ACKNOWLEDGE, &body);
}

/* Where everything is sold nothing happens any more: the house gives seats back, or adds a date. */
static void
make_room(struct generator *generator)
{
    struct model *model = generator->model;
    const struct m_date *date = some_date(generator);
    struct step step = admin_step(generator);

    if (date == NULL || date->sold * 4 < date->seat_count * 3 || model->payment.count < 2)
        return;
    uint64_t payment_id = 1 + draw(generator, model->payment.count - 1);
    const struct m_payment *payment = &model->payment.at[payment_id];
    for (uint32_t person = 1; person <= generator->profile->users; person++)
        if (user_of_person(generator, person) == payment->user)
            step.user = person;
    step.actor = ACTOR_DESK;
    struct reference reference = {.nth = (uint32_t)payment_id};
    const struct world_numbers *known = step.user == 0 ? NULL : &world_person(generator->world, step.user)->payment;
    for (size_t i = 0; known != NULL && i < known->count; i++)
        if (known->at[i].number == payment_id)
            reference = (struct reference){.person = step.user, .step = known->at[i].step, .item = known->at[i].item};
    say_with(generator, &step, USHER_OPCODE_REFUND, &(usher_refund_request){0}, NULL, 0, &reference);
}

void
admin_commands(struct generator *generator)
{
    static const struct weighted turns[] = {{15, change_catalogue}, {20, change_policy}, {20, change_mode},
                                            {20, change_block},     {4, change_client},  {40, make_room},
                                            {12, change_consumer}};

    act_one_of(generator, turns, sizeof turns / sizeof *turns);
}

/* --- the beginning -------------------------------------------------------------------------------------- */
bool
house_begins(struct generator *generator)
{
    const struct profile *profile = generator->profile;

    for (uint32_t i = 1; i < profile->queues; i++) {
        generator->batch++;
        put_queue(generator, queue_ids[i]);
        if (!play_new(generator))
            return false;
    }
    for (size_t which = 0; which < sizeof lively / sizeof *lively; which++)
        for (uint32_t i = 0; i < (lively[which].of_queue ? profile->queues : 1); i++) {
            if (chance(generator, 250))
                continue;
            generator->batch++;
            set_policy(generator, which, queue_ids[i]);
            if (!play_new(generator))
                return false;
        }
    for (uint32_t plan_id = 1; plan_id <= 3; plan_id++) {
        generator->batch++;
        put_plan(generator, plan_id, profile->seats * plan_id / 3 + 1);
        if (!play_new(generator))
            return false;
    }
    for (uint32_t concert_id = 1; concert_id <= profile->concerts; concert_id++) {
        generator->batch++;
        put_concert(generator, concert_id);
        if (!play_new(generator))
            return false;
        for (uint32_t date_id = 1; date_id <= profile->dates; date_id++) {
            generator->batch++;
            put_date(generator, concert_id, date_id, 1 + (uint32_t)draw(generator, 3));
            if (!play_new(generator))
                return false;
        }
    }
    return true;
}

/* --- reading -------------------------------------------------------------------------------------------- */
static void
ask_ledger(struct generator *generator, struct step *step)
{
    usher_ledger_request body = {0};

    if (chance(generator, 700))
        step->user = 1 + (uint32_t)draw(generator, generator->profile->users);
    if (chance(generator, 500))
        body.before_entry_no = draw(generator, generator->model->entry.count + 2);
    say(generator, step, USHER_OPCODE_LEDGER, &body);
}

static void
ask_catalogue(struct generator *generator, struct step *step)
{
    const struct m_date *date = some_date(generator);
    usher_plan_request plan = {.concert_id = 1, .date_id = (uint32_t)draw(generator, 4)};

    if (date != NULL)
        plan.concert_id = generator->model->concert.at[date->concert].id;
    switch (draw(generator, 4)) {
    case 0:
        say(generator, step, USHER_OPCODE_CONCERTS, &(usher_concerts_request){(uint32_t)draw(generator, 3)});
        return;
    case 1:
        say(generator, step, USHER_OPCODE_PLAN, &plan);
        return;
    case 2:
        say(generator, step, USHER_OPCODE_PLANS, &(usher_plans_request){(uint32_t)draw(generator, 5)});
        return;
    default:
        say(generator, step, USHER_OPCODE_CLIENTS, &(usher_clients_request){(uint32_t)draw(generator, 3)});
        return;
    }
}

static void
ask_policies(struct generator *generator, struct step *step)
{
    usher_policies_request body = {.of_queue = chance(generator, 600)};

    body.queue_id = body.of_queue ? queue_ids[draw(generator, sizeof queue_ids / sizeof *queue_ids)] : 0;
    say(generator, step, USHER_OPCODE_POLICIES, &body);
}

static void
ask_events(struct generator *generator, struct step *step)
{
    const struct model *model = generator->model;
    usher_events_request body = {.after_event_no = draw(generator, model->event.count + 3),
                                 .limit = (uint16_t)draw(generator, 20)};

    step->actor = ACTOR_GATE;
    if (chance(generator, 500)) /* near what is kept */
        body.after_event_no = model->events_gone + draw(generator, 4) - (model->events_gone > 0 ? 1 : 0);
    if (chance(generator, 300))
        snprintf(body.consumer, sizeof body.consumer, "%s", some_consumer(generator));
    say(generator, step, USHER_OPCODE_EVENTS, &body);
}

static void
ask_consumers(struct generator *generator, struct step *step)
{
    usher_consumers_request body = {0};

    if (chance(generator, 300))
        snprintf(body.consumer, sizeof body.consumer, "%s", some_consumer(generator));
    say(generator, step, USHER_OPCODE_CONSUMERS, &body);
}

void
admin_asks(struct generator *generator)
{
    struct step step = admin_step(generator);
    switch (draw(generator, 10)) {
    case 0:
    case 1:
        ask_ledger(generator, &step);
        return;
    case 2:
        if (draw(generator, 4) == 0)
            say(generator, &step, USHER_OPCODE_FIGURES, &(usher_figures_request){0});
        else
            say(generator, &step, USHER_OPCODE_INFO, &(usher_info_request){0});
        return;
    case 3:
        ask_events(generator, &step);
        return;
    case 4:
    case 5:
        say(generator, &step, USHER_OPCODE_QUEUES,
            &(usher_queues_request){.first_page = chance(generator, 800),
                                    .after_queue_id = (uint32_t)draw(generator, 9)});
        return;
    case 6:
        ask_policies(generator, &step);
        return;
    case 7:
        say(generator, &step, USHER_OPCODE_PING, &(usher_ping_request){draw(generator, UINT64_MAX)});
        return;
    case 8:
        ask_consumers(generator, &step);
        return;
    default:
        ask_catalogue(generator, &step);
        return;
    }
}
