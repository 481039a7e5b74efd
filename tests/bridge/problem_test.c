/* problem_test.c: each refusal's row, its words in two languages, and docs/http.md beside it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/http-bridge/problem.h"
#include "tests/test.h"

/* Q12: every result that the wire has is a problem with a status of its kind, in English and in Korean. */
static void
every_result_has_a_row(void **state)
{
    (void)state;
    for (unsigned result = 1; result < USHER_RESULT_NONE; result++) {
        const struct problem_row *row = problem_find(result);
        if (strcmp(usher_result_name(result), "UNKNOWN") == 0) {
            assert_null(row);
            continue;
        }
        if (row == NULL)
            fail_msg("problems.def has no row for %s", usher_result_name(result));
        assert_string_equal(row->name, usher_result_name(result));
        assert_string_equal(row->title.in[LANGUAGE_ENGLISH], usher_result_text(result));
        assert_ptr_equal(problem_named(row->name), row);
        if (usher_result_class_of(result) == USHER_CLASS_LATER)
            assert_int_equal(row->status, 503);
    }
}

/* A client that branches on the code must never meet two of one name. */
static void
every_row_is_whole_and_there_once(void **state)
{
    size_t count;
    const struct problem_row *rows = problem_rows(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        assert_true(rows[i].status >= 400 && rows[i].status < 600);
        assert_true(strlen(rows[i].title.in[LANGUAGE_ENGLISH]) > 10 && strlen(rows[i].title.in[LANGUAGE_KOREAN]) > 10);
        assert_true((unsigned char)rows[i].title.in[LANGUAGE_KOREAN][0] >= 0x80 ||
                    strstr(rows[i].title.in[LANGUAGE_KOREAN], " ") != NULL);
        assert_ptr_equal(problem_named(rows[i].name), &rows[i]);
        assert_ptr_equal(problem_find(rows[i].code), &rows[i]);
    }
}

static char *
read_whole(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = calloc(1, 1 << 20);

    assert_non_null(file);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
    fclose(file);
    return text;
}

/* The table in docs/http.md is the rows, line by line and in their order. */
static void
the_table_in_the_docs_is_the_rows(void **state)
{
    char *docs = read_whole(HTTP_DOCS_PATH), line[1024];
    const char *at = docs, *found;
    size_t count;
    const struct problem_row *rows = problem_rows(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        snprintf(line, sizeof line, "\n| %s | %u | %s | %s | %s |\n", rows[i].name, rows[i].status,
                 rows[i].title.in[LANGUAGE_ENGLISH], rows[i].title.in[LANGUAGE_KOREAN],
                 *rows[i].number != 0 ? rows[i].number : "-");
        found = strstr(at, line);
        if (found == NULL)
            fail_msg("docs/http.md has not at its place:%s", line);
        at = found;
    }
    free(docs);
}

static void
check_text(const struct problem *problem, enum language language, const char *expected)
{
    json_t *object = problem_json(problem, language);
    char *text = json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER);

    assert_string_equal(text, expected);
    free(text);
    json_decref(object);
}

/* Q12, H2: what stands in the way and until when, in the words of RFC 9457 and the client's language. */
static void
a_problem_says_what_stands_in_the_way(void **state)
{
    static const usher_refusal held = {.retry_after_ms = 1500,
                                       .until_ms = 9000,
                                       .conflict_count = 1,
                                       .conflict = {{.seat_no = 7, .result = USHER_HELD, .until_ms = 9000}}};
    static const usher_refusal waiting = {.retry_after_ms = 1000, .detail = 12};

    (void)state;
    check_text(
        &(struct problem){.code = USHER_HELD, .refusal = &held, .stamp_ms = 7500}, LANGUAGE_ENGLISH,
        "{\"type\":\"/problems/HELD\",\"title\":\"someone else holds the seat for now\",\"status\":409,"
        "\"code\":\"HELD\",\"detail\":\"someone else holds the seat for now\",\"retry_after_ms\":1500,"
        "\"until_ms\":9000,\"conflict\":[{\"seat_no\":7,\"code\":\"HELD\",\"until_ms\":9000}],\"stamp_ms\":7500}");
    check_text(
        &(struct problem){.code = USHER_TOKEN_WAITING, .refusal = &waiting}, LANGUAGE_KOREAN,
        "{\"type\":\"/problems/TOKEN_WAITING\",\"title\":\"아직 차례가 오지 않았습니다\",\"status\":403,"
        "\"code\":\"TOKEN_WAITING\",\"detail\":\"아직 차례가 오지 않았습니다\",\"retry_after_ms\":1000,\"rank\":12}");
    check_text(
        &(struct problem){.code = PROBLEM_MAYBE_APPLIED, .idempotency_key = "k"}, LANGUAGE_ENGLISH,
        "{\"type\":\"/problems/MAYBE_APPLIED\",\"title\":\"the request was sent and no answer came: repeat it with the "
        "same Idempotency-Key to learn what became of it\",\"status\":503,\"code\":\"MAYBE_APPLIED\",\"detail\":\"the "
        "request was sent and no answer came: repeat it with the same Idempotency-Key to learn what became of "
        "it\",\"retry_after_ms\":1000,\"idempotency_key\":\"k\"}");
}

/* Accept-Language as browsers and people write it. */
static void
the_language_is_the_better_liked_one(void **state)
{
    static const struct {
        const char *header;
        enum language language;
    } rows[] = {{NULL, LANGUAGE_ENGLISH},
                {"", LANGUAGE_ENGLISH},
                {"ko", LANGUAGE_KOREAN},
                {"KO-kr", LANGUAGE_KOREAN},
                {"ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", LANGUAGE_KOREAN},
                {"en-US,en;q=0.9,ko;q=0.8", LANGUAGE_ENGLISH},
                {"en;q=0.1, ko;q=0.25", LANGUAGE_KOREAN},
                {"ko;q=0", LANGUAGE_ENGLISH},
                {"ko;q=0.001", LANGUAGE_KOREAN},
                {"kok", LANGUAGE_ENGLISH},
                {"de, fr;q=0.9", LANGUAGE_ENGLISH},
                {",,;q=,ko", LANGUAGE_KOREAN},
                {"ko;q", LANGUAGE_KOREAN},
                {"en;q=1.0,ko;q=1.000", LANGUAGE_ENGLISH}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (language_of(rows[i].header) != rows[i].language)
            fail_msg("\"%s\" is read wrongly", rows[i].header);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_result_has_a_row),
        cmocka_unit_test(every_row_is_whole_and_there_once),
        cmocka_unit_test(the_table_in_the_docs_is_the_rows),
        cmocka_unit_test(a_problem_says_what_stands_in_the_way),
        cmocka_unit_test(the_language_is_the_better_liked_one),
    };
    return usher_test_main(argc, argv, tests);
}
