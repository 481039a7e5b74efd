/* buy_ticket_libuv.c: a purchase without ever blocking, in a loop of libuv: each answer submits the next request.
 *
 *     buy_ticket_libuv ADDRESS KEY_FILE CONCERT DATE
 *
 * join ──> watch the place ──> active: hold the best seat ──> charge ──> pay ──> check the ticket
 *
 * The key's role must be gateway, terminal or admin. A made-up user buys the best seat of the date. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <usher.h>
#include <usher_libuv.h>

struct purchase {
    uv_loop_t loop;
    uint32_t concert_id, date_id;
    usher_uuid user;
    usher_join_reply place;
    uint64_t place_watch;
    int64_t price;
    uint64_t reservation_id;
    int failed;
};

/* The end, good or bad. */
static void
finish(struct purchase *purchase, const char *trouble)
{
    if (trouble != NULL) {
        fprintf(stderr, "%s\n", trouble);
        purchase->failed = 1;
    }
    uv_stop(&purchase->loop);
}

/* Whether the answer is yes. After MAYBE_APPLIED a shop would ask again under the same id, or usher_lookup(). */
static int
is_yes(const usher_completion *completion)
{
    if (completion->reply == NULL)
        finish(completion->context, completion->error);
    return completion->reply != NULL;
}

static void
ask(usher_async *async, struct purchase *purchase, uint16_t opcode, const void *request,
    usher_completion_callback callback)
{
    if (usher_async_call(async, opcode, request, NULL, callback, purchase, NULL) != USHER_STATUS_ANSWERED)
        finish(purchase, usher_async_error(async));
}

static void
on_paid(usher_async *async, const usher_completion *completion)
{
    struct purchase *purchase = completion->context;
    const usher_pay_reply *paid = completion->reply;
    usher_ticket ticket;

    if (!is_yes(completion))
        return;
    if (usher_ticket_verify(&usher_async_identity(async)->server_key, paid->receipt, paid->receipt_count, &ticket) !=
        USHER_VERDICT_GENUINE) {
        finish(purchase, "the ticket is not genuine");
        return;
    }
    printf("ticket of payment %" PRIu64 ": concert %" PRIu32 ", date %" PRIu32 ", seat %" PRIu32 "\n",
           ticket.payment_id, ticket.seat[0].concert_id, ticket.seat[0].date_id, ticket.seat[0].seat_no);
    finish(purchase, NULL);
}

static void
on_charged(usher_async *async, const usher_completion *completion)
{
    struct purchase *purchase = completion->context;
    usher_pay_request pay = {.reservation_count = 1, .token_count = purchase->place.token_count};

    if (!is_yes(completion))
        return;
    pay.reservation[0] = purchase->reservation_id;
    memcpy(pay.token, purchase->place.token, purchase->place.token_count);
    ask(async, purchase, USHER_OPCODE_PAY, &pay, on_paid);
}

static void
on_held(usher_async *async, const usher_completion *completion)
{
    struct purchase *purchase = completion->context;
    const usher_reserve_best_reply *held = completion->reply;
    usher_charge_request charge = {.token_count = purchase->place.token_count};

    if (!is_yes(completion))
        return;
    purchase->reservation_id = held->hold[0].reservation_id;
    printf("seat %" PRIu32 " for %" PRId64 "\n", held->hold[0].seat_no, held->hold[0].price);
    charge.amount = held->hold[0].price;
    memcpy(charge.token, purchase->place.token, purchase->place.token_count);
    ask(async, purchase, USHER_OPCODE_CHARGE, &charge, on_charged);
}

static void
go_in(usher_async *async, struct purchase *purchase)
{
    usher_reserve_best_request best = {.concert_id = purchase->concert_id,
                                       .date_id = purchase->date_id,
                                       .count = 1,
                                       .grade = USHER_GRADE_ANY,
                                       .token_count = purchase->place.token_count};

    memcpy(best.token, purchase->place.token, purchase->place.token_count);
    ask(async, purchase, USHER_OPCODE_RESERVE_BEST, &best, on_held);
}

/* The place says by itself when its turn has come; an open subscription keeps it alive. */
static void
on_place(usher_async *async, const usher_watch_event *event)
{
    struct purchase *purchase = event->context;
    const usher_watch_place_reply *first = event->body;
    const usher_place_push *later = event->body;
    int state = USHER_PLACE_WAITING;

    if (event->kind == USHER_WATCH_ENDED && event->status == USHER_STATUS_ANSWERED)
        finish(purchase, usher_result_text(event->result));
    if (event->kind == USHER_WATCH_STARTED)
        state = first->state;
    if (event->kind == USHER_WATCH_PUSH)
        state = later->state;
    if (state != USHER_PLACE_ACTIVE)
        return;
    usher_async_unwatch(async, event->watch_no);
    go_in(async, purchase);
}

static void
on_joined(usher_async *async, const usher_completion *completion)
{
    struct purchase *purchase = completion->context;
    usher_watch_place_request watch = {.token_count = 0};

    if (!is_yes(completion))
        return;
    purchase->place = *(const usher_join_reply *)completion->reply;
    watch.token_count = purchase->place.token_count;
    memcpy(watch.token, purchase->place.token, purchase->place.token_count);
    if (usher_async_watch(async, USHER_OPCODE_WATCH_PLACE, &watch, on_place, purchase, &purchase->place_watch) !=
        USHER_STATUS_ANSWERED)
        finish(purchase, usher_async_error(async));
}

/* A concert's queue stands in the catalogue. */
static void
on_concerts(usher_async *async, const usher_completion *completion)
{
    struct purchase *purchase = completion->context;
    const usher_concerts_reply *concerts = completion->reply;
    usher_join_request join = {.user = purchase->user};
    int found = 0;

    if (!is_yes(completion))
        return;
    for (unsigned i = 0; i < concerts->concert_count; i++)
        if (concerts->concert[i].concert_id == purchase->concert_id) {
            join.queue_id = concerts->concert[i].queue_id;
            found = 1;
        }
    if (found)
        ask(async, purchase, USHER_OPCODE_JOIN, &join, on_joined);
    else
        finish(purchase, "there is no such concert");
}

int
main(int argc, char **argv)
{
    usher_async_options options = {.heartbeat_ms = 0};
    usher_concerts_request all = {.after_concert_id = 0};
    static struct purchase purchase;
    struct usher_libuv adapter;
    usher_async *async;
    usher_id random;

    if (argc != 5) {
        fprintf(stderr, "usage: buy_ticket_libuv ADDRESS KEY_FILE CONCERT DATE\n");
        return 2;
    }
    options.common.server = argv[1];
    options.common.key_file = argv[2];
    purchase.concert_id = (uint32_t)strtoul(argv[3], NULL, 10);
    purchase.date_id = (uint32_t)strtoul(argv[4], NULL, 10);
    usher_new_id(&random);
    memcpy(purchase.user.bytes, random.bytes, sizeof random.bytes);
    uv_loop_init(&purchase.loop);
    if (usher_async_open(&options, &async) != USHER_STATUS_ANSWERED ||
        usher_libuv_attach(&adapter, &purchase.loop, async) != 0) {
        fprintf(stderr, "%s\n", usher_async_error(async));
        return 1;
    }
    ask(async, &purchase, USHER_OPCODE_CONCERTS, &all, on_concerts);
    uv_run(&purchase.loop, UV_RUN_DEFAULT);
    usher_libuv_detach(&adapter);
    usher_async_close(async);
    uv_run(&purchase.loop, UV_RUN_DEFAULT); /* libuv lets go of the adapter */
    uv_loop_close(&purchase.loop);
    return purchase.failed;
}
