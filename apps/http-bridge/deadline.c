/* deadline.c: how long each state of a connection may last.
 *
 * A connection has one timer, which is set to the earliest of what may end it and looks again when it goes off: most of
 * what it waits for comes, and moves the moment, long before. */
#include "inside.h"

static void
earlier(uint64_t *due_ms, uint64_t moment_ms)
{
    if (*due_ms == 0 || moment_ms < *due_ms)
        *due_ms = moment_ms;
}

static struct http_exchange *
stream_of(const struct connection *connection)
{
    struct http_exchange *first = TAILQ_FIRST(&connection->exchanges);

    return first != NULL && first->state == EXCHANGE_STREAMING && first->is_sse ? first : NULL;
}

/* How long a request may take from where its reading stands. */
static uint64_t
request_due(const struct connection *connection)
{
    const struct http_limits *limits = &connection->http->limits;

    return connection->request_ms + (connection->reading == READING_HEAD ? limits->head_ms : limits->body_ms);
}

static bool
is_reading_request(const struct connection *connection)
{
    return connection->request_ms != 0 && (connection->scanned > 0 || connection->receiving != NULL);
}

/* The next moment at which something is due; 0: none. */
static uint64_t
next_due(const struct connection *connection)
{
    const struct http_limits *limits = &connection->http->limits;
    uint64_t due_ms = 0;

    if (connection->reading == READING_LINGER)
        return connection->lingering_ms + REFUSED_LINGER_MS;
    if (is_reading_request(connection))
        earlier(&due_ms, request_due(connection));
    else if (TAILQ_EMPTY(&connection->exchanges) && connection_unsent(connection) == 0)
        earlier(&due_ms, connection->idle_ms + limits->idle_ms);
    if (connection_unsent(connection) > 0)
        earlier(&due_ms, connection->progress_ms + limits->write_ms);
    if (stream_of(connection) != NULL)
        earlier(&due_ms, stream_of(connection)->written_ms + limits->stream_comment_ms);
    return due_ms;
}

void
deadline_arm(struct connection *connection)
{
    uint64_t due_ms = next_due(connection), now_ms;

    if (due_ms == 0 || (connection->armed_ms != 0 && connection->armed_ms <= due_ms))
        return; /* it goes off early enough, and then looks again */
    now_ms = http_now_ms(connection->http);
    uint64_t left_ms = due_ms > now_ms ? due_ms - now_ms : 0;
    const struct timeval after = {.tv_sec = (time_t)(left_ms / 1000), .tv_usec = (suseconds_t)(left_ms % 1000 * 1000)};
    connection->armed_ms = due_ms;
    evtimer_add(&connection->timer, &after);
}

/* A request that does not come: the client is told, if nothing else is due to it before. */
static void
give_up_request(struct connection *connection)
{
    struct http_exchange *exchange = connection->receiving;
    bool is_head = connection->reading == READING_HEAD;

    connection->http->timed_out++;
    connection_refuse(connection, exchange, 408,
                      is_head ? "the head of the request did not come in time" : "the body did not come in time");
    connection_turn(connection);
}

void
deadline_due(evutil_socket_t descriptor, short what, void *context)
{
    struct connection *connection = context;
    const struct http_limits *limits = &connection->http->limits;
    uint64_t now_ms = http_now_ms(connection->http);
    struct http_exchange *stream = stream_of(connection);
    bool is_stuck = connection_unsent(connection) > 0 && connection->progress_ms + limits->write_ms <= now_ms;
    bool is_idle = !is_reading_request(connection) && TAILQ_EMPTY(&connection->exchanges) &&
                   connection_unsent(connection) == 0 && connection->idle_ms + limits->idle_ms <= now_ms;

    (void)descriptor;
    (void)what;
    connection->armed_ms = 0;
    if (connection->reading == READING_LINGER ? next_due(connection) <= now_ms : is_stuck || is_idle) {
        connection_close(connection);
        return;
    }
    if (connection->reading != READING_LINGER && is_reading_request(connection) && request_due(connection) <= now_ms) {
        give_up_request(connection);
        return;
    }
    if (stream != NULL && stream->written_ms + limits->stream_comment_ms <= now_ms) {
        stream->written_ms = now_ms;
        http_stream_write(stream, ":\n\n", 3);
    }
    deadline_arm(connection);
}
