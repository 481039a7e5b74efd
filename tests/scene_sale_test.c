/* scene_sale_test.c: scenes of the queue in front of a sale: Q9 to Q13 (pause, freeze, opening, sold out, estimates,
 * bad tokens), the constraints of Q6 and Q7, the bounded tick. play.h says how a scene reads. */
#include "server/core/core.h"
#include "tests/play.h"

/* --- pause, freeze, sale windows --------------------------------------------------------------------------- */
/* Q9: pause stops admission only: ranks stay, holds run on, the estimate is unknown. */
static void
a_pause_stops_admission_and_nothing_else(void **state)
{
    play(state, "house\n"
                "policy hold_ms=5000\n"
                "queue 0 policy admit_batch=1\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 bob join -> OK state=waiting rank=1\n"
                "@1000 cat join -> OK state=waiting rank=2\n"
                "@31000 bob place -> OK state=active\n"
                "@32000 ann reserve concert=1 date=1 seat=7 -> OK until=37000\n"
                "@33000 admin set_mode queue=0 mode=paused -> OK before=open frozen=0\n"
                "@33000 dan join -> OK state=waiting rank=2 sale=paused estimate=unknown\n"
                "@33000 bob reserve concert=1 date=1 seat=8 -> OK\n"
                "@33000 bob charge amount=1000 -> OK\n"
                "@34000 bob pay reservation=bob.1 -> OK\n"
                "@37000 desk seats concert=1 date=1 -> OK free=1..7,9..50\n"
                "@100000 cat place -> OK state=waiting rank=1 sale=paused estimate=unknown until=301000\n"
                "@101000 admin set_mode queue=0 mode=open -> OK before=paused frozen=0\n"
                "events queue_changed admitted:user=cat:position=3\n"
                "@101000 dan place -> OK state=waiting rank=1 sale=open\n");
}

/* Q9: a freeze refuses new holds and payments and moves every deadline by its length. */
static void
a_freeze_stops_every_clock_of_the_queue(void **state)
{
    play(state, "house price=0\n"
                "policy hold_ms=10000\n"
                "queue 0 policy active_max=3\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 bob join -> OK state=active until=121000\n"
                "@1000 eve join -> OK state=active until=121000\n"
                "@1000 cat join -> OK state=waiting until=301000\n"
                "@2000 ann reserve concert=1 date=1 seat=7 -> OK until=12000\n"
                "@2000 bob reserve concert=1 date=1 seat=8 -> OK until=12000\n"
                "@3000 admin set_mode queue=0 mode=frozen -> OK before=open\n"
                "events queue_changed:queue=0\n"
                "@4000 ann reserve concert=1 date=1 seat=9 -> FROZEN\n"
                "@4000 ann reserve_best concert=1 date=1 count=1 grade=255 -> FROZEN\n"
                "@4000 ann swap concert=1 date=1 reservation=ann.1 seat=9 -> FROZEN\n"
                "@4000 ann pay reservation=ann.1 id=frozen -> FROZEN\n"
                "@4000 ann reserve concert=1 date=1 seat=7 -> FROZEN\n"
                "@4000 ann holds -> OK seat=7 until=0\n"
                "@4000 ann place -> OK state=active until=0 sale=frozen\n"
                "@4000 cat place -> OK state=waiting until=0 sale=frozen estimate=unknown\n"
                "@5000 desk seats concert=1 date=1 -> OK free=1..6,9..50\n"
                "@900000 desk seats concert=1 date=1 -> OK free=1..6,9..50\n"
                "@900000 bob place -> OK state=active\n"
                "@900000 eve place -> OK state=active\n"
                "@900000 cat place -> OK state=waiting rank=1\n"
                "@903000 admin set_mode queue=0 mode=open -> OK before=frozen frozen=900000\n"
                "events queue_changed\n"
                "@903000 ann holds -> OK seat=7 until=912000\n"
                "@903000 eve place -> OK until=1021000\n"
                "@903000 cat place -> OK until=1201000\n"
                "@911999 ann pay reservation=ann.1 -> OK\n"
                "@912000 bob pay reservation=bob.1 -> HOLD_EXPIRED\n"
                "@1020999 eve place -> OK state=active\n"
                "@1021000 eve place -> OK state=expired\n");
}

/* Q9, M4: FROZEN is a refusal like any other: a late duplicate must not spend once the freeze is over. Who still wants
 * to pay says so anew. */
static void
a_payment_refused_by_a_freeze_stays_refused_under_its_id(void **state)
{
    play(state, "house price=0\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7 -> OK\n"
                "@2000 admin set_mode queue=0 mode=frozen -> OK\n"
                "@2000 ann pay reservation=ann.1 id=p -> FROZEN\n"
                "@3000 admin set_mode queue=0 mode=open -> OK\n"
                "@3000 ann pay reservation=ann.1 id=p -> FROZEN replayed\n"
                "@3000 ann pay reservation=ann.1 -> OK seat=7\n");
}

/* Q9: during a freeze one may still leave, release and charge; nothing of it needs a clock. */
static void
a_freeze_lets_people_leave_release_and_charge(void **state)
{
    play(state, "house\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7 -> OK\n"
                "@1000 bob reserve concert=1 date=1 seat=8 -> OK\n"
                "@2000 admin set_mode queue=0 mode=frozen -> OK\n"
                "@3000 ann release reservation=ann.1 -> OK released_count=1\n"
                "@3000 ann charge amount=10 -> OK balance=10\n"
                "@3000 bob leave -> OK released_count=1\n"
                "@3000 desk seats concert=1 date=1 -> OK free_count=50\n"
                "@3000 cat join -> OK state=waiting sale=frozen until=0\n");
}

/* Q9: frozen, then paused, then open: the clock goes on when the freeze ends, admission when the pause ends. */
static void
a_freeze_may_end_in_a_pause(void **state)
{
    play(state, "queue 0 policy active_max=1 claim_ms=10000\n"
                "@1000 ann join -> OK state=active until=11000\n"
                "@1000 bob join -> OK state=waiting\n"
                "@2000 admin set_mode queue=0 mode=frozen -> OK before=open\n"
                "@2000 admin set_mode queue=0 mode=frozen -> OK before=frozen frozen=0\n"
                "@5000 admin set_mode queue=0 mode=paused -> OK before=frozen frozen=3000\n"
                "@13999 ann place -> OK state=active until=14000\n"
                "@14000 ann place -> OK state=expired\n"
                "@14000 bob place -> OK state=waiting\n"
                "@15000 admin set_mode queue=0 mode=open -> OK before=paused frozen=0\n"
                "@15000 bob place -> OK state=active\n"
                "@15000 admin set_mode queue=9 mode=open -> QUEUE_NOT_FOUND\n");
}

/* Q10: before opens_at places are taken in order and nobody is admitted; at opens_at the first batch is. */
static void
people_gather_before_the_sale_and_are_admitted_when_it_opens(void **state)
{
    play(state, "queue 0 policy admit_batch=2 opens_at_ms=50000\n"
                "@1000 ann join -> OK position=1 rank=1 state=waiting sale=gathering estimate=unknown\n"
                "@2000 bob join -> OK position=2 rank=2 state=waiting sale=gathering\n"
                "@3000 cat join -> OK position=3 rank=3 state=waiting\n"
                "@49999 ann place -> OK state=waiting rank=1\n"
                "@50000 tick\n"
                "events admitted:user=ann admitted:user=bob\n"
                "@79999 cat place -> OK state=waiting rank=1 sale=open\n"
                "@80000 cat place -> OK state=active\n");
}

/* Q10: at sold out, sold and not merely held, waiters get a definite answer and nobody joins any more. */
static void
at_sold_out_waiters_are_told_so(void **state)
{
    play(state, "house seats=2 row=2 price=0\n"
                "queue 0 policy active_max=1\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 bob join -> OK state=waiting sale=open\n"
                "@1000 ann reserve concert=1 date=1 seat=1,2 -> OK\n"
                "@2000 bob place -> OK state=waiting sale=open\n"
                "@2000 cat join -> OK state=waiting sale=open\n"
                "@3000 ann pay reservation=ann.1,ann.2 -> OK\n"
                "events seat_sold*2 paid\n"
                "@3000 bob place -> OK state=waiting sale=sold_out estimate=unknown\n"
                "@3000 bob join -> OK position=2 sale=sold_out\n"
                "@3000 dan join -> SOLD_OUT\n"
                "@3000 ann join -> SOLD_OUT\n"
                "@61000 bob place -> OK state=waiting rank=1 sale=sold_out\n"
                "@62000 ann refund payment=ann.1 reservation=ann.1 -> OK\n"
                "@62000 bob place -> OK state=active sale=open\n"
                "@62000 dan join -> OK state=waiting sale=open position=4\n");
}

/* Q10: the opening may be moved: earlier admits at once, later stops admission again and throws nobody out. */
static void
the_opening_may_be_moved(void **state)
{
    play(state, "queue 0 policy admit_batch=1 opens_at_ms=500000\n"
                "@1000 ann join -> OK state=waiting sale=gathering\n"
                "@1000 bob join -> OK state=waiting sale=gathering\n"
                "@2000 queue 0 policy opens_at_ms=1500\n"
                "events queue_changed admitted:user=ann\n"
                "@3000 queue 0 policy opens_at_ms=100000\n"
                "@31500 ann place -> OK state=active sale=gathering\n"
                "@31500 bob place -> OK state=waiting rank=1 sale=gathering\n"
                "@99999 bob place -> OK state=waiting\n"
                "@100000 bob place -> OK state=active sale=open\n");
}

/* Q10, Q4: whatever brings seats back after sold out lets the waiters go on: unblocking, a larger plan, a new date. */
static void
new_seats_reopen_a_sale_that_was_sold_out(void **state)
{
    play(state, "house seats=2 row=1 price=0\n"
                "queue 0 policy active_max=1\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 bob join -> OK state=waiting\n"
                "@1000 cat join -> OK state=waiting\n"
                "@1000 dan join -> OK state=waiting\n"
                "@1000 admin block concert=1 date=1 seat=2 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1 -> OK\n"
                "@1000 ann pay reservation=ann.1 -> OK\n"
                "@2000 bob place -> OK state=waiting sale=sold_out\n"
                "@3000 admin unblock concert=1 date=1 seat=2 -> OK\n"
                "@3000 bob place -> OK state=active sale=open\n"
                "@3000 bob reserve concert=1 date=1 seat=2 -> OK\n"
                "@3000 bob pay reservation=bob.1 -> OK\n"
                "@4000 cat place -> OK state=waiting sale=sold_out\n"
                "@5000 admin put_plan plan=1 section=Hall:1:3:1:0 -> OK\n"
                "@5000 cat place -> OK state=active sale=open\n"
                "@5000 cat reserve concert=1 date=1 seat=3 -> OK\n"
                "@5000 cat pay reservation=cat.1 -> OK\n"
                "@6000 dan place -> OK state=waiting sale=sold_out\n"
                "@7000 admin put_date concert=1 date=2 plan=1 starts=2592000000 price=0 -> OK\n"
                "@7000 dan place -> OK state=active sale=open\n");
}

/* Q10: what a past date has left can't be bought any more. Those who wait for nothing else learn it at its beginning. */
static void
what_a_past_date_has_left_keeps_nobody_waiting(void **state)
{
    play(state, "house seats=2 row=2 price=0\n"
                "@1 admin put_date concert=1 date=2 plan=1 starts=60000 price=0 -> OK\n"
                "queue 0 policy active_max=1\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 bob join -> OK state=waiting\n"
                "@1000 cat join -> OK state=waiting\n"
                "@1000 ann reserve concert=1 date=1 seat=1,2 -> OK\n"
                "@2000 ann pay reservation=ann.1,ann.2 -> OK\n"
                "@2000 bob place -> OK state=active sale=open\n" /* date 2 is still for sale */
                "@59999 cat place -> OK state=waiting sale=open\n"
                "@60000 cat place -> OK state=waiting sale=sold_out estimate=unknown\n"
                "@60000 cat join -> OK position=3 sale=sold_out\n"
                "@60000 dan join -> SOLD_OUT\n"
                "@60000 admin queues first_page=yes -> OK sale=sold_out\n"
                "@61000 bob leave -> OK\n"
                "@61000 cat place -> OK state=waiting rank=1 sale=sold_out\n"
                "@62000 admin put_date concert=1 date=2 plan=1 starts=2592000000 price=0 -> OK\n" /* put off */
                "@62000 cat place -> OK state=active sale=open\n");
}

/* Q10: a sale that closes before the show is over then. */
static void
what_is_left_when_a_sale_closes_keeps_nobody_waiting(void **state)
{
    play(state, "house seats=2 row=2 price=0 closes=50000 starts=60000\n"
                "queue 0 policy active_max=1\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 bob join -> OK state=waiting\n"
                "@1000 ann reserve concert=1 date=1 seat=1 -> OK\n"
                "@49999 bob place -> OK state=waiting sale=open\n"
                "@50000 bob place -> OK state=waiting sale=sold_out\n"
                "@50000 cat join -> SOLD_OUT\n"
                "@50000 ann pay reservation=ann.1 -> OK\n" /* a hold is good to its own end */
                "@50000 bob place -> OK state=waiting sale=sold_out\n"
                "@60000 cat join -> SOLD_OUT\n");
}

/* Q10: nobody waits for a show that is over, even if not one seat was sold; in front of nothing at all one may. */
static void
a_queue_whose_dates_are_all_over_has_nothing_left(void **state)
{
    play(state, "@1 admin put_queue queue=2 name=second -> OK\n"
                "house seats=2 row=2 price=0 starts=60000\n"
                "@59999 ann join -> OK sale=open\n"
                "@60000 bob join -> SOLD_OUT\n"
                "@60000 ann place -> OK state=active sale=sold_out\n" /* what it has it keeps */
                "@60000 ann dates concert=1 all=yes -> OK status=past\n"
                "@60000 bob join queue=2 -> OK sale=open\n");
}

/* Q10: a hold of a date that can be sold may come back, whatever is over beside it; seats that are all blocked are not
 * sold (H8). Pausing hides nothing; a freeze says that it is one. */
static void
a_held_seat_of_another_date_keeps_the_sale_open_to_its_own_end(void **state)
{
    play(state, "house seats=2 row=2 price=0 starts=60000\n"
                "@1 admin put_date concert=1 date=2 plan=1 starts=90000 price=0 -> OK\n"
                "queue 0 policy active_max=1\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 bob join -> OK state=waiting\n"
                "@1000 ann reserve concert=1 date=2 seat=1 -> OK\n"
                "@1000 admin block concert=1 date=2 seat=2 -> OK\n"
                "@60000 bob place -> OK state=waiting sale=open\n"
                "@60001 ann release reservation=ann.1 -> OK\n"
                "@60001 bob place -> OK state=waiting sale=open\n"
                "@60002 admin set_mode queue=0 mode=paused -> OK\n"
                "@89999 bob place -> OK sale=paused\n"
                "@90000 bob place -> OK sale=sold_out\n"
                "@90000 admin set_mode queue=0 mode=frozen -> OK\n"
                "@90000 bob place -> OK sale=frozen\n"
                "@90000 admin block concert=1 date=1 seat=1,2 -> OK\n"
                "@90000 admin block concert=1 date=2 seat=1 -> OK\n"
                "@90001 admin set_mode queue=0 mode=open -> OK\n"
                "@90001 bob place -> OK state=waiting sale=open\n");
}

/* Q10: a seat that is only held may come back: not sold out. */
static void
a_house_with_a_held_seat_is_not_sold_out(void **state)
{
    play(state, "house seats=3 row=3 price=0\n"
                "queue 0 policy active_max=2\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1 -> OK\n"
                "@1000 bob reserve concert=1 date=1 seat=2 -> OK\n"
                "@1000 admin block concert=1 date=1 seat=3 -> OK\n"
                "@1000 ann pay reservation=ann.1 -> OK\n"
                "@1000 cat join -> OK state=active sale=open\n"
                "@1000 cat reserve_best concert=1 date=1 count=1 grade=255 -> ALL_HELD\n"
                "@1000 bob pay reservation=bob.1 -> OK\n"
                "@1000 dan join -> SOLD_OUT\n"
                "@1000 cat reserve_best concert=1 date=1 count=1 grade=255 -> SOLD_OUT\n");
}

/* --- estimate and polling ---------------------------------------------------------------------------------- */
/* Q11: unknown before anything was measured; then from what was really admitted, not from the configured rate. */
static void
the_estimate_comes_from_measured_admissions(void **state)
{
    play(state, "queue 0 policy admit_batch=2 claim_ms=0\n"
                "@1000 ann join -> OK state=active estimate=0\n"
                "@1000 bob join -> OK state=active\n");
    for (unsigned i = 3; i <= 12; i++)
        play_format(state, "u%u join -> OK state=waiting estimate=unknown\n", i);
    play(state, "@31000 u5 place -> OK rank=1 estimate<=30000 estimate>0\n"
                "@31000 u12 place -> OK rank=8 estimate<=120000 estimate>90000\n"
                "@45000 u12 place -> OK rank=8 estimate<=106000 estimate>76000\n"
                "@61000 u12 place -> OK rank=6 estimate<=90000 estimate>60000\n"
                "@61000 u3 place -> OK state=active estimate=0\n"
                "@62000 queue 0 policy active_max=6 admit_batch=1000000\n"
                "@91000 u12 place -> OK state=waiting rank=6 estimate=60000\n");
}

/* Q11: while nobody is being admitted the wait is unknown. */
static void
without_admissions_the_estimate_is_unknown(void **state)
{
    play(state, "queue 0 policy active_max=1 claim_ms=0\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 bob join -> OK state=waiting\n"
                "tick @31000\n"
                "bob place -> OK rank=1 estimate!=unknown\n");
    for (unsigned i = 2; i <= 9; i++)
        play_format(state, "tick @%u\n", 1000 + i * 30000);
    play(state, "bob place -> OK rank=1 state=waiting estimate=unknown\n");
}

/* Q11, Q6: next_poll grows with the rank, carries jitter, and stays under half the lease whatever the rank. */
static void
the_next_poll_grows_with_the_rank_and_stays_under_half_the_lease(void **state)
{
    play(state, "queue 0 policy admit_batch=1\n"
                "audit off\n"
                "@1000 u0 join -> OK state=active\n"
                "@1000 u1 join -> OK rank=1 next_poll>=1000 next_poll<=1300\n");
    for (unsigned i = 2; i < 4000; i++)
        play_format(state, "u%u join -> OK rank=%u next_poll>=1000 next_poll<150000\n", i, i);
    play(state, "u1000 place -> OK rank=1000 next_poll>=21000 next_poll<=26250\n"
                "u2000 place -> OK rank=2000 next_poll>=41000 next_poll<=51250\n"
                "u3999 place -> OK rank=3999 next_poll>60000 next_poll<=75000\n"
                "audit on\n");
}

/* Q6: the constraint between the polling policy and every queue's lease, at both sides of its edge. */
static void
polls_must_fit_twice_into_every_lease(void **state)
{
    play(state, "@1000 queue 0 policy waiting_lease_ms=150000 -> POLICY_CONFLICT\n"
                "queue 0 policy waiting_lease_ms=150002\n"
                "policy poll_ms_max=60001 -> POLICY_CONFLICT\n"
                "admin put_queue queue=2 name=second -> OK created=yes\n"
                "queue 0 policy waiting_lease_ms=86400000\n"
                "policy poll_ms_max=120000 -> POLICY_CONFLICT detail=2\n" /* 150000 is half of queue 2's lease */
                "policy poll_ms_max=119999\n"
                "queue 2 policy waiting_lease_ms=299996 -> POLICY_CONFLICT\n"
                "queue 2 policy waiting_lease_ms=299998\n"
                "policy poll_ms_min=60000 poll_ms_max=60000\n"
                "policy poll_ms_max=59999 -> POLICY_CONFLICT\n"
                "policy poll_ms_min=59999 poll_ms_max=59999\n");
}

/* Q6: a new queue begins with the usual lease, which must fit the house's polls like any other; a name may change whatever
 * they are. */
static void
a_new_queue_must_fit_the_polls_of_the_house(void **state)
{
    play(state, "queue 0 policy waiting_lease_ms=86400000\n"
                "policy poll_ms_max=120000\n" /* with its jitter 150000: half of the usual lease */
                "@1000 admin put_queue queue=2 name=second -> POLICY_CONFLICT detail=2\n"
                "admin queues first_page=yes -> OK count=1\n"
                "admin put_queue queue=0 name=renamed -> OK created=no\n"
                "admin put_queue queue=2 name='' -> POLICY_CONFLICT\n" /* the upper one in results.def */
                "policy poll_ms_max=119999\n"
                "admin put_queue queue=2 name=second -> OK created=yes\n"
                "policy poll_ms_max=120000 -> POLICY_CONFLICT detail=2\n");
}

/* Q7: the constraint between active_ms and active_total_ms. */
static void
active_time_is_never_longer_than_the_total(void **state)
{
    play(state, "@1000 queue 0 policy active_ms=1800001 -> POLICY_CONFLICT\n"
                "queue 0 policy active_ms=1800000\n"
                "queue 0 policy active_total_ms=1799999 -> POLICY_CONFLICT\n");
}

/* --- tokens ------------------------------------------------------------------------------------------------ */
/* T2, Q12, Q13: what each state of a token may do. */
static void
only_an_active_token_may_see_dates_hold_charge_and_pay(void **state)
{
    play(state, "house\n"
                "queue 0 policy admit_batch=1 active_max=1\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 bob join -> OK state=waiting\n"
                "@1000 cat join -> OK state=waiting\n"
                "@1000 ann dates concert=1 -> OK date=1\n"
                "@1000 bob dates concert=1 -> TOKEN_WAITING retry_after>0 detail=1\n"
                "@1000 cat seats concert=1 date=1 -> TOKEN_WAITING retry_after>0 detail=2\n"
                "@1000 bob reserve concert=1 date=1 seat=1 -> TOKEN_WAITING\n"
                "@1000 bob reserve_best concert=1 date=1 count=1 grade=255 -> TOKEN_WAITING\n"
                "@1000 bob swap concert=1 date=1 seat=1 reservation=1 -> TOKEN_WAITING\n"
                "@1000 bob release reservation=1 -> TOKEN_WAITING\n"
                "@1000 bob holds -> TOKEN_WAITING\n"
                "@1000 bob charge amount=1 -> TOKEN_WAITING\n"
                "@1000 bob balance -> TOKEN_WAITING\n"
                "@1000 bob pay reservation=1 -> TOKEN_WAITING\n"
                "@1000 bob refund payment=1 -> TOKEN_WAITING\n"
                "@1000 bob history -> TOKEN_WAITING\n"
                "@1000 bob receipt payment=1 -> TOKEN_WAITING\n"
                "@1000 bob lookup id=x -> REQUEST_NOT_FOUND\n"
                "@1000 bob concerts -> OK concert=1\n"
                "@1000 bob plan concert=1 date=1 -> OK\n"
                "@2000 bob leave -> OK\n"
                "@2000 bob dates concert=1 -> TOKEN_EXPIRED detail=4\n"
                "@121000 ann balance -> OK balance=0\n"
                "@601000 ann balance -> TOKEN_EXPIRED detail=3\n");
}

/* Q13: balance, history, receipt and refund also take a token that its own payment has used; nothing else does. */
static void
a_used_token_may_still_read_what_it_bought(void **state)
{
    play(state, "house\n"
                "@1000 ann join -> OK\n"
                "@1000 ann charge amount=1500 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7 -> OK\n"
                "@2000 ann pay reservation=ann.1 -> OK\n"
                "@2000 ann balance -> OK balance=500\n"
                "@2000 ann history -> OK\n"
                "@2000 ann receipt payment=ann.1 -> OK receipt.seat=7\n"
                "@2000 ann dates concert=1 -> TOKEN_USED\n"
                "@2000 ann seats concert=1 date=1 -> TOKEN_USED\n"
                "@2000 ann reserve concert=1 date=1 seat=1 -> TOKEN_USED\n"
                "@2000 ann holds -> TOKEN_USED\n"
                "@2000 ann charge amount=1 -> TOKEN_USED\n"
                "@2000 ann pay reservation=ann.1 -> TOKEN_USED\n"
                "@2000 ann refund payment=ann.1 -> OK amount=1000\n"
                "@2000 ann balance -> OK balance=1500\n");
}

/* Q12: a token of another queue than the concert's. */
static void
a_token_of_another_queue_is_refused(void **state)
{
    play(state, "house\n"
                "house concert=2 plan=2 queue=2\n"
                "@1000 ann join queue=0 -> OK queue=0 state=active\n"
                "@1000 ann dates concert=2 -> TOKEN_OTHER_QUEUE\n"
                "@1000 ann reserve concert=2 date=1 seat=1 -> TOKEN_OTHER_QUEUE\n"
                "@1000 ann join queue=2 -> OK queue=2 position=1 state=active\n"
                "@1000 ann dates concert=2 -> OK\n"
                "@1000 ann dates concert=1 -> TOKEN_OTHER_QUEUE\n"
                "@1000 ann dates concert=1 token=queue:0 -> OK\n"
                "@1000 ann reserve concert=2 date=1 seat=1 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1 token=queue:0 -> OK\n"
                "@1000 ann release reservation=ann.1 token=queue:0 -> TOKEN_OTHER_QUEUE\n"
                "@1000 ann pay reservation=ann.1 token=queue:0 -> TOKEN_OTHER_QUEUE\n"
                "@1000 ann swap concert=1 date=1 reservation=ann.1 seat=2 token=queue:0 -> TOKEN_OTHER_QUEUE\n"
                "@1000 ann swap concert=1 date=1 reservation=ann.1 seat=51 token=queue:0 -> TOKEN_OTHER_QUEUE\n"
                "@1000 ann pay reservation=ann.1,ann.1 token=queue:0 -> TOKEN_OTHER_QUEUE\n"
                "@1000 ann pay reservation=ann.1,99 token=queue:0 -> TOKEN_OTHER_QUEUE\n");
}

/* Q12: of several results the one higher in results.def: USED and EXPIRED before OTHER_QUEUE before WAITING. */
static void
the_tokens_results_stand_in_their_order(void **state)
{
    play(state, "house price=0\n"
                "house concert=2 plan=2 queue=2\n"
                "queue 0 policy admit_batch=1\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 ann reserve concert=1 date=1 seat=1 -> OK\n"
                "@1000 ann pay reservation=ann.1 -> OK\n"
                "@1000 ann dates concert=2 -> TOKEN_USED\n"
                "@1000 bob join -> OK state=waiting\n"
                "@1000 bob dates concert=2 -> TOKEN_OTHER_QUEUE\n"
                "@1000 bob dates concert=9 -> TOKEN_WAITING\n"
                "@1000 bob leave -> OK\n"
                "@1000 bob dates concert=2 -> TOKEN_EXPIRED\n"
                "@1000 bob dates concert=9 -> TOKEN_EXPIRED\n");
}

/* M7, Q12: the request id is looked at before the token's state: MISMATCH before USED. */
static void
the_request_id_is_judged_before_the_tokens_state(void **state)
{
    play(state, "house price=0\n"
                "@1000 ann join -> OK\n"
                "@1000 ann charge amount=5 id=c -> OK balance=5\n"
                "@1000 ann reserve concert=1 date=1 seat=1 id=r -> OK\n"
                "@1000 ann pay reservation=ann.1 id=p -> OK\n"
                "@1000 ann charge amount=6 id=c -> MISMATCH\n"
                "@1000 ann charge amount=5 id=c -> OK replayed balance=5\n"
                "@1000 ann reserve concert=1 date=1 seat=1 id=r -> OK replayed seat=1\n"
                "@1000 ann reserve concert=1 date=1 seat=2 id=r -> MISMATCH\n"
                "@1000 ann charge amount=6 -> TOKEN_USED\n");
}

/* Two queues are two lines: places, ranks, admissions and modes are apart. */
static void
queues_do_not_know_each_other(void **state)
{
    play(state, "admin put_queue queue=2 name=second -> OK\n"
                "queue 0 policy admit_batch=1\n"
                "queue 2 policy admit_batch=1\n"
                "@1000 ann join queue=0 -> OK position=1 state=active\n"
                "@1000 bob join queue=2 -> OK position=1 state=active\n"
                "@1000 ann join queue=2 -> OK position=2 rank=1 queue=2\n"
                "@1000 bob join queue=0 -> OK position=2 rank=1 queue=0\n"
                "@2000 admin set_mode queue=2 mode=frozen -> OK\n"
                "@31000 bob place token=queue:0 -> OK state=active\n"
                "@31000 ann place token=queue:2 -> OK state=waiting sale=frozen\n"
                "@31000 ann place token=queue:0 -> OK state=active sale=open\n");
}

/* --- the tick ---------------------------------------------------------------------------------------------- */
/* DESIGN 3: a tick does a bounded amount; the next batches go on, and the order stays. */
static void
a_tick_is_bounded_and_the_next_goes_on(void **state)
{
    play(state, "policy tick_max=2\n"
                "queue 0 policy admit_batch=5\n"
                "@1000 tick\n");
    for (unsigned i = 1; i <= 10; i++)
        play_format(state, "u%u join -> OK position=%u\n", i, i);
    play(state, "wake off\n"
                "@31000 tick\n"
                "events admitted:position=6 admitted:position=7\n"
                "tick\n"
                "events admitted:position=8 admitted:position=9\n"
                "tick\n"
                "events admitted:position=10\n"
                "tick\n"
                "events none\n"
                "wake on\n"
                "@61000 u10 place -> OK state=active\n");
}

/* DESIGN 3: the bound counts ends and admissions alike. */
static void
a_tick_ends_no_more_than_its_bound(void **state)
{
    play(state, "house\n"
                "policy hold_ms=5000 tick_max=2\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1..4 -> OK until=6000\n"
                "wake off\n"
                "@6000 tick\n"
                "events hold_expired:seat=1 hold_expired:seat=2\n"
                "tick\n"
                "events hold_expired:seat=3 hold_expired:seat=4\n"
                "tick\n"
                "events none\n");
}

/* H1, Q5, Q7: truth does not wait for the tick: what is due is over for everybody, swept or not. */
static void
what_is_due_is_over_before_it_is_swept(void **state)
{
    play(state, "house\n"
                "policy tick_max=1 hold_ms=5000\n"
                "wake off\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 bob join -> OK state=active\n"
                "@1000 cat join -> OK state=active\n"
                "@1000 ann reserve concert=1 date=1 seat=1,2,3 -> OK until=6000\n"
                "@2000 bob reserve concert=1 date=1 seat=4 -> OK until=7000\n"
                "@7000 ann holds -> OK count=0\n"
                "@7000 cat seats concert=1 date=1 -> OK free=1..50\n"
                "@7000 ann holds -> OK count=0\n"
                "@7000 bob holds -> OK count=0\n"
                "@7000 cat reserve concert=1 date=1 seat=1..4 -> OK until=12000\n"
                "@7000 bob pay reservation=bob.1 -> HOLD_EXPIRED\n"
                "@200000 cat place -> OK state=active\n"
                "@601000 cat place -> OK state=expired\n"
                "@601000 ann reserve concert=1 date=1 seat=7 -> TOKEN_EXPIRED\n"
                "@601000 cat join -> OK state=active\n");
}

/* --- fetching ahead ---------------------------------------------------------------------------------------- */
/* Who carries a batch out reads so many commands ahead as a hint has steps. A holder's payment has the longest way: from
 * the token's place to its user, to the hold, to its date and seat. */
static void
a_hint_of_a_payment_comes_to_its_seat_in_time(void **state)
{
    play(state, "house\n"
                "@1000 ann join -> OK state=active position=1\n"
                "@1000 ann charge amount=500 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7 -> OK\n");
    struct core *core = core_open(play_store(state));
    const usher_pay_request pay = {.request_id = {{1}}};
    const struct core_request request = {.opcode = USHER_OPCODE_PAY,
                                         .asker = {.role = USHER_ROLE_GATEWAY, .has_token = true, .position = 1},
                                         .body = &pay};
    struct core_hint hint;
    unsigned steps = 1;

    assert_non_null(core);
    core_hint_begin(core, &request, &hint);
    while (core_hint_on(core, &hint))
        steps++;
    assert_in_range(steps, 1, CORE_HINT_STEPS);
    assert_non_null(hint.way[CORE_HINT_BLOCK].record);
    core_close(core);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_scene(a_pause_stops_admission_and_nothing_else),
        cmocka_unit_test_scene(a_freeze_stops_every_clock_of_the_queue),
        cmocka_unit_test_scene(a_payment_refused_by_a_freeze_stays_refused_under_its_id),
        cmocka_unit_test_scene(a_freeze_lets_people_leave_release_and_charge),
        cmocka_unit_test_scene(a_freeze_may_end_in_a_pause),
        cmocka_unit_test_scene(people_gather_before_the_sale_and_are_admitted_when_it_opens),
        cmocka_unit_test_scene(at_sold_out_waiters_are_told_so),
        cmocka_unit_test_scene(the_opening_may_be_moved),
        cmocka_unit_test_scene(new_seats_reopen_a_sale_that_was_sold_out),
        cmocka_unit_test_scene(what_a_past_date_has_left_keeps_nobody_waiting),
        cmocka_unit_test_scene(what_is_left_when_a_sale_closes_keeps_nobody_waiting),
        cmocka_unit_test_scene(a_queue_whose_dates_are_all_over_has_nothing_left),
        cmocka_unit_test_scene(a_held_seat_of_another_date_keeps_the_sale_open_to_its_own_end),
        cmocka_unit_test_scene(a_house_with_a_held_seat_is_not_sold_out),
        cmocka_unit_test_scene(the_estimate_comes_from_measured_admissions),
        cmocka_unit_test_scene(without_admissions_the_estimate_is_unknown),
        cmocka_unit_test_scene(the_next_poll_grows_with_the_rank_and_stays_under_half_the_lease),
        cmocka_unit_test_scene(polls_must_fit_twice_into_every_lease),
        cmocka_unit_test_scene(a_new_queue_must_fit_the_polls_of_the_house),
        cmocka_unit_test_scene(active_time_is_never_longer_than_the_total),
        cmocka_unit_test_scene(only_an_active_token_may_see_dates_hold_charge_and_pay),
        cmocka_unit_test_scene(a_used_token_may_still_read_what_it_bought),
        cmocka_unit_test_scene(a_token_of_another_queue_is_refused),
        cmocka_unit_test_scene(the_tokens_results_stand_in_their_order),
        cmocka_unit_test_scene(the_request_id_is_judged_before_the_tokens_state),
        cmocka_unit_test_scene(queues_do_not_know_each_other),
        cmocka_unit_test_scene(a_tick_is_bounded_and_the_next_goes_on),
        cmocka_unit_test_scene(a_tick_ends_no_more_than_its_bound),
        cmocka_unit_test_scene(what_is_due_is_over_before_it_is_swept),
        cmocka_unit_test_scene(a_hint_of_a_payment_comes_to_its_seat_in_time),
    };
    return usher_test_main(argc, argv, tests);
}
