/* control.c: what a test asks and orders while the house runs. Everything happens under the lock. */
#include <string.h>

#include "client-sdk/fake/src/server.h"

/* --- faults ------------------------------------------------------------------------------------------------ */
int
usher_fake_script(usher_fake *fake, const char *lines, char *why, size_t why_size)
{
    bool added;

    fake_lock(fake);
    added = fake_script_add(&fake->script, lines, why, why_size);
    fake_unlock(fake);
    return added;
}

void
usher_fake_script_clear(usher_fake *fake)
{
    fake_lock(fake);
    fake_script_clear(&fake->script);
    for (struct fake_link *link = fake->links; link != NULL; link = link->next)
        link->end_sent = link->end_received = UINT64_MAX; /* their lines are gone */
    fake_unlock(fake);
}

uint64_t
usher_fake_struck(usher_fake *fake, const char *selector)
{
    uint64_t struck = 0;

    fake_lock(fake);
    for (size_t i = 0; i < fake->script.count; i++)
        if (selector == NULL || strcmp(fake->script.rule[i].selector, selector) == 0)
            struck += fake->script.rule[i].struck;
    fake_unlock(fake);
    return struck;
}

uint64_t
usher_fake_struck_by(usher_fake *fake, const char *action)
{
    enum fake_action named = fake_action_named(action);
    uint64_t struck = UINT64_MAX;

    fake_lock(fake);
    if (named != FAKE_ACTION_COUNT)
        struck = fake->script.struck[named];
    fake_unlock(fake);
    return struck;
}

/* --- the house --------------------------------------------------------------------------------------------- */
void
usher_fake_advance(usher_fake *fake, uint64_t ms)
{
    fake_lock(fake);
    fake->now_ms += ms;
    fake_sweep(fake);
    fake_tell(fake, fake_clock_ms());
    fake_unlock(fake);
}

uint32_t
usher_fake_admit(usher_fake *fake, uint32_t queue_id, const usher_uuid *user, uint32_t count)
{
    uint32_t admitted = 0;

    fake_lock(fake);
    if (user != NULL)
        count = 1;
    for (size_t i = 0; i < fake->places.count && admitted < count; i++) {
        struct fake_place *place = &fake->places.item[i];

        if (place->queue_id != queue_id || place->state != USHER_PLACE_WAITING ||
            (user != NULL && !fake_same_user(&place->user, user)))
            continue;
        fake_admit(fake, place);
        admitted++;
    }
    fake_tell(fake, fake_clock_ms());
    fake_unlock(fake);
    return admitted;
}

void
usher_fake_set_client_key(usher_fake *fake, const usher_key *client_key)
{
    fake_lock(fake);
    fake->any_client = client_key == NULL;
    if (client_key != NULL)
        fake->client_key = *client_key;
    fake_unlock(fake);
}

void
usher_fake_set_role(usher_fake *fake, uint32_t role)
{
    fake_lock(fake);
    fake->options.role = role;
    fake_unlock(fake);
}

void
usher_fake_invite(usher_fake *fake, const usher_key *code_hash)
{
    fake_lock(fake);
    FAKE_ADD(&fake->enrolments)->code_hash = *code_hash;
    fake_unlock(fake);
}

void
usher_fake_go_away(usher_fake *fake, uint32_t drain_ms)
{
    const usher_going_away_push body = {.drain_ms = drain_ms, .reason = USHER_AWAY_STOP};

    fake_lock(fake);
    for (struct fake_link *link = fake->links; link != NULL; link = link->next)
        if (link->phase == FAKE_PHASE_READY && !link->over)
            fake_link_push(link, USHER_PUSH_GOING_AWAY, &body, fake_clock_ms());
    fake_unlock(fake);
}

uint32_t
usher_fake_cut(usher_fake *fake)
{
    uint32_t count = 0;

    fake_lock(fake);
    for (struct fake_link *link = fake->links; link != NULL; link = link->next) {
        if (link->over)
            continue;
        link->over = true;
        fake_forget_watches(link);
        count++;
    }
    fake_unlock(fake);
    return count;
}

/* --- what it did ------------------------------------------------------------------------------------------- */
static void
count_seats(usher_fake *fake, usher_fake_figures *figures)
{
    for (size_t i = 0; i < fake->options.date_count; i++)
        for (uint32_t seat = 0; seat < fake->date[i].seat_count; seat++) {
            const struct fake_reservation *reservation = fake_find_reservation(fake, fake->date[i].reservation[seat]);

            figures->seats_free += reservation == NULL;
            figures->seats_held += reservation != NULL && reservation->state == FAKE_RESERVATION_HELD;
            figures->seats_sold += reservation != NULL && reservation->state == FAKE_RESERVATION_PAID;
        }
}

void
usher_fake_look(usher_fake *fake, usher_fake_figures *figures)
{
    int64_t points = 0;

    fake_lock(fake);
    *figures = fake->figures;
    for (const struct fake_link *link = fake->links; link != NULL; link = link->next) {
        figures->connections_open += !link->over;
        figures->watches += link->watches.count;
    }
    count_seats(fake, figures);
    for (size_t i = 0; i < fake->accounts.count; i++)
        points += fake->accounts.item[i].balance;
    figures->payments = fake->payments.count;
    figures->refunds = fake->refund_count;
    figures->points = (uint64_t)points;
    figures->ledger_sum = points + fake->top_ups + fake->sales;
    figures->now_ms = fake->now_ms;
    fake_unlock(fake);
}

uint64_t
usher_fake_requests(usher_fake *fake, uint16_t opcode)
{
    size_t count;
    const usher_message *messages = usher_messages(&count);
    uint64_t requests = 0;

    fake_lock(fake);
    for (size_t i = 0; i < count; i++)
        if (messages[i].opcode == opcode)
            requests = fake->asked[i];
    fake_unlock(fake);
    return requests;
}

int
usher_fake_request_at(usher_fake *fake, size_t index, usher_fake_request *request)
{
    bool there;

    fake_lock(fake);
    there = index < fake->answers.count;
    if (there)
        *request = fake->answers.item[index].seen;
    fake_unlock(fake);
    return there;
}

uint32_t
usher_fake_applied(usher_fake *fake, const usher_id *request_id)
{
    uint32_t applied = 0;

    fake_lock(fake);
    for (size_t i = 0; i < fake->answers.count; i++)
        if (memcmp(&fake->answers.item[i].seen.request_id, request_id, sizeof *request_id) == 0)
            applied += fake->answers.item[i].seen.applied;
    fake_unlock(fake);
    return applied;
}

int64_t
usher_fake_balance(usher_fake *fake, const usher_uuid *user)
{
    int64_t balance = 0;

    fake_lock(fake);
    for (size_t i = 0; i < fake->accounts.count; i++)
        if (fake_same_user(&fake->accounts.item[i].user, user))
            balance = fake->accounts.item[i].balance;
    fake_unlock(fake);
    return balance;
}

usher_fake_seat
usher_fake_seat_of(usher_fake *fake, uint32_t concert_id, uint32_t date_id, uint32_t seat_no, usher_uuid *user)
{
    usher_fake_seat state = USHER_FAKE_SEAT_NONE;
    const struct fake_date *date;

    if (user != NULL)
        memset(user, 0, sizeof *user);
    fake_lock(fake);
    date = fake_find_date(fake, concert_id, date_id);
    if (date != NULL && seat_no > 0 && seat_no <= date->seat_count) {
        const struct fake_reservation *reservation = fake_find_reservation(fake, date->reservation[seat_no - 1]);

        state = reservation == NULL                           ? USHER_FAKE_SEAT_FREE
                : reservation->state == FAKE_RESERVATION_PAID ? USHER_FAKE_SEAT_SOLD
                                                              : USHER_FAKE_SEAT_HELD;
        if (reservation != NULL && user != NULL)
            *user = reservation->user;
    }
    fake_unlock(fake);
    return state;
}
