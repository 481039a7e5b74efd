/* fake_test.c: the integrators' test double itself: a whole purchase, every fault, pushes, what it says of itself. The
 * language of its script is fake_script_test.c's. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_buy.h"

/* A house and a client of it. */
struct scene {
    usher_fake *fake;
    usher_secret secret;
    usher_options options;
    usher_client *client;
};

static struct scene *
scene_begin(const usher_fake_options *house)
{
    struct scene *scene = calloc(1, sizeof *scene);
    char why[200] = "";

    assert_non_null(scene);
    usher_key_make(&scene->secret);
    scene->fake = usher_fake_start(house, why, sizeof why);
    if (scene->fake == NULL)
        fail_msg("%s", why);
    scene->options.server = usher_fake_address(scene->fake);
    scene->options.secret = &scene->secret;
    scene->options.server_key = usher_fake_key(scene->fake);
    scene->options.timeout_ms = 20000; /* a bound for slow machines; nothing waits for it */
    scene->options.retry_ms_least = 1;
    scene->options.retry_ms_most = 4;
    return scene;
}

static struct scene *
scene_with(const char *script)
{
    return scene_begin(&(usher_fake_options){.script = script});
}

static void
scene_open(struct scene *scene)
{
    usher_status status = usher_client_open(&scene->options, &scene->client);

    if (status != USHER_STATUS_ANSWERED)
        fail_msg("%s", usher_client_error(scene->client));
}

static void
scene_end(struct scene *scene)
{
    usher_client_close(scene->client);
    usher_fake_stop(scene->fake);
    free(scene);
}

static usher_fake_figures
look(struct scene *scene)
{
    usher_fake_figures figures;

    usher_fake_look(scene->fake, &figures);
    return figures;
}

static usher_status
charge(struct scene *scene, int64_t amount, usher_charge_reply *reply)
{
    const usher_charge_request request = {.user = {{1}}, .amount = amount};

    memset(reply, 0, sizeof *reply);
    return usher_charge(scene->client, &request, reply);
}

/* Charge 100 points under this one line of faults: it is answered in the end, and done once. */
static void
charge_under(const char *script, uint32_t attempts, uint64_t connections)
{
    struct scene *scene = scene_with(script);
    usher_charge_reply reply;

    scene_open(scene);
    assert_int_equal(charge(scene, 100, &reply), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(scene->client)->result, USHER_OK);
    assert_int_equal(reply.balance, 100);
    assert_int_equal(usher_client_answer(scene->client)->attempts, attempts);
    assert_int_equal(look(scene).applied, 1);
    assert_int_equal(look(scene).connections, connections);
    assert_int_equal(usher_fake_struck(scene->fake, NULL), 1);
    scene_end(scene);
}

/* --- a house --------------------------------------------------------------------------------------------- */
/* S1, B1, M10: a whole purchase: the ticket and the token are proved by the service's key, and the books balance. */
static void
a_ticket_is_bought_from_the_fake(void **state)
{
    struct scene *scene = scene_begin(&(usher_fake_options){.wait_polls = 3});
    struct fake_buy buy = {.user = {{7}}};
    usher_fake_figures figures;
    usher_ticket ticket;
    usher_token token;
    usher_uuid owner;

    (void)state;
    assert_int_equal(fake_buy_seat(&buy, &scene->options), USHER_OK);
    assert_int_equal(
        usher_ticket_verify(usher_fake_key(scene->fake), buy.paid.receipt, buy.paid.receipt_count, &ticket),
        USHER_VERDICT_GENUINE);
    assert_int_equal(ticket.seat_count, 1);
    assert_int_equal(ticket.amount, 2500);
    assert_memory_equal(&ticket.user, &buy.user, sizeof buy.user);
    assert_int_equal(usher_token_verify(usher_fake_key(scene->fake), buy.place.token, buy.place.token_count, &token),
                     USHER_VERDICT_GENUINE);
    assert_int_equal(usher_fake_seat_of(scene->fake, 1, 1, ticket.seat[0].seat_no, &owner), USHER_FAKE_SEAT_SOLD);
    assert_memory_equal(&owner, &buy.user, sizeof owner);
    figures = look(scene);
    assert_int_equal(figures.seats_sold, 1);
    assert_int_equal(figures.seats_free, 49);
    assert_int_equal(figures.payments, 1);
    assert_int_equal(figures.applied, 4);
    assert_int_equal(figures.points, 0);
    assert_int_equal(figures.ledger_sum, 0);
    assert_int_equal(usher_fake_requests(scene->fake, USHER_OPCODE_PLACE), 3);
    assert_int_equal(usher_fake_balance(scene->fake, &buy.user), 0);
    scene_end(scene);
}

/* M3: the same id and body is the first answer again; another body under it is MISMATCH. */
static void
a_request_id_is_applied_once(void **state)
{
    struct scene *scene = scene_with(NULL);
    usher_charge_request request = {.user = {{1}}, .amount = 100, .request_id = {{5}}};
    usher_charge_reply reply;
    usher_fake_request seen;

    (void)state;
    scene_open(scene);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(usher_charge(scene->client, &request, &reply), USHER_STATUS_ANSWERED);
        assert_int_equal(usher_client_answer(scene->client)->result, USHER_OK);
        assert_int_equal(usher_client_answer(scene->client)->replayed, i);
        assert_int_equal(reply.balance, 100);
    }
    request.amount = 200;
    assert_int_equal(usher_charge(scene->client, &request, &reply), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(scene->client)->result, USHER_MISMATCH);
    assert_int_equal(usher_fake_applied(scene->fake, &request.request_id), 1);
    assert_int_equal(usher_fake_request_at(scene->fake, 0, &seen), 1);
    assert_int_equal(seen.seen, 3);
    assert_int_equal(seen.opcode, USHER_OPCODE_CHARGE);
    assert_int_equal(usher_fake_request_at(scene->fake, 1, &seen), 0);
    assert_int_equal(usher_fake_balance(scene->fake, &request.user), 100);
    scene_end(scene);
}

/* X3, M8: what was paid is looked up by its id, listed, and given back once; the document found has no proof. */
static void
a_payment_is_looked_up_listed_and_refunded(void **state)
{
    struct scene *scene = scene_with(NULL);
    struct fake_buy buy = {.user = {{3}}};
    usher_refund_request refund = {.payment_id = 1};
    usher_refund_reply refunded;
    usher_history_request ask = {.after_event_no = 0};
    usher_history_reply history;
    usher_lookup_request lookup = {.user = {{3}}};
    usher_lookup_reply found;
    usher_fake_request seen;
    usher_pay_reply paid;

    (void)state;
    assert_int_equal(fake_buy_seat(&buy, &scene->options), USHER_OK);
    scene_open(scene);
    assert_int_equal(usher_fake_request_at(scene->fake, 3, &seen), 1);
    assert_int_equal(seen.opcode, USHER_OPCODE_PAY);
    lookup.request_id = seen.request_id;
    assert_int_equal(usher_lookup(scene->client, &lookup, &found), USHER_STATUS_ANSWERED);
    assert_int_equal(found.opcode, USHER_OPCODE_PAY);
    assert_int_equal(usher_lookup_read(&found, &paid, NULL), 1);
    assert_int_equal(paid.payment_id, buy.paid.payment_id);
    assert_true(paid.receipt_count < buy.paid.receipt_count);

    refund.token_count = ask.token_count = buy.place.token_count;
    memcpy(refund.token, buy.place.token, buy.place.token_count);
    memcpy(ask.token, buy.place.token, buy.place.token_count);
    assert_int_equal(usher_refund(scene->client, &refund, &refunded), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(scene->client)->result, USHER_OK);
    assert_int_equal(refunded.balance, 2500);
    assert_int_equal(usher_refund(scene->client, &refund, &refunded), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(scene->client)->result, USHER_ALREADY_REFUNDED);
    assert_int_equal(usher_history(scene->client, &ask, &history), USHER_STATUS_ANSWERED);
    assert_int_equal(history.row_count, 2);
    assert_int_equal(history.row[1].amount, -2500);
    assert_int_equal(look(scene).seats_free, 50);
    assert_int_equal(look(scene).ledger_sum, 0);
    scene_end(scene);
}

/* H1: the clock is the test's: a hold is over at its deadline and not before. */
static void
a_hold_ends_when_the_test_says_so(void **state)
{
    struct scene *scene = scene_begin(&(usher_fake_options){.role = USHER_ROLE_TERMINAL, .hold_ms = 1000});
    usher_reserve_request reserve = {.user = {{1}}, .concert_id = 1, .date_id = 1, .seat_count = 1, .seat = {50}};
    usher_reserve_reply held;

    (void)state;
    scene_open(scene);
    assert_int_equal(usher_reserve(scene->client, &reserve, &held), USHER_STATUS_ANSWERED);
    assert_int_equal(held.hold_count, 1);
    usher_fake_advance(scene->fake, 999);
    assert_int_equal(usher_fake_seat_of(scene->fake, 1, 1, 50, NULL), USHER_FAKE_SEAT_HELD);
    reserve.user.bytes[0] = 2;
    assert_int_equal(usher_reserve(scene->client, &reserve, &held), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(scene->client)->result, USHER_HELD);
    assert_int_equal(usher_client_answer(scene->client)->refusal.retry_after_ms, 1);
    usher_fake_advance(scene->fake, 1);
    assert_int_equal(usher_fake_seat_of(scene->fake, 1, 1, 50, NULL), USHER_FAKE_SEAT_FREE);
    assert_int_equal(usher_fake_seat_of(scene->fake, 1, 1, 51, NULL), USHER_FAKE_SEAT_NONE);
    scene_end(scene);
}

/* T3: nobody is admitted before the test says so. */
static void
waiters_are_admitted_when_the_test_says_so(void **state)
{
    struct scene *scene = scene_begin(&(usher_fake_options){.wait_polls = USHER_FAKE_WAIT_FOR_TEST});
    usher_join_request join = {.queue_id = 1};
    usher_join_reply place;
    usher_place_request ask = {.token_count = 0};
    usher_place_reply now;

    (void)state;
    scene_open(scene);
    for (uint8_t i = 1; i <= 3; i++) {
        join.user.bytes[0] = i;
        assert_int_equal(usher_join(scene->client, &join, &place), USHER_STATUS_ANSWERED);
        assert_int_equal(place.rank, i);
    }
    ask.token_count = place.token_count;
    memcpy(ask.token, place.token, place.token_count);
    assert_int_equal(usher_fake_admit(scene->fake, 1, NULL, 2), 2);
    assert_int_equal(usher_place(scene->client, &ask, &now), USHER_STATUS_ANSWERED);
    assert_int_equal(now.rank, 1);
    assert_int_equal(usher_fake_admit(scene->fake, 1, &join.user, 0), 1);
    assert_int_equal(usher_place(scene->client, &ask, &now), USHER_STATUS_ANSWERED);
    assert_int_equal(now.state, USHER_PLACE_ACTIVE);
    assert_int_equal(usher_fake_admit(scene->fake, 1, NULL, 9), 0);
    scene_end(scene);
}

/* What the house does not know is OPCODE_UNKNOWN, what the role may not do ROLE_REFUSED. */
static void
what_the_fake_does_not_know_it_says(void **state)
{
    struct scene *scene = scene_begin(&(usher_fake_options){.role = USHER_ROLE_ADMIN});
    usher_queues_reply queues;
    usher_events_reply events;

    (void)state;
    scene_open(scene);
    assert_int_equal(usher_queues(scene->client, &(usher_queues_request){.first_page = 1}, &queues),
                     USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(scene->client)->result, USHER_OPCODE_UNKNOWN);
    usher_client_close(scene->client);
    usher_fake_set_role(scene->fake, USHER_ROLE_GATEWAY);
    scene_open(scene);
    assert_int_equal(usher_events(scene->client, &(usher_events_request){.limit = 1}, &events), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(scene->client)->result, USHER_ROLE_REFUSED);
    scene_end(scene);
}

/* Options that can't be right are refused with a word about which. */
static void
bad_options_start_nothing(void **state)
{
    const usher_fake_date same[2] = {{.concert_id = 1, .date_id = 1, .row_count = 1, .seats_per_row = 1},
                                     {.concert_id = 1, .date_id = 1, .row_count = 1, .seats_per_row = 1}};
    const usher_fake_date large = {.concert_id = 1, .date_id = 1, .row_count = 200, .seats_per_row = 200};
    const usher_fake_options bad[] = {
        {.dates = same, .date_count = 2},
        {.dates = &large, .date_count = 1},
        {.date_count = 1},
        {.role = 9},
        {.reserved = {0, 1}},
        {.script = "nonsense"},
        {.client_name = "a name that is a good deal longer than it may be"},
    };
    char why[160];

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        why[0] = 0;
        assert_null(usher_fake_start(&bad[i], why, sizeof why));
        assert_string_not_equal(why, "");
        assert_null(usher_fake_start(&bad[i], NULL, 0));
    }
    usher_fake_stop(NULL);
}

/* --- faults ---------------------------------------------------------------------------------------------- */
/* M3, X3: whatever happens to one request or its answer, the client gets its answer in the end and the charge is made
 * once. Behind each line: how often the request was sent, and over how many connections. */
static void
every_fault_of_a_request_is_survived(void **state)
{
    static const struct {
        const char *script;
        uint32_t attempts;
        uint64_t connections;
    } rows[] = {
        {"charge#1: apply, lose reply, cut", 2, 2},
        {"charge#1: apply, cut", 2, 2},
        {"charge#1: apply, reset", 2, 2},
        {"charge#1: cut", 2, 2},
        {"charge#1: reset", 2, 2},
        {"charge#1: cut 1", 2, 2},
        {"charge#1: cut 31", 2, 2},
        {"charge#1: cut 40", 2, 2},
        {"charge#1: apply, reply, cut", 1, 1},
        {"charge#1: delay 5", 1, 1},
        {"charge#1: late 5", 1, 1},
        {"charge#1: late 1, cut", 2, 2},
        {"charge#1: duplicate", 1, 1},
        {"charge#1: reorder 5", 1, 1},
        {"charge#1: trickle", 1, 1},
        {"charge#1: trickle 1", 1, 1},
        {"charge#1: garble", 2, 2},
        {"charge#1: garbage", 2, 2},
        {"charge#1: garbage 4096", 2, 2},
        {"charge#1: renumber", 2, 2},
        {"charge#1: version", 2, 2},
        {"charge#1: version 2", 2, 2},
        {"charge#1: push unknown", 1, 1},
        {"charge#1: reply, push unknown", 1, 1},
        {"charge#1: push going_away", 1, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        print_message("%s\n", rows[i].script);
        charge_under(rows[i].script, rows[i].attempts, rows[i].connections);
    }
}

/* F1, F4: faults of the connection and of the handshake that a client gets over by connecting again. */
static void
every_fault_of_a_handshake_is_survived(void **state)
{
    static const struct {
        const char *script;
        uint64_t connections;
    } rows[] = {
        {"connect#1: cut", 2},
        {"connect#1: reset", 2},
        {"connect#1: delay 5", 1},
        {"hello#1: cut", 2},
        {"hello#1: cut 7", 2},
        {"hello#1: delay 5", 1},
        {"hello#1: trickle", 1},
        {"authenticate#1: cut", 2},
        {"authenticate#1: apply, reset", 2},
        {"hello#1: refuse BUSY 5", 2},
        {"authenticate#1: trickle", 1},
        {"after 7 bytes#1: cut", 2},
        {"after 200 bytes#1: reset", 2},
        {"after 40 bytes read#1: cut", 2},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        print_message("%s\n", rows[i].script);
        charge_under(rows[i].script, 1, rows[i].connections);
    }
}

/* A request that is dropped, and an answer that is lost, cost the call its deadline: maybe applied, and the id tells.
 */
static void
silence_is_maybe_and_the_id_tells_which(void **state)
{
    static const char *const scripts[] = {"charge#1: drop", "charge#1: lose reply"};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct scene *scene = scene_with(scripts[i]);
        usher_charge_request request = {.user = {{1}}, .amount = 100, .request_id = {{9}}};
        usher_charge_reply reply;

        scene_open(scene);
        usher_client_set_next_timeout(scene->client, 50);
        assert_int_equal(usher_charge(scene->client, &request, &reply), USHER_STATUS_MAYBE_APPLIED);
        assert_int_equal(usher_fake_wait(scene->fake, 1, 20000), 1);
        assert_int_equal(usher_fake_applied(scene->fake, &request.request_id), i);
        assert_true(look(scene).last_budget_ms > 0 && look(scene).last_budget_ms <= 50);
        assert_int_equal(usher_charge(scene->client, &request, &reply), USHER_STATUS_ANSWERED);
        assert_int_equal(usher_client_answer(scene->client)->replayed, i);
        assert_int_equal(usher_fake_applied(scene->fake, &request.request_id), 1);
        assert_int_equal(usher_fake_struck(scene->fake, "charge#1"), 1);
        scene_end(scene);
    }
}

/* X3: the request arrives when its connection is long gone: it is carried out all the same, once. That a later attempt is
 * answered "nothing was done" says nothing about the earlier one: maybe applied, and not BUSY. */
static void
a_request_that_comes_late_is_carried_out_without_its_connection(void **state)
{
    struct scene *scene = scene_with("charge#1: late 1, cut; charge#2-: refuse BUSY 1");
    usher_charge_request request = {.user = {{1}}, .amount = 100, .request_id = {{9}}};
    usher_charge_reply reply;
    usher_fake_figures figures;

    (void)state;
    scene_open(scene);
    usher_client_set_next_timeout(scene->client, 200);
    assert_int_equal(usher_charge(scene->client, &request, &reply), USHER_STATUS_MAYBE_APPLIED);
    for (unsigned i = 0; usher_fake_applied(scene->fake, &request.request_id) == 0; i++)
        assert_false(usher_fake_wait(scene->fake, 1000, 1) || i > 20000);
    usher_fake_script_clear(scene->fake);
    assert_int_equal(usher_charge(scene->client, &request, &reply), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(scene->client)->replayed, 1);
    figures = look(scene);
    assert_int_equal(figures.applied, 1);
    assert_int_equal(figures.points, 100);
    scene_end(scene);
}

/* F4: a refusal that the script asks for is the server's word, with its retry_after_ms. */
static void
a_scripted_refusal_is_an_answer(void **state)
{
    struct scene *scene = scene_with("charge*1: refuse BUSY 20\ncharge*1: refuse STORAGE_FULL");
    usher_charge_reply reply;

    (void)state;
    scene_open(scene);
    assert_int_equal(charge(scene, 100, &reply), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(scene->client)->result, USHER_BUSY);
    assert_int_equal(usher_client_answer(scene->client)->refusal.retry_after_ms, 20);
    assert_int_equal(charge(scene, 100, &reply), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(scene->client)->result, USHER_STORAGE_FULL);
    assert_int_equal(charge(scene, 100, &reply), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(scene->client)->result, USHER_OK);
    assert_int_equal(usher_fake_struck(scene->fake, "charge*1"), 2);
    assert_int_equal(usher_fake_struck_by(scene->fake, "refuse"), 2);
    assert_int_equal(usher_fake_struck_by(scene->fake, "drop"), 0);
    assert_true(usher_fake_struck_by(scene->fake, "no action") == UINT64_MAX);
    assert_int_equal(look(scene).refused, 2);
    scene_end(scene);
}

/* F2, M10: wrong signatures are found out, of the server, of a ticket, of a token. */
static void
forged_signatures_are_found_out(void **state)
{
    struct scene *scene = scene_with("join#1: forge; pay#1: forge");
    struct fake_buy buy = {.user = {{7}}};
    usher_token token;
    usher_join_request join = {.user = {{8}}, .queue_id = 1};
    usher_join_reply place;

    (void)state;
    assert_int_equal(fake_buy_seat(&buy, &scene->options), USHER_TOKEN_FORGED);
    scene_open(scene);
    assert_int_equal(usher_join(scene->client, &join, &place), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_token_verify(usher_fake_key(scene->fake), place.token, place.token_count, &token),
                     USHER_VERDICT_GENUINE);
    memset(&buy, 0, sizeof buy);
    buy.user.bytes[0] = 7;
    assert_int_equal(fake_buy_seat(&buy, &scene->options), USHER_OK);
    assert_int_equal(usher_ticket_verify(usher_fake_key(scene->fake), buy.paid.receipt, buy.paid.receipt_count, NULL),
                     USHER_VERDICT_FORGED);
    usher_client_close(scene->client);
    assert_int_equal(usher_fake_script(scene->fake, "hello: forge", NULL, 0), 1);
    assert_int_equal(usher_client_open(&scene->options, &scene->client), USHER_STATUS_UNTRUSTED);
    assert_int_equal(usher_fake_struck_by(scene->fake, "forge"), 3);
    scene_end(scene);
}

/* The example's way: what stands on the port is no Usher server, or one of another version. */
static void
another_kind_of_server_is_named(void **state)
{
    static const char *const scripts[] = {"connect: garbage", "hello: version", "hello: garble", "hello: garbage 16"};

    (void)state;
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        struct scene *scene = scene_with(scripts[i]);

        assert_int_equal(usher_client_open(&scene->options, &scene->client), USHER_STATUS_WRONG_SERVER);
        scene_end(scene);
    }
}

/* X3: a connection that breaks after any number of bytes in the middle of a purchase: bought once. */
static void
a_cut_after_any_byte_of_a_purchase_buys_once(void **state)
{
    char script[64];

    (void)state;
    for (unsigned bytes = 1; bytes < 2200; bytes += bytes < 400 ? 9 : 37)
        for (unsigned way = 0; way < 2; way++) {
            struct scene *scene;
            struct fake_buy buy = {.user = {{7}}};

            snprintf(script, sizeof script, "after %u bytes%s*1: cut", bytes, way == 0 ? "" : " read");
            scene = scene_with(script);
            assert_int_equal(fake_buy_seat(&buy, &scene->options), USHER_OK);
            assert_int_equal(look(scene).payments, 1);
            assert_int_equal(look(scene).seats_sold, 1);
            assert_int_equal(look(scene).points, 0);
            assert_int_equal(look(scene).ledger_sum, 0);
            scene_end(scene);
        }
}

/* --- dice ------------------------------------------------------------------------------------------------ */
/* M3, M5, X3: under random faults of every kind each buyer ends with one seat, paid once, and the books balance. */
static void
a_thousand_purchases_under_random_faults_are_each_made_once(void **state)
{
    uint64_t struck = 0, looked_up = 0;

    (void)state;
    for (unsigned house = 0; house < 20; house++) {
        struct scene *scene;
        usher_fake_figures figures;
        char script[64];

        snprintf(script, sizeof script, "seed %u: random faults p=0.15", house);
        scene = scene_with(script);
        scene->options.timeout_ms = 60; /* silence costs this much; a slow machine makes more retries of it, no less */
        for (unsigned buyer = 0; buyer < 50; buyer++) {
            struct fake_buy buy = {.user = {{1, (uint8_t)buyer}}};

            if (fake_buy_seat(&buy, &scene->options) != USHER_OK)
                fail_msg("%s: buyer %u did not get a seat", script, buyer);
            looked_up += buy.looked_up;
        }
        usher_fake_look(scene->fake, &figures);
        struck += usher_fake_struck(scene->fake, NULL);
        if (figures.seats_sold != 50 || figures.payments != 50 || figures.points != 0 || figures.ledger_sum != 0)
            fail_msg("%s: %u sold, %u payments, %u points, sum %d", script, (unsigned)figures.seats_sold,
                     (unsigned)figures.payments, (unsigned)figures.points, (int)figures.ledger_sum);
        scene_end(scene);
    }
    print_message("%u faults struck, %u payments were looked up\n", (unsigned)struck, (unsigned)looked_up);
    assert_true(struck > 500);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ticket_is_bought_from_the_fake),
        cmocka_unit_test(a_request_id_is_applied_once),
        cmocka_unit_test(a_payment_is_looked_up_listed_and_refunded),
        cmocka_unit_test(a_hold_ends_when_the_test_says_so),
        cmocka_unit_test(waiters_are_admitted_when_the_test_says_so),
        cmocka_unit_test(what_the_fake_does_not_know_it_says),
        cmocka_unit_test(bad_options_start_nothing),
        cmocka_unit_test(every_fault_of_a_request_is_survived),
        cmocka_unit_test(every_fault_of_a_handshake_is_survived),
        cmocka_unit_test(silence_is_maybe_and_the_id_tells_which),
        cmocka_unit_test(a_request_that_comes_late_is_carried_out_without_its_connection),
        cmocka_unit_test(a_scripted_refusal_is_an_answer),
        cmocka_unit_test(forged_signatures_are_found_out),
        cmocka_unit_test(another_kind_of_server_is_named),
        cmocka_unit_test(a_cut_after_any_byte_of_a_purchase_buys_once),
        cmocka_unit_test(a_thousand_purchases_under_random_faults_are_each_made_once),
    };

    return usher_test_main(argc, argv, tests);
}
