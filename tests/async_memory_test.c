/* async_memory_test.c: the memory of an asynchronous handle: all of it goes through the hooks, any of it may fail, and
 * it is bounded. */
#include "test.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "desk.h"

/* --- an allocator that counts, and fails when it is told to ------------------------------------------- */
struct arena {
    size_t bytes, pieces, most; /* now; most: of bytes, ever */
    unsigned asked;             /* allocations so far */
    unsigned fails_at;          /* this one fails; 0: none */
    bool fails_on;              /* and all after it */
    unsigned failed;
};

struct piece {
    _Alignas(max_align_t) size_t size;
};

static bool
arena_refuses(struct arena *arena)
{
    arena->asked++;
    if (arena->fails_at == 0 || arena->asked < arena->fails_at || (arena->asked > arena->fails_at && !arena->fails_on))
        return false;
    arena->failed++;
    return true;
}

static void *
arena_allocate(void *context, size_t size)
{
    struct arena *arena = context;
    struct piece *piece;

    if (arena_refuses(arena))
        return NULL;
    piece = malloc(sizeof *piece + size);
    assert_non_null(piece);
    memset(piece + 1, 0xa5, size); /* nobody may count on zeros */
    piece->size = size;
    arena->bytes += size;
    arena->pieces++;
    if (arena->bytes > arena->most)
        arena->most = arena->bytes;
    return piece + 1;
}

static void
arena_release(void *context, void *memory)
{
    struct arena *arena = context;
    struct piece *piece = (struct piece *)memory - 1;

    arena->bytes -= piece->size;
    arena->pieces--;
    memset(memory, 0x5a, piece->size);
    free(piece);
}

static void *
arena_reallocate(void *context, void *memory, size_t size)
{
    void *larger = arena_allocate(context, size);
    size_t old_size = memory != NULL ? ((struct piece *)memory - 1)->size : 0;

    if (larger == NULL || memory == NULL)
        return larger;
    memcpy(larger, memory, old_size < size ? old_size : size);
    arena_release(context, memory);
    return larger;
}

static void
arena_use(struct arena *arena, usher_memory *hooks, bool reallocates)
{
    memset(arena, 0, sizeof *arena);
    hooks->allocate = arena_allocate;
    hooks->release = arena_release;
    hooks->reallocate = reallocates ? arena_reallocate : NULL;
    hooks->context = arena;
}

/* --- the sweep ---------------------------------------------------------------------------------------- */
struct sweep {
    struct desk *desk;
    usher_group *group;           /* or NULL */
    unsigned accepted, completed; /* calls with a callback */
    unsigned queued, fetched;     /* calls for the queue */
    unsigned watched, ended;
    unsigned left; /* calls that have no completion yet */
};

static void
count_completion(usher_async *async, const usher_completion *completion)
{
    struct sweep *sweep = completion->context;

    (void)async;
    assert_int_equal(completion->status, USHER_STATUS_ANSWERED);
    sweep->completed++;
}

static void
count_watch(usher_async *async, const usher_watch_event *event)
{
    struct sweep *sweep = event->context;

    (void)async;
    sweep->ended += event->kind == USHER_WATCH_ENDED;
}

static void
submit_some(struct sweep *sweep, usher_async *async)
{
    const usher_charge_request charge = {.user = {{1}}, .amount = 1};
    const usher_watch_seats_request seats = {.user = {{1}}, .concert_id = 1, .date_id = 1};
    usher_status status;

    for (unsigned i = 0; i < 20; i++) { /* enough for tables to grow */
        status = usher_async_call(async, USHER_OPCODE_CHARGE, &charge, NULL, i % 2 == 0 ? count_completion : NULL,
                                  sweep, NULL);
        assert_true(status == USHER_STATUS_ANSWERED || status == USHER_STATUS_NO_MEMORY);
        if (status == USHER_STATUS_ANSWERED)
            i % 2 == 0 ? sweep->accepted++ : sweep->queued++;
        status = usher_async_watch(async, USHER_OPCODE_WATCH_SEATS, &seats, count_watch, sweep, NULL);
        assert_true(status == USHER_STATUS_ANSWERED || status == USHER_STATUS_NO_MEMORY);
        sweep->watched += status == USHER_STATUS_ANSWERED;
    }
}

static void
process_until_done(struct sweep *sweep, usher_async *async)
{
    uint64_t until_ms = desk_now_ms() + 30000;

    for (;;) {
        struct pollfd watched = {.fd = usher_async_descriptor(async), .events = POLLIN};

        if (sweep->group != NULL)
            watched.fd = usher_group_descriptor(sweep->group);
        while (usher_async_next(async) != NULL)
            sweep->fetched++;
        if (sweep->completed == sweep->accepted && sweep->fetched == sweep->queued)
            return;
        if (desk_now_ms() > until_ms || poll(&watched, 1, 30000) != 1)
            fail_msg("a completion is lost");
        if (sweep->group != NULL)
            usher_group_process(sweep->group);
        else
            usher_async_process(async);
    }
}

/* Open, submit, lose a connection, have the server go away, submit, close: with one allocation failing, or all from one
 * on; in a group whose memory is the same, or alone. Returns whether any did fail. */
static bool
sweep_once(struct desk *desk, unsigned fails_at, bool fails_on, bool reallocates, bool grouped)
{
    usher_async_options options = desk->options;
    struct sweep sweep = {.desk = desk};
    struct arena arena;
    usher_async *async;
    usher_status status;

    options.on_state = NULL;
    options.common.retry_ms_least = options.common.retry_ms_most = 1;
    arena_use(&arena, &options.memory, reallocates);
    arena.fails_at = fails_at;
    arena.fails_on = fails_on;
    if (grouped && usher_group_open(&options.memory, &sweep.group) == USHER_STATUS_NO_MEMORY)
        return true;
    options.group = sweep.group;
    status = usher_async_open(&options, &async);
    if (status == USHER_STATUS_ANSWERED) {
        submit_some(&sweep, async);
        process_until_done(&sweep, async);
        usher_fake_cut(desk->fake);
        submit_some(&sweep, async);
        process_until_done(&sweep, async);
        usher_fake_go_away(desk->fake, 10000);
        submit_some(&sweep, async);
        process_until_done(&sweep, async);
    } else {
        assert_int_equal(status, USHER_STATUS_NO_MEMORY);
        assert_true(strlen(usher_async_error(async)) > 0);
    }
    usher_async_close(async);
    usher_group_close(sweep.group);
    assert_int_equal(sweep.ended, sweep.watched);
    if (arena.bytes != 0 || arena.pieces != 0)
        fail_msg("%u bytes in %u pieces are left", (unsigned)arena.bytes, (unsigned)arena.pieces);
    return arena.failed > 0;
}

/* F4: whichever allocation fails, open and submit say so, no completion is lost, and nothing leaks. */
static void
any_allocation_may_fail(void **state)
{
    struct desk *desk = desk_make(NULL);
    unsigned sweeps = 0;

    (void)state;
    usher_fake_set_role(desk->fake, USHER_ROLE_ADMIN);
    for (unsigned way = 0; way < 6; way++)
        for (unsigned at = 1; sweep_once(desk, at, way % 2 == 1, way < 2, way >= 4); at++)
            sweeps++;
    assert_true(sweeps > 6 * 60); /* of each way: the handle's own, and one for each of the submitted at least */
    desk_end(desk);
}

/* --- how much it is ----------------------------------------------------------------------------------- */
#define HANDLES 100
#define EACH    100

struct crowd {
    usher_async *async[HANDLES];
    unsigned started, snapshots, deltas, ended, answered;
};

static void
crowd_hears(usher_async *async, const usher_watch_event *event)
{
    struct crowd *crowd = event->context;

    (void)async;
    crowd->started += event->kind == USHER_WATCH_STARTED;
    crowd->snapshots += event->kind == USHER_WATCH_PUSH && event->opcode == USHER_PUSH_SEATS;
    crowd->deltas += event->kind == USHER_WATCH_PUSH && event->opcode == USHER_PUSH_SEAT_CHANGES;
    crowd->ended += event->kind == USHER_WATCH_ENDED;
}

static void
crowd_is_answered(usher_async *async, const usher_completion *completion)
{
    struct crowd *crowd = completion->context;

    (void)async;
    assert_int_equal(completion->status, USHER_STATUS_ANSWERED);
    crowd->answered++;
}

static void
crowd_until(struct crowd *crowd, const unsigned *count, unsigned wanted)
{
    uint64_t until_ms = desk_now_ms() + 100000;
    struct pollfd watched[HANDLES];

    while (*count < wanted) {
        if (desk_now_ms() > until_ms)
            fail_msg("%u of %u", *count, wanted);
        for (unsigned i = 0; i < HANDLES; i++)
            watched[i] = (struct pollfd){.fd = usher_async_descriptor(crowd->async[i]), .events = POLLIN};
        assert_true(poll(watched, HANDLES, 30000) > 0);
        for (unsigned i = 0; i < HANDLES; i++)
            if (watched[i].revents != 0)
                usher_async_process(crowd->async[i]);
    }
}

/* F4: 10,000 subscriptions over 100 connections in one thread, each told of each change, in the bytes that usher.h
 * states for a handle, a subscription and a request. */
static void
ten_thousand_subscriptions_take_the_bytes_that_the_header_states(void **state)
{
    struct desk *desk = desk_make(NULL);
    struct crowd *crowd = calloc(1, sizeof *crowd);
    const usher_watch_seats_request seats = {.user = {{1}}, .concert_id = 1, .date_id = 1};
    const usher_charge_request charge = {.user = {{1}}, .amount = 1};
    const usher_reserve_request reserve = {.user = {{1}}, .concert_id = 1, .date_id = 1, .seat_count = 1, .seat = {3}};
    size_t bare, open, subscription, request, watch_body, charge_body;
    struct arena arena;

    (void)state;
    usher_fake_set_role(desk->fake, USHER_ROLE_ADMIN);
    desk->options.on_state = NULL;
    desk->options.common.timeout_ms = 100000; /* for what 10,000 ask at once, under a sanitizer too */
    desk->options.heartbeat_ms = UINT32_MAX;  /* nobody is taken for dead meanwhile */
    arena_use(&arena, &desk->options.memory, true);
    for (unsigned i = 0; i < HANDLES; i++)
        assert_int_equal(usher_async_open(&desk->options, &crowd->async[i]), USHER_STATUS_ANSWERED);
    bare = arena.bytes;
    for (unsigned i = 0; i < HANDLES; i++)
        for (unsigned k = 0; k < EACH; k++)
            assert_int_equal(
                usher_async_watch(crowd->async[i], USHER_OPCODE_WATCH_SEATS, &seats, crowd_hears, crowd, NULL),
                USHER_STATUS_ANSWERED);
    open = arena.bytes;
    crowd_until(crowd, &crowd->snapshots, HANDLES * EACH);
    assert_int_equal(arena.bytes, open); /* being open takes no more than being asked for */
    assert_int_equal(
        usher_async_call(crowd->async[0], USHER_OPCODE_RESERVE, &reserve, NULL, crowd_is_answered, crowd, NULL),
        USHER_STATUS_ANSWERED);
    crowd_until(crowd, &crowd->deltas, HANDLES * EACH);
    for (unsigned i = 0; i < HANDLES; i++)
        for (unsigned k = 0; k < EACH; k++)
            assert_int_equal(
                usher_async_call(crowd->async[i], USHER_OPCODE_CHARGE, &charge, NULL, crowd_is_answered, crowd, NULL),
                USHER_STATUS_ANSWERED);
    request = (arena.bytes - open) / (HANDLES * EACH);
    crowd_until(crowd, &crowd->answered, HANDLES * EACH + 1);
    assert_int_equal(desk_look(desk).watches, HANDLES * EACH);
    subscription = (open - bare) / (HANDLES * EACH);
    watch_body = usher_message_of(USHER_OPCODE_WATCH_SEATS)->request->fixed_size;
    charge_body = usher_message_of(USHER_OPCODE_CHARGE)->request->fixed_size;
    print_message("handle %zu bytes, subscription %zu with a body of %zu, request %zu with a body of %zu\n",
                  bare / HANDLES, subscription, watch_body, request, charge_body);
    assert_true(bare / HANDLES <= 160 * 1024);
    assert_true(subscription <= 240 + watch_body);
    assert_true(request <= 160 + charge_body);
    for (unsigned i = 0; i < HANDLES; i++)
        usher_async_close(crowd->async[i]);
    assert_int_equal(crowd->ended, HANDLES * EACH);
    assert_int_equal(arena.bytes, 0);
    free(crowd);
    desk_end(desk);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(ten_thousand_subscriptions_take_the_bytes_that_the_header_states),
    };

    return usher_test_main(argc, argv, tests);
}
