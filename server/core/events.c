/* events.c: the events that were made: reading them, their named consumers, and how long they are kept (X5).
 *
 *     dropped    kept                                                   to come
 *     .........  first_event_no ............................ last_event_no
 *                     ^ a consumer's cursor     ^ the history's
 *
 * The oldest event goes, in the tick, when the history has taken it in and
 *     either the kept ones count more than event_bytes_max,
 *     or it is event_days old and every named consumer has acknowledged it.
 * So a consumer that is dead costs disk up to the bound, and nobody waits for it: it finds EVENTS_LOST and the first
 * number kept. The house's own consumer, the history (B2), is never passed: what it has not taken in stays, beyond the
 * bound too, and INFO's events_overdue and the log raise an alarm.
 *
 * How far the history has come is known outside of the core alone, so it comes in as a command of the server's own,
 * HISTORY_TAKEN: a replay of the batches drops the same events at the same moments. It is asked for when the next event
 * could go but for it; so the core may know of less than the history has done, never of more.
 *
 * Dropping is done in bites, counted and never timed: EVENTS_DROPPED_A_TICK and twice as many as the batch before made,
 * so that what is dropped keeps pace with what is made whatever the load.
 *
 * Invariants, checked by core_audit():
 *   E1  First_event_no - 1 <= history_event_no <= last_event_no: nothing that the history still needs is gone.
 *   E2  Consumers have names, no two the same one, and none has acknowledged an event that there is not. */
#include "server/core/internal.h"

#define DAY_MS                UINT64_C(86400000)
#define EVENT_BYTES           128u /* a row of 96 bytes, its key and check, and what LMDB takes for it */
#define EVENTS_DROPPED_A_TICK 256u

/* --- consumers ----------------------------------------------------------------------------------------- */
/* Its place, or 0 if there is none of this name. */
static uint64_t
find_consumer(const struct core *core, const char *name)
{
    const struct consumer_record *consumer;

    for (uint64_t no = 1; no <= CORE_CONSUMERS_MOST; no++) {
        consumer = store_see_consumer(core->store, no);
        if (consumer != NULL && strcmp(consumer->name, name) == 0)
            return no;
    }
    return 0;
}

/* An admin may see to every consumer, an observer to those that it has made itself. */
static bool
is_theirs(const struct core_request *request, const struct consumer_record *consumer)
{
    return request->asker.role == USHER_ROLE_ADMIN || consumer->client_no == request->asker.client_no;
}

static void
consumer_changed(struct core *core)
{
    core_emit(core, USHER_EVENT_CONSUMER_CHANGED, 0, (struct event_row){0});
}

/* Where a new consumer begins. */
static usher_result
first_cursor(struct core *core, uint64_t after_event_no, uint64_t *event_no)
{
    *event_no = after_event_no;
    if (after_event_no == 0)
        *event_no = core->house->first_event_no - 1;
    if (after_event_no == UINT64_MAX)
        *event_no = core->house->last_event_no;
    if (*event_no > core->house->last_event_no)
        return core_refuse_detail(core, USHER_EVENT_NOT_YET, core->house->last_event_no);
    if (*event_no + 1 < core->house->first_event_no)
        return core_refuse_detail(core, USHER_EVENTS_LOST, core->house->first_event_no);
    return USHER_OK;
}

usher_result
core_put_consumer(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_put_consumer_request *ask = body;
    usher_put_consumer_reply *reply = out;
    uint64_t no = find_consumer(core, ask->consumer);
    struct consumer_record consumer = {.since_ms = core->now_ms, .client_no = request->asker.client_no};

    if (ask->consumer[0] == '\0')
        return USHER_CATALOGUE_INVALID;
    if (no != 0) { /* it goes on where it was: whoever starts anew puts it again */
        store_get_consumer(core->store, no, &consumer);
        reply->event_no = consumer.event_no;
        return is_theirs(request, &consumer) ? USHER_OK : USHER_ROLE_REFUSED;
    }
    while (++no <= CORE_CONSUMERS_MOST && store_see_consumer(core->store, no) != NULL)
        continue;
    if (no > CORE_CONSUMERS_MOST)
        return core_refuse_detail(core, USHER_TOO_MANY, CORE_CONSUMERS_MOST);
    usher_result result = first_cursor(core, ask->after_event_no, &consumer.event_no);
    if (result != USHER_OK)
        return result;

    consumer.consumer_no = no;
    memcpy(consumer.name, ask->consumer, sizeof consumer.name);
    store_put_consumer(core->store, &consumer);
    consumer_changed(core);
    reply->created = USHER_FLAG_YES;
    reply->event_no = consumer.event_no;
    return USHER_OK;
}

/* A cursor never moves back: acknowledgements may come twice and in any order. */
usher_result
core_acknowledge(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_acknowledge_request *ask = body;
    struct consumer_record consumer;

    if (!store_get_consumer(core->store, find_consumer(core, ask->consumer), &consumer))
        return USHER_CONSUMER_NOT_FOUND;
    if (!is_theirs(request, &consumer))
        return USHER_ROLE_REFUSED;
    if (ask->event_no > core->house->last_event_no)
        return core_refuse_detail(core, USHER_EVENT_NOT_YET, core->house->last_event_no);

    if (ask->event_no > consumer.event_no)
        consumer.event_no = ask->event_no;
    consumer.acknowledged_at_ms = core->now_ms;
    store_put_consumer(core->store, &consumer);
    ((usher_acknowledge_reply *)out)->event_no = consumer.event_no;
    return USHER_OK;
}

usher_result
core_remove_consumer(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_remove_consumer_request *ask = body;
    struct consumer_record consumer;

    if (!store_get_consumer(core->store, find_consumer(core, ask->consumer), &consumer))
        return USHER_CONSUMER_NOT_FOUND;
    if (!is_theirs(request, &consumer))
        return USHER_ROLE_REFUSED;
    store_remove_consumer(core->store, consumer.consumer_no);
    consumer_changed(core);
    ((usher_remove_consumer_reply *)out)->event_no = consumer.event_no;
    return USHER_OK;
}

usher_result
core_consumers(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_consumers_request *ask = body;
    usher_consumers_reply *reply = out;
    uint64_t first_event_no = core->house->first_event_no;

    _Static_assert(sizeof reply->row / sizeof *reply->row >= CORE_CONSUMERS_MOST, "one reply has room for all");
    (void)request;
    reply->first_event_no = first_event_no;
    reply->last_event_no = core->house->last_event_no;
    for (uint64_t no = 1; no <= CORE_CONSUMERS_MOST; no++) {
        const struct consumer_record *consumer = store_see_consumer(core->store, no);
        if (consumer == NULL || (ask->consumer[0] != '\0' && strcmp(ask->consumer, consumer->name) != 0))
            continue;
        usher_consumer_row *row = &reply->row[reply->row_count++];
        memcpy(row->consumer, consumer->name, sizeof row->consumer);
        row->event_no = consumer->event_no;
        row->lost_count = consumer->event_no + 1 < first_event_no ? first_event_no - 1 - consumer->event_no : 0;
        row->since_ms = consumer->since_ms;
        row->acknowledged_at_ms = consumer->acknowledged_at_ms;
        row->client_id = (uint32_t)consumer->client_no;
    }
    return ask->consumer[0] != '\0' && reply->row_count == 0 ? USHER_CONSUMER_NOT_FOUND : USHER_OK;
}

/* --- reading ------------------------------------------------------------------------------------------- */
static usher_event
event_of(const struct event_row *row)
{
    return (usher_event){.event_no = row->event_no,
                         .at_ms = row->at_ms,
                         .kind = row->kind,
                         .user = row->user,
                         .queue_id = row->queue_id,
                         .position = row->position,
                         .concert_id = row->concert_id,
                         .date_id = row->date_id,
                         .seat_no = row->seat_no,
                         .reservation_id = row->reservation_id,
                         .payment_id = row->payment_id,
                         .refund_id = row->refund_id,
                         .amount = row->amount};
}

usher_result
core_events(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_events_request *ask = body;
    usher_events_reply *reply = out;
    uint64_t limit = sizeof reply->event / sizeof *reply->event;
    uint64_t after_event_no = ask->after_event_no;
    struct consumer_record consumer;
    struct event_row row;

    (void)request;
    if (ask->limit != 0 && ask->limit < limit)
        limit = ask->limit;
    reply->first_event_no = core->house->first_event_no;
    reply->last_event_no = core->house->last_event_no;
    if (ask->consumer[0] != '\0') {
        if (!store_get_consumer(core->store, find_consumer(core, ask->consumer), &consumer))
            return USHER_CONSUMER_NOT_FOUND;
        if (consumer.event_no > after_event_no)
            after_event_no = consumer.event_no;
    }
    reply->after_event_no = after_event_no;
    if (after_event_no == UINT64_MAX)
        return USHER_OK;
    if (after_event_no + 1 < core->house->first_event_no)
        return core_refuse_detail(core, USHER_EVENTS_LOST, core->house->first_event_no);
    for (uint64_t event_no = after_event_no + 1; event_no <= core->house->last_event_no; event_no++) {
        if (reply->event_count == limit || !store_read_event(core->store, event_no, &row))
            break;
        reply->event[reply->event_count++] = event_of(&row);
    }
    return USHER_OK;
}

/* --- how long they are kept ---------------------------------------------------------------------------- */
uint64_t
events_bytes(const struct house_record *house)
{
    return (house->last_event_no + 1 - house->first_event_no) * EVENT_BYTES;
}

static bool
is_past_bound(const struct core *core)
{
    return events_bytes(core->house) > house_policy(core, HOUSE_POLICY_event_bytes_max);
}

/* Up to which event all consumers have acknowledged; UINT64_MAX if there are none. */
static uint64_t
acknowledged_by_all(const struct core *core)
{
    uint64_t left = store_record_count(core->store, STORE_TABLE_CONSUMER), least = UINT64_MAX;

    for (uint64_t no = 1; left > 0; no++) {
        const struct consumer_record *consumer = store_see_consumer(core->store, no);
        if (consumer == NULL)
            continue;
        if (consumer->event_no < least)
            least = consumer->event_no;
        left--;
    }
    return least;
}

/* quiet_event_* spares the read of a row that is known to be too young. One of this very moment is not remembered: its
 * batch may be undone, and its number be another event's. */
static bool
is_old(struct core *core, uint64_t event_no)
{
    uint64_t keep_ms = house_policy(core, HOUSE_POLICY_event_days) * DAY_MS;
    struct event_row row;

    if (core->quiet_event_no == event_no)
        return core->quiet_event_at_ms + keep_ms <= core->now_ms;
    if (!store_read_event(core->store, event_no, &row) || row.at_ms == core->now_ms)
        return false;
    core->quiet_event_no = event_no;
    core->quiet_event_at_ms = row.at_ms;
    return row.at_ms + keep_ms <= core->now_ms;
}

/* Whether the oldest event may go as far as time, room and outside consumers are concerned. */
static bool
oldest_may_go(struct core *core, uint64_t acknowledged)
{
    uint64_t event_no = core->house->first_event_no;

    if (event_no > core->house->last_event_no)
        return false;
    return is_past_bound(core) || (event_no <= acknowledged && is_old(core, event_no));
}

bool
events_drop(struct core *core)
{
    uint64_t most = EVENTS_DROPPED_A_TICK + 2 * (core->house->last_event_no - core->house->tick_event_no);
    uint64_t acknowledged = acknowledged_by_all(core);
    bool any = false;

    while (most-- > 0 && core->house->first_event_no <= core->house->history_event_no &&
           oldest_may_go(core, acknowledged)) {
        store_drop_event(core->store, core->house->first_event_no);
        core_house(core)->first_event_no++;
        any = true;
    }
    core_house(core)->tick_event_no = core->house->last_event_no;
    return any;
}

usher_result
core_history_taken(struct core *core, const struct core_request *request, const void *body, void *out)
{
    uint64_t event_no = ((const usher_history_taken_request *)body)->event_no;

    (void)request;
    if (event_no > core->house->history_event_no && event_no <= core->house->last_event_no)
        core_house(core)->history_event_no = event_no;
    ((usher_history_taken_reply *)out)->event_no = core->house->history_event_no;
    return USHER_OK;
}

enum core_events_need
core_events_need(const struct core *core, uint64_t now_ms, uint64_t *event_no)
{
    struct core *self = (struct core *)core; /* only now_ms and the way to the house's record change */

    self->house = store_see_house(core->store, 0);
    self->now_ms = now_ms > core->house->stamp_ms ? now_ms : core->house->stamp_ms;
    *event_no = core->house->first_event_no;
    if (core->house->first_event_no <= core->house->history_event_no || !oldest_may_go(self, acknowledged_by_all(self)))
        return CORE_EVENTS_AT_EASE;
    return is_past_bound(core) ? CORE_EVENTS_PAST_BOUND : CORE_EVENTS_WAIT;
}

bool
events_are_overdue(const struct core *core, uint64_t history_event_no)
{
    return is_past_bound(core) && history_event_no < core->house->first_event_no;
}
