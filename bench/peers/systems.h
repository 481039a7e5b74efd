/* systems.h: the systems that are compared: how each is started, what it is measured through, how it ends.
 *
 * Each runs alone on a new data folder, durable, with the data that target.h asks for. systems.def is the list. */
#ifndef BENCH_SYSTEMS_H
#define BENCH_SYSTEMS_H

#include "bench/common/drive.h"
#include "bench/common/house.h"
#include "bench/peers/process.h"

#define WHY_SIZE 512

struct systems_options {
    const char *folder;                  /* where the data folders are made; NULL: the usual one */
    const char *usherd, *echo, *scripts; /* the programs, and where redis.lua and the rest are */
    const char *const *usherd_arguments; /* NULL after the last */
    uint32_t connections_most;
    struct target_sizes sizes;
    uint64_t seed;
};

struct system {
    const struct system_row *row;
    const struct systems_options *options;
    struct process process;
    struct house house; /* Usher's */
    char folder[PROCESS_PATH_MOST];
    struct drive *drive;
    json_t *about; /* version and settings, for the report */
};

struct system_row {
    const char *name, *title;
    const struct target_kind *target;
    bool (*start)(struct system *system, char *why);      /* the process serves after it */
    const void *(*where)(struct system *system);          /* of the target */
    void (*end)(struct system *system);
    /* After the runs: whether its own books agree; *told gets one line. NULL: it keeps none. */
    bool (*audit)(struct system *system, char *told, char *why);
};

extern const struct system_row system_rows[];
extern const size_t system_count;

const struct system_row *system_named(const char *name, size_t size);

/* Start it and prepare its data. False, and why, when it can't be had; nothing of it is left then. */
bool system_open(struct system *system, const struct system_row *row, const struct systems_options *options, char *why);
void system_close(struct system *system);

struct process_use system_use(const struct system *system);

#endif
