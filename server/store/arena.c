/* arena.c: large pieces of memory side by side in huge pages (memory.h, store_allocate_large).
 *
 * A large house looks at records and indexes all over some hundred megabytes. In pages of 4 KiB each look costs the way
 * to its page besides, through page tables that no cache holds either; in pages of 2 MiB those are few.
 *
 *     block of 2 MiB   [chunk of a table ......][segment of a map ....][page][page][ free      ]
 *
 * A block is cut by the page, and a bit says whether a page is taken. All stores of the process share the blocks. The
 * first pieces are malloc's, so that a small house takes what it needs and no more; and all are where a sanitizer
 * watches over each. Where the system has no huge pages these are usual ones. */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "server/store/memory.h"

#define PAGE        4096u
#define BLOCK_BYTES (2u << 20)
#define BLOCK_PAGES (BLOCK_BYTES / PAGE)
#define BLOCK_WORDS (BLOCK_PAGES / 64)
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SMALL_BYTES UINT64_MAX
#else
#define SMALL_BYTES (UINT64_C(4) << 20)
#endif

struct block {
    uint8_t *memory;
    uint64_t taken[BLOCK_WORDS]; /* a bit a page */
    uint64_t stale[BLOCK_WORDS]; /* was taken before: no longer zero */
    unsigned free_count;
};

static struct {
    pthread_mutex_t lock; /* stores of several threads */
    struct block *blocks;
    size_t count, room;
    uint64_t small_bytes; /* in malloc's pieces */
} arena = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool
is_set(const uint64_t *bits, unsigned page)
{
    return bits[page / 64] >> page % 64 & 1;
}

static void
set_bits(uint64_t *bits, unsigned first, unsigned count, bool value)
{
    for (unsigned page = first; page < first + count; page++) {
        uint64_t bit = UINT64_C(1) << page % 64;

        bits[page / 64] = value ? bits[page / 64] | bit : bits[page / 64] & ~bit;
    }
}

/* So many free pages in a row: the first of them, or BLOCK_PAGES. */
static unsigned
find_run(const struct block *block, unsigned count)
{
    unsigned run = 0;

    for (unsigned page = 0; block->free_count >= count && page < BLOCK_PAGES; page++) {
        run = is_set(block->taken, page) ? 0 : run + 1;
        if (run == count)
            return page + 1 - count;
    }
    return BLOCK_PAGES;
}

static uint8_t *
take_run(struct block *block, unsigned first, unsigned count)
{
    uint8_t *memory = block->memory + (size_t)first * PAGE;

    for (unsigned page = first; page < first + count; page++)
        if (is_set(block->stale, page))
            memset(block->memory + (size_t)page * PAGE, 0, PAGE);
    set_bits(block->taken, first, count, true);
    set_bits(block->stale, first, count, true);
    block->free_count -= count;
    return memory;
}

/* A block on a multiple of its size, or NULL. */
static uint8_t *
map_block(void)
{
    uint8_t *mapped = mmap(NULL, 2 * BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t *memory;
    size_t before;

    if (mapped == MAP_FAILED)
        return NULL;
    before = (BLOCK_BYTES - (uintptr_t)mapped % BLOCK_BYTES) % BLOCK_BYTES;
    memory = mapped + before;
    if (before > 0)
        munmap(mapped, before);
    munmap(memory + BLOCK_BYTES, BLOCK_BYTES - before);
    (void)madvise(memory, BLOCK_BYTES, MADV_HUGEPAGE); /* where there are none, it is as good as before */
    return memory;
}

static uint8_t *
take_pages(unsigned count)
{
    struct block *block;

    for (size_t at = arena.count; at-- > 0;) { /* the newest has most room */
        unsigned first = find_run(&arena.blocks[at], count);

        if (first < BLOCK_PAGES)
            return take_run(&arena.blocks[at], first, count);
    }
    arena.blocks = store_grow(arena.blocks, &arena.room, arena.count + 1, sizeof *arena.blocks);
    block = &arena.blocks[arena.count];
    *block = (struct block){.memory = map_block(), .free_count = BLOCK_PAGES};
    if (block->memory == NULL)
        return NULL;
    arena.count++;
    return take_run(block, 0, count);
}

static struct block *
block_of(const void *piece)
{
    for (size_t at = arena.count; at-- > 0;)
        if ((uintptr_t)piece - (uintptr_t)arena.blocks[at].memory < BLOCK_BYTES)
            return &arena.blocks[at];
    return NULL;
}

static void
give_pages(struct block *block, void *piece, unsigned count)
{
    set_bits(block->taken, (unsigned)(((uintptr_t)piece - (uintptr_t)block->memory) / PAGE), count, false);
    block->free_count += count;
    if (block->free_count < BLOCK_PAGES)
        return;
    munmap(block->memory, BLOCK_BYTES);
    *block = arena.blocks[--arena.count];
    if (arena.count == 0) {
        free(arena.blocks);
        arena.blocks = NULL;
        arena.room = 0;
    }
}

static unsigned
pages_of(size_t bytes)
{
    return (unsigned)((bytes + PAGE - 1) / PAGE);
}

void *
store_allocate_large(size_t bytes)
{
    void *piece;

    if (bytes < PAGE || bytes > BLOCK_BYTES)
        return store_allocate_blocks((bytes + STORE_LINE - 1) / STORE_LINE * STORE_LINE, STORE_LINE);
    pthread_mutex_lock(&arena.lock);
    if (arena.small_bytes + bytes <= SMALL_BYTES) {
        piece = store_allocate_blocks((size_t)pages_of(bytes) * PAGE, PAGE);
        arena.small_bytes += bytes;
    } else {
        piece = take_pages(pages_of(bytes));
    }
    pthread_mutex_unlock(&arena.lock);
    if (piece == NULL)
        store_out_of_memory(bytes);
    return piece;
}

void
store_free_large(void *piece, size_t bytes)
{
    struct block *block;

    if (piece == NULL || bytes < PAGE || bytes > BLOCK_BYTES) {
        free(piece);
        return;
    }
    pthread_mutex_lock(&arena.lock);
    block = block_of(piece);
    if (block != NULL) {
        give_pages(block, piece, pages_of(bytes));
    } else {
        arena.small_bytes -= bytes;
        free(piece);
    }
    pthread_mutex_unlock(&arena.lock);
}
