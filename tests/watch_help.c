/* watch_help.c: see watch_help.h. */
#include "tests/watch_help.h"

#include <stdlib.h>
#include <string.h>

/* --- hearing ---------------------------------------------------------------------------------------------- */
bool
watch_hear(struct wire *wire, struct told *told)
{
    struct wire_frame frame;
    unsigned field_no;

    do
        if (!wire_receive(wire, &frame))
            return false;
    while (!(frame.flags & USHER_FLAG_PUSH));
    const usher_push *push = usher_push_of(frame.opcode);
    assert_non_null(push);
    memset(told, 0, sizeof *told);
    told->opcode = frame.opcode;
    assert_int_equal(usher_decode(push->body, frame.body, frame.body_size, &told->place, &field_no), USHER_OK);
    told->subscription = frame.opcode == USHER_PUSH_GOING_AWAY ? 0 : told->ended.subscription;
    return true;
}

void
watch_must_hear(struct wire *wire, uint16_t opcode, uint32_t subscription, struct told *told)
{
    assert_true(watch_hear(wire, told));
    assert_int_equal(told->opcode, opcode);
    assert_int_equal(told->subscription, subscription);
}

void
watch_must_end(struct wire *wire, uint32_t subscription, usher_result result)
{
    struct told told;

    watch_must_hear(wire, USHER_PUSH_WATCH_ENDED, subscription, &told);
    assert_int_equal(told.ended.result, result);
}

/* --- asking ----------------------------------------------------------------------------------------------- */
void
watch_connect(struct house *house, unsigned door, struct wire *wire)
{
    assert_true(wire_open(wire, house->server[door].port));
    assert_int_equal(wire_login(wire, house->server[0].admin_key), USHER_OK);
}

usher_join_reply
watch_join(struct wire *wire, uint64_t user)
{
    const usher_join_request ask = {.request_id = wire_id(), .user = wire_user(user)};
    usher_join_reply reply;

    house_must(wire, USHER_OPCODE_JOIN, &ask, &reply);
    return reply;
}

uint32_t
watch_place(struct wire *wire, const usher_join_reply *join, usher_watch_place_reply *reply)
{
    usher_watch_place_request ask = {.token_count = join->token_count};

    memcpy(ask.token, join->token, join->token_count);
    house_must(wire, USHER_OPCODE_WATCH_PLACE, &ask, reply);
    return wire->last_request_no;
}

uint32_t
watch_seats(struct wire *wire, const usher_join_reply *join)
{
    usher_watch_seats_request ask = {.concert_id = 1, .date_id = 1};

    if (join != NULL) {
        ask.token_count = join->token_count;
        memcpy(ask.token, join->token, join->token_count);
    }
    house_must(wire, USHER_OPCODE_WATCH_SEATS, &ask, NULL);
    return wire->last_request_no;
}

uint32_t
watch_events(struct wire *wire, uint64_t after_event_no, uint64_t kinds)
{
    const usher_watch_events_request ask = {.after_event_no = after_event_no, .kinds = kinds};

    house_must(wire, USHER_OPCODE_WATCH_EVENTS, &ask, NULL);
    return wire->last_request_no;
}

bool
watch_end(struct wire *wire, uint32_t subscription)
{
    const usher_unwatch_request ask = {.subscription = subscription};
    usher_unwatch_reply reply;

    house_must(wire, USHER_OPCODE_UNWATCH, &ask, &reply);
    return reply.was_open;
}

void
watch_set_mode(struct wire *admin, enum usher_queue_mode mode)
{
    const usher_set_mode_request ask = {.request_id = wire_id(), .mode = (uint8_t)mode};

    house_must(admin, USHER_OPCODE_SET_MODE, &ask, NULL);
}

void
watch_leave(struct wire *wire, const usher_join_reply *join)
{
    usher_leave_request ask = {.request_id = wire_id(), .token_count = join->token_count};

    memcpy(ask.token, join->token, join->token_count);
    house_must(wire, USHER_OPCODE_LEAVE, &ask, NULL);
}

/* --- a mirror of a date's free seats ----------------------------------------------------------------------- */
static void
take_snapshot(struct mirror *mirror, const usher_seats_push *push)
{
    if (push->first_block == 0)
        mirror->snapshots++;
    else
        assert_int_equal(push->version, mirror->version);
    mirror->seat_count = push->seat_count;
    mirror->block_count = push->block_count;
    mirror->version = push->version;
    assert_true(push->block_count <= MIRROR_BLOCKS);
    assert_int_equal(push->block_count, (push->seat_count + 63) / 64);
    assert_true(push->first_block + push->free_block_count <= push->block_count);
    for (uint32_t i = 0; i < push->free_block_count; i++)
        mirror->free[push->first_block + i] = push->free_block[i];
}

void
mirror_take(struct mirror *mirror, const struct told *told)
{
    if (told->opcode == USHER_PUSH_SEATS) {
        take_snapshot(mirror, &told->seats);
        return;
    }
    assert_int_equal(told->opcode, USHER_PUSH_SEAT_CHANGES);
    assert_int_equal(told->changes.from_version, mirror->version);
    assert_true(told->changes.version >= mirror->version);
    assert_true(told->changes.block_count > 0);
    for (uint32_t i = 0; i < told->changes.block_count; i++) {
        assert_true(told->changes.block[i].block < mirror->block_count);
        mirror->free[told->changes.block[i].block] = told->changes.block[i].free;
    }
    mirror->version = told->changes.version;
    mirror->deltas++;
}

bool
mirror_is_true(const struct mirror *mirror, struct wire *admin)
{
    for (uint32_t first = 0; first == 0 || first < mirror->block_count; first += 256) {
        const usher_seats_request ask = {.concert_id = 1, .date_id = 1, .first_block = first};
        usher_seats_reply reply;
        house_must(admin, USHER_OPCODE_SEATS, &ask, &reply);
        if (reply.seat_count != mirror->seat_count)
            return false;
        for (uint32_t i = 0; i < reply.free_block_count; i++)
            if (mirror->free[first + i] != reply.free_block[i])
                return false;
    }
    return true;
}

void
mirror_must_become_true(struct mirror *mirror, struct wire *wire, struct wire *admin)
{
    struct told told;

    while (!mirror_is_true(mirror, admin)) {
        assert_true(watch_hear(wire, &told)); /* fails when it is not true and nothing more comes */
        mirror_take(mirror, &told);
    }
}
