/* outside.c: see outside.h. It knows no policy and no clock: it believes the events and adds them up. */
#include "tests/sim/outside.h"

#include <inttypes.h>
#include <stdio.h>

#include "tests/sim/model_inside.h" /* for LIST and the map alone */

enum o_state { O_FREE, O_HELD, O_SOLD };
struct o_seat {
    uint32_t concert_id, date_id, seat_no;
    uint8_t state;
    bool blocked;
    uint64_t reservation;
    usher_uuid owner;
    int64_t price;
};
struct o_date {
    uint32_t concert_id, date_id;
};
struct o_user {
    usher_uuid uuid;
    int64_t balance;
};
struct o_queue {
    uint32_t id;
    LIST(uint8_t) waits; /* by position - 1 */
    uint64_t admitted;   /* the last position that was */
};
struct outside {
    LIST(struct o_queue) queue;
    LIST(struct o_user) user;
    LIST(struct o_seat) seat;
    LIST(struct o_date) date; /* of which there are seats */
    struct m_map users, seats;
    uint64_t last_event_no, last_at_ms;
    int64_t charged, paid, refunded;
    int64_t selling, giving_back; /* seats of the payment, refund, whose own event has not come yet */
    char *why;
    size_t why_size;
};

#define BROKEN(outside, ...)                                                                                           \
    do {                                                                                                               \
        snprintf((outside)->why, (outside)->why_size, __VA_ARGS__);                                                    \
        return false;                                                                                                  \
    } while (0)

struct outside *
outside_open(void)
{
    struct outside *outside = calloc(1, sizeof *outside);

    assert(outside != NULL);
    ADD(&outside->user, (struct o_user){0}); /* numbers begin at 1 */
    ADD(&outside->seat, (struct o_seat){0});
    return outside;
}

void
outside_close(struct outside *outside)
{
    if (outside == NULL)
        return;
    for (size_t i = 0; i < outside->queue.count; i++)
        free(outside->queue.at[i].waits.at);
    free(outside->queue.at);
    free(outside->user.at);
    free(outside->seat.at);
    free(outside->date.at);
    free(outside->users.keys);
    free(outside->users.values);
    free(outside->seats.keys);
    free(outside->seats.values);
    free(outside);
}

/* --- who and what --------------------------------------------------------------------------------------- */
static struct o_queue *
queue_of_event(struct outside *outside, const usher_event *event)
{
    for (size_t i = 0; i < outside->queue.count; i++)
        if (outside->queue.at[i].id == event->queue_id)
            return &outside->queue.at[i];
    ADD(&outside->queue, (struct o_queue){.id = event->queue_id});
    return &outside->queue.at[outside->queue.count - 1];
}

static struct o_user *
user_of_event(struct outside *outside, const usher_event *event)
{
    uint64_t key;

    memcpy(&key, event->user.bytes, sizeof key); /* UUIDs made by hashing: eight bytes tell them apart */
    uint32_t at = m_map_find(&outside->users, key);
    if (at == 0) {
        at = (uint32_t)outside->user.count;
        ADD(&outside->user, (struct o_user){.uuid = event->user});
        m_map_put(&outside->users, key, at);
    }
    return &outside->user.at[at];
}

static struct o_seat *
seat_of_event(struct outside *outside, const usher_event *event)
{
    uint64_t key = ((uint64_t)event->concert_id << 44 ^ (uint64_t)event->date_id << 20 ^ event->seat_no) *
                   UINT64_C(0x9e3779b97f4a7c15);

    key ^= key >> 31;
    uint32_t at = m_map_find(&outside->seats, key);
    if (at == 0) {
        at = (uint32_t)outside->seat.count;
        ADD(&outside->seat,
            (struct o_seat){.concert_id = event->concert_id, .date_id = event->date_id, .seat_no = event->seat_no});
        m_map_put(&outside->seats, key, at);
        bool known = false;
        for (size_t i = 0; i < outside->date.count && !known; i++)
            known =
                outside->date.at[i].concert_id == event->concert_id && outside->date.at[i].date_id == event->date_id;
        if (!known)
            ADD(&outside->date, (struct o_date){.concert_id = event->concert_id, .date_id = event->date_id});
    }
    return &outside->seat.at[at];
}

/* --- FIFO ----------------------------------------------------------------------------------------------- */
static bool
take_place_event(struct outside *outside, const usher_event *event)
{
    struct o_queue *queue = queue_of_event(outside, event);
    uint64_t position = event->position;

    if (event->kind == USHER_EVENT_JOINED) {
        if (position != queue->waits.count + 1)
            BROKEN(outside, "Q1: queue %u gave position %" PRIu64 " after %zu", queue->id, position,
                   queue->waits.count);
        ADD(&queue->waits, 1);
        return true;
    }
    if (position == 0 || position > queue->waits.count)
        BROKEN(outside, "event %" PRIu64 " is of a place that nobody took", event->event_no);
    if (event->kind != USHER_EVENT_ADMITTED) {
        queue->waits.at[position - 1] = 0;
        return true;
    }
    if (!queue->waits.at[position - 1])
        BROKEN(outside, "T4: position %" PRIu64 " of queue %u was admitted and did not wait", position, queue->id);
    if (position <= queue->admitted)
        BROKEN(outside, "T4: position %" PRIu64 " of queue %u was admitted after %" PRIu64, position, queue->id,
               queue->admitted);
    for (uint64_t i = queue->admitted + 1; i < position; i++)
        if (queue->waits.at[i - 1])
            BROKEN(outside, "T4: position %" PRIu64 " of queue %u was admitted while %" PRIu64 " waits", position,
                   queue->id, i);
    queue->waits.at[position - 1] = 0;
    queue->admitted = position;
    return true;
}

/* --- the ledger ----------------------------------------------------------------------------------------- */
static bool
take_money_event(struct outside *outside, const usher_event *event)
{
    struct o_user *user = user_of_event(outside, event);

    if (event->kind == USHER_EVENT_CHARGED) {
        user->balance += event->amount;
        outside->charged += event->amount;
    } else if (event->kind == USHER_EVENT_PAID) {
        user->balance -= event->amount;
        outside->paid += event->amount;
        if (outside->selling != event->amount)
            BROKEN(outside, "M5: payment %" PRIu64 " took %" PRId64 " for seats of %" PRId64, event->payment_id,
                   event->amount, outside->selling);
        outside->selling = 0;
    } else {
        user->balance += event->amount;
        outside->refunded += event->amount;
        if (outside->giving_back != event->amount)
            BROKEN(outside, "M8: refund %" PRIu64 " gave %" PRId64 " for seats of %" PRId64, event->refund_id,
                   event->amount, outside->giving_back);
        outside->giving_back = 0;
    }
    if (user->balance < 0 || user->balance > USHER_POINTS_MAX)
        BROKEN(outside, "M1: event %" PRIu64 " makes a balance of %" PRId64, event->event_no, user->balance);
    return true;
}

/* --- one owner per seat --------------------------------------------------------------------------------- */
static bool
is_owner(const struct o_seat *seat, const usher_event *event)
{
    return seat->reservation == event->reservation_id && memcmp(&seat->owner, &event->user, sizeof seat->owner) == 0;
}

static bool
take_hold_event(struct outside *outside, struct o_seat *seat, const usher_event *event)
{
    if (seat->state != O_FREE)
        BROKEN(outside, "S5: seat %u of %u/%u was held while it was not free", seat->seat_no, seat->concert_id,
               seat->date_id);
    seat->state = O_HELD;
    seat->blocked =
        false; /* a terminal of the block's channel took it; if the block stands at the end, an event says so */
    seat->reservation = event->reservation_id;
    seat->owner = event->user;
    seat->price = event->amount;
    return true;
}

static bool
take_sale_event(struct outside *outside, struct o_seat *seat, const usher_event *event)
{
    if (seat->state != O_HELD || !is_owner(seat, event))
        BROKEN(outside, "B1: seat %u of %u/%u was sold to one who did not hold it", seat->seat_no, seat->concert_id,
               seat->date_id);
    if (seat->price != event->amount)
        BROKEN(outside, "H5: seat %u was held at %" PRId64 " and sold at %" PRId64, seat->seat_no, seat->price,
               event->amount);
    seat->state = O_SOLD;
    seat->blocked = false;
    outside->selling += event->amount;
    return true;
}

static bool
take_end_event(struct outside *outside, struct o_seat *seat, const usher_event *event)
{
    uint8_t before = event->refund_id != 0 ? O_SOLD : O_HELD;

    if (seat->state != before || !is_owner(seat, event))
        BROKEN(outside, "H6: seat %u of %u/%u was given up by one who did not have it", seat->seat_no, seat->concert_id,
               seat->date_id);
    if (before == O_SOLD)
        outside->giving_back += event->amount;
    seat->state = O_FREE;
    seat->reservation = 0;
    return true;
}

static bool
take_block_event(struct outside *outside, struct o_seat *seat, const usher_event *event)
{
    bool blocks = event->kind == USHER_EVENT_SEAT_BLOCKED;

    if (seat->state != O_FREE || seat->blocked == blocks)
        BROKEN(outside, "H8: seat %u of %u/%u was %s and could not be", seat->seat_no, seat->concert_id, seat->date_id,
               blocks ? "blocked" : "unblocked");
    seat->blocked = blocks;
    return true;
}

static bool
take_seat_event(struct outside *outside, const usher_event *event)
{
    static bool (*const takes[])(struct outside *, struct o_seat *, const usher_event *) = {
        [USHER_EVENT_SEAT_HELD] = take_hold_event,      [USHER_EVENT_SEAT_RELEASED] = take_end_event,
        [USHER_EVENT_HOLD_EXPIRED] = take_end_event,    [USHER_EVENT_HOLD_FORCED] = take_end_event,
        [USHER_EVENT_SEAT_SOLD] = take_sale_event,      [USHER_EVENT_SEAT_BLOCKED] = take_block_event,
        [USHER_EVENT_SEAT_UNBLOCKED] = take_block_event};

    return takes[event->kind](outside, seat_of_event(outside, event), event);
}

bool
outside_take(struct outside *outside, const usher_event *event, char *why, size_t why_size)
{
    outside->why = why;
    outside->why_size = why_size;
    if (event->event_no != outside->last_event_no + 1)
        BROKEN(outside, "X5: event %" PRIu64 " follows %" PRIu64, event->event_no, outside->last_event_no);
    if (event->at_ms < outside->last_at_ms)
        BROKEN(outside, "X1: event %" PRIu64 " is earlier than the one before", event->event_no);
    outside->last_event_no = event->event_no;
    outside->last_at_ms = event->at_ms;
    switch ((enum usher_event_kind)event->kind) {
    case USHER_EVENT_JOINED:
    case USHER_EVENT_ADMITTED:
    case USHER_EVENT_LAPSED:
    case USHER_EVENT_LEFT:
        return take_place_event(outside, event);
    case USHER_EVENT_CHARGED:
    case USHER_EVENT_PAID:
    case USHER_EVENT_REFUNDED:
        return take_money_event(outside, event);
    case USHER_EVENT_SEAT_HELD:
    case USHER_EVENT_SEAT_RELEASED:
    case USHER_EVENT_HOLD_EXPIRED:
    case USHER_EVENT_SEAT_SOLD:
    case USHER_EVENT_SEAT_BLOCKED:
    case USHER_EVENT_SEAT_UNBLOCKED:
    case USHER_EVENT_HOLD_FORCED:
        return take_seat_event(outside, event);
    case USHER_EVENT_QUEUE_CHANGED:
    case USHER_EVENT_CATALOGUE_CHANGED:
    case USHER_EVENT_POLICY_CHANGED:
    case USHER_EVENT_CLIENT_CHANGED:
    case USHER_EVENT_CONSUMER_CHANGED:
    case USHER_EVENT_RESUMED:
        return true;
    case USHER_event_kind_end_:
        break;
    }
    BROKEN(outside, "event %" PRIu64 " is of no kind", event->event_no);
}

/* --- the house, asked ----------------------------------------------------------------------------------- */
static bool
check_balances(struct outside *outside, const struct outside_house *house)
{
    usher_info_request ask = {0};
    usher_info_reply info;
    int64_t sum = 0;

    for (size_t i = 1; i < outside->user.count; i++) {
        const struct o_user *user = &outside->user.at[i];
        usher_balance_request body = {.user = user->uuid};
        usher_balance_reply reply;
        if (house->ask(house->context, USHER_OPCODE_BALANCE, &user->uuid, &body, &reply) != USHER_OK)
            BROKEN(outside, "a balance can't be read");
        if (reply.balance != user->balance)
            BROKEN(outside, "M2: a balance is %" PRId64 ", its events make %" PRId64, reply.balance, user->balance);
        sum += reply.balance;
    }
    if (house->ask(house->context, USHER_OPCODE_INFO, NULL, &ask, &info) != USHER_OK)
        BROKEN(outside, "the figures can't be read");
    if (info.top_ups != -outside->charged || info.sales != outside->paid - outside->refunded)
        BROKEN(outside, "M2: top_ups %" PRId64 " and sales %" PRId64 " are not what the events make", info.top_ups,
               info.sales);
    if (info.ledger_sum != 0 || sum + info.top_ups + info.sales != 0)
        BROKEN(outside, "M2: the sum over all accounts is %" PRId64, sum + info.top_ups + info.sales);
    return true;
}

/* The free seats of one date against the events. */
static bool
check_date(struct outside *outside, const struct outside_house *house, uint32_t concert_id, uint32_t date_id)
{
    usher_seats_request body = {.concert_id = concert_id, .date_id = date_id};
    usher_seats_reply reply;

    if (house->ask(house->context, USHER_OPCODE_SEATS, NULL, &body, &reply) != USHER_OK)
        return true; /* in the past */
    for (size_t i = 1; i < outside->seat.count; i++) {
        struct o_seat *seat = &outside->seat.at[i];
        if (seat->concert_id != concert_id || seat->date_id != date_id || seat->seat_no > reply.seat_count ||
            (seat->seat_no - 1) / 64 >= reply.free_block_count)
            continue;
        uint64_t *block = &reply.free_block[(seat->seat_no - 1) / 64], bit = UINT64_C(1) << (seat->seat_no - 1) % 64;
        bool is_free = seat->state == O_FREE && !seat->blocked;
        if (((*block & bit) != 0) != is_free)
            BROKEN(outside, "S5: seat %u of %u/%u is %s by its events, and the house says otherwise", seat->seat_no,
                   concert_id, date_id, is_free ? "free" : "taken");
        *block |= bit;
    }
    /* One page is enough: 16,384 seats. */
    for (uint32_t i = 0; i < reply.seat_count && i < reply.free_block_count * 64u;
         i++) /* what no event ever named is free */
        if (!(reply.free_block[i / 64] >> i % 64 & 1))
            BROKEN(outside, "S5: seat %u of %u/%u is taken, and no event says so", i + 1, concert_id, date_id);
    return true;
}

bool
outside_check(struct outside *outside, const struct outside_house *house, char *why, size_t why_size)
{
    outside->why = why;
    outside->why_size = why_size;
    if (outside->selling != 0 || outside->giving_back != 0)
        BROKEN(outside, "M5: a seat was sold or given back without a payment's or refund's event");
    if (!check_balances(outside, house))
        return false;
    for (size_t i = 0; house->is_swept && i < outside->date.count; i++)
        if (!check_date(outside, house, outside->date.at[i].concert_id, outside->date.at[i].date_id))
            return false;
    return true;
}
