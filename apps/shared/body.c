/* body.c: see body.h. */
#include "body.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXACT_MOST 9007199254740991

/* --- values ------------------------------------------------------------------------------------------- */
static const char *
at(const usher_field *field, const void *body)
{
    return (const char *)body + field->offset;
}

uint64_t
body_unsigned(const usher_field *field, const void *body)
{
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;

    if (field->kind == USHER_KIND_U8 || field->kind == USHER_KIND_ENUM)
        return *(const uint8_t *)at(field, body);
    if (field->kind == USHER_KIND_U16) {
        memcpy(&u16, at(field, body), sizeof u16);
        return u16;
    }
    if (field->kind == USHER_KIND_U32) {
        memcpy(&u32, at(field, body), sizeof u32);
        return u32;
    }
    memcpy(&u64, at(field, body), sizeof u64);
    return u64;
}

int64_t
body_signed(const usher_field *field, const void *body)
{
    int64_t value;

    memcpy(&value, at(field, body), sizeof value);
    return value;
}

uint16_t
body_count(const usher_field *field, const void *body)
{
    uint16_t count;

    memcpy(&count, (const char *)body + field->count_offset, sizeof count);
    return count;
}

uint64_t
body_element(const usher_field *field, const void *body, size_t index)
{
    uint32_t narrow;
    uint64_t wide;

    if (field->kind == USHER_KIND_NUMBERS64) {
        memcpy(&wide, at(field, body) + index * sizeof wide, sizeof wide);
        return wide;
    }
    memcpy(&narrow, at(field, body) + index * sizeof narrow, sizeof narrow);
    return narrow;
}

const void *
body_item(const usher_field *field, const void *body, size_t index)
{
    return at(field, body) + index * field->item->struct_size;
}

char *
body_bytes_text(const usher_field *field, const void *body)
{
    const uint8_t *bytes = (const uint8_t *)body + field->offset;
    size_t size = field->kind == USHER_KIND_BYTES ? body_count(field, body)
                  : field->kind == USHER_KIND_KEY ? sizeof(usher_key)
                                                  : sizeof(usher_signature);
    char *text = malloc(2 * size + USHER_UUID_TEXT_SIZE);

    if (text == NULL)
        abort();
    if (field->kind == USHER_KIND_UUID || field->kind == USHER_KIND_ID)
        usher_uuid_format((const usher_uuid *)(const void *)bytes, text);
    else if (field->kind == USHER_KIND_BYTES)
        usher_base64_format(bytes, size, text, 2 * size + USHER_UUID_TEXT_SIZE);
    else
        usher_hex_format(bytes, size, text);
    return text;
}

/* --- JSON --------------------------------------------------------------------------------------------- */
static json_t *
json_number(const usher_field *field, uint64_t value)
{
    size_t length = strlen(field->name);
    char text[24];

    if (value == USHER_UNKNOWN_MS && length > 3 && strcmp(field->name + length - 3, "_ms") == 0)
        return json_null();
    if (value <= EXACT_MOST)
        return json_integer((json_int_t)value);
    snprintf(text, sizeof text, "%" PRIu64, value);
    return json_string(text);
}

static json_t *
json_list(const usher_field *field, const void *body, body_flags flags)
{
    json_t *list = json_array();
    uint16_t count = body_count(field, body);

    for (uint16_t i = 0; i < count; i++)
        json_array_append_new(list, field->item != NULL ? body_json(field->item, body_item(field, body, i), flags)
                                                        : json_number(field, body_element(field, body, i)));
    return list;
}

static json_t *
json_enum(const usher_field *field, const void *body, body_flags flags)
{
    const char *name = usher_enum_name(field->enumeration, (unsigned)body_unsigned(field, body));

    if (flags == BODY_FLAGS_AS_BOOLEANS && strcmp(field->enumeration->name, "flag") == 0)
        return json_boolean(strcmp(name, "yes") == 0);
    return json_string(name);
}

static json_t *
json_value(const usher_field *field, const void *body, body_flags flags)
{
    json_t *value;
    char *text;

    if (field->kind == USHER_KIND_I64)
        return json_integer(body_signed(field, body));
    if (field->kind == USHER_KIND_TEXT)
        return json_string(at(field, body));
    if (field->kind == USHER_KIND_ENUM)
        return json_enum(field, body, flags);
    if (field->kind < USHER_KIND_I64)
        return json_number(field, body_unsigned(field, body));
    if (field->kind > USHER_KIND_BYTES)
        return json_list(field, body, flags);
    text = body_bytes_text(field, body);
    value = json_string(text);
    free(text);
    return value;
}

json_t *
body_json(const usher_layout *layout, const void *body, body_flags flags)
{
    json_t *object = json_object();

    for (size_t i = 0; i < layout->field_count; i++)
        json_object_set_new(object, layout->fields[i].name, json_value(&layout->fields[i], body, flags));
    return object;
}
