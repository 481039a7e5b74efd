/* runner.c: see runner.h.
 *
 *     IDLE --start--> GIVEN --the thread--> DONE --is_done, wait--> IDLE
 *
 * The descriptor is an eventfd, so that a loop that sleeps among its sockets wakes for it too. */
#include "server/store/runner.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum state { IDLE, GIVEN, DONE };

struct runner {
    pthread_t thread;
    bool has_thread;
    int done; /* the eventfd */
    pthread_mutex_t lock;
    pthread_cond_t given, finished;
    atomic_int state;
    bool ending;
    void (*job)(void *argument);
    void *argument;
};

static void
set_state(struct runner *runner, enum state state)
{
    atomic_store_explicit(&runner->state, state, memory_order_release);
}

static enum state
see_state(struct runner *runner)
{
    return (enum state)atomic_load_explicit(&runner->state, memory_order_acquire);
}

static void
say_done(struct runner *runner)
{
    const uint64_t one = 1;

    /* The descriptor first: whoever sees DONE finds it readable, and takes that away. */
    while (write(runner->done, &one, sizeof one) < 0 && errno == EINTR)
        continue;
    pthread_mutex_lock(&runner->lock);
    set_state(runner, DONE);
    pthread_mutex_unlock(&runner->lock);
    pthread_cond_signal(&runner->finished); /* with the lock held, who wakes would sleep again at once */
}

static void *
run(void *argument)
{
    struct runner *runner = argument;

    for (;;) {
        pthread_mutex_lock(&runner->lock);
        while (see_state(runner) != GIVEN && !runner->ending)
            pthread_cond_wait(&runner->given, &runner->lock);
        bool ends = see_state(runner) != GIVEN;
        pthread_mutex_unlock(&runner->lock);
        if (ends)
            return NULL;
        runner->job(runner->argument);
        say_done(runner);
    }
}

struct runner *
runner_open(void)
{
    struct runner *runner = calloc(1, sizeof *runner);

    if (runner == NULL)
        return NULL;
    runner->done = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (runner->done < 0) {
        free(runner);
        return NULL;
    }
    pthread_mutex_init(&runner->lock, NULL);
    pthread_cond_init(&runner->given, NULL);
    pthread_cond_init(&runner->finished, NULL);
    return runner;
}

void
runner_close(struct runner *runner)
{
    if (runner == NULL)
        return;
    runner_wait(runner);
    pthread_mutex_lock(&runner->lock);
    runner->ending = true;
    pthread_cond_signal(&runner->given);
    pthread_mutex_unlock(&runner->lock);
    if (runner->has_thread)
        pthread_join(runner->thread, NULL);
    pthread_cond_destroy(&runner->given);
    pthread_cond_destroy(&runner->finished);
    pthread_mutex_destroy(&runner->lock);
    close(runner->done);
    free(runner);
}

/* Signals are for the owner: its handlers may not run while a job is being done. */
static bool
make_thread(struct runner *runner)
{
    sigset_t all, before;

    if (runner->has_thread)
        return true;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    runner->has_thread = pthread_create(&runner->thread, NULL, run, runner) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return runner->has_thread;
}

bool
runner_start(struct runner *runner, void (*job)(void *argument), void *argument)
{
    if (!make_thread(runner))
        return false;
    pthread_mutex_lock(&runner->lock);
    runner->job = job;
    runner->argument = argument;
    set_state(runner, GIVEN);
    pthread_mutex_unlock(&runner->lock);
    pthread_cond_signal(&runner->given);
    return true;
}

int
runner_descriptor(const struct runner *runner)
{
    return runner->done;
}

bool
runner_is_done(struct runner *runner)
{
    enum state state = see_state(runner);
    uint64_t count;

    if (state != DONE)
        return state == IDLE;
    set_state(runner, IDLE);
    while (read(runner->done, &count, sizeof count) < 0 && errno == EINTR)
        continue;
    return true;
}

void
runner_wait(struct runner *runner)
{
    pthread_mutex_lock(&runner->lock);
    while (see_state(runner) == GIVEN)
        pthread_cond_wait(&runner->finished, &runner->lock);
    pthread_mutex_unlock(&runner->lock);
    (void)runner_is_done(runner);
}
