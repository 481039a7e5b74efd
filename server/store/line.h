/* line.h: who waits, in order of position: rank, first, count in O(log n) from one bit per position. Beside the bits of
 * 64 neighbours there is room for a note on them, which is somebody else's (lease.h). */
#ifndef STORE_LINE_H
#define STORE_LINE_H

#include <stdint.h>

struct line {
    uint64_t base;   /* the number of the first block */
    uint64_t blocks; /* that there is room for */
    uint64_t count;
    uint64_t *words; /* LINE_BLOCK_WORDS for each block */
    uint64_t *notes; /* one for each word; 0 for none */
    uint64_t note_count;
    uint32_t *tree; /* Fenwick tree over the blocks' counts, from 1 */
};

void line_add(struct line *line, uint64_t position);    /* must not be in it */
void line_remove(struct line *line, uint64_t position); /* must be in it */
uint64_t line_first(const struct line *line);           /* 0 if nobody waits */
/* How many positions before this one are in the line. */
uint64_t line_before(const struct line *line, uint64_t position);
/* Which of the 64 positions from this one / 64 * 64 on are in the line: bit by bit. */
uint64_t line_word(const struct line *line, uint64_t position);
/* The note on them. It is lost when the line has moved on beyond them. */
uint64_t line_note(const struct line *line, uint64_t position);
void line_set_note(struct line *line, uint64_t position, uint64_t note); /* one of them is in the line or has a note */
void line_free(struct line *line);
uint64_t line_bytes(const struct line *line);

#endif
