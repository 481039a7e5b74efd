/* model.h: what Usher must answer, worked out the plain way, to hold the core against.
 *
 * Written from RULES.md and SPEC.md: arrays, scans and one hash table. It shares protocol/ with the server and nothing
 * else: no record, no index, no journal, no undo. Where the rules leave something open the model follows the core and
 * says so with the word OPEN; every other difference is a mistake in one of the two.
 *
 *     model_tick(model, stamp)             a batch begins at this stamp
 *     model_apply(model, &request)         a command of it: the answer that must come
 *     model_accept(model, ..., real)       what the rules leave to the server (an estimate, jitter) is judged and taken
 *                                          over; the rest must be equal
 *     model_settle(model, bytes, size)     the answer as it came, to be given again under its request id (M3)
 *
 * A model may be wrong only in ways that a person can see by reading it. */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include <stdbool.h>

#include "protocol/protocol.h"

struct model;

struct model *model_open(void);
void model_close(struct model *model);

/* Who asks for what, as the connection knows it. */
struct model_request {
    const usher_message *message;
    uint8_t role; /* usher_role */
    bool has_token;
    uint16_t channel; /* of a terminal */
    uint32_t client_no;
    uint32_t queue_id; /* the token's */
    uint64_t position;
    usher_uuid user; /* the token's or the one that is named; all zero for nobody */
    const void *body;
    uint64_t body_hash; /* over the body without its token: what M3 compares */
};

struct model_answer {
    usher_result result;
    bool replayed;
    void *reply;                /* <name>_reply, or usher_refusal; good until the next call. NULL if replayed: */
    const uint8_t *first_bytes; /* then these bytes came the first time */
    size_t first_size;
    const usher_layout *layout;
};

/* Begin a batch with commands. The stamp is at least the last one (X1). */
void model_tick(struct model *model, uint64_t stamp_ms);
/* The server wakes without a command: does nothing unless something is due. Returns whether a batch was made. */
bool model_wake(struct model *model, uint64_t now_ms);
/* When the server must wake next: now or earlier if something is due, UINT64_MAX for never. */
uint64_t model_next_due_ms(struct model *model, uint64_t now_ms);

/* The house was started anew. If nobody was alive since the last stamp, the next batch begins with that, whatever else
 * it has to do (X2). */
void model_restart(struct model *model, bool nobody_was_alive);

struct model_answer model_apply(struct model *model, const struct model_request *request);
void model_settle(struct model *model, const uint8_t *bytes, size_t size);

/* A query at this moment; touch gets what it leaves behind. */
struct model_answer model_query(struct model *model, const struct model_request *request, uint64_t now_ms,
                                usher_touch_request *touch);

/* Judge the fields of a real reply that the rules do not fix, and take them over into the answer. False: why says
 * which one can't be. */
bool model_accept(struct model *model, const usher_message *message, struct model_answer *answer, const void *real,
                  char *why, size_t why_size);

/* The history consumer took in up to most events more. */
void model_consume(struct model *model, uint32_t most);

/* How far it has come. */
uint64_t model_consumed(const struct model *model);

/* All events so far, by number from 1. */
const usher_event *model_all_events(const struct model *model, uint64_t *count);
/* The last stamp; batches so far. */
uint64_t model_stamp_ms(const struct model *model);
uint64_t model_batch_count(const struct model *model);

#endif
