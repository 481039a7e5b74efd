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
 *     new event --by queue and position--> URGENT --.
 *               --the queue's sale is another-> LATER --> look: ask the core, push what differs, set the next moment
 *     next moment has come (Q11) -------------------'
 *               --a seat of the date-> the date's changed blocks --> ask the core, one delta for all its watchers
 *               --any-> WATCH_EVENTS: the next page from the subscription's cursor
 *
 * Bounds: memory is taken when a subscription is opened and never by a push, but for the connection's output. A turn
 * looks at a bounded number of subscriptions; the next one goes on. A connection whose output is over half its limit
 * gets no push: its subscriptions are stale, and when the output has shrunk each gets its present state. While nobody
 * watches nothing is done. */
#ifndef NET_WATCH_H
#define NET_WATCH_H

#include "server/net/inside.h"

#define WATCH_LOOKS     1024u  /* of one turn, besides those that its events lead to */
#define WATCH_EVENTS    4096u  /* that a turn looks at */
#define WATCH_BEHIND    65536u /* when more events than these are new, everything is looked at instead */
#define WATCH_PAGES     64u    /* of events that a turn pushes */
#define WATCH_SECOND_MS 1000u  /* between looks at what time alone changes: a sale that closes, a show that begins */
#define WATCH_RETRY_MS  1000u  /* after a fault of the store */

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
enum watch_list { WATCH_URGENT, WATCH_LATER, WATCH_PAGED, WATCH_LISTS, WATCH_NO_LIST = WATCH_LISTS };

struct place_watch {
    struct queue_watch *queue;
    struct subscription *previous, *next; /* of the queue */
    size_t moment;                        /* its index among watch->moments, SIZE_MAX for none */
    usher_place_reply told;               /* the last that was sent */
    uint64_t told_at_ms;
};
struct seats_watch {
    struct date_watch *date;
    struct subscription *previous, *next; /* of one of the date's lists */
    uint8_t list;                         /* enum date_list */
};
struct events_watch {
    struct subscription *previous, *next; /* of all that watch events */
    uint64_t cursor;
    uint64_t kinds;
    uint64_t passed_over; /* events since the last push */
};

struct subscription {
    struct connection *connection;
    struct subscription *previous, *next;           /* of the connection */
    struct subscription *list_previous, *list_next; /* of one of watch->list */
    struct watch_link by_name;                      /* connection and request_no */
    struct watch_link by_token;                     /* queue and position, if it was opened with a token */
    const struct watch_kind *kind;
    uint32_t request_no;
    uint8_t list;
    bool stale; /* something was not sent because the output was too full */
    struct core_asker asker;
    union {
        struct place_watch place;
        struct seats_watch seats;
        struct events_watch events;
    };
};

/* A request to open one, on its way. */
struct watch_opening {
    const struct pending *pending;
    const void *body;
    union {
        usher_watch_place_reply place;
        usher_watch_seats_reply seats;
        usher_watch_events_reply events;
        usher_unwatch_reply unwatch;
    } reply;
    usher_refusal refusal; /* when it is refused */
};

/* What the three kinds differ in. */
struct watch_kind {
    uint16_t opcode;
    usher_result (*ask)(struct net *net, struct watch_opening *opening); /* fills in reply or refusal */
    bool (*begin)(struct net *net, struct subscription *made,
                  const struct watch_opening *opening);                 /* false: no memory */
    void (*look)(struct net *net, struct subscription *subscription);   /* its turn on a list has come */
    void (*resume)(struct net *net, struct subscription *subscription); /* the output has room again */
    void (*end)(struct net *net, struct subscription *subscription);    /* unlink it */
};
extern const struct watch_kind watch_place_kind, watch_seats_kind, watch_events_kind;

struct watch_moment {
    uint64_t at_ms;
    struct subscription *subscription;
};

struct watch {
    uint64_t count;
    uint64_t event_no; /* the last event that was looked at */
    uint64_t second_ms, retry_ms;
    struct event *timer;
    struct watch_table names, tokens;
    struct {
        struct subscription *first, *last;
    } list[WATCH_LISTS];
    /* watch_place.c */
    struct watch_table queues;
    struct queue_watch *first_queue;
    struct watch_moment *moments; /* a heap: the earliest first */
    size_t moment_count, moment_room;
    /* watch_seats.c */
    struct watch_table dates;
    struct date_watch *first_date;    /* all of them */
    struct date_watch *first_at_work; /* those with something to push */
    struct seats_scratch *seats;
    /* watch_events.c */
    struct subscription *first_of_events;
    usher_events_push page;
};

/* --- watch.c --- */
/* Push the subscription's last word, and drop it. */
void watch_end(struct net *net, struct subscription *subscription, uint16_t result, uint64_t detail);
/* Put it at a list's end, unless it is on that list already; from LATER to URGENT it moves. */
void watch_enlist(struct watch *watch, struct subscription *subscription, enum watch_list list);
/* Send a push of it; body is the struct of the push's layout. */
void watch_push(struct subscription *subscription, uint16_t opcode, const void *body);
/* Remember that something was left out, if the output has no room for a push. */
bool watch_has_room(struct subscription *subscription);
/* Whether the turn has room for the trace of one more query. */
bool watch_may_ask(const struct net *net);

/* --- watch_place.c --- */
/* Something has happened in this queue, or in all: its sale may be another now. */
void watch_place_note(struct watch *watch, uint32_t queue_id);
void watch_place_note_all(struct watch *watch);
/* Where the sale is another indeed, everybody in the queue is looked at soon. */
void watch_place_check_sales(struct net *net);
/* Look at those whose moment has come, at most so many. */
void watch_place_run(struct net *net, uint32_t looks);
/* The moment at which there is something to do; UINT64_MAX for none. */
uint64_t watch_place_next_ms(const struct watch *watch);
void watch_place_close(struct watch *watch);

/* --- watch_seats.c --- */
bool watch_seats_open(struct watch *watch);
void watch_seats_note(struct watch *watch, uint32_t concert_id, uint32_t date_id, uint32_t seat_no);
void watch_seats_note_all(struct watch *watch);
/* What time alone changes. */
void watch_seats_check_shows(struct net *net);
void watch_seats_run(struct net *net);
uint64_t watch_seats_next_ms(const struct watch *watch);
void watch_seats_close(struct watch *watch);

/* --- watch_events.c --- */
/* There are new events: every subscription that has had all others goes on. */
void watch_events_note(struct net *net);

#endif
