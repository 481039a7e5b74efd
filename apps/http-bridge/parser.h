/* parser.h: what the bytes of a request mean. The one file that knows the parser of HTTP, http_parser; llhttp, its
 * successor, has the same callbacks and would take its place in parser.c alone.
 *
 * It is given what strict.h has let pass: a head whole, a body in pieces. */
#ifndef PARSER_H
#define PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "strict.h"

/* Where a text stands in the head. */
struct parser_span {
    uint16_t at, size;
};
struct parser_head {
    struct parser_span target;
    struct parser_span name[STRICT_FIELDS_MOST], value[STRICT_FIELDS_MOST];
    unsigned field_count;
    unsigned minor;  /* HTTP/1.minor */
    bool keep_alive; /* as the version and Connection say */
    bool chunked;    /* the body comes in chunks */
    bool has_length; /* Content-Length is there: */
    uint64_t length;
};

struct parser; /* of one request */

/* NULL without memory. */
struct parser *parser_open(void);
void parser_close(struct parser *parser);

/* Read the head of the next request: exactly its bytes, at most STRICT_HEAD_MOST. False when the parser refuses it: why
 * gets its reason. */
bool parser_read_head(struct parser *parser, const char *bytes, size_t size, struct parser_head *head,
                      const char **why);

enum parser_verdict {
    PARSER_MORE,
    PARSER_DONE, /* the request is whole */
    PARSER_REFUSED,
};
typedef void parser_data(void *context, const char *bytes, size_t size);
/* Read more of that request's body: data is called with what it carries. Bytes behind its end must not be among them.
 * size 0 tells whether it is whole already. */
enum parser_verdict parser_read_body(struct parser *parser, const char *bytes, size_t size, parser_data *data,
                                     void *context, const char **why);

#endif
