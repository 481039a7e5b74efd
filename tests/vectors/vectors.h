/* vectors.h: writes protocol/vectors/: frames, messages, documents and what can never be one, as lines of JSON for
 * whoever writes a codec in another language. protocol/vectors/README.md says what each line holds.
 *
 * All of it grows from the rows of protocol/ and from written seeds: a message that is added is in the files after
 * `ninja vectors`, and the lines of the others stay as they were. */
#ifndef TESTS_VECTORS_H
#define TESTS_VECTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "protocol/codec.h"
#include "protocol/protocol.h"

typedef struct vectors_file {
    const char *name;
    void (*write)(FILE *out);
} vectors_file;

/* The files, in the order of the README. Call sodium_init() first. */
const vectors_file *vectors_files(size_t *count);

/* --- one for each file ----------------------------------------------------------------------------------- */
void vectors_write_messages(FILE *out);
void vectors_write_never(FILE *out);
void vectors_write_checks(FILE *out);
void vectors_write_streams(FILE *out);
void vectors_write_trees(FILE *out);
void vectors_write_documents(FILE *out);
void vectors_write_handshakes(FILE *out);

/* --- JSON ------------------------------------------------------------------------------------------------ */
/* A member "name": with its comma before it unless it is the first of its object. */
void vectors_name(FILE *out, bool first, const char *name);
void vectors_hex(FILE *out, const uint8_t *bytes, size_t size);             /* "0a1b" */
void vectors_text(FILE *out, const char *text);                             /* a string, escaped */
void vectors_uuid(FILE *out, const usher_uuid *uuid);                       /* as it is printed */
void vectors_body(FILE *out, const usher_layout *layout, const void *body); /* an object of its fields */
/* A number as "name":1, or as "name":"1" where it may need more than 53 bits. */
void vectors_small(FILE *out, bool first, const char *name, unsigned value);
void vectors_large(FILE *out, bool first, const char *name, uint64_t value);

/* --- bodies ---------------------------------------------------------------------------------------------- */
typedef enum vectors_fill { VECTORS_LEAST, VECTORS_SOME, VECTORS_MOST } vectors_fill;

/* A struct of this layout: all zero, something, or everything at its greatest. Its contents depend on the layout's name
 * alone. The caller frees it. */
void *vectors_new_body(const usher_layout *layout, vectors_fill fill);

enum { VECTORS_ROOM = 131072 };
/* A frame around size bytes of body; returns its size. */
size_t vectors_frame(uint8_t out[VECTORS_ROOM], const usher_frame *head, const uint8_t *body, size_t size);

#endif
