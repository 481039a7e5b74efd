/* money.c: points, payments, tickets, and what is asked about them afterwards. Each movement has two sides, so the sum
 * over all accounts stays 0 (M2); figures.ledger_sum adds them up anew. */
#include <stdlib.h>
#include <string.h>

#include "client-sdk/fake/src/fake.h"

#define CHARGE_MOST 1000000000 /* charge_max of policies.def, as a house begins */

usher_result
fake_charge(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    const usher_charge_request *request = body;
    usher_charge_reply *reply = answer;
    struct fake_account *account;
    usher_event *event;

    if (request->amount <= 0)
        return USHER_AMOUNT_INVALID;
    ask->refusal.detail = CHARGE_MOST;
    if (request->amount > CHARGE_MOST)
        return USHER_AMOUNT_TOO_LARGE;
    account = fake_account_of(fake, &ask->user);
    ask->refusal.detail = (uint64_t)USHER_POINTS_MAX;
    if (account->balance > USHER_POINTS_MAX - request->amount)
        return USHER_BALANCE_TOO_LARGE;
    account->balance += request->amount;
    fake->top_ups -= request->amount;
    event = fake_emit(fake, USHER_EVENT_CHARGED, &ask->user);
    event->amount = request->amount;
    reply->balance = account->balance;
    reply->entry_no = ++fake->entry_count;
    return USHER_OK;
}

usher_result
fake_balance(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    usher_balance_reply *reply = answer;

    (void)body;
    reply->balance = fake_account_of(fake, &ask->user)->balance;
    return USHER_OK;
}

/* --- paying ------------------------------------------------------------------------------------------------ */
/* The ticket of a payment, for the seats that have not been refunded; returns its size, 0 when none is left. */
static size_t
make_receipt(usher_fake *fake, uint64_t payment_id, uint8_t *out, size_t room)
{
    const struct fake_payment *payment = &fake->payments.item[payment_id - 1];
    usher_receipt_body receipt = {
        .key_id = FAKE_KEY_ID, .user = payment->user, .payment_id = payment_id, .paid_at_ms = payment->paid_at_ms};
    uint8_t body[USHER_RECEIPT_BODY_FIXED + 12 * USHER_RECEIPT_SEATS_MOST];

    for (size_t i = 0; i < payment->reservation_count; i++) {
        const struct fake_reservation *reservation = &fake->reservations.item[payment->reservation[i] - 1];
        usher_receipt_seat *seat = &receipt.seat[receipt.seat_count];

        if (reservation->state != FAKE_RESERVATION_PAID)
            continue;
        receipt.seat_count++;
        receipt.amount += reservation->price;
        seat->concert_id = reservation->date->row.concert_id;
        seat->date_id = reservation->date->row.date_id;
        seat->seat_no = reservation->seat_no;
    }
    if (receipt.seat_count == 0)
        return 0;
    return fake_sign(fake, body, usher_receipt_body_encode(&receipt, body, sizeof body), out, room);
}

/* Whether all the reservations can be paid for, and what they cost. */
static usher_result
check_payment(usher_fake *fake, struct fake_ask *ask, const usher_pay_request *request, int64_t *amount)
{
    usher_result result = request->reservation_count == 0 ? USHER_SEATS_NONE : USHER_OK;

    for (size_t i = 0; i < request->reservation_count; i++)
        for (size_t k = 0; k < i; k++)
            if (request->reservation[i] == request->reservation[k]) {
                ask->refusal.detail = request->reservation[i];
                return USHER_SEAT_DUPLICATE;
            }
    *amount = 0;
    for (size_t i = 0; i < request->reservation_count && result == USHER_OK; i++) {
        const struct fake_reservation *reservation = fake_find_reservation(fake, request->reservation[i]);

        if (reservation == NULL)
            return USHER_RESERVATION_NOT_FOUND;
        if (!fake_same_user(&reservation->user, &ask->user))
            return USHER_NOT_YOURS;
        if (ask->place != NULL && ask->place->queue_id != reservation->date->row.queue_id)
            return USHER_TOKEN_OTHER_QUEUE;
        if (reservation->payment_id != 0) {
            ask->refusal.detail = reservation->payment_id;
            return USHER_ALREADY_PAID;
        }
        if (reservation->state != FAKE_RESERVATION_HELD)
            return USHER_HOLD_EXPIRED;
        *amount += reservation->price;
    }
    return result;
}

/* One seat of the payment becomes the user's own. */
static void
pay_seat(usher_fake *fake, uint64_t reservation_id, uint64_t payment_id, usher_paid_seat *seat)
{
    struct fake_reservation *reservation = &fake->reservations.item[reservation_id - 1];
    struct fake_history *history = FAKE_ADD(&fake->history);
    usher_event *event;

    reservation->state = FAKE_RESERVATION_PAID;
    reservation->payment_id = payment_id;
    reservation->date->version++;
    event = fake_emit_seat(fake, USHER_EVENT_SEAT_SOLD, reservation);
    seat->reservation_id = reservation_id;
    seat->concert_id = event->concert_id;
    seat->date_id = event->date_id;
    seat->seat_no = event->seat_no;
    seat->price = reservation->price;
    history->user = reservation->user;
    history->row = (usher_history_row){.event_no = event->event_no,
                                       .kind = USHER_HISTORY_PAYMENT,
                                       .at_ms = event->at_ms,
                                       .payment_id = payment_id,
                                       .reservation_id = reservation_id,
                                       .concert_id = event->concert_id,
                                       .date_id = event->date_id,
                                       .seat_no = event->seat_no,
                                       .amount = reservation->price};
}

usher_result
fake_pay(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    const usher_pay_request *request = body;
    usher_pay_reply *reply = answer;
    struct fake_account *account = fake_account_of(fake, &ask->user);
    struct fake_payment *payment;
    usher_event *event;
    usher_result result = check_payment(fake, ask, request, &reply->amount);

    if (result != USHER_OK)
        return result;
    if (account->balance < reply->amount) {
        ask->refusal.detail = (uint64_t)(reply->amount - account->balance);
        return USHER_NOT_ENOUGH_POINTS;
    }
    account->balance -= reply->amount;
    fake->sales += reply->amount;
    fake->entry_count++;
    payment = FAKE_ADD(&fake->payments);
    payment->user = ask->user;
    payment->paid_at_ms = fake->now_ms;
    payment->reservation_count = request->reservation_count;
    memcpy(payment->reservation, request->reservation, request->reservation_count * sizeof *request->reservation);
    reply->payment_id = fake->payments.count;
    reply->balance = account->balance;
    reply->paid_at_ms = fake->now_ms;
    for (size_t i = 0; i < request->reservation_count; i++)
        pay_seat(fake, request->reservation[i], reply->payment_id, &reply->seat[reply->seat_count++]);
    event = fake_emit(fake, USHER_EVENT_PAID, &ask->user);
    event->payment_id = reply->payment_id;
    event->amount = reply->amount;
    if (ask->place != NULL)
        ask->place->state = USHER_PLACE_USED;
    reply->receipt_count = (uint16_t)make_receipt(fake, reply->payment_id, reply->receipt, sizeof reply->receipt);
    return USHER_OK;
}

/* --- giving back ------------------------------------------------------------------------------------------- */
static const struct fake_payment *
payment_of(usher_fake *fake, const usher_uuid *user, uint64_t payment_id)
{
    if (payment_id == 0 || payment_id > fake->payments.count ||
        !fake_same_user(&fake->payments.item[payment_id - 1].user, user))
        return NULL;
    return &fake->payments.item[payment_id - 1];
}

static bool
names_reservation(const usher_refund_request *request, uint64_t reservation_id)
{
    for (size_t i = 0; i < request->reservation_count; i++)
        if (request->reservation[i] == reservation_id)
            return true;
    return request->reservation_count == 0;
}

static void
refund_seat(usher_fake *fake, uint64_t reservation_id, usher_refund_reply *reply)
{
    struct fake_reservation *reservation = &fake->reservations.item[reservation_id - 1];
    struct fake_history *history = FAKE_ADD(&fake->history);
    usher_event *event;

    fake_free_seat(fake, reservation, FAKE_RESERVATION_REFUNDED);
    event = fake_emit_seat(fake, USHER_EVENT_REFUNDED, reservation);
    event->refund_id = reply->refund_id;
    history->user = reservation->user;
    history->row = (usher_history_row){.event_no = event->event_no,
                                       .kind = USHER_HISTORY_REFUND,
                                       .at_ms = event->at_ms,
                                       .payment_id = reservation->payment_id,
                                       .refund_id = reply->refund_id,
                                       .reservation_id = reservation_id,
                                       .concert_id = event->concert_id,
                                       .date_id = event->date_id,
                                       .seat_no = event->seat_no,
                                       .amount = -reservation->price};
    reply->amount += reservation->price;
    reply->seat_count++;
}

/* Whether the reservations named are the payment's and not refunded yet. */
static usher_result
check_refund(usher_fake *fake, const usher_refund_request *request, const struct fake_payment *payment)
{
    bool any_left = false;

    for (size_t i = 0; i < request->reservation_count; i++) {
        bool found = false;
        for (size_t k = 0; k < payment->reservation_count; k++)
            found = found || payment->reservation[k] == request->reservation[i];
        if (!found)
            return USHER_RESERVATION_NOT_FOUND;
        if (fake_find_reservation(fake, request->reservation[i])->state != FAKE_RESERVATION_PAID)
            return USHER_ALREADY_REFUNDED;
    }
    for (size_t i = 0; i < payment->reservation_count; i++)
        any_left = any_left || fake->reservations.item[payment->reservation[i] - 1].state == FAKE_RESERVATION_PAID;
    return any_left ? USHER_OK : USHER_ALREADY_REFUNDED;
}

usher_result
fake_refund(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    const usher_refund_request *request = body;
    usher_refund_reply *reply = answer;
    const struct fake_payment *payment = payment_of(fake, &ask->user, request->payment_id);
    struct fake_account *account = fake_account_of(fake, &ask->user);
    usher_result result = payment == NULL ? USHER_PAYMENT_NOT_FOUND : check_refund(fake, request, payment);

    if (result != USHER_OK)
        return result;
    reply->refund_id = ++fake->refund_count;
    for (size_t i = 0; i < payment->reservation_count; i++)
        if (names_reservation(request, payment->reservation[i]) &&
            fake->reservations.item[payment->reservation[i] - 1].state == FAKE_RESERVATION_PAID)
            refund_seat(fake, payment->reservation[i], reply);
    account->balance += reply->amount;
    fake->sales -= reply->amount;
    fake->entry_count++;
    reply->balance = account->balance;
    return USHER_OK;
}

/* --- asking afterwards ------------------------------------------------------------------------------------- */
usher_result
fake_history(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    const usher_history_request *request = body;
    usher_history_reply *reply = answer;

    reply->written_event_no = fake->events.count;
    for (size_t i = 0; i < fake->history.count; i++) {
        const struct fake_history *history = &fake->history.item[i];

        if (!fake_same_user(&history->user, &ask->user) || history->row.event_no <= request->after_event_no)
            continue;
        if (reply->row_count == 64) {
            reply->more = USHER_FLAG_YES;
            break;
        }
        reply->row[reply->row_count++] = history->row;
    }
    return USHER_OK;
}

usher_result
fake_receipt(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    const usher_receipt_request *request = body;
    usher_receipt_reply *reply = answer;

    if (payment_of(fake, &ask->user, request->payment_id) == NULL)
        return USHER_PAYMENT_NOT_FOUND;
    reply->receipt_count = (uint16_t)make_receipt(fake, request->payment_id, reply->receipt, sizeof reply->receipt);
    return reply->receipt_count > 0 ? USHER_OK : USHER_ALREADY_REFUNDED;
}

/* As the server does: what is remembered has no proof; the document's own body is left. */
static void
strip_proof(const usher_layout *layout, uint8_t *body)
{
    for (size_t i = 0; i < layout->field_count; i++) {
        const usher_field *field = &layout->fields[i];
        unsigned kind = strcmp(field->name, "receipt") == 0 ? USHER_DOCUMENT_RECEIPT : USHER_DOCUMENT_TOKEN;
        usher_proof proof;
        uint16_t count;
        size_t body_size;

        if (field->kind != USHER_KIND_BYTES)
            continue;
        memcpy(&count, body + field->count_offset, sizeof count);
        if (!usher_document_split(body + field->offset, count, kind, &body_size, &proof))
            continue;
        count = (uint16_t)body_size;
        memcpy(body + field->count_offset, &count, sizeof count);
    }
}

usher_result
fake_lookup(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    const usher_lookup_request *request = body;
    usher_lookup_reply *reply = answer;
    const usher_uuid *scope = fake_no_user(&ask->user) ? &ask->client : &ask->user;
    union {
        max_align_t align;
        uint8_t bytes[FAKE_BODY_ROOM];
    } decoded = {.bytes = {0}};
    unsigned field_no;

    for (size_t i = 0; i < fake->answers.count; i++) {
        const struct fake_answer *found = &fake->answers.item[i];
        const usher_layout *layout;
        size_t size;

        if (!found->remembered || !fake_same_user(&found->scope, scope) ||
            memcmp(&found->seen.request_id, &request->request_id, sizeof request->request_id) != 0)
            continue;
        layout = found->seen.result == USHER_OK ? usher_message_of(found->seen.opcode)->reply : usher_refusal_layout();
        if (usher_decode(layout, found->body, found->body_size, decoded.bytes, &field_no) != USHER_OK)
            abort(); /* we have encoded it */
        strip_proof(layout, decoded.bytes);
        size = usher_encode(layout, decoded.bytes, reply->body, sizeof reply->body);
        if (size == SIZE_MAX)
            abort(); /* no command has so large a reply */
        reply->opcode = found->seen.opcode;
        reply->result = found->seen.result;
        reply->at_ms = found->at_ms;
        reply->body_count = (uint16_t)size;
        return USHER_OK;
    }
    return USHER_REQUEST_NOT_FOUND;
}
