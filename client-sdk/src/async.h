/* async.h: what is inside of a usher_async, and which file does what with it.
 *
 *     async.c    its life: options, open, close; one turn of usher_async_process()
 *     link.c     a connection: connect, shake hands, move bytes, notice that it is dead; which address comes next
 *     request.c  calls: submit, wait, send, answer, retry, give up; each ends in exactly one completion
 *     watch.c    subscriptions: open, hand on pushes, open anew, end
 *     timer.c    the requests in the order of what is due (due.c); numbers that name them outside
 *     wake.c     the one descriptor: epoll, a timer, and the thread that turns both into a byte on a socket
 *     group.c    many handles behind one descriptor: which of them get a turn
 *     guard.c    one thread at a time, one process, never inside a callback; which threads run loops
 *
 * Nothing in process() needs memory that could fail: what a request or a subscription will ever need is taken when it
 * is submitted. The one exception is the second connection while a server goes away (link.c). */
#ifndef USHER_ASYNC_H
#define USHER_ASYNC_H

#include <pthread.h>
#include <stdatomic.h>

#include "client-sdk/src/due.h"
#include "client-sdk/src/list.h"
#include "client-sdk/src/memory.h"
#include "client-sdk/src/net.h"
#include "client-sdk/src/session.h"

#define USHER_ADDRESSES_MOST 16
#define USHER_PLACES_MOST    4 /* endpoints of one host name */
#define USHER_ERROR_SIZE     512
#define USHER_CACHE_LINE     64u
#define USHER_TIMEOUT_MS     5000 /* of a call whose options name none */
#define USHER_PROBE_MS       2000 /* how long a silent server has to answer the question whether it lives */

enum usher_request_kind {
    USHER_REQUEST_CALL,
    USHER_REQUEST_CONNECT, /* nothing to send: over as soon as there is a connection; for the blocking client */
    USHER_REQUEST_WATCH,   /* opens a subscription; part of a struct usher_watch, like the next */
    USHER_REQUEST_UNWATCH
};

enum usher_request_state {
    USHER_REQUEST_WAITING, /* in async->waiting or async->reopening */
    USHER_REQUEST_PAUSED,  /* in no list; due says until when */
    USHER_REQUEST_FLYING,  /* in link->flying */
    USHER_REQUEST_OVER     /* a call: in async->over, then in async->fetchable; of a watch: it has nothing to send */
};

struct usher_link;
struct usher_parcel;

struct usher_request {
    struct usher_list node;  /* first: a node is its request */
    struct usher_link *link; /* FLYING: on which */
    uint64_t number;
    struct usher_due due; /* when the timer is to look at it: at the deadline, or at the end of its pause */
    uint64_t deadline_ms;
    usher_completion_callback callback; /* NULL: it goes into the queue, in its parcel */
    void *context;
    struct usher_parcel *parcel;
    const uint8_t *body; /* encoded */
    uint32_t body_size;
    uint32_t request_no; /* FLYING: on its link */
    uint32_t attempts;
    uint32_t heard; /* link->heard when it was put on it */
    uint16_t opcode;
    uint8_t kind, state;
    uint8_t status; /* OVER: of a call */
    uint8_t round;  /* pauses so far: the next one is longer */
    bool sent;      /* a server may have carried it out */
    bool fail_fast, retry_later;
};

/* What a call for the queue will be handed out in. The reply's struct stands behind it. */
struct usher_parcel {
    usher_completion completion;
    usher_answer answer;
    char error[160];
    _Alignas(max_align_t) uint8_t reply[];
};

struct usher_watch {
    struct usher_request request;  /* first; its node is in async->open while the subscription is open */
    struct usher_watch *next_same; /* of the same bucket */
    struct usher_list ended;       /* in async->ended: ENDED is to be said */
    uint64_t cursor;               /* WATCH_EVENTS: the last event handed on */
    usher_watch_callback callback;
    void *context;
    uint32_t subscription; /* while it is open */
    uint16_t opcode;
    bool is_open; /* on the server, on the present link */
    bool is_over; /* for its owner: ENDED was said, or will be */
    uint8_t body_of_end[sizeof(uint32_t)];
};

enum usher_link_phase {
    USHER_LINK_CONNECTING,
    USHER_LINK_SHAKING,
    USHER_LINK_READY,
    USHER_LINK_LEAVING /* the server is going away: no new requests, the answers that are due still come */
};

/* A connection, its slots behind it in one piece of memory. */
struct usher_link {
    struct usher_async *async;
    int socket; /* -1: it is over, and waits to be let go */
    enum usher_link_phase phase;
    bool watches_room;    /* epoll tells when it can be written to */
    uint64_t deadline_ms; /* of connecting and shaking hands */
    uint64_t heard_ms;    /* since when it has been silent, while something is awaited */
    uint64_t probe_ms;    /* by when it must be heard again; 0: it was not asked */
    uint32_t heard;       /* grows when something was heard */
    uint32_t heard_then;  /* what it was when heard_ms was taken */
    unsigned address_no;
    struct usher_list flying; /* requests, in the order in which they were put on it */
    struct usher_session session;
    struct usher_session_slot *slots;
    uint8_t *buffers, *input, *output; /* buffers: the memory that has both */
};

/* The numbers by which calls or subscriptions are known outside. */
struct usher_table {
    struct usher_request **entry;
    uint32_t room, count, next;
    uint64_t turn;
};

/* signal_by_socket. */
struct usher_signal {
    pthread_t thread;
    pthread_mutex_t lock; /* of told, and of the byte that goes with it */
    bool runs, told;      /* told: a byte was written and process() has not answered it yet */
    atomic_bool stops;
    int ends[2]; /* the socket pair: [0] is the owner's, [1] the thread's */
    int answer;  /* an eventfd: process() has answered, or the thread is to stop */
    int epoll;   /* the handle's, which the thread waits for */
};

/* Who may be inside: of a handle, or of a group and all that are in it. */
struct usher_guard {
    _Atomic(const void *) owner; /* the thread that is inside */
    unsigned depth;
    uint64_t process; /* the one that opened it */
};

/* A descriptor that is readable when there is something to do: of a handle, or of a group. */
struct usher_wake {
    int epoll, timer;
    uint64_t armed_ms; /* when the timer fires; 0: at once; NEVER */
};

/* Handles of one thread that share a descriptor. */
struct usher_group {
    struct usher_guard guard;
    struct usher_wake wake;
    usher_memory memory;
    uint32_t members;
    unsigned inside; /* members that may be in a callback */
    bool in_process;
    struct usher_list ready; /* members that want a turn */
    struct usher_dues dues;  /* when the others want one */
};

/* What every turn and call looks at comes first: of hundreds of handles each line of memory counts that isn't read. */
struct usher_async {
    struct usher_guard *guard; /* its own, or its group's */
    bool in_process, closing;
    bool usable;  /* it was opened whole */
    bool dirty;   /* something was submitted since this turn looked */
    bool driven;  /* who submits calls process() at once, and needs no waking */
    bool signals;
    bool watch_first;    /* whose turn it is to be sent */
    bool refusal_stands; /* answer.refusal is not all zero */
    bool lazy, fail_fast, retry_later, resolves, has_pin;
    int delivered; /* in this process() */

    /* group.c */
    struct usher_group *group; /* NULL: it is alone */
    struct usher_list ready;   /* in group->ready */
    struct usher_due due;      /* in group->dues */

    struct usher_link *link;    /* the present connection, or NULL */
    struct usher_link *leaving; /* the one before, whose last answers are due, or NULL */
    uint64_t silent_until_ms;   /* the server is BUSY: nothing is sent before that */
    uint64_t prompt_ms;         /* when something was last sent outside of process() */
    unsigned round;             /* rounds since a server last answered */

    /* Calls. */
    uint32_t flying_count; /* calls in flight */
    struct usher_list waiting, over;
    struct usher_table calls;
    struct usher_dues timer;

    /* Subscriptions. */
    struct usher_list reopening, open, ended;

    /* Room to work in: a request's struct as the decoder sees it, its bytes; a reply's or push's struct. */
    void *checked, *reply;
    uint8_t *wire;
    size_t wire_size;

    /* The options. */
    usher_memory memory;
    uint32_t timeout_ms, retry_ms_least, retry_ms_most, heartbeat_ms;
    uint32_t in_flight_max, waiting_max, subscriptions_max;

    usher_answer answer; /* of the completion that is being delivered */

    struct usher_guard own_guard;
    usher_secret secret;
    usher_key pin;
    usher_state_callback on_state;
    void *state_context;
    struct usher_address *address;
    unsigned address_count;
    struct usher_endpoint *endpoint;
    unsigned endpoint_count;

    /* An enrolment that is not finished yet. */
    bool enrols, enrol_sent; /* enrol_sent: an earlier attempt may have used the code up */
    usher_key code;
    usher_id enrol_id;

    /* Where to connect next, and when. */
    unsigned endpoint_no, tried; /* tried: endpoints of this round that were of no use */
    bool move_on;                /* the server at the present address is going away */
    uint64_t connect_at_ms;
    usher_status failure; /* of the last connection; NOT_SENT while there is nothing worse to say */
    usher_answer refusal; /* HELLO_REFUSED: the server's */
    char failure_text[USHER_ERROR_SIZE];
    struct usher_link *spare; /* room for a connection, or NULL */
    usher_identity identity;

    /* What usher_async_next() gives, and gave last. */
    struct usher_list fetchable;
    struct usher_request *fetched;

    /* Subscriptions by their numbers, and those that are open by what the server calls them. */
    struct usher_table watches;
    struct usher_watch **bucket;
    uint32_t bucket_count; /* 0 or a power of two */

    /* wake.c */
    struct usher_wake wake; /* unused in a group */
    struct usher_signal signal;

    char error[USHER_ERROR_SIZE];
};

/* --- guard.c --- */
/* Every public function is between these two. enter ends the program when another thread is inside, or another process
 * opened the handle or group. */
void usher_guard_enter(struct usher_guard *guard);
void usher_guard_leave(struct usher_guard *guard);
/* The calling process: a number that differs from that of every process that it was forked from. */
uint64_t usher_guard_process(void);
/* End the program with a text unless the condition holds: for what only a bug of the caller can bring about. */
void usher_insist(bool holds, const char *text);
/* Whether a blocking call on this thread would stop a loop. */
bool usher_guard_blocks_loop(void);
/* Around callbacks of the owner. */
void usher_guard_callback_begins(void);
void usher_guard_callback_ends(void);

/* --- async.c --- */
/* As usher_async_open(); with a code it enrols. internal: the options are the blocking client's, and host names are
 * resolved whenever it connects anew. */
usher_status usher_async_make(const usher_async_options *options, const usher_key *code, bool internal,
                              struct usher_async **async);
/* Say what went wrong, for usher_async_error(). Returns the status. */
usher_status usher_async_fail(struct usher_async *async, usher_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Something stands in async->waiting or async->reopening that is to be sent. now_ms, here and below: the present moment,
 * which whoever calls several of these looks up once. */
void usher_async_submitted(struct usher_async *async, uint64_t now_ms);

/* --- timer.c --- */
/* Have room for one more than there are calls and subscriptions. */
bool usher_timer_reserve(struct usher_async *async);
/* Look at the request at due_ms. */
void usher_timer_set(struct usher_async *async, struct usher_request *request, uint64_t due_ms);
void usher_timer_clear(struct usher_async *async, struct usher_request *request);
/* The first one whose moment has come, or NULL. */
struct usher_request *usher_timer_past(const struct usher_async *async, uint64_t now_ms);
/* Give a request a number in the table; false when there is no memory. Then take it away. */
bool usher_table_add(struct usher_async *async, struct usher_table *table, struct usher_request *request);
void usher_table_remove(struct usher_table *table, const struct usher_request *request);
struct usher_request *usher_table_find(const struct usher_table *table, uint64_t number);

/* --- wake.c --- */
bool usher_wake_open(struct usher_wake *wake);
void usher_wake_close(struct usher_wake *wake);
/* The timer fires at due_ms (0: at once), or earlier, which costs one look. */
void usher_wake_set(struct usher_wake *wake, uint64_t due_ms);
/* Of a handle that is in no group: that, and perhaps the thread that writes a byte. */
bool usher_wake_handle(struct usher_async *async, bool by_socket);
void usher_wake_handle_over(struct usher_async *async);
/* The descriptor shall become readable at once. */
void usher_wake_now(struct usher_async *async);
/* process() is over: it shall become readable at due_ms, and not before. */
void usher_wake_at(struct usher_async *async, uint64_t due_ms);
/* Outside of process(): it shall become readable at due_ms at the latest. */
void usher_wake_by(struct usher_async *async, uint64_t due_ms);
/* Watch a socket for reading and, with writing, for room; then no more. */
bool usher_wake_watch(struct usher_async *async, int socket, bool writing, bool is_new);
void usher_wake_forget(struct usher_async *async, int socket);
/* process() begins: take the byte. Returns whether it must be answered at the end. */
bool usher_wake_taken(struct usher_async *async);
void usher_wake_answer(struct usher_async *async);

/* --- group.c --- */
bool usher_group_join(struct usher_group *group, struct usher_async *async);
void usher_group_part(struct usher_async *async);
/* A member wants a turn at once; or at a moment. */
void usher_group_hurry(struct usher_async *async);
void usher_group_at(struct usher_async *async, uint64_t due_ms);
/* Around everything of a member that may run callbacks; NULL is welcome. */
void usher_group_begins(struct usher_group *group);
void usher_group_ends(struct usher_group *group);

/* --- link.c --- */
struct usher_link *usher_link_make(struct usher_async *async);
void usher_link_free(struct usher_async *async, struct usher_link *link);
/* Connect if there is reason to, and it is time. */
void usher_links_seek(struct usher_async *async);
/* Read, and act on what came. */
void usher_links_read(struct usher_async *async);
/* Look after deadlines and silence. */
void usher_links_tend(struct usher_async *async, uint64_t now_ms);
void usher_links_write(struct usher_async *async);
/* Outside of process(): send what stands in the output, without any callback: what goes wrong is found by process(),
 * too. Returns whether nothing is left to do. */
bool usher_link_prompt(struct usher_link *link);
/* The descriptor shall become readable when the link's socket has room, or is over. */
void usher_link_await_room(struct usher_link *link);
/* When links have to be looked at again by themselves. */
uint64_t usher_links_due_ms(const struct usher_async *async);
/* The server on this link is going away. */
void usher_link_leave(struct usher_link *link);
/* A request on this link got no answer in time: is the server still there? */
void usher_link_suspect(struct usher_link *link, uint32_t heard);
/* Cut everything without a word, for close. What was flying is put back where it waited. */
void usher_links_cut(struct usher_async *async);
/* The next try comes without a pause. */
void usher_links_hurry(struct usher_async *async);

/* --- request.c --- */
usher_status usher_request_submit(struct usher_async *async, enum usher_request_kind kind, uint16_t opcode,
                                  const void *body, const usher_call_options *options,
                                  usher_completion_callback callback, void *context, uint64_t *number);
/* Check a caller's struct and encode it into async->wire. */
usher_status usher_request_encode(struct usher_async *async, uint16_t opcode, const void *body, size_t *size);
/* Put what waits on the present link, as far as it and the server take it. */
void usher_requests_send(struct usher_async *async, uint64_t now_ms);
/* End what is past its deadline; let go on what has paused. */
void usher_requests_expire(struct usher_async *async, uint64_t now_ms);
/* The reply to a call. False when it can't be read. */
bool usher_request_reply(struct usher_link *link, struct usher_request *request,
                         const struct usher_session_event *event);
/* Its link is over: it waits for the next one. */
void usher_request_requeue(struct usher_request *request, struct usher_list *place);
/* It waits, until due_ms; a random time that grows with each round, but at least least_ms, and so that time is left.
 * False when there is not enough for that. */
bool usher_request_pause(struct usher_async *async, struct usher_request *request, uint64_t least_ms);
/* No connection can be had: end all calls that wait, or only those that are to fail fast. */
void usher_requests_fail(struct usher_async *async, bool fast_only);
/* Complete what is over. */
void usher_requests_deliver(struct usher_async *async);
/* End everything, for close. */
void usher_requests_end(struct usher_async *async);
/* The latest deadline of the calls that wait, or 0. */
uint64_t usher_requests_wait_until_ms(const struct usher_async *async);

/* --- watch.c --- */
bool usher_watch_reply(struct usher_link *link, struct usher_request *request, const struct usher_session_event *event);
/* A push that belongs to a subscription, or to none. False when it can't be read. */
bool usher_watch_push(struct usher_link *link, const struct usher_session_event *event);
/* A request of a subscription was on a link that is over. */
void usher_watch_requeue(struct usher_async *async, struct usher_request *request);
/* Every open subscription was on a link that is over or being left. */
void usher_watches_interrupt(struct usher_async *async);
/* Say ENDED where it is due. */
void usher_watches_deliver(struct usher_async *async);
/* End everything, for close. */
void usher_watches_end(struct usher_async *async);

/* --- check.c --- */
/* Whether a request's struct can be encoded: counts within their most, text that ends, UTF-8, enums' values. Its bytes
 * are in wire then. scratch has room for the struct. On failure *size is SIZE_MAX and why names the field. */
bool usher_check_body(const usher_layout *layout, const void *body, uint8_t *wire, size_t wire_size, void *scratch,
                      size_t *size, char *why, size_t why_size);

#endif
