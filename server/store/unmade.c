/* unmade.c: opening an environment for the first time.
 *
 * LMDB makes a file by writing two meta pages without a sync; the first transaction's sync is the first. A power cut
 * before it can leave one of the pages, or zeroes, and such a file LMDB refuses for ever, although nothing was ever in
 * it: the first start of a server would end in "this is not a store". So a file that no transaction was ever committed
 * to is emptied and made again. It is known by its two meta pages: each is LMDB's with transaction number 0, or zeroes.
 * A larger file is left alone all the same: its zeroes are damage, and there may be something to save.
 *
 * Whoever opens holds a lock on the directory meanwhile, so that no instance empties what another one is making. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/store/unmade.h"

#define UNMADE_MOST (256 << 10) /* bytes; the first transaction writes less than half of it */

/* The first sector of a page: the page's head, then the meta, which fits. As LMDB 0.9 lays them out. */
struct meta_sector {
    uint8_t page_head[16];
    uint32_t magic;
    uint32_t version;
    uint8_t sizes_and_trees[120];
    uint64_t transaction;
    uint8_t rest[360];
};
_Static_assert(sizeof(struct meta_sector) == 512, "it is a sector");

#define LMDB_MAGIC 0xbeefc0deu

static bool
is_unwritten(const struct meta_sector *sector)
{
    static const struct meta_sector zeroes;

    return memcmp(sector, &zeroes, sizeof zeroes) == 0 || (sector->magic == LMDB_MAGIC && sector->transaction == 0);
}

static bool
was_never_made(int file)
{
    const off_t meta_pages[] = {0, sysconf(_SC_PAGESIZE)};
    struct stat found;

    if (fstat(file, &found) != 0 || found.st_size > UNMADE_MOST)
        return false;
    for (unsigned page = 0; page < 2; page++) {
        struct meta_sector sector;

        memset(&sector, 0, sizeof sector); /* beyond the end there are zeroes as well */
        if (pread(file, &sector, sizeof sector, meta_pages[page]) < 0 || !is_unwritten(&sector))
            return false;
    }
    return true;
}

/* Returns false when the file is not one of these, or can't be emptied. */
static bool
empty_unmade(const struct disk *disk)
{
    int file = open(disk->file, O_RDWR | O_CLOEXEC);
    bool emptied;

    if (file < 0)
        return false;
    emptied = was_never_made(file) && ftruncate(file, 0) == 0;
    close(file);
    return emptied;
}

int
disk_env_open_first(struct disk *disk, const char *directory)
{
    int folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;

    if (folder < 0)
        return errno;
    while (flock(folder, LOCK_EX) != 0)
        if (errno != EINTR) {
            error = errno;
            break;
        }
    if (error == 0)
        error = disk_env_open(disk);
    if (error == MDB_INVALID && empty_unmade(disk))
        error = disk_env_open(disk);
    close(folder);
    return error;
}
