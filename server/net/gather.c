/* gather.c: one commit for all who ask in lock step.
 *
 * Fifty clients that each wait for an answer before they ask again ask all at once: as soon as the last commit's
 * answers reach them. The first of them wake the server while the others are still writing, and a commit that begins
 * there answers a part, while the rest waits for the next: two groups in turns, each of which pays for a commit of its
 * own. So before a commit the sockets are looked at again, without waiting, until a look finds nobody new or everybody
 * has asked who was answered by the last two commits. One client alone never causes such a look, and no look ever
 * waits: it costs a system call that reads nothing, beside a commit that waits for the disk. */
#include "server/net/inside.h"

uint32_t
gather_count_commands(const struct requests *requests)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < requests->count; i++)
        count += requests->pending[i].message->kind == USHER_MESSAGE_COMMAND && !requests->pending[i].answered;
    return count;
}

void
gather_run(struct net *net)
{
    const struct requests *taken = net->taken;
    uint32_t wanted = net->gathered[0] + net->gathered[1], before = 0;

    if (net->stopping || gather_count_commands(taken) == 0)
        return;
    if (wanted > net->config.limits.turn_max / 2)
        wanted = (uint32_t)net->config.limits.turn_max / 2; /* from here on a turn takes no more by itself */
    if (net->gathered[0] > 1 || taken->count > 1) {
        while (taken->count < wanted && taken->count != before) {
            before = taken->count;
            event_base_loop(net->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        }
    }
    net->gathered[1] = net->gathered[0];
    net->gathered[0] = taken->count;
}
