/* net.h: sockets that never block, addresses and the clocks. Nothing else in the SDK asks the system for a network. */
#ifndef USHER_NET_H
#define USHER_NET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One server address in text. */
struct usher_address {
    char text[270]; /* "host:port" as it was given, for messages */
    char host[256];
    char port[6];
};

/* One of the places that an address stands for: a host name may have several. */
struct usher_endpoint {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } where;
    socklen_t size; /* 0: the host name could not be resolved, and failure says why */
    int failure;    /* of getaddrinfo() */
    unsigned address_no;
};

/* Split one "host:port" or "[host]:port"; size bytes, not ended by NUL. False when it is not one. */
bool usher_net_address(const char *text, size_t size, struct usher_address *address);

/* The places that an address stands for, at most `most` of them; there is always one, if only to say what is wrong. A
 * host name may block; a numeric address doesn't. */
unsigned usher_net_resolve(const struct usher_address *address, struct usher_endpoint *endpoints, unsigned most);

/* Milliseconds on the monotonic clock, and on the wall clock. */
uint64_t usher_net_now_ms(void);
uint64_t usher_net_wall_ms(void);

/* Begin to connect. Returns the socket, or -1 with why filled in. */
int usher_net_connect(const struct usher_endpoint *endpoint, char *why, size_t why_size);

enum usher_net_connected {
    USHER_NET_PENDING,
    USHER_NET_CONNECTED,
    USHER_NET_FAILED /* why is filled in */
};
/* How the connecting stands. */
enum usher_net_connected usher_net_connected(int socket, char *why, size_t why_size);

/* Bytes read or written; 0 when it would block; -1 when the connection is over, with why filled in. */
long usher_net_read(int socket, uint8_t *bytes, size_t size, char *why, size_t why_size);
long usher_net_write(int socket, const uint8_t *bytes, size_t size, char *why, size_t why_size);
void usher_net_close(int socket);

#endif
