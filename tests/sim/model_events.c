/* model_events.c: events, who consumes them, and which are still kept (X5). */
#include "tests/sim/model_inside.h"

#define CONSUMERS_MOST 64u
#define BYTES_OF_ONE   128u
#define DROPPED_MOST   256u /* OPEN: and twice what was made since the tick before */
#define DAY_MS         UINT64_C(86400000)

/* --- consumers ------------------------------------------------------------------------------------------ */
static struct m_consumer *
consumer_named(struct model *model, const char *name)
{
    for (size_t i = 0; i < CONSUMERS_MOST; i++)
        if (model->consumer[i].name[0] != '\0' && strcmp(model->consumer[i].name, name) == 0)
            return &model->consumer[i];
    return NULL;
}

static bool
may_touch(const struct model_request *request, const struct m_consumer *consumer)
{
    return request->role == USHER_ROLE_ADMIN || request->client_no == consumer->client_no;
}

static void
changed(struct model *model)
{
    m_emit(model, USHER_EVENT_CONSUMER_CHANGED, NOBODY, (usher_event){0});
}

usher_result
model_put_consumer(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_put_consumer_request *ask = body;
    usher_put_consumer_reply *reply = out;
    struct m_consumer *consumer = consumer_named(model, ask->consumer);

    if (consumer != NULL && !may_touch(request, consumer))
        return USHER_ROLE_REFUSED;
    if (ask->consumer[0] == '\0')
        return USHER_CATALOGUE_INVALID;
    if (consumer != NULL) {
        reply->event_no = consumer->event_no;
        return USHER_OK;
    }
    for (size_t i = 0; i < CONSUMERS_MOST && consumer == NULL; i++)
        if (model->consumer[i].name[0] == '\0')
            consumer = &model->consumer[i];
    if (consumer == NULL)
        return m_refuse(model, USHER_TOO_MANY, CONSUMERS_MOST);
    uint64_t from = ask->after_event_no;
    if (from == 0)
        from = model->events_gone;
    else if (from == UINT64_MAX)
        from = model->event.count;
    if (from < model->events_gone)
        return m_refuse(model, USHER_EVENTS_LOST, model->events_gone + 1);
    if (from > model->event.count)
        return m_refuse(model, USHER_EVENT_NOT_YET, model->event.count);
    *consumer = (struct m_consumer){.event_no = from, .since_ms = model->now_ms, .client_no = request->client_no};
    memcpy(consumer->name, ask->consumer, sizeof consumer->name);
    *reply = (usher_put_consumer_reply){.created = 1, .event_no = from};
    changed(model);
    return USHER_OK;
}

usher_result
model_acknowledge(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_acknowledge_request *ask = body;
    struct m_consumer *consumer = consumer_named(model, ask->consumer);

    if (consumer == NULL)
        return USHER_CONSUMER_NOT_FOUND;
    if (!may_touch(request, consumer))
        return USHER_ROLE_REFUSED;
    if (ask->event_no > model->event.count)
        return m_refuse(model, USHER_EVENT_NOT_YET, model->event.count);
    if (consumer->event_no < ask->event_no)
        consumer->event_no = ask->event_no;
    consumer->acknowledged_ms = model->now_ms;
    ((usher_acknowledge_reply *)out)->event_no = consumer->event_no;
    return USHER_OK;
}

usher_result
model_remove_consumer(struct model *model, const struct model_request *request, const void *body, void *out)
{
    struct m_consumer *consumer = consumer_named(model, ((const usher_remove_consumer_request *)body)->consumer);

    if (consumer == NULL)
        return USHER_CONSUMER_NOT_FOUND;
    if (!may_touch(request, consumer))
        return USHER_ROLE_REFUSED;
    ((usher_remove_consumer_reply *)out)->event_no = consumer->event_no;
    *consumer = (struct m_consumer){0};
    changed(model);
    return USHER_OK;
}

usher_result
model_consumers(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_consumers_request *ask = body;
    usher_consumers_reply *reply = out;

    (void)request;
    reply->first_event_no = model->events_gone + 1;
    reply->last_event_no = model->event.count;
    for (size_t i = 0; i < CONSUMERS_MOST; i++) {
        const struct m_consumer *consumer = &model->consumer[i];
        if (consumer->name[0] == '\0' || (ask->consumer[0] != '\0' && strcmp(ask->consumer, consumer->name) != 0))
            continue;
        usher_consumer_row *row = &reply->row[reply->row_count++];
        *row = (usher_consumer_row){.event_no = consumer->event_no,
                                    .since_ms = consumer->since_ms,
                                    .acknowledged_at_ms = consumer->acknowledged_ms,
                                    .client_id = consumer->client_no};
        memcpy(row->consumer, consumer->name, sizeof row->consumer);
        if (consumer->event_no < model->events_gone)
            row->lost_count = model->events_gone - consumer->event_no;
    }
    return reply->row_count > 0 || ask->consumer[0] == '\0' ? USHER_OK : USHER_CONSUMER_NOT_FOUND;
}

/* --- reading -------------------------------------------------------------------------------------------- */
usher_result
model_events(struct model *model, const struct model_request *request, const void *body, void *out)
{
    const usher_events_request *ask = body;
    usher_events_reply *reply = out;
    uint64_t most = sizeof reply->event / sizeof *reply->event, after = ask->after_event_no;
    const struct m_consumer *consumer = ask->consumer[0] == '\0' ? NULL : consumer_named(model, ask->consumer);

    (void)request;
    if (ask->consumer[0] != '\0' && consumer == NULL)
        return USHER_CONSUMER_NOT_FOUND;
    if (consumer != NULL && consumer->event_no > after)
        after = consumer->event_no;
    if (ask->limit != 0 && ask->limit < most)
        most = ask->limit;
    if (after < model->events_gone)
        return m_refuse(model, USHER_EVENTS_LOST, model->events_gone + 1);
    reply->first_event_no = model->events_gone + 1;
    reply->last_event_no = model->event.count;
    reply->after_event_no = after;
    for (uint64_t i = after; i < model->event.count && reply->event_count < most; i++)
        reply->event[reply->event_count++] = model->event.at[i];
    return USHER_OK;
}

/* --- which are kept ------------------------------------------------------------------------------------- */
uint64_t
m_event_bytes(const struct model *model)
{
    return (model->event.count - model->events_gone) * BYTES_OF_ONE;
}

static bool
may_go(const struct model *model, const usher_event *event)
{
    if (event->event_no > model->history_known)
        return false;
    if (m_event_bytes(model) > model->policy[HOUSE_event_bytes_max])
        return true;
    for (size_t i = 0; i < CONSUMERS_MOST; i++)
        if (model->consumer[i].name[0] != '\0' && model->consumer[i].event_no < event->event_no)
            return false;
    return event->at_ms + model->policy[HOUSE_event_days] * DAY_MS <= model->now_ms;
}

bool
m_drop_events(struct model *model)
{
    uint64_t most = DROPPED_MOST + 2 * (model->event.count - model->events_at_tick), before = model->events_gone;

    while (model->events_gone < model->event.count && model->events_gone - before < most &&
           may_go(model, &model->event.at[model->events_gone]))
        model->events_gone++;
    model->events_at_tick = model->event.count;
    return model->events_gone != before;
}

usher_result
model_history_taken(struct model *model, const struct model_request *request, const void *body, void *out)
{
    uint64_t event_no = ((const usher_history_taken_request *)body)->event_no;

    (void)request;
    if (event_no <= model->event.count && event_no > model->history_known)
        model->history_known = event_no;
    ((usher_history_taken_reply *)out)->event_no = model->history_known;
    return USHER_OK;
}

uint64_t
model_consumed(const struct model *model)
{
    return model->consumed;
}
