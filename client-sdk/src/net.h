/* net.h: the blocking client's sockets and clock. Nothing else in the SDK asks the system for either. */
#ifndef USHER_NET_H
#define USHER_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One server address in text. */
struct usher_address {
    char text[270]; /* "host:port" as it was given, for messages */
    char host[256];
    char port[6];
};

/* Split one "host:port" or "[host]:port"; size bytes, not ended by NUL. False when it is not one. */
bool usher_net_address(const char *text, size_t size, struct usher_address *address);

/* Milliseconds on the monotonic clock, and on the wall clock. */
uint64_t usher_net_now_ms(void);
uint64_t usher_net_wall_ms(void);
/* Sleep until the moment on the monotonic clock. */
void usher_net_sleep_until(uint64_t until_ms);

/* Connect, nonblocking and without delay. Returns the socket, or -1 with why filled in: the deadline has passed, or no
 * address that the host has accepts a connection. */
int usher_net_connect(const struct usher_address *address, uint64_t deadline_ms, char *why, size_t why_size);

enum usher_net_wait {
    USHER_NET_READY, /* it can be read from or, if asked for, written to; or it has failed, which reading will tell */
    USHER_NET_TIMEOUT,
    USHER_NET_FAILED
};
/* Wait until the socket can be read from or, with writing, written to. */
enum usher_net_wait usher_net_wait(int socket, bool writing, uint64_t deadline_ms);

/* Bytes read or written; 0 when it would block; -1 when the connection is over, with why filled in. */
long usher_net_read(int socket, uint8_t *bytes, size_t size, char *why, size_t why_size);
long usher_net_write(int socket, const uint8_t *bytes, size_t size, char *why, size_t why_size);
void usher_net_close(int socket);

#endif
