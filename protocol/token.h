/* token.h: queue tokens, receipts and the handshake: their bytes, their Merkle proofs, their signatures.
 * Uses libsodium for hashes and signatures; no sockets, allocation or clock. SPEC.md section "Tokens and receipts".
 *
 * A proved document (token or receipt) is:
 *     body | u16 leaf_index | u16 leaf_count | path, 32 bytes each | signature, 64 bytes
 * The documents of one batch are the leaves of one tree, hashed with BLAKE2b-256 and shaped as in RFC 9162:
 *     leaf = H(0x00 | kind | body)    node = H(0x01 | left | right)
 * Signed once, by Ed25519: "usher-batch-1" | u8 version | u16 key_id | u16 leaf_count | root.
 * The path's length follows from index and count. kind is the body's second byte as well. */
#ifndef USHER_TOKEN_H
#define USHER_TOKEN_H

#include <stdbool.h>

#include "protocol.h"

#define USHER_DOCUMENT_VERSION   1
#define USHER_DOCUMENT_TOKEN     1
#define USHER_DOCUMENT_RECEIPT   2
#define USHER_LEAVES_MOST        4096u
#define USHER_PATH_MOST          12u
#define USHER_TOKEN_BODY_SIZE    48u
#define USHER_RECEIPT_BODY_FIXED 50u /* and 12 for each seat */
#define USHER_RECEIPT_SEATS_MOST 16u

/*  0 u8 version   1 u8 kind = 1   2 u16 key_id   4 u32 queue_id   8 user   24 u64 position   32 u64 issued_ms
 * 40 u64 ends_ms */
typedef struct usher_token_body {
    uint16_t key_id;
    uint32_t queue_id;
    usher_uuid user;
    uint64_t position;
    uint64_t issued_ms;
    uint64_t ends_ms; /* the absolute end; the store may end the place earlier */
} usher_token_body;

typedef struct usher_receipt_seat {
    uint32_t concert_id;
    uint32_t date_id;
    uint32_t seat_no;
} usher_receipt_seat;

/*  0 u8 version   1 u8 kind = 2   2 u16 key_id   4 u32 zero   8 user   24 u64 payment_id   32 i64 amount
 * 40 u64 paid_at_ms   48 u16 seat_count   50 seats: u32 concert_id, u32 date_id, u32 seat_no */
typedef struct usher_receipt_body {
    uint16_t key_id;
    usher_uuid user;
    uint64_t payment_id;
    int64_t amount;
    uint64_t paid_at_ms;
    uint16_t seat_count; /* 1 to 16 */
    usher_receipt_seat seat[USHER_RECEIPT_SEATS_MOST];
} usher_receipt_body;

typedef struct usher_proof {
    uint16_t leaf_index;
    uint16_t leaf_count;
    uint8_t path_count;
    uint8_t path[USHER_PATH_MOST][32];
    uint8_t signature[64];
} usher_proof;

/* Bodies to bytes and back. encode returns the size. decode returns false for anything that is not exactly one. */
size_t usher_token_body_encode(const usher_token_body *body, uint8_t out[USHER_TOKEN_BODY_SIZE]);
bool usher_token_body_decode(const uint8_t *bytes, size_t size, usher_token_body *body);
size_t usher_receipt_body_encode(const usher_receipt_body *body, uint8_t *out, size_t room);
bool usher_receipt_body_decode(const uint8_t *bytes, size_t size, usher_receipt_body *body);

/* The leaf of an encoded body. */
void usher_leaf(const uint8_t *body, size_t size, uint8_t leaf[32]);

/* The tree over 1 to USHER_LEAVES_MOST leaves. usher_tree_fill writes every level's hashes to nodes, which must have
 * room for usher_tree_nodes(count) hashes of 32 bytes and begins with the leaves, that the caller has put there. The
 * root is the last hash. usher_tree_path then reads one leaf's path and returns its length. */
size_t usher_tree_nodes(size_t count);
void usher_tree_fill(uint8_t (*nodes)[32], size_t count);
size_t usher_tree_path(const uint8_t (*nodes)[32], size_t count, size_t index, uint8_t path[USHER_PATH_MOST][32]);
/* How long the path of this leaf is; the root that leaf and proof lead to. */
size_t usher_path_length(size_t count, size_t index);
void usher_proof_root(const uint8_t leaf[32], const usher_proof *proof, uint8_t root[32]);

/* The bytes that are signed for a root, and their signature. secret_key is libsodium's 64-byte form. */
void usher_root_sign(const uint8_t secret_key[64], uint16_t key_id, uint16_t leaf_count, const uint8_t root[32],
                     uint8_t signature[64]);
bool usher_root_verify(const uint8_t public_key[32], uint16_t key_id, uint16_t leaf_count, const uint8_t root[32],
                       const uint8_t signature[64]);

/* Join body and proof; returns the size or SIZE_MAX when it does not fit. Split them again: false when the bytes can't
 * be a document of this kind (TOKEN_MALFORMED); *body_size gets the length of the body at their beginning. */
size_t usher_document_join(const uint8_t *body, size_t body_size, const usher_proof *proof, uint8_t *out, size_t room);
bool usher_document_split(const uint8_t *bytes, size_t size, unsigned kind, size_t *body_size, usher_proof *proof);

/* Check a whole document against one key: TOKEN_MALFORMED, TOKEN_UNKNOWN_KEY (it names another key than key_id),
 * TOKEN_FORGED (its body, path or signature was altered, or another key signed it), or OK. Costs one signature check;
 * who sees many documents of a batch remembers its root instead. */
usher_result usher_document_verify(const uint8_t *bytes, size_t size, unsigned kind, uint16_t key_id,
                                   const uint8_t public_key[32]);

/* The key_id that a document of at least 4 bytes names. */
uint16_t usher_document_key_id(const uint8_t *bytes);

/* Both halves of the handshake sign BLAKE2b-256 of: label | client_key | client_nonce | server_key | server_nonce |
 * u64 features of the request | u32 frame_max of the request | u64 features, u32 frame_max, u32 in_flight_max,
 * u32 hello_ms of the reply. The labels are "usher-hello-server-1", "usher-hello-client-1" (AUTHENTICATE) and
 * "usher-hello-enrol-1" (ENROL). */
typedef enum usher_handshake_side {
    USHER_HANDSHAKE_SERVER,
    USHER_HANDSHAKE_CLIENT,
    USHER_HANDSHAKE_ENROL
} usher_handshake_side;
void usher_handshake_digest(usher_handshake_side side, const usher_hello_request *request,
                            const usher_hello_reply *reply, uint8_t digest[32]);

#endif
