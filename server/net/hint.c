/* hint.c: a turn's queries don't wait for memory one after the other.
 *
 * With a million users each query looks at some ten places that no cache holds, most of which are found through another:
 * 100 ns of waiting for each. A turn has its queries at hand, so all that a group of them will look at is fetched at the
 * same time, step by step, before any is answered. Nothing depends on it. Commands have the same in commit.c. */
#include "server/net/inside.h"

#define HINT_LEAST 4u  /* of a turn that have something to gain from one another */
#define HINT_GROUP 16u /* about as many as memory serves at once */

static void
go_together(const struct net *net, struct core_hint hints[HINT_GROUP], uint32_t count)
{
    for (bool more = true; more;) {
        more = false;
        for (uint32_t i = 0; i < count; i++)
            more |= core_hint_on(net->config.core, &hints[i]);
    }
}

void
hint_run(const struct net *net)
{
    const struct requests *turn = net->turn;
    struct core_hint hints[HINT_GROUP];
    uint32_t count = 0;

    if (turn->count < HINT_LEAST)
        return;
    for (uint32_t i = 0; i < turn->count; i++) {
        const struct pending *pending = &turn->pending[i];
        const struct core_request request = {
            .opcode = pending->message->opcode, .asker = pending->asker, .body = turn->arena + pending->body};
        if (pending->message->kind != USHER_MESSAGE_QUERY || pending->answered)
            continue;
        core_hint_begin(net->config.core, &request, &hints[count++]);
        if (count == HINT_GROUP) {
            go_together(net, hints, count);
            count = 0;
        }
    }
    go_together(net, hints, count);
}
