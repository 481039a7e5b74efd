/* spec_example_test.c: SPEC.md's examples are true: the codec reads and writes exactly these bytes, the proofs are
 * good, and a fresh server answers exactly so.
 *
 * Bytes that differ from run to run are `..` in the document: they are filled in before a request is sent and passed
 * over when a reply is compared. */
#include "test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "protocol/bytes.h"
#include "protocol/codec.h"
#include "protocol/token.h"
#include "tests/server.h"
#include "tests/spec.h"
#include "tests/wire.h"

static bool
is(const struct spec_example *example, const char *kind)
{
    return strcmp(example->kind, kind) == 0;
}

static bool
is_frame(const struct spec_example *example)
{
    return is(example, "request") || is(example, "reply") || is(example, "refusal") || is(example, "push");
}

/* What a request is refused with by the codec alone, or OK: the name behind the refusal that follows it. */
static usher_result
codec_result(const struct spec_example *answer)
{
    static const usher_result results[] = {USHER_FRAME_CHECK, USHER_OPCODE_UNKNOWN, USHER_BODY_SIZE,
                                           USHER_FIELD_INVALID};

    for (size_t i = 0; is(answer, "refusal") && i < sizeof results / sizeof *results; i++)
        if (strcmp(answer->second, usher_result_name(results[i])) == 0)
            return results[i];
    return USHER_OK;
}

static void *
new_body(const usher_layout *layout)
{
    void *body = calloc(1, layout->struct_size);
    assert_non_null(body);
    return body;
}

/* Decode the example's body and encode it again: the same bytes. Returns the struct, which the caller frees. */
static void *
decode_example(const struct spec_example *example, const usher_layout *layout)
{
    uint8_t again[SPEC_BYTES_MOST];
    void *body = new_body(layout);
    size_t size = example->size - USHER_HEADER_SIZE;
    unsigned field_no;

    usher_result result = usher_decode(layout, example->bytes + USHER_HEADER_SIZE, size, body, &field_no);
    if (result != USHER_OK)
        fail_msg("SPEC.md line %zu: its body is %s at field %u", example->line_no, usher_result_name(result), field_no);
    assert_int_equal(usher_encode(layout, body, again, sizeof again), size);
    assert_memory_equal(again, example->bytes + USHER_HEADER_SIZE, size);
    return body;
}

/* A push: its header, and its body through the codec. */
static void
check_push(const struct spec_example *example)
{
    const usher_push *push = usher_push_of(bytes_get_u16(example->bytes + 6));

    assert_non_null(push);
    assert_string_equal(example->first, push->constant);
    assert_int_equal(bytes_get_u32(example->bytes), example->size);
    assert_int_equal(example->bytes[4], USHER_VERSION_WIRE);
    assert_int_equal(example->bytes[5], USHER_FLAG_PUSH);
    assert_int_equal(bytes_get_u64(example->bytes + 8), 0); /* request_no and aux */
    free(decode_example(example, push->body));
}

/* The header says what the block's title says. Returns its message, NULL for an unknown opcode. */
static const usher_message *
check_header(const struct spec_example *example)
{
    bool is_reply = !is(example, "request");
    unsigned opcode = bytes_get_u16(example->bytes + 6);
    const usher_message *message = usher_message_of(opcode);
    char number[16];

    snprintf(number, sizeof number, "0x%04x", opcode);
    if (strcmp(example->first, message == NULL ? number : message->constant) != 0)
        fail_msg("SPEC.md line %zu: opcode %s is not %s", example->line_no, number, example->first);
    assert_int_equal(bytes_get_u32(example->bytes), example->size);
    assert_int_equal(example->bytes[4], USHER_VERSION_WIRE);
    assert_int_equal(example->bytes[5] & ~USHER_FLAG_REPLAYED, is_reply ? USHER_FLAG_REPLY : 0);
    if (is_reply)
        assert_string_equal(usher_result_name(bytes_get_u32(example->bytes + 12)),
                            is(example, "reply") ? "OK" : example->second);
    return message;
}

/* A frame whose bytes are all given: read it, and write it again. */
static void
check_whole_frame(const struct spec_example *example, usher_result wanted)
{
    uint8_t again[SPEC_BYTES_MOST];
    usher_frame frame;
    usher_result why;
    usher_frame_state state = usher_frame_read(example->bytes, example->size, USHER_FRAME_MAX, &frame, &why);

    if (wanted == USHER_FRAME_CHECK) {
        assert_int_equal(state, USHER_FRAME_BROKEN);
        assert_int_equal(why, USHER_FRAME_CHECK);
        return;
    }
    if (state != USHER_FRAME_READY)
        fail_msg("SPEC.md line %zu: the frame is %s", example->line_no, usher_result_name(why));
    memcpy(again, example->bytes, example->size);
    memset(again, 0, USHER_HEADER_SIZE);
    assert_int_equal(usher_frame_finish(again, frame.body_size, &frame), example->size);
    assert_memory_equal(again, example->bytes, example->size);
}

static void
check_frame(const struct spec_example *example, const struct spec_example *answer)
{
    const usher_message *message = check_header(example);
    usher_result wanted = is(example, "request") ? codec_result(answer) : USHER_OK;
    unsigned field_no;

    if (example->whole)
        check_whole_frame(example, wanted);
    if (wanted == USHER_BODY_SIZE || wanted == USHER_FIELD_INVALID) {
        void *body = new_body(message->request);
        assert_int_equal(usher_decode(message->request, example->bytes + USHER_HEADER_SIZE,
                                      example->size - USHER_HEADER_SIZE, body, &field_no),
                         wanted);
        assert_int_equal(field_no, bytes_get_u64(answer->bytes + USHER_HEADER_SIZE + 16)); /* the refusal's detail */
        free(body);
        return;
    }
    if (wanted == USHER_OPCODE_UNKNOWN) {
        assert_null(message);
        return;
    }
    const usher_layout *layout = is(example, "refusal")   ? usher_refusal_layout()
                                 : is(example, "request") ? message->request
                                                          : message->reply;
    free(decode_example(example, layout));
}

/* F1: every example is what the codec makes of it, byte by byte, check included where the document gives it. */
static void
every_example_is_what_the_codec_makes_of_it(void **state)
{
    static struct spec_example example, answer;
    size_t line_no = 1, frames = 0, whole = 0;

    (void)state;
    while (spec_next_example(&line_no, &example)) {
        size_t next = line_no;
        if (!is_frame(&example))
            continue;
        if (!spec_next_example(&next, &answer))
            memset(&answer, 0, sizeof answer);
        if (is(&example, "push"))
            check_push(&example);
        else
            check_frame(&example, &answer);
        frames++;
        whole += example.whole;
    }
    assert_true(frames > 30);
    assert_true(whole > 5);
}

/* --- known answers --------------------------------------------------------------------------------------- */
/* F1, Q12, M10: the tree, the proofs and the signatures that the document shows are good, and those that it would be
 * wrong to accept are not. */
static void
the_documents_in_the_examples_verify(void **state)
{
    static struct spec_example example;
    uint8_t public_key[32], secret_key[64], nodes[6][32], wanted[32];
    size_t line_no = 1, documents = 0;

    (void)state;
    assert_true(sodium_init() >= 0);
    spec_example_of("seed", NULL, &example);
    assert_int_equal(example.size, 32);
    crypto_sign_seed_keypair(public_key, secret_key, example.bytes);
    spec_example_of("public-key", NULL, &example);
    assert_memory_equal(example.bytes, public_key, sizeof public_key);
    spec_example_of("leaves", NULL, &example);
    assert_int_equal(example.size, 96);
    memcpy(nodes, example.bytes, 96);
    usher_tree_fill(nodes, 3);
    spec_example_of("root", NULL, &example);
    memcpy(wanted, nodes[usher_tree_nodes(3) - 1], 32);
    assert_memory_equal(example.bytes, wanted, 32);

    while (spec_next_example(&line_no, &example)) {
        unsigned kind = is(&example, "token") ? USHER_DOCUMENT_TOKEN : USHER_DOCUMENT_RECEIPT;
        if (!is(&example, "token") && !is(&example, "receipt"))
            continue;
        assert_true(example.whole);
        assert_int_equal(usher_document_verify(example.bytes, example.size, kind, 1, public_key), USHER_OK);
        example.bytes[24] ^= 1;
        assert_int_equal(usher_document_verify(example.bytes, example.size, kind, 1, public_key), USHER_TOKEN_FORGED);
        documents++;
    }
    assert_int_equal(documents, 3);
}

/* F1: the digests that both sides of a handshake sign. */
static void
the_digests_in_the_examples_are_right(void **state)
{
    static const char *const sides[] = {"server", "client", "enrol"};
    static struct spec_example example;
    usher_hello_request request = {.frame_max = 65536};
    usher_hello_reply reply = {.frame_max = 65536, .in_flight_max = 1024, .hello_ms = 5000};

    (void)state;
    memset(&request.client_key, 0x11, sizeof request.client_key);
    memset(&request.client_nonce, 0x22, sizeof request.client_nonce);
    memset(&reply.server_key, 0x33, sizeof reply.server_key);
    memset(&reply.server_nonce, 0x44, sizeof reply.server_nonce);
    for (usher_handshake_side side = USHER_HANDSHAKE_SERVER; side <= USHER_HANDSHAKE_ENROL; side++) {
        uint8_t digest[32];
        usher_handshake_digest(side, &request, &reply, digest);
        spec_example_of("digest", sides[side], &example);
        assert_int_equal(example.size, 32);
        assert_memory_equal(example.bytes, digest, 32);
    }
}

/* --- against a server ------------------------------------------------------------------------------------ */
/* What a client knows in the course of the examples. */
struct play {
    struct wire wire;
    uint8_t secret_key[64];
    uint8_t token[512];
    uint16_t token_size;
};

/* Whether bytes are those of the example, wherever it gives them. */
static void
compare(const struct spec_example *example, const uint8_t *bytes, size_t size)
{
    if (size != example->size)
        fail_msg("SPEC.md line %zu: the example has %zu bytes, the wire %zu", example->line_no, example->size, size);
    for (size_t i = 0; i < size; i++)
        if (example->given[i] && example->bytes[i] != bytes[i])
            fail_msg("SPEC.md line %zu: byte %zu is %02x there and %02x on the wire", example->line_no, i,
                     (unsigned)example->bytes[i], (unsigned)bytes[i]);
}

static const usher_field *
field_named(const usher_layout *layout, const char *name)
{
    for (size_t i = 0; i < layout->field_count; i++)
        if (strcmp(layout->fields[i].name, name) == 0)
            return &layout->fields[i];
    return NULL;
}

/* Put in what the document leaves open: the client's key, its signature, the token. */
static void
fill_in(struct play *play, const usher_message *message, uint8_t *body)
{
    const usher_field *key = field_named(message->request, "client_key");
    const usher_field *signature = field_named(message->request, "signature");
    const usher_field *token = field_named(message->request, "token");
    uint8_t digest[32];
    uint16_t token_size;

    if (key != NULL)
        memcpy(body + key->offset, play->secret_key + 32, 32);
    if (signature != NULL) {
        usher_handshake_digest(USHER_HANDSHAKE_CLIENT, &play->wire.hello, &play->wire.challenge, digest);
        crypto_sign_detached(body + signature->offset, NULL, digest, sizeof digest, play->secret_key);
    }
    if (token == NULL)
        return;
    memcpy(&token_size, body + token->count_offset, sizeof token_size);
    if (token_size != 0) {
        assert_int_equal(token_size, play->token_size);
        memcpy(body + token->offset, play->token, token_size);
    }
}

static void
send_request(struct play *play, const struct spec_example *example)
{
    const usher_message *message = usher_message_of(bytes_get_u16(example->bytes + 6));
    uint8_t bytes[SPEC_BYTES_MOST];
    size_t size = example->size;

    memcpy(bytes, example->bytes, size);
    if (!example->whole) {
        const usher_frame frame = {.opcode = message->opcode, .request_no = bytes_get_u32(bytes + 8)};
        void *body = decode_example(example, message->request);
        fill_in(play, message, body);
        if (message->opcode == USHER_OPCODE_HELLO)
            memcpy(&play->wire.hello, body, sizeof play->wire.hello);
        size = usher_encode(message->request, body, bytes + USHER_HEADER_SIZE, sizeof bytes - USHER_HEADER_SIZE);
        assert_int_not_equal(size, SIZE_MAX);
        size = usher_frame_finish(bytes, size, &frame);
        free(body);
    }
    compare(example, bytes, size);
    assert_true(wire_send_bytes(&play->wire, bytes, size));
}

/* What later requests need of a reply; and the proofs in it are good. */
static void
learn(struct play *play, const struct spec_example *example, const struct wire_frame *frame)
{
    const usher_message *message = usher_message_of(frame->opcode);
    const uint8_t *server_key = play->wire.challenge.server_key.bytes;
    unsigned field_no;

    if (!is(example, "reply"))
        return;
    uint8_t *body = new_body(message->reply);
    assert_int_equal(usher_decode(message->reply, frame->body, frame->body_size, body, &field_no), USHER_OK);
    if (frame->opcode == USHER_OPCODE_HELLO) {
        uint8_t digest[32];
        memcpy(&play->wire.challenge, body, sizeof play->wire.challenge);
        usher_handshake_digest(USHER_HANDSHAKE_SERVER, &play->wire.hello, &play->wire.challenge, digest);
        assert_int_equal(crypto_sign_verify_detached(play->wire.challenge.signature.bytes, digest, 32, server_key), 0);
    }
    if (frame->opcode == USHER_OPCODE_JOIN) {
        const usher_join_reply *join = (const void *)body;
        play->token_size = join->token_count;
        memcpy(play->token, join->token, join->token_count);
        assert_int_equal(usher_document_verify(play->token, play->token_size, USHER_DOCUMENT_TOKEN, 1, server_key),
                         USHER_OK);
    }
    if (frame->opcode == USHER_OPCODE_PAY) {
        const usher_pay_reply *pay = (const void *)body;
        assert_int_equal(usher_document_verify(pay->receipt, pay->receipt_count, USHER_DOCUMENT_RECEIPT, 1, server_key),
                         USHER_OK);
    }
    free(body);
}

/* The frame that comes next is the example's. */
static struct wire_frame
receive_example(struct play *play, const struct spec_example *example)
{
    uint8_t bytes[SPEC_BYTES_MOST];
    struct wire_frame frame;

    if (!wire_receive(&play->wire, &frame))
        fail_msg("SPEC.md line %zu: no frame came", example->line_no);
    const usher_frame header = {.flags = frame.flags,
                                .opcode = frame.opcode,
                                .request_no = frame.request_no,
                                .aux = frame.result,
                                .stamp_ms = frame.stamp_ms};
    assert_true(frame.body_size <= sizeof bytes - USHER_HEADER_SIZE);
    memcpy(bytes + USHER_HEADER_SIZE, frame.body, frame.body_size);
    compare(example, bytes, usher_frame_finish(bytes, frame.body_size, &header));
    assert_true(frame.stamp_ms > 0);
    return frame;
}

/* F1, and by the way T1, C2, R1, R3, P1, B1, M3, M7: the requests of the examples, sent in their order to a fresh
 * server, get the replies of the examples. */
static void
a_fresh_server_answers_as_the_examples_say(void **state)
{
    static struct spec_example example;
    struct test_server server;
    struct play play = {.token_size = 0};
    size_t line_no = 1, replies = 0, pushes = 0;
    bool closes = false;

    (void)state;
    assert_true(sodium_init() >= 0);
    test_server_open(&server);
    test_server_start(&server, NULL);
    assert_true(wire_open(&play.wire, server.port));
    assert_true(wire_read_key(server.admin_key, play.secret_key));
    while (spec_next_example(&line_no, &example)) {
        if (is(&example, "request")) {
            assert_false(closes);
            send_request(&play, &example);
        } else if (is_frame(&example) && strcmp(example.first, "GOING_AWAY") != 0) { /* which ends it all: see below */
            struct wire_frame frame = receive_example(&play, &example);
            learn(&play, &example, &frame);
            closes = strncmp(example.second, "FRAME_", 6) == 0;
            replies += !is(&example, "push");
            pushes += is(&example, "push");
        }
    }
    assert_true(replies > 15);
    assert_true(pushes > 4);
    assert_true(closes);
    assert_true(wire_is_closed(&play.wire));
    wire_close(&play.wire);
    test_server_close(&server);
}

/* F1, X7: a server that is told to stop pushes what the example says and ends the connection. */
static void
a_server_that_is_told_to_stop_pushes_the_example(void **state)
{
    static struct spec_example example;
    struct test_server server;
    struct play play = {.token_size = 0};

    (void)state;
    spec_example_of("push", "GOING_AWAY", &example);
    test_server_open(&server);
    test_server_start(&server, NULL);
    assert_true(wire_open(&play.wire, server.port));
    assert_int_equal(wire_login(&play.wire, server.admin_key), USHER_OK);
    assert_int_equal(test_server_stop(&server, SIGTERM), 0);
    receive_example(&play, &example);
    assert_true(wire_is_closed(&play.wire));
    wire_close(&play.wire);
    test_server_close(&server);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_example_is_what_the_codec_makes_of_it),
        cmocka_unit_test(the_documents_in_the_examples_verify),
        cmocka_unit_test(the_digests_in_the_examples_are_right),
        cmocka_unit_test(a_fresh_server_answers_as_the_examples_say),
        cmocka_unit_test(a_server_that_is_told_to_stop_pushes_the_example),
    };
    return usher_test_main(argc, argv, tests);
}
