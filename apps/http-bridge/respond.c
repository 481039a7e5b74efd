/* respond.c: the heads and bodies of answers. */
#include "inside.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

static const struct {
    unsigned number;
    const char *phrase;
} statuses[] = {
#define HTTP_STATUS(number, phrase) {number, phrase},
#include "statuses.def"
};

enum status_index
status_index_of(unsigned status)
{
    unsigned i = 0;

    while (i < STATUS_INDEX_GONE && statuses[i].number != status)
        i++;
    return (enum status_index)i;
}

const char *
status_phrase(unsigned status)
{
    unsigned i = status_index_of(status);

    return i == STATUS_INDEX_GONE ? NULL : statuses[i].phrase;
}

bool
respond_has_no_body(unsigned status)
{
    return status == 204 || status == 304;
}

/* --- headers ---------------------------------------------------------------------------------------------------- */
/* A line break in a value would begin a header of somebody else's making. */
static bool
is_clean(const char *text)
{
    for (; *text != '\0'; text++) {
        if (iscntrl((unsigned char)*text))
            return false;
    }
    return true;
}

void
http_add_header(struct http_exchange *exchange, const char *name, const char *value)
{
    bool value_is_clean = is_clean(value);

    assert(value_is_clean);
    if (exchange->headers == NULL)
        exchange->headers = buffer_open(exchange->http);
    evbuffer_add(exchange->headers, name, strlen(name));
    evbuffer_add(exchange->headers, ": ", 2);
    evbuffer_add(exchange->headers, value, strlen(value));
    evbuffer_add(exchange->headers, "\r\n", 2);
}

void
http_add_header_number(struct http_exchange *exchange, const char *name, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, value);
    http_add_header(exchange, name, text);
}

/* RateLimit fields as draft-ietf-httpapi-ratelimit-headers-10 has them: q requests in w seconds; r left, t seconds to a
 * new count. */
static void
add_rate(const struct http_exchange *exchange, struct evbuffer *output)
{
    const struct http_limits *limits = &exchange->http->limits;

    if (!exchange->rate_known)
        return;
    evbuffer_add_printf(output,
                        "RateLimit-Policy: \"address\";q=%" PRIu64 ";w=%" PRIu64 "\r\n"
                        "RateLimit: \"address\";r=%" PRIu64 ";t=%" PRIu64 "\r\n",
                        limits->rate_max, limits->rate_window_s, exchange->rate_left, exchange->rate_reset_s);
}

/* Only an origin that is listed learns anything; caches must know that the answer depends on it. */
static void
add_cors(const struct http_exchange *exchange, struct evbuffer *output)
{
    const char *origin = exchange->has_request ? http_header(exchange, "origin") : NULL;
    bool is_closed = exchange->row != NULL && (exchange->row->route->flags & HTTP_ROUTE_NO_CORS) != 0;

    if (exchange->http->limits.cors_origins[0] == '\0' || is_closed)
        return;
    evbuffer_add_printf(output, "Vary: Origin\r\n");
    if (origin != NULL && client_origin_is_listed(exchange->http, origin))
        evbuffer_add_printf(output,
                            "Access-Control-Allow-Origin: %s\r\n"
                            "Access-Control-Expose-Headers: ETag, Idempotency-Key, Idempotency-Replayed, Link, RateLimit, "
                            "RateLimit-Policy, Retry-After, traceparent\r\n",
                            origin);
}

/* The lines that every answer has are put together here and added in one piece: no format is read and no chain of an
 * evbuffer looked at for each of them. */
struct lines {
    char text[512];
    size_t size;
};

static void
add_text(struct lines *lines, const char *text)
{
    size_t size = strlen(text);

    assert(lines->size + size <= sizeof lines->text);
    memcpy(lines->text + lines->size, text, size);
    lines->size += size;
}

static void
add_number(struct lines *lines, uint64_t number)
{
    char digits[21], *at = digits + 20;

    *at = '\0';
    do
        *--at = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    add_text(lines, at);
}

void
respond_head(struct http_exchange *exchange, const char *content_type, int64_t length)
{
    struct evbuffer *output = exchange_output(exchange);
    const char *phrase = status_phrase(exchange->status);
    struct lines lines = {.size = 0};

    assert(phrase != NULL);
    add_text(&lines, "HTTP/1.1 ");
    add_number(&lines, exchange->status);
    add_text(&lines, " ");
    add_text(&lines, phrase);
    add_text(&lines, "\r\nDate: ");
    add_text(&lines, http_date(exchange->http));
    add_text(&lines, "\r\nX-Content-Type-Options: nosniff\r\n");
    if (content_type != NULL) {
        add_text(&lines, "Content-Type: ");
        add_text(&lines, content_type);
        add_text(&lines, "\r\n");
    }
    if (length >= 0 && exchange->status != 204) {
        add_text(&lines, "Content-Length: ");
        add_number(&lines, (uint64_t)length);
        add_text(&lines, "\r\n");
    }
    if (length < 0 && exchange->in_chunks)
        add_text(&lines, "Transfer-Encoding: chunked\r\n");
    if (exchange->close)
        add_text(&lines, "Connection: close\r\n");
    else if (exchange->minor == 0)
        add_text(&lines, "Connection: keep-alive\r\n");
    evbuffer_add(output, lines.text, lines.size);
    if (exchange->headers != NULL)
        evbuffer_add_buffer(output, exchange->headers);
    add_rate(exchange, output);
    add_cors(exchange, output);
    evbuffer_add(output, "\r\n", 2);
}

/* A problem into json; details are texts of ours, without what JSON would have to escape. */
size_t
respond_problem(char json[RESPOND_PROBLEM_SIZE], unsigned status, const char *detail)
{
    int size = snprintf(json, RESPOND_PROBLEM_SIZE,
                        "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u,\"detail\":\"%s\"}",
                        status_phrase(status), status, detail);

    assert(size > 0);
    assert(size < RESPOND_PROBLEM_SIZE);
    assert(strpbrk(detail, "\"\\\n") == NULL);
    return (size_t)size;
}

/* --- answers in one go ------------------------------------------------------------------------------------------ */
void
http_respond(struct http_exchange *exchange, const struct http_response *response)
{
    size_t size = respond_has_no_body(response->status) ? 0 : response->size;

    assert(exchange->state == EXCHANGE_HANDLING);
    exchange->status = response->status;
    if (exchange->connection != NULL) {
        respond_head(exchange, response->content_type, response->status == 304 ? -1 : (int64_t)size);
        if (size > 0 && exchange->method != HTTP_METHOD_HEAD) {
            if (response->body_lasts)
                evbuffer_add_reference(exchange->output, response->body, size, NULL, NULL);
            else
                evbuffer_add(exchange->output, response->body, size);
        }
    }
    exchange_end(exchange);
}

void
http_respond_json(struct http_exchange *exchange, unsigned status, const char *json, size_t size)
{
    http_respond(exchange, &(struct http_response){
                               .status = status, .content_type = "application/json", .body = json, .size = size});
}

void
http_problem(struct http_exchange *exchange, unsigned status, const char *detail)
{
    char json[RESPOND_PROBLEM_SIZE];
    size_t size = respond_problem(json, status, detail);

    http_respond(exchange,
                 &(struct http_response){
                     .status = status, .content_type = "application/problem+json", .body = json, .size = size});
}
