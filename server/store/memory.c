/* memory.c: see memory.h. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/memory.h"

void
store_out_of_memory(size_t bytes)
{
    fprintf(stderr, "usherd: out of memory (%zu bytes more were needed); every acknowledged change is on the disk\n",
            bytes);
    abort();
}

void *
store_allocate(size_t count, size_t item_size)
{
    void *memory = calloc(count, item_size);

    if (memory == NULL)
        store_out_of_memory(count * item_size);
    return memory;
}

void *
store_allocate_blocks(size_t size, size_t block)
{
    void *memory = aligned_alloc(block, size);

    if (memory == NULL)
        store_out_of_memory(size);
    return memset(memory, 0, size);
}

void *
store_take(size_t bytes)
{
    void *memory = malloc(bytes);

    if (memory == NULL)
        store_out_of_memory(bytes);
    return memory;
}

void *
store_grow_now(void *items, size_t *capacity, size_t need, size_t item_size)
{
    size_t room = *capacity < 8 ? 8 : *capacity;
    void *grown;

    while (room < need)
        room += room / 2;
    if (room > SIZE_MAX / item_size)
        store_out_of_memory(SIZE_MAX);
    grown = realloc(items, room * item_size);
    if (grown == NULL)
        store_out_of_memory(room * item_size);
    *capacity = room;
    return grown;
}
