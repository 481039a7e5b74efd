/* drive.h: asks a target, in a closed loop or by a schedule, and measures.
 *
 * Closed loop: every connection has `depth` tasks in flight; a new one follows each answer. It shows what a system can
 * do, and hides what a slow answer does to those who come meanwhile.
 *
 * Open loop: tasks leave at the moments of a schedule, whatever is still unanswered. A latency counts from the moment at
 * which the task was meant to leave (`intended`), so that one that had to wait for a free place in flight is charged for
 * it; `sent` counts from when it left. Whether the generator itself kept up is measured: `lag` is how late it came to
 * look at a moment although there was a free place. A run whose generator fell behind is void (drive_is_void).
 *
 * A warm-up is a run whose figures nobody looks at. */
#ifndef BENCH_DRIVE_H
#define BENCH_DRIVE_H

#include "bench/common/histogram.h"
#include "bench/common/schedule.h"
#include "bench/common/supply.h"
#include "bench/common/target.h"

struct drive_plan {
    struct job_share shares;        /* which jobs: see supply.h */
    uint64_t tasks;                 /* how many are asked at most; 0: as many as there are */
    uint64_t time_ms;               /* after it nothing more is asked; 0: only tasks counts */
    uint32_t connections, depth;
    double rate; /* a second; 0: closed loop */
    enum schedule_kind schedule;
    uint64_t seed;
    /* Called about once a second, unless it is NULL. */
    void (*progress)(void *context, double seconds, uint64_t answered);
    void *context;
};

struct drive_figures {
    uint64_t asked, answered, done, refused, faults;
    uint64_t reason[OUTCOME_REASONS]; /* refusals and faults, by the target's reasons */
    double seconds;                   /* from the first task's sending to the last answer */
    double per_second;                /* answers */
    double generator_cpu_s;           /* of this process meanwhile */
    bool ran_out;                     /* nothing was left to ask before tasks or time were over */
    struct histogram intended;        /* open loop: latency from the intended start */
    struct histogram sent;            /* latency from the sending */
    struct histogram lag;             /* open loop */
};

/* The generator's own lag that voids an open-loop run: its 99th percentile, or the 90th where fewer than 1,000 tasks can't
 * say that. */
#define DRIVE_LAG_NS_MOST UINT64_C(2000000)

struct drive;

/* Open a target of this kind at `where` and prepare what the sizes ask for; *prepare_s, unless it is NULL, gets how long
 * that took. NULL, and why, when it can't be had. */
struct drive *drive_open(const struct target_kind *kind, const void *where, const struct target_sizes *sizes,
                         uint64_t seed, double *prepare_s, char *why, size_t why_size);
void drive_close(struct drive *drive);
void *drive_target(struct drive *drive);

/* Connect anew if connections or depth have changed; do, unmeasured, what must be there before the plan's tasks; then run
 * them. False, and why in one line, when it could not go on. plan->tasks may be more than the house has room for: then
 * figures->ran_out says so. */
bool drive_run(struct drive *drive, const struct drive_plan *plan, struct drive_figures *figures, char *why,
               size_t why_size);

/* Only what drive_run() would do ahead of the plan's tasks, the stock and the connections, so that who looks at the
 * server's processor time can begin behind it. */
bool drive_stock(struct drive *drive, const struct drive_plan *plan, char *why, size_t why_size);

/* Whether the generator fell behind; why in one line. */
bool drive_is_void(const struct drive_plan *plan, const struct drive_figures *figures, char *why, size_t why_size);

#endif
