/* store_front_test.c: the journal's front, store.journal: batches that are on the disk before LMDB has them. The power
 * cuts of power_test go through it too; here is what becomes of it step by step. */
#define _GNU_SOURCE 1
#include "tests/test.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/store/front.h"
#include "server/store/snapshot.h"
#include "tests/store_help.h"

#define FRONT_BYTES (64u * FRONT_BLOCK)
#define CHANGES     6u

/* --- stores with their syncs on ------------------------------------------------------------------------------- */
static struct store_options
options_in(const struct help_folder *folder)
{
    return (struct store_options){
        .directory = folder->path, .map_bytes = UINT64_C(1) << 28, .journal_bytes = 20000, .front_bytes = FRONT_BYTES};
}

static struct store *
open_store(const struct help_folder *folder)
{
    const struct store_options options = options_in(folder);
    struct store *store;
    char why[512] = "";

    if (store_open(&options, &store, why, sizeof why) != STORE_OK)
        fail_msg("%s", why);
    return store;
}

static void
assert_refused(const struct help_folder *folder, enum store_status expected, const char *words)
{
    const struct store_options options = options_in(folder);
    struct store *store;
    char why[512] = "";

    assert_int_equal(store_open(&options, &store, why, sizeof why), expected);
    assert_null(store);
    if (strstr(why, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", why, words);
}

static void
name_file(const struct help_folder *folder, const char *name, char path[512])
{
    snprintf(path, 512, "%s/%s", folder->path, name);
}

/* --- a process that is killed ----------------------------------------------------------------------------------- */
struct left {
    uint64_t position, picture;
};

/* Another process makes so many batches, one by one, and is killed. */
static struct left
leave_batches(const struct help_folder *folder, uint64_t seed, unsigned batches)
{
    struct help_random random = {seed};
    struct left left = {0};
    int pipes[2], status;

    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        struct store *store = open_store(folder);
        for (unsigned batch = 0; batch < batches; batch++)
            help_batch(store, &random, CHANGES);
        left = (struct left){store_position(store), help_picture(store)};
        _exit(store_is_settled(store) || write(pipes[1], &left, sizeof left) != sizeof left ? 1
                                                                                            : kill(getpid(), SIGKILL));
    }
    close(pipes[1]);
    assert_int_equal(read(pipes[0], &left, sizeof left), sizeof left);
    close(pipes[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    return left;
}

/* X3: what was acknowledged is there after a kill, though LMDB had none of it; and after the next kill, on top. */
static void
batches_of_a_killed_process_are_carried_over(void **state)
{
    struct help_folder folder;
    (void)state;

    help_folder_make(&folder);
    for (uint64_t round = 1; round <= 4; round++) {
        struct left left = leave_batches(&folder, round, 5);
        struct store *store = open_store(&folder);
        assert_true(store_is_settled(store));
        assert_int_equal(store_position(store), left.position);
        assert_int_equal(help_picture(store), left.picture);
        assert_int_equal(store_digest(store), store_digest_recount(store));
        help_recount(store);
        store_close(store);
    }
    help_folder_remove(&folder);
}

/* X3: history is read while it waits, the present batch's and that of earlier ones, dropped rows not; nothing changes
 * when LMDB gets it, by a full front, by a quiet moment or by the end. */
static void
what_waits_is_read_as_if_it_were_carried_over(void **state)
{
    struct help_folder folder;
    struct help_random random = {7}, same = {7};
    struct store *memory = store_open_memory(), *store;
    unsigned waited = 0, settled = 0;
    (void)state;

    help_folder_make(&folder);
    store = open_store(&folder);
    for (unsigned batch = 0; batch < 200; batch++) {
        help_batch(store, &random, CHANGES);
        help_batch(memory, &same, CHANGES);
        assert_int_equal(help_picture(store), help_picture(memory));
        waited += !store_is_settled(store);
        settled += store_is_settled(store);
        if (batch % 80 == 79) {
            store_idle(store);
            assert_true(store_is_settled(store));
            assert_int_equal(help_picture(store), help_picture(memory));
        }
    }
    assert_true(waited > 0);
    assert_true(settled > 0); /* there was no room, without any quiet moment */
    store_close(store);
    store = open_store(&folder);
    assert_int_equal(help_picture(store), help_picture(memory));
    store_close(store);
    store_close(memory);
    help_folder_remove(&folder);
}

/* S5: a batch that is taken back takes back its own rows and drops alone, not those that wait; rows that somebody has read in
 * between are no exception. */
static void
what_waits_outlives_a_batch_that_is_taken_back(void **state)
{
    struct help_folder folder;
    struct help_random random = {11}, others = {12};
    unsigned waited = 0;
    (void)state;

    help_folder_make(&folder);
    struct store *store = open_store(&folder);
    for (unsigned batch = 0; batch < 60; batch++) {
        help_batch(store, &random, CHANGES);
        waited += !store_is_settled(store);
        uint64_t picture = batch % 2 == 0 ? help_picture(store) : 0;
        assert_true(store_begin(store));
        help_change(store, &others, CHANGES);
        if (batch % 3 != 0)
            (void)help_picture(store);
        store_undo(store);
        if (picture != 0)
            assert_int_equal(help_picture(store), picture);
    }
    assert_true(waited > 0);
    assert_int_equal(store_digest(store), store_digest_recount(store));
    uint64_t picture = help_picture(store);
    store_close(store);
    store = open_store(&folder);
    assert_int_equal(help_picture(store), picture);
    store_close(store);
    help_folder_remove(&folder);
}

/* X3: a batch that is larger than the whole front goes to LMDB, behind what waits. */
static void
a_batch_that_has_no_room_goes_to_lmdb(void **state)
{
    static const uint8_t commands[FRONT_BYTES + 1];
    struct help_folder folder;
    struct help_random random = {3};
    struct store *store;
    uint64_t picture;
    (void)state;

    help_folder_make(&folder);
    store = open_store(&folder);
    help_batch(store, &random, CHANGES);
    assert_false(store_is_settled(store));
    assert_true(store_begin(store));
    help_change(store, &random, CHANGES);
    assert_int_equal(store_commit(store, commands, sizeof commands), STORE_DONE);
    assert_true(store_is_settled(store));
    picture = help_picture(store);
    store_close(store);
    store = open_store(&folder);
    assert_int_equal(store_position(store), 2);
    assert_int_equal(help_picture(store), picture);
    store_close(store);
    help_folder_remove(&folder);
}

/* --- other instances -------------------------------------------------------------------------------------------- */
/* A second instance in a process of its own. It tells what it sees when it opens, then makes a batch at each byte it is
 * sent. */
struct second {
    pid_t pid;
    int orders, answers;
};

static struct left
hear(const struct second *second)
{
    struct left left = {0};

    assert_int_equal(read(second->answers, &left, sizeof left), sizeof left);
    return left;
}

static void
be_second(const struct help_folder *folder, int orders, int answers)
{
    struct help_random random = {99};
    struct store *store = open_store(folder);
    char order = 0;

    do {
        struct left left;
        if (order != 0)
            help_batch(store, &random, CHANGES);
        left = (struct left){store_position(store), help_picture(store)};
        if (!store_is_settled(store) || write(answers, &left, sizeof left) != sizeof left)
            _exit(1);
    } while (read(orders, &order, 1) == 1);
    kill(getpid(), SIGKILL);
}

static struct second
start_second(const struct help_folder *folder)
{
    struct second second;
    int orders[2], answers[2];

    assert_int_equal(pipe2(orders, O_CLOEXEC), 0);
    assert_int_equal(pipe2(answers, O_CLOEXEC), 0);
    second = (struct second){fork(), orders[1], answers[0]};
    if (second.pid == 0) {
        close(orders[1]);
        be_second(folder, orders[0], answers[1]);
    }
    close(orders[0]);
    close(answers[1]);
    return second;
}

static void
end_second(struct second *second)
{
    int status;

    close(second->orders);
    assert_int_equal(waitpid(second->pid, &status, 0), second->pid);
    assert_true(WIFSIGNALED(status));
    close(second->answers);
}

/* X4: an instance that comes carries over what waits; from then on both see each other's batches, which go to LMDB; and
 * when it has gone, be it by a kill, the one that is left uses the front again. */
static void
an_instance_that_comes_sees_everything_and_so_does_the_first(void **state)
{
    struct help_folder folder;
    struct help_random random = {11};
    struct store *store;
    (void)state;

    help_folder_make(&folder);
    store = open_store(&folder);
    for (unsigned round = 0; round < 3; round++) {
        help_batch(store, &random, CHANGES);
        help_batch(store, &random, CHANGES);
        assert_false(store_is_settled(store));
        struct second second = start_second(&folder);
        struct left seen = hear(&second);
        assert_int_equal(seen.position, store_position(store));
        assert_int_equal(seen.picture, help_picture(store));
        for (unsigned turn = 0; turn < 3; turn++) {
            assert_int_equal(write(second.orders, "b", 1), 1);
            seen = hear(&second);
            assert_true(store_follow(store));
            assert_int_equal(store_position(store), seen.position);
            assert_int_equal(help_picture(store), seen.picture);
            help_batch(store, &random, CHANGES);
            assert_true(store_is_settled(store));
        }
        end_second(&second);
        assert_null(store_unsound(store));
    }
    help_batch(store, &random, CHANGES);
    assert_false(store_is_settled(store));
    store_close(store);
    help_folder_remove(&folder);
}

/* --- a death within LMDB's commit ------------------------------------------------------------------------------- */
static bool dies_at_meta; /* after the next write of a meta page, before LMDB tells of it */

/* LMDB's own calls come by here. */
__attribute__((visibility("default"))) ssize_t
pwrite(int fd, const void *data, size_t size, off_t offset)
{
    static ssize_t (*real)(int, const void *, size_t, off_t);

    if (real == NULL)
        real = (ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
    ssize_t written = real(fd, data, size, offset);
    if (dies_at_meta && size < FRONT_BLOCK && (fcntl(fd, F_GETFL) & O_DSYNC) != 0)
        kill(getpid(), SIGKILL);
    return written;
}

/* X3, X4: an instance that was killed when its meta page was written, before LMDB told readers of it, has committed.
 * Who is left alone follows that before it writes anywhere. */
static void
a_commit_whose_process_died_before_lmdb_told_of_it_is_followed(void **state)
{
    struct help_folder folder;
    struct help_random random = {21}, same = {22};
    struct store *store;
    int status;
    (void)state;

    help_folder_make(&folder);
    store = open_store(&folder);
    help_batch(store, &random, CHANGES);
    pid_t child = fork();
    if (child == 0) {
        struct store *other = open_store(&folder);
        dies_at_meta = true;
        help_batch(other, &same, CHANGES);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    help_batch(store, &random, CHANGES);
    assert_int_equal(store_position(store), 3); /* the dead one's was the second */
    help_batch(store, &random, CHANGES);
    assert_false(store_is_settled(store));
    while (store_idle(store))
        continue;
    assert_null(store_unsound(store));
    uint64_t picture = help_picture(store);
    store_close(store);
    store = open_store(&folder);
    assert_int_equal(store_position(store), 4);
    assert_int_equal(help_picture(store), picture);
    store_close(store);
    help_folder_remove(&folder);
}

/* X3: a look at a directory by another process, as backup, check and dump do it, has all that was acknowledged, and
 * the server goes on. */
static void
a_snapshot_has_what_waits(void **state)
{
    struct help_folder folder;
    struct help_random random = {5};
    struct store *store;
    int status;
    (void)state;

    help_folder_make(&folder);
    store = open_store(&folder);
    for (uint64_t position = 1; position <= 6; position += 2) {
        help_batch(store, &random, CHANGES);
        help_batch(store, &random, CHANGES);
        assert_false(store_is_settled(store));
        pid_t child = fork();
        if (child == 0) {
            struct store *snapshot;
            char why[512];
            if (store_open_snapshot(folder.path, &snapshot, why, sizeof why) != STORE_OK ||
                store_load_snapshot(snapshot, why, sizeof why) != STORE_OK)
                _exit(1);
            _exit(store_position(snapshot) == position + 1 && store_digest(snapshot) == store_digest(store) ? 0 : 2);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    help_batch(store, &random, CHANGES);
    assert_int_equal(store_position(store), 7);
    assert_null(store_unsound(store));
    store_close(store);
    help_folder_remove(&folder);
}

/* --- a file that is not what it should be --------------------------------------------------------------------- */
static void
flip_byte(const struct help_folder *folder, off_t offset)
{
    char path[512];
    uint8_t byte;

    name_file(folder, "store.journal", path);
    int file = open(path, O_RDWR | O_CLOEXEC);
    assert_true(file >= 0);
    assert_int_equal(pread(file, &byte, 1, offset), 1);
    byte ^= 1;
    assert_int_equal(pwrite(file, &byte, 1, offset), 1);
    close(file);
}

/* X3: a batch that is damaged while others follow it is no torn end: nothing is left out silently. */
static void
damage_in_the_middle_is_refused(void **state)
{
    struct help_folder folder;
    (void)state;

    help_folder_make(&folder);
    leave_batches(&folder, 1, 5);
    flip_byte(&folder, 100);
    assert_refused(&folder, STORE_DAMAGED, "store.journal: a batch in the middle of it is damaged");
    flip_byte(&folder, 100);
    store_close(open_store(&folder));
    help_folder_remove(&folder);
}

static void
copy_file(const struct help_folder *from, const struct help_folder *to, const char *name)
{
    char path[512], bytes[4096];
    ssize_t size;

    name_file(from, name, path);
    int in = open(path, O_RDONLY | O_CLOEXEC);
    name_file(to, name, path);
    int out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(in >= 0);
    assert_true(out >= 0);
    while ((size = read(in, bytes, sizeof bytes)) > 0)
        assert_int_equal(write(out, bytes, (size_t)size), size);
    close(in);
    close(out);
}

/* An older copy of store.mdb under a store.journal that goes on from a later position: nobody mixes them silently. And
 * the journal of another store is not this one's: its checks do not fit. */
static void
a_journal_of_another_life_is_not_mixed_in(void **state)
{
    struct help_folder folder, older, other;
    struct store *store;
    (void)state;

    help_folder_make(&folder);
    help_folder_make(&older);
    help_folder_make(&other);
    leave_batches(&folder, 1, 2);
    store_close(open_store(&folder));
    assert_int_equal(mkdir(older.path, 0700), 0);
    copy_file(&folder, &older, "store.mdb");
    struct left left = leave_batches(&folder, 2, 3);
    leave_batches(&folder, 3, 2); /* so that the file begins with a later position than the copy's next */
    copy_file(&folder, &older, "store.journal");
    assert_refused(&older, STORE_DAMAGED, "store.journal: it does not go on from where the store beside it ends");

    leave_batches(&other, 9, 1);
    store_close(open_store(&other));
    copy_file(&other, &folder, "store.journal");
    store = open_store(&folder);
    assert_int_equal(store_position(store), left.position);
    store_close(store);
    help_folder_remove(&folder);
    help_folder_remove(&older);
    help_folder_remove(&other);
}

/* A store.journal without its store.mdb: the store has gone elsewhere, and a new one must not be made over it. */
static void
a_journal_without_its_store_is_refused(void **state)
{
    struct help_folder folder;
    char path[512];
    (void)state;

    help_folder_make(&folder);
    leave_batches(&folder, 1, 3);
    name_file(&folder, "store.mdb", path);
    assert_int_equal(unlink(path), 0);
    assert_refused(&folder, STORE_NOT_ONE, "the directory holds the store.journal of a store and no store.mdb");
    help_folder_remove(&folder);
}

/* A store.mdb that was restored from a backup stands alone, and gets a file of its own. */
static void
a_store_without_its_journal_gets_a_new_one(void **state)
{
    struct help_folder folder;
    struct help_random random = {1};
    struct store *store;
    struct stat status;
    char path[512];
    (void)state;

    help_folder_make(&folder);
    leave_batches(&folder, 1, 3);
    store_close(open_store(&folder));
    name_file(&folder, "store.journal", path);
    assert_int_equal(unlink(path), 0);
    store = open_store(&folder);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, FRONT_BYTES);
    help_batch(store, &random, 0);
    assert_false(store_is_settled(store));
    assert_int_equal(store_position(store), 4);
    store_close(store);
    help_folder_remove(&folder);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_of_a_killed_process_are_carried_over),
        cmocka_unit_test(what_waits_is_read_as_if_it_were_carried_over),
        cmocka_unit_test(what_waits_outlives_a_batch_that_is_taken_back),
        cmocka_unit_test(a_batch_that_has_no_room_goes_to_lmdb),
        cmocka_unit_test(an_instance_that_comes_sees_everything_and_so_does_the_first),
        cmocka_unit_test(a_commit_whose_process_died_before_lmdb_told_of_it_is_followed),
        cmocka_unit_test(a_snapshot_has_what_waits),
        cmocka_unit_test(damage_in_the_middle_is_refused),
        cmocka_unit_test(a_journal_of_another_life_is_not_mixed_in),
        cmocka_unit_test(a_journal_without_its_store_is_refused),
        cmocka_unit_test(a_store_without_its_journal_gets_a_new_one),
    };

    return usher_test_main(argc, argv, tests);
}
