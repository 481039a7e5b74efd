/* read_test.c: bodies are read strictly: each mistake is one line that says which field and why. */
#include <stdlib.h>
#include <string.h>

#include "apps/http-bridge/read.h"
#include "tests/test.h"

#define LINE "userId=user concertId=concert_id ?dateId=date_id seat status:APPLY"

static usher_reserve_request got;
static struct user_id user;

static bool
read_text(const char *line, const char *json, struct reading *reading)
{
    memset(&got, 0, sizeof got);
    *reading = (struct reading){.layout = usher_message_of(USHER_OPCODE_RESERVE)->request, .body = &got, .user = &user};
    return read_json(reading, line, json, strlen(json));
}

/* A4: what is sound goes to its fields. */
static void
a_sound_body_is_taken_field_by_field(void **state)
{
    struct reading reading;

    (void)state;
    assert_true(read_text(
        LINE, " {\"status\":\"APPLY\",\"seat\":[3,4294967295],\"concertId\":1,\"userId\":5,\"dateId\":null}\n",
        &reading));
    assert_int_equal(got.concert_id, 1);
    assert_int_equal(got.date_id, 0);
    assert_int_equal(got.seat_count, 2);
    assert_int_equal(got.seat[0], 3);
    assert_int_equal(got.seat[1], UINT32_MAX);
    assert_memory_equal(&got.user, &user.uuid, sizeof got.user);
    assert_true(read_text("seatId=seat[]", "{\"seatId\":9}", &reading));
    assert_int_equal(got.seat_count, 1);
    assert_int_equal(got.seat[0], 9);
}

static const struct {
    const char *json;
    const char *field;  /* NULL: the JSON itself is wrong */
    const char *detail; /* a piece of it */
} mistakes[] = {
    {"", NULL, "'[' or '{' expected"},
    {"[]", NULL, "the body is not a JSON object"},
    {"{", NULL, "1:1:"},
    {"{} x", NULL, "end of file expected"},
    {"{\"seat\":[1],\"seat\":[2]}", NULL, "duplicate object key"},
    {"{\"seat\":[\"\\u0000\"]}", NULL, "\\u0000"},
    {"{\"concertId\":99999999999999999999}", NULL, "too big integer"},
    {"{\"concertId\":1,\"seats\":[1]}", "seats", "there is no such field"},
    {"{\"concertId\":1,\"userId\":1,\"status\":\"APPLY\"}", "seat", "is missing"},
    {"{\"userId\":null,\"concertId\":1,\"seat\":[1],\"status\":\"APPLY\"}", "userId", "is neither a whole number"},
    {"{\"userId\":9007199254740992,\"concertId\":1,\"seat\":[1],\"status\":\"APPLY\"}", "userId", "is neither"},
    {"{\"userId\":-1,\"concertId\":1,\"seat\":[1],\"status\":\"APPLY\"}", "userId", "is neither"},
    {"{\"userId\":1.0,\"concertId\":1,\"seat\":[1],\"status\":\"APPLY\"}", "userId", "is neither"},
    {"{\"userId\":1,\"concertId\":4294967296,\"seat\":[1],\"status\":\"APPLY\"}", "concertId", "within 0..4294967295"},
    {"{\"userId\":1,\"concertId\":-1,\"seat\":[1],\"status\":\"APPLY\"}", "concertId", "within 0..4294967295"},
    {"{\"userId\":1,\"concertId\":1e2,\"seat\":[1],\"status\":\"APPLY\"}", "concertId", "is not a whole number"},
    {"{\"userId\":1,\"concertId\":\"1\",\"seat\":[1],\"status\":\"APPLY\"}", "concertId", "is not a whole number"},
    {"{\"userId\":1,\"concertId\":true,\"seat\":[1],\"status\":\"APPLY\"}", "concertId", "is not a whole number"},
    {"{\"userId\":1,\"concertId\":1,\"seat\":1,\"status\":\"APPLY\"}", "seat", "is not a list of at most 16 numbers"},
    {"{\"userId\":1,\"concertId\":1,\"seat\":[1,null],\"status\":\"APPLY\"}", "seat[1]", "is not a whole number"},
    {"{\"userId\":1,\"concertId\":1,\"seat\":[[[1]]],\"status\":\"APPLY\"}", "seat[0]", "is not a whole number"},
    {"{\"userId\":1,\"concertId\":1,\"seat\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17],\"status\":\"APPLY\"}", "seat",
     "is not a list of at most 16 numbers"},
    {"{\"userId\":1,\"concertId\":1,\"seat\":[1],\"status\":\"apply\"}", "status", "is not \"APPLY\""},
};

/* A4, A7: unknown fields, names that stand twice, bytes behind the object, wrong types, numbers that JSON readers
 * round. */
static void
each_mistake_is_named_with_its_field(void **state)
{
    struct reading reading;

    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        if (read_text(LINE, mistakes[i].json, &reading))
            fail_msg("was taken: %s", mistakes[i].json);
        json_t *problem = problem_json(&reading.problem, LANGUAGE_ENGLISH);
        const char *field = json_string_value(json_object_get(problem, "field"));
        const char *detail = json_string_value(json_object_get(problem, "detail"));
        assert_int_equal(reading.problem.code,
                         mistakes[i].field != NULL ? PROBLEM_FIELD_INVALID : PROBLEM_JSON_INVALID);
        if ((mistakes[i].field == NULL) != (field == NULL) ||
            (field != NULL && strcmp(field, mistakes[i].field) != 0) || strstr(detail, mistakes[i].detail) == NULL)
            fail_msg("%s: field %s, detail %s", mistakes[i].json, field, detail);
        json_decref(problem);
    }
}

/* A body of brackets alone must not use up the stack. */
static void
depth_has_a_bound(void **state)
{
    struct reading reading;
    char *deep = calloc(1, 65537);

    (void)state;
    memset(deep, '[', 65536);
    memcpy(deep, "{\"seat\":", 8);
    assert_false(read_text(LINE, deep, &reading));
    assert_int_equal(reading.problem.code, PROBLEM_JSON_INVALID);
    free(deep);
}

/* A name too long for the problem is cut between two letters, so that the problem stays sound UTF-8. */
static void
a_long_name_is_cut_between_letters(void **state)
{
    char json[512] = "{\"";
    struct reading reading;

    (void)state;
    for (int i = 0; i < 40; i++)
        strcat(json, "좌");
    strcat(json, "\":1}");
    assert_false(read_text(LINE, json, &reading));
    json_t *problem = problem_json(&reading.problem, LANGUAGE_KOREAN);
    assert_int_equal(strlen(json_string_value(json_object_get(problem, "field"))), 63);
    assert_non_null(json_object_get(problem, "detail"));
    json_decref(problem);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_body_is_taken_field_by_field),
        cmocka_unit_test(each_mistake_is_named_with_its_field),
        cmocka_unit_test(depth_has_a_bound),
        cmocka_unit_test(a_long_name_is_cut_between_letters),
    };
    return usher_test_main(argc, argv, tests);
}
