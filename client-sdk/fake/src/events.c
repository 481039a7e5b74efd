/* events.c: reading events, and their named consumers. Nothing is ever dropped here: a test that wants to see
 * EVENTS_LOST says so in its script (refuse EVENTS_LOST). */
#include <string.h>

#include "client-sdk/fake/src/fake.h"

#define CONSUMERS_MOST 64u

static struct fake_consumer *
find_consumer(usher_fake *fake, const char *name)
{
    for (size_t i = 0; i < fake->consumers.count; i++)
        if (strcmp(fake->consumers.item[i].name, name) == 0)
            return &fake->consumers.item[i];
    return NULL;
}

/* An observer has its own alone. */
static bool
is_theirs(const struct fake_ask *ask, const struct fake_consumer *consumer)
{
    return ask->role == USHER_ROLE_ADMIN || fake_same_user(&consumer->client, &ask->client);
}

static usher_result
refuse(struct fake_ask *ask, usher_result result, uint64_t detail)
{
    ask->refusal.detail = detail;
    return result;
}

usher_result
fake_first_cursor(usher_fake *fake, const char *name, uint64_t after_event_no, uint64_t *cursor)
{
    const struct fake_consumer *consumer = name[0] != '\0' ? find_consumer(fake, name) : NULL;

    if (name[0] != '\0' && consumer == NULL)
        return USHER_CONSUMER_NOT_FOUND;
    *cursor = consumer != NULL && consumer->event_no > after_event_no ? consumer->event_no : after_event_no;
    return USHER_OK;
}

usher_result
fake_events(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    const usher_events_request *request = body;
    usher_events_reply *reply = answer;
    uint64_t limit = request->limit > 0 && request->limit < 128 ? request->limit : 128;
    usher_result result = fake_first_cursor(fake, request->consumer, request->after_event_no, &reply->after_event_no);

    (void)ask;
    if (result != USHER_OK)
        return result;
    reply->first_event_no = 1;
    reply->last_event_no = fake->events.count;
    for (uint64_t no = reply->after_event_no; no < fake->events.count && reply->event_count < limit; no++)
        reply->event[reply->event_count++] = fake->events.item[no];
    return USHER_OK;
}

usher_result
fake_put_consumer(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    const usher_put_consumer_request *request = body;
    usher_put_consumer_reply *reply = answer;
    struct fake_consumer *consumer = find_consumer(fake, request->consumer);
    uint64_t from = request->after_event_no == UINT64_MAX ? fake->events.count : request->after_event_no;

    if (consumer != NULL && !is_theirs(ask, consumer))
        return USHER_ROLE_REFUSED;
    if (request->consumer[0] == '\0')
        return USHER_CATALOGUE_INVALID;
    if (consumer == NULL && fake->consumers.count == CONSUMERS_MOST)
        return refuse(ask, USHER_TOO_MANY, CONSUMERS_MOST);
    if (consumer == NULL && from > fake->events.count)
        return refuse(ask, USHER_EVENT_NOT_YET, fake->events.count);
    if (consumer == NULL) {
        consumer = FAKE_ADD(&fake->consumers);
        memcpy(consumer->name, request->consumer, sizeof consumer->name);
        consumer->client = ask->client;
        consumer->event_no = from;
        consumer->since_ms = fake->now_ms;
        fake_emit(fake, USHER_EVENT_CONSUMER_CHANGED, &(usher_uuid){{0}});
        reply->created = USHER_FLAG_YES;
    }
    reply->event_no = consumer->event_no;
    return USHER_OK;
}

usher_result
fake_acknowledge(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    const usher_acknowledge_request *request = body;
    struct fake_consumer *consumer = find_consumer(fake, request->consumer);

    if (consumer == NULL)
        return USHER_CONSUMER_NOT_FOUND;
    if (!is_theirs(ask, consumer))
        return USHER_ROLE_REFUSED;
    if (request->event_no > fake->events.count)
        return refuse(ask, USHER_EVENT_NOT_YET, fake->events.count);
    if (request->event_no > consumer->event_no)
        consumer->event_no = request->event_no;
    consumer->acknowledged_at_ms = fake->now_ms;
    ((usher_acknowledge_reply *)answer)->event_no = consumer->event_no;
    return USHER_OK;
}

usher_result
fake_remove_consumer(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    const usher_remove_consumer_request *request = body;
    struct fake_consumer *consumer = find_consumer(fake, request->consumer);

    if (consumer == NULL)
        return USHER_CONSUMER_NOT_FOUND;
    if (!is_theirs(ask, consumer))
        return USHER_ROLE_REFUSED;
    ((usher_remove_consumer_reply *)answer)->event_no = consumer->event_no;
    *consumer = fake->consumers.item[--fake->consumers.count];
    fake_emit(fake, USHER_EVENT_CONSUMER_CHANGED, &(usher_uuid){{0}});
    return USHER_OK;
}

usher_result
fake_consumers(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    const usher_consumers_request *request = body;
    usher_consumers_reply *reply = answer;

    (void)ask;
    reply->first_event_no = 1;
    reply->last_event_no = fake->events.count;
    for (size_t i = 0; i < fake->consumers.count; i++) {
        const struct fake_consumer *consumer = &fake->consumers.item[i];
        usher_consumer_row *row = &reply->row[reply->row_count];

        if (request->consumer[0] != '\0' && strcmp(request->consumer, consumer->name) != 0)
            continue;
        memcpy(row->consumer, consumer->name, sizeof row->consumer);
        row->event_no = consumer->event_no;
        row->since_ms = consumer->since_ms;
        row->acknowledged_at_ms = consumer->acknowledged_at_ms;
        row->client_id = fake->options.client_id;
        reply->row_count++;
    }
    return request->consumer[0] != '\0' && reply->row_count == 0 ? USHER_CONSUMER_NOT_FOUND : USHER_OK;
}
