/* watch_test.c: subscriptions: what is pushed, to whom, and until when; over real sockets. */
#define _GNU_SOURCE 1
#include "tests/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/watch_help.h"

/* --- places ----------------------------------------------------------------------------------------------- */
/* Take pushes of a place until it is in this state. Returns how many came. */
static unsigned
hear_until(struct wire *wire, uint32_t subscription, enum usher_place_state state, struct told *told)
{
    unsigned count = 0;

    do {
        watch_must_hear(wire, USHER_PUSH_PLACE, subscription, told);
        count++;
    } while (told->place.state != state);
    return count;
}

/* T3, Q11: who watches its place is told of its admission at once, of its end, and that the subscription is over. */
static void
a_place_is_told_of_its_admission_and_its_end(void **state)
{
    struct house house;
    struct wire wire;
    struct told told;
    usher_watch_place_reply place;
    (void)state;

    house_open(&house, 1);
    watch_connect(&house, 0, &wire);
    watch_set_mode(&house.admin[0], USHER_QUEUE_PAUSED);
    usher_join_reply first = watch_join(&wire, 1), second = watch_join(&wire, 2);
    uint32_t watch = watch_place(&wire, &second, &place);
    assert_int_equal(place.state, USHER_PLACE_WAITING);
    assert_int_equal(place.sale, USHER_SALE_PAUSED);
    assert_int_equal(place.rank, 2);
    watch_set_mode(&house.admin[0], USHER_QUEUE_OPEN);
    assert_in_range(hear_until(&wire, watch, USHER_PLACE_ACTIVE, &told), 1, 2);
    assert_int_equal(told.place.position, second.position);
    assert_int_equal(told.place.rank, 0);
    assert_int_equal(told.place.sale, USHER_SALE_OPEN);
    assert_true(told.place.until_ms > wire.stamp_ms);
    watch_leave(&house.admin[0], &second);
    watch_must_hear(&wire, USHER_PUSH_PLACE, watch, &told);
    assert_int_equal(told.place.state, USHER_PLACE_LEFT);
    watch_must_end(&wire, watch, USHER_OK);
    assert_false(watch_end(&wire, watch));
    uint32_t over = watch_place(&wire, &second, &place); /* it was over before */
    assert_int_equal(place.state, USHER_PLACE_LEFT);
    watch_must_end(&wire, over, USHER_OK);
    watch_leave(&wire, &first);
    wire_close(&wire);
    house_close(&house);
}

/* Q9, Q10: everybody in line learns that the sale was paused, frozen, or goes on. */
static void
everybody_in_line_is_told_how_the_sale_stands(void **state)
{
    static const struct {
        enum usher_queue_mode mode;
        enum usher_sale sale;
    } changes[] = {{USHER_QUEUE_FROZEN, USHER_SALE_FROZEN},
                   {USHER_QUEUE_PAUSED, USHER_SALE_PAUSED},
                   {USHER_QUEUE_FROZEN, USHER_SALE_FROZEN},
                   {USHER_QUEUE_OPEN, USHER_SALE_OPEN}};
    struct house house;
    struct wire wire;
    struct told told;
    uint32_t watch[100];
    (void)state;

    house_open(&house, 2);
    watch_connect(&house, 1, &wire);
    house_set_queue_policy(&house, "active_max", 1);
    watch_join(&wire, 1000); /* nobody else is admitted */
    watch_set_mode(&house.admin[0], USHER_QUEUE_PAUSED);
    for (unsigned i = 0; i < 100; i++) {
        usher_join_reply join = watch_join(&wire, 1 + i);
        watch[i] = watch_place(&wire, &join, NULL);
    }
    for (size_t c = 0; c < sizeof changes / sizeof *changes; c++) {
        bool seen[100] = {false};
        watch_set_mode(&house.admin[0], changes[c].mode);
        for (unsigned left = 100; left > 0;) {
            assert_true(watch_hear(&wire, &told));
            assert_int_equal(told.opcode, USHER_PUSH_PLACE);
            assert_int_equal(told.place.state, USHER_PLACE_WAITING);
            unsigned who = 0;
            while (watch[who] != told.subscription)
                who++;
            left -= told.place.sale == changes[c].sale && !seen[who];
            seen[who] |= told.place.sale == changes[c].sale;
        }
    }
    wire_close(&wire);
    house_close(&house);
}

/* T3, T4, X4: thousands watch one queue from several connections at two instances; each is told of its admission
 * exactly once, and on each connection in the order of the line. */
static void
thousands_are_told_of_their_admission_once_and_in_order(void **state)
{
    enum { WIRES = 4, EACH = 600, ALL = WIRES * EACH };
    static usher_join_reply joins[ALL];
    static uint64_t position[WIRES][EACH + 1];
    struct house house;
    struct wire wire[WIRES];
    struct told told;
    (void)state;

    house_open(&house, 2);
    watch_set_mode(&house.admin[0], USHER_QUEUE_PAUSED);
    house_set_queue_policy(&house, "admit_batch", ALL);
    for (unsigned w = 0; w < WIRES; w++) {
        watch_connect(&house, w % 2, &wire[w]);
        wire[w].last_request_no = 0;
    }
    for (unsigned i = 0; i < ALL; i++)
        joins[i] = watch_join(&house.admin[0], i + 1);
    for (unsigned i = 0; i < ALL; i++)
        position[i % WIRES][watch_place(&wire[i % WIRES], &joins[i], NULL)] = joins[i].position;
    watch_set_mode(&house.admin[1], USHER_QUEUE_OPEN);
    for (unsigned w = 0; w < WIRES; w++) {
        uint64_t last = 0;
        for (unsigned admitted = 0; admitted < EACH;) {
            assert_true(watch_hear(&wire[w], &told));
            assert_int_equal(told.opcode, USHER_PUSH_PLACE);
            assert_int_equal(told.place.position, position[w][told.subscription]);
            if (told.place.state == USHER_PLACE_WAITING)
                continue;
            assert_int_equal(told.place.state, USHER_PLACE_ACTIVE);
            assert_true(told.place.position > last);
            last = told.place.position;
            admitted++;
        }
    }
    for (unsigned w = 0; w < WIRES; w++) { /* and nothing comes twice before the next answer */
        const usher_ping_request ping = {.echo = w};
        struct wire_frame frame;
        wire_send(&wire[w], USHER_OPCODE_PING, &ping);
        assert_true(wire_receive(&wire[w], &frame));
        assert_int_equal(frame.opcode, USHER_OPCODE_PING);
        wire_close(&wire[w]);
    }
    house_close(&house);
}

static void
set_house_policy(struct wire *admin, const char *name, uint64_t value)
{
    usher_set_policy_request ask = {.request_id = wire_id(), .value = value};

    strcpy(ask.name, name);
    house_must(admin, USHER_OPCODE_SET_POLICY, &ask, NULL);
}

/* Wait for a place to lapse, as the events tell it. */
static void
hear_lapse(struct wire *wire, uint64_t position)
{
    struct told told;

    for (;;) {
        assert_true(watch_hear(wire, &told));
        assert_int_equal(told.opcode, USHER_PUSH_EVENTS);
        for (uint16_t i = 0; i < told.events.event_count; i++) {
            assert_int_equal(told.events.event[i].kind, USHER_EVENT_LAPSED);
            if (told.events.event[i].position == position)
                return;
        }
    }
}

/* Q6: an open subscription keeps the place by itself, over many leases; without one the place lapses. */
static void
an_open_subscription_keeps_the_lease_and_nothing_else_does(void **state)
{
    struct house house;
    struct wire wire, events;
    struct told told;
    usher_place_reply place;
    (void)state;

    house_open(&house, 1);
    watch_connect(&house, 0, &wire);
    watch_connect(&house, 0, &events);
    set_house_policy(&house.admin[0], "poll_ms_min", 50);
    set_house_policy(&house.admin[0], "poll_ms_max", 100);
    house_set_queue_policy(&house, "waiting_lease_ms", 1500);
    watch_set_mode(&house.admin[0], USHER_QUEUE_PAUSED);
    watch_events(&events, 0, UINT64_C(1) << USHER_EVENT_LAPSED);
    usher_join_reply kept = watch_join(&wire, 1);
    uint32_t watch = watch_place(&wire, &kept, NULL);
    for (uint64_t round = 0; round < 3; round++) /* each of these is a whole lease */
        hear_lapse(&events, watch_join(&house.admin[0], 2).position);
    usher_place_request ask = {.token_count = kept.token_count};
    memcpy(ask.token, kept.token, kept.token_count);
    house_must(&house.admin[0], USHER_OPCODE_PLACE, &ask, &place);
    assert_int_equal(place.state, USHER_PLACE_WAITING);
    assert_true(watch_end(&wire, watch));
    hear_lapse(&events, kept.position);

    usher_join_reply second = watch_join(&wire, 3); /* a connection that ends keeps nothing */
    watch_place(&wire, &second, NULL);
    wire_close(&wire);
    hear_lapse(&events, second.position);

    watch_connect(&house, 0, &wire); /* and who watches is told of the lapse of an admission (Q5) */
    house_set_queue_policy(&house, "claim_ms", 300);
    usher_join_reply third = watch_join(&wire, 4);
    watch = watch_place(&wire, &third, NULL);
    watch_set_mode(&house.admin[0], USHER_QUEUE_OPEN);
    hear_until(&wire, watch, USHER_PLACE_EXPIRED, &told);
    watch_must_end(&wire, watch, USHER_OK);
    wire_close(&wire);
    wire_close(&events);
    house_close(&house);
}

/* --- what bounds them ------------------------------------------------------------------------------------- */
/* A subscription is opened once under its number, by who may, and not beyond the limits; it ends once. */
static void
subscriptions_are_bounded_and_named_once(void **state)
{
    const usher_watch_events_request ask = {.after_event_no = UINT64_C(1) << 40};
    struct house house;
    struct wire one, other, gateway;
    (void)state;

    memset(&house, 0, sizeof house);
    test_server_open(&house.server[0]);
    test_server_start(&house.server[0], "--watches-max", "3", "--watches-all-max", "5", NULL);
    house_connect_admin(&house, 0);
    watch_connect(&house, 0, &one);
    watch_connect(&house, 0, &other);
    uint32_t first = watch_events(&one, UINT64_C(1) << 40, 0);
    one.last_request_no = first - 1; /* the same number again */
    assert_int_equal(wire_ask(&one, USHER_OPCODE_WATCH_EVENTS, &ask, NULL), USHER_WATCH_OPEN);
    watch_events(&one, UINT64_C(1) << 40, 0);
    watch_events(&one, UINT64_C(1) << 40, 0);
    assert_int_equal(wire_ask(&one, USHER_OPCODE_WATCH_EVENTS, &ask, NULL), USHER_WATCH_LIMIT);
    assert_int_equal(one.refusal.detail, 3);
    watch_events(&other, UINT64_C(1) << 40, 0);
    uint32_t fifth = watch_events(&other, UINT64_C(1) << 40, 0);
    assert_int_equal(wire_ask(&other, USHER_OPCODE_WATCH_EVENTS, &ask, NULL), USHER_WATCH_LIMIT);
    assert_int_equal(other.refusal.detail, 5);
    assert_false(watch_end(&one, fifth + 1000)); /* it is nobody's */
    assert_true(watch_end(&other, fifth));
    assert_false(watch_end(&other, fifth));
    fifth = watch_events(&other, UINT64_C(1) << 40, 0);
    wire_close(&one); /* a connection that ends gives its own back */
    do
        one.last_request_no = wire_ask(&other, USHER_OPCODE_WATCH_EVENTS, &ask, NULL);
    while (one.last_request_no != USHER_OK);
    assert_int_equal(wire_ask(&other, USHER_OPCODE_WATCH_EVENTS, &ask, NULL), USHER_WATCH_LIMIT);
    assert_int_equal(other.refusal.detail, 3);

    house_enrol_gateway(&house, 0, 0);
    assert_true(house_connect_gateway(&house, &gateway, house.server[0].port));
    assert_int_equal(wire_ask(&gateway, USHER_OPCODE_WATCH_EVENTS, &ask, NULL), USHER_ROLE_REFUSED);
    const usher_watch_place_request place = {.token_count = 0};
    assert_int_equal(wire_ask(&gateway, USHER_OPCODE_WATCH_PLACE, &place, NULL), USHER_TOKEN_MISSING);
    const usher_watch_seats_request seats = {.concert_id = 7, .date_id = 1};
    assert_int_equal(wire_ask(&gateway, USHER_OPCODE_WATCH_SEATS, &seats, NULL), USHER_TOKEN_MISSING);
    assert_int_equal(wire_ask(&house.admin[0], USHER_OPCODE_WATCH_SEATS, &seats, NULL), USHER_CONCERT_NOT_FOUND);
    assert_false(watch_end(&gateway, 1));
    wire_close(&gateway);
    wire_close(&other);
    house_close(&house);
}

/* X7: who watches is told that the server goes away, and nothing more. */
static void
subscribers_are_told_that_the_server_goes_away(void **state)
{
    struct house house;
    struct wire wire;
    struct told told;
    (void)state;

    house_open(&house, 1);
    watch_connect(&house, 0, &wire);
    watch_set_mode(&house.admin[0], USHER_QUEUE_PAUSED);
    usher_join_reply join = watch_join(&wire, 1);
    watch_place(&wire, &join, NULL);
    assert_int_equal(test_server_stop(&house.server[0], SIGTERM), 0);
    assert_true(watch_hear(&wire, &told));
    assert_int_equal(told.opcode, USHER_PUSH_GOING_AWAY);
    assert_false(watch_hear(&wire, &told));
    assert_true(wire_is_closed(&wire));
    wire_close(&wire);
    house_close(&house);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_place_is_told_of_its_admission_and_its_end),
        cmocka_unit_test(everybody_in_line_is_told_how_the_sale_stands),
        cmocka_unit_test(thousands_are_told_of_their_admission_once_and_in_order),
        cmocka_unit_test(an_open_subscription_keeps_the_lease_and_nothing_else_does),
        cmocka_unit_test(subscriptions_are_bounded_and_named_once),
        cmocka_unit_test(subscribers_are_told_that_the_server_goes_away),
    };

    return usher_test_main(argc, argv, tests);
}
