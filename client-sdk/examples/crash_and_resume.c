/* crash_and_resume.c: a purchase that outlives its program: killed at any moment and started again, it finds out what
 * was done and does the rest, once.
 *
 *     crash_and_resume ADDRESS KEY_FILE PLAN_FILE
 *
 * The key's role must be terminal or admin. The plan is the user and the id of each request, made up front and on the
 * disk before the first one is sent. A seat of concert 1, date 1 is bought; remove the plan to buy another. */
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <usher.h>

struct plan {
    usher_id user, reserve, charge, pay;
};

static void
give_up(const char *step, const char *why)
{
    fprintf(stderr, "%s: %s\n", step, why);
    exit(1);
}

static void
must(const char *step, usher_status status, usher_client *client)
{
    if (status != USHER_STATUS_ANSWERED || usher_client_answer(client)->result != USHER_OK)
        give_up(step, usher_client_error(client));
}

/* Make a plan and bring it to the disk, whole or not at all: a name of its own first, then the real one. */
static void
make_plan(const char *path, struct plan *plan)
{
    usher_id *id[] = {&plan->user, &plan->reserve, &plan->charge, &plan->pay};
    char new_path[4096], text[4 * USHER_UUID_TEXT_SIZE];
    int file, folder;

    for (unsigned i = 0; i < 4; i++) {
        usher_new_id(id[i]);
        usher_id_format(id[i], text + i * USHER_UUID_TEXT_SIZE);
        text[(i + 1) * USHER_UUID_TEXT_SIZE - 1] = '\n';
    }
    snprintf(new_path, sizeof new_path, "%s.new", path);
    file = open(new_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || write(file, text, sizeof text) != sizeof text || fsync(file) != 0 || close(file) != 0 ||
        rename(new_path, path) != 0)
        give_up(path, "it can't be written");
    folder = open(dirname(new_path), O_RDONLY | O_DIRECTORY); /* the name too must outlive a power cut */
    if (folder < 0 || fsync(folder) != 0 || close(folder) != 0)
        give_up(path, "its folder can't be written");
}

/* 1: read; 0: there is none. */
static int
read_plan(const char *path, struct plan *plan)
{
    usher_id *id[] = {&plan->user, &plan->reserve, &plan->charge, &plan->pay};
    char text[USHER_UUID_TEXT_SIZE];
    FILE *file = fopen(path, "r");

    if (file == NULL)
        return 0;
    for (unsigned i = 0; i < 4; i++)
        if (fscanf(file, "%36s", text) != 1 || !usher_id_parse(text, id[i]))
            give_up(path, "it is not a plan");
    fclose(file);
    return 1;
}

/* What a run before this one did: 1 and the payment when it was made. */
static int
was_paid(usher_client *client, const struct plan *plan, const usher_uuid *user, usher_pay_reply *paid)
{
    usher_lookup_request ask = {.user = *user, .request_id = plan->pay};
    usher_lookup_reply found;
    usher_status status = usher_lookup(client, &ask, &found);

    if (status == USHER_STATUS_ANSWERED && usher_client_answer(client)->result == USHER_REQUEST_NOT_FOUND)
        return 0; /* it never arrived: the same id is still good */
    must("lookup", status, client);
    return found.result == USHER_OK && usher_lookup_read(&found, paid, NULL);
}

/* Every step under the plan's id: what was done before is answered again, not done again (M3). */
static void
buy(usher_client *client, const struct plan *plan, const usher_uuid *user, usher_pay_reply *paid)
{
    usher_reserve_best_request best = {.request_id = plan->reserve,
                                       .user = *user,
                                       .concert_id = 1,
                                       .date_id = 1,
                                       .count = 1,
                                       .grade = USHER_GRADE_ANY};
    usher_charge_request charge = {.request_id = plan->charge, .user = *user};
    usher_pay_request pay = {.request_id = plan->pay, .user = *user, .reservation_count = 1};
    usher_reserve_best_reply held;
    usher_charge_reply charged;

    must("reserve", usher_reserve_best(client, &best, &held), client);
    charge.amount = held.hold[0].price;
    must("charge", usher_charge(client, &charge, &charged), client);
    pay.reservation[0] = held.hold[0].reservation_id;
    must("pay", usher_pay(client, &pay, paid), client);
}

int
main(int argc, char **argv)
{
    usher_options options = {.server = argc == 4 ? argv[1] : NULL, .key_file = argc == 4 ? argv[2] : NULL};
    usher_client *client;
    usher_pay_reply paid;
    usher_uuid user;
    struct plan plan;
    int resumed;

    if (argc != 4) {
        fprintf(stderr, "usage: crash_and_resume ADDRESS KEY_FILE PLAN_FILE\n");
        return 2;
    }
    resumed = read_plan(argv[3], &plan);
    if (!resumed)
        make_plan(argv[3], &plan);
    memcpy(user.bytes, plan.user.bytes, sizeof user.bytes);
    if (usher_client_open(&options, &client) != USHER_STATUS_ANSWERED)
        give_up(argv[1], usher_client_error(client));
    if (resumed && was_paid(client, &plan, &user, &paid)) {
        printf("it had been paid before\n");
    } else {
        if (resumed)
            printf("it had not been paid: going on\n");
        buy(client, &plan, &user, &paid);
    }
    printf("payment %" PRIu64 ": seat %" PRIu32 "\n", paid.payment_id, paid.seat[0].seat_no);
    usher_client_close(client);
    return 0;
}
