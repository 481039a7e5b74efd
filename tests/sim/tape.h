/* tape.h: what was done in a run, step by step, so that it can be done again with steps left out.
 *
 * A step names nothing that the house numbers: it says "the second reservation that p7 got from that step" and "p7's
 * latest token of queue 2". So it means the same when other steps are missing; a step that names what is not there is
 * passed over.
 *
 * The tape lies in memory that a run's process shares with its parent: a core that aborts leaves its tape behind. */
#ifndef SIM_TAPE_H
#define SIM_TAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/protocol.h"

#define SIM_BASE_MS UINT64_C(1798761600000) /* moment 0 of a scene: PLAY_BASE_MS */

enum step_kind {
    STEP_ASK,     /* a request */
    STEP_WAKE,    /* the server wakes without one */
    STEP_RESTART, /* it stops and starts again */
    STEP_DROP,    /* it is killed and starts again */
    STEP_CONSUME, /* the history consumer takes events in */
    STEP_IDLE     /* a quiet moment: the store writes back */
};

enum step_actor { ACTOR_PERSON, ACTOR_GATEWAY, ACTOR_ADMIN, ACTOR_DESK, ACTOR_GATE, ACTOR_NOBODY };

enum step_token {
    TOKEN_NONE,
    TOKEN_LATEST,   /* of token_person */
    TOKEN_OF_QUEUE, /* its latest of queue token_queue */
    TOKEN_OF_STEP,  /* the one that it got from token_step; token_nth gets its number */
    TOKEN_ODD       /* for token_queue and token_nth as position, whoever's place that is */
};

/* The reservation (payment, token) that this person got from that step, the item-th of its answer; person 0: the number
 * nth itself. When it is resolved nth gets what a scene calls it by: the nth that the person ever got. */
struct reference {
    uint32_t person;
    uint32_t step, item;
    uint32_t nth;
};

struct step {
    uint64_t at_ms;
    uint32_t batch; /* neighbours with one number are one batch */
    uint16_t opcode;
    uint8_t kind, actor, token;
    uint8_t replayed, omitted; /* how it ended when it was last done: */
    uint16_t result;
    uint16_t channel;
    uint32_t person; /* who, for ACTOR_PERSON; from 1 */
    uint32_t user;   /* whom the request names; 0 for nobody */
    uint32_t token_person, token_queue, token_step, token_nth;
    uint32_t id;              /* the request id is made from this number; 0 for all zero */
    uint32_t code, key;       /* the words that codes and keys are made from */
    uint32_t amount;          /* of STEP_CONSUME and STEP_IDLE */
    uint32_t body, body_size; /* the encoded request, where the bytes are; without token, id, user and references */
    uint32_t references;      /* struct reference, where the bytes are */
    uint16_t reservation_count;
    uint8_t has_payment; /* one reference more: the payment's */
};

struct tape_failure {
    bool failed;
    uint32_t step;
    char why[512];
    char came[4096];     /* what the server answered */
    char expected[4096]; /* the end of a scene's line: what it should have answered */
    char events[16384];  /* a scene's line of events, if it is these that differ */
};

struct tape_counts {
    uint64_t commands, queries, batches, wakes, restarts, replays, mismatches, refused, done;
    uint64_t events, audits, admitted, paid, refunded, expired;
    uint64_t by_message[64]; /* answers, in the order of usher_messages() */
    uint64_t by_result[128];
};

struct tape {
    struct tape_failure failure;
    struct tape_counts counts;
    uint64_t mapped;
    uint32_t step_count, step_room;
    uint32_t byte_count, byte_room;
    struct step *steps;
    uint8_t *bytes;
};

struct tape *tape_open(uint64_t commands); /* exits without memory */
void tape_close(struct tape *tape);
/* False when it is full. */
bool tape_add(struct tape *tape, const struct step *step);
uint32_t tape_put(struct tape *tape, const void *bytes, size_t size);

/* --- making steps --------------------------------------------------------------------------------------- */
/* A step with this request; references beside it. The body's token, id and user are not read. */
bool step_ask(struct tape *tape, struct step *step, uint16_t opcode, const void *body,
              const struct reference *reservation, uint16_t reservation_count, const struct reference *payment);

/* --- words ---------------------------------------------------------------------------------------------- */
usher_uuid word_person(uint32_t number);
usher_id word_id(uint32_t number);
usher_key word_key(char letter, uint32_t number); /* 'c' for a code, 'k' for a client's key */
usher_key word_code_hash(uint32_t number);

#endif
