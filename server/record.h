/* record.h: a recording: every batch that an instance commits, in a file that can be replayed.
 *
 *     head     "usherrec", version, schema of the records
 *     frame    magic, size of the batch, position, digests after it, check of all this and the batch; then the batch
 *
 * Numbers are little-endian. A recording begins at position 1, on the state that every fresh store has, and has every
 * position from there on, so it can be replayed anywhere to the same records, byte for byte; the digests tell at which
 * position it went otherwise. Frames are written after their commit and not synced: a kill or a power cut may cost the
 * last ones, never the data. */
#ifndef RECORD_H
#define RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct record_frame {
    uint64_t position;
    uint64_t records, history; /* digests of the store after it */
    const uint8_t *batch;      /* good until the next call */
    size_t size;
};

enum record_status {
    RECORD_OK,
    RECORD_END,     /* no frame follows */
    RECORD_DAMAGED, /* not a recording, cut within a frame, damaged, or out of order */
    RECORD_FAULT    /* the system reports a fault */
};

/* --- reading --------------------------------------------------------------------------------------------- */
struct recording {
    FILE *file;
    const char *path;
    uint64_t offset;   /* where the next frame begins */
    uint64_t position; /* of the last frame that was read; 0 before the first */
    uint8_t *batch;
    size_t room;
    char why[512]; /* of the last status that is neither OK nor END: names file, place and what is wrong */
};

enum record_status recording_open(struct recording *recording, const char *path);
/* The next frame; positions come without a gap, from 1. */
enum record_status recording_next(struct recording *recording, struct record_frame *frame);
void recording_close(struct recording *recording);

/* --- writing --------------------------------------------------------------------------------------------- */
/* Go on with a recording that ends where the store stands, or begin one of a store at position 0. NULL and one line in
 * why when it is neither. */
FILE *record_open(const char *path, uint64_t position, char *why, size_t why_size);
bool record_add(FILE *file, const struct record_frame *frame);

#endif
