/* watch_seats_test.c: subscriptions to the free seats of a date, over real sockets. */
#define _GNU_SOURCE 1
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/watch_help.h"

#define USERS 8u

static uint64_t seed = 0x243f6a8885a308d3;

static uint32_t
draw(uint32_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 20) % below;
}

/* Ten rows of this many seats each. */
static unsigned
put_plan(struct wire *admin, uint32_t row_count, uint32_t seats_per_row)
{
    usher_put_plan_request plan = {.request_id = wire_id(), .plan_id = 1, .section_count = 1};

    plan.section[0] = (usher_section){
        .name = "Hall", .first_row = 1, .row_count = (uint16_t)row_count, .seats_per_row = (uint16_t)seats_per_row};
    return wire_ask(admin, USHER_OPCODE_PUT_PLAN, &plan, NULL);
}

/* --- a sale at random ------------------------------------------------------------------------------------- */
struct sale {
    struct house house;
    struct wire wire; /* who asks at the other door */
    uint64_t reservation[64];
    uint64_t payment[64];
    uint64_t user[64], payer[64];
    unsigned reservation_count, payment_count;
    uint64_t done[8];
};

static void
reserve(struct sale *sale, struct wire *wire)
{
    uint64_t user = 1 + draw(USERS);
    usher_reserve_request ask = {.request_id = wire_id(),
                                 .user = wire_user(user),
                                 .concert_id = 1,
                                 .date_id = 1,
                                 .seat_count = 1,
                                 .seat = {1 + draw(300)}};
    usher_reserve_reply reply;

    if (sale->reservation_count == 64 || wire_ask(wire, USHER_OPCODE_RESERVE, &ask, &reply) != USHER_OK)
        return;
    sale->user[sale->reservation_count] = user;
    sale->reservation[sale->reservation_count++] = reply.hold[0].reservation_id;
    sale->done[0]++;
}

static void
release(struct sale *sale, struct wire *wire)
{
    if (sale->reservation_count == 0)
        return;
    unsigned which = draw(sale->reservation_count);
    usher_release_request ask = {.request_id = wire_id(),
                                 .user = wire_user(sale->user[which]),
                                 .reservation_count = 1,
                                 .reservation = {sale->reservation[which]}};
    sale->done[1] += wire_ask(wire, USHER_OPCODE_RELEASE, &ask, NULL) == USHER_OK;
    sale->reservation[which] = sale->reservation[--sale->reservation_count];
    sale->user[which] = sale->user[sale->reservation_count];
}

static void
pay(struct sale *sale, struct wire *wire)
{
    usher_pay_reply reply;

    if (sale->reservation_count == 0 || sale->payment_count == 64)
        return;
    unsigned which = draw(sale->reservation_count);
    usher_pay_request ask = {.request_id = wire_id(),
                             .user = wire_user(sale->user[which]),
                             .reservation_count = 1,
                             .reservation = {sale->reservation[which]}};
    if (wire_ask(wire, USHER_OPCODE_PAY, &ask, &reply) == USHER_OK) {
        sale->payer[sale->payment_count] = sale->user[which];
        sale->payment[sale->payment_count++] = reply.payment_id;
        sale->done[2]++;
    }
    sale->reservation[which] = sale->reservation[--sale->reservation_count];
    sale->user[which] = sale->user[sale->reservation_count];
}

static void
refund(struct sale *sale, struct wire *wire)
{
    if (sale->payment_count == 0)
        return;
    unsigned which = draw(sale->payment_count);
    usher_refund_request ask = {
        .request_id = wire_id(), .user = wire_user(sale->payer[which]), .payment_id = sale->payment[which]};
    sale->done[3] += wire_ask(wire, USHER_OPCODE_REFUND, &ask, NULL) == USHER_OK;
    sale->payment[which] = sale->payment[--sale->payment_count];
    sale->payer[which] = sale->payer[sale->payment_count];
}

static void
block(struct sale *sale, struct wire *wire)
{
    usher_block_request ask = {.request_id = wire_id(),
                               .concert_id = 1,
                               .date_id = 1,
                               .force = (uint8_t)draw(2),
                               .seat_count = 1,
                               .seat = {1 + draw(300)}};

    sale->done[4] += wire_ask(wire, USHER_OPCODE_BLOCK, &ask, NULL) == USHER_OK;
}

static void
unblock(struct sale *sale, struct wire *wire)
{
    usher_unblock_request ask = {.request_id = wire_id(), .concert_id = 1, .date_id = 1, .seat_count = 64};
    uint32_t first = 1 + draw(200);

    for (uint32_t i = 0; i < 64; i++)
        ask.seat[i] = first + i;
    sale->done[5] += wire_ask(wire, USHER_OPCODE_UNBLOCK, &ask, NULL) == USHER_OK;
}

/* From 300 to 320 seats and back: the seats that come and go are never taken. */
static void
change_plan(struct sale *sale, struct wire *wire)
{
    sale->done[6] += put_plan(wire, 10, draw(2) ? 32 : 30) == USHER_OK;
}

static void (*const moves[])(struct sale *sale, struct wire *wire) = {reserve, reserve, reserve, reserve, release,
                                                                      pay,     pay,     refund,  block,   unblock};

/* C2, C3, H1, H8, H10, M8, X4: whatever happens to the seats, at this instance or at another, who puts the changes on
 * the snapshot always comes to what SEATS says, and each change says which state it is put on. */
static void
snapshot_and_changes_come_to_what_seats_says(void **state)
{
    struct sale *sale = calloc(1, sizeof *sale);
    static struct mirror mirror, late;
    struct wire watcher, newcomer;
    (void)state;

    house_open(&sale->house, 2);
    house_load(&sale->house, 2, 300, 5);
    watch_connect(&sale->house, 1, &watcher);
    for (uint64_t user = 1; user <= USERS; user++) {
        const usher_charge_request ask = {.request_id = wire_id(), .user = wire_user(user), .amount = 100000};
        house_must(&sale->house.admin[0], USHER_OPCODE_CHARGE, &ask, NULL);
    }
    watch_seats(&watcher, NULL);
    for (unsigned round = 0; round < 60; round++) {
        for (unsigned i = 0; i < 25; i++)
            moves[draw(sizeof moves / sizeof *moves)](sale, &sale->house.admin[draw(2)]);
        if (round % 6 == 5)
            change_plan(sale, &sale->house.admin[draw(2)]);
        mirror_must_become_true(&mirror, &watcher, &sale->house.admin[1]);
        if (round % 10 == 0) { /* a newcomer in the middle of it sees the same */
            watch_connect(&sale->house, 1, &newcomer);
            memset(&late, 0, sizeof late);
            watch_seats(&newcomer, NULL);
            reserve(sale, &sale->house.admin[0]);
            mirror_must_become_true(&late, &newcomer, &sale->house.admin[1]);
            wire_close(&newcomer);
        }
    }
    mirror_must_become_true(&mirror, &watcher, &sale->house.admin[1]);
    for (size_t i = 0; i < 7; i++)
        assert_true(sale->done[i] > 0);
    assert_true(mirror.snapshots > 1);
    assert_true(mirror.deltas > 60);
    wire_close(&watcher);
    house_close(&sale->house);
    free(sale);
}

/* H1, R2: a hold that runs out is told without anybody's doing. */
static void
a_hold_that_runs_out_is_told(void **state)
{
    const usher_set_policy_request policy = {.request_id = wire_id(), .name = "hold_ms", .value = 1000};
    static struct mirror mirror;
    struct house house;
    struct wire watcher;
    struct told told;
    (void)state;

    house_open(&house, 1);
    house_load(&house, 1, 50, 5);
    house_must(&house.admin[0], USHER_OPCODE_SET_POLICY, &policy, NULL);
    watch_connect(&house, 0, &watcher);
    uint32_t watch = watch_seats(&watcher, NULL);
    watch_must_hear(&watcher, USHER_PUSH_SEATS, watch, &told);
    mirror_take(&mirror, &told);
    assert_int_equal(mirror.free[0], (UINT64_C(1) << 50) - 1);
    const usher_reserve_request ask = {
        .request_id = wire_id(), .user = wire_user(1), .concert_id = 1, .date_id = 1, .seat_count = 2, .seat = {7, 9}};
    house_must(&house.admin[0], USHER_OPCODE_RESERVE, &ask, NULL);
    watch_must_hear(&watcher, USHER_PUSH_SEAT_CHANGES, watch, &told);
    mirror_take(&mirror, &told);
    assert_int_equal(mirror.free[0], ((UINT64_C(1) << 50) - 1) & ~(UINT64_C(1) << 6 | UINT64_C(1) << 8));
    watch_must_hear(&watcher, USHER_PUSH_SEAT_CHANGES, watch, &told);
    mirror_take(&mirror, &told);
    assert_int_equal(mirror.free[0], (UINT64_C(1) << 50) - 1);
    wire_close(&watcher);
    house_close(&house);
}

/* F1: a large date's snapshot takes several frames, in order; and so does a great change of it. */
static void
a_large_date_comes_in_several_frames(void **state)
{
    static struct mirror mirror;
    struct house house;
    struct wire watcher;
    (void)state;

    house_open(&house, 1);
    house_load(&house, 1, 50, 5);
    assert_int_equal(put_plan(&house.admin[0], 100, 655), USHER_OK);
    watch_connect(&house, 0, &watcher);
    watch_seats(&watcher, NULL);
    mirror_must_become_true(&mirror, &watcher, &house.admin[0]);
    assert_int_equal(mirror.seat_count, 65500);
    assert_int_equal(mirror.block_count, 1024);
    assert_int_equal(mirror.snapshots, 1);
    for (uint32_t first = 1; first <= 65000; first += 64 * 64) { /* a seat in each block */
        usher_block_request ask = {.request_id = wire_id(), .concert_id = 1, .date_id = 1, .seat_count = 64};
        for (uint32_t i = 0; i < 64; i++)
            ask.seat[i] = first + i * 64;
        house_must(&house.admin[0], USHER_OPCODE_BLOCK, &ask, NULL);
    }
    mirror_must_become_true(&mirror, &watcher, &house.admin[0]);
    assert_int_equal(mirror.snapshots, 1);
    wire_close(&watcher);
    house_close(&house);
}

/* T2, Q7, Q13: who watches seats with a token watches as long as it is active. */
static void
seats_are_shown_as_long_as_the_token_is_active(void **state)
{
    struct house house;
    struct wire wire;
    struct told told;
    usher_reserve_reply held;
    (void)state;

    house_open(&house, 2);
    house_load(&house, 2, 50, 5);
    watch_connect(&house, 1, &wire);
    usher_join_reply leaver = watch_join(&wire, 1), payer = watch_join(&wire, 2);
    uint32_t first = watch_seats(&wire, &leaver);
    watch_must_hear(&wire, USHER_PUSH_SEATS, first, &told);
    uint32_t second = watch_seats(&wire, &payer);
    watch_must_hear(&wire, USHER_PUSH_SEATS, second, &told);
    uint32_t place = watch_place(&wire, &payer, NULL);
    watch_leave(&house.admin[0], &leaver);
    watch_must_hear(&wire, USHER_PUSH_WATCH_ENDED, first, &told);
    assert_int_equal(told.ended.result, USHER_TOKEN_EXPIRED);
    assert_int_equal(told.ended.detail, USHER_PLACE_LEFT);

    const usher_charge_request charge = {.request_id = wire_id(), .user = wire_user(2), .amount = 5};
    house_must(&house.admin[0], USHER_OPCODE_CHARGE, &charge, NULL);
    usher_reserve_request ask = {.request_id = wire_id(),
                                 .token_count = payer.token_count,
                                 .concert_id = 1,
                                 .date_id = 1,
                                 .seat_count = 1,
                                 .seat = {7}};
    memcpy(ask.token, payer.token, payer.token_count);
    house_must(&house.admin[0], USHER_OPCODE_RESERVE, &ask, &held);
    watch_must_hear(&wire, USHER_PUSH_SEAT_CHANGES, second, &told);
    usher_pay_request pay = {.request_id = wire_id(),
                             .token_count = payer.token_count,
                             .reservation_count = 1,
                             .reservation = {held.hold[0].reservation_id}};
    memcpy(pay.token, payer.token, payer.token_count);
    house_must(&house.admin[0], USHER_OPCODE_PAY, &pay, NULL);
    bool ended[2] = {false}, used = false;
    while (!ended[0] || !ended[1]) {
        assert_true(watch_hear(&wire, &told));
        if (told.opcode == USHER_PUSH_PLACE) {
            assert_false(ended[0]);
            used = told.place.state == USHER_PLACE_USED;
            continue;
        }
        assert_int_equal(told.opcode, USHER_PUSH_WATCH_ENDED);
        assert_int_equal(told.ended.result, told.subscription == place ? USHER_OK : USHER_TOKEN_USED);
        ended[told.subscription != place] = true;
    }
    assert_true(used);
    const usher_watch_seats_request again = {.concert_id = 1, .date_id = 9};
    assert_int_equal(wire_ask(&wire, USHER_OPCODE_WATCH_SEATS, &again, NULL), USHER_DATE_NOT_FOUND);
    wire_close(&wire);
    house_close(&house);
}

/* H7: when the show begins there is nothing left to watch. */
static void
seats_are_shown_until_the_show_begins(void **state)
{
    struct house house;
    struct wire wire;
    struct told told;
    (void)state;

    house_open(&house, 1);
    house_load(&house, 1, 50, 5);
    watch_connect(&house, 0, &wire);
    uint32_t watch = watch_seats(&wire, NULL);
    watch_must_hear(&wire, USHER_PUSH_SEATS, watch, &told);
    const usher_put_date_request date = {.request_id = wire_id(),
                                         .concert_id = 1,
                                         .date_id = 1,
                                         .plan_id = 1,
                                         .starts_at_ms = wire.stamp_ms + 1500,
                                         .price_count = 1,
                                         .price = {5}};
    house_must(&house.admin[0], USHER_OPCODE_PUT_DATE, &date, NULL);
    watch_must_end(&wire, watch, USHER_DATE_PAST);
    assert_true(wire.stamp_ms >= date.starts_at_ms);
    wire_close(&wire);
    house_close(&house);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshot_and_changes_come_to_what_seats_says),
        cmocka_unit_test(a_hold_that_runs_out_is_told),
        cmocka_unit_test(a_large_date_comes_in_several_frames),
        cmocka_unit_test(seats_are_shown_as_long_as_the_token_is_active),
        cmocka_unit_test(seats_are_shown_until_the_show_begins),
    };

    return usher_test_main(argc, argv, tests);
}
