/* line.c: places and their tokens. A place waits until it was asked for wait_polls times or the test admits it; it ends
 * by payment or by being given up, never by time. */
#include <sodium.h>
#include <string.h>

#include "client-sdk/fake/src/fake.h"

#define TOKEN_MS 86400000u
#define POLL_MS  10u /* what a waiter is told to wait between polls: tests are in a hurry */

/* --- tokens ------------------------------------------------------------------------------------------------ */
size_t
fake_sign(usher_fake *fake, const uint8_t *body, size_t size, uint8_t *out, size_t room)
{
    usher_proof proof = {.leaf_index = 0, .leaf_count = 1, .path_count = 0};
    uint8_t leaf[32];

    usher_leaf(body, size, leaf);
    usher_root_sign(fake->server_secret, FAKE_KEY_ID, 1, leaf, proof.signature);
    return usher_document_join(body, size, &proof, out, room);
}

static void
make_token(usher_fake *fake, const struct fake_place *place, usher_join_reply *reply)
{
    const usher_token_body token = {.key_id = FAKE_KEY_ID,
                                    .queue_id = place->queue_id,
                                    .user = place->user,
                                    .position = place->position,
                                    .issued_ms = place->issued_ms,
                                    .ends_ms = place->issued_ms + TOKEN_MS};
    uint8_t body[USHER_TOKEN_BODY_SIZE];
    size_t size = usher_token_body_encode(&token, body);

    reply->token_count = (uint16_t)fake_sign(fake, body, size, reply->token, sizeof reply->token);
}

usher_result
fake_read_token(usher_fake *fake, const uint8_t *token, size_t size, struct fake_place **place)
{
    usher_token_body body;
    usher_result result = usher_document_verify(token, size, USHER_DOCUMENT_TOKEN, FAKE_KEY_ID, fake->server_key.bytes);

    *place = NULL;
    if (result != USHER_OK)
        return result;
    if (!usher_token_body_decode(token, USHER_TOKEN_BODY_SIZE, &body))
        return USHER_TOKEN_MALFORMED;
    /* Another house with the same key may have signed it: then the place is not known here. */
    if (body.position > 0 && body.position <= fake->places.count &&
        fake_same_user(&fake->places.item[body.position - 1].user, &body.user))
        *place = &fake->places.item[body.position - 1];
    return *place != NULL ? USHER_OK : USHER_TOKEN_EXPIRED;
}

/* --- places ------------------------------------------------------------------------------------------------ */
/* The user's place in the queue that is not over, or NULL. */
static struct fake_place *
live_place(usher_fake *fake, const usher_uuid *user, uint32_t queue_id)
{
    for (size_t i = 0; i < fake->places.count; i++) {
        struct fake_place *place = &fake->places.item[i];
        if (place->queue_id == queue_id && place->state <= USHER_PLACE_ACTIVE && fake_same_user(&place->user, user))
            return place;
    }
    return NULL;
}

static uint64_t
rank_of(const usher_fake *fake, const struct fake_place *place)
{
    uint64_t rank = 1;

    if (place->state != USHER_PLACE_WAITING)
        return 0;
    for (size_t i = 0; &fake->places.item[i] < place; i++)
        rank += fake->places.item[i].queue_id == place->queue_id && fake->places.item[i].state == USHER_PLACE_WAITING;
    return rank;
}

void
fake_describe_place(usher_fake *fake, const struct fake_place *place, usher_place_reply *reply)
{
    bool waiting = place->state == USHER_PLACE_WAITING;

    memset(reply, 0, sizeof *reply);
    reply->queue_id = place->queue_id;
    reply->state = place->state;
    reply->sale = fake_unsold(fake, place->queue_id) > 0 ? USHER_SALE_OPEN : USHER_SALE_SOLD_OUT;
    reply->position = place->position;
    reply->rank = rank_of(fake, place);
    reply->estimate_ms = waiting ? USHER_UNKNOWN_MS : 0;
    reply->next_poll_ms = place->state <= USHER_PLACE_ACTIVE ? POLL_MS : 0;
    reply->until_ms = place->state <= USHER_PLACE_ACTIVE ? place->issued_ms + TOKEN_MS : 0;
}

void
fake_admit(usher_fake *fake, struct fake_place *place)
{
    usher_event *event = fake_emit(fake, USHER_EVENT_ADMITTED, &place->user);

    place->state = USHER_PLACE_ACTIVE;
    event->queue_id = place->queue_id;
    event->position = place->position;
}

usher_result
fake_join(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    const usher_join_request *request = body;
    usher_join_reply *reply = answer;
    struct fake_place *place;
    usher_place_reply now;

    if (fake_no_user(&request->user))
        return USHER_USER_MISSING;
    if (!fake_has_queue(fake, request->queue_id))
        return USHER_QUEUE_NOT_FOUND;
    place = live_place(fake, &request->user, request->queue_id);
    if (place == NULL) {
        usher_event *event;

        if (fake_unsold(fake, request->queue_id) == 0)
            return USHER_SOLD_OUT;
        place = FAKE_ADD(&fake->places);
        place->user = request->user;
        place->queue_id = request->queue_id;
        place->position = fake->places.count;
        place->issued_ms = fake->now_ms;
        event = fake_emit(fake, USHER_EVENT_JOINED, &place->user);
        event->queue_id = place->queue_id;
        event->position = place->position;
        if (fake->options.wait_polls == 0)
            fake_admit(fake, place);
    }
    (void)ask;
    fake_describe_place(fake, place, &now);
    reply->queue_id = now.queue_id;
    reply->state = now.state;
    reply->sale = now.sale;
    reply->position = now.position;
    reply->rank = now.rank;
    reply->estimate_ms = now.estimate_ms;
    reply->next_poll_ms = now.next_poll_ms;
    reply->until_ms = now.until_ms;
    make_token(fake, place, reply);
    return USHER_OK;
}

usher_result
fake_place(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    struct fake_place *place = ask->place;

    (void)body;
    place->polls++;
    if (place->state == USHER_PLACE_WAITING && fake->options.wait_polls != USHER_FAKE_WAIT_FOR_TEST &&
        place->polls >= fake->options.wait_polls)
        fake_admit(fake, place);
    fake_describe_place(fake, place, answer);
    return USHER_OK;
}

usher_result
fake_leave(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    usher_leave_reply *reply = answer;
    struct fake_place *place = ask->place;

    (void)body;
    if (place->state <= USHER_PLACE_ACTIVE) {
        usher_event *event = fake_emit(fake, USHER_EVENT_LEFT, &place->user);

        event->queue_id = place->queue_id;
        event->position = place->position;
        place->state = USHER_PLACE_LEFT;
        for (size_t i = 0; i < fake->reservations.count; i++) {
            struct fake_reservation *reservation = &fake->reservations.item[i];

            if (reservation->state != FAKE_RESERVATION_HELD || !fake_same_user(&reservation->user, &place->user) ||
                reservation->date->row.queue_id != place->queue_id)
                continue;
            fake_free_seat(fake, reservation, FAKE_RESERVATION_OVER);
            fake_emit_seat(fake, USHER_EVENT_SEAT_RELEASED, reservation);
            reply->released_count++;
        }
    }
    reply->state = place->state;
    return USHER_OK;
}
