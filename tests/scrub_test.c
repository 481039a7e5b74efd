/* scrub_test.c: a rolling look over memory and disk: nothing to say of a sound store, and no flipped bit goes unseen.
 */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lmdb.h>

#include "server/store/snapshot.h"
#include "tests/store_help.h"

#define SLICE 97u

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

/* One round, from wherever the scrub stands to the end. */
static void
finish_round(struct store *store)
{
    int slices = 0;

    while (!store_scrub(store, SLICE) && store_unsound(store) == NULL) {
        assert_int_equal(store_fault(store, NULL), STORE_OK);
        assert_true(slices++ < 100000);
    }
}

static void
is_sound(struct store *store)
{
    finish_round(store);
    if (store_unsound(store) != NULL)
        fail_msg("%s", store_unsound(store));
}

/* A store with records that are written back, and some that are not. */
static struct store *
make_store(const struct help_folder *folder, struct help_random *random)
{
    struct store *store = help_open(folder, NULL);

    for (int round = 0; round < 30; round++)
        help_batch(store, random, 60);
    while (store_idle(store))
        continue;
    help_batch(store, random, 30);
    return store;
}

/* The key of the table's first record that is (or is not) there as a row; 0 for none. */
struct search {
    uint64_t key, skip;
};

static bool
take_key(void *context, const void *record)
{
    struct search *search = context;

    memcpy(&search->key, record, sizeof search->key);
    return search->skip-- > 0;
}

static uint64_t
some_key(const struct store *store, enum store_table table, struct help_random *random)
{
    struct search search = {.skip = help_below(random, store_record_count(store, table))};

    store_each(store, table, take_key, &search);
    return search.key;
}

/* --- the tests -------------------------------------------------------------------------------- */
/* X4: slices between batches, undone batches, write-backs and openings: a sound store is never accused. */
static void
a_sound_store_is_never_accused(void **state)
{
    const struct help_folder *folder = *state;
    struct help_random random = {21}, other = {21}, undone = {22}, dice = {23};
    struct store *store = help_open(folder, NULL), *memory = store_open_memory();
    int rounds = 0;

    for (int turn = 0; turn < 600; turn++) {
        help_batch(store, &random, 20);
        help_batch(memory, &other, 20);
        rounds += store_scrub(store, SLICE * 8);
        (void)store_scrub(memory, SLICE * 8);
        if (help_below(&dice, 4) == 0)
            (void)store_idle(store);
        rounds += store_scrub(store, (uint32_t)help_below(&dice, SLICE) + 1);
        if (help_below(&dice, 6) == 0) {
            assert_true(store_begin(store));
            help_change(store, &undone, 20);
            store_undo(store);
        }
        if (help_below(&dice, 60) == 0) {
            store_close(store);
            store = help_open(folder, NULL);
        }
        if (store_unsound(store) != NULL || store_unsound(memory) != NULL)
            fail_msg("turn %d: %s", turn, store_unsound(store) != NULL ? store_unsound(store) : store_unsound(memory));
        assert_int_equal(store_fault(store, NULL), STORE_OK);
    }
    assert_true(rounds > 3);
    is_sound(store);
    is_sound(memory);
    store_close(store);
    store_close(memory);
}

/* X4: one bit of one record in memory, clean or not yet written back, is found within the round after it, and the table
 * is named. Then no batch is taken any more. */
static void
a_flipped_bit_in_memory_is_found_within_a_round(void **state)
{
    static const enum store_table tables[] = {STORE_TABLE_HOUSE, STORE_TABLE_QUEUE,  STORE_TABLE_BLOCK,
                                              STORE_TABLE_USER,  STORE_TABLE_TICKET, STORE_TABLE_HOLD};
    struct help_random random = {31};

    for (size_t at = 0; at < 4 * sizeof tables / sizeof *tables; at++) {
        enum store_table table = tables[at % (sizeof tables / sizeof *tables)];
        struct store *store;
        uint64_t key;

        help_folder_remove(*state);
        help_folder_make(*state);
        store = make_store(*state, &random);
        is_sound(store);
        (void)store_scrub(store, (uint32_t)help_below(&random, 2000)); /* wherever the scrub stands */
        key = some_key(store, table, &random);
        /* The key itself stays; a ticket, the smallest of them, has 40 bytes. */
        store_flip_bit(store, table, key, 64 + (uint32_t)help_below(&random, 256));
        finish_round(store);
        if (store_unsound(store) == NULL)
            finish_round(store); /* it had gone by already: the next round is the first whole one */
        assert_non_null(store_unsound(store));
        assert_non_null(strstr(store_unsound(store), store_table_name(table)));
        assert_false(store_begin(store));
        store_close(store);
    }
}

/* X4: the same in a store in memory alone, where there are no rows: the sum tells. */
static void
a_flipped_bit_is_found_without_a_disk(void **state)
{
    struct help_random random = {32};
    struct store *memory = store_open_memory();
    (void)state;

    for (int round = 0; round < 10; round++)
        help_batch(memory, &random, 60);
    is_sound(memory);
    store_flip_bit(memory, STORE_TABLE_USER, some_key(memory, STORE_TABLE_USER, &random), 100);
    finish_round(memory);
    assert_non_null(store_unsound(memory));
    assert_non_null(strstr(store_unsound(memory), "user"));
    store_close(memory);
}

/* Flip a bit of the table's last row, in the file, as another process. */
static void
damage_last_row(const struct help_folder *folder, const char *table)
{
    char path[400];
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_cursor *cursor;
    MDB_val key, value;
    uint8_t bytes[4096];

    snprintf(path, sizeof path, "%s/store.mdb", folder->path);
    if (mdb_env_create(&env) != 0 || mdb_env_set_maxdbs(env, 64) != 0 ||
        mdb_env_set_mapsize(env, UINT64_C(1) << 28) != 0 ||
        mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOSYNC, 0600) != 0 || mdb_txn_begin(env, NULL, 0, &txn) != 0 ||
        mdb_dbi_open(txn, table, 0, &dbi) != 0 || mdb_cursor_open(txn, dbi, &cursor) != 0 ||
        mdb_cursor_get(cursor, &key, &value, MDB_LAST) != 0 || value.mv_size > sizeof bytes)
        _exit(1);
    memcpy(bytes, value.mv_data, value.mv_size);
    bytes[value.mv_size / 2] ^= 4;
    value.mv_data = bytes;
    if (mdb_cursor_put(cursor, &key, &value, MDB_CURRENT) != 0)
        _exit(1);
    mdb_cursor_close(cursor);
    if (mdb_txn_commit(txn) != 0)
        _exit(1);
    mdb_env_close(env);
    _exit(0);
}

/* Every record is its row, and there is a batch in the journal. */
static void
settle(struct store *store)
{
    while (store_idle(store))
        continue;
    assert_true(store_begin(store));
    assert_int_equal(store_commit(store, NULL, 0), STORE_DONE);
}

/* X4: a row that changes under a running store, in a table of records, of history, in the journal or the consumer's, is
 * found within a round, and the table is named. */
static void
a_damaged_row_is_found_within_a_round(void **state)
{
    static const char *const tables[] = {"user", "block", "client", "entry", "answer", "event", "journal", "meta"};
    struct help_random random = {33};

    for (size_t at = 0; at < sizeof tables / sizeof *tables; at++) {
        struct store *store;
        pid_t child;
        int status;

        help_folder_remove(*state);
        help_folder_make(*state);
        store = make_store(*state, &random);
        settle(store); /* the row of a record that is not written back yet is not looked at */
        is_sound(store);
        child = fork();
        if (child == 0)
            damage_last_row(*state, tables[at]);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        if (strcmp(tables[at], "meta") == 0) { /* is read before anything else, and is a fault at once */
            assert_false(store_scrub(store, SLICE));
            assert_int_not_equal(store_fault(store, NULL), STORE_OK);
            store_close(store);
            continue;
        }
        finish_round(store);
        assert_non_null(store_unsound(store));
        assert_non_null(strstr(store_unsound(store), tables[at]));
        store_close(store);
    }
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_sound_store_is_never_accused, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_flipped_bit_in_memory_is_found_within_a_round, make_folder, remove_folder),
        cmocka_unit_test(a_flipped_bit_is_found_without_a_disk),
        cmocka_unit_test_setup_teardown(a_damaged_row_is_found_within_a_round, make_folder, remove_folder),
    };

    return usher_test_main(argc, argv, tests);
}
