/* scene_queue_test.c: scenes of the waiting queue: T1 to T5, Q1 to Q13, M7's order of checks where tokens are at stake.
 * play.h says how a scene reads. */
#include "tests/play.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- places in line ---------------------------------------------------------------------------------------- */
/* T1, Q1, X8: the token carries the user's UUID, the queue and the sequence number, and nothing else about the user. */
static void
a_join_gives_a_place_and_a_token_that_says_so(void **state)
{
    play(state, "queue 0 policy admit_batch=1\n"
                "@1000 ann join queue=0 -> OK queue=0 position=1 rank=0 state=active sale=open token.user=ann"
                "  token.queue=0 token.position=1 token.issued=1000 token.ends=86401000\n"
                "@1000 bob join queue=0 -> OK position=2 rank=1 state=waiting until=301000 token.user=bob"
                "  token.position=2\n"
                "@1500 cat join queue=0 -> OK position=3 rank=2 state=waiting until=301500 token.issued=1500\n"
                "events joined:user=cat:position=3:queue=0\n");
}

/* Q1: rank counts the live waiters ahead and shrinks; position never changes. */
static void
the_rank_falls_and_the_position_stays(void **state)
{
    play(state, "queue 0 policy admit_batch=1\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 bob join -> OK position=2 rank=1\n"
                "@1000 cat join -> OK position=3 rank=2\n"
                "@1000 dan join -> OK position=4 rank=3\n"
                "@2000 bob leave -> OK state=left\n"
                "@2000 cat place -> OK position=3 rank=1 state=waiting\n"
                "@2000 dan place -> OK position=4 rank=2 state=waiting\n"
                "@31000 cat place -> OK position=3 rank=0 state=active\n"
                "@31000 dan place -> OK position=4 rank=1 state=waiting\n");
}

/* T4, Q2: whoever asks again, on another instance or device, keeps the place; the token's body is the same. */
static void
joining_again_returns_the_same_place(void **state)
{
    play(state, "queue 0 policy admit_batch=1\n"
                "@1000 ann join -> OK position=1 state=active\n"
                "@1000 bob join -> OK position=2 rank=1\n"
                "@1000 cat join -> OK position=3 rank=2\n"
                "@2000 bob join -> OK position=2 rank=1 state=waiting token.position=2 token.issued=1000"
                "  token.ends=86401000\n"
                "events none\n"
                "@2000 desk join user=bob -> OK position=2 rank=1\n"
                "@3000 ann join -> OK position=1 state=active token.position=1 token.issued=1000\n"
                "@4000 dan join -> OK position=4 rank=3\n");
}

/* Q1, Q2: a refused join takes no number. */
static void
a_refused_join_takes_no_number(void **state)
{
    play(state, "@1000 ann join queue=0 -> OK position=1\n"
                "@1000 bob join queue=9 -> QUEUE_NOT_FOUND\n"
                "events none\n"
                "@1000 gateway join queue=0 -> USER_MISSING\n"
                "@1000 bob join queue=0 -> OK position=2\n");
}

/* M3: a join's own request id gives its first answer; another body under it is refused and takes no number. */
static void
a_join_sent_twice_is_one_join(void **state)
{
    play(state, "@1000 ann join id=a -> OK position=1 state=active\n"
                "@2000 ann join id=a -> OK replayed position=1 state=active token.issued=1000\n"
                "events none\n"
                "@2000 ann join id=a queue=7 -> MISMATCH\n"
                "@2000 bob join id=a -> OK position=2\n");
}

/* Q13: one's place can be read with a token of any state, until the ended place is forgotten. */
static void
a_place_can_be_read_in_every_state(void **state)
{
    play(state, "house\n"
                "queue 0 policy admit_batch=2 claim_ms=0\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 bob join -> OK state=active\n"
                "@1000 cat join -> OK state=waiting\n"
                "@1000 cat place -> OK state=waiting rank=1\n"
                "@1000 ann place -> OK state=active rank=0 until=601000\n"
                "@1000 ann reserve concert=1 date=1 seat=1 -> OK\n"
                "@1000 ann charge amount=1000 -> OK balance=1000\n"
                "@1000 ann pay reservation=ann.1 -> OK\n"
                "@1000 ann place -> OK state=used rank=0 until=0 next_poll=0 estimate=0\n"
                "@2000 bob leave -> OK state=left\n"
                "@2000 bob place -> OK state=left until=0\n"
                "@31000 cat place -> OK state=active\n"
                "@700000 cat place -> OK state=expired until=0\n"
                "@3600999 ann place -> OK state=used\n"
                "@3601000 ann place -> TOKEN_EXPIRED\n");
}

/* Q12: server state wins over what a token says: a place that was never given, or is another's, is no place. */
static void
a_token_for_a_place_that_is_not_there_is_over(void **state)
{
    play(state, "@1000 ann join -> OK position=1\n"
                "@1000 bob join -> OK position=2\n"
                "@1000 ann place token=0:99 -> TOKEN_EXPIRED\n"
                "@1000 ann place token=7:1 -> TOKEN_EXPIRED\n"
                "@1000 ann place token=0:2 -> TOKEN_EXPIRED\n"
                "@1000 ann leave token=0:2 -> TOKEN_EXPIRED\n"
                "@1000 bob place -> OK state=active\n");
}

/* --- admission --------------------------------------------------------------------------------------------- */
static void
join_many(void **state, unsigned from, unsigned to, const char *expected)
{
    for (unsigned i = from; i <= to; i++)
        play_format(state, "u%u join -> OK position=%u %s\n", i, i, expected);
}

/* T5, Q3: 50 at once, the next 50 when the next interval begins, in the order of joining, and the rest after that. */
static void
every_thirty_seconds_the_first_fifty_become_active(void **state)
{
    play(state, "tick @1000\n");
    join_many(state, 1, 50, "state=active rank=0");
    join_many(state, 51, 120, "state=waiting");
    play(state, "u51 place -> OK rank=1 state=waiting\n"
                "u120 place -> OK rank=70 state=waiting\n"
                "@30999 u51 place -> OK rank=1 state=waiting\n"
                "tick @31000\n"
                "events admitted*50\n"
                "u51 place -> OK state=active\n"
                "u100 place -> OK state=active\n"
                "u101 place -> OK state=waiting rank=1\n"
                "tick @60999\n"
                "events none\n"
                "tick @61000\n"
                "events admitted:user=u101:position=101 admitted*19\n"
                "u120 place -> OK state=active\n");
}

/* T4: who polls more, or first, is served no sooner. */
static void
waiters_are_admitted_exactly_in_the_order_of_their_joins(void **state)
{
    play(state, "queue 0 policy admit_batch=2\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 bob join -> OK state=active\n"
                "@1000 cat join -> OK position=3\n"
                "@1001 dan join -> OK position=4\n"
                "@1002 eve join -> OK position=5\n"
                "@1003 fay join -> OK position=6\n"
                "@2000 fay place -> OK rank=4\n"
                "@3000 eve place -> OK rank=3\n"
                "@30999 fay join -> OK rank=4 position=6\n"
                "tick @31000\n"
                "events admitted:user=cat:position=3 admitted:user=dan:position=4\n"
                "tick @61000\n"
                "events admitted:user=eve:position=5 admitted:user=fay:position=6\n");
}

/* Q3: grants that an interval did not use are gone with it. */
static void
unused_grants_are_not_saved_up(void **state)
{
    play(state, "queue 0 policy admit_batch=2\n"
                "@1000 ann join -> OK state=active\n"
                "@310000 bob join -> OK state=active\n" /* intervals begin at 1000, 31000, ..., 301000 */
                "@310000 cat join -> OK state=active\n"
                "@310000 dan join -> OK state=waiting rank=1\n"
                "@330999 dan place -> OK state=waiting\n"
                "@331000 dan place -> OK state=active\n");
}

/* Q3: with grants left and nobody waiting, a join is active at once, until the grants are used up. */
static void
a_join_is_active_at_once_while_grants_are_left(void **state)
{
    play(state, "queue 0 policy admit_batch=2\n"
                "@1000 ann join -> OK state=active rank=0\n"
                "events joined:user=ann admitted:user=ann:position=1\n"
                "@30999 bob join -> OK state=active rank=0\n"
                "@30999 cat join -> OK state=waiting rank=1\n"
                "@31000 dan join -> OK state=active position=4\n"
                "cat place -> OK state=active\n"
                "eve join -> OK state=waiting rank=1\n");
}

/* Q3: both limits must hold. */
static void
no_more_than_active_max_are_active(void **state)
{
    play(state,
         "queue 0 policy active_max=2\n"
         "@1000 ann join -> OK state=active\n"
         "@1000 bob join -> OK state=active\n"
         "@1000 cat join -> OK state=waiting rank=1\n"
         "@1000 dan join -> OK state=waiting rank=2\n"
         "@61000 cat place -> OK state=waiting rank=1\n"
         "@61000 admin queues first_page=yes -> OK waiting_count=2 active_count=2 admitted_count=2 last_position=4\n");
}

/* Q4: the slot goes to the next in rank in the same commit, if the interval has a grant left. */
static void
a_freed_slot_goes_to_the_next_in_the_same_commit(void **state)
{
    play(state, "queue 0 policy active_max=1\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 bob join -> OK state=waiting\n"
                "@1000 cat join -> OK state=waiting\n"
                "@2000 ann leave -> OK state=left\n"
                "events left:user=ann admitted:user=bob:position=2\n"
                "@2000 cat place -> OK rank=1\n"
                "@122000 tick\n"
                "events lapsed:user=bob admitted:user=cat:position=3\n");
}

/* Q4: without a grant left, the slot is given when the next interval begins. */
static void
a_freed_slot_waits_for_the_next_interval_without_a_grant(void **state)
{
    play(state, "queue 0 policy admit_batch=1 active_max=1\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 bob join -> OK state=waiting\n"
                "@2000 ann leave -> OK\n"
                "events left:user=ann\n"
                "@30999 bob place -> OK state=waiting rank=1\n"
                "@31000 bob place -> OK state=active\n");
}

/* B1, Q4, M5: payment uses the token up, frees the slot and admits the next in one commit. */
static void
a_payment_admits_the_next(void **state)
{
    play(state, "house\n"
                "queue 0 policy active_max=1\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 bob join -> OK state=waiting\n"
                "@1000 ann reserve concert=1 date=1 seat=7 -> OK\n"
                "@1000 ann charge amount=5000 -> OK\n"
                "@2000 ann pay reservation=ann.1 -> OK\n"
                "events seat_sold:user=ann:seat=7 paid:user=ann:amount=1000 admitted:user=bob:position=2\n"
                "@2000 ann place -> OK state=used\n"
                "@2000 bob place -> OK state=active\n");
}

/* Q9: lowering a limit throws nobody out; raising it admits at once. */
static void
lowering_a_limit_throws_nobody_out(void **state)
{
    play(state, "@1000 ann join -> OK state=active\n"
                "@1000 bob join -> OK state=active\n"
                "queue 0 policy active_max=1\n"
                "@2000 ann place -> OK state=active\n"
                "@2000 bob place -> OK state=active\n"
                "@2000 cat join -> OK state=waiting\n"
                "@3000 ann leave -> OK\n"
                "events left\n"
                "@3000 cat place -> OK state=waiting\n"
                "@4000 queue 0 policy active_max=2\n"
                "events queue_changed admitted:user=cat\n");
}

/* Q1, Q3, T4, S4: the whole rush: 5,000 places without gap, 50 admitted every 30 s of written time, in exactly that
 * order. */
static void
five_thousand_joins_are_a_permutation_served_in_order(void **state)
{
    enum { PEOPLE = 5000, BATCH = 50 };
    char admitted[BATCH * 32];

    play(state, "queue 0 policy waiting_lease_ms=86400000 claim_ms=0\n"
                "audit off\n"
                "tick @1000\n");
    join_many(state, 1, BATCH, "state=active rank=0");
    for (unsigned i = BATCH + 1; i <= PEOPLE; i++) /* 1 to 4,950: each rank once */
        play_format(state, "u%u join -> OK position=%u rank=%u state=waiting\n", i, i, i - BATCH);
    for (unsigned from = BATCH + 1; from <= PEOPLE; from += BATCH) {
        size_t length = 0;
        for (unsigned i = from; i < from + BATCH; i++)
            length += (size_t)snprintf(admitted + length, sizeof admitted - length, " admitted:position=%u", i);
        uint64_t at_ms = 1000 + UINT64_C(30000) * ((from - 1) / BATCH);
        play_format(state,
                    "@%" PRIu64 " u%u place -> OK state=waiting rank=1\n"
                    "audit on\n"
                    "audit off\n"
                    "@%" PRIu64 " u%u place -> OK state=active\n",
                    at_ms - 1, from, at_ms, from);
        if (at_ms < 600000) /* later the first admitted begin to run out of active time between */
            play_format(state, "tick\n@%" PRIu64 " tick\nevents none\n", at_ms);
        play_format(state, "u%u place -> OK state=active\n", from + BATCH - 1);
        if (from + BATCH <= PEOPLE)
            play_format(state, "u%u place -> OK state=waiting rank=1\n", from + BATCH);
    }
    play(state, "audit on\n"
                "admin queues first_page=yes -> OK last_position=5000 admitted_count=5000 waiting_count=0\n");
}

/* --- claims and leases ------------------------------------------------------------------------------------- */
/* Q5: unused for claim_ms, the admission lapses at its deadline, not before; polls do not count. */
static void
an_admission_that_is_not_claimed_lapses(void **state)
{
    play(state, "queue 0 policy active_max=1\n"
                "@1000 ann join -> OK state=active until=121000\n"
                "@1000 bob join -> OK state=waiting\n"
                "@100000 ann place -> OK state=active until=121000\n"
                "@100000 ann join -> OK state=active until=121000\n"
                "@120999 ann place -> OK state=active until=121000\n"
                "@120999 bob place -> OK state=waiting rank=1\n"
                "@121000 tick\n"
                "events lapsed:user=ann:position=1 admitted:user=bob:position=2\n"
                "@121000 ann place -> OK state=expired\n"
                "@121000 ann dates concert=1 -> TOKEN_EXPIRED\n");
}

/* Q5: dates, seats, reserve, charge and pay claim, also when they are refused; balance, holds and release don't. */
static void
each_claiming_call_claims_and_no_other(void **state)
{
    play(state, "house\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 bob join -> OK state=active\n"
                "@1000 cat join -> OK state=active\n"
                "@1000 dan join -> OK state=active\n"
                "@1000 eve join -> OK state=active\n"
                "@1000 fay join -> OK state=active\n"
                "@1000 gus join -> OK state=active\n"
                "@1000 hal join -> OK state=active\n"
                "@2000 ann dates concert=1 -> OK\n"
                "@2000 bob seats concert=1 date=1 -> OK\n"
                "@2000 cat reserve concert=1 date=1 seat=1 -> OK\n"
                "@2000 dan charge amount=10 -> OK\n"
                "@2000 eve pay reservation=999 -> RESERVATION_NOT_FOUND\n"
                "@2000 fay reserve concert=1 date=1 seat=1 -> HELD\n"
                "@2000 gus balance -> OK\n"
                "@2000 gus holds -> OK\n"
                "@2000 gus release reservation=999 -> RESERVATION_NOT_FOUND\n"
                "@2000 gus lookup id=x -> REQUEST_NOT_FOUND\n"
                "@2000 hal dates concert=9 -> CONCERT_NOT_FOUND\n"
                "@121000 tick\n"
                "events lapsed:user=gus\n"
                "@121000 ann place -> OK state=active until=601000\n"
                "@121000 bob place -> OK state=active until=601000\n"
                "@121000 cat place -> OK state=active\n"
                "@121000 dan place -> OK state=active until=601000\n"
                "@121000 eve place -> OK state=active until=601000\n"
                "@121000 fay place -> OK state=active until=601000\n"
                "@121000 gus place -> OK state=expired\n"
                "@121000 hal place -> OK state=active\n");
}

/* Q5: 0 switches the limit off. */
static void
without_a_claim_limit_an_admission_lasts_its_active_time(void **state)
{
    play(state, "queue 0 policy claim_ms=0\n"
                "@1000 ann join -> OK state=active until=601000\n"
                "@600999 ann place -> OK state=active\n"
                "@601000 ann place -> OK state=expired\n");
}

/* Q6: the renewal is written only when less than half of the lease is left. */
static void
a_poll_renews_the_lease_when_less_than_half_is_left(void **state)
{
    play(state, "queue 0 policy admit_batch=1 active_max=1 claim_ms=0\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 bob join -> OK state=waiting until=301000\n"
                "@151000 bob place -> OK until=301000\n");
    uint64_t position = store_position(play_store(state));
    play(state, "@151000 bob place -> OK until=301000\n");
    assert_int_equal(store_position(play_store(state)), position); /* nothing was written */
    play(state, "@151001 bob place -> OK state=waiting\n"
                "@151001 bob place -> OK until=451001\n"
                "@300000 bob place -> OK until=451001\n"
                "@302000 bob place -> OK state=waiting\n"
                "@451001 bob place -> OK state=waiting until=602000\n");
}

/* Q6, Q2: joining again renews as well. */
static void
joining_again_renews_the_lease(void **state)
{
    play(state, "queue 0 policy active_max=1 claim_ms=0\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 bob join -> OK until=301000\n"
                "@300999 bob join -> OK position=2 rank=1 until=600999\n"
                "@301000 bob place -> OK state=waiting rank=1\n");
}

/* Q6: a waiter whose lease ends has left; whoever comes back before keeps the place. At the deadline means over. */
static void
a_waiter_who_does_not_poll_has_left_at_the_leases_end(void **state)
{
    play(state, "queue 0 policy active_max=1 claim_ms=0\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 bob join -> OK position=2 until=301000\n"
                "@1000 cat join -> OK position=3\n"
                "@1000 dan join -> OK position=4\n"
                "@300999 cat place -> OK rank=2 state=waiting\n"
                "@300999 dan place -> OK rank=3 state=waiting\n"
                "@301000 tick\n"
                "events lapsed:user=bob:position=2\n"
                "@301000 cat place -> OK rank=1 state=waiting\n"
                "@301000 dan place -> OK rank=2 state=waiting\n"
                "@301000 bob place -> OK state=expired\n"
                "@301000 bob join -> OK position=5 rank=3\n");
}

/* Q6, T4: admission never counts the absent: a waiter whose lease has ended takes no slot, swept or not. */
static void
a_slot_is_never_given_to_somebody_who_is_gone(void **state)
{
    play(state, "queue 0 policy active_max=1 claim_ms=0\n"
                "wake off\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 bob join -> OK state=waiting\n"
                "@200000 cat join -> OK state=waiting\n"
                "@350000 ann leave -> OK\n"
                "@350000 bob place -> OK state=expired\n"
                "@350000 cat place -> OK state=active\n");
}

/* Q6: the same where the tick's bound was reached and nobody has swept the absent yet. */
static void
an_admission_sweeps_the_absent_that_the_tick_left(void **state)
{
    play(state, "policy tick_max=1\n"
                "queue 0 policy active_max=1 claim_ms=0\n"
                "wake off\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 bob join -> OK state=waiting\n"
                "@1000 cat join -> OK state=waiting\n"
                "@200000 dan join -> OK state=waiting\n"
                "@350000 ann leave -> OK\n"
                "events lapsed:user=bob left:user=ann lapsed:user=cat admitted:user=dan\n"
                "@350000 cat place -> OK state=expired\n"
                "@350000 dan place -> OK state=active\n");
}

/* --- active time ------------------------------------------------------------------------------------------- */
/* T5, Q7: the active time ends by itself; what is held then is released in the same commit. */
static void
active_time_ends_and_takes_the_holds_with_it(void **state)
{
    play(state, "house\n"
                "queue 0 policy active_ms=10000 active_total_ms=10000\n"
                "@1000 ann join -> OK state=active until=11000\n"
                "@2000 ann reserve concert=1 date=1 seat=7,8 -> OK until=11000\n"
                "@10999 ann place -> OK state=active\n"
                "@11000 tick\n"
                "events hold_expired*2 lapsed:user=ann\n"
                "@11000 ann holds -> TOKEN_EXPIRED\n"
                "@11000 desk seats concert=1 date=1 -> OK free_count=50\n");
}

/* Q7: a hold extends the token to the hold's deadline + 30 s. */
static void
a_hold_extends_the_token_past_its_deadline(void **state)
{
    play(state, "house\n"
                "@1000 ann join -> OK state=active\n"
                "@2000 ann reserve concert=1 date=1 seat=1 -> OK until=302000\n"
                "@2000 ann place -> OK until=601000\n"
                "@500000 ann reserve concert=1 date=1 seat=7 -> OK until=800000\n"
                "@500000 ann place -> OK until=830000\n"
                "@600000 ann reserve concert=1 date=1 seat=7 -> OK until=800000\n"
                "@600000 ann place -> OK until=830000\n"
                "@829999 ann place -> OK state=active\n"
                "@830000 ann place -> OK state=expired\n");
}

/* Q7: never past active_total_ms, and no hold's deadline lies past its token's last moment. */
static void
no_hold_outlives_the_tokens_last_moment(void **state)
{
    play(state, "house\n"
                "queue 0 policy claim_ms=0\n"
                "@1000 ann join -> OK state=active\n"
                "@500000 ann reserve concert=1 date=1 seat=1 -> OK until=800000\n"
                "@790000 ann reserve concert=1 date=1 seat=2 -> OK until=1090000\n"
                "@1080000 ann reserve concert=1 date=1 seat=3 -> OK until=1380000\n"
                "@1370000 ann reserve concert=1 date=1 seat=4 -> OK until=1670000\n"
                "@1660000 ann reserve concert=1 date=1 seat=5 -> OK until=1801000\n"
                "@1660000 ann place -> OK until=1801000\n"
                "@1800999 ann place -> OK state=active\n"
                "@1801000 tick\n"
                "events hold_expired:user=ann:seat=5 lapsed:user=ann\n"
                "@1801000 ann place -> OK state=expired\n");
}

/* Q9, Q7: a total that is lowered takes nothing from those who are active, nor from their new holds. */
static void
a_lowered_total_leaves_the_active_their_time(void **state)
{
    play(state, "house\n"
                "queue 0 policy claim_ms=0\n"
                "@1000 ann join -> OK until=601000\n"
                "@2000 queue 0 policy active_ms=1000 active_total_ms=1000\n"
                "@3000 ann place -> OK state=active until=601000\n"
                "@3000 ann reserve concert=1 date=1 seat=7 -> OK until=303000\n"
                "@400000 ann reserve concert=1 date=1 seat=8 -> OK until=601000\n"
                "@600999 ann place -> OK state=active\n"
                "@601000 ann place -> OK state=expired\n"
                "@601000 bob join -> OK state=active until=602000\n");
}

/* Q7: leaving releases the holds in its own commit; leaving again changes nothing. */
static void
leaving_releases_the_holds(void **state)
{
    play(state, "house\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 ann reserve concert=1 date=1 seat=7,8 -> OK\n"
                "@2000 ann leave id=a -> OK state=left released_count=2\n"
                "events seat_released:seat=7 seat_released:seat=8 left:user=ann\n"
                "@2000 desk seats concert=1 date=1 -> OK free_count=50\n"
                "@3000 ann leave id=a -> OK replayed state=left released_count=2\n"
                "@3000 ann leave -> OK state=left released_count=0\n"
                "events none\n");
}

/* Q7: a place takes its own holds with it, not those of the same user's other places. */
static void
leaving_one_queue_keeps_the_holds_of_another(void **state)
{
    play(state, "house\n"
                "house concert=2 plan=2 queue=2\n"
                "house concert=3 plan=3 queue=3\n"
                "@1000 ann join queue=0 -> OK state=active\n"
                "@1000 ann reserve concert=1 date=1 seat=1 -> OK\n"
                "@1000 ann join queue=2 -> OK state=active\n"
                "@1000 ann reserve concert=2 date=1 seat=2 -> OK\n"
                "@1000 ann join queue=3 -> OK state=active\n"
                "@1000 ann reserve concert=3 date=1 seat=3 -> OK\n"
                "@2000 ann leave token=queue:2 -> OK released_count=1\n"
                "events seat_released:concert=2:seat=2 left:queue=2\n"
                "@2000 ann holds token=queue:0 -> OK concert=1,3 seat=1,3\n"
                "@2000 ann join queue=0 -> OK position=1 state=active\n"
                "@2000 ann join queue=3 -> OK position=1 state=active\n"
                "@2000 ann leave token=queue:0 -> OK released_count=1\n"
                "@2000 ann holds token=queue:3 -> OK concert=3\n"
                "@2000 ann leave token=queue:3 -> OK released_count=1\n"
                "@2000 ann join queue=2 -> OK position=2\n");
}

/* Q7: leaving a place that ended otherwise says how it ended. */
static void
leaving_an_ended_place_says_how_it_ended(void **state)
{
    play(state, "house price=0\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 ann reserve concert=1 date=1 seat=7 -> OK\n"
                "@1000 ann pay reservation=ann.1 -> OK\n"
                "@1000 ann leave -> OK state=used released_count=0\n"
                "@1000 bob join -> OK state=active\n"
                "@121000 bob leave -> OK state=expired released_count=0\n");
}

/* B1, Q7: paying for one hold releases the others of the same token. */
static void
a_payment_releases_the_holds_it_did_not_pay(void **state)
{
    play(state, "house price=0\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 ann reserve concert=1 date=1 seat=7,8,9 -> OK\n"
                "@1000 ann pay reservation=ann.2 -> OK seat=8\n"
                "events seat_sold:seat=8 paid seat_released:seat=7 seat_released:seat=9\n"
                "@1000 desk seats concert=1 date=1 -> OK free=1..7,9..50\n");
}

/* Q8: after payment, leaving or a lapse, a new join goes to the back of the line. */
static void
after_its_end_a_place_is_given_up_for_good(void **state)
{
    play(state, "house price=0\n"
                "queue 0 policy active_max=2\n"
                "@1000 ann join -> OK position=1 state=active\n"
                "@1000 bob join -> OK position=2 state=active\n"
                "@1000 cat join -> OK position=3 rank=1\n"
                "@1000 dan join -> OK position=4 rank=2\n"
                "@1000 eve join -> OK position=5 rank=3\n"
                "@1000 ann reserve concert=1 date=1 seat=7 -> OK\n"
                "@1000 ann pay reservation=ann.1 -> OK\n"
                "@1000 ann join -> OK position=6 rank=3 state=waiting\n"
                "@1000 dan leave -> OK state=left\n"
                "@1000 dan join -> OK position=7 rank=3 state=waiting\n"
                "@121000 bob place -> OK state=expired\n"
                "@121000 bob join -> OK position=8 state=waiting\n"
                "@121000 dan place token=dan.1 -> OK state=left\n"
                "@121000 dan place token=dan.2 -> OK position=7\n");
}

/* Q7, Q12: the token's absolute end counts for a waiter that polls and for one who is active. */
static void
a_token_ends_at_its_absolute_end(void **state)
{
    play(state, "policy poll_ms_max=1000 token_ms_max=60000\n"
                "queue 0 policy admit_batch=1 active_max=1 waiting_lease_ms=20000\n"
                "@1000 ann join -> OK state=active until=61000 token.ends=61000\n"
                "@1000 bob join -> OK until=21000 token.ends=61000\n"
                "@20000 bob place -> OK state=waiting\n"
                "@39000 bob place -> OK state=waiting\n"
                "@58000 bob place -> OK state=waiting\n"
                "@60998 bob place -> OK state=waiting until=61000\n");
    uint64_t position = store_position(play_store(state));
    play(state, "@60999 bob place -> OK state=waiting until=61000\n");
    assert_int_equal(store_position(play_store(state)), position); /* there is nothing to renew any more */
    play(state, "@60999 bob place -> OK state=waiting until=61000\n"
                "@60999 ann place -> OK state=active\n"
                "@61000 ann place -> OK state=expired\n"
                "@61000 bob place -> OK state=expired\n");
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_scene(a_join_gives_a_place_and_a_token_that_says_so),
        cmocka_unit_test_scene(the_rank_falls_and_the_position_stays),
        cmocka_unit_test_scene(joining_again_returns_the_same_place),
        cmocka_unit_test_scene(a_refused_join_takes_no_number),
        cmocka_unit_test_scene(a_join_sent_twice_is_one_join),
        cmocka_unit_test_scene(a_place_can_be_read_in_every_state),
        cmocka_unit_test_scene(a_token_for_a_place_that_is_not_there_is_over),
        cmocka_unit_test_scene(every_thirty_seconds_the_first_fifty_become_active),
        cmocka_unit_test_scene(waiters_are_admitted_exactly_in_the_order_of_their_joins),
        cmocka_unit_test_scene(unused_grants_are_not_saved_up),
        cmocka_unit_test_scene(a_join_is_active_at_once_while_grants_are_left),
        cmocka_unit_test_scene(no_more_than_active_max_are_active),
        cmocka_unit_test_scene(a_freed_slot_goes_to_the_next_in_the_same_commit),
        cmocka_unit_test_scene(a_freed_slot_waits_for_the_next_interval_without_a_grant),
        cmocka_unit_test_scene(a_payment_admits_the_next),
        cmocka_unit_test_scene(lowering_a_limit_throws_nobody_out),
        cmocka_unit_test_scene(five_thousand_joins_are_a_permutation_served_in_order),
        cmocka_unit_test_scene(an_admission_that_is_not_claimed_lapses),
        cmocka_unit_test_scene(each_claiming_call_claims_and_no_other),
        cmocka_unit_test_scene(without_a_claim_limit_an_admission_lasts_its_active_time),
        cmocka_unit_test_scene(a_poll_renews_the_lease_when_less_than_half_is_left),
        cmocka_unit_test_scene(joining_again_renews_the_lease),
        cmocka_unit_test_scene(a_waiter_who_does_not_poll_has_left_at_the_leases_end),
        cmocka_unit_test_scene(a_slot_is_never_given_to_somebody_who_is_gone),
        cmocka_unit_test_scene(an_admission_sweeps_the_absent_that_the_tick_left),
        cmocka_unit_test_scene(active_time_ends_and_takes_the_holds_with_it),
        cmocka_unit_test_scene(a_hold_extends_the_token_past_its_deadline),
        cmocka_unit_test_scene(no_hold_outlives_the_tokens_last_moment),
        cmocka_unit_test_scene(a_lowered_total_leaves_the_active_their_time),
        cmocka_unit_test_scene(leaving_releases_the_holds),
        cmocka_unit_test_scene(leaving_one_queue_keeps_the_holds_of_another),
        cmocka_unit_test_scene(leaving_an_ended_place_says_how_it_ended),
        cmocka_unit_test_scene(a_payment_releases_the_holds_it_did_not_pay),
        cmocka_unit_test_scene(after_its_end_a_place_is_given_up_for_good),
        cmocka_unit_test_scene(a_token_ends_at_its_absolute_end),
    };
    return usher_test_main(argc, argv, tests);
}
