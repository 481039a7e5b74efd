/* test_with_fake.c: how an integrator tests its own code: does my shop charge a customer once, whatever the network
 * does?
 *
 *     cc test_with_fake.c $(pkg-config --cflags --libs usher-fake)
 *
 * sell_ticket() stands for your code. The fake house runs inside this program; each line of faults gets a house of its
 * own, and afterwards the house is asked what it did. */
#include <stdio.h>
#include <string.h>

#include <usher.h>
#include <usher_fake.h>

static int
was_fine(usher_status status, const usher_client *client)
{
    return status == USHER_STATUS_ANSWERED && usher_client_answer(client)->result == USHER_OK;
}

/* --- the code under test ----------------------------------------------------------------------------------- */
/* Sell a seat of concert 1, date 1: 1 when it is the customer's. The SDK repeats what was lost under the same request
 * id until the deadline; a payment that is in doubt even then is asked about by its id. */
static int
sell_ticket(usher_client *client, const usher_uuid *customer)
{
    usher_join_request join = {{{0}}, *customer, 1};
    usher_reserve_best_request best = {.concert_id = 1, .date_id = 1, .count = 1, .grade = USHER_GRADE_ANY};
    usher_charge_request charge = {.amount = 0};
    usher_pay_request pay = {.reservation_count = 1};
    usher_lookup_request ask = {.token_count = 0};
    usher_join_reply place;
    usher_reserve_best_reply held;
    usher_charge_reply charged;
    usher_pay_reply paid;
    usher_lookup_reply found;
    usher_status status;

    if (!was_fine(usher_join(client, &join, &place), client))
        return 0;
    best.token_count = charge.token_count = pay.token_count = ask.token_count = place.token_count;
    memcpy(best.token, place.token, place.token_count);
    memcpy(charge.token, place.token, place.token_count);
    memcpy(pay.token, place.token, place.token_count);
    memcpy(ask.token, place.token, place.token_count);
    if (!was_fine(usher_reserve_best(client, &best, &held), client))
        return 0;
    charge.amount = held.hold[0].price;
    if (!was_fine(usher_charge(client, &charge, &charged), client))
        return 0;
    usher_new_id(&pay.request_id);
    pay.reservation[0] = held.hold[0].reservation_id;
    usher_client_set_next_timeout(client, 200);
    status = usher_pay(client, &pay, &paid);
    if (status != USHER_STATUS_MAYBE_APPLIED)
        return was_fine(status, client);
    ask.request_id = pay.request_id;
    return was_fine(usher_lookup(client, &ask, &found), client) && found.result == USHER_OK;
}

/* --- its test ---------------------------------------------------------------------------------------------- */
static int
sells_once_under(const char *faults)
{
    usher_fake_options house = {.script = faults};
    usher_fake_figures did;
    usher_options options = {.timeout_ms = 5000};
    usher_secret key;
    usher_client *client;
    usher_uuid customer = {{1}};
    char why[160] = "";
    usher_fake *fake = usher_fake_start(&house, why, sizeof why);
    int sold;

    if (fake == NULL) {
        fprintf(stderr, "%s\n", why);
        return 0;
    }
    usher_key_make(&key); /* the house lets any key in */
    options.server = usher_fake_address(fake);
    options.secret = &key;
    sold = usher_client_open(&options, &client) == USHER_STATUS_ANSWERED && sell_ticket(client, &customer);
    usher_client_close(client);

    usher_fake_look(fake, &did);
    printf("%-34s sold %d, paid %d times, %d connections\n", faults, (int)did.seats_sold, (int)did.payments,
           (int)did.connections);
    sold = sold && did.seats_sold == 1 && did.payments == 1 && did.points == 0 && did.ledger_sum == 0 &&
           usher_fake_struck(fake, NULL) > 0;
    usher_fake_stop(fake);
    return sold;
}

int
main(void)
{
    static const char *const faults[] = {
        "pay#1: apply, lose reply, cut", /* the money is gone, the answer too */
        "pay#1: lose reply",             /* the same, and nobody says so: the lookup tells */
        "pay#1: cut",                    /* it never arrived */
        "reserve_best#1: cut 40",        /* half an answer */
        "charge#1: late 20, cut",        /* it arrives when it has been sent again already */
        "any#2: garble",                 /* an answer that was damaged on the way */
        "any: trickle",                  /* byte by byte */
        "after 700 bytes*1: reset",
    };
    int failed = 0;

    for (unsigned i = 0; i < sizeof faults / sizeof *faults; i++)
        if (!sells_once_under(faults[i])) {
            fprintf(stderr, "failed: %s\n", faults[i]);
            failed = 1;
        }
    return failed;
}
