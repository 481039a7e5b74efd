/* async_buy.h: a buyer on an asynchronous handle, which may be one of many on it, who never gives up and never pays
 * twice. fake_buy.h is the same on a blocking client. */
#ifndef ASYNC_BUY_H
#define ASYNC_BUY_H

#include <stdbool.h>

#include "client-sdk/include/usher.h"

/* What is to be done next. */
enum async_buy_step {
    ASYNC_BUY_JOIN,
    ASYNC_BUY_PLACE,
    ASYNC_BUY_HOLD,
    ASYNC_BUY_CHARGE,
    ASYNC_BUY_PAY,
    ASYNC_BUY_LOOKUP,
    ASYNC_BUY_OVER
};

/* What the buyer has learnt; begin with zeros, a user and a queue. */
struct async_buy {
    usher_uuid user;
    uint32_t queue_id;
    enum async_buy_step step;
    usher_id request_id[ASYNC_BUY_OVER]; /* of each step's command, the same for every try */
    usher_join_reply place;
    usher_reserve_best_reply held;
    usher_pay_reply paid;
    usher_result result;                       /* once it is over */
    unsigned submitted, completed;             /* calls that were accepted, completions that came */
    unsigned unanswered, looked_up, surprises; /* a surprise: a completion that contradicts itself or the buyer */
    uint64_t call_no;                          /* of the call that runs; 0: none */
};

/* Do the next step, and from then on one after the other until the seat of concert 1, date 1 is paid for. When the
 * handle is closed meanwhile the buyer stops where it is: call this again with another handle. */
void async_buy_go(struct async_buy *buy, usher_async *async);

#endif
