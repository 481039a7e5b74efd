/* wire.h: a client of the bare wire for tests, on protocol/ alone: one blocking socket, frames in, frames out.
 *
 *     struct wire wire;
 *     wire_open(&wire, server.port);
 *     wire_login(&wire, server.admin_key);              USHER_OK
 *     usher_balance_reply reply;
 *     wire_ask(&wire, USHER_OPCODE_BALANCE, &request, &reply);
 *     wire_close(&wire);
 *
 * Nothing here fails a test by itself, so that threads and forked clients may use it: look at what it returns.
 * A wire belongs to one thread at a time. */
#ifndef TESTS_WIRE_H
#define TESTS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/codec.h"
#include "protocol/protocol.h"

struct wire {
    int fd;
    int patience_ms; /* how long a receive waits; 10 s at first */
    uint32_t last_request_no;
    uint8_t *input;
    size_t input_begin, input_end;
    usher_hello_request hello;   /* what this connection said */
    usher_hello_reply challenge; /* and what it was answered */
    usher_refusal refusal;       /* of the last wire_ask that was refused */
    uint64_t stamp_ms;           /* of the last frame that was received */
    uint8_t flags;               /* of the same */
};

struct wire_frame {
    uint8_t flags;
    uint16_t opcode;
    uint16_t result;
    uint32_t request_no;
    uint64_t stamp_ms;
    const uint8_t *body; /* good until the next receive */
    size_t body_size;
};

/* Connect to a port of 127.0.0.1. False when nobody answers there. */
bool wire_open(struct wire *wire, uint16_t port);
void wire_close(struct wire *wire);

/* A request as a frame: body is the request's C struct. Returns its size. out has room for USHER_FRAME_MAX. */
size_t wire_build(uint8_t *out, uint16_t opcode, uint32_t request_no, uint32_t budget_ms, const void *body);

/* Send bytes as they are; false when the connection is gone. */
bool wire_send_bytes(struct wire *wire, const void *bytes, size_t size);
/* Send a request and return the request number that it got, 0 when the connection is gone. */
uint32_t wire_send(struct wire *wire, uint16_t opcode, const void *body);

/* The next frame. False when the connection was closed (wire->fd stays open) or nothing came in time. */
bool wire_receive(struct wire *wire, struct wire_frame *frame);
/* Whether the server closes the connection within the patience; frames before that are thrown away. */
bool wire_is_closed(struct wire *wire);

/* Send a request and wait for its reply; frames of other requests that come before it are thrown away. Returns the
 * result; with USHER_OK *reply (NULL is welcome) is filled in, else wire->refusal. USHER_RESULT_NONE: no answer came.
 */
unsigned wire_ask(struct wire *wire, uint16_t opcode, const void *body, void *reply);

/* Read a key file: "usher-key-1 <128 hex>", libsodium's 64-byte secret key. */
bool wire_read_key(const char *path, uint8_t secret_key[64]);
/* HELLO with this key, checking the service's signature of the handshake. */
unsigned wire_hello(struct wire *wire, const uint8_t secret_key[64]);
/* AUTHENTICATE after a hello. reply may be NULL. */
unsigned wire_authenticate(struct wire *wire, const uint8_t secret_key[64], usher_authenticate_reply *reply);
/* ENROL after a hello, with the one-time code of an INVITE. reply may be NULL. */
unsigned wire_enrol(struct wire *wire, const uint8_t secret_key[64], const uint8_t code[32], usher_enrol_reply *reply);
/* Read the key file, HELLO, AUTHENTICATE. */
unsigned wire_login(struct wire *wire, const char *key_path);

/* A new request id, random. */
usher_id wire_id(void);
/* The user with this number: a UUID made from it. */
usher_uuid wire_user(uint64_t number);

#endif
