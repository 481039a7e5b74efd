/* wild_clock_test.c: the system's clock is set back and forth while usherd runs (X1). wild_clock_shim.c sets it by ten
 * hours at every look. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tests/server.h"
#include "tests/test.h"
#include "tests/wire.h"

#define HOUR_MS UINT64_C(3600000)
#define BUYERS  40
#define PRICE   700

static void
load_house(struct wire *admin)
{
    usher_put_plan_request plan = {.request_id = wire_id(), .plan_id = 1, .section_count = 1};
    plan.section[0] = (usher_section){.name = "Hall", .first_row = 1, .row_count = 5, .seats_per_row = 10};
    assert_int_equal(wire_ask(admin, USHER_OPCODE_PUT_PLAN, &plan, NULL), USHER_OK);
    usher_put_concert_request concert = {.request_id = wire_id(), .concert_id = 1, .title = "Back and forth"};
    assert_int_equal(wire_ask(admin, USHER_OPCODE_PUT_CONCERT, &concert, NULL), USHER_OK);
    usher_put_date_request date = {.request_id = wire_id(),
                                   .concert_id = 1,
                                   .date_id = 1,
                                   .plan_id = 1,
                                   .starts_at_ms = admin->stamp_ms + 24 * 30 * HOUR_MS,
                                   .price_count = 1,
                                   .price = {PRICE}};
    assert_int_equal(wire_ask(admin, USHER_OPCODE_PUT_DATE, &date, NULL), USHER_OK);
}

/* A request that must go well; the server's time goes on, and by less than the clock is set. */
static void
must(struct wire *admin, uint16_t opcode, const void *body, void *reply)
{
    uint64_t before_ms = admin->stamp_ms;

    assert_int_equal(wire_ask(admin, opcode, body, reply), USHER_OK);
    assert_true(admin->stamp_ms >= before_ms);
    assert_true(admin->stamp_ms - before_ms < HOUR_MS);
}

static void
buy(struct wire *admin, uint32_t buyer, bool holds_only)
{
    const usher_uuid user = wire_user(buyer);
    usher_charge_request charge = {.request_id = wire_id(), .user = user, .amount = PRICE};
    usher_reserve_request reserve = {
        .request_id = wire_id(), .user = user, .concert_id = 1, .date_id = 1, .seat_count = 1, .seat = {buyer}};
    usher_reserve_reply held;
    usher_pay_reply paid;

    if (holds_only) {
        must(admin, USHER_OPCODE_CHARGE, &charge, NULL);
        must(admin, USHER_OPCODE_RESERVE, &reserve, &held);
        assert_true(held.until_ms > admin->stamp_ms);
        assert_true(held.until_ms - admin->stamp_ms < HOUR_MS);
        return;
    }
    usher_holds_request ask = {.user = user};
    usher_holds_reply holds;
    must(admin, USHER_OPCODE_HOLDS, &ask, &holds);
    assert_int_equal(holds.hold_count, 1);
    usher_pay_request pay = {
        .request_id = wire_id(), .user = user, .reservation_count = 1, .reservation = {holds.hold[0].reservation_id}};
    must(admin, USHER_OPCODE_PAY, &pay, &paid);
}

/* That the clock was set at all shows in the log, whose lines bear the system's time. */
static void
see_that_the_clock_was_set(const struct test_server *server)
{
    const size_t to_the_hour = strlen("ts=2026-11-23T09");
    char said[4096];
    unsigned jumps = 0;

    test_server_log(server, said, sizeof said);
    for (const char *line = said, *next; (next = strchr(line, '\n')) != NULL && next[1] != '\0'; line = next + 1)
        jumps += strncmp(line, next + 1, to_the_hour) != 0;
    assert_true(jumps >= 2);
}

/* X1: whatever the system's clock does, the server's time neither jumps nor goes back; no hold ends early or late. */
static void
a_clock_that_is_set_back_and_forth_moves_no_deadline(void **state)
{
    struct test_server server;
    struct wire admin;

    (void)state;
    test_server_open(&server);
    setenv("LD_PRELOAD", WILD_CLOCK_PATH, 1);
    test_server_start(&server, NULL);
    unsetenv("LD_PRELOAD");
    assert_true(wire_open(&admin, server.port));
    assert_int_equal(wire_login(&admin, server.admin_key), USHER_OK);
    load_house(&admin);
    for (uint32_t buyer = 1; buyer <= BUYERS; buyer++)
        buy(&admin, buyer, true);
    for (uint32_t buyer = 1; buyer <= BUYERS; buyer++)
        buy(&admin, buyer, false);
    wire_close(&admin);
    assert_int_equal(test_server_stop(&server, SIGTERM), 0);
    see_that_the_clock_was_set(&server);
    test_server_close(&server);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clock_that_is_set_back_and_forth_moves_no_deadline),
    };

    return usher_test_main(argc, argv, tests);
}
