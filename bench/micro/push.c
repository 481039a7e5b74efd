/* push.c: how long a push takes, and what many subscriptions cost.
 *
 *     push USHERD DIR [SUBSCRIBERS [ROUNDS]]
 *
 * Starts two usherd of its own on a data directory in DIR, which must not be there.
 *   latency   a hold is taken and given up again at one instance while the date is watched at the other: from the
 * moment of the answer, when the change is on the disk, to the moment of the push (it may come first: below zero); then
 * the same with both at one instance places    so many places of one queue are watched over 100 connections, while
 * nothing happens and the server looks at each as next_poll_ms says; then the queue is paused, and everybody is told:
 * the processor time of the server, the time until the last has been told, and the memory of one subscription */
#define _GNU_SOURCE 1
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench/micro/server.h"
#include "tests/wire.h"

#define WIRES  100u
#define JOINS  500u /* in flight */
#define IDLE_S 20u

static const char *usherd, *data, *folder;

static void
die(const char *what)
{
    fprintf(stderr, "push: %s\n", what);
    exit(1);
}

static double
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* --- servers ------------------------------------------------------------------------------------------------ */
/* Processor time of a process so far, and what it keeps in memory. */
static double
cpu_ms(pid_t pid)
{
    char path[64];
    uint64_t run_ns = 0;

    snprintf(path, sizeof path, "/proc/%d/schedstat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL || fscanf(file, "%" SCNu64, &run_ns) != 1)
        die("no processor time");
    fclose(file);
    return (double)run_ns / 1e6;
}

static void
connect_wire(struct wire *wire, const struct server *server)
{
    char key[512];

    snprintf(key, sizeof key, "%s/admin.key", data);
    if (!wire_open(wire, server->port) || wire_login(wire, key) != USHER_OK)
        die("can't connect");
    wire->patience_ms = 60000;
}

static void
must(struct wire *wire, uint16_t opcode, const void *ask, void *reply)
{
    if (wire_ask(wire, opcode, ask, reply) != USHER_OK)
        die(usher_message_of(opcode)->constant);
}

static void
load(struct wire *admin)
{
    usher_put_plan_request plan = {.request_id = wire_id(), .plan_id = 1, .section_count = 1};
    usher_put_concert_request concert = {.request_id = wire_id(), .concert_id = 1, .title = "A push"};

    plan.section[0] = (usher_section){.name = "Hall", .first_row = 1, .row_count = 5, .seats_per_row = 10};
    must(admin, USHER_OPCODE_PUT_PLAN, &plan, NULL);
    must(admin, USHER_OPCODE_PUT_CONCERT, &concert, NULL);
    const usher_put_date_request date = {.request_id = wire_id(),
                                         .concert_id = 1,
                                         .date_id = 1,
                                         .plan_id = 1,
                                         .starts_at_ms = admin->stamp_ms + 86400000,
                                         .price_count = 1,
                                         .price = {700}};
    must(admin, USHER_OPCODE_PUT_DATE, &date, NULL);
}

/* --- latency -------------------------------------------------------------------------------------------------- */
static void
hear_push(struct wire *wire, uint16_t opcode)
{
    struct wire_frame frame;

    do
        if (!wire_receive(wire, &frame))
            die("no push came");
    while (frame.opcode != opcode || !(frame.flags & USHER_FLAG_PUSH));
}

static int
compare(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;

    return a < b ? -1 : a > b;
}

/* Both frames are on their way: the moments at which each can be read. */
static void
race(struct wire *asker, struct wire *watcher, double at_ms[2])
{
    struct pollfd ready[2] = {{.fd = asker->fd, .events = POLLIN}, {.fd = watcher->fd, .events = POLLIN}};

    at_ms[0] = at_ms[1] = 0;
    while (at_ms[0] == 0 || at_ms[1] == 0) {
        poll(ready, 2, 60000);
        double now = now_ms();
        for (unsigned i = 0; i < 2; i++)
            if (ready[i].revents != 0) {
                at_ms[i] = now;
                ready[i].fd = -1;
                ready[i].revents = 0;
            }
    }
}

static void
measure_latency(const struct server *asked, const struct server *watched, unsigned rounds, const char *what)
{
    struct wire asker, watcher;
    struct wire_frame frame;
    double *late_ms = calloc(rounds, sizeof *late_ms), *answer_ms = calloc(rounds, sizeof *answer_ms), at_ms[2];
    const usher_watch_seats_request watch = {.concert_id = 1, .date_id = 1};
    const struct timespec pause = {.tv_nsec = 60000000}; /* beyond seats_gather_ms */
    usher_reserve_reply held;
    unsigned field_no;

    if (late_ms == NULL || answer_ms == NULL)
        die("no memory");
    connect_wire(&asker, asked);
    connect_wire(&watcher, watched);
    must(&watcher, USHER_OPCODE_WATCH_SEATS, &watch, NULL);
    hear_push(&watcher, USHER_PUSH_SEATS);
    for (unsigned i = 0; i < rounds; i++) {
        const usher_reserve_request reserve = {.request_id = wire_id(),
                                               .user = wire_user(1),
                                               .concert_id = 1,
                                               .date_id = 1,
                                               .seat_count = 1,
                                               .seat = {1 + i % 50}};
        double sent_ms = now_ms();
        wire_send(&asker, USHER_OPCODE_RESERVE, &reserve);
        race(&asker, &watcher, at_ms);
        answer_ms[i] = at_ms[0] - sent_ms;
        late_ms[i] = at_ms[1] - sent_ms;
        if (!wire_receive(&asker, &frame) || frame.result != USHER_OK ||
            usher_decode(usher_message_of(USHER_OPCODE_RESERVE)->reply, frame.body, frame.body_size, &held,
                         &field_no) != USHER_OK)
            die("no hold");
        hear_push(&watcher, USHER_PUSH_SEAT_CHANGES);
        nanosleep(&pause, NULL);
        const usher_release_request release = {.request_id = wire_id(),
                                               .user = wire_user(1),
                                               .reservation_count = 1,
                                               .reservation = {held.hold[0].reservation_id}};
        must(&asker, USHER_OPCODE_RELEASE, &release, NULL);
        hear_push(&watcher, USHER_PUSH_SEAT_CHANGES);
        nanosleep(&pause, NULL);
    }
    qsort(late_ms, rounds, sizeof *late_ms, compare);
    qsort(answer_ms, rounds, sizeof *answer_ms, compare);
    printf("latency, %s, %u times from the request: answer p50 %.3f ms, p99 %.3f ms; push p50 %.3f ms, p99 %.3f ms\n",
           what, rounds, answer_ms[rounds / 2], answer_ms[rounds * 99 / 100], late_ms[rounds / 2],
           late_ms[rounds * 99 / 100]);
    free(late_ms);
    free(answer_ms);
    wire_close(&asker);
    wire_close(&watcher);
}

/* --- places --------------------------------------------------------------------------------------------------- */
static void
set_mode(struct wire *admin, enum usher_queue_mode mode)
{
    const usher_set_mode_request ask = {.request_id = wire_id(), .mode = (uint8_t)mode};

    must(admin, USHER_OPCODE_SET_MODE, &ask, NULL);
}

/* Join with each connection's share of users, and watch their places. */
static void
watch_places(struct wire *wire, unsigned first, unsigned count)
{
    usher_join_reply *joins = calloc(count, sizeof *joins);
    struct wire_frame frame;
    unsigned field_no;

    if (joins == NULL)
        die("no memory");
    for (unsigned i = 0; i < count; i++) {
        const usher_join_request ask = {.request_id = wire_id(), .user = wire_user(1000 + first + i)};
        wire_send(wire, USHER_OPCODE_JOIN, &ask);
    }
    for (unsigned i = 0; i < count; i++)
        if (!wire_receive(wire, &frame) || frame.result != USHER_OK ||
            usher_decode(usher_message_of(USHER_OPCODE_JOIN)->reply, frame.body, frame.body_size, &joins[i],
                         &field_no) != USHER_OK)
            die("no place");
    for (unsigned i = 0; i < count; i++) {
        usher_watch_place_request ask = {.token_count = joins[i].token_count};
        memcpy(ask.token, joins[i].token, joins[i].token_count);
        wire_send(wire, USHER_OPCODE_WATCH_PLACE, &ask);
    }
    for (unsigned i = 0; i < count;) {
        if (!wire_receive(wire, &frame) || (!(frame.flags & USHER_FLAG_PUSH) && frame.result != USHER_OK))
            die("no subscription");
        i += !(frame.flags & USHER_FLAG_PUSH);
    }
    free(joins);
}

/* Take everything that is there. Returns how many pushes. */
static unsigned
drain_wire(struct wire *wire, unsigned least)
{
    struct wire_frame frame;
    unsigned count = 0;

    wire->patience_ms = least > 0 ? 60000 : 0;
    while (count < least || least == 0) {
        if (!wire_receive(wire, &frame))
            break;
        count++;
    }
    wire->patience_ms = 60000;
    return count;
}

static void
measure_places(const struct server *server, struct wire *admin, unsigned subscribers)
{
    static struct wire wires[WIRES];
    unsigned share = subscribers / WIRES, pushes = 0;
    const struct timespec second = {.tv_sec = 1};

    if (share == 0 || share > JOINS)
        die("from 100 to 50,000 subscribers");
    set_mode(admin, USHER_QUEUE_PAUSED);
    for (unsigned w = 0; w < WIRES; w++)
        connect_wire(&wires[w], server);
    double before_bytes = server_resident_bytes(server->pid);
    for (unsigned w = 0; w < WIRES; w++)
        watch_places(&wires[w], w * share, share);
    double after_bytes = server_resident_bytes(server->pid);
    printf("places: %u subscriptions of one queue over %u connections; %.0f bytes of memory each, user and ticket "
           "included\n",
           share * WIRES, WIRES, (after_bytes - before_bytes) / (share * WIRES));
    double before_ms = cpu_ms(server->pid);
    for (unsigned s = 0; s < IDLE_S; s++) {
        nanosleep(&second, NULL);
        for (unsigned w = 0; w < WIRES; w++)
            pushes += drain_wire(&wires[w], 0);
    }
    printf("places: %u s in which nobody's place changed: %.0f ms of processor time, %u pushes\n", IDLE_S,
           cpu_ms(server->pid) - before_ms, pushes);
    before_ms = cpu_ms(server->pid);
    double begun_ms = now_ms();
    set_mode(admin, USHER_QUEUE_FROZEN);
    for (unsigned w = 0; w < WIRES; w++)
        drain_wire(&wires[w], share);
    printf("places: everybody told that the sale is frozen in %.1f ms, %.0f ms of processor time\n",
           now_ms() - begun_ms, cpu_ms(server->pid) - before_ms);
    for (unsigned w = 0; w < WIRES; w++)
        wire_close(&wires[w]);
}

int
main(int argc, char **argv)
{
    unsigned subscribers = argc > 3 ? (unsigned)atoi(argv[3]) : 20000,
             rounds = argc > 4 ? (unsigned)atoi(argv[4]) : 200;
    char data_path[512];
    struct wire admin;

    if (argc < 3 || rounds == 0)
        die("usage: push USHERD DIR [SUBSCRIBERS [ROUNDS]]");
    usherd = argv[1];
    folder = argv[2];
    snprintf(data_path, sizeof data_path, "%s/data", folder);
    data = data_path;
    if (mkdir(folder, 0700) != 0)
        die("DIR is there already, or can't be made");
    struct server one = server_start(usherd, data, folder, 1), other = server_start(usherd, data, folder, 2);
    connect_wire(&admin, &one);
    load(&admin);
    measure_latency(&one, &other, rounds, "two instances apart");
    measure_latency(&one, &one, rounds, "at one instance");
    server_stop(&other);
    measure_places(&one, &admin, subscribers);
    wire_close(&admin);
    server_stop(&one);
    return 0;
}
