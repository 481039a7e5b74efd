/* problem.c: see problem.h. */
#include "problem.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http.h"

#define LATER_MS 1000 /* what a 503 that names no time says */

static struct problem_row rows[] = {
#define PROBLEM(NAME, status, number, korean)      {USHER_##NAME, #NAME, status, number, {{NULL, korean}}},
#define PROBLEM_OWN(NAME, status, english, korean) {PROBLEM_##NAME, #NAME, status, "", {{english, korean}}},
#include "problems.def"
};
#define ROW_COUNT (sizeof rows / sizeof *rows)

const struct problem_row *
problem_rows(size_t *count)
{
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (rows[i].title.in[LANGUAGE_ENGLISH] == NULL)
            rows[i].title.in[LANGUAGE_ENGLISH] = usher_result_text(rows[i].code);
    *count = ROW_COUNT;
    return rows;
}

const struct problem_row *
problem_find(unsigned code)
{
    size_t count;
    const struct problem_row *all = problem_rows(&count);

    for (size_t i = 0; i < count; i++)
        if (all[i].code == code)
            return &all[i];
    return NULL;
}

const struct problem_row *
problem_named(const char *name)
{
    size_t count;
    const struct problem_row *all = problem_rows(&count);

    for (size_t i = 0; i < count; i++)
        if (strcmp(all[i].name, name) == 0)
            return &all[i];
    return NULL;
}

/* "seat: is not a whole number from 1 to 50" */
static void
say_detail(const struct problem *problem, const struct problem_row *row, enum language language, char *text,
           size_t size)
{
    const char *detail = problem->detail.in[language] != NULL ? problem->detail.in[language] : row->title.in[language];
    const char *hole = problem->bound != NULL ? strchr(detail, '%') : NULL;
    int before = (int)(hole != NULL ? (size_t)(hole - detail) : strlen(detail));

    snprintf(text, size, "%s%s%.*s%s%s", problem->field != NULL ? problem->field : "",
             problem->field != NULL ? ": " : "", before, detail, hole != NULL ? problem->bound : "",
             hole != NULL ? hole + 1 : "");
}

static json_t *
json_conflicts(const usher_refusal *refusal)
{
    json_t *list = json_array();

    for (uint16_t i = 0; i < refusal->conflict_count; i++) {
        const usher_conflict *conflict = &refusal->conflict[i];
        json_array_append_new(list, json_pack("{s:I, s:s, s:I}", "seat_no", (json_int_t)conflict->seat_no, "code",
                                              usher_result_name(conflict->result), "until_ms",
                                              (json_int_t)conflict->until_ms));
    }
    return list;
}

static void
add_number(json_t *object, const char *name, uint64_t value)
{
    if (value != 0)
        json_object_set_new(object, name, json_integer((json_int_t)value));
}

static uint64_t
retry_after_ms(const struct problem *problem, const struct problem_row *row)
{
    if (problem->refusal != NULL && problem->refusal->retry_after_ms != 0)
        return problem->refusal->retry_after_ms;
    return row->status == 503 ? LATER_MS : 0;
}

json_t *
problem_json(const struct problem *problem, enum language language)
{
    const struct problem_row *row = problem_find(problem->code);
    json_t *object = json_object();
    char text[512];

    assert(row != NULL);
    snprintf(text, sizeof text, "/problems/%s", row->name);
    json_object_set_new(object, "type", json_string(text));
    json_object_set_new(object, "title", json_string(row->title.in[language]));
    json_object_set_new(object, "status", json_integer(row->status));
    json_object_set_new(object, "code", json_string(row->name));
    say_detail(problem, row, language, text, sizeof text);
    json_object_set_new(object, "detail", json_string(text));
    if (problem->field != NULL)
        json_object_set_new(object, "field", json_string(problem->field));
    add_number(object, "retry_after_ms", retry_after_ms(problem, row));
    if (problem->refusal != NULL) {
        add_number(object, "until_ms", problem->refusal->until_ms);
        if (*row->number != 0)
            add_number(object, row->number, problem->refusal->detail);
        if (problem->refusal->conflict_count > 0)
            json_object_set_new(object, "conflict", json_conflicts(problem->refusal));
    }
    if (problem->idempotency_key != NULL)
        json_object_set_new(object, "idempotency_key", json_string(problem->idempotency_key));
    add_number(object, "stamp_ms", problem->stamp_ms);
    return object;
}

void
problem_answer(struct http_exchange *exchange, const struct problem *problem)
{
    const struct problem_row *row = problem_find(problem->code);
    enum language language = language_of(http_header(exchange, "Accept-Language"));
    json_t *object = problem_json(problem, language);
    char *text = json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER);
    uint64_t later_ms = retry_after_ms(problem, row);

    assert(text != NULL);
    json_decref(object);
    http_add_header(exchange, "Cache-Control", "no-store");
    http_add_header(exchange, "Content-Language", language_tag(language));
    http_add_header(exchange, "Vary", "Accept-Language");
    if (row->status == 401)
        http_add_header(exchange, "WWW-Authenticate", "Bearer realm=\"usher\"");
    if (later_ms > 0)
        http_add_header_number(exchange, "Retry-After", (later_ms + 999) / 1000);
    http_respond(exchange, &(struct http_response){.status = row->status,
                                                   .content_type = "application/problem+json",
                                                   .body = text,
                                                   .size = strlen(text)});
    free(text);
}
