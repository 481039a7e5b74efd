/* usher_poll.h: asynchronous handles of libusher, or a group of them, in a loop of one's own around poll().
 *
 *     usher_async *handles[] = {async};
 *     while (!done)
 *         usher_poll(handles, 1, -1);         or usher_poll_group(group, -1)
 *
 * Header only; C and C++. Blocking calls between two turns are the program's own affair: no loop runs then. */
#ifndef USHER_POLL_H
#define USHER_POLL_H

#include <errno.h>
#include <poll.h>

#include <usher.h>

#define USHER_POLL_MOST 64 /* handles of one turn */

/* Wait until one of the handles has something to do, up to timeout_ms (-1: without end), and do what there is to do for
 * all of them. NULLs among them are passed over; a handle that one of its callbacks closed becomes NULL.
 *
 * Returns how many completions were delivered, 0 when the time was up or a signal came, -1 with errno when poll()
 * failed or count is above USHER_POLL_MOST. */
static inline int
usher_poll(usher_async **handles, unsigned count, int timeout_ms)
{
    struct pollfd watched[USHER_POLL_MOST];
    int delivered = 0;
    unsigned i;

    if (count > USHER_POLL_MOST) {
        errno = EINVAL;
        return -1;
    }
    for (i = 0; i < count; i++) {
        watched[i].fd = handles[i] != NULL ? usher_async_descriptor(handles[i]) : -1;
        watched[i].events = POLLIN;
        watched[i].revents = 0;
    }
    if (poll(watched, count, timeout_ms) < 0)
        return errno == EINTR ? 0 : -1;
    for (i = 0; i < count; i++) {
        int result = watched[i].revents != 0 ? usher_async_process(handles[i]) : 0;
        if (result < 0)
            handles[i] = NULL;
        else
            delivered += result;
    }
    return delivered;
}

/* The same for all handles of a group, of any number. */
static inline int
usher_poll_group(usher_group *group, int timeout_ms)
{
    struct pollfd watched = {usher_group_descriptor(group), POLLIN, 0};

    if (poll(&watched, 1, timeout_ms) < 0)
        return errno == EINTR ? 0 : -1;
    return usher_group_process(group);
}

#endif
