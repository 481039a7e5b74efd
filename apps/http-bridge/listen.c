/* listen.c: the server: its listeners, the work that waits for the loop, drain and end. See http.h.
 *
 * Nothing is freed, and no handler is called, from within a function that a handler may call: what follows from such a
 * call waits in http->work (connections with a turn to come) and http->told (exchanges whose handler is to be told
 * something) until the loop comes round. */
#include "inside.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/listener.h>

#define BACKLOG         1024
#define ACCEPT_AGAIN_MS 100

void
http_limits_usual(struct http_limits *limits)
{
    *limits = (struct http_limits){
#define HTTP_LIMIT(name, usual, least, most, unit, help) .name = usual,
#include "limits.def"
        .cors_origins = "",
        .proxies = "",
    };
}

uint64_t
http_now_ms(const struct http *http)
{
    (void)http;
    return measure_us() / 1000;
}

const char *
http_date(struct http *http)
{
    time_t now = time(NULL);
    struct tm utc;

    if (now != http->date_second) {
        http->date_second = now;
        gmtime_r(&now, &utc);
        strftime(http->date, sizeof http->date, "%a, %d %b %Y %H:%M:%S GMT", &utc);
    }
    return http->date;
}

/* --- work for the loop ---------------------------------------------------------------------------------------- */
void
http_schedule(struct http *http, struct connection *connection)
{
    if (connection->has_work)
        return;
    connection->has_work = true;
    TAILQ_INSERT_TAIL(&http->work, connection, work_link);
    event_active(http->work_event, EV_TIMEOUT, 0);
}

void
http_tell(struct http_exchange *exchange, unsigned notice)
{
    exchange->notices |= notice;
    if (exchange->is_told)
        return;
    exchange->is_told = true;
    exchange->http->told_count++;
    TAILQ_INSERT_TAIL(&exchange->http->told, exchange, told_link);
    event_active(exchange->http->work_event, EV_TIMEOUT, 0);
}

/* Tell one thing; the exchange may be gone afterwards. */
static void
tell_one(struct http_exchange *exchange)
{
    http_end_callback *on_end = exchange->on_end;
    http_room_callback *on_room = exchange->on_room;

    if ((exchange->notices & NOTICE_DRAIN) != 0) {
        exchange->notices &= ~(unsigned)NOTICE_DRAIN;
        exchange->drain_told = on_end != NULL;
        if (on_end != NULL)
            on_end(exchange, HTTP_END_DRAIN, exchange->end_context);
    } else if ((exchange->notices & NOTICE_GONE) != 0) {
        exchange->notices = 0;
        exchange->gone_told = on_end != NULL;
        if (on_end != NULL)
            on_end(exchange, HTTP_END_GONE, exchange->end_context);
    } else if ((exchange->notices & NOTICE_ROOM) != 0) {
        exchange->notices &= ~(unsigned)NOTICE_ROOM;
        exchange->on_room = NULL;
        if (on_room != NULL)
            on_room(exchange, exchange->room_context);
    }
}

static void
do_work(evutil_socket_t descriptor, short what, void *context)
{
    struct http *http = context;
    struct http_exchange *exchange;
    struct connection *connection;

    (void)descriptor;
    (void)what;
    /* Those that stand there now: what is added meanwhile has its turn when others have had theirs. */
    for (size_t left = http->told_count; left > 0 && (exchange = TAILQ_FIRST(&http->told)) != NULL; left--) {
        http->told_count--;
        TAILQ_REMOVE(&http->told, exchange, told_link);
        exchange->is_told = false;
        if ((exchange->notices & (exchange->notices - 1)) != 0) /* more than this one */
            http_tell(exchange, 0);
        tell_one(exchange);
    }
    while ((connection = TAILQ_FIRST(&http->work)) != NULL) {
        TAILQ_REMOVE(&http->work, connection, work_link);
        connection->has_work = false;
        connection_turn(connection);
    }
    if (!TAILQ_EMPTY(&http->told))
        event_active(http->work_event, EV_TIMEOUT, 0);
    http_look_at_drain(http);
}

/* --- listeners --------------------------------------------------------------------------------------------------- */
/* One more than may be: a short answer, without making a connection of it. */
static void
turn_away(struct listener *listener, evutil_socket_t descriptor)
{
    static const char body[] = "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,"
                               "\"detail\":\"too many connections\"}";
    char answer[512];
    int size = snprintf(answer, sizeof answer,
                        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
                        "Content-Length: %zu\r\nRetry-After: 1\r\nConnection: close\r\n\r\n%s",
                        sizeof body - 1, body);
    ssize_t ignored = send(descriptor, answer, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT);

    (void)ignored; /* who does not get it sees the close */
    listener->turned_away++;
    shutdown(descriptor, SHUT_WR);
    evutil_closesocket(descriptor);
}

static void
on_accept(struct evconnlistener *socket, evutil_socket_t descriptor, struct sockaddr *address, int size, void *context)
{
    struct listener *listener = context;

    (void)socket;
    (void)size;
    listener->accepted++;
    if (listener->connection_count >= listener->http->limits.connections_max)
        turn_away(listener, descriptor);
    else
        connection_open(listener, descriptor, address);
}

static void
accept_again(evutil_socket_t descriptor, short what, void *context)
{
    struct listener *listener = context;

    (void)descriptor;
    (void)what;
    if (!listener->http->draining)
        evconnlistener_enable(listener->socket);
}

/* No descriptor is left, or no memory: asking again at once would only spin. */
static void
on_accept_failed(struct evconnlistener *socket, void *context)
{
    struct listener *listener = context;
    const struct timeval pause = {.tv_usec = ACCEPT_AGAIN_MS * 1000};

    evconnlistener_disable(socket);
    event_add(listener->retry, &pause);
}

/* The address as the system has it, with its port. */
static uint16_t
name_listener(struct listener *listener)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    char host[INET6_ADDRSTRLEN];

    if (getsockname(evconnlistener_get_fd(listener->socket), (struct sockaddr *)&address, &size) != 0)
        return 0;
    if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address;
        inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
        snprintf(listener->address, sizeof listener->address, "[%s]:%u", host, ntohs(six->sin6_port));
        return ntohs(six->sin6_port);
    }
    const struct sockaddr_in *four = (const struct sockaddr_in *)&address;
    inet_ntop(AF_INET, &four->sin_addr, host, sizeof host);
    snprintf(listener->address, sizeof listener->address, "%s:%u", host, ntohs(four->sin_port));
    return ntohs(four->sin_port);
}

static void
close_listener(struct listener *listener)
{
    if (listener->socket != NULL)
        evconnlistener_free(listener->socket);
    if (listener->retry != NULL)
        event_free(listener->retry);
    free(listener->row);
    free(listener);
}

/* "127.0.0.1:80" or "[::1]:80"; NULL: it is neither. freeaddrinfo() it. */
static struct addrinfo *
read_address(const char *address)
{
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    const char *colon = strrchr(address, ':');
    struct addrinfo *found = NULL;
    char host[INET6_ADDRSTRLEN + 2];
    size_t size = colon == NULL ? 0 : (size_t)(colon - address);

    if (size > 1 && address[0] == '[' && address[size - 1] == ']') {
        address++;
        size -= 2;
    }
    if (size == 0 || size >= sizeof host)
        return NULL;
    snprintf(host, sizeof host, "%.*s", (int)size, address);
    return getaddrinfo(host, colon + 1, &hints, &found) == 0 ? found : NULL;
}

static bool
bind_listener(struct listener *listener, const char *address, char *why, size_t why_size)
{
    struct addrinfo *found = read_address(address);

    if (found == NULL) {
        snprintf(why, why_size, "'%s' is not a numeric address and a port, as 127.0.0.1:7480 is", address);
        return false;
    }
    listener->socket = evconnlistener_new_bind(listener->http->base, on_accept, listener,
                                               LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE,
                                               BACKLOG, found->ai_addr, (int)found->ai_addrlen);
    freeaddrinfo(found);
    if (listener->socket == NULL) {
        snprintf(why, why_size, "can't listen on %s: %s", address, strerror(errno));
        return false;
    }
    evconnlistener_set_error_cb(listener->socket, on_accept_failed);
    listener->retry = evtimer_new(listener->http->base, accept_again, listener);
    return listener->retry != NULL;
}

uint16_t
http_listen(struct http *http, const char *address, const struct http_route *routes, size_t route_count, void *context,
            char *why, size_t why_size)
{
    struct listener *listener = calloc(1, sizeof *listener);
    uint16_t port;
    int reason;

    assert(listener != NULL);
    listener->http = http;
    listener->context = context;
    errno = 0;
    if (!routes_compile(listener, routes, route_count, why, why_size) ||
        !bind_listener(listener, address, why, why_size) || (port = name_listener(listener)) == 0) {
        reason = errno;
        close_listener(listener);
        errno = reason;
        return 0;
    }
    TAILQ_INSERT_TAIL(&http->listeners, listener, link);
    return port;
}

/* --- beginning and end ----------------------------------------------------------------------------------------------
 */
struct http *
http_open(struct event_base *base, const struct http_limits *limits)
{
    struct http *http = calloc(1, sizeof *http);

    if (http == NULL)
        return NULL;
    signal(SIGPIPE, SIG_IGN); /* who writes to a client that has gone hears of it by EPIPE */
    http->base = base;
    http->limits = *limits;
    TAILQ_INIT(&http->listeners);
    TAILQ_INIT(&http->connections);
    TAILQ_INIT(&http->work);
    TAILQ_INIT(&http->told);
    http->work_event = event_new(base, -1, EV_PERSIST, do_work, http);
    http->scratch = evbuffer_new();
    http->clients = clients_open(limits);
    if (http->work_event == NULL || http->scratch == NULL || http->clients == NULL) {
        http_close(http);
        return NULL;
    }
    return http;
}

void
http_look_at_drain(struct http *http)
{
    void (*on_drained)(void *context) = http->on_drained;

    if (!http->draining || on_drained == NULL || !TAILQ_EMPTY(&http->connections) || http->exchange_count > 0)
        return;
    http->on_drained = NULL;
    on_drained(http->drained_context);
}

void
http_drain(struct http *http, void (*on_drained)(void *context), void *context)
{
    struct listener *listener;
    struct connection *connection;

    http->draining = true;
    http->on_drained = on_drained;
    http->drained_context = context;
    TAILQ_FOREACH(listener, &http->listeners, link)
    {
        evconnlistener_free(listener->socket); /* not only disabled: the port is free for the next */
        listener->socket = NULL;
    }
    TAILQ_FOREACH(connection, &http->connections, link) connection_drain(connection);
    event_active(http->work_event, EV_TIMEOUT, 0);
}

bool
http_is_draining(const struct http *http)
{
    return http->draining;
}

void
http_cut(struct http *http)
{
    struct connection *connection;

    while ((connection = TAILQ_FIRST(&http->connections)) != NULL)
        connection_close(connection);
}

void
http_close(struct http *http)
{
    struct listener *listener;

    if (http == NULL)
        return;
    http_cut(http);
    assert(http->exchange_count == 0);
    while ((listener = TAILQ_FIRST(&http->listeners)) != NULL) {
        TAILQ_REMOVE(&http->listeners, listener, link);
        close_listener(listener);
    }
    if (http->work_event != NULL)
        event_free(http->work_event);
    if (http->scratch != NULL)
        evbuffer_free(http->scratch);
    clients_close(http->clients);
    free(http);
}

/* --- timers ----------------------------------------------------------------------------------------------------------
 */
struct http_timer {
    struct event *event;
    http_timer_callback *callback;
    void *context;
};

void
http_timer_cancel(struct http_timer *timer)
{
    if (timer == NULL)
        return;
    event_free(timer->event);
    free(timer);
}

static void
on_timer(evutil_socket_t descriptor, short what, void *context)
{
    struct http_timer timer = *(struct http_timer *)context;

    (void)descriptor;
    (void)what;
    http_timer_cancel(context);
    timer.callback(timer.context);
}

struct http_timer *
http_timer_after(struct http *http, uint64_t ms, http_timer_callback *callback, void *context)
{
    struct http_timer *timer = malloc(sizeof *timer);
    const struct timeval after = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

    assert(timer != NULL);
    *timer = (struct http_timer){evtimer_new(http->base, on_timer, timer), callback, context};
    assert(timer->event != NULL);
    event_add(timer->event, &after);
    return timer;
}
