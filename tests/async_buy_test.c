/* async_buy_test.c: whole purchases on an asynchronous handle, several at once, while the fake house breaks: by every
 * line of faults, by dice, and with the handle closed at every step. */
#include "test.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "async_buy.h"
#include "desk.h"

#define BUYERS 8

struct hall {
    usher_fake *fake;
    usher_secret secret;
    usher_async_options options;
    usher_async *async;
    struct async_buy buy[BUYERS];
};

static struct hall *
hall_open(const char *script)
{
    struct hall *hall = calloc(1, sizeof *hall);
    char why[160] = "";

    assert_non_null(hall);
    hall->fake = usher_fake_start(&(usher_fake_options){.script = script}, why, sizeof why);
    if (hall->fake == NULL)
        fail_msg("%s: %s", script, why);
    usher_key_make(&hall->secret);
    hall->options.common.server = usher_fake_address(hall->fake);
    hall->options.common.secret = &hall->secret;
    hall->options.common.timeout_ms = 60; /* silence costs this much; a slow machine makes more tries of it, no less */
    hall->options.common.retry_ms_least = 1;
    hall->options.common.retry_ms_most = 4;
    for (unsigned i = 0; i < BUYERS; i++) {
        hall->buy[i].user.bytes[0] = (uint8_t)(i + 1);
        hall->buy[i].queue_id = 1;
    }
    return hall;
}

static unsigned
hall_over(const struct hall *hall, unsigned *completed)
{
    unsigned over = 0;

    *completed = 0;
    for (unsigned i = 0; i < BUYERS; i++) {
        over += hall->buy[i].step == ASYNC_BUY_OVER;
        *completed += hall->buy[i].completed;
    }
    return over;
}

/* All buyers go on, on a new handle, until so many calls are completed or all have their seat; then it is closed. */
static bool
hall_go(struct hall *hall, unsigned until_completed)
{
    uint64_t until_ms = desk_now_ms() + 60000;
    unsigned completed;

    assert_int_equal(usher_async_open(&hall->options, &hall->async), USHER_STATUS_ANSWERED);
    for (unsigned i = 0; i < BUYERS; i++)
        async_buy_go(&hall->buy[i], hall->async);
    while (hall_over(hall, &completed) < BUYERS && completed < until_completed) {
        struct pollfd watched = {.fd = usher_async_descriptor(hall->async), .events = POLLIN};

        if (desk_now_ms() > until_ms || poll(&watched, 1, 30000) != 1)
            fail_msg("%u calls were completed, and then no more", completed);
        usher_async_process(hall->async);
    }
    usher_async_close(hall->async);
    return hall_over(hall, &completed) == BUYERS;
}

/* Each buyer has one seat, paid once; each call one completion; the books balance. Returns the faults that struck. */
static uint64_t
hall_close(struct hall *hall, const char *title)
{
    uint64_t struck = usher_fake_struck(hall->fake, NULL);
    usher_fake_figures figures;
    usher_fake_request seen;

    usher_fake_look(hall->fake, &figures);
    for (unsigned i = 0; i < BUYERS; i++) {
        const struct async_buy *buy = &hall->buy[i];

        if (buy->result != USHER_OK || buy->completed != buy->submitted || buy->surprises != 0)
            fail_msg("%s: buyer %u: %s, %u of %u completions, %u surprises", title, i, usher_result_name(buy->result),
                     buy->completed, buy->submitted, buy->surprises);
        assert_true(buy->paid.payment_id != 0);
        assert_int_equal(usher_fake_applied(hall->fake, &buy->request_id[ASYNC_BUY_PAY]), 1);
    }
    for (size_t i = 0; usher_fake_request_at(hall->fake, i, &seen); i++)
        assert_true(seen.applied <= 1);
    if (figures.payments != BUYERS || figures.seats_sold != BUYERS || figures.points != 0 || figures.ledger_sum != 0)
        fail_msg("%s: %u payments, %u sold, %u points, sum %d", title, (unsigned)figures.payments,
                 (unsigned)figures.seats_sold, (unsigned)figures.points, (int)figures.ledger_sum);
    assert_int_equal(figures.seats_held, 0);
    usher_fake_stop(hall->fake);
    free(hall);
    return struck;
}

/* M3, X3, F4: eight buyers on one handle, under each fault, at each command of the purchase. */
static void
eight_buyers_on_one_handle_each_buy_once_under_every_fault(void **state)
{
    static const char *const actions[] = {
        "drop",
        "lose reply",
        "apply, lose reply, cut",
        "apply, cut",
        "apply, reset",
        "cut",
        "reset",
        "cut 1",
        "cut 31",
        "cut 40",
        "delay 5",
        "late 5",
        "late 1, cut",
        "duplicate",
        "reorder 5",
        "trickle",
        "garble",
        "garbage",
        "renumber",
        "version 2",
        "push unknown",
        "refuse BUSY 2",
        "push going_away",
        "apply, reply, cut",
        "reply, push unknown",
        "refuse NOT_EXECUTED",
    };
    static const char *const commands[] = {"join", "reserve_best", "charge", "pay"};
    char script[96];

    (void)state;
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        for (size_t k = 0; k < sizeof commands / sizeof *commands; k++) {
            struct hall *hall;

            snprintf(script, sizeof script, "%s#3-4: %s", commands[k], actions[i]);
            hall = hall_open(script);
            assert_true(hall_go(hall, UINT32_MAX));
            assert_true(hall_close(hall, script) >= 1);
        }
}

/* M3, M5, X3, F4: 320 purchases under random faults of every kind. */
static void
hundreds_of_purchases_on_handles_are_each_made_once_under_random_faults(void **state)
{
    uint64_t struck = 0;
    char script[64];

    (void)state;
    for (unsigned seed = 1; seed <= 40; seed++) {
        struct hall *hall;

        snprintf(script, sizeof script, "seed %u: random faults p=0.15", seed);
        hall = hall_open(script);
        assert_true(hall_go(hall, UINT32_MAX));
        struck += hall_close(hall, script);
    }
    print_message("%u faults struck\n", (unsigned)struck);
    assert_true(struck > 100);
}

/* F4, X3: the handle is closed after the first, the second, ... completion, with all other calls in flight: each of
 * them is completed, once, and on the next handle everybody ends with one seat. */
static void
a_handle_closed_at_any_step_of_its_purchases_owes_nothing(void **state)
{
    (void)state;
    for (unsigned at = 0; at < 4 * BUYERS; at++) {
        struct hall *hall = hall_open("pay#2: apply, lose reply; charge#5: delay 10");

        hall_go(hall, at);
        for (unsigned i = 0; i < BUYERS; i++)
            assert_int_equal(hall->buy[i].completed, hall->buy[i].submitted);
        hall_go(hall, UINT32_MAX);
        hall_close(hall, "closed in the middle");
    }
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(eight_buyers_on_one_handle_each_buy_once_under_every_fault),
        cmocka_unit_test(hundreds_of_purchases_on_handles_are_each_made_once_under_random_faults),
        cmocka_unit_test(a_handle_closed_at_any_step_of_its_purchases_owes_nothing),
    };

    return usher_test_main(argc, argv, tests);
}
