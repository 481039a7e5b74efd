/* connection.c: the bytes of one client, to requests and from answers.
 *
 * A connection lives in turns. A turn reads as many requests as it may, hands them out, sends what is ready from the
 * front of the exchanges, and closes when that is due; it begins when bytes have come, when something could be sent, or
 * when a handler's answer has made room for the next request. Only a turn frees a connection, and no handler's call
 * runs a turn.
 *
 * What is ready at the end of a turn leaves in one writev(), straight to the socket; the bufferevent gets what the
 * socket did not take, and everything while it still has something. */
#include "inside.h"

#include <assert.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

size_t
connection_unsent(const struct connection *connection)
{
    return evbuffer_get_length(bufferevent_get_output(connection->bufferevent));
}

/* --- sending ---------------------------------------------------------------------------------------------------- */
/* Move what is ready, in order, into the server's scratch buffer; what is complete ends here. */
static void
gather(struct connection *connection, struct evbuffer *scratch)
{
    struct http_exchange *exchange;

    while ((exchange = TAILQ_FIRST(&connection->exchanges)) != NULL) {
        bool is_last = exchange->state == EXCHANGE_ENDED && exchange->close;
        if (exchange->state == EXCHANGE_RECEIVING && exchange->wants_continue) {
            exchange->wants_continue = false;
            evbuffer_add_printf(scratch, "HTTP/1.1 100 Continue\r\n\r\n");
        }
        if (exchange->output != NULL) {
            exchange->bytes_out += evbuffer_get_length(exchange->output);
            evbuffer_add_buffer(scratch, exchange->output);
        }
        if (exchange->state != EXCHANGE_ENDED)
            break;
        TAILQ_REMOVE(&connection->exchanges, exchange, link);
        connection->exchange_count--;
        exchange_finish(exchange);
        if (is_last) {
            connection->closing = true;
            connection->reading = READING_NOTHING;
        }
    }
}

void
connection_flush(struct connection *connection)
{
    struct evbuffer *scratch = connection->http->scratch;
    uint64_t now_ms = http_now_ms(connection->http);
    size_t was_unsent = connection_unsent(connection);

    gather(connection, scratch);
    if (evbuffer_get_length(scratch) > 0) {
        if (was_unsent == 0)
            evbuffer_write(scratch, connection->descriptor); /* an error is met again by the bufferevent */
        if (was_unsent == 0)
            connection->progress_ms = now_ms;
        if (evbuffer_get_length(scratch) > 0)
            bufferevent_write_buffer(connection->bufferevent, scratch);
    }
    if (TAILQ_EMPTY(&connection->exchanges) && connection->idle_ms == 0)
        connection->idle_ms = now_ms;
}

/* --- a request begins ------------------------------------------------------------------------------------------- */
static struct http_exchange *
begin_exchange(struct connection *connection)
{
    struct http_exchange *exchange = exchange_open(connection);

    TAILQ_INSERT_TAIL(&connection->exchanges, exchange, link);
    connection->exchange_count++;
    connection->idle_ms = 0;
    connection->request_ms = 0;
    connection->receiving = NULL;
    return exchange;
}

/* What can't be a request ends the reading: nobody knows where the next one would begin. */
void
connection_refuse(struct connection *connection, struct http_exchange *exchange, unsigned status, const char *why)
{
    if (exchange == NULL)
        exchange = begin_exchange(connection);
    connection->http->refused++;
    connection->receiving = NULL;
    connection->request_ms = 0;
    connection->refused = true;
    connection->reading = READING_NOTHING;
    exchange_refuse(exchange, status, why);
}

static void
end_request(struct connection *connection, struct http_exchange *exchange)
{
    connection->receiving = NULL;
    connection->request_ms = 0;
    connection->reading = READING_HEAD;
    if (!exchange->keep_alive || connection->http->draining)
        connection->reading = READING_NOTHING;
    if (connection->reading == READING_NOTHING)
        exchange->close = true;
    strict_head_begin(&connection->strict);
    exchange_dispatch(exchange);
}

/* The body comes next, if there is one. */
static void
begin_body(struct connection *connection, struct http_exchange *exchange, const struct parser_head *parsed)
{
    uint64_t most = connection->http->limits.body_max;

    if (exchange->row != NULL && (exchange->row->route->flags & HTTP_ROUTE_LARGE) != 0)
        most = connection->http->limits.body_large_max;
    if (!parsed->chunked && exchange->length == 0) {
        end_request(connection, exchange);
        return;
    }
    if (!parsed->chunked && exchange->length > most) {
        connection_refuse(connection, exchange, 413, "the body is longer than this resource takes");
        return;
    }
    if (!parsed->chunked && !exchange_reserve_body(exchange, (size_t)exchange->length)) {
        connection_refuse(connection, exchange, 503, "there is no room for the body now");
        return;
    }
    connection->receiving = exchange;
    connection->request_ms = http_now_ms(connection->http);
    connection->reading = parsed->chunked ? READING_CHUNKS : READING_LENGTH;
    if (parsed->chunked)
        strict_chunks_begin(&connection->strict, most);
}

static void
begin_request(struct connection *connection, const char *head, size_t size)
{
    struct http_exchange *exchange;
    struct parser_head parsed;
    const char *why = NULL;
    unsigned status;

    exchange = begin_exchange(connection);
    exchange->bytes_in = size;
    if (connection->parser == NULL)
        connection->parser = parser_open();
    assert(connection->parser != NULL);
    if (!request_read_method(exchange, head)) {
        connection_refuse(connection, exchange, 501, "this method is not known here");
        return;
    }
    if (!parser_read_head(connection->parser, head, size, &parsed, &why)) {
        connection_refuse(connection, exchange, 400, why);
        return;
    }
    status = request_read(exchange, head, size, &parsed, &why);
    if (status != 0)
        connection_refuse(connection, exchange, status, why);
    else
        begin_body(connection, exchange, &parsed);
}

/* --- reading ---------------------------------------------------------------------------------------------------- */
/* Each of these takes what it can from the input and says whether it took any. */
static bool
read_head(struct connection *connection, struct evbuffer *input)
{
    size_t length = evbuffer_get_length(input), used;
    enum strict_verdict verdict;
    const char *bytes;
    size_t skip;

    /* Two more, for the empty line that may stand before a request. */
    if (length > STRICT_HEAD_MOST + 2)
        length = STRICT_HEAD_MOST + 2;
    if (length <= connection->scanned)
        return false;
    if (connection->scanned == 0)
        connection->request_ms = http_now_ms(connection->http);
    bytes = (const char *)evbuffer_pullup(input, (ev_ssize_t)length);
    assert(bytes != NULL);
    verdict = strict_head(&connection->strict, bytes + connection->scanned, length - connection->scanned, &used);
    connection->scanned += used;
    if (verdict == STRICT_MORE)
        return false;
    if (verdict == STRICT_REFUSED) {
        connection_refuse(connection, NULL, connection->strict.status, connection->strict.why);
        return true;
    }
    skip = bytes[0] == '\r' ? 2 : 0;
    begin_request(connection, bytes + skip, connection->scanned - skip);
    evbuffer_drain(input, connection->scanned);
    connection->scanned = 0;
    return true;
}

struct body_sink {
    struct http_exchange *exchange;
    bool is_full;
};

static void
add_data(void *context, const char *bytes, size_t size)
{
    struct body_sink *sink = context;

    sink->is_full = sink->is_full || !exchange_add_body(sink->exchange, bytes, size);
}

/* These bytes, which end with the body at the latest, go through the parser. */
static void
parse_body(struct connection *connection, const char *bytes, size_t size, bool is_whole)
{
    struct http_exchange *exchange = connection->receiving;
    struct body_sink sink = {.exchange = exchange};
    enum parser_verdict verdict;
    const char *why;

    verdict = parser_read_body(connection->parser, bytes, size, add_data, &sink, &why);
    exchange->bytes_in += size;
    if (sink.is_full)
        connection_refuse(connection, exchange, 503, "there is no room for the body now");
    else if (verdict == PARSER_REFUSED)
        connection_refuse(connection, exchange, 400, why);
    else if ((verdict == PARSER_DONE) != is_whole) /* two readings of one body: neither is trusted */
        connection_refuse(connection, exchange, 400, "the body does not end where it should");
    else if (is_whole)
        end_request(connection, exchange);
}

static bool
read_length(struct connection *connection, struct evbuffer *input)
{
    struct http_exchange *exchange = connection->receiving;
    size_t length = evbuffer_get_contiguous_space(input);
    const char *bytes = (const char *)evbuffer_pullup(input, (ev_ssize_t)length);

    if (length == 0)
        return false;
    if (length > exchange->length)
        length = (size_t)exchange->length;
    exchange->length -= length;
    exchange->wants_continue = false;
    parse_body(connection, bytes, length, exchange->length == 0);
    evbuffer_drain(input, length);
    return true;
}

static bool
read_chunks(struct connection *connection, struct evbuffer *input)
{
    size_t length = evbuffer_get_contiguous_space(input), used;
    const char *bytes = (const char *)evbuffer_pullup(input, (ev_ssize_t)length);
    enum strict_verdict verdict;

    if (length == 0)
        return false;
    connection->receiving->wants_continue = false;
    verdict = strict_chunks(&connection->strict, bytes, length, &used);
    /* What came before a byte that is refused has its reading too: so it is the same who refuses first, however the
     * bytes come. */
    parse_body(connection, bytes, verdict == STRICT_REFUSED ? used - 1 : used, verdict == STRICT_DONE);
    if (verdict == STRICT_REFUSED && connection->reading == READING_CHUNKS)
        connection_refuse(connection, connection->receiving, connection->strict.status, connection->strict.why);
    evbuffer_drain(input, used);
    return true;
}

static bool
throw_away(struct connection *connection, struct evbuffer *input)
{
    connection->lingered += evbuffer_get_length(input);
    evbuffer_drain(input, evbuffer_get_length(input));
    return false;
}

static bool
read_some(struct connection *connection, struct evbuffer *input)
{
    switch (connection->reading) {
    case READING_HEAD:
        return read_head(connection, input);
    case READING_LENGTH:
        return read_length(connection, input);
    case READING_CHUNKS:
        return read_chunks(connection, input);
    case READING_NOTHING:
    case READING_LINGER:
        break;
    }
    return throw_away(connection, input);
}

/* Whether a further request may be looked at. A stream has the connection for itself, and who does not read answers is
 * asked for no more. */
static bool
may_read(const struct connection *connection)
{
    const struct http_exchange *last = TAILQ_LAST(&connection->exchanges, exchange_list);

    if (connection->reading != READING_HEAD)
        return true;
    return connection->exchange_count < connection->http->limits.pipeline_max &&
           connection_unsent(connection) < UNSENT_PAUSES_READING && (last == NULL || last->state != EXCHANGE_STREAMING);
}

/* --- a turn --------------------------------------------------------------------------------------------------------
 */
/* A client that was refused may still be sending: a close now would meet that with a reset, which could take the
 * refusal away before it is read. */
static void
linger(struct connection *connection)
{
    connection->refused = false;
    connection->reading = READING_LINGER;
    connection->lingering_ms = http_now_ms(connection->http);
    shutdown(connection->descriptor, SHUT_WR);
}

/* Whether the connection is to be closed now. */
static bool
is_over(struct connection *connection)
{
    bool is_quiet = TAILQ_EMPTY(&connection->exchanges) && connection_unsent(connection) == 0;

    if (connection->reading == READING_LINGER)
        return connection->half_closed || connection->lingered > REFUSED_LINGER_BYTES;
    if (!is_quiet)
        return false;
    if (connection->closing && connection->refused && !connection->half_closed) {
        linger(connection);
        return false;
    }
    return connection->closing || connection->half_closed || connection->reading == READING_NOTHING;
}

void
connection_turn(struct connection *connection)
{
    struct evbuffer *input = bufferevent_get_input(connection->bufferevent);

    connection->in_turn = true;
    do {
        while (may_read(connection) && read_some(connection, input))
            ;
        connection_flush(connection);
    } while (connection->reading == READING_HEAD && may_read(connection) &&
             evbuffer_get_length(input) > connection->scanned && connection->scanned < STRICT_HEAD_MOST + 2);
    connection->in_turn = false;
    if (is_over(connection))
        connection_close(connection);
    else
        deadline_arm(connection);
}

/* --- events --------------------------------------------------------------------------------------------------------
 */
static void
on_readable(struct bufferevent *bufferevent, void *context)
{
    (void)bufferevent;
    connection_turn(context);
}

static void
on_written(struct bufferevent *bufferevent, void *context)
{
    struct connection *connection = context;
    struct http_exchange *first = TAILQ_FIRST(&connection->exchanges);

    (void)bufferevent;
    if (first != NULL && first->on_room != NULL &&
        connection_unsent(connection) <= connection->http->limits.stream_unsent_max / 2)
        http_tell(first, NOTICE_ROOM);
    connection_turn(connection);
}

static void
on_output(struct evbuffer *output, const struct evbuffer_cb_info *change, void *context)
{
    struct connection *connection = context;

    (void)output;
    connection->http->memory += change->n_added;
    connection->http->memory -= change->n_deleted;
    if (change->n_deleted > 0)
        connection->progress_ms = http_now_ms(connection->http);
}

static void
on_event(struct bufferevent *bufferevent, short what, void *context)
{
    struct connection *connection = context;
    struct http_exchange *last = TAILQ_LAST(&connection->exchanges, exchange_list);

    (void)bufferevent;
    if ((what & BEV_EVENT_EOF) == 0 || connection->reading == READING_LINGER ||
        (last != NULL && last->state == EXCHANGE_STREAMING)) {
        connection_close(connection);
        return;
    }
    /* It may still read: what was asked whole is answered, what was begun is no request. */
    if (connection->receiving != NULL) {
        TAILQ_REMOVE(&connection->exchanges, connection->receiving, link);
        connection->exchange_count--;
        exchange_orphan(connection->receiving);
        connection->receiving = NULL;
        connection->reading = READING_NOTHING;
    }
    connection->half_closed = true;
    connection_turn(connection);
}

/* --- beginning and end
 * ------------------------------------------------------------------------------------------------ */
void
connection_open(struct listener *listener, evutil_socket_t descriptor, const struct sockaddr *address)
{
    struct http *http = listener->http;
    struct connection *connection = calloc(1, sizeof *connection);
    const int on = 1;

    assert(connection != NULL);
    connection->http = http;
    connection->listener = listener;
    connection->descriptor = descriptor;
    TAILQ_INIT(&connection->exchanges);
    client_read_peer(address, connection->peer, &connection->peer_key, &connection->peer_is_loopback);
    connection->bufferevent = bufferevent_socket_new(http->base, descriptor, BEV_OPT_CLOSE_ON_FREE);
    assert(connection->bufferevent != NULL);
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    evtimer_assign(&connection->timer, http->base, deadline_due, connection);
    TAILQ_INSERT_TAIL(&http->connections, connection, link);
    listener->connection_count++;
    strict_head_begin(&connection->strict);
    connection->idle_ms = http_now_ms(http);
    bufferevent_setcb(connection->bufferevent, on_readable, on_written, on_event, connection);
    bufferevent_setwatermark(connection->bufferevent, EV_READ, 0, 2 * STRICT_HEAD_MOST);
    bufferevent_setwatermark(connection->bufferevent, EV_WRITE, (size_t)http->limits.stream_unsent_max / 2, 0);
    evbuffer_add_cb(bufferevent_get_output(connection->bufferevent), on_output, connection);
    bufferevent_enable(connection->bufferevent, EV_READ | EV_WRITE);
    if (!client_enter(http, connection))
        connection_refuse(connection, NULL, 503, "too many connections from this address");
    connection_turn(connection);
}

void
connection_close(struct connection *connection)
{
    struct http *http = connection->http;
    struct http_exchange *exchange;

    http->memory -= connection_unsent(connection);
    while ((exchange = TAILQ_FIRST(&connection->exchanges)) != NULL) {
        TAILQ_REMOVE(&connection->exchanges, exchange, link);
        exchange_orphan(exchange);
    }
    client_leave(http, connection);
    TAILQ_REMOVE(&http->connections, connection, link);
    if (connection->has_work)
        TAILQ_REMOVE(&http->work, connection, work_link);
    connection->listener->connection_count--;
    event_del(&connection->timer);
    parser_close(connection->parser);
    bufferevent_free(connection->bufferevent);
    free(connection);
    if (http->draining)
        event_active(http->work_event, EV_TIMEOUT, 0);
}

void
connection_drain(struct connection *connection)
{
    struct http_exchange *exchange;
    struct http_exchange *last = TAILQ_LAST(&connection->exchanges, exchange_list);
    bool has_begun = connection->reading == READING_HEAD
                         ? evbuffer_get_length(bufferevent_get_input(connection->bufferevent)) > 0
                         : connection->reading == READING_LENGTH || connection->reading == READING_CHUNKS;

    TAILQ_FOREACH(exchange, &connection->exchanges, link)
    {
        if (exchange->state == EXCHANGE_HANDLING || exchange->state == EXCHANGE_STREAMING)
            http_tell(exchange, NOTICE_DRAIN);
    }
    if (!has_begun && connection->reading == READING_HEAD) {
        connection->reading = READING_NOTHING;
        if (last != NULL)
            last->close = true;
    }
    http_schedule(connection->http, connection);
}
