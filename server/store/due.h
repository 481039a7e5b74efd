/* due.h: the due moments of a queue, least first: by sale time, then table, then key. The ends of its dates' sales are
 * kept in the same way, latest first. */
#ifndef STORE_DUE_H
#define STORE_DUE_H

#include "server/store/store.h"

/* A binary heap with lazy deletion: entries that no longer say what the record says are dropped when they come to the
 * top, or when the broom finds them: it looks at a few entries for each one that is pushed, so that stale ones stay
 * fewer than true ones and no call ever has to go through them all. Each live record has an entry that is not after its
 * present moment, or is one of several for which one entry stands that comes before them all. One whose moment has been
 * put off keeps its entry, which gets the new moment when it comes to the top: most have ended by then. */
struct due {
    struct store_due *entries;
    size_t count, capacity;
    size_t live;   /* entries that are true or stand for something that is */
    size_t broom;  /* where it goes on */
    size_t unseen; /* entries that it still owes a look */
};

enum due_verdict {
    DUE_TRUE,
    DUE_STALE,
    DUE_LATER /* something else has to stand in its place, which is not before it */
};
/* Of a record that has an entry of its own and is due at this moment. */
static inline enum due_verdict
due_judged(const struct store_due *entry, uint64_t due, struct store_due *instead)
{
    if (due < entry->due)
        return DUE_STALE; /* it has an earlier one */
    *instead = (struct store_due){due, entry->table, entry->key};
    return due == entry->due ? DUE_TRUE : DUE_LATER;
}
typedef enum due_verdict due_judge(void *context, const struct store_due *entry, struct store_due *instead);

void due_push(struct due *due, struct store_due entry);
/* Steps 0 and 1 of fetching what the judge will look at into the processor's cache, without waiting. */
typedef void due_fetcher(const void *context, const struct store_due *entry, unsigned step);

/* The least entry that is true, or NULL. Not to be called while a record is half changed. fetch may be NULL. */
const struct store_due *due_least(struct due *due, due_judge *judge, due_fetcher *fetch, void *context);
void due_free(struct due *due);

#endif
