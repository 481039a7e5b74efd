/* http_house.c: see http_house.h. */
#include "http_house.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include <cmocka.h>

#define PATIENCE_MS 5000

/* --- routes ------------------------------------------------------------------------------------------------------ */
/* What the layer made of the request, a line each. */
static void
echo(struct http_exchange *exchange)
{
    static const char *const methods[] = {
#define HTTP_METHOD(NAME) #NAME,
#include "methods.def"
    };
    char *text = NULL;
    size_t size = 0, body_size;
    const char *body = http_body(exchange, &body_size), *name, *value;
    FILE *out = open_memstream(&text, &size);

    fprintf(out, "%s %s\n", methods[http_method(exchange)], http_path(exchange));
    for (size_t i = 0; http_query_at(exchange, i, &name, &value); i++)
        fprintf(out, "?%s=%s\n", name, value);
    fprintf(out, "pattern %s\nclient %s %d\n", http_pattern(exchange), http_client(exchange),
            http_client_is_loopback(exchange));
    if (strstr(http_pattern(exchange), "{name}") != NULL)
        fprintf(out, "name %s\n", http_parameter(exchange, "name"));
    if (strstr(http_pattern(exchange), "{rest*}") != NULL)
        fprintf(out, "rest %s\n", http_parameter(exchange, "rest"));
    if (http_header(exchange, "x-said") != NULL)
        fprintf(out, "said [%s]\n", http_header(exchange, "X-Said"));
    fprintf(out, "body %zu ", body_size);
    fwrite(body, 1, body_size, out);
    fclose(out);
    http_respond(exchange,
                 &(struct http_response){.status = 200, .content_type = "text/plain", .body = text, .size = size});
    free(text);
}

static void
count_end(struct http_exchange *exchange, enum http_end why, void *context)
{
    struct http_house *house = context;

    (void)exchange;
    if (why == HTTP_END_GONE)
        house->gone++;
    else
        house->drains++;
}

static void
wait_for_it(struct http_exchange *exchange)
{
    struct http_house *house = http_context(exchange);
    unsigned number = (unsigned)atoi(http_parameter(exchange, "n"));

    assert_true(number < HOUSE_WAITING);
    assert_null(house->waiting[number]);
    house->waiting[number] = exchange;
    http_on_end(exchange, count_end, house);
}

static void
open_stream(struct http_exchange *exchange)
{
    struct http_house *house = http_context(exchange);

    http_on_end(exchange, count_end, house);
    if (http_sse_begin(exchange))
        house->stream = exchange;
    else
        http_stream_end(exchange);
}

static void
answer_large(struct http_exchange *exchange)
{
    static char body[1 << 19];

    memset(body, 'x', sizeof body);
    http_respond(exchange, &(struct http_response){.status = 200,
                                                   .content_type = "text/plain",
                                                   .body = body,
                                                   .size = (size_t)atoi(http_query(exchange, "size")),
                                                   .body_lasts = true});
}

static void
answer_nothing(struct http_exchange *exchange)
{
    http_add_header(exchange, "ETag", "\"7\"");
    http_respond(exchange, &(struct http_response){.status = (unsigned)atoi(http_parameter(exchange, "status")),
                                                   .body = "never sent",
                                                   .size = 10});
}

static const struct http_route routes[] = {
    {HTTP_METHOD_GET, "/echo", echo, 0},
    {HTTP_METHOD_POST, "/echo", echo, 0},
    {HTTP_METHOD_POST, "/large", echo, HTTP_ROUTE_LARGE},
    {HTTP_METHOD_GET, "/large", answer_large, 0},
    {HTTP_METHOD_GET, "/named/{name}", echo, 0},
    {HTTP_METHOD_DELETE, "/named/{name}", echo, 0},
    {HTTP_METHOD_GET, "/files/{rest*}", echo, 0},
    {HTTP_METHOD_GET, "/wait/{n}", wait_for_it, 0},
    {HTTP_METHOD_POST, "/wait/{n}", wait_for_it, 0},
    {HTTP_METHOD_GET, "/stream", open_stream, 0},
    {HTTP_METHOD_GET, "/nothing/{status}", answer_nothing, 0},
    {HTTP_METHOD_GET, "/free", echo, HTTP_ROUTE_FREE | HTTP_ROUTE_NO_CORS},
    {HTTP_METHOD_GET, "/", echo, 0},
};

void
http_house_let_go(struct http_house *house, unsigned number)
{
    struct http_exchange *exchange = house->waiting[number];
    char text[16];
    int size = snprintf(text, sizeof text, "waited %u", number);

    assert_non_null(exchange);
    house->waiting[number] = NULL;
    http_respond(exchange, &(struct http_response){
                               .status = 200, .content_type = "text/plain", .body = text, .size = (size_t)size});
}

/* --- the house -----------------------------------------------------------------------------------------------------
 */
static void
keep_access(const struct http_access *access, void *context)
{
    struct http_house *house = context;

    house->last = *access;
    house->access_count++;
    snprintf(house->last_pattern, sizeof house->last_pattern, "%s", access->pattern);
    snprintf(house->last_traceparent, sizeof house->last_traceparent, "%s",
             access->traceparent == NULL ? "" : access->traceparent);
}

void
http_house_open(struct http_house *house, const struct http_limits *limits)
{
    struct http_limits usual;
    char why[256];

    memset(house, 0, sizeof *house);
    http_limits_usual(&usual);
    house->base = event_base_new();
    assert_non_null(house->base);
    house->http = http_open(house->base, limits == NULL ? &usual : limits);
    assert_non_null(house->http);
    http_on_access(house->http, keep_access, house);
    house->port =
        http_listen(house->http, "127.0.0.1:0", routes, sizeof routes / sizeof *routes, house, why, sizeof why);
    if (house->port == 0)
        fail_msg("%s", why);
}

void
http_house_close(struct http_house *house)
{
    http_cut(house->http);
    http_house_turn(house);
    for (unsigned i = 0; i < HOUSE_WAITING; i++) {
        if (house->waiting[i] != NULL)
            http_house_let_go(house, i);
    }
    if (house->stream != NULL)
        http_stream_end(house->stream);
    http_close(house->http);
    event_base_free(house->base);
}

int
http_house_connect(struct http_house *house)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(house->port)};
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(client >= 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(client, F_SETFL, O_NONBLOCK);
    http_house_turn(house);
    return client;
}

void
http_house_turn(struct http_house *house)
{
    for (int i = 0; i < 4; i++)
        event_base_loop(house->base, EVLOOP_NONBLOCK);
}

static uint64_t
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* A turn that waits a little for something to do. */
static void
turn_slowly(struct http_house *house)
{
    const struct timeval little = {.tv_usec = 2000};

    event_base_loopexit(house->base, &little);
    event_base_loop(house->base, EVLOOP_ONCE);
}

void
http_house_turn_until(struct http_house *house, bool (*holds)(void *context), void *context)
{
    uint64_t until_ms = now_ms() + PATIENCE_MS;

    while (!holds(context)) {
        turn_slowly(house);
        assert_true(now_ms() < until_ms);
    }
}

/* --- a client --------------------------------------------------------------------------------------------------------
 */
void
http_house_send(int client, const void *bytes, size_t size)
{
    ssize_t sent = send(client, bytes, size, MSG_NOSIGNAL);

    /* A server that has refused may have closed by now. */
    assert_true(sent == (ssize_t)size || (sent < 0 && (errno == EPIPE || errno == ECONNRESET)));
}

/* What a reading still needs: 0, when the bytes are a whole answer. */
static bool
is_whole(struct http_answer *answer, bool is_head)
{
    char *end = strstr(answer->bytes, "\r\n\r\n");
    size_t head_size;
    const char *length;

    if (end == NULL)
        return false;
    head_size = (size_t)(end + 4 - answer->bytes);
    assert_true(head_size < sizeof answer->head);
    memcpy(answer->head, answer->bytes, head_size);
    answer->head[head_size] = '\0';
    answer->status = (unsigned)atoi(answer->bytes + 9);
    answer->body = answer->bytes + head_size;
    answer->body_size = answer->size - head_size;
    length = http_answer_header(answer, "Content-Length");
    if (is_head || answer->status == 204 || answer->status == 304 || answer->status < 200)
        answer->body_size = 0;
    else if (*length != '\0' && answer->body_size >= strtoul(length, NULL, 10))
        answer->body_size = strtoul(length, NULL, 10);
    else if (*length != '\0' || strstr(answer->body, "0\r\n\r\n") == NULL)
        return false;
    answer->size = head_size + answer->body_size;
    return true;
}

/* Take what has come; 0 at the end of the stream, -1 when nothing has come. With peek it stays where it is. */
static ssize_t
take(int client, struct http_answer *answer, int flags)
{
    ssize_t got = recv(client, answer->bytes + answer->size, HOUSE_BYTES_MOST - 1 - answer->size, flags);

    if (got < 0 && errno == ECONNRESET)
        got = 0;
    return got;
}

void
http_house_read(struct http_house *house, int client, bool is_head, struct http_answer *answer)
{
    uint64_t until_ms = now_ms() + PATIENCE_MS;
    ssize_t got;

    /* One answer and no byte of the next is taken: look first, then take as much. */
    do {
        answer->size = 0;
        answer->is_whole = false;
        turn_slowly(house);
        got = take(client, answer, MSG_PEEK);
        if (got > 0) {
            answer->size = (size_t)got;
            answer->bytes[got] = '\0';
            answer->is_whole = is_whole(answer, is_head);
        }
        if (!answer->is_whole && answer->size > 65536) { /* the socket may hold no more: read on from here */
            http_house_read_until(house, client, NULL, answer);
            return;
        }
    } while (!answer->is_whole && got != 0 && now_ms() < until_ms);
    if (answer->is_whole)
        assert_int_equal(recv(client, answer->bytes, answer->size, 0), (ssize_t)answer->size);
}

void
http_house_read_until(struct http_house *house, int client, const char *text, struct http_answer *answer)
{
    uint64_t until_ms = now_ms() + PATIENCE_MS;
    ssize_t got = -1;

    answer->size = 0;
    answer->is_whole = false;
    while (!answer->is_whole && got != 0 && now_ms() < until_ms) {
        turn_slowly(house);
        got = take(client, answer, 0);
        if (got <= 0)
            continue;
        answer->size += (size_t)got;
        answer->bytes[answer->size] = '\0';
        answer->is_whole = text != NULL ? strstr(answer->bytes, text) != NULL : is_whole(answer, false);
    }
}

void
http_house_ask(struct http_house *house, int client, const char *request, struct http_answer *answer)
{
    http_house_send(client, request, strlen(request));
    http_house_read(house, client, strncmp(request, "HEAD ", 5) == 0, answer);
    assert_true(answer->is_whole);
}

bool
http_house_is_closed(struct http_house *house, int client)
{
    uint64_t until_ms = now_ms() + PATIENCE_MS;
    char byte;
    ssize_t got;

    do {
        turn_slowly(house);
        got = recv(client, &byte, 1, 0);
    } while (got < 0 && errno == EAGAIN && now_ms() < until_ms);
    return got == 0 || (got < 0 && errno == ECONNRESET);
}

const char *
http_answer_header(const struct http_answer *answer, const char *name)
{
    static char value[512];
    const char *line = answer->head;
    size_t size = strlen(name);

    while ((line = strstr(line, "\r\n")) != NULL) {
        line += 2;
        if (strncasecmp(line, name, size) == 0 && line[size] == ':') {
            snprintf(value, sizeof value, "%.*s", (int)strcspn(line + size + 2, "\r"), line + size + 2);
            return value;
        }
    }
    return "";
}
