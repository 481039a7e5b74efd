/* read.h: what a request says, from its path, its query and its JSON body into the struct of an SDK request, strictly.
 *
 * Which fields a request has is one line of words in its row of calls.def:
 *
 *     name            a field of this name; it must be there
 *     ?name           it may be left out, or be null in a body
 *     name=field      it goes into another field of the struct
 *     name=field[]    it is one element of that list
 *     name:WORD       it must be this very text
 *
 * Nothing is passed over: a field or parameter that the line does not have, a name that stands twice, bytes behind the
 * object, a number with a fraction or beyond 2^53 - 1, another type than the field's: each is a problem that says which
 * field and why. */
#ifndef BRIDGE_READ_H
#define BRIDGE_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <usher.h>

#include "problem.h"
#include "user_id.h"

struct http_exchange;

/* Parameters that are no fields of the SDK's request. */
struct read_extra {
    uint64_t wait_ms;    /* of a long poll */
    uint32_t of_concert; /* A1: whose queue is meant */
};
#define READ_WAIT_MS_MOST 60000

struct reading {
    const struct http_exchange *exchange;
    const usher_layout *layout; /* of the struct that is filled in */
    void *body;                 /* it, all zeros or what optional fields mean by themselves */
    struct user_id *user;       /* gets the user in its form, when the request names one */
    struct read_extra extra;
    struct problem problem; /* what was wrong, when a function below has returned false */
    char field[64];
    char bound[128];
};

/* Each returns whether all is sound; else reading->problem says what is not. */
bool read_path(struct reading *reading, const char *line);
bool read_query(struct reading *reading, const char *line);
/* The body must be there unless the line is "". */
bool read_body(struct reading *reading, const char *line);
/* The same for JSON text that is no request's. */
bool read_json(struct reading *reading, const char *line, const char *json, size_t size);

#endif
