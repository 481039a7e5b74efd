/* store_fault_test.c: the disk failing: at the Nth call for every N, at the commit with an unknown outcome, by a full
 * map and a full disk; and the history consumer between failures, reopenings and a second thread. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server/store/lmdb_call.h"
#include "tests/store_help.h"

static const struct store_options busy = {.slice_records = 20, .journal_bytes = 4000};

static int
make_folder(void **state)
{
    *state = calloc(1, sizeof(struct help_folder));
    help_folder_make(*state);
    return 0;
}

static void
no_failures(void)
{
    lmdb_call_fail(0, 0, 0, LMDB_COMMIT_NOT_DONE);
}

static void
limit_files(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static int
remove_folder(void **state)
{
    no_failures();
    limit_files(RLIM_INFINITY);
    help_folder_remove(*state);
    free(*state);
    return 0;
}

/* Make one batch whose nth call fails; *calls gets how many it made. */
static enum store_outcome
failing_batch(struct store *store, struct help_random *random, uint64_t nth, uint64_t count, int error,
              enum lmdb_fail_commit commit, uint64_t *calls)
{
    enum store_outcome outcome = STORE_UNDONE;

    lmdb_call_fail(nth, count, error, commit);
    if (store_begin(store)) {
        help_change(store, random, 25);
        outcome = store_commit(store, (const uint8_t *)"commands", 8);
    }
    *calls = lmdb_call_count();
    no_failures();
    return outcome;
}

/* Batches of which one call fails each, against a twin in memory of which none does. Returns how often a commit was
 * reported as failed and was found on the disk nevertheless. */
static unsigned
fail_at_every_call(const struct help_folder *folder, enum lmdb_fail_commit commit)
{
    struct store *store = help_open(folder, &busy), *twin = store_open_memory();
    struct help_random random = {51};
    uint64_t nth = 0, calls, most = 0;
    unsigned found = 0;

    for (int round = 0; round < 900; round++) {
        int error = round % 2 == 0 ? EIO : ENOSPC;
        struct help_random before = random;
        uint64_t picture = help_picture(store), position = store_position(store);
        const char *why;

        nth = nth % (most + 3) + 1;
        if (failing_batch(store, &random, nth, 1, error, commit, &calls) == STORE_DONE) {
            found += calls >= nth;
            assert_int_equal(store_fault(store, &why), STORE_OK);
        } else {
            assert_true(calls >= nth);
            assert_int_equal(store_fault(store, &why), error == EIO ? STORE_FAULT : STORE_NO_ROOM);
            assert_non_null(strstr(why, "store.mdb"));
            assert_int_equal(store_position(store), position);
            assert_int_equal(help_picture(store), picture);
            random = before;
            no_failures();
            help_batch(store, &random, 25);
            calls = lmdb_call_count();
        }
        most = calls > most ? calls : most;
        assert_int_equal(store_position(store), position + 1);
        help_batch(twin, &before, 25);
        random = before;
        assert_int_equal(store_digest_recount(store), store_digest_recount(twin));
    }
    assert_true(most > 40);
    store_close(store);
    store = help_open(folder, NULL);
    assert_int_equal(help_picture(store), help_picture(twin));
    help_recount(store);
    store_close(store);
    store_close(twin);
    return found;
}

/* S5, X6: whichever call of a batch fails, the store is as it was before it, and the same batch succeeds afterwards. */
static void
a_failure_at_any_call_undoes_the_whole_batch(void **state)
{
    assert_int_equal(fail_at_every_call(*state, LMDB_COMMIT_NOT_DONE), 0);
}

/* X3, S5: a commit that is reported as failed but reached the disk is found there and counts as done. */
static void
a_failed_commit_that_is_on_the_disk_is_done(void **state)
{
    assert_true(fail_at_every_call(*state, LMDB_COMMIT_DONE) > 3);
}

/* X3: a commit whose outcome can't be found out stops everything: what a new process finds is one of the two. */
static void
an_outcome_that_cannot_be_found_is_lost(void **state)
{
    static const enum lmdb_fail_commit commits[] = {LMDB_COMMIT_NOT_DONE, LMDB_COMMIT_DONE};
    struct help_random random = {52};
    unsigned lost = 0;

    for (int round = 0; round < 2; round++) {
        enum store_outcome outcome = STORE_UNDONE;

        for (uint64_t nth = 1; outcome != STORE_DONE; nth++) {
            struct store *store = help_open(*state, &busy);
            struct help_random copy = random;
            uint64_t before = store_digest_recount(store), position = store_position(store), calls;

            outcome = failing_batch(store, &copy, nth, 100000, EIO, commits[round], &calls);
            store_close(store);
            store = help_open(*state, &busy);
            if (outcome == STORE_LOST) {
                lost++;
                assert_int_equal(store_position(store), position + (commits[round] == LMDB_COMMIT_DONE));
            }
            if (outcome == STORE_UNDONE)
                assert_int_equal(store_position(store), position);
            if (store_position(store) == position)
                assert_int_equal(store_digest_recount(store), before);
            help_recount(store);
            store_close(store);
            assert_true(nth < 2000);
        }
    }
    assert_true(lost >= 2);
}

/* X6: writing back when idle can fail at any call too; nothing is lost, and it goes on afterwards. */
static void
a_failure_while_idle_loses_nothing(void **state)
{
    struct store *store = help_open(*state, &busy);
    struct help_random random = {53};
    uint64_t picture;

    for (int round = 0; round < 25; round++)
        help_batch(store, &random, 25);
    picture = help_picture(store);
    for (uint64_t nth = 1; store_figures(store).dirty_count > 0 || nth < 150; nth++) {
        if (store_figures(store).dirty_count == 0)
            help_batch(store, &random, 25);
        picture = help_picture(store);
        lmdb_call_fail(nth % 90 + 1, 1, EIO, nth % 2 == 0 ? LMDB_COMMIT_DONE : LMDB_COMMIT_NOT_DONE);
        (void)store_idle(store);
        no_failures();
        assert_int_equal(help_picture(store), picture);
        assert_true(nth < 2000);
    }
    store_close(store);
    store = help_open(*state, NULL);
    assert_int_equal(help_picture(store), picture);
    assert_int_equal(store_figures(store).dirty_count, 0);
    store_close(store);
}

/* --- no room ---------------------------------------------------------------------------------- */
/* Batches until one is refused for want of room; it must leave the store as it was, and reads go on. */
static void
fill_up(struct store *store, struct help_random *random)
{
    struct event_row event;
    uint64_t picture;
    const char *why;

    for (int round = 0;; round++) {
        struct help_random before = *random;
        enum store_outcome outcome = STORE_UNDONE;

        picture = help_picture(store);
        if (store_begin(store)) {
            help_change(store, random, 60);
            outcome = store_commit(store, NULL, 0);
        }
        if (outcome == STORE_DONE) {
            assert_true(round < 10000);
            continue;
        }
        assert_int_equal(outcome, STORE_UNDONE);
        assert_int_equal(store_fault(store, &why), STORE_NO_ROOM);
        *random = before;
        break;
    }
    assert_int_equal(help_picture(store), picture);
    assert_true(store_read_event(store, 1, &event));
}

/* X6: a full map stops writes and nothing else; opened with a larger map, the same batch goes through. */
static void
a_full_map_stops_writes_and_loses_nothing(void **state)
{
    const struct store_options small = {.map_bytes = 1 << 20};
    struct store *store = help_open(*state, &small);
    struct help_random random = {54};
    uint64_t picture;

    fill_up(store, &random);
    fill_up(store, &random); /* once more: the refusal broke nothing */
    picture = help_picture(store);
    store_close(store);
    store = help_open(*state, NULL);
    assert_int_equal(help_picture(store), picture);
    help_batch(store, &random, 60);
    help_recount(store);
    store_close(store);
}

/* X6: a disk that takes no more stops writes, by a real failed write in the commit; with room it goes on by itself. */
static void
a_full_disk_stops_writes_until_there_is_room(void **state)
{
    struct store *store = help_open(*state, NULL);
    struct help_random random = {55};
    uint64_t picture;

    signal(SIGXFSZ, SIG_IGN);
    limit_files(600000);
    fill_up(store, &random);
    fill_up(store, &random);
    limit_files(RLIM_INFINITY);
    for (int round = 0; round < 20; round++)
        help_batch(store, &random, 60);
    picture = help_picture(store);
    store_close(store);
    store = help_open(*state, NULL);
    assert_int_equal(help_picture(store), picture);
    help_recount(store);
    store_close(store);
}

/* --- the history consumer --------------------------------------------------------------------- */
/* Every user's history must be exactly what its events say, in order, whatever page size it is read with. */
static void
check_history(const struct store *store, size_t most)
{
    uint64_t last = store_see_house(store, 0)->last_event_no;
    unsigned checked = 0;

    for (uint32_t user_no = 1; user_no <= 20; user_no++) {
        struct history_record rows[64];
        uint64_t after = 0, event_no = 1;
        size_t count = 0, at = 0;
        bool more = true;
        struct payment_row payment;
        struct refund_row refund;
        struct event_row event;

        for (; event_no <= last; event_no++) {
            const struct sold_seat *seats = payment.seat;
            uint32_t seat_count = 0;
            int64_t sign = 1;

            assert_true(store_read_event(store, event_no, &event));
            if (event.kind == USHER_EVENT_PAID && store_read_payment(store, event.payment_id, &payment) &&
                payment.user_no == user_no)
                seat_count = payment.seat_count;
            if (event.kind == USHER_EVENT_REFUNDED && store_read_refund(store, event.refund_id, &refund) &&
                refund.user_no == user_no) {
                seats = refund.seat;
                seat_count = refund.seat_count;
                sign = -1;
            }
            for (uint32_t seat = 0; seat < seat_count; seat++, at++, checked++) {
                if (at == count) {
                    assert_true(more);
                    count = store_consumer_rows(store, user_no, after, rows, most, &more);
                    assert_true(count > 0);
                    after = rows[count - 1].event_no;
                    at = 0;
                }
                assert_int_equal(rows[at].event_no, event_no);
                assert_int_equal(rows[at].index, seat);
                assert_int_equal(rows[at].reservation_id, seats[seat].reservation_id);
                assert_int_equal(rows[at].amount, sign * seats[seat].price);
            }
        }
        assert_int_equal(at, count);
        if (more)
            assert_int_equal(store_consumer_rows(store, user_no, after, rows, most, &more), 0);
        assert_false(more);
    }
    assert_true(checked > 0);
}

/* B2: failing, stopped, killed between two steps or refused by the disk, the consumer loses and doubles nothing. */
static void
the_consumer_resumes_without_loss_or_doubling(void **state)
{
    struct store *store = help_open(*state, &busy);
    struct help_random random = {56};
    enum store_step step = STORE_STEP_DONE;

    for (int round = 0; round < 300; round++) {
        uint64_t cursor = store_consumer_cursor(store);

        if (round < 120)
            help_batch(store, &random, 25);
        if (help_below(&random, 3) == 0)
            store_consumer_fail(store, 1);
        if (help_below(&random, 2) == 0)
            lmdb_call_fail(1 + help_below(&random, 40), 1, EIO,
                           help_below(&random, 2) == 0 ? LMDB_COMMIT_DONE : LMDB_COMMIT_NOT_DONE);
        step = store_consumer_step(store, 1 + (uint32_t)help_below(&random, 9));
        no_failures();
        assert_true(step == STORE_STEP_DONE || store_consumer_cursor(store) == cursor || step == STORE_STEP_FAILED);
        if (round % 37 == 0) {
            store_close(store);
            store = help_open(*state, &busy);
        }
    }
    store_consumer_fail(store, 0);
    while ((step = store_consumer_step(store, 64)) != STORE_STEP_NOTHING)
        assert_int_equal(step, STORE_STEP_DONE);
    assert_int_equal(store_consumer_cursor(store), store_see_house(store, 0)->last_event_no);
    check_history(store, 16);
    check_history(store, 64);
    store_close(store);
}

struct consuming {
    struct store *store;
    atomic_bool stop;
};

static void *
consume(void *given)
{
    struct consuming *consuming = given;

    while (!consuming->stop)
        if (store_consumer_step(consuming->store, 8) == STORE_STEP_NOTHING)
            sched_yield();
    return NULL;
}

/* B2, S5: the consumer in its own thread, while the owner commits, fails, and opens the environment anew under it. */
static void
the_consumer_runs_beside_the_owner(void **state)
{
    struct consuming consuming = {.store = help_open(*state, &busy)};
    struct store *store = consuming.store;
    struct help_random random = {57};
    pthread_t thread;
    unsigned undone = 0;

    assert_int_equal(pthread_create(&thread, NULL, consume, &consuming), 0);
    for (int round = 0; round < 300; round++) {
        struct help_random before = random;
        uint64_t calls, picture = store_digest_recount(store);

        if (failing_batch(store, &random, 1 + help_below(&before, 150), round % 3 == 0, EIO,
                          round % 2 == 0 ? LMDB_COMMIT_DONE : LMDB_COMMIT_NOT_DONE, &calls) == STORE_DONE)
            continue;
        undone++;
        assert_int_equal(store_digest_recount(store), picture);
    }
    for (int round = 0; round < 20; round++)
        help_batch(store, &random, 25);
    consuming.stop = true;
    assert_int_equal(pthread_join(thread, NULL), 0);
    while (store_consumer_step(store, 64) != STORE_STEP_NOTHING)
        continue;
    check_history(store, 64);
    assert_true(undone < 150);
    store_close(store);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_failure_at_any_call_undoes_the_whole_batch, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_failed_commit_that_is_on_the_disk_is_done, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(an_outcome_that_cannot_be_found_is_lost, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_failure_while_idle_loses_nothing, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_full_map_stops_writes_and_loses_nothing, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_full_disk_stops_writes_until_there_is_room, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(the_consumer_resumes_without_loss_or_doubling, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(the_consumer_runs_beside_the_owner, make_folder, remove_folder),
    };

    return usher_test_main(argc, argv, tests);
}
