/* client.c: the blocking client: an asynchronous handle, and a loop around it that runs until the one call is done.
 *
 *     submit ──> process ──> done? ──no──> wait for the descriptor ──> process ...
 *
 * The deadline needs no care here: the handle's descriptor becomes readable when it has passed, and process() completes
 * the call. A call in which nothing is known yet connects at once, without the pause that the last failure asked for:
 * each call has its own rounds. */
#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client-sdk/src/client.h"

#define CLIENT_NO_MEMORY "there is not enough memory for a client"

/* --- one call ----------------------------------------------------------------------------------------- */
static void
client_done(usher_async *async, const usher_completion *completion)
{
    struct usher_client *client = completion->context;

    (void)async;
    client->done = true;
    client->status = completion->status;
    client->answer = *completion->answer;
    snprintf(client->error, sizeof client->error, "%s", completion->error);
    if (completion->reply != NULL)
        memcpy(client->reply, completion->reply, usher_message_of(completion->answer->opcode)->reply->struct_size);
}

static usher_status
client_fail(struct usher_client *client, usher_status status, const char *why)
{
    snprintf(client->error, sizeof client->error, "%s", why);
    return status;
}

/* Submit, and drive the handle until it is done. */
static usher_status
client_run(struct usher_client *client, enum usher_request_kind kind, uint16_t opcode, const void *request,
           uint32_t timeout_ms)
{
    const usher_call_options options = {.timeout_ms = timeout_ms};
    struct pollfd watched = {.fd = usher_async_descriptor(client->async), .events = POLLIN};
    usher_status status;

    if (usher_guard_blocks_loop())
        return client_fail(client, USHER_STATUS_WRONG_THREAD, usher_status_text(USHER_STATUS_WRONG_THREAD));
    client->done = false;
    usher_guard_enter(client->async->guard);
    status = usher_request_submit(client->async, kind, opcode, request, &options, client_done, client, NULL);
    usher_links_hurry(client->async);
    usher_guard_leave(client->async->guard);
    if (status != USHER_STATUS_ANSWERED)
        return client_fail(client, status, usher_async_error(client->async));
    for (;;) {
        usher_async_process(client->async);
        if (client->done)
            return client->status;
        if (poll(&watched, 1, -1) < 0)
            usher_insist(errno == EINTR || errno == EAGAIN || errno == ENOMEM, "the client's descriptor is gone");
    }
}

static usher_status
call(struct usher_client *client, uint16_t opcode, const void *request, void *reply)
{
    uint32_t timeout_ms = client->next_timeout_ms != 0 ? client->next_timeout_ms : client->timeout_ms;
    const usher_message *message = usher_message_of(opcode);

    client->next_timeout_ms = 0;
    memset(&client->answer, 0, sizeof client->answer);
    client->answer.result = USHER_RESULT_NONE;
    client->answer.opcode = opcode;
    client->error[0] = 0;
    if (message != NULL && request != NULL && reply == NULL) {
        snprintf(client->error, sizeof client->error, "%s: the reply is NULL", message->name);
        return USHER_STATUS_BAD_ARGUMENT;
    }
    client->reply = reply;
    return client_run(client, USHER_REQUEST_CALL, opcode, request, timeout_ms);
}

static void
client_enter(struct usher_client *client)
{
    usher_insist(!atomic_flag_test_and_set(&client->busy), "two threads use one client at once");
}

usher_status
usher_call(usher_client *client, uint16_t opcode, const void *request, void *reply)
{
    usher_status status;

    if (client == NULL)
        return USHER_STATUS_BAD_ARGUMENT;
    client_enter(client);
    status = client->usable ? call(client, opcode, request, reply) : USHER_STATUS_BAD_ARGUMENT;
    atomic_flag_clear(&client->busy);
    return status;
}

/* --- opening and closing ------------------------------------------------------------------------------ */
/* Connect now, unless it may wait. */
static usher_status
client_connect(struct usher_client *client, bool later)
{
    usher_status status = USHER_STATUS_ANSWERED;

    if (!later)
        status = client_run(client, USHER_REQUEST_CONNECT, USHER_OPCODE_NONE, NULL, client->timeout_ms);
    client->usable = status == USHER_STATUS_ANSWERED;
    return status;
}

/* Make a client and, unless it may wait, connect it. */
static usher_status
client_start(const usher_options *options, const usher_key *code, usher_client **opened)
{
    usher_async_options all = {.waiting_max = 1};
    struct usher_client *client;
    usher_status status;

    if (opened == NULL)
        return USHER_STATUS_BAD_ARGUMENT;
    *opened = client = calloc(1, sizeof *client);
    if (client == NULL)
        return USHER_STATUS_NO_MEMORY;
    atomic_flag_clear(&client->busy);
    client->answer.result = USHER_RESULT_NONE;
    if (options != NULL) {
        all.common = *options;
        all.common.connect_later = 1; /* the handle's own: it connects when a call wants it */
        client->timeout_ms = options->timeout_ms != 0 ? options->timeout_ms : USHER_TIMEOUT_MS;
    }
    status = usher_async_make(options != NULL ? &all : NULL, code, true, &client->async);
    if (status == USHER_STATUS_ANSWERED)
        return client_connect(client, options->connect_later != 0);
    if (client->async == NULL) {
        free(client);
        *opened = NULL;
        return status;
    }
    return client_fail(client, status, usher_async_error(client->async));
}

usher_status
usher_client_open(const usher_options *options, usher_client **client)
{
    return client_start(options, NULL, client);
}

usher_status
usher_client_enrol(const usher_options *options, const usher_key *code, usher_client **client)
{
    if (options == NULL || code == NULL || options->connect_later) {
        usher_status status = client_start(NULL, NULL, client);
        if (status == USHER_STATUS_BAD_ARGUMENT && client != NULL)
            client_fail(*client, status, "enrolling needs options without connect_later, and a code");
        return status;
    }
    return client_start(options, code, client);
}

void
usher_client_close(usher_client *client)
{
    if (client == NULL)
        return;
    client_enter(client);
    usher_async_close(client->async);
    free(client);
}

/* --- accessors ---------------------------------------------------------------------------------------- */
const char *
usher_client_error(const usher_client *client)
{
    return client != NULL ? client->error : CLIENT_NO_MEMORY;
}

const usher_answer *
usher_client_answer(const usher_client *client)
{
    static const usher_answer none = {.result = USHER_RESULT_NONE};

    return client != NULL ? &client->answer : &none;
}

usher_role
usher_client_role(const usher_client *client)
{
    return usher_async_identity(client->async)->role;
}

uint32_t
usher_client_number(const usher_client *client)
{
    return usher_async_identity(client->async)->number;
}

const char *
usher_client_name(const usher_client *client)
{
    return usher_async_identity(client->async)->name;
}

const usher_key *
usher_client_server_key(const usher_client *client)
{
    return &usher_async_identity(client->async)->server_key;
}

const char *
usher_client_address(const usher_client *client)
{
    return usher_async_identity(client->async)->address;
}

void
usher_client_set_timeout(usher_client *client, uint32_t timeout_ms)
{
    client->timeout_ms = timeout_ms != 0 ? timeout_ms : USHER_TIMEOUT_MS;
}

void
usher_client_set_next_timeout(usher_client *client, uint32_t timeout_ms)
{
    client->next_timeout_ms = timeout_ms;
}
