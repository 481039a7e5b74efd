/* watch_events_test.c: subscriptions to events, and readers that are slow, over real sockets. */
#define _GNU_SOURCE 1
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "tests/watch_help.h"

#define BURST 500u

static uint64_t
last_event_no(struct house *house)
{
    return house_info(house, 0, false).last_event_no;
}

/* So many events, each a charge, BURST requests at a time. */
static void
make_events(struct wire *wire, unsigned count)
{
    struct wire_frame frame;

    for (unsigned made = 0; made < count; made += BURST) {
        for (unsigned i = 0; i < BURST; i++) {
            const usher_charge_request ask = {.request_id = wire_id(), .user = wire_user(1 + i % 7), .amount = 1};
            assert_int_not_equal(wire_send(wire, USHER_OPCODE_CHARGE, &ask), 0);
        }
        for (unsigned i = 0; i < BURST; i++) {
            assert_true(wire_receive(wire, &frame));
            assert_int_equal(frame.result, USHER_OK);
        }
    }
}

/* Take the events of a subscription up to this one: none is missing and none comes twice. */
static void
hear_events(struct wire *wire, uint32_t subscription, uint64_t *cursor, uint64_t up_to)
{
    struct told told;

    while (*cursor < up_to) {
        watch_must_hear(wire, USHER_PUSH_EVENTS, subscription, &told);
        assert_true(told.events.event_count > 0);
        for (uint16_t i = 0; i < told.events.event_count; i++)
            assert_int_equal(told.events.event[i].event_no, ++*cursor);
        assert_int_equal(told.events.last_event_no, *cursor);
    }
}

/* X5, X4: who goes on from its cursor after each reconnect, at whichever instance, has every event once. */
static void
events_come_once_and_in_order_over_reconnects(void **state)
{
    struct house house;
    struct wire wire;
    uint64_t cursor = 0;
    (void)state;

    house_open(&house, 2);
    for (unsigned round = 0; round < 12; round++) {
        watch_connect(&house, round % 2, &wire);
        uint32_t watch = watch_events(&wire, cursor, 0);
        make_events(&house.admin[round / 2 % 2], BURST);
        /* Break off in the middle, but for the last time. */
        hear_events(&wire, watch, &cursor, round == 11 ? last_event_no(&house) : cursor + 1 + round * 40);
        wire_close(&wire);
    }
    assert_int_equal(cursor, last_event_no(&house));
    house_close(&house);
}

/* X5: with kinds the others are passed over; the cursor says so even when nothing was wanted for long. */
static void
only_the_kinds_that_are_wanted_come(void **state)
{
    struct house house;
    struct wire wire;
    struct told told;
    uint64_t joined = 0;
    (void)state;

    house_open(&house, 1);
    watch_connect(&house, 0, &wire);
    uint32_t watch = watch_events(&wire, 0, UINT64_C(1) << USHER_EVENT_JOINED | UINT64_C(1) << USHER_EVENT_LEFT);
    for (uint64_t user = 1; user <= 3; user++) {
        usher_join_reply join = watch_join(&house.admin[0], user);
        make_events(&house.admin[0], BURST);
        watch_leave(&house.admin[0], &join);
    }
    while (joined < 6) {
        watch_must_hear(&wire, USHER_PUSH_EVENTS, watch, &told);
        for (uint16_t i = 0; i < told.events.event_count; i++, joined++)
            assert_int_equal(told.events.event[i].kind, joined % 2 ? USHER_EVENT_LEFT : USHER_EVENT_JOINED);
    }
    make_events(&house.admin[0], 3 * BURST);
    uint64_t before = told.events.last_event_no;
    watch_must_hear(&wire, USHER_PUSH_EVENTS, watch, &told);
    assert_int_equal(told.events.event_count, 0);
    assert_true(told.events.last_event_no > before + 1000);

    uint64_t last = last_event_no(&house); /* a cursor ahead of all events waits for those behind it */
    uint32_t ahead = watch_events(&wire, last + 2, 0);
    for (uint64_t user = 11; user <= 14; user++)
        watch_leave(&house.admin[0], &(usher_join_reply[]){watch_join(&house.admin[0], user)}[0]);
    do
        assert_true(watch_hear(&wire, &told));
    while (told.subscription != ahead);
    assert_int_equal(told.events.event[0].event_no, last + 3);
    wire_close(&wire);
    house_close(&house);
}

/* --- slow readers ----------------------------------------------------------------------------------------- */
static uint64_t
resident_kib(pid_t pid)
{
    char path[64], line[256];
    uint64_t kib = 0;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "VmRSS: %lu", &kib) == 1)
            break;
    fclose(file);
    assert_true(kib > 0);
    return kib;
}

#define GROWTH_MOST_KIB (6u * 1024) /* of a server, while 36 MB wait for a reader */

/* A house whose only door has these limits. */
static void
open_narrow(struct house *house, const char *stall_ms)
{
    memset(house, 0, sizeof *house);
    test_server_open(&house->server[0]);
    setenv("ASAN_OPTIONS", "quarantine_size_mb=1", 1); /* what was freed is not to be counted */
    test_server_start(&house->server[0], "--output-max", "262144", "--stall-ms", stall_ms, NULL);
    unsetenv("ASAN_OPTIONS");
    house_connect_admin(house, 0);
}

/* So many subscriptions of one connection to all events. */
static void
watch_much(struct house *house, struct wire *wire, unsigned count, uint64_t after)
{
    watch_connect(house, 0, wire);
    wire->last_request_no = 0;
    for (uint32_t i = 1; i <= count; i++)
        assert_int_equal(watch_events(wire, after, 0), i);
}

/* X5: while a reader does not read, what waits for it in the server is bounded; when it reads again, it gets all of it.
 */
static void
a_slow_reader_costs_little_and_goes_on_where_it_stopped(void **state)
{
    enum { WATCHES = 400, EVENTS = 1000 };
    uint64_t cursor[WATCHES + 1];
    struct house house;
    struct wire wire;
    struct told told;
    (void)state;

    open_narrow(&house, "600000");
    make_events(&house.admin[0], BURST);
    uint64_t first = last_event_no(&house), last = first + EVENTS;
    watch_much(&house, &wire, WATCHES, first);
    uint64_t before_kib = resident_kib(house.server[0].pid);
    make_events(&house.admin[0], EVENTS); /* 36 MB to be pushed, more than sockets take */
    assert_true(resident_kib(house.server[0].pid) < before_kib + GROWTH_MOST_KIB);
    for (unsigned i = 1; i <= WATCHES; i++)
        cursor[i] = first;
    for (unsigned left = WATCHES; left > 0;) {
        assert_true(watch_hear(&wire, &told));
        assert_int_equal(told.opcode, USHER_PUSH_EVENTS);
        for (uint16_t i = 0; i < told.events.event_count; i++)
            assert_int_equal(told.events.event[i].event_no, ++cursor[told.subscription]);
        left -= cursor[told.subscription] == last;
    }
    wire_close(&wire);
    house_close(&house);
}

/* Wait until the log says this. */
static void
wait_for_log(const struct test_server *server, const char *word)
{
    static char text[1 << 20];
    const struct timespec pause = {.tv_nsec = 5000000};
    uint64_t until_ms = house_now_ms() + PATIENCE_MS;

    do {
        assert_true(house_now_ms() < until_ms);
        nanosleep(&pause, NULL);
        test_server_log(server, text, sizeof text);
    } while (strstr(text, word) == NULL);
}

/* A reader that takes nothing for stall_ms is told so for each of its subscriptions, and is closed; others go on. */
static void
who_does_not_read_is_told_why_and_closed(void **state)
{
    enum { WATCHES = 400, EVENTS = 1000 };
    bool ended[WATCHES + 1] = {false};
    struct house house;
    struct wire wire, other;
    struct told told;
    unsigned count = 0;
    (void)state;

    open_narrow(&house, "3000");
    uint64_t first = last_event_no(&house);
    watch_much(&house, &wire, WATCHES, first);
    watch_connect(&house, 0, &other);
    uint32_t watch = watch_events(&other, first, 0);
    make_events(&house.admin[0], EVENTS);
    wait_for_log(&house.server[0], "slow_consumer");
    while (watch_hear(&wire, &told)) {
        if (told.opcode == USHER_PUSH_EVENTS) {
            assert_int_equal(count, 0); /* nothing comes behind the reasons */
            continue;
        }
        assert_int_equal(told.opcode, USHER_PUSH_WATCH_ENDED);
        assert_int_equal(told.ended.result, USHER_SLOW_CONSUMER);
        assert_in_range(told.subscription, 1, WATCHES);
        assert_false(ended[told.subscription]);
        ended[told.subscription] = true;
        count++;
    }
    assert_int_equal(count, WATCHES);
    assert_true(wire_is_closed(&wire));
    wire_close(&wire);
    hear_events(&other, watch, &first, last_event_no(&house));
    wire_close(&other);
    house_close(&house);
}

/* Wait until nothing more fits in between the server and this connection: turns of the server add nothing to it. */
static void
wait_until_full(struct house *house, const struct wire *wire)
{
    int before, after = -1;

    do {
        before = after;
        for (unsigned turn = 0; turn < 30; turn++) {
            const usher_ping_request ping = {.echo = turn};
            house_must(&house->admin[0], USHER_OPCODE_PING, &ping, NULL);
        }
        assert_int_equal(ioctl(wire->fd, FIONREAD, &after), 0);
    } while (before != after);
}

/* Places: a reader that was slow is told the newest of its places, once, and not all that was in between. */
static void
a_slow_reader_is_told_the_newest_of_its_places(void **state)
{
    enum { PLACES = 200, WATCHES = 400, ROUNDS = 40 };
    static usher_join_reply joins[PLACES];
    uint32_t place[PLACES];
    unsigned told_of[PLACES] = {0}, active = 0;
    struct house house;
    struct wire wire;
    struct told told;
    (void)state;

    open_narrow(&house, "600000");
    house_set_queue_policy(&house, "admit_batch", 1000);
    watch_set_mode(&house.admin[0], USHER_QUEUE_PAUSED);
    watch_much(&house, &wire, WATCHES, last_event_no(&house));
    for (unsigned i = 0; i < PLACES; i++)
        joins[i] = watch_join(&house.admin[0], 1000 + i);
    for (unsigned i = 0; i < PLACES; i++)
        place[i] = watch_place(&wire, &joins[i], NULL);
    make_events(&house.admin[0], 1000);
    wait_until_full(&house, &wire);
    for (unsigned round = 0; round < ROUNDS; round++)
        watch_set_mode(&house.admin[0], round % 2 ? USHER_QUEUE_PAUSED : USHER_QUEUE_FROZEN);
    watch_set_mode(&house.admin[0], USHER_QUEUE_OPEN);
    while (active < PLACES) {
        assert_true(watch_hear(&wire, &told));
        if (told.opcode != USHER_PUSH_PLACE)
            continue;
        unsigned who = 0;
        while (place[who] != told.subscription)
            who++;
        told_of[who]++;
        active += told.place.state == USHER_PLACE_ACTIVE;
    }
    unsigned most = 0;
    for (unsigned i = 0; i < PLACES; i++)
        most = told_of[i] > most ? told_of[i] : most;
    assert_true(most < ROUNDS / 2);
    wire_close(&wire);
    house_close(&house);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_once_and_in_order_over_reconnects),
        cmocka_unit_test(only_the_kinds_that_are_wanted_come),
        cmocka_unit_test(a_slow_reader_costs_little_and_goes_on_where_it_stopped),
        cmocka_unit_test(who_does_not_read_is_told_why_and_closed),
        cmocka_unit_test(a_slow_reader_is_told_the_newest_of_its_places),
    };

    return usher_test_main(argc, argv, tests);
}
