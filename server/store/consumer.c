/* consumer.c: the history consumer (B2): from an event to a user's rows; and the one of a store in memory alone. */
#include <assert.h>
#include <stdlib.h>

#include "server/store/consumer.h"
#include "server/store/memory.h"

/* --- from an event to rows -------------------------------------------------------------------- */
static struct history_record
row_of_seat(const struct event_row *event, uint32_t user_no, uint32_t index, const struct sold_seat *seat)
{
    return (struct history_record){
        .user_no = user_no,
        .index = (uint16_t)index,
        .event_no = event->event_no,
        .at_ms = event->at_ms,
        .reservation_id = seat->reservation_id,
        .concert_id = seat->concert_id,
        .date_id = seat->date_id,
        .seat_no = seat->seat_no,
    };
}

size_t
consumer_rows_of_payment(const struct event_row *event, const struct payment_row *payment, struct history_record *rows)
{
    for (uint32_t index = 0; index < payment->seat_count; index++) {
        rows[index] = row_of_seat(event, payment->user_no, index, &payment->seat[index]);
        rows[index].kind = USHER_HISTORY_PAYMENT;
        rows[index].payment_id = payment->payment_id;
        rows[index].amount = payment->seat[index].price;
    }
    return payment->seat_count;
}

size_t
consumer_rows_of_refund(const struct event_row *event, const struct refund_row *refund, struct history_record *rows)
{
    for (uint32_t index = 0; index < refund->seat_count; index++) {
        rows[index] = row_of_seat(event, refund->user_no, index, &refund->seat[index]);
        rows[index].kind = USHER_HISTORY_REFUND;
        rows[index].payment_id = refund->payment_id;
        rows[index].refund_id = refund->refund_id;
        rows[index].amount = -refund->seat[index].price;
    }
    return refund->seat_count;
}

/* --- in memory alone -------------------------------------------------------------------------- */
struct user_history {
    struct history_record *rows; /* events ascend, so rows do */
    size_t count, room;
};
struct consumer {
    struct map users; /* store_mix(user_no) -> number in histories + 1 */
    struct user_history *histories;
    size_t history_count, history_room;
    uint64_t cursor;
};

struct consumer *
consumer_open(void)
{
    return store_allocate(1, sizeof(struct consumer));
}

void
consumer_close(struct consumer *consumer)
{
    if (consumer == NULL)
        return;
    for (size_t at = 0; at < consumer->history_count; at++)
        free(consumer->histories[at].rows);
    free(consumer->histories);
    map_free(&consumer->users);
    free(consumer);
}

static struct user_history *
history_of(struct consumer *consumer, uint64_t user_no)
{
    uint64_t number = map_get(&consumer->users, store_mix(user_no));

    if (number == 0) {
        number = ++consumer->history_count;
        consumer->histories =
            store_grow(consumer->histories, &consumer->history_room, number, sizeof *consumer->histories);
        consumer->histories[number - 1] = (struct user_history){0};
        map_add(&consumer->users, store_mix(user_no), number);
    }
    return &consumer->histories[number - 1];
}

/* Take one event in; false if it is not there yet or what it names can't be read. */
static bool
take_in(struct store *store, uint64_t event_no)
{
    struct history_record rows[PAYMENT_SEATS_MOST];
    struct event_row event;
    struct payment_row payment;
    struct refund_row refund;
    size_t count = 0;

    if (!store_read_event(store, event_no, &event))
        return false;
    if (event.kind == USHER_EVENT_PAID) {
        if (!store_read_payment(store, event.payment_id, &payment))
            return false;
        count = consumer_rows_of_payment(&event, &payment, rows);
    } else if (event.kind == USHER_EVENT_REFUNDED) {
        if (!store_read_refund(store, event.refund_id, &refund))
            return false;
        count = consumer_rows_of_refund(&event, &refund, rows);
    }
    for (size_t at = 0; at < count; at++) {
        struct user_history *history = history_of(store->consumer, rows[at].user_no);

        history->rows = store_grow(history->rows, &history->room, history->count + 1, sizeof *history->rows);
        history->rows[history->count++] = rows[at];
    }
    store->consumer->cursor = event_no;
    return true;
}

enum store_step
consumer_step(struct store *store, uint32_t most)
{
    uint64_t before = store->consumer->cursor;

    assert(!store->batch.open);
    while (store->consumer->cursor - before < most && take_in(store, store->consumer->cursor + 1))
        continue;
    return store->consumer->cursor == before ? STORE_STEP_NOTHING : STORE_STEP_DONE;
}

uint64_t
consumer_cursor(const struct store *store)
{
    return store->consumer->cursor;
}

size_t
consumer_rows(const struct store *store, uint64_t user_no, uint64_t after_event_no, struct history_record *rows,
              size_t most, bool *more)
{
    uint64_t number = map_get(&store->consumer->users, store_mix(user_no));
    const struct user_history *history = number == 0 ? NULL : &store->consumer->histories[number - 1];
    size_t from = 0, count = 0;

    *more = false;
    if (history == NULL)
        return 0;
    while (from < history->count && history->rows[from].event_no <= after_event_no)
        from++;
    while (from + count < history->count && count < most) {
        rows[count] = history->rows[from + count];
        count++;
    }
    *more = from + count < history->count;
    return *more ? consumer_whole_events(rows, count, &history->rows[from + count]) : count;
}

size_t
consumer_whole_events(const struct history_record *rows, size_t count, const struct history_record *next)
{
    while (count > 0 && rows[count - 1].event_no == next->event_no)
        count--;
    return count;
}
