/* vectors_test.c: protocol/vectors/ is what the rows give today, and this project's codec reads and writes it.
 *
 * The lines are read here with jansson, not with the code that wrote them, as a stranger would. */
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <sodium.h>

#include "protocol/bytes.h"
#include "protocol/token.h"
#include "tests/vectors/vectors.h"

/* --- lines ----------------------------------------------------------------------------------------------- */
static FILE *
open_vectors(const char *name)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", VECTORS_PATH, name);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        fail_msg("can't read %s; `ninja vectors` writes it", path);
    return file;
}

/* Call this for every line of a file; returns how many there were. */
static size_t
for_each_line(const char *name, void (*check)(const json_t *line))
{
    FILE *file = open_vectors(name);
    char *text = NULL;
    size_t room = 0, count = 0;

    while (getline(&text, &room, file) > 0) {
        json_error_t error;
        json_t *line = json_loads(text, JSON_REJECT_DUPLICATES, &error);
        count++;
        if (line == NULL)
            fail_msg("%s, line %zu: %s", name, count, error.text);
        print_message("%s, line %zu\n", name, count); /* the last one is the one that fails */
        check(line);
        json_decref(line);
    }
    free(text);
    fclose(file);
    return count;
}

static const char *
text_of(const json_t *line, const char *name)
{
    const char *text = json_string_value(json_object_get(line, name));

    if (text == NULL)
        fail_msg("the line has no text \"%s\"", name);
    return text;
}

/* A number, as such or in a string. */
static uint64_t
number_of(const json_t *value)
{
    assert_true(json_is_integer(value) || json_is_string(value));
    if (json_is_integer(value))
        return (uint64_t)json_integer_value(value);
    const char *text = json_string_value(value);
    char *end;
    uint64_t number = *text == '-' ? (uint64_t)strtoll(text, &end, 10) : strtoull(text, &end, 10);
    assert_true(end > text);
    assert_int_equal(*end, '\0');
    return number;
}

static uint64_t
number(const json_t *line, const char *name)
{
    return number_of(json_object_get(line, name));
}

/* Hex to bytes; returns their number. */
static size_t
bytes_of(const json_t *value, void *out, size_t room)
{
    const char *hex = json_string_value(value), *end;
    size_t size;

    assert_non_null(hex);
    assert_int_equal(sodium_hex2bin(out, room, hex, strlen(hex), NULL, &size, &end), 0);
    assert_int_equal(*end, '\0');
    return size;
}

static size_t
bytes(const json_t *line, const char *name, void *out, size_t room)
{
    return bytes_of(json_object_get(line, name), out, room);
}

static usher_result
result_named(const char *name)
{
    for (unsigned result = 0; result < 256; result++)
        if (strcmp(usher_result_name(result), name) == 0)
            return (usher_result)result;
    fail_msg("there is no result %s", name);
    return USHER_OK;
}

static usher_uuid
uuid_of(const json_t *value)
{
    const char *text = json_string_value(value), *end;
    usher_uuid uuid;
    size_t size;

    assert_non_null(text);
    assert_int_equal(strlen(text), 36);
    assert_int_equal(sodium_hex2bin(uuid.bytes, sizeof uuid.bytes, text, 36, "-", &size, &end), 0);
    assert_int_equal(size, sizeof uuid.bytes);
    return uuid;
}

/* --- bodies ---------------------------------------------------------------------------------------------- */
static void put_body(const usher_layout *layout, const json_t *fields, uint8_t *body);

static void
put_number(uint8_t *to, size_t width, uint64_t value)
{
    uint8_t wire[8];

    bytes_put_u64(wire, value);
    if (width == 1) {
        *to = wire[0];
    } else if (width == 2) {
        uint16_t small = bytes_get_u16(wire);
        memcpy(to, &small, sizeof small);
    } else if (width == 4) {
        uint32_t middle = bytes_get_u32(wire);
        memcpy(to, &middle, sizeof middle);
    } else {
        memcpy(to, &value, sizeof value);
    }
}

static const uint8_t widths[] = {
    [USHER_KIND_U8] = 1,         [USHER_KIND_U16] = 2,       [USHER_KIND_U32] = 4,       [USHER_KIND_U64] = 8,
    [USHER_KIND_I64] = 8,        [USHER_KIND_UUID] = 16,     [USHER_KIND_ID] = 16,       [USHER_KIND_KEY] = 32,
    [USHER_KIND_SIGNATURE] = 64, [USHER_KIND_NUMBERS32] = 4, [USHER_KIND_NUMBERS64] = 8, [USHER_KIND_ITEMS] = 0,
};

static void
put_list(const usher_field *field, const json_t *value, uint8_t *body)
{
    size_t width = field->item != NULL ? field->item->struct_size : widths[field->kind];
    uint8_t *to = body + field->offset;
    uint16_t count = (uint16_t)json_array_size(value);

    assert_true(json_is_array(value));
    assert_true(json_array_size(value) <= field->most);
    memcpy(body + field->count_offset, &count, sizeof count);
    for (size_t i = 0; i < count; i++) {
        if (field->item != NULL)
            put_body(field->item, json_array_get(value, i), to + i * width);
        else
            put_number(to + i * width, width, number_of(json_array_get(value, i)));
    }
}

static void
put_enum(const usher_field *field, const char *name, uint8_t *to)
{
    assert_non_null(name);
    for (size_t i = 0; i < field->enumeration->value_count; i++)
        if (strcmp(field->enumeration->values[i].name, name) == 0) {
            *to = field->enumeration->values[i].value;
            return;
        }
    fail_msg("%s has no value %s", field->enumeration->name, name);
}

static void
put_field(const usher_field *field, const json_t *value, uint8_t *body)
{
    uint8_t *to = body + field->offset;

    if (field->kind == USHER_KIND_BYTES) {
        uint16_t count = (uint16_t)bytes_of(value, to, field->most);
        memcpy(body + field->count_offset, &count, sizeof count);
    } else if (field->kind > USHER_KIND_BYTES) {
        put_list(field, value, body);
    } else if (field->kind == USHER_KIND_TEXT) {
        assert_true(json_string_length(value) < field->most);
        strcpy((char *)to, json_string_value(value));
    } else if (field->kind == USHER_KIND_ENUM) {
        put_enum(field, json_string_value(value), to);
    } else if (field->kind == USHER_KIND_UUID) {
        usher_uuid uuid = uuid_of(value);
        memcpy(to, &uuid, sizeof uuid);
    } else if (field->kind == USHER_KIND_ID || field->kind == USHER_KIND_KEY || field->kind == USHER_KIND_SIGNATURE) {
        assert_int_equal(bytes_of(value, to, widths[field->kind]), widths[field->kind]);
    } else {
        put_number(to, widths[field->kind], number_of(value));
    }
}

/* Fill a struct of zeros with the line's fields, which must be exactly the layout's. */
static void
put_body(const usher_layout *layout, const json_t *fields, uint8_t *body)
{
    assert_int_equal(json_object_size(fields), layout->field_count);
    for (size_t i = 0; i < layout->field_count; i++) {
        const json_t *value = json_object_get(fields, layout->fields[i].name);
        if (value == NULL)
            fail_msg("the line has no field %s", layout->fields[i].name);
        put_field(&layout->fields[i], value, body);
    }
}

static const usher_layout *
layout_of(const char *part, unsigned opcode)
{
    const usher_message *message = usher_message_of(opcode);

    if (strcmp(part, "push") == 0)
        return usher_push_of(opcode) == NULL ? NULL : usher_push_of(opcode)->body;
    if (strcmp(part, "refusal") == 0)
        return usher_refusal_layout();
    if (message == NULL || message->kind == USHER_MESSAGE_INTERNAL)
        return NULL;
    return strcmp(part, "request") == 0 ? message->request : message->reply;
}

static uint8_t wire[VECTORS_ROOM], again[VECTORS_ROOM];

/* --- the tests ------------------------------------------------------------------------------------------- */
/* F1: the vectors grow with the rows; `ninja vectors` writes them. */
static void
the_files_are_what_the_rows_give(void **state)
{
    size_t count;
    const vectors_file *files = vectors_files(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        char *wanted = NULL, *line = NULL;
        size_t size = 0, room = 0, at = 0, line_no = 0;
        ssize_t length;
        FILE *out = open_memstream(&wanted, &size), *file = open_vectors(files[i].name);
        assert_non_null(out);
        files[i].write(out);
        assert_int_equal(fclose(out), 0);
        while ((length = getline(&line, &room, file)) > 0) {
            line_no++;
            if (at + (size_t)length > size || memcmp(line, wanted + at, (size_t)length) != 0)
                fail_msg("%s, line %zu is not what the rows give: run `ninja vectors`", files[i].name, line_no);
            at += (size_t)length;
        }
        if (at != size)
            fail_msg("%s ends after %zu lines, the rows give more: run `ninja vectors`", files[i].name, line_no);
        free(line);
        free(wanted);
        fclose(file);
    }
}

static void
compare_header(const usher_frame *frame, const json_t *line)
{
    assert_int_equal(frame->flags, number(line, "flags"));
    assert_int_equal(frame->opcode, number(line, "opcode"));
    assert_int_equal(frame->request_no, number(line, "request_no"));
    assert_int_equal(frame->aux, number(line, "aux"));
    assert_true(frame->stamp_ms == number(line, "stamp_ms"));
}

static unsigned seen_requests, seen_replies, seen_pushes, seen_refusals;

static void
check_message(const json_t *line)
{
    const char *part = text_of(line, "part");
    const usher_layout *layout = layout_of(part, (unsigned)number(line, "opcode"));
    size_t size = bytes(line, "frame", wire, sizeof wire);
    usher_frame frame;
    usher_result why;
    unsigned field_no;

    assert_non_null(layout);
    assert_string_equal(text_of(line, "struct"), layout->name);
    uint8_t *from_line = calloc(1, layout->struct_size), *from_wire = calloc(1, layout->struct_size);
    put_body(layout, json_object_get(line, "fields"), from_line);

    /* Bytes to fields. */
    assert_int_equal(usher_frame_read(wire, size, USHER_FRAME_MAX, &frame, &why), USHER_FRAME_READY);
    assert_int_equal(frame.size, size);
    compare_header(&frame, line);
    assert_int_equal(usher_decode(layout, frame.body, frame.body_size, from_wire, &field_no), USHER_OK);
    assert_memory_equal(from_wire, from_line, layout->struct_size);

    /* Fields to bytes. */
    size_t body_size = usher_encode(layout, from_line, again + USHER_HEADER_SIZE, sizeof again - USHER_HEADER_SIZE);
    assert_int_equal(usher_frame_finish(again, body_size, &frame), size);
    assert_memory_equal(again, wire, size);
    free(from_line);
    free(from_wire);
    seen_requests += strcmp(part, "request") == 0;
    seen_replies += strcmp(part, "reply") == 0;
    seen_pushes += strcmp(part, "push") == 0;
    seen_refusals += strcmp(part, "refusal") == 0;
}

/* F1: each message, push and refusal of messages.jsonl, both ways. */
static void
every_message_is_written_and_read_as_its_line_says(void **state)
{
    size_t messages, pushes, internal = 0;
    const usher_message *message = usher_messages(&messages);

    (void)state;
    usher_pushes(&pushes);
    for (size_t i = 0; i < messages; i++)
        internal += message[i].kind == USHER_MESSAGE_INTERNAL;
    for_each_line("messages.jsonl", check_message);
    assert_int_equal(seen_requests, 3 * (messages - internal));
    assert_int_equal(seen_replies, 3 * (messages - internal));
    assert_int_equal(seen_pushes, 3 * pushes);
    assert_true(seen_refusals > 3);
}

/* What a reader says of these bytes, step by step as SPEC.md's section 6 has it. */
static usher_result
judge(const char *part, const uint8_t *from, size_t size, unsigned *detail)
{
    usher_frame frame;
    usher_result why;
    usher_frame_state state = usher_frame_read(from, size, USHER_FRAME_MAX, &frame, &why);
    bool is_request = strcmp(part, "request") == 0;

    *detail = 0;
    if (state != USHER_FRAME_READY)
        return state == USHER_FRAME_BROKEN ? why : USHER_RESULT_NONE;
    if (is_request && (frame.flags != 0 || frame.stamp_ms != 0))
        return USHER_FRAME_HEADER;
    const usher_layout *layout = layout_of(part, frame.opcode);
    if (layout == NULL)
        return USHER_OPCODE_UNKNOWN;
    void *body = calloc(1, layout->struct_size);
    usher_result result = usher_decode(layout, frame.body, frame.body_size, body, detail);
    const usher_message *message = usher_message_of(frame.opcode);
    if (result == USHER_OK && is_request && message->kind == USHER_MESSAGE_COMMAND && sodium_is_zero(body, 16))
        result = USHER_REQUEST_ID_MISSING;
    free(body);
    return result;
}

static void
check_never(const json_t *line)
{
    size_t size = bytes(line, "frame", wire, sizeof wire);
    unsigned detail;
    usher_result result = judge(text_of(line, "part"), wire, size, &detail);

    assert_string_equal(usher_result_name(result), text_of(line, "result"));
    assert_int_equal(detail, number(line, "detail"));
}

/* F1: what can never be valid is refused with the result and the field that the line names. */
static void
what_can_never_be_valid_is_refused_as_its_line_says(void **state)
{
    (void)state;
    assert_true(for_each_line("never.jsonl", check_never) > 100);
}

static void
check_of_line(const json_t *line)
{
    size_t body_size = number(line, "body_size");
    usher_frame frame;
    usher_result why;

    assert_true(body_size + USHER_HEADER_SIZE <= sizeof wire);
    assert_int_equal(bytes(line, "header", wire, USHER_HEADER_SIZE), USHER_HEADER_SIZE);
    for (size_t i = 0; i < body_size; i++)
        wire[USHER_HEADER_SIZE + i] = (uint8_t)((31 * i + body_size) % 256);
    assert_int_equal(usher_frame_read(wire, USHER_HEADER_SIZE + body_size, USHER_FRAME_MAX, &frame, &why),
                     USHER_FRAME_READY);
    assert_int_equal(frame.body_size, body_size);
    compare_header(&frame, line);
    assert_true(bytes_get_u64(wire + 24) == number(line, "check"));
}

static void
check_stream(const json_t *line)
{
    const json_t *frames = json_object_get(line, "frames");
    const char *then = text_of(line, "then");
    size_t size = bytes(line, "stream", wire, sizeof wire), at = 0;
    usher_frame frame;
    usher_result why;

    for (size_t i = 0; i < json_array_size(frames); i++) {
        size_t frame_size = bytes_of(json_array_get(frames, i), again, sizeof again);
        for (size_t part = 0; part < frame_size; part++)
            assert_int_equal(usher_frame_read(wire + at, part, USHER_FRAME_MAX, &frame, &why), USHER_FRAME_PARTIAL);
        assert_int_equal(usher_frame_read(wire + at, size - at, USHER_FRAME_MAX, &frame, &why), USHER_FRAME_READY);
        assert_int_equal(frame.size, frame_size);
        assert_memory_equal(wire + at, again, frame_size);
        at += frame_size;
    }
    assert_int_equal(size - at, number(line, "left"));
    usher_frame_state state = usher_frame_read(wire + at, size - at, USHER_FRAME_MAX, &frame, &why);
    assert_int_equal(state, strcmp(then, "OK") == 0 ? USHER_FRAME_PARTIAL : USHER_FRAME_BROKEN);
    assert_string_equal(usher_result_name(why), then);
}

/* F1: the check over frames of every length that XXH3 tells apart, and frames out of a stream at any split. */
static void
checks_and_streams_are_read_as_their_lines_say(void **state)
{
    (void)state;
    assert_true(for_each_line("checks.jsonl", check_of_line) > 10);
    assert_true(for_each_line("streams.jsonl", check_stream) > 5);
}

static void
check_tree(const json_t *line)
{
    const json_t *paths = json_object_get(line, "paths");
    usher_proof proof = {.leaf_count = (uint16_t)number(line, "leaf_count")};
    uint8_t wanted[32], leaf[32], root[32], index_bytes[4];

    assert_int_equal(bytes(line, "root", wanted, sizeof wanted), sizeof wanted);
    assert_true(json_array_size(paths) > 0);
    for (size_t i = 0; i < json_array_size(paths); i++) {
        const json_t *path = json_object_get(json_array_get(paths, i), "path");
        proof.leaf_index = (uint16_t)number(json_array_get(paths, i), "index");
        proof.path_count = (uint8_t)json_array_size(path);
        assert_int_equal(proof.path_count, usher_path_length(proof.leaf_count, proof.leaf_index));
        for (size_t k = 0; k < proof.path_count; k++)
            assert_int_equal(bytes_of(json_array_get(path, k), proof.path[k], 32), 32);
        bytes_put_u32(index_bytes, proof.leaf_index);
        crypto_generichash(leaf, sizeof leaf, index_bytes, sizeof index_bytes, NULL, 0);
        usher_proof_root(leaf, &proof, root);
        assert_memory_equal(root, wanted, sizeof root);
    }
}

static void
compare_token(const json_t *fields, size_t body_size)
{
    usher_token_body token;
    usher_uuid user = uuid_of(json_object_get(fields, "user"));

    assert_true(usher_token_body_decode(wire, body_size, &token));
    assert_int_equal(token.queue_id, number(fields, "queue_id"));
    assert_memory_equal(&token.user, &user, sizeof user);
    assert_true(token.position == number(fields, "position"));
    assert_true(token.issued_ms == number(fields, "issued_ms"));
    assert_true(token.ends_ms == number(fields, "ends_ms"));
}

static void
compare_receipt(const json_t *fields, size_t body_size)
{
    const json_t *seats = json_object_get(fields, "seats");
    usher_uuid user = uuid_of(json_object_get(fields, "user"));
    usher_receipt_body receipt;

    assert_true(usher_receipt_body_decode(wire, body_size, &receipt));
    assert_memory_equal(&receipt.user, &user, sizeof user);
    assert_true(receipt.payment_id == number(fields, "payment_id"));
    assert_true((uint64_t)receipt.amount == number(fields, "amount"));
    assert_true(receipt.paid_at_ms == number(fields, "paid_at_ms"));
    assert_int_equal(receipt.seat_count, json_array_size(seats));
    for (size_t i = 0; i < receipt.seat_count; i++) {
        const json_t *seat = json_array_get(seats, i);
        assert_int_equal(receipt.seat[i].concert_id, number_of(json_array_get(seat, 0)));
        assert_int_equal(receipt.seat[i].date_id, number_of(json_array_get(seat, 1)));
        assert_int_equal(receipt.seat[i].seat_no, number_of(json_array_get(seat, 2)));
    }
}

static void
check_document(const json_t *line)
{
    unsigned kind = (unsigned)number(line, "kind");
    size_t size = bytes(line, "document", wire, sizeof wire), body_size;
    uint8_t public_key[32];
    usher_proof proof;

    assert_int_equal(bytes(line, "public_key", public_key, sizeof public_key), sizeof public_key);
    usher_result result = usher_document_verify(wire, size, kind, (uint16_t)number(line, "key_id"), public_key);
    assert_int_equal(result, result_named(text_of(line, "result")));
    if (result != USHER_OK)
        return;
    assert_true(usher_document_split(wire, size, kind, &body_size, &proof));
    assert_int_equal(proof.leaf_index, number(line, "leaf_index"));
    assert_int_equal(proof.leaf_count, number(line, "leaf_count"));
    (kind == USHER_DOCUMENT_TOKEN ? compare_token : compare_receipt)(json_object_get(line, "fields"), body_size);
    size_t read;
    assert_int_equal(sodium_base642bin(again, sizeof again, text_of(line, "text"), strlen(text_of(line, "text")), NULL,
                                       &read, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING),
                     0);
    assert_int_equal(read, size);
    assert_memory_equal(again, wire, size);
}

/* M10, Q12: tokens, receipts and Merkle paths of many sizes, and what is none of them. */
static void
documents_are_verified_as_their_lines_say(void **state)
{
    (void)state;
    assert_true(for_each_line("trees.jsonl", check_tree) > 10);
    assert_true(for_each_line("documents.jsonl", check_document) > 50);
}

static void
check_handshake(const json_t *line)
{
    static const char *const labels[] = {"usher-hello-server-1", "usher-hello-client-1", "usher-hello-enrol-1"};
    usher_hello_request request = {0};
    usher_hello_reply reply = {0};
    uint8_t digest[32], wanted[32], seed[32], public_key[32], made[32], secret_key[64], signature[64], signed_now[64];
    unsigned side = 0;

    while (strcmp(labels[side], text_of(line, "label")) != 0)
        assert_true(++side < sizeof labels / sizeof *labels);
    put_body(usher_message_of(USHER_OPCODE_HELLO)->request, json_object_get(line, "request"), (uint8_t *)&request);
    put_body(usher_message_of(USHER_OPCODE_HELLO)->reply, json_object_get(line, "reply"), (uint8_t *)&reply);
    usher_handshake_digest((usher_handshake_side)side, &request, &reply, digest);
    bytes(line, "digest", wanted, sizeof wanted);
    assert_memory_equal(digest, wanted, sizeof digest);
    bytes(line, "seed", seed, sizeof seed);
    bytes(line, "public_key", public_key, sizeof public_key);
    crypto_sign_seed_keypair(made, secret_key, seed);
    assert_memory_equal(made, public_key, sizeof made);
    bytes(line, "signature", signature, sizeof signature);
    crypto_sign_detached(signed_now, NULL, digest, sizeof digest, secret_key);
    assert_memory_equal(signed_now, signature, sizeof signature);
    usher_handshake_digest(USHER_HANDSHAKE_SERVER, &request, &reply, digest);
    assert_int_equal(crypto_sign_verify_detached(reply.signature.bytes, digest, sizeof digest, reply.server_key.bytes),
                     0);
}

/* F1: the digests and signatures of the handshake. */
static void
handshakes_are_signed_as_their_lines_say(void **state)
{
    (void)state;
    assert_int_equal(for_each_line("handshakes.jsonl", check_handshake), 6);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_files_are_what_the_rows_give),
        cmocka_unit_test(every_message_is_written_and_read_as_its_line_says),
        cmocka_unit_test(what_can_never_be_valid_is_refused_as_its_line_says),
        cmocka_unit_test(checks_and_streams_are_read_as_their_lines_say),
        cmocka_unit_test(documents_are_verified_as_their_lines_say),
        cmocka_unit_test(handshakes_are_signed_as_their_lines_say),
    };

    return sodium_init() < 0 ? 1 : usher_test_main(argc, argv, tests);
}
