/* bytes.h: a growing run of bytes, and whole numbers in as few bytes as they need. */
#ifndef STORE_BYTES_H
#define STORE_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "server/store/memory.h"

struct bytes {
    uint8_t *data;
    size_t size, room;
};

/* So many more, which the caller fills in. */
static inline uint8_t *
bytes_more(struct bytes *bytes, size_t size)
{
    bytes->data = store_grow(bytes->data, &bytes->room, bytes->size + size, 1);
    bytes->size += size;
    return bytes->data + bytes->size - size;
}

static inline void
bytes_add(struct bytes *bytes, const void *data, size_t size)
{
    uint8_t *more = bytes_more(bytes, size);

    if (size > 0)
        memcpy(more, data, size);
}

/* Seven bits a byte, the lowest first; the high bit says that more follow. */
static inline void
bytes_add_number(struct bytes *bytes, uint64_t number)
{
    uint8_t coded[10];
    size_t size = 0;

    for (; number >= 128; number >>= 7)
        coded[size++] = (uint8_t)(number | 128);
    coded[size++] = (uint8_t)number;
    bytes_add(bytes, coded, size);
}

/* What is left to read. `good` turns false for ever when something is missing. */
struct reading {
    const uint8_t *data;
    size_t left;
    bool good;
};

static inline uint64_t
reading_number(struct reading *reading)
{
    uint64_t number = 0;

    for (unsigned shift = 0; shift < 64 && reading->left > 0; shift += 7) {
        uint8_t byte = *reading->data++;

        reading->left--;
        number |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return number;
    }
    reading->good = false;
    return 0;
}

#endif
