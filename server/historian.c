/* history.c: follows the events with a thread of its own. See history.h. */
#include "server/history.h"

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

struct history {
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
rest(struct history *history, uint64_t ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&history->lock);
    while (!history->stopping && pthread_cond_timedwait(&history->changed, &history->lock, &until) != ETIMEDOUT)
        continue;
    bool goes_on = !history->stopping;
    pthread_mutex_unlock(&history->lock);
    return goes_on;
}

/* Wait until there are events. False when it has to stop. */
static bool
wait_for_events(struct history *history)
{
    pthread_mutex_lock(&history->lock);
    while (!history->woken && !history->stopping)
        pthread_cond_wait(&history->changed, &history->lock);
    history->woken = false;
    bool goes_on = !history->stopping;
    pthread_mutex_unlock(&history->lock);
    return goes_on;
}

/* Take in what there is. False when it has to stop. */
static bool
catch_up(struct history *history)
{
    uint64_t fault_ms = FAULT_MS_FIRST;

    for (;;) {
        if (history->delay_ms > 0 && !rest(history, history->delay_ms))
            return false;
        enum store_step step = store_consumer_step(history->store, STEP_EVENTS);
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
        if (!rest(history, pause_ms))
            return false;
    }
}

static void *
run(void *argument)
{
    struct history *history = argument;

    while (wait_for_events(history)) {
        if (!catch_up(history))
            break;
    }
    return NULL;
}

struct history *
history_open(struct store *store, uint64_t delay_ms)
{
    struct history *history = calloc(1, sizeof *history);
    pthread_condattr_t attributes;

    if (history == NULL)
        return NULL;
    history->store = store;
    history->delay_ms = delay_ms;
    history->woken = true; /* what an earlier run has left */
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&history->lock, NULL);
    pthread_cond_init(&history->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&history->thread, NULL, run, history) != 0) {
        pthread_cond_destroy(&history->changed);
        pthread_mutex_destroy(&history->lock);
        free(history);
        return NULL;
    }
    return history;
}

void
history_wake(void *argument)
{
    struct history *history = argument;

    pthread_mutex_lock(&history->lock);
    history->woken = true;
    pthread_cond_broadcast(&history->changed);
    pthread_mutex_unlock(&history->lock);
}

void
history_close(struct history *history)
{
    if (history == NULL)
        return;
    pthread_mutex_lock(&history->lock);
    history->stopping = true;
    pthread_cond_broadcast(&history->changed);
    pthread_mutex_unlock(&history->lock);
    pthread_join(history->thread, NULL);
    pthread_cond_destroy(&history->changed);
    pthread_mutex_destroy(&history->lock);
    free(history);
}
