/* run.c: see run.h.
 *
 * Each try runs in a child, for a core that is wrong may well abort: the tape is shared, so nothing is lost with the
 * child. What failed is then made short by delta debugging: play the tape again without these steps, and if it still
 * fails, forget them. Steps name what people got, not numbers, so what is left out does not change what the rest means.
 */
#define _XOPEN_SOURCE 700 /* nftw */
#define _DEFAULT_SOURCE
#include "tests/sim/run.h"

#include <assert.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/scene.h"

#define HANG_SECONDS 600u /* without an end; a core that runs in circles fails too */

struct tries {
    struct tape *tape;
    char why[sizeof((struct tape_failure *)0)->why]; /* what failed first */
    struct world_options options;
    time_t until;
    uint32_t count;
};

/* --- a child -------------------------------------------------------------------------------------------- */
/* Wait for a child; if it died, say so as the failure. True if everything held. */
static bool
child_held(struct tape *tape, pid_t child)
{
    int status;

    while (waitpid(child, &status, 0) < 0)
        continue;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
        exit(2);
    if (WIFEXITED(status))
        return WEXITSTATUS(status) == 0;
    if (!tape->failure.failed) {
        tape->failure.failed = true;
        tape->failure.step = UINT32_MAX;
        snprintf(tape->failure.why, sizeof tape->failure.why, "the core %s (%s)",
                 WTERMSIG(status) == SIGALRM ? "does not come to an end" : "gave up", strsignal(WTERMSIG(status)));
    }
    return false;
}

static pid_t
fork_child(bool quiet, unsigned seconds)
{
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) {
        perror("usher-sim: fork");
        exit(2);
    }
    if (child == 0) {
        alarm(seconds);
        if (quiet && freopen("/dev/null", "w", stderr) == NULL)
            _exit(2);
    }
    return child;
}

/* --- playing a list of steps ---------------------------------------------------------------------------- */
static bool
play_list(struct tape *tape, const struct world_options *options, const uint32_t *steps, uint32_t count)
{
    struct world world;
    bool held = true;

    world_open(&world, tape, options);
    for (uint32_t from = 0; from < count && held;) {
        uint32_t to = from + 1;
        while (to < count && to - from < WORLD_STEPS_MOST &&
               tape->steps[steps[to]].batch == tape->steps[steps[from]].batch)
            to++;
        held = world_play(&world, steps + from, to - from);
        from = to;
    }
    held = held && world_end(&world);
    world_close(&world);
    return held;
}

/* The same but for its numbers: a shorter scene of another failure would be of no help. */
static bool
is_same_failure(const char *one, const char *other)
{
    while (*one != '\0' || *other != '\0') {
        one += strspn(one, "0123456789-");
        other += strspn(other, "0123456789-");
        if (*one != *other)
            return false;
        one += *one != '\0';
        other += *other != '\0';
    }
    return true;
}

static bool
still_fails(struct tries *tries, const uint32_t *steps, uint32_t count)
{
    struct tape *tape = tries->tape;

    tries->count++;
    memset(&tape->failure, 0, sizeof tape->failure);
    pid_t child = fork_child(true, 60);
    if (child == 0) {
        bool held = play_list(tape, &tries->options, steps, count);
        fflush(NULL);
        _exit(held ? 0 : 1);
    }
    return !child_held(tape, child) && is_same_failure(tape->failure.why, tries->why);
}

/* --- making it short ------------------------------------------------------------------------------------ */
/* Leave chunks of this many steps out, from the end on, as long as it still fails. Returns how many steps are left. */
static uint32_t
leave_out(struct tries *tries, uint32_t *steps, uint32_t count, uint32_t chunk)
{
    uint32_t *without = malloc((count + 1) * sizeof *without);
    assert(without != NULL);

    for (uint32_t end = count; end > 0 && time(NULL) < tries->until;) {
        uint32_t from = end > chunk ? end - chunk : 0;
        memcpy(without, steps, from * sizeof *steps);
        memcpy(without + from, steps + end, (count - end) * sizeof *steps);
        if (still_fails(tries, without, count - (end - from))) {
            memcpy(steps, without, (count - (end - from)) * sizeof *steps);
            count -= end - from;
        }
        end = from;
    }
    free(without);
    return count;
}

/* What often has nothing to do with it, and can go at once. */
static bool
is_of_kind(const struct tape *tape, const struct step *step, unsigned kind)
{
    const struct step *last = &tape->steps[tape->failure.step < tape->step_count ? tape->failure.step : 0];
    const usher_message *message = step->kind == STEP_ASK ? usher_message_of(step->opcode) : NULL;

    switch (kind) {
    case 0:
        return step->actor == ACTOR_PERSON && step->person != last->person && step->person != last->user;
    case 1:
        return message != NULL && message->kind == USHER_MESSAGE_QUERY && step != last;
    case 2:
        return step->kind == STEP_WAKE;
    case 3:
        return step->kind == STEP_CONSUME || step->kind == STEP_IDLE;
    case 4:
        return step->kind == STEP_RESTART || step->kind == STEP_DROP;
    case 5:
        return step->result != USHER_OK && step != last;
    default:
        return step->replayed && step != last;
    }
}

static uint32_t
leave_out_kinds(struct tries *tries, uint32_t *steps, uint32_t count)
{
    uint32_t *without = malloc((count + 1) * sizeof *without);
    uint32_t step = tries->tape->failure.step;
    assert(without != NULL);

    for (unsigned kind = 0; kind < 7; kind++) {
        uint32_t left = 0;
        tries->tape->failure.step = step;
        for (uint32_t i = 0; i < count; i++)
            if (!is_of_kind(tries->tape, &tries->tape->steps[steps[i]], kind))
                without[left++] = steps[i];
        if (left < count && still_fails(tries, without, left)) {
            memcpy(steps, without, left * sizeof *steps);
            count = left;
        }
    }
    free(without);
    return count;
}

static uint32_t
make_short(struct tries *tries, uint32_t *steps, uint32_t count)
{
    uint32_t before;

    count = leave_out_kinds(tries, steps, count);
    for (uint32_t chunk = count / 2; chunk > 1; chunk /= 2)
        count = leave_out(tries, steps, count, chunk);
    do {
        before = count;
        count = leave_out(tries, steps, count, 1);
    } while (count < before && time(NULL) < tries->until);
    return count;
}

/* A core that gave up has answered nothing: let the model say what is right. */
static void
fill_expected(struct tries *tries, const uint32_t *steps, uint32_t count)
{
    struct tape_failure failure = tries->tape->failure;
    struct world_options options = {.model_alone = true};
    pid_t child = fork_child(true, 60);

    if (child == 0) {
        play_list(tries->tape, &options, steps, count);
        _exit(0);
    }
    child_held(tries->tape, child);
    tries->tape->failure = failure;
}

static int
remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

static void
report(const struct profile *profile, struct tape *tape, const char *folder, uint32_t shrink_seconds)
{
    struct tries tries = {.tape = tape,
                          .options = {.on_disk = profile->on_disk, .folder = folder, .audit_every = 1},
                          .until = time(NULL) + (time_t)shrink_seconds};
    uint32_t count = tape->step_count, first_count = count;
    uint32_t *steps = malloc((count + 1) * sizeof *steps);
    struct tape_counts counts = tape->counts;

    assert(steps != NULL);
    memcpy(tries.why, tape->failure.why, sizeof tries.why);
    for (uint32_t i = 0; i < count; i++)
        steps[i] = i;
    fprintf(stderr, "usher-sim: seed %" PRIu64 " failed after %" PRIu64 " commands, at step %u of %u: %s\n",
            profile->seed, tape->counts.commands, tape->failure.step, count, tape->failure.why);
    if (profile->audit_every > 1)
        tries.options.audit_every = profile->audit_every;
    if (!still_fails(&tries, steps, count)) {
        fprintf(stderr, "usher-sim: played again from its tape it does not fail\n");
    } else {
        count = make_short(&tries, steps, count);
        still_fails(&tries, steps, count); /* once more, for what it says */
        if (tape->failure.step == UINT32_MAX)
            fill_expected(&tries, steps, count);
        fprintf(stderr, "%u steps of %u are left after %u tries. As a scene:\n\n", count, first_count, tries.count);
        scene_print(stderr, tape, steps, count);
    }
    fprintf(stderr, "\nrepeat: usher-sim --seed %" PRIu64 " --commands %" PRIu64 " --users %u --hours %g\n",
            profile->seed, profile->commands, profile->users, profile->hours);
    tape->counts = counts;
    free(steps);
}

bool
run_seed(const struct profile *profile, uint32_t shrink_seconds, struct tape_counts *counts)
{
    struct tape *tape = tape_open(profile->commands);
    char folder[] = "/tmp/usher-sim-XXXXXX"; /* of all tries: a child that dies can't clean up */
    const struct world_options options = {
        .on_disk = profile->on_disk, .folder = folder, .audit_every = profile->audit_every};

    if (profile->on_disk && mkdtemp(folder) == NULL) {
        perror("usher-sim: no folder for the store");
        exit(2);
    }
    pid_t child = fork_child(false, HANG_SECONDS);

    if (child == 0) {
        struct world world;
        world_open(&world, tape, &options);
        bool held = generate(&world, profile);
        world_close(&world);
        fflush(NULL);
        _exit(held ? 0 : 1);
    }
    bool held = child_held(tape, child);
    if (!held)
        report(profile, tape, folder, shrink_seconds);
    if (profile->on_disk)
        nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    *counts = tape->counts;
    tape_close(tape);
    return held;
}
