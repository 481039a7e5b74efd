/* due.c: see due.h. */
#include "client-sdk/src/async.h"

bool
usher_dues_reserve(struct usher_dues *dues, const usher_memory *memory, uint32_t wanted)
{
    uint32_t room = dues->room > 0 ? 2 * dues->room : 16;
    struct usher_due **larger;

    if (wanted <= dues->room)
        return true;
    if (room < wanted)
        room = wanted;
    larger = usher_memory_grow(memory, dues->entry, dues->room * sizeof *larger, room * sizeof *larger);
    if (larger == NULL)
        return false;
    dues->entry = larger;
    dues->room = room;
    return true;
}

static void
put(struct usher_dues *dues, uint32_t at, struct usher_due *due)
{
    dues->entry[at] = due;
    due->at = at;
}

/* Bring the one that belongs at `at`, or above or below it, to its place. */
static void
settle(struct usher_dues *dues, uint32_t at, struct usher_due *due)
{
    while (at > 0 && dues->entry[(at - 1) / 2]->due_ms > due->due_ms) {
        put(dues, at, dues->entry[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child + 1 < dues->count && dues->entry[child + 1]->due_ms < dues->entry[child]->due_ms)
            child++;
        if (child >= dues->count || dues->entry[child]->due_ms >= due->due_ms)
            break;
        put(dues, at, dues->entry[child]);
        at = child;
    }
    put(dues, at, due);
}

uint64_t
usher_dues_first_ms(const struct usher_dues *dues)
{
    return dues->count > 0 ? dues->entry[0]->due_ms : USHER_NEVER_MS;
}

void
usher_due_clear(struct usher_dues *dues, struct usher_due *due)
{
    struct usher_due *last;

    if (due->due_ms == USHER_NEVER_MS)
        return;
    due->due_ms = USHER_NEVER_MS;
    last = dues->entry[--dues->count];
    if (last != due)
        settle(dues, due->at, last);
}

void
usher_due_set(struct usher_dues *dues, struct usher_due *due, uint64_t due_ms)
{
    usher_due_clear(dues, due);
    if (due_ms == USHER_NEVER_MS)
        return;
    due->due_ms = due_ms;
    usher_insist(dues->count < dues->room, "more moments than things that have one");
    settle(dues, dues->count++, due);
}
