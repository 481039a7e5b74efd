/* seven.c: the seven requests of REQUIREMENTS (A1 to A7) in exactly their names and shapes.
 *
 * The ids of a reply are those of the request, so each keeps what was asked (call->asked). A7 names a seat where the
 * house wants a reservation, and its token is used up by it, so it goes
 *
 *     LOOKUP the key ---- answered before: that answer again (M7)
 *          `-- nothing: HOLDS of the user ---- the seat's reservation: PAY under the key
 *                            `-- none on this seat: RESERVATION_NOT_FOUND
 *
 * Two at once under different keys are told apart by PAY: one pays, the other learns ALREADY_PAID or TOKEN_USED. */
#include "handlers.h"

#include <string.h>
#include <time.h>

#include "seat_list.h"
#include "shop.h"

/* --- A1: a token ------------------------------------------------------------------------------------------------ */
void
token_done(struct call *call, const void *reply)
{
    const usher_join_reply *joined = reply;
    char text[4 * sizeof joined->token / 3 + 2];

    usher_base64_format(joined->token, joined->token_count, text, sizeof text);
    call_answer(call, json_pack("{s:o, s:s}", "userId", user_id_json(&call->user), "token", text));
}

/* The concert that was asked for, if it is there, and so its queue. */
static void
concert_done(struct call *call, const void *reply)
{
    const usher_concerts_reply *page = reply;
    usher_join_request *join = call->asked;

    if (page->concert_count == 0 || page->concert[0].concert_id != call->extra.of_concert) {
        call_refuse(call, (struct problem){.code = PROBLEM_CONCERT_NOT_FOUND});
        return;
    }
    join->queue_id = page->concert[0].queue_id;
    call_submit(call, USHER_OPCODE_JOIN, join, token_done);
}

void
token_handle(struct http_exchange *exchange)
{
    void *request;
    struct call *call = call_open(exchange, &request, NULL);

    if (call == NULL || !shop_allows(call))
        return;
    if (call->extra.of_concert == 0) {
        call_submit(call, USHER_OPCODE_JOIN, request, token_done);
        return;
    }
    call_keep(call, request, sizeof(usher_join_request));
    call_submit(call, USHER_OPCODE_CONCERTS, &(usher_concerts_request){.after_concert_id = call->extra.of_concert - 1},
                concert_done);
}

/* --- A2, A3: dates and seats ---------------------------------------------------------------------------------------
 */
/* "2024-06-20": the day of a moment in the bridge's time zone. */
static void
day_of(uint64_t moment_ms, int zone_minutes, char text[16])
{
    time_t seconds = (time_t)(moment_ms / 1000) + (time_t)zone_minutes * 60;
    struct tm day;

    gmtime_r(&seconds, &day);
    strftime(text, 16, "%Y-%m-%d", &day);
}

void
date_done(struct call *call, const void *reply)
{
    const usher_dates_reply *page = reply;
    usher_dates_request *asked = call->asked;
    char day[16];

    if (call->kept == NULL)
        call->kept =
            json_pack("{s:[], s:I, s:[]}", "dateId", "concertId", (json_int_t)asked->concert_id, "availableDates");
    for (uint16_t i = 0; i < page->date_count; i++) {
        day_of(page->date[i].starts_at_ms, call->bridge->zone_minutes, day);
        json_array_append_new(json_object_get(call->kept, "dateId"), json_integer(page->date[i].date_id));
        json_array_append_new(json_object_get(call->kept, "availableDates"), json_string(day));
    }
    if (page->more == USHER_FLAG_YES) {
        asked->after_date_id = page->date[page->date_count - 1].date_id;
        call_submit(call, USHER_OPCODE_DATES, asked, date_done);
        return;
    }
    call_answer(call, json_incref(call->kept));
}

void
seat_done(struct call *call, const void *reply)
{
    const usher_seats_reply *page = reply;
    usher_seats_request *asked = call->asked;

    if (call->kept == NULL)
        call->kept = json_pack("{s:I, s:I, s:[]}", "concertId", (json_int_t)page->concert_id, "dateId",
                               (json_int_t)page->date_id, "seatId");
    seat_list_add_numbers(json_object_get(call->kept, "seatId"), page);
    if (seat_list_next_page(page, asked))
        call_submit(call, USHER_OPCODE_SEATS, asked, seat_done);
    else
        call_answer(call, json_incref(call->kept));
}

/* --- A4 to A7
 * ---------------------------------------------------------------------------------------------------------- */
/* The ids that A4 and A7 give back, behind one of their own. */
static json_t *
seat_answer(struct call *call, const char *id_name, uint64_t id, uint32_t concert_id, uint32_t date_id,
            uint32_t seat_no)
{
    return json_pack("{s:I, s:o, s:I, s:I, s:I}", id_name, (json_int_t)id, "userId", user_id_json(&call->user),
                     "concertId", (json_int_t)concert_id, "dateId", (json_int_t)date_id, "seatId", (json_int_t)seat_no);
}

void
reservation_done(struct call *call, const void *reply)
{
    const usher_hold *hold = ((const usher_reserve_reply *)reply)->hold;
    json_t *answer =
        seat_answer(call, "reservationId", hold->reservation_id, hold->concert_id, hold->date_id, hold->seat_no);

    json_object_set_new(answer, "status", json_string("APPLY"));
    call_answer(call, answer);
}

void
total_done(struct call *call, const void *reply)
{
    int64_t total = call->row->opcode == USHER_OPCODE_CHARGE ? ((const usher_charge_reply *)reply)->balance
                                                             : ((const usher_balance_reply *)reply)->balance;

    call_answer(call, json_pack("{s:I}", "total", (json_int_t)total));
}

static void
payment_done(struct call *call, const void *reply)
{
    const usher_pay_reply *paid = reply;
    json_t *answer = seat_answer(call, "paymentId", paid->payment_id, paid->seat[0].concert_id, paid->seat[0].date_id,
                                 paid->seat[0].seat_no);

    json_object_set_new(answer, "total", json_integer(paid->amount));
    json_object_set_new(answer, "status", json_string("COMPLETE"));
    call_answer(call, answer);
}

static bool
is_same_seat(const usher_reserve_request *asked, uint32_t concert_id, uint32_t date_id, uint32_t seat_no)
{
    return asked->concert_id == concert_id && asked->date_id == date_id && asked->seat[0] == seat_no;
}

static void
payment_holds_done(struct call *call, const void *reply)
{
    static const struct words none = {
        {"no live hold of this user is on that seat: it was never taken, was given up, or has run out",
         "이 사용자가 그 좌석을 잡고 있지 않습니다. 잡은 적이 없거나, 놓았거나, 시간이 끝났습니다"}};
    const usher_holds_reply *holds = reply;
    const usher_reserve_request *asked = call->asked;
    usher_pay_request pay = {
        .request_id = call->request_id, .user = asked->user, .token_count = asked->token_count, .reservation_count = 1};

    memcpy(pay.token, asked->token, sizeof pay.token);
    for (uint16_t i = 0; i < holds->hold_count; i++) {
        const usher_hold *hold = &holds->hold[i];
        if (!is_same_seat(asked, hold->concert_id, hold->date_id, hold->seat_no))
            continue;
        pay.reservation[0] = hold->reservation_id;
        call_submit(call, USHER_OPCODE_PAY, &pay, payment_done);
        return;
    }
    call_refuse(call, (struct problem){.code = PROBLEM_RESERVATION_NOT_FOUND, .detail = none});
}

/* The key has an answer: give it again, if it was for this seat. */
static void
payment_lookup_done(struct call *call, const void *reply)
{
    const usher_lookup_reply *found = reply;
    usher_pay_reply paid;
    usher_refusal refusal;

    call->is_replayed = true;
    if (found->opcode != USHER_OPCODE_PAY || !usher_lookup_read(found, &paid, &refusal))
        call_refuse(call, (struct problem){.code = PROBLEM_MISMATCH});
    else if (found->result != USHER_OK)
        call_refuse(call, (struct problem){.code = found->result, .refusal = &refusal});
    else if (!is_same_seat(call->asked, paid.seat[0].concert_id, paid.seat[0].date_id, paid.seat[0].seat_no))
        call_refuse(call, (struct problem){.code = PROBLEM_MISMATCH});
    else
        payment_done(call, &paid);
}

/* Nothing is known under the key: look for the hold. */
static void
payment_look_for_hold(struct call *call)
{
    const usher_reserve_request *asked = call->asked;
    usher_holds_request holds = {.user = asked->user, .token_count = asked->token_count};

    memcpy(holds.token, asked->token, sizeof holds.token);
    call_submit(call, USHER_OPCODE_HOLDS, &holds, payment_holds_done);
}

void
payment_handle(struct http_exchange *exchange)
{
    void *request;
    struct call *call = call_open(exchange, &request, NULL);
    const usher_reserve_request *asked = request;

    if (call == NULL)
        return;
    call_keep(call, asked, sizeof *asked);
    if (http_header(exchange, "Idempotency-Key") == NULL) { /* a key that was just made is nobody's */
        payment_look_for_hold(call);
        return;
    }
    usher_lookup_request lookup = {
        .user = asked->user, .token_count = asked->token_count, .request_id = call->request_id};
    memcpy(lookup.token, asked->token, sizeof lookup.token);
    call->on_not_found = payment_look_for_hold;
    call_submit(call, USHER_OPCODE_LOOKUP, &lookup, payment_lookup_done);
}
