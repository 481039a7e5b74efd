/* claims.h: what a server has acknowledged, written down while it runs, to be held against what is there afterwards. */
#ifndef BENCH_CLAIMS_H
#define BENCH_CLAIMS_H

#include <stddef.h>

#include "bench/common/house.h"

enum claim_state {
    CLAIM_ACKNOWLEDGED,
    CLAIM_UNKNOWN /* sent, and no answer came: it may have been applied */
};

/* One effect of a command: a reservation of two seats makes two. */
struct claim {
    usher_uuid user;
    usher_id request_id;
    uint64_t number; /* JOIN: the place; RESERVE, RELEASE: the reservation; CHARGE: the ledger entry; PAY: the payment */
    int64_t amount;  /* CHARGE, PAY: points; RESERVE: the seat */
    uint32_t queue_id; /* JOIN */
    uint16_t opcode;
    uint16_t state;
};

struct claims {
    struct claim *claim;
    size_t count, room;
};

void claims_add(struct claims *claims, const struct claim *claim);
void claims_free(struct claims *claims);

/* Write down what was heard: acknowledged effects, and commands whose outcome is not known. What was refused or not sent
 * leaves nothing. Fits
 * house.witness; context: the claims. */
void claims_hear(void *context, const struct heard *heard);

#endif
