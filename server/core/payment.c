/* payment.c: pay, refund, receipt and history (B1, B2, M5 to M10).
 *
 * A payment is one step: holds mine and not over + price as held + funds -> debit, payment record, seats owned, token
 * used, slot freed, next admitted, events. Either all of it is in the batch or nothing. */
#include "server/core/internal.h"

static void
emit_of_payment(struct core *core, enum usher_event_kind kind, uint64_t payment_id, uint64_t refund_id,
                const struct sold_seat *seat, int64_t amount)
{
    struct event_row event = {.payment_id = payment_id, .refund_id = refund_id, .amount = amount};
    if (seat != NULL) {
        event.concert_id = seat->concert_id;
        event.date_id = seat->date_id;
        event.seat_no = seat->seat_no;
        event.reservation_id = seat->reservation_id;
    }
    core_emit(core, kind, core->user_no, event);
}

/* Not given back since. A seat that was may be gone with its block: a smaller plan took it (H10). */
static bool
still_sold(const struct core *core, const struct sold_seat *seat)
{
    const struct block_record *block = store_see_block(core->store, SEAT_BLOCK(seat->date_no, seat->seat_no));
    return block != NULL && (block->sold & SEAT_BIT(seat->seat_no)) &&
           block->reservation_id[SEAT_SLOT(seat->seat_no)] == seat->reservation_id;
}

static uint16_t
receipt_of(const struct core *core, const struct payment_row *payment, uint8_t *out, size_t room)
{
    usher_receipt_body receipt = {.key_id = CORE_KEY_ID,
                                  .user = store_see_user(core->store, payment->user_no)->uuid,
                                  .payment_id = payment->payment_id,
                                  .amount = 0,
                                  .paid_at_ms = payment->at_ms};
    for (uint32_t i = 0; i < payment->seat_count; i++) {
        const struct sold_seat *seat = &payment->seat[i];
        if (!still_sold(core, seat))
            continue; /* given back since */
        receipt.seat[receipt.seat_count++] =
            (usher_receipt_seat){.concert_id = seat->concert_id, .date_id = seat->date_id, .seat_no = seat->seat_no};
        receipt.amount += seat->price;
    }
    return receipt.seat_count == 0 ? 0 : (uint16_t)usher_receipt_body_encode(&receipt, out, room);
}

void
user_owns(struct core *core, uint64_t user_no, uint64_t date_no, int change)
{
    struct owned_record owned = {.key = OWNED_KEY(user_no, date_no)};
    store_get_owned(core->store, owned.key, &owned);
    assert(change > 0 || owned.count > 0);
    owned.count += (uint64_t)(int64_t)change;
    if (owned.count > 0)
        store_put_owned(core->store, &owned);
    else
        store_remove_owned(core->store, owned.key);
}

/* --- pay -------------------------------------------------------------------------------------------------- */
static usher_result
check_list(struct core *core, const uint64_t *reservation, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < i; k++)
            if (reservation[i] == reservation[k])
                return core_refuse_detail(core, USHER_SEAT_DUPLICATE, reservation[i]);
    return USHER_OK;
}

static usher_result
check_pay(struct core *core, const usher_pay_request *ask, struct hold_record *hold, int64_t *total)
{
    usher_result first = USHER_OK, result;
    bool frozen = false;

    if (ask->reservation_count == 0)
        return USHER_SEATS_NONE;
    *total = 0;
    for (uint32_t i = 0; i < ask->reservation_count; i++) {
        usher_result one = reservation_find(core, ask->reservation[i], &hold[i]);
        first = result_first(first, one);
        if (one != USHER_OK)
            continue;
        frozen |= store_see_queue(core->store, hold[i].queue_no)->mode == USHER_QUEUE_FROZEN;
        *total += hold[i].price; /* at most 16 prices of at most 2^53: no overflow */
    }
    if (first == USHER_TOKEN_OTHER_QUEUE)
        return first;
    if (frozen)
        return USHER_FROZEN;
    result = check_list(core, ask->reservation, ask->reservation_count);
    if (result != USHER_OK || first != USHER_OK)
        return result != USHER_OK ? result : reservation_refuse(core, first);
    int64_t balance = store_see_user(core->store, core->user_no)->balance;
    if (balance < *total)
        return core_refuse_detail(core, USHER_NOT_ENOUGH_POINTS, (uint64_t)(*total - balance));
    return USHER_OK;
}

static void
sell(struct core *core, const struct hold_record *hold, uint64_t payment_id, struct sold_seat *seat)
{
    const struct date_record *date = store_see_date(core->store, hold->date_no);
    struct block_record block;

    *seat = (struct sold_seat){.reservation_id = hold->reservation_id,
                               .date_no = hold->date_no,
                               .concert_id = date->concert_id,
                               .date_id = date->date_id,
                               .seat_no = hold->seat_no,
                               .price = hold->price};
    store_get_block(core->store, SEAT_BLOCK(hold->date_no, hold->seat_no), &block);
    assert(block.held & SEAT_BIT(hold->seat_no));
    assert(block.reservation_id[SEAT_SLOT(hold->seat_no)] == hold->reservation_id);
    block.held &= ~SEAT_BIT(hold->seat_no);
    block.sold |= SEAT_BIT(hold->seat_no);
    const struct note_record *note = store_see_note(core->store, NOTE_KEY(hold->date_no, hold->seat_no));
    bool in_vain = note != NULL && !note->taken; /* a block that waited for the hold's end (H8) */
    if (in_vain)
        block.blocked &= ~SEAT_BIT(hold->seat_no);
    block.version++;
    store_put_block(core->store, &block);
    if (in_vain)
        store_remove_note(core->store, NOTE_KEY(hold->date_no, hold->seat_no));
    hold_remove(core, hold, ENDED_PAID, payment_id);
    user_owns(core, hold->user_no, hold->date_no, +1);
}

/* The payment's tokens are used up: the asker's own, and for a terminal's those that the seats were held under. */
static void
use_tickets(struct core *core, const struct hold_record *hold, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (hold[i].ticket != 0 && ticket_is_live(store_see_ticket(core->store, hold[i].ticket)))
            ticket_end(core, hold[i].ticket, USHER_PLACE_USED);
    if (core->ticket != 0 && ticket_is_live(store_see_ticket(core->store, core->ticket)))
        ticket_end(core, core->ticket, USHER_PLACE_USED);
}

usher_result
core_pay(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_pay_request *ask = body;
    usher_pay_reply *reply = out;
    struct hold_record hold[PAYMENT_SEATS_MOST];
    struct payment_row payment; /* its seats are filled in one by one, and no more of them are looked at */

    (void)request;
    memset(&payment, 0, offsetof(struct payment_row, seat));
    payment.at_ms = core->now_ms;
    payment.user_no = (uint32_t)core->user_no;
    payment.ticket = core->ticket;
    usher_result result = check_pay(core, ask, hold, &payment.amount);
    if (result != USHER_OK)
        return result;

    payment.payment_id = ++core_house(core)->last_payment_id;
    payment.seat_count = ask->reservation_count;
    payment.entry_no =
        points_transfer(core, core->user_no, USHER_ENTRY_PAYMENT, -payment.amount, payment.payment_id, 0);
    for (uint32_t i = 0; i < payment.seat_count; i++) {
        sell(core, &hold[i], payment.payment_id, &payment.seat[i]);
        emit_of_payment(core, USHER_EVENT_SEAT_SOLD, payment.payment_id, 0, &payment.seat[i], hold[i].price);
        reply->seat[i] = (usher_paid_seat){.reservation_id = hold[i].reservation_id,
                                           .concert_id = payment.seat[i].concert_id,
                                           .date_id = payment.seat[i].date_id,
                                           .seat_no = hold[i].seat_no,
                                           .price = hold[i].price};
    }
    store_append_payment(core->store, &payment);
    emit_of_payment(core, USHER_EVENT_PAID, payment.payment_id, 0, NULL, payment.amount);
    use_tickets(core, hold, payment.seat_count);
    reply->seat_count = (uint16_t)payment.seat_count;
    reply->payment_id = payment.payment_id;
    reply->amount = payment.amount;
    reply->balance = store_see_user(core->store, core->user_no)->balance;
    reply->paid_at_ms = payment.at_ms;
    reply->receipt_count = receipt_of(core, &payment, reply->receipt, sizeof reply->receipt);
    return USHER_OK;
}

/* --- refund ------------------------------------------------------------------------------------------------ */
static bool
is_wanted(const usher_refund_request *ask, uint64_t reservation_id)
{
    for (uint32_t i = 0; i < ask->reservation_count; i++)
        if (ask->reservation[i] == reservation_id)
            return true;
    return ask->reservation_count == 0;
}

/* M8: users until refund_until_ms before the show, the house at any time. */
static bool
is_closed(const struct core *core, const struct core_request *request, const struct sold_seat *seat)
{
    const struct date_record *date = store_see_date(core->store, seat->date_no);
    if (request->asker.role != USHER_ROLE_GATEWAY)
        return false;
    return date->refund_until_ms >= date->starts_at_ms || core->now_ms >= date->starts_at_ms - date->refund_until_ms;
}

static usher_result
check_refund(struct core *core, const struct core_request *request, const usher_refund_request *ask,
             const struct payment_row *payment, struct refund_row *refund)
{
    uint32_t named = 0;
    bool closed = false, again = false;
    usher_result result = check_list(core, ask->reservation, ask->reservation_count);

    if (result != USHER_OK)
        return result;
    for (uint32_t i = 0; i < payment->seat_count; i++) {
        const struct sold_seat *seat = &payment->seat[i];
        if (!is_wanted(ask, seat->reservation_id))
            continue;
        named++;
        if (!still_sold(core, seat)) {
            again |= ask->reservation_count != 0;
            continue;
        }
        closed |= is_closed(core, request, seat);
        refund->seat[refund->seat_count++] = *seat;
        refund->amount += seat->price;
    }
    if (named < ask->reservation_count)
        return USHER_RESERVATION_NOT_FOUND;
    if (refund->amount > USHER_POINTS_MAX - store_see_user(core->store, core->user_no)->balance)
        return core_refuse_detail(core, USHER_BALANCE_TOO_LARGE, (uint64_t)USHER_POINTS_MAX);
    if (closed)
        return USHER_REFUND_CLOSED;
    return again || refund->seat_count == 0 ? USHER_ALREADY_REFUNDED : USHER_OK;
}

static void
free_sold(struct core *core, const struct sold_seat *seat)
{
    struct block_record block;
    store_get_block(core->store, SEAT_BLOCK(seat->date_no, seat->seat_no), &block);
    block.sold &= ~SEAT_BIT(seat->seat_no);
    block.reservation_id[SEAT_SLOT(seat->seat_no)] = 0;
    block.version++;
    store_put_block(core->store, &block);
    user_owns(core, core->user_no, seat->date_no, -1);
}

usher_result
core_refund(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_refund_request *ask = body;
    usher_refund_reply *reply = out;
    struct payment_row payment;
    struct refund_row refund = {.at_ms = core->now_ms, .user_no = (uint32_t)core->user_no};

    if (!store_read_payment(core->store, ask->payment_id, &payment) || payment.user_no != core->user_no)
        return USHER_PAYMENT_NOT_FOUND;
    usher_result result = check_refund(core, request, ask, &payment, &refund);
    if (result != USHER_OK)
        return result;

    refund.refund_id = ++core_house(core)->last_refund_id;
    refund.payment_id = payment.payment_id;
    refund.entry_no = points_transfer(core, core->user_no, USHER_ENTRY_REFUND, refund.amount, payment.payment_id,
                                      refund.refund_id);
    store_append_refund(core->store, &refund);
    for (uint32_t i = 0; i < refund.seat_count; i++) {
        free_sold(core, &refund.seat[i]);
        emit_of_payment(core, USHER_EVENT_SEAT_RELEASED, payment.payment_id, refund.refund_id, &refund.seat[i],
                        refund.seat[i].price);
        if (store_see_note(core->store, NOTE_KEY(refund.seat[i].date_no, refund.seat[i].seat_no)) != NULL)
            seat_blocked_again(core, refund.seat[i].date_no, refund.seat[i].seat_no); /* it was sold through a block */
    }
    emit_of_payment(core, USHER_EVENT_REFUNDED, payment.payment_id, refund.refund_id, NULL, refund.amount);
    reply->refund_id = refund.refund_id;
    reply->amount = refund.amount;
    reply->balance = store_see_user(core->store, core->user_no)->balance;
    reply->seat_count = (uint16_t)refund.seat_count;
    return USHER_OK;
}

/* --- reading ----------------------------------------------------------------------------------------------- */
usher_result
core_receipt(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_receipt_request *ask = body;
    usher_receipt_reply *reply = out;
    struct payment_row payment;

    (void)request;
    if (core->user_no == 0 || !store_read_payment(core->store, ask->payment_id, &payment) ||
        payment.user_no != core->user_no)
        return USHER_PAYMENT_NOT_FOUND;
    reply->receipt_count = receipt_of(core, &payment, reply->receipt, sizeof reply->receipt);
    return reply->receipt_count == 0 ? USHER_ALREADY_REFUNDED : USHER_OK;
}

usher_result
core_history(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_history_request *ask = body;
    usher_history_reply *reply = out;
    struct history_record row[sizeof reply->row / sizeof *reply->row];
    bool more = false;

    (void)request;
    reply->written_event_no = store_consumer_cursor(core->store);
    if (core->user_no == 0)
        return USHER_OK;
    size_t count = store_consumer_rows(core->store, core->user_no, ask->after_event_no, row,
                                       sizeof row / sizeof *row, &more);
    for (size_t i = 0; i < count; i++)
        reply->row[i] = (usher_history_row){.event_no = row[i].event_no,
                                            .kind = row[i].kind,
                                            .at_ms = row[i].at_ms,
                                            .payment_id = row[i].payment_id,
                                            .refund_id = row[i].refund_id,
                                            .reservation_id = row[i].reservation_id,
                                            .concert_id = row[i].concert_id,
                                            .date_id = row[i].date_id,
                                            .seat_no = row[i].seat_no,
                                            .amount = row[i].amount};
    reply->row_count = (uint16_t)count;
    reply->more = more;
    return USHER_OK;
}
