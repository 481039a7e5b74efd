/* held.c: answers that are written while their batch is on its way to the disk, and leave once it is there.
 *
 * The answers of a turn, its queries and its proofs are a good part of the turn's work, and the disk takes a while for a
 * batch of some size. So they are made meanwhile, from memory as it will be on the disk; but nothing of it may leave the
 * process before that. The frames are kept here, and behind their connections' output once the disk has the batch; or
 * they are dropped, when it has not. */
#include "server/net/inside.h"

#include <stdlib.h>

struct held_frame {
    struct connection *connection;
    size_t offset, size; /* in the bytes */
};

struct held {
    struct held_frame *frames;
    size_t count, room;
    struct net_buffer bytes;
};

struct held *
held_open(void)
{
    return calloc(1, sizeof(struct held));
}

void
held_close(struct held *held)
{
    if (held == NULL)
        return;
    free(held->frames);
    free(held->bytes.bytes);
    free(held);
}

uint8_t *
held_reserve(struct held *held, size_t most)
{
    if (held->count == held->room) {
        size_t room = held->room == 0 ? 64 : held->room * 2;
        struct held_frame *frames = realloc(held->frames, room * sizeof *frames);
        if (frames == NULL)
            return NULL;
        held->frames = frames;
        held->room = room;
    }
    return net_buffer_reserve(&held->bytes, most) ? held->bytes.bytes + held->bytes.end : NULL;
}

void
held_add(struct held *held, struct connection *connection, size_t size)
{
    held->frames[held->count++] = (struct held_frame){connection, held->bytes.end, size};
    held->bytes.end += size;
}

size_t
held_size(const struct held *held)
{
    return held->bytes.end;
}

void
held_release(struct held *held)
{
    for (size_t i = 0; i < held->count; i++)
        connection_append(held->frames[i].connection, held->bytes.bytes + held->frames[i].offset, held->frames[i].size);
    held_drop(held);
}

void
held_drop(struct held *held)
{
    held->count = 0;
    held->bytes.end = 0;
}
