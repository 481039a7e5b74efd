/* catalogue.h: a catalogue file in memory. docs/catalogue.md describes the format.
 *
 *   catalogue.c        reads the file, the commands      catalogue_check.c  every mistake, before anything is changed
 *   catalogue_lines.c  which line a value stands on      catalogue_load.c   what differs from the server is put */
#ifndef CTL_CATALOGUE_H
#define CTL_CATALOGUE_H

#include <jansson.h>

#include "ctl.h"

#define CATALOGUE_PATH_MOST 256

/* --- lines ------------------------------------------------------------------------------------------- */
struct catalogue_line {
    char *path; /* "concerts[0].dates[2].starts_at"; "" for the file's own object */
    unsigned line;
};
struct catalogue_lines {
    struct catalogue_line *line;
    size_t count, room;
};
/* Walk over text that a JSON parser has accepted and note where each value begins. */
void catalogue_lines_scan(struct catalogue_lines *lines, const char *text);
/* The line of a path, or of what is left of it when its last member is not there. */
unsigned catalogue_line_of(const struct catalogue_lines *lines, const char *path);
void catalogue_lines_free(struct catalogue_lines *lines);

/* --- the file ---------------------------------------------------------------------------------------- */
/* Moments of a date that were given relative to now: they are settled when the date is new, and stay. */
#define CATALOGUE_STARTS_RELATIVE 1u
#define CATALOGUE_OPENS_RELATIVE  2u
#define CATALOGUE_CLOSES_RELATIVE 4u

struct catalogue_policy {
    const usher_policy_rule *rule;
    uint32_t queue_id; /* if the rule is of a queue */
    uint64_t value;
    bool relative;
    unsigned line;
};
struct catalogue_date {
    usher_put_date_request put;
    unsigned relative;
    unsigned line;
};
struct catalogue_concert {
    usher_put_concert_request put;
    unsigned line;
};
struct catalogue_plan {
    usher_put_plan_request put;
    uint32_t seat_count;
    unsigned line;
};
struct catalogue_queue {
    usher_put_queue_request put;
    unsigned line;
};
struct catalogue_mistake {
    unsigned line;
    char *text;
};

struct catalogue {
    const char *file; /* its name */
    json_t *root;
    struct catalogue_lines lines;
    int zone_minutes;
    uint64_t now_ms; /* what relative times are relative to */

    struct catalogue_policy *policy;
    struct catalogue_queue *queue;
    struct catalogue_plan *plan;
    struct catalogue_concert *concert;
    struct catalogue_date *date;
    size_t policy_count, queue_count, plan_count, concert_count, date_count;

    struct catalogue_mistake *mistake;
    size_t mistake_count;
};

/* catalogue.c: note a mistake in the value at this path. */
void catalogue_mistake(struct catalogue *catalogue, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void catalogue_mistake_at(struct catalogue *catalogue, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Room for one more element of a list, zeroed; ends the program without memory. */
void *catalogue_grow(void *list, size_t *count, size_t size);

/* catalogue_check.c: look at everything, note every mistake, fill in the lists with what is sound. */
void catalogue_check(struct catalogue *catalogue);

/* catalogue_load.c: put what differs. Nothing is changed if a check against the server finds a mistake. */
enum ctl_code catalogue_load(struct ctl *ctl, struct catalogue *catalogue);

#endif
