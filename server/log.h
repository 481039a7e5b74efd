/* log.h: one line for each thing worth knowing, to stderr, as key=value pairs (logfmt). No secrets, no names: users are
 * not mentioned, clients by their number (X8). */
#ifndef LOG_H
#define LOG_H

/* Lines of a level above this one (syslog's numbers: higher is chattier) are left out. LOG_INFO at first. */
void log_set_level(int level);

/* A line of this level: event is one word; the rest, in printf's way, is pairs. May be called by any thread. */
void log_line(int level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
