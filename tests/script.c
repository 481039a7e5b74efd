/* script.c: a seeded script of commands of every kind. See script.h. */
#include "tests/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "protocol/codec.h"

#define NOON           UINT64_C(1750000000000)
#define DAY_MS         UINT64_C(86400000)
#define PEOPLE         60u
#define SEATS          130u
#define COMMANDS_MOST  12u
#define POSITION_BITS  40u
#define ORGANISER_FROM 0x0060u /* opcodes of the house */

/* --- drawing ------------------------------------------------------------------------------------------------ */
static uint64_t
draw(struct script *script, uint64_t limit)
{
    script->random ^= script->random << 13;
    script->random ^= script->random >> 7;
    script->random ^= script->random << 17;
    return (script->random * UINT64_C(0x9e3779b97f4a7c15) >> 24) % limit;
}

static usher_uuid
person(uint64_t number)
{
    usher_uuid uuid = {{0x5c}};

    memcpy(uuid.bytes + 8, &number, sizeof number);
    return uuid;
}

static usher_key
key_of(uint8_t kind, uint64_t number)
{
    usher_key key = {{kind}};

    memcpy(key.bytes + 8, &number, sizeof number);
    return key;
}

/* --- who asks ----------------------------------------------------------------------------------------------- */
/* The person's first place in line, if there is one, stands for its token. */
static void
lend_token(const struct script *script, struct core_asker *asker)
{
    const struct user_record *user = store_see_user(script->store, store_find_user(script->store, &asker->user));
    const struct queue_record *queue;

    if (user == NULL || user->first_ticket == 0)
        return;
    queue = store_see_queue(script->store, user->first_ticket >> POSITION_BITS);
    if (queue == NULL)
        return;
    asker->has_token = 1;
    asker->queue_id = queue->queue_id;
    asker->position = user->first_ticket & ((UINT64_C(1) << POSITION_BITS) - 1);
}

/* Who may ask this, as the rows say. Without a place in line for a token, and where none may be left out, nobody. */
static bool
draw_asker(struct script *script, const usher_message *message, struct core_asker *asker)
{
    bool bare = (message->bare & USHER_ROLE_BIT(USHER_ROLE_TERMINAL)) != 0;

    *asker = (struct core_asker){.role = USHER_ROLE_ADMIN, .client_no = 1};
    if (message->opcode == USHER_OPCODE_ENROL)
        *asker = (struct core_asker){.role = USHER_ROLE_NONE};
    if (message->opcode == USHER_OPCODE_ENROL || message->opcode >= ORGANISER_FROM)
        return true;
    asker->user = person(draw(script, PEOPLE));
    asker->role = USHER_ROLE_GATEWAY;
    if (message->token == USHER_TOKEN_NEED_NONE)
        return true;
    if (!bare || draw(script, 3) != 0)
        lend_token(script, asker);
    if (asker->has_token)
        return true;
    asker->role = USHER_ROLE_TERMINAL;
    asker->channel = (uint16_t)draw(script, 3);
    return bare;
}

/* --- what is asked: a field by its name --------------------------------------------------------------------- */
struct asking {
    struct script *script;
    struct core_asker *asker;
    uint16_t opcode;
};

typedef uint64_t drawer(struct asking *asking, uint16_t at);

static uint64_t
draw_queue(struct asking *asking, uint16_t at)
{
    (void)at;
    return asking->opcode == USHER_OPCODE_TOUCH ? asking->asker->queue_id : draw(asking->script, 3);
}

static uint64_t
draw_small(struct asking *asking, uint16_t at)
{
    (void)at;
    return 1 + draw(asking->script, 2);
}

static uint64_t
draw_four(struct asking *asking, uint16_t at)
{
    (void)at;
    return draw(asking->script, 4);
}

static uint64_t
draw_seat(struct asking *asking, uint16_t at)
{
    (void)at;
    return 1 + draw(asking->script, SEATS);
}

/* Mostly the asker's own, in their order; now and then anybody's. */
static uint64_t
draw_reservation(struct asking *asking, uint16_t at)
{
    const struct store *store = asking->script->store;
    const struct user_record *user = store_see_user(store, store_find_user(store, &asking->asker->user));
    uint64_t id = user == NULL ? 0 : user->first_hold;

    if (draw(asking->script, 12) == 0)
        return 1 + draw(asking->script, 300);
    for (; at > 0 && id != 0; at--)
        id = store_see_hold(store, id)->next_of_user;
    return id != 0 ? id : 1 + draw(asking->script, 300);
}

/* A payment that there is, and its payer asks. */
static uint64_t
draw_payment(struct asking *asking, uint16_t at)
{
    const struct store *store = asking->script->store;
    uint64_t last = store_see_house(store, 0)->last_payment_id;
    uint64_t id = last == 0 ? 1 : 1 + draw(asking->script, last);
    const struct user_record *user;
    struct payment_row payment;

    (void)at;
    if (!store_read_payment(asking->script->store, id, &payment))
        return id;
    user = store_see_user(store, payment.user_no);
    asking->asker->user = user->uuid;
    asking->asker->role = USHER_ROLE_TERMINAL;
    asking->asker->has_token = 0;
    return id;
}

static uint64_t
draw_amount(struct asking *asking, uint16_t at)
{
    (void)at;
    return draw(asking->script, 40) == 0 ? 0 : 1 + draw(asking->script, 4000);
}

static uint64_t
draw_start(struct asking *asking, uint16_t at)
{
    (void)at;
    return NOON + (20 + draw(asking->script, 20)) * DAY_MS;
}

static uint64_t
draw_nothing(struct asking *asking, uint16_t at)
{
    (void)asking;
    (void)at;
    return 0;
}

static uint64_t
draw_price(struct asking *asking, uint16_t at)
{
    (void)at;
    return draw(asking->script, 10) * 100;
}

static uint64_t
draw_position(struct asking *asking, uint16_t at)
{
    (void)at;
    return asking->asker->position;
}

static uint64_t
draw_rows(struct asking *asking, uint16_t at)
{
    (void)at;
    return 5 + draw(asking->script, 3);
}

static uint64_t
draw_row_seats(struct asking *asking, uint16_t at)
{
    (void)at;
    return 10 + draw(asking->script, 4);
}

/* Up to the last one, which is more likely than any other. */
static uint64_t
draw_event(struct asking *asking, uint16_t at)
{
    uint64_t last = store_see_house(asking->script->store, 0)->last_event_no;

    (void)at;
    return draw(asking->script, 3) == 0 ? last : draw(asking->script, last + 1);
}

/* Queues are open most of the time. */
static uint64_t
draw_mode(struct asking *asking, uint16_t at)
{
    (void)at;
    return draw(asking->script, 3) != 0 ? USHER_QUEUE_OPEN : draw(asking->script, 3);
}

static const struct {
    const char *name;
    drawer *draw;
} numbers[] = {
    {"queue_id", draw_queue},
    {"concert_id", draw_small},
    {"date_id", draw_small},
    {"plan_id", draw_small},
    {"seat", draw_seat},
    {"reservation", draw_reservation},
    {"payment_id", draw_payment},
    {"amount", draw_amount},
    {"starts_at_ms", draw_start},
    {"opens_at_ms", draw_nothing},
    {"closes_at_ms", draw_nothing},
    {"refund_until_ms", draw_amount},
    {"price", draw_price},
    {"position", draw_position},
    {"row_count", draw_rows},
    {"first_row", draw_small},
    {"seats_per_row", draw_row_seats},
    {"grade", draw_nothing},
    {"mode", draw_mode},
    {"event_no", draw_event},
};

static uint64_t
draw_number(struct asking *asking, const usher_field *field, uint16_t at)
{
    for (size_t row = 0; row < sizeof numbers / sizeof *numbers; row++)
        if (strcmp(numbers[row].name, field->name) == 0)
            return numbers[row].draw(asking, at);
    if (field->enumeration != NULL)
        return field->enumeration->values[draw(asking->script, field->enumeration->value_count)].value;
    return draw_four(asking, at);
}

static const size_t number_sizes[] = {
    [USHER_KIND_U8] = 1,  [USHER_KIND_U16] = 2,  [USHER_KIND_U32] = 4,       [USHER_KIND_U64] = 8,
    [USHER_KIND_I64] = 8, [USHER_KIND_ENUM] = 1, [USHER_KIND_NUMBERS32] = 4, [USHER_KIND_NUMBERS64] = 8,
};

static usher_id
draw_request_id(struct script *script)
{
    uint64_t number = script->asked + 1;
    usher_id id = {{0x5c}};

    if (draw(script, 40) == 0)
        number = 1 + draw(script, number); /* an old one again, mostly with another body */
    memcpy(id.bytes + 8, &number, sizeof number);
    return id;
}

/* Codes and keys go by their number: who enrols has the code of the last invitation. */
static void
fill_key(struct asking *asking, const usher_field *field, uint8_t *place)
{
    struct script *script = asking->script;
    usher_key code;

    if (asking->opcode == USHER_OPCODE_INVITE)
        script->invited = script->asked;
    code = key_of(1, script->invited);

    if (strcmp(field->name, "code_hash") == 0)
        crypto_generichash(place, sizeof code, code.bytes, sizeof code, NULL, 0);
    else if (strcmp(field->name, "code") == 0)
        memcpy(place, &code, sizeof code);
    else
        memcpy(place, &(usher_key[1]){key_of(2, script->asked)}, sizeof code);
}

static void fill(struct asking *asking, const usher_layout *layout, uint8_t *body);

static void
fill_list(struct asking *asking, const usher_field *field, uint8_t *body)
{
    uint16_t most = field->most < 3 ? field->most : 3;
    uint16_t count = (uint16_t)(1 + draw(asking->script, most));

    if (strcmp(field->name, "price") == 0)
        count = field->most;
    if (asking->opcode == USHER_OPCODE_REFUND && draw(asking->script, 4) != 0)
        count = 0; /* all that are left */
    memcpy(body + field->count_offset, &count, sizeof count);
    for (uint16_t at = 0; at < count; at++) {
        if (field->kind == USHER_KIND_ITEMS) {
            fill(asking, field->item, body + field->offset + at * field->item->struct_size);
        } else {
            uint64_t number = draw_number(asking, field, at);

            memcpy(body + field->offset + at * number_sizes[field->kind], &number, number_sizes[field->kind]);
        }
    }
}

static void
fill_field(struct asking *asking, const usher_field *field, uint8_t *body)
{
    uint8_t *place = body + field->offset;
    uint64_t number;

    switch ((int)field->kind) {
    case USHER_KIND_UUID:
        memcpy(place, &asking->asker->user, sizeof asking->asker->user);
        break;
    case USHER_KIND_ID:
        memcpy(place, &(usher_id[1]){draw_request_id(asking->script)}, sizeof(usher_id));
        break;
    case USHER_KIND_KEY:
        fill_key(asking, field, place);
        break;
    case USHER_KIND_TEXT:
        snprintf((char *)place, field->most, "text %u",
                 (unsigned)draw(asking->script, strcmp(field->name, "consumer") == 0 ? 4 : 50));
        break;
    case USHER_KIND_NUMBERS32:
    case USHER_KIND_NUMBERS64:
    case USHER_KIND_ITEMS:
        fill_list(asking, field, body);
        break;
    case USHER_KIND_BYTES:
    case USHER_KIND_SIGNATURE:
        break; /* tokens and proofs are none of the core's */
    default:
        number = draw_number(asking, field, 0);
        memcpy(place, &number, number_sizes[field->kind]);
    }
}

static void
fill(struct asking *asking, const usher_layout *layout, uint8_t *body)
{
    for (size_t at = 0; at < layout->field_count; at++)
        fill_field(asking, &layout->fields[at], body);
}

/* A policy that there is, at its default or twice that, so that the house stays one in which something happens. */
static void
fill_policy(struct script *script, usher_set_policy_request *body)
{
    static const struct {
        uint8_t of_queue;
        const char *name;
        uint64_t usual, most;
    } rows[] = {
#define HOUSE_of_queue                                            USHER_FLAG_NO
#define QUEUE_of_queue                                            USHER_FLAG_YES
#define USHER_POLICY(SCOPE, name, usual, least, most, unit, help) {SCOPE##_of_queue, #name, (usual), (most)},
#include "protocol/policies.def"
    };
    size_t row = draw(script, sizeof rows / sizeof *rows);

    memset(body->name, 0, sizeof body->name);
    snprintf(body->name, sizeof body->name, "%s", rows[row].name);
    body->of_queue = rows[row].of_queue;
    body->queue_id = body->of_queue == USHER_FLAG_YES ? (uint32_t)draw(script, 3) : 0;
    if (strcmp(body->name, "event_bytes_max") == 0) { /* so little that events are dropped */
        body->value = 4096 * (1 + draw(script, 16));
        return;
    }
    body->value = draw(script, 3) != 0 || rows[row].usual * 2 > rows[row].most ? rows[row].usual : rows[row].usual * 2;
}

/* --- which command ------------------------------------------------------------------------------------------ */
static const uint16_t first_ones[] = {USHER_OPCODE_PUT_QUEUE, USHER_OPCODE_PUT_PLAN, USHER_OPCODE_PUT_CONCERT,
                                      USHER_OPCODE_PUT_DATE};
#define FIRST_COUNT  (sizeof first_ones / sizeof *first_ones)
#define FIRST_ROUNDS 12u

static unsigned
weight_of(uint16_t opcode)
{
    static const struct {
        uint16_t opcode;
        unsigned weight;
    } rows[] = {
        {USHER_OPCODE_JOIN, 30}, {USHER_OPCODE_RESERVE, 24}, {USHER_OPCODE_RESERVE_BEST, 10}, {USHER_OPCODE_CHARGE, 16},
        {USHER_OPCODE_PAY, 24},  {USHER_OPCODE_RELEASE, 6},  {USHER_OPCODE_SWAP, 10},         {USHER_OPCODE_REFUND, 8},
        {USHER_OPCODE_LEAVE, 2}, {USHER_OPCODE_TOUCH, 10},   {USHER_OPCODE_BLOCK, 3},         {USHER_OPCODE_UNBLOCK, 3},
    };

    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++)
        if (rows[row].opcode == opcode)
            return rows[row].weight;
    return 1;
}

static size_t
kind_of(const struct script *script, uint16_t opcode)
{
    size_t kind = 0;

    while (script->kind[kind].opcode != opcode)
        kind++;
    return kind;
}

static size_t
draw_kind(struct script *script)
{
    uint64_t sum = 0, at;
    size_t kind = 0;

    if (script->asked < FIRST_COUNT * FIRST_ROUNDS)
        return kind_of(script, first_ones[script->asked / FIRST_ROUNDS]);
    for (size_t each = 0; each < script->kind_count; each++)
        sum += weight_of(script->kind[each].opcode);
    at = draw(script, sum);
    while (at >= weight_of(script->kind[kind].opcode))
        at -= weight_of(script->kind[kind++].opcode);
    return kind;
}

static bool
add_command(struct script *script)
{
    size_t kind = draw_kind(script);
    const usher_message *message = usher_message_of(script->kind[kind].opcode);
    struct core_asker asker;
    struct asking asking = {script, &asker, message->opcode};
    uint8_t *body;
    bool added;

    if (!draw_asker(script, message, &asker)) {
        kind = kind_of(script, USHER_OPCODE_JOIN);
        message = usher_message_of(USHER_OPCODE_JOIN);
        asking.opcode = message->opcode;
        asker = (struct core_asker){.role = USHER_ROLE_GATEWAY, .client_no = 1, .user = asker.user};
    }
    body = calloc(1, message->request->struct_size);
    if (body == NULL)
        return false;
    if (message->opcode == USHER_OPCODE_TOUCH) {
        asker.user = person(draw(script, PEOPLE));
        lend_token(script, &asker);
    }
    fill(&asking, message->request, body);
    if (message->opcode == USHER_OPCODE_SET_POLICY)
        fill_policy(script, (usher_set_policy_request *)(void *)body);
    added = commit_add(script->commit, message, &asker, body, kind);
    script->kind[kind].asked++;
    script->asked++;
    free(body);
    return added;
}

/* --- the script --------------------------------------------------------------------------------------------- */
void
script_move(struct script *script, struct store *store, struct commit *commit)
{
    script->store = store;
    script->commit = commit;
}

void
script_begin(struct script *script, struct store *store, struct commit *commit, uint64_t seed)
{
    size_t count;
    const usher_message *messages = usher_messages(&count);

    memset(script, 0, sizeof *script);
    script_move(script, store, commit);
    script->random = seed;
    script->now_ms = NOON;
    for (size_t at = 0; at < count && script->kind_count < SCRIPT_KINDS_MOST; at++)
        if (messages[at].kind == USHER_MESSAGE_COMMAND || messages[at].kind == USHER_MESSAGE_INTERNAL)
            script->kind[script->kind_count++].opcode = messages[at].opcode;
}

bool
script_batch(struct script *script)
{
    uint64_t count = 1 + draw(script, COMMANDS_MOST);

    script->now_ms += draw(script, 100) == 0 ? draw(script, 900000) : draw(script, 4000);
    if (draw(script, 150) == 0)
        commit_resume(script->commit, commit_stamp_ms(script->commit));
    for (uint64_t at = 0; at < count; at++)
        if (!add_command(script))
            return false;
    if (commit_run(script->commit, script->now_ms) != STORE_DONE)
        return false;
    for (uint32_t at = 0; at < count; at++) {
        struct commit_answer answer = commit_answer(script->commit, at);

        script->kind[answer.tag].ok += answer.result == USHER_OK;
    }
    return true;
}
