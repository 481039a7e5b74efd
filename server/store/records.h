/* records.h: what the store keeps. A record's struct is its stored form, byte for byte, little-endian.
 *
 *   house ── counters, accounts, policies
 *   queue ──< ticket >── user ──< hold >── seat of a block >── date >── concert >── queue
 *   plan  ──< date                └──< owned                     client ──< consumer
 *
 * Two kinds of time. Fields named `..._at_ms` are moments of the running clock (ms since 1970). Fields named
 * `..._due` are moments of the queue's sale clock, which stands still while the queue is frozen (Q9):
 * sale time = now - frozen_ms. So a freeze moves every deadline by its length and rewrites none.
 *
 * A million tickets wait at once, so they are packed: moments of both kinds have 48 bits there, which every stamp up to
 * STORE_STAMP_MOST fits into together with all that policies add to it.
 *
 * No struct has padding: every byte is named, unused ones are zero, so equal records are equal bytes.
 * To change one: raise STORE_SCHEMA and add the step to migrate.c. Released data files must open for ever. */
#ifndef STORE_RECORDS_H
#define STORE_RECORDS_H

#include <stdint.h>

#include "protocol/protocol.h"

#define STORE_SCHEMA 5u /* migrate.c says what each was */

/* The latest stamp of a batch, in the year 6429: it leaves moments of 48 bits as long again for what lies ahead. */
#define STORE_STAMP_MOST ((UINT64_C(1) << 47) - 1)

/* --- records in memory ------------------------------------------------------------------------ */
enum house_policy {
#define HOUSE_(name) HOUSE_POLICY_##name,
#define QUEUE_(name)
#define USHER_POLICY(SCOPE, name, usual, least, most, unit, help) SCOPE##_(name)
#include "protocol/policies.def"
#undef HOUSE_
#undef QUEUE_
    HOUSE_POLICY_COUNT
};
enum queue_policy {
#define HOUSE_(name)
#define QUEUE_(name) QUEUE_POLICY_##name,
#define USHER_POLICY(SCOPE, name, usual, least, most, unit, help) SCOPE##_(name)
#include "protocol/policies.def"
#undef HOUSE_
#undef QUEUE_
    QUEUE_POLICY_COUNT
};
#define HOUSE_POLICY_ROOM 32 /* room for policies to come; unused ones are 0 */
#define QUEUE_POLICY_ROOM 16

struct house_record {
    uint64_t key;      /* 0 */
    uint64_t stamp_ms; /* the last batch's */
    uint64_t catalogue_version;
    uint64_t last_user_no, last_queue_no, last_concert_no, last_plan_no, last_date_no, last_client_no;
    uint64_t last_reservation_id, last_payment_id, last_refund_id;
    uint64_t last_entry_no, last_event_no, last_answer_no;
    uint64_t first_event_no;  /* the oldest that is kept; 1 at first */
    uint64_t first_answer_no; /* where the expiry of answers goes on; 1 at first */
    int64_t top_ups;          /* the house accounts; signed (M1) */
    int64_t sales;
    uint64_t policy[HOUSE_POLICY_ROOM];
    uint64_t history_event_no; /* the history is known to have taken in every event up to this one (X5) */
    uint64_t tick_event_no;    /* the last event before the last batch: what is dropped keeps pace with what is made */
};

#define QUEUE_SAMPLES 8
#define QUEUE_GRACES  8
struct queue_record {
    uint64_t queue_no;
    uint32_t queue_id;
    uint8_t mode; /* usher_queue_mode */
    uint8_t unused[3];
    char name[64];
    uint64_t last_position;
    uint64_t admitted_count;
    uint64_t interval_at_ms; /* when the present admission interval began; 0 before the first */
    uint64_t interval_admitted;
    uint64_t frozen_at_ms; /* when the freeze that is on began; 0 when none is */
    uint64_t frozen_ms;    /* the sum of all ended freezes */
    uint64_t policy[QUEUE_POLICY_ROOM];
    struct {
        uint64_t at_ms;
        uint64_t admitted_count;
    } sample[QUEUE_SAMPLES]; /* measured admissions, a ring for the estimate (Q11) */
    uint64_t sample_count;   /* ever taken */
    struct {
        uint64_t from_due, ends_due; /* deadlines in from_due .. ends_due - 1 count as ends_due */
    } grace[QUEUE_GRACES];           /* downtimes, by sale time, ascending (X2) */
    uint64_t grace_count;
};

struct concert_record {
    uint64_t concert_no;
    uint64_t queue_no;
    uint32_t concert_id;
    uint32_t date_count;
    char title[96];
    char venue[64];
};

#define PLAN_SECTIONS_MOST 64
struct plan_section {
    char name[24];
    uint16_t first_row, row_count, seats_per_row;
    uint8_t grade;
    uint8_t unused;
};
struct plan_record {
    uint64_t plan_no;
    uint32_t plan_id;
    uint32_t seat_count;
    uint32_t section_count;
    uint32_t date_count; /* dates that use it */
    struct plan_section section[PLAN_SECTIONS_MOST];
};

struct date_record {
    uint64_t date_no;
    uint64_t concert_no, queue_no, plan_no;
    uint32_t concert_id, date_id;
    uint32_t seat_count;
    uint32_t unused;
    uint64_t starts_at_ms, opens_at_ms, closes_at_ms; /* 0: see put_date_request */
    uint64_t refund_until_ms;                         /* a duration before the show */
    int64_t price[8];
};

#define BLOCK_SEATS 64u
struct block_record {
    uint64_t key;
    uint64_t version; /* grows with every change */
    uint32_t date_no;
    uint32_t seat_count; /* 1 to 64 */
    /* Bit b is seat index * 64 + b + 1. At most one of held and sold; blocked with held: will be blocked when the
     * hold ends unpaid; blocked with sold: will be blocked when it is given back, since it was taken through the
     * block (its note says so). */
    uint64_t held, sold, blocked;
    uint64_t reservation_id[BLOCK_SEATS]; /* of the hold or the sale; 0 when neither */
};

struct note_record {
    uint64_t key;
    uint16_t channel; /* whose terminals may sell the seat although it is blocked; 0 for none (H8) */
    uint8_t taken;    /* 1: one of them has: the seat is held or sold through this block */
    uint8_t unused[5];
    char reason[48];
};

struct user_record {
    uint64_t user_no;
    usher_uuid uuid;
    int64_t balance;
    uint64_t last_entry_no;
    uint64_t first_ticket; /* key of a live ticket, 0 for none; a link_record leads on */
    uint64_t first_hold;   /* reservation id, 0 for none; holds link on by next_of_user, oldest first */
};

struct ticket_record {
    uint64_t key; /* queue_no << 40 | position */
    uint32_t user_no;
    uint32_t token_ms; /* from joining to the absolute end, as in the token */
    uint64_t joined_at_ms : 48;
    uint64_t state : 8;  /* usher_place_state */
    uint64_t linked : 8; /* 1: there is a link_record of it */
    uint64_t active_since : 48; /* sale time of the admission */
    uint64_t claim_high : 16;   /* see ticket_claim_ms() */
    uint64_t end_due : 48; /* WAITING: the lease's end; ACTIVE: the active time's end; over: when it is forgotten */
    uint64_t claim_low : 16;
};

/* ACTIVE and not claimed yet: the time from the admission until it lapses; else 0. */
static inline uint32_t
ticket_claim_ms(const struct ticket_record *ticket)
{
    return (uint32_t)ticket->claim_high << 16 | (uint32_t)ticket->claim_low;
}

static inline void
ticket_set_claim_ms(struct ticket_record *ticket, uint32_t claim_ms)
{
    ticket->claim_high = claim_ms >> 16;
    ticket->claim_low = claim_ms & 0xffff;
}

/* When something happens to the ticket, unless something else does before, in sale time. */
static inline uint64_t
ticket_due(const struct ticket_record *ticket)
{
    uint64_t claim_ms = ticket_claim_ms(ticket), end_due = ticket->end_due;
    uint64_t claim_due = ticket->active_since + claim_ms;

    return claim_ms != 0 && claim_due < end_due ? claim_due : end_due;
}

/* A user's live tickets are a list that begins in the user's record. Hardly anybody has places in two queues at once,
 * so the way on from a ticket stands here, and not in every ticket. */
struct link_record {
    uint64_t key;  /* of a ticket */
    uint64_t next; /* the key of the next one of the same user */
};

struct hold_record {
    uint64_t reservation_id;
    uint32_t user_no;
    uint32_t date_no;
    uint32_t seat_no;
    uint32_t queue_no;
    uint64_t ticket; /* key of the ticket that it was taken under; 0 for a terminal's */
    uint64_t end_due;
    int64_t price;
    uint64_t held_at_ms;
    uint64_t next_of_user;
};

struct owned_record {
    uint64_t key;
    uint64_t count;
};

struct client_record {
    uint64_t client_no;
    uint8_t role;  /* usher_role */
    uint8_t state; /* usher_client_state */
    uint16_t channel;
    uint8_t unused[4];
    char name[32];
    usher_key client_key; /* zero while invited */
    usher_key code_hash;
    uint64_t since_ms;
};

struct consumer_record {
    uint64_t consumer_no; /* 1 to CORE_CONSUMERS_MOST: its place, the first that was free */
    char name[32];
    uint64_t event_no; /* it is done with all events up to this one */
    uint64_t since_ms;
    uint64_t acknowledged_at_ms; /* 0 for never */
    uint64_t client_no;          /* who made it; 0 in a house without clients */
};

/* --- history ---------------------------------------------------------------------------------- */
/* One transfer: amount moves from the house to the user (charge, refund) or back (payment, negative). */
struct entry_row {
    uint64_t entry_no;
    uint64_t at_ms;
    uint32_t user_no;
    uint8_t kind; /* usher_entry_kind; CHARGE: against top_ups, else against sales */
    uint8_t unused[3];
    int64_t amount;        /* the user's leg; the house's is the opposite */
    int64_t user_balance;  /* after it */
    int64_t house_balance; /* of the house account, after it */
    uint64_t previous_of_user;
    uint64_t payment_id;
    uint64_t refund_id;
};

struct sold_seat {
    uint64_t reservation_id;
    uint32_t date_no;
    uint32_t seat_no;
    int64_t price;
    uint32_t concert_id; /* as outside: the history consumer reads them here, for it may not look at records */
    uint32_t date_id;
};
#define PAYMENT_SEATS_MOST 16
struct payment_row { /* stored up to seat[seat_count] */
    uint64_t payment_id;
    uint64_t entry_no;
    uint64_t at_ms;
    uint64_t ticket; /* key, 0 for a terminal's */
    int64_t amount;
    uint32_t user_no;
    uint32_t seat_count;
    struct sold_seat seat[PAYMENT_SEATS_MOST];
};
struct refund_row { /* stored up to seat[seat_count] */
    uint64_t refund_id;
    uint64_t payment_id;
    uint64_t entry_no;
    uint64_t at_ms;
    int64_t amount;
    uint32_t user_no;
    uint32_t seat_count;
    struct sold_seat seat[PAYMENT_SEATS_MOST];
};

enum ended_how { ENDED_EXPIRED = 1, ENDED_RELEASED, ENDED_SWAPPED, ENDED_FORCED, ENDED_PAID };
struct ended_row {
    uint64_t reservation_id;
    uint64_t at_ms;
    uint32_t user_no;
    uint32_t date_no;
    uint32_t seat_no;
    uint8_t how; /* enum ended_how */
    uint8_t unused[3];
    uint64_t payment_id; /* ENDED_PAID */
};

struct event_row { /* the wire's event with numbers as they are outside */
    uint64_t event_no;
    uint64_t at_ms;
    uint32_t user_no; /* 0 for none */
    uint8_t kind;     /* usher_event_kind */
    uint8_t unused[3];
    usher_uuid user;
    uint32_t queue_id;
    uint32_t concert_id;
    uint32_t date_id;
    uint32_t seat_no;
    uint64_t position;
    uint64_t reservation_id;
    uint64_t payment_id;
    uint64_t refund_id;
    int64_t amount;
};

#define ANSWER_BODY_MOST 2048
struct answer_row { /* stored up to body[body_size] */
    uint64_t answer_no;
    uint64_t at_ms;
    usher_id request_id;
    uint64_t scope;       /* user_no << 1, or client_no << 1 | 1 where no user is named (M3) */
    uint64_t fingerprint; /* of the request's body without token */
    uint16_t opcode;
    uint16_t result;
    uint16_t body_size;
    uint8_t for_ever; /* charge, pay, refund: as long as the ledger */
    uint8_t unused;
    uint8_t body[ANSWER_BODY_MOST];
};

/* --- the history consumer's own table (B2): key user_no, event_no, index of the seat ---------- */
struct history_record {
    uint32_t user_no;
    uint16_t index;
    uint8_t kind; /* usher_history_kind */
    uint8_t unused;
    uint64_t event_no;
    uint64_t at_ms;
    uint64_t payment_id, refund_id, reservation_id;
    uint32_t concert_id, date_id, seat_no;
    uint32_t unused_too;
    int64_t amount;
};

#endif
