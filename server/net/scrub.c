/* scrub.c: when the store's scrub gets its turns: slice after slice with pauses between them, small ones while the
 * server is busy, and a long pause between two rounds. What it finds ends the server: see turn() in loop.c. */
#include "server/net/inside.h"

#include <syslog.h>

#define SLICE_QUIET 1024u /* records and rows; 1 to 2 ms */
#define SLICE_BUSY  128u
#define PAUSE_QUIET 20 /* ms */
#define PAUSE_BUSY  50
#define PAUSE_FAULT 1000

static void
set_timer(struct net *net, uint64_t delay_ms)
{
    const struct timeval delay = {.tv_sec = (time_t)(delay_ms / 1000),
                                  .tv_usec = (suseconds_t)(delay_ms % 1000 * 1000)};

    event_add(net->scrub_timer, &delay);
}

/* A disk that can't be read now may be read later; what is found to differ, turn() sees. */
static bool
may_go_on(struct net *net)
{
    const char *why;

    if (store_fault(net->config.store, &why) == STORE_OK)
        return true;
    net->config.log(LOG_ERR, "scrub_fault", "why=\"%s\"", why);
    return false;
}

static void
on_scrub(evutil_socket_t fd, short what, void *argument)
{
    struct net *net = argument;

    (void)fd;
    (void)what;
    if (!net_await_disk(net))
        return;
    uint64_t position = store_position(net->config.store);
    bool busy = position != net->scrub_position;
    net->scrub_position = position;
    if (!store_scrub(net->config.store, busy ? SLICE_BUSY : SLICE_QUIET)) {
        set_timer(net, !may_go_on(net) ? PAUSE_FAULT : busy ? PAUSE_BUSY : PAUSE_QUIET);
        return;
    }
    net->config.log(LOG_DEBUG, "scrubbed", "position=%llu", (unsigned long long)position);
    set_timer(net, net->config.scrub_pause_ms);
}

bool
scrub_open(struct net *net)
{
    if (net->config.scrub_pause_ms == 0)
        return true;
    net->scrub_timer = evtimer_new(net->base, on_scrub, net);
    if (net->scrub_timer == NULL)
        return false;
    set_timer(net, PAUSE_QUIET);
    return true;
}

void
scrub_close(struct net *net)
{
    if (net->scrub_timer != NULL)
        event_free(net->scrub_timer);
}
