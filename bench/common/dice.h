/* dice.h: random numbers that a seed repeats, cheap enough for a load generator (xoshiro256**, seeded by splitmix64).
 * Nothing secret may come from here. */
#ifndef BENCH_DICE_H
#define BENCH_DICE_H

#include <stdint.h>

struct dice {
    uint64_t state[4];
};

void dice_seed(struct dice *dice, uint64_t seed);
uint64_t dice_next(struct dice *dice);

/* 0 <= number < 1 */
double dice_unit(struct dice *dice);

/* 0 to bound - 1; bound is not 0. */
uint64_t dice_below(struct dice *dice, uint64_t bound);

/* One number scrambled into another: the same in gives the same out. */
uint64_t dice_scramble(uint64_t number);

#endif
