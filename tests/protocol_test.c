/* protocol_test.c: the row tables and the body codec, without a socket.
 *
 * Bodies are filled through the field tables, so a row that is added tomorrow is tested tomorrow. Random contents come
 * from a written seed. What the tables themselves get wrong shows in the bodies that are written out by hand. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/bytes.h"
#include "protocol/codec.h"

enum { BODY_ROOM = 131072, ROUNDS = 20 };

static uint64_t seed_state = 20240620;

static uint64_t
next_random(void)
{
    /* SplitMix64: small, and good enough to choose contents. */
    uint64_t z = (seed_state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void
fill_random(void *to, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)to)[i] = (uint8_t)next_random();
}

static size_t
utf8_of(uint32_t point, uint8_t out[4])
{
    if (point < 0x80) {
        out[0] = (uint8_t)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (uint8_t)(0xc0 | point >> 6);
        out[1] = (uint8_t)(0x80 | (point & 0x3f));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (uint8_t)(0xe0 | point >> 12);
        out[1] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
        out[2] = (uint8_t)(0x80 | (point & 0x3f));
        return 3;
    }
    out[0] = (uint8_t)(0xf0 | point >> 18);
    out[1] = (uint8_t)(0x80 | (point >> 12 & 0x3f));
    out[2] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
    out[3] = (uint8_t)(0x80 | (point & 0x3f));
    return 4;
}

static void
fill_text(char *to, size_t size, bool full)
{
    size_t length = 0;
    size_t most = full ? size - 1 : next_random() % size;

    while (length < most) {
        uint32_t point = (uint32_t)(1 + next_random() % 0x10ffff);
        uint8_t bytes[4];
        size_t taken;

        if (point >= 0xd800 && point < 0xe000)
            point = 'x';
        taken = utf8_of(point, bytes);
        if (taken > most - length) {
            bytes[0] = 'y';
            taken = 1;
        }
        memcpy(to + length, bytes, taken);
        length += taken;
    }
}

typedef enum fill { FILL_EMPTY, FILL_RANDOM, FILL_MOST } fill;

static size_t
number_size(usher_kind kind)
{
    static const uint8_t sizes[] = {
        [USHER_KIND_U8] = 1,         [USHER_KIND_U16] = 2,   [USHER_KIND_U32] = 4,   [USHER_KIND_U64] = 8,
        [USHER_KIND_I64] = 8,        [USHER_KIND_UUID] = 16, [USHER_KIND_ID] = 16,   [USHER_KIND_KEY] = 32,
        [USHER_KIND_SIGNATURE] = 64, [USHER_KIND_ENUM] = 1,  [USHER_KIND_BYTES] = 1, [USHER_KIND_NUMBERS32] = 4,
        [USHER_KIND_NUMBERS64] = 8,  [USHER_KIND_ITEMS] = 0, [USHER_KIND_TEXT] = 0,
    };
    return sizes[kind];
}

static bool
is_list(const usher_field *field)
{
    return field->kind == USHER_KIND_BYTES || field->kind == USHER_KIND_NUMBERS32 ||
           field->kind == USHER_KIND_NUMBERS64 || field->kind == USHER_KIND_ITEMS;
}

static void
fill_body(const usher_layout *layout, uint8_t *body, fill how)
{
    for (size_t i = 0; i < layout->field_count; i++) {
        const usher_field *field = &layout->fields[i];
        uint8_t *to = body + field->offset;

        if (field->kind == USHER_KIND_TEXT && how != FILL_EMPTY) {
            fill_text((char *)to, field->most, how == FILL_MOST);
        } else if (field->kind == USHER_KIND_ENUM) {
            *to = field->enumeration->values[next_random() % field->enumeration->value_count].value;
        } else if (is_list(field)) {
            uint16_t count = how == FILL_EMPTY  ? 0
                             : how == FILL_MOST ? field->most
                                                : (uint16_t)(next_random() % (field->most + 1u));
            memcpy(body + field->count_offset, &count, sizeof count);
            if (field->item == NULL)
                fill_random(to, count * number_size(field->kind));
            else
                for (uint16_t k = 0; k < count; k++)
                    fill_body(field->item, to + k * field->item->struct_size, how);
        } else if (how != FILL_EMPTY) {
            fill_random(to, number_size(field->kind));
        }
    }
}

static uint8_t *
zeroed(size_t size)
{
    uint8_t *memory = calloc(1, size + 1);
    assert_non_null(memory);
    return memory;
}

/* A body of this layout as bytes; *size gets their number. The caller frees both. */
static uint8_t *
some_body(const usher_layout *layout, fill how, uint8_t **body, size_t *size)
{
    uint8_t *bytes = zeroed(BODY_ROOM);

    *body = zeroed(layout->struct_size);
    fill_body(layout, *body, how);
    *size = usher_encode(layout, *body, bytes, BODY_ROOM);
    assert_int_not_equal(*size, SIZE_MAX);
    return bytes;
}

static usher_result
decode(const usher_layout *layout, const uint8_t *bytes, size_t size, unsigned *field_no)
{
    uint8_t *body = zeroed(layout->struct_size);
    /* In memory of exactly its size, so that the address sanitizer sees a byte read too many. */
    uint8_t *exact = malloc(size > 0 ? size : 1);
    usher_result result;

    assert_non_null(exact);
    memcpy(exact, bytes, size);
    result = usher_decode(layout, exact, size, body, field_no);
    free(exact);
    free(body);
    return result;
}

static const usher_layout *
layout_named(const char *name)
{
    size_t count;
    const usher_layout *const *layouts = usher_layouts(&count);

    for (size_t i = 0; i < count; i++)
        if (strcmp(layouts[i]->name, name) == 0)
            return layouts[i];
    fail_msg("no layout is named %s", name);
    return NULL;
}

/* --- rows ------------------------------------------------------------------------------------------- */
static const unsigned result_values[] = {
#define USHER_RESULT(value, name, class, text) value,
#include "protocol/results.def"
};
enum { RESULT_COUNT = sizeof result_values / sizeof *result_values };

static size_t
result_order(unsigned result)
{
    for (size_t i = 0; i < RESULT_COUNT; i++)
        if (result_values[i] == result)
            return i;
    fail_msg("%u is no result", result);
    return 0;
}

/* F1: a result's value and name mean one thing. */
static void
no_two_results_share_a_value_or_a_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < RESULT_COUNT; i++) {
        assert_true(result_values[i] <= UINT16_MAX - 1);
        assert_true(strlen(usher_result_text(result_values[i])) > 3);
        for (size_t k = 0; k < i; k++) {
            assert_int_not_equal(result_values[i], result_values[k]);
            assert_string_not_equal(usher_result_name(result_values[i]), usher_result_name(result_values[k]));
        }
    }
}

/* M7, Q12: results stand in the order in which requests are judged. */
static void
results_stand_in_the_order_of_the_checks(void **state)
{
    static const unsigned ladder[] = {
        USHER_OK,
        USHER_FRAME_SIZE,
        USHER_FRAME_VERSION,
        USHER_FRAME_CHECK,
        USHER_FRAME_HEADER,
        USHER_OPCODE_UNKNOWN,
        USHER_BODY_SIZE,
        USHER_FIELD_INVALID,
        USHER_HELLO_MISSING,
        USHER_ROLE_REFUSED,
        USHER_BUSY,
        USHER_TOKEN_MISSING,
        USHER_TOKEN_MALFORMED,
        USHER_TOKEN_UNKNOWN_KEY,
        USHER_TOKEN_FORGED,
        USHER_MISMATCH,
        USHER_TOKEN_USED,
        USHER_TOKEN_EXPIRED,
        USHER_TOKEN_OTHER_QUEUE,
        USHER_TOKEN_WAITING,
        USHER_CONCERT_NOT_FOUND,
        USHER_DATE_NOT_FOUND,
        USHER_DATE_PAST,
        USHER_NOT_ON_SALE,
        USHER_SEAT_NOT_FOUND,
        USHER_SOLD,
        USHER_HELD,
        USHER_HOLD_EXPIRED,
        USHER_NOT_ENOUGH_POINTS,
    };

    (void)state;
    for (size_t i = 1; i < sizeof ladder / sizeof *ladder; i++)
        assert_true(result_order(ladder[i - 1]) < result_order(ladder[i]));
}

/* F1: what a newer server may answer has a name, a text and a class all the same. */
static void
a_result_in_no_row_is_called_unknown(void **state)
{
    (void)state;
    assert_string_equal(usher_result_name(9), "UNKNOWN");
    assert_string_equal(usher_result_name(65535), "UNKNOWN");
    assert_int_equal(usher_result_class_of(9), USHER_CLASS_CALLER);
    assert_true(strlen(usher_result_text(9)) > 3);
    assert_string_equal(usher_result_name(USHER_HELD), "HELD");
    assert_int_equal(usher_result_class_of(USHER_HELD), USHER_CLASS_REFUSED);
    assert_int_equal(usher_result_class_of(USHER_BUSY), USHER_CLASS_LATER);
}

/* F1: an opcode leads to its own message and nothing else leads to any. */
static void
every_opcode_finds_its_message_and_no_other_number_does(void **state)
{
    size_t count, found = 0;
    const usher_message *messages = usher_messages(&count);

    (void)state;
    for (unsigned opcode = 0; opcode <= 0x1ffff; opcode++) {
        const usher_message *message = usher_message_of(opcode);
        if (message == NULL)
            continue;
        assert_int_equal(message->opcode, opcode);
        assert_ptr_equal(message, &messages[found]); /* rows ascend, INTERNAL ones last */
        found++;
    }
    assert_int_equal(found, count);
}

/* F1: a message's bodies are the structs named after it. */
static void
every_message_has_the_bodies_named_after_it(void **state)
{
    size_t count;
    const usher_message *messages = usher_messages(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(messages[i].name);
        assert_memory_equal(messages[i].request->name, messages[i].name, length);
        assert_string_equal(messages[i].request->name + length, "_request");
        assert_memory_equal(messages[i].reply->name, messages[i].name, length);
        assert_string_equal(messages[i].reply->name + length, "_reply");
    }
}

/* F1: the same for pushes, which no request shares a number with; a push's body is the struct named after it. */
static void
every_push_is_found_by_its_opcode_and_no_message_has_it(void **state)
{
    size_t count, found = 0;
    const usher_push *pushes = usher_pushes(&count);

    (void)state;
    assert_true(count > 0);
    for (unsigned opcode = 0; opcode <= 0x1ffff; opcode++) {
        const usher_push *push = usher_push_of(opcode);
        if (push == NULL)
            continue;
        size_t length = strlen(push->name);
        assert_int_equal(push->opcode, opcode);
        assert_ptr_equal(push, &pushes[found]); /* rows ascend */
        assert_in_range(opcode, 0x8001, 0xfeff);
        assert_null(usher_message_of(opcode));
        assert_memory_equal(push->body->name, push->name, length);
        assert_string_equal(push->body->name + length, "_push");
        found++;
    }
    assert_int_equal(found, count);
}

/* M3, T2: every command begins with its request id; every request that needs a token has a place for it; who may leave
 * it out may send the request. */
static void
every_command_has_a_request_id_and_every_guarded_request_a_token(void **state)
{
    size_t count;
    const usher_message *messages = usher_messages(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        const usher_message *message = &messages[i];
        const usher_field *fields = message->request->fields;
        size_t at = message->kind == USHER_MESSAGE_COMMAND ? 1 : 0;

        if (at == 1) {
            assert_int_equal(fields[0].kind, USHER_KIND_ID);
            assert_string_equal(fields[0].name, "request_id");
        }
        if (message->token != USHER_TOKEN_NEED_NONE) {
            assert_string_equal(fields[at].name, "token");
            assert_int_equal(fields[at].kind, USHER_KIND_BYTES);
        }
        if (message->bare != 0)
            assert_string_equal(fields[at + 1].name, "user");
        assert_int_equal(message->bare & ~message->roles, 0);
        assert_int_equal(message->roles == 0, message->kind == USHER_MESSAGE_INTERNAL);
    }
}

/* F1: names and values of an enum lead to each other; a byte in no row has no name. */
static void
every_value_of_an_enum_has_a_name_and_no_other_byte_does(void **state)
{
    size_t count;
    const usher_enum *const *enums = usher_enums(&count);

    (void)state;
    assert_true(count > 5);
    for (size_t i = 0; i < count; i++) {
        size_t named = 0;
        for (unsigned value = 0; value < 1000; value++)
            named += usher_enum_name(enums[i], value) != NULL;
        assert_int_equal(named, enums[i]->value_count);
        for (size_t k = 0; k < enums[i]->value_count; k++)
            assert_string_equal(usher_enum_name(enums[i], enums[i]->values[k].value), enums[i]->values[k].name);
    }
}

/* F1: rows may have gaps; they are found behind them too. */
static void
an_enum_with_gaps_is_searched(void **state)
{
    static const usher_enum_value values[] = {{3, "three", ""}, {9, "nine", ""}, {5, "five", ""}};
    static const usher_enum gaps = {"gaps", values, 3};

    (void)state;
    assert_string_equal(usher_enum_name(&gaps, 3), "three");
    assert_string_equal(usher_enum_name(&gaps, 5), "five");
    assert_string_equal(usher_enum_name(&gaps, 9), "nine");
    assert_null(usher_enum_name(&gaps, 4));
    assert_null(usher_enum_name(&gaps, 2));
}

/* --- bodies ----------------------------------------------------------------------------------------- */
/* F1: the sizes in the tables are what the kinds add up to, and every body fits a frame. */
static void
sizes_and_offsets_are_what_the_kinds_add_up_to(void **state)
{
    size_t count;
    const usher_layout *const *layouts = usher_layouts(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        size_t fixed = 0, variable = 0;
        for (size_t k = 0; k < layouts[i]->field_count; k++) {
            const usher_field *field = &layouts[i]->fields[k];
            assert_int_equal(field->wire_offset, fixed);
            if (is_list(field)) {
                fixed += 2;
                variable += field->most * (field->item ? field->item->fixed_size : number_size(field->kind));
            } else {
                fixed += field->kind == USHER_KIND_TEXT ? field->most : number_size(field->kind);
            }
        }
        assert_int_equal(usher_fixed_size(layouts[i]), fixed);
        assert_int_equal(usher_size_most(layouts[i]), fixed + variable);
        assert_true(fixed + variable + USHER_HEADER_SIZE <= USHER_FRAME_MAX);
    }
}

static void
round_trip(const usher_layout *layout, fill how)
{
    uint8_t *body, *again = zeroed(layout->struct_size);
    size_t size;
    unsigned field_no = 99;
    uint8_t *bytes = some_body(layout, how, &body, &size);

    if (how == FILL_EMPTY)
        assert_int_equal(size, usher_fixed_size(layout));
    if (how == FILL_MOST)
        assert_int_equal(size, usher_size_most(layout));
    assert_int_equal(usher_decode(layout, bytes, size, again, &field_no), USHER_OK);
    assert_int_equal(field_no, 0);
    assert_memory_equal(again, body, layout->struct_size);
    free(bytes);
    free(body);
    free(again);
}

/* F1: what is written is read again, for every layout, empty, full, and with random contents. */
static void
every_body_survives_the_way_over_the_wire(void **state)
{
    size_t count;
    const usher_layout *const *layouts = usher_layouts(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        round_trip(layouts[i], FILL_EMPTY);
        round_trip(layouts[i], FILL_MOST);
        for (int k = 0; k < ROUNDS; k++)
            round_trip(layouts[i], FILL_RANDOM);
    }
}

/* F1: a struct is its fixed part, then its variable parts, little-endian: written out by hand. */
static void
a_reserve_request_has_the_bytes_written_here(void **state)
{
    static const uint8_t wanted[] = {
        1,    2,    3,    4,    5,    6,    7, 8, 9, 10, 11, 12, 13, 14, 15, 16,   /* request_id */
        3,    0,                                                                   /* token: 3 bytes */
        0xaa, 0,    0,    0,    0,    0,    0, 0, 0, 0,  0,  0,  0,  0,  0,  0xbb, /* user */
        0x04, 0x03, 0x02, 0x01,                                                    /* concert_id */
        0xff, 0xff, 0xff, 0xff,                                                    /* date_id */
        2,    0,                                                                   /* seat: 2 numbers */
        7,    8,    9,                                                             /* the token */
        50,   0,    0,    0,    0x00, 0x01, 0, 0,                                  /* the seats */
    };
    usher_reserve_request request = {
        .request_id = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
        .token_count = 3,
        .token = {7, 8, 9},
        .user = {{0xaa, [15] = 0xbb}},
        .concert_id = 0x01020304,
        .date_id = UINT32_MAX,
        .seat_count = 2,
        .seat = {50, 256},
    };
    uint8_t bytes[200];

    (void)state;
    assert_int_equal(usher_encode(layout_named("reserve_request"), &request, bytes, sizeof bytes), sizeof wanted);
    assert_memory_equal(bytes, wanted, sizeof wanted);
}

/* F1: two variable parts with items, negative numbers and text: written out by hand. */
static void
a_plan_and_a_ledger_entry_have_the_bytes_written_here(void **state)
{
    static const uint8_t wanted[] = {
        9,    0,    0,    0, 100, 0, 0, 0, 1, 0, 1, 0,                                     /* plan, seats, two counts */
        0x10, 0x27, 0,    0, 0,   0, 0, 0,                                                 /* price 10,000 */
        'A',  0xc3, 0xa9, 0, 0,   0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* "Ae" with an accent */
        1,    0,    5,    0, 20,  0, 7,                                                    /* rows and grade */
    };
    static const uint8_t minus[] = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    usher_plan_reply plan = {.plan_id = 9,
                             .seat_count = 100,
                             .price_count = 1,
                             .price = {10000},
                             .section_count = 1,
                             .section = {{"A\xc3\xa9", 1, 5, 20, 7}}};
    usher_entry entry = {.amount = -2};
    uint8_t bytes[200];

    (void)state;
    memcpy(plan.section[0].name + 5, "rest", 4); /* behind the NUL: must not reach the wire */
    assert_int_equal(usher_encode(layout_named("plan_reply"), &plan, bytes, sizeof bytes), sizeof wanted);
    assert_memory_equal(bytes, wanted, sizeof wanted);
    assert_int_equal(usher_encode(layout_named("entry"), &entry, bytes, sizeof bytes), 41);
    assert_memory_equal(bytes + 17, minus, sizeof minus);
}

/* F1: a body cut off anywhere, or with a byte too many, is BODY_SIZE and nothing else. */
static void
a_body_cut_off_or_followed_by_a_byte_is_body_size(void **state)
{
    size_t count;
    const usher_layout *const *layouts = usher_layouts(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        for (fill how = FILL_EMPTY; how <= FILL_MOST; how++) {
            uint8_t *body;
            size_t size;
            unsigned field_no;
            uint8_t *bytes = some_body(layouts[i], how, &body, &size);
            /* Every length of a small body; of a large one those around its parts and some between. */
            size_t step = size < 1500 ? 1 : size / 700;

            for (size_t cut = 0; cut < size; cut += cut < 200 || cut + 200 > size ? 1 : step) {
                field_no = 99;
                assert_int_equal(decode(layouts[i], bytes, cut, &field_no), USHER_BODY_SIZE);
                assert_int_equal(field_no, 0);
            }
            assert_int_equal(decode(layouts[i], bytes, size + 1, &field_no), USHER_BODY_SIZE);
            assert_int_equal(decode(layouts[i], bytes, size, &field_no), USHER_OK);
            free(bytes);
            free(body);
        }
    }
}

static void
try_every_byte_of_an_enum(const usher_layout *layout, uint8_t *bytes, size_t size, size_t at, const usher_field *field,
                          unsigned wanted_field_no)
{
    uint8_t kept = bytes[at];

    for (unsigned value = 0; value < 256; value++) {
        unsigned field_no = 99;
        usher_result result;

        bytes[at] = (uint8_t)value;
        result = decode(layout, bytes, size, &field_no);
        if (usher_enum_name(field->enumeration, value) != NULL) {
            assert_int_equal(result, USHER_OK);
        } else {
            assert_int_equal(result, USHER_FIELD_INVALID);
            assert_int_equal(field_no, wanted_field_no);
        }
    }
    bytes[at] = kept;
}

/* F1: an enum's byte that is in no row is FIELD_INVALID, in the body itself and in the last item of each list. */
static void
an_enum_byte_in_no_row_is_field_invalid(void **state)
{
    size_t count, tried = 0;
    const usher_layout *const *layouts = usher_layouts(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        uint8_t *body;
        size_t size, variable = layouts[i]->fixed_size;
        uint8_t *bytes = some_body(layouts[i], FILL_MOST, &body, &size);

        for (size_t k = 0; k < layouts[i]->field_count; k++) {
            const usher_field *field = &layouts[i]->fields[k];
            if (field->kind == USHER_KIND_ENUM) {
                try_every_byte_of_an_enum(layouts[i], bytes, size, field->wire_offset, field, (unsigned)k + 1);
                tried++;
            }
            if (!is_list(field))
                continue;
            variable += field->most * (field->item ? field->item->fixed_size : number_size(field->kind));
            for (size_t m = 0; field->item != NULL && m < field->item->field_count; m++) {
                const usher_field *inner = &field->item->fields[m];
                if (inner->kind != USHER_KIND_ENUM)
                    continue;
                try_every_byte_of_an_enum(layouts[i], bytes, size,
                                          variable - field->item->fixed_size + inner->wire_offset, inner,
                                          (unsigned)k + 1);
                tried++;
            }
        }
        free(bytes);
        free(body);
    }
    assert_true(tried > 20);
}

/* F1: a count above its most is FIELD_INVALID if the body is as long as it says, else BODY_SIZE. */
static void
a_count_above_its_most_is_refused(void **state)
{
    size_t count, tried = 0;
    const usher_layout *const *layouts = usher_layouts(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < layouts[i]->field_count; k++) {
            const usher_field *field = &layouts[i]->fields[k];
            size_t width = field->item ? field->item->fixed_size : number_size(field->kind);
            size_t size = layouts[i]->fixed_size + (field->most + 1u) * width;
            unsigned field_no = 99;
            uint8_t *bytes;

            if (!is_list(field))
                continue;
            bytes = zeroed(size);
            bytes_put_u16(bytes + field->wire_offset, (uint16_t)(field->most + 1));
            for (size_t m = 0; m < k; m++) /* event_kind has no 0: earlier fields must be sound */
                if (layouts[i]->fields[m].kind == USHER_KIND_ENUM)
                    bytes[layouts[i]->fields[m].wire_offset] = layouts[i]->fields[m].enumeration->values[0].value;
            assert_int_equal(decode(layouts[i], bytes, size, &field_no), USHER_FIELD_INVALID);
            assert_int_equal(field_no, k + 1);
            assert_int_equal(decode(layouts[i], bytes, size - 1, &field_no), USHER_BODY_SIZE);
            bytes_put_u16(bytes + field->wire_offset, UINT16_MAX);
            assert_int_equal(decode(layouts[i], bytes, size, &field_no), USHER_BODY_SIZE);
            free(bytes);
            tried++;
        }
    }
    assert_true(tried > 20);
}

/* Decode a put_queue_request whose name (64 bytes) begins with these bytes. */
static usher_result
decode_name(const void *name, size_t size)
{
    const usher_layout *layout = layout_named("put_queue_request");
    uint8_t bytes[84] = {1};
    unsigned field_no = 99;
    usher_result result;

    assert_int_equal(layout->fixed_size, sizeof bytes);
    assert_true(size <= 64);
    memcpy(bytes + 20, name, size);
    result = decode(layout, bytes, sizeof bytes, &field_no);
    assert_int_equal(field_no, result == USHER_OK ? 0 : 3);
    return result;
}

/* F1: text is UTF-8: every code point but the surrogates is welcome. */
static void
every_code_point_of_unicode_is_text(void **state)
{
    (void)state;
    for (uint32_t point = 1; point <= 0x10ffff; point++) {
        uint8_t bytes[5] = {0};
        size_t length = utf8_of(point, bytes);
        bool surrogate = point >= 0xd800 && point < 0xe000;
        /* All of the first plane's edges matter; above it, every 251st is enough. */
        if (point < 0x11000 || point > 0x10f000 || point % 251 == 0)
            assert_int_equal(decode_name(bytes, length), surrogate ? USHER_FIELD_INVALID : USHER_OK);
    }
}

/* F1: what is not UTF-8 is FIELD_INVALID. */
static void
text_that_is_not_utf8_is_refused(void **state)
{
    static const char *const bad[] = {
        "\x80",             /* a continuation alone */
        "\xbf",             /* the last of them */
        "\xc0\x80",         /* an overlong NUL */
        "\xc1\xbf",         /* overlong, two bytes */
        "\xe0\x9f\xbf",     /* overlong, three bytes */
        "\xf0\x8f\xbf\xbf", /* overlong, four bytes */
        "\xed\xa0\x80",     /* the first surrogate */
        "\xed\xbf\xbf",     /* the last surrogate */
        "\xf4\x90\x80\x80", /* U+110000 */
        "\xf5\x80\x80\x80", /* far above */
        "\xff",             /* never a byte of UTF-8 */
        "\xc3",             /* cut off by the NUL */
        "\xe2\x82",         /* likewise */
        "\xf0\x9f\x8e",     /* likewise */
        "ab\xc3(",          /* the second byte is none */
        "\xe2(\xa1",        /* likewise */
        "\xe2\x82(",        /* the third is none */
        "\xf0\x9f\x8e(",    /* the fourth is none */
        "fine\xfe",         /* bad at the end */
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(decode_name(bad[i], strlen(bad[i])), USHER_FIELD_INVALID);
}

/* F1: text ends in NUL and nothing stands behind it. */
static void
text_without_its_padding_is_refused(void **state)
{
    char name[64];

    (void)state;
    memset(name, 'a', sizeof name);
    assert_int_equal(decode_name(name, 64), USHER_FIELD_INVALID); /* no NUL at all */
    assert_int_equal(decode_name(name, 63), USHER_OK);
    assert_int_equal(decode_name(name, 0), USHER_OK);
    for (size_t behind = 4; behind < 64; behind++) {
        memset(name, 0, sizeof name);
        memcpy(name, "abc", 3);
        name[behind] = 'x';
        assert_int_equal(decode_name(name, 64), USHER_FIELD_INVALID);
    }
    memset(name, 'a', sizeof name);
    memcpy(name + 61, "\xe2\x82\xac", 3); /* a character that would end in the last byte */
    assert_int_equal(decode_name(name, 64), USHER_FIELD_INVALID);
}

/* F1: the encoder never writes beyond its room. */
static void
encoding_into_too_little_room_fails(void **state)
{
    size_t count;
    const usher_layout *const *layouts = usher_layouts(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        uint8_t *body;
        size_t size;
        uint8_t *bytes = some_body(layouts[i], FILL_MOST, &body, &size);

        for (size_t room = 0; room < size; room += room < 300 || room + 100 > size ? 1 : 97) {
            uint8_t *exact = malloc(room > 0 ? room : 1);
            assert_non_null(exact);
            assert_int_equal(usher_encode(layouts[i], body, exact, room), SIZE_MAX);
            free(exact);
        }
        assert_int_equal(usher_encode(layouts[i], body, bytes, size), size);
        free(bytes);
        free(body);
    }
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_two_results_share_a_value_or_a_name),
        cmocka_unit_test(results_stand_in_the_order_of_the_checks),
        cmocka_unit_test(a_result_in_no_row_is_called_unknown),
        cmocka_unit_test(every_opcode_finds_its_message_and_no_other_number_does),
        cmocka_unit_test(every_message_has_the_bodies_named_after_it),
        cmocka_unit_test(every_push_is_found_by_its_opcode_and_no_message_has_it),
        cmocka_unit_test(every_command_has_a_request_id_and_every_guarded_request_a_token),
        cmocka_unit_test(every_value_of_an_enum_has_a_name_and_no_other_byte_does),
        cmocka_unit_test(an_enum_with_gaps_is_searched),
        cmocka_unit_test(sizes_and_offsets_are_what_the_kinds_add_up_to),
        cmocka_unit_test(every_body_survives_the_way_over_the_wire),
        cmocka_unit_test(a_reserve_request_has_the_bytes_written_here),
        cmocka_unit_test(a_plan_and_a_ledger_entry_have_the_bytes_written_here),
        cmocka_unit_test(a_body_cut_off_or_followed_by_a_byte_is_body_size),
        cmocka_unit_test(an_enum_byte_in_no_row_is_field_invalid),
        cmocka_unit_test(a_count_above_its_most_is_refused),
        cmocka_unit_test(every_code_point_of_unicode_is_text),
        cmocka_unit_test(text_that_is_not_utf8_is_refused),
        cmocka_unit_test(text_without_its_padding_is_refused),
        cmocka_unit_test(encoding_into_too_little_room_fails),
    };
    return usher_test_main(argc, argv, tests);
}
