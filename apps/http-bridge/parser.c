/* parser.c: http_parser behind parser.h.
 *
 * A parser is begun anew for each request, so that nothing of one can reach the next. */
#include "parser.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <http_parser.h>

struct parser {
    http_parser machine;
    const char *head; /* while one is read */
    struct parser_head *out;
    parser_data *data; /* while a body is read */
    void *context;
    bool is_whole;
};

static int
on_span(struct parser *parser, const char *at, size_t size, struct parser_span *span)
{
    *span = (struct parser_span){.at = (uint16_t)(at - parser->head), .size = (uint16_t)size};
    return 0;
}

static int
on_url(http_parser *machine, const char *at, size_t size)
{
    struct parser *parser = machine->data;

    return on_span(parser, at, size, &parser->out->target);
}

/* Trailers come by the same callbacks, when no head is read: they are let go. */
static int
on_field(http_parser *machine, const char *at, size_t size)
{
    struct parser *parser = machine->data;

    if (parser->out == NULL)
        return 0;
    if (parser->out->field_count == STRICT_FIELDS_MOST)
        return -1;
    return on_span(parser, at, size, &parser->out->name[parser->out->field_count++]);
}

static int
on_value(http_parser *machine, const char *at, size_t size)
{
    struct parser *parser = machine->data;

    if (parser->out == NULL)
        return 0;
    if (parser->out->field_count == 0)
        return -1;
    return on_span(parser, at, size, &parser->out->value[parser->out->field_count - 1]);
}

static int
on_head(http_parser *machine)
{
    struct parser *parser = machine->data;
    struct parser_head *out = parser->out;

    if (out == NULL)
        return -1;
    out->minor = machine->http_minor;
    out->chunked = (machine->flags & F_CHUNKED) != 0;
    out->has_length = (machine->flags & F_CONTENTLENGTH) != 0;
    out->length = out->has_length ? machine->content_length : 0;
    out->keep_alive = http_should_keep_alive(machine) != 0;
    machine->upgrade = 0; /* no other protocol is spoken here: the request is answered as it stands */
    return 0;
}

static int
on_body(http_parser *machine, const char *at, size_t size)
{
    struct parser *parser = machine->data;

    if (parser->data == NULL)
        return -1;
    parser->data(parser->context, at, size);
    return 0;
}

static int
on_whole(http_parser *machine)
{
    struct parser *parser = machine->data;

    parser->is_whole = true;
    return 0;
}

static const http_parser_settings settings = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_whole,
};

struct parser *
parser_open(void)
{
    return calloc(1, sizeof(struct parser));
}

void
parser_close(struct parser *parser)
{
    free(parser);
}

bool
parser_read_head(struct parser *parser, const char *bytes, size_t size, struct parser_head *head, const char **why)
{
    size_t used;

    assert(size <= STRICT_HEAD_MOST);
    memset(parser, 0, sizeof *parser);
    memset(head, 0, sizeof *head);
    http_parser_init(&parser->machine, HTTP_REQUEST);
    parser->machine.data = parser;
    parser->head = bytes;
    parser->out = head;
    used = http_parser_execute(&parser->machine, &settings, bytes, size);
    parser->head = NULL;
    parser->out = NULL;
    *why = http_errno_description(HTTP_PARSER_ERRNO(&parser->machine));
    return HTTP_PARSER_ERRNO(&parser->machine) == HPE_OK && used == size;
}

enum parser_verdict
parser_read_body(struct parser *parser, const char *bytes, size_t size, parser_data *data, void *context,
                 const char **why)
{
    size_t used = size;

    /* The parser takes no bytes for the end of the connection, which ends no request. */
    if (size > 0) {
        parser->data = data;
        parser->context = context;
        used = http_parser_execute(&parser->machine, &settings, bytes, size);
        parser->data = NULL;
    }
    *why = http_errno_description(HTTP_PARSER_ERRNO(&parser->machine));
    if (HTTP_PARSER_ERRNO(&parser->machine) != HPE_OK || used != size)
        return PARSER_REFUSED;
    return parser->is_whole ? PARSER_DONE : PARSER_MORE;
}
