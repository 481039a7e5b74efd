/* watch.h: subscriptions: what a client would have to poll for is pushed to it (T3, Q6, Q11, X4). For net/ alone.
 *
 *   watch.c         the life of a subscription: opening, ending, limits; the work of a turn
 *   watch_table.c   finding things by what they are known by
 *   watch_place.c   WATCH_PLACE: one's place in line
 *   watch_seats.c   WATCH_SEATS: the free seats of a date
 *   watch_events.c  WATCH_EVENTS: events from a cursor on
 *
 * What drives pushes are the events of the store: after each turn those that are new are looked at, whichever instance
 * has made them, and lead to the subscriptions that they concern. What is then pushed is what the core answers to the
 * very query that a poll would be: no push can say what a poll would not, and it leaves the same traces behind.
 *
 * Bounds: memory is taken when a subscription is opened and never by a push. A turn looks at a bounded number of
 * subscriptions; the next one goes on. A connection whose output is over half its limit gets no push: its
 * subscriptions are marked stale, and when the output has shrunk each gets its present state. While nobody watches
 * nothing is done. */
#ifndef NET_WATCH_H
#define NET_WATCH_H

#include "server/net/inside.h"

/* --- finding (watch_table.c) ------------------------------------------------------------------------------ */
struct watch_link { /* a member of whatever is found by a table */
    struct watch_link *next;
    uint64_t hash;
};
struct watch_table {
    struct watch_link **bucket;
    size_t room, count;
};
/* Make room for one more. False without memory. */
bool watch_table_reserve(struct watch_table *table);
void watch_table_add(struct watch_table *table, struct watch_link *link, uint64_t hash);
void watch_table_remove(struct watch_table *table, struct watch_link *link);
/* The first link with this hash, and the next one behind it; NULL for none. */
struct watch_link *watch_table_first(const struct watch_table *table, uint64_t hash);
struct watch_link *watch_table_next(const struct watch_link *link);
void watch_table_free(struct watch_table *table);
/* Of two numbers that something is known by. */
uint64_t watch_hash(uint64_t one, uint64_t other);
#define WATCH_OF(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* --- subscriptions ------------------------------------------------------------------------------------------ */
struct subscription {
    struct connection *connection;
    struct subscription *previous, *next; /* of the connection */
    struct watch_link by_name;            /* connection and request_no */
    uint32_t request_no;
    uint16_t opcode; /* of the request that opened it */
    struct core_asker asker;
};

struct watch {
    struct watch_table names;
    uint64_t count;
};

#endif
