/* usher_libuv.h: an asynchronous handle of libusher, or a group of them, in a loop of libuv.
 *
 *     struct usher_libuv adapter;
 *     usher_libuv_attach(&adapter, loop, async);
 *     uv_run(loop, UV_RUN_DEFAULT);        callbacks come out of the loop
 *     usher_libuv_detach(&adapter);
 *     usher_async_close(async);
 *     uv_run(loop, UV_RUN_DEFAULT);        libuv lets go of the adapter in its next turn
 *
 * Header only; C and C++. Attach, loop and detach belong on one thread: on it, blocking calls of libusher return
 * WRONG_THREAD as long as something is attached. */
#ifndef USHER_LIBUV_H
#define USHER_LIBUV_H

#include <uv.h>

#include <usher.h>

struct usher_libuv {
    uv_poll_t poll; /* its data is the adapter */
    usher_async *async;
    usher_group *group; /* or this one; both NULL: not attached */
};

/* Take the handle or group out of the loop. The adapter's memory is the loop's until its next turn is over, as with
 * every handle of libuv. What is detached already stays so. */
static inline void
usher_libuv_detach(struct usher_libuv *adapter)
{
    if (adapter->async == NULL && adapter->group == NULL)
        return;
    adapter->async = NULL;
    adapter->group = NULL;
    uv_poll_stop(&adapter->poll);
    uv_close((uv_handle_t *)&adapter->poll, NULL);
    usher_loop_detach();
}

static inline void
usher_libuv_ready(uv_poll_t *poll, int status, int events)
{
    struct usher_libuv *adapter = (struct usher_libuv *)poll->data;

    (void)status;
    (void)events;
    if (adapter->group != NULL)
        usher_group_process(adapter->group);
    else if (usher_async_process(adapter->async) < 0) /* a callback closed it */
        usher_libuv_detach(adapter);
}

static inline int
usher_libuv_begin(struct usher_libuv *adapter, uv_loop_t *loop, usher_async *async, usher_group *group)
{
    int failure = uv_poll_init(loop, &adapter->poll,
                               group != NULL ? usher_group_descriptor(group) : usher_async_descriptor(async));

    adapter->async = NULL;
    adapter->group = NULL;
    if (failure != 0)
        return failure;
    adapter->poll.data = adapter;
    failure = uv_poll_start(&adapter->poll, UV_READABLE, usher_libuv_ready);
    if (failure != 0) {
        uv_close((uv_handle_t *)&adapter->poll, NULL);
        return failure;
    }
    adapter->async = async;
    adapter->group = group;
    usher_loop_attach();
    return 0;
}

/* Let the loop drive the handle. The adapter is the caller's; a close of the handle by one of its callbacks detaches it
 * too. Detach before any other close. Returns 0, or libuv's error: then the adapter is not attached, but libuv may hold
 * it until its next turn. */
static inline int
usher_libuv_attach(struct usher_libuv *adapter, uv_loop_t *loop, usher_async *async)
{
    return usher_libuv_begin(adapter, loop, async, NULL);
}

/* The same for all handles of a group, now and later. Detach before the group is closed. */
static inline int
usher_libuv_attach_group(struct usher_libuv *adapter, uv_loop_t *loop, usher_group *group)
{
    return usher_libuv_begin(adapter, loop, NULL, group);
}

#endif
