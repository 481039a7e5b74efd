/* abi.c: the library's binary interface as JSON, for bindings of other languages (usher_abi_describe).
 *
 * One table holds everything in the order in which it is described: it grows from the rows of protocol/ and, for what
 * usher.h and protocol.h declare by hand, from abi.def. The compiler fills in sizes, offsets and types, so the text
 * can't disagree with the library that carries it. It is written once, when it is asked for first, into memory that is
 * there from the start: nothing can fail. */
#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client-sdk/include/usher.h"

enum abi_kind { ABI_IS_STRUCT, ABI_IS_FIELD, ABI_IS_ENUM, ABI_IS_VALUE, ABI_IS_CONSTANT };

struct abi_row {
    enum abi_kind kind;
    const char *name;
    const char *type;       /* FIELD: of the element, where it is an array */
    size_t offset;          /* FIELD; STRUCT: its alignment */
    size_t size;            /* FIELD, STRUCT, ENUM */
    size_t count;           /* FIELD: elements of an array; 0 for none */
    const char *counted_by; /* FIELD: the field that says how many elements are set */
    const char *more;       /* FIELD: its enum; or of a pointer: what stands behind it */
    uint64_t value;         /* VALUE, CONSTANT */
};

/* The element's type. A type that is not here is described as "?", which abi_test finds. */
#define TYPE(thing)                                                                                                    \
    _Generic((thing), char                                                                                             \
             : "char", uint8_t                                                                                         \
             : "u8", uint16_t                                                                                          \
             : "u16", uint32_t                                                                                         \
             : "u32", uint64_t                                                                                         \
             : "u64", int                                                                                              \
             : "i32", int64_t                                                                                          \
             : "i64", double                                                                                           \
             : "f64", usher_uuid                                                                                       \
             : "usher_uuid", usher_id                                                                                  \
             : "usher_id", usher_key                                                                                   \
             : "usher_key", usher_secret                                                                               \
             : "usher_secret", usher_refusal                                                                           \
             : "usher_refusal", usher_ticket_seat                                                                      \
             : "usher_ticket_seat", usher_options                                                                      \
             : "usher_options", usher_memory                                                                           \
             : "usher_memory", usher_async_options                                                                     \
             : "usher_async_options", default                                                                          \
             : "?")
#define MEMBER(struct_name, field) (((struct_name *)0)->field)
#define COUNT(struct_name, field)  (sizeof MEMBER(struct_name, field) / sizeof MEMBER(struct_name, field)[0])

#define STRUCT_ROW(c_name) {.kind = ABI_IS_STRUCT, .name = #c_name, .offset = _Alignof(c_name), .size = sizeof(c_name)},
#define FIELD_ROW(c_name, field, ...)                                                                                  \
    {.kind = ABI_IS_FIELD,                                                                                             \
     .name = #field,                                                                                                   \
     .offset = offsetof(c_name, field),                                                                                \
     .size = sizeof MEMBER(c_name, field),                                                                             \
     __VA_ARGS__},
#define ARRAY_ROW(c_name, field, ...)                                                                                  \
    FIELD_ROW(c_name, field, .count = COUNT(c_name, field), .type = TYPE(MEMBER(c_name, field)[0]), __VA_ARGS__)
#define ENUM_ROW(c_name)                  {.kind = ABI_IS_ENUM, .name = #c_name, .size = sizeof(c_name)},
#define VALUE_ROW(row_kind, c_name, said) {.kind = row_kind, .name = c_name, .value = (uint64_t)(said)},

/* structs.def: BYTES and lists are two fields in C. */
#define WIRE_PLAIN(c_name, field, argument) FIELD_ROW(c_name, field, .type = TYPE(MEMBER(c_name, field)))
#define WIRE_LIST(c_name, field, argument)                                                                             \
    FIELD_ROW(c_name, field##_count, .type = "u16")                                                                    \
    ARRAY_ROW(c_name, field, .counted_by = #field "_count")
#define WIRE_U8                                 WIRE_PLAIN
#define WIRE_U16                                WIRE_PLAIN
#define WIRE_U32                                WIRE_PLAIN
#define WIRE_U64                                WIRE_PLAIN
#define WIRE_I64                                WIRE_PLAIN
#define WIRE_UUID                               WIRE_PLAIN
#define WIRE_ID                                 WIRE_PLAIN
#define WIRE_KEY                                WIRE_PLAIN
#define WIRE_NUMBERS32                          WIRE_LIST
#define WIRE_NUMBERS64                          WIRE_LIST
#define WIRE_BYTES                              WIRE_LIST
#define WIRE_SIGNATURE(c_name, field, argument) FIELD_ROW(c_name, field, .type = "usher_signature")
#define WIRE_TEXT(c_name, field, argument)      ARRAY_ROW(c_name, field, .counted_by = NULL)
#define WIRE_ENUM(c_name, field, argument)      FIELD_ROW(c_name, field, .type = "u8", .more = "usher_" #argument)

static const struct abi_row rows[] = {
#define ABI_STRUCT(c_name)                  STRUCT_ROW(c_name)
#define ABI_FIELD(c_name, field)            FIELD_ROW(c_name, field, .type = TYPE(MEMBER(c_name, field)))
#define ABI_ARRAY(c_name, field)            ARRAY_ROW(c_name, field, .counted_by = NULL)
#define ABI_CHOICE(c_name, field, c_enum)   FIELD_ROW(c_name, field, .type = "u32", .more = #c_enum)
#define ABI_POINTER(c_name, field, pointee) FIELD_ROW(c_name, field, .type = "pointer", .more = pointee)
#define ABI_END(c_name)
#define ABI_ENUM(c_name)    ENUM_ROW(c_name)
#define ABI_VALUE(constant) VALUE_ROW(ABI_IS_VALUE, #constant, constant)
#define ABI_ENUM_END
#define ABI_CONSTANT(macro) VALUE_ROW(ABI_IS_CONSTANT, #macro, macro)
#include "client-sdk/src/abi.def"

#define USHER_STRUCT(name, text)                       STRUCT_ROW(usher_##name)
#define USHER_FIELD(name, KIND, field, argument, text) WIRE_##KIND(usher_##name, field, argument)
#define USHER_ITEMS(struct_name, item, field, most, text)                                                              \
    FIELD_ROW(usher_##struct_name, field##_count, .type = "u16")                                                       \
    FIELD_ROW(usher_##struct_name, field, .type = "usher_" #item, .count = (most), .counted_by = #field "_count")
#define USHER_END(name)
#include "protocol/structs.def"

#define USHER_ENUM(enum_name, ENUM)                 ENUM_ROW(usher_##enum_name)
#define USHER_VALUE(ENUM, number, NAME, name, text) VALUE_ROW(ABI_IS_VALUE, "USHER_" #ENUM "_" #NAME, number)
#define USHER_ENUM_END(enum_name)
#include "protocol/enums.def"

    ENUM_ROW(usher_result)
#define USHER_RESULT(number, name, class, text) VALUE_ROW(ABI_IS_VALUE, "USHER_" #name, number)
#include "protocol/results.def"
        VALUE_ROW(ABI_IS_VALUE, "USHER_RESULT_NONE", USHER_RESULT_NONE) ENUM_ROW(usher_opcode)
#define USHER_MESSAGE(opcode, NAME, name, kind, token, claims, roles, bare, summary)                                   \
    VALUE_ROW(ABI_IS_VALUE, "USHER_OPCODE_" #NAME, opcode)
#include "protocol/messages.def"
            VALUE_ROW(ABI_IS_VALUE, "USHER_OPCODE_NONE", USHER_OPCODE_NONE) ENUM_ROW(usher_push_opcode)
#define USHER_PUSH(opcode, NAME, name, summary) VALUE_ROW(ABI_IS_VALUE, "USHER_PUSH_" #NAME, opcode)
#include "protocol/pushes.def"
                VALUE_ROW(ABI_IS_VALUE, "USHER_PUSH_NONE", USHER_PUSH_NONE)};

/* What a program needs to know of a request besides its opcode. */
static const struct abi_message {
    uint16_t opcode;
    const char *name, *kind, *token, *summary;
} messages[] = {
#define USHER_MESSAGE(opcode, NAME, name, kind, token, claims, roles, bare, summary)                                   \
    {opcode, #name, #kind, #token, summary},
#include "protocol/messages.def"
};

static const struct abi_result {
    uint16_t value;
    const char *name, *class, *text;
} results[] = {
#define USHER_RESULT(number, name, class, text) {number, #name, #class, text},
#include "protocol/results.def"
};

/* --- the text ------------------------------------------------------------------------------------------- */
static char description[262144];
static size_t description_size;

__attribute__((format(printf, 1, 2))) static void
say(const char *format, ...)
{
    va_list arguments;
    int size;

    va_start(arguments, format);
    size = vsnprintf(description + description_size, sizeof description - description_size, format, arguments);
    va_end(arguments);
    assert(size >= 0);
    description_size += (size_t)size;
    assert(description_size < sizeof description);
}

/* The rows' texts are plain ASCII; quotes and backslashes are all that JSON asks to be escaped in them. */
static void
say_text(const char *name, const char *text)
{
    say(",\"%s\":\"", name);
    for (; *text != 0; text++)
        say(*text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    say("\"");
}

/* Numbers that a double can't hold are strings, so that no reader rounds them. */
static void
say_value(const struct abi_row *row)
{
    const char *quote = row->value > (uint64_t)USHER_POINTS_MAX ? "\"" : "";

    say("\"%s\":%s%" PRIu64 "%s", row->name, quote, row->value, quote);
}

static void
say_field(const struct abi_row *row)
{
    say("{\"name\":\"%s\",\"type\":\"%s\",\"offset\":%zu,\"size\":%zu", row->name, row->type, row->offset, row->size);
    if (row->count != 0)
        say(",\"count\":%zu", row->count);
    if (row->counted_by != NULL)
        say(",\"counted_by\":\"%s\"", row->counted_by);
    if (row->more != NULL)
        say(",\"%s\":\"%s\"", strcmp(row->type, "pointer") == 0 ? "to" : "enum", row->more);
    say("}");
}

/* What stands below a row that opens something: what follows it of that kind. Returns the row after. */
static const struct abi_row *
say_below(const struct abi_row *row, enum abi_kind kind, void (*say_row)(const struct abi_row *))
{
    const struct abi_row *end = rows + sizeof rows / sizeof *rows;
    const char *comma = "";

    for (; row < end && row->kind == kind; row++) {
        say("%s", comma);
        say_row(row);
        comma = ",";
    }
    return row;
}

static void
say_structs(void)
{
    const char *comma = "";

    say(",\n\"structs\":{");
    for (const struct abi_row *row = rows; row < rows + sizeof rows / sizeof *rows;) {
        const struct abi_row *opening = row++;
        if (opening->kind != ABI_IS_STRUCT)
            continue;
        say("%s\n \"%s\":{\"size\":%zu,\"align\":%zu,\"fields\":[", comma, opening->name, opening->size,
            opening->offset);
        row = say_below(row, ABI_IS_FIELD, say_field);
        say("]}");
        comma = ",";
    }
    say("}");
}

static void
say_enums(void)
{
    const char *comma = "";

    say(",\n\"enums\":{");
    for (const struct abi_row *row = rows; row < rows + sizeof rows / sizeof *rows;) {
        const struct abi_row *opening = row++;
        if (opening->kind != ABI_IS_ENUM)
            continue;
        say("%s\n \"%s\":{\"size\":%zu,\"values\":{", comma, opening->name, opening->size);
        row = say_below(row, ABI_IS_VALUE, say_value);
        say("}}");
        comma = ",";
    }
    say("}");
}

static void
say_constants(void)
{
    const struct abi_row *row = rows;

    while (row->kind != ABI_IS_CONSTANT)
        row++;
    say(",\n\"constants\":{");
    say_below(row, ABI_IS_CONSTANT, say_value);
    say("}");
}

static void
say_tables(void)
{
    size_t push_count;
    const usher_push *pushes = usher_pushes(&push_count);

    say(",\n\"results\":[");
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        say("%s\n {\"value\":%u,\"name\":\"%s\",\"class\":\"%s\"", i > 0 ? "," : "", results[i].value, results[i].name,
            results[i].class);
        say_text("text", results[i].text);
        say("}");
    }
    say("],\n\"messages\":[");
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        say("%s\n {\"opcode\":%u,\"name\":\"%s\",\"kind\":\"%s\",\"token\":\"%s\"", i > 0 ? "," : "",
            messages[i].opcode, messages[i].name, messages[i].kind, messages[i].token);
        say(",\"request\":\"usher_%s_request\",\"reply\":\"usher_%s_reply\"", messages[i].name, messages[i].name);
        say_text("summary", messages[i].summary);
        say("}");
    }
    say("],\n\"pushes\":[");
    for (size_t i = 0; i < push_count; i++) {
        say("%s\n {\"opcode\":%u,\"name\":\"%s\",\"body\":\"usher_%s\"", i > 0 ? "," : "", pushes[i].opcode,
            pushes[i].name, pushes[i].body->name);
        say_text("summary", pushes[i].summary);
        say("}");
    }
    say("]");
}

static void
describe(void)
{
    static const uint16_t one = 1;

    say("{\"format\":1,\"version\":\"%s\",\"abi\":%d,\"wire\":%d,\"pointer_size\":%zu,\"little_endian\":%s",
        USHER_LIBRARY_VERSION, USHER_LIBRARY_ABI, USHER_VERSION_WIRE, sizeof(void *),
        *(const uint8_t *)&one == 1 ? "true" : "false");
    say_constants();
    say_structs();
    say_enums();
    say_tables();
    say("}\n");
}

const char *
usher_abi_describe(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int failed = pthread_once(&once, describe);

    assert(failed == 0);
    return description;
}
