/* client.h: what is inside of a usher_client: an asynchronous handle that nobody else sees, and the last answer. */
#ifndef USHER_CLIENT_H
#define USHER_CLIENT_H

#include "client-sdk/src/async.h"

struct usher_client {
    atomic_flag busy; /* a call is running: a second one is a bug of the caller */
    struct usher_async *async;
    bool usable;
    bool done; /* the call that runs has its completion */
    usher_status status;
    void *reply;                          /* where the call that runs wants its reply */
    uint32_t timeout_ms, next_timeout_ms; /* next_timeout_ms: of the next call alone; 0 for none */
    usher_answer answer;
    char error[USHER_ERROR_SIZE];
};

#endif
