/* live_seats.c: the free seats of a date, live: first all of them, then what changes.
 *
 *     live_seats ADDRESS KEY_FILE CONCERT DATE [CHANGES]
 *
 * A line for each change; behind so many changes it ends. The key's role must be terminal or admin: they need no token.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <usher.h>
#include <usher_poll.h>

/* What the screen shows. A date has at most 65,536 seats. */
struct screen {
    uint64_t free[1024];
    uint64_t changes, changes_most;
    int over;
};

static void
show(const struct screen *screen)
{
    unsigned count = 0;

    for (unsigned block = 0; block < 1024; block++)
        for (uint64_t left = screen->free[block]; left != 0; left &= left - 1)
            count++;
    printf("%u seats are free\n", count);
    fflush(stdout);
}

/* First comes everything (SEATS), then what changes (SEAT_CHANGES); after a lost connection everything again. */
static void
on_seats(usher_async *async, const usher_watch_event *event)
{
    struct screen *screen = event->context;

    (void)async;
    if (event->kind == USHER_WATCH_ENDED && event->status == USHER_STATUS_ANSWERED) {
        fprintf(stderr, "it is over: %s\n", usher_result_text(event->result));
        screen->over = 1;
    }
    if (event->kind != USHER_WATCH_PUSH)
        return;
    if (event->opcode == USHER_PUSH_SEATS) {
        const usher_seats_push *all = event->body;
        memcpy(&screen->free[all->first_block], all->free_block, all->free_block_count * sizeof all->free_block[0]);
    }
    if (event->opcode == USHER_PUSH_SEAT_CHANGES) {
        const usher_seat_changes_push *some = event->body;
        for (unsigned i = 0; i < some->block_count; i++)
            screen->free[some->block[i].block] = some->block[i].free;
        screen->changes++;
    }
    show(screen);
    screen->over = screen->changes_most > 0 && screen->changes >= screen->changes_most;
}

int
main(int argc, char **argv)
{
    usher_async_options options = {.heartbeat_ms = 0};
    usher_watch_seats_request request = {.concert_id = 0};
    static struct screen screen;
    usher_async *async;
    usher_id viewer;

    if (argc != 5 && argc != 6) {
        fprintf(stderr, "usage: live_seats ADDRESS KEY_FILE CONCERT DATE [CHANGES]\n");
        return 2;
    }
    options.common.server = argv[1];
    options.common.key_file = argv[2];
    request.concert_id = (uint32_t)strtoul(argv[3], NULL, 10);
    request.date_id = (uint32_t)strtoul(argv[4], NULL, 10);
    screen.changes_most = argc == 6 ? strtoull(argv[5], NULL, 10) : 0;
    usher_new_id(&viewer); /* somebody must be looking */
    memcpy(request.user.bytes, viewer.bytes, sizeof viewer.bytes);
    if (usher_async_open(&options, &async) != USHER_STATUS_ANSWERED ||
        usher_async_watch(async, USHER_OPCODE_WATCH_SEATS, &request, on_seats, &screen, NULL) !=
            USHER_STATUS_ANSWERED) {
        fprintf(stderr, "%s\n", usher_async_error(async));
        return 1;
    }
    while (!screen.over)
        usher_poll(&async, 1, -1);
    usher_async_close(async);
    return 0;
}
