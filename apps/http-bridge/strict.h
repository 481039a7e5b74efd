/* strict.h: the bytes of a request, held against the grammar before the parser sees them.
 *
 * Every parser in use forgives something, and two that forgive differently see different requests in the same bytes:
 * that is how requests are smuggled. Here nothing is forgiven: a line ends with CR LF, a field name is a token with its
 * colon behind it, a line is not folded, a chunk's size is hex digits. What passes has one reading, and the parser
 * (parser.h) has that one.
 *
 * Works on any split of the input; keeps a few words of state and no bytes. */
#ifndef STRICT_H
#define STRICT_H

#include <stddef.h>
#include <stdint.h>

#define STRICT_HEAD_MOST      8192 /* bytes of a request line and its fields, and of trailers */
#define STRICT_FIELDS_MOST    64
#define STRICT_METHOD_MOST    16
#define STRICT_EXTENSION_MOST 256 /* bytes of a chunk's first line */

enum strict_verdict {
    STRICT_MORE,    /* all of it is used, and more must come */
    STRICT_DONE,    /* *used bytes complete it */
    STRICT_REFUSED, /* status and why say what is wrong; it can never be right */
};

struct strict {
    unsigned state;
    unsigned fields;
    size_t seen;    /* bytes of the head, or of the line or trailers of a chunk */
    size_t in_part; /* bytes of the method, the version, or digits of a chunk's size */
    uint64_t left;  /* of a chunk's data */
    uint64_t body;  /* all chunks together */
    uint64_t body_most;
    char version[8];
    unsigned status; /* of a refusal */
    const char *why;
};

/* A request line and its fields, up to the empty line. One empty line before them is passed over;
 * *used counts it. */
void strict_head_begin(struct strict *strict);
enum strict_verdict strict_head(struct strict *strict, const char *bytes, size_t size, size_t *used);

/* A body in chunks, up to the empty line behind its last one. */
void strict_chunks_begin(struct strict *strict, uint64_t body_most);
enum strict_verdict strict_chunks(struct strict *strict, const char *bytes, size_t size, size_t *used);

/* Whether a text is a token in HTTP's sense: a method, a field's name. */
int strict_is_token_byte(unsigned char byte);

#endif
