/* store_open_test.c: data directories that are none, not ours, not for us, too new, damaged or full: each is refused
 * with its own status and one line that names the place and says what to do. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lmdb.h>

#include "server/store/disk.h"
#include "server/store/disk_open.h"
#include "tests/store_help.h"

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

/* Opening this path must be refused with this status and a line that says all of these things. */
static void
refused(const char *path, enum store_status expected, const char *first, const char *second)
{
    const struct store_options options = {.directory = path, .map_bytes = UINT64_C(1) << 28, .unsafe_no_sync = true};
    struct store *store = (struct store *)&options;
    char why[512] = "";
    enum store_status status = store_open(&options, &store, why, sizeof why);

    if (status != expected || store != NULL || strstr(why, first) == NULL || strstr(why, second) == NULL ||
        strchr(why, '\n') != NULL)
        fail_msg("status %d instead of %d: %s", (int)status, (int)expected, why);
}

static void
write_file(const struct help_folder *folder, const char *name, const char *text)
{
    char path[400];
    FILE *file;

    mkdir(folder->path, 0700);
    snprintf(path, sizeof path, "%s/%s", folder->path, name);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* Put these bytes into a table of a store's file as any program could; NULL for the main table. */
static void
write_raw(const struct help_folder *folder, const char *table, uint64_t number, const void *bytes, size_t size)
{
    MDB_val key = {sizeof number, &number}, value = {size, (void *)(uintptr_t)bytes};
    char path[400];
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;

    mkdir(folder->path, 0700);
    snprintf(path, sizeof path, "%s/store.mdb", folder->path);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 8), 0);
    assert_int_equal(mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOSYNC, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, table, MDB_CREATE | (table != NULL ? MDB_INTEGERKEY : 0), &dbi), 0);
    assert_int_equal(mdb_put(txn, dbi, &key, &value, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

/* Read a value's bytes; returns its size. */
static size_t
read_raw(const struct help_folder *folder, const char *table, uint64_t number, uint8_t *bytes, size_t room)
{
    MDB_val key = {sizeof number, &number}, value;
    char path[400];
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;

    snprintf(path, sizeof path, "%s/store.mdb", folder->path);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 8), 0);
    assert_int_equal(mdb_env_open(env, path, MDB_NOSUBDIR | MDB_RDONLY, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, table, MDB_INTEGERKEY, &dbi), 0);
    assert_int_equal(mdb_get(txn, dbi, &key, &value), 0);
    assert_true(value.mv_size <= room);
    memcpy(bytes, value.mv_data, value.mv_size);
    mdb_txn_abort(txn);
    mdb_env_close(env);
    return value.mv_size;
}

/* A store with a user, an answer and a batch in its journal. */
static void
make_store(const struct help_folder *folder)
{
    struct store *store = help_open(folder, NULL);

    assert_true(store_begin(store));
    store_put_user(store, &(struct user_record){.user_no = 77, .balance = 1});
    assert_int_equal(store_commit(store, NULL, 0), STORE_DONE);
    while (store_idle(store))
        continue;
    assert_true(store_begin(store));
    store_put_user(store, &(struct user_record){.user_no = 78, .balance = 1});
    store_append_answer(store, &(struct answer_row){.answer_no = 5, .scope = 1, .request_id = {{1}}});
    assert_int_equal(store_commit(store, (const uint8_t *)"abc", 3), STORE_DONE);
    store_close(store);
}

/* X8: a new data directory and its file are the owner's alone. */
static void
a_new_directory_is_private(void **state)
{
    const struct help_folder *folder = *state;
    struct stat directory, file;
    char path[400];

    store_close(help_open(folder, NULL));
    snprintf(path, sizeof path, "%s/store.mdb", folder->path);
    assert_int_equal(stat(folder->path, &directory), 0);
    assert_int_equal(stat(path, &file), 0);
    assert_int_equal(directory.st_mode & 0777, 0700);
    assert_int_equal(file.st_mode & 0777, 0600);
}

/* F2: a directory that holds other things is left alone; the server's own keys and lock are not other things. */
static void
a_directory_with_other_things_is_refused(void **state)
{
    const struct help_folder *folder = *state;

    write_file(folder, "admin.key", "k");
    write_file(folder, "usherd.lock", "");
    store_close(help_open(folder, NULL));
    help_folder_remove(*state);
    help_folder_make(*state);
    write_file(folder, "holiday.txt", "sun");
    refused(folder->path, STORE_NOT_ONE, folder->path, "holiday.txt");
}

/* F2: beside a store, names that nobody knows do no harm. */
static void
a_store_with_strangers_beside_it_opens(void **state)
{
    store_close(help_open(*state, NULL));
    write_file(*state, "notes.txt", "by the operator");
    store_close(help_open(*state, NULL));
}

/* F2: a store.mdb that LMDB did not write, or that another program wrote with LMDB, is not a store. */
static void
another_programs_file_is_refused(void **state)
{
    static const char *const texts[] = {"short", NULL};
    const struct help_folder *folder = *state;
    char *long_text = calloc(1, 10001);

    memset(long_text, 'x', 10000);
    write_file(folder, "store.mdb", texts[0]);
    refused(folder->path, STORE_NOT_ONE, "store.mdb", "name another directory");
    write_file(folder, "store.mdb", long_text);
    refused(folder->path, STORE_NOT_ONE, "store.mdb", "name another directory");
    free(long_text);
    help_folder_remove(*state);
    help_folder_make(*state);
    write_raw(folder, NULL, 1, "something", 9);
    refused(folder->path, STORE_NOT_ONE, "store.mdb", "name another directory");
    help_folder_remove(*state);
    help_folder_make(*state);
    write_raw(folder, "meta", DISK_META_STORE, "a meta row of some other program.........", 40);
    refused(folder->path, STORE_NOT_ONE, "store.mdb", "name another directory");
}

/* F2: a file where the directory should be, and a directory whose parent is not there. */
static void
a_path_that_is_no_directory_is_refused(void **state)
{
    struct help_folder *folder = *state;
    char path[400];

    write_file(folder, "plain.key", "text");
    snprintf(path, sizeof path, "%s/plain.key", folder->path);
    refused(path, STORE_NO_ACCESS, path, "Not a directory");
    snprintf(path, sizeof path, "%s/no/such", folder->path);
    refused(path, STORE_NO_ACCESS, path, "No such file");
    memset(path, 'p', sizeof path);
    path[sizeof path - 1] = '\0';
    refused(path, STORE_FAULT, path, "File name too long");
}

/* Become somebody who owns nothing, if we are root; does nothing otherwise. */
static void
be_nobody(void)
{
    if (geteuid() == 0 && (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0))
        _exit(2);
}

/* F2: a directory that this user may not read, and one that it may not write. */
static void
a_directory_without_access_is_refused(void **state)
{
    static const mode_t modes[] = {0, 0555};
    const struct help_folder *folder = *state;

    assert_int_equal(chmod(folder->parent, 0755), 0);
    for (size_t at = 0; at < 2; at++) {
        const struct store_options options = {.directory = folder->path, .map_bytes = UINT64_C(1) << 28};
        struct store *store;
        char why[512] = "";
        pid_t child;
        int status;

        mkdir(folder->path, 0700);
        assert_int_equal(chmod(folder->path, modes[at]), 0);
        child = fork();
        if (child == 0) {
            be_nobody();
            _exit(store_open(&options, &store, why, sizeof why) == STORE_NO_ACCESS && store == NULL &&
                          strstr(why, folder->path) != NULL && strstr(why, "Permission denied") != NULL
                      ? 0
                      : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        assert_int_equal(chmod(folder->path, 0700), 0);
    }
}

/* F2: a store of a newer schema is refused, whatever else has changed in it. */
static void
a_newer_schema_is_refused(void **state)
{
    struct {
        char magic[8];
        uint32_t schema;
        uint8_t rest[100];
    } newer = {.magic = DISK_MAGIC, .schema = STORE_SCHEMA + 1};

    make_store(*state);
    write_raw(*state, "meta", DISK_META_STORE, &newer, sizeof newer);
    refused(((struct help_folder *)*state)->path, STORE_NEWER, "newer", "use the newer program");
}

/* F2: a flipped bit in any stored value is found on opening and named by table and key. */
static void
a_damaged_value_is_named_by_table_and_key(void **state)
{
    static const struct {
        const char *table;
        uint64_t key;
        const char *said;
    } rows[] = {
        {"user", 77, "table user, key 77"},
        {"house", 0, "table house, key 0"},
        {"journal", 2, "table journal, key 2"},
        {"answer", 5, "table answer, key 5"},
        {"meta", DISK_META_STORE, "table meta, key 1"},
    };
    const struct help_folder *folder = *state;
    struct help_random random = {41};

    make_store(folder);
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        uint8_t bytes[4096], whole[4096];
        size_t size = read_raw(folder, rows[row].table, rows[row].key, bytes, sizeof bytes);

        memcpy(whole, bytes, size);
        for (int times = 0; times < 20; times++) {
            uint64_t at = 12 + help_below(&random, size - 12); /* past the meta row's magic and schema */

            memcpy(bytes, whole, size);
            bytes[at] ^= (uint8_t)(1u << help_below(&random, 8));
            write_raw(folder, rows[row].table, rows[row].key, bytes, size);
            refused(folder->path, STORE_DAMAGED, rows[row].said, "restore the last backup");
        }
        write_raw(folder, rows[row].table, rows[row].key, whole, size - 1);
        refused(folder->path, STORE_DAMAGED, rows[row].said, "restore the last backup");
        write_raw(folder, rows[row].table, rows[row].key, whole, size);
        store_close(help_open(folder, NULL));
    }
}

/* F2: a value that stands under another key than its own is damage as well, in records and in history. */
static void
a_value_under_another_key_is_damage(void **state)
{
    const struct help_folder *folder = *state;
    struct answer_row answer;
    uint8_t bytes[4096];
    struct store *store;
    size_t size;

    make_store(folder);
    store = help_open(folder, NULL);
    assert_true(store_begin(store));
    store_append_ended(store, &(struct ended_row){.reservation_id = 30, .how = ENDED_EXPIRED});
    assert_int_equal(store_commit(store, NULL, 0), STORE_DONE);
    store_close(store);
    size = read_raw(folder, "ended", 30, bytes, sizeof bytes);
    write_raw(folder, "ended", 31, bytes, size);
    store = help_open(folder, NULL);
    assert_true(store_read_ended(store, 30, &(struct ended_row){0}));
    assert_false(store_read_ended(store, 31, &(struct ended_row){0}));
    assert_int_equal(store_fault(store, NULL), STORE_FAULT);
    assert_true(store_read_answer(store, 5, &answer));
    store_close(store);
    size = read_raw(folder, "user", 77, bytes, sizeof bytes);
    write_raw(folder, "user", 79, bytes, size);
    refused(folder->path, STORE_DAMAGED, "table user, key 79", "restore the last backup");
}

/* X3: a row of history is checked when it is read: a damaged one is a fault, not an answer. */
static void
a_damaged_row_of_history_is_a_fault(void **state)
{
    const struct help_folder *folder = *state;
    struct store *store = help_open(folder, NULL);
    struct entry_row entry = {.entry_no = 9, .amount = 500};
    uint8_t bytes[4096];
    const char *why;
    size_t size;

    assert_true(store_begin(store));
    store_append_entry(store, &entry);
    assert_int_equal(store_commit(store, NULL, 0), STORE_DONE);
    store_close(store);
    size = read_raw(folder, "entry", 9, bytes, sizeof bytes);
    bytes[offsetof(struct entry_row, amount)] ^= 1;
    write_raw(folder, "entry", 9, bytes, size);
    store = help_open(folder, NULL);
    assert_true(store_begin(store));
    assert_false(store_read_entry(store, 8, &entry));
    assert_int_equal(store_fault(store, &why), STORE_OK);
    assert_false(store_read_entry(store, 9, &entry));
    assert_int_equal(store_fault(store, &why), STORE_FAULT);
    assert_non_null(strstr(why, "entry"));
    assert_int_equal(store_commit(store, NULL, 0), STORE_UNDONE);
    assert_int_equal(store_position(store), 1);
    store_close(store);
}

/* F2: a file that was cut short is refused and does not kill the server. */
static void
a_file_that_was_cut_short_is_refused(void **state)
{
    const struct help_folder *folder = *state;
    struct help_random random = {42};
    struct store *store = help_open(folder, NULL);
    const struct store_options options = {.directory = folder->path, .map_bytes = UINT64_C(1) << 28};
    char why[512], path[400];
    struct stat file;

    for (int round = 0; round < 30; round++)
        help_batch(store, &random, 100);
    store_close(store);
    snprintf(path, sizeof path, "%s/store.mdb", folder->path);
    assert_int_equal(stat(path, &file), 0);
    for (off_t pages = file.st_size / 4096 * 3 / 4; pages > 2; pages /= 2) {
        enum store_status status;

        assert_int_equal(truncate(path, pages * 4096), 0);
        status = store_open(&options, &store, why, sizeof why);
        assert_int_not_equal(status, STORE_OK);
        assert_null(store);
        assert_non_null(strstr(why, "store.mdb"));
    }
}

/* X6: no room for a new store, by the map and by the disk, at any call; with room it opens as if nothing had been. */
static void
no_room_for_a_new_store_is_said_so(void **state)
{
    const struct help_folder *folder = *state;
    const struct store_options tiny = {.directory = folder->path, .map_bytes = 6 * 4096, .unsafe_no_sync = true};
    struct store *store;
    char why[512];
    bool failed = true;

    assert_int_equal(store_open(&tiny, &store, why, sizeof why), STORE_NO_ROOM);
    assert_null(store);
    assert_non_null(strstr(why, "make room"));
    for (uint64_t nth = 1; failed; nth++) {
        help_folder_remove(*state);
        help_folder_make(*state);
        lmdb_call_fail(nth, 1, ENOSPC, LMDB_COMMIT_NOT_DONE);
        failed = store_open(&(struct store_options){.directory = folder->path}, &store, why, sizeof why) != STORE_OK;
        assert_int_equal(failed, lmdb_call_count() >= nth);
        if (failed)
            assert_non_null(strstr(why, "No space left"));
        store_close(store);
        lmdb_call_fail(0, 0, 0, LMDB_COMMIT_NOT_DONE);
        assert_true(nth < 1000);
    }
    store = help_open(folder, NULL);
    assert_non_null(store_see_house(store, 0));
    store_close(store);
}

/* F2: any call of opening an old store can fail; nothing is lost by it. */
static void
opening_can_fail_at_any_call(void **state)
{
    const struct help_folder *folder = *state;
    const struct store_options options = {.directory = folder->path, .map_bytes = UINT64_C(1) << 28};
    struct store *store;
    char why[512];
    bool failed = true;

    make_store(folder);
    for (uint64_t nth = 1; failed; nth++) {
        lmdb_call_fail(nth, 1, EIO, LMDB_COMMIT_NOT_DONE);
        failed = store_open(&options, &store, why, sizeof why) != STORE_OK;
        assert_int_equal(failed, lmdb_call_count() >= nth);
        assert_true(nth < 1000);
        store_close(store);
    }
    lmdb_call_fail(0, 0, 0, LMDB_COMMIT_NOT_DONE);
    store = help_open(folder, NULL);
    assert_int_equal(store_position(store), 2);
    assert_int_equal(store_see_user(store, 78)->balance, 1);
    store_close(store);
}

/* F2: network file systems are known by their type; local ones are none. */
static void
network_file_systems_are_known(void **state)
{
    (void)state;
    assert_string_equal(disk_network_name(0x6969), "NFS");
    assert_string_equal(disk_network_name((unsigned long)(long)(int)0xff534d42),
                        "CIFS");                /* as a signed field gives it */
    assert_null(disk_network_name(0xef53));     /* ext4 */
    assert_null(disk_network_name(0x01021994)); /* tmpfs */
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_directory_is_private, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_directory_with_other_things_is_refused, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_store_with_strangers_beside_it_opens, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(another_programs_file_is_refused, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_path_that_is_no_directory_is_refused, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_directory_without_access_is_refused, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_newer_schema_is_refused, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_damaged_value_is_named_by_table_and_key, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_value_under_another_key_is_damage, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_damaged_row_of_history_is_a_fault, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_file_that_was_cut_short_is_refused, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(no_room_for_a_new_store_is_said_so, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(opening_can_fail_at_any_call, make_folder, remove_folder),
        cmocka_unit_test(network_file_systems_are_known),
    };

    return usher_test_main(argc, argv, tests);
}
