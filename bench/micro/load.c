/* load.c: what a usherd does under load, and where its turns spend their time.
 *
 *     load [-d DATES] [-p PEOPLE] [-w WAITING] [-s SECONDS] [-f] USHERD DIR JOB:CONNECTIONS:DEPTH ...
 *
 * Starts a usherd on a data directory in DIR, which must not be there, and fills it. Then, for each job in turn, so many
 * connections have so many requests in flight each, for so many seconds; what is refused is counted apart. With -f the
 * server's own stages are printed under each line.
 *
 * A generator as small as it can be, one thread, so that a machine with two cores has the other one for the server. It is for
 * finding out what a change does; what the service does for its users is usher-bench's matter. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/micro/jobs.h"
#include "bench/micro/served.h"
#include "protocol/bytes.h"

#define DEPTH_MOST   256u
#define FRAME_ROOM   1024u
#define INPUT_ROOM   65536u
#define SAMPLES_MOST (1u << 22)
#define EVENTS       512

struct client {
    struct wire wire;
    size_t have;         /* bytes of a frame that is not whole yet */
    uint8_t *input;      /* INPUT_ROOM */
    double sent_us[DEPTH_MOST]; /* by request number, modulo the depth */
};

struct run {
    const struct job *job;
    uint32_t connections, depth;
    struct client *client;
    int poll;
    uint32_t asked;
    uint64_t answered, refused;
    unsigned why; /* the last refusal */
    float *sample_us;
    uint32_t samples;
    double until_us;
};

static double
now_us(void)
{
    return served_now_ms() * 1e3;
}

static void
ask(struct run *run, struct client *client, uint32_t count, double at_us)
{
    static uint8_t bytes[DEPTH_MOST * FRAME_ROOM];
    size_t size = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = ++client->wire.last_request_no;
        client->sent_us[number % run->depth] = at_us;
        size += run->job->build(bytes + size, run->asked++, number);
    }
    if (!wire_send_bytes(&client->wire, bytes, size))
        served_die("the server is gone");
}

static void
take(struct run *run, const struct client *client, const uint8_t *frame, double at_us)
{
    run->answered++;
    if (bytes_get_u32(frame + 12) != USHER_OK) {
        run->refused++;
        run->why = bytes_get_u32(frame + 12);
    }
    if (run->samples < SAMPLES_MOST)
        run->sample_us[run->samples++] = (float)(at_us - client->sent_us[bytes_get_u32(frame + 8) % run->depth]);
}

/* Read what is there, count the replies, and ask as many anew. */
static void
answer(struct run *run, struct client *client)
{
    ssize_t got = recv(client->wire.fd, client->input + client->have, INPUT_ROOM - client->have, MSG_DONTWAIT);
    double at_us = now_us();
    size_t at = 0;
    uint32_t count = 0;

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0)
        served_die("the server is gone");
    client->have += (size_t)got;
    while (client->have - at >= USHER_HEADER_SIZE && client->have - at >= bytes_get_u32(client->input + at)) {
        take(run, client, client->input + at, at_us);
        at += bytes_get_u32(client->input + at);
        count++;
    }
    client->have -= at;
    memmove(client->input, client->input + at, client->have);
    if (count > 0 && at_us < run->until_us)
        ask(run, client, count, at_us);
}

/* --- a run ------------------------------------------------------------------------------------------------------ */
static void
open_clients(struct run *run, const struct server *server, const char *folder)
{
    run->poll = epoll_create1(EPOLL_CLOEXEC);
    run->client = calloc(run->connections, sizeof *run->client);
    run->sample_us = calloc(SAMPLES_MOST, sizeof *run->sample_us);
    if (run->poll < 0 || run->client == NULL || run->sample_us == NULL)
        served_die("no memory");
    for (uint32_t i = 0; i < run->connections; i++) {
        struct client *client = &run->client[i];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
        served_connect(&client->wire, server, folder);
        client->input = malloc(INPUT_ROOM);
        if (client->input == NULL || epoll_ctl(run->poll, EPOLL_CTL_ADD, client->wire.fd, &event) != 0)
            served_die("no memory");
    }
}

static void
close_clients(struct run *run)
{
    for (uint32_t i = 0; i < run->connections; i++) {
        wire_close(&run->client[i].wire);
        free(run->client[i].input);
    }
    close(run->poll);
    free(run->client);
    free(run->sample_us);
}

static int
compare(const void *one, const void *other)
{
    float a = *(const float *)one, b = *(const float *)other;

    return a < b ? -1 : a > b;
}

static const usher_enum *
enum_named(const char *name)
{
    size_t count;
    const usher_enum *const *enums = usher_enums(&count);

    for (size_t i = 0; i < count; i++)
        if (strcmp(enums[i]->name, name) == 0)
            return enums[i];
    return NULL;
}

static usher_figures_reply *
read_figures(struct wire *admin)
{
    static usher_figures_reply reply;
    const usher_figures_request figures = {.clear = USHER_FLAG_YES};

    served_must(admin, USHER_OPCODE_FIGURES, &figures, &reply);
    return &reply;
}

static void
print_stages(struct wire *admin)
{
    const usher_figures_reply *reply = read_figures(admin);
    const usher_enum *names = enum_named("stage");
    double turn_ns = 1;

    for (uint16_t i = 0; i < reply->stage_count; i++)
        if (reply->stage[i].stage == USHER_STAGE_TURN)
            turn_ns = (double)reply->stage[i].sum;
    for (uint16_t i = 0; i < reply->stage_count; i++) {
        const usher_stage_row *row = &reply->stage[i];
        printf("    %-10s %8" PRIu64 " turns, mean %9.1f, p50 %8" PRIu64 ", p99 %8" PRIu64 ", most %9" PRIu64,
               usher_enum_name(names, row->stage), row->count, (double)row->sum / (double)row->count, row->p50,
               row->p99, row->most);
        if (row->stage < USHER_STAGE_TURN)
            printf(", %5.1f %% of the turns", 100 * (double)row->sum / turn_ns);
        putchar('\n');
    }
}

static void
print_memory(struct wire *admin)
{
    const usher_figures_reply *reply = read_figures(admin);

    for (uint16_t i = 0; i < reply->memory_count; i++)
        if (reply->memory[i].count > 0)
            printf("    %-24s %9" PRIu64 " of %7.1f bytes\n", reply->memory[i].name, reply->memory[i].count,
                   (double)reply->memory[i].bytes / (double)reply->memory[i].count);
}

static void
carry_out(struct run *run, double seconds)
{
    static struct epoll_event events[EVENTS];
    double began_us = now_us();

    run->until_us = began_us + seconds * 1e6;
    for (uint32_t i = 0; i < run->connections; i++)
        ask(run, &run->client[i], run->depth, began_us);
    while (now_us() < run->until_us || run->answered < run->asked) {
        int ready = epoll_wait(run->poll, events, EVENTS, 10000);
        if (ready == 0)
            served_die("no answer for ten seconds");
        for (int i = 0; i < ready; i++)
            answer(run, events[i].data.ptr);
    }
}

/* JOB:CONNECTIONS:DEPTH */
static struct run
read_run(const char *text)
{
    struct run run = {0};
    char name[32];

    if (sscanf(text, "%31[^:]:%" SCNu32 ":%" SCNu32, name, &run.connections, &run.depth) == 3)
        run.job = jobs_find(name);
    if (run.job == NULL || run.connections == 0 || run.depth == 0 || run.depth > DEPTH_MOST)
        served_die("what to do is JOB:CONNECTIONS:DEPTH, with a depth of at most 256");
    return run;
}

static void
do_run(const char *text, const struct server *server, const char *folder, struct wire *admin, double seconds)
{
    struct run run = read_run(text);

    if (run.job->prepare != NULL)
        run.job->prepare();
    open_clients(&run, server, folder);
    (void)read_figures(admin);
    double began_us = now_us(), cpu_ms = served_cpu_ms(server);
    carry_out(&run, seconds);
    double took_us = now_us() - began_us;
    cpu_ms = served_cpu_ms(server) - cpu_ms;
    qsort(run.sample_us, run.samples, sizeof *run.sample_us, compare);
    printf("%-8s %5" PRIu32 " x %3" PRIu32 " %9.0f/s   p50 %7.0f us  p99 %7.0f us   server %4.0f %% of a core, %5.2f us "
           "each%s",
           run.job->name, run.connections, run.depth, (double)run.answered / took_us * 1e6,
           (double)run.sample_us[run.samples / 2], (double)run.sample_us[(uint64_t)run.samples * 99 / 100],
           cpu_ms * 1e3 / took_us * 100, cpu_ms * 1e3 / (double)run.answered, run.refused == 0 ? "\n" : "");
    if (run.refused > 0)
        printf("   %" PRIu64 " refused, the last one with %s\n", run.refused, usher_result_name(run.why));
    fflush(stdout);
    close_clients(&run);
}

int
main(int argc, char **argv)
{
    struct scale scale = {.dates = 1000, .people = 10000};
    struct rlimit files = {.rlim_cur = 65536, .rlim_max = 65536};
    double seconds = 2;
    bool stages = false;
    struct wire admin;
    char data[512];
    int option;

    while ((option = getopt(argc, argv, "d:p:w:s:f")) != -1) {
        if (option == 'd')
            scale.dates = (uint32_t)atoi(optarg);
        else if (option == 'p')
            scale.people = (uint32_t)atoi(optarg);
        else if (option == 'w')
            scale.waiting = (uint32_t)atoi(optarg);
        else if (option == 's')
            seconds = atof(optarg);
        else
            stages = option == 'f';
    }
    if (argc - optind < 3 || scale.dates == 0 || scale.people == 0 || seconds <= 0)
        served_die("usage: load [-d DATES] [-p PEOPLE] [-w WAITING] [-s SECONDS] [-f] USHERD DIR "
                   "JOB:CONNECTIONS:DEPTH ...");
    setrlimit(RLIMIT_NOFILE, &files);
    if (mkdir(argv[optind + 1], 0700) != 0)
        served_die("DIR is there already, or can't be made");
    snprintf(data, sizeof data, "%s/data", argv[optind + 1]);
    struct server server = server_start(argv[optind], data, argv[optind + 1], 1);
    served_connect(&admin, &server, argv[optind + 1]);
    jobs_prepare(&admin, &scale);
    for (int i = optind + 2; i < argc; i++) {
        do_run(argv[i], &server, argv[optind + 1], &admin, seconds);
        if (stages)
            print_stages(&admin);
    }
    if (stages)
        print_memory(&admin);
    wire_close(&admin);
    server_stop(&server);
    return 0;
}
