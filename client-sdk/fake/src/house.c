/* house.c: the house's tables, its clock and its events. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client-sdk/fake/src/fake.h"
#include "client-sdk/fake/src/link.h"

#define DAY_MS     86400000u
#define SEATS_MOST 16384u /* of a date: one reply to SEATS shows them all */

static const usher_fake_date usual_date = {
    .concert_id = 1, .date_id = 1, .queue_id = 1, .row_count = 5, .seats_per_row = 10, .price = 2500};

void *
fake_grow(void *items, size_t count, size_t *room, size_t size)
{
    if (count == *room) {
        *room = *room == 0 ? 16 : 2 * *room;
        items = realloc(items, *room * size);
        if (items == NULL)
            abort();
    }
    memset((char *)items + count * size, 0, size);
    return items;
}

/* --- making a house -------------------------------------------------------------------------------------- */
static bool
say(char *why, size_t why_size, const char *text)
{
    if (why != NULL && why_size > 0)
        snprintf(why, why_size, "%s", text);
    return false;
}

static bool
date_is_sound(const usher_fake_date *row)
{
    uint32_t seats = (uint32_t)row->row_count * row->seats_per_row;

    return row->concert_id > 0 && row->date_id > 0 && seats > 0 && seats <= SEATS_MOST && row->price >= 0 &&
           row->price <= USHER_POINTS_MAX && (row->title == NULL || strlen(row->title) < 96) &&
           (row->venue == NULL || strlen(row->venue) < 64);
}

static bool
options_are_sound(const usher_fake_options *options, char *why, size_t why_size)
{
    static const uint64_t zero[4] = {0};

    if (options->dates == NULL && options->date_count > 0)
        return say(why, why_size, "options.dates is NULL and options.date_count is not 0");
    for (size_t i = 0; i < options->date_count; i++) {
        if (!date_is_sound(&options->dates[i]))
            return say(why, why_size, "a date's ids, rows, price or texts can't be right");
        for (size_t k = 0; k < i; k++)
            if (options->dates[k].concert_id == options->dates[i].concert_id &&
                options->dates[k].date_id == options->dates[i].date_id)
                return say(why, why_size, "two dates have the same ids");
    }
    if (options->role > USHER_ROLE_OBSERVER)
        return say(why, why_size, "options.role is no role");
    if (options->client_name != NULL && strlen(options->client_name) >= 32)
        return say(why, why_size, "options.client_name is longer than 31 bytes");
    if (memcmp(options->reserved, zero, sizeof zero) != 0)
        return say(why, why_size, "options.reserved is not zero");
    return true;
}

/* The queue in front of a concert is that of its first date. */
static uint32_t
queue_of(const usher_fake *fake, const usher_fake_date *row)
{
    for (size_t i = 0; i < fake->options.date_count; i++)
        if (fake->date[i].row.concert_id == row->concert_id)
            return fake->date[i].row.queue_id;
    return row->queue_id;
}

static void
make_date(usher_fake *fake, struct fake_date *date, const usher_fake_date *row)
{
    date->row = *row;
    date->row.queue_id = queue_of(fake, row);
    date->seat_count = (uint32_t)row->row_count * row->seats_per_row;
    date->reservation = calloc(date->seat_count, sizeof *date->reservation);
    if (date->reservation == NULL)
        abort();
    date->version = 1;
    if (row->starts_at_ms == 0)
        date->row.starts_at_ms = fake->now_ms + 30ull * DAY_MS;
    snprintf(date->title, sizeof date->title, "%s", row->title != NULL ? row->title : "Concert");
    snprintf(date->venue, sizeof date->venue, "%s", row->venue != NULL ? row->venue : "Hall");
}

static void
make_keys(usher_fake *fake)
{
    static const char label[] = "usher-fake-key";
    uint8_t seed[crypto_sign_SEEDBYTES];
    crypto_generichash_state state;

    crypto_generichash_init(&state, NULL, 0, sizeof seed);
    crypto_generichash_update(&state, (const uint8_t *)label, sizeof label);
    crypto_generichash_update(&state, (const uint8_t *)&fake->options.key_no, sizeof fake->options.key_no);
    crypto_generichash_final(&state, seed, sizeof seed);
    crypto_sign_seed_keypair(fake->server_key.bytes, fake->server_secret, seed);
}

usher_fake *
fake_make(const usher_fake_options *options, char *why, size_t why_size)
{
    static const usher_fake_options none = {.date_count = 0};
    usher_fake *fake;
    size_t message_count;

    if (options == NULL)
        options = &none;
    if (sodium_init() < 0) {
        say(why, why_size, "libsodium can't be used");
        return NULL;
    }
    if (!options_are_sound(options, why, why_size))
        return NULL;
    usher_messages(&message_count);
    fake = calloc(1, sizeof *fake);
    if (fake == NULL || (fake->asked = calloc(message_count, sizeof *fake->asked)) == NULL)
        abort();
    if (options->script != NULL && !fake_script_add(&fake->script, options->script, why, why_size)) {
        fake_free(fake);
        return NULL;
    }
    fake->options = *options;
    fake->any_client = options->client_key == NULL;
    if (!fake->any_client)
        fake->client_key = *options->client_key;
    snprintf(fake->client_name, sizeof fake->client_name, "%s",
             options->client_name != NULL ? options->client_name : "fake client");
    fake->options.client_id = options->client_id != 0 ? options->client_id : 1;
    fake->options.role = options->role != 0 ? options->role : USHER_ROLE_GATEWAY;
    fake->options.hold_ms = options->hold_ms != 0 ? options->hold_ms : 300000;
    fake->options.in_flight_max = options->in_flight_max != 0 ? options->in_flight_max : 128;
    fake->now_ms = options->begins_ms != 0 ? options->begins_ms : 1700000000000;
    if (options->dates == NULL) {
        fake->options.dates = &usual_date;
        fake->options.date_count = 1;
    }
    fake->date = calloc(fake->options.date_count, sizeof *fake->date);
    if (fake->date == NULL)
        abort();
    for (size_t i = 0; i < fake->options.date_count; i++)
        make_date(fake, &fake->date[i], &fake->options.dates[i]);
    make_keys(fake);
    return fake;
}

void
fake_free(usher_fake *fake)
{
    while (fake->links != NULL)
        fake_link_close(fake->links);
    for (size_t i = 0; fake->date != NULL && i < fake->options.date_count; i++)
        free(fake->date[i].reservation);
    for (size_t i = 0; i < fake->answers.count; i++)
        free(fake->answers.item[i].body);
    for (size_t i = 0; i < fake->late.count; i++)
        free(fake->late.item[i].bytes);
    fake_script_clear(&fake->script);
    free(fake->date);
    free(fake->places.item);
    free(fake->reservations.item);
    free(fake->payments.item);
    free(fake->accounts.item);
    free(fake->history.item);
    free(fake->events.item);
    free(fake->consumers.item);
    free(fake->answers.item);
    free(fake->enrolments.item);
    free(fake->late.item);
    free(fake->asked);
    sodium_memzero(fake->server_secret, sizeof fake->server_secret);
    free(fake);
}

/* --- finding ----------------------------------------------------------------------------------------------- */
struct fake_date *
fake_find_date(usher_fake *fake, uint32_t concert_id, uint32_t date_id)
{
    for (size_t i = 0; i < fake->options.date_count; i++)
        if (fake->date[i].row.concert_id == concert_id && fake->date[i].row.date_id == date_id)
            return &fake->date[i];
    return NULL;
}

bool
fake_has_concert(const usher_fake *fake, uint32_t concert_id)
{
    for (size_t i = 0; i < fake->options.date_count; i++)
        if (fake->date[i].row.concert_id == concert_id)
            return true;
    return false;
}

bool
fake_has_queue(const usher_fake *fake, uint32_t queue_id)
{
    for (size_t i = 0; i < fake->options.date_count; i++)
        if (fake->date[i].row.queue_id == queue_id)
            return true;
    return false;
}

struct fake_reservation *
fake_find_reservation(usher_fake *fake, uint64_t reservation_id)
{
    return reservation_id > 0 && reservation_id <= fake->reservations.count
               ? &fake->reservations.item[reservation_id - 1]
               : NULL;
}

bool
fake_same_user(const usher_uuid *a, const usher_uuid *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

bool
fake_no_user(const usher_uuid *user)
{
    return sodium_is_zero(user->bytes, sizeof user->bytes);
}

struct fake_account *
fake_account_of(usher_fake *fake, const usher_uuid *user)
{
    struct fake_account *account;

    for (size_t i = 0; i < fake->accounts.count; i++)
        if (fake_same_user(&fake->accounts.item[i].user, user))
            return &fake->accounts.item[i];
    account = FAKE_ADD(&fake->accounts);
    account->user = *user;
    return account;
}

/* --- events and holds -------------------------------------------------------------------------------------- */
usher_event *
fake_emit(usher_fake *fake, usher_event_kind kind, const usher_uuid *user)
{
    usher_event *event = FAKE_ADD(&fake->events);

    event->event_no = fake->events.count;
    event->at_ms = fake->now_ms;
    event->kind = (uint8_t)kind;
    event->user = *user;
    return event;
}

usher_event *
fake_emit_seat(usher_fake *fake, usher_event_kind kind, const struct fake_reservation *reservation)
{
    usher_event *event = fake_emit(fake, kind, &reservation->user);

    event->queue_id = reservation->date->row.queue_id;
    event->concert_id = reservation->date->row.concert_id;
    event->date_id = reservation->date->row.date_id;
    event->seat_no = reservation->seat_no;
    event->reservation_id = (uint64_t)(reservation - fake->reservations.item) + 1;
    event->payment_id = reservation->payment_id;
    event->amount = reservation->price;
    return event;
}

void
fake_free_seat(usher_fake *fake, struct fake_reservation *reservation, enum fake_reservation_state state)
{
    (void)fake;
    reservation->state = state;
    reservation->date->reservation[reservation->seat_no - 1] = 0;
    reservation->date->version++;
}

void
fake_sweep(usher_fake *fake)
{
    for (size_t i = 0; i < fake->reservations.count; i++) {
        struct fake_reservation *reservation = &fake->reservations.item[i];

        if (reservation->state != FAKE_RESERVATION_HELD || reservation->until_ms > fake->now_ms)
            continue;
        fake_free_seat(fake, reservation, FAKE_RESERVATION_OVER);
        fake_emit_seat(fake, USHER_EVENT_HOLD_EXPIRED, reservation);
    }
}

uint64_t
fake_unsold(const usher_fake *fake, uint32_t queue_id)
{
    uint64_t unsold = 0;

    for (size_t i = 0; i < fake->options.date_count; i++) {
        const struct fake_date *date = &fake->date[i];

        for (uint32_t seat = 0; date->row.queue_id == queue_id && seat < date->seat_count; seat++)
            unsold += date->reservation[seat] == 0 ||
                      fake->reservations.item[date->reservation[seat] - 1].state != FAKE_RESERVATION_PAID;
    }
    return unsold;
}
