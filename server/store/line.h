/* line.h: who waits, in order of position: rank, first, count in O(log n) from one bit per position. */
#ifndef STORE_LINE_H
#define STORE_LINE_H

#include <stdint.h>

struct line {
    uint64_t base;   /* the number of the first block */
    uint64_t blocks; /* that there is room for */
    uint64_t count;
    uint64_t *words; /* LINE_BLOCK_WORDS for each block */
    uint32_t *tree;  /* Fenwick tree over the blocks' counts, from 1 */
};

void line_add(struct line *line, uint64_t position);    /* must not be in it */
void line_remove(struct line *line, uint64_t position); /* must be in it */
uint64_t line_first(const struct line *line);           /* 0 if nobody waits */
/* How many positions before this one are in the line. */
uint64_t line_before(const struct line *line, uint64_t position);
void line_free(struct line *line);
uint64_t line_bytes(const struct line *line);

#endif
