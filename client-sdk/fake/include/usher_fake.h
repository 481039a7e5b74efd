/* usher_fake.h: a small Usher house inside your own test, that breaks when it is told to.
 *
 * Code that sells seats must be right when a reply is lost, a connection cut, an answer late. A real server does none
 * of that on request. This one does: it runs on a thread of its own in the test's process, on a port of 127.0.0.1 that
 * the system chooses, speaks the real protocol through the real codec, sells the seats of a small house out of tables
 * in memory, and follows a script of faults. Afterwards it says what it did, so that a test can assert "paid once".
 *
 *     char why[160];
 *     usher_fake_options options = {0};
 *     options.script = "pay#1: apply, lose reply, cut";
 *     usher_fake *fake = usher_fake_start(&options, why, sizeof why);
 *     ... connect to usher_fake_address(fake) with any key, join, reserve, charge, pay ...
 *     assert(usher_fake_struck(fake, "pay#1") == 1);
 *     usher_fake_look(fake, &figures);
 *     assert(figures.payments == 1 && figures.ledger_sum == 0);
 *     usher_fake_stop(fake);
 *
 * It is deterministic: its clock stands still until usher_fake_advance(), its keys come from a number, its dice from
 * the script's seed. Only delays are real, on the monotonic clock. It is no second server: it knows the rules that a
 * buyer meets and answers OPCODE_UNKNOWN to the organiser's requests; nothing is kept when it stops.
 *
 * Threads. Every function may be called from any thread at any time, but usher_fake_stop() once and last. None blocks
 * but usher_fake_wait(). When memory runs out the program ends: it is a test.
 *
 * The script is explained at its end, in "The script of faults". */
#ifndef USHER_FAKE_H
#define USHER_FAKE_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/protocol.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct usher_fake usher_fake;

/* One date of the house. Seats are numbered from 1 through rows of equal length. */
typedef struct usher_fake_date {
    uint32_t concert_id; /* from 1 */
    uint32_t date_id;    /* from 1, counted within the concert */
    uint32_t queue_id;   /* the queue in front of the concert: of its first date */
    uint16_t row_count;
    uint16_t seats_per_row; /* row_count * seats_per_row: 1 to 16,384 */
    int64_t price;          /* of each seat; 0 to 2^53 - 1 */
    uint64_t starts_at_ms;  /* when the show begins; 0: 30 days after usher_fake_options.begins_ms */
    const char *title;      /* of the concert; NULL: "Concert" */
    const char *venue;      /* NULL: "Hall" */
} usher_fake_date;

/* For usher_fake_options.wait_polls: nobody is admitted but by usher_fake_admit(). */
#define USHER_FAKE_WAIT_FOR_TEST UINT32_MAX

/* All zeros is a sensible house: one concert, one date, 50 seats at 2,500 points, a gateway let in with any key, and a
 * queue that admits at once. Everything is copied. */
typedef struct usher_fake_options {
    const usher_fake_date *dates; /* date_count of them; NULL: concert 1, date 1, queue 1, 5 rows of 10 seats */
    size_t date_count;
    const char *script;          /* the first faults; NULL: none */
    const usher_key *client_key; /* the only key that is let in; NULL: any */
    const char *client_name;     /* NULL: "fake client" */
    uint32_t client_id;          /* 0: 1 */
    uint32_t role;               /* an usher_role; 0: USHER_ROLE_GATEWAY */
    uint32_t wait_polls;         /* how often a user asks for the place before it is active; 0: active at the join */
    uint32_t hold_ms;            /* how long a hold lasts; 0: 300,000 */
    uint32_t in_flight_max;      /* how many unanswered requests a connection is told it may have; 0: 128 */
    uint64_t begins_ms;          /* where the clock stands; 0: 1,700,000,000,000 */
    uint64_t key_no;             /* the service's key comes from it: same number, same key */
    uint64_t reserved[4];        /* must be zero */
} usher_fake_options;

/* Start a house. options may be NULL: all zeros. Returns NULL when the options or the script can't be right or the
 * system gives no socket or thread; why, unless it is NULL, gets one line of at most why_size bytes, NUL included. */
USHER_API usher_fake *usher_fake_start(const usher_fake_options *options, char *why, size_t why_size);

/* Cut every connection, end the thread, free everything. NULL is welcome. */
USHER_API void usher_fake_stop(usher_fake *fake);

/* "127.0.0.1:PORT", for usher_options.server, and the service's public key. They live until usher_fake_stop(). */
USHER_API const char *usher_fake_address(const usher_fake *fake);
USHER_API const usher_key *usher_fake_key(const usher_fake *fake);

/* --- faults ---------------------------------------------------------------------------------------------- */
/* Add lines to the script, behind those that it has; they count what comes from now on. Returns 1; or 0, and nothing
 * is added, and why, unless it is NULL, says what is wrong in which line and at which column. */
USHER_API int usher_fake_script(usher_fake *fake, const char *lines, char *why, size_t why_size);
/* Forget every line; what struck is forgotten too. */
USHER_API void usher_fake_script_clear(usher_fake *fake);

/* How often the lines with this selector have struck: the text before a line's colon, as it was written but for the
 * blanks at its ends ("pay#2"); several such lines count together. NULL: all lines. */
USHER_API uint64_t usher_fake_struck(usher_fake *fake, const char *selector);
/* How often an action of this name ("lose reply") was done, whatever the line. UINT64_MAX: there is no such action. */
USHER_API uint64_t usher_fake_struck_by(usher_fake *fake, const char *action);

/* --- the house while it runs ------------------------------------------------------------------------------- */
/* Let the clock go on: holds whose time has come are over. */
USHER_API void usher_fake_advance(usher_fake *fake, uint64_t ms);
/* Admit this user, or if user is NULL the first `count` waiters of the queue. Returns how many became active. */
USHER_API uint32_t usher_fake_admit(usher_fake *fake, uint32_t queue_id, const usher_uuid *user, uint32_t count);
/* From now on let in this key alone, or any if it is NULL. Connections that stand stay. */
USHER_API void usher_fake_set_client_key(usher_fake *fake, const usher_key *client_key);
/* The role that a connection gets from now on. */
USHER_API void usher_fake_set_role(usher_fake *fake, uint32_t role);
/* Take a one-time code for ENROL, by its hash as usher_code_make() gives it. */
USHER_API void usher_fake_invite(usher_fake *fake, const usher_key *code_hash);
/* Push GOING_AWAY on every connection; unlike a real server this one goes on answering. */
USHER_API void usher_fake_go_away(usher_fake *fake, uint32_t drain_ms);
/* Cut every connection. Returns how many there were. */
USHER_API uint32_t usher_fake_cut(usher_fake *fake);

/* --- what it did ------------------------------------------------------------------------------------------- */
typedef struct usher_fake_figures {
    uint64_t connections;      /* accepted so far */
    uint64_t connections_open; /* of them still there */
    uint64_t requests;         /* that arrived whole after the handshake, those that a fault then dropped included */
    uint64_t applied;          /* commands that took effect */
    uint64_t replayed;         /* commands that were answered out of memory, under the same request id (M3) */
    uint64_t refused;          /* requests that were answered with another result than OK, scripted ones included */
    uint64_t pushes;           /* pushes made, those that a fault then dropped included */
    uint64_t watches;          /* subscriptions that are open */
    uint64_t seats_free;
    uint64_t seats_held;
    uint64_t seats_sold;
    uint64_t payments;       /* ever made */
    uint64_t refunds;        /* ever made */
    uint64_t points;         /* of all users together */
    int64_t ledger_sum;      /* over all accounts, the house's own included: always 0 (M2) */
    uint64_t now_ms;         /* the house's clock */
    uint32_t last_budget_ms; /* the time budget of the last request */
    uint32_t unused;
} usher_fake_figures;
USHER_API void usher_fake_look(usher_fake *fake, usher_fake_figures *figures);

/* How many requests with this opcode have arrived, the handshake's included. */
USHER_API uint64_t usher_fake_requests(usher_fake *fake, uint16_t opcode);

/* One request id that the house has seen. An id is known per user, or per client where the request names no user. */
typedef struct usher_fake_request {
    usher_id request_id;
    usher_uuid user; /* zero where it is the client's */
    uint16_t opcode;
    uint16_t result;  /* of the last time that it was carried out or refused */
    uint32_t seen;    /* how often it was handed to the house */
    uint32_t applied; /* how often it took effect: 1 at most, or the house has a bug (M3) */
} usher_fake_request;
/* The ids in the order in which they were first seen, from 0. Returns 0 past the last one, else 1. */
USHER_API int usher_fake_request_at(usher_fake *fake, size_t index, usher_fake_request *request);
/* How often a command with this id took effect, for whichever user. */
USHER_API uint32_t usher_fake_applied(usher_fake *fake, const usher_id *request_id);

/* A user's points; 0 for one who never had any. */
USHER_API int64_t usher_fake_balance(usher_fake *fake, const usher_uuid *user);
typedef enum usher_fake_seat {
    USHER_FAKE_SEAT_NONE, /* there is no such seat */
    USHER_FAKE_SEAT_FREE,
    USHER_FAKE_SEAT_HELD,
    USHER_FAKE_SEAT_SOLD
} usher_fake_seat;
/* A seat's state; *user, unless it is NULL, gets whose it is, or zero. */
USHER_API usher_fake_seat usher_fake_seat_of(usher_fake *fake, uint32_t concert_id, uint32_t date_id, uint32_t seat_no,
                                             usher_uuid *user);

/* Wait until figures.requests is at least this. Returns 1, or 0 when timeout_ms have passed first. For a request that
 * gets no answer: the client's call may return before it has arrived. */
USHER_API int usher_fake_wait(usher_fake *fake, uint64_t requests, uint32_t timeout_ms);

/* --- The script of faults -----------------------------------------------------------------------------------
 * A line is `selector: action, action ...`. Lines end at a newline or a semicolon; empty ones and comments, from a `#`
 * at a line's beginning or behind a blank, are passed over. Of all lines that are due the first one strikes, alone.
 *
 * Selectors
 *   pay                requests of this name, as in protocol/messages.def; several with commas: `charge,balance`
 *   any                every request behind the handshake (hello, authenticate and enrol must be named)
 *   push place         pushes of this name, as in protocol/pushes.def, several with commas; `push any`
 *   connect            a connection, when it is accepted
 *   after 7 bytes      the moment at which this many bytes have been sent on a connection (action: cut or reset)
 *   after 7 bytes read the same for bytes that have been received
 *   seed 7             the dice: see below
 * Behind a selector may stand which of them: `#2` the second that comes, `#2-4`, `#2-`; and how often at most: `*1`.
 * Counted is what the selector means, whether the line strikes or not. `any*1: drop` twice drops the next two requests.
 *
 * Actions. A request is carried out and answered unless they say otherwise.
 *   apply              it is carried out (said for the reader, or beside cut)
 *   reply              it is answered (the same); a push goes ahead of the answer, or behind it when
 *                      it stands to the right of this word
 *   drop               it never arrived: not carried out, not answered. A push: not sent. A connection: never read
 *   lose reply         it is carried out and never answered; the connection stays
 *   cut                the connection is closed. Alone: instead of carrying it out. With apply or lose reply: after
 *                      that, unanswered. With reply or what shapes the answer: behind the answer
 *   cut 7              the answer is cut off behind its first 7 bytes
 *   reset              as cut, by a TCP reset
 *   delay 30           the answer, or the push, leaves 30 ms later; others may overtake it
 *   late 30            the request itself arrives 30 ms later, even when its connection is gone by then
 *   reorder            the answer waits until a later one has left, or 50 ms; `reorder 200`: or 200 ms
 *   duplicate          the answer, or the push, is sent twice
 *   trickle            it comes one byte at a time; `trickle 2`: each 2 ms after the other
 *   garble             one bit of it is flipped on the way
 *   garbage            64 bytes that are no frame come ahead of it; `garbage 500`
 *   renumber           it answers a request number that nobody asked under
 *   version            it is of protocol version 99; `version 2`
 *   forge              its signature is wrong: of hello, of the token of join, of the receipt of pay and receipt
 *   refuse BUSY        it is not carried out but answered with this result; `refuse BUSY 20`: with retry_after_ms
 *   push going_away    this push besides the answer, all zero but for GOING_AWAY's fields; `push unknown`: one that no
 *                      version knows
 * Times are in ms, up to 60,000.
 *
 * Dice. `seed 7: random faults p=0.05` rolls for every request, behind the handshake and in it: with this probability
 * one fault of a list of 21 strikes (in the handshake: of those that lose or delay bytes). `seed 7: random p=0.05 of
 * drop | delay 20 | apply, cut` names the list. The same seed and the same requests give the same faults. */

#ifdef __cplusplus
}
#endif
#endif
