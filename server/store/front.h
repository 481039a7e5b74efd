/* front.h: the journal's front: a preallocated file (store.journal) that takes the newest batches, one write and one
 * wait each, until they are carried over into LMDB in a group (disk_front.c).
 *
 *     file     half, half
 *     half     record, record ... | what earlier rounds have left
 *     record   struct front_head | payload | zeroes to the next block of 4,096 bytes
 *
 * Records go into one half while those of the other are carried over; then they change places. Who reads the file finds
 * a chain at the beginning of each half, and the older one first. (A file of before there were halves has one chain,
 * which may pass the middle.)
 *
 * Blocks are written once with zeroes when the file is made, and afterwards only written over, so that no write has the
 * file system allocate or note anything: through O_DIRECT and O_DSYNC a write is one command to the disk.
 *
 * A record counts if its check fits and its position is the one after the record before it. The check is seeded with a
 * number of the file's own, which nobody outside knows, so that no request's bytes can pass for a record. A write that
 * was torn is the last of its chain; a record that still counts behind one that does not is damage. */
#ifndef STORE_FRONT_H
#define STORE_FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRONT_BLOCK 4096u

struct front_head {
    uint32_t magic;
    uint32_t schema;
    uint64_t position;
    uint64_t size; /* of the payload */
    uint64_t check;
};

struct front_half {
    size_t begin, end; /* of the records that are not carried over yet; end is the next one's place */
    size_t limit;      /* of the half */
    uint32_t count;    /* of these records */
};

struct front {
    int file;      /* -1 while there is none */
    uint64_t salt; /* what the checks are seeded with */
    size_t size;   /* of the file */
    struct front_half half[2];
    unsigned writing; /* the half that takes the next record; what stands in the other one is older */
    uint8_t *bytes;   /* the file's, as far as records stand in it */
};

/* Make the file, or make it anew: zeroes, on the disk, its name too. The system's error, and then no file. */
int front_make(struct front *front, const char *path, size_t size, uint64_t salt);
/* Open one that is there; its size is what it is. The system's error. */
int front_open(struct front *front, const char *path, uint64_t salt);
void front_close(struct front *front);
/* Does a file stand there whose first block is not empty? */
bool front_is_used(const char *path);

/* Read the records from the beginning on. Those up to `position` have been carried over; when no others are there, the
 * file counts as empty. Returns 0, the system's error, or EBADMSG when one in the middle is damaged. */
int front_read(struct front *front, uint64_t position);

/* Where the next record's payload goes, if this half has room for `size` bytes; else NULL. */
void *front_room(struct front *front, size_t size);
/* Write the next record, whose payload stands in its room; 0 when it is on the disk. After an error it is not there
 * and never will be, unless *lost says that nobody knows. */
int front_append(struct front *front, uint32_t schema, uint64_t position, size_t size, bool *lost);

/* The records that wait, all of them or a half's, the oldest first. */
struct front_walk {
    unsigned half, last;
    size_t at;
};
struct front_walk front_walk_all(const struct front *front);
struct front_walk front_walk_half(const struct front *front, unsigned half);
/* The next record; NULL at the end. */
const struct front_head *front_next(const struct front *front, struct front_walk *walk);
static inline const uint8_t *
front_payload(const struct front_head *head)
{
    return (const uint8_t *)(head + 1);
}
static inline uint32_t
front_count(const struct front *front)
{
    return front->half[0].count + front->half[1].count;
}
/* How much they take. */
static inline size_t
front_bytes(const struct front *front)
{
    return front->half[0].end - front->half[0].begin + front->half[1].end - front->half[1].begin;
}
/* Write into the other half from now on, which is empty. */
void front_turn(struct front *front);
/* A half, or all of it, has been carried over. */
void front_clear_half(struct front *front, unsigned half);
void front_clear(struct front *front);

#endif
