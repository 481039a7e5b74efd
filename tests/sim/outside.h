/* outside.h: what must hold whatever the model thinks: recomputed from the events alone.
 *
 *   FIFO     positions are given one by one; users are admitted in exactly that order; nobody who waits is passed over
 *   ledger   balances are charges less payments plus refunds, a payment is the sum of its seats, and all sums to zero
 *   seats    one owner at a time: held only when free, sold only to who held it at the price of the hold, and what is
 *            free to these events is free to whoever asks */
#ifndef SIM_OUTSIDE_H
#define SIM_OUTSIDE_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/protocol.h"

struct outside;

struct outside *outside_open(void);
void outside_close(struct outside *outside);

/* Take the next event in. False: why says which rule it breaks. */
bool outside_take(struct outside *outside, const usher_event *event, char *why, size_t why_size);

/* How to ask the house; each fills the reply's struct and returns the result. */
struct outside_house {
    void *context;
    usher_result (*ask)(void *context, uint16_t opcode, const usher_uuid *user, const void *body, void *reply);
    bool is_swept; /* nothing is due: free seats are as the events say */
};
/* Compare what the events add up to with what the house answers. */
bool outside_check(struct outside *outside, const struct outside_house *house, char *why, size_t why_size);

#endif
