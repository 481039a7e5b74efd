/* session.h: one connection to a server, seen as bytes in, events out, bytes to send.
 *
 * No sockets, no clock, no allocation: whoever owns a session gives it its buffers, hands it what a socket read, asks
 * it for the events that follow, and writes what it wants to send (link.c does). So everything about the handshake,
 * request numbers and matching replies is here, once.
 *
 *     usher_session_open ──> hello goes out ──> challenge comes in ──> proof goes out ──> EVENT_READY
 *                                                                 └──> or enrolment      requests and replies
 *     anything may end in EVENT_REFUSED (the server said no) or EVENT_BROKEN (what came can't be trusted)
 *
 * After a push of GOING_AWAY the session takes no more requests, but the replies that are due still come: its owner
 * waits for them, closes the connection and opens another one. */
#ifndef USHER_SESSION_H
#define USHER_SESSION_H

#include <stdbool.h>

#include "client-sdk/include/usher.h"
#include "protocol/codec.h"

/* One request in flight. */
struct usher_session_slot {
    uint64_t tag;
    uint64_t begin_at, end_at; /* its frame's bytes in the stream of all bytes that the session sends */
    uint32_t request_no;       /* 0: the slot is free */
    uint16_t opcode;
    bool forgotten; /* its reply is dropped when it comes */
};

struct usher_session_setup {
    const usher_secret *secret; /* must outlive the handshake */
    usher_key nonce;            /* 32 random bytes, new for each connection */
    const usher_key *pin;       /* the only server key to accept, or NULL */
    const usher_key *code;      /* enrol with this code instead of proving an enrolled key, or NULL */
    usher_id enrol_id;          /* the request id of the enrolment */
    uint8_t *input, *output;    /* each with room for at least USHER_FRAME_MAX bytes */
    size_t input_size, output_size;
    struct usher_session_slot *slots; /* slot_count: a power of two; as many requests can be in flight */
    uint32_t slot_count;
};

enum usher_session_phase {
    USHER_SESSION_HELLO, /* waits for the challenge */
    USHER_SESSION_PROOF, /* waits for the answer to the proof */
    USHER_SESSION_READY,
    USHER_SESSION_OVER /* nothing goes in or out any more */
};

struct usher_session {
    struct usher_session_setup setup;
    enum usher_session_phase phase;
    size_t input_begin, input_end;
    size_t output_begin, output_end;
    uint64_t sent;      /* bytes of the stream that usher_session_sent() has taken */
    size_t consumed;    /* bytes of the frame that the last event points into */
    uint32_t turn;      /* makes a slot's request numbers differ from each other */
    uint32_t next_slot; /* where the search for a free slot begins */
    uint32_t slot_used; /* slots below this one were used before; the others are free, whatever stands in them */
    uint32_t in_flight, in_flight_max;
    bool going_away; /* the server has said that it is stopping */
    usher_hello_request hello;
    usher_hello_reply challenge;
    usher_authenticate_reply self; /* who the connection is, once READY */
};

enum usher_session_event_kind {
    USHER_SESSION_EVENT_NONE,      /* more bytes are needed */
    USHER_SESSION_EVENT_READY,     /* the handshake is complete: session->self, session->challenge.server_key */
    USHER_SESSION_EVENT_REPLY,     /* to the request with this tag */
    USHER_SESSION_EVENT_PUSH,      /* opcode and body */
    USHER_SESSION_EVENT_REFUSED,   /* the server turned the connection away: result and body; the session is over */
    USHER_SESSION_EVENT_UNTRUSTED, /* the server is not the one it should be; the session is over */
    USHER_SESSION_EVENT_BROKEN     /* what came can't be trusted: why says it; the session is over */
};

struct usher_session_event {
    enum usher_session_event_kind kind;
    uint64_t tag;
    uint16_t opcode;
    usher_result result;
    bool replayed;
    uint64_t stamp_ms;
    const uint8_t *body; /* in the input buffer, good until the session is touched again */
    size_t body_size;
    const char *why; /* REFUSED, UNTRUSTED and BROKEN: a few words that live for ever */
};

/* Begin: the hello stands in the output. The setup is copied, what it points to is not. */
void usher_session_open(struct usher_session *session, const struct usher_session_setup *setup);

/* Where received bytes go, and how many have room; then how many were put there. There is always room for one byte
 * when the last event was NONE. */
uint8_t *usher_session_room(struct usher_session *session, size_t *room);
void usher_session_filled(struct usher_session *session, size_t size);

/* The next thing that happened. Call it until it says NONE. */
struct usher_session_event usher_session_next(struct usher_session *session);

/* The bytes that wait to be sent, and how many of them were. */
const uint8_t *usher_session_output(const struct usher_session *session, size_t *size);
void usher_session_sent(struct usher_session *session, size_t size);

enum usher_session_admission {
    USHER_SESSION_ACCEPTED,
    USHER_SESSION_NOT_READY, /* before EVENT_READY, or over, or the server is going away */
    USHER_SESSION_CROWDED    /* as many as the server allows are in flight, or the output is full */
};
/* Put a request into the output, its body as usher_encode() made it. budget_ms is how long the answer is worth
 * anything; 0: no limit. *request_no, unless it is NULL, gets its number when it is ACCEPTED. */
enum usher_session_admission usher_session_request(struct usher_session *session, uint16_t opcode, const uint8_t *body,
                                                   size_t body_size, uint32_t budget_ms, uint64_t tag,
                                                   uint32_t *request_no);

/* Whether everything put so far has been taken by usher_session_sent(); and whether a request that was
 * accepted has been taken whole. */
bool usher_session_all_sent(const struct usher_session *session);
bool usher_session_is_sent(const struct usher_session *session, uint32_t request_no);

/* Take the request with this tag back. True when no byte of it had been sent yet: it never will be. */
bool usher_session_withdraw(struct usher_session *session, uint64_t tag);

/* The reply to this tag's request is not wanted any more: its event will not come, its slot is kept until it does. */
void usher_session_forget(struct usher_session *session, uint64_t tag);

/* Open the body of a REPLY or REFUSED event: into *reply, the struct of the opcode's reply, when the result is OK, else
 * into *refusal. False when the bytes are not such a body: then the peer is not to be trusted. */
bool usher_session_read(const struct usher_session_event *event, void *reply, usher_refusal *refusal);

#endif
