/* generate_inside.h: what the files of the generator share.
 *
 *   generate.c         time, batches, repeats
 *   generate_people.c  what people and terminals do
 *   generate_house.c   what the organiser does, and what is only read */
#ifndef SIM_GENERATE_INSIDE_H
#define SIM_GENERATE_INSIDE_H

#include "tests/sim/generate.h"
#include "tests/sim/model_inside.h"

#define PAST_MOST 512u /* commands that may be repeated */

struct generator {
    struct world *world;
    struct tape *tape;
    struct model *model;
    const struct profile *profile;
    uint64_t random;
    uint64_t at_ms;
    uint32_t batch, last_id, last_code;
    uint32_t past[PAST_MOST]; /* steps that were commands, a ring */
    uint32_t past_count;
    uint32_t played; /* steps of the tape */
    bool full;       /* the tape */
    /* what a deadline that was aimed at is about; 0 for nothing */
    uint32_t focus_person;
    const struct m_date *focus_date;
    uint32_t focus_seat;
    uint64_t focus_hold;
    bool focus_refund;
};

/* --- generate.c --- */
uint64_t draw(struct generator *generator, uint64_t below); /* 0 .. below - 1 */
bool chance(struct generator *generator, unsigned in_thousand);
/* From least to most; small numbers are as likely as large ones. */
uint64_t draw_wide(struct generator *generator, uint64_t least, uint64_t most);
/* A step at the batch's moment under a new id. */
struct step fresh_step(struct generator *generator);
/* Put it on the tape. */
void say(struct generator *generator, struct step *step, uint16_t opcode, const void *body);
void say_with(struct generator *generator, struct step *step, uint16_t opcode, const void *body,
              const struct reference *reservation, uint16_t count, const struct reference *payment);
/* Play what was said since the last time, as one batch. */
bool play_new(struct generator *generator);
/* The entry of a table of weights that the dice choose. */
struct weighted {
    unsigned weight;
    void (*act)(struct generator *generator);
};
void act_one_of(struct generator *generator, const struct weighted *table, size_t count);

/* --- generate_people.c --- */
void person_commands(struct generator *generator);
void person_asks(struct generator *generator);
void desk_commands(struct generator *generator);
/* Of this number, which the model may not have seen yet: 0 then. */
uint32_t user_of_person(struct generator *generator, uint32_t person);

/* --- generate_house.c --- */
bool house_begins(struct generator *generator);
void admin_commands(struct generator *generator);
void admin_asks(struct generator *generator);
const struct m_date *some_date(struct generator *generator);

#endif
