/* crowd.h: a hundred users who want one thing at the same moment, each on a connection of their own (R3, P3). */
#ifndef BENCH_CROWD_H
#define BENCH_CROWD_H

#include "bench/peers/systems.h"

#define CROWD_USERS 100u
#define CROWD_DATES 64u

struct experiments_plan;

/* Milliseconds from the first request to the last answer, the median of several seats or turns. False, and why, when not
 * exactly one got the seat, or a charge was lost. The system is started and not opened. */
bool crowd_wants_one_seat(struct system *system, const struct experiments_plan *plan, double *value, char *why);
bool crowd_charges_one_user(struct system *system, const struct experiments_plan *plan, double *value, char *why);

/* Let the party of a system go, if there is one. */
void crowd_leave(struct system *system);

#endif
