/* check.c: power cuts of power_load. See check.h, and image.h for what a cut is.
 *
 * Whatever the cut: the store opens; it stands at the position that was acknowledged last or at the one that was being
 * written; every record is as it was at that position; no remembered answer, ledger entry, payment or event is missing;
 * the history's consumer has not gone back; and core_audit finds nothing. */
#define _GNU_SOURCE 1
#include "tests/power/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/power/cut.h"
#include "tests/power/promise.h"

#define PROCESSES_MOST 4u

struct checking {
    struct cutting cutting;   /* first: its views come back to us */
    uint64_t in_flight;       /* batches that can be under way at once */
    struct promise *promises; /* by position */
    uint64_t position_count;
    struct promise last;
};

/* --- recording -----------------------------------------------------------------------------------------------------
 */
static pid_t
start_load(const char *folder, const struct power_load *load, unsigned batches, unsigned index)
{
    char data[CUT_PATH_MOST], log[CUT_PATH_MOST], seed[32], count[32], which[32], processes[32];
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
    execl(POWER_LOAD_PATH, POWER_LOAD_PATH, data, seed, count, which, processes, load->mode, (char *)NULL);
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

/* --- one image ----------------------------------------------------------------------------------------------- */
static bool
look(struct cutting *cutting, const struct sale *sale, bool certain)
{
    struct checking *checking = (struct checking *)cutting;
    struct promise found = promise_of(sale->store);
    const struct promise *kept = &checking->promises[found.position < checking->position_count ? found.position : 0];
    (void)certain;

    if (found.position < checking->last.position)
        return cut_wrong(cutting, "position %" PRIu64 " was acknowledged, the store stands at %" PRIu64,
                         checking->last.position, found.position);
    if (found.position > checking->last.position + checking->in_flight || found.position >= checking->position_count)
        return cut_wrong(cutting, "the store stands at %" PRIu64 ", nobody wrote that", found.position);
    if (found.digest != kept->digest)
        return cut_wrong(cutting, "the records of position %" PRIu64 " differ", found.position);
    if (found.history != kept->history)
        return cut_wrong(cutting, "the history of position %" PRIu64 " differs", found.position);
    if (found.answer_count != kept->answer_count)
        return cut_wrong(cutting, "%" PRIu64 " remembered answers of %" PRIu64, found.answer_count, kept->answer_count);
    if (found.consumer_cursor < checking->last.consumer_cursor)
        return cut_wrong(cutting, "the history's consumer went back");
    cutting->counts->unheard += found.position > checking->last.position && cutting->heard > 0;
    return true;
}

static void
hear(struct cutting *cutting, const struct power_entry *mark)
{
    struct checking *checking = (struct checking *)cutting;
    struct promise promise;

    memcpy(&promise, mark->data, sizeof promise);
    if (promise.position >= checking->last.position)
        checking->last = promise; /* of two processes the later may say it first */
}

/* --- all of them --------------------------------------------------------------------------------------------- */
static bool
read_promises(struct checking *checking)
{
    struct cutting *cutting = &checking->cutting;
    struct promise promise;

    checking->promises = calloc(cutting->log.count + 1, sizeof *checking->promises);
    for (size_t i = 0; i < cutting->log.count; i++) {
        const struct power_entry *entry = &cutting->log.entry[i];
        if (entry->head.kind != POWER_MARK)
            continue;
        if (entry->head.size != sizeof promise)
            return cut_wrong(cutting, "%s/log has a mark that is none", cutting->folder);
        memcpy(&promise, entry->data, sizeof promise);
        if (promise.position >= cutting->log.count)
            return cut_wrong(cutting, "%s/log promises too much", cutting->folder);
        checking->promises[promise.position] = promise;
        if (checking->position_count <= promise.position)
            checking->position_count = promise.position + 1;
        cutting->counts->batches = checking->position_count - 1;
    }
    return true;
}

static bool
tear_all(struct cutting *cutting, unsigned file, struct power_torn *torn)
{
    for (size_t at = 0; at < cutting->log.count; at++) {
        const struct power_entry *entry = &cutting->log.entry[at];
        if (cutting->heard > 0 && entry->head.kind == POWER_SYNC_WRITE && entry->head.file == file) {
            bool whole = cut_at(cutting, at, POWER_WORDS);
            torn->images++;
            torn->whole += whole;
            torn->refused += !cutting->opened;
            torn->wrong += !whole && cutting->opened;
        }
        cut_go_past(cutting, entry);
    }
    return true;
}

static const struct cut_view view = {.hear = hear, .look = look, .while_made = 20};

bool
power_check_log(const char *folder, const struct power_load *load, uint64_t images, struct power_counts *counts,
                char *why, size_t why_size)
{
    struct checking checking = {
        .cutting =
            {.folder = folder, .view = &view, .random = load->seed, .counts = counts, .why = why, .why_size = why_size},
        .in_flight = load->processes > 0 ? load->processes : 1};

    memset(counts, 0, sizeof *counts);
    bool good = cut_open(&checking.cutting) && read_promises(&checking) && cut_everywhere(&checking.cutting, images);
    cut_close(&checking.cutting);
    free(checking.promises);
    return good;
}

bool
power_tear(const char *folder, unsigned file, uint64_t seed, struct power_torn *torn, char *why, size_t why_size)
{
    struct power_counts counts = {0};
    struct checking checking = {
        .cutting =
            {.folder = folder, .view = &view, .random = seed, .counts = &counts, .why = why, .why_size = why_size},
        .in_flight = 1};

    memset(torn, 0, sizeof *torn);
    bool good = cut_open(&checking.cutting) && read_promises(&checking) && tear_all(&checking.cutting, file, torn);
    cut_close(&checking.cutting);
    free(checking.promises);
    return good;
}
