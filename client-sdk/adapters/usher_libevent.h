/* usher_libevent.h: an asynchronous handle of libusher, or a group of them, in a loop of libevent 2.
 *
 *     struct usher_libevent adapter;
 *     usher_libevent_attach(&adapter, base, async);
 *     event_base_dispatch(base);           callbacks come out of the loop
 *     usher_libevent_detach(&adapter);
 *     usher_async_close(async);
 *
 * Header only; C and C++. Attach, loop and detach belong on one thread: on it, blocking calls of libusher return
 * WRONG_THREAD as long as something is attached. */
#ifndef USHER_LIBEVENT_H
#define USHER_LIBEVENT_H

#include <event2/event.h>

#include <usher.h>

struct usher_libevent {
    struct event *event; /* NULL: not attached */
    usher_async *async;
    usher_group *group; /* or this one */
};

/* Take the handle or group out of the loop. What is detached already stays so. */
static inline void
usher_libevent_detach(struct usher_libevent *adapter)
{
    if (adapter->event == NULL)
        return;
    event_free(adapter->event);
    adapter->event = NULL;
    usher_loop_detach();
}

static inline void
usher_libevent_ready(evutil_socket_t descriptor, short what, void *context)
{
    struct usher_libevent *adapter = (struct usher_libevent *)context;

    (void)descriptor;
    (void)what;
    if (adapter->group != NULL)
        usher_group_process(adapter->group);
    else if (usher_async_process(adapter->async) < 0) /* a callback closed it */
        usher_libevent_detach(adapter);
}

static inline int
usher_libevent_begin(struct usher_libevent *adapter, struct event_base *base, int descriptor)
{
    adapter->event = event_new(base, descriptor, EV_READ | EV_PERSIST, usher_libevent_ready, adapter);
    if (adapter->event == NULL)
        return 0;
    if (event_add(adapter->event, NULL) != 0) {
        event_free(adapter->event);
        adapter->event = NULL;
        return 0;
    }
    usher_loop_attach();
    return 1;
}

/* Let the loop drive the handle. The adapter is the caller's and must live until it is detached, which a close of the
 * handle by one of its callbacks does too. Detach before any other close. Returns 1, or 0 when libevent refused. */
static inline int
usher_libevent_attach(struct usher_libevent *adapter, struct event_base *base, usher_async *async)
{
    adapter->async = async;
    adapter->group = NULL;
    return usher_libevent_begin(adapter, base, usher_async_descriptor(async));
}

/* The same for all handles of a group, now and later. Detach before the group is closed. */
static inline int
usher_libevent_attach_group(struct usher_libevent *adapter, struct event_base *base, usher_group *group)
{
    adapter->async = NULL;
    adapter->group = group;
    return usher_libevent_begin(adapter, base, usher_group_descriptor(group));
}

#endif
