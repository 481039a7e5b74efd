/* main.c: usher-http, from its command line to its end.
 *
 * A start does what it was told or ends with one line on stderr and a code of exits.def: options, descriptors, the
 * handle with its key, the log, both listeners. It does not wait for a server: /readyz says whether one is there, and
 * until then requests are answered as the SDK's outcomes are.
 *
 * SIGTERM and SIGINT drain: no new connections, what is in flight is answered, then the end; drain_ms later what is
 * left is cut. A second signal cuts at once. SIGHUP opens the access log anew. */
#include "bridge.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <event2/event.h>

#include "handlers.h"
#include "log.h"
#include "shop.h"
#include "storefront.h"

#define SPARE_DESCRIPTORS 64 /* for everything that is not a client's connection */
#define FLUSH_MS          200

static const struct http_route routes[] = {
#define ROUTE(method, pattern, handler, flags) {HTTP_METHOD_##method, pattern, handler, flags},
#include "routes.def"
};
#define ROUTE_COUNT (sizeof routes / sizeof *routes)

static enum bridge_exit
refuse(enum bridge_exit code, const char *why)
{
    fprintf(stderr, "usher-http: %s\n", why);
    return code;
}

/* --- the steps of a start ------------------------------------------------------------------------------------- */
/* Every connection is a descriptor. As many as the system grants, and no more than that are taken. */
static enum bridge_exit
find_descriptors(struct bridge *bridge)
{
    uint64_t wanted = bridge->options.limits.connections_max + SPARE_DESCRIPTORS;
    struct rlimit limit;
    char why[160];

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return refuse(BRIDGE_FAULT, strerror(errno));
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
            return refuse(BRIDGE_FAULT, strerror(errno));
    }
    if (limit.rlim_cur >= wanted)
        return BRIDGE_DONE;
    if (limit.rlim_cur <= SPARE_DESCRIPTORS) {
        snprintf(why, sizeof why, "the system grants %" PRIu64 " descriptors (ulimit -n), and at least %d are needed",
                 (uint64_t)limit.rlim_cur, SPARE_DESCRIPTORS + 1);
        return refuse(BRIDGE_FAULT, why);
    }
    log_say(LOG_LEVEL_WARN, "descriptors", "granted=%" PRIu64 " connections_max=%" PRIu64 " wanted=%" PRIu64,
            (uint64_t)limit.rlim_cur, (uint64_t)limit.rlim_cur - SPARE_DESCRIPTORS,
            bridge->options.limits.connections_max);
    bridge->options.limits.connections_max = limit.rlim_cur - SPARE_DESCRIPTORS;
    return BRIDGE_DONE;
}

static enum bridge_exit
listen_on(struct bridge *bridge, const char *address, const struct http_route *table, size_t count, uint16_t *port)
{
    char why[256];

    *port = http_listen(bridge->http, address, table, count, bridge, why, sizeof why);
    if (*port != 0)
        return BRIDGE_DONE;
    return refuse(errno == EADDRINUSE ? BRIDGE_PORT : BRIDGE_ADDRESS, why);
}

/* Ports go to the file last: who waits for it may send a request at once. */
static enum bridge_exit
write_ports(const struct bridge *bridge)
{
    char beside[4096], why[4400];
    FILE *file;

    if (bridge->options.port_file[0] == '\0')
        return BRIDGE_DONE;
    snprintf(beside, sizeof beside, "%s.new", bridge->options.port_file);
    file = fopen(beside, "w");
    if (file != NULL) {
        fprintf(file, "%u\n%u\n", bridge->port, bridge->operations_port);
        if (fclose(file) == 0 && rename(beside, bridge->options.port_file) == 0)
            return BRIDGE_DONE;
    }
    snprintf(why, sizeof why, "can't write %s: %s", bridge->options.port_file, strerror(errno));
    return refuse(BRIDGE_FAULT, why);
}

static enum bridge_exit
open_listeners(struct bridge *bridge)
{
    const char *operations = bridge->options.operations;
    enum bridge_exit code;

    bridge->http = http_open(bridge->base, &bridge->options.limits);
    if (bridge->http == NULL)
        return refuse(BRIDGE_FAULT, "no memory");
    http_on_access(bridge->http, log_request, NULL);
    code = listen_on(bridge, bridge->options.listen, routes, ROUTE_COUNT, &bridge->port);
    if (code != BRIDGE_DONE || strcmp(operations, "off") == 0)
        return code;
    if (!address_is_loopback(operations))
        return refuse(BRIDGE_ADDRESS,
                      "--operations must be on loopback (127.0.0.1 or [::1]): what it tells is for the house");
    return listen_on(bridge, operations, operations_routes, operations_route_count, &bridge->operations_port);
}

static enum bridge_exit
start(struct bridge *bridge)
{
    char why[512];
    enum bridge_exit code = find_descriptors(bridge);

    if (code != BRIDGE_DONE)
        return code;
    bridge->base = event_base_new();
    if (bridge->base == NULL)
        return refuse(BRIDGE_FAULT, "no event loop");
    if (!zone_parse(bridge->options.zone, &bridge->zone_minutes))
        return refuse(BRIDGE_USAGE, "--zone takes hours and minutes from UTC, as +09:00");
    code = sdk_open(bridge, why, sizeof why);
    if (code != BRIDGE_DONE)
        return refuse(code, why);
    code = open_listeners(bridge);
    if (code != BRIDGE_DONE)
        return code;
    code = shop_open(&bridge->options, &bridge->shop, why, sizeof why);
    return code != BRIDGE_DONE ? refuse(code, why) : BRIDGE_DONE;
}

/* --- the end ---------------------------------------------------------------------------------------------------------
 */
static void
stop_loop(void *context)
{
    struct bridge *bridge = context;

    event_base_loopbreak(bridge->base);
}

static void
cut(void *context)
{
    struct bridge *bridge = context;

    bridge->cut_timer = NULL;
    log_say(LOG_LEVEL_WARN, "cut", "connections=%" PRIu64, http_connection_count(bridge->http));
    event_base_loopbreak(bridge->base);
}

static void
on_stop(evutil_socket_t signal_no, short what, void *context)
{
    struct bridge *bridge = context;

    (void)what;
    if (http_is_draining(bridge->http)) {
        http_timer_cancel(bridge->cut_timer);
        cut(bridge);
        return;
    }
    log_say(LOG_LEVEL_INFO, "drain", "signal=%d connections=%" PRIu64, (int)signal_no,
            http_connection_count(bridge->http));
    bridge->cut_timer = http_timer_after(bridge->http, bridge->options.limits.drain_ms, cut, bridge);
    http_drain(bridge->http, stop_loop, bridge);
}

static void
on_hangup(evutil_socket_t signal_no, short what, void *context)
{
    (void)signal_no;
    (void)what;
    (void)context;
    log_reopen();
}

static void
on_flush(evutil_socket_t descriptor, short what, void *context)
{
    (void)descriptor;
    (void)what;
    (void)context;
    log_flush();
}

/* Signals have their meaning before the ports are told: who waits for them may send one at once. */
static enum bridge_exit
serve(struct bridge *bridge)
{
    const struct timeval often = {.tv_usec = FLUSH_MS * 1000};
    struct event *events[] = {
        evsignal_new(bridge->base, SIGTERM, on_stop, bridge),
        evsignal_new(bridge->base, SIGINT, on_stop, bridge),
        evsignal_new(bridge->base, SIGHUP, on_hangup, bridge),
        event_new(bridge->base, -1, EV_PERSIST, on_flush, bridge),
    };

    for (size_t i = 0; i < 4; i++)
        event_add(events[i], i == 3 ? &often : NULL);
    enum bridge_exit code = write_ports(bridge);
    if (code == BRIDGE_DONE) {
        log_say(LOG_LEVEL_INFO, "serving", "port=%u operations_port=%u server=%s", bridge->port,
                bridge->operations_port, bridge->options.server);
        event_base_dispatch(bridge->base);
    }
    for (size_t i = 0; i < 4; i++)
        event_free(events[i]);
    if (code == BRIDGE_DONE)
        log_say(LOG_LEVEL_INFO, "stopped", "connections_cut=%" PRIu64, http_connection_count(bridge->http));
    return code;
}

int
main(int argc, char **argv)
{
    static struct bridge bridge;
    enum bridge_exit code;
    char why[512];

    if (!options_read(&bridge.options, argc, argv, why, sizeof why))
        return refuse(BRIDGE_USAGE, why);
    if (bridge.options.help) {
        options_help(stdout);
        return BRIDGE_DONE;
    }
    if (bridge.options.version) {
        printf("usher-http %s\n", USHER_VERSION_TEXT);
        return BRIDGE_DONE;
    }
    if (!log_open(bridge.options.access_log, bridge.options.quiet, why, sizeof why))
        return refuse(BRIDGE_FAULT, why);
    code = start(&bridge);
    if (code == BRIDGE_DONE)
        code = serve(&bridge);
    /* Clients first, then the SDK's handle, whose close brings the completions that handlers still wait for. */
    if (bridge.http != NULL)
        http_cut(bridge.http);
    sdk_close(&bridge);
    http_timer_cancel(bridge.cut_timer);
    http_close(bridge.http);
    shop_close(bridge.shop);
    if (bridge.base != NULL)
        event_base_free(bridge.base);
    log_close();
    return code;
}
