/* clock.c: the server's time. See clock.h. */
#define _GNU_SOURCE 1
#include "server/clock.h"

#include <time.h>

static uint64_t
read_ms(clockid_t which)
{
    struct timespec now;

    clock_gettime(which, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t
clock_wall_ms(void)
{
    return read_ms(CLOCK_REALTIME);
}

uint64_t
clock_monotonic_ms(void)
{
    return read_ms(CLOCK_BOOTTIME);
}

enum clock_start
clock_begin(struct server_clock *clock, uint64_t wall_ms, uint64_t monotonic_ms, uint64_t last_ms,
            uint64_t leap_most_ms, bool accept, uint64_t *off_ms)
{
    *off_ms = 0;
    clock->begin_ms = monotonic_ms;
    clock->base_ms = wall_ms;
    if (last_ms == 0)
        return CLOCK_STARTED;
    if (wall_ms < last_ms) {
        clock->base_ms = last_ms;
        *off_ms = last_ms - wall_ms;
        return CLOCK_BEHIND;
    }
    *off_ms = wall_ms - last_ms;
    return *off_ms > leap_most_ms && !accept ? CLOCK_REFUSED : CLOCK_AHEAD;
}

uint64_t
clock_now_ms(void *clock)
{
    const struct server_clock *server = clock;

    return server->base_ms + (clock_monotonic_ms() - server->begin_ms);
}
