/* check.c: is a caller's struct a body that may go on the wire?
 *
 * The encoder asserts that it is. What it asserts is looked at here first; the rest (UTF-8, enums) is the decoder's
 * judgement, so that the SDK and the server can't differ about it: a body that has any of these is encoded and decoded
 * again. */
#include <stdio.h>
#include <string.h>

#include "client-sdk/src/async.h"

static bool
text_ends(const usher_field *field, const char *text)
{
    return field->kind != USHER_KIND_TEXT || memchr(text, 0, field->most) != NULL;
}

static bool
items_end(const usher_layout *item, const char *items, size_t count)
{
    for (; count > 0; count--, items += item->struct_size)
        for (size_t i = 0; i < item->field_count; i++)
            if (!text_ends(&item->fields[i], items + item->fields[i].offset))
                return false;
    return true;
}

/* Whether a field has values that it can never hold. */
static bool
can_be_wrong(const usher_field *field)
{
    return field->kind == USHER_KIND_TEXT || field->kind == USHER_KIND_ENUM || field->item != NULL;
}

/* What is wrong with a field for the encoder, or NULL. */
static const char *
field_trouble(const usher_field *field, const char *body)
{
    uint16_t count;

    if (!text_ends(field, body + field->offset))
        return "its text has no end";
    if (field->kind < USHER_KIND_BYTES)
        return NULL;
    memcpy(&count, body + field->count_offset, sizeof count);
    if (count > field->most)
        return "its count is above what a request can carry";
    if (field->item != NULL && !items_end(field->item, body + field->offset, count))
        return "one of its texts has no end";
    return NULL;
}

bool
usher_check_body(const usher_layout *layout, const void *body, uint8_t *wire, size_t wire_size, void *scratch,
                 size_t *size, char *why, size_t why_size)
{
    unsigned field_no = 0;
    bool judged = true;

    *size = SIZE_MAX;

    for (size_t i = 0; i < layout->field_count; i++) {
        const char *trouble = field_trouble(&layout->fields[i], body);
        if (trouble != NULL) {
            snprintf(why, why_size, "%s.%s: %s", layout->name, layout->fields[i].name, trouble);
            return false;
        }
        judged = judged && !can_be_wrong(&layout->fields[i]);
    }
    *size = usher_encode(layout, body, wire, wire_size);
    if (*size == SIZE_MAX) {
        snprintf(why, why_size, "%s: it is larger than a frame", layout->name);
        return false;
    }
    if (judged || usher_decode(layout, wire, *size, scratch, &field_no) == USHER_OK)
        return true;
    *size = SIZE_MAX;
    if (field_no == 0)
        snprintf(why, why_size, "%s: it can't be sent", layout->name);
    else
        snprintf(why, why_size, "%s.%s: it holds a value that it can never have", layout->name,
                 layout->fields[field_no - 1].name);
    return false;
}
