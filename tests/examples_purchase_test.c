/* examples_purchase_test.c: two examples of client-sdk/examples/ against a real usherd: a purchase by callbacks alone,
 * and one whose program is killed between its payment and the answer. */
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <usher.h>

#include "server.h"

#define PATIENCE_MS 30000

/* A small house: ten seats on each of two dates behind queue 0. */
static const char house[] =
    "{ \"format\": \"usher-catalogue-1\", \"policies\": { \"poll_ms_min\": 20 },\n"
    "  \"queues\": [ { \"id\": 0, \"name\": \"door\", \"policies\": { \"admit_batch\": 2, \"admit_interval_ms\": 100 } "
    "} ],\n"
    "  \"plans\": [ { \"id\": 1, \"sections\": [ { \"name\": \"Hall\", \"rows\": 2, \"seats_per_row\": 5 } ] } ],\n"
    "  \"concerts\": [ { \"id\": 1, \"title\": \"Harbour Quartet\", \"plan\": 1, \"prices\": [500],\n"
    "    \"dates\": [ { \"id\": 1, \"starts_at\": \"+30d 19:30\" }, { \"id\": 2, \"starts_at\": \"+31d 19:30\" } ] } ] "
    "}\n";

struct stage {
    struct test_server server;
    char address[32];
    char out[256];    /* the file of a program's output */
    char text[65536]; /* what stands in it */
};

static uint64_t
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static const char *
read_output(struct stage *stage)
{
    FILE *file = fopen(stage->out, "r");
    size_t size = file != NULL ? fread(stage->text, 1, sizeof stage->text - 1, file) : 0;

    stage->text[size] = 0;
    if (file != NULL)
        fclose(file);
    return stage->text;
}

static void
write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Start a program on these words, NULL after the last; its two outputs go to stage->out. */
static pid_t
begin(struct stage *stage, const char *const *words)
{
    pid_t child;

    assert_true(unlink(stage->out) == 0 || errno == ENOENT); /* nothing is read that an earlier one said */
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(100); /* it outlives no test that failed */
        if (freopen(stage->out, "w", stdout) == NULL || dup2(1, 2) != 2)
            _exit(126);
        execv(words[0], (char *const *)(uintptr_t)words);
        _exit(127);
    }
    return child;
}

/* Wait for its end, which must come by itself: its exit code. */
static int
finish(struct stage *stage, pid_t child)
{
    uint64_t until_ms = now_ms() + PATIENCE_MS;
    int status = 0;

    while (waitpid(child, &status, WNOHANG) == 0) {
        if (now_ms() > until_ms) {
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            fail_msg("it does not end; so far it said: %s", read_output(stage));
        }
        usleep(1000);
    }
    read_output(stage);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void
must_run(struct stage *stage, const char *const *words)
{
    int code = finish(stage, begin(stage, words));

    if (code != 0)
        fail_msg("%s ended with %d and said: %s", words[0], code, stage->text);
}

static void
must_say(const struct stage *stage, const char *said)
{
    if (strstr(stage->text, said) == NULL)
        fail_msg("it did not say \"%s\" but: %s", said, stage->text);
}

static void
load_house(struct stage *stage, const char *path)
{
    const char *words[] = {USHERCTL_PATH, "--server", stage->address, "--key", stage->server.admin_key,
                           "catalogue",   "load",     path,           NULL};

    must_run(stage, words);
}

static struct stage *
stage_open(void)
{
    struct stage *stage = calloc(1, sizeof *stage);
    char path[256];

    assert_non_null(stage);
    test_server_open(&stage->server);
    test_server_start(&stage->server, "--quiet", NULL);
    snprintf(stage->address, sizeof stage->address, "127.0.0.1:%u", stage->server.port);
    snprintf(stage->out, sizeof stage->out, "%s/out", stage->server.folder);
    snprintf(path, sizeof path, "%s/house.json", stage->server.folder);
    write_file(path, house);
    load_house(stage, path);
    return stage;
}

static void
stage_close(struct stage *stage)
{
    test_server_close(&stage->server);
    free(stage);
}

/* F5: many users buy on one connection, each after its turn has come, and no two the same seat. */
static void
the_asynchronous_example_sells_each_buyer_a_seat(void **state)
{
    struct stage *stage = stage_open();
    const char *words[] = {ASYNC_PURCHASE_PATH, stage->address, stage->server.admin_key, "6", NULL};
    unsigned lines = 0, seats = 0, payment, seat;

    (void)state;
    must_run(stage, words);
    for (char *rest = stage->text, *line; (line = strsep(&rest, "\n")) != NULL && *line != 0; lines++) {
        assert_int_equal(sscanf(line, "payment %u: seat %u", &payment, &seat), 2);
        assert_true(seat >= 1 && seat <= 10);
        assert_int_equal(seats >> seat & 1, 0);
        seats |= 1u << seat;
    }
    assert_int_equal(lines, 6);
    stage_close(stage);
}

static int
listen_somewhere(char *address, size_t size)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof here;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&here, sizeof here), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&here, &length), 0);
    snprintf(address, size, "127.0.0.1:%u", ntohs(here.sin_port));
    return listener;
}

static int
connect_to(uint16_t port)
{
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int line = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(line >= 0);
    assert_int_equal(connect(line, (struct sockaddr *)&there, sizeof there), 0);
    return line;
}

static void
await_bytes(int line)
{
    struct pollfd readable = {.fd = line, .events = POLLIN};

    assert_int_equal(poll(&readable, 1, PATIENCE_MS), 1);
}

/* Carry frames between a client that connects and the server, until the client pays. `arrives`: the payment is handed
 * to the server, and its answer held back here; else it never arrives. Then the client is killed. */
static void
carry_until_payment(struct stage *stage, int listener, bool arrives, pid_t child)
{
    uint8_t frame[USHER_FRAME_MAX], answer[USHER_FRAME_MAX];
    size_t have = 0;
    int client, server = connect_to(stage->server.port);

    await_bytes(listener);
    client = accept(listener, NULL, NULL);
    assert_true(client >= 0);
    for (;;) {
        struct pollfd lines[2] = {{.fd = client, .events = POLLIN}, {.fd = server, .events = POLLIN}};
        assert_true(poll(lines, 2, PATIENCE_MS) > 0);
        if (lines[1].revents != 0) {
            ssize_t got = recv(server, answer, sizeof answer, 0);
            assert_true(got > 0);
            assert_int_equal(send(client, answer, (size_t)got, MSG_NOSIGNAL), got);
        }
        if (lines[0].revents != 0) {
            ssize_t got = recv(client, frame + have, sizeof frame - have, 0);
            assert_true(got > 0);
            have += (size_t)got;
        }
        while (have >= USHER_HEADER_SIZE) { /* SPEC.md section 2: the size at 0, the opcode at 6 */
            size_t size = frame[0] | (size_t)frame[1] << 8 | (size_t)frame[2] << 16 | (size_t)frame[3] << 24;
            bool pays = (frame[6] | frame[7] << 8) == USHER_OPCODE_PAY;
            if (have < size)
                break;
            if (!pays || arrives)
                assert_int_equal(send(server, frame, size, MSG_NOSIGNAL), size);
            if (pays) {
                if (arrives)
                    await_bytes(server); /* it is answered: so it is on the disk */
                assert_int_equal(kill(child, SIGKILL), 0);
                close(client);
                close(server);
                return;
            }
            memmove(frame, frame + size, have -= size);
        }
    }
}

/* The example is killed when its payment was sent and no answer had come; started again it must find the truth. */
static void
crash_and_resume(bool arrives, const char *truth)
{
    struct stage *stage = stage_open();
    char between[32], plan[256];
    const char *words[] = {CRASH_AND_RESUME_PATH, between, stage->server.admin_key, plan, NULL};
    int listener = listen_somewhere(between, sizeof between), status;
    pid_t child;

    snprintf(plan, sizeof plan, "%s/plan", stage->server.folder);
    child = begin(stage, words);
    carry_until_payment(stage, listener, arrives, child);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close(listener);
    assert_string_equal(read_output(stage), "");

    words[1] = stage->address;
    must_run(stage, words);
    must_say(stage, truth);
    must_say(stage, "payment 1: seat ");
    must_run(stage, words);
    must_say(stage, "it had been paid before\npayment 1: seat ");
    stage_close(stage);
}

/* F5, X3, M3, M7: killed behind a payment whose answer was lost: it was made, and is not made again. */
static void
a_killed_example_finds_that_it_had_paid(void **state)
{
    (void)state;
    crash_and_resume(true, "it had been paid before\n");
}

/* F5, X3, M3: killed behind a payment that never arrived: it is made now, once. */
static void
a_killed_example_finds_that_it_had_not_paid_and_goes_on(void **state)
{
    (void)state;
    crash_and_resume(false, "it had not been paid: going on\n");
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_asynchronous_example_sells_each_buyer_a_seat),
        cmocka_unit_test(a_killed_example_finds_that_it_had_paid),
        cmocka_unit_test(a_killed_example_finds_that_it_had_not_paid_and_goes_on),
    };

    return usher_test_main(argc, argv, tests);
}
