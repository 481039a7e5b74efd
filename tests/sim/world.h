/* world.h: one house, played from a tape: the real core behind real batches, the model beside it, and the outside that
 * believes neither. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdbool.h>

#include "server/commit/commit.h"
#include "tests/sim/model.h"
#include "tests/sim/outside.h"
#include "tests/sim/tape.h"

#define WORLD_STEPS_MOST 1024u /* of one batch */

struct world_options {
    bool on_disk;         /* a real store in a folder of its own, which is removed */
    bool model_alone;     /* no house: what should have been answered where a core gave up */
    const char *folder;   /* where a store on disk gets one */
    uint32_t audit_every; /* batches; the last one is audited in any case */
};

struct world_token {
    uint32_t queue_id, step;
    uint64_t position;
};

/* A number that somebody got, and from which step's answer. */
struct world_number {
    uint64_t number;
    uint32_t step, item;
};

/* What a person remembers of the answers it got, in their order: what references mean. */
struct world_person {
    usher_uuid uuid;
    struct {
        struct world_token *at;
        size_t count, room;
    } token;
    struct world_numbers {
        struct world_number *at;
        size_t count, room;
    } reservation, payment, refund;
};

struct world {
    struct world_options options;
    struct tape *tape;
    struct store *store;
    struct core *core;
    struct commit *commit;
    struct model *model;
    struct outside *outside;
    struct world_person *person;
    size_t person_count, person_room;
    uint64_t events_seen, batches, since_audit, now_ms;
    char folder[64];
    uint32_t folder_no;
    /* the batch at hand */
    struct world_ask *asks;
    uint32_t ask_count;
    uint8_t *bodies, *real, *encoded, *encoded_too;
    size_t bodies_size, bodies_room;
};

void world_open(struct world *world, struct tape *tape, const struct world_options *options);
void world_close(struct world *world);

/* Play these steps, which are one batch, by their numbers on the tape. False if something did not hold: the tape's
 * failure says what. */
bool world_play(struct world *world, const uint32_t *steps, uint32_t count);
/* The last audit. */
bool world_end(struct world *world);

/* The person of this number, from 1. */
struct world_person *world_person(struct world *world, uint32_t number);
/* The moment of the last batch or query. */
uint64_t world_now_ms(const struct world *world);

#endif
