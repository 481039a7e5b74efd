/* due.h: things in the order of the moments at which somebody has to look at them: requests of a handle, handles of a
 * group.
 *
 * A binary heap. Each thing carries its entry, which knows its place, so that it is found without a search. Room is
 * made when a thing is made, for all that there are: setting a moment later can't fail. */
#ifndef USHER_DUE_H
#define USHER_DUE_H

#include <stdbool.h>
#include <stdint.h>

#include "client-sdk/src/memory.h"

#define USHER_NEVER_MS UINT64_MAX

struct usher_due {
    uint64_t due_ms; /* NEVER: it is not in the heap */
    uint32_t at;     /* its place in there */
};

struct usher_dues {
    struct usher_due **entry;
    uint32_t count, room;
};

/* Have room for so many. */
bool usher_dues_reserve(struct usher_dues *dues, const usher_memory *memory, uint32_t wanted);
/* The moment of the first one, or NEVER. */
uint64_t usher_dues_first_ms(const struct usher_dues *dues);
void usher_due_set(struct usher_dues *dues, struct usher_due *due, uint64_t due_ms);
void usher_due_clear(struct usher_dues *dues, struct usher_due *due);

#endif
