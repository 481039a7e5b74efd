/* net.c: nonblocking TCP. Linux and POSIX; a signal never cuts a call short and never comes from one. */
#include "client-sdk/src/net.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* --- clock -------------------------------------------------------------------------------------------- */
static uint64_t
clock_ms(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t
usher_net_now_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

uint64_t
usher_net_wall_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

/* --- addresses ---------------------------------------------------------------------------------------- */
static bool
port_is_sound(const char *text, size_t size)
{
    unsigned long port = 0;

    if (size == 0 || size > 5)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        port = port * 10 + (unsigned long)(text[i] - '0');
    }
    return port > 0 && port <= 65535;
}

bool
usher_net_address(const char *text, size_t size, struct usher_address *address)
{
    size_t host_size = size, port_size;
    const char *host = text, *port;

    memset(address, 0, sizeof *address);
    while (host_size > 0 && text[host_size - 1] != ':')
        host_size--;
    if (host_size == 0 || size >= sizeof address->text)
        return false;
    port = text + host_size;
    port_size = size - host_size;
    host_size--; /* without the colon */
    memcpy(address->text, text, size);
    if (host_size >= 2 && host[0] == '[' && host[host_size - 1] == ']') {
        host++;
        host_size -= 2;
    } else if (memchr(host, ':', host_size) != NULL) {
        return false; /* an IPv6 address needs its brackets: which colon is the port's? */
    }
    if (host_size == 0 || host_size >= sizeof address->host || !port_is_sound(port, port_size))
        return false;
    memcpy(address->host, host, host_size);
    memcpy(address->port, port, port_size);
    return true;
}

unsigned
usher_net_resolve(const struct usher_address *address, struct usher_endpoint *endpoints, unsigned most)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *targets = NULL;
    int failure = getaddrinfo(address->host, address->port, &hints, &targets);
    unsigned count = 0;

    memset(endpoints, 0, sizeof *endpoints);
    endpoints->failure = failure;
    if (failure != 0)
        return 1;
    for (const struct addrinfo *target = targets; target != NULL && count < most; target = target->ai_next) {
        if (target->ai_addrlen > sizeof endpoints->where)
            continue;
        memset(&endpoints[count], 0, sizeof *endpoints);
        memcpy(&endpoints[count].where, target->ai_addr, target->ai_addrlen);
        endpoints[count++].size = target->ai_addrlen;
    }
    freeaddrinfo(targets);
    if (count == 0)
        endpoints->failure = EAI_FAMILY;
    return count > 0 ? count : 1;
}

/* --- connecting --------------------------------------------------------------------------------------- */
int
usher_net_connect(const struct usher_endpoint *endpoint, char *why, size_t why_size)
{
    const int on = 1;
    int opened;

    if (endpoint->size == 0) {
        snprintf(why, why_size, "%s", gai_strerror(endpoint->failure));
        return -1;
    }
    opened = socket(endpoint->where.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (opened >= 0 &&
        (connect(opened, &endpoint->where.any, endpoint->size) == 0 || errno == EINPROGRESS || errno == EINTR)) {
        /* Requests are small and answered one by one: waiting to fill a segment would only cost time. */
        setsockopt(opened, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(opened, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        return opened;
    }
    snprintf(why, why_size, "%s", strerror(errno));
    if (opened >= 0)
        close(opened);
    return -1;
}

enum usher_net_connected
usher_net_connected(int socket, char *why, size_t why_size)
{
    struct pollfd watched = {.fd = socket, .events = POLLOUT};
    int failure = 0;
    socklen_t size = sizeof failure;

    if (poll(&watched, 1, 0) <= 0)
        return USHER_NET_PENDING;
    if (getsockopt(socket, SOL_SOCKET, SO_ERROR, &failure, &size) != 0)
        failure = errno;
    if (failure == 0)
        return USHER_NET_CONNECTED;
    snprintf(why, why_size, "%s", strerror(failure));
    return USHER_NET_FAILED;
}

/* --- bytes -------------------------------------------------------------------------------------------- */
/* What a read or write of -1 means. */
static long
transfer_failed(char *why, size_t why_size)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return 0;
    snprintf(why, why_size, "%s", strerror(errno));
    return -1;
}

long
usher_net_read(int socket, uint8_t *bytes, size_t size, char *why, size_t why_size)
{
    ssize_t taken = recv(socket, bytes, size, 0);

    if (taken < 0)
        return transfer_failed(why, why_size);
    if (taken == 0) {
        snprintf(why, why_size, "the server closed the connection");
        return -1;
    }
    return (long)taken;
}

long
usher_net_write(int socket, const uint8_t *bytes, size_t size, char *why, size_t why_size)
{
    ssize_t taken = send(socket, bytes, size, MSG_NOSIGNAL);

    return taken < 0 ? transfer_failed(why, why_size) : (long)taken;
}

void
usher_net_close(int socket)
{
    close(socket);
}
