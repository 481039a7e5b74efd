/* check_house.c: asks a real house for what check.c holds against it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/check/check.h"
#include "bench/common/many.h"

#define EVENT_ROUNDS 50 /* how often the house may have gone on while it was read */

/* --- events ------------------------------------------------------------------------------------------- */
static bool
read_events(struct house *house, struct check *check, uint64_t *cursor, char *why, size_t why_size)
{
    usher_events_request request = {.after_event_no = *cursor};
    usher_events_reply reply;

    do {
        if (!house_ask(house, USHER_OPCODE_EVENTS, &request, &reply, why, why_size))
            return false;
        for (uint16_t i = 0; i < reply.event_count; i++)
            check_event(check, &reply.event[i]);
        if (reply.event_count > 0)
            request.after_event_no = reply.event[reply.event_count - 1].event_no;
    } while (request.after_event_no < reply.last_event_no && reply.event_count > 0);
    *cursor = request.after_event_no;
    return true;
}

/* A house goes on by itself: places lapse, holds run out. Its figures must be of the moment of the last event. */
static bool
read_house(struct house *house, struct check *check, char *why, size_t why_size)
{
    const usher_info_request request = {.digest = USHER_FLAG_NO};
    usher_info_reply info;
    uint64_t cursor = 0;

    for (unsigned round = 0; round < EVENT_ROUNDS; round++) {
        if (!read_events(house, check, &cursor, why, why_size) ||
            !house_ask(house, USHER_OPCODE_INFO, &request, &info, why, why_size))
            return false;
        if (info.last_event_no == cursor)
            break;
    }
    check_info(check, &info);
    return true;
}

/* --- request ids -------------------------------------------------------------------------------------- */
struct looking {
    struct check *check;
    struct claims *claims;
    const size_t *at; /* which claims */
};

static void
make_lookup(void *context, size_t at, void *opaque)
{
    const struct looking *looking = context;
    const struct claim *claim = &looking->claims->claim[looking->at[at]];
    usher_lookup_request *request = opaque;

    request->user = claim->user;
    request->request_id = claim->request_id;
}

/* An unknown claim was applied, or it never was. */
static bool
settle(struct claim *claim, const usher_completion *completion)
{
    const usher_lookup_reply *found = completion->reply;
    struct claims effects = {NULL, 0, 0};
    static union {
        usher_join_reply join;
        usher_reserve_reply reserve;
        usher_pay_reply pay;
    } reply;
    struct heard heard = {.opcode = claim->opcode,
                          .user = claim->user,
                          .request_id = claim->request_id,
                          .status = USHER_STATUS_ANSWERED,
                          .result = USHER_OK,
                          .reply = &reply};

    if (completion->status != USHER_STATUS_ANSWERED)
        return false;
    if (found == NULL || found->result != USHER_OK) {
        claim->opcode = USHER_OPCODE_NONE;
        return completion->answer->result == USHER_REQUEST_NOT_FOUND || found != NULL;
    }
    if (!usher_lookup_read(found, &reply, NULL))
        return false;
    claims_hear(&effects, &heard);
    if (effects.count == 1)
        *claim = effects.claim[0];
    else
        claim->opcode = USHER_OPCODE_NONE;
    claims_free(&effects);
    return true;
}

static bool
take_lookup(void *context, size_t at, const usher_completion *completion)
{
    const struct looking *looking = context;
    struct claim *claim = &looking->claims->claim[looking->at[at]];

    if (completion->status != USHER_STATUS_ANSWERED)
        return false;
    if (claim->state == CLAIM_UNKNOWN)
        return settle(claim, completion);
    check_found(looking->check, claim, completion->reply);
    return completion->reply != NULL || completion->answer->result == USHER_REQUEST_NOT_FOUND;
}

/* Every unknown one, and of the others as many as were asked for, evenly. */
static size_t
choose(const struct claims *claims, size_t most, size_t *at)
{
    size_t step = claims->count / (most > 0 ? most : 1) + 1, count = 0;

    for (size_t i = 0; i < claims->count; i++)
        if (claims->claim[i].state == CLAIM_UNKNOWN || (most > 0 && i % step == 0))
            at[count++] = i;
    return count;
}

static bool
look_up(struct house *house, struct check *check, struct claims *claims, size_t most, char *why, size_t why_size)
{
    size_t *at = calloc(claims->count + 1, sizeof *at);
    struct looking looking = {check, claims, at};
    struct many many = {.house = house,
                        .secret = &house->admin_key,
                        .opcode = USHER_OPCODE_LOOKUP,
                        .make = make_lookup,
                        .take = take_lookup,
                        .context = &looking};
    bool asked;

    if (at == NULL)
        abort();
    many.count = choose(claims, most, at);
    asked = many_ask(&many, why, why_size);
    free(at);
    return asked;
}

/* --- balances ----------------------------------------------------------------------------------------- */
static void
make_balance(void *context, size_t at, void *opaque)
{
    const struct looking *looking = context;

    ((usher_balance_request *)opaque)->user = looking->claims->claim[looking->at[at]].user;
}

static bool
take_balance(void *context, size_t at, const usher_completion *completion)
{
    const struct looking *looking = context;

    if (completion->reply == NULL)
        return false;
    check_balance(looking->check, &looking->claims->claim[looking->at[at]].user,
                  ((const usher_balance_reply *)completion->reply)->balance);
    return true;
}

/* Of the users of charges and payments. */
static bool
look_at_balances(struct house *house, struct check *check, struct claims *claims, size_t most, char *why,
                 size_t why_size)
{
    size_t *at = calloc(claims->count + 1, sizeof *at), step = claims->count / (most > 0 ? most : 1) + 1;
    struct looking looking = {check, claims, at};
    struct many many = {.house = house,
                        .secret = &house->admin_key,
                        .opcode = USHER_OPCODE_BALANCE,
                        .make = make_balance,
                        .take = take_balance,
                        .context = &looking};
    bool asked;

    if (at == NULL)
        abort();
    for (size_t i = 0; i < claims->count; i += step)
        if (claims->claim[i].opcode != USHER_OPCODE_NONE)
            at[many.count++] = i;
    asked = many_ask(&many, why, why_size);
    free(at);
    return asked;
}

/* --- all of it ---------------------------------------------------------------------------------------- */
struct check *
check_house(struct house *house, struct claims *claims, size_t lookups, char *why, size_t why_size)
{
    struct check *check = check_make();

    if (!read_house(house, check, why, why_size) || !look_up(house, check, claims, lookups, why, why_size) ||
        !look_at_balances(house, check, claims, lookups, why, why_size)) {
        check_free(check);
        return NULL;
    }
    for (size_t i = 0; i < claims->count; i++)
        check_claim(check, &claims->claim[i]);
    check_finish(check);
    return check;
}
