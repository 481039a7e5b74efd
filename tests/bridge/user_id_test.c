/* user_id_test.c: users as numbers and as UUIDs, and the keys of their requests (A1, M3). */
#include <stdio.h>
#include <string.h>

#include "apps/http-bridge/request_key.h"
#include "apps/http-bridge/user_id.h"
#include "tests/test.h"

static void
check_both_ways(const char *text, const char *uuid)
{
    struct user_id user, back;
    char formatted[USHER_UUID_TEXT_SIZE];

    assert_true(user_id_parse(text, &user));
    usher_uuid_format(&user.uuid, formatted);
    assert_string_equal(formatted, uuid);
    user_id_from_uuid(&user.uuid, &back);
    assert_true(back.is_number);
    assert_int_equal(back.number, user.number);
}

/* A1: a number is a UUID of version 8 and the other way round, without a table. */
static void
a_number_is_a_uuid_and_back(void **state)
{
    (void)state;
    check_both_ways("0", "75736572-2d6e-8000-8000-000000000000");
    check_both_ways("1", "75736572-2d6e-8000-8000-000000000001");
    check_both_ways("4294967296", "75736572-2d6e-8000-8000-000100000000");
    check_both_ways("9007199254740991", "75736572-2d6e-8000-801f-ffffffffffff");
}

/* A1: one more than 2^53 - 1, a sign, a zero in front, a fraction or a name are no users. */
static void
what_is_neither_number_nor_uuid_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "9007199254740992",
                                      "18446744073709551617",
                                      "-1",
                                      "+1",
                                      "01",
                                      "1.0",
                                      "1e3",
                                      " 1",
                                      "ann",
                                      "75736572-2d6e-8000-8000-00000000000",
                                      "757365722d6e80008000000000000001",
                                      "{75736572-2d6e-8000-8000-000000000001}"};
    struct user_id user;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (user_id_parse(bad[i], &user))
            fail_msg("\"%s\" was taken for a user", bad[i]);
}

static void
check_form(const char *json, const char *form)
{
    json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
    struct user_id user;

    assert_true(user_id_from_json(value, &user));
    json_t *back = user_id_json(&user);
    char *text = json_dumps(back, JSON_ENCODE_ANY);
    assert_string_equal(text, form);
    free(text);
    json_decref(back);
    json_decref(value);
}

/* A1, A4: an id comes back in the form in which it was given, even a UUID that stands for a number. */
static void
an_id_comes_back_in_the_form_in_which_it_was_given(void **state)
{
    struct user_id user;
    json_t *text = json_string("1");

    (void)state;
    check_form("7", "7");
    check_form("\"0190B1C2-7d3e-7a11-9c55-1f0e6a2b3c4d\"", "\"0190B1C2-7d3e-7a11-9c55-1f0e6a2b3c4d\"");
    check_form("\"75736572-2d6e-8000-8000-000000000007\"", "\"75736572-2d6e-8000-8000-000000000007\"");
    assert_false(user_id_from_json(text, &user)); /* a number is a number in JSON */
    json_decref(text);
}

/* A1: a UUID outside of the numbers' own stays one. */
static void
a_uuid_that_stands_for_no_number_stays_a_uuid(void **state)
{
    struct user_id user;
    usher_uuid uuid;

    (void)state;
    assert_true(usher_uuid_parse("75736572-2d6e-8000-8020-000000000000", &uuid)); /* 2^53 */
    user_id_from_uuid(&uuid, &user);
    assert_false(user.is_number);
    assert_string_equal(user.text, "75736572-2d6e-8000-8020-000000000000");
}

/* M3: keys have a bound and an alphabet. */
static void
a_key_is_1_to_64_letters(void **state)
{
    char key[REQUEST_KEY_MOST + 2];

    (void)state;
    memset(key, 'k', sizeof key);
    key[REQUEST_KEY_MOST + 1] = 0;
    assert_false(request_key_is_sound(key));
    key[REQUEST_KEY_MOST] = 0;
    assert_true(request_key_is_sound(key));
    assert_true(request_key_is_sound("a-Z_0.:~"));
    assert_false(request_key_is_sound(""));
    assert_false(request_key_is_sound("a b"));
    assert_false(request_key_is_sound("\xc3\xa4"));
    request_key_make(key);
    assert_true(request_key_is_sound(key));
}

/* M3: the same key of the same user and operation is the same request, of others another. */
static void
a_key_stands_for_one_request_of_one_user(void **state)
{
    const usher_uuid ann = {{1}}, bob = {{2}};
    usher_id first, other;

    (void)state;
    request_key_id(&ann, "pay", "1", &first);
    request_key_id(&ann, "pay", "1", &other);
    assert_memory_equal(&first, &other, sizeof first);
    request_key_id(&bob, "pay", "1", &other);
    assert_memory_not_equal(&first, &other, sizeof first);
    request_key_id(&ann, "payment", "1", &other);
    assert_memory_not_equal(&first, &other, sizeof first);
    request_key_id(&ann, "pa", "y1", &other);
    assert_memory_not_equal(&first, &other, sizeof first);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_is_a_uuid_and_back),
        cmocka_unit_test(what_is_neither_number_nor_uuid_is_refused),
        cmocka_unit_test(an_id_comes_back_in_the_form_in_which_it_was_given),
        cmocka_unit_test(a_uuid_that_stands_for_no_number_stays_a_uuid),
        cmocka_unit_test(a_key_is_1_to_64_letters),
        cmocka_unit_test(a_key_stands_for_one_request_of_one_user),
    };
    return usher_test_main(argc, argv, tests);
}
