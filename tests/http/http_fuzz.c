/* http_fuzz.c: see http_fuzz.h. With libFuzzer's main (./usher test --fuzz) and with that of http_fuzz_test.c. */
#define _GNU_SOURCE 1
#include "http_fuzz.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "inside.h"

#define ANSWERS_MOST (4u << 20)
#define WAITING_MOST 64

unsigned long http_fuzz_answers, http_fuzz_refusals;

struct answers {
    size_t size;
    char *bytes;
};

static struct event_base *base;
static struct http *http;
static struct http_exchange *waiting[WAITING_MOST];
static size_t waiting_count;
static struct answers whole, pieces;

static void
must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "http_fuzz: %s\n", what);
    abort();
}

/* --- routes: all that a handler may do ---------------------------------------------------------------------------- */
/* A number of the body stands for it: its own bytes could look like those of an answer. */
static void
echo(struct http_exchange *exchange)
{
    size_t size;
    const char *body = http_body(exchange, &size), *name, *value;
    uint64_t number = size;
    char text[32];

    for (size_t i = 0; i < size; i++)
        number = number * 31 + (unsigned char)body[i];
    for (size_t i = 0; http_query_at(exchange, i, &name, &value); i++)
        must(http_query(exchange, name) == value, "a parameter is not found by its name");
    must(strlen(http_path(exchange)) > 0, "a request has no path");
    if (http_header(exchange, "x-said") != NULL)
        http_add_header_number(exchange, "X-Said", strlen(http_header(exchange, "x-said")));
    http_respond_json(exchange, 200, text, (size_t)snprintf(text, sizeof text, "%" PRIu64, number));
}

static void
named(struct http_exchange *exchange)
{
    const char *name = http_parameter(exchange, "name");

    http_respond_json(exchange, 200, name, strlen(name));
}

static void
later(struct http_exchange *exchange)
{
    if (waiting_count == WAITING_MOST)
        http_problem(exchange, 503, "enough wait");
    else
        waiting[waiting_count++] = exchange;
}

static void
stream(struct http_exchange *exchange)
{
    if (http_sse_begin(exchange))
        http_sse_send(exchange, "event", NULL, "data");
    http_stream_end(exchange);
}

static const struct http_route routes[] = {
    {HTTP_METHOD_GET, "/echo", echo, 0},      {HTTP_METHOD_POST, "/echo", echo, HTTP_ROUTE_LARGE},
    {HTTP_METHOD_GET, "/n/{name}", named, 0}, {HTTP_METHOD_GET, "/f/{name*}", named, 0},
    {HTTP_METHOD_GET, "/later", later, 0},    {HTTP_METHOD_POST, "/later", later, 0},
    {HTTP_METHOD_GET, "/stream", stream, 0},
};

/* Those that came last are answered first. */
static void
answer_those_that_wait(void)
{
    while (waiting_count > 0)
        http_respond_json(waiting[--waiting_count], 200, "{}", 2);
}

/* --- a client -------------------------------------------------------------------------------------------------------
 */
static void
open_server(void)
{
    struct http_limits limits;
    char why[256];

    http_limits_usual(&limits);
    limits.body_max = 300;
    limits.body_large_max = 3000;
    limits.pipeline_max = 4;
    limits.cors_origins = "https://a.example";
    base = event_base_new();
    http = http_open(base, &limits);
    must(http_listen(http, "127.0.0.1:0", routes, sizeof routes / sizeof *routes, NULL, why, sizeof why) != 0, why);
    whole.bytes = malloc(ANSWERS_MOST);
    pieces.bytes = malloc(ANSWERS_MOST);
}

void
http_fuzz_end(void)
{
    http_close(http);
    event_base_free(base);
    free(whole.bytes);
    free(pieces.bytes);
    http = NULL;
}

/* Whether the server has closed its side. */
static bool
take(int client, struct answers *answers)
{
    ssize_t got;

    do {
        must(answers->size < ANSWERS_MOST, "there is no end of answers");
        got = recv(client, answers->bytes + answers->size, ANSWERS_MOST - answers->size, 0);
        if (got > 0)
            answers->size += (size_t)got;
    } while (got > 0);
    return got == 0;
}

static bool
turn(int client, struct answers *answers)
{
    event_base_loop(base, EVLOOP_NONBLOCK);
    answer_those_that_wait();
    event_base_loop(base, EVLOOP_NONBLOCK);
    return take(client, answers);
}

static void
play(const uint8_t *bytes, size_t size, size_t piece, struct answers *answers)
{
    const struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int pair[2];

    answers->size = 0;
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0, "no sockets");
    connection_open(TAILQ_FIRST(&http->listeners), pair[1], (const struct sockaddr *)&address);
    for (size_t at = 0; at < size; at += piece) {
        /* A refused client's bytes may meet a closed side. */
        ssize_t sent = send(pair[0], bytes + at, size - at < piece ? size - at : piece, MSG_NOSIGNAL);
        if (sent < 0)
            break;
        turn(pair[0], answers);
    }
    shutdown(pair[0], SHUT_WR);
    for (int i = 0; i < 1000 && !turn(pair[0], answers); i++)
        ;
    close(pair[0]);
    for (int i = 0; i < 1000 && !TAILQ_EMPTY(&http->connections); i++)
        event_base_loop(base, EVLOOP_NONBLOCK);
    answer_those_that_wait();
    must(TAILQ_EMPTY(&http->connections), "the connection did not end");
    must(http->exchange_count == 0, "an exchange is left");
    must(http->stream_count == 0, "a stream is left");
    must(http->memory == 0, "memory is left");
}

/* --- what came
 * ---------------------------------------------------------------------------------------------------------- */
/* Take out what may differ: when a body was asked for, and the second in which an answer was made. */
static void
take_out(struct answers *answers, const char *begin, const char *end)
{
    char *at;

    while ((at = memmem(answers->bytes, answers->size, begin, strlen(begin))) != NULL) {
        char *from = at + strlen(begin);
        char *behind = memmem(from, answers->size - (size_t)(from - answers->bytes), end, strlen(end));
        must(behind != NULL, "an answer is cut off");
        behind += strlen(end);
        memmove(at, behind, answers->size - (size_t)(behind - answers->bytes));
        answers->size -= (size_t)(behind - at);
    }
}

static void
check_statuses(const struct answers *answers)
{
    const char *at = answers->bytes, *end = at + answers->size;
    bool is_over = false;

    /* Every answer has this header, and no body has. */
    while ((at = memmem(at, (size_t)(end - at), "\r\nX-Content-Type-Options: nosniff\r\n", 35)) != NULL) {
        const char *line = at - 9;
        while (line > answers->bytes && memcmp(line, "HTTP/1.1 ", 9) != 0)
            line--;
        must(!is_over, "there is an answer behind the last one");
        must(line >= answers->bytes && memcmp(line, "HTTP/1.1 ", 9) == 0, "an answer does not begin as one");
        must(status_phrase((unsigned)atoi(line + 9)) != NULL, "there is no such status");
        at += 35;
        http_fuzz_answers++;
        const char *head_end = memmem(at, (size_t)(end - at), "\r\n\r\n", 4);
        must(head_end != NULL, "the head of an answer has no end");
        is_over = memmem(at, (size_t)(head_end - at) + 2, "\r\nConnection: close\r\n", 21) != NULL;
        http_fuzz_refusals += is_over && atoi(line + 9) >= 400;
    }
}

void
http_fuzz_one(const uint8_t *bytes, size_t size)
{
    size_t piece;

    if (size < 2 || size > FUZZ_BYTES_MOST)
        return;
    if (http == NULL)
        open_server();
    piece = bytes[0] == 0 ? 1 : bytes[0];
    play(bytes + 1, size - 1, size, &whole);
    play(bytes + 1, size - 1, piece, &pieces);
    for (int i = 0; i < 2; i++) {
        struct answers *answers = i == 0 ? &whole : &pieces;
        take_out(answers, "HTTP/1.1 100 Continue\r\n", "\r\n");
        take_out(answers, "\r\nDate: ", "GMT");
    }
    check_statuses(&whole);
    must(whole.size == pieces.size, "in pieces the answers have another length");
    must(memcmp(whole.bytes, pieces.bytes, whole.size) == 0, "in pieces the answers are others");
}
