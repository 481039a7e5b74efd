/* historian.h: the thread that writes users' payment history from the events (B2).
 *
 * It is a consumer in its own right: it follows the outbox from its own cursor, in transactions of its own, and the
 * loop never waits for it, but for LMDB's write lock during one of its small commits. Stopped, slow, failing or killed
 * it delays no payment; it goes on where its cursor stands. */
#ifndef HISTORIAN_H
#define HISTORIAN_H

#include <stdint.h>

#include "server/store/store.h"

struct historian;

/* Start the thread. delay_ms: wait before each step, for tests. NULL without memory or thread. */
struct historian *historian_open(struct store *store, uint64_t delay_ms);
/* There are new events; never blocks for longer than a lock's hand-over. */
void historian_wake(void *historian);
/* End the thread; a step that is under way is finished. NULL is welcome. */
void historian_close(struct historian *historian);

#endif
