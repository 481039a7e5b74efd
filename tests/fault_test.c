/* fault_test.c: a whole purchase, from joining to a refund, with the disk failing at the Nth call into LMDB for every N
 * there is. store_fault_test.c does this to random records; here it is the commands, their answers and their retries.
 */
#include "tests/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/lmdb_call.h"
#include "tests/sale.h"
#include "tests/store_help.h"

#define BATCHES (1u + SALE_STEPS) /* the house, and a batch for each step */

/* The sweep and the cut of the journal are at work in so short a run, too. */
static struct store_options
options_in(const struct help_folder *folder)
{
    return (struct store_options){.directory = folder->path,
                                  .map_bytes = UINT64_C(1) << 26,
                                  .slice_records = 4,
                                  .journal_bytes = 500,
                                  .unsafe_no_sync = true};
}

/* A run that nothing disturbs: what every other must end in. */
struct clean {
    uint64_t digest[BATCHES + 1]; /* by position */
    struct house_record house;    /* at the end */
    uint64_t calls;               /* into LMDB */
};

static void
open_sale(struct sale *sale, const struct help_folder *folder)
{
    const struct store_options options = options_in(folder);
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
run_clean(struct clean *clean)
{
    struct help_folder folder;
    struct sale_buyer buyer = {.number = 1};
    struct sale sale;

    help_folder_make(&folder);
    open_sale(&sale, &folder);
    lmdb_call_fail(0, 0, 0, LMDB_COMMIT_NOT_DONE);
    for (uint64_t position = 0; position < BATCHES; position++) {
        clean->digest[position] = store_digest_recount(sale.store);
        add_batch(&sale, position, &buyer);
        assert_int_equal(sale_run(&sale), STORE_DONE);
        assert_true(take_batch(&sale, position, &buyer));
    }
    clean->calls = lmdb_call_count();
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
purchase_with_a_fault(const struct clean *clean, uint64_t nth, int error, enum lmdb_fail_commit how)
{
    struct help_folder folder;
    struct sale_buyer buyer = {.number = 1};
    unsigned undone = 0;
    struct sale sale;

    help_folder_make(&folder);
    open_sale(&sale, &folder);
    lmdb_call_fail(nth, 1, error, how);
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
    assert_true(lmdb_call_count() >= nth);
    lmdb_call_fail(0, 0, 0, LMDB_COMMIT_NOT_DONE);
    sale_close(&sale);
    open_sale(&sale, &folder);
    assert_int_equal(store_digest_recount(sale.store), clean->digest[BATCHES]);
    assert_sound(&sale);
    sale_close(&sale);
    help_folder_remove(&folder);
    return undone;
}

static void
fail_at_every_call(enum lmdb_fail_commit how, unsigned *undone, unsigned *done)
{
    struct clean clean;

    run_clean(&clean);
    assert_true(clean.calls > 10 * BATCHES);
    *undone = *done = 0;
    for (uint64_t nth = 1; nth <= clean.calls; nth++) {
        unsigned was_undone = purchase_with_a_fault(&clean, nth, nth % 2 == 0 ? EIO : ENOSPC, how);
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

    fail_at_every_call(LMDB_COMMIT_NOT_DONE, &undone, &done);
    assert_int_equal(done, 0);
}

/* X3, M3: a commit that was reported as failed although it is on the disk is answered as what it is: done, once. */
static void
a_purchase_survives_a_commit_of_unknown_outcome(void **state)
{
    unsigned undone, done;
    (void)state;

    fail_at_every_call(LMDB_COMMIT_DONE, &undone, &done);
    assert_int_equal(done, BATCHES); /* one commit each */
}

/* --- a disk that stays broken ------------------------------------------------------------------------------------ */
/* After a restart on a sound disk: do what is missing. Returns whether the first batch was there already. */
static bool
finish_after_restart(const struct help_folder *folder, const struct clean *clean, uint64_t position,
                     struct sale_buyer *buyer)
{
    struct house_record house;
    struct sale sale;

    open_sale(&sale, folder);
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
purchase_on_a_dying_disk(const struct clean *clean, uint64_t nth, enum lmdb_fail_commit how, bool *was_there)
{
    struct help_folder folder;
    struct sale_buyer buyer = {.number = 1};
    enum store_outcome outcome = STORE_DONE;
    uint64_t position = 0;
    struct sale sale;

    help_folder_make(&folder);
    open_sale(&sale, &folder);
    lmdb_call_fail(nth, 1000000, EIO, how);
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
    lmdb_call_fail(0, 0, 0, LMDB_COMMIT_NOT_DONE);
    *was_there = finish_after_restart(&folder, clean, position, &buyer);
    if (outcome == STORE_UNDONE)
        assert_false(*was_there);
    help_folder_remove(&folder);
    return outcome;
}

/* X3, M3: where the outcome can't be found out the process stops without an answer; the next one finds the batch whole
 * or not at all, and the same requests under the same ids end as if nothing had happened. */
static void
a_purchase_survives_a_disk_that_dies_at_any_call(void **state)
{
    static const enum lmdb_fail_commit hows[] = {LMDB_COMMIT_NOT_DONE, LMDB_COMMIT_DONE};
    unsigned lost = 0, there = 0;
    struct clean clean;
    (void)state;

    run_clean(&clean);
    for (unsigned how = 0; how < 2; how++)
        for (uint64_t nth = 1; nth <= clean.calls; nth++) {
            bool was_there;
            lost += purchase_on_a_dying_disk(&clean, nth, hows[how], &was_there) == STORE_LOST;
            there += was_there;
        }
    print_message("%u deaths: %u of unknown outcome, %u of these were on the disk\n", (unsigned)(2 * clean.calls), lost,
                  there);
    assert_int_equal(lost, 2 * BATCHES); /* the commits */
    assert_int_equal(there, BATCHES);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_purchase_survives_a_fault_at_any_call),
        cmocka_unit_test(a_purchase_survives_a_commit_of_unknown_outcome),
        cmocka_unit_test(a_purchase_survives_a_disk_that_dies_at_any_call),
    };

    return usher_test_main(argc, argv, tests);
}
