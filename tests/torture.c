/* torture.c: ./usher torture: power cuts and kills without end, or for as long as is said.
 *
 *     torture [--minutes N] [--seed N] [--instances N]
 *
 * Each round has a seed of its own: a recorded sale whose disk is opened at a few thousand cuts, the same of real
 * usherd that die in the middle of writes (tests/power/), then kills under load (tests/kill.c). After each round it
 * prints the counts of all so far. It ends at the first thing that is wrong, and says the seed that repeats it. */
#include "tests/test.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/kill.h"
#include "tests/power/check.h"
#include "tests/power/served.h"
#include "tests/store_help.h"

#define BATCHES 400u
#define IMAGES  5000u
#define KILLS   50u
#define DEATHS  6u

static struct {
    double minutes; /* 0: without end */
    uint64_t seed;
    unsigned instances;
} wanted = {.seed = 1, .instances = 1};

static struct {
    uint64_t rounds;
    struct power_counts power;
    struct power_served_counts served;
    struct kill_counts kill;
} sum;

static double
minutes_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec / 60 + (double)now.tv_nsec / 60e9;
}

static void
cut_power(uint64_t seed)
{
    struct help_folder folder;
    const struct power_load load = {.seed = seed,
                                    .batches = BATCHES / wanted.instances,
                                    .processes = wanted.instances,
                                    .mode = seed % 2 == 0 ? "aside" : NULL};
    struct power_counts counts;
    char why[1024] = "";

    help_folder_make(&folder);
    if (!power_record_load(folder.parent, &load, why, sizeof why) ||
        !power_check_log(folder.parent, &load, IMAGES, &counts, why, sizeof why))
        fail_msg("%s (it is left there; --seed %" PRIu64 " repeats it)", why, seed);
    help_folder_remove(&folder);
    sum.power.records += counts.records;
    sum.power.boundaries += counts.boundaries;
    sum.power.batches += counts.batches;
    sum.power.images += counts.images;
}

static void
cut_power_of_servers(uint64_t seed)
{
    struct help_folder folder;
    const struct power_served served = {.seed = seed, .instances = wanted.instances, .rounds = 8, .deaths = DEATHS};
    struct power_served_counts counts;
    char why[1024] = "";

    help_folder_make(&folder);
    power_record_served(folder.parent, &served, &counts);
    if (!power_check_served(folder.parent, &served, IMAGES, &counts.power, why, sizeof why))
        fail_msg("%s (it is left there)", why);
    help_folder_remove(&folder);
    sum.served.power.images += counts.power.images;
    sum.served.acknowledged += counts.acknowledged;
    sum.served.deaths += counts.deaths;
}

static void
kill_servers(uint64_t seed)
{
    struct kill_counts counts;

    kill_again_and_again(wanted.instances, KILLS, 0, seed, &counts);
    sum.kill.kills += counts.kills;
    sum.kill.acknowledged += counts.acknowledged;
    sum.kill.retried += counts.retried;
    sum.kill.replayed += counts.replayed;
    sum.kill.looked_up += counts.looked_up;
}

static void
print_counts(double since)
{
    printf("%6.1f min, %" PRIu64 " rounds: %" PRIu64 " power cuts at %" PRIu64 " batches and %" PRIu64
           " syncs; %" PRIu64 " power cuts of usherd at %" PRIu64 " answers and %" PRIu64 " deaths; %" PRIu64
           " kills, %" PRIu64 " commands acknowledged, %" PRIu64 " looked up, %" PRIu64 " sent again\n",
           minutes_now() - since, sum.rounds, sum.power.images, sum.power.batches, sum.power.boundaries,
           sum.served.power.images, sum.served.acknowledged, sum.served.deaths, sum.kill.kills, sum.kill.acknowledged,
           sum.kill.looked_up, sum.kill.retried);
    fflush(stdout);
}

static void
nothing_acknowledged_is_lost(void **state)
{
    double since = minutes_now();
    (void)state;

    for (uint64_t seed = wanted.seed; wanted.minutes <= 0 || minutes_now() - since < wanted.minutes; seed++) {
        printf("seed %" PRIu64 "\n", seed);
        cut_power(seed);
        cut_power_of_servers(seed);
        kill_servers(seed);
        sum.rounds++;
        print_counts(since);
    }
}

/* False when the words are not options. */
static bool
read_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        char *end = NULL;
        double value = i + 1 < argc ? strtod(argv[i + 1], &end) : -1;
        if (end == NULL || *end != '\0' || end == argv[i + 1] || value < 0)
            return false;
        if (strcmp(argv[i], "--minutes") == 0)
            wanted.minutes = value;
        else if (strcmp(argv[i], "--seed") == 0)
            wanted.seed = (uint64_t)value;
        else if (strcmp(argv[i], "--instances") == 0)
            wanted.instances = value >= 1 && value <= 4 ? (unsigned)value : 1;
        else
            return false;
    }
    return true;
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_acknowledged_is_lost)};

    if (!read_options(argc, argv)) {
        fprintf(stderr,
                "torture [--minutes N] [--seed N] [--instances N]; without --minutes it goes on until Ctrl-C\n");
        return 2;
    }
    /* Thousands of files of a megabyte, each there for a moment: memory does. */
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
