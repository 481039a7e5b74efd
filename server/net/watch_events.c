/* watch_events.c: WATCH_EVENTS: pages of events from the subscription's own cursor (X5).
 *
 * A page is pushed whenever the connection's output has room for it, so nothing is ever dropped or sent twice: a reader
 * that is slow is merely further behind, and goes on where it stopped. Kinds that are not wanted are passed over; a
 * page without events tells the cursor now and then, so that a client that comes back does not begin far behind.
 *
 * With a consumer's name the cursor begins behind what that consumer has acknowledged. From then on it is the
 * subscription's own: acknowledging is the client's business, and a subscription that falls behind what is kept ends
 * with EVENTS_LOST. */
#include "server/net/watch.h"

#include <string.h>

#define PAGES_PASSED_OVER 8u    /* read in one look without a wanted event */
#define TELL_CURSOR       1024u /* events passed over since the last push */

static uint64_t
last_event_no(const struct net *net)
{
    return store_see_house(net->config.store, 0)->last_event_no;
}

/* Read the page behind the cursor and keep what is wanted. */
static usher_result
read_page(struct net *net, struct subscription *subscription, usher_events_push *page, uint64_t *detail)
{
    struct events_watch *events = &subscription->events;
    const usher_events_request request = {.after_event_no = events->cursor};
    const struct core_answer answer = net_ask(net, USHER_OPCODE_EVENTS, &subscription->asker, &request);
    const usher_events_reply *reply = answer.reply;

    if (answer.result != USHER_OK) {
        *detail = ((const usher_refusal *)answer.reply)->detail;
        return answer.result;
    }
    for (uint16_t i = 0; i < reply->event_count; i++) {
        const usher_event *event = &reply->event[i];
        events->cursor = event->event_no;
        if (events->kinds == 0 || (events->kinds >> (event->kind & 63) & 1))
            page->event[page->event_count++] = *event;
        else
            events->passed_over++;
    }
    return USHER_OK;
}

static void
look(struct net *net, struct subscription *subscription)
{
    struct watch *watch = net->watch;
    struct events_watch *events = &subscription->events;
    usher_events_push *page = &watch->page;
    usher_result result = USHER_OK;
    uint64_t detail = 0;

    if (!watch_has_room(subscription))
        return;
    page->subscription = subscription->request_no;
    page->event_count = 0;
    for (unsigned i = 0; i < PAGES_PASSED_OVER && events->cursor < last_event_no(net); i++) {
        result = read_page(net, subscription, page, &detail);
        if (result != USHER_OK || page->event_count > 0)
            break;
    }
    if (result != USHER_OK && result != USHER_STORAGE_FAULT) {
        watch_end(net, subscription, (uint16_t)result, detail);
        return;
    }
    if (page->event_count > 0 || events->passed_over >= TELL_CURSOR) {
        page->last_event_no = events->cursor;
        events->passed_over = 0;
        watch_push(subscription, USHER_PUSH_EVENTS, page);
    }
    if (result == USHER_STORAGE_FAULT)
        watch->retry_ms = net->stamp_ms + WATCH_RETRY_MS;
    if (events->cursor < last_event_no(net))
        watch_enlist(watch, subscription, WATCH_PAGED);
}

void
watch_events_note(struct net *net)
{
    for (struct subscription *each = net->watch->first_of_events; each != NULL; each = each->events.next)
        if (!each->stale)
            watch_enlist(net->watch, each, WATCH_PAGED);
}

/* --- the kind --------------------------------------------------------------------------------------------- */
static usher_result
ask(struct net *net, struct watch_opening *opening)
{
    const usher_watch_events_request *body = opening->body;
    usher_events_request request = {.after_event_no = body->after_event_no, .limit = 1};

    memcpy(request.consumer, body->consumer, sizeof request.consumer);
    const struct core_answer answer = net_ask(net, USHER_OPCODE_EVENTS, &opening->pending->asker, &request);
    if (answer.result != USHER_OK) {
        opening->refusal = *(const usher_refusal *)answer.reply;
        return answer.result;
    }
    const usher_events_reply *page = answer.reply;
    opening->reply.events = (usher_watch_events_reply){.first_event_no = page->first_event_no,
                                                       .last_event_no = page->last_event_no,
                                                       .after_event_no = page->after_event_no};
    return USHER_OK;
}

static bool
begin(struct net *net, struct subscription *made, const struct watch_opening *opening)
{
    const usher_watch_events_request *body = opening->body;
    struct watch *watch = net->watch;

    made->events.cursor = opening->reply.events.after_event_no;
    made->events.kinds = body->kinds;
    made->events.next = watch->first_of_events;
    if (made->events.next != NULL)
        made->events.next->events.previous = made;
    watch->first_of_events = made;
    watch_enlist(watch, made, WATCH_PAGED);
    return true;
}

static void
resume(struct net *net, struct subscription *subscription)
{
    watch_enlist(net->watch, subscription, WATCH_PAGED);
}

static void
end(struct net *net, struct subscription *subscription)
{
    struct events_watch *events = &subscription->events;

    if (events->previous != NULL)
        events->previous->events.next = events->next;
    else
        net->watch->first_of_events = events->next;
    if (events->next != NULL)
        events->next->events.previous = events->previous;
}

const struct watch_kind watch_events_kind = {
    .opcode = USHER_OPCODE_WATCH_EVENTS, .ask = ask, .begin = begin, .look = look, .resume = resume, .end = end};
