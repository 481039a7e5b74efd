/* inside.h: what the files of the HTTP layer share; http.h is what others see.
 *
 *   listen.c       the server, its listeners, drain and end      respond.c   heads and bodies of answers, problems
 *   connection.c   bytes of one client to requests, in turns     stream.c    answers that go on
 *   deadline.c     how long each of its states may last          routes.c    which row answers
 *   exchange.c     one request, from its head to its end         client.c    who asks: address, rate, connections
 *   request.c      what a request's head says                    measure.c   counts, and their text for Prometheus
 *   strict.c parser.c target.c   pure: bytes in, parts out */
#ifndef INSIDE_H
#define INSIDE_H

#include <netinet/in.h>
#include <sys/queue.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "http.h"
#include "parser.h"
#include "target.h"

#define REFUSED_LINGER_MS                                                                                              \
    2000 /* after a refusal: time for the client to read it before what it sends meets a reset                         \
          */
#define REFUSED_LINGER_BYTES 1048576 /* and how much of what it sends on is thrown away */
#define UNSENT_PAUSES_READING                                                                                          \
    262144 /* bytes of answers that a client has not read: no further request is looked at                             \
            */

/* --- counts ------------------------------------------------------------------------------------------------- */
enum status_index {
#define HTTP_STATUS(number, phrase) STATUS_INDEX_##number,
#include "statuses.def"
    STATUS_INDEX_GONE, /* the client left before its answer: 499 in the log */
    STATUS_COUNT,
};
enum status_index status_index_of(unsigned status);
const char *status_phrase(unsigned status); /* NULL for none of statuses.def */

#define LATENCY_BUCKETS 12
struct route_counts {
    uint64_t status[STATUS_COUNT];
    uint64_t latency[LATENCY_BUCKETS + 1]; /* the last one is what is slower than every bound */
    uint64_t latency_us;
};

/* --- the server ------------------------------------------------------------------------------------------------ */
struct route_segment {
    const char *text; /* in the pattern */
    size_t size;
    bool is_parameter, is_rest;
};
struct route_row {
    const struct http_route *route;
    struct route_segment segment[TARGET_SEGMENTS_MOST];
    size_t segment_count;
    struct route_counts counts;
};

struct listener {
    TAILQ_ENTRY(listener) link;
    struct http *http;
    struct evconnlistener *socket;
    struct route_row *row;
    size_t row_count;
    struct route_counts other; /* no row: unknown paths, and what was refused before a row was looked for */
    void *context;
    char address[64]; /* with the port that it got */
    uint64_t connection_count, accepted, turned_away;
    struct event *retry; /* accepting again, after the system had no descriptor */
};

TAILQ_HEAD(connection_list, connection);
TAILQ_HEAD(exchange_list, http_exchange);

struct http {
    struct event_base *base;
    struct http_limits limits;
    TAILQ_HEAD(, listener) listeners;
    struct connection_list connections;
    struct connection_list work; /* with a turn to come */
    struct exchange_list told;   /* with something to be told */
    size_t told_count;
    struct event *work_event;
    struct evbuffer *scratch; /* what one connection sends in one turn; empty between turns */
    struct clients *clients;
    uint64_t memory; /* bytes of bodies and unsent answers */
    uint64_t exchange_count, stream_count;
    uint64_t refused, limited, timed_out;
    bool draining;
    void (*on_drained)(void *context);
    void *drained_context;
    time_t date_second;
    char date[32];
    http_access_callback *on_access;
    void *access_context;
};

/* Let the connection have a turn from the loop; as often as one likes. */
void http_schedule(struct http *http, struct connection *connection);
/* Tell the exchange's handler from the loop. */
void http_tell(struct http_exchange *exchange, unsigned notice);
/* Called when a connection or an exchange has ended: perhaps the drain is complete. */
void http_look_at_drain(struct http *http);
/* For the Date header. */
const char *http_date(struct http *http);

/* --- one connection ----------------------------------------------------------------------------------------------- */
enum reading {
    READING_HEAD,
    READING_LENGTH, /* of a body with Content-Length */
    READING_CHUNKS,
    READING_NOTHING, /* no request is taken any more */
    READING_LINGER,  /* what comes is thrown away until the client closes */
};

/* Who a client is: its address in IPv6 form, or its network of 64 bits where it has one. */
struct client_key {
    uint8_t byte[16];
};

struct connection {
    TAILQ_ENTRY(connection) link;
    TAILQ_ENTRY(connection) work_link;
    bool has_work;
    struct http *http;
    struct listener *listener;
    struct bufferevent *bufferevent;
    evutil_socket_t descriptor;
    char peer[INET6_ADDRSTRLEN];
    struct client_key peer_key;
    bool peer_is_loopback, peer_is_counted;

    struct exchange_list exchanges; /* in the order of their requests; answers leave from its front */
    unsigned exchange_count;

    enum reading reading;
    struct strict strict;
    size_t scanned; /* bytes of the input that strict has seen, of a head that is not whole */
    struct parser *parser;
    struct http_exchange *receiving; /* whose body is being read; the last of the exchanges */

    bool in_turn;
    bool closing;     /* once everything is sent */
    bool refused;     /* linger before the close */
    bool half_closed; /* the client sends no more */

    uint64_t request_ms;  /* when the head that is not whole began, or its body; 0: neither */
    uint64_t idle_ms;     /* since when nothing is asked and nothing is due */
    uint64_t progress_ms; /* when the client last read something, or began to have something to read */
    uint64_t lingering_ms;
    size_t lingered;
    uint64_t armed_ms; /* when the timer goes off; 0: it does not */
    struct event timer;
};

void connection_open(struct listener *listener, evutil_socket_t descriptor, const struct sockaddr *address);
/* A turn: read requests as far as may be, send what is ready, close when that is due. May free the connection. */
void connection_turn(struct connection *connection);
/* Send what is ready. Never frees the connection. */
void connection_flush(struct connection *connection);
/* Cut and free: handlers that have an exchange of it are told. */
void connection_close(struct connection *connection);
/* Answer a request that can't be one, or will not come, and read no other: nobody knows where the next would begin.
 * exchange: the one that had begun, or NULL. */
void connection_refuse(struct connection *connection, struct http_exchange *exchange, unsigned status, const char *why);
/* No further request after those that have begun. */
void connection_drain(struct connection *connection);
size_t connection_unsent(const struct connection *connection);
/* deadline.c: set the timer by what the connection waits for; and what the timer calls. */
void deadline_arm(struct connection *connection);
void deadline_due(evutil_socket_t descriptor, short what, void *connection);

/* --- one exchange ----------------------------------------------------------------------------------------------------
 */
enum exchange_state {
    EXCHANGE_RECEIVING,
    EXCHANGE_HANDLING,
    EXCHANGE_STREAMING,
    EXCHANGE_ENDED, /* the whole answer is in output */
};
enum exchange_notice { NOTICE_DRAIN = 1, NOTICE_GONE = 2, NOTICE_ROOM = 4 };

struct memory_block {
    struct memory_block *next;
    max_align_t bytes[];
};

struct http_exchange {
    TAILQ_ENTRY(http_exchange) link;      /* of the connection */
    TAILQ_ENTRY(http_exchange) told_link; /* of http->told */
    struct http *http;
    struct listener *listener;
    struct connection *connection; /* NULL: the client is gone */
    enum exchange_state state;
    unsigned notices; /* that are to be told */
    bool is_told;     /* stands in http->told */
    bool drain_told, gone_told;

    /* the request */
    enum http_method method;
    unsigned minor;
    bool keep_alive, wants_continue, has_request;
    char *head; /* fields with NUL behind name and value */
    unsigned field_count;
    const char *name[STRICT_FIELDS_MOST], *value[STRICT_FIELDS_MOST];
    struct target target;
    struct route_row *row; /* NULL: none */
    bool path_is_known;
    char *body;
    size_t body_size, body_room;
    uint64_t length; /* of a body with Content-Length: how much is still to come */
    const char *client;
    struct client_key client_key;
    bool client_is_loopback;
    const char *traceparent;
    uint64_t began_ms, began_us;
    size_t bytes_in;

    /* the answer */
    struct evbuffer *headers; /* that the handler added */
    struct evbuffer *output;
    unsigned status;
    bool close, is_sse, in_chunks;
    bool is_mute; /* a stream of which nothing but the head is sent */
    uint64_t bytes_out;
    uint64_t written_ms;
    bool rate_known;
    uint64_t rate_left, rate_reset_s;

    struct memory_block *blocks;
    http_end_callback *on_end;
    void *end_context;
    http_room_callback *on_room;
    void *room_context;
};

struct http_exchange *exchange_open(struct connection *connection);
/* The head is there, and begins with a method: false when it is none of methods.def. */
bool request_read_method(struct http_exchange *exchange, const char *head);
/* Read the rest of it, size bytes in all, and how its body comes. Returns 0, or the status of a refusal with why. */
unsigned request_read(struct http_exchange *exchange, const char *head, size_t size, struct parser_head *parsed,
                      const char **why);
/* More of its body. False: no room. */
bool exchange_add_body(struct http_exchange *exchange, const char *bytes, size_t size);
bool exchange_reserve_body(struct http_exchange *exchange, size_t size);
/* The request is whole: give it to its handler, or answer it here. */
void exchange_dispatch(struct http_exchange *exchange);
/* Answer what can't be a request, and close. */
void exchange_refuse(struct http_exchange *exchange, unsigned status, const char *why);
/* The handler has ended it: send when its turn has come, or let it go when nobody is there. */
void exchange_end(struct http_exchange *exchange);
/* Its connection is gone. Frees it, or leaves it to its handler. */
void exchange_orphan(struct http_exchange *exchange);
/* Count, log and free. */
void exchange_finish(struct http_exchange *exchange);
/* The buffer of its answer. */
struct evbuffer *exchange_output(struct http_exchange *exchange);
/* A buffer whose bytes count in http->memory; and its end. */
struct evbuffer *buffer_open(struct http *http);
void buffer_close(struct http *http, struct evbuffer *buffer);

/* --- routes.c --- */
bool routes_compile(struct listener *listener, const struct http_route *routes, size_t count, char *why,
                    size_t why_size);
/* Find the row of the exchange's method and path; path_is_known says whether another method has one. */
void routes_find(struct http_exchange *exchange);
/* "GET, HEAD, OPTIONS": what the path has. */
void routes_allowed(const struct http_exchange *exchange, char *text, size_t size);

/* --- respond.c --- */
/* Whether the answer is one of these that have no body. */
bool respond_has_no_body(unsigned status);
#define RESPOND_PROBLEM_SIZE 512
size_t respond_problem(char json[RESPOND_PROBLEM_SIZE], unsigned status, const char *detail);
/* Status line and headers into the exchange's output; length < 0: a stream. */
void respond_head(struct http_exchange *exchange, const char *content_type, int64_t length);

/* --- client.c --- */
struct clients *clients_open(const struct http_limits *limits);
void clients_close(struct clients *clients);
void client_read_peer(const struct sockaddr *address, char text[INET6_ADDRSTRLEN], struct client_key *key,
                      bool *is_loopback);
/* Count a connection of this peer; false: it has as many as it may. */
bool client_enter(struct http *http, struct connection *connection);
void client_leave(struct http *http, struct connection *connection);
/* Who stands behind the request: the peer, or whom a believed proxy names. */
void client_find(struct http_exchange *exchange);
/* Take one request from the client's rate; false: none is left. */
bool client_take(struct http_exchange *exchange);
/* A number for the log that says who is the same, and not who it is (X8). */
uint32_t client_alias(const struct http_exchange *exchange);
/* Whether an origin is one of those listed. */
bool client_origin_is_listed(const struct http *http, const char *origin);

/* --- measure.c --- */
void measure_exchange(struct http_exchange *exchange);
uint64_t measure_us(void);

#endif
