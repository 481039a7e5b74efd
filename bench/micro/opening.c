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
#include <unistd.h>

#include "bench/micro/house.h"

#define TIMES 3

struct size {
    uint64_t waiters, holds, seats;
    int times;
};

/* --- filling ------------------------------------------------------------------------------------------------ */
static void
add_people(struct house *house, const struct size *size)
{
    uint32_t dates = (uint32_t)(size->seats / HOUSE_DATE_SEATS);

    for (uint64_t number = 0; number < size->waiters; number++)
        house_add_join(house, number);
    for (uint64_t number = 0; number < size->holds; number++)
        house_add_reserve(house, number, number, dates);
    house_run(house);
}

static void
fill(const char *directory, const struct size *size)
{
    const struct store_options options = {.directory = directory, .unsafe_no_sync = true};
    struct house house = {0};

    house_open(&house, &options);
    if (store_position(house.store) == 0) {
        house_add_seats(&house, (uint32_t)(size->seats / HOUSE_DATE_SEATS));
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
        house_die("the page cache can't be emptied");
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
    double began = house_now_us();

    if (store_open(&options, &store, why, sizeof why) != STORE_OK)
        house_die(why);
    tell(store, how, (house_now_us() - began) / 1e3);
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
        house_die("no child");
    if (size != NULL ? !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL : status != 0)
        house_die("the child ended otherwise than it should");
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
