/* memory.c: see memory.h. */
#include "client-sdk/src/memory.h"

#include <stdlib.h>
#include <string.h>

static void *
usual_allocate(void *context, size_t size)
{
    (void)context;
    return malloc(size);
}

static void *
usual_reallocate(void *context, void *piece, size_t size)
{
    (void)context;
    return realloc(piece, size);
}

static void
usual_release(void *context, void *piece)
{
    (void)context;
    free(piece);
}

bool
usher_memory_set(usher_memory *memory, const usher_memory *hooks)
{
    if ((hooks->allocate == NULL) != (hooks->release == NULL))
        return false;
    if (hooks->reallocate != NULL && hooks->allocate == NULL)
        return false;
    *memory = *hooks;
    if (memory->allocate == NULL) {
        memory->allocate = usual_allocate;
        memory->reallocate = usual_reallocate;
        memory->release = usual_release;
    }
    return true;
}

void *
usher_memory_take(const usher_memory *memory, size_t size)
{
    void *piece = memory->allocate(memory->context, size);

    if (piece != NULL)
        memset(piece, 0, size);
    return piece;
}

void *
usher_memory_grow(const usher_memory *memory, void *piece, size_t old_size, size_t size)
{
    void *larger;

    if (memory->reallocate != NULL)
        return memory->reallocate(memory->context, piece, size);
    larger = memory->allocate(memory->context, size);
    if (larger == NULL)
        return NULL;
    if (old_size > 0)
        memcpy(larger, piece, old_size);
    usher_memory_give(memory, piece);
    return larger;
}

void
usher_memory_give(const usher_memory *memory, void *piece)
{
    if (piece != NULL)
        memory->release(memory->context, piece);
}
