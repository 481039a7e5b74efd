/* people.h: the numbers of a task (target.h) in the form that the peers' data has: 16 bytes for a user and for a request
 * id, the same for every peer. */
#ifndef BENCH_PEOPLE_H
#define BENCH_PEOPLE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "bench/common/clock.h"
#include "bench/common/dice.h"

#define PEOPLE_QUEUE_OPEN 1u /* admits at once */
#define PEOPLE_QUEUE_LINE 2u /* where people wait */
#define PEOPLE_POINTS     INT64_C(1000000000) /* that every admitted user begins with */
#define PEOPLE_ACTIVE_MS  80000000u /* how long a token is active: longer than the bench */
#define PEOPLE_CONCERT_DATES 64u /* dates of one concert */

static inline void
people_uuid(uint8_t uuid[16], bool line, uint32_t user)
{
    uint64_t number = (uint64_t)user | (line ? UINT64_C(1) << 32 : 0);
    uint64_t half[2] = {dice_scramble(number), dice_scramble(~number)};

    memcpy(uuid, half, 16);
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

/* A request id that was never used: time-ordered as Usher's are, so that an index on them grows at its end. */
struct people_ids {
    uint64_t base, count;
};

static inline void
people_id(struct people_ids *ids, uint8_t id[16])
{
    uint64_t number;

    if (ids->base == 0)
        ids->base = clock_now_ns() << 8;
    number = __builtin_bswap64(ids->base + ids->count++);
    memcpy(id, &number, 8);
    number = dice_scramble(ids->base + ids->count);
    memcpy(id + 8, &number, 8);
}

#endif
