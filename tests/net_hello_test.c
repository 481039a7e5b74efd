/* net_hello_test.c: who is it? The handshake, enrolment, roles and revocation, against a real usherd. */
#include "tests/test.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "protocol/token.h"
#include "tests/server.h"
#include "tests/wire.h"

struct fixture {
    struct test_server server;
    struct wire wire;
    uint8_t admin_key[64];
};

/* Start with these options (NULL after the last) and connect. */
#define start(fixture, ...)                                                                                            \
    do {                                                                                                               \
        test_server_open(&(fixture)->server);                                                                          \
        test_server_start(&(fixture)->server, __VA_ARGS__);                                                            \
        assert_true(wire_read_key((fixture)->server.admin_key, (fixture)->admin_key));                                 \
        assert_true(wire_open(&(fixture)->wire, (fixture)->server.port));                                              \
    } while (0)

static void
finish(struct fixture *fixture)
{
    wire_close(&fixture->wire);
    test_server_close(&fixture->server);
}

static void
login(struct fixture *fixture)
{
    assert_int_equal(wire_login(&fixture->wire, fixture->server.admin_key), USHER_OK);
}

static void
assert_lives(struct wire *wire)
{
    const usher_ping_request ping = {.echo = 4711};
    usher_ping_reply reply;

    assert_int_equal(wire_ask(wire, USHER_OPCODE_PING, &ping, &reply), USHER_OK);
    assert_int_equal(reply.echo, 4711);
}

/* --- the handshake ------------------------------------------------------------------------------------------- */
/* Every request of the rows, with a body of zeros but for a request id. */
static unsigned
ask_blank(struct wire *wire, const usher_message *message)
{
    static union {
        uint8_t bytes[16384];
        uint64_t align;
    } body;

    assert_true(message->request->struct_size <= sizeof body);
    memset(&body, 0, sizeof body);
    for (size_t i = 0; i < message->request->field_count; i++) {
        const usher_field *field = &message->request->fields[i];
        if (field->kind == USHER_KIND_ID)
            body.bytes[field->offset] = 1;
    }
    return wire_ask(wire, message->opcode, &body, NULL);
}

/* S1, T2: nobody works with the service before it has proved a key. */
static void
nothing_but_a_ping_is_answered_before_the_hello(void **state)
{
    struct fixture fixture;
    size_t count;
    const usher_message *messages = usher_messages(&count);
    (void)state;

    start(&fixture, NULL);
    for (size_t i = 0; i < count; i++) {
        if (messages[i].opcode == USHER_OPCODE_HELLO || messages[i].opcode == USHER_OPCODE_PING)
            continue;
        bool internal = messages[i].kind == USHER_MESSAGE_INTERNAL;
        assert_int_equal(ask_blank(&fixture.wire, &messages[i]), internal ? USHER_OPCODE_UNKNOWN : USHER_HELLO_MISSING);
    }
    assert_lives(&fixture.wire);
    finish(&fixture);
}

/* A hello alone is not enough: a key that is named is not proved. */
static void
nothing_but_the_proof_is_answered_after_the_hello(void **state)
{
    struct fixture fixture;
    size_t count;
    const usher_message *messages = usher_messages(&count);
    (void)state;

    start(&fixture, NULL);
    assert_int_equal(wire_hello(&fixture.wire, fixture.admin_key), USHER_OK);
    for (size_t i = 0; i < count; i++) {
        if (messages[i].roles & USHER_ROLE_BIT(USHER_ROLE_NONE) || messages[i].kind == USHER_MESSAGE_INTERNAL)
            continue;
        assert_int_equal(ask_blank(&fixture.wire, &messages[i]), USHER_HELLO_MISSING);
    }
    assert_int_equal(wire_authenticate(&fixture.wire, fixture.admin_key, NULL), USHER_OK);
    finish(&fixture);
}

/* A challenge is used once: no second hello, before the proof or after it, and no second proof. */
static void
a_second_hello_or_proof_is_refused(void **state)
{
    const usher_enrol_request enrol = {.request_id = wire_id()};
    struct fixture fixture;
    (void)state;

    start(&fixture, NULL);
    assert_int_equal(wire_hello(&fixture.wire, fixture.admin_key), USHER_OK);
    assert_int_equal(wire_ask(&fixture.wire, USHER_OPCODE_HELLO, &fixture.wire.hello, NULL), USHER_HELLO_REPEATED);
    assert_int_equal(wire_authenticate(&fixture.wire, fixture.admin_key, NULL), USHER_OK);
    assert_int_equal(wire_ask(&fixture.wire, USHER_OPCODE_HELLO, &fixture.wire.hello, NULL), USHER_HELLO_REPEATED);
    assert_int_equal(wire_authenticate(&fixture.wire, fixture.admin_key, NULL), USHER_HELLO_REPEATED);
    assert_int_equal(wire_ask(&fixture.wire, USHER_OPCODE_ENROL, &enrol, NULL), USHER_HELLO_REPEATED);
    assert_lives(&fixture.wire);
    finish(&fixture);
}

/* The admin's key is what admin.key holds, and the reply says who one is now. */
static void
the_admin_key_of_a_fresh_data_directory_authenticates_as_admin(void **state)
{
    struct fixture fixture;
    usher_authenticate_reply reply;
    (void)state;

    start(&fixture, NULL);
    assert_int_equal(wire_hello(&fixture.wire, fixture.admin_key), USHER_OK);
    assert_int_equal(wire_authenticate(&fixture.wire, fixture.admin_key, &reply), USHER_OK);
    assert_int_equal(reply.client_id, 1);
    assert_int_equal(reply.role, USHER_ROLE_ADMIN);
    assert_string_equal(reply.name, "admin");
    finish(&fixture);
}

/* The service's key is the one in service.key: a client that knows it can tell another server from this one. */
static void
the_hello_is_signed_with_the_key_of_the_service(void **state)
{
    struct fixture fixture;
    uint8_t service_key[64];
    (void)state;

    start(&fixture, NULL);
    assert_true(wire_read_key(fixture.server.service_key, service_key));
    assert_int_equal(wire_hello(&fixture.wire, fixture.admin_key), USHER_OK); /* verifies the signature */
    assert_memory_equal(fixture.wire.challenge.server_key.bytes, service_key + 32, 32);
    finish(&fixture);
}

/* A signature with any bit changed proves nothing, and there is no second try on the same connection. */
static void
a_wrong_signature_is_refused_and_ends_the_connection(void **state)
{
    struct fixture fixture;
    uint8_t digest[32];
    (void)state;

    start(&fixture, NULL);
    for (size_t i = 0; i < 64; i += 7) {
        struct wire wire;
        usher_authenticate_request request;
        assert_true(wire_open(&wire, fixture.server.port));
        assert_int_equal(wire_hello(&wire, fixture.admin_key), USHER_OK);
        usher_handshake_digest(USHER_HANDSHAKE_CLIENT, &wire.hello, &wire.challenge, digest);
        crypto_sign_detached(request.signature.bytes, NULL, digest, sizeof digest, fixture.admin_key);
        request.signature.bytes[i] ^= 0x10;
        assert_int_equal(wire_ask(&wire, USHER_OPCODE_AUTHENTICATE, &request, NULL), USHER_SIGNATURE_WRONG);
        assert_true(wire_is_closed(&wire));
        wire_close(&wire);
    }
    finish(&fixture);
}

/* What one connection proved, somebody who recorded it can't say again on another. */
static void
a_recorded_handshake_is_worth_nothing_on_another_connection(void **state)
{
    struct fixture fixture;
    struct wire thief;
    usher_authenticate_request recorded;
    usher_hello_reply other;
    uint8_t digest[32];
    (void)state;

    start(&fixture, NULL);
    assert_int_equal(wire_hello(&fixture.wire, fixture.admin_key), USHER_OK);
    usher_handshake_digest(USHER_HANDSHAKE_CLIENT, &fixture.wire.hello, &fixture.wire.challenge, digest);
    crypto_sign_detached(recorded.signature.bytes, NULL, digest, sizeof digest, fixture.admin_key);
    assert_int_equal(wire_ask(&fixture.wire, USHER_OPCODE_AUTHENTICATE, &recorded, NULL), USHER_OK);

    assert_true(wire_open(&thief, fixture.server.port));
    assert_int_equal(wire_ask(&thief, USHER_OPCODE_HELLO, &fixture.wire.hello, &other), USHER_OK);
    assert_memory_not_equal(other.server_nonce.bytes, fixture.wire.challenge.server_nonce.bytes, 32);
    assert_int_equal(wire_ask(&thief, USHER_OPCODE_AUTHENTICATE, &recorded, NULL), USHER_SIGNATURE_WRONG);
    assert_true(wire_is_closed(&thief));
    wire_close(&thief);
    assert_lives(&fixture.wire);
    finish(&fixture);
}

/* A signature for the one half of the handshake is none for the other. */
static void
a_signature_meant_for_enrolment_does_not_authenticate(void **state)
{
    struct fixture fixture;
    usher_authenticate_request request;
    uint8_t digest[32];
    (void)state;

    start(&fixture, NULL);
    assert_int_equal(wire_hello(&fixture.wire, fixture.admin_key), USHER_OK);
    usher_handshake_digest(USHER_HANDSHAKE_ENROL, &fixture.wire.hello, &fixture.wire.challenge, digest);
    crypto_sign_detached(request.signature.bytes, NULL, digest, sizeof digest, fixture.admin_key);
    assert_int_equal(wire_ask(&fixture.wire, USHER_OPCODE_AUTHENTICATE, &request, NULL), USHER_SIGNATURE_WRONG);
    finish(&fixture);
}

/* A sound proof of a key that nobody enrolled. */
static void
a_key_that_nobody_enrolled_is_refused_and_ends_the_connection(void **state)
{
    struct fixture fixture;
    uint8_t public_key[32], stranger[64];
    (void)state;

    start(&fixture, NULL);
    crypto_sign_keypair(public_key, stranger);
    assert_int_equal(wire_hello(&fixture.wire, stranger), USHER_OK);
    assert_int_equal(wire_authenticate(&fixture.wire, stranger, NULL), USHER_CLIENT_UNKNOWN);
    assert_true(wire_is_closed(&fixture.wire));
    finish(&fixture);
}

/* Replies may be as large as a frame: who can't read them learns it at once, and may say hello again. */
static void
a_hello_that_reads_only_small_frames_is_refused(void **state)
{
    struct fixture fixture;
    usher_hello_request hello = {.frame_max = USHER_FRAME_MAX - 1};
    (void)state;

    start(&fixture, NULL);
    assert_int_equal(wire_ask(&fixture.wire, USHER_OPCODE_HELLO, &hello, NULL), USHER_FIELD_INVALID);
    assert_int_equal(fixture.wire.refusal.detail, 4);
    login(&fixture);
    finish(&fixture);
}

/* --- enrolment and revocation --------------------------------------------------------------------------------- */
static uint32_t
invite(struct wire *admin, uint8_t role, uint8_t code[32])
{
    usher_invite_request request = {.request_id = wire_id(), .role = role, .name = "newcomer"};
    usher_invite_reply reply;

    randombytes_buf(code, 32);
    crypto_generichash(request.code_hash.bytes, 32, code, 32, NULL, 0);
    assert_int_equal(wire_ask(admin, USHER_OPCODE_INVITE, &request, &reply), USHER_OK);
    return reply.client_id;
}

/* Invite, enrol, and leave the newcomer's connection open. */
static uint32_t
enrol(struct fixture *fixture, uint8_t role, struct wire *wire, uint8_t key[64])
{
    uint8_t code[32], public_key[32];
    usher_enrol_reply reply;
    uint32_t client_id = invite(&fixture->wire, role, code);

    crypto_sign_keypair(public_key, key);
    assert_true(wire_open(wire, fixture->server.port));
    assert_int_equal(wire_hello(wire, key), USHER_OK);
    assert_int_equal(wire_enrol(wire, key, code, &reply), USHER_OK);
    assert_int_equal(reply.client_id, client_id);
    assert_int_equal(reply.role, role);
    assert_string_equal(reply.name, "newcomer");
    return client_id;
}

/* A one-time code makes a client; the connection is authenticated with it, and the key is good from then on. */
static void
an_enrolled_client_is_authenticated_and_may_come_back(void **state)
{
    const usher_concerts_request concerts = {0};
    struct fixture fixture;
    struct wire newcomer;
    uint8_t key[64];
    (void)state;

    start(&fixture, NULL);
    login(&fixture);
    uint32_t client_id = enrol(&fixture, USHER_ROLE_GATEWAY, &newcomer, key);
    assert_int_equal(wire_ask(&newcomer, USHER_OPCODE_CONCERTS, &concerts, NULL), USHER_OK);
    wire_close(&newcomer);
    usher_authenticate_reply reply;
    assert_true(wire_open(&newcomer, fixture.server.port));
    assert_int_equal(wire_hello(&newcomer, key), USHER_OK);
    assert_int_equal(wire_authenticate(&newcomer, key, &reply), USHER_OK);
    assert_int_equal(reply.client_id, client_id);
    wire_close(&newcomer);
    finish(&fixture);
}

/* A code is for one client: with another key it is unknown, and that ends the connection. */
static void
a_code_that_was_used_enrols_nobody_else(void **state)
{
    struct fixture fixture;
    struct wire first, second;
    uint8_t code[32], public_key[32], key[64], other[64];
    (void)state;

    start(&fixture, NULL);
    login(&fixture);
    invite(&fixture.wire, USHER_ROLE_GATEWAY, code);
    crypto_sign_keypair(public_key, key);
    crypto_sign_keypair(public_key, other);
    assert_true(wire_open(&first, fixture.server.port));
    assert_int_equal(wire_hello(&first, key), USHER_OK);
    assert_int_equal(wire_enrol(&first, key, code, NULL), USHER_OK);
    assert_true(wire_open(&second, fixture.server.port));
    assert_int_equal(wire_hello(&second, other), USHER_OK);
    assert_int_equal(wire_enrol(&second, other, code, NULL), USHER_CODE_UNKNOWN);
    assert_true(wire_is_closed(&second));
    wire_close(&first);
    wire_close(&second);
    finish(&fixture);
}

/* The key that is enrolled is the one that was proved, not one that somebody else named. */
static void
an_enrolment_for_another_key_than_the_hellos_is_refused(void **state)
{
    struct fixture fixture;
    struct wire wire;
    uint8_t code[32], public_key[32], key[64];
    usher_enrol_request request = {.request_id = wire_id()};
    (void)state;

    start(&fixture, NULL);
    login(&fixture);
    invite(&fixture.wire, USHER_ROLE_GATEWAY, code);
    crypto_sign_keypair(public_key, key);
    assert_true(wire_open(&wire, fixture.server.port));
    assert_int_equal(wire_hello(&wire, key), USHER_OK);
    memcpy(request.code.bytes, code, 32);
    memcpy(request.client_key.bytes, fixture.admin_key + 32, 32);
    assert_int_equal(wire_ask(&wire, USHER_OPCODE_ENROL, &request, NULL), USHER_FIELD_INVALID);
    assert_int_equal(wire.refusal.detail, 3);
    memcpy(request.client_key.bytes, public_key, 32);
    assert_int_equal(wire_ask(&wire, USHER_OPCODE_ENROL, &request, NULL), USHER_SIGNATURE_WRONG);
    assert_true(wire_is_closed(&wire));
    wire_close(&wire);
    finish(&fixture);
}

/* T2: a role may do what its row says and nothing else. */
static void
each_role_may_send_what_its_row_allows_and_nothing_else(void **state)
{
    static const uint8_t roles[] = {USHER_ROLE_GATEWAY, USHER_ROLE_TERMINAL, USHER_ROLE_OBSERVER};
    struct fixture fixture;
    size_t count;
    const usher_message *messages = usher_messages(&count);
    (void)state;

    start(&fixture, NULL);
    login(&fixture);
    for (size_t r = 0; r < sizeof roles; r++) {
        struct wire wire;
        uint8_t key[64];
        enrol(&fixture, roles[r], &wire, key);
        for (size_t i = 0; i < count; i++) {
            bool for_nobody = messages[i].roles & USHER_ROLE_BIT(USHER_ROLE_NONE);
            if (messages[i].kind == USHER_MESSAGE_INTERNAL || for_nobody)
                continue;
            unsigned result = ask_blank(&wire, &messages[i]);
            if (messages[i].roles & USHER_ROLE_BIT(roles[r]))
                assert_int_not_equal(result, USHER_ROLE_REFUSED);
            else
                assert_int_equal(result, USHER_ROLE_REFUSED);
        }
        wire_close(&wire);
    }
    finish(&fixture);
}

/* Revocation is felt at once by connections that are open, not only by the next one. */
static void
a_revoked_client_loses_its_connections_and_gets_no_other(void **state)
{
    struct fixture fixture;
    struct wire wire;
    uint8_t key[64];
    (void)state;

    start(&fixture, NULL);
    login(&fixture);
    usher_revoke_request request = {.request_id = wire_id()};
    request.client_id = enrol(&fixture, USHER_ROLE_GATEWAY, &wire, key);
    assert_lives(&wire);
    assert_int_equal(wire_ask(&fixture.wire, USHER_OPCODE_REVOKE, &request, NULL), USHER_OK);
    assert_true(wire_is_closed(&wire));
    wire_close(&wire);
    assert_true(wire_open(&wire, fixture.server.port));
    assert_int_equal(wire_hello(&wire, key), USHER_OK);
    assert_int_equal(wire_authenticate(&wire, key, NULL), USHER_CLIENT_REVOKED);
    assert_true(wire_is_closed(&wire));
    wire_close(&wire);
    assert_lives(&fixture.wire);
    finish(&fixture);
}

/* X3: an enrolment whose reply was lost is found by doing it again: same code, same key, same client. */
static void
an_enrolment_that_is_repeated_finds_the_client_that_it_made(void **state)
{
    struct fixture fixture;
    struct wire first, again;
    uint8_t code[32], public_key[32], key[64];
    usher_enrol_reply reply, same;
    (void)state;

    start(&fixture, NULL);
    login(&fixture);
    invite(&fixture.wire, USHER_ROLE_GATEWAY, code);
    crypto_sign_keypair(public_key, key);
    assert_true(wire_open(&first, fixture.server.port));
    assert_int_equal(wire_hello(&first, key), USHER_OK);
    assert_int_equal(wire_enrol(&first, key, code, &reply), USHER_OK);
    assert_true(wire_open(&again, fixture.server.port));
    assert_int_equal(wire_hello(&again, key), USHER_OK);
    assert_int_equal(wire_enrol(&again, key, code, &same), USHER_OK);
    assert_int_equal(same.client_id, reply.client_id);
    wire_close(&first);
    wire_close(&again);
    finish(&fixture);
}

/* Who revokes itself gets its answer before its connections end. */
static void
a_client_that_revokes_itself_gets_its_answer_first(void **state)
{
    struct fixture fixture;
    struct wire second;
    uint8_t key[64];
    (void)state;

    start(&fixture, NULL);
    login(&fixture);
    usher_revoke_request request = {.request_id = wire_id()};
    request.client_id = enrol(&fixture, USHER_ROLE_ADMIN, &second, key);
    assert_int_equal(wire_ask(&second, USHER_OPCODE_REVOKE, &request, NULL), USHER_OK);
    assert_true(wire_is_closed(&second));
    wire_close(&second);
    assert_lives(&fixture.wire);
    finish(&fixture);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_but_a_ping_is_answered_before_the_hello),
        cmocka_unit_test(nothing_but_the_proof_is_answered_after_the_hello),
        cmocka_unit_test(a_second_hello_or_proof_is_refused),
        cmocka_unit_test(the_admin_key_of_a_fresh_data_directory_authenticates_as_admin),
        cmocka_unit_test(the_hello_is_signed_with_the_key_of_the_service),
        cmocka_unit_test(a_wrong_signature_is_refused_and_ends_the_connection),
        cmocka_unit_test(a_recorded_handshake_is_worth_nothing_on_another_connection),
        cmocka_unit_test(a_signature_meant_for_enrolment_does_not_authenticate),
        cmocka_unit_test(a_key_that_nobody_enrolled_is_refused_and_ends_the_connection),
        cmocka_unit_test(a_hello_that_reads_only_small_frames_is_refused),
        cmocka_unit_test(an_enrolled_client_is_authenticated_and_may_come_back),
        cmocka_unit_test(a_code_that_was_used_enrols_nobody_else),
        cmocka_unit_test(an_enrolment_for_another_key_than_the_hellos_is_refused),
        cmocka_unit_test(each_role_may_send_what_its_row_allows_and_nothing_else),
        cmocka_unit_test(a_revoked_client_loses_its_connections_and_gets_no_other),
        cmocka_unit_test(an_enrolment_that_is_repeated_finds_the_client_that_it_made),
        cmocka_unit_test(a_client_that_revokes_itself_gets_its_answer_first),
    };
    return usher_test_main(argc, argv, tests);
}
