/* disk_front.h: the journal's front between a batch and LMDB. See disk_front.c. */
#ifndef STORE_DISK_FRONT_H
#define STORE_DISK_FRONT_H

#include "server/store/disk.h"

/* What a batch has to know to go to the front: nobody else is at the directory, so nobody follows it in LMDB. */
bool disk_front_is_ours(const struct disk *disk);

enum disk_front_outcome {
    DISK_FRONT_DONE,
    DISK_FRONT_REFUSED, /* there is no room in it, or it can't be written: LMDB has to take the batch */
    DISK_FRONT_UNKNOWN, /* the same, but it may be there as well: nothing but LMDB having it settles that */
    DISK_FRONT_FAULT    /* LMDB can't be read; the fault is kept */
};
/* The next batches go to the other half, which is empty. */
void disk_front_turn(struct store *store);
/* Make the open batch's record, if there is room for it: disk->journal_value is encoded. DONE: it can be written. */
enum disk_front_outcome disk_front_prepare(struct store *store);
/* Write it: here, or on the runner's thread, which touches disk->front and disk->appending alone. */
void disk_front_write(void *disk);
/* What came of that: never FAULT. */
enum disk_front_outcome disk_front_written(struct store *store);

/* Put what waits in the front into LMDB, in this transaction: all of it, or a half, which touches nothing of the disk's
 * that the owner changes meanwhile. Returns LMDB's error. */
int disk_front_carry(struct disk *disk, MDB_txn *txn);
int disk_front_carry_half(struct disk *disk, MDB_txn *txn, unsigned half);
/* The transaction is on the disk. */
void disk_front_carried(struct store *store);
void disk_front_half_carried(struct store *store, unsigned half); /* the older one */

/* While a store is opened, in the transaction that looks at it: carry over what another process left, and see to it
 * that there is a file, for a store that may have one. Returns LMDB's error; *why is a line when it has more to say. */
int disk_front_open(struct disk *disk, MDB_txn *txn, const char **why);
/* Would something be carried over? For who may only read. */
bool disk_front_waits(const struct disk *disk, MDB_txn *txn);
/* A store is about to be made: there is a front already, with batches of another one. */
bool disk_front_is_anothers(const struct disk *disk);

#endif
