/* async_purchase.c: the journey of buy_ticket.c without ever blocking: each answer's callback asks the next question.
 *
 *     async_purchase ADDRESS KEY_FILE [BUYERS]
 *
 * The key's role must be gateway, terminal or admin. That many made-up users (or one) buy a seat each of concert 1,
 * date 1, all at once on one connection. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <usher.h>

/* A user on the way: the context of each of its calls. */
struct buyer {
    usher_join_reply place;
    usher_hold hold;
};

static unsigned buyers_left;

static void
give_up(const char *step, const char *why)
{
    fprintf(stderr, "%s: %s\n", step, why);
    exit(1);
}

static void
submit(usher_async *async, struct buyer *buyer, uint16_t opcode, const void *request, usher_completion_callback next)
{
    if (usher_async_call(async, opcode, request, NULL, next, buyer, NULL) != USHER_STATUS_ANSWERED)
        give_up("ask", usher_async_error(async));
}

/* Every answer has the same two questions: was there one, and was it yes? */
static struct buyer *
must(const char *step, const usher_completion *completion)
{
    if (completion->status != USHER_STATUS_ANSWERED || completion->answer->result != USHER_OK)
        give_up(step, completion->error);
    return completion->context;
}

static void
on_paid(usher_async *async, const usher_completion *completion)
{
    const usher_pay_reply *paid = completion->reply;
    const usher_key *key = &usher_async_identity(async)->server_key;

    must("pay", completion);
    if (usher_ticket_verify(key, paid->receipt, paid->receipt_count, NULL) != USHER_VERDICT_GENUINE)
        give_up("pay", "the ticket is not genuine");
    printf("payment %" PRIu64 ": seat %" PRIu32 "\n", paid->payment_id, paid->seat[0].seat_no);
    buyers_left--;
}

static void
on_charged(usher_async *async, const usher_completion *completion)
{
    struct buyer *buyer = must("charge", completion);
    usher_pay_request pay = {.reservation_count = 1, .reservation = {buyer->hold.reservation_id}};

    pay.token_count = buyer->place.token_count;
    memcpy(pay.token, buyer->place.token, sizeof pay.token);
    submit(async, buyer, USHER_OPCODE_PAY, &pay, on_paid);
}

static void
on_held(usher_async *async, const usher_completion *completion)
{
    struct buyer *buyer = must("reserve", completion);
    usher_charge_request charge = {.token_count = buyer->place.token_count};

    buyer->hold = ((const usher_reserve_best_reply *)completion->reply)->hold[0]; /* the reply is gone after this */
    memcpy(charge.token, buyer->place.token, sizeof charge.token);
    charge.amount = buyer->hold.price;
    submit(async, buyer, USHER_OPCODE_CHARGE, &charge, on_charged);
}

/* The server says when it is one's turn; nobody asks again and again. */
static void
on_place(usher_async *async, const usher_watch_event *event)
{
    struct buyer *buyer = event->context;
    const usher_watch_place_reply *first = event->body;
    const usher_place_push *now = event->body;
    usher_reserve_best_request best = {.concert_id = 1, .date_id = 1, .count = 1, .grade = USHER_GRADE_ANY};

    if (event->kind == USHER_WATCH_ENDED && event->status == USHER_STATUS_ANSWERED)
        give_up("the place is lost", usher_result_text(event->result));
    if ((event->kind == USHER_WATCH_STARTED && first->state == USHER_PLACE_ACTIVE) ||
        (event->kind == USHER_WATCH_PUSH && event->opcode == USHER_PUSH_PLACE && now->state == USHER_PLACE_ACTIVE)) {
        usher_async_unwatch(async, event->watch_no); /* no event but ENDED comes after it */
        best.token_count = buyer->place.token_count;
        memcpy(best.token, buyer->place.token, sizeof best.token);
        submit(async, buyer, USHER_OPCODE_RESERVE_BEST, &best, on_held);
    }
}

static void
on_joined(usher_async *async, const usher_completion *completion)
{
    struct buyer *buyer = must("join", completion);
    usher_watch_place_request watch = {0};

    buyer->place = *(const usher_join_reply *)completion->reply;
    watch.token_count = buyer->place.token_count;
    memcpy(watch.token, buyer->place.token, sizeof watch.token);
    if (usher_async_watch(async, USHER_OPCODE_WATCH_PLACE, &watch, on_place, buyer, NULL) != USHER_STATUS_ANSWERED)
        give_up("watch", usher_async_error(async));
}

int
main(int argc, char **argv)
{
    usher_async_options options = {0};
    usher_async *async;
    struct buyer *buyers;
    unsigned count = argc == 4 ? (unsigned)strtoul(argv[3], NULL, 10) : 1;

    if (argc < 3 || argc > 4 || count == 0 || count > 1000) {
        fprintf(stderr, "usage: async_purchase ADDRESS KEY_FILE [BUYERS]\n");
        return 2;
    }
    options.common.server = argv[1];
    options.common.key_file = argv[2];
    buyers = calloc(count, sizeof *buyers);
    if (buyers == NULL || usher_async_open(&options, &async) != USHER_STATUS_ANSWERED)
        give_up(argv[1], buyers == NULL ? "out of memory" : usher_async_error(async));
    buyers_left = count;
    for (unsigned i = 0; i < count; i++) {
        usher_join_request join = {.queue_id = 0};
        usher_id random;

        usher_new_id(&random);
        memcpy(join.user.bytes, random.bytes, sizeof random.bytes);
        submit(async, &buyers[i], USHER_OPCODE_JOIN, &join, on_joined);
    }
    while (buyers_left > 0) {
        struct pollfd readable = {.fd = usher_async_descriptor(async), .events = POLLIN};

        if (poll(&readable, 1, -1) < 0 && errno != EINTR)
            give_up("poll", strerror(errno));
        usher_async_process(async);
    }
    usher_async_close(async);
    free(buyers);
    return 0;
}
