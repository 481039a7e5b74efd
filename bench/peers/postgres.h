/* postgres.h: PostgreSQL as a target (target.h). */
#ifndef BENCH_POSTGRES_H
#define BENCH_POSTGRES_H

#include "bench/common/target.h"

/* What the target is opened with. */
struct postgres_place {
    uint16_t port;
    const char *script; /* the path of postgres.sql */
};

extern const struct target_kind target_postgres;

/* After a run: what its books say. */
struct postgres_audit {
    uint64_t entries, payments;
    uint64_t mistakes; /* see audit() of postgres.sql */
};
bool postgres_audit(uint16_t port, struct postgres_audit *audit, char *why, size_t why_size);

#endif
