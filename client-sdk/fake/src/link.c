/* link.c: one connection: the handshake, the faults, and the output with its delays.
 *
 *     bytes in ──> frame ──> fault that is due ──> handshake or ask.c ──> chunks ──> bytes out
 *                                  │                                     ▲
 *                                  └── dropped, late, cut, refused       └── delayed, doubled, trickled */
#include "client-sdk/fake/src/link.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static const struct fake_fault no_fault = {.actions = 0};

/* --- output ------------------------------------------------------------------------------------------------ */
static struct fake_chunk *
new_chunk(struct fake_link *link, const uint8_t *bytes, size_t size, uint64_t due_ms)
{
    struct fake_chunk *chunk = calloc(1, sizeof *chunk + size);
    struct fake_chunk **end = &link->chunks;

    if (chunk == NULL)
        abort();
    if (size > 0)
        memcpy(chunk->bytes, bytes, size);
    chunk->size = size;
    chunk->due_ms = due_ms;
    chunk->no = ++link->chunk_count;
    while (*end != NULL)
        end = &(*end)->next;
    return *end = chunk;
}

static void
put_garbage(struct fake_link *link, size_t size, uint64_t now_ms)
{
    static const char text[] = "HTTP/1.1 400 Bad Request\r\n"; /* as a length it is beyond every limit */
    uint8_t bytes[4096];

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)text[i % (sizeof text - 1)];
    new_chunk(link, bytes, size, now_ms);
}

/* The connection ends, behind what was put before or in place of it. */
static void
put_end(struct fake_link *link, bool resets, uint64_t due_ms)
{
    struct fake_chunk *chunk = new_chunk(link, NULL, 0, due_ms);

    chunk->ends = true;
    chunk->resets = resets;
}

/* Put a whole frame, shaped by the fault. */
static void
put_frame(struct fake_link *link, uint8_t *frame, size_t size, const struct fake_fault *fault, uint64_t now_ms)
{
    unsigned copies = fake_does(fault, FAKE_DUPLICATE) ? 2 : 1;
    uint64_t due_ms = now_ms + fault->number[FAKE_DELAY] + fault->number[FAKE_REORDER];

    if (fake_does(fault, FAKE_GARBAGE))
        put_garbage(link, fault->number[FAKE_GARBAGE], due_ms);
    if (fake_does(fault, FAKE_VERSION))
        frame[4] = (uint8_t)fault->number[FAKE_VERSION];
    if (fake_does(fault, FAKE_GARBLE))
        frame[size - 1] ^= 0x10;
    if (fault->number[FAKE_CUT] > 0 && fault->number[FAKE_CUT] < size)
        size = fault->number[FAKE_CUT];
    while (copies-- > 0) {
        struct fake_chunk *chunk = new_chunk(link, frame, size, due_ms);
        chunk->waits = fake_does(fault, FAKE_REORDER);
        chunk->trickles = fake_does(fault, FAKE_TRICKLE);
        chunk->trickle_ms = fault->number[FAKE_TRICKLE];
        chunk->ends = copies == 0 && (fake_does(fault, FAKE_CUT) || fake_does(fault, FAKE_RESET));
        chunk->resets = fake_does(fault, FAKE_RESET);
    }
}

/* The chunk that leaves next, or NULL. */
static struct fake_chunk *
next_chunk(const struct fake_link *link, uint64_t now_ms)
{
    if (link->current != NULL)
        return link->current->due_ms <= now_ms ? link->current : NULL;
    for (struct fake_chunk *chunk = link->chunks; chunk != NULL; chunk = chunk->next)
        if (chunk->due_ms <= now_ms || (chunk->waits && link->newest_out > chunk->no))
            return chunk;
    return NULL;
}

static void
drop_chunk(struct fake_link *link, struct fake_chunk *chunk)
{
    struct fake_chunk **at = &link->chunks;

    while (*at != chunk)
        at = &(*at)->next;
    *at = chunk->next;
    link->current = NULL;
    free(chunk);
}

static void
end_link(struct fake_link *link, bool resets)
{
    link->over = true;
    link->reset = resets;
    fake_forget_watches(link);
}

size_t
fake_link_take(struct fake_link *link, uint8_t *out, size_t room, uint64_t now_ms)
{
    size_t taken = 0;
    struct fake_chunk *chunk;

    while (!link->over && taken < room && now_ms >= link->not_before_ms && (chunk = next_chunk(link, now_ms)) != NULL) {
        size_t size = chunk->size - chunk->sent;
        bool trickles = chunk->trickles && size > 0;

        if (size > room - taken)
            size = room - taken;
        if (trickles)
            size = 1;
        if (size > link->end_sent - link->sent)
            size = (size_t)(link->end_sent - link->sent);
        memcpy(out + taken, chunk->bytes + chunk->sent, size);
        taken += size;
        chunk->sent += size;
        link->sent += size;
        link->current = chunk;
        if (trickles)
            chunk->due_ms = now_ms + chunk->trickle_ms;
        if (chunk->sent == chunk->size) {
            if (chunk->ends)
                end_link(link, chunk->resets);
            if (chunk->no > link->newest_out)
                link->newest_out = chunk->no;
            drop_chunk(link, chunk);
        }
        if (!link->over && link->sent == link->end_sent)
            end_link(link, fake_script_ends_by_reset(&link->fake->script, link->rule_sent));
        if (trickles)
            break;
    }
    return taken;
}

uint64_t
fake_link_due(const struct fake_link *link)
{
    uint64_t due_ms = UINT64_MAX;

    if (link->current != NULL)
        return link->current->due_ms;
    for (const struct fake_chunk *chunk = link->chunks; chunk != NULL; chunk = chunk->next) {
        if (chunk->waits && link->newest_out > chunk->no)
            due_ms = 0;
        if (chunk->due_ms < due_ms)
            due_ms = chunk->due_ms;
    }
    return due_ms < link->not_before_ms ? link->not_before_ms : due_ms;
}

/* --- frames out -------------------------------------------------------------------------------------------- */
/* Send a push as it is. */
static void
put_push(struct fake_link *link, uint16_t opcode, const void *body, const struct fake_fault *fault, uint64_t now_ms)
{
    const usher_frame frame = {.flags = USHER_FLAG_PUSH, .opcode = opcode, .stamp_ms = link->fake->now_ms};
    const usher_push *push = usher_push_of(opcode);
    uint8_t *out = link->fake->frame;
    size_t size = 0;

    if (push != NULL)
        size = usher_encode(push->body, body, out + USHER_HEADER_SIZE, USHER_FRAME_MAX - USHER_HEADER_SIZE);
    put_frame(link, out, usher_frame_finish(out, size, &frame), fault, now_ms);
}

void
fake_link_push(struct fake_link *link, uint16_t opcode, const void *body, uint64_t now_ms)
{
    struct fake_fault fault = fake_script_due(&link->fake->script, FAKE_AT_PUSH, opcode, false);

    link->fake->figures.pushes++;
    if (fake_does(&fault, FAKE_DROP))
        return;
    if ((fake_does(&fault, FAKE_CUT) || fake_does(&fault, FAKE_RESET)) && (fault.actions & FAKE_SHAPES) == 0 &&
        fault.number[FAKE_CUT] == 0) {
        put_end(link, fake_does(&fault, FAKE_RESET), now_ms);
        return;
    }
    put_push(link, opcode, body, &fault, now_ms);
}

/* The push that a fault wants beside the answer: nothing but its fixed fields, zero. */
static void
put_scripted_push(struct fake_link *link, const struct fake_fault *fault, uint64_t now_ms)
{
    union {
        max_align_t align;
        uint8_t bytes[FAKE_BODY_ROOM];
        usher_going_away_push going_away;
    } body = {.bytes = {0}};

    if (fault->push == USHER_PUSH_GOING_AWAY) {
        body.going_away.drain_ms = 10000;
        body.going_away.reason = USHER_AWAY_STOP;
    }
    link->fake->figures.pushes++;
    put_push(link, fault->push, &body, &no_fault, now_ms);
}

/* Answer with the body of body_size bytes that stands at out + USHER_HEADER_SIZE. */
static void
answer(struct fake_link *link, const usher_frame *asked, usher_result result, bool replayed, uint8_t *out,
       size_t body_size, const struct fake_fault *fault, uint64_t now_ms)
{
    usher_frame frame = {.flags = (uint8_t)(USHER_FLAG_REPLY | (replayed ? USHER_FLAG_REPLAYED : 0)),
                         .opcode = asked->opcode,
                         .request_no = asked->request_no,
                         .aux = result,
                         .stamp_ms = link->fake->now_ms};

    link->fake->figures.refused += result != USHER_OK;
    if (fake_does(fault, FAKE_RENUMBER))
        frame.request_no += 1000;
    if (fake_does(fault, FAKE_FORGE) && body_size > 0)
        out[USHER_HEADER_SIZE + body_size - 1] ^= 1; /* a signature is the last thing in each of these bodies */
    put_frame(link, out, usher_frame_finish(out, body_size, &frame), fault, now_ms);
}

static void
refuse(struct fake_link *link, const usher_frame *asked, usher_result result, uint64_t retry_after_ms,
       const struct fake_fault *fault, uint64_t now_ms)
{
    const usher_refusal refusal = {.retry_after_ms = retry_after_ms};
    uint8_t *out = link->fake->frame;
    size_t size = usher_encode(usher_refusal_layout(), &refusal, out + USHER_HEADER_SIZE, USHER_FRAME_MAX);

    answer(link, asked, result, false, out, size, fault, now_ms);
}

/* --- the handshake ----------------------------------------------------------------------------------------- */
static usher_result
say_hello(struct fake_link *link, const usher_frame *asked, uint8_t *out, size_t *size)
{
    usher_fake *fake = link->fake;
    usher_hello_reply *challenge = &link->challenge;
    uint8_t digest[32];
    unsigned field_no;
    usher_result result = usher_decode(usher_message_of(USHER_OPCODE_HELLO)->request, asked->body, asked->body_size,
                                       &link->hello, &field_no);

    if (result != USHER_OK)
        return result;
    memset(challenge, 0, sizeof *challenge);
    challenge->server_key = fake->server_key;
    crypto_generichash(challenge->server_nonce.bytes, sizeof challenge->server_nonce.bytes, (const uint8_t *)&link->no,
                       sizeof link->no, link->hello.client_nonce.bytes, sizeof link->hello.client_nonce.bytes);
    challenge->frame_max = USHER_FRAME_MAX;
    challenge->in_flight_max = fake->options.in_flight_max;
    challenge->hello_ms = 1000;
    usher_handshake_digest(USHER_HANDSHAKE_SERVER, &link->hello, challenge, digest);
    crypto_sign_detached(challenge->signature.bytes, NULL, digest, sizeof digest, fake->server_secret);
    link->phase = FAKE_PHASE_PROOF;
    *size = usher_encode(usher_message_of(USHER_OPCODE_HELLO)->reply, challenge, out, USHER_FRAME_MAX);
    return USHER_OK;
}

static usher_result
judge_enrolment(usher_fake *fake, const usher_enrol_request *request)
{
    usher_key hash;

    crypto_generichash(hash.bytes, sizeof hash.bytes, request->code.bytes, sizeof request->code.bytes, NULL, 0);
    for (size_t i = 0; i < fake->enrolments.count; i++) {
        struct fake_enrolment *enrolment = &fake->enrolments.item[i];

        if (memcmp(&enrolment->code_hash, &hash, sizeof hash) != 0)
            continue;
        if (enrolment->used && memcmp(&enrolment->client_key, &request->client_key, sizeof hash) != 0)
            break;
        enrolment->used = true;
        enrolment->client_key = request->client_key;
        return USHER_OK;
    }
    return USHER_CODE_UNKNOWN;
}

static bool
key_is_let_in(const usher_fake *fake, const usher_key *key)
{
    if (fake->any_client || memcmp(&fake->client_key, key, sizeof *key) == 0)
        return true;
    for (size_t i = 0; i < fake->enrolments.count; i++)
        if (fake->enrolments.item[i].used && memcmp(&fake->enrolments.item[i].client_key, key, sizeof *key) == 0)
            return true;
    return false;
}

static usher_result
check_proof(struct fake_link *link, const usher_frame *asked, uint8_t *out, size_t *size)
{
    usher_fake *fake = link->fake;
    const usher_message *message = usher_message_of(asked->opcode);
    bool enrols = asked->opcode == USHER_OPCODE_ENROL;
    union {
        usher_authenticate_request authenticate;
        usher_enrol_request enrol;
    } request;
    usher_authenticate_reply welcome = {.client_id = fake->options.client_id, .role = (uint8_t)fake->options.role};
    usher_enrol_reply enrolled = {.client_id = welcome.client_id, .role = welcome.role};
    const usher_signature *signature;
    uint8_t digest[32];
    unsigned field_no;
    usher_result result = usher_decode(message->request, asked->body, asked->body_size, &request, &field_no);

    if (result != USHER_OK)
        return result;
    signature = enrols ? &request.enrol.signature : &request.authenticate.signature;
    usher_handshake_digest(enrols ? USHER_HANDSHAKE_ENROL : USHER_HANDSHAKE_CLIENT, &link->hello, &link->challenge,
                           digest);
    if (crypto_sign_verify_detached(signature->bytes, digest, sizeof digest, link->hello.client_key.bytes) != 0)
        return USHER_SIGNATURE_WRONG;
    if (enrols)
        result = judge_enrolment(fake, &request.enrol);
    else if (!key_is_let_in(fake, &link->hello.client_key))
        result = USHER_CLIENT_UNKNOWN;
    if (result != USHER_OK)
        return result;
    memcpy(welcome.name, fake->client_name, sizeof welcome.name);
    memcpy(enrolled.name, fake->client_name, sizeof enrolled.name);
    link->role = (usher_role)fake->options.role;
    link->phase = FAKE_PHASE_READY;
    *size = enrols ? usher_encode(message->reply, &enrolled, out, USHER_FRAME_MAX)
                   : usher_encode(message->reply, &welcome, out, USHER_FRAME_MAX);
    return USHER_OK;
}

static bool
is_handshake(uint16_t opcode)
{
    return opcode == USHER_OPCODE_HELLO || opcode == USHER_OPCODE_AUTHENTICATE || opcode == USHER_OPCODE_ENROL;
}

/* A step of the handshake: its answer, sent unless the fault loses it. */
static void
shake_hands(struct fake_link *link, const usher_frame *asked, bool answers, const struct fake_fault *fault,
            uint64_t now_ms)
{
    uint8_t *out = link->fake->frame;
    size_t size = 0;
    usher_result result;

    if (asked->opcode == USHER_OPCODE_HELLO)
        result = link->phase == FAKE_PHASE_HELLO ? say_hello(link, asked, out + USHER_HEADER_SIZE, &size)
                                                 : USHER_HELLO_REPEATED;
    else if (link->phase == FAKE_PHASE_PROOF && is_handshake(asked->opcode))
        result = check_proof(link, asked, out + USHER_HEADER_SIZE, &size);
    else
        result = link->phase == FAKE_PHASE_READY ? USHER_HELLO_REPEATED : USHER_HELLO_MISSING;
    if (!answers)
        return;
    if (result == USHER_OK) {
        answer(link, asked, result, false, out, size, fault, now_ms);
        return;
    }
    refuse(link, asked, result, 0, fault, now_ms);
    put_end(link, false, now_ms);
}

/* --- one request ------------------------------------------------------------------------------------------- */
static void
keep_for_later(struct fake_link *link, const usher_frame *asked, const uint8_t *bytes, const struct fake_fault *fault,
               uint64_t now_ms)
{
    struct fake_late *late = FAKE_ADD(&link->fake->late);

    late->due_ms = now_ms + fault->number[FAKE_LATE];
    late->link_no = link->no;
    late->role = link->role;
    late->client_key = link->hello.client_key;
    late->fault = *fault;
    late->fault.actions &= ~FAKE_BIT(FAKE_LATE);
    late->size = asked->size;
    late->bytes = malloc(asked->size);
    if (late->bytes == NULL)
        abort();
    memcpy(late->bytes, bytes, asked->size);
}

/* Hand the request to the house; link may be NULL when it came late. */
static void
carry_out(usher_fake *fake, struct fake_link *link, usher_role role, const usher_key *client_key,
          const usher_frame *asked, bool answers, const struct fake_fault *fault, uint64_t now_ms)
{
    struct fake_ask ask = {.role = role, .link = link};
    uint8_t out[USHER_HEADER_SIZE + USHER_FRAME_MAX]; /* the pushes beside it use fake->frame */
    size_t size;
    bool replayed;
    usher_result result;

    memcpy(ask.client.bytes, client_key->bytes, sizeof ask.client.bytes);
    result = fake_carry_out(fake, &ask, asked, out + USHER_HEADER_SIZE, &size, &replayed);
    if (link == NULL)
        return;
    if (fake_does(fault, FAKE_PUSH) && !fault->push_behind)
        put_scripted_push(link, fault, now_ms);
    if (answers)
        answer(link, asked, result, replayed, out, size, fault, now_ms);
    if (fake_does(fault, FAKE_PUSH) && fault->push_behind)
        put_scripted_push(link, fault, now_ms);
}

/* What the fault leaves of the request. */
static void
serve(struct fake_link *link, const usher_frame *asked, const uint8_t *bytes, const struct fake_fault *fault,
      uint64_t now_ms)
{
    bool ends = fake_does(fault, FAKE_CUT) || fake_does(fault, FAKE_RESET);
    bool shapes = (fault->actions & (FAKE_SHAPES | FAKE_BIT(FAKE_REPLY))) != 0 || fault->number[FAKE_CUT] > 0;
    bool answers = !fake_does(fault, FAKE_LOSE_REPLY) && (!ends || shapes);
    bool applies = !ends || shapes || fake_does(fault, FAKE_APPLY) || fake_does(fault, FAKE_LOSE_REPLY);

    if (fake_does(fault, FAKE_DROP)) {
        if (fake_does(fault, FAKE_PUSH))
            put_scripted_push(link, fault, now_ms);
        return;
    }
    if (fake_does(fault, FAKE_REFUSE)) {
        if (fake_does(fault, FAKE_PUSH))
            put_scripted_push(link, fault, now_ms);
        refuse(link, asked, (usher_result)fault->result, fault->number[FAKE_REFUSE], fault, now_ms);
        if (link->phase != FAKE_PHASE_READY && !ends)
            put_end(link, false, now_ms);
        return;
    }
    if (fake_does(fault, FAKE_LATE))
        keep_for_later(link, asked, bytes, fault, now_ms);
    else if (applies && (link->phase != FAKE_PHASE_READY || is_handshake(asked->opcode)) &&
             asked->opcode != USHER_OPCODE_PING)
        shake_hands(link, asked, answers, fault, now_ms);
    else if (applies)
        carry_out(link->fake, link, link->role, &link->hello.client_key, asked, answers, fault, now_ms);
    if (ends && (!answers || fake_does(fault, FAKE_LATE)))
        put_end(link, fake_does(fault, FAKE_RESET), now_ms);
}

void
fake_serve_late(usher_fake *fake, uint64_t now_ms)
{
    for (size_t i = 0; i < fake->late.count;) {
        struct fake_late late = fake->late.item[i];
        struct fake_link *link = fake->links;
        usher_frame asked;
        usher_result why;

        if (late.due_ms > now_ms) {
            i++;
            continue;
        }
        fake->late.count--;
        memmove(&fake->late.item[i], &fake->late.item[i + 1], (fake->late.count - i) * sizeof late);
        while (link != NULL && (link->no != late.link_no || link->over))
            link = link->next;
        if (usher_frame_read(late.bytes, late.size, USHER_FRAME_MAX, &asked, &why) != USHER_FRAME_READY)
            abort(); /* it was read before */
        if (link != NULL && !fake_does(&late.fault, FAKE_CUT) && !fake_does(&late.fault, FAKE_RESET))
            serve(link, &asked, late.bytes, &late.fault, now_ms);
        else
            carry_out(fake, NULL, late.role, &late.client_key, &asked, false, &late.fault, now_ms);
        free(late.bytes);
        fake_tell(fake, now_ms);
    }
}

uint64_t
fake_late_due(const usher_fake *fake)
{
    uint64_t due_ms = UINT64_MAX;

    for (size_t i = 0; i < fake->late.count; i++)
        if (fake->late.item[i].due_ms < due_ms)
            due_ms = fake->late.item[i].due_ms;
    return due_ms;
}

/* --- bytes in ---------------------------------------------------------------------------------------------- */
static void
count_request(struct fake_link *link, const usher_frame *asked, bool in_handshake)
{
    usher_fake *fake = link->fake;
    size_t count;
    const usher_message *messages = usher_messages(&count);

    for (size_t i = 0; i < count; i++)
        fake->asked[i] += messages[i].opcode == asked->opcode;
    if (in_handshake)
        return;
    fake->figures.requests++;
    fake->figures.last_budget_ms = asked->aux;
}

static void
take_frame(struct fake_link *link, const usher_frame *asked, const uint8_t *bytes, uint64_t now_ms)
{
    bool in_handshake = link->phase != FAKE_PHASE_READY || is_handshake(asked->opcode);
    struct fake_fault fault;

    count_request(link, asked, in_handshake);
    fault = fake_script_due(&link->fake->script, FAKE_AT_REQUEST, asked->opcode, in_handshake);
    serve(link, asked, bytes, &fault, now_ms);
    fake_tell(link->fake, now_ms);
}

static void
take_frames(struct fake_link *link, uint64_t now_ms)
{
    while (!link->deaf && !link->over) {
        usher_frame asked = {.size = 0};
        usher_result why;
        usher_frame_state state = usher_frame_read(link->input, link->input_size, USHER_FRAME_MAX, &asked, &why);

        if (state == USHER_FRAME_PARTIAL)
            return;
        if (state == USHER_FRAME_BROKEN) {
            refuse(link, &asked, why, 0, &no_fault, now_ms);
            put_end(link, false, now_ms);
            link->deaf = true;
            return;
        }
        take_frame(link, &asked, link->input, now_ms);
        for (const struct fake_chunk *chunk = link->chunks; chunk != NULL; chunk = chunk->next)
            link->deaf = link->deaf || chunk->ends; /* what comes behind a cut does not arrive any more */
        link->input_size -= asked.size;
        memmove(link->input, link->input + asked.size, link->input_size);
    }
}

void
fake_link_feed(struct fake_link *link, const uint8_t *bytes, size_t size, uint64_t now_ms)
{
    if (link->over)
        return;
    if (size > link->end_received - link->received)
        size = (size_t)(link->end_received - link->received);
    link->received += size;
    while (size > 0 && !link->deaf && !link->over) {
        size_t piece = sizeof link->input - link->input_size;

        if (piece > size)
            piece = size;
        memcpy(link->input + link->input_size, bytes, piece);
        link->input_size += piece;
        bytes += piece;
        size -= piece;
        take_frames(link, now_ms);
    }
    if (!link->over && link->received == link->end_received)
        end_link(link, fake_script_ends_by_reset(&link->fake->script, link->rule_received));
}

/* --- opening and closing ----------------------------------------------------------------------------------- */
struct fake_link *
fake_link_open(usher_fake *fake, uint64_t now_ms)
{
    struct fake_link *link = calloc(1, sizeof *link);
    struct fake_fault fault;

    if (link == NULL)
        abort();
    link->fake = fake;
    link->no = ++fake->link_count;
    link->next = fake->links;
    link->end_received = link->end_sent = UINT64_MAX;
    fake->links = link;
    fake->figures.connections++;
    fake_script_arm(&fake->script, FAKE_AT_SENT, &link->end_sent, &link->rule_sent);
    fake_script_arm(&fake->script, FAKE_AT_READ, &link->end_received, &link->rule_received);
    fault = fake_script_due(&fake->script, FAKE_AT_CONNECT, 0, true);
    link->not_before_ms = now_ms + fault.number[FAKE_DELAY];
    link->deaf = (fault.actions & (FAKE_BIT(FAKE_DROP) | FAKE_BIT(FAKE_CUT) | FAKE_BIT(FAKE_RESET))) != 0;
    if (fake_does(&fault, FAKE_GARBAGE))
        put_garbage(link, fault.number[FAKE_GARBAGE], now_ms);
    if (fake_does(&fault, FAKE_CUT) || fake_does(&fault, FAKE_RESET))
        put_end(link, fake_does(&fault, FAKE_RESET), now_ms);
    return link;
}

void
fake_link_close(struct fake_link *link)
{
    struct fake_link **at = &link->fake->links;

    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    while (link->chunks != NULL)
        drop_chunk(link, link->chunks);
    fake_forget_watches(link);
    free(link->watches.item);
    free(link);
}
