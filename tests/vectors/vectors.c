/* vectors.c: the list of the files, their JSON, and the bodies that they are filled with. See vectors.h. */
#include "tests/vectors/vectors.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const vectors_file *
vectors_files(size_t *count)
{
    static const vectors_file files[] = {
        {"messages.jsonl", vectors_write_messages},     {"never.jsonl", vectors_write_never},
        {"checks.jsonl", vectors_write_checks},         {"streams.jsonl", vectors_write_streams},
        {"trees.jsonl", vectors_write_trees},           {"documents.jsonl", vectors_write_documents},
        {"handshakes.jsonl", vectors_write_handshakes},
    };

    *count = sizeof files / sizeof *files;
    return files;
}

/* --- JSON ------------------------------------------------------------------------------------------------ */
void
vectors_name(FILE *out, bool first, const char *name)
{
    fprintf(out, "%s\"%s\":", first ? "" : ",", name);
}

void
vectors_hex(FILE *out, const uint8_t *bytes, size_t size)
{
    fputc('"', out);
    for (size_t i = 0; i < size; i++)
        fprintf(out, "%02x", bytes[i]);
    fputc('"', out);
}

void
vectors_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20) {
            fprintf(out, "\\u%04x", (unsigned)*text);
            continue;
        }
        if (*text == '"' || *text == '\\')
            fputc('\\', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

void
vectors_uuid(FILE *out, const usher_uuid *uuid)
{
    static const bool dash_before[16] = {[4] = true, [6] = true, [8] = true, [10] = true};

    fputc('"', out);
    for (size_t i = 0; i < sizeof uuid->bytes; i++)
        fprintf(out, "%s%02x", dash_before[i] ? "-" : "", uuid->bytes[i]);
    fputc('"', out);
}

void
vectors_small(FILE *out, bool first, const char *name, unsigned value)
{
    vectors_name(out, first, name);
    fprintf(out, "%u", value);
}

void
vectors_large(FILE *out, bool first, const char *name, uint64_t value)
{
    vectors_name(out, first, name);
    fprintf(out, "\"%" PRIu64 "\"", value);
}

/* Bytes of a number in memory; 0 for what is none. */
static size_t
number_width(usher_kind kind)
{
    static const uint8_t widths[] = {
        [USHER_KIND_U8] = 1,        [USHER_KIND_U16] = 2,   [USHER_KIND_U32] = 4,
        [USHER_KIND_U64] = 8,       [USHER_KIND_I64] = 8,   [USHER_KIND_NUMBERS32] = 4,
        [USHER_KIND_NUMBERS64] = 8, [USHER_KIND_BYTES] = 1, [USHER_KIND_ITEMS] = 0,
    };
    return widths[kind];
}

static uint64_t
number_at(const uint8_t *from, size_t width)
{
    uint8_t small;
    uint16_t middle;
    uint32_t large;
    uint64_t whole = 0;

    switch (width) {
    case 1:
        memcpy(&small, from, sizeof small);
        return small;
    case 2:
        memcpy(&middle, from, sizeof middle);
        return middle;
    case 4:
        memcpy(&large, from, sizeof large);
        return large;
    default:
        memcpy(&whole, from, sizeof whole);
        return whole;
    }
}

static void
write_number(FILE *out, usher_kind kind, const uint8_t *from)
{
    size_t width = number_width(kind);
    uint64_t value = number_at(from, width);

    if (kind == USHER_KIND_I64)
        fprintf(out, "\"%" PRId64 "\"", (int64_t)value);
    else
        fprintf(out, width == 8 ? "\"%" PRIu64 "\"" : "%" PRIu64, value);
}

static void
write_list(FILE *out, const usher_field *field, const uint8_t *from, size_t count)
{
    size_t width = field->item != NULL ? field->item->struct_size : number_width(field->kind);

    fputc('[', out);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            fputc(',', out);
        if (field->item != NULL)
            vectors_body(out, field->item, from + i * width);
        else
            write_number(out, field->kind, from + i * width);
    }
    fputc(']', out);
}

static void
write_field(FILE *out, const usher_field *field, const uint8_t *body)
{
    static const uint8_t sizes[] = {
        [USHER_KIND_ID] = 16, [USHER_KIND_KEY] = 32, [USHER_KIND_SIGNATURE] = 64, [USHER_KIND_ITEMS] = 0};
    const uint8_t *from = body + field->offset;
    uint16_t count = 0;

    if (field->kind >= USHER_KIND_BYTES)
        memcpy(&count, body + field->count_offset, sizeof count);
    if (field->kind == USHER_KIND_BYTES)
        vectors_hex(out, from, count);
    else if (field->kind > USHER_KIND_BYTES)
        write_list(out, field, from, count);
    else if (field->kind == USHER_KIND_TEXT)
        vectors_text(out, (const char *)from);
    else if (field->kind == USHER_KIND_ENUM)
        vectors_text(out, usher_enum_name(field->enumeration, *from));
    else if (field->kind == USHER_KIND_UUID)
        vectors_uuid(out, (const usher_uuid *)from);
    else if (sizes[field->kind] > 0)
        vectors_hex(out, from, sizes[field->kind]);
    else
        write_number(out, field->kind, from);
}

void
vectors_body(FILE *out, const usher_layout *layout, const void *body)
{
    fputc('{', out);
    for (size_t i = 0; i < layout->field_count; i++) {
        vectors_name(out, i == 0, layout->fields[i].name);
        write_field(out, &layout->fields[i], body);
    }
    fputc('}', out);
}

/* --- bodies ---------------------------------------------------------------------------------------------- */
static uint64_t
next_random(uint64_t *state)
{
    /* SplitMix64: small, and good enough to choose contents. */
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint64_t
seed_of(const char *name)
{
    uint64_t seed = 0xcbf29ce484222325u; /* FNV-1a */

    for (; *name != '\0'; name++)
        seed = (seed ^ (uint8_t)*name) * 0x100000001b3u;
    return seed;
}

/* UTF-8 of every length, and what JSON escapes. */
static void
fill_text(char *to, size_t most, vectors_fill fill, uint64_t *state)
{
    static const char *const letters[] = {"a", "Z",  " ", "7",  "\"",  "\\", "\t", "ß",
                                          "Ω", "߿", "ࠀ", "漢", "￿", "𐀀",  "🎫",  "\xf4\x8f\xbf\xbf"};
    enum { LETTER_COUNT = sizeof letters / sizeof *letters };
    size_t length = fill == VECTORS_MOST ? most - 1 : (size_t)(next_random(state) % most);

    for (size_t at = 0; at < length;) {
        const char *letter = letters[next_random(state) % LETTER_COUNT];
        if (strlen(letter) > length - at)
            letter = "x";
        memcpy(to + at, letter, strlen(letter));
        at += strlen(letter);
    }
}

static void
fill_bytes(uint8_t *to, size_t size, vectors_fill fill, uint64_t *state)
{
    for (size_t i = 0; i < size; i++)
        to[i] = fill == VECTORS_MOST ? 0xff : (uint8_t)next_random(state);
}

static void fill_body(const usher_layout *layout, uint8_t *body, vectors_fill fill, uint64_t *state);

static void
fill_list(const usher_field *field, uint8_t *body, vectors_fill fill, uint64_t *state)
{
    uint8_t *to = body + field->offset;
    uint16_t count = field->most;

    if (fill == VECTORS_SOME)
        count = (uint16_t)(1 + next_random(state) % (field->kind == USHER_KIND_BYTES ? 20 : 3));
    if (count > field->most)
        count = field->most;
    memcpy(body + field->count_offset, &count, sizeof count);
    for (size_t i = 0; field->item != NULL && i < count; i++)
        fill_body(field->item, to + i * field->item->struct_size, fill, state);
    if (field->item == NULL)
        fill_bytes(to, count * number_width(field->kind), fill, state);
}

static void
fill_field(const usher_field *field, uint8_t *body, vectors_fill fill, uint64_t *state)
{
    static const uint8_t sizes[] = {
        [USHER_KIND_U8] = 1,  [USHER_KIND_U16] = 2,  [USHER_KIND_U32] = 4,
        [USHER_KIND_U64] = 8, [USHER_KIND_I64] = 8,  [USHER_KIND_UUID] = 16,
        [USHER_KIND_ID] = 16, [USHER_KIND_KEY] = 32, [USHER_KIND_SIGNATURE] = 64,
    };
    uint8_t *to = body + field->offset;

    if (field->kind >= USHER_KIND_BYTES) {
        fill_list(field, body, fill, state);
    } else if (field->kind == USHER_KIND_TEXT) {
        fill_text((char *)to, field->most, fill, state);
    } else if (field->kind == USHER_KIND_ENUM) {
        size_t last = field->enumeration->value_count - 1;
        *to = field->enumeration->values[fill == VECTORS_MOST ? last : next_random(state) % (last + 1)].value;
    } else {
        fill_bytes(to, sizes[field->kind], fill, state);
    }
}

static void
fill_body(const usher_layout *layout, uint8_t *body, vectors_fill fill, uint64_t *state)
{
    for (size_t i = 0; i < layout->field_count; i++)
        fill_field(&layout->fields[i], body, fill, state);
}

/* Zero is in no row of some enums: the first row is the least. */
static void
fill_least(const usher_layout *layout, uint8_t *body)
{
    for (size_t i = 0; i < layout->field_count; i++)
        if (layout->fields[i].kind == USHER_KIND_ENUM)
            body[layout->fields[i].offset] = layout->fields[i].enumeration->values[0].value;
}

void *
vectors_new_body(const usher_layout *layout, vectors_fill fill)
{
    uint64_t state = seed_of(layout->name);
    uint8_t *body = calloc(1, layout->struct_size);

    assert(body != NULL);
    if (fill == VECTORS_LEAST)
        fill_least(layout, body);
    else
        fill_body(layout, body, fill, &state);
    return body;
}

size_t
vectors_frame(uint8_t out[VECTORS_ROOM], const usher_frame *head, const uint8_t *body, size_t size)
{
    assert(USHER_HEADER_SIZE + size <= VECTORS_ROOM);
    memcpy(out + USHER_HEADER_SIZE, body, size);
    return usher_frame_finish(out, size, head);
}
