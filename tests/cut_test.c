/* cut_test.c: a real usherd behind a network that breaks in the middle of purchases: from some byte on nothing arrives,
 * in one way or in both, and nobody is told. And a client that is killed with its payment on the way. Afterwards the
 * request ids tell what was done, and nothing was done twice. */
#include "test.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "async_buy.h"
#include "fake_buy.h"
#include "instances_help.h"

/* --- the network ---------------------------------------------------------------------------------------- */
#define LINES_MOST 48

/* The ways that bytes go; both: TO_SERVER | TO_CLIENT. */
enum { TO_SERVER = 1, TO_CLIENT = 2 };

/* Carries bytes between clients and the server until so many have passed; from then on it swallows what goes these ways
 * on the connections that are there and on the next one. Those after it find the network whole again. `held` swallows
 * at once, on all of them, as long as the test wants. */
struct network {
    int listener, stop[2];
    uint16_t server_port;
    char address[32];
    pthread_t thread;
    uint64_t cut_after, passed;
    unsigned cut_ways;
    bool next_is_cut;
    atomic_uint held;
    atomic_ullong swallowed;
    unsigned line_count;
    struct {
        int end[2]; /* the client's, the server's */
        unsigned lost;
    } line[LINES_MOST];
};

static int
loopback_socket(uint16_t port, bool listens)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_port = htons(port);
    if (listens) {
        assert_int_equal(bind(made, (struct sockaddr *)&address, sizeof address), 0);
        assert_int_equal(listen(made, 16), 0);
    } else {
        assert_int_equal(connect(made, (struct sockaddr *)&address, sizeof address), 0);
    }
    return made;
}

static void
network_accept(struct network *network)
{
    unsigned at = network->line_count++;

    assert_true(at < LINES_MOST);
    network->line[at].end[0] = accept(network->listener, NULL, NULL);
    network->line[at].end[1] = loopback_socket(network->server_port, false);
    network->line[at].lost = network->next_is_cut ? network->cut_ways : 0;
    network->next_is_cut = false;
}

/* How many of these bytes still arrive; the cut happens in here. */
static size_t
network_let_through(struct network *network, unsigned at, unsigned way, size_t size)
{
    size_t goes = size;

    if (((network->line[at].lost | atomic_load(&network->held)) & way) != 0)
        goes = 0;
    else if (network->passed + size > network->cut_after) {
        for (unsigned i = 0; i < network->line_count; i++)
            network->line[i].lost = network->cut_ways;
        network->next_is_cut = true;
        if ((network->cut_ways & way) != 0)
            goes = (size_t)(network->cut_after - network->passed);
        network->cut_after = UINT64_MAX;
    }
    network->passed += goes;
    atomic_fetch_add(&network->swallowed, size - goes);
    return goes;
}

/* What has come at one end goes to the other; an end that is closed closes the other, but through a cut. */
static void
network_carry(struct network *network, unsigned at, unsigned from)
{
    uint8_t bytes[4096];
    int *ends = network->line[at].end;
    ssize_t size = recv(ends[from], bytes, sizeof bytes, MSG_DONTWAIT);

    if (size > 0) {
        size_t goes = network_let_through(network, at, from == 0 ? TO_SERVER : TO_CLIENT, (size_t)size);
        for (size_t sent = 0; sent < goes && ends[1 - from] >= 0;) {
            ssize_t taken = send(ends[1 - from], bytes + sent, goes - sent, MSG_NOSIGNAL);
            if (taken <= 0)
                break; /* it is closed at that end, which will be seen there */
            sent += (size_t)taken;
        }
    } else if (size == 0) {
        close(ends[from]);
        ends[from] = -1;
        if (network->line[at].lost == 0 && atomic_load(&network->held) == 0 && ends[1 - from] >= 0)
            shutdown(ends[1 - from], SHUT_RDWR);
    }
}

static void *
network_run(void *argument)
{
    struct network *network = argument;
    struct pollfd watched[2 + 2 * LINES_MOST];

    for (;;) {
        unsigned count = network->line_count;

        watched[0] = (struct pollfd){.fd = network->stop[0], .events = POLLIN};
        watched[1] = (struct pollfd){.fd = network->listener, .events = POLLIN};
        for (unsigned i = 0; i < 2 * count; i++)
            watched[2 + i] = (struct pollfd){.fd = network->line[i / 2].end[i % 2], .events = POLLIN};
        poll(watched, 2 + 2 * count, -1);
        if (watched[0].revents != 0)
            return NULL;
        for (unsigned i = 0; i < 2 * count; i++)
            if (watched[2 + i].revents != 0 && network->line[i / 2].end[i % 2] >= 0)
                network_carry(network, i / 2, i % 2);
        if (watched[1].revents != 0)
            network_accept(network);
    }
}

static struct network *
network_open(uint16_t server_port, uint64_t cut_after, unsigned cut_ways)
{
    struct network *network = calloc(1, sizeof *network);
    struct sockaddr_in address;
    socklen_t size = sizeof address;

    assert_non_null(network);
    network->server_port = server_port;
    network->cut_after = cut_after;
    network->cut_ways = cut_ways;
    network->listener = loopback_socket(0, true);
    assert_int_equal(getsockname(network->listener, (struct sockaddr *)&address, &size), 0);
    snprintf(network->address, sizeof network->address, "127.0.0.1:%u", ntohs(address.sin_port));
    assert_int_equal(pipe(network->stop), 0);
    assert_int_equal(pthread_create(&network->thread, NULL, network_run, network), 0);
    return network;
}

/* Returns how many bytes arrived. */
static uint64_t
network_close(struct network *network)
{
    uint64_t passed;

    close(network->stop[1]);
    pthread_join(network->thread, NULL);
    for (unsigned i = 0; i < 2 * network->line_count; i++)
        if (network->line[i / 2].end[i % 2] >= 0)
            close(network->line[i / 2].end[i % 2]);
    close(network->stop[0]);
    close(network->listener);
    passed = network->passed;
    free(network);
    return passed;
}

/* --- the house ------------------------------------------------------------------------------------------- */
#define PRICE 2500

/* usherd with 1,000 seats behind queue 1, which is where a fake house has them. */
static void
sale_open(struct house *house, usher_options *options, usher_secret *secret)
{
    usher_put_queue_request queue = {.request_id = wire_id(), .queue_id = 1, .name = "Door"};
    usher_put_concert_request concert = {.request_id = wire_id(), .concert_id = 1, .queue_id = 1, .title = "Cut"};
    usher_put_plan_request plan = {.request_id = wire_id(), .plan_id = 1, .section_count = 1};
    usher_put_date_request date = {
        .request_id = wire_id(), .concert_id = 1, .date_id = 1, .plan_id = 1, .price_count = 1, .price = {PRICE}};
    usher_set_policy_request admits = {
        .request_id = wire_id(), .of_queue = USHER_FLAG_YES, .queue_id = 1, .name = "admit_batch", .value = 100000};

    house_open(house, 1);
    house_enrol_gateway(house, 0, 0);
    plan.section[0] = (usher_section){.name = "Hall", .first_row = 1, .row_count = 10, .seats_per_row = 100};
    date.starts_at_ms = house->admin[0].stamp_ms + 86400000;
    house_must(&house->admin[0], USHER_OPCODE_PUT_QUEUE, &queue, NULL);
    house_must(&house->admin[0], USHER_OPCODE_SET_POLICY, &admits, NULL);
    house_must(&house->admin[0], USHER_OPCODE_PUT_PLAN, &plan, NULL);
    house_must(&house->admin[0], USHER_OPCODE_PUT_CONCERT, &concert, NULL);
    house_must(&house->admin[0], USHER_OPCODE_PUT_DATE, &date, NULL);
    memcpy(secret->bytes, house->gateway_key, sizeof secret->bytes);
    *options = (usher_options){.secret = secret, .timeout_ms = 120, .retry_ms_least = 1, .retry_ms_most = 10};
}

/* What the events say: so many users, each with one seat that was charged and paid for once. */
static void
sale_close(struct house *house, unsigned users)
{
    struct tally *tally = calloc(1, sizeof *tally);

    assert_non_null(tally);
    tally->active_max = 1000000;
    tally_read(&house->admin[0], tally);
    assert_int_equal(tally->joined, users);
    assert_int_equal(tally->charged, users);
    assert_int_equal(tally->paid, users);
    assert_int_equal(tally->sold, users);
    assert_int_equal(tally->charges, (int64_t)users * PRICE);
    assert_int_equal(tally->payments, (int64_t)users * PRICE);
    free(tally);
    house_close(house);
}

/* --- the network is cut ------------------------------------------------------------------------------------ */
#define BESIDE 3 /* buyers on one handle */
#define CUTS   4 /* silence is noticed after a second or two: that is what each of them takes */

typedef void buy_through(const usher_options *options, unsigned *users);

static void
buy_with_a_client(const usher_options *options, unsigned *users)
{
    struct fake_buy buy = {.user = {{1, (uint8_t)(*users >> 8), (uint8_t)*users}}};

    (*users)++;
    assert_int_equal(fake_buy_seat(&buy, options), USHER_OK);
}

static void
buy_with_a_handle(const usher_options *options, unsigned *users)
{
    usher_async_options all = {.common = *options, .heartbeat_ms = 60};
    struct async_buy buy[BESIDE];
    usher_async *async;
    unsigned over;
    uint64_t until_ms = house_now_ms() + 30000;

    assert_int_equal(usher_async_open(&all, &async), USHER_STATUS_ANSWERED);
    memset(buy, 0, sizeof buy);
    for (unsigned i = 0; i < BESIDE; i++, (*users)++) {
        buy[i].queue_id = 1;
        buy[i].user = (usher_uuid){{1, (uint8_t)(*users >> 8), (uint8_t)*users}};
        async_buy_go(&buy[i], async);
    }
    do {
        struct pollfd watched = {.fd = usher_async_descriptor(async), .events = POLLIN};

        if (house_now_ms() > until_ms || poll(&watched, 1, 30000) != 1)
            fail_msg("the purchases do not come to an end");
        usher_async_process(async);
        over = 0;
        for (unsigned i = 0; i < BESIDE; i++)
            over += buy[i].step == ASYNC_BUY_OVER;
    } while (over < BESIDE);
    usher_async_close(async);
    for (unsigned i = 0; i < BESIDE; i++) {
        assert_int_equal(buy[i].result, USHER_OK);
        assert_true(buy[i].paid.payment_id != 0);
        assert_int_equal(buy[i].completed, buy[i].submitted);
        assert_int_equal(buy[i].surprises, 0);
    }
}

/* A purchase whole, for its length; then cut at places all over it, in each way and in both. */
static void
cut_everywhere(buy_through *buy)
{
    static const unsigned ways[] = {TO_CLIENT, TO_SERVER, TO_SERVER | TO_CLIENT};
    struct house house;
    usher_options options;
    usher_secret secret;
    unsigned users = 0, cuts = 0;
    uint64_t whole;
    struct network *network;

    sale_open(&house, &options, &secret);
    network = network_open(house.server[0].port, UINT64_MAX, 0);
    options.server = network->address;
    buy(&options, &users);
    whole = network_close(network);
    for (unsigned n = 0; n < CUTS; n++) {
        network = network_open(house.server[0].port, whole * (2 * n + 1) / (2 * CUTS), ways[n % 3]);
        options.server = network->address;
        buy(&options, &users);
        cuts += atomic_load(&network->swallowed) > 0;
        network_close(network);
    }
    assert_true(cuts >= CUTS - 1); /* behind the last request nothing goes to the server: such a cut swallows none */
    sale_close(&house, users);
}

/* X3, M3: the blocking client. */
static void
a_client_buys_once_from_usherd_through_a_network_that_is_cut(void **state)
{
    (void)state;
    cut_everywhere(buy_with_a_client);
}

/* X3, M3, F4: the asynchronous one, with three buyers in flight. */
static void
buyers_on_a_handle_buy_once_from_usherd_through_a_network_that_is_cut(void **state)
{
    (void)state;
    cut_everywhere(buy_with_a_handle);
}

/* --- the client is killed ---------------------------------------------------------------------------------- */
/* The client's notebook: what it would have on its disk. */
struct note {
    usher_pay_request pay;
};

/* Up to the payment; note it, wait for the word to go on, send it, and never hear of it. */
static void
pay_and_be_killed(usher_options options, uint8_t user, const int words[2], int notes)
{
    usher_join_request join = {.user = {{9, user}}, .queue_id = 1};
    usher_reserve_best_request best = {.concert_id = 1, .date_id = 1, .count = 1, .grade = USHER_GRADE_ANY};
    usher_charge_request charge = {.user = {{9, user}}, .amount = PRICE};
    usher_join_reply place;
    usher_reserve_best_reply held;
    usher_charge_reply charged;
    usher_pay_reply paid;
    struct note note = {.pay = {.reservation_count = 1}};
    usher_client *client;
    char address[32];

    if (read(words[0], address, sizeof address) != sizeof address)
        _exit(1);
    options.server = address;
    options.timeout_ms = 60000;
    if (usher_client_open(&options, &client) != USHER_STATUS_ANSWERED ||
        usher_join(client, &join, &place) != USHER_STATUS_ANSWERED)
        _exit(2);
    best.token_count = charge.token_count = note.pay.token_count = place.token_count;
    memcpy(best.token, place.token, place.token_count);
    memcpy(charge.token, place.token, place.token_count);
    memcpy(note.pay.token, place.token, place.token_count);
    if (usher_reserve_best(client, &best, &held) != USHER_STATUS_ANSWERED ||
        usher_charge(client, &charge, &charged) != USHER_STATUS_ANSWERED)
        _exit(3);
    note.pay.reservation[0] = held.hold[0].reservation_id;
    usher_new_id(&note.pay.request_id);
    if (write(notes, &note, sizeof note) != sizeof note || read(words[0], address, 1) != 1)
        _exit(4);
    usher_pay(client, &note.pay, &paid);
    _exit(5); /* it never comes to this */
}

/* Wait until the network has swallowed something: the answer, or the payment itself. */
static void
await_swallowed(struct network *network)
{
    uint64_t until_ms = house_now_ms() + 30000;

    while (atomic_load(&network->swallowed) == 0) {
        if (house_now_ms() > until_ms)
            fail_msg("nothing was sent");
        poll(NULL, 0, 1);
    }
}

/* The client that starts anew: what became of it? Then once more under the same id, which is safe in either case. */
static void
resume_from(const struct note *note, const usher_options *options, bool was_paid)
{
    usher_lookup_request ask = {.request_id = note->pay.request_id, .token_count = note->pay.token_count};
    usher_lookup_reply found;
    usher_pay_reply remembered, paid;
    usher_refusal refusal;
    usher_client *client;

    memcpy(ask.token, note->pay.token, note->pay.token_count);
    assert_int_equal(usher_client_open(options, &client), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_lookup(client, &ask, &found), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(client)->result, was_paid ? USHER_OK : USHER_REQUEST_NOT_FOUND);
    assert_int_equal(usher_pay(client, &note->pay, &paid), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(client)->result, USHER_OK);
    assert_int_equal(usher_client_answer(client)->replayed, was_paid);
    if (was_paid) {
        assert_int_equal(usher_lookup_read(&found, &remembered, &refusal), 1);
        assert_int_equal(found.result, USHER_OK);
        assert_true(remembered.payment_id == paid.payment_id);
    }
    usher_client_close(client);
}

static void
kill_with_the_payment_on_its_way(uint8_t user, unsigned held, struct house *house, const usher_options *options)
{
    int words[2], notes[2], status;
    usher_options direct = *options;
    struct network *network;
    char address[32];
    struct note note;
    pid_t child;

    assert_int_equal(pipe(words), 0);
    assert_int_equal(pipe(notes), 0);
    child = fork(); /* before this process has a second thread */
    if (child == 0)
        pay_and_be_killed(*options, user, words, notes[1]);
    close(notes[1]);
    network = network_open(house->server[0].port, UINT64_MAX, 0);
    assert_int_equal(write(words[1], network->address, sizeof network->address), sizeof network->address);
    assert_int_equal(read(notes[0], &note, sizeof note), sizeof note);
    atomic_store(&network->held, held);
    assert_int_equal(write(words[1], "!", 1), 1);
    await_swallowed(network);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    network_close(network);
    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)house->server[0].port);
    direct.server = address;
    direct.timeout_ms = 20000;
    resume_from(&note, &direct, held == TO_CLIENT);
    close(words[0]);
    close(words[1]);
    close(notes[0]);
}

/* X3, M3: SIGKILL between the payment and its answer, which the network holds back; and with a payment that has not
 * arrived. The next life of the client asks for the id that it had noted and hears the truth from usherd. */
static void
a_client_killed_in_its_payment_hears_the_truth_from_usherd(void **state)
{
    struct house house;
    usher_options options;
    usher_secret secret;

    (void)state;
    sale_open(&house, &options, &secret);
    kill_with_the_payment_on_its_way(1, TO_CLIENT, &house, &options);
    kill_with_the_payment_on_its_way(2, TO_SERVER, &house, &options);
    sale_close(&house, 2);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_buys_once_from_usherd_through_a_network_that_is_cut),
        cmocka_unit_test(buyers_on_a_handle_buy_once_from_usherd_through_a_network_that_is_cut),
        cmocka_unit_test(a_client_killed_in_its_payment_hears_the_truth_from_usherd),
    };

    return usher_test_main(argc, argv, tests);
}
