/* link.c: the connection of a handle, and where the next one goes.
 *
 *     (none) ──seek──> CONNECTING ──> SHAKING ──> READY ──GOING_AWAY──> LEAVING ──last answer──> (let go)
 *        ^                 │             │          │                      │
 *        `── pause or next address <─────┴── lost ──┴── its requests wait again for the next connection
 *
 * A handle has one connection, and for a while the one before, if its server said that it is stopping and owes answers.
 *
 * When is a connection dead? TCP alone finds out after many minutes when packets just vanish. So whoever awaits
 * something and hears nothing for heartbeat_ms asks with PING and cuts the connection when nothing at all is heard for
 * USHER_PROBE_MS then. A request that got no answer in time raises the question at once; when nobody else uses the
 * connection it is cut without asking, for a new handshake costs less than another deadline. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "client-sdk/src/async.h"

#define LINK_READS_MOST 16 /* of one turn, so that other handles of the loop get theirs */
#define BUFFER_SHIFTS   32u

/* --- memory ------------------------------------------------------------------------------------------- */
/* The buffers are one piece of memory apart, for an allocator will put a piece of that size on pages of its own. If
 * each began at the beginning of its page, the buffers of many handles would all compete for the same few lines of the
 * processor's cache; so they begin somewhere in it. */
static uint8_t *
buffers_make(struct usher_async *async, struct usher_link *link)
{
    size_t shift = ((uintptr_t)async >> 6) % BUFFER_SHIFTS * USHER_CACHE_LINE;

    /* Not usher_memory_take(): pages of the buffers that are never used shall never be touched. */
    link->buffers = async->memory.allocate(async->memory.context,
                                           BUFFER_SHIFTS * USHER_CACHE_LINE + 2 * USHER_FRAME_MAX);
    if (link->buffers == NULL)
        return NULL;
    link->input = link->buffers + shift;
    link->output = link->input + USHER_FRAME_MAX;
    return link->buffers;
}

struct usher_link *
usher_link_make(struct usher_async *async)
{
    uint32_t slot_count = 1;
    struct usher_link *link;

    while (slot_count < async->in_flight_max)
        slot_count *= 2;
    /* Nor here: a session clears a slot when it first uses it. */
    link = async->memory.allocate(async->memory.context, sizeof *link + slot_count * sizeof(struct usher_session_slot));
    if (link == NULL)
        return NULL;
    memset(link, 0, sizeof *link);
    if (buffers_make(async, link) == NULL) {
        usher_memory_give(&async->memory, link);
        return NULL;
    }
    link->async = async;
    link->socket = -1;
    link->slots = (struct usher_session_slot *)(link + 1);
    link->session.setup.slot_count = slot_count;
    usher_list_clear(&link->flying);
    return link;
}

void
usher_link_free(struct usher_async *async, struct usher_link *link)
{
    if (link != NULL)
        usher_memory_give(&async->memory, link->buffers);
    usher_memory_give(&async->memory, link);
}

/* The link's memory is for the next connection, or superfluous. */
static void
link_let_go(struct usher_link *link)
{
    struct usher_async *async = link->async;

    if (async->spare == NULL && async->link == NULL)
        async->spare = link;
    else
        usher_link_free(async, link);
}

/* --- saying what happened ----------------------------------------------------------------------------- */
static void
tell_state(struct usher_async *async, usher_state state, usher_status reason)
{
    usher_state_event event = {.state = state, .reason = reason, .address = async->identity.address};

    if (async->on_state == NULL)
        return;
    event.error = state == USHER_STATE_LOST ? async->failure_text : "";
    event.context = async->state_context;
    usher_guard_callback_begins();
    async->on_state(async, &event);
    usher_guard_callback_ends();
}

static const char *
link_address(const struct usher_link *link)
{
    return link->async->address[link->address_no].text;
}

/* --- the end of a connection -------------------------------------------------------------------------- */
/* Close it; what was flying on it waits again, in front of what has waited since. */
static void
link_end(struct usher_link *link)
{
    struct usher_async *async = link->async;
    struct usher_list *place = async->waiting.next;

    if (link->socket >= 0) {
        usher_wake_forget(async, link->socket);
        usher_net_close(link->socket);
        link->socket = -1;
    }
    if (async->link == link)
        async->link = NULL;
    if (async->leaving == link)
        async->leaving = NULL;
    while (!usher_list_is_empty(&link->flying)) {
        struct usher_request *request = (struct usher_request *)link->flying.next;
        request->sent = request->sent || usher_session_is_sent(&link->session, request->request_no);
        if (request->kind == USHER_REQUEST_CALL)
            usher_request_requeue(request, place);
        else
            usher_watch_requeue(async, request);
    }
}

/* No try before a random time below a bound that doubles each round (full jitter). Near the deadline of what waits it
 * is cut in half instead of being given up. */
static void
schedule_next(struct usher_async *async, uint64_t least_ms)
{
    uint64_t now_ms = usher_net_now_ms(), until_ms = usher_requests_wait_until_ms(async);
    uint64_t bound_ms = async->round < 16 ? (uint64_t)async->retry_ms_least << async->round : async->retry_ms_most;
    uint64_t pause_ms;

    if (bound_ms > async->retry_ms_most)
        bound_ms = async->retry_ms_most;
    pause_ms = randombytes_uniform((uint32_t)bound_ms + 1);
    if (pause_ms < least_ms)
        pause_ms = least_ms;
    if (until_ms > now_ms && pause_ms > (until_ms - now_ms) / 2)
        pause_ms = (until_ms - now_ms) / 2 + 1;
    async->connect_at_ms = now_ms + pause_ms;
    async->round++;
    async->tried = 0;
}

/* A connection that was good is lost. */
static void
link_lost(struct usher_link *link, const char *why)
{
    struct usher_async *async = link->async;
    bool was_present = async->link == link;

    async->failure = USHER_STATUS_NOT_SENT;
    snprintf(async->failure_text, sizeof async->failure_text, "the connection to %s was lost: %s", link_address(link),
             why);
    link_end(link);
    link_let_go(link);
    if (!was_present)
        return;
    usher_watches_interrupt(async);
    schedule_next(async, 0);
    tell_state(async, USHER_STATE_LOST, USHER_STATUS_NOT_SENT);
}

/* A connection did not come about; why is in failure and failure_text. The next address is tried at once, the next
 * round over all of them after a pause. final: no other address and no other round will do better for what waits now.
 * */
static void
connect_failed(struct usher_link *link, usher_status failure, bool final, uint64_t least_ms)
{
    struct usher_async *async = link->async;

    if (async->enrols && failure == USHER_STATUS_NOT_SENT && link->session.phase != USHER_SESSION_HELLO &&
        link->phase == USHER_LINK_SHAKING)
        async->enrol_sent = true;
    async->failure = failure;
    link_end(link);
    link_let_go(link);
    if (final) {
        usher_requests_fail(async, false);
        schedule_next(async, least_ms);
    } else if (++async->tried < async->endpoint_count) {
        async->endpoint_no = (async->endpoint_no + 1) % async->endpoint_count;
        async->connect_at_ms = 0;
    } else {
        async->endpoint_no = (async->endpoint_no + 1) % async->endpoint_count;
        if (failure == USHER_STATUS_NOT_SENT)
            usher_requests_fail(async, true);
        schedule_next(async, least_ms);
    }
    tell_state(async, USHER_STATE_LOST, failure);
}

static void
connect_lost(struct usher_link *link, const char *why)
{
    struct usher_async *async = link->async;

    if (link->phase == USHER_LINK_CONNECTING)
        snprintf(async->failure_text, sizeof async->failure_text, "no server answers at %s: %s", link_address(link),
                 why);
    else
        snprintf(async->failure_text, sizeof async->failure_text, "the connection to %s was lost: %s",
                 link_address(link), why);
    connect_failed(link, USHER_STATUS_NOT_SENT, false, 0);
}

/* Whatever it was doing. */
static void
link_broken(struct usher_link *link, const char *why)
{
    if (link->phase == USHER_LINK_CONNECTING || link->phase == USHER_LINK_SHAKING)
        connect_lost(link, why);
    else
        link_lost(link, why);
}

void
usher_link_leave(struct usher_link *link)
{
    struct usher_async *async = link->async;

    if (link->phase != USHER_LINK_READY)
        return;
    link->phase = USHER_LINK_LEAVING;
    link->session.going_away = true;
    if (async->leaving != NULL)
        link_lost(async->leaving, "the next server is going away, too");
    async->leaving = link;
    async->link = NULL;
    async->move_on = true;
    async->connect_at_ms = 0;
    async->tried = 0;
    async->dirty = true;
    usher_watches_interrupt(async);
    tell_state(async, USHER_STATE_GOING_AWAY, USHER_STATUS_ANSWERED);
}

void
usher_links_cut(struct usher_async *async)
{
    struct usher_link *links[3] = {async->leaving, async->link, async->spare};

    for (unsigned i = 0; i < 3; i++)
        if (links[i] != NULL) {
            link_end(links[i]);
            usher_link_free(async, links[i]);
        }
    async->spare = NULL;
}

/* --- connecting --------------------------------------------------------------------------------------- */
void
usher_links_hurry(struct usher_async *async)
{
    async->connect_at_ms = 0;
    async->round = async->tried = 0;
}

/* To the first endpoint of the next address; with one address, to the next endpoint. */
static void
move_on(struct usher_async *async)
{
    unsigned address_no = async->endpoint[async->endpoint_no].address_no;
    unsigned steps = 0;

    do
        async->endpoint_no = (async->endpoint_no + 1) % async->endpoint_count;
    while (async->endpoint[async->endpoint_no].address_no == address_no && ++steps < async->endpoint_count);
    async->move_on = false;
}

static bool
wants_connection(const struct usher_async *async)
{
    return !async->lazy || !usher_list_is_empty(&async->waiting) || !usher_list_is_empty(&async->reopening);
}

/* A silent endpoint must leave the others their share of the time. */
static uint64_t
connect_until_ms(const struct usher_async *async)
{
    uint64_t now_ms = usher_net_now_ms(), until_ms = usher_requests_wait_until_ms(async);
    uint64_t left_ms = async->timeout_ms;

    if (until_ms != 0)
        left_ms = until_ms > now_ms ? until_ms - now_ms : 1;
    return now_ms + left_ms / (async->endpoint_count - async->tried) + 1;
}

static void
link_connect(struct usher_async *async)
{
    struct usher_link *link = async->spare;
    char why[128];

    if (async->move_on)
        move_on(async);
    if (async->resolves && async->tried == 0)
        usher_async_resolve(async);
    async->spare = NULL;
    async->link = link;
    link->phase = USHER_LINK_CONNECTING;
    link->address_no = async->endpoint[async->endpoint_no].address_no;
    link->watches_room = true;
    link->probe_ms = 0;
    link->deadline_ms = connect_until_ms(async);
    async->identity.address = link_address(link);
    tell_state(async, USHER_STATE_CONNECTING, USHER_STATUS_ANSWERED);
    link->socket = usher_net_connect(&async->endpoint[async->endpoint_no], why, sizeof why);
    if (link->socket < 0)
        connect_lost(link, why);
    else if (!usher_wake_watch(async, link->socket, true, true))
        connect_lost(link, strerror(errno));
}

void
usher_links_seek(struct usher_async *async)
{
    unsigned tries = 0;

    while (async->link == NULL && !async->closing && wants_connection(async) && tries++ < async->endpoint_count &&
           usher_net_now_ms() >= async->connect_at_ms) {
        if (async->spare == NULL)
            async->spare = usher_link_make(async);
        if (async->spare == NULL)
            return; /* the one that is being left will give its room */
        link_connect(async);
    }
}

static void
link_shake(struct usher_link *link)
{
    struct usher_async *async = link->async;
    struct usher_session_setup setup = {.secret = &async->secret,
                                        .pin = async->has_pin ? &async->pin : NULL,
                                        .code = async->enrols ? &async->code : NULL,
                                        .enrol_id = async->enrol_id,
                                        .input = link->input,
                                        .output = link->output,
                                        .input_size = USHER_FRAME_MAX,
                                        .output_size = USHER_FRAME_MAX,
                                        .slots = link->slots,
                                        .slot_count = link->session.setup.slot_count};

    randombytes_buf(setup.nonce.bytes, sizeof setup.nonce.bytes);
    usher_session_open(&link->session, &setup);
    link->phase = USHER_LINK_SHAKING;
}

static void
link_ready(struct usher_link *link)
{
    struct usher_async *async = link->async;
    const usher_authenticate_reply *self = &link->session.self;

    async->identity.role = (usher_role)self->role;
    async->identity.number = self->client_id;
    memcpy(async->identity.name, self->name, sizeof async->identity.name);
    async->identity.server_key = link->session.challenge.server_key;
    if (link->session.in_flight_max > async->in_flight_max)
        link->session.in_flight_max = async->in_flight_max;
    async->enrols = false;
    async->failure = USHER_STATUS_NOT_SENT;
    async->failure_text[0] = 0;
    async->tried = 0;
    async->silent_until_ms = 0;
    link->phase = USHER_LINK_READY;
    link->heard_ms = usher_net_now_ms();
    tell_state(async, USHER_STATE_READY, USHER_STATUS_ANSWERED);
}

/* --- what comes --------------------------------------------------------------------------------------- */
/* The server turned this client away. */
static void
link_refused(struct usher_link *link, const struct usher_session_event *event)
{
    struct usher_async *async = link->async;
    bool later = usher_result_class_of(event->result) == USHER_CLASS_LATER;
    usher_answer *refusal = &async->refusal;

    memset(refusal, 0, sizeof *refusal);
    refusal->result = event->result;
    refusal->retryable = later;
    refusal->stamp_ms = event->stamp_ms;
    if (!usher_session_read(event, NULL, &refusal->refusal))
        memset(&refusal->refusal, 0, sizeof refusal->refusal);
    snprintf(async->failure_text, sizeof async->failure_text, "%s turns this client away: %s: %s", link_address(link),
             usher_result_name(event->result), event->why);
    if (async->enrols && async->enrol_sent &&
        (event->result == USHER_CODE_UNKNOWN || event->result == USHER_KEY_IN_USE)) {
        /* Our own earlier attempt, whose answer was lost, used the code up: the key is enrolled. */
        async->enrols = false;
        link_end(link);
        link_let_go(link);
        usher_links_hurry(async);
        return;
    }
    connect_failed(link, USHER_STATUS_HELLO_REFUSED, !later, refusal->refusal.retry_after_ms);
}

/* What came in the handshake proves that this is not the server that it should be. */
static void
link_wrong(struct usher_link *link, const struct usher_session_event *event)
{
    struct usher_async *async = link->async;
    bool untrusted = event->kind == USHER_SESSION_EVENT_UNTRUSTED;

    snprintf(async->failure_text, sizeof async->failure_text, "the server at %s %s: %s", link_address(link),
             untrusted ? "is not trusted" : "does not speak this protocol",
             event->why != NULL ? event->why : "it sends what was not asked for");
    connect_failed(link, untrusted ? USHER_STATUS_UNTRUSTED : USHER_STATUS_WRONG_SERVER, true, 0);
}

static void
link_reply(struct usher_link *link, const struct usher_session_event *event)
{
    struct usher_request *request = (struct usher_request *)(uintptr_t)event->tag;
    bool sound;

    if (request == NULL)
        return; /* the answer to a question whether it lives */
    sound = request->kind == USHER_REQUEST_CALL ? usher_request_reply(link, request, event)
                                                : usher_watch_reply(link, request, event);
    if (!sound)
        link_lost(link, "its answer can't be read");
}

static void
link_push(struct usher_link *link, const struct usher_session_event *event)
{
    if (event->opcode == USHER_PUSH_GOING_AWAY)
        usher_link_leave(link);
    else if (link->phase == USHER_LINK_READY && !usher_watch_push(link, event))
        link_lost(link, "what it pushes can't be read");
}

/* Act on an event. The link may be over then. */
static void
link_act(struct usher_link *link, const struct usher_session_event *event)
{
    bool shaking = link->phase == USHER_LINK_SHAKING;

    switch (event->kind) {
    case USHER_SESSION_EVENT_READY:
        link_ready(link);
        break;
    case USHER_SESSION_EVENT_REPLY:
        link_reply(link, event);
        break;
    case USHER_SESSION_EVENT_PUSH:
        link_push(link, event);
        break;
    case USHER_SESSION_EVENT_REFUSED:
        if (shaking)
            link_refused(link, event);
        else
            link_lost(link, event->why);
        break;
    case USHER_SESSION_EVENT_UNTRUSTED:
    case USHER_SESSION_EVENT_BROKEN:
        if (shaking)
            link_wrong(link, event);
        else
            link_lost(link, event->why);
        break;
    case USHER_SESSION_EVENT_NONE:
        break;
    }
}

/* Whether this link is still one of the handle's two: callbacks and losses change that. */
static bool
link_lives(const struct usher_async *async, const struct usher_link *link)
{
    return link != NULL && (async->link == link || async->leaving == link);
}

/* Take what the session has understood. False when the link is over. */
static bool
link_drain(struct usher_async *async, struct usher_link *link)
{
    struct usher_session_event event = usher_session_next(&link->session);

    while (event.kind != USHER_SESSION_EVENT_NONE) {
        link_act(link, &event);
        if (!link_lives(async, link))
            return false;
        event = usher_session_next(&link->session);
    }
    return true;
}

static void
link_read(struct usher_async *async, struct usher_link *link)
{
    char why[128];

    if (link->phase == USHER_LINK_CONNECTING) {
        enum usher_net_connected how = usher_net_connected(link->socket, why, sizeof why);
        if (how == USHER_NET_FAILED)
            connect_lost(link, why);
        if (how != USHER_NET_CONNECTED)
            return;
        link_shake(link);
    }
    for (unsigned i = 0; i < LINK_READS_MOST; i++) {
        size_t room;
        uint8_t *bytes = usher_session_room(&link->session, &room);
        long taken = usher_net_read(link->socket, bytes, room, why, sizeof why);

        if (taken < 0)
            link_broken(link, why);
        if (taken <= 0)
            return;
        usher_session_filled(&link->session, (size_t)taken);
        link->heard++;
        link->probe_ms = 0;
        if (!link_drain(async, link))
            return;
        if ((size_t)taken < room)
            return;
    }
    /* There may be more: the descriptor stays readable. */
}

void
usher_links_read(struct usher_async *async)
{
    if (async->leaving != NULL)
        link_read(async, async->leaving);
    if (async->link != NULL)
        link_read(async, async->link);
}

/* --- what goes ---------------------------------------------------------------------------------------- */
/* Whether epoll tells when there is room. */
static void
watch_room(struct usher_link *link, bool watches)
{
    if (watches == link->watches_room)
        return;
    link->watches_room = watches;
    usher_wake_watch(link->async, link->socket, watches, false);
}

/* Send what stands in the output. 1: all of it; 0: there is no more room; -1: the connection is over. */
static int
output_send(struct usher_link *link, char *why, size_t why_size)
{
    for (;;) {
        size_t size;
        const uint8_t *bytes = usher_session_output(&link->session, &size);
        long taken;

        if (size == 0)
            return 1;
        taken = usher_net_write(link->socket, bytes, size, why, why_size);
        if (taken <= 0)
            return (int)taken;
        usher_session_sent(&link->session, (size_t)taken);
    }
}

static void
link_write(struct usher_link *link)
{
    char why[128];
    int state;

    if (link->phase == USHER_LINK_CONNECTING)
        return;
    state = output_send(link, why, sizeof why);
    if (state < 0)
        link_broken(link, why);
    else
        watch_room(link, state == 0);
}

void
usher_links_write(struct usher_async *async)
{
    if (async->leaving != NULL)
        link_write(async->leaving);
    if (async->link != NULL)
        link_write(async->link);
}

bool
usher_link_prompt(struct usher_link *link)
{
    const struct usher_async *async = link->async;
    char why[128];

    return output_send(link, why, sizeof why) > 0 && usher_list_is_empty(&async->waiting) &&
           usher_list_is_empty(&async->reopening);
}

void
usher_link_await_room(struct usher_link *link)
{
    watch_room(link, true);
}

/* --- deadlines and silence ---------------------------------------------------------------------------- */
/* Whether anything can be expected to come. */
static bool
link_awaits(const struct usher_link *link)
{
    const struct usher_async *async = link->async;

    if (!usher_list_is_empty(&link->flying))
        return true;
    return link->phase == USHER_LINK_READY && (!async->lazy || !usher_list_is_empty(&async->open));
}

/* Ask whether the server lives. When as much is in flight as may be, that is question enough. */
static void
link_ask(struct usher_link *link)
{
    static const uint8_t echo[sizeof(uint64_t)];

    usher_session_request(&link->session, USHER_OPCODE_PING, echo, sizeof echo, 0, 0, NULL);
    link->probe_ms = usher_net_now_ms() + USHER_PROBE_MS;
}

void
usher_link_suspect(struct usher_link *link, uint32_t heard)
{
    if (link->heard != heard || link->probe_ms != 0)
        return;
    if (!usher_list_is_empty(&link->flying) || !usher_list_is_empty(&link->async->open))
        link_ask(link);
    else
        link_lost(link, "the time for an answer is over");
}

static uint64_t
link_heartbeat_ms(const struct usher_link *link)
{
    if (link->async->heartbeat_ms == UINT32_MAX || !link_awaits(link))
        return USHER_NEVER_MS;
    return link->heard_ms + link->async->heartbeat_ms;
}

static void
link_tend(struct usher_link *link, uint64_t now_ms)
{
    if (link->heard_then != link->heard) {
        link->heard_then = link->heard;
        link->heard_ms = now_ms;
    }
    if (link->phase == USHER_LINK_CONNECTING || link->phase == USHER_LINK_SHAKING) {
        if (now_ms >= link->deadline_ms)
            connect_lost(link, strerror(ETIMEDOUT));
        return;
    }
    if (link->phase == USHER_LINK_LEAVING && usher_list_is_empty(&link->flying)) {
        link_end(link);
        link_let_go(link);
        return;
    }
    if (link->probe_ms != 0 && now_ms >= link->probe_ms)
        link_lost(link, "the server has fallen silent");
    else if (link->probe_ms == 0 && now_ms >= link_heartbeat_ms(link))
        link_ask(link);
}

void
usher_links_tend(struct usher_async *async, uint64_t now_ms)
{
    if (async->leaving != NULL)
        link_tend(async->leaving, now_ms);
    if (async->link != NULL)
        link_tend(async->link, now_ms);
}

static uint64_t
link_due_ms(const struct usher_link *link)
{
    if (link == NULL)
        return USHER_NEVER_MS;
    if (link->phase == USHER_LINK_CONNECTING || link->phase == USHER_LINK_SHAKING)
        return link->deadline_ms;
    return link->probe_ms != 0 ? link->probe_ms : link_heartbeat_ms(link);
}

uint64_t
usher_links_due_ms(const struct usher_async *async)
{
    uint64_t due_ms = link_due_ms(async->link), other_ms = link_due_ms(async->leaving);
    bool waits = !usher_list_is_empty(&async->waiting) || !usher_list_is_empty(&async->reopening);

    if (other_ms < due_ms)
        due_ms = other_ms;
    if (async->link == NULL && wants_connection(async) && async->connect_at_ms < due_ms &&
        (async->spare != NULL || async->leaving == NULL))
        due_ms = async->connect_at_ms;
    if (async->link != NULL && waits && async->silent_until_ms > usher_net_now_ms() && async->silent_until_ms < due_ms)
        due_ms = async->silent_until_ms;
    return due_ms;
}
