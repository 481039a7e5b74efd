/* etag.h: what answers show, as ETags: the same as long as nothing that matters has changed. */
#ifndef BRIDGE_ETAG_H
#define BRIDGE_ETAG_H

#include <stdint.h>
#include <usher.h>

#define ETAG_SIZE 64u

/* The state of a place and its rank; moments and estimates, which are others in each answer, do not matter. */
void etag_of_place(const usher_place_reply *place, char text[ETAG_SIZE]);
/* The version of the seats, and how many are free: a hold at its deadline counts as free before the version follows. */
void etag_of_seats(uint64_t version, uint32_t free_count, char text[ETAG_SIZE]);
/* A version alone. */
void etag_of_version(uint64_t version, char text[ETAG_SIZE]);

#endif
