/* bench_check_test.c: the check after a run of the bench can fail: events that can't be, figures that do not add up, and
 * acknowledgements of what is not there are each found, and by the rule that they break. */
#include "tests/test.h"

#include <stdlib.h>
#include <string.h>

#include "bench/check/check.h"
#include "bench/check/table.h"
#include "bench/common/drive.h"
#include "bench/common/target_usher.h"

#define ANN "\xaa"
#define BOB "\xbb"

static usher_uuid
user_of(const char *name)
{
    usher_uuid user;

    memset(user.bytes, (unsigned char)name[0], sizeof user.bytes);
    return user;
}

/* A small house: ann joins and is admitted, holds seat 7, charges and pays; bob joins, is admitted and holds seat 8. */
static const struct story {
    uint8_t kind;
    const char *user;
    uint64_t position, reservation_id, payment_id;
    uint32_t seat_no;
    int64_t amount;
} story[] = {
    {USHER_EVENT_JOINED, ANN, 1, 0, 0, 0, 0},     {USHER_EVENT_JOINED, BOB, 2, 0, 0, 0, 0},
    {USHER_EVENT_ADMITTED, ANN, 1, 0, 0, 0, 0},   {USHER_EVENT_ADMITTED, BOB, 2, 0, 0, 0, 0},
    {USHER_EVENT_SEAT_HELD, ANN, 0, 11, 0, 7, 0}, {USHER_EVENT_CHARGED, ANN, 0, 0, 0, 0, 700},
    {USHER_EVENT_SEAT_SOLD, ANN, 0, 11, 5, 7, 0}, {USHER_EVENT_PAID, ANN, 0, 0, 5, 0, 700},
    {USHER_EVENT_SEAT_HELD, BOB, 0, 12, 0, 8, 0},
};
#define STORY_COUNT (sizeof story / sizeof *story)

static usher_event
event_of(const struct story *line, uint64_t event_no)
{
    usher_event event = {.event_no = event_no,
                         .kind = line->kind,
                         .user = user_of(line->user),
                         .position = line->position,
                         .concert_id = line->seat_no != 0,
                         .date_id = line->seat_no != 0,
                         .seat_no = line->seat_no,
                         .reservation_id = line->reservation_id,
                         .payment_id = line->payment_id,
                         .amount = line->amount};

    return event;
}

static const struct claim *
claims_of_story(size_t *count)
{
    static struct claim claims[6];

    claims[0] = (struct claim){.user = user_of(ANN), .opcode = USHER_OPCODE_JOIN, .number = 1};
    claims[1] = (struct claim){.user = user_of(BOB), .opcode = USHER_OPCODE_JOIN, .number = 2};
    claims[2] = (struct claim){.user = user_of(ANN), .opcode = USHER_OPCODE_RESERVE, .number = 11, .amount = 7};
    claims[3] = (struct claim){.user = user_of(ANN), .opcode = USHER_OPCODE_CHARGE, .number = 1};
    claims[4] = (struct claim){.user = user_of(ANN), .opcode = USHER_OPCODE_PAY, .number = 5, .amount = 700};
    claims[5] = (struct claim){.user = user_of(BOB), .opcode = USHER_OPCODE_RESERVE, .number = 12, .amount = 8};
    *count = 6;
    return claims;
}

static usher_info_reply
info_of_story(void)
{
    return (usher_info_reply){.seat_count = 50,
                              .sold_count = 1,
                              .hold_count = 1,
                              .payment_count = 1,
                              .top_ups = -700,
                              .sales = 700,
                              .last_event_no = STORY_COUNT};
}

/* The story with one line in place of another (at STORY_COUNT: behind the last), figures and claims as they are. */
static struct check *
told(size_t at, const struct story *line)
{
    struct check *check = check_make();
    usher_info_reply info = info_of_story();
    size_t count;
    const struct claim *claims = claims_of_story(&count);

    for (size_t i = 0; i < STORY_COUNT + (at == STORY_COUNT); i++) {
        usher_event event = event_of(i == at ? line : &story[i], i + 1);
        check_event(check, &event);
    }
    info.last_event_no += at == STORY_COUNT;
    check_info(check, &info);
    for (size_t i = 0; i < count; i++)
        check_claim(check, &claims[i]);
    check_finish(check);
    return check;
}

static void
assert_fails(struct check *check, enum check_name name)
{
    assert_false(check_passed(check));
    if (check_failed(check, name) == 0)
        fail_msg("%s was not what failed", check_rows[name].name);
    assert_true(check_example(check, name)[0] != 0);
    check_free(check);
}

static void
a_house_that_was_right_passes(void **state)
{
    struct check *check = told(SIZE_MAX, NULL);

    (void)state;
    for (unsigned name = 0; name < CHECK_COUNT; name++)
        if (check_failed(check, (enum check_name)name) > 0)
            fail_msg("%s: %s", check_rows[name].name, check_example(check, (enum check_name)name));
    assert_true(check_passed(check));
    check_free(check);
}

/* S5: bob is given the seat that ann has paid for; and one that ann only holds. */
static void
a_seat_that_two_have_is_found(void **state)
{
    const struct story sold = {USHER_EVENT_SEAT_HELD, BOB, 0, 13, 0, 7, 0};
    const struct story held = {USHER_EVENT_SEAT_HELD, BOB, 0, 12, 0, 7, 0};

    (void)state;
    assert_fails(told(STORY_COUNT, &sold), CHECK_OVERSOLD);
    assert_fails(told(8, &held), CHECK_OVERSOLD);
}

static void
a_seat_that_is_sold_twice_is_found(void **state)
{
    const struct story again = {USHER_EVENT_SEAT_SOLD, ANN, 0, 11, 6, 7, 0};

    (void)state;
    assert_fails(told(STORY_COUNT, &again), CHECK_OVERSOLD);
}

/* T4: bob, who came second, is admitted before ann. */
static void
an_admission_out_of_turn_is_found(void **state)
{
    struct check *check = check_make();
    const size_t order[] = {0, 1, 3, 2};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        usher_event event = event_of(&story[order[i]], i + 1);
        check_event(check, &event);
    }
    assert_fails(check, CHECK_ADMITTED);
}

/* Q1 */
static void
a_place_given_out_twice_is_found(void **state)
{
    const struct story second = {USHER_EVENT_JOINED, BOB, 1, 0, 0, 0, 0};

    (void)state;
    assert_fails(told(1, &second), CHECK_JOINED);
}

static void
a_gap_between_events_is_found(void **state)
{
    struct check *check = check_make();
    usher_event event = event_of(&story[0], 1);

    (void)state;
    check_event(check, &event);
    event = event_of(&story[1], 3);
    check_event(check, &event);
    assert_fails(check, CHECK_EVENTS);
}

/* M2 */
static void
a_ledger_that_does_not_add_up_is_found(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct check *check = check_make();
        usher_info_reply info = {.ledger_sum = 0};
        if (i == 0)
            info.ledger_sum = 1;
        else if (i == 1)
            info.top_ups = -1;
        else
            info.sales = 1;
        check_info(check, &info);
        assert_fails(check, CHECK_LEDGER);
    }
}

static void
figures_that_are_not_those_of_the_events_are_found(void **state)
{
    struct check *check = check_make();
    usher_info_reply info = {.seat_count = 50, .sold_count = 1};

    (void)state;
    check_info(check, &info);
    assert_fails(check, CHECK_TOTALS);
}

/* X3: each kind of acknowledgement of something that is not there, or is another's. */
static void
an_acknowledged_write_that_is_lost_is_found(void **state)
{
    const struct claim lies[] = {
        {.user = user_of(ANN), .opcode = USHER_OPCODE_JOIN, .number = 3},
        {.user = user_of(BOB), .opcode = USHER_OPCODE_JOIN, .number = 1},
        {.user = user_of(ANN), .opcode = USHER_OPCODE_RESERVE, .number = 99, .amount = 7},
        {.user = user_of(BOB), .opcode = USHER_OPCODE_RESERVE, .number = 11, .amount = 7},
        {.user = user_of(ANN), .opcode = USHER_OPCODE_RESERVE, .number = 11, .amount = 9},
        {.user = user_of(BOB), .opcode = USHER_OPCODE_CHARGE, .number = 2},
        {.user = user_of(ANN), .opcode = USHER_OPCODE_PAY, .number = 6, .amount = 700},
        {.user = user_of(ANN), .opcode = USHER_OPCODE_PAY, .number = 5, .amount = 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct check *check = told(SIZE_MAX, NULL);
        check_claim(check, &lies[i]);
        assert_fails(check, CHECK_ACKNOWLEDGED);
    }
}

/* A charge that was acknowledged and is not among the user's, who has others. */
static void
a_lost_charge_among_others_is_found(void **state)
{
    const struct story lost = {USHER_EVENT_CHARGED, BOB, 0, 0, 0, 0, 700};

    (void)state;
    struct check *check = told(5, &lost);
    assert_fails(check, CHECK_ACKNOWLEDGED);
}

/* M3: what nobody was told of was applied once too often. */
static void
a_request_that_was_applied_twice_is_found(void **state)
{
    const struct story twice[] = {
        {USHER_EVENT_CHARGED, ANN, 0, 0, 0, 0, 700},
        {USHER_EVENT_PAID, ANN, 0, 0, 6, 0, 700},
        {USHER_EVENT_SEAT_HELD, BOB, 0, 13, 0, 9, 0},
        {USHER_EVENT_JOINED, ANN, 3, 0, 0, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof twice / sizeof *twice; i++)
        assert_fails(told(STORY_COUNT, &twice[i]), CHECK_ONCE);
}

static void
an_answer_that_is_remembered_otherwise_is_found(void **state)
{
    const struct claim charge = {.user = user_of(ANN), .opcode = USHER_OPCODE_CHARGE, .number = 4};
    usher_lookup_reply found = {.opcode = USHER_OPCODE_PAY, .result = USHER_OK};

    (void)state;
    struct check *check = check_make();
    check_found(check, &charge, NULL); /* not remembered at all */
    assert_fails(check, CHECK_REMEMBERED);
    check = check_make();
    check_found(check, &charge, &found); /* as something else */
    assert_fails(check, CHECK_REMEMBERED);
    check = check_make();
    found.opcode = USHER_OPCODE_CHARGE;
    found.body_count = 16; /* balance and entry: entry 3 */
    found.body[8] = 3;
    check_found(check, &charge, &found);
    assert_fails(check, CHECK_REMEMBERED);
    check = check_make();
    found.body[8] = 4;
    check_found(check, &charge, &found);
    assert_true(check_passed(check));
    check_free(check);
}

/* P3 */
static void
a_balance_that_is_not_what_was_charged_less_what_was_paid_is_found(void **state)
{
    const usher_uuid ann = user_of(ANN), bob = user_of(BOB);
    struct check *check = told(SIZE_MAX, NULL);

    (void)state;
    assert_int_equal(check_balance_of(check, &ann), 0);
    check_balance(check, &ann, 0);
    check_balance(check, &bob, 0);
    assert_true(check_passed(check));
    check_balance(check, &ann, 700);
    assert_fails(check, CHECK_BALANCES);
}

static void
a_table_finds_what_was_added(void **state)
{
    struct table table;

    (void)state;
    table_open(&table, sizeof(uint64_t));
    for (uint64_t i = 0; i < 20000; i++)
        *(uint64_t *)table_add(&table, (struct table_key){{i * 7, i}}) = i + 1;
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t *value = table_find(&table, (struct table_key){{i * 7, i}});
        assert_non_null(value);
        assert_int_equal(*value, i + 1);
        assert_null(table_find(&table, (struct table_key){{i * 7, i + 1}}));
    }
    assert_int_equal(table.count, 20000);
    table_close(&table);
}

/* --- a real house --------------------------------------------------------------------------------------- */
static const struct target_sizes sizes = {.users = 60, .waiting = 40, .dates = 8, .seats = 30, .hold_ms = 3600000,
                                          .price = 700};
static struct drive_figures figures;

/* Ask a usherd all kinds of things, and then hold what it acknowledged against it: first as it was, then with each of
 * these lies added. */
static void
a_real_house_passes_and_a_lie_about_it_does_not(void **state)
{
    const char *const arguments[] = {"--map-size", "1073741824", NULL};
    const struct house_options options = {.usherd = USHERD_PATH, .connections = 16, .arguments = arguments};
    struct drive_plan plan = {.shares = job_share_mix, .tasks = 800, .connections = 4, .depth = 4};
    struct claims claims = {NULL, 0, 0};
    struct house house;
    char why[512] = "";

    (void)state;
    if (!house_start(&house, &options, why, sizeof why))
        fail_msg("%s", why);
    house.witness = claims_hear;
    house.witness_context = &claims;
    struct drive *drive = drive_open(&target_usher, &house, &sizes, 1, NULL, why, sizeof why);
    assert_non_null(drive);
    if (!drive_run(drive, &plan, &figures, why, sizeof why))
        fail_msg("%s", why);
    drive_close(drive);
    struct check *check = check_house(&house, &claims, 1000, why, sizeof why);
    if (check == NULL)
        fail_msg("%s", why);
    for (unsigned name = 0; name < CHECK_COUNT; name++) {
        if (check_failed(check, (enum check_name)name) > 0)
            fail_msg("%s: %s", check_rows[name].name, check_example(check, (enum check_name)name));
        assert_true(check_looked(check, (enum check_name)name) > 0); /* nothing passes unlooked at */
    }
    check_free(check);

    /* An acknowledgement that was never given. */
    claims_add(&claims, &(struct claim){.user = target_usher_user(false, 1), .request_id = target_usher_id(),
                                        .opcode = USHER_OPCODE_CHARGE, .number = 77});
    check = check_house(&house, &claims, 1000, why, sizeof why);
    assert_non_null(check);
    assert_true(check_failed(check, CHECK_REMEMBERED) > 0);
    assert_fails(check, CHECK_ACKNOWLEDGED);
    claims.count--;

    /* One whose outcome nobody knew, and that was never applied, is none. */
    claims_add(&claims, &(struct claim){.user = target_usher_user(false, 1), .request_id = target_usher_id(),
                                        .opcode = USHER_OPCODE_CHARGE, .state = CLAIM_UNKNOWN});
    check = check_house(&house, &claims, 1000, why, sizeof why);
    assert_non_null(check);
    assert_true(check_passed(check));
    check_free(check);

    /* One of which nobody remembers that it was given: its effect stands there unasked for. */
    claims.claim[0] = claims.claim[1];
    check = check_house(&house, &claims, 1000, why, sizeof why);
    assert_non_null(check);
    assert_fails(check, CHECK_ONCE);
    claims_free(&claims);
    house_end(&house);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_house_that_was_right_passes),
        cmocka_unit_test(a_seat_that_two_have_is_found),
        cmocka_unit_test(a_seat_that_is_sold_twice_is_found),
        cmocka_unit_test(an_admission_out_of_turn_is_found),
        cmocka_unit_test(a_place_given_out_twice_is_found),
        cmocka_unit_test(a_gap_between_events_is_found),
        cmocka_unit_test(a_ledger_that_does_not_add_up_is_found),
        cmocka_unit_test(figures_that_are_not_those_of_the_events_are_found),
        cmocka_unit_test(an_acknowledged_write_that_is_lost_is_found),
        cmocka_unit_test(a_lost_charge_among_others_is_found),
        cmocka_unit_test(a_request_that_was_applied_twice_is_found),
        cmocka_unit_test(an_answer_that_is_remembered_otherwise_is_found),
        cmocka_unit_test(a_balance_that_is_not_what_was_charged_less_what_was_paid_is_found),
        cmocka_unit_test(a_table_finds_what_was_added),
        cmocka_unit_test(a_real_house_passes_and_a_lie_about_it_does_not),
    };
    return usher_test_main(argc, argv, tests);
}
