/* instances_test.c: several usherd on one data directory, over real sockets (X4, S4). */
#define _GNU_SOURCE 1
#include "tests/test.h"

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#include "server/instances.h"
#include "tests/server.h"
#include "tests/wire.h"

#define INSTANCES   4u
#define CONNECTIONS 400u /* spread over the instances: connection c is at instance c % INSTANCES */
#define USERS       2000u
#define SEATS       200u
#define PRICE       300
#define BATCH       50u
#define INTERVAL_MS 60u
#define ACTIVE_MAX  70u
#define KILLED      3u   /* the instance that dies in the middle */
#define WINDOW      120u /* users at the line's head that poll in a round */
#define PATIENCE_MS 20000

struct buyer {
    usher_uuid user;
    uint16_t token_count;
    uint8_t token[512];
    uint64_t position, reservation_id, payment_id;
    uint32_t wire; /* over which its last request went */
    usher_id request_id;
    enum { BUYER_WAITS, BUYER_ACTIVE, BUYER_HOLDS, BUYER_OWNS } state;
};

struct house {
    struct test_server server[INSTANCES];
    struct wire admin[INSTANCES];
    uint8_t gateway_key[64];
    struct wire wire[CONNECTIONS];
    struct buyer buyer[USERS]; /* by position - 1 once all have joined */
    uint32_t sold, turn;
};

/* --- a house with several doors ------------------------------------------------------------------------------- */
static void
connect_admin(struct house *house, unsigned instance)
{
    assert_true(wire_open(&house->admin[instance], house->server[instance].port));
    assert_int_equal(wire_login(&house->admin[instance], house->server[0].admin_key), USHER_OK);
}

static struct house *
open_house(unsigned instances)
{
    struct house *house = calloc(1, sizeof *house);

    test_server_open(&house->server[0]);
    test_server_start(&house->server[0], "--quiet", NULL);
    connect_admin(house, 0);
    for (unsigned number = 1; number < instances; number++) {
        test_server_open_beside(&house->server[number], &house->server[0], number);
        test_server_start(&house->server[number], "--quiet", NULL);
        connect_admin(house, number);
    }
    return house;
}

static void
close_house(struct house *house)
{
    for (unsigned number = INSTANCES; number-- > 0;) {
        wire_close(&house->admin[number]);
        test_server_close(&house->server[number]);
    }
    free(house);
}

static void
must(struct wire *wire, uint16_t opcode, const void *ask, void *reply)
{
    assert_int_equal(wire_ask(wire, opcode, ask, reply), USHER_OK);
}

static void
set_queue_policy(struct house *house, const char *name, uint64_t value)
{
    usher_set_policy_request ask = {.request_id = wire_id(), .of_queue = USHER_FLAG_YES, .value = value};
    strcpy(ask.name, name);
    must(&house->admin[0], USHER_OPCODE_SET_POLICY, &ask, NULL);
}

static void
put_concert(struct wire *admin, const char *title)
{
    usher_put_concert_request concert = {.request_id = wire_id(), .concert_id = 1};
    strcpy(concert.title, title);
    must(admin, USHER_OPCODE_PUT_CONCERT, &concert, NULL);
}

static void
load_house(struct house *house)
{
    usher_put_plan_request plan = {.request_id = wire_id(), .plan_id = 1, .section_count = 1};
    plan.section[0] = (usher_section){.name = "Hall", .first_row = 1, .row_count = 10, .seats_per_row = SEATS / 10};
    must(&house->admin[0], USHER_OPCODE_PUT_PLAN, &plan, NULL);
    put_concert(&house->admin[1], "Four doors"); /* each at another door: what one did the next builds on */
    usher_put_date_request date = {.request_id = wire_id(),
                                   .concert_id = 1,
                                   .date_id = 1,
                                   .plan_id = 1,
                                   .starts_at_ms = house->admin[0].stamp_ms + 86400000,
                                   .price_count = 1,
                                   .price = {PRICE}};
    must(&house->admin[INSTANCES - 1], USHER_OPCODE_PUT_DATE, &date, NULL);
}

/* Invite a gateway at one instance and enrol it at another. Returns its number. */
static uint32_t
enrol_gateway(struct house *house, unsigned inviting, unsigned enrolling)
{
    uint8_t code[32], public_key[32];
    struct wire wire;
    usher_enrol_reply reply;
    usher_invite_request invite = {.request_id = wire_id(), .role = USHER_ROLE_GATEWAY, .name = "gateway"};

    crypto_sign_keypair(public_key, house->gateway_key);
    randombytes_buf(code, sizeof code);
    crypto_generichash(invite.code_hash.bytes, sizeof invite.code_hash.bytes, code, sizeof code, NULL, 0);
    must(&house->admin[inviting], USHER_OPCODE_INVITE, &invite, NULL);
    assert_true(wire_open(&wire, house->server[enrolling].port));
    assert_int_equal(wire_hello(&wire, house->gateway_key), USHER_OK);
    assert_int_equal(wire_enrol(&wire, house->gateway_key, code, &reply), USHER_OK);
    wire_close(&wire);
    return reply.client_id;
}

static bool
connect_gateway(struct house *house, struct wire *wire, uint16_t port)
{
    return wire_open(wire, port) && wire_hello(wire, house->gateway_key) == USHER_OK &&
           wire_authenticate(wire, house->gateway_key, NULL) == USHER_OK;
}

static usher_info_reply
info_of(struct house *house, unsigned instance, bool digest)
{
    usher_info_request ask = {.digest = digest};
    usher_info_reply reply;
    must(&house->admin[instance], USHER_OPCODE_INFO, &ask, &reply);
    return reply;
}

static uint64_t
monotonic_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- the sale --------------------------------------------------------------------------------------------------- */
/* The next connection, so that every request of a user goes to another instance than its last. */
static uint32_t
next_wire(struct house *house)
{
    return house->turn++ % CONNECTIONS;
}

static void
send_ask(struct house *house, struct buyer *buyer, uint16_t opcode, const void *ask)
{
    buyer->wire = next_wire(house);
    assert_int_not_equal(wire_send(&house->wire[buyer->wire], opcode, ask), 0);
}

/* Replies of one connection come in the order of the requests as far as they are of one kind; so each round asks one
 * kind of thing. Returns the result; with OK *reply is filled in. */
static unsigned
hear(struct house *house, const struct buyer *buyer, uint16_t opcode, void *reply)
{
    struct wire_frame frame;
    unsigned field_no;

    if (!wire_receive(&house->wire[buyer->wire], &frame))
        return USHER_RESULT_NONE;
    assert_int_equal(frame.opcode, opcode);
    if (frame.result == USHER_OK)
        assert_int_equal(usher_decode(usher_message_of(opcode)->reply, frame.body, frame.body_size, reply, &field_no),
                         USHER_OK);
    return frame.result;
}

static int
by_position(const void *one, const void *other)
{
    const struct buyer *left = one, *right = other;

    return left->position < right->position ? -1 : left->position > right->position;
}

static void
join_all(struct house *house)
{
    for (uint32_t i = 0; i < USERS; i++) {
        struct buyer *buyer = &house->buyer[i];
        buyer->user = wire_user(i + 1);
        usher_join_request ask = {.request_id = wire_id(), .user = buyer->user};
        send_ask(house, buyer, USHER_OPCODE_JOIN, &ask);
    }
    for (uint32_t i = 0; i < USERS; i++) {
        struct buyer *buyer = &house->buyer[i];
        usher_join_reply reply;
        assert_int_equal(hear(house, buyer, USHER_OPCODE_JOIN, &reply), USHER_OK);
        buyer->position = reply.position;
        buyer->token_count = reply.token_count;
        memcpy(buyer->token, reply.token, reply.token_count);
    }
    qsort(house->buyer, USERS, sizeof *house->buyer, by_position);
    for (uint32_t i = 0; i < USERS; i++)
        assert_int_equal(house->buyer[i].position, i + 1); /* S4: no gap and no double over all instances */
}

/* The first who wait ask for their place, each at some instance. */
static void
poll_places(struct house *house)
{
    uint32_t asked[WINDOW], count = 0;

    for (uint32_t i = 0; i < USERS && count < WINDOW; i++)
        if (house->buyer[i].state == BUYER_WAITS)
            asked[count++] = i;
    for (uint32_t n = 0; n < count; n++) {
        struct buyer *buyer = &house->buyer[asked[n]];
        usher_place_request ask = {.token_count = buyer->token_count};
        memcpy(ask.token, buyer->token, buyer->token_count);
        send_ask(house, buyer, USHER_OPCODE_PLACE, &ask);
    }
    for (uint32_t n = 0; n < count; n++) {
        struct buyer *buyer = &house->buyer[asked[n]];
        usher_place_reply reply;
        assert_int_equal(hear(house, buyer, USHER_OPCODE_PLACE, &reply), USHER_OK);
        assert_int_equal(reply.position, buyer->position);
        if (reply.state == USHER_PLACE_ACTIVE)
            buyer->state = BUYER_ACTIVE;
        else
            assert_int_equal(reply.state, USHER_PLACE_WAITING);
    }
}

static void
send_reserve(struct house *house, struct buyer *buyer)
{
    usher_reserve_request ask = {.request_id = wire_id(), .concert_id = 1, .date_id = 1, .seat_count = 1};
    ask.seat[0] = 1 + randombytes_uniform(SEATS);
    ask.token_count = buyer->token_count;
    memcpy(ask.token, buyer->token, buyer->token_count);
    send_ask(house, buyer, USHER_OPCODE_RESERVE, &ask);
}

static void
reserve_seats(struct house *house)
{
    for (uint32_t i = 0; i < USERS; i++)
        if (house->buyer[i].state == BUYER_ACTIVE)
            send_reserve(house, &house->buyer[i]);
    for (uint32_t i = 0; i < USERS; i++) {
        struct buyer *buyer = &house->buyer[i];
        usher_reserve_reply reply;
        if (buyer->state != BUYER_ACTIVE)
            continue;
        unsigned result = hear(house, buyer, USHER_OPCODE_RESERVE, &reply);
        assert_true(result == USHER_OK || result == USHER_HELD || result == USHER_SOLD);
        if (result != USHER_OK)
            continue;
        buyer->state = BUYER_HOLDS;
        buyer->reservation_id = reply.hold[0].reservation_id;
        buyer->request_id = (usher_id){{0}}; /* not charged yet */
    }
}

static bool
is_charged(const struct buyer *buyer)
{
    return !sodium_is_zero(buyer->request_id.bytes, sizeof buyer->request_id.bytes);
}

static void
charge_holders(struct house *house)
{
    for (uint32_t i = 0; i < USERS; i++) {
        struct buyer *buyer = &house->buyer[i];
        usher_charge_request ask = {.request_id = wire_id(), .user = buyer->user, .amount = PRICE};
        if (buyer->state == BUYER_HOLDS && !is_charged(buyer))
            send_ask(house, buyer, USHER_OPCODE_CHARGE, &ask);
    }
    for (uint32_t i = 0; i < USERS; i++) {
        struct buyer *buyer = &house->buyer[i];
        usher_charge_reply reply;
        if (buyer->state != BUYER_HOLDS || is_charged(buyer))
            continue;
        assert_int_equal(hear(house, buyer, USHER_OPCODE_CHARGE, &reply), USHER_OK);
        assert_int_equal(reply.balance, PRICE);
        buyer->request_id = wire_id(); /* of the payment */
    }
}

static void
send_pay(struct house *house, struct buyer *buyer)
{
    usher_pay_request ask = {.request_id = buyer->request_id, .reservation_count = 1};
    ask.reservation[0] = buyer->reservation_id;
    ask.token_count = buyer->token_count;
    memcpy(ask.token, buyer->token, buyer->token_count);
    send_ask(house, buyer, USHER_OPCODE_PAY, &ask);
}

/* The connections of the killed instance go to others. */
static void
move_connections(struct house *house)
{
    for (uint32_t c = KILLED; c < CONNECTIONS; c += INSTANCES) {
        wire_close(&house->wire[c]);
        assert_true(connect_gateway(house, &house->wire[c], house->server[c / INSTANCES % KILLED].port));
    }
}

/* Everybody who holds a seat pays. With `kill` one instance dies while their requests are under way: who has no answer
 * asks another instance under the same id (M3, S4). */
static void
pay_holders(struct house *house, bool kill)
{
    uint32_t again = 0;

    for (uint32_t i = 0; i < USERS; i++)
        if (house->buyer[i].state == BUYER_HOLDS)
            send_pay(house, &house->buyer[i]);
    if (kill)
        assert_int_equal(test_server_stop(&house->server[KILLED], SIGKILL), -SIGKILL);
    for (uint32_t i = 0; i < USERS; i++) {
        struct buyer *buyer = &house->buyer[i];
        usher_pay_reply reply;
        if (buyer->state != BUYER_HOLDS)
            continue;
        unsigned result = hear(house, buyer, USHER_OPCODE_PAY, &reply);
        if (kill && result == USHER_RESULT_NONE && buyer->wire % INSTANCES == KILLED) {
            again++;
            continue;
        }
        assert_int_equal(result, USHER_OK);
        buyer->state = BUYER_OWNS;
        house->sold++;
    }
    if (!kill)
        return;
    move_connections(house);
    if (again > 0)
        pay_holders(house, false);
}

static void
sell_all(struct house *house)
{
    uint64_t until_ms = monotonic_ms() + PATIENCE_MS;
    bool killed = false;

    while (house->sold < SEATS) {
        assert_true(monotonic_ms() < until_ms);
        poll_places(house);
        reserve_seats(house);
        charge_holders(house);
        bool kill = !killed && house->sold >= SEATS / 3;
        pay_holders(house, kill);
        killed = killed || kill;
    }
    assert_true(killed);
}

/* --- what the events say ------------------------------------------------------------------------------------------ */
struct tally {
    uint64_t events, joined, admitted, sold, active, active_most, digest;
    uint64_t admitted_at_ms[USERS];
    bool seat_sold[SEATS + 1];
};

static void
count_event(struct tally *tally, const usher_event *event)
{
    assert_int_equal(event->event_no, tally->events + 1); /* X5: gap-free */
    tally->events = event->event_no;
    switch (event->kind) {
    case USHER_EVENT_JOINED:
        assert_int_equal(event->position, ++tally->joined);
        break;
    case USHER_EVENT_ADMITTED: /* T4: exactly in the order in which they joined */
        assert_int_equal(event->position, tally->admitted + 1);
        tally->admitted_at_ms[tally->admitted++] = event->at_ms;
        tally->active++;
        break;
    case USHER_EVENT_PAID:
        tally->active--;
        break;
    case USHER_EVENT_SEAT_SOLD:
        assert_false(tally->seat_sold[event->seat_no]);
        tally->seat_sold[event->seat_no] = true;
        tally->sold++;
        break;
    case USHER_EVENT_LAPSED:
    case USHER_EVENT_LEFT:
        fail_msg("event %llu: nobody should have gone", (unsigned long long)event->event_no);
    }
    if (tally->active > tally->active_most)
        tally->active_most = tally->active;
}

static void
count_events(struct wire *admin, struct tally *tally)
{
    usher_events_reply *reply = malloc(sizeof *reply);

    memset(tally, 0, sizeof *tally);
    do {
        usher_events_request ask = {.after_event_no = tally->events};
        must(admin, USHER_OPCODE_EVENTS, &ask, reply);
        for (uint16_t i = 0; i < reply->event_count; i++)
            count_event(tally, &reply->event[i]);
    } while (reply->event_count > 0);
    free(reply);
}

/* Q3: what an interval grants is not exceeded: of any 2 * BATCH + 1 admissions the first and the last are not within
 * one interval. */
static void
check_intervals(const struct tally *tally)
{
    for (uint64_t i = 2 * BATCH; i < tally->admitted; i++)
        assert_true(tally->admitted_at_ms[i] - tally->admitted_at_ms[i - 2 * BATCH] >= INTERVAL_MS);
}

/* --- scenes ------------------------------------------------------------------------------------------------------- */
/* S4, S5, T4, T5, Q3, M2, R3, X4: four instances sell 200 seats to 2,000 users over 400 connections; one is killed in
 * the middle. Exactly 200 are sold, everybody was admitted in the order of joining, never too many at once, and all
 * instances show the same. */
static void
four_instances_sell_as_one_though_one_is_killed(void **state)
{
    struct house *house = open_house(INSTANCES);
    struct tally *tally = calloc(INSTANCES, sizeof *tally);
    (void)state;

    load_house(house);
    set_queue_policy(house, "admit_batch", BATCH);
    set_queue_policy(house, "admit_interval_ms", INTERVAL_MS);
    set_queue_policy(house, "active_max", ACTIVE_MAX);
    enrol_gateway(house, 1, 2);
    for (uint32_t c = 0; c < CONNECTIONS; c++)
        assert_true(connect_gateway(house, &house->wire[c], house->server[c % INSTANCES].port));
    join_all(house);
    sell_all(house);
    test_server_start(&house->server[KILLED], "--quiet", NULL); /* it may come back at any time */
    wire_close(&house->admin[KILLED]);
    connect_admin(house, KILLED);

    for (unsigned number = 0; number < INSTANCES; number++) {
        usher_info_reply info = info_of(house, number, false);
        assert_int_equal(info.sold_count, SEATS);
        assert_int_equal(info.ledger_sum, 0);
        assert_int_equal(info.sales, (int64_t)SEATS * PRICE);
        count_events(&house->admin[number], &tally[number]);
        assert_int_equal(tally[number].joined, USERS);
        assert_int_equal(tally[number].sold, SEATS);
        assert_in_range(tally[number].active_most, 1, ACTIVE_MAX);
        check_intervals(&tally[number]);
    }
    for (uint32_t c = 0; c < CONNECTIONS; c++)
        wire_close(&house->wire[c]);
    free(tally);
    close_house(house);
}

/* X4: at the same position every instance has the same digest over all records. */
static void
instances_have_the_same_digest_at_the_same_position(void **state)
{
    struct house *house = open_house(INSTANCES);
    usher_info_reply first;
    (void)state;

    load_house(house);
    for (uint32_t i = 0; i < 200; i++) {
        usher_charge_request ask = {.request_id = wire_id(), .user = wire_user(1 + i % 30), .amount = 1 + i};
        must(&house->admin[i % INSTANCES], USHER_OPCODE_CHARGE, &ask, NULL);
    }
    first = info_of(house, 0, true);
    for (unsigned number = 1; number < INSTANCES; number++) {
        usher_info_reply info = info_of(house, number, true);
        assert_int_equal(info.position, first.position);
        assert_int_equal(info.digest, first.digest);
    }
    close_house(house);
}

/* C3: what the organiser changes at one instance shows at once at every other, and its version with it. */
static void
a_change_of_the_catalogue_shows_at_once_at_another_instance(void **state)
{
    struct house *house = open_house(2);
    usher_concerts_reply *reply = malloc(sizeof *reply);
    char title[32];
    (void)state;

    for (unsigned round = 0; round < 50; round++) {
        uint64_t version = info_of(house, 1, false).catalogue_version;
        usher_concerts_request ask = {0};
        snprintf(title, sizeof title, "Title %u", round);
        put_concert(&house->admin[0], title);
        must(&house->admin[1], USHER_OPCODE_CONCERTS, &ask, reply);
        assert_int_equal(reply->concert_count, 1);
        assert_string_equal(reply->concert[0].title, title);
        assert_true(info_of(house, 1, false).catalogue_version > version);
    }
    free(reply);
    close_house(house);
}

/* M3, S4: a request that is sent again to another instance under the same id gets the first answer. */
static void
a_request_again_at_another_instance_gets_the_first_answer(void **state)
{
    struct house *house = open_house(2);
    (void)state;

    for (unsigned round = 1; round <= 20; round++) {
        usher_charge_request ask = {.request_id = wire_id(), .user = wire_user(1), .amount = 100};
        usher_charge_reply first, again;
        must(&house->admin[round % 2], USHER_OPCODE_CHARGE, &ask, &first);
        must(&house->admin[1 - round % 2], USHER_OPCODE_CHARGE, &ask, &again);
        assert_true(house->admin[1 - round % 2].flags & USHER_FLAG_REPLAYED);
        assert_memory_equal(&first, &again, sizeof first);
        assert_int_equal(again.balance, 100 * round);
        ask.amount = 101;
        assert_int_equal(wire_ask(&house->admin[1 - round % 2], USHER_OPCODE_CHARGE, &ask, NULL), USHER_MISMATCH);
    }
    close_house(house);
}

/* X4: a client that is enrolled at one instance is known at the next moment at another; one that is revoked loses its
 * connections everywhere. */
static void
a_client_is_known_and_revoked_at_every_instance(void **state)
{
    struct house *house = open_house(2);
    struct wire wire;
    (void)state;

    usher_revoke_request revoke = {.request_id = wire_id(), .client_id = enrol_gateway(house, 0, 0)};
    assert_true(connect_gateway(house, &wire, house->server[1].port));
    must(&house->admin[0], USHER_OPCODE_REVOKE, &revoke, NULL);
    assert_true(wire_is_closed(&wire));
    wire_close(&wire);
    assert_false(connect_gateway(house, &wire, house->server[1].port));
    wire_close(&wire);
    close_house(house);
}

/* X4: instances on one port share its connections; when one dies, new ones all come to the other. */
static void
instances_on_one_port_share_its_connections(void **state)
{
    struct house *house = open_house(1);
    struct wire wire[64];
    char address[32];
    (void)state;

    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)house->server[0].port);
    test_server_open_beside(&house->server[1], &house->server[0], 1);
    test_server_start(&house->server[1], "--verbose", "--listen", address, NULL);
    assert_int_equal(house->server[1].port, house->server[0].port);
    for (unsigned i = 0; i < 64; i++) {
        assert_true(wire_open(&wire[i], house->server[0].port));
        assert_int_equal(wire_login(&wire[i], house->server[0].admin_key), USHER_OK);
    }
    wire_close(&house->admin[0]);
    assert_int_equal(test_server_stop(&house->server[0], SIGKILL), -SIGKILL);
    unsigned alive = 0;
    for (unsigned i = 0; i < 64; i++) {
        usher_ping_request ping = {.echo = i};
        alive += wire_ask(&wire[i], USHER_OPCODE_PING, &ping, NULL) == USHER_OK;
        wire_close(&wire[i]);
    }
    assert_in_range(alive, 1, 63);
    for (unsigned i = 0; i < 16; i++) {
        assert_true(wire_open(&wire[0], house->server[1].port));
        assert_int_equal(wire_login(&wire[0], house->server[1].admin_key), USHER_OK);
        wire_close(&wire[0]);
    }
    close_house(house);
}

/* B2: the history of what one instance sold is written by whichever has a consumer. */
static void
another_instance_writes_the_history(void **state)
{
    struct house *house = open_house(1);
    uint64_t until_ms = monotonic_ms() + PATIENCE_MS;
    (void)state;

    wire_close(&house->admin[0]);
    assert_int_equal(test_server_stop(&house->server[0], SIGTERM), 0);
    test_server_start(&house->server[0], "--quiet", "--history", "off", NULL);
    connect_admin(house, 0);
    test_server_open_beside(&house->server[1], &house->server[0], 1);
    test_server_start(&house->server[1], "--quiet", NULL);
    usher_charge_request ask = {.request_id = wire_id(), .user = wire_user(1), .amount = 100};
    must(&house->admin[0], USHER_OPCODE_CHARGE, &ask, NULL);
    usher_info_reply info = info_of(house, 0, false);
    while (info.history_event_no < info.last_event_no) {
        assert_true(monotonic_ms() < until_ms);
        poll(NULL, 0, 5);
        info = info_of(house, 0, false);
    }
    close_house(house);
}

/* X4: a second usherd says in one line that one runs already; --join is how it is meant. */
static void
a_second_usherd_is_refused_unless_it_joins(void **state)
{
    struct house *house = open_house(1);
    char said[1024];
    (void)state;

    assert_int_equal(
        test_server_run(&house->server[0], house->server[0].data, said, sizeof said, "--listen", "127.0.0.1:0", NULL),
        75);
    assert_non_null(strstr(said, "already running"));
    assert_non_null(strstr(said, "--join"));
    close_house(house);
}

/* X1, X4: an instance whose clock is off that of those who run does not join them, and says by how much. */
static void
a_clock_that_is_off_does_not_join(void **state)
{
    struct house *house = open_house(1);
    uint64_t now_ms = house->admin[0].stamp_ms;
    char said[1024], wall_ms[32];
    (void)state;

    for (int ahead = 0; ahead < 2; ahead++) {
        snprintf(wall_ms, sizeof wall_ms, "%llu", (unsigned long long)(ahead ? now_ms + 3600000 : now_ms - 3600000));
        assert_int_equal(test_server_run(&house->server[0], house->server[0].data, said, sizeof said, "--join",
                                         "--listen", "127.0.0.1:0", "--wall-ms", wall_ms, NULL),
                         78);
        assert_non_null(strstr(said, ahead ? "ahead of" : "behind"));
        assert_non_null(strstr(said, "more than 5000"));
    }
    /* One that is a little off takes over the others' time. */
    test_server_open_beside(&house->server[1], &house->server[0], 1);
    snprintf(wall_ms, sizeof wall_ms, "%llu", (unsigned long long)now_ms + 1800000);
    test_server_start(&house->server[1], "--quiet", "--wall-ms", wall_ms, "--clock-skew-ms", "3600000", NULL);
    connect_admin(house, 1);
    info_of(house, 1, false);
    assert_true(house->admin[1].stamp_ms < now_ms + 1800000);
    close_house(house);
}

/* X4: a port is shared with instances on the same data alone, whatever a stranger allows. */
static void
a_strangers_port_is_not_shared(void **state)
{
    struct house *house = open_house(1);
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof name;
    int stranger = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    char said[1024], address[32];
    (void)state;

    assert_int_equal(setsockopt(stranger, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes), 0);
    assert_int_equal(bind(stranger, (struct sockaddr *)&name, size), 0);
    assert_int_equal(listen(stranger, 4), 0);
    assert_int_equal(getsockname(stranger, (struct sockaddr *)&name, &size), 0);
    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)ntohs(name.sin_port));
    assert_int_equal(test_server_run(&house->server[0], house->server[0].data, said, sizeof said, "--join", "--listen",
                                     address, NULL),
                     69);
    assert_non_null(strstr(said, "is in use"));
    /* Nor with an usherd on other data. */
    char other[TEST_PATH_MOST + 8];
    snprintf(other, sizeof other, "%s.too", house->server[0].data);
    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)house->server[0].port);
    assert_int_equal(test_server_run(&house->server[0], other, said, sizeof said, "--join", "--listen", address, NULL),
                     69);
    close(stranger);
    close_house(house);
}

/* --- the file of slots ----------------------------------------------------------------------------------------------
 */
static bool
is_rung(const struct instances *instances)
{
    struct pollfd bell = {.fd = instances_bell(instances), .events = POLLIN};

    return poll(&bell, 1, 0) == 1;
}

/* X4: a ring reaches every other instance at once and no ring is lost, however many come before one is answered. */
static void
a_commit_rings_every_other_instance(void **state)
{
    struct instances *group[3] = {NULL};
    char folder[] = "/tmp/usher-test-XXXXXX", why[256], path[64];
    uint64_t now_ms;
    (void)state;

    assert_non_null(mkdtemp(folder));
    for (unsigned i = 0; i < 3; i++) {
        if (instances_open(folder, i > 0, &group[i], why, sizeof why) != DIRECTORY_OK)
            fail_msg("%s", why);
        assert_int_equal(instances_number(group[i]), i + 1);
        assert_int_equal(instances_count(group[i]), i);
        assert_int_equal(instances_now_ms(group[i], 500, &now_ms), i > 0);
        instances_serve(group[i], i == 1 ? "127.0.0.1:4711" : "127.0.0.1:4712", 2000, 1000);
    }
    assert_true(instances_now_ms(group[0], 1500, &now_ms));
    assert_int_equal(now_ms, 2500);
    assert_true(instances_listen_on(group[0], "127.0.0.1:4711"));
    assert_false(instances_listen_on(group[1], "127.0.0.1:4711"));
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned rings = 0; rings < 1000; rings++)
            instances_ring(group[0]);
        assert_false(is_rung(group[0]));
        for (unsigned i = 1; i < 3; i++) {
            assert_true(is_rung(group[i]));
            instances_answer(group[i]);
            assert_false(is_rung(group[i]));
        }
    }
    instances_close(group[1]);
    assert_int_equal(instances_count(group[0]), 1);
    assert_false(instances_listen_on(group[0], "127.0.0.1:4711"));
    instances_ring(group[0]);
    assert_true(is_rung(group[2]));
    assert_int_equal(instances_open(folder, false, &group[1], why, sizeof why), DIRECTORY_RUNNING);
    assert_int_equal(instances_open(folder, true, &group[1], why, sizeof why), DIRECTORY_OK);
    assert_int_equal(instances_number(group[1]), 2); /* the free slot */
    for (unsigned i = 0; i < 3; i++)
        instances_close(group[i]);
    snprintf(path, sizeof path, "%s/usherd.instances", folder);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0); /* nothing else is left */
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_instances_sell_as_one_though_one_is_killed),
        cmocka_unit_test(instances_have_the_same_digest_at_the_same_position),
        cmocka_unit_test(a_change_of_the_catalogue_shows_at_once_at_another_instance),
        cmocka_unit_test(a_request_again_at_another_instance_gets_the_first_answer),
        cmocka_unit_test(a_client_is_known_and_revoked_at_every_instance),
        cmocka_unit_test(instances_on_one_port_share_its_connections),
        cmocka_unit_test(another_instance_writes_the_history),
        cmocka_unit_test(a_second_usherd_is_refused_unless_it_joins),
        cmocka_unit_test(a_clock_that_is_off_does_not_join),
        cmocka_unit_test(a_strangers_port_is_not_shared),
        cmocka_unit_test(a_commit_rings_every_other_instance),
    };

    return usher_test_main(argc, argv, tests);
}
