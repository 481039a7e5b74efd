/* engine.h: a sale on records in memory, without network or disk: what core, store and commit cost by themselves.
 *
 * Buyers go through four steps, each a command: join, charge, reserve, pay. Buyer b takes step s in round b + s * LAG, so
 * that every round has one command of each kind, by four buyers who have nothing to do with one another. */
#ifndef BENCH_ENGINE_H
#define BENCH_ENGINE_H

#include "server/commit/commit.h"

enum engine_step { ENGINE_JOIN, ENGINE_CHARGE, ENGINE_RESERVE, ENGINE_PAY, ENGINE_STEPS };
extern const char *const engine_steps[ENGINE_STEPS]; /* their names */

struct engine {
    struct store *store;
    struct core *core;
    struct commit *commit;
    uint64_t now_ms;
    uint32_t buyers;
    uint64_t *position, *reservation; /* by buyer */
};

/* With so many buyers to come; every date has 50 seats, and there are as many as the buyers need. Whatever goes wrong ends
 * the program. */
void engine_open(struct engine *engine, uint32_t buyers);
void engine_close(struct engine *engine);

/* One command, straight to the core, within store_begin and store_commit. */
void engine_apply(struct engine *engine, enum engine_step step, uint32_t buyer);
/* Begin and end a batch of those. */
void engine_begin(struct engine *engine);
void engine_commit(struct engine *engine);

/* The same through commit.h: gathered as bytes, applied from them, the answers kept as bytes. */
void engine_add(struct engine *engine, enum engine_step step, uint32_t buyer);
void engine_run(struct engine *engine);

/* Carry out the commands of rounds from..to-1, so many rounds in a batch. Returns how many there were. */
#define ENGINE_LAG 1000u
uint64_t engine_rounds(struct engine *engine, uint32_t from, uint32_t to, uint32_t in_batch, bool through_commit);

/* Fill queue 2, which is paused, with so many who wait. */
void engine_fill_line(struct engine *engine, uint32_t waiting);
#define ENGINE_LINE 2u

_Noreturn void engine_die(const char *what);

#endif
