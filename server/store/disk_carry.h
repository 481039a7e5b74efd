/* disk_carry.h: carrying over into LMDB beside the batches. See disk_carry.c. */
#ifndef STORE_DISK_CARRY_H
#define STORE_DISK_CARRY_H

#include "server/store/disk.h"

/* A batch has come to the front, or it is quiet: begin, if nothing is being carried and there is enough for it. */
void disk_carry_consider(struct store *store);
/* Begin with whatever there is, and a slice of a pass. False when it can't be done beside the owner's work. */
bool disk_carry_start(struct store *store, bool quiet);
/* Take in what was carried, if that is done. Costs two reads of memory when nothing is. */
void disk_carry_look(struct store *store);
/* The same, and wait for it. */
void disk_carry_wait(struct store *store);
/* Is it the meta row of a transaction whose outcome nobody knew? Asked once, by who reads the row next. */
bool disk_carry_was_this(struct disk_carrying *carrying, const struct disk_meta *meta);

#endif
