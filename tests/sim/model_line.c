/* model_line.c: places in line, admission and the tick (T1, T4, T5, Q1 to Q11). */
#include "tests/sim/model_inside.h"

#include <stdio.h>

#include "protocol/token.h"

#define DAY_MS               UINT64_C(86400000)
#define GRACES_MOST          8u
#define ANSWERS_DROPPED_MOST 64u /* OPEN: how many a tick forgets */

/* --- clocks --------------------------------------------------------------------------------------------- */
static uint64_t
frozen_so_far(const struct model *model, const struct m_queue *queue)
{
    return queue->frozen_sum + (queue->mode == USHER_QUEUE_FROZEN ? model->now_ms - queue->frozen_since : 0);
}

uint64_t
m_sale_now(const struct model *model, const struct m_queue *queue)
{
    return model->now_ms - frozen_so_far(model, queue);
}

/* X2: a deadline that fell into a downtime or the grace after it is put off to the grace's end, once. */
static uint64_t
put_off(const struct m_queue *queue, uint64_t due)
{
    for (size_t i = 0; i < queue->grace.count; i++)
        if (queue->grace.at[i].from <= due && due < queue->grace.at[i].ends)
            return queue->grace.at[i].ends;
    return due;
}

/* At its moment it is over, not after it (H1). */
bool
m_is_over(const struct model *model, const struct m_queue *queue, uint64_t due)
{
    return put_off(queue, due) <= m_sale_now(model, queue);
}

uint64_t
m_moment(const struct m_queue *queue, uint64_t due)
{
    return queue->mode == USHER_QUEUE_FROZEN ? 0 : put_off(queue, due) + queue->frozen_sum;
}

static uint64_t
least(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

/* --- finding -------------------------------------------------------------------------------------------- */
struct m_queue *
m_queue_find(struct model *model, uint32_t id)
{
    for (size_t i = 0; i < model->queue.count; i++)
        if (model->queue.at[i].id == id)
            return &model->queue.at[i];
    return NULL;
}

struct m_queue *
m_queue_next(struct model *model, int64_t after_id)
{
    struct m_queue *next = NULL;

    for (size_t i = 0; i < model->queue.count; i++) {
        struct m_queue *queue = &model->queue.at[i];
        if ((int64_t)queue->id > after_id && (next == NULL || queue->id < next->id))
            next = queue;
    }
    return next;
}

struct m_place *
m_place_at(struct m_queue *queue, uint64_t position)
{
    if (position == 0 || position > queue->place.count || queue->place.at[position - 1].state == FORGOTTEN)
        return NULL;
    return &queue->place.at[position - 1];
}

bool
m_place_is_live(const struct m_place *place)
{
    return place->state == USHER_PLACE_WAITING || place->state == USHER_PLACE_ACTIVE;
}

uint64_t
m_place_due(const struct m_place *place)
{
    return place->claim != 0 ? least(place->claim, place->due) : place->due;
}

uint8_t
m_place_state(const struct model *model, const struct m_queue *queue, const struct m_place *place)
{
    if (m_place_is_live(place) && m_is_over(model, queue, m_place_due(place)))
        return USHER_PLACE_EXPIRED;
    return place->state;
}

uint64_t
m_rank(const struct m_queue *queue, uint64_t position)
{
    uint64_t ahead = 0;

    for (size_t i = queue->oldest; i + 1 < position; i++)
        ahead += queue->place.at[i].state == USHER_PLACE_WAITING;
    return ahead + 1;
}

/* --- how the sale stands -------------------------------------------------------------------------------- */
/* Until when a date can be sold. */
static uint64_t
sale_ends_ms(const struct m_date *date)
{
    return date->closes_ms != 0 ? date->closes_ms : date->starts_ms;
}

/* Until when anything behind the queue can be sold that is not sold or blocked yet; 0 if all of it is. */
static uint64_t
unsold_until_ms(const struct model *model, const struct m_queue *queue)
{
    uint64_t until_ms = 0;

    for (size_t i = 0; i < model->date.count; i++) {
        const struct m_date *date = &model->date.at[i];
        bool unsold = date->sold + date->blocked < date->seat_count;
        if (&model->queue.at[date->queue] == queue && unsold && sale_ends_ms(date) > until_ms)
            until_ms = sale_ends_ms(date);
    }
    return until_ms;
}

/* Q10: every seat behind the queue that can still be sold is sold or blocked, and not all are merely blocked; one that
 * is held and will be blocked when its hold ends counts as blocked. */
bool
m_is_sold_out(struct model *model, const struct m_queue *queue)
{
    bool not_blocked = false;

    for (size_t i = 0; i < model->date.count; i++) {
        const struct m_date *date = &model->date.at[i];
        if (&model->queue.at[date->queue] == queue && date->blocked < date->seat_count)
            not_blocked = true;
    }
    return not_blocked && unsold_until_ms(model, queue) <= model->now_ms;
}

uint8_t
m_sale(struct model *model, const struct m_queue *queue)
{
    if (queue->mode == USHER_QUEUE_FROZEN)
        return USHER_SALE_FROZEN;
    if (m_is_sold_out(model, queue))
        return USHER_SALE_SOLD_OUT;
    if (queue->mode == USHER_QUEUE_PAUSED)
        return USHER_SALE_PAUSED;
    return model->now_ms < queue->policy[QUEUE_opens_at_ms] ? USHER_SALE_GATHERING : USHER_SALE_OPEN;
}

/* --- the end of a place --------------------------------------------------------------------------------- */
static void
set_state(struct m_queue *queue, struct m_place *place, uint8_t state)
{
    queue->waiting -= place->state == USHER_PLACE_WAITING;
    queue->active -= place->state == USHER_PLACE_ACTIVE;
    place->state = state;
    queue->waiting += state == USHER_PLACE_WAITING;
    queue->active += state == USHER_PLACE_ACTIVE;
}

static void
emit_of_place(struct model *model, enum usher_event_kind kind, const struct m_queue *queue, uint64_t position)
{
    m_emit(model, kind, queue->place.at[position - 1].user, (usher_event){.queue_id = queue->id, .position = position});
}

/* Q7: the holds that are left under it go with it. */
static void
end_holds(struct model *model, const struct m_queue *queue, uint64_t position, enum m_how how)
{
    uint32_t user = queue->place.at[position - 1].user;
    size_t i = 0;

    while (i < model->user.at[user].hold.count) {
        uint64_t id = model->user.at[user].hold.at[i];
        const struct m_hold *hold = &model->hold.at[id];
        if (hold->place == position && &model->queue.at[model->date.at[hold->date].queue] == queue)
            m_hold_over(model, id, how); /* which takes it off the list */
        else
            i++;
    }
}

void
m_place_end(struct model *model, struct m_queue *queue, uint64_t position, uint8_t state)
{
    struct m_place *place = &queue->place.at[position - 1];
    struct m_user *user = &model->user.at[place->user];
    bool slot_frees = place->state == USHER_PLACE_ACTIVE;
    uint32_t index = (uint32_t)(queue - model->queue.at);

    assert(m_place_is_live(place));
    end_holds(model, queue, position, state == USHER_PLACE_EXPIRED ? HOW_EXPIRED : HOW_RELEASED);
    for (size_t i = 0; i < user->place.count; i++)
        if (user->place.at[i].queue == index) {
            memmove(&user->place.at[i], &user->place.at[i + 1], (--user->place.count - i) * sizeof *user->place.at);
            break;
        }
    set_state(queue, place, state);
    place->due = m_sale_now(model, queue) + model->policy[HOUSE_ended_keep_ms];
    place->claim = 0;
    if (state == USHER_PLACE_EXPIRED)
        emit_of_place(model, USHER_EVENT_LAPSED, queue, position);
    if (state == USHER_PLACE_LEFT)
        emit_of_place(model, USHER_EVENT_LEFT, queue, position);
    if (slot_frees)
        m_admit(model, queue, COMMAND_ADMISSIONS); /* Q4 */
}

/* The absolute end of a token by the queue's clock as it stands now. */
static uint64_t
absolute_due(const struct model *model, const struct m_queue *queue, const struct m_place *place)
{
    uint64_t frozen_ms = frozen_so_far(model, queue);

    return place->ends_ms > frozen_ms ? place->ends_ms - frozen_ms : 0;
}

static uint64_t
last_moment(const struct model *model, const struct m_queue *queue, const struct m_place *place)
{
    return least(place->since + queue->policy[QUEUE_active_total_ms], absolute_due(model, queue, place));
}

/* Q7: a hold keeps its place active until hold_grace_ms after it, but not past the place's last moment, and ends no
 * later than that itself. What a place has already is not taken away (Q9). */
void
m_place_extend(struct model *model, struct m_queue *queue, uint64_t position, uint64_t *hold_due)
{
    struct m_place *place = &queue->place.at[position - 1];
    uint64_t last = last_moment(model, queue, place);

    if (last < place->due)
        last = place->due;
    *hold_due = least(*hold_due, last);
    uint64_t wanted = least(*hold_due + model->policy[HOUSE_hold_grace_ms], last);
    if (place->due < wanted)
        place->due = wanted;
}

/* --- admission (Q3, Q4) --------------------------------------------------------------------------------- */
/* OPEN: intervals stand on a grid from the first join or the opening, and are brought up to now when somebody joins or
 * could be admitted. What an interval did not use is lost. */
static void
bring_interval_up(const struct model *model, struct m_queue *queue)
{
    uint64_t opens = queue->policy[QUEUE_opens_at_ms], length = queue->policy[QUEUE_admit_interval_ms];

    if (queue->interval_ms == 0 || (queue->interval_ms < opens && opens <= model->now_ms)) {
        queue->interval_ms = opens != 0 && opens <= model->now_ms ? opens : model->now_ms;
        queue->interval_used = 0;
    }
    uint64_t passed = (model->now_ms - queue->interval_ms) / length;
    if (model->now_ms >= queue->interval_ms && passed > 0) {
        queue->interval_ms += passed * length;
        queue->interval_used = 0;
    }
}

static bool
may_admit_one(const struct m_queue *queue)
{
    uint64_t active_max = queue->policy[QUEUE_active_max];

    return queue->interval_used < queue->policy[QUEUE_admit_batch] && (active_max == 0 || queue->active < active_max);
}

static uint64_t
first_waiting(struct m_queue *queue)
{
    for (size_t i = queue->oldest; i < queue->place.count; i++)
        if (queue->place.at[i].state == USHER_PLACE_WAITING)
            return i + 1;
    return 0;
}

void
m_admit(struct model *model, struct m_queue *queue, uint32_t most)
{
    if (queue->waiting == 0 || m_sale(model, queue) != USHER_SALE_OPEN)
        return;
    bring_interval_up(model, queue);
    for (; most > 0 && model->budget > 0 && queue->waiting > 0 && may_admit_one(queue); most--) {
        model->budget--;
        uint64_t position = first_waiting(queue), sale = m_sale_now(model, queue);
        struct m_place *place = &queue->place.at[position - 1];
        if (m_place_state(model, queue, place) == USHER_PLACE_EXPIRED ||
            m_is_over(model, queue, absolute_due(model, queue, place))) {
            /* The absent take no grant, and neither do those whose token's end came while the queue was frozen. */
            m_place_end(model, queue, position, USHER_PLACE_EXPIRED);
            continue;
        }
        set_state(queue, place, USHER_PLACE_ACTIVE);
        place->since = sale;
        place->due = least(sale + queue->policy[QUEUE_active_ms], last_moment(model, queue, place));
        place->claim = queue->policy[QUEUE_claim_ms] == 0 ? 0 : sale + queue->policy[QUEUE_claim_ms];
        queue->interval_used++;
        queue->admitted++;
        emit_of_place(model, USHER_EVENT_ADMITTED, queue, position);
    }
}

/* --- the tick ------------------------------------------------------------------------------------------- */
struct due {
    uint64_t due, position, reservation; /* one of the two is set */
};

/* What of this queue ends next. OPEN: of what is due at one moment places go first, by position, then holds. */
static bool
next_due(struct model *model, struct m_queue *queue, struct due *next)
{
    *next = (struct due){.due = UINT64_MAX};
    while (queue->oldest < queue->place.count && queue->place.at[queue->oldest].state == FORGOTTEN)
        queue->oldest++;
    for (size_t i = queue->oldest; i < queue->place.count; i++) {
        const struct m_place *place = &queue->place.at[i];
        if (place->state != FORGOTTEN && m_place_due(place) < next->due)
            *next = (struct due){.due = m_place_due(place), .position = i + 1};
    }
    for (size_t i = 0; i < model->live.count; i++) {
        uint64_t id = model->live.at[i];
        const struct m_hold *hold = &model->hold.at[id];
        if (m_queue_of(model, &model->date.at[hold->date]) != queue)
            continue;
        bool earlier = hold->due < next->due;
        bool as_early = hold->due == next->due && next->position == 0 && id < next->reservation;
        if (earlier || as_early)
            *next = (struct due){.due = hold->due, .reservation = id};
    }
    return next->due != UINT64_MAX;
}

static bool
tick_queue(struct model *model, struct m_queue *queue)
{
    uint64_t admitted = queue->admitted, waiting = queue->waiting;
    struct due due;
    bool any = false;

    while (model->budget > 0 && next_due(model, queue, &due) && m_is_over(model, queue, due.due)) {
        model->budget--;
        any = true;
        if (due.reservation != 0)
            m_hold_over(model, due.reservation, HOW_EXPIRED);
        else if (m_place_is_live(&queue->place.at[due.position - 1]))
            m_place_end(model, queue, due.position, USHER_PLACE_EXPIRED);
        else
            queue->place.at[due.position - 1].state = FORGOTTEN; /* Q12: ended_keep_ms after its end */
    }
    m_admit(model, queue, UINT32_MAX);
    return any || admitted != queue->admitted || waiting != queue->waiting;
}

/* M3: answers without money live for request_id_days. */
static bool
forget_answers(struct model *model)
{
    uint64_t keep_ms = model->policy[HOUSE_request_id_days] * DAY_MS;
    bool any = false;

    for (unsigned i = 0; i < ANSWERS_DROPPED_MOST && model->first_answer < model->answer.count; i++) {
        struct m_answer *answer = &model->answer.at[model->first_answer];
        if (model->now_ms < answer->at_ms + keep_ms)
            break;
        if (!answer->for_ever) {
            answer->dropped = true;
            model->answers_kept--;
        }
        model->first_answer++;
        any = true;
    }
    return any;
}

/* X2: every queue's clock ran on while nobody was alive, but that of a frozen one. What was over at the last stamp
 * stays so; what an earlier grace has put off is not put off again. OPEN: eight graces at once are enough. */
static void
begin_grace(struct model *model, struct m_queue *queue, uint64_t down_since_ms)
{
    uint64_t now = m_sale_now(model, queue);
    struct m_grace grace = {.from = down_since_ms - queue->frozen_sum + 1,
                            .ends = now + model->policy[HOUSE_restart_grace_ms]};
    struct due next;
    bool any = next_due(model, queue, &next);
    size_t kept = 0;

    for (size_t i = 0; i < queue->grace.count; i++) {
        uint64_t ends = queue->grace.at[i].ends;
        if (grace.from < ends)
            grace.from = ends; /* each deadline once */
        if (ends > now || (any && next.due < ends))
            queue->grace.at[kept++] = queue->grace.at[i];
    }
    queue->grace.count = kept;
    if (queue->mode != USHER_QUEUE_FROZEN && kept < GRACES_MOST && grace.from < grace.ends)
        ADD(&queue->grace, grace);
}

void
model_restart(struct model *model, bool nobody_was_alive)
{
    model->resuming = nobody_was_alive;
}

static void
resume(struct model *model)
{
    for (size_t i = 0; i < model->queue.count; i++)
        begin_grace(model, &model->queue.at[i], model->stamp_ms);
    m_emit(model, USHER_EVENT_RESUMED, NOBODY, (usher_event){.amount = (int64_t)(model->now_ms - model->stamp_ms)});
    model->resuming = false;
}

static bool
tick(struct model *model, uint64_t stamp_ms)
{
    bool any = model->resuming;

    model->now_ms = stamp_ms;
    if (model->resuming)
        resume(model);
    model->budget = (uint32_t)model->policy[HOUSE_tick_max];
    for (struct m_queue *queue = m_queue_next(model, -1); queue != NULL; queue = m_queue_next(model, queue->id))
        any |= tick_queue(model, queue);
    any |= forget_answers(model);
    return m_drop_events(model) || any;
}

void
model_tick(struct model *model, uint64_t stamp_ms)
{
    tick(model, stamp_ms);
    model->stamp_ms = stamp_ms;
    model->batches++;
}

bool
model_wake(struct model *model, uint64_t now_ms)
{
    uint64_t stamp_ms = now_ms > model->stamp_ms ? now_ms : model->stamp_ms;

    if ((!model->resuming && model_next_due_ms(model, stamp_ms) > stamp_ms) || !tick(model, stamp_ms))
        return false;
    model->stamp_ms = stamp_ms;
    model->batches++;
    return true;
}

static uint64_t
next_admission_ms(struct model *model, struct m_queue *queue)
{
    uint64_t opens = queue->policy[QUEUE_opens_at_ms], active_max = queue->policy[QUEUE_active_max];
    uint8_t sale = m_sale(model, queue);

    if (queue->waiting == 0 || (active_max != 0 && queue->active >= active_max))
        return UINT64_MAX;
    if (sale == USHER_SALE_GATHERING)
        return opens;
    if (sale != USHER_SALE_OPEN)
        return UINT64_MAX;
    if (queue->interval_ms < opens || queue->interval_used < queue->policy[QUEUE_admit_batch])
        return model->now_ms;
    return queue->interval_ms + queue->policy[QUEUE_admit_interval_ms];
}

uint64_t
model_next_due_ms(struct model *model, uint64_t now_ms)
{
    uint64_t next_ms = UINT64_MAX;
    struct due due;

    model->now_ms = now_ms;
    for (size_t i = 0; i < model->queue.count; i++) {
        struct m_queue *queue = &model->queue.at[i];
        next_ms = least(next_ms, next_admission_ms(model, queue));
        /* Nothing changes in the house when the last sale ends, but those who wait are told so (Q10). */
        uint64_t until_ms = unsold_until_ms(model, queue);
        if (queue->waiting > 0 && queue->mode != USHER_QUEUE_FROZEN && until_ms > now_ms)
            next_ms = least(next_ms, until_ms);
        /* A frozen queue's moments do not come nearer, but what was over before the freeze is still to be ended: 0. */
        if (next_due(model, queue, &due) && (queue->mode != USHER_QUEUE_FROZEN || m_is_over(model, queue, due.due)))
            next_ms = least(next_ms, m_moment(queue, due.due));
    }
    return next_ms;
}

/* Truth does not wait for the tick: what is due of the asker ends before its command (DESIGN section 3).
 * OPEN: the latest place first, then the oldest hold. */
void
m_end_due_of_user(struct model *model, uint32_t user)
{
    bool again = true;

    while (again) {
        again = false;
        const struct m_user *who = &model->user.at[user];
        for (size_t i = who->place.count; i-- > 0 && !again;) {
            struct m_queue *queue = &model->queue.at[who->place.at[i].queue];
            uint64_t position = who->place.at[i].position;
            again = m_place_state(model, queue, &queue->place.at[position - 1]) == USHER_PLACE_EXPIRED;
            if (again)
                m_place_end(model, queue, position, USHER_PLACE_EXPIRED);
        }
        for (size_t i = 0; i < who->hold.count && !again; i++) {
            again = m_hold_is_due(model, &model->hold.at[who->hold.at[i]]);
            if (again)
                m_hold_over(model, who->hold.at[i], HOW_EXPIRED);
        }
    }
}

/* --- join, place, leave --------------------------------------------------------------------------------- */
static uint64_t
live_place_of(const struct model *model, uint32_t user, uint32_t queue)
{
    const struct m_user *who = &model->user.at[user];

    for (size_t i = 0; i < who->place.count; i++)
        if (who->place.at[i].queue == queue)
            return who->place.at[i].position;
    return 0;
}

static uint64_t
full_lease(const struct model *model, const struct m_queue *queue, const struct m_place *place)
{
    return least(m_sale_now(model, queue) + queue->policy[QUEUE_waiting_lease_ms], absolute_due(model, queue, place));
}

/* Q6: a waiter's lease is renewed when less than half of it is left. OPEN: what a grace adds is no part of it. */
static bool
wants_renewal(const struct model *model, const struct m_queue *queue, const struct m_place *place)
{
    uint64_t now = m_sale_now(model, queue), left = place->due > now ? place->due - now : 0;

    return m_place_state(model, queue, place) == USHER_PLACE_WAITING &&
           left < queue->policy[QUEUE_waiting_lease_ms] / 2 && full_lease(model, queue, place) > place->due;
}

static uint64_t
take_place(struct model *model, struct m_queue *queue)
{
    struct m_place place = {
        .user = model->asker,
        .state = USHER_PLACE_LEFT, /* nothing yet: set_state() counts it */
        .joined_ms = model->now_ms,
        .ends_ms = model->now_ms + model->policy[HOUSE_token_ms_max],
    };

    bring_interval_up(model, queue);
    place.due = full_lease(model, queue, &place);
    ADD(&queue->place, place);
    uint64_t position = queue->place.count;
    set_state(queue, &queue->place.at[position - 1], USHER_PLACE_WAITING);
    ADD(&model->user.at[model->asker].place,
        (struct m_ref){.queue = (uint32_t)(queue - model->queue.at), .position = position});
    emit_of_place(model, USHER_EVENT_JOINED, queue, position);
    m_admit(model, queue, COMMAND_ADMISSIONS); /* Q3: at once, if nobody is ahead */
    return position;
}

/* estimate_ms and next_poll_ms are the server's to choose: model_accept() judges them. */
static usher_place_reply
describe(struct model *model, struct m_queue *queue, uint64_t position)
{
    const struct m_place *place = &queue->place.at[position - 1];
    usher_place_reply reply = {.queue_id = queue->id,
                               .state = m_place_state(model, queue, place),
                               .sale = m_sale(model, queue),
                               .position = position};

    if (reply.state == USHER_PLACE_WAITING) {
        reply.rank = m_rank(queue, position);
        reply.until_ms = m_moment(queue, place->due);
    } else if (reply.state == USHER_PLACE_ACTIVE) {
        reply.until_ms = m_moment(queue, m_place_due(place));
    }
    return reply;
}

usher_result
model_join(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_join_request *ask = body;
    usher_join_reply *reply = out;
    struct m_queue *queue = m_queue_find(model, ask->queue_id);

    (void)request;
    if (queue == NULL)
        return USHER_QUEUE_NOT_FOUND;
    uint64_t position = live_place_of(model, model->asker, (uint32_t)(queue - model->queue.at));
    if (position == 0 && m_is_sold_out(model, queue))
        return USHER_SOLD_OUT;
    if (position == 0)
        position = take_place(model, queue);
    struct m_place *place = &queue->place.at[position - 1];
    if (wants_renewal(model, queue, place))
        place->due = full_lease(model, queue, place);
    usher_place_reply told = describe(model, queue, position);
    *reply = (usher_join_reply){.queue_id = told.queue_id,
                                .state = told.state,
                                .sale = told.sale,
                                .position = told.position,
                                .rank = told.rank,
                                .until_ms = told.until_ms};
    usher_token_body token = {.key_id = 1,
                              .queue_id = queue->id,
                              .user = model->user.at[model->asker].uuid,
                              .position = position,
                              .issued_ms = place->joined_ms,
                              .ends_ms = place->ends_ms};
    reply->token_count = (uint16_t)usher_token_body_encode(&token, reply->token);
    return USHER_OK;
}

usher_result
model_place(struct model *model, const struct model_request *request, const void *body, void *out)
{
    struct m_queue *queue = &model->queue.at[model->queue_at];

    (void)request;
    (void)body;
    *(usher_place_reply *)out = describe(model, queue, model->position);
    if (wants_renewal(model, queue, &queue->place.at[model->position - 1]))
        *model->touch = (usher_touch_request){.queue_id = queue->id, .position = model->position, .renew = 1};
    return USHER_OK;
}

usher_result
model_leave(struct model *model, const struct model_request *request, const void *body, void *out)
{
    usher_leave_reply *reply = out;
    struct m_queue *queue = &model->queue.at[model->queue_at];
    struct m_place *place = &queue->place.at[model->position - 1];

    (void)request;
    (void)body;
    if (m_place_is_live(place)) {
        size_t before = model->user.at[model->asker].hold.count;
        m_place_end(model, queue, model->position, USHER_PLACE_LEFT);
        reply->released_count = (uint16_t)(before - model->user.at[model->asker].hold.count);
    }
    reply->state = place->state;
    return USHER_OK;
}

usher_result
model_touch(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_touch_request *ask = body;
    usher_touch_reply *reply = out;
    struct m_queue *queue = m_queue_find(model, ask->queue_id);
    struct m_place *place = queue == NULL ? NULL : m_place_at(queue, ask->position);

    (void)request;
    if (place == NULL)
        return USHER_OK;
    uint8_t state = m_place_state(model, queue, place);
    reply->touched = state == USHER_PLACE_WAITING || state == USHER_PLACE_ACTIVE;
    if (ask->renew && wants_renewal(model, queue, place))
        place->due = full_lease(model, queue, place);
    if (ask->claim && state == USHER_PLACE_ACTIVE)
        place->claim = 0;
    return USHER_OK;
}
