/* image.c: files as a power cut leaves them. See image.h. */
#define _GNU_SOURCE 1
#include "tests/power/image.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE   4096u
#define SECTOR 512u
#define WORD   8u

uint64_t
power_random(uint64_t *random)
{
    uint64_t value = *random += 0x9e3779b97f4a7c15u;

    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

static void *
allocate(size_t count, size_t size)
{
    void *memory = calloc(count > 0 ? count : 1, size);

    assert(memory != NULL);
    return memory;
}

/* --- the log --------------------------------------------------------------------------------------------------- */
static bool
read_whole(struct power_log *log, const char *path)
{
    struct stat file;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    if (fstat(fd, &file) == 0) {
        log->size = (size_t)file.st_size;
        log->bytes = allocate(log->size, 1);
    }
    size_t got = 0;
    while (got < log->size) {
        ssize_t more = read(fd, log->bytes + got, log->size - got);
        if (more <= 0)
            break;
        got += (size_t)more;
    }
    close(fd);
    return log->bytes != NULL && got == log->size;
}

bool
power_log_read(struct power_log *log, const char *path)
{
    size_t room = 0;

    memset(log, 0, sizeof *log);
    if (!read_whole(log, path))
        return false;
    for (size_t at = 0; at < log->size;) {
        struct power_entry entry;
        if (log->size - at < sizeof entry.head)
            return false;
        memcpy(&entry.head, log->bytes + at, sizeof entry.head);
        at += sizeof entry.head;
        if (entry.head.magic != POWER_MAGIC)
            return false;
        size_t size = entry.head.size;
        if (log->size - at < size)
            return false;
        entry.data = log->bytes + at;
        at += size;
        if (log->count == room) {
            room = room == 0 ? 4096 : room * 2;
            log->entry = realloc(log->entry, room * sizeof *log->entry);
            assert(log->entry != NULL);
        }
        log->entry[log->count++] = entry;
    }
    return true;
}

void
power_log_free(struct power_log *log)
{
    free(log->bytes);
    free(log->entry);
    memset(log, 0, sizeof *log);
}

/* --- the disk ---------------------------------------------------------------------------------------------------- */
static bool
is_write(const struct power_entry *entry)
{
    return entry->head.kind == POWER_WRITE || entry->head.kind == POWER_SYNC_WRITE;
}

void
power_disk_open(struct power_disk *disk, const struct power_log *log)
{
    memset(disk, 0, sizeof *disk);
    for (size_t i = 0; i < log->count; i++) {
        const struct power_record *head = &log->entry[i].head;
        struct power_file *file = &disk->file[head->file % POWER_FILES];
        size_t end = (size_t)(head->offset + (is_write(&log->entry[i]) ? head->size : 0));
        if (head->kind != POWER_MARK && end > file->room)
            file->room = end;
    }
    for (struct power_file *file = disk->file; file < disk->file + POWER_FILES; file++) {
        file->safe = allocate(file->room, 1);
        file->image = allocate(file->room, 1);
        file->waiting = allocate(log->count, sizeof(const struct power_entry *));
    }
}

void
power_disk_close(struct power_disk *disk)
{
    for (struct power_file *file = disk->file; file < disk->file + POWER_FILES; file++) {
        free(file->safe);
        free(file->image);
        free(file->waiting);
    }
    memset(disk, 0, sizeof *disk);
}

/* Put bytes [from, to) of the file, as far as this write has any of them, into `bytes`. */
static void
put_range(uint8_t *bytes, size_t *length, const struct power_entry *entry, size_t from, size_t to)
{
    size_t begin = (size_t)entry->head.offset, end = begin + (size_t)entry->head.size;

    from = from > begin ? from : begin;
    to = to < end ? to : end;
    if (from >= to)
        return;
    memcpy(bytes + from, entry->data + (from - begin), to - from);
    if (*length < to)
        *length = to;
}

static void
shorten(uint8_t *bytes, size_t room, size_t *length, size_t to)
{
    memset(bytes + to, 0, room - to);
    *length = to;
}

static void
make_safe(struct power_file *file, const struct power_entry *entry, size_t from, size_t to)
{
    if (entry->head.kind == POWER_TRUNCATE && to == SIZE_MAX)
        shorten(file->safe, file->room, &file->safe_length, (size_t)entry->head.offset);
    else if (is_write(entry))
        put_range(file->safe, &file->safe_length, entry, from, to);
}

/* A synced write takes with it what waits for the same pages, for the page cache has only one of each. */
static void
sync_pages(struct power_file *file, const struct power_entry *entry)
{
    size_t from = (size_t)entry->head.offset / PAGE * PAGE;
    size_t to = ((size_t)(entry->head.offset + entry->head.size) + PAGE - 1) / PAGE * PAGE;

    for (size_t i = 0; i < file->waiting_count; i++)
        make_safe(file, file->waiting[i], from, to);
    make_safe(file, entry, from, to);
}

void
power_disk_step(struct power_disk *disk, const struct power_entry *entry)
{
    struct power_file *file = &disk->file[entry->head.file % POWER_FILES];
    size_t end = (size_t)(entry->head.offset + entry->head.size);

    if (entry->head.kind == POWER_TRUNCATE)
        file->length = (size_t)entry->head.offset;
    else if (is_write(entry) && file->length < end)
        file->length = end;
    if (entry->head.kind == POWER_SYNC) {
        for (size_t i = 0; i < file->waiting_count; i++)
            make_safe(file, file->waiting[i], 0, SIZE_MAX);
        file->waiting_count = 0;
        file->safe_length = file->length;
    } else if (entry->head.kind == POWER_SYNC_WRITE) {
        sync_pages(file, entry);
    } else if (entry->head.kind != POWER_MARK) {
        file->waiting[file->waiting_count++] = entry;
    }
}

/* --- cuts ----------------------------------------------------------------------------------------------------------
 */
/* Each piece of a write by lots. */
static void
put_some(struct power_file *file, size_t *length, const struct power_entry *entry, size_t piece, uint64_t *random)
{
    size_t begin = (size_t)entry->head.offset, end = begin + (size_t)entry->head.size;

    for (size_t from = begin / piece * piece; from < end; from += piece)
        if (power_random(random) % 2 == 0)
            put_range(file->image, length, entry, from, from + piece);
}

static void
put_waiting(struct power_file *file, size_t *length, const struct power_entry *entry, enum power_cut cut,
            uint64_t *random)
{
    static const size_t pieces[] = {[POWER_PAGES] = PAGE, [POWER_SECTORS] = SECTOR, [POWER_WORDS] = WORD};

    if (cut == POWER_NOTHING)
        return;
    if (entry->head.kind == POWER_TRUNCATE) {
        /* Only ever used to lengthen: what it would cut off is not ours to model. */
        size_t to = (size_t)entry->head.offset;
        if (to > *length && (cut == POWER_ALL || power_random(random) % 2 == 0))
            *length = to;
        return;
    }
    if (cut == POWER_ALL)
        put_range(file->image, length, entry, 0, SIZE_MAX);
    else
        put_some(file, length, entry, pieces[cut], random);
}

static bool
write_file(const char *path, const uint8_t *bytes, size_t size)
{
    size_t done = 0;

    unlink(path); /* some file systems wait for the disk when a file is cut to nothing and written again */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        return false;
    while (done < size) {
        ssize_t more = write(fd, bytes + done, size - done);
        if (more <= 0)
            break;
        done += (size_t)more;
    }
    return close(fd) == 0 && done == size;
}

/* A file of which nothing is there has no name either. */
static bool
file_image(struct power_file *file, const struct power_entry *next, enum power_cut cut, uint64_t *random,
           const char *path)
{
    size_t length = file->safe_length, seen = file->length;
    size_t count = file->waiting_count;
    const struct power_entry **order = file->waiting; /* room for every entry of the log */

    memcpy(file->image, file->safe, file->room);
    if (next != NULL && is_write(next)) {
        size_t end = (size_t)(next->head.offset + next->head.size);
        seen = seen > end ? seen : end;
    }
    if (cut != POWER_NOTHING && cut != POWER_ALL) {
        /* In any order: begin anywhere, and go backwards or forwards. */
        size_t from = count > 0 ? power_random(random) % count : 0;
        bool backwards = power_random(random) % 2 == 0;
        bool next_first = power_random(random) % 2 == 0;
        if (next != NULL && is_write(next) && next_first)
            put_waiting(file, &length, next, cut, random);
        for (size_t i = 0; i < count; i++)
            put_waiting(file, &length, order[(from + (backwards ? count - i : i)) % count], cut, random);
        if (next != NULL && is_write(next) && !next_first)
            put_waiting(file, &length, next, cut, random);
        if (power_random(random) % 4 == 0)
            length = seen;
    } else {
        for (size_t i = 0; i < count; i++)
            put_waiting(file, &length, order[i], cut, random);
        if (next != NULL && is_write(next))
            put_waiting(file, &length, next, cut, random);
    }
    if (length == 0)
        return unlink(path) == 0 || errno == ENOENT;
    return write_file(path, file->image, length);
}

bool
power_disk_image(struct power_disk *disk, const struct power_entry *next, enum power_cut cut, uint64_t *random,
                 const char *folder)
{
    static const char *const names[] = POWER_FILES_NAMES;
    bool good = true;

    for (unsigned number = 0; good && number < POWER_FILES; number++) {
        char path[PATH_MAX];

        snprintf(path, sizeof path, "%s/%s", folder, names[number]);
        good = file_image(&disk->file[number], next != NULL && next->head.file == number ? next : NULL, cut, random,
                          path);
    }
    return good;
}
