/* async_load.c: what the asynchronous client costs its process, beside bare sockets that do the same.
 *
 *     async_load SERVER KEY WAY OPERATION CONNECTIONS DEPTH [SECONDS]
 *
 *     SERVER KEY   127.0.0.1:PORT and a key file; or the path of usherd and a folder, which must not be there, for its
 *                  data
 *     WAY          callback  a handle for each connection, the next request submitted in the callback of an answer
 *                  outside   the same, the next requests submitted when process() has returned
 *                  group     the same two with all handles in one group: its descriptor in place of theirs
 *                  group-outside
 *                  wait      the same two, waiting in the group for lack of other descriptors
 *                  wait-outside
 *                  raw       bare sockets; frames made once, or once per charge; replies told apart by their size alone
 *     OPERATION    ping, balance or charge
 *     DEPTH        requests in flight on each connection
 *
 * All in one thread, with one epoll over all descriptors. Prints requests a second and the processor time of this
 * process alone for each request. */
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
#include <time.h>
#include <unistd.h>

#include "bench/micro/server.h"
#include "client-sdk/include/usher.h"
#include "tests/wire.h"

#define WARM_UP_S  0.5
#define EVENTS     256
#define INPUT_ROOM (2 * (size_t)USHER_FRAME_MAX)
#define FRAME_ROOM 256

union request {
    usher_ping_request ping;
    usher_balance_request balance;
    usher_charge_request charge;
};

/* A connection of either kind. */
struct load {
    usher_async *async;
    struct wire wire;
    unsigned owed; /* requests to submit when process() has returned */
    struct load *next_owing;
};

static struct {
    const char *way;
    uint16_t opcode;
    unsigned connections, depth, ready;
    bool outside, waits;
    uint64_t answers, last_id;
    uint8_t frame[FRAME_ROOM]; /* raw */
    size_t frame_size;
    union request request;
    int epoll;
    usher_group *group; /* or NULL */
    struct load *load, *owing;
} all;

static void
die(const char *what, const char *why)
{
    fprintf(stderr, "async_load: %s: %s\n", what, why);
    exit(1);
}

static double
now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void
watch(int descriptor, struct load *load)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = load};

    if (epoll_ctl(all.epoll, EPOLL_CTL_ADD, descriptor, &event) != 0)
        die("epoll", strerror(errno));
}

/* The operation's request; a charge is meant anew each time. */
static const union request *
next_request(void)
{
    if (all.opcode == USHER_OPCODE_CHARGE) {
        all.last_id++;
        memcpy(&all.request.charge.request_id, &all.last_id, sizeof all.last_id);
    }
    return &all.request;
}

/* --- handles ------------------------------------------------------------------------------------------ */
static void submit(struct load *load);

static void
on_answer(usher_async *async, const usher_completion *completion)
{
    struct load *load = completion->context;

    (void)async;
    if (completion->status != USHER_STATUS_ANSWERED || completion->answer->result != USHER_OK)
        die("an answer", completion->error);
    all.answers++;
    if (!all.outside) {
        submit(load);
        return;
    }
    if (load->owed++ == 0) {
        load->next_owing = all.owing;
        all.owing = load;
    }
}

static void
submit(struct load *load)
{
    if (usher_async_call(load->async, all.opcode, next_request(), NULL, on_answer, load, NULL) != USHER_STATUS_ANSWERED)
        die("a call", usher_async_error(load->async));
}

/* load: of whichever handle; NULL: the group. */
static void
handle_event(struct load *load)
{
    if (load != NULL)
        usher_async_process(load->async);
    else
        usher_group_wait(all.group, all.waits ? 1000000000 : 0);
    for (; all.owing != NULL; all.owing = all.owing->next_owing)
        for (; all.owing->owed > 0; all.owing->owed--)
            submit(all.owing);
}

static void
on_state(usher_async *async, const usher_state_event *event)
{
    (void)async;
    if (event->state == USHER_STATE_LOST)
        die("a connection", event->error);
    all.ready += event->state == USHER_STATE_READY;
}

static void
open_handle(struct load *load, const char *address, const char *key)
{
    const usher_async_options options = {
        .common = {.server = address, .key_file = key, .timeout_ms = 60000}, .on_state = on_state, .group = all.group};

    if (usher_async_open(&options, &load->async) != USHER_STATUS_ANSWERED)
        die("a handle", usher_async_error(load->async));
    if (all.group == NULL)
        watch(usher_async_descriptor(load->async), load);
}

/* --- bare sockets ------------------------------------------------------------------------------------- */
static void
raw_send(struct load *load, unsigned count)
{
    static uint8_t bytes[128 * FRAME_ROOM];
    size_t size = 0;

    for (; count > 0; count--) {
        if (all.opcode == USHER_OPCODE_CHARGE) {
            const usher_frame frame = {.opcode = all.opcode, .request_no = 1};
            memcpy(all.frame + USHER_HEADER_SIZE, &next_request()->charge.request_id, sizeof(usher_id));
            usher_frame_finish(all.frame, all.frame_size - USHER_HEADER_SIZE, &frame);
        }
        memcpy(bytes + size, all.frame, all.frame_size);
        size += all.frame_size;
    }
    if (send(load->wire.fd, bytes, size, MSG_NOSIGNAL) != (ssize_t)size)
        die("a socket", strerror(errno));
}

static void
raw_event(struct load *load)
{
    struct wire *wire = &load->wire;
    ssize_t got = recv(wire->fd, wire->input + wire->input_end, INPUT_ROOM - wire->input_end, 0);
    unsigned count = 0;
    uint32_t size;

    if (got <= 0)
        die("a socket", got < 0 ? strerror(errno) : "the server closed it");
    wire->input_end += (size_t)got;
    while (wire->input_end - wire->input_begin >= USHER_HEADER_SIZE) {
        const uint8_t *frame = wire->input + wire->input_begin;
        memcpy(&size, frame, sizeof size);
        if (wire->input_end - wire->input_begin < size)
            break;
        if (frame[12] != USHER_OK)
            die("an answer", "refused");
        wire->input_begin += size;
        count++;
    }
    if (wire->input_begin == wire->input_end)
        wire->input_begin = wire->input_end = 0;
    all.answers += count;
    if (count > 0)
        raw_send(load, count);
}

static void
open_raw(struct load *load, const char *address, const char *key)
{
    if (!wire_open(&load->wire, (uint16_t)atoi(strchr(address, ':') + 1)) || wire_login(&load->wire, key) != USHER_OK)
        die("a connection", "refused");
    load->wire.input_begin = load->wire.input_end = 0;
    watch(load->wire.fd, load);
    all.ready++;
}

/* --- the load ----------------------------------------------------------------------------------------- */
/* Run until a moment, or until all connections are ready. */
static void
run(bool raw, double until_s, bool until_ready)
{
    struct epoll_event events[EVENTS];

    while (until_ready ? all.ready < all.connections : now_s() < until_s) {
        int count = 0;
        if (all.waits)
            handle_event(NULL);
        else
            count = epoll_wait(all.epoll, events, EVENTS, 1000);
        for (int i = 0; i < count; i++)
            (raw ? raw_event : handle_event)(events[i].data.ptr);
    }
}

static double
seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void
measure(bool raw, double seconds)
{
    struct rusage before, after;
    double begun_s;
    uint64_t answers;

    for (unsigned i = 0; i < all.connections; i++) {
        if (raw)
            raw_send(&all.load[i], all.depth);
        for (unsigned k = 0; !raw && k < all.depth; k++)
            submit(&all.load[i]);
    }
    run(raw, now_s() + WARM_UP_S, false);
    getrusage(RUSAGE_SELF, &before);
    answers = all.answers;
    begun_s = now_s();
    run(raw, begun_s + seconds, false);
    seconds = now_s() - begun_s;
    getrusage(RUSAGE_SELF, &after);
    answers = all.answers - answers;
    double user_us = (seconds_of(after.ru_utime) - seconds_of(before.ru_utime)) * 1e6 / (double)answers;
    double system_us = (seconds_of(after.ru_stime) - seconds_of(before.ru_stime)) * 1e6 / (double)answers;
    printf("%-13s %-7s %5u x %-3u %9.0f requests/s, client CPU %6.2f us a request (user %.2f, system %.2f)\n", all.way,
           usher_message_of(all.opcode)->name, all.connections, all.depth, (double)answers / seconds,
           user_us + system_us, user_us, system_us);
}

static void
take_operation(const char *name)
{
    if (strcmp(name, "ping") == 0)
        all.opcode = USHER_OPCODE_PING;
    else if (strcmp(name, "balance") == 0)
        all.opcode = USHER_OPCODE_BALANCE;
    else if (strcmp(name, "charge") == 0)
        all.opcode = USHER_OPCODE_CHARGE;
    else
        die(name, "is not ping, balance or charge");
    if (all.opcode == USHER_OPCODE_BALANCE)
        all.request.balance.user = wire_user(1);
    if (all.opcode == USHER_OPCODE_CHARGE) {
        all.request.charge = (usher_charge_request){.request_id = wire_id(), .user = wire_user(1), .amount = 1};
        memcpy(&all.last_id, &all.request.charge.request_id, sizeof all.last_id);
    }
    all.frame_size = wire_build(all.frame, all.opcode, 1, 0, &all.request);
}

static void
charge_once(uint16_t port, const char *key)
{
    const usher_charge_request ask = {.request_id = wire_id(), .user = wire_user(1), .amount = 1};
    struct wire wire;

    if (!wire_open(&wire, port) || wire_login(&wire, key) != USHER_OK ||
        wire_ask(&wire, USHER_OPCODE_CHARGE, &ask, NULL) != USHER_OK)
        die("the first charge", "refused");
    wire_close(&wire);
}

int
main(int argc, char **argv)
{
    struct server server = {0};
    char address[600], key[600], data[600];
    struct rlimit limit;
    bool raw, grouped;

    if (argc < 7)
        die("usage", "async_load SERVER KEY WAY OPERATION CONNECTIONS DEPTH [SECONDS]");
    all.way = argv[3];
    raw = strcmp(all.way, "raw") == 0;
    grouped = strncmp(all.way, "group", 5) == 0 || strncmp(all.way, "wait", 4) == 0;
    all.waits = strncmp(all.way, "wait", 4) == 0;
    all.outside = strstr(all.way, "outside") != NULL;
    if (!raw && !all.outside && !grouped && strcmp(all.way, "callback") != 0)
        die(all.way, "is not callback, outside, group, group-outside, wait, wait-outside or raw");
    take_operation(argv[4]);
    all.connections = (unsigned)atoi(argv[5]);
    all.depth = (unsigned)atoi(argv[6]);
    if (all.connections == 0 || all.depth == 0 || all.depth > 128)
        die("usage", "CONNECTIONS from 1, DEPTH from 1 to 128");
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    snprintf(address, sizeof address, "%s", argv[1]);
    snprintf(key, sizeof key, "%s", argv[2]);
    if (strchr(argv[1], ':') == NULL) {
        if (mkdir(argv[2], 0700) != 0)
            die(argv[2], strerror(errno));
        snprintf(data, sizeof data, "%s/data", argv[2]);
        server = server_start(argv[1], data, argv[2], 1);
        snprintf(address, sizeof address, "127.0.0.1:%u", server.port);
        snprintf(key, sizeof key, "%s/data/admin.key", argv[2]);
    }
    charge_once((uint16_t)atoi(strrchr(address, ':') + 1), key);
    all.epoll = epoll_create1(EPOLL_CLOEXEC);
    all.load = calloc(all.connections, sizeof *all.load);
    if (all.epoll < 0 || all.load == NULL)
        die("begin", strerror(errno));
    if (grouped && usher_group_open(NULL, &all.group) != USHER_STATUS_ANSWERED)
        die("a group", strerror(errno));
    if (grouped)
        watch(usher_group_descriptor(all.group), NULL);
    for (unsigned i = 0; i < all.connections; i++)
        (raw ? open_raw : open_handle)(&all.load[i], address, key);
    run(raw, 0, true);
    measure(raw, argc > 7 ? atof(argv[7]) : 3);
    if (server.pid != 0)
        server_stop(&server);
    return 0;
}
