/* seal.c: proves the tokens and receipts of a turn: they are the leaves of one tree, whose root is signed once.
 *
 * The core's answers hold the bodies alone. Once the turn's batch is on the disk, the OK replies that hold a body are
 * kept here, decoded; seal_run makes the tree, signs it, joins each body with its proof and writes the replies. More
 * than USHER_LEAVES_MOST of them take several trees. A receipt that is asked for alone is a tree of its own: its path
 * is empty, which makes it short enough for a QR code.
 *
 * The answer inside a lookup_reply stays as it is remembered, without a proof: who needs it proved repeats the request
 * under its id (JOIN, PAY) or asks for RECEIPT. */
#include "server/net/inside.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Where a reply's document stands. */
struct place {
    uint16_t opcode;
    uint16_t most;
    size_t count_offset, offset;
};
#define PLACE(OPCODE, name, field)                                                                                     \
    {                                                                                                                  \
        USHER_OPCODE_##OPCODE, sizeof((usher_##name *)NULL)->field, offsetof(usher_##name, field##_count),             \
            offsetof(usher_##name, field)                                                                              \
    }
static const struct place places[] = {
    PLACE(JOIN, join_reply, token),
    PLACE(PAY, pay_reply, receipt),
    PLACE(RECEIPT, receipt_reply, receipt),
};

struct sealed {
    struct connection *connection;
    const usher_message *message;
    const struct place *place;
    uint32_t request_no;
    bool replayed;
    bool alone;
    size_t reply; /* in the arena */
    uint8_t leaf[32];
};

struct seal {
    struct sealed *list;
    size_t count, room;
    uint8_t *arena; /* the decoded replies */
    size_t arena_size, arena_room;
    uint8_t (*nodes)[32];
};

struct seal *
seal_open(void)
{
    struct seal *seal = calloc(1, sizeof *seal);

    if (seal == NULL)
        return NULL;
    seal->nodes = calloc(usher_tree_nodes(USHER_LEAVES_MOST), sizeof *seal->nodes);
    if (seal->nodes == NULL) {
        free(seal);
        return NULL;
    }
    return seal;
}

void
seal_close(struct seal *seal)
{
    if (seal == NULL)
        return;
    free(seal->list);
    free(seal->arena);
    free(seal->nodes);
    free(seal);
}

static const struct place *
place_of(const usher_message *message)
{
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (places[i].opcode == message->opcode)
            return &places[i];
    }
    return NULL;
}

bool
seal_wants(const usher_message *message)
{
    return place_of(message) != NULL;
}

static uint16_t *
document_size(const struct place *place, uint8_t *reply)
{
    return (uint16_t *)(void *)(reply + place->count_offset);
}

/* Room for one more. False without memory. */
static bool
grow(struct seal *seal, size_t reply_size)
{
    if (seal->count == seal->room) {
        size_t room = seal->room == 0 ? 64 : seal->room * 2;
        struct sealed *list = realloc(seal->list, room * sizeof *list);
        if (list == NULL)
            return false;
        seal->list = list;
        seal->room = room;
    }
    if (seal->arena_room - seal->arena_size < reply_size) {
        size_t room = (seal->arena_room + reply_size) * 2;
        uint8_t *arena = realloc(seal->arena, room);
        if (arena == NULL)
            return false;
        seal->arena = arena;
        seal->arena_room = room;
    }
    return true;
}

void
seal_take(struct net *net, const struct pending *pending, bool replayed, const void *reply)
{
    struct seal *seal = net->seal;
    size_t size = pending->message->reply->struct_size;
    size_t room = (size + 15) & ~(size_t)15; /* every copy is aligned */

    if (!grow(seal, room)) {
        connection_cut(pending->connection, "no_memory");
        return;
    }
    struct sealed *sealed = &seal->list[seal->count++];
    *sealed = (struct sealed){.connection = pending->connection,
                              .message = pending->message,
                              .place = place_of(pending->message),
                              .request_no = pending->request_no,
                              .replayed = replayed,
                              .reply = seal->arena_size};
    if (pending->message->opcode == USHER_OPCODE_RECEIPT)
        sealed->alone = ((const usher_receipt_request *)(void *)(net->turn->arena + pending->body))->alone;
    uint8_t *copy = seal->arena + seal->arena_size;
    memcpy(copy, reply, size);
    seal->arena_size += room;
    usher_leaf(copy + sealed->place->offset, *document_size(sealed->place, copy), sealed->leaf);
}

static void
write_reply(struct net *net, const struct sealed *sealed, const usher_proof *proof)
{
    uint8_t *reply = net->seal->arena + sealed->reply;
    uint16_t *size = document_size(sealed->place, reply);
    uint8_t document[1024];
    const usher_frame frame = {.opcode = sealed->message->opcode,
                               .request_no = sealed->request_no,
                               .flags = sealed->replayed ? USHER_FLAG_REPLAYED : 0};

    assert(sealed->place->most <= sizeof document);
    size_t joined = usher_document_join(reply + sealed->place->offset, *size, proof, document, sealed->place->most);
    assert(joined != SIZE_MAX);
    memcpy(reply + sealed->place->offset, document, joined);
    *size = (uint16_t)joined;
    if (sealed->message->opcode == USHER_OPCODE_JOIN)
        proof_remember_token(net, document, joined);
    connection_reply(sealed->connection, &frame, sealed->message->reply, reply);
}

/* Make one tree of the sealed replies that these numbers name, and write them. */
static void
seal_tree(struct net *net, const uint32_t *numbers, size_t count)
{
    struct seal *seal = net->seal;
    usher_proof proof = {.leaf_count = (uint16_t)count};

    for (size_t i = 0; i < count; i++)
        memcpy(seal->nodes[i], seal->list[numbers[i]].leaf, 32);
    usher_tree_fill(seal->nodes, count);
    const uint8_t *root = seal->nodes[usher_tree_nodes(count) - 1];
    usher_root_sign(net->config.secret_key, net->config.key_id, proof.leaf_count, root, proof.signature);
    proof_remember(net, proof.leaf_count, root, proof.signature);
    for (size_t i = 0; i < count; i++) {
        proof.leaf_index = (uint16_t)i;
        proof.path_count = (uint8_t)usher_tree_path((const uint8_t(*)[32])seal->nodes, count, i, proof.path);
        write_reply(net, &seal->list[numbers[i]], &proof);
    }
}

void
seal_run(struct net *net)
{
    struct seal *seal = net->seal;
    uint32_t together[USHER_LEAVES_MOST];
    size_t count = 0;

    for (uint32_t i = 0; i < seal->count; i++) {
        if (seal->list[i].alone) {
            seal_tree(net, &i, 1);
            continue;
        }
        together[count++] = i;
        if (count == USHER_LEAVES_MOST) {
            seal_tree(net, together, count);
            count = 0;
        }
    }
    if (count > 0)
        seal_tree(net, together, count);
    seal->count = 0;
    seal->arena_size = 0;
}
