/* check.c: the model of a house that grows from its events, and what is held against it. See check.h.
 *
 * A seat is FREE, HELD under a reservation, or SOLD; a place is JOINED, then perhaps admitted. Each record remembers
 * whether somebody was told of it: what nobody was told of is one application too many of some request. */
#include "check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/check/table.h"

struct seat {
    uint64_t reservation_id; /* 0: free */
    bool sold;
};

struct hold {
    usher_uuid user;
    uint32_t seat_no;
    bool claimed, over, sold, given_up;
};

struct place {
    usher_uuid user;
    bool claimed, admitted, left;
};

struct payment {
    usher_uuid user;
    int64_t amount;
    bool claimed;
};

struct person {
    int64_t charged, paid;
    uint64_t charge_events, charge_claims;
};

struct line {
    uint64_t last_joined, last_admitted;
};

struct outcome_of_check {
    uint64_t looked, failed;
    char example[200];
};

struct check {
    struct outcome_of_check of[CHECK_COUNT];
    struct table seats, holds, places, payments, people, lines;
    uint64_t last_event_no, sold;
    int64_t charged, paid;
};

const struct check_row check_rows[CHECK_COUNT] = {
#define BENCH_CHECK(NAME, name, text) [CHECK_##NAME] = {#name, text},
#include "bench/check/checks.def"
};

/* --- what is found ------------------------------------------------------------------------------------ */
/* Look at a rule: it holds, or this is the example that it does not. Returns whether it holds. */
__attribute__((format(printf, 4, 5))) static bool
expect(struct check *check, enum check_name name, bool holds, const char *format, ...)
{
    struct outcome_of_check *of = &check->of[name];
    va_list arguments;

    of->looked++;
    if (holds)
        return true;
    if (of->failed++ > 0)
        return false;
    va_start(arguments, format);
    vsnprintf(of->example, sizeof of->example, format, arguments);
    va_end(arguments);
    return false;
}

static struct table_key
key_of(uint64_t high, uint64_t low)
{
    return (struct table_key){{high, low}};
}

static struct table_key
key_of_user(const usher_uuid *user)
{
    struct table_key key;

    memcpy(&key, user, sizeof key);
    return key;
}

static bool
is_same(const usher_uuid *one, const usher_uuid *other)
{
    return memcmp(one, other, sizeof *one) == 0;
}

/* --- events ------------------------------------------------------------------------------------------- */
static void
on_joined(struct check *check, const usher_event *event)
{
    struct line *line = table_add(&check->lines, key_of(0, event->queue_id));
    struct place *place;

    expect(check, CHECK_JOINED, event->position > line->last_joined,
           "event %" PRIu64 ": place %" PRIu64 " of queue %u was given out after place %" PRIu64, event->event_no,
           event->position, event->queue_id, line->last_joined);
    line->last_joined = event->position;
    place = table_add(&check->places, key_of(event->queue_id, event->position));
    place->user = event->user;
}

static void
on_admitted(struct check *check, const usher_event *event)
{
    struct line *line = table_add(&check->lines, key_of(0, event->queue_id));
    struct place *place = table_find(&check->places, key_of(event->queue_id, event->position));

    expect(check, CHECK_ADMITTED, event->position > line->last_admitted,
           "event %" PRIu64 ": place %" PRIu64 " of queue %u was admitted after place %" PRIu64, event->event_no,
           event->position, event->queue_id, line->last_admitted);
    line->last_admitted = event->position;
    if (expect(check, CHECK_EVENTS, place != NULL && is_same(&place->user, &event->user) && !place->left,
               "event %" PRIu64 ": place %" PRIu64 " of queue %u is not this user's to be admitted", event->event_no,
               event->position, event->queue_id))
        place->admitted = true;
}

static void
on_left(struct check *check, const usher_event *event)
{
    struct place *place = table_find(&check->places, key_of(event->queue_id, event->position));

    if (expect(check, CHECK_EVENTS, place != NULL && !place->left,
               "event %" PRIu64 ": place %" PRIu64 " of queue %u was not there to end", event->event_no,
               event->position, event->queue_id))
        place->left = true;
}

static struct seat *
seat_of(struct check *check, const usher_event *event)
{
    return table_add(&check->seats, key_of(event->concert_id, (uint64_t)event->date_id << 32 | event->seat_no));
}

static void
on_held(struct check *check, const usher_event *event)
{
    struct seat *seat = seat_of(check, event);
    struct hold *hold;

    expect(check, CHECK_OVERSOLD, seat->reservation_id == 0,
           "event %" PRIu64 ": seat %u of date %u of concert %u was held again while reservation %" PRIu64 " had it%s",
           event->event_no, event->seat_no, event->date_id, event->concert_id, seat->reservation_id,
           seat->sold ? ", paid" : "");
    seat->reservation_id = event->reservation_id;
    seat->sold = false;
    hold = table_add(&check->holds, key_of(0, event->reservation_id));
    hold->user = event->user;
    hold->seat_no = event->seat_no;
}

/* A hold ends without payment, or a paid seat is given back. */
static void
on_freed(struct check *check, const usher_event *event)
{
    struct seat *seat = seat_of(check, event);
    struct hold *hold = table_find(&check->holds, key_of(0, event->reservation_id));
    bool refund = event->refund_id != 0;

    expect(check, CHECK_EVENTS,
           hold != NULL && seat->reservation_id == event->reservation_id && seat->sold == refund,
           "event %" PRIu64 ": seat %u was freed, but reservation %" PRIu64 " had it not", event->event_no,
           event->seat_no, event->reservation_id);
    check->sold -= seat->sold;
    *seat = (struct seat){.reservation_id = 0};
    if (hold != NULL) {
        hold->over = true;
        hold->given_up = event->kind == USHER_EVENT_SEAT_RELEASED;
    }
}

static void
on_sold(struct check *check, const usher_event *event)
{
    struct seat *seat = seat_of(check, event);
    struct hold *hold = table_find(&check->holds, key_of(0, event->reservation_id));

    expect(check, CHECK_OVERSOLD, !seat->sold && seat->reservation_id == event->reservation_id,
           "event %" PRIu64 ": seat %u of date %u of concert %u was sold under reservation %" PRIu64 ", but %" PRIu64
           " had it%s",
           event->event_no, event->seat_no, event->date_id, event->concert_id, event->reservation_id,
           seat->reservation_id, seat->sold ? " and had paid" : "");
    expect(check, CHECK_EVENTS, hold != NULL && is_same(&hold->user, &event->user),
           "event %" PRIu64 ": seat %u was sold to somebody who had not held it", event->event_no, event->seat_no);
    check->sold += !seat->sold;
    seat->sold = true;
    seat->reservation_id = event->reservation_id;
    if (hold != NULL)
        hold->over = hold->sold = true;
}

static void
on_charged(struct check *check, const usher_event *event)
{
    struct person *person = table_add(&check->people, key_of_user(&event->user));

    person->charged += event->amount;
    person->charge_events++;
    check->charged += event->amount;
}

static void
on_paid(struct check *check, const usher_event *event)
{
    struct person *person = table_add(&check->people, key_of_user(&event->user));
    struct payment *payment = table_find(&check->payments, key_of(0, event->payment_id));

    expect(check, CHECK_EVENTS, payment == NULL, "event %" PRIu64 ": payment %" PRIu64 " was made before",
           event->event_no, event->payment_id);
    person->paid += event->amount;
    check->paid += event->amount;
    payment = table_add(&check->payments, key_of(0, event->payment_id));
    payment->user = event->user;
    payment->amount = event->amount;
}

static void
on_refunded(struct check *check, const usher_event *event)
{
    struct person *person = table_add(&check->people, key_of_user(&event->user));

    person->paid -= event->amount;
    check->paid -= event->amount;
}

static void (*const on_event[])(struct check *, const usher_event *) = {
    [USHER_EVENT_JOINED] = on_joined,        [USHER_EVENT_ADMITTED] = on_admitted, [USHER_EVENT_LAPSED] = on_left,
    [USHER_EVENT_LEFT] = on_left,            [USHER_EVENT_SEAT_HELD] = on_held,    [USHER_EVENT_SEAT_RELEASED] = on_freed,
    [USHER_EVENT_HOLD_EXPIRED] = on_freed,   [USHER_EVENT_HOLD_FORCED] = on_freed, [USHER_EVENT_SEAT_SOLD] = on_sold,
    [USHER_EVENT_PAID] = on_paid,            [USHER_EVENT_CHARGED] = on_charged,   [USHER_EVENT_REFUNDED] = on_refunded,
};

void
check_event(struct check *check, const usher_event *event)
{
    expect(check, CHECK_EVENTS, event->event_no == check->last_event_no + 1,
           "event %" PRIu64 " follows event %" PRIu64, event->event_no, check->last_event_no);
    check->last_event_no = event->event_no;
    if (event->kind < sizeof on_event / sizeof *on_event && on_event[event->kind] != NULL)
        on_event[event->kind](check, event);
}

/* --- figures ------------------------------------------------------------------------------------------ */
void
check_info(struct check *check, const usher_info_reply *info)
{
    expect(check, CHECK_LEDGER, info->ledger_sum == 0, "the sum over all accounts is %" PRId64, info->ledger_sum);
    expect(check, CHECK_LEDGER, info->top_ups == -check->charged,
           "%" PRId64 " points were charged, the account that they come from says %" PRId64, check->charged,
           info->top_ups);
    expect(check, CHECK_LEDGER, info->sales == check->paid,
           "%" PRId64 " points were paid, the account that they go to says %" PRId64, check->paid, info->sales);
    expect(check, CHECK_TOTALS, info->sold_count == check->sold,
           "%" PRIu64 " seats were sold, the house says %" PRIu64, check->sold, info->sold_count);
    expect(check, CHECK_OVERSOLD, info->sold_count + info->hold_count <= info->seat_count,
           "%" PRIu64 " seats are sold and %" PRIu64 " held of %" PRIu64, info->sold_count, info->hold_count,
           info->seat_count);
    expect(check, CHECK_TOTALS, info->payment_count == check->payments.count,
           "%zu payments were made, the house says %" PRIu64, check->payments.count, info->payment_count);
    expect(check, CHECK_TOTALS, info->last_event_no == check->last_event_no,
           "the events that were read end with %" PRIu64 ", the house says %" PRIu64, check->last_event_no,
           info->last_event_no);
}

/* --- acknowledgements --------------------------------------------------------------------------------- */
static void
claim_join(struct check *check, const struct claim *claim)
{
    struct place *place = table_find(&check->places, key_of(claim->queue_id, claim->number));

    if (expect(check, CHECK_ACKNOWLEDGED, place != NULL && is_same(&place->user, &claim->user),
               "place %" PRIu64 " of queue %u was acknowledged to somebody who does not have it", claim->number,
               claim->queue_id))
        place->claimed = true;
}

static void
claim_reserve(struct check *check, const struct claim *claim)
{
    struct hold *hold = table_find(&check->holds, key_of(0, claim->number));

    if (expect(check, CHECK_ACKNOWLEDGED,
               hold != NULL && is_same(&hold->user, &claim->user) && hold->seat_no == (uint32_t)claim->amount,
               "reservation %" PRIu64 " was acknowledged to somebody who does not have it", claim->number))
        hold->claimed = true;
}

static void
claim_charge(struct check *check, const struct claim *claim)
{
    struct person *person = table_find(&check->people, key_of_user(&claim->user));

    if (expect(check, CHECK_ACKNOWLEDGED, person != NULL, "entry %" PRIu64 " was acknowledged and no charge is there",
               claim->number))
        person->charge_claims++;
}

static void
claim_pay(struct check *check, const struct claim *claim)
{
    struct payment *payment = table_find(&check->payments, key_of(0, claim->number));

    if (expect(check, CHECK_ACKNOWLEDGED,
               payment != NULL && is_same(&payment->user, &claim->user) && payment->amount == claim->amount,
               "payment %" PRIu64 " of %" PRId64 " points was acknowledged to somebody who has not made it",
               claim->number, claim->amount)) {
        expect(check, CHECK_ONCE, !payment->claimed, "payment %" PRIu64 " answers two request ids", claim->number);
        payment->claimed = true;
    }
}

void
check_claim(struct check *check, const struct claim *claim)
{
    static const struct {
        uint16_t opcode;
        void (*claim)(struct check *, const struct claim *);
    } rows[] = {{USHER_OPCODE_JOIN, claim_join},
                {USHER_OPCODE_RESERVE, claim_reserve},
                {USHER_OPCODE_CHARGE, claim_charge},
                {USHER_OPCODE_PAY, claim_pay}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].opcode == claim->opcode)
            rows[i].claim(check, claim);
}

/* --- what nobody was told of -------------------------------------------------------------------------- */
void
check_finish(struct check *check)
{
    struct table_key key;

    for (size_t i = 0; i < check->places.count; i++) {
        const struct place *place = table_at(&check->places, i, &key);
        expect(check, CHECK_ONCE, place->claimed, "place %" PRIu64 " of queue %" PRIu64 " was given to nobody",
               key.half[1], key.half[0]);
    }
    for (size_t i = 0; i < check->holds.count; i++) {
        const struct hold *hold = table_at(&check->holds, i, &key);
        expect(check, CHECK_ONCE, hold->claimed, "reservation %" PRIu64 " was made for nobody", key.half[1]);
    }
    for (size_t i = 0; i < check->payments.count; i++) {
        const struct payment *payment = table_at(&check->payments, i, &key);
        expect(check, CHECK_ONCE, payment->claimed, "payment %" PRIu64 " was made for nobody", key.half[1]);
    }
    for (size_t i = 0; i < check->people.count; i++) {
        const struct person *person = table_at(&check->people, i, &key);
        expect(check, CHECK_ACKNOWLEDGED, person->charge_events >= person->charge_claims,
               "a user was told of %" PRIu64 " charges, and %" PRIu64 " are there", person->charge_claims,
               person->charge_events);
        expect(check, CHECK_ONCE, person->charge_events <= person->charge_claims,
               "a user was charged %" PRIu64 " times under %" PRIu64 " request ids", person->charge_events,
               person->charge_claims);
    }
}

/* --- what is remembered ------------------------------------------------------------------------------- */
union reply {
    usher_join_reply join;
    usher_reserve_reply reserve;
    usher_release_reply release;
    usher_leave_reply leave;
    usher_charge_reply charge;
    usher_pay_reply pay;
};

/* Whether a reply says what the claim says. */
static bool
says(const struct claim *claim, const union reply *reply)
{
    switch (claim->opcode) {
    case USHER_OPCODE_JOIN:
        return reply->join.position == claim->number && reply->join.queue_id == claim->queue_id;
    case USHER_OPCODE_RESERVE:
        for (uint16_t i = 0; i < reply->reserve.hold_count; i++)
            if (reply->reserve.hold[i].reservation_id == claim->number)
                return true;
        return false;
    case USHER_OPCODE_CHARGE:
        return reply->charge.entry_no == claim->number;
    case USHER_OPCODE_PAY:
        return reply->pay.payment_id == claim->number && reply->pay.amount == claim->amount;
    default:
        return true;
    }
}

void
check_found(struct check *check, const struct claim *claim, const usher_lookup_reply *found)
{
    const char *name = usher_message_of(claim->opcode)->name;
    static union reply reply;
    usher_refusal refusal;

    if (!expect(check, CHECK_REMEMBERED, found != NULL && found->opcode == claim->opcode && found->result == USHER_OK,
                "a %s that was acknowledged (number %" PRIu64 ") is %s", name, claim->number,
                found == NULL ? "not remembered under its request id" : "remembered as something else"))
        return;
    expect(check, CHECK_REMEMBERED, usher_lookup_read(found, &reply, &refusal) == 1 && says(claim, &reply),
           "a %s that was acknowledged (number %" PRIu64 ") is remembered with another answer", name, claim->number);
}

int64_t
check_balance_of(const struct check *check, const usher_uuid *user)
{
    const struct person *person = table_find(&check->people, key_of_user(user));

    return person == NULL ? 0 : person->charged - person->paid;
}

void
check_balance(struct check *check, const usher_uuid *user, int64_t balance)
{
    int64_t wanted = check_balance_of(check, user);

    expect(check, CHECK_BALANCES, balance == wanted,
           "a user has %" PRId64 " points; what was charged less what was paid is %" PRId64, balance, wanted);
}

/* --- opening, asking ---------------------------------------------------------------------------------- */
struct check *
check_make(void)
{
    struct check *check = calloc(1, sizeof *check);

    if (check == NULL)
        abort();
    table_open(&check->seats, sizeof(struct seat));
    table_open(&check->holds, sizeof(struct hold));
    table_open(&check->places, sizeof(struct place));
    table_open(&check->payments, sizeof(struct payment));
    table_open(&check->people, sizeof(struct person));
    table_open(&check->lines, sizeof(struct line));
    return check;
}

void
check_free(struct check *check)
{
    if (check == NULL)
        return;
    table_close(&check->seats);
    table_close(&check->holds);
    table_close(&check->places);
    table_close(&check->payments);
    table_close(&check->people);
    table_close(&check->lines);
    free(check);
}

uint64_t
check_looked(const struct check *check, enum check_name name)
{
    return check->of[name].looked;
}

uint64_t
check_failed(const struct check *check, enum check_name name)
{
    return check->of[name].failed;
}

const char *
check_example(const struct check *check, enum check_name name)
{
    return check->of[name].example;
}

bool
check_passed(const struct check *check)
{
    for (unsigned name = 0; name < CHECK_COUNT; name++)
        if (check->of[name].failed > 0)
            return false;
    return true;
}

json_t *
check_report(const struct check *check)
{
    json_t *report = json_array();

    for (unsigned name = 0; name < CHECK_COUNT; name++) {
        const struct outcome_of_check *of = &check->of[name];
        json_array_append_new(report, json_pack("{s:s, s:s, s:b, s:I, s:I, s:s}", "name", check_rows[name].name, "text",
                                                check_rows[name].text, "passed", of->failed == 0, "looked",
                                                (json_int_t)of->looked, "failed", (json_int_t)of->failed, "example",
                                                of->example));
    }
    return report;
}
