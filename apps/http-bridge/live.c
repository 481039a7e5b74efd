/* live.c: who would rather be told: the streams of a place and of a date's seats, and long polls of both (T3, C2).
 *
 *     live_handle() or live_wait()
 *          |  usher_async_watch()
 *          v
 *       [open] -- STARTED, PUSH --> the picture here follows; a stream tells it, a long poll compares it with its etag
 *          |  -- INTERRUPTED -----> a stream says so; the SDK subscribes anew by itself, and a whole picture comes
 *          |  client gone, time is up, bridge stops, the long poll has its news: usher_async_unwatch()
 *          v
 *       ENDED ---------------------> the exchange ends, here and nowhere else
 *
 * A reader that is too slow costs one picture: what can't be written is not kept; when there is room again, the whole
 * picture of that moment is sent in place of what was left out. */
#include "handlers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/body.h"
#include "seat_list.h"

#define RETRY_LINE  "retry: 2000\n\n"
#define PATIENCE_MS 5000  /* that a stream waits for its first picture before it begins without one */
#define BLOCKS_MOST 16384 /* of a date: a million seats */

/* How an exchange ends once its subscription has. */
enum ending {
    ENDING_NONE,     /* the server's word decides */
    ENDING_GONE,     /* nobody listens */
    ENDING_DRAIN,    /* the bridge stops */
    ENDING_NEWS,     /* the long poll has something to say */
    ENDING_SAME,     /* the long poll's time is up */
    ENDING_TOO_LARGE /* the picture does not fit */
};

struct live {
    struct call *call;
    bool is_stream, has_begun, is_stale;
    enum ending ending;
    uint64_t watch_no, event_no;
    struct http_timer *timer;
    uint64_t until_ms; /* of the monotonic clock: when a long poll's time is up */
    bool has_picture;
    usher_place_reply place;
    uint32_t concert_id, date_id, seat_count, block_count;
    uint64_t version;
    uint64_t *block; /* block_count of them: what is free */
};

static bool
is_of_seats(const struct live *live)
{
    return live->call->row->opcode == USHER_OPCODE_WATCH_SEATS || live->call->row->opcode == USHER_OPCODE_SEATS;
}

/* --- the end ---------------------------------------------------------------------------------------------------------
 */
static void
close_soon(struct live *live, enum ending ending)
{
    if (live->ending != ENDING_NONE)
        return;
    live->ending = ending;
    usher_async_unwatch(live->call->bridge->usher, live->watch_no);
}

static void
on_end(struct http_exchange *exchange, enum http_end why, void *context)
{
    (void)exchange;
    close_soon(context, why == HTTP_END_GONE ? ENDING_GONE : ENDING_DRAIN);
}

/* --- what is told ----------------------------------------------------------------------------------------------------
 */
static bool
send_json(struct live *live, const char *event, json_t *data)
{
    char id[24], *text;
    bool done;

    snprintf(id, sizeof id, "%" PRIu64, ++live->event_no);
    text = json_dumps(data, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(data);
    done = text != NULL && http_sse_send(live->call->exchange, event, id, text);
    free(text);
    return done;
}

static json_t *
stamped(struct live *live, json_t *data)
{
    json_object_set_new(data, "stamp_ms", json_integer((json_int_t)live->call->stamp_ms));
    return data;
}

static uint32_t
count_free(const struct live *live)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < live->block_count; i++)
        count += (uint32_t)__builtin_popcountll(live->block[i]);
    return count;
}

static json_t *
picture(struct live *live)
{
    json_t *ranges = json_array();

    if (!is_of_seats(live)) {
        json_decref(ranges);
        return stamped(live,
                       body_json(usher_message_of(USHER_OPCODE_PLACE)->reply, &live->place, BODY_FLAGS_AS_BOOLEANS));
    }
    seat_list_add_ranges(ranges, 0, live->block, live->block_count);
    return stamped(live,
                   json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "concert_id", (json_int_t)live->concert_id, "date_id",
                             (json_int_t)live->date_id, "seat_count", (json_int_t)live->seat_count, "free_count",
                             (json_int_t)count_free(live), "version", (json_int_t)live->version, "free", ranges));
}

static void tell_picture(struct live *live);

static void
on_room(struct http_exchange *exchange, void *context)
{
    struct live *live = context;

    (void)exchange;
    if (live->is_stale && live->ending == ENDING_NONE)
        tell_picture(live);
}

/* What could not be written is told as a whole picture later. */
static void
fall_behind(struct live *live)
{
    if (http_stream_room(live->call->exchange) >= live->call->bridge->options.limits.stream_unsent_max) {
        close_soon(live, ENDING_TOO_LARGE); /* there was all the room that there will ever be */
        return;
    }
    live->is_stale = true;
    http_on_room(live->call->exchange, on_room, live);
}

static void
begin(struct live *live)
{
    if (live->has_begun)
        return;
    live->has_begun = true;
    if (http_sse_begin(live->call->exchange))
        http_stream_write(live->call->exchange, RETRY_LINE, strlen(RETRY_LINE));
    else
        close_soon(live, ENDING_GONE);
}

static void
tell_picture(struct live *live)
{
    live->is_stale = false;
    if (!send_json(live, is_of_seats(live) ? "seats" : "place", picture(live)))
        fall_behind(live);
}

/* A long poll: is there something else than what its client knows? */
static void
compare(struct live *live)
{
    if (is_of_seats(live))
        etag_of_seats(live->version, count_free(live), live->call->etag);
    else
        etag_of_place(&live->place, live->call->etag);
    if (!call_is_known(live->call))
        close_soon(live, ENDING_NEWS);
}

/* The picture here is whole and new. */
static void
follow(struct live *live)
{
    live->has_picture = true;
    if (!live->is_stream) {
        compare(live);
        return;
    }
    begin(live);
    if (live->ending == ENDING_NONE)
        tell_picture(live);
}

/* --- what comes: places
 * -------------------------------------------------------------------------------------------------- */
static void
take_place(struct live *live, const usher_place_push *push)
{
    live->place = (usher_place_reply){.queue_id = push->queue_id,
                                      .state = push->state,
                                      .sale = push->sale,
                                      .position = push->position,
                                      .rank = push->rank,
                                      .estimate_ms = push->estimate_ms,
                                      .next_poll_ms = push->next_poll_ms,
                                      .until_ms = push->until_ms};
    follow(live);
}

/* The reply that opens a subscription says the same in the same words. */
static void
take_first_place(struct live *live, const usher_watch_place_reply *reply)
{
    _Static_assert(sizeof *reply == sizeof live->place, "watch_place_reply is place_reply");
    memcpy(&live->place, reply, sizeof live->place);
    follow(live);
}

/* --- what comes: seats
 * ------------------------------------------------------------------------------------------------------ */
/* Room for the blocks of this date; false: it has more than a stream shows. */
static bool
make_room(struct live *live, uint32_t block_count)
{
    uint64_t *block;

    if (block_count > BLOCKS_MOST)
        return false;
    block = realloc(live->block, (block_count + 1) * sizeof *block);
    if (block == NULL)
        return false;
    if (block_count > live->block_count)
        memset(block + live->block_count, 0, (block_count - live->block_count) * sizeof *block);
    live->block = block;
    live->block_count = block_count;
    return true;
}

/* A part of the whole picture; with its last one it is whole. */
static void
take_seats(struct live *live, const usher_seats_push *push)
{
    live->concert_id = push->concert_id;
    live->date_id = push->date_id;
    live->seat_count = push->seat_count;
    live->version = push->version;
    if (!make_room(live, push->block_count) || push->first_block + push->free_block_count > push->block_count) {
        close_soon(live, ENDING_TOO_LARGE);
        return;
    }
    memcpy(live->block + push->first_block, push->free_block, push->free_block_count * sizeof *live->block);
    if (push->first_block + push->free_block_count == push->block_count)
        follow(live);
}

static void
take_changes(struct live *live, const usher_seat_changes_push *push)
{
    json_t *taken = json_array(), *freed = json_array();

    live->version = push->version;
    for (uint16_t i = 0; i < push->block_count; i++) {
        const usher_block_change *change = &push->block[i];
        if (change->block >= live->block_count)
            continue;
        uint64_t gone = live->block[change->block] & ~change->free, come = change->free & ~live->block[change->block];
        seat_list_add_ranges(taken, change->block, &gone, 1);
        seat_list_add_ranges(freed, change->block, &come, 1);
        live->block[change->block] = change->free;
    }
    json_t *data = json_pack("{s:I, s:I, s:I, s:I, s:o, s:o}", "concert_id", (json_int_t)push->concert_id, "date_id",
                             (json_int_t)push->date_id, "free_count", (json_int_t)count_free(live), "version",
                             (json_int_t)push->version, "taken", taken, "freed", freed);
    if (live->is_stream && live->has_begun && !live->is_stale) {
        if (!send_json(live, "seat_changes", stamped(live, data)))
            fall_behind(live);
        return;
    }
    json_decref(data);
    if (!live->is_stream)
        compare(live);
}

/* --- the subscription
 * ----------------------------------------------------------------------------------------------------------- */
static void
take_push(struct live *live, const usher_watch_event *event)
{
    if (event->opcode == USHER_PUSH_PLACE)
        take_place(live, event->body);
    else if (event->opcode == USHER_PUSH_SEATS)
        take_seats(live, event->body);
    else if (event->opcode == USHER_PUSH_SEAT_CHANGES)
        take_changes(live, event->body);
}

/* The last event of a stream that has begun. */
static void
say_goodbye(struct live *live, const usher_watch_event *event, const struct problem *problem)
{
    json_t *data = json_pack("{s:s}", "reason",
                             problem->code != 0                       ? "problem"
                             : event->status == USHER_STATUS_ANSWERED ? "over"
                                                                      : "drain");

    if (problem->code != 0)
        json_object_set_new(data, "problem",
                            problem_json(problem, language_of(http_header(live->call->exchange, "Accept-Language"))));
    send_json(live, "end", data);
}

static void
end_stream(struct live *live, const usher_watch_event *event, struct problem problem)
{
    if (live->ending == ENDING_GONE && (live->has_begun || http_is_gone(live->call->exchange))) {
        http_stream_end(live->call->exchange);
        return;
    }
    if (!live->has_begun && problem.code == 0 && event->status != USHER_STATUS_ANSWERED)
        problem.code = PROBLEM_GOING_AWAY;
    if (!live->has_begun && problem.code != 0) {
        call_refuse(live->call, problem);
        return;
    }
    begin(live);
    say_goodbye(live, event, &problem);
    http_stream_end(live->call->exchange);
}

/* A place is told from here; seats are asked for anew, for the call's answer is their whole list, and it waits on when
 * the house knows no more than its client does. */
static void
end_long_poll(struct live *live, struct problem problem)
{
    struct call *call = live->call;
    uint64_t now_ms = http_now_ms(call->bridge->http);

    call->extra.wait_ms = live->until_ms > now_ms ? live->until_ms - now_ms : 0;
    if (problem.code != 0)
        call_refuse(call, problem);
    else if (live->ending == ENDING_NEWS && is_of_seats(live))
        call_submit(call, USHER_OPCODE_SEATS, call->asked, call->row->done);
    else if (live->ending == ENDING_NEWS)
        body_done(call, &live->place);
    else
        call_send(call, NULL, NULL, 0); /* the etag is still the one that is known: 304 */
}

static void
on_ended(struct live *live, const usher_watch_event *event)
{
    struct problem problem = {0};

    http_timer_cancel(live->timer);
    http_on_end(live->call->exchange, NULL, NULL);
    http_on_room(live->call->exchange, NULL, NULL);
    free(live->block);
    if (event->status == USHER_STATUS_ANSWERED && event->result != USHER_OK)
        problem = (struct problem){.code = problem_find(event->result) != NULL ? event->result : PROBLEM_OPCODE_UNKNOWN,
                                   .refusal = event->refusal,
                                   .stamp_ms = event->stamp_ms};
    if (live->ending == ENDING_TOO_LARGE)
        problem = (struct problem){.code = PROBLEM_WATCH_LIMIT};
    if (live->is_stream)
        end_stream(live, event, problem);
    else
        end_long_poll(live, problem);
}

static void
on_watch(usher_async *async, const usher_watch_event *event)
{
    struct live *live = event->context;

    (void)async;
    if (event->stamp_ms != 0)
        live->call->stamp_ms = event->stamp_ms;
    if (event->kind == USHER_WATCH_ENDED)
        on_ended(live, event);
    else if (live->ending != ENDING_NONE)
        return;
    else if (event->kind == USHER_WATCH_STARTED && !is_of_seats(live))
        take_first_place(live, event->body);
    else if (event->kind == USHER_WATCH_PUSH)
        take_push(live, event);
    else if (event->kind == USHER_WATCH_INTERRUPTED && live->is_stream && live->has_begun)
        send_json(live, "interrupted", json_pack("{s:s}", "reason", "server_lost"));
}

static void
on_time(void *context)
{
    struct live *live = context;

    live->timer = NULL;
    if (!live->is_stream) {
        close_soon(live, ENDING_SAME);
    } else if (!live->has_begun) { /* no server for so long: the client shall at least hear that */
        begin(live);
        send_json(live, "interrupted", json_pack("{s:s}", "reason", "server_lost"));
    }
}

static void
open_live(struct call *call, uint16_t opcode, const void *request, bool is_stream, uint64_t wait_ms)
{
    struct live *live = http_memory(call->exchange, sizeof *live);

    *live = (struct live){.call = call, .is_stream = is_stream, .until_ms = http_now_ms(call->bridge->http) + wait_ms};
    if (usher_async_watch(call->bridge->usher, opcode, request, on_watch, live, &live->watch_no) !=
        USHER_STATUS_ANSWERED) {
        call_refuse(call, (struct problem){.code = PROBLEM_BRIDGE_BUSY});
        return;
    }
    live->timer = http_timer_after(call->bridge->http, wait_ms, on_time, live);
    http_on_end(call->exchange, on_end, live);
}

void
live_handle(struct http_exchange *exchange)
{
    void *request;
    struct call *call = call_open(exchange, &request, NULL);

    if (call != NULL)
        open_live(call, call->row->opcode, request, true, PATIENCE_MS);
}

static void
wait_for_seats(struct call *call)
{
    const usher_seats_request *asked = call->asked;
    usher_watch_seats_request watch = {
        .token_count = asked->token_count, .concert_id = asked->concert_id, .date_id = asked->date_id};

    memcpy(watch.token, asked->token, sizeof watch.token);
    open_live(call, USHER_OPCODE_WATCH_SEATS, &watch, false, call->extra.wait_ms);
}

void
live_wait(struct call *call)
{
    _Static_assert(sizeof(usher_watch_place_request) == sizeof(usher_place_request), "they ask in the same words");
    if (call->row->opcode == USHER_OPCODE_PLACE)
        open_live(call, USHER_OPCODE_WATCH_PLACE, call->asked, false, call->extra.wait_ms);
    else
        wait_for_seats(call);
}
