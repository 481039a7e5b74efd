/* wires.h: many TCP connections to one server of this machine, for targets that speak a protocol whose answers come in
 * the order of the questions. Bytes that are put wait until wires_process(), so what is in flight on a connection
 * leaves in one write. */
#ifndef BENCH_WIRES_H
#define BENCH_WIRES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A question that waits for its answer. */
struct due {
    uint64_t tag;
    uint32_t job, user;
    uint32_t line;
    uint32_t place; /* of the target's own */
};

struct wires_calls {
    /* Bytes have come. */
    void (*take)(void *context, uint32_t connection, const char *bytes, size_t size);
    /* The connection is lost; what is due on it will have no answer. It stays lost. */
    void (*lost)(void *context, uint32_t connection);
    void *context;
};

struct wires;

/* One connection that blocks, for what is no measurement; -1 with errno. */
int wires_connect(uint16_t port);

/* Connect; false, and why, when not all could be. */
struct wires *wires_open(uint16_t port, uint32_t connections, uint32_t depth, const struct wires_calls *calls, char *why,
                         size_t why_size);
void wires_close(struct wires *wires);

/* Room for `most` bytes of output on a connection with a free place for one more answer; NULL when it has none. Write
 * there, then wires_put() says how many bytes it came to and what is due. */
char *wires_room(struct wires *wires, uint32_t connection, size_t most);
void wires_put(struct wires *wires, uint32_t connection, size_t size, const struct due *due);

/* The oldest question without an answer, taken out; false when there is none. */
bool wires_answered(struct wires *wires, uint32_t connection, struct due *due);

/* As a target's process(). */
bool wires_process(struct wires *wires, uint64_t wait_ns, char *why, size_t why_size);

#endif
