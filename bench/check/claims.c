/* claims.c: see claims.h. */
#include "claims.h"

#include <stdlib.h>

void
claims_add(struct claims *claims, const struct claim *claim)
{
    if (claims->count == claims->room) {
        claims->room = claims->room == 0 ? 4096 : claims->room * 2;
        claims->claim = realloc(claims->claim, claims->room * sizeof *claims->claim);
        if (claims->claim == NULL)
            abort();
    }
    claims->claim[claims->count++] = *claim;
}

void
claims_free(struct claims *claims)
{
    free(claims->claim);
    *claims = (struct claims){NULL, 0, 0};
}

/* --- a reply's effects -------------------------------------------------------------------------------- */
static void
claim_join(struct claims *claims, struct claim claim, const void *opaque)
{
    const usher_join_reply *reply = opaque;

    claim.number = reply->position;
    claim.queue_id = reply->queue_id;
    claims_add(claims, &claim);
}

static void
claim_reserve(struct claims *claims, struct claim claim, const void *opaque)
{
    const usher_reserve_reply *reply = opaque;

    for (uint16_t i = 0; i < reply->hold_count; i++) {
        claim.number = reply->hold[i].reservation_id;
        claim.amount = reply->hold[i].seat_no;
        claims_add(claims, &claim);
    }
}

static void
claim_charge(struct claims *claims, struct claim claim, const void *opaque)
{
    claim.number = ((const usher_charge_reply *)opaque)->entry_no;
    claims_add(claims, &claim);
}

static void
claim_pay(struct claims *claims, struct claim claim, const void *opaque)
{
    const usher_pay_reply *reply = opaque;

    claim.number = reply->payment_id;
    claim.amount = reply->amount;
    claims_add(claims, &claim);
}

/* RELEASE and LEAVE: that they were done is all there is to say. */
static void
claim_plain(struct claims *claims, struct claim claim, const void *opaque)
{
    (void)opaque;
    claims_add(claims, &claim);
}

static const struct {
    uint16_t opcode;
    void (*claim)(struct claims *, struct claim, const void *reply);
} rows[] = {
    {USHER_OPCODE_JOIN, claim_join},     {USHER_OPCODE_RESERVE, claim_reserve}, {USHER_OPCODE_RELEASE, claim_plain},
    {USHER_OPCODE_LEAVE, claim_plain},   {USHER_OPCODE_CHARGE, claim_charge},   {USHER_OPCODE_PAY, claim_pay},
};

void
claims_hear(void *context, const struct heard *heard)
{
    struct claim claim = {.user = heard->user, .request_id = heard->request_id, .opcode = heard->opcode};

    if (heard->status == USHER_STATUS_MAYBE_APPLIED) {
        claim.state = CLAIM_UNKNOWN;
        claims_add(context, &claim);
        return;
    }
    if (heard->status != USHER_STATUS_ANSWERED || heard->result != USHER_OK)
        return;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].opcode == heard->opcode)
            rows[i].claim(context, claim, heard->reply);
}
