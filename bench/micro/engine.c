/* engine.c: see engine.h. */
#include "bench/micro/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/codec.h"

#define NOON       1750000000000u
#define SEATS_EACH 50u
#define DATES_EACH 1000u
#define PRICE      100

const char *const engine_steps[ENGINE_STEPS] = {"join", "charge", "reserve", "pay"};

static const struct core_asker admin = {.role = USHER_ROLE_ADMIN, .client_no = 1};

/* A command before it is carried out. */
struct question {
    struct core_asker asker;
    const usher_message *message;
    const void *body;
};

_Noreturn void
engine_die(const char *what)
{
    fprintf(stderr, "micro: %s\n", what);
    exit(1);
}

static usher_id
id_of(uint64_t high, uint64_t low)
{
    usher_id id;

    for (unsigned i = 0; i < 8; i++) {
        id.bytes[i] = (uint8_t)(high >> (56 - 8 * i));
        id.bytes[8 + i] = (uint8_t)(low >> (56 - 8 * i));
    }
    return id;
}

static usher_uuid
user_of(uint32_t buyer)
{
    usher_uuid user;
    const usher_id id = id_of(0x80000000000000 + buyer, 0x8000000000000000 + buyer * UINT64_C(0x9e3779b97f4a7c15) / 2);

    memcpy(&user, &id, sizeof user);
    return user;
}

/* --- the house ------------------------------------------------------------------------------------------------ */
static void
must_add(struct engine *engine, uint16_t opcode, const void *body, uint64_t tag)
{
    if (!commit_add(engine->commit, usher_message_of(opcode), &admin, body, tag))
        engine_die("a batch is full");
}

static void
must_run(struct engine *engine)
{
    uint32_t count = commit_count(engine->commit);

    if (commit_run(engine->commit, ++engine->now_ms) != STORE_DONE)
        engine_die("a batch could not be carried out");
    for (uint32_t i = 0; i < count; i++)
        if (commit_answer(engine->commit, i).result != USHER_OK)
            engine_die(usher_result_name(commit_answer(engine->commit, i).result));
}

static void
set_policy(struct engine *engine, const char *name, uint64_t value)
{
    static uint64_t count;
    usher_set_policy_request ask = {.request_id = id_of(1, ++count), .of_queue = USHER_FLAG_YES, .value = value};

    snprintf(ask.name, sizeof ask.name, "%s", name);
    must_add(engine, USHER_OPCODE_SET_POLICY, &ask, 0);
}

static void
put_date(struct engine *engine, uint32_t date)
{
    const usher_put_date_request ask = {.request_id = id_of(2, date + 1),
                                        .concert_id = date / DATES_EACH + 1,
                                        .date_id = date % DATES_EACH + 1,
                                        .plan_id = 1,
                                        .starts_at_ms = NOON + 86400000,
                                        .price_count = 1,
                                        .price = {PRICE}};

    must_add(engine, USHER_OPCODE_PUT_DATE, &ask, 0);
}

static void
put_house(struct engine *engine)
{
    usher_put_plan_request plan = {.request_id = id_of(3, 1), .plan_id = 1, .section_count = 1};
    uint32_t dates = (engine->buyers + SEATS_EACH - 1) / SEATS_EACH;

    plan.section[0] = (usher_section){.name = "Hall", .first_row = 1, .row_count = 5, .seats_per_row = 10};
    must_add(engine, USHER_OPCODE_PUT_PLAN, &plan, 0);
    set_policy(engine, "admit_batch", 1000000);
    set_policy(engine, "claim_ms", 0);
    for (uint32_t concert = 0; concert * DATES_EACH < dates; concert++) {
        const usher_put_concert_request ask = {
            .request_id = id_of(4, concert + 1), .concert_id = concert + 1, .title = "A concert"};
        must_add(engine, USHER_OPCODE_PUT_CONCERT, &ask, 0);
    }
    must_run(engine);
    for (uint32_t date = 0; date < dates; date++) {
        put_date(engine, date);
        if (date % 1000 == 999 || date + 1 == dates)
            must_run(engine);
    }
}

void
engine_open(struct engine *engine, uint32_t buyers)
{
    *engine = (struct engine){.now_ms = NOON, .buyers = buyers};
    engine->store = store_open_memory();
    engine->core = engine->store == NULL ? NULL : core_open(engine->store);
    engine->commit = engine->core == NULL ? NULL : commit_open(engine->store, engine->core);
    engine->position = calloc(buyers, sizeof *engine->position);
    engine->reservation = calloc(buyers, sizeof *engine->reservation);
    if (engine->commit == NULL || engine->position == NULL || engine->reservation == NULL)
        engine_die("no memory");
    store_forget_history(engine->store);
    put_house(engine);
}

void
engine_close(struct engine *engine)
{
    commit_close(engine->commit);
    core_close(engine->core);
    store_close(engine->store);
    free(engine->position);
    free(engine->reservation);
}

/* --- what a buyer asks ---------------------------------------------------------------------------------------- */
static void
ask_join(const struct engine *engine, uint32_t buyer, struct question *question)
{
    static usher_join_request ask;

    (void)engine;
    ask.request_id = id_of(10, buyer);
    ask.user = question->asker.user;
    question->message = usher_message_of(USHER_OPCODE_JOIN);
    question->body = &ask;
}

static void
ask_charge(const struct engine *engine, uint32_t buyer, struct question *question)
{
    static usher_charge_request ask = {.amount = PRICE};

    (void)engine;
    ask.request_id = id_of(11, buyer);
    question->message = usher_message_of(USHER_OPCODE_CHARGE);
    question->body = &ask;
}

static void
ask_reserve(const struct engine *engine, uint32_t buyer, struct question *question)
{
    static usher_reserve_request ask = {.seat_count = 1};
    /* Buyers one after another sit in different dates. */
    uint32_t dates = (engine->buyers + SEATS_EACH - 1) / SEATS_EACH, date = buyer % dates;

    ask.request_id = id_of(12, buyer);
    ask.concert_id = date / DATES_EACH + 1;
    ask.date_id = date % DATES_EACH + 1;
    ask.seat[0] = buyer / dates + 1;
    question->message = usher_message_of(USHER_OPCODE_RESERVE);
    question->body = &ask;
}

static void
ask_pay(const struct engine *engine, uint32_t buyer, struct question *question)
{
    static usher_pay_request ask = {.reservation_count = 1};

    ask.request_id = id_of(13, buyer);
    ask.reservation[0] = engine->reservation[buyer];
    question->message = usher_message_of(USHER_OPCODE_PAY);
    question->body = &ask;
}

static void (*const asks[ENGINE_STEPS])(const struct engine *engine, uint32_t buyer,
                                        struct question *question) = {ask_join, ask_charge, ask_reserve, ask_pay};

static struct question
question_of(const struct engine *engine, enum engine_step step, uint32_t buyer)
{
    struct question question = {.asker = {.role = USHER_ROLE_GATEWAY,
                                          .client_no = 1,
                                          .has_token = step != ENGINE_JOIN,
                                          .position = engine->position[buyer],
                                          .user = user_of(buyer)}};

    asks[step](engine, buyer, &question);
    return question;
}

/* What the later steps need of an answer. */
static void
learn(struct engine *engine, enum engine_step step, uint32_t buyer, uint16_t result, const void *reply)
{
    if (result != USHER_OK)
        engine_die(usher_result_name(result));
    if (step == ENGINE_JOIN)
        engine->position[buyer] = ((const usher_join_reply *)reply)->position;
    if (step == ENGINE_RESERVE)
        engine->reservation[buyer] = ((const usher_reserve_reply *)reply)->hold[0].reservation_id;
}

/* --- straight to the core --------------------------------------------------------------------------------------- */
void
engine_begin(struct engine *engine)
{
    if (!store_begin(engine->store))
        engine_die("no batch can begin");
    core_tick(engine->core, ++engine->now_ms);
}

void
engine_commit(struct engine *engine)
{
    if (store_commit(engine->store, NULL, 0) != STORE_DONE)
        engine_die("a batch could not be carried out");
}

void
engine_apply(struct engine *engine, enum engine_step step, uint32_t buyer)
{
    const struct question question = question_of(engine, step, buyer);
    const struct core_request request = {.opcode = question.message->opcode,
                                         .asker = question.asker,
                                         .fingerprint = buyer + 1,
                                         .body = question.body};
    const struct core_answer answer = core_apply(engine->core, &request);

    learn(engine, step, buyer, answer.result, answer.reply);
}

/* --- through commit ----------------------------------------------------------------------------------------------- */
void
engine_add(struct engine *engine, enum engine_step step, uint32_t buyer)
{
    const struct question question = question_of(engine, step, buyer);

    if (!commit_add(engine->commit, question.message, &question.asker, question.body,
                    (uint64_t)buyer * ENGINE_STEPS + step))
        engine_die("a batch is full");
}

void
engine_run(struct engine *engine)
{
    static union {
        usher_join_reply join;
        usher_reserve_reply reserve;
    } reply;
    uint32_t count = commit_count(engine->commit);
    unsigned field_no;

    if (commit_run(engine->commit, ++engine->now_ms) != STORE_DONE)
        engine_die("a batch could not be carried out");
    for (uint32_t i = 0; i < count; i++) {
        const struct commit_answer answer = commit_answer(engine->commit, i);
        enum engine_step step = (enum engine_step)(answer.tag % ENGINE_STEPS);
        if (step == ENGINE_JOIN || step == ENGINE_RESERVE)
            usher_decode(usher_message_of(answer.opcode)->reply, answer.body, answer.body_size, &reply, &field_no);
        learn(engine, step, (uint32_t)(answer.tag / ENGINE_STEPS), answer.result, &reply);
    }
}

uint64_t
engine_rounds(struct engine *engine, uint32_t from, uint32_t to, uint32_t in_batch, bool through_commit)
{
    uint64_t count = 0;

    for (uint32_t first = from; first < to; first += in_batch) {
        uint32_t end = to - first < in_batch ? to : first + in_batch;
        if (!through_commit)
            engine_begin(engine);
        for (uint32_t round = first; round < end; round++) {
            for (unsigned step = 0; step < ENGINE_STEPS; step++) {
                uint32_t buyer = round - step * ENGINE_LAG; /* far beyond all of them where it has not begun */
                if (buyer >= engine->buyers)
                    continue;
                (through_commit ? engine_add : engine_apply)(engine, (enum engine_step)step, buyer);
                count++;
            }
        }
        (through_commit ? engine_run : engine_commit)(engine);
    }
    return count;
}

void
engine_fill_line(struct engine *engine, uint32_t waiting)
{
    const usher_put_queue_request queue = {.request_id = id_of(5, 1), .queue_id = ENGINE_LINE, .name = "in line"};
    const usher_set_mode_request pause = {
        .request_id = id_of(6, 1), .queue_id = ENGINE_LINE, .mode = USHER_QUEUE_PAUSED};

    must_add(engine, USHER_OPCODE_PUT_QUEUE, &queue, 0);
    must_add(engine, USHER_OPCODE_SET_MODE, &pause, 0);
    must_run(engine);
    for (uint32_t i = 0; i < waiting; i++) {
        const usher_join_request ask = {
            .request_id = id_of(7, i), .user = user_of(engine->buyers + i), .queue_id = ENGINE_LINE};
        struct core_asker gateway = {.role = USHER_ROLE_GATEWAY, .client_no = 1, .user = ask.user};
        if (!commit_add(engine->commit, usher_message_of(USHER_OPCODE_JOIN), &gateway, &ask, i))
            engine_die("a batch is full");
        if (i % 2000 == 1999 || i + 1 == waiting)
            must_run(engine);
    }
}
