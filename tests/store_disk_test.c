/* store_disk_test.c: what is on the disk: closing, kills, write-back, the journal's bounds. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/store_help.h"

/* Small enough that passes begin, end and overlap with everything all the time. */
static const struct store_options busy = {.slice_records = 20, .journal_bytes = 6000};

static int
make_folder(void **state)
{
    *state = calloc(1, sizeof(struct help_folder));
    help_folder_make(*state);
    return 0;
}

static int
remove_folder(void **state)
{
    help_folder_remove(*state);
    free(*state);
    return 0;
}

/* X3: after closing and opening, records, indexes and history are what they were. */
static void
what_was_committed_is_there_after_closing(void **state)
{
    struct store *store = help_open(*state, NULL);
    struct help_random random = {31};

    for (int opening = 0; opening < 10; opening++) {
        uint64_t picture, position;

        for (int round = 0; round < 20; round++)
            help_batch(store, &random, 25);
        picture = help_picture(store);
        position = store_position(store);
        store_close(store);
        store = help_open(*state, opening % 2 == 0 ? &busy : NULL);
        assert_int_equal(store_position(store), position);
        assert_int_equal(help_picture(store), picture);
        help_recount(store);
    }
    store_close(store);
}

/* X4: the same batches make the same records in memory alone and on the disk, through any write-back and reopening. */
static void
disk_and_memory_come_to_the_same(void **state)
{
    struct store *store = help_open(*state, &busy), *memory = store_open_memory();
    struct help_random random = {32}, twin = random;

    for (int round = 1; round <= 400; round++) {
        help_batch(store, &random, 15);
        help_batch(memory, &twin, 15);
        if (round % 5 == 0)
            (void)store_idle(store);
        if (round % 67 == 0) {
            store_close(store);
            store = help_open(*state, &busy);
        }
        assert_int_equal(store_digest_recount(store), store_digest_recount(memory));
    }
    assert_int_equal(help_picture(store), help_picture(memory));
    help_recount(store);
    store_close(store);
    store_close(memory);
}

/* S5: a batch that is taken back leaves no trace on the disk either, and the next one is as if it had not been. */
static void
a_batch_taken_back_is_not_on_the_disk(void **state)
{
    struct store *store = help_open(*state, &busy);
    struct help_random random = {33};
    uint64_t picture;

    for (int round = 0; round < 60; round++) {
        help_batch(store, &random, 20);
        picture = help_picture(store);
        assert_true(store_begin(store));
        help_change(store, &random, 50);
        store_undo(store);
        assert_int_equal(help_picture(store), picture);
    }
    store_close(store);
    store = help_open(*state, NULL);
    assert_int_equal(help_picture(store), picture);
    store_close(store);
}

/* What a child found before it was killed. */
struct last_words {
    uint64_t position, picture;
};

/* In a child: open, make some batches, tell, and be killed, maybe with a batch open. */
static void
live_and_die(const struct help_folder *folder, int tell, uint64_t seed, bool within_a_batch)
{
    struct store *store = help_open(folder, &busy);
    struct help_random random = {seed};
    struct last_words words;

    for (uint64_t rounds = 1 + help_below(&random, 12); rounds > 0; rounds--)
        help_batch(store, &random, 18);
    if (help_below(&random, 3) == 0)
        (void)store_idle(store);
    words = (struct last_words){store_position(store), help_picture(store)};
    if (write(tell, &words, sizeof words) != sizeof words)
        _exit(1);
    if (within_a_batch && store_begin(store))
        help_change(store, &random, 30);
    kill(getpid(), SIGKILL);
}

/* X3: kill -9 at any place in the sweep loses nothing that was committed and keeps nothing that was not. */
static void
a_kill_loses_no_batch(void **state)
{
    for (uint64_t seed = 100; seed < 140; seed++) {
        struct last_words words;
        struct store *store;
        int pipes[2], status;
        pid_t child;

        assert_int_equal(pipe(pipes), 0);
        child = fork();
        if (child == 0)
            live_and_die(*state, pipes[1], seed, seed % 2 == 0);
        assert_true(child > 0);
        close(pipes[1]);
        assert_int_equal(read(pipes[0], &words, sizeof words), sizeof words);
        close(pipes[0]);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        store = help_open(*state, &busy);
        assert_int_equal(store_position(store), words.position);
        assert_int_equal(help_picture(store), words.picture);
        help_recount(store);
        store_close(store);
    }
}

/* X6, F2: the journal stays bounded under endless load of new and changed records, with the smallest of slices. */
static void
the_journal_stays_bounded_under_endless_load(void **state)
{
    const struct store_options small = {.slice_records = 1, .journal_bytes = 65536};
    struct store *store = help_open(*state, &small);
    struct house_record house;
    uint64_t most = 0, digest, passes = 0, last = 0;

    for (uint64_t batch = 1; batch <= 20000; batch++) {
        struct ticket_record ticket = {.key = UINT64_C(1) << 40 | batch, .end_due = batch};
        uint64_t user_no = 1 + batch * 7919 % 5000;
        struct store_figures figures;

        assert_true(store_begin(store));
        store_get_house(store, 0, &house);
        house.stamp_ms = 1718000000000 + batch;
        store_put_house(store, &house);
        store_put_user(store, &(struct user_record){.user_no = user_no, .balance = (int64_t)batch});
        store_put_ticket(store, &ticket);
        if (batch > 900)
            store_remove_ticket(store, UINT64_C(1) << 40 | (batch - 900));
        assert_int_equal(store_commit(store, (const uint8_t *)"command", 7), STORE_DONE);
        if (batch % 50 != 0)
            continue;
        figures = store_figures(store);
        most = figures.journal_bytes > most ? figures.journal_bytes : most;
        passes += figures.journal_bytes < last;
        last = figures.journal_bytes;
        assert_true(figures.dirty_count < 12000);
    }
    assert_true(most > 65536);
    assert_true(most < 4 * 65536); /* about twice, and the journal's own pages */
    assert_true(passes >= 3);
    digest = store_digest_recount(store);
    store_close(store);
    store = help_open(*state, NULL);
    assert_int_equal(store_digest_recount(store), digest);
    store_close(store);
}

/* X6: with nothing else to do the store writes everything back, empties its journal, and then leaves the disk alone. */
static void
idle_writes_everything_back(void **state)
{
    struct store *store = help_open(*state, NULL);
    struct help_random random = {34};
    struct store_figures figures;
    uint64_t picture, writes = 0;

    assert_false(store_idle(store)); /* a fresh store is clean */
    for (int round = 0; round < 30; round++)
        help_batch(store, &random, 40);
    assert_true(store_figures(store).dirty_count > 100);
    picture = help_picture(store);
    while (store_idle(store))
        assert_true(++writes < 100);
    figures = store_figures(store);
    assert_int_equal(figures.dirty_count, 0);
    assert_int_equal(figures.journal_count, 0);
    assert_false(store_idle(store));
    assert_int_equal(help_picture(store), picture);
    store_close(store);
    store = help_open(*state, NULL);
    assert_int_equal(help_picture(store), picture);
    assert_int_equal(store_figures(store).dirty_count, 0);
    assert_true(store_begin(store)); /* a batch without any change goes into the journal and out again */
    assert_int_equal(store_commit(store, NULL, 0), STORE_DONE);
    assert_int_equal(store_figures(store).journal_count, 1);
    assert_false(store_idle(store));
    assert_int_equal(store_figures(store).journal_count, 0);
    store_close(store);
}

/* X3: a pass that a kill cut short is carried on where it stood, not begun anew. */
static void
a_pass_goes_on_after_reopening(void **state)
{
    const struct store_options slow = {.slice_records = 50};
    struct store *store = help_open(*state, &slow);
    uint64_t dirty;

    assert_true(store_begin(store));
    for (uint64_t user_no = 1; user_no <= 400; user_no++)
        store_put_user(store, &(struct user_record){.user_no = user_no, .balance = 1});
    assert_int_equal(store_commit(store, NULL, 0), STORE_DONE);
    assert_true(store_idle(store));
    assert_true(store_idle(store));
    dirty = store_figures(store).dirty_count;
    assert_int_equal(dirty, 300);
    assert_true(store_begin(store));
    store_put_user(store, &(struct user_record){.user_no = 3, .balance = 2}); /* gone by already: for the next pass */
    assert_int_equal(store_commit(store, NULL, 0), STORE_DONE);
    store_close(store);
    store = help_open(*state, &slow);
    assert_int_equal(store_figures(store).dirty_count, 301);
    while (store_idle(store))
        continue;
    store_close(store);
    store = help_open(*state, &slow);
    assert_int_equal(store_figures(store).dirty_count, 0);
    assert_int_equal(store_see_user(store, 3)->balance, 2);
    assert_int_equal(store_see_user(store, 400)->balance, 1);
    store_close(store);
}

/* S5: a removed record stays removed, whether its row was on the disk or never got there; one made anew is there. */
static void
removed_records_stay_removed(void **state)
{
    struct store *store = help_open(*state, NULL);
    struct hold_record hold = {.end_due = 9, .queue_no = 1};

    assert_true(store_begin(store));
    for (hold.reservation_id = 1; hold.reservation_id <= 6; hold.reservation_id++)
        store_put_hold(store, &hold);
    assert_int_equal(store_commit(store, NULL, 0), STORE_DONE);
    while (store_idle(store))
        continue;
    assert_true(store_begin(store));
    hold.reservation_id = 7;
    store_put_hold(store, &hold);
    for (uint64_t id = 2; id <= 5; id++)
        store_remove_hold(store, id);
    assert_int_equal(store_commit(store, NULL, 0), STORE_DONE);
    assert_true(store_begin(store));
    store_remove_hold(store, 7);
    hold.reservation_id = 4;
    hold.price = 44;
    store_put_hold(store, &hold);
    assert_int_equal(store_commit(store, NULL, 0), STORE_DONE);
    for (int opening = 0; opening < 3; opening++) {
        store_close(store);
        store = help_open(*state, NULL);
        assert_int_equal(store_record_count(store, STORE_TABLE_HOLD), 3);
        assert_null(store_see_hold(store, 2));
        assert_null(store_see_hold(store, 7));
        assert_int_equal(store_see_hold(store, 4)->price, 44);
        while (opening == 1 && store_idle(store))
            continue;
    }
    store_close(store);
}

/* M3, X3: answers are found after reopening, by the index that is made of the rows; dropped ones are not. */
static void
answers_are_found_after_reopening(void **state)
{
    struct store *store = help_open(*state, NULL);
    struct answer_row answer = {.scope = 6, .body_size = 5, .body = "paid"}, found;

    for (uint64_t no = 1; no <= 300; no++) {
        answer.answer_no = answer.request_id.bytes[0] = (uint8_t)no;
        answer.answer_no = no;
        answer.request_id.bytes[1] = (uint8_t)(no >> 8);
        assert_true(store_begin(store));
        store_append_answer(store, &answer);
        if (no % 3 == 0)
            store_drop_answer(store, &answer);
        assert_int_equal(store_commit(store, NULL, 0), STORE_DONE);
    }
    store_close(store);
    store = help_open(*state, NULL);
    assert_int_equal(store_answer_count(store), 200);
    for (uint64_t no = 1; no <= 300; no++) {
        answer.request_id.bytes[0] = (uint8_t)no;
        answer.request_id.bytes[1] = (uint8_t)(no >> 8);
        assert_int_equal(store_find_answer(store, 6, &answer.request_id, &found), no % 3 != 0);
        if (no % 3 != 0)
            assert_int_equal(found.answer_no, no);
        assert_false(store_find_answer(store, 7, &answer.request_id, &found));
    }
    store_close(store);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_committed_is_there_after_closing, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(disk_and_memory_come_to_the_same, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_batch_taken_back_is_not_on_the_disk, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_kill_loses_no_batch, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(the_journal_stays_bounded_under_endless_load, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(idle_writes_everything_back, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_pass_goes_on_after_reopening, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(removed_records_stay_removed, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(answers_are_found_after_reopening, make_folder, remove_folder),
    };

    return usher_test_main(argc, argv, tests);
}
