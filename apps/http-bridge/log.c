/* log.c: see log.h. Requests come by the ten thousand, so their lines are gathered, and written once in a while; a line
 * about the bridge itself is written at once. */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MOST 512

static const char *path;
static int descriptor = -1; /* of the access log; -1: none */
static bool is_quiet;
static char gathered[65536];
static size_t gathered_size;

/* "2027-01-31T10:30:00.123Z" */
static int
write_moment(char *line, size_t size)
{
    struct timespec now;
    struct tm utc;
    char second[32];

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(second, sizeof second, "%Y-%m-%dT%H:%M:%S", &utc);
    return snprintf(line, size, "ts=%s.%03ldZ ", second, now.tv_nsec / 1000000);
}

bool
log_open(const char *access_log, bool quiet, char *why, size_t why_size)
{
    is_quiet = quiet;
    path = access_log;
    if (strcmp(access_log, "off") == 0)
        return true;
    if (strcmp(access_log, "-") == 0) {
        descriptor = quiet ? -1 : STDERR_FILENO;
        return true;
    }
    descriptor = open(access_log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (descriptor >= 0)
        return true;
    snprintf(why, why_size, "can't append to %s: %s", access_log, strerror(errno));
    return false;
}

void
log_flush(void)
{
    for (size_t at = 0; at < gathered_size && descriptor >= 0;) {
        ssize_t written = write(descriptor, gathered + at, gathered_size - at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            break; /* a log that can't be written has nowhere to complain */
        at += (size_t)written;
    }
    gathered_size = 0;
}

void
log_close(void)
{
    log_flush();
    if (descriptor > STDERR_FILENO)
        close(descriptor);
    descriptor = -1;
}

void
log_reopen(void)
{
    int again;

    log_flush();
    if (descriptor <= STDERR_FILENO)
        return;
    again = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (again < 0) {
        log_say(LOG_LEVEL_ERROR, "access_log", "failed=%d", errno); /* and the old one goes on */
        return;
    }
    close(descriptor);
    descriptor = again;
}

void
log_say(enum log_level level, const char *event, const char *format, ...)
{
    static const char *const names[] = {"info", "warn", "error"};
    char line[LINE_MOST];
    va_list list;
    int size;

    if (is_quiet && level == LOG_LEVEL_INFO)
        return;
    log_flush();
    size = write_moment(line, sizeof line);
    size += snprintf(line + size, sizeof line - (size_t)size, "level=%s event=%s ", names[level], event);
    va_start(list, format);
    size += vsnprintf(line + size, sizeof line - (size_t)size, format, list);
    va_end(list);
    if (size > LINE_MOST - 1)
        size = LINE_MOST - 1;
    line[size++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)size) < 0)
        return; /* as above */
}

void
log_request(const struct http_access *access, void *unused)
{
    char *line = gathered + gathered_size;
    int size;

    (void)unused;
    if (descriptor < 0)
        return;
    size = write_moment(line, LINE_MOST);
    size += snprintf(line + size, LINE_MOST - (size_t)size,
                     "level=info event=request method=%s route=%s status=%u in=%" PRIu64 " out=%" PRIu64 " us=%" PRIu64
                     " client=%08" PRIx32 "%s%s\n",
                     access->method, access->pattern, access->status, access->bytes_in, access->bytes_out,
                     access->duration_us, access->client, access->traceparent == NULL ? "" : " traceparent=",
                     access->traceparent == NULL ? "" : access->traceparent);
    gathered_size += (size_t)size;
    if (gathered_size > sizeof gathered - LINE_MOST)
        log_flush();
}
