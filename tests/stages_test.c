/* stages_test.c: the stop watch of the turns and its histograms. */
#include "server/stages/stages.h"

#include <string.h>

#include "tests/test.h"

static struct stages *stages;

static int
open_stages(void **state)
{
    (void)state;
    stages = stages_open();
    return stages == NULL;
}

static int
close_stages(void **state)
{
    (void)state;
    stages_close(stages);
    return 0;
}

static struct stage_figures
figures(void)
{
    return stages_figures(stages, USHER_STAGE_COMMANDS);
}

static void
every_row_of_the_enum_has_a_histogram(void **state)
{
    size_t count;
    const usher_enum *const *enums = usher_enums(&count);
    size_t rows = 0;

    (void)state;
    for (size_t i = 0; i < count; i++)
        if (strcmp(enums[i]->name, "stage") == 0)
            rows = enums[i]->value_count;
    assert_int_equal(rows, STAGES_COUNT);
    for (unsigned stage = 0; stage < STAGES_COUNT; stage++) {
        stages_record(stages, (enum usher_stage)stage, 7);
        assert_int_equal(stages_figures(stages, (enum usher_stage)stage).count, 1);
    }
}

static void
a_percentile_is_no_less_than_the_true_one_and_at_most_a_sixteenth_more(void **state)
{
    (void)state;
    for (uint64_t scale = 1; scale < 1000000000; scale *= 37) {
        stages_clear(stages);
        for (uint64_t value = 1; value <= 10000; value++)
            stages_record(stages, USHER_STAGE_COMMANDS, value * scale);
        const struct stage_figures said = figures();
        assert_int_equal(said.count, 10000);
        assert_int_equal(said.most, 10000 * scale);
        assert_int_equal(said.sum, 50005000 * scale);
        assert_in_range(said.p50, 5000 * scale, 5000 * scale + 5000 * scale / 16);
        assert_in_range(said.p99, 9900 * scale, 9900 * scale + 9900 * scale / 16);
        assert_in_range(said.p999, 9990 * scale, 10000 * scale);
    }
}

static void
small_values_are_exact(void **state)
{
    (void)state;
    for (uint64_t value = 0; value < 16; value++) {
        stages_clear(stages);
        for (int i = 0; i < 20; i++)
            stages_record(stages, USHER_STAGE_COMMANDS, value);
        stages_record(stages, USHER_STAGE_COMMANDS, 1000);
        assert_int_equal(figures().p50, value);
    }
}

static void
no_percentile_is_said_without_ten_values_above_it(void **state)
{
    (void)state;
    for (int i = 0; i < 999; i++)
        stages_record(stages, USHER_STAGE_COMMANDS, 5);
    assert_int_equal(figures().p50, 5);
    assert_int_equal(figures().p99, 0);
    stages_record(stages, USHER_STAGE_COMMANDS, 5);
    assert_int_equal(figures().p99, 5);
    assert_int_equal(figures().p999, 0);
    stages_clear(stages);
    assert_int_equal(figures().count, 0);
    assert_int_equal(figures().p50, 0);
}

static void
what_is_too_great_counts_as_the_greatest(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++)
        stages_record(stages, USHER_STAGE_COMMANDS, UINT64_MAX);
    assert_int_equal(figures().most, STAGES_MOST);
    assert_int_equal(figures().p50, STAGES_MOST);
}

static void
the_laps_of_a_turn_add_up_to_it(void **state)
{
    (void)state;
    for (int turn = 0; turn < 30; turn++) {
        stages_begin(stages);
        stages_lap(stages, USHER_STAGE_PARSE);
        stages_begin(stages); /* it has begun: nothing */
        stages_lap(stages, USHER_STAGE_SEND);
        stages_lap(stages, USHER_STAGE_APPLY);
        stages_lap(stages, USHER_STAGE_SEND);
        stages_count(stages, USHER_STAGE_COMMANDS, 2);
        stages_count(stages, USHER_STAGE_COMMANDS, 3);
        stages_count(stages, USHER_STAGE_QUERIES, 0);
        stages_end(stages);
    }
    uint64_t laps = 0;
    for (unsigned stage = USHER_STAGE_PARSE; stage < USHER_STAGE_TURN; stage++)
        laps += stages_figures(stages, (enum usher_stage)stage).sum;
    assert_int_equal(laps, stages_figures(stages, USHER_STAGE_TURN).sum);
    assert_int_equal(stages_figures(stages, USHER_STAGE_SEND).count, 30);
    assert_int_equal(stages_figures(stages, USHER_STAGE_SYNC).count, 0);
    assert_int_equal(stages_figures(stages, USHER_STAGE_QUERIES).count, 0);
    assert_int_equal(stages_figures(stages, USHER_STAGE_IDLE).count, 29);
    assert_int_equal(figures().p50, 5);
}

static void
outside_of_a_turn_and_without_a_watch_nothing_is_measured(void **state)
{
    (void)state;
    stages_lap(stages, USHER_STAGE_PARSE);
    stages_count(stages, USHER_STAGE_COMMANDS, 5);
    stages_end(stages);
    assert_int_equal(figures().count, 0);
    assert_int_equal(stages_figures(stages, USHER_STAGE_PARSE).count, 0);
    stages_begin(NULL);
    stages_lap(NULL, USHER_STAGE_PARSE);
    stages_count(NULL, USHER_STAGE_COMMANDS, 5);
    stages_end(NULL);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_row_of_the_enum_has_a_histogram, open_stages, close_stages),
        cmocka_unit_test_setup_teardown(a_percentile_is_no_less_than_the_true_one_and_at_most_a_sixteenth_more,
                                        open_stages, close_stages),
        cmocka_unit_test_setup_teardown(small_values_are_exact, open_stages, close_stages),
        cmocka_unit_test_setup_teardown(no_percentile_is_said_without_ten_values_above_it, open_stages, close_stages),
        cmocka_unit_test_setup_teardown(what_is_too_great_counts_as_the_greatest, open_stages, close_stages),
        cmocka_unit_test_setup_teardown(the_laps_of_a_turn_add_up_to_it, open_stages, close_stages),
        cmocka_unit_test_setup_teardown(outside_of_a_turn_and_without_a_watch_nothing_is_measured, open_stages,
                                        close_stages),
    };

    return usher_test_main(argc, argv, tests);
}
