/* model_plan.c: plans, concerts and dates: what the organiser puts and what people see of it (C1 to C4, H7, H10). */
#include "tests/sim/model_inside.h"

#define BLOCK            64u
#define PLAN_DATES_MOST  1000u
#define PLAN_SEATS_MOST  65536u
#define PAGE(list_field) (sizeof(list_field) / sizeof *(list_field))

/* --- finding -------------------------------------------------------------------------------------------- */
struct m_plan *
m_plan_find(struct model *model, uint32_t id)
{
    for (size_t i = 0; i < model->plan.count; i++)
        if (model->plan.at[i].id == id)
            return &model->plan.at[i];
    return NULL;
}

struct m_concert *
m_concert_find(struct model *model, uint32_t id)
{
    for (size_t i = 0; i < model->concert.count; i++)
        if (model->concert.at[i].id == id)
            return &model->concert.at[i];
    return NULL;
}

static struct m_date *
date_of(struct model *model, const struct m_concert *concert, uint32_t id)
{
    for (size_t i = 0; i < model->date.count; i++)
        if (&model->concert.at[model->date.at[i].concert] == concert && model->date.at[i].id == id)
            return &model->date.at[i];
    return NULL;
}

usher_result
m_date_find(struct model *model, uint32_t concert_id, uint32_t date_id, struct m_date **date)
{
    struct m_concert *concert = m_concert_find(model, concert_id);

    if (concert == NULL)
        return USHER_CONCERT_NOT_FOUND;
    *date = date_of(model, concert, date_id);
    return *date == NULL ? USHER_DATE_NOT_FOUND : USHER_OK;
}

uint8_t
m_grade(const struct m_plan *plan, uint32_t seat_no)
{
    uint32_t end = 0;

    for (uint16_t i = 0; i < plan->section_count; i++) {
        end += (uint32_t)plan->section[i].row_count * plan->section[i].seats_per_row;
        if (seat_no <= end)
            return plan->section[i].grade;
    }
    abort();
}

/* How the seats of a date look now, to anybody. */
struct m_tally
m_tally(struct model *model, const struct m_date *date)
{
    struct m_tally now = {.seats = date->seat_count};
    uint32_t *const of[] = {
        [LOOKS_FREE] = &now.free, [LOOKS_HELD] = &now.held, [LOOKS_SOLD] = &now.sold, [LOOKS_BLOCKED] = &now.blocked};

    for (uint32_t seat_no = 1; seat_no <= date->seat_count; seat_no++) {
        enum m_looks looks = m_seat_looks(model, date, seat_no);
        ++*of[looks];
        now.withheld += looks == LOOKS_HELD && date->seat.at[seat_no - 1].blocked;
    }
    return now;
}

/* --- writing -------------------------------------------------------------------------------------------- */
static void
catalogue_changed(struct model *model, uint32_t queue_id, uint32_t concert_id, uint32_t date_id)
{
    model->catalogue_version++;
    m_emit(model, USHER_EVENT_CATALOGUE_CHANGED, NOBODY,
           (usher_event){.queue_id = queue_id, .concert_id = concert_id, .date_id = date_id});
}

static usher_result
check_sections(struct model *model, const usher_put_plan_request *ask, uint32_t *seat_count)
{
    uint64_t total = 0;

    if (ask->plan_id == 0 || ask->section_count == 0)
        return USHER_CATALOGUE_INVALID;
    for (uint16_t i = 0; i < ask->section_count; i++) {
        const usher_section *section = &ask->section[i];
        uint64_t seats = (uint64_t)section->row_count * section->seats_per_row;
        uint32_t last_row = (uint32_t)section->first_row + section->row_count - 1;
        if (seats == 0 || section->first_row == 0 || section->grade > 7 || section->name[0] == '\0' || last_row > 65535)
            return m_refuse(model, USHER_CATALOGUE_INVALID, i + 1u);
        total += seats;
    }
    if (total > PLAN_SEATS_MOST)
        return m_refuse(model, USHER_CATALOGUE_INVALID, total);
    *seat_count = (uint32_t)total;
    return USHER_OK;
}

static bool
lacks_price(const struct m_date *date, const usher_put_plan_request *ask)
{
    for (uint16_t i = 0; i < ask->section_count; i++)
        if (date->price[ask->section[i].grade] < 0)
            return true;
    return false;
}

/* H10. OPEN: a hold that is due and not swept up still counts. */
static bool
would_lose_a_seat(const struct m_date *date, uint32_t seat_count)
{
    for (uint32_t i = seat_count; i < date->seat_count; i++)
        if (date->seat.at[i].state != SEAT_IS_FREE || date->seat.at[i].blocked)
            return true;
    return false;
}

/* The dates of a plan by concert and date, for the first at fault is named. */
static struct m_date *
next_date_of_plan(struct model *model, uint32_t plan, const struct m_date *after)
{
    struct m_date *next = NULL;

    for (size_t i = 0; i < model->date.count; i++) {
        struct m_date *date = &model->date.at[i];
        uint32_t concert_id = model->concert.at[date->concert].id;
        if (date->plan != plan)
            continue;
        if (after != NULL) {
            uint32_t than = model->concert.at[after->concert].id;
            if (concert_id < than || (concert_id == than && date->id <= after->id))
                continue;
        }
        if (next != NULL) {
            uint32_t than = model->concert.at[next->concert].id;
            if (concert_id > than || (concert_id == than && date->id > next->id))
                continue;
        }
        next = date;
    }
    return next;
}

static usher_result
check_dates_of_plan(struct model *model, uint32_t plan, const usher_put_plan_request *ask, uint32_t seat_count)
{
    if (model->plan.at[plan].date_count > PLAN_DATES_MOST)
        return m_refuse(model, USHER_TOO_MANY, PLAN_DATES_MOST);
    for (struct m_date *date = NULL; (date = next_date_of_plan(model, plan, date)) != NULL;)
        if (lacks_price(date, ask))
            return m_refuse(model, USHER_CATALOGUE_INVALID, date->id);
    for (struct m_date *date = NULL; (date = next_date_of_plan(model, plan, date)) != NULL;)
        if (would_lose_a_seat(date, seat_count))
            return m_refuse(model, USHER_PLAN_IN_USE, date->id);
    return USHER_OK;
}

static void
date_resize(struct m_date *date, uint32_t seat_count)
{
    if (date->seat_count == seat_count)
        return;
    for (uint32_t i = seat_count; i < date->seat_count; i++)
        date->resizes += date->seat.at[i].changes; /* versions grow, whatever becomes of the seats */
    date->seat.count = date->seat_count < seat_count ? date->seat_count : seat_count;
    while (date->seat.count < seat_count)
        ADD(&date->seat, (struct m_seat){0});
    date->seat_count = seat_count;
    date->resizes++;
}

usher_result
model_put_plan(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_put_plan_request *ask = body;
    usher_put_plan_reply *reply = out;
    uint32_t seat_count = 0;

    (void)request;
    usher_result result = check_sections(model, ask, &seat_count);
    struct m_plan *plan = m_plan_find(model, ask->plan_id);
    if (result == USHER_OK && plan != NULL)
        result = check_dates_of_plan(model, (uint32_t)(plan - model->plan.at), ask, seat_count);
    if (result != USHER_OK)
        return result;
    if (plan == NULL) {
        ADD(&model->plan, (struct m_plan){.id = ask->plan_id});
        plan = &model->plan.at[model->plan.count - 1];
        reply->created = 1;
    }
    plan->section_count = ask->section_count;
    memcpy(plan->section, ask->section, sizeof plan->section);
    plan->seat_count = reply->seat_count = seat_count;
    for (size_t i = 0; i < model->date.count; i++)
        if (&model->plan.at[model->date.at[i].plan] == plan)
            date_resize(&model->date.at[i], seat_count);
    catalogue_changed(model, 0, 0, 0);
    return USHER_OK;
}

usher_result
model_put_concert(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_put_concert_request *ask = body;
    usher_put_concert_reply *reply = out;
    struct m_queue *queue = m_queue_find(model, ask->queue_id);
    struct m_concert *concert = m_concert_find(model, ask->concert_id);

    (void)request;
    if (queue == NULL)
        return USHER_QUEUE_NOT_FOUND;
    uint32_t index = (uint32_t)(queue - model->queue.at);
    if (ask->concert_id == 0 || ask->title[0] == '\0')
        return USHER_CATALOGUE_INVALID;
    if (concert != NULL && concert->date_count > 0 && concert->queue != index)
        return USHER_CATALOGUE_INVALID;
    if (concert == NULL) {
        ADD(&model->concert, (struct m_concert){.id = ask->concert_id});
        concert = &model->concert.at[model->concert.count - 1];
        reply->created = 1;
    }
    concert->queue = index;
    memcpy(concert->title, ask->title, sizeof concert->title);
    memcpy(concert->venue, ask->venue, sizeof concert->venue);
    catalogue_changed(model, ask->queue_id, ask->concert_id, 0);
    return USHER_OK;
}

static usher_result
check_date(struct model *model, const usher_put_date_request *ask, const struct m_plan *plan)
{
    uint64_t closes = ask->closes_at_ms != 0 ? ask->closes_at_ms : ask->starts_at_ms;

    if (ask->date_id == 0 || ask->starts_at_ms == 0 || closes > ask->starts_at_ms || ask->opens_at_ms >= closes)
        return USHER_CATALOGUE_INVALID;
    for (uint16_t i = 0; i < ask->price_count; i++)
        if (ask->price[i] > (uint64_t)USHER_POINTS_MAX)
            return m_refuse(model, USHER_CATALOGUE_INVALID, i + 1u);
    for (uint16_t i = 0; i < plan->section_count; i++)
        if (plan->section[i].grade >= ask->price_count)
            return m_refuse(model, USHER_CATALOGUE_INVALID, plan->section[i].grade + 1u);
    return USHER_OK;
}

usher_result
model_put_date(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_put_date_request *ask = body;
    usher_put_date_reply *reply = out;
    struct m_concert *concert = m_concert_find(model, ask->concert_id);
    struct m_plan *plan = m_plan_find(model, ask->plan_id);

    (void)request;
    if (concert == NULL)
        return USHER_CONCERT_NOT_FOUND;
    if (plan == NULL)
        return USHER_PLAN_NOT_FOUND;
    struct m_date *date = date_of(model, concert, ask->date_id);
    usher_result result = check_date(model, ask, plan);
    if (result == USHER_OK && date != NULL && &model->plan.at[date->plan] != plan)
        result = USHER_PLAN_IN_USE;
    if (result != USHER_OK)
        return result;
    if (date == NULL) {
        ADD(&model->date, (struct m_date){.concert = (uint32_t)(concert - model->concert.at),
                                          .id = ask->date_id,
                                          .queue = concert->queue,
                                          .plan = (uint32_t)(plan - model->plan.at)});
        date = &model->date.at[model->date.count - 1];
        date_resize(date, plan->seat_count);
        concert->date_count++;
        plan->date_count++;
        reply->created = 1;
    }
    date->starts_ms = ask->starts_at_ms;
    date->opens_ms = ask->opens_at_ms;
    date->closes_ms = ask->closes_at_ms;
    date->refund_until_ms = ask->refund_until_ms;
    for (uint16_t i = 0; i < 8; i++)
        date->price[i] = i < ask->price_count ? (int64_t)ask->price[i] : -1;
    reply->seat_count = date->seat_count;
    catalogue_changed(model, model->queue.at[date->queue].id, ask->concert_id, ask->date_id);
    return USHER_OK;
}

/* --- reading -------------------------------------------------------------------------------------------- */
usher_result
model_concerts(struct model *model, const struct model_request *request, const void *body, void *out)
{
    usher_concerts_reply *reply = out;
    uint64_t after = ((const usher_concerts_request *)body)->after_concert_id;

    (void)request;
    reply->version = model->catalogue_version;
    for (;;) {
        const struct m_concert *next = NULL;
        for (size_t i = 0; i < model->concert.count; i++) {
            const struct m_concert *concert = &model->concert.at[i];
            if (concert->id > after && (next == NULL || concert->id < next->id))
                next = concert;
        }
        reply->more = next != NULL;
        if (next == NULL || reply->concert_count == PAGE(reply->concert))
            return USHER_OK;
        usher_concert_row *row = &reply->concert[reply->concert_count++];
        row->concert_id = next->id;
        row->queue_id = model->queue.at[next->queue].id;
        row->date_count = next->date_count;
        memcpy(row->title, next->title, sizeof row->title);
        memcpy(row->venue, next->venue, sizeof row->venue);
        after = next->id;
    }
}

static uint8_t
status_of(const struct model *model, const struct m_date *date, const struct m_tally *now)
{
    if (date->starts_ms <= model->now_ms)
        return USHER_DATE_STATUS_PAST;
    if (date->closes_ms != 0 && date->closes_ms <= model->now_ms)
        return USHER_DATE_STATUS_CLOSED;
    if (now->sold > 0 && now->sold + now->blocked + now->withheld == now->seats)
        return USHER_DATE_STATUS_SOLD_OUT;
    if (date->opens_ms > model->now_ms)
        return USHER_DATE_STATUS_NOT_YET;
    return now->held > now->withheld && now->free == 0 ? USHER_DATE_STATUS_ALL_HELD : USHER_DATE_STATUS_ON_SALE;
}

static usher_date_row
describe_date(struct model *model, const struct m_date *date)
{
    struct m_tally now = m_tally(model, date);
    const struct m_plan *plan = &model->plan.at[date->plan];
    usher_date_row row = {.date_id = date->id,
                          .status = status_of(model, date, &now),
                          .starts_at_ms = date->starts_ms,
                          .opens_at_ms = date->opens_ms,
                          .closes_at_ms = date->closes_ms,
                          .seat_count = now.seats,
                          .free_count = now.free,
                          .held_count = now.held,
                          .sold_count = now.sold,
                          .price_least = INT64_MAX,
                          .price_most = INT64_MIN,
                          .refund_until_ms = date->refund_until_ms};

    for (uint16_t i = 0; i < plan->section_count; i++) {
        int64_t price = date->price[plan->section[i].grade];
        row.price_least = price < row.price_least ? price : row.price_least;
        row.price_most = price > row.price_most ? price : row.price_most;
    }
    return row;
}

usher_result
model_dates(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_dates_request *ask = body;
    usher_dates_reply *reply = out;
    const struct m_concert *concert = m_concert_find(model, ask->concert_id);
    uint64_t after = ask->after_date_id;

    (void)request;
    if (concert == NULL)
        return USHER_CONCERT_NOT_FOUND;
    reply->concert_id = ask->concert_id;
    for (;;) {
        const struct m_date *next = NULL;
        for (size_t i = 0; i < model->date.count; i++) {
            const struct m_date *date = &model->date.at[i];
            if (&model->concert.at[date->concert] == concert && date->id > after &&
                (next == NULL || date->id < next->id))
                next = date;
        }
        if (next == NULL)
            return USHER_OK;
        after = next->id;
        usher_date_row row = describe_date(model, next);
        if (!ask->all && row.status != USHER_DATE_STATUS_ON_SALE && row.status != USHER_DATE_STATUS_ALL_HELD)
            continue;
        reply->more = reply->date_count == PAGE(reply->date);
        if (reply->more)
            return USHER_OK;
        reply->date[reply->date_count++] = row;
    }
}

/* C2, H8: free, or blocked for the asker's own channel. */
static bool
is_listed(struct model *model, const struct m_date *date, uint32_t seat_no, uint16_t channel)
{
    enum m_looks looks = m_seat_looks(model, date, seat_no);

    return looks == LOOKS_FREE ||
           (looks == LOOKS_BLOCKED && channel != 0 && date->seat.at[seat_no - 1].channel == channel);
}

usher_result
model_seats(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_seats_request *ask = body;
    usher_seats_reply *reply = out;
    struct m_date *date;

    usher_result result = m_date_find(model, ask->concert_id, ask->date_id, &date);
    if (result != USHER_OK)
        return result;
    if (date->starts_ms <= model->now_ms)
        return USHER_DATE_PAST;
    reply->concert_id = ask->concert_id;
    reply->date_id = ask->date_id;
    reply->seat_count = date->seat_count;
    reply->first_block = ask->first_block;
    for (uint64_t first = (uint64_t)ask->first_block * BLOCK; first < date->seat_count; first += BLOCK) {
        if (reply->free_block_count == PAGE(reply->free_block))
            break;
        uint64_t bits = 0;
        for (uint64_t i = 0; i < BLOCK && first + i < date->seat_count; i++)
            if (is_listed(model, date, (uint32_t)(first + i + 1), m_channel(request)))
                bits |= UINT64_C(1) << i;
        reply->free_block[reply->free_block_count++] = bits;
        reply->free_count += (uint32_t)__builtin_popcountll(bits);
    }
    return USHER_OK;
}

usher_result
model_plan(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_plan_request *ask = body;
    usher_plan_reply *reply = out;
    struct m_date *date;

    (void)request;
    usher_result result = m_date_find(model, ask->concert_id, ask->date_id, &date);
    if (result != USHER_OK)
        return result;
    const struct m_plan *plan = &model->plan.at[date->plan];
    reply->plan_id = plan->id;
    reply->seat_count = date->seat_count;
    reply->price_count = 8;
    for (size_t i = 0; i < 8; i++)
        reply->price[i] = date->price[i] < 0 ? UINT64_MAX : (uint64_t)date->price[i];
    reply->section_count = plan->section_count;
    memcpy(reply->section, plan->section, sizeof reply->section);
    return USHER_OK;
}

usher_result
model_plans(struct model *model, const struct model_request *request, const void *body, void *out)
{
    usher_plans_reply *reply = out;
    const struct m_plan *plan = m_plan_find(model, ((const usher_plans_request *)body)->plan_id);

    (void)request;
    if (plan == NULL)
        return USHER_PLAN_NOT_FOUND;
    reply->plan_id = plan->id;
    reply->seat_count = plan->seat_count;
    reply->date_count = plan->date_count;
    reply->section_count = plan->section_count;
    memcpy(reply->section, plan->section, sizeof reply->section);
    return USHER_OK;
}
