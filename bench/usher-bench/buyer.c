/* buyer.c: what a buyer does, from the join to the ticket.
 *
 *     join ──> wait (poll, or a subscription) ──> dates ──> seats ──> reserve ──> charge ──> pay
 *                │ no patience                      ^         ^  │
 *                └──> leave                         │         └──┘ somebody was faster: look again
 *                                                   └── nothing left on this date
 *
 * Between the steps it thinks. Some commands are asked a second time under their request id, as by a buyer whose first
 * answer was lost: the answer must be the first one again. What was under way when a connection was cut is asked again
 * under the same id on the next one. */
#include <stdlib.h>
#include <string.h>

#include "bench/common/clock.h"
#include "bench/usher-bench/rush.h"

#define CONCERT      1u
#define TRIES_MOST   24u /* looks at seats before it gives up */
#define MS           UINT64_C(1000000)
#define PATIENCE_NS  (3 * NS_OF_S) /* of one who will leave */

const char *const step_names[STEP_COUNT] = {
#define BENCH_STEP(NAME, name, OPCODE) [STEP_##NAME] = #name,
#include "bench/usher-bench/steps.def"
};

static const uint16_t step_opcodes[STEP_COUNT] = {
#define BENCH_STEP(NAME, name, OPCODE) [STEP_##NAME] = USHER_OPCODE_##OPCODE,
#include "bench/usher-bench/steps.def"
};

/* --- going on ----------------------------------------------------------------------------------------- */
static bool
lot(struct rush *rush, uint64_t percent)
{
    return dice_below(&rush->dice, 100) < percent;
}

static void
think_then(struct buyer *buyer, enum step step)
{
    struct rush *rush = buyer->rush;
    uint64_t think_ns = dice_below(&rush->dice, rush->options->think_ms + 1) * MS;

    rush_schedule(rush, buyer, step, rush->now_ns + think_ns);
}

static void
end(struct buyer *buyer, enum fate fate)
{
    struct rush *rush = buyer->rush;

    rush_unschedule(rush, buyer);
    if (buyer->watched)
        usher_async_unwatch(rush->lane[buyer->lane].async, buyer->watch_no);
    buyer->fate = (uint8_t)fate;
    rush->fate[fate]++;
    rush->gone++;
    free(buyer->token);
    buyer->token = NULL;
}

static void
fresh_id(struct buyer *buyer)
{
    buyer->request_id = target_usher_id();
    buyer->repeats = false;
}

static void
go(struct buyer *buyer, enum step step)
{
    fresh_id(buyer);
    think_then(buyer, step);
}

/* --- requests ----------------------------------------------------------------------------------------- */
union request {
    usher_join_request join;
    usher_place_request place;
    usher_dates_request dates;
    usher_seats_request seats;
    usher_reserve_request reserve;
    usher_charge_request charge;
    usher_pay_request pay;
    usher_leave_request leave;
};

#define TOKEN(field)                                                                                      \
    request->field.token_count = buyer->token_count;                                                      \
    memcpy(request->field.token, buyer->token, buyer->token_count)

static void
fill_join(const struct buyer *buyer, union request *request)
{
    request->join = (usher_join_request){.request_id = buyer->request_id, .user = buyer->user};
}

static void
fill_place(const struct buyer *buyer, union request *request)
{
    TOKEN(place);
}

static void
fill_dates(const struct buyer *buyer, union request *request)
{
    TOKEN(dates);
    request->dates.concert_id = CONCERT;
}

static void
fill_seats(const struct buyer *buyer, union request *request)
{
    TOKEN(seats);
    request->seats.concert_id = CONCERT;
    request->seats.date_id = buyer->date_id;
}

static void
fill_reserve(const struct buyer *buyer, union request *request)
{
    TOKEN(reserve);
    request->reserve.request_id = buyer->request_id;
    request->reserve.concert_id = CONCERT;
    request->reserve.date_id = buyer->date_id;
    request->reserve.seat_count = buyer->wanted;
    for (unsigned i = 0; i < buyer->wanted; i++)
        request->reserve.seat[i] = buyer->seat[i];
}

static void
fill_charge(const struct buyer *buyer, union request *request)
{
    TOKEN(charge);
    request->charge.request_id = buyer->request_id;
    request->charge.amount = buyer->price;
}

static void
fill_pay(const struct buyer *buyer, union request *request)
{
    TOKEN(pay);
    request->pay.request_id = buyer->request_id;
    request->pay.reservation_count = buyer->wanted;
    for (unsigned i = 0; i < buyer->wanted; i++)
        request->pay.reservation[i] = buyer->reservation[i];
}

static void
fill_leave(const struct buyer *buyer, union request *request)
{
    TOKEN(leave);
    request->leave.request_id = buyer->request_id;
}

static void (*const fill[STEP_COUNT])(const struct buyer *, union request *) = {
#define BENCH_STEP(NAME, name, OPCODE) [STEP_##NAME] = fill_##name,
#include "bench/usher-bench/steps.def"
};

/* --- waiting ------------------------------------------------------------------------------------------ */
static void
admitted(struct buyer *buyer)
{
    struct rush *rush = buyer->rush;

    rush->admitted++;
    buyer->leave_ns = UINT64_MAX;
    go(buyer, STEP_DATES);
}

/* The place has been seen in some state: by an answer or by a push. Who waits when all is sold hears it then (Q10). */
static void
place_seen(struct buyer *buyer, uint8_t state, uint8_t sale, uint64_t next_poll_ms)
{
    struct rush *rush = buyer->rush;
    uint64_t next_ns = rush->now_ns + next_poll_ms * MS;

    if (state == USHER_PLACE_ACTIVE) {
        admitted(buyer);
    } else if (state != USHER_PLACE_WAITING) {
        end(buyer, FATE_LAPSED);
    } else if (sale == USHER_SALE_SOLD_OUT) {
        end(buyer, FATE_TURNED_AWAY);
    } else if (buyer->watched) {
        if (buyer->leave_ns != UINT64_MAX)
            rush_schedule(rush, buyer, STEP_LEAVE, buyer->leave_ns);
    } else if (buyer->leave_ns < next_ns) {
        fresh_id(buyer);
        rush_schedule(rush, buyer, STEP_LEAVE, buyer->leave_ns);
    } else {
        rush_schedule(rush, buyer, STEP_PLACE, next_ns);
    }
}

static void
on_watch(usher_async *async, const usher_watch_event *event)
{
    struct buyer *buyer = event->context;
    struct rush *rush = buyer->rush;
    const usher_place_push *push = event->body;

    (void)async;
    if (!buyer->watched)
        return; /* it has gone on */
    if (event->kind == USHER_WATCH_ENDED) {
        buyer->watched = false;
        if (buyer->fate == FATE_UNDECIDED && !buyer->asked) /* the connection was cut: look by itself */
            rush_schedule(rush, buyer, STEP_PLACE, rush->now_ns);
        return;
    }
    if (event->kind != USHER_WATCH_PUSH || event->opcode != USHER_PUSH_PLACE ||
        (push->state == USHER_PLACE_WAITING && push->sale != USHER_SALE_SOLD_OUT))
        return;
    buyer->watched = false;
    usher_async_unwatch(rush->lane[buyer->lane].async, buyer->watch_no);
    rush_unschedule(rush, buyer);
    if (!buyer->asked) /* it may be on its way out */
        place_seen(buyer, push->state, push->sale, 0);
}

static void
watch_place(struct buyer *buyer)
{
    usher_watch_place_request request = {.token_count = buyer->token_count};
    struct lane *lane = &buyer->rush->lane[buyer->lane];

    memcpy(request.token, buyer->token, buyer->token_count);
    buyer->watched = usher_async_watch(lane->async, USHER_OPCODE_WATCH_PLACE, &request, on_watch, buyer,
                                       &buyer->watch_no) == USHER_STATUS_ANSWERED;
}

/* --- answers that are OK ------------------------------------------------------------------------------ */
static void
took_join(struct buyer *buyer, const void *opaque)
{
    const usher_join_reply *reply = opaque;
    struct rush *rush = buyer->rush;

    buyer->token_count = reply->token_count;
    free(buyer->token);
    buyer->token = malloc(reply->token_count);
    if (buyer->token == NULL)
        abort();
    memcpy(buyer->token, reply->token, reply->token_count);
    if (reply->state == USHER_PLACE_WAITING && lot(rush, rush->options->leavers))
        buyer->leave_ns = rush->now_ns + dice_below(&rush->dice, PATIENCE_NS);
    if (reply->state == USHER_PLACE_WAITING && rush->options->push)
        watch_place(buyer);
    fresh_id(buyer);
    place_seen(buyer, reply->state, reply->sale, reply->next_poll_ms);
}

static void
took_place(struct buyer *buyer, const void *opaque)
{
    const usher_place_reply *reply = opaque;

    if (reply->state == USHER_PLACE_WAITING && reply->sale != USHER_SALE_SOLD_OUT && buyer->rush->options->push)
        watch_place(buyer);
    place_seen(buyer, reply->state, reply->sale, reply->next_poll_ms);
}

/* The early dates are wanted most. */
static void
took_dates(struct buyer *buyer, const void *opaque)
{
    const usher_dates_reply *reply = opaque;
    double unit = dice_unit(&buyer->rush->dice);

    if (reply->date_count == 0 || buyer->tries++ >= TRIES_MOST) {
        go(buyer, STEP_LEAVE);
        return;
    }
    buyer->date_id = reply->date[(size_t)(unit * unit * reply->date_count)].date_id;
    go(buyer, STEP_SEATS);
}

/* And so are the seats in front. Returns how many were found. */
static unsigned
choose_seats(struct buyer *buyer, const usher_seats_reply *reply)
{
    double unit = dice_unit(&buyer->rush->dice);
    uint32_t free_count = 0, skip;
    unsigned found = 0;

    for (uint32_t seat = 1; seat <= reply->seat_count; seat++)
        free_count += usher_seat_is_free(reply, seat) != 0;
    skip = (uint32_t)(unit * unit * unit * free_count);
    for (uint32_t seat = 1; seat <= reply->seat_count && found < buyer->wanted; seat++) {
        if (!usher_seat_is_free(reply, seat))
            continue;
        if (skip > 0)
            skip--;
        else
            buyer->seat[found++] = seat;
    }
    return found;
}

static void
took_seats(struct buyer *buyer, const void *reply)
{
    unsigned found = choose_seats(buyer, reply);

    if (found > 0)
        buyer->wanted = (uint8_t)found;
    go(buyer, found > 0 ? STEP_RESERVE : STEP_DATES);
}

static void
took_reserve(struct buyer *buyer, const void *opaque)
{
    const usher_reserve_reply *reply = opaque;

    buyer->price = 0;
    for (unsigned i = 0; i < buyer->wanted; i++) {
        buyer->reservation[i] = reply->hold[i].reservation_id;
        buyer->price += reply->hold[i].price;
    }
    go(buyer, STEP_CHARGE);
}

static void
took_charge(struct buyer *buyer, const void *reply)
{
    (void)reply;
    go(buyer, STEP_PAY);
}

static void
took_pay(struct buyer *buyer, const void *opaque)
{
    buyer->rush->seats_bought += ((const usher_pay_reply *)opaque)->seat_count;
    end(buyer, FATE_BOUGHT);
}

static void
took_leave(struct buyer *buyer, const void *reply)
{
    (void)reply;
    end(buyer, buyer->tries > 0 ? FATE_NOTHING : FATE_WENT);
}

static void (*const took[STEP_COUNT])(struct buyer *, const void *reply) = {
#define BENCH_STEP(NAME, name, OPCODE) [STEP_##NAME] = took_##name,
#include "bench/usher-bench/steps.def"
};

/* --- answers that are not ----------------------------------------------------------------------------- */
/* What a refusal makes a buyer do; the first row that fits. STEP_COUNT: its way ends. */
static const struct refusal_row {
    usher_result result;
    enum step next;
    enum fate fate;
} refusal_rows[] = {
    {USHER_HELD, STEP_SEATS, FATE_UNDECIDED},
    {USHER_SOLD, STEP_SEATS, FATE_UNDECIDED},
    {USHER_TOKEN_WAITING, STEP_PLACE, FATE_UNDECIDED},
    {USHER_HOLD_EXPIRED, STEP_SEATS, FATE_UNDECIDED},
    {USHER_SOLD_OUT, STEP_COUNT, FATE_TURNED_AWAY},
    {USHER_TOKEN_EXPIRED, STEP_COUNT, FATE_LAPSED},
    {USHER_TOKEN_USED, STEP_COUNT, FATE_LAPSED},
};

static void
refused(struct buyer *buyer, const usher_answer *answer)
{
    struct rush *rush = buyer->rush;

    if (answer->retryable) {
        rush_schedule(rush, buyer, buyer->step, rush->now_ns + (answer->refusal.retry_after_ms + 1) * MS);
        return;
    }
    for (size_t i = 0; i < sizeof refusal_rows / sizeof *refusal_rows; i++) {
        const struct refusal_row *row = &refusal_rows[i];
        if (row->result != answer->result)
            continue;
        if (row->next == STEP_COUNT)
            end(buyer, row->fate);
        else if (row->next == STEP_SEATS && buyer->tries++ >= TRIES_MOST)
            go(buyer, STEP_LEAVE);
        else
            go(buyer, row->next);
        return;
    }
    end(buyer, FATE_LOST);
}

/* --- one answer --------------------------------------------------------------------------------------- */
/* What tells one answer to a command from another. */
static uint64_t
number_of(enum step step, const void *reply)
{
    switch (step) {
    case STEP_JOIN:
        return ((const usher_join_reply *)reply)->position;
    case STEP_RESERVE:
        return ((const usher_reserve_reply *)reply)->hold[0].reservation_id;
    case STEP_CHARGE:
        return ((const usher_charge_reply *)reply)->entry_no;
    case STEP_PAY:
        return ((const usher_pay_reply *)reply)->payment_id;
    case STEP_PLACE:
    case STEP_DATES:
    case STEP_SEATS:
    case STEP_LEAVE:
    case STEP_COUNT:
        break;
    }
    return 0;
}

static void
note(struct buyer *buyer, const usher_completion *completion)
{
    struct drive_figures *figures = &buyer->rush->figures[buyer->step];
    bool answered = completion->status == USHER_STATUS_ANSWERED;
    uint64_t now_ns = clock_now_ns();

    figures->answered += answered;
    figures->done += completion->reply != NULL;
    figures->refused += answered && completion->reply == NULL;
    figures->faults += !answered;
    if (answered && completion->reply == NULL)
        figures->reason[completion->answer->result % OUTCOME_REASONS]++;
    histogram_add(&figures->sent, now_ns - buyer->sent_ns);
    histogram_add(&figures->intended, now_ns - buyer->due_ns);
}

/* Tell who checks afterwards; and decide whether the command is asked once more. True: it is. */
static bool
heard(struct buyer *buyer, const usher_completion *completion)
{
    struct rush *rush = buyer->rush;
    struct house *house = &rush->sitting.house;
    struct heard told = {.opcode = step_opcodes[buyer->step],
                         .user = buyer->user,
                         .request_id = completion->answer->request_id,
                         .status = completion->status,
                         .result = completion->answer->result,
                         .reply = completion->reply};
    uint64_t number = number_of(buyer->step, completion->reply);

    if (number == 0 && buyer->step != STEP_LEAVE)
        return false; /* a query */
    if (buyer->repeats) {
        if (number != buyer->number || !completion->answer->replayed)
            snprintf(rush->trouble, sizeof rush->trouble, "WRONG: a %s asked again under its id got another answer",
                     step_names[buyer->step]);
        return false;
    }
    house->witness(house->witness_context, &told);
    if (buyer->step == STEP_LEAVE || !lot(rush, rush->options->retries))
        return false;
    buyer->repeats = true;
    buyer->number = number;
    rush->repeated++;
    rush_schedule(rush, buyer, buyer->step, rush->now_ns);
    return true;
}

static void
on_answer(usher_async *async, const usher_completion *completion)
{
    struct buyer *buyer = completion->context;
    struct rush *rush = buyer->rush;

    (void)async;
    buyer->asked = false;
    rush->now_ns = clock_now_ns();
    if (completion->status != USHER_STATUS_ANSWERED && rush->storming) {
        rush->resent++;
        rush_schedule(rush, buyer, buyer->step, rush->now_ns);
        return;
    }
    note(buyer, completion);
    if (completion->status != USHER_STATUS_ANSWERED) {
        struct heard told = {.opcode = step_opcodes[buyer->step], .user = buyer->user, .status = completion->status};
        told.request_id = completion->answer->request_id;
        rush->sitting.house.witness(rush->sitting.house.witness_context, &told);
        end(buyer, FATE_LOST);
    } else if (completion->reply == NULL) {
        refused(buyer, completion->answer);
    } else if (!heard(buyer, completion)) {
        took[buyer->step](buyer, completion->reply);
    }
}

void
buyer_acts(struct buyer *buyer)
{
    struct rush *rush = buyer->rush;
    struct lane *lane = &rush->lane[buyer->lane];
    static union request request;

    if (buyer->watched && buyer->step == STEP_LEAVE) {
        buyer->watched = false;
        usher_async_unwatch(lane->async, buyer->watch_no);
    }
    memset(&request, 0, usher_message_of(step_opcodes[buyer->step])->request->struct_size);
    fill[buyer->step](buyer, &request);
    buyer->sent_ns = clock_now_ns();
    histogram_add(&rush->figures[buyer->step].lag, buyer->sent_ns - buyer->due_ns);
    rush->figures[buyer->step].asked++;
    if (usher_async_call(lane->async, step_opcodes[buyer->step], &request, NULL, on_answer, buyer, NULL) !=
        USHER_STATUS_ANSWERED) {
        snprintf(rush->trouble, sizeof rush->trouble, "%s", usher_async_error(lane->async));
        return;
    }
    buyer->asked = true;
}

void
buyer_arrives(struct rush *rush, struct buyer *buyer, uint32_t number, uint64_t due_ns)
{
    *buyer = (struct buyer){.rush = rush,
                            .user = target_usher_user(true, number),
                            .lane = number % rush->lane_count,
                            .heap_at = NOWHERE,
                            .leave_ns = UINT64_MAX,
                            .wanted = (uint8_t)(1 + dice_below(&rush->dice, SEATS_AT_MOST))};
    fresh_id(buyer);
    rush_schedule(rush, buyer, STEP_JOIN, due_ns);
}
