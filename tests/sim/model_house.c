/* model_house.c: what the organiser does: queues, policies, blocked seats, clients (Q9, H8). */
#include "tests/sim/model_inside.h"

#include <sodium.h>

#define QUEUES_MOST  1024u
#define CLIENTS_MOST 65536u

/* --- queues --------------------------------------------------------------------------------------------- */
static void
queue_changed(struct model *model, uint32_t queue_id)
{
    m_emit(model, USHER_EVENT_QUEUE_CHANGED, NOBODY, (usher_event){.queue_id = queue_id});
}

/* Q6 and Q7: what must hold between the policies of the house and those of a queue. */
static bool
agree(const uint64_t *house, const uint64_t *queue)
{
    uint64_t poll_ms = house[HOUSE_poll_ms_max] + house[HOUSE_poll_ms_max] / 4;

    return house[HOUSE_poll_ms_min] <= house[HOUSE_poll_ms_max] && poll_ms < queue[QUEUE_waiting_lease_ms] / 2 &&
           queue[QUEUE_active_ms] <= queue[QUEUE_active_total_ms];
}

usher_result
model_put_queue(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_put_queue_request *ask = body;
    usher_put_queue_reply *reply = out;
    struct m_queue *queue = m_queue_find(model, ask->queue_id);

    (void)request;
    struct m_queue fresh = {.id = ask->queue_id};
    for (size_t i = 0; i < QUEUE_POLICIES; i++)
        fresh.policy[i] = model_queue_policies[i].usual;
    if (queue == NULL && !agree(model->policy, fresh.policy))
        return m_refuse(model, USHER_POLICY_CONFLICT, ask->queue_id);
    if (ask->name[0] == '\0')
        return USHER_CATALOGUE_INVALID;
    if (queue == NULL && model->queue.count >= QUEUES_MOST)
        return m_refuse(model, USHER_TOO_MANY, QUEUES_MOST);
    if (queue == NULL) {
        ADD(&model->queue, fresh);
        queue = &model->queue.at[model->queue.count - 1];
        reply->created = 1;
    }
    memcpy(queue->name, ask->name, sizeof queue->name);
    queue_changed(model, ask->queue_id);
    return USHER_OK;
}

usher_result
model_set_mode(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_set_mode_request *ask = body;
    usher_set_mode_reply *reply = out;
    struct m_queue *queue = m_queue_find(model, ask->queue_id);

    (void)request;
    if (queue == NULL)
        return USHER_QUEUE_NOT_FOUND;
    reply->before = queue->mode;
    if (queue->mode == ask->mode)
        return USHER_OK;
    if (queue->mode == USHER_QUEUE_FROZEN) {
        reply->frozen_ms = model->now_ms - queue->frozen_since;
        queue->frozen_sum += reply->frozen_ms;
    }
    if (ask->mode == USHER_QUEUE_FROZEN)
        queue->frozen_since = model->now_ms;
    queue->mode = ask->mode;
    queue_changed(model, ask->queue_id);
    m_admit(model, queue, COMMAND_ADMISSIONS);
    return USHER_OK;
}

usher_result
model_queues(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_queues_request *ask = body;
    usher_queues_reply *reply = out;
    struct m_queue *queue = m_queue_next(model, ask->first_page ? -1 : (int64_t)ask->after_queue_id);

    (void)request;
    for (; queue != NULL; queue = m_queue_next(model, queue->id)) {
        reply->more = reply->queue_count == sizeof reply->queue / sizeof *reply->queue;
        if (reply->more)
            return USHER_OK;
        usher_queue_row *row = &reply->queue[reply->queue_count++];
        *row = (usher_queue_row){.queue_id = queue->id,
                                 .mode = queue->mode,
                                 .sale = m_sale(model, queue),
                                 .last_position = queue->place.count,
                                 .waiting_count = queue->waiting,
                                 .active_count = queue->active,
                                 .admitted_count = queue->admitted};
        memcpy(row->name, queue->name, sizeof row->name);
        for (size_t i = 0; i < model->date.count; i++) {
            const struct m_date *date = &model->date.at[i];
            if (m_queue_of(model, date) == queue)
                row->unsold_count += date->seat_count - date->sold - date->blocked;
        }
    }
    return USHER_OK;
}

/* --- policies ------------------------------------------------------------------------------------------- */
static size_t
policy_named(const struct model_policy *policies, size_t count, const char *name)
{
    size_t i = 0;

    while (i < count && strcmp(policies[i].name, name) != 0)
        i++;
    return i;
}

static usher_result
check_range(struct model *model, const struct model_policy *policy, uint64_t value)
{
    if (value < policy->least)
        return m_refuse(model, USHER_POLICY_RANGE, policy->least);
    return value > policy->most ? m_refuse(model, USHER_POLICY_RANGE, policy->most) : USHER_OK;
}

static usher_result
set_of_house(struct model *model, const usher_set_policy_request *ask, uint64_t *before)
{
    size_t i = policy_named(model_house_policies, HOUSE_POLICIES, ask->name);

    if (i == HOUSE_POLICIES)
        return USHER_POLICY_NOT_FOUND;
    usher_result result = check_range(model, &model_house_policies[i], ask->value);
    if (result != USHER_OK)
        return result;
    *before = model->policy[i];
    model->policy[i] = ask->value;
    for (struct m_queue *queue = m_queue_next(model, -1); queue != NULL; queue = m_queue_next(model, queue->id))
        if (!agree(model->policy, queue->policy)) {
            model->policy[i] = *before;
            return m_refuse(model, USHER_POLICY_CONFLICT, queue->id);
        }
    m_emit(model, USHER_EVENT_POLICY_CHANGED, NOBODY, (usher_event){0});
    return USHER_OK;
}

static usher_result
set_of_queue(struct model *model, const usher_set_policy_request *ask, uint64_t *before)
{
    struct m_queue *queue = m_queue_find(model, ask->queue_id);
    size_t i = policy_named(model_queue_policies, QUEUE_POLICIES, ask->name);

    if (queue == NULL)
        return USHER_QUEUE_NOT_FOUND;
    if (i == QUEUE_POLICIES)
        return USHER_POLICY_NOT_FOUND;
    usher_result result = check_range(model, &model_queue_policies[i], ask->value);
    if (result != USHER_OK)
        return result;
    *before = queue->policy[i];
    queue->policy[i] = ask->value;
    if (!agree(model->policy, queue->policy)) {
        queue->policy[i] = *before;
        return m_refuse(model, USHER_POLICY_CONFLICT, queue->id);
    }
    queue_changed(model, ask->queue_id);
    m_admit(model, queue, COMMAND_ADMISSIONS);
    return USHER_OK;
}

usher_result
model_set_policy(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_set_policy_request *ask = body;
    usher_set_policy_reply *reply = out;

    (void)request;
    return ask->of_queue ? set_of_queue(model, ask, &reply->before) : set_of_house(model, ask, &reply->before);
}

usher_result
model_policies(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_policies_request *ask = body;
    usher_policies_reply *reply = out;
    const struct m_queue *queue = ask->of_queue ? m_queue_find(model, ask->queue_id) : NULL;

    (void)request;
    if (ask->of_queue && queue == NULL)
        return USHER_QUEUE_NOT_FOUND;
    reply->policy_count = ask->of_queue ? QUEUE_POLICIES : HOUSE_POLICIES;
    for (uint16_t i = 0; i < reply->policy_count; i++) {
        const struct model_policy *policy = ask->of_queue ? &model_queue_policies[i] : &model_house_policies[i];
        reply->policy[i] = (usher_policy_row){.value = ask->of_queue ? queue->policy[i] : model->policy[i],
                                              .usual = policy->usual,
                                              .least = policy->least,
                                              .most = policy->most};
        strncpy(reply->policy[i].name, policy->name, sizeof reply->policy[i].name - 1);
        strncpy(reply->policy[i].unit, policy->unit, sizeof reply->policy[i].unit - 1);
    }
    return USHER_OK;
}

/* --- blocked seats (H8) --------------------------------------------------------------------------------- */
static usher_result
check_seats(struct model *model, const struct m_date *date, const uint32_t *seat, uint16_t count)
{
    if (count == 0)
        return USHER_SEATS_NONE;
    for (uint16_t i = 1; i < count; i++)
        for (uint16_t k = 0; k < i; k++)
            if (seat[k] == seat[i])
                return m_refuse(model, USHER_SEAT_DUPLICATE, seat[i]);
    for (uint16_t i = 0; i < count; i++)
        if (seat[i] < 1 || seat[i] > date->seat_count)
            return m_refuse(model, USHER_SEAT_NOT_FOUND, seat[i]);
    return USHER_OK;
}

static void
block_one(struct model *model, struct m_date *date, uint32_t seat_no, const usher_block_request *ask,
          usher_block_reply *reply)
{
    m_seat_sweep(model, date, seat_no);
    struct m_seat seat = date->seat.at[seat_no - 1];
    date->seat.at[seat_no - 1].channel = ask->channel;
    if (seat.state == SEAT_IS_HELD && ask->force) {
        /* Mark first: whether or not a block waited for this hold already, the seat is taken off sale now. */
        m_seat_set(date, seat_no, SEAT_IS_HELD, true, seat.reservation);
        m_hold_over(model, seat.reservation, HOW_FORCED);
        reply->blocked_count++;
        return;
    }
    m_seat_set(date, seat_no, (enum m_seat_state)seat.state, true, seat.reservation);
    if (seat.state == SEAT_IS_HELD) {
        reply->waiting_count++;
        return;
    }
    if (!seat.blocked)
        m_emit_of_seat(model, USHER_EVENT_SEAT_BLOCKED, NOBODY, date, seat_no, 0, 0);
    reply->blocked_count++;
}

usher_result
model_block(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_block_request *ask = body;
    struct m_date *date;

    (void)request;
    usher_result result = m_date_find(model, ask->concert_id, ask->date_id, &date);
    if (result == USHER_OK)
        result = check_seats(model, date, ask->seat, ask->seat_count);
    if (result != USHER_OK)
        return result;
    for (uint16_t i = 0; i < ask->seat_count; i++)
        if (date->seat.at[ask->seat[i] - 1].state == SEAT_IS_SOLD)
            model->refusal.conflict[model->refusal.conflict_count++] =
                (usher_conflict){.seat_no = ask->seat[i], .result = USHER_SOLD};
    if (model->refusal.conflict_count > 0)
        return USHER_SOLD;
    for (uint16_t i = 0; i < ask->seat_count; i++)
        block_one(model, date, ask->seat[i], ask, out);
    return USHER_OK;
}

usher_result
model_unblock(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_unblock_request *ask = body;
    usher_unblock_reply *reply = out;
    struct m_date *date;

    (void)request;
    usher_result result = m_date_find(model, ask->concert_id, ask->date_id, &date);
    if (result == USHER_OK)
        result = check_seats(model, date, ask->seat, ask->seat_count);
    if (result != USHER_OK)
        return result;
    for (uint16_t i = 0; i < ask->seat_count; i++) {
        struct m_seat seat = date->seat.at[ask->seat[i] - 1];
        if (!seat.blocked)
            continue;
        m_seat_set(date, ask->seat[i], (enum m_seat_state)seat.state, false, seat.reservation);
        if (seat.state == SEAT_IS_FREE)
            m_emit_of_seat(model, USHER_EVENT_SEAT_UNBLOCKED, NOBODY, date, ask->seat[i], 0, 0);
        reply->unblocked_count++;
    }
    return USHER_OK;
}

/* --- clients -------------------------------------------------------------------------------------------- */
static void
client_changed(struct model *model)
{
    m_emit(model, USHER_EVENT_CLIENT_CHANGED, NOBODY, (usher_event){0});
}

static size_t
client_with_code(const struct model *model, const usher_key *code_hash)
{
    for (size_t i = 1; i < model->client.count; i++)
        if (memcmp(&model->client.at[i].code_hash, code_hash, sizeof *code_hash) == 0)
            return i;
    return 0;
}

usher_result
model_invite(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_invite_request *ask = body;

    (void)request;
    if (ask->role == USHER_ROLE_NONE || ask->name[0] == '\0')
        return USHER_CATALOGUE_INVALID;
    if (model->client.count > CLIENTS_MOST)
        return m_refuse(model, USHER_TOO_MANY, CLIENTS_MOST);
    if (client_with_code(model, &ask->code_hash) != 0)
        return USHER_KEY_IN_USE;
    struct m_client client = {.role = ask->role,
                              .state = USHER_CLIENT_STATE_INVITED,
                              .channel = ask->channel,
                              .code_hash = ask->code_hash,
                              .since_ms = model->now_ms};
    memcpy(client.name, ask->name, sizeof client.name);
    ((usher_invite_reply *)out)->client_id = (uint32_t)model->client.count;
    ADD(&model->client, client);
    client_changed(model);
    return USHER_OK;
}

usher_result
model_enrol(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_enrol_request *ask = body;
    usher_enrol_reply *reply = out;
    usher_key code_hash;

    (void)request;
    crypto_generichash(code_hash.bytes, sizeof code_hash.bytes, ask->code.bytes, sizeof ask->code.bytes, NULL, 0);
    size_t number = client_with_code(model, &code_hash);
    struct m_client *client = &model->client.at[number];
    if (number == 0)
        return USHER_CODE_UNKNOWN;
    if (client->state == USHER_CLIENT_STATE_REVOKED)
        return USHER_CLIENT_REVOKED;
    bool same = memcmp(&client->key, &ask->client_key, sizeof client->key) == 0;
    if (client->state == USHER_CLIENT_STATE_ENROLLED && !same)
        return USHER_CODE_UNKNOWN; /* it was used */
    for (size_t i = 1; i < model->client.count; i++)
        if (i != number && memcmp(&model->client.at[i].key, &ask->client_key, sizeof ask->client_key) == 0)
            return USHER_KEY_IN_USE;
    if (client->state == USHER_CLIENT_STATE_INVITED) {
        client->state = USHER_CLIENT_STATE_ENROLLED;
        client->key = ask->client_key;
        client->since_ms = model->now_ms;
        client_changed(model);
    }
    reply->client_id = (uint32_t)number;
    reply->role = client->role;
    memcpy(reply->name, client->name, sizeof reply->name);
    return USHER_OK;
}

usher_result
model_revoke(struct model *model, const struct model_request *request, const void *body, void *out)
{
    uint32_t id = ((const usher_revoke_request *)body)->client_id;

    (void)request;
    if (id == 0 || id >= model->client.count)
        return USHER_CLIENT_NOT_FOUND;
    struct m_client *client = &model->client.at[id];
    ((usher_revoke_reply *)out)->before = client->state;
    if (client->state == USHER_CLIENT_STATE_REVOKED)
        return USHER_OK;
    client->state = USHER_CLIENT_STATE_REVOKED;
    client->since_ms = model->now_ms;
    client_changed(model);
    return USHER_OK;
}

usher_result
model_clients(struct model *model, const struct model_request *request, const void *body, void *out)
{
    usher_clients_reply *reply = out;

    (void)request;
    for (uint64_t i = (uint64_t)((const usher_clients_request *)body)->after_client_id + 1; i < model->client.count;
         i++) {
        const struct m_client *client = &model->client.at[i];
        reply->more = reply->client_count == sizeof reply->client / sizeof *reply->client;
        if (reply->more)
            return USHER_OK;
        usher_client_row *row = &reply->client[reply->client_count++];
        *row = (usher_client_row){.client_id = (uint32_t)i,
                                  .role = client->role,
                                  .state = client->state,
                                  .channel = client->channel,
                                  .client_key = client->key,
                                  .since_ms = client->since_ms};
        memcpy(row->name, client->name, sizeof row->name);
    }
    return USHER_OK;
}
