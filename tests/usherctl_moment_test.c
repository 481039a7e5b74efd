/* usherctl_moment_test.c: times in words, as usherctl and catalogue files take them. */
#include "test.h"

#include <string.h>

#include "apps/usherctl/ctl.h"

#define DAY_MS  86400000ULL
#define HOUR_MS 3600000ULL

/* C1: moments with their zone, against values that were worked out by another program (GNU date). */
static void
a_moment_with_its_zone_is_the_right_one(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } rows[] = {{"1970-01-01T00:00:01Z", 1000},           {"2024-02-29T12:00Z", 1709208000000},
                {"2024-02-29 12:00:30Z", 1709208030000},  {"2027-01-31T19:30+09:00", 1801391400000},
                {"2027-01-31T19:30-0330", 1801436400000}, {"2000-03-01T00:00:00Z", 951868800000},
                {"2100-03-01T00:00:00z", 4107542400000},  {"1801391400000", 1801391400000}};
    uint64_t ms;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(ctl_moment_parse(rows[i].text, 0, 0, &ms));
        assert_int_equal(ms, rows[i].ms);
    }
}

/* C1: relative moments: a span from now, or a day's time of day in the zone. */
static void
a_relative_moment_counts_from_now_and_from_midnight_of_its_zone(void **state)
{
    const uint64_t now = 1801391400000; /* 2027-01-31T10:30Z, 19:30 in Seoul */
    uint64_t ms;

    (void)state;
    assert_true(ctl_moment_parse("+90s", 0, now, &ms) && ms == now + 90000);
    assert_true(ctl_moment_parse("-45m", 0, now, &ms) && ms == now - 45 * 60000);
    assert_true(ctl_moment_parse("+2h", 0, now, &ms) && ms == now + 2 * HOUR_MS);
    assert_true(ctl_moment_parse("+30d", 0, now, &ms) && ms == now + 30 * DAY_MS);
    assert_true(ctl_moment_parse("+1d 10:30", 0, now, &ms) && ms == now + DAY_MS);
    assert_true(ctl_moment_parse("+1d 19:30", 540, now, &ms) && ms == now + DAY_MS);
    assert_true(ctl_moment_parse("+0d 00:00", 540, now, &ms) && ms == now - 19 * HOUR_MS - HOUR_MS / 2);
    /* It is the first of February there already. */
    assert_true(ctl_moment_parse("+0d 00:00", 840, now, &ms) && ms == now - HOUR_MS / 2);
    assert_true(ctl_moment_is_relative("+1d") && !ctl_moment_is_relative("2027-01-31T19:30Z"));
}

/* C1: what is no moment is not taken for one. */
static void
what_is_no_moment_is_refused(void **state)
{
    static const char *const rows[] = {"",
                                       "soon",
                                       "2027-01-31",
                                       "2027-01-31T19:30",
                                       "2027-02-29T10:00Z",
                                       "2027-13-01T10:00Z",
                                       "2027-04-31T10:00Z",
                                       "2027-01-31T24:00Z",
                                       "2027-01-31T10:60Z",
                                       "2027-01-31T10:00+9",
                                       "+",
                                       "+5",
                                       "+5w",
                                       "+1h 10:00",
                                       "+1d 25:00",
                                       "+1d 10:00Z",
                                       "1969-12-31T23:59Z",
                                       "-1",
                                       "99999999999999999999",
                                       "9007199254740992",
                                       "+1d  10:00",
                                       "2027-01-31T19:30Z "};
    uint64_t ms;
    int zone;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_false(ctl_moment_parse(rows[i], 0, 1801391400000, &ms));
    assert_true(ctl_zone_parse("-03:30", &zone) && zone == -210);
    assert_true(ctl_zone_parse("Z", &zone) && zone == 0);
    assert_false(ctl_zone_parse("KST", &zone));
    assert_false(ctl_zone_parse("+09:00x", &zone));
    assert_false(ctl_zone_parse("+19:00", &zone));
}

/* M8: durations have a unit, or are milliseconds. */
static void
a_duration_has_its_unit(void **state)
{
    uint64_t ms;
    char text[32];

    (void)state;
    assert_true(ctl_duration_parse("2d", &ms) && ms == 2 * DAY_MS);
    assert_true(ctl_duration_parse("90s", &ms) && ms == 90000);
    assert_true(ctl_duration_parse("1500", &ms) && ms == 1500);
    assert_false(ctl_duration_parse("-1d", &ms));
    assert_false(ctl_duration_parse("1d2h", &ms));
    assert_false(ctl_duration_parse("d", &ms));
    assert_string_equal(ctl_duration_format(450, text), "450 ms");
    assert_string_equal(ctl_duration_format(30000, text), "30 s");
    assert_string_equal(ctl_duration_format(600000, text), "10 min");
    assert_string_equal(ctl_duration_format(3 * HOUR_MS, text), "3 h 0 min");
    assert_string_equal(ctl_duration_format(2 * DAY_MS, text), "2 d 0 h");
    assert_string_equal(ctl_duration_format(USHER_UNKNOWN_MS, text), "unknown");
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_moment_with_its_zone_is_the_right_one),
        cmocka_unit_test(a_relative_moment_counts_from_now_and_from_midnight_of_its_zone),
        cmocka_unit_test(what_is_no_moment_is_refused),
        cmocka_unit_test(a_duration_has_its_unit),
    };

    return usher_test_main(argc, argv, tests);
}
