/* box_office_test.c: a box office from end to end (H8): a terminal is invited with a sales channel, enrols, and sells
 * the seats that are blocked for it, by usherctl, over a wire, from a real usherd, over a kill and at two instances. */
#include "tests/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/server.h"

#define ANN "0190c0de-0000-7000-8000-00000000000a"
#define BOB "0190c0de-0000-7000-8000-00000000000b"

struct office {
    struct test_server server;
    char key[4][TEST_PATH_MOST + 16]; /* admin's, terminals of channel 3, of channel 4, a gateway's */
    char said[8192];                  /* what the last command wrote, to either output */
};
enum { ADMIN, DESK_3, DESK_4, SHOP };

/* Run usherctl as one of the four. Returns its exit code. */
__attribute__((format(printf, 4, 5))) static int
ctl(struct office *office, int who, unsigned port, const char *format, ...)
{
    char words[1024], command[2048];
    va_list arguments;
    FILE *output;
    size_t size;
    int status;

    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    snprintf(command, sizeof command, "TZ=UTC '%s' --server 127.0.0.1:%u --key '%s' %s 2>&1 </dev/null", USHERCTL_PATH,
             port, office->key[who], words);
    output = popen(command, "r");
    assert_non_null(output);
    size = fread(office->said, 1, sizeof office->said - 1, output);
    office->said[size] = 0;
    status = pclose(output);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* It ends with this code and says this. */
#define must(office, who, code, text, ...)                                                                             \
    do {                                                                                                               \
        int ended = ctl(office, who, (office)->server.port, __VA_ARGS__);                                              \
        if (ended != (code) || strstr((office)->said, text) == NULL)                                                   \
            fail_msg("ended with %d, not with %d and \"%s\":\n%s", ended, code, text, (office)->said);                 \
    } while (0)

static void
enrol(struct office *office, int who, const char *invitation)
{
    char code[65] = "";
    const char *line;

    snprintf(office->key[who], sizeof office->key[who], "%s/%d.key", office->server.folder, who);
    must(office, ADMIN, 0, "shown only now", "client invite %s", invitation);
    line = strstr(office->said, "shown only now:");
    assert_int_equal(sscanf(strchr(line, '\n'), "%64s", code), 1);
    must(office, ADMIN, 0, "its key is in", "client enrol %s '%s'", code, office->key[who]);
}

/* A hall of ten seats; seats 9 and 10 are set apart for channel 3, seat 8 for nobody. */
static int
open_office(void **state)
{
    struct office *office = calloc(1, sizeof *office);
    char path[TEST_PATH_MOST + 16];
    FILE *file;

    *state = office;
    assert_non_null(office);
    test_server_open(&office->server);
    test_server_start(&office->server, "--quiet", NULL);
    snprintf(office->key[ADMIN], sizeof office->key[ADMIN], "%s", office->server.admin_key);
    enrol(office, DESK_3, "terminal lobby --channel 3");
    enrol(office, DESK_4, "terminal harbour --channel 4");
    enrol(office, SHOP, "gateway shop");
    snprintf(path, sizeof path, "%s/hall.json", office->server.folder);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs("{ \"format\": \"usher-catalogue-1\","
          " \"plans\": [ { \"id\": 1, \"sections\": [ { \"name\": \"Hall\", \"rows\": 1, \"seats_per_row\": 10 } ] } ],"
          " \"concerts\": [ { \"id\": 1, \"title\": \"A quartet\", \"plan\": 1, \"prices\": [500],"
          " \"dates\": [ { \"id\": 1, \"starts_at\": \"+30d 19:30\" } ] } ] }",
          file);
    assert_int_equal(fclose(file), 0);
    must(office, ADMIN, 0, "is loaded", "catalogue load '%s'", path);
    must(office, ADMIN, 0, "blocked_count        2", "block 1 1 9,10 --channel 3 --reason lobby");
    must(office, ADMIN, 0, "blocked_count        1", "block 1 1 8 --reason camera");
    return 0;
}

static int
close_office(void **state)
{
    struct office *office = *state;

    test_server_close(&office->server);
    free(office);
    return 0;
}

/* --- the tests -------------------------------------------------------------------------------------------- */
/* H8: the list of clients shows whose channel is which; the terminal of it holds, sells, and gives back what nobody
 * else may have, and a hold of it lives through a kill. */
static void
a_terminal_sells_its_channels_seats_over_the_wire(void **state)
{
    struct office *office = *state;

    must(office, ADMIN, 0, "3  lobby", "client list");
    must(office, DESK_4, 1, "BLOCKED", "reserve 1 1 9 --user " ANN);
    must(office, ADMIN, 1, "BLOCKED", "reserve 1 1 9 --user " ANN);
    must(office, SHOP, 0, "", "join " BOB " --token-file '%s/bob'", office->server.folder);
    must(office, SHOP, 1, "BLOCKED", "reserve 1 1 9 --token-file '%s/bob'", office->server.folder);
    must(office, DESK_3, 1, "BLOCKED", "reserve 1 1 8 --user " ANN);
    must(office, DESK_3, 0, "free_count\": 9", "seats 1 1 --json --user " ANN);
    must(office, DESK_4, 0, "free_count\": 7", "seats 1 1 --json --user " ANN);
    must(office, DESK_3, 0, "500", "reserve 1 1 9 10 --user " ANN);
    assert_int_equal(test_server_stop(&office->server, SIGKILL), -SIGKILL);
    test_server_start(&office->server, "--quiet", NULL);

    must(office, DESK_3, 1, "HELD", "reserve 1 1 9 --user " BOB);
    must(office, DESK_4, 1, "BLOCKED", "reserve 1 1 9 --user " BOB);
    must(office, DESK_3, 0, "balance              500", "charge --amount 500 --user " ANN);
    must(office, DESK_3, 0, "payment_id           1", "pay 1 --user " ANN);
    must(office, DESK_3, 0, "released_count       1", "release 2 --user " ANN);
    must(office, SHOP, 1, "SOLD", "reserve 1 1 9 --token-file '%s/bob'", office->server.folder);
    must(office, SHOP, 1, "BLOCKED", "reserve 1 1 10 --token-file '%s/bob'", office->server.folder);
    must(office, DESK_4, 0, "amount               500", "refund 1 --user " ANN);
    must(office, SHOP, 1, "BLOCKED", "reserve 1 1 9 --token-file '%s/bob'", office->server.folder);
    must(office, ADMIN, 0, "unblocked_count      1", "unblock 1 1 9");
    must(office, SHOP, 0, "500", "reserve 1 1 9 --token-file '%s/bob'", office->server.folder);
}

/* H8, X4: what a terminal takes at one instance is taken at the other, and a seat is sold once. */
static void
a_channel_sells_at_two_instances_as_at_one(void **state)
{
    struct office *office = *state;
    struct test_server other;

    test_server_open_beside(&other, &office->server, 1);
    test_server_start(&other, "--quiet", "--join", NULL);
    must(office, DESK_3, 0, "500", "reserve 1 1 9 --user " ANN);
    assert_int_equal(ctl(office, DESK_3, other.port, "reserve 1 1 9 --user " BOB), 1);
    assert_non_null(strstr(office->said, "HELD"));
    assert_int_equal(ctl(office, DESK_4, other.port, "reserve 1 1 9 --user " BOB), 1);
    assert_non_null(strstr(office->said, "BLOCKED"));
    assert_int_equal(ctl(office, DESK_3, other.port, "charge --amount 500 --user " ANN), 0);
    assert_int_equal(ctl(office, DESK_3, other.port, "pay 1 --user " ANN), 0);
    must(office, DESK_3, 1, "SOLD", "reserve 1 1 9 --user " BOB);
    must(office, DESK_3, 0, "500", "reserve 1 1 10 --user " BOB);
    test_server_close(&other);
}

/* H8, F2: a seat that is held or sold through its block passes the check, and a dump and its load keep it as it is. */
static void
taken_seats_pass_the_check_and_a_dump(void **state)
{
    struct office *office = *state;
    char dump[TEST_PATH_MOST + 16], key[TEST_PATH_MOST + 16], loaded[TEST_PATH_MOST], said[8192];

    must(office, DESK_3, 0, "500", "reserve 1 1 9 10 --user " ANN);
    must(office, DESK_3, 0, "500", "charge --amount 500 --user " ANN);
    must(office, DESK_3, 0, "payment_id           1", "pay 1 --user " ANN);
    assert_int_equal(test_server_stop(&office->server, SIGTERM), 0);
    snprintf(dump, sizeof dump, "%s/dump", office->server.folder);
    assert_in_range(snprintf(loaded, sizeof loaded, "%s/loaded", office->server.folder), 1, sizeof loaded - 1);
    assert_int_equal(test_server_run(&office->server, NULL, said, sizeof said, "check", office->server.data, NULL), 0);
    assert_int_equal(test_server_run(&office->server, NULL, said, sizeof said, "dump", office->server.data, dump, NULL),
                     0);
    assert_int_equal(test_server_run(&office->server, NULL, said, sizeof said, "load", dump, loaded, NULL), 0);
    assert_int_equal(test_server_run(&office->server, NULL, said, sizeof said, "check", loaded, NULL), 0);
    assert_non_null(strstr(said, ": sound\n"));

    snprintf(key, sizeof key, "%s/service.key", loaded); /* a dump holds no key */
    assert_int_equal(rename(office->server.service_key, key), 0);
    memcpy(office->server.data, loaded, sizeof loaded);
    test_server_start(&office->server, "--quiet", NULL);
    must(office, DESK_4, 0, "amount               500", "refund 1 --user " ANN);
    must(office, DESK_3, 0, "released_count       1", "release 2 --user " ANN);
    must(office, DESK_4, 1, "BLOCKED", "reserve 1 1 9,10 --user " BOB);
    must(office, DESK_3, 0, "500", "reserve 1 1 9,10 --user " BOB);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_terminal_sells_its_channels_seats_over_the_wire, open_office, close_office),
        cmocka_unit_test_setup_teardown(a_channel_sells_at_two_instances_as_at_one, open_office, close_office),
        cmocka_unit_test_setup_teardown(taken_seats_pass_the_check_and_a_dump, open_office, close_office),
    };

    return usher_test_main(argc, argv, tests);
}
