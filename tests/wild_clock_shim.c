/* wild_clock_shim.c: preloaded into usherd, a system's clock that somebody sets back and forth without end: what it
 * says is ten hours ahead, right, or ten hours behind, by turns. All other clocks are left alone. */
#define _GNU_SOURCE 1
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define HOURS  10
#define PUBLIC __attribute__((visibility("default")))

static long
jump_seconds(void)
{
    static atomic_uint calls;

    return ((long)(atomic_fetch_add(&calls, 1) % 3) - 1) * HOURS * 3600;
}

PUBLIC int
clock_gettime(clockid_t clock, struct timespec *now)
{
    int status = (int)syscall(SYS_clock_gettime, clock, now);

    if (status == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += jump_seconds();
    return status;
}

PUBLIC int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &precise);
    *now = (struct timeval){.tv_sec = precise.tv_sec, .tv_usec = precise.tv_nsec / 1000};
    return 0;
}

PUBLIC time_t
time(time_t *out)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL)
        *out = now.tv_sec;
    return now.tv_sec;
}
