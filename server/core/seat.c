/* seat.c: the life of a seat (R1 to R3, H1 to H6, H8, H11).
 *
 *             reserve                 pay
 *     [FREE] ---------> [HELD] ---------------> [SOLD]
 *       ^ ^               | |                      |
 *       | `- release, ----' `- the same, with a    | refund
 *       |    deadline          block waiting       |
 *       |                          v               |
 *       |<------ unblock ----- [BLOCKED]           |
 *       `------------------------------------------'
 *
 * A terminal may take a blocked seat of its channel by name (H8). The block stands meanwhile, and its note says that it
 * was taken: bit by bit it is held and blocked, then sold and blocked. So whatever ends that, a deadline, a release or
 * a refund, leaves the seat as the channel had it, and only UNBLOCK brings it to the open sale. A block that came to a
 * held seat later is not taken: it waits for the hold's end, and is gone if the hold is paid.
 *
 * Invariants, checked by core_audit() under these names:
 *   S1  A held seat has one live hold and a hold has one held seat; they name each other.
 *   S2  held and sold never overlap, no bit stands beyond seat_count.
 *   S3  A seat that is neither held nor sold names no reservation.
 *   S4  A user's holds are its list, oldest first, and at most what one payment takes.
 *   S5  A block that is taken stands on a held or sold seat; a sold seat's block is taken. */
#include "server/core/internal.h"

usher_result
result_first(usher_result one, usher_result other)
{
    /* The values of SOLD, BLOCKED and HELD, and of what reservation_find() says, ascend with their rows. */
    if (one == USHER_OK || other == USHER_OK)
        return one == USHER_OK ? other : one;
    return one < other ? one : other;
}

/* --- what stands now ------------------------------------------------------------------------------------ */
bool
hold_is_over(const struct core *core, const struct queue_record *queue, const struct hold_record *hold)
{
    return queue_is_over(core, queue, hold->end_due);
}

enum seat_state
seat_state_now(const struct core *core, const struct queue_record *queue, const struct block_record *block,
               uint32_t seat_no, struct hold_record *hold)
{
    uint64_t bit = SEAT_BIT(seat_no);

    if (block->sold & bit)
        return SEAT_SOLD;
    if (block->held & bit) {
        bool found = store_get_hold(core->store, block->reservation_id[SEAT_SLOT(seat_no)], hold);
        assert(found);
        if (found && !hold_is_over(core, queue, hold))
            return SEAT_HELD;
    }
    return block->blocked & bit ? SEAT_BLOCKED : SEAT_FREE;
}

static uint64_t
block_bits(const struct block_record *block)
{
    return block->seat_count == BLOCK_SEATS ? UINT64_MAX : (UINT64_C(1) << block->seat_count) - 1;
}

uint64_t
block_free_now(const struct core *core, const struct queue_record *queue, const struct block_record *block)
{
    uint64_t free = block_bits(block) & ~(block->held | block->sold | block->blocked);
    if (block->held == 0 || !queue_has_backlog(core, queue))
        return free;
    for (uint64_t left = block->held & ~block->blocked; left != 0; left &= left - 1) {
        unsigned slot = (unsigned)__builtin_ctzll(left);
        if (hold_is_over(core, queue, store_see_hold(core->store, block->reservation_id[slot])))
            free |= UINT64_C(1) << slot;
    }
    return free;
}

static bool
is_of_channel(const struct core *core, uint64_t date_no, uint32_t seat_no, uint16_t channel)
{
    const struct note_record *note = store_see_note(core->store, NOTE_KEY(date_no, seat_no));
    return channel != 0 && note != NULL && note->channel == channel;
}

uint64_t
block_of_channel_now(const struct core *core, const struct queue_record *queue, const struct block_record *block,
                     uint16_t channel)
{
    uint64_t bits = 0;
    struct hold_record hold;

    for (uint64_t left = channel == 0 ? 0 : block->blocked; left != 0; left &= left - 1) {
        uint32_t seat_no = (uint32_t)((block->key & 0xffff) * BLOCK_SEATS) + (uint32_t)__builtin_ctzll(left) + 1;
        if (seat_state_now(core, queue, block, seat_no, &hold) == SEAT_BLOCKED &&
            is_of_channel(core, block->date_no, seat_no, channel))
            bits |= SEAT_BIT(seat_no);
    }
    return bits;
}

void
hold_describe(const struct core *core, const struct hold_record *hold, usher_hold *out)
{
    const struct date_record *date = store_see_date(core->store, hold->date_no);
    *out = (usher_hold){
        .reservation_id = hold->reservation_id,
        .concert_id = date->concert_id,
        .date_id = date->date_id,
        .seat_no = hold->seat_no,
        .price = hold->price,
        .until_ms = queue_moment_ms(store_see_queue(core->store, hold->queue_no), hold->end_due),
    };
}

static void
emit_of_seat(struct core *core, enum usher_event_kind kind, uint64_t user_no, uint64_t date_no, uint32_t seat_no,
             uint64_t reservation_id, int64_t amount)
{
    const struct date_record *date = store_see_date(core->store, date_no);
    core_emit(core, kind, user_no,
              (struct event_row){.queue_id = store_see_queue(core->store, date->queue_no)->queue_id,
                                 .concert_id = date->concert_id,
                                 .date_id = date->date_id,
                                 .seat_no = seat_no,
                                 .reservation_id = reservation_id,
                                 .amount = amount});
}

/* --- blocks that are taken ------------------------------------------------------------------------------- */
static void
note_set_taken(struct core *core, uint64_t date_no, uint32_t seat_no, bool taken)
{
    struct note_record note;
    bool found = store_get_note(core->store, NOTE_KEY(date_no, seat_no), &note);
    assert(found);
    (void)found;
    if (note.taken == taken)
        return;
    note.taken = taken;
    store_put_note(core->store, &note);
}

void
seat_blocked_again(struct core *core, uint64_t date_no, uint32_t seat_no)
{
    note_set_taken(core, date_no, seat_no, false);
    emit_of_seat(core, USHER_EVENT_SEAT_BLOCKED, 0, date_no, seat_no, 0, 0);
}

/* --- the end of a hold ---------------------------------------------------------------------------------- */
void
hold_remove(struct core *core, const struct hold_record *hold, enum ended_how how, uint64_t payment_id)
{
    struct user_record user;
    /* Not the caller's copy: of several holds that end together, an earlier end may have changed the link. */
    uint64_t next_of_user = store_see_hold(core->store, hold->reservation_id)->next_of_user;
    store_get_user(core->store, hold->user_no, &user);
    if (user.first_hold == hold->reservation_id) {
        user.first_hold = next_of_user;
        store_put_user(core->store, &user);
    } else {
        struct hold_record before;
        store_get_hold(core->store, user.first_hold, &before);
        while (before.next_of_user != hold->reservation_id)
            store_get_hold(core->store, before.next_of_user, &before);
        before.next_of_user = next_of_user;
        store_put_hold(core->store, &before);
    }
    struct ended_row ended = {.reservation_id = hold->reservation_id,
                              .at_ms = core->now_ms,
                              .user_no = hold->user_no,
                              .date_no = hold->date_no,
                              .seat_no = hold->seat_no,
                              .how = (uint8_t)how,
                              .payment_id = payment_id};
    store_append_ended(core->store, &ended);
    store_remove_hold(core->store, hold->reservation_id);
}

void
hold_end(struct core *core, uint64_t reservation_id, enum ended_how how)
{
    static const enum usher_event_kind kinds[] = {
        [ENDED_EXPIRED] = USHER_EVENT_HOLD_EXPIRED,
        [ENDED_RELEASED] = USHER_EVENT_SEAT_RELEASED,
        [ENDED_SWAPPED] = USHER_EVENT_SEAT_RELEASED,
        [ENDED_FORCED] = USHER_EVENT_HOLD_FORCED,
    };
    struct hold_record hold;
    struct block_record block;
    bool found = store_get_hold(core->store, reservation_id, &hold);
    assert(found);
    assert(how != ENDED_PAID); /* a paid seat does not become free */
    store_get_block(core->store, SEAT_BLOCK(hold.date_no, hold.seat_no), &block);
    (void)found;

    block.held &= ~SEAT_BIT(hold.seat_no);
    block.reservation_id[SEAT_SLOT(hold.seat_no)] = 0;
    block.version++;
    store_put_block(core->store, &block);
    hold_remove(core, &hold, how, 0);
    emit_of_seat(core, kinds[how], hold.user_no, hold.date_no, hold.seat_no, reservation_id, 0);
    if (how != ENDED_FORCED && block.blocked & SEAT_BIT(hold.seat_no)) /* a block that waited, or was taken (H8) */
        seat_blocked_again(core, hold.date_no, hold.seat_no);
}

void
seat_end_due(struct core *core, const struct queue_record *queue, uint64_t date_no, uint32_t seat_no)
{
    const struct block_record *block = store_see_block(core->store, SEAT_BLOCK(date_no, seat_no));
    if (!(block->held & SEAT_BIT(seat_no)))
        return;
    uint64_t reservation_id = block->reservation_id[SEAT_SLOT(seat_no)];
    if (hold_is_over(core, queue, store_see_hold(core->store, reservation_id)))
        hold_end(core, reservation_id, ENDED_EXPIRED);
}

/* --- checks ---------------------------------------------------------------------------------------------- */
usher_result
date_on_sale(struct core *core, const struct date_record *date, const struct queue_record *queue)
{
    if (queue->mode == USHER_QUEUE_FROZEN)
        return USHER_FROZEN;
    if (core->now_ms >= date->starts_at_ms)
        return core_refuse_until(core, USHER_DATE_PAST, 0);
    if (core->now_ms < date->opens_at_ms)
        return core_refuse_until(core, USHER_NOT_ON_SALE, date->opens_at_ms);
    if (date->closes_at_ms != 0 && core->now_ms >= date->closes_at_ms)
        return core_refuse_until(core, USHER_NOT_ON_SALE, 0);
    return USHER_OK;
}

static bool
is_given_up(const struct seat_wish *wish, uint64_t reservation_id)
{
    for (uint32_t i = 0; i < wish->giving_up_count; i++)
        if (wish->giving_up[i] == reservation_id)
            return true;
    return false;
}

static usher_result
check_form(struct core *core, const struct seat_wish *wish)
{
    uint64_t most = house_policy(core, HOUSE_POLICY_seats_per_request);

    if (wish->seat_count == 0)
        return USHER_SEATS_NONE;
    for (uint32_t i = 0; i < wish->seat_count; i++)
        for (uint32_t k = 0; k < i; k++)
            if (wish->seat[i] == wish->seat[k])
                return core_refuse_detail(core, USHER_SEAT_DUPLICATE, wish->seat[i]);
    if (wish->seat_count > most)
        return core_refuse_detail(core, USHER_SEATS_PER_REQUEST, most);
    for (uint32_t i = 0; i < wish->seat_count; i++)
        if (wish->seat[i] == 0 || wish->seat[i] > wish->date->seat_count)
            return core_refuse_detail(core, USHER_SEAT_NOT_FOUND, wish->seat[i]);
    return USHER_OK;
}

/* H4: held and bought seats of the date count together, in this same transaction. */
static usher_result
check_limits(struct core *core, const struct seat_wish *wish, uint32_t new_count)
{
    const struct owned_record *owned = store_see_owned(core->store, OWNED_KEY(core->user_no, wish->date->date_no));
    uint64_t of_date = owned == NULL ? 0 : owned->count;
    uint64_t held = 0;

    for (uint64_t id = store_see_user(core->store, core->user_no)->first_hold; id != 0;) {
        const struct hold_record *hold = store_see_hold(core->store, id);
        if (!is_given_up(wish, id)) {
            held++;
            of_date += hold->date_no == wish->date->date_no;
        }
        id = hold->next_of_user;
    }
    if (of_date + new_count > house_policy(core, HOUSE_POLICY_seats_per_user))
        return core_refuse_detail(core, USHER_SEATS_PER_USER, house_policy(core, HOUSE_POLICY_seats_per_user));
    if (held + new_count > house_policy(core, HOUSE_POLICY_holds_per_user))
        return core_refuse_detail(core, USHER_HOLDS_PER_USER, house_policy(core, HOUSE_POLICY_holds_per_user));
    return USHER_OK;
}

/* A seat on which a block stands: for those of its channel it is free. */
static usher_result
check_blocked(const struct core *core, const struct seat_wish *wish, uint32_t seat_no)
{
    return is_of_channel(core, wish->date->date_no, seat_no, wish->channel) ? USHER_OK : USHER_BLOCKED;
}

/* Another's hold. One that was taken through a block is nobody's business outside the channel: the seat won't come to
 * the open sale when it ends, so there is no moment to wait for. */
static usher_result
check_held(const struct core *core, const struct seat_wish *wish, uint32_t seat_no)
{
    const struct note_record *note = store_see_note(core->store, NOTE_KEY(wish->date->date_no, seat_no));
    return note == NULL || !note->taken || check_blocked(core, wish, seat_no) == USHER_OK ? USHER_HELD : USHER_BLOCKED;
}

/* Whether the wish may have this seat; *is_new unless the asker holds it already (H3). */
static usher_result
check_seat(struct core *core, const struct seat_wish *wish, uint32_t seat_no, bool *is_new)
{
    const struct block_record *block = store_see_block(core->store, SEAT_BLOCK(wish->date->date_no, seat_no));
    struct hold_record hold;
    uint64_t until_ms = 0;
    usher_result result = USHER_OK;

    *is_new = true;
    switch (seat_state_now(core, wish->queue, block, seat_no, &hold)) {
    case SEAT_FREE:
        break;
    case SEAT_SOLD:
        result = USHER_SOLD;
        break;
    case SEAT_BLOCKED:
        result = check_blocked(core, wish, seat_no);
        break;
    case SEAT_HELD:
        if (is_given_up(wish, hold.reservation_id)) {
            if (block->blocked & SEAT_BIT(seat_no))
                result = check_blocked(core, wish, seat_no); /* which is what it will be */
            break;
        }
        *is_new = hold.user_no != core->user_no;
        if (*is_new) {
            result = check_held(core, wish, seat_no);
            until_ms = result == USHER_HELD ? queue_moment_ms(wish->queue, hold.end_due) : 0;
        }
        break;
    }
    if (result != USHER_OK)
        core_conflict(core, seat_no, result, until_ms);
    return result;
}

usher_result
seats_check(struct core *core, const struct seat_wish *wish)
{
    usher_result result = check_form(core, wish), first = USHER_OK;
    uint32_t new_count = 0;
    bool is_new;

    if (result != USHER_OK)
        return result;
    for (uint32_t i = 0; i < wish->seat_count; i++) {
        first = result_first(first, check_seat(core, wish, wish->seat[i], &is_new));
        new_count += is_new;
    }
    result = check_limits(core, wish, new_count);
    if (result != USHER_OK) {
        core->refusal.conflict_count = 0; /* they are not what was refused */
        return result;
    }
    uint64_t until_ms = first == USHER_HELD ? core->refusal.conflict[0].until_ms : 0;
    for (uint32_t i = 0; i < core->refusal.conflict_count; i++) /* all must be free: the latest counts */
        if (first == USHER_HELD && core->refusal.conflict[i].until_ms > until_ms)
            until_ms = core->refusal.conflict[i].until_ms;
    return first == USHER_OK ? USHER_OK : core_refuse_until(core, first, until_ms);
}

/* --- the deed -------------------------------------------------------------------------------------------- */
static void
append_to_user(struct core *core, const struct hold_record *hold)
{
    struct user_record user;
    store_get_user(core->store, hold->user_no, &user);
    if (user.first_hold == 0) {
        user.first_hold = hold->reservation_id;
        store_put_user(core->store, &user);
        return;
    }
    struct hold_record last;
    store_get_hold(core->store, user.first_hold, &last);
    while (last.next_of_user != 0)
        store_get_hold(core->store, last.next_of_user, &last);
    last.next_of_user = hold->reservation_id;
    store_put_hold(core->store, &last);
}

static uint64_t
take_one(struct core *core, const struct seat_wish *wish, uint32_t seat_no, uint64_t end_due)
{
    struct block_record block;
    struct hold_record hold = {
        .reservation_id = ++core_house(core)->last_reservation_id,
        .user_no = (uint32_t)core->user_no,
        .date_no = (uint32_t)wish->date->date_no,
        .seat_no = seat_no,
        .queue_no = (uint32_t)wish->queue->queue_no,
        .ticket = core->ticket,
        .end_due = end_due,
        .price = date_price(core, wish->date, seat_no), /* H5: copied now */
        .held_at_ms = core->now_ms,
    };
    store_get_block(core->store, SEAT_BLOCK(hold.date_no, seat_no), &block);
    assert(((block.held | block.sold) & SEAT_BIT(seat_no)) == 0);
    if (block.blocked & SEAT_BIT(seat_no)) {
        assert(is_of_channel(core, hold.date_no, seat_no, wish->channel));
        note_set_taken(core, hold.date_no, seat_no, true);
    }
    block.held |= SEAT_BIT(seat_no);
    block.reservation_id[SEAT_SLOT(seat_no)] = hold.reservation_id;
    block.version++;
    append_to_user(core, &hold);
    store_put_hold(core->store, &hold);
    store_put_block(core->store, &block);
    emit_of_seat(core, USHER_EVENT_SEAT_HELD, hold.user_no, hold.date_no, seat_no, hold.reservation_id, hold.price);
    return hold.reservation_id;
}

/* Hold every seat of a wish that has passed seats_check(). Returns the earliest deadline as a moment. */
uint64_t
seats_take(struct core *core, const struct seat_wish *wish, usher_hold *hold, uint16_t *hold_count)
{
    uint64_t due = wish->end_due, until_ms = 0;
    bool extended = false;

    if (due == 0)
        due = queue_sale_ms(core, wish->queue) + house_policy(core, HOUSE_POLICY_hold_ms);
    for (uint32_t i = 0; i < wish->seat_count; i++) {
        uint32_t seat_no = wish->seat[i];
        seat_end_due(core, wish->queue, wish->date->date_no, seat_no);
        const struct block_record *block = store_see_block(core->store, SEAT_BLOCK(wish->date->date_no, seat_no));
        uint64_t reservation_id = block->reservation_id[SEAT_SLOT(seat_no)];
        if (reservation_id == 0) { /* else it is the asker's own already: the deadline stays (H3) */
            if (!extended && core->ticket != 0)
                ticket_extend(core, core->ticket, &due);
            extended = true;
            reservation_id = take_one(core, wish, seat_no, due);
        }
        hold_describe(core, store_see_hold(core->store, reservation_id), &hold[*hold_count]);
        if (until_ms == 0 || hold[*hold_count].until_ms < until_ms)
            until_ms = hold[*hold_count].until_ms;
        (*hold_count)++;
    }
    return until_ms;
}

usher_result
core_reserve(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_reserve_request *ask = body;
    usher_reserve_reply *reply = out;
    struct date_record date;

    usher_result result = date_find(core, ask->concert_id, ask->date_id, &date);
    if (result != USHER_OK)
        return result;
    const struct queue_record *queue = queue_of_date(core, &date);
    struct seat_wish wish = {.date = &date,
                             .queue = queue,
                             .seat = ask->seat,
                             .seat_count = ask->seat_count,
                             .channel = core_channel(request)};
    result = date_on_sale(core, &date, queue);
    if (result == USHER_OK)
        result = seats_check(core, &wish);
    if (result != USHER_OK)
        return result;

    /* Every check has passed; from here on nothing is refused. */
    reply->until_ms = seats_take(core, &wish, reply->hold, &reply->hold_count);
    return USHER_OK;
}

/* H7: sold out and all held are different answers. A date whose seats are all blocked is neither. */
static usher_result
date_left(const struct core *core, const struct date_record *date)
{
    struct store_counts counts = date_counts_now(core, date);

    if (counts.sold > 0 && counts.sold + counts.blocked + counts.withheld == counts.seats)
        return USHER_SOLD_OUT;
    return counts.held > counts.withheld && counts.held + counts.sold + counts.blocked == counts.seats ? USHER_ALL_HELD
                                                                                                       : USHER_OK;
}

usher_result
core_reserve_best(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_reserve_best_request *ask = body;
    usher_reserve_best_reply *reply = out;
    struct date_record date;
    uint32_t seat[16];
    uint64_t most = house_policy(core, HOUSE_POLICY_seats_per_request);

    (void)request;
    usher_result result = date_find(core, ask->concert_id, ask->date_id, &date);
    if (result != USHER_OK)
        return result;
    const struct queue_record *queue = queue_of_date(core, &date);
    struct seat_wish wish = {.date = &date, .queue = queue, .seat = seat, .seat_count = ask->count};
    result = date_on_sale(core, &date, queue);
    if (result != USHER_OK)
        return result;
    result = date_left(core, &date);
    if (result != USHER_OK)
        return result;
    if (ask->count == 0)
        return USHER_SEATS_NONE;
    if (ask->count > most)
        return core_refuse_detail(core, USHER_SEATS_PER_REQUEST, most);
    result = check_limits(core, &wish, ask->count);
    if (result == USHER_OK)
        result = best_seats(core, &date, queue, ask->count, ask->grade, ask->together, seat);
    if (result == USHER_OK)
        result = seats_check(core, &wish);
    if (result != USHER_OK)
        return result;

    reply->until_ms = seats_take(core, &wish, reply->hold, &reply->hold_count);
    return USHER_OK;
}

/* --- reservations ----------------------------------------------------------------------------------------- */
usher_result
reservation_gone(struct core *core, uint64_t reservation_id)
{
    struct ended_row ended;

    if (!store_read_ended(core->store, reservation_id, &ended))
        return USHER_RESERVATION_NOT_FOUND;
    if (ended.user_no != core->user_no)
        return USHER_NOT_YOURS;
    if (ended.how != ENDED_PAID)
        return USHER_HOLD_EXPIRED;
    if (core->paid_by == 0)
        core->paid_by = ended.payment_id;
    return USHER_ALREADY_PAID;
}

usher_result
reservation_find(struct core *core, uint64_t reservation_id, struct hold_record *hold)
{
    if (!store_get_hold(core->store, reservation_id, hold))
        return reservation_gone(core, reservation_id);
    if (hold->user_no != core->user_no)
        return USHER_NOT_YOURS; /* never whose (H6) */
    if (core->ticket != 0 && hold->queue_no != TICKET_QUEUE_NO(core->ticket))
        return USHER_TOKEN_OTHER_QUEUE;
    return hold_is_over(core, store_see_queue(core->store, hold->queue_no), hold) ? USHER_HOLD_EXPIRED : USHER_OK;
}

usher_result
reservation_refuse(struct core *core, usher_result result)
{
    return result == USHER_ALREADY_PAID ? core_refuse_detail(core, result, core->paid_by) : result;
}

/* H6: what is over already is as released as can be; what is paid or another's is refused, and then nothing happens. */
usher_result
core_release(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_release_request *ask = body;
    usher_release_reply *reply = out;
    struct hold_record hold;
    usher_result first = USHER_OK;

    (void)request;
    if (ask->reservation_count == 0)
        return USHER_SEATS_NONE;
    for (uint32_t i = 0; i < ask->reservation_count; i++) {
        usher_result result = reservation_find(core, ask->reservation[i], &hold);
        if (result != USHER_HOLD_EXPIRED)
            first = result_first(first, result);
    }
    if (first != USHER_OK)
        return reservation_refuse(core, first);

    for (uint32_t i = 0; i < ask->reservation_count; i++)
        if (store_get_hold(core->store, ask->reservation[i], &hold)) {
            hold_end(core, ask->reservation[i], ENDED_RELEASED);
            reply->released_count++;
        }
    return USHER_OK;
}

usher_result
core_swap(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_swap_request *ask = body;
    usher_swap_reply *reply = out;
    struct date_record date;
    struct hold_record hold;
    uint64_t end_due = UINT64_MAX;

    usher_result result = date_find(core, ask->concert_id, ask->date_id, &date);
    if (result != USHER_OK)
        return result;
    const struct queue_record *queue = queue_of_date(core, &date);
    usher_result first = USHER_OK;
    for (uint32_t i = 0; i < ask->reservation_count; i++) {
        result = reservation_find(core, ask->reservation[i], &hold);
        if (result == USHER_OK && hold.queue_no != queue->queue_no)
            result = USHER_TOKEN_OTHER_QUEUE; /* a deadline of one queue's clock means nothing in another's */
        first = result_first(first, result);
        if (result == USHER_OK && hold.end_due < end_due)
            end_due = hold.end_due;
    }
    if (first == USHER_TOKEN_OTHER_QUEUE)
        return first;
    result = date_on_sale(core, &date, queue);
    if (result != USHER_OK)
        return result;
    if (ask->reservation_count == 0)
        return USHER_SEATS_NONE;
    struct seat_wish wish = {.date = &date,
                             .queue = queue,
                             .seat = ask->seat,
                             .seat_count = ask->seat_count,
                             .giving_up = ask->reservation,
                             .giving_up_count = ask->reservation_count,
                             .channel = core_channel(request),
                             .end_due = end_due};
    result = seats_check(core, &wish);
    if (result == USHER_OK)
        result = reservation_refuse(core, first);
    if (result != USHER_OK)
        return result;

    /* H11: the old go and the new come in one step; the deadline stays, or swapping would be a way to keep a seat. */
    for (uint32_t i = 0; i < ask->reservation_count; i++)
        if (store_get_hold(core->store, ask->reservation[i], &hold))
            hold_end(core, ask->reservation[i], ENDED_SWAPPED);
    reply->until_ms = seats_take(core, &wish, reply->hold, &reply->hold_count);
    return USHER_OK;
}

usher_result
core_holds(struct core *core, const struct core_request *request, const void *body, void *out)
{
    usher_holds_reply *reply = out;
    struct hold_record hold;

    (void)request;
    (void)body;
    if (core->user_no == 0)
        return USHER_OK;
    for (uint64_t id = store_see_user(core->store, core->user_no)->first_hold; id != 0; id = hold.next_of_user) {
        store_get_hold(core->store, id, &hold);
        if (!hold_is_over(core, store_see_queue(core->store, hold.queue_no), &hold))
            hold_describe(core, &hold, &reply->hold[reply->hold_count++]);
    }
    return USHER_OK;
}
