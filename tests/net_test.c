/* net_test.c: frames, the handshake and the limits of a connection, against a real usherd. What only a broken or
 * hostile client would send is here. */
#include "tests/test.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sodium.h>

#include "protocol/token.h"
#include "tests/server.h"
#include "tests/wire.h"

struct fixture {
    struct test_server server;
    struct wire wire;
    uint8_t admin_key[64];
};

/* Start with these options (NULL after the last) and connect. */
#define start(fixture, ...)                                                                                            \
    do {                                                                                                               \
        test_server_open(&(fixture)->server);                                                                          \
        test_server_start(&(fixture)->server, __VA_ARGS__);                                                            \
        assert_true(wire_read_key((fixture)->server.admin_key, (fixture)->admin_key));                                 \
        assert_true(wire_open(&(fixture)->wire, (fixture)->server.port));                                              \
    } while (0)

static void
finish(struct fixture *fixture)
{
    wire_close(&fixture->wire);
    test_server_close(&fixture->server);
}

static void
login(struct fixture *fixture)
{
    assert_int_equal(wire_login(&fixture->wire, fixture->server.admin_key), USHER_OK);
}

/* Another connection with the admin's key. */
static void
open_admin(const struct fixture *fixture, struct wire *wire)
{
    assert_true(wire_open(wire, fixture->server.port));
    assert_int_equal(wire_login(wire, fixture->server.admin_key), USHER_OK);
}

static void
assert_lives(struct wire *wire)
{
    const usher_ping_request ping = {.echo = 4711};
    usher_ping_reply reply;

    assert_int_equal(wire_ask(wire, USHER_OPCODE_PING, &ping, &reply), USHER_OK);
    assert_int_equal(reply.echo, 4711);
}

/* A ping as a frame. Returns its size. */
static size_t
build_ping(uint8_t *out, uint32_t request_no)
{
    const usher_ping_request ping = {.echo = request_no};

    return wire_build(out, USHER_OPCODE_PING, request_no, 0, &ping);
}

/* The next frame is this answer to this request. */
static void
expect(struct wire *wire, uint32_t request_no, usher_result result)
{
    struct wire_frame frame;

    assert_true(wire_receive(wire, &frame));
    assert_int_equal(frame.request_no, request_no);
    assert_int_equal(frame.result, result);
    assert_int_equal(frame.flags & USHER_FLAG_REPLY, USHER_FLAG_REPLY);
}

/* --- frames ---------------------------------------------------------------------------------------------- */
/* F1: one error reply that echoes the request's number as far as it had arrived, then the end. */
static void
assert_breaks(struct fixture *fixture, const uint8_t *bytes, size_t size, usher_result result, uint32_t request_no)
{
    struct wire wire;

    open_admin(fixture, &wire);
    assert_true(wire_send_bytes(&wire, bytes, size));
    expect(&wire, request_no, result);
    assert_true(wire_is_closed(&wire));
    wire_close(&wire);
}

/* F1: lengths that no frame has. */
static void
a_frame_that_is_too_large_or_too_small_is_answered_and_closes(void **state)
{
    static const uint32_t sizes[] = {USHER_FRAME_MAX + 1, UINT32_MAX, USHER_HEADER_SIZE - 1, 0};
    struct fixture fixture;
    uint8_t bytes[128];
    (void)state;

    start(&fixture, NULL);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        build_ping(bytes, 77);
        memcpy(bytes, &sizes[i], 4);
        assert_breaks(&fixture, bytes, USHER_HEADER_SIZE, USHER_FRAME_SIZE, 77);
    }
    finish(&fixture);
}

/* F1: a size that is wrong is known after four bytes; nobody waits for the rest. */
static void
a_wrong_size_is_refused_before_the_rest_has_come(void **state)
{
    const uint32_t size = USHER_FRAME_MAX + 1;
    struct fixture fixture;
    uint8_t bytes[4];
    (void)state;

    start(&fixture, NULL);
    memcpy(bytes, &size, 4);
    assert_breaks(&fixture, bytes, sizeof bytes, USHER_FRAME_SIZE, 0);
    finish(&fixture);
}

/* F1: the limit's very edge, for a server that reads less than the protocol allows. */
static void
a_frame_of_frame_max_bytes_is_read_and_one_byte_more_is_not(void **state)
{
    static uint8_t bytes[4097];
    const usher_frame frame = {.opcode = USHER_OPCODE_PING, .request_no = 5};
    struct fixture fixture;
    (void)state;

    start(&fixture, "--frame-max", "4096", NULL);
    login(&fixture);
    assert_int_equal(fixture.wire.challenge.frame_max, 4096);
    assert_int_equal(usher_frame_finish(bytes, 4096 - USHER_HEADER_SIZE, &frame), 4096);
    assert_true(wire_send_bytes(&fixture.wire, bytes, 4096));
    expect(&fixture.wire, 5, USHER_BODY_SIZE); /* read as a whole: its body is not a ping's */
    assert_lives(&fixture.wire);
    assert_int_equal(usher_frame_finish(bytes, 4097 - USHER_HEADER_SIZE, &frame), 4097);
    assert_breaks(&fixture, bytes, 4097, USHER_FRAME_SIZE, 5);
    finish(&fixture);
}

/* F1: a version that is not spoken here. */
static void
a_wrong_version_is_answered_and_closes(void **state)
{
    struct fixture fixture;
    uint8_t bytes[128];
    (void)state;

    start(&fixture, NULL);
    for (unsigned version = 0; version < 256; version += 85) {
        size_t size = build_ping(bytes, 78);
        bytes[4] = (uint8_t)version;
        assert_breaks(&fixture, bytes, size, USHER_FRAME_VERSION, 78);
    }
    finish(&fixture);
}

/* F1: any byte that was changed on the way is noticed. */
static void
a_wrong_check_is_answered_and_closes(void **state)
{
    struct fixture fixture;
    uint8_t bytes[128];
    (void)state;

    start(&fixture, NULL);
    size_t size = build_ping(bytes, 79);
    for (size_t i = 24; i < size; i++) { /* the check itself and the body */
        bytes[i] ^= 0x01;
        assert_breaks(&fixture, bytes, size, USHER_FRAME_CHECK, 79);
        bytes[i] ^= 0x01;
    }
    finish(&fixture);
}

/* F1: flags and stamp belong to replies. */
static void
a_request_with_flags_or_a_stamp_is_answered_and_closes(void **state)
{
    static const usher_frame headers[] = {
        {.opcode = USHER_OPCODE_PING, .request_no = 80, .flags = USHER_FLAG_REPLY},
        {.opcode = USHER_OPCODE_PING, .request_no = 80, .flags = 0x80},
        {.opcode = USHER_OPCODE_PING, .request_no = 80, .stamp_ms = 1},
    };
    struct fixture fixture;
    uint8_t bytes[128];
    (void)state;

    start(&fixture, NULL);
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        build_ping(bytes, 80);
        size_t size = usher_frame_finish(bytes, sizeof(uint64_t), &headers[i]);
        assert_breaks(&fixture, bytes, size, USHER_FRAME_HEADER, 80);
    }
    finish(&fixture);
}

/* F1: what was taken before a broken frame is still answered. */
static void
requests_before_a_broken_frame_are_answered(void **state)
{
    struct fixture fixture;
    struct wire_frame frame;
    uint8_t bytes[256];
    unsigned seen = 0;
    (void)state;

    start(&fixture, NULL);
    login(&fixture);
    size_t size = build_ping(bytes, 100);
    size_t more = build_ping(bytes + size, 101);
    bytes[size + 4] = 9;
    assert_true(wire_send_bytes(&fixture.wire, bytes, size + more));
    for (int i = 0; i < 2; i++) {
        assert_true(wire_receive(&fixture.wire, &frame));
        seen |= frame.request_no == 100 && frame.result == USHER_OK ? 1u : 0;
        seen |= frame.request_no == 101 && frame.result == USHER_FRAME_VERSION ? 2u : 0;
    }
    assert_int_equal(seen, 3);
    assert_true(wire_is_closed(&fixture.wire));
    finish(&fixture);
}

/* F1: a frame that stops in the middle is waited for, but not for ever. */
static void
a_frame_that_does_not_end_is_cut_off_in_its_time(void **state)
{
    struct fixture fixture;
    struct wire quiet;
    uint8_t bytes[128];
    (void)state;

    start(&fixture, "--frame-ms", "150", NULL);
    login(&fixture);
    open_admin(&fixture, &quiet);
    size_t size = build_ping(bytes, 1);
    for (size_t cut = 1; cut < size; cut += 13) {
        struct wire wire;
        open_admin(&fixture, &wire);
        assert_true(wire_send_bytes(&wire, bytes, cut));
        assert_true(wire_is_closed(&wire));
        wire_close(&wire);
    }
    assert_lives(&quiet); /* between frames there is no such limit */
    wire_close(&quiet);
    finish(&fixture);
}

/* F1: however the bytes arrive, the same requests come out. */
static void
requests_sent_one_byte_at_a_time_are_answered(void **state)
{
    struct fixture fixture;
    uint8_t bytes[128];
    (void)state;

    start(&fixture, NULL);
    login(&fixture);
    for (uint32_t number = 50; number < 53; number++) {
        size_t size = build_ping(bytes, number);
        for (size_t i = 0; i < size; i++)
            assert_true(wire_send_bytes(&fixture.wire, bytes + i, 1));
        expect(&fixture.wire, number, USHER_OK);
    }
    finish(&fixture);
}

/* F1: many requests in one write are all answered, each once. */
static void
requests_in_one_write_are_all_answered(void **state)
{
    enum { COUNT = 500 };
    static uint8_t bytes[COUNT * 64];
    bool seen[COUNT] = {false};
    struct fixture fixture;
    struct wire_frame frame;
    size_t size = 0;
    (void)state;

    start(&fixture, NULL);
    login(&fixture);
    for (uint32_t i = 0; i < COUNT; i++)
        size += build_ping(bytes + size, 1000 + i);
    assert_true(wire_send_bytes(&fixture.wire, bytes, size));
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_true(wire_receive(&fixture.wire, &frame));
        assert_int_equal(frame.result, USHER_OK);
        assert_in_range(frame.request_no, 1000, 1000 + COUNT - 1);
        assert_false(seen[frame.request_no - 1000]);
        seen[frame.request_no - 1000] = true;
    }
    finish(&fixture);
}

/* --- a request's inside ------------------------------------------------------------------------------------ */
/* F1: an unknown opcode is answered and the connection lives; the server's own commands are unknown on the wire. */
static void
an_unknown_opcode_is_answered_and_the_connection_lives(void **state)
{
    static const uint16_t opcodes[] = {0, 0x0005, 0x00ff, 0xfffe, USHER_OPCODE_TOUCH};
    struct fixture fixture;
    uint8_t bytes[64];
    (void)state;

    start(&fixture, NULL);
    login(&fixture);
    for (uint32_t i = 0; i < sizeof opcodes / sizeof *opcodes; i++) {
        const usher_frame frame = {.opcode = opcodes[i], .request_no = 200 + i};
        assert_true(wire_send_bytes(&fixture.wire, bytes, usher_frame_finish(bytes, 0, &frame)));
        expect(&fixture.wire, 200 + i, USHER_OPCODE_UNKNOWN);
    }
    assert_lives(&fixture.wire);
    finish(&fixture);
}

/* F1: a body that is shorter or longer than its fields. */
static void
a_body_of_the_wrong_size_is_answered_and_the_connection_lives(void **state)
{
    struct fixture fixture;
    uint8_t bytes[128] = {0};
    (void)state;

    start(&fixture, NULL);
    login(&fixture);
    for (uint32_t size = 0; size < 32; size++) {
        const usher_frame frame = {.opcode = USHER_OPCODE_PING, .request_no = 300 + size};
        assert_true(wire_send_bytes(&fixture.wire, bytes, usher_frame_finish(bytes, size, &frame)));
        expect(&fixture.wire, 300 + size, size == sizeof(uint64_t) ? USHER_OK : USHER_BODY_SIZE);
    }
    finish(&fixture);
}

/* Send a request with one byte of its body changed; it must be FIELD_INVALID in this field. */
static void
assert_field_invalid(struct fixture *fixture, uint16_t opcode, const void *request, size_t offset, uint8_t value,
                     unsigned field_no)
{
    static uint8_t bytes[USHER_FRAME_MAX];
    const usher_frame header = {.opcode = opcode, .request_no = 400};
    struct wire_frame frame;
    usher_refusal refusal;
    unsigned ignored;
    size_t size = wire_build(bytes, opcode, 400, 0, request);

    bytes[USHER_HEADER_SIZE + offset] = value;
    usher_frame_finish(bytes, size - USHER_HEADER_SIZE, &header);
    assert_true(wire_send_bytes(&fixture->wire, bytes, size));
    assert_true(wire_receive(&fixture->wire, &frame));
    assert_int_equal(frame.result, USHER_FIELD_INVALID);
    assert_int_equal(usher_decode(usher_refusal_layout(), frame.body, frame.body_size, &refusal, &ignored), USHER_OK);
    assert_int_equal(refusal.detail, field_no);
}

/* F1: values that a field can never have; the refusal names the field. */
static void
a_field_that_holds_what_it_never_can_is_named_in_the_refusal(void **state)
{
    const usher_set_mode_request mode = {.request_id = wire_id()};
    const usher_put_queue_request queue = {.request_id = wire_id(), .name = "ok"};
    struct fixture fixture;
    (void)state;

    start(&fixture, NULL);
    login(&fixture);
    assert_field_invalid(&fixture, USHER_OPCODE_SET_MODE, &mode, 20, 3, 3);      /* a mode in no row */
    assert_field_invalid(&fixture, USHER_OPCODE_PUT_QUEUE, &queue, 20, 0xff, 3); /* not UTF-8 */
    assert_field_invalid(&fixture, USHER_OPCODE_PUT_QUEUE, &queue, 83, 'x', 3);  /* text that does not end */
    assert_lives(&fixture.wire);
    finish(&fixture);
}

/* M3: a mutation without an id could not be asked for again. */
static void
a_request_id_of_zeros_is_refused(void **state)
{
    const usher_put_queue_request queue = {.queue_id = 5, .name = "five"};
    struct fixture fixture;
    (void)state;

    start(&fixture, NULL);
    login(&fixture);
    assert_int_equal(wire_ask(&fixture.wire, USHER_OPCODE_PUT_QUEUE, &queue, NULL), USHER_REQUEST_ID_MISSING);
    assert_lives(&fixture.wire);
    finish(&fixture);
}

/* A seeded row of numbers, the same on every run. */
static uint32_t
next_number(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (uint32_t)(*seed >> 32);
}

/* F1: whatever stands in a body, under a frame that is sound, the server answers and lives; and the house still adds
 * up. */
static void
bodies_with_bytes_at_random_are_answered(void **state)
{
    static uint8_t bytes[USHER_FRAME_MAX];
    static union {
        uint8_t bytes[16384];
        uint64_t align;
    } blank;
    const usher_info_request ask = {.digest = USHER_FLAG_YES};
    usher_info_reply info;
    struct fixture fixture;
    struct wire_frame frame;
    uint64_t seed = 0x9e3779b97f4a7c15;
    size_t count;
    const usher_message *messages = usher_messages(&count);
    (void)state;

    start(&fixture, NULL);
    login(&fixture);
    for (uint32_t round = 0; round < 2000; round++) {
        const usher_message *message = &messages[next_number(&seed) % count];
        if (message->kind == USHER_MESSAGE_INTERNAL || message->opcode == USHER_OPCODE_REVOKE)
            continue; /* a revocation of ourselves would end the test */
        const usher_frame header = {.opcode = message->opcode, .request_no = round};
        size_t size = wire_build(bytes, message->opcode, round, 0, &blank) - USHER_HEADER_SIZE;
        for (uint32_t changes = next_number(&seed) % 24; changes > 0 && size > 0; changes--)
            bytes[USHER_HEADER_SIZE + next_number(&seed) % size] = (uint8_t)(next_number(&seed) % 7);
        assert_true(wire_send_bytes(&fixture.wire, bytes, usher_frame_finish(bytes, size, &header)));
        do
            assert_true(wire_receive(&fixture.wire, &frame));
        while (frame.flags & USHER_FLAG_PUSH); /* of a subscription that it has opened */
        assert_int_equal(frame.request_no, round);
    }
    assert_int_equal(wire_ask(&fixture.wire, USHER_OPCODE_INFO, &ask, &info), USHER_OK);
    assert_int_equal(info.ledger_sum, 0);
    finish(&fixture);
}

/* Whether TCP itself has a timer for probes on the server's half of this connection (/proc/net/tcp's column "tr"). */
static bool
is_probed(const struct wire *wire, uint16_t port)
{
    struct sockaddr_in own;
    socklen_t size = sizeof own;
    unsigned local, remote, state, timer;
    bool probed = false;
    char line[256];
    FILE *file = fopen("/proc/net/tcp", "re");

    assert_non_null(file);
    assert_int_equal(getsockname(wire->fd, (struct sockaddr *)&own, &size), 0);
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, " %*d: %*8x:%x %*8x:%x %x %*x:%*x %x:", &local, &remote, &state, &timer) == 4 &&
            local == port && remote == ntohs(own.sin_port))
            probed = timer == 2;
    fclose(file);
    return probed;
}

/* Q6: a peer that vanishes without a word is found out, or its subscriptions would keep its places for ever. */
static void
a_silent_peer_is_probed_unless_it_shall_not_be(void **state)
{
    struct fixture fixture;
    (void)state;

    start(&fixture, NULL);
    login(&fixture);
    for (unsigned looks = 0; looks < 5000 && !is_probed(&fixture.wire, fixture.server.port); looks++)
        usleep(1000); /* until the last byte's own timer is gone */
    assert_true(is_probed(&fixture.wire, fixture.server.port));
    finish(&fixture);
    start(&fixture, "--peer-ms", "0", NULL);
    login(&fixture);
    for (unsigned looks = 0; looks < 100; looks++)
        assert_false(is_probed(&fixture.wire, fixture.server.port));
    finish(&fixture);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_that_is_too_large_or_too_small_is_answered_and_closes),
        cmocka_unit_test(a_wrong_size_is_refused_before_the_rest_has_come),
        cmocka_unit_test(a_frame_of_frame_max_bytes_is_read_and_one_byte_more_is_not),
        cmocka_unit_test(a_wrong_version_is_answered_and_closes),
        cmocka_unit_test(a_wrong_check_is_answered_and_closes),
        cmocka_unit_test(a_request_with_flags_or_a_stamp_is_answered_and_closes),
        cmocka_unit_test(requests_before_a_broken_frame_are_answered),
        cmocka_unit_test(a_frame_that_does_not_end_is_cut_off_in_its_time),
        cmocka_unit_test(requests_sent_one_byte_at_a_time_are_answered),
        cmocka_unit_test(requests_in_one_write_are_all_answered),
        cmocka_unit_test(an_unknown_opcode_is_answered_and_the_connection_lives),
        cmocka_unit_test(a_body_of_the_wrong_size_is_answered_and_the_connection_lives),
        cmocka_unit_test(a_field_that_holds_what_it_never_can_is_named_in_the_refusal),
        cmocka_unit_test(a_request_id_of_zeros_is_refused),
        cmocka_unit_test(a_silent_peer_is_probed_unless_it_shall_not_be),
        cmocka_unit_test(bodies_with_bytes_at_random_are_answered),
    };
    return usher_test_main(argc, argv, tests);
}
