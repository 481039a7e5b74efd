/* bridge.h: what the parts of usher-http share: the server of HTTP and the handle of the SDK, in one loop.
 *
 *   http.h             HTTP itself                      operations.c   /livez, /readyz, /metrics, on their own listener
 *   routes.def         who answers what                 sdk.c          the handle, how it stands
 *   options.def        the command line                 main.c         start, drain, stop */
#ifndef BRIDGE_H
#define BRIDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <usher.h>
#include <usher_libevent.h>

#include "http.h"
#include "options.h"

struct bridge {
    struct options options;
    struct event_base *base;
    struct http *http;
    usher_async *usher; /* for handlers: usher_async_call(bridge->usher, ...) with the exchange as its context */
    struct usher_libevent adapter;
    usher_state state; /* of the handle, as it said last */
    uint64_t state_count[USHER_STATE_CLOSED + 1];
    uint16_t port, operations_port;
    struct http_timer *cut_timer; /* while it drains: until what is left is cut */
    struct shop *shop; /* who may ask for a user's token */
    int zone_minutes;  /* of options.zone */
};

/* sdk.c */
enum bridge_exit sdk_open(struct bridge *bridge, char *why, size_t why_size);
void sdk_close(struct bridge *bridge);
const char *sdk_state_name(usher_state state);

/* operations.c */
extern const struct http_route operations_routes[];
extern const size_t operations_route_count;

/* The bridge of a handler. */
static inline struct bridge *
bridge_of(const struct http_exchange *exchange)
{
    return http_context(exchange);
}

#endif
