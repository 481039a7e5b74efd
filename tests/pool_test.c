/* pool_test.c: the pool: any thread, any time. */
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "desk.h"

#define THREADS 16
#define CALLS   50

struct crew {
    usher_pool *pool;
    atomic_uint made, closed, unknown;
    usher_id id[THREADS][CALLS];
};

struct member {
    struct crew *crew;
    unsigned number;
};

static usher_pool *
open_pool(struct desk *desk, uint32_t connections)
{
    usher_pool_options options = {.async = desk->options, .connections = connections};
    usher_pool *pool;
    char why[160] = "";

    options.async.on_state = NULL;
    options.async.common.retry_ms_most = 20;
    if (usher_pool_open(&options, &pool, why, sizeof why) != USHER_STATUS_ANSWERED)
        fail_msg("%s", why);
    return pool;
}

static void
run_crew(struct crew *crew, void *(*work)(void *), pthread_t thread[THREADS], struct member member[THREADS])
{
    for (unsigned i = 0; i < THREADS; i++) {
        member[i] = (struct member){.crew = crew, .number = i};
        assert_int_equal(pthread_create(&thread[i], NULL, work, &member[i]), 0);
    }
}

static void *
charge_often(void *argument)
{
    const struct member *member = argument;
    struct crew *crew = member->crew;

    for (unsigned i = 0; i < CALLS; i++) {
        usher_charge_request request = {.user = {{(uint8_t)(member->number + 1)}}, .amount = 1};
        usher_charge_reply reply;
        usher_answer answer;
        usher_status status = usher_pool_call(crew->pool, USHER_OPCODE_CHARGE, &request, &reply, &answer, 0);

        if (status == USHER_STATUS_ANSWERED && answer.result == USHER_OK && reply.balance == i + 1)
            atomic_fetch_add(&crew->made, 1);
        crew->id[member->number][i] = answer.request_id;
    }
    return NULL;
}

/* F4, M3: sixteen threads over three connections that break again and again: each call gets its own answer, and each
 * charge is made once. */
static void
many_threads_share_a_pool(void **state)
{
    struct desk *desk = desk_make("charge#5-9: apply, lose reply, cut; charge#100-104: cut; charge#300-303: garble");
    usher_fake_figures figures;
    struct crew crew = {.pool = open_pool(desk, 3)};
    pthread_t thread[THREADS];
    struct member member[THREADS];

    (void)state;
    run_crew(&crew, charge_often, thread, member);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(crew.made, THREADS * CALLS);
    for (unsigned i = 0; i < THREADS; i++)
        for (unsigned k = 0; k < CALLS; k++)
            assert_int_equal(usher_fake_applied(desk->fake, &crew.id[i][k]), 1);
    figures = desk_look(desk);
    assert_int_equal(figures.points, THREADS * CALLS);
    assert_true(figures.connections >= 3);
    usher_pool_close(crew.pool);
    desk_end(desk);
}

static void *
charge_into_silence(void *argument)
{
    const struct member *member = argument;
    usher_charge_request request = {.user = {{(uint8_t)(member->number + 1)}}, .amount = 1};
    usher_charge_reply reply;
    usher_status status = USHER_STATUS_ANSWERED;

    while (status == USHER_STATUS_ANSWERED || status == USHER_STATUS_NOT_SENT)
        status = usher_pool_call(member->crew->pool, USHER_OPCODE_CHARGE, &request, &reply, NULL, 0);
    atomic_fetch_add(status == USHER_STATUS_MAYBE_APPLIED ? &member->crew->unknown : &member->crew->closed, 1);
    return NULL;
}

/* F4: closing wakes everybody, with what is known of each call. */
static void
closing_a_pool_wakes_everybody(void **state)
{
    struct desk *desk = desk_make("charge: apply, lose reply");
    struct crew crew = {.pool = open_pool(desk, 2)};
    pthread_t thread[THREADS];
    struct member member[THREADS];

    (void)state;
    run_crew(&crew, charge_into_silence, thread, member);
    assert_int_equal(usher_fake_wait(desk->fake, THREADS, 30000), 1);
    usher_pool_close(crew.pool);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(crew.unknown + crew.closed, THREADS);
    assert_int_equal(crew.unknown, THREADS); /* each was sent */
    desk_end(desk);
}

/* F4: a call of a pool has its own deadline and its own answer. */
static void
each_call_has_its_own_deadline_and_answer(void **state)
{
    struct desk *desk = desk_make("charge#1: drop");
    usher_pool *pool = open_pool(desk, 1);
    usher_charge_request request = {.user = {{1}}, .amount = 1};
    usher_charge_reply reply = {.balance = 4711};
    usher_ping_reply pong;
    usher_answer answer;

    (void)state;
    /* Once somebody is connected the deadline is the answer's alone. */
    assert_int_equal(usher_pool_call(pool, USHER_OPCODE_PING, &(usher_ping_request){.echo = 1}, &pong, NULL, 0),
                     USHER_STATUS_ANSWERED);
    assert_int_equal(usher_pool_call(pool, USHER_OPCODE_CHARGE, &request, &reply, &answer, 200),
                     USHER_STATUS_MAYBE_APPLIED);
    assert_int_equal(answer.result, USHER_RESULT_NONE);
    assert_int_equal(reply.balance, 4711);
    request.request_id = answer.request_id;
    assert_int_equal(usher_pool_call(pool, USHER_OPCODE_CHARGE, &request, &reply, &answer, 0), USHER_STATUS_ANSWERED);
    assert_int_equal(answer.result, USHER_OK);
    assert_memory_equal(&answer.request_id, &request.request_id, sizeof(usher_id));
    request = (usher_charge_request){.user = {{1}}, .amount = -1};
    assert_int_equal(usher_pool_call(pool, USHER_OPCODE_CHARGE, &request, &reply, &answer, 0), USHER_STATUS_ANSWERED);
    assert_int_equal(answer.result, USHER_AMOUNT_INVALID);
    assert_int_equal(reply.balance, 1);
    usher_pool_close(pool);
    desk_end(desk);
}

static void
call_after_fork(void)
{
    struct desk *desk = desk_make(NULL);
    usher_pool *pool = open_pool(desk, 1);
    const usher_ping_request request = {.echo = 1};
    usher_ping_reply reply;
    pid_t child = fork();
    int status;

    if (child == 0) {
        usher_pool_call(pool, USHER_OPCODE_PING, &request, &reply, NULL, 0);
        _exit(0);
    }
    if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status))
        _exit(1);
    abort(); /* as the child did */
}

/* F4: a pool that is used in a forked child ends it. */
static void
a_forked_child_leaves_a_pool_alone(void **state)
{
    (void)state;
    desk_must_abort(call_after_fork);
}

/* F4: what can't be right is refused; a loop's thread is not stopped. */
static void
a_pool_has_rules_as_well(void **state)
{
    struct desk *desk = desk_make(NULL);
    usher_pool *pool = open_pool(desk, 1), *none;
    usher_pool_options options = {.async = desk->options, .connections = 65};
    const usher_ping_request request = {.echo = 1};
    usher_ping_reply reply;
    char why[160];

    (void)state;
    assert_int_equal(usher_pool_open(&options, &none, why, sizeof why), USHER_STATUS_BAD_ARGUMENT);
    assert_null(none);
    assert_non_null(strstr(why, "connections"));
    options.connections = 1;
    options.async.signal_by_socket = 1;
    assert_int_equal(usher_pool_open(&options, &none, NULL, 0), USHER_STATUS_BAD_ARGUMENT);
    options.async.signal_by_socket = 0;
    options.async.common.server = "nonsense";
    assert_int_equal(usher_pool_open(&options, &none, why, sizeof why), USHER_STATUS_BAD_ARGUMENT);
    assert_non_null(strstr(why, "options.server"));
    assert_int_equal(usher_pool_open(NULL, &none, NULL, 0), USHER_STATUS_BAD_ARGUMENT);
    assert_int_equal(usher_pool_call(pool, 0x7777, &request, &reply, NULL, 0), USHER_STATUS_BAD_ARGUMENT);
    assert_int_equal(usher_pool_call(pool, USHER_OPCODE_PING, NULL, &reply, NULL, 0), USHER_STATUS_BAD_ARGUMENT);
    assert_int_equal(usher_pool_call(NULL, USHER_OPCODE_PING, &request, &reply, NULL, 0), USHER_STATUS_BAD_ARGUMENT);
    usher_loop_attach();
    assert_int_equal(usher_pool_call(pool, USHER_OPCODE_PING, &request, &reply, NULL, 0), USHER_STATUS_WRONG_THREAD);
    usher_loop_detach();
    assert_int_equal(usher_pool_call(pool, USHER_OPCODE_PING, &request, &reply, NULL, 0), USHER_STATUS_ANSWERED);
    assert_int_equal(reply.echo, 1);
    usher_pool_close(pool);
    usher_pool_close(NULL);
    desk_end(desk);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_threads_share_a_pool),
        cmocka_unit_test(closing_a_pool_wakes_everybody),
        cmocka_unit_test(each_call_has_its_own_deadline_and_answer),
        cmocka_unit_test(a_forked_child_leaves_a_pool_alone),
        cmocka_unit_test(a_pool_has_rules_as_well),
    };

    return usher_test_main(argc, argv, tests);
}
