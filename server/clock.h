/* clock.h: the server's time (X1): never back, over restarts too, and deaf to jumps of the system's clock while it
 * runs.
 *
 * A base is taken at the start: the system's clock, or the store's last stamp if that is later. From there on the
 * monotonic clock counts (the one that goes on while the machine sleeps). */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct server_clock {
    uint64_t base_ms;  /* server time at the start */
    uint64_t begin_ms; /* the monotonic clock's at the start */
};

enum clock_start {
    CLOCK_STARTED,
    CLOCK_BEHIND, /* started at the last stamp, for the system's clock is behind it by *off_ms */
    CLOCK_AHEAD,  /* started, *off_ms ahead of the last stamp */
    CLOCK_REFUSED /* the same, and more than leap_most_ms: not started */
};

/* wall_ms: the system's clock; last_ms: the store's last stamp, 0 for a fresh store; accept: start in spite of a leap.
 * A fresh store takes any time. */
enum clock_start clock_begin(struct server_clock *clock, uint64_t wall_ms, uint64_t monotonic_ms, uint64_t last_ms,
                             uint64_t leap_most_ms, bool accept, uint64_t *off_ms);

/* The server's time; clock is a struct server_clock. */
uint64_t clock_now_ms(void *clock);

uint64_t clock_wall_ms(void);
uint64_t clock_monotonic_ms(void);

#endif
