/* scene_seats_test.c: scenes of dates, seats and holds: C1, C2, R1 to R3, H1 to H11. play.h says how a scene reads. */
#include "tests/play.h"

#include <stdio.h>

/* --- dates and free seats ---------------------------------------------------------------------------------- */
/* C1: only dates that can be reserved are listed; all=yes lists the others too, each with its reason. */
static void
only_dates_that_can_be_reserved_are_listed(void **state)
{
    play(state, "house seats=2 row=2 dates=6 starts=1000000 gap=0 price=0\n"
                "admin put_date concert=1 date=2 plan=1 starts=1000000 opens=50000 price=0 -> OK created=no\n"
                "admin put_date concert=1 date=3 plan=1 starts=1000000 closes=1500 price=0 -> OK\n"
                "admin put_date concert=1 date=4 plan=1 starts=1600 price=0 -> OK\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 ann dates concert=1 -> OK concert=1 date=1,3,4,5,6 status=on_sale more=no\n"
                "@1000 ann reserve concert=1 date=5 seat=1,2 -> OK\n"
                "@1000 bob reserve concert=1 date=6 seat=1,2 -> OK\n"
                "@1000 bob pay reservation=bob.1,bob.2 -> OK\n"
                "@2000 ann dates concert=1 -> OK date=1,5 status=on_sale,all_held free_count=2,0 held_count=0,2\n"
                "@2000 ann dates concert=1 all=yes -> OK date=1..6 status=on_sale,not_yet,closed,past,all_held,sold_out"
                "  sold_count=0,0,0,0,0,2 seat_count=2 opens_at=0,50000,0,0,0,0 closes_at=0,0,1500,0,0,0\n"
                "@50000 ann dates concert=1 -> OK date=1,2,5\n"
                "@301000 ann dates concert=1 -> OK date=1,2,5 status=on_sale\n"
                "@301000 ann dates concert=2 -> CONCERT_NOT_FOUND\n");
}

/* C1: pages of 64 dates, by ascending id. */
static void
many_dates_come_in_pages(void **state)
{
    play(state, "house dates=100 price=700\n"
                "@1000 ann join -> OK\n"
                "@1000 ann dates concert=1 -> OK count=64 date=1..64 more=yes price_least=700 price_most=700\n"
                "@1000 ann dates concert=1 after_date_id=64 -> OK date=65..100 more=no\n"
                "@1000 ann dates concert=1 after_date_id=100 -> OK count=0 more=no\n"
                "@1000 ann dates concert=1 after_date_id=36 -> OK date=37..100 more=no\n");
}

/* C2: seats are numbered 1 to 50; free seats never show a held or a sold one; every change raises the version. */
static void
free_seats_are_those_that_nobody_has(void **state)
{
    play(state, "house\n"
                "policy hold_ms=5000\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 bob seats concert=1 date=1 -> OK seat_count=50 free_count=50 free=1..50 version=1 count=1\n"
                "@1000 ann charge amount=1000 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1,7,50 -> OK\n"
                "@1000 bob seats concert=1 date=1 -> OK free_count=47 free=2..6,8..49 version=4\n"
                "@1000 ann pay reservation=ann.2 -> OK\n" /* the token is used, its other holds go */
                "@1000 bob seats concert=1 date=1 -> OK free_count=49 free=1..6,8..50 version=7\n"
                "@1000 bob seats concert=1 date=2 -> DATE_NOT_FOUND\n"
                "@1000 bob seats concert=3 date=1 -> CONCERT_NOT_FOUND\n");
}

/* C2: more than 50 seats: blocks of 64, 256 of them in a reply. */
static void
a_large_date_is_read_in_pages_of_blocks(void **state)
{
    play(state, "house seats=20000 row=100\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=64,65,16384,16385 -> OK seat=64,65,16384,16385\n"
                "@1000 ann seats concert=1 date=1 -> OK count=256 first_block=0 seat_count=20000 free_count=16381\n"
                "@1000 ann seats concert=1 date=1 first_block=256 -> OK count=57 first_block=256 free_count=3615\n"
                "@1000 ann seats concert=1 date=1 first_block=312 -> OK count=1 free=19969..20000\n"
                "@1000 ann seats concert=1 date=1 first_block=313 -> OK count=0 free_count=0\n"
                "@1000 ann seats concert=1 date=1 first_block=4294967295 -> OK count=0\n"
                "@1000 ann swap concert=1 date=1 reservation=ann.1 seat=20001 -> SEAT_NOT_FOUND detail=20001\n"
                "@1000 ann swap concert=1 date=1 reservation=ann.1 seat=20000 -> OK seat=20000\n");
}

/* --- holds ------------------------------------------------------------------------------------------------- */
/* R1: assigned for about five minutes: hold_ms, 300 s by default. */
static void
a_reserved_seat_is_held_for_five_minutes(void **state)
{
    play(state, "house\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7 -> OK until=301000 concert=1 date=1 seat=7 price=1000\n"
                "events seat_held:user=ann:concert=1:date=1:seat=7\n"
                "@1000 ann holds -> OK seat=7 until=301000 price=1000 reservation=ann.1\n");
}

/* R2, H1, S3: until its deadline nobody else can have it; at the deadline it is free for others. */
static void
a_hold_keeps_others_out_until_its_deadline(void **state)
{
    play(state, "house\n"
                "policy hold_ms=5000\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7 -> OK until=6000\n"
                "@5999 bob seats concert=1 date=1 -> OK free=1..6,8..50\n"
                "@5999 bob reserve concert=1 date=1 seat=7 -> HELD until=6000 retry_after=1 conflict=7:HELD:6000\n"
                "@5999 ann holds -> OK seat=7\n"
                "@6000 bob seats concert=1 date=1 -> OK free=1..50\n"
                "@6000 bob reserve concert=1 date=1 seat=7 -> OK until=11000\n"
                "@6000 ann holds -> OK count=0\n"
                "@6000 ann reserve concert=1 date=1 seat=7 -> HELD until=11000\n");
}

/* R2: the release at the deadline is an event of its own, made when it is due. */
static void
a_hold_that_runs_out_says_so(void **state)
{
    play(state, "house\n"
                "policy hold_ms=5000\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7 -> OK\n"
                "tick @5999\n"
                "events none\n"
                "tick @6000\n"
                "events hold_expired:user=ann:seat=7:concert=1:date=1:at=6000\n");
}

/* R3, H2: many ask for one seat in one batch: exactly one gets it, all others learn at once until when. */
static void
of_a_hundred_who_ask_for_one_seat_exactly_one_gets_it(void **state)
{
    char lines[100 * 128];
    size_t length = 0;

    play(state, "house\n"
                "queue 0 policy admit_batch=100\n"
                "tick @1000\n");
    for (unsigned i = 1; i <= 100; i++)
        play_format(state, "u%u join -> OK state=active\n", i);
    for (unsigned i = 1; i <= 100; i++)
        length += (size_t)snprintf(lines + length, sizeof lines - length,
                                   "%su%u reserve concert=1 date=1 seat=7 -> %s until=302000\n",
                                   i == 1 ? "@2000 " : "& ", i, i == 1 ? "OK" : "HELD");
    play(state, lines);
    play(state, "desk seats concert=1 date=1 -> OK free_count=49\n");
}

/* H2: the loser of a race for a seat that was paid for learns SOLD. */
static void
a_sold_seat_is_refused_as_sold(void **state)
{
    play(state, "house price=0\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7 -> OK\n"
                "@1000 ann pay reservation=ann.1 -> OK\n"
                "& bob reserve concert=1 date=1 seat=7 -> SOLD until=0 retry_after=0 conflict=7:SOLD:0\n"
                "@400000 bob place -> OK state=active\n"
                "@400000 bob reserve concert=1 date=1 seat=7 -> SOLD\n");
}

/* H3: asking again for one's own held seat finds the reservation and does not lengthen it. */
static void
asking_again_for_ones_own_seat_keeps_the_deadline(void **state)
{
    play(state, "house\n"
                "policy hold_ms=5000\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7 -> OK until=6000 reservation=1\n"
                "@5999 ann reserve concert=1 date=1 seat=7 -> OK until=6000 reservation=1\n"
                "events none\n"
                "@5999 ann reserve concert=1 date=1 seat=7,8 -> OK until=6000 seat=7,8 reservation=1,2\n"
                "@5999 ann reserve concert=1 date=1 seat=8,7 -> OK until=6000 seat=8,7\n"
                "@5999 ann holds -> OK seat=7,8 until=6000,10999\n"
                "@6000 ann reserve concert=1 date=1 seat=7 -> OK until=11000 reservation=3\n");
}

/* M3: a reserve sent twice under its id is one reserve, whatever happened in between. */
static void
a_reserve_sent_twice_is_one_reserve(void **state)
{
    play(state, "house\n"
                "policy hold_ms=5000\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7 id=r -> OK until=6000\n"
                "@7000 bob reserve concert=1 date=1 seat=7 -> OK\n"
                "@7000 ann reserve concert=1 date=1 seat=7 id=r -> OK replayed until=6000 seat=7\n"
                "events none\n"
                "@7000 ann reserve concert=1 date=1 seat=8 id=r -> MISMATCH\n"
                "@7000 ann reserve_best concert=1 date=1 count=1 grade=255 id=r -> MISMATCH\n"
                "@7000 ann holds -> OK count=0\n");
}

/* M4: a refusal of seats is not remembered: the same id may get the seat later. */
static void
a_refused_reserve_may_succeed_later_under_its_id(void **state)
{
    play(state, "house\n"
                "policy hold_ms=5000\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7 -> OK until=6000\n"
                "@1000 bob reserve concert=1 date=1 seat=7 id=r -> HELD\n"
                "@2000 bob lookup id=r -> REQUEST_NOT_FOUND\n"
                "@6000 bob reserve concert=1 date=1 seat=7 id=r -> OK until=11000\n"
                "@6000 bob lookup id=r -> OK opcode=reserve result=OK body.until=11000\n");
}

/* H4: all or nothing, and every seat in the way is named, in the order of the request. */
static void
several_seats_are_held_all_or_none(void **state)
{
    play(state, "house price=0\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 cat join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=3,4 -> OK seat=3,4 count=2\n"
                "@2000 bob reserve concert=1 date=1 seat=5 -> OK\n"
                "@2000 bob pay reservation=bob.1 -> OK\n"
                "@2000 admin block concert=1 date=1 seat=6 -> OK\n"
                "@2000 cat reserve concert=1 date=1 seat=4,2,3 -> HELD conflict=4:HELD:301000,3:HELD:301000\n"
                "events none\n"
                "@2000 cat reserve concert=1 date=1 seat=4,5,6,7 -> SOLD conflict=4:HELD,5:SOLD,6:BLOCKED until=0\n"
                "@2000 cat reserve concert=1 date=1 seat=4,6 -> BLOCKED conflict=4:HELD,6:BLOCKED\n"
                "@2000 cat seats concert=1 date=1 -> OK free=1,2,7..50\n"
                "@2000 cat holds -> OK count=0\n");
}

/* H4: all must be free, so of several held seats the latest end counts. */
static void
of_several_held_seats_the_latest_end_is_told(void **state)
{
    play(state, "house\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1 -> OK until=301000\n"
                "@2000 ann reserve concert=1 date=1 seat=2 -> OK until=302000\n"
                "@3000 ann reserve concert=1 date=1 seat=3 -> OK until=303000\n"
                "@4000 bob reserve concert=1 date=1 seat=1,3,2 -> HELD until=303000 retry_after=299000\n");
}

/* H4: what a request may name: none, twice, 4 and 5 seats, seats 0 and 51. */
static void
the_form_of_a_request_is_checked(void **state)
{
    play(state, "house\n"
                "policy seats_per_user=16\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve concert=1 date=1 -> SEATS_NONE\n"
                "@1000 ann reserve concert=1 date=1 seat=7,8,7 -> SEAT_DUPLICATE detail=7\n"
                "@1000 ann reserve concert=1 date=1 seat=1..5 -> SEATS_PER_REQUEST detail=4\n"
                "@1000 ann reserve concert=1 date=1 seat=0 -> SEAT_NOT_FOUND detail=0\n"
                "@1000 ann reserve concert=1 date=1 seat=51 -> SEAT_NOT_FOUND detail=51\n"
                "@1000 ann reserve concert=1 date=1 seat=4294967295 -> SEAT_NOT_FOUND\n"
                "@1000 ann holds -> OK count=0\n"
                "@1000 ann reserve concert=1 date=1 seat=1..4 -> OK count=4\n"
                "policy seats_per_request=5\n"
                "@1000 ann reserve concert=1 date=1 seat=46..50 -> OK count=5\n");
}

/* H4: held and bought seats of one date count together, other dates don't; own seats that are asked again don't. */
static void
a_user_has_at_most_four_seats_of_a_date(void **state)
{
    play(state, "house dates=2 price=0\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1,2 -> OK\n"
                "@1000 ann pay reservation=ann.1,ann.2 -> OK\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 ann reserve concert=1 date=1 seat=3,4,5 -> SEATS_PER_USER detail=4\n"
                "@1000 ann reserve concert=1 date=1 seat=3 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=4,5 -> SEATS_PER_USER\n"
                "@1000 ann reserve concert=1 date=1 seat=4 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=5 -> SEATS_PER_USER\n"
                "@1000 ann reserve_best concert=1 date=1 count=1 grade=255 -> SEATS_PER_USER detail=4\n"
                "@1000 ann reserve concert=1 date=1 seat=3,4 -> OK reservation=ann.3,ann.4\n"
                "@1000 ann reserve concert=1 date=2 seat=1..4 -> OK\n"
                "@1000 ann release reservation=ann.4 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=5 -> OK\n");
}

/* H4, H1: holds that are over don't count, swept or not. */
static void
holds_that_are_over_do_not_count_for_the_limits(void **state)
{
    play(state, "house dates=2\n"
                "policy hold_ms=5000 holds_per_user=4 tick_max=1\n"
                "@1000 bob join -> OK\n"
                "@1000 bob reserve concert=1 date=2 seat=9 -> OK until=6000\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1..4 -> OK until=6000\n"
                "wake off\n"
                "@6000 ann reserve concert=1 date=1 seat=4..7 -> OK until=11000\n"
                "@6000 ann holds -> OK seat=4..7\n");
}

/* H4: a refunded seat does not count any more. */
static void
a_refunded_seat_does_not_count_for_the_limit(void **state)
{
    play(state, "house price=0\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1..4 -> OK\n"
                "@1000 ann pay reservation=ann.1,ann.2,ann.3,ann.4 -> OK\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=5 -> SEATS_PER_USER\n"
                "@1000 ann refund payment=ann.1 reservation=ann.2 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=5 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=6 -> SEATS_PER_USER\n");
}

/* M5, H4: one user holds at most what one payment takes, over all dates. */
static void
a_user_holds_at_most_sixteen_seats(void **state)
{
    play(state, "house dates=6\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1..4 -> OK\n"
                "@1000 ann reserve concert=1 date=2 seat=1..4 -> OK\n"
                "@1000 ann reserve concert=1 date=3 seat=1..4 -> OK\n"
                "@1000 ann reserve concert=1 date=4 seat=1,2,3 -> OK\n"
                "@1000 ann reserve concert=1 date=5 seat=1,2 -> HOLDS_PER_USER detail=16\n"
                "@1000 ann reserve concert=1 date=5 seat=1 -> OK\n"
                "@1000 ann reserve concert=1 date=6 seat=1 -> HOLDS_PER_USER\n"
                "@1000 ann holds -> OK count=16\n");
}

/* H5: the price is copied at the hold; a later change does not touch it. */
static void
the_price_is_fixed_by_the_hold(void **state)
{
    play(state, "house price=1000\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 ann charge amount=1000 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7 -> OK price=1000\n"
                "@2000 admin put_date concert=1 date=1 plan=1 starts=2592000000 price=9000 -> OK\n"
                "@2000 bob reserve concert=1 date=1 seat=8 -> OK price=9000\n"
                "@2000 ann reserve concert=1 date=1 seat=7 -> OK price=1000\n"
                "@2000 ann holds -> OK price=1000\n"
                "@3000 ann pay reservation=ann.1 -> OK amount=1000 price=1000 balance=0\n");
}

/* H6: release is idempotent, all or none, and only of one's own; of another's it is refused without saying whose. */
static void
a_release_is_idempotent_and_only_of_ones_own(void **state)
{
    play(state, "house price=0\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7,8,9 -> OK\n"
                "@1000 bob reserve concert=1 date=1 seat=1 -> OK\n"
                "@2000 bob release reservation=ann.1 -> NOT_YOURS until=0 detail=0 count=0\n"
                "@2000 bob release reservation=bob.1,ann.1 -> NOT_YOURS\n"
                "@2000 bob release reservation=bob.1,777 -> RESERVATION_NOT_FOUND\n"
                "@2000 bob holds -> OK seat=1\n"
                "@2000 bob release -> SEATS_NONE\n"
                "@2000 ann release reservation=ann.1 id=r -> OK released_count=1\n"
                "events seat_released:user=ann:seat=7\n"
                "@2000 ann release reservation=ann.1 id=r -> OK replayed released_count=1\n"
                "@2000 ann release reservation=ann.1 -> OK released_count=0\n"
                "events none\n"
                "@2000 ann release reservation=ann.1,ann.2 -> OK released_count=1\n"
                "@2000 bob release reservation=ann.1 -> NOT_YOURS\n"
                "@2000 bob reserve concert=1 date=1 seat=7,8 -> OK\n"
                "@302000 ann release reservation=ann.3 -> OK released_count=0\n");
}

/* H6: a paid reservation is not released. */
static void
a_paid_reservation_cannot_be_released(void **state)
{
    play(state, "house price=0\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7 -> OK\n"
                "@1000 ann pay reservation=ann.1 -> OK\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 ann reserve concert=1 date=1 seat=8 -> OK\n"
                "@1000 ann release reservation=ann.2,ann.1 -> ALREADY_PAID detail=1\n"
                "@1000 ann holds -> OK seat=8\n");
}

/* --- answers that differ ----------------------------------------------------------------------------------- */
/* H7: unknown concert, date and seat, a past date, before and after the sale: different answers, in their order. */
static void
what_is_wrong_with_a_date_has_its_own_answer(void **state)
{
    play(state, "house starts=500000 opens=10000 closes=400000\n"
                "queue 0 policy claim_ms=0\n"
                "@1000 ann join -> OK\n"
                "@9999 ann reserve concert=2 date=9 seat=99 -> CONCERT_NOT_FOUND\n"
                "@9999 ann reserve concert=1 date=9 seat=99 -> DATE_NOT_FOUND\n"
                "@9999 ann reserve concert=1 date=1 seat=99 -> NOT_ON_SALE until=10000 retry_after=1\n"
                "@9999 ann reserve_best concert=1 date=1 count=1 grade=255 -> NOT_ON_SALE until=10000\n"
                "@9999 ann reserve_best concert=1 date=2 count=1 grade=255 -> DATE_NOT_FOUND\n"
                "@9999 ann seats concert=1 date=1 -> OK free_count=50\n"
                "@10000 ann reserve concert=1 date=1 seat=99 -> SEAT_NOT_FOUND\n"
                "@10000 ann reserve concert=1 date=1 seat=1 -> OK\n"
                "@399999 ann reserve concert=1 date=1 seat=2 -> OK\n"
                "@400000 ann reserve concert=1 date=1 seat=3 -> NOT_ON_SALE until=0 retry_after=0\n"
                "@499999 ann seats concert=1 date=1 -> OK\n"
                "@500000 ann reserve concert=1 date=1 seat=3 -> DATE_PAST\n"
                "@500000 ann reserve_best concert=1 date=1 count=1 grade=255 -> DATE_PAST\n"
                "@500000 ann seats concert=1 date=1 -> DATE_PAST\n"
                "@500000 admin set_mode queue=0 mode=frozen -> OK\n"
                "@500000 ann reserve concert=1 date=1 seat=3 -> FROZEN\n");
}

/* H7: sold out and all held are different answers. */
static void
sold_out_and_all_held_are_different_answers(void **state)
{
    play(state, "house seats=2 row=2 price=0 dates=2\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1,2 -> OK\n"
                "@1000 bob reserve_best concert=1 date=1 count=1 grade=255 -> ALL_HELD\n"
                "@1000 ann pay reservation=ann.1,ann.2 -> OK\n"
                "@1000 bob reserve_best concert=1 date=1 count=1 grade=255 -> SOLD_OUT\n"
                "@1000 bob reserve concert=1 date=1 seat=1 -> SOLD\n"
                "@1000 bob reserve_best concert=1 date=2 count=1 grade=255 -> OK\n");
}

/* The order of results.def holds where several apply: SOLD_OUT and ALL_HELD before what is wrong with the request. */
static void
a_date_without_seats_is_told_before_the_requests_own_faults(void **state)
{
    play(state, "house seats=2 row=2 price=0\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1,2 -> OK\n"
                "@1000 bob reserve_best concert=1 date=1 count=0 grade=255 -> ALL_HELD\n"
                "@1000 bob reserve_best concert=1 date=1 count=5 grade=255 -> ALL_HELD\n"
                "@1000 ann pay reservation=ann.1,ann.2 -> OK\n"
                "@1000 bob reserve_best concert=1 date=1 count=0 grade=255 -> SOLD_OUT\n"
                "@1000 bob reserve_best concert=1 date=1 count=5 grade=255 -> SOLD_OUT\n");
}

/* The order of results.def among a request's faults, each pair of neighbours once. */
static void
of_two_faults_the_upper_row_is_sent(void **state)
{
    play(state, "house price=0 dates=2\n"
                "policy holds_per_user=4\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 cat join -> OK\n"
                "@1000 bob reserve concert=1 date=1 seat=11 -> OK\n"
                "@1000 bob pay reservation=bob.1 -> OK\n"
                "@1000 cat reserve concert=1 date=1 seat=12 -> OK\n"
                "@1000 admin block concert=1 date=1 seat=13 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1,1,2,3,4 -> SEAT_DUPLICATE\n"
                "@1000 ann reserve concert=1 date=1 seat=1,2,3,4,51 -> SEATS_PER_REQUEST\n"
                "@1000 ann reserve concert=1 date=1 seat=1..4 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=51 -> SEAT_NOT_FOUND\n"
                "@1000 ann reserve concert=1 date=1 seat=5 -> SEATS_PER_USER\n"
                "@1000 ann reserve concert=1 date=1 seat=11 -> SEATS_PER_USER count=0\n"
                "@1000 ann reserve concert=1 date=2 seat=5 -> HOLDS_PER_USER\n"
                "@1000 ann release reservation=ann.1,ann.2,ann.3 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=13,12,11 -> SOLD\n"
                "@1000 ann reserve concert=1 date=1 seat=12,13 -> BLOCKED\n"
                "@1000 ann reserve concert=1 date=1 seat=12,1 -> HELD\n");
}

/* --- swap -------------------------------------------------------------------------------------------------- */
/* H11: new seats for old in one step; the deadline stays. */
static void
a_swap_takes_new_seats_for_old_and_keeps_the_deadline(void **state)
{
    play(state,
         "house\n"
         "@1000 ann join -> OK\n"
         "@1000 bob join -> OK\n"
         "@1000 bob seats concert=1 date=1 -> OK\n" /* claims */
         "@1000 ann reserve concert=1 date=1 seat=7 -> OK until=301000\n"
         "@9000 ann reserve concert=1 date=1 seat=8 -> OK until=309000\n"
         "@200000 ann swap concert=1 date=1 reservation=ann.1,ann.2 seat=20,21 id=s -> OK until=301000 seat=20,21\n"
         "events seat_released:seat=7 seat_released:seat=8 seat_held:seat=20 seat_held:seat=21\n"
         "@200000 ann swap concert=1 date=1 reservation=ann.1,ann.2 seat=20,21 id=s -> OK replayed seat=20,21\n"
         "@200000 ann holds -> OK seat=20,21 until=301000 reservation=ann.3,ann.4\n"
         "@200000 bob reserve concert=1 date=1 seat=7,8 -> OK\n"
         "@300999 ann holds -> OK count=2\n"
         "@301000 ann holds -> OK count=0\n");
}

/* H11, H4: a swap is all or nothing. */
static void
a_refused_swap_changes_nothing(void **state)
{
    play(state, "house\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7,8 -> OK\n"
                "@1000 bob reserve concert=1 date=1 seat=20 -> OK\n"
                "@2000 ann swap concert=1 date=1 reservation=ann.1 seat=19,20 -> HELD conflict=20:HELD\n"
                "events none\n"
                "@2000 ann swap concert=1 date=1 reservation=ann.1,bob.1 seat=19 -> NOT_YOURS\n"
                "@2000 ann swap concert=1 date=1 reservation=ann.1,99 seat=19 -> RESERVATION_NOT_FOUND\n"
                "@2000 ann swap concert=1 date=1 seat=19 -> SEATS_NONE\n"
                "@2000 ann swap concert=1 date=1 reservation=ann.1 -> SEATS_NONE\n"
                "@2000 ann swap concert=1 date=1 reservation=ann.1 seat=19,19 -> SEAT_DUPLICATE\n"
                "@2000 ann swap concert=1 date=1 reservation=ann.1 seat=51 -> SEAT_NOT_FOUND\n"
                "@2000 ann swap concert=1 date=2 reservation=ann.1 seat=1 -> DATE_NOT_FOUND\n"
                "@2000 ann swap concert=1 date=1 reservation=ann.1 seat=19,21,22,23 -> SEATS_PER_USER\n"
                "@2000 ann holds -> OK seat=7,8\n"
                "@2000 desk seats concert=1 date=1 -> OK free=1..6,9..19,21..50\n"
                "@301000 ann swap concert=1 date=1 reservation=ann.1 seat=19 -> HOLD_EXPIRED\n");
}

/* H11, H4: the seats that are given up make room for the new under the limits; some may stay the same. */
static void
a_swap_counts_what_it_gives_up(void **state)
{
    play(state, "house dates=2 price=700\n"
                "policy holds_per_user=4\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1..4 -> OK until=301000\n"
                "@2000 admin put_date concert=1 date=1 plan=1 starts=2592000000 price=900 -> OK\n"
                "@3000 ann swap concert=1 date=1 reservation=ann.1,ann.2 seat=2,3 -> OK seat=2,3 until=301000\n"
                "@3000 ann holds -> OK seat=3,4,2 until=301000\n"
                "@3000 ann swap concert=1 date=1 reservation=ann.3,ann.4 seat=11..14 -> SEATS_PER_USER\n"
                "@3000 ann swap concert=1 date=2 reservation=ann.3,ann.4 seat=11,12 -> OK price=700 date=2\n");
}

/* --- terminals --------------------------------------------------------------------------------------------- */
/* T2, Q13: a terminal sells without a queue and names the user itself, also one who was never seen before. */
static void
a_terminal_reserves_for_a_user_without_a_token(void **state)
{
    play(state, "house\n"
                "@1000 desk holds user=zoe -> OK count=0\n"
                "@1000 desk balance user=zoe -> OK balance=0\n"
                "@1000 desk history user=zoe -> OK count=0\n"
                "@1000 desk release user=zoe reservation=1 -> RESERVATION_NOT_FOUND\n"
                "@1000 desk swap user=zoe concert=1 date=1 reservation=1 seat=2 -> RESERVATION_NOT_FOUND\n"
                "@1000 desk reserve user=zoe concert=1 date=1 seat=7 -> OK until=301000 seat=7\n"
                "@1000 desk reserve user=yan concert=1 date=1 seat=7 -> HELD\n"
                "@1000 desk reserve_best user=yan concert=1 date=1 count=2 grade=255 -> OK seat=5,6\n"
                "@1000 desk holds user=zoe -> OK seat=7\n"
                "@1000 desk swap user=zoe concert=1 date=1 reservation=zoe.1 seat=17 -> OK seat=17\n"
                "@1000 desk release user=zoe reservation=zoe.2 -> OK released_count=1\n"
                "@300999 desk holds user=yan -> OK count=2\n"
                "@301000 desk holds user=yan -> OK count=0\n");
}

/* Q13: who names no user gets no user's answer. */
static void
a_terminal_must_name_somebody(void **state)
{
    play(state, "house\n"
                "@1000 desk dates concert=1 -> OK date=1\n"
                "@1000 desk seats concert=1 date=1 -> OK free_count=50\n"
                "@1000 desk reserve concert=1 date=1 seat=1 -> USER_MISSING\n"
                "@1000 desk reserve_best concert=1 date=1 count=1 grade=255 -> USER_MISSING\n"
                "@1000 desk swap concert=1 date=1 reservation=1 seat=1 -> USER_MISSING\n"
                "@1000 desk release reservation=1 -> USER_MISSING\n"
                "@1000 desk holds -> USER_MISSING\n"
                "@1000 desk charge amount=1 -> USER_MISSING\n"
                "@1000 desk balance -> USER_MISSING\n"
                "@1000 desk pay reservation=1 -> USER_MISSING\n"
                "@1000 desk refund payment=1 -> USER_MISSING\n"
                "@1000 desk history -> USER_MISSING\n"
                "@1000 desk receipt payment=1 -> USER_MISSING\n"
                "@1000 gateway charge amount=1 -> USER_MISSING\n");
}

/* H3, H4: terminal or phone, it is the same user. */
static void
a_terminal_finds_the_users_own_hold(void **state)
{
    play(state, "house\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7 -> OK until=301000\n"
                "@2000 desk reserve user=ann concert=1 date=1 seat=7 -> OK until=301000 reservation=ann.1\n"
                "@2000 desk reserve user=ann concert=1 date=1 seat=8,9,10 -> OK\n"
                "@2000 ann reserve concert=1 date=1 seat=11 -> SEATS_PER_USER\n"
                "@2000 desk reserve user=ann concert=1 date=1 seat=11 -> SEATS_PER_USER\n"
                "@2000 desk release user=ann reservation=ann.1 -> OK released_count=1\n"
                "@2000 ann reserve concert=1 date=1 seat=11 -> OK\n");
}

/* Q7: a terminal that goes by a user's token takes the hold under it: it ends with the token. */
static void
a_terminal_may_use_the_users_token(void **state)
{
    play(state, "house\n"
                "@1000 ann join -> OK\n"
                "@1000 desk reserve token=ann concert=1 date=1 seat=7 -> OK\n"
                "@2000 desk reserve user=ann concert=1 date=1 seat=8 -> OK\n"
                "@2000 ann holds -> OK seat=7,8\n"
                "@3000 ann leave -> OK released_count=1\n"
                "@3000 desk holds user=ann -> OK seat=8\n");
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_scene(only_dates_that_can_be_reserved_are_listed),
        cmocka_unit_test_scene(many_dates_come_in_pages),
        cmocka_unit_test_scene(free_seats_are_those_that_nobody_has),
        cmocka_unit_test_scene(a_large_date_is_read_in_pages_of_blocks),
        cmocka_unit_test_scene(a_reserved_seat_is_held_for_five_minutes),
        cmocka_unit_test_scene(a_hold_keeps_others_out_until_its_deadline),
        cmocka_unit_test_scene(a_hold_that_runs_out_says_so),
        cmocka_unit_test_scene(of_a_hundred_who_ask_for_one_seat_exactly_one_gets_it),
        cmocka_unit_test_scene(a_sold_seat_is_refused_as_sold),
        cmocka_unit_test_scene(asking_again_for_ones_own_seat_keeps_the_deadline),
        cmocka_unit_test_scene(a_reserve_sent_twice_is_one_reserve),
        cmocka_unit_test_scene(a_refused_reserve_may_succeed_later_under_its_id),
        cmocka_unit_test_scene(several_seats_are_held_all_or_none),
        cmocka_unit_test_scene(of_several_held_seats_the_latest_end_is_told),
        cmocka_unit_test_scene(the_form_of_a_request_is_checked),
        cmocka_unit_test_scene(a_user_has_at_most_four_seats_of_a_date),
        cmocka_unit_test_scene(holds_that_are_over_do_not_count_for_the_limits),
        cmocka_unit_test_scene(a_refunded_seat_does_not_count_for_the_limit),
        cmocka_unit_test_scene(a_user_holds_at_most_sixteen_seats),
        cmocka_unit_test_scene(the_price_is_fixed_by_the_hold),
        cmocka_unit_test_scene(a_release_is_idempotent_and_only_of_ones_own),
        cmocka_unit_test_scene(a_paid_reservation_cannot_be_released),
        cmocka_unit_test_scene(what_is_wrong_with_a_date_has_its_own_answer),
        cmocka_unit_test_scene(sold_out_and_all_held_are_different_answers),
        cmocka_unit_test_scene(a_date_without_seats_is_told_before_the_requests_own_faults),
        cmocka_unit_test_scene(of_two_faults_the_upper_row_is_sent),
        cmocka_unit_test_scene(a_swap_takes_new_seats_for_old_and_keeps_the_deadline),
        cmocka_unit_test_scene(a_refused_swap_changes_nothing),
        cmocka_unit_test_scene(a_swap_counts_what_it_gives_up),
        cmocka_unit_test_scene(a_terminal_reserves_for_a_user_without_a_token),
        cmocka_unit_test_scene(a_terminal_must_name_somebody),
        cmocka_unit_test_scene(a_terminal_finds_the_users_own_hold),
        cmocka_unit_test_scene(a_terminal_may_use_the_users_token),
    };
    return usher_test_main(argc, argv, tests);
}
