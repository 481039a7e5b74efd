/* model.c: the way of a request (SPEC sections 6 and 7; M3, M4, M7): who asks, the request id, the token's state, what
 * the message itself says, and what is remembered of it. */
#include "tests/sim/model_inside.h"

#include <stdio.h>

#include "protocol/codec.h"

const struct model_policy model_house_policies[HOUSE_POLICIES] = {
#define HOUSE_(...) {__VA_ARGS__},
#define QUEUE_(...)
#define USHER_POLICY(SCOPE, name, usual, least, most, unit, help) SCOPE##_(#name, usual, least, most, unit)
#include "protocol/policies.def"
#undef HOUSE_
#undef QUEUE_
};
const struct model_policy model_queue_policies[QUEUE_POLICIES] = {
#define HOUSE_(...)
#define QUEUE_(...)                                               {__VA_ARGS__},
#define USHER_POLICY(SCOPE, name, usual, least, most, unit, help) SCOPE##_(#name, usual, least, most, unit)
#include "protocol/policies.def"
#undef HOUSE_
#undef QUEUE_
};

static const struct {
    uint16_t opcode;
    model_handler *handle;
} handlers[] = {
#define HANDLER_CONNECTION(opcode, name)
#define HANDLER_QUERY(opcode, name)                                                  {opcode, model_##name},
#define HANDLER_COMMAND(opcode, name)                                                {opcode, model_##name},
#define HANDLER_INTERNAL(opcode, name)                                               {opcode, model_##name},
#define HANDLER_WATCH(opcode, name)
#define USHER_MESSAGE(opcode, NAME, name, KIND, token, claims, roles, bare, summary) HANDLER_##KIND(opcode, name)
#include "protocol/messages.def"
};

static model_handler *
handler_of(const usher_message *message)
{
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++)
        if (handlers[i].opcode == message->opcode)
            return handlers[i].handle;
    abort();
}

/* --- arrays and the hash table -------------------------------------------------------------------------- */
void *
m_grown(void *at, size_t *room, size_t count, size_t size)
{
    if (count <= *room)
        return at;
    *room = *room == 0 ? 8 : *room * 2;
    at = realloc(at, *room * size);
    assert(at != NULL);
    return at;
}

uint32_t
m_map_find(const struct m_map *map, uint64_t key)
{
    if (map->room == 0)
        return 0;
    size_t at = key & (map->room - 1);
    while (map->values[at] != 0 && map->keys[at] != key)
        at = (at + 1) & (map->room - 1);
    return map->values[at];
}

void
m_map_put(struct m_map *map, uint64_t key, uint32_t value)
{
    if (map->count * 2 >= map->room) {
        struct m_map larger = {.room = map->room == 0 ? 1024 : map->room * 2};
        larger.keys = calloc(larger.room, sizeof *larger.keys);
        larger.values = calloc(larger.room, sizeof *larger.values);
        assert(larger.keys != NULL);
        assert(larger.values != NULL);
        for (size_t i = 0; i < map->room; i++)
            if (map->values[i] != 0)
                m_map_put(&larger, map->keys[i], map->values[i]);
        free(map->keys);
        free(map->values);
        *map = larger;
    }
    size_t at = key & (map->room - 1);
    while (map->values[at] != 0 && map->keys[at] != key)
        at = (at + 1) & (map->room - 1);
    map->count += map->values[at] == 0;
    map->keys[at] = key;
    map->values[at] = value;
}

static uint64_t
hash_of(const void *bytes, size_t size, uint64_t seed)
{
    uint64_t hash = UINT64_C(14695981039346656037) ^ seed;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * UINT64_C(1099511628211);
    return hash ^ hash >> 29;
}

/* --- opening -------------------------------------------------------------------------------------------- */
struct model *
model_open(void)
{
    struct model *model = calloc(1, sizeof *model);
    size_t count;
    const usher_message *messages = usher_messages(&count);

    assert(model != NULL);
    for (size_t i = 0; i < HOUSE_POLICIES; i++)
        model->policy[i] = model_house_policies[i].usual;
    for (size_t i = 0; i < count; i++)
        if (messages[i].reply->struct_size > model->reply_size)
            model->reply_size = messages[i].reply->struct_size;
    model->reply = malloc(model->reply_size);
    assert(model->reply != NULL);
    struct m_queue queue = {.name = "default"}; /* a fresh house has queue 0 */
    for (size_t i = 0; i < QUEUE_POLICIES; i++)
        queue.policy[i] = model_queue_policies[i].usual;
    ADD(&model->queue, queue);
    /* Numbers that begin at 1. */
    ADD(&model->user, (struct m_user){0});
    ADD(&model->hold, (struct m_hold){0});
    ADD(&model->payment, (struct m_payment){0});
    ADD(&model->entry, (struct m_entry){0});
    ADD(&model->client, (struct m_client){0});
    ADD(&model->answer, (struct m_answer){0});
    model->first_answer = 1;
    return model;
}

void
model_close(struct model *model)
{
    if (model == NULL)
        return;
    for (size_t i = 0; i < model->queue.count; i++) {
        free(model->queue.at[i].place.at);
        free(model->queue.at[i].grace.at);
    }
    for (size_t i = 0; i < model->date.count; i++) {
        free(model->date.at[i].seat.at);
        free(model->date.at[i].seen.at);
    }
    for (size_t i = 0; i < model->user.count; i++) {
        free(model->user.at[i].place.at);
        free(model->user.at[i].hold.at);
        free(model->user.at[i].entry.at);
        free(model->user.at[i].history.at);
    }
    for (size_t i = 0; i < model->answer.count; i++)
        free(model->answer.at[i].bytes);
    void *const lists[] = {model->queue.at,   model->plan.at,      model->concert.at,   model->date.at,
                           model->user.at,    model->hold.at,      model->live.at,      model->payment.at,
                           model->entry.at,   model->client.at,    model->event.at,     model->answer.at,
                           model->users.keys, model->users.values, model->answers.keys, model->answers.values,
                           model->reply};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        free(lists[i]);
    free(model);
}

/* --- small things that all handlers need ---------------------------------------------------------------- */
usher_result
m_refuse(struct model *model, usher_result result, uint64_t detail)
{
    model->refusal.detail = detail;
    return result;
}

usher_result
m_refuse_until(struct model *model, usher_result result, uint64_t until_ms)
{
    model->refusal.until_ms = until_ms;
    model->refusal.retry_after_ms = until_ms > model->now_ms ? until_ms - model->now_ms : 0;
    return result;
}

void
m_emit(struct model *model, enum usher_event_kind kind, uint32_t user, usher_event event)
{
    event.event_no = model->event.count + 1;
    event.at_ms = model->now_ms;
    event.kind = (uint8_t)kind;
    event.user = model->user.at[user].uuid;
    ADD(&model->event, event);
}

uint32_t
m_user_find(const struct model *model, const usher_uuid *uuid)
{
    return m_map_find(&model->users, hash_of(uuid, sizeof *uuid, 0));
}

static uint32_t
user_at_first_sight(struct model *model, const usher_uuid *uuid)
{
    uint32_t user = m_user_find(model, uuid);

    if (user != NOBODY)
        return user;
    user = (uint32_t)model->user.count;
    ADD(&model->user, (struct m_user){.uuid = *uuid});
    m_map_put(&model->users, hash_of(uuid, sizeof *uuid, 0), user);
    return user;
}

const usher_event *
model_all_events(const struct model *model, uint64_t *count)
{
    *count = model->event.count;
    return model->event.at;
}

uint64_t
model_stamp_ms(const struct model *model)
{
    return model->stamp_ms;
}

uint64_t
model_batch_count(const struct model *model)
{
    return model->batches;
}

/* --- request ids (M3) ----------------------------------------------------------------------------------- */
struct m_answer *
m_answer_find(struct model *model, uint64_t scope, const usher_id *id)
{
    uint32_t number = m_map_find(&model->answers, hash_of(id, sizeof *id, scope));

    return number == 0 || model->answer.at[number].dropped ? NULL : &model->answer.at[number];
}

/* Ids are known per user, or per client where a request names no user. */
static uint64_t
scope_of(const struct model *model, const struct model_request *request)
{
    static const usher_uuid nobody;
    bool named = memcmp(&request->user, &nobody, sizeof nobody) != 0;

    return named ? (uint64_t)model->asker << 1 : (uint64_t)request->client_no << 1 | 1;
}

static void
remember(struct model *model, const struct model_request *request, uint64_t scope, const usher_id *id,
         usher_result result, bool for_ever)
{
    model->unsettled = model->answer.count;
    ADD(&model->answer, (struct m_answer){.scope = scope,
                                          .id = *id,
                                          .body_hash = request->body_hash,
                                          .opcode = request->message->opcode,
                                          .result = (uint16_t)result,
                                          .for_ever = for_ever,
                                          .at_ms = model->now_ms});
    m_map_put(&model->answers, hash_of(id, sizeof *id, scope), (uint32_t)model->unsettled);
    model->answers_kept++;
}

void
model_settle(struct model *model, const uint8_t *bytes, size_t size)
{
    if (model->unsettled == 0)
        return;
    struct m_answer *answer = &model->answer.at[model->unsettled];
    answer->bytes = malloc(size + 1);
    assert(answer->bytes != NULL);
    memcpy(answer->bytes, bytes, size);
    answer->size = size;
    model->unsettled = 0;
}

/* --- the token's state (Q12, Q13) ----------------------------------------------------------------------- */
static const usher_field *
field_of(const usher_layout *layout, const char *name)
{
    for (size_t i = 0; i < layout->field_count; i++)
        if (strcmp(layout->fields[i].name, name) == 0)
            return &layout->fields[i];
    return NULL;
}

/* The concert that the request names is behind another queue than the token's. */
static bool
is_of_other_queue(struct model *model, const struct model_request *request)
{
    const usher_field *field = field_of(request->message->request, "concert_id");
    uint32_t concert_id;

    if (field == NULL)
        return false;
    memcpy(&concert_id, (const uint8_t *)request->body + field->offset, sizeof concert_id);
    const struct m_concert *concert = m_concert_find(model, concert_id);
    return concert != NULL && concert->queue != model->queue_at;
}

static usher_result
check_place(struct model *model, const struct model_request *request)
{
    const usher_message *message = request->message;
    struct m_queue *queue = m_queue_find(model, request->queue_id);
    struct m_place *place = queue == NULL ? NULL : m_place_at(queue, request->position);

    if (place == NULL || place->user != model->asker)
        return USHER_TOKEN_EXPIRED; /* nobody remembers it */
    model->has_place = true;
    model->queue_at = (uint32_t)(queue - model->queue.at);
    model->position = request->position;
    uint8_t state = m_place_state(model, queue, place);
    if (message->token == USHER_TOKEN_NEED_ANY)
        return USHER_OK;
    if (state == USHER_PLACE_USED)
        return message->token == USHER_TOKEN_NEED_SPENT ? USHER_OK : USHER_TOKEN_USED;
    if (state == USHER_PLACE_EXPIRED || state == USHER_PLACE_LEFT)
        return m_refuse(model, USHER_TOKEN_EXPIRED, state);
    if (is_of_other_queue(model, request))
        return USHER_TOKEN_OTHER_QUEUE;
    if (state == USHER_PLACE_WAITING)
        return m_refuse(model, USHER_TOKEN_WAITING, m_rank(queue, request->position));
    if (message->claims && place->claim != 0) { /* Q5: it counts even if the request is refused for another reason */
        if (model->querying)
            *model->touch = (usher_touch_request){.queue_id = queue->id, .position = request->position, .claim = 1};
        else
            place->claim = 0;
    }
    return USHER_OK;
}

/* --- the way of a request ------------------------------------------------------------------------------- */
/* Whoever acts must be somebody: messages with a user, but those that are the same for all or may be the client's. */
static bool
needs_user(const usher_message *message)
{
    return field_of(message->request, "user") != NULL && message->opcode != USHER_OPCODE_DATES &&
           message->opcode != USHER_OPCODE_SEATS && message->opcode != USHER_OPCODE_LEDGER &&
           message->opcode != USHER_OPCODE_LOOKUP;
}

static void
begin_request(struct model *model, const struct model_request *request)
{
    memset(&model->refusal, 0, sizeof model->refusal);
    memset(model->reply, 0, request->message->reply->struct_size);
    model->has_place = false;
    model->paid_by = 0;
    model->unsettled = 0;
    model->asker = m_user_find(model, &request->user);
}

static struct model_answer
answer_with(struct model *model, const struct model_request *request, usher_result result)
{
    bool done = result == USHER_OK;

    return (struct model_answer){.result = result,
                                 .reply = done ? model->reply : &model->refusal,
                                 .layout = done ? request->message->reply : usher_refusal_layout()};
}

/* M4: what is refused where money is at stake is remembered too, for a late duplicate must not spend. */
static bool
is_money(const usher_message *message)
{
    return message->opcode == USHER_OPCODE_CHARGE || message->opcode == USHER_OPCODE_PAY ||
           message->opcode == USHER_OPCODE_REFUND;
}

static struct model_answer
apply_command(struct model *model, const struct model_request *request)
{
    static const usher_uuid nobody;
    const usher_message *message = request->message;
    bool named = memcmp(&request->user, &nobody, sizeof nobody) != 0;

    if (!named && needs_user(message))
        return answer_with(model, request, USHER_USER_MISSING);
    if (named)
        model->asker = user_at_first_sight(model, &request->user);
    uint64_t scope = scope_of(model, request);
    bool by_id = message->opcode != USHER_OPCODE_ENROL; /* which is known by its code */
    const usher_id *id =
        (const usher_id *)((const uint8_t *)request->body + field_of(message->request, "request_id")->offset);
    const struct m_answer *first = by_id ? m_answer_find(model, scope, id) : NULL;
    if (first != NULL) {
        if (first->opcode != message->opcode || first->body_hash != request->body_hash)
            return answer_with(model, request, USHER_MISMATCH);
        return (struct model_answer){.result = (usher_result)first->result,
                                     .replayed = true,
                                     .first_bytes = first->bytes,
                                     .first_size = first->size,
                                     .layout = first->result == USHER_OK ? message->reply : usher_refusal_layout()};
    }
    if (model->asker != NOBODY)
        m_end_due_of_user(model, model->asker);
    usher_result result = request->has_token ? check_place(model, request) : USHER_OK;
    if (result == USHER_OK)
        result = handler_of(message)(model, request, request->body, model->reply);
    if (by_id && (result == USHER_OK || is_money(message)))
        remember(model, request, scope, id, result, is_money(message));
    return answer_with(model, request, result);
}

struct model_answer
model_apply(struct model *model, const struct model_request *request)
{
    model->querying = false;
    begin_request(model, request);
    model->budget = COMMAND_ADMISSIONS;
    if (request->message->kind == USHER_MESSAGE_INTERNAL)
        return answer_with(model, request, handler_of(request->message)(model, request, request->body, model->reply));
    return apply_command(model, request);
}

struct model_answer
model_query(struct model *model, const struct model_request *request, uint64_t now_ms, usher_touch_request *touch)
{
    static const usher_uuid nobody;
    usher_result result = USHER_OK;

    begin_request(model, request);
    model->querying = true;
    model->now_ms = now_ms > model->stamp_ms ? now_ms : model->stamp_ms;
    model->touch = touch;
    memset(touch, 0, sizeof *touch);
    if (needs_user(request->message) && memcmp(&request->user, &nobody, sizeof nobody) == 0)
        result = USHER_USER_MISSING;
    else if (request->has_token)
        result = check_place(model, request);
    if (result == USHER_OK)
        result = handler_of(request->message)(model, request, request->body, model->reply);
    return answer_with(model, request, result);
}
