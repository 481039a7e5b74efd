/* proof.c: is this queue token one of ours? Its leaf and path lead to a root; the root's signature is what Ed25519 says
 * yes to. Checking a signature takes about 50 us, hashing a path up to 3 us, looking at a token that was shown before
 * 0.2 us. So two things are remembered:
 *
 *   tokens   whole, byte for byte: those that this process has issued, and those whose proof was right, for people show
 *            theirs again and again
 *   roots    whose signature was right: those that this process signs itself at once, others when they are first shown
 *
 * What is remembered is a mark of 128 bits: SipHash of the token, or of everything that the root's signature covers and
 * the signature. Its key is drawn at the start and no mark ever leaves, so nobody outside can aim at a place or find a
 * second token with the same mark. A table takes memory as it fills: whenever there are more marks than buckets one
 * bucket is split into two, the next in turn, so that nobody waits while all are moved. From its bound on a new mark takes
 * the place of another of its bucket, which before that hardly one in a hundred has to.
 * A token that was issued takes nobody's place: else a million who join would drive out those who are among the seats and
 * show theirs with each request.
 *
 * Where a mark stands is anywhere in its table: on pages of the usual size the processor would have to look up most times
 * where that page is, which takes longer than reading it.
 * Checks of unknown roots are counted per connection and second, so that made-up tokens cannot take the loop's time. */
#define _GNU_SOURCE 1 /* MADV_HUGEPAGE */
#include "server/net/inside.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <sodium.h>

#define MARK_SIZE   16
#define BUCKET_SIZE 4
#define SECOND_MS   1000
#define HUGE_LEAST  ((size_t)4 << 20) /* of a table, whose pages are of 2 MiB from there on */

struct bucket {
    uint8_t marks[BUCKET_SIZE][MARK_SIZE]; /* all zero: none */
};

struct marks {
    struct bucket *buckets; /* bucket_most of them; the system gives the memory for one when it is first written to */
    uint64_t bucket_most, bucket_count, count;
    uint64_t mask;   /* of a mark's number, to find its bucket; one bit less leads to those that are not split yet */
    uint32_t victim; /* which place of a full bucket goes next */
};

struct proof_known {
    uint8_t key[crypto_shorthash_siphashx24_KEYBYTES];
    struct marks tokens, roots;
};

_Static_assert(crypto_shorthash_siphashx24_BYTES == MARK_SIZE, "a mark is a hash");
_Static_assert(sizeof(struct proof_mark) == MARK_SIZE, "a mark outside is one");

static bool
marks_open(struct marks *marks, uint64_t most)
{
    marks->bucket_most = 1;
    while (marks->bucket_most * 2 * BUCKET_SIZE <= most)
        marks->bucket_most *= 2;
    marks->bucket_count = 1;
    size_t size = marks->bucket_most * sizeof *marks->buckets;
    marks->buckets = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (marks->buckets == MAP_FAILED) {
        marks->buckets = NULL;
        return false;
    }
    if (size >= HUGE_LEAST)
        (void)madvise(marks->buckets, size, MADV_HUGEPAGE); /* where there are none, small ones do as well */
    return true;
}

static void
marks_close(struct marks *marks)
{
    if (marks->buckets != NULL)
        munmap(marks->buckets, marks->bucket_most * sizeof *marks->buckets);
}

struct proof_known *
proof_open(uint64_t tokens_most, uint64_t roots_most)
{
    struct proof_known *known = calloc(1, sizeof *known);

    if (known == NULL)
        return NULL;
    if (!marks_open(&known->tokens, tokens_most) || !marks_open(&known->roots, roots_most)) {
        proof_close(known);
        return NULL;
    }
    randombytes_buf(known->key, sizeof known->key);
    return known;
}

void
proof_close(struct proof_known *known)
{
    if (known == NULL)
        return;
    marks_close(&known->tokens);
    marks_close(&known->roots);
    sodium_memzero(known, sizeof *known);
    free(known);
}

static void
make_root_mark(const struct proof_known *known, uint16_t key_id, uint16_t leaf_count, const uint8_t root[32],
               const uint8_t signature[64], uint8_t mark[MARK_SIZE])
{
    uint8_t said[2 + 2 + 32 + 64];

    memcpy(said, &key_id, 2);
    memcpy(said + 2, &leaf_count, 2);
    memcpy(said + 4, root, 32);
    memcpy(said + 36, signature, 64);
    crypto_shorthash_siphashx24(mark, said, sizeof said, known->key);
}

static struct bucket *
bucket_of(const struct marks *marks, const uint8_t mark[MARK_SIZE])
{
    uint64_t at;

    memcpy(&at, mark, sizeof at);
    at &= marks->mask;
    return &marks->buckets[at < marks->bucket_count ? at : at & (marks->mask >> 1)];
}

/* One bucket more: half of another's marks, more or less. */
static void
split_next(struct marks *marks)
{
    uint64_t made = marks->bucket_count++;

    if (made > marks->mask)
        marks->mask = marks->mask * 2 + 1;
    struct bucket *from = &marks->buckets[made & (marks->mask >> 1)], *to = &marks->buckets[made];
    for (int i = 0; i < BUCKET_SIZE; i++) {
        if (bucket_of(marks, from->marks[i]) != to)
            continue;
        memcpy(to->marks[i], from->marks[i], MARK_SIZE);
        memset(from->marks[i], 0, MARK_SIZE);
    }
}

static bool
is_known(const struct marks *marks, const uint8_t mark[MARK_SIZE])
{
    const struct bucket *bucket = bucket_of(marks, mark);

    for (int i = 0; i < BUCKET_SIZE; i++) {
        if (memcmp(bucket->marks[i], mark, MARK_SIZE) == 0)
            return true;
    }
    return false;
}

/* Put it where nothing is. False when its bucket is full. */
static bool
remember_too(struct marks *marks, const uint8_t mark[MARK_SIZE])
{
    static const uint8_t none[MARK_SIZE];
    struct bucket *bucket = bucket_of(marks, mark);
    int place = 0;

    while (place < BUCKET_SIZE && memcmp(bucket->marks[place], none, MARK_SIZE) != 0)
        place++;
    if (place == BUCKET_SIZE)
        return false;
    memcpy(bucket->marks[place], mark, MARK_SIZE);
    marks->count++;
    if (marks->count > marks->bucket_count && marks->bucket_count < marks->bucket_most)
        split_next(marks);
    return true;
}

static void
remember(struct marks *marks, const uint8_t mark[MARK_SIZE])
{
    if (!remember_too(marks, mark))
        memcpy(bucket_of(marks, mark)->marks[marks->victim++ % BUCKET_SIZE], mark, MARK_SIZE);
}

void
proof_remember(struct net *net, uint16_t leaf_count, const uint8_t root[32], const uint8_t signature[64])
{
    uint8_t mark[MARK_SIZE];

    make_root_mark(net->known, net->config.key_id, leaf_count, root, signature, mark);
    remember(&net->known->roots, mark);
}

void
proof_remember_token(struct net *net, const uint8_t *token, size_t size)
{
    uint8_t mark[MARK_SIZE];

    crypto_shorthash_siphashx24(mark, token, size, net->known->key);
    (void)remember_too(&net->known->tokens, mark);
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

/* The way up the tree: leaf, path, root, signature. */
static usher_result
climb_tree(struct connection *connection, const uint8_t *token, size_t body_size, const usher_token_body *body,
           const usher_proof *proof, uint64_t *retry_after_ms)
{
    const struct net *net = connection->net;
    uint8_t leaf[32], root[32], mark[MARK_SIZE];

    usher_leaf(token, body_size, leaf);
    usher_proof_root(leaf, proof, root);
    make_root_mark(net->known, body->key_id, proof->leaf_count, root, proof->signature, mark);
    if (is_known(&net->known->roots, mark))
        return USHER_OK;
    if (!take_check(connection, retry_after_ms))
        return USHER_BUSY;
    const uint8_t *public_key = net->config.secret_key + 32;
    if (!usher_root_verify(public_key, body->key_id, proof->leaf_count, root, proof->signature))
        return USHER_TOKEN_FORGED;
    remember(&net->known->roots, mark);
    return USHER_OK;
}

usher_result
proof_begin(const struct net *net, const uint8_t *token, size_t size, usher_token_body *body, struct proof_mark *mark)
{
    usher_proof proof;
    size_t body_size;

    if (!usher_document_split(token, size, USHER_DOCUMENT_TOKEN, &body_size, &proof))
        return USHER_TOKEN_MALFORMED;
    if (!usher_token_body_decode(token, body_size, body))
        return USHER_TOKEN_MALFORMED;
    if (body->key_id != net->config.key_id)
        return USHER_TOKEN_UNKNOWN_KEY;
    crypto_shorthash_siphashx24(mark->bytes, token, size, net->known->key);
    __builtin_prefetch(bucket_of(&net->known->tokens, mark->bytes));
    return USHER_OK;
}

usher_result
proof_end(struct connection *connection, const uint8_t *token, size_t size, const struct proof_mark *mark,
          uint64_t *retry_after_ms)
{
    struct marks *tokens = &connection->net->known->tokens;
    usher_token_body body;
    usher_proof proof;
    size_t body_size;

    if (is_known(tokens, mark->bytes))
        return USHER_OK;
    bool sound = usher_document_split(token, size, USHER_DOCUMENT_TOKEN, &body_size, &proof);
    sound = sound && usher_token_body_decode(token, body_size, &body);
    assert(sound); /* proof_begin() has seen to it */
    usher_result result = climb_tree(connection, token, body_size, &body, &proof, retry_after_ms);
    if (result == USHER_OK)
        remember(tokens, mark->bytes);
    return result;
}
