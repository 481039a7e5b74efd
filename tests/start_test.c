/* start_test.c: how usherd starts, refuses to start, and stops: options, data directory, keys, clock, address, signals.
 */
#define _GNU_SOURCE 1
#include "tests/test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lmdb.h>
#include <sodium.h>

#include "server/clock.h"
#include "server/keys.h"
#include "server/options.h"
#include "server/store/records.h"
#include "tests/server.h"
#include "tests/wire.h"

enum {
#define USHERD_EXIT(code, NAME, when) EXIT_##NAME = (code),
#include "server/exits.def"
};

#define SAID_MOST 8192

/* --- options: no process is needed -------------------------------------------------------------------------------- */
static bool
read_options(struct options *options, char *why, const char *word, const char *value)
{
    char *argv[] = {(char *)(uintptr_t) "usherd", (char *)(uintptr_t)word, (char *)(uintptr_t)value, NULL};

    return options_read(options, value == NULL ? 2 : 3, argv, why, 512);
}

/* Every option has a default that its own range allows. */
static void
without_words_every_option_is_at_its_default(void **state)
{
    struct options options;
    char *argv[] = {(char *)(uintptr_t) "usherd", NULL};
    char why[512];
    (void)state;

    assert_true(options_read(&options, 1, argv, why, sizeof why));
    assert_string_equal(options.data, "./data");
    assert_string_equal(options.listen, "127.0.0.1:7411");
    assert_true(options.history);
    assert_false(options.listen_anywhere);
    const struct net_limits usual = net_limits_usual();
    assert_memory_equal(&options.limits, &usual, sizeof usual);
#define NET_LIMIT(name, usual_value, least, most, unit, help)                                                          \
    assert_in_range(options.limits.name, (uint64_t)(least), (uint64_t)(most));
#include "server/net/limits.def"
}

/* Numbers are taken at both ends of their range and not one beyond. */
static void
a_number_is_taken_at_both_ends_of_its_range_and_not_beyond(void **state)
{
    static const struct {
        const char *value;
        bool sound;
    } rows[] = {{"1", true},  {"65535", true}, {"0", false},  {"65536", false}, {"-1", false},
                {"", false},  {"12x", false},  {" 5", false}, {"1e3", false},   {"99999999999999999999", false},
                {"+5", false}};
    struct options options;
    char why[512];
    (void)state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(read_options(&options, why, "--in-flight-max", rows[i].value), rows[i].sound);
        if (!rows[i].sound)
            assert_non_null(strstr(why, "--in-flight-max: "));
        if (!rows[i].sound)
            assert_non_null(strstr(why, "1 to 65535"));
    }
    assert_true(read_options(&options, why, "--in-flight-max=77", NULL));
    assert_int_equal(options.limits.in_flight_max, 77);
}

/* A word that is no option, lacks its value, or has one too many, is named. */
static void
a_word_that_is_no_option_is_named(void **state)
{
    static const char *const wrong[][2] = {{"--nonsense", NULL}, {"serve", NULL},  {"-q", NULL},
                                           {"--", NULL},         {"--data", NULL}, {"--quiet=yes", NULL},
                                           {"--history", "yes"}, {"--=x", NULL}};
    struct options options;
    char why[512];
    (void)state;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_false(read_options(&options, why, wrong[i][0], wrong[i][1]));
        char *name = strdup(wrong[i][0]);
        assert_non_null(name);
        name[strcspn(name, "=")] = '\0';
        assert_non_null(strstr(why, name));
        free(name);
    }
    assert_true(read_options(&options, why, "--history", "off"));
    assert_false(options.history);
}

/* The process says the same with a code of its own. */
static void
a_wrong_option_ends_the_program_with_one_line(void **state)
{
    struct test_server server;
    char said[SAID_MOST];
    (void)state;

    test_server_open(&server);
    assert_int_equal(test_server_run(&server, server.data, said, sizeof said, "--nonsense", NULL), EXIT_USAGE);
    assert_non_null(strstr(said, "--nonsense"));
    assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
    test_server_close(&server);
}

/* --help lists every option and every exit code; --version names the versions. */
static void
help_lists_every_option_and_exit_code(void **state)
{
    static const int codes[] = {
#define USHERD_EXIT(code, NAME, when) code,
#include "server/exits.def"
    };
    struct test_server server;
    char said[SAID_MOST], word[64];
    (void)state;

    test_server_open(&server);
    assert_int_equal(test_server_run(&server, NULL, said, sizeof said, "--help", NULL), 0);
#define NET_LIMIT(name, usual, least, most, unit, help) assert_non_null(strstr(said, help));
#include "server/net/limits.def"
#define OPTION_TEXT(name, usual, value, help)               assert_non_null(strstr(said, help));
#define OPTION_NUMBER(name, usual, least, most, unit, help) assert_non_null(strstr(said, help));
#define OPTION_SWITCH(name, help)                           assert_non_null(strstr(said, help));
#define OPTION_ON_OFF(name, usual, help)                    assert_non_null(strstr(said, help));
#include "server/options.def"
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        snprintf(word, sizeof word, "\n  %2d  ", codes[i]);
        assert_non_null(strstr(said, word));
    }
    assert_int_equal(test_server_run(&server, NULL, said, sizeof said, "--version", NULL), 0);
    assert_non_null(strstr(said, "usherd "));
    test_server_close(&server);
}

/* --- the clock: time is an argument
 * ----------------------------------------------------------------------------------- */
#define NOON 1750000000000u
#define DAY  86400000u

/* X1: a fresh store takes any time; later ones go on from the last stamp, and say by how much they are off. */
static void
the_clock_starts_at_the_systems_time_or_at_the_last_stamp_if_that_is_later(void **state)
{
    static const struct {
        uint64_t wall_ms, last_ms;
        enum clock_start start;
        uint64_t base_ms, off_ms;
    } rows[] = {
        {NOON, 0, CLOCK_STARTED, NOON, 0},
        {NOON, NOON, CLOCK_AHEAD, NOON, 0},
        {NOON, NOON + 5000, CLOCK_BEHIND, NOON + 5000, 5000},
        {NOON + 30 * (uint64_t)DAY, NOON, CLOCK_AHEAD, NOON + 30 * (uint64_t)DAY, 30 * (uint64_t)DAY},
        {NOON + 30 * (uint64_t)DAY + 1, NOON, CLOCK_REFUSED, NOON + 30 * (uint64_t)DAY + 1, 30 * (uint64_t)DAY + 1},
    };
    (void)state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct server_clock clock;
        uint64_t off_ms;
        enum clock_start start =
            clock_begin(&clock, rows[i].wall_ms, 77, rows[i].last_ms, 30 * (uint64_t)DAY, false, &off_ms);
        assert_int_equal(start, rows[i].start);
        assert_int_equal(off_ms, rows[i].off_ms);
        assert_int_equal(clock.base_ms, rows[i].base_ms);
        assert_int_equal(clock.begin_ms, 77);
    }
    struct server_clock clock;
    uint64_t off_ms;
    assert_int_equal(clock_begin(&clock, NOON + 31 * (uint64_t)DAY, 0, NOON, 30 * (uint64_t)DAY, true, &off_ms),
                     CLOCK_AHEAD);
}

/* X1: from its base on the clock counts with the monotonic one, never back. */
static void
the_clock_never_goes_back(void **state)
{
    struct server_clock clock;
    uint64_t off_ms, last_ms;
    (void)state;

    clock_begin(&clock, NOON, clock_monotonic_ms(), NOON + 1000, DAY, false, &off_ms);
    last_ms = clock_now_ms(&clock);
    assert_true(last_ms >= NOON + 1000);
    assert_true(last_ms < NOON + DAY);
    for (int i = 0; i < 100000; i++) {
        uint64_t now_ms = clock_now_ms(&clock);
        assert_true(now_ms >= last_ms);
        last_ms = now_ms;
    }
}

/* The server's time, from any reply. */
static uint64_t
server_time(const struct test_server *server)
{
    const usher_ping_request ping = {0};
    struct wire wire;

    assert_true(wire_open(&wire, server->port));
    assert_int_equal(wire_ask(&wire, USHER_OPCODE_PING, &ping, NULL), USHER_OK);
    wire_close(&wire);
    return wire.stamp_ms;
}

/* X1: over restarts: behind the last stamp it goes on from there; too far ahead it refuses and says by how much, unless
 * it is told to go on. */
static void
a_start_far_ahead_of_the_last_stamp_is_refused_unless_accepted(void **state)
{
    struct test_server server;
    char said[SAID_MOST];
    (void)state;

    test_server_open(&server);
    test_server_start(&server, "--wall-ms", "1750000000000", NULL);
    assert_in_range(server_time(&server), 1750000000000, 1750000000000 + DAY);
    assert_int_equal(test_server_stop(&server, SIGTERM), 0);

    test_server_start(&server, "--wall-ms", "1740000000000", NULL); /* the clock went back */
    assert_in_range(server_time(&server), 1750000000000, 1750000000000 + DAY);
    assert_int_equal(test_server_stop(&server, SIGTERM), 0);
    test_server_log(&server, said, sizeof said);
    assert_non_null(strstr(said, "event=clock_behind"));

    assert_int_equal(test_server_run(&server, server.data, said, sizeof said, "--listen", "127.0.0.1:0", "--wall-ms",
                                     "1760000000000", NULL),
                     EXIT_CLOCK);
    assert_non_null(strstr(said, "--accept-clock-leap"));
    test_server_start(&server, "--wall-ms", "1760000000000", "--accept-clock-leap", NULL);
    assert_in_range(server_time(&server), 1760000000000, 1760000000000 + DAY);
    test_server_log(&server, said, sizeof said);
    assert_non_null(strstr(said, "event=clock_leaped"));
    test_server_close(&server);
}

/* X1: moments of places have 48 bits, so no start is so late that a server could come to their end. */
static void
a_start_past_the_year_4199_is_refused(void **state)
{
    struct test_server server;
    char said[SAID_MOST];
    (void)state;

    test_server_open(&server);
    assert_int_equal(test_server_run(&server, server.data, said, sizeof said, "--listen", "127.0.0.1:0", "--wall-ms",
                                     "70368744177664", NULL),
                     EXIT_CLOCK);
    assert_non_null(strstr(said, "past the year 4199"));
    test_server_start(&server, "--wall-ms", "70368744177663", NULL);
    assert_in_range(server_time(&server), 70368744177663, 70368744177663 + DAY);
    assert_int_equal(test_server_stop(&server, SIGTERM), 0);
    test_server_close(&server);
}

/* --- keys
 * ----------------------------------------------------------------------------------------------------------------- */
static void
write_text(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

/* A key that was made is the key that is read, in a file of its owner's alone; an existing one is never overwritten. */
static void
a_key_that_was_made_is_read_back_and_never_overwritten(void **state)
{
    struct test_server server;
    uint8_t made[64], read[64];
    struct stat about;
    char why[512], path[TEST_PATH_MOST + 16];
    (void)state;

    test_server_open(&server);
    assert_int_equal(key_read(server.folder, "x.key", read, why, sizeof why), KEY_MISSING);
    assert_int_equal(key_make(server.folder, "x.key", made, why, sizeof why), KEY_FOUND);
    assert_int_equal(key_read(server.folder, "x.key", read, why, sizeof why), KEY_FOUND);
    assert_memory_equal(made, read, sizeof made);
    snprintf(path, sizeof path, "%s/x.key", server.folder);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    assert_int_equal(key_make(server.folder, "x.key", made, why, sizeof why), KEY_FAULT);
    assert_int_equal(key_read(server.folder, "x.key", made, why, sizeof why), KEY_FOUND);
    assert_memory_equal(made, read, sizeof made);
    snprintf(path, sizeof path, "%s/x.key.new", server.folder);
    assert_int_equal(access(path, F_OK), -1); /* no draft stays */
    test_server_close(&server);
}

/* A file that is not a key, or whose halves do not belong together, is refused. */
static void
a_file_that_is_not_a_key_is_refused(void **state)
{
    struct test_server server;
    uint8_t key[64];
    char why[512], path[TEST_PATH_MOST + 16], line[256];
    (void)state;

    test_server_open(&server);
    snprintf(path, sizeof path, "%s/x.key", server.folder);
    static const char *const wrong[] = {"", "usher-key-1 ", "usher-key-2 00", "hello\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        write_text(path, wrong[i], 0600);
        assert_int_equal(key_read(server.folder, "x.key", key, why, sizeof why), KEY_MALFORMED);
        assert_non_null(strstr(why, path));
    }
    unlink(path);
    assert_int_equal(key_make(server.folder, "x.key", key, why, sizeof why), KEY_FOUND);
    key[63] ^= 1; /* a public half of another key */
    strcpy(line, "usher-key-1 ");
    sodium_bin2hex(line + 12, 129, key, 64);
    write_text(path, line, 0600);
    assert_int_equal(key_read(server.folder, "x.key", key, why, sizeof why), KEY_MALFORMED);
    test_server_close(&server);
}

/* A key that others can read is no secret: usherd refuses to use it; and data whose key is gone needs it back, for the
 * tokens and tickets that are out could not be checked any more. */
static void
a_service_key_that_is_exposed_or_gone_is_refused(void **state)
{
    struct test_server server;
    char said[SAID_MOST], hidden[TEST_PATH_MOST + 8];
    (void)state;

    test_server_open(&server);
    test_server_start(&server, NULL);
    assert_int_equal(test_server_stop(&server, SIGTERM), 0);
    assert_int_equal(chmod(server.service_key, 0640), 0);
    assert_int_equal(test_server_run(&server, server.data, said, sizeof said, "--listen", "127.0.0.1:0", NULL),
                     EXIT_ACCESS);
    assert_non_null(strstr(said, "service.key"));
    snprintf(hidden, sizeof hidden, "%s/away", server.folder);
    assert_int_equal(rename(server.service_key, hidden), 0);
    assert_int_equal(test_server_run(&server, server.data, said, sizeof said, "--listen", "127.0.0.1:0", NULL),
                     EXIT_DATA);
    assert_non_null(strstr(said, "restore"));
    assert_int_equal(rename(hidden, server.service_key), 0);
    assert_int_equal(chmod(server.service_key, 0600), 0);
    test_server_start(&server, NULL);
    test_server_close(&server);
}

/* A start that was killed after it had written its keys and before it enrolled the admin is made good by the next. */
static void
a_first_start_that_was_cut_short_is_completed_by_the_next(void **state)
{
    struct test_server server;
    uint8_t key[64];
    struct wire wire;
    char why[512];
    (void)state;

    test_server_open(&server);
    assert_int_equal(mkdir(server.data, 0700), 0);
    assert_int_equal(key_make(server.data, "service.key", key, why, sizeof why), KEY_FOUND);
    assert_int_equal(key_make(server.data, "admin.key", key, why, sizeof why), KEY_FOUND);
    test_server_start(&server, NULL);
    assert_true(wire_open(&wire, server.port));
    assert_int_equal(wire_hello(&wire, key), USHER_OK);
    assert_int_equal(wire_authenticate(&wire, key, NULL), USHER_OK);
    wire_close(&wire);
    test_server_close(&server);
}

/* --- the data directory
 * -------------------------------------------------------------------------------------------------- */
/* One usherd at a time; the line names the one that runs. */
static void
a_second_usherd_on_one_directory_names_the_first(void **state)
{
    struct test_server server;
    char said[SAID_MOST], pid[32], path[TEST_PATH_MOST + 16];
    (void)state;

    test_server_open(&server);
    test_server_start(&server, NULL);
    assert_int_equal(test_server_run(&server, server.data, said, sizeof said, "--listen", "127.0.0.1:0", NULL),
                     EXIT_RUNNING);
    snprintf(pid, sizeof pid, "pid %ld", (long)server.pid);
    assert_non_null(strstr(said, pid));
    assert_non_null(strstr(said, "already running"));
    snprintf(path, sizeof path, "%s/usherd.lock", server.data);
    FILE *lock = fopen(path, "re");
    assert_non_null(lock);
    assert_non_null(fgets(said, sizeof said, lock));
    fclose(lock);
    assert_int_equal(strtol(said, NULL, 10), server.pid); /* not that of the one that was refused */
    assert_int_equal(test_server_stop(&server, SIGKILL), -SIGKILL); /* a killed one leaves no lock behind */
    test_server_start(&server, NULL);
    test_server_close(&server);
}

/* A directory of somebody else's is refused, and nothing is written to it; a file is no directory. */
static void
a_directory_that_is_not_one_is_left_alone(void **state)
{
    struct test_server server;
    char said[SAID_MOST], path[TEST_PATH_MOST + 32];
    (void)state;

    test_server_open(&server);
    assert_int_equal(mkdir(server.data, 0700), 0);
    snprintf(path, sizeof path, "%s/letters", server.data);
    write_text(path, "dear diary", 0600);
    assert_int_equal(test_server_run(&server, server.data, said, sizeof said, NULL), EXIT_DATA);
    assert_non_null(strstr(said, "letters"));
    unlink(path);
    assert_int_equal(rmdir(server.data), 0); /* nothing else is in it */

    write_text(server.data, "a file", 0600);
    assert_int_equal(test_server_run(&server, server.data, said, sizeof said, NULL), EXIT_ACCESS);
    unlink(server.data);

    assert_int_equal(mkdir(server.data, 0700), 0);
    snprintf(path, sizeof path, "%s/store.mdb", server.data);
    write_text(path, "this is not a store, however long it may be made to look by more words", 0600);
    assert_int_equal(test_server_run(&server, server.data, said, sizeof said, NULL), EXIT_DATA);
    assert_non_null(strstr(said, server.data));
    test_server_close(&server);
}

/* A directory that can't be written. */
static void
a_directory_that_is_not_writable_is_refused(void **state)
{
    struct test_server server;
    char said[SAID_MOST], path[TEST_PATH_MOST + 32];
    (void)state;

    test_server_open(&server);
    assert_int_equal(mkdir(server.data, 0500), 0);
    assert_int_equal(test_server_run(&server, server.data, said, sizeof said, NULL), EXIT_ACCESS);
    assert_non_null(strstr(said, server.data));
    snprintf(path, sizeof path, "%s/deeper", server.data);
    assert_int_equal(test_server_run(&server, path, said, sizeof said, NULL), EXIT_ACCESS);
    assert_non_null(strstr(said, path));
    assert_int_equal(chmod(server.data, 0700), 0);
    test_server_close(&server);
}

/* X3: a new data directory's name is forced to the disk with it; a folder that may be written to and not listed can't
 * be synced, and holds one all the same. */
static void
a_data_directory_is_made_where_nobody_may_list(void **state)
{
    struct test_server server;
    char folder[TEST_PATH_MOST];
    (void)state;

    test_server_open(&server);
    strcpy(folder, server.data);
    assert_int_equal(mkdir(folder, 0300), 0);
    assert_true(snprintf(server.data, sizeof server.data, "%s/deeper/", folder) < (int)sizeof server.data);
    test_server_start(&server, "--quiet", NULL);
    assert_int_equal(test_server_stop(&server, SIGTERM), 0);
    test_server_start(&server, "--quiet", NULL);
    assert_int_equal(test_server_stop(&server, SIGTERM), 0);
    assert_int_equal(chmod(folder, 0700), 0);
    test_server_close(&server);
}

/* Raise the schema in the store's first meta row, as a newer usherd would have written it. */
static void
write_newer_schema(const struct test_server *server)
{
    char path[TEST_PATH_MOST + 32];
    uint64_t number;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_cursor *cursor;
    MDB_val key = {sizeof number, &number}, value;
    uint8_t copy[256];
    const uint32_t schema = STORE_SCHEMA + 1;

    snprintf(path, sizeof path, "%s/store.mdb", server->data);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 64), 0);
    assert_int_equal(mdb_env_open(env, path, MDB_NOSUBDIR, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "meta", MDB_INTEGERKEY, &dbi), 0);
    assert_int_equal(mdb_cursor_open(txn, dbi, &cursor), 0);
    assert_int_equal(mdb_cursor_get(cursor, &key, &value, MDB_FIRST), 0);
    assert_true(value.mv_size <= sizeof copy);
    memcpy(copy, value.mv_data, value.mv_size);
    assert_memory_equal(copy + 8, &(uint32_t){STORE_SCHEMA}, 4);
    memcpy(copy + 8, &schema, 4); /* behind the magic */
    value.mv_data = copy;
    assert_int_equal(mdb_cursor_put(cursor, &key, &value, MDB_CURRENT), 0);
    mdb_cursor_close(cursor);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

/* Data of a newer usherd is refused, not misread. */
static void
data_of_a_newer_schema_is_refused(void **state)
{
    struct test_server server;
    char said[SAID_MOST];
    (void)state;

    test_server_open(&server);
    test_server_start(&server, NULL);
    assert_int_equal(test_server_stop(&server, SIGTERM), 0);
    write_newer_schema(&server);
    assert_int_equal(test_server_run(&server, server.data, said, sizeof said, "--listen", "127.0.0.1:0", NULL),
                     EXIT_NEWER);
    assert_non_null(strstr(said, "newer"));
    test_server_close(&server);
}

/* X6: with the map full, writes stop with STORAGE_FULL and reads go on; with more room the same data goes on. */
static void
a_full_map_stops_writes_while_reads_go_on(void **state)
{
    usher_charge_request charge = {.user = wire_user(1), .amount = 1};
    const usher_balance_request balance = {.user = wire_user(1)};
    usher_balance_reply reply;
    struct test_server server;
    struct wire wire;
    int64_t charged = 0;
    unsigned result = USHER_OK;
    (void)state;

    test_server_open(&server);
    test_server_start(&server, "--map-size", "1048576", NULL);
    assert_true(wire_open(&wire, server.port));
    assert_int_equal(wire_login(&wire, server.admin_key), USHER_OK);
    while (result == USHER_OK && charged < 1000000) {
        charge.request_id = wire_id();
        result = wire_ask(&wire, USHER_OPCODE_CHARGE, &charge, NULL);
        charged += result == USHER_OK;
    }
    assert_int_equal(result, USHER_STORAGE_FULL);
    assert_true(wire.refusal.retry_after_ms > 0);
    assert_int_equal(wire_ask(&wire, USHER_OPCODE_BALANCE, &balance, &reply), USHER_OK);
    assert_int_equal(reply.balance, charged);
    wire_close(&wire);
    assert_int_equal(test_server_stop(&server, SIGTERM), 0);

    test_server_start(&server, NULL); /* with the helper's larger map */
    assert_true(wire_open(&wire, server.port));
    assert_int_equal(wire_login(&wire, server.admin_key), USHER_OK);
    assert_int_equal(wire_ask(&wire, USHER_OPCODE_BALANCE, &balance, &reply), USHER_OK);
    assert_int_equal(reply.balance, charged);
    assert_int_equal(wire_ask(&wire, USHER_OPCODE_CHARGE, &charge, NULL), USHER_OK);
    assert_int_equal(wire.flags & USHER_FLAG_REPLAYED, 0); /* the refused one left no trace */
    wire_close(&wire);
    test_server_close(&server);
}

/* --- the address
 * ------------------------------------------------------------------------------------------------------------ */
/* A port that is in use is named; after a kill it can be taken again at once. */
static void
a_port_in_use_is_named_and_free_again_after_a_kill(void **state)
{
    struct test_server server, other;
    char said[SAID_MOST], address[32];
    struct wire wire;
    (void)state;

    test_server_open(&server);
    test_server_open(&other);
    test_server_start(&server, NULL);
    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)server.port);
    assert_int_equal(test_server_run(&other, other.data, said, sizeof said, "--listen", address, NULL), EXIT_PORT);
    assert_non_null(strstr(said, address));
    assert_non_null(strstr(said, "in use"));
    assert_true(wire_open(&wire, server.port));
    assert_int_equal(test_server_stop(&server, SIGKILL), -SIGKILL);
    wire_close(&wire);
    assert_false(wire_open(&wire, server.port)); /* nobody answers there now */
    uint16_t port = server.port;
    test_server_start(&server, "--listen", address, NULL);
    assert_int_equal(server.port, port);
    test_server_close(&server);
    test_server_close(&other);
}

/* In clear text only loopback is listened on, unless it is asked for by name; what is no address is named. */
static void
an_address_that_is_not_loopback_needs_a_word_more(void **state)
{
    static const char *const wrong[] = {"0.0.0.0:0",      "nonsense", "127.0.0.1",       "127.0.0.1:", ":7411",
                                        "127.0.0.1:http", "[::1",     "127.0.0.1:99999", "192.0.2.1:0"};
    struct test_server server;
    char said[SAID_MOST];
    (void)state;

    test_server_open(&server);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(test_server_run(&server, server.data, said, sizeof said, "--listen", wrong[i], NULL),
                         EXIT_ADDRESS);
        assert_non_null(strstr(said, wrong[i]));
    }
    test_server_start(&server, "--listen", "0.0.0.0:0", "--listen-anywhere", NULL);
    assert_true(server_time(&server) > 0);
    test_server_close(&server);
}

/* --- the stop
 * ---------------------------------------------------------------------------------------------------------------- */
/* X7: SIGTERM and SIGINT end it with 0, connections open or not, and what was acknowledged is there afterwards. */
static void
a_signal_stops_it_cleanly_with_connections_open(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT};
    usher_charge_request charge = {.user = wire_user(1), .amount = 5};
    const usher_balance_request balance = {.user = wire_user(1)};
    usher_balance_reply reply;
    struct test_server server;
    struct wire wire, silent;
    (void)state;

    test_server_open(&server);
    for (int i = 0; i < 2; i++) {
        test_server_start(&server, NULL);
        assert_true(wire_open(&silent, server.port));
        assert_true(wire_open(&wire, server.port));
        assert_int_equal(wire_login(&wire, server.admin_key), USHER_OK);
        assert_int_equal(wire_ask(&wire, USHER_OPCODE_BALANCE, &balance, &reply), USHER_OK);
        assert_int_equal(reply.balance, 5 * i);
        charge.request_id = wire_id();
        assert_int_equal(wire_ask(&wire, USHER_OPCODE_CHARGE, &charge, NULL), USHER_OK);
        assert_int_equal(test_server_stop(&server, signals[i]), 0);
        assert_true(wire_is_closed(&wire));
        wire_close(&wire);
        wire_close(&silent);
    }
    char said[SAID_MOST];
    test_server_log(&server, said, sizeof said);
    assert_non_null(strstr(said, "event=stopped"));
    test_server_close(&server);
}

/* X8: what it logs names no user. */
static void
the_log_names_no_user(void **state)
{
    usher_join_request join = {.request_id = wire_id(),
                               .user = {"\x8f\x4e\x11\x22\x33\x44\x4a\xbc\x9d\xef\x01"
                                        "\x23\x45\x67\x89\xaf"}};
    static const char *const forms[] = {"8f4e1122", "4abc", "9def", "0123456789af"};
    struct test_server server;
    char said[SAID_MOST];
    struct wire wire;
    (void)state;

    test_server_open(&server);
    test_server_start(&server, "--verbose", NULL);
    assert_true(wire_open(&wire, server.port));
    assert_int_equal(wire_login(&wire, server.admin_key), USHER_OK);
    assert_int_equal(wire_ask(&wire, USHER_OPCODE_JOIN, &join, NULL), USHER_OK);
    wire_close(&wire);
    assert_int_equal(test_server_stop(&server, SIGTERM), 0);
    test_server_log(&server, said, sizeof said);
    assert_non_null(strstr(said, "event=client")); /* it was verbose */
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        assert_null(strstr(said, forms[i]));
    test_server_close(&server);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_words_every_option_is_at_its_default),
        cmocka_unit_test(a_number_is_taken_at_both_ends_of_its_range_and_not_beyond),
        cmocka_unit_test(a_word_that_is_no_option_is_named),
        cmocka_unit_test(a_wrong_option_ends_the_program_with_one_line),
        cmocka_unit_test(help_lists_every_option_and_exit_code),
        cmocka_unit_test(the_clock_starts_at_the_systems_time_or_at_the_last_stamp_if_that_is_later),
        cmocka_unit_test(the_clock_never_goes_back),
        cmocka_unit_test(a_start_far_ahead_of_the_last_stamp_is_refused_unless_accepted),
        cmocka_unit_test(a_start_past_the_year_4199_is_refused),
        cmocka_unit_test(a_key_that_was_made_is_read_back_and_never_overwritten),
        cmocka_unit_test(a_file_that_is_not_a_key_is_refused),
        cmocka_unit_test(a_service_key_that_is_exposed_or_gone_is_refused),
        cmocka_unit_test(a_first_start_that_was_cut_short_is_completed_by_the_next),
        cmocka_unit_test(a_second_usherd_on_one_directory_names_the_first),
        cmocka_unit_test(a_directory_that_is_not_one_is_left_alone),
        cmocka_unit_test(a_directory_that_is_not_writable_is_refused),
        cmocka_unit_test(a_data_directory_is_made_where_nobody_may_list),
        cmocka_unit_test(data_of_a_newer_schema_is_refused),
        cmocka_unit_test(a_full_map_stops_writes_while_reads_go_on),
        cmocka_unit_test(a_port_in_use_is_named_and_free_again_after_a_kill),
        cmocka_unit_test(an_address_that_is_not_loopback_needs_a_word_more),
        cmocka_unit_test(a_signal_stops_it_cleanly_with_connections_open),
        cmocka_unit_test(the_log_names_no_user),
    };
    return usher_test_main(argc, argv, tests);
}
