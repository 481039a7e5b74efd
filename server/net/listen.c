/* listen.c: the address, the listening socket, accepting.
 *
 * The protocol is in clear text, so an address that is not loopback is refused unless it is asked for by name
 * (--listen-anywhere): a key could not be stolen, but tokens could be read and replies forged on the way.
 *
 * Beyond connections_max a connection is accepted, told BUSY in one frame and closed: a client that knows why waits;
 * one that hangs in the kernel's queue times out and comes back at once. */
#define _GNU_SOURCE 1
#include "server/net/inside.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#define BACKLOG          4096
#define ACCEPT_TURN      64  /* connections accepted in one turn */
#define TURNED_AWAY_MOST 256 /* that are being told BUSY at once; more are closed without a word */
#define AWAY_RETRY_MS    1000
#define ACCEPT_PAUSE_MS  100 /* before accepting again when descriptors ran out */

/* --- the address ---------------------------------------------------------------------------------------- */
/* getaddrinfo takes 99999 for a port and listens on another. */
static bool
is_port(const char *text)
{
    unsigned long port = 0;

    for (const char *digit = text; *digit != '\0'; digit++) {
        if (*digit < '0' || *digit > '9' || digit - text >= 5)
            return false;
        port = port * 10 + (unsigned long)(*digit - '0');
    }
    return text[0] != '\0' && port <= UINT16_MAX;
}

/* Split HOST:PORT or [HOST]:PORT. */
static bool
split_address(const char *listen, char *host, size_t host_room, const char **port)
{
    const char *colon = strrchr(listen, ':');
    const char *begin = listen;

    if (colon == NULL || !is_port(colon + 1))
        return false;
    const char *end = colon;
    if (*begin == '[') {
        if (end - begin < 2 || end[-1] != ']')
            return false;
        begin++;
        end--;
    }
    size_t length = (size_t)(end - begin);
    if (length == 0 || length >= host_room)
        return false;
    memcpy(host, begin, length);
    host[length] = '\0';
    *port = colon + 1;
    return true;
}

static bool
is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct in_addr in = ((const struct sockaddr_in *)(const void *)address)->sin_addr;
        return ntohl(in.s_addr) >> 24 == 127;
    }
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)address;
        return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
    }
    return false;
}

static enum net_status
find_address(const struct net_config *config, struct addrinfo **found, char *why, size_t why_size)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_PASSIVE};
    char host[256];
    const char *port;

    if (!split_address(config->listen, host, sizeof host, &port)) {
        snprintf(why, why_size, "'%s' is not an address: give HOST:PORT, as 127.0.0.1:7411 or [::1]:7411",
                 config->listen);
        return NET_ADDRESS;
    }
    int wrong = getaddrinfo(host, port, &hints, found);
    if (wrong != 0) {
        snprintf(why, why_size, "'%s' is not an address: %s", config->listen, gai_strerror(wrong));
        return NET_ADDRESS;
    }
    if (!is_loopback((*found)->ai_addr) && !config->listen_anywhere) {
        freeaddrinfo(*found);
        snprintf(why, why_size,
                 "%s is not a loopback address and the protocol is in clear text: "
                 "put a tunnel in front, or say --listen-anywhere",
                 config->listen);
        return NET_ADDRESS;
    }
    return NET_OK;
}

static void
write_address(const struct sockaddr *address, socklen_t size, char *text, size_t text_size)
{
    char host[64], port[8];

    text[0] = '\0';
    if (getnameinfo(address, size, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(text, text_size, address->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

void
net_address(const struct net *net, char *text, size_t text_size)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;

    text[0] = '\0';
    if (getsockname(net->listen_fd, (struct sockaddr *)&address, &size) == 0)
        write_address((const struct sockaddr *)&address, size, text, text_size);
}

static uint16_t
port_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;

    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        return 0;
    if (address.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)(const void *)&address)->sin6_port);
    return ntohs(((const struct sockaddr_in *)(const void *)&address)->sin_port);
}

/* The port may be shared, but not with a stranger: unless one of ours listens there already it has to be free, so the
 * socket is bound alone and opened to others afterwards. */
static bool
bind_shared(const struct net_config *config, int fd, const struct addrinfo *address)
{
    char text[NET_ADDRESS_MOST];
    int yes = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    write_address(address->ai_addr, address->ai_addrlen, text, sizeof text);
    if (config->shares_port != NULL && config->shares_port(config->context, text))
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes);
    if (bind(fd, address->ai_addr, address->ai_addrlen) != 0)
        return false;
    return config->shares_port == NULL || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes) == 0;
}

static enum net_status
bind_socket(const struct net_config *config, int fd, const struct addrinfo *address)
{
    if (bind_shared(config, fd, address) && listen(fd, BACKLOG) == 0)
        return NET_OK;
    return errno == EADDRINUSE ? NET_PORT_IN_USE : errno == EACCES || errno == EADDRNOTAVAIL ? NET_ADDRESS : NET_FAULT;
}

/* --- accepting ------------------------------------------------------------------------------------------ */
static void
turn_away(struct net *net, int fd)
{
    const usher_refusal refusal = {.retry_after_ms = AWAY_RETRY_MS};
    struct connection *connection = NULL;

    if (net->turned_away_count < TURNED_AWAY_MOST)
        connection = connection_open(net, fd, false);
    if (connection == NULL) {
        close(fd);
        return;
    }
    net_take_stamp(net);
    connection_refuse(connection, USHER_OPCODE_NONE, 0, USHER_BUSY, &refusal);
    connection_end(connection);
}

/* Out of descriptors or memory: the connection stays in the kernel's queue, and accepting pauses, or the loop would
 * spin on it. */
static void
pause_accepting(struct net *net, int reason)
{
    const struct timeval pause = {.tv_usec = ACCEPT_PAUSE_MS * 1000};

    net->config.log(LOG_WARNING, "accept_paused", "error=\"%s\" connections=%llu", strerror(reason),
                    (unsigned long long)net->connection_count);
    event_del(net->accept_event);
    event_add(net->accept_again, &pause);
}

static void
on_accept_again(evutil_socket_t fd, short what, void *argument)
{
    struct net *net = argument;

    (void)fd;
    (void)what;
    if (!net->stopping)
        event_add(net->accept_event, NULL);
}

/* A peer may vanish without a word, and its open subscriptions would keep its places for ever (Q6): let TCP ask for
 * signs of life, in whole seconds, and give up what nobody takes. */
static void
watch_peer(int fd, uint64_t peer_ms)
{
    int yes = 1, probes = 4, silence_s = (int)(peer_ms / 2000 + 1), between_s = (int)(peer_ms / 8000 + 1);
    unsigned untaken_ms = (unsigned)peer_ms;

    if (peer_ms == 0)
        return;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &silence_s, sizeof silence_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &between_s, sizeof between_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &untaken_ms, sizeof untaken_ms);
}

static void
on_accept(evutil_socket_t listen_fd, short what, void *argument)
{
    struct net *net = argument;
    int yes = 1;

    (void)what;
    for (int i = 0; i < ACCEPT_TURN; i++) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            int reason = errno;
            if (reason == EMFILE || reason == ENFILE || reason == ENOBUFS || reason == ENOMEM)
                pause_accepting(net, reason);
            if (reason != ECONNABORTED && reason != EINTR)
                return;
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        watch_peer(fd, net->config.limits.peer_ms);
        if (net->connection_count >= net->config.limits.connections_max)
            turn_away(net, fd);
        else if (connection_open(net, fd, true) == NULL)
            close(fd);
    }
}

enum net_status
listen_open(struct net *net, char *why, size_t why_size)
{
    struct addrinfo *address;
    enum net_status status = find_address(&net->config, &address, why, why_size);

    if (status != NET_OK)
        return status;
    net->listen_fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    status = net->listen_fd < 0 ? NET_FAULT : bind_socket(&net->config, net->listen_fd, address);
    int reason = errno;
    freeaddrinfo(address);
    if (status == NET_PORT_IN_USE)
        snprintf(why, why_size, "%s is in use: another program listens there; stop it or choose another --listen",
                 net->config.listen);
    else if (status != NET_OK)
        snprintf(why, why_size, "can't listen on %s: %s", net->config.listen, strerror(reason));
    if (status != NET_OK)
        return status;
    net->port = port_of(net->listen_fd);
    net->accept_event = event_new(net->base, net->listen_fd, EV_READ | EV_PERSIST, on_accept, net);
    net->accept_again = evtimer_new(net->base, on_accept_again, net);
    if (net->accept_event == NULL || net->accept_again == NULL || event_add(net->accept_event, NULL) != 0) {
        snprintf(why, why_size, "no memory for the listening socket");
        return NET_FAULT;
    }
    return NET_OK;
}

void
listen_close(struct net *net)
{
    if (net->accept_event != NULL)
        event_free(net->accept_event);
    if (net->accept_again != NULL)
        event_free(net->accept_again);
    net->accept_event = NULL;
    net->accept_again = NULL;
    if (net->listen_fd >= 0)
        close(net->listen_fd);
    net->listen_fd = -1;
}
