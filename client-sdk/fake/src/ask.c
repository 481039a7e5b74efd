/* ask.c: one request climbs the rungs of SPEC.md, section 6: message, body, role, token, request id, the token's state,
 * the handler. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "client-sdk/fake/src/fake.h"

static const struct {
    uint16_t opcode;
    fake_handler *handler;
} handlers[] = {
#define FAKE_HANDLER(name, NAME) {USHER_OPCODE_##NAME, fake_##name},
#include "client-sdk/fake/src/handlers.def"
};

fake_handler *
fake_handler_of(unsigned opcode)
{
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++)
        if (handlers[i].opcode == opcode)
            return handlers[i].handler;
    return NULL;
}

/* The field of this name and kind in a struct, or NULL. */
static void *
field_in(const usher_layout *layout, void *body, const char *name, usher_kind kind)
{
    for (size_t i = 0; i < layout->field_count; i++)
        if (layout->fields[i].kind == kind && strcmp(layout->fields[i].name, name) == 0)
            return (uint8_t *)body + layout->fields[i].offset;
    return NULL;
}

/* Where the token's size stands, or NULL. */
static uint16_t *
token_size_in(const usher_layout *layout, void *body)
{
    for (size_t i = 0; i < layout->field_count; i++)
        if (layout->fields[i].kind == USHER_KIND_BYTES && strcmp(layout->fields[i].name, "token") == 0)
            return (uint16_t *)(void *)((uint8_t *)body + layout->fields[i].count_offset);
    return NULL;
}

/* --- who asks ------------------------------------------------------------------------------------------------ */
/* Whom the request is about: the token's user, or who is named. */
static usher_result
find_user(usher_fake *fake, struct fake_ask *ask, void *request)
{
    const usher_layout *layout = ask->message->request;
    const uint16_t *token_size = token_size_in(layout, request);
    const uint8_t *token = field_in(layout, request, "token", USHER_KIND_BYTES);
    const usher_uuid *user = field_in(layout, request, "user", USHER_KIND_UUID);
    usher_result result;

    if (user != NULL)
        ask->user = *user;
    if (token_size == NULL || *token_size == 0) {
        if (ask->message->token == USHER_TOKEN_NEED_NONE)
            return USHER_OK;
        if ((ask->message->bare & USHER_ROLE_BIT(ask->role)) == 0)
            return USHER_TOKEN_MISSING;
        if (fake_no_user(&ask->user) && !(ask->message->opcode == USHER_OPCODE_LOOKUP && ask->role == USHER_ROLE_ADMIN))
            return USHER_USER_MISSING;
        return USHER_OK;
    }
    result = fake_read_token(fake, token, *token_size, &ask->place);
    if (result != USHER_OK)
        return result;
    if (!fake_no_user(&ask->user) && !fake_same_user(&ask->user, &ask->place->user))
        return USHER_TOKEN_OTHER_USER;
    ask->user = ask->place->user;
    return USHER_OK;
}

/* Whether the token's state is what the message needs. */
static usher_result
judge_state(struct fake_ask *ask)
{
    usher_token_need need = ask->message->token;

    if (ask->place == NULL || need == USHER_TOKEN_NEED_NONE || need == USHER_TOKEN_NEED_ANY ||
        ask->place->state == USHER_PLACE_ACTIVE)
        return USHER_OK;
    if (ask->place->state == USHER_PLACE_USED)
        return need == USHER_TOKEN_NEED_SPENT ? USHER_OK : USHER_TOKEN_USED;
    if (ask->place->state == USHER_PLACE_WAITING)
        return USHER_TOKEN_WAITING;
    ask->refusal.detail = ask->place->state;
    return USHER_TOKEN_EXPIRED;
}

/* --- request ids --------------------------------------------------------------------------------------------- */
/* What makes two requests the same: opcode and every field but the token; the user is part of what ids are known by. */
static void
take_fingerprint(const struct fake_ask *ask, void *request, uint8_t fingerprint[16])
{
    const usher_layout *layout = ask->message->request;
    uint8_t bytes[USHER_FRAME_MAX];
    uint16_t *token_size = token_size_in(layout, request);
    usher_uuid *user = field_in(layout, request, "user", USHER_KIND_UUID);
    uint16_t kept_size = token_size != NULL ? *token_size : 0;
    usher_uuid kept_user = {{0}};
    size_t size;

    if (token_size != NULL)
        *token_size = 0;
    if (user != NULL) {
        kept_user = *user;
        memset(user, 0, sizeof *user);
    }
    size = usher_encode(layout, request, bytes, sizeof bytes - sizeof ask->message->opcode);
    memcpy(bytes + size, &ask->message->opcode, sizeof ask->message->opcode);
    crypto_generichash(fingerprint, 16, bytes, size + sizeof ask->message->opcode, NULL, 0);
    if (token_size != NULL)
        *token_size = kept_size;
    if (user != NULL)
        *user = kept_user;
}

/* The row of a request id; made when it is seen for the first time. */
static struct fake_answer *
answer_of(usher_fake *fake, const struct fake_ask *ask, const usher_id *id)
{
    const usher_uuid *scope = fake_no_user(&ask->user) ? &ask->client : &ask->user;
    struct fake_answer *answer;

    for (size_t i = fake->answers.count; i-- > 0;) /* most are recent */
        if (memcmp(&fake->answers.item[i].seen.request_id, id, sizeof *id) == 0 &&
            fake_same_user(&fake->answers.item[i].scope, scope))
            return &fake->answers.item[i];
    answer = FAKE_ADD(&fake->answers);
    answer->scope = *scope;
    answer->seen.request_id = *id;
    answer->seen.user = ask->user;
    answer->seen.opcode = ask->message->opcode;
    answer->seen.result = USHER_RESULT_NONE;
    return answer;
}

static bool
is_remembered(uint16_t opcode, usher_result result)
{
    return result == USHER_OK || opcode == USHER_OPCODE_CHARGE || opcode == USHER_OPCODE_PAY ||
           opcode == USHER_OPCODE_REFUND;
}

static void
remember(usher_fake *fake, struct fake_answer *answer, usher_result result, const uint8_t *body, size_t size)
{
    answer->seen.result = (uint16_t)result;
    answer->at_ms = fake->now_ms;
    if (!is_remembered(answer->seen.opcode, result))
        return;
    answer->remembered = true;
    answer->body = malloc(size);
    if (answer->body == NULL)
        abort();
    memcpy(answer->body, body, size);
    answer->body_size = size;
}

/* --- carrying out -------------------------------------------------------------------------------------------- */
static size_t
encode_answer(usher_fake *fake, const struct fake_ask *ask, usher_result result, uint8_t *out)
{
    if (result == USHER_OK)
        return usher_encode(ask->message->reply, fake->reply.bytes, out, USHER_FRAME_MAX);
    return usher_encode(usher_refusal_layout(), &ask->refusal, out, USHER_FRAME_MAX);
}

static usher_result
carry_out_command(usher_fake *fake, struct fake_ask *ask, uint8_t *out, size_t *size, bool *replayed)
{
    const usher_id *id = field_in(ask->message->request, fake->request.bytes, "request_id", USHER_KIND_ID);
    struct fake_answer *answer = answer_of(fake, ask, id);
    uint8_t fingerprint[16];
    usher_result result;

    answer->seen.seen++;
    take_fingerprint(ask, fake->request.bytes, fingerprint);
    if (answer->remembered) {
        if (memcmp(answer->fingerprint, fingerprint, sizeof fingerprint) != 0) {
            *size = encode_answer(fake, ask, USHER_MISMATCH, out);
            return USHER_MISMATCH;
        }
        *replayed = true;
        fake->figures.replayed++;
        memcpy(out, answer->body, answer->body_size);
        *size = answer->body_size;
        return (usher_result)answer->seen.result;
    }
    memcpy(answer->fingerprint, fingerprint, sizeof fingerprint);
    answer->seen.opcode = ask->message->opcode; /* a refused request leaves its id free for another */
    result = judge_state(ask);
    if (result == USHER_OK) {
        result = fake_handler_of(ask->message->opcode)(fake, ask, fake->request.bytes, fake->reply.bytes);
        answer->seen.applied += result == USHER_OK;
        fake->figures.applied += result == USHER_OK;
    }
    *size = encode_answer(fake, ask, result, out);
    remember(fake, answer, result, out, *size);
    return result;
}

/* The rungs before the handler. */
static usher_result
judge(usher_fake *fake, struct fake_ask *ask, const usher_frame *asked)
{
    const usher_message *message = ask->message;
    const usher_id *id;
    unsigned field_no;
    usher_result result;

    if (message == NULL || (message->kind != USHER_MESSAGE_CONNECTION && fake_handler_of(asked->opcode) == NULL))
        return USHER_OPCODE_UNKNOWN;
    memset(&fake->request, 0, sizeof fake->request);
    memset(&fake->reply, 0, sizeof fake->reply);
    result = usher_decode(message->request, asked->body, asked->body_size, fake->request.bytes, &field_no);
    if (result != USHER_OK) {
        ask->refusal.detail = field_no;
        return result;
    }
    id = field_in(message->request, fake->request.bytes, "request_id", USHER_KIND_ID);
    if (message->kind == USHER_MESSAGE_COMMAND && sodium_is_zero(id->bytes, sizeof id->bytes))
        return USHER_REQUEST_ID_MISSING;
    if (message->kind == USHER_MESSAGE_CONNECTION)
        return USHER_HELLO_REPEATED;
    if ((message->roles & USHER_ROLE_BIT(ask->role)) == 0)
        return USHER_ROLE_REFUSED;
    return find_user(fake, ask, fake->request.bytes);
}

usher_result
fake_carry_out(usher_fake *fake, struct fake_ask *ask, const usher_frame *asked, uint8_t *out, size_t *size,
               bool *replayed)
{
    usher_result result;

    *replayed = false;
    fake_sweep(fake);
    ask->message = usher_message_of(asked->opcode);
    ask->request_no = asked->request_no;
    result = judge(fake, ask, asked);
    if (result == USHER_OK && ask->message->kind == USHER_MESSAGE_COMMAND)
        return carry_out_command(fake, ask, out, size, replayed);
    if (result == USHER_OK)
        result = judge_state(ask);
    if (result == USHER_OK)
        result = fake_handler_of(asked->opcode)(fake, ask, fake->request.bytes, fake->reply.bytes);
    *size = encode_answer(fake, ask, result, out);
    return result;
}
