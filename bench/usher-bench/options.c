/* options.c: see options.h. */
#include "options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum kind {
    KIND_SECTION,
    KIND_NUMBER,
    KIND_NUMBERS,
    KIND_TEXT,
    KIND_SWITCH
};

static const struct row {
    enum kind kind;
    const char *name; /* with underscores; of a section: its heading */
    size_t offset;
    uint64_t usual, least, most;
    const char *usual_text, *unit, *help;
} rows[] = {
#define BENCH_SECTION(heading) {.kind = KIND_SECTION, .name = heading},
#define BENCH_NUMBER(name_, usual_, least_, most_, unit_, help_)                                          \
    {.kind = KIND_NUMBER, .name = #name_, .offset = offsetof(struct options, name_), .usual = usual_, .least = least_,     \
     .most = most_, .unit = unit_, .help = help_},
#define BENCH_NUMBERS(name_, usual_, least_, most_, help_)                                                \
    {.kind = KIND_NUMBERS, .name = #name_, .offset = offsetof(struct options, name_), .least = least_, .most = most_,      \
     .usual_text = usual_, .help = help_},
#define BENCH_TEXT(name_, value, help_)                                                                   \
    {.kind = KIND_TEXT, .name = #name_, .offset = offsetof(struct options, name_), .unit = value, .help = help_},
#define BENCH_SWITCH(name_, help_)                                                                        \
    {.kind = KIND_SWITCH, .name = #name_, .offset = offsetof(struct options, name_), .help = help_},
#include "bench/usher-bench/options.def"
};
#define ROW_COUNT (sizeof rows / sizeof *rows)

static void *
place_of(struct options *options, const struct row *row)
{
    return (char *)options + row->offset;
}

/* --- values ------------------------------------------------------------------------------------------- */
static bool
read_number(const char *text, uint64_t least, uint64_t most, uint64_t *number)
{
    char *end;

    errno = 0;
    *number = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == 0 && errno == 0 && *number >= least && *number <= most;
}

static bool
read_numbers(const struct row *row, const char *text, struct numbers *numbers)
{
    char copy[256];
    char *rest = NULL;

    if (strlen(text) >= sizeof copy || strstr(text, ",,") != NULL || *text == ',')
        return *text == 0;
    strcpy(copy, text);
    for (char *part = strtok_r(copy, ",", &rest); part != NULL; part = strtok_r(NULL, ",", &rest)) {
        uint64_t number;
        if (numbers->count == NUMBERS_MOST || !read_number(part, row->least, row->most, &number))
            return false;
        numbers->value[numbers->count++] = (uint32_t)number;
    }
    return numbers->count > 0 || *text == 0;
}

static void
dashed(const struct row *row, char name[32])
{
    snprintf(name, 32, "%s", row->name);
    for (char *at = name; *at != 0; at++)
        if (*at == '_')
            *at = '-';
}

static bool
set(struct options *options, const struct row *row, const char *text, char *why, size_t why_size)
{
    char name[32];

    dashed(row, name);
    switch (row->kind) {
    case KIND_NUMBER:
        if (read_number(text, row->least, row->most, place_of(options, row)))
            return true;
        snprintf(why, why_size, "--%s takes a number from %" PRIu64 " to %" PRIu64 ", not \"%s\"", name, row->least,
                 row->most, text);
        return false;
    case KIND_NUMBERS:
        memset(place_of(options, row), 0, sizeof(struct numbers));
        if (*text != 0 && read_numbers(row, text, place_of(options, row)))
            return true;
        snprintf(why, why_size, "--%s takes up to %d numbers from %" PRIu64 " to %" PRIu64 " with commas between, not \"%s\"",
                 name, NUMBERS_MOST, row->least, row->most, text);
        return false;
    case KIND_TEXT:
        if (*text != 0) {
            *(const char **)place_of(options, row) = text;
            return true;
        }
        snprintf(why, why_size, "--%s needs a value", name);
        return false;
    case KIND_SWITCH:
    case KIND_SECTION:
        break;
    }
    return false;
}

/* --- words -------------------------------------------------------------------------------------------- */
/* The row that a word names; *value points behind its "=", or is NULL. */
static const struct row *
find_row(const char *word, const char **value)
{
    size_t length = strcspn(word, "=");

    for (size_t i = 0; i < ROW_COUNT; i++) {
        char name[32];
        if (rows[i].kind == KIND_SECTION)
            continue;
        dashed(&rows[i], name);
        if (strlen(name) != length || strncmp(word, name, length) != 0)
            continue;
        *value = word[length] == '=' ? word + length + 1 : NULL;
        return &rows[i];
    }
    return NULL;
}

static bool
take_option(struct options *options, int count, char **word, int *at, char *why, size_t why_size)
{
    const char *value;
    const struct row *row = find_row(word[*at] + 2, &value);

    if (row == NULL) {
        snprintf(why, why_size, "there is no option %s; --help lists them", word[*at]);
        return false;
    }
    if (row->kind == KIND_SWITCH) {
        *(bool *)place_of(options, row) = true;
        if (value != NULL)
            snprintf(why, why_size, "%.*s takes no value", (int)strcspn(word[*at], "="), word[*at]);
        return value == NULL;
    }
    if (value == NULL && *at + 1 >= count) {
        snprintf(why, why_size, "%s needs a value", word[*at]);
        return false;
    }
    if (value == NULL)
        value = word[++*at];
    return set(options, row, value, why, why_size);
}

static void
set_usual(struct options *options)
{
    memset(options, 0, sizeof *options);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (rows[i].kind == KIND_NUMBER)
            *(uint64_t *)place_of(options, &rows[i]) = rows[i].usual;
        if (rows[i].kind == KIND_NUMBERS)
            read_numbers(&rows[i], rows[i].usual_text, place_of(options, &rows[i]));
    }
}

bool
options_read(struct options *options, int count, char **word, char *why, size_t why_size)
{
    set_usual(options);
    for (int at = 0; at < count; at++) {
        if (strcmp(word[at], "--") == 0) {
            while (++at < count && options->server_argument_count < SERVER_MOST)
                options->server_argument[options->server_argument_count++] = word[at];
            if (at < count)
                snprintf(why, why_size, "behind -- may stand %d words for usherd", SERVER_MOST);
            return at >= count;
        }
        if (strncmp(word[at], "--", 2) == 0) {
            if (!take_option(options, count, word, &at, why, why_size))
                return false;
        } else if (options->scenario_count < SCENARIOS_MOST) {
            options->scenario[options->scenario_count++] = word[at];
        } else {
            snprintf(why, why_size, "%d scenarios are too many", SCENARIOS_MOST + 1);
            return false;
        }
    }
    return true;
}

/* --- help --------------------------------------------------------------------------------------------- */
static void
print_row(const struct row *row, FILE *out)
{
    char name[32], left[64];

    dashed(row, name);
    snprintf(left, sizeof left, "--%s%s%s", name, row->kind == KIND_SWITCH ? "" : " ",
             row->kind == KIND_NUMBER    ? "N"
             : row->kind == KIND_NUMBERS ? "N,N"
             : row->kind == KIND_TEXT    ? row->unit
                                         : "");
    fprintf(out, "  %-22s %s", left, row->help);
    if (row->kind == KIND_NUMBER)
        fprintf(out, " (%" PRIu64 "%s%s; %" PRIu64 " to %" PRIu64 ")", row->usual, *row->unit != 0 ? " " : "", row->unit,
                row->least, row->most);
    if (row->kind == KIND_NUMBERS && *row->usual_text != 0)
        fprintf(out, " (%s; %" PRIu64 " to %" PRIu64 ")", row->usual_text, row->least, row->most);
    fputc('\n', out);
}

void
options_print(FILE *out)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (rows[i].kind == KIND_SECTION)
            fprintf(out, "\n%s\n", rows[i].name);
        else
            print_row(&rows[i], out);
    }
}
