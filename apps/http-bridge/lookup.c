/* lookup.c: what became of a request, by its Idempotency-Key (X3, M3). */
#include "handlers.h"

#include "../shared/body.h"

void
lookup_handle(struct http_exchange *exchange)
{
    static const struct words no_such = {{"is not an operation that takes a key", "열쇠를 받는 작업이 아닙니다"}};
    void *request;
    struct call *call = call_open(exchange, &request, NULL);
    const char *operation = http_parameter(exchange, "operation"), *key = http_parameter(exchange, "key");
    const struct call_row *row = call_row_named(operation);

    if (call == NULL)
        return;
    if (row == NULL || row->method == HTTP_METHOD_GET)
        call_refuse(call, (struct problem){.code = PROBLEM_FIELD_INVALID, .field = "operation", .detail = no_such});
    else if (!request_key_is_sound(key))
        call_refuse(call, (struct problem){.code = PROBLEM_IDEMPOTENCY_KEY_INVALID});
    else {
        request_key_id(&call->user.uuid, operation, key, &((usher_lookup_request *)request)->request_id);
        call_submit(call, USHER_OPCODE_LOOKUP, request, lookup_done);
    }
}

/* The first answer as JSON: as an answer, or as a problem; either is null when it is the other. */
static json_t *
json_found(const usher_lookup_reply *found, const void *reply, const usher_refusal *refusal, enum language language)
{
    const struct problem problem = {.code = found->result, .refusal = refusal};

    if (found->result == USHER_OK)
        return json_pack("{s:o, s:n}", "answer",
                         body_json(usher_message_of(found->opcode)->reply, reply, BODY_FLAGS_AS_BOOLEANS), "problem");
    return json_pack("{s:n, s:o?}", "answer", "problem",
                     problem_find(problem.code) != NULL ? problem_json(&problem, language) : NULL);
}

void
lookup_done(struct call *call, const void *reply)
{
    static union {
        max_align_t align;
        uint8_t bytes[4096];
    } opened;
    const usher_lookup_reply *found = reply;
    const usher_message *message = usher_message_of(found->opcode);
    enum language language = language_of(http_header(call->exchange, "Accept-Language"));
    usher_refusal refusal;
    json_t *answer, *rest;

    if (message == NULL || message->reply->struct_size > sizeof opened ||
        !usher_lookup_read(found, &opened, &refusal)) {
        call_refuse(call, (struct problem){.code = PROBLEM_OPCODE_UNKNOWN});
        return;
    }
    answer = json_pack("{s:s, s:s, s:I}", "operation", http_parameter(call->exchange, "operation"), "result",
                       usher_result_name(found->result), "at_ms", (json_int_t)found->at_ms);
    rest = json_found(found, &opened, &refusal, language);
    json_object_update(answer, rest);
    json_decref(rest);
    call_answer(call, answer);
}
