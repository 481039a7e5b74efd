/* read.c: see read.h. */
#include "read.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "http.h"

#define EXACT_MOST 9007199254740991

static const struct words no_such_field = {{"there is no such field", "그런 항목이 없습니다"}};
static const struct words is_missing = {{"is missing", "항목이 빠졌습니다"}};
static const struct words not_a_number = {{"is not a whole number within %", "% 범위의 정수가 아닙니다"}};
static const struct words not_a_user = {{"is neither a whole number from 0 to 9007199254740991 nor a UUID",
                                         "0부터 9007199254740991까지의 정수도 UUID도 아닙니다"}};
static const struct words not_a_list = {{"is not a list of at most % numbers", "숫자 %개 이하의 목록이 아닙니다"}};
static const struct words not_a_flag = {{"is neither true nor false", "true도 false도 아닙니다"}};
static const struct words not_base64 = {{"is not base64 of at most % bytes", "%바이트 이하의 base64가 아닙니다"}};
static const struct words not_the_word = {{"is not \"%\"", "\"%\"가 아닙니다"}};
static const struct words not_json = {{"%", "%"}};
static const struct words not_an_object = {{"the body is not a JSON object", "본문이 JSON 객체가 아닙니다"}};

static const usher_field extra_fields[] = {
    {.name = "wait_ms", .kind = USHER_KIND_U64, .offset = offsetof(struct read_extra, wait_ms)},
    {.name = "of_concert", .kind = USHER_KIND_U32, .offset = offsetof(struct read_extra, of_concert)},
};

/* --- the line -------------------------------------------------------------------------------------------------- */
struct item {
    char name[32];
    char field[32];
    char word[32]; /* "" for none */
    bool is_optional, is_element;
};

/* The next word of the line; false at its end. */
static bool
next_item(const char **line, struct item *item)
{
    const char *at = *line + strspn(*line, " ");
    size_t length = strcspn(at, " ");
    char text[sizeof item->name + sizeof item->field], *mark;

    *line = at + length;
    if (length == 0)
        return false;
    *item = (struct item){.is_optional = *at == '?'};
    snprintf(text, sizeof text, "%.*s", (int)length - item->is_optional, at + item->is_optional);
    if ((mark = strchr(text, ':')) != NULL) {
        *mark = 0;
        snprintf(item->word, sizeof item->word, "%s", mark + 1);
    }
    if ((mark = strstr(text, "[]")) != NULL) {
        *mark = 0;
        item->is_element = true;
    }
    mark = strchr(text, '=');
    snprintf(item->field, sizeof item->field, "%.31s", mark != NULL ? mark + 1 : text);
    if (mark != NULL)
        *mark = 0;
    snprintf(item->name, sizeof item->name, "%.31s", text);
    return true;
}

static bool
line_has(const char *line, const char *name)
{
    struct item item;

    while (next_item(&line, &item))
        if (strcmp(item.name, name) == 0)
            return true;
    return false;
}

/* --- values ---------------------------------------------------------------------------------------------------- */
/* As much of the text as there is room for, in whole characters of UTF-8. */
static void
copy_text(char *to, size_t room, const char *text)
{
    size_t size = strlen(text);

    if (size >= room) {
        size = room - 1;
        while (size > 0 && ((uint8_t)text[size] & 0xc0) == 0x80)
            size--;
    }
    memcpy(to, text, size);
    to[size] = 0;
}

static bool
complain(struct reading *reading, const char *field, struct words detail, const char *bound)
{
    copy_text(reading->field, sizeof reading->field, field);
    copy_text(reading->bound, sizeof reading->bound, bound);
    reading->problem = (struct problem){
        .code = PROBLEM_FIELD_INVALID, .detail = detail, .field = reading->field, .bound = reading->bound};
    return false;
}

static bool
complain_number(struct reading *reading, const char *field, struct words detail, uint64_t bound)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, bound);
    return complain(reading, field, detail, text);
}

static uint64_t
most_of(const usher_field *field)
{
    if (field->kind == USHER_KIND_U8)
        return UINT8_MAX;
    if (field->kind == USHER_KIND_U16)
        return UINT16_MAX;
    if (field->kind == USHER_KIND_U32 || field->kind == USHER_KIND_NUMBERS32)
        return UINT32_MAX;
    return strcmp(field->name, "wait_ms") == 0 ? READ_WAIT_MS_MOST : EXACT_MOST;
}

/* Little-endian alone is what the protocol's structs are built for. */
static void
put(void *at, uint64_t value, size_t size)
{
    uint8_t u8 = (uint8_t)value;
    uint16_t u16 = (uint16_t)value;
    uint32_t u32 = (uint32_t)value;

    memcpy(at, size == 1 ? (void *)&u8 : size == 2 ? (void *)&u16 : size == 4 ? (void *)&u32 : (void *)&value, size);
}

static size_t
size_of(usher_kind kind)
{
    return kind == USHER_KIND_U8 || kind == USHER_KIND_ENUM         ? 1
           : kind == USHER_KIND_U16                                 ? 2
           : kind == USHER_KIND_U32 || kind == USHER_KIND_NUMBERS32 ? 4
                                                                    : 8;
}

static bool
set_number(struct reading *reading, const char *name, const usher_field *field, void *at, const json_t *value)
{
    bool is_signed = field->kind == USHER_KIND_I64;
    json_int_t number = json_integer_value(value);
    char bound[64];

    if (json_is_integer(value) && number >= (is_signed ? -EXACT_MOST : 0) && number <= (json_int_t)most_of(field)) {
        put(at, (uint64_t)number, size_of(field->kind));
        return true;
    }
    snprintf(bound, sizeof bound, "%s%" PRIu64 "..%" PRIu64, is_signed ? "-" : "",
             is_signed ? most_of(field) : (uint64_t)0, most_of(field));
    return complain(reading, name, not_a_number, bound);
}

static bool
set_element(struct reading *reading, const char *name, const usher_field *field, char *body, const json_t *value)
{
    uint16_t count;

    memcpy(&count, body + field->count_offset, sizeof count);
    if (count >= field->most)
        return complain_number(reading, name, not_a_list, field->most);
    if (!set_number(reading, name, field, body + field->offset + count * size_of(field->kind), value))
        return false;
    count++;
    memcpy(body + field->count_offset, &count, sizeof count);
    return true;
}

static bool
set_list(struct reading *reading, const char *name, const usher_field *field, char *body, const json_t *value)
{
    char element[64];

    if (!json_is_array(value) || json_array_size(value) > field->most)
        return complain_number(reading, name, not_a_list, field->most);
    for (size_t i = 0; i < json_array_size(value); i++) {
        snprintf(element, sizeof element, "%.40s[%zu]", name, i);
        if (!set_element(reading, element, field, body, json_array_get(value, i)))
            return false;
    }
    return true;
}

static bool
set_bytes(struct reading *reading, const char *name, const usher_field *field, char *body, const json_t *value)
{
    size_t size;
    uint16_t count;

    if (!json_is_string(value) ||
        !usher_base64_parse(json_string_value(value), (uint8_t *)body + field->offset, field->most, &size))
        return complain_number(reading, name, not_base64, field->most);
    count = (uint16_t)size;
    memcpy(body + field->count_offset, &count, sizeof count);
    return true;
}

static bool
set_user(struct reading *reading, const char *name, void *at, const json_t *value)
{
    if (!user_id_from_json(value, reading->user))
        return complain(reading, name, not_a_user, "");
    memcpy(at, &reading->user->uuid, sizeof reading->user->uuid);
    return true;
}

static const usher_field *
find_field(struct reading *reading, const char *name, void **body)
{
    *body = &reading->extra;
    for (size_t i = 0; i < sizeof extra_fields / sizeof *extra_fields; i++)
        if (strcmp(extra_fields[i].name, name) == 0)
            return &extra_fields[i];
    *body = reading->body;
    for (size_t i = 0; i < reading->layout->field_count; i++)
        if (strcmp(reading->layout->fields[i].name, name) == 0)
            return &reading->layout->fields[i];
    return NULL;
}

static bool
set_value(struct reading *reading, const struct item *item, const json_t *value)
{
    void *body;
    const usher_field *field = *item->word == 0 ? find_field(reading, item->field, &body) : NULL;

    if (*item->word != 0)
        return (json_is_string(value) && strcmp(json_string_value(value), item->word) == 0) ||
               complain(reading, item->name, not_the_word, item->word);
    assert(field != NULL); /* or the row names what the struct has not */
    char *at = (char *)body + field->offset;
    if (item->is_element)
        return set_element(reading, item->name, field, body, value);
    if (field->kind == USHER_KIND_UUID)
        return set_user(reading, item->name, at, value);
    if (field->kind == USHER_KIND_ENUM && json_is_boolean(value))
        return *at = json_is_true(value), true;
    if (field->kind == USHER_KIND_ENUM)
        return complain(reading, item->name, not_a_flag, "");
    if (field->kind == USHER_KIND_BYTES)
        return set_bytes(reading, item->name, field, body, value);
    if (field->kind == USHER_KIND_NUMBERS32 || field->kind == USHER_KIND_NUMBERS64)
        return set_list(reading, item->name, field, body, value);
    return set_number(reading, item->name, field, at, value);
}

/* --- path and query -------------------------------------------------------------------------------------------- */
/* The text as the JSON that it would be in a body; the caller owns it. */
static json_t *
json_of_text(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    struct user_id user;
    uint64_t number = 0;

    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return json_boolean(*text == 't');
    if (digits == 0 || text[digits] != 0 || (digits > 1 && *text == '0') || digits > 16)
        return user_id_parse(text, &user) ? json_string(text) : json_null();
    for (size_t i = 0; i < digits; i++)
        number = 10 * number + (uint64_t)(text[i] - '0');
    return json_integer((json_int_t)number);
}

static bool
set_text(struct reading *reading, const struct item *item, const char *text)
{
    json_t *value = json_of_text(text);
    bool done = set_value(reading, item, value);

    json_decref(value);
    return done;
}

bool
read_path(struct reading *reading, const char *line)
{
    struct item item;

    while (next_item(&line, &item))
        if (!set_text(reading, &item, http_parameter(reading->exchange, item.name)))
            return false;
    return true;
}

bool
read_query(struct reading *reading, const char *line)
{
    const char *name, *value;
    struct item item;

    for (size_t i = 0; http_query_at(reading->exchange, i, &name, &value); i++)
        if (!line_has(line, name))
            return complain(reading, name, no_such_field, "");
    while (next_item(&line, &item)) {
        value = http_query(reading->exchange, item.name);
        if (value == NULL && !item.is_optional)
            return complain(reading, item.name, is_missing, "");
        if (value != NULL && !set_text(reading, &item, value))
            return false;
    }
    return true;
}

/* --- the body -------------------------------------------------------------------------------------------------- */
static bool
set_object(struct reading *reading, const char *line, json_t *object)
{
    struct item item;
    const char *name;
    json_t *value;

    json_object_foreach(object, name, value) if (!line_has(line, name)) return complain(reading, name, no_such_field,
                                                                                        "");
    while (next_item(&line, &item)) {
        value = json_object_get(object, item.name);
        if (item.is_optional && (value == NULL || json_is_null(value)))
            continue;
        if (value == NULL)
            return complain(reading, item.name, is_missing, "");
        if (!set_value(reading, &item, value))
            return false;
    }
    return true;
}

bool
read_json(struct reading *reading, const char *line, const char *json, size_t size)
{
    json_error_t error;
    json_t *object = json_loadb(json, size, JSON_REJECT_DUPLICATES, &error);
    bool done;

    if (!json_is_object(object)) {
        reading->problem = (struct problem){.code = PROBLEM_JSON_INVALID, .detail = not_an_object};
        if (object == NULL) {
            char text[sizeof error.text + 32];
            snprintf(text, sizeof text, "%d:%d: %s", error.line, error.column, error.text);
            copy_text(reading->bound, sizeof reading->bound, text);
            reading->problem.detail = not_json;
            reading->problem.bound = reading->bound;
        }
        json_decref(object);
        return false;
    }
    done = set_object(reading, line, object);
    json_decref(object);
    return done;
}

bool
read_body(struct reading *reading, const char *line)
{
    size_t size;
    const char *body = http_body(reading->exchange, &size);

    if (*line == 0)
        return true;
    if (!http_content_is(reading->exchange, "application/json")) {
        reading->problem = (struct problem){.code = PROBLEM_MEDIA_TYPE_UNSUPPORTED};
        return false;
    }
    return read_json(reading, line, body, size);
}
