/* session_test.c: the SDK's layer without I/O, fed by the fake house without its sockets: every split of what it reads,
 * every wrong answer that a server could give. */
#include "test.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "client-sdk/fake/src/link.h"
#include "client-sdk/src/session.h"

#define SLOTS 4

/* A session and the house that it talks to. */
struct talk {
    struct usher_session session;
    struct usher_session_slot slot[SLOTS];
    usher_fake *fake; /* without sockets */
    struct fake_link *link;
    usher_secret secret;
    usher_key pin;
    uint8_t input[USHER_FRAME_MAX], output[USHER_FRAME_MAX];
    uint8_t answer[2 * USHER_FRAME_MAX]; /* what the fake wrote */
};

static struct talk *
talk_begin(void)
{
    struct talk *talk = calloc(1, sizeof *talk);
    usher_key client_key;
    const usher_fake_options house = {.client_key = &client_key, .client_name = "shop", .client_id = 7};

    assert_non_null(talk);
    usher_key_make(&talk->secret);
    usher_key_public(&talk->secret, &client_key);
    talk->fake = fake_make(&house, NULL, 0);
    assert_non_null(talk->fake);
    return talk;
}

static void
talk_end(struct talk *talk)
{
    fake_free(talk->fake);
    free(talk);
}

static void
talk_open(struct talk *talk, const usher_key *pin)
{
    struct usher_session_setup setup = {.secret = &talk->secret,
                                        .pin = pin,
                                        .input = talk->input,
                                        .input_size = sizeof talk->input,
                                        .output = talk->output,
                                        .output_size = sizeof talk->output,
                                        .slots = talk->slot,
                                        .slot_count = SLOTS};

    for (unsigned i = 0; i < SLOTS; i++) /* nobody has cleared the memory: as if number 77 had been asked */
        talk->slot[i] = (struct usher_session_slot){.request_no = 77, .opcode = USHER_OPCODE_PING};
    randombytes_buf(setup.nonce.bytes, sizeof setup.nonce.bytes);
    if (talk->link != NULL)
        fake_link_close(talk->link);
    talk->link = fake_link_open(talk->fake, 0);
    usher_session_open(&talk->session, &setup);
}

/* Let the house have what the session wants to send; returns the size of its answer. */
static size_t
talk_send(struct talk *talk)
{
    size_t size;
    const uint8_t *bytes = usher_session_output(&talk->session, &size);
    size_t answered = 0, taken;

    fake_link_feed(talk->link, bytes, size, 0);
    while ((taken = fake_link_take(talk->link, talk->answer + answered, sizeof talk->answer - answered, 0)) > 0)
        answered += taken;
    usher_session_sent(&talk->session, size);
    assert_true(usher_session_all_sent(&talk->session));
    return answered;
}

/* Let the house have the first bytes of it, too few for a frame. */
static void
talk_send_part(struct talk *talk, size_t part)
{
    size_t size;
    const uint8_t *bytes = usher_session_output(&talk->session, &size);

    assert_true(part < size);
    fake_link_feed(talk->link, bytes, part, 0);
    usher_session_sent(&talk->session, part);
}

/* Let the session read some bytes. */
static void
talk_read(struct talk *talk, const uint8_t *bytes, size_t size)
{
    size_t room;
    uint8_t *to = usher_session_room(&talk->session, &room);

    assert_true(size <= room);
    memcpy(to, bytes, size);
    usher_session_filled(&talk->session, size);
}

/* Read its answer up to the split, expect nothing, read the rest. */
static struct usher_session_event
talk_read_split(struct talk *talk, size_t size, size_t split)
{
    talk_read(talk, talk->answer, split);
    if (split < size)
        assert_int_equal(usher_session_next(&talk->session).kind, USHER_SESSION_EVENT_NONE);
    talk_read(talk, talk->answer + split, size - split);
    return usher_session_next(&talk->session);
}

static void
talk_shake_hands(struct talk *talk)
{
    size_t size;

    talk_open(talk, NULL);
    size = talk_send(talk);
    assert_int_equal(talk_read_split(talk, size, size).kind, USHER_SESSION_EVENT_NONE);
    size = talk_send(talk);
    assert_int_equal(talk_read_split(talk, size, size).kind, USHER_SESSION_EVENT_READY);
}

static const usher_uuid talk_user = {{1}};

static enum usher_session_admission
talk_ask(struct talk *talk, uint16_t opcode, const void *request, uint64_t tag)
{
    uint8_t body[USHER_FRAME_MAX];
    size_t size = usher_encode(usher_message_of(opcode)->request, request, body, sizeof body);

    assert_int_not_equal(size, SIZE_MAX);
    return usher_session_request(&talk->session, opcode, body, size, 5000, tag, NULL);
}

static enum usher_session_admission
talk_ping(struct talk *talk, uint64_t tag)
{
    return talk_ask(talk, USHER_OPCODE_PING, &(usher_ping_request){.echo = 1}, tag);
}

static void
talk_charge(struct talk *talk, int64_t amount, uint64_t tag)
{
    usher_charge_request request = {.user = talk_user, .amount = amount};

    usher_new_id(&request.request_id);
    assert_int_equal(talk_ask(talk, USHER_OPCODE_CHARGE, &request, tag), USHER_SESSION_ACCEPTED);
}

/* --- scenes ------------------------------------------------------------------------------------------- */
/* F1, F4: the handshake does not depend on how its bytes arrive. */
static void
the_handshake_is_read_at_every_split_of_its_bytes(void **state)
{
    struct talk *talk = talk_begin();
    size_t challenge, welcome = 1;

    (void)state;
    talk_open(talk, NULL);
    challenge = talk_send(talk);
    for (size_t split = 0; split <= challenge || split <= welcome; split++) {
        talk_open(talk, NULL);
        challenge = talk_send(talk);
        assert_int_equal(talk_read_split(talk, challenge, split < challenge ? split : challenge).kind,
                         USHER_SESSION_EVENT_NONE);
        welcome = talk_send(talk);
        assert_int_equal(talk_read_split(talk, welcome, split < welcome ? split : welcome).kind,
                         USHER_SESSION_EVENT_READY);
        assert_int_equal(talk->session.self.client_id, 7);
        assert_int_equal(talk->session.self.role, USHER_ROLE_GATEWAY);
        assert_string_equal(talk->session.self.name, "shop");
    }
    talk_end(talk);
}

/* F1, F4: three replies in one piece of bytes, cut in two at every place, and byte by byte. */
static void
replies_are_read_at_every_split_of_their_bytes(void **state)
{
    struct talk *talk = talk_begin();
    size_t size = 1;

    (void)state;
    talk_shake_hands(talk);
    for (size_t split = 0; split <= size + 1; split++) {
        int64_t before = fake_account_of(talk->fake, &talk_user)->balance;
        unsigned replies = 0;

        for (uint64_t tag = 0; tag < 3; tag++)
            talk_charge(talk, 10, tag);
        size = talk_send(talk);
        for (size_t at = 0; at < size;) {
            size_t piece = split > size ? 1 : at == 0 && split > 0 ? split : size - at;
            struct usher_session_event event;

            talk_read(talk, talk->answer + at, piece);
            at += piece;
            while ((event = usher_session_next(&talk->session)).kind != USHER_SESSION_EVENT_NONE) {
                usher_charge_reply reply;
                usher_refusal refusal;

                assert_int_equal(event.kind, USHER_SESSION_EVENT_REPLY);
                assert_int_equal(event.tag, replies++);
                assert_true(usher_session_read(&event, &reply, &refusal));
                assert_int_equal(reply.balance, before + 10 * (int64_t)replies);
            }
        }
        assert_int_equal(replies, 3);
        assert_int_equal(talk->session.in_flight, 0);
    }
    talk_end(talk);
}

/* F4: replies may come in any order; the number of each says to which request it belongs. */
static void
a_reply_finds_its_request_in_any_order(void **state)
{
    static const unsigned order[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    struct talk *talk = talk_begin();

    (void)state;
    talk_shake_hands(talk);
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        int64_t before = fake_account_of(talk->fake, &talk_user)->balance;
        size_t frame;

        for (uint64_t tag = 0; tag < 3; tag++)
            talk_charge(talk, 10, tag);
        frame = talk_send(talk) / 3;
        for (size_t k = 0; k < 3; k++) {
            struct usher_session_event event;
            usher_charge_reply reply;
            usher_refusal refusal;

            talk_read(talk, talk->answer + order[i][k] * frame, frame);
            event = usher_session_next(&talk->session);
            assert_int_equal(event.kind, USHER_SESSION_EVENT_REPLY);
            assert_int_equal(event.tag, order[i][k]);
            assert_true(usher_session_read(&event, &reply, &refusal));
            assert_int_equal(reply.balance, before + 10 * ((int64_t)order[i][k] + 1));
        }
    }
    talk_end(talk);
}

/* F4: no more requests are put on the wire than there are slots; the reply of a forgotten one is dropped in silence. */
static void
requests_in_flight_are_bounded_and_can_be_forgotten(void **state)
{
    struct talk *talk = talk_begin();
    size_t size;

    (void)state;
    talk_open(talk, NULL);
    assert_int_equal(talk_ping(talk, 0), USHER_SESSION_NOT_READY);
    talk_shake_hands(talk);
    for (uint64_t tag = 0; tag < SLOTS; tag++)
        assert_int_equal(talk_ping(talk, tag), USHER_SESSION_ACCEPTED);
    assert_int_equal(talk_ping(talk, 9), USHER_SESSION_CROWDED);
    usher_session_forget(&talk->session, 0);
    usher_session_forget(&talk->session, 2);
    size = talk_send(talk);
    talk_read(talk, talk->answer, size);
    assert_int_equal(usher_session_next(&talk->session).tag, 1);
    assert_int_equal(usher_session_next(&talk->session).tag, 3);
    assert_int_equal(usher_session_next(&talk->session).kind, USHER_SESSION_EVENT_NONE);
    assert_int_equal(talk->session.in_flight, 0);
    talk_end(talk);
}

/* F4: what is taken back before a byte of it was sent never reaches the server, and what was put behind it does; what
 * has gone out in part goes out whole. */
static void
a_request_is_taken_back_as_long_as_no_byte_of_it_was_sent(void **state)
{
    struct talk *talk = talk_begin();
    struct usher_session_event event;
    size_t size;

    (void)state;
    for (uint64_t taken = 0; taken < 3; taken++) {
        talk_shake_hands(talk);
        for (uint64_t tag = 0; tag < 3; tag++)
            talk_charge(talk, 10 + (int64_t)tag, tag);
        talk_send_part(talk, 5); /* of the first */
        assert_int_equal(usher_session_withdraw(&talk->session, taken), taken > 0);
        assert_int_equal(talk->session.in_flight, taken > 0 ? 2 : 3);
        if (taken > 0)
            assert_false(usher_session_withdraw(&talk->session, taken)); /* once is enough */
        size = talk_send(talk);
        talk_read(talk, talk->answer, size);
        for (uint64_t tag = 0; tag < 3; tag++) {
            if (tag == taken && taken > 0)
                continue;
            event = usher_session_next(&talk->session);
            assert_int_equal(event.kind, USHER_SESSION_EVENT_REPLY);
            assert_int_equal(event.tag, tag);
        }
        assert_int_equal(usher_session_next(&talk->session).kind, USHER_SESSION_EVENT_NONE);
        assert_int_equal(talk->session.in_flight, 0);
    }
    talk_end(talk);
}

/* F2, Q12: a server that does not prove its key, or has another one than the pin, gets no proof from us. */
static void
a_server_without_the_right_key_is_not_trusted(void **state)
{
    struct talk *talk = talk_begin();
    struct usher_session_event event;
    size_t size, unsent;

    (void)state;
    assert_true(fake_script_add(&talk->fake->script, "hello: forge", NULL, 0));
    talk_open(talk, NULL);
    size = talk_send(talk);
    event = talk_read_split(talk, size, size);
    assert_int_equal(event.kind, USHER_SESSION_EVENT_UNTRUSTED);
    usher_session_output(&talk->session, &unsent);
    assert_int_equal(unsent, 0);

    fake_script_clear(&talk->fake->script);
    talk->pin = talk->fake->server_key;
    talk_open(talk, &talk->pin);
    size = talk_send(talk);
    assert_int_equal(talk_read_split(talk, size, size).kind, USHER_SESSION_EVENT_NONE);
    talk->pin.bytes[31] ^= 1;
    talk_open(talk, &talk->pin);
    size = talk_send(talk);
    assert_int_equal(talk_read_split(talk, size, size).kind, USHER_SESSION_EVENT_UNTRUSTED);
    talk_end(talk);
}

/* F1: any flipped byte of the handshake's answers ends the session; none is taken for a welcome. */
static void
a_flipped_byte_of_the_handshake_ends_the_session(void **state)
{
    struct talk *talk = talk_begin();
    size_t size = 1;

    (void)state;
    for (size_t at = 0; at < size; at++) {
        struct usher_session_event event;

        talk_open(talk, NULL);
        size = talk_send(talk);
        talk->answer[at] ^= 0x40;
        talk_read(talk, talk->answer, size);
        event = usher_session_next(&talk->session);
        /* A changed length makes it wait for more; everything else is broken at once. */
        if (at < 4)
            assert_true(event.kind == USHER_SESSION_EVENT_NONE || event.kind == USHER_SESSION_EVENT_BROKEN);
        else
            assert_int_equal(event.kind, USHER_SESSION_EVENT_BROKEN);
        assert_int_not_equal(talk->session.phase, USHER_SESSION_READY);
        assert_int_not_equal(talk->session.phase, USHER_SESSION_PROOF);
    }
    talk_end(talk);
}

/* F1: answers to what was not asked, and requests from a server, are not believed. */
static void
frames_that_were_not_asked_for_end_the_session(void **state)
{
    struct talk *talk = talk_begin();
    usher_frame frame = {.flags = USHER_FLAG_REPLY, .opcode = USHER_OPCODE_PING, .request_no = 77};
    const usher_ping_reply body = {.echo = 1};
    uint8_t bytes[64];
    size_t size;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        talk_shake_hands(talk);
        frame.flags = i == 0 ? USHER_FLAG_REPLY : i == 1 ? 0 : USHER_FLAG_PUSH;
        size = usher_encode(usher_message_of(USHER_OPCODE_PING)->reply, &body, bytes + USHER_HEADER_SIZE, 32);
        size = usher_frame_finish(bytes, size, &frame);
        talk_read(talk, bytes, size);
        assert_int_equal(usher_session_next(&talk->session).kind,
                         i == 2 ? USHER_SESSION_EVENT_PUSH : USHER_SESSION_EVENT_BROKEN);
    }
    talk_end(talk);
}

/* F4: the server's last word before it closes the connection is handed on, whatever request it names. */
static void
a_dismissal_ends_the_session_and_says_why(void **state)
{
    struct talk *talk = talk_begin();
    usher_frame frame = {.flags = USHER_FLAG_REPLY, .aux = USHER_FRAME_CHECK};
    const usher_refusal body = {.detail = 3};
    struct usher_session_event event;
    usher_refusal refusal;
    uint8_t bytes[128];
    size_t size;

    (void)state;
    talk_shake_hands(talk);
    size = usher_encode(usher_refusal_layout(), &body, bytes + USHER_HEADER_SIZE, 96);
    talk_read(talk, bytes, usher_frame_finish(bytes, size, &frame));
    event = usher_session_next(&talk->session);
    assert_int_equal(event.kind, USHER_SESSION_EVENT_REFUSED);
    assert_int_equal(event.result, USHER_FRAME_CHECK);
    assert_true(usher_session_read(&event, NULL, &refusal));
    assert_int_equal(refusal.detail, 3);
    assert_int_equal(talk->session.phase, USHER_SESSION_OVER);
    talk_end(talk);
}

/* X7: after the push of GOING_AWAY the replies that are due are taken, and nothing more is asked; a push that nobody
 * knows changes nothing. Wherever the bytes are split. */
static void
a_push_of_going_away_ends_the_asking_and_not_the_answers(void **state)
{
    static const char *const faults[] = {"any*1: push unknown", "any*1: push going_away"};
    struct talk *talk = talk_begin();
    size_t size = 1;

    (void)state;
    for (unsigned i = 0; i < 2; i++)
        for (size_t split = 0; split <= size; split++) {
            struct usher_session_event event;
            unsigned pushes = 0, replies = 0;

            talk_shake_hands(talk);
            fake_script_clear(&talk->fake->script);
            assert_true(fake_script_add(&talk->fake->script, faults[i], NULL, 0));
            for (uint64_t tag = 0; tag < 2; tag++)
                assert_int_equal(talk_ping(talk, tag), USHER_SESSION_ACCEPTED);
            size = talk_send(talk);
            for (unsigned part = 0; part < 2; part++) {
                talk_read(talk, talk->answer + (part == 0 ? 0 : split), part == 0 ? split : size - split);
                while ((event = usher_session_next(&talk->session)).kind != USHER_SESSION_EVENT_NONE) {
                    pushes += event.kind == USHER_SESSION_EVENT_PUSH;
                    replies += event.kind == USHER_SESSION_EVENT_REPLY;
                }
            }
            assert_int_equal(pushes, 1);
            assert_int_equal(replies, 2);
            assert_int_equal(talk->session.in_flight, 0);
            assert_int_equal(talk->session.going_away, i == 1);
            assert_int_equal(talk_ping(talk, 9),
                             i == 1 ? USHER_SESSION_NOT_READY : USHER_SESSION_ACCEPTED);
        }
    talk_end(talk);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_handshake_is_read_at_every_split_of_its_bytes),
        cmocka_unit_test(replies_are_read_at_every_split_of_their_bytes),
        cmocka_unit_test(a_reply_finds_its_request_in_any_order),
        cmocka_unit_test(requests_in_flight_are_bounded_and_can_be_forgotten),
        cmocka_unit_test(a_request_is_taken_back_as_long_as_no_byte_of_it_was_sent),
        cmocka_unit_test(a_server_without_the_right_key_is_not_trusted),
        cmocka_unit_test(a_flipped_byte_of_the_handshake_ends_the_session),
        cmocka_unit_test(frames_that_were_not_asked_for_end_the_session),
        cmocka_unit_test(a_dismissal_ends_the_session_and_says_why),
        cmocka_unit_test(a_push_of_going_away_ends_the_asking_and_not_the_answers),
    };

    return usher_test_main(argc, argv, tests);
}
