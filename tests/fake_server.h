/* fake_server.h: a server in the test's own process that can be told to misbehave.
 *
 * It speaks the real protocol through the real codec: hello, proof, enrolment, then PING, CHARGE (once per request id),
 * BALANCE and JOIN. The peer is bytes in, bytes out, and knows no socket; the server puts it behind one on loopback. */
#ifndef FAKE_SERVER_H
#define FAKE_SERVER_H

#include <stdbool.h>

#include "protocol/codec.h"

/* What happens to one request after the handshake. */
enum fake_fault {
    FAKE_NONE,         /* it is carried out and answered */
    FAKE_LOSE_REPLY,   /* it is carried out, then the connection is cut without an answer */
    FAKE_LOSE_REQUEST, /* the connection is cut before it is carried out */
    FAKE_SILENCE,      /* it is carried out and never answered; the connection stays */
    FAKE_GARBLE,       /* it is carried out, and a bit of the answer is flipped on the way */
    FAKE_STRANGER,     /* it is carried out, and the answer has a number that nobody asked under */
    FAKE_BUSY,         /* it is not carried out: BUSY, retry_after_ms 20 */
    FAKE_GOING_AWAY,   /* it is not carried out: GOING_AWAY, and the connection is closed */
    FAKE_PUSH_BEFORE,  /* GOING_AWAY is pushed, then it is carried out and answered; the connection stays */
    FAKE_PUSH_BEHIND,  /* it is carried out and answered, then GOING_AWAY is pushed; the connection stays */
    FAKE_PUSH_UNKNOWN  /* as FAKE_PUSH_BEFORE, but the push is one that nobody knows */
};

#define FAKE_IDS_MOST 64

struct fake_peer {
    usher_key server_key;
    uint8_t server_secret[64];
    usher_key client_key; /* the key that is enrolled */
    usher_key code_hash;  /* an open invitation, or zero */
    usher_result welcome; /* what the proof is answered with */
    bool wrong_signature; /* the hello's signature has a flipped bit */
    bool lose_welcome;    /* once: the proof is judged, then the connection is cut without an answer */

    /* The connection. */
    usher_hello_request hello;
    usher_hello_reply challenge;
    unsigned phase; /* 0 hello, 1 proof, 2 ready */
    uint8_t input[USHER_FRAME_MAX];
    size_t input_size;
    bool cut; /* the connection is to be closed once the output is out */

    /* Faults of the next requests. */
    enum fake_fault fault[16];
    unsigned fault_no, fault_count;

    /* The shop. */
    int64_t balance;
    unsigned executed;  /* commands that took effect */
    unsigned asked;     /* requests that arrived after the handshake */
    uint32_t budget_ms; /* of the last request */
    usher_id id[FAKE_IDS_MOST];
    usher_charge_reply answer[FAKE_IDS_MOST];
    unsigned id_count;
};

/* A peer with a new key pair that accepts this client. */
void fake_peer_make(struct fake_peer *peer, const usher_key *client_key);
/* A new connection to it. */
void fake_peer_connect(struct fake_peer *peer);
/* Hand it bytes; returns how many it wrote to out, which has room for 2 * USHER_FRAME_MAX. */
size_t fake_peer_feed(struct fake_peer *peer, const uint8_t *bytes, size_t size, uint8_t *out);

struct fake_server;
/* Serve the peer on a port of 127.0.0.1 that the system chooses, one connection at a time, in a thread. The peer may be
 * looked at while no call runs. */
struct fake_server *fake_server_start(struct fake_peer *peer);
const char *fake_server_address(const struct fake_server *server);
/* Connections accepted so far. */
unsigned fake_server_connections(const struct fake_server *server);
/* Wait until this many requests have arrived: after a call that got no answer, before the peer is looked at. */
void fake_server_await(struct fake_server *server, unsigned asked);
void fake_server_stop(struct fake_server *server);

#endif
