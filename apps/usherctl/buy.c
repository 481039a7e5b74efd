/* buy.c: the whole journey of one user, a line for each step (T1 to B1, M10).
 *
 *     concerts -> join -> wait -> dates -> seats -> hold -> charge what is missing -> pay -> check the ticket
 *
 * A wait in line is long, and a server may be stopped and started meanwhile: the place is kept, and so is the journey.
 * Each step is tried again under its own request id until a server answers. */
#include "ctl.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define AWAY_MS_MOST     120000 /* without a server before the journey is given up */
#define HISTORY_MS_MOST  1000   /* for the history to catch up with the payment */
#define HISTORY_PAUSE_MS 10
#define PAUSE_MS_LEAST   50
#define PAUSE_MS_MOST    1000

/* One purchase under way. */
struct journey {
    struct ctl *ctl;
    usher_uuid user;
    uint32_t concert_id, date_id, queue_id; /* concert and date: 0 until chosen */
    const char *seat_text;                  /* NULL for the best ones */
    uint64_t best_count;
    char title[96];
    uint16_t token_count;
    uint8_t token[512];
    usher_reserve_request seats; /* the seats that were asked for by number */
    uint16_t hold_count;
    usher_hold hold[16];
    usher_pay_reply paid;
};

/* In JSON the steps are not told, only the end. */
#define STEP(journey, ...) ((journey)->ctl->json ? (void)0 : (void)(printf(__VA_ARGS__), fflush(stdout)))

/* Put the journey's token into a request. */
#define WITH_TOKEN(journey, request)                                                                                   \
    ((request).token_count = (journey)->token_count,                                                                   \
     (void)memcpy((request).token, (journey)->token, (journey)->token_count))

/* --- patience ----------------------------------------------------------------------------------------- */
static void
pause_ms(uint64_t duration_ms)
{
    struct timespec pause = {.tv_sec = (time_t)(duration_ms / 1000), .tv_nsec = (long)(duration_ms % 1000) * 1000000};

    nanosleep(&pause, NULL);
}

static uint64_t
clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Whether what the last call met passes by itself: no server, one that is going away, one that can't just now. */
static bool
is_passing(const struct ctl *ctl)
{
    static const bool passing[] = {
        [USHER_STATUS_NOT_SENT] = true,
        [USHER_STATUS_MAYBE_APPLIED] = true, /* the same request under the same id finds what became of it */
        [USHER_STATUS_NO_ANSWER] = true,
    };
    usher_status status = ctl->last_status;

    if (status == USHER_STATUS_ANSWERED || status == USHER_STATUS_HELLO_REFUSED)
        return usher_client_answer(ctl->client)->retryable;
    return status < sizeof passing / sizeof *passing && passing[status];
}

/* As ctl_call(), but over a restart of the server. A command's request must have its id. */
static enum ctl_code
call(struct journey *journey, uint16_t opcode, const void *request, void *reply)
{
    struct ctl *ctl = journey->ctl;
    uint64_t begun_ms = clock_ms(), rest_ms = PAUSE_MS_LEAST;
    enum ctl_code code;

    while ((code = ctl_call_quietly(ctl, opcode, request, reply)) != CTL_OK) {
        if (!is_passing(ctl) || clock_ms() - begun_ms >= AWAY_MS_MOST) {
            ctl_complain(ctl, opcode);
            return code;
        }
        if (rest_ms == PAUSE_MS_LEAST)
            ctl_fail(ctl, code, "%s; trying again for %d s", usher_client_error(ctl->client), AWAY_MS_MOST / 1000);
        pause_ms(rest_ms);
        rest_ms = 2 * rest_ms < PAUSE_MS_MOST ? 2 * rest_ms : PAUSE_MS_MOST;
    }
    return CTL_OK;
}

/* --- joining and waiting ------------------------------------------------------------------------------ */
/* The concert that was named, or the next one after it is made the journey's. */
static enum ctl_code
find_concert(struct journey *journey, uint32_t after_concert_id, bool *found)
{
    usher_concerts_request request = {.after_concert_id = after_concert_id};
    usher_concerts_reply concerts;
    enum ctl_code code = call(journey, USHER_OPCODE_CONCERTS, &request, &concerts);

    *found = code == CTL_OK && concerts.concert_count > 0;
    if (!*found)
        return code;
    journey->concert_id = concerts.concert[0].concert_id;
    journey->queue_id = concerts.concert[0].queue_id;
    memcpy(journey->title, concerts.concert[0].title, sizeof journey->title);
    return CTL_OK;
}

static enum ctl_code
wait_for_turn(struct journey *journey, usher_place_reply *place)
{
    usher_place_request request = {.token_count = 0};
    enum ctl_code code = CTL_OK;
    uint64_t told_rank = 0;

    WITH_TOKEN(journey, request);
    while (code == CTL_OK && place->state == USHER_PLACE_WAITING) {
        if (!journey->ctl->json && place->rank != told_rank) {
            printf("waiting: ");
            ctl_show_place(place);
            fflush(stdout);
        }
        told_rank = place->rank;
        pause_ms(place->next_poll_ms);
        code = call(journey, USHER_OPCODE_PLACE, &request, place);
    }
    if (code == CTL_OK && place->state != USHER_PLACE_ACTIVE)
        return ctl_fail(journey->ctl, CTL_REFUSED, "the place in the queue is over; join again");
    return code;
}

static enum ctl_code
join_and_wait(struct journey *journey)
{
    usher_join_request request = {.user = journey->user, .queue_id = journey->queue_id};
    usher_join_reply joined;
    usher_place_reply place;
    char text[32];
    enum ctl_code code;

    usher_new_id(&request.request_id);
    code = call(journey, USHER_OPCODE_JOIN, &request, &joined);
    if (code != CTL_OK)
        return code;
    journey->token_count = joined.token_count;
    memcpy(journey->token, joined.token, joined.token_count);
    STEP(journey, "joined queue %" PRIu32 " at place %" PRIu64 "\n", joined.queue_id, joined.position);
    place = (usher_place_reply){.queue_id = joined.queue_id,
                                .state = joined.state,
                                .sale = joined.sale,
                                .position = joined.position,
                                .rank = joined.rank,
                                .estimate_ms = joined.estimate_ms,
                                .next_poll_ms = joined.next_poll_ms,
                                .until_ms = joined.until_ms};
    code = wait_for_turn(journey, &place);
    if (code == CTL_OK)
        STEP(journey, "admitted until %s\n", ctl_moment_format(place.until_ms, text));
    return code;
}

/* --- choosing ----------------------------------------------------------------------------------------- */
/* Find the date that was named, or the first that is on sale. */
static enum ctl_code
choose_date(struct journey *journey, bool *found)
{
    usher_dates_request request = {.concert_id = journey->concert_id, .all = USHER_FLAG_NO};
    usher_dates_reply dates;
    char text[32];

    WITH_TOKEN(journey, request);
    *found = false;
    do {
        enum ctl_code code = call(journey, USHER_OPCODE_DATES, &request, &dates);
        if (code != CTL_OK)
            return code;
        for (uint16_t i = 0; i < dates.date_count; i++) {
            const usher_date_row *date = &dates.date[i];
            request.after_date_id = date->date_id;
            if (journey->date_id != 0 ? date->date_id != journey->date_id : date->free_count == 0)
                continue;
            journey->date_id = date->date_id;
            *found = true;
            STEP(journey, "date %" PRIu32 " at %s, %" PRIu32 " of %" PRIu32 " seats free, from %" PRId64 " points\n",
                 date->date_id, ctl_moment_format(date->starts_at_ms, text), date->free_count, date->seat_count,
                 date->price_least);
            return CTL_OK;
        }
    } while (dates.more);
    return CTL_OK;
}

/* A concert that was named must have its date; otherwise concerts are tried one after another. */
static enum ctl_code
choose_concert_and_date(struct journey *journey)
{
    bool named = journey->concert_id != 0, found, dated;
    uint32_t after = named ? journey->concert_id - 1 : 0, wanted = journey->concert_id;

    for (;;) {
        enum ctl_code code = find_concert(journey, after, &found);
        if (code != CTL_OK)
            return code;
        if (!found || (named && journey->concert_id != wanted))
            return ctl_fail(journey->ctl, CTL_REFUSED,
                            named ? "there is no concert %" PRIu32 : "no concert has a date on sale with a free seat",
                            wanted);
        STEP(journey, "concert %" PRIu32 ": %s\n", journey->concert_id, journey->title);
        code = join_and_wait(journey);
        if (code == CTL_OK)
            code = choose_date(journey, &dated);
        if (code != CTL_OK || dated)
            return code;
        if (named)
            return ctl_fail(journey->ctl, CTL_REFUSED, "concert %" PRIu32 " has no such date on sale with a free seat",
                            wanted);
        after = journey->concert_id;
    }
}

/* --- holding ------------------------------------------------------------------------------------------ */
static enum ctl_code
hold_named(struct journey *journey)
{
    usher_reserve_reply reply;
    enum ctl_code code;

    usher_new_id(&journey->seats.request_id);
    WITH_TOKEN(journey, journey->seats);
    journey->seats.concert_id = journey->concert_id;
    journey->seats.date_id = journey->date_id;
    code = call(journey, USHER_OPCODE_RESERVE, &journey->seats, &reply);
    if (code == CTL_OK) {
        journey->hold_count = reply.hold_count;
        memcpy(journey->hold, reply.hold, sizeof journey->hold);
    }
    return code;
}

static enum ctl_code
hold_best(struct journey *journey)
{
    usher_reserve_best_request request = {.concert_id = journey->concert_id,
                                          .date_id = journey->date_id,
                                          .count = (uint8_t)journey->best_count,
                                          .grade = USHER_GRADE_ANY};
    usher_reserve_best_reply reply;
    enum ctl_code code;

    usher_new_id(&request.request_id);
    WITH_TOKEN(journey, request);
    code = call(journey, USHER_OPCODE_RESERVE_BEST, &request, &reply);
    if (code == CTL_OK) {
        journey->hold_count = reply.hold_count;
        memcpy(journey->hold, reply.hold, sizeof journey->hold);
    }
    return code;
}

static enum ctl_code
hold_seats(struct journey *journey)
{
    enum ctl_code code = journey->seat_text != NULL ? hold_named(journey) : hold_best(journey);
    char text[32];

    for (uint16_t i = 0; code == CTL_OK && i < journey->hold_count; i++)
        STEP(journey, "holding seat %" PRIu32 " for %" PRId64 " points until %s\n", journey->hold[i].seat_no,
             journey->hold[i].price, ctl_moment_format(journey->hold[i].until_ms, text));
    return code;
}

/* --- paying ------------------------------------------------------------------------------------------- */
static enum ctl_code
charge_what_is_missing(struct journey *journey)
{
    usher_balance_request ask = {.token_count = 0};
    usher_balance_reply balance;
    usher_charge_request charge = {.amount = 0};
    usher_charge_reply charged;
    enum ctl_code code;

    WITH_TOKEN(journey, ask);
    usher_new_id(&charge.request_id);
    WITH_TOKEN(journey, charge);
    code = call(journey, USHER_OPCODE_BALANCE, &ask, &balance);
    if (code != CTL_OK)
        return code;
    charge.amount = -balance.balance;
    for (uint16_t i = 0; i < journey->hold_count; i++)
        charge.amount += journey->hold[i].price;
    if (charge.amount <= 0) {
        STEP(journey, "the balance of %" PRId64 " points will do\n", balance.balance);
        return CTL_OK;
    }
    code = call(journey, USHER_OPCODE_CHARGE, &charge, &charged);
    if (code == CTL_OK)
        STEP(journey, "charged %" PRId64 " points\n", charge.amount);
    return code;
}

static enum ctl_code
pay(struct journey *journey)
{
    usher_pay_request request = {.reservation_count = journey->hold_count};
    enum ctl_code code;

    usher_new_id(&request.request_id);
    WITH_TOKEN(journey, request);
    for (uint16_t i = 0; i < journey->hold_count; i++)
        request.reservation[i] = journey->hold[i].reservation_id;
    code = call(journey, USHER_OPCODE_PAY, &request, &journey->paid);
    if (code == CTL_OK)
        STEP(journey, "paid %" PRId64 " points, %" PRId64 " are left\n", journey->paid.amount, journey->paid.balance);
    return code;
}

static enum ctl_code
check_ticket(struct journey *journey)
{
    const usher_pay_reply *paid = &journey->paid;
    usher_ticket ticket;
    char text[2048];

    if (usher_ticket_verify(usher_client_server_key(journey->ctl->client), paid->receipt, paid->receipt_count,
                            &ticket) != USHER_VERDICT_GENUINE)
        return ctl_fail(journey->ctl, CTL_UNANSWERED, "payment %" PRIu64 " brought a ticket that is not genuine",
                        paid->payment_id);
    if (journey->ctl->json) {
        json_t *answer = ctl_json_answer(journey->ctl, USHER_OPCODE_PAY, USHER_STATUS_ANSWERED);
        json_object_set_new(answer, "reply", ctl_json_body(usher_message_of(USHER_OPCODE_PAY)->reply, paid));
        json_object_set_new(answer, "ticket", json_string("genuine"));
        ctl_print_json(answer);
        return CTL_OK;
    }
    printf("the ticket is genuine, checked with the service's key alone:\n");
    ctl_show_ticket(&ticket);
    usher_base64_format(paid->receipt, paid->receipt_count, text, sizeof text);
    printf("%s\n", text);
    return CTL_OK;
}

/* --- afterwards --------------------------------------------------------------------------------------- */
/* B2: the history follows the payment by a moment: whoever asks for it next shall find it there. Whatever comes of
 * this, the purchase stands. */
static enum ctl_code
see_history(struct journey *journey)
{
    const struct timespec pause = {.tv_nsec = HISTORY_PAUSE_MS * 1000000};
    usher_history_request ask = {.token_count = 0};
    usher_history_reply reply;

    WITH_TOKEN(journey, ask);
    for (unsigned waited_ms = 0; waited_ms < HISTORY_MS_MOST;) {
        if (ctl_call_quietly(journey->ctl, USHER_OPCODE_HISTORY, &ask, &reply) != CTL_OK)
            break;
        for (uint16_t i = 0; i < reply.row_count; i++) {
            if (reply.row[i].payment_id == journey->paid.payment_id)
                return CTL_OK;
            ask.after_event_no = reply.row[i].event_no;
        }
        if (reply.more)
            continue;
        nanosleep(&pause, NULL);
        waited_ms += HISTORY_PAUSE_MS;
    }
    STEP(journey, "the history will show it a little later\n");
    return CTL_OK;
}

/* --- the command -------------------------------------------------------------------------------------- */
static bool
take_number(struct ctl *ctl, const char *name, const char *text, uint64_t most, uint64_t *value)
{
    if (text == NULL || ctl_number_parse(text, 1, most, value))
        return true;
    ctl_fail(ctl, CTL_USAGE, "--%s: \"%s\" is not a number from 1 to %" PRIu64, name, text, most);
    return false;
}

static bool
take_arguments(struct journey *journey, struct ctl_words *words)
{
    struct ctl *ctl = journey->ctl;
    const char *user = ctl_take_option(words, "user");
    const char *concert = ctl_take_option(words, "concert");
    const char *date = ctl_take_option(words, "date");
    const char *best = ctl_take_option(words, "best");
    uint64_t concert_id = 0, date_id = 0;
    char why[320];

    journey->seat_text = ctl_take_option(words, "seat");
    if (ctl_has_leftovers(ctl, *words))
        return false;
    if (user == NULL || !usher_uuid_parse(user, &journey->user)) {
        ctl_fail(ctl, CTL_USAGE, user == NULL ? "--user is missing" : "--user: \"%s\" is not a UUID", user);
        return false;
    }
    if (journey->seat_text != NULL && best != NULL) {
        ctl_fail(ctl, CTL_USAGE, "--seat and --best exclude each other");
        return false;
    }
    if (!take_number(ctl, "concert", concert, UINT32_MAX, &concert_id) ||
        !take_number(ctl, "date", date, UINT32_MAX, &date_id) ||
        !take_number(ctl, "best", best, 16, &journey->best_count))
        return false;
    if (date_id != 0 && concert_id == 0) {
        ctl_fail(ctl, CTL_USAGE, "--date needs --concert: dates count within their concert");
        return false;
    }
    if (journey->seat_text != NULL && !ctl_set_field(usher_message_of(USHER_OPCODE_RESERVE)->request, &journey->seats,
                                                     "seat", journey->seat_text, NULL, NULL, why, sizeof why)) {
        ctl_fail(ctl, CTL_USAGE, "%s", why);
        return false;
    }
    journey->concert_id = (uint32_t)concert_id;
    journey->date_id = (uint32_t)date_id;
    return true;
}

enum ctl_code
ctl_buy(struct ctl *ctl, struct ctl_words words)
{
    static enum ctl_code (*const steps[])(struct journey *) = {
        choose_concert_and_date, hold_seats, charge_what_is_missing, pay, check_ticket, see_history,
    };
    struct journey journey = {.ctl = ctl, .best_count = 1};
    enum ctl_code code;

    if (!take_arguments(&journey, &words))
        return CTL_USAGE;
    code = ctl_connect(ctl);
    for (size_t i = 0; code == CTL_OK && i < sizeof steps / sizeof *steps; i++)
        code = steps[i](&journey);
    return code;
}
