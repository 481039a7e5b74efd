/* log.h: what usher-http says of itself and of each request, a line each, as key=value pairs (logfmt).
 *
 * No path, no query, no header and no address stands there: tokens, users and people's addresses stay out of the log
 * (X8). A request is known by its route's pattern, a client by a number that means nothing elsewhere. */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>

#include "http.h"

/* Where requests are logged: a file to append to, "-" for the standard error, "off". False when it can't be opened: why
 * gets one line. */
bool log_open(const char *access_log, bool quiet, char *why, size_t why_size);
void log_close(void);
/* Open the file anew: it may have been moved away (SIGHUP). */
void log_reopen(void);

enum log_level { LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
/* event is one word; the rest, in printf's way, is pairs. */
void log_say(enum log_level level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* An http_access_callback. Lines are gathered and written when the buffer is full or log_flush() is called. */
void log_request(const struct http_access *access, void *unused);
void log_flush(void);

#endif
