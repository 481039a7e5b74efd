/* digest_test.c: the digests that each commit brings up to date, and who compares them. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lmdb.h>

#include "server/store/disk.h"
#include "server/store/snapshot.h"
#include "tests/store_help.h"

static int
make_folder(void **state)
{
    static struct help_folder folder;

    help_folder_make(&folder);
    *state = &folder;
    return 0;
}

static int
remove_folder(void **state)
{
    help_folder_remove(*state);
    return 0;
}

/* --- rows from outside ------------------------------------------------------------------------ */
/* Put a row under its right check, as only a writer who believes in it would; size 0 takes it away. */
static void
plant(const struct help_folder *folder, unsigned table, uint64_t number, const void *bytes, size_t size)
{
    MDB_val key = {sizeof number, &number};
    uint8_t whole[4096];
    uint64_t check = disk_check(table, &key, bytes, size);
    MDB_val value = {size + sizeof check, whole};
    char path[400];
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;

    if (size > 0)
        memcpy(whole, bytes, size);
    memcpy(whole + size, &check, sizeof check);
    snprintf(path, sizeof path, "%s/store.mdb", folder->path);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 8), 0);
    assert_int_equal(mdb_env_set_mapsize(env, UINT64_C(1) << 28), 0);
    assert_int_equal(mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOSYNC, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, store_table_name(table), MDB_INTEGERKEY, &dbi), 0);
    assert_int_equal(size > 0 ? mdb_put(txn, dbi, &key, &value, 0) : mdb_del(txn, dbi, &key, NULL), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

/* --- the tests -------------------------------------------------------------------------------- */
/* X4: what each commit makes of the digest is what a walk over all records gives, in memory and on the disk alike; an
 * undone batch leaves no trace in it, and opening finds the same. */
static void
the_running_digest_is_that_of_the_records(void **state)
{
    const struct help_folder *folder = *state;
    struct help_random random = {7}, other = {7};
    struct store *memory = store_open_memory(), *store = help_open(folder, NULL);
    uint64_t seen = 0;

    for (int round = 0; round < 200; round++) {
        help_batch(store, &random, 30);
        help_batch(memory, &other, 30);
        assert_int_equal(store_digest(store), store_digest_recount(store));
        assert_int_equal(store_digest(store), store_digest(memory));
        assert_int_equal(store_history_digest(store), store_history_digest(memory));
        assert_int_not_equal(store_digest(store), seen);
        seen = store_digest(store);
        if (round % 10 == 3) {
            struct help_random undone = {(uint64_t)round + 1000};

            assert_true(store_begin(store));
            help_change(store, &undone, 30);
            assert_int_not_equal(store_digest_recount(store), seen);
            store_undo(store);
            assert_int_equal(store_digest(store), seen);
            assert_int_equal(store_digest_recount(store), seen);
        }
        if (round % 50 == 17) {
            uint64_t history = store_history_digest(store);

            store_close(store);
            store = help_open(folder, NULL);
            assert_int_equal(store_digest(store), seen);
            assert_int_equal(store_digest_recount(store), seen);
            assert_int_equal(store_history_digest(store), history);
        }
    }
    store_close(store);
    store_close(memory);
}

/* X4: an instance whose records have another digest than the writer's at the same position does not go on: opening is
 * refused, and the reason says both digests and the position. */
static void
another_digest_at_the_same_position_is_refused(void **state)
{
    const struct help_folder *folder = *state;
    const struct store_options options = {.directory = folder->path, .map_bytes = UINT64_C(1) << 28};
    struct help_random random = {8};
    struct store *store = help_open(folder, NULL);
    struct disk_digest row;
    char why[512];

    for (int round = 0; round < 5; round++)
        help_batch(store, &random, 30);
    row = (struct disk_digest){
        .position = store_position(store), .records = store_digest(store) + 1, .history = store_history_digest(store)};
    store_close(store);
    plant(folder, DISK_META, DISK_META_DIGEST, &row, sizeof row);
    assert_int_equal(store_open(&options, &store, why, sizeof why), STORE_DAMAGED);
    assert_non_null(strstr(why, "position 5"));
    assert_non_null(strstr(why, "digest"));
    row.records--;
    plant(folder, DISK_META, DISK_META_DIGEST, &row, sizeof row);
    store_close(help_open(folder, NULL));
}

/* X4: the same while it runs: the next batch is not begun, and the store says why it can't be trusted. */
static void
another_digest_stops_an_instance_that_runs(void **state)
{
    const struct help_folder *folder = *state;
    struct help_random random = {9};
    struct store *store = help_open(folder, NULL);
    struct disk_digest row;
    pid_t child;
    int status;

    help_batch(store, &random, 30);
    row = (struct disk_digest){.position = 1, .records = store_digest(store) ^ 1};
    child = fork(); /* LMDB takes no second environment of one file in one process */
    if (child == 0) {
        plant(folder, DISK_META, DISK_META_DIGEST, &row, sizeof row);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_null(store_unsound(store));
    assert_false(store_begin(store));
    assert_non_null(store_unsound(store));
    assert_non_null(strstr(store_unsound(store), "usherd check"));
    assert_false(store_begin(store)); /* and never again */
    store_close(store);
}

/* Released data files must open for ever: a store from before there was a digest gets one with its next batch. */
static void
a_store_without_a_digest_gets_one(void **state)
{
    const struct help_folder *folder = *state;
    struct help_random random = {10};
    struct store *store = help_open(folder, NULL);
    uint64_t history;

    for (int round = 0; round < 5; round++)
        help_batch(store, &random, 30);
    history = store_history_digest(store);
    store_close(store);
    plant(folder, DISK_META, DISK_META_DIGEST, NULL, 0);
    store = help_open(folder, NULL);
    assert_int_equal(store_history_digest(store), history);
    help_batch(store, &random, 30);
    history = store_history_digest(store);
    store_close(store);
    store = help_open(folder, NULL);
    assert_int_equal(store_history_digest(store), history);
    store_close(store);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_running_digest_is_that_of_the_records, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(another_digest_at_the_same_position_is_refused, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(another_digest_stops_an_instance_that_runs, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_store_without_a_digest_gets_one, make_folder, remove_folder),
    };

    return usher_test_main(argc, argv, tests);
}
