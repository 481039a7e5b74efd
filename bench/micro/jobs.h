/* jobs.h: a house full of people, and the requests that load.c asks of it. One admin's connection prepares it. */
#ifndef BENCH_JOBS_H
#define BENCH_JOBS_H

#include "tests/wire.h"

struct scale {
    uint32_t dates;   /* of 50 seats each */
    uint32_t people;  /* active users with points */
    uint32_t waiting; /* users in line, in a queue of their own */
};

struct job {
    const char *name;
    void (*prepare)(void); /* what has to be there before the first; may be NULL */
    size_t (*build)(uint8_t *out, uint32_t number, uint32_t request_no); /* the next request, as a frame */
};

/* Fill the house. */
void jobs_prepare(struct wire *admin, const struct scale *scale);
const struct job *jobs_find(const char *name); /* NULL for none */

/* A number that differs each time, the same in each run. */
uint64_t jobs_draw(void);

#endif
