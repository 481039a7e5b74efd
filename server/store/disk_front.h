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
/* Make the open batch durable in the front: disk->journal_value is encoded. */
enum disk_front_outcome disk_front_commit(struct store *store);

/* Put what waits in the front into LMDB, in this transaction. Returns LMDB's error. */
int disk_front_carry(struct disk *disk, MDB_txn *txn);
/* The transaction is on the disk. */
void disk_front_carried(struct store *store);

/* While a store is opened, in the transaction that looks at it: carry over what another process left, and see to it
 * that there is a file, for a store that may have one. Returns LMDB's error; *why is a line when it has more to say. */
int disk_front_open(struct disk *disk, MDB_txn *txn, const char **why);
/* Would something be carried over? For who may only read. */
bool disk_front_waits(const struct disk *disk, MDB_txn *txn);
/* A store is about to be made: there is a front already, with batches of another one. */
bool disk_front_is_anothers(const struct disk *disk);

#endif
