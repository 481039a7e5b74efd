/* commit.c: what a commit costs, and where the time goes.
 *
 *     commit DIR [USERS [SECONDS [FRONT_KIB]]]
 *
 * DIR is filled with USERS users who wait (100,000), unsynced; then batches of 1, 50 and 800 commands are committed,
 * synced, one after another, SECONDS (2) each: charges of scattered users; new users that join; holds of one seat; all
 * three in turn. Then 20,000 mixed commands a second come in at even distances, and a batch takes whatever has come:
 * how long each waits until its batch is on the disk. With FRONT_KIB of 0 there is no store.journal.
 *
 * The program's own pwrite, writev and fdatasync stand before the libc's, so that each commit's writes
 * and waits are counted and timed where LMDB makes them; what is left is processor: apply, encode, put. */
#define _GNU_SOURCE 1
#include <dlfcn.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bench/micro/house.h"

#define DATES 200u

static uint64_t users, seats; /* so far */
static long front_kib = -1;   /* as usual */

/* --- what goes to the disk ---------------------------------------------------------------------------------- */
static struct {
    uint64_t writes, bytes, syncs, direct, direct_bytes;
    double write_us, sync_us, direct_us; /* direct: a write that waits for the disk itself */
} spent;

#define OURS __attribute__((visibility("default")))
#define LIBC(result, name, ...)                                                                                        \
    static result (*real)(__VA_ARGS__);                                                                                \
    if (real == NULL)                                                                                                  \
    real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static void
count_write(int fd, ssize_t size, double began)
{
    double took = house_now_us() - began;

    if (size < 0)
        return;
    spent.bytes += (uint64_t)size;
    if ((fcntl(fd, F_GETFL) & O_DSYNC) != 0) {
        spent.direct++;
        spent.direct_bytes += (uint64_t)size;
        spent.direct_us += took;
    } else {
        spent.writes++;
        spent.write_us += took;
    }
}

OURS ssize_t
pwrite(int fd, const void *data, size_t size, off_t offset)
{
    LIBC(ssize_t, pwrite, int, const void *, size_t, off_t);
    double began = house_now_us();
    ssize_t written = real(fd, data, size, offset);

    count_write(fd, written, began);
    return written;
}

OURS ssize_t
writev(int fd, const struct iovec *parts, int count)
{
    LIBC(ssize_t, writev, int, const struct iovec *, int);
    double began = house_now_us();
    ssize_t written = real(fd, parts, count);

    count_write(fd, written, began);
    return written;
}

OURS int
fdatasync(int fd)
{
    LIBC(int, fdatasync, int);
    double began = house_now_us();
    int done = real(fd);

    spent.syncs++;
    spent.sync_us += house_now_us() - began;
    return done;
}

/* --- commands ------------------------------------------------------------------------------------------------ */
static uint64_t
some_user(const struct house *house)
{
    return house->requests * UINT64_C(0x9e3779b97f4a7c15) % users;
}

static void
add_join(struct house *house)
{
    house_add_join(house, users++);
}

static void
add_charge(struct house *house)
{
    house_add_charge(house, some_user(house), 100);
}

static void
add_reserve(struct house *house)
{
    house_add_reserve(house, seats % users, seats, DATES);
    seats++;
}

static void
add_mixed(struct house *house)
{
    static void (*const kinds[])(struct house *) = {add_join, add_reserve, add_charge};

    kinds[house->requests % 3](house);
}

static void
open_house(struct house *house, const char *directory, bool unsafe)
{
    const struct store_options options = {.directory = directory,
                                          .front_bytes = front_kib > 0 ? (uint32_t)front_kib << 10 : 0,
                                          .no_front = front_kib == 0,
                                          .unsafe_no_sync = unsafe};

    house_open(house, &options);
}

static void
fill(const char *directory, uint64_t count, struct house *house)
{
    open_house(house, directory, true);
    if (store_position(house->store) != 0)
        house_die("the directory is filled already; name a new one");
    house_add_seats(house, DATES);
    while (users < count)
        add_join(house);
    house_run(house);
    house_close(house);
}

/* --- measuring ----------------------------------------------------------------------------------------------- */
static int
by_size(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;

    return (a > b) - (a < b);
}

#define COMMITS_MOST 1000000

static void
measure(struct house *house, const char *name, void (*add_one)(struct house *), unsigned size, double seconds)
{
    static double took[COMMITS_MOST];
    double began = house_now_us(), end = began + seconds * 1e6, busy = 0;
    uint64_t commits = 0;

    memset(&spent, 0, sizeof spent);
    for (double now = began; now < end && commits < COMMITS_MOST; commits++) {
        for (unsigned i = 0; i < size; i++)
            add_one(house);
        now = house_now_us();
        house_run(house);
        took[commits] = house_now_us() - now;
        busy += took[commits];
        now += took[commits];
    }
    double each = busy / (double)commits, n = (double)commits;
    qsort(took, commits, sizeof *took, by_size);
    printf("%-8s x %4u: %7.0f us (p50 %.0f, p99 %.0f, most %.0f), %8.0f commands/s; writes %.1f, %.1f KiB, %.0f us; "
           "syncs %.2f, %.0f us; direct %.2f, %.1f KiB, %.0f us; processor %.0f us\n",
           name, size, each, took[commits / 2], took[commits * 99 / 100], took[commits - 1], size * 1e6 / each,
           (double)spent.writes / n, (double)spent.bytes / n / 1024, spent.write_us / n, (double)spent.syncs / n,
           spent.sync_us / n, (double)spent.direct / n, (double)spent.direct_bytes / n / 1024, spent.direct_us / n,
           each - (spent.write_us + spent.sync_us + spent.direct_us) / n);
    fflush(stdout);
}

#define OFFERED_MOST 2000000

/* Open loop: a command's wait begins when it comes, whatever the batches before it are doing. */
static void
measure_offered(struct house *house, double rate, double seconds)
{
    static double took[OFFERED_MOST];
    uint64_t count = (uint64_t)(rate * seconds), done = 0, batches = 0;
    double began = house_now_us(), each_us = 1e6 / rate;

    count = count < OFFERED_MOST ? count : OFFERED_MOST;
    while (done < count) {
        uint64_t come = (uint64_t)((house_now_us() - began) / each_us), first = done;

        come = come < count ? come : count;
        if (come == done)
            continue;
        for (; done < come && done < first + COMMIT_COMMANDS_MOST; done++)
            add_mixed(house);
        house_run(house);
        batches++;
        double now = house_now_us();
        for (uint64_t at = first; at < done; at++)
            took[at] = now - began - (double)(at + 1) * each_us;
    }
    qsort(took, count, sizeof *took, by_size);
    printf("mix at %.0f/s: p50 %.0f us, p90 %.0f, p99 %.0f, p99.9 %.0f, most %.0f; %.1f commands a batch\n", rate,
           took[count / 2], took[count * 9 / 10], took[count * 99 / 100], took[count * 999 / 1000], took[count - 1],
           (double)count / (double)batches);
    fflush(stdout);
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*add_one)(struct house *);
    } kinds[] = {{"charge", add_charge}, {"join", add_join}, {"reserve", add_reserve}, {"mix", add_mixed}};
    static const unsigned sizes[] = {1, 50, 800};
    struct house house = {0};

    if (argc < 2) {
        fprintf(stderr, "usage: commit DIR [USERS [SECONDS [FRONT_KIB]]]\n");
        return 64;
    }
    double seconds = argc > 3 ? atof(argv[3]) : 2;
    front_kib = argc > 4 ? atol(argv[4]) : -1;
    fill(argv[1], argc > 2 ? strtoull(argv[2], NULL, 10) : 100000, &house);
    open_house(&house, argv[1], false);
    while (store_idle(house.store))
        continue;
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++)
        for (size_t size = 0; size < sizeof sizes / sizeof *sizes; size++)
            measure(&house, kinds[kind].name, kinds[kind].add_one, sizes[size], seconds);
    measure_offered(&house, 20000, 2 * seconds);
    house_close(&house);
    return 0;
}
