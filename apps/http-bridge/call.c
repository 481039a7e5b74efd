/* call.c: see call.h. */
#include "call.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../shared/body.h"
#include "handlers.h"

/* --- rows ------------------------------------------------------------------------------------------------------ */
static const struct call_row rows[] = {
#define CALL(operation, handler, METHOD, pattern, OPCODE, status, path, query, body, done)                             \
    {#operation, HTTP_METHOD_##METHOD, pattern, USHER_OPCODE_##OPCODE, status, path, query, body, done},
#include "calls.def"
};
#define ROW_COUNT (sizeof rows / sizeof *rows)

const struct call_row *
call_row_named(const char *operation)
{
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (strcmp(rows[i].operation, operation) == 0)
            return &rows[i];
    return NULL;
}

static const struct call_row *
row_of(const struct http_exchange *exchange)
{
    enum http_method method = http_method(exchange) == HTTP_METHOD_HEAD ? HTTP_METHOD_GET : http_method(exchange);

    for (size_t i = 0; i < ROW_COUNT; i++)
        if (rows[i].method == method && strcmp(rows[i].pattern, http_pattern(exchange)) == 0)
            return &rows[i];
    assert(!"a route of calls.def has its row there");
    return NULL;
}

/* --- what the request says ------------------------------------------------------------------------------------- */
/* One request at a time is read and submitted, so one struct is enough for all. */
static union {
    max_align_t align;
    uint8_t bytes[4096];
} scratch;

static void *
field_of(const usher_layout *layout, void *body, const char *name, void **count)
{
    for (size_t i = 0; i < layout->field_count; i++)
        if (strcmp(layout->fields[i].name, name) == 0) {
            *count = (char *)body + layout->fields[i].count_offset;
            return (char *)body + layout->fields[i].offset;
        }
    return NULL;
}

bool
call_take_token(struct call *call, const usher_layout *layout, void *request)
{
    static const struct words missing = {
        {"the header Authorization is missing: send the queue token, with or without Bearer before it",
         "Authorization 헤더가 없습니다. 대기열 토큰을 그대로 또는 Bearer 뒤에 붙여 보내세요"}};
    const char *text = http_header(call->exchange, "Authorization");
    void *count_at, *at = field_of(layout, request, "token", &count_at);
    usher_token token;
    uint16_t count;
    size_t size;

    if (text == NULL || *text == 0) {
        call_refuse(call, (struct problem){.code = PROBLEM_TOKEN_MISSING, .detail = missing});
        return false;
    }
    if (strncasecmp(text, "Bearer ", 7) == 0)
        text += 7 + strspn(text + 7, " ");
    if (!usher_base64_parse(text, at, sizeof((usher_place_request *)NULL)->token, &size) ||
        !usher_token_read(at, size, &token)) {
        call_refuse(call, (struct problem){.code = PROBLEM_TOKEN_MALFORMED});
        return false;
    }
    count = (uint16_t)size;
    memcpy(count_at, &count, sizeof count);
    user_id_from_uuid(&token.user, &call->user);
    return true;
}

static bool
take_key(struct call *call)
{
    const char *key = http_header(call->exchange, "Idempotency-Key");

    if (key != NULL && !request_key_is_sound(key)) {
        call_refuse(call, (struct problem){.code = PROBLEM_IDEMPOTENCY_KEY_INVALID});
        return false;
    }
    if (key != NULL)
        strcpy(call->key, key);
    else
        request_key_make(call->key);
    return true;
}

static bool
take_fields(struct call *call, const usher_layout *layout, void *request)
{
    struct reading reading = {.exchange = call->exchange, .layout = layout, .body = request, .user = &call->user};

    if (!read_path(&reading, call->row->path) || !read_query(&reading, call->row->query) ||
        !read_body(&reading, call->row->body)) {
        call_refuse(call, reading.problem);
        return false;
    }
    call->extra = reading.extra;
    return true;
}

struct call *
call_open(struct http_exchange *exchange, void **request, void (*begin)(void *request))
{
    struct call *call = http_memory(exchange, sizeof *call);
    const struct call_row *row = row_of(exchange);
    const usher_layout *layout = usher_message_of(row->opcode)->request;
    void *count, *id = field_of(layout, &scratch, "request_id", &count);
    bool is_command = id != NULL && row->method != HTTP_METHOD_GET;

    *call = (struct call){.exchange = exchange, .bridge = bridge_of(exchange), .row = row, .done = row->done};
    assert(layout->struct_size <= sizeof scratch);
    memset(&scratch, 0, layout->struct_size);
    if (begin != NULL)
        begin(&scratch);
    if (field_of(layout, &scratch, "token", &count) != NULL && !call_take_token(call, layout, &scratch))
        return NULL;
    if ((is_command && !take_key(call)) || !take_fields(call, layout, &scratch))
        return NULL;
    if (is_command) {
        request_key_id(&call->user.uuid, row->operation, call->key, &call->request_id);
        memcpy(id, &call->request_id, sizeof call->request_id);
    }
    *request = &scratch;
    return call;
}

/* --- to the server and back ------------------------------------------------------------------------------------- */
/* What a call that got no answer is to its client. */
static unsigned
code_of_status(const usher_completion *completion)
{
    if (completion->status == USHER_STATUS_HELLO_REFUSED && problem_find(completion->answer->result) != NULL)
        return completion->answer->result;
    if (completion->outcome != USHER_OUTCOME_MAYBE_APPLIED)
        return PROBLEM_SERVER_UNREACHABLE;
    return usher_id_is_zero(&completion->answer->request_id) ? PROBLEM_NO_ANSWER : PROBLEM_MAYBE_APPLIED;
}

static void
on_completion(usher_async *async, const usher_completion *completion)
{
    struct call *call = completion->context;
    const usher_answer *answer = completion->answer;

    (void)async;
    call->stamp_ms = answer->stamp_ms;
    if (completion->status != USHER_STATUS_ANSWERED) {
        call_refuse(call, (struct problem){.code = code_of_status(completion)});
        return;
    }
    call->is_replayed = answer->replayed;
    if (answer->result == USHER_OK)
        call->done(call, completion->reply);
    else if (answer->result == USHER_REQUEST_NOT_FOUND && call->on_not_found != NULL)
        call->on_not_found(call);
    else
        call_refuse(call, (struct problem){.code = answer->result, .refusal = &answer->refusal});
}

void
call_submit(struct call *call, uint16_t opcode, const void *request, call_done *done)
{
    /* LATER is asked again until the deadline, at another server when this one goes away. */
    static const usher_call_options options = {.retry_later = 1};
    usher_status status;

    call->done = done;
    status = usher_async_call(call->bridge->usher, opcode, request, &options, on_completion, call, NULL);
    if (status == USHER_STATUS_CLOSED)
        call_refuse(call, (struct problem){.code = PROBLEM_GOING_AWAY});
    else if (status != USHER_STATUS_ANSWERED)
        call_refuse(call, (struct problem){.code = PROBLEM_BRIDGE_BUSY});
}

void
call_handle(struct http_exchange *exchange)
{
    void *request;
    struct call *call = call_open(exchange, &request, NULL);

    if (call != NULL)
        call_submit(call, call->row->opcode, request, call->row->done);
}

void
call_keep(struct call *call, const void *request, size_t size)
{
    call->asked = http_memory(call->exchange, size);
    memcpy(call->asked, request, size);
}

void
paged_handle(struct http_exchange *exchange)
{
    void *request;
    struct call *call = call_open(exchange, &request, NULL);

    if (call == NULL)
        return;
    call_keep(call, request, usher_message_of(call->row->opcode)->request->struct_size);
    call_submit(call, call->row->opcode, request, call->row->done);
}

/* --- the answer -------------------------------------------------------------------------------------------------- */
static void
add_headers(struct call *call)
{
    if (*call->key != 0) {
        http_add_header(call->exchange, "Idempotency-Key", call->key);
        http_add_header(call->exchange, "Idempotency-Replayed", call->is_replayed ? "true" : "false");
    }
}

/* A weak mark before an etag does not matter here (RFC 9110). */
bool
call_is_known(const struct call *call)
{
    const char *list = http_header(call->exchange, "If-None-Match");
    size_t length = strlen(call->etag);

    if (list == NULL || length == 0)
        return false;
    for (const char *at = list; (at = strstr(at, call->etag)) != NULL; at += length)
        if (at[length] == 0 || strchr(", \t", at[length]) != NULL)
            return true;
    return false;
}

void
call_send(struct call *call, const char *content_type, const void *body, size_t size)
{
    struct http_response response = {
        .status = call->row->status, .content_type = content_type, .body = body, .size = size};

    if (call_is_known(call))
        response = (struct http_response){.status = 304};
    add_headers(call);
    if (*call->etag != 0)
        http_add_header(call->exchange, "ETag", call->etag);
    http_add_header(call->exchange, "Cache-Control", *call->etag != 0 ? "private, no-cache" : "no-store");
    json_decref(call->kept);
    http_respond(call->exchange, &response);
}

void
call_answer(struct call *call, json_t *answer)
{
    char *text;

    if (strncmp(call->row->pattern, "/v1/", 4) == 0)
        json_object_set_new(answer, "stamp_ms", json_integer((json_int_t)call->stamp_ms));
    text = json_dumps(answer, JSON_COMPACT | JSON_PRESERVE_ORDER);
    assert(text != NULL);
    json_decref(answer);
    call_send(call, "application/json", text, strlen(text));
    free(text);
}

void
call_refuse(struct call *call, struct problem problem)
{
    if (problem_find(problem.code) == NULL) /* of a newer server */
        problem.code = PROBLEM_OPCODE_UNKNOWN;
    problem.stamp_ms = call->stamp_ms;
    if (problem.code == PROBLEM_MAYBE_APPLIED)
        problem.idempotency_key = call->key;
    add_headers(call);
    json_decref(call->kept);
    problem_answer(call->exchange, &problem);
}

void
body_done(struct call *call, const void *reply)
{
    call_answer(call, body_json(usher_message_of(call->row->opcode)->reply, reply, BODY_FLAGS_AS_BOOLEANS));
}
