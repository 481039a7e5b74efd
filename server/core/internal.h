/* internal.h: what the files of the core share. Nobody else includes it.
 *
 *   core.c       the way of a command: request id, token's state, handler, remembering (M3, M4, M7)
 *   clock.c      the queue's sale clock and the tick
 *   line.c       join, place, leave; the life of a ticket; admission
 *   seat.c       the life of a seat; reserve, release, swap, holds
 *   best.c       which seats are the best
 *   points.c     the ledger; charge, balance, ledger
 *   payment.c    pay, refund, receipt, history
 *   catalogue.c  what users read; plan.c: seat plans, rows, prices
 *   organiser.c  what the organiser writes; policy.c, client.c
 *   report.c     lookup, info
 *   events.c     events, their consumers, and how long they are kept
 *   hint.c       what a request will look at, fetched before it is carried out
 *   audit.c      the invariants */
#ifndef CORE_INTERNAL_H
#define CORE_INTERNAL_H

#include <assert.h>
#include <string.h>

#include "protocol/codec.h"
#include "protocol/token.h"
#include "server/core/core.h"

#define CORE_KEY_ID        1     /* the key that tokens and receipts name */
#define CORE_QUEUES_MOST   1024u /* the tick looks at each queue */
#define CORE_CLIENTS_MOST  65536u
#define CORE_CONSUMERS_MOST 64u /* the tick looks at each */
#define CORE_PLAN_DATES_MOST 1000u /* dates that one change of a plan's size may touch */
#define CORE_SEATS_MOST    65536u
#define CORE_COMMAND_ADMITS 64u /* admissions that one command may set off; the tick does the rest */

struct core {
    struct store *store;
    uint64_t now_ms;
    bool changing; /* in a batch: due things may be ended and records put */
    const struct house_record *house; /* the store's, as it is now */
    uint32_t budget;           /* due ends and admissions that may still be done */
    uint64_t user_no;          /* of the asker, 0 if it is nobody or not seen yet */
    uint64_t ticket;           /* key of the asker's ticket, 0 without token */
    core_trace *trace;         /* of a query */
    usher_refusal refusal;
    uint64_t paid_by; /* the payment of the first reservation that was found paid */
    struct answer_row answer;
    uint64_t quiet_answer_no; /* the answer at the expiry's cursor was made at quiet_at_ms: no need to read it again */
    uint64_t quiet_at_ms;
    uint64_t quiet_event_no; /* the same of the oldest event */
    uint64_t quiet_event_at_ms;
    uint8_t *reply; /* room for the largest reply */
    size_t reply_size;
    size_t message_count;
    struct message_hints *hints; /* one for each message */
};

struct message_hints {
    size_t concert_offset; /* of concert_id in the request, SIZE_MAX if it has none */
    size_t id_offset;      /* of request_id */
    size_t date_offset;    /* of date_id */
    size_t seat_offset;    /* of the first seat */
    bool needs_user;       /* somebody must be meant: by a token or by name */
    bool money;            /* charge, pay, refund: refusals are remembered too (M4) */
};

typedef usher_result core_handler(struct core *core, const struct core_request *request, const void *body,
                                  void *reply);
#define HANDLER_CONNECTION(name)
#define HANDLER_QUERY(name)    core_handler core_##name;
#define HANDLER_COMMAND(name)  core_handler core_##name;
#define HANDLER_INTERNAL(name) core_handler core_##name;
#define HANDLER_WATCH(name) /* subscriptions are net's: it asks the core what a poll would */
#define USHER_MESSAGE(opcode, NAME, name, KIND, token, claims, roles, bare, summary) HANDLER_##KIND(name)
#include "protocol/messages.def"

/* --- core.c --- */
static inline bool
is_nobody(const usher_uuid *uuid)
{
    static const usher_uuid nobody;
    return memcmp(uuid, &nobody, sizeof nobody) == 0;
}
static inline uint64_t
house_policy(const struct core *core, enum house_policy policy)
{
    return core->house->policy[policy];
}
/* The house's record for changing. */
struct house_record *core_house(struct core *core);
/* The asker's user, made at first sight. */
uint64_t core_user_at_first_sight(struct core *core, const usher_uuid *uuid);
/* Refuse with a moment at which it ends: fills until_ms and retry_after_ms. */
usher_result core_refuse_until(struct core *core, usher_result result, uint64_t until_ms);
usher_result core_refuse_detail(struct core *core, usher_result result, uint64_t detail);
/* The sales channel whose blocked seats the asker may sell: a terminal's own, 0 for none (H8). */
static inline uint16_t
core_channel(const struct core_request *request)
{
    return request->asker.role == USHER_ROLE_TERMINAL ? request->asker.channel : 0;
}
/* Add a seat to the refusal's list, as long as there is room. */
void core_conflict(struct core *core, uint32_t seat_no, usher_result result, uint64_t until_ms);
/* Append an event; number, moment and the user's UUID are filled in here. */
void core_emit(struct core *core, enum usher_event_kind kind, uint64_t user_no, struct event_row event);

/* --- clock.c --- */
/* The queue's sale time now; it stands still while the queue is frozen. */
uint64_t queue_sale_ms(const struct core *core, const struct queue_record *queue);
/* When a deadline is over, in sale time: itself, or the end of the grace that a downtime gave it (X2). */
uint64_t queue_due(const struct queue_record *queue, uint64_t due);
/* Whether it is over now: at its moment, not after it. */
bool queue_is_over(const struct core *core, const struct queue_record *queue, uint64_t due);
/* The moment at which it will be over, 0 while frozen, when nobody knows. */
uint64_t queue_moment_ms(const struct queue_record *queue, uint64_t due);
/* Nobody was alive since this moment: record the grace with every queue. */
void queues_put_off(struct core *core, uint64_t down_since_ms);
/* Whether something of this queue is due and not ended yet: the tick's bound was reached. */
bool queue_has_backlog(const struct core *core, const struct queue_record *queue);
/* End what is due everywhere and admit, within the budget. True if anything changed. */
bool core_tick_all(struct core *core);
/* End what is due of this user, so that the truth does not wait for the tick. */
void core_end_due_of_user(struct core *core, uint64_t user_no);

/* --- line.c --- */
#define TICKET_KEY(queue_no, position) ((uint64_t)(queue_no) << 40 | (position))
#define TICKET_QUEUE_NO(key)           ((key) >> 40)
#define TICKET_POSITION(key)           ((key) & ((UINT64_C(1) << 40) - 1))
bool ticket_is_live(const struct ticket_record *ticket);
/* The key of the next live ticket of its user, 0 for none. */
static inline uint64_t
ticket_next(const struct store *store, const struct ticket_record *ticket)
{
    const struct link_record *link = ticket->linked ? store_see_link(store, ticket->key) : NULL;

    return link == NULL ? 0 : link->next;
}
/* Its state now: a live ticket that is due counts as EXPIRED. */
enum usher_place_state ticket_state_now(const struct core *core, const struct queue_record *queue,
                                        const struct ticket_record *ticket);
/* A hold is taken under this ticket: brings the hold's end within the ticket's last moment and keeps the ticket active
 * beyond it for hold_grace_ms, never past active_total_ms (Q7). */
void ticket_extend(struct core *core, uint64_t key, uint64_t *hold_due);
/* End a live ticket: releases its holds, frees the slot and admits the next (Q4, Q7). */
void ticket_end(struct core *core, uint64_t key, enum usher_place_state state);
/* Mark an active ticket as claimed (Q5). */
void ticket_claim(struct core *core, uint64_t key);
/* Admit from the queue's head what its policies allow, at most `most` tickets touched. Returns how many were. */
uint32_t queue_admit(struct core *core, uint64_t queue_no, uint32_t most);
/* The moment at which queue_admit has work, UINT64_MAX for none. */
uint64_t queue_admission_ms(const struct core *core, const struct queue_record *queue);
enum usher_sale queue_sale(const struct core *core, const struct queue_record *queue);
/* The moment to come at which the last sale with a seat left ends and those who wait get their definite answer (Q10);
 * UINT64_MAX if it makes no difference to anybody. */
uint64_t queue_sale_ends_ms(const struct core *core, const struct queue_record *queue);
/* What a waiter at this rank is told: the wait, and when to ask again (Q11). */
uint64_t queue_estimate_ms(const struct core *core, const struct queue_record *queue, uint64_t rank);
uint64_t queue_next_poll_ms(const struct core *core, const struct queue_record *queue, uint64_t rank,
                            uint64_t position);

/* --- seat.c --- */
#define BLOCK_KEY(date_no, index)     ((uint64_t)(date_no) << 16 | (index))
#define NOTE_KEY(date_no, seat_no)    ((uint64_t)(date_no) << 32 | (seat_no))
#define OWNED_KEY(user_no, date_no)   ((uint64_t)(user_no) << 32 | (date_no))
#define SEAT_BLOCK(date_no, seat_no)  BLOCK_KEY(date_no, ((seat_no)-1) / BLOCK_SEATS)
#define SEAT_BIT(seat_no)             (UINT64_C(1) << (((seat_no)-1) % BLOCK_SEATS))
#define SEAT_SLOT(seat_no)            (((seat_no)-1) % BLOCK_SEATS)
enum seat_state { SEAT_FREE, SEAT_HELD, SEAT_SOLD, SEAT_BLOCKED };
/* The seat's state now: a hold that is due counts as over. *hold gets the live hold if it is HELD. */
enum seat_state seat_state_now(const struct core *core, const struct queue_record *queue,
                               const struct block_record *block, uint32_t seat_no, struct hold_record *hold);
/* The free seats of a block now, a bit for each. */
uint64_t block_free_now(const struct core *core, const struct queue_record *queue, const struct block_record *block);
/* The blocked seats of a block that this channel may sell now, a bit for each; none for channel 0. */
uint64_t block_of_channel_now(const struct core *core, const struct queue_record *queue,
                              const struct block_record *block, uint16_t channel);
bool hold_is_over(const struct core *core, const struct queue_record *queue, const struct hold_record *hold);
/* End a hold unpaid and say why (ENDED_EXPIRED, ...). */
void hold_end(struct core *core, uint64_t reservation_id, enum ended_how how);
/* Take a hold off its seat's user's list and out of the store; the seat itself is the caller's. */
void hold_remove(struct core *core, const struct hold_record *hold, enum ended_how how, uint64_t payment_id);
/* A seat on which a block stands was given up: it is blocked again, not free (H8). */
void seat_blocked_again(struct core *core, uint64_t date_no, uint32_t seat_no);
/* A seat that is held past its end is freed now. */
void seat_end_due(struct core *core, const struct queue_record *queue, uint64_t date_no, uint32_t seat_no);
void user_owns(struct core *core, uint64_t user_no, uint64_t date_no, int change);
/* What a request to hold seats asks for, and the holds that it made. */
struct seat_wish {
    const struct date_record *date;
    const struct queue_record *queue;
    const uint32_t *seat;
    uint32_t seat_count;
    const uint64_t *giving_up; /* reservations that are given up for them (swap) */
    uint32_t giving_up_count;
    uint64_t end_due; /* 0: as the policy has it */
    uint16_t channel; /* whose blocked seats it may have; 0 for none */
};
usher_result seats_check(struct core *core, const struct seat_wish *wish);
uint64_t seats_take(struct core *core, const struct seat_wish *wish, usher_hold *hold, uint16_t *hold_count);
/* The date is of this queue, not frozen, not past, in its window. */
usher_result date_on_sale(struct core *core, const struct date_record *date, const struct queue_record *queue);
void hold_describe(const struct core *core, const struct hold_record *hold, usher_hold *out);
/* The state of a reservation that is not live: RESERVATION_NOT_FOUND, NOT_YOURS, ALREADY_PAID or HOLD_EXPIRED. */
usher_result reservation_gone(struct core *core, uint64_t reservation_id);
/* What follows from the results of several reservations: fills in the payment of ALREADY_PAID. */
usher_result reservation_refuse(struct core *core, usher_result result);
/* A live hold of the asker's, in the queue of its token; else why not. */
usher_result reservation_find(struct core *core, uint64_t reservation_id, struct hold_record *hold);
/* Of several results the one that stands highest in results.def; OK only if all are. */
usher_result result_first(usher_result one, usher_result other);

/* --- best.c --- */
/* Choose count seats; writes them ascending. OK, NOT_ENOUGH_SEATS or NOT_TOGETHER. */
usher_result best_seats(struct core *core, const struct date_record *date, const struct queue_record *queue,
                        uint32_t count, uint8_t grade, bool together, uint32_t *seat);

/* --- points.c --- */
/* Move points between the house and a user; amount is the user's leg. Limits were checked before. */
uint64_t points_transfer(struct core *core, uint64_t user_no, enum usher_entry_kind kind, int64_t amount,
                         uint64_t payment_id, uint64_t refund_id);

/* --- catalogue.c, plan.c --- */
usher_result date_find(struct core *core, uint32_t concert_id, uint32_t date_id, struct date_record *date);
const struct queue_record *queue_of_date(const struct core *core, const struct date_record *date);
/* The date's seats by state, as they are now: a hold that is due counts as over. */
struct store_counts date_counts_now(const struct core *core, const struct date_record *date);
/* The grade of a seat; the plan must have it. */
uint8_t plan_grade(const struct plan_record *plan, uint32_t seat_no);
int64_t date_price(const struct core *core, const struct date_record *date, uint32_t seat_no);
void plan_describe(const struct plan_record *plan, usher_section *section, uint16_t *count);
/* Make, extend or cut the blocks of a date to this many seats. The seats that go must be free. */
void date_resize(struct core *core, uint64_t date_no, uint32_t from_count, uint32_t to_count);
void catalogue_changed(struct core *core, uint32_t queue_id, uint32_t concert_id, uint32_t date_id);

/* --- events.c --- */
/* Drop what needs not be kept any more, a bounded number. True if any was. */
bool events_drop(struct core *core);
/* What the kept events count against event_bytes_max. */
uint64_t events_bytes(const struct house_record *house);
/* Past the bound, and the history has not come to the oldest yet. */
bool events_are_overdue(const struct core *core, uint64_t history_event_no);

/* --- policy.c --- */
uint64_t queue_policy(const struct queue_record *queue, enum queue_policy policy);
/* Whether its policies and the house's don't contradict each other (Q6, Q7). */
bool queue_fits(const struct core *core, const struct queue_record *queue);

#endif
