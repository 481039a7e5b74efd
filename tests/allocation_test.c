/* allocation_test.c: a whole purchase with the Nth allocation failing, for every N there is: ours, LMDB's, everybody's.
 *
 * malloc, calloc and realloc of the whole program are the ones below. Each N runs in a child of its own. Where the
 * store says that it ends the process when memory does (server/store/memory.h), the child ends by abort, loudly, with
 * nothing acknowledged that is not on the disk; everywhere else the batch is undone and answered STORAGE_FAULT, and a
 * retry works. Either way the purchase ends as one without failures, bit for bit.
 *
 * Sanitizers have a malloc of their own, so this file is not built with them. */
#define _GNU_SOURCE 1
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sale.h"
#include "tests/store_help.h"

#define BATCHES (1u + SALE_STEPS) /* the house, and a batch for each step */

/* --- failing ------------------------------------------------------------------------------------------------- */
/* glibc's own, by its own names. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);

static atomic_uint_fast64_t fail_at, allocations; /* counted while fail_at is not 0 */

static bool
must_fail(void)
{
    if (fail_at == 0 || ++allocations != fail_at)
        return false;
    errno = ENOMEM;
    return true;
}

/* The libraries must find these, too. */
#define EVERYBODYS __attribute__((visibility("default")))

EVERYBODYS void *
malloc(size_t size)
{
    return must_fail() ? NULL : __libc_malloc(size);
}

EVERYBODYS void *
calloc(size_t count, size_t size)
{
    return must_fail() ? NULL : __libc_calloc(count, size);
}

EVERYBODYS void *
realloc(void *memory, size_t size)
{
    return must_fail() ? NULL : __libc_realloc(memory, size);
}

static void
begin_failing(uint64_t nth)
{
    allocations = 0;
    fail_at = nth;
}

/* --- a purchase ---------------------------------------------------------------------------------------------- */
/* What the child has told the world: in memory that outlives it. */
struct told {
    struct sale_buyer buyer;
    uint64_t acknowledged; /* batches */
    uint64_t undone;
    uint64_t opened; /* the store was there */
    uint64_t allocations;
    uint64_t digest[BATCHES + 1]; /* by position */
};

enum { CHILD_DONE = 10, CHILD_LOST, CHILD_REFUSED, CHILD_WRONG };

static struct store_options
options_in(const struct help_folder *folder)
{
    return (struct store_options){.directory = folder->path,
                                  .map_bytes = UINT64_C(1) << 26,
                                  .slice_records = 4,
                                  .journal_bytes = 500,
                                  .unsafe_no_sync = true};
}

static bool
is_sound(const struct sale *sale)
{
    char why[512];

    store_no_fault(sale->store);
    return core_audit(sale->core, why, sizeof why);
}

/* One batch, repeated until it is done. Returns 0 or the code to end with. */
static int
do_batch(struct sale *sale, struct told *told)
{
    uint64_t digest = store_digest_recount(sale->store);

    for (;;) {
        /* So small a batch fits the buffer that is there from the start. */
        if (!(told->acknowledged == 0 ? sale_add_house(sale) : sale_add(sale, &told->buyer)))
            return CHILD_WRONG;
        enum store_outcome outcome = sale_run(sale);
        if (outcome == STORE_LOST)
            return CHILD_LOST;
        if (outcome == STORE_DONE)
            break;
        told->undone++;
        if (commit_answer(sale->commit, 0).result != USHER_STORAGE_FAULT ||
            store_digest_recount(sale->store) != digest || !is_sound(sale))
            return CHILD_WRONG;
    }
    bool taken = told->acknowledged == 0 ? sale_took_house(sale) : sale_take(sale, &told->buyer, 0);
    told->acknowledged++;
    told->digest[told->acknowledged] = store_digest_recount(sale->store);
    return taken ? 0 : CHILD_WRONG;
}

/* The purchase from the beginning to the end with the nth allocation failing, in a process of its own. */
static int
purchase(const struct help_folder *folder, uint64_t nth, bool while_opening, struct told *told)
{
    const struct store_options options = options_in(folder);
    struct sale sale;
    char why[512];
    int code = 0;

    if (while_opening)
        begin_failing(nth);
    if (!sale_open(&sale, &options, why, sizeof why))
        return CHILD_REFUSED;
    told->opened = 1;
    if (while_opening) {
        told->allocations = allocations;
        fail_at = 0;
        return CHILD_DONE;
    }
    told->digest[0] = store_digest_recount(sale.store);
    begin_failing(nth);
    while (code == 0 && told->acknowledged < BATCHES)
        code = do_batch(&sale, told);
    told->allocations = allocations;
    fail_at = 0;
    if (code == 0 && !is_sound(&sale))
        code = CHILD_WRONG;
    sale_close(&sale);
    return code == 0 ? CHILD_DONE : code;
}

/* Run it in a child. Returns how the child ended: a code, or minus a signal. */
static int
purchase_in_a_child(const struct help_folder *folder, uint64_t nth, bool while_opening, struct told *told)
{
    const struct rlimit no_core = {0, 0};
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        dup2(nowhere, STDERR_FILENO);
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGABRT, SIG_DFL);
        _exit(purchase(folder, nth, while_opening, told));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* --- scenes -------------------------------------------------------------------------------------------------- */
static struct told *
share_told(void)
{
    struct told *told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(told != MAP_FAILED);
    return told;
}

static void
begin_telling(struct told *told)
{
    memset(told, 0, sizeof *told);
    told->buyer.number = 1;
}

/* What a child left behind that ended in the middle: a whole state, everything acknowledged in it; then the rest. */
static void
finish(const struct help_folder *folder, const struct told *clean, struct told *told)
{
    const struct store_options options = options_in(folder);
    struct sale sale;
    char why[512] = "";

    if (!sale_open(&sale, &options, why, sizeof why))
        fail_msg("%s", why);
    uint64_t position = store_position(sale.store);
    assert_in_range(position, told->acknowledged, told->acknowledged + 1);
    assert_int_equal(store_digest_recount(sale.store), clean->digest[position]);
    assert_true(is_sound(&sale));
    /* Acknowledged means answered, so a batch that was done unheard is asked for again and takes a position more. */
    bool unheard = position > told->acknowledged;
    while (told->acknowledged < BATCHES)
        assert_int_equal(do_batch(&sale, told), 0);
    assert_int_equal(store_position(sale.store), BATCHES + unheard);
    if (!unheard)
        assert_int_equal(store_digest_recount(sale.store), clean->digest[BATCHES]);
    assert_true(is_sound(&sale));
    sale_close(&sale);
}

/* S5, X3: whichever allocation of a purchase fails, the batch is undone, or the process ends without having promised
 * anything that is not there; and the same requests then end in the same records. */
static void
a_purchase_survives_the_failure_of_any_allocation(void **state)
{
    struct told *clean = share_told(), *told = share_told();
    unsigned undone = 0, aborted = 0, unharmed = 0;
    struct help_folder folder;
    (void)state;

    help_folder_make(&folder);
    begin_telling(clean);
    assert_int_equal(purchase_in_a_child(&folder, UINT64_MAX, false, clean), CHILD_DONE);
    help_folder_remove(&folder);
    assert_int_equal(clean->acknowledged, BATCHES);
    assert_true(clean->allocations > BATCHES);
    for (uint64_t nth = 1; nth <= clean->allocations; nth++) {
        help_folder_make(&folder);
        begin_telling(told);
        int end = purchase_in_a_child(&folder, nth, false, told);
        if (end != CHILD_DONE && end != CHILD_LOST && end != -SIGABRT)
            fail_msg("allocation %u of %u: the child ended with %d", (unsigned)nth, (unsigned)clean->allocations, end);
        aborted += end != CHILD_DONE;
        undone += end == CHILD_DONE && told->undone > 0;
        unharmed += end == CHILD_DONE && told->undone == 0;
        finish(&folder, clean, told);
        help_folder_remove(&folder);
    }
    print_message("%u allocations failed: %u batches undone, %u processes ended, %u did no harm\n",
                  (unsigned)clean->allocations, undone, aborted, unharmed);
    assert_true(undone > 0);
    assert_true(aborted > 0);
    munmap(clean, sizeof *clean);
    munmap(told, sizeof *told);
}

/* S5: a start that runs out of memory at any point opens nothing half: it ends or refuses, and the next one opens the
 * store. On a fresh directory and on one that holds a purchase. */
static void
a_start_survives_the_failure_of_any_allocation(void **state)
{
    struct told *told = share_told();
    struct help_folder folder;
    unsigned failed = 0, count = 0;
    (void)state;

    for (int fresh = 0; fresh < 2; fresh++)
        for (uint64_t nth = 1;; nth++) {
            struct told *before = share_told();
            help_folder_make(&folder);
            begin_telling(before);
            if (!fresh)
                assert_int_equal(purchase_in_a_child(&folder, UINT64_MAX, false, before), CHILD_DONE);
            begin_telling(told);
            int end = purchase_in_a_child(&folder, nth, true, told);
            assert_true(end == CHILD_DONE || end == CHILD_REFUSED || end == -SIGABRT);
            failed += end != CHILD_DONE;
            count++;
            const struct store_options options = options_in(&folder);
            struct sale sale;
            char why[512] = "";
            if (!sale_open(&sale, &options, why, sizeof why))
                fail_msg("allocation %u: %s", (unsigned)nth, why);
            if (!fresh)
                assert_int_equal(store_digest_recount(sale.store), before->digest[BATCHES]);
            assert_true(is_sound(&sale));
            sale_close(&sale);
            help_folder_remove(&folder);
            munmap(before, sizeof *before);
            if (end == CHILD_DONE && told->allocations < nth)
                break;
        }
    print_message("%u starts: %u ended or refused\n", count, failed);
    assert_true(failed > 20);
    munmap(told, sizeof *told);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_purchase_survives_the_failure_of_any_allocation),
        cmocka_unit_test(a_start_survives_the_failure_of_any_allocation),
    };

    return usher_test_main(argc, argv, tests);
}
