/* held_test.c: answers that are made while the disk has their batch (server/net/held.c): none of a batch that the disk
 * did not take is ever heard. */
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/power/record.h"
#include "tests/server.h"
#include "tests/wire.h"

#define ROUNDS   60u
#define COMMANDS 150u /* in one piece: more than a turn waits for */
#define QUERIES  50u

/* What a client has heard of its one user. */
struct heard {
    int64_t sure;            /* points that were acknowledged before this round */
    unsigned done, faults;   /* of this round's charges */
    int64_t least, greatest; /* of its balances */
    unsigned all_done, all_faults, largest;
};

static void
start_failing(struct test_server *server, const char *failing)
{
    char log[TEST_PATH_MOST + 16];

    test_server_open(server);
    snprintf(log, sizeof log, "%s/power.log", server->folder);
    setenv("LD_PRELOAD", POWER_SHIM_PATH, 1);
    setenv(POWER_LOG_ENV, log, 1);
    setenv(POWER_FAIL_ENV, failing, 1);
    test_server_start(server, NULL);
    unsetenv("LD_PRELOAD");
    unsetenv(POWER_LOG_ENV);
    unsetenv(POWER_FAIL_ENV);
}

/* Charges and questions for the balance in one piece, a point each. */
static void
ask_round(struct wire *wire)
{
    static uint8_t bytes[(COMMANDS + QUERIES) * 256];
    const usher_balance_request balance = {.user = wire_user(1)};
    size_t size = 0;

    for (unsigned i = 0; i < COMMANDS + QUERIES; i++) {
        const usher_charge_request charge = {.request_id = wire_id(), .user = wire_user(1), .amount = 1};
        bool asks = i % 4 == 3;
        size += wire_build(bytes + size, asks ? USHER_OPCODE_BALANCE : USHER_OPCODE_CHARGE, ++wire->last_request_no, 0,
                           asks ? (const void *)&balance : &charge);
    }
    assert_true(wire_send_bytes(wire, bytes, size));
}

static void
hear_balance(struct heard *heard, const struct wire_frame *frame)
{
    usher_balance_reply reply;
    unsigned field_no;

    assert_int_equal(frame->result, USHER_OK);
    assert_int_equal(
        usher_decode(usher_message_of(USHER_OPCODE_BALANCE)->reply, frame->body, frame->body_size, &reply, &field_no),
        USHER_OK);
    heard->least = reply.balance < heard->least ? reply.balance : heard->least;
    heard->greatest = reply.balance > heard->greatest ? reply.balance : heard->greatest;
}

static void
hear_round(struct wire *wire, struct heard *heard)
{
    struct wire_frame frame;

    heard->done = heard->faults = 0;
    heard->least = INT64_MAX;
    heard->greatest = 0;
    for (unsigned i = 0; i < COMMANDS + QUERIES; i++) {
        assert_true(wire_receive(wire, &frame));
        if (frame.opcode == USHER_OPCODE_BALANCE) {
            hear_balance(heard, &frame);
            continue;
        }
        assert_int_equal(frame.opcode, USHER_OPCODE_CHARGE);
        assert_true(frame.result == USHER_OK || frame.result == USHER_STORAGE_FAULT);
        heard->done += frame.result == USHER_OK;
        heard->faults += frame.result == USHER_STORAGE_FAULT;
    }
}

/* X3, M1: a write of each so many fails, and the batch with it, in the front and in LMDB: its charges are told so, and the
 * balances that were asked for with them are those of before. */
static void
nothing_is_heard_of_a_batch_that_the_disk_did_not_take(void **state)
{
    struct heard heard = {0};
    struct test_server server;
    struct wire wire;
    usher_figures_reply figures;
    (void)state;

    start_failing(&server, "60 8 23");
    assert_true(wire_open(&wire, server.port));
    assert_int_equal(wire_login(&wire, server.admin_key), USHER_OK);
    for (unsigned round = 0; round < ROUNDS; round++) {
        ask_round(&wire);
        hear_round(&wire, &heard);
        assert_true(heard.greatest <= heard.sure + heard.done);
        assert_true(heard.least >= heard.sure);
        heard.sure += heard.done;
        heard.all_done += heard.done;
        heard.all_faults += heard.faults;
    }
    assert_true(heard.all_done >= ROUNDS * COMMANDS / 10);
    assert_true(heard.all_faults >= ROUNDS * COMMANDS / 20);
    assert_int_equal(wire_ask(&wire, USHER_OPCODE_FIGURES, &(usher_figures_request){0}, &figures), USHER_OK);
    for (unsigned i = 0; i < figures.stage_count; i++)
        if (figures.stage[i].stage == USHER_STAGE_COMMANDS)
            heard.largest = (unsigned)figures.stage[i].most;
    assert_true(heard.largest >= 64); /* or the loop would have waited for each */
    print_message("%u charges done, %u undone; batches of up to %u\n", heard.all_done, heard.all_faults, heard.largest);
    wire_close(&wire);
    test_server_close(&server);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_heard_of_a_batch_that_the_disk_did_not_take),
    };

    return usher_test_main(argc, argv, tests);
}
