/* assertion.c: see assertion.h. */
#include "assertion.h"

#include <jansson.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>

#include "problem.h"
#include "user_id.h"

struct claims {
    struct user_id user;
    json_int_t iat, exp;
    const char *jti;
};

/* A part between the dots as JSON; NULL when it is none. The caller owns it. */
static json_t *
load_part(const char *part, size_t length)
{
    char text[ASSERTION_SIZE_MOST + 1];
    uint8_t json[ASSERTION_SIZE_MOST];
    size_t size;

    memcpy(text, part, length);
    text[length] = 0;
    if (!usher_base64_parse(text, json, sizeof json, &size))
        return NULL;
    return json_loadb((const char *)json, size, JSON_REJECT_DUPLICATES, NULL);
}

static bool
header_is_sound(const json_t *header)
{
    const char *alg = json_string_value(json_object_get(header, "alg"));
    const json_t *typ = json_object_get(header, "typ"), *kid = json_object_get(header, "kid");
    size_t known = 1;

    if (alg == NULL || strcmp(alg, "EdDSA") != 0)
        return false;
    if (typ != NULL && (!json_is_string(typ) || strcmp(json_string_value(typ), "JWT") != 0))
        return false;
    known += (typ != NULL) + (kid != NULL && json_is_string(kid));
    return json_object_size(header) == known;
}

/* Of the right names and types, and for this audience. */
static bool
read_claims(const json_t *object, const char *audience, struct claims *claims)
{
    const char *sub = json_string_value(json_object_get(object, "sub"));
    const char *aud = json_string_value(json_object_get(object, "aud"));
    const json_t *iat = json_object_get(object, "iat"), *exp = json_object_get(object, "exp");

    claims->jti = json_string_value(json_object_get(object, "jti"));
    if (json_object_size(object) != 5 || sub == NULL || aud == NULL || claims->jti == NULL)
        return false;
    if (!json_is_integer(iat) || !json_is_integer(exp) || *claims->jti == 0 || strlen(claims->jti) > 64)
        return false;
    claims->iat = json_integer_value(iat);
    claims->exp = json_integer_value(exp);
    return claims->iat >= 0 && claims->exp > claims->iat && strcmp(aud, audience) == 0 &&
           user_id_parse(sub, &claims->user);
}

/* Put it down as heard: 0, or why it can't be. */
static unsigned
remember(struct assertion_book *book, const struct claims *claims, uint64_t now_s)
{
    uint8_t digest[16];
    size_t set, room = ASSERTION_WAYS;

    crypto_generichash(digest, sizeof digest, (const uint8_t *)claims->jti, strlen(claims->jti), NULL, 0);
    set = (digest[0] | (size_t)digest[1] << 8) % ASSERTION_SETS;
    for (size_t way = 0; way < ASSERTION_WAYS; way++) {
        if (book->seen[set][way].exp <= now_s)
            room = way;
        else if (memcmp(book->seen[set][way].digest, digest, sizeof digest) == 0)
            return PROBLEM_ASSERTION_REPLAYED;
    }
    if (room == ASSERTION_WAYS)
        return PROBLEM_BRIDGE_BUSY;
    memcpy(book->seen[set][room].digest, digest, sizeof digest);
    book->seen[set][room].exp = (uint64_t)claims->exp;
    return 0;
}

static unsigned
judge(struct assertion_book *book, const json_t *header, const json_t *object, const usher_uuid *user, uint64_t now_s)
{
    struct claims claims;

    if (!header_is_sound(header) || !read_claims(object, book->audience, &claims))
        return PROBLEM_ASSERTION_INVALID;
    if ((uint64_t)claims.iat > now_s + ASSERTION_SKEW || (uint64_t)claims.exp <= now_s ||
        claims.exp - claims.iat > ASSERTION_LIFE_MOST)
        return PROBLEM_ASSERTION_EXPIRED;
    if (memcmp(&claims.user.uuid, user, sizeof *user) != 0)
        return PROBLEM_ASSERTION_OTHER_USER;
    return remember(book, &claims, now_s);
}

unsigned
assertion_check(struct assertion_book *book, const char *text, const usher_uuid *user, uint64_t now_s)
{
    const char *first = strchr(text, '.'), *second = first != NULL ? strchr(first + 1, '.') : NULL;
    uint8_t signature[crypto_sign_BYTES];
    json_t *header, *object;
    unsigned code;
    size_t size;

    if (second == NULL || strlen(text) > ASSERTION_SIZE_MOST ||
        !usher_base64_parse(second + 1, signature, sizeof signature, &size) || size != sizeof signature ||
        crypto_sign_verify_detached(signature, (const uint8_t *)text, (unsigned long long)(second - text),
                                    book->login_key.bytes) != 0)
        return PROBLEM_ASSERTION_INVALID;
    header = load_part(text, (size_t)(first - text));
    object = load_part(first + 1, (size_t)(second - first - 1));
    code = judge(book, header, object, user, now_s);
    json_decref(header);
    json_decref(object);
    return code;
}
