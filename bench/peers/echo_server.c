/* echo_server.c: what this machine can do at most: a server that does nothing.
 *
 *     usher-bench-echo PORT FOLDER
 *
 * A request is 32 bytes, a reply 64. The first byte of a request says what the reply waits for: 0 nothing, 1 that the
 * request is on the disk. Then the requests of one turn of the loop, up to TURN_MOST, are appended to LMDB as one value
 * by one commit with LMDB's default sync flags, and their replies leave after it: the least that a durable server has
 * to do.
 *
 * Plain libevent events and buffers of its own, as in server/net. */
#define _GNU_SOURCE 1
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <lmdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_SIZE 32u
#define REPLY_SIZE   64u
#define IN_SIZE      (128u * REQUEST_SIZE)
#define TURN_MOST    4096u
#define MAP_SIZE     (UINT64_C(16) << 30)

struct connection {
    struct event *readable;
    evutil_socket_t socket;
    size_t in_size;
    uint32_t owed; /* replies that wait for the commit */
    struct connection *next; /* of those that are owed something */
    uint8_t in[IN_SIZE];
};

struct echo {
    struct event_base *base;
    MDB_env *env;
    MDB_dbi table;
    uint64_t position;
    struct connection *owing;
    uint32_t group_count;
    uint8_t group[TURN_MOST * REQUEST_SIZE];
};

static void
die(const char *what, const char *why)
{
    fprintf(stderr, "usher-bench-echo: %s: %s\n", what, why);
    exit(1);
}

static void
must(int status, const char *what)
{
    if (status != 0)
        die(what, mdb_strerror(status));
}

/* --- replies ------------------------------------------------------------------------------------------- */
static void
end_connection(struct connection *connection)
{
    event_free(connection->readable);
    close(connection->socket);
    free(connection);
}

/* False when the connection is gone. A peer of the bench reads what it asked for, so a full socket is waited for. */
static bool
reply(struct connection *connection, uint32_t count)
{
    static const uint8_t replies[IN_SIZE / REQUEST_SIZE * REPLY_SIZE];
    size_t size = (size_t)count * REPLY_SIZE, sent = 0;

    while (sent < size) {
        ssize_t part = send(connection->socket, replies + sent, size - sent, MSG_NOSIGNAL);
        if (part > 0)
            sent += (size_t)part;
        else if (errno != EAGAIN && errno != EINTR)
            return false;
    }
    return true;
}

static void
commit(struct echo *echo)
{
    MDB_val key = {sizeof echo->position, &echo->position};
    MDB_val value = {(size_t)echo->group_count * REQUEST_SIZE, echo->group};
    MDB_txn *transaction;

    if (echo->group_count == 0)
        return;
    echo->position++;
    must(mdb_txn_begin(echo->env, NULL, 0, &transaction), "begin");
    must(mdb_put(transaction, echo->table, &key, &value, MDB_APPEND), "append");
    must(mdb_txn_commit(transaction), "commit");
    echo->group_count = 0;
    while (echo->owing != NULL) {
        struct connection *connection = echo->owing;
        uint32_t owed = connection->owed;
        echo->owing = connection->next;
        connection->owed = 0;
        if (!reply(connection, owed))
            end_connection(connection);
    }
}

/* --- requests ------------------------------------------------------------------------------------------ */
static bool
take(struct echo *echo, struct connection *connection)
{
    uint32_t count = (uint32_t)(connection->in_size / REQUEST_SIZE), at_once = 0;

    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *request = connection->in + (size_t)i * REQUEST_SIZE;
        if (request[0] == 0) {
            at_once++;
            continue;
        }
        memcpy(echo->group + (size_t)echo->group_count++ * REQUEST_SIZE, request, REQUEST_SIZE);
        if (connection->owed++ == 0) {
            connection->next = echo->owing;
            echo->owing = connection;
        }
    }
    connection->in_size -= (size_t)count * REQUEST_SIZE;
    memmove(connection->in, connection->in + (size_t)count * REQUEST_SIZE, connection->in_size);
    return reply(connection, at_once);
}

static struct echo echo;

static void
on_readable(evutil_socket_t socket, short what, void *argument)
{
    struct connection *connection = argument;

    (void)what;
    /* At the group's end what is left stays in the socket until the next turn. */
    if (echo.group_count + IN_SIZE / REQUEST_SIZE > TURN_MOST)
        return;
    ssize_t size = recv(socket, connection->in + connection->in_size, IN_SIZE - connection->in_size, 0);
    if (size > 0)
        connection->in_size += (size_t)size;
    if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR) || !take(&echo, connection)) {
        commit(&echo); /* it may be in the list of those that are owed something */
        end_connection(connection);
    }
}

static void
on_connection(evutil_socket_t listener, short what, void *argument)
{
    const int on = 1;
    evutil_socket_t socket;

    (void)what;
    (void)argument;
    while ((socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *connection = calloc(1, sizeof *connection);
        if (connection == NULL)
            die("accept", "no memory");
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connection->socket = socket;
        connection->readable = event_new(echo.base, socket, EV_READ | EV_PERSIST, on_readable, connection);
        event_add(connection->readable, NULL);
    }
}

/* --- opening ------------------------------------------------------------------------------------------- */
static void
open_store(const char *folder)
{
    MDB_txn *transaction;

    must(mdb_env_create(&echo.env), "environment");
    must(mdb_env_set_mapsize(echo.env, MAP_SIZE), "map size");
    must(mdb_env_open(echo.env, folder, 0, 0600), folder);
    must(mdb_txn_begin(echo.env, NULL, 0, &transaction), "begin");
    must(mdb_dbi_open(transaction, NULL, MDB_INTEGERKEY, &echo.table), "table");
    must(mdb_txn_commit(transaction), "commit");
}

static void
listen_on(uint16_t port)
{
    const struct sockaddr_in where = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const int on = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (listener < 0 || bind(listener, (const struct sockaddr *)&where, sizeof where) != 0 ||
        listen(listener, 4096) != 0)
        die("listen", strerror(errno));
    event_add(event_new(echo.base, listener, EV_READ | EV_PERSIST, on_connection, NULL), NULL);
}

int
main(int count, char **arguments)
{
    if (count != 3)
        die("usage", "usher-bench-echo PORT FOLDER");
    echo.base = event_base_new();
    if (echo.base == NULL)
        die("libevent", "no loop");
    open_store(arguments[2]);
    listen_on((uint16_t)strtoul(arguments[1], NULL, 10));
    while (event_base_loop(echo.base, EVLOOP_ONCE) == 0)
        commit(&echo);
    return 1;
}
