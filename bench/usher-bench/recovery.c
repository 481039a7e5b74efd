/* recovery.c: how long nobody is served after a SIGKILL: the house that the options ask for is killed under load and
 * started again on the same data and port, three times. What was acknowledged before each kill must be there at the end.
 *
 * The time is that from the start of the new process to its answer to a ping. */
#include <stdlib.h>
#include <string.h>

#include "bench/usher-bench/bench.h"

#define KILLS 3u

/* Some writes, so that the journal is not empty when the server dies. */
static bool
work(struct sitting *sitting, struct drive_figures *figures)
{
    struct bench *bench = sitting->bench;
    struct drive_plan plan = plan_of(&bench->options, "mix", 8, 16);

    plan.rate = 0;
    plan.time_ms = bench->options.seconds * 1000;
    return drive_run(sitting->drive, &plan, figures, bench->why, sizeof bench->why);
}

static bool
kill_and_wait(struct sitting *sitting, json_t *report)
{
    struct bench *bench = sitting->bench;
    const usher_info_request request = {.digest = USHER_FLAG_NO};
    usher_info_reply info;
    uint64_t back_ns;

    if (!house_crash(&sitting->house, &sitting->house_options, &back_ns, bench->why, sizeof bench->why) ||
        !house_ask(&sitting->house, USHER_OPCODE_INFO, &request, &info, bench->why, sizeof bench->why))
        return false;
    json_array_append_new(report, json_pack("{s:f, s:I, s:I, s:I, s:I}", "back_ms", (double)back_ns / 1e6, "users",
                                            (json_int_t)info.user_count, "waiting", (json_int_t)info.waiting_count,
                                            "holds", (json_int_t)info.hold_count, "store_bytes",
                                            (json_int_t)info.store_bytes));
    fprintf(bench_out(bench), "killed and back after %.0f ms: %llu users, %llu in line, %llu holds\n",
            (double)back_ns / 1e6, (unsigned long long)info.user_count, (unsigned long long)info.waiting_count,
            (unsigned long long)info.hold_count);
    return true;
}

bool
play_recovery(struct bench *bench, const char *const *scenario, size_t count)
{
    struct drive_figures *figures = calloc(1, sizeof *figures);
    struct target_sizes sizes = sizes_of(&bench->options);
    json_t *report = json_array();
    struct sitting sitting;
    bool good;

    (void)scenario;
    (void)count;
    if (figures == NULL)
        abort();
    json_object_set_new(bench->report, "recovery", report);
    if (bench->options.server != NULL) {
        snprintf(bench->why, sizeof bench->why, "recovery kills its server: it can't be one that --server names");
        free(figures);
        return false;
    }
    good = sitting_open(&sitting, bench, &sizes, 16, true);
    for (unsigned kill = 0; good && kill < KILLS; kill++)
        good = work(&sitting, figures) && kill_and_wait(&sitting, report);
    free(figures);
    return sitting.drive != NULL && sitting_close(&sitting) && good;
}
