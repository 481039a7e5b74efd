/* image.h: what a power cut leaves of a store's files, by the log of shim.c.
 *
 * The model, a bad disk and a bad day: what was synced is there. Of everything else each piece is there or not, by
 * lots, whatever its order was; where pieces overlap, any one of them is on top. Pieces are pages of 4096 bytes, or
 * sectors of 512: a page may be torn between sectors, never within one. A file that grew may have its old length, the
 * length that its pieces need, or its new length with zeroes where no piece came. */
#ifndef TESTS_POWER_IMAGE_H
#define TESTS_POWER_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/power/record.h"

/* --- the log --------------------------------------------------------------------------------------------------- */
struct power_entry {
    struct power_record head;
    const uint8_t *data;
};

struct power_log {
    uint8_t *bytes;
    size_t size;
    struct power_entry *entry;
    size_t count;
};

/* False when the file can't be read or is no log. */
bool power_log_read(struct power_log *log, const char *path);
void power_log_free(struct power_log *log);

/* --- the disk after some of it --------------------------------------------------------------------------------- */
struct power_file {
    uint8_t *safe; /* what was synced; room is that of the largest file */
    size_t room, safe_length;
    size_t length;                      /* of the file as programs see it */
    const struct power_entry **waiting; /* written and not synced, in order */
    size_t waiting_count;
    uint8_t *image; /* scratch */
};

/* A sync is of one file; nothing orders the one's unsynced writes and the other's. */
struct power_disk {
    struct power_file file[POWER_FILES];
};

void power_disk_open(struct power_disk *disk, const struct power_log *log);
void power_disk_close(struct power_disk *disk);
/* Let this happen, to its end. */
void power_disk_step(struct power_disk *disk, const struct power_entry *entry);

/* What of the unsynced is there. */
enum power_cut {
    POWER_NOTHING, /* none of it */
    POWER_ALL,     /* all of it, as after a mere kill */
    POWER_PAGES,   /* any pages */
    POWER_SECTORS, /* any sectors */
    POWER_WORDS    /* any eight bytes */
};

/* Write the files that a cut now would leave into a folder. `next` is what was going on when the lights went out, or
 * NULL: if it is a write, it is one of the unsynced, be its descriptor what it may. False when they can't be written. */
bool power_disk_image(struct power_disk *disk, const struct power_entry *next, enum power_cut cut, uint64_t *random,
                      const char *folder);

uint64_t power_random(uint64_t *random);

#endif
