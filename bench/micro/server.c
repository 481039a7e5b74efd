/* server.c: see server.h. */
#define _GNU_SOURCE 1
#include "bench/micro/server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct server
server_start(const char *usherd, const char *data, const char *folder, unsigned number)
{
    struct server server = {0};
    char port_file[512];
    unsigned port = 0;

    snprintf(port_file, sizeof port_file, "%s/port.%u", folder, number);
    server.pid = fork();
    if (server.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM); /* it does not outlive who measures it */
        execl(usherd, usherd, "--data", data, "--listen", "127.0.0.1:0", "--port-file", port_file, "--quiet", "--join",
              (char *)NULL);
        _exit(127);
    }
    for (unsigned tries = 0; tries < 1000 && port == 0; tries++) {
        const struct timespec pause = {.tv_nsec = 10000000};
        nanosleep(&pause, NULL);
        FILE *file = fopen(port_file, "re");
        if (file != NULL && fscanf(file, "%u", &port) != 1)
            port = 0;
        if (file != NULL)
            fclose(file);
    }
    if (port == 0) {
        fprintf(stderr, "%s does not serve\n", usherd);
        exit(1);
    }
    server.port = (uint16_t)port;
    return server;
}

void
server_stop(struct server *server)
{
    kill(server->pid, SIGTERM);
    waitpid(server->pid, NULL, 0);
}

double
server_resident_bytes(pid_t pid)
{
    char path[64];
    unsigned long pages = 0;

    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL || fscanf(file, "%*u %lu", &pages) != 1) {
        fprintf(stderr, "no memory figures\n");
        exit(1);
    }
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}
