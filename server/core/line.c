/* line.c: the queue: a place in it, and the life of its ticket (T1 to T5, Q1 to Q11).
 *
 *      join              a grant and a slot             pay
 *     ------> [WAITING] ------------------> [ACTIVE] ------> [USED]
 *                |  |                         |  |
 *                |  `---- lease over ----.    |  `-- leave --> [LEFT]
 *                `------- leave --> [LEFT] `-> [EXPIRED] <- active time, claim or absolute end over
 *
 * The place in line is a sequence number taken inside the join's own commit. Who is admitted is decided by that number
 * alone: queue_admit() takes the first waiting bit, again and again, while grants and slots last.
 *
 * Invariants, checked by core_audit() under these names:
 *   L1  A live ticket stands in its user's list, an ended one in none; a user has one live ticket a queue at most.
 *   L2  No waiter stands before anybody who was admitted after it joined: positions are admitted in order.
 *   L3  Nobody is active past ticket_last_due(), and no hold ends after its ticket. */
#include "server/core/internal.h"

#include <xxhash.h>

/* What a ticket's record has bits for. */
enum policy_most {
#define USHER_POLICY(SCOPE, name, usual, least, most, unit, help) POLICY_MOST_##name = (most),
#include "protocol/policies.def"
};
_Static_assert(POLICY_MOST_token_ms_max <= UINT32_MAX, "a ticket's token_ms has 32 bits");
_Static_assert(POLICY_MOST_claim_ms <= UINT32_MAX, "so has its claim_ms");
/* What is added to a sale time, which is a stamp at most, and kept as end_due. */
#define IS_SOON(name) _Static_assert(POLICY_MOST_##name <= STORE_STAMP_MOST, "an end_due has 48 bits")
IS_SOON(waiting_lease_ms);
IS_SOON(active_ms);
IS_SOON(active_total_ms);
IS_SOON(ended_keep_ms);

bool
ticket_is_live(const struct ticket_record *ticket)
{
    return ticket->state == USHER_PLACE_WAITING || ticket->state == USHER_PLACE_ACTIVE;
}

enum usher_place_state
ticket_state_now(const struct core *core, const struct queue_record *queue, const struct ticket_record *ticket)
{
    if (ticket_is_live(ticket) && queue_is_over(core, queue, ticket_due(ticket)))
        return USHER_PLACE_EXPIRED;
    return (enum usher_place_state)ticket->state;
}

/* The token's absolute end, in the queue's sale time as it stands now. */
static uint64_t
absolute_due(const struct core *core, const struct queue_record *queue, const struct ticket_record *ticket)
{
    return ticket->joined_at_ms + ticket->token_ms - (core->now_ms - queue_sale_ms(core, queue));
}

static uint64_t
least(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

static uint64_t
last_due(const struct core *core, const struct queue_record *queue, const struct ticket_record *ticket)
{
    return least(ticket->active_since + queue_policy(queue, QUEUE_POLICY_active_total_ms),
                 absolute_due(core, queue, ticket));
}

void
ticket_extend(struct core *core, uint64_t key, uint64_t *hold_due)
{
    struct ticket_record ticket;

    store_get_ticket(core->store, key, &ticket);
    uint64_t last = last_due(core, store_see_queue(core->store, TICKET_QUEUE_NO(key)), &ticket);
    if (ticket.end_due > last)
        last = ticket.end_due; /* a policy that was lowered since takes nothing away (Q9) */
    *hold_due = least(*hold_due, last);
    uint64_t wanted = least(*hold_due + house_policy(core, HOUSE_POLICY_hold_grace_ms), last);
    if (wanted > ticket.end_due) {
        ticket.end_due = wanted;
        store_put_ticket(core->store, &ticket);
    }
}

/* --- a user's tickets ----------------------------------------------------------------------------------- */
static uint64_t
find_live(const struct core *core, uint64_t user_no, uint64_t queue_no)
{
    uint64_t key = store_see_user(core->store, user_no)->first_ticket;
    while (key != 0 && TICKET_QUEUE_NO(key) != queue_no)
        key = ticket_next(core->store, store_see_ticket(core->store, key));
    return key;
}

/* The record is the caller's to put. */
static void
set_next(struct core *core, struct ticket_record *ticket, uint64_t next)
{
    if (next != 0)
        store_put_link(core->store, &(struct link_record){ticket->key, next});
    else if (ticket->linked)
        store_remove_link(core->store, ticket->key);
    ticket->linked = next != 0;
}

static void
unlink_ticket(struct core *core, struct ticket_record *ticket)
{
    struct user_record user;
    uint64_t next = ticket_next(core->store, ticket);
    store_get_user(core->store, ticket->user_no, &user);
    if (user.first_ticket == ticket->key) {
        user.first_ticket = next;
        store_put_user(core->store, &user);
    } else {
        struct ticket_record before;
        store_get_ticket(core->store, user.first_ticket, &before);
        for (uint64_t key; (key = ticket_next(core->store, &before)) != ticket->key;)
            store_get_ticket(core->store, key, &before);
        set_next(core, &before, next);
        store_put_ticket(core->store, &before);
    }
    set_next(core, ticket, 0);
}

static void
emit_of_ticket(struct core *core, enum usher_event_kind kind, const struct ticket_record *ticket)
{
    core_emit(core, kind, ticket->user_no,
              (struct event_row){
                  .queue_id = store_see_queue(core->store, TICKET_QUEUE_NO(ticket->key))->queue_id,
                  .position = TICKET_POSITION(ticket->key),
              });
}

/* Q7: holds that are left are released in the same commit. */
static void
end_holds(struct core *core, uint64_t user_no, uint64_t key, enum ended_how how)
{
    struct hold_record hold;
    for (uint64_t id = store_see_user(core->store, user_no)->first_hold; id != 0;) {
        store_get_hold(core->store, id, &hold);
        if (hold.ticket == key)
            hold_end(core, id, how);
        id = hold.next_of_user;
    }
}

void
ticket_end(struct core *core, uint64_t key, enum usher_place_state state)
{
    struct ticket_record ticket;
    store_get_ticket(core->store, key, &ticket);
    assert(ticket_is_live(&ticket));
    bool slot_frees = ticket.state == USHER_PLACE_ACTIVE;
    const struct queue_record *queue = store_see_queue(core->store, TICKET_QUEUE_NO(key));

    end_holds(core, ticket.user_no, key, state == USHER_PLACE_EXPIRED ? ENDED_EXPIRED : ENDED_RELEASED);
    unlink_ticket(core, &ticket);
    ticket.state = (uint8_t)state;
    ticket.end_due = queue_sale_ms(core, queue) + house_policy(core, HOUSE_POLICY_ended_keep_ms);
    ticket_set_claim_ms(&ticket, 0);
    store_put_ticket(core->store, &ticket);
    if (state == USHER_PLACE_EXPIRED)
        emit_of_ticket(core, USHER_EVENT_LAPSED, &ticket);
    if (state == USHER_PLACE_LEFT)
        emit_of_ticket(core, USHER_EVENT_LEFT, &ticket);
    if (slot_frees)
        queue_admit(core, TICKET_QUEUE_NO(key), CORE_COMMAND_ADMITS); /* Q4: in the same commit */
}

void
ticket_claim(struct core *core, uint64_t key)
{
    struct ticket_record ticket;
    store_get_ticket(core->store, key, &ticket);
    ticket_set_claim_ms(&ticket, 0);
    store_put_ticket(core->store, &ticket);
}

/* --- admission -------------------------------------------------------------------------------------------- */
/* Q10: no date whose sale goes on has a seat that is not sold or blocked, and not all seats are merely blocked. With
 * time alone it only becomes true: the end of one sale after another never makes anything free. */
static bool
is_sold_out(const struct core *core, const struct queue_record *queue)
{
    struct store_counts counts = store_queue_counts(core->store, queue->queue_no);
    bool all_blocked = counts.blocked + counts.withheld == counts.seats;

    return !all_blocked && store_unsold_until_ms(core->store, queue->queue_no) <= core->now_ms;
}

enum usher_sale
queue_sale(const struct core *core, const struct queue_record *queue)
{
    if (queue->mode == USHER_QUEUE_FROZEN)
        return USHER_SALE_FROZEN;
    if (is_sold_out(core, queue))
        return USHER_SALE_SOLD_OUT;
    if (queue->mode == USHER_QUEUE_PAUSED)
        return USHER_SALE_PAUSED;
    return core->now_ms < queue_policy(queue, QUEUE_POLICY_opens_at_ms) ? USHER_SALE_GATHERING : USHER_SALE_OPEN;
}

static void
take_sample(struct queue_record *queue, uint64_t at_ms, uint64_t admitted_count)
{
    size_t index = queue->sample_count++ % QUEUE_SAMPLES;
    queue->sample[index].at_ms = at_ms;
    queue->sample[index].admitted_count = admitted_count;
}

/* Bring the admission interval up to now. Intervals stand on a grid that begins with the queue's first need or its
 * opening; grants that an interval did not use are gone with it (Q3). */
static bool
roll_interval(const struct core *core, struct queue_record *queue)
{
    uint64_t opens_at_ms = queue_policy(queue, QUEUE_POLICY_opens_at_ms);
    uint64_t length_ms = queue_policy(queue, QUEUE_POLICY_admit_interval_ms);

    if (queue->interval_at_ms == 0 || (queue->interval_at_ms < opens_at_ms && core->now_ms >= opens_at_ms)) {
        queue->interval_at_ms = opens_at_ms != 0 && opens_at_ms <= core->now_ms ? opens_at_ms : core->now_ms;
        queue->interval_admitted = 0;
        queue->sample_count = 0;
        take_sample(queue, queue->interval_at_ms, queue->admitted_count);
    }
    if (core->now_ms < queue->interval_at_ms + length_ms)
        return false;
    queue->interval_at_ms += (core->now_ms - queue->interval_at_ms) / length_ms * length_ms;
    queue->interval_admitted = 0;
    take_sample(queue, queue->interval_at_ms, queue->admitted_count);
    return true;
}

static bool
has_room(const struct core *core, const struct queue_record *queue)
{
    uint64_t active_max = queue_policy(queue, QUEUE_POLICY_active_max);
    return active_max == 0 || store_active_count(core->store, queue->queue_no) < active_max;
}

static bool
has_grant(const struct queue_record *queue)
{
    return queue->interval_admitted < queue_policy(queue, QUEUE_POLICY_admit_batch);
}

static void
admit_one(struct core *core, struct queue_record *queue, struct ticket_record *ticket)
{
    uint64_t sale_ms = queue_sale_ms(core, queue);

    ticket->state = USHER_PLACE_ACTIVE;
    ticket->active_since = sale_ms;
    ticket->end_due = least(sale_ms + queue_policy(queue, QUEUE_POLICY_active_ms), last_due(core, queue, ticket));
    ticket_set_claim_ms(ticket, (uint32_t)queue_policy(queue, QUEUE_POLICY_claim_ms));
    store_put_ticket(core->store, ticket);
    queue->interval_admitted++;
    queue->admitted_count++;
    emit_of_ticket(core, USHER_EVENT_ADMITTED, ticket);
}

uint32_t
queue_admit(struct core *core, uint64_t queue_no, uint32_t most)
{
    struct ticket_record ticket;
    uint32_t touched = 0;

    if (store_waiting_count(core->store, queue_no) == 0 ||
        queue_sale(core, store_see_queue(core->store, queue_no)) != USHER_SALE_OPEN)
        return 0;
    struct queue_record *queue = store_change_queue(core->store, queue_no);
    roll_interval(core, queue);
    while (touched < most && core->budget > 0 && has_grant(queue) && has_room(core, queue)) {
        uint64_t position = store_first_waiting(core->store, queue_no);
        if (position == 0)
            break;
        core->budget--;
        touched++;
        store_get_ticket(core->store, TICKET_KEY(queue_no, position), &ticket);
        bool outlived = queue_is_over(core, queue, absolute_due(core, queue, &ticket)); /* by a long freeze */
        if (outlived || ticket_state_now(core, queue, &ticket) == USHER_PLACE_EXPIRED) {
            ticket_end(core, ticket.key, USHER_PLACE_EXPIRED); /* admission never counts the absent */
            continue;
        }
        admit_one(core, queue, &ticket);
    }
    return touched;
}

uint64_t
queue_sale_ends_ms(const struct core *core, const struct queue_record *queue)
{
    uint64_t until_ms = store_unsold_until_ms(core->store, queue->queue_no);

    if (store_waiting_count(core->store, queue->queue_no) == 0 || queue->mode == USHER_QUEUE_FROZEN)
        return UINT64_MAX; /* nobody to tell, or nothing that they are told would change */
    return until_ms > core->now_ms ? until_ms : UINT64_MAX;
}

uint64_t
queue_admission_ms(const struct core *core, const struct queue_record *queue)
{
    uint64_t opens_at_ms = queue_policy(queue, QUEUE_POLICY_opens_at_ms);
    uint64_t next_ms = queue->interval_at_ms + queue_policy(queue, QUEUE_POLICY_admit_interval_ms);
    enum usher_sale sale = queue_sale(core, queue);

    if (store_waiting_count(core->store, queue->queue_no) == 0 || !has_room(core, queue))
        return UINT64_MAX;
    if (sale == USHER_SALE_GATHERING)
        return opens_at_ms;
    if (sale != USHER_SALE_OPEN)
        return UINT64_MAX;
    if (queue->interval_at_ms == 0 || queue->interval_at_ms < opens_at_ms || has_grant(queue))
        return core->now_ms;
    return next_ms;
}

/* Q11: measured admissions only. Intervals with an admission rate of k people in n intervals say how many more are
 * needed; unknown when nothing was measured or nobody is being admitted. */
uint64_t
queue_estimate_ms(const struct core *core, const struct queue_record *queue, uint64_t rank)
{
    uint64_t kept = least(queue->sample_count, QUEUE_SAMPLES);
    if (queue_sale(core, queue) != USHER_SALE_OPEN || kept < 2)
        return USHER_UNKNOWN_MS;
    size_t newest = (queue->sample_count - 1) % QUEUE_SAMPLES, oldest = (queue->sample_count - kept) % QUEUE_SAMPLES;
    uint64_t admitted = queue->sample[newest].admitted_count - queue->sample[oldest].admitted_count;
    uint64_t span_ms = queue->sample[newest].at_ms - queue->sample[oldest].at_ms;
    if (admitted == 0)
        return USHER_UNKNOWN_MS;
    uint64_t intervals = (rank * (kept - 1) + admitted - 1) / admitted;
    uint64_t at_ms = queue->sample[newest].at_ms + intervals * (span_ms / (kept - 1));
    return at_ms > core->now_ms ? at_ms - core->now_ms : 0;
}

uint64_t
queue_next_poll_ms(const struct core *core, const struct queue_record *queue, uint64_t rank, uint64_t position)
{
    /* 20 ms a place: fifty places are one admission's worth, and a full line polls once a minute. The jitter keeps
     * those apart who were told at one moment; it is a hash, for the core draws no random numbers. */
    uint64_t wait_ms = least(house_policy(core, HOUSE_POLICY_poll_ms_min) + rank * 20,
                             house_policy(core, HOUSE_POLICY_poll_ms_max));
    uint64_t seed[3] = {queue->queue_no, position, core->now_ms};
    return wait_ms + XXH3_64bits(seed, sizeof seed) % (wait_ms / 4 + 1);
}

/* --- place, join, leave ------------------------------------------------------------------------------------ */
static void
describe(const struct core *core, const struct queue_record *queue, const struct ticket_record *ticket,
         usher_place_reply *place)
{
    enum usher_place_state state = ticket_state_now(core, queue, ticket);
    *place = (usher_place_reply){
        .queue_id = queue->queue_id,
        .state = (uint8_t)state,
        .sale = (uint8_t)queue_sale(core, queue),
        .position = TICKET_POSITION(ticket->key),
    };
    if (state == USHER_PLACE_WAITING) {
        place->rank = store_rank(core->store, queue->queue_no, place->position);
        place->estimate_ms = queue_estimate_ms(core, queue, place->rank);
        place->next_poll_ms = queue_next_poll_ms(core, queue, place->rank, place->position);
        place->until_ms = queue_moment_ms(queue, ticket->end_due);
    } else if (state == USHER_PLACE_ACTIVE) {
        place->next_poll_ms = house_policy(core, HOUSE_POLICY_poll_ms_max);
        place->until_ms = queue_moment_ms(queue, ticket_due(ticket));
    }
}

/* Q6: renewed only when less than half is left, so that polls are seldom writes. */
static bool
wants_renewal(const struct core *core, const struct queue_record *queue, const struct ticket_record *ticket)
{
    uint64_t sale_ms = queue_sale_ms(core, queue);
    uint64_t full = least(sale_ms + queue_policy(queue, QUEUE_POLICY_waiting_lease_ms),
                          absolute_due(core, queue, ticket));
    uint64_t left_ms = ticket->end_due > sale_ms ? ticket->end_due - sale_ms : 0; /* 0: it lives on a grace */
    return ticket_state_now(core, queue, ticket) == USHER_PLACE_WAITING && full > ticket->end_due &&
           left_ms < queue_policy(queue, QUEUE_POLICY_waiting_lease_ms) / 2;
}

static void
renew(struct core *core, const struct queue_record *queue, struct ticket_record *ticket)
{
    ticket->end_due = least(queue_sale_ms(core, queue) + queue_policy(queue, QUEUE_POLICY_waiting_lease_ms),
                            absolute_due(core, queue, ticket));
    store_put_ticket(core->store, ticket);
}

static uint64_t
take_place(struct core *core, uint64_t queue_no, uint64_t user_no)
{
    struct queue_record *queue = store_change_queue(core->store, queue_no);
    struct user_record user;
    store_get_user(core->store, user_no, &user);

    bool rolled = roll_interval(core, queue);
    if (rolled || store_waiting_count(core->store, queue_no) == 0) { /* a line that begins measures anew */
        queue->sample_count = 0;
        take_sample(queue, queue->interval_at_ms, queue->admitted_count - queue->interval_admitted);
    }
    uint64_t position = ++queue->last_position;
    assert(TICKET_POSITION(position) == position);
    struct ticket_record ticket = {
        .key = TICKET_KEY(queue_no, position),
        .user_no = (uint32_t)user_no,
        .state = USHER_PLACE_WAITING,
        .joined_at_ms = core->now_ms,
        .token_ms = (uint32_t)house_policy(core, HOUSE_POLICY_token_ms_max),
    };
    set_next(core, &ticket, user.first_ticket);
    ticket.end_due = least(queue_sale_ms(core, queue) + queue_policy(queue, QUEUE_POLICY_waiting_lease_ms),
                           absolute_due(core, queue, &ticket));
    store_put_ticket(core->store, &ticket);
    user.first_ticket = ticket.key;
    store_put_user(core->store, &user);
    emit_of_ticket(core, USHER_EVENT_JOINED, &ticket);
    queue_admit(core, queue_no, CORE_COMMAND_ADMITS); /* Q3: at once, if nobody is before it */
    return ticket.key;
}

usher_result
core_join(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_join_request *ask = body;
    usher_join_reply *reply = out;
    struct ticket_record ticket;
    usher_place_reply place;
    uint64_t queue_no = store_find_queue(core->store, ask->queue_id);

    (void)request;
    if (queue_no == 0)
        return USHER_QUEUE_NOT_FOUND;
    const struct queue_record *queue = store_see_queue(core->store, queue_no);
    uint64_t key = find_live(core, core->user_no, queue_no);
    if (key == 0 && is_sold_out(core, queue))
        return USHER_SOLD_OUT; /* Q10: a definite answer, and no number is taken */

    if (key == 0)
        key = take_place(core, queue_no, core->user_no);
    store_get_ticket(core->store, key, &ticket);
    if (wants_renewal(core, queue, &ticket))
        renew(core, queue, &ticket);
    describe(core, queue, &ticket, &place);
    *reply = (usher_join_reply){.queue_id = place.queue_id,
                                .state = place.state,
                                .sale = place.sale,
                                .position = place.position,
                                .rank = place.rank,
                                .estimate_ms = place.estimate_ms,
                                .next_poll_ms = place.next_poll_ms,
                                .until_ms = place.until_ms};
    /* Q2: the same place gives the same body, whenever it is asked for. */
    usher_token_body token = {.key_id = CORE_KEY_ID,
                              .queue_id = ask->queue_id,
                              .user = ask->user,
                              .position = place.position,
                              .issued_ms = ticket.joined_at_ms,
                              .ends_ms = ticket.joined_at_ms + ticket.token_ms};
    reply->token_count = (uint16_t)usher_token_body_encode(&token, reply->token);
    return USHER_OK;
}

usher_result
core_place(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const struct ticket_record *ticket = store_see_ticket(core->store, core->ticket);
    const struct queue_record *queue = store_see_queue(core->store, TICKET_QUEUE_NO(core->ticket));

    (void)body;
    describe(core, queue, ticket, out);
    if (wants_renewal(core, queue, ticket))
        *core->trace =
            (core_trace){.queue_id = queue->queue_id, .position = request->asker.position, .renew = USHER_FLAG_YES};
    return USHER_OK;
}

usher_result
core_leave(struct core *core, const struct core_request *request, const void *body, void *out)
{
    usher_leave_reply *reply = out;
    struct ticket_record ticket;

    (void)request;
    (void)body;
    store_get_ticket(core->store, core->ticket, &ticket);
    if (ticket_is_live(&ticket)) {
        for (uint64_t id = store_see_user(core->store, core->user_no)->first_hold; id != 0;) {
            const struct hold_record *hold = store_see_hold(core->store, id);
            reply->released_count += hold->ticket == ticket.key;
            id = hold->next_of_user;
        }
        ticket_end(core, ticket.key, USHER_PLACE_LEFT);
    }
    reply->state = store_see_ticket(core->store, ticket.key)->state;
    return USHER_OK;
}

/* What a query left behind: the lease's renewal or the claim, if the place is still there. */
usher_result
core_touch(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_touch_request *ask = body;
    usher_touch_reply *reply = out;
    struct ticket_record ticket;
    uint64_t queue_no = store_find_queue(core->store, ask->queue_id);

    (void)request;
    if (queue_no == 0 || !store_get_ticket(core->store, TICKET_KEY(queue_no, ask->position), &ticket))
        return USHER_OK;
    const struct queue_record *queue = store_see_queue(core->store, queue_no);
    enum usher_place_state state = ticket_state_now(core, queue, &ticket);
    reply->touched = state == USHER_PLACE_WAITING || state == USHER_PLACE_ACTIVE;
    if (ask->renew && wants_renewal(core, queue, &ticket))
        renew(core, queue, &ticket);
    if (ask->claim && state == USHER_PLACE_ACTIVE && ticket_claim_ms(&ticket) != 0)
        ticket_claim(core, ticket.key);
    return USHER_OK;
}
