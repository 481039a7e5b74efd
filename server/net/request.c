/* request.c: the ladder that every request climbs before it may join the turn: its rungs stand in the order of
 * results.def. What is left for the core: a user who is missing, the request id, the token's state, the handler (M7).
 *
 * A request that falls from a rung is answered at once and leaves no trace. One that reaches the top waits in the
 * turn's list with its decoded body, commands and queries alike; loop.c carries them out. By then only its token's proof
 * may be due: what that is known by is in no cache, so it is fetched while the turn's other requests are read, and
 * looked at once all are there. */
#include "server/net/inside.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct climb {
    struct connection *connection;
    const usher_frame *frame;
    const usher_message *message;
    const struct form *form;
    void *body; /* decoded, at the arena's end */
    struct core_asker asker;
    bool unproved;
    struct proof_mark mark; /* unproved: of the token */
    usher_refusal refusal;  /* what goes with a fall */
};

typedef usher_result rung(struct climb *climb);

static rung check_opcode, check_body, check_request_id, check_going_away, check_state, check_enrol, check_busy,
    check_token, check_user;

static rung *const rungs[] = {check_opcode, check_body, check_request_id, check_going_away, check_state,
                              check_enrol,  check_busy, check_token,      check_user};

static bool
is_zero(const void *bytes, size_t size)
{
    static const uint8_t zeros[16];

    assert(size <= sizeof zeros);
    return memcmp(bytes, zeros, size) == 0;
}

/* --- the frame's inside --------------------------------------------------------------------------------- */
static usher_result
check_opcode(struct climb *climb)
{
    climb->message = usher_message_of(climb->frame->opcode);
    if (climb->message == NULL || climb->message->kind == USHER_MESSAGE_INTERNAL)
        return USHER_OPCODE_UNKNOWN;
    climb->form = forms_of(&climb->connection->net->forms, climb->message);
    return USHER_OK;
}

static usher_result
check_body(struct climb *climb)
{
    unsigned field_no = 0;
    usher_result result =
        usher_decode(climb->message->request, climb->frame->body, climb->frame->body_size, climb->body, &field_no);

    climb->refusal.detail = field_no;
    return result;
}

static usher_result
check_request_id(struct climb *climb)
{
    const usher_field *field = climb->form->request_id;

    if (field != NULL && is_zero(form_see(climb->body, field), sizeof(usher_id)))
        return USHER_REQUEST_ID_MISSING;
    return USHER_OK;
}

/* --- the connection ------------------------------------------------------------------------------------- */
static usher_result
check_going_away(struct climb *climb)
{
    return climb->connection->net->stopping ? USHER_GOING_AWAY : USHER_OK;
}

static usher_result
check_state(struct climb *climb)
{
    return hello_check_state(climb->connection, climb->message);
}

static usher_result
check_enrol(struct climb *climb)
{
    unsigned field_no = 0;

    if (climb->message->opcode != USHER_OPCODE_ENROL)
        return USHER_OK;
    usher_result result = hello_check_enrol(climb->connection, climb->body, &field_no);
    climb->refusal.detail = field_no;
    return result;
}

static usher_result
check_busy(struct climb *climb)
{
    const struct net *net = climb->connection->net;

    climb->refusal.retry_after_ms = NET_BUSY_RETRY_MS;
    if (climb->message->kind == USHER_MESSAGE_CONNECTION)
        return USHER_OK;
    if (climb->connection->in_flight >= net->config.limits.in_flight_max)
        return USHER_BUSY;
    return net->taken->count >= net->config.limits.turn_max ? USHER_BUSY : USHER_OK;
}

/* --- the token ------------------------------------------------------------------------------------------ */
static bool
may_be_bare(const struct climb *climb)
{
    return climb->message->bare & USHER_ROLE_BIT(climb->connection->role);
}

static usher_result
check_token(struct climb *climb)
{
    const usher_field *field = climb->form->token;
    usher_token_body token;

    climb->asker.role = climb->connection->role;
    climb->asker.channel = climb->connection->channel;
    climb->asker.client_no = climb->connection->client_no;
    if (field == NULL)
        return USHER_OK;
    uint16_t size = form_count(climb->body, field);
    if (size == 0)
        return may_be_bare(climb) ? USHER_OK : USHER_TOKEN_MISSING;
    usher_result result =
        proof_begin(climb->connection->net, form_see(climb->body, field), size, &token, &climb->mark);
    if (result != USHER_OK)
        return result;
    climb->unproved = true;
    climb->asker.has_token = 1;
    climb->asker.queue_id = token.queue_id;
    climb->asker.position = token.position;
    climb->asker.user = token.user;
    return USHER_OK;
}

/* The second step of a token's proof. */
static usher_result
prove(struct connection *connection, const struct form *form, const void *body, const struct proof_mark *mark,
      usher_refusal *refusal)
{
    return proof_end(connection, form_see(body, form->token), form_count(body, form->token), mark,
                     &refusal->retry_after_ms);
}

static usher_result
check_user(struct climb *climb)
{
    if (climb->form->user == NULL)
        return USHER_OK;
    const usher_uuid *user = form_see(climb->body, climb->form->user);
    if (!climb->asker.has_token) {
        climb->asker.user = *user;
        return USHER_OK;
    }
    if (is_zero(user, sizeof *user) || memcmp(user, &climb->asker.user, sizeof *user) == 0)
        return USHER_OK;
    /* It falls here, unless the rung below would not have held it. */
    usher_result result = prove(climb->connection, climb->form, climb->body, &climb->mark, &climb->refusal);
    return result == USHER_OK ? USHER_TOKEN_OTHER_USER : result;
}

/* --- the top -------------------------------------------------------------------------------------------- */
/* Room for the largest decoded body at the arena's end. NULL without memory. */
static void *
arena_end(const struct net *net)
{
    struct requests *taken = net->taken;
    size_t most = net->forms.struct_size_most;

    if (taken->arena_room - taken->arena_size < most) {
        size_t room = (taken->arena_room + most) * 2;
        uint8_t *arena = realloc(taken->arena, room);
        if (arena == NULL)
            return NULL;
        taken->arena = arena;
        taken->arena_room = room;
    }
    return taken->arena + taken->arena_size;
}

static void
join_turn(const struct climb *climb)
{
    struct connection *connection = climb->connection;
    struct requests *taken = connection->net->taken;

    taken->pending[taken->count++] = (struct pending){
        .connection = connection,
        .message = climb->message,
        .asker = climb->asker,
        .body = taken->arena_size,
        .request_no = climb->frame->request_no,
        .budget_ms = climb->frame->aux,
        .read_at_ms = connection->read_at_ms,
        .unproved = climb->unproved,
        .mark = climb->mark,
    };
    taken->arena_size += (climb->message->request->struct_size + 15) & ~(size_t)15;
    if (climb->message->opcode == USHER_OPCODE_ENROL)
        connection->state = CONNECTION_ENROLLING;
    connection->in_flight++;
    connection->commands += climb->message->kind != USHER_MESSAGE_QUERY;
    connection->owed += USHER_HEADER_SIZE + usher_size_most(climb->message->reply);
}

void
request_settle(const struct pending *pending)
{
    pending->connection->in_flight--;
    pending->connection->commands -= pending->message->kind != USHER_MESSAGE_QUERY;
    pending->connection->owed -= USHER_HEADER_SIZE + usher_size_most(pending->message->reply);
}

/* The refusal as it goes out: what a rung that was passed has left in it belongs to no other result. */
static void
refuse(struct connection *connection, uint16_t opcode, uint32_t request_no, usher_result result, usher_refusal *refusal)
{
    if (result != USHER_FIELD_INVALID)
        refusal->detail = 0;
    if (result != USHER_BUSY)
        refusal->retry_after_ms = 0;
    connection_refuse(connection, opcode, request_no, result, refusal);
}

void
request_prove(struct net *net)
{
    struct requests *taken = net->taken;

    for (; taken->proved < taken->count; taken->proved++) {
        struct pending *pending = &taken->pending[taken->proved];
        usher_refusal refusal = {0};
        if (!pending->unproved)
            continue;
        usher_result result = prove(pending->connection, forms_of(&net->forms, pending->message),
                                    taken->arena + pending->body, &pending->mark, &refusal);
        if (result == USHER_OK)
            continue;
        pending->answered = true;
        request_settle(pending);
        refuse(pending->connection, pending->message->opcode, pending->request_no, result, &refusal);
    }
}

static void
fall(struct climb *climb, usher_result result)
{
    struct connection *connection = climb->connection;

    refuse(connection, climb->frame->opcode, climb->frame->request_no, result, &climb->refusal);
    if (result == USHER_SIGNATURE_WRONG)
        connection_end(connection);
}

void
request_take(struct connection *connection, const usher_frame *frame)
{
    struct climb climb = {.connection = connection, .frame = frame};

    climb.body = arena_end(connection->net);
    if (climb.body == NULL) {
        climb.refusal.retry_after_ms = NET_BUSY_RETRY_MS;
        fall(&climb, USHER_BUSY);
        return;
    }
    for (size_t i = 0; i < sizeof rungs / sizeof *rungs; i++) {
        usher_result result = rungs[i](&climb);
        if (result != USHER_OK) {
            fall(&climb, result);
            return;
        }
    }
    if (climb.message->kind == USHER_MESSAGE_CONNECTION)
        hello_answer(connection, climb.message, frame->request_no, climb.body);
    else
        join_turn(&climb);
}
