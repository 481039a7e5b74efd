/* dice.c: see dice.h. */
#include "dice.h"

#include <assert.h>

uint64_t
dice_scramble(uint64_t number)
{
    number += UINT64_C(0x9e3779b97f4a7c15);
    number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
    return number ^ number >> 31;
}

void
dice_seed(struct dice *dice, uint64_t seed)
{
    for (unsigned i = 0; i < 4; i++)
        dice->state[i] = dice_scramble(seed + i * UINT64_C(0x9e3779b97f4a7c15));
}

static uint64_t
rotate(uint64_t number, unsigned by)
{
    return number << by | number >> (64 - by);
}

uint64_t
dice_next(struct dice *dice)
{
    uint64_t *state = dice->state, result = rotate(state[1] * 5, 7) * 9, shifted = state[1] << 17;

    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotate(state[3], 45);
    return result;
}

double
dice_unit(struct dice *dice)
{
    return (double)(dice_next(dice) >> 11) * 0x1p-53;
}

/* Multiplied, not taken modulo: even to within bound / 2^64, which nobody can measure. */
uint64_t
dice_below(struct dice *dice, uint64_t bound)
{
    assert(bound != 0);
    return (uint64_t)((unsigned __int128)dice_next(dice) * bound >> 64);
}
