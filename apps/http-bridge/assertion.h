/* assertion.h: what the shop's login says of a user: "this is user 7, for this service, until then". It is a JWT (RFC
 * 7519) in compact form, signed with Ed25519 (RFC 8037):
 *
 *     header   {"alg":"EdDSA"}, perhaps with "typ":"JWT" and "kid"; every other word is refused
 *     claims   "sub"  the user: a number in decimal digits, or a UUID
 *              "aud"  this bridge's --audience
 *              "iat", "exp"  seconds since 1970; they are at most ASSERTION_LIFE_MOST apart
 *              "jti"  1 to 64 characters, never used twice
 *              and no others
 *
 * A jti is remembered until its assertion is over, so an assertion works once at a bridge. Another bridge would take it
 * a second time; all that it gives there is the place that its user has already (Q2). */
#ifndef BRIDGE_ASSERTION_H
#define BRIDGE_ASSERTION_H

#include <stdint.h>
#include <usher.h>

#define ASSERTION_LIFE_MOST 120u  /* seconds */
#define ASSERTION_SKEW      5u    /* seconds that the login's clock may be ahead */
#define ASSERTION_SIZE_MOST 2048u /* characters */
#define ASSERTION_WAYS      32u
#define ASSERTION_SETS      512u /* times ASSERTION_WAYS: how many are remembered at once */

/* Whose word counts, and what was heard already. */
struct assertion_book {
    usher_key login_key;
    const char *audience;
    struct {
        uint8_t digest[16];
        uint64_t exp;
    } seen[ASSERTION_SETS][ASSERTION_WAYS];
};

/* Whether the text says that this user asks, at now_s: 0, or a problem's code. Only a good one is remembered. */
unsigned assertion_check(struct assertion_book *book, const char *text, const usher_uuid *user, uint64_t now_s);

#endif
