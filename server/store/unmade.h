/* unmade.h: a store whose making was interrupted by a power cut. */
#ifndef STORE_UNMADE_H
#define STORE_UNMADE_H

#include "server/store/disk.h"

/* As disk_env_open, for a store that may not be there yet, or be there in pieces. One process at a time. */
int disk_env_open_first(struct disk *disk, const char *directory);

#endif
