/* options.c: the words of the command line, read by getopt_long() from a table that grows from the rows. */
#include "options.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum kind { KIND_TEXT, KIND_NUMBER, KIND_SWITCH };

static const struct row {
    const char *name; /* with underscores */
    enum kind kind;
    size_t offset;
    const char *text;
    uint64_t usual, least, most;
    const char *unit, *help;
} rows[] = {
#define OPTION_TEXT(name, usual, value, help)                                                                          \
    {#name, KIND_TEXT, offsetof(struct options, name), usual, 0, 0, 0, value, help},
#define OPTION_NUMBER(name, usual, least, most, unit, help)                                                            \
    {#name, KIND_NUMBER, offsetof(struct options, name), NULL, usual, least, most, unit, help},
#define OPTION_SWITCH(name, help) {#name, KIND_SWITCH, offsetof(struct options, name), NULL, 0, 0, 1, NULL, help},
#include "options.def"
#define HTTP_LIMIT(name, usual, least, most, unit, help)                                                               \
    {#name, KIND_NUMBER, offsetof(struct options, limits.name), NULL, usual, least, most, unit, help},
#include "limits.def"
};
enum { ROW_COUNT = sizeof rows / sizeof *rows, NAME_SIZE = 48 };

static void
spell(const struct row *row, char name[NAME_SIZE])
{
    snprintf(name, NAME_SIZE, "%s", row->name);
    for (char *dash = name; *dash != '\0'; dash++)
        *dash = *dash == '_' ? '-' : *dash;
}

/* The rows as getopt_long() wants them; their names live in names. */
static void
make_table(struct option table[ROW_COUNT + 1], char names[ROW_COUNT][NAME_SIZE])
{
    for (int i = 0; i < ROW_COUNT; i++) {
        spell(&rows[i], names[i]);
        table[i] =
            (struct option){.name = names[i], .has_arg = rows[i].kind == KIND_SWITCH ? no_argument : required_argument};
    }
    table[ROW_COUNT] = (struct option){.name = NULL};
}

static bool
set(struct options *options, const struct row *row, const char *value, char *why, size_t why_size)
{
    char *at = (char *)options + row->offset, *end, name[NAME_SIZE];
    uint64_t number;

    if (row->kind == KIND_SWITCH) {
        *(bool *)at = true;
        return true;
    }
    if (row->kind == KIND_TEXT) {
        memcpy(at, &value, sizeof value);
        return true;
    }
    errno = 0;
    number = strtoull(value, &end, 10);
    if (strspn(value, "0123456789") == strlen(value) && end != value && errno == 0 && number >= row->least &&
        number <= row->most) {
        memcpy(at, &number, sizeof number);
        return true;
    }
    spell(row, name);
    snprintf(why, why_size, "--%s takes a whole number from %" PRIu64 " to %" PRIu64 " (%s), not '%s'", name,
             row->least, row->most, row->unit, value);
    return false;
}

/* What is right by itself and wrong beside another. */
static bool
check(struct options *options, char *why, size_t why_size)
{
    options->limits.cors_origins = options->cors;
    options->limits.proxies = options->proxy;
    options->limits.limit_loopback = options->limit_loopback;
    if (strcmp(options->cors, "*") == 0) {
        snprintf(why, why_size,
                 "--cors names origins, as https://shop.example; '*' would let any page buy in a visitor's name");
        return false;
    }
    return true;
}

bool
options_read(struct options *options, int argc, char **argv, char *why, size_t why_size)
{
    static char names[ROW_COUNT][NAME_SIZE];
    static struct option table[ROW_COUNT + 1];
    int found, which;

    memset(options, 0, sizeof *options);
    for (int i = 0; i < ROW_COUNT; i++) {
        if (rows[i].kind == KIND_TEXT)
            memcpy((char *)options + rows[i].offset, &rows[i].text, sizeof rows[i].text);
        else if (rows[i].kind == KIND_NUMBER)
            memcpy((char *)options + rows[i].offset, &rows[i].usual, sizeof rows[i].usual);
    }
    make_table(table, names);
    opterr = 0;
    optind = 1;
    while ((found = getopt_long(argc, argv, "+:", table, &which)) == 0) {
        if (!set(options, &rows[which], optarg, why, why_size))
            return false;
    }
    if (found == ':' || found == '?') {
        snprintf(why, why_size,
                 found == ':' ? "%s needs a value" : "'%s' is not an option; usher-http --help lists them",
                 argv[optind - 1]);
        return false;
    }
    if (optind < argc) {
        snprintf(why, why_size, "'%s' is not an option; usher-http --help lists them", argv[optind]);
        return false;
    }
    return check(options, why, why_size);
}

bool
address_is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "[::1]:", 6) == 0;
}

bool
zone_parse(const char *text, int *minutes)
{
    unsigned hours, rest;
    char sign, end;

    if (strlen(text) != 6 || sscanf(text, "%c%2u:%2u%c", &sign, &hours, &rest, &end) != 3 ||
        (sign != '+' && sign != '-') || hours > 14 || rest > 59)
        return false;
    *minutes = (int)(hours * 60 + rest) * (sign == '-' ? -1 : 1);
    return true;
}

void
options_help(FILE *out)
{
    char name[NAME_SIZE];

    fputs(
        "usher-http [OPTION...]: Usher for browsers: its HTTP API and its storefront. Serves until SIGTERM or SIGINT.\n"
        "\noptions\n",
        out);
    for (const struct row *row = rows; row < rows + ROW_COUNT; row++) {
        spell(row, name);
        fprintf(out, "  --%s %s\n        %s", name,
                row->kind == KIND_SWITCH ? ""
                : row->kind == KIND_TEXT ? row->unit
                                         : "N",
                row->help);
        if (row->kind == KIND_TEXT && row->text[0] != '\0')
            fprintf(out, "; usually %s", row->text);
        if (row->kind == KIND_NUMBER)
            fprintf(out, "; %s, %" PRIu64 " to %" PRIu64 ", usually %" PRIu64, row->unit, row->least, row->most,
                    row->usual);
        fputc('\n', out);
    }
    fputs("\nexit codes\n", out);
#define BRIDGE_EXIT(code, NAME, when) fprintf(out, "  %2d  %s\n", code, when);
#include "exits.def"
}
