/* mariadb.h: MariaDB as a target (target.h) for the jobs of the user's own study: RESERVE, CHARGE and BALANCE. */
#ifndef BENCH_MARIADB_H
#define BENCH_MARIADB_H

#include "bench/common/target.h"

/* What the target is opened with. */
struct mariadb_place {
    uint16_t port;
    const char *script; /* the path of mariadb.sql */
};

extern const struct target_kind target_mariadb_optimistic, target_mariadb_pessimistic;

#endif
