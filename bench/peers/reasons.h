/* reasons.h: the reasons of peers (reasons.def) by number and name. */
#ifndef BENCH_REASONS_H
#define BENCH_REASONS_H

#include <stddef.h>
#include <stdint.h>

/* The number of a name; that of ERROR when there is none. */
uint32_t reason_named(const char *name, size_t size);

/* What is no decision of the job's. */
uint32_t reason_error(void);

const char *reason_name(uint32_t reason);

#endif
