/* async_loop_test.c: the adapters: the same conversation driven by libevent, by libuv and by a plain poll loop. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "client-sdk/adapters/usher_libevent.h"
#include "client-sdk/adapters/usher_libuv.h"
#include "client-sdk/adapters/usher_poll.h"
#include "desk.h"

/* A hundred calls over two lost connections, then the end; the last callback closes the handle or stops the loop. */
struct talk {
    struct desk *desk;
    unsigned left;
    bool closes; /* the last callback closes the handle */
    bool done;
    bool refused; /* a blocking call on the loop's thread */
    void (*stop)(struct talk *talk);
    void *loop;
};

static void
answered(usher_async *async, const usher_completion *completion)
{
    struct talk *talk = completion->context;
    const usher_ping_request request = {.echo = talk->left};
    usher_client *client;

    assert_int_equal(completion->status, USHER_STATUS_ANSWERED);
    talk->left--;
    if (talk->left == 60 || talk->left == 30)
        usher_fake_cut(talk->desk->fake);
    if (talk->left > 0) {
        assert_int_equal(usher_async_call(async, USHER_OPCODE_PING, &request, NULL, answered, talk, NULL),
                         USHER_STATUS_ANSWERED);
        return;
    }
    talk->refused = usher_client_open(&talk->desk->options.common, &client) == USHER_STATUS_WRONG_THREAD;
    usher_client_close(client);
    talk->done = true;
    if (talk->closes)
        usher_async_close(async);
    else if (talk->stop != NULL)
        talk->stop(talk);
}

/* How a handle is driven. */
enum way {
    WAY_STOPS,  /* the last callback stops the loop */
    WAY_CLOSES, /* it closes the handle */
    WAY_GROUP,  /* the first, and the loop drives the handle's group */
    WAYS
};

static struct desk *
begin(struct talk *talk, enum way way)
{
    const usher_ping_request request = {.echo = 1};
    struct desk *desk = desk_make(NULL);

    desk->options.common.retry_ms_most = 50;
    if (way == WAY_GROUP)
        assert_int_equal(usher_group_open(NULL, &desk->group), USHER_STATUS_ANSWERED);
    desk_open(desk);
    *talk = (struct talk){.desk = desk, .left = 100, .closes = way == WAY_CLOSES};
    assert_int_equal(usher_async_call(desk->async, USHER_OPCODE_PING, &request, NULL, answered, talk, NULL),
                     USHER_STATUS_ANSWERED);
    return desk;
}

static void
finish(struct talk *talk)
{
    assert_true(talk->done);
    assert_true(talk->refused);
    assert_int_equal(desk_states(talk->desk, USHER_STATE_READY), 3);
    if (talk->closes)
        talk->desk->async = NULL;
    desk_end(talk->desk);
}

/* Blocking calls are welcome again. */
static void
nothing_is_attached(const struct desk *desk)
{
    usher_client *client;

    assert_int_equal(usher_client_open(&desk->options.common, &client), USHER_STATUS_ANSWERED);
    usher_client_close(client);
}

static void
stop_libevent(struct talk *talk)
{
    event_base_loopbreak(talk->loop);
}

/* F4: the adapter for libevent; a callback may close the handle; of a group as well. */
static void
libevent_drives_a_handle(void **state)
{
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        struct event_base *base = event_base_new();
        struct usher_libevent adapter;
        struct talk talk;
        struct desk *desk = begin(&talk, (enum way)way);

        talk.loop = base;
        talk.stop = stop_libevent;
        assert_int_equal(desk->group != NULL ? usher_libevent_attach_group(&adapter, base, desk->group)
                                             : usher_libevent_attach(&adapter, base, desk->async),
                         1);
        assert_true(event_base_dispatch(base) >= 0); /* it ends by itself when nothing is left in it */
        assert_int_equal(adapter.event == NULL, way == WAY_CLOSES);
        usher_libevent_detach(&adapter);
        usher_libevent_detach(&adapter);
        nothing_is_attached(desk);
        finish(&talk);
        event_base_free(base);
    }
}

static void
stop_libuv(struct talk *talk)
{
    uv_stop(talk->loop);
}

/* F4: the adapter for libuv; a callback may close the handle; of a group as well. */
static void
libuv_drives_a_handle(void **state)
{
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        struct usher_libuv adapter;
        struct talk talk;
        struct desk *desk = begin(&talk, (enum way)way);
        uv_loop_t loop;

        assert_int_equal(uv_loop_init(&loop), 0);
        talk.loop = &loop;
        talk.stop = stop_libuv;
        assert_int_equal(desk->group != NULL ? usher_libuv_attach_group(&adapter, &loop, desk->group)
                                             : usher_libuv_attach(&adapter, &loop, desk->async),
                         0);
        uv_run(&loop, UV_RUN_DEFAULT); /* it ends by itself when nothing is left in it */
        assert_int_equal(adapter.async == NULL && adapter.group == NULL, way == WAY_CLOSES);
        usher_libuv_detach(&adapter);
        usher_libuv_detach(&adapter);
        nothing_is_attached(desk);
        finish(&talk);
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(uv_loop_close(&loop), 0);
    }
}

/* F4: the plain poll loop; a callback may close the handle; of a group as well. */
static void
poll_drives_a_handle(void **state)
{
    usher_async *too_many[USHER_POLL_MOST + 1] = {NULL};

    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        struct talk talk;
        struct desk *desk = begin(&talk, (enum way)way);
        usher_async *handles[] = {NULL, desk->async};

        while (!talk.done)
            assert_true((desk->group != NULL ? usher_poll_group(desk->group, 30000) : usher_poll(handles, 2, 30000)) >=
                        0);
        assert_int_equal(handles[1] == NULL, way == WAY_CLOSES);
        assert_int_equal(usher_poll(handles, 1, 0), 0);
        finish(&talk);
    }
    assert_int_equal(usher_poll(too_many, USHER_POLL_MOST + 1, 0), -1);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(libevent_drives_a_handle),
        cmocka_unit_test(libuv_drives_a_handle),
        cmocka_unit_test(poll_drives_a_handle),
    };

    return usher_test_main(argc, argv, tests);
}
