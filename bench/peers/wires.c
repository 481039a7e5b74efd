/* wires.c: see wires.h. One epoll descriptor; a list of the connections that have something to send. */
#define _GNU_SOURCE 1
#include "bench/peers/wires.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/common/clock.h"

#define READ_SIZE   (256u << 10)
#define EVENTS_MOST 512

struct wire {
    int socket; /* -1: lost */
    bool stale; /* is in the list of those that have something to send */
    bool stuck; /* the kernel took not all: waits until it can take more */
    char *out;
    size_t out_size, out_room, out_sent;
    uint32_t first, count; /* of the ring of what is due */
};

struct wires {
    struct wires_calls calls;
    int epoll;
    uint32_t connections, depth;
    struct wire *wire;
    struct due *due; /* a ring of `depth` for each connection */
    uint32_t *stale;
    uint32_t stale_count;
    char in[READ_SIZE];
};

static void *
need(void *memory)
{
    if (memory == NULL) {
        fputs("usher-peers: no memory\n", stderr);
        abort();
    }
    return memory;
}

/* --- opening ------------------------------------------------------------------------------------------- */
int
wires_connect(uint16_t port)
{
    const struct sockaddr_in where = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const int on = 1;
    int opened = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (opened >= 0 && connect(opened, (const struct sockaddr *)&where, sizeof where) == 0) {
        setsockopt(opened, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        return opened;
    }
    if (opened >= 0)
        close(opened);
    return -1;
}

static bool
connect_one(struct wires *wires, uint32_t number, uint16_t port)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.u32 = number}};
    struct wire *wire = &wires->wire[number];

    wire->socket = wires_connect(port);
    return wire->socket >= 0 && epoll_ctl(wires->epoll, EPOLL_CTL_ADD, wire->socket, &event) == 0;
}

struct wires *
wires_open(uint16_t port, uint32_t connections, uint32_t depth, const struct wires_calls *calls, char *why,
           size_t why_size)
{
    struct wires *wires = need(calloc(1, sizeof *wires));

    assert(connections > 0);
    assert(depth > 0);
    wires->calls = *calls;
    wires->connections = connections;
    wires->depth = depth;
    wires->wire = need(calloc(connections, sizeof *wires->wire));
    wires->due = need(calloc((size_t)connections * depth, sizeof *wires->due));
    wires->stale = need(calloc(connections, sizeof *wires->stale));
    for (uint32_t i = 0; i < connections; i++)
        wires->wire[i].socket = -1;
    wires->epoll = epoll_create1(EPOLL_CLOEXEC);
    for (uint32_t i = 0; i < connections; i++) {
        if (wires->epoll < 0 || !connect_one(wires, i, port)) {
            snprintf(why, why_size, "connection %u of %u to port %u: %s", i + 1, connections, port, strerror(errno));
            wires_close(wires);
            return NULL;
        }
    }
    return wires;
}

void
wires_close(struct wires *wires)
{
    if (wires == NULL)
        return;
    for (uint32_t i = 0; i < wires->connections; i++) {
        if (wires->wire[i].socket >= 0)
            close(wires->wire[i].socket);
        free(wires->wire[i].out);
    }
    if (wires->epoll >= 0)
        close(wires->epoll);
    free(wires->wire);
    free(wires->due);
    free(wires->stale);
    free(wires);
}

/* --- asking -------------------------------------------------------------------------------------------- */
char *
wires_room(struct wires *wires, uint32_t connection, size_t most)
{
    struct wire *wire = &wires->wire[connection];

    assert(connection < wires->connections);
    if (wire->socket < 0 || wire->count == wires->depth)
        return NULL;
    if (wire->out_size + most > wire->out_room) {
        wire->out_room = (wire->out_size + most) * 2;
        wire->out = need(realloc(wire->out, wire->out_room));
    }
    return wire->out + wire->out_size;
}

void
wires_put(struct wires *wires, uint32_t connection, size_t size, const struct due *due)
{
    struct wire *wire = &wires->wire[connection];

    assert(wire->out_size + size <= wire->out_room);
    assert(wire->count < wires->depth);
    wire->out_size += size;
    wires->due[(size_t)connection * wires->depth + (wire->first + wire->count) % wires->depth] = *due;
    wire->count++;
    if (!wire->stale) {
        wire->stale = true;
        wires->stale[wires->stale_count++] = connection;
    }
}

bool
wires_answered(struct wires *wires, uint32_t connection, struct due *due)
{
    struct wire *wire = &wires->wire[connection];

    if (wire->count == 0)
        return false;
    *due = wires->due[(size_t)connection * wires->depth + wire->first];
    wire->first = (wire->first + 1) % wires->depth;
    wire->count--;
    return true;
}

/* --- moving bytes -------------------------------------------------------------------------------------- */
static void
lose(struct wires *wires, uint32_t connection)
{
    struct wire *wire = &wires->wire[connection];

    if (wire->socket < 0)
        return;
    close(wire->socket);
    wire->socket = -1;
    wire->out_size = wire->out_sent = 0;
    wires->calls.lost(wires->calls.context, connection);
}

static void
watch(struct wires *wires, uint32_t connection, bool stuck)
{
    struct wire *wire = &wires->wire[connection];
    struct epoll_event event = {.events = stuck ? EPOLLIN | EPOLLOUT : EPOLLIN, .data = {.u32 = connection}};

    if (wire->stuck == stuck)
        return;
    wire->stuck = stuck;
    epoll_ctl(wires->epoll, EPOLL_CTL_MOD, wire->socket, &event);
}

static void
flush_one(struct wires *wires, uint32_t connection)
{
    struct wire *wire = &wires->wire[connection];

    if (wire->socket < 0 || wire->out_size == 0)
        return;
    ssize_t sent = send(wire->socket, wire->out + wire->out_sent, wire->out_size - wire->out_sent,
                        MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        lose(wires, connection);
        return;
    }
    if (sent > 0)
        wire->out_sent += (size_t)sent;
    if (wire->out_sent == wire->out_size)
        wire->out_sent = wire->out_size = 0;
    watch(wires, connection, wire->out_size > 0);
}

static void
flush(struct wires *wires)
{
    for (uint32_t i = 0; i < wires->stale_count; i++) {
        wires->wire[wires->stale[i]].stale = false;
        flush_one(wires, wires->stale[i]);
    }
    wires->stale_count = 0;
}

static void
read_one(struct wires *wires, uint32_t connection)
{
    int from = wires->wire[connection].socket;

    if (from < 0)
        return;
    ssize_t size = recv(from, wires->in, sizeof wires->in, MSG_DONTWAIT);
    if (size > 0)
        wires->calls.take(wires->calls.context, connection, wires->in, (size_t)size);
    else if (size == 0 || (errno != EAGAIN && errno != EINTR))
        lose(wires, connection);
}

bool
wires_process(struct wires *wires, uint64_t wait_ns, char *why, size_t why_size)
{
    struct epoll_event events[EVENTS_MOST];

    flush(wires);
    int count = clock_wait(wires->epoll, events, EVENTS_MOST, wait_ns);
    if (count < 0) {
        snprintf(why, why_size, "epoll: %s", strerror(errno));
        return false;
    }
    for (int i = 0; i < count; i++) {
        uint32_t connection = events[i].data.u32;
        if (events[i].events & ~(uint32_t)EPOLLOUT)
            read_one(wires, connection);
        /* What an answer led to leaves at once: the server has work while the other connections are read. */
        flush_one(wires, connection);
    }
    flush(wires);
    return true;
}
