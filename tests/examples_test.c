/* examples_test.c: the SDK's examples against a real server: each does what its first lines say. */
#include "test.h"

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

/* A program that runs, and what it says. */
struct program {
    pid_t pid;
    FILE *said;
};

static struct program
start(const char *const *words)
{
    struct program program;
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    program.pid = fork();
    if (program.pid == 0) {
        alarm(100);
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

/* F5, C2, X5, B1: a ticket is bought in a loop of libuv, while a poll loop shows the free seats and one of libevent
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

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ticket_is_bought_while_seats_and_events_are_watched),
    };

    return usher_test_main(argc, argv, tests);
}
