/* model_seat.c: seats and holds: reserve, best, release, swap (R1 to R3, H1 to H11). */
#include "tests/sim/model_inside.h"

struct m_queue *
m_queue_of(struct model *model, const struct m_date *date)
{
    return &model->queue.at[date->queue];
}

bool
m_hold_is_due(struct model *model, const struct m_hold *hold)
{
    return m_is_over(model, m_queue_of(model, &model->date.at[hold->date]), hold->due);
}

/* --- what a seat is ------------------------------------------------------------------------------------- */
static struct m_seat *
seat_at(const struct m_date *date, uint32_t seat_no)
{
    assert(seat_no >= 1);
    assert(seat_no <= date->seat_count);
    return &date->seat.at[seat_no - 1];
}

void
m_seat_set(struct m_date *date, uint32_t seat_no, enum m_seat_state state, bool blocked, uint64_t reservation)
{
    struct m_seat *seat = seat_at(date, seat_no);

    date->sold -= seat->state == SEAT_IS_SOLD;
    date->blocked -= seat->blocked && seat->state != SEAT_IS_SOLD;
    *seat = (struct m_seat){.state = (uint8_t)state,
                            .blocked = blocked,
                            .through = seat->through && blocked && state != SEAT_IS_FREE,
                            .channel = blocked ? seat->channel : 0,
                            .reservation = reservation,
                            .changes = seat->changes + 1};
    date->sold += state == SEAT_IS_SOLD;
    date->blocked += blocked && state != SEAT_IS_SOLD;
}

uint16_t
m_channel(const struct model_request *request)
{
    return request->role == USHER_ROLE_TERMINAL ? request->channel : 0;
}

enum m_looks
m_seat_looks(struct model *model, const struct m_date *date, uint32_t seat_no)
{
    const struct m_seat *seat = seat_at(date, seat_no);

    if (seat->state == SEAT_IS_SOLD)
        return LOOKS_SOLD;
    if (seat->state == SEAT_IS_HELD && !m_hold_is_due(model, &model->hold.at[seat->reservation]))
        return LOOKS_HELD;
    return seat->blocked ? LOOKS_BLOCKED : LOOKS_FREE;
}

void
m_emit_of_seat(struct model *model, enum usher_event_kind kind, uint32_t user, const struct m_date *date,
               uint32_t seat_no, uint64_t reservation, int64_t amount)
{
    m_emit(model, kind, user,
           (usher_event){.queue_id = m_queue_of(model, date)->id,
                         .concert_id = model->concert.at[date->concert].id,
                         .date_id = date->id,
                         .seat_no = seat_no,
                         .reservation_id = reservation,
                         .amount = amount});
}

/* --- the end of a hold ---------------------------------------------------------------------------------- */
static void
take_off(uint64_t *at, size_t *count, uint64_t number)
{
    size_t i = 0;

    while (at[i] != number)
        i++;
    memmove(&at[i], &at[i + 1], (--*count - i) * sizeof *at);
}

/* The hold is no more; its seat is the caller's matter. */
void
m_hold_out(struct model *model, uint64_t reservation, enum m_how how)
{
    struct m_hold *hold = &model->hold.at[reservation];
    struct m_user *user = &model->user.at[hold->user];

    assert(hold->how == HOW_LIVE);
    hold->how = (uint8_t)how;
    take_off(user->hold.at, &user->hold.count, reservation);
    take_off(model->live.at, &model->live.count, reservation);
}

/* It ends unpaid: the seat is free, or blocked if a block waited for this (H8). */
void
m_hold_over(struct model *model, uint64_t reservation, enum m_how how)
{
    static const enum usher_event_kind kinds[] = {[HOW_EXPIRED] = USHER_EVENT_HOLD_EXPIRED,
                                                  [HOW_RELEASED] = USHER_EVENT_SEAT_RELEASED,
                                                  [HOW_SWAPPED] = USHER_EVENT_SEAT_RELEASED,
                                                  [HOW_FORCED] = USHER_EVENT_HOLD_FORCED};
    struct m_hold hold = model->hold.at[reservation];
    struct m_date *date = &model->date.at[hold.date];
    bool blocked = seat_at(date, hold.seat_no)->blocked;

    m_hold_out(model, reservation, how);
    m_seat_set(date, hold.seat_no, SEAT_IS_FREE, blocked, 0);
    m_emit_of_seat(model, kinds[how], hold.user, date, hold.seat_no, reservation, 0);
    if (blocked)
        m_emit_of_seat(model, USHER_EVENT_SEAT_BLOCKED, NOBODY, date, hold.seat_no, 0, 0);
}

void
m_seat_sweep(struct model *model, struct m_date *date, uint32_t seat_no)
{
    const struct m_seat *seat = seat_at(date, seat_no);

    if (seat->state == SEAT_IS_HELD && m_hold_is_due(model, &model->hold.at[seat->reservation]))
        m_hold_over(model, seat->reservation, HOW_EXPIRED);
}

/* --- asking for seats ----------------------------------------------------------------------------------- */
struct wish {
    struct m_date *date;
    const uint32_t *seat;
    uint32_t count;
    const uint64_t *old; /* reservations that are given up for them */
    uint32_t old_count;
    uint64_t due;     /* 0: hold_ms from now */
    uint16_t channel; /* whose blocked seats it may have; 0 for none (H8) */
};

/* Of several results the one that stands highest in the table of results. */
usher_result
m_upper(usher_result one, usher_result other)
{
    static const usher_result order[] = {
#define USHER_RESULT(value, name, class, text) USHER_##name,
#include "protocol/results.def"
    };

    if (one == USHER_OK || other == USHER_OK)
        return one == USHER_OK ? other : one;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        if (order[i] == one || order[i] == other)
            return order[i];
    abort();
}

static usher_result
check_window(struct model *model, const struct m_date *date)
{
    if (m_queue_of(model, date)->mode == USHER_QUEUE_FROZEN)
        return USHER_FROZEN;
    if (date->starts_ms <= model->now_ms)
        return USHER_DATE_PAST;
    if (date->opens_ms > model->now_ms)
        return m_refuse_until(model, USHER_NOT_ON_SALE, date->opens_ms);
    return date->closes_ms != 0 && date->closes_ms <= model->now_ms ? USHER_NOT_ON_SALE : USHER_OK;
}

static usher_result
check_list(struct model *model, const struct wish *wish)
{
    uint64_t most = model->policy[HOUSE_seats_per_request];

    if (wish->count == 0)
        return USHER_SEATS_NONE;
    for (uint32_t i = 1; i < wish->count; i++)
        for (uint32_t k = 0; k < i; k++)
            if (wish->seat[k] == wish->seat[i])
                return m_refuse(model, USHER_SEAT_DUPLICATE, wish->seat[i]);
    if (wish->count > most)
        return m_refuse(model, USHER_SEATS_PER_REQUEST, most);
    for (uint32_t i = 0; i < wish->count; i++)
        if (wish->seat[i] < 1 || wish->seat[i] > wish->date->seat_count)
            return m_refuse(model, USHER_SEAT_NOT_FOUND, wish->seat[i]);
    return USHER_OK;
}

static bool
is_given_up(const struct wish *wish, uint64_t reservation)
{
    for (uint32_t i = 0; i < wish->old_count; i++)
        if (wish->old[i] == reservation)
            return true;
    return false;
}

/* H3: the asker's own held seat, which stays as it is. */
static bool
is_own(struct model *model, const struct wish *wish, uint32_t seat_no)
{
    const struct m_seat *seat = seat_at(wish->date, seat_no);

    return m_seat_looks(model, wish->date, seat_no) == LOOKS_HELD && !is_given_up(wish, seat->reservation) &&
           model->hold.at[seat->reservation].user == model->asker;
}

/* H4: held and bought together, of this date; and held over all dates. */
static usher_result
check_limits(struct model *model, const struct wish *wish, uint32_t more)
{
    const struct m_user *user = &model->user.at[model->asker];
    uint64_t of_date = more, held = more;

    for (size_t i = 0; i < wish->date->seat.count; i++) {
        const struct m_seat *seat = &wish->date->seat.at[i];
        of_date += seat->state == SEAT_IS_SOLD && model->hold.at[seat->reservation].user == model->asker;
    }
    for (size_t i = 0; i < user->hold.count; i++)
        if (!is_given_up(wish, user->hold.at[i])) {
            held++;
            of_date += &model->date.at[model->hold.at[user->hold.at[i]].date] == wish->date;
        }
    if (of_date > model->policy[HOUSE_seats_per_user])
        return m_refuse(model, USHER_SEATS_PER_USER, model->policy[HOUSE_seats_per_user]);
    if (held > model->policy[HOUSE_holds_per_user])
        return m_refuse(model, USHER_HOLDS_PER_USER, model->policy[HOUSE_holds_per_user]);
    return USHER_OK;
}

/* H2, H4: every seat in the way is listed; the result is the uppermost. */
static usher_result
check_seats(struct model *model, const struct wish *wish)
{
    static const usher_result results[] = {
        [LOOKS_FREE] = USHER_OK, [LOOKS_HELD] = USHER_HELD, [LOOKS_SOLD] = USHER_SOLD, [LOOKS_BLOCKED] = USHER_BLOCKED};
    usher_result all = USHER_OK;
    uint64_t until_ms = 0;

    for (uint32_t i = 0; i < wish->count; i++) {
        const struct m_seat *seat = seat_at(wish->date, wish->seat[i]);
        usher_conflict conflict = {.seat_no = wish->seat[i]};
        usher_result one = results[m_seat_looks(model, wish->date, wish->seat[i])];
        bool ours = seat->blocked && wish->channel != 0 && seat->channel == wish->channel;
        if (one == USHER_HELD && is_given_up(wish, seat->reservation)) /* H11: it may be taken again */
            one = seat->blocked ? USHER_BLOCKED : USHER_OK;
        if (one == USHER_BLOCKED && ours)
            one = USHER_OK;
        if (one == USHER_HELD && seat->through && !ours &&
            !is_own(model, wish, wish->seat[i])) /* not for them anyway */
            one = USHER_BLOCKED;
        if (one == USHER_OK || is_own(model, wish, wish->seat[i]))
            continue;
        if (one == USHER_HELD)
            conflict.until_ms = m_moment(m_queue_of(model, wish->date), model->hold.at[seat->reservation].due);
        if (conflict.until_ms > until_ms)
            until_ms = conflict.until_ms;
        conflict.result = (uint16_t)one;
        model->refusal.conflict[model->refusal.conflict_count++] = conflict;
        all = m_upper(all, one);
    }
    return all == USHER_OK ? USHER_OK : m_refuse_until(model, all, all == USHER_HELD ? until_ms : 0);
}

static usher_result
check_wish(struct model *model, const struct wish *wish)
{
    usher_result result = check_list(model, wish);
    uint32_t more = 0;

    if (result != USHER_OK)
        return result;
    for (uint32_t i = 0; i < wish->count; i++)
        more += !is_own(model, wish, wish->seat[i]);
    result = check_limits(model, wish, more);
    return result == USHER_OK ? check_seats(model, wish) : result;
}

void
m_hold_describe(struct model *model, uint64_t reservation, usher_hold *out)
{
    const struct m_hold *hold = &model->hold.at[reservation];
    const struct m_date *date = &model->date.at[hold->date];

    *out = (usher_hold){.reservation_id = reservation,
                        .concert_id = model->concert.at[date->concert].id,
                        .date_id = date->id,
                        .seat_no = hold->seat_no,
                        .price = hold->price,
                        .until_ms = m_moment(m_queue_of(model, date), hold->due)};
}

static uint64_t
hold_new(struct model *model, const struct wish *wish, uint32_t seat_no, uint64_t due)
{
    uint64_t id = model->hold.count;
    int64_t price = wish->date->price[m_grade(&model->plan.at[wish->date->plan], seat_no)]; /* H5: as it is now */

    ADD(&model->hold, (struct m_hold){.user = model->asker,
                                      .date = (uint32_t)(wish->date - model->date.at),
                                      .seat_no = seat_no,
                                      .place = model->has_place ? model->position : 0,
                                      .due = due,
                                      .price = price});
    ADD(&model->live, id);
    ADD(&model->user.at[model->asker].hold, id);
    bool through = seat_at(wish->date, seat_no)->blocked;
    m_seat_set(wish->date, seat_no, SEAT_IS_HELD, through, id);
    seat_at(wish->date, seat_no)->through = through;
    m_emit_of_seat(model, USHER_EVENT_SEAT_HELD, model->asker, wish->date, seat_no, id, price);
    return id;
}

/* Returns the earliest deadline. */
static uint64_t
take(struct model *model, const struct wish *wish, usher_hold *out, uint16_t *count)
{
    struct m_queue *queue = m_queue_of(model, wish->date);
    uint64_t due = wish->due != 0 ? wish->due : m_sale_now(model, queue) + model->policy[HOUSE_hold_ms];
    uint64_t until_ms = UINT64_MAX;
    bool extended = !model->has_place;

    for (uint32_t i = 0; i < wish->count; i++) {
        uint64_t id = seat_at(wish->date, wish->seat[i])->reservation;
        if (!is_own(model, wish, wish->seat[i])) {
            m_seat_sweep(model, wish->date, wish->seat[i]);
            if (!extended)
                m_place_extend(model, queue, model->position, &due);
            extended = true;
            id = hold_new(model, wish, wish->seat[i], due);
        }
        m_hold_describe(model, id, &out[*count]);
        if (out[*count].until_ms < until_ms)
            until_ms = out[*count].until_ms;
        ++*count;
    }
    return until_ms;
}

usher_result
model_reserve(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_reserve_request *ask = body;
    usher_reserve_reply *reply = out;
    struct wish wish = {.seat = ask->seat, .count = ask->seat_count, .channel = m_channel(request)};

    usher_result result = m_date_find(model, ask->concert_id, ask->date_id, &wish.date);
    if (result == USHER_OK)
        result = check_window(model, wish.date);
    if (result == USHER_OK)
        result = check_wish(model, &wish);
    if (result == USHER_OK)
        reply->until_ms = take(model, &wish, reply->hold, &reply->hold_count);
    return result;
}

/* --- the best (H9) -------------------------------------------------------------------------------------- */
struct choice {
    bool found, lone;
    uint32_t row, off_middle, seat_no;
};

/* Less is better: no lone seat left over, the earlier row, nearer to its middle, the lower number. */
static bool
is_better(const struct choice *one, const struct choice *than)
{
    if (!than->found || one->lone != than->lone)
        return !than->found || than->lone;
    if (one->row != than->row)
        return one->row < than->row;
    if (one->off_middle != than->off_middle)
        return one->off_middle < than->off_middle;
    return one->seat_no < than->seat_no;
}

static uint32_t
run_of_free(struct model *model, const struct m_date *date, uint32_t from, uint32_t end, int step)
{
    uint32_t length = 0;

    for (uint32_t seat_no = from; seat_no != end && m_seat_looks(model, date, seat_no) == LOOKS_FREE;
         seat_no = (uint32_t)((int64_t)seat_no + step))
        length++;
    return length;
}

/* Every place in this row where all would sit side by side. */
static void
weigh_row(struct model *model, const struct wish *wish, uint32_t row, uint32_t first, uint32_t length,
          struct choice *best)
{
    uint32_t count = wish->count;

    for (uint32_t seat_no = first; seat_no + count <= first + length; seat_no++) {
        if (run_of_free(model, wish->date, seat_no, seat_no + count, +1) < count)
            continue;
        bool lone_left = run_of_free(model, wish->date, seat_no - 1, first - 1, -1) == 1;
        bool lone_right = run_of_free(model, wish->date, seat_no + count, first + length, +1) == 1;
        int32_t twice_off = (int32_t)(2 * (seat_no - first) + count) - (int32_t)length;
        struct choice one = {.found = true,
                             .lone = lone_left || lone_right,
                             .row = row,
                             .off_middle = (uint32_t)abs(twice_off),
                             .seat_no = seat_no};
        if (is_better(&one, best))
            *best = one;
    }
}

static usher_result
choose_best(struct model *model, const struct wish *wish, uint8_t grade, bool together, uint32_t *seat)
{
    const struct m_plan *plan = &model->plan.at[wish->date->plan];
    struct choice best = {0};
    uint32_t first = 1, row = 0, free_count = 0;

    for (uint16_t s = 0; s < plan->section_count; s++)
        for (uint16_t r = 0; r < plan->section[s].row_count; r++, row++, first += plan->section[s].seats_per_row) {
            uint32_t length = plan->section[s].seats_per_row;
            if (grade != USHER_GRADE_ANY && grade != plan->section[s].grade)
                continue;
            weigh_row(model, wish, row, first, length, &best);
            for (uint32_t i = 0; i < length; i++)
                if (m_seat_looks(model, wish->date, first + i) == LOOKS_FREE && free_count++ < wish->count)
                    seat[free_count - 1] = first + i;
        }
    if (best.found) {
        for (uint32_t i = 0; i < wish->count; i++)
            seat[i] = best.seat_no + i;
        return USHER_OK;
    }
    if (free_count < wish->count)
        return m_refuse(model, USHER_NOT_ENOUGH_SEATS, free_count);
    return together ? m_refuse(model, USHER_NOT_TOGETHER, free_count) : USHER_OK;
}

usher_result
model_reserve_best(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_reserve_best_request *ask = body;
    usher_reserve_best_reply *reply = out;
    uint32_t seat[16];
    struct wish wish = {.seat = seat, .count = ask->count};
    uint64_t most = model->policy[HOUSE_seats_per_request];

    (void)request;
    usher_result result = m_date_find(model, ask->concert_id, ask->date_id, &wish.date);
    if (result == USHER_OK)
        result = check_window(model, wish.date);
    if (result != USHER_OK)
        return result;
    struct m_tally now = m_tally(model, wish.date); /* H7 */
    if (now.sold > 0 && now.sold + now.blocked + now.withheld == now.seats)
        return USHER_SOLD_OUT;
    if (now.held > now.withheld && now.free == 0)
        return USHER_ALL_HELD;
    if (ask->count == 0)
        return USHER_SEATS_NONE;
    if (ask->count > most)
        return m_refuse(model, USHER_SEATS_PER_REQUEST, most);
    result = check_limits(model, &wish, ask->count);
    if (result == USHER_OK)
        result = choose_best(model, &wish, ask->grade, ask->together, seat);
    if (result == USHER_OK)
        reply->until_ms = take(model, &wish, reply->hold, &reply->hold_count);
    return result;
}

/* --- reservations --------------------------------------------------------------------------------------- */
/* Why the asker may not do anything with this reservation; OK if it is a live hold of its own. */
usher_result
m_hold_of_asker(struct model *model, uint64_t reservation)
{
    if (reservation == 0 || reservation >= model->hold.count)
        return USHER_RESERVATION_NOT_FOUND;
    const struct m_hold *hold = &model->hold.at[reservation];
    if (hold->user != model->asker)
        return USHER_NOT_YOURS; /* H6 */
    if (hold->how == HOW_PAID) {
        if (model->paid_by == 0)
            model->paid_by = hold->payment;
        return USHER_ALREADY_PAID;
    }
    if (hold->how != HOW_LIVE)
        return USHER_HOLD_EXPIRED;
    if (model->has_place && model->date.at[hold->date].queue != model->queue_at)
        return USHER_TOKEN_OTHER_QUEUE;
    return m_hold_is_due(model, hold) ? USHER_HOLD_EXPIRED : USHER_OK;
}

usher_result
model_release(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_release_request *ask = body;
    usher_release_reply *reply = out;
    usher_result all = USHER_OK;

    (void)request;
    if (ask->reservation_count == 0)
        return USHER_SEATS_NONE;
    for (uint16_t i = 0; i < ask->reservation_count; i++) {
        usher_result one = m_hold_of_asker(model, ask->reservation[i]);
        all = m_upper(all, one == USHER_HOLD_EXPIRED ? USHER_OK : one); /* what is over is as released as can be */
    }
    if (all != USHER_OK)
        return m_refuse(model, all, all == USHER_ALREADY_PAID ? model->paid_by : 0);
    for (uint16_t i = 0; i < ask->reservation_count; i++)
        if (model->hold.at[ask->reservation[i]].how == HOW_LIVE) {
            m_hold_over(model, ask->reservation[i], HOW_RELEASED);
            reply->released_count++;
        }
    return USHER_OK;
}

/* The old holds: whether all may be given up, and the earliest deadline of those that may. */
static usher_result
check_old(struct model *model, struct wish *wish)
{
    usher_result all = USHER_OK;

    wish->due = UINT64_MAX;
    for (uint32_t i = 0; i < wish->old_count; i++) {
        usher_result one = m_hold_of_asker(model, wish->old[i]);
        const struct m_hold *hold = &model->hold.at[one == USHER_OK ? wish->old[i] : 0];
        if (one == USHER_OK && model->date.at[hold->date].queue != wish->date->queue)
            one = USHER_TOKEN_OTHER_QUEUE;
        if (one == USHER_OK && hold->due < wish->due)
            wish->due = hold->due;
        all = m_upper(all, one);
    }
    return all;
}

usher_result
model_swap(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_swap_request *ask = body;
    usher_swap_reply *reply = out;
    struct wish wish = {.seat = ask->seat,
                        .count = ask->seat_count,
                        .old = ask->reservation,
                        .old_count = ask->reservation_count,
                        .channel = m_channel(request)};

    usher_result result = m_date_find(model, ask->concert_id, ask->date_id, &wish.date);
    if (result != USHER_OK)
        return result;
    usher_result old = check_old(model, &wish);
    if (old == USHER_TOKEN_OTHER_QUEUE)
        return old;
    result = check_window(model, wish.date);
    if (result == USHER_OK && wish.old_count == 0)
        return USHER_SEATS_NONE;
    if (result == USHER_OK)
        result = check_wish(model, &wish);
    if (result == USHER_OK && old != USHER_OK)
        return m_refuse(model, old, old == USHER_ALREADY_PAID ? model->paid_by : 0);
    if (result != USHER_OK)
        return result;
    for (uint32_t i = 0; i < wish.old_count; i++)
        if (model->hold.at[wish.old[i]].how == HOW_LIVE) /* a reservation may be named twice */
            m_hold_over(model, wish.old[i], HOW_SWAPPED);
    reply->until_ms = take(model, &wish, reply->hold, &reply->hold_count);
    return USHER_OK;
}

usher_result
model_holds(struct model *model, const struct model_request *request, const void *body, void *out)
{
    usher_holds_reply *reply = out;
    const struct m_user *user = &model->user.at[model->asker];

    (void)request;
    (void)body;
    for (size_t i = 0; i < user->hold.count; i++)
        if (!m_hold_is_due(model, &model->hold.at[user->hold.at[i]]))
            m_hold_describe(model, user->hold.at[i], &reply->hold[reply->hold_count++]);
    return USHER_OK;
}
