/* memory.h: where a handle's memory comes from: the hooks of its options, or the C library's. */
#ifndef USHER_MEMORY_H
#define USHER_MEMORY_H

#include <stdbool.h>

#include "client-sdk/include/usher.h"

/* Take the hooks of the options; those that are NULL become the C library's. False when they don't fit together. */
bool usher_memory_set(usher_memory *memory, const usher_memory *hooks);

/* size bytes, all zero, or NULL. */
void *usher_memory_take(const usher_memory *memory, size_t size);
/* Make a piece larger; the new part is not zero. NULL leaves it as it was. */
void *usher_memory_grow(const usher_memory *memory, void *piece, size_t old_size, size_t size);
/* Give it back; NULL is welcome. */
void usher_memory_give(const usher_memory *memory, void *piece);

#endif
