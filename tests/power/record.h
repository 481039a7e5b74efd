/* record.h: the log that shim.c writes and image.c reads: what a program did to the files of a store, in order.
 *
 *     log      record, record ...
 *     record   struct power_record, then `size` bytes of data (of a write or a mark)
 *
 * A mark is the program's own word, by power_mark: "what I say here was acknowledged after the records before it". Who
 * asks a program that can't do so appends its own to the log, in one write, once it has heard the answer. */
#ifndef TESTS_POWER_RECORD_H
#define TESTS_POWER_RECORD_H

#include <stddef.h>
#include <stdint.h>

#define POWER_MAGIC   0x52574f50u /* "POWR" */
#define POWER_LOG_ENV "USHER_POWER_LOG"
/* The how manieth write or sync of the store's files kills the program: in turn before it, in the middle of it (between
 * two pages; a sync is not done) and after it. A kill from outside could come between a call and its record. */
#define POWER_DIE_ENV "USHER_POWER_DIE"

/* "first count every": from the first-th write or sync on, so many of each so many fail with EIO, and nothing of them is
 * done. For who can't call power_fail. */
#define POWER_FAIL_ENV "USHER_POWER_FAIL"

enum power_kind {
    POWER_WRITE = 1,  /* into the page cache; on the disk at the next sync, or any time before */
    POWER_SYNC_WRITE, /* through a descriptor opened with O_DSYNC or O_SYNC: on the disk when it returns */
    POWER_SYNC,       /* fsync, fdatasync: everything before it is on the disk when it returns */
    POWER_TRUNCATE,   /* offset is the new length */
    POWER_MARK
};

/* The files of a store that are watched, by name. */
#define POWER_FILES_NAMES                                                                                              \
    {                                                                                                                  \
        "store.mdb", "store.journal"                                                                                   \
    }
enum { POWER_FILES = 2 };

struct power_record {
    uint32_t magic;
    uint16_t kind;
    uint16_t file; /* which of them */
    uint64_t offset;
    uint64_t size;
};

/* --- in the program under the shim; weak symbols, NULL without it ---------------------------------------------- */
/* Put a mark into the log. */
void power_mark(const void *data, size_t size) __attribute__((weak));

enum power_failing {
    POWER_FAIL_BEFORE,           /* nothing is done */
    POWER_FAIL_HALF,             /* half of a write is done and reported; a sync is not done */
    POWER_FAIL_AFTER,            /* it is done, and then reported as failed */
    POWER_FAIL_AFTER_THEN_BEFORE /* so the first; of the others nothing is done */
};
/* Let `count` writes and syncs of the store's file fail with this error, from the nth from now (1 is the next). 0
 * switches it off. */
void power_fail(uint64_t nth, uint64_t count, int error, enum power_failing how) __attribute__((weak));
/* Writes and syncs of the store's file since power_fail. */
uint64_t power_count(void) __attribute__((weak));

#endif
