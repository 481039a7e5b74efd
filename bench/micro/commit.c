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
#include <time.h>
#include <unistd.h>

#include "server/commit/commit.h"

#define NOON       UINT64_C(1750000000000)
#define DATE_SEATS 50000u
#define DATES      200u
#define PRICE      700

static void
die(const char *what)
{
    fprintf(stderr, "commit: %s\n", what);
    exit(1);
}

static double
now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* --- what goes to the disk ---------------------------------------------------------------------------------- */
static struct {
    uint64_t writes, bytes, syncs, direct;
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
    double took = now_us() - began;

    if (size < 0)
        return;
    spent.bytes += (uint64_t)size;
    if ((fcntl(fd, F_GETFL) & O_DSYNC) != 0) {
        spent.direct++;
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
    double began = now_us();
    ssize_t written = real(fd, data, size, offset);

    count_write(fd, written, began);
    return written;
}

OURS ssize_t
writev(int fd, const struct iovec *parts, int count)
{
    LIBC(ssize_t, writev, int, const struct iovec *, int);
    double began = now_us();
    ssize_t written = real(fd, parts, count);

    count_write(fd, written, began);
    return written;
}

OURS int
fdatasync(int fd)
{
    LIBC(int, fdatasync, int);
    double began = now_us();
    int done = real(fd);

    spent.syncs++;
    spent.sync_us += now_us() - began;
    return done;
}

/* --- commands ------------------------------------------------------------------------------------------------ */
struct house {
    struct store *store;
    struct core *core;
    struct commit *commit;
    uint64_t users, seats, requests; /* so far */
};

static usher_id
next_id(struct house *house)
{
    usher_id id = {{0x6f}};

    house->requests++;
    memcpy(id.bytes + 8, &house->requests, sizeof house->requests);
    return id;
}

/* As scattered as true ones. */
static usher_uuid
user_of(uint64_t number)
{
    uint64_t words[2] = {number * UINT64_C(0x9e3779b97f4a7c15), number * UINT64_C(0xd6e8feb86659fd93) + 1};
    usher_uuid user;

    memcpy(user.bytes, words, sizeof user.bytes);
    return user;
}

static uint64_t
some_user(const struct house *house)
{
    return house->requests * UINT64_C(0x9e3779b97f4a7c15) % house->users;
}

static void
run(struct house *house)
{
    uint32_t count = commit_count(house->commit);

    if (commit_run(house->commit, NOON) != STORE_DONE)
        die("a batch was not committed");
    for (uint32_t i = 0; i < count; i++)
        if (commit_answer(house->commit, i).result != USHER_OK)
            die(usher_result_name(commit_answer(house->commit, i).result));
}

static void
add(struct house *house, uint16_t opcode, const struct core_asker *asker, const void *body)
{
    if (!commit_add(house->commit, usher_message_of(opcode), asker, body, 0))
        die("no room in the batch");
}

static void
add_join(struct house *house)
{
    const struct core_asker gateway = {.role = USHER_ROLE_GATEWAY, .client_no = 1, .user = user_of(house->users)};
    const usher_join_request join = {.request_id = next_id(house), .user = gateway.user};

    house->users++;
    add(house, USHER_OPCODE_JOIN, &gateway, &join);
}

static void
add_charge(struct house *house)
{
    const struct core_asker terminal = {
        .role = USHER_ROLE_TERMINAL, .client_no = 1, .user = user_of(some_user(house))};
    const usher_charge_request charge = {.request_id = next_id(house), .user = terminal.user, .amount = 100};

    add(house, USHER_OPCODE_CHARGE, &terminal, &charge);
}

static void
add_reserve(struct house *house)
{
    const struct core_asker terminal = {
        .role = USHER_ROLE_TERMINAL, .client_no = 1, .user = user_of(house->seats % house->users)};
    const usher_reserve_request reserve = {.request_id = next_id(house),
                                           .user = terminal.user,
                                           .concert_id = 1,
                                           .date_id = (uint32_t)(house->seats % DATES + 1),
                                           .seat_count = 1,
                                           .seat = {(uint32_t)(house->seats / DATES + 1)}};

    if (house->seats == (uint64_t)DATES * DATE_SEATS)
        die("all seats are held");
    house->seats++;
    add(house, USHER_OPCODE_RESERVE, &terminal, &reserve);
}

static void
add_mixed(struct house *house)
{
    static void (*const kinds[])(struct house *) = {add_join, add_reserve, add_charge};

    kinds[house->requests % 3](house);
}

static void
add_seats(struct house *house)
{
    static const struct core_asker admin = {.role = USHER_ROLE_ADMIN, .client_no = 1};
    usher_set_mode_request mode = {.request_id = next_id(house), .mode = USHER_QUEUE_PAUSED};
    usher_put_plan_request plan = {.request_id = next_id(house), .plan_id = 1, .section_count = 1};
    usher_put_concert_request concert = {.request_id = next_id(house), .concert_id = 1, .title = "The rush"};

    plan.section[0] = (usher_section){.name = "Hall", .first_row = 1, .row_count = 500, .seats_per_row = 100};
    add(house, USHER_OPCODE_SET_MODE, &admin, &mode);
    add(house, USHER_OPCODE_PUT_PLAN, &admin, &plan);
    add(house, USHER_OPCODE_PUT_CONCERT, &admin, &concert);
    for (uint32_t date_id = 1; date_id <= DATES; date_id++) {
        usher_put_date_request date = {.request_id = next_id(house),
                                       .concert_id = 1,
                                       .date_id = date_id,
                                       .plan_id = 1,
                                       .starts_at_ms = NOON + (30 + date_id) * UINT64_C(86400000),
                                       .price_count = 1,
                                       .price = {PRICE}};

        add(house, USHER_OPCODE_PUT_DATE, &admin, &date);
        run(house);
    }
}

static long front_kib = -1; /* as usual */

static void
house_open(struct house *house, const char *directory, bool unsafe)
{
    const struct store_options options = {.directory = directory,
                                          .front_bytes = front_kib > 0 ? (uint32_t)front_kib << 10 : 0,
                                          .no_front = front_kib == 0,
                                          .unsafe_no_sync = unsafe};
    char why[512];

    if (store_open(&options, &house->store, why, sizeof why) != STORE_OK)
        die(why);
    house->core = core_open(house->store);
    house->commit = house->core == NULL ? NULL : commit_open(house->store, house->core);
    if (house->commit == NULL)
        die("no memory");
}

static void
house_close(struct house *house)
{
    commit_close(house->commit);
    core_close(house->core);
    store_close(house->store);
}

static void
fill(const char *directory, uint64_t users, struct house *house)
{
    house_open(house, directory, true);
    if (store_position(house->store) != 0)
        die("the directory is filled already; name a new one");
    add_seats(house);
    while (house->users < users) {
        add_join(house);
        if (commit_count(house->commit) == COMMIT_COMMANDS_MOST || house->users == users)
            run(house);
    }
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
    double began = now_us(), end = began + seconds * 1e6, busy = 0;
    uint64_t commits = 0;

    memset(&spent, 0, sizeof spent);
    for (double now = began; now < end && commits < COMMITS_MOST; commits++) {
        for (unsigned i = 0; i < size; i++)
            add_one(house);
        now = now_us();
        run(house);
        took[commits] = now_us() - now;
        busy += took[commits];
        now += took[commits];
    }
    double each = busy / (double)commits, n = (double)commits;
    qsort(took, commits, sizeof *took, by_size);
    printf("%-8s x %4u: %7.0f us (p50 %.0f, p99 %.0f, most %.0f), %8.0f commands/s; writes %.1f, %.1f KiB, %.0f us; "
           "syncs %.2f, %.0f us; direct %.2f, %.0f us; processor %.0f us\n",
           name, size, each, took[commits / 2], took[commits * 99 / 100], took[commits - 1], size * 1e6 / each,
           (double)spent.writes / n, (double)spent.bytes / n / 1024, spent.write_us / n, (double)spent.syncs / n,
           spent.sync_us / n, (double)spent.direct / n, spent.direct_us / n,
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
    double began = now_us(), each_us = 1e6 / rate;

    count = count < OFFERED_MOST ? count : OFFERED_MOST;
    while (done < count) {
        uint64_t come = (uint64_t)((now_us() - began) / each_us), first = done;

        come = come < count ? come : count;
        if (come == done)
            continue;
        for (; done < come && done < first + COMMIT_COMMANDS_MOST; done++)
            add_mixed(house);
        run(house);
        batches++;
        double now = now_us();
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
    house_open(&house, argv[1], false);
    while (store_idle(house.store))
        continue;
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++)
        for (size_t size = 0; size < sizeof sizes / sizeof *sizes; size++)
            measure(&house, kinds[kind].name, kinds[kind].add_one, sizes[size], seconds);
    measure_offered(&house, 20000, 2 * seconds);
    house_close(&house);
    return 0;
}
