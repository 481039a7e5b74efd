/* link.c: a client's connection: sockets on one side, the session on the other. */
#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "client-sdk/src/client.h"

void
usher_link_close(struct usher_client *client)
{
    if (client->socket >= 0)
        usher_net_close(client->socket);
    if (client->ready && client->session.going_away)
        client->move_on = true;
    client->socket = -1;
    client->ready = false;
}

static enum usher_attempt
link_lost(struct usher_client *client, const char *why)
{
    usher_client_fail(client, USHER_STATUS_NOT_SENT, "the connection to %s was lost: %s",
                      client->address[client->address_no].text, why);
    usher_link_close(client);
    return USHER_ATTEMPT_LOST;
}

/* Write what waits to be written, as far as the socket takes it. False when the connection is over. */
static bool
link_write(struct usher_client *client, char *why, size_t why_size)
{
    for (;;) {
        size_t size;
        const uint8_t *bytes = usher_session_output(&client->session, &size);
        long taken;

        if (size == 0)
            return true;
        taken = usher_net_write(client->socket, bytes, size, why, why_size);
        if (taken <= 0)
            return taken == 0;
        usher_session_sent(&client->session, (size_t)taken);
    }
}

/* Read once. False when the connection is over. */
static bool
link_read(struct usher_client *client, char *why, size_t why_size)
{
    size_t room;
    uint8_t *bytes = usher_session_room(&client->session, &room);
    long taken = usher_net_read(client->socket, bytes, room, why, why_size);

    if (taken > 0)
        usher_session_filled(&client->session, (size_t)taken);
    return taken >= 0;
}

enum usher_attempt
usher_link_event(struct usher_client *client, uint64_t deadline_ms, struct usher_session_event *event, bool *sent)
{
    char why[128] = "";

    for (;;) {
        enum usher_net_wait wait;

        *event = usher_session_next(&client->session);
        if (event->kind != USHER_SESSION_EVENT_NONE)
            return USHER_ATTEMPT_DONE;
        if (!link_write(client, why, sizeof why))
            return link_lost(client, why);
        *sent = *sent || usher_session_all_sent(&client->session);
        wait = usher_net_wait(client->socket, !usher_session_all_sent(&client->session), deadline_ms);
        if (wait == USHER_NET_TIMEOUT)
            return link_lost(client, "the time for an answer is over");
        if (wait == USHER_NET_FAILED || !link_read(client, why, sizeof why))
            return link_lost(client, why);
    }
}

bool
usher_link_answer(struct usher_client *client, const struct usher_session_event *event, void *reply)
{
    usher_answer *answer = &client->answer;

    answer->result = event->result;
    answer->replayed = event->replayed;
    answer->retryable = usher_result_class_of(event->result) == USHER_CLASS_LATER;
    answer->stamp_ms = event->stamp_ms;
    memset(&answer->refusal, 0, sizeof answer->refusal);
    return usher_session_read(event, reply, &answer->refusal);
}

/* --- the handshake ------------------------------------------------------------------------------------ */
static enum usher_attempt
link_refused(struct usher_client *client, const struct usher_session_event *event)
{
    const char *address = client->address[client->address_no].text;
    bool later = usher_result_class_of(event->result) == USHER_CLASS_LATER;

    usher_link_answer(client, event, NULL);
    usher_link_close(client);
    if (client->enrols && client->enrol_sent &&
        (event->result == USHER_CODE_UNKNOWN || event->result == USHER_KEY_IN_USE)) {
        /* Our own earlier attempt, whose answer was lost, used the code up: the key is enrolled. */
        client->enrols = false;
        usher_client_fail(client, USHER_STATUS_HELLO_REFUSED, "%s refuses: %s", address, event->why);
        return USHER_ATTEMPT_LOST;
    }
    usher_client_fail(client, USHER_STATUS_HELLO_REFUSED, "%s turns this client away: %s: %s", address,
                      usher_result_name(event->result), event->why);
    return later ? USHER_ATTEMPT_LOST : USHER_ATTEMPT_FINAL;
}

static enum usher_attempt
link_judge(struct usher_client *client, const struct usher_session_event *event)
{
    const char *address = client->address[client->address_no].text;
    usher_status failure;

    if (event->kind == USHER_SESSION_EVENT_READY) {
        client->self = client->session.self;
        client->server_key = client->session.challenge.server_key;
        client->enrols = false;
        client->ready = true;
        return USHER_ATTEMPT_DONE;
    }
    if (event->kind == USHER_SESSION_EVENT_REFUSED)
        return link_refused(client, event);
    failure = event->kind == USHER_SESSION_EVENT_UNTRUSTED ? USHER_STATUS_UNTRUSTED : USHER_STATUS_WRONG_SERVER;
    usher_client_fail(client, failure, "the server at %s %s: %s", address,
                      failure == USHER_STATUS_UNTRUSTED ? "is not trusted" : "does not speak this protocol",
                      event->why != NULL ? event->why : "it sends what was not asked for");
    usher_link_close(client);
    return USHER_ATTEMPT_FINAL;
}

/* Connect to the present address and shake hands. */
static enum usher_attempt
link_try(struct usher_client *client, uint64_t deadline_ms)
{
    const struct usher_address *address = &client->address[client->address_no];
    struct usher_session_setup setup = {.secret = &client->secret,
                                        .pin = client->has_pin ? &client->pin : NULL,
                                        .code = client->enrols ? &client->code : NULL,
                                        .enrol_id = client->enrol_id,
                                        .input = client->input,
                                        .output = client->output,
                                        .input_size = USHER_FRAME_MAX,
                                        .output_size = USHER_FRAME_MAX,
                                        .slots = client->slot,
                                        .slot_count = 1};
    struct usher_session_event event;
    enum usher_attempt outcome;
    bool sent = false;
    char why[128];

    client->socket = usher_net_connect(address, deadline_ms, why, sizeof why);
    if (client->socket < 0) {
        usher_client_fail(client, USHER_STATUS_NOT_SENT, "no server answers at %s: %s", address->text, why);
        return USHER_ATTEMPT_LOST;
    }
    randombytes_buf(setup.nonce.bytes, sizeof setup.nonce.bytes);
    usher_session_open(&client->session, &setup);
    outcome = usher_link_event(client, deadline_ms, &event, &sent);
    if (client->enrols && client->session.phase != USHER_SESSION_HELLO && outcome != USHER_ATTEMPT_DONE)
        client->enrol_sent = true;
    return outcome == USHER_ATTEMPT_DONE ? link_judge(client, &event) : outcome;
}

/* What came behind the last reply. False when the connection is of no more use: the server is going away, or has sent
 * a dismissal, most likely. */
static bool
link_take_pushes(struct usher_client *client)
{
    struct usher_session_event event;

    do
        event = usher_session_next(&client->session);
    while (event.kind == USHER_SESSION_EVENT_PUSH);
    return event.kind == USHER_SESSION_EVENT_NONE && !client->session.going_away;
}

/* Whether the connection that we have can be used. It is looked at before each request: a server that stopped in the
 * meantime has said so or closed it, and a request sent into it would be "maybe applied" without need. What has come in
 * since the last call is read on the way. */
static bool
link_is_good(struct usher_client *client)
{
    char why[128];

    if (!client->ready || !link_take_pushes(client))
        return false;
    while (usher_net_wait(client->socket, false, 0) == USHER_NET_READY)
        if (!link_read(client, why, sizeof why) || !link_take_pushes(client))
            return false;
    return true;
}

static void
next_address(struct usher_client *client)
{
    client->address_no = (client->address_no + 1) % client->address_count;
}

enum usher_attempt
usher_link_open(struct usher_client *client)
{
    enum usher_attempt outcome = USHER_ATTEMPT_LOST;

    if (link_is_good(client))
        return USHER_ATTEMPT_DONE;
    usher_link_close(client);
    if (client->move_on)
        next_address(client);
    client->move_on = false;
    for (unsigned i = 0; i < client->address_count && outcome == USHER_ATTEMPT_LOST; i++) {
        uint64_t now_ms = usher_net_now_ms();
        uint64_t left_ms = client->deadline_ms > now_ms ? client->deadline_ms - now_ms : 0;

        if (i > 0)
            next_address(client);
        /* A silent address must leave the others their share of the time. */
        outcome = link_try(client, now_ms + left_ms / (client->address_count - i));
    }
    if (outcome == USHER_ATTEMPT_LOST)
        next_address(client);
    return outcome;
}
