/* http.h: HTTP/1.1 in a loop of libevent: requests in, answers and streams out. It knows nothing of Usher.
 *
 *     static const struct http_route routes[] = {
 *         {HTTP_METHOD_GET, "/v1/concerts/{concertId}/dates", list_dates, 0},
 *     };
 *     struct http *http = http_open(base, &limits);
 *     http_listen(http, "127.0.0.1:7480", routes, 1, bridge, why, sizeof why);
 *     event_base_dispatch(base);
 *     http_close(http);
 *
 * One thread. Every function here is called on the loop's thread, from handlers, from callbacks of the SDK's handles
 * that live in the same loop (usher_libevent.h), from timers, or before the loop runs. Nothing here blocks.
 *
 * An exchange is one request and its answer. Its life, whatever the client does meanwhile:
 *
 *       request whole            http_respond(), or
 *     and well-formed            http_stream_begin() ... http_stream_end()
 *    ----------------> [handler's] -----------------------------------> [the layer's] ---> logged, counted, freed
 *
 *   - The handler is called once. From then on the exchange is the handler's, and its pointer stays good, until the
 *     handler ends it with exactly one of http_respond(), http_problem() and http_stream_end(): at once, or later from
 * a callback. After that call it must not be touched. There is no other end, and none is made up by the layer: a
 * handler that forgets leaks, and http_close() asserts that none did. So whoever submits an SDK call with the exchange
 * as its context may rely on it in the completion, which always comes.
 *   - The client may leave before that. Nothing changes for the handler: every function stays safe, and what it answers
 * is thrown away. To learn of it early, for instance to end a subscription, ask http_is_gone() or use http_on_end().
 *   - Requests that a client sends before it has the answer to the first (pipelining) are handled at the same time, up
 * to limits.pipeline_max. Their answers leave in the order of the requests, in whatever order handlers finish.
 *
 * What a handler never sees, because the layer has answered and closed: whatever strict.h and target.h refuse, a body
 * over its limit, a method that the path has not (405 with Allow), a path that no route has (404), OPTIONS, a client
 * over its rate (429). HEAD reaches the handler of GET, and the layer leaves the body out. */
#ifndef HTTP_H
#define HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct event_base;
struct http;
struct http_exchange;

/* --- limits: every bound of the layer, as rows -------------------------------------------------------------- */
struct http_limits {
#define HTTP_LIMIT(name, usual, least, most, unit, help) uint64_t name;
#include "limits.def"
    const char *cors_origins; /* "https://a.example,https://b.example"; "": CORS is off */
    const char *proxies;      /* numeric addresses whose X-Forwarded-For is believed, commas between; "": none */
    bool limit_loopback;      /* clients on this machine are held to the limits of one client as well */
};
/* Every limit at its usual value. */
void http_limits_usual(struct http_limits *limits);

/* --- methods and routes --------------------------------------------------------------------------------------- */
enum http_method {
#define HTTP_METHOD(NAME) HTTP_METHOD_##NAME,
#include "methods.def"
};

typedef void http_handler(struct http_exchange *exchange);

enum http_route_flag {
    HTTP_ROUTE_LARGE = 1,  /* the body may have body_large_max bytes instead of body_max */
    HTTP_ROUTE_FREE = 2,   /* does not count against the client's rate */
    HTTP_ROUTE_NO_CORS = 4 /* never answers another origin */
};

/* A row: pattern is a path whose segments are text or {name}; "/files/{path*}" as the last one takes all that follows,
 * with its slashes. Rows are tried in order of the table, so a row with text stands before one with a {name} in that
 * place. Both live as long as the listener. */
struct http_route {
    enum http_method method;
    const char *pattern;
    http_handler *handler;
    unsigned flags;
};

/* --- a server -------------------------------------------------------------------------------------------------- */
/* NULL when there is no memory. */
struct http *http_open(struct event_base *base, const struct http_limits *limits);

/* Listen on "host:port" (numeric; IPv6 as "[::1]:80"; port 0 lets the system choose) with these routes; context is what
 * http_context() gives to their handlers. Any number of listeners. Returns the port, or 0: why gets one line. */
uint16_t http_listen(struct http *http, const char *address, const struct http_route *routes, size_t route_count,
                     void *context, char *why, size_t why_size);

/* Begin to stop: no new connections, idle ones are closed, what is in flight is answered with `Connection: close`.
 * Streams and everybody who called http_on_end() are told HTTP_END_DRAIN. on_drained is called once when the last
 * connection has gone, from the loop. */
void http_drain(struct http *http, void (*on_drained)(void *context), void *context);
bool http_is_draining(const struct http *http);

/* Cut every connection that is left; handlers that still have an exchange are told HTTP_END_GONE and end it when their
 * callbacks come. */
void http_cut(struct http *http);

/* Free everything. Connections are cut; no handler may have an exchange any more (assertion): close the SDK's handles
 * between http_cut() and this, for that brings all their completions. NULL is welcome. */
void http_close(struct http *http);

/* --- the request ------------------------------------------------------------------------------------------------
 * Texts are UTF-8 with NUL at their end and none within, percent-decoded where they come from the target, and live as
 * long as the exchange is the handler's. */
enum http_method http_method(const struct http_exchange *exchange); /* HEAD too, though the handler is GET's */
/* "/v1/concerts/1/dates", decoded; for messages. Routing has looked at segments before they were decoded, so that "%2F"
 * never divides. */
const char *http_path(const struct http_exchange *exchange);
/* The pattern of the row that was found. */
const char *http_pattern(const struct http_exchange *exchange);
/* What stands in the place of {name}. The row must have it (assertion). Never "". */
const char *http_parameter(const struct http_exchange *exchange, const char *name);
/* A query parameter, or NULL. A name that stands twice has been refused with 400, as have more than HTTP_QUERY_MOST.
 * "a" and "a=" are "". "+" is a space, as forms write it. */
const char *http_query(const struct http_exchange *exchange, const char *name);
/* The i-th of them in their order, false past the last: for handlers that refuse what they don't know. */
bool http_query_at(const struct http_exchange *exchange, size_t i, const char **name, const char **value);
#define HTTP_QUERY_MOST 32

/* A header by its name in any case, or NULL; without spaces around it. Fields that stand more than once are joined with
 * ", ", except those that may not be repeated (Authorization, Content-Type, Content-Length, Host, Idempotency-Key,
 * If-None-Match, Last-Event-ID, Origin, traceparent), which were refused with 400. */
const char *http_header(const struct http_exchange *exchange, const char *name);

/* The whole body, size bytes and a NUL behind them; "" and 0 for none. Transfer-Encoding is undone. */
const char *http_body(const struct http_exchange *exchange, size_t *size);
/* Whether Content-Type is this one ("application/json"), parameters aside; false when there is none. */
bool http_content_is(const struct http_exchange *exchange, const char *media_type);

/* Who asks: the address as text without port (the peer, or what a believed proxy says), and whether that is this
 * machine. Not for the log (X8). */
const char *http_client(const struct http_exchange *exchange);
bool http_client_is_loopback(const struct http_exchange *exchange);
/* The traceparent of the request when it is well-formed (W3C, version 00), else NULL. It is in the log and in the
 * answer by itself. */
const char *http_traceparent(const struct http_exchange *exchange);
/* The listener's context, and the server. */
void *http_context(const struct http_exchange *exchange);
struct http *http_server(const struct http_exchange *exchange);
/* Milliseconds of the monotonic clock since an arbitrary moment, as the loop's turn began. */
uint64_t http_now_ms(const struct http *http);

/* --- the answer, in one go ---------------------------------------------------------------------------------------- */
/* Zeroed memory that lives as long as the exchange is the handler's and is freed with it: a handler's own state between
 * its calls. Never NULL: a process without memory ends, by assertion. */
void *http_memory(struct http_exchange *exchange, size_t size);

/* A header of the answer; copied. Before http_respond() or http_stream_begin(). Content-Length, Transfer-Encoding,
 * Connection, Date, traceparent, RateLimit*, Access-Control-* and X-Content-Type-Options are the layer's and must not
 * be added; a value has no control characters (assertion). */
void http_add_header(struct http_exchange *exchange, const char *name, const char *value);
void http_add_header_number(struct http_exchange *exchange, const char *name, uint64_t value);

struct http_response {
    unsigned status;          /* a row of statuses.def, 200 and up */
    const char *content_type; /* NULL: none, as for 204 and 304 */
    const void *body;
    size_t size;
    bool body_lasts; /* the body outlives the server (embedded files): it is not copied */
};

/* Answer and end the exchange: don't touch it afterwards. Everything is copied. 204 and 304 are sent without a body and
 * whatever size says of one; so is every answer to HEAD, with the Content-Length of the body. */
void http_respond(struct http_exchange *exchange, const struct http_response *response);
/* http_respond() with JSON text: "application/json". */
void http_respond_json(struct http_exchange *exchange, unsigned status, const char *json, size_t size);
/* http_respond() with application/problem+json: type about:blank, title by the status, and this detail. For an API's
 * own problems use http_respond(). */
void http_problem(struct http_exchange *exchange, unsigned status, const char *detail);

/* --- the client leaves, or the server stops --------------------------------------------------------------------- */
enum http_end {
    HTTP_END_GONE,  /* nobody reads any more: end the exchange when convenient */
    HTTP_END_DRAIN, /* the server stops: who waits for something (long poll) should answer now; streams: say goodbye and
                       end */
};
typedef void http_end_callback(struct http_exchange *exchange, enum http_end why, void *context);

/* Be told, each at most once and from the loop: DRAIN perhaps, then GONE perhaps. The callback may end the exchange.
 * One callback an exchange: a second one takes its place; NULL for none. Told at once (within the next turn of the
 * loop) when it has happened already.
 *
 * A client that has closed its sending side alone, as `nc` does, may still read: while an answer in one go is due that
 * does not count as gone, for a stream it does. */
void http_on_end(struct http_exchange *exchange, http_end_callback *callback, void *context);
bool http_is_gone(const struct http_exchange *exchange);

/* --- the answer, as a stream ----------------------------------------------------------------------------------------
 * Status and headers first, then bytes as they come, then the end. What the client has not read yet is kept, up to
 * limits.stream_unsent_max bytes: a write that would exceed it is refused whole, and it is the handler's choice to wait
 * for room (http_on_room) with only the newest news in hand, or to end the stream. A stream whose client has read
 * nothing for limits.write_ms while something was unsent is gone. Comments keep an idle stream alive
 * (limits.stream_comment_ms). */

/* Begin. False when nobody is there to read (gone, or HEAD, which gets its head): then end the exchange with
 * http_stream_end() and do nothing else. */
bool http_stream_begin(struct http_exchange *exchange, unsigned status, const char *content_type);
/* All of the bytes, or false and none of them: no room, or nobody there. */
bool http_stream_write(struct http_exchange *exchange, const void *bytes, size_t size);
/* How many bytes a write may have now. */
size_t http_stream_room(const struct http_exchange *exchange);
/* Called once, when less than half of the limit is unsent (which may be the case already), from the loop. */
typedef void http_room_callback(struct http_exchange *exchange, void *context);
void http_on_room(struct http_exchange *exchange, http_room_callback *callback, void *context);
/* End the stream and the exchange; also after a begin that was refused, or before any begin when the client is gone. */
void http_stream_end(struct http_exchange *exchange);

/* Server-sent events on it: begin with text/event-stream, Cache-Control: no-store; one event, in one write: event and
 * id may be NULL, data may have several lines. */
bool http_sse_begin(struct http_exchange *exchange);
bool http_sse_send(struct http_exchange *exchange, const char *event, const char *id, const char *data);

/* --- what is worth knowing -------------------------------------------------------------------------------------------
 */
/* One exchange that is over, for an access log: no path and no address, for both say who somebody is (X8). */
struct http_access {
    const char *method;  /* "-" when there was no request */
    const char *pattern; /* of the route; "-" for none */
    unsigned status;     /* 499: the client left before its answer */
    uint64_t bytes_in, bytes_out, duration_us;
    uint32_t client;         /* the same for the same client as long as the process lives, and nothing else */
    const char *traceparent; /* or NULL */
};
typedef void http_access_callback(const struct http_access *access, void *context);
void http_on_access(struct http *http, http_access_callback *callback, void *context);
/* Counters and histograms in the text form of Prometheus. */
void http_write_metrics(const struct http *http, FILE *out);
uint64_t http_connection_count(const struct http *http);

/* --- timers ----------------------------------------------------------------------------------------------------------
 */
struct http_timer;
typedef void http_timer_callback(void *context);
/* Call back once, after this time, from the loop. It frees itself by then; a cancel before that does too (NULL is
 * welcome), so forget the pointer in the callback. */
struct http_timer *http_timer_after(struct http *http, uint64_t ms, http_timer_callback *callback, void *context);
void http_timer_cancel(struct http_timer *timer);

#endif
