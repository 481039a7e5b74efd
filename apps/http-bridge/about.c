/* about.c: what the API says of itself: its document, and what a problem's code means. */
#include "handlers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* openapi.json, as it is. */
__asm__(".section .rodata\n"
        "openapi_begin:\n"
        ".incbin \"" OPENAPI_PATH "\"\n"
        "openapi_end:\n"
        ".previous\n");
extern const char openapi_begin[], openapi_end[];

void
openapi_handle(struct http_exchange *exchange)
{
    http_add_header(exchange, "Cache-Control", "no-cache");
    http_respond(exchange, &(struct http_response){.status = 200,
                                                   .content_type = "application/json",
                                                   .body = openapi_begin,
                                                   .size = (size_t)(openapi_end - openapi_begin),
                                                   .body_lasts = true});
}

void
problem_handle(struct http_exchange *exchange)
{
    const struct problem_row *row = problem_named(http_parameter(exchange, "code"));
    char *text;
    json_t *answer;

    if (row == NULL) {
        problem_answer(exchange, &(struct problem){.code = PROBLEM_PROBLEM_NOT_FOUND});
        return;
    }
    answer = json_pack("{s:s, s:i, s:{s:s, s:s}}", "code", row->name, "status", (int)row->status, "title", "en",
                       row->title.in[LANGUAGE_ENGLISH], "ko", row->title.in[LANGUAGE_KOREAN]);
    text = json_dumps(answer, JSON_COMPACT | JSON_PRESERVE_ORDER);
    assert(text != NULL);
    json_decref(answer);
    http_respond_json(exchange, 200, text, strlen(text));
    free(text);
}
