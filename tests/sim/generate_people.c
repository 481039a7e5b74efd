/* generate_people.c: what people, gateways and terminals do. */
#include "tests/sim/generate_inside.h"

#define BUSY_MINUTES 8
#define LOOK_BACK    24u /* how many of a person's latest reservations are looked at */

/* --- somebody ------------------------------------------------------------------------------------------- */
struct somebody {
    uint32_t person;       /* its number among people */
    uint32_t user;         /* the model's; 0 if it was never seen */
    struct m_queue *queue; /* of the place that it acts in; NULL if it has none */
    uint64_t position;
    uint8_t state;
};

uint32_t
user_of_person(struct generator *generator, uint32_t person)
{
    return m_user_find(generator->model, &world_person(generator->world, person)->uuid);
}

/* People come and go: a few are busy for some minutes each, a window that moves over a third of them; the others do
 * something now and then. */
static uint32_t
busy_person(struct generator *generator)
{
    uint32_t users = generator->profile->users < 300 ? generator->profile->users : generator->profile->users / 3;
    double done = (double)generator->tape->counts.commands / (double)generator->profile->commands;
    double busy = users * BUSY_MINUTES / (generator->profile->hours * 60) + 5;

    return 1 + (uint32_t)((uint64_t)(done * users + (double)draw(generator, (uint64_t)busy)) % users);
}

static uint32_t
some_person(struct generator *generator)
{
    uint32_t users = generator->profile->users;

    if (generator->focus_person != 0 && chance(generator, 700))
        return generator->focus_person;
    if (generator->focus_hold != 0 && chance(generator, 500))
        for (uint32_t person = 1; person <= users; person++)
            if (user_of_person(generator, person) == generator->model->hold.at[generator->focus_hold].user)
                return person;
    return chance(generator, 850) ? busy_person(generator) : 1 + (uint32_t)draw(generator, users);
}

static struct somebody
look_at(struct generator *generator, uint32_t person)
{
    struct model *model = generator->model;
    struct somebody who = {.person = person, .user = user_of_person(generator, person)};

    if (who.user == NOBODY || model->user.at[who.user].place.count == 0)
        return who;
    const struct m_user *user = &model->user.at[who.user];
    struct m_ref ref = user->place.at[draw(generator, user->place.count)];
    who.queue = &model->queue.at[ref.queue];
    who.position = ref.position;
    who.state = m_place_state(model, who.queue, &who.queue->place.at[ref.position - 1]);
    return who;
}

/* A step of this person's with a token: mostly the right one. */
static struct step
step_of(struct generator *generator, const struct somebody *who)
{
    struct step step = fresh_step(generator);
    size_t tokens = world_person(generator->world, who->person)->token.count;

    step.actor = ACTOR_PERSON;
    step.person = step.token_person = who->person;
    step.token = TOKEN_LATEST;
    if (who->queue != NULL && !chance(generator, 30)) {
        step.token = TOKEN_OF_QUEUE;
        step.token_queue = who->queue->id;
    } else if (tokens > 0 && chance(generator, 500)) {
        step.token = TOKEN_OF_STEP;
        step.token_step = world_person(generator->world, who->person)->token.at[draw(generator, tokens)].step;
    }
    if (chance(generator, 4)) { /* a place of somebody else, or of nobody */
        step.token = TOKEN_ODD;
        step.token_queue = generator->model->queue.at[draw(generator, generator->model->queue.count)].id;
        step.token_nth = 1 + (uint32_t)draw(generator, 40);
    }
    return step;
}

/* --- dates and seats ------------------------------------------------------------------------------------ */
static const struct m_date *
date_behind(struct generator *generator, const struct m_queue *queue)
{
    const struct m_date *date = NULL;

    if (generator->focus_date != NULL && chance(generator, 700))
        return generator->focus_date;
    for (unsigned i = 0; i < 12; i++) {
        date = some_date(generator);
        if (date == NULL || queue == NULL || m_queue_of(generator->model, date) == queue)
            break;
    }
    return date;
}

static void
name_date(struct generator *generator, const struct m_date *date, uint32_t *concert_id, uint32_t *date_id)
{
    *concert_id = date == NULL ? 1 : generator->model->concert.at[date->concert].id;
    *date_id = date == NULL ? 1 : date->id;
    if (chance(generator, 8))
        *date_id = 99;
    if (chance(generator, 5))
        *concert_id = 99;
}

static uint32_t
some_seat(struct generator *generator, const struct m_date *date)
{
    uint32_t seat_no = 1;

    if (date == NULL)
        return 1;
    if (generator->focus_date == date && chance(generator, 600))
        return generator->focus_seat;
    for (unsigned i = 0; i < 6; i++) {
        seat_no = 1 + (uint32_t)draw(generator, date->seat_count);
        if (m_seat_looks(generator->model, date, seat_no) == LOOKS_FREE || chance(generator, 120))
            break;
    }
    if (chance(generator, 10))
        seat_no = chance(generator, 500) ? 0 : date->seat_count + 1;
    return seat_no;
}

static uint16_t
some_seats(struct generator *generator, const struct m_date *date, uint32_t *seat, uint16_t most)
{
    uint16_t count = (uint16_t)draw_wide(generator, chance(generator, 10) ? 0 : 1, chance(generator, 50) ? most : 4);

    seat[0] = some_seat(generator, date);
    for (uint16_t i = 1; i < count; i++)
        seat[i] = chance(generator, 600) && seat[i - 1] != 0 ? seat[i - 1] + 1 : some_seat(generator, date);
    return count;
}

/* --- reservations that a person knows ------------------------------------------------------------------- */
static struct reference
reference_to(uint32_t person, const struct world_numbers *known, size_t index)
{
    return (struct reference){.person = person, .step = known->at[index].step, .item = known->at[index].item};
}

static struct reference
some_reservation(struct generator *generator, uint32_t person)
{
    const struct world_numbers *known = &world_person(generator->world, person)->reservation;

    if (known->count == 0 || chance(generator, 15)) { /* another's, or none's */
        person = 1 + (uint32_t)draw(generator, generator->profile->users);
        known = &world_person(generator->world, person)->reservation;
    }
    if (known->count == 0)
        return (struct reference){.nth = (uint32_t)draw(generator, generator->model->hold.count + 3)};
    return reference_to(person, known,
                        known->count - 1 - draw(generator, known->count < LOOK_BACK ? known->count : LOOK_BACK));
}

/* Live holds of this person, in a random order, of one queue or of any. Returns how many. */
static uint16_t
live_holds(struct generator *generator, const struct somebody *who, struct reference *reference, uint16_t most)
{
    const struct world_numbers *known = &world_person(generator->world, who->person)->reservation;
    uint16_t count = 0;

    for (size_t back = 0; back < known->count && back < LOOK_BACK && count < most; back++) {
        const struct m_hold *hold = &generator->model->hold.at[known->at[known->count - 1 - back].number];
        if (hold->how != HOW_LIVE)
            continue;
        if (who->queue != NULL && m_queue_of(generator->model, &generator->model->date.at[hold->date]) != who->queue)
            continue;
        reference[count++] = reference_to(who->person, known, known->count - 1 - back);
    }
    for (uint16_t i = count; i > 1; i--) {
        uint16_t k = (uint16_t)draw(generator, i);
        struct reference swapped = reference[i - 1];
        reference[i - 1] = reference[k];
        reference[k] = swapped;
    }
    return count;
}

static uint16_t
some_reservations(struct generator *generator, const struct somebody *who, struct reference *reference)
{
    uint16_t count = live_holds(generator, who, reference, 16);

    if (count > 1 && chance(generator, 400))
        count = (uint16_t)(1 + draw(generator, count));
    if (count < 16 && (count == 0 ? chance(generator, 900) : chance(generator, 40)))
        reference[count++] = some_reservation(generator, who->person);
    if (count > 0 && count < 16 && chance(generator, 15)) { /* twice */
        reference[count] = reference[draw(generator, count)];
        count++;
    }
    return count;
}

/* --- what a person does --------------------------------------------------------------------------------- */
static void
join(struct generator *generator, const struct somebody *who)
{
    struct step step = step_of(generator, who);
    const struct m_queue *queue = &generator->model->queue.at[draw(generator, generator->model->queue.count)];
    usher_join_request body = {.queue_id = who->queue != NULL && chance(generator, 800) ? who->queue->id : queue->id};

    step.token = TOKEN_NONE;
    if (chance(generator, 5))
        body.queue_id = 77;
    say(generator, &step, USHER_OPCODE_JOIN, &body);
}

static void
leave(struct generator *generator, const struct somebody *who)
{
    struct step step = step_of(generator, who);

    say(generator, &step, USHER_OPCODE_LEAVE, &(usher_leave_request){0});
}

/* A terminal asks for a blocked seat of its channel now and then, if there is one (H8). */
static void
want_own(struct generator *generator, const struct step *step, const struct m_date *date, uint32_t *seat,
         uint16_t count)
{
    if (step->channel == 0 || date == NULL || count == 0 || date->seat.count == 0 || !chance(generator, 600))
        return;
    uint64_t from = draw(generator, date->seat.count);
    for (uint64_t i = 0; i < date->seat.count; i++) {
        uint32_t seat_no = (uint32_t)((from + i) % date->seat.count) + 1;
        const struct m_seat *one = &date->seat.at[seat_no - 1];
        if (one->blocked && one->channel == step->channel) {
            seat[0] = seat_no;
            return;
        }
    }
}

static void
reserve_with(struct generator *generator, struct step *step, const struct somebody *who)
{
    const struct m_date *date = date_behind(generator, who->queue);
    usher_reserve_request body = {0};

    name_date(generator, date, &body.concert_id, &body.date_id);
    body.seat_count = some_seats(generator, date, body.seat, 16);
    want_own(generator, step, date, body.seat, body.seat_count);
    say(generator, step, USHER_OPCODE_RESERVE, &body);
}

static void
best_with(struct generator *generator, struct step *step, const struct somebody *who)
{
    usher_reserve_best_request body = {.count = (uint8_t)draw_wide(generator, chance(generator, 20) ? 0 : 1, 5),
                                       .grade = chance(generator, 700) ? USHER_GRADE_ANY : (uint8_t)draw(generator, 3),
                                       .together = chance(generator, 400)};

    if (chance(generator, 15))
        body.count = (uint8_t)draw(generator, 40);
    name_date(generator, date_behind(generator, who->queue), &body.concert_id, &body.date_id);
    say(generator, step, USHER_OPCODE_RESERVE_BEST, &body);
}

static void
release_with(struct generator *generator, struct step *step, const struct somebody *who)
{
    struct reference reference[17];
    uint16_t count = some_reservations(generator, who, reference);

    say_with(generator, step, USHER_OPCODE_RELEASE, &(usher_release_request){0}, reference, count, NULL);
}

/* What a reference to a person's reservation stands for now; 0 if it is not one. */
static uint64_t
number_of(struct generator *generator, const struct reference *reference)
{
    if (reference->person == 0)
        return 0;
    const struct world_numbers *known = &world_person(generator->world, reference->person)->reservation;
    for (size_t i = known->count; i-- > 0;)
        if (known->at[i].step == reference->step && known->at[i].item == reference->item)
            return known->at[i].number;
    return 0;
}

static void
swap_with(struct generator *generator, struct step *step, const struct somebody *who)
{
    struct reference reference[17];
    const struct m_date *date = date_behind(generator, who->queue);
    usher_swap_request body = {0};
    uint16_t count = some_reservations(generator, who, reference);

    name_date(generator, date, &body.concert_id, &body.date_id);
    body.seat_count = some_seats(generator, date, body.seat, 16);
    want_own(generator, step, date, body.seat, body.seat_count);
    if (count > 0 && body.seat_count > 0 && chance(generator, 250)) { /* one of the old ones again */
        uint64_t old = number_of(generator, &reference[0]);
        if (old != 0)
            body.seat[0] = generator->model->hold.at[old].seat_no;
    }
    say_with(generator, step, USHER_OPCODE_SWAP, &body, reference, count, NULL);
}

static void
charge_with(struct generator *generator, struct step *step)
{
    usher_charge_request body = {.amount = (int64_t)draw_wide(generator, 1, 50000)};

    if (chance(generator, 25)) {
        const int64_t most = (int64_t)generator->model->policy[HOUSE_charge_max];
        const int64_t odd[] = {0, -1, INT64_MIN, INT64_MAX, USHER_POINTS_MAX, most, most, most + 1};
        body.amount = odd[draw(generator, sizeof odd / sizeof *odd)];
    }
    say(generator, step, USHER_OPCODE_CHARGE, &body);
}

/* What these would cost, as far as they are live holds. */
static int64_t
price_of(struct generator *generator, const struct reference *reference, uint16_t count)
{
    int64_t price = 0;

    for (uint16_t i = 0; i < count; i++)
        price += generator->model->hold.at[number_of(generator, &reference[i])].price;
    return price;
}

static void
pay_with(struct generator *generator, struct step *step, const struct somebody *who)
{
    struct reference reference[17];
    uint16_t count = some_reservations(generator, who, reference);
    int64_t missing = price_of(generator, reference, count) - generator->model->user.at[who->user].balance;

    if (missing > 0 && chance(generator, 700)) {
        struct step charge = *step;
        charge.id = ++generator->last_id;
        if (chance(generator, 300))
            missing += (int64_t)draw(generator, 3) - 1; /* just enough, or just not */
        else
            missing += (int64_t)draw(generator, 5000);
        say(generator, &charge, USHER_OPCODE_CHARGE, &(usher_charge_request){.amount = missing});
    }
    say_with(generator, step, USHER_OPCODE_PAY, &(usher_pay_request){0}, reference, count, NULL);
}

static void
refund_with(struct generator *generator, struct step *step, const struct somebody *who)
{
    const struct world_numbers *known = &world_person(generator->world, who->person)->payment;
    struct reference reference[4], payment = {.nth = (uint32_t)draw(generator, generator->model->payment.count + 2)};
    uint16_t count = 0;

    if (known->count > 0 && !chance(generator, 20)) {
        size_t which = draw(generator, known->count);
        payment = reference_to(who->person, known, which);
        const struct m_payment *paid = &generator->model->payment.at[known->at[which].number];
        const struct world_numbers *holds = &world_person(generator->world, who->person)->reservation;
        if (chance(generator, 400))
            for (uint32_t i = 0; i < holds->count && count < 3; i++)
                if (holds->at[i].number == paid->reservation[draw(generator, paid->seat_count)])
                    reference[count++] = reference_to(who->person, holds, i);
    }
    if (chance(generator, 20))
        reference[count++] = some_reservation(generator, who->person);
    say_with(generator, step, USHER_OPCODE_REFUND, &(usher_refund_request){0}, reference, count, &payment);
}

static void
do_reserve(struct generator *generator, const struct somebody *who)
{
    struct step step = step_of(generator, who);
    reserve_with(generator, &step, who);
}

static void
do_best(struct generator *generator, const struct somebody *who)
{
    struct step step = step_of(generator, who);
    best_with(generator, &step, who);
}

static void
do_release(struct generator *generator, const struct somebody *who)
{
    struct step step = step_of(generator, who);
    release_with(generator, &step, who);
}

static void
do_swap(struct generator *generator, const struct somebody *who)
{
    struct step step = step_of(generator, who);
    swap_with(generator, &step, who);
}

static void
do_charge(struct generator *generator, const struct somebody *who)
{
    struct step step = step_of(generator, who);
    if (chance(generator, 200)) { /* a gateway may charge without a token */
        step.token = TOKEN_NONE;
        step.user = who->person;
    }
    charge_with(generator, &step);
}

static void
do_pay(struct generator *generator, const struct somebody *who)
{
    struct step step = step_of(generator, who);
    pay_with(generator, &step, who);
}

static void
do_refund(struct generator *generator, const struct somebody *who)
{
    struct step step = step_of(generator, who);
    refund_with(generator, &step, who);
}

/* What a waiter's query would leave, come late or twice. */
static void
do_touch(struct generator *generator, const struct somebody *who)
{
    struct step step = fresh_step(generator);
    usher_touch_request body = {.queue_id = who->queue != NULL ? who->queue->id : 0,
                                .position = who->position,
                                .renew = chance(generator, 500),
                                .claim = chance(generator, 500)};

    step.actor = ACTOR_NOBODY;
    say(generator, &step, USHER_OPCODE_TOUCH, &body);
}

struct doing {
    unsigned weight;
    void (*act)(struct generator *generator, const struct somebody *who);
};

static void
do_one_of(struct generator *generator, const struct somebody *who, const struct doing *table, size_t count)
{
    unsigned all = 0;

    for (size_t i = 0; i < count; i++)
        all += table[i].weight;
    uint64_t number = draw(generator, all);
    size_t i = 0;
    while (number >= table[i].weight)
        number -= table[i++].weight;
    table[i].act(generator, who);
}

#define DO_ONE_OF(generator, who, table) do_one_of((generator), (who), (table), sizeof(table) / sizeof *(table))

void
person_commands(struct generator *generator)
{
    static const struct doing outside_[] = {{82, join}, {3, do_reserve}, {2, do_pay},     {3, do_refund},
                                            {2, leave}, {2, do_charge},  {1, do_release}, {1, do_touch}};
    static const struct doing waiting[] = {{40, join},  {12, leave},   {4, do_reserve}, {4, do_charge},
                                           {3, do_pay}, {4, do_touch}, {2, do_refund}};
    static const struct doing active[] = {{25, do_reserve}, {12, do_best}, {6, do_release}, {10, do_swap},
                                          {12, do_charge},  {25, do_pay},  {6, do_refund},  {3, leave},
                                          {5, join},        {2, do_touch}};
    struct somebody who = look_at(generator, some_person(generator));

    if (generator->focus_refund && who.person == generator->focus_person && chance(generator, 700)) {
        do_refund(generator, &who);
        return;
    }
    if (who.queue == NULL)
        DO_ONE_OF(generator, &who, outside_);
    else if (who.state == USHER_PLACE_ACTIVE)
        DO_ONE_OF(generator, &who, active);
    else if (who.state == USHER_PLACE_EXPIRED || chance(generator, 350)) /* waiters mostly poll */
        DO_ONE_OF(generator, &who, waiting);
}

/* --- terminals: without a queue, without a token -------------------------------------------------------- */
void
desk_commands(struct generator *generator)
{
    struct somebody who = look_at(generator, some_person(generator));
    struct step step = fresh_step(generator);

    step.actor = chance(generator, 850) ? ACTOR_DESK : ACTOR_ADMIN;
    step.channel = chance(generator, 500) ? (uint16_t)draw(generator, 3) : 0;
    if (step.actor == ACTOR_ADMIN)
        step.channel = 0;
    if (who.queue != NULL && chance(generator, 150)) { /* the user shows its token at the counter */
        step.token = TOKEN_LATEST;
        step.token_person = who.person;
    } else if (!chance(generator, 10)) {
        step.user = who.person;
        who.queue = NULL;
    }
    switch (draw(generator, 8)) {
    case 0:
    case 1:
        reserve_with(generator, &step, &who);
        return;
    case 2:
        best_with(generator, &step, &who);
        return;
    case 3:
        release_with(generator, &step, &who);
        return;
    case 4:
        swap_with(generator, &step, &who);
        return;
    case 5:
        charge_with(generator, &step);
        return;
    case 6:
        pay_with(generator, &step, &who);
        return;
    default:
        refund_with(generator, &step, &who);
        return;
    }
}

/* --- what people ask ------------------------------------------------------------------------------------ */
static void
ask_dates(struct generator *generator, struct step *step, const struct somebody *who)
{
    uint32_t ignored;
    usher_dates_request body = {.all = chance(generator, 400), .after_date_id = chance(generator, 100)};

    name_date(generator, date_behind(generator, who->queue), &body.concert_id, &ignored);
    say(generator, step, USHER_OPCODE_DATES, &body);
}

static void
ask_seats(struct generator *generator, struct step *step, const struct somebody *who)
{
    usher_seats_request body = {.first_block = chance(generator, 50) ? (uint32_t)draw(generator, 4) : 0};

    name_date(generator, date_behind(generator, who->queue), &body.concert_id, &body.date_id);
    say(generator, step, USHER_OPCODE_SEATS, &body);
}

static void
ask_history(struct generator *generator, struct step *step)
{
    usher_history_request body = {0};

    if (chance(generator, 200))
        body.after_event_no = draw(generator, generator->model->event.count + 2);
    say(generator, step, USHER_OPCODE_HISTORY, &body);
}

static void
ask_receipt(struct generator *generator, struct step *step, const struct somebody *who)
{
    const struct world_numbers *known = &world_person(generator->world, who->person)->payment;
    struct reference payment = {.nth = (uint32_t)draw(generator, generator->model->payment.count + 2)};

    if (known->count > 0 && !chance(generator, 50))
        payment = reference_to(who->person, known, draw(generator, known->count));
    say_with(generator, step, USHER_OPCODE_RECEIPT, &(usher_receipt_request){.alone = chance(generator, 300)}, NULL, 0,
             &payment);
}

/* X3: what became of a command of the last time. */
static void
ask_lookup(struct generator *generator, struct step *step)
{
    uint32_t kept = generator->past_count < PAST_MOST ? generator->past_count : PAST_MOST;

    if (kept == 0)
        return;
    const struct step *past =
        &generator->tape->steps[generator->past[(generator->past_count - 1 - draw(generator, kept)) % PAST_MOST]];
    if (past->actor == ACTOR_PERSON && chance(generator, 800)) {
        step->actor = ACTOR_PERSON;
        step->person = step->token_person = past->person;
        step->token = chance(generator, 600) ? TOKEN_LATEST : TOKEN_NONE;
    }
    step->id = past->id;
    say(generator, step, USHER_OPCODE_LOOKUP, &(usher_lookup_request){0});
}

static void
ask_as(struct generator *generator, struct step *step, const struct somebody *who)
{
    switch (draw(generator, 20)) {
    case 0:
    case 1:
        ask_dates(generator, step, who);
        return;
    case 2:
    case 3:
    case 4:
    case 5:
    case 6:
        ask_seats(generator, step, who);
        return;
    case 7:
    case 8:
        say(generator, step, USHER_OPCODE_HOLDS, &(usher_holds_request){0});
        return;
    case 9:
    case 10:
        say(generator, step, USHER_OPCODE_BALANCE, &(usher_balance_request){0});
        return;
    case 11:
    case 12:
        ask_history(generator, step);
        return;
    case 13:
        ask_receipt(generator, step, who);
        return;
    case 14:
    case 15:
        ask_lookup(generator, step);
        return;
    default:
        if (step->token != TOKEN_NONE)
            say(generator, step, USHER_OPCODE_PLACE, &(usher_place_request){0});
        return;
    }
}

void
person_asks(struct generator *generator)
{
    struct somebody who = look_at(generator, some_person(generator));
    struct step step = step_of(generator, &who);

    if (who.queue != NULL && who.state == USHER_PLACE_WAITING && chance(generator, 900)) {
        say(generator, &step, USHER_OPCODE_PLACE, &(usher_place_request){0});
        return;
    }
    if (chance(generator, 150)) { /* at the counter */
        step.actor = chance(generator, 800) ? ACTOR_DESK : ACTOR_ADMIN;
        step.person = 0;
        step.token = TOKEN_NONE;
        step.user = chance(generator, 30) ? 0 : who.person;
    }
    ask_as(generator, &step, &who);
}
