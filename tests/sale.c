/* sale.c: a small sale through commit.h. See sale.h. */
#include "tests/sale.h"

#include <stdio.h>
#include <string.h>

#include "protocol/codec.h"

#define CONCERT      1u
#define DATE         1u
#define HOUSE_ORDERS 4u
#define BATCH_MS     100u /* between two positions */

/* --- opening ------------------------------------------------------------------------------------------------ */
bool
sale_open(struct sale *sale, const struct store_options *options, char *why, size_t why_size)
{
    memset(sale, 0, sizeof *sale);
    if (options == NULL)
        sale->store = store_open_memory();
    else if (store_open(options, &sale->store, why, why_size) != STORE_OK)
        return false;
    sale->core = sale->store == NULL ? NULL : core_open(sale->store);
    sale->commit = sale->core == NULL ? NULL : commit_open(sale->store, sale->core);
    if (sale->commit != NULL)
        return true;
    snprintf(why, why_size, "no memory");
    sale_close(sale);
    return false;
}

void
sale_close(struct sale *sale)
{
    commit_close(sale->commit);
    core_close(sale->core);
    store_close(sale->store);
    memset(sale, 0, sizeof *sale);
}

enum store_outcome
sale_run(struct sale *sale)
{
    return commit_run(sale->commit, SALE_NOON + store_position(sale->store) * BATCH_MS);
}

enum store_outcome
sale_run_start(struct sale *sale)
{
    return commit_run_start(sale->commit, SALE_NOON + store_position(sale->store) * BATCH_MS);
}

enum store_outcome
sale_run_end(struct sale *sale)
{
    return commit_run_end(sale->commit);
}

/* --- the house ---------------------------------------------------------------------------------------------- */
bool
sale_add_house(struct sale *sale)
{
    static const struct core_asker admin = {.role = USHER_ROLE_ADMIN, .client_no = 1};
    usher_set_policy_request policy = {
        .request_id = sale_request_id(0, 0), .of_queue = USHER_FLAG_YES, .name = "admit_batch", .value = 100000};
    usher_put_plan_request plan = {.request_id = sale_request_id(0, 1), .plan_id = 1, .section_count = 1};
    usher_put_concert_request concert = {
        .request_id = sale_request_id(0, 2), .concert_id = CONCERT, .title = "The sale"};
    usher_put_date_request date = {.request_id = sale_request_id(0, 3),
                                   .concert_id = CONCERT,
                                   .date_id = DATE,
                                   .plan_id = 1,
                                   .starts_at_ms = SALE_NOON + 30 * UINT64_C(86400000),
                                   .price_count = 1,
                                   .price = {SALE_PRICE}};

    plan.section[0] = (usher_section){.name = "Hall", .first_row = 1, .row_count = 50, .seats_per_row = 50};
    return commit_add(sale->commit, usher_message_of(USHER_OPCODE_SET_POLICY), &admin, &policy, 0) &&
           commit_add(sale->commit, usher_message_of(USHER_OPCODE_PUT_PLAN), &admin, &plan, 1) &&
           commit_add(sale->commit, usher_message_of(USHER_OPCODE_PUT_CONCERT), &admin, &concert, 2) &&
           commit_add(sale->commit, usher_message_of(USHER_OPCODE_PUT_DATE), &admin, &date, 3);
}

bool
sale_took_house(const struct sale *sale)
{
    for (uint32_t i = 0; i < HOUSE_ORDERS; i++)
        if (commit_answer(sale->commit, i).result != USHER_OK)
            return false;
    return true;
}

/* --- buyers ------------------------------------------------------------------------------------------------- */
usher_id
sale_request_id(uint32_t number, unsigned step)
{
    const uint32_t words[4] = {0x5a1e, step, 0, number};
    usher_id id;

    memcpy(id.bytes, words, sizeof id.bytes);
    return id;
}

usher_uuid
sale_user(uint32_t number)
{
    usher_uuid user = {{0x5a, 0x1e}};

    memcpy(user.bytes + 12, &number, sizeof number);
    return user;
}

/* Who asks: the gateway with the buyer's token; the place is taken before there is one, a refund is made at the box
 * office. */
static struct core_asker
asker_of(const struct sale_buyer *buyer)
{
    bool at_box_office = buyer->step == SALE_REFUND;

    return (struct core_asker){
        .role = at_box_office ? USHER_ROLE_TERMINAL : USHER_ROLE_GATEWAY,
        .client_no = 1,
        .has_token = !at_box_office && buyer->step != SALE_JOIN,
        .position = at_box_office ? 0 : buyer->position,
        .user = sale_user(buyer->number),
    };
}

bool
sale_add(struct sale *sale, const struct sale_buyer *buyer)
{
    static const uint16_t opcodes[SALE_STEPS] = {USHER_OPCODE_JOIN, USHER_OPCODE_RESERVE, USHER_OPCODE_CHARGE,
                                                 USHER_OPCODE_PAY, USHER_OPCODE_REFUND};
    const struct core_asker asker = asker_of(buyer);
    const usher_id id = sale_request_id(buyer->number, buyer->step);
    const uint32_t first_seat = (buyer->number - 1) * SALE_SEATS + 1;
    const usher_join_request join = {.request_id = id, .user = asker.user};
    const usher_reserve_request reserve = {.request_id = id,
                                           .user = asker.user,
                                           .concert_id = CONCERT,
                                           .date_id = DATE,
                                           .seat_count = SALE_SEATS,
                                           .seat = {first_seat, first_seat + 1}};
    const usher_charge_request charge = {.request_id = id, .user = asker.user, .amount = 2 * SALE_SEATS * SALE_PRICE};
    const usher_pay_request pay = {.request_id = id,
                                   .user = asker.user,
                                   .reservation_count = SALE_SEATS,
                                   .reservation = {buyer->reservation[0], buyer->reservation[1]}};
    const usher_refund_request refund = {.request_id = id,
                                         .user = asker.user,
                                         .payment_id = buyer->payment_id,
                                         .reservation_count = 1,
                                         .reservation = {buyer->reservation[0]}};
    const void *const bodies[SALE_STEPS] = {&join, &reserve, &charge, &pay, &refund};

    return buyer->step < SALE_STEPS &&
           commit_add(sale->commit, usher_message_of(opcodes[buyer->step]), &asker, bodies[buyer->step], buyer->number);
}

bool
sale_take(const struct sale *sale, struct sale_buyer *buyer, uint32_t index)
{
    union {
        usher_join_reply join;
        usher_reserve_reply reserve;
        usher_charge_reply charge;
        usher_pay_reply pay;
        usher_refund_reply refund;
    } reply;
    struct commit_answer answer = commit_answer(sale->commit, index);
    unsigned field_no;

    memset(&reply, 0, sizeof reply);
    if (answer.result != USHER_OK || answer.tag != buyer->number ||
        usher_decode(usher_message_of(answer.opcode)->reply, answer.body, answer.body_size, &reply, &field_no) !=
            USHER_OK)
        return false;
    if (buyer->step == SALE_JOIN)
        buyer->position = reply.join.position;
    for (uint32_t seat = 0; buyer->step == SALE_RESERVE && seat < SALE_SEATS; seat++)
        buyer->reservation[seat] = reply.reserve.hold[seat].reservation_id;
    if (buyer->step == SALE_PAY)
        buyer->payment_id = reply.pay.payment_id;
    buyer->step++;
    return true;
}
