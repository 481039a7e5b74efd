/* plan.c: seat plans, concerts and dates as the organiser puts them (H10, C3).
 *
 * A plan is a list of sections of equal rows; seats are numbered from 1 through rows and sections. Dates share plans,
 * and each date has blocks of its own for the states of its seats. */
#include "server/core/internal.h"

uint8_t
plan_grade(const struct plan_record *plan, uint32_t seat_no)
{
    uint32_t first = 1;
    for (uint32_t i = 0; i < plan->section_count; i++) {
        const struct plan_section *section = &plan->section[i];
        uint32_t count = (uint32_t)section->row_count * section->seats_per_row;
        if (seat_no < first + count)
            return section->grade;
        first += count;
    }
    assert(!"the plan has this seat");
    return 0;
}

int64_t
date_price(const struct core *core, const struct date_record *date, uint32_t seat_no)
{
    return date->price[plan_grade(store_see_plan(core->store, date->plan_no), seat_no)];
}

void
plan_describe(const struct plan_record *plan, usher_section *section, uint16_t *count)
{
    for (uint32_t i = 0; i < plan->section_count; i++) {
        memcpy(section[i].name, plan->section[i].name, sizeof section[i].name);
        section[i].first_row = plan->section[i].first_row;
        section[i].row_count = plan->section[i].row_count;
        section[i].seats_per_row = plan->section[i].seats_per_row;
        section[i].grade = plan->section[i].grade;
    }
    *count = (uint16_t)plan->section_count;
}

void
catalogue_changed(struct core *core, uint32_t queue_id, uint32_t concert_id, uint32_t date_id)
{
    core_house(core)->catalogue_version++;
    core_emit(core, USHER_EVENT_CATALOGUE_CHANGED, 0,
              (struct event_row){.queue_id = queue_id, .concert_id = concert_id, .date_id = date_id});
}

/* --- the blocks of a date ------------------------------------------------------------------------------- */
static uint32_t
seats_in_block(uint32_t seat_count, uint64_t index)
{
    uint64_t before = index * BLOCK_SEATS;
    if (seat_count <= before)
        return 0;
    return seat_count - before < BLOCK_SEATS ? (uint32_t)(seat_count - before) : BLOCK_SEATS;
}

/* Versions never come again: the last block that stays takes over those of the blocks that go, and blocks that come
 * begin above it. So the sum over any run of blocks that a reader knows only grows (C3). */
void
date_resize(struct core *core, uint64_t date_no, uint32_t from_count, uint32_t to_count)
{
    uint64_t last = (from_count < to_count ? from_count : to_count) / BLOCK_SEATS, version = 0;
    uint32_t larger = from_count > to_count ? from_count : to_count;
    struct block_record block;

    if (from_count == to_count)
        return;
    if (last > 0 && seats_in_block(from_count < to_count ? from_count : to_count, last) == 0)
        last--;
    for (uint64_t index = last + 1; index * BLOCK_SEATS < from_count && from_count > to_count; index++) {
        version += store_see_block(core->store, BLOCK_KEY(date_no, index))->version;
        store_remove_block(core->store, BLOCK_KEY(date_no, index));
    }
    for (uint64_t index = last; index * BLOCK_SEATS < larger && seats_in_block(to_count, index) > 0; index++) {
        if (!store_get_block(core->store, BLOCK_KEY(date_no, index), &block))
            block = (struct block_record){.key = BLOCK_KEY(date_no, index), .date_no = (uint32_t)date_no};
        block.seat_count = seats_in_block(to_count, index);
        block.version += version + 1;
        if (index == last)
            version = block.version;
        store_put_block(core->store, &block);
    }
}

/* Whether every seat from first on is free, also of a hold that is due but not ended. */
static bool
seats_are_free(const struct core *core, const struct date_record *date, uint32_t first, uint32_t last)
{
    for (uint32_t seat_no = first; seat_no <= last; seat_no++) {
        const struct block_record *block = store_see_block(core->store, SEAT_BLOCK(date->date_no, seat_no));
        if ((block->held | block->sold | block->blocked) & SEAT_BIT(seat_no))
            return false;
    }
    return true;
}

/* --- plans ------------------------------------------------------------------------------------------------ */
static usher_result
check_sections(struct core *core, const usher_put_plan_request *ask, uint32_t *seat_count)
{
    uint64_t total = 0;

    if (ask->section_count == 0 || ask->plan_id == 0)
        return USHER_CATALOGUE_INVALID;
    for (uint32_t i = 0; i < ask->section_count; i++) {
        const usher_section *section = &ask->section[i];
        if (section->row_count == 0 || section->seats_per_row == 0 || section->first_row == 0 || section->grade > 7 ||
            section->name[0] == '\0' || section->first_row + section->row_count - 1 > UINT16_MAX)
            return core_refuse_detail(core, USHER_CATALOGUE_INVALID, i + 1);
        total += (uint64_t)section->row_count * section->seats_per_row;
    }
    if (total > CORE_SEATS_MOST)
        return core_refuse_detail(core, USHER_CATALOGUE_INVALID, total);
    *seat_count = (uint32_t)total;
    return USHER_OK;
}

/* The dates of a plan, at most CORE_PLAN_DATES_MOST; false if there are more. */
static bool
dates_of_plan(const struct core *core, uint64_t plan_no, uint64_t *date_no, uint32_t *count)
{
    *count = 0;
    for (uint64_t c = store_next_concert(core->store, 0); c != 0;) {
        uint32_t concert_id = store_see_concert(core->store, c)->concert_id;
        for (uint64_t d = store_next_date(core->store, concert_id, 0); d != 0;) {
            const struct date_record *date = store_see_date(core->store, d);
            if (date->plan_no == plan_no) {
                if (*count == CORE_PLAN_DATES_MOST)
                    return false;
                date_no[(*count)++] = d;
            }
            d = store_next_date(core->store, concert_id, date->date_id);
        }
        c = store_next_concert(core->store, concert_id);
    }
    return true;
}

/* Whether the dates have to be looked at: for seats that come or go, or for a grade that they may have no price for. */
static bool
touches_dates(const struct plan_record *plan, const usher_put_plan_request *ask, uint32_t seat_count)
{
    uint32_t before = 0, after = 0;

    for (uint32_t i = 0; i < plan->section_count; i++)
        before |= 1u << plan->section[i].grade;
    for (uint32_t i = 0; i < ask->section_count; i++)
        after |= 1u << ask->section[i].grade;
    return seat_count != plan->seat_count || (after & ~before) != 0;
}

/* H10: an edit carries to all dates of the plan, or is refused if one of them would lose a seat that is in use. */
static usher_result
resize_dates(struct core *core, const struct plan_record *plan, const usher_put_plan_request *ask, uint32_t seat_count)
{
    uint64_t date_no[CORE_PLAN_DATES_MOST];
    uint32_t count, grades = 0;
    struct date_record date;

    if (!dates_of_plan(core, plan->plan_no, date_no, &count))
        return core_refuse_detail(core, USHER_TOO_MANY, CORE_PLAN_DATES_MOST);
    for (uint32_t i = 0; i < ask->section_count; i++)
        grades |= 1u << ask->section[i].grade;
    for (uint32_t i = 0; i < count; i++) {
        const struct date_record *of_plan = store_see_date(core->store, date_no[i]);
        for (uint32_t g = 0; g < 8; g++)
            if (grades & 1u << g && of_plan->price[g] < 0)
                return core_refuse_detail(core, USHER_CATALOGUE_INVALID, of_plan->date_id); /* no price for it */
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct date_record *of_plan = store_see_date(core->store, date_no[i]);
        if (!seats_are_free(core, of_plan, seat_count + 1, of_plan->seat_count))
            return core_refuse_detail(core, USHER_PLAN_IN_USE, of_plan->date_id);
    }
    for (uint32_t i = 0; i < count; i++) {
        store_get_date(core->store, date_no[i], &date);
        date_resize(core, date_no[i], date.seat_count, seat_count);
        date.seat_count = seat_count;
        store_put_date(core->store, &date);
    }
    return USHER_OK;
}

usher_result
core_put_plan(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_put_plan_request *ask = body;
    usher_put_plan_reply *reply = out;
    struct plan_record plan = {.plan_id = ask->plan_id};
    uint32_t seat_count = 0;

    (void)request;
    usher_result result = check_sections(core, ask, &seat_count);
    if (result != USHER_OK)
        return result;
    uint64_t plan_no = store_find_plan(core->store, ask->plan_id);
    if (plan_no != 0) {
        store_get_plan(core->store, plan_no, &plan);
        if (touches_dates(&plan, ask, seat_count))
            result = resize_dates(core, &plan, ask, seat_count);
        if (result != USHER_OK)
            return result;
    } else {
        plan.plan_no = ++core_house(core)->last_plan_no;
    }

    memset(plan.section, 0, sizeof plan.section);
    for (uint32_t i = 0; i < ask->section_count; i++) {
        struct plan_section *section = &plan.section[i];
        memcpy(section->name, ask->section[i].name, sizeof section->name);
        section->first_row = ask->section[i].first_row;
        section->row_count = ask->section[i].row_count;
        section->seats_per_row = ask->section[i].seats_per_row;
        section->grade = ask->section[i].grade;
    }
    plan.section_count = ask->section_count;
    plan.seat_count = seat_count;
    store_put_plan(core->store, &plan);
    catalogue_changed(core, 0, 0, 0);
    reply->created = plan_no == 0;
    reply->seat_count = seat_count;
    return USHER_OK;
}

usher_result
core_plans(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_plans_request *ask = body;
    usher_plans_reply *reply = out;
    uint64_t plan_no = store_find_plan(core->store, ask->plan_id);

    (void)request;
    if (plan_no == 0)
        return USHER_PLAN_NOT_FOUND;
    const struct plan_record *plan = store_see_plan(core->store, plan_no);
    reply->plan_id = plan->plan_id;
    reply->seat_count = plan->seat_count;
    reply->date_count = plan->date_count;
    plan_describe(plan, reply->section, &reply->section_count);
    return USHER_OK;
}

/* --- concerts and dates ------------------------------------------------------------------------------------ */
usher_result
core_put_concert(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_put_concert_request *ask = body;
    usher_put_concert_reply *reply = out;
    struct concert_record concert = {.concert_id = ask->concert_id};
    uint64_t queue_no = store_find_queue(core->store, ask->queue_id);
    uint64_t concert_no = store_find_concert(core->store, ask->concert_id);

    (void)request;
    if (queue_no == 0)
        return USHER_QUEUE_NOT_FOUND;
    if (ask->concert_id == 0 || ask->title[0] == '\0')
        return USHER_CATALOGUE_INVALID;
    if (concert_no != 0) {
        store_get_concert(core->store, concert_no, &concert);
        if (concert.date_count > 0 && concert.queue_no != queue_no)
            return USHER_CATALOGUE_INVALID; /* people wait in the old one, holds run on its clock */
    } else {
        concert.concert_no = ++core_house(core)->last_concert_no;
    }

    concert.queue_no = queue_no;
    memcpy(concert.title, ask->title, sizeof concert.title);
    memcpy(concert.venue, ask->venue, sizeof concert.venue);
    store_put_concert(core->store, &concert);
    catalogue_changed(core, ask->queue_id, ask->concert_id, 0);
    reply->created = concert_no == 0;
    return USHER_OK;
}

static usher_result
check_date(struct core *core, const usher_put_date_request *ask, const struct plan_record *plan)
{
    uint64_t closes_at_ms = ask->closes_at_ms != 0 ? ask->closes_at_ms : ask->starts_at_ms;

    if (ask->date_id == 0 || ask->starts_at_ms == 0 || ask->opens_at_ms >= closes_at_ms ||
        closes_at_ms > ask->starts_at_ms)
        return USHER_CATALOGUE_INVALID;
    for (uint32_t i = 0; i < ask->price_count; i++)
        if (ask->price[i] > (uint64_t)USHER_POINTS_MAX)
            return core_refuse_detail(core, USHER_CATALOGUE_INVALID, i + 1);
    for (uint32_t i = 0; i < plan->section_count; i++)
        if (plan->section[i].grade >= ask->price_count)
            return core_refuse_detail(core, USHER_CATALOGUE_INVALID, plan->section[i].grade + 1u);
    return USHER_OK;
}

usher_result
core_put_date(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_put_date_request *ask = body;
    usher_put_date_reply *reply = out;
    struct date_record date = {.concert_id = ask->concert_id, .date_id = ask->date_id};
    struct concert_record concert;
    struct plan_record plan;
    uint64_t concert_no = store_find_concert(core->store, ask->concert_id);
    uint64_t plan_no = store_find_plan(core->store, ask->plan_id);
    uint64_t date_no = store_find_date(core->store, ask->concert_id, ask->date_id);

    (void)request;
    if (concert_no == 0)
        return USHER_CONCERT_NOT_FOUND;
    if (plan_no == 0)
        return USHER_PLAN_NOT_FOUND;
    store_get_concert(core->store, concert_no, &concert);
    store_get_plan(core->store, plan_no, &plan);
    usher_result result = check_date(core, ask, &plan);
    if (result != USHER_OK)
        return result;
    if (date_no != 0) {
        store_get_date(core->store, date_no, &date);
        if (date.plan_no != plan_no)
            return USHER_PLAN_IN_USE;
    }

    date.starts_at_ms = ask->starts_at_ms;
    date.opens_at_ms = ask->opens_at_ms;
    date.closes_at_ms = ask->closes_at_ms;
    date.refund_until_ms = ask->refund_until_ms;
    for (uint32_t i = 0; i < 8; i++)
        date.price[i] = i < ask->price_count ? (int64_t)ask->price[i] : -1; /* -1: the date has no price for it */
    if (date_no == 0) {
        date.date_no = ++core_house(core)->last_date_no;
        date.concert_no = concert_no;
        date.queue_no = concert.queue_no;
        date.plan_no = plan_no;
        date.seat_count = plan.seat_count;
    }
    store_put_date(core->store, &date);
    if (date_no == 0) {
        date_resize(core, date.date_no, 0, date.seat_count);
        concert.date_count++;
        store_put_concert(core->store, &concert);
        plan.date_count++;
        store_put_plan(core->store, &plan);
    }
    catalogue_changed(core, store_see_queue(core->store, date.queue_no)->queue_id, ask->concert_id, ask->date_id);
    reply->created = date_no == 0;
    reply->seat_count = date.seat_count;
    return USHER_OK;
}
