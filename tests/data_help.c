/* data_help.c: see data_help.h. */
#include "tests/data_help.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAUSE_MS    2
#define PATIENCE_MS 60000

/* --- a house that has sold ------------------------------------------------------------------------------------ */
static void
ask(struct data_stage *stage, uint16_t opcode, const void *body, void *reply)
{
    unsigned result = wire_ask(&stage->admin, opcode, body, reply);

    if (result != USHER_OK)
        fail_msg("opcode %u: %s", (unsigned)opcode, usher_result_name(result));
}

static void
put_concert(struct data_stage *stage)
{
    usher_put_plan_request plan = {.request_id = wire_id(), .plan_id = 1, .section_count = 1};
    usher_put_concert_request concert = {.request_id = wire_id(), .concert_id = 1, .title = "A stored night"};

    plan.section[0] = (usher_section){.name = "Hall", .first_row = 1, .row_count = 2, .seats_per_row = 10};
    ask(stage, USHER_OPCODE_PUT_PLAN, &plan, NULL);
    ask(stage, USHER_OPCODE_PUT_CONCERT, &concert, NULL);
    for (uint32_t date_id = 1; date_id <= 2; date_id++) {
        usher_put_date_request date = {.request_id = wire_id(),
                                       .concert_id = 1,
                                       .date_id = date_id,
                                       .plan_id = 1,
                                       .starts_at_ms = stage->admin.stamp_ms + 86400000,
                                       .price_count = 1,
                                       .price = {500}};
        ask(stage, USHER_OPCODE_PUT_DATE, &date, NULL);
    }
}

/* Hold two seats. */
static usher_reserve_reply
hold(struct data_stage *stage, uint64_t user, uint32_t date_id, uint32_t seat_no)
{
    usher_reserve_request request = {.request_id = wire_id(),
                                     .user = wire_user(user),
                                     .concert_id = 1,
                                     .date_id = date_id,
                                     .seat_count = 2,
                                     .seat = {seat_no, seat_no + 1}};
    usher_reserve_reply reply;

    ask(stage, USHER_OPCODE_RESERVE, &request, &reply);
    return reply;
}

static void
charge(struct data_stage *stage, uint64_t user, int64_t amount)
{
    usher_charge_request request = {.request_id = wire_id(), .user = wire_user(user), .amount = amount};

    ask(stage, USHER_OPCODE_CHARGE, &request, NULL);
}

/* Buy two seats; returns the payment and the second reservation. */
static uint64_t
buy(struct data_stage *stage, uint64_t user, uint32_t date_id, uint32_t seat_no, uint64_t *second)
{
    usher_reserve_reply held = hold(stage, user, date_id, seat_no);
    usher_pay_request pay = {.request_id = wire_id(),
                             .user = wire_user(user),
                             .reservation_count = 2,
                             .reservation = {held.hold[0].reservation_id, held.hold[1].reservation_id}};
    usher_pay_reply paid;

    charge(stage, user, 1200);
    ask(stage, USHER_OPCODE_PAY, &pay, &paid);
    *second = held.hold[1].reservation_id;
    return paid.payment_id;
}

static void
sell_some(struct data_stage *stage)
{
    uint64_t second;

    for (uint64_t user = 1; user <= DATA_USERS; user++) {
        usher_join_request join = {.request_id = wire_id(), .user = wire_user(user)};
        ask(stage, USHER_OPCODE_JOIN, &join, NULL);
    }
    for (uint64_t user = 1; user <= 3; user++) {
        uint64_t payment_id = buy(stage, user, 1, (uint32_t)(2 * user - 1), &second);
        usher_refund_request refund = {.request_id = wire_id(),
                                       .user = wire_user(user),
                                       .payment_id = payment_id,
                                       .reservation_count = 1,
                                       .reservation = {second}};
        if (user == 2)
            ask(stage, USHER_OPCODE_REFUND, &refund, NULL);
    }
    usher_reserve_reply held = hold(stage, 4, 2, 1);
    hold(stage, 5, 2, 3);
    usher_release_request release = {.request_id = wire_id(),
                                     .user = wire_user(4),
                                     .reservation_count = 1,
                                     .reservation = {held.hold[0].reservation_id}};
    ask(stage, USHER_OPCODE_RELEASE, &release, NULL);
    usher_block_request block = {.request_id = wire_id(),
                                 .concert_id = 1,
                                 .date_id = 2,
                                 .reason = "a camera",
                                 .seat_count = 2,
                                 .seat = {19, 20}};
    ask(stage, USHER_OPCODE_BLOCK, &block, NULL);
    usher_put_consumer_request consumer = {.request_id = wire_id(), .consumer = "ledger"};
    ask(stage, USHER_OPCODE_PUT_CONSUMER, &consumer, NULL);
    usher_put_queue_request queue = {.request_id = wire_id(), .queue_id = 2, .name = "Another"};
    ask(stage, USHER_OPCODE_PUT_QUEUE, &queue, NULL);
    usher_join_request both = {.request_id = wire_id(), .user = wire_user(5), .queue_id = 2};
    ask(stage, USHER_OPCODE_JOIN, &both, NULL); /* a user with places in two queues */
}

void
data_stage_open(struct data_stage *stage)
{
    memset(stage, 0, sizeof *stage);
    test_server_open(&stage->server);
    test_server_start(&stage->server, "--quiet", NULL);
    assert_true(wire_open(&stage->admin, stage->server.port));
    assert_int_equal(wire_login(&stage->admin, stage->server.admin_key), USHER_OK);
    put_concert(stage);
    sell_some(stage);
}

void
data_stage_stop(struct data_stage *stage, int signal_no)
{
    static const usher_info_request nothing;
    usher_info_reply info;

    ask(stage, USHER_OPCODE_INFO, &nothing, &info);
    for (int waited_ms = 0; info.history_event_no < info.last_event_no; waited_ms += PAUSE_MS) {
        assert_in_range(waited_ms, 0, PATIENCE_MS);
        poll(NULL, 0, PAUSE_MS);
        ask(stage, USHER_OPCODE_INFO, &nothing, &info);
    }
    charge(stage, 6, 60); /* something for the journal */
    wire_close(&stage->admin);
    test_server_stop(&stage->server, signal_no);
}

void
data_stage_close(struct data_stage *stage)
{
    if (stage->admin.input != NULL)
        wire_close(&stage->admin);
    test_server_close(&stage->server);
}

/* --- verbs ---------------------------------------------------------------------------------------------------- */
int
data_run(struct data_stage *stage, const char *verb, const char *first, const char *second)
{
    return test_server_run(&stage->server, NULL, stage->said, sizeof stage->said, verb, first, second, NULL);
}

void
data_must(struct data_stage *stage, int code, const char *text, const char *verb, const char *first, const char *second)
{
    int ended = data_run(stage, verb, first, second);

    if (ended != code || strstr(stage->said, text) == NULL)
        fail_msg("usherd %s %s %s ended with %d, not with %d and \"%s\":\n%s", verb, first,
                 second != NULL ? second : "", ended, code, text, stage->said);
}

/* --- files ---------------------------------------------------------------------------------------------------- */
const char *
data_path(const struct data_stage *stage, const char *name)
{
    static char paths[4][2 * TEST_PATH_MOST];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", stage->server.folder, name);
    return path;
}

struct data_bytes
data_read(const char *path)
{
    struct data_bytes data = {NULL, 0};
    FILE *file = fopen(path, "rb");
    long size;

    if (file == NULL)
        fail_msg("%s is not there", path);
    fseek(file, 0, SEEK_END);
    size = ftell(file);
    rewind(file);
    data.bytes = malloc((size_t)size + 1);
    assert_non_null(data.bytes);
    data.size = fread(data.bytes, 1, (size_t)size, file);
    data.bytes[data.size] = '\0';
    fclose(file);
    return data;
}

void
data_write(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}
