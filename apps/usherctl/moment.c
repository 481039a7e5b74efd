/* moment.c: times as people write them, to milliseconds since 1970 and back.
 *
 * Calendar arithmetic is done here and not by mktime(), which knows one zone, the machine's: a catalogue says its own.
 */
#include "ctl.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MINUTE_MS 60000
#define DAY_MS    86400000
#define MOST_MS   9007199254740991 /* what a JSON reader keeps exactly */

static const struct {
    char unit;
    int64_t ms;
} units[] = {{'s', 1000}, {'m', MINUTE_MS}, {'h', 60 * MINUTE_MS}, {'d', DAY_MS}};

/* Days from 1970-01-01 to a day of the Gregorian calendar. Years begin in March here, so that the leap day is last. */
static int64_t
days_of(int64_t year, int month, int day)
{
    int64_t shifted = month <= 2 ? year - 1 : year;
    int64_t era = shifted / 400;
    int64_t year_of_era = shifted % 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static bool
is_a_day(int year, int month, int day)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return year >= 1970 && month >= 1 && month <= 12 && day >= 1 &&
           day <= days[month - 1] + (month == 2 && leap ? 1 : 0);
}

/* Exactly `count` digits; moves the text on. */
static bool
take_digits(const char **text, int count, int *value)
{
    *value = 0;
    for (int i = 0; i < count; i++, (*text)++) {
        if (!isdigit((unsigned char)**text))
            return false;
        *value = *value * 10 + (**text - '0');
    }
    return true;
}

static bool
take_char(const char **text, const char *allowed)
{
    if (**text == 0 || strchr(allowed, **text) == NULL)
        return false;
    (*text)++;
    return true;
}

/* HH:MM or HH:MM:SS */
static bool
take_time_of_day(const char **text, int64_t *ms)
{
    int hour, minute, second = 0;

    if (!take_digits(text, 2, &hour) || !take_char(text, ":") || !take_digits(text, 2, &minute))
        return false;
    if (**text == ':' && (!take_char(text, ":") || !take_digits(text, 2, &second)))
        return false;
    *ms = ((int64_t)hour * 60 + minute) * MINUTE_MS + (int64_t)second * 1000;
    return hour < 24 && minute < 60 && second < 60;
}

static bool
take_zone(const char **text, int *zone_minutes)
{
    int hours, minutes, sign;

    if (take_char(text, "Zz")) {
        *zone_minutes = 0;
        return true;
    }
    if (**text != '+' && **text != '-')
        return false;
    sign = **text == '-' ? -1 : 1;
    (*text)++;
    if (!take_digits(text, 2, &hours))
        return false;
    if (**text == ':')
        (*text)++;
    if (!take_digits(text, 2, &minutes) || hours > 18 || minutes > 59)
        return false;
    *zone_minutes = sign * (hours * 60 + minutes);
    return true;
}

bool
ctl_zone_parse(const char *text, int *zone_minutes)
{
    return take_zone(&text, zone_minutes) && *text == 0;
}

static bool
store_moment(int64_t ms, uint64_t *moment_ms)
{
    if (ms <= 0 || ms > MOST_MS)
        return false;
    *moment_ms = (uint64_t)ms;
    return true;
}

/* 2027-01-31T19:30:00+09:00 */
static bool
parse_absolute(const char *text, uint64_t *moment_ms)
{
    int year, month, day, zone_minutes;
    int64_t time_ms;

    if (!take_digits(&text, 4, &year) || !take_char(&text, "-") || !take_digits(&text, 2, &month) ||
        !take_char(&text, "-") || !take_digits(&text, 2, &day) || !is_a_day(year, month, day))
        return false;
    if (!take_char(&text, "T ") || !take_time_of_day(&text, &time_ms) || !take_zone(&text, &zone_minutes))
        return false;
    return *text == 0 &&
           store_moment(days_of(year, month, day) * DAY_MS + time_ms - (int64_t)zone_minutes * MINUTE_MS, moment_ms);
}

/* A count and its unit, "30d". */
static bool
take_span(const char **text, int64_t *ms, char *unit)
{
    int64_t count = 0;

    if (!isdigit((unsigned char)**text))
        return false;
    for (; isdigit((unsigned char)**text); (*text)++) {
        count = count * 10 + (**text - '0');
        if (count > 1000000000)
            return false;
    }
    *unit = **text;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (units[i].unit == *unit) {
            (*text)++;
            *ms = count * units[i].ms;
            return true;
        }
    }
    return false;
}

/* +30d, -2h, +30d 19:30 */
static bool
parse_relative(const char *text, int zone_minutes, uint64_t now_ms, uint64_t *moment_ms)
{
    int64_t sign = *text == '-' ? -1 : 1;
    int64_t now = (int64_t)now_ms, span_ms, time_ms, day;
    char unit;

    text++;
    if (!take_span(&text, &span_ms, &unit))
        return false;
    if (*text == 0)
        return store_moment(now + sign * span_ms, moment_ms);
    if (unit != 'd' || !take_char(&text, " ") || !take_time_of_day(&text, &time_ms) || *text != 0)
        return false;
    day = (now + (int64_t)zone_minutes * MINUTE_MS) / DAY_MS + sign * (span_ms / DAY_MS);
    return store_moment(day * DAY_MS + time_ms - (int64_t)zone_minutes * MINUTE_MS, moment_ms);
}

bool
ctl_moment_is_relative(const char *text)
{
    return *text == '+' || *text == '-';
}

bool
ctl_moment_parse(const char *text, int zone_minutes, uint64_t now_ms, uint64_t *moment_ms)
{
    if (ctl_moment_is_relative(text))
        return parse_relative(text, zone_minutes, now_ms, moment_ms);
    if (ctl_number_parse(text, 0, MOST_MS, moment_ms))
        return true;
    return parse_absolute(text, moment_ms);
}

bool
ctl_duration_parse(const char *text, uint64_t *duration_ms)
{
    int64_t span_ms;
    char unit;

    if (ctl_number_parse(text, 0, MOST_MS, duration_ms))
        return true;
    if (!take_span(&text, &span_ms, &unit) || *text != 0)
        return false;
    *duration_ms = (uint64_t)span_ms;
    return true;
}

bool
ctl_is_moment(const char *field_name)
{
    static const char *const others[] = {"at_ms", "until_ms", "stamp_ms", "since_ms"};
    size_t length = strlen(field_name);

    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(field_name, others[i]) == 0)
            return true;
    return length > 6 && strcmp(field_name + length - 6, "_at_ms") == 0;
}

const char *
ctl_moment_format(uint64_t moment_ms, char text[32])
{
    time_t seconds = (time_t)(moment_ms / 1000);
    struct tm parts;

    if (moment_ms == 0)
        strcpy(text, "-");
    else if (moment_ms > MOST_MS || localtime_r(&seconds, &parts) == NULL)
        snprintf(text, 32, "%" PRIu64, moment_ms);
    else
        strftime(text, 32, "%Y-%m-%d %H:%M:%S", &parts);
    return text;
}

const char *
ctl_duration_format(uint64_t duration_ms, char text[32])
{
    uint64_t seconds = (duration_ms + 500) / 1000;

    if (duration_ms == USHER_UNKNOWN_MS)
        strcpy(text, "unknown");
    else if (duration_ms < 1000)
        snprintf(text, 32, "%" PRIu64 " ms", duration_ms);
    else if (seconds < 120)
        snprintf(text, 32, "%" PRIu64 " s", seconds);
    else if (seconds < 7200)
        snprintf(text, 32, "%" PRIu64 " min", (seconds + 30) / 60);
    else if (seconds < 172800)
        snprintf(text, 32, "%" PRIu64 " h %" PRIu64 " min", seconds / 3600, seconds % 3600 / 60);
    else
        snprintf(text, 32, "%" PRIu64 " d %" PRIu64 " h", seconds / 86400, seconds % 86400 / 3600);
    return text;
}
