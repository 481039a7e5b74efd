/* fake_buy.h: a buyer who never gives up and never pays twice, for tests against the fake house. */
#ifndef FAKE_BUY_H
#define FAKE_BUY_H

#include <stdbool.h>

#include "client-sdk/fake/include/usher_fake.h"
#include "client-sdk/include/usher.h"

/* What the buyer has learnt; begin with zeros and a user. */
struct fake_buy {
    usher_uuid user;
    usher_client *client;
    usher_join_reply place;
    usher_reserve_best_reply held;
    usher_pay_reply paid;
    unsigned calls, unanswered, looked_up;
};

/* Buy a seat of concert 1, date 1: join, wait, hold, charge, pay. Calls that get no answer are made again under their
 * request id, a payment is looked up first. Returns what the last step was answered: USHER_OK, or USHER_RESULT_NONE
 * when the patience of 200 calls is used up. */
usher_result fake_buy_seat(struct fake_buy *buy, const usher_options *options);

#endif
