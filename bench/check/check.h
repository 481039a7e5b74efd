/* check.h: was the house right? Holds what a server acknowledged (claims.h) against its events, its figures and what it
 * remembers of request ids.
 *
 *     check_event()    each event, from the first on: a model of the house grows, and what can't follow is a mistake
 *     check_info()     the house's figures against the model
 *     check_claim()    each acknowledgement against the model: the event that it promised is there, and is its own
 *     check_finish()   what happened and was acknowledged to nobody
 *     check_found()    the answer under a request id against what was acknowledged; check_balance() a balance
 *
 * No sockets in here, so that tests can feed lies; check_house() asks a real server for all of it. */
#ifndef BENCH_CHECK_H
#define BENCH_CHECK_H

#include <jansson.h>

#include "bench/check/claims.h"

enum check_name {
#define BENCH_CHECK(NAME, name, text) CHECK_##NAME,
#include "bench/check/checks.def"
    CHECK_COUNT
};

struct check_row {
    const char *name, *text;
};
extern const struct check_row check_rows[CHECK_COUNT];

struct check;
struct check *check_make(void);
void check_free(struct check *check);

void check_event(struct check *check, const usher_event *event);
void check_info(struct check *check, const usher_info_reply *info);
void check_claim(struct check *check, const struct claim *claim);
void check_finish(struct check *check);

/* A request id was looked up: found is NULL when nothing is remembered under it. */
void check_found(struct check *check, const struct claim *claim, const usher_lookup_reply *found);
/* What the model says that a user has; and hold the server's word against it. */
int64_t check_balance_of(const struct check *check, const usher_uuid *user);
void check_balance(struct check *check, const usher_uuid *user, int64_t balance);

/* How often a rule was looked at and how often it did not hold; and the first example of that, "" when there is none. */
uint64_t check_looked(const struct check *check, enum check_name name);
uint64_t check_failed(const struct check *check, enum check_name name);
const char *check_example(const struct check *check, enum check_name name);
/* Whether everything held. */
bool check_passed(const struct check *check);
json_t *check_report(const struct check *check);

/* Read a house's events from the first, its figures, every unknown and up to `lookups` acknowledged request ids, and the
 * balances of up to as many users. Unknown claims become acknowledged ones, or are taken out, by what their lookup says.
 * NULL, and why, when the house could not be asked: then nothing is known, which is no success. */
#define CHECK_LOOKUPS_USUAL 100000u
struct check *check_house(struct house *house, struct claims *claims, size_t lookups, char *why, size_t why_size);

#endif
