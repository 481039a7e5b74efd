/* bench_peers_test.c: what the comparison with other systems stands on: servers that are started privately and leave
 * nothing behind, and the echo. The peers themselves: bench_systems_test.c. */
#include "tests/test.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/peers/echo.h"
#include "tests/bench_peers_help.h"

static bool
is_there(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0;
}

static void
the_echo_answers_every_task_once(void **state)
{
    struct process process = {.port = process_free_port()};
    char folder[PROCESS_PATH_MOST], port[8], why[512];

    (void)state;
    process_folder(folder, NULL, NULL);
    snprintf(port, sizeof port, "%u", process.port);
    peers_start(&process, folder, (const char *const[]){ECHO_PATH, port, folder, NULL});
    struct drive *drive = drive_open(&target_echo, &process.port, &peers_sizes, 1, NULL, why, sizeof why);
    assert_non_null(drive);
    for (unsigned job = 0; job < 2; job++) { /* one that waits for the disk, one that does not */
        const struct job_share shares = job_share_of(job == 0 ? JOB_JOIN : JOB_RANK);
        const struct drive_figures *figures = peers_run(drive, &shares, 500);
        assert_int_equal(figures->done, 500);
        assert_int_equal(figures->answered, 500);
        assert_int_equal(figures->faults, 0);
    }
    drive_close(drive);
    process_stop(&process, SIGTERM, PEERS_PATIENCE_MS);
    process_clean_up();
}

static void
a_server_of_the_bench_leaves_neither_process_nor_folder(void **state)
{
    struct process process = {.port = process_free_port()};
    char folder[PROCESS_PATH_MOST], port[8];

    (void)state;
    process_folder(folder, NULL, NULL);
    snprintf(port, sizeof port, "%u", process.port);
    peers_start(&process, folder, (const char *const[]){ECHO_PATH, port, folder, NULL});
    pid_t pid = process.pid;
    assert_true(is_there(folder));
    assert_int_equal(kill(pid, 0), 0);
    process_clean_up(); /* as at a signal: nobody has stopped it */
    assert_false(is_there(folder));
    assert_int_not_equal(kill(pid, 0), 0);
}

static void
a_server_that_ends_instead_of_serving_is_told_at_once(void **state)
{
    struct process process = {.port = process_free_port()};
    char folder[PROCESS_PATH_MOST];

    (void)state;
    process_folder(folder, NULL, NULL);
    process_path(process.log, folder, "log");
    assert_true(process_start(&process, (const char *const[]){"/bin/false", NULL}));
    assert_false(process_wait_port(&process, PEERS_PATIENCE_MS));
    assert_int_equal(process.pid, 0);
    assert_false(process_run(&process, (const char *const[]){"/no/such/program", NULL}));
    assert_true(process_run(&process, (const char *const[]){"/bin/true", NULL}));
    process_clean_up();
}

static void
what_a_server_uses_is_seen(void **state)
{
    struct process process = {.port = process_free_port()};
    char folder[PROCESS_PATH_MOST], port[8];

    (void)state;
    process_folder(folder, NULL, NULL);
    snprintf(port, sizeof port, "%u", process.port);
    peers_start(&process, folder, (const char *const[]){ECHO_PATH, port, folder, NULL});
    assert_in_range(process_use(&process).private_bytes, 100000, 1u << 30);
    process_kill(&process);
    assert_int_equal(process_use(&process).private_bytes, 0);
    process_clean_up();
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_echo_answers_every_task_once),
        cmocka_unit_test(a_server_of_the_bench_leaves_neither_process_nor_folder),
        cmocka_unit_test(a_server_that_ends_instead_of_serving_is_told_at_once),
        cmocka_unit_test(what_a_server_uses_is_seen),
    };
    return usher_test_main(argc, argv, tests);
}
