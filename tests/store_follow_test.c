/* store_follow_test.c: several processes on one data directory: what one commits the others follow (X4, S4).
 *
 * The test itself opens nothing: it starts workers, each a process with a store of its own, and tells them one after
 * another what to do. So every interleaving is written down here, and nothing depends on time. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/store/lmdb_call.h"
#include "tests/store_help.h"

#define WORKERS_MOST 4

/* --- workers ---------------------------------------------------------------------------------- */
enum order {
    ORDER_BATCH,   /* argument: changes; seed */
    ORDER_FOLLOW,  /* argument: the call into LMDB that fails, 0 for none */
    ORDER_PICTURE, /* answers with it, and checks every index by a recount */
    ORDER_UNDONE,  /* a batch that is taken back, and one that fails at the call `argument` if there are so many */
    ORDER_IDLE,
    ORDER_HANG,    /* begin a batch and answer within it; it will be killed there */
    ORDER_AGAIN,   /* end the batch that hangs and begin the next at once */
    ORDER_END,     /* end it */
    ORDER_CONSUME, /* one step of the history consumer */
    ORDER_CONSUMER_ROWS
};
struct told {
    enum order order;
    uint64_t argument, seed;
};
struct answered {
    bool good;
    uint64_t number, position, journal_count;
    char why[200];
};
struct worker {
    pid_t pid;
    int socket;
};
struct group {
    struct help_folder folder;
    struct worker worker[WORKERS_MOST];
};

static const struct store_options busy = {.journal_bytes = 3000, .slice_records = 7};

static bool
follow(struct store *store, uint64_t failing_call)
{
    bool followed;

    if (failing_call != 0)
        lmdb_call_fail(failing_call, 1, EIO, LMDB_COMMIT_NOT_DONE);
    followed = store_follow(store);
    lmdb_call_fail(0, 0, 0, LMDB_COMMIT_NOT_DONE);
    return followed;
}

static bool
batch(struct store *store, const struct told *told)
{
    struct help_random random = {told->seed};

    help_batch(store, &random, (unsigned)told->argument);
    return true;
}

static bool
undone(struct store *store, const struct told *told)
{
    struct help_random random = {told->seed};

    if (!store_begin(store))
        return false;
    help_change(store, &random, 20);
    store_undo(store);
    lmdb_call_fail(told->argument, 1, EIO, LMDB_COMMIT_NOT_DONE);
    if (store_begin(store)) {
        help_change(store, &random, 20);
        (void)store_commit(store, NULL, 0);
    }
    lmdb_call_fail(0, 0, 0, LMDB_COMMIT_NOT_DONE);
    return true;
}

static uint64_t
consumer_rows(const struct store *store)
{
    struct history_record rows[64];
    uint64_t count = 0;

    for (uint64_t user_no = 1; user_no <= 20; user_no++) {
        uint64_t after = 0;
        bool more = true;

        while (more) {
            size_t some = store_consumer_rows(store, user_no, after, rows, 64, &more);

            if (some == 0)
                break;
            count += some;
            after = rows[some - 1].event_no;
        }
    }
    return count;
}

static bool
carry_out(struct store *store, const struct told *told, uint64_t *number)
{
    switch (told->order) {
    case ORDER_BATCH:
        return batch(store, told);
    case ORDER_FOLLOW:
        return follow(store, told->argument);
    case ORDER_PICTURE:
        help_recount(store);
        *number = help_picture(store);
        return true;
    case ORDER_UNDONE:
        return undone(store, told);
    case ORDER_IDLE:
        *number = store_idle(store);
        return true;
    case ORDER_HANG:
        if (!store_begin(store))
            return false;
        help_change(store, &(struct help_random){told->seed}, 50);
        return true;
    case ORDER_AGAIN:
        return store_commit(store, NULL, 0) == STORE_DONE && store_begin(store);
    case ORDER_END:
        return store_commit(store, NULL, 0) == STORE_DONE;
    case ORDER_CONSUME:
        *number = store_consumer_step(store, (uint32_t)told->argument);
        return true;
    case ORDER_CONSUMER_ROWS:
        *number = consumer_rows(store);
        return true;
    }
    return false;
}

static void
work(const struct help_folder *folder, const struct store_options *options, int socket)
{
    struct store_options given = *options;
    struct store *store;
    struct answered answered;
    struct told told;

    given.directory = folder->path;
    given.map_bytes = 64 << 20;
    given.unsafe_no_sync = true;
    memset(&answered, 0, sizeof answered);
    answered.good = store_open(&given, &store, answered.why, sizeof answered.why) == STORE_OK;
    while (send(socket, &answered, sizeof answered, 0) == sizeof answered &&
           recv(socket, &told, sizeof told, 0) == sizeof told) {
        const char *why;

        memset(&answered, 0, sizeof answered);
        answered.good = carry_out(store, &told, &answered.number);
        answered.position = store_position(store);
        if (told.order != ORDER_HANG && told.order != ORDER_AGAIN)
            answered.journal_count = store_figures(store).journal_count;
        store_fault(store, &why);
        snprintf(answered.why, sizeof answered.why, "%s", why);
    }
    store_close(store);
}

static struct answered
hear(const struct worker *worker)
{
    struct answered answered;

    if (recv(worker->socket, &answered, sizeof answered, 0) != sizeof answered)
        fail_msg("a worker has ended");
    return answered;
}

static uint64_t last_seed; /* one used twice would make two answers under one request id */

static void
say(const struct worker *worker, enum order order, uint64_t argument)
{
    const struct told told = {order, argument, ++last_seed << 20};

    assert_int_equal(send(worker->socket, &told, sizeof told, 0), sizeof told);
}

static struct answered
tell(const struct worker *worker, enum order order, uint64_t argument)
{
    say(worker, order, argument);
    return hear(worker);
}

static void
start(struct group *group, unsigned number, const struct store_options *options)
{
    struct worker *worker = &group->worker[number];
    struct answered answered;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    fflush(NULL);
    worker->pid = fork();
    assert_true(worker->pid >= 0);
    if (worker->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (unsigned other = 0; other < WORKERS_MOST; other++)
            if (group->worker[other].socket > 0)
                close(group->worker[other].socket);
        close(pair[0]);
        work(&group->folder, options, pair[1]);
        _exit(0);
    }
    close(pair[1]);
    worker->socket = pair[0];
    answered = hear(worker);
    if (!answered.good)
        fail_msg("%s", answered.why);
}

/* signal_no 0: it closes its store and ends. */
static void
stop(struct worker *worker, int signal_no)
{
    int status;

    if (worker->pid == 0)
        return;
    if (signal_no != 0)
        kill(worker->pid, signal_no);
    close(worker->socket);
    assert_int_equal(waitpid(worker->pid, &status, 0), worker->pid);
    if (signal_no == 0)
        assert_int_equal(status, 0);
    *worker = (struct worker){0};
}

static int
make_group(void **state)
{
    struct group *group = calloc(1, sizeof *group);

    help_folder_make(&group->folder);
    *state = group;
    return 0;
}

static int
remove_group(void **state)
{
    struct group *group = *state;

    for (unsigned number = 0; number < WORKERS_MOST; number++)
        stop(&group->worker[number], SIGKILL);
    help_folder_remove(&group->folder);
    free(group);
    return 0;
}

/* Every worker follows and shows the same. Returns it. */
static uint64_t
all_agree(struct group *group)
{
    struct answered first = {0};

    for (unsigned number = 0; number < WORKERS_MOST; number++) {
        struct answered answered;

        if (group->worker[number].pid == 0)
            continue;
        answered = tell(&group->worker[number], ORDER_FOLLOW, 0);
        if (!answered.good)
            fail_msg("worker %u: %s", number, answered.why);
        answered = tell(&group->worker[number], ORDER_PICTURE, 0);
        if (first.position == 0)
            first = answered;
        assert_int_equal(answered.position, first.position);
        assert_int_equal(answered.number, first.number);
    }
    return first.number;
}

static void
must(struct answered answered)
{
    if (!answered.good)
        fail_msg("%s", answered.why);
}

/* --- the scenes ------------------------------------------------------------------------------- */
/* X4: whoever commits, everybody shows the same records, indexes and answers, and so does whoever opens later. */
static void
what_one_commits_every_other_shows(void **state)
{
    struct group *group = *state;
    struct help_random random = {7};

    for (unsigned number = 0; number < 3; number++)
        start(group, number, &busy);
    for (unsigned round = 1; round <= 240; round++) {
        unsigned turn = (unsigned)help_below(&random, 3);

        must(tell(&group->worker[turn], ORDER_BATCH, 1 + help_below(&random, 40)));
        if (help_below(&random, 8) == 0)
            tell(&group->worker[help_below(&random, 3)], ORDER_IDLE, 0);
        if (help_below(&random, 3) == 0)
            all_agree(group);
        if (round % 20 == 0) {
            uint64_t picture = all_agree(group);

            start(group, 3, &busy); /* reads what the others' sweeps have left in the tables */
            assert_int_equal(all_agree(group), picture);
            if (round % 40 == 0)
                must(tell(&group->worker[3], ORDER_BATCH, 30));
            stop(&group->worker[3], round % 60 == 0 ? SIGKILL : 0);
        }
    }
}

/* X4: a follower whose next row is cut reads everything anew, for a query and for a batch. */
static void
one_that_fell_behind_the_cut_opens_anew(void **state)
{
    struct group *group = *state;

    start(group, 0, &busy);
    start(group, 1, &busy);
    start(group, 2, &busy);
    for (unsigned long_while = 1; long_while <= 4; long_while++) {
        struct answered last = {0};

        for (unsigned round = 0; round < 60; round++)
            last = tell(&group->worker[0], ORDER_BATCH, 30);
        assert_true(last.journal_count < 60);
        must(tell(&group->worker[2], ORDER_BATCH, 30));
        all_agree(group);
    }
}

/* S4: an instance may die anywhere, within its transaction too: nothing of that is seen and nobody waits for it. */
static void
one_that_is_killed_within_its_transaction_hurts_nobody(void **state)
{
    struct group *group = *state;
    uint64_t picture;

    start(group, 0, &busy);
    for (unsigned round = 1; round <= 20; round++) {
        start(group, 1, &busy);
        must(tell(&group->worker[1], ORDER_BATCH, 30));
        picture = all_agree(group);
        must(tell(&group->worker[1], ORDER_HANG, 0));
        stop(&group->worker[1], SIGKILL);
        assert_int_equal(all_agree(group), picture);
        must(tell(&group->worker[0], ORDER_BATCH, 10));
    }
    start(group, 1, &busy);
    all_agree(group);
}

/* Wait until the worker sleeps in a lock, be it a futex or a lock of a file. */
static void
wait_until_it_waits(const struct worker *worker)
{
    char path[64], text[32] = "";

    snprintf(path, sizeof path, "/proc/%d/syscall", (int)worker->pid);
    for (unsigned looks = 0; looks < 20000; looks++) {
        FILE *file = fopen(path, "re");
        long number;

        assert_non_null(file);
        number = fgets(text, sizeof text, file) == NULL ? -1 : strtol(text, NULL, 10);
        fclose(file);
        if (text[0] >= '0' && text[0] <= '9' && (number == SYS_futex || number == SYS_fcntl))
            return;
        usleep(1000);
    }
    fail_msg("it does not wait: %s", text);
}

/* A process that keeps a processor busy, so that one of low rank there comes late to what it was woken for. */
static pid_t
crowd_out(pid_t pid)
{
    const struct sched_param none = {0};
    cpu_set_t one;
    pid_t crowd;
    int cpu = 0;

    assert_int_equal(sched_getaffinity(0, sizeof one, &one), 0);
    while (!CPU_ISSET(cpu, &one))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(pid, sizeof one, &one), 0);
    assert_int_equal(sched_setscheduler(pid, SCHED_IDLE, &none), 0);
    crowd = fork();
    assert_true(crowd >= 0);
    if (crowd == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        sched_setaffinity(0, sizeof one, &one);
        for (;;)
            __asm__ volatile("");
    }
    return crowd;
}

/* S4, X4: a waiter that is killed just as its turn has come takes nobody else's turn along. (A robust mutex alone loses
 * it: the dead one was the only one woken, and who has taken the mutex meanwhile knows of no waiter.) */
static void
one_that_is_killed_when_its_turn_has_come_leaves_nobody_waiting(void **state)
{
    struct group *group = *state;

    for (unsigned number = 0; number < 3; number++)
        start(group, number, &busy);
    for (unsigned round = 1; round <= 5; round++) {
        pid_t crowd;

        must(tell(&group->worker[0], ORDER_HANG, 0));
        say(&group->worker[1], ORDER_BATCH, 10);
        wait_until_it_waits(&group->worker[1]);
        crowd = crowd_out(group->worker[1].pid);
        say(&group->worker[2], ORDER_BATCH, 10);
        wait_until_it_waits(&group->worker[2]);
        must(tell(&group->worker[0], ORDER_AGAIN, 0));
        kill(group->worker[1].pid, SIGKILL);
        kill(crowd, SIGKILL);
        assert_int_equal(waitpid(crowd, NULL, 0), crowd);
        stop(&group->worker[1], SIGKILL);
        must(tell(&group->worker[0], ORDER_END, 0));
        assert_int_equal(poll(&(struct pollfd){.fd = group->worker[2].socket, .events = POLLIN}, 1, 20000), 1);
        must(hear(&group->worker[2]));
        start(group, 1, &busy);
        all_agree(group);
    }
}

/* X4: a batch that is undone takes back its own changes alone, not what it followed when it began. */
static void
undoing_a_batch_keeps_what_was_followed(void **state)
{
    struct group *group = *state;

    start(group, 0, &busy);
    start(group, 1, &busy);
    for (unsigned round = 1; round <= 120; round++) {
        must(tell(&group->worker[0], ORDER_BATCH, 20));
        must(tell(&group->worker[1], ORDER_UNDONE, 1 + round % 60));
        if (round % 5 == 0)
            all_agree(group);
    }
    start(group, 2, &busy);
    all_agree(group);
}

/* X4: following may fail at every call into LMDB; memory stays whole and the next call goes on. */
static void
a_fault_while_following_leaves_memory_whole(void **state)
{
    struct group *group = *state;

    start(group, 0, &busy);
    start(group, 1, &busy);
    for (unsigned nth = 1; nth <= 60; nth++) {
        for (unsigned round = 0; round < 1 + nth % 7 * 8; round++)
            must(tell(&group->worker[0], ORDER_BATCH, 12));
        tell(&group->worker[1], ORDER_FOLLOW, nth);
        if (nth % 3 == 0)
            must(tell(&group->worker[0], ORDER_BATCH, 12));
        if (nth % 4 == 0)
            must(tell(&group->worker[1], ORDER_BATCH, 12));
        all_agree(group);
    }
    start(group, 2, &busy);
    all_agree(group);
}

/* B2: any instance may run the history consumer, several at once too: the cursor is compared in the transaction that
 * writes the rows, so none is written twice and none is left out. */
static void
consumers_of_several_instances_write_each_row_once(void **state)
{
    struct group *group = *state;
    const struct told step = {ORDER_CONSUME, 3, 0};
    uint64_t rows;
    bool some = true;

    last_seed = 0;
    start(group, 0, &busy);
    start(group, 1, &busy);
    start(group, 2, &busy);
    for (unsigned round = 1; round <= 30; round++)
        must(tell(&group->worker[round % 2], ORDER_BATCH, 60));
    while (some) {
        some = false;
        for (unsigned number = 0; number < 2; number++) /* at the same time */
            assert_int_equal(send(group->worker[number].socket, &step, sizeof step, 0), sizeof step);
        for (unsigned number = 0; number < 2; number++) {
            struct answered answered = hear(&group->worker[number]);

            assert_int_not_equal(answered.number, STORE_STEP_FAILED);
            some |= answered.number == STORE_STEP_DONE;
        }
    }
    rows = tell(&group->worker[0], ORDER_CONSUMER_ROWS, 0).number;
    assert_true(rows > 100);
    stop(&group->worker[0], 0);
    stop(&group->worker[1], 0);
    stop(&group->worker[2], 0);
    /* The same batches with one consumer alone. */
    last_seed = 0;
    help_folder_remove(&group->folder);
    help_folder_make(&group->folder);
    start(group, 0, &busy);
    for (unsigned round = 1; round <= 30; round++)
        must(tell(&group->worker[0], ORDER_BATCH, 60));
    while (tell(&group->worker[0], ORDER_CONSUME, 1000).number != STORE_STEP_NOTHING)
        continue;
    assert_int_equal(tell(&group->worker[0], ORDER_CONSUMER_ROWS, 0).number, rows);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_one_commits_every_other_shows, make_group, remove_group),
        cmocka_unit_test_setup_teardown(one_that_fell_behind_the_cut_opens_anew, make_group, remove_group),
        cmocka_unit_test_setup_teardown(one_that_is_killed_within_its_transaction_hurts_nobody, make_group,
                                        remove_group),
        cmocka_unit_test_setup_teardown(one_that_is_killed_when_its_turn_has_come_leaves_nobody_waiting, make_group,
                                        remove_group),
        cmocka_unit_test_setup_teardown(undoing_a_batch_keeps_what_was_followed, make_group, remove_group),
        cmocka_unit_test_setup_teardown(a_fault_while_following_leaves_memory_whole, make_group, remove_group),
        cmocka_unit_test_setup_teardown(consumers_of_several_instances_write_each_row_once, make_group, remove_group),
    };

    return usher_test_main(argc, argv, tests);
}
