/* fake_push_test.c: the fake house's subscriptions: what is pushed, when, and what the script does to it. Without
 * sockets, and with frames made here, for the order of the bytes is what counts. */
#include "test.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "client-sdk/fake/src/link.h"

/* A house and a connection to it that has proved its key. */
struct wire {
    usher_fake *fake;
    struct fake_link *link;
    uint8_t out[8 * USHER_FRAME_MAX]; /* what the house has sent and nobody has read */
    size_t size, at;
    uint64_t now_ms;
    union {
        max_align_t align;
        uint8_t bytes[FAKE_BODY_ROOM];
    } body; /* of the frame that was read last */
    usher_frame frame;
};

static void
take_all(struct wire *wire)
{
    size_t taken;

    while ((taken = fake_link_take(wire->link, wire->out + wire->size, sizeof wire->out - wire->size, wire->now_ms)) >
           0)
        wire->size += taken;
}

static void
send_request(struct wire *wire, uint16_t opcode, uint32_t request_no, const void *request)
{
    const usher_frame frame = {.opcode = opcode, .request_no = request_no};
    uint8_t bytes[4096];
    size_t size = usher_encode(usher_message_of(opcode)->request, request, bytes + USHER_HEADER_SIZE,
                               sizeof bytes - USHER_HEADER_SIZE);

    fake_link_feed(wire->link, bytes, usher_frame_finish(bytes, size, &frame), wire->now_ms);
    take_all(wire);
}

/* The next frame into wire->frame and wire->body; false: there is none. */
static bool
read_frame(struct wire *wire)
{
    const usher_layout *layout;
    usher_result why;
    unsigned field_no;

    if (usher_frame_read(wire->out + wire->at, wire->size - wire->at, USHER_FRAME_MAX, &wire->frame, &why) !=
        USHER_FRAME_READY)
        return false;
    wire->at += wire->frame.size;
    layout = (wire->frame.flags & USHER_FLAG_PUSH) != 0 ? usher_push_of(wire->frame.opcode)->body
             : wire->frame.aux == USHER_OK              ? usher_message_of(wire->frame.opcode)->reply
                                                        : usher_refusal_layout();
    memset(&wire->body, 0, sizeof wire->body);
    assert_int_equal(usher_decode(layout, wire->frame.body, wire->frame.body_size, &wire->body, &field_no), USHER_OK);
    return true;
}

/* The next frame is the reply to this request. */
static const void *
reply_to(struct wire *wire, uint32_t request_no, usher_result result)
{
    assert_true(read_frame(wire));
    assert_int_equal(wire->frame.flags & USHER_FLAG_REPLY, USHER_FLAG_REPLY);
    assert_int_equal(wire->frame.request_no, request_no);
    assert_int_equal(wire->frame.aux, result);
    return &wire->body;
}

/* The next frame is this push. */
static const void *
pushed(struct wire *wire, uint16_t opcode)
{
    assert_true(read_frame(wire));
    assert_int_equal(wire->frame.flags, USHER_FLAG_PUSH);
    assert_int_equal(wire->frame.opcode, opcode);
    assert_int_equal(wire->frame.request_no, 0);
    return &wire->body;
}

static void
nothing_is_left(struct wire *wire)
{
    take_all(wire);
    assert_int_equal(wire->at, wire->size);
}

static struct wire *
wire_begin(const usher_fake_options *house)
{
    struct wire *wire = calloc(1, sizeof *wire);
    usher_hello_request hello = {.frame_max = USHER_FRAME_MAX};
    usher_authenticate_request proof;
    usher_hello_reply challenge;
    uint8_t secret[64], digest[32];

    assert_non_null(wire);
    wire->fake = fake_make(house, NULL, 0);
    assert_non_null(wire->fake);
    wire->link = fake_link_open(wire->fake, 0);
    crypto_sign_keypair(hello.client_key.bytes, secret);
    send_request(wire, USHER_OPCODE_HELLO, 1, &hello);
    challenge = *(const usher_hello_reply *)reply_to(wire, 1, USHER_OK);
    usher_handshake_digest(USHER_HANDSHAKE_CLIENT, &hello, &challenge, digest);
    crypto_sign_detached(proof.signature.bytes, NULL, digest, sizeof digest, secret);
    send_request(wire, USHER_OPCODE_AUTHENTICATE, 2, &proof);
    reply_to(wire, 2, USHER_OK);
    return wire;
}

static void
wire_end(struct wire *wire)
{
    fake_free(wire->fake);
    free(wire);
}

/* A user joins; its token goes into *ask, a request whose token field stands where watch_place's does. */
static usher_join_reply
join(struct wire *wire, uint8_t user)
{
    const usher_join_request request = {.request_id = {{user, 1}}, .user = {{user}}, .queue_id = 1};

    send_request(wire, USHER_OPCODE_JOIN, 100u + user, &request);
    return *(const usher_join_reply *)reply_to(wire, 100u + user, USHER_OK);
}

static void
watch_place(struct wire *wire, uint32_t request_no, const usher_join_reply *place)
{
    usher_watch_place_request request = {.token_count = place->token_count};

    memcpy(request.token, place->token, place->token_count);
    send_request(wire, USHER_OPCODE_WATCH_PLACE, request_no, &request);
}

static void
leave(struct wire *wire, uint8_t user, const usher_join_reply *place)
{
    usher_leave_request request = {.request_id = {{user, 2}}, .token_count = place->token_count};

    memcpy(request.token, place->token, place->token_count);
    send_request(wire, USHER_OPCODE_LEAVE, 200u + user, &request);
    reply_to(wire, 200u + user, USHER_OK);
}

/* A terminal holds a seat, or gives it up. */
static uint64_t
hold(struct wire *wire, uint32_t seat_no)
{
    const usher_reserve_request request = {.request_id = {{(uint8_t)seat_no, 3}},
                                           .user = {{9}},
                                           .concert_id = 1,
                                           .date_id = 1,
                                           .seat_count = 1,
                                           .seat = {seat_no}};

    send_request(wire, USHER_OPCODE_RESERVE, 300u + seat_no, &request);
    return ((const usher_reserve_reply *)reply_to(wire, 300u + seat_no, USHER_OK))->hold[0].reservation_id;
}

/* T3: who waits is told when somebody ahead leaves, when the turn comes and when the place is over; then no more. */
static void
a_place_is_pushed_until_it_is_over(void **state)
{
    struct wire *wire = wire_begin(&(usher_fake_options){.wait_polls = USHER_FAKE_WAIT_FOR_TEST});
    usher_join_reply first = join(wire, 1), second = join(wire, 2);
    const usher_place_push *push;
    const usher_watch_ended_push *ended;

    (void)state;
    watch_place(wire, 7, &second);
    assert_int_equal(((const usher_watch_place_reply *)reply_to(wire, 7, USHER_OK))->rank, 2);
    watch_place(wire, 7, &second);
    reply_to(wire, 7, USHER_WATCH_OPEN);
    nothing_is_left(wire);

    leave(wire, 1, &first);
    push = pushed(wire, USHER_PUSH_PLACE);
    assert_int_equal(push->subscription, 7);
    assert_int_equal(push->rank, 1);
    fake_admit(wire->fake, &wire->fake->places.item[1]);
    fake_tell(wire->fake, 0);
    take_all(wire);
    push = pushed(wire, USHER_PUSH_PLACE);
    assert_int_equal(push->state, USHER_PLACE_ACTIVE);
    leave(wire, 2, &second);
    push = pushed(wire, USHER_PUSH_PLACE);
    assert_int_equal(push->state, USHER_PLACE_LEFT);
    ended = pushed(wire, USHER_PUSH_WATCH_ENDED);
    assert_int_equal(ended->subscription, 7);
    assert_int_equal(ended->result, USHER_OK);
    nothing_is_left(wire);
    assert_int_equal(wire->link->watches.count, 0);

    watch_place(wire, 8, &second); /* over already */
    reply_to(wire, 8, USHER_OK);
    pushed(wire, USHER_PUSH_WATCH_ENDED);
    nothing_is_left(wire);
    wire_end(wire);
}

/* Q6: a subscription stands for polls: where so many polls admit, it admits, and says so. */
static void
a_subscription_counts_as_all_the_polls(void **state)
{
    struct wire *wire = wire_begin(&(usher_fake_options){.wait_polls = 5});
    usher_join_reply place = join(wire, 1);

    (void)state;
    watch_place(wire, 7, &place);
    assert_int_equal(((const usher_watch_place_reply *)reply_to(wire, 7, USHER_OK))->state, USHER_PLACE_WAITING);
    assert_int_equal(((const usher_place_push *)pushed(wire, USHER_PUSH_PLACE))->state, USHER_PLACE_ACTIVE);
    nothing_is_left(wire);
    wire_end(wire);
}

/* C2: a snapshot, then each change from version to version; a dropped push is a gap that shows. */
static void
seats_are_a_snapshot_and_then_changes(void **state)
{
    struct wire *wire = wire_begin(
        &(usher_fake_options){.role = USHER_ROLE_TERMINAL, .hold_ms = 1000, .script = "push seat_changes#2: drop"});
    const usher_watch_seats_request watch = {.user = {{9}}, .concert_id = 1, .date_id = 1};
    const usher_unwatch_request unwatch = {.subscription = 7};
    const usher_seat_changes_push *changes;
    const usher_seats_push *seats;
    uint64_t version;

    (void)state;
    send_request(wire, USHER_OPCODE_WATCH_SEATS, 7, &watch);
    assert_int_equal(((const usher_watch_seats_reply *)reply_to(wire, 7, USHER_OK))->block_count, 1);
    seats = pushed(wire, USHER_PUSH_SEATS);
    assert_int_equal(seats->free_block_count, 1);
    assert_true(seats->free_block[0] == ((uint64_t)1 << 50) - 1);
    version = seats->version;

    hold(wire, 3);
    changes = pushed(wire, USHER_PUSH_SEAT_CHANGES);
    assert_int_equal(changes->from_version, version);
    assert_int_equal(changes->block_count, 1);
    assert_true(changes->block[0].free == (((uint64_t)1 << 50) - 1 - 4));
    version = changes->version;
    hold(wire, 4); /* its push is dropped */
    nothing_is_left(wire);
    wire->fake->now_ms += 1000; /* both holds are over */
    fake_sweep(wire->fake);
    fake_tell(wire->fake, 0);
    take_all(wire);
    changes = pushed(wire, USHER_PUSH_SEAT_CHANGES);
    assert_true(changes->from_version > version); /* the gap */
    assert_true(changes->block[0].free == ((uint64_t)1 << 50) - 1);

    send_request(wire, USHER_OPCODE_UNWATCH, 8, &unwatch);
    assert_int_equal(((const usher_unwatch_reply *)reply_to(wire, 8, USHER_OK))->was_open, USHER_FLAG_YES);
    hold(wire, 5);
    nothing_is_left(wire);
    send_request(wire, USHER_OPCODE_UNWATCH, 8, &unwatch);
    assert_int_equal(((const usher_unwatch_reply *)reply_to(wire, 8, USHER_OK))->was_open, USHER_FLAG_NO);
    wire_end(wire);
}

/* C2: when the show begins there is nothing left to watch. */
static void
a_watch_of_seats_ends_when_the_show_begins(void **state)
{
    const usher_fake_date date = {
        .concert_id = 1, .date_id = 1, .row_count = 3, .seats_per_row = 100, .queue_id = 1, .starts_at_ms = 2000};
    struct wire *wire = wire_begin(
        &(usher_fake_options){.role = USHER_ROLE_TERMINAL, .dates = &date, .date_count = 1, .begins_ms = 1000});
    const usher_watch_seats_request watch = {.user = {{9}}, .concert_id = 1, .date_id = 1};
    const usher_seats_push *seats;

    (void)state;
    send_request(wire, USHER_OPCODE_WATCH_SEATS, 7, &watch);
    assert_int_equal(((const usher_watch_seats_reply *)reply_to(wire, 7, USHER_OK))->block_count, 5);
    seats = pushed(wire, USHER_PUSH_SEATS);
    assert_int_equal(seats->free_block_count, 5);
    assert_true(seats->free_block[4] == ((uint64_t)1 << 44) - 1);
    wire->fake->now_ms = 2000;
    fake_tell(wire->fake, 0);
    take_all(wire);
    assert_int_equal(((const usher_watch_ended_push *)pushed(wire, USHER_PUSH_WATCH_ENDED))->result, USHER_DATE_PAST);
    send_request(wire, USHER_OPCODE_WATCH_SEATS, 8, &watch);
    reply_to(wire, 8, USHER_DATE_PAST);
    wire_end(wire);
}

/* X5: events come from the cursor on without a gap; with a mask of kinds the cursor goes on over the others. */
static void
events_are_pushed_from_the_cursor_on(void **state)
{
    struct wire *wire = wire_begin(&(usher_fake_options){.role = USHER_ROLE_ADMIN});
    usher_watch_events_request all = {.after_event_no = 1};
    usher_watch_events_request holds = {.kinds = (uint64_t)1 << USHER_EVENT_SEAT_HELD};
    const usher_events_push *events;

    (void)state;
    join(wire, 1); /* JOINED, ADMITTED */
    send_request(wire, USHER_OPCODE_WATCH_EVENTS, 7, &all);
    assert_int_equal(((const usher_watch_events_reply *)reply_to(wire, 7, USHER_OK))->last_event_no, 2);
    events = pushed(wire, USHER_PUSH_EVENTS);
    assert_int_equal(events->event_count, 1);
    assert_int_equal(events->event[0].event_no, 2);
    assert_int_equal(events->event[0].kind, USHER_EVENT_ADMITTED);
    send_request(wire, USHER_OPCODE_WATCH_EVENTS, 8, &holds);
    reply_to(wire, 8, USHER_OK);
    nothing_is_left(wire);
    hold(wire, 1);
    events = pushed(wire, USHER_PUSH_EVENTS);
    assert_int_equal(events->subscription, 7);
    assert_int_equal(events->event[0].event_no, 3);
    events = pushed(wire, USHER_PUSH_EVENTS);
    assert_int_equal(events->subscription, 8);
    assert_int_equal(events->event[0].kind, USHER_EVENT_SEAT_HELD);
    assert_int_equal(events->last_event_no, 3);
    nothing_is_left(wire);
    wire_end(wire);
}

/* The script shapes pushes as it shapes answers. */
static void
pushes_are_delayed_doubled_and_cut_as_the_script_says(void **state)
{
    static const struct {
        const char *script;
        unsigned at_once, later; /* frames that can be read before and after 5 ms */
        bool over;
    } rows[] = {
        {"push place: delay 5", 0, 1, false}, {"push place: duplicate", 2, 2, false},
        {"push place: drop", 0, 0, false},    {"push place: reorder 5", 0, 1, false},
        {"push place: cut", 0, 0, true},      {"push place: cut 10", 0, 0, true},
        {"push place: trickle", 1, 1, false}, {"push place: duplicate, reset", 2, 2, true},
        {"push any#2: drop", 1, 1, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct wire *wire = wire_begin(&(usher_fake_options){.wait_polls = 1, .script = rows[i].script});
        usher_join_reply place = join(wire, 1);
        unsigned frames = 0;

        watch_place(wire, 7, &place);
        reply_to(wire, 7, USHER_OK);
        while (read_frame(wire))
            frames++;
        assert_int_equal(frames, rows[i].at_once);
        wire->now_ms = 5;
        take_all(wire);
        while (read_frame(wire))
            frames++;
        assert_int_equal(frames, rows[i].later);
        assert_int_equal(wire->link->over, rows[i].over);
        assert_int_equal(wire->fake->figures.pushes, 1);
        wire_end(wire);
    }
}

/* F4: answers of one connection change their order as the script says, and none is lost. */
static void
answers_are_reordered_among_many_in_flight(void **state)
{
    struct wire *wire = wire_begin(&(usher_fake_options){.script = "ping#1: reorder 1000; ping#2: delay 7"});

    (void)state;
    for (uint32_t i = 1; i <= 4; i++) {
        const usher_frame frame = {.opcode = USHER_OPCODE_PING, .request_no = i};
        const usher_ping_request ping = {.echo = i};
        uint8_t bytes[64];
        size_t size = usher_encode(usher_message_of(USHER_OPCODE_PING)->request, &ping, bytes + USHER_HEADER_SIZE, 32);

        fake_link_feed(wire->link, bytes, usher_frame_finish(bytes, size, &frame), 0);
    }
    take_all(wire);
    reply_to(wire, 3, USHER_OK);
    reply_to(wire, 1, USHER_OK);
    reply_to(wire, 4, USHER_OK);
    nothing_is_left(wire);
    assert_int_equal(fake_link_due(wire->link), 7);
    wire->now_ms = 7;
    take_all(wire);
    reply_to(wire, 2, USHER_OK);
    nothing_is_left(wire);
    wire_end(wire);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_place_is_pushed_until_it_is_over),
        cmocka_unit_test(a_subscription_counts_as_all_the_polls),
        cmocka_unit_test(seats_are_a_snapshot_and_then_changes),
        cmocka_unit_test(a_watch_of_seats_ends_when_the_show_begins),
        cmocka_unit_test(events_are_pushed_from_the_cursor_on),
        cmocka_unit_test(pushes_are_delayed_doubled_and_cut_as_the_script_says),
        cmocka_unit_test(answers_are_reordered_among_many_in_flight),
    };

    return usher_test_main(argc, argv, tests);
}
