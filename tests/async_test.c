/* async_test.c: the promises of the asynchronous client, each against a house that breaks on request. */
#include "test.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "desk.h"

static bool
is_readable(int descriptor)
{
    struct pollfd watched = {.fd = descriptor, .events = POLLIN};

    return poll(&watched, 1, 0) == 1;
}

/* --- answers ------------------------------------------------------------------------------------------ */
/* F4: many requests are in flight on one connection, and each answer finds its call. */
static void
every_answer_finds_its_call(void **state)
{
    struct desk *desk = desk_start(NULL);

    (void)state;
    for (uint64_t i = 0; i < 1000; i++)
        desk_ping(desk, i * 7, 0);
    desk_until(desk, 1000);
    for (uint64_t i = 0; i < 1000; i++) {
        assert_int_equal(desk->call[i].status, USHER_STATUS_ANSWERED);
        assert_int_equal(desk->call[i].outcome, USHER_OUTCOME_ANSWERED);
        assert_int_equal(desk->call[i].echo, i * 7);
        assert_string_equal(desk->call[i].error, "");
    }
    assert_int_equal(desk_look(desk).connections, 1);
    desk_end(desk);
}

/* F4: answers that come in another order, late, twice or byte by byte are still each call's own. */
static void
answers_in_any_order_are_each_calls_own(void **state)
{
    struct desk *desk = desk_start("ping#1-40: reorder; ping#41-50: delay 20; ping#51-60: trickle");

    (void)state;
    for (uint64_t i = 0; i < 100; i++)
        desk_ping(desk, i, 0);
    desk_until(desk, 100);
    for (uint64_t i = 0; i < 100; i++) {
        assert_int_equal(desk->call[i].status, USHER_STATUS_ANSWERED);
        assert_int_equal(desk->call[i].echo, i);
    }
    assert_int_equal(desk_look(desk).connections, 1);
    desk_end(desk);
}

/* M3, F4: a refusal is an answer, with its error in words. */
static void
a_refusal_is_an_answer(void **state)
{
    struct desk *desk = desk_start(NULL);
    const struct desk_call *call = desk_await(desk, desk_charge(desk, -5, 0));

    (void)state;
    assert_int_equal(call->status, USHER_STATUS_ANSWERED);
    assert_int_equal(call->result, USHER_AMOUNT_INVALID);
    assert_non_null(strstr(call->error, "AMOUNT_INVALID"));
    desk_end(desk);
}

/* F4: without a callback completions are fetched, each once, oldest first, with their replies. */
static void
completions_without_a_callback_are_fetched(void **state)
{
    static const usher_refusal none;
    struct desk *desk = desk_start("ping#3: refuse BUSY 5");
    const usher_completion *completion;
    usher_ping_request request;
    uint64_t number[5];
    unsigned seen = 0, delivered = 0;

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        request.echo = i;
        assert_int_equal(usher_async_call(desk->async, USHER_OPCODE_PING, &request, NULL, NULL, &number[i], &number[i]),
                         USHER_STATUS_ANSWERED);
    }
    while (delivered < 5) {
        struct pollfd watched = {.fd = usher_async_descriptor(desk->async), .events = POLLIN};
        assert_int_equal(poll(&watched, 1, 30000), 1);
        delivered += (unsigned)usher_async_process(desk->async);
    }
    while ((completion = usher_async_next(desk->async)) != NULL) {
        assert_int_equal(completion->call_no, *(uint64_t *)completion->context);
        assert_int_equal(completion->status, USHER_STATUS_ANSWERED);
        if (completion->call_no == number[2]) {
            assert_int_equal(completion->answer->result, USHER_BUSY);
            assert_int_equal(completion->answer->refusal.retry_after_ms, 5);
            assert_null(completion->reply);
        } else {
            assert_int_equal(((const usher_ping_reply *)completion->reply)->echo,
                             (uint64_t *)completion->context - number);
            assert_memory_equal(&completion->answer->refusal, &none, sizeof none); /* nothing of an earlier one */
        }
        seen++;
    }
    assert_int_equal(seen, 5);
    assert_null(usher_async_next(desk->async));
    desk_end(desk);
}

/* --- trouble ------------------------------------------------------------------------------------------ */
/* M3, X3: connections are lost at every moment; every charge is made once and completed once. */
static void
every_charge_is_made_once_whatever_is_lost(void **state)
{
    static const char *const scripts[] = {
        "charge#1-: apply, lose reply, cut",
        "charge#1-: cut",
        "charge#1-: garble",
        "charge#1-: renumber",
        "charge#1-: cut 20",
        "charge#1-: reset",
        "charge#1-: garbage",
        "charge#1-: apply, reset",
        "charge#1-: late 2, cut",
        "charge#1-: duplicate",
    };

    (void)state;
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        char script[96];
        struct desk *desk;
        usher_fake_figures figures;

        snprintf(script, sizeof script, "%.*s*6%s", (int)strcspn(scripts[i], ":"), scripts[i], strchr(scripts[i], ':'));
        desk = desk_make(script);
        desk->options.common.retry_ms_least = 1;
        desk->options.common.retry_ms_most = 20;
        desk_open(desk);
        for (unsigned k = 0; k < 40; k++)
            desk_charge(desk, 1, 0);
        desk_until(desk, 40);
        figures = desk_look(desk);
        for (unsigned k = 0; k < 40; k++) {
            assert_int_equal(desk->call[k].status, USHER_STATUS_ANSWERED);
            assert_int_equal(desk->call[k].result, USHER_OK);
            assert_int_equal(usher_fake_applied(desk->fake, &desk->call[k].request_id), 1);
        }
        assert_int_equal(figures.applied, 40);
        assert_int_equal(figures.points, 40);
        assert_int_equal(figures.ledger_sum, 0);
        desk_end(desk);
    }
}

/* F4: a deadline that passes ends the call with what is known of it, and leaves the others alone. */
static void
a_deadline_ends_a_call_with_what_is_known(void **state)
{
    struct desk *desk = desk_start("charge#1: apply, lose reply; balance#1: drop");
    const usher_balance_request balance = {.user = {{1}}};
    const usher_call_options options = {.timeout_ms = 60};
    unsigned charge, ping;
    uint64_t began_ms = desk_now_ms();

    (void)state;
    charge = desk_charge(desk, 100, 60);
    ping = desk_ping(desk, 5, 0);
    desk->call_count = 3;
    assert_int_equal(usher_async_call(desk->async, USHER_OPCODE_BALANCE, &balance, &options, desk_note, &desk->call[2],
                                      &desk->call[2].call_no),
                     USHER_STATUS_ANSWERED);
    desk_until(desk, 3);
    assert_true(desk_now_ms() - began_ms >= 60);
    assert_int_equal(desk->call[charge].status, USHER_STATUS_MAYBE_APPLIED);
    assert_int_equal(desk->call[charge].outcome, USHER_OUTCOME_MAYBE_APPLIED);
    assert_int_equal(usher_fake_applied(desk->fake, &desk->call[charge].request_id), 1);
    assert_int_equal(desk->call[ping].status, USHER_STATUS_ANSWERED);
    assert_int_equal(desk->call[2].status, USHER_STATUS_NO_ANSWER);
    desk_end(desk);
}

/* F4: nobody is there: not sent at the deadline; with fail_fast as soon as every address was tried. */
static void
without_a_server_a_call_is_not_sent(void **state)
{
    struct desk *desk = desk_make(NULL);
    char address[64];

    (void)state;
    snprintf(address, sizeof address, "%s", usher_fake_address(desk->fake));
    usher_fake_stop(desk->fake);
    desk->options.common.server = address;
    desk_open(desk);
    assert_int_equal(desk_await(desk, desk_charge(desk, 1, 80))->status, USHER_STATUS_NOT_SENT);
    assert_int_equal(desk->call[0].outcome, USHER_OUTCOME_NOT_SENT);
    assert_non_null(strstr(desk->call[0].error, "Connection refused"));
    usher_async_close(desk->async);
    desk->options.common.fail_fast = 1;
    desk_open(desk);
    assert_int_equal(desk_await(desk, desk_charge(desk, 1, 0))->status, USHER_STATUS_NOT_SENT);
    usher_async_close(desk->async);
    desk->async = NULL;
    assert_true(desk_states(desk, USHER_STATE_LOST) >= 2);
    assert_int_equal(desk_states(desk, USHER_STATE_CLOSED), 2);
    desk->fake = usher_fake_start(NULL, NULL, 0);
    desk_end(desk);
}

/* F5: a key that nobody knows ends what waits, with the server's reason; the handle goes on trying. */
static void
a_client_that_is_turned_away_is_told_why(void **state)
{
    struct desk *desk = desk_make(NULL);
    usher_key other = {{1}}, own;

    (void)state;
    usher_key_public(&desk->secret, &own);
    usher_fake_set_client_key(desk->fake, &other);
    desk->options.common.retry_ms_most = 50;
    desk_open(desk);
    assert_int_equal(desk_await(desk, desk_ping(desk, 1, 0))->status, USHER_STATUS_HELLO_REFUSED);
    assert_int_equal(desk->call[0].result, USHER_CLIENT_UNKNOWN);
    usher_fake_set_client_key(desk->fake, &own);
    desk_until_state(desk, USHER_STATE_READY, 1);
    assert_int_equal(desk_await(desk, desk_ping(desk, 1, 0))->status, USHER_STATUS_ANSWERED);
    desk_end(desk);
}

/* M3: "nothing was done" is the answer to one attempt. An earlier one that was lost may have been carried out, so the
 * call is asked again, and never completed with BUSY. */
static void
busy_after_a_lost_attempt_is_not_taken_for_nothing_done(void **state)
{
    struct desk *desk = desk_make("charge#1: apply, lose reply, cut; charge#2-4: refuse BUSY 1");

    (void)state;
    desk->options.common.retry_ms_least = desk->options.common.retry_ms_most = 5;
    desk_open(desk);
    assert_int_equal(desk_await(desk, desk_charge(desk, 100, 0))->result, USHER_OK);
    assert_int_equal(desk->call[0].attempts, 5);
    assert_true(desk->call[0].replayed);
    assert_int_equal(desk->call[0].balance, 100);
    assert_int_equal(desk_look(desk).applied, 1);
    desk_end(desk);
}

/* --- bounds and pressure ------------------------------------------------------------------------------ */
/* F4: no more calls wait than may; one more is refused at once, and nothing is left of it. */
static void
the_waiting_list_is_bounded(void **state)
{
    struct desk *desk = desk_make(NULL);
    const usher_ping_request request = {.echo = 1};
    uint64_t number = 4711;

    (void)state;
    desk->options.waiting_max = 10;
    desk_open(desk);
    for (unsigned i = 0; i < 10; i++)
        desk_ping(desk, i, 0);
    assert_int_equal(usher_async_call(desk->async, USHER_OPCODE_PING, &request, NULL, desk_note, NULL, &number),
                     USHER_STATUS_QUEUE_FULL);
    assert_int_equal(number, 4711);
    assert_non_null(strstr(usher_async_error(desk->async), "10"));
    desk_until(desk, 10);
    desk_await(desk, desk_ping(desk, 11, 0));
    assert_int_equal(desk_look(desk).requests, 11);
    desk_end(desk);
}

/* F4: no more requests are unanswered than the server allows, or the options if they allow fewer. */
static void
no_more_are_in_flight_than_the_server_allows(void **state)
{
    static const uint32_t own[] = {0, 3};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct desk *desk = desk_make("ping#1-8: drop");
        const usher_fake_options house = {.in_flight_max = 5, .script = "ping#1-8: drop"};
        uint64_t expected = own[i] != 0 ? own[i] : 5;

        usher_fake_stop(desk->fake);
        desk->fake = usher_fake_start(&house, NULL, 0);
        desk->options.common.server = usher_fake_address(desk->fake);
        desk->options.in_flight_max = own[i];
        desk_open(desk);
        for (unsigned k = 0; k < 20; k++)
            desk_ping(desk, k, 300);
        desk_until_asked(desk, expected);
        for (unsigned k = 0; k < 20; k++)
            usher_async_process(desk->async);
        assert_int_equal(usher_fake_wait(desk->fake, expected + 1, 30), 0);
        desk_end(desk);
    }
}

/* F4: an answer of BUSY holds back what is sent next for as long as it says. */
static void
busy_holds_back_what_comes_next(void **state)
{
    struct desk *desk = desk_start("ping#1: refuse BUSY 150");
    uint64_t busy_ms;

    (void)state;
    assert_int_equal(desk_await(desk, desk_ping(desk, 1, 0))->result, USHER_BUSY);
    busy_ms = desk_now_ms();
    assert_int_equal(desk_await(desk, desk_ping(desk, 2, 0))->result, USHER_OK);
    assert_true(desk_now_ms() - busy_ms >= 140);
    desk_end(desk);
}

/* F4: answers of the class LATER are retried when the call asks for it. */
static void
a_call_that_may_wait_is_retried_later(void **state)
{
    struct desk *desk =
        desk_start("charge#1: refuse BUSY 5; charge#2: refuse STORAGE_FULL 5; charge#3: refuse GOING_AWAY");
    const usher_charge_request request = {.user = {{1}}, .amount = 9};
    const usher_call_options patient = {.retry_later = 1};

    (void)state;
    desk->call_count = 1;
    desk_ping(desk, 1, 0); /* index 1: sets the desk up */
    assert_int_equal(usher_async_call(desk->async, USHER_OPCODE_CHARGE, &request, &patient, desk_note, &desk->call[0],
                                      &desk->call[0].call_no),
                     USHER_STATUS_ANSWERED);
    assert_int_equal(desk_await(desk, 0)->result, USHER_OK);
    assert_int_equal(desk->call[0].attempts, 4);
    assert_int_equal(desk_look(desk).applied, 1);
    desk_end(desk);
}

/* --- cancelling and closing --------------------------------------------------------------------------- */
/* F4: what is cancelled before it was sent is never carried out; after that it may have been. Each is told once. */
static void
a_cancelled_call_is_told_so_once(void **state)
{
    struct desk *desk = desk_make("charge#1: apply, lose reply; ping#1: delay 50");
    unsigned sent, unsent;

    (void)state;
    desk->options.in_flight_max = 2;
    desk_open(desk);
    sent = desk_charge(desk, 100, 0);
    desk_ping(desk, 1, 0);
    desk_until_asked(desk, 2);
    unsent = desk_charge(desk, 1000, 0); /* one too many in flight */
    desk->submitting = true;
    assert_int_equal(usher_async_cancel(desk->async, desk->call[sent].call_no), 1);
    assert_int_equal(usher_async_cancel(desk->async, desk->call[unsent].call_no), 1);
    assert_int_equal(usher_async_cancel(desk->async, desk->call[unsent].call_no), 0);
    assert_int_equal(usher_async_cancel(desk->async, 12345), 0);
    desk->submitting = false;
    desk_until(desk, 3);
    assert_int_equal(desk->call[sent].status, USHER_STATUS_CANCELLED);
    assert_int_equal(desk->call[sent].outcome, USHER_OUTCOME_MAYBE_APPLIED);
    assert_int_equal(desk->call[unsent].status, USHER_STATUS_CANCELLED);
    assert_int_equal(desk->call[unsent].outcome, USHER_OUTCOME_NOT_SENT);
    assert_int_equal(desk_await(desk, desk_ping(desk, 3, 0))->echo, 3);
    assert_int_equal(desk_look(desk).points, 100);
    desk_end(desk);
}

/* F4: closing completes what is left, each once and with what is known, and nothing can be submitted then. */
static void
closing_completes_what_is_left(void **state)
{
    struct desk *desk = desk_make("charge#1: apply, lose reply; ping#1: drop");

    (void)state;
    desk->options.in_flight_max = 2; /* the third one waits */
    desk_open(desk);
    desk_charge(desk, 100, 0);
    desk_ping(desk, 1, 0);
    desk_until_asked(desk, 2);
    desk_charge(desk, 1000, 0);
    usher_async_close(desk->async);
    desk->async = NULL;
    assert_int_equal(desk->completed, 3);
    assert_int_equal(desk->call[0].status, USHER_STATUS_MAYBE_APPLIED);
    assert_int_equal(desk->call[1].status, USHER_STATUS_NO_ANSWER);
    assert_int_equal(desk->call[2].status, USHER_STATUS_NOT_SENT);
    assert_int_equal(desk->state[desk->state_count - 1].state, USHER_STATE_CLOSED);
    assert_int_equal(desk_look(desk).points, 100);
    desk_end(desk);
}

struct closing {
    struct desk *desk;
    usher_status late; /* of a call that was submitted during the close */
    unsigned called;
};

static void
close_in_callback(usher_async *async, const usher_completion *completion)
{
    const usher_ping_request request = {.echo = 1};
    struct closing *closing = completion->context;

    closing->called++;
    usher_async_close(async);
    closing->late = usher_async_call(async, USHER_OPCODE_PING, &request, NULL, desk_note, NULL, NULL);
}

/* F4: a handle that is closed by a callback is gone when process() returns, which says so; the others are completed. */
static void
a_callback_may_close_the_handle(void **state)
{
    struct desk *desk = desk_start("charge#1: drop");
    struct closing closing = {.desk = desk, .late = USHER_STATUS_ANSWERED};
    const usher_ping_request request = {.echo = 1};
    int processed = 0;

    (void)state;
    desk_charge(desk, 5, 0);
    assert_int_equal(
        usher_async_call(desk->async, USHER_OPCODE_PING, &request, NULL, close_in_callback, &closing, NULL),
        USHER_STATUS_ANSWERED);
    while (processed >= 0) {
        struct pollfd watched = {.fd = usher_async_descriptor(desk->async), .events = POLLIN};
        assert_int_equal(poll(&watched, 1, 30000), 1);
        processed = usher_async_process(desk->async);
    }
    assert_int_equal(closing.called, 1);
    assert_int_equal(closing.late, USHER_STATUS_CLOSED);
    assert_int_equal(desk->completed, 1);
    assert_int_equal(desk->call[0].status, USHER_STATUS_MAYBE_APPLIED);
    assert_int_equal(desk->state[desk->state_count - 1].state, USHER_STATE_CLOSED);
    desk->async = NULL;
    desk_end(desk);
}

static void
ask_again(usher_async *async, const usher_completion *completion)
{
    unsigned *left = completion->context;
    const usher_ping_request request = {.echo = *left};

    assert_int_equal(completion->status, USHER_STATUS_ANSWERED);
    if (--*left > 0)
        assert_int_equal(usher_async_call(async, USHER_OPCODE_PING, &request, NULL, ask_again, left, NULL),
                         USHER_STATUS_ANSWERED);
}

/* F4: a callback may submit the next call. */
static void
a_callback_may_submit_the_next_call(void **state)
{
    struct desk *desk = desk_start(NULL);
    const usher_ping_request request = {.echo = 1};
    unsigned left = 200;

    (void)state;
    assert_int_equal(usher_async_call(desk->async, USHER_OPCODE_PING, &request, NULL, ask_again, &left, NULL),
                     USHER_STATUS_ANSWERED);
    while (left > 0)
        desk_turn(desk);
    assert_int_equal(desk_look(desk).requests, 200);
    desk_end(desk);
}

/* --- connections -------------------------------------------------------------------------------------- */
/* X7: a server that goes away is left for the next address; what it owes still comes. */
static void
what_a_leaving_server_owes_still_comes(void **state)
{
    struct desk *desk = desk_make("charge#1: delay 200");
    usher_fake *other = usher_fake_start(NULL, NULL, 0);
    char both[96];
    unsigned owed;

    (void)state;
    snprintf(both, sizeof both, "%s,%s", usher_fake_address(desk->fake), usher_fake_address(other));
    desk->options.common.server = both;
    desk_open(desk);
    owed = desk_charge(desk, 100, 0);
    desk_until_asked(desk, 1);
    usher_fake_go_away(desk->fake, 10000);
    desk_until_state(desk, USHER_STATE_GOING_AWAY, 1);
    assert_int_equal(desk_await(desk, desk_ping(desk, 1, 0))->status, USHER_STATUS_ANSWERED);
    assert_int_equal(desk->call[owed].completions, 0);
    assert_string_equal(usher_async_identity(desk->async)->address, usher_fake_address(other));
    assert_int_equal(desk_await(desk, owed)->status, USHER_STATUS_ANSWERED);
    assert_int_equal(desk->call[owed].attempts, 1);
    assert_int_equal(desk_look(desk).points, 100);
    assert_int_equal(desk_states(desk, USHER_STATE_LOST), 0);
    desk_end(desk);
    usher_fake_stop(other);
}

/* F4: a handle says each state that its connection takes, and connects again by itself. */
static void
a_handle_connects_again_by_itself(void **state)
{
    struct desk *desk = desk_make(NULL);

    (void)state;
    desk->options.common.retry_ms_most = 50;
    desk_open(desk);
    for (unsigned i = 1; i <= 3; i++) {
        desk_until_state(desk, USHER_STATE_READY, i);
        assert_int_equal(usher_fake_cut(desk->fake), 1);
        desk_until_state(desk, USHER_STATE_LOST, i);
    }
    desk_until_state(desk, USHER_STATE_READY, 4);
    assert_int_equal(desk->state[0].state, USHER_STATE_CONNECTING);
    assert_int_equal(desk->state[1].state, USHER_STATE_READY);
    assert_int_equal(desk->state[2].state, USHER_STATE_LOST);
    assert_int_equal(desk->state[2].reason, USHER_STATUS_NOT_SENT);
    assert_int_equal(usher_async_identity(desk->async)->role, USHER_ROLE_GATEWAY);
    assert_memory_equal(&usher_async_identity(desk->async)->server_key, usher_fake_key(desk->fake), sizeof(usher_key));
    desk_end(desk);
}

/* F4: a connection that has fallen silent is asked with PING, and left when that is not answered either. */
static void
a_silent_connection_is_asked_and_then_left(void **state)
{
    struct desk *desk = desk_make("charge#1: drop; ping#1: drop");
    unsigned charge;

    (void)state;
    desk->options.heartbeat_ms = 50;
    desk_open(desk);
    charge = desk_charge(desk, 7, 0);
    assert_int_equal(desk_await(desk, charge)->result, USHER_OK);
    assert_int_equal(desk->call[charge].attempts, 2);
    assert_true(usher_fake_requests(desk->fake, USHER_OPCODE_PING) >= 1);
    assert_int_equal(desk_states(desk, USHER_STATE_LOST), 1);
    desk_end(desk);
}

/* F4: with connect_later nothing is connected before there is something to ask. */
static void
a_lazy_handle_connects_when_it_has_something_to_ask(void **state)
{
    struct desk *desk = desk_make(NULL);

    (void)state;
    desk->options.common.connect_later = 1;
    desk_open(desk);
    assert_false(is_readable(usher_async_descriptor(desk->async)));
    assert_int_equal(usher_async_process(desk->async), 0);
    assert_int_equal(desk_look(desk).connections, 0);
    assert_int_equal(desk_await(desk, desk_ping(desk, 1, 0))->status, USHER_STATUS_ANSWERED);
    assert_int_equal(desk_look(desk).connections, 1);
    desk_end(desk);
}

/* --- the descriptor ----------------------------------------------------------------------------------- */
/* F4: the descriptor is readable when there is something to do, and only then. */
static void
the_descriptor_is_readable_when_there_is_something_to_do(void **state)
{
    struct desk *desk = desk_start("any*4096: drop");
    int descriptor = usher_async_descriptor(desk->async);

    (void)state;
    assert_true(is_readable(descriptor)); /* it wants to connect */
    desk_until_state(desk, USHER_STATE_READY, 1);
    while (usher_async_process(desk->async) > 0 || is_readable(descriptor))
        continue;
    desk_ping(desk, 1, 0);
    assert_false(is_readable(descriptor)); /* that has been sent */
    assert_int_equal(usher_fake_wait(desk->fake, 1, 20000), 1);
    do
        desk_ping(desk, 2, 0);
    while (!is_readable(descriptor)); /* of what is submitted in one millisecond the rest wants to be sent together */
    desk_until_asked(desk, desk->call_count);
    usher_async_process(desk->async);
    assert_false(is_readable(descriptor)); /* nothing to do but to wait */
    usher_async_cancel(desk->async, desk->call[0].call_no);
    assert_true(is_readable(descriptor)); /* a completion is due */
    assert_int_equal(usher_async_process(desk->async), 1);
    desk_end(desk);
}

/* F4: with signal_by_socket one byte comes when there is something to do, and no other before process() was called. */
static void
a_socket_gets_one_byte_for_what_there_is_to_do(void **state)
{
    struct desk *desk = desk_make(NULL);
    uint8_t bytes[16];
    int kind;
    socklen_t size = sizeof kind;

    (void)state;
    desk->options.signal_by_socket = 1;
    desk_open(desk);
    assert_int_equal(getsockopt(usher_async_descriptor(desk->async), SOL_SOCKET, SO_TYPE, &kind, &size), 0);
    for (unsigned i = 0; i < 200; i++)
        desk_ping(desk, i, 0);
    /* A loop whose runtime takes the byte itself. */
    while (desk->completed < 200) {
        struct pollfd watched = {.fd = usher_async_descriptor(desk->async), .events = POLLIN};
        assert_int_equal(poll(&watched, 1, 30000), 1);
        assert_int_equal(recv(watched.fd, bytes, sizeof bytes, MSG_DONTWAIT), 1);
        usher_async_process(desk->async);
    }
    /* And one that leaves it to process(). */
    for (unsigned i = 0; i < 200; i++)
        desk_ping(desk, i, 0);
    desk_until(desk, 400);
    desk_end(desk);
}

/* --- rules of use ------------------------------------------------------------------------------------- */
/* F4: what can't be right is refused at once, said in words, and nothing comes of it. */
static void
what_cannot_be_right_is_refused_at_once(void **state)
{
    struct desk *desk = desk_start(NULL);
    usher_set_mode_request mode = {.mode = 77};
    usher_ping_request ping = {.echo = 1};
    usher_call_options unsound = {.unused = {1, 0}};
    usher_async_options options = desk->options;
    usher_async *async;

    (void)state;
    assert_int_equal(usher_async_call(desk->async, USHER_OPCODE_SET_MODE, &mode, NULL, desk_note, NULL, NULL),
                     USHER_STATUS_BAD_ARGUMENT);
    assert_non_null(strstr(usher_async_error(desk->async), "set_mode_request.mode"));
    assert_int_equal(usher_async_call(desk->async, USHER_OPCODE_HELLO, &ping, NULL, desk_note, NULL, NULL),
                     USHER_STATUS_BAD_ARGUMENT);
    assert_int_equal(usher_async_call(desk->async, USHER_OPCODE_WATCH_SEATS, &ping, NULL, desk_note, NULL, NULL),
                     USHER_STATUS_BAD_ARGUMENT);
    assert_int_equal(usher_async_call(desk->async, 0x7777, &ping, NULL, desk_note, NULL, NULL),
                     USHER_STATUS_BAD_ARGUMENT);
    assert_int_equal(usher_async_call(desk->async, USHER_OPCODE_PING, NULL, NULL, desk_note, NULL, NULL),
                     USHER_STATUS_BAD_ARGUMENT);
    assert_int_equal(usher_async_call(desk->async, USHER_OPCODE_PING, &ping, &unsound, desk_note, NULL, NULL),
                     USHER_STATUS_BAD_ARGUMENT);
    assert_int_equal(usher_async_call(NULL, USHER_OPCODE_PING, &ping, NULL, desk_note, NULL, NULL),
                     USHER_STATUS_BAD_ARGUMENT);
    options.in_flight_max = 4097;
    assert_int_equal(usher_async_open(&options, &async), USHER_STATUS_BAD_ARGUMENT);
    assert_non_null(strstr(usher_async_error(async), "in_flight_max"));
    assert_int_equal(usher_async_descriptor(async), -1);
    assert_int_equal(usher_async_call(async, USHER_OPCODE_PING, &ping, NULL, desk_note, NULL, NULL),
                     USHER_STATUS_BAD_ARGUMENT);
    usher_async_close(async);
    options.in_flight_max = 0;
    options.memory.allocate = (void *(*)(void *, size_t))1;
    assert_int_equal(usher_async_open(&options, &async), USHER_STATUS_BAD_ARGUMENT);
    usher_async_close(async);
    usher_async_close(NULL);
    desk_end(desk);
}

static void
block_in_callback(usher_async *async, const usher_completion *completion)
{
    usher_client *client = completion->context;
    const usher_ping_request request = {.echo = 1};
    usher_ping_reply reply;

    (void)async;
    assert_int_equal(usher_ping(client, &request, &reply), USHER_STATUS_WRONG_THREAD);
}

/* F4: a blocking call refuses to stop a loop: in a callback, and on a thread that has one. */
static void
a_blocking_call_refuses_to_stop_a_loop(void **state)
{
    struct desk *desk = desk_start(NULL);
    const usher_ping_request request = {.echo = 1};
    usher_ping_reply reply;
    usher_client *client, *other;

    (void)state;
    assert_int_equal(usher_client_open(&desk->options.common, &client), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_async_call(desk->async, USHER_OPCODE_PING, &request, NULL, block_in_callback, client, NULL),
                     USHER_STATUS_ANSWERED);
    for (int done = 0; done == 0;) {
        struct pollfd watched = {.fd = usher_async_descriptor(desk->async), .events = POLLIN};
        assert_int_equal(poll(&watched, 1, 30000), 1);
        done = usher_async_process(desk->async);
    }
    usher_loop_attach();
    assert_int_equal(usher_ping(client, &request, &reply), USHER_STATUS_WRONG_THREAD);
    assert_int_equal(usher_client_open(&desk->options.common, &other), USHER_STATUS_WRONG_THREAD);
    usher_client_close(other);
    usher_loop_detach();
    assert_int_equal(usher_ping(client, &request, &reply), USHER_STATUS_ANSWERED);
    usher_client_close(client);
    desk_end(desk);
}

static void
use_after_fork(void)
{
    struct desk *desk = desk_start(NULL);
    pid_t child = fork();
    int status;

    if (child == 0) {
        usher_async_process(desk->async);
        _exit(0);
    }
    if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status))
        _exit(1);
    abort(); /* as the child did */
}

static void
process_in_callback_now(usher_async *async, const usher_completion *completion)
{
    (void)completion;
    usher_async_process(async);
}

static void
process_in_callback(void)
{
    struct desk *desk = desk_start(NULL);
    const usher_ping_request request = {.echo = 1};

    usher_async_call(desk->async, USHER_OPCODE_PING, &request, NULL, process_in_callback_now, NULL, NULL);
    for (;;)
        desk_turn(desk);
}

static pthread_barrier_t both_inside;

static void
linger_in_callback(usher_async *async, const usher_completion *completion)
{
    (void)async;
    (void)completion;
    pthread_barrier_wait(&both_inside);
    pause();
}

static void *
intrude(void *async)
{
    pthread_barrier_wait(&both_inside);
    usher_async_process(async);
    return NULL;
}

static void
two_threads(void)
{
    struct desk *desk = desk_start(NULL);
    const usher_ping_request request = {.echo = 1};
    pthread_t thread;

    pthread_barrier_init(&both_inside, NULL, 2);
    pthread_create(&thread, NULL, intrude, desk->async);
    usher_async_call(desk->async, USHER_OPCODE_PING, &request, NULL, linger_in_callback, NULL, NULL);
    for (;;)
        desk_turn(desk);
}

/* F4: use after fork(), by two threads at once, or of process() within a callback ends the program and hides nothing.
 */
static void
breaking_the_rules_of_use_ends_the_program(void **state)
{
    (void)state;
    desk_must_abort(use_after_fork);
    desk_must_abort(process_in_callback);
    desk_must_abort(two_threads);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_answer_finds_its_call),
        cmocka_unit_test(answers_in_any_order_are_each_calls_own),
        cmocka_unit_test(a_refusal_is_an_answer),
        cmocka_unit_test(completions_without_a_callback_are_fetched),
        cmocka_unit_test(every_charge_is_made_once_whatever_is_lost),
        cmocka_unit_test(a_deadline_ends_a_call_with_what_is_known),
        cmocka_unit_test(without_a_server_a_call_is_not_sent),
        cmocka_unit_test(a_client_that_is_turned_away_is_told_why),
        cmocka_unit_test(busy_after_a_lost_attempt_is_not_taken_for_nothing_done),
        cmocka_unit_test(the_waiting_list_is_bounded),
        cmocka_unit_test(no_more_are_in_flight_than_the_server_allows),
        cmocka_unit_test(busy_holds_back_what_comes_next),
        cmocka_unit_test(a_call_that_may_wait_is_retried_later),
        cmocka_unit_test(a_cancelled_call_is_told_so_once),
        cmocka_unit_test(closing_completes_what_is_left),
        cmocka_unit_test(a_callback_may_close_the_handle),
        cmocka_unit_test(a_callback_may_submit_the_next_call),
        cmocka_unit_test(what_a_leaving_server_owes_still_comes),
        cmocka_unit_test(a_handle_connects_again_by_itself),
        cmocka_unit_test(a_silent_connection_is_asked_and_then_left),
        cmocka_unit_test(a_lazy_handle_connects_when_it_has_something_to_ask),
        cmocka_unit_test(the_descriptor_is_readable_when_there_is_something_to_do),
        cmocka_unit_test(a_socket_gets_one_byte_for_what_there_is_to_do),
        cmocka_unit_test(what_cannot_be_right_is_refused_at_once),
        cmocka_unit_test(a_blocking_call_refuses_to_stop_a_loop),
        cmocka_unit_test(breaking_the_rules_of_use_ends_the_program),
    };

    return usher_test_main(argc, argv, tests);
}
