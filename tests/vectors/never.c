/* never.c: frames that can never be valid, and what each is refused as: never.jsonl.
 *
 * Each begins as a sound body of its layout, the "some" of messages.jsonl or one with an empty list, and is then spoilt
 * in one place. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/bytes.h"
#include "tests/vectors/vectors.h"

struct spoilt {
    const char *part; /* "request" */
    const char *why;
    usher_result result;
    unsigned detail;
};

static void
write_line(FILE *out, const struct spoilt *spoilt, const char *name, const uint8_t *frame, size_t size)
{
    fputc('{', out);
    vectors_name(out, true, "name");
    vectors_text(out, name);
    vectors_name(out, false, "part");
    vectors_text(out, spoilt->part);
    vectors_name(out, false, "why");
    vectors_text(out, spoilt->why);
    vectors_name(out, false, "result");
    vectors_text(out, usher_result_name(spoilt->result));
    vectors_small(out, false, "detail", spoilt->detail);
    vectors_name(out, false, "frame");
    vectors_hex(out, frame, size);
    fputs("}\n", out);
}

/* --- headers --------------------------------------------------------------------------------------------- */
/* A sound PING with request_no 7, then these bytes written over it and its check made anew or not. */
struct header_row {
    const char *why;
    usher_result result;
    uint8_t size; /* how many of its bytes there are; 0 for all */
    bool check;   /* made anew */
    uint8_t at;
    uint8_t length;
    uint8_t bytes[8];
};

static const struct header_row header_rows[] = {
    {"its size is 0", USHER_FRAME_SIZE, 4, false, 0, 4, {0}},
    {"its size is one below the header", USHER_FRAME_SIZE, 4, false, 0, 4, {31}},
    {"its size is one above the limit", USHER_FRAME_SIZE, 4, false, 0, 4, {1, 0, 1, 0}},
    {"its size is the greatest number", USHER_FRAME_SIZE, 4, false, 0, 4, {255, 255, 255, 255}},
    {"size and version are wrong: the size is told", USHER_FRAME_SIZE, 5, false, 0, 5, {31, 0, 0, 0, 9}},
    {"its version is 0", USHER_FRAME_VERSION, 5, false, 4, 1, {0}},
    {"its version is 2", USHER_FRAME_VERSION, 5, false, 4, 1, {2}},
    {"it is the beginning of an HTTP request",
     USHER_FRAME_SIZE,
     14,
     false,
     0,
     8,
     {'G', 'E', 'T', ' ', '/', ' ', 'H', 'T'}},
    {"a bit of the check is flipped", USHER_FRAME_CHECK, 0, false, 24, 1, {0xb7}},
    {"a bit of the body is flipped", USHER_FRAME_CHECK, 0, false, 32, 1, {43}},
    {"a bit of the flags is flipped, the check left", USHER_FRAME_CHECK, 0, false, 5, 1, {1}},
    {"the check is zero", USHER_FRAME_CHECK, 0, false, 24, 8, {0}},
    {"it has the flag of a reply", USHER_FRAME_HEADER, 0, true, 5, 1, {1}},
    {"it has the flag of a push", USHER_FRAME_HEADER, 0, true, 5, 1, {2}},
    {"it has the flag of what is replayed", USHER_FRAME_HEADER, 0, true, 5, 1, {4}},
    {"it has a flag that nobody knows", USHER_FRAME_HEADER, 0, true, 5, 1, {128}},
    {"it has a stamp", USHER_FRAME_HEADER, 0, true, 16, 1, {1}},
    {"it has the last byte of a stamp", USHER_FRAME_HEADER, 0, true, 23, 1, {1}},
    {"its opcode is 0", USHER_OPCODE_UNKNOWN, 0, true, 6, 2, {0, 0}},
    {"its opcode is in no row", USHER_OPCODE_UNKNOWN, 0, true, 6, 2, {0x77, 0x77}},
    {"its opcode is that of a push", USHER_OPCODE_UNKNOWN, 0, true, 6, 2, {0x01, 0x80}},
    {"its opcode is the greatest number", USHER_OPCODE_UNKNOWN, 0, true, 6, 2, {0xff, 0xff}},
    {"its opcode is in no row, and it has a flag: the header is told",
     USHER_FRAME_HEADER,
     0,
     true,
     5,
     3,
     {1, 0x77, 0x77}},
};

static void
write_header_rows(FILE *out)
{
    static uint8_t frame[VECTORS_ROOM], head[VECTORS_ROOM];
    const usher_frame ping = {.opcode = USHER_OPCODE_PING, .request_no = 7};

    for (size_t i = 0; i < sizeof header_rows / sizeof *header_rows; i++) {
        const struct header_row *row = &header_rows[i];
        const struct spoilt spoilt = {"request", row->why, row->result, 0};
        size_t size = vectors_frame(frame, &ping, (const uint8_t[8]){42}, 8);
        memcpy(frame + row->at, row->bytes, row->length);
        if (row->check) {
            const usher_frame changed = {.flags = frame[5],
                                         .opcode = bytes_get_u16(frame + 6),
                                         .request_no = 7,
                                         .stamp_ms = bytes_get_u64(frame + 16)};
            memcpy(head, frame, size);
            size = vectors_frame(head, &changed, frame + USHER_HEADER_SIZE, 8);
            memcpy(frame, head, size);
        }
        write_line(out, &spoilt, "PING", frame, row->size > 0 ? row->size : size);
    }
}

/* --- bodies ---------------------------------------------------------------------------------------------- */
struct subject {
    const char *name;
    const char *part;
    const usher_layout *layout;
    usher_frame head;
};

static void
write_body(FILE *out, const struct subject *subject, const char *why, usher_result result, unsigned detail,
           const uint8_t *body, size_t size)
{
    static uint8_t frame[VECTORS_ROOM];
    const struct spoilt spoilt = {subject->part, why, result, detail};

    write_line(out, &spoilt, subject->name, frame, vectors_frame(frame, &subject->head, body, size));
}

/* The bytes of a body of "some" in which every list has as many elements as this count says, but at most its most, and
 * those of only (NULL for all lists) alone. Returns the size. */
static size_t
some_bytes(const usher_layout *layout, const usher_field *only, uint16_t count, uint8_t out[VECTORS_ROOM])
{
    uint8_t *body = vectors_new_body(layout, only != NULL && count > 1 ? VECTORS_MOST : VECTORS_SOME);
    size_t size;

    for (size_t i = 0; only != NULL && i < layout->field_count; i++) {
        const usher_field *field = &layout->fields[i];
        uint16_t wanted = field == only ? count : 0;
        if (field->kind >= USHER_KIND_BYTES)
            memcpy(body + field->count_offset, &wanted, sizeof wanted);
    }
    size = usher_encode(layout, body, out, VECTORS_ROOM);
    assert(size != SIZE_MAX);
    free(body);
    return size;
}

static void
write_sizes(FILE *out, const struct subject *subject)
{
    static uint8_t bytes[VECTORS_ROOM];
    const usher_layout *layout = subject->layout;
    size_t size = some_bytes(layout, NULL, 0, bytes);

    write_body(out, subject, "its last byte is missing", USHER_BODY_SIZE, 0, bytes, size - 1);
    bytes[size] = 0;
    write_body(out, subject, "it has a byte too many", USHER_BODY_SIZE, 0, bytes, size + 1);
    write_body(out, subject, "it is empty", USHER_BODY_SIZE, 0, bytes, 0);
    for (size_t i = 0; i < layout->field_count; i++) {
        uint8_t *count = bytes + layout->fields[i].wire_offset;
        if (layout->fields[i].kind < USHER_KIND_BYTES)
            continue;
        bytes_put_u16(count, (uint16_t)(bytes_get_u16(count) + 1));
        write_body(out, subject, "a count promises an element that is not there", USHER_BODY_SIZE, 0, bytes, size);
        bytes_put_u16(count, UINT16_MAX);
        write_body(out, subject, "a count is far above its limit, and nothing is there", USHER_BODY_SIZE, 0, bytes,
                   size);
        size = some_bytes(layout, NULL, 0, bytes);
    }
}

/* A list with one element more than it may have: its last one once more. */
static void
write_long_list(FILE *out, const struct subject *subject, unsigned field_no)
{
    static uint8_t bytes[VECTORS_ROOM];
    const usher_field *field = &subject->layout->fields[field_no - 1];
    size_t size = some_bytes(subject->layout, field, field->most, bytes);
    size_t width = (size - subject->layout->fixed_size) / field->most;

    memcpy(bytes + size, bytes + size - width, width);
    bytes_put_u16(bytes + field->wire_offset, (uint16_t)(field->most + 1));
    write_body(out, subject, "a list has one element too many", USHER_FIELD_INVALID, field_no, bytes, size + width);
}

struct bad_text {
    const char *why;
    const char *bytes;
    uint8_t size;
};

static const struct bad_text bad_texts[] = {
    {"a byte behind a text's NUL", "a\0b", 3},
    {"a text begins with a NUL and goes on", "\0b", 2},
    {"a text has a byte that continues nothing", "a\x80", 2},
    {"a text has an overlong NUL", "\xc0\x80", 2},
    {"a text has an overlong letter", "\xc1\xa1", 2},
    {"a text has a character of two bytes that takes three", "\xe0\x9f\xbf", 3},
    {"a text has a surrogate", "\xed\xa0\x80", 3},
    {"a text has a character of three bytes that takes four", "\xf0\x8f\xbf\xbf", 4},
    {"a text has a code point above U+10FFFF", "\xf4\x90\x80\x80", 4},
    {"a text has a byte that begins nothing", "\xf5\x80\x80\x80", 4},
    {"a text has the byte ff", "a\xff", 2},
    {"a text's last character is cut off", "a\xe2\x82", 3},
    {"a text's character goes on with a letter", "\xc3(", 2},
};

/* The text of this size that stands at this place of the body. */
static void
write_texts(FILE *out, const struct subject *subject, uint8_t *bytes, size_t size, size_t at, size_t most,
            unsigned field_no)
{
    for (size_t i = 0; i < sizeof bad_texts / sizeof *bad_texts; i++) {
        memset(bytes + at, 0, most);
        memcpy(bytes + at, bad_texts[i].bytes, bad_texts[i].size);
        write_body(out, subject, bad_texts[i].why, USHER_FIELD_INVALID, field_no, bytes, size);
    }
    memset(bytes + at, 'a', most);
    write_body(out, subject, "a text has no NUL at its end", USHER_FIELD_INVALID, field_no, bytes, size);
}

/* A byte in no row of the enum: the one behind its last, and the greatest. A reply may hold such a byte, from a newer
 * server. */
static void
write_enum(FILE *out, const struct subject *subject, uint8_t *bytes, size_t size, size_t at, const usher_field *field,
           unsigned field_no)
{
    if (strcmp(subject->part, "request") != 0)
        return;
    bytes[at] = (uint8_t)(field->enumeration->values[field->enumeration->value_count - 1].value + 1);
    write_body(out, subject, "a byte is behind the last row of its enum", USHER_FIELD_INVALID, field_no, bytes, size);
    bytes[at] = 0xff;
    write_body(out, subject, "a byte is in no row of its enum", USHER_FIELD_INVALID, field_no, bytes, size);
}

/* The fields of a layout whose bytes begin at this place. */
static void
write_fields(FILE *out, const struct subject *subject, const usher_layout *layout, const usher_field *list, size_t base,
             unsigned list_no)
{
    static uint8_t bytes[VECTORS_ROOM];

    for (size_t i = 0; i < layout->field_count; i++) {
        const usher_field *field = &layout->fields[i];
        unsigned field_no = list != NULL ? list_no : (unsigned)i + 1;
        size_t size = some_bytes(subject->layout, list, 1, bytes);
        size_t at = base + field->wire_offset;
        if (field->kind == USHER_KIND_TEXT)
            write_texts(out, subject, bytes, size, at, field->most, field_no);
        else if (field->kind == USHER_KIND_ENUM)
            write_enum(out, subject, bytes, size, at, field, field_no);
        else if (field->kind >= USHER_KIND_BYTES)
            write_long_list(out, subject, field_no);
        if (field->item != NULL)
            write_fields(out, subject, field->item, field, subject->layout->fixed_size, field_no);
    }
}

static void
write_no_id(FILE *out, const struct subject *subject)
{
    static uint8_t bytes[VECTORS_ROOM];
    size_t size = some_bytes(subject->layout, NULL, 0, bytes);

    memset(bytes, 0, sizeof(usher_id));
    write_body(out, subject, "its request id is all zero", USHER_REQUEST_ID_MISSING, 0, bytes, size);
}

static void
write_subject(FILE *out, const struct subject *subject)
{
    write_sizes(out, subject);
    write_fields(out, subject, subject->layout, NULL, 0, 0);
}

/* Two fields of one body are at fault: the first is told, and a wrong size before both. */
static void
write_two_faults(FILE *out)
{
    static uint8_t bytes[VECTORS_ROOM];
    const struct subject subject = {"BLOCK",
                                    "request",
                                    usher_message_of(USHER_OPCODE_BLOCK)->request,
                                    {.opcode = USHER_OPCODE_BLOCK, .request_no = 7}};
    size_t size = some_bytes(subject.layout, NULL, 0, bytes);

    memset(bytes, 0, sizeof(usher_id));
    bytes[subject.layout->fields[3].wire_offset] = 2;
    bytes[subject.layout->fields[5].wire_offset] = 0xff;
    assert(subject.layout->fields[3].kind == USHER_KIND_ENUM && subject.layout->fields[5].kind == USHER_KIND_TEXT);
    write_body(out, &subject, "two fields are wrong and the id is zero: the first of the fields is told",
               USHER_FIELD_INVALID, 4, bytes, size);
    write_body(out, &subject, "fields, id and size are wrong: the size is told", USHER_BODY_SIZE, 0, bytes, size - 1);
}

void
vectors_write_never(FILE *out)
{
    size_t count;
    const usher_message *messages = usher_messages(&count);

    write_header_rows(out);
    write_two_faults(out);
    for (size_t i = 0; i < count; i++) {
        const usher_message *message = &messages[i];
        if (message->kind == USHER_MESSAGE_INTERNAL)
            continue;
        const struct subject request = {
            message->constant, "request", message->request, {.opcode = message->opcode, .request_no = 7}};
        const struct subject reply = {
            message->constant,
            "reply",
            message->reply,
            {.flags = USHER_FLAG_REPLY, .opcode = message->opcode, .request_no = 7, .stamp_ms = 1}};
        write_subject(out, &request);
        if (message->kind == USHER_MESSAGE_COMMAND)
            write_no_id(out, &request);
        write_subject(out, &reply);
    }
    const usher_push *pushes = usher_pushes(&count);
    for (size_t i = 0; i < count; i++) {
        const struct subject push = {pushes[i].constant,
                                     "push",
                                     pushes[i].body,
                                     {.flags = USHER_FLAG_PUSH, .opcode = pushes[i].opcode, .stamp_ms = 1}};
        write_subject(out, &push);
    }
    const struct subject refusal = {
        "HELD",
        "refusal",
        usher_refusal_layout(),
        {.flags = USHER_FLAG_REPLY, .opcode = USHER_OPCODE_RESERVE, .request_no = 7, .aux = USHER_HELD, .stamp_ms = 1}};
    write_subject(out, &refusal);
}
