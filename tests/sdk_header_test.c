/* sdk_header_test.c: usher.h promises for each call the results that SPEC.md lists for its request, and no others. */
#include "test.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client-sdk/include/usher.h"
#include "spec.h"

/* The whole header; the caller frees it. */
static char *
read_header(void)
{
    FILE *file = fopen(HEADER_PATH, "r");
    char *text = calloc(1, 262144);

    assert_non_null(file);
    assert_non_null(text);
    assert_true(fread(text, 1, 262143, file) > 10000);
    fclose(file);
    return text;
}

/* What the comment above a call says from its "Results:" on; "" if it has none. */
static void
header_results(const char *header, const char *name, char *results, size_t size)
{
    char prototype[80];
    const char *at, *end, *begin = NULL;

    snprintf(prototype, sizeof prototype, "USHER_API usher_status usher_%s(", name);
    at = strstr(header, prototype);
    if (at == NULL)
        fail_msg("usher.h has no usher_%s()", name);
    end = at;
    while (strncmp(end, "*/", 2) != 0)
        end--;
    assert_true(at - end <= 4); /* the comment belongs to the call: nothing stands between them */
    for (const char *line = end; strncmp(line, "/*", 2) != 0; line--)
        if (strncmp(line, "Results:", 8) == 0)
            begin = line;
    snprintf(results, size, "%.*s", begin != NULL ? (int)(end - begin) : 0, begin != NULL ? begin : "");
}

/* The results' line, or lines, of a request's section. */
static void
spec_results(const usher_message *message, char *results, size_t size)
{
    char title[80];
    size_t line_no;

    snprintf(title, sizeof title, "### 0x%04x %s", message->opcode, message->constant);
    line_no = spec_find_prefix("Results: ", spec_find(title, 1));
    *results = 0;
    for (; spec_line(line_no) != NULL && *spec_line(line_no) != 0; line_no++)
        snprintf(results + strlen(results), size - strlen(results), "%s ", spec_line(line_no));
}

static bool
has_word(const char *text, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = text; (at = strstr(at, word)) != NULL; at += length) {
        char before = at > text ? at[-1] : ' ';
        if (!isalnum((unsigned char)before) && before != '_' && !isalnum((unsigned char)at[length]) &&
            at[length] != '_')
            return true;
    }
    return false;
}

/* F1, F4: the header's contract of each call and the specification's section of its request list the same results. */
static void
every_call_promises_the_results_of_the_specification(void **state)
{
    static const char *const names[] = {
#define USHER_RESULT(value, name, class, text) #name,
#include "protocol/results.def"
    };
    char *header = read_header();
    char promised[4096], specified[4096];
    size_t count;
    const usher_message *messages = usher_messages(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        if (messages[i].kind == USHER_MESSAGE_CONNECTION || messages[i].kind == USHER_MESSAGE_INTERNAL ||
            messages[i].kind == USHER_MESSAGE_WATCH || messages[i].opcode == USHER_OPCODE_ENROL)
            continue;
        header_results(header, messages[i].name, promised, sizeof promised);
        spec_results(&messages[i], specified, sizeof specified);
        for (size_t k = 1; k < sizeof names / sizeof *names; k++) /* all but OK */
            if (has_word(promised, names[k]) != has_word(specified, names[k]))
                fail_msg("%s of usher_%s() stands in %s alone", names[k], messages[i].name,
                         has_word(promised, names[k]) ? "usher.h" : "SPEC.md");
    }
    free(header);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_promises_the_results_of_the_specification),
    };

    return usher_test_main(argc, argv, tests);
}
