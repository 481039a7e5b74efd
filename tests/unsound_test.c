/* unsound_test.c: a usherd whose memory or disk differs from what was committed stops loudly. */
#include "tests/test.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <lmdb.h>

#include "tests/server.h"

enum {
#define USHERD_EXIT(code, NAME, when) EXIT_##NAME = (code),
#include "server/exits.def"
};

/* X4: a bit of a record that flips in memory is found within one round of the scrub: the log says so, stderr says which
 * table, and the process ends with a status of its own. The next start is sound: the disk never learned of it. */
static void
a_flipped_bit_in_memory_stops_the_server_loudly(void **state)
{
    struct test_server server;
    char said[8192];
    (void)state;

    test_server_open(&server);
    test_server_start(&server, NULL);
    assert_int_equal(test_server_stop(&server, SIGTERM), 0);
    assert_int_equal(
        test_server_run(&server, server.data, said, sizeof said, "--listen", "127.0.0.1:0", "--memory-fault", NULL),
        EXIT_UNSOUND);
    assert_non_null(strstr(said, "event=store_unsound"));
    assert_non_null(strstr(said, "table queue, key 1: the record in memory is not what was written to the disk"));
    test_server_start(&server, NULL);
    assert_int_equal(test_server_stop(&server, SIGTERM), 0);
    test_server_close(&server);
}

/* Flip a bit of the first row of a table, as another process, and end. 2: there is no row yet. */
static void
damage_first_row(const struct test_server *server, const char *table)
{
    char path[TEST_PATH_MOST + 16];
    uint8_t bytes[4096];
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_cursor *cursor;
    MDB_val key, value;

    snprintf(path, sizeof path, "%s/store.mdb", server->data);
    if (mdb_env_create(&env) != 0 || mdb_env_set_maxdbs(env, 64) != 0 ||
        mdb_env_open(env, path, MDB_NOSUBDIR, 0600) != 0 || mdb_txn_begin(env, NULL, 0, &txn) != 0 ||
        mdb_dbi_open(txn, table, 0, &dbi) != 0 || mdb_cursor_open(txn, dbi, &cursor) != 0)
        _exit(1);
    if (mdb_cursor_get(cursor, &key, &value, MDB_FIRST) != 0)
        _exit(2);
    memcpy(bytes, value.mv_data, value.mv_size);
    bytes[value.mv_size / 2] ^= 1;
    value.mv_data = bytes;
    if (mdb_cursor_put(cursor, &key, &value, MDB_CURRENT) != 0)
        _exit(1);
    mdb_cursor_close(cursor);
    if (mdb_txn_commit(txn) != 0)
        _exit(1);
    mdb_env_close(env);
    _exit(0);
}

/* X4: a row on the disk that changes under a running server is found within a round. The next start finds it as well,
 * and refuses. */
static void
a_damaged_row_stops_the_server_loudly(void **state)
{
    const struct timespec moment = {.tv_nsec = 20000000};
    struct test_server server;
    char said[8192];
    int status = -1;
    (void)state;

    test_server_open(&server);
    test_server_start(&server, "--scrub-pause-ms", "20", NULL);
    for (int times = 0; times < 500 && (!WIFEXITED(status) || WEXITSTATUS(status) == 2); times++) {
        pid_t child = fork();

        if (child == 0)
            damage_first_row(&server, "client");
        assert_int_equal(waitpid(child, &status, 0), child);
        nanosleep(&moment, NULL); /* until the server has written its records back */
    }
    assert_int_equal(status, 0);
    assert_int_equal(test_server_stop(&server, 0), EXIT_UNSOUND);
    test_server_log(&server, said, sizeof said);
    assert_non_null(strstr(said, "event=store_unsound"));
    assert_non_null(strstr(said, "table client, key 1: the row on the disk is damaged"));
    assert_int_equal(test_server_run(&server, server.data, said, sizeof said, "--listen", "127.0.0.1:0", NULL),
                     EXIT_DATA);
    assert_non_null(strstr(said, "table client, key 1"));
    test_server_close(&server);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flipped_bit_in_memory_stops_the_server_loudly),
        cmocka_unit_test(a_damaged_row_stops_the_server_loudly),
    };

    return usher_test_main(argc, argv, tests);
}
