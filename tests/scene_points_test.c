/* scene_points_test.c: scenes of points and payment: P1 to P3, B1, B2, M1 to M10. play.h says how a scene reads. */
#include "tests/play.h"

#include <stdio.h>

/* --- charging ---------------------------------------------------------------------------------------------- */
/* P1, P2, M2: charged points are in the balance at once, and in the ledger for ever. */
static void
points_are_charged_and_read(void **state)
{
    play(state, "@1000 ann join -> OK\n"
                "@1000 ann balance -> OK balance=0\n"
                "@1000 ann charge amount=100 -> OK balance=100 entry_no=1\n"
                "events charged:user=ann:amount=100\n"
                "@2000 ann charge amount=50 -> OK balance=150 entry_no=2\n"
                "@2000 ann balance -> OK balance=150\n"
                "@2000 admin ledger user=ann -> OK balance=150 more=no entry_no=2,1 kind=charge amount=50,100"
                "  balance=150 at=2000,1000 payment_id=0\n"
                "@2000 admin info -> OK top_ups=-150 sales=0 ledger_sum=0 entry_count=2\n");
}

/* Q13: terminals, admins and gateways may charge for a user who has no place at all. */
static void
a_charge_needs_no_place_in_line(void **state)
{
    play(state, "@1000 gateway charge user=ann amount=100 -> OK balance=100\n"
                "@1000 desk charge user=ann amount=20 -> OK balance=120\n"
                "@1000 admin charge user=ann amount=3 -> OK balance=123\n"
                "@1000 desk balance user=ann -> OK balance=123\n"
                "@1000 desk balance user=bob -> OK balance=0\n"
                "@1000 ann charge token=none amount=7 -> OK balance=130\n");
}

/* M1: zero, negative, above charge_max: refused, nothing changed. Both sides of each edge. */
static void
an_amount_is_positive_and_not_above_the_largest_charge(void **state)
{
    play(state, "@1000 ann join -> OK\n"
                "@1000 ann charge amount=0 -> AMOUNT_INVALID\n"
                "@1000 ann charge amount=-1 -> AMOUNT_INVALID\n"
                "@1000 ann charge amount=-9223372036854775808 -> AMOUNT_INVALID\n"
                "@1000 ann charge amount=1000000001 -> AMOUNT_TOO_LARGE detail=1000000000\n"
                "@1000 ann charge amount=most -> AMOUNT_TOO_LARGE\n"
                "events none\n"
                "@1000 ann balance -> OK balance=0\n"
                "@1000 ann charge amount=1 -> OK balance=1\n"
                "@1000 ann charge amount=1000000000 -> OK balance=1000000001\n"
                "@1000 admin ledger user=ann -> OK count=2\n");
}

/* M1: a balance stays within 0 .. 2^53-1. */
static void
a_balance_never_goes_above_its_limit(void **state)
{
    play(state, "policy charge_max=9007199254740991\n"
                "@1000 ann join -> OK\n"
                "@1000 ann charge amount=9007199254740992 -> AMOUNT_TOO_LARGE\n"
                "@1000 ann charge amount=9007199254740990 -> OK balance=9007199254740990\n"
                "@1000 ann charge amount=2 -> BALANCE_TOO_LARGE detail=9007199254740991\n"
                "@1000 ann charge amount=9007199254740991 -> BALANCE_TOO_LARGE\n"
                "@1000 ann charge amount=1 -> OK balance=9007199254740991\n"
                "@1000 ann charge amount=1 -> BALANCE_TOO_LARGE\n"
                "@1000 bob charge token=none amount=9007199254740991 -> OK\n" /* the house's account is signed */
                "@1000 admin info -> OK top_ups=-18014398509481982 ledger_sum=0\n");
}

/* P3, S5: a hundred charges of one user in one batch all succeed, in one order, and none is lost. */
static void
a_hundred_charges_at_once_are_all_counted(void **state)
{
    char lines[100 * 96];
    size_t length = 0;

    play(state, "@1000 ann join -> OK\n");
    for (unsigned i = 1; i <= 100; i++)
        length += (size_t)snprintf(lines + length, sizeof lines - length, "%sann charge amount=%u -> OK balance=%u\n",
                                   i == 1 ? "" : "& ", i, i * (i + 1) / 2);
    play(state, lines);
    play(state, "ann balance -> OK balance=5050\n"
                "admin info -> OK entry_count=100 top_ups=-5050\n"
                "admin ledger user=ann -> OK count=100 more=no\n");
}

/* P3: charges and payments of one user in one batch, in some serial order. */
static void
charges_and_spends_at_once_have_one_order(void **state)
{
    play(state, "house price=1000\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7 -> OK\n"
                "@1000 ann charge amount=400 -> OK balance=400\n"
                "& ann charge amount=599 -> OK balance=999\n"
                "& ann pay reservation=ann.1 -> NOT_ENOUGH_POINTS detail=1\n"
                "& ann charge amount=1 -> OK balance=1000\n"
                "& ann pay reservation=ann.1 -> OK amount=1000 balance=0\n"
                "& gateway charge user=ann amount=5 -> OK balance=5\n"
                "ann balance -> OK balance=5\n");
}

/* --- request ids ------------------------------------------------------------------------------------------- */
/* M3: the same id and body give the first answer again; another body or kind is a mismatch. */
static void
a_charge_sent_twice_is_one_charge(void **state)
{
    play(state, "@1000 ann join -> OK\n"
                "@1000 ann charge amount=100 id=c -> OK balance=100 entry_no=1\n"
                "@2000 ann charge amount=1 -> OK balance=101\n"
                "@3000 ann charge amount=100 id=c -> OK replayed balance=100 entry_no=1\n"
                "events none\n"
                "@3000 ann charge amount=101 id=c -> MISMATCH\n"
                "@3000 ann leave id=c -> MISMATCH\n"
                "@3000 ann balance -> OK balance=101\n");
}

/* M3: the fingerprint leaves the token out: a retry under a newer token, or none, is the same request. */
static void
a_retry_may_carry_another_token(void **state)
{
    play(state, "@1000 ann join -> OK\n"
                "@1000 ann charge amount=100 id=c -> OK balance=100\n"
                "@1000 ann leave -> OK\n"
                "@1000 ann join -> OK position=2\n"
                "@1000 ann charge amount=100 id=c -> OK replayed balance=100\n"
                "@1000 ann charge amount=100 id=c token=ann.1 -> OK replayed balance=100\n"
                "@1000 ann charge amount=100 token=ann.1 -> TOKEN_EXPIRED\n");
}

/* M3: ids are known per user: nobody fetches another's answer. */
static void
nobody_fetches_anothers_answer(void **state)
{
    play(state, "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 ann charge amount=100 id=c -> OK balance=100\n"
                "@1000 bob charge amount=100 id=c -> OK balance=100\n"
                "@1000 bob charge amount=7 id=d -> OK balance=107\n"
                "@1000 ann lookup id=d -> REQUEST_NOT_FOUND\n"
                "@1000 bob lookup id=d -> OK opcode=charge result=OK body.balance=107 at=1000\n"
                "@1000 gateway lookup user=ann id=c -> OK body.balance=100\n"
                "@1000 gateway lookup user=zoe id=c -> REQUEST_NOT_FOUND\n"
                "@1000 admin lookup id=c -> REQUEST_NOT_FOUND\n");
}

/* M3, X3: where no user is named, ids are known per client. */
static void
an_organisers_request_is_known_by_its_client(void **state)
{
    play(state, "@1000 admin put_queue queue=5 name=five id=q -> OK created=yes\n"
                "@1000 admin put_queue queue=5 name=five id=q -> OK replayed created=yes\n"
                "@1000 admin put_queue queue=6 name=six id=q -> MISMATCH\n"
                "@1000 admin lookup id=q -> OK opcode=put_queue result=OK body.created=yes\n"
                "@1000 desk lookup user=ann id=q -> REQUEST_NOT_FOUND\n");
}

/* M4: for money a refusal is remembered as well: a late duplicate must not spend. */
static void
a_refused_charge_or_payment_stays_refused_under_its_id(void **state)
{
    play(state, "house\n"
                "@1000 ann join -> OK\n"
                "@1000 ann charge amount=0 id=zero -> AMOUNT_INVALID\n"
                "@1000 ann reserve concert=1 date=1 seat=7 -> OK\n"
                "@1000 ann pay reservation=ann.1 id=p -> NOT_ENOUGH_POINTS detail=1000\n"
                "@1000 ann charge amount=1000 -> OK\n"
                "@2000 ann pay reservation=ann.1 id=p -> NOT_ENOUGH_POINTS replayed detail=1000\n"
                "@2000 ann lookup id=p -> OK opcode=pay result=NOT_ENOUGH_POINTS at=1000 body.detail=1000\n"
                "@2000 ann lookup id=zero -> OK result=AMOUNT_INVALID\n"
                "@2000 ann charge amount=0 id=zero -> AMOUNT_INVALID replayed\n"
                "@2000 ann charge amount=1 id=zero -> MISMATCH\n"
                "@2000 ann pay reservation=ann.1 id=other -> OK amount=1000\n"
                "@2000 ann refund payment=77 id=r -> PAYMENT_NOT_FOUND\n"
                "@2000 ann refund payment=77 id=r -> PAYMENT_NOT_FOUND replayed\n");
}

/* M4: also of somebody who was never seen before. */
static void
a_strangers_refused_charge_is_remembered_as_well(void **state)
{
    play(state, "@1000 gateway charge user=zoe amount=0 id=z -> AMOUNT_INVALID\n"
                "@1000 gateway charge user=zoe amount=0 id=z -> AMOUNT_INVALID replayed\n"
                "@1000 gateway charge user=zoe amount=9 id=z -> MISMATCH\n"
                "@1000 desk refund user=yan payment=1 id=z -> PAYMENT_NOT_FOUND\n"
                "@1000 desk refund user=yan payment=1 id=z -> PAYMENT_NOT_FOUND replayed\n"
                "@1000 desk pay user=xia reservation=1 id=z -> RESERVATION_NOT_FOUND\n"
                "@1000 desk pay user=xia reservation=1 id=z -> RESERVATION_NOT_FOUND replayed\n"
                "@1000 desk balance user=zoe -> OK balance=0\n");
}

/* M4, Q12: the refusal of a token is remembered for money too: the duplicate of a charge that came too early is dead.
 */
static void
a_charge_that_came_too_early_stays_refused_under_its_id(void **state)
{
    play(state, "queue 0 policy admit_batch=1\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK state=waiting\n"
                "@1000 bob charge amount=5 id=c -> TOKEN_WAITING\n"
                "@31000 bob charge amount=5 id=c -> TOKEN_WAITING replayed\n"
                "@31000 bob charge amount=5 -> OK balance=5\n");
}

/* M3: ids of money live as long as their ledger entry; others request_id_days, ended by the tick. */
static void
answers_without_money_are_forgotten_after_their_days(void **state)
{
    play(state, "house price=0 starts=86400000000\n"
                "policy request_id_days=1\n"
                "audit off\n"
                "@1000 ann join id=j -> OK position=1\n"
                "@1000 ann charge amount=5 id=c -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7 id=r -> OK\n"
                "@1000 ann pay reservation=ann.1 id=p -> OK\n"
                "@1000 ann refund payment=ann.1 id=f -> OK\n"
                "@2000 admin put_queue queue=5 name=five id=q -> OK\n"
                "@86400999 ann join id=j -> OK replayed position=1\n"
                "@86400999 gateway lookup user=ann id=r -> OK opcode=reserve\n"
                "tick @86401000\n"
                "@86401000 gateway lookup user=ann id=j -> REQUEST_NOT_FOUND\n"
                "@86401000 gateway lookup user=ann id=r -> REQUEST_NOT_FOUND\n"
                "@86401000 gateway lookup user=ann id=c -> OK result=OK\n"
                "@86401000 gateway lookup user=ann id=p -> OK result=OK\n"
                "@86401000 gateway lookup user=ann id=f -> OK result=OK\n"
                "@86401000 admin lookup id=q -> OK\n"
                "tick @86402000\n"
                "@86402000 admin lookup id=q -> REQUEST_NOT_FOUND\n"
                "@86402000 ann join id=j -> OK position=2\n"
                "@999000000 gateway charge user=ann amount=5 id=c -> OK replayed balance=5\n"
                "audit on\n");
}

/* --- paying ------------------------------------------------------------------------------------------------ */
/* B1, M5, Q4: debit, payment record, seats owned, token used, slot freed, next admitted, events: one commit. */
static void
a_payment_is_one_step(void **state)
{
    play(state, "house price=1000\n"
                "queue 0 policy active_max=1\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK state=waiting\n"
                "@1000 ann charge amount=2500 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=8,7 -> OK\n"
                "@2000 ann pay reservation=ann.2,ann.1 -> OK payment_id=1 amount=2000 balance=500 paid_at=2000"
                "  seat=7,8 price=1000 reservation=ann.2,ann.1 concert=1 date=1\n"
                "events seat_sold:seat=7:amount=1000:payment=1 seat_sold:seat=8:payment=1"
                "  paid:user=ann:amount=2000:payment=1 admitted:user=bob\n"
                "@2000 ann place -> OK state=used\n"
                "@2000 ann balance -> OK balance=500\n"
                "@2000 bob seats concert=1 date=1 -> OK free=1..6,9..50\n"
                "@2000 bob dates concert=1 -> OK sold_count=2 held_count=0 free_count=48\n"
                "@2000 admin ledger user=ann -> OK kind=payment,charge amount=-2000,2500 balance=500 payment=1,0\n"
                "@2000 admin info -> OK top_ups=-2500 sales=2000 ledger_sum=0 payment_count=1 sold_count=2\n");
}

/* M5: seats of several dates and concerts of one queue go into one payment. */
static void
one_payment_takes_seats_of_several_dates(void **state)
{
    play(state, "house price=100 dates=2\n"
                "house concert=2 plan=2 price=7\n"
                "@1000 ann join -> OK\n"
                "@1000 ann charge amount=300 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1 -> OK\n"
                "@1000 ann reserve concert=1 date=2 seat=2 -> OK\n"
                "@1000 ann reserve concert=2 date=1 seat=3 -> OK\n"
                "@1000 ann pay reservation=ann.3,ann.1,ann.2 -> OK amount=207 concert=2,1,1 date=1,1,2 seat=3,1,2\n");
}

/* M5: sixteen seats, the most that a payment takes, fit a payment, its receipt and its remembered answer. */
static void
sixteen_seats_fit_one_payment(void **state)
{
    play(state, "house price=1 dates=4\n"
                "@1000 ann join -> OK\n"
                "@1000 ann charge amount=16 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1..4 -> OK\n"
                "@1000 ann reserve concert=1 date=2 seat=1..4 -> OK\n"
                "@1000 ann reserve concert=1 date=3 seat=1..4 -> OK\n"
                "@1000 ann reserve concert=1 date=4 seat=1..4 -> OK\n"
                "@1000 ann pay reservation=1..16 id=p -> OK amount=16 balance=0 count=16 receipt.amount=16"
                "  receipt.count=16\n"
                "@1000 ann pay reservation=1..16 id=p -> OK replayed amount=16 count=16\n"
                "@1000 ann lookup id=p -> OK opcode=pay body.count=16 body.receipt.amount=16\n");
}

/* M6, H1: at the deadline's very millisecond the hold is over and no money moves; one before, it is paid. */
static void
a_pay_at_the_deadline_is_too_late(void **state)
{
    play(state, "house price=10\n"
                "policy hold_ms=5000\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 ann charge amount=10 -> OK\n"
                "@1000 bob charge amount=10 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1 -> OK until=6000\n"
                "@1000 bob reserve concert=1 date=1 seat=2 -> OK until=6000\n"
                "@5999 ann pay reservation=ann.1 -> OK\n"
                "@6000 bob pay reservation=bob.1 -> HOLD_EXPIRED\n"
                "@6000 bob balance -> OK balance=10\n"
                "@6000 bob seats concert=1 date=1 -> OK free=2..50\n");
}

/* M6: one hold that is over refuses the whole payment; the others stay. */
static void
a_payment_takes_all_its_seats_or_none(void **state)
{
    play(state, "house price=10\n"
                "policy hold_ms=5000\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 ann charge amount=100 -> OK\n"
                "@1000 bob reserve concert=1 date=1 seat=9 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1 -> OK until=6000\n"
                "@2000 ann reserve concert=1 date=1 seat=2 -> OK until=7000\n"
                "@2000 ann pay reservation=ann.1,bob.1 -> NOT_YOURS\n"
                "@2000 ann pay reservation=ann.1,99 -> RESERVATION_NOT_FOUND\n"
                "@2000 ann pay reservation=ann.1,ann.1 -> SEAT_DUPLICATE\n"
                "@2000 ann pay -> SEATS_NONE\n"
                "tick @6000\n"
                "events hold_expired:seat=9 hold_expired:seat=1\n"
                "@6000 ann pay reservation=ann.1,ann.2 -> HOLD_EXPIRED\n"
                "events none\n"
                "@6000 ann holds -> OK seat=2\n"
                "@6000 ann balance -> OK balance=100\n"
                "@6000 ann place -> OK state=active\n"
                "@6000 ann pay reservation=ann.2 -> OK\n");
}

/* M6: not enough points changes nothing, the hold stays; the missing amount is told. Both sides of the edge. */
static void
without_enough_points_nothing_changes(void **state)
{
    play(state, "house price=1000\n"
                "@1000 ann join -> OK\n"
                "@1000 ann charge amount=1999 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1,2 -> OK\n"
                "@1000 ann pay reservation=ann.1,ann.2 -> NOT_ENOUGH_POINTS detail=1\n"
                "events none\n"
                "@1000 ann holds -> OK count=2 until=301000\n"
                "@1000 ann balance -> OK balance=1999\n"
                "@1000 ann charge amount=1 -> OK\n"
                "@1000 ann pay reservation=ann.1,ann.2 -> OK balance=0\n");
}

/* M6: paying a paid reservation under another id is told the payment. */
static void
a_paid_reservation_cannot_be_paid_again(void **state)
{
    play(state, "house price=10\n"
                "@1000 ann join -> OK\n"
                "@1000 ann charge amount=100 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1 -> OK\n"
                "@1000 ann pay reservation=ann.1 -> OK payment_id=1\n"
                "@1000 desk pay user=ann reservation=ann.1 -> ALREADY_PAID detail=1\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=2 -> OK\n"
                "@1000 ann pay reservation=ann.2,ann.1 -> ALREADY_PAID detail=1\n"
                "@1000 bob join -> OK\n"
                "@1000 bob pay reservation=ann.1 -> NOT_YOURS detail=0\n"
                "@1000 ann balance -> OK balance=90\n");
}

/* M7: a retry of a payment whose token is used by now still gets the first answer, also long after. */
static void
a_payment_retried_after_its_token_was_used_gets_the_first_answer(void **state)
{
    play(state, "house price=10\n"
                "@1000 ann join -> OK\n"
                "@1000 ann charge amount=100 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1 -> OK\n"
                "@1000 ann pay reservation=ann.1 id=p -> OK payment_id=1 amount=10 balance=90 receipt.seat=1\n"
                "@1000 ann pay reservation=ann.1 id=p -> OK replayed payment_id=1 amount=10 balance=90 receipt.seat=1"
                "  paid_at=1000\n"
                "events none\n"
                "@1000 ann pay reservation=ann.1,ann.1 id=p -> MISMATCH\n"
                "@1000 ann pay reservation=ann.1 id=q -> TOKEN_USED\n"
                "@90000000 ann pay reservation=ann.1 id=p -> OK replayed payment_id=1\n"
                "@90000000 gateway balance user=ann token=ann -> TOKEN_EXPIRED\n"
                "@90000000 desk balance user=ann -> OK balance=90\n");
}

/* M9: a price of 0 still makes a payment record. */
static void
a_free_seat_is_paid_as_well(void **state)
{
    play(state, "house price=0\n"
                "@1000 ann join -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7 -> OK price=0\n"
                "@1000 ann pay reservation=ann.1 -> OK payment_id=1 amount=0 balance=0 receipt.amount=0\n"
                "events seat_sold:amount=0 paid:amount=0\n"
                "@1000 admin ledger user=ann -> OK kind=payment amount=0 payment=1\n"
                "@1000 ann receipt payment=1 -> OK receipt.seat=7\n");
}

/* M10: the receipt names payment, user, seats, amount and time; it is read again by its owner alone. */
static void
a_receipt_is_the_ticket(void **state)
{
    play(state, "house price=10\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 ann charge amount=100 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=8,9 -> OK\n"
                "@2000 ann pay reservation=ann.1,ann.2 -> OK receipt.user=ann receipt.payment=1 receipt.amount=20"
                "  receipt.paid_at=2000 receipt.seat=8,9 receipt.concert=1 receipt.date=1\n"
                "@3000 ann receipt payment=ann.1 -> OK receipt.user=ann receipt.seat=8,9 receipt.paid_at=2000"
                "  receipt.amount=20\n"
                "@3000 bob receipt payment=ann.1 -> PAYMENT_NOT_FOUND\n"
                "@3000 ann receipt payment=2 -> PAYMENT_NOT_FOUND\n"
                "@3000 desk receipt user=zoe payment=1 -> PAYMENT_NOT_FOUND\n"
                "@3000 ann refund payment=ann.1 reservation=ann.1 -> OK\n"
                "@3000 ann receipt payment=ann.1 -> OK receipt.seat=9 receipt.amount=10\n"
                "@3000 ann refund payment=ann.1 -> OK\n"
                "@3000 ann receipt payment=ann.1 -> ALREADY_REFUNDED\n");
}

/* B1: a terminal pays for a user without a queue; the token under which a seat was held is used up by it. */
static void
a_terminal_pays_for_a_user(void **state)
{
    play(state, "house price=10\n"
                "@1000 desk charge user=ann amount=30 -> OK balance=30\n"
                "@1000 desk reserve user=ann concert=1 date=1 seat=7 -> OK\n"
                "@1000 desk pay user=bob reservation=ann.1 -> NOT_YOURS\n"
                "@1000 desk pay user=ann reservation=ann.1 id=p -> OK amount=10 balance=20 receipt.user=ann\n"
                "@1000 desk pay user=ann reservation=ann.1 id=p -> OK replayed payment_id=1\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 ann reserve concert=1 date=1 seat=8 -> OK\n"
                "@1000 desk pay user=ann reservation=ann.2 -> OK\n"
                "@1000 ann place -> OK state=used\n");
}

/* B1, Q4: one payment at a terminal may use up places in several queues; each slot goes to its own next. */
static void
one_payment_uses_every_token_that_it_pays_for(void **state)
{
    play(state, "house price=0\n"
                "house concert=2 plan=2 queue=2 price=0\n"
                "queue 0 policy active_max=1\n"
                "queue 2 policy active_max=1\n"
                "@1000 ann join queue=0 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1 -> OK\n"
                "@1000 ann join queue=2 -> OK\n"
                "@1000 ann reserve concert=2 date=1 seat=2 -> OK\n"
                "@1000 bob join queue=0 -> OK state=waiting\n"
                "@1000 cat join queue=2 -> OK state=waiting\n"
                "@2000 desk pay user=ann reservation=ann.2,ann.1 -> OK concert=2,1\n"
                "@2000 ann place token=queue:0 -> OK state=used\n"
                "@2000 ann place token=queue:2 -> OK state=used\n"
                "@2000 bob place -> OK state=active\n"
                "@2000 cat place -> OK state=active\n");
}

/* B1: whoever pays with a token has used it, also for a seat that was held without one. */
static void
a_token_is_used_by_what_it_pays(void **state)
{
    play(state, "house price=0\n"
                "@1000 desk reserve user=ann concert=1 date=1 seat=7 -> OK\n"
                "@1000 ann join -> OK state=active\n"
                "@1000 ann holds -> OK seat=7\n"
                "@1000 ann pay reservation=ann.1 -> OK\n"
                "@1000 ann place -> OK state=used\n");
}

/* --- refunds ----------------------------------------------------------------------------------------------- */
/* M8, M2: reversing entries, linked to the payment; the seat is free again at once. */
static void
a_refund_gives_the_points_back_and_frees_the_seat(void **state)
{
    play(state,
         "house price=10\n"
         "@1000 ann join -> OK\n"
         "@1000 ann charge amount=100 -> OK\n"
         "@1000 ann reserve concert=1 date=1 seat=7,8,9 -> OK\n"
         "@1000 ann pay reservation=ann.1,ann.2,ann.3 -> OK balance=70\n"
         "@2000 ann refund payment=ann.1 reservation=ann.2 id=r -> OK refund_id=1 amount=10 balance=80 seat_count=1\n"
         "events seat_released:seat=8:refund=1:payment=1 refunded:user=ann:amount=10:refund=1:payment=1\n"
         "@2000 ann refund payment=ann.1 reservation=ann.2 id=r -> OK replayed refund_id=1 balance=80\n"
         "@2000 desk seats concert=1 date=1 -> OK free=1..6,8,10..50\n"
         "@2000 bob join -> OK\n"
         "@2000 bob reserve concert=1 date=1 seat=8 -> OK\n"
         "@3000 ann refund payment=ann.1 -> OK refund_id=2 amount=20 balance=100 seat_count=2\n"
         "@3000 admin ledger user=ann -> OK kind=refund,refund,payment,charge amount=20,10,-30,100 payment=1,1,1,0\n"
         "@3000 admin info -> OK sales=0 top_ups=-100 ledger_sum=0\n");
}

/* M8: once per seat, also if the seat was sold again meanwhile. */
static void
a_seat_is_refunded_once(void **state)
{
    play(state, "house price=10\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 ann charge amount=100 -> OK\n"
                "@1000 bob charge amount=100 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7,8 -> OK\n"
                "@1000 ann pay reservation=ann.1,ann.2 -> OK\n"
                "@1000 ann refund payment=ann.1 reservation=ann.1 -> OK\n"
                "@1000 bob reserve concert=1 date=1 seat=7 -> OK\n"
                "@1000 bob pay reservation=bob.1 -> OK\n"
                "@1000 ann refund payment=ann.1 reservation=ann.1 -> ALREADY_REFUNDED\n"
                "@1000 ann refund payment=ann.1 reservation=ann.2,ann.1 -> ALREADY_REFUNDED\n"
                "@1000 ann refund payment=ann.1 reservation=ann.2,ann.2 -> SEAT_DUPLICATE\n"
                "@1000 ann refund payment=ann.1 reservation=ann.2,bob.1 -> RESERVATION_NOT_FOUND\n"
                "@1000 ann balance -> OK balance=90\n"
                "@1000 ann refund payment=ann.1 -> OK amount=10 seat_count=1\n"
                "@1000 ann refund payment=ann.1 -> ALREADY_REFUNDED\n"
                "@1000 desk seats concert=1 date=1 -> OK free=1..6,8..50\n");
}

/* M8: another's payment is none. */
static void
nobody_refunds_anothers_payment(void **state)
{
    play(state, "house price=10\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 ann charge amount=100 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7 -> OK\n"
                "@1000 ann pay reservation=ann.1 -> OK\n"
                "@1000 bob refund payment=ann.1 -> PAYMENT_NOT_FOUND\n"
                "@1000 desk refund user=bob payment=ann.1 -> PAYMENT_NOT_FOUND\n"
                "@1000 desk refund user=ann payment=0 -> PAYMENT_NOT_FOUND\n");
}

/* M8: the user until refund_until_ms before the show, not at it; terminals and admins at any time. */
static void
users_refund_until_the_window_closes_and_the_house_always(void **state)
{
    play(state, "house price=10 starts=500000 refund_until=100000\n"
                "queue 0 policy claim_ms=0\n"
                "@1000 ann join -> OK\n"
                "@1000 ann charge amount=100 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1,2,3,4 -> OK\n"
                "@1000 ann pay reservation=ann.1,ann.2,ann.3,ann.4 -> OK balance=60\n"
                "@399999 ann refund payment=ann.1 reservation=ann.1 -> OK balance=70\n"
                "@400000 ann refund payment=ann.1 reservation=ann.2 -> REFUND_CLOSED\n"
                "@400000 ann refund payment=ann.1 reservation=ann.2,ann.1 -> REFUND_CLOSED\n"
                "@400000 desk refund user=ann payment=ann.1 reservation=ann.2 -> OK balance=80\n"
                "@600000 admin refund user=ann payment=ann.1 reservation=ann.3 -> OK balance=90\n"
                "@600000 ann refund payment=ann.1 -> REFUND_CLOSED\n");
}

/* M8, M1: a refund keeps to the balance's limit as well. */
static void
a_refund_never_lifts_a_balance_above_its_limit(void **state)
{
    play(state, "house price=10\n"
                "policy charge_max=9007199254740991\n"
                "@1000 ann join -> OK\n"
                "@1000 ann charge amount=20 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7,8 -> OK\n"
                "@1000 ann pay reservation=ann.1,ann.2 -> OK balance=0\n"
                "@1000 gateway charge user=ann amount=9007199254740981 -> OK\n"
                "@1000 ann refund payment=ann.1 -> BALANCE_TOO_LARGE\n"
                "@1000 desk seats concert=1 date=1 -> OK free_count=48\n"
                "@1000 ann refund payment=ann.1 reservation=ann.1 -> OK balance=9007199254740991\n"
                "@1000 ann refund payment=ann.1 -> BALANCE_TOO_LARGE\n");
}

/* H5, M8: what comes back is what was paid, whatever the price is now. */
static void
a_refund_gives_back_what_was_paid(void **state)
{
    play(state, "house price=10\n"
                "@1000 ann join -> OK\n"
                "@1000 ann charge amount=10 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7 -> OK\n"
                "@1000 ann pay reservation=ann.1 -> OK\n"
                "@1000 admin put_date concert=1 date=1 plan=1 starts=2592000000 price=9999 -> OK\n"
                "@1000 ann refund payment=ann.1 -> OK amount=10 balance=10\n"
                "@1000 desk reserve user=bob concert=1 date=1 seat=7 -> OK price=9999\n");
}

/* --- the order of results ---------------------------------------------------------------------------------- */
/* results.def: of two that apply the upper row is sent, for pay, refund and charge. */
static void
the_upper_row_is_sent_where_several_apply(void **state)
{
    play(state, "house price=10\n"
                "policy hold_ms=5000\n"
                "@1000 ann join -> OK\n"
                "@1000 bob join -> OK\n"
                "@1000 bob reserve concert=1 date=1 seat=9 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=1,2 -> OK\n"
                "@6000 ann pay reservation=ann.1 -> HOLD_EXPIRED\n" /* not NOT_ENOUGH_POINTS */
                "@6000 ann pay reservation=ann.1,bob.1 -> NOT_YOURS\n"
                "@6000 ann pay reservation=ann.1,bob.1,88 -> RESERVATION_NOT_FOUND\n"
                "@6000 ann pay reservation=88,88 -> SEAT_DUPLICATE\n"
                "@6000 ann reserve concert=1 date=1 seat=3 -> OK\n"
                "@6000 admin set_mode queue=0 mode=frozen -> OK\n"
                "@6000 ann pay reservation=ann.3,ann.3 -> FROZEN\n"
                "@6000 ann pay reservation=88,ann.3 -> FROZEN\n"
                "@6000 ann pay reservation=bob.1,ann.3 -> FROZEN\n"
                "@6000 ann pay reservation=ann.3 -> FROZEN\n" /* before NOT_ENOUGH_POINTS */
                "@6000 ann refund payment=5 reservation=1,1 -> PAYMENT_NOT_FOUND\n"
                "@6000 admin set_mode queue=0 mode=open -> OK\n"
                "policy charge_max=9007199254740991\n"
                "@6000 ann charge amount=9007199254740991 -> OK\n"
                "policy charge_max=5\n"
                "@6000 ann charge amount=6 -> AMOUNT_TOO_LARGE\n"
                "@6000 ann charge amount=5 -> BALANCE_TOO_LARGE\n"
                "@6000 ann charge amount=0 -> AMOUNT_INVALID\n");
}

/* --- history ----------------------------------------------------------------------------------------------- */
static void
consume(void **state, uint32_t most, enum store_step expected)
{
    assert_int_equal(store_consumer_step(play_store(state), most), expected);
}

/* B2: history follows the events afterwards; stopped, it delays nothing; it catches up without loss or doubling. */
static void
history_follows_the_payments_and_never_delays_them(void **state)
{
    play(state, "house price=10\n"
                "@1000 ann join -> OK\n"
                "@1000 ann charge amount=100 -> OK\n"
                "@1000 ann reserve concert=1 date=1 seat=7,8 -> OK\n"
                "@2000 ann pay reservation=ann.1,ann.2 -> OK\n"
                "@2000 ann history -> OK count=0 written_event_no=0 more=no\n");
    store_consumer_fail(play_store(state), 2);
    consume(state, 1000, STORE_STEP_FAILED);
    consume(state, 1000, STORE_STEP_FAILED);
    play(state, "@3000 ann history -> OK count=0 written_event_no=0\n"
                "@3000 ann refund payment=ann.1 reservation=ann.1 -> OK\n");
    while (store_consumer_step(play_store(state), 1) == STORE_STEP_DONE)
        ; /* as slowly as can be: one event a step */
    consume(state, 1000, STORE_STEP_NOTHING);
    play(state, "@3000 ann history -> OK kind=payment,payment,refund seat=7,8,7 amount=10,10,-10 payment=1 refund=0,0,1"
                "  at=2000,2000,3000 reservation=ann.1,ann.2,ann.1 concert=1 date=1 more=no\n"
                "@3000 desk history user=bob -> OK count=0\n"
                "@3000 ann refund payment=ann.1 -> OK\n"
                "@3000 ann history -> OK count=3\n");
    consume(state, 1000, STORE_STEP_DONE);
    play(state, "@3000 ann history -> OK kind=payment,payment,refund,refund seat=7,8,7,8\n");
}

/* B2: pages of history never split an event's rows. */
static void
a_long_history_comes_in_pages(void **state)
{
    play(state, "house price=1 dates=30\n"
                "policy seats_per_request=16 seats_per_user=16\n"
                "@1000 desk charge user=ann amount=1000 -> OK\n");
    for (unsigned date = 1; date <= 10; date++)
        play_format(state,
                    "desk reserve user=ann concert=1 date=%u seat=1..10 -> OK\n"
                    "desk pay user=ann reservation=%u..%u -> OK\n",
                    date, date * 10 - 9, date * 10);
    consume(state, 1000, STORE_STEP_DONE);
    play(state, "desk history user=ann -> OK count=60 more=yes amount=1\n");
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_scene(points_are_charged_and_read),
        cmocka_unit_test_scene(a_charge_needs_no_place_in_line),
        cmocka_unit_test_scene(an_amount_is_positive_and_not_above_the_largest_charge),
        cmocka_unit_test_scene(a_balance_never_goes_above_its_limit),
        cmocka_unit_test_scene(a_hundred_charges_at_once_are_all_counted),
        cmocka_unit_test_scene(charges_and_spends_at_once_have_one_order),
        cmocka_unit_test_scene(a_charge_sent_twice_is_one_charge),
        cmocka_unit_test_scene(a_retry_may_carry_another_token),
        cmocka_unit_test_scene(nobody_fetches_anothers_answer),
        cmocka_unit_test_scene(an_organisers_request_is_known_by_its_client),
        cmocka_unit_test_scene(a_refused_charge_or_payment_stays_refused_under_its_id),
        cmocka_unit_test_scene(a_strangers_refused_charge_is_remembered_as_well),
        cmocka_unit_test_scene(a_charge_that_came_too_early_stays_refused_under_its_id),
        cmocka_unit_test_scene(answers_without_money_are_forgotten_after_their_days),
        cmocka_unit_test_scene(a_payment_is_one_step),
        cmocka_unit_test_scene(one_payment_takes_seats_of_several_dates),
        cmocka_unit_test_scene(sixteen_seats_fit_one_payment),
        cmocka_unit_test_scene(a_pay_at_the_deadline_is_too_late),
        cmocka_unit_test_scene(a_payment_takes_all_its_seats_or_none),
        cmocka_unit_test_scene(without_enough_points_nothing_changes),
        cmocka_unit_test_scene(a_paid_reservation_cannot_be_paid_again),
        cmocka_unit_test_scene(a_payment_retried_after_its_token_was_used_gets_the_first_answer),
        cmocka_unit_test_scene(a_free_seat_is_paid_as_well),
        cmocka_unit_test_scene(a_receipt_is_the_ticket),
        cmocka_unit_test_scene(a_terminal_pays_for_a_user),
        cmocka_unit_test_scene(one_payment_uses_every_token_that_it_pays_for),
        cmocka_unit_test_scene(a_token_is_used_by_what_it_pays),
        cmocka_unit_test_scene(a_refund_gives_the_points_back_and_frees_the_seat),
        cmocka_unit_test_scene(a_seat_is_refunded_once),
        cmocka_unit_test_scene(nobody_refunds_anothers_payment),
        cmocka_unit_test_scene(users_refund_until_the_window_closes_and_the_house_always),
        cmocka_unit_test_scene(a_refund_never_lifts_a_balance_above_its_limit),
        cmocka_unit_test_scene(a_refund_gives_back_what_was_paid),
        cmocka_unit_test_scene(the_upper_row_is_sent_where_several_apply),
        cmocka_unit_test_scene(history_follows_the_payments_and_never_delays_them),
        cmocka_unit_test_scene(a_long_history_comes_in_pages),
    };
    return usher_test_main(argc, argv, tests);
}
