/* bench_systems_test.c: the peers that Usher is compared with: what they are asked for, they do, a crowd gets what it may
 * have, their books agree, and what they acknowledged outlives a crash. Built where USHER_PEERS is on; ./usher bench
 * --peers installs what it needs. */
#include "tests/test.h"

#include <stdio.h>

#include "bench/peers/crowd.h"
#include "bench/peers/systems.h"
#include "tests/bench_peers_help.h"

static struct systems_options
options_of(void)
{
    return (struct systems_options){
        .scripts = PEERS_SCRIPTS, .echo = ECHO_PATH, .connections_most = 200, .sizes = peers_sizes, .seed = 1};
}

/* A peer that sells a seat twice or loses a point would be no measure. */
static void
does_every_job_and_keeps_its_books(const char *name, size_t size)
{
    const struct systems_options options = options_of();
    struct system system;
    char told[WHY_SIZE] = "", why[WHY_SIZE] = "";
    uint64_t back_ns;

    if (!system_open(&system, system_named(name, size), &options, why))
        fail_msg("%s", why);
    peers_run_every_job(system.drive);
    if (!system_crash(&system, &back_ns, why) || !system.row->audit(&system, told, why))
        fail_msg("%s", why);
    assert_string_not_equal(told, "");
    system_close(&system);
    process_clean_up();
}

static void
gives_a_crowd_one_seat_and_every_charge(const char *name, size_t size)
{
    const struct systems_options options = options_of();
    struct system system;
    char why[WHY_SIZE] = "";
    double ms;

    if (!system_start(&system, system_named(name, size), &options, why) ||
        !crowd_wants_one_seat(&system, NULL, &ms, why) || !crowd_charges_one_user(&system, NULL, &ms, why))
        fail_msg("%s", why);
    assert_true(ms > 0);
    system_close(&system);
    process_clean_up();
}

static void
redis_does_every_job_and_its_books_outlive_a_crash(void **state)
{
    (void)state;
    does_every_job_and_keeps_its_books("redis", 5);
}

static void
postgres_does_every_job_and_its_books_outlive_a_crash(void **state)
{
    (void)state;
    does_every_job_and_keeps_its_books("postgres", 8);
}

static void
redis_gives_a_crowd_one_seat_and_every_charge(void **state)
{
    (void)state;
    gives_a_crowd_one_seat_and_every_charge("redis", 5);
}

static void
postgres_gives_a_crowd_one_seat_and_every_charge(void **state)
{
    (void)state;
    gives_a_crowd_one_seat_and_every_charge("postgres", 8);
}

/* The study's two ways on MariaDB. */
static void
mariadb_gives_a_crowd_one_seat_and_every_charge(void **state)
{
    (void)state;
    gives_a_crowd_one_seat_and_every_charge("optimistic", 10);
    gives_a_crowd_one_seat_and_every_charge("pessimistic", 11);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(redis_does_every_job_and_its_books_outlive_a_crash),
        cmocka_unit_test(postgres_does_every_job_and_its_books_outlive_a_crash),
        cmocka_unit_test(redis_gives_a_crowd_one_seat_and_every_charge),
        cmocka_unit_test(postgres_gives_a_crowd_one_seat_and_every_charge),
        cmocka_unit_test(mariadb_gives_a_crowd_one_seat_and_every_charge),
    };
    return usher_test_main(argc, argv, tests);
}
