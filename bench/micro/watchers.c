/* watchers.c: what many subscriptions cost the client that holds them, on a real server.
 *
 *     watchers USHERD DIR [CONNECTIONS [EACH]]
 *
 * Starts a usherd of its own on a data directory in DIR, which must not be there. One thread holds so many
 * subscriptions (100 connections with 100 each) to the seats of a date, and tells the bytes that each takes, by the
 * handles' allocator and by the process's memory, at the client and at the server. Then a seat is held and given up
 * again, in turns: the time from the answer until the last callback, and the processor time of the client. */
#define _GNU_SOURCE 1
#include <inttypes.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <usher.h>

#include "bench/micro/server.h"

#define CONNECTIONS_MOST 1000u
#define CHANGES          20u
#define PATIENCE_S       30
#define GATHERED_MS      50 /* usherd's seats_gather_ms: a change within it after another waits for its end */

static usher_async *handles[CONNECTIONS_MOST];
static struct pollfd watched[CONNECTIONS_MOST];
static unsigned connections = 100, each = 100;
static uint64_t pongs, snapshots, deltas;
static size_t taken_bytes;

static void
die(const char *what)
{
    fprintf(stderr, "watchers: %s\n", what);
    exit(1);
}

/* --- figures ---------------------------------------------------------------------------------------------- */
static double
seconds_of(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The allocator of the handles: it counts what it has given out. */
static void *
take(void *context, size_t size)
{
    void *memory = malloc(size);

    (void)context;
    taken_bytes += memory != NULL ? malloc_usable_size(memory) : 0;
    return memory;
}

static void
give(void *context, void *memory)
{
    (void)context;
    taken_bytes -= malloc_usable_size(memory);
    free(memory);
}

/* --- the house -------------------------------------------------------------------------------------------- */
static usher_client *
open_house(const char *address, const char *key)
{
    const usher_options options = {.server = address, .key_file = key, .timeout_ms = 30000};
    const usher_put_plan_request plan = {
        .plan_id = 1,
        .section_count = 1,
        .section = {{.name = "Hall", .first_row = 1, .row_count = 5, .seats_per_row = 10}}};
    const usher_put_concert_request concert = {.concert_id = 1, .title = "Watched"};
    usher_put_date_request date = {.concert_id = 1, .date_id = 1, .plan_id = 1, .price_count = 1, .price = {1}};
    usher_put_concert_reply concert_made;
    usher_put_plan_reply plan_made;
    usher_put_date_reply date_made;
    usher_client *client;

    if (usher_client_open(&options, &client) != USHER_STATUS_ANSWERED ||
        usher_put_plan(client, &plan, &plan_made) != USHER_STATUS_ANSWERED ||
        usher_put_concert(client, &concert, &concert_made) != USHER_STATUS_ANSWERED)
        die(usher_client_error(client));
    date.starts_at_ms = usher_client_answer(client)->stamp_ms + 86400000;
    if (usher_put_date(client, &date, &date_made) != USHER_STATUS_ANSWERED ||
        usher_client_answer(client)->result != USHER_OK)
        die(usher_client_error(client));
    return client;
}

/* --- the watchers ----------------------------------------------------------------------------------------- */
static void
on_seats(usher_async *async, const usher_watch_event *event)
{
    (void)async;
    if (event->kind == USHER_WATCH_ENDED && event->status == USHER_STATUS_ANSWERED)
        die(usher_result_text(event->result));
    if (event->kind != USHER_WATCH_PUSH)
        return;
    snapshots += event->opcode == USHER_PUSH_SEATS;
    deltas += event->opcode == USHER_PUSH_SEAT_CHANGES;
}

static void
process_until(const uint64_t *count, uint64_t wanted)
{
    double until = seconds_of(CLOCK_MONOTONIC) + PATIENCE_S;

    while (*count < wanted) {
        if (poll(watched, connections, 1000) < 0 || seconds_of(CLOCK_MONOTONIC) > until)
            die("the pushes don't come");
        for (unsigned i = 0; i < connections; i++)
            if (watched[i].revents != 0)
                usher_async_process(handles[i]);
    }
}

static void
open_handles(const char *address, const char *key)
{
    usher_async_options options = {.memory = {.allocate = take, .release = give}};

    options.common.server = address;
    options.common.key_file = key;
    for (unsigned i = 0; i < connections; i++) {
        if (usher_async_open(&options, &handles[i]) != USHER_STATUS_ANSWERED)
            die(usher_async_error(handles[i]));
        watched[i] = (struct pollfd){.fd = usher_async_descriptor(handles[i]), .events = POLLIN};
    }
}

static void
on_pong(usher_async *async, const usher_completion *completion)
{
    (void)async;
    if (completion->reply == NULL)
        die(completion->error);
    pongs++;
}

/* So that what is counted from here on are subscriptions alone. */
static void
connect_all(void)
{
    const usher_ping_request ping = {.echo = 1};

    for (unsigned i = 0; i < connections; i++)
        if (usher_async_call(handles[i], USHER_OPCODE_PING, &ping, NULL, on_pong, NULL, NULL) != USHER_STATUS_ANSWERED)
            die(usher_async_error(handles[i]));
    process_until(&pongs, connections);
}

static void
watch_all(void)
{
    const usher_watch_seats_request request = {.user = {{1}}, .concert_id = 1, .date_id = 1};

    for (unsigned i = 0; i < connections; i++)
        for (unsigned k = 0; k < each; k++)
            if (usher_async_watch(handles[i], USHER_OPCODE_WATCH_SEATS, &request, on_seats, NULL, NULL) !=
                USHER_STATUS_ANSWERED)
                die(usher_async_error(handles[i]));
}

/* --- what is measured ------------------------------------------------------------------------------------- */
static int
compare(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;

    return (a > b) - (a < b);
}

static void
measure_changes(usher_client *client, uint64_t count)
{
    const struct timespec quiet = {.tv_nsec = 2 * GATHERED_MS * 1000000};
    double wait[CHANGES], cpu_before = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    usher_reserve_request reserve = {.user = {{2}}, .concert_id = 1, .date_id = 1, .seat_count = 1, .seat = {7}};
    usher_release_request release = {.user = {{2}}, .reservation_count = 1};
    usher_reserve_reply held;
    usher_release_reply released;

    for (unsigned i = 0; i < CHANGES; i++) {
        nanosleep(&quiet, NULL);
        usher_status status =
            i % 2 == 0 ? usher_reserve(client, &reserve, &held) : usher_release(client, &release, &released);
        double answered = seconds_of(CLOCK_MONOTONIC);
        if (status != USHER_STATUS_ANSWERED || usher_client_answer(client)->result != USHER_OK)
            die(usher_client_error(client));
        release.reservation[0] = held.hold[0].reservation_id;
        process_until(&deltas, count * (i + 1));
        wait[i] = seconds_of(CLOCK_MONOTONIC) - answered;
    }
    double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu_before;
    qsort(wait, CHANGES, sizeof *wait, compare);
    printf("a change:     the last of %" PRIu64
           " callbacks after %.1f ms (p50), %.1f (most); %.2f us of the client each\n",
           count, wait[CHANGES / 2] * 1e3, wait[CHANGES - 1] * 1e3, cpu * 1e6 / (double)(count * CHANGES));
}

static void
measure(struct server *server, const char *key)
{
    uint64_t count = (uint64_t)connections * each;
    char address[32];

    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)server->port);
    usher_client *client = open_house(address, key);
    open_handles(address, key);
    connect_all();
    double own = server_resident_bytes(getpid()), servers = server_resident_bytes(server->pid);
    size_t bare = taken_bytes;
    watch_all();
    process_until(&snapshots, count);
    printf("%u connections, %" PRIu64 " subscriptions, one thread\n", connections, count);
    printf("a handle:     %zu bytes by its allocator\n", bare / connections);
    printf("subscription: %.0f bytes by its allocator, %.0f of the process, %.0f of the server\n",
           (double)(taken_bytes - bare) / (double)count, (server_resident_bytes(getpid()) - own) / (double)count,
           (server_resident_bytes(server->pid) - servers) / (double)count);
    printf("the process:  %.1f MB with all of it, %.1f MB the server\n", server_resident_bytes(getpid()) / 1e6,
           server_resident_bytes(server->pid) / 1e6);
    measure_changes(client, count);
    for (unsigned i = 0; i < connections; i++)
        usher_async_close(handles[i]);
    printf("afterwards:   %zu bytes left\n", taken_bytes);
    usher_client_close(client);
}

int
main(int argc, char **argv)
{
    char data[512], key[560];

    if (argc < 3 || argc > 5) {
        fprintf(stderr, "usage: watchers USHERD DIR [CONNECTIONS [EACH]]\n");
        return 2;
    }
    connections = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : connections;
    each = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : each;
    if (connections < 1 || connections > CONNECTIONS_MOST || each < 1 || each > 4096)
        die("from 1 to 1000 connections with 1 to 4096 subscriptions");
    if (mkdir(argv[2], 0700) != 0)
        die("DIR can't be made; it must not be there");
    snprintf(data, sizeof data, "%s/data", argv[2]);
    snprintf(key, sizeof key, "%s/admin.key", data);
    struct server server = server_start(argv[1], data, argv[2], 0);
    measure(&server, key);
    server_stop(&server);
    return 0;
}
