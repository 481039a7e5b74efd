/* client.h: what is inside of a usher_client; shared by client.c (its life), link.c (its connection) and call.c. */
#ifndef USHER_CLIENT_H
#define USHER_CLIENT_H

#include <stdatomic.h>

#include "client-sdk/src/net.h"
#include "client-sdk/src/session.h"

#define USHER_CLIENT_ADDRESSES_MOST 16
#define USHER_CLIENT_ERROR_SIZE     512

struct usher_client {
    atomic_flag busy; /* a call is running: a second one is a bug of the caller */

    /* What the options said. */
    struct usher_address address[USHER_CLIENT_ADDRESSES_MOST];
    unsigned address_count, address_no;
    usher_secret secret;
    usher_key pin;
    bool has_pin;
    bool fail_fast, retry_later;
    uint32_t timeout_ms, next_timeout_ms; /* next_timeout_ms: of the next call alone; 0 for none */
    uint32_t retry_ms_least, retry_ms_most;

    /* An enrolment that is not finished yet. */
    bool enrols;
    bool enrol_sent; /* an earlier attempt may have used the code up */
    usher_key code;
    usher_id enrol_id;

    /* The connection. */
    int socket; /* -1 for none */
    bool ready;   /* the handshake on it is complete */
    bool move_on; /* the server at the present address is going away: the next connection begins with the next one */
    struct usher_session session;
    struct usher_session_slot slot[1];
    uint8_t *input, *output;

    /* Who and where we are. */
    usher_authenticate_reply self;
    usher_key server_key;

    /* The call that runs, or ran last. */
    uint64_t deadline_ms;
    usher_status failure; /* what the last attempt failed with */
    void *request;        /* its body, with its request id; room for any */
    void *checked;        /* what the decoder makes of it; room for any */
    uint8_t *wire;        /* its bytes, while they are being checked */
    void *reply;          /* room for any */
    usher_answer answer;
    char error[USHER_CLIENT_ERROR_SIZE];
};

/* How one attempt at something went. */
enum usher_attempt {
    USHER_ATTEMPT_DONE,
    USHER_ATTEMPT_LOST, /* another one may go better; client->failure says what to return if there is no time for it */
    USHER_ATTEMPT_FINAL /* no other one will; client->failure says why */
};

/* Say what went wrong, for usher_client_error(). */
void usher_client_fail(struct usher_client *client, usher_status failure, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* link.c: connect and shake hands, or leave a connection as it is that is good. On failure there is none. */
enum usher_attempt usher_link_open(struct usher_client *client);
/* Cut the connection. */
void usher_link_close(struct usher_client *client);
/* Move bytes until the session has an event; LOST when the connection or the time is over. Sets *sent once everything
 * put into the session has been handed to the system. */
enum usher_attempt usher_link_event(struct usher_client *client, uint64_t deadline_ms,
                                    struct usher_session_event *event, bool *sent);
/* Fill in the client's answer from an event that carries one. False when its body is not one. */
bool usher_link_answer(struct usher_client *client, const struct usher_session_event *event, void *reply);

/* call.c: connect, and if message is not NULL send client->request and wait for the answer; again and again until the
 * deadline, timeout_ms from now. */
usher_status usher_client_run(struct usher_client *client, const usher_message *message, uint32_t timeout_ms);

/* check.c: whether a request's struct can be encoded: counts within their most, text that ends, UTF-8, enums' values.
 * wire has room for the encoded body, scratch for the struct. On failure why names the field. */
bool usher_check_body(const usher_layout *layout, const void *body, uint8_t *wire, size_t wire_size, void *scratch,
                      char *why, size_t why_size);

#endif
