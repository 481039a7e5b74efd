/* server.h: a usherd of a benchmark's own, on a port that the system chooses. Whatever goes wrong ends the program. */
#ifndef BENCH_MICRO_SERVER_H
#define BENCH_MICRO_SERVER_H

#include <stdint.h>
#include <sys/types.h>

struct server {
    pid_t pid;
    uint16_t port;
};

/* Start the program `usherd` on a data directory and wait until it serves; its port file is folder/port.<number>. */
struct server server_start(const char *usherd, const char *data, const char *folder, unsigned number);
void server_stop(struct server *server);

/* What of a process, that one or one's own, is in memory. */
double server_resident_bytes(pid_t pid);

#endif
