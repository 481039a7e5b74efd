/* sitting.c: a house for the time of some measurements: started, furnished, watched, checked, ended. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/common/clock.h"
#include "bench/usher-bench/bench.h"

#define DATES_USUAL 10000u

struct target_sizes
sizes_of(const struct options *options)
{
    return (struct target_sizes){.users = (uint32_t)options->users,
                                 .waiting = (uint32_t)options->waiting,
                                 .dates = options->dates != 0 ? (uint32_t)options->dates : DATES_USUAL,
                                 .seats = (uint32_t)options->seats,
                                 .hold_ms = 80000000,
                                 .price = 700};
}

/* Somebody's house would be full of strangers afterwards, and could not be checked from its first event. */
static bool
is_empty(struct sitting *sitting)
{
    const usher_info_request request = {.digest = USHER_FLAG_NO};
    struct bench *bench = sitting->bench;
    usher_info_reply info;

    if (!house_ask(&sitting->house, USHER_OPCODE_INFO, &request, &info, bench->why, sizeof bench->why))
        return false;
    if (info.user_count == 0 && info.seat_count == 0)
        return true;
    snprintf(bench->why, sizeof bench->why,
             "the server at %s has users or seats: the bench wants one on new and empty data, which it fills",
             sitting->house.address);
    return false;
}

static bool
start_house(struct sitting *sitting, uint32_t connections)
{
    struct bench *bench = sitting->bench;
    const struct options *options = &bench->options;

    if (options->server != NULL)
        return house_visit(&sitting->house, options->server, options->key, bench->why, sizeof bench->why) &&
               is_empty(sitting);
    sitting->house_options = (struct house_options){.usherd = options->usherd != NULL ? options->usherd : USHERD_PATH,
                                                    .folder = options->folder,
                                                    .arguments = options->server_argument,
                                                    .connections = connections};
    if (!house_start(&sitting->house, &sitting->house_options, bench->why, sizeof bench->why))
        return false;
    json_object_set_new(bench->report, "usherd", json_string(sitting->house.arguments));
    return true;
}

bool
sitting_open(struct sitting *sitting, struct bench *bench, const struct target_sizes *sizes, uint32_t connections,
             bool with_drive)
{
    *sitting = (struct sitting){.bench = bench, .sizes = *sizes};
    if (!start_house(sitting, connections)) {
        house_end(&sitting->house);
        return false;
    }
    sitting->house.witness = claims_hear;
    sitting->house.witness_context = &sitting->claims;
    if (!with_drive)
        return true;
    sitting->drive = drive_open(&target_usher, &sitting->house, sizes, bench->options.seed, &sitting->prepare_s,
                                bench->why, sizeof bench->why);
    if (sitting->drive != NULL)
        return true;
    house_end(&sitting->house);
    claims_free(&sitting->claims);
    return false;
}

static void
report_checks(struct bench *bench, const struct check *check, double seconds)
{
    json_t *checks = check_report(check);

    for (unsigned name = 0; name < CHECK_COUNT; name++)
        if (check_failed(check, (enum check_name)name) > 0)
            fprintf(stderr, "WRONG: %s: %s (%llu of %llu)\n", check_rows[name].text,
                    check_example(check, (enum check_name)name),
                    (unsigned long long)check_failed(check, (enum check_name)name),
                    (unsigned long long)check_looked(check, (enum check_name)name));
    if (check_passed(check))
        fprintf(stderr, "right: nothing oversold, lost, doubled or out of turn (checked in %.1f s)\n", seconds);
    json_array_extend(json_object_get(bench->report, "checks"), checks);
    json_decref(checks);
    bench->wrong = bench->wrong || !check_passed(check);
}

bool
sitting_close(struct sitting *sitting)
{
    struct bench *bench = sitting->bench;
    uint64_t begin_ns = clock_now_ns();
    struct check *check;
    char why[sizeof bench->why];

    progress_end();
    fflush(stdout);
    drive_close(sitting->drive);
    check = check_house(&sitting->house, &sitting->claims, bench->options.lookups, why, sizeof why);
    if (check != NULL)
        report_checks(bench, check, (double)(clock_now_ns() - begin_ns) / 1e9);
    house_end(&sitting->house);
    claims_free(&sitting->claims);
    if (check == NULL) {
        if (bench->why[0] == 0) /* what went wrong before says more */
            snprintf(bench->why, sizeof bench->why, "the house can't be checked: %s", why);
        return false;
    }
    if (!check_passed(check))
        snprintf(bench->why, sizeof bench->why, "the server was wrong: see above; its figures count for nothing");
    check_free(check);
    return true;
}

/* --- progress ----------------------------------------------------------------------------------------- */
static bool progress_stands;

void
progress_tell(void *opaque, double seconds, uint64_t answered)
{
    const struct bench *bench = opaque;

    if (bench->options.quiet || !isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\r%6.0f s  %12llu answers", seconds, (unsigned long long)answered);
    progress_stands = true;
}

void
progress_end(void)
{
    if (progress_stands)
        fputs("\r\033[K", stderr);
    progress_stands = false;
}
