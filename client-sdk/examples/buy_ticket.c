/* buy_ticket.c: from nothing to a ticket: join, wait, choose, hold, charge, pay, check.
 *
 *     buy_ticket ADDRESS KEY_FILE
 *
 * The key's role must be gateway, terminal or admin. A made-up user buys the best seat of the first date on sale. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <usher.h>

/* Every step has the same two questions: was there an answer, and was it yes? */
static void
must(const char *step, usher_status status, usher_client *client)
{
    if (status == USHER_STATUS_ANSWERED && usher_client_answer(client)->result == USHER_OK)
        return;
    fprintf(stderr, "%s: %s\n", step, usher_client_error(client));
    exit(1);
}

/* Take a place and poll until it is ours to go in. */
static usher_join_reply
get_in(usher_client *client, const usher_uuid *user, uint32_t queue_id)
{
    usher_join_request join = {.user = *user, .queue_id = queue_id};
    usher_join_reply place;
    usher_place_request ask = {.token_count = 0};
    usher_place_reply now;

    must("join", usher_join(client, &join, &place), client);
    ask.token_count = place.token_count;
    memcpy(ask.token, place.token, place.token_count);
    for (now.state = place.state, now.next_poll_ms = place.next_poll_ms; now.state == USHER_PLACE_WAITING;) {
        struct timespec pause = {.tv_sec = (time_t)(now.next_poll_ms / 1000),
                                 .tv_nsec = (long)(now.next_poll_ms % 1000) * 1000000};
        nanosleep(&pause, NULL);
        must("place", usher_place(client, &ask, &now), client);
        printf("rank %" PRIu64 "\n", now.rank);
    }
    return place;
}

/* Hold the best seat of the concert's first date on sale, pay for it, and check the ticket as the gate does. */
static void
buy_seat(usher_client *client, uint32_t concert_id, const usher_join_reply *place)
{
    usher_dates_request when = {.concert_id = concert_id, .token_count = place->token_count};
    usher_reserve_best_request best = {.concert_id = concert_id, .count = 1, .grade = USHER_GRADE_ANY};
    usher_charge_request charge = {.token_count = place->token_count};
    usher_pay_request pay = {.reservation_count = 1, .token_count = place->token_count};
    usher_dates_reply dates;
    usher_reserve_best_reply held;
    usher_charge_reply charged;
    usher_pay_reply paid;
    usher_ticket ticket;

    memcpy(when.token, place->token, place->token_count);
    must("dates", usher_dates(client, &when, &dates), client);
    if (dates.date_count == 0) {
        fprintf(stderr, "no date is on sale\n");
        exit(1);
    }

    best.date_id = dates.date[0].date_id;
    best.token_count = place->token_count;
    memcpy(best.token, place->token, place->token_count);
    must("reserve", usher_reserve_best(client, &best, &held), client);
    printf("seat %" PRIu32 " for %" PRId64 "\n", held.hold[0].seat_no, held.hold[0].price);

    charge.amount = held.hold[0].price;
    memcpy(charge.token, place->token, place->token_count);
    if (charge.amount > 0)
        must("charge", usher_charge(client, &charge, &charged), client);

    pay.reservation[0] = held.hold[0].reservation_id;
    memcpy(pay.token, place->token, place->token_count);
    must("pay", usher_pay(client, &pay, &paid), client);

    if (usher_ticket_verify(usher_client_server_key(client), paid.receipt, paid.receipt_count, &ticket) !=
        USHER_VERDICT_GENUINE) {
        fprintf(stderr, "the ticket is not genuine\n");
        exit(1);
    }
    printf("ticket of payment %" PRIu64 ": concert %" PRIu32 ", date %" PRIu32 ", seat %" PRIu32 "\n",
           ticket.payment_id, ticket.seat[0].concert_id, ticket.seat[0].date_id, ticket.seat[0].seat_no);
}

int
main(int argc, char **argv)
{
    usher_options options = {.server = argc == 3 ? argv[1] : NULL, .key_file = argc == 3 ? argv[2] : NULL};
    usher_concerts_request all = {.after_concert_id = 0};
    usher_concerts_reply concerts;
    usher_join_reply place;
    usher_client *client;
    usher_uuid user;
    usher_id random;

    if (argc != 3) {
        fprintf(stderr, "usage: buy_ticket ADDRESS KEY_FILE\n");
        return 2;
    }
    if (usher_client_open(&options, &client) != USHER_STATUS_ANSWERED) {
        fprintf(stderr, "%s\n", usher_client_error(client));
        return 1;
    }
    must("concerts", usher_concerts(client, &all, &concerts), client);
    if (concerts.concert_count == 0) {
        fprintf(stderr, "there is no concert\n");
        return 1;
    }

    usher_new_id(&random);
    memcpy(user.bytes, random.bytes, sizeof user.bytes);
    place = get_in(client, &user, concerts.concert[0].queue_id);
    buy_seat(client, concerts.concert[0].concert_id, &place);
    usher_client_close(client);
    return 0;
}
