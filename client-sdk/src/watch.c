/* watch.c: subscriptions, over as many connections as it takes.
 *
 *     watch ──> asked for ──reply OK──> open: STARTED, PUSH, PUSH ...
 *                 ^   │                   │ │
 *                 │   └─ refused ─> ENDED │ └─ WATCH_ENDED, unwatch, close ──> ENDED
 *                 └──── INTERRUPTED ──────┘
 *                        the connection is lost or its server goes away
 *
 * On the wire a subscription is the request_no of the request that opened it, and ends with its connection. Outside it
 * has a number that lasts. The request that opens it is part of the subscription, so that nothing is needed to open it
 * anew; the request that ends it takes its place. After unwatch the owner hears ENDED and nothing more, while the
 * subscription stays here until the server knows: what it pushes until then belongs to nobody. */
#include <stddef.h>
#include <string.h>

#include "client-sdk/src/async.h"

/* --- those that are open, by what they are on the wire ------------------------------------------------ */
static struct usher_watch **
bucket_of(struct usher_async *async, uint32_t subscription)
{
    return &async->bucket[subscription * 2654435761u & (async->bucket_count - 1)];
}

static void
bucket_add(struct usher_async *async, struct usher_watch *watch)
{
    struct usher_watch **bucket = bucket_of(async, watch->subscription);

    watch->next_same = *bucket;
    *bucket = watch;
}

/* As many buckets as subscriptions, if there is memory; with fewer it is slower and as right. */
static void
buckets_grow(struct usher_async *async)
{
    uint32_t count = async->bucket_count > 0 ? 2 * async->bucket_count : 16;
    struct usher_watch **buckets;

    if (async->watches.count <= async->bucket_count)
        return;
    buckets = usher_memory_take(&async->memory, count * sizeof *buckets);
    if (buckets == NULL)
        return;
    usher_memory_give(&async->memory, async->bucket);
    async->bucket = buckets;
    async->bucket_count = count;
    for (struct usher_list *node = async->open.next; node != &async->open; node = node->next)
        bucket_add(async, (struct usher_watch *)node);
}

static struct usher_watch *
bucket_find(struct usher_async *async, uint32_t subscription)
{
    struct usher_watch *watch = async->bucket_count > 0 ? *bucket_of(async, subscription) : NULL;

    while (watch != NULL && watch->subscription != subscription)
        watch = watch->next_same;
    return watch;
}

/* It is not open any more. */
static void
watch_shut(struct usher_async *async, struct usher_watch *watch)
{
    struct usher_watch **at = bucket_of(async, watch->subscription);

    while (*at != watch)
        at = &(*at)->next_same;
    *at = watch->next_same;
    watch->is_open = false;
    usher_list_remove(&watch->request.node);
    watch->request.state = USHER_REQUEST_OVER;
}

/* --- telling the owner -------------------------------------------------------------------------------- */
static void
tell(struct usher_async *async, struct usher_watch *watch, usher_watch_event event)
{
    event.watch_no = watch->request.number;
    event.context = watch->context;
    if (event.opcode == 0)
        event.opcode = watch->opcode;
    if (event.kind != USHER_WATCH_ENDED || event.status != USHER_STATUS_ANSWERED)
        event.result = USHER_RESULT_NONE;
    usher_guard_callback_begins();
    watch->callback(async, &event);
    usher_guard_callback_ends();
}

/* The last moment of a subscription that has nothing on the wire any more and whose owner knows. */
static void
watch_free(struct usher_async *async, struct usher_watch *watch)
{
    usher_list_remove(&watch->request.node);
    usher_list_remove(&watch->ended);
    usher_timer_clear(async, &watch->request);
    usher_table_remove(&async->watches, &watch->request);
    usher_memory_give(&async->memory, watch);
}

/* The server's word that it is over. */
static void
watch_end(struct usher_async *async, struct usher_watch *watch, usher_result result, const usher_refusal *refusal,
          uint64_t stamp_ms)
{
    bool was_over = watch->is_over;

    watch->is_over = true;
    if (!was_over)
        tell(
            async, watch,
            (usher_watch_event){.kind = USHER_WATCH_ENDED, .result = result, .refusal = refusal, .stamp_ms = stamp_ms});
    if (usher_list_is_empty(&watch->ended)) /* else ENDED is still to be said, and frees it then */
        watch_free(async, watch);
}

/* --- asking ------------------------------------------------------------------------------------------- */
static void
watch_ask(struct usher_async *async, struct usher_watch *watch)
{
    watch->request.state = USHER_REQUEST_WAITING;
    usher_list_append(&async->reopening, &watch->request.node);
}

/* The subscription shall end on the server as well. */
static void
watch_ask_end(struct usher_async *async, struct usher_watch *watch)
{
    struct usher_request *request = &watch->request;

    for (unsigned i = 0; i < sizeof watch->body_of_end; i++)
        watch->body_of_end[i] = (uint8_t)(watch->subscription >> 8 * i);
    request->kind = USHER_REQUEST_UNWATCH;
    request->opcode = USHER_OPCODE_UNWATCH;
    request->body = watch->body_of_end;
    request->body_size = sizeof watch->body_of_end;
    watch_ask(async, watch);
}

/* Events go on behind the last one that was handed on. */
static void
watch_advance(struct usher_watch *watch, uint64_t cursor)
{
    const usher_layout *layout = usher_message_of(USHER_OPCODE_WATCH_EVENTS)->request;
    uint8_t *body = (uint8_t *)(watch + 1);

    watch->cursor = cursor;
    for (size_t i = 0; i < layout->field_count; i++)
        if (layout->fields[i].offset == offsetof(usher_watch_events_request, after_event_no))
            for (unsigned k = 0; k < sizeof cursor; k++)
                body[layout->fields[i].wire_offset + k] = (uint8_t)(cursor >> 8 * k);
}

void
usher_watch_requeue(struct usher_async *async, struct usher_request *request)
{
    struct usher_watch *watch = (struct usher_watch *)request;

    usher_list_remove(&request->node);
    request->state = USHER_REQUEST_OVER;
    if (!watch->is_over)
        watch_ask(async, watch);
    else if (usher_list_is_empty(&watch->ended))
        watch_free(async, watch);
}

/* --- what the server says ----------------------------------------------------------------------------- */
static void
watch_start(struct usher_link *link, struct usher_watch *watch, const struct usher_session_event *event)
{
    struct usher_async *async = link->async;

    watch->subscription = watch->request.request_no;
    if (link->phase != USHER_LINK_READY) { /* it ends with this connection */
        usher_watch_requeue(async, &watch->request);
        return;
    }
    if (watch->is_over) {
        watch_ask_end(async, watch);
        return;
    }
    watch->is_open = true;
    watch->request.round = 0;
    usher_list_append(&async->open, &watch->request.node);
    bucket_add(async, watch);
    tell(async, watch,
         (usher_watch_event){.kind = USHER_WATCH_STARTED, .body = async->reply, .stamp_ms = event->stamp_ms});
}

bool
usher_watch_reply(struct usher_link *link, struct usher_request *request, const struct usher_session_event *event)
{
    struct usher_async *async = link->async;
    struct usher_watch *watch = (struct usher_watch *)request;
    usher_refusal refusal;

    if (!usher_session_read(event, async->reply, &refusal))
        return false;
    usher_list_remove(&request->node);
    request->state = USHER_REQUEST_OVER;
    async->round = 0;
    if (event->result == USHER_GOING_AWAY)
        usher_link_leave(link);
    if (request->kind == USHER_REQUEST_UNWATCH || (watch->is_over && event->result != USHER_OK)) {
        if (usher_list_is_empty(&watch->ended))
            watch_free(async, watch);
    } else if (event->result == USHER_OK) {
        watch_start(link, watch, event);
    } else if (usher_result_class_of(event->result) != USHER_CLASS_LATER) {
        watch_end(async, watch, event->result, &refusal, event->stamp_ms);
    } else {
        usher_request_pause(async, request, refusal.retry_after_ms > 0 ? refusal.retry_after_ms : 1);
    }
    return true;
}

/* The first field of every push but GOING_AWAY. */
static uint32_t
subscription_of(const void *body)
{
    uint32_t subscription;

    memcpy(&subscription, body, sizeof subscription);
    return subscription;
}

bool
usher_watch_push(struct usher_link *link, const struct usher_session_event *event)
{
    struct usher_async *async = link->async;
    const usher_push *push = usher_push_of(event->opcode);
    struct usher_watch *watch;
    unsigned field_no;
    uint64_t cursor = 0;

    if (push == NULL)
        return true; /* of a newer server */
    if (usher_decode(push->body, event->body, event->body_size, async->reply, &field_no) != USHER_OK)
        return false;
    async->round = 0;
    watch = bucket_find(async, subscription_of(async->reply));
    if (watch == NULL)
        return true; /* its owner does not want it any more */
    if (event->opcode == USHER_PUSH_WATCH_ENDED) {
        const usher_watch_ended_push *ended = async->reply;
        usher_refusal refusal = {.detail = ended->detail};
        watch_shut(async, watch);
        watch_end(async, watch, (usher_result)ended->result, &refusal, event->stamp_ms);
        return true;
    }
    if (event->opcode == USHER_PUSH_EVENTS) {
        cursor = ((const usher_events_push *)async->reply)->last_event_no;
        watch_advance(watch, cursor);
    }
    tell(async, watch,
         (usher_watch_event){
             .kind = USHER_WATCH_PUSH, .opcode = event->opcode, .body = async->reply, .stamp_ms = event->stamp_ms});
    return true;
}

void
usher_watches_interrupt(struct usher_async *async)
{
    struct usher_list interrupted, *node;

    /* What was to be ended on that connection has ended with it. */
    for (node = async->reopening.next; node != &async->reopening;) {
        struct usher_watch *watch = (struct usher_watch *)node;
        node = node->next;
        if (watch->request.kind == USHER_REQUEST_UNWATCH)
            usher_watch_requeue(async, &watch->request);
    }
    /* First all of them out of the open ones, for the callbacks may change what is left. */
    usher_list_clear(&interrupted);
    while (!usher_list_is_empty(&async->open)) {
        struct usher_watch *watch = (struct usher_watch *)async->open.next;
        watch_shut(async, watch);
        watch->request.state = USHER_REQUEST_WAITING;
        usher_list_append(&interrupted, &watch->request.node);
    }
    while ((node = usher_list_take(&interrupted)) != NULL) {
        struct usher_watch *watch = (struct usher_watch *)node;
        watch_ask(async, watch);
        tell(async, watch, (usher_watch_event){.kind = USHER_WATCH_INTERRUPTED});
    }
}

/* --- the owner's side --------------------------------------------------------------------------------- */
static bool
is_watch(uint16_t opcode)
{
    const usher_message *message = usher_message_of(opcode);

    return message != NULL && message->kind == USHER_MESSAGE_WATCH && opcode != USHER_OPCODE_UNWATCH;
}

static usher_status
watch_submit(struct usher_async *async, uint16_t opcode, const void *body, usher_watch_callback callback, void *context,
             uint64_t *watch_no)
{
    struct usher_watch *watch;
    usher_status status;
    size_t size;

    if (!async->usable)
        return USHER_STATUS_BAD_ARGUMENT;
    if (async->closing)
        return usher_async_fail(async, USHER_STATUS_CLOSED, "the handle is being closed");
    if (!is_watch(opcode))
        return usher_async_fail(async, USHER_STATUS_BAD_ARGUMENT, "0x%04x is not the opcode of a subscription", opcode);
    if (callback == NULL)
        return usher_async_fail(async, USHER_STATUS_BAD_ARGUMENT, "a subscription needs a callback");
    status = usher_request_encode(async, opcode, body, &size);
    if (status != USHER_STATUS_ANSWERED)
        return status;
    if (async->watches.count >= async->subscriptions_max)
        return usher_async_fail(async, USHER_STATUS_QUEUE_FULL, "%u subscriptions are open already",
                                (unsigned)async->subscriptions_max);

    watch = usher_memory_take(&async->memory, sizeof *watch + size);
    if (watch == NULL || !usher_timer_reserve(async) || !usher_table_add(async, &async->watches, &watch->request)) {
        usher_memory_give(&async->memory, watch);
        return usher_async_fail(async, USHER_STATUS_NO_MEMORY, "there is not enough memory for a subscription");
    }
    buckets_grow(async);
    if (async->bucket_count == 0) {
        usher_table_remove(&async->watches, &watch->request);
        usher_memory_give(&async->memory, watch);
        return usher_async_fail(async, USHER_STATUS_NO_MEMORY, "there is not enough memory for a subscription");
    }
    memcpy(watch + 1, async->wire, size);
    watch->request.body = (const uint8_t *)(watch + 1);
    watch->request.body_size = (uint32_t)size;
    watch->request.kind = USHER_REQUEST_WATCH;
    watch->request.opcode = watch->opcode = opcode;
    watch->request.due.due_ms = USHER_NEVER_MS;
    watch->request.deadline_ms = USHER_NEVER_MS;
    watch->callback = callback;
    watch->context = context;
    usher_list_clear(&watch->request.node);
    usher_list_clear(&watch->ended);
    watch_ask(async, watch);
    if (watch_no != NULL)
        *watch_no = watch->request.number;
    usher_async_submitted(async, usher_net_now_ms());
    return USHER_STATUS_ANSWERED;
}

usher_status
usher_async_watch(usher_async *async, uint16_t opcode, const void *request, usher_watch_callback callback,
                  void *context, uint64_t *watch_no)
{
    usher_status status;

    if (async == NULL)
        return USHER_STATUS_BAD_ARGUMENT;
    usher_guard_enter(async->guard);
    status = watch_submit(async, opcode, request, callback, context, watch_no);
    usher_guard_leave(async->guard);
    return status;
}

/* Nothing of it is to be sent any more; what has been sent is ended or waited for. */
static void
watch_withdraw(struct usher_async *async, struct usher_watch *watch)
{
    struct usher_request *request = &watch->request;

    if (watch->is_open) {
        watch_shut(async, watch);
        watch_ask_end(async, watch);
    } else if (request->state != USHER_REQUEST_FLYING ||
               usher_session_withdraw(&request->link->session, (uint64_t)(uintptr_t)request)) {
        usher_list_remove(&request->node);
        usher_timer_clear(async, request);
        request->state = USHER_REQUEST_OVER;
    }
    /* Else it was sent: its reply must be read, for it may have opened the subscription. */
}

int
usher_async_unwatch(usher_async *async, uint64_t watch_no)
{
    struct usher_watch *watch;
    bool found;

    if (async == NULL || !async->usable)
        return 0;
    usher_guard_enter(async->guard);
    watch = (struct usher_watch *)usher_table_find(&async->watches, watch_no);
    found = watch != NULL && !watch->is_over && !async->closing;
    if (found) {
        watch->is_over = true;
        usher_list_append(&async->ended, &watch->ended);
        watch_withdraw(async, watch);
        usher_wake_now(async);
    }
    usher_guard_leave(async->guard);
    return found;
}

/* --- the end ------------------------------------------------------------------------------------------ */
static struct usher_watch *
watch_of_ended(struct usher_list *node)
{
    return (struct usher_watch *)((char *)node - offsetof(struct usher_watch, ended));
}

void
usher_watches_deliver(struct usher_async *async)
{
    struct usher_list *node;

    while ((node = usher_list_take(&async->ended)) != NULL) {
        struct usher_watch *watch = watch_of_ended(node);
        tell(async, watch, (usher_watch_event){.kind = USHER_WATCH_ENDED, .status = USHER_STATUS_CANCELLED});
        if (watch->request.state == USHER_REQUEST_OVER)
            watch_free(async, watch);
    }
}

/* The links are cut: nothing is open and nothing flies. */
void
usher_watches_end(struct usher_async *async)
{
    usher_watches_deliver(async);
    for (uint32_t i = 0; i < async->watches.room; i++) {
        struct usher_watch *watch = (struct usher_watch *)async->watches.entry[i];
        if (watch == NULL)
            continue;
        if (!watch->is_over) {
            watch->is_over = true;
            tell(async, watch, (usher_watch_event){.kind = USHER_WATCH_ENDED, .status = USHER_STATUS_CLOSED});
        }
        watch_free(async, watch);
    }
}
