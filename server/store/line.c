/* line.c: the waiting line of a queue.
 *
 *     words  |1011...|0110...|....   one bit per position, 1,024 positions a block
 *     tree   Fenwick tree over the number of bits in each block
 *     notes  one for each word
 *     base   block of the first word; blocks before it are empty
 *
 * People join at the end and leave mostly at the front, so the window of blocks wanders upwards. It is moved when room
 * is needed: down over leading blocks that have become empty, or into twice the room. A position below the base can
 * come back (a batch is undone), so the base may move down as well. */
#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/line.h"
#include "server/store/memory.h"

#define LINE_BLOCK_WORDS  16u
#define LINE_BLOCK_BITS   (LINE_BLOCK_WORDS * 64u)
#define LINE_BLOCKS_LEAST 4u

static void
line_count_block(struct line *line, uint64_t block, int change)
{
    for (uint64_t node = block + 1; node <= line->blocks; node += node & -node)
        line->tree[node] = (uint32_t)((int64_t)line->tree[node] + change);
}

static void
line_build_tree(struct line *line)
{
    memset(line->tree, 0, (line->blocks + 1) * sizeof *line->tree);
    for (uint64_t block = 0; block < line->blocks; block++) {
        uint64_t node = block + 1, parent = node + (node & -node);

        for (uint64_t word = 0; word < LINE_BLOCK_WORDS; word++)
            line->tree[node] += (uint32_t)__builtin_popcountll(line->words[block * LINE_BLOCK_WORDS + word]);
        if (parent <= line->blocks)
            line->tree[parent] += line->tree[node];
    }
}

/* The first block with a bit in it, counted from the base; line->count must not be 0. */
static uint64_t
line_first_block(const struct line *line)
{
    uint64_t node = 0, step = 1;

    while (step * 2 <= line->blocks)
        step *= 2;
    for (; step > 0; step /= 2) /* the greatest node whose prefix is still empty */
        if (node + step <= line->blocks && line->tree[node + step] == 0)
            node += step;
    assert(node < line->blocks);
    return node;
}

/* Take a new window; every block with a bit must lie in it. */
static void
line_move(struct line *line, uint64_t base, uint64_t blocks)
{
    uint64_t *words = store_allocate(blocks * LINE_BLOCK_WORDS, sizeof *words);
    uint64_t *notes = store_allocate(blocks * LINE_BLOCK_WORDS, sizeof *notes);

    line->note_count = 0;
    if (line->count > 0) {
        uint64_t first = line->base + line_first_block(line), end = line->base + line->blocks;

        assert(first >= base);
        if (end > base + blocks)
            end = base + blocks;
        uint64_t to = (first - base) * LINE_BLOCK_WORDS, from = (first - line->base) * LINE_BLOCK_WORDS;
        uint64_t count = (end - first) * LINE_BLOCK_WORDS;
        memcpy(words + to, line->words + from, count * sizeof *words);
        memcpy(notes + to, line->notes + from, count * sizeof *notes);
        for (uint64_t at = to; at < to + count; at++)
            line->note_count += notes[at] != 0;
    }
    free(line->notes);
    line->notes = notes;
    free(line->words);
    free(line->tree);
    line->words = words;
    line->tree = store_allocate(blocks + 1, sizeof *line->tree);
    line->base = base;
    line->blocks = blocks;
    line_build_tree(line);
}

static void
line_make_room(struct line *line, uint64_t block)
{
    uint64_t first, end, blocks = LINE_BLOCKS_LEAST;

    if (line->count == 0) {
        line_move(line, block, LINE_BLOCKS_LEAST);
        return;
    }
    first = line->base + line_first_block(line);
    end = line->base + line->blocks;
    if (block < first) { /* downwards: keep what there is above */
        while (blocks < end - block)
            blocks *= 2;
        line_move(line, block, blocks);
        return;
    }
    /* Upwards. Half of the room stays free after a move, so moves are rare whatever they cost. */
    while (blocks < (block + 1 - first) * 2)
        blocks *= 2;
    line_move(line, first, blocks);
}

void
line_add(struct line *line, uint64_t position)
{
    uint64_t block = position / LINE_BLOCK_BITS, bit = UINT64_C(1) << (position % 64);
    uint64_t *word;

    assert(position != 0);
    if (block < line->base || block >= line->base + line->blocks)
        line_make_room(line, block);
    word = &line->words[(position - line->base * LINE_BLOCK_BITS) / 64];
    assert((*word & bit) == 0);
    *word |= bit;
    line_count_block(line, block - line->base, 1);
    line->count++;
}

void
line_remove(struct line *line, uint64_t position)
{
    uint64_t block = position / LINE_BLOCK_BITS, bit = UINT64_C(1) << (position % 64);
    uint64_t *word;

    assert(block >= line->base);
    assert(block < line->base + line->blocks);
    word = &line->words[(position - line->base * LINE_BLOCK_BITS) / 64];
    assert((*word & bit) != 0);
    *word &= ~bit;
    line_count_block(line, block - line->base, -1);
    line->count--;
}

uint64_t
line_first(const struct line *line)
{
    uint64_t word;

    if (line->count == 0)
        return 0;
    word = line_first_block(line) * LINE_BLOCK_WORDS;
    while (line->words[word] == 0)
        word++;
    return line->base * LINE_BLOCK_BITS + word * 64 + (uint64_t)__builtin_ctzll(line->words[word]);
}

uint64_t
line_before(const struct line *line, uint64_t position)
{
    uint64_t block = position / LINE_BLOCK_BITS, word, end, before = 0;

    if (block < line->base)
        return 0;
    if (block >= line->base + line->blocks)
        return line->count;
    block -= line->base;
    for (uint64_t node = block; node > 0; node -= node & -node)
        before += line->tree[node];
    end = (position - line->base * LINE_BLOCK_BITS) / 64;
    for (word = block * LINE_BLOCK_WORDS; word < end; word++)
        before += (uint64_t)__builtin_popcountll(line->words[word]);
    return before + (uint64_t)__builtin_popcountll(line->words[end] & ((UINT64_C(1) << (position % 64)) - 1));
}

static bool
line_reaches(const struct line *line, uint64_t position)
{
    uint64_t block = position / LINE_BLOCK_BITS;

    return block >= line->base && block < line->base + line->blocks;
}

uint64_t
line_word(const struct line *line, uint64_t position)
{
    return line_reaches(line, position) ? line->words[(position - line->base * LINE_BLOCK_BITS) / 64] : 0;
}

uint64_t
line_note(const struct line *line, uint64_t position)
{
    return line_reaches(line, position) ? line->notes[(position - line->base * LINE_BLOCK_BITS) / 64] : 0;
}

void
line_set_note(struct line *line, uint64_t position, uint64_t note)
{
    assert(line_reaches(line, position));
    uint64_t *place = &line->notes[(position - line->base * LINE_BLOCK_BITS) / 64];
    line->note_count += (note != 0) - (uint64_t)(*place != 0);
    *place = note;
}

void
line_free(struct line *line)
{
    free(line->notes);
    free(line->words);
    free(line->tree);
    *line = (struct line){0};
}

uint64_t
line_bytes(const struct line *line)
{
    return line->blocks * (LINE_BLOCK_WORDS * (sizeof *line->words + sizeof *line->notes) + sizeof *line->tree);
}
