/* spec_test.c: SPEC.md's tables say what the rows say: results, messages, every field of every body, enums, policies,
 * limits.
 *
 * Where a test fails it prints the line and what the code has: change the row, the behaviour, or the document. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/codec.h"
#include "tests/spec.h"

/* --- results ------------------------------------------------------------------------------------------- */
struct result_row {
    unsigned value;
    const char *name, *class, *text;
};

static const struct result_row results[] = {
#define USHER_RESULT(value, name, class, text) {value, #name, #class, text},
#include "protocol/results.def"
};
enum { RESULT_COUNT = sizeof results / sizeof *results };

/* The row's place in the order of precedence; fails for a name that is none. */
static size_t
result_order(const char *name, size_t line_no)
{
    for (size_t i = 0; i < RESULT_COUNT; i++)
        if (strcmp(results[i].name, name) == 0)
            return i;
    fail_msg("SPEC.md line %zu: there is no result %s", line_no, name);
    return 0;
}

/* F1: section 6 has every result, in order of precedence, with value, class and text. */
static void
the_table_of_results_is_that_of_the_rows(void **state)
{
    size_t line_no = spec_find("| value | name | class | text | `detail` |", spec_find_prefix("## 6 ", 1)) + 2;

    (void)state;
    for (size_t i = 0; i < RESULT_COUNT; i++, line_no++)
        spec_expect_prefix(line_no, "| %u | %s | %s | %s | ", results[i].value, results[i].name, results[i].class,
                           results[i].text);
    assert_string_equal(spec_line(line_no), "");
}

/* --- messages ------------------------------------------------------------------------------------------ */
static const char *const message_kinds[] = {"CONNECTION", "QUERY", "COMMAND", "INTERNAL", "WATCH"};
static const char *const token_needs[] = {"NONE", "ANY", "ACTIVE", "SPENT"};

static void
describe_roles(unsigned roles, char text[16])
{
    static const char letters[] = "NGTAO"; /* by ascending usher_role */
    size_t length = 0;

    for (unsigned role = 0; role < 5; role++)
        if (roles & USHER_ROLE_BIT(role)) {
            if (length > 0)
                text[length++] = ' ';
            text[length++] = letters[role];
        }
    strcpy(text + length, length == 0 ? "-" : "");
}

/* F1: section 8's overview has every message that a client may send, with its roles and what token it needs. */
static void
the_table_of_messages_is_that_of_the_rows(void **state)
{
    size_t count;
    const usher_message *messages = usher_messages(&count);
    size_t line_no = spec_find("| opcode | name | kind | token | roles | bare | claims | what it does |", 1) + 2;

    (void)state;
    for (size_t i = 0; i < count; i++) {
        char roles[16], bare[16];
        if (messages[i].kind == USHER_MESSAGE_INTERNAL)
            continue;
        describe_roles(messages[i].roles, roles);
        describe_roles(messages[i].bare, bare);
        spec_expect(line_no++, "| 0x%04x | %s | %s | %s | %s | %s | %s | %s |", (unsigned)messages[i].opcode,
                    messages[i].constant, message_kinds[messages[i].kind], token_needs[messages[i].token], roles, bare,
                    messages[i].claims ? "yes" : "no", messages[i].summary);
    }
    assert_string_equal(spec_line(line_no), "");
}

/* F1: the pushes have an overview of their own behind the messages. */
static void
the_table_of_pushes_is_that_of_the_rows(void **state)
{
    size_t count;
    const usher_push *pushes = usher_pushes(&count);
    size_t line_no = spec_find("| opcode | name | what it tells |", spec_find_prefix("## 8 ", 1)) + 2;

    (void)state;
    for (size_t i = 0; i < count; i++)
        spec_expect(line_no++, "| 0x%04x | %s | %s |", (unsigned)pushes[i].opcode, pushes[i].constant,
                    pushes[i].summary);
    assert_string_equal(spec_line(line_no), "");
}

/* --- bodies -------------------------------------------------------------------------------------------- */
static void
describe_kind(const usher_field *field, char *text, size_t size)
{
    static const char *const names[] = {
        "U8",        "U16",  "U32",  "U64",   "I64",       "UUID",      "ID",    "KEY",
        "SIGNATURE", "TEXT", "ENUM", "BYTES", "NUMBERS32", "NUMBERS64", "ITEMS",
    };

    if (field->kind == USHER_KIND_ENUM)
        snprintf(text, size, "ENUM %s", field->enumeration->name);
    else if (field->kind == USHER_KIND_ITEMS)
        snprintf(text, size, "ITEMS %s %u", field->item->name, (unsigned)field->most);
    else if (field->most != 0)
        snprintf(text, size, "%s %u", names[field->kind], (unsigned)field->most);
    else
        snprintf(text, size, "%s", names[field->kind]);
}

static void
describe_sizes(const usher_layout *layout, char *text, size_t size)
{
    if (layout->fixed_size == layout->size_most)
        snprintf(text, size, "%zu", layout->fixed_size);
    else
        snprintf(text, size, "%zu to %zu", layout->fixed_size, layout->size_most);
}

/* The table of a body's fields, whose title begins with this word, from line_no on. Returns the line behind it. */
static size_t
expect_layout(const char *word, const usher_layout *layout, size_t line_no)
{
    char start[128], sizes[64];

    snprintf(start, sizeof start, "%s`%s`, ", word, layout->name);
    line_no = spec_find_prefix(start, line_no);
    describe_sizes(layout, sizes, sizeof sizes);
    spec_expect(line_no, "%s%s bytes: %s.", start, sizes, layout->text);
    spec_expect(line_no + 2, "| offset | size | kind | field | meaning |");
    line_no += 4;
    for (size_t i = 0; i < layout->field_count; i++, line_no++) {
        const usher_field *field = &layout->fields[i];
        size_t end = i + 1 < layout->field_count ? layout->fields[i + 1].wire_offset : layout->fixed_size;
        char kind[64];

        describe_kind(field, kind, sizeof kind);
        spec_expect(line_no, "| %zu | %zu | %s | %s | %s |", field->wire_offset, end - field->wire_offset, kind,
                    field->name, field->text);
    }
    assert_string_equal(spec_line(line_no), "");
    return line_no;
}

/* F1: every message has a section with its request and its reply, field by field; they stand in the order of the
 * overview. */
static void
every_message_has_its_bodies_field_by_field(void **state)
{
    size_t count, line_no = 1;
    const usher_message *messages = usher_messages(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        char heading[64];
        if (messages[i].kind == USHER_MESSAGE_INTERNAL)
            continue;
        snprintf(heading, sizeof heading, "### 0x%04x %s", (unsigned)messages[i].opcode, messages[i].constant);
        line_no = spec_find(heading, line_no);
        line_no = expect_layout("Request ", messages[i].request, line_no);
        line_no = expect_layout("Reply ", messages[i].reply, line_no);
    }
}

/* F1: and every push has one with its body. */
static void
every_push_has_its_body_field_by_field(void **state)
{
    size_t count, line_no = spec_find("| opcode | name | what it tells |", 1);
    const usher_push *pushes = usher_pushes(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        char heading[64];
        snprintf(heading, sizeof heading, "### 0x%04x %s", (unsigned)pushes[i].opcode, pushes[i].constant);
        line_no = expect_layout("Push ", pushes[i].body, spec_find(heading, line_no));
    }
}

/* F1: the items of lists and the refusal have their tables too, so that no body is left out. */
static void
every_item_and_the_refusal_have_their_fields(void **state)
{
    size_t count, items = 0;
    const usher_layout *const *layouts = usher_layouts(&count);

    (void)state;
    expect_layout("", usher_refusal_layout(), 1);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < layouts[i]->field_count; k++) {
            const usher_layout *item = layouts[i]->fields[k].item;
            if (item == NULL)
                continue;
            expect_layout(strcmp(item->name, "conflict") == 0 ? "" : "Item ", item, 1);
            items++;
        }
    assert_true(items > 10);
}

/* Whether a table of bytes: its rows begin with an offset and a size. */
static bool
is_byte_table(const char *line)
{
    return strncmp(line, "| offset | size | kind | field |", 32) == 0;
}

/* F1: in every table of bytes, those written by hand included, each offset is where the row before it ends. */
static void
the_offsets_of_every_table_add_up(void **state)
{
    size_t tables = 0;
    const char *line;

    (void)state;
    for (size_t line_no = 1; (line = spec_line(line_no)) != NULL; line_no++) {
        unsigned long sum = 0, offset, size;
        if (!is_byte_table(line))
            continue;
        tables++;
        for (line_no += 2; sscanf(spec_line(line_no), "| %lu | %lu |", &offset, &size) == 2; line_no++) {
            if (offset != sum)
                fail_msg("SPEC.md line %zu: offset %lu, and the rows before it end at %lu", line_no, offset, sum);
            sum += size;
        }
    }
    assert_true(tables > 80);
}

/* --- results of each message ----------------------------------------------------------------------------- */
/* Read the names between back quotes, in order. Marks them in listed and returns how many there are. */
static size_t
read_results(size_t line_no, bool listed[RESULT_COUNT])
{
    const char *at = spec_line(line_no);
    size_t last = 0, count = 0;

    while ((at = strchr(at, '`')) != NULL) {
        char name[64];
        if (sscanf(at, "`%63[A-Z_]`", name) != 1)
            fail_msg("SPEC.md line %zu: not a list of results", line_no);
        size_t order = result_order(name, line_no);
        if (count > 0 && order <= last)
            fail_msg("SPEC.md line %zu: %s does not stand in the order of precedence", line_no, name);
        last = order;
        listed[order] = true;
        count++;
        at += strlen(name) + 2;
    }
    return count;
}

/* F1, M7: every message lists its results, OK first, in order of precedence; together with those that any request can
 * give, every result has its place. */
static void
every_message_lists_its_results_in_order(void **state)
{
    bool listed[RESULT_COUNT] = {false};
    size_t count, line_no = spec_find_prefix("## 8 ", 1);
    const usher_message *messages = usher_messages(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        if (messages[i].kind == USHER_MESSAGE_INTERNAL)
            continue;
        line_no = spec_find_prefix("Results: ", line_no + 1);
        spec_expect_prefix(line_no, "Results: `OK`");
        assert_true(read_results(line_no, listed) >= 1);
    }
    for (size_t i = 0; i < RESULT_COUNT; i++)
        if (results[i].value >= 50 && !listed[i])
            fail_msg("SPEC.md: no message lists the result %s", results[i].name);
}

/* --- enums, policies, limits ----------------------------------------------------------------------------- */
/* F1: section 9 has every enum, value by value. */
static void
the_tables_of_enums_are_those_of_the_rows(void **state)
{
    size_t count, line_no = spec_find_prefix("## 9 ", 1);
    const usher_enum *const *enums = usher_enums(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        char heading[64];
        snprintf(heading, sizeof heading, "### %s", enums[i]->name);
        line_no = spec_find(heading, line_no);
        spec_expect(line_no + 2, "| value | name | meaning |");
        line_no += 4;
        for (size_t k = 0; k < enums[i]->value_count; k++, line_no++)
            spec_expect(line_no, "| %u | %s | %s |", (unsigned)enums[i]->values[k].value, enums[i]->values[k].name,
                        enums[i]->values[k].text);
        assert_string_equal(spec_line(line_no), "");
    }
}

/* F1, T5: section 10 has every policy with default and range. */
static void
the_table_of_policies_is_that_of_the_rows(void **state)
{
    static const struct {
        const char *scope, *name;
        unsigned long long usual, least, most;
        const char *unit, *help;
    } policies[] = {
#define USHER_POLICY(scope, name, usual, least, most, unit, help) {#scope, #name, usual, least, most, unit, help},
#include "protocol/policies.def"
#undef USHER_POLICY
    };
    size_t line_no = spec_find("| scope | policy | default | least | most | unit | what it sets |", 1) + 2;

    (void)state;
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++, line_no++)
        spec_expect(line_no, "| %s | %s | %llu | %llu | %llu | %s | %s |", policies[i].scope, policies[i].name,
                    policies[i].usual, policies[i].least, policies[i].most, policies[i].unit, policies[i].help);
    assert_string_equal(spec_line(line_no), "");
}

/* F1: section 11 has every limit of the server with default and range. */
static void
the_table_of_limits_is_that_of_the_rows(void **state)
{
    static const struct {
        const char *name;
        unsigned long long usual, least, most;
        const char *unit, *help;
    } limits[] = {
#define NET_LIMIT(name, usual, least, most, unit, help) {#name, usual, least, most, unit, help},
#include "server/net/limits.def"
    };
    size_t line_no = spec_find("| limit | default | least | most | unit | what it bounds |", 1) + 2;

    (void)state;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++, line_no++)
        spec_expect(line_no, "| %s | %llu | %llu | %llu | %s | %s |", limits[i].name, limits[i].usual, limits[i].least,
                    limits[i].most, limits[i].unit, limits[i].help);
    assert_string_equal(spec_line(line_no), "");
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_of_results_is_that_of_the_rows),
        cmocka_unit_test(the_table_of_messages_is_that_of_the_rows),
        cmocka_unit_test(the_table_of_pushes_is_that_of_the_rows),
        cmocka_unit_test(every_message_has_its_bodies_field_by_field),
        cmocka_unit_test(every_push_has_its_body_field_by_field),
        cmocka_unit_test(every_item_and_the_refusal_have_their_fields),
        cmocka_unit_test(the_offsets_of_every_table_add_up),
        cmocka_unit_test(every_message_lists_its_results_in_order),
        cmocka_unit_test(the_tables_of_enums_are_those_of_the_rows),
        cmocka_unit_test(the_table_of_policies_is_that_of_the_rows),
        cmocka_unit_test(the_table_of_limits_is_that_of_the_rows),
    };
    return usher_test_main(argc, argv, tests);
}
