/* user_id.h: users as the HTTP API names them: a whole number or a UUID.
 *
 * The house knows UUIDs alone (X8). A number n becomes the UUID of version 8 (RFC 9562)
 *
 *     75736572-2d6e-8000-80NN-NNNNNNNNNNNN        N: the 56 low bits of n; 75736572 2d6e is "user-n" in ASCII
 *
 * and such a UUID becomes n again, so no table is needed and every bridge agrees. Numbers end at 2^53 - 1, beyond which
 * readers of JSON round. */
#ifndef BRIDGE_USER_ID_H
#define BRIDGE_USER_ID_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <usher.h>

#define USER_ID_NUMBER_MOST 9007199254740991

struct user_id {
    usher_uuid uuid;
    bool is_number;
    uint64_t number;
    char text[USHER_UUID_TEXT_SIZE]; /* no number: the UUID as it was given */
};

/* From a path or a query: decimal digits without a needless zero in front, or a UUID in its form of 36 characters. */
bool user_id_parse(const char *text, struct user_id *user);
/* From a body: a JSON number or a string with a UUID. */
bool user_id_from_json(const json_t *value, struct user_id *user);
/* A user who was not named in this request, but by its token: a number where the UUID stands for one. */
void user_id_from_uuid(const usher_uuid *uuid, struct user_id *user);
/* In the form in which it was given; the caller owns the reference. */
json_t *user_id_json(const struct user_id *user);

#endif
