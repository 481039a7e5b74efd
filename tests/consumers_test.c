/* consumers_test.c: named consumers of events over real sockets: how they go on, what is dropped behind them and when
 * that raises an alarm (X5). */
#define _GNU_SOURCE 1
#include "tests/test.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/watch_help.h"

#define BOUND 4096u /* bytes: 32 events */

/* --- what an admin does ----------------------------------------------------------------------------------------- */
static void
set_bound(struct wire *wire, uint64_t bytes)
{
    const usher_set_policy_request ask = {.request_id = wire_id(), .name = "event_bytes_max", .value = bytes};

    house_must(wire, USHER_OPCODE_SET_POLICY, &ask, NULL);
}

static uint64_t
put_consumer(struct wire *wire, const char *name)
{
    usher_put_consumer_request ask = {.request_id = wire_id()};
    usher_put_consumer_reply reply;

    strcpy(ask.consumer, name);
    house_must(wire, USHER_OPCODE_PUT_CONSUMER, &ask, &reply);
    return reply.event_no;
}

static void
acknowledge(struct wire *wire, const char *name, uint64_t event_no)
{
    usher_acknowledge_request ask = {.request_id = wire_id(), .event_no = event_no};

    strcpy(ask.consumer, name);
    house_must(wire, USHER_OPCODE_ACKNOWLEDGE, &ask, NULL);
}

static void
make_events(struct wire *wire, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const usher_charge_request ask = {.request_id = wire_id(), .user = wire_user(1 + i % 7), .amount = 1};
        house_must(wire, USHER_OPCODE_CHARGE, &ask, NULL);
    }
}

/* A batch now and then, until no more is kept than may be. */
static usher_info_reply
wait_until_dropped(struct house *house)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    uint64_t until_ms = house_now_ms() + PATIENCE_MS;
    usher_info_reply info;

    do {
        assert_true(house_now_ms() < until_ms);
        make_events(&house->admin[0], 1);
        info = house_info(house, 0, true);
        nanosleep(&pause, NULL);
    } while (info.event_bytes > BOUND + 10 * 128); /* what is made while the history is on its way */
    return info;
}

/* --- subscriptions ------------------------------------------------------------------------------------------------ */
static usher_result
watch_named(struct wire *wire, const char *name, usher_watch_events_reply *reply)
{
    usher_watch_events_request ask = {0};

    strcpy(ask.consumer, name);
    return wire_ask(wire, USHER_OPCODE_WATCH_EVENTS, &ask, reply);
}

/* X5, X4: a consumer that is cut off at any moment goes on behind what it has acknowledged, at whichever instance:
 * every event comes, none of the acknowledged ones again. */
static void
a_consumer_goes_on_behind_what_it_has_acknowledged(void **state)
{
    struct house house;
    struct wire wire;
    struct told told;
    usher_watch_events_reply reply;
    uint64_t acknowledged = 0;
    (void)state;

    house_open(&house, 2);
    put_consumer(&house.admin[0], "ledger");
    for (unsigned round = 0; round < 10; round++) {
        make_events(&house.admin[round / 2 % 2], 40);
        watch_connect(&house, round % 2, &wire);
        assert_int_equal(watch_named(&wire, "ledger", &reply), USHER_OK);
        assert_int_equal(reply.after_event_no, acknowledged);
        uint64_t seen = acknowledged;
        while (seen < acknowledged + 20) {
            watch_must_hear(&wire, USHER_PUSH_EVENTS, wire.last_request_no, &told);
            for (uint16_t i = 0; i < told.events.event_count; i++)
                assert_int_equal(told.events.event[i].event_no, ++seen);
        }
        acknowledged += 20; /* and no word of what came behind */
        acknowledge(&house.admin[1], "ledger", acknowledged);
        wire_close(&wire);
    }
    assert_int_equal(put_consumer(&house.admin[0], "ledger"), acknowledged);
    house_close(&house);
}

/* X5: a subscription that does not read while its events go ends with EVENTS_LOST and the first number kept. */
static void
a_subscription_that_falls_out_of_what_is_kept_ends(void **state)
{
    enum { WATCHES = 400, EVENTS = 1000 };
    unsigned lost = 0, whole = 0;
    struct house house;
    struct wire wire;
    struct told told;
    (void)state;

    memset(&house, 0, sizeof house);
    test_server_open(&house.server[0]);
    test_server_start(&house.server[0], "--quiet", "--output-max", "262144", "--stall-ms", "600000", NULL);
    house_connect_admin(&house, 0);
    watch_connect(&house, 0, &wire);
    uint64_t first = house_info(&house, 0, false).last_event_no;
    for (unsigned i = 0; i < WATCHES; i++)
        watch_events(&wire, first, 0);
    make_events(&house.admin[0], EVENTS);
    set_bound(&house.admin[0], BOUND);
    usher_info_reply info = wait_until_dropped(&house);
    while (lost + whole < WATCHES) {
        assert_true(watch_hear(&wire, &told));
        if (told.opcode == USHER_PUSH_WATCH_ENDED) {
            assert_int_equal(told.ended.result, USHER_EVENTS_LOST);
            assert_int_equal(told.ended.detail, info.first_event_no);
            lost++;
        } else {
            whole += told.events.last_event_no == info.last_event_no;
        }
    }
    assert_true(lost > 0);
    wire_close(&wire);
    house_close(&house);
}

/* --- dropping ------------------------------------------------------------------------------------------------------
 */
/* X5, X4: what one instance drops every other has dropped, with the same digest; a dead consumer learns at each where
 * it may go on, and nothing waits for it. */
static void
instances_drop_alike_and_wait_for_no_dead_consumer(void **state)
{
    usher_watch_events_reply reply;
    usher_info_reply info, other;
    struct house house;
    (void)state;

    house_open(&house, 2);
    put_consumer(&house.admin[0], "dead");
    set_bound(&house.admin[0], BOUND);
    for (unsigned round = 0; round < 8; round++) {
        make_events(&house.admin[round % 2], 100);
        wait_until_dropped(&house);
        do { /* a batch may come in between */
            info = house_info(&house, 0, true);
            other = house_info(&house, 1, true);
        } while (other.position != info.position);
        assert_int_equal(other.digest, info.digest);
        assert_int_equal(other.first_event_no, info.first_event_no);
        assert_int_equal(info.events_overdue, USHER_FLAG_NO);
        assert_true(info.history_event_no + 1 >= info.first_event_no);
    }
    assert_true(info.first_event_no > 700);
    set_bound(&house.admin[0], UINT64_C(1) << 32);
    assert_int_equal(watch_named(&house.admin[1], "dead", &reply), USHER_EVENTS_LOST);
    uint64_t first = house.admin[1].refusal.detail;
    assert_int_equal(first, house_info(&house, 0, false).first_event_no);
    acknowledge(&house.admin[0], "dead", first - 1);
    assert_int_equal(watch_named(&house.admin[1], "dead", &reply), USHER_OK);
    assert_int_equal(reply.after_event_no, first - 1);
    house_close(&house);
}

/* The digest in a line such as "dump: 148 rows, everything up to position 37, digest 5cfa1a759d889809". */
static uint64_t
digest_in(const char *said)
{
    const char *at = strstr(said, ", digest ");
    uint64_t digest = 0;

    if (at == NULL || sscanf(at, ", digest %" SCNx64, &digest) != 1)
        fail_msg("there is no digest in: %s", said);
    return digest;
}

/* X5, S5: a recording drops the same events when it is replayed; the check finds a house that has dropped some sound,
 * its users' history whole, and a dump of it loads. */
static void
a_house_that_has_dropped_is_sound_and_replays(void **state)
{
    char recording[2 * TEST_PATH_MOST], dump[2 * TEST_PATH_MOST], loaded[2 * TEST_PATH_MOST], said[8192];
    struct house house;
    struct test_server *server = &house.server[0];
    (void)state;

    memset(&house, 0, sizeof house);
    test_server_open(server);
    snprintf(recording, sizeof recording, "%s/recording", server->folder);
    snprintf(dump, sizeof dump, "%s/dump", server->folder);
    snprintf(loaded, sizeof loaded, "%s/loaded", server->folder);
    test_server_start(server, "--quiet", "--record", recording, NULL);
    house_connect_admin(&house, 0);
    house_load(&house, 1, 100, 0);
    for (uint32_t seat = 1; seat <= 20; seat++) { /* rows of history that outlive their events */
        const usher_reserve_request ask = {.request_id = wire_id(),
                                           .user = wire_user(seat),
                                           .concert_id = 1,
                                           .date_id = 1,
                                           .seat_count = 1,
                                           .seat = {seat}};
        usher_reserve_reply held;
        house_must(&house.admin[0], USHER_OPCODE_RESERVE, &ask, &held);
        const usher_pay_request pay = {.request_id = wire_id(),
                                       .user = wire_user(seat),
                                       .reservation_count = 1,
                                       .reservation = {held.hold[0].reservation_id}};
        house_must(&house.admin[0], USHER_OPCODE_PAY, &pay, NULL);
    }
    put_consumer(&house.admin[0], "ledger");
    set_bound(&house.admin[0], BOUND);
    make_events(&house.admin[0], 500);
    assert_true(wait_until_dropped(&house).first_event_no > 400);
    wire_close(&house.admin[0]);
    assert_int_equal(test_server_stop(server, SIGTERM), 0);

    assert_int_equal(test_server_run(server, NULL, said, sizeof said, "check", server->data, NULL), 0);
    if (strstr(said, "table history            20 rows  sound") == NULL)
        fail_msg("%s", said);
    assert_int_equal(test_server_run(server, NULL, said, sizeof said, "dump", server->data, dump, NULL), 0);
    uint64_t digest = digest_in(said);
    assert_int_equal(test_server_run(server, NULL, said, sizeof said, "replay", recording, NULL), 0);
    assert_int_equal(digest_in(said), digest);
    assert_int_equal(test_server_run(server, NULL, said, sizeof said, "load", dump, loaded, NULL), 0);
    assert_int_equal(test_server_run(server, NULL, said, sizeof said, "check", loaded, NULL), 0);
    house_close(&house);
}

/* X5, B2: a history that does not come on is never passed: the events stay beyond the bound, an alarm is given, and
 * sales go on. When it comes on, the events go and the alarm is over. */
static void
a_history_that_stands_still_raises_an_alarm(void **state)
{
    static char text[1 << 16];
    struct house house;
    usher_info_reply info;
    (void)state;

    memset(&house, 0, sizeof house);
    test_server_open(&house.server[0]);
    test_server_start(&house.server[0], "--quiet", "--history", "off", NULL);
    house_connect_admin(&house, 0);
    set_bound(&house.admin[0], BOUND);
    make_events(&house.admin[0], 100);
    info = house_info(&house, 0, false);
    assert_int_equal(info.events_overdue, USHER_FLAG_YES);
    assert_int_equal(info.first_event_no, 1);
    assert_int_equal(info.event_bytes, info.last_event_no * 128);
    test_server_log(&house.server[0], text, sizeof text);
    const char *told = strstr(text, "events_overdue oldest=1 history=0");
    assert_non_null(told);
    assert_null(strstr(told + 1, "events_overdue")); /* once, however many batches follow */
    wire_close(&house.admin[0]);
    assert_int_equal(test_server_stop(&house.server[0], SIGTERM), 0);

    test_server_start(&house.server[0], NULL);
    house_connect_admin(&house, 0);
    info = wait_until_dropped(&house);
    assert_int_equal(info.events_overdue, USHER_FLAG_NO);
    house_close(&house);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_consumer_goes_on_behind_what_it_has_acknowledged),
        cmocka_unit_test(a_subscription_that_falls_out_of_what_is_kept_ends),
        cmocka_unit_test(instances_drop_alike_and_wait_for_no_dead_consumer),
        cmocka_unit_test(a_house_that_has_dropped_is_sound_and_replays),
        cmocka_unit_test(a_history_that_stands_still_raises_an_alarm),
    };

    return usher_test_main(argc, argv, tests);
}
