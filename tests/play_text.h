/* play_text.h: the values of a scene: text to fields of bodies and back, by the rows of structs.def. */
#ifndef USHER_PLAY_TEXT_H
#define USHER_PLAY_TEXT_H

#include "tests/play_people.h"

#define TEXT_WHY_SIZE 512

/* Where a field stands in a struct, or NULL: by its whole name, or the part before _id, _no, _ms, _at_ms or _count. */
const usher_field *text_field(const usher_layout *layout, const char *name);

/* Put a value into a request's field. On failure why says what is wrong. */
bool text_set(struct play_people *people, const usher_layout *layout, void *body, const char *name, const char *value,
              char *why);

/* Check one "name=value" (or with another comparison) of an expectation. On failure why says what came. */
bool text_expect(struct play_people *people, const usher_layout *layout, const void *body, const char *condition,
                 char *why);

/* Write a body as a scene would, at most size bytes. */
void text_print(struct play_people *people, const usher_layout *layout, const void *body, char *out, size_t size);

/* A result by its name; false if there is none. */
bool text_result(const char *name, unsigned *result);

#endif
