/* scene_found_test.c: scenes that the simulation found, each of which failed before its fix. play.h says how a scene
 * reads. */
#include "tests/play.h"
#include "tests/test.h"

/* H10: a grade without a price stands above a seat in use, whichever date comes first. */
static void
a_plan_without_a_price_is_invalid_before_it_is_in_use(void **state)
{
    play(state, "wake off\n"
                "@1 admin put_plan plan_id=1 section='S1':1:1:12:0 -> OK\n"
                "@1 admin put_concert concert_id=2 title='A concert' venue='Hall' -> OK\n"
                "@1 admin put_date concert_id=2 date_id=2 plan_id=1 starts_at_ms=6032344 price=4300 -> OK\n"
                "@2 admin block concert_id=2 date_id=2 reason='used' seat=11,12 -> OK\n"
                "@3 admin put_plan plan_id=1 section='S1':1:1:4:4 -> CATALOGUE_INVALID\n"
                "@3 admin put_plan plan_id=1 section='S1':1:1:4:0 -> PLAN_IN_USE\n");
}

/* M8: a refund limit of nearly 2^64 ms closes refunds for ever; the sum must not wrap. */
static void
a_refund_limit_longer_than_time_closes_refunds(void **state)
{
    play(state, "wake off\n"
                "@1 admin put_plan plan_id=1 section='S1':1:1:12:0 -> OK\n"
                "@1 admin put_concert concert_id=2 title='A concert' venue='Hall' -> OK\n"
                "@1 admin put_date concert_id=2 date_id=2 plan_id=1 starts_at_ms=6032344 "
                "refund_until_ms=18446744073709551614 price=0 -> OK\n"
                "@1 ann join queue=0 -> OK\n"
                "@1 ann reserve concert_id=2 date_id=2 seat=1 -> OK\n"
                "@1 ann pay reservation=ann.1 -> OK\n"
                "@2 ann refund payment=ann.1 -> REFUND_CLOSED\n");
}

/* C3: the version that a reader has seen never comes again with other seats, though the plan shrinks and grows. */
static void
a_version_of_seats_never_comes_again(void **state)
{
    play(state, "wake off\n"
                "@1 admin put_plan plan_id=3 section='S1':1:3:50:0 -> OK\n"
                "@1 admin put_concert concert_id=4 title='A concert' venue='Hall' -> OK\n"
                "@1 admin put_date concert_id=4 date_id=2 plan_id=3 starts_at_ms=129600001 price=1700 -> OK\n"
                "@2 desk reserve concert_id=4 date_id=2 seat=140 user=bob -> OK\n"
                "@2 desk release reservation=bob.1 user=bob -> OK\n"
                "@2 admin seats concert_id=4 date_id=2 user=ann -> OK version=7 free_count=150\n"
                "@3 admin put_plan plan_id=3 section='S1':1:2:50:0 -> OK\n"
                "@3 admin seats concert_id=4 date_id=2 user=ann -> OK version>7 free_count=100\n"
                "@4 admin put_plan plan_id=3 section='S1':1:1:50:0 -> OK\n"
                "@4 admin seats concert_id=4 date_id=2 user=ann -> OK version>8 free_count=50\n"
                "@5 admin put_plan plan_id=3 section='S1':1:3:50:0 -> OK\n"
                "@5 admin seats concert_id=4 date_id=2 user=ann -> OK version>9 free_count=150\n");
}

/* H1, C3: a hold that is over is free in DATES as well, even if the tick has not come round to it. */
static void
dates_count_a_hold_that_is_over_as_free(void **state)
{
    play(state, "wake off\n"
                "@1 admin put_plan plan_id=1 section='S1':1:1:4:0 -> OK\n"
                "@1 admin put_concert concert_id=1 title='A concert' venue='Hall' -> OK\n"
                "@1 admin put_date concert_id=1 date_id=2 plan_id=1 starts_at_ms=97200001 price=2800 -> OK\n"
                "@1 admin set_policy name='tick_max' value=2 -> OK\n"
                "@1000 desk reserve_best concert_id=1 date_id=2 count=4 grade=255 user=bob -> OK\n"
                "@300999 desk dates concert_id=1 user=ann -> OK status=all_held free_count=0 held_count=4\n"
                "@301000 desk dates concert_id=1 user=ann -> OK status=on_sale free_count=4 held_count=0\n");
}

/* M8, M10, H10: a refunded seat may be gone with a smaller plan; its payment can still be asked for. */
static void
a_refunded_seat_that_is_gone_with_its_plan_is_refunded(void **state)
{
    play(state, "wake off\n"
                "@1 admin put_plan plan_id=1 section='S1':1:1:72:0 -> OK\n"
                "@1 admin put_concert concert_id=1 title='A concert' venue='Hall' -> OK\n"
                "@1 admin put_date concert_id=1 date_id=11 plan_id=1 starts_at_ms=111056400 price=0 -> OK\n"
                "@1 ann join queue=0 -> OK\n"
                "@1 ann reserve concert_id=1 date_id=11 seat=68 -> OK\n"
                "@1 ann pay reservation=ann.1 -> OK\n"
                "@2 ann refund payment=ann.1 -> OK\n"
                "@3 admin put_plan plan_id=1 section='S1':1:1:60:0 -> OK\n"
                "@4 ann refund payment=ann.1 -> ALREADY_REFUNDED\n"
                "@4 desk receipt user=ann payment=ann.1 -> ALREADY_REFUNDED\n");
}

/* SPEC 5, Q9, Q3: a token's absolute end does not move with a freeze, so a waiter may outlive it while the lease stands
 * still. The slot goes to the next who is there; an admission of no length would keep it from everybody. */
static void
who_has_outlived_its_token_by_a_long_freeze_is_not_admitted(void **state)
{
    play(state, "policy token_ms_max=60000\n"
                "queue 0 policy admit_batch=1\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 bob join -> OK state=waiting token.ends=61000\n"
                "@2000 admin set_mode queue=0 mode=frozen -> OK\n"
                "@60000 cat join -> OK state=waiting token.ends=120000\n"
                "@61000 admin set_mode queue=0 mode=open -> OK frozen=59000\n"
                "events queue_changed lapsed:user=bob admitted:user=cat\n"
                "@61000 bob place -> OK state=expired\n"
                "@61000 bob join -> OK state=waiting position=4\n"); /* Q8: at the back of the line */
}

/* SPEC 5, Q9: one millisecond before its end the token is good: admitted, and over at the end. */
static void
who_has_not_outlived_its_token_is_admitted_after_a_freeze(void **state)
{
    play(state, "policy token_ms_max=60000\n"
                "queue 0 policy admit_batch=1\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 bob join -> OK state=waiting token.ends=61000\n"
                "@2000 admin set_mode queue=0 mode=frozen -> OK\n"
                "@60999 admin set_mode queue=0 mode=open -> OK\n"
                "events queue_changed admitted:user=bob\n"
                "@60999 bob place -> OK state=active until=61000\n"
                "@61000 bob place -> OK state=expired\n");
}

/* X2: a token's absolute end that fell into a downtime counts as the grace's end, for who still waits as well. */
static void
who_outlived_its_token_in_the_dark_is_admitted_until_the_grace_ends(void **state)
{
    play(state, "policy token_ms_max=60000\n"
                "queue 0 policy admit_batch=1\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 bob join -> OK state=waiting position=2 token.ends=61000\n"
                "down @100000\n"
                "events joined:user=bob resumed admitted:user=bob:position=2\n"
                "@100000 bob place -> OK state=active until=160000\n"
                "@159999 bob place -> OK state=active\n"
                "@160000 bob place -> OK state=expired\n");
}

/* X2, Q7: a grace is remembered until all is ended that it put off, if the bounded tick is late with that: who was
 * admitted within it was not admitted past its end. core_audit() looks at each batch (L3). */
static void
a_grace_is_remembered_as_long_as_something_hangs_on_it(void **state)
{
    play(state, "wake off\n"
                "policy token_ms_max=60000 restart_grace_ms=20000 tick_max=1\n"
                "@1000 admin set_mode queue=0 mode=paused -> OK\n"
                "@1000 ann join -> OK state=waiting\n"
                "@1000 bob join -> OK state=waiting token.ends=61000\n"
                "down @100000\n"
                "@100000 admin set_mode queue=0 mode=open -> OK\n"
                "@100000 bob place -> OK state=active until=120000\n"
                "down @120000\n"
                "@120000 cat join -> OK\n" /* the tick before it ends one of the two */
                "@120000 ann place -> OK state=expired\n"
                "@120000 bob place -> OK state=expired\n");
}

/* X2, Q7: a token's end that a freeze has brought nearer than the lease is no due moment of its own, so no grace is
 * remembered for it; the next one still begins where the one before ended, and does not put it off again. */
static void
a_tokens_end_that_was_put_off_is_not_put_off_again(void **state)
{
    play(state, "queue 0 policy waiting_lease_ms=200000\n"
                "policy token_ms_max=215000 restart_grace_ms=20000\n"
                "@1000 admin set_mode queue=0 mode=paused -> OK\n"
                "@1000 bob join -> OK state=waiting token.ends=216000\n"
                "@2000 admin set_mode queue=0 mode=frozen -> OK\n"
                "@102000 admin set_mode queue=0 mode=paused -> OK\n"
                "@190000 desk charge user=ann amount=100 -> OK\n"
                "down @200000\n" /* its end is put off to 220000 */
                "@200000 desk charge user=ann amount=100 -> OK\n"
                "@210000 desk charge user=ann amount=100 -> OK\n"
                "down @225000\n"
                "@225000 admin set_mode queue=0 mode=open -> OK\n"
                "@225000 bob place -> OK state=expired\n");
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_scene(a_plan_without_a_price_is_invalid_before_it_is_in_use),
        cmocka_unit_test_scene(a_refund_limit_longer_than_time_closes_refunds),
        cmocka_unit_test_scene(a_version_of_seats_never_comes_again),
        cmocka_unit_test_scene(dates_count_a_hold_that_is_over_as_free),
        cmocka_unit_test_scene(a_refunded_seat_that_is_gone_with_its_plan_is_refunded),
        cmocka_unit_test_scene(who_has_outlived_its_token_by_a_long_freeze_is_not_admitted),
        cmocka_unit_test_scene(who_has_not_outlived_its_token_is_admitted_after_a_freeze),
        cmocka_unit_test_scene(who_outlived_its_token_in_the_dark_is_admitted_until_the_grace_ends),
        cmocka_unit_test_scene(a_grace_is_remembered_as_long_as_something_hangs_on_it),
        cmocka_unit_test_scene(a_tokens_end_that_was_put_off_is_not_put_off_again),
    };
    return usher_test_main(argc, argv, tests);
}
