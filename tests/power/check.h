/* check.h: cut the power of a recorded run everywhere, and look at what each cut leaves. */
#ifndef TESTS_POWER_CHECK_H
#define TESTS_POWER_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct power_counts {
    uint64_t records;    /* of the log */
    uint64_t boundaries; /* syncs and synced writes in it */
    uint64_t batches;    /* acknowledged in it */
    uint64_t images;     /* opened */
    uint64_t unmade;     /* of these, cuts before the store was there for the first time */
    uint64_t unheard;    /* of these, with the batch whose answer was not sent yet */
};

struct power_load {
    uint64_t seed;
    unsigned batches;   /* of each process */
    unsigned processes; /* on the same store at the same time; 0 for one */
    const char *mode;   /* a word of load.c's; NULL for the usual */
};

/* Run power_load under the shim in `folder`, which is there: its store in folder/data, its log folder/log. */
bool power_record_load(const char *folder, const struct power_load *load, char *why, size_t why_size);

/* Open images of the log, in folder/image: at every sync boundary what is certain, and as many torn ones as it takes to
 * come to about `images` in all. False and one line in why at the first that is not as it must be; the image stays. */
bool power_check_log(const char *folder, const struct power_load *load, uint64_t images, struct power_counts *counts,
                     char *why, size_t why_size);

struct power_torn {
    uint64_t images;
    uint64_t whole;   /* all is as it must be */
    uint64_t refused; /* the store does not open, and says so */
    uint64_t wrong;   /* it opens and something acknowledged is missing or wrong */
};

/* What no disk should do: tear each synced write of a file (of record.h; of LMDB's, a meta page) within its sectors, at
 * any eight bytes. Counts what comes of it. False only when the log can't be used. */
bool power_tear(const char *folder, unsigned file, uint64_t seed, struct power_torn *torn, char *why, size_t why_size);

#endif
