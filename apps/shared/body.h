/* body.h: a body of the protocol field by field, by the rows of structs.def, and as JSON: what the programs on the SDK
 * that show bodies share.
 *
 * JSON: numbers as numbers; those above 2^53 - 1 as strings, for readers that would round them; an unknown duration as
 * null; UUIDs, ids, keys and bytes as text; enums by name; lists as arrays. */
#ifndef APPS_BODY_H
#define APPS_BODY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <usher.h>

/* A number (I64 aside) or an enum's value, and an I64. */
uint64_t body_unsigned(const usher_field *field, const void *body);
int64_t body_signed(const usher_field *field, const void *body);
/* How many bytes or elements BYTES or a list has, and an element of a list of numbers. */
uint16_t body_count(const usher_field *field, const void *body);
uint64_t body_element(const usher_field *field, const void *body, size_t index);
/* The i-th item of a list of items. */
const void *body_item(const usher_field *field, const void *body, size_t index);
/* UUID, ID, KEY, SIGNATURE and BYTES as text; the caller frees it. */
char *body_bytes_text(const usher_field *field, const void *body);

typedef enum body_flags {
    BODY_FLAGS_BY_NAME,    /* "yes" and "no", as usherctl's arguments are */
    BODY_FLAGS_AS_BOOLEANS /* true and false, as JavaScript's are */
} body_flags;
/* The whole body as an object, its fields in the order of the rows. */
json_t *body_json(const usher_layout *layout, const void *body, body_flags flags);

#endif
