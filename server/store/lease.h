/* lease.h: when the leases of a queue's waiters end. A million of them wait, and most leases are renewed long before they
 * are over. So the due moments hold no entry for each of them, but one for 64 neighbours:
 *
 *     due:   (due, key of one who waits)      not after the end of any lease of its 64 neighbours
 *     line:  the note on them says which entry is theirs
 *
 * A lease that ends earlier than the note says makes a new entry and a new note; one that ends later changes nothing. The
 * entry is looked at when it is the least of the queue: if the waiter that it names has left or has renewed the lease,
 * the 64 are gone through, and the one whose lease ends first takes its place. */
#ifndef STORE_LEASE_H
#define STORE_LEASE_H

#include "server/store/indexes.h"

/* A ticket waits from now on, or waits and its lease ends at another moment. Its position is in the line. */
void lease_note(struct queue_index *queue, const struct ticket_record *ticket);

struct lease_context {
    const struct table *tickets;
    struct queue_index *queue;
};
/* What to make of a due moment of a ticket, one that waits or another. */
enum due_verdict lease_judge(const struct lease_context *context, const struct store_due *entry,
                             struct store_due *instead);

#endif
