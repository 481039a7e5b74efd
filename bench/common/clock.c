/* clock.c: see clock.h. */
#define _GNU_SOURCE 1
#include "clock.h"

#include <errno.h>

int
clock_wait(int epoll, struct epoll_event *events, int most, uint64_t wait_ns)
{
    const struct timespec wait = {.tv_sec = (time_t)(wait_ns / NS_OF_S), .tv_nsec = (long)(wait_ns % NS_OF_S)};
    int count = epoll_pwait2(epoll, events, most, &wait, NULL);

    return count < 0 && errno == EINTR ? 0 : count;
}
