/* rolling_test.c: a rolling restart: three usherd on one data directory and one port (SO_REUSEPORT), each drained with
 * SIGTERM and started again in turn, while people queue and buy (X7, X4, S4).
 *
 * Each of a few threads is a gateway with one connection and a crowd of its own. Told GOING_AWAY, it takes the answers
 * that are due, connects anew to the same port, where another instance or the new one answers, and asks again under the
 * same request ids for what it heard nothing of (M3). */
#define _GNU_SOURCE 1
#include "tests/instances_help.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#define INSTANCES   3u
#define GATEWAYS    6u
#define CROWD       40u /* of each gateway */
#define USERS       (GATEWAYS * CROWD)
#define PRICE       500
#define BATCH       4u /* so slowly that there is somebody in line all the time */
#define INTERVAL_MS 30u
#define ACTIVE_MAX  24u
#define WAIT_MS     2

struct user {
    enum { USER_NEW, USER_WAITS, USER_ACTIVE, USER_HOLDS, USER_CHARGED, USER_OWNS } state;
    uint64_t number; /* of all: user and seat */
    usher_id request_id;
    uint64_t position, reservation_id;
    uint16_t token_count;
    uint8_t token[512];
};

struct gateway {
    struct house *house; /* for its key alone: its servers belong to the main thread */
    uint16_t port;
    struct wire wire;
    bool connected, told; /* told on this connection that the server goes away */
    struct user user[CROWD];
    uint64_t pushes, refusals; /* GOING_AWAY as push and as answer */
    uint64_t unannounced;      /* connections that ended without a push */
    uint64_t again, replayed;  /* requests that were sent again; of these, carried out before */
    const char *trouble;       /* NULL, or what ended it */
    unsigned trouble_step, trouble_result;
    atomic_uint *answered, *served; /* of all gateways: requests, and users who own their seat */
    pthread_t thread;
};

/* --- one gateway ------------------------------------------------------------------------------------------------ */
/* Connect to whoever takes the connection. Between an instance's last accept and its end a connection may come to
 * nothing; so try again. */
static bool
connect_anew(struct gateway *gateway)
{
    uint64_t until_ms = house_now_ms() + PATIENCE_MS;

    if (gateway->wire.input != NULL)
        wire_close(&gateway->wire);
    gateway->told = false;
    for (; house_now_ms() < until_ms; poll(NULL, 0, WAIT_MS)) {
        gateway->connected = house_connect_gateway(gateway->house, &gateway->wire, gateway->port);
        if (gateway->connected)
            return true;
        if (gateway->wire.input != NULL)
            wire_close(&gateway->wire);
    }
    gateway->trouble = "nobody serves on the port";
    return false;
}

/* Send the request and wait for its answer, pushes noted. USHER_RESULT_NONE: the connection ended instead. */
static unsigned
ask_here(struct gateway *gateway, uint16_t opcode, const void *ask, void *reply)
{
    uint32_t request_no = wire_send(&gateway->wire, opcode, ask);
    struct wire_frame frame;
    unsigned field_no;

    while (request_no != 0 && wire_receive(&gateway->wire, &frame)) {
        if (frame.flags & USHER_FLAG_PUSH) {
            gateway->pushes += frame.opcode == USHER_PUSH_GOING_AWAY;
            gateway->told = gateway->told || frame.opcode == USHER_PUSH_GOING_AWAY;
            continue;
        }
        if (frame.request_no != request_no)
            continue;
        if (frame.result == USHER_OK &&
            usher_decode(usher_message_of(opcode)->reply, frame.body, frame.body_size, reply, &field_no) != USHER_OK)
            gateway->trouble = "an answer can't be read";
        return frame.result;
    }
    gateway->unannounced += !gateway->told;
    return USHER_RESULT_NONE;
}

/* Ask until there is an answer, wherever it comes from. */
static bool
ask(struct gateway *gateway, uint16_t opcode, const void *request, void *reply)
{
    unsigned result = USHER_RESULT_NONE;
    bool unheard = false;

    for (bool again = false; gateway->trouble == NULL; again = true) {
        if ((!gateway->connected || gateway->told) && !connect_anew(gateway))
            return false;
        gateway->again += again;
        result = ask_here(gateway, opcode, request, reply);
        unheard = unheard || result == USHER_RESULT_NONE;
        if (result != USHER_RESULT_NONE && result != USHER_GOING_AWAY)
            break;
        gateway->refusals += result == USHER_GOING_AWAY;
        gateway->connected = false;
    }
    bool replayed = gateway->connected && (gateway->wire.flags & USHER_FLAG_REPLAYED) != 0;
    gateway->replayed += replayed;
    if (gateway->trouble == NULL && replayed && !unheard)
        gateway->trouble = "a request was carried out that was answered GOING_AWAY";
    if (gateway->trouble == NULL && result != USHER_OK)
        gateway->trouble = "a request was refused";
    if (gateway->trouble != NULL) {
        gateway->trouble_step = opcode;
        gateway->trouble_result = result;
        return false;
    }
    atomic_fetch_add(gateway->answered, 1);
    return true;
}

#define WITH_TOKEN(request, user)                                                                                      \
    ((request).token_count = (user)->token_count, (void)memcpy((request).token, (user)->token, (user)->token_count))

static bool
join(struct gateway *gateway, struct user *user)
{
    const usher_join_request request = {.request_id = user->request_id, .user = wire_user(user->number)};
    usher_join_reply reply;

    if (!ask(gateway, USHER_OPCODE_JOIN, &request, &reply))
        return false;
    user->position = reply.position;
    user->token_count = reply.token_count;
    memcpy(user->token, reply.token, reply.token_count);
    user->state = USER_WAITS;
    return true;
}

static bool
look(struct gateway *gateway, struct user *user)
{
    usher_place_request request = {0};
    usher_place_reply reply;

    WITH_TOKEN(request, user);
    if (!ask(gateway, USHER_OPCODE_PLACE, &request, &reply))
        return false;
    if (reply.position != user->position)
        gateway->trouble = "a place was lost"; /* Q1 */
    if (reply.state == USHER_PLACE_ACTIVE)
        user->state = USER_ACTIVE;
    return gateway->trouble == NULL;
}

static bool
reserve(struct gateway *gateway, struct user *user)
{
    usher_reserve_request request = {.request_id = user->request_id, .concert_id = 1, .date_id = 1, .seat_count = 1};
    usher_reserve_reply reply;

    request.seat[0] = (uint32_t)user->number;
    WITH_TOKEN(request, user);
    if (!ask(gateway, USHER_OPCODE_RESERVE, &request, &reply))
        return false;
    user->reservation_id = reply.hold[0].reservation_id;
    user->state = USER_HOLDS;
    return true;
}

static bool
charge(struct gateway *gateway, struct user *user)
{
    usher_charge_request request = {.request_id = user->request_id, .amount = PRICE};
    usher_charge_reply reply;

    WITH_TOKEN(request, user);
    if (!ask(gateway, USHER_OPCODE_CHARGE, &request, &reply))
        return false;
    if (reply.balance != PRICE)
        gateway->trouble = "a charge was made twice";
    user->state = USER_CHARGED;
    return gateway->trouble == NULL;
}

static bool
pay(struct gateway *gateway, struct user *user)
{
    usher_pay_request request = {.request_id = user->request_id, .reservation_count = 1};
    usher_pay_reply reply;

    request.reservation[0] = user->reservation_id;
    WITH_TOKEN(request, user);
    if (!ask(gateway, USHER_OPCODE_PAY, &request, &reply))
        return false;
    user->state = USER_OWNS;
    atomic_fetch_add(gateway->served, 1);
    return true;
}

/* Everybody's next step, one after another, until all own their seats. */
static void *
run(void *argument)
{
    static bool (*const steps[])(struct gateway * gateway, struct user * user) = {
        [USER_NEW] = join, [USER_WAITS] = look, [USER_ACTIVE] = reserve, [USER_HOLDS] = charge, [USER_CHARGED] = pay};
    struct gateway *gateway = argument;
    unsigned owning = 0;

    while (owning < CROWD) {
        owning = 0;
        for (unsigned i = 0; i < CROWD; i++) {
            struct user *user = &gateway->user[i];
            user->request_id = wire_id();
            if (user->state != USER_OWNS && !steps[user->state](gateway, user))
                return NULL;
            owning += user->state == USER_OWNS;
        }
    }
    return NULL;
}

/* --- the restart ------------------------------------------------------------------------------------------------ */
struct crowd {
    struct house house;
    struct gateway gateway[GATEWAYS];
    atomic_uint answered, served;
};

static void
open_crowd(struct crowd *crowd)
{
    house_open_one_port(&crowd->house, INSTANCES);
    for (unsigned door = 1; door < INSTANCES; door++)
        assert_int_equal(crowd->house.server[door].port, crowd->house.server[0].port);
    house_load(&crowd->house, INSTANCES, USERS, PRICE);
    house_set_queue_policy(&crowd->house, "admit_batch", BATCH);
    house_set_queue_policy(&crowd->house, "admit_interval_ms", INTERVAL_MS);
    house_set_queue_policy(&crowd->house, "active_max", ACTIVE_MAX);
    house_enrol_gateway(&crowd->house, 0, 0);
    for (unsigned i = 0; i < INSTANCES; i++)
        wire_close(&crowd->house.admin[i]); /* which would only be in the way of a drain */
    for (unsigned i = 0; i < GATEWAYS; i++) {
        struct gateway *gateway = &crowd->gateway[i];
        gateway->house = &crowd->house;
        gateway->port = crowd->house.server[0].port;
        gateway->answered = &crowd->answered;
        gateway->served = &crowd->served;
        for (unsigned n = 0; n < CROWD; n++)
            gateway->user[n].number = i * CROWD + n + 1;
        assert_int_equal(pthread_create(&gateway->thread, NULL, run, gateway), 0);
    }
}

static void
await(const atomic_uint *count, unsigned least)
{
    uint64_t until_ms = house_now_ms() + PATIENCE_MS;

    while (atomic_load(count) < least) {
        assert_true(house_now_ms() < until_ms);
        poll(NULL, 0, WAIT_MS);
    }
}

/* Stop each in its turn and start it again, when so many more have been served. */
static void
restart_all(struct crowd *crowd)
{
    const uint16_t port = crowd->house.server[0].port;
    char address[32];

    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)port);
    for (unsigned door = 0; door < INSTANCES; door++) {
        await(&crowd->served, (door + 1) * USERS / 8);
        assert_int_equal(test_server_stop(&crowd->house.server[door], SIGTERM), 0);
        await(&crowd->answered, atomic_load(&crowd->answered) + GATEWAYS); /* the others serve meanwhile */
        test_server_start(&crowd->house.server[door], "--quiet", "--join", "--listen", address, NULL);
        assert_int_equal(crowd->house.server[door].port, port);
    }
}

static void
join_gateways(struct crowd *crowd)
{
    uint64_t pushes = 0;

    for (unsigned i = 0; i < GATEWAYS; i++) {
        struct gateway *gateway = &crowd->gateway[i];
        assert_int_equal(pthread_join(gateway->thread, NULL), 0);
        if (gateway->trouble != NULL)
            fail_msg("gateway %u: %s (opcode %u, result %s)", i, gateway->trouble, gateway->trouble_step,
                     usher_result_name((usher_result)gateway->trouble_result));
        assert_int_equal(gateway->unannounced, 0);
        pushes += gateway->pushes;
        print_message("gateway %u: told %llu times, %llu requests sent again, %llu of them carried out before\n", i,
                      (unsigned long long)gateway->pushes, (unsigned long long)gateway->again,
                      (unsigned long long)gateway->replayed);
        wire_close(&gateway->wire);
    }
    assert_true(pushes > 0); /* whoever is connected all the time is told once at least */
}

/* X7, X4, S4, M3, T4: while each of three instances is stopped and started in turn, everybody is served in the order of
 * joining, each request is carried out once, every end of a connection is announced; and as one instance was always
 * alive, no downtime is recorded (X2). */
static void
a_rolling_restart_loses_nobody_and_records_no_downtime(void **state)
{
    struct crowd *crowd = calloc(1, sizeof *crowd);
    struct tally *tally = calloc(INSTANCES, sizeof *tally);
    (void)state;

    open_crowd(crowd);
    restart_all(crowd);
    join_gateways(crowd);
    for (unsigned door = 0; door < INSTANCES; door++) {
        house_connect_admin(&crowd->house, door); /* whichever it comes to */
        tally[door].active_max = ACTIVE_MAX;
        tally_read(&crowd->house.admin[door], &tally[door]);
        usher_info_reply info = house_info(&crowd->house, door, false);
        assert_int_equal(tally[door].joined, USERS);
        assert_int_equal(tally[door].admitted, USERS);
        assert_int_equal(tally[door].paid, USERS);
        assert_int_equal(tally[door].sold, USERS);
        assert_int_equal(tally[door].charged, USERS);
        assert_int_equal(tally[door].charges, (int64_t)USERS * PRICE);
        assert_int_equal(tally[door].resumed, 0);
        assert_memory_equal(tally[door].digest, tally[0].digest, sizeof tally[0].digest);
        assert_int_equal(info.sold_count, USERS);
        assert_int_equal(info.sales, (int64_t)USERS * PRICE);
        assert_int_equal(info.ledger_sum, 0);
        assert_int_equal(info.active_count, 0);
        assert_int_equal(info.waiting_count, 0);
    }
    house_close(&crowd->house);
    free(tally);
    free(crowd);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rolling_restart_loses_nobody_and_records_no_downtime),
    };

    return usher_test_main(argc, argv, tests);
}
