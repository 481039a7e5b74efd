/* server.h: the fake house behind sockets: one thread, its lock, its timers. */
#ifndef USHER_FAKE_SERVER_H
#define USHER_FAKE_SERVER_H

#include "client-sdk/fake/src/link.h"

struct fake_server {
    int listener;
    int wake[2]; /* a pipe: a byte in it makes the thread look again */
    bool stopping;
    pthread_t thread;
    pthread_mutex_t lock;  /* over the whole usher_fake */
    pthread_cond_t served; /* something was; its clock is the monotonic one */
    char address[32];
};

/* Milliseconds of the monotonic clock. */
uint64_t fake_clock_ms(void);
/* Take the lock; give it back, and let the thread see what changed. */
void fake_lock(usher_fake *fake);
void fake_unlock(usher_fake *fake);

#endif
