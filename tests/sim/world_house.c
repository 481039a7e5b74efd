/* world_house.c: the real house: its store, core and batches; restarted and dropped between any two batches. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/sim/world_inside.h"

#define MAP_BYTES     (UINT64_C(1) << 30)
#define JOURNAL_BYTES 262144u /* small, so that it is cut again and again */

static const char *const files[] = {"store.mdb", "store.mdb-lock"};

static void
path_of(const struct world *world, uint32_t folder_no, const char *file, char *path, size_t size)
{
    snprintf(path, size, "%s/%u%s%s", world->folder, folder_no, file == NULL ? "" : "/", file == NULL ? "" : file);
}

static bool
open_parts(struct world *world, char *why, size_t why_size)
{
    char path[128];

    if (world->options.on_disk) {
        path_of(world, world->folder_no, NULL, path, sizeof path);
        const struct store_options options = {.directory = path,
                                              .map_bytes = MAP_BYTES,
                                              .slice_records = 64,
                                              .journal_bytes = JOURNAL_BYTES,
                                              .unsafe_no_sync = true};
        if (store_open(&options, &world->store, why, why_size) != STORE_OK)
            return false;
    } else if (world->store == NULL) {
        world->store = store_open_memory();
        assert(world->store != NULL);
    }
    world->core = core_open(world->store);
    assert(world->core != NULL);
    world->commit = commit_open(world->store, world->core);
    assert(world->commit != NULL);
    return true;
}

static void
close_parts(struct world *world)
{
    commit_close(world->commit);
    core_close(world->core);
    if (world->options.on_disk) {
        store_close(world->store);
        world->store = NULL;
    }
}

static void
remove_folder(const struct world *world, uint32_t folder_no)
{
    char path[128];

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        path_of(world, folder_no, files[i], path, sizeof path);
        unlink(path);
    }
    path_of(world, folder_no, NULL, path, sizeof path);
    rmdir(path);
}

void
house_open(struct world *world)
{
    char why[256] = "";

    if (world->options.on_disk) {
        snprintf(world->folder, sizeof world->folder, "%s/XXXXXX", world->options.folder);
        if (mkdtemp(world->folder) == NULL) {
            perror("usher-sim: no folder for the store");
            exit(2);
        }
    }
    if (!open_parts(world, why, sizeof why)) {
        fprintf(stderr, "usher-sim: %s\n", why);
        exit(2);
    }
}

void
house_close(struct world *world)
{
    close_parts(world);
    store_close(world->store);
    if (world->options.on_disk) {
        remove_folder(world, world->folder_no);
        rmdir(world->folder);
    }
}

static void
copy_file(const char *from, const char *to)
{
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    char bytes[65536];
    ssize_t size;

    assert(in >= 0);
    assert(out >= 0);
    while ((size = read(in, bytes, sizeof bytes)) > 0)
        if (write(out, bytes, (size_t)size) != size) {
            perror("usher-sim: no room for a copy of the store");
            exit(2);
        }
    assert(size == 0);
    close(in);
    close(out);
}

/* What a killed process leaves behind is what stands in its files now: they are copied before the store is closed, and
 * the house goes on with the copy. */
static void
copy_store(struct world *world)
{
    char from[128], to[128];

    path_of(world, world->folder_no + 1, NULL, to, sizeof to);
    if (mkdir(to, 0700) != 0) {
        perror("usher-sim: no folder for a copy of the store");
        exit(2);
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        path_of(world, world->folder_no, files[i], from, sizeof from);
        path_of(world, world->folder_no + 1, files[i], to, sizeof to);
        copy_file(from, to);
    }
}

/* As usherd starts: if the clock has gone on since the last stamp, nobody was alive in between (X2). */
static void
resume(struct world *world, uint64_t at_ms)
{
    uint64_t last_ms = commit_stamp_ms(world->commit);

    bool nobody_was_alive = last_ms != 0 && at_ms > last_ms;

    if (nobody_was_alive)
        commit_resume(world->commit, last_ms);
    model_restart(world->model, nobody_was_alive);
}

bool
house_restart(struct world *world, uint32_t step, bool drop)
{
    uint64_t digest = store_digest(world->store), position = store_position(world->store);
    uint64_t history = store_history_digest(world->store);
    char why[256] = "";

    world->tape->counts.restarts++;
    drop = drop && world->options.on_disk;
    if (drop)
        copy_store(world);
    close_parts(world);
    if (drop)
        remove_folder(world, world->folder_no++);
    if (!open_parts(world, why, sizeof why))
        return world_fail(world, step, "the store did not open again: %s", why);
    if (store_position(world->store) != position)
        return world_fail(world, step, "position %" PRIu64 " before a restart, %" PRIu64 " after it", position,
                          store_position(world->store));
    if (store_digest(world->store) != digest || store_digest_recount(world->store) != digest ||
        store_history_digest(world->store) != history)
        return world_fail(world, step, "X1: the records after a %s are others than before it",
                          drop ? "kill" : "restart");
    resume(world, world->tape->steps[step].at_ms);
    return world_check(world, step);
}
