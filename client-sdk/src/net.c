/* net.c: nonblocking TCP with deadlines. Linux and POSIX; a signal never cuts a call short and never comes from one. */
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

void
usher_net_sleep_until(uint64_t until_ms)
{
    struct timespec until = {.tv_sec = (time_t)(until_ms / 1000), .tv_nsec = (long)(until_ms % 1000) * 1000000};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        continue;
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

/* --- connecting --------------------------------------------------------------------------------------- */
/* Finish a connect that is under way. Returns 0 or an errno value. */
static int
connect_finish(int socket, uint64_t deadline_ms)
{
    int failure = 0;
    socklen_t size = sizeof failure;

    if (usher_net_wait(socket, true, deadline_ms) != USHER_NET_READY)
        return ETIMEDOUT;
    if (getsockopt(socket, SOL_SOCKET, SO_ERROR, &failure, &size) != 0)
        return errno;
    return failure;
}

/* Connect to one resolved address. Returns the socket, or -1 with errno set. */
static int
connect_one(const struct addrinfo *target, uint64_t deadline_ms)
{
    const int on = 1;
    int failure = 0;
    int opened = socket(target->ai_family, target->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, target->ai_protocol);

    if (opened < 0)
        return -1;
    if (connect(opened, target->ai_addr, target->ai_addrlen) != 0)
        failure = errno == EINPROGRESS || errno == EINTR ? connect_finish(opened, deadline_ms) : errno;
    if (failure == 0) {
        /* Requests are small and answered one by one: waiting to fill a segment would only cost time. */
        setsockopt(opened, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(opened, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        return opened;
    }
    close(opened);
    errno = failure;
    return -1;
}

int
usher_net_connect(const struct usher_address *address, uint64_t deadline_ms, char *why, size_t why_size)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *targets = NULL;
    int opened = -1;
    int failure = getaddrinfo(address->host, address->port, &hints, &targets);

    if (failure != 0) {
        snprintf(why, why_size, "%s", failure == EAI_SYSTEM ? strerror(errno) : gai_strerror(failure));
        return -1;
    }
    for (const struct addrinfo *target = targets; target != NULL && opened < 0; target = target->ai_next)
        opened = connect_one(target, deadline_ms);
    if (opened < 0)
        snprintf(why, why_size, "%s", strerror(errno));
    freeaddrinfo(targets);
    return opened;
}

/* --- bytes -------------------------------------------------------------------------------------------- */
enum usher_net_wait
usher_net_wait(int socket, bool writing, uint64_t deadline_ms)
{
    struct pollfd watched = {.fd = socket, .events = (short)(writing ? POLLIN | POLLOUT : POLLIN)};

    for (;;) {
        uint64_t now_ms = usher_net_now_ms();
        uint64_t left_ms = deadline_ms > now_ms ? deadline_ms - now_ms : 0;
        int found = poll(&watched, 1, left_ms > 60000 ? 60000 : (int)left_ms);

        if (found > 0)
            return USHER_NET_READY;
        if (found < 0 && errno != EINTR)
            return USHER_NET_FAILED;
        if (left_ms == 0)
            return USHER_NET_TIMEOUT;
    }
}

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
