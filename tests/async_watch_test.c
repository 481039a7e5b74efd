/* async_watch_test.c: subscriptions of the asynchronous client: they outlive their connections, and each ends once. */
#include "test.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "desk.h"

/* What a subscription was told. */
struct ear {
    struct desk *desk;
    uint64_t watch_no;
    unsigned started, pushes, interrupted, ended;
    usher_status status;
    usher_result result;
    uint64_t detail, retry_after_ms;
    uint32_t seat_count; /* of STARTED, WATCH_SEATS */
    uint64_t free[4];    /* what SEATS and SEAT_CHANGES left */
    uint64_t version;
    unsigned snapshots, deltas;
    uint64_t last_event_no, events; /* events are counted; each must be the next */
    uint8_t place_state;
    struct ear *unwatches; /* at its first push it ends this one */
};

static void
hear_push(struct ear *ear, const usher_watch_event *event)
{
    ear->pushes++;
    if (event->opcode == USHER_PUSH_PLACE)
        ear->place_state = ((const usher_place_push *)event->body)->state;
    if (event->opcode == USHER_PUSH_SEATS) {
        const usher_seats_push *push = event->body;
        memcpy(ear->free, push->free_block, push->free_block_count * sizeof push->free_block[0]);
        ear->version = push->version;
        ear->snapshots++;
    }
    if (event->opcode == USHER_PUSH_SEAT_CHANGES) {
        const usher_seat_changes_push *push = event->body;
        assert_int_equal(push->from_version, ear->version);
        for (unsigned i = 0; i < push->block_count; i++)
            ear->free[push->block[i].block] = push->block[i].free;
        ear->version = push->version;
        ear->deltas++;
    }
    if (event->opcode == USHER_PUSH_EVENTS) {
        const usher_events_push *push = event->body;
        for (unsigned i = 0; i < push->event_count; i++, ear->events++)
            assert_int_equal(push->event[i].event_no, ++ear->last_event_no);
        assert_int_equal(push->last_event_no, ear->last_event_no);
    }
}

static void
hear(usher_async *async, const usher_watch_event *event)
{
    struct ear *ear = event->context;

    assert_false(ear->desk->submitting);
    assert_int_equal(ear->ended, 0); /* ENDED is the last */
    assert_int_equal(event->watch_no, ear->watch_no);
    assert_int_equal(event->result != USHER_RESULT_NONE,
                     event->kind == USHER_WATCH_ENDED && event->status == USHER_STATUS_ANSWERED);
    if (event->kind == USHER_WATCH_STARTED) {
        ear->started++;
        if (event->opcode == USHER_OPCODE_WATCH_SEATS)
            ear->seat_count = ((const usher_watch_seats_reply *)event->body)->seat_count;
    } else if (event->kind == USHER_WATCH_PUSH) {
        assert_true(ear->started > ear->interrupted);
        hear_push(ear, event);
        if (ear->unwatches != NULL && ear->unwatches->ended == 0)
            usher_async_unwatch(async, ear->unwatches->watch_no);
        ear->unwatches = NULL;
    } else if (event->kind == USHER_WATCH_INTERRUPTED) {
        ear->interrupted++;
        assert_int_equal(ear->started, ear->interrupted);
    } else {
        ear->ended++;
        ear->status = event->status;
        ear->result = event->result;
        ear->detail = event->refusal != NULL ? event->refusal->detail : 0;
    }
}

static void
listen_to(struct desk *desk, struct ear *ear, uint16_t opcode, const void *request)
{
    memset(ear, 0, sizeof *ear);
    ear->desk = desk;
    desk->submitting = true;
    if (usher_async_watch(desk->async, opcode, request, hear, ear, &ear->watch_no) != USHER_STATUS_ANSWERED)
        fail_msg("%s", usher_async_error(desk->async));
    desk->submitting = false;
}

static void
listen_to_seats(struct desk *desk, struct ear *ear)
{
    const usher_watch_seats_request request = {.user = {{1}}, .concert_id = 1, .date_id = 1};

    listen_to(desk, ear, USHER_OPCODE_WATCH_SEATS, &request);
}

#define UNTIL(desk, condition)                                                                                         \
    do {                                                                                                               \
        uint64_t until_ms_ = desk_now_ms() + 30000;                                                                    \
        while (!(condition)) {                                                                                         \
            if (desk_now_ms() > until_ms_)                                                                             \
                fail_msg("it does not come: %s", #condition);                                                          \
            desk_turn(desk);                                                                                           \
        }                                                                                                              \
    } while (0)

/* A house whose clients are admins, who may do everything, and a blocking client beside the handle. */
static struct desk *
open_house(const char *script, usher_client **beside)
{
    struct desk *desk = desk_make(script);

    usher_fake_set_role(desk->fake, USHER_ROLE_ADMIN);
    desk->options.common.retry_ms_most = 50;
    desk_open(desk);
    assert_int_equal(usher_client_open(&desk->options.common, beside), USHER_STATUS_ANSWERED);
    return desk;
}

static void
close_house(struct desk *desk, usher_client *beside)
{
    usher_client_close(beside);
    desk_end(desk);
}

static void
hold_seat(usher_client *client, uint32_t seat_no)
{
    usher_reserve_request request = {.user = {{9}}, .concert_id = 1, .date_id = 1, .seat_count = 1, .seat = {seat_no}};
    usher_reserve_reply reply;

    request.user.bytes[1] = (uint8_t)seat_no; /* each user holds few seats */
    assert_int_equal(usher_reserve(client, &request, &reply), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(client)->result, USHER_OK);
}

/* Make two events. */
static void
make_events(usher_client *client, unsigned count)
{
    usher_charge_request request = {.user = {{1}}, .amount = 1};
    usher_charge_reply reply;

    for (; count > 0; count--)
        assert_int_equal(usher_charge(client, &request, &reply), USHER_STATUS_ANSWERED);
}

/* --- scenes ------------------------------------------------------------------------------------------- */
/* C2: a snapshot, then every change; after a lost connection it is opened anew and begins with a snapshot. */
static void
a_subscription_outlives_its_connection(void **state)
{
    usher_client *beside;
    struct desk *desk = open_house(NULL, &beside);
    struct ear ear;

    (void)state;
    listen_to_seats(desk, &ear);
    UNTIL(desk, ear.snapshots == 1);
    assert_int_equal(ear.seat_count, 50);
    hold_seat(beside, 3);
    UNTIL(desk, ear.deltas == 1);
    assert_int_equal(ear.free[0] >> 2 & 1, 0);
    for (unsigned i = 1; i <= 3; i++) {
        usher_fake_cut(desk->fake);
        UNTIL(desk, ear.interrupted == i);
        hold_seat(beside, 3 + i);
        UNTIL(desk, ear.snapshots == i + 1);
        UNTIL(desk, (ear.free[0] >> (2 + i) & 1) == 0);
    }
    usher_async_close(desk->async);
    desk->async = NULL;
    assert_int_equal(ear.ended, 1);
    assert_int_equal(ear.status, USHER_STATUS_CLOSED);
    close_house(desk, beside);
}

/* X5: over any number of lost connections every event is told once, in order, without a gap. */
static void
events_go_on_behind_the_last_one_that_was_told(void **state)
{
    usher_client *beside;
    struct desk *desk = open_house("after 900 bytes#2-30: cut", &beside);
    const usher_watch_events_request request = {.after_event_no = 0};
    struct ear ear;
    uint64_t there = 0;

    (void)state;
    listen_to(desk, &ear, USHER_OPCODE_WATCH_EVENTS, &request);
    for (unsigned i = 0; i < 20; i++) {
        usher_events_request all = {.after_event_no = UINT32_MAX};
        usher_events_reply events;
        make_events(beside, 5);
        if (i % 3 == 0)
            usher_fake_cut(desk->fake);
        assert_int_equal(usher_events(beside, &all, &events), USHER_STATUS_ANSWERED);
        there = events.last_event_no;
        UNTIL(desk, ear.last_event_no == there);
    }
    assert_int_equal(ear.events, there);
    assert_true(ear.interrupted >= 5);
    close_house(desk, beside);
}

/* F4: what the server refuses ends with its reason; what it only can't do now is asked for again. */
static void
a_refused_subscription_ends_and_a_busy_server_is_asked_again(void **state)
{
    usher_client *beside;
    struct desk *desk = open_house("watch_seats#1-3: refuse BUSY 3", &beside);
    const usher_watch_place_request forged = {.token_count = 7, .token = {1, 2, 3}};
    struct ear place, seats;

    (void)state;
    listen_to(desk, &place, USHER_OPCODE_WATCH_PLACE, &forged);
    listen_to_seats(desk, &seats);
    UNTIL(desk, place.ended == 1 && seats.snapshots == 1);
    assert_int_equal(place.started, 0);
    assert_int_equal(place.status, USHER_STATUS_ANSWERED);
    assert_int_equal(place.result, USHER_TOKEN_MALFORMED);
    assert_int_equal(usher_fake_requests(desk->fake, USHER_OPCODE_WATCH_SEATS), 4);
    assert_int_equal(usher_async_unwatch(desk->async, place.watch_no), 0);
    close_house(desk, beside);
}

/* T3: the server ends a subscription by itself when its place is over, behind the last push. */
static void
a_place_that_is_over_ends_its_subscription(void **state)
{
    usher_client *beside;
    struct desk *desk = open_house(NULL, &beside);
    const usher_join_request join = {.user = {{5}}, .queue_id = 1};
    usher_join_reply place;
    usher_watch_place_request request = {.token_count = 0};
    usher_leave_request leave = {.token_count = 0};
    usher_leave_reply left;
    struct ear ear;

    (void)state;
    assert_int_equal(usher_join(beside, &join, &place), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(beside)->result, USHER_OK);
    request.token_count = leave.token_count = place.token_count;
    memcpy(request.token, place.token, place.token_count);
    memcpy(leave.token, place.token, place.token_count);
    listen_to(desk, &ear, USHER_OPCODE_WATCH_PLACE, &request);
    UNTIL(desk, ear.started == 1);
    assert_int_equal(usher_leave(beside, &leave, &left), USHER_STATUS_ANSWERED);
    UNTIL(desk, ear.ended == 1);
    assert_int_equal(ear.place_state, USHER_PLACE_LEFT);
    assert_int_equal(ear.status, USHER_STATUS_ANSWERED);
    assert_int_equal(ear.result, USHER_OK);
    close_house(desk, beside);
}

/* F4: who does not want it any more hears ENDED and nothing else, whatever is on its way; the server is told. */
static void
an_ended_subscription_is_silent_and_ends_on_the_server(void **state)
{
    usher_client *beside;
    struct desk *desk = open_house(NULL, &beside);
    struct ear open, waiting, sent;

    (void)state;
    usher_async_close(desk->async);
    desk->options.in_flight_max = 1; /* a second one waits */
    desk_open(desk);
    listen_to_seats(desk, &open);
    UNTIL(desk, open.snapshots == 1);
    listen_to_seats(desk, &sent);
    desk_script(desk, "watch_seats#1: delay 30");
    desk_until_asked(desk, desk_look(desk).requests + 1);
    listen_to_seats(desk, &waiting);
    hold_seat(beside, 7);
    desk->submitting = true;
    assert_int_equal(usher_async_unwatch(desk->async, open.watch_no), 1);
    assert_int_equal(usher_async_unwatch(desk->async, open.watch_no), 0);
    assert_int_equal(usher_async_unwatch(desk->async, waiting.watch_no), 1);
    assert_int_equal(usher_async_unwatch(desk->async, sent.watch_no), 1);
    desk->submitting = false;
    UNTIL(desk, open.ended + waiting.ended + sent.ended == 3);
    assert_int_equal(open.status, USHER_STATUS_CANCELLED);
    assert_int_equal(open.deltas, 0);
    assert_int_equal(waiting.started, 0);
    while (desk_look(desk).watches > 0)
        desk_until_asked(desk, 1);
    assert_int_equal(usher_fake_requests(desk->fake, USHER_OPCODE_WATCH_SEATS), 2); /* one was never sent */
    close_house(desk, beside);
}

/* F4: a callback may end its own subscription, or another one. */
static void
a_callback_may_end_subscriptions(void **state)
{
    usher_client *beside;
    struct desk *desk = open_house(NULL, &beside);
    struct ear own, other, victim;

    (void)state;
    listen_to_seats(desk, &victim);
    listen_to_seats(desk, &own);
    listen_to_seats(desk, &other);
    own.unwatches = &own;
    other.unwatches = &victim;
    UNTIL(desk, own.ended == 1 && victim.ended == 1);
    assert_int_equal(own.pushes, 1);
    UNTIL(desk, other.snapshots == 1);
    hold_seat(beside, 1);
    UNTIL(desk, other.deltas == 1);
    while (desk_look(desk).watches > 1)
        desk_until_asked(desk, 1);
    close_house(desk, beside);
}

/* X7: a server that goes away: the subscription is opened at the next address at once. */
static void
a_subscription_moves_to_the_next_address(void **state)
{
    struct desk *desk = desk_make(NULL);
    usher_fake *other = usher_fake_start(NULL, NULL, 0);
    struct ear ear;
    char both[96];

    (void)state;
    usher_fake_set_role(desk->fake, USHER_ROLE_ADMIN);
    usher_fake_set_role(other, USHER_ROLE_ADMIN);
    snprintf(both, sizeof both, "%s,%s", usher_fake_address(desk->fake), usher_fake_address(other));
    desk->options.common.server = both;
    desk_open(desk);
    listen_to_seats(desk, &ear);
    UNTIL(desk, ear.snapshots == 1);
    usher_fake_go_away(desk->fake, 10000);
    UNTIL(desk, ear.snapshots == 2);
    assert_int_equal(ear.interrupted, 1);
    assert_int_equal(usher_fake_requests(other, USHER_OPCODE_WATCH_SEATS), 1);
    assert_string_equal(usher_async_identity(desk->async)->address, usher_fake_address(other));
    desk_end(desk);
    assert_int_equal(ear.ended, 1);
    usher_fake_stop(other);
}

/* F4: no more subscriptions than the options allow; what can't be one is refused at once. */
static void
subscriptions_are_bounded(void **state)
{
    struct desk *desk = desk_make(NULL);
    const usher_watch_seats_request request = {.user = {{1}}, .concert_id = 1, .date_id = 1};
    struct ear ear[4];

    (void)state;
    usher_fake_set_role(desk->fake, USHER_ROLE_ADMIN);
    desk->options.subscriptions_max = 3;
    desk_open(desk);
    for (unsigned i = 0; i < 3; i++)
        listen_to_seats(desk, &ear[i]);
    assert_int_equal(usher_async_watch(desk->async, USHER_OPCODE_WATCH_SEATS, &request, hear, &ear[3], NULL),
                     USHER_STATUS_QUEUE_FULL);
    assert_int_equal(usher_async_watch(desk->async, USHER_OPCODE_SEATS, &request, hear, &ear[3], NULL),
                     USHER_STATUS_BAD_ARGUMENT);
    assert_int_equal(usher_async_watch(desk->async, USHER_OPCODE_UNWATCH, &request, hear, &ear[3], NULL),
                     USHER_STATUS_BAD_ARGUMENT);
    assert_int_equal(usher_async_watch(desk->async, USHER_OPCODE_WATCH_SEATS, &request, NULL, NULL, NULL),
                     USHER_STATUS_BAD_ARGUMENT);
    assert_int_equal(usher_async_watch(desk->async, USHER_OPCODE_WATCH_SEATS, NULL, hear, &ear[3], NULL),
                     USHER_STATUS_BAD_ARGUMENT);
    UNTIL(desk, ear[0].snapshots + ear[1].snapshots + ear[2].snapshots == 3);
    usher_async_unwatch(desk->async, ear[1].watch_no);
    UNTIL(desk, ear[1].ended == 1);
    while (desk_look(desk).watches > 2)
        desk_until_asked(desk, 1);
    usher_async_process(desk->async);
    listen_to_seats(desk, &ear[3]);
    UNTIL(desk, ear[3].snapshots == 1);
    desk_end(desk);
    assert_int_equal(ear[0].ended + ear[1].ended + ear[2].ended + ear[3].ended, 4);
}

/* F4: many subscriptions and many calls share a connection that is lost again and again: nobody is forgotten, and none
 * is told twice that it is over. */
static void
many_subscriptions_survive_a_connection_that_breaks_again_and_again(void **state)
{
    usher_client *beside;
    struct desk *desk = open_house("after 20000 bytes*7: cut", &beside);
    static struct ear ear[300];
    unsigned ended = 0, snapshots = 0;

    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        listen_to_seats(desk, &ear[i]);
        if (i % 3 == 0)
            desk_ping(desk, i, 0);
    }
    for (unsigned i = 0; i < 300; i += 5)
        usher_async_unwatch(desk->async, ear[i].watch_no);
    for (unsigned i = 0; i < 300; i++)
        UNTIL(desk, ear[i].snapshots > 0 || ear[i].ended > 0);
    usher_fake_cut(desk->fake);
    desk_until(desk, 100);
    for (unsigned i = 0; i < 300; i++)
        UNTIL(desk, ear[i].ended > 0 || ear[i].started > ear[i].interrupted);
    usher_async_close(desk->async);
    desk->async = NULL;
    for (unsigned i = 0; i < 300; i++) {
        ended += ear[i].ended;
        snapshots += ear[i].snapshots > 0;
    }
    assert_int_equal(ended, 300);
    assert_true(snapshots >= 240);
    close_house(desk, beside);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_subscription_outlives_its_connection),
        cmocka_unit_test(events_go_on_behind_the_last_one_that_was_told),
        cmocka_unit_test(a_refused_subscription_ends_and_a_busy_server_is_asked_again),
        cmocka_unit_test(a_place_that_is_over_ends_its_subscription),
        cmocka_unit_test(an_ended_subscription_is_silent_and_ends_on_the_server),
        cmocka_unit_test(a_callback_may_end_subscriptions),
        cmocka_unit_test(a_subscription_moves_to_the_next_address),
        cmocka_unit_test(subscriptions_are_bounded),
        cmocka_unit_test(many_subscriptions_survive_a_connection_that_breaks_again_and_again),
    };

    return usher_test_main(argc, argv, tests);
}
