/* figures_test.c: a real usherd says where its time and its memory go. */
#include "tests/test.h"

#include <signal.h>
#include <string.h>

#include "tests/server.h"
#include "tests/wire.h"

#define CHARGES 40u

struct fixture {
    struct test_server server;
    struct wire wire;
};

static void
start(struct fixture *fixture)
{
    test_server_open(&fixture->server);
    test_server_start(&fixture->server, "--quiet", NULL);
    assert_true(wire_open(&fixture->wire, fixture->server.port));
    assert_int_equal(wire_login(&fixture->wire, fixture->server.admin_key), USHER_OK);
}

static void
finish(struct fixture *fixture)
{
    wire_close(&fixture->wire);
    test_server_close(&fixture->server);
}

static const usher_figures_reply *
figures(struct fixture *fixture, bool clear)
{
    static usher_figures_reply reply;
    const usher_figures_request ask = {.clear = clear ? USHER_FLAG_YES : USHER_FLAG_NO};

    assert_int_equal(wire_ask(&fixture->wire, USHER_OPCODE_FIGURES, &ask, &reply), USHER_OK);
    return &reply;
}

static usher_stage_row
stage_of(const usher_figures_reply *reply, usher_stage stage)
{
    for (uint16_t i = 0; i < reply->stage_count; i++)
        if (reply->stage[i].stage == stage)
            return reply->stage[i];
    return (usher_stage_row){.stage = (uint8_t)stage};
}

static usher_memory_row
memory_of(const usher_figures_reply *reply, const char *name)
{
    for (uint16_t i = 0; i < reply->memory_count; i++)
        if (strcmp(reply->memory[i].name, name) == 0)
            return reply->memory[i];
    fail_msg("no row is called %s", name);
    return (usher_memory_row){.count = 0};
}

/* Charge users 1 to CHARGES in one write, and read the answers. */
static void
charge_together(struct fixture *fixture)
{
    static uint8_t bytes[CHARGES * 256];
    struct wire_frame frame;
    size_t size = 0;

    for (uint32_t i = 1; i <= CHARGES; i++) {
        const usher_charge_request charge = {.request_id = wire_id(), .user = wire_user(i), .amount = 1};
        size += wire_build(bytes + size, USHER_OPCODE_CHARGE, i, 0, &charge);
    }
    assert_true(wire_send_bytes(&fixture->wire, bytes, size));
    for (uint32_t i = 1; i <= CHARGES; i++) {
        assert_true(wire_receive(&fixture->wire, &frame));
        assert_int_equal(frame.result, USHER_OK);
    }
}

static void
the_stages_of_a_commit_are_measured(void **state)
{
    static const usher_stage through[] = {USHER_STAGE_PARSE, USHER_STAGE_APPLY, USHER_STAGE_WRITE, USHER_STAGE_SYNC,
                                          USHER_STAGE_SEND,  USHER_STAGE_TURN,  USHER_STAGE_ANSWERED};
    struct fixture fixture;
    (void)state;

    start(&fixture);
    (void)figures(&fixture, true);
    charge_together(&fixture);
    const usher_figures_reply *reply = figures(&fixture, false);
    for (size_t i = 0; i < sizeof through / sizeof *through; i++) {
        const usher_stage_row row = stage_of(reply, through[i]);
        assert_true(row.count > 0);
        assert_true(row.sum > 0);
        assert_true(row.most <= row.sum);
    }
    assert_int_equal(stage_of(reply, USHER_STAGE_COMMANDS).sum, CHARGES);
    assert_int_equal(stage_of(reply, USHER_STAGE_COMMANDS).most, CHARGES);
    finish(&fixture);
}

static void
cleared_figures_begin_anew_once_they_were_read(void **state)
{
    struct fixture fixture;
    (void)state;

    start(&fixture);
    charge_together(&fixture);
    uint64_t since_ms = figures(&fixture, false)->stages_since_ms;
    assert_int_equal(stage_of(figures(&fixture, false), USHER_STAGE_COMMANDS).sum, CHARGES);
    assert_int_equal(stage_of(figures(&fixture, true), USHER_STAGE_COMMANDS).sum, CHARGES);
    const usher_figures_reply *reply = figures(&fixture, false);
    assert_int_equal(stage_of(reply, USHER_STAGE_COMMANDS).sum, 0);
    assert_true(reply->stages_since_ms >= since_ms);
    assert_int_equal(memory_of(reply, "user").count, CHARGES);
    finish(&fixture);
}

static void
memory_is_told_by_table_and_index(void **state)
{
    struct fixture fixture;
    (void)state;

    start(&fixture);
    charge_together(&fixture);
    const usher_figures_reply *reply = figures(&fixture, false);
    assert_int_equal(memory_of(reply, "house").count, 1);
    assert_int_equal(memory_of(reply, "user").count, CHARGES);
    assert_int_equal(memory_of(reply, "users by uuid").count, CHARGES);
    /* One more: the invitation of the first admin. */
    assert_int_equal(memory_of(reply, "answers by request id").count, CHARGES + 1);
    assert_int_equal(memory_of(reply, "connections").count, 1);
    for (uint16_t i = 0; i < reply->memory_count; i++)
        assert_true(reply->memory[i].count == 0 || reply->memory[i].bytes > 0);
    finish(&fixture);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_stages_of_a_commit_are_measured),
        cmocka_unit_test(cleared_figures_begin_anew_once_they_were_read),
        cmocka_unit_test(memory_is_told_by_table_and_index),
    };

    return usher_test_main(argc, argv, tests);
}
