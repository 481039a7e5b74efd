/* shim.c: preloaded into a program that has a store open, records everything that changes the store's files or makes
 * them durable, in order, into the log that USHER_POWER_LOG names (record.h). image.c builds from it what a power cut
 * would leave behind.
 *
 * LMDB 0.9.24 writes a transaction like this: its pages through one descriptor (lseek and writev for neighbours, pwrite
 * for one), then fdatasync, then 120 bytes of a meta page by pwrite through a second descriptor, opened with O_DSYNC.
 * The journal's front is written by pwrite through a descriptor opened with O_DSYNC and O_DIRECT; the latter is left out
 * here, so that halves of blocks can be written.
 *
 * Each of these calls can also be made to fail, or to be the program's last.
 *
 * Syncs are recorded and not carried out: the disk of the test machine proves nothing, and the log is what counts. One
 * lock is held over each call and its record, so that the log's order is the order in which things happened. */
#define _GNU_SOURCE 1
#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/power/record.h"

#define EVERYBODYS       __attribute__((visibility("default")))
#define DESCRIPTORS_MOST 4096

enum watched { NOT_WATCHED, WATCHED, WATCHED_SYNC };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned char watched[DESCRIPTORS_MOST], file_of[DESCRIPTORS_MOST];
static int log_fd = -1;

/* The libc's own, by name. */
static void *
libc_of(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);

    assert(found != NULL);
    return found;
}

#define LIBC(result, name, ...)                                                                                        \
    static result (*real)(__VA_ARGS__);                                                                                \
    if (real == NULL)                                                                                                  \
    real = (result(*)(__VA_ARGS__))libc_of(#name)

/* --- the log ------------------------------------------------------------------------------------------------- */
/* One record is one write to the end of the log, so that processes with the same store open can share a log: LMDB's
 * lock orders what they do, and the system orders their records. */
static void
record(enum power_kind kind, unsigned file, uint64_t offset, const struct iovec *part)
{
    struct power_record head = {
        .magic = POWER_MAGIC, .kind = (uint16_t)kind, .file = (uint16_t)file, .offset = offset};
    struct iovec parts[2] = {{&head, sizeof head}, {NULL, 0}};
    LIBC(ssize_t, writev, int, const struct iovec *, int);

    if (log_fd < 0)
        return;
    if (part != NULL)
        parts[1] = *part;
    head.size = parts[1].iov_len;
    ssize_t written = real(log_fd, parts, 2);
    assert(written == (ssize_t)(sizeof head + head.size));
}

EVERYBODYS void
power_mark(const void *data, size_t size)
{
    const struct iovec part = {(void *)(uintptr_t)data, size};

    pthread_mutex_lock(&lock);
    record(POWER_MARK, 0, 0, &part);
    pthread_mutex_unlock(&lock);
}

/* --- failing ------------------------------------------------------------------------------------------------- */
static uint64_t calls, fail_first, fail_end; /* fail_first <= number of the call < fail_end */
static uint64_t fail_every;                  /* and again after so many; 0: once */
static int fail_error;
static enum power_failing fail_how;

EVERYBODYS void
power_fail(uint64_t nth, uint64_t count, int error, enum power_failing how)
{
    pthread_mutex_lock(&lock);
    calls = 0;
    fail_first = nth;
    fail_end = count == 0 ? 0 : nth + count;
    fail_every = 0;
    fail_error = error;
    fail_how = how;
    pthread_mutex_unlock(&lock);
}

EVERYBODYS uint64_t
power_count(void)
{
    return calls;
}

/* --- dying --------------------------------------------------------------------------------------------------- */
#define PAGE 4096u

static uint64_t life, die_at; /* calls so far; 0: it lives on */

static _Noreturn void
die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* Die here, if it is the time for it. part: 0 before a call, 1 in its middle, 2 after it. Under the lock. */
static bool
dies_in(unsigned part)
{
    return die_at != 0 && life == die_at && die_at % 3 == part;
}

/* The pages that a kill leaves of a write; none of one within a page. */
static ssize_t
write_half(int fd, const struct iovec *parts, int count, uint64_t offset)
{
    size_t size = 0;
    LIBC(ssize_t, pwritev, int, const struct iovec *, int, off_t);

    for (int i = 0; i < count; i++)
        size += parts[i].iov_len;
    size = size / 2 / PAGE * PAGE;
    struct iovec half = parts[0];
    half.iov_len = half.iov_len < size ? half.iov_len : size;
    return half.iov_len == 0 ? 0 : real(fd, &half, 1, (off_t)offset);
}

/* What USHER_POWER_FAIL asks for. Under the lock. */
static void
read_failing(void)
{
    const char *asked = getenv(POWER_FAIL_ENV);
    char *rest;

    if (asked == NULL)
        return;
    fail_first = strtoull(asked, &rest, 10);
    fail_end = fail_first + strtoull(rest, &rest, 10);
    fail_every = strtoull(rest, NULL, 10);
    fail_error = EIO;
    fail_how = POWER_FAIL_BEFORE;
}

/* Is it the turn of this call to fail? Under the lock. */
static bool
is_failing(void)
{
    if (calls < fail_first || fail_end == 0)
        return false;
    uint64_t at = fail_every == 0 ? calls : fail_first + (calls - fail_first) % fail_every;
    return at < fail_end;
}

enum verdict { GOES_WELL, FAILS_BEFORE, FAILS_HALF, FAILS_AFTER };

/* Count a call; what is to become of it? Under the lock. */
static enum verdict
judge(void)
{
    static const enum verdict verdicts[] = {
        [POWER_FAIL_BEFORE] = FAILS_BEFORE,
        [POWER_FAIL_HALF] = FAILS_HALF,
        [POWER_FAIL_AFTER] = FAILS_AFTER,
        [POWER_FAIL_AFTER_THEN_BEFORE] = FAILS_BEFORE,
    };

    calls++;
    life++;
    if (dies_in(0))
        die();
    if (!is_failing())
        return GOES_WELL;
    return fail_how == POWER_FAIL_AFTER_THEN_BEFORE && calls == fail_first ? FAILS_AFTER : verdicts[fail_how];
}

static int
failed(void)
{
    errno = fail_error;
    return -1;
}

static enum watched
how_watched(int fd)
{
    return fd >= 0 && fd < DESCRIPTORS_MOST ? (enum watched)watched[fd] : NOT_WATCHED;
}

/* --- opening and closing ------------------------------------------------------------------------------------ */
/* Which of the watched files it is; POWER_FILES for none. */
static unsigned
which_file(const char *path)
{
    static const char *const names[] = POWER_FILES_NAMES;
    const char *name = strrchr(path, '/');
    unsigned file = 0;

    while (file < POWER_FILES && (name == NULL || strcmp(name + 1, names[file]) != 0))
        file++;
    return file;
}

static void
note_open(int fd, unsigned file, int flags)
{
    if (fd < 0 || fd >= DESCRIPTORS_MOST)
        return;
    pthread_mutex_lock(&lock);
    watched[fd] = NOT_WATCHED;
    file_of[fd] = (unsigned char)file;
    if (file < POWER_FILES)
        watched[fd] = (flags & (O_DSYNC | O_SYNC)) != 0 ? WATCHED_SYNC : WATCHED;
    if (watched[fd] != NOT_WATCHED && log_fd < 0 && getenv(POWER_LOG_ENV) != NULL) {
        LIBC(int, open, const char *, int, ...);
        log_fd = real(getenv(POWER_LOG_ENV), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        assert(log_fd >= 0);
        die_at = getenv(POWER_DIE_ENV) == NULL ? 0 : strtoull(getenv(POWER_DIE_ENV), NULL, 10);
        read_failing();
    }
    pthread_mutex_unlock(&lock);
}

#define OPEN(name)                                                                                                     \
    EVERYBODYS int name(const char *path, int flags, ...)                                                              \
    {                                                                                                                  \
        va_list rest;                                                                                                  \
        mode_t mode = 0;                                                                                               \
        LIBC(int, name, const char *, int, ...);                                                                       \
                                                                                                                       \
        va_start(rest, flags);                                                                                         \
        if ((flags & (O_CREAT | O_TMPFILE)) != 0)                                                                      \
            mode = va_arg(rest, mode_t);                                                                               \
        va_end(rest);                                                                                                  \
        unsigned file = which_file(path);                                                                              \
        int fd = real(path, file < POWER_FILES ? flags & ~O_DIRECT : flags, mode);                                     \
        note_open(fd, file, flags);                                                                                    \
        return fd;                                                                                                     \
    }
OPEN(open)
OPEN(open64)

EVERYBODYS int
close(int fd)
{
    LIBC(int, close, int);

    pthread_mutex_lock(&lock);
    if (how_watched(fd) != NOT_WATCHED)
        watched[fd] = NOT_WATCHED;
    int result = real(fd);
    pthread_mutex_unlock(&lock);
    return result;
}

/* --- writing ------------------------------------------------------------------------------------------------- */
/* What was written of these parts, beginning there. */
static void
record_write(int fd, uint64_t offset, const struct iovec *parts, int count, ssize_t written)
{
    enum power_kind kind = how_watched(fd) == WATCHED_SYNC ? POWER_SYNC_WRITE : POWER_WRITE;
    size_t left = written > 0 ? (size_t)written : 0;

    for (int i = 0; i < count && left > 0; i++) {
        struct iovec part = parts[i];
        part.iov_len = part.iov_len < left ? part.iov_len : left;
        record(kind, file_of[fd], offset, &part);
        offset += part.iov_len;
        left -= part.iov_len;
    }
}

/* Carry a write out, here or where the descriptor stands, unless it has to fail. Under the lock. */
static ssize_t
write_parts(int fd, const struct iovec *parts, int count, uint64_t offset, bool here)
{
    struct iovec half = parts[0];
    enum verdict verdict = judge();
    LIBC(ssize_t, pwritev, int, const struct iovec *, int, off_t);

    if (verdict == FAILS_BEFORE)
        return failed();
    if (verdict == FAILS_HALF) {
        half.iov_len /= 2;
        parts = &half;
        count = 1;
    }
    bool dies = dies_in(1);
    ssize_t written = dies ? write_half(fd, parts, count, offset) : real(fd, parts, count, (off_t)offset);
    record_write(fd, offset, parts, count, written);
    if (dies || dies_in(2))
        die();
    if (here && written > 0)
        lseek(fd, (off_t)offset + written, SEEK_SET);
    return verdict == FAILS_AFTER ? failed() : written;
}

static ssize_t
write_locked(int fd, const struct iovec *parts, int count, off_t offset, bool here)
{
    pthread_mutex_lock(&lock);
    if (here)
        offset = lseek(fd, 0, SEEK_CUR);
    ssize_t written = write_parts(fd, parts, count, (uint64_t)offset, here);
    pthread_mutex_unlock(&lock);
    return written;
}

#define PWRITE(name)                                                                                                   \
    EVERYBODYS ssize_t name(int fd, const void *data, size_t size, off_t offset)                                       \
    {                                                                                                                  \
        const struct iovec part = {(void *)(uintptr_t)data, size};                                                     \
        LIBC(ssize_t, name, int, const void *, size_t, off_t);                                                         \
                                                                                                                       \
        return how_watched(fd) == NOT_WATCHED ? real(fd, data, size, offset)                                           \
                                              : write_locked(fd, &part, 1, offset, false);                             \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define PWRITEV(name)                                                                                                  \
    EVERYBODYS ssize_t name(int fd, const struct iovec *parts, int count, off_t offset)                                \
    {                                                                                                                  \
        LIBC(ssize_t, name, int, const struct iovec *, int, off_t);                                                    \
                                                                                                                       \
        return how_watched(fd) == NOT_WATCHED ? real(fd, parts, count, offset)                                         \
                                              : write_locked(fd, parts, count, offset, false);                         \
    }
PWRITEV(pwritev)
PWRITEV(pwritev64)

EVERYBODYS ssize_t
writev(int fd, const struct iovec *parts, int count)
{
    LIBC(ssize_t, writev, int, const struct iovec *, int);

    return how_watched(fd) == NOT_WATCHED ? real(fd, parts, count) : write_locked(fd, parts, count, 0, true);
}

EVERYBODYS ssize_t
write(int fd, const void *data, size_t size)
{
    const struct iovec part = {(void *)(uintptr_t)data, size};
    LIBC(ssize_t, write, int, const void *, size_t);

    return how_watched(fd) == NOT_WATCHED ? real(fd, data, size) : write_locked(fd, &part, 1, 0, true);
}

#define FTRUNCATE(name)                                                                                                \
    EVERYBODYS int name(int fd, off_t length)                                                                          \
    {                                                                                                                  \
        LIBC(int, name, int, off_t);                                                                                   \
                                                                                                                       \
        if (how_watched(fd) == NOT_WATCHED)                                                                            \
            return real(fd, length);                                                                                   \
        pthread_mutex_lock(&lock);                                                                                     \
        int result = real(fd, length);                                                                                 \
        if (result == 0)                                                                                               \
            record(POWER_TRUNCATE, file_of[fd], (uint64_t)length, NULL);                                                            \
        pthread_mutex_unlock(&lock);                                                                                   \
        return result;                                                                                                 \
    }
FTRUNCATE(ftruncate)
FTRUNCATE(ftruncate64)

/* --- syncing ------------------------------------------------------------------------------------------------- */
#define SYNC(name)                                                                                                     \
    EVERYBODYS int name(int fd)                                                                                        \
    {                                                                                                                  \
        LIBC(int, name, int);                                                                                          \
                                                                                                                       \
        if (how_watched(fd) == NOT_WATCHED)                                                                            \
            return real(fd);                                                                                           \
        pthread_mutex_lock(&lock);                                                                                     \
        enum verdict verdict = judge();                                                                                \
        if (dies_in(1))                                                                                                \
            die();                                                                                                     \
        if (verdict == GOES_WELL || verdict == FAILS_AFTER)                                                            \
            record(POWER_SYNC, file_of[fd], 0, NULL);                                                                               \
        if (dies_in(2))                                                                                                \
            die();                                                                                                     \
        pthread_mutex_unlock(&lock);                                                                                   \
        return verdict == GOES_WELL ? 0 : failed();                                                                    \
    }
SYNC(fsync)
SYNC(fdatasync)
