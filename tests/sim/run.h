/* run.h: a seed played in a process of its own, and what to do when something does not hold. */
#ifndef SIM_RUN_H
#define SIM_RUN_H

#include "tests/sim/generate.h"

/* Play a seed. Returns true if everything held; else the scene is printed. counts gets what was done. */
bool run_seed(const struct profile *profile, uint32_t shrink_seconds, struct tape_counts *counts);

#endif
