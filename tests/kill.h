/* kill.h: usherd killed at random moments under load, again and again, with everything it acknowledged looked for
 * afterwards (X3).
 *
 * One server or several on one data directory; clients on all of them, each taking one buyer after another from joining
 * to a refund. One server is killed while they wait for answers. It starts again; requests that got no answer are sent
 * again under their ids; every answer since the last kill is looked up. */
#ifndef TESTS_KILL_H
#define TESTS_KILL_H

#include <stdint.h>

struct kill_counts {
    uint64_t kills;
    uint64_t acknowledged; /* commands answered OK */
    uint64_t retried;      /* without an answer at a kill: sent again */
    uint64_t replayed;     /* of these, done before the kill and answered from memory */
    uint64_t looked_up;    /* answers that were found again, unchanged */
};

/* Kill that often, or for that long when minutes is not 0. At the end the data is opened without a server and audited.
 * Fails the cmocka test that calls it at the first thing that is wrong. */
void kill_again_and_again(unsigned instances, unsigned kills, double minutes, uint64_t seed,
                          struct kill_counts *counts);

#endif
