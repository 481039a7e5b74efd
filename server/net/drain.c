/* drain.c: the stop (X7).
 *
 *     net_stop     the turn that runs is finished: what it has taken is committed and answered (loop.c)
 *     tell         nobody new is let in; every connection that has proved its key is pushed GOING_AWAY, and what it
 *                  sends for a short while more is answered so: requests that cross the push learn that they were not
 *                  carried out
 *     see out      what is unsent goes out, then our end; a moment for the client's (connection.c's LINGERING)
 *     cut          drain_ms after the stop, or at a second net_stop, whoever is left
 *
 * So one that does not read costs drain_ms and no more, and one that is merely idle a little over a second. */
#include "server/net/inside.h"

#include <syslog.h>

#define TELL_MS 250 /* for requests on the way to meet the push; longer than most round trips */

static uint64_t
tell(struct net *net)
{
    const usher_going_away_push push = {.drain_ms = (uint32_t)net->config.limits.drain_ms, .reason = USHER_AWAY_STOP};
    struct connection *next;
    uint64_t told = 0;

    net_take_stamp(net);
    for (struct connection *connection = net->connections; connection != NULL; connection = next) {
        next = connection->next; /* without memory for the push the connection is cut */
        if (connection->state != CONNECTION_READY)
            continue; /* in the handshake a client expects its reply and nothing else */
        connection_push(connection, usher_push_of(USHER_PUSH_GOING_AWAY), &push);
        told++;
    }
    return told;
}

/* Send and read until this moment, or until nobody is left. */
static void
serve_until(struct net *net, uint64_t until_ms)
{
    for (;;) {
        connection_flush_all(net);
        connection_bury_dead(net);
        uint64_t now_ms = net_now(net);
        if (net->connections == NULL || net->at_once || now_ms >= until_ms)
            return;
        net_wake_after(net, until_ms - now_ms);
        event_base_loop(net->base, EVLOOP_ONCE);
    }
}

static uint64_t
count_unsent(const struct net *net)
{
    uint64_t count = 0;

    for (const struct connection *connection = net->connections; connection != NULL; connection = connection->next)
        count += connection->state < CONNECTION_LINGERING;
    return count;
}

void
drain_run(struct net *net)
{
    uint64_t begun_ms = net_now(net);
    uint64_t drain_ms = net->config.limits.drain_ms;

    listen_close(net);
    uint64_t told = tell(net);
    serve_until(net, begun_ms + (drain_ms / 4 < TELL_MS ? drain_ms / 4 : TELL_MS));
    for (struct connection *connection = net->connections; connection != NULL; connection = connection->next)
        connection_end(connection);
    serve_until(net, begun_ms + drain_ms);
    net->config.log(LOG_INFO, "drained", "told=%llu unsent=%llu ms=%llu", (unsigned long long)told,
                    (unsigned long long)count_unsent(net), (unsigned long long)(net_now(net) - begun_ms));
}
