/* async_group_test.c: handles in a group: what is promised of a handle holds of each of them, and they share one
 * descriptor. More of it: async_fault_test, async_memory_test and async_loop_test have their scenes in a group, too. */
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "desk.h"

#define PATIENCE_MS 30000
#define CROWD_MOST  1500

/* Members of a group at one house, and what they hear. */
struct crowd;
struct member {
    struct crowd *crowd;
    usher_async *async; /* NULL: closed */
    unsigned submitted, completed, answered;
    usher_status status; /* of the last completion */
    unsigned ready, closed;
    uint64_t deadline_ms; /* of a test that sets one */
};
struct crowd {
    struct desk *desk; /* its own handle is not opened: house and options alone */
    usher_group *group;
    unsigned count, completed, ready;
    struct member member[CROWD_MOST];
    const struct member *order[CROWD_MOST]; /* of completions */
};

static void
note_state(usher_async *async, const usher_state_event *event)
{
    struct member *member = event->context;

    assert_true(member->async == NULL || member->async == async);
    member->ready += event->state == USHER_STATE_READY;
    member->crowd->ready += event->state == USHER_STATE_READY;
    member->closed += event->state == USHER_STATE_CLOSED;
}

static void
note_completion(usher_async *async, const usher_completion *completion)
{
    struct member *member = completion->context;

    assert_true(member->async == NULL || member->async == async);
    if (member->crowd->completed < CROWD_MOST)
        member->crowd->order[member->crowd->completed] = member;
    member->crowd->completed++;
    member->completed++;
    member->answered += completion->status == USHER_STATUS_ANSWERED;
    member->status = completion->status;
}

static void
crowd_submit_as(struct member *member, usher_completion_callback callback, uint32_t timeout_ms)
{
    const usher_call_options options = {.timeout_ms = timeout_ms};
    const usher_ping_request request = {.echo = 1};

    member->submitted++;
    assert_int_equal(usher_async_call(member->async, USHER_OPCODE_PING, &request, &options, callback, member, NULL),
                     USHER_STATUS_ANSWERED);
}

static void
crowd_submit(struct member *member)
{
    crowd_submit_as(member, note_completion, 0);
}

static void
crowd_open(struct crowd *crowd, unsigned count)
{
    for (; count > 0; count--) {
        struct member *member = &crowd->member[crowd->count++];
        usher_async_options options = crowd->desk->options;

        member->crowd = crowd;
        options.group = crowd->group;
        options.on_state = note_state;
        options.context = member;
        if (usher_async_open(&options, &member->async) != USHER_STATUS_ANSWERED)
            fail_msg("%s", usher_async_error(member->async));
    }
}

static struct crowd *
crowd_start(const char *script, unsigned count)
{
    struct crowd *crowd = calloc(1, sizeof *crowd);

    assert_non_null(crowd);
    crowd->desk = desk_make(script);
    assert_int_equal(usher_group_open(NULL, &crowd->group), USHER_STATUS_ANSWERED);
    crowd_open(crowd, count);
    return crowd;
}

static void
crowd_close(struct member *member)
{
    usher_async *async = member->async;

    member->async = NULL;
    usher_async_close(async);
}

/* Every call must have had its one completion, and every handle must have said that it is closed. */
static void
crowd_end(struct crowd *crowd)
{
    for (unsigned i = 0; i < crowd->count; i++) {
        crowd_close(&crowd->member[i]);
        assert_int_equal(crowd->member[i].completed, crowd->member[i].submitted);
        assert_int_equal(crowd->member[i].closed, 1);
    }
    usher_group_close(crowd->group);
    desk_end(crowd->desk);
    free(crowd);
}

/* Wait for the group's descriptor and process it until a count is reached. */
static void
crowd_until(struct crowd *crowd, const unsigned *count, unsigned wanted)
{
    uint64_t until_ms = desk_now_ms() + PATIENCE_MS;

    while (*count < wanted) {
        struct pollfd watched = {.fd = usher_group_descriptor(crowd->group), .events = POLLIN};

        if (desk_now_ms() > until_ms || poll(&watched, 1, PATIENCE_MS) != 1)
            fail_msg("%u of %u", *count, wanted);
        usher_group_process(crowd->group);
    }
}

static bool
is_readable(const struct crowd *crowd)
{
    struct pollfd watched = {.fd = usher_group_descriptor(crowd->group), .events = POLLIN};

    return poll(&watched, 1, 0) == 1;
}

static unsigned
descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(folder);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

/* --- answers ------------------------------------------------------------------------------------------ */
/* F4: more than a thousand handles in one thread behind one descriptor; each takes one, and each call is completed once
 * by its own handle. */
static void
a_thousand_handles_share_one_descriptor(void **state)
{
    const unsigned count = 1100;
    struct rlimit limit;
    struct crowd *crowd;
    unsigned before;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max < 8192 ? limit.rlim_max : 8192;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    crowd = crowd_start(NULL, 0);
    before = descriptors();
    crowd_open(crowd, count);
    assert_int_equal(descriptors(), before);
    assert_int_equal(usher_async_descriptor(crowd->member[0].async), -1);
    crowd_until(crowd, &crowd->ready, count);
    assert_int_equal(descriptors(), before + 2 * count); /* a socket each, and the other end in the house */
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < count; i++)
            crowd_submit(&crowd->member[i]);
    crowd_until(crowd, &crowd->completed, 3 * count);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(crowd->member[i].answered, 3);
    assert_int_equal(desk_look(crowd->desk).requests, 3 * count);
    crowd_end(crowd);
}

/* M3, F4: connections break again and again under many handles of a group; every call is answered, and once. */
static void
every_member_survives_its_connection(void **state)
{
    struct crowd *crowd = crowd_start("ping#10-200*20: cut; ping#300-400*10: lose reply, cut", 50);

    (void)state;
    for (unsigned round = 1; round <= 12; round++) {
        for (unsigned i = 0; i < crowd->count; i++)
            crowd_submit(&crowd->member[i]);
        crowd_until(crowd, &crowd->completed, round * crowd->count);
    }
    for (unsigned i = 0; i < crowd->count; i++)
        assert_int_equal(crowd->member[i].answered, 12);
    assert_true(crowd->ready > crowd->count);
    crowd_end(crowd);
}

/* F4: whichever members' deadlines pass, they pass in their order. */
static void
deadlines_pass_in_their_order_over_all_members(void **state)
{
    struct crowd *crowd = crowd_start("ping#1-: drop", 40);

    (void)state;
    crowd_until(crowd, &crowd->ready, crowd->count);
    for (unsigned i = 0; i < crowd->count; i++) {
        uint32_t timeout_ms = 30 + i * 17 % crowd->count * 4;
        crowd->member[i].deadline_ms = desk_now_ms() + timeout_ms;
        crowd_submit_as(&crowd->member[i], note_completion, timeout_ms);
    }
    crowd_until(crowd, &crowd->completed, crowd->count);
    assert_int_equal(crowd->completed, crowd->count);
    for (unsigned i = 0; i < crowd->count; i++) {
        assert_int_equal(crowd->order[i]->status, USHER_STATUS_NO_ANSWER);
        assert_true(desk_now_ms() >= crowd->order[i]->deadline_ms);
        if (i > 0) /* submitting takes time as well: two may be a moment apart */
            assert_true(crowd->order[i - 1]->deadline_ms <= crowd->order[i]->deadline_ms + 1);
    }
    crowd_end(crowd);
}

/* --- callbacks that reach over to other members ------------------------------------------------------- */
static void
close_a_neighbour(usher_async *async, const usher_completion *completion)
{
    struct member *member = completion->context;
    struct crowd *crowd = member->crowd;
    unsigned at = (unsigned)(member - crowd->member);

    note_completion(async, completion);
    crowd_close(&crowd->member[at % 2 == 0 ? at + 1 : at - 1]);
    if (at % 4 >= 2 && member->async != NULL)
        crowd_close(member);
}

/* F4: a callback may close another member whose answers are there already, and its own; what was left of them is
 * completed once. */
static void
a_callback_may_close_other_members(void **state)
{
    struct crowd *crowd = crowd_start(NULL, 80);

    (void)state;
    crowd_until(crowd, &crowd->ready, crowd->count);
    for (unsigned i = 0; i < crowd->count; i++)
        for (unsigned k = 0; k < 3; k++)
            crowd_submit_as(&crowd->member[i], close_a_neighbour, 0);
    while (usher_group_process(crowd->group), usher_fake_wait(crowd->desk->fake, 3, 1) == 0)
        continue;
    crowd_until(crowd, &crowd->completed, 3 * crowd->count);
    for (unsigned i = 0; i < crowd->count; i++)
        assert_int_equal(crowd->member[i].completed, 3);
    crowd_end(crowd);
}

static void
submit_to_all(usher_async *async, const usher_completion *completion)
{
    struct member *member = completion->context;
    struct crowd *crowd = member->crowd;
    unsigned before = crowd->completed;

    note_completion(async, completion);
    for (unsigned i = 0; i < crowd->count; i++)
        for (unsigned k = 0; k < 5; k++)
            crowd_submit(&crowd->member[i]);
    assert_int_equal(crowd->completed, before + 1); /* nothing is completed inside of a call */
    usher_async_process(crowd->member[1].async);
    crowd_open(crowd, 1);
    crowd_submit(&crowd->member[crowd->count - 1]);
}

/* F4: a callback may submit to other members, process one, and open further ones. */
static void
a_callback_may_use_other_members(void **state)
{
    struct crowd *crowd = crowd_start(NULL, 20);

    (void)state;
    crowd_submit_as(&crowd->member[0], submit_to_all, 0);
    crowd_until(crowd, &crowd->completed, 1 + 5 * 20 + 1);
    assert_int_equal(crowd->count, 21);
    crowd_end(crowd);
}

/* F4: a member's own process() is allowed, and takes nothing from the others. */
static void
a_member_may_be_processed_by_itself(void **state)
{
    struct crowd *crowd = crowd_start(NULL, 10);
    uint64_t until_ms = desk_now_ms() + PATIENCE_MS;

    (void)state;
    for (unsigned i = 0; i < crowd->count; i++)
        crowd_submit(&crowd->member[i]);
    while (crowd->member[3].completed == 0 && desk_now_ms() < until_ms)
        usher_async_process(crowd->member[3].async);
    assert_int_equal(crowd->completed, 1);
    assert_true(is_readable(crowd)); /* the others want to connect */
    crowd_until(crowd, &crowd->completed, crowd->count);
    crowd_end(crowd);
}

/* --- the descriptor ----------------------------------------------------------------------------------- */
/* F4: a group's descriptor is readable when one of its handles has something to do, and only then. */
static void
the_descriptor_is_readable_when_a_member_has_something_to_do(void **state)
{
    struct crowd *crowd = crowd_start("any*4096: drop", 3);
    struct member *member = &crowd->member[1];
    uint64_t call_no;
    const usher_ping_request request = {.echo = 1};

    (void)state;
    assert_true(is_readable(crowd)); /* they want to connect */
    crowd_until(crowd, &crowd->ready, crowd->count);
    while (usher_group_process(crowd->group) > 0 || is_readable(crowd))
        continue;
    crowd_submit(member);
    assert_false(is_readable(crowd)); /* that has been sent */
    assert_int_equal(usher_fake_wait(crowd->desk->fake, 1, PATIENCE_MS), 1);
    do
        crowd_submit(member);
    while (!is_readable(crowd)); /* the rest of a burst wants to be sent together */
    usher_group_process(crowd->group);
    assert_int_equal(usher_fake_wait(crowd->desk->fake, member->submitted, PATIENCE_MS), 1);
    assert_false(is_readable(crowd)); /* nothing to do but to wait */
    member->submitted++;
    assert_int_equal(
        usher_async_call(member->async, USHER_OPCODE_PING, &request, NULL, note_completion, member, &call_no),
        USHER_STATUS_ANSWERED);
    usher_async_cancel(member->async, call_no);
    assert_true(is_readable(crowd)); /* a completion is due */
    assert_int_equal(usher_group_process(crowd->group), 1);
    crowd_close(member);
    while (usher_group_process(crowd->group) > 0)
        continue;
    assert_false(is_readable(crowd)); /* nothing of a member that is gone */
    crowd_end(crowd);
}

static void
wait_in_callback(usher_async *async, const usher_completion *completion)
{
    usher_group *other;

    note_completion(async, completion);
    assert_int_equal(usher_group_open(NULL, &other), USHER_STATUS_ANSWERED);
    assert_int_equal(usher_group_wait(other, UINT64_MAX), 0); /* or the test never ends */
    usher_group_close(other);
}

/* F4: a program without other descriptors waits in the group; never where that would stop a loop. */
static void
a_group_is_waited_in(void **state)
{
    struct crowd *crowd = crowd_start("ping#30: drop", 30);
    uint64_t began_ms = desk_now_ms();

    (void)state;
    assert_int_equal(usher_group_wait(NULL, UINT64_MAX), 0);
    for (unsigned i = 0; i < crowd->count; i++)
        crowd_submit_as(&crowd->member[i], wait_in_callback, 200);
    while (crowd->completed < crowd->count) /* the last one by its deadline */
        usher_group_wait(crowd->group, UINT64_MAX);
    assert_true(desk_now_ms() - began_ms >= 200);
    began_ms = desk_now_ms();
    while (desk_now_ms() - began_ms < 5)
        assert_int_equal(usher_group_wait(crowd->group, 5100000), 0);
    usher_loop_attach();
    assert_int_equal(usher_group_wait(crowd->group, UINT64_MAX), 0);
    usher_loop_detach();
    crowd_end(crowd);
}

/* --- rules of use ------------------------------------------------------------------------------------- */
/* F4: what can't be right is refused at once. */
static void
what_cannot_be_right_is_refused_at_once(void **state)
{
    struct crowd *crowd = crowd_start(NULL, 1);
    usher_async_options options = crowd->desk->options;
    const usher_memory half = {.allocate = (void *(*)(void *, size_t))1};
    usher_pool_options pool_options = {.connections = 1};
    usher_group *group;
    usher_async *async;
    usher_pool *pool;
    char why[160];

    (void)state;
    assert_int_equal(usher_group_open(NULL, NULL), USHER_STATUS_BAD_ARGUMENT);
    assert_int_equal(usher_group_open(&half, &group), USHER_STATUS_BAD_ARGUMENT);
    assert_null(group);
    usher_group_close(NULL);
    assert_int_equal(usher_group_process(NULL), 0);
    assert_int_equal(usher_group_descriptor(NULL), -1);
    options.group = crowd->group;
    options.signal_by_socket = 1;
    assert_int_equal(usher_async_open(&options, &async), USHER_STATUS_BAD_ARGUMENT);
    assert_non_null(strstr(usher_async_error(async), "signal_by_socket"));
    usher_async_close(async); /* it never was in the group */
    options.signal_by_socket = 0;
    pool_options.async = options;
    assert_int_equal(usher_pool_open(&pool_options, &pool, why, sizeof why), USHER_STATUS_BAD_ARGUMENT);
    assert_non_null(strstr(why, "group"));
    crowd_end(crowd);
}

static void
close_with_a_member(void)
{
    usher_group_close(crowd_start(NULL, 1)->group);
}

static void
process_the_group(usher_async *async, const usher_completion *completion)
{
    struct member *member = completion->context;

    (void)async;
    usher_group_process(member->crowd->group);
}

static void
process_in_callback(void)
{
    struct crowd *crowd = crowd_start(NULL, 2);

    crowd_submit_as(&crowd->member[0], process_the_group, 0);
    for (;;)
        usher_async_process(crowd->member[0].async); /* even when it is the member that is processed */
}

static void
use_after_fork(void)
{
    struct crowd *crowd = crowd_start(NULL, 1);
    pid_t child = fork();
    int status;

    if (child == 0) {
        usher_group_process(crowd->group);
        _exit(0);
    }
    if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status))
        _exit(1);
    abort(); /* as the child did */
}

static pthread_barrier_t both_inside;

static void
linger_in_callback(usher_async *async, const usher_completion *completion)
{
    (void)async;
    (void)completion;
    pthread_barrier_wait(&both_inside);
    pause();
}

static void *
intrude(void *async)
{
    const usher_ping_request request = {.echo = 1};

    pthread_barrier_wait(&both_inside);
    usher_async_call(async, USHER_OPCODE_PING, &request, NULL, note_completion, NULL, NULL);
    return NULL;
}

/* Two members, a thread each. */
static void
two_threads(void)
{
    struct crowd *crowd = crowd_start(NULL, 2);
    pthread_t thread;

    pthread_barrier_init(&both_inside, NULL, 2);
    pthread_create(&thread, NULL, intrude, crowd->member[1].async);
    crowd_submit_as(&crowd->member[0], linger_in_callback, 0);
    for (;;)
        usher_group_process(crowd->group);
}

/* F4: closing a group under its members, processing it within a callback, use after fork() and by two threads at once
 * end the program. */
static void
breaking_the_rules_of_use_ends_the_program(void **state)
{
    (void)state;
    desk_must_abort(close_with_a_member);
    desk_must_abort(process_in_callback);
    desk_must_abort(use_after_fork);
    desk_must_abort(two_threads);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_handles_share_one_descriptor),
        cmocka_unit_test(every_member_survives_its_connection),
        cmocka_unit_test(deadlines_pass_in_their_order_over_all_members),
        cmocka_unit_test(a_callback_may_close_other_members),
        cmocka_unit_test(a_callback_may_use_other_members),
        cmocka_unit_test(a_member_may_be_processed_by_itself),
        cmocka_unit_test(the_descriptor_is_readable_when_a_member_has_something_to_do),
        cmocka_unit_test(a_group_is_waited_in),
        cmocka_unit_test(what_cannot_be_right_is_refused_at_once),
        cmocka_unit_test(breaking_the_rules_of_use_ends_the_program),
    };

    return usher_test_main(argc, argv, tests);
}
