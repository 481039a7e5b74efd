/* options.c: the command line of usherd. See options.def for the rows. */
#include "server/options.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum option_kind { OPTION_KIND_TEXT, OPTION_KIND_NUMBER, OPTION_KIND_SWITCH, OPTION_KIND_ON_OFF };

struct option_row {
    const char *name;
    enum option_kind kind;
    size_t offset; /* in struct options */
    const char *usual_text;
    uint64_t usual, least, most;
    const char *unit;
    const char *help;
};

static const struct option_row rows[] = {
#define AT(field)                             offsetof(struct options, field)
#define OPTION_TEXT(name, usual, value, help) {#name, OPTION_KIND_TEXT, AT(name), usual, 0, 0, 0, value, help},
#define OPTION_NUMBER(name, usual, least, most, unit, help)                                                            \
    {#name, OPTION_KIND_NUMBER, AT(name), NULL, usual, least, most, unit, help},
#define OPTION_SWITCH(name, help)        {#name, OPTION_KIND_SWITCH, AT(name), NULL, 0, 0, 1, NULL, help},
#define OPTION_ON_OFF(name, usual, help) {#name, OPTION_KIND_ON_OFF, AT(name), NULL, usual, 0, 1, "on|off", help},
#include "server/options.def"
#define NET_LIMIT(name, usual, least, most, unit, help)                                                                \
    {#name, OPTION_KIND_NUMBER, AT(limits.name), NULL, usual, least, most, unit, help},
#include "server/net/limits.def"
};
#define ROW_COUNT (sizeof rows / sizeof *rows)

static const struct {
    int code;
    const char *when;
} exits[] = {
#define USHERD_EXIT(code, NAME, when) {code, when},
#include "server/exits.def"
};

/* --- a word of the command line -------------------------------------------------------------------------- */
/* Whether the word (of this length, after its dashes) is the row's name; a dash is an underscore. */
static bool
is_name(const char *word, size_t length, const char *name)
{
    if (strlen(name) != length)
        return false;
    for (size_t i = 0; i < length; i++) {
        if ((word[i] == '-' ? '_' : word[i]) != name[i])
            return false;
    }
    return true;
}

static const struct option_row *
find_row(const char *word, size_t length)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (is_name(word, length, rows[i].name))
            return &rows[i];
    }
    return NULL;
}

/* The option as it is written on the command line. */
static const char *
written(const struct option_row *row, char name[64])
{
    size_t length = (size_t)snprintf(name, 64, "--%s", row->name);

    assert(length < 64);
    for (size_t i = 0; i < length; i++)
        name[i] = name[i] == '_' ? '-' : name[i];
    return name;
}

static bool
read_number(const struct option_row *row, const char *value, uint64_t *number)
{
    char *end;

    if (value[0] < '0' || value[0] > '9')
        return false;
    errno = 0;
    *number = strtoull(value, &end, 10);
    return errno == 0 && *end == '\0' && *number >= row->least && *number <= row->most;
}

static bool
set_value(struct options *options, const struct option_row *row, const char *value, char *why, size_t why_size)
{
    uint8_t *at = (uint8_t *)options + row->offset;
    uint64_t number;
    char name[64];

    switch (row->kind) {
    case OPTION_KIND_TEXT:
        memcpy(at, &value, sizeof value);
        return true;
    case OPTION_KIND_NUMBER:
        if (!read_number(row, value, &number)) {
            snprintf(why, why_size, "%s: '%s' is not a whole number from %" PRIu64 " to %" PRIu64 " (%s)",
                     written(row, name), value, row->least, row->most, row->unit);
            return false;
        }
        memcpy(at, &number, sizeof number);
        return true;
    case OPTION_KIND_SWITCH:
        *(bool *)at = true;
        return true;
    case OPTION_KIND_ON_OFF:
        if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0) {
            snprintf(why, why_size, "%s: say on or off, not '%s'", written(row, name), value);
            return false;
        }
        *(bool *)at = strcmp(value, "on") == 0;
        return true;
    }
    return false;
}

static void
set_usual(struct options *options)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const struct option_row *row = &rows[i];
        uint8_t *at = (uint8_t *)options + row->offset;
        if (row->kind == OPTION_KIND_TEXT)
            memcpy(at, &row->usual_text, sizeof row->usual_text);
        else if (row->kind == OPTION_KIND_NUMBER)
            memcpy(at, &row->usual, sizeof row->usual);
        else
            *(bool *)at = row->usual != 0;
    }
}

bool
options_read(struct options *options, int argc, char **argv, char *why, size_t why_size)
{
    memset(options, 0, sizeof *options);
    set_usual(options);
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        const char *equals = strchr(word, '=');
        size_t length = equals == NULL ? strlen(word) : (size_t)(equals - word);
        const struct option_row *row =
            strncmp(word, "--", 2) == 0 && length > 2 ? find_row(word + 2, length - 2) : NULL;
        if (row == NULL) {
            snprintf(why, why_size, "'%s' is not an option; usherd --help lists them", word);
            return false;
        }
        bool wants_value = row->kind != OPTION_KIND_SWITCH;
        if (wants_value && equals == NULL && i + 1 == argc) {
            snprintf(why, why_size, "%s needs a value", word);
            return false;
        }
        if (!wants_value && equals != NULL) {
            snprintf(why, why_size, "--%.*s takes no value", (int)length - 2, word + 2);
            return false;
        }
        const char *value = equals != NULL ? equals + 1 : wants_value ? argv[++i] : "";
        if (!set_value(options, row, value, why, why_size))
            return false;
    }
    return true;
}

/* --- help -------------------------------------------------------------------------------------------------- */
static void
help_row(FILE *out, const struct option_row *row)
{
    char name[64];

    written(row, name);
    if (row->kind == OPTION_KIND_NUMBER)
        fprintf(out, "  %-20s N  %s\n%26s%s: %" PRIu64 " to %" PRIu64 ", usually %" PRIu64 "\n", name, row->help, "",
                row->unit, row->least, row->most, row->usual);
    else if (row->kind == OPTION_KIND_TEXT)
        fprintf(out, "  %-20s %s\n%26s%s%s%s\n", name, row->unit, "", row->help,
                row->usual_text[0] == '\0' ? "" : "; usually ", row->usual_text);
    else if (row->kind == OPTION_KIND_ON_OFF)
        fprintf(out, "  %-20s on|off\n%26s%s; usually %s\n", name, "", row->help, row->usual != 0 ? "on" : "off");
    else
        fprintf(out, "  %-20s    %s\n", name, row->help);
}

void
options_help(FILE *out)
{
    fprintf(out, "usherd [OPTION...]: sells seats under a stampede. Serves until SIGTERM or SIGINT.\n\noptions\n");
    for (size_t i = 0; i < ROW_COUNT; i++)
        help_row(out, &rows[i]);
    fprintf(out, "\nexit codes\n");
    for (size_t i = 0; i < sizeof exits / sizeof *exits; i++)
        fprintf(out, "  %2d  %s\n", exits[i].code, exits[i].when);
}
