/* operations.c: what those who run the bridge ask, on a listener of its own on loopback: does it live, may it have
 * requests, what has it counted. */
#include "bridge.h"

#include <inttypes.h>
#include <stdlib.h>

/* The loop turns, or nobody would answer. */
static void
answer_live(struct http_exchange *exchange)
{
    static const char body[] = "{\"status\":\"live\"}";

    http_respond_json(exchange, 200, body, sizeof body - 1);
}

/* Ready is who could answer a customer now: not stopping, and connected to a server. */
static void
answer_ready(struct http_exchange *exchange)
{
    const struct bridge *bridge = bridge_of(exchange);
    bool is_connected = bridge->state == USHER_STATE_READY || bridge->state == USHER_STATE_GOING_AWAY;
    char body[256];
    int size;

    if (http_is_draining(bridge->http)) {
        http_problem(exchange, 503, "the bridge is stopping");
        return;
    }
    if (!is_connected) {
        http_problem(exchange, 503, "no server can be reached");
        return;
    }
    size = snprintf(body, sizeof body, "{\"status\":\"ready\",\"server\":\"%s\"}",
                    usher_async_identity(bridge->usher)->address);
    http_respond_json(exchange, 200, body, (size_t)size);
}

static void
answer_metrics(struct http_exchange *exchange)
{
    const struct bridge *bridge = bridge_of(exchange);
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    if (out == NULL) {
        http_problem(exchange, 503, "there is no memory for it");
        return;
    }
    http_write_metrics(bridge->http, out);
    fprintf(out, "# HELP usher_http_server_state How the connection to a server stands: 1 at its state.\n"
                 "# TYPE usher_http_server_state gauge\n");
    for (unsigned state = 0; state <= USHER_STATE_CLOSED; state++)
        fprintf(out, "usher_http_server_state{state=\"%s\"} %d\n", sdk_state_name((usher_state)state),
                bridge->state == (usher_state)state);
    fprintf(out, "# HELP usher_http_server_state_changes_total How often it came to that state.\n"
                 "# TYPE usher_http_server_state_changes_total counter\n");
    for (unsigned state = 0; state <= USHER_STATE_CLOSED; state++)
        fprintf(out, "usher_http_server_state_changes_total{state=\"%s\"} %" PRIu64 "\n",
                sdk_state_name((usher_state)state), bridge->state_count[state]);
    fclose(out);
    http_respond(exchange, &(struct http_response){.status = 200,
                                                   .content_type = "text/plain; version=0.0.4; charset=utf-8",
                                                   .body = text,
                                                   .size = size});
    free(text);
}

const struct http_route operations_routes[] = {
    {HTTP_METHOD_GET, "/livez", answer_live, HTTP_ROUTE_FREE | HTTP_ROUTE_NO_CORS},
    {HTTP_METHOD_GET, "/readyz", answer_ready, HTTP_ROUTE_FREE | HTTP_ROUTE_NO_CORS},
    {HTTP_METHOD_GET, "/metrics", answer_metrics, HTTP_ROUTE_FREE | HTTP_ROUTE_NO_CORS},
};
const size_t operations_route_count = sizeof operations_routes / sizeof *operations_routes;
