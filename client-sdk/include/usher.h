/* usher.h: sell concert seats through an Usher server, from C and C++.
 *
 * This is the whole public interface; what is not here may change any day. The words of the wire (usher_join_request,
 * usher_result, USHER_ROLE_ADMIN and so on) come from protocol/protocol.h, which grows from the row files beside it.
 *
 *     usher_options options = {0};
 *     usher_client *client;
 *     options.key_file = "shop.key";
 *     if (usher_client_open(&options, &client) != USHER_STATUS_ANSWERED)
 *         complain(usher_client_error(client));
 *     ...
 *     usher_client_close(client);
 *
 * Bad news comes in two kinds that are never mixed:
 *   usher_status   the call got no answer: no network, no time, no memory;
 *   usher_result   the server answered, and this is its decision: usher_client_answer(client)->result.
 * A call that returns USHER_STATUS_ANSWERED has filled in *reply if, and only if, the result is USHER_OK. On every
 * other result the answer's refusal says what stands in the way and until when.
 *
 * There are three kinds of handles on one implementation:
 *   usher_client   blocking: a call returns with its answer. A connection for one thread at a time
 *   usher_async    never blocks: many requests in flight, subscriptions, callbacks, one descriptor for any loop
 *   usher_pool     blocking, for any number of threads at once, over several connections
 *
 * Threads. A client or an asynchronous handle belongs to one thread at a time: two that are in one at once end the
 * program by assertion. It may move from thread to thread. Different handles share nothing. A blocking call refuses to
 * run where it would stop a loop: WRONG_THREAD. No call raises SIGPIPE.
 *
 * fork(). A handle belongs to the process that opened it. The child must leave it alone, closing included: any use of
 * it ends the child by assertion. exec() closes what is open.
 *
 * Time. Every call has an absolute deadline on the monotonic clock, timeout_ms after it began, and returns by then.
 * (One exception: a host name in options.server is resolved by getaddrinfo(), which knows no deadline: by the open
 * functions, and by a blocking client whenever it connects anew. A numeric address never blocks.) Moments in requests
 * and replies are the server's, in milliseconds since 1970; the local clock never matters.
 *
 * Retry. Every command carries a 128-bit request id. Leave it all zero and the SDK makes a new one; the answer says
 * which. When a connection or a reply is lost, the SDK connects again and sends the same request under the same id
 * until the deadline: the server carries it out once (M3), so this is safe. When the deadline passes first, the status
 * says what is known: USHER_STATUS_NOT_SENT or USHER_STATUS_MAYBE_APPLIED. After the latter, call again with the same
 * body and the id that the answer names, or ask usher_lookup(): both are safe at any time and from any process.
 *
 * A server that stops says so (X7). The call that runs still gets its answer; after it the SDK leaves the connection,
 * and the next call begins with the next address of options.server, or finds the same one when a server is there again.
 * A request that meets the stop is answered GOING_AWAY and was not carried out: with options.retry_later the SDK sends
 * it to the next address under its own id, else the answer is the caller's. Tokens and holds are good everywhere and
 * over a restart. */
#ifndef USHER_H
#define USHER_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/protocol.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- what became of a call ----------------------------------------------------------------------------- */
/* Except for the three that say otherwise, a status other than ANSWERED means that nothing has happened: the request
 * has not left this process whole. */
typedef enum usher_status {
    USHER_STATUS_ANSWERED = 0,      /* the server decided: see usher_client_answer() */
    USHER_STATUS_NOT_SENT = 1,      /* no server could be reached before the deadline */
    USHER_STATUS_MAYBE_APPLIED = 2, /* a command was sent and no answer came: ask again under its request id */
    USHER_STATUS_NO_ANSWER = 3,     /* a query was sent and no answer came; it changes nothing */
    USHER_STATUS_BAD_ARGUMENT = 4,  /* a pointer, an option or a field can't be right: the error text names it */
    USHER_STATUS_NO_MEMORY = 5,
    USHER_STATUS_KEY_FILE = 6,      /* the key file is missing, not readable, readable by others, or not one */
    USHER_STATUS_HELLO_REFUSED = 7, /* the server turned this client away: the answer's result says why */
    USHER_STATUS_UNTRUSTED = 8,     /* the server's key is not options.server_key, or it did not prove it */
    USHER_STATUS_WRONG_SERVER = 9,  /* what answers there is not an Usher server that speaks this protocol */
    USHER_STATUS_WRONG_THREAD = 10, /* a blocking call on a loop's thread, or in a callback: it would stop the loop */
    USHER_STATUS_QUEUE_FULL = 11,   /* as many requests wait as may: nothing was taken */
    USHER_STATUS_CANCELLED = 12,    /* as the caller wished; the outcome says what is known */
    USHER_STATUS_CLOSED = 13        /* the handle is being closed: nothing was taken */
} usher_status;

/* The status in words ("no server could be reached before the deadline"). Never NULL, lives for ever. */
USHER_API const char *usher_status_text(usher_status status);

/* The last answer of a client. The last call's opcode and request id are here whatever its status; the rest is zero,
 * and result is USHER_RESULT_NONE, unless the status was ANSWERED or HELLO_REFUSED. */
typedef struct usher_answer {
    usher_result result;
    uint16_t opcode;
    uint8_t replayed;    /* 1: the first answer to this request id, given again */
    uint8_t retryable;   /* 1: nothing was done, and the same request may be sent again after refusal.retry_after_ms */
    uint32_t attempts;   /* how often the request was put on a connection */
    uint64_t stamp_ms;   /* the server's time */
    usher_id request_id; /* of a command: the one used; else zero */
    usher_refusal refusal; /* all zero when the result is OK */
} usher_answer;

/* --- keys ------------------------------------------------------------------------------------------------ */
/* A client's Ed25519 key pair, in libsodium's 64-byte form: seed, then public half. Wipe copies with
 * usher_secret_wipe(). */
typedef struct usher_secret {
    uint8_t bytes[64];
} usher_secret;

/* Make a new key pair from the system's random source. */
USHER_API void usher_key_make(usher_secret *secret);
/* The public half. */
USHER_API void usher_key_public(const usher_secret *secret, usher_key *public_key);
/* Read a key file: one line, "usher-key-1 " and 128 hex digits. The file must belong to nobody but its owner (mode 0600
 * or less). Returns ANSWERED, KEY_FILE or BAD_ARGUMENT; on failure *secret is zero and why, unless it is NULL, gets one
 * line of at most why_size bytes, NUL included. */
USHER_API usher_status usher_key_load(const char *path, usher_secret *secret, char *why, size_t why_size);
/* Write a new key file with mode 0600. An existing file is never overwritten: KEY_FILE. Else as usher_key_load(). */
USHER_API usher_status usher_key_save(const char *path, const usher_secret *secret, char *why, size_t why_size);
USHER_API void usher_secret_wipe(usher_secret *secret);

/* Make a one-time enrolment code of 32 random bytes, and the hash that usher_invite() sends in its place. */
USHER_API void usher_code_make(usher_key *code, usher_key *code_hash);

/* --- opening and closing ------------------------------------------------------------------------------- */
typedef struct usher_client usher_client;

/* All zeros but a key is a sensible client. Everything is copied by usher_client_open(). */
typedef struct usher_options {
    const char *server;          /* "host:port", or several with commas between, tried in turn; IPv6 as "[::1]:7411".
                                  * NULL: "127.0.0.1:7411" */
    const char *key_file;        /* this client's key; or NULL, and: */
    const usher_secret *secret;  /* the key itself */
    const usher_key *server_key; /* the only service key to accept; NULL: any that the server proves */
    uint32_t timeout_ms;         /* for each call; 0: 5,000 */
    uint32_t retry_ms_least;     /* the first pause between attempts is random in 0 .. this; 0: 50 */
    uint32_t retry_ms_most;      /* it doubles up to this; 0: 5,000 */
    uint8_t fail_fast;           /* 1: once no address could be connected to, a call ends, not waits for a next try */
    uint8_t retry_later;         /* 1: answers of the class LATER are retried until the deadline, not returned */
    uint8_t connect_later;       /* 1: connect when there is something to ask, not when the handle is opened */
    uint8_t unused[5];           /* must be zero */
    uint64_t reserved[6];        /* must be zero */
} usher_options;

/* Make a client, connect it, check the server's proof and give this client's own.
 *
 * Returns ANSWERED; NOT_SENT, BAD_ARGUMENT, NO_MEMORY, KEY_FILE, HELLO_REFUSED (results BUSY, GOING_AWAY,
 * SIGNATURE_WRONG, CLIENT_UNKNOWN, CLIENT_REVOKED), UNTRUSTED or WRONG_SERVER. *client is set in every case and must be
 * closed; after a failure it is good for usher_client_error(), usher_client_answer() and usher_client_close() alone,
 * which all welcome the NULL that NO_MEMORY leaves. */
USHER_API usher_status usher_client_open(const usher_options *options, usher_client **client);

/* As usher_client_open(), but become a client with the one-time code of an invitation; the key that the options name
 * (see usher_key_make) is this client's from then on. connect_later must be 0. A retry after a lost reply finds the
 * enrolment that was made. Further results: CODE_UNKNOWN, KEY_IN_USE. Save the key first: a code works once. */
USHER_API usher_status usher_client_enrol(const usher_options *options, const usher_key *code, usher_client **client);

/* Cut the connection, wipe the key, free everything. NULL is welcome. What was sent and not answered stays unknown. */
USHER_API void usher_client_close(usher_client *client);

/* The last failure in one line, without a newline: for a status what went wrong and where, for a refusal its name and
 * text. "" after a success. Lives until the next call on this client. */
USHER_API const char *usher_client_error(const usher_client *client);
/* The last answer. Never NULL; changes with the next call. */
USHER_API const usher_answer *usher_client_answer(const usher_client *client);

/* Who this client is, as the server said when it connected last; zero and "" before that. */
USHER_API usher_role usher_client_role(const usher_client *client);
USHER_API uint32_t usher_client_number(const usher_client *client);
USHER_API const char *usher_client_name(const usher_client *client);
/* The service's public key: what usher_ticket_verify() asks for. All zero before the first connection. */
USHER_API const usher_key *usher_client_server_key(const usher_client *client);
/* The address in use or last tried, "127.0.0.1:7411". */
USHER_API const char *usher_client_address(const usher_client *client);

/* The time that every call from now on has; 0: 5,000. And the next call alone. */
USHER_API void usher_client_set_timeout(usher_client *client, uint32_t timeout_ms);
USHER_API void usher_client_set_next_timeout(usher_client *client, uint32_t timeout_ms);

/* --- calls ------------------------------------------------------------------------------------------------
 * All have one form: the request is read, never changed; *reply is written when the answer is OK, and only then.
 * Request and reply belong to the caller and hold no pointers. Neither may be NULL. A request begins as all zeros:
 * `usher_reserve_request ask = {0};`.
 *
 * Fields that many requests share:
 *   request_id   all zero: the SDK makes one; else the caller's own, for a retry over a crash of the caller
 *   token        the queue token, token_count bytes, as usher_join() gave it. Clients whose role allows it may leave it
 *                out (token_count 0) and name the user
 *   user         with a token: zero or the token's own user; without: whom it is about
 *
 * Status: ANSWERED; NOT_SENT; MAYBE_APPLIED (commands) or NO_ANSWER (queries); BAD_ARGUMENT; HELLO_REFUSED, UNTRUSTED
 * and WRONG_SERVER when the connection had to be made anew. Each function lists its own results in their order of
 * precedence. Besides them, each can give
 *   ROLE_REFUSED, FIELD_INVALID (refusal.detail: the field's number, from 1)
 *   GOING_AWAY, BUSY, NOT_EXECUTED, and commands STORAGE_FAULT, STORAGE_FULL: class LATER, nothing was done
 *   MISMATCH: commands whose request id was used for something else (M3)
 * and those with a token the proof's results TOKEN_MISSING, TOKEN_MALFORMED, TOKEN_UNKNOWN_KEY, TOKEN_FORGED,
 * TOKEN_OTHER_USER (Q12), USER_MISSING when neither token nor user is there, and where the token must be ACTIVE its
 * state's: TOKEN_USED, TOKEN_EXPIRED, TOKEN_OTHER_QUEUE, TOKEN_WAITING (Q13). */

/* Any of the calls below by its opcode: request and reply point to the structs of that message's layouts. Connection
 * messages (HELLO, AUTHENTICATE, ENROL) and unknown opcodes are BAD_ARGUMENT. */
USHER_API usher_status usher_call(usher_client *client, uint16_t opcode, const void *request, void *reply);

/* Ask whether the server answers. The answer's stamp_ms is its time. */
USHER_API usher_status usher_ping(usher_client *client, const usher_ping_request *request, usher_ping_reply *reply);

/* --- the queue --- */

/* Take a place in a queue, or find the one that the user has: joining again keeps it (T1, T4, Q1, Q2). The reply's
 * token is what every other call asks for; ranks and estimates are of this moment, and next_poll_ms says when to call
 * usher_place(). A queue with grants left and nobody waiting admits at once: state ACTIVE (Q3).
 *
 * Results: QUEUE_NOT_FOUND, SOLD_OUT (to those who have no place yet). */
USHER_API usher_status usher_join(usher_client *client, const usher_join_request *request, usher_join_reply *reply);

/* Read one's place and keep it alive (T3, Q6): the token may be in any state. Poll no more often than next_poll_ms
 * says; a waiter who doesn't poll within the lease has left. TOKEN_EXPIRED: the place is no longer remembered. */
USHER_API usher_status usher_place(usher_client *client, const usher_place_request *request, usher_place_reply *reply);

/* Give the place up and release its holds (Q7, Q8). Leaving twice is OK and tells how the place ended; TOKEN_EXPIRED:
 * it is no longer remembered. */
USHER_API usher_status usher_leave(usher_client *client, const usher_leave_request *request, usher_leave_reply *reply);

/* --- the catalogue --- */

/* A page of concerts, and the version under which it may be cached (C3). Needs no token. */
USHER_API usher_status usher_concerts(usher_client *client, const usher_concerts_request *request,
                                      usher_concerts_reply *reply);

/* A page of a concert's dates with what is free (C1); all = USHER_FLAG_YES: those that can't be reserved as well.
 * Results: CONCERT_NOT_FOUND. */
USHER_API usher_status usher_dates(usher_client *client, const usher_dates_request *request, usher_dates_reply *reply);

/* The free seats of a date, a bit for each (C2): read with usher_seat_is_free(). A date of more than 16,384 seats takes
 * several calls: first_block goes on by free_block_count. To a terminal the blocked seats of its channel are free (H8).
 * Results: CONCERT_NOT_FOUND, DATE_NOT_FOUND, DATE_PAST. */
USHER_API usher_status usher_seats(usher_client *client, const usher_seats_request *request, usher_seats_reply *reply);

/* A date's sections, rows and prices. Needs no token.
 * Results: CONCERT_NOT_FOUND, DATE_NOT_FOUND. */
USHER_API usher_status usher_plan(usher_client *client, const usher_plan_request *request, usher_plan_reply *reply);

/* --- seats --- */

/* Keep seats from everybody else until they are paid for or the time runs out: all of them or none (R1, H1, H4). The
 * price is fixed now (H5). A seat that the user holds already keeps its reservation and its deadline (H3). A terminal
 * may name blocked seats of its channel (H8); given up or refunded, they are blocked again.
 * Results: CONCERT_NOT_FOUND, DATE_NOT_FOUND, FROZEN, DATE_PAST, NOT_ON_SALE, SEATS_NONE, SEAT_DUPLICATE,
 * SEATS_PER_REQUEST, SEAT_NOT_FOUND, SEATS_PER_USER, HOLDS_PER_USER, SOLD, BLOCKED, HELD. With the seats' own results
 * refusal.conflict lists each seat in the way and until when, never whose it is (H2). */
USHER_API usher_status usher_reserve(usher_client *client, const usher_reserve_request *request,
                                     usher_reserve_reply *reply);

/* Hold the best `count` seats that are free, of one price grade or USHER_GRADE_ANY; together = USHER_FLAG_YES: side by
 * side or not at all (H9).
 * Results: CONCERT_NOT_FOUND, DATE_NOT_FOUND, FROZEN, DATE_PAST, NOT_ON_SALE, SOLD_OUT, ALL_HELD, SEATS_NONE,
 * SEATS_PER_REQUEST, SEATS_PER_USER, HOLDS_PER_USER, NOT_ENOUGH_SEATS, NOT_TOGETHER. */
USHER_API usher_status usher_reserve_best(usher_client *client, const usher_reserve_best_request *request,
                                          usher_reserve_best_reply *reply);

/* Give holds up; those that are over already count as done (H6).
 * Results: SEATS_NONE, RESERVATION_NOT_FOUND, NOT_YOURS, ALREADY_PAID. */
USHER_API usher_status usher_release(usher_client *client, const usher_release_request *request,
                                     usher_release_reply *reply);

/* Take new seats and free the old in one step; the deadline stays (H11).
 * Results: CONCERT_NOT_FOUND, DATE_NOT_FOUND, FROZEN, DATE_PAST, NOT_ON_SALE, SEATS_NONE, SEAT_DUPLICATE,
 * SEATS_PER_REQUEST, SEAT_NOT_FOUND, SEATS_PER_USER, HOLDS_PER_USER, SOLD, BLOCKED, HELD, RESERVATION_NOT_FOUND,
 * NOT_YOURS, ALREADY_PAID, HOLD_EXPIRED. */
USHER_API usher_status usher_swap(usher_client *client, const usher_swap_request *request, usher_swap_reply *reply);

/* The user's live holds, oldest first. */
USHER_API usher_status usher_holds(usher_client *client, const usher_holds_request *request, usher_holds_reply *reply);

/* --- points and payment --- */

/* Add points to a user's balance (P1, M1). amount: whole minor units, 1 to the policy charge_max; a balance stays
 * within USHER_POINTS_MAX. A refusal is remembered under its request id as well (M4). Results: AMOUNT_INVALID,
 * AMOUNT_TOO_LARGE, BALANCE_TOO_LARGE. */
USHER_API usher_status usher_charge(usher_client *client, const usher_charge_request *request,
                                    usher_charge_reply *reply);

/* Read the balance (P2); the token may be active or used by its own payment. */
USHER_API usher_status usher_balance(usher_client *client, const usher_balance_request *request,
                                     usher_balance_reply *reply);

/* Pay for holds, all or none (B1, M5): points go, the seats are the user's own, the token is used up, and the reply
 * brings the signed receipt: the ticket. A hold is over at its deadline (H1): no points are taken then (M6). A retry
 * under the same request id gets the first answer although the token is used by now (M7).
 * Results: FROZEN, SEATS_NONE, SEAT_DUPLICATE, RESERVATION_NOT_FOUND, NOT_YOURS, ALREADY_PAID (refusal.detail: the
 * payment), HOLD_EXPIRED, NOT_ENOUGH_POINTS (refusal.detail: how many are missing). */
USHER_API usher_status usher_pay(usher_client *client, const usher_pay_request *request, usher_pay_reply *reply);

/* Give paid seats back for their points (M8); no reservation named: all that are left of the payment.
 * Results: PAYMENT_NOT_FOUND, SEAT_DUPLICATE, RESERVATION_NOT_FOUND, BALANCE_TOO_LARGE, REFUND_CLOSED,
 * ALREADY_REFUNDED. */
USHER_API usher_status usher_refund(usher_client *client, const usher_refund_request *request,
                                    usher_refund_reply *reply);

/* A page of the user's payments and refunds, oldest first (B2). It follows the events, so it may lag by a moment. */
USHER_API usher_status usher_history(usher_client *client, const usher_history_request *request,
                                     usher_history_reply *reply);

/* Get the ticket of a payment again (M10); alone = USHER_FLAG_YES: signed alone, small enough for a QR code.
 * Results: PAYMENT_NOT_FOUND, ALREADY_REFUNDED when no seat is left. */
USHER_API usher_status usher_receipt(usher_client *client, const usher_receipt_request *request,
                                     usher_receipt_reply *reply);

/* Walk a user's ledger, newest first; a zero user: the house's own accounts. Admins only.
 * Results: USER_NOT_FOUND. */
USHER_API usher_status usher_ledger(usher_client *client, const usher_ledger_request *request,
                                    usher_ledger_reply *reply);

/* --- asking afterwards --- */

/* What became of a request id (X3): its opcode, result and the body of its first answer, which usher_lookup_read()
 * opens. Ids are known per user, or per client where the request named no user. A token or a receipt in that body comes
 * without its proof: repeat the request under its id, or ask usher_receipt(), to get it proved.
 * Results: REQUEST_NOT_FOUND: nothing was done under this id, or it is past request_id_days. */
USHER_API usher_status usher_lookup(usher_client *client, const usher_lookup_request *request,
                                    usher_lookup_reply *reply);
/* Open the body that a lookup found: into *reply, the struct of found->opcode's reply, when found->result is OK, else
 * into *refusal. Either may be NULL: then it is only checked. Returns 1, or 0 when the bytes are not such a body. */
USHER_API int usher_lookup_read(const usher_lookup_reply *found, void *reply, usher_refusal *refusal);

/* A page of events after a cursor, or after what a named consumer has acknowledged (X5). Admins and observers.
 * Results: CONSUMER_NOT_FOUND, EVENTS_LOST (refusal.detail: the first event that is kept). */
USHER_API usher_status usher_events(usher_client *client, const usher_events_request *request,
                                    usher_events_reply *reply);

/* Make a named consumer of events, or find it: events are kept until it has acknowledged them, within the policy
 * event_bytes_max (X5). Putting it at each start is right: one that is there goes on where it was. Admins and observers.
 * Results: ROLE_REFUSED (an observer's own consumers alone), CATALOGUE_INVALID (no name), TOO_MANY (64), EVENTS_LOST,
 * EVENT_NOT_YET (refusal.detail: the first event that is kept, or the last there is). */
USHER_API usher_status usher_put_consumer(usher_client *client, const usher_put_consumer_request *request,
                                          usher_put_consumer_reply *reply);
/* Say up to which event a consumer is done, once what it made of them is safe: behind this one it goes on after a
 * crash. A cursor never moves back. Acknowledge a page, not each event: it is a command with a commit.
 * Results: ROLE_REFUSED, CONSUMER_NOT_FOUND, EVENT_NOT_YET. */
USHER_API usher_status usher_acknowledge(usher_client *client, const usher_acknowledge_request *request,
                                         usher_acknowledge_reply *reply);
/* The consumers, how far each has come and what it has lost. Admins and observers. Results: CONSUMER_NOT_FOUND. */
USHER_API usher_status usher_consumers(usher_client *client, const usher_consumers_request *request,
                                       usher_consumers_reply *reply);
/* Forget a consumer: nothing is kept for it any more. Results: ROLE_REFUSED, CONSUMER_NOT_FOUND. */
USHER_API usher_status usher_remove_consumer(usher_client *client, const usher_remove_consumer_request *request,
                                             usher_remove_consumer_reply *reply);

/* The house's figures. Admins and observers. */
USHER_API usher_status usher_info(usher_client *client, const usher_info_request *request, usher_info_reply *reply);

/* Where the time and the memory of the process that answers go. Admins and observers. */
USHER_API usher_status usher_figures(usher_client *client, const usher_figures_request *request,
                                     usher_figures_reply *reply);

/* --- the organiser's own: admins only; the lists observers as well --- */

/* Make or rename a queue; its policies begin at their defaults.
 * Results: POLICY_CONFLICT (the default lease does not fit poll_ms_max), CATALOGUE_INVALID, TOO_MANY. */
USHER_API usher_status usher_put_queue(usher_client *client, const usher_put_queue_request *request,
                                       usher_put_queue_reply *reply);
/* Open, pause or freeze a queue (Q9). Results: QUEUE_NOT_FOUND. */
USHER_API usher_status usher_set_mode(usher_client *client, const usher_set_mode_request *request,
                                      usher_set_mode_reply *reply);
/* A page of queues and their figures. */
USHER_API usher_status usher_queues(usher_client *client, const usher_queues_request *request,
                                    usher_queues_reply *reply);
/* Set a policy of the house or of a queue.
 * Results: QUEUE_NOT_FOUND, POLICY_NOT_FOUND, POLICY_RANGE, POLICY_CONFLICT. */
USHER_API usher_status usher_set_policy(usher_client *client, const usher_set_policy_request *request,
                                        usher_set_policy_reply *reply);
/* The policies of the house or of a queue. Results: QUEUE_NOT_FOUND. */
USHER_API usher_status usher_policies(usher_client *client, const usher_policies_request *request,
                                      usher_policies_reply *reply);
/* Make or change a seat plan (H10). Results: CATALOGUE_INVALID, PLAN_IN_USE, TOO_MANY. */
USHER_API usher_status usher_put_plan(usher_client *client, const usher_put_plan_request *request,
                                      usher_put_plan_reply *reply);
/* Read a plan as it was put. Results: PLAN_NOT_FOUND. */
USHER_API usher_status usher_plans(usher_client *client, const usher_plans_request *request, usher_plans_reply *reply);
/* Make or change a concert. Results: QUEUE_NOT_FOUND, CATALOGUE_INVALID. */
USHER_API usher_status usher_put_concert(usher_client *client, const usher_put_concert_request *request,
                                         usher_put_concert_reply *reply);
/* Make or change a date. Results: CONCERT_NOT_FOUND, PLAN_NOT_FOUND, CATALOGUE_INVALID, PLAN_IN_USE. */
USHER_API usher_status usher_put_date(usher_client *client, const usher_put_date_request *request,
                                      usher_put_date_reply *reply);
/* Take seats off sale, all or none; with a channel, its terminals may still sell them (H8).
 * Results: CONCERT_NOT_FOUND, DATE_NOT_FOUND, SEATS_NONE, SEAT_DUPLICATE, SEAT_NOT_FOUND, SOLD. */
USHER_API usher_status usher_block(usher_client *client, const usher_block_request *request, usher_block_reply *reply);
/* Put them on sale again (H8).
 * Results: CONCERT_NOT_FOUND, DATE_NOT_FOUND, SEATS_NONE, SEAT_DUPLICATE, SEAT_NOT_FOUND. */
USHER_API usher_status usher_unblock(usher_client *client, const usher_unblock_request *request,
                                     usher_unblock_reply *reply);
/* Announce a new client by the hash of its one-time code (see usher_code_make).
 * Results: CATALOGUE_INVALID, TOO_MANY, KEY_IN_USE (the same code is out already). */
USHER_API usher_status usher_invite(usher_client *client, const usher_invite_request *request,
                                    usher_invite_reply *reply);
/* A page of clients. */
USHER_API usher_status usher_clients(usher_client *client, const usher_clients_request *request,
                                     usher_clients_reply *reply);
/* Stop accepting a client's key and cut its connections. Results: CLIENT_NOT_FOUND. */
USHER_API usher_status usher_revoke(usher_client *client, const usher_revoke_request *request,
                                    usher_revoke_reply *reply);

/* --- the asynchronous client ---------------------------------------------------------------------------
 * Many requests in flight on one connection, and subscriptions, without a thread and without ever blocking:
 *
 *     usher_async_open(&options, &async);
 *     usher_async_call(async, USHER_OPCODE_PING, &request, NULL, on_answer, my_context, NULL);
 *     loop: when usher_async_descriptor(async) is readable: usher_async_process(async);
 *
 * client-sdk/adapters/ has this for libevent (usher_libevent.h), libuv (usher_libuv.h) and a plain poll loop
 * (usher_poll.h).
 *
 * The promises:
 *   once       Every accepted call has exactly one completion: a callback, or an entry of the completion queue. Every
 *              accepted subscription has exactly one ENDED, its last event. Lost connections, cancelling, closing and a
 *              lack of memory change nothing of that.
 *   not inside A callback comes out of usher_async_process() or usher_async_close(), never out of the function that
 *              submits, cancels or unwatches.
 *   deadline   Every call has an absolute deadline on the monotonic clock, and its completion comes in the first
 *              usher_async_process() from then on at the latest. An answer that has arrived by then wins.
 *   outcome    The completion says NOT_SENT, MAYBE_APPLIED or ANSWERED. NOT_SENT: no server got the request whole, and
 *              none will; what waited in a buffer was taken back. An answer of the class LATER ("nothing was done") is
 *              handed on only when no earlier attempt may have been carried out: else it is asked again until the
 *              deadline, and is then MAYBE_APPLIED.
 *   retry      A request whose connection was lost is sent again on the next one while its deadline allows, a command
 *              under its own request id: the server carries it out once (M3).
 *   reconnect  After a loss a random pause of 0 to retry_ms_least comes first; the bound doubles with each round over
 *              all addresses, up to retry_ms_most, and starts over once a server has answered a request. A server that
 *              says GOING_AWAY (X7) is left at once for the next address: what is in flight there still gets its
 *              answers, what is new goes to the next one.
 *   pressure   No more than min(in_flight_max, what the server allows) requests are unanswered. After an answer of BUSY
 *              nothing is sent for its retry_after_ms (retry_ms_most at most).
 *   bounded    waiting_max calls wait at most, subscriptions_max subscriptions are open at most; one more is refused at
 *              once. All memory that process() may need was taken by open, call and watch, but for the 137 KiB of a
 *              second connection while a server is going away; without them the new connection waits for the old one's
 *              end. A handle takes 160 KiB (in_flight_max 128), 128 of them buffers whose pages are not touched before
 *              they are used.
 *   silence    A connection on which something is awaited and nothing was heard for heartbeat_ms is asked with PING;
 *              when that is not answered within 2 s either, it counts as lost. The same question follows a request that
 *              got no answer in time.
 *
 * Functions of a handle may be called from its own callbacks, except usher_async_process(). */
typedef struct usher_async usher_async;

/* What is known of a request that is over. */
typedef enum usher_outcome {
    USHER_OUTCOME_NOT_SENT = 0,      /* the server has done nothing, and will not */
    USHER_OUTCOME_MAYBE_APPLIED = 1, /* it was sent, no answer came: usher_lookup(), or the same id again, tells */
    USHER_OUTCOME_ANSWERED = 2       /* the server has decided, and answer->result is what */
} usher_outcome;

/* What became of a call. It and all that it points to are good until the callback returns, or until the next
 * usher_async_next() or usher_async_close(). */
typedef struct usher_completion {
    uint64_t call_no;
    usher_status status; /* ANSWERED, NOT_SENT, MAYBE_APPLIED, NO_ANSWER, CANCELLED, HELLO_REFUSED, UNTRUSTED or
                          * WRONG_SERVER */
    usher_outcome outcome;
    const usher_answer *answer; /* opcode and request id always; the rest with ANSWERED and HELLO_REFUSED */
    const void *reply; /* ANSWERED with the result OK: the struct of answer->opcode's reply; else NULL */
    const char *error; /* why not, in one line; "" after a success */
    void *context;
} usher_completion;
typedef void (*usher_completion_callback)(usher_async *async, const usher_completion *completion);

/* How the connection of a handle stands. */
typedef enum usher_state {
    USHER_STATE_CONNECTING = 0,
    USHER_STATE_READY = 1,
    USHER_STATE_GOING_AWAY = 2, /* the server is stopping; the next connection is being made */
    USHER_STATE_LOST = 3,       /* reason and error say why; another try follows by itself */
    USHER_STATE_CLOSED = 4      /* the last one: the handle is being closed */
} usher_state;
typedef struct usher_state_event {
    usher_state state;
    usher_status reason; /* LOST: NOT_SENT, HELLO_REFUSED, UNTRUSTED or WRONG_SERVER; else ANSWERED */
    const char *address; /* which server, "127.0.0.1:7411" */
    const char *error;   /* LOST: why, in one line; else "" */
    void *context;
} usher_state_event;
/* The event is good until the callback returns. */
typedef void (*usher_state_callback)(usher_async *async, const usher_state_event *event);

/* Where a handle's memory comes from. allocate and release come together, as malloc() and free() would do it;
 * reallocate may be NULL. All NULL: the C library. allocate may fail at any time with NULL. They are called on the
 * thread that uses the handle. What the C library takes for itself (getaddrinfo(), threads) does not go through them.
 * */
typedef struct usher_memory {
    void *(*allocate)(void *context, size_t size);
    void *(*reallocate)(void *context, void *memory, size_t size);
    void (*release)(void *context, void *memory);
    void *context;
} usher_memory;

typedef struct usher_group usher_group;

/* All zeros but a key is a sensible handle. Everything is copied by usher_async_open(). */
typedef struct usher_async_options {
    usher_options common;
    uint32_t in_flight_max;     /* requests unanswered on the connection, up to 4,096; 0: 128 */
    uint32_t waiting_max;       /* calls that wait to be sent, or to be fetched by usher_async_next(); 0: 1,024 */
    uint32_t subscriptions_max; /* 0: 4,096 */
    uint32_t heartbeat_ms;      /* silence after which the server is asked whether it lives; 0: 15,000; 2^32-1: never */
    uint8_t signal_by_socket;   /* 1: the descriptor is a socket that gets a byte: see usher_async_descriptor() */
    uint8_t unused[7];          /* must be zero */
    usher_memory memory;
    usher_state_callback on_state; /* NULL: nobody wants to know */
    void *context;                 /* of on_state */
    usher_group *group;            /* NULL: the handle has a descriptor of its own; else see usher_group_open() */
    uint64_t reserved[3];          /* must be zero */
} usher_async_options;

/* Make an asynchronous handle. It connects by itself from the first usher_async_process() on; with connect_later once
 * there is something to send. Host names are resolved here, which may block; numeric addresses don't. A name that can't
 * be resolved now counts as an address where nobody answers: see usher_async_resolve().
 *
 * Returns ANSWERED, BAD_ARGUMENT, NO_MEMORY or KEY_FILE. *async is set in every case and must be closed; after a
 * failure it is good for usher_async_error() and usher_async_close() alone, which welcome the NULL that NO_MEMORY
 * leaves. */
USHER_API usher_status usher_async_open(const usher_async_options *options, usher_async **async);

/* End a handle: every call and subscription that is left gets its callback from within this function, first the calls
 * (NOT_SENT, MAYBE_APPLIED, NO_ANSWER), then the subscriptions (ENDED, status CLOSED), then on_state gets CLOSED. What
 * the callbacks submit then is refused with CLOSED. Completions that nobody fetched are dropped. Nothing is waited for.
 *
 * Within a callback of the same handle it only marks the handle: all this happens when the callback has returned, and
 * the usher_async_process() that it came from then returns -1. NULL is welcome. */
USHER_API void usher_async_close(usher_async *async);

/* The descriptor to watch for reading (level-triggered): readable whenever usher_async_process() has something to do,
 * be it bytes, a deadline or a call that was just submitted. It stays the same for the handle's life, and belongs to
 * it: never read it, never close it. Normally it is an epoll descriptor with sockets and a timer inside, and no thread
 * is needed. With signal_by_socket it is one end of a socket pair for runtimes that can watch nothing but sockets: a
 * small thread of the handle writes one byte when there is something to do, and no other before usher_async_process()
 * has answered it; whoever must read it may. -1 when the handle could not be opened, or is in a group. */
USHER_API int usher_async_descriptor(const usher_async *async);

/* Do what there is to do: move bytes, honour deadlines, connect, run callbacks. Never blocks, and may be called at any
 * time, but not from a callback of the handle (assertion). Returns how many completions it delivered to callbacks or to
 * the queue; -1 when the handle was closed by a callback and is gone. */
USHER_API int usher_async_process(usher_async *async);

typedef struct usher_call_options {
    uint32_t timeout_ms; /* 0: the handle's */
    uint8_t fail_fast;   /* 1: as in usher_options, for this call; 0: as the handle */
    uint8_t retry_later; /* the same */
    uint8_t unused[2];   /* must be zero */
} usher_call_options;

/* Submit a request: any opcode that usher_call() takes. It is copied at once. call_options may be NULL; callback NULL:
 * the completion goes to the queue that usher_async_next() reads; call_no may be NULL, else it gets the call's number,
 * never 0 and never used again by this handle. Answers come in any order.
 *
 * What callbacks submit is sent by the usher_async_process() that they run in. Outside of one a call is sent at once
 * when no other is in flight, or none was sent so in this millisecond; what follows it goes together, with the next
 * usher_async_process(), for which the descriptor becomes readable.
 *
 * Returns ANSWERED when it is accepted: one completion will come. Else none will, and nothing was kept: BAD_ARGUMENT,
 * NO_MEMORY, QUEUE_FULL or CLOSED; usher_async_error() says more. A call takes at most
 * 160 bytes and its encoded body; one for the queue also 1,312 and its reply's struct. */
USHER_API usher_status usher_async_call(usher_async *async, uint16_t opcode, const void *request,
                                        const usher_call_options *call_options, usher_completion_callback callback,
                                        void *context, uint64_t *call_no);

/* Stop caring about a call: its completion comes with the status CANCELLED, at the next usher_async_process(). Outcome
 * NOT_SENT: it is never carried out. MAYBE_APPLIED: it had been sent. Returns 1, or 0 when no such call is outstanding.
 * */
USHER_API int usher_async_cancel(usher_async *async, uint64_t call_no);

/* The next entry of the completion queue, oldest first, or NULL. The one before is released. */
USHER_API const usher_completion *usher_async_next(usher_async *async);

/* The status of the last function of this handle that failed, in one line. Lives until the next one fails. */
USHER_API const char *usher_async_error(const usher_async *async);

/* Look the host names of options.server up again; may block. The addresses count from the next try to connect on. */
USHER_API void usher_async_resolve(usher_async *async);

/* Who a handle is connected as, and with whom: zero and "" before its first connection. */
typedef struct usher_identity {
    usher_role role;
    uint32_t number;
    char name[32];
    usher_key server_key; /* what usher_ticket_verify() asks for */
    const char *address;  /* in use or last tried; lives as long as the handle */
} usher_identity;
/* Never NULL; lives as long as the handle. */
USHER_API const usher_identity *usher_async_identity(const usher_async *async);

/* --- subscriptions --- */
typedef enum usher_watch_kind {
    USHER_WATCH_STARTED = 0,     /* it is open on the server; body: the reply's struct. Again after an interruption */
    USHER_WATCH_PUSH = 1,        /* opcode: USHER_PUSH_...; body: its struct, usher_place_push and so on */
    USHER_WATCH_INTERRUPTED = 2, /* the connection is lost; it will be opened anew on the next one by itself */
    USHER_WATCH_ENDED = 3        /* the last event: nothing follows */
} usher_watch_kind;
typedef struct usher_watch_event {
    usher_watch_kind kind;
    uint64_t watch_no;
    uint16_t opcode;     /* PUSH: which; else the opcode of the subscription */
    const void *body;    /* STARTED and PUSH; else NULL */
    usher_status status; /* ENDED: ANSWERED: the server ended or refused it, and result says why; CANCELLED: by
                          * usher_async_unwatch(); CLOSED: with the handle */
    usher_result result; /* ENDED with ANSWERED; else USHER_RESULT_NONE */
    const usher_refusal *refusal; /* ENDED with ANSWERED: what stands in the way, until when; else NULL */
    uint64_t stamp_ms;            /* the server's time; 0 when it is not from the server */
    void *context;
} usher_watch_event;
/* The event and all that it points to are good until the callback returns. */
typedef void (*usher_watch_callback)(usher_async *async, const usher_watch_event *event);

/* Subscribe: USHER_OPCODE_WATCH_PLACE, WATCH_SEATS or WATCH_EVENTS with its request, which is copied at once. The
 * callback must not be NULL. The subscription outlives lost connections: it is opened anew, events from the last cursor
 * that was handed to the callback, place and seats with the same request (seats then begin with a new snapshot).
 * Refusals of the class LATER are retried with growing pauses; every other refusal ends it. It has no deadline.
 *
 * Returns ANSWERED when it is accepted: ENDED will come once. Else nothing will: BAD_ARGUMENT, NO_MEMORY, QUEUE_FULL
 * (subscriptions_max) or CLOSED. *watch_no (may be NULL) gets its number. A subscription takes at most
 * 240 bytes and its encoded request. */
USHER_API usher_status usher_async_watch(usher_async *async, uint16_t opcode, const void *request,
                                         usher_watch_callback callback, void *context, uint64_t *watch_no);

/* End a subscription: ENDED comes with the next usher_async_process(), and nothing else before it. Returns 1, or 0 when
 * no such subscription is open. */
USHER_API int usher_async_unwatch(usher_async *async, uint64_t watch_no);

/* --- groups ---
 * Many handles of one thread behind one descriptor. A handle alone takes three descriptors, one in a group takes one,
 * and whichever of them have something to do are found by one system call. A handle joins the group of its options when
 * it is opened and is in it until it is closed; all else about it stays as it is. Handles of one group, and the group,
 * belong to one thread at a time and to one process, as one handle does. */

/* Make a group. memory may be NULL: the C library's; the group takes from it when a handle joins, 16 bytes a handle
 * at most and 128 at least. Returns ANSWERED; BAD_ARGUMENT: the hooks don't fit together; NO_MEMORY: there is none, or
 * there are no descriptors. *group is NULL then. */
USHER_API usher_status usher_group_open(const usher_memory *memory, usher_group **group);

/* End a group. Its handles are closed first: one that is left ends the program by assertion, and so the group can't be
 * closed by a callback of one of them. NULL is welcome. */
USHER_API void usher_group_close(usher_group *group);

/* The descriptor to watch for all handles of the group, with what usher_async_descriptor() says of one. */
USHER_API int usher_group_descriptor(const usher_group *group);

/* usher_async_process() for those handles of the group that have something to do, up to 256 sockets at a time; the
 * descriptor stays readable for the others. Callbacks may do with any handle of the group what they may with their own,
 * process another one included, and open further ones; but not call this (assertion). Returns how many completions were
 * delivered. Whoever closes a handle in a callback knows by that that it is gone. A handle's own usher_async_process()
 * may be called as well, but never needs to be. */
USHER_API int usher_group_process(usher_group *group);

/* usher_group_process(), but wait up to wait_ns for something to do (2^64-1: without end), and no longer when a signal
 * comes: the whole loop of a program that has nothing else to watch, in one system call. Never waits in a callback or
 * on a thread that has a loop. */
USHER_API int usher_group_wait(usher_group *group, uint64_t wait_ns);

/* Tell libusher that a loop runs on the calling thread: from then on blocking calls on this thread return WRONG_THREAD
 * instead of stopping the loop. The adapters do it. Each attach is undone by one detach on the same thread. */
USHER_API void usher_loop_attach(void);
USHER_API void usher_loop_detach(void);

/* --- the pool --------------------------------------------------------------------------------------------
 * Several connections behind one handle that any thread may use at any time. One thread of the pool moves all bytes. */
typedef struct usher_pool usher_pool;

typedef struct usher_pool_options {
    usher_async_options async; /* of each connection; signal_by_socket must be 0. on_state comes on the pool's thread,
                                * and the memory hooks are called there and by usher_pool_open() and _close() */
    uint32_t connections;      /* 1 to 64; 0: 2 */
    uint32_t unused;           /* must be zero */
    uint64_t reserved[4];      /* must be zero */
} usher_pool_options;

/* Make a pool and begin to connect; nothing is waited for but host names.
 * Returns ANSWERED, BAD_ARGUMENT, NO_MEMORY or KEY_FILE. *pool is NULL after a failure, and why, unless it is NULL,
 * gets one line of at most why_size bytes. */
USHER_API usher_status usher_pool_open(const usher_pool_options *options, usher_pool **pool, char *why,
                                       size_t why_size);

/* A call on whichever connection has the least to do. Blocks the calling thread alone, up to timeout_ms (0: that of the
 * options). Request, reply and status are those of usher_call(), with QUEUE_FULL, NO_MEMORY and CLOSED besides; *answer
 * (may be NULL) is this call's own. */
USHER_API usher_status usher_pool_call(usher_pool *pool, uint16_t opcode, const void *request, void *reply,
                                       usher_answer *answer, uint32_t timeout_ms);

/* End a pool: every call that runs returns (NOT_SENT, MAYBE_APPLIED, NO_ANSWER or CLOSED) before this function does;
 * calls that come meanwhile get CLOSED. Nobody may begin a call once it has returned. NULL is welcome. Not from
 * on_state. */
USHER_API void usher_pool_close(usher_pool *pool);

/* --- tickets and tokens, without a server --------------------------------------------------------------- */
typedef enum usher_verdict {
    USHER_VERDICT_GENUINE = 0,
    USHER_VERDICT_MALFORMED = 1, /* the bytes have not the form of one */
    USHER_VERDICT_FORGED = 2     /* it was not signed with this key, or was changed since */
} usher_verdict;

#define USHER_TICKET_SEATS_MOST 16u
typedef struct usher_ticket_seat {
    uint32_t concert_id;
    uint32_t date_id;
    uint32_t seat_no;
} usher_ticket_seat;
/* What a receipt says. */
typedef struct usher_ticket {
    usher_uuid user;
    uint64_t payment_id;
    int64_t amount;
    uint64_t paid_at_ms;
    uint16_t key_id;
    uint16_t seat_count; /* 1 to 16 */
    usher_ticket_seat seat[USHER_TICKET_SEATS_MOST];
} usher_ticket;
/* What a queue token says; whether its turn has come is the server's word. */
typedef struct usher_token {
    usher_uuid user;
    uint32_t queue_id;
    uint16_t key_id;
    uint64_t position;
    uint64_t issued_ms;
    uint64_t ends_ms; /* the absolute end; the place may end earlier */
} usher_token;

/* Check a receipt's proof against the service's public key, offline, as a gate does (M10). *ticket, which may be NULL,
 * is filled in when the verdict is GENUINE, and zero otherwise. A ticket that was refunded later is still genuine. */
USHER_API usher_verdict usher_ticket_verify(const usher_key *server_key, const uint8_t *bytes, size_t size,
                                            usher_ticket *ticket);
/* The same for a queue token. */
USHER_API usher_verdict usher_token_verify(const usher_key *server_key, const uint8_t *bytes, size_t size,
                                           usher_token *token);
/* Read a token without checking its proof: 1, or 0 when it has not the form of one. */
USHER_API int usher_token_read(const uint8_t *bytes, size_t size, usher_token *token);

/* --- helpers ------------------------------------------------------------------------------------------- */
/* A new request id: a UUID of version 7 (RFC 9562), so ids made later sort later. */
USHER_API void usher_new_id(usher_id *id);
/* Whether all bytes are zero. */
USHER_API int usher_id_is_zero(const usher_id *id);
USHER_API int usher_uuid_is_zero(const usher_uuid *uuid);

#define USHER_UUID_TEXT_SIZE 37u /* "01890a5d-ac96-774b-bcce-b302099a8057" and NUL */
/* 32 hex digits with hyphens (formatting) or with or without them (parsing). parse returns 1, or 0 and leaves *uuid. */
USHER_API void usher_uuid_format(const usher_uuid *uuid, char text[37]);
USHER_API int usher_uuid_parse(const char *text, usher_uuid *uuid);
USHER_API void usher_id_format(const usher_id *id, char text[37]);
USHER_API int usher_id_parse(const char *text, usher_id *id);

/* Bytes as hex digits: text has room for 2 * size + 1. parse wants exactly size bytes: 1, or 0 and leaves them. */
USHER_API void usher_hex_format(const uint8_t *bytes, size_t size, char *text);
USHER_API int usher_hex_parse(const char *text, uint8_t *bytes, size_t size);

/* Bytes as base64 in the URL alphabet without padding, as tokens and tickets travel among people. format returns the
 * text's length, or 0 when it does not fit into text_size with its NUL (4 * size / 3 + 2 always do). parse returns 1
 * and sets *size, or 0 for what is not base64 or does not fit into room. */
USHER_API size_t usher_base64_format(const uint8_t *bytes, size_t size, char *text, size_t text_size);
USHER_API int usher_base64_parse(const char *text, uint8_t *bytes, size_t room, size_t *size);

/* Whether a seat, counted from 1, is free by this reply. 0 for seats outside of it. */
USHER_API int usher_seat_is_free(const usher_seats_reply *seats, uint32_t seat_no);

/* The policies that a server has, with their defaults and ranges. */
typedef struct usher_policy_rule {
    const char *name;
    const char *unit;
    const char *help;
    uint64_t usual;
    uint64_t least;
    uint64_t most;
    uint8_t of_queue; /* 1: each queue has its own; 0: one for the house */
} usher_policy_rule;
/* All of them in the order of policies.def; *count gets their number. They live for ever. */
USHER_API const usher_policy_rule *usher_policy_rules(size_t *count);

/* The binary interface of the library that is loaded, as JSON: version, constants, every public struct with the type,
 * offset and size of each field, every enum, and the rows of results, requests and pushes. Bindings build their structs
 * from it or check them against it when they load; package/README.md describes the text. Never NULL, lives for ever. */
USHER_API const char *usher_abi_describe(void);

#ifdef __cplusplus
}
#endif
#endif
