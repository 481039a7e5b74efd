/* instances_sale_test.c: what is promised of several usherd on one data directory while they sell, over real sockets
 * (S4, X4): one of them killed in the middle. */
#define _GNU_SOURCE 1
#include "tests/instances_help.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#define INSTANCES   4u
#define CONNECTIONS 400u /* spread over the instances: connection c is at instance c % INSTANCES */
#define USERS       2000u
#define SEATS       200u
#define PRICE       300
#define BATCH       50u
#define INTERVAL_MS 60u
#define ACTIVE_MAX  70u
#define KILLED      3u   /* the instance that dies in the middle */
#define WINDOW      120u /* users at the line's head that poll in a round */

struct buyer {
    usher_uuid user;
    uint16_t token_count;
    uint8_t token[512];
    uint64_t position, reservation_id, payment_id;
    uint32_t wire; /* over which its last request went */
    usher_id request_id;
    enum { BUYER_WAITS, BUYER_ACTIVE, BUYER_HOLDS, BUYER_OWNS } state;
};

struct rush {
    struct house house;
    struct wire wire[CONNECTIONS];
    struct buyer buyer[USERS]; /* by position - 1 once all have joined */
    uint32_t sold, turn;
    struct tally tally[INSTANCES]; /* what each instance tells */
};

/* --- the sale --------------------------------------------------------------------------------------------------- */
/* The next connection, so that every request of a user goes to another instance than its last. */
static uint32_t
next_wire(struct rush *rush)
{
    return rush->turn++ % CONNECTIONS;
}

static void
send_ask(struct rush *rush, struct buyer *buyer, uint16_t opcode, const void *ask)
{
    buyer->wire = next_wire(rush);
    assert_int_not_equal(wire_send(&rush->wire[buyer->wire], opcode, ask), 0);
}

/* Replies of one connection come in the order of the requests as far as they are of one kind; so each round asks one
 * kind of thing. Returns the result; with OK *reply is filled in. */
static unsigned
hear(struct rush *rush, const struct buyer *buyer, uint16_t opcode, void *reply)
{
    struct wire_frame frame;
    unsigned field_no;

    if (!wire_receive(&rush->wire[buyer->wire], &frame))
        return USHER_RESULT_NONE;
    assert_int_equal(frame.opcode, opcode);
    if (frame.result == USHER_OK)
        assert_int_equal(usher_decode(usher_message_of(opcode)->reply, frame.body, frame.body_size, reply, &field_no),
                         USHER_OK);
    return frame.result;
}

static int
by_position(const void *one, const void *other)
{
    const struct buyer *left = one, *right = other;

    return left->position < right->position ? -1 : left->position > right->position;
}

static void
join_all(struct rush *rush)
{
    for (uint32_t i = 0; i < USERS; i++) {
        struct buyer *buyer = &rush->buyer[i];
        buyer->user = wire_user(i + 1);
        usher_join_request ask = {.request_id = wire_id(), .user = buyer->user};
        send_ask(rush, buyer, USHER_OPCODE_JOIN, &ask);
    }
    for (uint32_t i = 0; i < USERS; i++) {
        struct buyer *buyer = &rush->buyer[i];
        usher_join_reply reply;
        assert_int_equal(hear(rush, buyer, USHER_OPCODE_JOIN, &reply), USHER_OK);
        buyer->position = reply.position;
        buyer->token_count = reply.token_count;
        memcpy(buyer->token, reply.token, reply.token_count);
    }
    qsort(rush->buyer, USERS, sizeof *rush->buyer, by_position);
    for (uint32_t i = 0; i < USERS; i++)
        assert_int_equal(rush->buyer[i].position, i + 1); /* S4: no gap and no double over all instances */
}

/* The first who wait ask for their place, each at some instance. */
static void
poll_places(struct rush *rush)
{
    uint32_t asked[WINDOW], count = 0;

    for (uint32_t i = 0; i < USERS && count < WINDOW; i++)
        if (rush->buyer[i].state == BUYER_WAITS)
            asked[count++] = i;
    for (uint32_t n = 0; n < count; n++) {
        struct buyer *buyer = &rush->buyer[asked[n]];
        usher_place_request ask = {.token_count = buyer->token_count};
        memcpy(ask.token, buyer->token, buyer->token_count);
        send_ask(rush, buyer, USHER_OPCODE_PLACE, &ask);
    }
    for (uint32_t n = 0; n < count; n++) {
        struct buyer *buyer = &rush->buyer[asked[n]];
        usher_place_reply reply;
        assert_int_equal(hear(rush, buyer, USHER_OPCODE_PLACE, &reply), USHER_OK);
        assert_int_equal(reply.position, buyer->position);
        if (reply.state == USHER_PLACE_ACTIVE)
            buyer->state = BUYER_ACTIVE;
        else
            assert_int_equal(reply.state, USHER_PLACE_WAITING);
    }
}

static void
send_reserve(struct rush *rush, struct buyer *buyer)
{
    usher_reserve_request ask = {.request_id = wire_id(), .concert_id = 1, .date_id = 1, .seat_count = 1};
    ask.seat[0] = 1 + randombytes_uniform(SEATS);
    ask.token_count = buyer->token_count;
    memcpy(ask.token, buyer->token, buyer->token_count);
    send_ask(rush, buyer, USHER_OPCODE_RESERVE, &ask);
}

static void
reserve_seats(struct rush *rush)
{
    for (uint32_t i = 0; i < USERS; i++)
        if (rush->buyer[i].state == BUYER_ACTIVE)
            send_reserve(rush, &rush->buyer[i]);
    for (uint32_t i = 0; i < USERS; i++) {
        struct buyer *buyer = &rush->buyer[i];
        usher_reserve_reply reply;
        if (buyer->state != BUYER_ACTIVE)
            continue;
        unsigned result = hear(rush, buyer, USHER_OPCODE_RESERVE, &reply);
        assert_true(result == USHER_OK || result == USHER_HELD || result == USHER_SOLD);
        if (result != USHER_OK)
            continue;
        buyer->state = BUYER_HOLDS;
        buyer->reservation_id = reply.hold[0].reservation_id;
        buyer->request_id = (usher_id){{0}}; /* not charged yet */
    }
}

static bool
is_charged(const struct buyer *buyer)
{
    return !sodium_is_zero(buyer->request_id.bytes, sizeof buyer->request_id.bytes);
}

static void
charge_holders(struct rush *rush)
{
    for (uint32_t i = 0; i < USERS; i++) {
        struct buyer *buyer = &rush->buyer[i];
        usher_charge_request ask = {.request_id = wire_id(), .user = buyer->user, .amount = PRICE};
        if (buyer->state == BUYER_HOLDS && !is_charged(buyer))
            send_ask(rush, buyer, USHER_OPCODE_CHARGE, &ask);
    }
    for (uint32_t i = 0; i < USERS; i++) {
        struct buyer *buyer = &rush->buyer[i];
        usher_charge_reply reply;
        if (buyer->state != BUYER_HOLDS || is_charged(buyer))
            continue;
        assert_int_equal(hear(rush, buyer, USHER_OPCODE_CHARGE, &reply), USHER_OK);
        assert_int_equal(reply.balance, PRICE);
        buyer->request_id = wire_id(); /* of the payment */
    }
}

static void
send_pay(struct rush *rush, struct buyer *buyer)
{
    usher_pay_request ask = {.request_id = buyer->request_id, .reservation_count = 1};
    ask.reservation[0] = buyer->reservation_id;
    ask.token_count = buyer->token_count;
    memcpy(ask.token, buyer->token, buyer->token_count);
    send_ask(rush, buyer, USHER_OPCODE_PAY, &ask);
}

/* The connections of the killed instance go to others. */
static void
move_connections(struct rush *rush)
{
    for (uint32_t c = KILLED; c < CONNECTIONS; c += INSTANCES) {
        wire_close(&rush->wire[c]);
        assert_true(
            house_connect_gateway(&rush->house, &rush->wire[c], rush->house.server[c / INSTANCES % KILLED].port));
    }
}

/* Everybody who holds a seat pays. With `kill` one instance dies while their requests are under way: who has no answer
 * asks another instance under the same id (M3, S4). */
static void
pay_holders(struct rush *rush, bool kill)
{
    uint32_t again = 0;

    for (uint32_t i = 0; i < USERS; i++)
        if (rush->buyer[i].state == BUYER_HOLDS)
            send_pay(rush, &rush->buyer[i]);
    if (kill)
        assert_int_equal(test_server_stop(&rush->house.server[KILLED], SIGKILL), -SIGKILL);
    for (uint32_t i = 0; i < USERS; i++) {
        struct buyer *buyer = &rush->buyer[i];
        usher_pay_reply reply;
        if (buyer->state != BUYER_HOLDS)
            continue;
        unsigned result = hear(rush, buyer, USHER_OPCODE_PAY, &reply);
        if (kill && result == USHER_RESULT_NONE && buyer->wire % INSTANCES == KILLED) {
            again++;
            continue;
        }
        assert_int_equal(result, USHER_OK);
        buyer->state = BUYER_OWNS;
        rush->sold++;
    }
    if (!kill)
        return;
    move_connections(rush);
    if (again > 0)
        pay_holders(rush, false);
}

/* Every instance tells its events while they sell, and each by itself is checked as it comes. */
static void
read_tallies(struct rush *rush)
{
    for (unsigned number = 0; number < INSTANCES; number++)
        if (rush->house.server[number].pid != 0)
            tally_read(&rush->house.admin[number], &rush->tally[number]);
}

/* Nobody asks for a seat before as many are active as may be: from then on the limit alone says who is next. */
static void
fill_up(struct rush *rush)
{
    uint64_t until_ms = house_now_ms() + PATIENCE_MS;
    uint32_t active = 0;

    while (active < ACTIVE_MAX) {
        assert_true(house_now_ms() < until_ms);
        poll_places(rush);
        active = 0;
        for (uint32_t i = 0; i < USERS; i++)
            active += rush->buyer[i].state == BUYER_ACTIVE;
    }
    assert_int_equal(active, ACTIVE_MAX);
}

static void
sell_all(struct rush *rush)
{
    uint64_t until_ms = house_now_ms() + PATIENCE_MS;
    bool killed = false;

    while (rush->sold < SEATS) {
        assert_true(house_now_ms() < until_ms);
        poll_places(rush);
        reserve_seats(rush);
        charge_holders(rush);
        bool kill = !killed && rush->sold >= SEATS / 3;
        pay_holders(rush, kill);
        killed = killed || kill;
        read_tallies(rush);
    }
    assert_true(killed);
}

/* --- what is there in the end ------------------------------------------------------------------------------------- */
/* Q3: what an interval grants is not exceeded: of any 2 * BATCH + 1 admissions the first and the last are not within
 * one interval. */
static void
check_intervals(const struct tally *tally)
{
    for (uint64_t i = 2 * BATCH; i < tally->admitted; i++)
        assert_true(tally->admitted_at_ms[i] - tally->admitted_at_ms[i - 2 * BATCH] >= INTERVAL_MS);
}

/* What an instance tells of the house is what its events come to: so many seats sold, each paid for once by what was
 * charged, and nothing left over (M2). */
static void
check_books(struct house *house, unsigned door, const struct tally *tally, uint64_t seats)
{
    usher_info_reply info = house_info(house, door, false);

    assert_int_equal(tally->sold, seats);
    assert_int_equal(tally->paid, seats);
    assert_int_equal(tally->charges, tally->payments);
    assert_int_equal(info.sold_count, seats);
    assert_int_equal(info.payment_count, seats);
    assert_int_equal(info.sales, tally->payments);
    assert_int_equal(info.top_ups, -tally->charges);
    assert_int_equal(info.ledger_sum, 0);
    assert_int_equal(info.active_count, tally->active);
}

/* With nobody left who serves it, the data recounts to what they said. */
static void
check_data(struct house *house)
{
    char said[65536];

    for (unsigned door = 0; door < DOORS_MOST; door++)
        if (house->server[door].pid != 0) {
            wire_close(&house->admin[door]); /* or it would be waited for */
            assert_int_equal(test_server_stop(&house->server[door], SIGTERM), 0);
        }
    int code = test_server_run(&house->server[0], NULL, said, sizeof said, "check", house->server[0].data, NULL);
    if (code != 0)
        fail_msg("usherd check ended with %d: %s", code, said);
}

/* --- scenes ------------------------------------------------------------------------------------------------------- */
static void
open_rush(struct rush *rush)
{
    house_open(&rush->house, INSTANCES);
    house_load(&rush->house, INSTANCES, SEATS, PRICE);
    house_set_queue_policy(&rush->house, "admit_batch", BATCH);
    house_set_queue_policy(&rush->house, "admit_interval_ms", INTERVAL_MS);
    house_set_queue_policy(&rush->house, "active_max", ACTIVE_MAX);
    house_enrol_gateway(&rush->house, 1, 2);
    for (unsigned number = 0; number < INSTANCES; number++)
        rush->tally[number].active_max = ACTIVE_MAX;
    for (uint32_t c = 0; c < CONNECTIONS; c++)
        assert_true(house_connect_gateway(&rush->house, &rush->wire[c], rush->house.server[c % INSTANCES].port));
}

/* S4, S5, T4, T5, Q3, M2, R3, X4: four instances sell 200 seats to 2,000 users over 400 connections; one is killed in
 * the middle. Exactly 200 are sold, everybody was admitted in the order of joining, never too many at once, and all
 * instances show the same. */
static void
four_instances_sell_as_one_though_one_is_killed(void **state)
{
    struct rush *rush = calloc(1, sizeof *rush);
    struct tally *tally = rush->tally;
    (void)state;

    open_rush(rush);
    join_all(rush);
    fill_up(rush);
    sell_all(rush);
    wire_close(&rush->house.admin[KILLED]); /* it may come back at any time */
    house_open_door(&rush->house, KILLED, 0);
    tally[KILLED] = (struct tally){.active_max = ACTIVE_MAX};       /* and tells of it from the beginning */
    house_set_queue_policy(&rush->house, "admit_batch", BATCH + 1); /* the last event for all of them */
    read_tallies(rush);

    for (unsigned number = 0; number < INSTANCES; number++) {
        assert_int_equal(tally[number].joined, USERS);
        assert_true(tally[number].admitted >= SEATS);
        assert_int_equal(tally[number].active_most, ACTIVE_MAX); /* the limit was met, and never passed */
        assert_int_equal(tally[number].resumed, 0);
        assert_int_equal(tally[number].events, tally[0].events);
        assert_memory_equal(tally[number].digest, tally[0].digest, sizeof tally[0].digest);
        check_intervals(&tally[number]);
        check_books(&rush->house, number, &tally[number], SEATS);
    }
    for (uint32_t c = 0; c < CONNECTIONS; c++)
        wire_close(&rush->wire[c]);
    check_data(&rush->house);
    house_close(&rush->house);
    free(rush);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_instances_sell_as_one_though_one_is_killed),
    };

    return usher_test_main(argc, argv, tests);
}
