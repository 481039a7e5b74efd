/* inside.h: what the files of net/ share: the loop's state, a connection, a request of the turn.
 *
 *   loop.c        opening, the turn, timers
 *   follow.c      other instances on the same store
 *   drain.c       the stop
 *   listen.c      addresses, accepting
 *   connection.c  buffers, reading, sending, closing, deadlines
 *   request.c     the ladder of checks that a request climbs
 *   gather.c      who is just asking, before a commit
 *   figures.c     where time and memory go
 *   hello.c       HELLO, AUTHENTICATE, ENROL
 *   proof.c       queue tokens: their proof, the tokens and roots that are known
 *   seal.c        proving the tokens and receipts of a turn
 *   watch.h       subscriptions and their pushes
 *
 * A connection's life:
 *
 *     FRESH --HELLO--> CHALLENGED --AUTHENTICATE--------------> READY
 *       |                  |--ENROL--> ENROLLING --its answer-->  |
 *       |                  |               |                      |
 *       `------------------+-------+-------+----------------------'
 *                                  | an error that ends it, the client's end, a stop
 *                                  v
 *     CLOSING (answers what is in flight, sends what is unsent)
 *       --> LINGERING (sent its end, throws away what still comes, so that the last reply is not lost to a reset)
 *       --> DEAD (descriptor closed; freed at the turn's end, for the turn may still point at it) */
#ifndef NET_INSIDE_H
#define NET_INSIDE_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "protocol/codec.h"
#include "protocol/token.h"
#include "server/commit/form.h"
#include "server/net/net.h"
#include "server/stages/stages.h"

#define NET_BUSY_RETRY_MS 20 /* what BUSY tells to wait: a few turns */

struct net_buffer {
    uint8_t *bytes;
    size_t begin, end, room;
};

enum connection_state {
    CONNECTION_FRESH,
    CONNECTION_CHALLENGED,
    CONNECTION_ENROLLING,
    CONNECTION_READY,
    CONNECTION_CLOSING,
    CONNECTION_LINGERING,
    CONNECTION_DEAD
};

/* What a connection has to remember until it has proved its key. */
struct handshake {
    usher_key client_key;
    uint8_t authenticate_digest[32], enrol_digest[32]; /* what the client signs, one way or the other */
};

/* Ten thousand are open and idle: what one doesn't need for long is not in here, but behind a pointer while it lasts. */
struct connection {
    struct net *net;
    struct connection *previous, *next; /* all connections; when DEAD, next is the graveyard's */
    struct connection *next_dirty;      /* those that have something to send at the turn's end */
    uint64_t number;                    /* for the log */
    struct event event;  /* the socket: there is something to read, or, when it was full, room to write */
    int fd;
    short waits_for; /* EV_READ, EV_WRITE, both or neither */
    bool woken;      /* the event will come although the socket is quiet */
    bool counted;    /* against connections_max; one that was turned away is not */
    bool dirty;
    bool paused; /* whole frames may be in the input, but the output has to shrink first */
    bool ended;  /* the client has sent its end */
    bool stale;  /* some subscriptions were not told something because the output was too full */
    bool doomed; /* there was no memory for it: the sweep cuts it */
    enum connection_state state;
    struct net_buffer input, output;
    uint32_t in_flight; /* requests that are not answered yet */
    uint32_t commands;  /* of these, commands and subscriptions: what the turn's queries have to come after */
    size_t owed;        /* bytes that their replies may take */
    size_t frame_left;  /* of the frame that the output begins with, when a part of it was sent already */
    /* Moments; 0 for none. */
    uint64_t opened_at_ms, read_at_ms;
    uint64_t frame_since_ms;  /* when the frame began that is not whole yet */
    uint64_t output_since_ms; /* when sending last made progress, while something is unsent */
    uint64_t linger_since_ms;
    uint64_t verify_since_ms; /* the second in which verify_count is counted */
    uint32_t verify_count;
    /* Who it is, once READY. */
    uint32_t client_no;
    uint16_t channel;
    uint8_t role;
    struct subscription *subscriptions;
    uint64_t subscription_count;
    struct handshake *handshake; /* from HELLO until READY, else NULL */
};

/* What a queue token is remembered by. */
struct proof_mark {
    uint8_t bytes[16];
};

/* A request that has climbed every rung. */
struct pending {
    struct connection *connection;
    const usher_message *message;
    struct core_asker asker;
    size_t body; /* where its decoded struct stands in the turn's arena */
    uint32_t request_no;
    uint32_t budget_ms;
    uint64_t read_at_ms;
    bool answered; /* before the turn's commit */
    bool held;     /* its answer is among those that wait for the disk */
    bool unproved; /* its token waits for proof_end() */
    struct proof_mark mark;
};

/* What one turn carries out, or the next one will. */
struct requests {
    struct pending *pending; /* turn_max of them */
    uint32_t count, proved; /* the tokens of so many are proved */
    uint8_t *arena;         /* their decoded bodies */
    size_t arena_size, arena_room;
};

struct proof_known; /* proof.c */
struct seal;        /* seal.c */
struct held;        /* held.c */
struct watch;       /* watch.h */

struct net {
    struct net_config config;
    struct forms forms;
    struct event_base *base;
    int listen_fd;
    uint16_t port;
    struct event *bell_event, *accept_event, *accept_again, *due_timer, *sweep_timer, *idle_timer, *scrub_timer;
    struct event *signal_events[2];

    struct connection *connections, *graveyard, *dirty;
    uint64_t dirty_count;
    struct net_buffer spare;   /* lent to one connection at a time, so that idle ones own no input buffer */
    uint64_t connection_count; /* those that are counted */
    uint64_t turned_away_count;
    uint64_t last_number;

    /* The turn. */
    struct requests requests[2];
    struct requests *taken; /* from the sockets, for the next turn */
    struct requests *turn;  /* the turn's own: while its batch is on its way to the disk, `taken` grows beside it */
    void *scratch;          /* room for one decoded reply */
    core_trace *traces; /* what the turn's queries leave behind, for the next batch */
    uint32_t trace_count;
    uint32_t *revoked; /* clients whose connections the turn cuts */
    uint32_t revoked_count;
    uint64_t stamp_ms; /* of the replies that are written now */
    uint64_t last_event_no;
    bool events_overdue; /* the alarm was given */
    uint64_t followed_clients;  /* store_followed_count of the clients when they were looked at last */
    uint64_t readers_at_ms;     /* when killed readers were last looked for */
    bool current;               /* the turn has followed what other instances had committed */
    uint64_t due_not_before_ms; /* no batch without commands before this: the last one could do nothing */
    bool again;                 /* the next turn has work already */
    uint32_t gathered[2];       /* the requests of the last two turns that had commands */
    struct net_batch {
        bool on_its_way; /* to the disk: memory is ahead of it, and nothing that it shows may leave the process */
        bool arrived;    /* memory is not any more; the turn has still to answer */
        bool held;       /* answers were made meanwhile */
        uint32_t traces; /* of the turn's queries before these */
        enum store_outcome outcome;
        uint32_t count;      /* of its commands */
        uint64_t now_ms;     /* when it began */
        uint64_t before;     /* the position that it stands on */
    } batch;                 /* the turn's */
    struct event *disk_events[2]; /* its way is over; something was carried over */

    uint64_t scrub_position;    /* at the scrub's last slice */
    uint64_t stages_since_ms;   /* when the stages were cleared last */

    struct proof_known *known;
    struct seal *seal;
    struct held *held;
    bool holding; /* what is written now waits for the batch that is on its way */
    struct watch *watch;
    bool stopping;
    bool at_once; /* told to stop once more: see nobody out */
    bool lost;
};

static inline uint64_t
net_now(const struct net *net)
{
    return net->config.now_ms(net->config.clock);
}

/* --- loop.c --- */
/* Take the moment of the replies that are written from now on, and return it. */
uint64_t net_take_stamp(struct net *net);

/* Wake the loop after this long, though nothing else does. */
void net_wake_after(struct net *net, uint64_t delay_ms);

/* Ask the core at the moment of the turn's replies. What the query leaves behind goes into the next batch. */
struct core_answer net_ask(struct net *net, uint16_t opcode, const struct core_asker *asker, const void *body);

/* Set a timer of the loop's to go off after this long. */
void net_set_timer(struct event *timer, uint64_t delay_ms);

/* See to it that memory and disk agree, for who is about to look at records outside of a turn. False when that can't be
 * told any more: then nothing may be said, and the loop ends. */
bool net_await_disk(struct net *net);

/* Tell whoever waits for events that there are new ones. */
void net_tell_of_events(struct net *net);

/* --- follow.c --- */
bool follow_open(struct net *net);
/* Put what other instances have committed on our records. False if the store is lost. */
bool follow_others(struct net *net);
/* End the connections of clients that another instance has revoked. */
void follow_clients(struct net *net);
/* A few times a second. */
void follow_now_and_then(struct net *net);

/* --- drain.c --- */
/* After the last turn: see every connection out. */
void drain_run(struct net *net);

/* --- scrub.c --- */
bool scrub_open(struct net *net); /* false without memory */
void scrub_close(struct net *net);

/* --- connection.c --- */
/* Room for so many more bytes at the buffer's end. False without memory. */
bool net_buffer_reserve(struct net_buffer *buffer, size_t more);
struct connection *connection_open(struct net *net, int fd, bool counted);
/* Read frames out of the input and take their requests, until the input ends or the output is over its limit. */
void connection_take(struct connection *connection);
/* Append a reply to the output: body is a struct of this layout, or encoded bytes. */
void connection_reply(struct connection *connection, const usher_frame *frame, const usher_layout *layout,
                      const void *body);
void connection_reply_bytes(struct connection *connection, const usher_frame *frame, const uint8_t *body,
                            size_t body_size);
/* Append frames that are whole. */
void connection_append(struct connection *connection, const uint8_t *frames, size_t size);
/* Append a frame that nobody asked for. */
void connection_push(struct connection *connection, const usher_push *push, const void *body);
/* The same for a subscription: without memory the connection is not cut now, but by the next sweep. The bytes are a
 * push's body, whose first field gets the subscription's name. */
void connection_tell(struct connection *connection, const usher_push *push, const void *body);
void connection_tell_bytes(struct connection *connection, uint16_t opcode, uint32_t subscription, const uint8_t *body,
                           size_t body_size);
/* Whether the output is small enough for a push. */
bool connection_has_room(const struct connection *connection);
void connection_refuse(struct connection *connection, uint16_t opcode, uint32_t request_no, usher_result result,
                       const usher_refusal *refusal);
/* Take no further request; send what is unsent, then close. */
void connection_end(struct connection *connection);
/* Close at once. */
void connection_cut(struct connection *connection, const char *reason);
/* Send what the turn has written. */
void connection_flush_all(struct net *net);
void connection_bury_dead(struct net *net);
/* Close whoever is over a deadline. */
void connection_sweep(struct net *net);

/* --- listen.c --- */
enum net_status listen_open(struct net *net, char *why, size_t why_size);
void listen_close(struct net *net);

/* --- request.c --- */
void request_take(struct connection *connection, const usher_frame *frame);
/* The request has its answer. */
void request_settle(const struct pending *pending);
/* Look at the tokens of those that have joined the turn since this was last done, and answer those whose token is not
 * one. */
void request_prove(struct net *net);

/* --- held.c --- */
struct held *held_open(void); /* NULL without memory */
void held_close(struct held *held);
/* Room for a frame that connection_reply writes while net->holding, and then its size. NULL without memory. */
uint8_t *held_reserve(struct held *held, size_t most);
void held_add(struct held *held, struct connection *connection, size_t size);
size_t held_size(const struct held *held);
/* The disk has the batch: its answers come behind their connections' output. Or it has not: forget them. */
void held_release(struct held *held);
void held_drop(struct held *held);

/* --- gather.c --- */
/* If the turn has commands: read those as well who are just about to ask. */
void gather_run(struct net *net);
/* How many commands there are among them. */
uint32_t gather_count_commands(const struct requests *requests);

/* --- hint.c --- */
/* The queries of the turn that come next, and how far what they will look at has been fetched. */
struct hints {
    const struct net *net;
    uint32_t read;       /* requests of the turn that were looked at */
    uint32_t first, end; /* the queries among them that are to come, in a ring */
    struct hint_ahead {
        struct core_hint hint;
        uint32_t index; /* in the turn */
        bool going;     /* the hint has steps left */
    } ahead[2 * CORE_HINT_STEPS];
};
void hint_begin(struct hints *hints, const struct net *net);
/* Before each query of the turn, in their order: fetch on for those behind it. No change of the store between two of
 * them but their own. */
void hint_before(struct hints *hints, uint32_t index);

/* --- figures.c --- */
/* Put what this process alone knows into the core's answer. */
void figures_add(struct net *net, const usher_figures_request *ask, usher_figures_reply *reply);

/* --- hello.c --- */
/* Whether a message may be sent in the connection's state and role. */
usher_result hello_check_state(const struct connection *connection, const usher_message *message);
/* Answer HELLO or AUTHENTICATE. */
void hello_answer(struct connection *connection, const usher_message *message, uint32_t request_no, const void *body);
/* The proof in an ENROL. field_no as with usher_decode. */
usher_result hello_check_enrol(const struct connection *connection, const usher_enrol_request *request,
                               unsigned *field_no);
/* What an ENROL came to. */
void hello_enrolled(struct connection *connection, uint16_t result, const uint8_t *body, size_t body_size);
/* The handshake is over, one way or the other. */
void hello_forget(struct connection *connection);

/* --- proof.c --- */
struct proof_known *proof_open(uint64_t tokens_most, uint64_t roots_most); /* NULL without memory */
void proof_close(struct proof_known *known);
/* Check a queue token's proof, in two steps, so that what it is remembered by is fetched while others are read. The first
 * looks at the token alone: TOKEN_MALFORMED, TOKEN_UNKNOWN_KEY, or OK with *body and *mark; the second at the proof:
 * TOKEN_FORGED, BUSY (with *retry_after_ms) or OK. */
usher_result proof_begin(const struct net *net, const uint8_t *token, size_t size, usher_token_body *body,
                         struct proof_mark *mark);
usher_result proof_end(struct connection *connection, const uint8_t *token, size_t size, const struct proof_mark *mark,
                       uint64_t *retry_after_ms);
/* Remember a root that this process has signed itself. */
void proof_remember(struct net *net, uint16_t leaf_count, const uint8_t root[32], const uint8_t signature[64]);
/* And a token that it has issued. */
void proof_remember_token(struct net *net, const uint8_t *token, size_t size);

/* --- watch.c --- */
bool watch_open(struct net *net); /* false without memory */
void watch_close(struct net *net);
/* After the turn's answers: look at what has happened, and push what is news. */
void watch_run(struct net *net);
/* Answer a request of kind WATCH, after the turn's batch. */
void watch_answer(struct net *net, const struct pending *pending);
/* The connection is ending: so are its subscriptions. */
void watch_drop_all(struct connection *connection);
/* The same, and each is told why. */
void watch_end_all(struct connection *connection, uint16_t result);
/* The output of a stale connection has room again. */
void watch_resume(struct connection *connection);

/* --- seal.c --- */
struct seal *seal_open(void);
void seal_close(struct seal *seal);
/* Whether the replies to this message hold a token or a receipt. */
bool seal_wants(const usher_message *message);
/* Keep an OK reply (the C struct, its document without proof) until seal_run. */
void seal_take(struct net *net, const struct pending *pending, bool replayed, const void *reply);
/* Prove all that were taken and write their replies. */
void seal_run(struct net *net);

#endif
