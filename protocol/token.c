/* token.c: queue tokens, receipts and the handshake. token.h has their byte tables.
 *
 * The tree of RFC 9162 splits n leaves at the largest power of two below n. Built from the leaves up, that is the same
 * as pairing neighbours on every level and taking a lone last one up unchanged; so a level of n hashes has (n + 1) / 2
 * above it, and a leaf's path has no hash for the levels on which its ancestor stands alone. */
#include "token.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "bytes.h"

#define HASH_SIZE    32u
#define PROOF_FIXED  4u /* leaf_index and leaf_count */
#define SIGNED_LABEL "usher-batch-1"
#define SIGNED_SIZE  (sizeof SIGNED_LABEL - 1 + 1 + 2 + 2 + HASH_SIZE)
#define RECEIPT_SEAT 12u
#define PREFIX_LEAF  0x00
#define PREFIX_NODE  0x01

/* --- bodies ----------------------------------------------------------------------------------------- */
static void
body_begin(uint8_t *out, uint8_t kind, uint16_t key_id, uint32_t word, const usher_uuid *user)
{
    out[0] = USHER_DOCUMENT_VERSION;
    out[1] = kind;
    bytes_put_u16(out + 2, key_id);
    bytes_put_u32(out + 4, word);
    memcpy(out + 8, user->bytes, sizeof user->bytes);
}

size_t
usher_token_body_encode(const usher_token_body *body, uint8_t out[USHER_TOKEN_BODY_SIZE])
{
    body_begin(out, USHER_DOCUMENT_TOKEN, body->key_id, body->queue_id, &body->user);
    bytes_put_u64(out + 24, body->position);
    bytes_put_u64(out + 32, body->issued_ms);
    bytes_put_u64(out + 40, body->ends_ms);
    return USHER_TOKEN_BODY_SIZE;
}

bool
usher_token_body_decode(const uint8_t *bytes, size_t size, usher_token_body *body)
{
    if (size != USHER_TOKEN_BODY_SIZE || bytes[0] != USHER_DOCUMENT_VERSION || bytes[1] != USHER_DOCUMENT_TOKEN)
        return false;
    body->key_id = bytes_get_u16(bytes + 2);
    body->queue_id = bytes_get_u32(bytes + 4);
    memcpy(body->user.bytes, bytes + 8, sizeof body->user.bytes);
    body->position = bytes_get_u64(bytes + 24);
    body->issued_ms = bytes_get_u64(bytes + 32);
    body->ends_ms = bytes_get_u64(bytes + 40);
    return true;
}

size_t
usher_receipt_body_encode(const usher_receipt_body *body, uint8_t *out, size_t room)
{
    size_t size = USHER_RECEIPT_BODY_FIXED + body->seat_count * RECEIPT_SEAT;
    uint8_t *seat = out + USHER_RECEIPT_BODY_FIXED;

    assert(body->seat_count >= 1);
    assert(body->seat_count <= USHER_RECEIPT_SEATS_MOST);
    if (size > room)
        return SIZE_MAX;
    body_begin(out, USHER_DOCUMENT_RECEIPT, body->key_id, 0, &body->user);
    bytes_put_u64(out + 24, body->payment_id);
    bytes_put_u64(out + 32, (uint64_t)body->amount);
    bytes_put_u64(out + 40, body->paid_at_ms);
    bytes_put_u16(out + 48, body->seat_count);
    for (size_t i = 0; i < body->seat_count; i++, seat += RECEIPT_SEAT) {
        bytes_put_u32(seat, body->seat[i].concert_id);
        bytes_put_u32(seat + 4, body->seat[i].date_id);
        bytes_put_u32(seat + 8, body->seat[i].seat_no);
    }
    return size;
}

/* The length of the receipt body at the beginning of bytes, or 0 if there is none. */
static size_t
receipt_body_size(const uint8_t *bytes, size_t size)
{
    size_t seat_count;

    if (size < USHER_RECEIPT_BODY_FIXED || bytes[0] != USHER_DOCUMENT_VERSION || bytes[1] != USHER_DOCUMENT_RECEIPT ||
        bytes_get_u32(bytes + 4) != 0)
        return 0;
    seat_count = bytes_get_u16(bytes + 48);
    if (seat_count < 1 || seat_count > USHER_RECEIPT_SEATS_MOST)
        return 0;
    return USHER_RECEIPT_BODY_FIXED + seat_count * RECEIPT_SEAT;
}

bool
usher_receipt_body_decode(const uint8_t *bytes, size_t size, usher_receipt_body *body)
{
    const uint8_t *seat = bytes + USHER_RECEIPT_BODY_FIXED;
    size_t body_size = receipt_body_size(bytes, size);

    if (body_size == 0 || body_size != size)
        return false;
    body->key_id = bytes_get_u16(bytes + 2);
    memcpy(body->user.bytes, bytes + 8, sizeof body->user.bytes);
    body->payment_id = bytes_get_u64(bytes + 24);
    body->amount = (int64_t)bytes_get_u64(bytes + 32);
    body->paid_at_ms = bytes_get_u64(bytes + 40);
    body->seat_count = bytes_get_u16(bytes + 48);
    for (size_t i = 0; i < body->seat_count; i++, seat += RECEIPT_SEAT) {
        body->seat[i].concert_id = bytes_get_u32(seat);
        body->seat[i].date_id = bytes_get_u32(seat + 4);
        body->seat[i].seat_no = bytes_get_u32(seat + 8);
    }
    return true;
}

uint16_t
usher_document_key_id(const uint8_t *bytes)
{
    return bytes_get_u16(bytes + 2);
}

/* --- the tree --------------------------------------------------------------------------------------- */
void
usher_leaf(const uint8_t *body, size_t size, uint8_t leaf[32])
{
    crypto_generichash_state state;
    uint8_t prefix[2] = {PREFIX_LEAF, 0};

    assert(size >= 2);
    prefix[1] = body[1];
    crypto_generichash_init(&state, NULL, 0, HASH_SIZE);
    crypto_generichash_update(&state, prefix, sizeof prefix);
    crypto_generichash_update(&state, body, size);
    crypto_generichash_final(&state, leaf, HASH_SIZE);
}

static void
node_of(const uint8_t left[HASH_SIZE], const uint8_t right[HASH_SIZE], uint8_t node[HASH_SIZE])
{
    uint8_t both[1 + 2 * HASH_SIZE] = {PREFIX_NODE};

    memcpy(both + 1, left, HASH_SIZE);
    memcpy(both + 1 + HASH_SIZE, right, HASH_SIZE);
    crypto_generichash(node, HASH_SIZE, both, sizeof both, NULL, 0);
}

size_t
usher_tree_nodes(size_t count)
{
    size_t nodes = count;

    assert(count >= 1);
    assert(count <= USHER_LEAVES_MOST);
    while (count > 1) {
        count = (count + 1) / 2;
        nodes += count;
    }
    return nodes;
}

void
usher_tree_fill(uint8_t (*nodes)[32], size_t count)
{
    assert(count >= 1);
    assert(count <= USHER_LEAVES_MOST);
    while (count > 1) {
        uint8_t(*above)[32] = nodes + count;
        size_t pairs = count / 2;

        for (size_t i = 0; i < pairs; i++)
            node_of(nodes[2 * i], nodes[2 * i + 1], above[i]);
        if (count % 2 == 1)
            memcpy(above[pairs], nodes[count - 1], HASH_SIZE);
        nodes = above;
        count = (count + 1) / 2;
    }
}

size_t
usher_tree_path(const uint8_t (*nodes)[32], size_t count, size_t index, uint8_t path[USHER_PATH_MOST][32])
{
    size_t length = 0;

    assert(index < count);
    for (; count > 1; nodes += count, count = (count + 1) / 2, index /= 2)
        if ((index ^ 1) < count) {
            assert(length < USHER_PATH_MOST);
            memcpy(path[length++], nodes[index ^ 1], HASH_SIZE);
        }
    return length;
}

size_t
usher_path_length(size_t count, size_t index)
{
    size_t length = 0;

    assert(index < count);
    for (; count > 1; count = (count + 1) / 2, index /= 2)
        length += (index ^ 1) < count;
    return length;
}

void
usher_proof_root(const uint8_t leaf[32], const usher_proof *proof, uint8_t root[32])
{
    size_t index = proof->leaf_index;
    size_t used = 0;

    assert(proof->path_count == usher_path_length(proof->leaf_count, index));
    memmove(root, leaf, HASH_SIZE);
    for (size_t count = proof->leaf_count; count > 1; count = (count + 1) / 2, index /= 2) {
        if ((index ^ 1) >= count)
            continue;
        if (index % 2 == 0)
            node_of(root, proof->path[used], root);
        else
            node_of(proof->path[used], root, root);
        used++;
    }
}

/* --- signatures ------------------------------------------------------------------------------------- */
static void
signed_bytes(uint16_t key_id, uint16_t leaf_count, const uint8_t root[HASH_SIZE], uint8_t out[SIGNED_SIZE])
{
    size_t at = sizeof SIGNED_LABEL - 1;

    memcpy(out, SIGNED_LABEL, at);
    out[at] = USHER_DOCUMENT_VERSION;
    bytes_put_u16(out + at + 1, key_id);
    bytes_put_u16(out + at + 3, leaf_count);
    memcpy(out + at + 5, root, HASH_SIZE);
}

void
usher_root_sign(const uint8_t secret_key[64], uint16_t key_id, uint16_t leaf_count, const uint8_t root[32],
                uint8_t signature[64])
{
    uint8_t message[SIGNED_SIZE];
    int failed;

    signed_bytes(key_id, leaf_count, root, message);
    failed = crypto_sign_detached(signature, NULL, message, sizeof message, secret_key);
    assert(failed == 0);
    (void)failed;
}

bool
usher_root_verify(const uint8_t public_key[32], uint16_t key_id, uint16_t leaf_count, const uint8_t root[32],
                  const uint8_t signature[64])
{
    uint8_t message[SIGNED_SIZE];

    signed_bytes(key_id, leaf_count, root, message);
    return crypto_sign_verify_detached(signature, message, sizeof message, public_key) == 0;
}

/* --- documents -------------------------------------------------------------------------------------- */
size_t
usher_document_join(const uint8_t *body, size_t body_size, const usher_proof *proof, uint8_t *out, size_t room)
{
    size_t path_size = proof->path_count * (size_t)HASH_SIZE;
    size_t size = body_size + PROOF_FIXED + path_size + sizeof proof->signature;
    uint8_t *at = out + body_size;

    assert(proof->path_count <= USHER_PATH_MOST);
    if (size > room)
        return SIZE_MAX;
    memcpy(out, body, body_size);
    bytes_put_u16(at, proof->leaf_index);
    bytes_put_u16(at + 2, proof->leaf_count);
    memcpy(at + PROOF_FIXED, proof->path, path_size);
    memcpy(at + PROOF_FIXED + path_size, proof->signature, sizeof proof->signature);
    return size;
}

/* The length of the body of this kind at the beginning of bytes, or 0 if there is none. */
static size_t
document_body_size(const uint8_t *bytes, size_t size, unsigned kind)
{
    usher_token_body token;

    if (kind == USHER_DOCUMENT_RECEIPT)
        return receipt_body_size(bytes, size);
    assert(kind == USHER_DOCUMENT_TOKEN);
    if (size < USHER_TOKEN_BODY_SIZE || !usher_token_body_decode(bytes, USHER_TOKEN_BODY_SIZE, &token))
        return 0;
    return USHER_TOKEN_BODY_SIZE;
}

bool
usher_document_split(const uint8_t *bytes, size_t size, unsigned kind, size_t *body_size, usher_proof *proof)
{
    const uint8_t *at;
    size_t length = document_body_size(bytes, size, kind);
    size_t path_count;

    if (length == 0 || size < length + PROOF_FIXED)
        return false;
    at = bytes + length;
    proof->leaf_index = bytes_get_u16(at);
    proof->leaf_count = bytes_get_u16(at + 2);
    if (proof->leaf_count > USHER_LEAVES_MOST || proof->leaf_index >= proof->leaf_count)
        return false;
    path_count = usher_path_length(proof->leaf_count, proof->leaf_index);
    if (size != length + PROOF_FIXED + path_count * HASH_SIZE + sizeof proof->signature)
        return false;
    proof->path_count = (uint8_t)path_count;
    memcpy(proof->path, at + PROOF_FIXED, path_count * HASH_SIZE);
    memcpy(proof->signature, at + PROOF_FIXED + path_count * HASH_SIZE, sizeof proof->signature);
    *body_size = length;
    return true;
}

usher_result
usher_document_verify(const uint8_t *bytes, size_t size, unsigned kind, uint16_t key_id, const uint8_t public_key[32])
{
    usher_proof proof;
    size_t body_size;
    uint8_t leaf[HASH_SIZE], root[HASH_SIZE];

    if (!usher_document_split(bytes, size, kind, &body_size, &proof))
        return USHER_TOKEN_MALFORMED;
    if (usher_document_key_id(bytes) != key_id)
        return USHER_TOKEN_UNKNOWN_KEY;
    usher_leaf(bytes, body_size, leaf);
    usher_proof_root(leaf, &proof, root);
    if (!usher_root_verify(public_key, key_id, proof.leaf_count, root, proof.signature))
        return USHER_TOKEN_FORGED;
    return USHER_OK;
}

/* --- the handshake ---------------------------------------------------------------------------------- */
void
usher_handshake_digest(usher_handshake_side side, const usher_hello_request *request, const usher_hello_reply *reply,
                       uint8_t digest[32])
{
    static const char *const labels[] = {
        [USHER_HANDSHAKE_SERVER] = "usher-hello-server-1",
        [USHER_HANDSHAKE_CLIENT] = "usher-hello-client-1",
        [USHER_HANDSHAKE_ENROL] = "usher-hello-enrol-1",
    };
    crypto_generichash_state state;
    uint8_t limits[8 + 4 + 8 + 4 + 4 + 4];

    bytes_put_u64(limits, request->features);
    bytes_put_u32(limits + 8, request->frame_max);
    bytes_put_u64(limits + 12, reply->features);
    bytes_put_u32(limits + 20, reply->frame_max);
    bytes_put_u32(limits + 24, reply->in_flight_max);
    bytes_put_u32(limits + 28, reply->hello_ms);

    crypto_generichash_init(&state, NULL, 0, HASH_SIZE);
    crypto_generichash_update(&state, (const uint8_t *)labels[side], strlen(labels[side]));
    crypto_generichash_update(&state, request->client_key.bytes, sizeof request->client_key.bytes);
    crypto_generichash_update(&state, request->client_nonce.bytes, sizeof request->client_nonce.bytes);
    crypto_generichash_update(&state, reply->server_key.bytes, sizeof reply->server_key.bytes);
    crypto_generichash_update(&state, reply->server_nonce.bytes, sizeof reply->server_nonce.bytes);
    crypto_generichash_update(&state, limits, sizeof limits);
    crypto_generichash_final(&state, digest, HASH_SIZE);
}
