/* abi_test.c: what usher_abi_describe() says is true, whole, and still what it was.
 *
 * The description is turned into a program of assertions about usher.h, and the compilers judge it, C and C++ alike: an
 * integrator's binding relies on each of these numbers. */
#include "test.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client-sdk/include/usher.h"

static json_t *
load_description(void)
{
    json_error_t error;
    json_t *description = json_loads(usher_abi_describe(), JSON_REJECT_DUPLICATES, &error);

    if (description == NULL)
        fail_msg("line %d of the description: %s", error.line, error.text);
    return description;
}

static json_int_t
number(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

/* A text, or NULL where there is none. */
static const char *
text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

/* --- it is true ------------------------------------------------------------------------------------------- */
/* The C type of a field's element. */
static const char *
c_type(const json_t *field)
{
    static const char *const names[][2] = {
        {"char", "char"},    {"u8", "uint8_t"}, {"u16", "uint16_t"}, {"u32", "uint32_t"},
        {"u64", "uint64_t"}, {"i32", "int"},    {"i64", "int64_t"},  {"f64", "double"},
    };
    const char *type = text(field, "type");

    /* An enum that is a field is as wide as an int; one byte of the wire is a plain number. */
    if (strcmp(type, "u32") == 0 && text(field, "enum") != NULL)
        return text(field, "enum");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(type, names[i][0]) == 0)
            return names[i][1];
    if (strncmp(type, "usher_", 6) != 0)
        fail_msg("the field %s has the type \"%s\", which is none", text(field, "name"), type);
    return type;
}

static void
write_field(FILE *to, const char *struct_name, const json_t *field)
{
    const char *name = text(field, "name");

    fprintf(to, "ASSERT(offsetof(%s, %s) == %lld);\n", struct_name, name, (long long)number(field, "offset"));
    fprintf(to, "ASSERT(sizeof(((%s *)0)->%s) == %lld);\n", struct_name, name, (long long)number(field, "size"));
    /* A pointer to the wrong type doesn't compile. */
    if (strcmp(text(field, "type"), "pointer") == 0) {
        if (strcmp(text(field, "to"), "function") != 0)
            fprintf(to, "%s const *see_%s_%s(%s *s) { return s->%s; }\n", text(field, "to"), struct_name, name,
                    struct_name, name);
    } else if (json_object_get(field, "count") != NULL) {
        fprintf(to, "void see_%s_%s(%s *s) { %s (*p)[%lld] = &s->%s; (void)p; }\n", struct_name, name, struct_name,
                c_type(field), (long long)number(field, "count"), name);
    } else {
        fprintf(to, "%s *see_%s_%s(%s *s) { return &s->%s; }\n", c_type(field), struct_name, name, struct_name, name);
    }
}

static void
write_program(FILE *to, json_t *description)
{
    const char *name, *constant;
    json_t *thing, *value;

    fputs("#include <usher.h>\n#ifdef __cplusplus\n#define ASSERT(x) static_assert(x, #x)\n"
          "#define ALIGN alignof\n#else\n#define ASSERT(x) _Static_assert(x, #x)\n#define ALIGN _Alignof\n#endif\n",
          to);
    json_object_foreach(json_object_get(description, "structs"), name, thing)
    {
        size_t i;
        fprintf(to, "ASSERT(sizeof(%s) == %lld);\n", name, (long long)number(thing, "size"));
        fprintf(to, "ASSERT(ALIGN(%s) == %lld);\n", name, (long long)number(thing, "align"));
        json_array_foreach(json_object_get(thing, "fields"), i, value) write_field(to, name, value);
    }
    json_object_foreach(json_object_get(description, "enums"), name, thing)
    {
        fprintf(to, "ASSERT(sizeof(%s) == %lld);\n", name, (long long)number(thing, "size"));
        json_object_foreach(json_object_get(thing, "values"), constant, value)
            fprintf(to, "ASSERT((int)%s == %lld);\n", constant, (long long)json_integer_value(value));
    }
    json_object_foreach(json_object_get(description, "constants"), constant, value)
    {
        if (json_is_string(value))
            fprintf(to, "ASSERT(%s == %sULL);\n", constant, json_string_value(value));
        else
            fprintf(to, "ASSERT(%s == %lld);\n", constant, (long long)json_integer_value(value));
    }
}

/* F5: a binding that builds its structs from the description has those of usher.h, by C's compiler and by C++'s. */
static void
every_size_and_offset_is_the_compilers(void **state)
{
    json_t *description = load_description();
    char path[] = "/tmp/usher-abi-XXXXXX", command[1024];
    int file = mkstemp(path);
    FILE *to = fdopen(file, "w");

    (void)state;
    assert_non_null(to);
    write_program(to, description);
    assert_int_equal(fclose(to), 0);
    snprintf(command, sizeof command, "%s -std=c11 -x c -Wall -Werror -fsyntax-only %s %s", C_COMPILER, INCLUDES, path);
    assert_int_equal(system(command), 0);
    snprintf(command, sizeof command, "%s -std=c++11 -x c++ -Wall -Werror -fsyntax-only %s %s", CXX_COMPILER, INCLUDES,
             path);
    if (*CXX_COMPILER != 0)
        assert_int_equal(system(command), 0);
    unlink(path);
    json_decref(description);
}

/* --- it is whole ------------------------------------------------------------------------------------------ */
static size_t
round_up(size_t offset, size_t align)
{
    return (offset + align - 1) / align * align;
}

static size_t
align_of(const json_t *structs, const json_t *field)
{
    const json_t *inner = json_object_get(structs, text(field, "type"));
    size_t count = json_object_get(field, "count") != NULL ? (size_t)number(field, "count") : 1;

    return inner != NULL ? (size_t)number(inner, "align") : (size_t)number(field, "size") / count;
}

/* Each field begins where the one before ends, but for what its alignment needs: none is left out. */
static void
no_field_is_left_out(void **state)
{
    json_t *description = load_description(), *structs = json_object_get(description, "structs"), *thing, *field;
    const char *name;
    size_t i;

    (void)state;
    assert_true(json_object_size(structs) > 100);
    json_object_foreach(structs, name, thing)
    {
        size_t end = 0;
        json_array_foreach(json_object_get(thing, "fields"), i, field)
        {
            if (round_up(end, align_of(structs, field)) != (size_t)number(field, "offset"))
                fail_msg("there is a gap before %s.%s: does client-sdk/src/abi.def lack a row?", name,
                         text(field, "name"));
            end = (size_t)(number(field, "offset") + number(field, "size"));
        }
        if (round_up(end, (size_t)number(thing, "align")) != (size_t)number(thing, "size"))
            fail_msg("there is a gap at the end of %s: does client-sdk/src/abi.def lack a row?", name);
    }
    json_decref(description);
}

/* A file in whole, which the caller frees. */
static char *
read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    char *content = calloc(1, 262144);

    assert_non_null(file);
    assert_non_null(content);
    assert_true(fread(content, 1, 262143, file) > 5000);
    fclose(file);
    return content;
}

/* The word at the beginning of a text, without what macros paste together: "" then. */
static void
first_word(const char *from, char word[80])
{
    size_t length = strspn(from, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

    snprintf(word, 80, "%.*s", from[length] != '#' ? (int)length : 0, from);
}

/* Every "typedef struct usher_x {" or enum of a header is a member of that table; of an enum, so is each constant that
 * begins a line. Returns how many there were. */
static unsigned
find_all_in(const json_t *table, const char *header, const char *opening)
{
    char word[80], constant[80];
    unsigned found = 0;

    for (const char *at = header; (at = strstr(at, opening)) != NULL; at++) {
        const json_t *thing;
        first_word(at + strlen(opening), word);
        if (*word == 0 || at[strlen(opening) + strlen(word) + 1] != '{')
            continue;
        thing = json_object_get(table, word);
        if (thing == NULL)
            fail_msg("%s is in a public header and has no row in client-sdk/src/abi.def", word);
        found++;
        for (const char *line = strchr(at, '\n'); *++line != '}' && strstr(opening, "enum") != NULL;
             line = strchr(line, '\n')) {
            first_word(line + strspn(line, " "), constant);
            if (strncmp(constant, "USHER_", 6) == 0 &&
                json_object_get(json_object_get(thing, "values"), constant) == NULL)
                fail_msg("%s of %s has no row in client-sdk/src/abi.def", constant, word);
        }
    }
    return found;
}

/* What the headers declare by hand has been written down by hand again: nothing was forgotten. */
static void
every_struct_and_enum_of_the_headers_is_described(void **state)
{
    json_t *description = load_description();
    unsigned structs = 0, enums = 0;

    (void)state;
    for (int i = 0; i < 2; i++) {
        char *header = read_file(i == 0 ? HEADER_PATH : PROTOCOL_PATH);
        structs += find_all_in(json_object_get(description, "structs"), header, "typedef struct ");
        enums += find_all_in(json_object_get(description, "enums"), header, "typedef enum ");
        free(header);
    }
    assert_true(structs >= 17);
    assert_true(enums >= 7);
    json_decref(description);
}

/* Requests and pushes name structs that are described, and fields the enums that are. */
static void
every_name_in_the_description_leads_somewhere(void **state)
{
    json_t *description = load_description(), *structs = json_object_get(description, "structs"), *row, *field;
    json_t *enums = json_object_get(description, "enums");
    const char *name;
    size_t i, count;

    (void)state;
    json_array_foreach(json_object_get(description, "messages"), i, row)
    {
        assert_non_null(json_object_get(structs, text(row, "request")));
        assert_non_null(json_object_get(structs, text(row, "reply")));
    }
    usher_messages(&count);
    assert_int_equal(i, count);
    json_array_foreach(json_object_get(description, "pushes"), i, row)
        assert_non_null(json_object_get(structs, text(row, "body")));
    json_object_foreach(structs, name, row)
    {
        json_array_foreach(json_object_get(row, "fields"), i, field)
        {
            if (text(field, "enum") != NULL)
                assert_non_null(json_object_get(enums, text(field, "enum")));
            if (strncmp(text(field, "type"), "usher_", 6) == 0)
                assert_non_null(json_object_get(structs, text(field, "type")));
        }
    }
    json_array_foreach(json_object_get(description, "results"), i, row)
    {
        unsigned value = (unsigned)number(row, "value");
        assert_string_equal(text(row, "name"), usher_result_name(value));
        assert_string_equal(text(row, "text"), usher_result_text(value));
    }
    json_decref(description);
}

/* --- it stays --------------------------------------------------------------------------------------------- */
/* All that `before` says is said by `now` as well. Lists grow at their end alone, but a struct's fields don't. */
static void
assert_kept(const char *where, json_t *before, json_t *now)
{
    char deeper[256];
    const char *name;
    json_t *value;
    size_t i;

    if (json_is_object(before)) {
        json_object_foreach(before, name, value)
        {
            snprintf(deeper, sizeof deeper, "%s.%s", where, name);
            assert_kept(deeper, value, json_object_get(now, name));
        }
    } else if (json_is_array(before)) {
        json_array_foreach(before, i, value)
        {
            snprintf(deeper, sizeof deeper, "%s[%zu]", where, i);
            assert_kept(deeper, value, json_array_get(now, i));
        }
    } else if (!json_equal(before, now)) {
        fail_msg(
            "%s is not what programs were compiled with (client-sdk/abi.json). Within one soname that must not be; "
            "before the first release, cmake --build BUILD --target exports writes the file anew",
            where);
    }
}

/* package/README.md, "What stays as it is": structs, enums and constants that programs were compiled with. */
static void
what_programs_were_compiled_with_has_not_changed(void **state)
{
    static const char *const parts[] = {"abi", "wire", "constants", "structs", "enums"};
    json_t *description = load_description(), *before;
    json_error_t error;

    (void)state;
    before = json_load_file(ABI_PATH, 0, &error);
    if (before == NULL)
        fail_msg("line %d of client-sdk/abi.json: %s", error.line, error.text);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        assert_non_null(json_object_get(before, parts[i]));
        assert_kept(parts[i], json_object_get(before, parts[i]), json_object_get(description, parts[i]));
    }
    json_decref(before);
    json_decref(description);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_and_offset_is_the_compilers),
        cmocka_unit_test(no_field_is_left_out),
        cmocka_unit_test(every_struct_and_enum_of_the_headers_is_described),
        cmocka_unit_test(every_name_in_the_description_leads_somewhere),
        cmocka_unit_test(what_programs_were_compiled_with_has_not_changed),
    };

    return usher_test_main(argc, argv, tests);
}
