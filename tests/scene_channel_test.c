/* scene_channel_test.c: scenes of H8's last sentence: terminals sell blocked seats of their channel. play.h says how a
 * scene reads; `desk.3` is a terminal of channel 3, `desk` one of none. */
#include "tests/play.h"

/* --- who may ---------------------------------------------------------------------------------------------- */
/* H8: a terminal of the block's channel holds and sells the seat as if it were free, and the counts say what it is. */
static void
a_terminal_sells_a_blocked_seat_of_its_channel(void **state)
{
    play(state, "house seats=4 row=4 price=100\n"
                "@1000 admin block concert=1 date=1 seat=2,3 channel=3 reason='box office' -> OK blocked=2\n"
                "@1000 desk charge user=ann amount=100 -> OK\n"
                "@1000 desk dates concert=1 user=ann -> OK free_count=2 held_count=0 sold_count=0\n"
                "@1000 desk.3 reserve concert=1 date=1 seat=2 user=ann -> OK price=100 until=301000\n"
                "events seat_held:user=ann:seat=2:amount=100\n"
                "@1000 desk dates concert=1 user=ann -> OK free_count=2 held_count=1 sold_count=0\n"
                "@1000 desk.3 holds user=ann -> OK seat=2\n"
                "@2000 desk.3 pay user=ann reservation=ann.1 -> OK seat=2 amount=100\n"
                "@2000 desk dates concert=1 user=ann -> OK free_count=2 held_count=0 sold_count=1\n"
                "@2000 admin info -> OK hold_count=0 sold_count=1\n"
                "@2000 desk.3 reserve concert=1 date=1 seat=2 user=bob -> SOLD conflict=2:SOLD:0\n"
                "@2000 desk.3 reserve concert=1 date=1 seat=3 user=bob -> OK\n");
}

/* H8: for everybody else the seat stays blocked: another channel, none, an admin, a gateway with a token; a block
 * without a channel is nobody's. */
static void
a_blocked_seat_is_sold_by_terminals_of_its_channel_alone(void **state)
{
    play(state, "house\n"
                "@1000 ann join -> OK\n"
                "@1000 admin block concert=1 date=1 seat=7 channel=3 reason='box office' -> OK\n"
                "@1000 admin block concert=1 date=1 seat=8 reason='camera' -> OK\n"
                "@1000 desk.4 reserve concert=1 date=1 seat=7 user=bob -> BLOCKED conflict=7:BLOCKED:0 until=0\n"
                "@1000 desk reserve concert=1 date=1 seat=7 user=bob -> BLOCKED\n"
                "@1000 admin reserve concert=1 date=1 seat=7 user=bob -> BLOCKED\n"
                "@1000 admin.3 reserve concert=1 date=1 seat=7 user=bob -> BLOCKED\n"
                "@1000 ann reserve concert=1 date=1 seat=7 -> BLOCKED\n"
                "@1000 gateway.3 reserve concert=1 date=1 seat=7 token=ann -> BLOCKED\n"
                "@1000 desk.3 reserve concert=1 date=1 seat=8 user=bob -> BLOCKED\n"
                "@1000 desk reserve concert=1 date=1 seat=8 user=bob -> BLOCKED\n"
                "@1000 desk.3 reserve concert=1 date=1 seat=7 token=ann -> OK seat=7\n"
                "@1000 ann holds -> OK seat=7\n");
}

/* H8, H2: while it is held, its channel's terminals learn until when; all others are told that it is not for sale, for
 * it will not be when the hold ends. */
static void
a_taken_seat_is_held_within_its_channel_and_blocked_outside(void **state)
{
    play(state, "house\n"
                "@1000 bob join -> OK\n"
                "@1000 admin block concert=1 date=1 seat=7 channel=3 reason='box office' -> OK\n"
                "@1000 desk.3 reserve concert=1 date=1 seat=7 user=ann -> OK until=301000\n"
                "@2000 desk.3 reserve concert=1 date=1 seat=7 user=bob -> HELD conflict=7:HELD:301000 until=301000\n"
                "@2000 desk.4 reserve concert=1 date=1 seat=7 user=bob -> BLOCKED conflict=7:BLOCKED:0 until=0\n"
                "@2000 bob reserve concert=1 date=1 seat=7 -> BLOCKED\n"
                "@2000 desk.3 reserve concert=1 date=1 seat=7 user=ann -> OK until=301000\n"
                "@2000 desk reserve concert=1 date=1 seat=7 user=ann -> OK until=301000\n"); /* H3: its own */
}

/* H8, H4: several seats in one request, all or none, blocked and free ones mixed; the limits are those of all. */
static void
blocked_and_free_seats_are_held_together(void **state)
{
    play(state, "house\n"
                "@1000 admin block concert=1 date=1 seat=7 channel=3 reason=a -> OK\n"
                "@1000 admin block concert=1 date=1 seat=8 channel=4 reason=b -> OK\n"
                "@1000 desk.3 reserve concert=1 date=1 seat=6,7,8 user=ann -> BLOCKED conflict=8:BLOCKED:0\n"
                "@1000 desk.3 holds user=ann -> OK count=0\n"
                "@1000 desk.3 reserve concert=1 date=1 seat=5,6,7 user=ann -> OK seat=5,6,7\n"
                "@1000 desk.4 reserve concert=1 date=1 seat=8,9 user=ann -> SEATS_PER_USER\n"
                "@1000 desk.4 reserve concert=1 date=1 seat=8 user=ann -> OK\n");
}

/* H9, H8: the best seats are chosen among those of the open sale; a blocked one has to be named. */
static void
best_available_never_gives_a_blocked_seat(void **state)
{
    play(state, "house seats=3 row=3\n"
                "@1000 admin block concert=1 date=1 seat=1,2 channel=3 reason=a -> OK\n"
                "@1000 desk.3 reserve_best concert=1 date=1 count=2 grade=255 user=ann -> NOT_ENOUGH_SEATS detail=1\n"
                "@1000 desk.3 reserve_best concert=1 date=1 count=1 grade=255 user=ann -> OK seat=3\n"
                "@1000 desk.3 reserve concert=1 date=1 seat=1,2 user=ann -> OK seat=1,2\n");
}

/* --- what is shown ---------------------------------------------------------------------------------------- */
/* H8, C2: SEATS lists for a terminal what it may hold by name; a seat that was taken is listed to nobody. */
static void
seats_of_the_channel_are_listed_to_its_terminals(void **state)
{
    play(state, "house seats=130 row=10\n"
                "@1000 ann join -> OK\n"
                "@1000 admin block concert=1 date=1 seat=2,65,130 channel=3 reason=a -> OK\n"
                "@1000 admin block concert=1 date=1 seat=3 channel=4 reason=b -> OK\n"
                "@1000 admin block concert=1 date=1 seat=4 reason=c -> OK\n"
                "@1000 desk.3 seats concert=1 date=1 user=bob -> OK free=1,2,5..130 free_count=128\n"
                "@1000 desk.4 seats concert=1 date=1 user=bob -> OK free=1,3,5..64,66..129\n"
                "@1000 desk seats concert=1 date=1 user=bob -> OK free=1,5..64,66..129 free_count=125\n"
                "@1000 admin.3 seats concert=1 date=1 user=bob -> OK free=1,5..64,66..129\n"
                "@1000 ann seats concert=1 date=1 -> OK free=1,5..64,66..129\n"
                "@1000 desk.3 reserve concert=1 date=1 seat=65 user=bob -> OK\n"
                "@1000 desk.3 seats concert=1 date=1 user=bob first_block=1 -> OK free=66..130 free_count=65\n"
                "@1000 desk.3 pay user=bob reservation=bob.1 -> NOT_ENOUGH_POINTS\n"
                "@1000 desk.3 release user=bob reservation=bob.1 -> OK\n"
                "@1000 desk.3 seats concert=1 date=1 user=bob first_block=1 -> OK free=65..130\n");
}

/* H8, Q10, H7: seats that come back to their block and not to the open sale leave it sold out, held as they may be. */
static void
a_hold_within_a_channel_does_not_reopen_a_sale_that_is_sold_out(void **state)
{
    play(state, "house seats=3 row=3 price=0\n"
                "@1000 admin block concert=1 date=1 seat=2,3 channel=3 reason=a -> OK\n"
                "@1000 desk reserve concert=1 date=1 seat=1 user=ann -> OK\n"
                "@1000 desk dates concert=1 user=ann all=yes -> OK status=all_held\n"
                "@1000 desk pay user=ann reservation=ann.1 -> OK\n"
                "@1000 desk dates concert=1 user=ann all=yes -> OK status=sold_out\n"
                "@2000 bob join -> SOLD_OUT\n"
                "@2000 desk.3 reserve concert=1 date=1 seat=2 user=cat -> OK\n"
                "@2000 bob join -> SOLD_OUT\n"
                "@2000 desk dates concert=1 user=ann all=yes -> OK status=sold_out held_count=1 free_count=0\n"
                "@2000 desk reserve_best concert=1 date=1 count=1 grade=255 user=dan -> SOLD_OUT\n"
                "@2000 admin queues first_page=yes -> OK sale=sold_out unsold_count=0\n"
                "@2000 desk.3 pay user=cat reservation=cat.1 -> OK\n"
                "@2000 bob join -> SOLD_OUT\n"
                "@3000 admin unblock concert=1 date=1 seat=3 -> OK\n"
                "@3000 bob join -> OK sale=open\n");
}

/* H8, H7, Q10: nothing is sold, and the one hold will end in its block: neither held nor sold out. */
static void
a_date_held_within_its_channel_is_not_all_held(void **state)
{
    play(state, "house seats=2 row=2 price=0\n"
                "@1000 admin block concert=1 date=1 seat=1,2 channel=3 reason=a -> OK\n"
                "@1000 desk.3 reserve concert=1 date=1 seat=1 user=ann -> OK\n"
                "@1000 desk dates concert=1 user=ann -> OK status=on_sale free_count=0 held_count=1\n"
                "@1000 desk reserve_best concert=1 date=1 count=1 grade=255 user=bob -> NOT_ENOUGH_SEATS detail=0\n"
                "@1000 bob join -> OK sale=open\n"
                "@1000 desk.3 pay user=ann reservation=ann.1 -> OK\n"
                "@1000 cat join -> SOLD_OUT\n");
}

/* --- how it ends ------------------------------------------------------------------------------------------ */
/* H8, H1: at its deadline the seat is its channel's again, swept up or not. */
static void
a_lapsed_hold_goes_back_to_its_block(void **state)
{
    play(state, "house\n"
                "policy hold_ms=5000 tick_max=1\n"
                "@1000 bob join -> OK\n"
                "@1000 admin block concert=1 date=1 seat=7,8 channel=3 reason=a -> OK\n"
                "@1000 desk.3 reserve concert=1 date=1 seat=7,8 user=ann -> OK until=6000\n"
                "@5999 desk.3 reserve concert=1 date=1 seat=7 user=bob -> HELD until=6000\n"
                "wake off\n"
                "@6000 desk.3 seats concert=1 date=1 user=bob -> OK free_count=50\n"
                "@6000 desk.4 seats concert=1 date=1 user=bob -> OK free=1..6,9..50\n"
                "@6000 bob reserve concert=1 date=1 seat=8 -> BLOCKED conflict=8:BLOCKED:0\n"
                "@6000 desk.3 reserve concert=1 date=1 seat=8 user=bob -> OK\n");
}

/* H8: what the sweep says of it: the hold's end, then the block, as of a block that waited. */
static void
the_end_of_a_taken_seats_hold_is_followed_by_its_block(void **state)
{
    play(state, "house\n"
                "policy hold_ms=5000\n"
                "@1000 admin block concert=1 date=1 seat=7,8 channel=3 reason=a -> OK\n"
                "@1000 desk.3 reserve concert=1 date=1 seat=7,8 user=ann -> OK\n"
                "@2000 desk.3 release user=ann reservation=ann.1 -> OK\n"
                "events seat_released:seat=7 seat_blocked:seat=7\n"
                "@2000 ann join -> OK\n"
                "@2000 ann reserve concert=1 date=1 seat=7 -> BLOCKED\n"
                "tick @6000\n"
                "events hold_expired:seat=8 seat_blocked:seat=8\n"
                "@6000 ann reserve concert=1 date=1 seat=8 -> BLOCKED\n"
                "@6000 desk.3 reserve concert=1 date=1 seat=7,8 user=ann -> OK\n");
}

/* H8, Q7: a hold that was taken with a token ends with its place, into its block. */
static void
a_place_that_ends_leaves_the_seat_to_its_channel(void **state)
{
    play(state, "house\n"
                "@1000 ann join -> OK\n"
                "@1000 admin block concert=1 date=1 seat=7 channel=3 reason=a -> OK\n"
                "@1000 desk.3 reserve concert=1 date=1 seat=7 token=ann -> OK\n"
                "@2000 ann leave -> OK\n"
                "@2000 desk.4 reserve concert=1 date=1 seat=7 user=bob -> BLOCKED\n"
                "@2000 desk.3 reserve concert=1 date=1 seat=7 user=bob -> OK\n");
}

/* H8, M8: a seat that was sold through its block is its channel's again once it is given back. */
static void
a_refund_goes_back_to_the_block(void **state)
{
    play(state, "house price=100\n"
                "@1000 ann join -> OK\n"
                "@1000 admin block concert=1 date=1 seat=7 channel=3 reason=a -> OK\n"
                "@1000 desk.3 charge user=bob amount=200 -> OK\n"
                "@1000 desk.3 reserve concert=1 date=1 seat=6,7 user=bob -> OK\n"
                "@1000 desk.3 pay user=bob reservation=bob.1,bob.2 -> OK amount=200\n"
                "@2000 desk refund user=bob payment=bob.1 -> OK amount=200\n"
                "events seat_released:user=bob:seat=6:amount=100 seat_released:user=bob:seat=7:amount=100 "
                "seat_blocked:seat=7 refunded:user=bob:amount=200\n"
                "@2000 ann seats concert=1 date=1 -> OK free=1..6,8..50\n"
                "@2000 ann reserve concert=1 date=1 seat=7 -> BLOCKED\n"
                "@2000 desk.3 reserve concert=1 date=1 seat=7 user=bob -> OK\n"
                "@2000 desk.3 pay user=bob reservation=bob.3 -> OK\n"
                "@2000 desk refund user=bob payment=bob.1 -> ALREADY_REFUNDED\n"
                "@2000 desk refund user=bob payment=bob.2 -> OK amount=100\n");
}

/* H11, H8: into a blocked seat, from one to another, and out again; each that is given up is blocked once more. */
static void
a_swap_takes_and_gives_up_blocked_seats(void **state)
{
    play(state, "house\n"
                "@1000 cat join -> OK\n"
                "@1000 admin block concert=1 date=1 seat=7,8 channel=3 reason=a -> OK\n"
                "@1000 desk.3 reserve concert=1 date=1 seat=6 user=ann -> OK until=301000\n"
                "@2000 desk.4 swap concert=1 date=1 reservation=ann.1 seat=7 user=ann -> BLOCKED\n"
                "@2000 desk.3 swap concert=1 date=1 reservation=ann.1 seat=7 user=ann -> OK seat=7 until=301000\n"
                "events seat_released:seat=6 seat_held:seat=7\n"
                "@2000 desk.3 swap concert=1 date=1 reservation=ann.2 seat=7,8 user=ann -> OK seat=7,8\n"
                "events seat_released:seat=7 seat_blocked:seat=7 seat_held:seat=7 seat_held:seat=8\n"
                "@2000 desk swap concert=1 date=1 reservation=ann.3 seat=7 user=ann -> BLOCKED conflict=7:BLOCKED:0\n"
                "@2000 desk swap concert=1 date=1 reservation=ann.3 seat=9 user=ann -> OK seat=9\n"
                "@2000 cat reserve concert=1 date=1 seat=7 -> BLOCKED\n"
                "@2000 desk.3 reserve concert=1 date=1 seat=7 user=cat -> OK\n");
}

/* --- the organiser in between ----------------------------------------------------------------------------- */
/* H8: unblocked while it is held, the hold goes on as one of the open sale: there the seat goes when it ends. */
static void
an_unblock_makes_a_taken_hold_an_ordinary_one(void **state)
{
    play(state, "house price=0\n"
                "@1000 bob join -> OK\n"
                "@1000 admin block concert=1 date=1 seat=7,8 channel=3 reason=a -> OK\n"
                "@1000 desk.3 reserve concert=1 date=1 seat=7,8 user=ann -> OK until=301000\n"
                "@2000 admin unblock concert=1 date=1 seat=7,8 -> OK unblocked=2\n"
                "events none\n"
                "@2000 bob reserve concert=1 date=1 seat=7 -> HELD until=301000\n"
                "@2000 desk.3 release user=ann reservation=ann.1 -> OK\n"
                "events seat_released:seat=7\n"
                "@2000 bob reserve concert=1 date=1 seat=7 -> OK\n"
                "@2000 desk.3 pay user=ann reservation=ann.2 -> OK\n"
                "@2000 desk.3 refund user=ann payment=ann.1 -> OK\n"
                "@2000 bob reserve concert=1 date=1 seat=8 -> OK\n");
}

/* H8: unblocked after it was sold, the seat is free when it is given back; the sale itself stands. */
static void
an_unblock_of_a_sold_seat_counts_for_its_refund(void **state)
{
    play(state, "house price=0\n"
                "@1000 bob join -> OK\n"
                "@1000 admin block concert=1 date=1 seat=7 channel=3 reason=a -> OK\n"
                "@1000 desk.3 reserve concert=1 date=1 seat=7 user=ann -> OK\n"
                "@1000 desk.3 pay user=ann reservation=ann.1 -> OK\n"
                "@2000 admin unblock concert=1 date=1 seat=7 -> OK unblocked=1\n"
                "events none\n"
                "@2000 admin unblock concert=1 date=1 seat=7 -> OK unblocked=0\n"
                "@2000 bob reserve concert=1 date=1 seat=7 -> SOLD\n"
                "@2000 desk.3 refund user=ann payment=ann.1 -> OK\n"
                "events seat_released:seat=7 refunded:user=ann\n"
                "@2000 bob reserve concert=1 date=1 seat=7 -> OK\n");
}

/* H8: blocked again while it is held, the seat gets the new channel and reason, and goes there when the hold ends. */
static void
a_new_block_of_a_taken_seat_says_where_it_goes(void **state)
{
    play(state, "house price=0\n"
                "@1000 admin block concert=1 date=1 seat=7,8 channel=3 reason=a -> OK\n"
                "@1000 desk.3 reserve concert=1 date=1 seat=7,8 user=ann -> OK\n"
                "@2000 admin block concert=1 date=1 seat=7,8 channel=4 reason=b -> OK blocked=0 waiting=2\n"
                "events none\n"
                "@2000 desk.3 reserve concert=1 date=1 seat=7 user=bob -> BLOCKED\n"
                "@2000 desk.4 reserve concert=1 date=1 seat=7 user=bob -> HELD\n"
                "@2000 desk.3 pay user=ann reservation=ann.1 -> OK\n"
                "@2000 desk.3 refund user=ann payment=ann.1 -> OK\n"
                "@2000 desk.3 release user=ann reservation=ann.2 -> OK\n"
                "@2000 desk.3 reserve concert=1 date=1 seat=7 user=bob -> BLOCKED\n"
                "@2000 desk.3 reserve concert=1 date=1 seat=8 user=bob -> BLOCKED\n"
                "@2000 desk.4 reserve concert=1 date=1 seat=7,8 user=bob -> OK\n");
}

/* H8: a forced block takes a seat from its channel's terminal too; a sold one is refused as ever. */
static void
a_forced_block_ends_a_taken_hold(void **state)
{
    play(state, "house price=0\n"
                "@1000 admin block concert=1 date=1 seat=7,8 channel=3 reason=a -> OK\n"
                "@1000 desk.3 reserve concert=1 date=1 seat=7,8 user=ann -> OK\n"
                "@2000 admin block concert=1 date=1 seat=7 force=yes reason=b -> OK blocked=1 waiting=0\n"
                "events hold_forced:user=ann:seat=7 seat_blocked:seat=7\n"
                "@2000 desk.3 pay user=ann reservation=ann.1 -> HOLD_EXPIRED\n"
                "@2000 desk.3 reserve concert=1 date=1 seat=7 user=ann -> BLOCKED\n"
                "@2000 desk.3 pay user=ann reservation=ann.2 -> OK\n"
                "@2000 admin block concert=1 date=1 seat=8 force=yes reason=b -> SOLD conflict=8:SOLD\n");
}

/* H8: a block that comes to a held seat waits, whatever its channel; its terminals get the seat when it is theirs. */
static void
a_terminal_waits_for_a_hold_that_was_there_before_the_block(void **state)
{
    play(state, "house price=0\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7,8 -> OK until=301000\n"
                "@2000 admin block concert=1 date=1 seat=7,8 channel=3 reason=a -> OK blocked=0 waiting=2\n"
                "@2000 desk.3 reserve concert=1 date=1 seat=7 user=cat -> HELD until=301000\n"
                "@2000 bob reserve concert=1 date=1 seat=7 -> HELD until=301000\n"
                "@2000 desk.3 seats concert=1 date=1 user=cat -> OK free=1..6,9..50\n"
                "@2000 ann release reservation=ann.1 -> OK\n"
                "@2000 desk.3 reserve concert=1 date=1 seat=7 user=cat -> OK\n"
                "@2000 ann pay reservation=ann.2 -> OK\n" /* which the block has waited for in vain */
                "@2000 ann refund payment=ann.1 -> OK\n"
                "@2000 bob reserve concert=1 date=1 seat=8 -> OK\n");
}

/* H10: a plan is not cut below a seat that is blocked, taken or sold through its block. */
static void
a_plan_keeps_the_seats_of_a_channel(void **state)
{
    play(state, "house seats=50 row=10 price=0\n"
                "@1000 admin block concert=1 date=1 seat=50 channel=3 reason=a -> OK\n"
                "@1000 admin put_plan plan=1 section=Hall:1:4:10:0 -> PLAN_IN_USE\n"
                "@1000 desk.3 reserve concert=1 date=1 seat=50 user=ann -> OK\n"
                "@1000 admin put_plan plan=1 section=Hall:1:4:10:0 -> PLAN_IN_USE\n"
                "@1000 desk.3 pay user=ann reservation=ann.1 -> OK\n"
                "@1000 admin put_plan plan=1 section=Hall:1:4:10:0 -> PLAN_IN_USE\n"
                "@1000 desk.3 refund user=ann payment=ann.1 -> OK\n"
                "@1000 admin put_plan plan=1 section=Hall:1:4:10:0 -> PLAN_IN_USE\n"
                "@1000 admin unblock concert=1 date=1 seat=50 -> OK unblocked=1\n"
                "@1000 admin put_plan plan=1 section=Hall:1:4:10:0 -> OK seat_count=40\n");
}

/* H8, Q9, Q10: a channel sells by the same clock and window as everybody. */
static void
a_channel_sells_within_the_window_alone(void **state)
{
    play(state, "house opens=5000\n"
                "@1000 admin block concert=1 date=1 seat=7 channel=3 reason=a -> OK\n"
                "@1000 desk.3 reserve concert=1 date=1 seat=7 user=ann -> NOT_ON_SALE until=5000\n"
                "@5000 admin set_mode queue=0 mode=frozen -> OK\n"
                "@5000 desk.3 reserve concert=1 date=1 seat=7 user=ann -> FROZEN\n"
                "@6000 admin set_mode queue=0 mode=open -> OK\n"
                "@6000 desk.3 reserve concert=1 date=1 seat=7 user=ann -> OK until=306000\n"
                "@7000 admin set_mode queue=0 mode=frozen -> OK\n"
                "@8000 admin set_mode queue=0 mode=open -> OK\n"
                "tick @306999\n"
                "@306999 desk.3 reserve concert=1 date=1 seat=7 user=bob -> HELD until=307000\n"
                "@307000 desk.3 reserve concert=1 date=1 seat=7 user=bob -> OK\n");
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_scene(a_terminal_sells_a_blocked_seat_of_its_channel),
        cmocka_unit_test_scene(a_blocked_seat_is_sold_by_terminals_of_its_channel_alone),
        cmocka_unit_test_scene(a_taken_seat_is_held_within_its_channel_and_blocked_outside),
        cmocka_unit_test_scene(blocked_and_free_seats_are_held_together),
        cmocka_unit_test_scene(best_available_never_gives_a_blocked_seat),
        cmocka_unit_test_scene(seats_of_the_channel_are_listed_to_its_terminals),
        cmocka_unit_test_scene(a_hold_within_a_channel_does_not_reopen_a_sale_that_is_sold_out),
        cmocka_unit_test_scene(a_date_held_within_its_channel_is_not_all_held),
        cmocka_unit_test_scene(a_lapsed_hold_goes_back_to_its_block),
        cmocka_unit_test_scene(the_end_of_a_taken_seats_hold_is_followed_by_its_block),
        cmocka_unit_test_scene(a_place_that_ends_leaves_the_seat_to_its_channel),
        cmocka_unit_test_scene(a_refund_goes_back_to_the_block),
        cmocka_unit_test_scene(a_swap_takes_and_gives_up_blocked_seats),
        cmocka_unit_test_scene(an_unblock_makes_a_taken_hold_an_ordinary_one),
        cmocka_unit_test_scene(an_unblock_of_a_sold_seat_counts_for_its_refund),
        cmocka_unit_test_scene(a_new_block_of_a_taken_seat_says_where_it_goes),
        cmocka_unit_test_scene(a_forced_block_ends_a_taken_hold),
        cmocka_unit_test_scene(a_terminal_waits_for_a_hold_that_was_there_before_the_block),
        cmocka_unit_test_scene(a_plan_keeps_the_seats_of_a_channel),
        cmocka_unit_test_scene(a_channel_sells_within_the_window_alone),
    };

    return usher_test_main(argc, argv, tests);
}
