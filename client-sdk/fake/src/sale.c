/* sale.c: what there is to sell, and holding it. */
#include <string.h>

#include "client-sdk/fake/src/fake.h"

#define SEATS_PER_REQUEST 4 /* policies.def, as a house begins */
#define SEATS_PER_USER    4

usher_result
fake_ping(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    const usher_ping_request *request = body;
    usher_ping_reply *reply = answer;

    (void)fake;
    (void)ask;
    reply->echo = request->echo;
    return USHER_OK;
}

/* --- the catalogue ----------------------------------------------------------------------------------------- */
usher_result
fake_concerts(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    const usher_concerts_request *request = body;
    usher_concerts_reply *reply = answer;

    (void)ask;
    reply->version = 1;
    for (uint32_t after = request->after_concert_id;;) {
        const struct fake_date *next = NULL;
        usher_concert_row *row;

        for (size_t i = 0; i < fake->options.date_count; i++)
            if (fake->date[i].row.concert_id > after &&
                (next == NULL || fake->date[i].row.concert_id < next->row.concert_id))
                next = &fake->date[i];
        if (next == NULL)
            return USHER_OK;
        if (reply->concert_count == 64) {
            reply->more = USHER_FLAG_YES;
            return USHER_OK;
        }
        row = &reply->concert[reply->concert_count++];
        row->concert_id = after = next->row.concert_id;
        row->queue_id = next->row.queue_id;
        memcpy(row->title, next->title, sizeof row->title);
        memcpy(row->venue, next->venue, sizeof row->venue);
        for (size_t i = 0; i < fake->options.date_count; i++)
            row->date_count += fake->date[i].row.concert_id == after;
    }
}

static void
describe_date(usher_fake *fake, const struct fake_date *date, usher_date_row *row)
{
    row->date_id = date->row.date_id;
    row->starts_at_ms = date->row.starts_at_ms;
    row->seat_count = date->seat_count;
    row->price_least = row->price_most = date->row.price;
    for (uint32_t i = 0; i < date->seat_count; i++) {
        const struct fake_reservation *reservation = fake_find_reservation(fake, date->reservation[i]);

        row->free_count += reservation == NULL;
        row->held_count += reservation != NULL && reservation->state == FAKE_RESERVATION_HELD;
        row->sold_count += reservation != NULL && reservation->state == FAKE_RESERVATION_PAID;
    }
    row->status = fake->now_ms >= date->row.starts_at_ms ? USHER_DATE_STATUS_PAST
                  : row->free_count > 0                  ? USHER_DATE_STATUS_ON_SALE
                  : row->held_count > 0                  ? USHER_DATE_STATUS_ALL_HELD
                                                         : USHER_DATE_STATUS_SOLD_OUT;
}

usher_result
fake_dates(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    const usher_dates_request *request = body;
    usher_dates_reply *reply = answer;

    (void)ask;
    if (!fake_has_concert(fake, request->concert_id))
        return USHER_CONCERT_NOT_FOUND;
    reply->concert_id = request->concert_id;
    for (uint32_t after = request->after_date_id;;) {
        const struct fake_date *next = NULL;
        usher_date_row row = {.date_id = 0};

        for (size_t i = 0; i < fake->options.date_count; i++)
            if (fake->date[i].row.concert_id == request->concert_id && fake->date[i].row.date_id > after &&
                (next == NULL || fake->date[i].row.date_id < next->row.date_id))
                next = &fake->date[i];
        if (next == NULL)
            return USHER_OK;
        after = next->row.date_id;
        describe_date(fake, next, &row);
        if (row.status != USHER_DATE_STATUS_ON_SALE && request->all == USHER_FLAG_NO)
            continue;
        if (reply->date_count == 64) {
            reply->more = USHER_FLAG_YES;
            return USHER_OK;
        }
        reply->date[reply->date_count++] = row;
    }
}

/* The date that a request names, or why not. */
static usher_result
named_date(usher_fake *fake, uint32_t concert_id, uint32_t date_id, struct fake_date **date)
{
    *date = fake_find_date(fake, concert_id, date_id);
    if (*date != NULL)
        return USHER_OK;
    return fake_has_concert(fake, concert_id) ? USHER_DATE_NOT_FOUND : USHER_CONCERT_NOT_FOUND;
}

usher_result
fake_date_on_sale(usher_fake *fake, const struct fake_ask *ask, uint32_t concert_id, uint32_t date_id,
                  struct fake_date **date)
{
    usher_result result = named_date(fake, concert_id, date_id, date);

    if (result != USHER_OK)
        return result;
    if (ask->place != NULL && ask->place->queue_id != (*date)->row.queue_id)
        return USHER_TOKEN_OTHER_QUEUE;
    return fake->now_ms >= (*date)->row.starts_at_ms ? USHER_DATE_PAST : USHER_OK;
}

usher_result
fake_seats(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    const usher_seats_request *request = body;
    usher_seats_reply *reply = answer;
    struct fake_date *date;
    usher_result result = fake_date_on_sale(fake, ask, request->concert_id, request->date_id, &date);

    if (result != USHER_OK)
        return result;
    reply->concert_id = request->concert_id;
    reply->date_id = request->date_id;
    reply->seat_count = date->seat_count;
    reply->version = date->version;
    reply->first_block = request->first_block;
    for (uint64_t seat = (uint64_t)request->first_block * 64; seat < date->seat_count; seat++) {
        uint32_t block = (uint32_t)(seat / 64 - request->first_block);

        reply->free_block_count = (uint16_t)(block + 1);
        if (date->reservation[seat] != 0)
            continue;
        reply->free_block[block] |= (uint64_t)1 << seat % 64;
        reply->free_count++;
    }
    return USHER_OK;
}

usher_result
fake_plan(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    const usher_plan_request *request = body;
    usher_plan_reply *reply = answer;
    struct fake_date *date;
    usher_result result = named_date(fake, request->concert_id, request->date_id, &date);

    (void)ask;
    if (result != USHER_OK)
        return result;
    reply->plan_id = (uint32_t)(date - fake->date) + 1;
    reply->seat_count = date->seat_count;
    reply->price_count = 8;
    reply->price[0] = (uint64_t)date->row.price;
    reply->section_count = 1;
    strcpy(reply->section[0].name, "Hall");
    reply->section[0].first_row = 1;
    reply->section[0].row_count = date->row.row_count;
    reply->section[0].seats_per_row = date->row.seats_per_row;
    return USHER_OK;
}

/* --- holding ----------------------------------------------------------------------------------------------- */
/* Seats of the date that the user holds or owns. */
static uint32_t
seats_of_user(usher_fake *fake, const struct fake_date *date, const usher_uuid *user)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < date->seat_count; i++)
        count +=
            date->reservation[i] != 0 && fake_same_user(&fake->reservations.item[date->reservation[i] - 1].user, user);
    return count;
}

static uint64_t
hold_seat(usher_fake *fake, struct fake_date *date, uint32_t seat_no, const usher_uuid *user)
{
    struct fake_reservation *reservation = FAKE_ADD(&fake->reservations);

    reservation->user = *user;
    reservation->date = date;
    reservation->seat_no = seat_no;
    reservation->price = date->row.price;
    reservation->until_ms = fake->now_ms + fake->options.hold_ms;
    date->reservation[seat_no - 1] = fake->reservations.count;
    date->version++;
    fake_emit_seat(fake, USHER_EVENT_SEAT_HELD, reservation);
    return fake->reservations.count;
}

static void
describe_hold(usher_fake *fake, uint64_t reservation_id, usher_hold *hold)
{
    const struct fake_reservation *reservation = &fake->reservations.item[reservation_id - 1];

    hold->reservation_id = reservation_id;
    hold->concert_id = reservation->date->row.concert_id;
    hold->date_id = reservation->date->row.date_id;
    hold->seat_no = reservation->seat_no;
    hold->price = reservation->price;
    hold->until_ms = reservation->until_ms;
}

/* Whether the seats are numbers of seats, each once. */
static usher_result
check_seats(const struct fake_date *date, const uint32_t *seat, size_t count, uint64_t *detail)
{
    if (count == 0)
        return USHER_SEATS_NONE;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < i; k++)
            if (seat[i] == seat[k]) {
                *detail = seat[i];
                return USHER_SEAT_DUPLICATE;
            }
    *detail = SEATS_PER_REQUEST;
    if (count > SEATS_PER_REQUEST)
        return USHER_SEATS_PER_REQUEST;
    for (size_t i = 0; i < count; i++)
        if (seat[i] == 0 || seat[i] > date->seat_count) {
            *detail = seat[i];
            return USHER_SEAT_NOT_FOUND;
        }
    *detail = 0;
    return USHER_OK;
}

/* List the seats that others have; the result is OK, or what the first of SOLD and HELD that occurs says. */
static usher_result
list_conflicts(usher_fake *fake, struct fake_ask *ask, const struct fake_date *date, const uint32_t *seat, size_t count)
{
    usher_result result = USHER_OK;
    usher_refusal *refusal = &ask->refusal;

    for (size_t i = 0; i < count; i++) {
        const struct fake_reservation *reservation = fake_find_reservation(fake, date->reservation[seat[i] - 1]);
        usher_conflict *conflict;

        if (reservation == NULL ||
            (reservation->state == FAKE_RESERVATION_HELD && fake_same_user(&reservation->user, &ask->user)))
            continue;
        conflict = &refusal->conflict[refusal->conflict_count++];
        conflict->seat_no = seat[i];
        conflict->result = USHER_SOLD;
        if (reservation->state == FAKE_RESERVATION_HELD) {
            conflict->result = USHER_HELD;
            conflict->until_ms = reservation->until_ms;
        }
        if (result != USHER_SOLD)
            result = (usher_result)conflict->result;
    }
    for (size_t i = 0; result == USHER_HELD && i < refusal->conflict_count; i++)
        if (refusal->conflict[i].until_ms > refusal->until_ms)
            refusal->until_ms = refusal->conflict[i].until_ms;
    if (refusal->until_ms > fake->now_ms)
        refusal->retry_after_ms = refusal->until_ms - fake->now_ms;
    return result;
}

usher_result
fake_reserve(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    const usher_reserve_request *request = body;
    usher_reserve_reply *reply = answer;
    struct fake_date *date;
    uint32_t fresh = 0;
    usher_result result = fake_date_on_sale(fake, ask, request->concert_id, request->date_id, &date);

    if (result == USHER_OK)
        result = check_seats(date, request->seat, request->seat_count, &ask->refusal.detail);
    if (result != USHER_OK)
        return result;
    for (size_t i = 0; i < request->seat_count; i++) {
        const struct fake_reservation *reservation =
            fake_find_reservation(fake, date->reservation[request->seat[i] - 1]);
        fresh += reservation == NULL || !fake_same_user(&reservation->user, &ask->user);
    }
    if (seats_of_user(fake, date, &ask->user) + fresh > SEATS_PER_USER) {
        ask->refusal.detail = SEATS_PER_USER;
        return USHER_SEATS_PER_USER;
    }
    result = list_conflicts(fake, ask, date, request->seat, request->seat_count);
    if (result != USHER_OK)
        return result;
    reply->until_ms = UINT64_MAX;
    for (size_t i = 0; i < request->seat_count; i++) {
        uint64_t reservation_id = date->reservation[request->seat[i] - 1];
        usher_hold *hold = &reply->hold[reply->hold_count++];

        if (reservation_id == 0)
            reservation_id = hold_seat(fake, date, request->seat[i], &ask->user);
        describe_hold(fake, reservation_id, hold);
        if (hold->until_ms < reply->until_ms)
            reply->until_ms = hold->until_ms;
    }
    return USHER_OK;
}

/* The first seats that are free, or with `together` that are free side by side in a row: 0 if there are none. */
static uint32_t
find_best(const struct fake_date *date, uint32_t count, bool together, uint32_t seat[16])
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < date->seat_count && found < count; i++) {
        if (together && i % date->row.seats_per_row == 0)
            found = 0;
        if (date->reservation[i] == 0)
            seat[found++] = i + 1;
        else if (together)
            found = 0;
    }
    return found == count ? count : 0;
}

usher_result
fake_reserve_best(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    const usher_reserve_best_request *request = body;
    usher_reserve_best_reply *reply = answer;
    struct fake_date *date;
    usher_date_row now = {.date_id = 0};
    uint32_t seat[16];
    usher_result result = fake_date_on_sale(fake, ask, request->concert_id, request->date_id, &date);

    if (result != USHER_OK)
        return result;
    describe_date(fake, date, &now);
    if (now.free_count == 0)
        return now.held_count == 0 ? USHER_SOLD_OUT : USHER_ALL_HELD;
    if (request->count == 0)
        return USHER_SEATS_NONE;
    ask->refusal.detail = SEATS_PER_REQUEST;
    if (request->count > SEATS_PER_REQUEST)
        return USHER_SEATS_PER_REQUEST;
    ask->refusal.detail = SEATS_PER_USER;
    if (seats_of_user(fake, date, &ask->user) + request->count > SEATS_PER_USER)
        return USHER_SEATS_PER_USER;
    ask->refusal.detail = now.free_count;
    if (now.free_count < request->count || (request->grade != 0 && request->grade != USHER_GRADE_ANY))
        return USHER_NOT_ENOUGH_SEATS;
    if (find_best(date, request->count, request->together == USHER_FLAG_YES, seat) == 0)
        return USHER_NOT_TOGETHER;
    for (size_t i = 0; i < request->count; i++)
        describe_hold(fake, hold_seat(fake, date, seat[i], &ask->user), &reply->hold[reply->hold_count++]);
    reply->until_ms = reply->hold[0].until_ms;
    return USHER_OK;
}

usher_result
fake_release(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    const usher_release_request *request = body;
    usher_release_reply *reply = answer;

    if (request->reservation_count == 0)
        return USHER_SEATS_NONE;
    for (size_t i = 0; i < request->reservation_count; i++) {
        const struct fake_reservation *reservation = fake_find_reservation(fake, request->reservation[i]);

        if (reservation == NULL)
            return USHER_RESERVATION_NOT_FOUND;
        if (!fake_same_user(&reservation->user, &ask->user))
            return USHER_NOT_YOURS;
        if (reservation->payment_id != 0) {
            ask->refusal.detail = reservation->payment_id;
            return USHER_ALREADY_PAID;
        }
    }
    for (size_t i = 0; i < request->reservation_count; i++) {
        struct fake_reservation *reservation = fake_find_reservation(fake, request->reservation[i]);

        if (reservation->state != FAKE_RESERVATION_HELD)
            continue;
        fake_free_seat(fake, reservation, FAKE_RESERVATION_OVER);
        fake_emit_seat(fake, USHER_EVENT_SEAT_RELEASED, reservation);
        reply->released_count++;
    }
    return USHER_OK;
}

usher_result
fake_holds(usher_fake *fake, struct fake_ask *ask, const void *body, void *answer)
{
    usher_holds_reply *reply = answer;

    (void)body;
    for (uint64_t id = 1; id <= fake->reservations.count && reply->hold_count < 16; id++)
        if (fake->reservations.item[id - 1].state == FAKE_RESERVATION_HELD &&
            fake_same_user(&fake->reservations.item[id - 1].user, &ask->user))
            describe_hold(fake, id, &reply->hold[reply->hold_count++]);
    return USHER_OK;
}
