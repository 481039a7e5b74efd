/* watch_place.c: WATCH_PLACE: a place's changes are pushed, its lease is kept (T3, Q6, Q11).
 *
 * A look asks the core what PLACE would answer and pushes it if it differs from what was sent last. Looks come
 *   - at once, when an event names the place: it was admitted, has lapsed, was left, or its payment was made;
 *   - soon, some in each turn, when the sale of its queue is another: opened, paused, frozen, sold out, going on;
 *   - at its next moment, which the last look's next_poll_ms gave, as if the client had polled: often near the front,
 *     rarely far back. The query leaves the trace behind that renews the lease, as a poll's does; so an open
 *     subscription needs no clock of its own to keep its place (Q6), and next_poll_ms stays below half of a lease.
 * The sale is that of the queue's first subscription: one look says it for all of them. */
#include "server/net/watch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SAME_ESTIMATE_MS 1000 /* moments that lie less apart are no news */

struct queue_watch {
    struct watch_link by_id;
    struct queue_watch *previous, *next; /* all of them */
    uint32_t queue_id;
    uint8_t sale;
    bool noted; /* something has happened: look whether the sale is the same */
    struct subscription *first;
};

/* --- moments: a heap -------------------------------------------------------------------------------------- */
static void
moment_place(struct watch *watch, size_t index, struct watch_moment moment)
{
    watch->moments[index] = moment;
    moment.subscription->place.moment = index;
}

static void
moment_sift(struct watch *watch, size_t index, struct watch_moment moment)
{
    struct watch_moment *heap = watch->moments;

    while (index > 0 && heap[(index - 1) / 2].at_ms > moment.at_ms) {
        moment_place(watch, index, heap[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    for (size_t child; (child = 2 * index + 1) < watch->moment_count; index = child) {
        if (child + 1 < watch->moment_count && heap[child + 1].at_ms < heap[child].at_ms)
            child++;
        if (heap[child].at_ms >= moment.at_ms)
            break;
        moment_place(watch, index, heap[child]);
    }
    moment_place(watch, index, moment);
}

static bool
moment_reserve(struct watch *watch)
{
    size_t room = watch->moment_room == 0 ? 64 : watch->moment_room * 2;

    if (watch->moment_count < watch->moment_room)
        return true;
    struct watch_moment *moments = realloc(watch->moments, room * sizeof *moments);
    if (moments == NULL)
        return false;
    watch->moments = moments;
    watch->moment_room = room;
    return true;
}

static void
moment_remove(struct watch *watch, struct subscription *subscription)
{
    size_t index = subscription->place.moment;

    if (index == SIZE_MAX)
        return;
    subscription->place.moment = SIZE_MAX;
    struct watch_moment last = watch->moments[--watch->moment_count];
    if (last.subscription != subscription)
        moment_sift(watch, index, last);
}

/* There is room: every subscription was given some when it was opened. */
static void
moment_set(struct watch *watch, struct subscription *subscription, uint64_t at_ms)
{
    size_t index = subscription->place.moment;

    if (index == SIZE_MAX) {
        assert(watch->moment_count < watch->moment_room);
        index = watch->moment_count++;
    }
    moment_sift(watch, index, (struct watch_moment){at_ms, subscription});
}

uint64_t
watch_place_next_ms(const struct watch *watch)
{
    return watch->moment_count == 0 ? UINT64_MAX : watch->moments[0].at_ms;
}

/* --- queues ----------------------------------------------------------------------------------------------- */
static struct queue_watch *
find_queue(const struct watch *watch, uint32_t queue_id)
{
    struct watch_link *link = watch_table_first(&watch->queues, watch_hash(queue_id, 0));

    while (link != NULL && WATCH_OF(link, struct queue_watch, by_id)->queue_id != queue_id)
        link = watch_table_next(link);
    return link == NULL ? NULL : WATCH_OF(link, struct queue_watch, by_id);
}

static struct queue_watch *
add_queue(struct watch *watch, uint32_t queue_id, uint8_t sale)
{
    struct queue_watch *queue = watch_table_reserve(&watch->queues) ? calloc(1, sizeof *queue) : NULL;

    if (queue == NULL)
        return NULL;
    queue->queue_id = queue_id;
    queue->sale = sale;
    queue->next = watch->first_queue;
    if (queue->next != NULL)
        queue->next->previous = queue;
    watch->first_queue = queue;
    watch_table_add(&watch->queues, &queue->by_id, watch_hash(queue_id, 0));
    return queue;
}

static void
remove_queue(struct watch *watch, struct queue_watch *queue)
{
    watch_table_remove(&watch->queues, &queue->by_id);
    if (queue->previous != NULL)
        queue->previous->next = queue->next;
    else
        watch->first_queue = queue->next;
    if (queue->next != NULL)
        queue->next->previous = queue->previous;
    free(queue);
}

void
watch_place_note(struct watch *watch, uint32_t queue_id)
{
    struct queue_watch *queue = find_queue(watch, queue_id);

    if (queue != NULL)
        queue->noted = true;
}

void
watch_place_note_all(struct watch *watch)
{
    for (struct queue_watch *queue = watch->first_queue; queue != NULL; queue = queue->next)
        queue->noted = true;
}

/* --- looking ---------------------------------------------------------------------------------------------- */
static struct core_answer
ask_place(struct net *net, const struct core_asker *asker)
{
    static const usher_place_request blank; /* the asker says it all */

    return net_ask(net, USHER_OPCODE_PLACE, asker, &blank);
}

static bool
is_over(const usher_place_reply *place)
{
    return place->state != USHER_PLACE_WAITING && place->state != USHER_PLACE_ACTIVE;
}

/* An estimate that merely went down with the clock is the same. */
static bool
same_estimate(const struct place_watch *told, const usher_place_reply *place, uint64_t now_ms)
{
    uint64_t before_ms = told->told.estimate_ms, after_ms = place->estimate_ms;

    if (before_ms == after_ms)
        return true;
    if (before_ms == USHER_UNKNOWN_MS || after_ms == USHER_UNKNOWN_MS)
        return false;
    before_ms += told->told_at_ms;
    after_ms += now_ms;
    return (before_ms > after_ms ? before_ms - after_ms : after_ms - before_ms) < SAME_ESTIMATE_MS;
}

static bool
is_news(const struct place_watch *told, const usher_place_reply *place, uint64_t now_ms)
{
    const usher_place_reply *before = &told->told;

    return before->state != place->state || before->sale != place->sale || before->rank != place->rank ||
           before->until_ms != place->until_ms || !same_estimate(told, place, now_ms);
}

static void
push(struct net *net, struct subscription *subscription, const usher_place_reply *place)
{
    const usher_place_push body = {.subscription = subscription->request_no,
                                   .queue_id = place->queue_id,
                                   .state = place->state,
                                   .sale = place->sale,
                                   .position = place->position,
                                   .rank = place->rank,
                                   .estimate_ms = place->estimate_ms,
                                   .next_poll_ms = place->next_poll_ms,
                                   .until_ms = place->until_ms};

    watch_push(subscription, USHER_PUSH_PLACE, &body);
    subscription->place.told = *place;
    subscription->place.told_at_ms = net->stamp_ms;
}

static void
look(struct net *net, struct subscription *subscription)
{
    const struct core_answer answer = ask_place(net, &subscription->asker);
    const usher_place_reply *place = answer.reply;

    if (answer.result == USHER_STORAGE_FAULT) {
        moment_set(net->watch, subscription, net->stamp_ms + WATCH_RETRY_MS);
        return;
    }
    if (answer.result != USHER_OK) {
        watch_end(net, subscription, answer.result, ((const usher_refusal *)answer.reply)->detail);
        return;
    }
    bool told = !is_news(&subscription->place, place, net->stamp_ms);
    if (!told && watch_has_room(subscription)) {
        push(net, subscription, place);
        told = true;
    }
    if (!is_over(place))
        moment_set(net->watch, subscription, net->stamp_ms + place->next_poll_ms);
    else if (told)
        watch_end(net, subscription, USHER_OK, 0);
    else
        moment_remove(net->watch, subscription);
}

void
watch_place_check_sales(struct net *net)
{
    for (struct queue_watch *queue = net->watch->first_queue; queue != NULL; queue = queue->next) {
        if (!queue->noted || !watch_may_ask(net))
            continue;
        const struct core_answer answer = ask_place(net, &queue->first->asker);
        if (answer.result != USHER_OK)
            continue; /* the subscription's own look deals with that */
        uint8_t sale = ((const usher_place_reply *)answer.reply)->sale;
        queue->noted = false;
        if (queue->sale == sale)
            continue;
        queue->sale = sale;
        for (struct subscription *each = queue->first; each != NULL; each = each->place.next)
            watch_enlist(net->watch, each, WATCH_LATER);
    }
}

void
watch_place_run(struct net *net, uint32_t looks)
{
    struct watch *watch = net->watch;

    while (looks > 0 && watch_may_ask(net) && watch_place_next_ms(watch) <= net->stamp_ms) {
        looks--;
        look(net, watch->moments[0].subscription);
    }
}

/* --- the kind --------------------------------------------------------------------------------------------- */
static usher_result
ask(struct net *net, struct watch_opening *opening)
{
    const struct core_answer answer = ask_place(net, &opening->pending->asker);
    const usher_place_reply *place = answer.reply;

    if (answer.result != USHER_OK) {
        opening->refusal = *(const usher_refusal *)answer.reply;
        return answer.result;
    }
    opening->reply.place = (usher_watch_place_reply){.queue_id = place->queue_id,
                                                     .state = place->state,
                                                     .sale = place->sale,
                                                     .position = place->position,
                                                     .rank = place->rank,
                                                     .estimate_ms = place->estimate_ms,
                                                     .next_poll_ms = place->next_poll_ms,
                                                     .until_ms = place->until_ms};
    return USHER_OK;
}

static bool
begin(struct net *net, struct subscription *made, const struct watch_opening *opening)
{
    struct watch *watch = net->watch;
    const usher_watch_place_reply *reply = &opening->reply.place;
    struct place_watch *place = &made->place;

    if (!moment_reserve(watch))
        return false;
    place->queue = find_queue(watch, reply->queue_id);
    if (place->queue == NULL)
        place->queue = add_queue(watch, reply->queue_id, reply->sale);
    if (place->queue == NULL)
        return false;
    place->next = place->queue->first;
    if (place->next != NULL)
        place->next->place.previous = made;
    place->queue->first = made;
    place->moment = SIZE_MAX;
    place->told_at_ms = net->stamp_ms;
    place->told = (usher_place_reply){.queue_id = reply->queue_id,
                                      .state = reply->state,
                                      .sale = reply->sale,
                                      .position = reply->position,
                                      .rank = reply->rank,
                                      .estimate_ms = reply->estimate_ms,
                                      .next_poll_ms = reply->next_poll_ms,
                                      .until_ms = reply->until_ms};
    if (is_over(&place->told))
        watch_enlist(watch, made, WATCH_URGENT);
    else
        moment_set(watch, made, net->stamp_ms + reply->next_poll_ms);
    return true;
}

static void
resume(struct net *net, struct subscription *subscription)
{
    watch_enlist(net->watch, subscription, WATCH_LATER);
}

static void
end(struct net *net, struct subscription *subscription)
{
    struct place_watch *place = &subscription->place;

    moment_remove(net->watch, subscription);
    if (place->previous != NULL)
        place->previous->place.next = place->next;
    else
        place->queue->first = place->next;
    if (place->next != NULL)
        place->next->place.previous = place->previous;
    if (place->queue->first == NULL)
        remove_queue(net->watch, place->queue);
}

const struct watch_kind watch_place_kind = {
    .opcode = USHER_OPCODE_WATCH_PLACE, .ask = ask, .begin = begin, .look = look, .resume = resume, .end = end};

void
watch_place_close(struct watch *watch)
{
    free(watch->moments);
    watch_table_free(&watch->queues);
}
