/* server.c: sockets on one side, links on the other, one thread between them.
 *
 * The thread holds the lock but while it waits in poll(). A connection that is cut is half closed first and read until
 * the client closes it, or for LINGER_MS: closed at once with bytes unread, it would be reset, and what was sent before
 * the cut might be lost with it, differently each time. */
#define _GNU_SOURCE /* accept4(), pipe2() */
#include "client-sdk/fake/src/server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINGER_MS  1000u
#define READ_ROOM  16384u
#define WRITE_ROOM 65536u

/* A link's socket. */
struct fake_socket {
    int descriptor;
    bool half_closed;
    uint64_t close_ms; /* of a half-closed one: the latest moment */
    size_t size, sent; /* of unsent */
    uint8_t unsent[WRITE_ROOM];
};

uint64_t
fake_clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void
fake_lock(usher_fake *fake)
{
    pthread_mutex_lock(&fake->server->lock);
}

void
fake_unlock(usher_fake *fake)
{
    ssize_t written = write(fake->server->wake[1], "", 1); /* full: the thread will look anyway */

    (void)written;
    pthread_mutex_unlock(&fake->server->lock);
}

/* --- one connection ---------------------------------------------------------------------------------------- */
static void
close_connection(struct fake_link *link, bool reset)
{
    struct fake_socket *connection = link->socket;

    if (reset)
        setsockopt(connection->descriptor, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1, .l_linger = 0},
                   sizeof(struct linger));
    close(connection->descriptor);
    free(connection);
    fake_link_close(link);
}

static void
accept_connection(usher_fake *fake, uint64_t now_ms)
{
    int descriptor = accept4(fake->server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct fake_socket *connection;
    struct fake_link *link;

    if (descriptor < 0)
        return;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        abort();
    connection->descriptor = descriptor;
    link = fake_link_open(fake, now_ms);
    link->socket = connection;
}

/* Send what is due, as far as the socket takes it. False: the client is gone. */
static bool
write_out(struct fake_link *link, uint64_t now_ms)
{
    struct fake_socket *connection = link->socket;

    for (;;) {
        ssize_t taken;

        if (connection->sent == connection->size) {
            connection->size = fake_link_take(link, connection->unsent, sizeof connection->unsent, now_ms);
            connection->sent = 0;
        }
        if (connection->size == 0)
            return true;
        taken = send(connection->descriptor, connection->unsent + connection->sent, connection->size - connection->sent,
                     MSG_NOSIGNAL);
        if (taken < 0)
            return errno == EAGAIN || errno == EINTR;
        connection->sent += (size_t)taken;
    }
}

/* Read once. False: the client is gone. */
static bool
read_in(struct fake_link *link, uint64_t now_ms)
{
    struct fake_socket *connection = link->socket;
    uint8_t bytes[READ_ROOM];
    ssize_t size = recv(connection->descriptor, bytes, sizeof bytes, 0);

    if (size <= 0)
        return size < 0 && (errno == EAGAIN || errno == EINTR);
    if (!connection->half_closed)
        fake_link_feed(link, bytes, (size_t)size, now_ms);
    return true;
}

/* Let a connection go on; it may be gone afterwards. */
static void
turn_connection(struct fake_link *link, bool readable, uint64_t now_ms)
{
    struct fake_socket *connection = link->socket;

    if (readable && !read_in(link, now_ms)) {
        close_connection(link, false);
        return;
    }
    if (!connection->half_closed && !write_out(link, now_ms)) {
        close_connection(link, false);
        return;
    }
    if (link->over && connection->sent == connection->size && !connection->half_closed) {
        if (link->reset) {
            close_connection(link, true);
            return;
        }
        shutdown(connection->descriptor, SHUT_WR);
        connection->half_closed = true;
        connection->close_ms = now_ms + LINGER_MS;
    }
    if (connection->half_closed && now_ms >= connection->close_ms)
        close_connection(link, false);
}

/* --- the thread -------------------------------------------------------------------------------------------- */
static int
wait_ms(const usher_fake *fake, uint64_t now_ms)
{
    uint64_t due_ms = fake_late_due(fake);

    for (const struct fake_link *link = fake->links; link != NULL; link = link->next) {
        const struct fake_socket *connection = link->socket;
        uint64_t link_ms = connection->half_closed ? connection->close_ms : fake_link_due(link);

        if (connection->sent < connection->size)
            continue; /* the socket will say when it takes more */
        if (link_ms < due_ms)
            due_ms = link_ms;
    }
    if (due_ms == UINT64_MAX)
        return -1;
    return due_ms <= now_ms ? 0 : due_ms - now_ms > 60000 ? 60000 : (int)(due_ms - now_ms);
}

/* What poll() is asked for: the pipe, the listener, then the links in their order. */
static struct pollfd *
fill_polled(usher_fake *fake, struct pollfd *polled, size_t *count)
{
    size_t links = 0, at = 2;

    for (const struct fake_link *link = fake->links; link != NULL; link = link->next)
        links++;
    polled = realloc(polled, (links + 2) * sizeof *polled);
    if (polled == NULL)
        abort();
    polled[0] = (struct pollfd){.fd = fake->server->wake[0], .events = POLLIN};
    polled[1] = (struct pollfd){.fd = fake->server->listener, .events = POLLIN};
    for (const struct fake_link *link = fake->links; link != NULL; link = link->next, at++) {
        const struct fake_socket *connection = link->socket;
        bool waits = connection->sent < connection->size;
        polled[at] =
            (struct pollfd){.fd = connection->descriptor, .events = (short)(waits ? POLLIN | POLLOUT : POLLIN)};
    }
    *count = at;
    return polled;
}

/* Every link that was polled gets its turn, then those that had something pushed to them by another one. */
static void
turn_all(usher_fake *fake, const struct pollfd *polled, uint64_t now_ms)
{
    struct fake_link *link = fake->links, *next;
    size_t at = 2;

    for (; link != NULL; link = next, at++) {
        next = link->next;
        turn_connection(link, polled[at].revents != 0, now_ms);
    }
    for (link = fake->links; link != NULL; link = next) {
        next = link->next;
        turn_connection(link, false, now_ms);
    }
}

static void *
run(void *argument)
{
    usher_fake *fake = argument;
    struct fake_server *server = fake->server;
    struct pollfd *polled = NULL;
    uint8_t woken[64];

    pthread_mutex_lock(&server->lock);
    while (!server->stopping) {
        size_t count;
        int timeout_ms = wait_ms(fake, fake_clock_ms());
        uint64_t now_ms;

        polled = fill_polled(fake, polled, &count);
        pthread_mutex_unlock(&server->lock);
        poll(polled, (nfds_t)count, timeout_ms);
        pthread_mutex_lock(&server->lock);
        now_ms = fake_clock_ms();
        while (read(server->wake[0], woken, sizeof woken) > 0)
            continue;
        fake_serve_late(fake, now_ms);
        turn_all(fake, polled, now_ms);
        if (polled[1].revents != 0) {
            accept_connection(fake, now_ms);
            turn_connection(fake->links, false, now_ms);
        }
        pthread_cond_broadcast(&server->served);
    }
    pthread_mutex_unlock(&server->lock);
    free(polled);
    return NULL;
}

/* --- starting and stopping --------------------------------------------------------------------------------- */
static bool
listen_somewhere(struct fake_server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;

    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (server->listener < 0 || bind(server->listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(server->listener, 128) != 0 || getsockname(server->listener, (struct sockaddr *)&address, &size) != 0)
        return false;
    snprintf(server->address, sizeof server->address, "127.0.0.1:%u", ntohs(address.sin_port));
    return true;
}

static void
free_server(struct fake_server *server)
{
    for (unsigned i = 0; i < 2; i++)
        if (server->wake[i] >= 0)
            close(server->wake[i]);
    if (server->listener >= 0)
        close(server->listener);
    pthread_mutex_destroy(&server->lock);
    pthread_cond_destroy(&server->served);
    free(server);
}

static struct fake_server *
make_server(void)
{
    struct fake_server *server = calloc(1, sizeof *server);
    pthread_condattr_t monotonic;

    if (server == NULL)
        abort();
    server->listener = server->wake[0] = server->wake[1] = -1;
    pthread_mutex_init(&server->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&server->served, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return server;
}

usher_fake *
usher_fake_start(const usher_fake_options *options, char *why, size_t why_size)
{
    usher_fake *fake = fake_make(options, why, why_size);
    struct fake_server *server;

    if (fake == NULL)
        return NULL;
    server = make_server();
    fake->server = server;
    if (listen_somewhere(server) && pipe2(server->wake, O_CLOEXEC | O_NONBLOCK) == 0 &&
        (errno = pthread_create(&server->thread, NULL, run, fake)) == 0)
        return fake;
    if (why != NULL && why_size > 0)
        snprintf(why, why_size, "the system gives no socket or thread: %s", strerror(errno));
    free_server(server);
    fake_free(fake);
    return NULL;
}

void
usher_fake_stop(usher_fake *fake)
{
    struct fake_server *server;

    if (fake == NULL)
        return;
    server = fake->server;
    fake_lock(fake);
    server->stopping = true;
    fake_unlock(fake);
    pthread_join(server->thread, NULL);
    while (fake->links != NULL)
        close_connection(fake->links, false);
    free_server(server);
    fake_free(fake);
}

const char *
usher_fake_address(const usher_fake *fake)
{
    return fake->server->address;
}

const usher_key *
usher_fake_key(const usher_fake *fake)
{
    return &fake->server_key;
}

int
usher_fake_wait(usher_fake *fake, uint64_t requests, uint32_t timeout_ms)
{
    uint64_t until_ms = fake_clock_ms() + timeout_ms;
    const struct timespec until = {.tv_sec = (time_t)(until_ms / 1000), .tv_nsec = (long)(until_ms % 1000) * 1000000};
    int failed = 0;
    bool enough;

    fake_lock(fake);
    while (fake->figures.requests < requests && failed == 0)
        failed = pthread_cond_timedwait(&fake->server->served, &fake->server->lock, &until);
    enough = fake->figures.requests >= requests;
    fake_unlock(fake);
    return enough;
}
