/* bench_peers_help.h: a small house for every system of the comparison, and a run of it. */
#ifndef TESTS_BENCH_PEERS_HELP_H
#define TESTS_BENCH_PEERS_HELP_H

#include "bench/common/drive.h"
#include "bench/peers/process.h"

#define PEERS_PATIENCE_MS 30000u
#define PEERS_PRICE       700

extern const struct target_sizes peers_sizes;

/* Start a server that keeps its log in this folder, and wait until it serves on process->port. */
void peers_start(struct process *process, const char *folder, const char *const *arguments);

/* Ask so many tasks over six connections with four in flight. The figures are good until the next run. */
const struct drive_figures *peers_run(struct drive *drive, const struct job_share *shares, uint64_t tasks);

/* Every job 250 times without a refusal or a fault, then the mix without a fault. */
void peers_run_every_job(struct drive *drive);

#endif
