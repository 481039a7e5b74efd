/* link.h: one connection to the fake house as bytes in and bytes out: no sockets, no thread. server.c puts it behind a
 * socket; tests of codecs and sessions use it as it is. now_ms is any clock that never goes back; delays count by it.
 */
#ifndef USHER_FAKE_LINK_H
#define USHER_FAKE_LINK_H

#include "client-sdk/fake/src/fake.h"

/* Bytes that leave together and in one piece. */
struct fake_chunk {
    struct fake_chunk *next;
    uint64_t due_ms;
    uint64_t no; /* of the connection's chunks, in the order in which they were made */
    uint32_t trickle_ms;
    bool trickles; /* one byte at a time */
    bool waits;    /* until a newer chunk has left, or it is due */
    bool ends;     /* the connection is cut behind it */
    bool resets;
    size_t size, sent;
    uint8_t bytes[];
};

struct fake_watch {
    uint32_t subscription;
    uint16_t opcode; /* of the request that opened it */
    bool snapshot_is_due;
    uint64_t position; /* of a place; with seats that of the token, 0 for none */
    struct fake_date *date;
    uint64_t version; /* of the seats that were shown last */
    uint64_t *shown;  /* these seats, a bit for each that is free */
    uint64_t cursor, kinds;
    usher_place_push told;
};

enum fake_phase { FAKE_PHASE_HELLO, FAKE_PHASE_PROOF, FAKE_PHASE_READY };

struct fake_link {
    struct fake_link *next;
    usher_fake *fake;
    uint64_t no;
    enum fake_phase phase;
    usher_role role;
    usher_hello_request hello;
    usher_hello_reply challenge;
    uint8_t input[USHER_FRAME_MAX];
    size_t input_size;
    uint64_t received, sent;          /* bytes ever */
    uint64_t end_received, end_sent;  /* after which it ends; UINT64_MAX: never */
    size_t rule_received, rule_sent;  /* by which line */
    uint64_t not_before_ms;           /* nothing leaves before */
    struct fake_chunk *chunks;        /* in the order in which they were made */
    struct fake_chunk *current;       /* the one that has begun to leave */
    uint64_t chunk_count, newest_out; /* chunks ever, and the newest of those that have left */
    bool deaf;                        /* what comes in is not looked at */
    bool over;                        /* to be closed, once what was taken is sent */
    bool reset;                       /* by a reset */
    FAKE_LIST(struct fake_watch) watches;
    void *socket; /* server.c's own */
};

struct fake_link *fake_link_open(usher_fake *fake, uint64_t now_ms);
/* Free it and take it out of fake->links. */
void fake_link_close(struct fake_link *link);

/* It has received these bytes. */
void fake_link_feed(struct fake_link *link, const uint8_t *bytes, size_t size, uint64_t now_ms);
/* Take bytes that are to be sent now; 0: none are. Trickled ones come one at a time. */
size_t fake_link_take(struct fake_link *link, uint8_t *out, size_t room, uint64_t now_ms);
/* When there is more to take; UINT64_MAX: when something has come in. */
uint64_t fake_link_due(const struct fake_link *link);

/* Send a push, with the fault that is due for it. */
void fake_link_push(struct fake_link *link, uint16_t opcode, const void *body, uint64_t now_ms);

/* Serve the requests whose time has come; then when the next one comes, UINT64_MAX: none. */
void fake_serve_late(usher_fake *fake, uint64_t now_ms);
uint64_t fake_late_due(const usher_fake *fake);

/* watch.c: tell every subscription what is new to it. After each change of the house. */
void fake_tell(usher_fake *fake, uint64_t now_ms);
void fake_forget_watches(struct fake_link *link);

#endif
