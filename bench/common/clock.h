/* clock.h: the monotonic clock in nanoseconds, and a wait that is as fine. */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <stdint.h>
#include <sys/epoll.h>
#include <time.h>

#define NS_OF_S UINT64_C(1000000000)

static inline uint64_t
clock_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_OF_S + (uint64_t)now.tv_nsec;
}

/* epoll_wait() with a time in nanoseconds. A signal counts as nothing having come. */
int clock_wait(int epoll, struct epoll_event *events, int most, uint64_t wait_ns);

#endif
