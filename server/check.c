/* check.c: usherd check: is everything in a data directory, or in a backup, what it should be?
 *
 *     tables   every row of every table: its check, its form, the order of keys; the journal's batches decoded
 *     opening  the tables into memory and the journal on top, as a start does
 *     digest   over records and over history, against those that the last commit left
 *     audit    the core's invariants, by name, recounted from the records
 *     books    the ledger from its first entry, payments and refunds against seats, events, answers, the history
 *
 * It reads one position and writes nothing, so a usherd may go on serving. The parts run in a child, which LMDB or the
 * kernel ends when a page's own structure is damaged; the parent says where that was and goes on with the next part.
 * One line on stdout for each table and part, and one "problem: ..." line for each mistake. */
#define _GNU_SOURCE 1
#include "server/check.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/commit/batch.h"
#include "server/data.h"

#define PROBLEMS_TOLD 100

enum { CHECK_SOUND, CHECK_PROBLEMS, CHECK_NOT_OPENED };

/* --- telling ---------------------------------------------------------------------------------------------- */
static void
tell(struct check *check, const char *table, const char *key, const char *format, va_list arguments)
{
    struct check_shared *shared = check->shared;

    shared->problems++;
    if (++shared->problems_of_part > PROBLEMS_TOLD)
        return;
    printf("problem: table %s, key %s: ", table, key);
    vprintf(format, arguments);
    putchar('\n');
    fflush(stdout); /* the next row may end this process */
}

void
check_problem(struct check *check, const char *table, const char *key, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    tell(check, table, key, format, arguments);
    va_end(arguments);
}

void
check_problem_at(struct check *check, enum store_table table, uint64_t number, const char *format, ...)
{
    char key[32];
    va_list arguments;

    snprintf(key, sizeof key, "%" PRIu64, number);
    va_start(arguments, format);
    tell(check, store_table_name(table), key, format, arguments);
    va_end(arguments);
}

static void
note_place(struct check *check, const struct store_row *row)
{
    char key[64];

    snprintf(check->shared->place, sizeof check->shared->place, "table %s, after key %s", store_table_name(row->table),
             store_row_key(row, key));
}

/* --- the tables -------------------------------------------------------------------------------------------- */
struct walking {
    struct check *check;
    struct store_meta meta;
    uint64_t rows;
    uint64_t last_position, last_stamp_ms; /* of the journal */
    size_t struct_size_most;
    void *scratch;
};

static void
check_commands(struct walking *walking, const struct store_row *row, const uint8_t *commands, size_t size)
{
    struct batch_reader reader;
    struct core_request request;

    if (!batch_open(&reader, commands, size)) {
        check_problem_at(walking->check, row->table, row->number, "its commands are no batch");
        return;
    }
    while (batch_next(&reader, &request, walking->scratch))
        continue;
    if (!batch_ended(&reader))
        check_problem_at(walking->check, row->table, row->number, "a command of its batch can't be read");
}

static void
check_batch(struct walking *walking, const struct store_row *row)
{
    struct check *check = walking->check;
    const uint8_t *commands;
    uint64_t stamp_ms;
    size_t size;

    if (!store_journal_commands(row->bytes, row->size, &stamp_ms, &commands, &size)) {
        check_problem_at(check, row->table, row->number, "it is no value of a journal");
        return;
    }
    if (walking->last_position != 0 && row->number != walking->last_position + 1)
        check_problem_at(check, row->table, row->number, "the batch before it is missing");
    if (walking->last_position == 0 && row->number > walking->meta.cut + 1)
        check_problem_at(check, row->table, row->number, "the tables end at %" PRIu64 ", so batches are missing",
                         walking->meta.cut);
    if (stamp_ms < walking->last_stamp_ms)
        check_problem_at(check, row->table, row->number, "its stamp is before the last one's (X1)");
    walking->last_stamp_ms = stamp_ms;
    if (size > 0)
        check_commands(walking, row, commands, size);
}

static bool
check_row(void *context, const struct store_row *row)
{
    struct walking *walking = context;
    char key[64];

    walking->rows++;
    if (row->problem != NULL)
        check_problem(walking->check, store_table_name(row->table), store_row_key(row, key), "%s", row->problem);
    else if (row->table == STORE_DISK_JOURNAL)
        check_batch(walking, row);
    walking->last_position = row->number; /* a damaged batch is not missing as well */
    note_place(walking->check, row);
    return true;
}

static void
check_meta(struct walking *walking)
{
    struct check *check = walking->check;
    const struct store_meta *meta = &walking->meta;

    if (meta->cut > meta->position)
        check_problem(check, "meta", "1", "the journal is cut behind its end");
    if (meta->pass_start != 0 && (meta->pass_start < meta->cut || meta->pass_start > meta->position))
        check_problem(check, "meta", "1", "a pass began where no batch was");
}

static void
check_table(struct check *check, unsigned table)
{
    struct walking walking = {.check = check};
    struct forms forms;
    const char *trouble;

    forms_fill(&forms);
    walking.scratch = calloc(1, forms.struct_size_most);
    if (walking.scratch == NULL || !store_snapshot_meta(check->store, &walking.meta))
        check_problem(check, store_table_name(table), "0", "the meta rows can't be read");
    trouble = store_walk(check->store, table, check_row, &walking);
    if (trouble != NULL)
        check_problem(check, store_table_name(table), check->shared->place, "the rest can't be read: %s", trouble);
    if (table == STORE_DISK_META)
        check_meta(&walking);
    if (table == STORE_DISK_JOURNAL && trouble == NULL && walking.meta.cut < walking.meta.position &&
        walking.last_position != walking.meta.position)
        check_problem_at(check, table, walking.meta.position, "the last batch is missing");
    check->shared->rows += walking.rows;
    printf("table %-8s %12" PRIu64 " rows  %s\n", store_table_name(table), walking.rows,
           check->shared->problems_of_part == 0 ? "sound" : "damaged");
    free(walking.scratch);
}

struct showing {
    struct check *check;
    void (*visit)(void *context, const struct store_row *row);
    void *context;
};

static bool
show_row(void *context, const struct store_row *row)
{
    struct showing *showing = context;

    if (row->problem == NULL)
        showing->visit(showing->context, row);
    note_place(showing->check, row);
    return true;
}

void
check_each(struct check *check, unsigned table, void (*visit)(void *context, const struct store_row *row),
           void *context)
{
    struct showing showing = {check, visit, context};
    const char *trouble = store_walk(check->store, table, show_row, &showing);

    if (trouble != NULL)
        check_problem(check, store_table_name(table), check->shared->place, "the rest can't be read: %s", trouble);
}

/* --- the parts --------------------------------------------------------------------------------------------- */
static void
check_audit(struct check *check)
{
    struct core *core = core_open(check->store);
    char why[256];

    if (core == NULL || !core_audit(core, why, sizeof why)) {
        check->shared->problems++;
        check->shared->problems_of_part++;
        printf("problem: audit: %s\n", core == NULL ? "no memory" : why);
    }
    core_close(core);
}

/* The digests that the last commit left in the meta table. That over the records was compared when they were opened;
 * that over the history, which nobody reads as a whole otherwise, is recounted here. */
static void
check_digest(struct check *check)
{
    uint64_t records = store_digest_recount(check->store), history;

    if (records != store_digest(check->store))
        check_problem(check, "meta", "3", "the digest over the records is %016" PRIx64 ", they come to %016" PRIx64,
                      store_digest(check->store), records);
    if (!store_snapshot_history_digest(check->store, &history))
        check_problem(check, "meta", "3", "the history can't be recounted");
    else if (history != store_history_digest(check->store))
        check_problem(check, "meta", "3", "the digest over the history is %016" PRIx64 ", its rows come to %016" PRIx64,
                      store_history_digest(check->store), history);
}

static const struct check_part {
    unsigned table; /* to walk, where run is NULL */
    void (*run)(struct check *check);
    const char *name;
} parts[] = {
    {STORE_DISK_META, NULL, "meta"},
#define STORE_TABLE(number, NAME, name, key_field, text) {number, NULL, #name},
#include "server/store/records.def"
#define STORE_HISTORY(number, NAME, name, text) {number, NULL, #name},
#include "server/store/history.def"
    {STORE_DISK_JOURNAL, NULL, "journal"}, {STORE_DISK_HISTORY, NULL, "history"},
    {0, check_digest, "digest"},           {0, check_audit, "audit"},
    {0, check_ledger, "ledger"},           {0, check_payments, "payments"},
    {0, check_events, "events"},           {0, check_answers, "answers"},
    {0, check_consumer, "consumer"},
};
#define PART_COUNT (sizeof parts / sizeof *parts)

/* What stands on the records is only looked at when every record could be read. */
static bool
load(struct check *check)
{
    char why[512];
    enum store_status status;

    if (check->loaded)
        return true;
    if (check->shared->problems > 0) {
        printf("the rest is not checked: it stands on what is damaged\n");
        return false;
    }
    status = store_load_snapshot(check->store, why, sizeof why);
    check->loaded = status == STORE_OK;
    if (!check->loaded) {
        check->shared->problems++;
        printf("problem: opening: %s\n", why);
    }
    return check->loaded;
}

static void
tell_the_untold(const struct check *check)
{
    if (check->shared->problems_of_part > PROBLEMS_TOLD)
        printf("problem: %" PRIu64 " more of this kind\n", check->shared->problems_of_part - PROBLEMS_TOLD);
}

static void
run_parts(struct check *check)
{
    for (; check->shared->part < PART_COUNT; check->shared->part++) {
        const struct check_part *part = &parts[check->shared->part];

        check->shared->problems_of_part = 0;
        snprintf(check->shared->place, sizeof check->shared->place, "%s %s, at its beginning",
                 part->run == NULL ? "table" : "part", part->name);
        fflush(stdout);
        if (part->run == NULL) {
            check_table(check, part->table);
        } else {
            if (!load(check))
                return;
            part->run(check);
            printf("part  %-8s %17s  %s\n", part->name, "", check->shared->problems_of_part == 0 ? "sound" : "wrong");
        }
        tell_the_untold(check);
    }
}

/* --- the child --------------------------------------------------------------------------------------------- */
static int
child_main(struct check *check)
{
    char why[512];

    /* The end by a signal is the parent's to tell of: a core or a sanitizer's report would say it twice. */
    static const int signals[] = {SIGBUS, SIGSEGV, SIGABRT, SIGFPE};

    for (size_t at = 0; at < sizeof signals / sizeof *signals; at++)
        signal(signals[at], SIG_DFL);
    if (store_open_snapshot(check->path, &check->store, why, sizeof why) != STORE_OK) {
        fprintf(stderr, "usherd: check: %s\n", why);
        return CHECK_NOT_OPENED;
    }
    check->shared->opened = true;
    check->shared->position = store_position(check->store);
    run_parts(check);
    return CHECK_SOUND;
}

/* Run what is left of the parts in a child. False when the data could not be opened. */
static bool
run_child(struct check *check)
{
    pid_t parent = getpid(), child;
    int status;

    fflush(NULL);
    child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int code = getppid() == parent ? child_main(check) : CHECK_NOT_OPENED;
        fflush(NULL);
        _exit(code);
    }
    if (child < 0) {
        fprintf(stderr, "usherd: check: %s\n", strerror(errno));
        return false;
    }
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return false;
    if (WIFEXITED(status) && WEXITSTATUS(status) != CHECK_SOUND)
        return false;
    if (WIFSIGNALED(status) && !check->shared->opened) {
        fprintf(stderr, "usherd: check: %s: it is cut short, or damaged so that it can't be opened (%s)\n", check->path,
                strsignal(WTERMSIG(status)));
        return false;
    }
    if (WIFSIGNALED(status)) {
        check->shared->problems++;
        printf("problem: %s: a page is damaged so that it can't be read (%s)\n", check->shared->place,
               strsignal(WTERMSIG(status)));
        check->shared->part++;
    } else {
        check->shared->part = PART_COUNT;
    }
    return true;
}

int
data_check(char **argument)
{
    struct check check = {.path = argument[0]};
    uint64_t problems;

    check.shared = mmap(NULL, sizeof *check.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (check.shared == MAP_FAILED) {
        fprintf(stderr, "usherd: check: %s\n", strerror(errno));
        return CHECK_NOT_OPENED;
    }
    while (check.shared->part < PART_COUNT) {
        if (!run_child(&check))
            return CHECK_NOT_OPENED;
    }
    problems = check.shared->problems;
    printf("%s: position %" PRIu64 ", %" PRIu64 " rows: ", check.path, check.shared->position, check.shared->rows);
    if (problems == 0)
        printf("sound\n");
    else
        printf("%" PRIu64 " problem%s\n", problems, problems == 1 ? "" : "s");
    munmap(check.shared, sizeof *check.shared);
    return problems == 0 ? CHECK_SOUND : CHECK_PROBLEMS;
}
