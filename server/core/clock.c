/* clock.c: the queue's sale clock, and the tick that ends what is due.
 *
 * Every queue has a clock of its own that stands still while the queue is frozen (Q9). Deadlines of holds, leases,
 * admissions and claims are kept in that clock, so that a freeze moves them all by its length and rewrites none.
 *
 * The tick works in small bites (policy tick_max) and the truth never waits for it: whoever looks at a hold or a ticket
 * compares its deadline with the batch's stamp. A deadline is over *at* its moment, not after it; queue_is_over() is the
 * only place that knows. */
#include "server/core/internal.h"

#define DAY_MS UINT64_C(86400000)
#define ANSWERS_EXPIRED_A_TICK 64u

static uint64_t
frozen_total(const struct core *core, const struct queue_record *queue)
{
    return queue->frozen_ms + (queue->frozen_at_ms != 0 ? core->now_ms - queue->frozen_at_ms : 0);
}

uint64_t
queue_sale_ms(const struct core *core, const struct queue_record *queue)
{
    return core->now_ms - frozen_total(core, queue);
}

/* Graces stand in ascending order and a deadline is put off once, by the first that it falls into, so the order of
 * deadlines is the order of their ends: what is due next is due next with or without grace. */
uint64_t
queue_due(const struct queue_record *queue, uint64_t due)
{
    for (uint64_t i = 0; i < queue->grace_count; i++)
        if (due >= queue->grace[i].from_due && due < queue->grace[i].ends_due)
            return queue->grace[i].ends_due;
    return due;
}

bool
queue_is_over(const struct core *core, const struct queue_record *queue, uint64_t due)
{
    return queue_due(queue, due) <= queue_sale_ms(core, queue);
}

uint64_t
queue_moment_ms(const struct queue_record *queue, uint64_t due)
{
    return queue->frozen_at_ms != 0 ? 0 : queue_due(queue, due) + queue->frozen_ms;
}

/* A grace whose end has come makes no difference any more, once all is ended that it put off. When there is no room for
 * one more, after eight downtimes within one grace, there is none: a crash loop keeps no seat for ever. */
static void
put_off(struct core *core, struct queue_record *queue, uint64_t down_since_ms)
{
    uint64_t sale_ms = queue_sale_ms(core, queue), kept = 0;
    uint64_t put_off_until = queue->grace_count > 0 ? queue->grace[queue->grace_count - 1].ends_due : 0;
    struct store_due next;
    bool any = store_next_due(core->store, queue->queue_no, &next);

    for (uint64_t i = 0; i < queue->grace_count; i++)
        if (queue->grace[i].ends_due > sale_ms || (any && next.due < queue->grace[i].ends_due))
            queue->grace[kept++] = queue->grace[i];
    memset(&queue->grace[kept], 0, (queue->grace_count - kept) * sizeof *queue->grace);
    queue->grace_count = kept;
    if (queue->frozen_at_ms != 0 || kept == QUEUE_GRACES)
        return;
    uint64_t from_due = down_since_ms - queue->frozen_ms + 1; /* what was over at the last stamp stays over */
    if (put_off_until > from_due)
        from_due = put_off_until; /* what the one before has put off is not put off again, though that is over */
    uint64_t ends_due = sale_ms + house_policy(core, HOUSE_POLICY_restart_grace_ms);
    if (ends_due <= from_due)
        return;
    queue->grace[kept].from_due = from_due;
    queue->grace[kept].ends_due = ends_due;
    queue->grace_count++;
}

void
queues_put_off(struct core *core, uint64_t down_since_ms)
{
    struct queue_record queue;

    for (uint64_t queue_no = store_first_queue(core->store); queue_no != 0;) {
        store_get_queue(core->store, queue_no, &queue);
        put_off(core, &queue, down_since_ms);
        store_put_queue(core->store, &queue);
        queue_no = store_next_queue(core->store, queue.queue_id);
    }
}

bool
queue_has_backlog(const struct core *core, const struct queue_record *queue)
{
    struct store_due due;
    return store_next_due(core->store, queue->queue_no, &due) && queue_is_over(core, queue, due.due);
}

static void
end_one(struct core *core, const struct store_due *due)
{
    if (due->table == STORE_TABLE_HOLD) {
        hold_end(core, due->key, ENDED_EXPIRED);
        return;
    }
    const struct ticket_record *ticket = store_see_ticket(core->store, due->key);
    assert(ticket != NULL);
    if (ticket_is_live(ticket))
        ticket_end(core, due->key, USHER_PLACE_EXPIRED);
    else
        store_remove_ticket(core->store, due->key); /* ended_keep_ms after its end nobody asks any more */
}

static bool
end_due_of_queue(struct core *core, uint64_t queue_no)
{
    struct store_due due;
    const struct queue_record *queue = store_see_queue(core->store, queue_no);
    bool any = false;

    while (core->budget > 0 && store_next_due(core->store, queue_no, &due) && queue_is_over(core, queue, due.due)) {
        core->budget--;
        end_one(core, &due);
        any = true;
    }
    return any;
}

/* M3: answers without money are forgotten after request_id_days. They stand in order of their moments, so a cursor is
 * enough; quiet_* spares the read of a row that is known to be too young. */
static bool
forget_answers(struct core *core)
{
    uint64_t keep_ms = house_policy(core, HOUSE_POLICY_request_id_days) * DAY_MS;
    bool any = false;

    for (uint32_t i = 0; i < ANSWERS_EXPIRED_A_TICK; i++) {
        uint64_t answer_no = core->house->first_answer_no;
        if (answer_no > core->house->last_answer_no)
            return any;
        if (core->quiet_answer_no == answer_no && core->quiet_at_ms + keep_ms > core->now_ms)
            return any;
        if (store_read_answer(core->store, answer_no, &core->answer)) {
            core->quiet_answer_no = answer_no;
            core->quiet_at_ms = core->answer.at_ms;
            if (core->answer.at_ms + keep_ms > core->now_ms)
                return any;
            if (!core->answer.for_ever)
                store_drop_answer(core->store, &core->answer);
        }
        core_house(core)->first_answer_no++;
        any = true;
    }
    return any;
}

bool
core_tick_all(struct core *core)
{
    bool any = false;
    uint64_t queue_no = store_first_queue(core->store);

    while (queue_no != 0) {
        any |= end_due_of_queue(core, queue_no);
        any |= queue_admit(core, queue_no, UINT32_MAX) > 0;
        queue_no = store_next_queue(core->store, store_see_queue(core->store, queue_no)->queue_id);
    }
    any |= forget_answers(core);
    any |= events_drop(core);
    return any;
}

uint64_t
core_next_due_ms(const struct core *core, uint64_t now_ms)
{
    struct core *self = (struct core *)core; /* only now_ms and the way to the house's record change */
    uint64_t next_ms = UINT64_MAX;
    struct store_due due;

    self->house = store_see_house(core->store, 0);
    self->now_ms = now_ms > core->house->stamp_ms ? now_ms : core->house->stamp_ms;
    for (uint64_t queue_no = store_first_queue(core->store); queue_no != 0;) {
        const struct queue_record *queue = store_see_queue(core->store, queue_no);
        uint64_t moment_ms = queue_admission_ms(core, queue);
        if (moment_ms < next_ms)
            next_ms = moment_ms;
        moment_ms = queue_sale_ends_ms(core, queue); /* changes no record, but what waiters are told */
        if (moment_ms < next_ms)
            next_ms = moment_ms;
        /* A frozen queue's clock stands still, but what was over before it stopped is still to be swept up. */
        bool wakes = store_next_due(core->store, queue_no, &due) &&
                     (queue->frozen_at_ms == 0 || queue_is_over(core, queue, due.due));
        moment_ms = wakes && queue->frozen_at_ms == 0 ? queue_moment_ms(queue, due.due) : core->now_ms;
        if (wakes && moment_ms < next_ms)
            next_ms = moment_ms;
        queue_no = store_next_queue(core->store, queue->queue_id);
    }
    /* Forgetting answers is in no hurry: it rides on the next batch that something else makes. */
    return next_ms;
}

void
core_end_due_of_user(struct core *core, uint64_t user_no)
{
    bool again = true;

    /* Ending one changes both lists, so begin anew; both are short (HOLDS_PER_USER, one ticket a queue). */
    while (again) {
        const struct user_record *user = store_see_user(core->store, user_no);
        uint64_t first_hold = user->first_hold;
        again = false;
        for (uint64_t key = user->first_ticket; key != 0 && !again;) {
            const struct ticket_record *ticket = store_see_ticket(core->store, key);
            const struct queue_record *queue = store_see_queue(core->store, TICKET_QUEUE_NO(key));
            if (ticket_state_now(core, queue, ticket) == USHER_PLACE_EXPIRED) {
                ticket_end(core, key, USHER_PLACE_EXPIRED);
                again = true;
            }
            key = again ? 0 : ticket_next(core->store, ticket);
        }
        for (uint64_t id = first_hold; id != 0 && !again;) {
            const struct hold_record *hold = store_see_hold(core->store, id);
            uint64_t next = hold->next_of_user;
            if (hold_is_over(core, store_see_queue(core->store, hold->queue_no), hold)) {
                hold_end(core, id, ENDED_EXPIRED);
                again = true;
            }
            id = next;
        }
    }
}
