/* generate.h: what people, terminals and organisers do, drawn from a seed.
 *
 * Most of it makes sense: the generator looks at the model to see who waits, what is free and when deadlines fall. The
 * rest does not, on purpose: seats that are gone, tokens that are over, repeats, other bodies under a used id, clocks
 * that leap and clocks that stand. */
#ifndef SIM_GENERATE_H
#define SIM_GENERATE_H

#include "tests/sim/world.h"

struct profile {
    uint64_t seed;
    uint64_t commands;
    uint32_t users;
    double hours;
    bool on_disk;
    uint32_t audit_every;
    /* drawn from the seed */
    uint32_t queues, concerts, dates, seats;
    uint32_t batch_most;
};

/* What this seed plays; zeros are drawn. */
struct profile profile_of(uint64_t seed, uint64_t commands, uint32_t users, double hours);

/* Play the profile in this world and write it to its tape, until its commands are done or something does not hold. */
bool generate(struct world *world, const struct profile *profile);

#endif
