/* catalogue_lines.c: which line of the source each value stands on.
 *
 * jansson tells lines for errors of syntax alone. Once it has accepted a text, this small scan goes over it again and
 * notes the line of every value under its path; it may take the syntax for granted. */
#include "catalogue.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scan {
    struct catalogue_lines *lines;
    const char *at;
    unsigned line;
    char path[CATALOGUE_PATH_MOST];
    size_t length; /* of the path; at CATALOGUE_PATH_MOST it is too long to be noted */
};

static void scan_value(struct scan *scan);

static void
skip_space(struct scan *scan)
{
    for (; *scan->at == ' ' || *scan->at == '\t' || *scan->at == '\r' || *scan->at == '\n'; scan->at++)
        if (*scan->at == '\n')
            scan->line++;
}

/* Over a string, quotes included; returns its beginning and length between them. */
static const char *
skip_string(struct scan *scan, size_t *length)
{
    const char *begin = ++scan->at;

    while (*scan->at != '"') {
        assert(*scan->at != 0);
        scan->at += *scan->at == '\\' ? 2 : 1;
    }
    *length = (size_t)(scan->at++ - begin);
    return begin;
}

static void
note(struct scan *scan)
{
    struct catalogue_lines *lines = scan->lines;

    if (scan->length >= CATALOGUE_PATH_MOST)
        return;
    if (lines->count == lines->room) {
        lines->room = lines->room == 0 ? 256 : 2 * lines->room;
        lines->line = realloc(lines->line, lines->room * sizeof *lines->line);
        if (lines->line == NULL)
            abort();
    }
    lines->line[lines->count].line = scan->line;
    lines->line[lines->count].path = strdup(scan->path);
    if (lines->line[lines->count++].path == NULL)
        abort();
}

/* Scan a member or an element under the path that is longer by this piece. */
static void
scan_under(struct scan *scan, const char *piece, size_t size)
{
    size_t before = scan->length;

    if (before + size < CATALOGUE_PATH_MOST) {
        memcpy(scan->path + before, piece, size);
        scan->length += size;
        scan->path[scan->length] = 0;
    } else {
        scan->length = CATALOGUE_PATH_MOST;
    }
    scan_value(scan);
    scan->length = before;
    if (before < CATALOGUE_PATH_MOST)
        scan->path[before] = 0;
}

static void
scan_object(struct scan *scan)
{
    scan->at++;
    for (;;) {
        char piece[CATALOGUE_PATH_MOST];
        const char *key;
        size_t length;

        skip_space(scan);
        if (*scan->at == '}')
            break;
        key = skip_string(scan, &length);
        snprintf(piece, sizeof piece, "%s%.*s", scan->length > 0 ? "." : "", (int)(length < 200 ? length : 200), key);
        skip_space(scan);
        scan->at++; /* the colon */
        skip_space(scan);
        scan_under(scan, piece, strlen(piece));
        skip_space(scan);
        if (*scan->at == ',')
            scan->at++;
    }
    scan->at++;
}

static void
scan_array(struct scan *scan)
{
    scan->at++;
    for (unsigned index = 0;; index++) {
        char piece[16];

        skip_space(scan);
        if (*scan->at == ']')
            break;
        snprintf(piece, sizeof piece, "[%u]", index);
        scan_under(scan, piece, strlen(piece));
        skip_space(scan);
        if (*scan->at == ',')
            scan->at++;
    }
    scan->at++;
}

static void
scan_value(struct scan *scan)
{
    size_t length;

    note(scan);
    if (*scan->at == '{')
        scan_object(scan);
    else if (*scan->at == '[')
        scan_array(scan);
    else if (*scan->at == '"')
        skip_string(scan, &length);
    else
        scan->at += strcspn(scan->at, ",]} \t\r\n");
}

void
catalogue_lines_scan(struct catalogue_lines *lines, const char *text)
{
    struct scan scan = {.lines = lines, .at = text, .line = 1};

    skip_space(&scan);
    scan_value(&scan);
}

unsigned
catalogue_line_of(const struct catalogue_lines *lines, const char *path)
{
    char shorter[CATALOGUE_PATH_MOST];

    snprintf(shorter, sizeof shorter, "%s", path);
    for (;;) {
        char *end = shorter + strlen(shorter);

        for (size_t i = 0; i < lines->count; i++)
            if (strcmp(lines->line[i].path, shorter) == 0)
                return lines->line[i].line;
        if (*shorter == 0)
            return 1;
        while (end > shorter && *end != '.' && *end != '[')
            end--;
        *end = 0;
    }
}

void
catalogue_lines_free(struct catalogue_lines *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        free(lines->line[i].path);
    free(lines->line);
    memset(lines, 0, sizeof *lines);
}
