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

/* Run power_load under the shim in `folder`, which is there: its store in folder/data, its log folder/log. unsafe: the
 * store does not sync. */
bool power_record_load(const char *folder, uint64_t seed, unsigned batches, bool unsafe, char *why, size_t why_size);

/* Open images of the log, in folder/image: at every sync boundary what is certain, and as many torn ones as it takes to
 * come to about `images` in all. False and one line in why at the first that is not as it must be; the image stays. */
bool power_check_log(const char *folder, uint64_t seed, uint64_t images, struct power_counts *counts, char *why,
                     size_t why_size);

#endif
