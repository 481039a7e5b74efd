/* drain_test.c: the stop of a real usherd (X7): what its clients are told, what becomes of what is in flight, what is
 * valid afterwards, and what each signal does. */
#define _GNU_SOURCE 1
#include "tests/test.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/server.h"
#include "tests/wire.h"

#define SAID_MOST 8192
#define HOUR_MS   3600000

static const usher_ping_request ping = {.echo = 1};

static void
log_in(const struct test_server *server, struct wire *wire)
{
    assert_true(wire_open(wire, server->port));
    assert_int_equal(wire_login(wire, server->admin_key), USHER_OK);
}

/* Wait for the push. */
static usher_going_away_push
receive_push(struct wire *wire)
{
    struct wire_frame frame;
    usher_going_away_push push;
    unsigned field_no;

    assert_true(wire_receive(wire, &frame));
    assert_int_equal(frame.flags, USHER_FLAG_PUSH);
    assert_int_equal(frame.opcode, USHER_PUSH_GOING_AWAY);
    assert_int_equal(frame.request_no, 0);
    assert_int_equal(frame.result, 0);
    assert_int_equal(usher_decode(usher_push_of(frame.opcode)->body, frame.body, frame.body_size, &push, &field_no),
                     USHER_OK);
    return push;
}

/* Ask and never read, until the server's output is over its limit and nothing goes into the socket any more. */
static void
stuff(struct wire *wire)
{
    const usher_policies_request policies = {0};
    struct pollfd room = {.fd = wire->fd, .events = POLLOUT};
    uint8_t bytes[256];
    size_t size = wire_build(bytes, USHER_OPCODE_POLICIES, 1, 0, &policies);

    while (poll(&room, 1, 500) > 0) {
        ssize_t sent = send(wire->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        assert_true(sent > 0 || errno == EAGAIN);
        if (sent != (ssize_t)size)
            return; /* a part of a frame: nothing more may follow it */
    }
}

/* --- the end of a drain --------------------------------------------------------------------------------------------
 */
/* X7: a connection that does not read costs drain_ms and no more, however patient the server is with it otherwise. */
static void
a_connection_that_does_not_read_is_cut_after_drain_ms(void **state)
{
    struct test_server server;
    struct wire wire, stuck;
    char said[SAID_MOST];
    (void)state;

    test_server_open(&server);
    test_server_start(&server, "--drain-ms", "700", "--stall-ms", "600000", "--output-max", "262144", NULL);
    log_in(&server, &wire);
    log_in(&server, &stuck);
    stuff(&stuck);
    assert_int_equal(test_server_stop(&server, SIGTERM), 0);
    usher_going_away_push push = receive_push(&wire);
    assert_int_equal(push.drain_ms, 700);
    assert_int_equal(push.reason, USHER_AWAY_STOP);
    assert_true(wire_is_closed(&wire));
    test_server_log(&server, said, sizeof said);
    assert_non_null(strstr(said, "event=drained told=2 unsent=1"));
    wire_close(&wire);
    wire_close(&stuck);
    test_server_close(&server);
}

/* X7: while it drains nobody new is let in; a second signal ends the drain at once, with 0 as the first would have. */
static void
a_second_signal_ends_the_drain_at_once(void **state)
{
    static const int seconds[] = {SIGTERM, SIGINT};
    struct test_server server;
    struct wire wire, stuck, late;
    char said[SAID_MOST];
    (void)state;

    test_server_open(&server);
    for (int i = 0; i < 2; i++) {
        test_server_start(&server, "--drain-ms", "600000", "--stall-ms", "600000", "--output-max", "262144", NULL);
        log_in(&server, &wire);
        log_in(&server, &stuck);
        stuff(&stuck);
        assert_int_equal(kill(server.pid, SIGTERM), 0);
        assert_int_equal(receive_push(&wire).drain_ms, 600000);
        assert_false(wire_open(&late, server.port));
        assert_int_equal(test_server_stop(&server, seconds[i]), 0);
        wire_close(&wire);
        wire_close(&stuck);
    }
    test_server_log(&server, said, sizeof said);
    assert_non_null(strstr(said, "event=stopping_at_once"));
    test_server_close(&server);
}

/* X7: signals that keep coming until the very end never turn the stop into a death by signal. */
static void
signals_that_keep_coming_change_nothing_of_the_end(void **state)
{
    struct test_server server;
    struct wire wire;
    int status;
    (void)state;

    test_server_open(&server);
    for (int i = 0; i < 5; i++) {
        test_server_start(&server, NULL);
        log_in(&server, &wire);
        do {
            assert_int_equal(kill(server.pid, i % 2 == 0 ? SIGTERM : SIGINT),
                             0); /* until it is waited for it is there */
        } while (waitpid(server.pid, &status, WNOHANG) == 0);
        server.pid = 0;
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        wire_close(&wire);
    }
    test_server_close(&server);
}

/* X7: SIGHUP, SIGUSR1, SIGUSR2 and SIGPIPE mean nothing: it goes on serving. */
static void
signals_without_a_meaning_are_ignored(void **state)
{
    static const int ignored[] = {SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE};
    struct test_server server;
    struct wire wire;
    (void)state;

    test_server_open(&server);
    test_server_start(&server, NULL);
    log_in(&server, &wire);
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) {
        assert_int_equal(kill(server.pid, ignored[i]), 0);
        assert_int_equal(wire_ask(&wire, USHER_OPCODE_PING, &ping, NULL), USHER_OK);
        assert_int_equal(wire.flags, USHER_FLAG_REPLY); /* and no push came */
    }
    wire_close(&wire);
    assert_int_equal(test_server_stop(&server, SIGTERM), 0);
    test_server_close(&server);
}

/* --- under load ----------------------------------------------------------------------------------------------------
 */
#define LOADERS   4
#define IN_FLIGHT 32

struct loader {
    struct wire wire;
    usher_uuid user;
    uint64_t *answered;                         /* all loaders together */
    uint64_t sent, ok, away, other, push_count; /* what became of its requests */
    pthread_t thread;
};

static void
take_answer(struct loader *loader, const struct wire_frame *frame)
{
    if (frame->flags & USHER_FLAG_PUSH) {
        loader->push_count++;
        return;
    }
    *(frame->result == USHER_OK           ? &loader->ok
      : frame->result == USHER_GOING_AWAY ? &loader->away
                                          : &loader->other) += 1;
    __atomic_add_fetch(loader->answered, 1, __ATOMIC_RELAXED);
}

/* Charge one point after another, many in flight, until the push comes; then take what is due until the end. */
static void *
load(void *argument)
{
    struct loader *loader = argument;
    usher_charge_request charge = {.user = loader->user, .amount = 1};
    struct wire_frame frame;

    for (;;) {
        while (loader->push_count == 0 && loader->sent - loader->ok - loader->away - loader->other < IN_FLIGHT) {
            charge.request_id = wire_id();
            if (wire_send(&loader->wire, USHER_OPCODE_CHARGE, &charge) == 0)
                return NULL;
            loader->sent++;
        }
        if (!wire_receive(&loader->wire, &frame))
            return NULL;
        take_answer(loader, &frame);
    }
}

/* X7, X3: a stop in the middle of a load: what was answered OK is there, once; what was answered GOING_AWAY or not at
 * all is not; each client is told once. */
static void
a_stop_under_load_loses_nothing_and_doubles_nothing(void **state)
{
    static struct loader loaders[LOADERS];
    struct test_server server;
    struct wire wire;
    uint64_t answered = 0;
    (void)state;

    test_server_open(&server);
    test_server_start(&server, NULL);
    memset(loaders, 0, sizeof loaders);
    for (uint64_t i = 0; i < LOADERS; i++) {
        loaders[i].user = wire_user(i + 1);
        loaders[i].answered = &answered;
        log_in(&server, &loaders[i].wire);
        assert_int_equal(pthread_create(&loaders[i].thread, NULL, load, &loaders[i]), 0);
    }
    for (int waited_ms = 0; __atomic_load_n(&answered, __ATOMIC_RELAXED) < 1000; waited_ms++) {
        assert_in_range(waited_ms, 0, 60000);
        poll(NULL, 0, 1);
    }
    assert_int_equal(test_server_stop(&server, SIGTERM), 0);
    for (uint64_t i = 0; i < LOADERS; i++) {
        assert_int_equal(pthread_join(loaders[i].thread, NULL), 0);
        wire_close(&loaders[i].wire);
    }

    test_server_start(&server, NULL);
    log_in(&server, &wire);
    for (uint64_t i = 0; i < LOADERS; i++) {
        const usher_balance_request balance = {.user = loaders[i].user};
        usher_balance_reply reply;
        assert_int_equal(wire_ask(&wire, USHER_OPCODE_BALANCE, &balance, &reply), USHER_OK);
        assert_int_equal(reply.balance, loaders[i].ok);
        assert_int_equal(loaders[i].push_count, 1);
        assert_int_equal(loaders[i].other, 0);
    }
    wire_close(&wire);
    test_server_close(&server);
}

/* --- over the restart -----------------------------------------------------------------------------------------------
 */
static void
set_policy(struct wire *wire, const char *name, uint64_t value)
{
    usher_set_policy_request request = {.request_id = wire_id(), .of_queue = USHER_FLAG_YES, .value = value};

    strcpy(request.name, name);
    assert_int_equal(wire_ask(wire, USHER_OPCODE_SET_POLICY, &request, NULL), USHER_OK);
}

/* One concert with one date of 50 seats at 100 points; one user is admitted, and the next a day later. */
static void
load_house(struct wire *wire)
{
    const usher_put_plan_request plan = {
        .request_id = wire_id(),
        .plan_id = 1,
        .section_count = 1,
        .section = {{.name = "hall", .first_row = 1, .row_count = 5, .seats_per_row = 10}}};
    const usher_put_concert_request concert = {.request_id = wire_id(), .concert_id = 1, .title = "First"};
    const usher_put_date_request date = {.request_id = wire_id(),
                                         .concert_id = 1,
                                         .date_id = 1,
                                         .plan_id = 1,
                                         .starts_at_ms = wire->stamp_ms + 48 * (uint64_t)HOUR_MS,
                                         .price_count = 1,
                                         .price = {100}};

    assert_int_equal(wire_ask(wire, USHER_OPCODE_PUT_PLAN, &plan, NULL), USHER_OK);
    assert_int_equal(wire_ask(wire, USHER_OPCODE_PUT_CONCERT, &concert, NULL), USHER_OK);
    assert_int_equal(wire_ask(wire, USHER_OPCODE_PUT_DATE, &date, NULL), USHER_OK);
    set_policy(wire, "admit_batch", 1);
    set_policy(wire, "admit_interval_ms", 24 * (uint64_t)HOUR_MS);
}

static usher_join_reply
join(struct wire *wire, uint64_t user)
{
    const usher_join_request request = {.request_id = wire_id(), .user = wire_user(user)};
    usher_join_reply reply;

    assert_int_equal(wire_ask(wire, USHER_OPCODE_JOIN, &request, &reply), USHER_OK);
    return reply;
}

#define WITH_TOKEN(request, joined)                                                                                    \
    ((request).token_count = (joined).token_count, (void)memcpy((request).token, (joined).token, (joined).token_count))

static uint64_t
hold(struct wire *wire, const usher_join_reply *joined, uint32_t seat_no, uint64_t *until_ms)
{
    usher_reserve_request request = {
        .request_id = wire_id(), .concert_id = 1, .date_id = 1, .seat_count = 1, .seat = {seat_no}};
    usher_reserve_reply reply;

    WITH_TOKEN(request, *joined);
    assert_int_equal(wire_ask(wire, USHER_OPCODE_RESERVE, &request, &reply), USHER_OK);
    *until_ms = reply.hold[0].until_ms;
    return reply.hold[0].reservation_id;
}

/* Stop, start with these options, and log in again. */
#define restart(server, wire, ...)                                                                                     \
    do {                                                                                                               \
        assert_int_equal(test_server_stop(server, SIGTERM), 0);                                                        \
        wire_close(wire);                                                                                              \
        test_server_start(server, __VA_ARGS__);                                                                        \
        log_in(server, wire);                                                                                          \
    } while (0)

/* The waiter still stands where it stood, by the token of before the stop. */
static void
assert_waits_at(struct wire *wire, const usher_join_reply *joined, uint64_t rank)
{
    usher_place_request request = {.token_count = 0};
    usher_place_reply reply;

    WITH_TOKEN(request, *joined);
    assert_int_equal(wire_ask(wire, USHER_OPCODE_PLACE, &request, &reply), USHER_OK);
    assert_int_equal(reply.state, USHER_PLACE_WAITING);
    assert_int_equal(reply.position, joined->position);
    assert_int_equal(reply.rank, rank);
}

static void
pay_after_the_restart(struct wire *wire, const usher_join_reply *joined, uint64_t reservation_id)
{
    usher_charge_request charge = {.request_id = wire_id(), .amount = 100};
    usher_pay_request pay = {.request_id = wire_id(), .reservation_count = 1, .reservation = {reservation_id}};
    usher_pay_reply paid;

    WITH_TOKEN(charge, *joined);
    WITH_TOKEN(pay, *joined);
    assert_int_equal(wire_ask(wire, USHER_OPCODE_CHARGE, &charge, NULL), USHER_OK);
    assert_int_equal(wire_ask(wire, USHER_OPCODE_PAY, &pay, &paid), USHER_OK);
    assert_int_equal(paid.amount, 100);
}

/* X7, Q2, M7: holds, tokens and the line are over a restart what they were before it: hold, stop, start, pay with the
 * same token. X2: and over one of an hour, in which the hold's deadline lies. */
static void
a_hold_is_paid_and_a_place_kept_after_a_stop_and_a_start(void **state)
{
    struct test_server server;
    struct wire wire;
    (void)state;

    for (int dark = 0; dark < 2; dark++) {
        char wall_ms[32];
        uint64_t until_ms;
        test_server_open(&server);
        test_server_start(&server, NULL);
        log_in(&server, &wire);
        load_house(&wire);
        usher_join_reply first = join(&wire, 1), second = join(&wire, 2), third = join(&wire, 3);
        assert_int_equal(first.state, USHER_PLACE_ACTIVE);
        uint64_t reservation_id = hold(&wire, &first, 7, &until_ms);
        snprintf(wall_ms, sizeof wall_ms, "%llu", (unsigned long long)until_ms + HOUR_MS);
        if (dark)
            restart(&server, &wire, "--wall-ms", wall_ms, NULL);
        else
            restart(&server, &wire, NULL);
        assert_waits_at(&wire, &third, 2);
        assert_waits_at(&wire, &second, 1);
        pay_after_the_restart(&wire, &first, reservation_id);
        assert_true(dark == 0 || wire.stamp_ms > until_ms);
        wire_close(&wire);
        test_server_close(&server);
    }
}

/* --- a program that waits ---------------------------------------------------------------------------------------- */
/* Begin usherctl's buy for the user, what it says going to these files. */
static pid_t
begin_buying(const struct test_server *server, const char *address, const char *out, const char *err)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child > 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (freopen(out, "w", stdout) == NULL || freopen(err, "w", stderr) == NULL)
        _exit(126);
    execl(USHERCTL_PATH, USHERCTL_PATH, "--server", address, "--key", server->admin_key, "buy", "--user",
          "0190c0de-0000-7000-8000-00000000000a", (char *)NULL);
    _exit(127);
}

static void
read_all(const char *path, char said[SAID_MOST])
{
    FILE *file = fopen(path, "re");
    size_t length = file == NULL ? 0 : fread(said, 1, SAID_MOST - 1, file);

    said[length] = '\0';
    if (file != NULL)
        fclose(file);
}

/* Wait until the file holds this text. */
static void
await_text(const char *path, const char *text)
{
    char said[SAID_MOST];

    for (int waited_ms = 0; waited_ms < 60000; waited_ms += 5) {
        read_all(path, said);
        if (strstr(said, text) != NULL)
            return;
        poll(NULL, 0, 5);
    }
    fail_msg("no \"%s\" in %s: %s", text, path, said);
}

/* X7, Q2, T4: who waits in line when the server is stopped and started again waits on, at the same place, and buys. */
static void
a_buyer_in_line_waits_on_over_a_restart(void **state)
{
    usher_set_mode_request mode = {.request_id = wire_id(), .mode = USHER_QUEUE_PAUSED};
    char out[TEST_PATH_MOST + 8], err[TEST_PATH_MOST + 8], address[32], said[SAID_MOST];
    struct test_server server;
    struct wire wire;
    int status;
    (void)state;

    test_server_open(&server);
    test_server_start(&server, NULL);
    log_in(&server, &wire);
    load_house(&wire);
    assert_int_equal(wire_ask(&wire, USHER_OPCODE_SET_MODE, &mode, NULL), USHER_OK);
    set_policy(&wire, "admit_batch", 2);
    join(&wire, 1);
    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)server.port);
    snprintf(out, sizeof out, "%s/out", server.folder);
    snprintf(err, sizeof err, "%s/err", server.folder);
    pid_t buyer = begin_buying(&server, address, out, err);
    await_text(out, "waiting: ");
    assert_int_equal(test_server_stop(&server, SIGTERM), 0);
    wire_close(&wire);
    await_text(err, "trying again");
    test_server_start(&server, "--listen", address, NULL);
    log_in(&server, &wire);
    mode = (usher_set_mode_request){.request_id = wire_id(), .mode = USHER_QUEUE_OPEN};
    assert_int_equal(wire_ask(&wire, USHER_OPCODE_SET_MODE, &mode, NULL), USHER_OK);
    assert_int_equal(waitpid(buyer, &status, 0), buyer);
    read_all(err, said);
    assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1); /* it complained once */
    read_all(out, said);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_non_null(strstr(said, "joined queue 0 at place 2\n"));
    assert_non_null(strstr(said, "paid 100 points, 0 are left"));
    wire_close(&wire);
    test_server_close(&server);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_that_does_not_read_is_cut_after_drain_ms),
        cmocka_unit_test(a_second_signal_ends_the_drain_at_once),
        cmocka_unit_test(signals_that_keep_coming_change_nothing_of_the_end),
        cmocka_unit_test(signals_without_a_meaning_are_ignored),
        cmocka_unit_test(a_stop_under_load_loses_nothing_and_doubles_nothing),
        cmocka_unit_test(a_hold_is_paid_and_a_place_kept_after_a_stop_and_a_start),
        cmocka_unit_test(a_buyer_in_line_waits_on_over_a_restart),
    };
    return usher_test_main(argc, argv, tests);
}
