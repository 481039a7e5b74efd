/* gather.c: one commit for all who ask in lock step.
 *
 * Fifty clients that each wait for an answer before they ask again ask all at once: as soon as the last commit's
 * answers reach them. The first of them wake the server while the others are still writing, and a commit that begins
 * there answers a part, while the rest waits for the next: two groups in turns, each of which pays for a commit of its
 * own. So before a commit the sockets are looked at again, without waiting, until a look finds nobody new or everybody
 * has asked who was answered by the last two commits. One client alone never causes such a look, and no look ever waits:
 * it costs a system call that reads nothing, beside a commit that waits for the disk. */
#include "server/net/inside.h"

bool
gather_has_commands(const struct net *net)
{
    for (uint32_t i = 0; i < net->pending_count; i++) {
        if (net->pending[i].message->kind == USHER_MESSAGE_COMMAND)
            return true;
    }
    return false;
}

void
gather_run(struct net *net)
{
    uint32_t wanted = net->gathered[0] + net->gathered[1], before = 0;

    if (net->stopping || !gather_has_commands(net))
        return;
    if (wanted > net->config.limits.turn_max / 2)
        wanted = (uint32_t)net->config.limits.turn_max / 2; /* from here on a turn takes no more by itself */
    if (net->gathered[0] > 1 || net->pending_count > 1) {
        while (net->pending_count < wanted && net->pending_count != before) {
            before = net->pending_count;
            event_base_loop(net->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        }
    }
    net->gathered[1] = net->gathered[0];
    net->gathered[0] = net->pending_count;
}
