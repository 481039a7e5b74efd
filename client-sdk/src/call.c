/* call.c: one call: attempts until there is an answer or no more time, and what is known then.
 *
 *     connect ──> send ──> answer ──> ANSWERED
 *        │         │         └─ LATER, and options.retry_later: wait as it says, again (GOING_AWAY: elsewhere)
 *        │         └─ lost: wait, connect again, send the same request under the same request id
 *        └─ nobody there: wait, again (not with options.fail_fast)
 *
 * `sent` is the one thing that decides what may be said at the end: whether the whole request has once been handed to
 * the system without an answer that says that nothing was done. */
#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "client-sdk/src/client.h"

/* Leave the connection after the server said that it is stopping, by its push or in its answer, or ended it. */
static void
leave_if_going(struct usher_client *client)
{
    if (client->answer.result == USHER_GOING_AWAY)
        client->session.going_away = true;
    if (client->session.going_away || client->session.phase == USHER_SESSION_OVER)
        usher_link_close(client);
}

/* Put the answer's refusal into words. */
static void
describe_refusal(struct usher_client *client, const usher_message *message)
{
    const usher_answer *answer = &client->answer;
    uint64_t field_no = answer->refusal.detail;
    const char *field = "";

    if (answer->result == USHER_OK) {
        client->error[0] = 0;
        return;
    }
    if (answer->result == USHER_FIELD_INVALID && field_no > 0 && field_no <= message->request->field_count)
        field = message->request->fields[field_no - 1].name;
    snprintf(client->error, sizeof client->error, "%s: %s%s%s", usher_result_name(answer->result),
             usher_result_text(answer->result), *field != 0 ? ": " : "", field);
}

/* Send client->request on the connection and wait for its answer. */
static enum usher_attempt
attempt_request(struct usher_client *client, const usher_message *message, bool *sent)
{
    uint64_t now_ms = usher_net_now_ms();
    uint64_t left_ms = client->deadline_ms > now_ms ? client->deadline_ms - now_ms : 1;
    struct usher_session_event event;
    enum usher_session_admission admission;

    admission = usher_session_request(&client->session, message, client->request, (uint32_t)left_ms, 0);
    assert(admission == USHER_SESSION_ACCEPTED); /* one request at a time, checked before */
    (void)admission;
    client->answer.attempts++;
    do {
        enum usher_attempt outcome = usher_link_event(client, client->deadline_ms, &event, sent);
        if (outcome != USHER_ATTEMPT_DONE)
            return outcome;
    } while (event.kind == USHER_SESSION_EVENT_PUSH);

    if ((event.kind == USHER_SESSION_EVENT_REPLY || event.kind == USHER_SESSION_EVENT_REFUSED) &&
        usher_link_answer(client, &event, client->reply)) {
        if (event.kind == USHER_SESSION_EVENT_REPLY || !client->answer.retryable) {
            leave_if_going(client);
            return USHER_ATTEMPT_DONE;
        }
    }
    usher_client_fail(client, USHER_STATUS_NOT_SENT, "the server at %s broke off: %s",
                      client->address[client->address_no].text,
                      event.why != NULL ? event.why : "its answer can't be read");
    usher_link_close(client);
    return USHER_ATTEMPT_LOST;
}

static enum usher_attempt
attempt(struct usher_client *client, const usher_message *message, bool *sent)
{
    enum usher_attempt outcome = usher_link_open(client);

    if (outcome == USHER_ATTEMPT_LOST && client->fail_fast && client->failure == USHER_STATUS_NOT_SENT)
        return USHER_ATTEMPT_FINAL;
    if (outcome != USHER_ATTEMPT_DONE || message == NULL)
        return outcome;
    return attempt_request(client, message, sent);
}

/* Wait before the next attempt: a random time below a bound that doubles each round (full jitter), but at least
 * least_ms. Near the deadline it is cut in half instead of being given up. False when there is no time left for it. */
static bool
pause_before_next(struct usher_client *client, unsigned round, uint64_t least_ms)
{
    uint64_t now_ms = usher_net_now_ms();
    uint64_t bound_ms = round < 16 ? (uint64_t)client->retry_ms_least << round : client->retry_ms_most;
    uint64_t pause_ms, left_ms;

    if (now_ms >= client->deadline_ms)
        return false;
    left_ms = client->deadline_ms - now_ms;
    if (bound_ms > client->retry_ms_most)
        bound_ms = client->retry_ms_most;
    pause_ms = randombytes_uniform((uint32_t)bound_ms + 1);
    if (pause_ms > left_ms / 2)
        pause_ms = left_ms / 2 + 1;
    if (pause_ms < least_ms)
        pause_ms = least_ms;
    if (pause_ms >= left_ms && least_ms > 0)
        return false;
    usher_net_sleep_until(now_ms + pause_ms);
    return usher_net_now_ms() < client->deadline_ms;
}

/* What to return when there is no answer. */
static usher_status
give_up(struct usher_client *client, const usher_message *message, bool sent)
{
    usher_status failure = client->failure;

    if (message == NULL && client->enrol_sent && failure == USHER_STATUS_NOT_SENT)
        failure = USHER_STATUS_MAYBE_APPLIED;
    if (sent)
        failure = message->kind == USHER_MESSAGE_COMMAND ? USHER_STATUS_MAYBE_APPLIED : USHER_STATUS_NO_ANSWER;
    if (failure != USHER_STATUS_HELLO_REFUSED) {
        client->answer.result = USHER_RESULT_NONE;
        client->answer.replayed = client->answer.retryable = 0;
        client->answer.stamp_ms = 0;
        memset(&client->answer.refusal, 0, sizeof client->answer.refusal);
    }
    client->failure = failure;
    return failure;
}

usher_status
usher_client_run(struct usher_client *client, const usher_message *message, uint32_t timeout_ms)
{
    bool sent = false;

    client->deadline_ms = usher_net_now_ms() + timeout_ms;
    client->error[0] = 0;
    for (unsigned round = 0;; round++) {
        enum usher_attempt outcome = attempt(client, message, &sent);

        if (outcome == USHER_ATTEMPT_FINAL)
            return give_up(client, message, sent);
        if (outcome == USHER_ATTEMPT_LOST) {
            if (!pause_before_next(client, round, 0))
                return give_up(client, message, sent);
            continue;
        }
        if (message == NULL)
            return USHER_STATUS_ANSWERED;
        if (client->answer.retryable && client->retry_later) {
            uint64_t after_ms = client->answer.refusal.retry_after_ms;
            if (pause_before_next(client, round, after_ms > 0 ? after_ms : 1)) {
                sent = false; /* this server said that it did nothing */
                usher_client_fail(client, USHER_STATUS_NOT_SENT, "%s", usher_result_text(client->answer.result));
                continue;
            }
        }
        describe_refusal(client, message);
        return USHER_STATUS_ANSWERED;
    }
}

/* The request id of a command: where it stands in its struct. */
static usher_id *
request_id_of(const usher_message *message, void *request)
{
    const usher_field *field = &message->request->fields[0];

    assert(field->kind == USHER_KIND_ID); /* every command's first row */
    return (usher_id *)((char *)request + field->offset);
}

static usher_status
call(struct usher_client *client, uint16_t opcode, const void *request, void *reply)
{
    const usher_message *message = usher_message_of(opcode);
    uint32_t timeout_ms = client->next_timeout_ms != 0 ? client->next_timeout_ms : client->timeout_ms;
    usher_status status;
    char why[160];

    client->next_timeout_ms = 0;
    memset(&client->answer, 0, sizeof client->answer);
    client->answer.result = USHER_RESULT_NONE;
    client->answer.opcode = opcode;
    if (message == NULL || message->kind == USHER_MESSAGE_CONNECTION || message->kind == USHER_MESSAGE_INTERNAL ||
        message->kind == USHER_MESSAGE_WATCH || opcode == USHER_OPCODE_ENROL) {
        usher_client_fail(client, USHER_STATUS_BAD_ARGUMENT, "0x%04x is not the opcode of a call", opcode);
        return client->failure;
    }
    if (request == NULL || reply == NULL) {
        usher_client_fail(client, USHER_STATUS_BAD_ARGUMENT, "%s: the %s is NULL", message->name,
                          request == NULL ? "request" : "reply");
        return client->failure;
    }
    memcpy(client->request, request, message->request->struct_size);
    if (!usher_check_body(message->request, client->request, client->wire, USHER_FRAME_MAX - USHER_HEADER_SIZE,
                          client->checked, why, sizeof why)) {
        usher_client_fail(client, USHER_STATUS_BAD_ARGUMENT, "%s", why);
        return client->failure;
    }
    if (message->kind == USHER_MESSAGE_COMMAND) {
        usher_id *id = request_id_of(message, client->request);
        if (usher_id_is_zero(id))
            usher_new_id(id);
        client->answer.request_id = *id;
    }
    status = usher_client_run(client, message, timeout_ms);
    if (status == USHER_STATUS_ANSWERED && client->answer.result == USHER_OK)
        memcpy(reply, client->reply, message->reply->struct_size);
    return status;
}

usher_status
usher_call(usher_client *client, uint16_t opcode, const void *request, void *reply)
{
    usher_status status;
    bool was_busy;

    if (client == NULL)
        return USHER_STATUS_BAD_ARGUMENT;
    was_busy = atomic_flag_test_and_set(&client->busy);
    assert(!was_busy); /* one thread per client */
    (void)was_busy;
    if (client->address_count == 0) /* usher_client_open() failed */
        status = USHER_STATUS_BAD_ARGUMENT;
    else
        status = call(client, opcode, request, reply);
    atomic_flag_clear(&client->busy);
    return status;
}

/* The typed calls: one row each, so that the compiler checks request and reply. */
#define CALL(name, NAME)                                                                                               \
    usher_status usher_##name(usher_client *client, const usher_##name##_request *request,                             \
                              usher_##name##_reply *reply)                                                             \
    {                                                                                                                  \
        return usher_call(client, USHER_OPCODE_##NAME, request, reply);                                                \
    }
/* clang-format off */
CALL(ping, PING)
CALL(join, JOIN)
CALL(place, PLACE)
CALL(leave, LEAVE)
CALL(concerts, CONCERTS)
CALL(dates, DATES)
CALL(seats, SEATS)
CALL(plan, PLAN)
CALL(reserve, RESERVE)
CALL(reserve_best, RESERVE_BEST)
CALL(release, RELEASE)
CALL(swap, SWAP)
CALL(holds, HOLDS)
CALL(charge, CHARGE)
CALL(balance, BALANCE)
CALL(pay, PAY)
CALL(refund, REFUND)
CALL(history, HISTORY)
CALL(receipt, RECEIPT)
CALL(ledger, LEDGER)
CALL(lookup, LOOKUP)
CALL(events, EVENTS)
CALL(info, INFO)
CALL(put_queue, PUT_QUEUE)
CALL(set_mode, SET_MODE)
CALL(queues, QUEUES)
CALL(set_policy, SET_POLICY)
CALL(policies, POLICIES)
CALL(put_plan, PUT_PLAN)
CALL(plans, PLANS)
CALL(put_concert, PUT_CONCERT)
CALL(put_date, PUT_DATE)
CALL(block, BLOCK)
CALL(unblock, UNBLOCK)
CALL(invite, INVITE)
CALL(clients, CLIENTS)
CALL(revoke, REVOKE)
/* clang-format on */
