/* request.c: what the head of a request says, beyond its grammar: who it is for, how long its body is, what its fields
 * hold.
 *
 * Fields that decide where a request ends or whom it is for must stand once and be unmistakable. */
#include "inside.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Fields of which a second one would leave open which counts. All others are lists by nature, or of no concern here. */
static const char *const single_fields[] = {
    "authorization", "content-length",  "content-type",      "expect",
    "host",          "idempotency-key", "if-none-match",     "last-event-id",
    "origin",        "traceparent",     "transfer-encoding",
};

/* --- fields ----------------------------------------------------------------------------------------------------------
 */
/* The i-th field of this name (any case), counted over all; NULL past the last. */
static const char *
find_field(const struct http_exchange *exchange, const char *name, unsigned *from)
{
    for (unsigned i = *from; i < exchange->field_count; i++) {
        if (strcasecmp(exchange->name[i], name) == 0) {
            *from = i + 1;
            return exchange->value[i];
        }
    }
    return NULL;
}

/* Several of one name become one, as RFC 9110 reads them. The text lives in the exchange's memory. */
static const char *
join_fields(struct http_exchange *exchange, const char *name)
{
    unsigned from = 0;
    size_t size = 0;
    const char *value;
    char *joined;

    while ((value = find_field(exchange, name, &from)) != NULL)
        size += strlen(value) + 2;
    joined = http_memory(exchange, size + 1);
    from = 0;
    while ((value = find_field(exchange, name, &from)) != NULL) {
        if (joined[0] != '\0')
            strcat(joined, ", ");
        strcat(joined, value);
    }
    return joined;
}

const char *
http_header(const struct http_exchange *exchange, const char *name)
{
    unsigned from = 0;
    const char *value = find_field(exchange, name, &from);

    if (value == NULL || find_field(exchange, name, &from) == NULL)
        return value;
    return join_fields((struct http_exchange *)exchange, name); /* its memory is no part of what it says */
}

/* A copy of the head in which every name and value is a text. */
static bool
copy_fields(struct http_exchange *exchange, const char *head, size_t size, const struct parser_head *parsed)
{
    char *copy = malloc(size + 1 + 2 * (size_t)parsed->target.size + 8);

    assert(copy != NULL);
    exchange->head = copy;
    memcpy(copy, head, size);
    copy[size] = '\0';
    for (unsigned i = 0; i < parsed->field_count; i++) {
        struct parser_span name = parsed->name[i], value = parsed->value[i];
        while (value.size > 0 && (copy[value.at + value.size - 1] == ' ' || copy[value.at + value.size - 1] == '\t'))
            value.size--;
        copy[name.at + name.size] = '\0';
        copy[value.at + value.size] = '\0';
        exchange->name[i] = copy + name.at;
        exchange->value[i] = value.size == 0 ? "" : copy + value.at;
        exchange->field_count = i + 1; /* a refusal is answered too, and looks at what is there */
        if (!target_is_utf8(exchange->value[i], value.size))
            return false;
    }
    return true;
}

static unsigned
check_single_fields(struct http_exchange *exchange, const char **why)
{
    for (size_t i = 0; i < sizeof single_fields / sizeof *single_fields; i++) {
        unsigned from = 0;
        if (find_field(exchange, single_fields[i], &from) != NULL &&
            find_field(exchange, single_fields[i], &from) != NULL) {
            *why = "a header stands twice that may stand once";
            return 400;
        }
    }
    return 0;
}

/* --- whom it is for
 * ---------------------------------------------------------------------------------------------------- */
static bool
is_host(const char *host)
{
    return strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]%") == strlen(host);
}

static unsigned
check_host(struct http_exchange *exchange, const char **why)
{
    unsigned from = 0;
    const char *host = find_field(exchange, "host", &from);

    if (host == NULL && exchange->minor == 0 && exchange->target.authority == NULL)
        return 0;
    if (host == NULL || *host == '\0' || !is_host(host)) {
        *why = "a request needs a Host header that names a host";
        return 400;
    }
    if (exchange->target.authority != NULL && strcasecmp(exchange->target.authority, host) != 0) {
        *why = "the target and the Host header name different hosts";
        return 400;
    }
    return 0;
}

bool
request_read_method(struct http_exchange *exchange, const char *head)
{
    static const char *const names[] = {
#define HTTP_METHOD(NAME) #NAME,
#include "methods.def"
    };
    size_t size = strcspn(head, " ");

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strlen(names[i]) == size && memcmp(names[i], head, size) == 0) {
            exchange->method = (enum http_method)i;
            exchange->has_request = true;
            return true;
        }
    }
    return false;
}

/* --- its body
 * ------------------------------------------------------------------------------------------------------------- */
/* What can't be right about a body is known before one of its bytes has been read. */
static unsigned
check_body(struct http_exchange *exchange, const struct parser_head *parsed, const char **why)
{
    unsigned from = 0;
    const char *length = find_field(exchange, "content-length", &from);
    const char *coding = (from = 0, find_field(exchange, "transfer-encoding", &from));
    const char *expect = (from = 0, find_field(exchange, "expect", &from));

    *why = "the length of the body is not told in one clear way";
    if (length != NULL && (coding != NULL || *length == '\0' || strspn(length, "0123456789") != strlen(length)))
        return 400;
    if (coding != NULL && exchange->minor == 0)
        return 400;
    if (coding != NULL && strcasecmp(coding, "chunked") != 0) {
        *why = "no transfer coding but chunked is spoken here";
        return 501;
    }
    if (length != NULL && strlen(length) > 18) {
        *why = "the body is longer than this resource takes";
        return 413;
    }
    if (parsed->chunked != (coding != NULL) || parsed->has_length != (length != NULL) ||
        (length != NULL && strtoull(length, NULL, 10) != parsed->length))
        return 400; /* two readings of one head: neither is trusted */
    exchange->length = parsed->length;
    if (expect != NULL && strcasecmp(expect, "100-continue") != 0) {
        *why = "nothing but 100-continue can be expected";
        return 417;
    }
    exchange->wants_continue = expect != NULL && exchange->minor == 1 && (parsed->chunked || parsed->length > 0);
    return 0;
}

/* --- traceparent (W3C Trace Context, version 00)
 * ---------------------------------------------------------------------------- */
static bool
is_hex(const char *text, size_t size, bool may_be_zero)
{
    return strspn(text, "0123456789abcdef") >= size && (may_be_zero || strspn(text, "0") < size);
}

/* "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" */
static bool
is_traceparent(const char *text)
{
    return strlen(text) == 55 && memcmp(text, "00-", 3) == 0 && is_hex(text + 3, 32, false) && text[35] == '-' &&
           is_hex(text + 36, 16, false) && text[52] == '-' && is_hex(text + 53, 2, true);
}

/* --- all of it
 * --------------------------------------------------------------------------------------------------------------- */
unsigned
request_read(struct http_exchange *exchange, const char *head, size_t size, struct parser_head *parsed,
             const char **why)
{
    unsigned status, from = 0;
    const char *trace;

    exchange->minor = parsed->minor;
    exchange->keep_alive = parsed->keep_alive;
    if (!copy_fields(exchange, head, size, parsed)) {
        *why = "a header's value is not UTF-8";
        return 400;
    }
    status =
        target_read(&exchange->target, head + parsed->target.at, parsed->target.size, exchange->head + size + 1, why);
    if (status == 0 && exchange->target.is_server && exchange->method != HTTP_METHOD_OPTIONS) {
        *why = "* is a target of OPTIONS alone";
        status = 400;
    }
    status = status != 0 ? status : check_single_fields(exchange, why);
    status = status != 0 ? status : check_host(exchange, why);
    status = status != 0 ? status : check_body(exchange, parsed, why);
    if (status != 0)
        return status;
    trace = find_field(exchange, "traceparent", &from);
    exchange->traceparent = trace != NULL && is_traceparent(trace) ? trace : NULL;
    client_find(exchange);
    routes_find(exchange);
    return 0;
}

/* --- for handlers
 * -------------------------------------------------------------------------------------------------------------- */
enum http_method
http_method(const struct http_exchange *exchange)
{
    return exchange->method;
}

const char *
http_path(const struct http_exchange *exchange)
{
    return exchange->target.path;
}

const char *
http_query(const struct http_exchange *exchange, const char *name)
{
    for (size_t i = 0; i < exchange->target.query_count; i++) {
        if (strcmp(exchange->target.name[i], name) == 0)
            return exchange->target.value[i];
    }
    return NULL;
}

bool
http_query_at(const struct http_exchange *exchange, size_t i, const char **name, const char **value)
{
    if (i >= exchange->target.query_count)
        return false;
    *name = exchange->target.name[i];
    *value = exchange->target.value[i];
    return true;
}

const char *
http_body(const struct http_exchange *exchange, size_t *size)
{
    *size = exchange->body_size;
    return exchange->body_size == 0 ? "" : exchange->body;
}

bool
http_content_is(const struct http_exchange *exchange, const char *media_type)
{
    const char *type = http_header(exchange, "content-type");
    size_t size = type == NULL ? 0 : strcspn(type, "; \t");

    return size > 0 && size == strlen(media_type) && strncasecmp(type, media_type, size) == 0;
}

const char *
http_client(const struct http_exchange *exchange)
{
    return exchange->client;
}

bool
http_client_is_loopback(const struct http_exchange *exchange)
{
    return exchange->client_is_loopback;
}

const char *
http_traceparent(const struct http_exchange *exchange)
{
    return exchange->traceparent;
}
