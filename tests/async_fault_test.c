/* async_fault_test.c: the asynchronous client under every fault that the fake house knows, at random and one by one:
 * what a completion says is true, and comes once. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "desk.h"

/* What every end must be consistent with: the house's own record of the request id. Returns how many were applied. */
static uint64_t
what_was_said_is_true(struct desk *desk, unsigned calls)
{
    uint64_t applied = 0;

    for (unsigned i = 0; i < calls; i++) {
        const struct desk_call *call = &desk->call[i];
        uint32_t times = usher_fake_applied(desk->fake, &call->request_id);

        assert_int_equal(call->completions, 1);
        assert_true(times <= 1);
        if (call->outcome == USHER_OUTCOME_ANSWERED)
            assert_int_equal(times, call->result == USHER_OK);
        if (call->outcome == USHER_OUTCOME_NOT_SENT)
            assert_int_equal(times, 0);
        if (call->status == USHER_STATUS_ANSWERED)
            assert_int_equal(call->outcome, USHER_OUTCOME_ANSWERED);
        if (call->status == USHER_STATUS_NOT_SENT)
            assert_int_equal(call->outcome, USHER_OUTCOME_NOT_SENT);
        if (call->status == USHER_STATUS_MAYBE_APPLIED)
            assert_int_equal(call->outcome, USHER_OUTCOME_MAYBE_APPLIED);
        applied += times;
    }
    assert_int_equal(desk_look(desk).ledger_sum, 0);
    return applied;
}

static void
count_end(usher_async *async, const usher_watch_event *event)
{
    (void)async;
    *(unsigned *)event->context += event->kind == USHER_WATCH_ENDED;
}

/* Charges and subscriptions, some with a deadline that is too short, some cancelled; alone, or as a group's member. */
static void
live_through(const char *script, bool grouped)
{
    const usher_watch_seats_request seats = {.user = {{1}}, .concert_id = 1, .date_id = 1};
    struct desk *desk = desk_make(NULL);
    unsigned ended = 0;

    usher_fake_set_role(desk->fake, USHER_ROLE_ADMIN);
    desk_script(desk, script);
    desk->options.common.retry_ms_least = 1;
    desk->options.common.retry_ms_most = 20;
    desk->options.heartbeat_ms = 200;
    desk->options.on_state = NULL; /* there may be any number */
    if (grouped)
        assert_int_equal(usher_group_open(NULL, &desk->group), USHER_STATUS_ANSWERED);
    desk_open(desk);
    for (unsigned i = 0; i < 120; i++) {
        unsigned call = desk_charge(desk, 1, i % 4 == 3 ? 15 + i : 3000);

        if (i % 10 == 9)
            assert_int_equal(usher_async_watch(desk->async, USHER_OPCODE_WATCH_SEATS, &seats, count_end, &ended, NULL),
                             USHER_STATUS_ANSWERED);
        if (i % 13 == 12)
            usher_async_cancel(desk->async, desk->call[call].call_no);
        if (i % 5 == 4)
            usher_async_process(desk->async);
    }
    desk_until(desk, 120);
    usher_fake_script_clear(desk->fake);
    usher_async_close(desk->async);
    desk->async = NULL;
    usher_fake_cut(desk->fake);
    assert_int_equal(ended, 12);
    /* A request that the script delays may be carried out even now, of those that are "maybe applied". */
    for (unsigned i = 0; what_was_said_is_true(desk, 120) != desk_look(desk).points; i++)
        assert_false(usher_fake_wait(desk->fake, UINT64_MAX, 1) || i > 1000);
    desk_end(desk);
}

/* M3, X3, F4: at random, seed after seed. */
static void
what_is_said_under_random_faults_is_true(void **state)
{
    char script[64];

    (void)state;
    for (unsigned seed = 1; seed <= 12; seed++) {
        snprintf(script, sizeof script, "seed %u: random faults p=0.06", seed);
        live_through(script, seed % 2 == 0);
    }
}

/* M3, X3, F4: each fault by itself, on some of the requests, of the answers and of the handshakes. */
static void
what_is_said_under_each_fault_is_true(void **state)
{
    static const char *const scripts[] = {
        "any#20-25: drop",
        "any#20-25: lose reply",
        "any#20-22: apply, lose reply, cut",
        "any#20-22: cut",
        "any#20-22: cut 9",
        "any#20-22: reset",
        "any#20-30: delay 40",
        "any#20-30: late 40",
        "any#20-60: reorder",
        "any#20-60: duplicate",
        "any#20-40: trickle",
        "any#20-22: garble",
        "any#20-22: garbage",
        "any#20-22: renumber",
        "any#20-22: version",
        "any#20-60: refuse BUSY 3",
        "any#20-22: refuse GOING_AWAY",
        "any#20-22: push going_away",
        "any#20-60: push unknown",
        "connect#1-3: drop",
        "connect#1-3: cut",
        "hello#1-3: delay 20; hello#4: cut; any#10: cut; any#30: cut",
        "authenticate#1-2: lose reply, cut; any#10: cut",
        "after 700 bytes#1-5: cut",
        "after 900 bytes read#1-5: cut",
        "push any#1-5: drop; push any#6-9: duplicate",
        "push any#3: garble",
    };

    (void)state;
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
        for (unsigned grouped = 0; grouped <= i % 2; grouped++) /* every second one, for it takes its time */
            live_through(scripts[i], grouped == 1);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_said_under_random_faults_is_true),
        cmocka_unit_test(what_is_said_under_each_fault_is_true),
    };

    return usher_test_main(argc, argv, tests);
}
