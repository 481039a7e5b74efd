/* async.c: the life of an asynchronous handle, and one turn of it. async.h says what the other files do. */
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client-sdk/src/async.h"

#define ASYNC_SERVER        "127.0.0.1:7411"
#define ASYNC_RETRY_LEAST   50
#define ASYNC_RETRY_MOST    5000
#define ASYNC_HEARTBEAT_MS  15000
#define ASYNC_IN_FLIGHT     128
#define ASYNC_IN_FLIGHT_TOP 4096
#define ASYNC_WAITING       1024
#define ASYNC_SUBSCRIPTIONS 4096
#define ASYNC_TURNS_MOST    4 /* of one process(), when callbacks submit more */

usher_status
usher_async_fail(struct usher_async *async, usher_status status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(async->error, sizeof async->error, format, arguments);
    va_end(arguments);
    return status;
}

/* --- options ------------------------------------------------------------------------------------------ */
static bool
all_zero(const void *bytes, size_t size)
{
    return sodium_is_zero(bytes, size) != 0;
}

static uint32_t
number_or(uint32_t value, uint32_t usual)
{
    return value != 0 ? value : usual;
}

/* Split the list of servers; with address NULL they are only counted and checked. */
static usher_status
take_addresses(struct usher_async *async, const char *server, struct usher_address *address)
{
    const char *rest = server != NULL ? server : ASYNC_SERVER;
    struct usher_address scratch;

    async->address_count = 0;
    while (rest != NULL) {
        const char *comma = strchr(rest, ',');
        size_t size = comma != NULL ? (size_t)(comma - rest) : strlen(rest);

        if (async->address_count == USHER_ADDRESSES_MOST)
            return usher_async_fail(async, USHER_STATUS_BAD_ARGUMENT, "options.server: more than %d addresses",
                                    USHER_ADDRESSES_MOST);
        if (!usher_net_address(rest, size, address != NULL ? &address[async->address_count] : &scratch))
            return usher_async_fail(async, USHER_STATUS_BAD_ARGUMENT, "options.server: \"%.*s\" is not host:port",
                                    (int)(size < 256 ? size : 256), rest);
        async->address_count++;
        rest = comma != NULL ? comma + 1 : NULL;
    }
    return USHER_STATUS_ANSWERED;
}

static usher_status
take_key(struct usher_async *async, const usher_options *options)
{
    char why[USHER_ERROR_SIZE];
    usher_status status;

    if ((options->key_file != NULL) == (options->secret != NULL))
        return usher_async_fail(async, USHER_STATUS_BAD_ARGUMENT, "options: one of key_file and secret must be set");
    if (options->secret != NULL) {
        async->secret = *options->secret;
        return USHER_STATUS_ANSWERED;
    }
    status = usher_key_load(options->key_file, &async->secret, why, sizeof why);
    return status == USHER_STATUS_ANSWERED ? status : usher_async_fail(async, status, "%s", why);
}

static usher_status
take_common(struct usher_async *async, const usher_options *options)
{
    usher_status status;

    if (!all_zero(options->unused, sizeof options->unused) || !all_zero(options->reserved, sizeof options->reserved))
        return usher_async_fail(async, USHER_STATUS_BAD_ARGUMENT, "options: unused and reserved must be zero");
    async->timeout_ms = number_or(options->timeout_ms, USHER_TIMEOUT_MS);
    async->retry_ms_least = number_or(options->retry_ms_least, ASYNC_RETRY_LEAST);
    async->retry_ms_most = number_or(options->retry_ms_most, ASYNC_RETRY_MOST);
    if (async->retry_ms_most < async->retry_ms_least)
        async->retry_ms_most = async->retry_ms_least;
    async->fail_fast = options->fail_fast != 0;
    async->retry_later = options->retry_later != 0;
    async->lazy = options->connect_later != 0;
    async->has_pin = options->server_key != NULL;
    if (async->has_pin)
        async->pin = *options->server_key;
    status = take_key(async, options);
    return status == USHER_STATUS_ANSWERED ? take_addresses(async, options->server, NULL) : status;
}

static usher_status
take_options(struct usher_async *async, const usher_async_options *options)
{
    if (!all_zero(options->unused, sizeof options->unused) || !all_zero(options->reserved, sizeof options->reserved))
        return usher_async_fail(async, USHER_STATUS_BAD_ARGUMENT, "options: unused and reserved must be zero");
    if (options->in_flight_max > ASYNC_IN_FLIGHT_TOP)
        return usher_async_fail(async, USHER_STATUS_BAD_ARGUMENT, "options.in_flight_max: %u is above %d",
                                (unsigned)options->in_flight_max, ASYNC_IN_FLIGHT_TOP);
    if (options->group != NULL && options->signal_by_socket != 0)
        return usher_async_fail(async, USHER_STATUS_BAD_ARGUMENT,
                                "options.signal_by_socket: a handle of a group has no descriptor of its own");
    async->in_flight_max = number_or(options->in_flight_max, ASYNC_IN_FLIGHT);
    async->waiting_max = number_or(options->waiting_max, ASYNC_WAITING);
    async->subscriptions_max = number_or(options->subscriptions_max, ASYNC_SUBSCRIPTIONS);
    async->heartbeat_ms = number_or(options->heartbeat_ms, ASYNC_HEARTBEAT_MS);
    async->on_state = options->on_state;
    async->state_context = options->context;
    return take_common(async, &options->common);
}

/* --- opening ------------------------------------------------------------------------------------------ */
static size_t
larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t
aligned(size_t size)
{
    return (size + _Alignof(max_align_t) - 1) / _Alignof(max_align_t) * _Alignof(max_align_t);
}

/* Room for the largest request that a client can send and the largest reply or push that it can get. One piece, with
 * what is used by every call in front, and never cleared: pages that are not used shall not be touched. */
static bool
take_scratch(struct usher_async *async)
{
    size_t count, request_size = 0, reply_size = usher_refusal_layout()->struct_size;
    const usher_message *messages = usher_messages(&count);
    const usher_push *pushes;

    for (size_t i = 0; i < count; i++) {
        request_size = larger(request_size, messages[i].request->struct_size);
        async->wire_size = larger(async->wire_size, messages[i].request->size_most);
        reply_size = larger(reply_size, messages[i].reply->struct_size);
    }
    pushes = usher_pushes(&count);
    for (size_t i = 0; i < count; i++)
        reply_size = larger(reply_size, pushes[i].body->struct_size);
    reply_size = aligned(reply_size);
    async->wire = async->memory.allocate(async->memory.context, aligned(async->wire_size) + reply_size + request_size);
    if (async->wire == NULL)
        return false;
    async->reply = async->wire + aligned(async->wire_size);
    async->checked = (uint8_t *)async->reply + reply_size;
    return true;
}

/* Where the addresses lead. A leaving connection keeps the address that it has; the next try begins where it would
 * have. */
static void
resolve_all(struct usher_async *async)
{
    unsigned address_no = async->endpoint_count > 0 ? async->endpoint[async->endpoint_no].address_no : 0;

    async->endpoint_count = async->endpoint_no = 0;
    for (unsigned i = 0; i < async->address_count; i++) {
        struct usher_endpoint *endpoint = &async->endpoint[async->endpoint_count];
        unsigned count = usher_net_resolve(&async->address[i], endpoint, USHER_PLACES_MOST);

        if (i == address_no)
            async->endpoint_no = async->endpoint_count;
        for (unsigned k = 0; k < count; k++)
            endpoint[k].address_no = i;
        async->endpoint_count += count;
    }
}

void
usher_async_resolve(usher_async *async)
{
    if (async == NULL || !async->usable)
        return;
    usher_guard_enter(async->guard);
    resolve_all(async);
    async->tried = 0;
    usher_guard_leave(async->guard);
}

/* Everything that takes memory or descriptors. */
static bool
take_resources(struct usher_async *async, const usher_async_options *options)
{
    unsigned count = async->address_count;

    async->address = usher_memory_take(&async->memory, count * sizeof *async->address);
    async->endpoint = usher_memory_take(&async->memory, count * USHER_PLACES_MOST * sizeof *async->endpoint);
    if (async->address == NULL || async->endpoint == NULL || !take_scratch(async))
        return false;
    take_addresses(async, options->common.server, async->address);
    resolve_all(async);
    async->identity.address = async->address[0].text;
    async->spare = usher_link_make(async);
    if (async->spare == NULL)
        return false;
    return options->group != NULL ? usher_group_join(options->group, async)
                                  : usher_wake_handle(async, options->signal_by_socket != 0);
}

/* An empty handle that says why it is. */
static struct usher_async *
handle_make(const usher_memory *hooks)
{
    usher_memory memory;
    struct usher_async *async;

    if (!usher_memory_set(&memory, hooks))
        memset(&memory, 0, sizeof memory), usher_memory_set(&memory, &memory);
    async = usher_memory_take(&memory, sizeof *async);
    if (async == NULL)
        return NULL;
    async->memory = memory;
    async->own_guard.process = usher_guard_process();
    async->guard = &async->own_guard;
    async->wake.epoll = async->wake.timer = -1;
    async->due.due_ms = USHER_NEVER_MS;
    async->signal.answer = async->signal.ends[0] = async->signal.ends[1] = -1;
    async->failure = USHER_STATUS_NOT_SENT;
    usher_list_clear(&async->waiting);
    usher_list_clear(&async->over);
    usher_list_clear(&async->fetchable);
    usher_list_clear(&async->reopening);
    usher_list_clear(&async->open);
    usher_list_clear(&async->ended);
    usher_list_clear(&async->ready);
    pthread_mutex_init(&async->signal.lock, NULL);
    return async;
}

/* Free whatever there is. */
static void
handle_free(struct usher_async *async)
{
    usher_memory memory = async->memory;

    if (async->group != NULL)
        usher_group_part(async);
    usher_wake_handle_over(async);
    usher_link_free(async, async->spare);
    usher_memory_give(&memory, async->address);
    usher_memory_give(&memory, async->endpoint);
    usher_memory_give(&memory, async->calls.entry);
    usher_memory_give(&memory, async->watches.entry);
    usher_memory_give(&memory, async->timer.entry);
    usher_memory_give(&memory, async->bucket);
    usher_memory_give(&memory, async->wire);
    sodium_memzero(async, sizeof *async);
    usher_memory_give(&memory, async);
}

usher_status
usher_async_make(const usher_async_options *options, const usher_key *code, bool internal, struct usher_async **opened)
{
    static const usher_memory usual;
    struct usher_async *async;
    usher_status status;
    usher_memory ignored;

    *opened = async = sodium_init() >= 0 ? handle_make(options != NULL ? &options->memory : &usual) : NULL;
    if (async == NULL)
        return USHER_STATUS_NO_MEMORY;
    if (options == NULL)
        return usher_async_fail(async, USHER_STATUS_BAD_ARGUMENT, "the options are NULL");
    if (!usher_memory_set(&ignored, &options->memory))
        return usher_async_fail(async, USHER_STATUS_BAD_ARGUMENT,
                                "options.memory: allocate and release come together, reallocate never alone");
    status = take_options(async, options);
    if (status != USHER_STATUS_ANSWERED)
        return status;
    if (code != NULL) {
        async->code = *code;
        async->enrols = true;
        usher_new_id(&async->enrol_id);
    }
    async->resolves = async->driven = internal;
    if (!take_resources(async, options)) {
        handle_free(async);
        *opened = NULL;
        return USHER_STATUS_NO_MEMORY;
    }
    usher_guard_enter(async->guard);
    async->usable = true;
    if (!async->lazy)
        usher_wake_now(async);
    usher_guard_leave(async->guard);
    return USHER_STATUS_ANSWERED;
}

usher_status
usher_async_open(const usher_async_options *options, usher_async **async)
{
    if (async == NULL)
        return USHER_STATUS_BAD_ARGUMENT;
    return usher_async_make(options, NULL, false, async);
}

/* --- one turn ----------------------------------------------------------------------------------------- */
static uint64_t
next_due_ms(const struct usher_async *async)
{
    uint64_t due_ms = usher_links_due_ms(async);
    uint64_t request_ms = usher_dues_first_ms(&async->timer);

    return request_ms < due_ms ? request_ms : due_ms;
}

/* What is submitted outside of process() goes out at once when nothing is in flight, or the clock has moved on since
 * that was last done: so one request costs one write. The rest of a burst goes together, from process(): the socket has
 * room for it, so watching for room makes the descriptor readable, and costs less than a timer that fires. In a group
 * one timer does for all of its bursts. */
void
usher_async_submitted(struct usher_async *async, uint64_t now_ms)
{
    struct usher_link *link = async->link;

    if (async->in_process || async->driven || link == NULL || link->phase != USHER_LINK_READY) {
        usher_wake_now(async);
        return;
    }
    if (!async->dirty && (async->flying_count == 0 || now_ms != async->prompt_ms)) {
        async->prompt_ms = now_ms;
        usher_requests_send(async, now_ms);
        async->dirty = !usher_link_prompt(link);
    } else {
        async->dirty = true;
    }
    if (async->dirty && async->group != NULL)
        usher_wake_now(async);
    else if (async->dirty)
        usher_link_await_room(link);
    usher_wake_by(async, next_due_ms(async));
}

/* Answers that have come count before deadlines that have passed. What callbacks submit up to here is sent in this
 * turn; only the first one of a process() reads. */
static void
turn(struct usher_async *async, bool first)
{
    uint64_t now_ms;

    if (first)
        usher_links_read(async);
    now_ms = usher_net_now_ms(); /* behind the callbacks, however long they took */
    usher_requests_expire(async, now_ms);
    usher_links_tend(async, now_ms);
    async->dirty = false;
    usher_links_seek(async);
    usher_requests_send(async, now_ms);
    usher_links_write(async);
    usher_requests_deliver(async);
    usher_watches_deliver(async);
}

/* The end of a handle, from close or from the process() in whose callback close was called. */
static void
handle_end(struct usher_async *async)
{
    struct usher_group *group = async->group;

    async->closing = async->in_process = true; /* no process() from the callbacks that follow, and no second close */
    usher_group_begins(group);
    if (async->usable) {
        usher_links_cut(async);
        usher_requests_end(async);
        usher_watches_end(async);
        if (async->on_state != NULL) {
            usher_state_event event = {.state = USHER_STATE_CLOSED, .address = async->identity.address, .error = ""};
            event.context = async->state_context;
            usher_guard_callback_begins();
            async->on_state(async, &event);
            usher_guard_callback_ends();
        }
    }
    handle_free(async);
    usher_group_ends(group);
    if (group != NULL)
        usher_guard_leave(&group->guard); /* one of its own is gone with the handle */
}

int
usher_async_process(usher_async *async)
{
    unsigned turns = 0;
    bool told;
    int delivered;

    if (async == NULL || !async->usable)
        return 0;
    usher_guard_enter(async->guard);
    usher_insist(!async->in_process, "usher_async_process() is called from a callback of the same handle");
    usher_group_begins(async->group);
    usher_list_remove(&async->ready); /* this is its turn */
    async->in_process = true;
    async->delivered = 0;
    told = usher_wake_taken(async);
    do
        turn(async, turns == 0);
    while (async->dirty && !async->closing && ++turns < ASYNC_TURNS_MOST);
    async->in_process = false;
    usher_group_ends(async->group);
    if (async->closing) {
        handle_end(async);
        return -1;
    }
    usher_wake_at(async, async->dirty ? 0 : next_due_ms(async));
    if (told)
        usher_wake_answer(async);
    delivered = async->delivered;
    usher_guard_leave(async->guard);
    return delivered;
}

void
usher_async_close(usher_async *async)
{
    if (async == NULL)
        return;
    usher_guard_enter(async->guard);
    if (!async->in_process) {
        handle_end(async);
        return;
    }
    async->closing = true;
    usher_guard_leave(async->guard);
}

/* --- accessors ---------------------------------------------------------------------------------------- */
const char *
usher_async_error(const usher_async *async)
{
    return async != NULL ? async->error : "there is not enough memory for a handle";
}

const usher_identity *
usher_async_identity(const usher_async *async)
{
    static const usher_identity nobody = {.address = ""};

    return async != NULL && async->usable ? &async->identity : &nobody;
}
