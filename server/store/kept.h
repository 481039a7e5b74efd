/* kept.h: rows and records on their way to LMDB, one behind the other in a run of bytes: in the memory of the history,
 * at the journal's front (disk_front.c), and in a slice of the sweep that another thread writes (disk_carry.c).
 *
 *     struct kept | its bytes, or none when the row goes */
#ifndef STORE_KEPT_H
#define STORE_KEPT_H

#include "server/store/bytes.h"

struct kept {
    uint32_t table; /* its number */
    uint32_t size;  /* of the bytes; KEPT_GOES: none follow, the row is taken out */
    uint64_t key;
};
#define KEPT_GOES UINT32_MAX

static inline void
kept_add(struct bytes *bytes, unsigned table, uint64_t key, const void *data, size_t size)
{
    const struct kept kept = {table, (uint32_t)size, key};
    uint8_t *more = bytes_more(bytes, sizeof kept + size);

    memcpy(more, &kept, sizeof kept);
    memcpy(more + sizeof kept, data, size);
}

static inline void
kept_add_gone(struct bytes *bytes, unsigned table, uint64_t key)
{
    const struct kept kept = {table, KEPT_GOES, key};

    bytes_add(bytes, &kept, sizeof kept);
}

#endif
