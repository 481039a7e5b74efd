/* net.h: the noisy shell: sockets, connections, authentication, limits, and the turn of the loop (DESIGN sections 2,
 * 6).
 *
 * One thread, libevent's plain events. A turn: every ready socket is read and its frames are checked and decoded;
 * commands go into one batch, queries wait; the batch is committed; the queries are answered on the state after it;
 * every token and receipt of the turn is proved by one signature; then every reply leaves. So no reply shows what is
 * not on the disk, and a turn costs one commit however many asked. While a batch of some size is on its way to the disk,
 * its replies are written, to leave once it is there (held.c), and what the next turn will carry out is read. */
#ifndef NET_H
#define NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/commit/commit.h"

struct net;

struct net_limits {
#define NET_LIMIT(name, usual, least, most, unit, help) uint64_t name;
#include "server/net/limits.def"
};
/* The limits at their defaults. */
struct net_limits net_limits_usual(void);

/* A line for the log: level is one of syslog's, event a word, the rest in printf's way. */
typedef void net_log(int level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));

struct net_config {
    struct store *store; /* these four stay the caller's */
    struct core *core;
    struct commit *commit;
    struct stages *stages; /* where the turns' time is measured; NULL for nowhere */
    const uint8_t *secret_key; /* the service's, libsodium's 64 bytes; must outlive the net */
    uint16_t key_id;
    const char *listen;   /* HOST:PORT, a number or [number]:PORT for IPv6; port 0 lets the system choose */
    bool listen_anywhere; /* allow an address that is not loopback although the protocol is in clear text */
    bool signals;         /* stop on SIGTERM and SIGINT */
    struct net_limits limits;
    uint64_t scrub_pause_ms; /* between two rounds of the store's scrub; 0 for none */
    uint64_t (*now_ms)(void *clock); /* never goes back */
    void *clock;
    net_log *log;
    void (*made_events)(void *context); /* called after a commit that made events, ours or another's; may be NULL */
    /* With other instances on the same store (X4); each may be NULL. */
    bool (*shares_port)(void *context, const char *address); /* whether one of them listens there, so that we may too */
    void (*committed)(void *context);                        /* wake them */
    int bell;                                                /* readable when one of them has committed; -1 for none */
    void (*answer_bell)(void *context);                      /* make it quiet */
    void *context;
};

enum net_status {
    NET_OK,
    NET_ADDRESS,     /* not an address, or not one that may be listened on */
    NET_PORT_IN_USE, /* somebody listens there */
    NET_FAULT        /* anything else that the system reports */
};

/* Listen. On NET_OK *net is set; else it is NULL and why gets one line. */
enum net_status net_open(const struct net_config *config, struct net **net, char *why, size_t why_size);
/* The port that it listens on, and the whole address as shares_port gets it. */
uint16_t net_port(const struct net *net);
#define NET_ADDRESS_MOST 80
void net_address(const struct net *net, char *text, size_t text_size);

/* Serve until a signal or net_stop, then drain: listen no more, finish what was read, tell the clients GOING_AWAY and
 * answer so to what comes after it, send what is unsent within drain_ms, close. Returns false if the store was lost
 * (STORE_LOST): the process must end without another answer. */
bool net_run(struct net *net);
/* Make net_run drain and return, or, when it drains already, return at once; from its own thread, or from a signal
 * handler's event. */
void net_stop(struct net *net);

void net_close(struct net *net); /* NULL is welcome */

#endif
