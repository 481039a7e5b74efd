/* experiments.h: what a table of throughput does not show: a crowd that wants one thing, the latency of a lone writer and
 * under a given load, ten thousand connections, the return after a crash. experiments.c has the list. */
#ifndef BENCH_EXPERIMENTS_H
#define BENCH_EXPERIMENTS_H

#include "bench/peers/systems.h"

struct experiments_plan {
    const struct systems_options *options;
    bool (*is_wanted)(const char *list, const char *name);
    const char *only, *list; /* systems and experiments by name; NULL: all */
    unsigned rounds;
    bool quick;
};

bool experiments_know(const char *name, size_t size);

/* Run them and print a line for each; *rows gets the same as JSON. False, and why, when one could not be run or an answer
 * was wrong. */
bool experiments_run(const struct experiments_plan *plan, json_t *rows, char *why);

#endif
