/* proof.c: is this queue token one of ours? Its leaf and path lead to a root; the root's signature is what Ed25519 says
 * yes to. Checking a signature takes about 47 us, hashing a path a few hundred ns, so roots whose signature was right
 * are remembered: those that this process signs itself at once, others when they are first shown.
 *
 * What is remembered of a root is a keyed hash of everything that its signature covers and of the signature; the key is
 * drawn at the start, so nobody outside can aim at a place. The table has a fixed size; a new root takes the place of
 * another of its bucket. Checks of unknown roots are counted per connection and second, so that made-up tokens cannot
 * take the loop's time. */
#include "server/net/inside.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#define MARK_SIZE   16
#define BUCKET_SIZE 4
#define SECOND_MS   1000

struct bucket {
    uint8_t marks[BUCKET_SIZE][MARK_SIZE]; /* all zero: none */
};

struct proof_roots {
    uint8_t key[32];
    uint64_t bucket_mask;
    uint32_t victim; /* which place of a full bucket goes next */
    struct bucket *buckets;
};

struct proof_roots *
proof_open(uint64_t roots_most)
{
    struct proof_roots *roots = calloc(1, sizeof *roots);
    uint64_t bucket_count = 1;

    if (roots == NULL)
        return NULL;
    while (bucket_count * 2 * BUCKET_SIZE <= roots_most)
        bucket_count *= 2;
    roots->bucket_mask = bucket_count - 1;
    roots->buckets = calloc(bucket_count, sizeof *roots->buckets);
    if (roots->buckets == NULL) {
        free(roots);
        return NULL;
    }
    randombytes_buf(roots->key, sizeof roots->key);
    return roots;
}

void
proof_close(struct proof_roots *roots)
{
    if (roots == NULL)
        return;
    free(roots->buckets);
    sodium_memzero(roots, sizeof *roots);
    free(roots);
}

static void
make_mark(const struct proof_roots *roots, uint16_t key_id, uint16_t leaf_count, const uint8_t root[32],
          const uint8_t signature[64], uint8_t mark[MARK_SIZE])
{
    uint8_t said[2 + 2 + 32 + 64];

    memcpy(said, &key_id, 2);
    memcpy(said + 2, &leaf_count, 2);
    memcpy(said + 4, root, 32);
    memcpy(said + 36, signature, 64);
    crypto_generichash(mark, MARK_SIZE, said, sizeof said, roots->key, sizeof roots->key);
}

static struct bucket *
bucket_of(const struct proof_roots *roots, const uint8_t mark[MARK_SIZE])
{
    uint64_t number;

    memcpy(&number, mark, sizeof number);
    return &roots->buckets[number & roots->bucket_mask];
}

static bool
is_known(const struct proof_roots *roots, const uint8_t mark[MARK_SIZE])
{
    const struct bucket *bucket = bucket_of(roots, mark);

    for (int i = 0; i < BUCKET_SIZE; i++) {
        if (memcmp(bucket->marks[i], mark, MARK_SIZE) == 0)
            return true;
    }
    return false;
}

static void
remember(struct proof_roots *roots, const uint8_t mark[MARK_SIZE])
{
    struct bucket *bucket = bucket_of(roots, mark);
    uint8_t(*place)[MARK_SIZE] = &bucket->marks[roots->victim++ % BUCKET_SIZE];

    for (int i = 0; i < BUCKET_SIZE; i++) {
        if (sodium_is_zero(bucket->marks[i], MARK_SIZE)) {
            place = &bucket->marks[i];
            break;
        }
    }
    memcpy(*place, mark, MARK_SIZE);
}

void
proof_remember(struct net *net, uint16_t leaf_count, const uint8_t root[32], const uint8_t signature[64])
{
    uint8_t mark[MARK_SIZE];

    make_mark(net->roots, net->config.key_id, leaf_count, root, signature, mark);
    remember(net->roots, mark);
}

/* Whether this connection may have one more unknown root checked in this second; if not, for how long it can't. */
static bool
take_check(struct connection *connection, uint64_t *retry_after_ms)
{
    const struct net *net = connection->net;
    uint64_t now_ms = net_now(net);

    if (connection->verify_since_ms == 0 || now_ms >= connection->verify_since_ms + SECOND_MS) {
        connection->verify_since_ms = now_ms;
        connection->verify_count = 0;
    }
    if (connection->verify_count >= net->config.limits.verify_max) {
        *retry_after_ms = connection->verify_since_ms + SECOND_MS - now_ms;
        return false;
    }
    connection->verify_count++;
    return true;
}

usher_result
proof_check(struct connection *connection, const uint8_t *token, size_t size, usher_token_body *body,
            uint64_t *retry_after_ms)
{
    const struct net *net = connection->net;
    uint8_t leaf[32], root[32], mark[MARK_SIZE];
    usher_proof proof;
    size_t body_size;

    if (!usher_document_split(token, size, USHER_DOCUMENT_TOKEN, &body_size, &proof))
        return USHER_TOKEN_MALFORMED;
    if (!usher_token_body_decode(token, body_size, body))
        return USHER_TOKEN_MALFORMED;
    if (body->key_id != net->config.key_id)
        return USHER_TOKEN_UNKNOWN_KEY;
    usher_leaf(token, body_size, leaf);
    usher_proof_root(leaf, &proof, root);
    make_mark(net->roots, body->key_id, proof.leaf_count, root, proof.signature, mark);
    if (is_known(net->roots, mark))
        return USHER_OK;
    if (!take_check(connection, retry_after_ms))
        return USHER_BUSY;
    const uint8_t *public_key = net->config.secret_key + 32;
    if (!usher_root_verify(public_key, body->key_id, proof.leaf_count, root, proof.signature))
        return USHER_TOKEN_FORGED;
    remember(net->roots, mark);
    return USHER_OK;
}
