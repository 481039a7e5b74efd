/* model_money.c: points, payments, refunds and what remains of them (P1 to P3, B1, B2, M1 to M10). */
#include "tests/sim/model_inside.h"

#include "protocol/token.h"

/* M2: both legs, and each account's running balance. Returns the entry's number. */
static uint64_t
transfer(struct model *model, uint8_t kind, int64_t amount, uint64_t payment)
{
    struct m_user *user = &model->user.at[model->asker];
    int64_t *house = kind == USHER_ENTRY_CHARGE ? &model->top_ups : &model->sales;
    uint64_t entry_no = model->entry.count;

    user->balance += amount;
    *house -= amount;
    assert(user->balance >= 0);
    assert(user->balance <= USHER_POINTS_MAX);
    ADD(&model->entry, (struct m_entry){.user = model->asker,
                                        .at_ms = model->now_ms,
                                        .payment = payment,
                                        .kind = kind,
                                        .amount = amount,
                                        .user_balance = user->balance,
                                        .house_balance = *house});
    ADD(&user->entry, entry_no);
    return entry_no;
}

usher_result
model_charge(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_charge_request *ask = body;
    usher_charge_reply *reply = out;
    uint64_t most = model->policy[HOUSE_charge_max];

    (void)request;
    if (ask->amount < 1)
        return USHER_AMOUNT_INVALID;
    if ((uint64_t)ask->amount > most)
        return m_refuse(model, USHER_AMOUNT_TOO_LARGE, most);
    if (model->user.at[model->asker].balance > USHER_POINTS_MAX - ask->amount)
        return m_refuse(model, USHER_BALANCE_TOO_LARGE, USHER_POINTS_MAX);
    reply->entry_no = transfer(model, USHER_ENTRY_CHARGE, ask->amount, 0);
    reply->balance = model->user.at[model->asker].balance;
    m_emit(model, USHER_EVENT_CHARGED, model->asker, (usher_event){.amount = ask->amount});
    return USHER_OK;
}

usher_result
model_balance(struct model *model, const struct model_request *request, const void *body, void *out)
{
    (void)request;
    (void)body;
    ((usher_balance_reply *)out)->balance = model->user.at[model->asker].balance; /* nobody has 0 points */
    return USHER_OK;
}

usher_result
model_ledger(struct model *model, const struct model_request *request, const void *body, void *out)
{
    static const usher_uuid nobody;
    const usher_ledger_request *ask = body;
    usher_ledger_reply *reply = out;
    bool of_house = memcmp(&ask->user, &nobody, sizeof nobody) == 0;
    uint32_t user = of_house ? NOBODY : m_user_find(model, &ask->user);

    (void)request;
    if (!of_house && user == NOBODY)
        return USHER_USER_NOT_FOUND;
    reply->balance = of_house ? model->top_ups + model->sales : model->user.at[user].balance;
    uint64_t from = model->entry.count;
    if (ask->before_entry_no != 0 && ask->before_entry_no < from) {
        from = ask->before_entry_no;
        /* OPEN: a cursor that is another user's entry ends the walk; one past the user's own begins at the newest. */
        bool own = of_house || model->entry.at[from].user == user;
        const uint64_t *last = of_house || model->user.at[user].entry.count == 0
                                   ? NULL
                                   : &model->user.at[user].entry.at[model->user.at[user].entry.count - 1];
        if (!own && (last == NULL || *last >= from))
            return USHER_OK;
    }
    while (from > 1) {
        const struct m_entry *entry = &model->entry.at[--from];
        if (!of_house && entry->user != user)
            continue;
        reply->more = reply->entry_count == sizeof reply->entry / sizeof *reply->entry;
        if (reply->more)
            return USHER_OK;
        reply->entry[reply->entry_count++] =
            (usher_entry){.entry_no = from,
                          .at_ms = entry->at_ms,
                          .kind = entry->kind,
                          .amount = of_house ? -entry->amount : entry->amount,
                          .balance = of_house ? entry->house_balance : entry->user_balance,
                          .payment_id = entry->payment};
    }
    return USHER_OK;
}

/* --- pay ------------------------------------------------------------------------------------------------ */
static usher_result
check_twice(struct model *model, const uint64_t *reservation, uint16_t count)
{
    for (uint16_t i = 1; i < count; i++)
        for (uint16_t k = 0; k < i; k++)
            if (reservation[k] == reservation[i])
                return m_refuse(model, USHER_SEAT_DUPLICATE, reservation[i]);
    return USHER_OK;
}

static usher_result
check_pay(struct model *model, const usher_pay_request *ask, int64_t *amount)
{
    usher_result all = USHER_OK;
    bool frozen = false;

    if (ask->reservation_count == 0)
        return USHER_SEATS_NONE;
    for (uint16_t i = 0; i < ask->reservation_count; i++) {
        usher_result one = m_hold_of_asker(model, ask->reservation[i]);
        all = m_upper(all, one);
        if (one != USHER_OK)
            continue;
        const struct m_hold *hold = &model->hold.at[ask->reservation[i]];
        frozen |= m_queue_of(model, &model->date.at[hold->date])->mode == USHER_QUEUE_FROZEN;
        *amount += hold->price;
    }
    if (all == USHER_TOKEN_OTHER_QUEUE)
        return all;
    if (frozen)
        return USHER_FROZEN;
    usher_result twice = check_twice(model, ask->reservation, ask->reservation_count);
    if (twice != USHER_OK)
        return twice;
    if (all != USHER_OK)
        return m_refuse(model, all, all == USHER_ALREADY_PAID ? model->paid_by : 0);
    int64_t balance = model->user.at[model->asker].balance;
    return *amount <= balance ? USHER_OK : m_refuse(model, USHER_NOT_ENOUGH_POINTS, (uint64_t)(*amount - balance));
}

static usher_event
event_of_seat(struct model *model, uint64_t reservation, uint64_t payment_id, uint64_t refund_id)
{
    const struct m_hold *hold = &model->hold.at[reservation];
    const struct m_date *date = &model->date.at[hold->date];

    return (usher_event){.concert_id = model->concert.at[date->concert].id,
                         .date_id = date->id,
                         .seat_no = hold->seat_no,
                         .reservation_id = reservation,
                         .payment_id = payment_id,
                         .refund_id = refund_id,
                         .amount = hold->price};
}

static void
add_history(struct model *model, uint8_t kind, uint64_t reservation, uint64_t payment_id, uint64_t refund_id)
{
    usher_event seat = event_of_seat(model, reservation, payment_id, refund_id);

    ADD(&model->user.at[model->asker].history,
        (usher_history_row){.event_no = model->event.count, /* the event of the whole, which was just made */
                            .kind = kind,
                            .at_ms = model->now_ms,
                            .payment_id = payment_id,
                            .refund_id = refund_id,
                            .reservation_id = reservation,
                            .concert_id = seat.concert_id,
                            .date_id = seat.date_id,
                            .seat_no = seat.seat_no,
                            .amount = kind == USHER_HISTORY_REFUND ? -seat.amount : seat.amount});
}

/* The places that the seats were held under are used up, and the asker's own. */
static void
use_places(struct model *model, const usher_pay_request *ask)
{
    for (uint16_t i = 0; i <= ask->reservation_count; i++) {
        bool own = i == ask->reservation_count;
        const struct m_hold *hold = own ? NULL : &model->hold.at[ask->reservation[i]];
        uint64_t position = own ? (model->has_place ? model->position : 0) : hold->place;
        if (position == 0)
            continue;
        struct m_queue *queue =
            own ? &model->queue.at[model->queue_at] : m_queue_of(model, &model->date.at[hold->date]);
        if (m_place_is_live(&queue->place.at[position - 1]))
            m_place_end(model, queue, position, USHER_PLACE_USED);
    }
}

static void
sell(struct model *model, uint64_t reservation, uint64_t payment_id, usher_paid_seat *out)
{
    struct m_hold *hold = &model->hold.at[reservation];
    usher_event event = event_of_seat(model, reservation, payment_id, 0);

    m_hold_out(model, reservation, HOW_PAID);
    hold->payment = payment_id;
    struct m_date *date = &model->date.at[hold->date];
    m_seat_set(date, hold->seat_no, SEAT_IS_SOLD, date->seat.at[hold->seat_no - 1].through, reservation);
    m_emit(model, USHER_EVENT_SEAT_SOLD, model->asker, event);
    *out = (usher_paid_seat){.reservation_id = reservation,
                             .concert_id = event.concert_id,
                             .date_id = event.date_id,
                             .seat_no = event.seat_no,
                             .price = hold->price};
}

usher_result
model_pay(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_pay_request *ask = body;
    usher_pay_reply *reply = out;
    struct m_payment payment = {.user = model->asker, .at_ms = model->now_ms, .seat_count = ask->reservation_count};
    int64_t amount = 0;

    (void)request;
    usher_result result = check_pay(model, ask, &amount);
    if (result != USHER_OK)
        return result;
    uint64_t payment_id = model->payment.count;
    memcpy(payment.reservation, ask->reservation, ask->reservation_count * sizeof *ask->reservation);
    ADD(&model->payment, payment);
    transfer(model, USHER_ENTRY_PAYMENT, -amount, payment_id);
    for (uint16_t i = 0; i < ask->reservation_count; i++)
        sell(model, ask->reservation[i], payment_id, &reply->seat[i]);
    m_emit(model, USHER_EVENT_PAID, model->asker, (usher_event){.payment_id = payment_id, .amount = amount});
    for (uint16_t i = 0; i < ask->reservation_count; i++)
        add_history(model, USHER_HISTORY_PAYMENT, ask->reservation[i], payment_id, 0);
    use_places(model, ask);
    reply->payment_id = payment_id;
    reply->amount = amount;
    reply->balance = model->user.at[model->asker].balance;
    reply->paid_at_ms = model->now_ms;
    reply->seat_count = ask->reservation_count;
    reply->receipt_count = m_receipt(model, payment_id, reply->receipt, sizeof reply->receipt);
    return USHER_OK;
}

/* --- refund --------------------------------------------------------------------------------------------- */
static bool
is_named(const usher_refund_request *ask, uint64_t reservation)
{
    for (uint16_t i = 0; i < ask->reservation_count; i++)
        if (ask->reservation[i] == reservation)
            return true;
    return ask->reservation_count == 0;
}

/* M8: a user until refund_until_ms before the show, the house at any time. */
static bool
is_too_late(const struct model *model, const struct model_request *request, uint64_t reservation)
{
    const struct m_date *date = &model->date.at[model->hold.at[reservation].date];

    return request->role == USHER_ROLE_GATEWAY &&
           (date->refund_until_ms >= date->starts_ms || model->now_ms >= date->starts_ms - date->refund_until_ms);
}

static usher_result
check_refund(struct model *model, const struct model_request *request, const usher_refund_request *ask, int64_t *amount)
{
    const struct m_payment *payment = &model->payment.at[ask->payment_id];
    uint32_t named = 0, wanted = 0;
    bool too_late = false, again = false;

    usher_result twice = check_twice(model, ask->reservation, ask->reservation_count);
    if (twice != USHER_OK)
        return twice;
    for (uint32_t i = 0; i < payment->seat_count; i++) {
        if (!is_named(ask, payment->reservation[i]))
            continue;
        named++;
        again |= payment->refunded[i] && ask->reservation_count != 0;
        if (payment->refunded[i])
            continue;
        wanted++;
        *amount += model->hold.at[payment->reservation[i]].price;
        too_late |= is_too_late(model, request, payment->reservation[i]);
    }
    if (named < ask->reservation_count)
        return USHER_RESERVATION_NOT_FOUND;
    if (model->user.at[model->asker].balance > USHER_POINTS_MAX - *amount)
        return m_refuse(model, USHER_BALANCE_TOO_LARGE, USHER_POINTS_MAX);
    if (too_late)
        return USHER_REFUND_CLOSED;
    return again || wanted == 0 ? USHER_ALREADY_REFUNDED : USHER_OK;
}

usher_result
model_refund(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_refund_request *ask = body;
    usher_refund_reply *reply = out;
    uint64_t freed[16], payment_id = ask->payment_id;
    int64_t amount = 0;

    if (payment_id == 0 || payment_id >= model->payment.count || model->payment.at[payment_id].user != model->asker)
        return USHER_PAYMENT_NOT_FOUND;
    usher_result result = check_refund(model, request, ask, &amount);
    if (result != USHER_OK)
        return result;
    struct m_payment *payment = &model->payment.at[payment_id];
    uint64_t refund_id = ++model->refunds;
    transfer(model, USHER_ENTRY_REFUND, amount, payment_id);
    for (uint32_t i = 0; i < payment->seat_count; i++) {
        uint64_t reservation = payment->reservation[i];
        if (payment->refunded[i] || !is_named(ask, reservation))
            continue;
        payment->refunded[i] = true;
        const struct m_hold *hold = &model->hold.at[reservation];
        struct m_date *date = &model->date.at[hold->date];
        bool blocked = date->seat.at[hold->seat_no - 1].blocked; /* sold through a block: it is blocked again (H8) */
        m_seat_set(date, hold->seat_no, SEAT_IS_FREE, blocked, 0);
        m_emit(model, USHER_EVENT_SEAT_RELEASED, model->asker,
               event_of_seat(model, reservation, payment_id, refund_id));
        if (blocked)
            m_emit_of_seat(model, USHER_EVENT_SEAT_BLOCKED, NOBODY, date, hold->seat_no, 0, 0);
        freed[reply->seat_count++] = reservation;
    }
    m_emit(model, USHER_EVENT_REFUNDED, model->asker,
           (usher_event){.payment_id = payment_id, .refund_id = refund_id, .amount = amount});
    for (uint16_t i = 0; i < reply->seat_count; i++)
        add_history(model, USHER_HISTORY_REFUND, freed[i], payment_id, refund_id);
    reply->refund_id = refund_id;
    reply->amount = amount;
    reply->balance = model->user.at[model->asker].balance;
    return USHER_OK;
}

/* --- receipt and history -------------------------------------------------------------------------------- */
uint16_t
m_receipt(struct model *model, uint64_t payment_id, uint8_t *out, size_t room)
{
    const struct m_payment *payment = &model->payment.at[payment_id];
    usher_receipt_body receipt = {.key_id = 1,
                                  .user = model->user.at[payment->user].uuid,
                                  .payment_id = payment_id,
                                  .paid_at_ms = payment->at_ms};

    for (uint32_t i = 0; i < payment->seat_count; i++) {
        if (payment->refunded[i])
            continue;
        usher_event seat = event_of_seat(model, payment->reservation[i], 0, 0);
        receipt.amount += seat.amount;
        receipt.seat[receipt.seat_count++] =
            (usher_receipt_seat){.concert_id = seat.concert_id, .date_id = seat.date_id, .seat_no = seat.seat_no};
    }
    return receipt.seat_count == 0 ? 0 : (uint16_t)usher_receipt_body_encode(&receipt, out, room);
}

usher_result
model_receipt(struct model *model, const struct model_request *request, const void *body, void *out)
{
    usher_receipt_reply *reply = out;
    uint64_t payment_id = ((const usher_receipt_request *)body)->payment_id;

    (void)request;
    if (model->asker == NOBODY || payment_id == 0 || payment_id >= model->payment.count ||
        model->payment.at[payment_id].user != model->asker)
        return USHER_PAYMENT_NOT_FOUND;
    reply->receipt_count = m_receipt(model, payment_id, reply->receipt, sizeof reply->receipt);
    return reply->receipt_count == 0 ? USHER_ALREADY_REFUNDED : USHER_OK;
}

void
model_consume(struct model *model, uint32_t most)
{
    uint64_t left = model->event.count - model->consumed;

    model->consumed += left < most ? left : most;
}

/* B2: what the consumer has taken in so far, a page of whole events. */
usher_result
model_history(struct model *model, const struct model_request *request, const void *body, void *out)
{
    usher_history_reply *reply = out;
    uint64_t after = ((const usher_history_request *)body)->after_event_no;
    const struct m_user *user = &model->user.at[model->asker];

    (void)request;
    reply->written_event_no = model->consumed;
    for (size_t i = 0; i < user->history.count; i++) {
        const usher_history_row *row = &user->history.at[i];
        if (row->event_no <= after || row->event_no > model->consumed)
            continue;
        reply->more = reply->row_count == sizeof reply->row / sizeof *reply->row;
        if (reply->more) {
            while (reply->row_count > 0 && reply->row[reply->row_count - 1].event_no == row->event_no)
                reply->row_count--;
            return USHER_OK;
        }
        reply->row[reply->row_count++] = *row;
    }
    return USHER_OK;
}
