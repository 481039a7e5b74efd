/* data_test.c: usherd's verbs on a data directory: a backup while it sells, and a store as lines and back. */
#include "tests/data_help.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <lmdb.h>

#include "server/commit/batch.h"
#include "server/store/snapshot.h"

static int
open_stage(void **state)
{
    *state = calloc(1, sizeof(struct data_stage));
    assert_non_null(*state);
    data_stage_open(*state);
    return 0;
}

static int
close_stage(void **state)
{
    data_stage_close(*state);
    free(*state);
    return 0;
}

/* --- backup --------------------------------------------------------------------------------------------------- */
#define LOAD_USERS 50u
#define LOAD_FIRST 1000u /* its users' numbers */

/* A client of its own process that charges without end and counts what was acknowledged. */
static pid_t
begin_load(const struct data_stage *stage, atomic_uint *acknowledged)
{
    pid_t parent = getpid(), child = fork();
    struct wire wire;

    if (child != 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || !wire_open(&wire, stage->server.port) ||
        wire_login(&wire, stage->server.admin_key) != USHER_OK)
        _exit(1);
    for (unsigned count = 0;; count++) {
        usher_charge_request charge = {
            .request_id = wire_id(), .user = wire_user(LOAD_FIRST + count % LOAD_USERS), .amount = 1};

        if (wire_ask(&wire, USHER_OPCODE_CHARGE, &charge, NULL) != USHER_OK)
            _exit(2);
        atomic_fetch_add(acknowledged, 1);
    }
}

static void
wait_for_load(const atomic_uint *acknowledged, unsigned count)
{
    for (int patience = 0; atomic_load(acknowledged) < count; patience++) {
        assert_in_range(patience, 0, 30000);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
}

/* How many points the load's users have in a backup. */
static uint64_t
points_in(const char *path)
{
    struct store *store;
    uint64_t points = 0;
    char why[512];

    if (store_open_snapshot(path, &store, why, sizeof why) != STORE_OK ||
        store_load_snapshot(store, why, sizeof why) != STORE_OK)
        fail_msg("%s", why);
    for (uint64_t number = 0; number < LOAD_USERS; number++) {
        usher_uuid uuid = wire_user(LOAD_FIRST + number);
        const struct user_record *user = store_see_user(store, store_find_user(store, &uuid));

        points += user == NULL ? 0 : (uint64_t)user->balance;
    }
    store_close(store);
    return points;
}

/* X3: backups that are made while it sells are each sound and of one moment, and hold every charge that was
 * acknowledged before the backup began; the server sells on meanwhile. */
static void
a_backup_while_selling_holds_all_that_was_acknowledged(void **state)
{
    struct data_stage *stage = *state;
    atomic_uint *acknowledged =
        mmap(NULL, sizeof *acknowledged, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned first;
    pid_t load;

    assert_true(acknowledged != MAP_FAILED);
    load = begin_load(stage, acknowledged);
    wait_for_load(acknowledged, 100);
    first = atomic_load(acknowledged);
    for (unsigned round = 0; round < 5; round++) {
        unsigned before = atomic_load(acknowledged), after;
        char name[16], path[256];
        uint64_t points;

        snprintf(name, sizeof name, "backup%u", round);
        snprintf(path, sizeof path, "%s", data_path(stage, name));
        data_must(stage, 0, "holds everything up to position", "backup", stage->server.data, path);
        after = atomic_load(acknowledged);
        points = points_in(path);
        /* One more may have been committed and not acknowledged when we looked. */
        assert_in_range(points, before, after + 1);
        data_must(stage, 0, ": sound\n", "check", path, NULL);
    }
    data_must(stage, 0, ": sound\n", "check", stage->server.data, NULL); /* and so is what is being written to */
    wait_for_load(acknowledged, first + 100);                            /* nobody was kept from charging */
    assert_int_equal(kill(load, SIGKILL), 0);
    assert_int_equal(waitpid(load, NULL, 0), load);
    munmap(acknowledged, sizeof *acknowledged);
}

/* X7: with its keys a backup is a data directory: a server starts on it, knows its clients and its books. */
static void
a_server_starts_on_a_restored_backup(void **state)
{
    struct data_stage *stage = *state;
    usher_info_request nothing = {0};
    usher_info_reply before, after;
    char old[256], path[256];

    data_must(stage, 0, "up to position", "backup", stage->server.data, data_path(stage, "backup"));
    assert_int_equal(wire_ask(&stage->admin, USHER_OPCODE_INFO, &nothing, &before), USHER_OK);
    wire_close(&stage->admin);
    assert_int_equal(test_server_stop(&stage->server, SIGKILL), -SIGKILL);
    snprintf(old, sizeof old, "%s", data_path(stage, "old"));
    assert_int_equal(rename(stage->server.data, old), 0);
    assert_int_equal(mkdir(stage->server.data, 0700), 0);
    snprintf(path, sizeof path, "%s/store.mdb", stage->server.data);
    assert_int_equal(rename(data_path(stage, "backup"), path), 0);
    assert_int_equal(rename(data_path(stage, "old/service.key"), stage->server.service_key), 0);
    assert_int_equal(rename(data_path(stage, "old/admin.key"), stage->server.admin_key), 0);
    test_server_start(&stage->server, "--quiet", NULL);
    assert_true(wire_open(&stage->admin, stage->server.port));
    assert_int_equal(wire_login(&stage->admin, stage->server.admin_key), USHER_OK);
    assert_int_equal(wire_ask(&stage->admin, USHER_OPCODE_INFO, &nothing, &after), USHER_OK);
    assert_int_equal(after.payment_count, before.payment_count);
    assert_int_equal(after.entry_count, before.entry_count);
    assert_int_equal(after.sold_count, before.sold_count);
    assert_int_equal(after.top_ups, before.top_ups);
    wire_close(&stage->admin);
}

/* A backup writes over nothing, and leaves nothing where it can't be made. */
static void
a_backup_that_cannot_be_made_says_why(void **state)
{
    struct data_stage *stage = *state;
    char file[256], draft[256];

    snprintf(file, sizeof file, "%s", data_path(stage, "backup"));
    snprintf(draft, sizeof draft, "%s", data_path(stage, "backup.new"));
    data_must(stage, 77, "No such file", "backup", data_path(stage, "nowhere"), file);
    data_must(stage, 77, "No such file", "backup", stage->server.data, data_path(stage, "no/folder"));
    data_write(draft, "", 0);
    data_must(stage, 77, "another backup is being made", "backup", stage->server.data, file);
    assert_int_equal(unlink(draft), 0);
    data_must(stage, 0, "up to position", "backup", stage->server.data, file);
    data_must(stage, 77, "is there already; name a new file", "backup", stage->server.data, file);
    assert_int_equal(access(draft, F_OK), -1);
    data_must(stage, 64, "usherd backup DATA FILE", "backup", stage->server.data, NULL);
}

/* --- dump and load -------------------------------------------------------------------------------------------- */
static uint64_t
digest_of(const char *path)
{
    struct store *store;
    char why[512];
    uint64_t digest;

    if (store_open_snapshot(path, &store, why, sizeof why) != STORE_OK ||
        store_load_snapshot(store, why, sizeof why) != STORE_OK)
        fail_msg("%s", why);
    digest = store_digest(store);
    store_close(store);
    return digest;
}

/* The lines of a dump make the same store again: the same digest of its records, and all rows of its history byte for
 * byte, which the second dump shows; and a server starts on it. */
static void
dump_and_load_come_to_the_same(void **state)
{
    struct data_stage *stage = *state;
    char first[256], second[256], loaded[256], key[300];
    struct data_bytes one, other;

    snprintf(first, sizeof first, "%s", data_path(stage, "first"));
    snprintf(second, sizeof second, "%s", data_path(stage, "second"));
    snprintf(loaded, sizeof loaded, "%s", data_path(stage, "loaded"));
    data_stage_stop(stage, SIGKILL);
    data_must(stage, 0, "digest", "dump", stage->server.data, first);
    data_must(stage, 0, "up to position", "load", first, loaded);
    data_must(stage, 0, ": sound\n", "check", loaded, NULL);
    data_must(stage, 0, "digest", "dump", loaded, second);
    assert_int_equal(digest_of(loaded), digest_of(stage->server.data));
    one = data_read(first);
    other = data_read(second);
    assert_int_equal(one.size, other.size);
    assert_memory_equal(one.bytes, other.bytes, one.size);
    assert_non_null(strstr((char *)one.bytes, "\ntable answer "));
    assert_non_null(strstr((char *)one.bytes, "\ntable history 7\n"));
    free(one.bytes);
    free(other.bytes);
    snprintf(key, sizeof key, "%s/service.key", loaded);
    assert_int_equal(rename(stage->server.service_key, key), 0);
    snprintf(key, sizeof key, "%s/admin.key", loaded);
    assert_int_equal(rename(stage->server.admin_key, key), 0);
    assert_int_equal(rename(stage->server.data, data_path(stage, "old")), 0);
    assert_int_equal(rename(loaded, stage->server.data), 0);
    test_server_start(&stage->server, "--quiet", NULL);
    assert_true(wire_open(&stage->admin, stage->server.port));
    assert_int_equal(wire_login(&stage->admin, stage->server.admin_key), USHER_OK);
    wire_close(&stage->admin);
}

/* An edit of a dump: what stands there first, what comes in its place, and what load must say. */
struct edit {
    const char *find, *replace, *expected;
};

static void
load_edited(struct data_stage *stage, const struct data_bytes *dump, const struct edit *edit)
{
    char *edited = malloc(dump->size + 256), *at = strstr((char *)dump->bytes, edit->find);
    size_t before, rest;
    char path[300], data[256];

    assert_non_null(edited);
    if (at == NULL)
        fail_msg("the dump has no \"%s\"", edit->find);
    before = (size_t)(at - (char *)dump->bytes);
    rest = dump->size - before - strlen(edit->find);
    memcpy(edited, dump->bytes, before);
    memcpy(edited + before, edit->replace, strlen(edit->replace));
    memcpy(edited + before + strlen(edit->replace), at + strlen(edit->find), rest);
    snprintf(path, sizeof path, "%s", data_path(stage, "edited"));
    snprintf(data, sizeof data, "%s", data_path(stage, "made"));
    data_write(path, edited, before + strlen(edit->replace) + rest);
    data_must(stage, strstr(edit->expected, "newer") != NULL ? 66 : 65, edit->expected, "load", path, data);
    snprintf(path, sizeof path, "%s/store.mdb", data);
    assert_int_equal(access(path, F_OK), -1);
    snprintf(path, sizeof path, "%s/usherd.load", data);
    assert_int_equal(access(path, F_OK), -1);
    free(edited);
}

/* Each mistake in a dump is named with its line, and no store is made of it. */
static void
a_mistake_in_a_dump_is_named_with_its_line(void **state)
{
    static const struct edit edits[] = {
        {"usher-dump 1", "usher-dump 2", "line 1: this is not a dump that this usherd reads"},
        {"schema ", "schema 9", "newer"},
        {"position ", "place ", "line 3: it should say: position NUMBER"},
        {"consumer ", "consumer x", "line 4: it should say: consumer NUMBER"},
        {"table house", "table horse", "line 5: there is no such table"},
        {"\n0 00", "\n0 01", "line 6: the check does not fit: the line was changed"},
        {"\n0 00", "\n1 00", "line 6: the check does not fit"},
        {"\n0 00", "\n0 0", "line 6: the row's bytes should be pairs of hex digits"},
        {"\n0 00", "\n00 00", "line 6: its key should be a number"},
        {"table queue 2", "table queue 3", "its key should be a number"},
        {"table queue", "table house", "line 7: the table came before"},
        {"table user ", "table user 1", "its key should be a number"},
        {"\ntable note 2\n", "\nnothing\n", "it should begin a table, or be the end line"},
        {"\nend ", "\nend 1", "it counts "},
        {"\nend ", "\nEND ", "it should begin a table, or be the end line"},
    };
    struct data_stage *stage = *state;
    char first[256], path[256], data[256];
    struct data_bytes dump;

    snprintf(first, sizeof first, "%s", data_path(stage, "first"));
    snprintf(path, sizeof path, "%s", data_path(stage, "edited"));
    snprintf(data, sizeof data, "%s", data_path(stage, "made"));
    data_stage_stop(stage, SIGTERM);
    data_must(stage, 0, "digest", "dump", stage->server.data, first);
    dump = data_read(first);
    for (size_t at = 0; at < sizeof edits / sizeof *edits; at++)
        load_edited(stage, &dump, &edits[at]);
    data_write(path, dump.bytes, dump.size - 1);
    data_must(stage, 65, "the line is cut short", "load", path, data);
    data_write(path, dump.bytes, (size_t)(strstr((char *)dump.bytes, "\nend ") + 1 - (char *)dump.bytes));
    data_must(stage, 65, "the dump ends before its end line", "load", path, data);
    dump.bytes[dump.size] = '\n';
    data_write(path, dump.bytes, dump.size + 1);
    data_must(stage, 65, "something follows the end line", "load", path, data);
    free(dump.bytes);
}

/* Load makes a store where none is; and only there. */
static void
load_writes_over_no_store(void **state)
{
    struct data_stage *stage = *state;
    char first[256];

    snprintf(first, sizeof first, "%s", data_path(stage, "first"));
    data_must(stage, 0, "digest", "dump", stage->server.data, first); /* while it serves */
    assert_in_range(data_run(stage, "load", first, stage->server.data), 75, 77);
    data_stage_stop(stage, SIGTERM);
    data_must(stage, 77, "is there already; name another directory", "load", first, stage->server.data);
    data_must(stage, 65, "is not a data directory", "load", first, stage->server.folder);
    data_must(stage, 77, "File exists", "dump", stage->server.data, first);
    data_must(stage, 77, "No such file", "load", data_path(stage, "nowhere"), data_path(stage, "made"));
}

/* --- usherctl ------------------------------------------------------------------------------------------------- */
static void
usherctl(struct data_stage *stage, int code, const char *text, const char *verb, const char *first, const char *second)
{
    char command[1024];
    FILE *output;
    size_t size;

    snprintf(command, sizeof command, USHERCTL_PATH " %s %s %s 2>&1", verb, first, second);
    output = popen(command, "r");
    assert_non_null(output);
    size = fread(stage->said, 1, sizeof stage->said - 1, output);
    stage->said[size] = '\0';
    int status = pclose(output);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != code || strstr(stage->said, text) == NULL)
        fail_msg("%s: not %d and \"%s\": %s", command, code, text, stage->said);
}

/* F4: backup, check, dump and load are usherctl's commands as well; it runs the usherd that stands beside it. */
static void
usherctl_runs_the_same_commands(void **state)
{
    struct data_stage *stage = *state;
    char backup[256], lines[256], loaded[256];

    snprintf(backup, sizeof backup, "%s", data_path(stage, "backup"));
    snprintf(lines, sizeof lines, "%s", data_path(stage, "lines"));
    snprintf(loaded, sizeof loaded, "%s", data_path(stage, "loaded"));
    usherctl(stage, 0, "holds everything up to position", "backup", stage->server.data, backup);
    usherctl(stage, 2, "name a new file", "backup", stage->server.data, backup);
    usherctl(stage, 0, ": sound", "check", backup, "");
    usherctl(stage, 0, "digest", "dump", backup, lines);
    usherctl(stage, 0, "up to position", "load", lines, loaded);
    usherctl(stage, 0, ": sound", "check", loaded, "");
    usherctl(stage, 2, "an argument is missing", "backup", stage->server.data, "");
    usherctl(stage, 2, "is not understood here", "check", loaded, "twice");
    data_write(data_path(stage, "loaded/store.mdb"), "no store", 8);
    usherctl(stage, 2, "usherd: check: ", "check", loaded, "");
}

/* --- schemas -------------------------------------------------------------------------------------------------- */
/* Raise the schema in the meta row, as a newer usherd would have written it. */
static void
write_newer_schema(const char *path)
{
    uint64_t number = 1;
    const uint32_t schema = STORE_SCHEMA + 1;
    MDB_val key = {sizeof number, &number}, value;
    uint8_t copy[256];
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;

    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 8), 0);
    assert_int_equal(mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "meta", MDB_INTEGERKEY, &dbi), 0);
    assert_int_equal(mdb_get(txn, dbi, &key, &value), 0);
    assert_true(value.mv_size <= sizeof copy);
    memcpy(copy, value.mv_data, value.mv_size);
    memcpy(copy + 8, &schema, sizeof schema);
    value.mv_data = copy;
    assert_int_equal(mdb_put(txn, dbi, &key, &value, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

/* Data of a newer schema is refused by every verb that reads it, with the line that says so. */
static void
every_verb_refuses_a_newer_schema(void **state)
{
    struct data_stage *stage = *state;
    char newer[256], out[256];

    snprintf(newer, sizeof newer, "%s", data_path(stage, "newer"));
    snprintf(out, sizeof out, "%s", data_path(stage, "out"));
    data_must(stage, 0, "up to position", "backup", stage->server.data, newer);
    write_newer_schema(newer);
    data_must(stage, 66, "use the newer program", "backup", newer, out);
    data_must(stage, 66, "use the newer program", "dump", newer, out);
    data_must(stage, 2, "use the newer program", "check", newer, NULL);
    assert_int_equal(access(out, F_OK), -1);
}

/* Batches of version 1, as the old journal has them, are still read. */
static void
batches_of_the_first_version_are_read(void **state)
{
    struct forms forms;
    uint64_t number = 0, batches = 0, commands = 0;
    MDB_val key = {sizeof number, &number}, value;
    MDB_cursor *cursor;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    void *scratch;

    (void)state;
    forms_fill(&forms);
    scratch = calloc(1, forms.struct_size_most);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 8), 0);
    assert_int_equal(mdb_env_open(env, SCHEMA_1_PATH, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "journal", MDB_INTEGERKEY, &dbi), 0);
    assert_int_equal(mdb_cursor_open(txn, dbi, &cursor), 0);
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
        struct batch_reader reader;
        struct core_request request;
        const uint8_t *bytes;
        uint64_t stamp_ms;
        size_t size;

        assert_true(store_journal_commands(value.mv_data, value.mv_size - 8, &stamp_ms, &bytes, &size));
        assert_true(batch_open(&reader, bytes, size));
        assert_int_equal(reader.stamp_ms, stamp_ms);
        assert_int_equal(reader.down_since_ms, 0);
        while (batch_next(&reader, &request, scratch))
            commands++;
        assert_true(batch_ended(&reader));
        batches++;
    }
    assert_int_equal(batches, 7);
    assert_in_range(commands, 7, 100);
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    mdb_env_close(env);
    free(scratch);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_backup_while_selling_holds_all_that_was_acknowledged, open_stage,
                                        close_stage),
        cmocka_unit_test_setup_teardown(a_server_starts_on_a_restored_backup, open_stage, close_stage),
        cmocka_unit_test_setup_teardown(a_backup_that_cannot_be_made_says_why, open_stage, close_stage),
        cmocka_unit_test_setup_teardown(dump_and_load_come_to_the_same, open_stage, close_stage),
        cmocka_unit_test_setup_teardown(a_mistake_in_a_dump_is_named_with_its_line, open_stage, close_stage),
        cmocka_unit_test_setup_teardown(load_writes_over_no_store, open_stage, close_stage),
        cmocka_unit_test_setup_teardown(usherctl_runs_the_same_commands, open_stage, close_stage),
        cmocka_unit_test_setup_teardown(every_verb_refuses_a_newer_schema, open_stage, close_stage),
        cmocka_unit_test(batches_of_the_first_version_are_read),
    };

    return usher_test_main(argc, argv, tests);
}
