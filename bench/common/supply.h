/* supply.h: which tasks come next, and what must be there for them.
 *
 * It hands out people and seats so that every task can succeed: a free seat to an admitted user with room for another
 * hold, a hold to be released or paid, a stranger to the line. It knows what is there by the answers it is told, so the
 * same supply serves run after run; supply_stock() says what has to be done, unmeasured, before a run. */
#ifndef BENCH_SUPPLY_H
#define BENCH_SUPPLY_H

#include "bench/common/dice.h"
#include "bench/common/target.h"

/* Jobs with weights; 0 ends a list never: it has JOB_COUNT entries. */
struct job_share {
    uint32_t weight[JOB_COUNT];
};

/* One job alone, and the mix of an on-sale (mix.def). */
struct job_share job_share_of(enum job job);
extern const struct job_share job_share_mix;

struct supply;
struct supply *supply_make(const struct target_sizes *sizes, uint64_t seed);
void supply_free(struct supply *supply);

/* The next task of a job; false when nothing is left for it. */
bool supply_take(struct supply *supply, enum job job, struct task *task);
/* One of several jobs, by their weights; where nothing is left for one, another one of them takes its place. */
bool supply_take_any(struct supply *supply, const struct job_share *shares, struct task *task);
/* Whom the next task of a job will be about, of the line for RANK: draws are made one ahead, so that whoever asks can fetch
 * meanwhile what it knows of them. Nothing depends on it: somebody else may have to take the turn. */
uint32_t supply_foresee(const struct supply *supply, enum job job);
/* A task was answered. */
void supply_answered(struct supply *supply, const struct task *task, const struct outcome *outcome);

/* The next task that has to be done, unmeasured, before `count` tasks with these shares can follow one another. False
 * when all is there or has been given out, or when the next task would be of another job than `only` (JOB_COUNT: any):
 * the steps of a stock are made one after another, each answered as a whole before the next begins. */
bool supply_stock(struct supply *supply, const struct job_share *shares, uint64_t count, enum job only,
                  struct task *task);

/* How many tasks with these shares the house has room for, once it is stocked. */
uint64_t supply_room(const struct supply *supply, const struct job_share *shares);

#endif
