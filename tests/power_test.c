/* power_test.c: the power fails at every moment of a sale (X3), made in a program of our own or by a real usherd.
 * tests/power/ has how: a shim records what the store
 * writes and syncs, images of the disk are built from it, and each is opened. */
#include "tests/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/power/check.h"
#include "tests/power/served.h"
#include "tests/store_help.h"

#define SEED    1
#define BATCHES 220
#define IMAGES  3000

#define SERVED_IMAGES 600 /* or as many as two for each sync boundary make */

static const struct power_load one = {.seed = SEED, .batches = BATCHES};
static const struct power_load three = {.seed = SEED, .batches = BATCHES / 3, .processes = 3};
static const struct power_load in_lmdb = {.seed = SEED, .batches = BATCHES, .mode = "lmdb"};
static const struct power_load aside = {.seed = SEED, .batches = BATCHES, .mode = "aside"};
static const struct power_load unsafe = {.seed = SEED, .batches = BATCHES, .mode = "unsafe"};

static void
cut_everywhere(const struct power_load *load, uint64_t images)
{
    struct help_folder folder;
    struct power_counts counts;
    char why[1024] = "";

    help_folder_make(&folder);
    if (!power_record_load(folder.parent, load, why, sizeof why) ||
        !power_check_log(folder.parent, load, images, &counts, why, sizeof why))
        fail_msg("%s", why);
    print_message("%llu images of %llu records: %llu sync boundaries, %llu batches; %llu before the store was made, "
                  "%llu with a batch that nobody had heard of\n",
                  (unsigned long long)counts.images, (unsigned long long)counts.records,
                  (unsigned long long)counts.boundaries, (unsigned long long)counts.batches,
                  (unsigned long long)counts.unmade, (unsigned long long)counts.unheard);
    assert_true(counts.images >= 500);
    assert_true(counts.batches >= BATCHES / 2);
    assert_true(counts.boundaries >= (load == &in_lmdb ? 2 : 1) * counts.batches);
    assert_true(counts.unheard > 0);
    help_folder_remove(&folder);
}

/* X3, S5: at every sync, between any two writes and in the middle of each, with the unsynced writes there or not in any
 * order and torn at sectors of 512 bytes: the store opens, what was acknowledged is there, the audit passes. */
static void
a_power_cut_at_any_moment_loses_nothing_acknowledged(void **state)
{
    (void)state;

    cut_everywhere(&one, IMAGES);
}

/* X3, S5: the same when every batch is a transaction of LMDB, for want of a file for the journal's front. */
static void
a_power_cut_of_lmdb_alone_loses_nothing_acknowledged(void **state)
{
    (void)state;

    cut_everywhere(&in_lmdb, IMAGES / 2);
}

/* X3, S5: the same when a thread takes each batch to the disk, and another one carries over what waits before LMDB while the
 * next batches are written: their writes come in any order. */
static void
a_power_cut_beside_the_carrying_over_loses_nothing_acknowledged(void **state)
{
    (void)state;

    cut_everywhere(&aside, IMAGES);
}

/* X4, X3: the same with three processes at work on the store. */
static void
a_power_cut_of_three_processes_loses_nothing_that_any_acknowledged(void **state)
{
    (void)state;

    cut_everywhere(&three, IMAGES);
}

/* Serve and sell; then cut the power everywhere. */
static void
cut_served(const struct power_served *served)
{
    struct help_folder folder;
    struct power_served_counts counts;
    char why[1024] = "";

    help_folder_make(&folder);
    power_record_served(folder.parent, served, &counts);
    if (!power_check_served(folder.parent, served, SERVED_IMAGES, &counts.power, why, sizeof why))
        fail_msg("%s", why);
    print_message(
        "%llu images of %llu records: %llu sync boundaries, %llu answers, %llu deaths; %llu sent again, %llu of "
        "them done before\n",
        (unsigned long long)counts.power.images, (unsigned long long)counts.power.records,
        (unsigned long long)counts.power.boundaries, (unsigned long long)counts.acknowledged,
        (unsigned long long)counts.deaths, (unsigned long long)counts.retried, (unsigned long long)counts.replayed);
    assert_true(counts.power.images >= 300);
    assert_true(counts.power.unheard > 0);
    assert_true(counts.acknowledged >= 100);
    assert_int_equal(counts.deaths, served->deaths);
    assert_true(counts.retried > 0);
    help_folder_remove(&folder);
}

/* X3, M3: a real usherd and clients over sockets. Whatever a client had heard before the power failed is found by its
 * request id, though the usherd died in the middle of a write or a sync and was started again. */
static void
a_power_cut_of_a_usherd_loses_no_answer_that_was_heard(void **state)
{
    (void)state;

    cut_served(&(struct power_served){.seed = SEED, .instances = 1, .rounds = 4, .deaths = 3});
}

/* X3, X4: the same with two usherd on one data directory, which go on while the other dies. */
static void
a_power_cut_of_two_usherd_loses_no_answer_that_either_gave(void **state)
{
    (void)state;

    cut_served(&(struct power_served){.seed = SEED, .instances = 2, .rounds = 3, .deaths = 4});
}

/* X3: an answer that left before its batch was on the disk is found out, or the two above would prove nothing. */
static void
an_answer_that_leaves_too_early_is_found_out(void **state)
{
    const struct power_served served = {.seed = SEED, .instances = 1, .rounds = 6, .early = true};
    struct help_folder folder;
    struct power_served_counts counts;
    char why[1024] = "";
    (void)state;

    help_folder_make(&folder);
    power_record_served(folder.parent, &served, &counts);
    assert_false(power_check_served(folder.parent, &served, SERVED_IMAGES, &counts.power, why, sizeof why));
    assert_non_null(strstr(why, "its answer is not there"));
    help_folder_remove(&folder);
}

/* X3: the same cuts find fault with a store that does not sync, or they would prove nothing. */
static void
the_same_cuts_find_fault_with_a_store_that_does_not_sync(void **state)
{
    struct help_folder folder;
    struct power_counts counts;
    char why[1024] = "";
    (void)state;

    help_folder_make(&folder);
    if (!power_record_load(folder.parent, &unsafe, why, sizeof why))
        fail_msg("%s", why);
    assert_false(power_check_log(folder.parent, &unsafe, IMAGES, &counts, why, sizeof why));
    print_message("after %llu images: %s\n", (unsigned long long)counts.images, why);
    assert_int_equal(counts.boundaries, 0);
    help_folder_remove(&folder);
}

/* Tear every synced write of one of the store's files, several times over. */
static struct power_torn
tear(const struct power_load *load, unsigned file, uint64_t seeds)
{
    struct help_folder folder;
    struct power_torn torn, sum = {0};
    char why[1024] = "";

    help_folder_make(&folder);
    if (!power_record_load(folder.parent, load, why, sizeof why))
        fail_msg("%s", why);
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        if (!power_tear(folder.parent, file, seed, &torn, why, sizeof why))
            fail_msg("%s", why);
        sum.images += torn.images;
        sum.whole += torn.whole;
        sum.refused += torn.refused;
        sum.wrong += torn.wrong;
    }
    help_folder_remove(&folder);
    return sum;
}

/* X3: LMDB's limit, as docs/durability.md has it. A meta page has no check of its own, so LMDB relies on a disk that
 * writes a sector whole or not at all; one that tears it can make LMDB go by a meta page that never was, older than
 * what was acknowledged or mixed. Were the limit gone one day, this would say so. */
static void
a_disk_that_tears_sectors_is_beyond_what_lmdb_can_bear(void **state)
{
    struct power_torn sum = tear(&in_lmdb, 0, 4);
    (void)state;

    print_message("%llu meta pages torn within a sector: %llu did no harm, %llu were refused, %llu opened wrong\n",
                  (unsigned long long)sum.images, (unsigned long long)sum.whole, (unsigned long long)sum.refused,
                  (unsigned long long)sum.wrong);
    assert_true(sum.images > 4 * BATCHES);
    assert_true(sum.whole < sum.images);
}

/* X3: the journal's front has checks, so a write of it that is torn anywhere is seen for what it is. */
static void
a_disk_that_tears_sectors_does_the_front_no_harm(void **state)
{
    struct power_torn sum = tear(&one, 1, 2);
    (void)state;

    print_message("%llu writes of the front torn within a sector: %llu did no harm\n", (unsigned long long)sum.images,
                  (unsigned long long)sum.whole);
    assert_true(sum.images > BATCHES);
    assert_int_equal(sum.whole, sum.images);
}

/* --- a store that was never made --------------------------------------------------------------------------------- */
static void
open_store_file(const struct help_folder *folder, char *path, size_t path_size, int *fd)
{
    snprintf(path, path_size, "%s/store.mdb", folder->path);
    *fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(*fd >= 0);
}

/* Make a store and spoil these pages of it; it must be refused, and its bytes stay. */
static void
spoil_and_open(bool large, unsigned first_page, unsigned pages)
{
    static const uint8_t zeroes[4096];
    const size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
    struct help_folder folder;
    struct help_random random = {3};
    struct store_options options = {.map_bytes = UINT64_C(1) << 28, .unsafe_no_sync = true};
    struct store *store;
    struct stat before, after;
    char path[512], why[512] = "";
    int fd;

    assert_true(page_size <= sizeof zeroes);
    help_folder_make(&folder);
    store = help_open(&folder, NULL);
    for (int round = 0; round < (large ? 60 : 1); round++)
        help_batch(store, &random, 25);
    store_close(store);
    open_store_file(&folder, path, sizeof path, &fd);
    for (unsigned page = first_page; page < first_page + pages; page++)
        assert_int_equal(pwrite(fd, zeroes, page_size, (off_t)(page * page_size)), page_size);
    assert_int_equal(fstat(fd, &before), 0);
    assert_true(!large || before.st_size > 256 << 10);
    options.directory = folder.path;
    assert_int_equal(store_open(&options, &store, why, sizeof why), STORE_NOT_ONE);
    assert_int_equal(fstat(fd, &after), 0);
    assert_int_equal(after.st_size, before.st_size);
    close(fd);
    help_folder_remove(&folder);
}

/* X3: zeroes where a store's meta pages were are damage, not a store that was never made; nothing is emptied. */
static void
a_store_with_a_spoilt_meta_page_is_refused_and_left_as_it_is(void **state)
{
    (void)state;

    spoil_and_open(false, 0, 1);
    spoil_and_open(false, 1, 1);
    spoil_and_open(true, 0, 2);
}

/* A file of somebody else's is no store that was never made, however short. */
static void
a_strangers_file_is_never_emptied(void **state)
{
    struct store_options options = {.map_bytes = UINT64_C(1) << 28, .unsafe_no_sync = true};
    struct help_folder folder;
    struct store *store;
    char path[512], why[512] = "";
    struct stat after;
    (void)state;

    help_folder_make(&folder);
    assert_int_equal(mkdir(folder.path, 0700), 0);
    snprintf(path, sizeof path, "%s/store.mdb", folder.path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "a letter", 8), 8);
    options.directory = folder.path;
    assert_int_equal(store_open(&options, &store, why, sizeof why), STORE_NOT_ONE);
    assert_int_equal(fstat(fd, &after), 0);
    assert_int_equal(after.st_size, 8);
    close(fd);
    help_folder_remove(&folder);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_power_cut_at_any_moment_loses_nothing_acknowledged),
        cmocka_unit_test(a_power_cut_of_lmdb_alone_loses_nothing_acknowledged),
        cmocka_unit_test(a_power_cut_beside_the_carrying_over_loses_nothing_acknowledged),
        cmocka_unit_test(a_power_cut_of_three_processes_loses_nothing_that_any_acknowledged),
        cmocka_unit_test(a_power_cut_of_a_usherd_loses_no_answer_that_was_heard),
        cmocka_unit_test(a_power_cut_of_two_usherd_loses_no_answer_that_either_gave),
        cmocka_unit_test(an_answer_that_leaves_too_early_is_found_out),
        cmocka_unit_test(a_disk_that_tears_sectors_does_the_front_no_harm),
        cmocka_unit_test(a_disk_that_tears_sectors_is_beyond_what_lmdb_can_bear),
        cmocka_unit_test(a_store_with_a_spoilt_meta_page_is_refused_and_left_as_it_is),
        cmocka_unit_test(a_strangers_file_is_never_emptied),
        cmocka_unit_test(the_same_cuts_find_fault_with_a_store_that_does_not_sync),
    };

    /* Thousands of files of a megabyte, each there for a moment: memory does. */
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    return usher_test_main(argc, argv, tests);
}
