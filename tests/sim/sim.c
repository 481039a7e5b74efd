/* sim.c: usher-sim: seeds against the model, one after another or for a given time.
 *
 *     usher-sim --seed N [--seeds COUNT] [--commands N] [--users N] [--hours H] [--jobs N]
 *     usher-sim --minutes M ...      a new seed each time, until the time is over; 0: until it is stopped
 *
 * Every seed runs in a process of its own. A failure prints its seed and the shortest scene that was found; the exit
 * status is 1 then. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/run.h"

#define JOBS_MOST 64u

struct settings {
    uint64_t seed, seeds, commands;
    uint32_t users, jobs, shrink_seconds;
    double hours, minutes;
    bool endless; /* --minutes was given */
};

/* One running seed: what it did is written where its parent can read it. */
struct job {
    pid_t child;
    uint64_t seed;
    struct tape_counts *counts;
};

static volatile sig_atomic_t stopped;

static void
stop(int signal_no)
{
    (void)signal_no;
    stopped = 1;
}

static double
seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* --- options -------------------------------------------------------------------------------------------- */
static void
usage(FILE *out)
{
    fputs("usher-sim: seeded simulation against a plain model\n\n"
          "  --seed N        the first seed (1; with --minutes one from the clock)\n"
          "  --seeds COUNT   how many, one after another (1)\n"
          "  --commands N    commands of each seed (50000)\n"
          "  --users N       people of each seed (0: as the seed has it)\n"
          "  --hours H       virtual hours of each seed (0: as the seed has it)\n"
          "  --jobs N        seeds at once (1)\n"
          "  --minutes M     go on with new seeds for so long; 0: until stopped\n"
          "  --shrink S      seconds to make a failure short (60)\n",
          out);
}

static uint64_t
number_of(const char *text, uint64_t most)
{
    char *end;

    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || number > most) {
        fprintf(stderr, "usher-sim: '%s' is not a number from 0 to %" PRIu64 "\n", text, most);
        exit(2);
    }
    return number;
}

static double
real_of(const char *text)
{
    char *end;
    double number = strtod(text, &end);

    if (end == text || *end != '\0' || !(number >= 0 && number < 1e6)) {
        fprintf(stderr, "usher-sim: '%s' is not a time\n", text);
        exit(2);
    }
    return number;
}

static void
read_options(int argc, char **argv, struct settings *settings)
{
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'},     {"seeds", required_argument, NULL, 'n'},
        {"commands", required_argument, NULL, 'c'}, {"users", required_argument, NULL, 'u'},
        {"hours", required_argument, NULL, 'h'},    {"jobs", required_argument, NULL, 'j'},
        {"minutes", required_argument, NULL, 'm'},  {"shrink", required_argument, NULL, 'r'},
        {"help", no_argument, NULL, '?'},           {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 's':
            settings->seed = number_of(optarg, UINT64_MAX);
            break;
        case 'n':
            settings->seeds = number_of(optarg, UINT64_MAX);
            break;
        case 'c':
            settings->commands = number_of(optarg, 5000000);
            break;
        case 'u':
            settings->users = (uint32_t)number_of(optarg, 100000);
            break;
        case 'h':
            settings->hours = real_of(optarg);
            break;
        case 'j':
            settings->jobs = (uint32_t)number_of(optarg, JOBS_MOST);
            break;
        case 'm':
            settings->minutes = real_of(optarg);
            settings->endless = true;
            break;
        case 'r':
            settings->shrink_seconds = (uint32_t)number_of(optarg, 86400);
            break;
        default:
            usage(strcmp(argv[optind - 1], "--help") == 0 ? stdout : stderr);
            exit(strcmp(argv[optind - 1], "--help") == 0 ? 0 : 2);
        }
    }
    if (optind != argc || settings->jobs == 0 || settings->commands == 0) {
        usage(stderr);
        exit(2);
    }
}

/* --- jobs ----------------------------------------------------------------------------------------------- */
static void
add_counts(struct tape_counts *sum, const struct tape_counts *counts)
{
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)counts;

    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++)
        to[i] += from[i];
}

static void
begin_job(const struct settings *settings, struct job *job, uint64_t seed)
{
    job->seed = seed;
    memset(job->counts, 0, sizeof *job->counts);
    fflush(NULL);
    job->child = fork();
    if (job->child < 0) {
        perror("usher-sim: fork");
        exit(2);
    }
    if (job->child > 0)
        return;
    signal(SIGINT, SIG_IGN); /* a seed that has begun is played to its end, so that what it did counts */
    signal(SIGTERM, SIG_IGN);
    struct profile profile = profile_of(seed, settings->commands, settings->users, settings->hours);
    _exit(run_seed(&profile, settings->shrink_seconds, job->counts) ? 0 : 1);
}

/* Wait for one of the jobs. Returns its number; *held tells how it ended. */
static size_t
end_job(struct job *jobs, size_t count, bool *held)
{
    for (;;) {
        int status;
        pid_t child = waitpid(-1, &status, 0);
        for (size_t i = 0; i < count; i++)
            if (child > 0 && jobs[i].child == child) {
                jobs[i].child = 0;
                *held = WIFEXITED(status) && WEXITSTATUS(status) == 0;
                return i;
            }
    }
}

/* What never came up: a simulation that sends no swap proves nothing about swaps. */
static void
say_unseen(const struct tape_counts *sum)
{
    /* Those that the connection answers, or only a failing disk brings about, or that need thousands of entries. */
    static const usher_result others[] = {USHER_FRAME_SIZE,       USHER_FRAME_VERSION,      USHER_FRAME_CHECK,
                                          USHER_FRAME_HEADER,     USHER_OPCODE_UNKNOWN,     USHER_BODY_SIZE,
                                          USHER_FIELD_INVALID,    USHER_REQUEST_ID_MISSING, USHER_GOING_AWAY,
                                          USHER_HELLO_MISSING,    USHER_HELLO_REPEATED,     USHER_SIGNATURE_WRONG,
                                          USHER_CLIENT_UNKNOWN,   USHER_ROLE_REFUSED,       USHER_BUSY,
                                          USHER_NOT_EXECUTED,     USHER_STORAGE_FAULT,      USHER_STORAGE_FULL,
                                          USHER_TOKEN_MISSING,    USHER_TOKEN_MALFORMED,    USHER_TOKEN_FORGED,
                                          USHER_TOKEN_OTHER_USER, USHER_TOKEN_UNKNOWN_KEY,  USHER_TOO_MANY,
                                          USHER_EVENTS_LOST,      USHER_SLOW_CONSUMER,      USHER_WATCH_OPEN,
                                          USHER_WATCH_LIMIT};
    size_t count;
    const usher_message *messages = usher_messages(&count);

    printf("never seen:");
    for (size_t i = 0; i < count; i++)
        if (messages[i].kind != USHER_MESSAGE_CONNECTION && messages[i].kind != USHER_MESSAGE_WATCH &&
            sum->by_message[i] == 0)
            printf(" %s", messages[i].name);
    for (unsigned result = 0; result < sizeof sum->by_result / sizeof *sum->by_result; result++) {
        bool other = strcmp(usher_result_name(result), "UNKNOWN") == 0;
        for (size_t i = 0; i < sizeof others / sizeof *others; i++)
            other |= others[i] == result;
        if (!other && sum->by_result[result] == 0)
            printf(" %s", usher_result_name(result));
    }
    putchar('\n');
}

static void
say_counts(const struct tape_counts *sum, uint64_t seeds, uint64_t failures, double seconds)
{
    printf("%" PRIu64 " seeds, %" PRIu64 " failed; %" PRIu64 " commands in %" PRIu64 " batches and %" PRIu64
           " queries in %.1f s\n",
           seeds, failures, sum->commands, sum->batches, sum->queries, seconds);
    printf("commands: %" PRIu64 " done, %" PRIu64 " refused, %" PRIu64 " replayed, %" PRIu64 " mismatches\n", sum->done,
           sum->refused, sum->replays, sum->mismatches);
    printf("events: %" PRIu64 ", of these %" PRIu64 " admissions, %" PRIu64 " payments, %" PRIu64 " refunds, %" PRIu64
           " ends by time; %" PRIu64 " restarts, %" PRIu64 " audits\n",
           sum->events, sum->admitted, sum->paid, sum->refunded, sum->expired, sum->restarts, sum->audits);
    say_unseen(sum);
    fflush(stdout);
}

static uint64_t
run_jobs(const struct settings *settings, struct tape_counts *sum, uint64_t *ended)
{
    struct job jobs[JOBS_MOST] = {{0}};
    double until = settings->minutes > 0 ? seconds_now() + settings->minutes * 60 : 1e18;
    uint64_t begun = 0, failures = 0, running = 0;
    struct tape_counts *shared =
        mmap(NULL, settings->jobs * sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (shared == MAP_FAILED) {
        perror("usher-sim: mmap");
        exit(2);
    }
    for (size_t i = 0; i < settings->jobs; i++)
        jobs[i].counts = &shared[i];
    for (;;) {
        bool more = !stopped && failures == 0 && (settings->endless ? seconds_now() < until : begun < settings->seeds);
        for (size_t i = 0; more && i < settings->jobs; i++)
            if (jobs[i].child == 0) {
                begin_job(settings, &jobs[i], settings->seed + begun++);
                running++;
                more = running < settings->jobs && (settings->endless || begun < settings->seeds);
            }
        if (running == 0)
            return failures;
        bool held;
        size_t which = end_job(jobs, settings->jobs, &held);
        running--;
        ++*ended;
        failures += !held && !stopped;
        add_counts(sum, jobs[which].counts);
    }
}

int
main(int argc, char **argv)
{
    struct settings settings = {.seeds = 1, .commands = 50000, .jobs = 1, .shrink_seconds = 60};
    struct tape_counts sum = {0};
    uint64_t ended = 0;

    read_options(argc, argv, &settings);
    if (settings.seed == 0) { /* a run of a given length always plays the same, one without end never does */
        settings.seed = settings.endless ? (uint64_t)time(NULL) * 1000 : 1;
        if (settings.endless)
            printf("seeds from %" PRIu64 " on\n", settings.seed);
    }
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    double began = seconds_now();
    uint64_t failures = run_jobs(&settings, &sum, &ended);
    say_counts(&sum, ended, failures, seconds_now() - began);
    return failures == 0 ? 0 : 1;
}
