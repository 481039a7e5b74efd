/* model_read.c: what can only be read: answers by request id, the house's figures; and what of a reply the
 * rules leave to the server. */
#include "tests/sim/model_inside.h"

#include <inttypes.h>
#include <stdio.h>

usher_result
model_ping(struct model *model, const struct model_request *request, const void *body, void *out)
{
    (void)model;
    (void)request;
    ((usher_ping_reply *)out)->echo = ((const usher_ping_request *)body)->echo;
    return USHER_OK;
}

/* X3. Whoever names nobody asks for its own. */
usher_result
model_lookup(struct model *model, const struct model_request *request, const void *body, void *out)
{
    static const usher_uuid nobody;
    usher_lookup_reply *reply = out;
    bool named = memcmp(&request->user, &nobody, sizeof nobody) != 0;
    uint64_t scope = named ? (uint64_t)model->asker << 1 : (uint64_t)request->client_no << 1 | 1;
    const struct m_answer *answer =
        scope == 0 ? NULL : m_answer_find(model, scope, &((const usher_lookup_request *)body)->request_id);

    if (answer == NULL)
        return USHER_REQUEST_NOT_FOUND;
    reply->opcode = answer->opcode;
    reply->result = answer->result;
    reply->at_ms = answer->at_ms;
    reply->body_count = (uint16_t)answer->size;
    memcpy(reply->body, answer->bytes, answer->size);
    return USHER_OK;
}

usher_result
model_figures(struct model *model, const struct model_request *request, const void *body, void *out)
{
    (void)model;
    (void)request;
    (void)body;
    (void)out;
    return USHER_OK;
}

usher_result
model_info(struct model *model, const struct model_request *request, const void *body, void *out)
{
    usher_info_reply *reply = out;

    (void)request;
    (void)body;
    *reply = (usher_info_reply){.position = model->batches,
                                .stamp_ms = model->stamp_ms,
                                .catalogue_version = model->catalogue_version,
                                .user_count = model->user.count - 1,
                                .hold_count = model->live.count,
                                .payment_count = model->payment.count - 1,
                                .entry_count = model->entry.count - 1,
                                .top_ups = model->top_ups,
                                .sales = model->sales,
                                .last_event_no = model->event.count,
                                .history_event_no = model->consumed,
                                .answer_count = model->answers_kept,
                                .first_event_no = model->events_gone + 1,
                                .event_bytes = m_event_bytes(model),
                                .events_overdue = model->consumed <= model->events_gone &&
                                                  m_event_bytes(model) > model->policy[HOUSE_event_bytes_max]};
    for (size_t i = 0; i < sizeof model->consumer / sizeof *model->consumer; i++)
        reply->consumer_count += model->consumer[i].name[0] != '\0';
    for (size_t i = 0; i < model->queue.count; i++) {
        reply->waiting_count += model->queue.at[i].waiting;
        reply->active_count += model->queue.at[i].active;
    }
    for (size_t i = 0; i < model->date.count; i++) {
        reply->seat_count += model->date.at[i].seat_count;
        reply->sold_count += model->date.at[i].sold;
    }
    return USHER_OK; /* ledger_sum is 0 whatever happens (M2) */
}

/* --- what the rules leave open -------------------------------------------------------------------------- */
struct verdict {
    struct model *model;
    char *why;
    size_t why_size;
};

static bool
say(struct verdict *verdict, const char *what, uint64_t number)
{
    snprintf(verdict->why, verdict->why_size, "%s: %" PRIu64, what, number);
    return false;
}

/* Q11: what a waiter is told to wait grows with the rank, carries jitter, and stays under half the lease (Q6). */
static bool
accept_poll(struct verdict *verdict, const struct m_queue *queue, uint64_t rank, uint64_t next_poll_ms)
{
    const uint64_t *policy = verdict->model->policy;
    uint64_t most = policy[HOUSE_poll_ms_max] + policy[HOUSE_poll_ms_max] / 4;
    uint64_t by_rank = policy[HOUSE_poll_ms_min] + rank * 20; /* OPEN: 20 ms a place, and a quarter of it for jitter */

    if (by_rank > policy[HOUSE_poll_ms_max])
        by_rank = policy[HOUSE_poll_ms_max];
    if (next_poll_ms < by_rank || next_poll_ms > most || next_poll_ms > by_rank + by_rank / 4)
        return say(verdict, "Q11: next_poll_ms does not follow from the rank", next_poll_ms);
    if (next_poll_ms >= queue->policy[QUEUE_waiting_lease_ms] / 2)
        return say(verdict, "Q6: next_poll_ms is not under half the lease", next_poll_ms);
    return true;
}

/* Q9, Q11: measured, with "unknown" allowed; unknown whenever nobody is being admitted. */
static bool
accept_estimate(struct verdict *verdict, const struct m_queue *queue, const usher_place_reply *place)
{
    if (place->estimate_ms == USHER_UNKNOWN_MS)
        return true;
    if (place->sale != USHER_SALE_OPEN)
        return say(verdict, "Q9: an estimate while nobody is admitted", place->estimate_ms);
    return queue->admitted > 0 || say(verdict, "Q11: an estimate before anybody was admitted", place->estimate_ms);
}

static bool
accept_place(struct verdict *verdict, const usher_place_reply *told)
{
    const struct m_queue *queue = m_queue_find(verdict->model, told->queue_id);

    if (queue == NULL)
        return say(verdict, "there is no such queue", told->queue_id);
    if (told->state == USHER_PLACE_WAITING)
        return accept_poll(verdict, queue, told->rank, told->next_poll_ms) && accept_estimate(verdict, queue, told);
    if (told->estimate_ms != 0)
        return say(verdict, "an estimate for one who does not wait", told->estimate_ms);
    uint64_t wanted = told->state == USHER_PLACE_ACTIVE ? verdict->model->policy[HOUSE_poll_ms_max] : 0;
    return told->next_poll_ms == wanted || say(verdict, "next_poll_ms of one who does not wait", told->next_poll_ms);
}

static bool
accept_join_reply(struct verdict *verdict, void *expected, const void *real)
{
    const usher_join_reply *came = real;
    usher_join_reply *join = expected;
    usher_place_reply told = {.queue_id = came->queue_id,
                              .state = came->state,
                              .sale = came->sale,
                              .rank = came->rank,
                              .estimate_ms = came->estimate_ms,
                              .next_poll_ms = came->next_poll_ms};

    join->estimate_ms = came->estimate_ms;
    join->next_poll_ms = came->next_poll_ms;
    return accept_place(verdict, &told);
}

static bool
accept_place_reply(struct verdict *verdict, void *expected, const void *real)
{
    ((usher_place_reply *)expected)->estimate_ms = ((const usher_place_reply *)real)->estimate_ms;
    ((usher_place_reply *)expected)->next_poll_ms = ((const usher_place_reply *)real)->next_poll_ms;
    return accept_place(verdict, real);
}

/* C3: a version grows with every change of a seat in these blocks, and with nothing else. */
static bool
accept_seats_reply(struct verdict *verdict, void *expected, const void *real)
{
    const usher_seats_reply *came = real;
    struct m_date *date;
    uint64_t changes = 0;

    ((usher_seats_reply *)expected)->version = came->version;
    if (m_date_find(verdict->model, came->concert_id, came->date_id, &date) != USHER_OK)
        return say(verdict, "there is no such date", came->date_id);
    changes = date->resizes;
    uint64_t from = (uint64_t)came->first_block * 64, to = from + came->free_block_count * 64u;
    for (uint64_t i = from; i < to && i < date->seat_count; i++)
        changes += date->seat.at[i].changes;
    if (came->free_block_count == 0 || came->first_block > 1024)
        return true;
    while (date->seen.count <= came->first_block)
        ADD(&date->seen, (struct m_seen){0});
    struct m_seen before = date->seen.at[came->first_block];
    date->seen.at[came->first_block] = (struct m_seen){.changes = changes, .version = came->version};
    if (before.version != 0 && changes == before.changes && came->version != before.version)
        return say(verdict, "C3: another version, and no seat changed", came->version);
    if (before.version != 0 && changes > before.changes && came->version <= before.version)
        return say(verdict, "C3: seats changed, and the version did not grow", came->version);
    return true;
}

static bool
accept_info_reply(struct verdict *verdict, void *expected, const void *real)
{
    (void)verdict;
    ((usher_info_reply *)expected)->journal_count = ((const usher_info_reply *)real)->journal_count;
    ((usher_info_reply *)expected)->store_bytes = ((const usher_info_reply *)real)->store_bytes;
    ((usher_info_reply *)expected)->digest = ((const usher_info_reply *)real)->digest;
    return true;
}

/* OPEN: how much memory the house takes for what. */
static bool
accept_figures_reply(struct verdict *verdict, void *expected, const void *real)
{
    (void)verdict;
    memcpy(expected, real, sizeof(usher_figures_reply));
    return true;
}

static const struct {
    uint16_t opcode;
    bool (*accept)(struct verdict *verdict, void *expected, const void *real);
} open_replies[] = {
    {USHER_OPCODE_JOIN, accept_join_reply},
    {USHER_OPCODE_PLACE, accept_place_reply},
    {USHER_OPCODE_SEATS, accept_seats_reply},
    {USHER_OPCODE_INFO, accept_info_reply},
    {USHER_OPCODE_FIGURES, accept_figures_reply},
};

bool
model_accept(struct model *model, const usher_message *message, struct model_answer *answer, const void *real,
             char *why, size_t why_size)
{
    struct verdict verdict = {.model = model, .why = why, .why_size = why_size};

    if (answer->result == USHER_TOKEN_WAITING) {
        usher_refusal *refusal = answer->reply;
        refusal->retry_after_ms = ((const usher_refusal *)real)->retry_after_ms;
        return accept_poll(&verdict, &model->queue.at[model->queue_at], refusal->detail, refusal->retry_after_ms);
    }
    if (answer->result != USHER_OK)
        return true;
    for (size_t i = 0; i < sizeof open_replies / sizeof *open_replies; i++)
        if (open_replies[i].opcode == message->opcode)
            return open_replies[i].accept(&verdict, answer->reply, real);
    return true;
}
