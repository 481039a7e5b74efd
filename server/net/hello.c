/* hello.c: who is it? A connection proves an Ed25519 key by signing a challenge (DESIGN section 6).
 *
 * Both nonces and everything that was said are under both signatures, so a recorded AUTHENTICATE fits no other
 * connection, and nobody between can change a limit. A challenge belongs to its connection and is used once: a proof
 * that fails (class DENIED) ends the connection after its reply; a request that could not be judged (BUSY,
 * STORAGE_FAULT, FIELD_INVALID) leaves it as it was. */
#include "server/net/inside.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include <sodium.h>

#define FIELD_CLIENT_KEY 3 /* of enrol_request */
#define FIELD_FRAME_MAX  4 /* of hello_request */

usher_result
hello_check_state(const struct connection *connection, const usher_message *message)
{
    bool for_nobody = message->roles & USHER_ROLE_BIT(USHER_ROLE_NONE);
    bool for_somebody = message->roles & ~USHER_ROLE_BIT(USHER_ROLE_NONE);

    if (for_nobody && for_somebody)
        return USHER_OK;
    if (connection->state == CONNECTION_READY) {
        if (for_nobody)
            return USHER_HELLO_REPEATED;
        return message->roles & USHER_ROLE_BIT(connection->role) ? USHER_OK : USHER_ROLE_REFUSED;
    }
    if (!for_nobody)
        return USHER_HELLO_MISSING;
    if (message->opcode == USHER_OPCODE_HELLO)
        return connection->state == CONNECTION_FRESH ? USHER_OK : USHER_HELLO_REPEATED;
    if (connection->state == CONNECTION_FRESH)
        return USHER_HELLO_MISSING;
    return connection->state == CONNECTION_CHALLENGED ? USHER_OK : USHER_HELLO_REPEATED;
}

/* --- HELLO ------------------------------------------------------------------------------------------------ */
static void
challenge(struct connection *connection, uint32_t request_no, const usher_hello_request *hello)
{
    struct net *net = connection->net;
    const struct net_limits *limits = &net->config.limits;
    const usher_frame frame = {.opcode = USHER_OPCODE_HELLO, .request_no = request_no};
    uint64_t used_ms = net_now(net) - connection->opened_at_ms;
    usher_hello_reply reply = {0};
    uint8_t digest[32];

    if (hello->frame_max < USHER_FRAME_MAX) {
        const usher_refusal refusal = {.detail = FIELD_FRAME_MAX};
        connection_refuse(connection, USHER_OPCODE_HELLO, request_no, USHER_FIELD_INVALID, &refusal);
        return;
    }
    struct handshake *handshake = malloc(sizeof *handshake);
    if (handshake == NULL) {
        connection_cut(connection, "no_memory");
        return;
    }
    memcpy(reply.server_key.bytes, net->config.secret_key + 32, sizeof reply.server_key.bytes);
    randombytes_buf(reply.server_nonce.bytes, sizeof reply.server_nonce.bytes);
    reply.frame_max = (uint32_t)limits->frame_max;
    reply.in_flight_max = (uint32_t)limits->in_flight_max;
    reply.hello_ms = (uint32_t)(used_ms < limits->hello_ms ? limits->hello_ms - used_ms : 0);
    usher_handshake_digest(USHER_HANDSHAKE_SERVER, hello, &reply, digest);
    crypto_sign_detached(reply.signature.bytes, NULL, digest, sizeof digest, net->config.secret_key);
    handshake->client_key = hello->client_key;
    usher_handshake_digest(USHER_HANDSHAKE_CLIENT, hello, &reply, handshake->authenticate_digest);
    usher_handshake_digest(USHER_HANDSHAKE_ENROL, hello, &reply, handshake->enrol_digest);
    connection->handshake = handshake;
    connection->state = CONNECTION_CHALLENGED;
    connection_reply(connection, &frame, usher_message_of(USHER_OPCODE_HELLO)->reply, &reply);
}

void
hello_forget(struct connection *connection)
{
    free(connection->handshake);
    connection->handshake = NULL;
}

static bool
signature_fits(const struct connection *connection, const uint8_t digest[32], const usher_signature *signature)
{
    return crypto_sign_verify_detached(signature->bytes, digest, 32, connection->handshake->client_key.bytes) == 0;
}

/* --- AUTHENTICATE ----------------------------------------------------------------------------------------- */
static void
make_ready(struct connection *connection, const struct client_record *client)
{
    struct net *net = connection->net;

    connection->state = CONNECTION_READY;
    connection->role = client->role;
    connection->channel = client->channel;
    connection->client_no = (uint32_t)client->client_no;
    hello_forget(connection);
    net->config.log(LOG_DEBUG, "client", "connection=%llu client=%u role=%u", (unsigned long long)connection->number,
                    (unsigned)connection->client_no, (unsigned)connection->role);
}

static void
deny(struct connection *connection, uint16_t opcode, uint32_t request_no, usher_result result)
{
    struct net *net = connection->net;
    const usher_refusal refusal = {0};

    net->config.log(LOG_NOTICE, "denied", "connection=%llu result=%s", (unsigned long long)connection->number,
                    usher_result_name(result));
    connection_refuse(connection, opcode, request_no, result, &refusal);
    connection_end(connection);
}

static void
authenticate(struct connection *connection, uint32_t request_no, const usher_authenticate_request *request)
{
    const usher_frame frame = {.opcode = USHER_OPCODE_AUTHENTICATE, .request_no = request_no};
    struct store *store = connection->net->config.store;
    usher_authenticate_reply reply = {0};

    if (!signature_fits(connection, connection->handshake->authenticate_digest, &request->signature)) {
        deny(connection, frame.opcode, request_no, USHER_SIGNATURE_WRONG);
        return;
    }
    if (!net_await_disk(connection->net))
        return; /* the loop ends */
    (void)store_follow(store); /* it may have been enrolled or revoked at another instance, a moment ago */
    uint64_t client_no = store_find_client(store, &connection->handshake->client_key);
    const struct client_record *client = client_no == 0 ? NULL : store_see_client(store, client_no);
    if (client == NULL || client->state != USHER_CLIENT_STATE_ENROLLED) {
        bool revoked = client != NULL && client->state == USHER_CLIENT_STATE_REVOKED;
        deny(connection, frame.opcode, request_no, revoked ? USHER_CLIENT_REVOKED : USHER_CLIENT_UNKNOWN);
        return;
    }
    make_ready(connection, client);
    reply.client_id = connection->client_no;
    reply.role = client->role;
    memcpy(reply.name, client->name, sizeof reply.name);
    connection_reply(connection, &frame, usher_message_of(USHER_OPCODE_AUTHENTICATE)->reply, &reply);
}

void
hello_answer(struct connection *connection, const usher_message *message, uint32_t request_no, const void *body)
{
    if (message->opcode == USHER_OPCODE_HELLO)
        challenge(connection, request_no, body);
    else
        authenticate(connection, request_no, body);
}

/* --- ENROL ------------------------------------------------------------------------------------------------ */
usher_result
hello_check_enrol(const struct connection *connection, const usher_enrol_request *request, unsigned *field_no)
{
    if (memcmp(&request->client_key, &connection->handshake->client_key, sizeof request->client_key) != 0) {
        *field_no = FIELD_CLIENT_KEY;
        return USHER_FIELD_INVALID;
    }
    if (!signature_fits(connection, connection->handshake->enrol_digest, &request->signature))
        return USHER_SIGNATURE_WRONG;
    return USHER_OK;
}

void
hello_enrolled(struct connection *connection, uint16_t result, const uint8_t *body, size_t body_size)
{
    const struct net *net = connection->net;
    usher_enrol_reply reply;
    unsigned field_no;

    if (connection->state != CONNECTION_ENROLLING)
        return; /* it is closing already */
    connection->state = CONNECTION_CHALLENGED;
    if (result != USHER_OK) {
        if (usher_result_class_of(result) != USHER_CLASS_LATER)
            connection_end(connection);
        return;
    }
    usher_result sound = usher_decode(usher_message_of(USHER_OPCODE_ENROL)->reply, body, body_size, &reply, &field_no);
    assert(sound == USHER_OK);
    /* A first answer that is given again may be of long ago: what counts is the client as it is now. */
    const struct client_record *client = store_see_client(net->config.store, reply.client_id);
    bool same = client != NULL && client->state == USHER_CLIENT_STATE_ENROLLED &&
                memcmp(&client->client_key, &connection->handshake->client_key, sizeof client->client_key) == 0;
    if (same)
        make_ready(connection, client);
    else
        connection_end(connection);
}
