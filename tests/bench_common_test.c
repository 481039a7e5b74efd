/* bench_common_test.c: what the bench measures with: a histogram that says no more than it knows, schedules that repeat,
 * a supply that hands nothing out twice, and a loop that charges the system for making people wait. */
#include "tests/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/clock.h"
#include "bench/common/drive.h"
#include "bench/common/environment.h"
#include "bench/common/spread.h"

/* --- histograms ----------------------------------------------------------------------------------------- */
static struct histogram histogram, other;

static void
a_histogram_knows_each_value_to_one_percent(void **state)
{
    (void)state;
    for (uint64_t value = 1; value < HISTOGRAM_VALUE_MOST; value += value / 3 + 1) {
        histogram_clear(&histogram);
        histogram_add(&histogram, value);
        histogram_add(&histogram, HISTOGRAM_VALUE_MOST);
        uint64_t said = histogram_percentile(&histogram, 50);
        assert_true(said >= value);
        assert_true(said - value <= value / 100 + 1);
    }
}

static void
percentiles_are_those_of_the_sorted_values(void **state)
{
    (void)state;
    histogram_clear(&histogram);
    for (uint64_t value = 1; value <= 100; value++)
        histogram_add(&histogram, value);
    assert_int_equal(histogram_percentile(&histogram, 50), 50);
    assert_int_equal(histogram_percentile(&histogram, 90), 90);
    assert_int_equal(histogram_percentile(&histogram, 99), 99);
    assert_int_equal(histogram_percentile(&histogram, 99.9), 100);
    assert_int_equal(histogram_percentile(&histogram, 100), 100);
    assert_true(fabs(histogram_mean(&histogram) - 50.5) < 1e-9);
    assert_int_equal(histogram.least, 1);
    assert_int_equal(histogram.most, 100);
}

static void
no_percentile_is_said_without_ten_samples_above_it(void **state)
{
    (void)state;
    histogram_clear(&histogram);
    assert_false(histogram_may_say(&histogram, 50));
    for (unsigned i = 0; i < 999; i++)
        histogram_add(&histogram, i);
    assert_false(histogram_may_say(&histogram, 99)); /* nine above */
    histogram_add(&histogram, 5);
    assert_true(histogram_may_say(&histogram, 99)); /* ten */
    assert_false(histogram_may_say(&histogram, 99.9));
    for (unsigned i = 0; i < 9000; i++)
        histogram_add(&histogram, i);
    assert_true(histogram_may_say(&histogram, 99.9));
    assert_false(histogram_may_say(&histogram, 99.99));
}

static void
merged_histograms_say_what_one_of_all_values_says(void **state)
{
    struct histogram *all = calloc(1, sizeof *all);

    (void)state;
    histogram_clear(all);
    histogram_clear(&histogram);
    histogram_clear(&other);
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t value = dice_scramble(i) >> 30;
        histogram_add(all, value);
        histogram_add(i % 3 == 0 ? &histogram : &other, value);
    }
    histogram_merge(&histogram, &other);
    assert_memory_equal(&histogram, all, sizeof *all);
    free(all);
}

static void
a_value_beyond_the_last_cell_is_counted_and_is_the_maximum(void **state)
{
    (void)state;
    histogram_clear(&histogram);
    histogram_add(&histogram, UINT64_C(1) << 50);
    assert_int_equal(histogram.count, 1);
    assert_int_equal(histogram_percentile(&histogram, 50), UINT64_C(1) << 50);
    histogram_clear(&histogram);
    assert_int_equal(histogram_percentile(&histogram, 50), 0);
}

static void
an_hgrm_file_ascends_to_the_last_sample(void **state)
{
    char line[256];
    double value, percentile, before_value = -1, before = -1;
    unsigned long long count = 0, total = 0;
    FILE *file = tmpfile();

    (void)state;
    histogram_clear(&histogram);
    for (uint64_t i = 1; i <= 5000; i++)
        histogram_add(&histogram, i * 1000);
    assert_true(histogram_write_hgrm(&histogram, file, 1000));
    rewind(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "#[Max = %lf, Total count = %llu]", &value, &total) == 2)
            assert_true(value >= 5000 && value < 5050);
        if (line[0] == '#' || sscanf(line, "%lf %lf %llu", &value, &percentile, &count) != 3)
            continue;
        assert_true(value >= before_value && percentile > before);
        before_value = value;
        before = percentile;
    }
    fclose(file);
    assert_true(before == 1.0);
    assert_int_equal(count, 5000);
    assert_int_equal(total, 5000);
}

/* --- schedules, dice, spreads --------------------------------------------------------------------------- */
static void
a_schedule_repeats_with_its_seed_and_keeps_its_rate(void **state)
{
    struct schedule one, same, different;
    unsigned differ = 0;
    uint64_t at = 0;

    (void)state;
    schedule_begin(&one, SCHEDULE_POISSON, 10000, 7);
    schedule_begin(&same, SCHEDULE_POISSON, 10000, 7);
    schedule_begin(&different, SCHEDULE_POISSON, 10000, 8);
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t next = schedule_next_ns(&one);
        assert_true(next >= at);
        assert_int_equal(next, schedule_next_ns(&same));
        differ += next != schedule_next_ns(&different);
        at = next;
    }
    assert_true(differ > 99000);
    /* 100,000 arrivals at 10,000 a second: ten seconds, give or take five standard deviations. */
    assert_true(at > UINT64_C(9840000000) && at < UINT64_C(10160000000));
}

static void
fixed_arrivals_are_evenly_apart_and_poisson_ones_are_not(void **state)
{
    struct schedule fixed, poisson;
    uint64_t fixed_at = 0, poisson_at = 0;
    unsigned close = 0;

    (void)state;
    schedule_begin(&fixed, SCHEDULE_FIXED, 1000, 1);
    schedule_begin(&poisson, SCHEDULE_POISSON, 1000, 1);
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t next = schedule_next_ns(&fixed);
        assert_int_equal(next - fixed_at, 1000000);
        fixed_at = next;
        next = schedule_next_ns(&poisson);
        close += next - poisson_at < 100000;
        poisson_at = next;
    }
    /* A tenth of the mean gap or less: 1 - e^-0.1 = 9.5 % of the gaps of independent people. */
    assert_true(close > 800 && close < 1100);
}

static void
dice_are_even_and_within_their_bound(void **state)
{
    unsigned count[10] = {0};
    struct dice dice;

    (void)state;
    dice_seed(&dice, 1);
    for (unsigned i = 0; i < 100000; i++) {
        double unit = dice_unit(&dice);
        assert_true(unit >= 0 && unit < 1);
        count[dice_below(&dice, 10)]++;
    }
    for (unsigned i = 0; i < 10; i++)
        assert_true(count[i] > 9500 && count[i] < 10500);
}

static void
a_spread_has_its_median_and_range(void **state)
{
    struct spread spread = {.count = 0};

    (void)state;
    assert_true(spread_median(&spread) == 0);
    spread_add(&spread, 5);
    spread_add(&spread, 1);
    spread_add(&spread, 9);
    assert_true(spread_median(&spread) == 5);
    spread_add(&spread, 7);
    assert_true(spread_median(&spread) == 6);
    assert_true(spread_least(&spread) == 1 && spread_most(&spread) == 9);
}

/* --- the supply ------------------------------------------------------------------------------------------ */
static const struct target_sizes small = {.users = 40, .waiting = 10, .dates = 5, .seats = 20, .price = 1};

/* Take a task and answer it as done; the reservation's number is that of the seat. */
static bool
take_and_answer(struct supply *supply, enum job job, struct task *task)
{
    struct outcome outcome = {.kind = OUTCOME_DONE};

    if (!supply_take(supply, job, task))
        return false;
    outcome.value = 1 + task->date * 1000 + task->seat;
    supply_answered(supply, task, &outcome);
    return true;
}

static void
a_supply_gives_each_seat_once_and_nobody_a_second_hold_before_all_have_one(void **state)
{
    struct supply *supply = supply_make(&small, 1);
    bool seen[5][20] = {{false}};
    unsigned holds[40] = {0}, count = 0;
    struct task task;

    (void)state;
    while (take_and_answer(supply, JOB_RESERVE, &task)) {
        assert_false(seen[task.date][task.seat]);
        seen[task.date][task.seat] = true;
        assert_true(holds[task.user] <= count / 40);
        holds[task.user]++;
        count++;
    }
    assert_int_equal(count, 100);
    /* What was held is released, in its order, and can be taken again. */
    assert_true(take_and_answer(supply, JOB_RELEASE, &task));
    assert_int_equal(task.reservation, 1 + task.date * 1000 + task.seat);
    assert_true(take_and_answer(supply, JOB_RESERVE, &task));
    assert_false(take_and_answer(supply, JOB_RESERVE, &task));
    supply_free(supply);
}

static void
a_supply_foresees_whom_it_takes_next(void **state)
{
    static const enum job jobs[] = {JOB_RANK, JOB_RESERVE, JOB_CHARGE, JOB_RELEASE, JOB_SEATS, JOB_BALANCE};
    struct supply *supply = supply_make(&small, 1);
    unsigned seen_waiter[10] = {0}, seen_user[40] = {0};
    struct task task;

    (void)state;
    for (unsigned i = 0; i < 600; i++) {
        enum job job = jobs[i % 6];
        uint32_t foreseen = supply_foresee(supply, job);
        assert_true(take_and_answer(supply, job, &task));
        assert_int_equal(task.user, foreseen);
        (task.line ? seen_waiter : seen_user)[task.user]++;
    }
    for (unsigned i = 0; i < 40; i++) /* drawn one ahead, and still everybody's turn comes */
        assert_true(seen_user[i] > 0 && (i >= 10 || seen_waiter[i] > 0));
    supply_free(supply);
}

static void
who_has_paid_stands_outside_until_a_stock_lets_it_in(void **state)
{
    struct supply *supply = supply_make(&small, 1);
    struct job_share pay = job_share_of(JOB_PAY);
    struct task task;
    unsigned count = 0;

    (void)state;
    assert_int_equal(supply_room(supply, &pay), 40);
    assert_false(supply_take(supply, JOB_PAY, &task));
    while (supply_stock(supply, &pay, 40, JOB_COUNT, &task)) {
        assert_int_equal(task.job, JOB_RESERVE);
        supply_answered(supply, &task, &(struct outcome){.kind = OUTCOME_DONE, .value = ++count});
    }
    assert_int_equal(count, 40);
    for (unsigned i = 0; i < 40; i++)
        assert_true(take_and_answer(supply, JOB_PAY, &task));
    assert_false(supply_take(supply, JOB_PAY, &task));
    assert_false(supply_take(supply, JOB_CHARGE, &task)); /* all have used their tokens up */
    /* The first step lets them in, and nothing of the next is given out before. */
    for (unsigned i = 0; i < 40; i++) {
        assert_true(supply_stock(supply, &pay, 40, i == 0 ? JOB_COUNT : JOB_JOIN, &task));
        assert_int_equal(task.job, JOB_JOIN);
        assert_false(task.line);
        supply_answered(supply, &task, &(struct outcome){.kind = OUTCOME_DONE});
    }
    assert_false(supply_stock(supply, &pay, 40, JOB_JOIN, &task));
    assert_true(supply_stock(supply, &pay, 40, JOB_COUNT, &task));
    assert_int_equal(task.job, JOB_RESERVE);
    supply_free(supply);
}

/* A payment's figure must not say what was measured before it: each who pays holds what it pays and no more. */
static void
a_stock_for_payments_releases_what_is_held_besides(void **state)
{
    struct supply *supply = supply_make(&small, 1);
    struct job_share pay = job_share_of(JOB_PAY);
    unsigned holds[40] = {0}, most = 0;
    struct task task;

    (void)state;
    while (take_and_answer(supply, JOB_RESERVE, &task))
        most = ++holds[task.user] > most ? holds[task.user] : most;
    assert_int_equal(most, 3);
    while (supply_stock(supply, &pay, 40, JOB_COUNT, &task)) {
        assert_int_equal(task.job, JOB_RELEASE);
        supply_answered(supply, &task, &(struct outcome){.kind = OUTCOME_DONE});
        holds[task.user]--;
    }
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(holds[i], 1);
        assert_true(take_and_answer(supply, JOB_PAY, &task));
    }
    supply_free(supply);
}

static void
a_mix_keeps_its_shares_as_long_as_there_is_something_for_each(void **state)
{
    const struct target_sizes sizes = {.users = 5000, .waiting = 100, .dates = 100, .seats = 100, .price = 1};
    struct supply *supply = supply_make(&sizes, 3);
    unsigned count[JOB_COUNT] = {0};
    struct task task;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        assert_true(supply_take_any(supply, &job_share_mix, &task));
        supply_answered(supply, &task, &(struct outcome){.kind = OUTCOME_DONE, .value = i + 1});
        count[task.job]++;
    }
    assert_true(count[JOB_RANK] > 7600 && count[JOB_RANK] < 8400);
    assert_true(count[JOB_PAY] > 1000 && count[JOB_PAY] < 1400);
    assert_int_equal(count[JOB_DATES], 0);
    supply_free(supply);
}

/* --- the loop, on a target that is told what to do ---------------------------------------------------------- */
struct toy {
    target_answer *answer;
    void *context;
    uint64_t tag[64];
    uint64_t due_ns[64];
    unsigned count, most;
    uint64_t served;
};
static uint64_t toy_serves_in_ns, toy_sleeps_ns;
static unsigned toy_refuses_each;

static void *
toy_open(const void *where, const struct target_sizes *sizes, target_answer *answer, void *context, char *why,
         size_t why_size)
{
    struct toy *toy = calloc(1, sizeof *toy);

    (void)where, (void)sizes, (void)why, (void)why_size;
    toy->answer = answer;
    toy->context = context;
    return toy;
}

static bool
toy_prepare(void *target, char *why, size_t why_size)
{
    (void)target, (void)why, (void)why_size;
    return true;
}

static bool
toy_connect(void *target, uint32_t connections, uint32_t depth, char *why, size_t why_size)
{
    (void)target, (void)why, (void)why_size;
    return connections * depth <= 64;
}

static bool
toy_submit(void *target, uint32_t connection, const struct task *task, uint64_t tag)
{
    struct toy *toy = target;

    (void)connection, (void)task;
    assert_true(toy->count < 64);
    toy->tag[toy->count] = tag;
    toy->due_ns[toy->count++] = clock_now_ns() + toy_serves_in_ns;
    toy->most = toy->count > toy->most ? toy->count : toy->most;
    return true;
}

static bool
toy_process(void *target, uint64_t wait_ns, char *why, size_t why_size)
{
    struct toy *toy = target;
    const struct timespec nap = {.tv_nsec = (long)(wait_ns < 100000 ? wait_ns : 100000)};
    const struct timespec sleep = {.tv_nsec = (long)toy_sleeps_ns};

    (void)why, (void)why_size;
    nanosleep(toy_sleeps_ns > 0 ? &sleep : &nap, NULL);
    for (unsigned i = 0; i < toy->count;) {
        struct outcome outcome = {.tag = toy->tag[i], .kind = OUTCOME_DONE};
        if (toy->due_ns[i] > clock_now_ns()) {
            i++;
            continue;
        }
        if (toy_refuses_each > 0 && ++toy->served % toy_refuses_each == 0)
            outcome = (struct outcome){.tag = toy->tag[i], .kind = OUTCOME_REFUSED, .reason = 7};
        toy->count--;
        toy->tag[i] = toy->tag[toy->count];
        toy->due_ns[i] = toy->due_ns[toy->count];
        toy->answer(toy->context, &outcome);
    }
    return true;
}

static const char *
toy_reason(uint32_t reason)
{
    return reason == 7 ? "SEVEN" : "NONE";
}

static void
toy_close(void *target)
{
    free(target);
}

static const struct target_kind toy_kind = {.name = "toy",
                                            .open = toy_open,
                                            .prepare = toy_prepare,
                                            .connect = toy_connect,
                                            .submit = toy_submit,
                                            .process = toy_process,
                                            .reason = toy_reason,
                                            .close = toy_close};
static struct drive_figures figures;

static void
run_toy(const struct drive_plan *plan, uint64_t serves_in_ns, uint64_t sleeps_ns, unsigned *most)
{
    char why[256] = "";
    struct drive *drive;

    toy_serves_in_ns = serves_in_ns;
    toy_sleeps_ns = sleeps_ns;
    drive = drive_open(&toy_kind, NULL, &small, 1, NULL, why, sizeof why);
    assert_non_null(drive);
    if (!drive_run(drive, plan, &figures, why, sizeof why))
        fail_msg("%s", why);
    *most = ((struct toy *)drive_target(drive))->most;
    drive_close(drive);
}

static void
a_closed_loop_keeps_so_many_in_flight_and_counts_each_answer_once(void **state)
{
    struct drive_plan plan = {.tasks = 1000, .connections = 5, .depth = 3};
    unsigned most;

    (void)state;
    plan.shares = job_share_of(JOB_BALANCE);
    toy_refuses_each = 10;
    run_toy(&plan, 1000, 0, &most);
    toy_refuses_each = 0;
    assert_int_equal(most, 15);
    assert_int_equal(figures.asked, 1000);
    assert_int_equal(figures.answered, 1000);
    assert_int_equal(figures.done, 900);
    assert_int_equal(figures.refused, 100);
    assert_int_equal(figures.faults, 0);
    assert_int_equal(figures.reason[7], 100);
    assert_int_equal(figures.sent.count, 1000);
    assert_false(figures.ran_out);
}

/* A system that serves one request in 5 ms, asked 1,000 times a second, makes people wait longer and longer. Who counts
 * from the sending sees 5 ms. */
static void
an_open_loop_counts_the_wait_from_the_moment_that_was_intended(void **state)
{
    struct drive_plan plan = {
        .tasks = 60, .connections = 1, .depth = 1, .rate = 1000, .schedule = SCHEDULE_FIXED, .seed = 1};
    unsigned most;

    (void)state;
    plan.shares = job_share_of(JOB_BALANCE);
    run_toy(&plan, 5000000, 0, &most);
    assert_int_equal(most, 1);
    assert_int_equal(figures.intended.count, 60);
    /* The last one was meant to leave at 60 ms and could not be served before 300. */
    assert_true(figures.intended.most >= UINT64_C(239000000));
    assert_true(figures.sent.least >= 5000000);
    assert_true(histogram_percentile(&figures.sent, 50) < histogram_percentile(&figures.intended, 50));
}

static void
a_generator_that_falls_behind_voids_its_run(void **state)
{
    struct drive_plan plan = {
        .tasks = 200, .connections = 8, .depth = 8, .rate = 2000, .schedule = SCHEDULE_POISSON, .seed = 1};
    char why[256] = "";
    unsigned most;

    (void)state;
    plan.shares = job_share_of(JOB_BALANCE);
    run_toy(&plan, 0, 20000000, &most); /* the loop looks at its schedule every 20 ms */
    assert_true(drive_is_void(&plan, &figures, why, sizeof why));
    assert_non_null(strstr(why, "fell behind"));
    figures.lag.count = 0;
    histogram_clear(&figures.lag);
    for (unsigned i = 0; i < 200; i++)
        histogram_add(&figures.lag, DRIVE_LAG_NS_MOST / 2);
    assert_false(drive_is_void(&plan, &figures, why, sizeof why));
}

static void
a_run_ends_early_when_nothing_is_left_to_ask(void **state)
{
    struct drive_plan plan = {.tasks = 1000, .connections = 4, .depth = 4};
    unsigned most;

    (void)state;
    plan.shares = job_share_of(JOB_RESERVE);
    run_toy(&plan, 0, 0, &most);
    assert_true(figures.ran_out);
    assert_int_equal(figures.answered, 100); /* five dates of twenty seats */
}

/* --- where it was measured ------------------------------------------------------------------------------- */
static void
an_environment_names_what_a_figure_depends_on(void **state)
{
    static const char *const texts[] = {"at",     "cpu",  "kernel", "build", "compiler",
                                        "commit", "sync", "device", "file_system"};
    json_t *environment = environment_read("/");
    const json_t *libraries = json_object_get(environment, "libraries");

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *text = json_string_value(json_object_get(environment, texts[i]));
        if (text == NULL || (*text == 0 && strcmp(texts[i], "device") != 0))
            fail_msg("%s is not said", texts[i]);
    }
    assert_true(json_integer_value(json_object_get(environment, "cores")) > 0);
    assert_true(json_integer_value(json_object_get(environment, "memory_bytes")) > 0);
    assert_int_equal(json_object_size(libraries), 6);
    json_decref(environment);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_histogram_knows_each_value_to_one_percent),
        cmocka_unit_test(percentiles_are_those_of_the_sorted_values),
        cmocka_unit_test(no_percentile_is_said_without_ten_samples_above_it),
        cmocka_unit_test(merged_histograms_say_what_one_of_all_values_says),
        cmocka_unit_test(a_value_beyond_the_last_cell_is_counted_and_is_the_maximum),
        cmocka_unit_test(an_hgrm_file_ascends_to_the_last_sample),
        cmocka_unit_test(a_schedule_repeats_with_its_seed_and_keeps_its_rate),
        cmocka_unit_test(fixed_arrivals_are_evenly_apart_and_poisson_ones_are_not),
        cmocka_unit_test(dice_are_even_and_within_their_bound),
        cmocka_unit_test(a_spread_has_its_median_and_range),
        cmocka_unit_test(a_supply_gives_each_seat_once_and_nobody_a_second_hold_before_all_have_one),
        cmocka_unit_test(a_supply_foresees_whom_it_takes_next),
        cmocka_unit_test(who_has_paid_stands_outside_until_a_stock_lets_it_in),
        cmocka_unit_test(a_stock_for_payments_releases_what_is_held_besides),
        cmocka_unit_test(a_mix_keeps_its_shares_as_long_as_there_is_something_for_each),
        cmocka_unit_test(a_closed_loop_keeps_so_many_in_flight_and_counts_each_answer_once),
        cmocka_unit_test(an_open_loop_counts_the_wait_from_the_moment_that_was_intended),
        cmocka_unit_test(a_generator_that_falls_behind_voids_its_run),
        cmocka_unit_test(a_run_ends_early_when_nothing_is_left_to_ask),
        cmocka_unit_test(an_environment_names_what_a_figure_depends_on),
    };
    return usher_test_main(argc, argv, tests);
}
