/* served.c: see served.h. */
#define _GNU_SOURCE 1
#include "bench/micro/served.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

_Noreturn void
served_die(const char *what)
{
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
    exit(1);
}

double
served_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

void
served_connect(struct wire *wire, const struct server *server, const char *folder)
{
    char key[512];

    snprintf(key, sizeof key, "%s/data/admin.key", folder);
    if (!wire_open(wire, server->port) || wire_login(wire, key) != USHER_OK)
        served_die("can't connect");
    wire->patience_ms = 60000;
}

void
served_must(struct wire *wire, uint16_t opcode, const void *ask, void *reply)
{
    if (wire_ask(wire, opcode, ask, reply) != USHER_OK)
        served_die(usher_message_of(opcode)->constant);
}

double
served_cpu_ms(const struct server *server)
{
    char path[64];
    uint64_t run_ns = 0;

    snprintf(path, sizeof path, "/proc/%d/schedstat", (int)server->pid);
    FILE *file = fopen(path, "re");
    if (file == NULL || fscanf(file, "%" SCNu64, &run_ns) != 1)
        served_die("no processor time");
    fclose(file);
    return (double)run_ns / 1e6;
}
