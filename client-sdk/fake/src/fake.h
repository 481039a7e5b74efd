/* fake.h: what the parts of the fake server share. Nothing here is locked: whoever calls holds the server's lock
 * (server.c, control.c) or is the only one there is (tests of the layers below the sockets).
 *
 *     server.c   sockets, thread, timers          control.c  what the test asks and orders
 *        │
 *     link.c     one connection: handshake, faults, output  ──> script.c  which fault is due
 *        │
 *     ask.c      one request: role, token, request id, dispatch
 *        │
 *     line.c sale.c money.c events.c  the handlers ──> house.c  tables, clock, events      watch.c  subscriptions */
#ifndef USHER_FAKE_INSIDE_H
#define USHER_FAKE_INSIDE_H

#include <pthread.h>
#include <stdbool.h>

#include "client-sdk/fake/include/usher_fake.h"
#include "client-sdk/fake/src/script.h"
#include "protocol/codec.h"
#include "protocol/token.h"

#define FAKE_KEY_ID    1
#define FAKE_BODY_ROOM 32768u /* bytes of the largest request or reply struct */

/* --- the tables ------------------------------------------------------------------------------------------ */
struct fake_place {
    usher_uuid user;
    uint32_t queue_id;
    uint32_t polls;
    uint64_t position;
    uint64_t issued_ms;
    uint8_t state; /* usher_place_state */
};

struct fake_date {
    usher_fake_date row; /* title and venue are not used: */
    char title[96], venue[64];
    uint32_t seat_count;
    uint64_t version;      /* grows with each change of a seat */
    uint64_t *reservation; /* of each seat the reservation that holds or owns it, or 0 */
};

enum fake_reservation_state {
    FAKE_RESERVATION_HELD,
    FAKE_RESERVATION_OVER,
    FAKE_RESERVATION_PAID,
    FAKE_RESERVATION_REFUNDED
};

/* Reservation n stands at index n - 1, payment n likewise. */
struct fake_reservation {
    usher_uuid user;
    struct fake_date *date;
    uint32_t seat_no;
    enum fake_reservation_state state;
    int64_t price;
    uint64_t until_ms;
    uint64_t payment_id;
};

struct fake_payment {
    usher_uuid user;
    uint64_t paid_at_ms;
    uint16_t reservation_count;
    uint64_t reservation[USHER_RECEIPT_SEATS_MOST];
};

struct fake_account {
    usher_uuid user;
    int64_t balance;
};

struct fake_history {
    usher_uuid user;
    usher_history_row row;
};

/* A named consumer of events. */
struct fake_consumer {
    char name[32];
    usher_uuid client; /* who made it: the beginning of its key */
    uint64_t event_no, since_ms, acknowledged_at_ms;
};

/* A request id, and the answer that is remembered under it. */
struct fake_answer {
    usher_fake_request seen;
    usher_uuid scope; /* the user, or the beginning of the client's key */
    bool remembered;
    uint8_t fingerprint[16];
    uint64_t at_ms;
    uint8_t *body;
    size_t body_size;
};

/* A key that has enrolled, and the code that it used. */
struct fake_enrolment {
    usher_key code_hash;
    usher_key client_key;
    bool used;
};

struct fake_link;
/* A request that arrives later than it was sent. */
struct fake_late {
    uint64_t due_ms, link_no;
    usher_role role; /* who sent it, for its connection may be gone by then */
    usher_key client_key;
    struct fake_fault fault;
    uint8_t *bytes; /* the frame, size of them */
    size_t size;
};

/* A list that grows: item[count], with room for `room`. */
#define FAKE_LIST(type)                                                                                                \
    struct {                                                                                                           \
        type *item;                                                                                                    \
        size_t count;                                                                                                  \
        size_t room;                                                                                                   \
    }

struct usher_fake {
    usher_fake_options options;
    usher_key server_key;
    uint8_t server_secret[64];
    bool any_client;
    usher_key client_key;
    char client_name[32];
    struct fake_script script;

    /* The house. */
    uint64_t now_ms;
    struct fake_date *date; /* options.date_count of them; they never move */
    FAKE_LIST(struct fake_place) places;
    FAKE_LIST(struct fake_reservation) reservations;
    FAKE_LIST(struct fake_payment) payments;
    FAKE_LIST(struct fake_account) accounts;
    FAKE_LIST(struct fake_history) history;
    FAKE_LIST(usher_event) events;
    FAKE_LIST(struct fake_consumer) consumers;
    FAKE_LIST(struct fake_answer) answers;
    FAKE_LIST(struct fake_enrolment) enrolments;
    FAKE_LIST(struct fake_late) late;
    int64_t top_ups, sales; /* the house's own accounts */
    uint64_t entry_count, refund_count;
    usher_fake_figures figures; /* the counters alone; control.c fills in the rest */
    uint64_t *asked;            /* requests of each message, in the order of usher_messages() */

    /* The connections, newest first. */
    struct fake_link *links;
    uint64_t link_count;        /* ever */
    struct fake_server *server; /* NULL when it runs without sockets */

    /* Room for the request that is being carried out. */
    union {
        max_align_t align;
        uint8_t bytes[FAKE_BODY_ROOM];
    } request, reply;
    uint8_t frame[2 * USHER_FRAME_MAX];
};

/* --- house.c --------------------------------------------------------------------------------------------- */
/* A house without sockets. NULL when the options can't be right. */
usher_fake *fake_make(const usher_fake_options *options, char *why, size_t why_size);
void fake_free(usher_fake *fake);

/* Room for one more item; ends the program when there is none. */
void *fake_grow(void *items, size_t count, size_t *room, size_t size);
#define FAKE_ADD(list)                                                                                                 \
    ((list)->item = fake_grow((list)->item, (list)->count, &(list)->room, sizeof *(list)->item),                       \
     &(list)->item[(list)->count++])

struct fake_date *fake_find_date(usher_fake *fake, uint32_t concert_id, uint32_t date_id);
bool fake_has_concert(const usher_fake *fake, uint32_t concert_id);
bool fake_has_queue(const usher_fake *fake, uint32_t queue_id);
struct fake_reservation *fake_find_reservation(usher_fake *fake, uint64_t reservation_id);
struct fake_account *fake_account_of(usher_fake *fake, const usher_uuid *user);
bool fake_same_user(const usher_uuid *a, const usher_uuid *b);
bool fake_no_user(const usher_uuid *user);
/* Write an event of the present moment; the caller fills in what applies. Good until the next one. */
usher_event *fake_emit(usher_fake *fake, usher_event_kind kind, const usher_uuid *user);
usher_event *fake_emit_seat(usher_fake *fake, usher_event_kind kind, const struct fake_reservation *reservation);
/* End the holds whose time has come. */
void fake_sweep(usher_fake *fake);
/* A reservation loses its seat. */
void fake_free_seat(usher_fake *fake, struct fake_reservation *reservation, enum fake_reservation_state state);
/* Seats of a queue, or of all if every, that are not sold. */
uint64_t fake_unsold(const usher_fake *fake, uint32_t queue_id);

/* --- ask.c ----------------------------------------------------------------------------------------------- */
/* Who asks, and for whom. */
struct fake_ask {
    const usher_message *message;
    usher_role role;
    usher_uuid client;        /* the beginning of its key */
    usher_uuid user;          /* zero: the request names none */
    struct fake_place *place; /* of the token, or NULL */
    struct fake_link *link;   /* where it came from; NULL when that is gone */
    uint32_t request_no;
    usher_refusal refusal; /* what a handler that refuses says beside the result */
};
typedef usher_result fake_handler(usher_fake *fake, struct fake_ask *ask, const void *request, void *reply);

/* Carry a frame's request out. Writes the answer's body to out, sets *size and *replayed. */
usher_result fake_carry_out(usher_fake *fake, struct fake_ask *ask, const usher_frame *asked, uint8_t *out,
                            size_t *size, bool *replayed);
/* The handler of an opcode, or NULL. */
fake_handler *fake_handler_of(unsigned opcode);

#define FAKE_HANDLER(name, NAME) fake_handler fake_##name;
#include "client-sdk/fake/src/handlers.def"

/* --- sale.c ---------------------------------------------------------------------------------------------- */
/* The date that a request with this token names and wants seats of, or why not. */
usher_result fake_date_on_sale(usher_fake *fake, const struct fake_ask *ask, uint32_t concert_id, uint32_t date_id,
                               struct fake_date **date);

/* --- events.c -------------------------------------------------------------------------------------------- */
/* Where reading begins: behind this event, or behind what the consumer of this name, if any, has acknowledged. */
usher_result fake_first_cursor(usher_fake *fake, const char *name, uint64_t after_event_no, uint64_t *cursor);

/* --- line.c ---------------------------------------------------------------------------------------------- */
void fake_describe_place(usher_fake *fake, const struct fake_place *place, usher_place_reply *reply);
void fake_admit(usher_fake *fake, struct fake_place *place);
/* The place that a token stands for; or the result that it deserves. */
usher_result fake_read_token(usher_fake *fake, const uint8_t *token, size_t size, struct fake_place **place);

/* Sign a document alone; returns its size. */
size_t fake_sign(usher_fake *fake, const uint8_t *body, size_t size, uint8_t *out, size_t room);

#endif
