/* sdk.c: the bridge's handle of the SDK: opened with its key, driven by the loop, and how it stands. */
#include "bridge.h"

#include <string.h>

#include "log.h"

#define IN_FLIGHT_MAX 1024
#define WAITING_MAX   16384

static const char *const state_names[] = {
    [USHER_STATE_CONNECTING] = "connecting", [USHER_STATE_READY] = "ready",
    [USHER_STATE_GOING_AWAY] = "going_away", [USHER_STATE_LOST] = "lost",
    [USHER_STATE_CLOSED] = "closed",
};

const char *
sdk_state_name(usher_state state)
{
    return state_names[state];
}

static void
on_state(usher_async *async, const usher_state_event *event)
{
    struct bridge *bridge = event->context;
    bool is_bad = event->state == USHER_STATE_LOST;

    (void)async;
    bridge->state = event->state;
    bridge->state_count[event->state]++;
    if (event->state == USHER_STATE_READY || is_bad)
        log_say(is_bad ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "server", "state=%s address=%s%s%s%s",
                state_names[event->state], event->address, is_bad ? " why=\"" : "", event->error, is_bad ? "\"" : "");
}

enum bridge_exit
sdk_open(struct bridge *bridge, char *why, size_t why_size)
{
    usher_key server_key;
    usher_async_options options = {
        .common = {.server = bridge->options.server,
                   .key_file = bridge->options.key,
                   .timeout_ms = (uint32_t)bridge->options.timeout_ms},
        .in_flight_max = IN_FLIGHT_MAX,
        .waiting_max = WAITING_MAX,
        .subscriptions_max = (uint32_t)bridge->options.limits.streams_max + WAITING_MAX,
        .on_state = on_state,
        .context = bridge,
    };

    if (bridge->options.server_key[0] != '\0') {
        if (!usher_hex_parse(bridge->options.server_key, server_key.bytes, sizeof server_key.bytes)) {
            snprintf(why, why_size, "--server-key takes the %zu hex digits of the service's public key",
                     2 * sizeof server_key.bytes);
            return BRIDGE_USAGE;
        }
        options.common.server_key = &server_key;
    }
    usher_status status = usher_async_open(&options, &bridge->usher);
    if (status != USHER_STATUS_ANSWERED) {
        const char *error = bridge->usher == NULL ? "no memory" : usher_async_error(bridge->usher);
        /* The SDK's names for what the options here are called after as well. */
        snprintf(why, why_size, "%s%s", strncmp(error, "options.", 8) == 0 ? "--" : "",
                 strncmp(error, "options.", 8) == 0 ? error + 8 : error);
        return status == USHER_STATUS_KEY_FILE       ? BRIDGE_ACCESS
               : status == USHER_STATUS_BAD_ARGUMENT ? BRIDGE_USAGE
                                                     : BRIDGE_FAULT;
    }
    if (!usher_libevent_attach(&bridge->adapter, bridge->base, bridge->usher)) {
        snprintf(why, why_size, "the loop can't watch the server's connection");
        return BRIDGE_FAULT;
    }
    return BRIDGE_DONE;
}

void
sdk_close(struct bridge *bridge)
{
    usher_libevent_detach(&bridge->adapter);
    usher_async_close(bridge->usher);
    bridge->usher = NULL;
}
