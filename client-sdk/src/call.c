/* call.c: the typed calls. */
#include "client-sdk/include/usher.h"

/* One row each, so that the compiler checks request and reply. */
#define CALL(name, NAME)                                                                                               \
    usher_status usher_##name(usher_client *client, const usher_##name##_request *request,                             \
                              usher_##name##_reply *reply)                                                             \
    {                                                                                                                  \
        return usher_call(client, USHER_OPCODE_##NAME, request, reply);                                                \
    }
/* clang-format off */
CALL(ping, PING)
CALL(join, JOIN)
CALL(place, PLACE)
CALL(leave, LEAVE)
CALL(concerts, CONCERTS)
CALL(dates, DATES)
CALL(seats, SEATS)
CALL(plan, PLAN)
CALL(reserve, RESERVE)
CALL(reserve_best, RESERVE_BEST)
CALL(release, RELEASE)
CALL(swap, SWAP)
CALL(holds, HOLDS)
CALL(charge, CHARGE)
CALL(balance, BALANCE)
CALL(pay, PAY)
CALL(refund, REFUND)
CALL(history, HISTORY)
CALL(receipt, RECEIPT)
CALL(ledger, LEDGER)
CALL(lookup, LOOKUP)
CALL(events, EVENTS)
CALL(put_consumer, PUT_CONSUMER)
CALL(acknowledge, ACKNOWLEDGE)
CALL(consumers, CONSUMERS)
CALL(remove_consumer, REMOVE_CONSUMER)
CALL(info, INFO)
CALL(figures, FIGURES)
CALL(put_queue, PUT_QUEUE)
CALL(set_mode, SET_MODE)
CALL(queues, QUEUES)
CALL(set_policy, SET_POLICY)
CALL(policies, POLICIES)
CALL(put_plan, PUT_PLAN)
CALL(plans, PLANS)
CALL(put_concert, PUT_CONCERT)
CALL(put_date, PUT_DATE)
CALL(block, BLOCK)
CALL(unblock, UNBLOCK)
CALL(invite, INVITE)
CALL(clients, CLIENTS)
CALL(revoke, REVOKE)
/* clang-format on */
