/* historian.c: follows the events with a thread of its own. See historian.h. */
#include "server/historian.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <syslog.h>
#include <time.h>

#include "server/log.h"

#define STEP_EVENTS    1024
#define STEP_PAUSE_MS  20 /* between steps, so that their syncs do not take the disk from the commits */
#define FAULT_MS_FIRST 100
#define FAULT_MS_MOST  5000

struct historian {
    struct store *store;
    uint64_t delay_ms;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool woken;
    bool stopping;
};

/* Wait this long unless it has to stop. False when it has to. */
static bool
rest(struct historian *historian, uint64_t ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&historian->lock);
    while (!historian->stopping && pthread_cond_timedwait(&historian->changed, &historian->lock, &until) != ETIMEDOUT)
        continue;
    bool goes_on = !historian->stopping;
    pthread_mutex_unlock(&historian->lock);
    return goes_on;
}

/* Wait until there are events. False when it has to stop. */
static bool
wait_for_events(struct historian *historian)
{
    pthread_mutex_lock(&historian->lock);
    while (!historian->woken && !historian->stopping)
        pthread_cond_wait(&historian->changed, &historian->lock);
    historian->woken = false;
    bool goes_on = !historian->stopping;
    pthread_mutex_unlock(&historian->lock);
    return goes_on;
}

/* Take in what there is. False when it has to stop. */
static bool
catch_up(struct historian *historian)
{
    uint64_t fault_ms = FAULT_MS_FIRST;

    for (;;) {
        if (historian->delay_ms > 0 && !rest(historian, historian->delay_ms))
            return false;
        enum store_step step = store_consumer_step(historian->store, STEP_EVENTS);
        if (step == STORE_STEP_NOTHING)
            return true;
        uint64_t pause_ms = STEP_PAUSE_MS;
        if (step == STORE_STEP_FAILED) {
            log_line(LOG_WARNING, "history_failed", "again_in_ms=%llu", (unsigned long long)fault_ms);
            pause_ms = fault_ms;
            fault_ms = fault_ms * 2 < FAULT_MS_MOST ? fault_ms * 2 : FAULT_MS_MOST;
        } else {
            fault_ms = FAULT_MS_FIRST;
        }
        if (!rest(historian, pause_ms))
            return false;
    }
}

static void *
run(void *argument)
{
    struct historian *historian = argument;

    while (wait_for_events(historian)) {
        if (!catch_up(historian))
            break;
    }
    return NULL;
}

struct historian *
historian_open(struct store *store, uint64_t delay_ms)
{
    struct historian *historian = calloc(1, sizeof *historian);
    pthread_condattr_t attributes;

    if (historian == NULL)
        return NULL;
    historian->store = store;
    historian->delay_ms = delay_ms;
    historian->woken = true; /* what an earlier run has left */
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&historian->lock, NULL);
    pthread_cond_init(&historian->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&historian->thread, NULL, run, historian) != 0) {
        pthread_cond_destroy(&historian->changed);
        pthread_mutex_destroy(&historian->lock);
        free(historian);
        return NULL;
    }
    return historian;
}

void
historian_wake(void *argument)
{
    struct historian *historian = argument;

    pthread_mutex_lock(&historian->lock);
    historian->woken = true;
    pthread_cond_broadcast(&historian->changed);
    pthread_mutex_unlock(&historian->lock);
}

void
historian_close(struct historian *historian)
{
    if (historian == NULL)
        return;
    pthread_mutex_lock(&historian->lock);
    historian->stopping = true;
    pthread_cond_broadcast(&historian->changed);
    pthread_mutex_unlock(&historian->lock);
    pthread_join(historian->thread, NULL);
    pthread_cond_destroy(&historian->changed);
    pthread_mutex_destroy(&historian->lock);
    free(historian);
}
