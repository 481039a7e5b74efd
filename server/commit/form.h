/* form.h: where the fields that many requests share stand in each request's struct, found once by their names.
 *
 * The rows of structs.def give every request its own struct; the ladder of checks and the batch treat `token`, `user`,
 * `request_id` and `signature` alike wherever they occur. */
#ifndef COMMIT_FORM_H
#define COMMIT_FORM_H

#include "protocol/protocol.h"

#define FORMS_MOST 128

struct form {
    const usher_field *token;      /* NULL where the request has none; as the others */
    const usher_field *user;       /* the one whom the request is about */
    const usher_field *request_id; /* M3 */
    const usher_field *signature;  /* a proof that belongs to the connection */
};

struct forms {
    const usher_message *first;
    struct form of[FORMS_MOST]; /* in the order of usher_messages() */
    size_t struct_size_most;    /* of all requests and replies */
};

void forms_fill(struct forms *forms);

static inline const struct form *
forms_of(const struct forms *forms, const usher_message *message)
{
    return &forms->of[message - forms->first];
}

/* The field of a body; the field must be there. */
static inline void *
form_at(void *body, const usher_field *field)
{
    return (uint8_t *)body + field->offset;
}

static inline const void *
form_see(const void *body, const usher_field *field)
{
    return (const uint8_t *)body + field->offset;
}

/* The count of a BYTES field. */
static inline uint16_t
form_count(const void *body, const usher_field *field)
{
    return *(const uint16_t *)((const uint8_t *)body + field->count_offset);
}

#endif
