/* jobs.c: see jobs.h.
 *
 * Users 1 to people are active in the default queue and have a token; more may wait in queue 2,
 * of whom every so many keeps its token. Whoever asks shows a token, as a gateway's requests do. */
#include "bench/micro/jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/micro/served.h"

#define WAITING_QUEUE  2u
#define SEATS_EACH     50u
#define DATES_EACH     1000u /* of a concert */
#define PRICE          100
#define IN_FLIGHT      500u
#define WAITING_TOKENS 20000u /* kept */
#define HOLDS_EACH     16u    /* holds_per_user */
#define WAITING_FIRST  (1u << 28)
#define NEW_FIRST      (1u << 29)

struct token {
    uint16_t size;
    uint8_t bytes[512];
};

static struct wire *admin;
static struct scale scale;
static struct token *tokens, *waiting_tokens;
static uint64_t *reservations; /* of the hold that each person has last taken */
static uint32_t seats_taken, newcomers, paid;

uint64_t
jobs_draw(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* Request ids as a program makes them: in the order of time, here of a counter. */
static usher_id
new_id(void)
{
    static uint64_t count;
    usher_id id;
    uint64_t other = jobs_draw();

    count++;
    for (unsigned i = 0; i < 8; i++)
        id.bytes[i] = (uint8_t)(count >> (56 - 8 * i));
    memcpy(id.bytes + 8, &other, sizeof other);
    return id;
}

/* --- many requests, one connection --------------------------------------------------------------------------- */
typedef size_t builder(uint8_t *out, uint32_t number, uint32_t request_no);
typedef void taker(uint32_t number, const void *reply);

/* Ask for numbers 0 to count - 1, hundreds in flight; each must be OK. */
static void
ask_all(uint16_t opcode, uint32_t count, builder *build, taker *take)
{
    static uint8_t bytes[IN_FLIGHT * 1024];
    static union {
        usher_join_reply join;
        usher_reserve_reply reserve;
        uint8_t any[65536];
    } reply;
    struct wire_frame frame;
    unsigned field_no;

    for (uint32_t first = 0; first < count; first += IN_FLIGHT) {
        uint32_t some = count - first < IN_FLIGHT ? count - first : IN_FLIGHT;
        size_t size = 0;
        for (uint32_t i = 0; i < some; i++)
            size += build(bytes + size, first + i, i);
        if (!wire_send_bytes(admin, bytes, size))
            served_die("the server is gone");
        for (uint32_t i = 0; i < some; i++) {
            if (!wire_receive(admin, &frame) || frame.result != USHER_OK) {
                fprintf(stderr, "%s: %s\n", usher_message_of(opcode)->constant, usher_result_name(frame.result));
                served_die("the house can't be prepared");
            }
            if (take == NULL)
                continue;
            usher_decode(usher_message_of(opcode)->reply, frame.body, frame.body_size, &reply, &field_no);
            take(first + frame.request_no, &reply);
        }
    }
}

/* --- the house ------------------------------------------------------------------------------------------------ */
static size_t
build_concert(uint8_t *out, uint32_t number, uint32_t request_no)
{
    const usher_put_concert_request ask = {.request_id = new_id(), .concert_id = number + 1, .title = "A concert"};

    return wire_build(out, USHER_OPCODE_PUT_CONCERT, request_no, 0, &ask);
}

static size_t
build_date(uint8_t *out, uint32_t number, uint32_t request_no)
{
    const usher_put_date_request ask = {.request_id = new_id(),
                                        .concert_id = number / DATES_EACH + 1,
                                        .date_id = number % DATES_EACH + 1,
                                        .plan_id = 1,
                                        .starts_at_ms = admin->stamp_ms + 86400000,
                                        .price_count = 1,
                                        .price = {PRICE}};

    return wire_build(out, USHER_OPCODE_PUT_DATE, request_no, 0, &ask);
}

static void
put_dates(void)
{
    usher_put_plan_request plan = {.request_id = new_id(), .plan_id = 1, .section_count = 1};

    plan.section[0] = (usher_section){.name = "Hall", .first_row = 1, .row_count = 5, .seats_per_row = 10};
    served_must(admin, USHER_OPCODE_PUT_PLAN, &plan, NULL);
    ask_all(USHER_OPCODE_PUT_CONCERT, (scale.dates + DATES_EACH - 1) / DATES_EACH, build_concert, NULL);
    ask_all(USHER_OPCODE_PUT_DATE, scale.dates, build_date, NULL);
}

static void
set_policy(uint32_t queue_id, const char *name, uint64_t value)
{
    usher_set_policy_request ask = {
        .request_id = new_id(), .of_queue = USHER_FLAG_YES, .queue_id = queue_id, .value = value};

    snprintf(ask.name, sizeof ask.name, "%s", name);
    served_must(admin, USHER_OPCODE_SET_POLICY, &ask, NULL);
}

static void
put_queues(void)
{
    const usher_put_queue_request queue = {.request_id = new_id(), .queue_id = WAITING_QUEUE, .name = "in line"};
    const usher_set_mode_request pause = {
        .request_id = new_id(), .queue_id = WAITING_QUEUE, .mode = USHER_QUEUE_PAUSED};

    served_must(admin, USHER_OPCODE_PUT_QUEUE, &queue, NULL);
    served_must(admin, USHER_OPCODE_SET_MODE, &pause, NULL);
    set_policy(WAITING_QUEUE, "waiting_lease_ms", 86400000);
    set_policy(0, "admit_batch", 1000000);
    set_policy(0, "claim_ms", 0);
    set_policy(0, "active_total_ms", 86400000);
    set_policy(0, "active_ms", 86400000);
}

static size_t
build_join(uint8_t *out, uint32_t number, uint32_t request_no)
{
    const usher_join_request ask = {.request_id = new_id(), .user = wire_user(number + 1)};

    return wire_build(out, USHER_OPCODE_JOIN, request_no, 0, &ask);
}

static void
take_token(uint32_t number, const void *reply)
{
    const usher_join_reply *join = reply;

    tokens[number].size = join->token_count;
    memcpy(tokens[number].bytes, join->token, join->token_count);
}

static size_t
build_wait(uint8_t *out, uint32_t number, uint32_t request_no)
{
    const usher_join_request ask = {
        .request_id = new_id(), .user = wire_user(WAITING_FIRST + number), .queue_id = WAITING_QUEUE};

    return wire_build(out, USHER_OPCODE_JOIN, request_no, 0, &ask);
}

static uint32_t
waiting_kept(void)
{
    return scale.waiting < WAITING_TOKENS ? scale.waiting : WAITING_TOKENS;
}

static void
take_waiting_token(uint32_t number, const void *reply)
{
    const usher_join_reply *join = reply;
    uint32_t every = scale.waiting / waiting_kept();

    if (number % every != 0 || number / every >= waiting_kept())
        return;
    waiting_tokens[number / every].size = join->token_count;
    memcpy(waiting_tokens[number / every].bytes, join->token, join->token_count);
}

/* --- requests ------------------------------------------------------------------------------------------------- */
/* Put a token into a request's field and its count. */
static void
show(const struct token *token, uint8_t *bytes, uint16_t *count)
{
    *count = token->size;
    memcpy(bytes, token->bytes, token->size);
}

static const struct token *
somebody(void)
{
    return &tokens[jobs_draw() % scale.people];
}

static size_t
build_ping(uint8_t *out, uint32_t number, uint32_t request_no)
{
    const usher_ping_request ask = {.echo = number};

    return wire_build(out, USHER_OPCODE_PING, request_no, 0, &ask);
}

static size_t
build_newcomer(uint8_t *out, uint32_t number, uint32_t request_no)
{
    (void)number;
    return build_join(out, NEW_FIRST + newcomers++, request_no);
}

static size_t
build_place(uint8_t *out, uint32_t number, uint32_t request_no)
{
    usher_place_request ask;

    (void)number;
    show(&waiting_tokens[jobs_draw() % waiting_kept()], ask.token, &ask.token_count);
    return wire_build(out, USHER_OPCODE_PLACE, request_no, 0, &ask);
}

static size_t
build_seats(uint8_t *out, uint32_t number, uint32_t request_no)
{
    static usher_seats_request ask;
    uint32_t date = (uint32_t)(jobs_draw() % scale.dates);

    (void)number;
    show(somebody(), ask.token, &ask.token_count);
    ask.concert_id = date / DATES_EACH + 1;
    ask.date_id = date % DATES_EACH + 1;
    return wire_build(out, USHER_OPCODE_SEATS, request_no, 0, &ask);
}

/* One after another, everybody takes a seat, then everybody a second one. */
static size_t
build_reserve(uint8_t *out, uint32_t number, uint32_t request_no)
{
    static usher_reserve_request ask;
    uint32_t seat = seats_taken++, date = seat / SEATS_EACH;

    (void)number;
    if (date >= scale.dates || seat / scale.people >= HOLDS_EACH)
        served_die("no seat is left for everybody: more dates, or more people");
    ask.request_id = new_id();
    show(&tokens[seat % scale.people], ask.token, &ask.token_count);
    ask.concert_id = date / DATES_EACH + 1;
    ask.date_id = date % DATES_EACH + 1;
    ask.seat_count = 1;
    ask.seat[0] = seat % SEATS_EACH + 1;
    return wire_build(out, USHER_OPCODE_RESERVE, request_no, 0, &ask);
}

static void
take_reservation(uint32_t number, const void *reply)
{
    reservations[number] = ((const usher_reserve_reply *)reply)->hold[0].reservation_id;
}

static size_t
build_charge(uint8_t *out, uint32_t number, uint32_t request_no)
{
    static usher_charge_request ask = {.amount = 1};

    (void)number;
    ask.request_id = new_id();
    show(somebody(), ask.token, &ask.token_count);
    return wire_build(out, USHER_OPCODE_CHARGE, request_no, 0, &ask);
}

static size_t
build_fill(uint8_t *out, uint32_t number, uint32_t request_no)
{
    static usher_charge_request ask = {.amount = PRICE};

    ask.request_id = new_id();
    show(&tokens[number], ask.token, &ask.token_count);
    return wire_build(out, USHER_OPCODE_CHARGE, request_no, 0, &ask);
}

static size_t
build_balance(uint8_t *out, uint32_t number, uint32_t request_no)
{
    static usher_balance_request ask;

    (void)number;
    show(somebody(), ask.token, &ask.token_count);
    return wire_build(out, USHER_OPCODE_BALANCE, request_no, 0, &ask);
}

/* Each person once: the token is used by it. */
static size_t
build_pay(uint8_t *out, uint32_t number, uint32_t request_no)
{
    static usher_pay_request ask = {.reservation_count = 1};

    (void)number;
    if (paid == scale.people)
        served_die("everybody has paid: more people");
    ask.request_id = new_id();
    show(&tokens[paid], ask.token, &ask.token_count);
    ask.reservation[0] = reservations[paid++];
    return wire_build(out, USHER_OPCODE_PAY, request_no, 0, &ask);
}

/* Of a hundred requests of a sale: polls, looks, and what is bought. Nobody pays here, for a token ends with that. */
static size_t
build_mix(uint8_t *out, uint32_t number, uint32_t request_no)
{
    uint64_t drawn = jobs_draw() % 100;

    if (drawn < 50)
        return scale.waiting > 0 ? build_place(out, number, request_no) : build_balance(out, number, request_no);
    if (drawn < 75)
        return build_seats(out, number, request_no);
    if (drawn < 85)
        return build_newcomer(out, number, request_no);
    return drawn < 95 ? build_charge(out, number, request_no) : build_balance(out, number, request_no);
}

static void
prepare_holds(void)
{
    if (reservations[0] != 0)
        return;
    seats_taken = (seats_taken + scale.people - 1) / scale.people * scale.people;
    ask_all(USHER_OPCODE_CHARGE, scale.people, build_fill, NULL);
    ask_all(USHER_OPCODE_RESERVE, scale.people, build_reserve, take_reservation);
}

static const struct job jobs[] = {
    {"ping", NULL, build_ping},       {"balance", NULL, build_balance}, {"rank", NULL, build_place},
    {"seats", NULL, build_seats},     {"join", NULL, build_newcomer},   {"reserve", NULL, build_reserve},
    {"charge", NULL, build_charge},   {"mix", NULL, build_mix},         {"pay", prepare_holds, build_pay},
};

const struct job *
jobs_find(const char *name)
{
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++)
        if (strcmp(jobs[i].name, name) == 0)
            return &jobs[i];
    return NULL;
}

void
jobs_prepare(struct wire *wire, const struct scale *wanted)
{
    admin = wire;
    scale = *wanted;
    tokens = calloc(scale.people, sizeof *tokens);
    waiting_tokens = calloc(WAITING_TOKENS, sizeof *waiting_tokens);
    reservations = calloc(scale.people, sizeof *reservations);
    if (tokens == NULL || waiting_tokens == NULL || reservations == NULL)
        served_die("no memory");
    put_queues();
    put_dates();
    ask_all(USHER_OPCODE_JOIN, scale.people, build_join, take_token);
    ask_all(USHER_OPCODE_JOIN, scale.waiting, build_wait, take_waiting_token);
}
