/* organiser.c: what the organiser does while the house runs: queues and their mode, blocking seats (Q9, H8). */
#include "server/core/internal.h"

static void
queue_changed(struct core *core, uint32_t queue_id)
{
    core_emit(core, USHER_EVENT_QUEUE_CHANGED, 0, (struct event_row){.queue_id = queue_id});
}

usher_result
core_put_queue(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_put_queue_request *ask = body;
    usher_put_queue_reply *reply = out;
    struct queue_record queue;
    uint64_t queue_no = store_find_queue(core->store, ask->queue_id);

    (void)request;
    if (queue_no != 0)
        store_get_queue(core->store, queue_no, &queue);
    else
        store_default_queue(&queue);
    if (queue_no == 0 && !queue_fits(core, &queue)) /* Q6; of one that is there set_policy sees to it */
        return core_refuse_detail(core, USHER_POLICY_CONFLICT, ask->queue_id);
    if (ask->name[0] == '\0')
        return USHER_CATALOGUE_INVALID;
    if (queue_no == 0) {
        if (core->house->last_queue_no >= CORE_QUEUES_MOST)
            return core_refuse_detail(core, USHER_TOO_MANY, CORE_QUEUES_MOST);
        queue.queue_no = ++core_house(core)->last_queue_no;
        queue.queue_id = ask->queue_id;
    }
    memcpy(queue.name, ask->name, sizeof queue.name);
    store_put_queue(core->store, &queue);
    queue_changed(core, ask->queue_id);
    reply->created = queue_no == 0;
    return USHER_OK;
}

usher_result
core_set_mode(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_set_mode_request *ask = body;
    usher_set_mode_reply *reply = out;
    struct queue_record queue;
    uint64_t queue_no = store_find_queue(core->store, ask->queue_id);

    (void)request;
    if (queue_no == 0)
        return USHER_QUEUE_NOT_FOUND;
    store_get_queue(core->store, queue_no, &queue);
    reply->before = queue.mode;
    if (queue.mode == ask->mode)
        return USHER_OK;
    if (queue.mode == USHER_QUEUE_FROZEN) { /* the sale clock goes on from where it stood */
        reply->frozen_ms = core->now_ms - queue.frozen_at_ms;
        queue.frozen_ms += reply->frozen_ms;
        queue.frozen_at_ms = 0;
    }
    if (ask->mode == USHER_QUEUE_FROZEN)
        queue.frozen_at_ms = core->now_ms;
    queue.mode = ask->mode;
    store_put_queue(core->store, &queue);
    queue_changed(core, ask->queue_id);
    queue_admit(core, queue_no, CORE_COMMAND_ADMITS);
    return USHER_OK;
}

usher_result
core_queues(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_queues_request *ask = body;
    usher_queues_reply *reply = out;
    uint64_t queue_no =
        ask->first_page ? store_first_queue(core->store) : store_next_queue(core->store, ask->after_queue_id);

    (void)request;
    while (queue_no != 0 && reply->queue_count < sizeof reply->queue / sizeof *reply->queue) {
        const struct queue_record *queue = store_see_queue(core->store, queue_no);
        struct store_counts counts = store_queue_counts(core->store, queue_no);
        usher_queue_row *row = &reply->queue[reply->queue_count++];
        row->queue_id = queue->queue_id;
        memcpy(row->name, queue->name, sizeof row->name);
        row->mode = queue->mode;
        row->sale = (uint8_t)queue_sale(core, queue);
        row->last_position = queue->last_position;
        row->waiting_count = store_waiting_count(core->store, queue_no);
        row->active_count = store_active_count(core->store, queue_no);
        row->admitted_count = queue->admitted_count;
        row->unsold_count = counts.seats - counts.sold - counts.blocked - counts.withheld;
        queue_no = store_next_queue(core->store, queue->queue_id);
    }
    reply->more = queue_no != 0;
    return USHER_OK;
}

/* --- blocking --------------------------------------------------------------------------------------------- */
static usher_result
check_seats(struct core *core, const struct date_record *date, const uint32_t *seat, uint32_t count)
{
    if (count == 0)
        return USHER_SEATS_NONE;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < i; k++)
            if (seat[i] == seat[k])
                return core_refuse_detail(core, USHER_SEAT_DUPLICATE, seat[i]);
    for (uint32_t i = 0; i < count; i++)
        if (seat[i] == 0 || seat[i] > date->seat_count)
            return core_refuse_detail(core, USHER_SEAT_NOT_FOUND, seat[i]);
    return USHER_OK;
}

static void
emit_of_block(struct core *core, enum usher_event_kind kind, const struct date_record *date, uint32_t seat_no)
{
    core_emit(core, kind, 0,
              (struct event_row){.queue_id = store_see_queue(core->store, date->queue_no)->queue_id,
                                 .concert_id = date->concert_id,
                                 .date_id = date->date_id,
                                 .seat_no = seat_no});
}

usher_result
core_block(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_block_request *ask = body;
    usher_block_reply *reply = out;
    struct date_record date;
    struct block_record block;
    usher_result first = USHER_OK;

    (void)request;
    usher_result result = date_find(core, ask->concert_id, ask->date_id, &date);
    if (result == USHER_OK)
        result = check_seats(core, &date, ask->seat, ask->seat_count);
    if (result != USHER_OK)
        return result;
    for (uint32_t i = 0; i < ask->seat_count; i++)
        if (store_see_block(core->store, SEAT_BLOCK(date.date_no, ask->seat[i]))->sold & SEAT_BIT(ask->seat[i])) {
            core_conflict(core, ask->seat[i], USHER_SOLD, 0);
            first = USHER_SOLD;
        }
    if (first != USHER_OK)
        return first;

    const struct queue_record *queue = queue_of_date(core, &date);
    for (uint32_t i = 0; i < ask->seat_count; i++) {
        uint32_t seat_no = ask->seat[i];
        struct note_record note = {.key = NOTE_KEY(date.date_no, seat_no), .channel = ask->channel};
        memcpy(note.reason, ask->reason, sizeof note.reason);
        seat_end_due(core, queue, date.date_no, seat_no);
        store_get_block(core->store, SEAT_BLOCK(date.date_no, seat_no), &block);
        bool forced = ask->force && block.held & SEAT_BIT(seat_no);
        if (forced) {
            hold_end(core, block.reservation_id[SEAT_SLOT(seat_no)], ENDED_FORCED);
            store_get_block(core->store, block.key, &block);
        }
        bool held = block.held & SEAT_BIT(seat_no);
        const struct note_record *before = store_see_note(core->store, note.key);
        note.taken = held && before != NULL && before->taken; /* it was taken through the block that is replaced */
        bool was_blocked = (block.blocked & SEAT_BIT(seat_no)) && !forced;
        block.blocked |= SEAT_BIT(seat_no);
        block.version++;
        store_put_block(core->store, &block);
        store_put_note(core->store, &note);
        if (!held && !was_blocked)
            emit_of_block(core, USHER_EVENT_SEAT_BLOCKED, &date, seat_no);
        reply->waiting_count += held;
        reply->blocked_count += !held;
    }
    return USHER_OK;
}

usher_result
core_unblock(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_unblock_request *ask = body;
    usher_unblock_reply *reply = out;
    struct date_record date;
    struct block_record block;

    (void)request;
    usher_result result = date_find(core, ask->concert_id, ask->date_id, &date);
    if (result == USHER_OK)
        result = check_seats(core, &date, ask->seat, ask->seat_count);
    if (result != USHER_OK)
        return result;

    for (uint32_t i = 0; i < ask->seat_count; i++) {
        uint64_t bit = SEAT_BIT(ask->seat[i]);
        store_get_block(core->store, SEAT_BLOCK(date.date_no, ask->seat[i]), &block);
        if (!(block.blocked & bit))
            continue;
        block.blocked &= ~bit;
        block.version++;
        store_put_block(core->store, &block);
        store_remove_note(core->store, NOTE_KEY(date.date_no, ask->seat[i]));
        if (!((block.held | block.sold) & bit))
            emit_of_block(core, USHER_EVENT_SEAT_UNBLOCKED, &date, ask->seat[i]);
        reply->unblocked_count++;
    }
    return USHER_OK;
}
