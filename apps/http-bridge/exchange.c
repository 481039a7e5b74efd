/* exchange.c: one request and its answer, from the end of its head to the line in the log. http.h draws its life. */
#include "inside.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* --- buffers that count ------------------------------------------------------------------------------------------ */
static void
count(struct evbuffer *buffer, const struct evbuffer_cb_info *change, void *context)
{
    struct http *http = context;

    (void)buffer;
    http->memory += change->n_added;
    http->memory -= change->n_deleted;
}

struct evbuffer *
buffer_open(struct http *http)
{
    struct evbuffer *buffer = evbuffer_new();

    assert(buffer != NULL);
    evbuffer_add_cb(buffer, count, http);
    return buffer;
}

void
buffer_close(struct http *http, struct evbuffer *buffer)
{
    if (buffer == NULL)
        return;
    http->memory -= evbuffer_get_length(buffer);
    evbuffer_free(buffer);
}

struct evbuffer *
exchange_output(struct http_exchange *exchange)
{
    if (exchange->output == NULL)
        exchange->output = buffer_open(exchange->http);
    return exchange->output;
}

/* --- beginning and end ----------------------------------------------------------------------------------------------
 */
struct http_exchange *
exchange_open(struct connection *connection)
{
    struct http_exchange *exchange = calloc(1, sizeof *exchange);

    assert(exchange != NULL);
    exchange->http = connection->http;
    exchange->listener = connection->listener;
    exchange->connection = connection;
    exchange->client = connection->peer;
    exchange->client_key = connection->peer_key;
    exchange->client_is_loopback = connection->peer_is_loopback;
    exchange->began_us = measure_us();
    exchange->began_ms = exchange->began_us / 1000;
    exchange->http->exchange_count++;
    return exchange;
}

static void
free_request(struct http_exchange *exchange)
{
    exchange->http->memory -= exchange->body_room;
    free(exchange->body);
    free(exchange->head);
    exchange->body = NULL;
    exchange->body_room = 0;
}

void
exchange_finish(struct http_exchange *exchange)
{
    struct http *http = exchange->http;

    assert(exchange->state != EXCHANGE_HANDLING);
    measure_exchange(exchange);
    if (exchange->is_told) {
        TAILQ_REMOVE(&http->told, exchange, told_link);
        http->told_count--;
    }
    free_request(exchange);
    buffer_close(http, exchange->headers);
    buffer_close(http, exchange->output);
    while (exchange->blocks != NULL) {
        struct memory_block *block = exchange->blocks;
        exchange->blocks = block->next;
        free(block);
    }
    free(exchange);
    http->exchange_count--;
    if (http->draining)
        event_active(http->work_event, EV_TIMEOUT, 0);
}

void
exchange_orphan(struct http_exchange *exchange)
{
    exchange->connection = NULL;
    exchange->client = "";
    if (exchange->state == EXCHANGE_HANDLING || exchange->state == EXCHANGE_STREAMING) {
        /* The handler's still. What was to be sent is of no use to anybody. */
        buffer_close(exchange->http, exchange->output);
        exchange->output = NULL;
        http_tell(exchange, NOTICE_GONE);
        return;
    }
    exchange_finish(exchange);
}

void
exchange_end(struct http_exchange *exchange)
{
    struct connection *connection = exchange->connection;

    if (exchange->state == EXCHANGE_STREAMING)
        exchange->http->stream_count--;
    exchange->state = EXCHANGE_ENDED;
    exchange->on_end = NULL;
    exchange->on_room = NULL;
    if (connection == NULL) {
        exchange_finish(exchange);
        return;
    }
    if (connection->in_turn)
        return; /* the turn sends it */
    connection_flush(connection);
    http_schedule(connection->http, connection);
}

/* --- the body
 * ---------------------------------------------------------------------------------------------------------- */
/* Room for size bytes and a NUL. */
bool
exchange_reserve_body(struct http_exchange *exchange, size_t size)
{
    struct http *http = exchange->http;
    char *body;

    if (http->memory - exchange->body_room + size + 1 > http->limits.memory_max)
        return false;
    body = realloc(exchange->body, size + 1);
    if (body == NULL)
        return false;
    http->memory = http->memory - exchange->body_room + size + 1;
    exchange->body = body;
    exchange->body_room = size + 1;
    return true;
}

bool
exchange_add_body(struct http_exchange *exchange, const char *bytes, size_t size)
{
    size_t whole = exchange->body_size + size;

    if (whole + 1 > exchange->body_room && !exchange_reserve_body(exchange, whole * 2))
        return false;
    memcpy(exchange->body + exchange->body_size, bytes, size);
    exchange->body_size = whole;
    exchange->body[whole] = '\0';
    return true;
}

/* --- to the handler -------------------------------------------------------------------------------------------------
 */
/* OPTIONS is answered here for every path that there is: what it takes, and for another origin what a page of it may
 * ask. */
static void
answer_options(struct http_exchange *exchange, const char *allowed)
{
    const char *origin = http_header(exchange, "origin");

    http_add_header(exchange, "Allow", allowed);
    if (origin != NULL && http_header(exchange, "access-control-request-method") != NULL &&
        client_origin_is_listed(exchange->http, origin)) {
        http_add_header(exchange, "Access-Control-Allow-Methods", allowed);
        http_add_header(exchange, "Access-Control-Allow-Headers",
                        "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Shop-Assertion, "
                        "traceparent");
        http_add_header(exchange, "Access-Control-Max-Age", "600");
    }
    http_respond(exchange, &(struct http_response){.status = 204});
}

/* What no handler sees. */
static void
answer_unrouted(struct http_exchange *exchange)
{
    char allowed[128];

    if (!exchange->path_is_known && !exchange->target.is_server) {
        http_problem(exchange, 404, "there is nothing here");
        return;
    }
    routes_allowed(exchange, allowed, sizeof allowed);
    if (exchange->method == HTTP_METHOD_OPTIONS) {
        answer_options(exchange, allowed);
        return;
    }
    http_add_header(exchange, "Allow", allowed);
    http_problem(exchange, 405, "this resource does not take this method; Allow lists those that it takes");
}

void
exchange_dispatch(struct http_exchange *exchange)
{
    struct http *http = exchange->http;

    exchange->state = EXCHANGE_HANDLING;
    if (exchange->traceparent != NULL)
        http_add_header(exchange, "traceparent", exchange->traceparent);
    if (!client_take(exchange)) {
        http->limited++;
        http_add_header_number(exchange, "Retry-After", exchange->rate_reset_s);
        http_problem(exchange, 429,
                     "too many requests from this address; Retry-After says in how many seconds it may go on");
    } else if (http->memory > http->limits.memory_max) {
        http_add_header(exchange, "Retry-After", "1");
        http_problem(exchange, 503, "there is no memory for more requests now");
    } else if (exchange->row == NULL) {
        answer_unrouted(exchange);
    } else {
        exchange->row->route->handler(exchange);
    }
}

void
exchange_refuse(struct http_exchange *exchange, unsigned status, const char *why)
{
    exchange->state = EXCHANGE_HANDLING;
    exchange->close = true;
    if (status == 503)
        http_add_header(exchange, "Retry-After", "1");
    http_problem(exchange, status, why);
}

/* --- what a handler may do with it
 * ------------------------------------------------------------------------------------ */
void *
http_memory(struct http_exchange *exchange, size_t size)
{
    struct memory_block *block = calloc(1, sizeof *block + size);

    assert(block != NULL);
    block->next = exchange->blocks;
    exchange->blocks = block;
    return block->bytes;
}

bool
http_is_gone(const struct http_exchange *exchange)
{
    return exchange->connection == NULL;
}

void
http_on_end(struct http_exchange *exchange, http_end_callback *callback, void *context)
{
    exchange->on_end = callback;
    exchange->end_context = context;
    if (callback == NULL)
        return;
    if (exchange->http->draining && !exchange->drain_told)
        http_tell(exchange, NOTICE_DRAIN);
    if (exchange->connection == NULL && !exchange->gone_told)
        http_tell(exchange, NOTICE_GONE);
}

void *
http_context(const struct http_exchange *exchange)
{
    return exchange->listener->context;
}

struct http *
http_server(const struct http_exchange *exchange)
{
    return exchange->http;
}
