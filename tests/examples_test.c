/* examples_test.c: the SDK's examples against a real server: each does what its first lines say. */
#include "test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client-sdk/include/usher.h"
#include "server.h"

/* A server with one concert, one date of 20 seats at 300. */
struct hall {
    struct test_server server;
    char address[32];
};

static void
hall_open(struct hall *hall)
{
    const usher_put_plan_request plan = {
        .plan_id = 1,
        .section_count = 1,
        .section[0] = {.name = "A", .first_row = 1, .row_count = 2, .seats_per_row = 10}};
    const usher_put_concert_request concert = {.concert_id = 1, .title = "An example", .venue = "Hall"};
    usher_put_date_request date = {.concert_id = 1, .date_id = 1, .plan_id = 1, .price_count = 1, .price = {300}};
    usher_options options = {.timeout_ms = 30000};
    const usher_ping_request ping = {.echo = 1};
    usher_ping_reply pong;
    usher_put_plan_reply plan_reply;
    usher_put_concert_reply concert_reply;
    usher_put_date_reply date_reply;
    usher_client *client;

    test_server_open(&hall->server);
    test_server_start(&hall->server, "--quiet", NULL);
    snprintf(hall->address, sizeof hall->address, "127.0.0.1:%u", (unsigned)hall->server.port);
    options.server = hall->address;
    options.key_file = hall->server.admin_key;
    assert_int_equal(usher_client_open(&options, &client), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_ping(client, &ping, &pong), USHER_STATUS_ANSWERED);
    date.starts_at_ms = usher_client_answer(client)->stamp_ms + 3600000;
    assert_int_equal(usher_put_plan(client, &plan, &plan_reply), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(client)->result, USHER_OK);
    assert_int_equal(usher_put_concert(client, &concert, &concert_reply), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(client)->result, USHER_OK);
    assert_int_equal(usher_put_date(client, &date, &date_reply), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(client)->result, USHER_OK);
    usher_client_close(client);
}

static void
set_mode(struct hall *hall, usher_queue_mode mode)
{
    const usher_options options = {
        .timeout_ms = 30000, .server = hall->address, .key_file = hall->server.admin_key};
    const usher_set_mode_request request = {.mode = (uint8_t)mode};
    usher_set_mode_reply reply;
    usher_client *client;

    assert_int_equal(usher_client_open(&options, &client), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_set_mode(client, &request, &reply), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_client_answer(client)->result, USHER_OK);
    usher_client_close(client);
}

/* A program that runs, and what it says. */
struct program {
    pid_t pid;
    FILE *said;
};

static struct program
start_typing(int typed, const char *const *words)
{
    struct program program;
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    program.pid = fork();
    if (program.pid == 0) {
        alarm(100);
        dup2(typed, 0);
        dup2(ends[1], 1);
        close(ends[0]);
        close(ends[1]);
        execv(words[0], (char *const *)words);
        _exit(127);
    }
    close(ends[1]);
    program.said = fdopen(ends[0], "r");
    assert_non_null(program.said);
    return program;
}

static struct program
start(const char *const *words)
{
    return start_typing(0, words);
}

/* The next line that it says begins like this. */
static void
must_say(struct program *program, const char *beginning)
{
    char line[256] = "";

    if (fgets(line, sizeof line, program->said) == NULL || strncmp(line, beginning, strlen(beginning)) != 0)
        fail_msg("\"%s\" instead of \"%s\"", line, beginning);
}

static void
must_end(struct program *program, int code)
{
    int status;

    while (fgetc(program->said) != EOF)
        continue;
    fclose(program->said);
    assert_int_equal(waitpid(program->pid, &status, 0), program->pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), code);
}

/* F5, C2, X5, B1: a ticket is bought in a loop of libuv, while the free seats are shown live and a loop of libevent
 * follows the events. */
static void
a_ticket_is_bought_while_seats_and_events_are_watched(void **state)
{
    struct hall hall;
    struct program seats, events, buyer;

    (void)state;
    hall_open(&hall);
    seats = start((const char *const[]){SEATS_PATH, hall.address, hall.server.admin_key, "1", "1", "1", NULL});
    must_say(&seats, "20 seats are free\n");
    events = start((const char *const[]){EVENTS_PATH, hall.address, hall.server.admin_key, "0", "2", NULL});
    must_say(&events, "1 ");
    buyer = start((const char *const[]){BUY_PATH, hall.address, hall.server.admin_key, "1", "1", NULL});
    must_say(&buyer, "seat ");
    must_say(&buyer, "ticket of payment 1: concert 1, date 1, seat ");
    must_end(&buyer, 0);
    must_say(&seats, "19 seats are free\n");
    must_end(&seats, 0);
    must_say(&events, "2 ");
    must_end(&events, 0);
    buyer = start((const char *const[]){BUY_PATH, hall.address, hall.server.admin_key, "1", "9", NULL});
    must_end(&buyer, 1); /* there is no such date */
    seats = start((const char *const[]){SEATS_PATH, hall.address, hall.server.admin_key, NULL});
    must_end(&seats, 2);
    test_server_close(&hall.server);
}

/* F5, X5: a named consumer that is killed or ends goes on, at its next start, behind what it has acknowledged; what it had
 * said and not acknowledged comes again. */
static void
a_consumer_goes_on_where_it_has_acknowledged(void **state)
{
    struct hall hall;
    struct program follower;
    char line[64], again[64];

    (void)state;
    hall_open(&hall);
    follower = start((const char *const[]){FOLLOW_PATH, hall.address, hall.server.admin_key, "mailer", "1", NULL});
    for (unsigned event = 1; event <= 6; event++) { /* the admin, the plan, the concert, the date, the consumer */
        snprintf(line, sizeof line, "%u ", event);
        must_say(&follower, line);
    }
    must_end(&follower, 0);
    set_mode(&hall, USHER_QUEUE_PAUSED);
    follower = start((const char *const[]){FOLLOW_PATH, hall.address, hall.server.admin_key, "mailer", NULL});
    must_say(&follower, "7 ");
    kill(follower.pid, SIGKILL); /* before or after its acknowledgement */
    assert_int_equal(waitpid(follower.pid, NULL, 0), follower.pid);
    fclose(follower.said);
    set_mode(&hall, USHER_QUEUE_OPEN);
    follower = start((const char *const[]){FOLLOW_PATH, hall.address, hall.server.admin_key, "mailer", NULL});
    assert_non_null(fgets(again, sizeof again, follower.said));
    if (strncmp(again, "7 ", 2) == 0)
        must_say(&follower, "8 ");
    else
        assert_int_equal(strncmp(again, "8 ", 2), 0);
    kill(follower.pid, SIGTERM);
    assert_int_equal(waitpid(follower.pid, NULL, 0), follower.pid);
    fclose(follower.said);
    test_server_close(&hall.server);
}

/* F5, T3: a place is followed beside the keyboard: to its turn, or until somebody gives it up. */
static void
a_place_is_waited_for_or_given_up(void **state)
{
    struct hall hall;
    struct program first, second;
    int keys[2];

    (void)state;
    assert_int_equal(pipe(keys), 0);
    hall_open(&hall);
    set_mode(&hall, USHER_QUEUE_PAUSED);
    const char *const words[] = {WAIT_PATH, hall.address, hall.server.admin_key, "0", NULL};
    first = start_typing(keys[0], words);
    must_say(&first, "rank 1\n");
    second = start_typing(open("/dev/null", O_RDONLY | O_CLOEXEC), words);
    must_say(&second, "rank 2\n");
    assert_int_equal(write(keys[1], "\n", 1), 1);
    must_end(&first, 1);
    set_mode(&hall, USHER_QUEUE_OPEN);
    char line[64];
    do /* its rank may be told before */
        assert_non_null(fgets(line, sizeof line, second.said));
    while (strcmp(line, "rank 1\n") == 0);
    assert_string_equal(line, "it is your turn\n");
    must_end(&second, 0);
    close(keys[0]);
    close(keys[1]);
    test_server_close(&hall.server);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ticket_is_bought_while_seats_and_events_are_watched),
        cmocka_unit_test(a_consumer_goes_on_where_it_has_acknowledged),
        cmocka_unit_test(a_place_is_waited_for_or_given_up),
    };

    return usher_test_main(argc, argv, tests);
}
