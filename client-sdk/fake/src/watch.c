/* watch.c: subscriptions. A watch remembers what it has told; after each change of the house every watch is compared
 * with what there is now, and told the difference. A push that a fault drops counts as told: so a test makes a gap. */
#include <stdlib.h>
#include <string.h>

#include "client-sdk/fake/src/link.h"

#define WATCHES_MOST 4096u /* of one connection, as the server has it */

/* --- opening and ending ------------------------------------------------------------------------------------ */
/* A new watch under the request's number; *watch stays NULL when the connection is gone already. */
static usher_result
open_watch(struct fake_ask *ask, struct fake_watch **watch)
{
    struct fake_link *link = ask->link;

    *watch = NULL;
    if (link == NULL)
        return USHER_OK;
    for (size_t i = 0; i < link->watches.count; i++)
        if (link->watches.item[i].subscription == ask->request_no)
            return USHER_WATCH_OPEN;
    if (link->watches.count == WATCHES_MOST)
        return USHER_WATCH_LIMIT;
    *watch = FAKE_ADD(&link->watches);
    (*watch)->subscription = ask->request_no;
    (*watch)->opcode = ask->message->opcode;
    (*watch)->position = ask->place != NULL ? ask->place->position : 0;
    return USHER_OK;
}

static void
end_watch(struct fake_link *link, size_t watch_no)
{
    free(link->watches.item[watch_no].shown);
    link->watches.count--;
    memmove(&link->watches.item[watch_no], &link->watches.item[watch_no + 1],
            (link->watches.count - watch_no) * sizeof *link->watches.item);
}

void
fake_forget_watches(struct fake_link *link)
{
    while (link->watches.count > 0)
        end_watch(link, link->watches.count - 1);
}

static usher_place_push
describe(usher_fake *fake, const struct fake_place *place, uint32_t subscription)
{
    usher_place_reply now;
    usher_place_push push;

    fake_describe_place(fake, place, &now);
    memset(&push, 0, sizeof push); /* it is compared as bytes */
    push.subscription = subscription;
    push.queue_id = now.queue_id;
    push.state = now.state;
    push.sale = now.sale;
    push.position = now.position;
    push.rank = now.rank;
    push.estimate_ms = now.estimate_ms;
    push.next_poll_ms = now.next_poll_ms;
    push.until_ms = now.until_ms;
    return push;
}

usher_result
fake_watch_place(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    usher_watch_place_reply *reply = answer;
    usher_place_push now = describe(fake, ask->place, ask->request_no);
    struct fake_watch *watch;
    usher_result result = open_watch(ask, &watch);

    (void)body;
    if (result != USHER_OK)
        return result;
    if (watch != NULL)
        watch->told = now;
    reply->queue_id = now.queue_id;
    reply->state = now.state;
    reply->sale = now.sale;
    reply->position = now.position;
    reply->rank = now.rank;
    reply->estimate_ms = now.estimate_ms;
    reply->next_poll_ms = now.next_poll_ms;
    reply->until_ms = now.until_ms;
    /* A subscription is as good as all the polls; that the turn has come is then the first push. */
    if (ask->place->state == USHER_PLACE_WAITING && fake->options.wait_polls != USHER_FAKE_WAIT_FOR_TEST)
        fake_admit(fake, ask->place);
    return USHER_OK;
}

usher_result
fake_watch_seats(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    const usher_watch_seats_request *request = body;
    usher_watch_seats_reply *reply = answer;
    struct fake_date *date;
    struct fake_watch *watch;
    usher_result result = fake_date_on_sale(fake, ask, request->concert_id, request->date_id, &date);

    if (result == USHER_OK)
        result = open_watch(ask, &watch);
    if (result != USHER_OK)
        return result;
    reply->seat_count = date->seat_count;
    reply->block_count = (date->seat_count + 63) / 64;
    if (watch == NULL)
        return USHER_OK;
    watch->date = date;
    watch->snapshot_is_due = true;
    watch->shown = calloc(reply->block_count, sizeof *watch->shown);
    if (watch->shown == NULL)
        abort();
    return USHER_OK;
}

usher_result
fake_watch_events(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    const usher_watch_events_request *request = body;
    usher_watch_events_reply *reply = answer;
    struct fake_watch *watch;
    usher_result result = fake_first_cursor(fake, request->consumer, request->after_event_no, &reply->after_event_no);

    if (result == USHER_OK)
        result = open_watch(ask, &watch);
    if (result != USHER_OK)
        return result;
    reply->first_event_no = 1;
    reply->last_event_no = fake->events.count;
    if (watch != NULL) {
        watch->cursor = reply->after_event_no;
        watch->kinds = request->kinds;
    }
    return USHER_OK;
}

usher_result
fake_unwatch(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    const usher_unwatch_request *request = body;
    usher_unwatch_reply *reply = answer;

    (void)fake;
    for (size_t i = 0; ask->link != NULL && i < ask->link->watches.count; i++)
        if (ask->link->watches.item[i].subscription == request->subscription) {
            end_watch(ask->link, i);
            reply->was_open = USHER_FLAG_YES;
            break;
        }
    return USHER_OK;
}

/* --- telling ----------------------------------------------------------------------------------------------- */
/* Each of these tells a watch what is new; false: it is over, and *ended says why. */
static bool
tell_place(struct fake_link *link, struct fake_watch *watch, usher_watch_ended_push *ended, uint64_t now_ms)
{
    const struct fake_place *place = &link->fake->places.item[watch->position - 1];
    usher_place_push now = describe(link->fake, place, watch->subscription);

    if (memcmp(&now, &watch->told, sizeof now) != 0) {
        watch->told = now;
        fake_link_push(link, USHER_PUSH_PLACE, &now, now_ms);
    }
    ended->result = USHER_OK;
    return place->state <= USHER_PLACE_ACTIVE;
}

static uint64_t
free_block(const struct fake_date *date, uint32_t block)
{
    uint64_t bits = 0;

    for (uint32_t seat = block * 64; seat < date->seat_count && seat < block * 64 + 64; seat++)
        bits |= (uint64_t)(date->reservation[seat] == 0) << seat % 64;
    return bits;
}

/* All the free seats: a date has at most as many blocks as one push takes. */
static void
push_snapshot(struct fake_link *link, struct fake_watch *watch, uint64_t now_ms)
{
    const struct fake_date *date = watch->date;
    usher_seats_push *push = calloc(1, sizeof *push);

    if (push == NULL)
        abort();
    push->subscription = watch->subscription;
    push->concert_id = date->row.concert_id;
    push->date_id = date->row.date_id;
    push->seat_count = date->seat_count;
    push->block_count = (date->seat_count + 63) / 64;
    push->version = watch->version = date->version;
    push->free_block_count = (uint16_t)push->block_count;
    for (uint32_t block = 0; block < push->block_count; block++)
        push->free_block[block] = watch->shown[block] = free_block(date, block);
    watch->snapshot_is_due = false;
    fake_link_push(link, USHER_PUSH_SEATS, push, now_ms);
    free(push);
}

static void
push_changes(struct fake_link *link, struct fake_watch *watch, uint64_t now_ms)
{
    const struct fake_date *date = watch->date;
    usher_seat_changes_push *push = calloc(1, sizeof *push);

    if (push == NULL)
        abort();
    push->subscription = watch->subscription;
    push->concert_id = date->row.concert_id;
    push->date_id = date->row.date_id;
    push->from_version = watch->version;
    push->version = date->version;
    for (uint32_t block = 0; block < (date->seat_count + 63) / 64; block++) {
        uint64_t bits = free_block(date, block);

        if (bits == watch->shown[block])
            continue;
        watch->shown[block] = bits;
        push->block[push->block_count].block = block;
        push->block[push->block_count++].free = bits;
    }
    if (push->block_count > 0) { /* a held seat that is paid for shows nothing */
        watch->version = date->version;
        fake_link_push(link, USHER_PUSH_SEAT_CHANGES, push, now_ms);
    }
    free(push);
}

static bool
tell_seats(struct fake_link *link, struct fake_watch *watch, usher_watch_ended_push *ended, uint64_t now_ms)
{
    const struct fake_place *place = watch->position > 0 ? &link->fake->places.item[watch->position - 1] : NULL;

    if (watch->snapshot_is_due)
        push_snapshot(link, watch, now_ms);
    else if (watch->version != watch->date->version)
        push_changes(link, watch, now_ms);
    ended->result = USHER_DATE_PAST;
    if (place != NULL && place->state > USHER_PLACE_ACTIVE) {
        ended->result = place->state == USHER_PLACE_USED ? USHER_TOKEN_USED : USHER_TOKEN_EXPIRED;
        ended->detail = place->state == USHER_PLACE_USED ? 0 : place->state;
        return false;
    }
    return link->fake->now_ms < watch->date->row.starts_at_ms;
}

static bool
tell_events(struct fake_link *link, struct fake_watch *watch, usher_watch_ended_push *ended, uint64_t now_ms)
{
    const usher_fake *fake = link->fake;

    (void)ended;
    while (watch->cursor < fake->events.count) {
        usher_events_push *push = calloc(1, sizeof *push);

        if (push == NULL)
            abort();
        push->subscription = watch->subscription;
        while (watch->cursor < fake->events.count && push->event_count < 128) {
            const usher_event *event = &fake->events.item[watch->cursor++];
            if (watch->kinds == 0 || (watch->kinds >> event->kind & 1) != 0)
                push->event[push->event_count++] = *event;
        }
        push->last_event_no = watch->cursor;
        if (push->event_count > 0)
            fake_link_push(link, USHER_PUSH_EVENTS, push, now_ms);
        free(push);
    }
    return true;
}

/* Which of them tells what this request opened. */
static bool
tell(struct fake_link *link, struct fake_watch *watch, usher_watch_ended_push *ended, uint64_t now_ms)
{
    if (watch->opcode == USHER_OPCODE_WATCH_PLACE)
        return tell_place(link, watch, ended, now_ms);
    if (watch->opcode == USHER_OPCODE_WATCH_SEATS)
        return tell_seats(link, watch, ended, now_ms);
    return tell_events(link, watch, ended, now_ms);
}

void
fake_tell(usher_fake *fake, uint64_t now_ms)
{
    for (struct fake_link *link = fake->links; link != NULL; link = link->next)
        for (size_t i = 0; i < link->watches.count;) {
            usher_watch_ended_push ended = {.subscription = link->watches.item[i].subscription};

            if (tell(link, &link->watches.item[i], &ended, now_ms)) {
                i++;
                continue;
            }
            end_watch(link, i);
            fake_link_push(link, USHER_PUSH_WATCH_ENDED, &ended, now_ms);
        }
}
