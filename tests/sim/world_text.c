/* world_text.c: answers and events as a scene writes them (tests/play.h). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/world_inside.h"

static const char *const moments[] = {"until_ms",   "starts_at_ms", "opens_at_ms", "closes_at_ms", "at_ms",
                                      "paid_at_ms", "since_ms",     "stamp_ms",    "issued_ms",    "ends_ms"};

static void
append(char *out, size_t size, const char *text)
{
    size_t length = strlen(out);

    snprintf(out + length, size - length, "%s", text);
}

static bool
is_moment(const usher_field *field)
{
    for (size_t i = 0; i < sizeof moments / sizeof *moments; i++)
        if (strcmp(field->name, moments[i]) == 0)
            return true;
    return false;
}

static size_t
size_of(usher_kind kind)
{
    switch (kind) {
    case USHER_KIND_U8:
    case USHER_KIND_ENUM:
        return 1;
    case USHER_KIND_U16:
        return 2;
    case USHER_KIND_U32:
    case USHER_KIND_NUMBERS32:
        return 4;
    case USHER_KIND_U64:
    case USHER_KIND_I64:
    case USHER_KIND_NUMBERS64:
        return 8;
    case USHER_KIND_UUID:
        return 16;
    case USHER_KIND_ID:
    case USHER_KIND_KEY:
    case USHER_KIND_SIGNATURE:
    case USHER_KIND_TEXT:
    case USHER_KIND_BYTES:
    case USHER_KIND_ITEMS:
        break;
    }
    return 0;
}

static void
print_number(char *out, size_t size, const usher_field *field, uint64_t number)
{
    bool is_signed = field->kind == USHER_KIND_I64;

    if (strcmp(field->name, "result") == 0)
        snprintf(out, size, "%s", usher_result_name((unsigned)number));
    else if (number == UINT64_MAX && !is_signed)
        snprintf(out, size, "unknown");
    else if (is_moment(field) && number != 0)
        snprintf(out, size, "%" PRId64, (int64_t)(number - SIM_BASE_MS));
    else if (is_signed)
        snprintf(out, size, "%" PRId64, (int64_t)number);
    else
        snprintf(out, size, "%" PRIu64, number);
}

/* People are named by looking through those that there can be; a failure has the time. */
static void
print_person(char *out, size_t size, const uint8_t *at)
{
    static const uint8_t nobody[16];

    snprintf(out, size, "none");
    if (memcmp(at, nobody, sizeof nobody) == 0)
        return;
    for (uint32_t number = 1; number < 100000; number++) {
        usher_uuid uuid = word_person(number);
        if (memcmp(&uuid, at, sizeof uuid) == 0) {
            snprintf(out, size, "p%u", number);
            return;
        }
    }
}

static bool
print_element(char *out, size_t size, const usher_field *field, const uint8_t *at)
{
    uint64_t number = 0;

    if (field->kind == USHER_KIND_UUID) {
        print_person(out, size, at);
    } else if (field->kind == USHER_KIND_TEXT) {
        snprintf(out, size, "'%s'", (const char *)at);
    } else if (field->kind == USHER_KIND_ENUM) {
        const char *name = usher_enum_name(field->enumeration, *at);
        snprintf(out, size, "%s", name != NULL ? name : "?");
    } else if (size_of(field->kind) != 0) {
        memcpy(&number, at, size_of(field->kind));
        print_number(out, size, field, number);
    } else {
        return false;
    }
    return true;
}

static void
print_list(char *out, size_t size, const usher_field *field, const uint8_t *body)
{
    char text[160];
    uint16_t count;

    memcpy(&count, body + field->count_offset, sizeof count);
    for (uint16_t i = 0; i < count; i++) {
        append(out, size, i > 0 ? "," : "");
        if (field->kind != USHER_KIND_ITEMS) {
            if (print_element(text, sizeof text, field, body + field->offset + i * size_of(field->kind)))
                append(out, size, text);
            continue;
        }
        const uint8_t *item = body + field->offset + i * field->item->struct_size;
        for (size_t j = 0; j < field->item->field_count; j++) {
            const usher_field *part = &field->item->fields[j];
            append(out, size, j > 0 ? ":" : "");
            if (print_element(text, sizeof text, part, item + part->offset))
                append(out, size, text);
        }
    }
}

size_t
text_of_field(char *out, size_t size, const usher_field *field, const void *body)
{
    char text[160];
    const uint8_t *bytes = body;

    out[0] = '\0';
    if (field->kind == USHER_KIND_ITEMS || field->kind == USHER_KIND_NUMBERS32 || field->kind == USHER_KIND_NUMBERS64) {
        uint16_t count;
        memcpy(&count, bytes + field->count_offset, sizeof count);
        snprintf(out, size, "%s=", count == 0 ? "count" : field->name);
        if (count == 0)
            append(out, size, "0");
        else
            print_list(out, size, field, bytes);
    } else if (print_element(text, sizeof text, field, bytes + field->offset)) {
        snprintf(out, size, "%s=%s", field->name, text);
    }
    return strlen(out);
}

void
text_of_body(char *out, size_t size, const usher_layout *layout, const void *body)
{
    static char text[8192];

    out[0] = '\0';
    for (size_t i = 0; i < layout->field_count; i++)
        if (text_of_field(text, sizeof text, &layout->fields[i], body) > 0) {
            append(out, size, out[0] != '\0' ? " " : "");
            append(out, size, text);
        }
}

void
text_of_expected(char *out, size_t size, usher_result result, bool replayed, const usher_layout *layout,
                 const void *expected, const void *real)
{
    static char right[8192], came[8192];

    snprintf(out, size, "%s%s", usher_result_name(result), replayed ? " replayed" : "");
    for (size_t i = 0; layout != NULL && i < layout->field_count; i++) {
        const usher_field *field = &layout->fields[i];
        if (text_of_field(right, sizeof right, field, expected) == 0)
            continue;
        if (real != NULL && text_of_field(came, sizeof came, field, real) > 0 && strcmp(right, came) == 0)
            continue;
        append(out, size, " ");
        append(out, size, right);
    }
}

void
text_of_events(char *out, size_t size, const usher_event *events, uint64_t count)
{
    static char text[256];
    const usher_layout *layout = usher_push_of(USHER_PUSH_EVENTS)->body->fields[2].item;

    out[0] = '\0';
    for (uint64_t i = 0; i < count; i++) {
        const usher_event *event = &events[i];
        append(out, size, i > 0 ? " " : "");
        for (size_t j = 0; j < layout->field_count; j++) {
            const usher_field *field = &layout->fields[j];
            static const usher_event zero;
            bool is_kind = strcmp(field->name, "kind") == 0;
            if (strcmp(field->name, "event_no") == 0 || strcmp(field->name, "at_ms") == 0 ||
                memcmp((const uint8_t *)event + field->offset, (const uint8_t *)&zero + field->offset,
                       size_of(field->kind)) == 0)
                continue;
            text_of_field(text, sizeof text, field, event);
            append(out, size, is_kind ? "" : ":");
            append(out, size, is_kind ? strchr(text, '=') + 1 : text);
        }
    }
    if (count == 0)
        append(out, size, "none");
}
