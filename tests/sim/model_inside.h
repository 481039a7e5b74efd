/* model_inside.h: what the files of the model share; the generator looks in here too, to ask for what makes sense.
 *
 *   model.c        the way of a request: users, request ids, a token's state, events
 *   model_line.c   places in line, admission, the tick
 *   model_seat.c   seats and holds
 *   model_money.c  points, payments, refunds
 *   model_house.c  queues, policies, blocked seats, clients
 *   model_plan.c   plans, concerts, dates
 *   model_events.c events, who consumes them, which are kept
 *   model_read.c   what can only be read */
#ifndef SIM_MODEL_INSIDE_H
#define SIM_MODEL_INSIDE_H

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/model.h"

/* --- policies ------------------------------------------------------------------------------------------- */
enum model_house_policy {
#define HOUSE_(name) HOUSE_##name,
#define QUEUE_(name)
#define USHER_POLICY(SCOPE, name, usual, least, most, unit, help) SCOPE##_(name)
#include "protocol/policies.def"
#undef HOUSE_
#undef QUEUE_
    HOUSE_POLICIES
};
enum model_queue_policy {
#define HOUSE_(name)
#define QUEUE_(name) QUEUE_##name,
#define USHER_POLICY(SCOPE, name, usual, least, most, unit, help) SCOPE##_(name)
#include "protocol/policies.def"
#undef HOUSE_
#undef QUEUE_
    QUEUE_POLICIES
};
struct model_policy {
    const char *name;
    uint64_t usual, least, most;
    const char *unit;
};
extern const struct model_policy model_house_policies[HOUSE_POLICIES];
extern const struct model_policy model_queue_policies[QUEUE_POLICIES];

/* --- arrays that grow; all of them keep {at, count, room} ----------------------------------------------- */
#define LIST(type)          \
    struct {                \
        type *at;           \
        size_t count, room; \
    }
void *m_grown(void *at, size_t *room, size_t count, size_t size);
#define ADD(list, ...)                                                                                     \
    do {                                                                                                   \
        (list)->at = m_grown((list)->at, &(list)->room, (list)->count + 1, sizeof *(list)->at);        \
        (list)->at[(list)->count++] = (__VA_ARGS__);                                                       \
    } while (0)

/* --- what there is -------------------------------------------------------------------------------------- */
enum { NOBODY = 0, FORGOTTEN = 255 };

struct m_place {
    uint32_t user;
    uint8_t state; /* usher_place_state, or FORGOTTEN */
    uint64_t joined_ms, ends_ms;
    uint64_t since; /* of the admission */
    uint64_t due;   /* the lease's end, the active time's end, or when an ended place is forgotten */
    uint64_t claim; /* the admission's end unless it is used before; 0 for none */
};

/* A downtime (X2): deadlines from `from` on and before `ends` count as `ends`. */
struct m_grace {
    uint64_t from, ends;
};

/* Deadlines run by the queue's own clock, which stands still while the queue is frozen (Q9). */
struct m_queue {
    uint32_t id;
    uint8_t mode;
    char name[64];
    uint64_t policy[QUEUE_POLICIES];
    uint64_t frozen_since, frozen_sum;
    LIST(struct m_place) place; /* position - 1 */
    uint64_t oldest;            /* every place before this index is forgotten */
    uint64_t waiting, active, admitted;
    LIST(struct m_grace) grace;
    uint64_t interval_ms, interval_used; /* the admission interval: when it began, grants it has given */
};

enum m_seat_state { SEAT_IS_FREE, SEAT_IS_HELD, SEAT_IS_SOLD };
struct m_seat {
    uint8_t state;
    bool blocked;     /* with HELD: when the hold ends unpaid; with SOLD: when it is given back */
    bool through;     /* held or sold by a terminal of its block's channel */
    uint16_t channel; /* of its block */
    uint64_t reservation;
    uint64_t changes;
};

struct m_plan {
    uint32_t id, seat_count, date_count;
    uint16_t section_count;
    usher_section section[64];
};

struct m_seen {
    uint64_t changes, version;
};
struct m_date {
    uint32_t concert, id, queue, plan; /* indexes, but id */
    uint32_t seat_count;
    uint64_t starts_ms, opens_ms, closes_ms, refund_until_ms;
    int64_t price[8]; /* -1 for none */
    LIST(struct m_seat) seat;
    uint32_t sold, blocked; /* seats; blocked ones that are not sold at the same time */
    uint64_t resizes;
    LIST(struct m_seen) seen; /* versions that were told, by first block */
};

struct m_concert {
    uint32_t id, queue, date_count;
    char title[96], venue[64];
};

enum m_how { HOW_LIVE, HOW_EXPIRED, HOW_RELEASED, HOW_SWAPPED, HOW_FORCED, HOW_PAID };
struct m_hold {
    uint8_t how;
    uint32_t user, date, seat_no;
    uint64_t place; /* position under which it was taken, 0 for a terminal's; the queue is the date's */
    uint64_t due;
    int64_t price;
    uint64_t payment;
};

struct m_payment {
    uint32_t user;
    uint64_t at_ms;
    uint32_t seat_count;
    uint64_t reservation[16];
    bool refunded[16];
};

struct m_ref {
    uint32_t queue; /* its index */
    uint64_t position;
};
struct m_user {
    usher_uuid uuid;
    int64_t balance;
    LIST(struct m_ref) place; /* live ones, in the order of the joins */
    LIST(uint64_t) hold;      /* live ones, in the order of the holds */
    LIST(uint64_t) entry;
    LIST(usher_history_row) history;
};

struct m_entry {
    uint32_t user;
    uint64_t at_ms, payment;
    uint8_t kind;
    int64_t amount, user_balance, house_balance;
};

struct m_client {
    uint8_t role, state;
    uint16_t channel;
    char name[32];
    usher_key key, code_hash;
    uint64_t since_ms;
};

struct m_consumer {
    char name[32]; /* "": a free place */
    uint64_t event_no, since_ms, acknowledged_ms;
    uint32_t client_no;
};

struct m_answer {
    uint64_t scope;
    usher_id id;
    uint64_t body_hash;
    uint16_t opcode, result;
    bool for_ever, dropped;
    uint64_t at_ms;
    uint8_t *bytes;
    size_t size;
};

struct model {
    uint64_t now_ms, stamp_ms, batches, catalogue_version;
    uint64_t policy[HOUSE_POLICIES];
    LIST(struct m_queue) queue;
    LIST(struct m_plan) plan;
    LIST(struct m_concert) concert;
    LIST(struct m_date) date;
    LIST(struct m_user) user;       /* index = number; 0 is nobody */
    LIST(struct m_hold) hold;       /* index = reservation; 0 is none */
    LIST(uint64_t) live;            /* reservations that are held */
    LIST(struct m_payment) payment; /* index = payment */
    LIST(struct m_entry) entry;     /* index = entry */
    LIST(struct m_client) client;   /* index = client */
    LIST(usher_event) event;        /* index = event - 1 */
    LIST(struct m_answer) answer;   /* index = answer */
    uint64_t refunds, consumed, first_answer, answers_kept;
    struct m_consumer consumer[64];
    uint64_t events_gone, events_at_tick; /* how many are no longer kept; how many there were at the last tick */
    uint64_t history_known;               /* what the house was told of how far the history has come */
    int64_t top_ups, sales;
    struct m_map {
        uint64_t *keys;
        uint32_t *values;
        size_t room, count;
    } users, answers;
    bool resuming; /* nobody was alive since the last stamp */
    uint32_t budget;
    /* the request at hand */
    bool querying;
    uint32_t asker;  /* 0 for nobody, or nobody seen before */
    bool has_place;  /* the token's place was found: */
    uint32_t queue_at;
    uint64_t position;
    usher_touch_request *touch;
    usher_refusal refusal;
    uint64_t paid_by;
    uint64_t unsettled; /* the answer whose bytes have not come yet */
    void *reply;
    size_t reply_size;
};

#define COMMAND_ADMISSIONS 64u /* OPEN: that one command may set off; the tick does the rest */

/* --- model.c --- */
typedef usher_result model_handler(struct model *model, const struct model_request *request, const void *body,
                                   void *out);
/* One for each message that is no matter of the connection: model_join and so on. */
#define HANDLER_CONNECTION(name)
#define HANDLER_QUERY(name)    model_handler model_##name;
#define HANDLER_COMMAND(name)  model_handler model_##name;
#define HANDLER_INTERNAL(name) model_handler model_##name;
#define HANDLER_WATCH(name)
#define USHER_MESSAGE(opcode, NAME, name, KIND, token, claims, roles, bare, summary) HANDLER_##KIND(name)
#include "protocol/messages.def"
#undef HANDLER_CONNECTION
#undef HANDLER_QUERY
#undef HANDLER_COMMAND
#undef HANDLER_INTERNAL
#undef HANDLER_WATCH
usher_result m_refuse(struct model *model, usher_result result, uint64_t detail);
usher_result m_refuse_until(struct model *model, usher_result result, uint64_t until_ms);
void m_emit(struct model *model, enum usher_event_kind kind, uint32_t user, usher_event event);
uint32_t m_user_find(const struct model *model, const usher_uuid *uuid); /* 0 if it was never seen */
uint32_t m_map_find(const struct m_map *map, uint64_t key);
void m_map_put(struct m_map *map, uint64_t key, uint32_t value);
struct m_answer *m_answer_find(struct model *model, uint64_t scope, const usher_id *id);

/* --- model_line.c --- */
uint64_t m_sale_now(const struct model *model, const struct m_queue *queue);
bool m_is_over(const struct model *model, const struct m_queue *queue, uint64_t due);
uint64_t m_moment(const struct m_queue *queue, uint64_t due); /* 0 while frozen */
struct m_queue *m_queue_find(struct model *model, uint32_t id);
struct m_queue *m_queue_next(struct model *model, int64_t after_id); /* by ascending id, -1 for the first; or NULL */
struct m_place *m_place_at(struct m_queue *queue, uint64_t position); /* NULL if there is none or it is forgotten */
uint64_t m_place_due(const struct m_place *place);
bool m_place_is_live(const struct m_place *place);
/* usher_place_state as it is now, swept or not. */
uint8_t m_place_state(const struct model *model, const struct m_queue *queue, const struct m_place *place);
uint64_t m_rank(const struct m_queue *queue, uint64_t position);
uint8_t m_sale(struct model *model, const struct m_queue *queue);
bool m_is_sold_out(struct model *model, const struct m_queue *queue);
void m_place_end(struct model *model, struct m_queue *queue, uint64_t position, uint8_t state);
void m_place_extend(struct model *model, struct m_queue *queue, uint64_t position, uint64_t *hold_due);
void m_admit(struct model *model, struct m_queue *queue, uint32_t most);
void m_end_due_of_user(struct model *model, uint32_t user);

/* --- model_events.c --- */
bool m_drop_events(struct model *model); /* at a tick; whether any went */
uint64_t m_event_bytes(const struct model *model);

/* --- model_seat.c --- */
struct m_queue *m_queue_of(struct model *model, const struct m_date *date);
bool m_hold_is_due(struct model *model, const struct m_hold *hold);
void m_hold_over(struct model *model, uint64_t reservation, enum m_how how);
void m_hold_out(struct model *model, uint64_t reservation, enum m_how how);
void m_seat_sweep(struct model *model, struct m_date *date, uint32_t seat_no);
/* Every change of a seat goes through here, so that what is counted of a date is right. */
void m_seat_set(struct m_date *date, uint32_t seat_no, enum m_seat_state state, bool blocked, uint64_t reservation);
uint16_t m_channel(const struct model_request *request); /* whose blocked seats the asker may have; 0 for none */
void m_emit_of_seat(struct model *model, enum usher_event_kind kind, uint32_t user, const struct m_date *date,
                    uint32_t seat_no, uint64_t reservation, int64_t amount);
/* What a seat is to somebody who looks at it now. */
enum m_looks { LOOKS_FREE, LOOKS_HELD, LOOKS_SOLD, LOOKS_BLOCKED };
enum m_looks m_seat_looks(struct model *model, const struct m_date *date, uint32_t seat_no);
usher_result m_hold_of_asker(struct model *model, uint64_t reservation);
usher_result m_upper(usher_result one, usher_result other);
void m_hold_describe(struct model *model, uint64_t reservation, usher_hold *out);

/* --- model_money.c --- */
uint16_t m_receipt(struct model *model, uint64_t payment_id, uint8_t *out, size_t room);

/* --- model_plan.c --- */
usher_result m_date_find(struct model *model, uint32_t concert_id, uint32_t date_id, struct m_date **date);
struct m_plan *m_plan_find(struct model *model, uint32_t id);
struct m_concert *m_concert_find(struct model *model, uint32_t id);
uint8_t m_grade(const struct m_plan *plan, uint32_t seat_no);
struct m_tally {
    uint32_t seats, free, held, sold, blocked;
    uint32_t withheld; /* of the held ones those that will be blocked and not free */
};
struct m_tally m_tally(struct model *model, const struct m_date *date);

#endif
