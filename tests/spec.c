/* spec.c: reads SPEC.md. See spec.h. */
#include "tests/spec.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test.h"

#define LINES_MOST 8192u
#define FENCE      "```"

static char *lines[LINES_MOST];
static size_t line_count;

static void
read_lines(void)
{
    FILE *file = fopen(SPEC_PATH, "re");
    char *line = NULL;
    size_t room = 0;
    ssize_t length;

    if (file == NULL)
        fail_msg("can't read %s", SPEC_PATH);
    while ((length = getline(&line, &room, file)) > 0) {
        assert_true(line_count < LINES_MOST);
        if (line[length - 1] == '\n')
            line[length - 1] = '\0';
        lines[line_count++] = line; /* kept until the process ends */
        line = NULL;
        room = 0;
    }
    free(line);
    fclose(file);
    assert_true(line_count > 0);
}

const char *
spec_line(size_t line_no)
{
    if (line_count == 0)
        read_lines();
    assert_true(line_no >= 1);
    return line_no <= line_count ? lines[line_no - 1] : NULL;
}

static size_t
find(const char *text, size_t from, bool whole)
{
    const char *line;

    for (size_t line_no = from; (line = spec_line(line_no)) != NULL; line_no++)
        if (whole ? strcmp(line, text) == 0 : strncmp(line, text, strlen(text)) == 0)
            return line_no;
    fail_msg("SPEC.md has no such line from line %zu on:\n  %s", from, text);
    return 0;
}

size_t
spec_find(const char *text, size_t from)
{
    return find(text, from, true);
}

size_t
spec_find_prefix(const char *prefix, size_t from)
{
    return find(prefix, from, false);
}

static void
expect(size_t line_no, bool whole, const char *format, va_list arguments)
{
    const char *line = spec_line(line_no);
    char wanted[1024];
    int length = vsnprintf(wanted, sizeof wanted, format, arguments);

    assert_true(length > 0 && (size_t)length < sizeof wanted);
    if (line == NULL)
        fail_msg("SPEC.md ends before line %zu, where the code has\n  %s", line_no, wanted);
    if (whole ? strcmp(line, wanted) != 0 : strncmp(line, wanted, (size_t)length) != 0 || line[length] == '\0')
        fail_msg("SPEC.md line %zu says\n  %s\nand the code\n  %s%s", line_no, line, wanted, whole ? "" : "...");
}

void
spec_expect(size_t line_no, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    expect(line_no, true, format, arguments);
    va_end(arguments);
}

void
spec_expect_prefix(size_t line_no, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    expect(line_no, false, format, arguments);
    va_end(arguments);
}

/* --- examples ------------------------------------------------------------------------------------------ */
static int
digit_of(char c)
{
    if (!isxdigit((unsigned char)c))
        return -1;
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

static void
read_bytes(const char *line, size_t line_no, struct spec_example *example)
{
    while (*line != '\0' && *line != ';') {
        if (*line == ' ') {
            line++;
            continue;
        }
        bool given = strncmp(line, "..", 2) != 0;
        int high = digit_of(line[0]), low = high < 0 ? -1 : digit_of(line[1]);
        if (given && (high < 0 || low < 0))
            fail_msg("SPEC.md line %zu: neither a byte nor ..: %s", line_no, line);
        assert_true(example->size < SPEC_BYTES_MOST);
        example->bytes[example->size] = given ? (uint8_t)(high << 4 | low) : 0;
        example->given[example->size] = given;
        example->whole &= given;
        example->size++;
        line += 2;
    }
}

bool
spec_next_example(size_t *line_no, struct spec_example *example)
{
    size_t section = spec_find_prefix("## 12 ", 1);
    const char *line;

    if (*line_no < section)
        *line_no = section;
    while ((line = spec_line(*line_no)) != NULL && strncmp(line, FENCE, strlen(FENCE)) != 0)
        ++*line_no;
    if (line == NULL)
        return false;
    memset(example, 0, sizeof *example);
    example->whole = true;
    example->line_no = *line_no;
    if (sscanf(line + strlen(FENCE), "%31s %31s %31s", example->kind, example->first, example->second) < 1)
        fail_msg("SPEC.md line %zu: an example says what it is behind its fence", *line_no);
    while ((line = spec_line(++*line_no)) != NULL && strcmp(line, FENCE) != 0)
        read_bytes(line, *line_no, example);
    if (line == NULL)
        fail_msg("SPEC.md line %zu: the example does not end", example->line_no);
    ++*line_no;
    return true;
}

void
spec_example_of(const char *kind, const char *first, struct spec_example *example)
{
    size_t line_no = 1;

    while (spec_next_example(&line_no, example))
        if (strcmp(example->kind, kind) == 0 && (first == NULL || strcmp(example->first, first) == 0))
            return;
    fail_msg("SPEC.md has no example %s %s", kind, first == NULL ? "" : first);
}
