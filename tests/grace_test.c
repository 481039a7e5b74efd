/* grace_test.c: what a downtime does to deadlines (X2): nobody loses a seat because the house was dark, and nobody keeps
 * one for ever because it keeps going dark.
 *
 * One date of 50 seats behind queue 0; user 1 is active, user 2 waits. Moments are written, in ms after BASE. */
#include "tests/test.h"

#include <string.h>

#include "server/core/internal.h"

#define BASE    UINT64_C(1000000000)
#define HOLD    300000u /* the usual hold_ms */
#define GRACE   60000u  /* the usual restart_grace_ms */
#define LEASE   300000u
#define CLAIM   120000u

struct house {
    struct store *store;
    struct core *core;
    uint8_t next_id;
    struct core_answer answer;
};

static const struct core_asker admin = {.role = USHER_ROLE_ADMIN, .client_no = 1};

static struct core_asker
user(uint8_t number, uint64_t position)
{
    return (struct core_asker){
        .role = USHER_ROLE_GATEWAY, .has_token = position != 0, .client_no = 2, .position = position, .user = {{number}}};
}

/* One batch at this moment; down_since 0 for none; opcode 0 for the tick alone. Returns the result. */
static unsigned
batch(struct house *house, uint64_t down_since, uint64_t at, uint16_t opcode, struct core_asker asker, void *body)
{
    char why[160] = "";

    assert_true(store_begin(house->store));
    if (down_since != 0)
        core_resume(house->core, BASE + down_since, BASE + at);
    core_tick(house->core, BASE + at);
    if (opcode != 0) {
        struct core_request request = {
            .opcode = opcode, .asker = asker, .fingerprint = ++house->next_id, .body = body};
        memset(body, 0, sizeof(usher_id));
        *(uint8_t *)body = house->next_id;
        house->answer = core_apply(house->core, &request);
    }
    assert_int_equal(store_commit(house->store, NULL, 0), STORE_DONE);
    if (!core_audit(house->core, why, sizeof why))
        fail_msg("%s", why);
    return house->answer.result;
}

static unsigned
reserve(struct house *house, uint64_t at, struct core_asker asker, uint32_t seat_no)
{
    usher_reserve_request ask = {.concert_id = 1, .date_id = 1, .seat_count = 1};
    ask.seat[0] = seat_no;
    return batch(house, 0, at, USHER_OPCODE_RESERVE, asker, &ask);
}

static void
policy(struct house *house, bool of_queue, const char *name, uint64_t value)
{
    usher_set_policy_request ask = {.of_queue = of_queue, .value = value};
    strcpy(ask.name, name);
    assert_int_equal(batch(house, 0, 0, USHER_OPCODE_SET_POLICY, admin, &ask), USHER_OK);
}

static void
open_house(struct house *house)
{
    *house = (struct house){.store = store_open_memory()};
    house->core = core_open(house->store);
    usher_put_plan_request plan = {.plan_id = 1, .section_count = 1};
    plan.section[0] = (usher_section){.name = "Hall", .first_row = 1, .row_count = 5, .seats_per_row = 10};
    assert_int_equal(batch(house, 0, 0, USHER_OPCODE_PUT_PLAN, admin, &plan), USHER_OK);
    usher_put_concert_request concert = {.concert_id = 1, .title = "A concert"};
    assert_int_equal(batch(house, 0, 0, USHER_OPCODE_PUT_CONCERT, admin, &concert), USHER_OK);
    usher_put_date_request date = {
        .concert_id = 1, .date_id = 1, .plan_id = 1, .starts_at_ms = BASE * 2, .price_count = 1};
    assert_int_equal(batch(house, 0, 0, USHER_OPCODE_PUT_DATE, admin, &date), USHER_OK);
    policy(house, true, "admit_batch", 1);
    policy(house, true, "active_max", 1);
    for (uint8_t number = 1; number <= 2; number++) {
        usher_join_request join = {.user = {{number}}};
        assert_int_equal(batch(house, 0, 0, USHER_OPCODE_JOIN, user(number, 0), &join), USHER_OK);
    }
    assert_int_equal(reserve(house, 0, user(1, 1), 7), USHER_OK);
}

static void
close_house(struct house *house)
{
    core_close(house->core);
    store_close(house->store);
}

static struct core_asker
admin_for(uint8_t number)
{
    return (struct core_asker){.role = USHER_ROLE_ADMIN, .client_no = 1, .user = {{number}}};
}

static uint64_t
holds(struct house *house)
{
    return store_record_count(house->store, STORE_TABLE_HOLD);
}

/* X2, H1: a hold whose deadline fell into the downtime lives until the grace's end, and not a millisecond longer. */
static void
a_hold_that_ran_out_in_the_dark_lives_until_the_grace_ends(void **state)
{
    struct house house;
    const uint64_t up = 2 * HOLD;
    (void)state;

    open_house(&house);
    batch(&house, 1000, up, 0, admin, NULL);
    assert_int_equal(holds(&house), 1);
    assert_int_equal(reserve(&house, up + 1, user(1, 1), 7), USHER_OK);
    const usher_reserve_reply *reply = house.answer.reply;
    assert_int_equal(reply->until_ms, BASE + up + GRACE); /* people are told the moment that counts */
    batch(&house, 0, up + GRACE - 1, 0, admin, NULL);
    assert_int_equal(holds(&house), 1);
    batch(&house, 0, up + GRACE, 0, admin, NULL);
    assert_int_equal(holds(&house), 0);
    close_house(&house);
}

/* X2, M6: one may still pay in the grace, up to the millisecond before its end. */
static void
a_hold_can_be_paid_in_the_grace_and_not_at_its_end(void **state)
{
    for (unsigned at_the_end = 0; at_the_end < 2; at_the_end++) {
        struct house house;
        usher_pay_request pay = {.reservation_count = 1, .reservation = {1}};
        (void)state;

        open_house(&house);
        policy(&house, false, "hold_grace_ms", 600000);
        batch(&house, 1000, 2 * HOLD, 0, admin, NULL);
        assert_int_equal(batch(&house, 0, 2 * HOLD + GRACE - 1 + at_the_end, USHER_OPCODE_PAY, user(1, 1), &pay),
                         at_the_end ? USHER_TOKEN_EXPIRED : USHER_OK); /* its token's time is graced to the same end */
        close_house(&house);
    }
}

/* X2: a deadline within the grace after the downtime counts as the grace's end as well; a later one stays. */
static void
a_deadline_shortly_after_the_dark_is_put_off_and_a_later_one_is_not(void **state)
{
    struct house house;
    (void)state;

    open_house(&house);
    batch(&house, 1000, HOLD - 10, 0, admin, NULL); /* the hold's deadline is 10 ms after the start */
    batch(&house, 0, HOLD - 10 + GRACE - 1, 0, admin, NULL);
    assert_int_equal(holds(&house), 1);
    batch(&house, 0, HOLD - 10 + GRACE, 0, admin, NULL);
    assert_int_equal(holds(&house), 0);
    close_house(&house);

    open_house(&house);
    batch(&house, 1000, HOLD - GRACE, 0, admin, NULL); /* the grace ends at the hold's own deadline */
    batch(&house, 0, HOLD - 1, 0, admin, NULL);
    assert_int_equal(holds(&house), 1);
    batch(&house, 0, HOLD, 0, admin, NULL);
    assert_int_equal(holds(&house), 0);
    close_house(&house);
}

/* X2: each deadline is put off once, however often the house goes dark. */
static void
a_crash_loop_keeps_no_seat_for_ever(void **state)
{
    struct house house;
    uint64_t at = 2 * HOLD;
    (void)state;

    open_house(&house);
    batch(&house, 1000, at, 0, admin, NULL);
    for (uint32_t i = 0; i < 50; i++, at += 1500)
        batch(&house, at + 500, at + 1000, 0, admin, NULL);
    assert_true(at > 2 * HOLD + GRACE);
    assert_int_equal(holds(&house), 0);
    close_house(&house);
}

/* X2: the crash that comes as the grace ends finds the deadline put off already. */
static void
a_second_downtime_over_the_graces_end_gives_no_second_grace(void **state)
{
    struct house house;
    const uint64_t up = 2 * HOLD, again = up + GRACE + 5000;
    (void)state;

    open_house(&house);
    batch(&house, 1000, up, 0, admin, NULL);
    batch(&house, up + GRACE - 5000, again, 0, admin, NULL);
    assert_int_equal(holds(&house), 0);
    close_house(&house);
}

/* X2: nor if the deadline itself had not come yet when the house went down again: it was put off to the first grace's
 * end, and that has passed. */
static void
a_deadline_that_was_put_off_is_not_put_off_again(void **state)
{
    struct house house;
    (void)state;

    open_house(&house);
    batch(&house, 1000, HOLD - 10, 0, admin, NULL); /* the grace ends at HOLD - 10 + GRACE, the hold with it */
    batch(&house, HOLD - 10, HOLD + GRACE, 0, admin, NULL);
    assert_int_equal(holds(&house), 0);
    close_house(&house);
}

/* X2, Q5, Q6: leases and claims as well: the waiter is still in line, the admitted has until the grace's end to claim. */
static void
leases_and_claims_are_put_off_too(void **state)
{
    struct house house;
    usher_join_request join = {.user = {{2}}};
    (void)state;

    open_house(&house);
    batch(&house, 1000, 3 * LEASE, 0, admin, NULL);
    assert_int_equal(store_waiting_count(house.store, 1), 1);
    assert_int_equal(store_active_count(house.store, 1), 1);
    assert_int_equal(batch(&house, 0, 3 * LEASE + 5, USHER_OPCODE_JOIN, user(2, 0), &join), USHER_OK);
    const usher_join_reply *reply = house.answer.reply;
    assert_int_equal(reply->position, 2); /* the place it had */
    assert_int_equal(reply->state, USHER_PLACE_WAITING);
    assert_int_equal(reply->until_ms, BASE + 3 * LEASE + 5 + LEASE); /* asking again renewed it */
    batch(&house, 0, 3 * LEASE + GRACE, 0, admin, NULL);           /* user 1 is over: user 2 is admitted */
    assert_int_equal(store_active_count(house.store, 1), 1);
    assert_int_equal(store_waiting_count(house.store, 1), 0);
    batch(&house, 3 * LEASE + GRACE + 1, 3 * LEASE + GRACE + 2 * CLAIM, 0, admin, NULL);
    assert_int_equal(store_active_count(house.store, 1), 1); /* its claim fell into the second dark */
    batch(&house, 0, 3 * LEASE + GRACE + 2 * CLAIM + GRACE, 0, admin, NULL);
    assert_int_equal(store_active_count(house.store, 1), 0);
    close_house(&house);
}

/* X2, Q9: a freeze that begins within the grace stops the grace's clock as well; one that was on through the downtime
 * needs none. */
static void
a_freeze_and_a_grace_do_not_eat_each_other(void **state)
{
    struct house house;
    usher_set_mode_request mode = {.mode = USHER_QUEUE_FROZEN};
    const uint64_t up = 2 * HOLD, frozen_ms = 10 * GRACE;
    (void)state;

    open_house(&house);
    batch(&house, 1000, up, 0, admin, NULL);
    assert_int_equal(batch(&house, 0, up + 10, USHER_OPCODE_SET_MODE, admin, &mode), USHER_OK);
    mode.mode = USHER_QUEUE_OPEN;
    assert_int_equal(batch(&house, 0, up + 10 + frozen_ms, USHER_OPCODE_SET_MODE, admin, &mode), USHER_OK);
    assert_int_equal(holds(&house), 1);
    batch(&house, 0, up + frozen_ms + GRACE - 1, 0, admin, NULL);
    assert_int_equal(holds(&house), 1);
    batch(&house, 0, up + frozen_ms + GRACE, 0, admin, NULL);
    assert_int_equal(holds(&house), 0);
    close_house(&house);

    open_house(&house);
    mode.mode = USHER_QUEUE_FROZEN;
    assert_int_equal(batch(&house, 0, 1000, USHER_OPCODE_SET_MODE, admin, &mode), USHER_OK);
    batch(&house, 1000, up, 0, admin, NULL);
    mode.mode = USHER_QUEUE_OPEN;
    assert_int_equal(batch(&house, 0, up, USHER_OPCODE_SET_MODE, admin, &mode), USHER_OK);
    batch(&house, 0, up + HOLD - 1000 - 1, 0, admin, NULL);
    assert_int_equal(holds(&house), 1);
    batch(&house, 0, up + HOLD - 1000, 0, admin, NULL); /* the 299 s that were left, and no more */
    assert_int_equal(holds(&house), 0);
    close_house(&house);
}

/* X2, H1: what was over at the last stamp stays over, even if the bounded tick had not come round to it. */
static void
what_was_over_before_the_dark_is_not_revived(void **state)
{
    struct house house;
    (void)state;

    open_house(&house);
    policy(&house, false, "tick_max", 1);
    assert_int_equal(reserve(&house, 0, admin_for(9), 8), USHER_OK); /* due at the same moment as user 1's hold */
    batch(&house, 0, CLAIM, 0, admin, NULL);
    batch(&house, 0, HOLD, 0, admin, NULL); /* ends one thing of several */
    uint64_t left = holds(&house);
    assert_true(left > 0);
    batch(&house, HOLD, 2 * HOLD, 0, admin, NULL);
    batch(&house, 0, 2 * HOLD + 1, 0, admin, NULL);
    batch(&house, 0, 2 * HOLD + 2, 0, admin, NULL);
    batch(&house, 0, 2 * HOLD + 3, 0, admin, NULL);
    assert_int_equal(holds(&house), 0);
    close_house(&house);
}

/* Q9: what was over before a freeze began is swept up during it; what was not stands still. */
static void
a_freeze_does_not_keep_what_was_over(void **state)
{
    struct house house;
    usher_set_mode_request mode = {.mode = USHER_QUEUE_FROZEN};
    (void)state;

    open_house(&house);
    policy(&house, false, "tick_max", 1);
    assert_int_equal(reserve(&house, 0, admin_for(9), 8), USHER_OK);
    assert_int_equal(reserve(&house, 1, admin_for(10), 9), USHER_OK); /* due one millisecond later */
    batch(&house, 0, CLAIM, 0, admin, NULL);
    assert_int_equal(batch(&house, 0, HOLD, USHER_OPCODE_SET_MODE, admin, &mode), USHER_OK);
    unsigned batches = 0;
    while (core_next_due_ms(house.core, BASE + HOLD + 5) != UINT64_MAX && batches++ < 10)
        batch(&house, 0, HOLD + 5, 0, admin, NULL);
    assert_in_range(batches, 1, 9);
    assert_int_equal(holds(&house), 1);
    close_house(&house);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hold_that_ran_out_in_the_dark_lives_until_the_grace_ends),
        cmocka_unit_test(a_hold_can_be_paid_in_the_grace_and_not_at_its_end),
        cmocka_unit_test(a_deadline_shortly_after_the_dark_is_put_off_and_a_later_one_is_not),
        cmocka_unit_test(a_crash_loop_keeps_no_seat_for_ever),
        cmocka_unit_test(a_second_downtime_over_the_graces_end_gives_no_second_grace),
        cmocka_unit_test(a_deadline_that_was_put_off_is_not_put_off_again),
        cmocka_unit_test(leases_and_claims_are_put_off_too),
        cmocka_unit_test(a_freeze_and_a_grace_do_not_eat_each_other),
        cmocka_unit_test(what_was_over_before_the_dark_is_not_revived),
        cmocka_unit_test(a_freeze_does_not_keep_what_was_over),
    };
    return usher_test_main(argc, argv, tests);
}
