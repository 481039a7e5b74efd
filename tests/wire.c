/* wire.c: a client of the bare wire for tests. See wire.h. */
#include "tests/wire.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#include "protocol/token.h"

#define INPUT_ROOM  (2 * (size_t)USHER_FRAME_MAX)
#define PATIENCE_MS 10000

bool
wire_open(struct wire *wire, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int yes = 1;

    memset(wire, 0, sizeof *wire);
    wire->patience_ms = PATIENCE_MS;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    wire->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (wire->fd < 0)
        return false;
    if (connect(wire->fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        close(wire->fd);
        wire->fd = -1;
        return false;
    }
    setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    wire->input = malloc(INPUT_ROOM);
    assert(wire->input != NULL);
    return true;
}

void
wire_close(struct wire *wire)
{
    if (wire->fd >= 0)
        close(wire->fd);
    free(wire->input);
    wire->input = NULL;
    wire->fd = -1;
}

size_t
wire_build(uint8_t *out, uint16_t opcode, uint32_t request_no, uint32_t budget_ms, const void *body)
{
    const usher_message *message = usher_message_of(opcode);
    const usher_frame frame = {.opcode = opcode, .request_no = request_no, .aux = budget_ms};

    assert(message != NULL);
    size_t size = usher_encode(message->request, body, out + USHER_HEADER_SIZE, USHER_FRAME_MAX - USHER_HEADER_SIZE);
    assert(size != SIZE_MAX);
    return usher_frame_finish(out, size, &frame);
}

bool
wire_send_bytes(struct wire *wire, const void *bytes, size_t size)
{
    const uint8_t *next = bytes;

    while (size > 0) {
        ssize_t sent = send(wire->fd, next, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        next += sent;
        size -= (size_t)sent;
    }
    return true;
}

uint32_t
wire_send(struct wire *wire, uint16_t opcode, const void *body)
{
    uint8_t *bytes = malloc(USHER_FRAME_MAX);

    assert(bytes != NULL);
    size_t size = wire_build(bytes, opcode, ++wire->last_request_no, 0, body);
    bool sent = wire_send_bytes(wire, bytes, size);
    free(bytes);
    return sent ? wire->last_request_no : 0;
}

static int64_t
clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Read more bytes behind those that are there. 1: some came; 0: closed by the server; -1: nothing in time. */
static int
read_more(struct wire *wire, int64_t until_ms)
{
    if (wire->input_begin > 0) {
        memmove(wire->input, wire->input + wire->input_begin, wire->input_end - wire->input_begin);
        wire->input_end -= wire->input_begin;
        wire->input_begin = 0;
    }
    for (;;) {
        int64_t left_ms = until_ms - clock_ms();
        struct pollfd wait = {.fd = wire->fd, .events = POLLIN};
        int ready = poll(&wait, 1, left_ms > 0 ? (int)left_ms : 0);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return -1;
        ssize_t got = recv(wire->fd, wire->input + wire->input_end, INPUT_ROOM - wire->input_end, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return 0;
        wire->input_end += (size_t)got;
        return 1;
    }
}

/* As read_more; 1: *frame is there. */
static int
next_frame(struct wire *wire, struct wire_frame *frame, int64_t until_ms)
{
    for (;;) {
        usher_frame read;
        usher_result why;
        usher_frame_state state = usher_frame_read(wire->input + wire->input_begin, wire->input_end - wire->input_begin,
                                                   USHER_FRAME_MAX, &read, &why);
        assert(state != USHER_FRAME_BROKEN);
        if (state == USHER_FRAME_READY) {
            *frame = (struct wire_frame){.flags = read.flags,
                                         .opcode = read.opcode,
                                         .result = (uint16_t)read.aux,
                                         .request_no = read.request_no,
                                         .stamp_ms = read.stamp_ms,
                                         .body = read.body,
                                         .body_size = read.body_size};
            wire->stamp_ms = read.stamp_ms;
            wire->flags = read.flags;
            wire->input_begin += read.size;
            return 1;
        }
        int more = read_more(wire, until_ms);
        if (more <= 0)
            return more;
    }
}

bool
wire_receive(struct wire *wire, struct wire_frame *frame)
{
    return next_frame(wire, frame, clock_ms() + wire->patience_ms) == 1;
}

bool
wire_is_closed(struct wire *wire)
{
    int64_t until_ms = clock_ms() + wire->patience_ms;
    struct wire_frame frame;
    int got;

    while ((got = next_frame(wire, &frame, until_ms)) == 1)
        continue;
    return got == 0;
}

unsigned
wire_ask(struct wire *wire, uint16_t opcode, const void *body, void *reply)
{
    const usher_message *message = usher_message_of(opcode);
    uint32_t request_no = wire_send(wire, opcode, body);
    struct wire_frame frame;
    unsigned field_no;

    if (request_no == 0)
        return USHER_RESULT_NONE;
    do {
        if (!wire_receive(wire, &frame))
            return USHER_RESULT_NONE;
    } while (frame.request_no != request_no || !(frame.flags & USHER_FLAG_REPLY));

    if (frame.result != USHER_OK) {
        memset(&wire->refusal, 0, sizeof wire->refusal);
        usher_result sound =
            usher_decode(usher_refusal_layout(), frame.body, frame.body_size, &wire->refusal, &field_no);
        assert(sound == USHER_OK);
    } else if (reply != NULL) {
        memset(reply, 0, message->reply->struct_size);
        usher_result sound = usher_decode(message->reply, frame.body, frame.body_size, reply, &field_no);
        assert(sound == USHER_OK);
    }
    return frame.result;
}

bool
wire_read_key(const char *path, uint8_t secret_key[64])
{
    FILE *file = fopen(path, "re");
    char hex[129] = "";
    size_t size = 0;

    if (file == NULL)
        return false;
    bool found = fscanf(file, "usher-key-1 %128[0-9a-f]", hex) == 1;
    fclose(file);
    return found && sodium_hex2bin(secret_key, 64, hex, strlen(hex), NULL, &size, NULL) == 0 && size == 64;
}

unsigned
wire_hello(struct wire *wire, const uint8_t secret_key[64])
{
    uint8_t digest[32];

    memset(&wire->hello, 0, sizeof wire->hello);
    memcpy(wire->hello.client_key.bytes, secret_key + 32, 32);
    randombytes_buf(wire->hello.client_nonce.bytes, 32);
    wire->hello.frame_max = USHER_FRAME_MAX;
    unsigned result = wire_ask(wire, USHER_OPCODE_HELLO, &wire->hello, &wire->challenge);
    if (result != USHER_OK)
        return result;
    usher_handshake_digest(USHER_HANDSHAKE_SERVER, &wire->hello, &wire->challenge, digest);
    if (crypto_sign_verify_detached(wire->challenge.signature.bytes, digest, sizeof digest,
                                    wire->challenge.server_key.bytes) != 0)
        return USHER_SIGNATURE_WRONG;
    return USHER_OK;
}

unsigned
wire_authenticate(struct wire *wire, const uint8_t secret_key[64], usher_authenticate_reply *reply)
{
    usher_authenticate_request request = {0};
    uint8_t digest[32];

    usher_handshake_digest(USHER_HANDSHAKE_CLIENT, &wire->hello, &wire->challenge, digest);
    crypto_sign_detached(request.signature.bytes, NULL, digest, sizeof digest, secret_key);
    return wire_ask(wire, USHER_OPCODE_AUTHENTICATE, &request, reply);
}

unsigned
wire_enrol(struct wire *wire, const uint8_t secret_key[64], const uint8_t code[32], usher_enrol_reply *reply)
{
    usher_enrol_request request = {.request_id = wire_id()};
    uint8_t digest[32];

    memcpy(request.code.bytes, code, 32);
    memcpy(request.client_key.bytes, secret_key + 32, 32);
    usher_handshake_digest(USHER_HANDSHAKE_ENROL, &wire->hello, &wire->challenge, digest);
    crypto_sign_detached(request.signature.bytes, NULL, digest, sizeof digest, secret_key);
    return wire_ask(wire, USHER_OPCODE_ENROL, &request, reply);
}

unsigned
wire_login(struct wire *wire, const char *key_path)
{
    uint8_t secret_key[64];

    if (!wire_read_key(key_path, secret_key))
        return USHER_RESULT_NONE;
    unsigned result = wire_hello(wire, secret_key);
    if (result != USHER_OK)
        return result;
    return wire_authenticate(wire, secret_key, NULL);
}

usher_id
wire_id(void)
{
    usher_id id;

    randombytes_buf(id.bytes, sizeof id.bytes);
    return id;
}

usher_uuid
wire_user(uint64_t number)
{
    usher_uuid user = {{0}};

    /* A version 8 UUID, the number in its last eight bytes. */
    user.bytes[6] = 0x80;
    user.bytes[8] = 0x80;
    for (int i = 0; i < 7; i++)
        user.bytes[15 - i] = (uint8_t)(number >> (8 * i));
    return user;
}
