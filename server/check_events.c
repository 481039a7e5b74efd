/* check_events.c: usherd check on what follows from the books: events without a gap, answers by their ids, and the rows
 * of users' history that the consumer made of the events (X5, M3, B2). */
#include "server/check.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PROBLEM(table, key, ...) check_problem_at(trail->check, STORE_TABLE_##table, (key), __VA_ARGS__)

struct trail {
    struct check *check;
    struct store *store;
    struct house_record house;
    struct store_meta meta;
    uint64_t next_no, last_at_ms;
    uint64_t paid, refunded; /* events */
    uint64_t rows_due, rows; /* of the consumer */
};

static bool
trail_open(struct trail *trail, struct check *check)
{
    *trail = (struct trail){.check = check, .store = check->store};
    if (store_get_house(check->store, 0, &trail->house) && store_snapshot_meta(check->store, &trail->meta))
        return true;
    PROBLEM(HOUSE, 0, "the house record or the consumer's cursor can't be read");
    return false;
}

/* --- events ------------------------------------------------------------------------------------------------ */
static void
check_source(struct trail *trail, const struct event_row *event)
{
    struct payment_row payment;
    struct refund_row refund;

    if (event->kind == USHER_EVENT_PAID) {
        trail->paid++;
        if (!store_read_payment(trail->store, event->payment_id, &payment) || payment.user_no != event->user_no ||
            payment.amount != event->amount)
            PROBLEM(EVENT, event->event_no, "payment %" PRIu64 " is not what it tells of", event->payment_id);
    } else if (event->kind == USHER_EVENT_REFUNDED) {
        trail->refunded++;
        if (!store_read_refund(trail->store, event->refund_id, &refund) || refund.user_no != event->user_no ||
            refund.amount != event->amount)
            PROBLEM(EVENT, event->event_no, "refund %" PRIu64 " is not what it tells of", event->refund_id);
    }
}

static void
visit_event(void *context, const struct store_row *row)
{
    struct trail *trail = context;
    struct event_row event;
    const struct user_record *user;

    memcpy(&event, row->bytes, sizeof event);
    if (event.event_no != trail->next_no)
        PROBLEM(EVENT, event.event_no, "event %" PRIu64 " should be here: there is a gap (X5)", trail->next_no);
    trail->next_no = event.event_no + 1;
    if (event.at_ms < trail->last_at_ms || event.at_ms > trail->house.stamp_ms)
        PROBLEM(EVENT, event.event_no, "its moment is out of order (X1)");
    trail->last_at_ms = event.at_ms;
    user = event.user_no == 0 ? NULL : store_see_user(trail->store, event.user_no);
    if (event.user_no != 0 && (user == NULL || memcmp(&user->uuid, &event.user, sizeof event.user) != 0))
        PROBLEM(EVENT, event.event_no, "user %u is not who it tells of", event.user_no);
    check_source(trail, &event);
}

void
check_events(struct check *check)
{
    struct trail kept, *trail = &kept;

    if (!trail_open(trail, check))
        return;
    trail->next_no = trail->house.first_event_no;
    check_each(check, STORE_TABLE_EVENT, visit_event, trail);
    if (trail->next_no != trail->house.last_event_no + 1)
        PROBLEM(EVENT, trail->house.last_event_no, "the house says that this is the last; it is %" PRIu64,
                trail->next_no - 1);
    if (trail->house.first_event_no == 1 &&
        (trail->paid != trail->house.last_payment_id || trail->refunded != trail->house.last_refund_id))
        PROBLEM(HOUSE, 0, "%" PRIu64 " payments and %" PRIu64 " refunds, but events of %" PRIu64 " and %" PRIu64,
                trail->house.last_payment_id, trail->house.last_refund_id, trail->paid, trail->refunded);
    if (trail->meta.consumer_cursor > trail->house.last_event_no)
        check_problem(check, "meta", "2", "the consumer has taken in events that are not there");
    if (trail->meta.consumer_cursor < trail->house.history_event_no)
        check_problem(check, "meta", "2", "the house says that the consumer has come to %" PRIu64 " (X5)",
                      trail->house.history_event_no);
}

/* --- answers ----------------------------------------------------------------------------------------------- */
static void
visit_answer(void *context, const struct store_row *row)
{
    struct trail *trail = context;
    struct answer_row answer = {0}, found;

    memcpy(&answer, row->bytes, row->size);
    if (answer.answer_no > trail->house.last_answer_no)
        PROBLEM(ANSWER, answer.answer_no, "the house says that the last is %" PRIu64, trail->house.last_answer_no);
    if (usher_message_of(answer.opcode) == NULL)
        PROBLEM(ANSWER, answer.answer_no, "there is no request %u", answer.opcode);
    if ((answer.scope & 1) != 0 ? answer.scope >> 1 > trail->house.last_client_no
                                : answer.scope >> 1 == 0 || answer.scope >> 1 > trail->house.last_user_no)
        PROBLEM(ANSWER, answer.answer_no, "there is nobody whose it could be");
    if (!store_find_answer(trail->store, answer.scope, &answer.request_id, &found) ||
        found.answer_no != answer.answer_no)
        PROBLEM(ANSWER, answer.answer_no, "another answer has the same request id (M3)");
    trail->rows++;
}

void
check_answers(struct check *check)
{
    struct trail kept, *trail = &kept;

    if (!trail_open(trail, check))
        return;
    check_each(check, STORE_TABLE_ANSWER, visit_answer, trail);
    if (trail->rows != store_answer_count(check->store))
        PROBLEM(HOUSE, 0, "%" PRIu64 " answers, %" PRIu64 " in their index", trail->rows,
                store_answer_count(check->store));
}

/* --- the consumer's rows ----------------------------------------------------------------------------------- */
static void
count_payment(void *context, const struct store_row *row)
{
    struct trail *trail = context;
    struct payment_row payment = {0};

    memcpy(&payment, row->bytes, row->size);
    trail->rows_due += payment.seat_count;
}

static void
count_refund(void *context, const struct store_row *row)
{
    struct trail *trail = context;
    struct refund_row refund = {0};

    memcpy(&refund, row->bytes, row->size);
    trail->rows_due += refund.seat_count;
}

/* What the consumer has still to take in is not due yet. */
static void
count_event(void *context, const struct store_row *row)
{
    struct trail *trail = context;
    struct event_row event;
    struct payment_row payment;
    struct refund_row refund;

    memcpy(&event, row->bytes, sizeof event);
    if (event.event_no <= trail->meta.consumer_cursor)
        return;
    if (event.kind == USHER_EVENT_PAID && store_read_payment(trail->store, event.payment_id, &payment))
        trail->rows_due -= payment.seat_count;
    if (event.kind == USHER_EVENT_REFUNDED && store_read_refund(trail->store, event.refund_id, &refund))
        trail->rows_due -= refund.seat_count;
}

/* The row as its payment or refund makes it. */
static bool
make_row(const struct trail *trail, const struct history_record *row, struct history_record *made)
{
    struct event_row event = {.event_no = row->event_no, .at_ms = row->at_ms}, kept;
    struct payment_row payment;
    struct refund_row refund;

    if (row->event_no >= trail->house.first_event_no) {
        if (!store_read_event(trail->store, row->event_no, &kept))
            return false;
        event = kept;
    }
    if (row->kind == USHER_HISTORY_PAYMENT) {
        if (!store_read_payment(trail->store, row->payment_id, &payment) || row->index >= payment.seat_count)
            return false;
        *made = store_consumer_row(&event, &payment, NULL, row->index);
        return true;
    }
    if (!store_read_refund(trail->store, row->refund_id, &refund) || row->index >= refund.seat_count)
        return false;
    *made = store_consumer_row(&event, NULL, &refund, row->index);
    return true;
}

static void
visit_history(void *context, const struct store_row *at)
{
    struct trail *trail = context;
    struct history_record row, made;
    char key[64];

    memcpy(&row, at->bytes, sizeof row);
    trail->rows++;
    if (row.event_no > trail->meta.consumer_cursor)
        check_problem(trail->check, "history", store_row_key(at, key), "the cursor has not come to its event yet");
    if (!make_row(trail, &row, &made) || memcmp(&row, &made, sizeof row) != 0)
        check_problem(trail->check, "history", store_row_key(at, key), "it is not what its payment or refund makes");
}

void
check_consumer(struct check *check)
{
    struct trail kept, *trail = &kept;

    if (!trail_open(trail, check))
        return;
    check_each(check, STORE_TABLE_PAYMENT, count_payment, trail);
    check_each(check, STORE_TABLE_REFUND, count_refund, trail);
    check_each(check, STORE_TABLE_EVENT, count_event, trail);
    check_each(check, STORE_DISK_HISTORY, visit_history, trail);
    if (trail->rows != trail->rows_due)
        check_problem(check, "history", "*", "%" PRIu64 " rows; the payments and refunds make %" PRIu64, trail->rows,
                      trail->rows_due);
}
