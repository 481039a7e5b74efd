/* figures.c: what the core can't know of FIGURES: where the time of the turns goes, and what connections take. */
#include "server/net/inside.h"

#include <assert.h>
#include <stdio.h>

static void
add_connections(const struct net *net, usher_figures_reply *reply)
{
    usher_memory_row *row = &reply->memory[reply->memory_count++];

    assert(reply->memory_count <= sizeof reply->memory / sizeof *reply->memory);
    snprintf(row->name, sizeof row->name, "connections");
    for (const struct connection *connection = net->connections; connection != NULL; connection = connection->next) {
        row->count++;
        row->bytes += sizeof *connection + connection->input.room + connection->output.room +
                      (connection->handshake == NULL ? 0 : sizeof *connection->handshake);
    }
}

static void
add_stages(const struct net *net, usher_figures_reply *reply)
{
    for (unsigned stage = 0; stage < STAGES_COUNT; stage++) {
        const struct stage_figures figures = stages_figures(net->config.stages, (enum usher_stage)stage);

        if (figures.count == 0)
            continue;
        reply->stage[reply->stage_count++] = (usher_stage_row){.stage = (uint8_t)stage,
                                                               .count = figures.count,
                                                               .sum = figures.sum,
                                                               .p50 = figures.p50,
                                                               .p99 = figures.p99,
                                                               .p999 = figures.p999,
                                                               .most = figures.most};
    }
}

void
figures_add(struct net *net, const usher_figures_request *ask, usher_figures_reply *reply)
{
    add_connections(net, reply);
    if (net->config.stages == NULL)
        return;
    reply->stages_since_ms = net->stages_since_ms;
    add_stages(net, reply);
    if (!ask->clear)
        return;
    stages_clear(net->config.stages);
    net->stages_since_ms = net->stamp_ms;
}
