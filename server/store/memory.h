/* memory.h: the store's memory. Running out of it ends the process at once and loudly: what was acknowledged is on the
 * disk, so this is the same as being killed, and no half-changed index can go on serving. */
#ifndef STORE_MEMORY_H
#define STORE_MEMORY_H

#include <stddef.h>

/* Zeroed memory; never NULL. */
void *store_allocate(size_t count, size_t item_size);
/* The same as it is, not zeroed. */
void *store_take(size_t bytes);
/* The same on a multiple of `block`, of which size is one too. */
void *store_allocate_blocks(size_t size, size_t block);
/* The same for what is large and looked at all over: on a multiple of a cache line, and in huge pages once there is much
 * of it (arena.c). Who frees it says again how much it was. */
#define STORE_LINE 64u
void *store_allocate_large(size_t bytes);
void store_free_large(void *piece, size_t bytes);
/* Make room for `need` items in a growing array; what is added is not zeroed. Returns the array, maybe moved. */
void *store_grow_now(void *items, size_t *capacity, size_t need, size_t item_size);
static inline void *
store_grow(void *items, size_t *capacity, size_t need, size_t item_size)
{
    return need <= *capacity ? items : store_grow_now(items, capacity, need, item_size);
}
/* There is none: says so and ends the process. */
_Noreturn void store_out_of_memory(size_t bytes);

#endif
