/* dump.h: a store as lines of text, independent of LMDB's format. docs/operations.md describes the lines. */
#ifndef STORE_DUMP_H
#define STORE_DUMP_H

#include <stdio.h>

#include "server/store/store.h"

struct dump_figures {
    uint64_t position, rows;
};

/* Write everything that a loaded snapshot holds: the same store gives the same lines. On STORE_OK all has been written
 * to `out`, which stays open. */
enum store_status store_dump(const struct store *snapshot, FILE *out, struct dump_figures *figures, char *why,
                             size_t why_size);

/* Make a store in this directory, which must not hold one, from such lines. The store is there as a whole or not at
 * all; why tells the line of the first mistake. The caller keeps others out of the directory. */
enum store_status store_load_dump(FILE *in, const char *directory, struct dump_figures *figures, char *why,
                                  size_t why_size);

#endif
