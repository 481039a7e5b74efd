/* hint.c: a turn's queries don't wait for memory one after the other.
 *
 * With a million users each request looks at some ten places that no cache holds, most of which are found through another:
 * 100 ns of waiting for each. A turn has its requests at hand, so all that a group of them will look at is fetched at
 * the same time, step by step, before any is carried out. Nothing depends on it. */
#include "server/net/inside.h"

#define HINT_LEAST 4u  /* requests of a turn that have something to gain from one another */
#define HINT_GROUP 16u /* about as many as memory serves at once */

static void
hint_group(const struct net *net, const struct pending *pending, uint32_t count)
{
    struct core_hint hints[HINT_GROUP];
    bool more = true;

    for (uint32_t i = 0; i < count; i++) {
        const struct core_request request = {
            .opcode = pending[i].message->opcode, .asker = pending[i].asker, .body = net->arena + pending[i].body};
        core_hint_begin(net->config.core, &request, &hints[i]);
    }
    while (more) {
        more = false;
        for (uint32_t i = 0; i < count; i++)
            more |= core_hint_on(net->config.core, &hints[i]);
    }
}

void
hint_run(const struct net *net)
{
    if (net->pending_count < HINT_LEAST)
        return;
    for (uint32_t i = 0; i < net->pending_count; i += HINT_GROUP) {
        uint32_t left = net->pending_count - i;
        hint_group(net, net->pending + i, left < HINT_GROUP ? left : HINT_GROUP);
    }
}
