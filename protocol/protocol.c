/* protocol.c: the row files as tables.
 *
 * Nothing is listed here that a row file says already. The sizes on the wire come from the compiler: each struct has
 * two shadows made of byte arrays alone, whose sizeof and offsetof are the sizes and offsets of its fixed part and of
 * its largest body. Two results or opcodes with one value do not compile: their lookups are switches over the rows. */
#include "protocol.h"

/* --- results ---------------------------------------------------------------------------------------- */
struct result_row {
    const char *name;
    const char *text;
    usher_result_class class;
};

static const struct result_row result_unknown = {"UNKNOWN", "the result is not known here", USHER_CLASS_CALLER};

static const struct result_row *
result_row_of(unsigned result)
{
    switch (result) {
#define USHER_RESULT(value, name, class, text)                                                                         \
    case value: {                                                                                                      \
        static const struct result_row row = {#name, text, USHER_CLASS_##class};                                       \
        return &row;                                                                                                   \
    }
#include "results.def"
    }
    return &result_unknown;
}

const char *
usher_result_name(unsigned result)
{
    return result_row_of(result)->name;
}

const char *
usher_result_text(unsigned result)
{
    return result_row_of(result)->text;
}

usher_result_class
usher_result_class_of(unsigned result)
{
    return result_row_of(result)->class;
}

/* --- enums ------------------------------------------------------------------------------------------ */
#define USHER_ENUM(enum_name, ENUM)                static const usher_enum_value values_##enum_name[] = {
#define USHER_VALUE(ENUM, value, NAME, name, text) {value, #name, text},
#define USHER_ENUM_END(enum_name)                                                                                      \
    }                                                                                                                  \
    ;                                                                                                                  \
    static const usher_enum enum_##enum_name = {#enum_name, values_##enum_name,                                        \
                                                sizeof values_##enum_name / sizeof *values_##enum_name};
#include "enums.def"

static const usher_enum *const enums[] = {
#define USHER_ENUM(enum_name, ENUM)
#define USHER_VALUE(ENUM, value, NAME, name, text)
#define USHER_ENUM_END(enum_name) &enum_##enum_name,
#include "enums.def"
};

const usher_enum *const *
usher_enums(size_t *count)
{
    *count = sizeof enums / sizeof *enums;
    return enums;
}

const char *
usher_enum_name(const usher_enum *enumeration, unsigned value)
{
    const usher_enum_value *values = enumeration->values;
    /* Values mostly count on from the first row's, so the row is found at once; the loop is for those that do not. */
    size_t guess = (size_t)value - values[0].value;

    if (guess < enumeration->value_count && values[guess].value == value)
        return values[guess].name;
    for (size_t i = 0; i < enumeration->value_count; i++)
        if (values[i].value == value)
            return values[i].name;
    return NULL;
}

/* --- bodies: the fixed part of each on the wire, and the largest it can be ------------------------- */
#define FIXED_U8(argument)        1
#define FIXED_U16(argument)       2
#define FIXED_U32(argument)       4
#define FIXED_U64(argument)       8
#define FIXED_I64(argument)       8
#define FIXED_UUID(argument)      16
#define FIXED_ID(argument)        16
#define FIXED_KEY(argument)       32
#define FIXED_SIGNATURE(argument) 64
#define FIXED_TEXT(argument)      argument
#define FIXED_ENUM(argument)      1
#define FIXED_BYTES(argument)     2
#define FIXED_NUMBERS32(argument) 2
#define FIXED_NUMBERS64(argument) 2

#define USHER_STRUCT(name, text)                       struct fixed_##name {
#define USHER_FIELD(name, KIND, field, argument, text) uint8_t field[FIXED_##KIND(argument)];
#define USHER_ITEMS(name, item, field, most, text)     uint8_t field[2];
#define USHER_END(name)                                };
#include "structs.def"

#define MOST_U8(argument)        1
#define MOST_U16(argument)       2
#define MOST_U32(argument)       4
#define MOST_U64(argument)       8
#define MOST_I64(argument)       8
#define MOST_UUID(argument)      16
#define MOST_ID(argument)        16
#define MOST_KEY(argument)       32
#define MOST_SIGNATURE(argument) 64
#define MOST_TEXT(argument)      argument
#define MOST_ENUM(argument)      1
#define MOST_BYTES(argument)     2 + (argument)
#define MOST_NUMBERS32(argument) 2 + 4 * (argument)
#define MOST_NUMBERS64(argument) 2 + 8 * (argument)

#define USHER_STRUCT(name, text)                       struct most_##name {
#define USHER_FIELD(name, KIND, field, argument, text) uint8_t field[MOST_##KIND(argument)];
#define USHER_ITEMS(name, item, field, most, text)     uint8_t field[2 + (most) * sizeof(struct most_##item)];
#define USHER_END(name)                                                                                                \
    }                                                                                                                  \
    ;                                                                                                                  \
    _Static_assert(sizeof(struct most_##name) + USHER_HEADER_SIZE <= USHER_FRAME_MAX, #name " never exceeds a frame");
#include "structs.def"

/* Items have no variable parts: their largest size is their fixed one. */
#define USHER_STRUCT(name, text)
#define USHER_FIELD(name, KIND, field, argument, text)
#define USHER_ITEMS(name, item, field, most, text)                                                                     \
    _Static_assert(sizeof(struct fixed_##item) == sizeof(struct most_##item), #item " has a fixed size");
#define USHER_END(name)
#include "structs.def"

/* --- bodies: their fields --------------------------------------------------------------------------- */
#define ARGUMENT_U8(argument)        0, NULL
#define ARGUMENT_U16(argument)       0, NULL
#define ARGUMENT_U32(argument)       0, NULL
#define ARGUMENT_U64(argument)       0, NULL
#define ARGUMENT_I64(argument)       0, NULL
#define ARGUMENT_UUID(argument)      0, NULL
#define ARGUMENT_ID(argument)        0, NULL
#define ARGUMENT_KEY(argument)       0, NULL
#define ARGUMENT_SIGNATURE(argument) 0, NULL
#define ARGUMENT_TEXT(argument)      argument, NULL
#define ARGUMENT_ENUM(argument)      0, &enum_##argument
#define ARGUMENT_BYTES(argument)     argument, NULL
#define ARGUMENT_NUMBERS32(argument) argument, NULL
#define ARGUMENT_NUMBERS64(argument) argument, NULL

#define COUNT_U8(name, field)        0
#define COUNT_U16(name, field)       0
#define COUNT_U32(name, field)       0
#define COUNT_U64(name, field)       0
#define COUNT_I64(name, field)       0
#define COUNT_UUID(name, field)      0
#define COUNT_ID(name, field)        0
#define COUNT_KEY(name, field)       0
#define COUNT_SIGNATURE(name, field) 0
#define COUNT_TEXT(name, field)      0
#define COUNT_ENUM(name, field)      0
#define COUNT_BYTES(name, field)     offsetof(usher_##name, field##_count)
#define COUNT_NUMBERS32(name, field) offsetof(usher_##name, field##_count)
#define COUNT_NUMBERS64(name, field) offsetof(usher_##name, field##_count)

/* most and enumeration come as one macro's two values, so the fields stand here in another order than in the struct. */
#define ROW(name, KIND, field, count, item, text, ...)                                                                 \
    FIELD_ROW(#field, text, USHER_KIND_##KIND, offsetof(usher_##name, field), count, item,                             \
              offsetof(struct fixed_##name, field), __VA_ARGS__)
#define FIELD_ROW(name, text, kind, offset, count, item, wire_offset, ...)                                             \
    FIELD_ROW_OF(name, text, kind, offset, count, item, wire_offset, __VA_ARGS__)
#define FIELD_ROW_OF(name, text, kind, offset, count, item, wire_offset, most, enumeration)                            \
    {name, text, kind, most, offset, count, enumeration, item, wire_offset},

#define USHER_STRUCT(name, text)                                                                                       \
    static const char text_##name[] = text;                                                                            \
    static const usher_field fields_##name[] = {
#define USHER_FIELD(name, KIND, field, argument, text)                                                                 \
    ROW(name, KIND, field, COUNT_##KIND(name, field), NULL, text, ARGUMENT_##KIND(argument))
#define USHER_ITEMS(name, item, field, most, text)                                                                     \
    ROW(name, ITEMS, field, offsetof(usher_##name, field##_count), &layout_##item, text, most, NULL)
#define USHER_END(name)                                                                                                \
    }                                                                                                                  \
    ;                                                                                                                  \
    static const usher_layout layout_##name = {#name,                                                                  \
                                               text_##name,                                                            \
                                               fields_##name,                                                          \
                                               sizeof fields_##name / sizeof *fields_##name,                           \
                                               sizeof(usher_##name),                                                   \
                                               sizeof(struct fixed_##name),                                            \
                                               sizeof(struct most_##name)};
#include "structs.def"

static const usher_layout *const layouts[] = {
#define USHER_STRUCT(name, text)
#define USHER_FIELD(name, KIND, field, argument, text)
#define USHER_ITEMS(name, item, field, most, text)
#define USHER_END(name) &layout_##name,
#include "structs.def"
};

const usher_layout *const *
usher_layouts(size_t *count)
{
    *count = sizeof layouts / sizeof *layouts;
    return layouts;
}

const usher_layout *
usher_refusal_layout(void)
{
    return &layout_refusal;
}

/* --- messages --------------------------------------------------------------------------------------- */
enum {
    N = USHER_ROLE_BIT(USHER_ROLE_NONE),
    G = USHER_ROLE_BIT(USHER_ROLE_GATEWAY),
    T = USHER_ROLE_BIT(USHER_ROLE_TERMINAL),
    A = USHER_ROLE_BIT(USHER_ROLE_ADMIN),
    O = USHER_ROLE_BIT(USHER_ROLE_OBSERVER)
};

static const usher_message messages[] = {
#define USHER_MESSAGE(opcode, NAME, name, kind, token, claims, roles, bare, summary)                                   \
    {opcode, #NAME, #name, summary, USHER_MESSAGE_##kind, USHER_TOKEN_NEED_##token,                                    \
     claims, roles, bare,  &layout_##name##_request, &layout_##name##_reply},
#include "messages.def"
};

enum message_row {
#define USHER_MESSAGE(opcode, NAME, name, kind, token, claims, roles, bare, summary) MESSAGE_ROW_##NAME,
#include "messages.def"
};

const usher_message *
usher_messages(size_t *count)
{
    *count = sizeof messages / sizeof *messages;
    return messages;
}

const usher_message *
usher_message_of(unsigned opcode)
{
    switch (opcode) {
#define USHER_MESSAGE(opcode, NAME, name, kind, token, claims, roles, bare, summary)                                   \
    case opcode:                                                                                                       \
        return &messages[MESSAGE_ROW_##NAME];
#include "messages.def"
    }
    return NULL;
}

/* --- pushes ------------------------------------------------------------------------------------------- */
static const usher_push pushes[] = {
#define USHER_PUSH(opcode, NAME, name, summary) {opcode, #NAME, #name, summary, &layout_##name##_push},
#include "pushes.def"
};

enum push_row {
#define USHER_PUSH(opcode, NAME, name, summary) PUSH_ROW_##NAME,
#include "pushes.def"
};

const usher_push *
usher_pushes(size_t *count)
{
    *count = sizeof pushes / sizeof *pushes;
    return pushes;
}

const usher_push *
usher_push_of(unsigned opcode)
{
    switch (opcode) {
#define USHER_PUSH(opcode, NAME, name, summary)                                                                        \
    case opcode:                                                                                                       \
        return &pushes[PUSH_ROW_##NAME];
#include "pushes.def"
    }
    return NULL;
}
