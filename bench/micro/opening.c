/* opening.c: how long a store takes to open after its server was killed.
 *
 *     opening DIR [WAITERS [HOLDS [SEATS [times]]]]
 *
 * A child fills DIR through the commands that a server takes: seats in dates of 50,000, waiters that join one queue,
 * and holds of one seat each that terminals take for some of them; then it kills itself with SIGKILL, so that what
 * follows finds a journal and a pass of the sweep on the way. The opening is timed in children of its own, first with
 * the file's pages out of the page cache (cold: they come from the disk), then with them in it (warm). A DIR that is
 * filled already is opened as it is. */
#define _GNU_SOURCE 1
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "server/commit/commit.h"

#define NOON       UINT64_C(1750000000000)
#define DATE_SEATS 50000u
#define PRICE      700
#define TIMES      3

struct size {
    uint64_t waiters, holds, seats;
    int times;
};

struct house {
    struct store *store;
    struct core *core;
    struct commit *commit;
};

static void
die(const char *what)
{
    fprintf(stderr, "opening: %s\n", what);
    exit(1);
}

static double
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* --- filling ------------------------------------------------------------------------------------------------ */
static usher_id
id_of(uint32_t kind, uint64_t number)
{
    usher_id id = {{0x6f, (uint8_t)kind}};

    memcpy(id.bytes + 8, &number, sizeof number);
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

/* A full batch is run by itself. */
static void
add(struct house *house, uint16_t opcode, const struct core_asker *asker, const void *body)
{
    if (commit_count(house->commit) == COMMIT_COMMANDS_MOST)
        run(house);
    if (!commit_add(house->commit, usher_message_of(opcode), asker, body, 0))
        die("no memory");
}

static void
add_seats(struct house *house, uint64_t seats)
{
    static const struct core_asker admin = {.role = USHER_ROLE_ADMIN, .client_no = 1};
    usher_set_mode_request mode = {.request_id = id_of(1, 0), .mode = USHER_QUEUE_PAUSED};
    usher_put_plan_request plan = {.request_id = id_of(1, 1), .plan_id = 1, .section_count = 1};
    usher_put_concert_request concert = {.request_id = id_of(1, 2), .concert_id = 1, .title = "The rush"};

    plan.section[0] = (usher_section){.name = "Hall", .first_row = 1, .row_count = 500, .seats_per_row = 100};
    add(house, USHER_OPCODE_SET_MODE, &admin, &mode);
    add(house, USHER_OPCODE_PUT_PLAN, &admin, &plan);
    add(house, USHER_OPCODE_PUT_CONCERT, &admin, &concert);
    for (uint32_t date_id = 1; date_id <= seats / DATE_SEATS; date_id++) {
        usher_put_date_request date = {.request_id = id_of(2, date_id),
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

static void
add_people(struct house *house, const struct size *size)
{
    uint64_t dates = size->seats / DATE_SEATS;

    for (uint64_t number = 0; number < size->waiters; number++) {
        const struct core_asker gateway = {.role = USHER_ROLE_GATEWAY, .client_no = 1, .user = user_of(number)};
        const usher_join_request join = {.request_id = id_of(3, number), .user = gateway.user};

        add(house, USHER_OPCODE_JOIN, &gateway, &join);
    }
    for (uint64_t number = 0; number < size->holds; number++) {
        const struct core_asker terminal = {.role = USHER_ROLE_TERMINAL, .client_no = 1, .user = user_of(number)};
        usher_reserve_request reserve = {.request_id = id_of(4, number),
                                         .user = terminal.user,
                                         .concert_id = 1,
                                         .date_id = (uint32_t)(number % dates + 1),
                                         .seat_count = 1,
                                         .seat = {(uint32_t)(number / dates + 1)}};

        add(house, USHER_OPCODE_RESERVE, &terminal, &reserve);
    }
    run(house);
}

static void
fill(const char *directory, const struct size *size)
{
    const struct store_options options = {.directory = directory, .unsafe_no_sync = true};
    struct house house = {0};
    char why[512];

    if (store_open(&options, &house.store, why, sizeof why) != STORE_OK)
        die(why);
    house.core = core_open(house.store);
    house.commit = house.core == NULL ? NULL : commit_open(house.store, house.core);
    if (house.commit == NULL)
        die("no memory");
    if (store_position(house.store) == 0) {
        add_seats(&house, size->seats);
        add_people(&house, size);
    }
    kill(getpid(), SIGKILL);
}

/* --- opening ------------------------------------------------------------------------------------------------ */
static void
out_of_page_cache(const char *directory)
{
    char path[4096];
    int file;

    snprintf(path, sizeof path, "%s/store.mdb", directory);
    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fsync(file) != 0 || posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) != 0)
        die("the page cache can't be emptied");
    close(file);
}

static double
processor_ms(int whose)
{
    struct rusage usage;

    getrusage(whose, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
}

/* On two free cores the opening takes as long as the longer of its two threads; the main one is. */
static void
tell(const struct store *store, const char *how, double took_ms)
{
    struct store_figures figures = store_figures(store);

    printf("%s: opened in %.0f ms (processor %.0f ms, of them %.0f ms in the main thread): %" PRIu64 " users, %" PRIu64
           " waiters, %" PRIu64 " holds, %" PRIu64 " seats, %" PRIu64 " answers; %" PRIu64 " batches and %" PRIu64
           " KiB in the journal, %" PRIu64 " MiB on disk, %" PRIu64 " MiB in memory\n",
           how, took_ms, processor_ms(RUSAGE_SELF), processor_ms(RUSAGE_THREAD),
           store_record_count(store, STORE_TABLE_USER), store_waiting_count(store, store_find_queue(store, 0)),
           store_record_count(store, STORE_TABLE_HOLD), store_house_counts(store).seats, store_answer_count(store),
           figures.journal_count, figures.journal_bytes >> 10, figures.store_bytes >> 20, figures.memory_bytes >> 20);
    fflush(stdout);
}

static int
open_once(const char *directory, const char *how)
{
    const struct store_options options = {.directory = directory};
    struct store *store;
    char why[512];
    double began = now_ms();

    if (store_open(&options, &store, why, sizeof why) != STORE_OK)
        die(why);
    tell(store, how, now_ms() - began);
    _exit(0); /* freeing it all is no part of it */
}

static void
in_child(const char *directory, const struct size *size, const char *how)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        if (size != NULL)
            fill(directory, size);
        _exit(open_once(directory, how));
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        die("no child");
    if (size != NULL ? !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL : status != 0)
        die("the child ended otherwise than it should");
}

int
main(int argc, char **argv)
{
    struct size size = {.waiters = 1000000, .holds = 100000, .seats = 5000000, .times = TIMES};

    if (argc < 2) {
        fprintf(stderr, "usage: opening DIR [WAITERS [HOLDS [SEATS [TIMES]]]]\n");
        return 64;
    }
    size.waiters = argc > 2 ? strtoull(argv[2], NULL, 10) : size.waiters;
    size.holds = argc > 3 ? strtoull(argv[3], NULL, 10) : size.holds;
    size.seats = argc > 4 ? strtoull(argv[4], NULL, 10) : size.seats;
    size.times = argc > 5 ? atoi(argv[5]) : size.times;
    in_child(argv[1], &size, "filled");
    for (int time = 0; time < size.times; time++) {
        out_of_page_cache(argv[1]);
        in_child(argv[1], NULL, "cold");
        in_child(argv[1], NULL, "warm");
    }
    return 0;
}
