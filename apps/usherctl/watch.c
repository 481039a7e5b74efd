/* watch.c: usherctl watch: follow a place, the seats of a date, or events, until Ctrl-C or until it is over.
 *
 *     consumer? ── PUT_CONSUMER ──> WATCH ── push: show it, flush it ── consumer? ── ACKNOWLEDGE
 *                                     ^                                                  │
 *                                     └─────────────────── the next push ────────────────┘
 *
 * A lost connection is told on stderr and made anew by itself; only one that was never there ends the command. With a
 * consumer's name a page of events is acknowledged once it has been written out, so what is killed in between gets
 * it again; one acknowledgement is under way at a time and the next one says how far it has come by then.
 *
 * SIGINT and SIGTERM end it: the acknowledgement under way is still waited for, and the code is 0. A second one does
 * not wait. */
#define _GNU_SOURCE 1
#include "ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct watching {
    struct ctl *ctl;
    const usher_message *message;
    const void *request;
    const char *consumer; /* "" for none */
    uint64_t count_most;  /* pushes; 0 for any number */
    usher_async *async;
    struct ctl_watch_show *show;
    uint64_t watch_no;
    uint64_t count;
    uint64_t cursor, acknowledged; /* of the consumer: shown, and known to the server */
    bool acknowledging;
    bool was_there; /* a server was */
    bool is_over;
    enum ctl_code code;
};

static void
finish(struct watching *watching, enum ctl_code code)
{
    if (!watching->is_over)
        watching->code = code;
    watching->is_over = true;
}

/* --- the consumer ------------------------------------------------------------------------------------- */
static void
complain_of(struct watching *watching, const usher_completion *completion)
{
    enum ctl_code code = ctl_code_of(completion->status);

    ctl_fail(watching->ctl, code, "%s: %s", usher_message_of(completion->answer->opcode)->name, completion->error);
    if (completion->status == USHER_STATUS_ANSWERED)
        ctl_show_refusal(completion->answer->result, &completion->answer->refusal);
    finish(watching, code);
}

static void acknowledge(struct watching *watching);

static void
on_acknowledged(usher_async *async, const usher_completion *completion)
{
    struct watching *watching = completion->context;
    const usher_acknowledge_reply *reply = completion->reply;

    (void)async;
    watching->acknowledging = false;
    if (reply == NULL) {
        complain_of(watching, completion);
        return;
    }
    watching->acknowledged = reply->event_no;
    acknowledge(watching);
}

/* Say how far it has come, unless that is being said or is known. */
static void
acknowledge(struct watching *watching)
{
    usher_acknowledge_request request = {.event_no = watching->cursor};
    usher_status status;

    if (*watching->consumer == '\0' || watching->acknowledging || watching->cursor <= watching->acknowledged)
        return;
    snprintf(request.consumer, sizeof request.consumer, "%s", watching->consumer);
    status =
        usher_async_call(watching->async, USHER_OPCODE_ACKNOWLEDGE, &request, NULL, on_acknowledged, watching, NULL);
    watching->acknowledging = status == USHER_STATUS_ANSWERED;
    if (status != USHER_STATUS_ANSWERED)
        finish(watching, ctl_fail(watching->ctl, ctl_code_of(status), "%s", usher_async_error(watching->async)));
}

/* --- the subscription --------------------------------------------------------------------------------- */
static void
take_push(struct watching *watching, const usher_watch_event *event)
{
    if (watching->is_over)
        return; /* behind the last one that was wanted */
    ctl_watch_show_push(watching->show, event);
    if (fflush(stdout) != 0) {
        finish(watching, ctl_fail(watching->ctl, CTL_USAGE, "the standard output: %s", strerror(errno)));
        return;
    }
    if (event->opcode == USHER_PUSH_EVENTS) {
        watching->cursor = ((const usher_events_push *)event->body)->last_event_no;
        acknowledge(watching);
    }
    if (++watching->count == watching->count_most)
        finish(watching, CTL_OK);
}

/* What a subscription that ended by itself means for who started it. */
static void
take_end(struct watching *watching, const usher_watch_event *event)
{
    if (event->status != USHER_STATUS_ANSWERED) { /* by ourselves */
        finish(watching, CTL_OK);
        return;
    }
    ctl_watch_show_end(watching->show, event);
    if (event->result == USHER_OK) {
        finish(watching, CTL_OK);
        return;
    }
    ctl_fail(watching->ctl, CTL_REFUSED, "%s: %s", usher_result_name(event->result), usher_result_text(event->result));
    ctl_show_refusal(event->result, event->refusal);
    if (event->result == USHER_EVENTS_LOST && *watching->consumer != '\0')
        fprintf(stderr, "  usherctl consumer acknowledge %s %" PRIu64 " goes on there\n", watching->consumer,
                event->refusal->detail - 1);
    else if (event->result == USHER_EVENTS_LOST)
        fprintf(stderr, "  usherctl watch events %" PRIu64 " begins there\n", event->refusal->detail - 1);
    finish(watching, CTL_REFUSED);
}

static void
on_watch(usher_async *async, const usher_watch_event *event)
{
    struct watching *watching = event->context;

    (void)async;
    switch (event->kind) {
    case USHER_WATCH_STARTED:
        ctl_watch_show_start(watching->show, event);
        fflush(stdout);
        return;
    case USHER_WATCH_PUSH:
        take_push(watching, event);
        return;
    case USHER_WATCH_INTERRUPTED:
        return; /* on_state says why */
    case USHER_WATCH_ENDED:
        take_end(watching, event);
        return;
    }
}

static void
subscribe(struct watching *watching)
{
    usher_status status = usher_async_watch(watching->async, watching->message->opcode, watching->request, on_watch,
                                            watching, &watching->watch_no);

    if (status != USHER_STATUS_ANSWERED)
        finish(watching, ctl_fail(watching->ctl, ctl_code_of(status), "%s", usher_async_error(watching->async)));
}

static void
on_consumer(usher_async *async, const usher_completion *completion)
{
    struct watching *watching = completion->context;
    const usher_put_consumer_reply *reply = completion->reply;

    (void)async;
    if (reply == NULL) {
        if (!watching->is_over) /* a server that is not there has been told of already */
            complain_of(watching, completion);
        return;
    }
    watching->cursor = watching->acknowledged = reply->event_no;
    subscribe(watching);
}

/* A consumer that is not there yet begins where the subscription is asked to. */
static void
put_consumer(struct watching *watching)
{
    const usher_watch_events_request *asked = watching->request;
    usher_put_consumer_request request = {.after_event_no = asked->after_event_no};
    usher_status status;

    snprintf(request.consumer, sizeof request.consumer, "%s", watching->consumer);
    status = usher_async_call(watching->async, USHER_OPCODE_PUT_CONSUMER, &request, NULL, on_consumer, watching, NULL);
    if (status != USHER_STATUS_ANSWERED)
        finish(watching, ctl_fail(watching->ctl, ctl_code_of(status), "%s", usher_async_error(watching->async)));
}

/* --- the connection ----------------------------------------------------------------------------------- */
static void
on_state(usher_async *async, const usher_state_event *event)
{
    struct watching *watching = event->context;
    bool for_good = event->reason == USHER_STATUS_HELLO_REFUSED || event->reason == USHER_STATUS_UNTRUSTED ||
                    event->reason == USHER_STATUS_WRONG_SERVER;

    (void)async;
    if (event->state == USHER_STATE_READY) {
        if (watching->was_there)
            fprintf(stderr, "usherctl: %s is there; it goes on\n", event->address);
        watching->was_there = true;
    }
    if (event->state != USHER_STATE_LOST || watching->is_over)
        return;
    if (for_good)
        finish(watching, ctl_fail(watching->ctl, ctl_code_of(event->reason), "%s", event->error));
    else if (!watching->was_there)
        finish(watching,
               ctl_fail(watching->ctl, CTL_UNANSWERED,
                        "%s; start a server with ./usher run or name another one with --server", event->error));
    else
        fprintf(stderr, "usherctl: %s; trying again\n", event->error);
}

static enum ctl_code
open_handle(struct watching *watching)
{
    struct ctl *ctl = watching->ctl;
    usher_async_options options = {.on_state = on_state, .context = watching};
    usher_status status;
    const char *error;

    options.common.server = ctl->server;
    options.common.key_file = ctl->key_file;
    options.common.timeout_ms = ctl->timeout_ms;
    status = usher_async_open(&options, &watching->async);
    if (status == USHER_STATUS_ANSWERED)
        return CTL_OK;
    error = usher_async_error(watching->async);
    if (strncmp(error, "options.common.", 15) == 0)
        return ctl_fail(ctl, CTL_USAGE, "--%s", error + 15);
    return ctl_fail(ctl, ctl_code_of(status), "%s%s", error,
                    status == USHER_STATUS_KEY_FILE ? "; name another one with --key FILE or $USHER_KEY" : "");
}

/* --- until the end ------------------------------------------------------------------------------------ */
static volatile sig_atomic_t signals;

static void
on_signal(int number)
{
    (void)number;
    signals = signals + 1;
}

/* Signals are let in while it waits and at no other time. */
static void
wait_and_process(struct watching *watching, const sigset_t *let_in)
{
    struct pollfd watched = {.fd = usher_async_descriptor(watching->async), .events = POLLIN};

    if (ppoll(&watched, 1, NULL, let_in) > 0)
        usher_async_process(watching->async);
}

static void
run(struct watching *watching)
{
    struct sigaction act = {.sa_handler = on_signal}, old_int, old_term;
    sigset_t ours, before;

    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGTERM);
    signals = 0;
    sigprocmask(SIG_BLOCK, &ours, &before);
    sigaction(SIGINT, &act, &old_int);
    sigaction(SIGTERM, &act, &old_term);
    while (!watching->is_over && signals == 0)
        wait_and_process(watching, &before);
    if (signals > 0)
        finish(watching, CTL_OK);
    while (watching->acknowledging && signals < 2 && watching->code == CTL_OK)
        wait_and_process(watching, &before);
    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGTERM, &old_term, NULL);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

enum ctl_code
ctl_watch(struct ctl *ctl, const usher_message *message, const void *request, uint64_t count_most)
{
    struct watching watching = {.ctl = ctl,
                                .message = message,
                                .request = request,
                                .consumer = "",
                                .count_most = count_most,
                                .show = ctl_watch_show_open(ctl, message)};
    enum ctl_code code = open_handle(&watching);

    if (message->opcode == USHER_OPCODE_WATCH_EVENTS)
        watching.consumer = ((const usher_watch_events_request *)request)->consumer;
    if (code == CTL_OK) {
        if (*watching.consumer != '\0')
            put_consumer(&watching);
        else
            subscribe(&watching);
        run(&watching);
        code = watching.code;
    }
    watching.is_over = true; /* what closing still tells is nobody's business */
    usher_async_close(watching.async);
    ctl_watch_show_close(watching.show);
    return code;
}
