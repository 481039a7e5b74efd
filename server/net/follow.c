/* follow.c: other instances on the same store (X4).
 *
 * Every turn begins by following what they have committed: their bell wakes the loop for it, and without a bell it is
 * done with whatever else wakes it, a few times a second at least. So a query shows what any of them has acknowledged
 * before it was asked. */
#include "server/net/inside.h"

#include <stdio.h>
#include <syslog.h>

#define READERS_MS 5000 /* between looks for readers that were killed */

static void
on_bell(evutil_socket_t fd, short what, void *argument)
{
    struct net *net = argument;

    (void)fd;
    (void)what;
    net->config.answer_bell(net->config.context); /* the turn does the rest */
}

bool
follow_open(struct net *net)
{
    net->followed_clients = store_followed_count(net->config.store, STORE_TABLE_CLIENT);
    if (net->config.answer_bell == NULL)
        return true;
    net->bell_event = event_new(net->base, net->config.bell, EV_READ | EV_PERSIST, on_bell, net);
    return net->bell_event != NULL && event_add(net->bell_event, NULL) == 0;
}

bool
follow_others(struct net *net)
{
    struct store *store = net->config.store;
    bool was_current = net->current;
    const char *why;

    net->current = store_follow(store);
    if (net->current)
        return true;
    store_fault(store, &why);
    if (store_unsound(store) != NULL) {
        net->config.log(LOG_CRIT, "store_unsound", "why=\"%s\"", store_unsound(store));
        return false;
    }
    if (was_current)
        net->config.log(LOG_ERR, "not_following", "why=\"%s\"", why);
    return true;
}

void
follow_clients(struct net *net)
{
    const struct store *store = net->config.store;
    uint64_t changes = store_followed_count(store, STORE_TABLE_CLIENT);
    const struct client_record *client;

    if (changes == net->followed_clients)
        return;
    net->followed_clients = changes;
    for (struct connection *connection = net->connections; connection != NULL; connection = connection->next) {
        if (connection->client_no == 0)
            continue;
        client = store_see_client(store, connection->client_no);
        if (client == NULL || client->state != USHER_CLIENT_STATE_ENROLLED)
            connection_end(connection);
    }
    connection_flush_all(net);
}

void
follow_now_and_then(struct net *net)
{
    uint64_t now_ms = net_now(net);

    /* Events of an instance that was killed before its history was written are ours to see to. */
    net_tell_of_events(net);
    if (now_ms < net->readers_at_ms + READERS_MS)
        return;
    net->readers_at_ms = now_ms;
    store_clear_readers(net->config.store);
}
