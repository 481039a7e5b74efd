/* etag.c: see etag.h. */
#include "etag.h"

#include <inttypes.h>
#include <stdio.h>

void
etag_of_place(const usher_place_reply *place, char text[ETAG_SIZE])
{
    snprintf(text, ETAG_SIZE, "\"%" PRIx32 ".%x.%x.%" PRIx64 ".%" PRIx64 "\"", place->queue_id, place->state,
             place->sale, place->position, place->rank);
}

void
etag_of_seats(uint64_t version, uint32_t free_count, char text[ETAG_SIZE])
{
    snprintf(text, ETAG_SIZE, "\"%" PRIu64 ".%" PRIu32 "\"", version, free_count);
}

void
etag_of_version(uint64_t version, char text[ETAG_SIZE])
{
    snprintf(text, ETAG_SIZE, "\"%" PRIu64 "\"", version);
}
