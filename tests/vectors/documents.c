/* documents.c: Merkle trees, tokens and receipts, and the handshake, under keys that everybody may know: trees.jsonl,
 * documents.jsonl, handshakes.jsonl. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "protocol/bytes.h"
#include "protocol/token.h"
#include "tests/vectors/vectors.h"

struct key_pair {
    uint8_t seed[32], public_key[32], secret_key[64];
};

/* The key of SPEC.md's section 12.8 for first = 0x40. */
static struct key_pair
key_pair_from(uint8_t first)
{
    struct key_pair pair;

    for (unsigned i = 0; i < sizeof pair.seed; i++)
        pair.seed[i] = (uint8_t)(first + i);
    crypto_sign_seed_keypair(pair.public_key, pair.secret_key, pair.seed);
    return pair;
}

/* --- trees ----------------------------------------------------------------------------------------------- */
/* Leaf i of the trees is H of i as a number of four bytes. */
static uint8_t (*new_tree(size_t count))[32]
{
    uint8_t(*nodes)[32] = malloc(usher_tree_nodes(count) * sizeof *nodes);

    assert(nodes != NULL);
    for (size_t i = 0; i < count; i++) {
        uint8_t number[4];
        bytes_put_u32(number, (uint32_t)i);
        crypto_generichash(nodes[i], sizeof nodes[i], number, sizeof number, NULL, 0);
    }
    usher_tree_fill(nodes, count);
    return nodes;
}

static void
write_path(FILE *out, const uint8_t (*nodes)[32], size_t count, size_t index)
{
    uint8_t path[USHER_PATH_MOST][32];
    size_t length = usher_tree_path(nodes, count, index, path);

    fputc('{', out);
    vectors_small(out, true, "index", (unsigned)index);
    vectors_name(out, false, "path");
    fputc('[', out);
    for (size_t i = 0; i < length; i++) {
        if (i > 0)
            fputc(',', out);
        vectors_hex(out, path[i], sizeof path[i]);
    }
    fputs("]}", out);
}

/* A tree with every path, or with those of a few leaves when it is large. */
static void
write_tree(FILE *out, size_t count)
{
    uint8_t(*nodes)[32] = new_tree(count);
    bool first = true;

    fputc('{', out);
    vectors_small(out, true, "leaf_count", (unsigned)count);
    vectors_name(out, false, "root");
    vectors_hex(out, nodes[usher_tree_nodes(count) - 1], 32);
    vectors_name(out, false, "paths");
    fputc('[', out);
    for (size_t i = 0; i < count; i++) {
        if (count > 9 && i > 1 && i != count / 2 && i + 2 < count)
            continue;
        fputs(first ? "" : ",", out);
        first = false;
        write_path(out, (const uint8_t(*)[32])nodes, count, i);
    }
    fputs("]}\n", out);
    free(nodes);
}

void
vectors_write_trees(FILE *out)
{
    static const uint16_t counts[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 33, 100, 1023, 1025, 4095, 4096};

    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        write_tree(out, counts[i]);
}

/* --- documents ------------------------------------------------------------------------------------------- */
enum { DOCUMENT_ROOM = 2048 };

struct document {
    unsigned kind;
    usher_token_body token;
    usher_receipt_body receipt;
    uint16_t leaf_index, leaf_count;
    size_t body_size, size;
    uint8_t bytes[DOCUMENT_ROOM];
};

static void
write_fields(FILE *out, const struct document *document)
{
    const usher_receipt_body *receipt = &document->receipt;

    fputc('{', out);
    if (document->kind == USHER_DOCUMENT_TOKEN) {
        vectors_small(out, true, "queue_id", document->token.queue_id);
        vectors_name(out, false, "user");
        vectors_uuid(out, &document->token.user);
        vectors_large(out, false, "position", document->token.position);
        vectors_large(out, false, "issued_ms", document->token.issued_ms);
        vectors_large(out, false, "ends_ms", document->token.ends_ms);
        fputc('}', out);
        return;
    }
    vectors_name(out, true, "user");
    vectors_uuid(out, &receipt->user);
    vectors_large(out, false, "payment_id", receipt->payment_id);
    vectors_name(out, false, "amount");
    fprintf(out, "\"%lld\"", (long long)receipt->amount);
    vectors_large(out, false, "paid_at_ms", receipt->paid_at_ms);
    vectors_name(out, false, "seats");
    for (size_t i = 0; i < receipt->seat_count; i++)
        fprintf(out, "%s[%u,%u,%u]", i == 0 ? "[" : ",", receipt->seat[i].concert_id, receipt->seat[i].date_id,
                receipt->seat[i].seat_no);
    fputs("]}", out);
}

static void
write_document(FILE *out, const char *what, const struct document *document, const struct key_pair *pair,
               usher_result result)
{
    char text[DOCUMENT_ROOM * 2];

    fputc('{', out);
    vectors_name(out, true, "what");
    vectors_text(out, what);
    vectors_small(out, false, "kind", document->kind);
    vectors_name(out, false, "result");
    vectors_text(out, usher_result_name(result));
    vectors_small(out, false, "key_id", 1);
    vectors_name(out, false, "public_key");
    vectors_hex(out, pair->public_key, sizeof pair->public_key);
    vectors_small(out, false, "leaf_index", document->leaf_index);
    vectors_small(out, false, "leaf_count", document->leaf_count);
    if (result == USHER_OK) {
        vectors_name(out, false, "fields");
        write_fields(out, document);
        vectors_name(out, false, "text");
        sodium_bin2base64(text, sizeof text, document->bytes, document->size, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        vectors_text(out, text);
    }
    vectors_name(out, false, "document");
    vectors_hex(out, document->bytes, document->size);
    fputs("}\n", out);
}

static usher_uuid
some_user(uint8_t first)
{
    usher_uuid user;

    for (unsigned i = 0; i < sizeof user.bytes; i++)
        user.bytes[i] = (uint8_t)(first + 17 * i);
    return user;
}

/* Prove the body that stands at the document's beginning: as leaf index of a tree whose other leaves are those of
 * new_tree(). */
static void
prove(struct document *document, uint16_t index, uint16_t count, const struct key_pair *pair, uint16_t key_id)
{
    uint8_t(*nodes)[32] = new_tree(count);
    uint8_t body[DOCUMENT_ROOM];
    usher_proof proof = {.leaf_index = index, .leaf_count = count};

    memcpy(body, document->bytes, document->body_size);
    usher_leaf(body, document->body_size, nodes[index]);
    usher_tree_fill(nodes, count);
    proof.path_count = (uint8_t)usher_tree_path((const uint8_t(*)[32])nodes, count, index, proof.path);
    usher_root_sign(pair->secret_key, key_id, count, nodes[usher_tree_nodes(count) - 1], proof.signature);
    document->leaf_index = index;
    document->leaf_count = count;
    document->size = usher_document_join(body, document->body_size, &proof, document->bytes, sizeof document->bytes);
    assert(document->size != SIZE_MAX);
    free(nodes);
}

static struct document
new_token(uint16_t index, uint16_t count, const struct key_pair *pair, uint16_t key_id)
{
    struct document document = {.kind = USHER_DOCUMENT_TOKEN};

    document.token = (usher_token_body){.key_id = key_id,
                                        .queue_id = 7,
                                        .user = some_user((uint8_t)index),
                                        .position = UINT64_C(1) << 40 | index,
                                        .issued_ms = 1788618123456,
                                        .ends_ms = 1788704523456};
    document.body_size = usher_token_body_encode(&document.token, document.bytes);
    prove(&document, index, count, pair, key_id);
    return document;
}

static struct document
new_receipt(uint16_t index, uint16_t count, uint16_t seats, const struct key_pair *pair)
{
    struct document document = {.kind = USHER_DOCUMENT_RECEIPT};

    document.receipt = (usher_receipt_body){.key_id = 1,
                                            .user = some_user((uint8_t)index),
                                            .payment_id = UINT64_C(1) << 33 | index,
                                            .amount = 2500 * seats,
                                            .paid_at_ms = 1788618123456,
                                            .seat_count = seats};
    for (uint16_t i = 0; i < seats; i++)
        document.receipt.seat[i] = (usher_receipt_seat){.concert_id = 3, .date_id = UINT32_MAX - i, .seat_no = 11u + i};
    document.body_size = usher_receipt_body_encode(&document.receipt, document.bytes, sizeof document.bytes);
    prove(&document, index, count, pair, 1);
    return document;
}

static void
write_genuine(FILE *out, const struct key_pair *pair)
{
    static const uint16_t places[][2] = {{0, 1},   {0, 2},      {1, 2},       {0, 3},       {1, 3},    {2, 3},
                                         {3, 5},   {4, 5},      {5, 7},       {6, 7},       {8, 9},    {31, 33},
                                         {32, 33}, {512, 1000}, {1024, 1025}, {4094, 4095}, {0, 4096}, {4095, 4096}};

    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct document token = new_token(places[i][0], places[i][1], pair, 1);
        struct document receipt =
            new_receipt(places[i][0], places[i][1], (uint16_t)(i % USHER_RECEIPT_SEATS_MOST + 1), pair);
        write_document(out, "a token", &token, pair, USHER_OK);
        write_document(out, "a receipt", &receipt, pair, USHER_OK);
    }
}

/* --- documents that are none ----------------------------------------------------------------------------- */
/* One byte of a document is another; negative places count from the end of the body. */
struct change {
    const char *what;
    unsigned kind;
    usher_result result;
    size_t at;
    uint8_t byte;
};

/* Places are those of a token (body 48) and a receipt of two seats (body 74), each leaf 1 of 3: then leaf_index,
 * leaf_count, a path of two hashes and the signature. */
enum { T = USHER_DOCUMENT_TOKEN, R = USHER_DOCUMENT_RECEIPT };
static const struct change changes[] = {
    {"its version is 0", T, USHER_TOKEN_MALFORMED, 0, 0},
    {"its version is 2", T, USHER_TOKEN_MALFORMED, 0, 2},
    {"its kind is 0", T, USHER_TOKEN_MALFORMED, 1, 0},
    {"its kind is a receipt's", T, USHER_TOKEN_MALFORMED, 1, 2},
    {"its kind is a token's", R, USHER_TOKEN_MALFORMED, 1, 1},
    {"it names key 2", T, USHER_TOKEN_UNKNOWN_KEY, 2, 2},
    {"it names key 257", R, USHER_TOKEN_UNKNOWN_KEY, 3, 1},
    {"its queue is another", T, USHER_TOKEN_FORGED, 4, 8},
    {"its user is another", T, USHER_TOKEN_FORGED, 8, 99},
    {"its position is another", T, USHER_TOKEN_FORGED, 24, 99},
    {"its end is later", T, USHER_TOKEN_FORGED, 46, 1},
    {"its leaf_index is another of the tree", T, USHER_TOKEN_FORGED, 48, 0},
    {"its leaf_index is one whose path is shorter", T, USHER_TOKEN_MALFORMED, 48, 2},
    {"its leaf_index is the leaf_count", T, USHER_TOKEN_MALFORMED, 48, 3},
    {"its leaf_count is 0", T, USHER_TOKEN_MALFORMED, 50, 0},
    {"its leaf_count is one that has paths of the same length", T, USHER_TOKEN_FORGED, 50, 4},
    {"its leaf_count is far too large", T, USHER_TOKEN_MALFORMED, 51, 0xff},
    {"its path is another", T, USHER_TOKEN_FORGED, 52, 99},
    {"the path's last hash is another", T, USHER_TOKEN_FORGED, 115, 99},
    {"its signature begins otherwise", T, USHER_TOKEN_FORGED, 116, 99},
    {"its signature ends otherwise", T, USHER_TOKEN_FORGED, 179, 99},
    {"its four bytes of zero are not", R, USHER_TOKEN_MALFORMED, 4, 1},
    {"the last of its four bytes of zero is not", R, USHER_TOKEN_MALFORMED, 7, 1},
    {"it has no seat", R, USHER_TOKEN_MALFORMED, 48, 0},
    {"it has a seat too many", R, USHER_TOKEN_MALFORMED, 48, 3},
    {"it has a seat too few", R, USHER_TOKEN_MALFORMED, 48, 1},
    {"it has 17 seats", R, USHER_TOKEN_MALFORMED, 48, 17},
    {"its amount is another", R, USHER_TOKEN_FORGED, 32, 99},
    {"its seat is another", R, USHER_TOKEN_FORGED, 58, 99},
};

static void
write_changed(FILE *out, const struct key_pair *pair)
{
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct document document = changes[i].kind == T ? new_token(1, 3, pair, 1) : new_receipt(1, 3, 2, pair);
        assert(document.size == (changes[i].kind == T ? 180 : 206));
        assert(document.bytes[changes[i].at] != changes[i].byte);
        document.bytes[changes[i].at] = changes[i].byte;
        write_document(out, changes[i].what, &document, pair, changes[i].result);
    }
}

static void
write_cut(FILE *out, const struct key_pair *pair)
{
    static const uint16_t sizes[] = {0, 1, 4, 47, 48, 51, 52, 83, 84, 115, 116, 148, 179};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct document token = new_token(1, 3, pair, 1), receipt = new_receipt(1, 3, 2, pair);
        token.size = receipt.size = sizes[i];
        write_document(out, "it is cut off", &token, pair, USHER_TOKEN_MALFORMED);
        write_document(out, "it is cut off", &receipt, pair, USHER_TOKEN_MALFORMED);
    }
    struct document token = new_token(1, 3, pair, 1);
    token.bytes[token.size++] = 0;
    write_document(out, "a byte too many", &token, pair, USHER_TOKEN_MALFORMED);
    token.size += 31;
    memset(token.bytes + token.size - 31, 0, 31);
    write_document(out, "32 bytes too many", &token, pair, USHER_TOKEN_MALFORMED);
}

/* Add the group's order to the signature's number S: it would solve the same equation, but RFC 8032 forbids it. */
static void
add_order(uint8_t number[32])
{
    static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,       0xd6,
                                      0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10};
    unsigned carry = 0;

    for (size_t i = 0; i < sizeof order; i++) {
        carry += (unsigned)number[i] + order[i];
        number[i] = (uint8_t)carry;
        carry >>= 8;
    }
    assert(carry == 0);
}

static void
write_signed_otherwise(FILE *out, const struct key_pair *pair)
{
    const struct key_pair other = key_pair_from(0x60);
    struct document token = new_token(1, 3, &other, 1);

    write_document(out, "another key signed it", &token, pair, USHER_TOKEN_FORGED);
    token = new_token(0, 1, pair, 1);
    add_order(token.bytes + token.size - 32);
    write_document(out, "its signature's S is above the group's order", &token, pair, USHER_TOKEN_FORGED);
    token = new_token(0, 1, pair, 2);
    write_document(out, "it is sound under a key with another number", &token, pair, USHER_TOKEN_UNKNOWN_KEY);
    token = new_token(0, 1, pair, 1);
    token.bytes[2] = 2;
    token.bytes[0] = 3;
    write_document(out, "malformed comes before an unknown key", &token, pair, USHER_TOKEN_MALFORMED);
}

void
vectors_write_documents(FILE *out)
{
    const struct key_pair pair = key_pair_from(0x40);

    write_genuine(out, &pair);
    write_changed(out, &pair);
    write_cut(out, &pair);
    write_signed_otherwise(out, &pair);
}

/* --- handshakes ------------------------------------------------------------------------------------------ */
static void
write_handshake(FILE *out, usher_handshake_side side, const char *label, const usher_hello_request *request,
                const usher_hello_reply *reply, const struct key_pair *signer)
{
    uint8_t digest[32], signature[64];

    usher_handshake_digest(side, request, reply, digest);
    crypto_sign_detached(signature, NULL, digest, sizeof digest, signer->secret_key);
    fputc('{', out);
    vectors_name(out, true, "label");
    vectors_text(out, label);
    vectors_name(out, false, "request");
    vectors_body(out, usher_message_of(USHER_OPCODE_HELLO)->request, request);
    vectors_name(out, false, "reply");
    vectors_body(out, usher_message_of(USHER_OPCODE_HELLO)->reply, reply);
    vectors_name(out, false, "digest");
    vectors_hex(out, digest, sizeof digest);
    vectors_name(out, false, "seed");
    vectors_hex(out, signer->seed, sizeof signer->seed);
    vectors_name(out, false, "public_key");
    vectors_hex(out, signer->public_key, sizeof signer->public_key);
    vectors_name(out, false, "signature");
    vectors_hex(out, signature, sizeof signature);
    fputs("}\n", out);
}

void
vectors_write_handshakes(FILE *out)
{
    const struct key_pair service = key_pair_from(0x40), client = key_pair_from(0x80);
    usher_hello_request request = {.features = 0, .frame_max = 65536};
    usher_hello_reply reply = {.frame_max = 65536, .in_flight_max = 1024, .hello_ms = 5000};

    memcpy(request.client_key.bytes, client.public_key, 32);
    memcpy(reply.server_key.bytes, service.public_key, 32);
    memset(request.client_nonce.bytes, 0x22, 32);
    memset(reply.server_nonce.bytes, 0x44, 32);
    for (int round = 0; round < 2; round++) {
        uint8_t digest[32];
        usher_handshake_digest(USHER_HANDSHAKE_SERVER, &request, &reply, digest);
        crypto_sign_detached(reply.signature.bytes, NULL, digest, sizeof digest, service.secret_key);
        write_handshake(out, USHER_HANDSHAKE_SERVER, "usher-hello-server-1", &request, &reply, &service);
        write_handshake(out, USHER_HANDSHAKE_CLIENT, "usher-hello-client-1", &request, &reply, &client);
        write_handshake(out, USHER_HANDSHAKE_ENROL, "usher-hello-enrol-1", &request, &reply, &client);
        /* Once more with numbers whose order shows. */
        request.features = UINT64_C(0x0102030405060708);
        request.frame_max = 0x11121314;
        reply.features = UINT64_C(0x2122232425262728);
        reply.frame_max = 0x31323334;
        reply.in_flight_max = 0x41424344;
        reply.hello_ms = 0x51525354;
    }
}
