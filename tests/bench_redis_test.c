/* bench_redis_test.c: Redis as a peer: its functions (bench/peers/redis.lua) do what target.h asks, and their books
 * agree. Built where USHER_PEERS is on; ./usher bench --peers installs what it needs. */
#include "tests/test.h"

#include <signal.h>
#include <stdio.h>

#include "bench/peers/redis.h"
#include "tests/bench_peers_help.h"

/* A peer that sells a seat twice or loses a point would be no measure. */
static void
its_functions_do_every_job_and_keep_sound_books(void **state)
{
    struct process process = {.port = process_free_port()};
    struct redis_audit audit;
    char folder[PROCESS_PATH_MOST], port[8], why[512];

    (void)state;
    process_folder(folder, NULL, NULL);
    snprintf(port, sizeof port, "%u", process.port);
    peers_start(&process, folder,
                (const char *const[]){"redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", folder, "--save",
                                      "", "--appendonly", "yes", NULL});
    const struct redis_place place = {.port = process.port, .library = REDIS_LIBRARY};
    struct drive *drive = drive_open(&target_redis, &place, &peers_sizes, 1, NULL, why, sizeof why);
    if (drive == NULL)
        fail_msg("%s", why);
    peers_run_every_job(drive);
    assert_true(redis_audit(process.port, peers_sizes.users, &audit, why, sizeof why));
    assert_int_equal(audit.mistakes, 0);
    assert_in_range(audit.payments, 250, 500);
    assert_int_equal(audit.spent, audit.payments * PEERS_PRICE);
    drive_close(drive);
    process_stop(&process, SIGTERM, PEERS_PATIENCE_MS);
    process_clean_up();
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_functions_do_every_job_and_keep_sound_books),
    };
    return usher_test_main(argc, argv, tests);
}
