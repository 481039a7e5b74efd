/* request.c: the life of a call. It ends in exactly one completion, whatever happens on the way.
 *
 *     submit ──> WAITING ──put on the link──> FLYING ──reply──> completion
 *                   ^  │                        │ │
 *                   │  │       link lost        │ └─ LATER, to be retried ──> PAUSED ──> WAITING
 *                   │  │ <──────────────────────┘
 *                   │  └─ deadline, cancel, no connection to be had, close ──> OVER ──> completion
 *
 * `sent` decides what may be said at the end: it is set when an attempt ended without an answer although the whole
 * request had been handed to the system. A later attempt that is answered LATER ("nothing was done") says nothing about
 * the earlier one: such a request is asked again until its deadline, and is then "maybe applied". */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "client-sdk/src/async.h"

/* --- what is said at the end -------------------------------------------------------------------------- */
static bool
is_command(const struct usher_request *request)
{
    return request->kind == USHER_REQUEST_CALL && usher_message_of(request->opcode)->kind == USHER_MESSAGE_COMMAND;
}

/* The status of a call that ends without an answer. */
static usher_status
unanswered(const struct usher_async *async, const struct usher_request *request)
{
    if (request->sent)
        return is_command(request) ? USHER_STATUS_MAYBE_APPLIED : USHER_STATUS_NO_ANSWER;
    if (request->kind == USHER_REQUEST_CONNECT && async->enrol_sent && async->failure == USHER_STATUS_NOT_SENT)
        return USHER_STATUS_MAYBE_APPLIED;
    return async->failure;
}

/* The part of the answer that is there whatever happened. Room for a refusal takes a kilobyte, which is cleared only after
 * a refusal. */
static void
answer_begin(struct usher_async *async, const struct usher_request *request)
{
    usher_answer *answer = &async->answer;

    if (async->refusal_stands)
        memset(&answer->refusal, 0, sizeof answer->refusal);
    async->refusal_stands = false;
    answer->result = USHER_RESULT_NONE;
    answer->opcode = request->opcode;
    answer->replayed = answer->retryable = 0;
    answer->attempts = request->attempts;
    answer->stamp_ms = 0;
    memset(&answer->request_id, 0, sizeof answer->request_id);
    if (is_command(request)) /* every command's body begins with its id */
        memcpy(&answer->request_id, request->body, sizeof answer->request_id);
}

/* Put a refusal into words. */
static void
describe_refusal(const usher_answer *answer, char *error, size_t size)
{
    const usher_message *message = usher_message_of(answer->opcode);
    uint64_t field_no = answer->refusal.detail;
    const char *field = "";

    if (answer->result == USHER_FIELD_INVALID && field_no > 0 && field_no <= message->request->field_count)
        field = message->request->fields[field_no - 1].name;
    snprintf(error, size, "%s: %s%s%s", usher_result_name(answer->result), usher_result_text(answer->result),
             *field != 0 ? ": " : "", field);
}

/* Take a request out of everything but its table. */
static void
request_detach(struct usher_async *async, struct usher_request *request)
{
    usher_list_remove(&request->node);
    usher_timer_clear(async, request);
    if (request->state == USHER_REQUEST_FLYING)
        async->flying_count--;
    request->link = NULL;
}

/* Hand a completion whose answer is in async->answer to its owner; the request is gone afterwards, or in the queue. */
static void
complete(struct usher_async *async, struct usher_request *request, usher_status status, const void *reply,
         const char *error)
{
    usher_completion completion = {.call_no = request->number,
                                   .status = status,
                                   .outcome = request->sent ? USHER_OUTCOME_MAYBE_APPLIED : USHER_OUTCOME_NOT_SENT,
                                   .answer = &async->answer,
                                   .reply = reply,
                                   .error = error,
                                   .context = request->context};
    usher_completion_callback callback = request->callback;

    if (status == USHER_STATUS_ANSWERED)
        completion.outcome = USHER_OUTCOME_ANSWERED;
    async->delivered++;
    if (callback == NULL) {
        struct usher_parcel *parcel = request->parcel;
        parcel->answer = async->answer;
        snprintf(parcel->error, sizeof parcel->error, "%.*s", (int)sizeof parcel->error - 1, error);
        completion.answer = &parcel->answer;
        completion.error = parcel->error;
        parcel->completion = completion;
        request->state = USHER_REQUEST_OVER;
        usher_list_append(&async->fetchable, &request->node);
        return;
    }
    /* Its memory goes back first: the callback mostly submits another, for which it is just right. */
    usher_table_remove(&async->calls, request);
    usher_memory_give(&async->memory, request);
    usher_guard_callback_begins();
    callback(async, &completion);
    usher_guard_callback_ends();
}

/* --- submitting --------------------------------------------------------------------------------------- */
/* A command's body begins with its request id: make one when the caller left it zero. */
static void
settle_id(const usher_message *message, uint8_t *body)
{
    usher_id id;

    usher_insist(message->request->fields[0].kind == USHER_KIND_ID, "a command without a request id");
    memcpy(&id, body, sizeof id);
    if (!usher_id_is_zero(&id))
        return;
    usher_new_id(&id);
    memcpy(body, &id, sizeof id);
}

usher_status
usher_request_encode(struct usher_async *async, uint16_t opcode, const void *body, size_t *size)
{
    const usher_message *message = usher_message_of(opcode);
    char why[160];

    if (body == NULL)
        return usher_async_fail(async, USHER_STATUS_BAD_ARGUMENT, "%s: the request is NULL", message->name);
    if (!usher_check_body(message->request, body, async->wire, async->wire_size, async->checked, size, why, sizeof why))
        return usher_async_fail(async, USHER_STATUS_BAD_ARGUMENT, "%s", why);
    if (message->kind == USHER_MESSAGE_COMMAND)
        settle_id(message, async->wire);
    return USHER_STATUS_ANSWERED;
}

/* Whether the opcode is that of a call. */
static bool
is_call(uint16_t opcode)
{
    const usher_message *message = usher_message_of(opcode);

    return message != NULL && opcode != USHER_OPCODE_ENROL &&
           (message->kind == USHER_MESSAGE_QUERY || message->kind == USHER_MESSAGE_COMMAND);
}

/* Memory for a call: itself, its body behind it, and its parcel if it goes into the queue. */
static struct usher_request *
request_make(struct usher_async *async, uint16_t opcode, size_t body_size, bool queued)
{
    struct usher_request *request = async->memory.allocate(async->memory.context, sizeof *request + body_size);
    uint8_t *body = (uint8_t *)(request + 1);

    if (request == NULL)
        return NULL;
    memset(request, 0, sizeof *request);
    usher_list_clear(&request->node);
    request->due.due_ms = USHER_NEVER_MS;
    request->opcode = opcode;
    request->body_size = (uint32_t)body_size;
    request->body = body;
    memcpy(body, async->wire, body_size);
    if (queued) {
        size_t reply_size = usher_message_of(opcode)->reply->struct_size;
        request->parcel = usher_memory_take(&async->memory, sizeof *request->parcel + reply_size);
    }
    if ((!queued || request->parcel != NULL) && usher_timer_reserve(async) &&
        usher_table_add(async, &async->calls, request))
        return request;
    usher_memory_give(&async->memory, request->parcel);
    usher_memory_give(&async->memory, request);
    return NULL;
}

usher_status
usher_request_submit(struct usher_async *async, enum usher_request_kind kind, uint16_t opcode, const void *body,
                     const usher_call_options *options, usher_completion_callback callback, void *context,
                     uint64_t *number)
{
    static const usher_call_options usual;
    struct usher_request *request;
    usher_status status = USHER_STATUS_ANSWERED;
    size_t size = 0;
    uint64_t now_ms;

    if (options == NULL)
        options = &usual;
    if (!async->usable)
        return USHER_STATUS_BAD_ARGUMENT;
    if (async->closing)
        return usher_async_fail(async, USHER_STATUS_CLOSED, "the handle is being closed");
    if (options->unused[0] != 0 || options->unused[1] != 0)
        return usher_async_fail(async, USHER_STATUS_BAD_ARGUMENT, "the call's options: unused must be zero");
    if (kind == USHER_REQUEST_CALL && !is_call(opcode))
        return usher_async_fail(async, USHER_STATUS_BAD_ARGUMENT, "0x%04x is not the opcode of a call", opcode);
    if (kind == USHER_REQUEST_CALL)
        status = usher_request_encode(async, opcode, body, &size);
    if (status != USHER_STATUS_ANSWERED)
        return status;
    if (async->calls.count - async->flying_count >= async->waiting_max)
        return usher_async_fail(async, USHER_STATUS_QUEUE_FULL, "%u calls wait already", (unsigned)async->waiting_max);
    request = request_make(async, opcode, size, callback == NULL);
    if (request == NULL)
        return usher_async_fail(async, USHER_STATUS_NO_MEMORY, "there is not enough memory for a call");

    now_ms = usher_net_now_ms();
    request->kind = (uint8_t)kind;
    request->state = USHER_REQUEST_WAITING;
    request->callback = callback;
    request->context = context;
    request->fail_fast = async->fail_fast || options->fail_fast != 0;
    request->retry_later = async->retry_later || options->retry_later != 0;
    request->deadline_ms = now_ms + (options->timeout_ms != 0 ? options->timeout_ms : async->timeout_ms);
    usher_timer_set(async, request, request->deadline_ms);
    usher_list_append(&async->waiting, &request->node);
    if (number != NULL)
        *number = request->number;
    usher_async_submitted(async, now_ms);
    return USHER_STATUS_ANSWERED;
}

/* --- sending ------------------------------------------------------------------------------------------ */
/* Calls and subscriptions take turns, so that neither waits for all of the other. */
static struct usher_request *
next_to_send(struct usher_async *async)
{
    struct usher_list *first = async->watch_first ? &async->reopening : &async->waiting;
    struct usher_list *second = async->watch_first ? &async->waiting : &async->reopening;

    if (!usher_list_is_empty(first))
        return (struct usher_request *)first->next;
    if (!usher_list_is_empty(second))
        return (struct usher_request *)second->next;
    return NULL;
}

/* End a call: its completion comes with the next delivery. */
static void
request_over(struct usher_async *async, struct usher_request *request, usher_status status)
{
    request_detach(async, request);
    request->state = USHER_REQUEST_OVER;
    request->status = (uint8_t)status;
    usher_list_append(&async->over, &request->node);
}

/* Put one on the link; false when it takes no more. */
static bool
request_send(struct usher_link *link, struct usher_request *request, uint64_t now_ms)
{
    struct usher_async *async = link->async;
    uint32_t budget_ms = 0; /* of a subscription: none */

    if (request->kind == USHER_REQUEST_CALL)
        budget_ms = request->deadline_ms > now_ms ? (uint32_t)(request->deadline_ms - now_ms) : 1;
    if (usher_session_request(&link->session, request->opcode, request->body, request->body_size, budget_ms,
                              (uint64_t)(uintptr_t)request, &request->request_no) != USHER_SESSION_ACCEPTED)
        return false;
    if (usher_list_is_empty(&link->flying))
        link->heard_ms = now_ms; /* its silence counts from now */
    usher_list_remove(&request->node);
    usher_list_append(&link->flying, &request->node);
    request->state = USHER_REQUEST_FLYING;
    request->link = link;
    request->heard = link->heard;
    request->attempts++;
    async->watch_first = request->kind == USHER_REQUEST_CALL;
    async->flying_count += request->kind == USHER_REQUEST_CALL;
    return true;
}

void
usher_requests_send(struct usher_async *async, uint64_t now_ms)
{
    while (async->link != NULL && async->link->phase == USHER_LINK_READY) {
        struct usher_request *request = next_to_send(async);

        if (request == NULL)
            return;
        if (request->kind == USHER_REQUEST_CONNECT)
            request_over(async, request, USHER_STATUS_ANSWERED);
        else if (now_ms < async->silent_until_ms || !request_send(async->link, request, now_ms))
            return;
    }
}

void
usher_request_requeue(struct usher_request *request, struct usher_list *place)
{
    struct usher_async *async = request->link->async;

    usher_list_remove(&request->node);
    usher_list_insert(place, &request->node);
    request->state = USHER_REQUEST_WAITING;
    request->link = NULL;
    async->flying_count -= request->kind == USHER_REQUEST_CALL;
}

bool
usher_request_pause(struct usher_async *async, struct usher_request *request, uint64_t least_ms)
{
    uint64_t now_ms = usher_net_now_ms();
    uint64_t bound_ms = request->round < 16 ? (uint64_t)async->retry_ms_least << request->round : async->retry_ms_most;
    uint64_t pause_ms, left_ms;

    if (now_ms >= request->deadline_ms)
        return false;
    left_ms = request->deadline_ms - now_ms;
    if (bound_ms > async->retry_ms_most)
        bound_ms = async->retry_ms_most;
    pause_ms = randombytes_uniform((uint32_t)bound_ms + 1);
    if (pause_ms > left_ms / 2)
        pause_ms = left_ms / 2 + 1;
    if (pause_ms < least_ms)
        pause_ms = least_ms;
    if (pause_ms >= left_ms)
        return false;
    request_detach(async, request);
    request->state = USHER_REQUEST_PAUSED;
    request->round += request->round < 16;
    usher_timer_set(async, request, now_ms + pause_ms);
    return true;
}

/* --- answers ------------------------------------------------------------------------------------------ */
/* What an answer says about everything else that is to be sent. */
static void
heed(struct usher_link *link, const usher_answer *answer)
{
    struct usher_async *async = link->async;
    uint64_t pause_ms = answer->refusal.retry_after_ms;

    async->round = 0;
    if (answer->result == USHER_GOING_AWAY)
        usher_link_leave(link);
    if (answer->result != USHER_BUSY)
        return;
    if (pause_ms > async->retry_ms_most)
        pause_ms = async->retry_ms_most;
    async->silent_until_ms = usher_net_now_ms() + pause_ms;
}

bool
usher_request_reply(struct usher_link *link, struct usher_request *request, const struct usher_session_event *event)
{
    struct usher_async *async = link->async;
    usher_answer *answer = &async->answer;
    void *reply = request->callback == NULL ? request->parcel->reply : async->reply;
    char error[160];

    *error = 0;
    answer_begin(async, request);
    async->refusal_stands = event->result != USHER_OK;
    if (!usher_session_read(event, reply, &answer->refusal))
        return false;
    answer->result = event->result;
    answer->replayed = event->replayed;
    answer->retryable = usher_result_class_of(event->result) == USHER_CLASS_LATER;
    answer->stamp_ms = event->stamp_ms;
    request_detach(async, request);
    request->state = USHER_REQUEST_OVER;
    heed(link, answer);
    if (answer->retryable && (request->retry_later || (request->sent && is_command(request)))) {
        uint64_t after_ms = answer->refusal.retry_after_ms;

        if (usher_request_pause(async, request, after_ms > 0 ? after_ms : 1))
            return true;
        if (request->sent && is_command(request)) { /* "nothing was done" is true of this attempt alone */
            request_over(async, request, USHER_STATUS_MAYBE_APPLIED);
            return true;
        }
    }
    if (answer->result != USHER_OK)
        describe_refusal(answer, error, sizeof error);
    complete(async, request, USHER_STATUS_ANSWERED, answer->result == USHER_OK ? reply : NULL, error);
    return true;
}

/* Complete a call that has no answer. */
static void
complete_unanswered(struct usher_async *async, struct usher_request *request)
{
    usher_status status = (usher_status)request->status;
    const char *error = async->failure_text;

    answer_begin(async, request);
    if (status == USHER_STATUS_HELLO_REFUSED) {
        const usher_answer *refusal = &async->refusal;
        async->answer.result = refusal->result;
        async->answer.retryable = refusal->retryable;
        async->answer.stamp_ms = refusal->stamp_ms;
        async->answer.refusal = refusal->refusal;
        async->refusal_stands = true;
    }
    if (status == USHER_STATUS_ANSWERED) { /* a connection */
        async->answer.result = USHER_OK;
        error = "";
    } else if (*error == 0 || status == USHER_STATUS_CANCELLED) {
        error = usher_status_text(status);
    }
    complete(async, request, status, NULL, error);
}

void
usher_requests_deliver(struct usher_async *async)
{
    struct usher_list *node;

    while ((node = usher_list_take(&async->over)) != NULL)
        complete_unanswered(async, (struct usher_request *)node);
}

/* --- giving up ---------------------------------------------------------------------------------------- */
/* Take a request back from its link. True when the server can't have it. */
static bool
take_back(struct usher_request *request)
{
    if (request->state != USHER_REQUEST_FLYING)
        return true;
    if (usher_session_withdraw(&request->link->session, (uint64_t)(uintptr_t)request))
        return true;
    usher_session_forget(&request->link->session, (uint64_t)(uintptr_t)request);
    request->sent = true;
    return false;
}

static void
request_time_out(struct usher_async *async, struct usher_request *request)
{
    struct usher_link *link = request->link;
    uint32_t heard = request->heard;
    bool taken_back = take_back(request);

    request_over(async, request, unanswered(async, request));
    if (!taken_back)
        usher_link_suspect(link, heard);
}

void
usher_requests_expire(struct usher_async *async, uint64_t now_ms)
{
    struct usher_request *request;

    while ((request = usher_timer_past(async, now_ms)) != NULL) {
        if (now_ms >= request->deadline_ms) {
            request_time_out(async, request);
            continue;
        }
        usher_insist(request->state == USHER_REQUEST_PAUSED, "a timer without a reason");
        usher_timer_set(async, request, request->deadline_ms);
        request->state = USHER_REQUEST_WAITING;
        usher_list_append(request->kind == USHER_REQUEST_CALL ? &async->waiting : &async->reopening, &request->node);
    }
}

void
usher_requests_fail(struct usher_async *async, bool fast_only)
{
    for (uint32_t i = 0; i < async->calls.room; i++) {
        struct usher_request *request = async->calls.entry[i];

        if (request == NULL || (fast_only && !request->fail_fast))
            continue;
        if (request->state == USHER_REQUEST_WAITING || (request->state == USHER_REQUEST_PAUSED && !fast_only))
            request_over(async, request, unanswered(async, request));
    }
}

uint64_t
usher_requests_wait_until_ms(const struct usher_async *async)
{
    uint64_t latest_ms = 0;

    for (uint32_t i = 0; i < async->calls.room; i++) {
        const struct usher_request *request = async->calls.entry[i];
        if (request != NULL && request->state == USHER_REQUEST_WAITING && request->deadline_ms > latest_ms)
            latest_ms = request->deadline_ms;
    }
    return latest_ms;
}

int
usher_async_cancel(usher_async *async, uint64_t call_no)
{
    struct usher_request *request;
    bool found;

    if (async == NULL || !async->usable)
        return 0;
    usher_guard_enter(async->guard);
    request = usher_table_find(&async->calls, call_no);
    found = request != NULL && request->state != USHER_REQUEST_OVER;
    if (found) {
        take_back(request);
        request_over(async, request, USHER_STATUS_CANCELLED);
        usher_wake_now(async);
    }
    usher_guard_leave(async->guard);
    return found;
}

void
usher_requests_end(struct usher_async *async)
{
    struct usher_list *node;

    async->failure = USHER_STATUS_NOT_SENT;
    snprintf(async->failure_text, sizeof async->failure_text, "the handle was closed");
    for (uint32_t i = 0; i < async->calls.room; i++) {
        struct usher_request *request = async->calls.entry[i];
        if (request != NULL && request->state != USHER_REQUEST_OVER)
            request_over(async, request, unanswered(async, request));
    }
    usher_requests_deliver(async);
    if (async->fetched != NULL)
        usher_list_append(&async->fetchable, &async->fetched->node);
    while ((node = usher_list_take(&async->fetchable)) != NULL) {
        usher_memory_give(&async->memory, ((struct usher_request *)node)->parcel);
        usher_memory_give(&async->memory, node);
    }
}

/* --- the public side ---------------------------------------------------------------------------------- */
usher_status
usher_async_call(usher_async *async, uint16_t opcode, const void *request, const usher_call_options *call_options,
                 usher_completion_callback callback, void *context, uint64_t *call_no)
{
    usher_status status;

    if (async == NULL)
        return USHER_STATUS_BAD_ARGUMENT;
    usher_guard_enter(async->guard);
    status = usher_request_submit(async, USHER_REQUEST_CALL, opcode, request, call_options, callback, context, call_no);
    usher_guard_leave(async->guard);
    return status;
}

const usher_completion *
usher_async_next(usher_async *async)
{
    struct usher_request *request = NULL;

    if (async == NULL || !async->usable)
        return NULL;
    usher_guard_enter(async->guard);
    if (async->fetched != NULL) {
        usher_table_remove(&async->calls, async->fetched);
        usher_memory_give(&async->memory, async->fetched->parcel);
        usher_memory_give(&async->memory, async->fetched);
    }
    request = (struct usher_request *)usher_list_take(&async->fetchable);
    async->fetched = request;
    usher_guard_leave(async->guard);
    return request != NULL ? &request->parcel->completion : NULL;
}
