/* store_help.h: what the store's tests share: folders that go away, seeded random batches over every table, and a
 * recount of everything that the indexes say. */
#ifndef USHER_STORE_HELP_H
#define USHER_STORE_HELP_H

#include "tests/test.h"

#include "server/store/store.h"

/* --- folders ---------------------------------------------------------------------------------- */
struct help_folder {
    char path[256]; /* a data directory that is not there yet */
    char parent[200];
};
void help_folder_make(struct help_folder *folder);
void help_folder_remove(struct help_folder *folder);

/* Open a store there that must open; options may be NULL. Syncing is off, so a kill loses nothing, a power cut would. */
struct store *help_open(const struct help_folder *folder, const struct store_options *options);

/* --- random batches --------------------------------------------------------------------------- */
struct help_random {
    uint64_t state;
};
uint64_t help_random(struct help_random *random);
uint64_t help_below(struct help_random *random, uint64_t limit);

/* Change random records of every table within the open batch, and append and drop rows of history as the core would.
 * The same state of the store and of the random numbers make the same changes. */
void help_change(struct store *store, struct help_random *random, unsigned changes);
/* Begin, change, commit; the outcome must be DONE. */
void help_batch(struct store *store, struct help_random *random, unsigned changes);

/* --- looking ---------------------------------------------------------------------------------- */
/* Everything that can be asked, in one number: records, indexes, history. */
uint64_t help_picture(const struct store *store);
/* Recount every index from the records; fails the test where one differs. */
void help_recount(const struct store *store);

#endif
