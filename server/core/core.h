/* core.h: the deterministic machine: commands and a stamp in, results and events out (DESIGN section 3).
 *
 * No clock, no random numbers, no I/O, no threads. The same commands under the same stamps make the same records, byte
 * for byte, on every machine. All state is in the store; a core is a handful of scratch buffers. */
#ifndef CORE_H
#define CORE_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/protocol.h"
#include "server/store/store.h"

struct core;

struct core *core_open(struct store *store); /* NULL without memory; the store stays the caller's */
void core_close(struct core *core);

/* Who asks, as far as the connection and the token's proof tell. */
struct core_asker {
    uint8_t role;       /* usher_role */
    uint8_t has_token;  /* the token's proof was checked: the three below are its body's */
    uint16_t channel;   /* of a terminal */
    uint32_t client_no; /* 0 for the server itself and for nobody */
    uint32_t queue_id;
    uint64_t position;
    usher_uuid user; /* the token's user, or the one whom the request names; all zero for none */
};

/* One request: for a command, body points to the decoded request struct whose token field is ignored. fingerprint is
 * over opcode, user and body without token. */
struct core_request {
    uint16_t opcode;
    struct core_asker asker;
    uint64_t fingerprint;
    const void *body;
    uint64_t likely_user_no; /* the asker's, as a hint has found it; 0 when nobody knows */
};

/* An answer. reply is the struct <name>_reply of the request when result is OK, else a usher_refusal. Token and receipt
 * fields in it hold the body alone; who sends it adds the proof. */
struct core_answer {
    uint16_t result; /* usher_result */
    bool replayed;
    const void *reply;                 /* in the core's scratch, good until the next call */
    const struct usher_layout *layout; /* of reply */
    const uint8_t *bytes;              /* the same encoded, if that has been done: to remember it; else NULL */
    size_t size;                       /* of bytes */
};

/* What a query leaves behind: a TOUCH command to add to the next batch, if renew or claim is set. */
typedef usher_touch_request core_trace;

/* Before the tick of a batch: nobody was alive from down_since_ms on, the last stamp, until now (X2). Deadlines that
 * fell into that time or within restart_grace_ms after it count as that grace's end: the interval is recorded, no deadline
 * is rewritten, and each is put off once. Clocks of frozen queues stood still and need no grace. */
void core_resume(struct core *core, uint64_t down_since_ms, uint64_t now_ms);

/* Begin a batch's work at this stamp, which is at least the last batch's: ends what is due and admits from the queues,
 * up to the policy tick_max. Between store_begin and store_commit, as core_apply. Returns false if nothing changed. */
bool core_tick(struct core *core, uint64_t now_ms);

/* What a request will look at comes into the processor's cache, so that it need not wait for it; nothing else happens.
 * One begins and goes on with many requests in turns until there is nothing left to do, in CORE_HINT_STEPS at most, and
 * then carries them out. The request must stay where it is meanwhile. */
#define CORE_HINT_STEPS 8u
enum core_hint_way { CORE_HINT_USER, CORE_HINT_TICKET, CORE_HINT_DATE, CORE_HINT_HOLD, CORE_HINT_BLOCK, CORE_HINT_OWNED,
                     CORE_HINT_WAYS };
struct core_hint {
    struct store_way way[CORE_HINT_WAYS];
    uint8_t going;   /* a bit for each way that has steps left */
    uint8_t reached; /* and for each that has just led to a record, from where it goes on elsewhere, */
    uint8_t leads;   /* which these do */
    const usher_id *id; /* of a command; it is looked for under the user's number */
    uint64_t user_no;   /* once it is known; whose it is has not been looked at */
    uint32_t seat_no;   /* of the date, 0 for any */
    bool has_ticket, has_date; /* that it asks for */
};
void core_hint_begin(const struct core *core, const struct core_request *request, struct core_hint *hint);
bool core_hint_on(const struct core *core, struct core_hint *hint);

/* Carry a command out at the batch's stamp. A refusal leaves no trace but its remembered answer and its claim. */
struct core_answer core_apply(struct core *core, const struct core_request *request);

/* Answer a query at this moment, outside of a batch. trace->renew and trace->claim tell what should follow. */
struct core_answer core_query(struct core *core, const struct core_request *request, uint64_t now_ms,
                              core_trace *trace);

/* The moment at which the next batch has work even if no command comes: now_ms or earlier if some is due already,
 * UINT64_MAX for none. */
uint64_t core_next_due_ms(const struct core *core, uint64_t now_ms);

/* Events that could be dropped but for the history, which is not known to have taken the oldest in (X5). Whoever knows
 * better adds a HISTORY_TAKEN to the next batch. *event_no gets the oldest event. */
enum core_events_need {
    CORE_EVENTS_AT_EASE,   /* there are none */
    CORE_EVENTS_WAIT,      /* they are old enough */
    CORE_EVENTS_PAST_BOUND /* they take more than event_bytes_max: if the history can't help, this is an alarm */
};
enum core_events_need core_events_need(const struct core *core, uint64_t now_ms, uint64_t *event_no);

/* Check every invariant by name, recounting from the records. Returns false and says in why which one broke. Reads
 * everything: for tests, simulation and usherd check. */
bool core_audit(const struct core *core, char *why, size_t why_size);

#endif
