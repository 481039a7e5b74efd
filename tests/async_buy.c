/* async_buy.c: see async_buy.h. */
#include "async_buy.h"

#include <string.h>

#define CALLS_MOST 400

static void submit_next(struct async_buy *buy, usher_async *async);

/* Whether the payment was made, as the server remembers it under its id. */
static void
take_lookup(struct async_buy *buy, const usher_completion *completion)
{
    const usher_lookup_reply *found = completion->reply;
    usher_refusal refusal;

    if (completion->answer->result == USHER_REQUEST_NOT_FOUND) {
        buy->step = ASYNC_BUY_PAY;
        return;
    }
    buy->result = completion->answer->result;
    if (found != NULL)
        buy->result = usher_lookup_read(found, &buy->paid, &refusal) ? (usher_result)found->result : USHER_RESULT_NONE;
    buy->step = ASYNC_BUY_OVER;
}

/* A decision: keep what it says and go on to the next step. */
static void
take_answer(struct async_buy *buy, const usher_completion *completion)
{
    if (buy->step == ASYNC_BUY_LOOKUP) {
        take_lookup(buy, completion);
        return;
    }
    buy->result = completion->answer->result;
    if (completion->reply == NULL) {
        buy->step = ASYNC_BUY_OVER;
        return;
    }
    if (buy->step == ASYNC_BUY_JOIN) {
        buy->place = *(const usher_join_reply *)completion->reply;
        buy->step = buy->place.state == USHER_PLACE_WAITING ? ASYNC_BUY_PLACE : ASYNC_BUY_HOLD;
    } else if (buy->step == ASYNC_BUY_PLACE) {
        if (((const usher_place_reply *)completion->reply)->state != USHER_PLACE_WAITING)
            buy->step = ASYNC_BUY_HOLD;
    } else if (buy->step == ASYNC_BUY_HOLD) {
        buy->held = *(const usher_reserve_best_reply *)completion->reply;
        buy->step = ASYNC_BUY_CHARGE;
    } else if (buy->step == ASYNC_BUY_CHARGE) {
        buy->step = ASYNC_BUY_PAY;
    } else {
        buy->paid = *(const usher_pay_reply *)completion->reply;
        buy->step = ASYNC_BUY_OVER;
    }
}

static void
completed(usher_async *async, const usher_completion *completion)
{
    struct async_buy *buy = completion->context;

    buy->completed++;
    buy->surprises += completion->call_no != buy->call_no;
    buy->surprises += (completion->status == USHER_STATUS_ANSWERED) != (completion->outcome == USHER_OUTCOME_ANSWERED);
    buy->call_no = 0;
    if (completion->status == USHER_STATUS_ANSWERED && !completion->answer->retryable) {
        take_answer(buy, completion);
    } else {
        buy->unanswered++;
        if (buy->step == ASYNC_BUY_PAY && completion->outcome == USHER_OUTCOME_MAYBE_APPLIED)
            buy->step = ASYNC_BUY_LOOKUP;
    }
    submit_next(buy, async);
}

static void
submit(struct async_buy *buy, usher_async *async, uint16_t opcode, const void *request)
{
    if (buy->submitted == CALLS_MOST) {
        buy->step = ASYNC_BUY_OVER;
        buy->result = USHER_RESULT_NONE;
        return;
    }
    if (usher_async_call(async, opcode, request, NULL, completed, buy, &buy->call_no) == USHER_STATUS_ANSWERED)
        buy->submitted++;
}

static void
submit_next(struct async_buy *buy, usher_async *async)
{
    const usher_id *id = &buy->request_id[buy->step % ASYNC_BUY_OVER];
    const uint16_t count = buy->place.token_count;
    usher_join_request join = {.user = buy->user, .queue_id = buy->queue_id, .request_id = *id};
    usher_place_request place = {.token_count = count};
    usher_reserve_best_request best = {
        .concert_id = 1, .date_id = 1, .count = 1, .grade = USHER_GRADE_ANY, .request_id = *id, .token_count = count};
    usher_charge_request charge = {.amount = buy->held.hold[0].price, .request_id = *id, .token_count = count};
    usher_pay_request pay = {.reservation_count = 1,
                             .reservation = {buy->held.hold[0].reservation_id},
                             .request_id = *id,
                             .token_count = count};
    usher_lookup_request lookup = {.request_id = buy->request_id[ASYNC_BUY_PAY], .token_count = count};

    memcpy(place.token, buy->place.token, count);
    memcpy(best.token, buy->place.token, count);
    memcpy(charge.token, buy->place.token, count);
    memcpy(pay.token, buy->place.token, count);
    memcpy(lookup.token, buy->place.token, count);
    buy->looked_up += buy->step == ASYNC_BUY_LOOKUP;
    const struct {
        uint16_t opcode;
        const void *request;
    } steps[] = {
        [ASYNC_BUY_JOIN] = {USHER_OPCODE_JOIN, &join},
        [ASYNC_BUY_PLACE] = {USHER_OPCODE_PLACE, &place},
        [ASYNC_BUY_HOLD] = {USHER_OPCODE_RESERVE_BEST, &best},
        [ASYNC_BUY_CHARGE] = {USHER_OPCODE_CHARGE, &charge},
        [ASYNC_BUY_PAY] = {USHER_OPCODE_PAY, &pay},
        [ASYNC_BUY_LOOKUP] = {USHER_OPCODE_LOOKUP, &lookup},
    };
    if (buy->step != ASYNC_BUY_OVER)
        submit(buy, async, steps[buy->step].opcode, steps[buy->step].request);
}

void
async_buy_go(struct async_buy *buy, usher_async *async)
{
    if (buy->submitted == 0)
        for (unsigned i = 0; i < ASYNC_BUY_OVER; i++)
            usher_new_id(&buy->request_id[i]);
    else if (buy->step == ASYNC_BUY_PAY)
        buy->step = ASYNC_BUY_LOOKUP; /* what became of it, nobody here may know */
    submit_next(buy, async);
}
