/* log.c: lines to stderr. See log.h.
 *
 * A flood of hostile connections must not become a flood of lines: beyond LINES_A_SECOND only errors are written, and
 * the next second begins by saying how many lines were left out. */
#include "server/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define LINES_A_SECOND 200
#define LINE_MOST      1024

static const char *const level_names[] = {
    [LOG_EMERG] = "fatal",  [LOG_ALERT] = "fatal",   [LOG_CRIT] = "fatal", [LOG_ERR] = "error",
    [LOG_WARNING] = "warn", [LOG_NOTICE] = "notice", [LOG_INFO] = "info",  [LOG_DEBUG] = "debug",
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int level_most = LOG_INFO;
static time_t second;
static unsigned lines, left_out;

void
log_set_level(int level)
{
    pthread_mutex_lock(&lock);
    level_most = level;
    pthread_mutex_unlock(&lock);
}

static void
write_line(const char *line, size_t length)
{
    ssize_t ignored = write(STDERR_FILENO, line, length);

    (void)ignored; /* a log that can't be written has nowhere to complain */
}

/* The line's head; returns its length. */
static size_t
begin_line(char *line, const struct timespec *now, int level, const char *event)
{
    struct tm utc;
    char when[32];

    gmtime_r(&now->tv_sec, &utc);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &utc);
    return (size_t)snprintf(line, LINE_MOST, "ts=%s.%03ldZ level=%s event=%s ", when, now->tv_nsec / 1000000,
                            level_names[level], event);
}

static void
say_what_was_left_out(const struct timespec *now)
{
    char line[LINE_MOST + 1];

    if (left_out == 0)
        return;
    size_t length = begin_line(line, now, LOG_WARNING, "lines_left_out");
    length += (size_t)snprintf(line + length, sizeof line - length, "count=%u\n", left_out);
    write_line(line, length);
    left_out = 0;
}

/* Whether this second has room for the line. */
static bool
take_room(const struct timespec *now, int level)
{
    if (now->tv_sec != second) {
        say_what_was_left_out(now);
        second = now->tv_sec;
        lines = 0;
    }
    if (lines >= LINES_A_SECOND && level > LOG_ERR) {
        left_out++;
        return false;
    }
    lines++;
    return true;
}

void
log_line(int level, const char *event, const char *format, ...)
{
    char line[LINE_MOST + 1];
    struct timespec now;
    va_list list;

    clock_gettime(CLOCK_REALTIME, &now);
    pthread_mutex_lock(&lock);
    if (level <= level_most && take_room(&now, level)) {
        size_t length = begin_line(line, &now, level, event);
        va_start(list, format);
        int more = vsnprintf(line + length, LINE_MOST - length, format, list);
        va_end(list);
        if (more > 0)
            length += (size_t)more < LINE_MOST - length ? (size_t)more : LINE_MOST - length - 1;
        line[length++] = '\n';
        write_line(line, length);
    }
    pthread_mutex_unlock(&lock);
}
