/* assertion_test.c: an assertion of the shop's login opens one user's token once, within its time, for this service. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/http-bridge/assertion.h"
#include "apps/http-bridge/problem.h"
#include "apps/http-bridge/user_id.h"
#include "tests/test.h"

#define NOW 1000000u

static struct assertion_book book;
static uint8_t login_secret[crypto_sign_SECRETKEYBYTES];
static struct user_id ann;

static int
open_book(void **state)
{
    (void)state;
    assert_true(sodium_init() >= 0);
    memset(&book, 0, sizeof book);
    crypto_sign_keypair(book.login_key.bytes, login_secret);
    book.audience = "tickets.example";
    assert_true(user_id_parse("1", &ann));
    return 0;
}

/* A JWT of this header and these claims; good until the next one. */
static const char *
sign(const char *header, const char *claims)
{
    static char text[8192];
    uint8_t signature[crypto_sign_BYTES];
    size_t used = usher_base64_format((const uint8_t *)header, strlen(header), text, sizeof text);

    text[used++] = '.';
    used += usher_base64_format((const uint8_t *)claims, strlen(claims), text + used, sizeof text - used);
    crypto_sign_detached(signature, NULL, (const uint8_t *)text, used, login_secret);
    text[used++] = '.';
    usher_base64_format(signature, sizeof signature, text + used, sizeof text - used);
    return text;
}

static const char *
sign_claims(const char *sub, const char *aud, unsigned iat, unsigned exp, const char *jti)
{
    char claims[1024];

    snprintf(claims, sizeof claims, "{\"sub\":\"%s\",\"aud\":\"%s\",\"iat\":%u,\"exp\":%u,\"jti\":\"%s\"}", sub, aud,
             iat, exp, jti);
    return sign("{\"alg\":\"EdDSA\",\"typ\":\"JWT\"}", claims);
}

static unsigned
check(const char *text, uint64_t now_s)
{
    return assertion_check(&book, text, &ann.uuid, now_s);
}

/* A1: of a number or of the UUID that it stands for, up to its last second, once. */
static void
an_assertion_opens_its_users_token_once(void **state)
{
    (void)state;
    assert_int_equal(check(sign_claims("1", "tickets.example", NOW, NOW + 120, "a"), NOW + 119), 0);
    assert_int_equal(check(sign_claims("1", "tickets.example", NOW, NOW + 120, "a"), NOW + 119),
                     PROBLEM_ASSERTION_REPLAYED);
    assert_int_equal(
        check(sign_claims("75736572-2d6e-8000-8000-000000000001", "tickets.example", NOW, NOW + 1, "b"), NOW), 0);
    assert_int_equal(
        check(sign("{\"kid\":\"2026\",\"alg\":\"EdDSA\"}",
                   "{\"jti\":\"c\",\"exp\":1000060,\"iat\":1000000,\"aud\":\"tickets.example\",\"sub\":\"1\"}"),
              NOW),
        0);
}

/* A1: time, audience, user. */
static void
an_assertion_of_another_time_place_or_user_is_refused(void **state)
{
    (void)state;
    assert_int_equal(check(sign_claims("1", "tickets.example", NOW, NOW + 60, "a"), NOW + 60),
                     PROBLEM_ASSERTION_EXPIRED);
    assert_int_equal(check(sign_claims("1", "tickets.example", NOW, NOW + 121, "a"), NOW), PROBLEM_ASSERTION_EXPIRED);
    assert_int_equal(check(sign_claims("1", "tickets.example", NOW + 6, NOW + 60, "a"), NOW),
                     PROBLEM_ASSERTION_EXPIRED);
    assert_int_equal(check(sign_claims("1", "tickets.example", NOW + 5, NOW + 60, "a"), NOW), 0);
    assert_int_equal(check(sign_claims("1", "other.example", NOW, NOW + 60, "b"), NOW), PROBLEM_ASSERTION_INVALID);
    assert_int_equal(check(sign_claims("2", "tickets.example", NOW, NOW + 60, "b"), NOW), PROBLEM_ASSERTION_OTHER_USER);
    assert_int_equal(check(sign_claims("1", "tickets.example", NOW, NOW + 60, "b"), NOW),
                     0); /* none of these used it */
}

/* A1: another algorithm, another word, another key, a changed byte. */
static void
an_assertion_that_is_not_the_logins_is_refused(void **state)
{
    static const char *const claims =
        "{\"sub\":\"1\",\"aud\":\"tickets.example\",\"iat\":1000000,\"exp\":1000060,\"jti\":\"a\"}";
    static const char *const headers[] = {"{}",
                                          "{\"alg\":\"none\"}",
                                          "{\"alg\":\"HS256\"}",
                                          "{\"alg\":\"EdDSA\",\"crit\":[\"x\"]}",
                                          "{\"alg\":\"EdDSA\",\"typ\":\"JWE\"}",
                                          "{\"alg\":\"EdDSA\",\"alg\":\"EdDSA\"}",
                                          "[]",
                                          "EdDSA"};
    static const char *const bodies[] = {
        "{}",
        "{\"sub\":\"1\"}",
        "{\"sub\":1,\"aud\":\"tickets.example\",\"iat\":1000000,\"exp\":1000060,\"jti\":\"a\"}",
        "{\"sub\":\"1\",\"aud\":\"tickets.example\",\"iat\":1000000,\"exp\":\"1000060\",\"jti\":\"a\"}",
        "{\"sub\":\"1\",\"aud\":\"tickets.example\",\"iat\":1000000,\"exp\":1000060,\"jti\":\"\"}",
        "{\"sub\":\"1\",\"aud\":\"tickets.example\",\"iat\":1000000,\"exp\":1000060,\"jti\":\"a\",\"admin\":true}"};
    char text[8192];

    (void)state;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        assert_int_equal(check(sign(headers[i], claims), NOW), PROBLEM_ASSERTION_INVALID);
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        assert_int_equal(check(sign("{\"alg\":\"EdDSA\"}", bodies[i]), NOW), PROBLEM_ASSERTION_INVALID);
    strcpy(text, sign("{\"alg\":\"EdDSA\"}", claims));
    for (char *at = text; *at != 0; at += 7) {
        char before = *at;
        *at = before == 'A' ? 'B' : 'A';
        assert_int_equal(check(text, NOW), PROBLEM_ASSERTION_INVALID);
        *at = before;
    }
    assert_int_equal(check("", NOW), PROBLEM_ASSERTION_INVALID);
    assert_int_equal(check("..", NOW), PROBLEM_ASSERTION_INVALID);
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    assert_int_equal(check(text, NOW), PROBLEM_ASSERTION_INVALID);
}

/* A1: what is remembered is bounded: with no room left nothing is taken, and what is over makes room. */
static void
the_book_of_heard_assertions_is_bounded(void **state)
{
    (void)state;
    for (size_t set = 0; set < ASSERTION_SETS; set++)
        for (size_t way = 0; way < ASSERTION_WAYS; way++)
            book.seen[set][way].exp = NOW + 60;
    assert_int_equal(check(sign_claims("1", "tickets.example", NOW, NOW + 60, "a"), NOW + 59), PROBLEM_BRIDGE_BUSY);
    assert_int_equal(check(sign_claims("1", "tickets.example", NOW + 60, NOW + 120, "a"), NOW + 60), 0);
    assert_int_equal(check(sign_claims("1", "tickets.example", NOW + 60, NOW + 120, "a"), NOW + 60),
                     PROBLEM_ASSERTION_REPLAYED);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_assertion_opens_its_users_token_once, open_book),
        cmocka_unit_test_setup(an_assertion_of_another_time_place_or_user_is_refused, open_book),
        cmocka_unit_test_setup(an_assertion_that_is_not_the_logins_is_refused, open_book),
        cmocka_unit_test_setup(the_book_of_heard_assertions_is_bounded, open_book),
    };
    return usher_test_main(argc, argv, tests);
}
