/* served.h: power cuts of a real usherd that serves real clients over sockets (X3).
 *
 * usherd runs under shim.c, one process or several on one data directory; clients on all of them take one buyer after
 * another from joining to a refund. Whenever a client has heard an answer OK it marks the log with it, so what counts
 * as acknowledged is what arrived at the other end of the socket. Now and then one usherd dies in the middle of a write
 * or a sync and is started again; who heard nothing of it asks again under the same request id. */
#ifndef TESTS_POWER_SERVED_H
#define TESTS_POWER_SERVED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/power/check.h"

struct power_served {
    uint64_t seed;
    unsigned instances; /* usherd processes; up to 4 */
    unsigned rounds;    /* steps that each client takes between two deaths, and after the last */
    unsigned deaths;
    bool early; /* for the test of the check: take an answer as heard two syncs before it was */
};

struct power_served_counts {
    struct power_counts power; /* batches: not counted */
    uint64_t deaths;
    uint64_t acknowledged;
    uint64_t retried;  /* without an answer at a death: sent again */
    uint64_t replayed; /* of these, done before the death and answered from memory */
};

/* Serve, sell, die, and leave the log as folder/log, which is made. Fails the cmocka test that calls it when an answer
 * is not as it must be. Of counts all but power is filled in. */
void power_record_served(const char *folder, const struct power_served *served, struct power_served_counts *counts);

/* As power_check_log. In each image: every answer that was heard before the cut is found by its request id, with what
 * it said; between two syncs the store's position never goes back; audit and history as ever. */
bool power_check_served(const char *folder, const struct power_served *served, uint64_t images,
                        struct power_counts *counts, char *why, size_t why_size);

#endif
