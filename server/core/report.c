/* report.c: what can be asked afterwards: an answer by its request id, the house's figures (X3). */
#include "server/core/internal.h"

usher_result
core_ping(struct core *core, const struct core_request *request, const void *body, void *out)
{
    (void)core;
    (void)request;
    ((usher_ping_reply *)out)->echo = ((const usher_ping_request *)body)->echo;
    return USHER_OK;
}

usher_result
core_lookup(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_lookup_request *ask = body;
    usher_lookup_reply *reply = out;
    static const usher_uuid nobody;
    bool named = memcmp(&request->asker.user, &nobody, sizeof nobody) != 0;
    uint64_t scope = named ? core->user_no << 1 : (uint64_t)request->asker.client_no << 1 | 1;
    struct answer_row *row = &core->answer;

    if (scope == 0 || !store_find_answer(core->store, scope, &ask->request_id, row))
        return USHER_REQUEST_NOT_FOUND;
    reply->opcode = row->opcode;
    reply->result = row->result;
    reply->at_ms = row->at_ms;
    reply->body_count = row->body_size;
    memcpy(reply->body, row->body, row->body_size);
    return USHER_OK;
}

/* What the process measures of its turns the shell adds: the core has no clock. */
usher_result
core_figures(struct core *core, const struct core_request *request, const void *body, void *out)
{
    usher_figures_reply *reply = out;
    struct store_memory rows[STORE_MEMORY_MOST];

    (void)request;
    (void)body;
    reply->memory_count = (uint16_t)store_memory(core->store, rows);
    for (uint16_t i = 0; i < reply->memory_count; i++) {
        memcpy(reply->memory[i].name, rows[i].name, sizeof rows[i].name);
        reply->memory[i].count = rows[i].count;
        reply->memory[i].bytes = rows[i].bytes;
    }
    return USHER_OK;
}

usher_result
core_info(struct core *core, const struct core_request *request, const void *body, void *out)
{
    const usher_info_request *ask = body;
    usher_info_reply *reply = out;
    const struct house_record *house = core->house;
    struct store_counts counts = store_house_counts(core->store);
    struct store_figures figures = store_figures(core->store);
    uint64_t history_event_no = store_consumer_cursor(core->store);

    (void)request;
    *reply = (usher_info_reply){
        .position = store_position(core->store),
        .stamp_ms = house->stamp_ms,
        .catalogue_version = house->catalogue_version,
        .user_count = store_record_count(core->store, STORE_TABLE_USER),
        .hold_count = store_record_count(core->store, STORE_TABLE_HOLD),
        .seat_count = counts.seats,
        .sold_count = counts.sold,
        .payment_count = house->last_payment_id,
        .entry_count = house->last_entry_no,
        .top_ups = house->top_ups,
        .sales = house->sales,
        .ledger_sum = house->top_ups + house->sales + store_balance_sum(core->store),
        .last_event_no = house->last_event_no,
        .history_event_no = history_event_no,
        .answer_count = store_answer_count(core->store),
        .journal_count = figures.journal_count,
        .store_bytes = figures.store_bytes,
        .digest = ask->digest ? store_digest(core->store) : 0,
        .first_event_no = house->first_event_no,
        .event_bytes = events_bytes(house),
        .consumer_count = store_record_count(core->store, STORE_TABLE_CONSUMER),
        .events_overdue = events_are_overdue(core, history_event_no),
    };
    for (uint64_t queue_no = store_first_queue(core->store); queue_no != 0;) {
        reply->waiting_count += store_waiting_count(core->store, queue_no);
        reply->active_count += store_active_count(core->store, queue_no);
        queue_no = store_next_queue(core->store, store_see_queue(core->store, queue_no)->queue_id);
    }
    return USHER_OK;
}
