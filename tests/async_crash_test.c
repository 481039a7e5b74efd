/* async_crash_test.c: what becomes of a purchase when the client is killed in the middle of it, or the network is cut:
 * the request id tells the truth afterwards, and nothing is ever done twice. */
#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
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

#include "desk.h"
#include "fake_buy.h"

/* --- a network that can be cut ------------------------------------------------------------------------ */
#define PAIRS_MOST 64

/* What stands between client and house: bytes go through until so many have passed. Then it is dark: everything is
 * swallowed, and nobody is told. New connections are dark as well until the light is back; the old ones stay dark. */
struct tunnel {
    int listener, stop[2];
    const char *house;
    char address[32];
    pthread_t thread;
    uint64_t bytes_until_dark, passed;
    unsigned new_until_light; /* connections that are swallowed whole before it is light again */
    atomic_bool is_dark;
    struct {
        int client, house;
        bool dead;
    } pair[PAIRS_MOST];
    unsigned pair_count;
};

static int
connect_to(const char *address)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int opened = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
    assert_int_equal(connect(opened, (struct sockaddr *)&to, sizeof to), 0);
    return opened;
}

static void
tunnel_accept(struct tunnel *tunnel)
{
    unsigned at = tunnel->pair_count++;

    assert_true(at < PAIRS_MOST);
    tunnel->pair[at].client = accept(tunnel->listener, NULL, NULL);
    tunnel->pair[at].house = connect_to(tunnel->house);
    tunnel->pair[at].dead = atomic_load(&tunnel->is_dark);
    if (tunnel->pair[at].dead && --tunnel->new_until_light == 0)
        atomic_store(&tunnel->is_dark, false);
}

/* Carry what there is from one end to the other, byte for byte up to the dark. False: that end is closed. */
static bool
tunnel_carry(struct tunnel *tunnel, unsigned at, int from, int to)
{
    uint8_t bytes[4096];
    ssize_t size = recv(from, bytes, sizeof bytes, MSG_DONTWAIT);
    size_t goes = size > 0 ? (size_t)size : 0;

    if (size <= 0)
        return size < 0;
    if (tunnel->pair[at].dead)
        return true;
    if (tunnel->passed + goes >= tunnel->bytes_until_dark) {
        goes = (size_t)(tunnel->bytes_until_dark - tunnel->passed);
        tunnel->bytes_until_dark = UINT64_MAX;
        for (unsigned i = 0; i < tunnel->pair_count; i++)
            tunnel->pair[i].dead = true;
        atomic_store(&tunnel->is_dark, tunnel->new_until_light > 0);
    }
    tunnel->passed += goes;
    for (size_t sent = 0; sent < goes;) {
        ssize_t taken = send(to, bytes + sent, goes - sent, MSG_NOSIGNAL);
        if (taken <= 0)
            return true; /* it is closed at that end, which will be seen there */
        sent += (size_t)taken;
    }
    return true;
}

/* The ends of a pair that has one end less: a dead one's other end is left in the dark. */
static void
tunnel_end(struct tunnel *tunnel, unsigned at, bool by_client)
{
    int *end = by_client ? &tunnel->pair[at].client : &tunnel->pair[at].house;

    close(*end);
    *end = -1;
    if (tunnel->pair[at].dead)
        return;
    end = by_client ? &tunnel->pair[at].house : &tunnel->pair[at].client;
    if (*end >= 0)
        shutdown(*end, SHUT_RDWR);
}

static void *
tunnel_run(void *argument)
{
    struct tunnel *tunnel = argument;
    struct pollfd watched[2 + 2 * PAIRS_MOST];

    for (;;) {
        unsigned count = tunnel->pair_count;

        watched[0] = (struct pollfd){.fd = tunnel->stop[0], .events = POLLIN};
        watched[1] = (struct pollfd){.fd = tunnel->listener, .events = POLLIN};
        for (unsigned i = 0; i < count; i++) {
            watched[2 + 2 * i] = (struct pollfd){.fd = tunnel->pair[i].client, .events = POLLIN};
            watched[3 + 2 * i] = (struct pollfd){.fd = tunnel->pair[i].house, .events = POLLIN};
        }
        poll(watched, 2 + 2 * count, -1);
        if (watched[0].revents != 0)
            return NULL;
        for (unsigned i = 0; i < count; i++) {
            if (watched[2 + 2 * i].revents != 0 && tunnel->pair[i].client >= 0 &&
                !tunnel_carry(tunnel, i, tunnel->pair[i].client, tunnel->pair[i].house))
                tunnel_end(tunnel, i, true);
            if (watched[3 + 2 * i].revents != 0 && tunnel->pair[i].house >= 0 &&
                !tunnel_carry(tunnel, i, tunnel->pair[i].house, tunnel->pair[i].client))
                tunnel_end(tunnel, i, false);
        }
        if (watched[1].revents != 0)
            tunnel_accept(tunnel);
    }
}

static struct tunnel *
tunnel_open(const char *house, uint64_t bytes_until_dark, unsigned new_until_light)
{
    struct tunnel *tunnel = calloc(1, sizeof *tunnel);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;

    assert_non_null(tunnel);
    tunnel->house = house;
    tunnel->bytes_until_dark = bytes_until_dark;
    tunnel->new_until_light = new_until_light;
    tunnel->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(tunnel->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(tunnel->listener, 16), 0);
    assert_int_equal(getsockname(tunnel->listener, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(pipe(tunnel->stop), 0);
    snprintf(tunnel->address, sizeof tunnel->address, "127.0.0.1:%u", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&tunnel->thread, NULL, tunnel_run, tunnel), 0);
    return tunnel;
}

/* Returns how many bytes went through. */
static uint64_t
tunnel_close(struct tunnel *tunnel)
{
    uint64_t passed;

    close(tunnel->stop[1]);
    pthread_join(tunnel->thread, NULL);
    for (unsigned i = 0; i < tunnel->pair_count; i++) {
        if (tunnel->pair[i].client >= 0)
            close(tunnel->pair[i].client);
        if (tunnel->pair[i].house >= 0)
            close(tunnel->pair[i].house);
    }
    close(tunnel->stop[0]);
    close(tunnel->listener);
    passed = tunnel->passed;
    free(tunnel);
    return passed;
}

/* --- the network is cut ------------------------------------------------------------------------------- */
/* Buy a seat through a tunnel that goes dark behind so many bytes; returns the bytes of the whole purchase. */
static uint64_t
buy_through(uint64_t bytes_until_dark)
{
    usher_fake *fake = usher_fake_start(NULL, NULL, 0);
    struct tunnel *tunnel = tunnel_open(usher_fake_address(fake), bytes_until_dark, 1);
    usher_options options = {.server = tunnel->address, .timeout_ms = 80, .retry_ms_most = 10};
    struct fake_buy buy = {.user = {{7}}};
    usher_fake_figures figures;
    usher_secret secret;
    uint64_t passed;

    usher_key_make(&secret);
    options.secret = &secret;
    if (bytes_until_dark == UINT64_MAX)
        options.timeout_ms = 20000;
    assert_int_equal(fake_buy_seat(&buy, &options), USHER_OK);
    passed = tunnel_close(tunnel);
    usher_fake_look(fake, &figures);
    assert_int_equal(figures.payments, 1);
    assert_int_equal(figures.seats_sold, 1);
    assert_int_equal(figures.seats_held, 0);
    assert_int_equal(figures.points, 0); /* charged once, paid once */
    assert_int_equal(figures.ledger_sum, 0);
    if (bytes_until_dark != UINT64_MAX)
        assert_true(buy.unanswered + buy.looked_up > 0);
    usher_fake_stop(fake);
    return passed;
}

/* X3, M3: every packet is dropped from some byte of the purchase on, wherever that is, and nobody is told. The seat is
 * sold once: what was unknown is resolved by its request id when the network is back. */
static void
a_network_cut_at_any_moment_of_a_purchase_sells_once(void **state)
{
    uint64_t whole = buy_through(UINT64_MAX);

    (void)state;
    for (uint64_t at = 1; at < whole; at += whole / 24 + 1)
        buy_through(at);
}

/* X3, F4: the asynchronous client notices by itself that the network is dark, long before the deadline, and asks again
 * under the same id: each charge is made once. */
static void
a_handle_notices_a_dark_network_by_itself(void **state)
{
    struct desk *desk = desk_make(NULL);
    struct tunnel *tunnel = tunnel_open(usher_fake_address(desk->fake), 1200, 0);

    (void)state;
    desk->options.common.server = tunnel->address;
    desk->options.common.retry_ms_most = 10;
    desk->options.heartbeat_ms = 50;
    desk_open(desk);
    for (unsigned i = 0; i < 20; i++)
        desk_charge(desk, 1, 0);
    desk_until(desk, 20);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(desk->call[i].status, USHER_STATUS_ANSWERED);
        assert_int_equal(usher_fake_applied(desk->fake, &desk->call[i].request_id), 1);
    }
    assert_int_equal(desk_look(desk).points, 20);
    assert_int_equal(desk_states(desk, USHER_STATE_LOST), 1);
    desk_end(desk);
    tunnel_close(tunnel);
}

/* --- the client is killed ----------------------------------------------------------------------------- */
struct note {
    usher_id request_id; /* of the payment, written down before it is sent */
    usher_join_reply place;
    uint64_t reservation_id;
};

static void
answered_never(usher_async *async, const usher_completion *completion)
{
    (void)async;
    (void)completion;
    _exit(3); /* the script sees to it that no answer comes */
}

/* The client that will be killed: everything up to the payment, the note, the payment. */
static void
pay_and_wait_for_ever(const usher_options *options, int notes)
{
    const usher_async_options all = {.common = *options};
    struct fake_buy buy = {.user = {{7}}};
    usher_join_request join = {.user = {{7}}, .queue_id = 1};
    usher_reserve_best_request best = {.concert_id = 1, .date_id = 1, .count = 1, .grade = USHER_GRADE_ANY};
    usher_charge_request charge = {.user = {{7}}, .amount = 2500};
    usher_charge_reply charged;
    usher_pay_request pay = {.reservation_count = 1};
    struct note note;
    usher_async *async;

    if (usher_client_open(options, &buy.client) != USHER_STATUS_ANSWERED ||
        usher_join(buy.client, &join, &note.place) != USHER_STATUS_ANSWERED)
        _exit(1);
    best.token_count = pay.token_count = note.place.token_count;
    memcpy(best.token, note.place.token, note.place.token_count);
    memcpy(pay.token, note.place.token, note.place.token_count);
    if (usher_reserve_best(buy.client, &best, &buy.held) != USHER_STATUS_ANSWERED ||
        usher_charge(buy.client, &charge, &charged) != USHER_STATUS_ANSWERED)
        _exit(1);
    pay.reservation[0] = note.reservation_id = buy.held.hold[0].reservation_id;
    usher_new_id(&pay.request_id);
    note.request_id = pay.request_id;
    if (write(notes, &note, sizeof note) != sizeof note || usher_async_open(&all, &async) != USHER_STATUS_ANSWERED ||
        usher_async_call(async, USHER_OPCODE_PAY, &pay, NULL, answered_never, NULL, NULL) != USHER_STATUS_ANSWERED)
        _exit(1);
    for (;;) {
        struct pollfd watched = {.fd = usher_async_descriptor(async), .events = POLLIN};
        poll(&watched, 1, -1);
        usher_async_process(async);
    }
}

/* A client that starts anew with nothing but the note: what became of the payment? Then it is made, if it was not. */
static void
resume(usher_fake *fake, const usher_options *options, const struct note *note, bool was_paid)
{
    usher_lookup_request ask = {.request_id = note->request_id, .token_count = note->place.token_count};
    usher_pay_request pay = {.request_id = note->request_id,
                             .reservation_count = 1,
                             .reservation = {note->reservation_id},
                             .token_count = note->place.token_count};
    usher_lookup_reply found;
    usher_pay_reply paid;
    usher_refusal refusal;
    usher_client *client;

    memcpy(ask.token, note->place.token, note->place.token_count);
    memcpy(pay.token, note->place.token, note->place.token_count);
    assert_int_equal(usher_client_open(options, &client), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_lookup(client, &ask, &found), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(client)->result, was_paid ? USHER_OK : USHER_REQUEST_NOT_FOUND);
    if (was_paid) {
        assert_int_equal(found.result, USHER_OK);
        assert_int_equal(usher_lookup_read(&found, &paid, &refusal), 1);
        assert_true(paid.payment_id > 0);
    }
    assert_int_equal(usher_fake_applied(fake, &note->request_id), was_paid);
    assert_int_equal(usher_pay(client, &pay, &paid), USHER_STATUS_ANSWERED); /* safe in either case */
    assert_int_equal(usher_client_answer(client)->result, USHER_OK);
    assert_int_equal(usher_client_answer(client)->replayed, was_paid);
    assert_int_equal(usher_fake_applied(fake, &note->request_id), 1);
    usher_client_close(client);
}

/* X3: the client is killed between sending its payment and the answer. Started again, it asks for the request id that
 * it had written down, and hears the truth, be it paid or not. */
static void
a_killed_client_learns_the_truth_from_its_request_id(void **state)
{
    static const char *const scripts[] = {"pay#1: apply, lose reply", "pay#1: drop"};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        usher_fake *fake;
        usher_options options = {.timeout_ms = 20000};
        usher_fake_figures figures;
        usher_secret secret;
        struct note note;
        int notes[2], status, start[2];
        char address[64] = "";
        pid_t child;

        usher_key_make(&secret);
        options.secret = &secret;
        assert_int_equal(pipe(notes), 0);
        assert_int_equal(pipe(start), 0);
        child = fork(); /* before the house has its thread */
        if (child == 0) {
            if (read(start[0], address, sizeof address) <= 0)
                _exit(1);
            options.server = address;
            pay_and_wait_for_ever(&options, notes[1]);
        }
        fake = usher_fake_start(&(usher_fake_options){.script = scripts[i]}, NULL, 0);
        snprintf(address, sizeof address, "%s", usher_fake_address(fake));
        options.server = address;
        assert_int_equal(write(start[1], address, sizeof address), sizeof address);
        assert_int_equal(read(notes[0], &note, sizeof note), sizeof note);
        assert_int_equal(usher_fake_wait(fake, 4, 30000), 1); /* join, reserve, charge, pay */
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        resume(fake, &options, &note, i == 0);
        usher_fake_look(fake, &figures);
        assert_int_equal(figures.payments, 1);
        assert_int_equal(figures.seats_sold, 1);
        assert_int_equal(figures.points, 0);
        usher_fake_stop(fake);
        for (unsigned k = 0; k < 2; k++) {
            close(notes[k]);
            close(start[k]);
        }
    }
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_network_cut_at_any_moment_of_a_purchase_sells_once),
        cmocka_unit_test(a_handle_notices_a_dark_network_by_itself),
        cmocka_unit_test(a_killed_client_learns_the_truth_from_its_request_id),
    };

    return usher_test_main(argc, argv, tests);
}
