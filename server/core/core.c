/* core.c: the way of a command (M3, M4, M7).
 *
 *     request id known? -> its first answer, or MISMATCH
 *     end what is due of the asker
 *     the token's state -> refused
 *     the handler: a ladder of checks, then the deed
 *     remember the answer
 *
 * The token's proof was checked before, at the connection: it needs no state. */
#include "server/core/internal.h"

#include <stdlib.h>
#include <sodium.h>

static core_handler *const handlers[] = {
#undef HANDLER_CONNECTION
#undef HANDLER_QUERY
#undef HANDLER_COMMAND
#undef HANDLER_INTERNAL
#undef HANDLER_WATCH
#define HANDLER_CONNECTION(name) NULL,
#define HANDLER_QUERY(name)      core_##name,
#define HANDLER_COMMAND(name)    core_##name,
#define HANDLER_INTERNAL(name)   core_##name,
#define HANDLER_WATCH(name)      NULL,
#define USHER_MESSAGE(opcode, NAME, name, KIND, token, claims, roles, bare, summary) HANDLER_##KIND(name)
#include "protocol/messages.def"
};

static size_t
field_offset(const usher_layout *layout, const char *name)
{
    for (size_t i = 0; i < layout->field_count; i++)
        if (strcmp(layout->fields[i].name, name) == 0)
            return layout->fields[i].offset;
    return SIZE_MAX;
}

/* Whoever acts is somebody. Dates and seats are the same for everybody, the house has a ledger too, and clients look up
 * what they asked for themselves. */
static bool
needs_user(const usher_message *message)
{
    static const uint16_t exempt[] = {USHER_OPCODE_DATES, USHER_OPCODE_SEATS, USHER_OPCODE_LEDGER,
                                      USHER_OPCODE_LOOKUP};

    for (size_t i = 0; i < sizeof exempt / sizeof *exempt; i++)
        if (message->opcode == exempt[i])
            return false;
    return field_offset(message->request, "user") != SIZE_MAX;
}

struct core *
core_open(struct store *store)
{
    struct core *core = calloc(1, sizeof *core);
    if (core == NULL)
        return NULL;
    core->store = store;
    const usher_message *message = usher_messages(&core->message_count);
    assert(core->message_count == sizeof handlers / sizeof *handlers);
    core->hints = calloc(core->message_count, sizeof *core->hints);
    for (size_t i = 0; i < core->message_count; i++) {
        if (core->hints != NULL) {
            core->hints[i].concert_offset = field_offset(message[i].request, "concert_id");
            core->hints[i].date_offset = field_offset(message[i].request, "date_id");
            core->hints[i].seat_offset = field_offset(message[i].request, "seat");
            core->hints[i].id_offset = field_offset(message[i].request, "request_id");
            core->hints[i].needs_user = needs_user(&message[i]);
            core->hints[i].money = message[i].opcode == USHER_OPCODE_CHARGE || message[i].opcode == USHER_OPCODE_PAY ||
                                   message[i].opcode == USHER_OPCODE_REFUND;
        }
        if (message[i].reply->struct_size > core->reply_size)
            core->reply_size = message[i].reply->struct_size;
    }
    core->reply = malloc(core->reply_size);
    if (core->hints == NULL || core->reply == NULL || sodium_init() < 0) {
        core_close(core);
        return NULL;
    }
    return core;
}

void
core_close(struct core *core)
{
    if (core == NULL)
        return;
    free(core->hints);
    free(core->reply);
    free(core);
}

struct house_record *
core_house(struct core *core)
{
    assert(core->changing);
    return store_change_house(core->store);
}

usher_result
core_refuse_until(struct core *core, usher_result result, uint64_t until_ms)
{
    core->refusal.until_ms = until_ms;
    core->refusal.retry_after_ms = until_ms > core->now_ms ? until_ms - core->now_ms : 0;
    return result;
}

usher_result
core_refuse_detail(struct core *core, usher_result result, uint64_t detail)
{
    core->refusal.detail = detail;
    return result;
}

void
core_conflict(struct core *core, uint32_t seat_no, usher_result result, uint64_t until_ms)
{
    usher_refusal *refusal = &core->refusal;
    if (refusal->conflict_count == sizeof refusal->conflict / sizeof *refusal->conflict)
        return;
    refusal->conflict[refusal->conflict_count++] =
        (usher_conflict){.seat_no = seat_no, .result = (uint16_t)result, .until_ms = until_ms};
}

void
core_emit(struct core *core, enum usher_event_kind kind, uint64_t user_no, struct event_row event)
{
    event.event_no = ++core_house(core)->last_event_no;
    event.at_ms = core->now_ms;
    event.kind = (uint8_t)kind;
    event.user_no = (uint32_t)user_no;
    if (user_no != 0)
        event.user = store_see_user(core->store, user_no)->uuid;
    store_append_event(core->store, &event);
}

uint64_t
core_user_at_first_sight(struct core *core, const usher_uuid *uuid)
{
    uint64_t user_no = store_find_user(core->store, uuid);
    if (user_no != 0)
        return user_no;
    struct user_record user = {.user_no = ++core_house(core)->last_user_no, .uuid = *uuid};
    store_put_user(core->store, &user);
    return user.user_no;
}

/* --- the way of a command ------------------------------------------------------------------------------ */
/* Whose ticket the token names; 0 for nobody's. */
static uint64_t
user_of_ticket(const struct core *core, const struct core_asker *asker)
{
    uint64_t queue_no = asker->has_token ? store_find_queue(core->store, asker->queue_id) : 0;
    const struct ticket_record *ticket =
        queue_no == 0 ? NULL : store_see_ticket(core->store, TICKET_KEY(queue_no, asker->position));

    return ticket == NULL ? 0 : ticket->user_no;
}

/* A user is found by hash, unless it stands where one would expect it. */
static uint64_t
find_asker(const struct core *core, const struct core_request *request)
{
    uint64_t likely_no =
        request->likely_user_no != 0 ? request->likely_user_no : user_of_ticket(core, &request->asker);
    const struct user_record *likely = likely_no == 0 ? NULL : store_see_user(core->store, likely_no);

    if (likely != NULL && memcmp(&likely->uuid, &request->asker.user, sizeof likely->uuid) == 0)
        return likely->user_no;
    return store_find_user(core->store, &request->asker.user);
}

static void
begin(struct core *core, const struct core_request *request)
{
    memset(&core->refusal, 0, offsetof(usher_refusal, conflict));
    core->house = store_see_house(core->store, 0);
    core->ticket = 0;
    core->user_no = 0;
    core->paid_by = 0;
    if (request != NULL && !is_nobody(&request->asker.user))
        core->user_no = find_asker(core, request);
}

static struct core_answer
answer_with(struct core *core, const usher_message *message, usher_result result, bool replayed)
{
    bool done = result == USHER_OK;
    return (struct core_answer){.result = (uint16_t)result,
                                .replayed = replayed,
                                .reply = done ? (const void *)core->reply : &core->refusal,
                                .layout = done ? message->reply : usher_refusal_layout()};
}

/* The token's state (Q12, Q13): order as in results.def. */
static usher_result
check_ticket(struct core *core, const struct core_request *request, const usher_message *message,
             const struct message_hints *hints)
{
    uint64_t queue_no = store_find_queue(core->store, request->asker.queue_id);
    const struct ticket_record *ticket =
        queue_no == 0 ? NULL : store_see_ticket(core->store, TICKET_KEY(queue_no, request->asker.position));

    if (ticket == NULL || ticket->user_no != core->user_no) /* NULL: forgotten long after its end */
        return USHER_TOKEN_EXPIRED;
    const struct queue_record *queue = store_see_queue(core->store, queue_no);
    core->ticket = ticket->key;
    enum usher_place_state state = ticket_state_now(core, queue, ticket);
    if (message->token == USHER_TOKEN_NEED_ANY)
        return USHER_OK;
    if (state == USHER_PLACE_USED)
        return message->token == USHER_TOKEN_NEED_SPENT ? USHER_OK : USHER_TOKEN_USED;
    if (state == USHER_PLACE_EXPIRED || state == USHER_PLACE_LEFT)
        return core_refuse_detail(core, USHER_TOKEN_EXPIRED, state);
    if (hints->concert_offset != SIZE_MAX) {
        uint32_t concert_id;
        memcpy(&concert_id, (const uint8_t *)request->body + hints->concert_offset, sizeof concert_id);
        uint64_t concert_no = store_find_concert(core->store, concert_id);
        if (concert_no != 0 && store_see_concert(core->store, concert_no)->queue_no != queue_no)
            return USHER_TOKEN_OTHER_QUEUE;
    }
    if (state == USHER_PLACE_WAITING) {
        uint64_t rank = store_rank(core->store, queue_no, request->asker.position);
        core->refusal.retry_after_ms = queue_next_poll_ms(core, queue, rank, request->asker.position);
        return core_refuse_detail(core, USHER_TOKEN_WAITING, rank);
    }
    if (message->claims && ticket_claim_ms(ticket) != 0) {
        if (core->changing)
            ticket_claim(core, core->ticket);
        else
            *core->trace = (core_trace){.queue_id = queue->queue_id, .position = request->asker.position, .claim = 1};
    }
    return USHER_OK;
}

/* M3: the request id's first answer, if there is one. USHER_RESULT_NONE: there is none. */
static usher_result
replay(struct core *core, const struct core_request *request, const usher_message *message, uint64_t scope,
       const usher_id *id)
{
    struct answer_row *row = &core->answer;
    unsigned field_no;

    if (!store_find_answer(core->store, scope, id, row))
        return USHER_RESULT_NONE;
    if (row->opcode != request->opcode || row->fingerprint != request->fingerprint)
        return USHER_MISMATCH;
    bool done = row->result == USHER_OK;
    usher_result decoded =
        usher_decode(done ? message->reply : usher_refusal_layout(), row->body, row->body_size,
                     done ? (void *)core->reply : &core->refusal, &field_no);
    assert(decoded == USHER_OK); /* the row's own check has passed, so it is what we once encoded */
    (void)decoded;
    return (usher_result)row->result;
}

static void
remember(struct core *core, const struct core_request *request, struct core_answer *answer, uint64_t scope,
         const usher_id *id, bool for_ever)
{
    struct answer_row *row = &core->answer;
    memset(row, 0, offsetof(struct answer_row, body));
    row->answer_no = ++core_house(core)->last_answer_no;
    row->at_ms = core->now_ms;
    row->request_id = *id;
    row->scope = scope;
    row->fingerprint = request->fingerprint;
    row->opcode = request->opcode;
    row->result = answer->result;
    row->for_ever = for_ever;
    size_t size = usher_encode(answer->layout, answer->reply, row->body, sizeof row->body);
    assert(size != SIZE_MAX);
    row->body_size = (uint16_t)size;
    answer->bytes = row->body;
    answer->size = size;
    store_append_answer(core->store, row);
}

/* Nobody fetches another's answer: ids are known per user, or per client where no user is named (M3). */
static uint64_t
scope_of(const struct core *core, const struct core_request *request)
{
    return is_nobody(&request->asker.user) ? (uint64_t)request->asker.client_no << 1 | 1 : core->user_no << 1;
}

static struct core_answer
apply_command(struct core *core, const struct core_request *request, const usher_message *message,
              const struct message_hints *hints, core_handler *handler)
{
    const usher_id *id = (const usher_id *)((const uint8_t *)request->body + hints->id_offset);
    bool named = !is_nobody(&request->asker.user);

    if (!named && hints->needs_user)
        return answer_with(core, message, USHER_USER_MISSING, false);
    /* Whoever is named gets a number first: a refusal may have to be remembered under it. */
    if (named && core->user_no == 0)
        core->user_no = core_user_at_first_sight(core, &request->asker.user);
    uint64_t scope = scope_of(core, request);
    bool scoped = scope != 0 && request->opcode != USHER_OPCODE_ENROL; /* ENROL: nobody yet, idempotent by its code */
    if (scoped) {
        usher_result first = replay(core, request, message, scope, id);
        if (first == USHER_MISMATCH)
            return answer_with(core, message, USHER_MISMATCH, false);
        if (first != USHER_RESULT_NONE)
            return answer_with(core, message, first, true);
    }
    if (core->user_no != 0)
        core_end_due_of_user(core, core->user_no);
    usher_result result = USHER_OK;
    if (request->asker.has_token)
        result = check_ticket(core, request, message, hints);
    if (result == USHER_OK)
        result = handler(core, request, request->body, core->reply);
    struct core_answer answer = answer_with(core, message, result, false);
    if (scoped && (result == USHER_OK || hints->money))
        remember(core, request, &answer, scope, id, hints->money);
    return answer;
}

struct core_answer
core_apply(struct core *core, const struct core_request *request)
{
    const usher_message *message = usher_message_of(request->opcode);
    assert(message != NULL);
    size_t count, index = (size_t)(message - usher_messages(&count));
    core_handler *handler = handlers[index];
    struct core_answer answer;

    assert(message->kind == USHER_MESSAGE_COMMAND || message->kind == USHER_MESSAGE_INTERNAL);
    begin(core, request);
    core->changing = true;
    core->budget = CORE_COMMAND_ADMITS;
    memset(core->reply, 0, message->reply->struct_size);
    if (message->kind == USHER_MESSAGE_INTERNAL)
        answer = answer_with(core, message, handler(core, request, request->body, core->reply), false);
    else
        answer = apply_command(core, request, message, &core->hints[index], handler);
    core->changing = false;
    return answer;
}

struct core_answer
core_query(struct core *core, const struct core_request *request, uint64_t now_ms, core_trace *trace)
{
    const usher_message *message = usher_message_of(request->opcode);
    assert(message != NULL);
    assert(message->kind == USHER_MESSAGE_QUERY);
    size_t count, index = (size_t)(message - usher_messages(&count));
    usher_result result = USHER_OK;
    bool nobody = is_nobody(&request->asker.user);

    memset(trace, 0, sizeof *trace);
    store_no_fault(core->store);
    begin(core, request);
    core->changing = false;
    core->trace = trace;
    core->now_ms = now_ms > core->house->stamp_ms ? now_ms : core->house->stamp_ms;
    memset(core->reply, 0, message->reply->struct_size);
    if (nobody && core->hints[index].needs_user)
        result = USHER_USER_MISSING;
    else if (request->asker.has_token)
        result = check_ticket(core, request, message, &core->hints[index]);
    if (result == USHER_OK)
        result = handlers[index](core, request, request->body, core->reply);
    core->trace = NULL;
    if (store_fault(core->store, NULL) != STORE_OK) /* what could not be read is not the same as what is not there */
        result = USHER_STORAGE_FAULT;
    return answer_with(core, message, result, false);
}

void
core_resume(struct core *core, uint64_t down_since_ms, uint64_t now_ms)
{
    begin(core, NULL);
    assert(now_ms >= core->house->stamp_ms);
    assert(now_ms <= STORE_STAMP_MOST);
    core->now_ms = now_ms;
    core->changing = true;
    queues_put_off(core, down_since_ms);
    core_emit(core, USHER_EVENT_RESUMED, 0, (struct event_row){.amount = (int64_t)(now_ms - down_since_ms)});
    core_house(core)->stamp_ms = now_ms;
    core->changing = false;
}

bool
core_tick(struct core *core, uint64_t now_ms)
{
    begin(core, NULL);
    assert(now_ms >= core->house->stamp_ms); /* X1 */
    assert(now_ms <= STORE_STAMP_MOST);
    core->now_ms = now_ms;
    core->changing = true;
    core->budget = (uint32_t)house_policy(core, HOUSE_POLICY_tick_max);
    bool changed = core_tick_all(core);
    core_house(core)->stamp_ms = now_ms;
    core->changing = false;
    return changed;
}
