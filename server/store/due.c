/* due.c: see due.h. The order is total, so the least true entry is the same on every instance whatever stale ones are
 * still in its heap. */
#include <stdlib.h>

#include "server/store/due.h"
#include "server/store/memory.h"

#define DUE_STALE_SPARE 64u /* too few to be worth a look */
#define DUE_LOOKS       3u  /* at entries of the heap for each that is pushed: more than can become stale meanwhile */
#define DUE_STEPS       2u
#define DUE_AHEAD       4u /* entries from one step of fetching to the next */

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

static void
due_rise(struct due *due, size_t at)
{
    struct store_due entry = due->entries[at];

    while (at > 0 && due_before(&entry, &due->entries[(at - 1) / 2])) {
        due->entries[at] = due->entries[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    due->entries[at] = entry;
}

void
due_push(struct due *due, struct store_due entry)
{
    due->entries = store_grow(due->entries, &due->capacity, due->count + 1, sizeof *due->entries);
    due->entries[due->count] = entry;
    due_rise(due, due->count++);
    due->unseen += DUE_LOOKS;
}

static void
due_drop(struct due *due, size_t at)
{
    due->entries[at] = due->entries[--due->count];
    if (at == due->count)
        return;
    due_rise(due, at);
    due_sink(due, at);
}

/* Whether the entry is true. If not, another stands there now, or nothing. */
static bool
due_holds(struct due *due, size_t at, due_judge *judge, void *context)
{
    struct store_due instead;
    enum due_verdict verdict = judge(context, &due->entries[at], &instead);

    if (verdict == DUE_STALE)
        due_drop(due, at);
    if (verdict == DUE_LATER) {
        due->entries[at] = instead;
        due_sink(due, at);
    }
    return verdict == DUE_TRUE;
}

/* What the broom comes to soon is fetched meanwhile: entries one after another belong to records all over. */
static void
due_fetch(const struct due *due, due_fetcher *fetch, const void *context)
{
    for (unsigned step = 0; fetch != NULL && step < DUE_STEPS; step++) {
        size_t at = due->broom + (DUE_STEPS - step) * DUE_AHEAD;

        if (at < due->count)
            fetch(context, &due->entries[at], step);
    }
}

/* Two equal entries may both be true (there and back again); that does no harm. */
static void
due_sweep(struct due *due, due_judge *judge, due_fetcher *fetch, void *context)
{
    for (; due->unseen > 0 && due->count > due->live + DUE_STALE_SPARE; due->unseen--) {
        if (due->broom >= due->count)
            due->broom = 0;
        due_fetch(due, fetch, context);
        if (due_holds(due, due->broom, judge, context))
            due->broom++; /* else what has come in its place is next */
    }
    due->unseen = 0;
}

const struct store_due *
due_least(struct due *due, due_judge *judge, due_fetcher *fetch, void *context)
{
    due_sweep(due, judge, fetch, context);
    while (due->count > 0 && !due_holds(due, 0, judge, context))
        continue;
    return due->count > 0 ? &due->entries[0] : NULL;
}

void
due_free(struct due *due)
{
    free(due->entries);
    *due = (struct due){0};
}
