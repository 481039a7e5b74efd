/* seats.c: concerts, plans and seats over HTTP. Holds are rows of calls.def alone, but for best available.
 *
 * Concerts may be kept by whoever asks (C3): under an ETag of the catalogue's version, to be asked about each time, so
 * that a change shows at once at every bridge. */
#include "handlers.h"

#include <sodium.h>

#include "../shared/body.h"
#include "etag.h"
#include "seat_list.h"

void
concerts_done(struct call *call, const void *reply)
{
    etag_of_version(((const usher_concerts_reply *)reply)->version, call->etag);
    body_done(call, reply);
}

/* The price of each grade up to the last that the date has; null for one that it has not. */
static json_t *
json_prices(const usher_plan_reply *plan)
{
    json_t *list = json_array();
    uint16_t count = plan->price_count;

    while (count > 0 && plan->price[count - 1] > USHER_POINTS_MAX)
        count--;
    for (uint16_t i = 0; i < count; i++)
        json_array_append_new(list, plan->price[i] > USHER_POINTS_MAX ? json_null()
                                                                      : json_integer((json_int_t)plan->price[i]));
    return list;
}

/* A plan has no version of its own: its ETag is a digest of what it says. */
void
plan_done(struct call *call, const void *reply)
{
    json_t *answer = body_json(usher_message_of(USHER_OPCODE_PLAN)->reply, reply, BODY_FLAGS_AS_BOOLEANS);
    uint64_t digest;

    crypto_generichash((uint8_t *)&digest, sizeof digest, reply, sizeof(usher_plan_reply), NULL, 0);
    etag_of_version(digest, call->etag);
    json_object_set_new(answer, "price", json_prices(reply));
    call_answer(call, answer);
}

void
seats_done(struct call *call, const void *reply)
{
    const usher_seats_reply *page = reply;
    usher_seats_request *asked = call->asked;
    struct seats_so_far {
        uint64_t version;
        uint32_t free_count;
    } *sum = call->more;

    if (call->kept == NULL)
        call->kept = json_array();
    if (sum == NULL)
        sum = call->more = http_memory(call->exchange, sizeof *sum);
    sum->version += page->version;
    sum->free_count += page->free_count;
    seat_list_add_ranges(call->kept, page->first_block, page->free_block, page->free_block_count);
    if (seat_list_next_page(page, asked)) {
        call_submit(call, USHER_OPCODE_SEATS, asked, seats_done);
        return;
    }
    etag_of_seats(sum->version, sum->free_count, call->etag);
    if (call->extra.wait_ms > 0 && call_is_known(call)) {
        json_decref(call->kept);
        call->kept = NULL;
        call->more = NULL;
        asked->first_block = 0;
        live_wait(call);
        return;
    }
    call_answer(call, json_pack("{s:I, s:I, s:I, s:I, s:I, s:O}", "concert_id", (json_int_t)page->concert_id, "date_id",
                                (json_int_t)page->date_id, "seat_count", (json_int_t)page->seat_count, "free_count",
                                (json_int_t)sum->free_count, "version", (json_int_t)sum->version, "free", call->kept));
}

static void
any_grade(void *request)
{
    ((usher_reserve_best_request *)request)->grade = USHER_GRADE_ANY;
}

void
reserve_best_handle(struct http_exchange *exchange)
{
    void *request;
    struct call *call = call_open(exchange, &request, any_grade);

    if (call != NULL)
        call_submit(call, call->row->opcode, request, call->row->done);
}
