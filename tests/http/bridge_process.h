/* bridge_process.h: a real usher-http for a test: started on ports that the system chooses, beside a usherd of
 * tests/server.h.
 *
 *     struct bridge_process bridge;
 *     bridge_start(&bridge, &server, "--timeout-ms", "500", NULL);
 *     bridge_get(bridge.operations_port, "/readyz", text, sizeof text);
 *     assert_int_equal(bridge_stop(&bridge, SIGTERM), 0);
 *
 * Whatever goes wrong in here fails the cmocka test that called. */
#ifndef BRIDGE_PROCESS_H
#define BRIDGE_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/server.h"

struct bridge_process {
    pid_t pid; /* 0 while it does not run */
    uint16_t port, operations_port;
    char log[2 * TEST_PATH_MOST]; /* what it wrote to stdout and stderr, in the server's folder */
};

/* Start usher-http against the server's port with the admin's key and these further options, NULL after the last; wait
 * until it serves. */
void bridge_start(struct bridge_process *bridge, const struct test_server *server, ...);
/* Run it to its end with these options alone, NULL after the last: returns the exit code, or minus the signal. said
 * gets what it wrote. descriptors, unless 0, is its `ulimit -n`. */
int bridge_run(const struct test_server *server, unsigned descriptors, char *said, size_t said_size, ...);
/* Send the signal and wait for the end. Returns the exit code, or minus the signal that ended it. */
int bridge_stop(struct bridge_process *bridge, int signal_no);
/* A connection to one of its ports; and GET of a path on one of its own, answered whole with head and body. Returns the
 * status. */
int bridge_connect(uint16_t port);
unsigned bridge_get(uint16_t port, const char *path, char *text, size_t text_size);
/* The same, again and again, until the status is this one. */
void bridge_wait_for(uint16_t port, const char *path, unsigned status);
/* What it wrote so far. */
void bridge_log(const struct bridge_process *bridge, char *text, size_t text_size);

#endif
