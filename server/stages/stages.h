/* stages.h: where the time of the turns goes: a stop watch with laps, and a histogram for each stage.
 *
 *     stages_begin(stages)                       the loop has woken: a turn begins
 *     stages_lap(stages, USHER_STAGE_APPLY)      what was done since the last lap belongs to this stage
 *     stages_count(stages, USHER_STAGE_COMMANDS, 50)
 *     stages_end(stages)                         the turn's sums go into the histograms
 *
 * A lap costs one look at the monotonic clock (some 25 ns) and belongs to the turn, not to a request; a stage that a turn
 * goes through several times counts once, with the sum. NULL for stages is welcome in these four, and measures nothing.
 *
 * The histograms are log-linear: 16 steps for each power of two, so a value that is read out is at most 1/16 more than
 * what was recorded. They hold what was since the start, or since stages_clear. One thread owns them. */
#ifndef STAGES_H
#define STAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/protocol.h"

#define STAGES_COUNT (USHER_STAGE_ANSWERED + 1) /* the last row of its enum; stages_test compares */
#define STAGES_BITS  40u
#define STAGES_MOST  ((1ull << STAGES_BITS) - 1) /* greater values count as this: 18 minutes in ns */

struct stage_figures {
    uint64_t count, sum, most;
    uint64_t p50, p99, p999; /* 0 while fewer than ten values lie above */
};

struct stages;

struct stages *stages_open(void); /* NULL without memory */
void stages_close(struct stages *stages);

/* Begin a turn, unless one has begun. */
void stages_begin(struct stages *stages);
void stages_lap(struct stages *stages, enum usher_stage stage);
void stages_count(struct stages *stages, enum usher_stage stage, uint64_t count);
void stages_end(struct stages *stages);

/* One value more. */
void stages_record(struct stages *stages, enum usher_stage stage, uint64_t value);
struct stage_figures stages_figures(const struct stages *stages, enum usher_stage stage);
void stages_clear(struct stages *stages);

#endif
