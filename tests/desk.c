/* desk.c: see desk.h. */
#include "test.h"

#include "desk.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 30000

uint64_t
desk_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void
note_state(usher_async *async, const usher_state_event *event)
{
    struct desk *desk = event->context;

    (void)async;
    assert_true(desk->state_count < DESK_STATES_MOST);
    desk->state[desk->state_count].state = event->state;
    desk->state[desk->state_count++].reason = event->reason;
    snprintf(desk->address, sizeof desk->address, "%s", event->address);
}

struct desk *
desk_make(const char *script)
{
    struct desk *desk = calloc(1, sizeof *desk);
    usher_fake_options house = {.script = script};
    char why[160];

    assert_non_null(desk);
    desk->fake = usher_fake_start(&house, why, sizeof why);
    if (desk->fake == NULL)
        fail_msg("%s", why);
    usher_key_make(&desk->secret);
    desk->options.common.secret = &desk->secret;
    desk->options.common.server = usher_fake_address(desk->fake);
    desk->options.common.timeout_ms = 20000; /* a bound for slow machines; no test waits for it */
    desk->options.on_state = note_state;
    desk->options.context = desk;
    return desk;
}

void
desk_open(struct desk *desk)
{
    usher_status status;

    desk->options.group = desk->group;
    status = usher_async_open(&desk->options, &desk->async);
    if (status != USHER_STATUS_ANSWERED)
        fail_msg("%s", usher_async_error(desk->async));
}

struct desk *
desk_start(const char *script)
{
    struct desk *desk = desk_make(script);

    desk_open(desk);
    return desk;
}

void
desk_end(struct desk *desk)
{
    usher_async_close(desk->async);
    usher_group_close(desk->group);
    for (unsigned i = 0; i < desk->call_count; i++)
        if (desk->call[i].completions != 1)
            fail_msg("call %u has %u completions", i, desk->call[i].completions);
    usher_fake_stop(desk->fake);
    free(desk);
}

void
desk_script(struct desk *desk, const char *lines)
{
    char why[160];

    if (usher_fake_script(desk->fake, lines, why, sizeof why) == 0)
        fail_msg("%s: %s", lines, why);
}

usher_fake_figures
desk_look(struct desk *desk)
{
    usher_fake_figures figures;

    usher_fake_look(desk->fake, &figures);
    return figures;
}

/* --- calls -------------------------------------------------------------------------------------------- */
static struct desk *now_at; /* the desk whose calls are noted: a context is an index */

void
desk_note(usher_async *async, const usher_completion *completion)
{
    struct desk_call *call = completion->context;

    assert_false(now_at->submitting);
    assert_ptr_equal(async, now_at->async);
    call->completions++;
    now_at->completed++;
    if (call->call_no != 0)
        assert_int_equal(call->call_no, completion->call_no);
    call->status = completion->status;
    call->outcome = completion->outcome;
    call->result = completion->answer->result;
    call->attempts = completion->answer->attempts;
    call->replayed = completion->answer->replayed;
    call->request_id = completion->answer->request_id;
    snprintf(call->error, sizeof call->error, "%s", completion->error);
    assert_int_equal(completion->reply != NULL,
                     completion->status == USHER_STATUS_ANSWERED && completion->answer->result == USHER_OK);
    if (completion->reply != NULL && completion->answer->opcode == USHER_OPCODE_CHARGE)
        call->balance = ((const usher_charge_reply *)completion->reply)->balance;
    if (completion->reply != NULL && completion->answer->opcode == USHER_OPCODE_PING)
        call->echo = ((const usher_ping_reply *)completion->reply)->echo;
}

static unsigned
submit(struct desk *desk, uint16_t opcode, const void *request, uint32_t timeout_ms)
{
    const usher_call_options options = {.timeout_ms = timeout_ms};
    unsigned index = desk->call_count++;
    usher_status status;

    assert_true(index < DESK_CALLS_MOST);
    now_at = desk;
    desk->submitting = true;
    status = usher_async_call(desk->async, opcode, request, &options, desk_note, &desk->call[index],
                              &desk->call[index].call_no);
    desk->submitting = false;
    if (status != USHER_STATUS_ANSWERED)
        fail_msg("%s", usher_async_error(desk->async));
    assert_true(desk->call[index].call_no != 0);
    return index;
}

unsigned
desk_charge_as(struct desk *desk, const usher_charge_request *request, uint32_t timeout_ms)
{
    return submit(desk, USHER_OPCODE_CHARGE, request, timeout_ms);
}

unsigned
desk_charge(struct desk *desk, int64_t amount, uint32_t timeout_ms)
{
    const usher_charge_request request = {.user = {{1}}, .amount = amount};

    return desk_charge_as(desk, &request, timeout_ms);
}

unsigned
desk_ping(struct desk *desk, uint64_t echo, uint32_t timeout_ms)
{
    const usher_ping_request request = {.echo = echo};

    return submit(desk, USHER_OPCODE_PING, &request, timeout_ms);
}

/* --- time --------------------------------------------------------------------------------------------- */
static void
process(struct desk *desk)
{
    if (desk->group != NULL)
        usher_group_process(desk->group);
    else
        usher_async_process(desk->async);
}

void
desk_turn(struct desk *desk)
{
    struct pollfd watched = {.fd = usher_async_descriptor(desk->async), .events = POLLIN};

    if (desk->group != NULL)
        watched.fd = usher_group_descriptor(desk->group);
    if (poll(&watched, 1, PATIENCE_MS) != 1)
        fail_msg("nothing happens");
    process(desk);
}

void
desk_until(struct desk *desk, unsigned completed)
{
    uint64_t until_ms = desk_now_ms() + PATIENCE_MS;

    while (desk->completed < completed) {
        if (desk_now_ms() > until_ms)
            fail_msg("%u of %u calls are completed", desk->completed, completed);
        desk_turn(desk);
    }
}

/* What the house has got, the handle does not hear of: so both are looked at in turn. */
void
desk_until_asked(struct desk *desk, uint64_t requests)
{
    uint64_t until_ms = desk_now_ms() + PATIENCE_MS;

    do {
        if (desk_now_ms() > until_ms)
            fail_msg("the house has not got %u requests", (unsigned)requests);
        process(desk);
    } while (usher_fake_wait(desk->fake, requests, 1) == 0);
}

const struct desk_call *
desk_await(struct desk *desk, unsigned call)
{
    uint64_t until_ms = desk_now_ms() + PATIENCE_MS;

    while (desk->call[call].completions == 0) {
        if (desk_now_ms() > until_ms)
            fail_msg("call %u is not completed", call);
        desk_turn(desk);
    }
    return &desk->call[call];
}

unsigned
desk_states(const struct desk *desk, usher_state state)
{
    unsigned count = 0;

    for (unsigned i = 0; i < desk->state_count; i++)
        count += desk->state[i].state == state;
    return count;
}

void
desk_until_state(struct desk *desk, usher_state state, unsigned times)
{
    uint64_t until_ms = desk_now_ms() + PATIENCE_MS;

    while (desk_states(desk, state) < times) {
        if (desk_now_ms() > until_ms)
            fail_msg("the state %d does not come", (int)state);
        desk_turn(desk);
    }
}

void
desk_must_abort(void (*scene)(void))
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* this end is no reason for a core file */
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(1);
        alarm(60);
        scene();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}
