/* served.c: power cuts of a real usherd. See served.h. */
#define _GNU_SOURCE 1
#include "tests/power/served.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/power/cut.h"
#include "tests/server.h"
#include "tests/test.h"
#include "tests/wire.h"

#define INSTANCES_MOST 4u
#define CLIENTS        12u
#define PRICE          700
#define ROUNDS_MOST    1000u /* until a death comes */
#define SPARED         20u   /* writes and syncs of a start, and then some */
#define EARLY          2     /* boundaries */

enum step { JOIN, RESERVE, CHARGE, PAY, REFUND, STEPS };
static const uint16_t opcodes[STEPS] = {USHER_OPCODE_JOIN, USHER_OPCODE_RESERVE, USHER_OPCODE_CHARGE, USHER_OPCODE_PAY,
                                        USHER_OPCODE_REFUND};

union reply {
    usher_join_reply join;
    usher_reserve_reply reserve;
    usher_charge_reply charge;
    usher_pay_reply pay;
    usher_refund_reply refund;
};

/* What was heard. */
struct heard {
    uint64_t buyer;
    uint64_t step;
    uint64_t number; /* number_of */
};

static usher_id
request_id(uint64_t buyer, uint64_t step)
{
    const uint64_t words[2] = {0x736572760000u + step, buyer};
    usher_id id;

    memcpy(id.bytes, words, sizeof id.bytes);
    return id;
}

/* What an answer is known by. */
static uint64_t
number_of(enum step step, const union reply *reply)
{
    switch (step) {
    case JOIN:
        return reply->join.position;
    case RESERVE:
        return reply->reserve.hold[0].reservation_id;
    case CHARGE:
        return reply->charge.entry_no;
    case PAY:
        return reply->pay.payment_id;
    case REFUND:
        return reply->refund.refund_id;
    case STEPS:
        break;
    }
    return 0;
}

/* --- recording ------------------------------------------------------------------------------------------------- */
struct client {
    struct wire wire;
    unsigned server;
    uint64_t buyer;
    enum step step;
    uint32_t request_no; /* of the request that waits for its answer; 0 for none */
    bool cut_off, again; /* its server died; it has sent something before that it heard nothing of */
    uint16_t token_count;
    uint8_t token[512];
    uint64_t reservation_id, payment_id;
};

struct serving {
    const struct power_served *served;
    struct power_served_counts *counts;
    struct test_server server[INSTANCES_MOST];
    struct client client[CLIENTS];
    uint64_t buyers, random;
    char log_path[CUT_PATH_MOST];
    int log;
};

/* Start it under the shim; with die_at it ends by its own hand at this write or sync of the store. */
static void
start(struct serving *serving, unsigned number, uint64_t die_at)
{
    char text[32];

    snprintf(text, sizeof text, "%" PRIu64, die_at);
    setenv("LD_PRELOAD", POWER_SHIM_PATH, 1);
    setenv(POWER_LOG_ENV, serving->log_path, 1);
    setenv(POWER_DIE_ENV, text, 1);
    test_server_start(&serving->server[number], "--quiet", "--join", NULL);
    unsetenv("LD_PRELOAD");
    unsetenv(POWER_LOG_ENV);
    unsetenv(POWER_DIE_ENV);
}

static void
log_in(const struct serving *serving, struct client *client)
{
    const struct test_server *server = &serving->server[client->server];

    assert_true(wire_open(&client->wire, server->port));
    assert_int_equal(wire_login(&client->wire, server->admin_key), USHER_OK);
}

static void
load_house(struct wire *wire)
{
    usher_set_policy_request policy = {
        .request_id = wire_id(), .of_queue = USHER_FLAG_YES, .name = "admit_batch", .value = 100000};
    usher_put_plan_request plan = {.request_id = wire_id(), .plan_id = 1, .section_count = 1};
    usher_put_concert_request concert = {.request_id = wire_id(), .concert_id = 1, .title = "Lights out"};
    usher_put_date_request date = {.request_id = wire_id(),
                                   .concert_id = 1,
                                   .date_id = 1,
                                   .plan_id = 1,
                                   .starts_at_ms = wire->stamp_ms + 30 * UINT64_C(86400000),
                                   .price_count = 1,
                                   .price = {PRICE}};

    plan.section[0] = (usher_section){.name = "Hall", .first_row = 1, .row_count = 5, .seats_per_row = 10};
    assert_int_equal(wire_ask(wire, USHER_OPCODE_SET_POLICY, &policy, NULL), USHER_OK);
    assert_int_equal(wire_ask(wire, USHER_OPCODE_PUT_PLAN, &plan, NULL), USHER_OK);
    assert_int_equal(wire_ask(wire, USHER_OPCODE_PUT_CONCERT, &concert, NULL), USHER_OK);
    assert_int_equal(wire_ask(wire, USHER_OPCODE_PUT_DATE, &date, NULL), USHER_OK);
}

static void
open_serving(struct serving *serving)
{
    assert_in_range(serving->served->instances, 1, INSTANCES_MOST);
    for (unsigned i = 0; i < serving->served->instances; i++) {
        if (i == 0)
            test_server_open(&serving->server[0]);
        else
            test_server_open_beside(&serving->server[i], &serving->server[0], i);
        start(serving, i, 0);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *client = &serving->client[i];
        client->server = i % serving->served->instances;
        client->buyer = ++serving->buyers;
        log_in(serving, client);
    }
    load_house(&serving->client[0].wire);
}

#define TOKEN_OF(client, ask)                                                                                          \
    ((ask).token_count = (client)->token_count, memcpy((ask).token, (client)->token, sizeof(ask).token))

/* Send the client's next step. Each has a seat of its own, which it sells over and over. */
static void
send_step(const struct serving *serving, struct client *client)
{
    const usher_id id = request_id(client->buyer, client->step);
    const uint32_t seat_no = 1 + (uint32_t)(client - serving->client);
    usher_join_request join = {.request_id = id, .user = wire_user(client->buyer)};
    usher_reserve_request reserve = {
        .request_id = id, .concert_id = 1, .date_id = 1, .seat_count = 1, .seat = {seat_no}};
    usher_charge_request charge = {.request_id = id, .amount = PRICE};
    usher_pay_request pay = {.request_id = id, .reservation_count = 1, .reservation = {client->reservation_id}};
    usher_refund_request refund = {.request_id = id, .payment_id = client->payment_id};
    const void *const bodies[STEPS] = {&join, &reserve, &charge, &pay, &refund};

    TOKEN_OF(client, reserve);
    TOKEN_OF(client, charge);
    TOKEN_OF(client, pay);
    TOKEN_OF(client, refund);
    client->request_no = wire_send(&client->wire, opcodes[client->step], bodies[client->step]);
    client->cut_off = client->request_no == 0;
}

/* The client has the answer in its hands: from here on no power cut may take it back. */
static void
mark(const struct serving *serving, const struct client *client, const union reply *reply)
{
    struct heard heard = {.buyer = client->buyer, .step = client->step, .number = number_of(client->step, reply)};
    struct power_record head = {.magic = POWER_MAGIC, .kind = POWER_MARK, .size = sizeof heard};
    const struct iovec parts[2] = {{&head, sizeof head}, {&heard, sizeof heard}};

    assert_int_equal(writev(serving->log, parts, 2), sizeof head + sizeof heard);
}

static void
go_on(struct serving *serving, struct client *client, const union reply *reply)
{
    mark(serving, client, reply);
    if (client->step == JOIN) {
        assert_int_equal(reply->join.state, USHER_PLACE_ACTIVE);
        client->token_count = reply->join.token_count;
        memcpy(client->token, reply->join.token, reply->join.token_count);
    }
    if (client->step == RESERVE)
        client->reservation_id = reply->reserve.hold[0].reservation_id;
    if (client->step == PAY)
        client->payment_id = reply->pay.payment_id;
    client->step++;
    if (client->step < STEPS)
        return;
    client->step = JOIN;
    client->buyer = ++serving->buyers;
    client->token_count = 0;
}

/* Wait for the answer. The connection may end instead. */
static void
receive_step(struct serving *serving, struct client *client)
{
    union reply reply;
    struct wire_frame frame;
    unsigned field_no;

    do {
        if (!wire_receive(&client->wire, &frame)) {
            client->cut_off = true;
            return;
        }
    } while (frame.request_no != client->request_no);
    client->request_no = 0;
    if (frame.result != USHER_OK)
        fail_msg("buyer %u, step %u: %s", (unsigned)client->buyer, (unsigned)client->step,
                 usher_result_name((usher_result)frame.result));
    memset(&reply, 0, sizeof reply);
    assert_int_equal(
        usher_decode(usher_message_of(frame.opcode)->reply, frame.body, frame.body_size, &reply, &field_no), USHER_OK);
    serving->counts->acknowledged++;
    serving->counts->replayed += client->again && (frame.flags & USHER_FLAG_REPLAYED) != 0;
    assert_true(client->again || (frame.flags & USHER_FLAG_REPLAYED) == 0);
    client->again = false;
    go_on(serving, client, &reply);
}

/* Each client's next step at once. False when a server died in it. */
static bool
play_round(struct serving *serving)
{
    bool whole = true;

    for (unsigned i = 0; i < CLIENTS; i++)
        send_step(serving, &serving->client[i]);
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (!serving->client[i].cut_off)
            receive_step(serving, &serving->client[i]);
        whole = whole && !serving->client[i].cut_off;
    }
    return whole;
}

/* The clients of a server that was started again come back. */
static void
come_back(struct serving *serving, unsigned number)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *client = &serving->client[i];
        if (client->server != number)
            continue;
        wire_close(&client->wire);
        log_in(serving, client);
        client->again = client->again || client->cut_off;
        serving->counts->retried += client->cut_off;
        client->cut_off = false;
    }
}

/* One is stopped, and what is started in its place dies while it works. */
static void
die_once(struct serving *serving, unsigned victim)
{
    unsigned round = 0;

    assert_int_equal(test_server_stop(&serving->server[victim], SIGTERM), 0);
    start(serving, victim, SPARED + power_random(&serving->random) % 60);
    come_back(serving, victim);
    while (play_round(serving))
        assert_true(++round < ROUNDS_MOST);
    assert_int_equal(test_server_stop(&serving->server[victim], 0), -SIGKILL); /* 0: it needs no signal of ours */
    serving->counts->deaths++;
    start(serving, victim, 0);
    come_back(serving, victim);
}

void
power_record_served(const char *folder, const struct power_served *served, struct power_served_counts *counts)
{
    struct serving *serving = calloc(1, sizeof *serving);

    assert_non_null(serving);
    memset(counts, 0, sizeof *counts);
    serving->served = served;
    serving->counts = counts;
    serving->random = served->seed;
    snprintf(serving->log_path, sizeof serving->log_path, "%s/log", folder);
    serving->log = open(serving->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(serving->log >= 0);
    open_serving(serving);
    for (unsigned death = 0; death <= served->deaths; death++) {
        for (unsigned round = 0; round < served->rounds; round++)
            assert_true(play_round(serving));
        if (death < served->deaths)
            die_once(serving, death % served->instances);
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        wire_close(&serving->client[i].wire);
    for (unsigned i = served->instances; i-- > 0;) {
        assert_int_equal(test_server_stop(&serving->server[i], SIGTERM), 0);
        test_server_close(&serving->server[i]);
    }
    close(serving->log);
    free(serving);
}

/* --- checking -------------------------------------------------------------------------------------------------- */
struct checking {
    struct cutting cutting; /* first: its views come back to us */
    struct heard *answers;  /* all of the log, in its order */
    size_t answer_count, heard_count;
    uint64_t certain_position;
};

/* Is this answer in the store, as it was heard? */
static bool
has_answer(const struct sale *sale, const struct heard *heard)
{
    const usher_uuid user = wire_user(heard->buyer);
    const usher_id id = request_id(heard->buyer, heard->step);
    uint64_t user_no = store_find_user(sale->store, &user);
    struct answer_row row;
    union reply reply;
    unsigned field_no;

    if (user_no == 0 || !store_find_answer(sale->store, user_no << 1, &id, &row))
        return false;
    memset(&reply, 0, sizeof reply);
    return row.opcode == opcodes[heard->step] && row.result == USHER_OK &&
           usher_decode(usher_message_of(row.opcode)->reply, row.body, row.body_size, &reply, &field_no) == USHER_OK &&
           number_of((enum step)heard->step, &reply) == heard->number;
}

static bool
look(struct cutting *cutting, const struct sale *sale, bool certain)
{
    struct checking *checking = (struct checking *)cutting;
    uint64_t position = store_position(sale->store);

    if (position < checking->certain_position)
        return cut_wrong(cutting, "position %" PRIu64 " was on the disk, the store stands at %" PRIu64,
                         checking->certain_position, position);
    if (certain)
        checking->certain_position = position;
    for (size_t i = 0; i < checking->heard_count; i++)
        if (!has_answer(sale, &checking->answers[i]))
            return cut_wrong(cutting, "buyer %" PRIu64 " heard of step %" PRIu64 ", and its answer is not there",
                             checking->answers[i].buyer, checking->answers[i].step);
    cutting->counts->unheard += checking->heard_count > 0 && checking->heard_count < checking->answer_count &&
                                has_answer(sale, &checking->answers[checking->heard_count]);
    return true;
}

static void
hear(struct cutting *cutting, const struct power_entry *entry)
{
    struct checking *checking = (struct checking *)cutting;

    (void)entry; /* answers has them in the same order */
    checking->heard_count++;
}

/* As if every answer had been sent that many boundaries before it was. */
static void
hear_too_early(struct power_log *log)
{
    for (size_t i = 0; i < log->count; i++) {
        int passed = 0;
        if (log->entry[i].head.kind != POWER_MARK)
            continue;
        for (size_t at = i; at > 0 && log->entry[at - 1].head.kind != POWER_MARK && passed < EARLY; at--) {
            const struct power_entry before = log->entry[at - 1];
            passed += cut_is_boundary(&before);
            log->entry[at - 1] = log->entry[at];
            log->entry[at] = before;
        }
    }
}

static bool
read_answers(struct checking *checking)
{
    struct cutting *cutting = &checking->cutting;

    checking->answers = calloc(cutting->log.count + 1, sizeof *checking->answers);
    for (size_t i = 0; i < cutting->log.count; i++) {
        const struct power_entry *entry = &cutting->log.entry[i];
        struct heard *answer = &checking->answers[checking->answer_count];
        if (entry->head.kind != POWER_MARK)
            continue;
        if (entry->head.size != sizeof *answer)
            return cut_wrong(cutting, "%s/log has a mark that is none", cutting->folder);
        memcpy(answer, entry->data, sizeof *answer);
        if (answer->step >= STEPS)
            return cut_wrong(cutting, "%s/log has a mark that is none", cutting->folder);
        checking->answer_count++;
    }
    return true;
}

bool
power_check_served(const char *folder, const struct power_served *served, uint64_t images, struct power_counts *counts,
                   char *why, size_t why_size)
{
    static const struct cut_view view = {.hear = hear, .look = look, .while_made = 1};
    struct checking checking = {.cutting = {.folder = folder,
                                            .view = &view,
                                            .random = served->seed,
                                            .counts = counts,
                                            .why = why,
                                            .why_size = why_size}};

    memset(counts, 0, sizeof *counts);
    bool good = cut_open(&checking.cutting) && read_answers(&checking);
    if (good && served->early)
        hear_too_early(&checking.cutting.log);
    good = good && cut_everywhere(&checking.cutting, images);
    cut_close(&checking.cutting);
    free(checking.answers);
    return good;
}
