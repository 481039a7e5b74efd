/* ordered.h: numbers by ascending 64-bit keys. */
#ifndef STORE_ORDERED_H
#define STORE_ORDERED_H

#include <stddef.h>
#include <stdint.h>

struct ordered_item {
    uint64_t key;
    uint64_t number;
};
struct ordered {
    struct ordered_item *items;
    size_t count, room;
};

/* The place of the first item with this key or a greater one; count if there is none. */
size_t ordered_from(const struct ordered *ordered, uint64_t key);
void ordered_add(struct ordered *ordered, uint64_t key, uint64_t number);
void ordered_remove(struct ordered *ordered, uint64_t key, uint64_t number); /* must be in it */
void ordered_free(struct ordered *ordered);

#endif
