/* usherctl_watch_test.c: usherctl watch from outside: what it prints, when it ends and with which exit code. */
#include "tests/test.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/instances_help.h"

#define TEXT_MOST 65536u

struct stage {
    struct house house; /* one door */
    char address[32];
    char out[TEST_PATH_MOST + 8], err[TEST_PATH_MOST + 8];
    char text[TEXT_MOST]; /* of one of them */
};

static int
stage_open(void **state)
{
    struct stage *stage = calloc(1, sizeof *stage);

    assert_non_null(stage);
    house_open(&stage->house, 1);
    house_load(&stage->house, 1, 50, 100);
    snprintf(stage->address, sizeof stage->address, "127.0.0.1:%u", (unsigned)stage->house.server[0].port);
    snprintf(stage->out, sizeof stage->out, "%s/out", stage->house.server[0].folder);
    snprintf(stage->err, sizeof stage->err, "%s/err", stage->house.server[0].folder);
    *state = stage;
    return 0;
}

static int
stage_close(void **state)
{
    struct stage *stage = *state;

    house_close(&stage->house);
    free(stage);
    return 0;
}

/* Start usherctl watch with these words, up to NULL. */
static pid_t
start(struct stage *stage, const char *const *words)
{
    const char *all[32] = {USHERCTL_PATH, "--server", stage->address, "--key", stage->house.server[0].admin_key,
                           "watch"};
    size_t count = 6;
    pid_t child;

    while (*words != NULL)
        all[count++] = *words++;
    unlink(stage->out); /* what is read from now on is this one's */
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setenv("TZ", "UTC", 1);
        if (freopen(stage->out, "w", stdout) == NULL || freopen(stage->err, "w", stderr) == NULL)
            _exit(126);
        execv(USHERCTL_PATH, (char *const *)(uintptr_t)all);
        _exit(127);
    }
    return child;
}
#define START(stage, ...) start((stage), (const char *const[]){__VA_ARGS__, NULL})

static int
end_of(pid_t child)
{
    int status;

    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}
#define RUN(stage, ...) end_of(START(stage, __VA_ARGS__))

static const char *
read_text(struct stage *stage, const char *path)
{
    FILE *file = fopen(path, "r");
    size_t size = file != NULL ? fread(stage->text, 1, sizeof stage->text - 1, file) : 0;

    stage->text[size] = '\0';
    if (file != NULL)
        fclose(file);
    return stage->text;
}

static void
must_say(struct stage *stage, const char *path, const char *text)
{
    if (strstr(read_text(stage, path), text) == NULL)
        fail_msg("\"%s\" is not in: %s", text, stage->text);
}

/* Wait until it has written this out. */
static void
wait_for(struct stage *stage, const char *text)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    uint64_t until_ms = house_now_ms() + PATIENCE_MS;

    while (strstr(read_text(stage, stage->out), text) == NULL) {
        assert_true(house_now_ms() < until_ms);
        nanosleep(&pause, NULL);
    }
}

static void
charge(struct stage *stage)
{
    const usher_charge_request ask = {.request_id = wire_id(), .user = wire_user(1), .amount = 5};

    house_must(&stage->house.admin[0], USHER_OPCODE_CHARGE, &ask, NULL);
}

static uint64_t
cursor_of(struct stage *stage, const char *name)
{
    usher_consumers_request ask = {0};
    usher_consumers_reply reply;

    strcpy(ask.consumer, name);
    house_must(&stage->house.admin[0], USHER_OPCODE_CONSUMERS, &ask, &reply);
    return reply.row[0].event_no;
}

/* --- the tests ------------------------------------------------------------------------------------------------ */
/* X5, F4: with a consumer's name each page is acknowledged once it is written out, and the next run begins behind it.
 * Each line is a JSON object. */
static void
a_consumer_is_made_followed_and_acknowledged(void **state)
{
    struct stage *stage = *state;

    assert_int_equal(RUN(stage, "events", "--consumer", "ledger", "--count", "1"), 0);
    must_say(stage, stage->out, "\n3 ");
    must_say(stage, stage->out, " catalogue_changed  concert_id 1  date_id 1\n");
    uint64_t seen = cursor_of(stage, "ledger");
    assert_int_equal(seen, house_info(&stage->house, 0, false).last_event_no);
    charge(stage);
    assert_int_equal(RUN(stage, "events", "--consumer", "ledger", "--count", "1", "--json"), 0);
    read_text(stage, stage->out);
    char *push = strchr(stage->text, '\n') + 1;
    json_t *line = json_loads(push, JSON_DISABLE_EOF_CHECK, NULL);
    assert_string_equal(json_string_value(json_object_get(line, "kind")), "push");
    json_t *events = json_object_get(json_object_get(line, "body"), "event");
    assert_int_equal(json_array_size(events), 1);
    json_t *event = json_array_get(events, 0);
    assert_int_equal(json_integer_value(json_object_get(event, "event_no")), seen + 1);
    assert_string_equal(json_string_value(json_object_get(event, "kind")), "charged");
    json_decref(line);
    assert_int_equal(cursor_of(stage, "ledger"), seen + 1);
}

/* F4: Ctrl-C ends it with 0; what was written out until then is acknowledged. */
static void
a_signal_ends_it_with_all_acknowledged(void **state)
{
    struct stage *stage = *state;

    for (int number = SIGINT; number != 0; number = number == SIGINT ? SIGTERM : 0) {
        pid_t child = START(stage, "events", "--consumer", "ledger");
        charge(stage);
        uint64_t last = house_info(&stage->house, 0, false).last_event_no;
        wait_for(stage, " charged ");
        kill(child, number);
        assert_int_equal(end_of(child), 0);
        assert_true(cursor_of(stage, "ledger") >= last);
    }
}

/* X5, F4: a consumer that has lost events is told from where on they are kept and how it goes on. */
static void
a_consumer_that_lost_events_is_told_how_to_go_on(void **state)
{
    const usher_set_policy_request bound = {.request_id = wire_id(), .name = "event_bytes_max", .value = 4096};
    struct stage *stage = *state;
    char hint[96];

    assert_int_equal(RUN(stage, "events", "--consumer", "ledger", "--count", "1"), 0);
    house_must(&stage->house.admin[0], USHER_OPCODE_SET_POLICY, &bound, NULL);
    while (house_info(&stage->house, 0, false).first_event_no < cursor_of(stage, "ledger") + 9)
        charge(stage);
    assert_int_equal(RUN(stage, "events", "--consumer", "ledger"), 1);
    must_say(stage, stage->err, "EVENTS_LOST: events after this cursor are no longer kept");
    uint64_t first = house_info(&stage->house, 0, false).first_event_no;
    snprintf(hint, sizeof hint, "usherctl consumer acknowledge ledger %u goes on there", (unsigned)(first - 1));
    must_say(stage, stage->err, hint);
    assert_int_equal(RUN(stage, "events", "--json"), 1);
    must_say(stage, stage->out, "\"kind\":\"ended\"");
    must_say(stage, stage->err, "begins there");
}

/* C2, F4: seats begin with how many are free; each change says which are taken and which free again. */
static void
seats_are_followed_by_their_changes(void **state)
{
    struct stage *stage = *state;
    const usher_reserve_request reserve = {
        .request_id = wire_id(), .user = wire_user(1), .concert_id = 1, .date_id = 1, .seat_count = 2, .seat = {7, 9}};
    usher_reserve_reply held;
    pid_t child = START(stage, "seats", "1", "1", "--user", "0190c0de-0000-7000-8000-00000000000a");

    wait_for(stage, "concert 1, date 1: 50 of 50 seats are free\n");
    house_must(&stage->house.admin[0], USHER_OPCODE_RESERVE, &reserve, &held);
    wait_for(stage, "  taken 7 9\n");
    const usher_release_request release = {.request_id = wire_id(),
                                           .user = wire_user(1),
                                           .reservation_count = 1,
                                           .reservation = {held.hold[1].reservation_id}};
    house_must(&stage->house.admin[0], USHER_OPCODE_RELEASE, &release, NULL);
    wait_for(stage, "  free 9\n");
    kill(child, SIGINT);
    assert_int_equal(end_of(child), 0);
}

/* T3, F4: a place is told as it is and whenever it changes; when it is over, so is the command. */
static void
a_place_is_followed_to_its_end(void **state)
{
    const usher_join_request ask = {.request_id = wire_id(), .user = wire_user(3)};
    struct stage *stage = *state;
    usher_join_reply join;
    char token[1024];

    house_must(&stage->house.admin[0], USHER_OPCODE_JOIN, &ask, &join);
    usher_base64_format(join.token, join.token_count, token, sizeof token);
    pid_t child = START(stage, "place", "--token", token);
    wait_for(stage, "queue 0, place 1: admitted");
    usher_leave_request leave = {.request_id = wire_id(), .token_count = join.token_count};
    memcpy(leave.token, join.token, join.token_count);
    house_must(&stage->house.admin[0], USHER_OPCODE_LEAVE, &leave, NULL);
    assert_int_equal(end_of(child), 0);
    must_say(stage, stage->out, "queue 0, place 1: given up by the user\n");
}

/* X7, F4: a server that goes and comes again is told of on stderr, and no event is left out. */
static void
a_restart_of_the_server_leaves_no_gap(void **state)
{
    struct stage *stage = *state;
    struct test_server *server = &stage->house.server[0];
    pid_t child = START(stage, "events", "--kinds", "charged", "--count", "2");

    charge(stage);
    wait_for(stage, " charged ");
    wire_close(&stage->house.admin[0]);
    test_server_stop(server, SIGKILL);
    house_open_door(&stage->house, 0, server->port);
    charge(stage);
    assert_int_equal(end_of(child), 0);
    must_say(stage, stage->err, "trying again");
    must_say(stage, stage->err, "it goes on");
    const char *first = strstr(read_text(stage, stage->out), " charged ");
    assert_non_null(first);
    assert_non_null(strstr(first + 1, " charged "));
}

/* F4: what can't be is told with 2, a server that is not there with 3. */
static void
what_cannot_be_followed_is_told(void **state)
{
    struct stage *stage = *state;

    assert_int_equal(RUN(stage, "events", "--kinds", "paid,nothing"), 2);
    must_say(stage, stage->err, "\"nothing\" is no kind of event");
    assert_int_equal(RUN(stage, "events", "--count", "0"), 2);
    must_say(stage, stage->err, "--count: \"0\"");
    assert_int_equal(RUN(stage, "place"), 1);
    must_say(stage, stage->err, "TOKEN_MISSING");
    strcpy(stage->address, "127.0.0.1:1");
    assert_int_equal(RUN(stage, "events"), 3);
    must_say(stage, stage->err, "start a server with ./usher run");
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_consumer_is_made_followed_and_acknowledged, stage_open, stage_close),
        cmocka_unit_test_setup_teardown(a_signal_ends_it_with_all_acknowledged, stage_open, stage_close),
        cmocka_unit_test_setup_teardown(a_consumer_that_lost_events_is_told_how_to_go_on, stage_open, stage_close),
        cmocka_unit_test_setup_teardown(seats_are_followed_by_their_changes, stage_open, stage_close),
        cmocka_unit_test_setup_teardown(a_place_is_followed_to_its_end, stage_open, stage_close),
        cmocka_unit_test_setup_teardown(a_restart_of_the_server_leaves_no_gap, stage_open, stage_close),
        cmocka_unit_test_setup_teardown(what_cannot_be_followed_is_told, stage_open, stage_close),
    };

    return usher_test_main(argc, argv, tests);
}
