/* field.c: words to a request's fields, by the rows of structs.def. */
#include "ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What setting one field needs to know. */
struct setting {
    const usher_field *field;
    char *at; /* the field in the struct */
    char *body;
    bool (*now_ms)(void *context, uint64_t *now_ms);
    void *context;
    char *why;
    size_t why_size;
};

static bool
complain(const struct setting *setting, const char *text, const char *problem)
{
    snprintf(setting->why, setting->why_size, "%s: \"%s\" %s", setting->field->name, text, problem);
    return false;
}

bool
ctl_number_parse(const char *text, uint64_t least, uint64_t most, uint64_t *value)
{
    char *end;
    unsigned long long parsed;

    if (*text < '0' || *text > '9') /* strtoull would take signs and spaces */
        return false;
    errno = 0;
    parsed = strtoull(text, &end, 10);
    if (errno != 0 || *end != 0 || parsed < least || parsed > most)
        return false;
    *value = parsed;
    return true;
}

/* --- numbers ------------------------------------------------------------------------------------------ */
static bool
set_unsigned(const struct setting *setting, const char *text)
{
    static const struct {
        uint64_t most;
        size_t size;
    } widths[] = {[USHER_KIND_U8] = {UINT8_MAX, 1},
                  [USHER_KIND_U16] = {UINT16_MAX, 2},
                  [USHER_KIND_U32] = {UINT32_MAX, 4},
                  [USHER_KIND_U64] = {UINT64_MAX, 8}};
    usher_kind kind = setting->field->kind;
    uint64_t value;
    union {
        uint8_t u8;
        uint16_t u16;
        uint32_t u32;
        uint64_t u64;
    } number;

    if (!ctl_number_parse(text, 0, widths[kind].most, &value)) {
        char problem[64];
        snprintf(problem, sizeof problem, "is not a whole number from 0 to %" PRIu64, widths[kind].most);
        return complain(setting, text, problem);
    }
    if (kind == USHER_KIND_U8)
        number.u8 = (uint8_t)value;
    else if (kind == USHER_KIND_U16)
        number.u16 = (uint16_t)value;
    else if (kind == USHER_KIND_U32)
        number.u32 = (uint32_t)value;
    else
        number.u64 = value;
    memcpy(setting->at, &number, widths[kind].size);
    return true;
}

/* A moment, or a policy's value, which may be one. */
static bool
set_u64(const struct setting *setting, const char *text)
{
    const char *name = setting->field->name;
    bool duration = strcmp(name, "refund_until_ms") == 0;
    uint64_t now_ms = 0, moment_ms;

    if (!ctl_is_moment(name) && !duration && strcmp(name, "value") != 0)
        return set_unsigned(setting, text);
    if (duration) {
        if (!ctl_duration_parse(text, &moment_ms))
            return complain(setting, text, "is not a duration, such as 90s, 45m, 2h, 1d");
    } else {
        if (ctl_moment_is_relative(text) && !setting->now_ms(setting->context, &now_ms))
            return complain(setting, text, "is relative to the server's time, which it did not tell");
        if (!ctl_moment_parse(text, 0, now_ms, &moment_ms))
            return strcmp(name, "value") == 0
                       ? set_unsigned(setting, text)
                       : complain(setting, text, "is not a moment, such as 2027-01-31T19:30+09:00 or +30d");
    }
    memcpy(setting->at, &moment_ms, sizeof moment_ms);
    return true;
}

static bool
set_signed(const struct setting *setting, const char *text)
{
    char *end;
    int64_t value;

    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != 0 || strchr(" \t+", *text) != NULL)
        return complain(setting, text, "is not a whole number within 64 bits");
    memcpy(setting->at, &value, sizeof value);
    return true;
}

/* --- bytes and text ----------------------------------------------------------------------------------- */
static bool
set_uuid(const struct setting *setting, const char *text)
{
    if (usher_uuid_parse(text, (usher_uuid *)(void *)setting->at))
        return true;
    return complain(setting, text, "is not a UUID");
}

static bool
set_hex(const struct setting *setting, const char *text)
{
    size_t size = setting->field->kind == USHER_KIND_KEY ? sizeof(usher_key) : sizeof(usher_signature);

    if (usher_hex_parse(text, (uint8_t *)setting->at, size))
        return true;
    return complain(setting, text, size == 32 ? "is not 64 hex digits" : "is not 128 hex digits");
}

static bool
set_text(const struct setting *setting, const char *text)
{
    char problem[64];

    if (strlen(text) < setting->field->most) {
        memset(setting->at, 0, setting->field->most);
        strcpy(setting->at, text);
        return true;
    }
    snprintf(problem, sizeof problem, "is longer than %u bytes", setting->field->most - 1u);
    return complain(setting, text, problem);
}

static bool
set_enum(const struct setting *setting, const char *text)
{
    const usher_enum *enumeration = setting->field->enumeration;
    char problem[256] = "is none of";

    for (size_t i = 0; i < enumeration->value_count; i++) {
        size_t length = strlen(problem);
        if (strcmp(text, enumeration->values[i].name) == 0) {
            *(uint8_t *)setting->at = enumeration->values[i].value;
            return true;
        }
        snprintf(problem + length, sizeof problem - length, " %s", enumeration->values[i].name);
    }
    return complain(setting, text, problem);
}

static uint16_t
get_count(const struct setting *setting)
{
    uint16_t count;

    memcpy(&count, setting->body + setting->field->count_offset, sizeof count);
    return count;
}

static void
set_count(const struct setting *setting, uint16_t count)
{
    memcpy(setting->body + setting->field->count_offset, &count, sizeof count);
}

static bool
set_bytes(const struct setting *setting, const char *text)
{
    size_t size;

    if (!usher_base64_parse(text, (uint8_t *)setting->at, setting->field->most, &size))
        return complain(setting, text, "is not base64, or too long");
    set_count(setting, (uint16_t)size);
    return true;
}

/* --- lists -------------------------------------------------------------------------------------------- */
static bool
add_number(const struct setting *setting, const char *text, uint64_t value)
{
    uint16_t count = get_count(setting);
    uint32_t narrow = (uint32_t)value;

    if (count == setting->field->most) {
        char problem[64];
        snprintf(problem, sizeof problem, "makes more than %u numbers", setting->field->most);
        return complain(setting, text, problem);
    }
    if (setting->field->kind == USHER_KIND_NUMBERS32)
        memcpy(setting->at + count * sizeof narrow, &narrow, sizeof narrow);
    else
        memcpy(setting->at + count * sizeof value, &value, sizeof value);
    set_count(setting, (uint16_t)(count + 1));
    return true;
}

/* "7" or "7-9" */
static bool
add_range(const struct setting *setting, char *piece)
{
    uint64_t most = setting->field->kind == USHER_KIND_NUMBERS32 ? UINT32_MAX : UINT64_MAX;
    uint64_t first, last;
    char *dash = strchr(piece, '-');

    if (dash != NULL)
        *dash = 0;
    if (!ctl_number_parse(piece, 0, most, &first))
        return complain(setting, piece, "is not a whole number");
    last = first;
    if (dash != NULL && (!ctl_number_parse(dash + 1, first, most, &last) || last - first >= setting->field->most))
        return complain(setting, dash + 1, "does not end a range");
    for (uint64_t value = first;; value++) {
        if (!add_number(setting, piece, value))
            return false;
        if (value == last)
            return true;
    }
}

/* "1,2,5-7"; given again it goes on. */
static bool
add_numbers(const struct setting *setting, const char *text)
{
    char copy[1024], *rest = copy, *piece;

    if (strlen(text) >= sizeof copy)
        return complain(setting, "...", "is too long");
    strcpy(copy, text);
    while ((piece = strsep(&rest, ",")) != NULL)
        if (!add_range(setting, piece))
            return false;
    return true;
}

/* "name=Floor,row_count=10,..." adds one item. */
static bool
add_item(const struct setting *setting, const char *text)
{
    const usher_field *field = setting->field;
    char copy[1024], *rest = copy, *piece;
    uint16_t count = get_count(setting);
    char *item = setting->at + count * field->item->struct_size;

    if (count == field->most || strlen(text) >= sizeof copy)
        return complain(setting, text, "is one too many");
    memset(item, 0, field->item->struct_size);
    strcpy(copy, text);
    while ((piece = strsep(&rest, ",")) != NULL) {
        char *equals = strchr(piece, '=');
        if (equals == NULL)
            return complain(setting, piece, "is not field=value");
        *equals = 0;
        if (!ctl_set_field(field->item, item, piece, equals + 1, setting->now_ms, setting->context, setting->why,
                           setting->why_size))
            return false;
    }
    set_count(setting, (uint16_t)(count + 1));
    return true;
}

/* --- by name ------------------------------------------------------------------------------------------ */
static const struct {
    bool (*set)(const struct setting *setting, const char *text);
    const char *form;
} kinds[] = {
    [USHER_KIND_U8] = {set_unsigned, "NUMBER"},
    [USHER_KIND_U16] = {set_unsigned, "NUMBER"},
    [USHER_KIND_U32] = {set_unsigned, "NUMBER"},
    [USHER_KIND_U64] = {set_u64, "NUMBER"},
    [USHER_KIND_I64] = {set_signed, "NUMBER"},
    [USHER_KIND_UUID] = {set_uuid, "UUID"},
    [USHER_KIND_ID] = {set_uuid, "UUID"},
    [USHER_KIND_KEY] = {set_hex, "HEX"},
    [USHER_KIND_SIGNATURE] = {set_hex, "HEX"},
    [USHER_KIND_TEXT] = {set_text, "TEXT"},
    [USHER_KIND_ENUM] = {set_enum, ""},
    [USHER_KIND_BYTES] = {set_bytes, "BASE64"},
    [USHER_KIND_NUMBERS32] = {add_numbers, "N,N-N"},
    [USHER_KIND_NUMBERS64] = {add_numbers, "N,N-N"},
    [USHER_KIND_ITEMS] = {add_item, "FIELD=VALUE,..."},
};

void
ctl_field_form(const usher_field *field, char *text, size_t size)
{
    *text = 0;
    if (field->kind != USHER_KIND_ENUM) {
        snprintf(text, size, "%s", ctl_is_moment(field->name) ? "MOMENT" : kinds[field->kind].form);
        return;
    }
    for (size_t i = 0; i < field->enumeration->value_count; i++) {
        size_t length = strlen(text);
        snprintf(text + length, size - length, "%s%s", i > 0 ? "|" : "", field->enumeration->values[i].name);
    }
}

/* Whether what the user wrote means this field: hyphens for underscores, without its _id, _ms or _no, in plural, or the
 * cursor of a list without what it counts. */
static bool
means_field(const char *field, const char *name, size_t size)
{
    static const char *const endings[] = {"", "_id", "_ms", "_no", "_count"};
    size_t length = strlen(field), same = 0;

    while (same < size && same < length && (name[same] == field[same] || (name[same] == '-' && field[same] == '_')))
        same++;
    if (same != size && (same + 1 != size || name[same] != 's'))
        return false;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (strcmp(field + same, endings[i]) == 0)
            return true;
    return (size == 5 && strncmp(field, "after_", 6) == 0) || (size == 6 && strncmp(field, "before_", 7) == 0);
}

const usher_field *
ctl_find_field(const usher_layout *layout, const char *name, size_t size)
{
    for (size_t i = 0; i < layout->field_count; i++)
        if (means_field(layout->fields[i].name, name, size))
            return &layout->fields[i];
    return NULL;
}

bool
ctl_set_field(const usher_layout *layout, void *body, const char *name, const char *text,
              bool (*now_ms)(void *context, uint64_t *now_ms), void *context, char *why, size_t why_size)
{
    const usher_field *field = ctl_find_field(layout, name, strlen(name));
    struct setting setting = {.field = field,
                              .at = (char *)body + (field != NULL ? field->offset : 0),
                              .body = body,
                              .now_ms = now_ms,
                              .context = context,
                              .why = why,
                              .why_size = why_size};

    if (field != NULL)
        return kinds[field->kind].set(&setting, text);
    snprintf(why, why_size, "there is no argument \"%s\"", name);
    return false;
}
