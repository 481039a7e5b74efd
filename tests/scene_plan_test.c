/* scene_plan_test.c: scenes of the house's seats: H8 to H10: blocking, best available, plan edits. play.h says how a
 * scene reads. */
#include "tests/play.h"

/* --- blocking ---------------------------------------------------------------------------------------------- */
/* H8: the organiser takes free seats off sale and puts them back. */
static void
blocked_seats_are_not_for_sale_until_unblocked(void **state)
{
    play(state, "house\n"
                "@1000 ann join -> OK\n"
                "@1000 admin block concert=1 date=1 seat=1,2,50 reason='camera stand' id=b -> OK blocked=3 waiting=0\n"
                "events seat_blocked:seat=1 seat_blocked:seat=2 seat_blocked:seat=50\n"
                "@1000 ann seats concert=1 date=1 -> OK free=3..49 free_count=47\n"
                "@1000 ann reserve concert=1 date=1 seat=1 -> BLOCKED conflict=1:BLOCKED:0 until=0\n"
                "@1000 admin block concert=1 date=1 seat=2,3 -> OK blocked=2\n"
                "events seat_blocked:seat=3\n"
                "@1000 admin block concert=1 date=1 seat=1,2,50 reason='camera stand' id=b -> OK replayed blocked=3\n"
                "@1000 admin unblock concert=1 date=1 seat=1,2,4 -> OK unblocked=2\n"
                "events seat_unblocked:seat=1 seat_unblocked:seat=2\n"
                "@1000 ann seats concert=1 date=1 -> OK free=1,2,4..49\n"
                "@1000 ann reserve concert=1 date=1 seat=1 -> OK\n");
}

/* H8: what a block may name. */
static void
a_block_names_seats_of_the_date_each_once(void **state)
{
    play(state, "house\n"
                "@1000 admin block concert=1 date=1 -> SEATS_NONE\n"
                "@1000 admin block concert=1 date=1 seat=1,1 -> SEAT_DUPLICATE\n"
                "@1000 admin block concert=1 date=1 seat=1,51 -> SEAT_NOT_FOUND detail=51\n"
                "@1000 admin block concert=1 date=1 seat=0 -> SEAT_NOT_FOUND\n"
                "@1000 admin block concert=1 date=2 seat=1 -> DATE_NOT_FOUND\n"
                "@1000 admin block concert=2 date=1 seat=1 -> CONCERT_NOT_FOUND\n"
                "@1000 admin unblock concert=1 date=1 -> SEATS_NONE\n"
                "@1000 admin unblock concert=1 date=1 seat=1,1 -> SEAT_DUPLICATE\n"
                "@1000 admin unblock concert=1 date=1 seat=51 -> SEAT_NOT_FOUND\n"
                "@1000 admin unblock concert=1 date=2 seat=1 -> DATE_NOT_FOUND\n"
                "@1000 desk seats concert=1 date=1 -> OK free_count=50\n");
}

/* H8: blocking a held seat waits for its end. */
static void
a_block_of_a_held_seat_waits_for_the_holds_end(void **state)
{
    play(state, "house price=0\n"
                "policy hold_ms=5000\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1,2,3 -> OK until=6000\n"
                "@2000 admin block concert=1 date=1 seat=1,2,3,4 -> OK blocked=1 waiting=3\n"
                "events seat_blocked:seat=4\n"
                "@2000 ann reserve concert=1 date=1 seat=1 -> OK until=6000\n" /* H3 holds on */
                "@2000 ann release reservation=ann.1 -> OK\n"
                "events seat_released:seat=1 seat_blocked:seat=1\n"
                "@2000 ann reserve concert=1 date=1 seat=1 -> BLOCKED\n"
                "@2000 ann swap concert=1 date=1 reservation=ann.2 seat=2 -> BLOCKED\n"
                "@3000 admin unblock concert=1 date=1 seat=3 -> OK unblocked=1\n"
                "events none\n"
                "tick @6000\n"
                "events hold_expired:seat=2 seat_blocked:seat=2 hold_expired:seat=3\n"
                "@6000 bob seats concert=1 date=1 -> OK free=3,5..50\n");
}

/* H8, H1: a hold that is over and not swept yet is no hold any more; a seat with a waiting block is not free then. */
static void
a_block_sees_what_is_over_before_it_is_swept(void **state)
{
    play(state, "house\n"
                "policy hold_ms=5000 tick_max=1\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1..4 -> OK until=6000\n"
                "@2000 admin block concert=1 date=1 seat=4 -> OK waiting=1\n"
                "wake off\n"
                "@6000 desk seats concert=1 date=1 -> OK free=1..3,5..50\n"
                "@6000 admin block concert=1 date=1 seat=3 -> OK blocked=1 waiting=0\n"
                "events hold_expired:seat=2 hold_expired:seat=3 seat_blocked:seat=3\n"
                "@6000 desk seats concert=1 date=1 -> OK free=1,2,5..50\n");
}

/* H8: if the hold is paid, the block has waited in vain. */
static void
a_payment_beats_a_block_that_waits(void **state)
{
    play(state, "house price=0\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7 -> OK\n"
                "@2000 admin block concert=1 date=1 seat=7 -> OK blocked=0 waiting=1\n"
                "@3000 ann pay reservation=ann.1 -> OK seat=7\n"
                "@3000 admin unblock concert=1 date=1 seat=7 -> OK unblocked=0\n"
                "@3000 ann refund payment=ann.1 -> OK\n"
                "@3000 desk seats concert=1 date=1 -> OK free_count=50\n");
}

/* H8: a block may be forced: the hold ends with an event, and its payment is refused. */
static void
a_forced_block_ends_the_hold(void **state)
{
    play(state, "house price=0\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7,8 -> OK\n"
                "@2000 admin block concert=1 date=1 seat=7 force=yes -> OK blocked=1 waiting=0\n"
                "events hold_forced:user=ann:seat=7 seat_blocked:seat=7\n"
                "@2000 ann holds -> OK seat=8\n"
                "@2000 ann pay reservation=ann.1 -> HOLD_EXPIRED\n"
                "@2000 admin block concert=1 date=1 seat=8 -> OK blocked=0 waiting=1\n"
                "@2000 admin block concert=1 date=1 seat=8 force=yes -> OK blocked=1 waiting=0\n"
                "events hold_forced:user=ann:seat=8 seat_blocked:seat=8\n"
                "@2000 ann holds -> OK count=0\n");
}

/* H8: a sold seat is refused, and then none of the others is blocked either. */
static void
a_sold_seat_cannot_be_blocked(void **state)
{
    play(state, "house price=0\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7 -> OK\n"
                "@1000 ann pay reservation=ann.1 -> OK\n"
                "@1000 admin block concert=1 date=1 seat=6,7,8 force=yes -> SOLD conflict=7:SOLD\n"
                "@1000 desk seats concert=1 date=1 -> OK free=1..6,8..50\n");
}

/* H8, H7: seats that are only blocked are neither held nor sold. */
static void
a_date_whose_seats_are_all_blocked_is_neither_held_nor_sold_out(void **state)
{
    play(state, "house seats=2 row=2\n"
                "@1000 ann join -> OK\n"
                "@1000 admin block concert=1 date=1 seat=1,2 -> OK\n"
                "@1000 ann dates concert=1 -> OK status=on_sale free_count=0 held_count=0 sold_count=0\n"
                "@1000 ann reserve_best concert=1 date=1 count=1 grade=255 -> NOT_ENOUGH_SEATS detail=0\n"
                "@1000 ann reserve concert=1 date=1 seat=1 -> BLOCKED\n"
                "@1000 bob join -> OK sale=open\n");
}

/* --- best available ---------------------------------------------------------------------------------------- */
/* H9: adjacent seats in one row, the first row, nearest to its middle, the lower number on a tie. */
static void
the_best_seats_are_side_by_side_in_the_middle_of_the_first_row(void **state)
{
    play(state, "house\n"
                "policy seats_per_user=65535\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve_best concert=1 date=1 count=1 grade=255 id=b -> OK seat=5 until=301000\n"
                "@1000 ann reserve_best concert=1 date=1 count=1 grade=255 id=b -> OK replayed seat=5\n"
                "@1000 ann release reservation=ann.1 -> OK\n"
                "@1000 ann reserve_best concert=1 date=1 count=2 grade=255 -> OK seat=5,6\n"
                "@1000 ann release reservation=ann.2,ann.3 -> OK\n"
                "@1000 ann reserve_best concert=1 date=1 count=3 grade=255 -> OK seat=4..6\n"
                "@1000 ann release reservation=ann.4,ann.5,ann.6 -> OK\n"
                "@1000 ann reserve_best concert=1 date=1 count=4 grade=255 -> OK seat=4..7\n"
                "@1000 ann reserve_best concert=1 date=1 count=4 grade=255 -> OK seat=14..17\n");
}

/* H9: what is left beside them: no lone seat if it can be avoided, even if that means a later row. */
static void
the_best_seats_leave_no_lone_seat_if_that_can_be_avoided(void **state)
{
    play(
        state,
        "admin put_plan plan=1 section=A:1:1:3:0,B:1:1:2:0,C:1:1:5:0 -> OK seat_count=10\n"
        "admin put_concert concert=1 title=T -> OK\n"
        "admin put_date concert=1 date=1 plan=1 starts=2592000000 price=0 -> OK\n"
        "policy seats_per_user=65535\n"
        "@1000 ann join -> OK\n"
        "@1000 ann reserve_best concert=1 date=1 count=2 grade=255 -> OK seat=4,5\n" /* 1,2 would leave 3 alone */
        "@1000 ann reserve_best concert=1 date=1 count=2 grade=255 -> OK seat=6,7\n" /* 3 are left; 7,8 would leave 6 */
        "@1000 ann reserve_best concert=1 date=1 count=2 grade=255 -> OK seat=1,2\n" /* it can't be avoided any more */
        "@1000 ann reserve_best concert=1 date=1 count=3 grade=255 -> OK seat=8..10\n"
        "@1000 ann reserve_best concert=1 date=1 count=1 grade=255 -> OK seat=3\n"
        "@1000 ann reserve_best concert=1 date=1 count=1 grade=255 -> ALL_HELD\n");
}

/* H9: seats do not lie side by side across rows; without a row for all they are scattered, unless together is asked. */
static void
without_room_in_one_row_the_seats_are_scattered_or_refused(void **state)
{
    play(state, "house seats=6 row=3\n"
                "policy seats_per_user=65535\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=2,6 -> OK\n"
                "@1000 bob reserve_best concert=1 date=1 count=3 grade=255 together=yes -> NOT_TOGETHER detail=4\n"
                "@1000 bob reserve_best concert=1 date=1 count=2 grade=255 together=yes -> OK seat=4,5\n"
                "@1000 bob reserve_best concert=1 date=1 count=3 grade=255 -> NOT_ENOUGH_SEATS detail=2\n"
                "@1000 bob reserve_best concert=1 date=1 count=3 grade=255 together=yes -> NOT_ENOUGH_SEATS detail=2\n"
                "@1000 bob reserve_best concert=1 date=1 count=2 grade=255 together=yes -> NOT_TOGETHER detail=2\n"
                "@1000 bob reserve_best concert=1 date=1 count=2 grade=255 -> OK seat=1,3\n");
}

/* H9: a hold that is due counts as free, swept or not; sold, held and blocked seats don't. */
static void
the_best_seats_are_chosen_among_those_that_are_free_now(void **state)
{
    play(state, "house seats=5 row=5 price=0\n"
                "policy hold_ms=5000\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 admin block concert=1 date=1 seat=1 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=3,4 -> OK until=6000\n"
                "wake off\n"
                "@5999 bob reserve_best concert=1 date=1 count=2 grade=255 together=yes -> NOT_TOGETHER detail=2\n"
                "@6000 bob reserve_best concert=1 date=1 count=2 grade=255 together=yes -> OK seat=2,3\n");
}

/* H9: rows know nothing of blocks: seats 61 to 70 are one row over two blocks of 64. */
static void
a_row_over_two_blocks_is_one_row(void **state)
{
    play(state, "house seats=70 row=10\n"
                "@1000 ann join -> OK\n"
                "@1000 admin block concert=1 date=1 seat=1..60 -> OK blocked_count=60\n"
                "@1000 ann reserve_best concert=1 date=1 count=4 grade=255 together=yes -> OK seat=64..67\n");
}

/* H9: a wanted price grade is kept to. */
static void
the_best_seats_of_a_grade(void **state)
{
    play(state, "admin put_plan plan=1 section=A:1:1:4:0,B:1:1:4:1,A:2:1:4:0 -> OK seat_count=12\n"
                "admin put_concert concert=1 title=T -> OK\n"
                "admin put_date concert=1 date=1 plan=1 starts=2592000000 price=900,500 -> OK\n"
                "policy seats_per_user=65535\n"
                "@1000 ann join -> OK\n"
                "@1000 ann dates concert=1 -> OK price_least=500 price_most=900\n"
                "@1000 ann reserve_best concert=1 date=1 count=4 grade=1 -> OK seat=5..8 price=500\n"
                "@1000 ann reserve_best concert=1 date=1 count=1 grade=1 -> NOT_ENOUGH_SEATS detail=0\n"
                "@1000 ann reserve_best concert=1 date=1 count=4 grade=0 -> OK seat=1..4 price=900\n"
                "@1000 ann reserve_best concert=1 date=1 count=2 grade=255 -> OK seat=9,10\n"
                "@1000 ann reserve_best concert=1 date=1 count=1 grade=5 -> NOT_ENOUGH_SEATS detail=0\n");
}

/* H9, H4: how many may be asked for. */
static void
best_available_keeps_to_the_limits(void **state)
{
    play(state, "house\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve_best concert=1 date=1 count=0 grade=255 -> SEATS_NONE\n"
                "@1000 ann reserve_best concert=1 date=1 count=5 grade=255 -> SEATS_PER_REQUEST detail=4\n"
                "@1000 ann reserve_best concert=1 date=1 count=255 grade=255 -> SEATS_PER_REQUEST\n"
                "@1000 ann reserve_best concert=1 date=1 count=3 grade=255 -> OK\n"
                "@1000 ann reserve_best concert=1 date=1 count=2 grade=255 -> SEATS_PER_USER\n"
                "@1000 ann reserve_best concert=1 date=1 count=1 grade=255 -> OK\n"
                "@1000 ann reserve_best concert=9 date=1 count=1 grade=255 -> CONCERT_NOT_FOUND\n");
}

/* --- plans ------------------------------------------------------------------------------------------------- */
/* H10: an edit that would drop a held, sold or blocked seat is refused; one that drops free seats or adds some is not.
 */
static void
a_plan_edit_never_drops_a_seat_in_use(void **state)
{
    play(state, "house seats=70 row=10 price=0\n"
                "policy hold_ms=5000\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=61 -> OK until=6000\n"
                "@2000 admin put_plan plan=1 section=Hall:1:6:10:0 -> PLAN_IN_USE detail=1\n"
                "@2000 desk seats concert=1 date=1 -> OK seat_count=70 free_count=69\n"
                "@6000 admin put_plan plan=1 section=Hall:1:6:10:0 -> OK created=no seat_count=60\n"
                "@6000 desk seats concert=1 date=1 -> OK seat_count=60 free=1..60 count=1\n"
                "@6000 ann reserve concert=1 date=1 seat=61 -> SEAT_NOT_FOUND\n"
                "@6000 admin put_plan plan=1 section=Hall:1:13:10:0 -> OK seat_count=130\n"
                "@6000 desk seats concert=1 date=1 -> OK seat_count=130 free_count=130 count=3\n"
                "@6000 ann reserve concert=1 date=1 seat=130 -> OK\n"
                "@6000 ann pay reservation=ann.2 -> OK\n"
                "@6000 admin put_plan plan=1 section=Hall:1:12:10:0 -> PLAN_IN_USE\n"
                "@6000 admin block concert=1 date=1 seat=129 -> OK\n"
                "@6000 ann refund payment=ann.1 -> OK\n"
                "@6000 admin put_plan plan=1 section=Hall:1:12:10:0 -> PLAN_IN_USE\n"
                "@6000 admin unblock concert=1 date=1 seat=129 -> OK\n"
                "@6000 admin put_plan plan=1 section=Hall:1:12:10:0 -> OK seat_count=120\n"
                "@6000 admin plans plan=1 -> OK seat_count=120 date_count=1\n");
}

/* H10: an edit counts for every date of the plan or for none. */
static void
a_plan_edit_is_refused_if_one_of_its_dates_would_lose_a_seat(void **state)
{
    play(state, "house dates=3\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve concert=1 date=3 seat=50 -> OK\n"
                "@1000 admin put_plan plan=1 section=Hall:1:4:10:0 -> PLAN_IN_USE detail=3\n"
                "@1000 desk seats concert=1 date=1 -> OK seat_count=50\n"
                "@1000 desk seats concert=1 date=3 -> OK seat_count=50\n"
                "@1000 admin put_plan plan=2 section=Hall:1:4:10:0 -> OK created=yes\n"
                "@1000 admin put_date concert=1 date=1 plan=2 starts=2592000000 price=1 -> PLAN_IN_USE\n");
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_scene(blocked_seats_are_not_for_sale_until_unblocked),
        cmocka_unit_test_scene(a_block_names_seats_of_the_date_each_once),
        cmocka_unit_test_scene(a_block_of_a_held_seat_waits_for_the_holds_end),
        cmocka_unit_test_scene(a_block_sees_what_is_over_before_it_is_swept),
        cmocka_unit_test_scene(a_payment_beats_a_block_that_waits),
        cmocka_unit_test_scene(a_forced_block_ends_the_hold),
        cmocka_unit_test_scene(a_sold_seat_cannot_be_blocked),
        cmocka_unit_test_scene(a_date_whose_seats_are_all_blocked_is_neither_held_nor_sold_out),
        cmocka_unit_test_scene(the_best_seats_are_side_by_side_in_the_middle_of_the_first_row),
        cmocka_unit_test_scene(the_best_seats_leave_no_lone_seat_if_that_can_be_avoided),
        cmocka_unit_test_scene(without_room_in_one_row_the_seats_are_scattered_or_refused),
        cmocka_unit_test_scene(the_best_seats_are_chosen_among_those_that_are_free_now),
        cmocka_unit_test_scene(a_row_over_two_blocks_is_one_row),
        cmocka_unit_test_scene(the_best_seats_of_a_grade),
        cmocka_unit_test_scene(best_available_keeps_to_the_limits),
        cmocka_unit_test_scene(a_plan_edit_never_drops_a_seat_in_use),
        cmocka_unit_test_scene(a_plan_edit_is_refused_if_one_of_its_dates_would_lose_a_seat),
    };
    return usher_test_main(argc, argv, tests);
}
