/* redis.h: Redis as a target (target.h). */
#ifndef BENCH_REDIS_H
#define BENCH_REDIS_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/common/target.h"

/* What the target is opened with. */
struct redis_place {
    uint16_t port;
    const char *library; /* the path of redis.lua */
};

extern const struct target_kind target_redis;

/* After a run: what its books say of the admitted users. */
struct redis_audit {
    uint64_t entries, payments, spent;
    uint64_t mistakes; /* balances that are not what their entries come to, seats sold twice or without a payment */
};
bool redis_audit(uint16_t port, uint32_t users, struct redis_audit *audit, char *why, size_t why_size);

#endif
