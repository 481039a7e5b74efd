/* watch.c: the life of a subscription, and what a turn of the loop does for them all. See watch.h. */
#include "server/net/watch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

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

/* --- opening and ending ----------------------------------------------------------------------------------- */
static void
drop(struct watch *watch, struct subscription *subscription)
{
    struct connection *connection = subscription->connection;

    watch_table_remove(&watch->names, &subscription->by_name);
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

/* A new subscription for this request. NULL without memory. */
static struct subscription *
add(struct watch *watch, const struct pending *pending)
{
    struct connection *connection = pending->connection;
    struct subscription *made = watch_table_reserve(&watch->names) ? calloc(1, sizeof *made) : NULL;

    if (made == NULL)
        return NULL;
    made->connection = connection;
    made->request_no = pending->request_no;
    made->opcode = pending->message->opcode;
    made->asker = pending->asker;
    made->next = connection->subscriptions;
    if (made->next != NULL)
        made->next->previous = made;
    connection->subscriptions = made;
    connection->subscription_count++;
    watch->count++;
    watch_table_add(&watch->names, &made->by_name, watch_hash(connection->number, made->request_no));
    return made;
}

void
watch_drop_all(struct connection *connection)
{
    while (connection->subscriptions != NULL)
        drop(connection->net->watch, connection->subscriptions);
}

/* --- requests --------------------------------------------------------------------------------------------- */
struct opening {
    const struct pending *pending;
    const void *body;
    const void *reply;     /* of the message, when it is OK */
    usher_refusal refusal; /* else */
};

typedef usher_result asking(struct net *net, struct opening *opening);
static asking ask_place, ask_seats, ask_events;

static const struct {
    uint16_t opcode;
    asking *ask;
} kinds[] = {{USHER_OPCODE_WATCH_PLACE, ask_place},
             {USHER_OPCODE_WATCH_SEATS, ask_seats},
             {USHER_OPCODE_WATCH_EVENTS, ask_events}};

/* What the query that a poll would be answers. On a refusal, opening->refusal has it. */
static const struct core_answer
ask_core(struct net *net, struct opening *opening, uint16_t opcode, const void *body)
{
    const struct core_answer answer = net_ask(net, opcode, &opening->pending->asker, body);

    if (answer.result != USHER_OK)
        opening->refusal = *(const usher_refusal *)answer.reply;
    return answer;
}

static usher_result
ask_place(struct net *net, struct opening *opening)
{
    static usher_watch_place_reply reply;
    const struct core_answer answer = ask_core(net, opening, USHER_OPCODE_PLACE, opening->body);

    if (answer.result != USHER_OK)
        return answer.result;
    const usher_place_reply *place = answer.reply;
    reply = (usher_watch_place_reply){.queue_id = place->queue_id,
                                      .state = place->state,
                                      .sale = place->sale,
                                      .position = place->position,
                                      .rank = place->rank,
                                      .estimate_ms = place->estimate_ms,
                                      .next_poll_ms = place->next_poll_ms,
                                      .until_ms = place->until_ms};
    opening->reply = &reply;
    return USHER_OK;
}

static usher_result
ask_seats(struct net *net, struct opening *opening)
{
    static usher_watch_seats_reply reply;
    const usher_watch_seats_request *ask = opening->body;
    const usher_seats_request seats = {.concert_id = ask->concert_id, .date_id = ask->date_id};
    const struct core_answer answer = ask_core(net, opening, USHER_OPCODE_SEATS, &seats);

    if (answer.result != USHER_OK)
        return answer.result;
    reply.seat_count = ((const usher_seats_reply *)answer.reply)->seat_count;
    reply.block_count = (reply.seat_count + 63) / 64;
    opening->reply = &reply;
    return USHER_OK;
}

static usher_result
ask_events(struct net *net, struct opening *opening)
{
    static usher_watch_events_reply reply;
    const usher_watch_events_request *ask = opening->body;
    const usher_events_request events = {.after_event_no = ask->after_event_no, .limit = 1};
    const struct core_answer answer = ask_core(net, opening, USHER_OPCODE_EVENTS, &events);

    if (answer.result != USHER_OK)
        return answer.result;
    reply.first_event_no = ((const usher_events_reply *)answer.reply)->first_event_no;
    reply.last_event_no = ((const usher_events_reply *)answer.reply)->last_event_no;
    opening->reply = &reply;
    return USHER_OK;
}

static usher_result
refuse_limit(struct opening *opening, uint64_t limit)
{
    opening->refusal.detail = limit;
    return USHER_WATCH_LIMIT;
}

static usher_result
open_subscription(struct net *net, struct opening *opening)
{
    const struct connection *connection = opening->pending->connection;
    const struct net_limits *limits = &net->config.limits;
    usher_result result = USHER_OK;

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].opcode == opening->pending->message->opcode)
            result = kinds[i].ask(net, opening);
    if (result != USHER_OK)
        return result;
    if (find_named(net->watch, connection, opening->pending->request_no) != NULL)
        return USHER_WATCH_OPEN;
    if (connection->subscription_count >= limits->watches_max)
        return refuse_limit(opening, limits->watches_max);
    if (net->watch->count >= limits->watches_all_max)
        return refuse_limit(opening, limits->watches_all_max);
    if (add(net->watch, opening->pending) == NULL) {
        opening->refusal.retry_after_ms = NET_BUSY_RETRY_MS;
        return USHER_BUSY;
    }
    return USHER_OK;
}

static usher_result
close_subscription(struct net *net, struct opening *opening)
{
    static usher_unwatch_reply reply;
    const usher_unwatch_request *ask = opening->body;
    struct subscription *found = find_named(net->watch, opening->pending->connection, ask->subscription);

    reply.was_open = found != NULL;
    if (found != NULL)
        drop(net->watch, found);
    opening->reply = &reply;
    return USHER_OK;
}

void
watch_answer(struct net *net, const struct pending *pending)
{
    struct opening opening = {.pending = pending, .body = net->arena + pending->body};
    const usher_message *message = pending->message;
    const usher_frame frame = {.opcode = message->opcode, .request_no = pending->request_no};
    usher_result result =
        message->opcode == USHER_OPCODE_UNWATCH ? close_subscription(net, &opening) : open_subscription(net, &opening);

    if (result == USHER_OK)
        connection_reply(pending->connection, &frame, message->reply, opening.reply);
    else
        connection_refuse(pending->connection, message->opcode, pending->request_no, result, &opening.refusal);
}

/* --- opening and closing all of it ------------------------------------------------------------------------- */
struct watch *
watch_open(void)
{
    return calloc(1, sizeof(struct watch));
}

void
watch_close(struct watch *watch)
{
    if (watch == NULL)
        return;
    assert(watch->count == 0); /* their connections are closed */
    watch_table_free(&watch->names);
    free(watch);
}
