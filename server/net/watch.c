/* watch.c: the life of a subscription, and what a turn of the loop does for them all. See watch.h.
 *
 *     WATCH_... --ask the core, limits--> open --> looks and pushes ... --> WATCH_ENDED
 *                                           |`--> UNWATCH
 *                                           `---> the connection's end
 *
 * A subscription is only ever freed here, by drop(). Nothing that pushes drops another one than its own: a connection
 * that can't be pushed to for want of memory is marked and cut later, by the sweep. */
#include "server/net/watch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TICKET_QUEUE_SHIFT 40 /* of a ticket's key: see struct ticket_record */

static const struct watch_kind *const kinds[] = {&watch_place_kind, &watch_seats_kind, &watch_events_kind};

/* --- lists ------------------------------------------------------------------------------------------------ */
static void
delist(struct watch *watch, struct subscription *subscription)
{
    if (subscription->list == WATCH_NO_LIST)
        return;
    if (subscription->list_previous != NULL)
        subscription->list_previous->list_next = subscription->list_next;
    else
        watch->list[subscription->list].first = subscription->list_next;
    if (subscription->list_next != NULL)
        subscription->list_next->list_previous = subscription->list_previous;
    else
        watch->list[subscription->list].last = subscription->list_previous;
    subscription->list_previous = NULL;
    subscription->list_next = NULL;
    subscription->list = WATCH_NO_LIST;
}

void
watch_enlist(struct watch *watch, struct subscription *subscription, enum watch_list list)
{
    if (subscription->list == list || (subscription->list == WATCH_URGENT && list == WATCH_LATER))
        return;
    delist(watch, subscription);
    subscription->list = (uint8_t)list;
    subscription->list_previous = watch->list[list].last;
    if (subscription->list_previous != NULL)
        subscription->list_previous->list_next = subscription;
    else
        watch->list[list].first = subscription;
    watch->list[list].last = subscription;
}

/* Let at most so many of a list have their turn. Returns how many turns are left. */
static uint32_t
work_off(struct net *net, enum watch_list list, uint32_t looks)
{
    struct subscription *subscription;

    while (looks > 0 && net->watch->retry_ms == 0 && watch_may_ask(net) &&
           (subscription = net->watch->list[list].first) != NULL) {
        looks--;
        delist(net->watch, subscription);
        subscription->kind->look(net, subscription);
    }
    return looks;
}

/* --- names ------------------------------------------------------------------------------------------------ */
static struct subscription *
find_named(const struct watch *watch, const struct connection *connection, uint32_t request_no)
{
    struct watch_link *link = watch_table_first(&watch->names, watch_hash(connection->number, request_no));

    for (; link != NULL; link = watch_table_next(link)) {
        struct subscription *found = WATCH_OF(link, struct subscription, by_name);
        if (found->connection == connection && found->request_no == request_no)
            return found;
    }
    return NULL;
}

/* --- pushing ---------------------------------------------------------------------------------------------- */
void
watch_push(struct subscription *subscription, uint16_t opcode, const void *body)
{
    connection_tell(subscription->connection, usher_push_of(opcode), body);
}

bool
watch_has_room(struct subscription *subscription)
{
    if (connection_has_room(subscription->connection))
        return true;
    subscription->stale = true;
    subscription->connection->stale = true;
    return false;
}

bool
watch_may_ask(const struct net *net)
{
    return net->trace_count < net->config.limits.turn_max;
}

/* --- opening and ending ----------------------------------------------------------------------------------- */
static void
drop(struct net *net, struct subscription *subscription)
{
    struct watch *watch = net->watch;
    struct connection *connection = subscription->connection;

    delist(watch, subscription);
    subscription->kind->end(net, subscription);
    watch_table_remove(&watch->names, &subscription->by_name);
    if (subscription->asker.has_token)
        watch_table_remove(&watch->tokens, &subscription->by_token);
    if (subscription->previous != NULL)
        subscription->previous->next = subscription->next;
    else
        connection->subscriptions = subscription->next;
    if (subscription->next != NULL)
        subscription->next->previous = subscription->previous;
    connection->subscription_count--;
    watch->count--;
    free(subscription);
}

void
watch_end(struct net *net, struct subscription *subscription, uint16_t result, uint64_t detail)
{
    const usher_watch_ended_push push = {.subscription = subscription->request_no, .result = result, .detail = detail};

    watch_push(subscription, USHER_PUSH_WATCH_ENDED, &push);
    drop(net, subscription);
}

static void
link_up(struct watch *watch, struct subscription *made)
{
    struct connection *connection = made->connection;

    made->next = connection->subscriptions;
    if (made->next != NULL)
        made->next->previous = made;
    connection->subscriptions = made;
    connection->subscription_count++;
    watch->count++;
    watch_table_add(&watch->names, &made->by_name, watch_hash(connection->number, made->request_no));
    if (made->asker.has_token)
        watch_table_add(&watch->tokens, &made->by_token, watch_hash(made->asker.queue_id, made->asker.position));
}

/* A new subscription. False without memory. */
static bool
add(struct net *net, const struct watch_kind *kind, const struct watch_opening *opening)
{
    struct watch *watch = net->watch;
    const struct pending *pending = opening->pending;
    struct subscription *made = NULL;

    if (watch_table_reserve(&watch->names) && watch_table_reserve(&watch->tokens))
        made = calloc(1, sizeof *made);
    if (made == NULL)
        return false;
    made->connection = pending->connection;
    made->request_no = pending->request_no;
    made->kind = kind;
    made->asker = pending->asker;
    made->list = WATCH_NO_LIST;
    if (!kind->begin(net, made, opening)) {
        free(made);
        return false;
    }
    if (watch->count == 0) /* until now nobody looked at events */
        watch->event_no = store_see_house(net->config.store, 0)->last_event_no;
    link_up(watch, made);
    return true;
}

void
watch_drop_all(struct connection *connection)
{
    while (connection->subscriptions != NULL)
        drop(connection->net, connection->subscriptions);
}

void
watch_end_all(struct connection *connection, uint16_t result)
{
    while (connection->subscriptions != NULL)
        watch_end(connection->net, connection->subscriptions, result, 0);
}

void
watch_resume(struct connection *connection)
{
    struct net *net = connection->net;

    connection->stale = false;
    for (struct subscription *each = connection->subscriptions; each != NULL; each = each->next) {
        if (!each->stale)
            continue;
        each->stale = false;
        each->kind->resume(net, each);
    }
    net->again = true;
}

/* --- requests --------------------------------------------------------------------------------------------- */
static usher_result
refuse_limit(struct watch_opening *opening, uint64_t limit)
{
    opening->refusal.detail = limit;
    return USHER_WATCH_LIMIT;
}

static usher_result
open_one(struct net *net, struct watch_opening *opening)
{
    const struct connection *connection = opening->pending->connection;
    const struct net_limits *limits = &net->config.limits;
    size_t i = 0;

    while (kinds[i]->opcode != opening->pending->message->opcode)
        i++;
    usher_result result = kinds[i]->ask(net, opening);
    if (result != USHER_OK || connection->state != CONNECTION_READY) /* one that ends takes its subscriptions along */
        return result;
    if (find_named(net->watch, connection, opening->pending->request_no) != NULL)
        return USHER_WATCH_OPEN;
    if (connection->subscription_count >= limits->watches_max)
        return refuse_limit(opening, limits->watches_max);
    if (net->watch->count >= limits->watches_all_max)
        return refuse_limit(opening, limits->watches_all_max);
    if (add(net, kinds[i], opening))
        return USHER_OK;
    opening->refusal.retry_after_ms = NET_BUSY_RETRY_MS;
    return USHER_BUSY;
}

static usher_result
close_one(struct net *net, struct watch_opening *opening)
{
    const usher_unwatch_request *ask = opening->body;
    struct subscription *found = find_named(net->watch, opening->pending->connection, ask->subscription);

    opening->reply.unwatch.was_open = found != NULL;
    if (found != NULL)
        drop(net, found);
    return USHER_OK;
}

void
watch_answer(struct net *net, const struct pending *pending)
{
    struct watch_opening opening = {.pending = pending, .body = net->turn->arena + pending->body};
    const usher_message *message = pending->message;
    const usher_frame frame = {.opcode = message->opcode, .request_no = pending->request_no};
    bool ends = message->opcode == USHER_OPCODE_UNWATCH;

    usher_result result = ends ? close_one(net, &opening) : open_one(net, &opening);
    if (result == USHER_OK)
        connection_reply(pending->connection, &frame, message->reply, &opening.reply);
    else
        connection_refuse(pending->connection, message->opcode, pending->request_no, result, &opening.refusal);
}

/* --- events ----------------------------------------------------------------------------------------------- */
static void
note_place(struct watch *watch, uint32_t queue_id, uint64_t position)
{
    struct watch_link *link = watch_table_first(&watch->tokens, watch_hash(queue_id, position));

    for (; link != NULL; link = watch_table_next(link)) {
        struct subscription *found = WATCH_OF(link, struct subscription, by_token);
        if (found->asker.queue_id == queue_id && found->asker.position == position)
            watch_enlist(watch, found, WATCH_URGENT);
    }
}

/* A payment ends its place; its event does not say which one that is, but the payment does. */
static void
note_payment(struct net *net, uint64_t payment_id)
{
    struct payment_row payment;
    const struct queue_record *queue;

    if (!store_read_payment(net->config.store, payment_id, &payment) || payment.ticket == 0)
        return;
    queue = store_see_queue(net->config.store, payment.ticket >> TICKET_QUEUE_SHIFT);
    if (queue != NULL)
        note_place(net->watch, queue->queue_id, payment.ticket & ((UINT64_C(1) << TICKET_QUEUE_SHIFT) - 1));
}

/* The queue in front of an event's concert, else the one that it names. */
static uint32_t
queue_of(const struct store *store, const struct event_row *event)
{
    uint64_t concert_no = event->concert_id == 0 ? 0 : store_find_concert(store, event->concert_id);

    if (concert_no == 0)
        return event->queue_id;
    return store_see_queue(store, store_see_concert(store, concert_no)->queue_no)->queue_id;
}

static void
note_event(struct net *net, const struct event_row *event)
{
    struct watch *watch = net->watch;

    if (event->kind == USHER_EVENT_CATALOGUE_CHANGED) {
        watch_seats_note_all(watch);
        watch_place_note_all(watch);
        return;
    }
    if (event->position != 0)
        note_place(watch, event->queue_id, event->position);
    if (event->kind == USHER_EVENT_PAID)
        note_payment(net, event->payment_id);
    if (event->seat_no != 0)
        watch_seats_note(watch, event->concert_id, event->date_id, event->seat_no);
    watch_place_note(watch, queue_of(net->config.store, event));
}

/* Too much has happened to look at it event by event. */
static void
note_everything(struct net *net)
{
    for (struct connection *connection = net->connections; connection != NULL; connection = connection->next)
        for (struct subscription *each = connection->subscriptions; each != NULL; each = each->next)
            if (each->asker.has_token)
                watch_enlist(net->watch, each, WATCH_LATER);
    watch_seats_note_all(net->watch);
    watch_place_note_all(net->watch);
}

static void
look_at_events(struct net *net)
{
    struct watch *watch = net->watch;
    const struct house_record *house = store_see_house(net->config.store, 0);
    struct event_row event;

    if (house == NULL || house->last_event_no == watch->event_no)
        return;
    watch_events_note(net);
    if (house->last_event_no - watch->event_no > WATCH_BEHIND || house->first_event_no > watch->event_no + 1) {
        note_everything(net);
        watch->event_no = house->last_event_no;
        return;
    }
    store_no_fault(net->config.store);
    for (uint32_t i = 0; i < WATCH_EVENTS && watch->event_no < house->last_event_no; i++) {
        if (!store_read_event(net->config.store, watch->event_no + 1, &event)) {
            watch->retry_ms = net->stamp_ms + WATCH_RETRY_MS;
            return;
        }
        watch->event_no++;
        note_event(net, &event);
    }
}

/* --- the turn --------------------------------------------------------------------------------------------- */
static void
on_timer(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    (void)argument; /* waking is all: the turn looks for itself */
}

static void
set_timer(struct net *net)
{
    struct watch *watch = net->watch;
    uint64_t now_ms = net_now(net), next_ms = watch_place_next_ms(watch), seats_ms = watch_seats_next_ms(watch);

    next_ms = seats_ms < next_ms ? seats_ms : next_ms;
    next_ms = watch->second_ms < next_ms ? watch->second_ms : next_ms;
    if (watch->retry_ms != 0 && watch->retry_ms < next_ms)
        next_ms = watch->retry_ms;
    net_set_timer(watch->timer, next_ms > now_ms ? next_ms - now_ms : 0);
}

static bool
has_more(const struct net *net)
{
    const struct watch *watch = net->watch;
    const struct house_record *house = store_see_house(net->config.store, 0);

    for (size_t i = 0; i < WATCH_LISTS; i++)
        if (watch->list[i].first != NULL)
            return true;
    return house != NULL && house->last_event_no > watch->event_no;
}

void
watch_run(struct net *net)
{
    struct watch *watch = net->watch;

    if (watch->count == 0) {
        event_del(watch->timer);
        return;
    }
    if (!net->current)
        return; /* what we know may be out of date: the sweep wakes the loop again soon */
    if (watch->retry_ms != 0 && net->stamp_ms < watch->retry_ms) {
        set_timer(net);
        return;
    }
    watch->retry_ms = 0;
    look_at_events(net);
    if (net->stamp_ms >= watch->second_ms) {
        watch->second_ms = net->stamp_ms + WATCH_SECOND_MS;
        watch_place_note_all(watch);
        watch_seats_check_shows(net);
    }
    work_off(net, WATCH_URGENT, UINT32_MAX);
    watch_place_check_sales(net);
    watch_place_run(net, work_off(net, WATCH_LATER, WATCH_LOOKS));
    watch_seats_run(net);
    work_off(net, WATCH_PAGED, WATCH_PAGES);
    if (watch->retry_ms == 0 && has_more(net))
        net->again = true;
    set_timer(net);
}

/* --- opening and closing all of it ------------------------------------------------------------------------- */
bool
watch_open(struct net *net)
{
    struct watch *watch = calloc(1, sizeof *watch);

    net->watch = watch;
    if (watch == NULL)
        return false;
    watch->timer = evtimer_new(net->base, on_timer, NULL);
    return watch->timer != NULL && watch_seats_open(watch);
}

void
watch_close(struct net *net)
{
    struct watch *watch = net->watch;

    if (watch == NULL)
        return;
    assert(watch->count == 0); /* their connections are closed */
    if (watch->timer != NULL)
        event_free(watch->timer);
    watch_place_close(watch);
    watch_seats_close(watch);
    watch_table_free(&watch->names);
    watch_table_free(&watch->tokens);
    free(watch);
}
