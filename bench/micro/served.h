/* served.h: what programs that measure a server over the bare wire share beside server.h: whatever goes wrong ends them. */
#ifndef BENCH_SERVED_H
#define BENCH_SERVED_H

#include "bench/micro/server.h"
#include "tests/wire.h"

/* "NAME: what", and the end. */
_Noreturn void served_die(const char *what);

/* An admin's connection, with the key in folder/data. */
void served_connect(struct wire *wire, const struct server *server, const char *folder);
/* Ask, and die unless the answer is OK; reply may be NULL. */
void served_must(struct wire *wire, uint16_t opcode, const void *ask, void *reply);

double served_now_ms(void);
/* The server's processor time so far. */
double served_cpu_ms(const struct server *server);

#endif
