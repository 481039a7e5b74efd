/* problem.h: refusals as application/problem+json (RFC 9457), from the rows of problems.def. */
#ifndef BRIDGE_PROBLEM_H
#define BRIDGE_PROBLEM_H

#include <jansson.h>
#include <stdint.h>
#include <usher.h>

#include "language.h"

struct http_exchange;

/* A problem's code: a result's value, or one of the bridge's own beyond them. */
typedef enum problem_code {
#define PROBLEM(NAME, status, number, korean) PROBLEM_##NAME = USHER_##NAME,
#define PROBLEM_OWN(NAME, status, english, korean)
#include "problems.def"
    PROBLEM_LAST_RESULT_ = 65535,
#define PROBLEM(NAME, status, number, korean)
#define PROBLEM_OWN(NAME, status, english, korean) PROBLEM_##NAME,
#include "problems.def"
} problem_code;

struct problem_row {
    unsigned code;
    const char *name; /* "HELD" */
    unsigned status;
    const char *number; /* the field that refusal.detail becomes; "" for none */
    struct words title;
};

/* All rows in the order of problems.def; *count gets their number. */
const struct problem_row *problem_rows(size_t *count);
/* By code, and by name; NULL when there is none. */
const struct problem_row *problem_find(unsigned code);
const struct problem_row *problem_named(const char *name);

/* One case of a problem. What is NULL or zero is left out. */
struct problem {
    unsigned code;       /* of a row */
    struct words detail; /* NULLs: the title again */
    const char *field;   /* of the request: stands before the detail as well */
    const char *bound;   /* goes into the place of % in the detail */
    const usher_refusal *refusal;
    uint64_t stamp_ms;
    const char *idempotency_key;
};
/* As an object; the caller owns it. */
json_t *problem_json(const struct problem *problem, enum language language);
/* End the exchange with it, in the language that its client likes. */
void problem_answer(struct http_exchange *exchange, const struct problem *problem);

#endif
