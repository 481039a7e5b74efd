/* stream.c: answers that go on: a head, pieces as they come, an end. See http.h for what a handler may rely on. */
#include "inside.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Bytes that the client has not read: what waits for the exchange's turn, and behind it what the connection has. */
static size_t
unsent(const struct http_exchange *exchange)
{
    size_t size = exchange->output == NULL ? 0 : evbuffer_get_length(exchange->output);

    if (exchange->connection != NULL && TAILQ_FIRST(&exchange->connection->exchanges) == exchange)
        size += connection_unsent(exchange->connection);
    return size;
}

/* Send it unless a turn is going on, which does so at its end. What did not leave needs a deadline, which a turn sets.
 */
static void
send_soon(struct http_exchange *exchange)
{
    struct connection *connection = exchange->connection;

    if (connection->in_turn)
        return;
    connection_flush(connection);
    if (connection_unsent(connection) > 0)
        http_schedule(connection->http, connection);
}

/* There are as many streams as may be: a head and a body that say so. */
static void
refuse_stream(struct http_exchange *exchange)
{
    char json[RESPOND_PROBLEM_SIZE];
    size_t size = respond_problem(json, 503, "there are too many streams now");

    exchange->status = 503;
    exchange->is_sse = false;
    http_add_header(exchange, "Retry-After", "5");
    respond_head(exchange, "application/problem+json", (int64_t)size);
    if (exchange->method != HTTP_METHOD_HEAD)
        evbuffer_add(exchange->output, json, size);
}

bool
http_stream_begin(struct http_exchange *exchange, unsigned status, const char *content_type)
{
    struct connection *connection = exchange->connection;
    struct http *http = exchange->http;

    assert(exchange->state == EXCHANGE_HANDLING);
    exchange->status = status;
    exchange->state = EXCHANGE_STREAMING;
    http->stream_count++;
    exchange->is_mute = connection == NULL || exchange->method == HTTP_METHOD_HEAD;
    if (connection == NULL)
        return false;
    if (http->stream_count > http->limits.streams_max) {
        exchange->is_mute = true;
        refuse_stream(exchange);
        return false;
    }
    /* Nobody knows where an HTTP/1.0 stream ends but by the end of the connection. */
    exchange->in_chunks = exchange->minor > 0;
    if (!exchange->in_chunks) {
        exchange->close = true;
        connection->reading = READING_NOTHING;
    }
    respond_head(exchange, content_type, -1);
    exchange->written_ms = http_now_ms(http);
    if (exchange->is_mute)
        return false;
    if (!connection->in_turn)
        http_schedule(http, connection); /* its turn sets the deadline of the first comment */
    send_soon(exchange);
    return true;
}

size_t
http_stream_room(const struct http_exchange *exchange)
{
    uint64_t most = exchange->http->limits.stream_unsent_max;
    size_t used = unsent(exchange);

    if (exchange->connection == NULL || exchange->state != EXCHANGE_STREAMING || exchange->is_mute || used >= most)
        return 0;
    return (size_t)most - used;
}

bool
http_stream_write(struct http_exchange *exchange, const void *bytes, size_t size)
{
    if (size == 0 || http_stream_room(exchange) < size) /* a chunk of 0 bytes would be the end */
        return size == 0 && !http_is_gone(exchange);
    struct evbuffer *output = exchange_output(exchange);
    if (exchange->in_chunks)
        evbuffer_add_printf(output, "%zx\r\n", size);
    evbuffer_add(output, bytes, size);
    if (exchange->in_chunks)
        evbuffer_add(output, "\r\n", 2);
    exchange->written_ms = http_now_ms(exchange->http);
    send_soon(exchange);
    return true;
}

void
http_on_room(struct http_exchange *exchange, http_room_callback *callback, void *context)
{
    exchange->on_room = callback;
    exchange->room_context = context;
    if (callback != NULL && exchange->connection != NULL &&
        unsent(exchange) <= exchange->http->limits.stream_unsent_max / 2)
        http_tell(exchange, NOTICE_ROOM);
}

void
http_stream_end(struct http_exchange *exchange)
{
    if (exchange->state == EXCHANGE_HANDLING) { /* it had not begun: there must be nobody to miss it */
        assert(exchange->connection == NULL);
    } else {
        assert(exchange->state == EXCHANGE_STREAMING);
        if (exchange->connection != NULL && exchange->in_chunks && !exchange->is_mute)
            evbuffer_add(exchange_output(exchange), "0\r\n\r\n", 5);
    }
    exchange_end(exchange);
}

/* --- server-sent events ---------------------------------------------------------------------------------------------
 */
bool
http_sse_begin(struct http_exchange *exchange)
{
    http_add_header(exchange, "Cache-Control", "no-store");
    exchange->is_sse = true;
    return http_stream_begin(exchange, 200, "text/event-stream");
}

bool
http_sse_send(struct http_exchange *exchange, const char *event, const char *id, const char *data)
{
    struct evbuffer *text = evbuffer_new();
    bool is_taken;
    size_t size;

    assert(text != NULL);
    if (event != NULL)
        evbuffer_add_printf(text, "event: %s\n", event);
    if (id != NULL)
        evbuffer_add_printf(text, "id: %s\n", id);
    do {
        size = strcspn(data, "\n");
        evbuffer_add_printf(text, "data: %.*s\n", (int)size, data);
        data += size;
    } while (*data++ == '\n');
    evbuffer_add(text, "\n", 1);
    size = evbuffer_get_length(text);
    is_taken = http_stream_write(exchange, evbuffer_pullup(text, -1), size);
    evbuffer_free(text);
    return is_taken;
}
