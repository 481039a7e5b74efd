/* catalogue.c: catalogue files: reading one, telling its mistakes, the two commands. */
#include "catalogue.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CATALOGUE_SIZE_MOST (64u << 20)

/* --- mistakes ----------------------------------------------------------------------------------------- */
void *
catalogue_grow(void *list, size_t *count, size_t size)
{
    char *grown = list;

    /* Doubling at powers of two: the count says when. */
    if ((*count & (*count - 1)) == 0) {
        grown = realloc(list, (*count == 0 ? 1 : 2 * *count) * size);
        if (grown == NULL)
            abort();
    }
    memset(grown + *count * size, 0, size);
    ++*count;
    return grown;
}

static void
add_mistake(struct catalogue *catalogue, unsigned line, const char *path, const char *format, va_list arguments)
{
    char text[512];
    size_t length = 0;

    if (*path != 0)
        length = (size_t)snprintf(text, sizeof text, "%s: ", path);
    if (length < sizeof text)
        vsnprintf(text + length, sizeof text - length, format, arguments);
    catalogue->mistake = catalogue_grow(catalogue->mistake, &catalogue->mistake_count, sizeof *catalogue->mistake);
    catalogue->mistake[catalogue->mistake_count - 1].line = line;
    catalogue->mistake[catalogue->mistake_count - 1].text = strdup(text);
}

void
catalogue_mistake(struct catalogue *catalogue, const char *path, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    add_mistake(catalogue, catalogue_line_of(&catalogue->lines, path), path, format, arguments);
    va_end(arguments);
}

void
catalogue_mistake_at(struct catalogue *catalogue, unsigned line, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    add_mistake(catalogue, line, "", format, arguments);
    va_end(arguments);
}

static int
by_line(const void *one, const void *other)
{
    const struct catalogue_mistake *a = one, *b = other;

    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    return strcmp(a->text, b->text);
}

/* Print what was found: in JSON on the standard output, and for people on the standard error, as compilers do. */
static enum ctl_code
tell_mistakes(const struct ctl *ctl, struct catalogue *catalogue)
{
    json_t *list = json_array();

    qsort(catalogue->mistake, catalogue->mistake_count, sizeof *catalogue->mistake, by_line);
    for (size_t i = 0; i < catalogue->mistake_count; i++) {
        const struct catalogue_mistake *mistake = &catalogue->mistake[i];
        fprintf(stderr, "%s:%u: %s\n", catalogue->file, mistake->line, mistake->text);
        json_array_append_new(list, json_pack("{s:i, s:s}", "line", (int)mistake->line, "text", mistake->text));
    }
    if (ctl->json)
        ctl_print_json(json_pack("{s:s, s:O}", "file", catalogue->file, "mistakes", list));
    json_decref(list);
    return ctl_fail(ctl, CTL_USAGE, "%zu mistake%s in %s; nothing was changed", catalogue->mistake_count,
                    catalogue->mistake_count == 1 ? "" : "s", catalogue->file);
}

/* --- reading ------------------------------------------------------------------------------------------ */
/* The whole file, ended by NUL; NULL with errno set. */
static char *
read_whole(const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = NULL;
    size_t size = 0, room = 0;

    while (file != NULL && !feof(file) && !ferror(file) && size < CATALOGUE_SIZE_MOST) {
        if (room - size < 65536) {
            room = room == 0 ? 131072 : 2 * room;
            text = realloc(text, room);
            if (text == NULL)
                abort();
        }
        size += fread(text + size, 1, 65535, file);
        text[size] = 0;
    }
    if (file == NULL || ferror(file) || size >= CATALOGUE_SIZE_MOST || strlen(text) != size) {
        int failure = file == NULL || ferror(file) ? errno : size >= CATALOGUE_SIZE_MOST ? EFBIG : EINVAL;
        if (file != NULL)
            fclose(file);
        free(text);
        errno = failure;
        return NULL;
    }
    fclose(file);
    return text;
}

/* Read and check. On CTL_OK the catalogue is sound. */
static enum ctl_code
catalogue_open(struct ctl *ctl, struct catalogue *catalogue, const char *file, uint64_t now_ms)
{
    char *text = read_whole(file);
    json_error_t error;

    *catalogue = (struct catalogue){.file = file, .now_ms = now_ms};
    if (text == NULL)
        return ctl_fail(ctl, CTL_USAGE, "%s: %s", file, errno == EINVAL ? "it is not text" : strerror(errno));
    catalogue->root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (catalogue->root == NULL) {
        catalogue_mistake_at(catalogue, error.line > 0 ? (unsigned)error.line : 1, "%s", error.text);
    } else {
        catalogue_lines_scan(&catalogue->lines, text);
        catalogue_check(catalogue);
    }
    free(text);
    return catalogue->mistake_count == 0 ? CTL_OK : tell_mistakes(ctl, catalogue);
}

static void
catalogue_close(struct catalogue *catalogue)
{
    for (size_t i = 0; i < catalogue->mistake_count; i++)
        free(catalogue->mistake[i].text);
    free(catalogue->mistake);
    free(catalogue->policy);
    free(catalogue->queue);
    free(catalogue->plan);
    free(catalogue->concert);
    free(catalogue->date);
    catalogue_lines_free(&catalogue->lines);
    json_decref(catalogue->root);
}

/* --- commands ----------------------------------------------------------------------------------------- */
static enum ctl_code
take_file(struct ctl *ctl, struct ctl_words words)
{
    if (words.count == 0)
        return ctl_fail(ctl, CTL_USAGE, "FILE is missing; docs/catalogue.md describes its format");
    return ctl_has_leftovers(ctl, (struct ctl_words){words.word + 1, words.count - 1}) ? CTL_USAGE : CTL_OK;
}

enum ctl_code
ctl_catalogue_check(struct ctl *ctl, struct ctl_words words)
{
    struct catalogue catalogue;
    enum ctl_code code = take_file(ctl, words);
    uint64_t seats = 0;

    if (code != CTL_OK)
        return code;
    code = catalogue_open(ctl, &catalogue, words.word[0], (uint64_t)time(NULL) * 1000);
    for (size_t i = 0; code == CTL_OK && i < catalogue.date_count; i++)
        for (size_t k = 0; k < catalogue.plan_count; k++)
            if (catalogue.plan[k].put.plan_id == catalogue.date[i].put.plan_id)
                seats += catalogue.plan[k].seat_count;
    if (code == CTL_OK && ctl->json)
        ctl_print_json(json_pack("{s:s, s:[]}", "file", catalogue.file, "mistakes"));
    else if (code == CTL_OK)
        printf("%s is sound: %zu queues, %zu plans, %zu concerts, %zu dates, %" PRIu64 " seats\n", catalogue.file,
               catalogue.queue_count, catalogue.plan_count, catalogue.concert_count, catalogue.date_count, seats);
    catalogue_close(&catalogue);
    return code;
}

enum ctl_code
ctl_catalogue_load(struct ctl *ctl, struct ctl_words words)
{
    struct catalogue catalogue;
    uint64_t now_ms = (uint64_t)time(NULL) * 1000;
    enum ctl_code code = take_file(ctl, words);

    if (code != CTL_OK)
        return code;
    /* The file is looked at before the server is asked: a mistake is told even if nobody serves. */
    code = catalogue_open(ctl, &catalogue, words.word[0], now_ms);
    catalogue_close(&catalogue);
    if (code == CTL_OK)
        code = ctl_server_time(ctl, &now_ms);
    if (code != CTL_OK)
        return code;
    code = catalogue_open(ctl, &catalogue, words.word[0], now_ms);
    if (code == CTL_OK)
        code = catalogue_load(ctl, &catalogue);
    if (catalogue.mistake_count > 0 && code == CTL_OK)
        code = tell_mistakes(ctl, &catalogue);
    catalogue_close(&catalogue);
    return code;
}
