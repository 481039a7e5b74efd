/* follow_events.c: every event of the house, each at least once and in order, over crashes: a named consumer.
 *
 *     follow_events ADDRESS KEY_FILE CONSUMER [EVENTS]
 *
 * A line for each event, on the standard output; behind so many it ends. A page is acknowledged once its lines are out,
 * so whoever is killed before that gets the page again at the next start, under the same name, and nobody loses one.
 * The house keeps what is not acknowledged, within its bound; what was lost all the same is said. The key's role must
 * be admin or observer. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <usher.h>
#include <usher_poll.h>

struct follower {
    const char *consumer;
    uint64_t seen, seen_most;
    int over;
};

static void subscribe(usher_async *async, struct follower *follower);

/* What the server can't do for us ends the program; lost connections and busy servers are the SDK's affair. */
static void
give_up(struct follower *follower, const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    follower->over = 2;
}

static void
on_acknowledged(usher_async *async, const usher_completion *completion)
{
    struct follower *follower = completion->context;

    (void)async;
    if (completion->reply == NULL)
        give_up(follower, "acknowledge", completion->error);
    else if (follower->seen_most > 0 && follower->seen >= follower->seen_most)
        follower->over = 1;
}

/* Done with all up to this one: they need not come again. */
static void
acknowledge(usher_async *async, struct follower *follower, uint64_t event_no)
{
    usher_acknowledge_request request = {.event_no = event_no};

    snprintf(request.consumer, sizeof request.consumer, "%s", follower->consumer);
    if (usher_async_call(async, USHER_OPCODE_ACKNOWLEDGE, &request, NULL, on_acknowledged, follower, NULL) !=
        USHER_STATUS_ANSWERED)
        give_up(follower, "acknowledge", usher_async_error(async));
}

static void
on_events(usher_async *async, const usher_watch_event *event)
{
    struct follower *follower = event->context;
    const usher_events_push *page = event->body;

    if (event->kind == USHER_WATCH_ENDED && event->result == USHER_EVENTS_LOST) {
        fprintf(stderr, "events before %" PRIu64 " are lost; going on there\n", event->refusal->detail);
        acknowledge(async, follower, event->refusal->detail - 1);
        subscribe(async, follower);
    } else if (event->kind == USHER_WATCH_ENDED && event->status == USHER_STATUS_ANSWERED) {
        give_up(follower, "watch", usher_result_text(event->result));
    }
    if (event->kind != USHER_WATCH_PUSH)
        return;
    for (unsigned i = 0; i < page->event_count; i++)
        printf("%" PRIu64 " %u\n", page->event[i].event_no, (unsigned)page->event[i].kind);
    follower->seen += page->event_count;
    if (fflush(stdout) == 0)
        acknowledge(async, follower, page->last_event_no);
    else
        give_up(follower, "the standard output", "it takes no more");
}

/* From behind what the consumer has acknowledged. */
static void
subscribe(usher_async *async, struct follower *follower)
{
    usher_watch_events_request request = {.after_event_no = 0};

    snprintf(request.consumer, sizeof request.consumer, "%s", follower->consumer);
    if (usher_async_watch(async, USHER_OPCODE_WATCH_EVENTS, &request, on_events, follower, NULL) !=
        USHER_STATUS_ANSWERED)
        give_up(follower, "watch", usher_async_error(async));
}

static void
on_consumer(usher_async *async, const usher_completion *completion)
{
    if (completion->reply == NULL)
        give_up(completion->context, "consumer", completion->error);
    else
        subscribe(async, completion->context);
}

int
main(int argc, char **argv)
{
    usher_async_options options = {.heartbeat_ms = 0};
    usher_put_consumer_request request = {.after_event_no = 0};
    struct follower follower = {.over = 0};
    usher_async *async;

    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: follow_events ADDRESS KEY_FILE CONSUMER [EVENTS]\n");
        return 2;
    }
    options.common.server = argv[1];
    options.common.key_file = argv[2];
    follower.consumer = argv[3];
    follower.seen_most = argc == 5 ? strtoull(argv[4], NULL, 10) : 0;
    snprintf(request.consumer, sizeof request.consumer, "%s", follower.consumer);
    if (usher_async_open(&options, &async) != USHER_STATUS_ANSWERED ||
        usher_async_call(async, USHER_OPCODE_PUT_CONSUMER, &request, NULL, on_consumer, &follower, NULL) !=
            USHER_STATUS_ANSWERED) {
        fprintf(stderr, "%s\n", usher_async_error(async));
        return 1;
    }
    while (!follower.over)
        usher_poll(&async, 1, -1);
    usher_async_close(async);
    return follower.over == 1 ? 0 : 1;
}
