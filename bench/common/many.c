/* many.c: see many.h. */
#include "many.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/common/clock.h"

#define HANDLES    4u
#define DEPTH      128u
#define TIMEOUT_MS 60000

union request {
    usher_put_date_request put_date;
    usher_lookup_request lookup;
    usher_balance_request balance;
    usher_charge_request charge;
};

struct place {
    struct asking *asking;
    struct place *next_free;
    size_t at;
};

struct lane {
    usher_async *async;
    struct place place[DEPTH], *free;
};

struct asking {
    const struct many *many;
    struct lane lane[HANDLES];
    size_t next, done;
    char *why; /* "": all is well */
    size_t why_size;
};

static void
on_answer(usher_async *async, const usher_completion *completion)
{
    struct place *place = completion->context;
    struct asking *asking = place->asking;
    const struct many *many = asking->many;
    struct lane *lane = asking->lane;
    bool good = many->take != NULL ? many->take(many->context, place->at, completion) : completion->reply != NULL;

    while (lane->async != async)
        lane++;
    place->next_free = lane->free;
    lane->free = place;
    asking->done++;
    if (!good && asking->why[0] == 0)
        snprintf(asking->why, asking->why_size, "%s: %s", usher_message_of(many->opcode)->name, completion->error);
}

static void
ask_some(struct asking *asking, struct lane *lane)
{
    const struct many *many = asking->many;
    size_t size = usher_message_of(many->opcode)->request->struct_size;
    union request request;

    assert(size <= sizeof request);
    while (lane->free != NULL && asking->next < many->count && asking->why[0] == 0) {
        struct place *place = lane->free;
        memset(&request, 0, size);
        many->make(many->context, asking->next, &request);
        place->at = asking->next;
        if (usher_async_call(lane->async, many->opcode, &request, NULL, on_answer, place, NULL) !=
            USHER_STATUS_ANSWERED) {
            snprintf(asking->why, asking->why_size, "%s", usher_async_error(lane->async));
            return;
        }
        lane->free = place->next_free;
        asking->next++;
    }
    usher_async_process(lane->async);
}

static void
open_lane(struct asking *asking, struct lane *lane, int epoll)
{
    usher_async_options options = {.common.server = asking->many->house->address,
                                   .common.secret = asking->many->secret,
                                   .common.timeout_ms = TIMEOUT_MS,
                                   .in_flight_max = DEPTH};
    struct epoll_event event = {.events = EPOLLIN};

    for (unsigned i = 0; i < DEPTH; i++) {
        lane->place[i] = (struct place){.asking = asking, .next_free = lane->free};
        lane->free = &lane->place[i];
    }
    if (usher_async_open(&options, &lane->async) != USHER_STATUS_ANSWERED ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, usher_async_descriptor(lane->async), &event) != 0)
        snprintf(asking->why, asking->why_size, "%s", usher_async_error(lane->async));
}

bool
many_ask(const struct many *many, char *why, size_t why_size)
{
    struct asking asking = {.many = many, .why = why, .why_size = why_size};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event;

    why[0] = 0;
    for (unsigned i = 0; i < HANDLES; i++)
        open_lane(&asking, &asking.lane[i], epoll);
    while (why[0] == 0 && asking.done < many->count) {
        for (unsigned i = 0; i < HANDLES; i++)
            ask_some(&asking, &asking.lane[i]);
        clock_wait(epoll, &event, 1, NS_OF_S / 10);
    }
    for (unsigned i = 0; i < HANDLES; i++)
        usher_async_close(asking.lane[i].async);
    close(epoll);
    return why[0] == 0;
}
