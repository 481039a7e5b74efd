/* ordered.c: sorted arrays for "the next after this one". They hold queues, concerts and dates, which are few, read
 * much more than changed, and mostly come in ascending order. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/store/memory.h"
#include "server/store/ordered.h"

size_t
ordered_from(const struct ordered *ordered, uint64_t key)
{
    size_t low = 0, high = ordered->count;

    if (high > 0 && ordered->items[high - 1].key < key)
        return high; /* the usual append */
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (ordered->items[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void
ordered_add(struct ordered *ordered, uint64_t key, uint64_t number)
{
    size_t at = ordered_from(ordered, key);

    ordered->items = store_grow(ordered->items, &ordered->room, ordered->count + 1, sizeof *ordered->items);
    memmove(&ordered->items[at + 1], &ordered->items[at], (ordered->count - at) * sizeof *ordered->items);
    ordered->items[at] = (struct ordered_item){key, number};
    ordered->count++;
}

void
ordered_remove(struct ordered *ordered, uint64_t key, uint64_t number)
{
    size_t at = ordered_from(ordered, key);

    while (at < ordered->count && ordered->items[at].number != number)
        at++;
    assert(at < ordered->count);
    assert(ordered->items[at].key == key);
    ordered->count--;
    memmove(&ordered->items[at], &ordered->items[at + 1], (ordered->count - at) * sizeof *ordered->items);
}

void
ordered_free(struct ordered *ordered)
{
    free(ordered->items);
    *ordered = (struct ordered){0};
}
