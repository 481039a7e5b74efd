/* world_ask.c: steps of the tape to requests, as a connection would hand them over; and what people remember. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/codec.h"
#include "tests/sim/world_inside.h"

static const struct {
    uint8_t role;
    uint32_t client_no;
} actors[] = {
    [ACTOR_PERSON] = {USHER_ROLE_GATEWAY, 1}, [ACTOR_GATEWAY] = {USHER_ROLE_GATEWAY, 1},
    [ACTOR_ADMIN] = {USHER_ROLE_ADMIN, 2},    [ACTOR_DESK] = {USHER_ROLE_TERMINAL, 3},
    [ACTOR_GATE] = {USHER_ROLE_OBSERVER, 4},  [ACTOR_NOBODY] = {USHER_ROLE_NONE, 0},
};

/* --- people --------------------------------------------------------------------------------------------- */
static void *
grown(void *at, size_t *room, size_t count, size_t size)
{
    if (count < *room)
        return at;
    *room = *room == 0 ? 4 : *room * 2;
    at = realloc(at, *room * size);
    assert(at != NULL);
    return at;
}

struct world_person *
world_person(struct world *world, uint32_t number)
{
    assert(number > 0);
    while (world->person_count < number) {
        world->person = grown(world->person, &world->person_room, world->person_count, sizeof *world->person);
        world->person[world->person_count++] =
            (struct world_person){.uuid = word_person((uint32_t)world->person_count + 1)};
    }
    return &world->person[number - 1];
}

static void
got_number(struct world_numbers *numbers, uint64_t number, uint32_t step, uint32_t item)
{
    for (size_t i = numbers->count; i-- > 0;)
        if (numbers->at[i].number == number)
            return;
    numbers->at = grown(numbers->at, &numbers->room, numbers->count, sizeof *numbers->at);
    numbers->at[numbers->count++] = (struct world_number){number, step, item};
}

/* As a scene remembers: a place found again is a token of its own unless it is the latest. */
static void
got_token(struct world_person *person, uint32_t queue_id, uint64_t position, uint32_t step)
{
    const struct world_token token = {.queue_id = queue_id, .step = step, .position = position};
    size_t count = person->token.count;

    if (count > 0 && person->token.at[count - 1].queue_id == queue_id &&
        person->token.at[count - 1].position == position)
        return;
    person->token.at = grown(person->token.at, &person->token.room, count, sizeof *person->token.at);
    person->token.at[person->token.count++] = token;
}

static void
got_holds(struct world_person *person, const usher_hold *hold, uint16_t count, uint32_t step)
{
    for (uint16_t i = 0; i < count; i++)
        got_number(&person->reservation, hold[i].reservation_id, step, i);
}

void
world_remember(struct world *world, const struct world_ask *ask, const void *reply)
{
    const usher_join_reply *join = reply;
    const usher_reserve_reply *reserve = reply;
    const usher_reserve_best_reply *best = reply;
    const usher_swap_reply *swap = reply;

    if (ask->whom == 0)
        return;
    struct world_person *person = world_person(world, ask->whom);
    if (ask->message->opcode == USHER_OPCODE_JOIN)
        got_token(person, join->queue_id, join->position, ask->step);
    if (ask->message->opcode == USHER_OPCODE_RESERVE)
        got_holds(person, reserve->hold, reserve->hold_count, ask->step);
    if (ask->message->opcode == USHER_OPCODE_RESERVE_BEST)
        got_holds(person, best->hold, best->hold_count, ask->step);
    if (ask->message->opcode == USHER_OPCODE_SWAP)
        got_holds(person, swap->hold, swap->hold_count, ask->step);
    if (ask->message->opcode == USHER_OPCODE_PAY)
        got_number(&person->payment, ((const usher_pay_reply *)reply)->payment_id, ask->step, 0);
    if (ask->message->opcode == USHER_OPCODE_REFUND)
        got_number(&person->refund, ((const usher_refund_reply *)reply)->refund_id, ask->step, 0);
}

/* --- fields --------------------------------------------------------------------------------------------- */
static const usher_field *
find(const usher_layout *layout, const char *name)
{
    for (size_t i = 0; i < layout->field_count; i++)
        if (strcmp(layout->fields[i].name, name) == 0)
            return &layout->fields[i];
    return NULL;
}

static void
set_field(const usher_layout *layout, uint8_t *body, const char *name, const void *value, size_t size)
{
    const usher_field *field = find(layout, name);

    if (field != NULL)
        memcpy(body + field->offset, value, size);
}

/* --- tokens --------------------------------------------------------------------------------------------- */
/* Which token the step shows; false if its person has no such token. */
static bool
choose_token(struct world *world, struct step *step, struct world_token *token)
{
    if (step->token == TOKEN_ODD) {
        *token = (struct world_token){.queue_id = step->token_queue, .position = step->token_nth};
        return true;
    }
    const struct world_person *person = world_person(world, step->token_person);
    size_t nth = person->token.count;
    if (step->token == TOKEN_OF_QUEUE)
        while (nth > 0 && person->token.at[nth - 1].queue_id != step->token_queue)
            nth--;
    if (step->token == TOKEN_OF_STEP)
        while (nth > 0 && person->token.at[nth - 1].step != step->token_step)
            nth--;
    if (nth == 0)
        return false;
    *token = person->token.at[nth - 1];
    step->token_nth = (uint32_t)nth;
    return true;
}

static bool
fill_asker(struct world *world, struct step *step, struct world_ask *ask, uint8_t *body)
{
    unsigned role = USHER_ROLE_BIT(actors[step->actor].role);
    const usher_message *message = ask->message;
    bool bare = message->token == USHER_TOKEN_NEED_NONE || step->token == TOKEN_NONE;
    struct world_token token;

    ask->asker = (struct core_asker){
        .role = actors[step->actor].role, .client_no = actors[step->actor].client_no, .channel = step->channel};
    if (message->kind != USHER_MESSAGE_INTERNAL && (message->roles & role) == 0)
        return false;
    if (!bare) {
        if (!choose_token(world, step, &token))
            return false;
        ask->whom = step->token_person;
        ask->asker.has_token = 1;
        ask->asker.queue_id = token.queue_id;
        ask->asker.position = token.position;
        ask->asker.user = world_person(world, ask->whom)->uuid;
        return true;
    }
    if (message->token != USHER_TOKEN_NEED_NONE && (message->bare & role) == 0)
        return false;
    if (find(message->request, "user") == NULL)
        return true;
    ask->whom = step->user != 0 ? step->user : step->actor == ACTOR_PERSON ? step->person : 0;
    if (ask->whom != 0)
        ask->asker.user = world_person(world, ask->whom)->uuid;
    set_field(message->request, body, "user", &ask->asker.user, sizeof ask->asker.user);
    return true;
}

/* --- references ----------------------------------------------------------------------------------------- */
static bool
resolve(struct world *world, struct reference *reference, bool is_payment, uint64_t *number)
{
    *number = reference->nth;
    if (reference->person == 0)
        return true;
    const struct world_person *person = world_person(world, reference->person);
    const struct world_numbers *numbers = is_payment ? &person->payment : &person->reservation;
    size_t nth = numbers->count;
    while (nth > 0 && (numbers->at[nth - 1].step != reference->step || numbers->at[nth - 1].item != reference->item))
        nth--;
    if (nth == 0)
        return false;
    *number = numbers->at[nth - 1].number;
    reference->nth = (uint32_t)nth;
    return true;
}

static bool
fill_references(struct world *world, const struct step *step, const usher_layout *layout, uint8_t *body)
{
    struct reference *reference = (struct reference *)(world->tape->bytes + step->references);
    const usher_field *list = find(layout, "reservation");
    size_t count = (size_t)step->reservation_count + step->has_payment;
    uint64_t number;

    for (uint16_t i = 0; i < step->reservation_count; i++) {
        if (!resolve(world, &reference[i], false, &number))
            return false;
        memcpy(body + list->offset + i * sizeof number, &number, sizeof number);
    }
    if (list != NULL && list->count_offset != 0)
        memcpy(body + list->count_offset, &step->reservation_count, sizeof step->reservation_count);
    if (!step->has_payment)
        return true;
    if (!resolve(world, &reference[count - 1], true, &number))
        return false;
    set_field(layout, body, "payment_id", &number, sizeof number);
    return true;
}

static void
fill_words(const struct step *step, const usher_layout *layout, uint8_t *body)
{
    const usher_id id = word_id(step->id);

    set_field(layout, body, "request_id", &id, sizeof id);
    if (step->opcode == USHER_OPCODE_INVITE) {
        const usher_key hash = word_code_hash(step->code);
        set_field(layout, body, "code_hash", &hash, sizeof hash);
    }
    if (step->opcode == USHER_OPCODE_ENROL) {
        const usher_key code = word_key('c', step->code), key = word_key('k', step->key);
        set_field(layout, body, "code", &code, sizeof code);
        set_field(layout, body, "client_key", &key, sizeof key);
    }
}

/* The server tells of no more than the history has done; a tape from which steps were taken may say more. */
static void
fill_taken(const struct world *world, const struct step *step, uint8_t *body)
{
    usher_history_taken_request *taken = (usher_history_taken_request *)(void *)body;
    uint64_t consumed = model_consumed(world->model);

    if (step->opcode != USHER_OPCODE_HISTORY_TAKEN || taken->event_no <= consumed)
        return;
    taken->event_no = consumed;
    usher_encode(usher_message_of(step->opcode)->request, taken, world->tape->bytes + step->body, step->body_size);
}

/* What counts as the body (M3): opcode, user and every field but the token. */
static uint64_t
hash_body(struct world *world, const struct world_ask *ask, uint8_t *body)
{
    static const usher_uuid nobody;
    const usher_layout *layout = ask->message->request;
    const usher_field *user = find(layout, "user");
    uint64_t hash = UINT64_C(14695981039346656037) ^ ask->message->opcode;
    usher_uuid sent;

    if (user != NULL)
        memcpy(&sent, body + user->offset, sizeof sent);
    if (user != NULL && memcmp(&ask->asker.user, &nobody, sizeof nobody) != 0)
        memcpy(body + user->offset, &ask->asker.user, sizeof ask->asker.user);
    size_t size = usher_encode(layout, body, world->encoded, USHER_FRAME_MAX);
    assert(size != SIZE_MAX);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ world->encoded[i]) * UINT64_C(1099511628211);
    if (user != NULL)
        memcpy(body + user->offset, &sent, sizeof sent);
    return hash;
}

/* --- a step --------------------------------------------------------------------------------------------- */
void
world_prepare(struct world *world, uint32_t number)
{
    struct step *step = &world->tape->steps[number];
    const usher_message *message = usher_message_of(step->opcode);
    struct world_ask ask = {.step = number, .message = message, .body = world->bodies_size};
    size_t size = (message->request->struct_size + 15) & ~(size_t)15;
    unsigned field_no;

    if (world->bodies_room - world->bodies_size < size) {
        world->bodies_room = (world->bodies_room + size) * 2;
        world->bodies = realloc(world->bodies, world->bodies_room);
        assert(world->bodies != NULL);
    }
    uint8_t *body = world->bodies + ask.body;
    memset(body, 0, size);
    usher_result decoded =
        usher_decode(message->request, world->tape->bytes + step->body, step->body_size, body, &field_no);
    assert(decoded == USHER_OK);
    (void)decoded;
    step->omitted = world->ask_count == WORLD_BATCH_MOST || !fill_asker(world, step, &ask, body) ||
                    !fill_references(world, step, message->request, body);
    if (step->omitted)
        return;
    fill_words(step, message->request, body);
    fill_taken(world, step, body);
    ask.body_hash = hash_body(world, &ask, body);
    world->bodies_size += size;
    world->asks[world->ask_count++] = ask;
}

struct model_request
model_request_of(const struct world *world, const struct world_ask *ask)
{
    return (struct model_request){.message = ask->message,
                                  .role = ask->asker.role,
                                  .channel = ask->asker.channel,
                                  .has_token = ask->asker.has_token,
                                  .client_no = ask->asker.client_no,
                                  .queue_id = ask->asker.queue_id,
                                  .position = ask->asker.position,
                                  .user = ask->asker.user,
                                  .body = world->bodies + ask->body,
                                  .body_hash = ask->body_hash};
}

void
world_note_result(struct world *world, const struct world_ask *ask, usher_result result, bool replayed)
{
    struct step *step = &world->tape->steps[ask->step];

    if (ask->is_trace)
        return;
    step->result = (uint16_t)result;
    step->replayed = replayed;
}
