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

static struct desk *
begin(struct talk *talk, bool closes)
{
    const usher_ping_request request = {.echo = 1};
    struct desk *desk = desk_make(NULL);

    desk->options.common.retry_ms_most = 50;
    desk_open(desk);
    *talk = (struct talk){.desk = desk, .left = 100, .closes = closes};
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

/* F4: the adapter for libevent; a callback may close the handle. */
static void
libevent_drives_a_handle(void **state)
{
    (void)state;
    for (unsigned closes = 0; closes < 2; closes++) {
        struct event_base *base = event_base_new();
        struct usher_libevent adapter;
        struct talk talk;
        struct desk *desk = begin(&talk, closes == 1);

        talk.loop = base;
        talk.stop = stop_libevent;
        assert_int_equal(usher_libevent_attach(&adapter, base, desk->async), 1);
        assert_true(event_base_dispatch(base) >= 0); /* it ends by itself when nothing is left in it */
        assert_int_equal(adapter.event == NULL, closes == 1);
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

/* F4: the adapter for libuv; a callback may close the handle. */
static void
libuv_drives_a_handle(void **state)
{
    (void)state;
    for (unsigned closes = 0; closes < 2; closes++) {
        struct usher_libuv adapter;
        struct talk talk;
        struct desk *desk = begin(&talk, closes == 1);
        uv_loop_t loop;

        assert_int_equal(uv_loop_init(&loop), 0);
        talk.loop = &loop;
        talk.stop = stop_libuv;
        assert_int_equal(usher_libuv_attach(&adapter, &loop, desk->async), 0);
        uv_run(&loop, UV_RUN_DEFAULT); /* it ends by itself when nothing is left in it */
        assert_int_equal(adapter.async == NULL, closes == 1);
        usher_libuv_detach(&adapter);
        usher_libuv_detach(&adapter);
        nothing_is_attached(desk);
        finish(&talk);
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(uv_loop_close(&loop), 0);
    }
}

/* F4: the plain poll loop; a callback may close the handle. */
static void
poll_drives_a_handle(void **state)
{
    usher_async *too_many[USHER_POLL_MOST + 1] = {NULL};

    (void)state;
    for (unsigned closes = 0; closes < 2; closes++) {
        struct talk talk;
        struct desk *desk = begin(&talk, closes == 1);
        usher_async *handles[] = {NULL, desk->async};

        while (!talk.done)
            assert_true(usher_poll(handles, 2, 30000) >= 0);
        assert_int_equal(handles[1] == NULL, closes == 1);
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
