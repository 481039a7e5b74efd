/* token_test.c: queue tokens, receipts, their Merkle proofs and the handshake's digests.
 *
 * The tree is checked against RFC 9162's own recursive definition, written here a second time from its text. */
#include "test.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/bytes.h"
#include "protocol/token.h"

enum { KEY_ID = 3, DOCUMENT_ROOM = 1024 };

static uint8_t public_key[32];
static uint8_t secret_key[64];

static int
make_keys(void)
{
    static const uint8_t seed[32] = {1, 2, 3};

    if (sodium_init() < 0)
        return -1;
    return crypto_sign_seed_keypair(public_key, secret_key, seed);
}

static usher_token_body
token_body(uint64_t position)
{
    usher_token_body body = {
        .key_id = KEY_ID,
        .queue_id = 7,
        .user = {{0xab, 0xcd, [15] = 0xef}},
        .position = position,
        .issued_ms = 1718841600123,
        .ends_ms = 1718928000123,
    };
    return body;
}

static usher_receipt_body
receipt_body(uint16_t seat_count)
{
    usher_receipt_body body = {
        .key_id = KEY_ID,
        .user = {{0xab, 0xcd, [15] = 0xef}},
        .payment_id = 42,
        .amount = 20000,
        .paid_at_ms = 1718841600123,
        .seat_count = seat_count,
    };
    for (uint32_t i = 0; i < seat_count; i++)
        body.seat[i] = (usher_receipt_seat){.concert_id = 1, .date_id = 2, .seat_no = 50 - i};
    return body;
}

/* --- a batch of tokens, as a server would make it ---------------------------------------------------- */
struct batch {
    size_t count;
    uint8_t (*bodies)[USHER_TOKEN_BODY_SIZE];
    uint8_t (*nodes)[32];
    uint8_t root[32];
    uint8_t signature[64];
};

static struct batch
batch_of(size_t count)
{
    struct batch batch = {.count = count};
    size_t nodes = usher_tree_nodes(count);

    batch.bodies = calloc(count, sizeof *batch.bodies);
    batch.nodes = calloc(nodes, sizeof *batch.nodes);
    assert_non_null(batch.bodies);
    assert_non_null(batch.nodes);
    for (size_t i = 0; i < count; i++) {
        usher_token_body body = token_body(1000 + i);
        assert_int_equal(usher_token_body_encode(&body, batch.bodies[i]), USHER_TOKEN_BODY_SIZE);
        usher_leaf(batch.bodies[i], USHER_TOKEN_BODY_SIZE, batch.nodes[i]);
    }
    usher_tree_fill(batch.nodes, count);
    memcpy(batch.root, batch.nodes[nodes - 1], 32);
    usher_root_sign(secret_key, KEY_ID, (uint16_t)count, batch.root, batch.signature);
    return batch;
}

static void
batch_free(struct batch *batch)
{
    free(batch->bodies);
    free(batch->nodes);
}

static size_t
batch_token(const struct batch *batch, size_t index, uint8_t out[DOCUMENT_ROOM])
{
    usher_proof proof = {.leaf_index = (uint16_t)index, .leaf_count = (uint16_t)batch->count};
    size_t size;

    proof.path_count = (uint8_t)usher_tree_path((const uint8_t(*)[32])batch->nodes, batch->count, index, proof.path);
    memcpy(proof.signature, batch->signature, sizeof proof.signature);
    size = usher_document_join(batch->bodies[index], USHER_TOKEN_BODY_SIZE, &proof, out, DOCUMENT_ROOM);
    assert_int_equal(size, USHER_TOKEN_BODY_SIZE + 4 + 32u * proof.path_count + 64);
    return size;
}

/* Verify in memory of exactly this size, so that the address sanitizer sees a byte read too many. */
static usher_result
verify(const uint8_t *bytes, size_t size, unsigned kind)
{
    uint8_t *exact = malloc(size > 0 ? size : 1);
    usher_result result;

    assert_non_null(exact);
    memcpy(exact, bytes, size);
    result = usher_document_verify(exact, size, kind, KEY_ID, public_key);
    free(exact);
    return result;
}

/* --- the tree ---------------------------------------------------------------------------------------- */
static void
node_of(const uint8_t left[32], const uint8_t right[32], uint8_t node[32])
{
    crypto_generichash_state hash;
    crypto_generichash_init(&hash, NULL, 0, 32);
    crypto_generichash_update(&hash, (const uint8_t *)"\x01", 1);
    crypto_generichash_update(&hash, left, 32);
    crypto_generichash_update(&hash, right, 32);
    crypto_generichash_final(&hash, node, 32);
}

static size_t
largest_power_below(size_t count)
{
    size_t power = 1;
    while (power * 2 < count)
        power *= 2;
    return power;
}

/* RFC 9162, 2.1.1: MTH(D[n]) = HASH(0x01 || MTH(D[0:k]) || MTH(D[k:n])), k the largest power of two below n. */
static void
root_by_the_book(const uint8_t (*leaves)[32], size_t count, uint8_t root[32])
{
    uint8_t left[32], right[32];
    size_t split;

    if (count == 1) {
        memcpy(root, leaves[0], 32);
        return;
    }
    split = largest_power_below(count);
    root_by_the_book(leaves, split, left);
    root_by_the_book(leaves + split, count - split, right);
    node_of(left, right, root);
}

/* RFC 9162, 2.1.3.1: PATH(m, D[n]), from the leaf to the root. */
static size_t
path_by_the_book(const uint8_t (*leaves)[32], size_t count, size_t index, uint8_t path[][32])
{
    size_t split, length;

    if (count == 1)
        return 0;
    split = largest_power_below(count);
    if (index < split) {
        length = path_by_the_book(leaves, split, index, path);
        root_by_the_book(leaves + split, count - split, path[length]);
    } else {
        length = path_by_the_book(leaves + split, count - split, index - split, path);
        root_by_the_book(leaves, split, path[length]);
    }
    return length + 1;
}

static void
tree_agrees_with_the_book(size_t count, size_t step)
{
    struct batch batch = batch_of(count);
    const uint8_t(*nodes)[32] = (const uint8_t(*)[32])batch.nodes;
    uint8_t wanted[USHER_PATH_MOST][32], path[USHER_PATH_MOST][32], token[DOCUMENT_ROOM];

    root_by_the_book(nodes, count, wanted[0]);
    assert_memory_equal(batch.root, wanted[0], 32);
    for (size_t i = 0; i<count; i += i + 20> count ? 1 : step) {
        size_t length = path_by_the_book(nodes, count, i, wanted);
        assert_int_equal(usher_tree_path(nodes, count, i, path), length);
        assert_int_equal(usher_path_length(count, i), length);
        assert_memory_equal(path, wanted, length * 32);
        assert_int_equal(verify(token, batch_token(&batch, i, token), USHER_DOCUMENT_TOKEN), USHER_OK);
    }
    batch_free(&batch);
}

/* Q12, F2: trees of any size have the shape of RFC 9162 and every leaf of them verifies. */
static void
every_leaf_of_a_small_tree_verifies(void **state)
{
    (void)state;
    for (size_t count = 1; count <= 40; count++)
        tree_agrees_with_the_book(count, 1);
}

/* Q12, F2: likewise at the limit, where a path has 12 hashes, and one below. */
static void
leaves_of_the_largest_trees_verify(void **state)
{
    (void)state;
    tree_agrees_with_the_book(USHER_LEAVES_MOST - 1, 701);
    tree_agrees_with_the_book(USHER_LEAVES_MOST, 701);
    assert_int_equal(usher_path_length(USHER_LEAVES_MOST, 5), USHER_PATH_MOST);
}

/* F1: a leaf is H(0x00 | kind | body), so that no token's leaf is ever a receipt's or a node. */
static void
a_leaf_begins_with_its_prefix_and_kind(void **state)
{
    uint8_t bytes[2 + USHER_TOKEN_BODY_SIZE] = {0x00, USHER_DOCUMENT_TOKEN}, wanted[32], leaf[32];
    usher_token_body body = token_body(5);

    (void)state;
    usher_token_body_encode(&body, bytes + 2);
    crypto_generichash(wanted, 32, bytes, sizeof bytes, NULL, 0);
    usher_leaf(bytes + 2, USHER_TOKEN_BODY_SIZE, leaf);
    assert_memory_equal(leaf, wanted, 32);
}

/* F1: what is signed is written out here a second time. */
static void
the_signed_bytes_are_label_version_key_count_and_root(void **state)
{
    struct batch batch = batch_of(5);
    uint8_t message[50] = "usher-batch-1\x01\x03\x00\x05\x00";

    (void)state;
    memcpy(message + 18, batch.root, 32);
    assert_int_equal(crypto_sign_verify_detached(batch.signature, message, sizeof message, public_key), 0);
    batch_free(&batch);
}

/* --- forgeries --------------------------------------------------------------------------------------- */
static void
every_flipped_bit_is_refused(uint8_t *document, size_t size, unsigned kind)
{
    assert_int_equal(verify(document, size, kind), USHER_OK);
    for (size_t bit = 0; bit < size * 8; bit++) {
        usher_result result;

        document[bit / 8] ^= (uint8_t)(1u << bit % 8);
        result = verify(document, size, kind);
        if (bit < 16)
            assert_int_equal(result, USHER_TOKEN_MALFORMED); /* version and kind */
        else if (bit < 32)
            assert_int_equal(result, USHER_TOKEN_UNKNOWN_KEY);
        else if (bit < 64 && kind == USHER_DOCUMENT_RECEIPT)
            assert_int_equal(result, USHER_TOKEN_MALFORMED); /* the bytes that are zero */
        else
            assert_true(result == USHER_TOKEN_FORGED || result == USHER_TOKEN_MALFORMED);
        document[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t at = 0; at < size; at++) {
        document[at] = (uint8_t)~document[at];
        assert_int_not_equal(verify(document, size, kind), USHER_OK);
        document[at] = (uint8_t)~document[at];
    }
    assert_int_equal(verify(document, size, kind), USHER_OK);
}

/* Q12: a token with any bit or byte altered is refused, and one whose form is whole is called forged. */
static void
every_byte_of_a_token_flipped_is_refused(void **state)
{
    struct batch lone = batch_of(1), batch = batch_of(11);
    uint8_t token[DOCUMENT_ROOM];

    (void)state;
    every_flipped_bit_is_refused(token, batch_token(&lone, 0, token), USHER_DOCUMENT_TOKEN);
    every_flipped_bit_is_refused(token, batch_token(&batch, 4, token), USHER_DOCUMENT_TOKEN);
    every_flipped_bit_is_refused(token, batch_token(&batch, 10, token), USHER_DOCUMENT_TOKEN);
    batch_token(&batch, 4, token);
    for (size_t at = 4; at < USHER_TOKEN_BODY_SIZE; at++) {
        token[at] ^= 1;
        assert_int_equal(verify(token, 48 + 4 + 4 * 32 + 64, USHER_DOCUMENT_TOKEN), USHER_TOKEN_FORGED);
        token[at] ^= 1;
    }
    batch_free(&lone);
    batch_free(&batch);
}

/* Q12: a token cut off anywhere or followed by anything is malformed. */
static void
a_token_cut_off_or_followed_by_a_byte_is_malformed(void **state)
{
    struct batch batch = batch_of(6);
    uint8_t token[DOCUMENT_ROOM] = {0};
    size_t size = batch_token(&batch, 5, token);

    (void)state;
    for (size_t cut = 0; cut <= size + 64; cut++)
        assert_int_equal(verify(token, cut, USHER_DOCUMENT_TOKEN), cut == size ? USHER_OK : USHER_TOKEN_MALFORMED);
    batch_free(&batch);
}

/* Q12: another leaf's index, path or body, another count, another batch's signature: all forged. */
static void
a_proof_of_another_leaf_is_forged(void **state)
{
    struct batch batch = batch_of(8), other = batch_of(7);
    uint8_t token[DOCUMENT_ROOM], second[DOCUMENT_ROOM];
    size_t size = batch_token(&batch, 2, token);

    (void)state;
    for (uint16_t index = 0; index < 8; index++) {
        bytes_put_u16(token + 48, index);
        assert_int_equal(verify(token, size, USHER_DOCUMENT_TOKEN), index == 2 ? USHER_OK : USHER_TOKEN_FORGED);
    }
    for (uint16_t count = 5; count <= 8; count++) {
        batch_token(&batch, 2, token);
        bytes_put_u16(token + 50, count);
        assert_int_equal(verify(token, size, USHER_DOCUMENT_TOKEN), count == 8 ? USHER_OK : USHER_TOKEN_FORGED);
    }
    batch_token(&batch, 2, token);
    batch_token(&batch, 3, second);
    memcpy(token + 52, second + 52, 96); /* the neighbour's path */
    assert_int_equal(verify(token, size, USHER_DOCUMENT_TOKEN), USHER_TOKEN_FORGED);
    batch_token(&batch, 2, token);
    memcpy(token + 52, second + 84, 32); /* its own hashes in another order */
    memcpy(token + 84, second + 52, 32);
    assert_int_equal(verify(token, size, USHER_DOCUMENT_TOKEN), USHER_TOKEN_FORGED);
    batch_token(&batch, 2, token);
    memcpy(token, second, 48); /* the neighbour's body */
    assert_int_equal(verify(token, size, USHER_DOCUMENT_TOKEN), USHER_TOKEN_FORGED);
    batch_token(&batch, 2, token);
    memcpy(token + size - 64, other.signature, 64);
    assert_int_equal(verify(token, size, USHER_DOCUMENT_TOKEN), USHER_TOKEN_FORGED);
    batch_free(&batch);
    batch_free(&other);
}

/* Q12: an index beyond the count, a count of none or above the limit: malformed, whatever its length. */
static void
a_proof_of_an_impossible_tree_is_malformed(void **state)
{
    static const uint16_t bad[][2] = {{0, 0}, {1, 1}, {5, 5}, {4096, 4096}, {0, 4097}, {65535, 65535}, {7, 3}};
    struct batch batch = batch_of(2);
    uint8_t token[DOCUMENT_ROOM] = {0};

    (void)state;
    batch_token(&batch, 1, token);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bytes_put_u16(token + 48, bad[i][0]);
        bytes_put_u16(token + 50, bad[i][1]);
        for (size_t path = 0; path <= USHER_PATH_MOST + 1; path++)
            assert_int_equal(verify(token, 48 + 4 + path * 32 + 64, USHER_DOCUMENT_TOKEN), USHER_TOKEN_MALFORMED);
    }
    batch_free(&batch);
}

/* Q12: another service's key, or another key id, does not pass. */
static void
another_key_does_not_verify(void **state)
{
    struct batch batch = batch_of(3);
    uint8_t token[DOCUMENT_ROOM], other_public[32], other_secret[64], seed[32] = {9};
    size_t size = batch_token(&batch, 1, token);

    (void)state;
    crypto_sign_seed_keypair(other_public, other_secret, seed);
    assert_int_equal(usher_document_verify(token, size, USHER_DOCUMENT_TOKEN, KEY_ID, other_public),
                     USHER_TOKEN_FORGED);
    assert_int_equal(usher_document_verify(token, size, USHER_DOCUMENT_TOKEN, KEY_ID + 1, public_key),
                     USHER_TOKEN_UNKNOWN_KEY);
    assert_int_equal(usher_document_key_id(token), KEY_ID);
    usher_root_sign(other_secret, KEY_ID, 3, batch.root, token + size - 64);
    assert_int_equal(verify(token, size, USHER_DOCUMENT_TOKEN), USHER_TOKEN_FORGED);
    batch_free(&batch);
}

/* --- bodies ------------------------------------------------------------------------------------------ */
/* T1: the token carries the user's UUID and the position; its bytes are written out here. */
static void
a_token_body_has_the_bytes_written_here(void **state)
{
    static const uint8_t wanted[USHER_TOKEN_BODY_SIZE] = {
        1,    1,    3,    0,    7,    0,    0, 0,    0xab, 0xcd, 0,    0,    0,    0,    0,    0,
        0,    0,    0,    0,    0,    0,    0, 0xef, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
        0x7b, 0x68, 0xf1, 0x32, 0x90, 0x01, 0, 0,    0x7b, 0xc4, 0x17, 0x38, 0x90, 0x01, 0,    0,
    };
    usher_token_body body = token_body(0x1122334455667788), again;
    uint8_t bytes[USHER_TOKEN_BODY_SIZE];

    (void)state;
    assert_int_equal(usher_token_body_encode(&body, bytes), sizeof wanted);
    assert_memory_equal(bytes, wanted, sizeof wanted);
    memset(&again, 0, sizeof again);
    assert_true(usher_token_body_decode(bytes, sizeof bytes, &again));
    assert_int_equal(again.key_id, body.key_id);
    assert_int_equal(again.queue_id, body.queue_id);
    assert_memory_equal(&again.user, &body.user, 16);
    assert_true(again.position == body.position);
    assert_true(again.issued_ms == body.issued_ms);
    assert_true(again.ends_ms == body.ends_ms);
    assert_false(usher_token_body_decode(bytes, sizeof bytes - 1, &again));
}

static size_t
receipt_document(uint16_t seat_count, uint16_t leaf_count, uint8_t out[DOCUMENT_ROOM])
{
    usher_receipt_body body = receipt_body(seat_count);
    uint8_t bytes[USHER_RECEIPT_BODY_FIXED + 12 * USHER_RECEIPT_SEATS_MOST];
    uint8_t(*nodes)[32] = calloc(usher_tree_nodes(leaf_count), 32);
    usher_proof proof = {.leaf_index = 0, .leaf_count = leaf_count};
    size_t size = usher_receipt_body_encode(&body, bytes, sizeof bytes);

    assert_non_null(nodes);
    assert_int_equal(size, 50 + 12 * seat_count);
    usher_leaf(bytes, size, nodes[0]);
    usher_tree_fill(nodes, leaf_count);
    proof.path_count = (uint8_t)usher_tree_path((const uint8_t(*)[32])nodes, leaf_count, 0, proof.path);
    usher_root_sign(secret_key, KEY_ID, leaf_count, nodes[usher_tree_nodes(leaf_count) - 1], proof.signature);
    free(nodes);
    return usher_document_join(bytes, size, &proof, out, DOCUMENT_ROOM);
}

/* M10: a receipt of one seat and of sixteen says what was paid, verifies, and no byte of it can be altered. */
static void
a_receipt_of_one_and_of_sixteen_seats_verifies(void **state)
{
    static const uint16_t counts[] = {1, 2, 16};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        uint8_t document[DOCUMENT_ROOM];
        size_t size = receipt_document(counts[i], 5, document), body_size = 0;
        usher_receipt_body body, wanted = receipt_body(counts[i]);
        usher_proof proof;

        memset(&body, 0, sizeof body);
        assert_true(usher_document_split(document, size, USHER_DOCUMENT_RECEIPT, &body_size, &proof));
        assert_int_equal(body_size, 50 + 12 * counts[i]);
        assert_true(usher_receipt_body_decode(document, body_size, &body));
        assert_memory_equal(&body, &wanted, sizeof body);
        every_flipped_bit_is_refused(document, size, USHER_DOCUMENT_RECEIPT);
        for (size_t cut = 0; cut <= size + 1; cut++)
            if (cut != size)
                assert_int_equal(verify(document, cut, USHER_DOCUMENT_RECEIPT), USHER_TOKEN_MALFORMED);
    }
}

/* M10: a receipt of no seat, or of more than sixteen, is none. */
static void
a_receipt_of_no_seat_or_of_seventeen_is_malformed(void **state)
{
    static const uint16_t counts[] = {0, 17, 256, 65535};
    uint8_t document[4096] = {0}, small[61];
    usher_receipt_body body = receipt_body(1);

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        receipt_document(1, 1, document);
        bytes_put_u16(document + 48, counts[i]);
        assert_false(usher_receipt_body_decode(document, 50 + 12u * (counts[i] % 256), &body));
        for (size_t size = 0; size < 1000; size++)
            assert_int_equal(verify(document, size, USHER_DOCUMENT_RECEIPT), USHER_TOKEN_MALFORMED);
    }
    body = receipt_body(1);
    assert_int_equal(usher_receipt_body_encode(&body, small, sizeof small), SIZE_MAX);
}

/* F1: the bytes of a receipt, written out here. */
static void
a_receipt_body_has_the_bytes_written_here(void **state)
{
    static const uint8_t wanted[62] = {
        1,    2,    3,    0,    0, 0, 0, 0, 0xab, 0xcd, 0, 0,    0,    0, 0, 0, 0,  0, 0, 0,    0,
        0,    0,    0xef, 42,   0, 0, 0, 0, 0,    0,    0, 0x20, 0x4e, 0, 0, 0, 0,  0, 0, 0x7b, 0x68,
        0xf1, 0x32, 0x90, 0x01, 0, 0, 1, 0, 1,    0,    0, 0,    2,    0, 0, 0, 50, 0, 0, 0,
    };
    usher_receipt_body body = receipt_body(1);
    uint8_t bytes[100];

    (void)state;
    assert_int_equal(usher_receipt_body_encode(&body, bytes, sizeof bytes), sizeof wanted);
    assert_memory_equal(bytes, wanted, sizeof wanted);
}

/* Q12, M10: a token is never taken for a receipt, nor a receipt for a token. */
static void
a_token_is_no_receipt_and_a_receipt_no_token(void **state)
{
    struct batch batch = batch_of(1);
    uint8_t document[DOCUMENT_ROOM];
    size_t size = batch_token(&batch, 0, document);

    (void)state;
    assert_int_equal(verify(document, size, USHER_DOCUMENT_RECEIPT), USHER_TOKEN_MALFORMED);
    size = receipt_document(3, 2, document);
    assert_int_equal(verify(document, size, USHER_DOCUMENT_TOKEN), USHER_TOKEN_MALFORMED);
    batch_free(&batch);
}

/* F1: the largest token and receipt fit the fields that carry them, and joining never writes beyond its room. */
static void
the_largest_documents_fit_their_fields(void **state)
{
    struct batch batch = batch_of(USHER_LEAVES_MOST);
    uint8_t document[DOCUMENT_ROOM], small[DOCUMENT_ROOM];
    size_t size = batch_token(&batch, 0, document), body_size;
    usher_proof proof;

    (void)state;
    assert_int_equal(size, 500);
    assert_true(size <= sizeof((usher_join_reply *)0)->token);
    assert_true(usher_document_split(document, size, USHER_DOCUMENT_TOKEN, &body_size, &proof));
    assert_int_equal(usher_document_join(document, body_size, &proof, small, size - 1), SIZE_MAX);
    assert_int_equal(usher_document_join(document, body_size, &proof, small, size), size);
    assert_memory_equal(small, document, size);
    size = receipt_document(USHER_RECEIPT_SEATS_MOST, USHER_LEAVES_MOST, document);
    assert_int_equal(size, 50 + 192 + 4 + 384 + 64);
    assert_true(size <= sizeof((usher_pay_reply *)0)->receipt);
    assert_int_equal(verify(document, size, USHER_DOCUMENT_RECEIPT), USHER_OK);
    batch_free(&batch);
}

/* --- the handshake ----------------------------------------------------------------------------------- */
/* F1: the digest of each side, hashed here a second time from bytes laid out by hand. */
static void
the_handshake_digest_covers_the_bytes_written_here(void **state)
{
    static const char *const labels[] = {"usher-hello-server-1", "usher-hello-client-1", "usher-hello-enrol-1"};
    static const uint8_t limits[32] = {
        1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 16, 0, 0, 0, 0x10, 0x27, 0, 0,
    };
    usher_hello_request request = {.client_key = {{0xc1}}, .client_nonce = {{0xc2}}, .features = 1, .frame_max = 65536};
    usher_hello_reply reply = {.server_key = {{0x51}},
                               .server_nonce = {{0x52}},
                               .features = 2,
                               .frame_max = 131072,
                               .in_flight_max = 16,
                               .hello_ms = 10000};

    (void)state;
    for (usher_handshake_side side = USHER_HANDSHAKE_SERVER; side <= USHER_HANDSHAKE_ENROL; side++) {
        uint8_t bytes[20 + 4 * 32 + sizeof limits] = {0}, wanted[32], digest[32];
        size_t at = strlen(labels[side]);

        memcpy(bytes, labels[side], at);
        bytes[at] = 0xc1;
        bytes[at + 32] = 0xc2;
        bytes[at + 64] = 0x51;
        bytes[at + 96] = 0x52;
        memcpy(bytes + at + 128, limits, sizeof limits);
        crypto_generichash(wanted, 32, bytes, at + 128 + sizeof limits, NULL, 0);
        usher_handshake_digest(side, &request, &reply, digest);
        assert_memory_equal(digest, wanted, 32);
    }
}

/* F1: every field of either hello changes the digest, the signature itself does not; the sides differ. */
static void
the_handshake_digest_differs_with_each_field_and_side(void **state)
{
    usher_hello_request request;
    usher_hello_reply reply;
    uint8_t *fields[] = {
        request.client_key.bytes,       request.client_nonce.bytes + 31, (uint8_t *)&request.features,
        (uint8_t *)&request.frame_max,  reply.server_key.bytes + 31,     reply.server_nonce.bytes,
        (uint8_t *)&reply.features + 7, (uint8_t *)&reply.frame_max,     (uint8_t *)&reply.in_flight_max,
        (uint8_t *)&reply.hello_ms,
    };
    enum { FIELD_COUNT = sizeof fields / sizeof *fields };
    uint8_t digests[FIELD_COUNT + 3][32], same[32];

    (void)state;
    memset(&request, 0x11, sizeof request);
    memset(&reply, 0x22, sizeof reply);
    for (usher_handshake_side side = USHER_HANDSHAKE_SERVER; side <= USHER_HANDSHAKE_ENROL; side++)
        usher_handshake_digest(side, &request, &reply, digests[side]);
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        *fields[i] ^= 0x80;
        usher_handshake_digest(USHER_HANDSHAKE_SERVER, &request, &reply, digests[3 + i]);
        *fields[i] ^= 0x80;
    }
    for (size_t i = 0; i < FIELD_COUNT + 3; i++)
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(digests[i], digests[k], 32);
    reply.signature.bytes[0] ^= 1;
    usher_handshake_digest(USHER_HANDSHAKE_SERVER, &request, &reply, same);
    assert_memory_equal(same, digests[USHER_HANDSHAKE_SERVER], 32);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_leaf_of_a_small_tree_verifies),
        cmocka_unit_test(leaves_of_the_largest_trees_verify),
        cmocka_unit_test(a_leaf_begins_with_its_prefix_and_kind),
        cmocka_unit_test(the_signed_bytes_are_label_version_key_count_and_root),
        cmocka_unit_test(every_byte_of_a_token_flipped_is_refused),
        cmocka_unit_test(a_token_cut_off_or_followed_by_a_byte_is_malformed),
        cmocka_unit_test(a_proof_of_another_leaf_is_forged),
        cmocka_unit_test(a_proof_of_an_impossible_tree_is_malformed),
        cmocka_unit_test(another_key_does_not_verify),
        cmocka_unit_test(a_token_body_has_the_bytes_written_here),
        cmocka_unit_test(a_receipt_of_one_and_of_sixteen_seats_verifies),
        cmocka_unit_test(a_receipt_of_no_seat_or_of_seventeen_is_malformed),
        cmocka_unit_test(a_receipt_body_has_the_bytes_written_here),
        cmocka_unit_test(a_token_is_no_receipt_and_a_receipt_no_token),
        cmocka_unit_test(the_largest_documents_fit_their_fields),
        cmocka_unit_test(the_handshake_digest_covers_the_bytes_written_here),
        cmocka_unit_test(the_handshake_digest_differs_with_each_field_and_side),
    };

    if (make_keys() != 0)
        return 1;
    return usher_test_main(argc, argv, tests);
}
