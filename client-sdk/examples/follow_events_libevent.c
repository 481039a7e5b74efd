/* follow_events_libevent.c: every event of the house, once and in order, in a loop of libevent.
 *
 *     follow_events_libevent ADDRESS KEY_FILE AFTER [EVENTS]
 *
 * A line for each event behind number AFTER; behind so many it ends. Lost connections leave no gap. The key's role must
 * be admin or observer. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <usher.h>
#include <usher_libevent.h>

struct follower {
    struct event_base *base;
    uint64_t seen, seen_most;
};

static const char *
kind_name(unsigned kind)
{
    size_t count;
    const usher_enum *const *enums = usher_enums(&count);
    const char *name = NULL;

    for (size_t i = 0; i < count; i++)
        if (strcmp(enums[i]->name, "event_kind") == 0)
            name = usher_enum_name(enums[i], kind);
    return name != NULL ? name : "of a newer server";
}

static void
on_events(usher_async *async, const usher_watch_event *event)
{
    struct follower *follower = event->context;
    const usher_events_push *page = event->body;

    (void)async;
    if (event->kind == USHER_WATCH_ENDED && event->status == USHER_STATUS_ANSWERED) {
        fprintf(stderr, "it is over: %s\n", usher_result_text(event->result));
        event_base_loopbreak(follower->base);
    }
    if (event->kind != USHER_WATCH_PUSH)
        return;
    for (unsigned i = 0; i < page->event_count; i++) {
        printf("%" PRIu64 " %s\n", page->event[i].event_no, kind_name(page->event[i].kind));
        if (++follower->seen == follower->seen_most)
            event_base_loopbreak(follower->base);
    }
    fflush(stdout);
}

int
main(int argc, char **argv)
{
    usher_async_options options = {.heartbeat_ms = 0};
    usher_watch_events_request request = {.after_event_no = 0};
    struct follower follower = {.base = NULL};
    struct usher_libevent adapter;
    usher_async *async;

    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: follow_events_libevent ADDRESS KEY_FILE AFTER [EVENTS]\n");
        return 2;
    }
    options.common.server = argv[1];
    options.common.key_file = argv[2];
    request.after_event_no = strtoull(argv[3], NULL, 10);
    follower.seen_most = argc == 5 ? strtoull(argv[4], NULL, 10) : 0;
    follower.base = event_base_new();
    if (usher_async_open(&options, &async) != USHER_STATUS_ANSWERED ||
        usher_async_watch(async, USHER_OPCODE_WATCH_EVENTS, &request, on_events, &follower, NULL) !=
            USHER_STATUS_ANSWERED) {
        fprintf(stderr, "%s\n", usher_async_error(async));
        return 1;
    }
    if (follower.base == NULL || !usher_libevent_attach(&adapter, follower.base, async))
        return 1;
    event_base_dispatch(follower.base);
    usher_libevent_detach(&adapter);
    usher_async_close(async);
    event_base_free(follower.base);
    return 0;
}
