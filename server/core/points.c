/* points.c: the ledger (P1 to P3, M1, M2).
 *
 * Double entry: every transfer has a user's leg and the opposite leg of a house account, in one row that is only ever
 * appended. Charges come from top_ups, payments go to sales, refunds come back from there. So the sum over all accounts
 * is zero at every commit, and a balance is its last entry's running balance (ledger invariants P1, P2 of the audit). */
#include "server/core/internal.h"

uint64_t
points_transfer(struct core *core, uint64_t user_no, enum usher_entry_kind kind, int64_t amount, uint64_t payment_id,
                uint64_t refund_id)
{
    struct user_record user;
    struct house_record *house = core_house(core);
    int64_t *account = kind == USHER_ENTRY_CHARGE ? &house->top_ups : &house->sales;

    store_get_user(core->store, user_no, &user);
    user.balance += amount;
    *account -= amount;
    assert(user.balance >= 0);
    assert(user.balance <= USHER_POINTS_MAX);
    struct entry_row entry = {.entry_no = ++house->last_entry_no,
                              .at_ms = core->now_ms,
                              .user_no = (uint32_t)user_no,
                              .kind = (uint8_t)kind,
                              .amount = amount,
                              .user_balance = user.balance,
                              .house_balance = *account,
                              .previous_of_user = user.last_entry_no,
                              .payment_id = payment_id,
                              .refund_id = refund_id};
    store_append_entry(core->store, &entry);
    user.last_entry_no = entry.entry_no;
    store_put_user(core->store, &user);
    return entry.entry_no;
}

usher_result
core_charge(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_charge_request *ask = body;
    usher_charge_reply *reply = out;
    uint64_t most = house_policy(core, HOUSE_POLICY_charge_max);

    (void)request;
    if (ask->amount <= 0)
        return USHER_AMOUNT_INVALID;
    if ((uint64_t)ask->amount > most)
        return core_refuse_detail(core, USHER_AMOUNT_TOO_LARGE, most);
    int64_t balance = store_see_user(core->store, core->user_no)->balance;
    if (ask->amount > USHER_POINTS_MAX - balance)
        return core_refuse_detail(core, USHER_BALANCE_TOO_LARGE, (uint64_t)USHER_POINTS_MAX);

    reply->entry_no = points_transfer(core, core->user_no, USHER_ENTRY_CHARGE, ask->amount, 0, 0);
    reply->balance = balance + ask->amount;
    core_emit(core, USHER_EVENT_CHARGED, core->user_no, (struct event_row){.amount = ask->amount});
    return USHER_OK;
}

usher_result
core_balance(struct core *core, const struct core_request *request, const void *body, void *out)
{
    usher_balance_reply *reply = out;

    (void)request;
    (void)body;
    if (core->user_no != 0) /* whoever was never seen has no points */
        reply->balance = store_see_user(core->store, core->user_no)->balance;
    return USHER_OK;
}

static void
describe_entry(const struct entry_row *row, bool of_house, usher_entry *entry)
{
    *entry = (usher_entry){.entry_no = row->entry_no,
                           .at_ms = row->at_ms,
                           .kind = row->kind,
                           .amount = of_house ? -row->amount : row->amount,
                           .balance = of_house ? row->house_balance : row->user_balance,
                           .payment_id = row->payment_id};
}

usher_result
core_ledger(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_ledger_request *ask = body;
    usher_ledger_reply *reply = out;
    static const usher_uuid nobody;
    bool of_house = memcmp(&ask->user, &nobody, sizeof nobody) == 0;
    struct entry_row row;

    (void)request;
    uint64_t user_no = of_house ? 0 : store_find_user(core->store, &ask->user);
    if (!of_house && user_no == 0)
        return USHER_USER_NOT_FOUND;
    const struct user_record *user = of_house ? NULL : store_see_user(core->store, user_no);
    reply->balance = of_house ? core->house->top_ups + core->house->sales : user->balance;
    uint64_t entry_no = of_house ? core->house->last_entry_no : user->last_entry_no;
    if (ask->before_entry_no != 0 && entry_no >= ask->before_entry_no) {
        /* A page begins where the last one ended: that entry knows its predecessor. */
        if (!store_read_entry(core->store, ask->before_entry_no, &row) || (!of_house && row.user_no != user_no))
            return USHER_OK;
        entry_no = of_house ? row.entry_no - 1 : row.previous_of_user;
    }
    while (entry_no != 0 && reply->entry_count < sizeof reply->entry / sizeof *reply->entry) {
        if (!store_read_entry(core->store, entry_no, &row))
            break;
        describe_entry(&row, of_house, &reply->entry[reply->entry_count++]);
        entry_no = of_house ? entry_no - 1 : row.previous_of_user;
    }
    reply->more = entry_no != 0;
    return USHER_OK;
}
