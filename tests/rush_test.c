/* rush_test.c: the worst minute of the year in small, over real sockets against a real usherd.
 *
 * Many connections send before any of them reads an answer, so that the server has them all before it at once. */
#include "tests/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "tests/server.h"
#include "tests/wire.h"

#define CONCERT 1u
#define DATE    1u
#define PRICE   700

struct rush {
    struct test_server server;
    struct wire admin;
    uint8_t gateway_key[64];
    char gateway_path[TEST_PATH_MOST + 16]; /* its key */
    uint32_t count; /* of wires and buyers below */
    struct wire *wire;
    struct buyer *buyer;
};

struct buyer {
    usher_uuid user;
    uint16_t token_count;
    uint8_t token[512];
    uint32_t seat_no;
    uint64_t reservation_id;
    usher_id reserve_id, charge_id, pay_id;
    unsigned reserved, paid; /* results; USHER_RESULT_NONE while unknown */
    bool reserve_known, pay_known; /* the answer was received before the crash */
    uint64_t payment_id;
};

/* --- a house for a rush --------------------------------------------------------------------------------- */
static void
connect_admin(struct rush *rush)
{
    assert_true(wire_open(&rush->admin, rush->server.port));
    assert_int_equal(wire_login(&rush->admin, rush->server.admin_key), USHER_OK);
}

static void
set_queue_policy(struct rush *rush, const char *name, uint64_t value)
{
    usher_set_policy_request ask = {.request_id = wire_id(), .of_queue = USHER_FLAG_YES, .value = value};
    strcpy(ask.name, name);
    assert_int_equal(wire_ask(&rush->admin, USHER_OPCODE_SET_POLICY, &ask, NULL), USHER_OK);
}

static void
load_house(struct rush *rush)
{
    usher_put_plan_request plan = {.request_id = wire_id(), .plan_id = 1, .section_count = 1};
    plan.section[0] = (usher_section){.name = "Hall", .first_row = 1, .row_count = 5, .seats_per_row = 10};
    assert_int_equal(wire_ask(&rush->admin, USHER_OPCODE_PUT_PLAN, &plan, NULL), USHER_OK);
    usher_put_concert_request concert = {.request_id = wire_id(), .concert_id = CONCERT, .title = "A rush"};
    assert_int_equal(wire_ask(&rush->admin, USHER_OPCODE_PUT_CONCERT, &concert, NULL), USHER_OK);
    usher_put_date_request date = {.request_id = wire_id(),
                                   .concert_id = CONCERT,
                                   .date_id = DATE,
                                   .plan_id = 1,
                                   .starts_at_ms = rush->admin.stamp_ms + 86400000,
                                   .price_count = 1,
                                   .price = {PRICE}};
    assert_int_equal(wire_ask(&rush->admin, USHER_OPCODE_PUT_DATE, &date, NULL), USHER_OK);
}

/* Invite and enrol a gateway; its key file lies beside the data. */
static void
enrol_gateway(struct rush *rush)
{
    uint8_t code[32], public_key[32];
    char hex[129];
    struct wire wire;
    usher_invite_request invite = {.request_id = wire_id(), .role = USHER_ROLE_GATEWAY, .name = "gateway"};

    snprintf(rush->gateway_path, sizeof rush->gateway_path, "%s/gateway.key", rush->server.folder);
    crypto_sign_keypair(public_key, rush->gateway_key);
    randombytes_buf(code, sizeof code);
    crypto_generichash(invite.code_hash.bytes, sizeof invite.code_hash.bytes, code, sizeof code, NULL, 0);
    assert_int_equal(wire_ask(&rush->admin, USHER_OPCODE_INVITE, &invite, NULL), USHER_OK);
    assert_true(wire_open(&wire, rush->server.port));
    assert_int_equal(wire_hello(&wire, rush->gateway_key), USHER_OK);
    assert_int_equal(wire_enrol(&wire, rush->gateway_key, code, NULL), USHER_OK);
    wire_close(&wire);
    sodium_bin2hex(hex, sizeof hex, rush->gateway_key, sizeof rush->gateway_key);
    FILE *file = fopen(rush->gateway_path, "w");
    assert_non_null(file);
    fprintf(file, "usher-key-1 %s\n", hex);
    fclose(file);
}

static void
connect_all(struct rush *rush)
{
    for (uint32_t i = 0; i < rush->count; i++) {
        assert_true(wire_open(&rush->wire[i], rush->server.port));
        assert_int_equal(wire_login(&rush->wire[i], rush->gateway_path), USHER_OK);
    }
}

static void
close_all(struct rush *rush)
{
    for (uint32_t i = 0; i < rush->count; i++)
        wire_close(&rush->wire[i]);
}

/* Whether every buyer should have joined and been admitted is the caller's wish. */
static void
open_rush(struct rush *rush, uint32_t connections, bool admitted)
{
    memset(rush, 0, sizeof *rush);
    rush->count = connections;
    rush->wire = calloc(connections, sizeof *rush->wire);
    rush->buyer = calloc(connections, sizeof *rush->buyer);
    test_server_open(&rush->server);
    test_server_start(&rush->server, NULL);
    connect_admin(rush);
    load_house(rush);
    enrol_gateway(rush);
    connect_all(rush);
    for (uint32_t i = 0; i < connections; i++) {
        struct buyer *buyer = &rush->buyer[i];
        *buyer = (struct buyer){.user = wire_user(i + 1),
                                .reserve_id = wire_id(),
                                .charge_id = wire_id(),
                                .pay_id = wire_id(),
                                .reserved = USHER_RESULT_NONE,
                                .paid = USHER_RESULT_NONE};
    }
    if (!admitted)
        return;
    set_queue_policy(rush, "admit_batch", 1000);
    for (uint32_t i = 0; i < connections; i++) {
        usher_join_request join = {.request_id = wire_id(), .user = rush->buyer[i].user};
        usher_join_reply reply;
        assert_int_equal(wire_ask(&rush->wire[i], USHER_OPCODE_JOIN, &join, &reply), USHER_OK);
        assert_int_equal(reply.state, USHER_PLACE_ACTIVE);
        rush->buyer[i].token_count = reply.token_count;
        memcpy(rush->buyer[i].token, reply.token, reply.token_count);
    }
}

static void
close_rush(struct rush *rush)
{
    close_all(rush);
    wire_close(&rush->admin);
    test_server_close(&rush->server);
    free(rush->wire);
    free(rush->buyer);
}

/* --- what the house says afterwards ------------------------------------------------------------------------ */
static usher_info_reply
info_of(struct rush *rush, bool digest)
{
    usher_info_request ask = {.digest = digest};
    usher_info_reply reply;
    assert_int_equal(wire_ask(&rush->admin, USHER_OPCODE_INFO, &ask, &reply), USHER_OK);
    return reply;
}

static void
check_sold_exactly(struct rush *rush, uint64_t sold)
{
    usher_info_reply info = info_of(rush, false);
    assert_int_equal(info.sold_count, sold);
    assert_int_equal(info.ledger_sum, 0);
    assert_int_equal(info.sales, (int64_t)sold * PRICE);

    /* From the outside as well: one SEAT_SOLD event a seat, no seat twice. */
    bool seen[64] = {false};
    uint64_t events = 0, after = 0;
    for (;;) {
        usher_events_request ask = {.after_event_no = after};
        usher_events_reply *reply = malloc(sizeof *reply);
        assert_int_equal(wire_ask(&rush->admin, USHER_OPCODE_EVENTS, &ask, reply), USHER_OK);
        for (uint16_t i = 0; i < reply->event_count; i++) {
            assert_int_equal(reply->event[i].event_no, after + 1); /* gap-free */
            after = reply->event[i].event_no;
            if (reply->event[i].kind != USHER_EVENT_SEAT_SOLD)
                continue;
            assert_false(seen[reply->event[i].seat_no]);
            seen[reply->event[i].seat_no] = true;
            events++;
        }
        uint16_t count = reply->event_count;
        free(reply);
        if (count == 0)
            break;
    }
    assert_int_equal(events, sold);
}

/* --- requests of a buyer -------------------------------------------------------------------------------------- */
static void
send_reserve(struct rush *rush, uint32_t i)
{
    struct buyer *buyer = &rush->buyer[i];
    usher_reserve_request ask = {
        .request_id = buyer->reserve_id, .concert_id = CONCERT, .date_id = DATE, .seat_count = 1};
    ask.seat[0] = buyer->seat_no;
    ask.token_count = buyer->token_count;
    memcpy(ask.token, buyer->token, buyer->token_count);
    assert_int_not_equal(wire_send(&rush->wire[i], USHER_OPCODE_RESERVE, &ask), 0);
}

/* Read the answer to a reserve; false when the connection ended first. */
static bool
receive_reserve(struct rush *rush, uint32_t i)
{
    struct buyer *buyer = &rush->buyer[i];
    struct wire_frame frame;
    usher_reserve_reply reply;
    unsigned field_no;

    if (!wire_receive(&rush->wire[i], &frame))
        return false;
    buyer->reserved = frame.result;
    if (frame.result != USHER_OK)
        return true;
    const usher_message *message = usher_message_of(USHER_OPCODE_RESERVE);
    assert_int_equal(usher_decode(message->reply, frame.body, frame.body_size, &reply, &field_no), USHER_OK);
    if (buyer->reserve_known)
        assert_int_equal(buyer->reservation_id, reply.hold[0].reservation_id); /* what was acknowledged stays */
    buyer->reservation_id = reply.hold[0].reservation_id;
    return true;
}

static void
charge(struct rush *rush, uint32_t i)
{
    struct buyer *buyer = &rush->buyer[i];
    usher_charge_request ask = {.request_id = buyer->charge_id, .user = buyer->user, .amount = PRICE};
    usher_charge_reply reply;
    assert_int_equal(wire_ask(&rush->wire[i], USHER_OPCODE_CHARGE, &ask, &reply), USHER_OK);
    assert_int_equal(reply.balance, PRICE);
}

static void
send_pay(struct rush *rush, uint32_t i)
{
    struct buyer *buyer = &rush->buyer[i];
    usher_pay_request ask = {.request_id = buyer->pay_id, .reservation_count = 1};
    ask.reservation[0] = buyer->reservation_id;
    ask.token_count = buyer->token_count;
    memcpy(ask.token, buyer->token, buyer->token_count);
    assert_int_not_equal(wire_send(&rush->wire[i], USHER_OPCODE_PAY, &ask), 0);
}

static bool
receive_pay(struct rush *rush, uint32_t i)
{
    struct buyer *buyer = &rush->buyer[i];
    struct wire_frame frame;
    usher_pay_reply reply;
    unsigned field_no;

    if (!wire_receive(&rush->wire[i], &frame))
        return false;
    buyer->paid = frame.result;
    if (frame.result != USHER_OK)
        return true;
    const usher_message *message = usher_message_of(USHER_OPCODE_PAY);
    assert_int_equal(usher_decode(message->reply, frame.body, frame.body_size, &reply, &field_no), USHER_OK);
    if (buyer->pay_known) {
        assert_int_equal(buyer->payment_id, reply.payment_id);
        assert_true(frame.flags & USHER_FLAG_REPLAYED);
    }
    buyer->payment_id = reply.payment_id;
    return true;
}

/* --- scenes -------------------------------------------------------------------------------------------------- */
/* R3, H2, S5: one of 500 gets the seat, 499 learn at once that it is held and until when. */
static void
five_hundred_connections_ask_for_one_seat_and_exactly_one_gets_it(void **state)
{
    struct rush rush;
    uint32_t ok = 0, held = 0;
    (void)state;

    open_rush(&rush, 500, true);
    for (uint32_t i = 0; i < rush.count; i++) {
        rush.buyer[i].seat_no = 7;
        send_reserve(&rush, i);
    }
    for (uint32_t i = 0; i < rush.count; i++) {
        assert_true(receive_reserve(&rush, i));
        ok += rush.buyer[i].reserved == USHER_OK;
        held += rush.buyer[i].reserved == USHER_HELD;
    }
    assert_int_equal(ok, 1);
    assert_int_equal(held, 499);
    assert_int_equal(info_of(&rush, false).hold_count, 1);
    close_rush(&rush);
}

/* S5, R1 to R3, B1, M5: 200 users race for 50 seats; each takes the next seat when its own is gone. */
static void
two_hundred_users_race_for_fifty_seats_and_exactly_fifty_are_sold(void **state)
{
    struct rush rush;
    (void)state;

    open_rush(&rush, 200, true);
    for (uint32_t round = 0; round < 50; round++) {
        for (uint32_t i = 0; i < rush.count; i++)
            if (rush.buyer[i].reserved != USHER_OK) {
                rush.buyer[i].seat_no = (i + round) % 50 + 1;
                rush.buyer[i].reserve_id = wire_id();
                send_reserve(&rush, i);
                rush.buyer[i].reserved = USHER_RESULT_NONE;
            }
        for (uint32_t i = 0; i < rush.count; i++)
            if (rush.buyer[i].reserved == USHER_RESULT_NONE) {
                assert_true(receive_reserve(&rush, i));
                assert_true(rush.buyer[i].reserved == USHER_OK || rush.buyer[i].reserved == USHER_HELD);
            }
    }
    for (uint32_t i = 0; i < rush.count; i++)
        if (rush.buyer[i].reserved == USHER_OK) {
            charge(&rush, i);
            send_pay(&rush, i);
        }
    for (uint32_t i = 0; i < rush.count; i++)
        if (rush.buyer[i].reserved == USHER_OK) {
            assert_true(receive_pay(&rush, i));
            assert_int_equal(rush.buyer[i].paid, USHER_OK);
        }
    check_sold_exactly(&rush, 50);

    usher_join_request join = {.request_id = wire_id(), .user = wire_user(9999)};
    assert_int_equal(wire_ask(&rush.wire[0], USHER_OPCODE_JOIN, &join, NULL), USHER_SOLD_OUT); /* Q10 */
    close_rush(&rush);
}

/* P3, M2: charges of one user from 100 connections at once all succeed, in some serial order, none is lost. */
static void
a_hundred_connections_charge_one_user_and_the_balance_is_exact(void **state)
{
    struct rush rush;
    bool seen[101] = {false};
    (void)state;

    open_rush(&rush, 100, false);
    for (uint32_t i = 0; i < rush.count; i++) {
        usher_charge_request ask = {.request_id = wire_id(), .user = wire_user(1), .amount = 100};
        assert_int_not_equal(wire_send(&rush.wire[i], USHER_OPCODE_CHARGE, &ask), 0);
    }
    for (uint32_t i = 0; i < rush.count; i++) {
        struct wire_frame frame;
        usher_charge_reply reply;
        unsigned field_no;
        assert_true(wire_receive(&rush.wire[i], &frame));
        assert_int_equal(frame.result, USHER_OK);
        assert_int_equal(usher_decode(usher_message_of(USHER_OPCODE_CHARGE)->reply, frame.body, frame.body_size,
                                      &reply, &field_no),
                         USHER_OK);
        assert_in_range(reply.balance, 100, 10000);
        assert_false(seen[reply.balance / 100]); /* each step of the serial order once */
        seen[reply.balance / 100] = true;
    }
    usher_ledger_request ask = {.user = wire_user(1)};
    usher_ledger_reply *ledger = malloc(sizeof *ledger);
    assert_int_equal(wire_ask(&rush.admin, USHER_OPCODE_LEDGER, &ask, ledger), USHER_OK);
    assert_int_equal(ledger->balance, 10000);
    assert_int_equal(ledger->entry_count, 100);
    assert_int_equal(ledger->more, USHER_FLAG_NO);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(ledger->entry[i].balance, 10000 - 100 * (int64_t)i);
    free(ledger);
    assert_int_equal(info_of(&rush, false).ledger_sum, 0);
    close_rush(&rush);
}

/* T4, Q1: 5,000 users join from 50 connections, 100 in flight on each: positions and ranks have no gap. */
static void
five_thousand_joins_from_fifty_connections_take_ranks_without_a_gap(void **state)
{
    struct rush rush;
    static bool position_seen[5001], rank_seen[5001];
    (void)state;

    memset(position_seen, 0, sizeof position_seen);
    memset(rank_seen, 0, sizeof rank_seen);
    open_rush(&rush, 50, false);
    usher_set_mode_request pause = {.request_id = wire_id(), .mode = USHER_QUEUE_PAUSED};
    assert_int_equal(wire_ask(&rush.admin, USHER_OPCODE_SET_MODE, &pause, NULL), USHER_OK);
    for (uint32_t n = 0; n < 100; n++)
        for (uint32_t i = 0; i < rush.count; i++) {
            usher_join_request join = {.request_id = wire_id(), .user = wire_user(n * 50 + i)};
            assert_int_not_equal(wire_send(&rush.wire[i], USHER_OPCODE_JOIN, &join), 0);
        }
    for (uint32_t n = 0; n < 100; n++)
        for (uint32_t i = 0; i < rush.count; i++) {
            struct wire_frame frame;
            usher_join_reply reply;
            unsigned field_no;
            assert_true(wire_receive(&rush.wire[i], &frame));
            assert_int_equal(frame.result, USHER_OK);
            assert_int_equal(usher_decode(usher_message_of(USHER_OPCODE_JOIN)->reply, frame.body, frame.body_size,
                                          &reply, &field_no),
                             USHER_OK);
            assert_in_range(reply.position, 1, 5000);
            assert_in_range(reply.rank, 1, 5000);
            assert_int_equal(reply.rank, reply.position); /* nobody left, nobody was admitted */
            assert_false(position_seen[reply.position]);
            assert_false(rank_seen[reply.rank]);
            position_seen[reply.position] = rank_seen[reply.rank] = true;
        }
    assert_int_equal(info_of(&rush, false).waiting_count, 5000);
    close_rush(&rush);
}

static void
crash_and_return_at(struct rush *rush, const char *wall_ms)
{
    assert_int_equal(test_server_stop(&rush->server, SIGKILL), -SIGKILL);
    close_all(rush);
    wire_close(&rush->admin);
    if (wall_ms == NULL)
        test_server_start(&rush->server, NULL);
    else
        test_server_start(&rush->server, "--wall-ms", wall_ms, NULL);
    connect_admin(rush);
    connect_all(rush);
}

static void
crash_and_return(struct rush *rush)
{
    crash_and_return_at(rush, NULL);
}

/* Every acknowledged answer is found by its id, unchanged (X3). */
static void
check_lookup(struct rush *rush, const struct buyer *buyer, const usher_id *id, unsigned result)
{
    usher_lookup_request ask = {.user = buyer->user, .request_id = *id};
    usher_lookup_reply reply;
    assert_int_equal(wire_ask(&rush->admin, USHER_OPCODE_LOOKUP, &ask, &reply), USHER_OK);
    assert_int_equal(reply.result, result);
}

/* S5, X3, M3, M7: SIGKILL in the middle of the holds and again in the middle of the payments, then the same requests
 * under the same ids. */
static void
a_server_killed_in_the_middle_of_the_race_still_sells_exactly_fifty(void **state)
{
    struct rush rush;
    (void)state;

    open_rush(&rush, 200, true);
    for (uint32_t i = 0; i < rush.count; i++) {
        rush.buyer[i].seat_no = i % 50 + 1;
        send_reserve(&rush, i);
    }
    for (uint32_t i = 0; i < 20; i++) /* some hear of it, then the lights go out */
        rush.buyer[i].reserve_known = receive_reserve(&rush, i);
    crash_and_return(&rush);
    for (uint32_t i = 0; i < rush.count; i++)
        send_reserve(&rush, i);
    for (uint32_t i = 0; i < rush.count; i++) {
        unsigned before = rush.buyer[i].reserved;
        assert_true(receive_reserve(&rush, i));
        assert_true(!rush.buyer[i].reserve_known || rush.buyer[i].reserved == before);
    }

    for (uint32_t i = 0; i < rush.count; i++)
        if (rush.buyer[i].reserved == USHER_OK) {
            charge(&rush, i);
            check_lookup(&rush, &rush.buyer[i], &rush.buyer[i].reserve_id, USHER_OK);
            send_pay(&rush, i);
        }
    uint32_t heard = 0;
    for (uint32_t i = 0; i < rush.count && heard < 10; i++)
        if (rush.buyer[i].reserved == USHER_OK) {
            rush.buyer[i].pay_known = receive_pay(&rush, i);
            heard++;
        }
    crash_and_return(&rush);
    for (uint32_t i = 0; i < rush.count; i++)
        if (rush.buyer[i].reserved == USHER_OK) {
            if (rush.buyer[i].pay_known)
                check_lookup(&rush, &rush.buyer[i], &rush.buyer[i].pay_id, USHER_OK);
            send_pay(&rush, i);
        }
    for (uint32_t i = 0; i < rush.count; i++)
        if (rush.buyer[i].reserved == USHER_OK) {
            assert_true(receive_pay(&rush, i));
            assert_int_equal(rush.buyer[i].paid, USHER_OK);
            check_lookup(&rush, &rush.buyer[i], &rush.buyer[i].pay_id, USHER_OK);
            check_lookup(&rush, &rush.buyer[i], &rush.buyer[i].charge_id, USHER_OK);
        }
    check_sold_exactly(&rush, 50);
    close_rush(&rush);
}

/* X3: what a server has in memory after SIGKILL and a new start is what it had before. */
static void
the_digest_over_all_records_is_the_same_after_a_kill(void **state)
{
    struct rush rush;
    (void)state;

    open_rush(&rush, 50, true);
    for (uint32_t i = 0; i < rush.count; i++) {
        rush.buyer[i].seat_no = i + 1;
        send_reserve(&rush, i);
    }
    for (uint32_t i = 0; i < rush.count; i++)
        assert_true(receive_reserve(&rush, i));
    for (uint32_t i = 0; i < 20; i++) {
        charge(&rush, i);
        send_pay(&rush, i);
        assert_true(receive_pay(&rush, i));
    }
    usher_info_reply before = info_of(&rush, true);
    assert_int_not_equal(before.digest, 0);
    /* The start finds the last stamp's moment, so there was no downtime to record (X2). */
    char wall_ms[24];
    snprintf(wall_ms, sizeof wall_ms, "%llu", (unsigned long long)before.stamp_ms);
    crash_and_return_at(&rush, wall_ms);
    usher_info_reply after = info_of(&rush, true);
    assert_int_equal(after.position, before.position);
    assert_int_equal(after.digest, before.digest);
    assert_int_equal(after.sold_count, 20);
    close_rush(&rush);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(five_hundred_connections_ask_for_one_seat_and_exactly_one_gets_it),
        cmocka_unit_test(two_hundred_users_race_for_fifty_seats_and_exactly_fifty_are_sold),
        cmocka_unit_test(a_hundred_connections_charge_one_user_and_the_balance_is_exact),
        cmocka_unit_test(five_thousand_joins_from_fifty_connections_take_ranks_without_a_gap),
        cmocka_unit_test(a_server_killed_in_the_middle_of_the_race_still_sells_exactly_fifty),
        cmocka_unit_test(the_digest_over_all_records_is_the_same_after_a_kill),
    };
    return usher_test_main(argc, argv, tests);
}
