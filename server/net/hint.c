/* hint.c: a turn's queries don't wait for memory one after the other.
 *
 * With a million users each query looks at some ten places that no cache holds, most of which are found through another:
 * 100 ns of waiting for each. A turn has its queries at hand; so while one is answered, what the next ones will look at
 * is on its way, a step at a time. All of a turn at once would be too many: the first would have left the cache again
 * when their turn comes. Nothing depends on it. Commands have the same in commit.c. */
#include "server/net/inside.h"

#define HINT_LEAST 4u /* of a turn that have something to gain from one another */
#define HINT_STEP  2u /* queries from one step of a hint to the next: time enough for what it has asked for to come */
#define HINT_MOST  (sizeof((struct hints *)NULL)->ahead / sizeof *((struct hints *)NULL)->ahead)

_Static_assert(HINT_MOST == HINT_STEP * CORE_HINT_STEPS, "a query's hint has taken its steps when its turn comes");

void
hint_begin(struct hints *hints, const struct net *net)
{
    hints->net = net;
    hints->first = hints->end = 0;
    hints->read = net->turn->count < HINT_LEAST ? net->turn->count : 0;
}

/* Begin with the next query of the turn, if there is one. */
static void
read_next(struct hints *hints)
{
    const struct requests *turn = hints->net->turn;
    const struct pending *pending = &turn->pending[hints->read];
    struct hint_ahead *ahead = &hints->ahead[hints->end % HINT_MOST];
    const struct core_request request = {
        .opcode = pending->message->opcode, .asker = pending->asker, .body = turn->arena + pending->body};

    if (pending->message->kind == USHER_MESSAGE_QUERY && !pending->answered && !pending->held) {
        core_hint_begin(hints->net->config.core, &request, &ahead->hint);
        ahead->index = hints->read;
        ahead->going = true;
        hints->end++;
    }
    hints->read++;
}

/* A step for every so manyeth query from this one on. False when there is none left. */
static bool
look_ahead(struct hints *hints, uint32_t from, uint32_t every)
{
    bool more = false;

    for (uint32_t i = from; i < hints->end; i += every) {
        struct hint_ahead *ahead = &hints->ahead[i % HINT_MOST];
        if (ahead->going)
            ahead->going = core_hint_on(hints->net->config.core, &ahead->hint);
        more |= ahead->going;
    }
    return more;
}

void
hint_before(struct hints *hints, uint32_t index)
{
    bool begins = hints->end == 0;

    while (hints->first < hints->end && hints->ahead[hints->first % HINT_MOST].index < index)
        hints->first++;
    while (hints->read < hints->net->turn->count && hints->end - hints->first < HINT_MOST)
        read_next(hints);
    while (begins && look_ahead(hints, hints->first, 1)) /* nobody came before the first */
        continue;
    look_ahead(hints, hints->first + HINT_STEP, HINT_STEP);
}
