/* cut.h: what is the same for every recorded run: one cut after another, each image opened. What must be in it says the
 * run's own view: check.c for power_load's, served.c for usherd's. */
#ifndef TESTS_POWER_CUT_H
#define TESTS_POWER_CUT_H

#include "tests/power/check.h"
#include "tests/power/image.h"
#include "tests/sale.h"

#define CUT_PATH_MOST 512

struct cutting;

struct cut_view {
    /* The cuts have come to this mark: from here on it holds. */
    void (*hear)(struct cutting *cutting, const struct power_entry *mark);
    /* Is the image as it must be? Else false, by cut_wrong. `certain`: nothing of the unsynced is in it. */
    bool (*look)(struct cutting *cutting, const struct sale *sale, bool certain);
    /* Torn images more for each record before the first mark: the store is made only once. */
    unsigned while_made;
};

struct cutting {
    const char *folder;
    const struct cut_view *view;
    char image[CUT_PATH_MOST];
    uint64_t random;
    struct power_log log;
    struct power_disk disk;
    uint64_t heard; /* marks gone by */
    bool opened;    /* the last image */
    struct power_counts *counts;
    char *why;
    size_t why_size;
};

/* Says what is wrong, in one line; returns false. */
__attribute__((format(printf, 2, 3))) bool cut_wrong(struct cutting *cutting, const char *format, ...);

/* Read the log and count what is in it. Close it whatever comes of it. */
bool cut_open(struct cutting *cutting);
void cut_close(struct cutting *cutting);

bool cut_is_boundary(const struct power_entry *entry);
/* At every sync boundary what is certain, and torn ones up to about `images` in all. */
bool cut_everywhere(struct cutting *cutting, uint64_t images);
/* Open the image of the cut in the middle of this entry, and look. */
bool cut_at(struct cutting *cutting, size_t at, enum power_cut cut);
/* Let this entry happen. */
void cut_go_past(struct cutting *cutting, const struct power_entry *entry);

/* What belongs to history and must be there whatever was promised: no ledger entry, event or payment is missing. */
bool cut_check_history(struct cutting *cutting, const struct sale *sale);

#endif
