/* fake_buy.c: see fake_buy.h. */
#include "fake_buy.h"

#include <string.h>
#include <time.h>

#define CALLS_MOST 200

/* Make a call until it is answered with a decision. */
static usher_result
insist(struct fake_buy *buy, const usher_options *options, uint16_t opcode, const void *request, void *reply)
{
    while (buy->calls++ < CALLS_MOST) {
        usher_status status;

        if (buy->client == NULL)
            usher_client_open(options, &buy->client);
        status = usher_call(buy->client, opcode, request, reply);
        if (status == USHER_STATUS_ANSWERED && !usher_client_answer(buy->client)->retryable)
            return usher_client_answer(buy->client)->result;
        buy->unanswered++;
        if (status == USHER_STATUS_BAD_ARGUMENT) { /* it never got as far as a connection */
            usher_client_close(buy->client);
            buy->client = NULL;
        }
    }
    return USHER_RESULT_NONE;
}

static usher_result
get_in(struct fake_buy *buy, const usher_options *options)
{
    usher_join_request join = {.user = buy->user, .queue_id = 1};
    usher_place_request ask = {.token_count = 0};
    usher_place_reply now = {.state = USHER_PLACE_WAITING};
    usher_result result;

    usher_new_id(&join.request_id);
    result = insist(buy, options, USHER_OPCODE_JOIN, &join, &buy->place);
    now.state = buy->place.state;
    ask.token_count = buy->place.token_count;
    memcpy(ask.token, buy->place.token, buy->place.token_count);
    while (result == USHER_OK && now.state == USHER_PLACE_WAITING)
        result = insist(buy, options, USHER_OPCODE_PLACE, &ask, &now);
    return result;
}

/* Whether the payment was made, as a client asks that has forgotten everything but the id. */
static usher_result
look_up_payment(struct fake_buy *buy, const usher_options *options, const usher_id *id)
{
    usher_lookup_request ask = {.request_id = *id, .token_count = buy->place.token_count};
    usher_lookup_reply found;
    usher_refusal refusal;
    usher_result result;

    memcpy(ask.token, buy->place.token, buy->place.token_count);
    buy->looked_up++;
    result = insist(buy, options, USHER_OPCODE_LOOKUP, &ask, &found);
    if (result != USHER_OK)
        return result;
    return usher_lookup_read(&found, &buy->paid, &refusal) ? (usher_result)found.result : USHER_RESULT_NONE;
}

static usher_result
pay(struct fake_buy *buy, const usher_options *options)
{
    usher_pay_request request = {.reservation_count = 1, .token_count = buy->place.token_count};
    usher_status status;

    usher_new_id(&request.request_id);
    request.reservation[0] = buy->held.hold[0].reservation_id;
    memcpy(request.token, buy->place.token, buy->place.token_count);
    status = usher_pay(buy->client, &request, &buy->paid);
    if (status == USHER_STATUS_MAYBE_APPLIED) {
        usher_result found = look_up_payment(buy, options, &request.request_id);
        if (found != USHER_REQUEST_NOT_FOUND)
            return found;
    }
    if (status == USHER_STATUS_ANSWERED && !usher_client_answer(buy->client)->retryable)
        return usher_client_answer(buy->client)->result;
    return insist(buy, options, USHER_OPCODE_PAY, &request, &buy->paid);
}

usher_result
fake_buy_seat(struct fake_buy *buy, const usher_options *options)
{
    usher_reserve_best_request best = {.concert_id = 1, .date_id = 1, .count = 1, .grade = USHER_GRADE_ANY};
    usher_charge_request charge = {.amount = 0};
    usher_charge_reply charged;
    usher_result result = get_in(buy, options);

    usher_new_id(&best.request_id);
    usher_new_id(&charge.request_id);
    best.token_count = charge.token_count = buy->place.token_count;
    memcpy(best.token, buy->place.token, buy->place.token_count);
    memcpy(charge.token, buy->place.token, buy->place.token_count);
    if (result == USHER_OK)
        result = insist(buy, options, USHER_OPCODE_RESERVE_BEST, &best, &buy->held);
    if (result == USHER_OK) {
        charge.amount = buy->held.hold[0].price;
        result = insist(buy, options, USHER_OPCODE_CHARGE, &charge, &charged);
    }
    if (result == USHER_OK)
        result = pay(buy, options);
    usher_client_close(buy->client);
    buy->client = NULL;
    return result;
}
