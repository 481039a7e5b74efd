/* codec.c: bodies to bytes and back, by walking the field tables of protocol.c.
 *
 * A body is a fixed part, then the contents of its BYTES and lists. Decoding is strict and has two steps, so that the
 * answer does not depend on which field is looked at first: the sizes must add up (BODY_SIZE), then each field must
 * hold what its kind allows (FIELD_INVALID). After the first step no field can reach beyond the bytes. */
#include "codec.h"

#include <assert.h>
#include <string.h>

#include "bytes.h"

/* Bytes of a number, or of one element of a list (ITEMS: its layout says). TEXT has its size in its row. */
static const uint8_t kind_width[] = {
    [USHER_KIND_U8] = 1,         [USHER_KIND_U16] = 2,       [USHER_KIND_U32] = 4,   [USHER_KIND_U64] = 8,
    [USHER_KIND_I64] = 8,        [USHER_KIND_UUID] = 16,     [USHER_KIND_ID] = 16,   [USHER_KIND_KEY] = 32,
    [USHER_KIND_SIGNATURE] = 64, [USHER_KIND_TEXT] = 0,      [USHER_KIND_ENUM] = 1,  [USHER_KIND_BYTES] = 1,
    [USHER_KIND_NUMBERS32] = 4,  [USHER_KIND_NUMBERS64] = 8, [USHER_KIND_ITEMS] = 0,
};

size_t
usher_fixed_size(const usher_layout *layout)
{
    return layout->fixed_size;
}

size_t
usher_size_most(const usher_layout *layout)
{
    return layout->size_most;
}

static bool
kind_is_list(usher_kind kind)
{
    return kind >= USHER_KIND_BYTES;
}

/* Bytes of one element of a list. */
static size_t
element_width(const usher_field *field)
{
    return field->item != NULL ? field->item->fixed_size : kind_width[field->kind];
}

/* Copy a number between memory and wire. It is the same copy in both directions; a size that the compiler knows becomes
 * one load and one store. */
static inline void
copy_number(uint8_t *to, const uint8_t *from, size_t width)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(to, from, width);
#else
    for (size_t i = 0; i < width; i++)
        to[i] = from[width - 1 - i];
#endif
}

static void
copy_numbers(uint8_t *to, const uint8_t *from, size_t count, size_t width)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(to, from, count * width);
#else
    for (size_t i = 0; i < count; i++)
        copy_number(to + i * width, from + i * width, width);
#endif
}

/* Copy what has the same size in memory and on the wire, whatever it says. Returns its bytes; 0: it is nothing of the
 * kind. Most of a body is this, so each size has its own copy. */
static inline size_t
copy_plain(usher_kind kind, uint8_t *to, const uint8_t *from)
{
    switch (kind) {
    case USHER_KIND_U8:
    case USHER_KIND_ENUM:
        *to = *from;
        return 1;
    case USHER_KIND_U16:
        copy_number(to, from, 2);
        return 2;
    case USHER_KIND_U32:
        copy_number(to, from, 4);
        return 4;
    case USHER_KIND_U64:
    case USHER_KIND_I64:
        copy_number(to, from, 8);
        return 8;
    case USHER_KIND_UUID:
    case USHER_KIND_ID:
        memcpy(to, from, 16);
        return 16;
    case USHER_KIND_KEY:
        memcpy(to, from, 32);
        return 32;
    case USHER_KIND_SIGNATURE:
        memcpy(to, from, 64);
        return 64;
    case USHER_KIND_TEXT:
    case USHER_KIND_BYTES:
    case USHER_KIND_NUMBERS32:
    case USHER_KIND_NUMBERS64:
    case USHER_KIND_ITEMS:
        break;
    }
    return 0;
}

/* How many bytes the character at text takes, or 0 if it is none: overlong, a surrogate, above U+10FFFF, cut off. */
static size_t
utf8_length(const uint8_t *text, size_t size)
{
    static const struct {
        uint8_t first_least, first_most, second_least, second_most, length;
    } rows[] = {
        /* The Unicode Standard, table 3-7; the third and fourth bytes are 80 to bf everywhere. */
        {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };

    if (text[0] < 0x80)
        return 1;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (text[0] < rows[i].first_least || text[0] > rows[i].first_most)
            continue;
        if (size < rows[i].length || text[1] < rows[i].second_least || text[1] > rows[i].second_most)
            return 0;
        for (size_t k = 2; k < rows[i].length; k++)
            if ((text[k] & 0xc0) != 0x80)
                return 0;
        return rows[i].length;
    }
    return 0;
}

/* Whether these bytes are UTF-8 padded with NUL to the end, with at least one NUL. */
static bool
text_is_sound(const uint8_t *text, size_t size)
{
    const uint8_t *end = memchr(text, 0, size);

    if (end == NULL)
        return false;
    for (const uint8_t *rest = end; rest < text + size; rest++)
        if (*rest != 0)
            return false;
    while (text < end) {
        size_t length = utf8_length(text, (size_t)(end - text));
        if (length == 0)
            return false;
        text += length;
    }
    return true;
}

/* --- encoding --------------------------------------------------------------------------------------- */
static void
encode_text(const char *text, size_t size, uint8_t *out)
{
    size_t length = strnlen(text, size);

    assert(length < size);
    memcpy(out, text, length);
    memset(out + length, 0, size - length); /* what the caller left behind its NUL is nobody's business */
}

/* Write a field that has no variable part. Returns its bytes. */
static inline size_t
encode_plain(const usher_field *field, const uint8_t *from, uint8_t *out)
{
    size_t width = copy_plain(field->kind, out, from);

    if (width > 0)
        return width;
    encode_text((const char *)from, field->most, out);
    return field->most;
}

static void
encode_items(const usher_layout *item, const uint8_t *from, size_t count, uint8_t *out)
{
    for (; count > 0; count--, from += item->struct_size)
        for (size_t i = 0; i < item->field_count; i++)
            out += encode_plain(&item->fields[i], from + item->fields[i].offset, out);
}

static void
encode_elements(const usher_field *field, const uint8_t *from, size_t count, uint8_t *out)
{
    size_t width = kind_width[field->kind];

    if (field->item != NULL)
        encode_items(field->item, from, count, out);
    else
        copy_numbers(out, from, count, width);
}

/* Where the next bytes go: those of the fixed part, and those behind it. */
struct encoding {
    uint8_t *fixed, *variable;
    const uint8_t *end; /* of the room */
};

/* Write a field that is no plain copy; false when there is no room for it. By itself, for it would take the registers of
 * the loop around it. */
static __attribute__((noinline)) bool
encode_other(const usher_field *field, const uint8_t *body, struct encoding *encoding)
{
    uint16_t count;
    size_t bytes;

    if (field->kind == USHER_KIND_TEXT) {
        encode_text((const char *)body + field->offset, field->most, encoding->fixed);
        encoding->fixed += field->most;
        return true;
    }
    memcpy(&count, body + field->count_offset, sizeof count);
    assert(count <= field->most);
    bytes_put_u16(encoding->fixed, count);
    encoding->fixed += sizeof count;
    if (count == 0) /* most tokens, once a request is in its one form */
        return true;
    bytes = count * element_width(field);
    if (bytes > (size_t)(encoding->end - encoding->variable))
        return false;
    encode_elements(field, body + field->offset, count, encoding->variable);
    encoding->variable += bytes;
    return true;
}

size_t
usher_encode(const usher_layout *layout, const void *body, uint8_t *out, size_t room)
{
    struct encoding encoding = {out, out + layout->fixed_size, out + room};
    const usher_field *field = layout->fields, *end = field + layout->field_count;

    if (layout->fixed_size > room)
        return SIZE_MAX;
    for (; field < end; field++) {
        size_t width = copy_plain(field->kind, encoding.fixed, (const uint8_t *)body + field->offset);

        encoding.fixed += width;
        if (width == 0 && !encode_other(field, body, &encoding))
            return SIZE_MAX;
    }
    assert(encoding.fixed == out + layout->fixed_size);
    return (size_t)(encoding.variable - out);
}

/* --- decoding --------------------------------------------------------------------------------------- */
/* Whether size is what the counts in the fixed part add up to. */
static bool
sizes_add_up(const usher_layout *layout, const uint8_t *bytes, size_t size)
{
    size_t sum = layout->fixed_size;

    if (size < sum || layout->size_most == sum)
        return size == sum;
    for (size_t i = 0; i < layout->field_count; i++)
        if (kind_is_list(layout->fields[i].kind))
            sum += bytes_get_u16(bytes + layout->fields[i].wire_offset) * element_width(&layout->fields[i]);
    return size == sum;
}

/* Read a field that has no variable part. Returns its bytes, or 0 if it holds what it never can. */
static inline size_t
decode_plain(const usher_field *field, const uint8_t *bytes, uint8_t *to)
{
    size_t width;

    if (field->kind == USHER_KIND_ENUM && usher_enum_name(field->enumeration, *bytes) == NULL)
        return 0;
    width = copy_plain(field->kind, to, bytes);
    if (width > 0)
        return width;
    if (!text_is_sound(bytes, field->most))
        return 0;
    memcpy(to, bytes, field->most);
    return field->most;
}

static bool
decode_items(const usher_layout *item, const uint8_t *bytes, size_t count, uint8_t *to)
{
    for (; count > 0; count--, to += item->struct_size)
        for (size_t i = 0; i < item->field_count; i++) {
            size_t taken = decode_plain(&item->fields[i], bytes, to + item->fields[i].offset);
            if (taken == 0)
                return false;
            bytes += taken;
        }
    return true;
}

static bool
decode_elements(const usher_field *field, const uint8_t *bytes, size_t count, uint8_t *to)
{
    size_t width = kind_width[field->kind];

    if (field->item != NULL)
        return decode_items(field->item, bytes, count, to);
    copy_numbers(to, bytes, count, width);
    return true;
}

/* Read a field with a variable part, which ends where `variable` is left. By itself, as encode_other is. */
static __attribute__((noinline)) bool
decode_list(const usher_field *field, const uint8_t *fixed, const uint8_t **variable, uint8_t *body)
{
    uint16_t count = bytes_get_u16(fixed);

    memcpy(body + field->count_offset, &count, sizeof count);
    if (count == 0)
        return true;
    if (count > field->most || !decode_elements(field, *variable, count, body + field->offset))
        return false;
    *variable += count * element_width(field);
    return true;
}

usher_result
usher_decode(const usher_layout *layout, const uint8_t *bytes, size_t size, void *body, unsigned *field_no)
{
    const uint8_t *variable = bytes + layout->fixed_size;
    const usher_field *field = layout->fields, *end = field + layout->field_count;

    *field_no = 0;
    if (!sizes_add_up(layout, bytes, size))
        return USHER_BODY_SIZE;
    for (; field < end; field++) {
        const uint8_t *fixed = bytes + field->wire_offset;
        bool sound = kind_is_list(field->kind) ? decode_list(field, fixed, &variable, body)
                                               : decode_plain(field, fixed, (uint8_t *)body + field->offset) != 0;

        if (!sound) {
            *field_no = (unsigned)(field - layout->fields) + 1;
            return USHER_FIELD_INVALID;
        }
    }
    return USHER_OK;
}
