/* bench_target_test.c: every job of the bench is done by a real usherd, through the asynchronous handles of the SDK. */
#include "tests/test.h"

#include <stdio.h>
#include <string.h>

#include "bench/common/drive.h"
#include "bench/common/house.h"
#include "bench/common/target_usher.h"

static const struct target_sizes sizes = {.users = 300, .waiting = 200, .dates = 40, .seats = 60, .hold_ms = 3600000,
                                          .price = 700};
static struct drive_figures figures;

static void
start(struct house *house)
{
    const char *const arguments[] = {"--map-size", "1073741824", NULL};
    const struct house_options options = {.usherd = USHERD_PATH, .connections = 16, .arguments = arguments};
    char why[512];

    if (!house_start(house, &options, why, sizeof why))
        fail_msg("%s", why);
}

struct seen {
    unsigned writes, others;
    int64_t charged;
};

static void
see(void *context, const struct heard *heard)
{
    struct seen *seen = context;

    seen->writes++;
    seen->others += heard->status != USHER_STATUS_ANSWERED || heard->result != USHER_OK ||
                    usher_id_is_zero(&heard->request_id) || usher_uuid_is_zero(&heard->user);
    if (heard->opcode == USHER_OPCODE_CHARGE)
        seen->charged = ((const usher_charge_reply *)heard->reply)->balance;
}

/* F4: nothing but usher.h, and each job a few hundred times over six connections with four in flight. */
static void
every_job_is_done_without_a_refusal(void **state)
{
    struct seen seen = {0};
    struct house house;
    char why[512];

    (void)state;
    start(&house);
    struct drive *drive = drive_open(&target_usher, &house, &sizes, 1, NULL, why, sizeof why);
    if (drive == NULL)
        fail_msg("%s", why);
    house.witness = see;
    house.witness_context = &seen;
    for (unsigned job = 0; job <= JOB_COUNT; job++) {
        struct drive_plan plan = {.shares = job < JOB_COUNT ? job_share_of((enum job)job) : job_share_mix,
                                  .tasks = 250,
                                  .connections = 6,
                                  .depth = 4};
        seen = (struct seen){0};
        if (!drive_run(drive, &plan, &figures, why, sizeof why))
            fail_msg("%s", why);
        assert_int_equal(figures.answered, 250);
        assert_int_equal(figures.faults, 0);
        if (job == JOB_COUNT)
            break;
        assert_int_equal(figures.done, 250);
        assert_int_equal(seen.others, 0);
        if (job_rows[job].writes)
            assert_true(seen.writes >= 250);
        else
            assert_int_equal(seen.writes, 0);
    }
    drive_close(drive);
    house_end(&house);
}

static void
an_open_loop_asks_at_its_rate(void **state)
{
    struct drive_plan plan = {.rate = 500, .time_ms = 400, .connections = 4, .depth = 8, .seed = 5};
    struct house house;
    char why[512];

    (void)state;
    start(&house);
    struct drive *drive = drive_open(&target_usher, &house, &sizes, 1, NULL, why, sizeof why);
    assert_non_null(drive);
    plan.shares = job_share_of(JOB_SEATS);
    assert_true(drive_run(drive, &plan, &figures, why, sizeof why));
    assert_true(figures.asked > 130 && figures.asked < 280); /* 200, give or take five standard deviations */
    assert_int_equal(figures.done, figures.asked);
    assert_int_equal(figures.intended.count, figures.asked);
    drive_close(drive);
    house_end(&house);
}

static void
a_house_that_does_not_start_says_why(void **state)
{
    const char *const arguments[] = {"--nonsense", NULL};
    struct house_options options = {.usherd = USHERD_PATH, .connections = 16, .arguments = arguments};
    struct house house;
    char why[512];

    (void)state;
    assert_false(house_start(&house, &options, why, sizeof why));
    assert_non_null(strstr(why, "nonsense"));
    options.folder = "/nowhere";
    assert_false(house_start(&house, &options, why, sizeof why));
    assert_non_null(strstr(why, "/nowhere"));
}

/* Request ids of one process never come twice, and later ones sort later by their first six bytes (M3). */
static void
request_ids_are_all_different(void **state)
{
    usher_id before = target_usher_id(), id;

    (void)state;
    for (unsigned i = 0; i < 100000; i++, before = id) {
        id = target_usher_id();
        assert_memory_not_equal(&id, &before, sizeof id);
        assert_true(memcmp(id.bytes, before.bytes, 6) >= 0);
        assert_true(memcmp(id.bytes + 12, before.bytes + 12, 4) > 0);
    }
}

static void
a_plan_has_exactly_its_seats(void **state)
{
    (void)state;
    for (uint32_t seats = 1; seats <= 65536; seats = seats * 3 / 2 + 1) {
        usher_put_plan_request plan;
        uint32_t count = 0;
        target_usher_plan(seats, &plan);
        for (unsigned i = 0; i < plan.section_count; i++)
            count += (uint32_t)plan.section[i].row_count * plan.section[i].seats_per_row;
        assert_int_equal(count, seats);
    }
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_is_done_without_a_refusal),
        cmocka_unit_test(an_open_loop_asks_at_its_rate),
        cmocka_unit_test(a_house_that_does_not_start_says_why),
        cmocka_unit_test(request_ids_are_all_different),
        cmocka_unit_test(a_plan_has_exactly_its_seats),
    };
    return usher_test_main(argc, argv, tests);
}
