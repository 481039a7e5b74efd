/* session.c: the handshake, and which reply belongs to which request. session.h has the picture.
 *
 * Request numbers. The hello has number 1, the proof 2. After that a number is turn * slot_count + slot, so that its
 * slot is found without a search, and a late reply to an earlier owner of the slot is told from one to the present. */
#include "client-sdk/src/session.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "protocol/token.h"

enum { SESSION_NO_HELLO = 1, SESSION_NO_PROOF = 2 };

/* --- output ------------------------------------------------------------------------------------------- */
/* Where the next frame goes. What has been sent is only moved over when a frame might not fit behind it. */
static uint8_t *
output_room(struct usher_session *session, size_t *room)
{
    uint8_t *output = session->setup.output;

    if (session->output_begin > 0 && session->setup.output_size - session->output_end < USHER_FRAME_MAX) {
        memmove(output, output + session->output_begin, session->output_end - session->output_begin);
        session->output_end -= session->output_begin;
        session->output_begin = 0;
    }
    *room = session->setup.output_size - session->output_end;
    return output + session->output_end;
}

/* Put one frame of the handshake into the output; false when there is no room for it. */
static bool
output_message(struct usher_session *session, uint16_t opcode, const void *body, uint32_t request_no)
{
    usher_frame frame = {.opcode = opcode, .request_no = request_no};
    size_t room;
    uint8_t *out = output_room(session, &room);
    size_t size;

    if (room < USHER_HEADER_SIZE)
        return false;
    size = usher_encode(usher_message_of(opcode)->request, body, out + USHER_HEADER_SIZE, room - USHER_HEADER_SIZE);
    if (size == SIZE_MAX)
        return false;
    session->output_end += usher_frame_finish(out, size, &frame);
    return true;
}

/* Where the next byte that is put will stand in the stream. */
static uint64_t
output_at(const struct usher_session *session)
{
    return session->sent + (session->output_end - session->output_begin);
}

const uint8_t *
usher_session_output(const struct usher_session *session, size_t *size)
{
    *size = session->phase == USHER_SESSION_OVER ? 0 : session->output_end - session->output_begin;
    return session->setup.output + session->output_begin;
}

void
usher_session_sent(struct usher_session *session, size_t size)
{
    assert(size <= session->output_end - session->output_begin);
    session->sent += size;
    session->output_begin += size;
    if (session->output_begin == session->output_end)
        session->output_begin = session->output_end = 0;
}

bool
usher_session_all_sent(const struct usher_session *session)
{
    return session->output_begin == session->output_end;
}

/* --- input -------------------------------------------------------------------------------------------- */
/* Let go of the frame that the last event pointed into. */
static void
input_release(struct usher_session *session)
{
    session->input_begin += session->consumed;
    session->consumed = 0;
    if (session->input_begin == session->input_end)
        session->input_begin = session->input_end = 0;
}

uint8_t *
usher_session_room(struct usher_session *session, size_t *room)
{
    uint8_t *input = session->setup.input;

    input_release(session);
    if (session->input_begin > 0) {
        memmove(input, input + session->input_begin, session->input_end - session->input_begin);
        session->input_end -= session->input_begin;
        session->input_begin = 0;
    }
    *room = session->setup.input_size - session->input_end;
    return input + session->input_end;
}

void
usher_session_filled(struct usher_session *session, size_t size)
{
    assert(size <= session->setup.input_size - session->input_end);
    session->input_end += size;
}

/* --- the handshake ------------------------------------------------------------------------------------ */
void
usher_session_open(struct usher_session *session, const struct usher_session_setup *setup)
{
    bool fits;

    assert(setup->input_size >= USHER_FRAME_MAX && setup->output_size >= USHER_FRAME_MAX);
    assert(setup->slot_count > 0 && (setup->slot_count & (setup->slot_count - 1)) == 0);
    memset(session, 0, sizeof *session);
    session->setup = *setup;
    session->phase = USHER_SESSION_HELLO;
    usher_key_public(setup->secret, &session->hello.client_key);
    session->hello.client_nonce = setup->nonce;
    session->hello.frame_max = USHER_FRAME_MAX;
    fits = output_message(session, USHER_OPCODE_HELLO, &session->hello, SESSION_NO_HELLO);
    assert(fits);
    (void)fits;
}

static struct usher_session_event
session_end(struct usher_session *session, enum usher_session_event_kind kind, const char *why)
{
    session->phase = USHER_SESSION_OVER;
    return (struct usher_session_event){.kind = kind, .why = why};
}

/* Put the proof of the client's key, or the enrolment that carries it, into the output. */
static bool
send_proof(struct usher_session *session)
{
    const struct usher_session_setup *setup = &session->setup;
    bool enrols = setup->code != NULL;
    usher_signature signature;
    uint8_t digest[32];

    usher_handshake_digest(enrols ? USHER_HANDSHAKE_ENROL : USHER_HANDSHAKE_CLIENT, &session->hello,
                           &session->challenge, digest);
    crypto_sign_detached(signature.bytes, NULL, digest, sizeof digest, setup->secret->bytes);
    if (enrols) {
        usher_enrol_request request = {.request_id = setup->enrol_id, .code = *setup->code, .signature = signature};
        request.client_key = session->hello.client_key;
        return output_message(session, USHER_OPCODE_ENROL, &request, SESSION_NO_PROOF);
    }
    return output_message(session, USHER_OPCODE_AUTHENTICATE, &(usher_authenticate_request){.signature = signature},
                          SESSION_NO_PROOF);
}

static struct usher_session_event
take_challenge(struct usher_session *session, const usher_frame *frame)
{
    usher_hello_reply *challenge = &session->challenge;
    uint8_t digest[32];
    unsigned field_no;

    if (usher_decode(usher_message_of(USHER_OPCODE_HELLO)->reply, frame->body, frame->body_size, challenge,
                     &field_no) != USHER_OK)
        return session_end(session, USHER_SESSION_EVENT_BROKEN, "its answer to the hello is not one");
    if (session->setup.pin != NULL &&
        sodium_memcmp(session->setup.pin->bytes, challenge->server_key.bytes, sizeof challenge->server_key.bytes) != 0)
        return session_end(session, USHER_SESSION_EVENT_UNTRUSTED, "its key is not the one that is expected");
    usher_handshake_digest(USHER_HANDSHAKE_SERVER, &session->hello, challenge, digest);
    if (crypto_sign_verify_detached(challenge->signature.bytes, digest, sizeof digest, challenge->server_key.bytes) !=
        0)
        return session_end(session, USHER_SESSION_EVENT_UNTRUSTED, "it did not prove its key");

    session->in_flight_max = challenge->in_flight_max;
    if (session->in_flight_max == 0 || session->in_flight_max > session->setup.slot_count)
        session->in_flight_max = session->setup.slot_count;
    session->phase = USHER_SESSION_PROOF;
    if (!send_proof(session))
        return session_end(session, USHER_SESSION_EVENT_BROKEN, "the proof does not fit into the output");
    return (struct usher_session_event){.kind = USHER_SESSION_EVENT_NONE};
}

static struct usher_session_event
take_welcome(struct usher_session *session, const usher_frame *frame)
{
    usher_authenticate_reply *self = &session->self;
    unsigned field_no;

    if (session->setup.code != NULL) {
        usher_enrol_reply enrolled;
        if (usher_decode(usher_message_of(USHER_OPCODE_ENROL)->reply, frame->body, frame->body_size, &enrolled,
                         &field_no) != USHER_OK)
            return session_end(session, USHER_SESSION_EVENT_BROKEN, "its answer to the enrolment is not one");
        self->client_id = enrolled.client_id;
        self->role = enrolled.role;
        memcpy(self->name, enrolled.name, sizeof self->name);
    } else if (usher_decode(usher_message_of(USHER_OPCODE_AUTHENTICATE)->reply, frame->body, frame->body_size, self,
                            &field_no) != USHER_OK) {
        return session_end(session, USHER_SESSION_EVENT_BROKEN, "its answer to the proof is not one");
    }
    session->phase = USHER_SESSION_READY;
    return (struct usher_session_event){.kind = USHER_SESSION_EVENT_READY, .stamp_ms = frame->stamp_ms};
}

/* A reply that is not OK and belongs to the handshake, or to the connection as a whole. */
static struct usher_session_event
take_dismissal(struct usher_session *session, const usher_frame *frame)
{
    struct usher_session_event event = session_end(session, USHER_SESSION_EVENT_REFUSED, usher_result_text(frame->aux));

    event.opcode = frame->opcode;
    event.result = (usher_result)frame->aux;
    event.stamp_ms = frame->stamp_ms;
    event.body = frame->body;
    event.body_size = frame->body_size;
    return event;
}

static struct usher_session_event
take_handshake(struct usher_session *session, const usher_frame *frame)
{
    bool in_hello = session->phase == USHER_SESSION_HELLO;
    uint16_t proof = session->setup.code != NULL ? USHER_OPCODE_ENROL : USHER_OPCODE_AUTHENTICATE;

    if ((frame->flags & USHER_FLAG_REPLY) == 0)
        return session_end(session, USHER_SESSION_EVENT_BROKEN, "it does not answer the hello");
    if (frame->aux != USHER_OK)
        return take_dismissal(session, frame);
    if (in_hello && frame->opcode == USHER_OPCODE_HELLO && frame->request_no == SESSION_NO_HELLO)
        return take_challenge(session, frame);
    if (!in_hello && frame->opcode == proof && frame->request_no == SESSION_NO_PROOF)
        return take_welcome(session, frame);
    return session_end(session, USHER_SESSION_EVENT_BROKEN, "it answers what was not asked");
}

/* --- requests and replies ----------------------------------------------------------------------------- */
enum usher_session_admission
usher_session_request(struct usher_session *session, uint16_t opcode, const uint8_t *body, size_t body_size,
                      uint32_t budget_ms, uint64_t tag, uint32_t *request_no)
{
    const uint32_t count = session->setup.slot_count;
    usher_frame frame = {.opcode = opcode, .aux = budget_ms};
    struct usher_session_slot *slot;
    uint32_t index = session->next_slot;
    uint8_t *out;
    size_t room;

    if (session->phase != USHER_SESSION_READY || session->going_away)
        return USHER_SESSION_NOT_READY;
    if (session->in_flight >= session->in_flight_max)
        return USHER_SESSION_CROWDED;
    out = output_room(session, &room);
    if (room < USHER_HEADER_SIZE + body_size)
        return USHER_SESSION_CROWDED;
    while (index < session->slot_used && session->setup.slots[index].request_no != 0)
        index = (index + 1) % count; /* finds one: fewer are in flight than there are */
    if (index == session->slot_used)
        session->slot_used++;
    session->turn = session->turn >= UINT32_MAX / count - 1 ? 1 : session->turn + 1;
    frame.request_no = session->turn * count + index;
    slot = &session->setup.slots[index];
    *slot = (struct usher_session_slot){.tag = tag, .request_no = frame.request_no, .opcode = opcode};
    slot->begin_at = output_at(session);
    memcpy(out + USHER_HEADER_SIZE, body, body_size);
    session->output_end += usher_frame_finish(out, body_size, &frame);
    slot->end_at = output_at(session);
    session->next_slot = (index + 1) % count;
    session->in_flight++;
    if (request_no != NULL)
        *request_no = frame.request_no;
    return USHER_SESSION_ACCEPTED;
}

bool
usher_session_is_sent(const struct usher_session *session, uint32_t request_no)
{
    const struct usher_session_slot *slot = &session->setup.slots[request_no % session->setup.slot_count];

    /* Where another one stands, or none, its reply was taken. */
    return slot->request_no != request_no || slot->end_at <= session->sent;
}

/* Take the frame of a request, of which no byte was sent, out of the output. */
static void
slot_withdraw(struct usher_session *session, struct usher_session_slot *slot)
{
    const uint64_t begin_at = slot->begin_at, size = slot->end_at - slot->begin_at;
    uint8_t *at = session->setup.output + session->output_begin + (begin_at - session->sent);

    memmove(at, at + size, (size_t)(output_at(session) - slot->end_at));
    session->output_end -= size;
    slot->request_no = 0;
    session->in_flight--;
    for (uint32_t i = 0; i < session->slot_used; i++) {
        struct usher_session_slot *later = &session->setup.slots[i];
        if (later->request_no != 0 && later->begin_at > begin_at) {
            later->begin_at -= size;
            later->end_at -= size;
        }
    }
}

static struct usher_session_slot *
slot_of(struct usher_session *session, uint64_t tag)
{
    for (uint32_t i = 0; i < session->slot_used; i++) {
        struct usher_session_slot *slot = &session->setup.slots[i];
        if (slot->request_no != 0 && !slot->forgotten && slot->tag == tag)
            return slot;
    }
    return NULL;
}

bool
usher_session_withdraw(struct usher_session *session, uint64_t tag)
{
    struct usher_session_slot *slot = slot_of(session, tag);

    if (slot == NULL || slot->begin_at < session->sent)
        return false;
    slot_withdraw(session, slot);
    return true;
}

void
usher_session_forget(struct usher_session *session, uint64_t tag)
{
    struct usher_session_slot *slot = slot_of(session, tag);

    if (slot != NULL)
        slot->forgotten = true;
}

static struct usher_session_event
take_reply(struct usher_session *session, const usher_frame *frame)
{
    const uint32_t index = frame->request_no % session->setup.slot_count;
    struct usher_session_slot *slot = &session->setup.slots[index];
    struct usher_session_event event = {.kind = USHER_SESSION_EVENT_REPLY};

    if (index >= session->slot_used || slot->request_no == 0 || slot->request_no != frame->request_no ||
        slot->opcode != frame->opcode) {
        /* Nothing that was asked. The last word before the server closes the connection looks like this. */
        if (frame->aux != USHER_OK)
            return take_dismissal(session, frame);
        return session_end(session, USHER_SESSION_EVENT_BROKEN, "it answers what was not asked");
    }
    slot->request_no = 0;
    session->next_slot = index; /* the next request finds it, still in the cache */
    session->in_flight--;
    if (slot->forgotten)
        return (struct usher_session_event){.kind = USHER_SESSION_EVENT_NONE};
    event.tag = slot->tag;
    event.opcode = frame->opcode;
    event.result = (usher_result)frame->aux;
    event.replayed = (frame->flags & USHER_FLAG_REPLAYED) != 0;
    event.stamp_ms = frame->stamp_ms;
    event.body = frame->body;
    event.body_size = frame->body_size;
    return event;
}

/* Whatever the push's body says: the server that sent it will not answer for long. */
static struct usher_session_event
take_push(struct usher_session *session, const usher_frame *frame)
{
    if (frame->opcode == USHER_PUSH_GOING_AWAY)
        session->going_away = true;
    return (struct usher_session_event){.kind = USHER_SESSION_EVENT_PUSH,
                                        .opcode = frame->opcode,
                                        .stamp_ms = frame->stamp_ms,
                                        .body = frame->body,
                                        .body_size = frame->body_size};
}

static struct usher_session_event
take_frame(struct usher_session *session, const usher_frame *frame)
{
    if (session->phase != USHER_SESSION_READY)
        return take_handshake(session, frame);
    if ((frame->flags & USHER_FLAG_PUSH) != 0)
        return take_push(session, frame);
    if ((frame->flags & USHER_FLAG_REPLY) == 0)
        return session_end(session, USHER_SESSION_EVENT_BROKEN, "it sends requests");
    return take_reply(session, frame);
}

struct usher_session_event
usher_session_next(struct usher_session *session)
{
    struct usher_session_event event = {.kind = USHER_SESSION_EVENT_NONE};

    while (session->phase != USHER_SESSION_OVER) {
        usher_frame frame;
        usher_result why;
        usher_frame_state state;

        input_release(session);
        state = usher_frame_read(session->setup.input + session->input_begin, session->input_end - session->input_begin,
                                 USHER_FRAME_MAX, &frame, &why);
        if (state == USHER_FRAME_PARTIAL)
            return event;
        if (state == USHER_FRAME_BROKEN)
            return session_end(session, USHER_SESSION_EVENT_BROKEN, usher_result_text(why));
        session->consumed = frame.size;
        event = take_frame(session, &frame);
        if (event.kind != USHER_SESSION_EVENT_NONE)
            return event;
    }
    return event;
}

bool
usher_session_read(const struct usher_session_event *event, void *reply, usher_refusal *refusal)
{
    const usher_message *message = usher_message_of(event->opcode);
    unsigned field_no;

    if (event->result != USHER_OK) {
        memset(refusal, 0, sizeof *refusal);
        return usher_decode(usher_refusal_layout(), event->body, event->body_size, refusal, &field_no) == USHER_OK;
    }
    return message != NULL && usher_decode(message->reply, event->body, event->body_size, reply, &field_no) == USHER_OK;
}
