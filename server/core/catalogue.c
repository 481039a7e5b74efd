/* catalogue.c: what users read: concerts, dates, free seats (C1 to C4, H1, H7).
 *
 * The cost of a free-seat query is its own date's blocks, one for a date of 50 seats, whatever else the house has. */
#include "server/core/internal.h"

/* A date where it stands, good until the next put; NULL if there is none. */
static const struct date_record *
date_see(const struct core *core, uint32_t concert_id, uint32_t date_id)
{
    uint64_t date_no = store_find_date(core->store, concert_id, date_id);

    return date_no == 0 ? NULL : store_see_date(core->store, date_no);
}

/* Why there is none. */
static usher_result
date_missing(const struct core *core, uint32_t concert_id)
{
    return store_find_concert(core->store, concert_id) == 0 ? USHER_CONCERT_NOT_FOUND : USHER_DATE_NOT_FOUND;
}

usher_result
date_find(struct core *core, uint32_t concert_id, uint32_t date_id, struct date_record *date)
{
    const struct date_record *seen = date_see(core, concert_id, date_id);

    if (seen == NULL)
        return date_missing(core, concert_id);
    *date = *seen;
    return USHER_OK;
}

const struct queue_record *
queue_of_date(const struct core *core, const struct date_record *date)
{
    const struct queue_record *queue = store_see_queue(core->store, date->queue_no);
    assert(queue != NULL);
    return queue;
}

usher_result
core_concerts(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_concerts_request *ask = body;
    usher_concerts_reply *reply = out;
    uint64_t concert_no = store_next_concert(core->store, ask->after_concert_id);

    (void)request;
    reply->version = core->house->catalogue_version;
    while (concert_no != 0 && reply->concert_count < sizeof reply->concert / sizeof *reply->concert) {
        const struct concert_record *concert = store_see_concert(core->store, concert_no);
        usher_concert_row *row = &reply->concert[reply->concert_count++];
        row->concert_id = concert->concert_id;
        row->queue_id = store_see_queue(core->store, concert->queue_no)->queue_id;
        row->date_count = concert->date_count;
        memcpy(row->title, concert->title, sizeof row->title);
        memcpy(row->venue, concert->venue, sizeof row->venue);
        concert_no = store_next_concert(core->store, concert->concert_id);
    }
    reply->more = concert_no != 0;
    return USHER_OK;
}

static enum usher_date_status
date_status(const struct core *core, const struct date_record *date, const struct store_counts *counts)
{
    if (core->now_ms >= date->starts_at_ms)
        return USHER_DATE_STATUS_PAST;
    if (date->closes_at_ms != 0 && core->now_ms >= date->closes_at_ms)
        return USHER_DATE_STATUS_CLOSED;
    if (counts->sold > 0 && counts->sold + counts->blocked + counts->withheld == counts->seats)
        return USHER_DATE_STATUS_SOLD_OUT;
    if (core->now_ms < date->opens_at_ms)
        return USHER_DATE_STATUS_NOT_YET;
    if (counts->held > counts->withheld && counts->held + counts->sold + counts->blocked == counts->seats)
        return USHER_DATE_STATUS_ALL_HELD;
    return USHER_DATE_STATUS_ON_SALE;
}

struct store_counts
date_counts_now(const struct core *core, const struct date_record *date)
{
    struct store_counts counts = store_date_counts(core->store, date->date_no);
    const struct queue_record *queue = queue_of_date(core, date);

    if (counts.held == 0 || !queue_has_backlog(core, queue))
        return counts;
    for (uint64_t i = 0; i * BLOCK_SEATS < date->seat_count; i++) { /* some holds may be over and not swept up yet */
        const struct block_record *block = store_see_block(core->store, BLOCK_KEY(date->date_no, i));
        for (uint64_t left = block->held; left != 0; left &= left - 1) {
            unsigned slot = (unsigned)__builtin_ctzll(left);
            if (!hold_is_over(core, queue, store_see_hold(core->store, block->reservation_id[slot])))
                continue;
            counts.held--;
            counts.withheld -= block->blocked >> slot & 1; /* a block that waited for it */
            counts.blocked += block->blocked >> slot & 1;
        }
    }
    return counts;
}

static void
describe_date(const struct core *core, const struct date_record *date, usher_date_row *row)
{
    struct store_counts counts = date_counts_now(core, date);
    const struct plan_record *plan = store_see_plan(core->store, date->plan_no);

    *row = (usher_date_row){.date_id = date->date_id,
                            .status = (uint8_t)date_status(core, date, &counts),
                            .starts_at_ms = date->starts_at_ms,
                            .opens_at_ms = date->opens_at_ms,
                            .closes_at_ms = date->closes_at_ms,
                            .seat_count = date->seat_count,
                            .free_count = (uint32_t)(counts.seats - counts.held - counts.sold - counts.blocked),
                            .held_count = (uint32_t)counts.held,
                            .sold_count = (uint32_t)counts.sold,
                            .price_least = INT64_MAX,
                            .refund_until_ms = date->refund_until_ms};
    for (uint32_t i = 0; i < plan->section_count; i++) {
        int64_t price = date->price[plan->section[i].grade];
        if (price < row->price_least)
            row->price_least = price;
        if (price > row->price_most)
            row->price_most = price;
    }
}

usher_result
core_dates(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_dates_request *ask = body;
    usher_dates_reply *reply = out;
    uint64_t date_no;

    (void)request;
    if (store_find_concert(core->store, ask->concert_id) == 0)
        return USHER_CONCERT_NOT_FOUND;
    reply->concert_id = ask->concert_id;
    date_no = store_next_date(core->store, ask->concert_id, ask->after_date_id);
    while (date_no != 0) {
        const struct date_record *date = store_see_date(core->store, date_no);
        usher_date_row row;
        describe_date(core, date, &row);
        if (ask->all || row.status == USHER_DATE_STATUS_ON_SALE || row.status == USHER_DATE_STATUS_ALL_HELD) {
            if (reply->date_count == sizeof reply->date / sizeof *reply->date) {
                reply->more = USHER_FLAG_YES;
                return USHER_OK;
            }
            reply->date[reply->date_count++] = row;
        }
        date_no = store_next_date(core->store, ask->concert_id, date->date_id);
    }
    return USHER_OK;
}

usher_result
core_seats(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_seats_request *ask = body;
    usher_seats_reply *reply = out;
    const struct date_record *date = date_see(core, ask->concert_id, ask->date_id);

    if (date == NULL)
        return date_missing(core, ask->concert_id);
    if (core->now_ms >= date->starts_at_ms)
        return USHER_DATE_PAST;
    const struct queue_record *queue = queue_of_date(core, date);
    uint64_t blocks = (date->seat_count + BLOCK_SEATS - 1) / BLOCK_SEATS;
    reply->concert_id = date->concert_id;
    reply->date_id = date->date_id;
    reply->seat_count = date->seat_count;
    reply->first_block = ask->first_block;
    for (uint64_t i = ask->first_block; i < blocks; i++) {
        if (reply->free_block_count == sizeof reply->free_block / sizeof *reply->free_block)
            break;
        const struct block_record *block = store_see_block(core->store, BLOCK_KEY(date->date_no, i));
        uint64_t free =
            block_free_now(core, queue, block) | block_of_channel_now(core, queue, block, core_channel(request));
        reply->version += block->version;
        reply->free_count += (uint32_t)__builtin_popcountll(free);
        reply->free_block[reply->free_block_count++] = free;
    }
    return USHER_OK;
}

usher_result
core_plan(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_plan_request *ask = body;
    usher_plan_reply *reply = out;
    struct date_record date;

    (void)request;
    usher_result result = date_find(core, ask->concert_id, ask->date_id, &date);
    if (result != USHER_OK)
        return result;
    const struct plan_record *plan = store_see_plan(core->store, date.plan_no);
    reply->plan_id = plan->plan_id;
    reply->seat_count = date.seat_count;
    reply->price_count = sizeof reply->price / sizeof *reply->price;
    for (size_t i = 0; i < reply->price_count; i++)
        reply->price[i] = (uint64_t)date.price[i];
    plan_describe(plan, reply->section, &reply->section_count);
    return USHER_OK;
}
