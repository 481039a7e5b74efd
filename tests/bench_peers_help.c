/* bench_peers_help.c: see bench_peers_help.h. */
#include "tests/bench_peers_help.h"

#include "tests/test.h"

const struct target_sizes peers_sizes = {
    .users = 300, .waiting = 200, .dates = 40, .seats = 60, .hold_ms = 3600000, .price = PEERS_PRICE};

void
peers_start(struct process *process, const char *folder, const char *const *arguments)
{
    process_path(process->log, folder, "log");
    if (!process_start(process, arguments) || !process_wait_port(process, PEERS_PATIENCE_MS))
        fail_msg("%s does not serve", arguments[0]);
}

const struct drive_figures *
peers_run(struct drive *drive, const struct job_share *shares, uint64_t tasks)
{
    static struct drive_figures figures;
    const struct drive_plan plan = {.shares = *shares, .tasks = tasks, .connections = 6, .depth = 4, .seed = 1};
    char why[512];

    if (!drive_run(drive, &plan, &figures, why, sizeof why))
        fail_msg("%s", why);
    return &figures;
}

void
peers_run_every_job(struct drive *drive)
{
    for (unsigned job = 0; job <= JOB_COUNT; job++) {
        const struct job_share shares = job < JOB_COUNT ? job_share_of((enum job)job) : job_share_mix;
        const struct drive_figures *figures = peers_run(drive, &shares, 250);
        assert_int_equal(figures->answered, 250);
        assert_int_equal(figures->faults, 0);
        if (job < JOB_COUNT)
            assert_int_equal(figures->done, 250);
    }
}
