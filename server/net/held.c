/* held.c: answers that are written while their batch is on its way to the disk, and leave once it is there.
 *
 * The answers of a turn, its queries and its proofs are a good part of the turn's work, and the disk takes a while for a
 * batch of some size. So they are made meanwhile, from memory as it will be on the disk; but nothing of it may leave the
 * process before that. The frames are kept here, and behind their connections' output once the disk has the batch; or
 * they are dropped, when it has not. */
#include "server/net/inside.h"

#include <assert.h>
#include <stdlib.h>

struct held_frame {
    struct connection *connection;
    size_t offset, size; /* in the bytes */
};

struct held {
    struct held_frame *frames;
    size_t count, room;
    uint8_t *bytes;
    size_t size, bytes_room;
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
    free(held->bytes);
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
    if (held->bytes_room - held->size < most) {
        size_t room = (held->bytes_room + most) * 2;
        uint8_t *bytes = realloc(held->bytes, room);
        if (bytes == NULL)
            return NULL;
        held->bytes = bytes;
        held->bytes_room = room;
    }
    return held->bytes + held->size;
}

void
held_add(struct held *held, struct connection *connection, size_t size)
{
    assert(size <= held->bytes_room - held->size);
    held->frames[held->count++] = (struct held_frame){connection, held->size, size};
    held->size += size;
}

size_t
held_size(const struct held *held)
{
    return held->size;
}

void
held_release(struct held *held)
{
    for (size_t i = 0; i < held->count; i++)
        connection_append(held->frames[i].connection, held->bytes + held->frames[i].offset, held->frames[i].size);
    held_drop(held);
}

void
held_drop(struct held *held)
{
    held->count = 0;
    held->size = 0;
}
