/* watch_help.h: subscriptions over the bare wire, for tests: opening them, and what is pushed. Whatever goes wrong in
 * here fails the cmocka test that called. */
#ifndef TESTS_WATCH_HELP_H
#define TESTS_WATCH_HELP_H

#include "tests/instances_help.h"

#define MIRROR_BLOCKS 1024u

/* A push that has come. */
struct told {
    uint16_t opcode;
    uint32_t subscription;
    union {
        usher_place_push place;
        usher_seats_push seats;
        usher_seat_changes_push changes;
        usher_events_push events;
        usher_watch_ended_push ended;
    };
};

/* The next push; replies before it are thrown away. False when the connection was closed or nothing came in time. */
bool watch_hear(struct wire *wire, struct told *told);
/* The same; it must come, and be this one. */
void watch_must_hear(struct wire *wire, uint16_t opcode, uint32_t subscription, struct told *told);
/* WATCH_ENDED of this subscription with this result is next. */
void watch_must_end(struct wire *wire, uint32_t subscription, usher_result result);

/* A connection of the admin at this door. */
void watch_connect(struct house *house, unsigned door, struct wire *wire);
/* A place in queue 0 for the user with this number, and its token. */
usher_join_reply watch_join(struct wire *wire, uint64_t user);
/* Open subscriptions; the answer must be OK. They return the subscription. */
uint32_t watch_place(struct wire *wire, const usher_join_reply *join, usher_watch_place_reply *reply);
uint32_t watch_seats(struct wire *wire, const usher_join_reply *join); /* of date 1, concert 1; NULL: as the admin */
uint32_t watch_events(struct wire *wire, uint64_t after_event_no, uint64_t kinds);
/* End one; returns whether it was open. */
bool watch_end(struct wire *wire, uint32_t subscription);
/* Set the mode of queue 0. */
void watch_set_mode(struct wire *admin, enum usher_queue_mode mode);
void watch_leave(struct wire *wire, const usher_join_reply *join);

/* What a client of WATCH_SEATS knows. */
struct mirror {
    uint32_t seat_count, block_count;
    uint64_t version;
    uint64_t snapshots, deltas;
    uint64_t free[MIRROR_BLOCKS];
};
/* Put a push on it: nothing may be missing between it and the push before. */
void mirror_take(struct mirror *mirror, const struct told *told);
/* Whether it is what SEATS says. */
bool mirror_is_true(const struct mirror *mirror, struct wire *admin);
/* Take what is pushed until it is. */
void mirror_must_become_true(struct mirror *mirror, struct wire *wire, struct wire *admin);

#endif
