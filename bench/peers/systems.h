/* systems.h: the systems that are compared: how each is started, what it is measured through, how it ends.
 *
 * Each runs alone on a new data folder, durable, with the data that target.h asks for. systems.def is the list. */
#ifndef BENCH_SYSTEMS_H
#define BENCH_SYSTEMS_H

#include "bench/common/drive.h"
#include "bench/common/house.h"
#include "bench/peers/process.h"

struct party;

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
    struct party *party; /* of crowd.c */
    json_t *about;       /* version and settings, for the report */
};

/* What a system is good for. */
enum system_use_of {
    SYSTEM_JOBS = 1,    /* the table */
    SYSTEM_CROWD = 2,   /* the crowd's experiments */
    SYSTEM_CRASHES = 4, /* keeps data that a crash must not harm */
    SYSTEM_MANY = 8,    /* takes ten thousand connections */
    SYSTEM_KNOWS = 16   /* seats and points are real: the echo's are not */
};

struct system_row {
    const char *name, *title;
    const struct target_kind *target;
    unsigned uses;
    bool (*start)(struct system *system, char *why); /* the process serves after it */
    bool (*launch)(struct system *system, char *why); /* once more, on the data that is there; NULL: Usher's own way */
    const void *(*where)(struct system *system);      /* of the target */
    void (*end)(struct system *system);
    /* After the runs: whether its own books agree; *told gets one line. NULL: it keeps none. */
    bool (*audit)(struct system *system, char *told, char *why);
};

extern const struct system_row system_rows[];
extern const size_t system_count;

const struct system_row *system_named(const char *name, size_t size);

/* Start it alone. */
bool system_start(struct system *system, const struct system_row *row, const struct systems_options *options, char *why);

/* Start it and prepare its data. False, and why, when it can't be had; nothing of it is left then. */
bool system_open(struct system *system, const struct system_row *row, const struct systems_options *options, char *why);
void system_close(struct system *system);

/* End all that run, in haste: at a signal, or when something went wrong. Nothing of them stays. */
void systems_end(void);

/* Kill it as a crash does, start it on the same data; how long until it answered a task again. */
bool system_crash(struct system *system, uint64_t *back_ns, char *why);

struct process_use system_use(const struct system *system);

#endif
