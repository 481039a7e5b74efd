/* check.c: power cuts of a recorded run. See check.h, and image.h for what a cut is.
 *
 * Whatever the cut: the store opens; it stands at the position that was acknowledged last or at the one that was being
 * written; every record is as it was at that position; no remembered answer, ledger entry, payment or event is missing;
 * the history's consumer has not gone back; and core_audit finds nothing. */
#define _GNU_SOURCE 1
#include "tests/power/check.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/power/image.h"
#include "tests/power/promise.h"
#include "tests/sale.h"

#define PATH_MOST      512
#define PROCESSES_MOST 4u
#define WHILE_MADE     20 /* torn images more for each record while the store is made */

struct checking {
    const char *folder;
    char image[PATH_MOST], image_file[PATH_MOST];
    uint64_t random;
    uint64_t in_flight; /* batches that can be under way at once */
    struct power_log log;
    struct power_disk disk;
    struct promise *promises; /* by position */
    uint64_t position_count;
    uint64_t promised; /* marks gone by */
    bool opened;       /* the last image */
    struct promise last;
    struct power_counts *counts;
    char *why;
    size_t why_size;
};

__attribute__((format(printf, 2, 3))) static bool
wrong(struct checking *checking, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(checking->why, checking->why_size, format, arguments);
    va_end(arguments);
    return false;
}

/* --- recording -----------------------------------------------------------------------------------------------------
 */
static pid_t
start_load(const char *folder, const struct power_load *load, unsigned batches, unsigned index)
{
    char data[PATH_MOST], log[PATH_MOST], seed[32], count[32], which[32], processes[32];
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    snprintf(data, sizeof data, "%s/data", folder);
    snprintf(log, sizeof log, "%s/log", folder);
    snprintf(seed, sizeof seed, "%" PRIu64, load->seed);
    snprintf(count, sizeof count, "%u", batches);
    snprintf(which, sizeof which, "%u", index);
    snprintf(processes, sizeof processes, "%u", load->processes > 0 ? load->processes : 1);
    setenv("LD_PRELOAD", POWER_SHIM_PATH, 1);
    setenv(POWER_LOG_ENV, log, 1);
    execl(POWER_LOAD_PATH, POWER_LOAD_PATH, data, seed, count, which, processes, load->unsafe ? "unsafe" : NULL,
          (char *)NULL);
    _exit(127);
}

static bool
ended_well(pid_t pid)
{
    int status;

    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool
power_record_load(const char *folder, const struct power_load *load, char *why, size_t why_size)
{
    unsigned processes = load->processes > 0 ? load->processes : 1;
    pid_t pids[PROCESSES_MOST];
    bool good = processes <= PROCESSES_MOST;

    /* The first makes the house; then all of them at once. */
    good = good && ended_well(start_load(folder, load, 0, 0));
    for (unsigned index = 0; good && index < processes; index++)
        pids[index] = start_load(folder, load, load->batches, index);
    for (unsigned index = 0; good && index < processes; index++)
        good = ended_well(pids[index]);
    if (!good)
        snprintf(why, why_size, "power_load, seed %" PRIu64 " in %s, failed under the shim", load->seed, folder);
    return good;
}

/* --- one image ------------------------------------------------------------------------------------------------------
 */
static bool
check_history(struct checking *checking, const struct sale *sale)
{
    struct entry_row entry;
    struct event_row event;
    struct payment_row payment;
    struct house_record house;

    store_get_house(sale->store, 0, &house);
    for (uint64_t number = 1; number <= house.last_entry_no; number++)
        if (!store_read_entry(sale->store, number, &entry))
            return wrong(checking, "ledger entry %" PRIu64 " is missing", number);
    for (uint64_t number = house.first_event_no; number <= house.last_event_no; number++)
        if (!store_read_event(sale->store, number, &event))
            return wrong(checking, "event %" PRIu64 " is missing", number);
        else if (event.kind == USHER_EVENT_PAID && !store_read_payment(sale->store, event.payment_id, &payment))
            return wrong(checking, "payment %" PRIu64 " is missing", (uint64_t)event.payment_id);
    return true;
}

static bool
check_promise(struct checking *checking, const struct sale *sale)
{
    struct promise found = promise_of(sale->store);
    const struct promise *kept = &checking->promises[found.position < checking->position_count ? found.position : 0];
    char why[256];

    if (found.position < checking->last.position)
        return wrong(checking, "position %" PRIu64 " was acknowledged, the store stands at %" PRIu64,
                     checking->last.position, found.position);
    if (found.position > checking->last.position + checking->in_flight || found.position >= checking->position_count)
        return wrong(checking, "the store stands at %" PRIu64 ", nobody wrote that", found.position);
    if (found.digest != kept->digest)
        return wrong(checking, "the records of position %" PRIu64 " differ", found.position);
    if (found.history != kept->history)
        return wrong(checking, "the history of position %" PRIu64 " differs", found.position);
    if (found.answer_count != kept->answer_count)
        return wrong(checking, "%" PRIu64 " remembered answers of %" PRIu64, found.answer_count, kept->answer_count);
    if (found.consumer_cursor < checking->last.consumer_cursor)
        return wrong(checking, "the history's consumer went back");
    if (!core_audit(sale->core, why, sizeof why))
        return wrong(checking, "the audit found: %s", why);
    checking->counts->unheard += found.position > checking->last.position && checking->promised > 0;
    return check_history(checking, sale);
}

static bool
open_image(struct checking *checking)
{
    const struct store_options options = {
        .directory = checking->image, .map_bytes = UINT64_C(1) << 28, .unsafe_no_sync = true};
    struct sale sale;
    char why[400] = "";

    checking->counts->images++;
    checking->counts->unmade += checking->promised == 0;
    if (!sale_open(&sale, &options, why, sizeof why))
        return wrong(checking, "the store does not open: %s", why);
    checking->opened = true;
    bool good = check_promise(checking, &sale);
    sale_close(&sale);
    return good;
}

/* The cut before this entry, or in the middle of it. */
static bool
cut_at(struct checking *checking, size_t at, enum power_cut cut)
{
    static const char *const names[] = {"nothing", "all", "any pages", "any sectors", "any words"};
    const struct power_entry *next = at < checking->log.count ? &checking->log.entry[at] : NULL;
    uint64_t seed = checking->random;
    char why[400];

    if (!power_disk_image(&checking->disk, next, cut, &checking->random, checking->image_file))
        return wrong(checking, "%s can't be written", checking->image_file);
    if (open_image(checking))
        return true;
    snprintf(why, sizeof why, "%s", checking->why);
    return wrong(checking, "cut before record %zu of %s/log, %s of the unsynced there, lots %" PRIu64 ": %s", at,
                 checking->folder, names[cut], seed, why);
}

/* --- all of them -----------------------------------------------------------------------------------------------------
 */
static bool
is_boundary(const struct power_entry *entry)
{
    return entry->head.kind == POWER_SYNC || entry->head.kind == POWER_SYNC_WRITE;
}

static bool
read_promises(struct checking *checking)
{
    struct promise promise;

    checking->promises = calloc(checking->log.count + 1, sizeof *checking->promises);
    for (size_t i = 0; i < checking->log.count; i++) {
        const struct power_entry *entry = &checking->log.entry[i];
        checking->counts->boundaries += is_boundary(entry);
        if (entry->head.kind != POWER_MARK)
            continue;
        if (entry->head.size != sizeof promise)
            return wrong(checking, "%s/log has a mark that is none", checking->folder);
        memcpy(&promise, entry->data, sizeof promise);
        if (promise.position >= checking->log.count)
            return wrong(checking, "%s/log promises too much", checking->folder);
        checking->promises[promise.position] = promise;
        if (checking->position_count <= promise.position)
            checking->position_count = promise.position + 1;
        checking->counts->batches = checking->position_count - 1;
    }
    checking->counts->records = checking->log.count;
    return true;
}

static void
go_past(struct checking *checking, const struct power_entry *entry)
{
    power_disk_step(&checking->disk, entry);
    if (entry->head.kind != POWER_MARK)
        return;
    struct promise promise;
    memcpy(&promise, entry->data, sizeof promise);
    checking->promised++;
    if (promise.position >= checking->last.position)
        checking->last = promise; /* of two processes the later may say it first */
}

static bool
check_all(struct checking *checking, uint64_t images)
{
    /* Two certain ones for each boundary; the rest are torn, spread over all records. */
    uint64_t certain = 2 * checking->counts->boundaries;
    double torn = images > certain ? (double)(images - certain) / (double)checking->log.count : 0.25, owed = 0;

    for (size_t at = 0; at <= checking->log.count; at++) {
        /* The store is made only once, so that moment gets more than its share. */
        if (checking->promised == 0)
            owed += WHILE_MADE;
        bool after_boundary = at > 0 && is_boundary(&checking->log.entry[at - 1]);
        if (after_boundary && !(cut_at(checking, at, POWER_NOTHING) && cut_at(checking, at, POWER_ALL)))
            return false;
        for (owed += torn; owed >= 1; owed--)
            if (!cut_at(checking, at, power_random(&checking->random) % 2 == 0 ? POWER_PAGES : POWER_SECTORS))
                return false;
        if (at == checking->log.count)
            break;
        go_past(checking, &checking->log.entry[at]);
    }
    return true;
}

static bool
tear_all(struct checking *checking, struct power_torn *torn)
{
    for (size_t at = 0; at < checking->log.count; at++) {
        const struct power_entry *entry = &checking->log.entry[at];
        if (checking->promised > 0 && entry->head.kind == POWER_SYNC_WRITE) {
            if (!power_disk_image(&checking->disk, entry, POWER_WORDS, &checking->random, checking->image_file))
                return wrong(checking, "%s can't be written", checking->image_file);
            checking->opened = false;
            bool whole = open_image(checking);
            torn->images++;
            torn->whole += whole;
            torn->refused += !checking->opened;
            torn->wrong += !whole && checking->opened;
        }
        go_past(checking, entry);
    }
    return true;
}

static void
open_checking(struct checking *checking)
{
    snprintf(checking->image, sizeof checking->image, "%s/image", checking->folder);
    snprintf(checking->image_file, sizeof checking->image_file, "%.500s/store.mdb", checking->image);
    mkdir(checking->image, 0700);
}

static bool
read_log(struct checking *checking)
{
    char path[PATH_MOST];

    snprintf(path, sizeof path, "%s/log", checking->folder);
    if (!power_log_read(&checking->log, path))
        return wrong(checking, "%s is no log", path);
    power_disk_open(&checking->disk, &checking->log);
    return read_promises(checking);
}

static void
close_checking(struct checking *checking)
{
    power_disk_close(&checking->disk);
    power_log_free(&checking->log);
    free(checking->promises);
}

bool
power_check_log(const char *folder, const struct power_load *load, uint64_t images, struct power_counts *counts,
                char *why, size_t why_size)
{
    struct checking checking = {.folder = folder,
                                .random = load->seed,
                                .in_flight = load->processes > 0 ? load->processes : 1,
                                .counts = counts,
                                .why = why,
                                .why_size = why_size};

    memset(counts, 0, sizeof *counts);
    open_checking(&checking);
    bool good = read_log(&checking) && check_all(&checking, images);
    close_checking(&checking);
    return good;
}

bool
power_tear_metas(const char *folder, uint64_t seed, struct power_torn *torn, char *why, size_t why_size)
{
    struct power_counts counts = {0};
    struct checking checking = {
        .folder = folder, .random = seed, .in_flight = 1, .counts = &counts, .why = why, .why_size = why_size};

    memset(torn, 0, sizeof *torn);
    open_checking(&checking);
    bool good = read_log(&checking) && tear_all(&checking, torn);
    close_checking(&checking);
    return good;
}
