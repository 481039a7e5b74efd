/* store_aside_test.c: what the store's own threads do beside its owner: waiting for the disk, and carrying over into
 * LMDB what waits before it. A twin in memory does the same without disk and threads, and must look the same at every
 * step. Power cuts within it are power_test's, through a whole usherd. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/store/front.h"
#include "server/store/lmdb_call.h"
#include "server/store/runner.h"
#include "tests/store_help.h"

#define CHANGES 6u

static struct store *
open_aside(const struct help_folder *folder)
{
    const struct store_options options = {.directory = folder->path,
                                          .map_bytes = UINT64_C(1) << 28,
                                          .slice_records = 20,
                                          .journal_bytes = 20000,
                                          .front_bytes = 32 * FRONT_BLOCK};
    struct store *store;
    char why[512] = "";

    if (store_open(&options, &store, why, sizeof why) != STORE_OK)
        fail_msg("%s", why);
    store_work_aside(store);
    return store;
}

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
    lmdb_call_fail(0, 0, 0, LMDB_COMMIT_NOT_DONE);
    help_folder_remove(*state);
    free(*state);
    return 0;
}

static void
wait_for(int descriptor)
{
    struct pollfd wanted = {.fd = descriptor, .events = POLLIN};

    assert_int_equal(poll(&wanted, 1, 20000), 1);
}

/* A batch in two steps, as the loop makes them; a part of them is waited for with poll. */
static enum store_outcome
batch_aside(struct store *store, struct help_random *random)
{
    enum store_outcome outcome;

    if (!store_begin(store))
        return STORE_UNDONE;
    help_change(store, random, CHANGES);
    outcome = store_commit_start(store, (const uint8_t *)"commands", 8);
    if (outcome != STORE_ON_ITS_WAY)
        return outcome;
    if (store_position(store) % 3 == 0)
        wait_for(store_commit_descriptor(store));
    if (store_position(store) % 3 == 1)
        while (!store_commit_is_over(store))
            store_look_aside(store);
    return store_commit_end(store);
}

/* --- the runner ------------------------------------------------------------------------------------------------ */
static void
count_up(void *argument)
{
    ++*(unsigned *)argument;
}

/* A job is done once, tells through the descriptor, and what it wrote is the owner's; a signal never runs there. */
static void
a_runner_does_one_job_after_another(void **state)
{
    struct runner *runner = runner_open();
    unsigned count = 0;
    (void)state;

    assert_non_null(runner);
    assert_true(runner_is_done(runner));
    for (unsigned job = 1; job <= 1000; job++) {
        assert_true(runner_start(runner, count_up, &count));
        if (job % 3 == 0)
            wait_for(runner_descriptor(runner));
        if (job % 3 == 1)
            runner_wait(runner);
        while (!runner_is_done(runner))
            continue;
        assert_int_equal(count, job);
        struct pollfd quiet = {.fd = runner_descriptor(runner), .events = POLLIN};
        assert_int_equal(poll(&quiet, 1, 0), 0);
    }
    assert_true(runner_start(runner, count_up, &count));
    runner_close(runner); /* waits */
    assert_int_equal(count, 1001);
    runner_close(runner_open());
    runner_close(NULL);
}

/* --- beside the owner ------------------------------------------------------------------------------------------ */
/* X3: while halves are carried over, and in quiet moments, everything looks as if there were no disk at all; the
 * journal stays bounded, and LMDB tells of events as far as it has them. */
static void
what_is_carried_over_aside_looks_the_same_at_every_step(void **state)
{
    struct help_random random = {7}, same = {7};
    struct store *store = open_aside(*state), *twin = store_open_memory();
    uint64_t told = 0, behind = 0;

    for (unsigned batch = 0; batch < 400; batch++) {
        assert_int_equal(batch_aside(store, &random), STORE_DONE);
        help_batch(twin, &same, CHANGES);
        assert_int_equal(help_picture(store), help_picture(twin));
        uint64_t event_no = store_settled_event_no(store), last = store_see_house(store, 0)->last_event_no;
        assert_in_range(event_no, told, last);
        told = event_no;
        behind += told < last;
        if (batch % 50 == 49)
            while (store_idle_aside(store))
                wait_for(store_aside_descriptor(store));
    }
    assert_true(told > 0);
    assert_true(behind > 0);
    assert_true(store_is_settled(store));
    assert_int_equal(store_figures(store).dirty_count, 0);
    assert_int_equal(help_picture(store), help_picture(twin));
    help_recount(store);
    store_close(store);
    store = open_aside(*state);
    assert_int_equal(help_picture(store), help_picture(twin));
    assert_int_equal(store_digest(store), store_digest_recount(store));
    store_close(store);
    store_close(twin);
}

static void *
step_once(void *store)
{
    (void)store_consumer_step(store, 1000);
    return NULL;
}

/* X7: while something is carried over its owner has the write lock, and the history consumer waits for it: whoever stops
 * waits for the one first, and the other comes to its end. */
static void
the_history_goes_on_once_what_is_carried_over_was_waited_for(void **state)
{
    struct help_random random = {11};
    struct store *store = open_aside(*state);
    pthread_t consumer;

    for (unsigned round = 0; round < 20; round++) {
        assert_int_equal(batch_aside(store, &random), STORE_DONE);
        assert_true(store_idle_aside(store));
        assert_int_equal(pthread_create(&consumer, NULL, step_once, store), 0);
        store_wait_aside(store);
        assert_int_equal(pthread_join(consumer, NULL), 0);
    }
    store_close(store);
}

/* X3: killed while a half is carried over and the other one filled: what was acknowledged is there, and nothing else.
 */
static void
a_kill_while_carrying_loses_nothing(void **state)
{
    struct help_random random = {0};
    uint64_t begun = 0;

    for (unsigned round = 1; round <= 25; round++) {
        uint64_t left[2] = {0, 0};
        int pipes[2], status;

        assert_int_equal(pipe(pipes), 0);
        random.state = round;
        pid_t child = fork();
        if (child == 0) {
            struct store *store = open_aside(*state);
            for (unsigned batch = 0; batch < 10 + round * 3; batch++)
                if (batch_aside(store, &random) != STORE_DONE)
                    _exit(1);
            left[0] = store_position(store);
            left[1] = help_picture(store);
            _exit(write(pipes[1], left, sizeof left) != sizeof left ? 1 : kill(getpid(), SIGKILL));
        }
        close(pipes[1]);
        assert_int_equal(read(pipes[0], left, sizeof left), sizeof left);
        close(pipes[0]);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        struct store *store = open_aside(*state);
        assert_int_equal(store_position(store), left[0]);
        assert_int_equal(help_picture(store), left[1]);
        assert_true(store_position(store) == begun + 10 + round * 3);
        begun = store_position(store);
        store_close(store);
    }
}

/* --- the disk failing ------------------------------------------------------------------------------------------ */
/* One batch after another, while the nth call from each of them fails, wherever it is made. */
static void
fail_aside(const struct help_folder *folder, enum lmdb_fail_commit commit)
{
    struct store *store = open_aside(folder), *twin = store_open_memory();
    struct help_random random = {51};
    unsigned undone = 0;

    for (uint64_t round = 0; round < 600; round++) {
        struct help_random before = random;
        uint64_t digest = store_digest(store), history = store_history_digest(store);

        lmdb_call_fail(1 + round % 97, 1, round % 3 == 0 ? ENOSPC : EIO, commit);
        enum store_outcome outcome = batch_aside(store, &random);
        if (round % 20 == 19)
            (void)store_idle_aside(store);
        if (round % 5 == 0) /* else they fail beside the next ones */
            lmdb_call_fail(0, 0, 0, LMDB_COMMIT_NOT_DONE);
        assert_true(outcome == STORE_DONE || outcome == STORE_UNDONE);
        if (outcome == STORE_UNDONE) {
            undone++;
            assert_int_equal(store_digest_recount(store), digest);
            assert_int_equal(store_history_digest(store), history);
            random = before;
            lmdb_call_fail(0, 0, 0, LMDB_COMMIT_NOT_DONE);
            assert_int_equal(batch_aside(store, &random), STORE_DONE);
        }
        help_batch(twin, &before, CHANGES);
        random = before;
        assert_int_equal(store_position(store), round + 1);
        assert_int_equal(store_digest_recount(store), store_digest_recount(twin));
        assert_null(store_unsound(store));
    }
    lmdb_call_fail(0, 0, 0, LMDB_COMMIT_NOT_DONE);
    assert_true(undone > 0);
    assert_int_equal(help_picture(store), help_picture(twin));
    while (store_idle_aside(store))
        wait_for(store_aside_descriptor(store));
    assert_true(store_is_settled(store));
    store_close(store);
    store = open_aside(folder);
    assert_int_equal(help_picture(store), help_picture(twin));
    help_recount(store);
    store_close(store);
    store_close(twin);
}

/* S5, X6: a call that fails while something is carried over costs at most a batch that is told so, and loses nothing.
 */
static void
a_failure_while_carrying_loses_nothing(void **state)
{
    fail_aside(*state, LMDB_COMMIT_NOT_DONE);
}

/* X3: neither does a commit that is reported as failed and reached the disk. */
static void
a_failed_commit_that_carried_over_is_recognised(void **state)
{
    fail_aside(*state, LMDB_COMMIT_DONE);
}

/* --- files of before there were halves --------------------------------------------------------------------------- */
static void
append(struct front *front, uint64_t position, size_t size)
{
    bool lost = false;
    void *room = front_room(front, size);

    assert_non_null(room);
    memset(room, (int)position, size);
    assert_int_equal(front_append(front, 4, position, size, &lost), 0);
}

/* X3: a chain that passes the middle of its file, across it or with a record that begins there, is read whole. */
static void
a_chain_across_the_middle_is_read_whole(void **state)
{
    static const size_t sizes[] = {3 * FRONT_BLOCK - 100, 2 * FRONT_BLOCK - 100};
    const struct help_folder *folder = *state;
    char path[300];

    snprintf(path, sizeof path, "%s-front", folder->parent);
    for (size_t kind = 0; kind < sizeof sizes / sizeof *sizes; kind++) {
        struct front front;
        struct front_walk walk;
        uint64_t position = 0;

        assert_int_equal(front_make(&front, path, 16 * FRONT_BLOCK, 42), 0);
        front.half[0].limit = front.size; /* as it was */
        while (++position <= 5)
            append(&front, position, sizes[kind]);
        front_close(&front);
        assert_int_equal(front_open(&front, path, 42), 0);
        assert_int_equal(front_read(&front, 1), 0);
        assert_int_equal(front_count(&front), 5);
        walk = front_walk_all(&front);
        for (position = 1; position <= 5; position++)
            assert_int_equal(front_next(&front, &walk)->position, position);
        assert_null(front_next(&front, &walk));
        front_close(&front);
        assert_int_equal(unlink(path), 0);
    }
}

/* X3: the half with the older records is read first, whichever it is; what was carried over counts no more; and one
 * that is missing between the two is damage. */
static void
halves_are_read_in_their_order(void **state)
{
    const struct help_folder *folder = *state;
    struct front front;
    struct front_walk walk;
    char path[300];

    snprintf(path, sizeof path, "%s-front", folder->parent);
    assert_int_equal(front_make(&front, path, 16 * FRONT_BLOCK, 42), 0);
    for (uint64_t position = 1; position <= 3; position++)
        append(&front, position, 100);
    front_turn(&front);
    for (uint64_t position = 4; position <= 6; position++)
        append(&front, position, 100);
    front_clear_half(&front, 0);
    front_turn(&front);
    append(&front, 7, 100);
    front_close(&front);
    assert_int_equal(front_open(&front, path, 42), 0);
    assert_int_equal(front_read(&front, 3), 0);
    assert_int_equal(front_count(&front), 4);
    walk = front_walk_all(&front);
    for (uint64_t position = 4; position <= 7; position++)
        assert_int_equal(front_next(&front, &walk)->position, position);
    assert_int_equal(front_read(&front, 6), 0);
    assert_int_equal(front_count(&front), 1);
    assert_int_equal(front_read(&front, 7), 0);
    assert_int_equal(front_count(&front), 0);
    /* Without the older half's second record. */
    memset(front.bytes, 0, FRONT_BLOCK);
    assert_int_equal(pwrite(front.file, front.bytes, FRONT_BLOCK, 9 * FRONT_BLOCK), FRONT_BLOCK);
    assert_int_equal(front_read(&front, 3), EBADMSG);
    assert_int_equal(front_read(&front, 6), 0);
    front_close(&front);
    assert_int_equal(unlink(path), 0);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_runner_does_one_job_after_another),
        cmocka_unit_test_setup_teardown(what_is_carried_over_aside_looks_the_same_at_every_step, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(the_history_goes_on_once_what_is_carried_over_was_waited_for, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(a_kill_while_carrying_loses_nothing, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_failure_while_carrying_loses_nothing, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_failed_commit_that_carried_over_is_recognised, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_chain_across_the_middle_is_read_whole, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(halves_are_read_in_their_order, make_folder, remove_folder),
    };

    return usher_test_main(argc, argv, tests);
}
