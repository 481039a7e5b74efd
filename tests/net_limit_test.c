/* net_limit_test.c: the bounds of net/limits.def at their edges, against a real usherd; and the way of a turn. */
#define _GNU_SOURCE 1
#include "tests/test.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <sodium.h>

#include "protocol/token.h"
#include "server/net/net.h"
#include "tests/server.h"
#include "tests/wire.h"

struct fixture {
    struct test_server server;
    struct wire wire; /* the admin's */
};

/* Start with these options (NULL after the last) and log in as admin. */
#define start(fixture, ...)                                                                                            \
    do {                                                                                                               \
        test_server_open(&(fixture)->server);                                                                          \
        test_server_start(&(fixture)->server, __VA_ARGS__);                                                            \
        open_admin(fixture, &(fixture)->wire);                                                                         \
    } while (0)

static void
open_admin(const struct fixture *fixture, struct wire *wire)
{
    assert_true(wire_open(wire, fixture->server.port));
    assert_int_equal(wire_login(wire, fixture->server.admin_key), USHER_OK);
}

static void
finish(struct fixture *fixture)
{
    wire_close(&fixture->wire);
    test_server_close(&fixture->server);
}

/* Send this many requests in one write. Their numbers begin at 1. */
static void
send_together(struct wire *wire, uint16_t opcode, const void *body, uint32_t count)
{
    uint8_t *bytes = malloc((size_t)count * 1024);
    size_t size = 0;

    assert_non_null(bytes);
    for (uint32_t i = 0; i < count; i++)
        size += wire_build(bytes + size, opcode, 1 + i, 0, body);
    assert_true(wire_send_bytes(wire, bytes, size));
    free(bytes);
}

struct tally {
    uint32_t ok, busy, other;
};

/* Read this many replies. */
static struct tally
read_replies(struct wire *wire, uint32_t count)
{
    struct tally tally = {0};
    struct wire_frame frame;
    usher_refusal refusal;
    unsigned field_no;

    for (uint32_t i = 0; i < count; i++) {
        assert_true(wire_receive(wire, &frame));
        if (frame.result == USHER_BUSY) {
            assert_int_equal(usher_decode(usher_refusal_layout(), frame.body, frame.body_size, &refusal, &field_no),
                             USHER_OK);
            assert_true(refusal.retry_after_ms > 0);
        }
        *(frame.result == USHER_OK ? &tally.ok : frame.result == USHER_BUSY ? &tally.busy : &tally.other) += 1;
    }
    return tally;
}

/* --- floods ------------------------------------------------------------------------------------------------- */
/* Bounded everywhere: exactly in_flight_max unanswered requests of one connection, the next is BUSY with when to come
 * back; and it was not carried out, so the same may be sent again. */
static void
one_request_more_than_may_be_in_flight_is_busy(void **state)
{
    const usher_ping_request ping = {.echo = 1};
    struct fixture fixture;
    (void)state;

    start(&fixture, "--in-flight-max", "8", NULL);
    assert_int_equal(fixture.wire.challenge.in_flight_max, 8);
    send_together(&fixture.wire, USHER_OPCODE_PING, &ping, 8);
    struct tally tally = read_replies(&fixture.wire, 8);
    assert_int_equal(tally.ok, 8);
    send_together(&fixture.wire, USHER_OPCODE_PING, &ping, 9);
    tally = read_replies(&fixture.wire, 9);
    assert_int_equal(tally.ok, 8);
    assert_int_equal(tally.busy, 1);
    send_together(&fixture.wire, USHER_OPCODE_PING, &ping, 8); /* they are answered: there is room again */
    assert_int_equal(read_replies(&fixture.wire, 8).ok, 8);
    finish(&fixture);
}

/* The same for a turn of the loop, and so for a batch. */
static void
one_request_more_than_a_turn_takes_is_busy(void **state)
{
    const usher_ping_request ping = {.echo = 1};
    struct fixture fixture;
    (void)state;

    start(&fixture, "--turn-max", "5", NULL);
    send_together(&fixture.wire, USHER_OPCODE_PING, &ping, 5);
    assert_int_equal(read_replies(&fixture.wire, 5).ok, 5);
    send_together(&fixture.wire, USHER_OPCODE_PING, &ping, 6);
    struct tally tally = read_replies(&fixture.wire, 6);
    assert_int_equal(tally.ok, 5);
    assert_int_equal(tally.busy, 1);
    finish(&fixture);
}

/* A BUSY command left no trace: M4 remembers nothing of it, and it goes through when it is sent again. */
static void
a_command_that_was_busy_goes_through_when_sent_again(void **state)
{
    usher_charge_request charge = {.user = wire_user(1), .amount = 10};
    static uint8_t bytes[4096];
    struct fixture fixture;
    struct wire_frame frame;
    usher_id ids[3];
    size_t size = 0;
    int busy = -1;
    (void)state;

    start(&fixture, "--turn-max", "2", NULL);
    for (uint32_t i = 0; i < 3; i++) {
        charge.request_id = ids[i] = wire_id();
        size += wire_build(bytes + size, USHER_OPCODE_CHARGE, 1 + i, 0, &charge);
    }
    assert_true(wire_send_bytes(&fixture.wire, bytes, size));
    for (int i = 0; i < 3; i++) {
        assert_true(wire_receive(&fixture.wire, &frame));
        if (frame.result == USHER_BUSY)
            busy = (int)frame.request_no - 1;
    }
    assert_int_equal(busy, 2);
    charge.request_id = ids[busy];
    usher_charge_reply reply;
    assert_int_equal(wire_ask(&fixture.wire, USHER_OPCODE_CHARGE, &charge, &reply), USHER_OK);
    assert_int_equal(fixture.wire.flags & USHER_FLAG_REPLAYED, 0);
    assert_int_equal(reply.balance, 30);
    finish(&fixture);
}

/* Beyond connections_max: told so in one frame, then closed; when one leaves, the next is served. */
static void
one_connection_more_than_allowed_is_told_busy_and_closed(void **state)
{
    struct fixture fixture;
    struct wire second, third;
    struct wire_frame frame;
    (void)state;

    start(&fixture, "--connections-max", "2", NULL);
    open_admin(&fixture, &second);
    assert_true(wire_open(&third, fixture.server.port));
    assert_true(wire_receive(&third, &frame));
    assert_int_equal(frame.opcode, USHER_OPCODE_NONE);
    assert_int_equal(frame.request_no, 0);
    assert_int_equal(frame.result, USHER_BUSY);
    assert_true(wire_is_closed(&third));
    wire_close(&third);
    wire_close(&second);
    unsigned result = USHER_RESULT_NONE;
    for (int attempt = 0; attempt < 1000 && result != USHER_OK; attempt++) { /* until the server has seen the end */
        assert_true(wire_open(&third, fixture.server.port));
        result = wire_login(&third, fixture.server.admin_key);
        if (result != USHER_OK)
            wire_close(&third);
    }
    assert_int_equal(result, USHER_OK);
    wire_close(&third);
    finish(&fixture);
}

/* --- time ------------------------------------------------------------------------------------------------------ */
/* Who does not prove a key in hello_ms is closed, whatever else it says. */
static void
a_connection_that_proves_nothing_is_closed_in_its_time(void **state)
{
    const usher_ping_request ping = {0};
    struct fixture fixture;
    struct wire silent, chatty, half;
    uint8_t key[64];
    (void)state;

    start(&fixture, "--hello-ms", "200", NULL);
    assert_true(wire_read_key(fixture.server.admin_key, key));
    assert_true(wire_open(&silent, fixture.server.port));
    assert_true(wire_open(&half, fixture.server.port));
    assert_true(wire_open(&chatty, fixture.server.port));
    assert_int_equal(wire_hello(&half, key), USHER_OK);
    assert_in_range(half.challenge.hello_ms, 0, 200);
    while (wire_ask(&chatty, USHER_OPCODE_PING, &ping, NULL) == USHER_OK)
        continue; /* pings buy no time: this loop ends */
    assert_true(wire_is_closed(&silent));
    assert_true(wire_is_closed(&half));
    wire_close(&silent);
    wire_close(&chatty);
    wire_close(&half);
    assert_int_equal(wire_ask(&fixture.wire, USHER_OPCODE_PING, &ping, NULL), USHER_OK);
    finish(&fixture);
}

/* With idle_ms a connection without a byte is closed. */
static void
an_idle_connection_is_closed_if_that_is_asked_for(void **state)
{
    struct fixture fixture;
    (void)state;

    start(&fixture, "--idle-ms", "150", NULL);
    assert_true(wire_is_closed(&fixture.wire));
    finish(&fixture);
}

/* Whether the server resets the connection while we send and never read. */
static bool
is_cut_while_sending(struct wire *wire, const uint8_t *bytes, size_t size)
{
    struct pollfd wait = {.fd = wire->fd, .events = POLLOUT};

    for (int attempt = 0; attempt < 100; attempt++) {
        ssize_t sent;
        do
            sent = send(wire->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        while (sent == (ssize_t)size);
        if (sent < 0 && errno != EAGAIN)
            return true;
        if (sent >= 0) { /* the kernel took a part: finish the frame when there is room */
            size_t rest = size - (size_t)sent;
            if (poll(&wait, 1, 100) > 0 && send(wire->fd, bytes + sent, rest, MSG_NOSIGNAL) < 0)
                return true;
        }
        poll(&wait, 1, 100);
        if (wait.revents & (POLLERR | POLLHUP))
            return true;
    }
    return false;
}

/* A consumer that asks and never reads is not read from any more, and cut off when nothing moves for stall_ms. */
static void
a_consumer_that_does_not_read_is_cut_off(void **state)
{
    const usher_policies_request policies = {0};
    struct fixture fixture;
    struct wire slow;
    uint8_t bytes[256];
    const usher_ping_request ping = {0};
    (void)state;

    start(&fixture, "--output-max", "262144", "--stall-ms", "200", NULL);
    open_admin(&fixture, &slow);
    size_t size = wire_build(bytes, USHER_OPCODE_POLICIES, 1, 0, &policies);
    assert_true(is_cut_while_sending(&slow, bytes, size));
    wire_close(&slow);
    assert_int_equal(wire_ask(&fixture.wire, USHER_OPCODE_PING, &ping, NULL), USHER_OK); /* nobody else felt it */
    finish(&fixture);
}

static void *
send_many_policies(void *argument)
{
    const usher_policies_request policies = {0};
    struct wire *wire = argument;

    for (int i = 0; i < 40; i++)
        send_together(wire, USHER_OPCODE_POLICIES, &policies, 100);
    return NULL;
}

/* A consumer that reads gets every reply, however far they exceed output_max: requests wait, nothing is cut. */
static void
replies_beyond_output_max_wait_for_their_reader(void **state)
{
    struct fixture fixture;
    pthread_t sender;
    (void)state;

    start(&fixture, "--output-max", "262144", NULL);
    assert_int_equal(pthread_create(&sender, NULL, send_many_policies, &fixture.wire), 0);
    struct tally tally = read_replies(&fixture.wire, 4000); /* about 2 KiB each */
    pthread_join(sender, NULL);
    assert_int_equal(tally.ok, 4000);
    finish(&fixture);
}

/* --- the turn ---------------------------------------------------------------------------------------------------- */
static usher_info_reply
info_of(struct wire *wire)
{
    const usher_info_request info = {0};
    usher_info_reply reply;

    assert_int_equal(wire_ask(wire, USHER_OPCODE_INFO, &info, &reply), USHER_OK);
    return reply;
}

/* Group commit: what arrives together is one batch. */
static void
commands_that_arrive_together_are_one_commit(void **state)
{
    usher_charge_request charge = {.user = wire_user(1), .amount = 1};
    static uint8_t bytes[100 * 256];
    struct fixture fixture;
    size_t size = 0;
    (void)state;

    start(&fixture, NULL);
    uint64_t before = info_of(&fixture.wire).position;
    for (uint32_t i = 0; i < 100; i++) {
        charge.request_id = wire_id();
        size += wire_build(bytes + size, USHER_OPCODE_CHARGE, 1 + i, 0, &charge);
    }
    assert_true(wire_send_bytes(&fixture.wire, bytes, size));
    assert_int_equal(read_replies(&fixture.wire, 100).ok, 100);
    assert_int_equal(info_of(&fixture.wire).position, before + 1);
    finish(&fixture);
}

/* F1: a query need not wait for the commit of other connections' commands, but it never overtakes those of its own. */
static void
a_query_behind_a_command_shows_what_it_did(void **state)
{
    const usher_balance_request balance = {.user = wire_user(1)};
    usher_charge_request charge = {.user = wire_user(1), .amount = 1};
    usher_balance_reply reply;
    struct wire_frame frame;
    struct fixture fixture;
    uint8_t bytes[1024];
    unsigned field_no;
    (void)state;

    start(&fixture, NULL);
    for (int64_t round = 1; round <= 200; round++) {
        charge.request_id = wire_id();
        size_t size = wire_build(bytes, USHER_OPCODE_BALANCE, 1, 0, &balance);
        size += wire_build(bytes + size, USHER_OPCODE_CHARGE, 2, 0, &charge);
        size += wire_build(bytes + size, USHER_OPCODE_BALANCE, 3, 0, &balance);
        assert_true(wire_send_bytes(&fixture.wire, bytes, size));
        for (int replies = 0; replies < 3; replies++) {
            assert_true(wire_receive(&fixture.wire, &frame));
            if (frame.request_no != 3)
                continue;
            assert_int_equal(usher_decode(usher_message_of(USHER_OPCODE_BALANCE)->reply, frame.body, frame.body_size,
                                          &reply, &field_no),
                             USHER_OK);
            assert_int_equal(reply.balance, round);
        }
    }
    finish(&fixture);
}

/* Queries alone commit nothing. */
static void
queries_commit_nothing(void **state)
{
    const usher_balance_request balance = {.user = wire_user(1)};
    struct fixture fixture;
    (void)state;

    start(&fixture, NULL);
    uint64_t before = info_of(&fixture.wire).position;
    send_together(&fixture.wire, USHER_OPCODE_BALANCE, &balance, 100);
    assert_int_equal(read_replies(&fixture.wire, 100).ok, 100);
    assert_int_equal(info_of(&fixture.wire).position, before);
    finish(&fixture);
}

/* A query that stands behind a command in the same write sees what the command did. */
static void
a_query_sees_the_command_that_was_sent_before_it(void **state)
{
    const usher_charge_request charge = {.request_id = wire_id(), .user = wire_user(1), .amount = 70};
    const usher_balance_request balance = {.user = wire_user(1)};
    struct fixture fixture;
    struct wire_frame frame;
    usher_balance_reply reply;
    uint8_t bytes[2048];
    unsigned field_no;
    (void)state;

    start(&fixture, NULL);
    size_t size = wire_build(bytes, USHER_OPCODE_CHARGE, 1, 0, &charge);
    size += wire_build(bytes + size, USHER_OPCODE_BALANCE, 2, 0, &balance);
    assert_true(wire_send_bytes(&fixture.wire, bytes, size));
    do
        assert_true(wire_receive(&fixture.wire, &frame));
    while (frame.request_no != 2);
    assert_int_equal(
        usher_decode(usher_message_of(USHER_OPCODE_BALANCE)->reply, frame.body, frame.body_size, &reply, &field_no),
        USHER_OK);
    assert_int_equal(reply.balance, 70);
    finish(&fixture);
}

/* A client that sends its end still gets its answers. */
static void
a_client_that_sends_its_end_gets_its_answers_first(void **state)
{
    const usher_ping_request ping = {.echo = 1};
    struct fixture fixture;
    (void)state;

    start(&fixture, NULL);
    send_together(&fixture.wire, USHER_OPCODE_PING, &ping, 10);
    assert_int_equal(shutdown(fixture.wire.fd, SHUT_WR), 0);
    assert_int_equal(read_replies(&fixture.wire, 10).ok, 10);
    assert_true(wire_is_closed(&fixture.wire));
    finish(&fixture);
}

static void
set_policy(struct wire *wire, bool of_queue, const char *name, uint64_t value)
{
    usher_set_policy_request request = {.request_id = wire_id(), .of_queue = of_queue, .value = value};

    strcpy(request.name, name);
    assert_int_equal(wire_ask(wire, USHER_OPCODE_SET_POLICY, &request, NULL), USHER_OK);
}

static usher_join_reply
join(struct wire *wire, uint64_t user)
{
    const usher_join_request request = {.request_id = wire_id(), .user = wire_user(user)};
    usher_join_reply reply;

    assert_int_equal(wire_ask(wire, USHER_OPCODE_JOIN, &request, &reply), USHER_OK);
    return reply;
}

/* T5: the loop wakes for the next due moment: users are admitted although no command comes, and none too early. */
static void
the_server_admits_when_the_moment_comes_though_nobody_asks(void **state)
{
    struct fixture fixture;
    usher_info_reply info;
    (void)state;

    start(&fixture, NULL);
    set_policy(&fixture.wire, true, "admit_batch", 1);
    set_policy(&fixture.wire, true, "admit_interval_ms", 300);
    assert_int_equal(join(&fixture.wire, 1).state, USHER_PLACE_ACTIVE);
    uint64_t first_ms = info_of(&fixture.wire).stamp_ms; /* the batch's: the reply's is later by a commit */
    assert_int_equal(join(&fixture.wire, 2).state, USHER_PLACE_WAITING);
    do
        info = info_of(&fixture.wire); /* a query: it commits nothing */
    while (info.active_count < 2 && fixture.wire.stamp_ms < first_ms + 30000);
    assert_int_equal(info.active_count, 2);
    assert_true(info.stamp_ms >= first_ms + 300 || info.stamp_ms / 300 > first_ms / 300);
    finish(&fixture);
}

/* Q6: a poll renews the waiter's lease: the trace of a query is in the next batch. Without polls the waiter has left.
 */
static void
a_waiter_stays_while_it_polls_and_leaves_when_it_stops(void **state)
{
    usher_set_mode_request pause = {.request_id = wire_id(), .mode = USHER_QUEUE_PAUSED};
    usher_place_request place = {0};
    usher_place_reply reply;
    struct fixture fixture;
    (void)state;

    start(&fixture, NULL);
    set_policy(&fixture.wire, false, "poll_ms_min", 50);
    set_policy(&fixture.wire, false, "poll_ms_max", 100);
    set_policy(&fixture.wire, true, "waiting_lease_ms", 2000);
    assert_int_equal(wire_ask(&fixture.wire, USHER_OPCODE_SET_MODE, &pause, NULL), USHER_OK);
    usher_join_reply joined = join(&fixture.wire, 1);
    uint64_t joined_ms = fixture.wire.stamp_ms;
    place.token_count = joined.token_count;
    memcpy(place.token, joined.token, joined.token_count);
    do {
        assert_int_equal(wire_ask(&fixture.wire, USHER_OPCODE_PLACE, &place, &reply), USHER_OK);
        assert_int_equal(reply.state, USHER_PLACE_WAITING);
    } while (fixture.wire.stamp_ms < joined_ms + 3000); /* longer than one lease */
    uint64_t last_ms = fixture.wire.stamp_ms;
    while (info_of(&fixture.wire).waiting_count > 0)
        assert_true(fixture.wire.stamp_ms < last_ms + 30000);
    assert_true(fixture.wire.stamp_ms >= last_ms + 1000); /* at least the half that was left */
    finish(&fixture);
}

/* --- a server inside the test: its clock and its stop are the test's ------------------------------------------------
 */
struct inside {
    struct store *store;
    struct core *core;
    struct commit *commit;
    struct net *net;
    pthread_t thread;
    uint64_t now_ms;
    uint64_t step_ms;   /* what every look at the clock takes */
    bool stop_at_once;  /* stop as soon as a client has authenticated */
    bool stop_at_event; /* stop in the turn that makes the next event, before its queries */
    uint8_t service_key[64], admin_key[64];
};
static struct inside *the_inside; /* the log's callback has no context */

static uint64_t
stepping_clock(void *clock)
{
    struct inside *inside = clock;

    return __atomic_add_fetch(&inside->now_ms, inside->step_ms, __ATOMIC_RELAXED);
}

static void
watch_log(int level, const char *event, const char *format, ...)
{
    (void)level;
    (void)format;
    if (__atomic_load_n(&the_inside->stop_at_once, __ATOMIC_RELAXED) && strcmp(event, "client") == 0)
        net_stop(the_inside->net);
}

static void
watch_events(void *context)
{
    struct inside *inside = context;

    if (__atomic_load_n(&inside->stop_at_event, __ATOMIC_RELAXED))
        net_stop(inside->net);
}

static void *
run_inside(void *argument)
{
    struct inside *inside = argument;

    assert_true(net_run(inside->net));
    return NULL;
}

static void
enrol_inside(struct inside *inside)
{
    usher_invite_request invite = {.request_id = wire_id(), .role = USHER_ROLE_ADMIN, .name = "admin"};
    usher_enrol_request enrol = {.request_id = wire_id(), .code = {{1}}};
    const struct core_asker admin = {.role = USHER_ROLE_ADMIN}, nobody = {0};

    crypto_generichash(invite.code_hash.bytes, 32, enrol.code.bytes, 32, NULL, 0);
    memcpy(enrol.client_key.bytes, inside->admin_key + 32, 32);
    assert_true(commit_add(inside->commit, usher_message_of(USHER_OPCODE_INVITE), &admin, &invite, 0));
    assert_true(commit_add(inside->commit, usher_message_of(USHER_OPCODE_ENROL), &nobody, &enrol, 0));
    assert_int_equal(commit_run(inside->commit, inside->now_ms), STORE_DONE);
    assert_int_equal(commit_answer(inside->commit, 1).result, USHER_OK);
}

static void
open_inside(struct inside *inside, uint64_t step_ms, bool stop_at_once)
{
    uint8_t public_key[32];
    char why[256];

    memset(inside, 0, sizeof *inside);
    the_inside = inside;
    inside->now_ms = 1750000000000;
    inside->step_ms = step_ms;
    inside->stop_at_once = stop_at_once;
    crypto_sign_keypair(public_key, inside->service_key);
    crypto_sign_keypair(public_key, inside->admin_key);
    inside->store = store_open_memory();
    inside->core = core_open(inside->store);
    inside->commit = commit_open(inside->store, inside->core);
    enrol_inside(inside);
    struct net_config config = {.store = inside->store,
                                .core = inside->core,
                                .commit = inside->commit,
                                .secret_key = inside->service_key,
                                .key_id = 1,
                                .listen = "127.0.0.1:0",
                                .limits = net_limits_usual(),
                                .now_ms = stepping_clock,
                                .clock = inside,
                                .log = watch_log,
                                .made_events = watch_events,
                                .context = inside};
    config.limits.hello_ms = 600000;
    config.limits.frame_ms = 600000;
    assert_int_equal(net_open(&config, &inside->net, why, sizeof why), NET_OK);
    assert_int_equal(pthread_create(&inside->thread, NULL, run_inside, inside), 0);
}

static void
free_inside(struct inside *inside)
{
    net_close(inside->net);
    commit_close(inside->commit);
    core_close(inside->core);
    store_close(inside->store);
}

static void
close_inside(struct inside *inside)
{
    assert_int_equal(pthread_join(inside->thread, NULL), 0);
    free_inside(inside);
}

static unsigned
ask_with_budget(struct wire *wire, uint16_t opcode, const void *body, uint32_t budget_ms)
{
    uint8_t bytes[2048];
    struct wire_frame frame;

    assert_true(wire_send_bytes(wire, bytes, wire_build(bytes, opcode, 900, budget_ms, body)));
    assert_true(wire_receive(wire, &frame));
    assert_int_equal(frame.request_no, 900);
    return frame.result;
}

/* A time budget that runs out before the request is begun: NOT_EXECUTED, for commands and queries, and nothing of it
 * happened; one that is left, or none, changes nothing. */
static void
a_request_whose_time_budget_ran_out_is_not_executed(void **state)
{
    const usher_charge_request charge = {.request_id = wire_id(), .user = wire_user(1), .amount = 9};
    const usher_balance_request balance = {.user = wire_user(1)};
    usher_balance_reply reply;
    struct inside inside;
    struct wire wire;
    (void)state;

    open_inside(&inside, 1, false); /* a millisecond passes between any two looks at the clock */
    assert_true(wire_open(&wire, net_port(inside.net)));
    assert_int_equal(wire_hello(&wire, inside.admin_key), USHER_OK);
    assert_int_equal(wire_authenticate(&wire, inside.admin_key, NULL), USHER_OK);
    assert_int_equal(ask_with_budget(&wire, USHER_OPCODE_CHARGE, &charge, 1), USHER_NOT_EXECUTED);
    assert_int_equal(ask_with_budget(&wire, USHER_OPCODE_BALANCE, &balance, 1), USHER_NOT_EXECUTED);
    assert_int_equal(wire_ask(&wire, USHER_OPCODE_BALANCE, &balance, &reply), USHER_OK);
    assert_int_equal(reply.balance, 0);
    assert_int_equal(ask_with_budget(&wire, USHER_OPCODE_CHARGE, &charge, UINT32_MAX), USHER_OK);
    assert_int_equal(ask_with_budget(&wire, USHER_OPCODE_BALANCE, &balance, 0), USHER_OK);
    __atomic_store_n(&inside.stop_at_once, true, __ATOMIC_RELAXED);
    struct wire last; /* its login stops the server */
    assert_true(wire_open(&last, net_port(inside.net)));
    assert_int_equal(wire_hello(&last, inside.admin_key), USHER_OK);
    wire_authenticate(&last, inside.admin_key, NULL);
    wire_close(&last);
    wire_close(&wire);
    close_inside(&inside);
}

/* X7: what arrives while the server stops is answered GOING_AWAY, and then the connection ends. One that has not proved
 * its key yet gets that answer and no push, which it could not understand. */
static void
a_request_that_comes_during_a_stop_is_told_that_the_server_goes_away(void **state)
{
    const usher_ping_request ping = {.echo = 1};
    usher_authenticate_request authenticate;
    struct inside inside;
    struct wire wire, unproved;
    uint8_t digest[32], bytes[512];
    (void)state;

    open_inside(&inside, 0, true);
    assert_true(wire_open(&unproved, net_port(inside.net)));
    assert_int_equal(wire_hello(&unproved, inside.admin_key), USHER_OK);
    assert_true(wire_open(&wire, net_port(inside.net)));
    assert_int_equal(wire_hello(&wire, inside.admin_key), USHER_OK);
    usher_handshake_digest(USHER_HANDSHAKE_CLIENT, &wire.hello, &wire.challenge, digest);
    crypto_sign_detached(authenticate.signature.bytes, NULL, digest, sizeof digest, inside.admin_key);
    size_t size = wire_build(bytes, USHER_OPCODE_AUTHENTICATE, 1, 0, &authenticate);
    size += wire_build(bytes + size, USHER_OPCODE_PING, 2, 0, &ping);
    assert_true(wire_send_bytes(&wire, bytes, size));
    struct wire_frame frame;
    assert_true(wire_receive(&wire, &frame));
    assert_int_equal(frame.result, USHER_OK);
    assert_true(wire_receive(&wire, &frame));
    assert_int_equal(frame.request_no, 2);
    assert_int_equal(frame.result, USHER_GOING_AWAY);
    assert_true(wire_receive(&wire, &frame));
    assert_int_equal(frame.flags, USHER_FLAG_PUSH);
    assert_int_equal(frame.opcode, USHER_PUSH_GOING_AWAY);
    assert_int_equal(wire_ask(&wire, USHER_OPCODE_PING, &ping, NULL), USHER_GOING_AWAY); /* it met the push */
    assert_int_not_equal(wire_send(&unproved, USHER_OPCODE_AUTHENTICATE, &authenticate), 0);
    assert_true(wire_receive(&unproved, &frame));
    assert_int_equal(frame.flags, USHER_FLAG_REPLY);
    assert_int_equal(frame.result, USHER_GOING_AWAY);
    __atomic_add_fetch(&inside.now_ms, 250, __ATOMIC_RELAXED);
    assert_true(wire_is_closed(&wire));
    assert_false(wire_receive(&unproved, &frame));
    wire_close(&unproved);
    wire_close(&wire);
    close_inside(&inside);
}

/* X7, Q5: what a query of the last turn leaves behind, here the claim of an admission, is committed as well; and the
 * commands of that turn are answered, though the server stops already. */
static void
what_the_last_turn_leaves_behind_is_kept(void **state)
{
    const usher_put_concert_request concert = {.request_id = wire_id(), .concert_id = 1, .title = "First"};
    usher_join_request join_request = {.request_id = wire_id(), .user = wire_user(1)};
    usher_dates_request dates = {.concert_id = 1};
    usher_join_reply joined;
    struct inside inside;
    struct wire wire;
    uint8_t bytes[2048];
    (void)state;

    open_inside(&inside, 0, false);
    assert_true(wire_open(&wire, net_port(inside.net)));
    assert_int_equal(wire_hello(&wire, inside.admin_key), USHER_OK);
    assert_int_equal(wire_authenticate(&wire, inside.admin_key, NULL), USHER_OK);
    assert_int_equal(wire_ask(&wire, USHER_OPCODE_PUT_CONCERT, &concert, NULL), USHER_OK);
    assert_int_equal(wire_ask(&wire, USHER_OPCODE_JOIN, &join_request, &joined), USHER_OK);
    assert_int_equal(joined.state, USHER_PLACE_ACTIVE);
    __atomic_store_n(&inside.stop_at_event, true, __ATOMIC_RELAXED);
    dates.token_count = joined.token_count;
    memcpy(dates.token, joined.token, joined.token_count);
    join_request = (usher_join_request){.request_id = wire_id(), .user = wire_user(2)};
    size_t size = wire_build(bytes, USHER_OPCODE_JOIN, 901, 0, &join_request);
    size += wire_build(bytes + size, USHER_OPCODE_DATES, 902, 0, &dates);
    assert_true(wire_send_bytes(&wire, bytes, size));
    for (int i = 0; i < 3; i++) { /* two replies, then the push */
        struct wire_frame frame;
        assert_true(wire_receive(&wire, &frame));
        assert_int_equal(frame.flags, i < 2 ? USHER_FLAG_REPLY : USHER_FLAG_PUSH);
        assert_int_equal(frame.result, USHER_OK);
    }
    __atomic_add_fetch(&inside.now_ms, 250, __ATOMIC_RELAXED);
    assert_true(wire_is_closed(&wire));
    wire_close(&wire);
    assert_int_equal(pthread_join(inside.thread, NULL), 0);
    uint64_t key = store_find_queue(inside.store, 0) << 40 | joined.position;
    const struct ticket_record *claimed = store_see_ticket(inside.store, key);
    const struct ticket_record *unclaimed = store_see_ticket(inside.store, key + 1);
    assert_non_null(claimed);
    assert_non_null(unclaimed);
    assert_int_equal(ticket_claim_ms(claimed), 0);
    assert_int_not_equal(ticket_claim_ms(unclaimed), 0);
    free_inside(&inside);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_request_more_than_may_be_in_flight_is_busy),
        cmocka_unit_test(one_request_more_than_a_turn_takes_is_busy),
        cmocka_unit_test(a_command_that_was_busy_goes_through_when_sent_again),
        cmocka_unit_test(one_connection_more_than_allowed_is_told_busy_and_closed),
        cmocka_unit_test(a_connection_that_proves_nothing_is_closed_in_its_time),
        cmocka_unit_test(an_idle_connection_is_closed_if_that_is_asked_for),
        cmocka_unit_test(a_consumer_that_does_not_read_is_cut_off),
        cmocka_unit_test(replies_beyond_output_max_wait_for_their_reader),
        cmocka_unit_test(commands_that_arrive_together_are_one_commit),
        cmocka_unit_test(a_query_behind_a_command_shows_what_it_did),
        cmocka_unit_test(queries_commit_nothing),
        cmocka_unit_test(a_query_sees_the_command_that_was_sent_before_it),
        cmocka_unit_test(a_client_that_sends_its_end_gets_its_answers_first),
        cmocka_unit_test(the_server_admits_when_the_moment_comes_though_nobody_asks),
        cmocka_unit_test(a_waiter_stays_while_it_polls_and_leaves_when_it_stops),
        cmocka_unit_test(a_request_whose_time_budget_ran_out_is_not_executed),
        cmocka_unit_test(a_request_that_comes_during_a_stop_is_told_that_the_server_goes_away),
        cmocka_unit_test(what_the_last_turn_leaves_behind_is_kept),
    };
    return usher_test_main(argc, argv, tests);
}
