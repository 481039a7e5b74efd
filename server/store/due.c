/* due.c: see due.h. The order is total, so the least true entry is the same on every instance whatever stale ones are
 * still in its heap. */
#include <stdlib.h>

#include "server/store/due.h"
#include "server/store/memory.h"

#define DUE_STALE_SPARE 64u /* too few to be worth a rebuild */

static bool
due_before(const struct store_due *left, const struct store_due *right)
{
    if (left->due != right->due)
        return left->due < right->due;
    if (left->table != right->table)
        return left->table < right->table;
    return left->key < right->key;
}

static void
due_sink(struct due *due, size_t at)
{
    struct store_due entry = due->entries[at];

    for (;;) {
        size_t child = at * 2 + 1;

        if (child >= due->count)
            break;
        if (child + 1 < due->count && due_before(&due->entries[child + 1], &due->entries[child]))
            child++;
        if (!due_before(&due->entries[child], &entry))
            break;
        due->entries[at] = due->entries[child];
        at = child;
    }
    due->entries[at] = entry;
}

void
due_push(struct due *due, struct store_due entry)
{
    size_t at = due->count++;

    due->entries = store_grow(due->entries, &due->capacity, due->count, sizeof *due->entries);
    while (at > 0 && due_before(&entry, &due->entries[(at - 1) / 2])) {
        due->entries[at] = due->entries[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    due->entries[at] = entry;
}

/* Keep the true entries alone. Two equal ones may both be true (there and back again); that does no harm. */
static void
due_rebuild(struct due *due, bool (*valid)(const void *context, const struct store_due *entry), const void *context)
{
    size_t kept = 0;

    for (size_t at = 0; at < due->count; at++)
        if (valid(context, &due->entries[at]))
            due->entries[kept++] = due->entries[at];
    due->count = kept;
    for (size_t at = kept / 2; at-- > 0;)
        due_sink(due, at);
}

const struct store_due *
due_least(struct due *due, bool (*valid)(const void *context, const struct store_due *entry), const void *context)
{
    if (due->count > due->live * 2 + DUE_STALE_SPARE)
        due_rebuild(due, valid, context);
    while (due->count > 0 && !valid(context, &due->entries[0])) {
        due->entries[0] = due->entries[--due->count];
        if (due->count > 0)
            due_sink(due, 0);
    }
    return due->count > 0 ? &due->entries[0] : NULL;
}

void
due_free(struct due *due)
{
    free(due->entries);
    *due = (struct due){0};
}
