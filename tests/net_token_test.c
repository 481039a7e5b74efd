/* net_token_test.c: queue tokens and receipts through a live server: their proofs, and every way in which they are bad.
 */
#include "tests/test.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "protocol/token.h"
#include "tests/server.h"
#include "tests/wire.h"

#define TOKEN_MOST sizeof(((usher_join_reply *)NULL)->token)

struct fixture {
    struct test_server server;
    struct wire admin, gateway;
    uint8_t service_key[64];
};

/* --- the house --------------------------------------------------------------------------------------------------- */
static void
enrol_gateway(struct fixture *fixture, uint8_t role, struct wire *wire)
{
    usher_invite_request invite = {.request_id = wire_id(), .role = role, .name = "front"};
    uint8_t code[32], public_key[32], key[64];

    randombytes_buf(code, sizeof code);
    crypto_generichash(invite.code_hash.bytes, 32, code, 32, NULL, 0);
    assert_int_equal(wire_ask(&fixture->admin, USHER_OPCODE_INVITE, &invite, NULL), USHER_OK);
    crypto_sign_keypair(public_key, key);
    assert_true(wire_open(wire, fixture->server.port));
    assert_int_equal(wire_hello(wire, key), USHER_OK);
    assert_int_equal(wire_enrol(wire, key, code, NULL), USHER_OK);
}

#define start(fixture, ...)                                                                                            \
    do {                                                                                                               \
        test_server_open(&(fixture)->server);                                                                          \
        test_server_start(&(fixture)->server, __VA_ARGS__);                                                            \
        assert_true(wire_open(&(fixture)->admin, (fixture)->server.port));                                             \
        assert_int_equal(wire_login(&(fixture)->admin, (fixture)->server.admin_key), USHER_OK);                        \
        assert_true(wire_read_key((fixture)->server.service_key, (fixture)->service_key));                             \
        enrol_gateway(fixture, USHER_ROLE_GATEWAY, &(fixture)->gateway);                                               \
    } while (0)

static void
finish(struct fixture *fixture)
{
    wire_close(&fixture->admin);
    wire_close(&fixture->gateway);
    test_server_close(&fixture->server);
}

/* One concert with one date of 50 seats at 100 points. */
static void
load_house(struct fixture *fixture)
{
    const usher_put_plan_request plan = {
        .request_id = wire_id(),
        .plan_id = 1,
        .section_count = 1,
        .section = {{.name = "hall", .first_row = 1, .row_count = 5, .seats_per_row = 10}}};
    const usher_put_concert_request concert = {
        .request_id = wire_id(), .concert_id = 1, .title = "First", .venue = "Hall"};
    usher_put_date_request date = {.request_id = wire_id(), .concert_id = 1, .date_id = 1, .plan_id = 1};

    date.starts_at_ms = fixture->admin.stamp_ms + 86400000;
    date.price_count = 1;
    date.price[0] = 100;
    assert_int_equal(wire_ask(&fixture->admin, USHER_OPCODE_PUT_PLAN, &plan, NULL), USHER_OK);
    assert_int_equal(wire_ask(&fixture->admin, USHER_OPCODE_PUT_CONCERT, &concert, NULL), USHER_OK);
    assert_int_equal(wire_ask(&fixture->admin, USHER_OPCODE_PUT_DATE, &date, NULL), USHER_OK);
}

static void
join(struct wire *wire, uint64_t user, usher_join_reply *reply)
{
    const usher_join_request request = {.request_id = wire_id(), .user = wire_user(user)};

    assert_int_equal(wire_ask(wire, USHER_OPCODE_JOIN, &request, reply), USHER_OK);
}

/* Ask for the place with these bytes as the token. */
static unsigned
place(struct wire *wire, const uint8_t *token, size_t size)
{
    usher_place_request request = {.token_count = (uint16_t)size};

    assert_true(size <= sizeof request.token);
    memcpy(request.token, token, size);
    return wire_ask(wire, USHER_OPCODE_PLACE, &request, NULL);
}

/* Join several users in one write, so that their tokens share a tree. */
static void
join_together(struct wire *wire, uint64_t first_user, uint32_t count, usher_join_reply *replies)
{
    uint8_t *bytes = malloc((size_t)count * 128);
    struct wire_frame frame;
    unsigned field_no;
    size_t size = 0;

    assert_non_null(bytes);
    for (uint32_t i = 0; i < count; i++) {
        const usher_join_request request = {.request_id = wire_id(), .user = wire_user(first_user + i)};
        size += wire_build(bytes + size, USHER_OPCODE_JOIN, i, 0, &request);
    }
    assert_true(wire_send_bytes(wire, bytes, size));
    free(bytes);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(wire_receive(wire, &frame));
        assert_int_equal(frame.result, USHER_OK);
        assert_true(frame.request_no < count);
        usher_join_reply *reply = &replies[frame.request_no];
        memset(reply, 0, sizeof *reply);
        assert_int_equal(
            usher_decode(usher_message_of(USHER_OPCODE_JOIN)->reply, frame.body, frame.body_size, reply, &field_no),
            USHER_OK);
    }
}

/* --- proofs ---------------------------------------------------------------------------------------------------------
 */
/* Check a document as anybody with the public key can, and give its proof back. */
static void
assert_proved(const struct fixture *fixture, const uint8_t *document, size_t size, unsigned kind, usher_proof *proof)
{
    uint8_t leaf[32], root[32];
    size_t body_size;

    assert_true(usher_document_split(document, size, kind, &body_size, proof));
    usher_leaf(document, body_size, leaf);
    usher_proof_root(leaf, proof, root);
    assert_true(usher_root_verify(fixture->service_key + 32, usher_document_key_id(document), proof->leaf_count, root,
                                  proof->signature));
}

/* T1: the token carries the user's UUID and its place, and anybody with the public key can check it. */
static void
a_token_names_its_user_and_place_and_is_signed_by_the_service(void **state)
{
    const usher_uuid user = wire_user(7);
    struct fixture fixture;
    usher_join_reply reply;
    usher_token_body body;
    usher_proof proof;
    (void)state;

    start(&fixture, NULL);
    join(&fixture.gateway, 7, &reply);
    assert_proved(&fixture, reply.token, reply.token_count, USHER_DOCUMENT_TOKEN, &proof);
    assert_int_equal(proof.leaf_count, 1); /* a lone join has an empty path */
    assert_int_equal(proof.path_count, 0);
    assert_true(usher_token_body_decode(reply.token, USHER_TOKEN_BODY_SIZE, &body));
    assert_memory_equal(&body.user, &user, sizeof user);
    assert_int_equal(body.position, reply.position);
    assert_int_equal(body.queue_id, 0);
    assert_int_equal(body.key_id, 1);
    assert_int_equal(place(&fixture.gateway, reply.token, reply.token_count), USHER_OK);
    finish(&fixture);
}

/* The tokens of one turn are the leaves of one tree: one signature for all, and each stands alone. */
static void
tokens_of_one_turn_share_one_signature_and_each_stands_alone(void **state)
{
    enum { COUNT = 100 };
    static usher_join_reply replies[COUNT];
    struct fixture fixture;
    usher_proof first, proof;
    bool seen[COUNT] = {false};
    (void)state;

    start(&fixture, NULL);
    join_together(&fixture.gateway, 1, COUNT, replies);
    assert_proved(&fixture, replies[0].token, replies[0].token_count, USHER_DOCUMENT_TOKEN, &first);
    assert_int_equal(first.leaf_count, COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_proved(&fixture, replies[i].token, replies[i].token_count, USHER_DOCUMENT_TOKEN, &proof);
        assert_int_equal(proof.leaf_count, COUNT);
        assert_memory_equal(proof.signature, first.signature, sizeof first.signature);
        assert_false(seen[proof.leaf_index]);
        seen[proof.leaf_index] = true;
        assert_int_equal(place(&fixture.gateway, replies[i].token, replies[i].token_count), USHER_OK);
    }
    finish(&fixture);
}

/* Q2: joining again gives the same body, perhaps under a new proof; both tokens are good. */
static void
a_repeated_join_gives_the_same_token_body(void **state)
{
    struct fixture fixture;
    usher_join_reply first, again;
    (void)state;

    start(&fixture, NULL);
    join(&fixture.gateway, 5, &first);
    join(&fixture.gateway, 5, &again);
    assert_memory_equal(again.token, first.token, USHER_TOKEN_BODY_SIZE);
    assert_int_equal(place(&fixture.gateway, first.token, first.token_count), USHER_OK);
    assert_int_equal(place(&fixture.gateway, again.token, again.token_count), USHER_OK);
    finish(&fixture);
}

/* X3: a token outlives the server's restart: its proof is checked anew, for the roots are remembered in memory alone.
 */
static void
a_token_is_good_after_a_restart(void **state)
{
    struct fixture fixture;
    usher_join_reply reply;
    struct wire wire;
    (void)state;

    start(&fixture, NULL);
    join(&fixture.gateway, 5, &reply);
    assert_int_equal(test_server_stop(&fixture.server, 9), -9);
    test_server_start(&fixture.server, NULL);
    assert_true(wire_open(&wire, fixture.server.port));
    assert_int_equal(wire_login(&wire, fixture.server.admin_key), USHER_OK);
    assert_int_equal(place(&wire, reply.token, reply.token_count), USHER_OK);
    wire_close(&wire);
    finish(&fixture);
}

/* --- bad tokens (Q12) ------------------------------------------------------------------------------------------------
 */
static bool
is_a_proof_refusal(unsigned result)
{
    return result == USHER_TOKEN_MALFORMED || result == USHER_TOKEN_UNKNOWN_KEY || result == USHER_TOKEN_FORGED;
}

/* Every byte changed in turn, in its lowest and its highest bit. */
static void
assert_no_flip_passes(struct wire *wire, const usher_join_reply *reply)
{
    uint8_t token[TOKEN_MOST];

    for (size_t i = 0; i < reply->token_count; i++) {
        for (unsigned bit = 0x01; bit <= 0x80; bit *= 0x80) {
            memcpy(token, reply->token, reply->token_count);
            token[i] ^= (uint8_t)bit;
            unsigned result = place(wire, token, reply->token_count);
            assert_true(is_a_proof_refusal(result));
            if (i < 2) /* version and kind */
                assert_int_equal(result, USHER_TOKEN_MALFORMED);
            else if (i < 4) /* key id */
                assert_int_equal(result, USHER_TOKEN_UNKNOWN_KEY);
            else if (i < USHER_TOKEN_BODY_SIZE)
                assert_int_equal(result, USHER_TOKEN_FORGED);
        }
    }
    assert_int_equal(place(wire, reply->token, reply->token_count), USHER_OK);
}

/* Q12: body, path and signature: no byte of a token can be changed. */
static void
a_token_with_any_byte_changed_is_refused(void **state)
{
    static usher_join_reply replies[5];
    struct fixture fixture;
    usher_join_reply lone;
    (void)state;

    start(&fixture, "--verify-max", "1000000", NULL);
    join(&fixture.gateway, 1, &lone);
    assert_no_flip_passes(&fixture.gateway, &lone);
    join_together(&fixture.gateway, 10, 5, replies); /* with a path of up to three hashes */
    assert_true(replies[0].token_count > lone.token_count);
    assert_no_flip_passes(&fixture.gateway, &replies[0]);
    assert_no_flip_passes(&fixture.gateway, &replies[4]);
    assert_no_flip_passes(&fixture.gateway, &replies[4]); /* that the sound one is known by now helps no other */
    finish(&fixture);
}

/* Q12: a token of any other length has not the form of one. */
static void
a_token_that_was_cut_or_continued_is_malformed(void **state)
{
    uint8_t token[TOKEN_MOST] = {0};
    struct fixture fixture;
    usher_join_reply reply;
    (void)state;

    start(&fixture, NULL);
    join(&fixture.gateway, 1, &reply);
    memcpy(token, reply.token, reply.token_count);
    for (size_t size = 1; size < sizeof token; size++) {
        if (size != reply.token_count)
            assert_int_equal(place(&fixture.gateway, token, size), USHER_TOKEN_MALFORMED);
    }
    finish(&fixture);
}

/* Make a token as the service would, with this key pair and key id. */
static size_t
mint(const uint8_t secret_key[64], uint16_t key_id, const usher_token_body *body, uint8_t *token)
{
    usher_token_body named = *body;
    usher_proof proof = {.leaf_count = 1};
    uint8_t encoded[USHER_TOKEN_BODY_SIZE], leaf[32];

    named.key_id = key_id;
    usher_token_body_encode(&named, encoded);
    usher_leaf(encoded, sizeof encoded, leaf);
    usher_root_sign(secret_key, key_id, 1, leaf, proof.signature);
    return usher_document_join(encoded, sizeof encoded, &proof, token, TOKEN_MOST);
}

/* Q12: only the service's own key mints; a sound token of another service is forged here, one that names another key of
 * ours is of an unknown key. */
static void
a_token_minted_by_somebody_else_is_refused(void **state)
{
    struct fixture fixture;
    usher_join_reply reply;
    usher_token_body body;
    uint8_t public_key[32], stranger[64], token[TOKEN_MOST];
    (void)state;

    start(&fixture, NULL);
    join(&fixture.gateway, 1, &reply);
    assert_true(usher_token_body_decode(reply.token, USHER_TOKEN_BODY_SIZE, &body));
    size_t size = mint(fixture.service_key, 1, &body, token);
    assert_int_equal(place(&fixture.gateway, token, size), USHER_OK); /* mint() makes what the service would */
    crypto_sign_keypair(public_key, stranger);
    size = mint(stranger, 1, &body, token);
    assert_int_equal(place(&fixture.gateway, token, size), USHER_TOKEN_FORGED);
    size = mint(fixture.service_key, 2, &body, token);
    assert_int_equal(place(&fixture.gateway, token, size), USHER_TOKEN_UNKNOWN_KEY);
    finish(&fixture);
}

/* Q12: the store's word stands above the token's: a place that is nobody's is over, however well it is signed. */
static void
a_well_signed_token_for_a_place_that_is_not_there_is_expired(void **state)
{
    struct fixture fixture;
    usher_join_reply reply;
    usher_token_body body;
    uint8_t token[TOKEN_MOST];
    usher_balance_request balance = {0};
    (void)state;

    start(&fixture, NULL);
    join(&fixture.gateway, 1, &reply);
    assert_true(usher_token_body_decode(reply.token, USHER_TOKEN_BODY_SIZE, &body));
    body.position += 1000;
    balance.token_count = (uint16_t)mint(fixture.service_key, 1, &body, token);
    memcpy(balance.token, token, balance.token_count);
    assert_int_equal(wire_ask(&fixture.gateway, USHER_OPCODE_BALANCE, &balance, NULL), USHER_TOKEN_EXPIRED);
    finish(&fixture);
}

/* T2, Q13: a gateway needs a token; who may leave it out must name a user; a user beside a token must be its own. */
static void
a_token_and_the_user_beside_it_must_fit(void **state)
{
    usher_balance_request balance = {0};
    struct fixture fixture;
    usher_join_reply reply;
    struct wire terminal;
    (void)state;

    start(&fixture, NULL);
    enrol_gateway(&fixture, USHER_ROLE_TERMINAL, &terminal);
    join(&fixture.gateway, 1, &reply);
    balance.user = wire_user(1);
    assert_int_equal(wire_ask(&fixture.gateway, USHER_OPCODE_BALANCE, &balance, NULL), USHER_TOKEN_MISSING);
    assert_int_equal(wire_ask(&terminal, USHER_OPCODE_BALANCE, &balance, NULL), USHER_OK);
    memset(&balance.user, 0, sizeof balance.user);
    assert_int_equal(wire_ask(&terminal, USHER_OPCODE_BALANCE, &balance, NULL), USHER_USER_MISSING);
    balance.token_count = reply.token_count;
    memcpy(balance.token, reply.token, reply.token_count);
    assert_int_equal(wire_ask(&fixture.gateway, USHER_OPCODE_BALANCE, &balance, NULL), USHER_OK);
    balance.user = wire_user(1);
    assert_int_equal(wire_ask(&fixture.gateway, USHER_OPCODE_BALANCE, &balance, NULL), USHER_OK);
    balance.user = wire_user(2);
    assert_int_equal(wire_ask(&fixture.gateway, USHER_OPCODE_BALANCE, &balance, NULL), USHER_TOKEN_OTHER_USER);
    assert_int_equal(wire_ask(&terminal, USHER_OPCODE_BALANCE, &balance, NULL), USHER_TOKEN_OTHER_USER);
    wire_close(&terminal);
    finish(&fixture);
}

/* Q12: what comes in one write is judged one by one: a changed token falls, with its command and without the others, and
 * falls as forged although the user beside it is another one. */
static void
a_forged_token_among_good_ones_falls_alone(void **state)
{
    enum { SOUND, FORGED, SOUND_CHARGE, FORGED_CHARGE, FORGED_OTHER, AGAIN, COUNT };
    static const unsigned expected[COUNT] = {USHER_OK,           USHER_TOKEN_FORGED, USHER_OK,
                                             USHER_TOKEN_FORGED, USHER_TOKEN_FORGED, USHER_OK};
    static uint8_t bytes[COUNT * 1024];
    unsigned result[COUNT] = {0};
    usher_balance_reply balance;
    struct wire_frame frame;
    struct fixture fixture;
    usher_join_reply reply;
    struct wire terminal;
    size_t size = 0;
    (void)state;

    start(&fixture, NULL);
    enrol_gateway(&fixture, USHER_ROLE_TERMINAL, &terminal);
    join(&fixture.gateway, 1, &reply);
    for (uint32_t i = 0; i < COUNT; i++) {
        bool forged = expected[i] == USHER_TOKEN_FORGED;
        usher_balance_request read = {.token_count = reply.token_count};
        usher_charge_request charge = {.request_id = wire_id(), .token_count = reply.token_count, .amount = 5};
        memcpy(read.token, reply.token, reply.token_count);
        read.token[reply.token_count - 1] ^= forged;
        memcpy(charge.token, read.token, reply.token_count);
        if (i == FORGED_OTHER)
            read.user = wire_user(2);
        size += i == SOUND_CHARGE || i == FORGED_CHARGE
                    ? wire_build(bytes + size, USHER_OPCODE_CHARGE, 100 + i, 0, &charge)
                    : wire_build(bytes + size, USHER_OPCODE_BALANCE, 100 + i, 0, &read);
    }
    assert_true(wire_send_bytes(&terminal, bytes, size));
    for (unsigned i = 0; i < COUNT; i++) {
        assert_true(wire_receive(&terminal, &frame));
        assert_in_range(frame.request_no, 100, 100 + COUNT - 1);
        result[frame.request_no - 100] = frame.result;
    }
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(result[i], expected[i]);
    const usher_balance_request look = {.user = wire_user(1)};
    assert_int_equal(wire_ask(&terminal, USHER_OPCODE_BALANCE, &look, &balance), USHER_OK);
    assert_int_equal(balance.balance, 5);
    wire_close(&terminal);
    finish(&fixture);
}

/* Checks of unknown roots are rate-limited per connection: made-up tokens cannot take the server's time. Tokens of
 * known roots and other connections do not feel it. */
static void
tokens_of_unknown_roots_are_checked_only_so_often(void **state)
{
    struct fixture fixture;
    usher_join_reply reply;
    usher_token_body body;
    uint8_t public_key[32], stranger[64], token[TOKEN_MOST];
    unsigned forged = 0, busy = 0;
    (void)state;

    start(&fixture, "--verify-max", "3", NULL);
    join(&fixture.gateway, 1, &reply);
    assert_true(usher_token_body_decode(reply.token, USHER_TOKEN_BODY_SIZE, &body));
    crypto_sign_keypair(public_key, stranger);
    for (uint64_t i = 0; i < 4; i++) {
        body.position = 100 + i;
        size_t size = mint(stranger, 1, &body, token);
        unsigned result = place(&fixture.gateway, token, size);
        forged += result == USHER_TOKEN_FORGED;
        busy += result == USHER_BUSY;
        if (result == USHER_BUSY)
            assert_in_range(fixture.gateway.refusal.retry_after_ms, 1, 1000);
    }
    assert_int_equal(forged, 3);
    assert_int_equal(busy, 1);
    assert_int_equal(place(&fixture.gateway, reply.token, reply.token_count), USHER_OK);
    size_t size = mint(stranger, 1, &body, token);
    assert_int_equal(place(&fixture.admin, token, size), USHER_TOKEN_FORGED);
    finish(&fixture);
}

/* Hundreds of tokens with a root each, shown by connections that may have few of them checked: afterwards one such
 * connection may show them all, for the server remembers what it has checked while its tables grow. */
static void
many_tokens_that_were_shown_before_are_known_again(void **state)
{
    enum { CONNECTIONS = 8, EACH = 50 };
    static uint8_t token[CONNECTIONS * EACH][TOKEN_MOST];
    struct fixture fixture;
    struct wire wire;
    usher_join_reply reply;
    usher_token_body body;
    size_t size = 0;
    (void)state;

    start(&fixture, "--verify-max", "50", NULL);
    join(&fixture.gateway, 1, &reply);
    assert_true(usher_token_body_decode(reply.token, USHER_TOKEN_BODY_SIZE, &body));
    for (unsigned i = 0; i < CONNECTIONS * EACH; i++) {
        body.position = 100 + i;
        size = mint(fixture.service_key, 1, &body, token[i]);
    }
    for (unsigned first = 0; first <= CONNECTIONS * EACH; first += EACH) {
        bool all = first == CONNECTIONS * EACH; /* the last connection */
        assert_true(wire_open(&wire, fixture.server.port));
        assert_int_equal(wire_login(&wire, fixture.server.admin_key), USHER_OK);
        for (unsigned i = all ? 0 : first; i < (all ? first : first + EACH); i++)
            assert_int_equal(place(&wire, token[i], size), USHER_TOKEN_EXPIRED); /* judged: nobody has that place */
        wire_close(&wire);
    }
    finish(&fixture);
}

/* Each of these tokens has a root of its own, and the server keeps only a few roots, of which it checks one a second: it
 * knows what it has issued by itself. One in a hundred may have had to make room for another. */
static void
a_token_that_was_issued_needs_no_check_when_it_is_shown(void **state)
{
    enum { ISSUED = 200 };
    static usher_join_reply reply[ISSUED];
    struct fixture fixture;
    unsigned known = 0;
    (void)state;

    start(&fixture, "--verify-max", "1", "--roots-max", "64", NULL);
    for (unsigned i = 0; i < ISSUED; i++)
        join(&fixture.gateway, 1 + i, &reply[i]);
    for (unsigned i = 0; i < ISSUED; i++)
        known += place(&fixture.gateway, reply[i].token, reply[i].token_count) == USHER_OK;
    assert_in_range(known, ISSUED * 9 / 10, ISSUED);
    finish(&fixture);
}

/* A stampede of people who join does not drive out those whose tokens are shown again and again. */
static void
tokens_that_are_shown_outlive_many_that_are_issued(void **state)
{
    enum { SHOWN = 20, ISSUED = 300 };
    static usher_join_reply reply[SHOWN];
    usher_join_reply other;
    struct fixture fixture;
    unsigned known = 0;
    (void)state;

    start(&fixture, "--verify-max", "1", "--roots-max", "64", "--tokens-max", "64", NULL);
    for (unsigned i = 0; i < SHOWN; i++) {
        join(&fixture.gateway, 1 + i, &reply[i]);
        assert_int_equal(place(&fixture.gateway, reply[i].token, reply[i].token_count), USHER_OK);
    }
    for (unsigned i = 0; i < ISSUED; i++)
        join(&fixture.gateway, 1000 + i, &other);
    for (unsigned i = 0; i < SHOWN; i++)
        known += place(&fixture.gateway, reply[i].token, reply[i].token_count) == USHER_OK;
    assert_in_range(known, SHOWN * 8 / 10, SHOWN);
    finish(&fixture);
}

/* --- receipts
 * --------------------------------------------------------------------------------------------------------- */
struct purchase {
    usher_join_reply join;
    usher_pay_request pay;
    usher_pay_reply paid;
};

/* The whole way: join, dates, seats, reserve, charge, pay, each with the token alone. */
static void
buy(struct fixture *fixture, uint64_t user, uint32_t seat_no, struct purchase *purchase)
{
    struct wire *wire = &fixture->gateway;
    usher_dates_request dates = {.concert_id = 1};
    usher_dates_reply dates_reply;
    usher_seats_request seats = {.concert_id = 1, .date_id = 1};
    usher_seats_reply seats_reply;
    usher_reserve_request reserve = {
        .request_id = wire_id(), .concert_id = 1, .date_id = 1, .seat_count = 1, .seat = {seat_no}};
    usher_reserve_reply reserve_reply;
    usher_charge_request charge = {.request_id = wire_id(), .amount = 150};
    usher_charge_reply charge_reply;

    memset(purchase, 0, sizeof *purchase);
    join(wire, user, &purchase->join);
    assert_int_equal(purchase->join.state, USHER_PLACE_ACTIVE);
    uint16_t size = purchase->join.token_count;
    const uint8_t *token = purchase->join.token;
#define CARRY(request) ((request).token_count = size, memcpy((request).token, token, size))
    CARRY(dates);
    CARRY(seats);
    CARRY(reserve);
    CARRY(charge);
    CARRY(purchase->pay);
    assert_int_equal(wire_ask(wire, USHER_OPCODE_DATES, &dates, &dates_reply), USHER_OK);
    assert_int_equal(dates_reply.date_count, 1);
    assert_int_equal(wire_ask(wire, USHER_OPCODE_SEATS, &seats, &seats_reply), USHER_OK);
    assert_true(seats_reply.free_block[0] >> (seat_no - 1) & 1);
    assert_int_equal(wire_ask(wire, USHER_OPCODE_RESERVE, &reserve, &reserve_reply), USHER_OK);
    assert_int_equal(wire_ask(wire, USHER_OPCODE_CHARGE, &charge, &charge_reply), USHER_OK);
    purchase->pay.request_id = wire_id();
    purchase->pay.reservation_count = 1;
    purchase->pay.reservation[0] = reserve_reply.hold[0].reservation_id;
    assert_int_equal(wire_ask(wire, USHER_OPCODE_PAY, &purchase->pay, &purchase->paid), USHER_OK);
    assert_int_equal(purchase->paid.balance, charge_reply.balance - 100);
}

/* B1, M10: a purchase over the wire ends with a signed receipt that names payment, user, seat, amount and time. */
static void
a_purchase_ends_with_a_signed_receipt(void **state)
{
    const usher_uuid user = wire_user(21);
    struct fixture fixture;
    struct purchase purchase;
    usher_receipt_body body;
    usher_proof proof;
    size_t body_size;
    (void)state;

    start(&fixture, NULL);
    load_house(&fixture);
    buy(&fixture, 21, 13, &purchase);
    const usher_pay_reply *paid = &purchase.paid;
    assert_proved(&fixture, paid->receipt, paid->receipt_count, USHER_DOCUMENT_RECEIPT, &proof);
    assert_true(usher_document_split(paid->receipt, paid->receipt_count, USHER_DOCUMENT_RECEIPT, &body_size, &proof));
    assert_true(usher_receipt_body_decode(paid->receipt, body_size, &body));
    assert_int_equal(body.payment_id, paid->payment_id);
    assert_memory_equal(&body.user, &user, sizeof user);
    assert_int_equal(body.amount, 100);
    assert_int_equal(body.paid_at_ms, paid->paid_at_ms);
    assert_int_equal(body.seat_count, 1);
    assert_int_equal(body.seat[0].seat_no, 13);
    finish(&fixture);
}

/* M7: a retry of a payment whose token is used by now gets the first answer again, its receipt proved anew. */
static void
a_retried_payment_gets_its_first_answer_with_a_good_receipt(void **state)
{
    struct fixture fixture;
    struct purchase purchase;
    usher_pay_reply again;
    usher_proof proof;
    (void)state;

    start(&fixture, NULL);
    load_house(&fixture);
    buy(&fixture, 21, 13, &purchase);
    assert_int_equal(wire_ask(&fixture.gateway, USHER_OPCODE_PAY, &purchase.pay, &again), USHER_OK);
    assert_int_equal(fixture.gateway.flags & USHER_FLAG_REPLAYED, USHER_FLAG_REPLAYED);
    assert_int_equal(again.payment_id, purchase.paid.payment_id);
    assert_proved(&fixture, again.receipt, again.receipt_count, USHER_DOCUMENT_RECEIPT, &proof);
    finish(&fixture);
}

/* M10: receipts of one turn share a tree; one that is asked for alone is its own, so that it is small enough for a QR.
 */
static void
a_receipt_that_is_asked_for_alone_has_an_empty_path(void **state)
{
    enum { COUNT = 6 };
    usher_receipt_request request = {0};
    struct fixture fixture;
    struct purchase purchase;
    struct wire_frame frame;
    static uint8_t bytes[COUNT * 1024];
    size_t size = 0;
    (void)state;

    start(&fixture, NULL);
    load_house(&fixture);
    buy(&fixture, 21, 13, &purchase);
    request.payment_id = purchase.paid.payment_id;
    request.token_count = purchase.join.token_count;
    memcpy(request.token, purchase.join.token, request.token_count);
    for (uint32_t i = 0; i < COUNT; i++) {
        request.alone = i % 2 == 0 ? USHER_FLAG_YES : USHER_FLAG_NO;
        size += wire_build(bytes + size, USHER_OPCODE_RECEIPT, i, 0, &request);
    }
    assert_true(wire_send_bytes(&fixture.gateway, bytes, size));
    for (uint32_t i = 0; i < COUNT; i++) {
        usher_receipt_reply reply = {0};
        usher_proof proof;
        unsigned field_no;
        assert_true(wire_receive(&fixture.gateway, &frame));
        assert_int_equal(frame.result, USHER_OK);
        assert_int_equal(
            usher_decode(usher_message_of(USHER_OPCODE_RECEIPT)->reply, frame.body, frame.body_size, &reply, &field_no),
            USHER_OK);
        assert_proved(&fixture, reply.receipt, reply.receipt_count, USHER_DOCUMENT_RECEIPT, &proof);
        assert_int_equal(proof.leaf_count, frame.request_no % 2 == 0 ? 1 : COUNT / 2);
    }
    finish(&fixture);
}

/* A receipt is no token, although the same service signed it. */
static void
a_receipt_does_not_pass_for_a_token(void **state)
{
    struct fixture fixture;
    struct purchase purchase;
    (void)state;

    start(&fixture, NULL);
    load_house(&fixture);
    buy(&fixture, 21, 13, &purchase);
    assert_int_equal(place(&fixture.gateway, purchase.paid.receipt, purchase.paid.receipt_count),
                     USHER_TOKEN_MALFORMED);
    finish(&fixture);
}

/* X3: the answer that a request id got is found by it; its document stands there without a proof. */
static void
a_lookup_finds_the_answer_with_its_document_unproved(void **state)
{
    usher_lookup_request request = {0};
    struct fixture fixture;
    struct purchase purchase;
    usher_lookup_reply reply;
    usher_pay_reply paid = {0};
    unsigned field_no;
    (void)state;

    start(&fixture, NULL);
    load_house(&fixture);
    buy(&fixture, 21, 13, &purchase);
    request.request_id = purchase.pay.request_id;
    request.user = wire_user(21);
    assert_int_equal(wire_ask(&fixture.gateway, USHER_OPCODE_LOOKUP, &request, &reply), USHER_OK);
    assert_int_equal(reply.opcode, USHER_OPCODE_PAY);
    assert_int_equal(reply.result, USHER_OK);
    assert_int_equal(
        usher_decode(usher_message_of(USHER_OPCODE_PAY)->reply, reply.body, reply.body_count, &paid, &field_no),
        USHER_OK);
    assert_int_equal(paid.payment_id, purchase.paid.payment_id);
    assert_int_equal(paid.receipt_count, USHER_RECEIPT_BODY_FIXED + 12);
    assert_memory_equal(paid.receipt, purchase.paid.receipt, paid.receipt_count);
    finish(&fixture);
}

/* --- the history (B2)
 * --------------------------------------------------------------------------------------------------- */
/* Ask until the history has a row, as long as it may take. */
static uint16_t
history_rows(struct fixture *fixture, uint64_t user, bool until_there, usher_history_reply *reply)
{
    const usher_history_request request = {.user = wire_user(user)};

    for (int attempt = 0; attempt < 2000; attempt++) {
        assert_int_equal(wire_ask(&fixture->admin, USHER_OPCODE_HISTORY, &request, reply), USHER_OK);
        if (reply->row_count > 0 || !until_there)
            break;
        usleep(5000);
    }
    return reply->row_count;
}

/* B2: the history follows the payment by itself, and again after its steps have failed; the payment did not wait. */
static void
the_history_follows_a_payment_even_when_its_first_steps_fail(void **state)
{
    struct fixture fixture;
    struct purchase purchase;
    usher_history_reply reply;
    (void)state;

    start(&fixture, "--history-fault", "3", NULL);
    load_house(&fixture);
    buy(&fixture, 21, 13, &purchase);
    assert_int_equal(history_rows(&fixture, 21, true, &reply), 1);
    assert_int_equal(reply.row[0].kind, USHER_HISTORY_PAYMENT);
    assert_int_equal(reply.row[0].payment_id, purchase.paid.payment_id);
    assert_int_equal(reply.row[0].seat_no, 13);
    finish(&fixture);
}

/* B2: slow, it delays neither the payment nor the stop. */
static void
a_slow_history_delays_neither_a_payment_nor_a_stop(void **state)
{
    struct fixture fixture;
    struct purchase purchase;
    usher_history_reply reply;
    (void)state;

    start(&fixture, "--history-delay-ms", "600000", NULL);
    load_house(&fixture);
    buy(&fixture, 21, 13, &purchase);
    assert_int_equal(history_rows(&fixture, 21, false, &reply), 0);
    assert_int_equal(test_server_stop(&fixture.server, 15), 0); /* long before ten minutes are over */
    finish(&fixture);
}

/* B2: stopped it delays nothing, and a later start catches up, each payment once. */
static void
a_stopped_history_delays_nothing_and_catches_up_later(void **state)
{
    struct fixture fixture;
    struct purchase purchase;
    usher_history_reply reply;
    (void)state;

    start(&fixture, "--history", "off", NULL);
    load_house(&fixture);
    buy(&fixture, 21, 13, &purchase);
    buy(&fixture, 21, 14, &purchase);
    assert_int_equal(history_rows(&fixture, 21, false, &reply), 0);
    wire_close(&fixture.admin);
    wire_close(&fixture.gateway);
    assert_int_equal(test_server_stop(&fixture.server, 15), 0);
    test_server_start(&fixture.server, NULL);
    assert_true(wire_open(&fixture.admin, fixture.server.port));
    assert_true(wire_open(&fixture.gateway, fixture.server.port));
    assert_int_equal(wire_login(&fixture.admin, fixture.server.admin_key), USHER_OK);
    assert_int_equal(history_rows(&fixture, 21, true, &reply), 2);
    assert_true(reply.row[0].event_no < reply.row[1].event_no);
    finish(&fixture);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_names_its_user_and_place_and_is_signed_by_the_service),
        cmocka_unit_test(tokens_of_one_turn_share_one_signature_and_each_stands_alone),
        cmocka_unit_test(a_repeated_join_gives_the_same_token_body),
        cmocka_unit_test(a_token_is_good_after_a_restart),
        cmocka_unit_test(a_token_with_any_byte_changed_is_refused),
        cmocka_unit_test(a_token_that_was_cut_or_continued_is_malformed),
        cmocka_unit_test(a_token_minted_by_somebody_else_is_refused),
        cmocka_unit_test(a_well_signed_token_for_a_place_that_is_not_there_is_expired),
        cmocka_unit_test(a_token_and_the_user_beside_it_must_fit),
        cmocka_unit_test(a_forged_token_among_good_ones_falls_alone),
        cmocka_unit_test(tokens_of_unknown_roots_are_checked_only_so_often),
        cmocka_unit_test(many_tokens_that_were_shown_before_are_known_again),
        cmocka_unit_test(a_token_that_was_issued_needs_no_check_when_it_is_shown),
        cmocka_unit_test(tokens_that_are_shown_outlive_many_that_are_issued),
        cmocka_unit_test(a_purchase_ends_with_a_signed_receipt),
        cmocka_unit_test(a_retried_payment_gets_its_first_answer_with_a_good_receipt),
        cmocka_unit_test(a_receipt_that_is_asked_for_alone_has_an_empty_path),
        cmocka_unit_test(a_receipt_does_not_pass_for_a_token),
        cmocka_unit_test(a_lookup_finds_the_answer_with_its_document_unproved),
        cmocka_unit_test(the_history_follows_a_payment_even_when_its_first_steps_fail),
        cmocka_unit_test(a_slow_history_delays_neither_a_payment_nor_a_stop),
        cmocka_unit_test(a_stopped_history_delays_nothing_and_catches_up_later),
    };
    return usher_test_main(argc, argv, tests);
}
