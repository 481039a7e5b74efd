/* kill.c: usherd killed at random moments. See kill.h. */
#define _GNU_SOURCE 1
#include "tests/kill.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/sale.h"
#include "tests/server.h"
#include "tests/test.h"
#include "tests/wire.h"

#define INSTANCES_MOST 4u
#define CLIENTS        16u
#define ROOM           4096u /* for answers between two kills */
#define PRICE          700
#define LIFE_MS_MOST   40u

enum step { JOIN, RESERVE, CHARGE, PAY, REFUND, STEPS };
static const uint16_t opcodes[STEPS] = {USHER_OPCODE_JOIN, USHER_OPCODE_RESERVE, USHER_OPCODE_CHARGE, USHER_OPCODE_PAY,
                                        USHER_OPCODE_REFUND};

union reply {
    usher_join_reply join;
    usher_reserve_reply reserve;
    usher_charge_reply charge;
    usher_pay_reply pay;
    usher_refund_reply refund;
};

/* A client has a seat of its own and sells it over and over. */
struct client {
    struct wire wire;
    bool connected;
    unsigned server;
    uint32_t seat_no;
    uint64_t buyer; /* the number of its present one */
    enum step step;
    uint32_t request_no; /* of the request that waits for its answer; 0 for none */
    bool again;          /* it was sent to a server that died */
    uint16_t token_count;
    uint8_t token[512];
    uint64_t number; /* what the answer to the last step names: see number_of */
    uint64_t reservation_id, payment_id;
    bool paid; /* the seat is sold at the moment */
};

/* An answer OK that has to be found again. */
struct answered {
    uint64_t buyer;
    enum step step;
    uint64_t number;
};

struct killing {
    struct test_server server[INSTANCES_MOST];
    unsigned instances;
    struct client client[CLIENTS];
    uint64_t buyers, random;
    struct answered answered[ROOM];
    size_t answered_count;
    struct kill_counts *counts;
};

static uint64_t
lots(struct killing *killing, uint64_t limit)
{
    uint64_t value = killing->random += 0x9e3779b97f4a7c15u;

    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return (value ^ value >> 31) % limit;
}

static usher_id
request_id(uint64_t buyer, enum step step)
{
    const uint64_t words[2] = {0x6b696c6c00000000u + step, buyer};
    usher_id id;

    memcpy(id.bytes, words, sizeof id.bytes);
    return id;
}

/* --- a house ------------------------------------------------------------------------------------------------------ */
static void
connect_client(struct killing *killing, struct client *client)
{
    const struct test_server *server = &killing->server[client->server];

    assert_true(wire_open(&client->wire, server->port));
    assert_int_equal(wire_login(&client->wire, server->admin_key), USHER_OK);
    client->connected = true;
}

static void
load_house(struct wire *wire)
{
    usher_set_policy_request policy = {
        .request_id = wire_id(), .of_queue = USHER_FLAG_YES, .name = "admit_batch", .value = 100000};
    assert_int_equal(wire_ask(wire, USHER_OPCODE_SET_POLICY, &policy, NULL), USHER_OK);
    usher_put_plan_request plan = {.request_id = wire_id(), .plan_id = 1, .section_count = 1};
    plan.section[0] = (usher_section){.name = "Hall", .first_row = 1, .row_count = 5, .seats_per_row = 10};
    assert_int_equal(wire_ask(wire, USHER_OPCODE_PUT_PLAN, &plan, NULL), USHER_OK);
    usher_put_concert_request concert = {.request_id = wire_id(), .concert_id = 1, .title = "Lights out"};
    assert_int_equal(wire_ask(wire, USHER_OPCODE_PUT_CONCERT, &concert, NULL), USHER_OK);
    usher_put_date_request date = {.request_id = wire_id(),
                                   .concert_id = 1,
                                   .date_id = 1,
                                   .plan_id = 1,
                                   .starts_at_ms = wire->stamp_ms + 30 * UINT64_C(86400000),
                                   .price_count = 1,
                                   .price = {PRICE}};
    assert_int_equal(wire_ask(wire, USHER_OPCODE_PUT_DATE, &date, NULL), USHER_OK);
}

/* All servers serve one data directory, the first one's. */
static void
start(struct test_server *server)
{
    test_server_start(server, "--quiet", "--join", NULL); /* beside the others, if any are alive */
}

static void
open_servers(struct killing *killing, unsigned instances)
{
    assert_in_range(instances, 1, INSTANCES_MOST);
    killing->instances = instances;
    for (unsigned i = 0; i < instances; i++) {
        struct test_server *server = &killing->server[i];
        test_server_open(server);
        if (i > 0) {
            memcpy(server->data, killing->server[0].data, sizeof server->data);
            memcpy(server->admin_key, killing->server[0].admin_key, sizeof server->admin_key);
        }
        start(server);
    }
}

static void
open_clients(struct killing *killing)
{
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct client *client = &killing->client[i];
        client->server = i % killing->instances;
        client->seat_no = i + 1;
        client->buyer = ++killing->buyers;
        connect_client(killing, client);
    }
    load_house(&killing->client[0].wire);
}

/* --- asking ------------------------------------------------------------------------------------------------------- */
#define TOKEN_OF(client, ask)                                                                                          \
    ((ask).token_count = (client)->token_count, memcpy((ask).token, (client)->token, sizeof(ask).token))

/* Send the client's next step. It may go to a server that is dead. */
static void
send_step(struct client *client)
{
    const usher_id id = request_id(client->buyer, client->step);
    usher_join_request join = {.request_id = id, .user = wire_user(client->buyer)};
    usher_reserve_request reserve = {
        .request_id = id, .concert_id = 1, .date_id = 1, .seat_count = 1, .seat = {client->seat_no}};
    usher_charge_request charge = {.request_id = id, .amount = PRICE};
    usher_pay_request pay = {.request_id = id, .reservation_count = 1, .reservation = {client->reservation_id}};
    usher_refund_request refund = {.request_id = id, .payment_id = client->payment_id};
    const void *const bodies[STEPS] = {&join, &reserve, &charge, &pay, &refund};

    TOKEN_OF(client, reserve);
    TOKEN_OF(client, charge);
    TOKEN_OF(client, pay);
    TOKEN_OF(client, refund);
    client->request_no = wire_send(&client->wire, opcodes[client->step], bodies[client->step]);
    client->connected = client->request_no != 0;
}

/* What an answer is known by. */
static uint64_t
number_of(enum step step, const union reply *reply)
{
    const uint64_t numbers[STEPS] = {
        step == JOIN ? reply->join.position : 0, step == RESERVE ? reply->reserve.hold[0].reservation_id : 0,
        step == CHARGE ? reply->charge.entry_no : 0, step == PAY ? reply->pay.payment_id : 0,
        step == REFUND ? reply->refund.refund_id : 0};

    return numbers[step];
}

static void
go_on(struct killing *killing, struct client *client, const union reply *reply)
{
    assert_true(killing->answered_count < ROOM);
    killing->answered[killing->answered_count++] =
        (struct answered){.buyer = client->buyer, .step = client->step, .number = number_of(client->step, reply)};
    if (client->step == JOIN) {
        assert_int_equal(reply->join.state, USHER_PLACE_ACTIVE);
        client->token_count = reply->join.token_count;
        memcpy(client->token, reply->join.token, reply->join.token_count);
    }
    if (client->step == RESERVE)
        client->reservation_id = reply->reserve.hold[0].reservation_id;
    if (client->step == PAY)
        client->payment_id = reply->pay.payment_id;
    client->paid = client->step == PAY;
    client->step++;
    if (client->step < STEPS)
        return;
    client->step = JOIN;
    client->buyer = ++killing->buyers;
    client->token_count = 0;
}

/* Wait for the answer. The connection may end instead. */
static void
receive_step(struct killing *killing, struct client *client)
{
    union reply reply;
    struct wire_frame frame;
    unsigned field_no;

    do {
        if (!wire_receive(&client->wire, &frame)) {
            client->connected = false;
            return;
        }
    } while (frame.request_no != client->request_no);
    client->request_no = 0;
    if (frame.result != USHER_OK)
        fail_msg("buyer %u, step %u: %s", (unsigned)client->buyer, (unsigned)client->step,
                 usher_result_name((usher_result)frame.result));
    memset(&reply, 0, sizeof reply);
    assert_int_equal(
        usher_decode(usher_message_of(frame.opcode)->reply, frame.body, frame.body_size, &reply, &field_no), USHER_OK);
    killing->counts->acknowledged++;
    if (client->again)
        killing->counts->replayed += (frame.flags & USHER_FLAG_REPLAYED) != 0;
    else
        assert_false(frame.flags & USHER_FLAG_REPLAYED);
    client->again = false;
    go_on(killing, client, &reply);
}

/* Each client's next step at once. Returns false when a connection ended. */
static bool
play_round(struct killing *killing)
{
    bool whole = true;

    for (uint32_t i = 0; i < CLIENTS; i++)
        if (killing->client[i].connected && killing->client[i].request_no == 0)
            send_step(&killing->client[i]);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        if (killing->client[i].connected)
            receive_step(killing, &killing->client[i]);
        whole = whole && killing->client[i].connected;
    }
    return whole;
}

/* --- looking ------------------------------------------------------------------------------------------------------ */
static void
look_up(struct killing *killing, const struct answered *answered)
{
    usher_lookup_request ask = {.user = wire_user(answered->buyer),
                                .request_id = request_id(answered->buyer, answered->step)};
    usher_lookup_reply found;
    union reply reply;
    unsigned field_no;

    assert_int_equal(wire_ask(&killing->client[0].wire, USHER_OPCODE_LOOKUP, &ask, &found), USHER_OK);
    assert_int_equal(found.opcode, opcodes[answered->step]);
    assert_int_equal(found.result, USHER_OK);
    memset(&reply, 0, sizeof reply);
    assert_int_equal(
        usher_decode(usher_message_of(found.opcode)->reply, found.body, found.body_count, &reply, &field_no), USHER_OK);
    assert_int_equal(number_of(answered->step, &reply), answered->number);
    killing->counts->looked_up++;
}

static void
check_house(struct killing *killing)
{
    usher_info_request ask = {0};
    usher_info_reply info;
    uint64_t paid = 0;

    for (uint32_t i = 0; i < CLIENTS; i++)
        paid += killing->client[i].paid;
    assert_int_equal(wire_ask(&killing->client[0].wire, USHER_OPCODE_INFO, &ask, &info), USHER_OK);
    assert_int_equal(info.ledger_sum, 0);
    assert_int_equal(info.sold_count, paid);
    assert_int_equal(info.sales, (int64_t)paid * PRICE);
}

/* --- killing ------------------------------------------------------------------------------------------------------ */
struct killer {
    pid_t victim;
    uint64_t after_us;
};

static void *
kill_later(void *given)
{
    const struct killer *killer = given;
    const struct timespec wait = {.tv_nsec = (long)killer->after_us * 1000};

    nanosleep(&wait, NULL);
    kill(killer->victim, SIGKILL);
    return NULL;
}

/* The dead server's clients come back and ask again for what they heard nothing of. */
static void
come_back(struct killing *killing, unsigned dead)
{
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct client *client = &killing->client[i];
        if (client->server != dead)
            continue;
        wire_close(&client->wire);
        client->again = client->request_no != 0 || !client->connected;
        killing->counts->retried += client->again;
        client->request_no = 0;
        connect_client(killing, client);
    }
}

static void
kill_once(struct killing *killing)
{
    unsigned dead = (unsigned)lots(killing, killing->instances);
    struct killer killer = {killing->server[dead].pid, lots(killing, LIFE_MS_MOST * 1000)};
    pthread_t thread;

    killing->answered_count = 0;
    assert_int_equal(pthread_create(&thread, NULL, kill_later, &killer), 0);
    while (play_round(killing) && killing->answered_count < ROOM - CLIENTS)
        continue;
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(test_server_stop(&killing->server[dead], SIGKILL), -SIGKILL);
    killing->counts->kills++;
    start(&killing->server[dead]);
    come_back(killing, dead);
    size_t before = killing->answered_count;
    for (size_t i = 0; i < before; i++)
        look_up(killing, &killing->answered[i]);
    killing->answered_count = 0;
    assert_true(play_round(killing)); /* the retries, and one step of everybody else */
    for (size_t i = 0; i < killing->answered_count; i++)
        look_up(killing, &killing->answered[i]);
    check_house(killing);
}

/* The data as it lies there, without a server. */
static void
audit(const struct killing *killing)
{
    const struct store_options options = {.directory = killing->server[0].data, .map_bytes = UINT64_C(1) << 30};
    struct sale sale;
    char why[512] = "";

    if (!sale_open(&sale, &options, why, sizeof why) || !core_audit(sale.core, why, sizeof why))
        fail_msg("%s", why);
    sale_close(&sale);
}

static double
minutes_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec / 60 + (double)now.tv_nsec / 60e9;
}

void
kill_again_and_again(unsigned instances, unsigned kills, double minutes, uint64_t seed, struct kill_counts *counts)
{
    struct killing *killing = calloc(1, sizeof *killing);
    double end = minutes_now() + minutes;

    assert_non_null(killing);
    memset(counts, 0, sizeof *counts);
    killing->random = seed;
    killing->counts = counts;
    open_servers(killing, instances);
    open_clients(killing);
    while (minutes > 0 ? minutes_now() < end : counts->kills < kills)
        kill_once(killing);
    for (uint32_t i = 0; i < CLIENTS; i++)
        wire_close(&killing->client[i].wire);
    for (unsigned i = 0; i < instances; i++)
        assert_int_equal(test_server_stop(&killing->server[i], SIGKILL), -SIGKILL);
    audit(killing);
    for (unsigned i = instances; i-- > 0;)
        test_server_close(&killing->server[i]);
    free(killing);
}
