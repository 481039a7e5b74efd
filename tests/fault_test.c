/* fault_test.c: a whole purchase, from joining to a refund, with the disk failing at the Nth call into LMDB for every N
 * there is. store_fault_test.c does this to random records; here it is the commands, their answers and their retries.
 */
#include "tests/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/store/lmdb_call.h"
#include "tests/power/record.h"
#include "tests/sale.h"
#include "tests/store_help.h"

#define BATCHES (1u + SALE_STEPS) /* the house, and a batch for each step */

/* --- what fails ------------------------------------------------------------------------------------------------- */
enum layer {
    CALLS_INTO_LMDB,
    LMDBS_WRITES_AND_SYNCS,
    ALL_WRITES_AND_SYNCS /* batches go to the journal's front, and from there to LMDB now and then */
};
#define FRONT_BYTES 12288u /* room for two or three batches */

struct failing {
    enum layer layer;
    int how; /* enum lmdb_fail_commit, enum power_failing */
};

static void
fail_calls(const struct failing *failing, uint64_t nth, uint64_t count, int error)
{
    if (failing->layer == CALLS_INTO_LMDB)
        lmdb_call_fail(nth, count, error, (enum lmdb_fail_commit)failing->how);
    else
        power_fail(nth, count, error, (enum power_failing)failing->how);
}

static uint64_t
count_calls(const struct failing *failing)
{
    return failing->layer == CALLS_INTO_LMDB ? lmdb_call_count() : power_count();
}

/* The sweep and the cut of the journal are at work in so short a run, too. */
static struct store_options
options_in(const struct help_folder *folder, const struct failing *failing)
{
    return (struct store_options){.directory = folder->path,
                                  .map_bytes = UINT64_C(1) << 26,
                                  .slice_records = 4,
                                  .journal_bytes = 500,
                                  .no_front = failing->layer == LMDBS_WRITES_AND_SYNCS,
                                  .front_bytes = FRONT_BYTES,
                                  .unsafe_no_sync = failing->layer == CALLS_INTO_LMDB};
}

/* A run that nothing disturbs: what every other must end in. */
struct clean {
    uint64_t digest[BATCHES + 1]; /* by position */
    struct house_record house;    /* at the end */
    uint64_t calls;
};

static void
open_sale(struct sale *sale, const struct help_folder *folder, const struct failing *failing)
{
    const struct store_options options = options_in(folder, failing);
    char why[512] = "";

    if (!sale_open(sale, &options, why, sizeof why))
        fail_msg("%s", why);
}

static void
assert_sound(const struct sale *sale)
{
    char why[512] = "";

    if (!core_audit(sale->core, why, sizeof why))
        fail_msg("the audit found: %s", why);
}

/* Gather the batch after this position. */
static void
add_batch(struct sale *sale, uint64_t position, const struct sale_buyer *buyer)
{
    assert_true(position == 0 ? sale_add_house(sale) : sale_add(sale, buyer));
}

static bool
take_batch(const struct sale *sale, uint64_t position, struct sale_buyer *buyer)
{
    return position == 0 ? sale_took_house(sale) : sale_take(sale, buyer, 0);
}

static void
run_clean(const struct failing *failing, struct clean *clean)
{
    struct help_folder folder;
    struct sale_buyer buyer = {.number = 1};
    struct sale sale;

    help_folder_make(&folder);
    open_sale(&sale, &folder, failing);
    fail_calls(failing, 0, 0, 0);
    for (uint64_t position = 0; position < BATCHES; position++) {
        clean->digest[position] = store_digest_recount(sale.store);
        add_batch(&sale, position, &buyer);
        assert_int_equal(sale_run(&sale), STORE_DONE);
        assert_true(take_batch(&sale, position, &buyer));
    }
    clean->calls = count_calls(failing);
    clean->digest[BATCHES] = store_digest_recount(sale.store);
    store_get_house(sale.store, 0, &clean->house);
    assert_int_equal(buyer.step, SALE_STEPS);
    assert_sound(&sale);
    sale_close(&sale);
    help_folder_remove(&folder);
}

/* Every answer of the undone batch says so, and nothing of it is there. */
static void
assert_undone(const struct sale *sale, const struct clean *clean, uint64_t position, int error)
{
    unsigned expected = error == ENOSPC ? USHER_STORAGE_FULL : USHER_STORAGE_FAULT;

    for (uint32_t i = 0; i < (position == 0 ? 4 : 1); i++)
        assert_int_equal(commit_answer(sale->commit, i).result, expected);
    assert_int_equal(store_position(sale->store), position);
    assert_int_equal(store_digest_recount(sale->store), clean->digest[position]);
}

/* --- one failure ------------------------------------------------------------------------------------------------ */
/* A purchase of which the nth call fails once. Returns how many batches were undone: none or one. */
static unsigned
purchase_with_a_fault(const struct failing *failing, const struct clean *clean, uint64_t nth, int error)
{
    struct help_folder folder;
    struct sale_buyer buyer = {.number = 1};
    unsigned undone = 0;
    struct sale sale;

    help_folder_make(&folder);
    open_sale(&sale, &folder, failing);
    fail_calls(failing, nth, 1, error);
    for (uint64_t position = 0; position < BATCHES;) {
        add_batch(&sale, position, &buyer);
        enum store_outcome outcome = sale_run(&sale);
        if (outcome == STORE_UNDONE) {
            assert_undone(&sale, clean, position, error);
            store_no_fault(sale.store); /* what is read from here on has faults of its own */
            assert_sound(&sale);
            undone++;
            continue; /* the same again, under the same id */
        }
        assert_int_equal(outcome, STORE_DONE);
        assert_true(take_batch(&sale, position, &buyer));
        position++;
        assert_int_equal(store_digest_recount(sale.store), clean->digest[position]);
    }
    assert_true(count_calls(failing) >= nth);
    fail_calls(failing, 0, 0, 0);
    sale_close(&sale);
    open_sale(&sale, &folder, failing);
    assert_int_equal(store_digest_recount(sale.store), clean->digest[BATCHES]);
    assert_sound(&sale);
    sale_close(&sale);
    help_folder_remove(&folder);
    return undone;
}

static void
fail_at_every_call(const struct failing *failing, unsigned *undone, unsigned *done)
{
    struct clean clean;

    run_clean(failing, &clean);
    assert_true(clean.calls >= (failing->layer == ALL_WRITES_AND_SYNCS ? 1 : 3) * BATCHES);
    *undone = *done = 0;
    for (uint64_t nth = 1; nth <= clean.calls; nth++) {
        /* A write that falls short looks like a full disk only where one is. */
        bool short_write = failing->layer != CALLS_INTO_LMDB && failing->how == POWER_FAIL_HALF;
        int error = nth % 2 == 0 || short_write ? EIO : ENOSPC;
        unsigned was_undone = purchase_with_a_fault(failing, &clean, nth, error);
        assert_true(was_undone <= 1);
        *undone += was_undone;
        *done += 1 - was_undone;
    }
    print_message("%u calls failed: %u batches undone, %u done\n", *undone + *done, *undone, *done);
}

/* S5, X3, X6: whichever call of a purchase fails, its batch is undone whole and answered so; the same requests then
 * succeed under the same ids, and the end is that of a purchase without a failure, bit for bit. */
static void
a_purchase_survives_a_fault_at_any_call(void **state)
{
    unsigned undone, done;
    (void)state;

    fail_at_every_call(&(struct failing){CALLS_INTO_LMDB, LMDB_COMMIT_NOT_DONE}, &undone, &done);
    assert_int_equal(done, 0);
}

/* X3, M3: a commit that was reported as failed although it is on the disk is answered as what it is: done, once. */
static void
a_purchase_survives_a_commit_of_unknown_outcome(void **state)
{
    unsigned undone, done;
    (void)state;

    fail_at_every_call(&(struct failing){CALLS_INTO_LMDB, LMDB_COMMIT_DONE}, &undone, &done);
    assert_int_equal(done, BATCHES); /* one commit each */
}

/* --- a disk that stays broken ------------------------------------------------------------------------------------ */
/* After a restart on a sound disk: do what is missing. Returns whether the first batch was there already. */
static bool
finish_after_restart(const struct failing *failing, const struct help_folder *folder, const struct clean *clean,
                     uint64_t position, struct sale_buyer *buyer)
{
    struct house_record house;
    struct sale sale;

    open_sale(&sale, folder, failing);
    bool was_there = store_position(sale.store) == position + 1;
    assert_int_equal(store_position(sale.store), position + was_there);
    assert_int_equal(store_digest_recount(sale.store), clean->digest[position + was_there]);
    assert_sound(&sale);
    for (uint64_t next = position; next < BATCHES; next++) {
        add_batch(&sale, next, buyer);
        assert_int_equal(sale_run(&sale), STORE_DONE);
        assert_int_equal(commit_answer(sale.commit, 0).replayed, was_there && next == position);
        assert_true(take_batch(&sale, next, buyer));
    }
    store_get_house(sale.store, 0, &house);
    assert_int_equal(house.top_ups, clean->house.top_ups);
    assert_int_equal(house.sales, clean->house.sales);
    assert_int_equal(house.last_entry_no, clean->house.last_entry_no);
    assert_int_equal(house.last_event_no, clean->house.last_event_no);
    if (!was_there) /* else the repeated batch took a position and a moment of its own */
        assert_int_equal(store_digest_recount(sale.store), clean->digest[BATCHES]);
    assert_sound(&sale);
    sale_close(&sale);
    return was_there;
}

/* From the nth call on everything fails. Returns the outcome of the batch that met it. */
static enum store_outcome
purchase_on_a_dying_disk(const struct failing *failing, const struct clean *clean, uint64_t nth, bool *was_there)
{
    struct help_folder folder;
    struct sale_buyer buyer = {.number = 1};
    enum store_outcome outcome = STORE_DONE;
    uint64_t position = 0;
    struct sale sale;

    help_folder_make(&folder);
    open_sale(&sale, &folder, failing);
    fail_calls(failing, nth, 1000000, EIO);
    for (;;) {
        add_batch(&sale, position, &buyer);
        outcome = sale_run(&sale);
        if (outcome != STORE_DONE)
            break;
        assert_true(take_batch(&sale, position, &buyer));
        position++;
    }
    if (outcome == STORE_UNDONE)
        assert_undone(&sale, clean, position, EIO);
    sale_close(&sale);
    fail_calls(failing, 0, 0, 0);
    *was_there = finish_after_restart(failing, &folder, clean, position, &buyer);
    if (outcome == STORE_UNDONE)
        assert_false(*was_there);
    help_folder_remove(&folder);
    return outcome;
}

struct deaths {
    unsigned all, lost, there;
};

static struct deaths
die_at_every_call(const struct failing *failing)
{
    struct deaths deaths = {0};
    struct clean clean;

    run_clean(failing, &clean);
    for (uint64_t nth = 1; nth <= clean.calls; nth++) {
        bool was_there;
        deaths.lost += purchase_on_a_dying_disk(failing, &clean, nth, &was_there) == STORE_LOST;
        deaths.there += was_there;
        deaths.all++;
    }
    print_message("%u deaths: %u of unknown outcome, %u of these were on the disk\n", deaths.all, deaths.lost,
                  deaths.there);
    return deaths;
}

/* X3, M3: where the outcome can't be found out the process stops without an answer; the next one finds the batch whole
 * or not at all, and the same requests under the same ids end as if nothing had happened. */
static void
a_purchase_survives_a_disk_that_dies_at_any_call(void **state)
{
    struct deaths not_done = die_at_every_call(&(struct failing){CALLS_INTO_LMDB, LMDB_COMMIT_NOT_DONE});
    struct deaths done = die_at_every_call(&(struct failing){CALLS_INTO_LMDB, LMDB_COMMIT_DONE});
    (void)state;

    assert_int_equal(not_done.lost, BATCHES); /* the commits */
    assert_int_equal(not_done.there, 0);
    assert_int_equal(done.lost, BATCHES);
    assert_int_equal(done.there, BATCHES);
}

/* --- LMDB's own calls -------------------------------------------------------------------------------------------- */
static void
need_the_shim(void)
{
    if (power_fail == NULL)
        skip();
}

/* S5, X3, X6: whichever write or sync of LMDB's fails, is cut short, or is done and reported as failed, the batch is
 * undone whole, in memory and in the file, and the same requests then succeed. */
static void
a_purchase_survives_a_failure_of_any_write_or_sync(void **state)
{
    static const enum power_failing hows[] = {POWER_FAIL_BEFORE, POWER_FAIL_HALF, POWER_FAIL_AFTER};
    (void)state;

    need_the_shim();
    for (unsigned how = 0; how < sizeof hows / sizeof *hows; how++) {
        unsigned undone, done;
        fail_at_every_call(&(struct failing){LMDBS_WRITES_AND_SYNCS, (int)hows[how]}, &undone, &done);
        /* Even of a meta page that reached the disk: LMDB writes the old one back over it. */
        assert_int_equal(done, 0);
    }
}

/* X3, M3: the same when it was the last write or sync that ever reached the disk. Only where a meta page was written,
 * reported as failed and could not be taken back is the outcome unknown. */
static void
a_purchase_survives_a_disk_that_dies_at_any_write_or_sync(void **state)
{
    static const enum power_failing hows[] = {POWER_FAIL_BEFORE, POWER_FAIL_HALF, POWER_FAIL_AFTER,
                                              POWER_FAIL_AFTER_THEN_BEFORE};
    (void)state;

    need_the_shim();
    for (unsigned how = 0; how < sizeof hows / sizeof *hows; how++) {
        struct deaths deaths = die_at_every_call(&(struct failing){LMDBS_WRITES_AND_SYNCS, (int)hows[how]});
        unsigned unknown = hows[how] == POWER_FAIL_AFTER_THEN_BEFORE ? BATCHES : 0;
        assert_int_equal(deaths.lost, unknown);
        assert_int_equal(deaths.there, unknown);
    }
}

/* S5, X3, X6: the same with the journal's front in use: a batch that it can't take goes to LMDB, so nobody is refused for
 * it; where LMDB fails, with what waits in the front, the batch is undone. */
static void
a_purchase_survives_a_failure_of_the_front(void **state)
{
    static const enum power_failing hows[] = {POWER_FAIL_BEFORE, POWER_FAIL_HALF, POWER_FAIL_AFTER};
    (void)state;

    need_the_shim();
    for (unsigned how = 0; how < sizeof hows / sizeof *hows; how++) {
        unsigned undone, done;
        fail_at_every_call(&(struct failing){ALL_WRITES_AND_SYNCS, (int)hows[how]}, &undone, &done);
        assert_true(done > 0);   /* the front failed */
        assert_true(undone > 0); /* LMDB failed */
    }
}

/* X3, M3: the same when nothing reaches the disk any more. */
static void
a_purchase_survives_a_disk_that_dies_under_the_front(void **state)
{
    static const enum power_failing hows[] = {POWER_FAIL_BEFORE, POWER_FAIL_HALF, POWER_FAIL_AFTER};
    (void)state;

    need_the_shim();
    for (unsigned how = 0; how < sizeof hows / sizeof *hows; how++)
        die_at_every_call(&(struct failing){ALL_WRITES_AND_SYNCS, (int)hows[how]});
    /* Written, reported as failed, and not to be taken back: unknown, and there. */
    struct deaths deaths = die_at_every_call(&(struct failing){ALL_WRITES_AND_SYNCS, POWER_FAIL_AFTER_THEN_BEFORE});
    assert_true(deaths.lost > 0);
    assert_int_equal(deaths.there, deaths.lost);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_purchase_survives_a_fault_at_any_call),
        cmocka_unit_test(a_purchase_survives_a_commit_of_unknown_outcome),
        cmocka_unit_test(a_purchase_survives_a_disk_that_dies_at_any_call),
        cmocka_unit_test(a_purchase_survives_a_failure_of_any_write_or_sync),
        cmocka_unit_test(a_purchase_survives_a_disk_that_dies_at_any_write_or_sync),
        cmocka_unit_test(a_purchase_survives_a_failure_of_the_front),
        cmocka_unit_test(a_purchase_survives_a_disk_that_dies_under_the_front),
    };

#ifdef POWER_SHIM_PATH
    if (power_fail == NULL && getenv("LD_PRELOAD") == NULL) {
        setenv("LD_PRELOAD", POWER_SHIM_PATH, 1);
        execv("/proc/self/exe", argv);
    }
#endif
    return usher_test_main(argc, argv, tests);
}
