/* wait_in_line_poll.c: a place in line, in a poll() loop that has something else to watch as well.
 *
 *     wait_in_line_poll ADDRESS KEY_FILE QUEUE
 *
 * Joins the queue as somebody new and says each rank that is told. It ends when the turn has come (0), or when a line
 * is typed: then the place is given up (1). The key's role must be gateway, terminal or admin. Who does not watch
 * anything besides handles of the SDK uses usher_poll.h. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <usher.h>

struct waiter {
    usher_join_reply join; /* with the token */
    int over;              /* 1: the turn has come; 2: given up; 3: something went wrong */
};

static void
give_up(struct waiter *waiter, const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    waiter->over = 3;
}

static void
tell(struct waiter *waiter, uint8_t state, uint64_t rank)
{
    if (state == USHER_PLACE_WAITING)
        printf("rank %" PRIu64 "\n", rank);
    else
        printf(state == USHER_PLACE_ACTIVE ? "it is your turn\n" : "the place is over\n");
    fflush(stdout);
    if (state == USHER_PLACE_ACTIVE)
        waiter->over = 1;
    else if (state != USHER_PLACE_WAITING)
        waiter->over = state == USHER_PLACE_LEFT ? 2 : 3;
}

/* The reply says how the place stands, each push how it stands now. An open subscription keeps the place alive. */
static void
on_place(usher_async *async, const usher_watch_event *event)
{
    struct waiter *waiter = event->context;
    const usher_watch_place_reply *first = event->body;
    const usher_place_push *now = event->body;

    (void)async;
    if (event->kind == USHER_WATCH_STARTED)
        tell(waiter, first->state, first->rank);
    else if (event->kind == USHER_WATCH_PUSH)
        tell(waiter, now->state, now->rank);
    else if (event->kind == USHER_WATCH_ENDED && event->result != USHER_OK && waiter->over == 0)
        give_up(waiter, "watch", usher_result_text(event->result));
}

static void
on_joined(usher_async *async, const usher_completion *completion)
{
    struct waiter *waiter = completion->context;
    usher_watch_place_request request = {.token_count = 0};

    if (completion->reply == NULL) {
        give_up(waiter, "join", completion->error);
        return;
    }
    waiter->join = *(const usher_join_reply *)completion->reply;
    request.token_count = waiter->join.token_count;
    memcpy(request.token, waiter->join.token, waiter->join.token_count);
    if (usher_async_watch(async, USHER_OPCODE_WATCH_PLACE, &request, on_place, waiter, NULL) != USHER_STATUS_ANSWERED)
        give_up(waiter, "watch", usher_async_error(async));
}

static void
on_left(usher_async *async, const usher_completion *completion)
{
    struct waiter *waiter = completion->context;

    (void)async;
    if (completion->reply == NULL)
        give_up(waiter, "leave", completion->error);
    else
        waiter->over = 2;
}

static void
leave(usher_async *async, struct waiter *waiter)
{
    usher_leave_request request = {.token_count = waiter->join.token_count};

    memcpy(request.token, waiter->join.token, waiter->join.token_count);
    if (usher_async_call(async, USHER_OPCODE_LEAVE, &request, NULL, on_left, waiter, NULL) != USHER_STATUS_ANSWERED)
        give_up(waiter, "leave", usher_async_error(async));
}

/* Two descriptors: people's and the handle's. */
static void
run(usher_async *async, struct waiter *waiter)
{
    struct pollfd watched[] = {{.fd = usher_async_descriptor(async), .events = POLLIN},
                               {.fd = STDIN_FILENO, .events = POLLIN}};
    char line[256];

    while (waiter->over == 0) {
        if (poll(watched, 2, -1) < 0)
            continue; /* a signal */
        if (watched[0].revents != 0)
            usher_async_process(async);
        if (watched[1].revents == 0)
            continue;
        watched[1].fd = -1; /* once is enough */
        if (read(STDIN_FILENO, line, sizeof line) > 0)
            leave(async, waiter);
    }
}

int
main(int argc, char **argv)
{
    usher_async_options options = {.heartbeat_ms = 0};
    usher_join_request request = {.queue_id = 0};
    struct waiter waiter = {.over = 0};
    usher_async *async;
    usher_id person;

    if (argc != 4) {
        fprintf(stderr, "usage: wait_in_line_poll ADDRESS KEY_FILE QUEUE\n");
        return 2;
    }
    options.common.server = argv[1];
    options.common.key_file = argv[2];
    request.queue_id = (uint32_t)strtoul(argv[3], NULL, 10);
    usher_new_id(&person);
    memcpy(request.user.bytes, person.bytes, sizeof person.bytes);
    if (usher_async_open(&options, &async) != USHER_STATUS_ANSWERED ||
        usher_async_call(async, USHER_OPCODE_JOIN, &request, NULL, on_joined, &waiter, NULL) != USHER_STATUS_ANSWERED) {
        fprintf(stderr, "%s\n", usher_async_error(async));
        return 3;
    }
    run(async, &waiter);
    usher_async_close(async);
    return waiter.over - 1;
}
