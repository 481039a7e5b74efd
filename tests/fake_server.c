/* fake_server.c: see fake_server.h. */
#include "fake_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/token.h"

/* --- the peer ----------------------------------------------------------------------------------------- */
void
fake_peer_make(struct fake_peer *peer, const usher_key *client_key)
{
    memset(peer, 0, sizeof *peer);
    crypto_sign_keypair(peer->server_key.bytes, peer->server_secret);
    peer->client_key = *client_key;
}

void
fake_peer_connect(struct fake_peer *peer)
{
    peer->phase = 0;
    peer->input_size = 0;
    peer->cut = false;
}

static size_t
answer_with(const usher_frame *asked, usher_result result, unsigned flags, const usher_layout *layout, const void *body,
            uint8_t *out)
{
    usher_frame frame = {.flags = (uint8_t)(USHER_FLAG_REPLY | flags),
                         .opcode = asked->opcode,
                         .request_no = asked->request_no,
                         .aux = result,
                         .stamp_ms = 1700000000000};

    return usher_frame_finish(out, usher_encode(layout, body, out + USHER_HEADER_SIZE, USHER_FRAME_MAX), &frame);
}

static size_t
refuse(const usher_frame *asked, usher_result result, uint64_t retry_after_ms, uint8_t *out)
{
    usher_refusal refusal = {.retry_after_ms = retry_after_ms};

    return answer_with(asked, result, 0, usher_refusal_layout(), &refusal, out);
}

static size_t
push_with(uint16_t opcode, uint8_t *out)
{
    const usher_going_away_push body = {.drain_ms = 10000, .reason = USHER_AWAY_STOP};
    const usher_frame frame = {.flags = USHER_FLAG_PUSH, .opcode = opcode, .stamp_ms = 1700000000000};
    const usher_layout *layout = usher_push_of(USHER_PUSH_GOING_AWAY)->body;

    return usher_frame_finish(out, usher_encode(layout, &body, out + USHER_HEADER_SIZE, USHER_FRAME_MAX), &frame);
}

static size_t
say_hello(struct fake_peer *peer, const usher_frame *asked, uint8_t *out)
{
    const usher_message *message = usher_message_of(USHER_OPCODE_HELLO);
    usher_hello_reply *challenge = &peer->challenge;
    uint8_t digest[32];
    unsigned field_no;

    if (usher_decode(message->request, asked->body, asked->body_size, &peer->hello, &field_no) != USHER_OK)
        abort();
    memset(challenge, 0, sizeof *challenge);
    challenge->server_key = peer->server_key;
    randombytes_buf(challenge->server_nonce.bytes, sizeof challenge->server_nonce.bytes);
    challenge->frame_max = USHER_FRAME_MAX;
    challenge->in_flight_max = 128;
    challenge->hello_ms = 1000;
    usher_handshake_digest(USHER_HANDSHAKE_SERVER, &peer->hello, challenge, digest);
    crypto_sign_detached(challenge->signature.bytes, NULL, digest, sizeof digest, peer->server_secret);
    if (peer->wrong_signature)
        challenge->signature.bytes[5] ^= 1;
    peer->phase = 1;
    return answer_with(asked, USHER_OK, 0, message->reply, challenge, out);
}

static usher_result
judge_enrolment(struct fake_peer *peer, const usher_enrol_request *request)
{
    usher_key hash;

    crypto_generichash(hash.bytes, sizeof hash.bytes, request->code.bytes, sizeof request->code.bytes, NULL, 0);
    if (memcmp(&hash, &peer->code_hash, sizeof hash) != 0)
        return USHER_CODE_UNKNOWN;
    memset(&peer->code_hash, 0, sizeof peer->code_hash);
    peer->client_key = request->client_key;
    return USHER_OK;
}

static size_t
check_proof(struct fake_peer *peer, const usher_frame *asked, uint8_t *out)
{
    const usher_message *message = usher_message_of(asked->opcode);
    bool enrols = asked->opcode == USHER_OPCODE_ENROL;
    union {
        usher_authenticate_request authenticate;
        usher_enrol_request enrol;
    } request;
    usher_authenticate_reply welcome = {.client_id = 7, .role = USHER_ROLE_GATEWAY, .name = "shop"};
    usher_enrol_reply enrolled = {.client_id = 7, .role = USHER_ROLE_GATEWAY, .name = "shop"};
    const usher_signature *signature;
    usher_result result = peer->welcome;
    uint8_t digest[32];
    unsigned field_no;

    if (usher_decode(message->request, asked->body, asked->body_size, &request, &field_no) != USHER_OK)
        abort();
    usher_handshake_digest(enrols ? USHER_HANDSHAKE_ENROL : USHER_HANDSHAKE_CLIENT, &peer->hello, &peer->challenge,
                           digest);
    signature = enrols ? &request.enrol.signature : &request.authenticate.signature;
    if (crypto_sign_verify_detached(signature->bytes, digest, sizeof digest, peer->hello.client_key.bytes) != 0)
        result = USHER_SIGNATURE_WRONG;
    else if (enrols)
        result = judge_enrolment(peer, &request.enrol);
    else if (memcmp(&peer->hello.client_key, &peer->client_key, sizeof peer->client_key) != 0)
        result = USHER_CLIENT_UNKNOWN;
    if (result != USHER_OK) {
        peer->cut = true;
        return refuse(asked, result, 0, out);
    }
    if (peer->lose_welcome) {
        peer->lose_welcome = false;
        peer->cut = true;
        return 0;
    }
    peer->phase = 2;
    return enrols ? answer_with(asked, USHER_OK, 0, message->reply, &enrolled, out)
                  : answer_with(asked, USHER_OK, 0, message->reply, &welcome, out);
}

/* Charge once per request id. */
static size_t
charge(struct fake_peer *peer, const usher_frame *asked, const usher_charge_request *request, uint8_t *out)
{
    const usher_layout *layout = usher_message_of(USHER_OPCODE_CHARGE)->reply;
    usher_charge_reply *reply;

    for (unsigned i = 0; i < peer->id_count; i++)
        if (memcmp(&peer->id[i], &request->request_id, sizeof request->request_id) == 0)
            return answer_with(asked, USHER_OK, USHER_FLAG_REPLAYED, layout, &peer->answer[i], out);
    if (request->amount <= 0)
        return refuse(asked, USHER_AMOUNT_INVALID, 0, out);
    assert(peer->id_count < FAKE_IDS_MOST);
    peer->balance += request->amount;
    peer->id[peer->id_count] = request->request_id;
    reply = &peer->answer[peer->id_count++];
    reply->balance = peer->balance;
    reply->entry_no = ++peer->executed;
    return answer_with(asked, USHER_OK, 0, layout, reply, out);
}

static size_t
carry_out(struct fake_peer *peer, const usher_frame *asked, uint8_t *out)
{
    const usher_message *message = usher_message_of(asked->opcode);
    union {
        usher_ping_request ping;
        usher_charge_request charge;
        usher_balance_request balance;
        usher_join_request join;
    } request;
    usher_balance_reply balance = {.balance = peer->balance};
    unsigned field_no;

    if (message == NULL || message->request->struct_size > sizeof request)
        return refuse(asked, USHER_ROLE_REFUSED, 0, out);
    if (usher_decode(message->request, asked->body, asked->body_size, &request, &field_no) != USHER_OK)
        return refuse(asked, USHER_FIELD_INVALID, 0, out);
    if (asked->opcode == USHER_OPCODE_PING)
        return answer_with(asked, USHER_OK, 0, message->reply, &(usher_ping_reply){.echo = request.ping.echo}, out);
    if (asked->opcode == USHER_OPCODE_CHARGE)
        return charge(peer, asked, &request.charge, out);
    if (asked->opcode == USHER_OPCODE_BALANCE)
        return answer_with(asked, USHER_OK, 0, message->reply, &balance, out);
    return refuse(asked, USHER_ROLE_REFUSED, 0, out);
}

/* Carry a request out, with the fault that is next in the script. */
static size_t
serve(struct fake_peer *peer, const usher_frame *asked, uint8_t *out)
{
    enum fake_fault fault = peer->fault_no < peer->fault_count ? peer->fault[peer->fault_no++] : FAKE_NONE;
    usher_frame number_changed = *asked;
    size_t size, pushed = 0;

    peer->asked++;
    peer->budget_ms = asked->aux;
    peer->cut = fault == FAKE_LOSE_REPLY || fault == FAKE_LOSE_REQUEST || fault == FAKE_GOING_AWAY;
    if (fault == FAKE_LOSE_REQUEST)
        return 0;
    if (fault == FAKE_BUSY)
        return refuse(asked, USHER_BUSY, 20, out);
    if (fault == FAKE_GOING_AWAY)
        return refuse(asked, USHER_GOING_AWAY, 0, out);
    if (fault == FAKE_STRANGER)
        number_changed.request_no += 1000;
    if (fault == FAKE_PUSH_BEFORE || fault == FAKE_PUSH_UNKNOWN)
        pushed = push_with(fault == FAKE_PUSH_UNKNOWN ? 0xfeff : USHER_PUSH_GOING_AWAY, out);
    size = pushed + carry_out(peer, &number_changed, out + pushed);
    if (fault == FAKE_PUSH_BEHIND)
        size += push_with(USHER_PUSH_GOING_AWAY, out + size);
    if (fault == FAKE_GARBLE)
        out[size - 1] ^= 0x10;
    return fault == FAKE_LOSE_REPLY || fault == FAKE_SILENCE ? 0 : size;
}

static size_t
take_frame(struct fake_peer *peer, const usher_frame *asked, uint8_t *out)
{
    if (peer->phase == 0)
        return say_hello(peer, asked, out);
    if (peer->phase == 1)
        return check_proof(peer, asked, out);
    return serve(peer, asked, out);
}

size_t
fake_peer_feed(struct fake_peer *peer, const uint8_t *bytes, size_t size, uint8_t *out)
{
    size_t written = 0;

    assert(size <= sizeof peer->input - peer->input_size);
    memcpy(peer->input + peer->input_size, bytes, size);
    peer->input_size += size;
    while (!peer->cut) {
        usher_frame frame;
        usher_result why;
        usher_frame_state state = usher_frame_read(peer->input, peer->input_size, USHER_FRAME_MAX, &frame, &why);

        if (state == USHER_FRAME_PARTIAL)
            break;
        assert(state == USHER_FRAME_READY); /* the SDK sends sound frames */
        written += take_frame(peer, &frame, out + written);
        peer->input_size -= frame.size;
        memmove(peer->input, peer->input + frame.size, peer->input_size);
    }
    return written;
}

/* --- the server --------------------------------------------------------------------------------------- */
struct fake_server {
    struct fake_peer *peer;
    int listener;
    int stop[2]; /* a pipe: closing its second end wakes the thread for the last time */
    atomic_uint connections;
    pthread_t thread;
    char address[32];
    uint8_t out[2 * USHER_FRAME_MAX];
    pthread_mutex_t lock; /* held while the peer is fed */
    pthread_cond_t fed;
};

/* Wait for bytes on the socket; false when the server is to stop. */
static bool
wait_for(struct fake_server *server, int watched)
{
    struct pollfd polled[2] = {{.fd = watched, .events = POLLIN}, {.fd = server->stop[0], .events = POLLIN}};

    poll(polled, 2, -1);
    return polled[1].revents == 0;
}

static void
serve_connection(struct fake_server *server, int connection)
{
    uint8_t bytes[4096];

    fake_peer_connect(server->peer);
    while (!server->peer->cut && wait_for(server, connection)) {
        ssize_t size = recv(connection, bytes, sizeof bytes, 0);
        size_t written;

        if (size <= 0)
            return;
        pthread_mutex_lock(&server->lock);
        written = fake_peer_feed(server->peer, bytes, (size_t)size, server->out);
        pthread_cond_broadcast(&server->fed);
        pthread_mutex_unlock(&server->lock);
        for (size_t at = 0; at < written;) {
            ssize_t taken = send(connection, server->out + at, written - at, MSG_NOSIGNAL);
            if (taken <= 0)
                return;
            at += (size_t)taken;
        }
    }
}

static void *
serve_all(void *argument)
{
    struct fake_server *server = argument;

    while (wait_for(server, server->listener)) {
        int connection = accept(server->listener, NULL, NULL);

        if (connection < 0)
            continue;
        atomic_fetch_add(&server->connections, 1);
        serve_connection(server, connection);
        close(connection);
    }
    return NULL;
}

struct fake_server *
fake_server_start(struct fake_peer *peer)
{
    struct fake_server *server = calloc(1, sizeof *server);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int failed;

    assert(server != NULL);
    server->peer = peer;
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->fed, NULL);
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    failed = server->listener < 0 || bind(server->listener, (struct sockaddr *)&address, sizeof address) != 0 ||
             listen(server->listener, 16) != 0 ||
             getsockname(server->listener, (struct sockaddr *)&address, &size) != 0 || pipe(server->stop) != 0;
    assert(!failed);
    snprintf(server->address, sizeof server->address, "127.0.0.1:%u", ntohs(address.sin_port));
    failed = pthread_create(&server->thread, NULL, serve_all, server);
    assert(!failed);
    (void)failed;
    return server;
}

const char *
fake_server_address(const struct fake_server *server)
{
    return server->address;
}

unsigned
fake_server_connections(const struct fake_server *server)
{
    return atomic_load(&((struct fake_server *)server)->connections);
}

void
fake_server_await(struct fake_server *server, unsigned asked)
{
    pthread_mutex_lock(&server->lock);
    while (server->peer->asked < asked)
        pthread_cond_wait(&server->fed, &server->lock);
    pthread_mutex_unlock(&server->lock);
}

void
fake_server_stop(struct fake_server *server)
{
    close(server->stop[1]);
    pthread_join(server->thread, NULL);
    close(server->stop[0]);
    close(server->listener);
    pthread_mutex_destroy(&server->lock);
    pthread_cond_destroy(&server->fed);
    free(server);
}
